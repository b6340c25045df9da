"""What people ask for: put it back, approve, cancel, hold, show, and what would happen at such a spend."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from shared.brake import notice, tells_of
from shared.entry import Entry, approve, ask_undo, cancel
from shared.errors import CloudError, Conflict, Gone, JournalError, Unavailable
from shared.journal import BUDGET_ENTRIES, Holds, Survey
from shared.objects.job import UNDOABLE
from shared.observe import observe
from shared.report.brake import released
from shared.watchdog import TRIES, Outcome, Watchdog

log = logging.getLogger(__name__)

_STATES = {"planned": "carried out", "cancelled": "called off", "open": "being carried out"}


@dataclass(frozen=True)
class ByHand:
    """A person's requests, each recorded in the journal before it is carried out.

    Attributes:
        watchdog: Who carries them out.
        by: Who asks, as it will be told to others.
    """

    watchdog: Watchdog
    by: str

    def survey(self) -> Survey:
        """All open entries, and what is wrong with those that cannot be read."""
        return self.watchdog.journal.survey("")

    def entry(self, key: str) -> Entry:
        """One entry, open or closed.

        Raises:
            Gone: There is none of this key.
        """
        kept = self.watchdog.journal.load(key)
        entry = kept.record if kept else self.watchdog.journal.load_closed(key)
        if entry is None:
            raise Gone(f"the journal has no entry {key!r}; `python -m functions list` names those that are open")
        return entry

    def restore_entry(self, key: str) -> list[Outcome]:
        """Put back all that the entry parked or deleted, and call off what it has not carried out; so too for the entries that its steps began.

        Raises:
            Gone: There is none of this key, or the bucket no longer keeps what was deleted; whatever can be put back is.
        """
        outcomes = [self._undo(each) for each in (key, *self.entry(key).begun)]
        closed = [self.entry(outcome.entry) for outcome in outcomes if outcome.what == "closed"]
        late = [entry.key for entry in closed if entry.job and entry.job.stage == "done" and (entry.job.changed or entry.job.begun)]
        if late:
            raise Gone(f"it is too late to undo {', '.join(late)}: the bucket no longer keeps what was deleted")
        return outcomes

    def _undo(self, key: str) -> Outcome:
        return self._change(key, lambda entry, now: ask_undo(entry, by=self.by, now=now))

    def restore_all(self) -> list[Outcome]:
        """Put back everything that is parked; what was deleted is put back entry by entry.

        Raises:
            Unavailable: Some entries could not be asked; all others were.
        """
        keys = [entry.key for entry in sorted(self.watchdog.journal.survey(BUDGET_ENTRIES).entries, key=Entry.rank)]
        outcomes, faults = [], []
        for key in keys:
            try:
                outcomes.append(self._undo(key))
            except (CloudError, JournalError) as error:
                faults.append(f"{key}: {error}")
        # A lower step's entry waits for the higher one that took its services over, and is done once that one is.
        waiting = [outcome.entry for outcome in outcomes if outcome.what == "carried on"]
        done = {outcome.entry: outcome for outcome in self.watchdog.carry_on_all(waiting)}
        if faults:
            raise Unavailable(f"{len(faults)} of {len(keys)} entries could not be asked, the others were; ask again: {'; '.join(faults)}")
        return [done.get(outcome.entry, outcome) for outcome in outcomes]

    def restore_resource(self, name: str) -> list[Outcome]:
        """Put back one resource, by its short or its full name, in every entry that parked it.

        Raises:
            Gone: No entry has parked such a resource.
        """
        entries = self.watchdog.journal.survey(BUDGET_ENTRIES).entries
        meant = frozenset(target.resource for entry in entries for target in entry.parked() if name in (target.resource, target.short_name))
        outcomes = self.restore_resources(entries, meant)
        if not outcomes:
            raise Gone(f"nothing called {name!r} is parked; `python -m functions list` names what is")
        return outcomes

    def restore_resources(self, entries: Iterable[Entry], resources: frozenset[str]) -> list[Outcome]:
        """Put back these resources, by their full names, in each of these entries that parked them."""
        outcomes = []
        for entry in sorted(entries, key=Entry.rank):
            meant = frozenset(target.resource for target in entry.parked()) & resources
            if meant:
                outcomes.append(self._change(entry.key, partial(_undo_of, by=self.by, resources=meant)))
        # What a higher step took over is put back by its entry, and only then by that of the lower one.
        waiting = [outcome.entry for outcome in outcomes if outcome.what == "carried on"]
        done = {outcome.entry: outcome for outcome in self.watchdog.carry_on_all(waiting)} if len(outcomes) > 1 else {}
        return [done.get(outcome.entry, outcome) for outcome in outcomes]

    def approve(self, key: str) -> Outcome:
        """Say yes to the steps that wait for it.

        Raises:
            Gone: There is nothing to approve.
        """
        self._raise_if_idle(key, approve, "approve")
        return self._change(key, lambda entry, now: approve(entry, by=self.by, now=now))

    def cancel(self, key: str) -> Outcome:
        """Call off the steps that have not been carried out.

        Raises:
            Gone: There is nothing to call off any more.
        """
        self._raise_if_idle(key, cancel, "call off")
        return self._change(key, lambda entry, now: cancel(entry, by=self.by, now=now))

    def _raise_if_idle(self, key: str, change: Callable[..., Entry], what: str) -> None:
        entry = self.entry(key)
        if change(entry, by=self.by, now=self.watchdog.world.clock.now()) != entry:
            return
        if entry.job:
            undo = f"; to undo it: python -m functions restore --entry {key}" if entry.job.stage in UNDOABLE else ""
            raise Gone(f"{key} has nothing to {what}: it is {entry.job.stage} already{undo}")
        # Asked again by the same person, as after a worker that was killed, it is what they asked for.
        if not any(step.decided_by == self.by and (step.state == "cancelled") == (what == "call off") for step in entry.steps):
            states = {step.state: step.decided_by for step in entry.steps}
            said = ", ".join(f"{_STATES.get(state, state)}{f' by {by}' if by else ''}" for state, by in states.items())
            raise Gone(f"{key} has nothing to {what} any more: {said or 'it has no steps'}")

    def hold(self, name: str, until: datetime) -> None:
        """Protect every resource of this short or full name until then; a time that has passed ends the hold."""
        self._hold({name: until})

    def hold_at_least(self, names: Sequence[str], until: datetime) -> None:
        """Protect all of these until then, and those longer that somebody protects longer already."""
        held = self.watchdog.journal.holds().record.until
        self._hold({name: until for name in names if held.get(name, until) <= until})

    def _hold(self, ends: Mapping[str, datetime]) -> None:
        for _ in range(TRIES):
            kept = self.watchdog.journal.holds()
            now = self.watchdog.world.clock.now()
            current = {each: end for each, end in kept.record.until.items() if end > now}
            by = {each: kept.record.by.get(each, "") for each in current}
            holds = Holds(until=current | dict(ends), by=by | dict.fromkeys(ends, self.by))
            try:
                return self.watchdog.journal.save_holds(kept, holds)
            except Conflict:
                continue
        raise Unavailable("others write the holds all the time; try again", resource=", ".join(ends))

    def release(self, notice_key: str = "") -> None:
        """Let the watchdog go on after it has stopped itself.

        Args:
            notice_key: The entry that told the person of it; where one is named, no other stop is released than the one it tells of.

        Raises:
            Gone: The brake is not on, or for another reason than the person was told of.
            Unavailable: Others write its record all the time.
        """
        journal, now = self.watchdog.journal, self.watchdog.world.clock.now()
        for _ in range(TRIES):
            kept = journal.brake()
            if kept is None or not kept.record.stops:
                raise Gone("the brake is not on, so there is nothing to release")
            stops = [stop for stop in kept.record.stops if not notice_key or tells_of(notice_key, stop)]
            if not stops:
                on = " and ".join(f"for {stop.kind} since {stop.at:%Y-%m-%d %H:%M} UTC" for stop in kept.record.stops)
                raise Gone(f"that message is of an earlier stop; the brake is on {on}: see the message about that")
            try:
                journal.save_brake(kept, kept.record.released(stops, self.by, now))
            except Conflict:
                continue
            for stop in stops:
                log.warning("the brake was released by %s, for %s", self.by, stop.kind)
                self.watchdog.say_once(f"{notice(stop, now)}-released", released(stop, self.by, now))
            return
        raise Unavailable("others write the record of the brake all the time; try again")

    def sees(self, name: str) -> bool:
        """Whether any resource of this short or full name is there, in the policy's projects and regions."""
        world = self.watchdog.world
        view = observe(world, world.fleets, self.watchdog.worker.places(), wanted=lambda _: False)
        return any(name in (resource.name, resource.short_name) for resource in view.resources)

    def _change(self, key: str, change: Callable[[Entry, datetime], Entry]) -> Outcome:
        """Record the request in the entry, whoever works on it, and carry it on at once if nobody does."""
        for _ in range(TRIES):
            now = self.watchdog.world.clock.now()
            kept = self.watchdog.journal.load(key)
            if kept is None:
                self.entry(key)
                return Outcome("closed", key)
            if kept.record.job and kept.record.job.parent:
                raise Gone(f"{key} is a part of {kept.record.job.parent}, which is put back, approved or called off as a whole")
            changed = change(kept.record, now)
            try:
                if changed != kept.record:
                    self.watchdog.journal.save(kept, changed, now)
            except Conflict:
                continue
            return self.watchdog.resume(key)
        raise Unavailable("others write the entry all the time; try again", resource=key)


def _undo_of(entry: Entry, now: datetime, *, by: str, resources: frozenset[str]) -> Entry:
    return ask_undo(entry, by=by, now=now, resources=resources)
