"""A worker dies, or something does not answer, at each single call while a run is noticed, announced, deleted and put back; and many come at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from shared.errors import CloudError, Denied, Unavailable
from shared.objects import duty, parts
from shared.objects.job import Job
from tests.object_double import MemoryObjects
from tests.stage import Crash
from tests.yard import DAY, RUNS, Yard, the_policy

FAULTS = [(Crash, "before"), (Crash, "after"), (Unavailable, "before"), (Unavailable, "after"), (Denied, "before")]
FAULT_NAMES = ["killed before", "killed after", "no answer and nothing done", "no answer and done", "denied"]
RUN, LOG = "runs/run-1/", "runs/run-1/logs/train.log"
CHECKPOINTS = 5
Act = Callable[[Yard], object]


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan of six objects is three portions and four batches."""
    monkeypatch.setattr(duty, "BATCH", 2)


@pytest.fixture(params=["by one worker", "by many"])
def spread(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the portions are given to entries of their own."""
    many: bool = request.param == "by many"
    monkeypatch.setattr(parts, "SPREAD_FROM", 2 if many else 8)
    return many


def yard(*, workers: int = 1) -> Yard:
    """A run that has failed, one whose name begins the same, and something beside them."""
    built = Yard(the_policy(), workers=workers, portion=3)
    built.run("run-1", objects=CHECKPOINTS)
    built.run("run-10", objects=2)
    built.put("runs/beside")
    built.clock.sleep(1)
    built.put(f"{RUN}_FAILED")
    built.clock.sleep(1)
    return built


def notice(place: Yard) -> None:
    """Storage tells of the marker."""
    place.notice(f"{RUN}_FAILED")


def announced(place: Yard) -> None:
    """The deletion was announced."""
    notice(place)
    place.tick()


def due(place: Yard) -> None:
    """And its time has come."""
    announced(place)
    place.clock.sleep(DAY.total_seconds())


def work(place: Yard) -> None:
    """A tick comes, and the tasks topic delivers whatever it is given."""
    place.tick(0)
    place.drive()


def deleted(place: Yard) -> None:
    """All of it was deleted."""
    due(place)
    for _ in range(3):
        place.tick()
        place.drive()
    assert place.job().stage == "done"
    assert place.names(RUN) == [LOG]


def restore(place: Yard) -> None:
    """Ann wants it back."""
    place.ann().restore_entry(place.key())


def delivered(place: Yard, act: Act) -> bool:
    """Whether the invocation came to its end; Pub/Sub delivers again what did not, and a person repeats it."""
    try:
        act(place)
    except (Crash, CloudError):
        return False
    return True


def played(place: Yard, act: Act, fault: tuple[type[BaseException], str], number: int) -> list[str]:
    """Act with a fault at the n-th call; then comes the redelivery, and time passes."""
    struck = place.strike("*", lambda: fault[0]("struck"), side=fault[1], number=number)
    finished = delivered(place, act)
    place.heal()
    if not finished:
        delivered(place, act)
    go_on(place)
    return struck


def go_on(place: Yard) -> None:
    """Minutes pass, and then the days that a wait may take."""
    for minutes in (1, 1, 1, 5, 60, 60, 25 * 60, 1, 1, 5):
        place.tick(minutes)
        place.drive()


def told(place: Yard) -> Counter[str]:
    """How often people were told of what; no message was posted twice."""
    assert len({reference for _, _, reference in place.messenger.posts}) == len(place.posts)
    kinds = {"will delete": "announced", ": deleted": "deleted", ": put back": "put back", ": cannot": "stuck"}
    return Counter(kind for text in place.posts for words, kind in kinds.items() if words in text.split("\n")[0])


def all_of_it_is_gone(place: Yard, where: str) -> Job:
    """Nothing forgotten, nothing deleted twice, nothing else touched, everything written down, and told once, with the right number."""
    job = place.job()
    assert place.names(RUN) == [LOG], where
    assert len(place.names("runs/run-10/")) == 3, where
    assert "runs/beside" in place.names(), where
    assert job.stage == "done", where
    assert not job.reason, where
    gone = Counter((each.name, each.generation) for each in place.objects.deleted)
    assert set(gone.values()) == {1}, where
    assert len(gone) == CHECKPOINTS + 1, where
    assert {name for name, _ in gone} <= {name for names in place.manifests() for name in names}, where
    assert sum(max(portion.changed, portion.reached) for portion in job.portions) == CHECKPOINTS + 1, where
    messages = told(place)
    assert (messages["announced"], messages["deleted"]) == (1, 1), where
    assert f": deleted {CHECKPOINTS + 1} objects" in place.posts[-1].split("\n")[0], where
    return job


def all_of_it_is_back(place: Yard, before: dict[str, object], where: str) -> None:
    """Every object with the same content, class and checksum; told once, and it stays."""
    assert contents(place.objects) == before, where
    assert told(place)["put back"] == 1, where
    assert len(place.objects.restored) == CHECKPOINTS + 1, where
    assert place.open() == [], where


def contents(objects: MemoryObjects) -> dict[str, object]:
    """All live objects."""
    return {**objects.contents(RUNS)}


STORIES: dict[str, tuple[Act, Act, int]] = {
    "noticing": (lambda _: None, notice, 3),
    "announcing": (notice, work, 10),
    "deleting": (due, work, 30),
}


@pytest.mark.parametrize("fault", FAULTS, ids=FAULT_NAMES)
@pytest.mark.parametrize("story", STORIES)
def test_a_run_is_deleted_whole_wherever_it_stopped(story: str, fault: tuple[type[BaseException], str], spread: bool) -> None:
    """At each single call: no object is forgotten or deleted twice, no other is touched, and people are told once and rightly."""
    earlier, act, calls = STORIES[story]
    for number in count(1):
        place = yard()
        earlier(place)
        struck = played(place, act, fault, number)
        all_of_it_is_gone(place, f"{fault[0].__name__} {fault[1]} call {number}, {struck}, spread: {spread}")
        if not struck:
            assert number > calls
            break


@pytest.mark.parametrize("fault", FAULTS, ids=FAULT_NAMES)
def test_a_run_is_put_back_whole_wherever_it_stopped(fault: tuple[type[BaseException], str]) -> None:
    """At each single call: every object is back as it was and once, and the sign that comes back with it deletes nothing again."""
    for number in count(1):
        place = yard()
        before = contents(place.objects)
        deleted(place)
        struck = played(place, restore, fault, number)
        notice(place)
        go_on(place)
        all_of_it_is_back(place, before, f"{fault[0].__name__} {fault[1]} call {number}, {struck}")
        if not struck:
            assert number > 15
            break


@pytest.mark.parametrize("fault", FAULTS, ids=FAULT_NAMES)
def test_a_deletion_that_died_is_put_back_whole(fault: tuple[type[BaseException], str], spread: bool) -> None:
    """Wherever it stopped: what the dead worker deleted and could not record comes back too, and nothing more is deleted."""
    for number in count(1):
        place = yard()
        before = contents(place.objects)
        due(place)
        struck = place.strike("*", lambda: fault[0]("struck"), side=fault[1], number=number)
        finished = delivered(place, work)
        place.heal()
        restore(place)
        go_on(place)
        where = f"{fault[0].__name__} {fault[1]} call {number}, {struck}, spread: {spread}"
        assert contents(place.objects) == before, where
        assert len(place.objects.restored) == len(place.objects.deleted), where
        assert place.open() == [], where
        told(place)
        if finished and not struck:
            assert number > 15
            break


def stalls(act: Act) -> Iterator[tuple[Yard, str]]:
    """A worker stands still before each single call until its lease is over; others go on, and then it wakes up."""
    for number in count(1):
        place, calls, stalled = yard(), count(1), list[str]()
        due(place)

        def stall(
            called: str, place: Yard = place, calls: Iterator[int] = calls, number: int = number, stalled: list[str] = stalled
        ) -> None:
            # Nothing can be done against one that stands still right before its call reaches Slack.
            if next(calls) == number and called not in ("find", "post"):
                stalled.append(called)
                place.heal()
                for _ in range(3):
                    place.tick(1.1)
                    place.drive()

        place.hooks.before = stall
        delivered(place, act)
        place.heal()
        go_on(place)
        yield place, f"stalled before call {number}, {stalled}"
        if next(calls) <= number:
            assert number > 15
            return


def test_a_worker_that_stood_still_does_no_harm(spread: bool) -> None:
    """What it still does after others have taken over is done already; nothing is told twice."""
    for place, where in stalls(work):
        all_of_it_is_gone(place, f"{where}, spread: {spread}")


def test_many_workers_at_once_delete_a_run_once(spread: bool) -> None:
    """Ten ticks side by side, each with several batches in flight."""
    for _ in range(5):
        place = yard(workers=4)
        due(place)
        with ThreadPoolExecutor(10) as functions:
            list(functions.map(lambda _, place=place: work(place), range(10)))
        go_on(place)
        all_of_it_is_gone(place, f"spread: {spread}")


def test_many_people_at_once_put_a_run_back_once() -> None:
    """Ten of them ask at the same moment."""
    place = yard(workers=4)
    before = contents(place.objects)
    deleted(place)
    with ThreadPoolExecutor(10) as people:
        list(people.map(lambda _: delivered(place, restore), range(10)))
    go_on(place)
    all_of_it_is_back(place, before, "ten at once")


def test_ten_notices_at_once_are_one_entry() -> None:
    """However often storage tells of a marker, and however many of them are handled side by side."""
    place = yard()
    with ThreadPoolExecutor(10) as functions:
        list(functions.map(lambda _: notice(place), range(10)))
    assert len(place.open()) == 1
    go_on(place)
    all_of_it_is_gone(place, "ten notices")
