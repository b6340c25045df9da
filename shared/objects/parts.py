"""A large plan given to entries of their own, portion by portion, so that many instances share the work; and what the whole and its parts tell each other."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from shared.entry import Entry
from shared.errors import CloudError
from shared.journal import Journal
from shared.objects.in_hand import job_of, put, with_portion
from shared.objects.job import Job, part_key, parts_of
from shared.ports import Tasks, World
from shared.session import Session

log = logging.getLogger(__name__)

SPREAD_FROM = 8
"""With more portions than this, a plan is shared among many instances."""
LOOK_AT_PARTS = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a plan.

    Attributes:
        world: The ports.
        journal: Where they are recorded.
    """

    world: World
    journal: Journal

    def all_done(self, session: Session) -> bool:
        """Give the portions of a large plan to entries of their own, so that many instances share the work; the answer is whether all those are done.

        The last portion stays here, since the sign is in it.
        """
        job, key, tasks = job_of(session), session.entry.key, self.world.tasks
        if sum(not portion.superseded for portion in job.portions) <= SPREAD_FROM or job.parent or tasks is None:
            return True
        if not all(portion.begun for portion in job.portions[:-1]):
            job = job.but(portions=(*(portion.but(begun=True) for portion in job.portions[:-1]), job.portions[-1]))
            put(session, job)
            session.save()
        opened, waiting = set(self.journal.keys(parts_of(key))), 0
        for index, portion in enumerate(job.portions[:-1]):
            part = part_key(key, index)
            if portion.finished or portion.superseded or (job.stopping and portion.settled):
                continue
            closed = None if part in opened else self.journal.load_closed(part)
            if closed and closed.job:
                job = with_portion(job, index, closed.job.portions[0]).but(stopping=job.stopping or closed.job.reason)
            elif part in opened or self._hand_over(session, tasks, part, job.but(portions=(portion,), parent=key)):
                waiting += 1
        parts = (kept.record.job for part in sorted(opened) if (kept := self.journal.load(part))) if waiting else ()
        reason = next((part.reason for part in parts if part and part.reason), "")
        put(session, job.but(due_at=self.world.clock.now() + LOOK_AT_PARTS if waiting else None, reason=reason))
        return not waiting

    def _hand_over(self, session: Session, tasks: Tasks, part: str, job: Job) -> bool:
        """Record a part as an entry of its own, and ask for it to be carried on; a stopped plan hands nothing over."""
        if job.stopping:
            return False
        now = self.world.clock.now()
        self.journal.create(Entry(key=part, created=now, mode=session.entry.mode, job=job), now)
        _ask(tasks, part)
        session.glance()
        return True

    def stopped(self, parent: str) -> str:
        """Why a part does not go on: the whole does not; empty where it does."""
        kept = self.journal.load(parent)
        whole = kept.record.job if kept else None
        if whole and whole.stage == "working" and not whole.stopping:
            return ""
        return (whole.stopping if whole else "") or "the rest of the plan was called off"

    def wake(self, parts: Sequence[str]) -> None:
        """Have parts that wait for something look at once that the whole has stopped; one that is being worked on finds out by itself."""
        now = self.world.clock.now()
        for part in parts:
            kept = self.journal.load(part)
            job = kept.record.job if kept else None
            if kept and job and job.due_at and job.due_at > now and not kept.record.lease:
                self.journal.save(kept, kept.record.but(job=job.but(due_at=None)), now)
            if self.world.tasks:
                _ask(self.world.tasks, part)


def _ask(tasks: Tasks, part: str) -> None:
    try:
        tasks.resume(part)
    except CloudError as error:
        log.warning("%s: the tasks topic did not take it, so the next tick looks at it: %s", part, error, extra={"labels": {"entry": part}})
