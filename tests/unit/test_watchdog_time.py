"""Time: what does not fit into one invocation, what a quota allows, and how often something is tried."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from shared.errors import Unavailable
from tests.stage import HERE, IDLE_80, Stage, a_notification, a_policy, full_name

RANKER = full_name("ranker")


def estate(services: int = 6) -> Stage:
    """Services of staging under one step."""
    stage = Stage(a_policy(IDLE_80))
    for number in range(services):
        stage.service(f"service-{number}", HERE)
    return stage


def slowly(stage: Stage, seconds: float) -> None:
    """Let every write take its time."""
    stage.hooks.after = lambda method: stage.clock.sleep(seconds) if method == "update" else None


def alert(stage: Stage, seconds: int) -> list[str]:
    """An alert for an invocation that has so long."""
    watchdog = stage.watchdog(time_budget=timedelta(seconds=seconds))
    return [outcome.what for outcome in watchdog.respond(a_notification(85, sent_at=stage.clock.now()))]


def test_what_does_not_fit_into_one_invocation_goes_on_through_the_tasks_topic() -> None:
    """Nothing new is begun after the time is up; one message tells of all of it at the end."""
    stage = estate()
    slowly(stage, 10)
    assert alert(stage, 25) == ["unfinished"]
    assert len(stage.written()) == 3
    assert stage.posts == []
    (key,) = stage.tasks.asked
    assert stage.watchdog(time_budget=timedelta(seconds=15)).resume(key).what == "unfinished"
    assert stage.watchdog().resume(key).what == "carried on"
    assert sorted(stage.written()) == [f"service-{number}" for number in range(6)]
    assert len(stage.posts) == 1
    assert "DONE (6)" in stage.posts[0]


def test_without_the_tasks_topic_the_tick_goes_on() -> None:
    """The topic only makes it quicker."""
    stage = estate()
    slowly(stage, 10)
    stage.tasks.down = True
    assert alert(stage, 25) == ["unfinished"]
    stage.heal()
    stage.tick()
    assert len(stage.written()) == 6


def test_without_a_tasks_topic_at_all_the_tick_goes_on_too() -> None:
    """None is set up."""
    stage = estate()
    slowly(stage, 10)
    watchdog = stage.watchdog(time_budget=timedelta(seconds=25))
    object.__setattr__(watchdog.world, "tasks", None)
    watchdog.respond(a_notification(85, sent_at=stage.clock.now()))
    stage.heal()
    stage.tick()
    assert len(stage.written()) == 6


def test_a_tick_that_has_no_time_left_leaves_the_rest_to_the_next() -> None:
    """The longest overdue come first, so none is passed over for ever."""
    stage = Stage(a_policy(IDLE_80))
    stage.service("ranker", HERE)
    stage.messenger.down = True
    for budget in ("first", "second"):
        stage.send(85, budget_id=budget)
    stage.messenger.down = False
    stage.clock.sleep(600)
    stage.hooks.before = lambda method: stage.clock.sleep(30) if method == "post" else None
    outcomes = stage.watchdog(time_budget=timedelta(seconds=20)).tick()
    assert len(outcomes) == 1
    stage.heal()
    stage.settle()
    assert len(stage.posts) == 2


def test_writes_wait_for_the_quota_and_lose_nothing() -> None:
    """180 a minute for one place: 400 take more than two minutes, and none is refused."""
    stage = estate(400)
    stage.policy = a_policy(IDLE_80, more="limits: {targets: 500}")
    begun = stage.clock.now()
    assert alert(stage, 600) == ["carried on"]
    assert len(stage.written()) == 400
    assert timedelta(minutes=2) <= stage.clock.now() - begun <= timedelta(minutes=3)


def always(stage: Stage, method: str, happening: Callable[[], None]) -> None:
    """Let something happen before every call of a method."""
    stage.hooks.before = lambda called: happening() if called == method else None


def test_what_fails_each_time_is_tried_a_few_times_and_then_left_to_the_tick() -> None:
    """Four times in one invocation, with growing pauses, and told once."""
    stage = estate(1)
    tries: list[object] = []

    def fail() -> None:
        tries.append(stage.clock.now())
        raise Unavailable("no answer", resource=RANKER)

    always(stage, "update", fail)
    alert(stage, 600)
    assert len(tries) == 4
    assert "FAILED (1)" in stage.posts[0]
    stage.heal()
    stage.tick(20)
    assert len(stage.written()) == 1
    assert len(stage.posts) == 2


def test_patience_that_the_platform_asks_for_is_kept_across_invocations() -> None:
    """Two minutes are too long to wait inside one invocation, and too short a time to forget."""
    stage = estate(1)
    stage.strike("update", lambda: Unavailable("busy", resource=RANKER, retry_after=120))
    alert(stage, 600)
    assert stage.written() == []
    asked = stage.entry().targets[0].retry_at
    assert asked
    assert asked - stage.clock.now() >= timedelta(seconds=119)
    stage.heal()
    stage.tick(1)
    assert stage.written() == []
    stage.tick(2)
    assert len(stage.written()) == 1


def test_who_changes_it_again_and_again_is_left_in_peace_for_a_while() -> None:
    """A deployment right before each write: after a few plans the watchdog gives way, says so, and comes back later."""
    stage = estate(1)
    name = full_name("service-0")
    counts = iter(range(3, 50))
    always(stage, "update", lambda: stage.services.deploy(name, "bob@acme.example", minimum=next(counts)))
    alert(stage, 600)
    assert stage.written() == []
    stage.settle()
    assert any("somebody else changes it again and again" in text for text in stage.posts)
    stage.heal()
    stage.settle()
    assert len(stage.written()) == 1
    live = stage.state(name)["minimum"]
    stage.next_period()
    stage.settle()
    assert (live, stage.state(name)["minimum"]) == (0, next(counts) - 1)
