"""The applying half of an entry's work: its targets parked or put back in rounds, each result recorded, with the guard asked again before every write."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from shared import plan as planning
from shared.actions import blend
from shared.carry_out import AFTER_ANOTHER, Crew, Job, Result, park, restore
from shared.entry import UNSETTLED, Entry, StepRecord, TargetRecord, backoff
from shared.journal import BUDGET_ENTRIES, Journal
from shared.model import Resource
from shared.pace import Pacer
from shared.policy.policy import Policy
from shared.ports import World
from shared.session import Session

log = logging.getLogger(__name__)

ROUNDS = 4
"""How often a target is tried within one invocation."""
PATIENCE = 30.0
"""Seconds that an invocation waits between two tries; a longer wait is left to the tick."""
REPLANS = 3
"""How often a target is planned anew before the next tick has to see to it."""


@dataclass(frozen=True, slots=True)
class Applier:
    """What it takes to change what an entry names.

    Attributes:
        world: The ports.
        policy: The policy in force.
        itself: The watchdog's own project and service name.
        deadline: On the clock's monotonic scale; nothing is begun after it.
        pacer: The quota.
    """

    world: World
    policy: Policy
    itself: tuple[str, str]
    deadline: float
    pacer: Pacer

    @property
    def journal(self) -> Journal:
        """The journal in the state bucket."""
        return Journal(self.world.state)

    def guard(self, unknown: frozenset[str] = frozenset()) -> planning.Guard:
        """Who is never touched now; `unknown` matters to new plans alone, since a recorded target has its state to put back."""
        return planning.Guard(
            self.policy.protect, self.journal.holds().record, self.itself, self.world.clock.now(), unknown, self.policy.slack
        )

    def survey(self, session: Session) -> tuple[list[Entry], frozenset[str]]:
        """The other entries that may hold resources, and what unreadable ones may hold."""
        survey = self.journal.survey(BUDGET_ENTRIES)
        return [entry for entry in survey.entries if entry.key != session.entry.key], survey.unknown

    def park(self, session: Session, seen: Mapping[str, Resource]) -> bool:
        """Carry out what is intended; the answer is whether the deadline left nothing undone."""
        now = self.world.clock.now()
        jobs = [
            Job(target, seen.get(target.resource))
            for target in session.entry.targets
            if target.status in ("intended", "failed") and (target.retry_at is None or target.retry_at <= now)
        ]
        return self._rounds(session, jobs, park) if jobs else True

    def put_back(self, session: Session) -> bool:
        """Carry out what is to be restored; the answer is whether the deadline left nothing undone."""
        now = self.world.clock.now()
        due = [
            target
            for target in session.entry.targets
            if target.status == "restoring" and (target.retry_at is None or target.retry_at <= now)
        ]
        if not due:
            return True
        others, _ = self.survey(session)
        jobs, over, beneath = [], taken_over(session.entry, others), _beneath(session.entry, others)
        for target in due:
            holder = over.get(target.resource)
            if holder is None or (holder.status == "failed" and not holder.maybe):
                jobs.append(Job(target, back=beneath.get(target.resource)))
            elif holder.status == "verified":
                session.result(target.but(status="left", told="left", reason="taken over by another entry, which puts the same state back"))
            else:
                # Whether it really takes over, or is put back to what this entry wants, is not known yet; until then nobody may forget the resource.
                session.result(target.but(retry_at=now, reason=AFTER_ANOTHER))
        return self._rounds(session, jobs, restore) if jobs else True

    def _rounds(self, session: Session, jobs: list[Job], work: Callable[..., Result]) -> bool:
        """Work in rounds: what is worth another try at once is tried again after a short pause, what moved is planned anew first."""
        clock, crew = self.world.clock, Crew(self.world.workers)
        number = 0
        while True:
            number += 1
            results = []
            for result in crew.each(
                self._guarded(jobs),
                lambda job: work(job, self.world.fleets[job.target.kind], session.may_write),
                clock=clock, pacer=self.pacer, deadline=self.deadline, glance=session.glance,
            ):  # fmt: skip
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

    def _guarded(self, jobs: list[Job]) -> list[Job]:
        """The same jobs, each with the guard as it stands now: what was protected since it was planned is not written to."""
        guard = self.guard()

        def refusal(target: TargetRecord) -> Callable[[Resource], str | None]:
            select = planning.params_of(target.use).select
            return lambda live: guard.reason(live, select)

        return [replace(job, refusal=refusal(job.target)) for job in jobs]

    def _next_jobs(self, session: Session, results: list[Result], *, last: bool) -> list[Job]:
        """What is tried again in the next round; what is left to the tick gets its time."""
        jobs, now = [], self.world.clock.now()
        moved = any(result.moved for result in results)
        others, unknown = self.survey(session) if moved else ([], frozenset[str]())
        guard, held = self.guard(unknown) if moved else None, planning.held_by(others)
        for result in results:
            target = result.target
            if result.moved and guard:
                target = self._anew(session, target, result.moved, guard, held.get(target.resource))
                if target.replans > REPLANS:
                    target = target.but(
                        status="failed", attempts=target.attempts + 1, reason="somebody else changes it again and again", replans=0
                    )
                session.result(target)
                if target.status == "intended":
                    jobs.append(Job(target, result.moved))
            elif result.again:
                jobs.append(Job(target, back=result.back))
            if target.status in UNSETTLED and target.attempts:
                session.result(target.but(retry_at=now + max(backoff(target.attempts), timedelta(seconds=result.patience))))
        if moved:
            session.save(confirm=True)
        if last:
            self._postpone(session, jobs)
            return []
        return jobs

    def _anew(
        self, session: Session, target: TargetRecord, live: Resource, guard: planning.Guard, held: TargetRecord | None
    ) -> TargetRecord:
        """What moved, planned anew; what somebody changed after it may have been parked counts as drift, and is treated as the policy says."""
        left = planning.left_to_others(target, live, held, guard.now) if self.policy.on_drift == "report" else None
        return left or planning.again(target, step_of(session.entry, target), live, guard, held)

    def _postpone(self, session: Session, jobs: Iterable[Job]) -> None:
        """Leave it to the tick, no earlier than the platform asked for."""
        soon = self.world.clock.now() + backoff(1)
        known = {target.resource: target for target in session.entry.targets}
        for job in jobs:
            asked = known[job.target.resource].retry_at
            session.result(job.target.but(retry_at=max(soon, asked) if asked else soon))


def taken_over(entry: Entry, others: Iterable[Entry]) -> dict[str, TargetRecord]:
    """What other entries took over of this one's resources: they keep the state to put back, handed on from here."""
    ranks = {target.resource: (target.rank, entry.key) for target in entry.targets if not planning.stands_beside(target)}
    return {
        target.resource: target
        for other in others
        for target in other.parked()
        if target.resource in ranks and (target.rank, other.key) > ranks[target.resource]
    }


def step_of(entry: Entry, target: TargetRecord) -> StepRecord:
    """The step that asks for the target."""
    return next(step for step in entry.steps if step.key == target.step)


def _beneath(entry: Entry, others: Iterable[Entry]) -> dict[str, Mapping[str, Any]]:
    """What other entries still want of the resources that this one took over from them: that is put back, and not what was there before them."""
    mine = {target.resource: target for target in entry.targets if not planning.stands_beside(target)}
    lower = sorted(
        (
            (target.rank, other.key, target)
            for other in others
            for target in other.targets
            if target.status == "verified" and not target.drift
        ),
        key=lambda each: each[:2],
    )
    return {
        target.resource: _as_found(mine[target.resource], target)
        for rank, key, target in lower
        if target.resource in mine and (rank, key) < (mine[target.resource].rank, entry.key)
    }


def _as_found(upper: TargetRecord, lower: TargetRecord) -> Mapping[str, Any]:
    """The state that the lower plan made, with what people had changed of it when the upper one found it."""
    wrote = lower.wanted if lower.wrote is None else lower.wrote
    changes = planning.changes_for(upper)
    ours = (wrote, lower.found)
    return blend(changes.groups(upper.found, ours, wrote), live=upper.found, ours=ours, original=wrote)


def _log(session: Session, target: TargetRecord) -> None:
    level = logging.WARNING if target.reason else logging.INFO
    extra = {"labels": {"entry": session.entry.key, "service": target.short_name, "region": target.place.region}}
    log.log(level, "%s", ": ".join(part for part in (target.resource, target.status, target.reason) if part), extra=extra)
