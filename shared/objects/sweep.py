"""The daily look for runs that neither succeeded nor were written to for a long time: one listing of each rule's folder, run by run, in slices."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.errors import CloudError, Conflict, JournalError
from shared.journal import Journal, Kept
from shared.model import StorageObject
from shared.objects.job import Job, Sign, rule_id
from shared.objects.ledger import Ledger, Position
from shared.objects.runs import root, run_of
from shared.policy.artifacts import ArtifactRule
from shared.policy.policy import Policy
from shared.ports import World

log = logging.getLogger(__name__)

EVERY = timedelta(days=1)
SAVE_EVERY = timedelta(minutes=1)
BUSY = timedelta(minutes=5)
"""So long after its last word another worker is taken to be at it still."""


@dataclass(frozen=True, slots=True)
class Sweeper:
    """What it takes to look for abandoned runs.

    Attributes:
        world: The ports.
        policy: The policy in force.
        deadline: On the clock's monotonic scale; the look goes on at the next tick after it.
        found: Called with each run that is found, as the job that it would be.
        unreadable: Called where the record of a rule cannot be read.
    """

    world: World
    policy: Policy
    deadline: float
    found: Callable[[Job], object]
    unreadable: Callable[[JournalError], None]

    def sweep(self) -> None:
        """Look at every rule whose day is over; a rule that cannot be looked at hides no other."""
        for rule in self.policy.artifacts:
            if rule.abandoned_after is None or self.world.clock.monotonic() >= self.deadline:
                continue
            try:
                self._rule(rule, rule.abandoned_after)
            except Conflict:
                log.info(
                    "gs://%s/%s: somebody else writes its record; the look for abandoned runs goes on at the next tick",
                    rule.bucket,
                    rule.runs,
                )
            except JournalError as error:
                self.unreadable(error)
            except CloudError as error:
                log.warning(
                    "gs://%s/%s could not be looked through for abandoned runs, and is tried again at the next tick: %s",
                    rule.bucket, rule.runs, error, extra={"labels": {"bucket": rule.bucket}},
                )  # fmt: skip

    def _rule(self, rule: ArtifactRule, after: timedelta) -> None:
        journal, key, clock = Journal(self.world.state), rule_id(rule.bucket, rule.runs), self.world.clock
        stored, now = journal.ledger(key), clock.now()
        ledger = stored.record if stored else Ledger()
        if ledger.position is None and ledger.swept_at and now - ledger.swept_at < EVERY:
            return
        if ledger.position and ledger.position.at and now - ledger.position.at < BUSY:
            return
        position = ledger.position or Position()
        swept_at = ledger.swept_at if ledger.position else now
        stored = journal.save_ledger(key, stored, ledger.but(swept_at=swept_at, position=position.but(at=now)))
        walk = _Walk(rule, position)
        try:
            self._walk(rule, walk, stored, after)
        except Conflict:
            raise
        except CloudError:
            self._save(journal, key, journal.ledger(key), walk.position.but(at=None))  # so that nobody waits for us
            raise

    def _walk(self, rule: ArtifactRule, walk: _Walk, stored: Kept[Ledger], after: timedelta) -> None:
        journal, key, clock = Journal(self.world.state), rule_id(rule.bucket, rule.runs), self.world.clock
        now = clock.now()
        for page in self.world.objects.pages(rule.bucket, root(rule), after=walk.position.after):
            self._take(rule, walk.take(page), after)
            late = clock.monotonic() >= self.deadline
            if late or clock.now() - now >= SAVE_EVERY:
                now = clock.now()
                stored = self._save(journal, key, stored, walk.position.but(at=None if late else now))
            if late:
                return
        self._take(rule, walk.end(), after)
        self._save(journal, key, stored, None)

    def _save(self, journal: Journal, key: str, stored: Kept[Ledger] | None, position: Position | None) -> Kept[Ledger]:
        ledger = stored.record if stored else Ledger()
        return journal.save_ledger(key, stored, ledger.but(position=position))

    def _take(self, rule: ArtifactRule, runs: Sequence[Position], after: timedelta) -> None:
        now = self.world.clock.now()
        for run in runs:
            if run.newest_at and not run.promoted and now - run.newest_at >= after:
                self.found(_job(rule, run))


@dataclass
class _Walk:
    """The runs of a listing, one after the other: names come in order, so a run's objects stand together."""

    rule: ArtifactRule
    position: Position
    _ended: list[Position] = field(default_factory=list)

    def __post_init__(self) -> None:
        """What has to be read to know what it says is left to the look that follows."""
        self._promoting = {reason.object for reason in self.rule.unless if not reason.has}

    def take(self, page: Sequence[StorageObject]) -> list[Position]:
        """The runs that are seen whole with this page."""
        run, newest, promoted = self.position.run, _newest(self.position), self.position.promoted
        self._ended = []
        for each in page:
            here = run_of(self.rule, each.name) or ""
            if here != run:
                self._close(run, newest, promoted)
                run, newest, promoted = here, None, False
            if newest is None or each.created > newest[2]:
                newest = (each.name, each.generation, each.created)
            promoted = promoted or (bool(here) and each.name.removeprefix(here) in self._promoting)
        self.position = _position(run, newest, promoted=promoted, after=page[-1].name)
        return self._ended

    def end(self) -> list[Position]:
        """The last run."""
        self._ended = []
        self._close(self.position.run, _newest(self.position), self.position.promoted)
        return self._ended

    def _close(self, run: str, newest: tuple[str, int, datetime] | None, promoted: bool) -> None:
        if run:
            self._ended.append(_position(run, newest, promoted=promoted))


def _newest(position: Position) -> tuple[str, int, datetime] | None:
    return (position.newest_name, position.newest_generation, position.newest_at) if position.newest_at else None


def _position(run: str, newest: tuple[str, int, datetime] | None, *, promoted: bool, after: str = "") -> Position:
    name, generation, at = newest or ("", 0, None)
    return Position(after=after, run=run, newest_name=name, newest_generation=generation, newest_at=at, promoted=promoted)


def _job(rule: ArtifactRule, run: Position) -> Job:
    if run.newest_at is None:
        raise TypeError(f"{run.run} holds nothing")
    words = f"neither succeeded nor was written to since {run.newest_at:%Y-%m-%d %H:%M} UTC"
    sign = Sign(object=run.newest_name, generation=run.newest_generation, at=run.newest_at, words=words)
    return Job(action="delete_run", bucket=rule.bucket, prefix=run.run, rule=rule.runs, occasion="abandoned", sign=sign)
