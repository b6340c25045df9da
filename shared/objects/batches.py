"""Many objects changed in batches: several batches in flight, the answers in the order of the objects, and memory flat."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from threading import Event

from shared.errors import Unavailable
from shared.model import StorageObject
from shared.ports import BATCH, GOES_ON, NO_TIME, Answer, Clock

ROUNDS = 4
"""How often an object is tried within one invocation."""
IN_FLIGHT = 8
"""Batches on their way at once. Cloud Storage takes about 1,000 writes a second of a bucket at first, and more as it scales:
https://docs.cloud.google.com/storage/docs/request-rate"""
LONG = 4
"""Objects on their way at once where each of them takes long: what that takes is processor time and memory."""
GLANCE = 1.0
"""Seconds between two glances while a batch is waited for."""
TOO_LATE = Answer("unavailable", "the lease ran out before the batch was sent")

Operate = Callable[[Sequence[StorageObject]], Sequence[Answer]]
Settled = tuple[Sequence[StorageObject], Sequence[Answer]]


@dataclass(frozen=True, slots=True)
class Batches:
    """How batches are worked on.

    Attributes:
        clock: Time.
        workers: How many may be in flight; with one, everything happens in the caller's own thread.
        deadline: On the clock's monotonic scale; no batch is begun after it.
        may_write: Whether the lease still covers a batch; asked right before each, in its own thread.
        stop: Set it to have no further batch begun; those on their way are still given.
        glance: Called after each batch and while one is waited for, in the caller's thread: the place to renew a lease.
    """

    clock: Clock
    workers: int
    deadline: float
    may_write: Callable[[], bool]
    glance: Callable[[], None]
    stop: Event = field(default_factory=Event)

    def each(self, objects: Sequence[StorageObject], operate: Operate, size: int = BATCH) -> Iterator[Settled]:
        """Change the objects, and yield each batch with its answers, in order; it ends early at the deadline.

        What is unavailable is tried again a few times before its answer is given. What the deadline cut short is not given at all, so that the next
        invocation goes on with it, as long as that comes to something.

        Args:
            objects: All of them.
            operate: Changes a batch.
            size: Objects in a batch; with 1, each of them may take minutes.

        Raises:
            CloudError: A batch as a whole was refused; what others did meanwhile is found again by doing it again.
        """
        waiting = deque(objects[start : start + size] for start in range(0, len(objects), size))
        workers = min(self.workers, IN_FLIGHT if size > 1 else LONG)
        self.stop.clear()
        if size > 1 and (workers <= 1 or len(waiting) <= 1):
            while waiting and not self._late():
                batch = waiting.popleft()
                yield batch, self._answers(batch, operate)
                self.glance()
            return
        running: deque[tuple[Sequence[StorageObject], Future[Sequence[Answer]]]] = deque()
        settled = False
        with ThreadPoolExecutor(workers) as pool:
            while True:
                while waiting and len(running) < workers and not self._late():
                    batch = waiting.popleft()
                    running.append((batch, pool.submit(self._answers, batch, operate)))
                if not running:
                    return
                batch, future = running.popleft()
                while not wait([future], GLANCE).done:
                    self.glance()
                answers = future.result()
                if self._late() and (GOES_ON in answers or (settled and NO_TIME in answers)):
                    return
                yield batch, answers
                settled = True
                self.glance()

    def _late(self) -> bool:
        return self.stop.is_set() or self.clock.monotonic() >= self.deadline

    def _answers(self, batch: Sequence[StorageObject], operate: Operate) -> Sequence[Answer]:
        answers: dict[int, Answer] = {}
        left = list(range(len(batch)))
        for turn in range(ROUNDS):
            if turn and self._late() and (GOES_ON in answers.values() or NO_TIME in answers.values()):
                break
            if turn:
                self.clock.sleep(2.0 ** (turn - 1))
            if not self.may_write():
                answers.update(dict.fromkeys(left, TOO_LATE))
                break
            try:
                given = operate([batch[index] for index in left])
            except Unavailable as error:
                given = [Answer("unavailable", str(error))] * len(left)
            answers.update(zip(left, given, strict=True))
            left = [index for index in left if answers[index].fate == "unavailable"]
            if not left:
                break
        return [answers[index] for index in range(len(batch))]
