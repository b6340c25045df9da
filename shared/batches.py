"""Many objects changed in batches: several batches in flight, the answers in the order of the objects, and memory flat."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from shared.errors import Unavailable
from shared.model import StorageObject
from shared.ports import BATCH, Answer, Clock

ROUNDS = 4
"""How often an object is tried within one invocation."""
IN_FLIGHT = 8
"""Batches on their way at once. Cloud Storage takes about 1,000 writes a second of a bucket at first, and more as it scales:
https://docs.cloud.google.com/storage/docs/request-rate"""
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
        glance: Called after each batch, in the caller's thread: the place to renew a lease.
    """

    clock: Clock
    workers: int
    deadline: float
    may_write: Callable[[], bool]
    glance: Callable[[], None]

    def each(self, objects: Sequence[StorageObject], operate: Operate) -> Iterator[Settled]:
        """Change the objects, and yield each batch with its answers, in order; it ends early at the deadline.

        What is unavailable is tried again a few times before its answer is given.

        Raises:
            CloudError: A batch as a whole was refused; what others did meanwhile is found again by doing it again.
        """
        waiting = deque(objects[start : start + BATCH] for start in range(0, len(objects), BATCH))
        workers = min(self.workers, IN_FLIGHT)
        if workers <= 1 or len(waiting) <= 1:
            while waiting and self.clock.monotonic() < self.deadline:
                batch = waiting.popleft()
                yield batch, self._answers(batch, operate)
                self.glance()
            return
        running: deque[tuple[Sequence[StorageObject], Future[Sequence[Answer]]]] = deque()
        with ThreadPoolExecutor(workers) as pool:
            while True:
                while waiting and len(running) < workers and self.clock.monotonic() < self.deadline:
                    batch = waiting.popleft()
                    running.append((batch, pool.submit(self._answers, batch, operate)))
                if not running:
                    return
                batch, future = running.popleft()
                yield batch, future.result()
                self.glance()

    def _answers(self, batch: Sequence[StorageObject], operate: Operate) -> Sequence[Answer]:
        answers: dict[int, Answer] = {}
        left = list(range(len(batch)))
        for turn in range(ROUNDS):
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
