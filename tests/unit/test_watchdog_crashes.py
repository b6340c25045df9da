"""A worker dies, or something does not answer, at each single call of a story; and ten of them come at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from shared.errors import Denied, Unavailable
from tests.doubles import scaling
from tests.stage import HERE, IDLE_80, NOTIFY_50, POOLS, STOPPED, THERE, Crash, Stage, a_notification, a_policy, full_name

STOPPED_100 = f"{{at: 100%, do: [{STOPPED}, {POOLS}]}}"
WAIT_100 = f"{{at: 100%, wait: 30m, do: [{STOPPED}, {POOLS}]}}"
FAULTS = [(Crash, "before"), (Crash, "after"), (Unavailable, "before"), (Unavailable, "after"), (Denied, "before")]
FAULT_NAMES = ["killed before", "killed after", "no answer and nothing done", "no answer and done", "denied"]
Act = Callable[[Stage], object]
RANKER = full_name("ranker")


def estate(*steps: str, workers: int = 1) -> Stage:
    """Three services of different kinds in two regions, and a worker pool."""
    stage = Stage(a_policy(*steps), workers=workers)
    stage.service("ranker", HERE, minimum=2, maximum=9)
    stage.service("gateway", THERE, minimum=1, revision_minimum=3)
    stage.service("manual", THERE, mode="manual", count=4)
    stage.pool("trainer", 3)
    return stage


def running(stage: Stage) -> int:
    """How many instances all of them run without any request, at most."""
    states = stage.states().values()
    return sum(
        state["count"] or 0 if state.get("mode") != "automatic" else state["minimum"] + state["revision_minimum"] for state in states
    )


def delivered(stage: Stage, act: Act) -> bool:
    """Whether the invocation came to its end; Pub/Sub delivers again what did not."""
    try:
        act(stage)
    except (Crash, Unavailable, Denied):
        return False
    return True


def played(stage: Stage, act: Act, fault: tuple[type[BaseException], str], number: int) -> list[str]:
    """Act with a fault at the n-th call; then comes the redelivery, and two ticks a minute apart."""
    struck = stage.strike("*", lambda: fault[0]("struck"), side=fault[1], number=number)
    finished = delivered(stage, act)
    stage.heal()
    if not finished:
        act(stage)
    stage.tick()
    stage.tick()
    return struck


def nothing(_: Stage) -> None:
    """Nothing happened before."""


def due(stage: Stage) -> None:
    """The step was warned of, and its wait is over."""
    stage.send(120)
    stage.clock.sleep(1800)


PARKING: dict[str, tuple[tuple[str, ...], Act, Act]] = {
    "one message": ((NOTIFY_50, IDLE_80, STOPPED_100), nothing, lambda stage: stage.send(120)),
    "a takeover": ((IDLE_80, STOPPED_100), lambda stage: stage.send(85), lambda stage: stage.send(120)),
    "a tick": ((IDLE_80, WAIT_100), due, lambda stage: stage.tick(0)),
}


@pytest.mark.parametrize("fault", FAULTS, ids=FAULT_NAMES)
@pytest.mark.parametrize("story", PARKING)
def test_parking_goes_on_within_two_minutes_wherever_it_stopped(story: str, fault: tuple[type[BaseException], str]) -> None:
    """At each single call: nothing is written twice, nothing is told twice, and afterwards everything is put back exactly."""
    steps, earlier, act = PARKING[story]
    for number in count(1):
        stage = estate(*steps)
        before = stage.states()
        earlier(stage)
        written, told = len(stage.written()), len(stage.posts)
        struck = played(stage, act, fault, number)
        where = f"{fault[0].__name__} {fault[1]} call {number}, {struck}"
        assert running(stage) == 0, where
        assert set(Counter(stage.written()[written:]).values()) == {1}, where
        stage.tick(5)  # a message that Slack refused waits so long
        assert len({reference for _, _, reference in stage.messenger.posts}) == len(stage.posts), where
        assert told < len(stage.posts) <= told + 2, where
        stage.next_period()
        assert stage.states() == before, where
        assert stage.open() == [], where
        if not struck:
            assert number > 15
            break


RESTORING: dict[str, Act] = {
    "the next period": lambda stage: stage.next_period(),
    "by hand": lambda stage: stage.ann().restore_all(),
}


@pytest.mark.parametrize("fault", FAULTS, ids=FAULT_NAMES)
@pytest.mark.parametrize("story", RESTORING)
def test_restoring_goes_on_within_two_minutes_wherever_it_stopped(story: str, fault: tuple[type[BaseException], str]) -> None:
    """No record of what was there before is lost on the way, and it is told once."""
    for number in count(1):
        stage = estate(IDLE_80, STOPPED_100)
        before = stage.states()
        stage.send(85)
        stage.send(120)
        stage.clock.sleep(60)
        told = len(stage.posts)
        struck = played(stage, RESTORING[story], fault, number)
        where = f"{fault[0].__name__} {fault[1]} call {number}, {struck}"
        assert stage.states() == before, where
        stage.tick(5)  # a message that Slack refused waits so long
        assert stage.open() == [], where
        assert len({reference for _, _, reference in stage.messenger.posts}) == len(stage.posts), where
        assert told < len(stage.posts) <= told + 3, where
        if not struck:
            assert number > 15
            break


def test_a_killed_workers_lease_is_waited_for_and_no_longer() -> None:
    """The redelivery finds the entry in another's hands and leaves it; a tick after the lease's end goes on."""
    stage = estate(STOPPED_100)
    stage.strike("update", Crash, side="after", number=2)
    assert not delivered(stage, lambda stage: stage.send(120))
    stage.heal()
    assert stage.send(120) == ["busy"]
    assert stage.tick(0.9) == []
    assert stage.tick(0.1) == ["carried on"]
    assert running(stage) == 0
    assert len(stage.posts) == 1


def test_a_plan_whose_steps_another_has_claimed_is_dropped() -> None:
    """Killed between the entry and the claim, and overtaken by a message of a lower level: the higher one plans only what is left."""
    stage = estate(IDLE_80, STOPPED_100)
    stage.strike("write", Crash, number=2)
    assert not delivered(stage, lambda stage: stage.send(120))
    stage.heal()
    stage.send(85)
    stage.send(120)
    assert sorted(step.key for entry in stage.open() for step in entry.steps if entry.claimed) == ["actual-0.8", "actual-1"]
    stage.tick()
    stage.tick()
    assert [entry.claimed for entry in stage.open()] == [True, True]
    assert [text.splitlines()[0] for text in stage.posts] == [f"ML Training Budget passed {at} %" for at in (80, 100)]
    assert stage.closed() == []
    assert max(Counter(stage.written()).values()) == 2


def test_a_plan_of_a_period_that_ended_before_it_was_claimed_is_dropped() -> None:
    """Nobody parks anything in the name of the last month."""
    stage = estate(STOPPED_100)
    stage.strike("write", Crash, number=2)
    assert not delivered(stage, lambda stage: stage.send(120))
    stage.heal()
    stage.next_period()
    stage.tick()
    assert (stage.written(), stage.open(), stage.posts) == ([], [], [])


def test_a_plan_that_a_slow_worker_records_after_it_was_closed_is_dropped() -> None:
    """Between its look at the budget and its record the plan was made, carried out and put back by hand; then it is killed too."""
    stage = estate(IDLE_80)
    before = stage.states()

    def the_whole_story() -> None:
        stage.send(85)
        stage.ann().restore_all()
        stage.strike("read", Crash)

    stage.meanwhile("write", the_whole_story)
    assert not delivered(stage, lambda stage: stage.send(85))
    stage.heal()
    assert [entry.claimed for entry in stage.open()] == [False]
    told = len(stage.posts)
    for _ in range(3):
        stage.tick()
    assert stage.states() == before
    assert stage.open() == []
    assert len(stage.posts) == told


# a worker dies, and before anybody goes on somebody changes a service


def half_parked(*, more: str = "", retried: bool = False) -> Stage:
    """A service that was parked by a worker that died before it could say so, at its first try or at a later one."""
    stage = Stage(a_policy(IDLE_80, STOPPED_100, more=more))
    stage.service("ranker", HERE, maximum=9)
    if retried:
        stage.strike("update", lambda: Denied("run.services.update is missing", resource=RANKER))
        stage.send(85)
        stage.heal()
    stage.strike("update", Crash, side="after")
    assert not delivered(stage, (lambda stage: stage.tick(5)) if retried else (lambda stage: stage.send(85)))
    stage.heal()
    assert stage.state(RANKER) == scaling(maximum=9)
    return stage


def test_a_retry_that_was_killed_after_its_write_is_put_back_too() -> None:
    """It had failed before, so the record says failed; what it wrote is not taken for the original all the same."""
    stage = half_parked(retried=True)
    stage.tick(2)
    assert stage.target(RANKER).status == "verified"
    stage.next_period()
    assert stage.state(RANKER) == scaling(minimum=2, maximum=9)


def test_what_somebody_changed_after_a_worker_died_is_not_overwritten() -> None:
    """It is drift: told with its author, left as it is, and beside it what the watchdog wrote is put back; a higher step still has its turn."""
    stage = half_parked()
    stage.services.deploy(RANKER, "bob@acme.example", revision_minimum=1)
    stage.tick()
    stage.tick(20)
    assert stage.state(RANKER) == scaling(maximum=9, revision_minimum=1)
    (told,) = stage.posts
    assert "CAME BACK (1)" in told
    assert "`ranker` · us-central1 · none kept warm → 1 kept warm · by bob@acme.example" in told
    assert "DONE" not in told
    stage.send(101)
    assert stage.state(RANKER) == scaling(mode="manual", count=0, revision_minimum=1)
    assert stage.written() == ["ranker", "ranker"]
    stage.next_period()
    assert stage.state(RANKER) == scaling(minimum=2, maximum=9, revision_minimum=1)
    assert stage.open() == []


def test_where_nothing_of_a_dead_workers_write_stands_nothing_is_put_back() -> None:
    """Somebody set the minimum anew: whether it was parked before or not, it is theirs, and that is said."""
    stage = half_parked()
    stage.services.deploy(RANKER, "bob@acme.example", minimum=3)
    stage.tick()
    assert stage.written() == ["ranker"]
    assert "SKIPPED (1)" in stage.posts[-1]
    assert "changed by bob@acme.example while this was carried out, so it is left as it is (`on_drift: report`)" in stage.posts[-1]
    stage.services.deploy(RANKER, "bob@acme.example", minimum=0)
    stage.next_period()
    assert stage.state(RANKER) == scaling(maximum=9)


def test_what_somebody_changed_after_a_worker_died_is_parked_again_where_the_policy_says_so() -> None:
    """What they changed becomes part of what is put back."""
    stage = half_parked(more="on_drift: repark")
    stage.services.deploy(RANKER, "bob@acme.example", revision_minimum=1)
    stage.tick()
    assert stage.state(RANKER) == scaling(maximum=9)
    stage.next_period()
    assert stage.state(RANKER) == scaling(minimum=2, maximum=9, revision_minimum=1)


def test_a_maximum_that_somebody_set_after_a_worker_died_stays_theirs() -> None:
    """It does not bring the service back, so nothing is written again; it is not put back either, and named."""
    stage = half_parked()
    stage.services.deploy(RANKER, "bob@acme.example", maximum=4)
    stage.tick()
    assert stage.written() == ["ranker"]
    stage.next_period()
    assert stage.state(RANKER) == scaling(minimum=2, maximum=4)
    assert "changed meanwhile by bob@acme.example: maximum is 4 and not 9" in stage.posts[-1]


@pytest.mark.parametrize("workers", [1, 8])
def test_ten_deliveries_at_once_make_one_plan(workers: int) -> None:
    """One set of writes and one message, however many functions run side by side."""
    stage = estate(NOTIFY_50, IDLE_80, STOPPED_100, workers=workers)
    message = a_notification(120, sent_at=stage.clock.now())
    with ThreadPoolExecutor(10) as functions:
        outcomes = [
            outcome.what for outcomes in functions.map(lambda _: stage.watchdog().respond(message), range(10)) for outcome in outcomes
        ]
    assert set(outcomes) <= {"carried on", "busy", "status"}  # what comes once all is done finds nothing due
    assert "carried on" in outcomes
    assert sorted(stage.written()) == ["gateway", "manual", "ranker", "trainer"]
    assert running(stage) == 0
    assert len(stage.posts) == 1
    assert len(stage.open()) == 1
    kept = stage.journal.budget(message.billing_account, message.budget_id)
    assert kept
    assert set(kept.record.claims.values()) == {stage.entry().key}


def test_ten_levels_at_once_park_each_service_once_a_step() -> None:
    """Messages of different levels overlap: each step is carried out by one entry alone."""
    stage = estate(NOTIFY_50, IDLE_80, STOPPED_100, workers=4)
    messages = [a_notification(cost, sent_at=stage.clock.now()) for cost in (50, 85, 120, 60, 100, 81, 79, 140, 99, 55)]
    with ThreadPoolExecutor(10) as functions:
        list(functions.map(lambda message: stage.watchdog().respond(message), messages))
    stage.tick()
    stage.tick()
    assert running(stage) == 0
    assert max(Counter(stage.written()).values()) <= 2
    steps = [step.key for entry in (*stage.open(), *stage.closed()) for step in entry.steps]
    assert sorted(steps) == ["actual-0.5", "actual-0.8", "actual-1"]
    stage.next_period()
    assert stage.state(RANKER) == scaling(minimum=2, maximum=9)
    assert stage.open() == []
