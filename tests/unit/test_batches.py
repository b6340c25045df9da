"""Batches: a hundred objects each, several in flight, answers in the order of the objects, and what is unavailable tried again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import repeat

import pytest

from shared.errors import Denied, Unavailable
from shared.model import StorageObject
from shared.objects.batches import IN_FLIGHT, ROUNDS, Batches
from shared.ports import BATCH, DONE, Answer
from tests.doubles import ManualClock

NOW = datetime(2026, 11, 24, tzinfo=UTC)
LATER = Answer("unavailable", "503")


def some(count: int) -> list[StorageObject]:
    """So many objects."""
    return [StorageObject(f"runs/a/{number:05}", number + 1, 1, "STANDARD", NOW) for number in range(count)]


@dataclass
class Platform:
    """Takes batches and remembers them.

    Attributes:
        given: What each object is answered, in turn; then it is done.
        before: Called with each batch before it is answered.
    """

    given: dict[str, list[Answer]] = field(default_factory=dict)
    before: Callable[[Sequence[StorageObject]], None] = lambda _: None
    sent: list[list[str]] = field(default_factory=list)
    in_flight: int = 0
    most: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def operate(self, batch: Sequence[StorageObject]) -> list[Answer]:
        """One batch."""
        with self._lock:
            self.sent.append([each.name for each in batch])
            self.in_flight += 1
            self.most = max(self.most, self.in_flight)
        try:
            self.before(batch)
        finally:
            with self._lock:
                self.in_flight -= 1
        return [self.given[each.name].pop(0) if self.given.get(each.name) else DONE for each in batch]


@dataclass
class Desk:
    """What batches are worked on with.

    Attributes:
        writable: Whether the lease holds, asked each time.
        glances: How many batches had been handed over at each glance.
    """

    workers: int = 1
    deadline: float = 1000
    clock: ManualClock = field(default_factory=ManualClock)
    platform: Platform = field(default_factory=Platform)
    writable: Iterator[bool] | None = None
    glances: list[int] = field(default_factory=list)
    threads: set[str] = field(default_factory=set)

    def work(self, objects: Sequence[StorageObject]) -> list[tuple[StorageObject, Answer]]:
        """All objects with their answers."""
        settled: list[tuple[StorageObject, Answer]] = []

        def glance() -> None:
            self.glances.append(len(settled))
            self.threads.add(threading.current_thread().name)

        writable = self.writable or repeat(True)
        batches = Batches(self.clock, self.workers, self.deadline, lambda: next(writable), glance)
        for batch, answers in batches.each(objects, self.platform.operate):
            settled.extend(zip(batch, answers, strict=True))
        return settled


@pytest.mark.parametrize("workers", [1, 2, 32])
@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 1234])
def test_every_object_is_sent_once_and_answered_in_order(workers: int, count: int) -> None:
    """At most a hundred go in a batch, however many workers there are."""
    desk, objects = Desk(workers), some(count)
    assert desk.work(objects) == [(each, DONE) for each in objects]
    assert sorted(name for batch in desk.platform.sent for name in batch) == [each.name for each in objects]
    assert {len(batch) for batch in desk.platform.sent} <= {BATCH, count % BATCH}


def test_several_batches_are_on_their_way_at_once_and_never_more() -> None:
    """As many as there are workers, and no more than a bucket takes well; a slow one holds nobody's place in the order."""
    together = threading.Barrier(IN_FLIGHT, timeout=5)
    desk = Desk(workers=32)

    def before(batch: Sequence[StorageObject]) -> None:
        if batch[0].generation <= IN_FLIGHT * BATCH:
            together.wait()

    desk.platform.before = before
    objects = some((IN_FLIGHT + 3) * BATCH)
    assert [each for each, _ in desk.work(objects)] == objects
    assert desk.platform.most == IN_FLIGHT


def test_the_answers_come_in_order_although_a_later_batch_is_done_first() -> None:
    """The first batch is answered after the second, and is handed over before it."""
    second_done = threading.Event()
    desk = Desk(workers=2)

    def before(batch: Sequence[StorageObject]) -> None:
        if batch[0].generation == 1:
            assert second_done.wait(5)
        else:
            second_done.set()

    desk.platform.before = before
    objects = some(2 * BATCH)
    assert [each for each, _ in desk.work(objects)] == objects


def test_with_one_worker_everything_happens_in_the_callers_thread() -> None:
    """One batch after the other, so that a test can say what happens when."""
    names: set[str] = set()
    desk = Desk(workers=1)
    desk.platform.before = lambda _: names.add(threading.current_thread().name)
    desk.work(some(3 * BATCH))
    assert names == {threading.current_thread().name}


@pytest.mark.parametrize("workers", [1, 4])
def test_there_is_a_glance_after_each_batch_in_the_callers_thread(workers: int) -> None:
    """After its answers were handed over, so that a save in it has them."""
    desk = Desk(workers)
    desk.work(some(250))
    assert desk.glances == [100, 200, 250]
    assert desk.threads == {threading.current_thread().name}


@pytest.mark.parametrize(("workers", "sent"), [(1, 2), (2, 3)])
def test_no_batch_is_begun_after_the_deadline_and_what_is_on_its_way_is_waited_for(workers: int, sent: int) -> None:
    """What was begun in time is handed over, and the rest is left to the next invocation."""
    desk = Desk(workers, deadline=2)
    batches = Batches(desk.clock, workers, 2, lambda: True, lambda: desk.clock.sleep(1))
    settled = [each for batch, _ in batches.each(some(1000), desk.platform.operate) for each in batch]
    assert settled == some(sent * BATCH)
    assert len(desk.platform.sent) == sent


@pytest.mark.parametrize("workers", [1, 4])
def test_nothing_is_begun_when_the_time_is_up_already(workers: int) -> None:
    """Not one batch."""
    desk = Desk(workers, deadline=0)
    assert desk.work(some(250)) == []
    assert desk.platform.sent == []


def test_what_is_unavailable_is_sent_again_by_itself_with_growing_pauses() -> None:
    """The others of its batch keep the answers that they have."""
    desk, (first, second, third) = Desk(), some(3)
    held = Answer("held", "a hold")
    desk.platform.given = {first.name: [held], second.name: [LATER, LATER], third.name: [LATER]}
    assert desk.work([first, second, third]) == [(first, held), (second, DONE), (third, DONE)]
    assert desk.platform.sent == [[first.name, second.name, third.name], [second.name, third.name], [second.name]]
    assert desk.clock.monotonic() == 1 + 2


def test_what_stays_unavailable_is_answered_so() -> None:
    """After a few rounds with pauses between them; a later invocation may try again."""
    desk, (one,) = Desk(), some(1)
    desk.platform.given = {one.name: [LATER] * ROUNDS}
    assert desk.work([one]) == [(one, LATER)]
    assert len(desk.platform.sent) == ROUNDS
    assert desk.clock.monotonic() == 1 + 2 + 4


def test_a_batch_that_is_not_answered_as_a_whole_is_sent_again() -> None:
    """Each of its objects counts as unavailable; what was done already is found done by doing it again."""
    desk, objects = Desk(), some(2)
    failures = iter([Unavailable("no answer", resource="gs://b"), None])

    def before(_: Sequence[StorageObject]) -> None:
        if failure := next(failures):
            raise failure

    desk.platform.before = before
    assert desk.work(objects) == [(each, DONE) for each in objects]
    assert [len(batch) for batch in desk.platform.sent] == [2, 2]


@pytest.mark.parametrize("workers", [1, 4])
def test_a_batch_that_is_refused_as_a_whole_ends_the_work(workers: int) -> None:
    """What the others on their way did is found again by doing it again; none of them is still on its way afterwards."""
    desk = Desk(workers)

    def before(batch: Sequence[StorageObject]) -> None:
        if batch[0].generation == BATCH + 1:
            raise Denied("no permission", resource="gs://b")

    desk.platform.before = before
    with pytest.raises(Denied):
        desk.work(some(1000))
    assert desk.glances == [100]
    assert desk.platform.in_flight == 0
    assert len(desk.platform.sent) <= 1 + workers


def test_nothing_is_sent_once_the_lease_may_run_out() -> None:
    """It could arrive after somebody else has taken the entry up; what was answered before stays so."""
    desk, (first, second) = Desk(writable=iter([True, False])), some(2)
    desk.platform.given = {second.name: [LATER]}
    too_late = Answer("unavailable", "the lease ran out before the batch was sent")
    assert desk.work([first, second]) == [(first, DONE), (second, too_late)]
    assert len(desk.platform.sent) == 1
    desk.writable = iter([False])
    assert desk.work([first]) == [(first, too_late)]
    assert len(desk.platform.sent) == 1
