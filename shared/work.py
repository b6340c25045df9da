"""One leased entry, carried as far as it goes: observe, plan, record, apply, report. The order of these five is what the journal's rules rest on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from shared import plan as planning
from shared import report
from shared.carry_out import Crew, Job, Result, park, restore
from shared.entry import UNSETTLED, Drift, Entry, MessageRecord, StepRecord, TargetRecord, UnseenRecord, backoff, open_due_steps
from shared.errors import UnsafePlan
from shared.journal import Journal
from shared.model import Place, Resource
from shared.observe import View, observe
from shared.outbox import deliver
from shared.pace import Pacer
from shared.policy import Policy
from shared.ports import World
from shared.session import Session

log = logging.getLogger(__name__)

ROUNDS = 4
"""How often a target is tried within one invocation."""
PATIENCE = 30.0
"""Seconds that an invocation waits between two tries; a longer wait is left to the tick."""
REPLANS = 3
"""How often a target is planned anew before the next tick has to see to it."""
LOOKS = 10
"""How often a place that does not answer is looked at again."""
DRIFT_EVERY = timedelta(minutes=15)
BUDGET_ENTRIES = "budget-"


@dataclass(frozen=True, slots=True)
class Worker:
    """What it takes to work on entries.

    Attributes:
        world: The ports.
        policy: The policy in force.
        itself: The watchdog's own project and service name.
        deadline: On the clock's monotonic scale; nothing is begun after it.
        pacer: The quota, shared by all that this invocation does.
    """

    world: World
    policy: Policy
    itself: tuple[str, str]
    deadline: float
    pacer: Pacer

    def forward(self, session: Session) -> bool:
        """Carry the entry on; the answer is whether all that is due was done before the deadline.

        Raises:
            Conflict: The lease was lost; what was done is found again from the live resources.
            Unavailable: The state bucket does not answer.
            JournalError: What was written does not read back.
        """
        session.put(open_due_steps(session.entry, self.world.clock.now()))
        finished = self._put_back(session)
        preview = self._plan_open_steps(session)
        self._look_at_unseen(session)
        finished = self._park(session, {}) and finished
        self._look_for_drift(session)
        finished = self._park(session, {}) and finished
        if finished:
            self._tell(session, preview)
        deliver(session, self.world)
        return finished

    # observe, plan, record

    def places(self) -> list[Place]:
        """The projects and regions of the policy."""
        projects = self.policy.scope.projects or (self.itself[0],)
        return [Place(project, region) for project in projects for region in self.policy.scope.regions]

    def guard(self) -> planning.Guard:
        """Who is never touched now."""
        now = self.world.clock.now()
        return planning.Guard(self.policy.protect, self._journal.holds().record, self.itself, now)

    def look(self, steps: Iterable[StepRecord], places: Iterable[Place]) -> View:
        """All resources that the steps may mean, with the details of those that they select."""
        selectors = [planning.params_of(use).select for step in steps for use in step.uses if planning.changes_of(use)]
        return observe(self.world, planning.kinds(steps), list(places), wanted=lambda resource: any(each.matches(resource) for each in selectors))

    def others(self, session: Session) -> list[Entry]:
        """The other entries that may hold resources."""
        return [entry for entry in self._journal.open_entries(BUDGET_ENTRIES) if entry.key != session.entry.key]

    @property
    def _journal(self) -> Journal:
        return Journal(self.world.state)

    def _plan_open_steps(self, session: Session) -> tuple[TargetRecord, ...]:
        """Plan the open steps and apply the plan; the answer is what the steps that are not open yet would touch now."""
        entry, now = session.entry, self.world.clock.now()
        opened = [step for step in entry.steps if step.state == "open"]
        later = [step for step in entry.steps if step.state in ("waiting", "approval") and not step.told]
        if not opened and not later:
            return ()
        view = self.look([*opened, *later], self.places()) if planning.kinds([*opened, *later]) else View((), ())
        guard, held = self.guard(), planning.held_by([*self.others(session), entry])
        plan = planning.make(opened, view.resources, guard, held)
        preview = planning.make(later, view.resources, guard, held).targets
        try:
            planning.raise_if_unsafe(plan, self.policy.limits)
        except UnsafePlan as error:
            log.error("%s: refused: %s", entry.key, error, extra={"labels": {"entry": entry.key}})  # noqa: TRY400  # the sentence says it all
            session.put(_with_steps(entry, opened, state="refused", told=True))
            self._write(session, report.refused(session.entry, sentence=str(error), now=now))
            session.save()
            return preview
        targets = plan.targets if entry.mode == "enforce" else tuple(target.but(status="rehearsed") for target in plan.targets)
        if opened:
            entry = _with_steps(entry, opened, state="planned", told=False).with_targets(targets).but(untouched=plan.untouched)
        session.put(entry.but(unseen=view.unseen if opened else entry.unseen))
        session.save(confirm=True)
        seen = {resource.name: resource for resource in view.resources}
        log.info("%s: %d to change, %d not touched", entry.key, len(targets), len(plan.untouched), extra={"labels": {"entry": entry.key}})
        self._park(session, seen)
        return preview

    def _look_at_unseen(self, session: Session) -> None:
        """Look again at the places that did not answer, and plan what is there."""
        entry, now = session.entry, self.world.clock.now()
        due = [place for place in entry.unseen if place.retry_at is not None and place.retry_at <= now]
        if not due or entry.undo:
            return
        steps = [step for step in entry.steps if step.state == "planned"]
        unseen = [place for place in entry.unseen if place not in due]
        fresh: list[Resource] = []
        for place in due:
            view = self.look(_only(steps, place.kind), [Place(place.project, place.region)])
            fresh.extend(view.resources)
            unseen.extend(_still_unseen(place, again) for again in view.unseen)
        known = {target.resource for target in entry.targets}
        plan = planning.make(steps, [resource for resource in fresh if resource.name not in known], self.guard(), planning.held_by(self.others(session)))
        session.put(entry.but(unseen=tuple(unseen)))
        try:
            planning.raise_if_unsafe(planning.Plan((*entry.targets, *plan.targets), (), len(entry.targets) + len(entry.untouched) + plan.seen), self.policy.limits)
        except UnsafePlan as error:
            self._write(session, report.refused(session.entry, sentence=str(error), now=now))
            session.save()
            return
        targets = plan.targets if entry.mode == "enforce" else tuple(target.but(status="rehearsed") for target in plan.targets)
        others = {record.resource: record for record in (*entry.untouched, *plan.untouched)}
        session.put(session.entry.with_targets(targets).but(untouched=tuple(others.values())))
        session.save(confirm=True)
        self._park(session, {resource.name: resource for resource in fresh})

    # apply

    def _park(self, session: Session, seen: Mapping[str, Resource]) -> bool:
        """Carry out what is intended; the answer is whether the deadline left nothing undone."""
        now = self.world.clock.now()
        jobs = [
            Job(target, seen.get(target.resource))
            for target in session.entry.targets
            if target.status in ("intended", "failed") and (target.retry_at is None or target.retry_at <= now)
        ]
        return self._rounds(session, jobs, park)

    def _put_back(self, session: Session) -> bool:
        """Carry out what is to be restored; the answer is whether the deadline left nothing undone."""
        now = self.world.clock.now()
        due = [target for target in session.entry.targets if target.status == "restoring" and (target.retry_at is None or target.retry_at <= now)]
        if not due:
            return True
        jobs, taken_over, beneath = [], self._taken_over(session), self._beneath(session)
        for target in due:
            holder = taken_over.get(target.resource)
            if holder is None or (holder.status == "failed" and not holder.maybe):
                jobs.append(Job(target, back=beneath.get(target.resource)))
            elif holder.status in ("intended", "failed"):
                # Whether it will really take over is not known yet; until then nobody may forget the resource.
                session.result(target.but(retry_at=now + backoff(1)))
            else:
                session.result(target.but(status="left", told="left", reason="taken over by another entry, which puts the same state back"))
        return self._rounds(session, jobs, restore)

    def _taken_over(self, session: Session) -> dict[str, TargetRecord]:
        """What other entries took over of this one's resources: they keep the state to put back, handed on from here."""
        ranks = {target.resource: (target.rank, session.entry.key) for target in session.entry.targets}
        return {
            target.resource: target
            for entry in self.others(session)
            for target in entry.parked()
            if target.resource in ranks and (target.rank, entry.key) > ranks[target.resource]
        }

    def _beneath(self, session: Session) -> dict[str, Mapping[str, Any]]:
        """What other entries still want of the resources that this one took over from them: that is put back, and not what was there before them."""
        mine = {target.resource: (target.rank, session.entry.key) for target in session.entry.targets}
        lower = sorted(
            ((target.rank, entry.key, target) for entry in self.others(session) for target in entry.targets if target.status == "verified" and not target.drift),
            key=lambda each: each[:2],
        )
        return {target.resource: target.wrote or target.wanted for rank, key, target in lower if (rank, key) < mine.get(target.resource, (0, ""))}

    def _rounds(self, session: Session, jobs: list[Job], work: Callable[..., Result]) -> bool:
        """Work in rounds: what is worth another try at once is tried again after a short pause, what moved is planned anew first."""
        clock, crew = self.world.clock, Crew(self.world.workers)
        number = 0
        while True:
            number += 1
            results = []
            for result in crew.each(
                jobs, lambda job: work(job, self.world.fleets[job.target.kind]), clock=clock, pacer=self.pacer, deadline=self.deadline, glance=session.glance
            ):
                results.append(result)
                session.result(result.target)
                _log(session, result.target)
            if len(results) < len(jobs):
                session.save()
                return False
            jobs = self._next_jobs(session, results, last=number == ROUNDS)
            if not jobs:
                return True
            pause = max([2.0 ** (number - 1), *(result.patience for result in results)]) if any(result.again for result in results) else 0.0
            if pause > PATIENCE or clock.monotonic() + pause >= self.deadline:
                self._postpone(session, jobs)
                return True
            clock.sleep(pause)

    def _next_jobs(self, session: Session, results: list[Result], *, last: bool) -> list[Job]:
        """What is tried again in the next round; what is left to the tick gets its time."""
        jobs, now = [], self.world.clock.now()
        moved = any(result.moved for result in results)
        guard, held = (self.guard(), planning.held_by(self.others(session))) if moved else (None, {})
        for result in results:
            target = result.target
            if result.moved and guard:
                target = planning.again(target, _step(session, target), result.moved, guard, held.get(target.resource))
                if target.replans > REPLANS:
                    target = target.but(status="failed", attempts=target.attempts + 1, reason="somebody else changes it again and again", replans=0)
                session.result(target)
                if target.status == "intended":
                    jobs.append(Job(target, result.moved))
            elif result.again and not last:
                jobs.append(Job(target, back=result.back))
            if target.status in UNSETTLED and target.attempts:
                session.result(target.but(retry_at=now + max(backoff(target.attempts), timedelta(seconds=result.patience))))
        if moved:
            session.save(confirm=True)
        if last:
            self._postpone(session, jobs)
            return []
        return jobs

    def _postpone(self, session: Session, jobs: Iterable[Job]) -> None:
        for job in jobs:
            session.result(job.target.but(retry_at=self.world.clock.now() + backoff(1), maybe=True))

    def _look_for_drift(self, session: Session) -> None:
        """See whether what is parked still is, and plan anew what came back where the policy says so."""
        entry, now = session.entry, self.world.clock.now()
        parked = {target.resource: target for target in entry.targets if target.status == "verified"}
        if not parked or (entry.look_at and entry.look_at > now):
            return
        if entry.look_at is None:
            session.put(entry.but(look_at=now + DRIFT_EVERY))
            return
        taken_over = self._taken_over(session)
        parked = {name: target for name, target in parked.items() if name not in taken_over}
        view = observe(self.world, {target.kind for target in parked.values()}, sorted({target.place for target in parked.values()}, key=str), wanted=lambda _: False)
        live = {resource.name: resource for resource in view.resources}
        blind = {(unseen.kind, unseen.project, unseen.region) for unseen in view.unseen}
        came_back = []
        for target in parked.values():
            resource = live.get(target.resource)
            if resource is None:
                if (target.kind, target.place.project, target.place.region) not in blind:
                    session.result(target.but(status="left", reason="was deleted meanwhile"))
            elif planning.reached(target, resource):
                session.result(target.but(drift=None))
            elif target.drift is None or target.drift.state != resource.state:
                came_back.append(target.but(drift=Drift(by=resource.last_modifier, state=dict(resource.state), seen_at=now)))
        repark = self.policy.on_drift == "repark"
        for target in came_back:
            log.warning("%s came back: changed by %s", target.resource, target.drift and target.drift.by, extra={"labels": {"entry": entry.key, "service": target.short_name}})
            session.result(planning.again(target, _step(session, target), live[target.resource], self.guard(), None) if repark else target)
        session.put(session.entry.but(look_at=now + DRIFT_EVERY))
        if came_back:
            self._write(session, report.drifted(session.entry, targets=came_back, reparked=repark, now=now))
            session.save(confirm=repark)

    # report

    def _tell(self, session: Session, preview: tuple[TargetRecord, ...]) -> None:
        """Write the messages that are owed, in the same save that marks what they speak of as told."""
        entry, now = session.entry, self.world.clock.now()
        news = entry.news()
        put_back = [target for target in news if target.status in ("restoring", "restored", "left")]
        called_off = [step for step in entry.steps if step.state == "cancelled" and not step.told]
        reached = [step for step in entry.steps if step.state in ("planned", "waiting", "approval") and not step.told]
        done = [target for target in news if target not in put_back]
        if not (news or called_off or reached):
            return
        if put_back or called_off:
            by = entry.undo.by if entry.undo else next((step.decided_by for step in called_off), "a person")
            self._write(session, report.restored(entry, targets=put_back, by=by, now=now))
        if reached:
            self._write(session, report.reached(entry, carried_out=done, preview=preview, now=now))
        elif done:
            self._write(session, report.followed_up(entry, targets=done, now=now))
        told = session.entry.with_targets(target.but(told=target.status) for target in news)
        session.put(_with_steps(told, (step for step in told.steps if step.state != "open"), told=True))
        session.save()

    def _write(self, session: Session, letter: report.Letter) -> None:
        """Put a letter into the outbox; it is sent once the entry is saved."""
        entry = session.entry
        message = MessageRecord(
            id=f"{entry.key}/{len(entry.messages) + 1}", channel=self.policy.slack.channel, text=letter.text, blocks=letter.blocks, created=self.world.clock.now()
        )
        session.fresh_messages.add(message.id)
        session.put(entry.but(messages=(*entry.messages, message)))


def _with_steps(entry: Entry, steps: Iterable[StepRecord], **changes: object) -> Entry:
    keys = {step.key for step in steps}
    return entry.but(steps=tuple(step.but(**changes) if step.key in keys else step for step in entry.steps))


def _step(session: Session, target: TargetRecord) -> StepRecord:
    return next(step for step in session.entry.steps if step.key == target.step)


def _only(steps: Iterable[StepRecord], kind: str) -> list[StepRecord]:
    """The steps with only those of their actions that ask for this kind."""
    return [step.but(uses=tuple(use for use in step.uses if (changes := planning.changes_of(use)) and changes.kind == kind)) for step in steps]


def _still_unseen(before: UnseenRecord, again: UnseenRecord) -> UnseenRecord:
    attempts = before.attempts + 1
    retry_at = again.retry_at + backoff(attempts) - backoff(1) if again.retry_at and attempts < LOOKS else None
    return again.but(attempts=attempts, retry_at=retry_at)


def _log(session: Session, target: TargetRecord) -> None:
    level = logging.WARNING if target.reason else logging.INFO
    extra = {"labels": {"entry": session.entry.key, "service": target.short_name, "region": target.place.region}}
    log.log(level, "%s: %s %s", target.resource, target.status, target.reason, extra=extra)
