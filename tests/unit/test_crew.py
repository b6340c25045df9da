"""Many resources at once: within the quota, the deadline and the lease."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from shared.carry_out import Crew, Job, Result
from shared.entry import Status, TargetRecord, UseRecord
from shared.errors import Conflict
from shared.model import Place
from shared.pace import Pacer
from tests.doubles import ManualClock, scaling
from tests.stage import HERE, PROJECT, THERE, Crash, full_name


def job(number: int, region: str = HERE, status: Status = "intended") -> Job:
    """A target in a region."""
    use = UseRecord(action="scale_to_zero", params={"select": {"services": ["*"]}})
    warm, name = scaling(minimum=2), full_name(f"s{number}", region)
    return Job(
        TargetRecord(resource=name, kind="service", use=use, step="actual-0.8", before=warm, found=warm, wanted=scaling(), status=status)
    )


def jobs(count: int, region: str = HERE) -> list[Job]:
    """So many targets in one region."""
    return [job(number, region) for number in range(count)]


def named(results: Iterator[Result]) -> list[str]:
    """Which were done, in order."""
    return [result.target.short_name for result in results]


def work(job: Job) -> Result:
    """Do nothing, and say so."""
    return Result(job.target)


def test_nothing_is_begun_after_the_deadline() -> None:
    """Each takes a second and there are three of them; the rest is left for the next invocation."""
    clock = ManualClock()

    def slow(job: Job) -> Result:
        clock.sleep(1)
        return Result(job.target)

    assert named(Crew(1).each(jobs(9), slow, clock=clock, pacer=Pacer(), deadline=3, glance=lambda: None)) == ["s0", "s1", "s2"]


def test_the_quota_of_one_place_holds_up_no_other() -> None:
    """Two writes a window in each region: what waits lets the other region go first, and goes on when the window has slid."""
    clock, pacer = ManualClock(), Pacer(writes=2, window=10.0)
    begun: list[tuple[str, float]] = []

    def note(job: Job) -> Result:
        begun.append((job.target.place.region, clock.monotonic()))
        return Result(job.target)

    done = named(Crew(1).each([*jobs(3), *jobs(2, THERE)], note, clock=clock, pacer=pacer, deadline=60, glance=lambda: None))
    assert len(done) == 5
    assert begun == [(HERE, 0.0), (HERE, 0.0), (THERE, 0.0), (THERE, 0.0), (HERE, 10.0)]


def test_a_quota_that_opens_after_the_deadline_is_not_waited_for() -> None:
    """The time is better spent by the next invocation."""
    clock, pacer = ManualClock(), Pacer(writes=1, window=61.0)
    pacer.take(Place(PROJECT, HERE), 0.0)
    assert named(Crew(1).each(jobs(1), work, clock=clock, pacer=pacer, deadline=1, glance=lambda: None)) == []
    assert clock.monotonic() == 0


def test_a_slow_place_does_not_take_all_hands() -> None:
    """One region hangs while the other answers: half of the hands stay with the one that answers, until nothing of it is left."""
    quick_ones = threading.Semaphore(0)
    order: list[str] = []

    def slowly_here(job: Job) -> Result:
        if job.target.place.region == HERE:
            assert quick_ones.acquire(timeout=5)
            quick_ones.release()
        return Result(job.target)

    for result in Crew(4).each(
        [*jobs(8), *jobs(8, THERE)], slowly_here, clock=ManualClock(), pacer=Pacer(), deadline=60, glance=lambda: None
    ):
        order.append(result.target.place.region)
        if order.count(THERE) == 8:
            quick_ones.release()
    assert order == [THERE] * 8 + [HERE] * 8


def test_as_many_are_worked_on_at_once_as_there_are_hands() -> None:
    """Four hands meet at a barrier, twice; a fifth would break it."""
    together = threading.Barrier(4, timeout=5)
    glances: list[str] = []

    def meet(job: Job) -> Result:
        together.wait()
        return Result(job.target)

    crew = Crew(4).each(
        jobs(8), meet, clock=ManualClock(), pacer=Pacer(), deadline=60, glance=lambda: glances.append(threading.current_thread().name)
    )
    assert sorted(named(crew)) == [f"s{number}" for number in range(8)]
    assert set(glances) == {threading.current_thread().name}


@pytest.mark.parametrize("workers", [1, 4])
def test_a_lost_lease_ends_the_work(workers: int) -> None:
    """The glance raises, nothing further is begun, and what runs is waited for."""
    begun: list[str] = []

    def note(job: Job) -> Result:
        begun.append(job.target.short_name)
        return Result(job.target)

    def lost() -> None:
        raise Conflict("somebody else wrote it")

    with pytest.raises(Conflict):
        named(Crew(workers).each(jobs(40), note, clock=ManualClock(), pacer=Pacer(), deadline=60, glance=lost))
    assert len(begun) <= 2 * workers


@pytest.mark.parametrize("workers", [1, 4])
def test_what_kills_one_hand_reaches_the_caller(workers: int) -> None:
    """Nothing is swallowed on the way."""

    def die(_: Job) -> Result:
        raise Crash

    with pytest.raises(Crash):
        named(Crew(workers).each(jobs(3), die, clock=ManualClock(), pacer=Pacer(), deadline=60, glance=lambda: None))


@pytest.mark.parametrize("workers", [1, 4])
def test_a_fault_for_one_resource_hides_no_other(workers: int, caplog: pytest.LogCaptureFixture) -> None:
    """It is said, with a request to report it, and counted as a failure that may have changed something."""

    def fault(job: Job) -> Result:
        if job.target.short_name == "s1":
            raise KeyError("mode")
        return Result(job.target)

    asked = [*jobs(3), job(1, status="restoring")]
    crew = Crew(workers).each(asked, fault, clock=ManualClock(), pacer=Pacer(), deadline=60, glance=lambda: None)
    results = {(result.target.short_name, result.target.status): result.target for result in crew}
    assert set(results) == {("s0", "intended"), ("s1", "failed"), ("s2", "intended"), ("s1", "restoring")}
    assert {results["s1", status].maybe for status in ("failed", "restoring")} == {True}
    assert results["s1", "failed"].reason == "a fault in the watchdog itself: KeyError: 'mode'; please report it"
    assert "a fault in the watchdog" in caplog.text
