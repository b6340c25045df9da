"""The only writes to what people own: parking and restoring resources, many at once, each result named. Knows nothing of the journal."""

from __future__ import annotations

import contextlib
import logging
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Any

from shared.actions import Changes, State, blend
from shared.entry import Status, TargetRecord
from shared.errors import CloudError, Conflict, Gone, Unavailable
from shared.model import Place, Resource
from shared.pace import Pacer
from shared.plan import changes_for, own
from shared.ports import Clock, Fleet

log = logging.getLogger(__name__)

AFTER_ANOTHER = "another entry that took it over is put back first"
TOO_LATE = "the lease ran out before the write; whoever holds it now goes on"
FOLLOW = 60.0
"""Seconds to follow one operation."""
_GLANCE = 2.0


@dataclass(frozen=True, slots=True)
class Job:
    """One target to be worked on.

    Attributes:
        target: Its record.
        seen: The resource as it was just seen; None where it has to be read first.
        back: For a restore, what another entry still wants it to be; None where the state from before the watchdog is put back.
        refusal: Why the resource as it is now must not be parked, or None; asked right before the write.
    """

    target: TargetRecord
    seen: Resource | None = None
    back: State | None = None
    refusal: Callable[[Resource], str | None] = lambda _: None


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a job.

    Attributes:
        target: Its record afterwards.
        moved: The live resource, where it no longer is as it was seen and has to be planned anew.
        again: Whether trying again soon may help.
        patience: Seconds that the platform asked to wait, if it did.
        back: As in the job.
    """

    target: TargetRecord
    moved: Resource | None = None
    again: bool = False
    patience: float = 0.0
    back: State | None = None


def park(job: Job, fleet: Fleet, may_write: Callable[[], bool]) -> Result:
    """Bring the resource to the wanted state and read it back.

    Args:
        job: What to do.
        fleet: The resources of this kind.
        may_write: Whether the lease still covers a write; asked right before it.
    """
    target, changes, sent = job.target, changes_for(job.target), False
    try:
        live = job.seen or fleet.get(target.resource)
        if live.state != target.found:
            if target.maybe and changes.reached(live.state, target.wanted):
                return Result(_verified(target, changes.made(live.state, target.wanted)))
            return Result(target, moved=live)
        if job.refusal(live):
            return Result(target, moved=live)
        if not may_write():
            return Result(target.but(reason=TOO_LATE), again=True)
        sent = True
        fleet.write(live, target.wanted, timeout=FOLLOW)
        target = target.but(maybe=True)
        live = fleet.get(target.resource)
    except Gone:
        return Result(target.but(status="skipped", reason="was deleted meanwhile"))
    except Conflict as error:
        return _moved(target, fleet, error)
    except CloudError as error:
        return _failed(target.but(status="failed", maybe=target.maybe or (sent and isinstance(error, Unavailable))), error)
    if changes.reached(live.state, target.wanted):
        return Result(_verified(target, changes.made(live.state, target.wanted)))
    return Result(target, moved=live)


def _verified(target: TargetRecord, wrote: State) -> TargetRecord:
    return target.but(status="verified", wrote=dict(wrote), reason="", attempts=0, retry_at=None)


def restore(job: Job, fleet: Fleet, may_write: Callable[[], bool]) -> Result:
    """Put back what was there before, as far as the live state still is what the watchdog made of it; the arguments are those of `park`."""
    target, changes = job.target, changes_for(job.target)
    original = target.before if job.back is None else job.back
    try:
        live = fleet.get(target.resource)
        back = _back(target, original, live, changes)
        if back == live.state:
            return Result(_quietly(target, _unwritten(target, original, live, back)))
        if not may_write():
            return Result(target.but(reason=TOO_LATE), again=True, back=job.back)
        fleet.write(live, back, timeout=FOLLOW)
        after = fleet.get(target.resource)
    except Gone:
        return Result(target.but(status="left", reason="was deleted meanwhile"))
    except Conflict as error:
        return Result(target.but(attempts=target.attempts + 1, reason=str(error)), again=True, back=job.back)
    except CloudError as error:
        return replace(_failed(target, error), back=job.back)
    return Result(_settled(target, original, after, back, by=live.last_modifier))


def _quietly(before: TargetRecord, after: TargetRecord) -> TargetRecord:
    """The entry that had taken it over has told of it, so this one need not."""
    return after.but(told=after.status) if before.reason == AFTER_ANOTHER else after


def _back(target: TargetRecord, original: State, live: Resource, changes: Changes) -> dict[str, Any]:
    ours = own(target, live)
    return blend(changes.groups(live.state, ours, original), live=live.state, ours=ours, original=original)


def _unwritten(target: TargetRecord, original: State, live: Resource, back: dict[str, Any]) -> TargetRecord:
    """The record after a restore that had nothing to write."""
    settled = _settled(target, original, live, back)
    if target.wrote is not None or settled.status != "restored":
        return settled
    if not target.maybe:
        return settled.but(status="left", reason="was never parked by this plan")
    return settled.but(reason=settled.reason or "it is as it was before, and perhaps was never parked")


def _settled(target: TargetRecord, original: State, live: Resource, back: dict[str, Any], by: str = "") -> TargetRecord:
    """The record after a restore: put back, or left as somebody else made it, or different from what was written."""
    target = target.but(attempts=0, retry_at=None, drift=None)
    whole = _as_before(target, original, live)
    if live.state == whole:
        return target.but(status="restored", reason="" if original == target.before else "another entry still parks it, in its own way")
    if live.state == back:
        who = by or live.last_modifier or "somebody else"
        return target.but(status="left", reason=f"changed meanwhile by {who}: {_differences(whole, live.state)}")
    return target.but(
        status="restored", reason=f"something else came of it: {_differences(back, live.state)}; set it by hand if that matters"
    )


def _as_before(target: TargetRecord, original: State, live: Resource) -> dict[str, Any]:
    """The live state with the original in all that is the action's to change."""
    groups = changes_for(target).groups(live.state, own(target, live), original)
    return blend(groups, live=live.state, ours=(live.state,), original=original)


def _differences(expected: State, found: State) -> str:
    pairs = {name: (expected.get(name, "absent"), found.get(name, "absent")) for name in {**expected, **found}}
    return ", ".join(f"{name} is {value} and not {other}" for name, (other, value) in pairs.items() if other != value)


def _moved(target: TargetRecord, fleet: Fleet, conflict: Conflict) -> Result:
    try:
        return Result(target, moved=fleet.get(target.resource))
    except Gone:
        return Result(target.but(status="skipped", reason="was deleted meanwhile"))
    except CloudError:
        return _failed(target.but(status="failed"), conflict)


def _failed(target: TargetRecord, error: CloudError) -> Result:
    again = isinstance(error, Unavailable)
    patience = (error.retry_after or 0.0) if isinstance(error, Unavailable) else 0.0
    return Result(target.but(attempts=target.attempts + 1, reason=str(error)), again=again, patience=patience)


class Crew:
    """A bounded number of hands for calls to the cloud."""

    def __init__(self, workers: int) -> None:
        """With one worker everything happens in the caller's own thread, in order."""
        self._workers = workers

    def each(
        self, jobs: Sequence[Job], work: Callable[[Job], Result], *, clock: Clock, pacer: Pacer, deadline: float, glance: Callable[[], None]
    ) -> Iterator[Result]:
        """Do the jobs, as many at once as there are hands and quota, and yield each result as it comes.

        Args:
            jobs: What to do; those of one place keep their order.
            work: What to do with one; runs in another thread.
            clock: Time.
            pacer: The quota.
            deadline: On the clock's monotonic scale; nothing is begun after it.
            glance: Called every few seconds and after every result, in the caller's thread: the place to renew a lease.
        """
        queues: dict[Place, deque[Job]] = {}
        for job in jobs:
            queues.setdefault(job.target.place, deque()).append(job)
        with contextlib.ExitStack() as stack:
            pool = stack.enter_context(ThreadPoolExecutor(self._workers)) if self._workers > 1 else None
            running: dict[Future[Result], Place] = {}
            while (queues and clock.monotonic() < deadline) or running:
                pause = self._begin(queues, work, running, pool, clock, pacer, deadline)
                if running:
                    done, _ = wait(running, timeout=min(pause, _GLANCE), return_when=FIRST_COMPLETED)
                    for future in done:
                        del running[future]
                        yield future.result()
                elif queues and clock.monotonic() + pause < deadline:
                    clock.sleep(min(pause, _GLANCE))
                else:
                    return
                glance()

    def _begin(
        self, queues: dict[Place, deque[Job]], work: Callable[[Job], Result], running: dict[Future[Result], Place], pool: ThreadPoolExecutor | None,
        clock: Clock, pacer: Pacer, deadline: float,
    ) -> float:  # fmt: skip
        """Begin what may begin now; the answer is how many seconds to wait before more may."""
        pause, waiting = _GLANCE, set[Place]()
        while (
            len(running) < self._workers and clock.monotonic() < deadline and (ready := [place for place in queues if place not in waiting])
        ):
            # The place with the fewest hands comes first, so that a slow place does not take all of them.
            place = min(ready, key=Counter(running.values()).__getitem__)
            needed = pacer.take(place, clock.monotonic())
            if needed:
                pause = min(pause, needed)
                waiting.add(place)
                continue
            job = queues[place].popleft()
            if not queues[place]:
                del queues[place]
            running[pool.submit(_safely, work, job) if pool else _at_once(work, job)] = place
        return pause


def _at_once(work: Callable[[Job], Result], job: Job) -> Future[Result]:
    future: Future[Result] = Future()
    future.set_result(_safely(work, job))
    return future


def _safely(work: Callable[[Job], Result], job: Job) -> Result:
    """A fault in our own code for one resource is said, and hides no other."""
    try:
        return work(job)
    except Exception as error:
        log.exception("%s: a fault in the watchdog", job.target.resource)
        reason = f"a fault in the watchdog itself: {type(error).__name__}: {error}; please report it"
        status: Status = "restoring" if job.target.status == "restoring" else "failed"
        return Result(job.target.but(status=status, maybe=True, attempts=job.target.attempts + 1, reason=reason))
