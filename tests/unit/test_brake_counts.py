"""What the brake counts: nothing twice and nothing that was not to be changed, resources and runs apart, and what a person agreed to whatever the limit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.brake import Brake, Change, Kind
from shared.braking import Braking
from shared.errors import Unavailable
from shared.model import Place
from shared.objects.job import rule_id
from tests.stage import HERE, IDLE_80, PROJECT, THERE, Crash, Stage, full_name
from tests.unit.test_brake import NOW, an_estate, asks, recorded, told
from tests.unit.test_delete_noncurrent import a_yard, policy
from tests.yard import RUNS, Yard, a_rule, the_policy

LADDER = f'budgets:\n  - budget: "*"\n    steps:\n      - {IDLE_80}'


def a_limited_yard(per_hour: int, *, more: str = "", **rule: object) -> Yard:
    """A watched bucket, and a brake."""
    return Yard(the_policy(a_rule(**rule), more=f"limits: {{per_hour: {per_hour}}}\n{more}"))


def left(yard: Yard) -> int:
    """How many runs still have checkpoints."""
    return len({name.split("/")[1] for name in yard.names() if "ckpt" in name})


def refuse_after_a_count(stage: Stage, times: int, error: Callable[[], BaseException] = lambda: Unavailable("503")) -> list[str]:
    """Let so many writes fail that come right after something was counted; the answer names them once they did."""
    refused, before = list[str](), [stage.journal.brake()]

    def strike(called: str) -> None:
        if called == "write" and len(refused) < times and (now := stage.journal.brake()) != before[0]:
            before[0] = now
            refused.append(called)
            raise error()

    stage.hooks.before = strike
    return refused


def counts(stage: Stage) -> list[int]:
    """What is counted."""
    return [change.count for change in recorded(stage).changes]


# nothing twice, and nothing that was not to be changed


def test_a_plan_that_could_not_be_saved_counts_once() -> None:
    """However often that is tried."""
    stage = an_estate(IDLE_80, per_hour=5)
    refused = refuse_after_a_count(stage, 3)
    with pytest.raises(Unavailable):
        stage.send(85)
    for _ in range(4):
        stage.tick(16)
    assert len(refused) == 3
    assert stage.written() == ["trainer-0", "trainer-1"]
    assert (counts(stage), told(stage)) == ([2], [])


def test_a_place_that_answers_later_counts_once_and_beside_the_plan() -> None:
    """Its own save may be refused, too; two places count both."""
    stage = an_estate(IDLE_80, per_hour=4)
    stage.service("ranker", THERE)
    stage.services.broken.add(Place(PROJECT, THERE))
    stage.send(85)
    stage.services.broken.clear()
    refused = refuse_after_a_count(stage, 2)
    for _ in range(4):
        stage.tick(6)
    assert len(refused) == 2
    assert stage.written() == ["trainer-0", "trainer-1", "ranker"]
    assert (counts(stage), told(stage)) == ([2, 1], [])


def test_places_that_answer_one_after_the_other_all_count() -> None:
    """Both were looked at again together, and only one of them answered."""
    stage = an_estate(IDLE_80, per_hour=4)
    stage.service("ranker", THERE)
    stage.services.broken.update({Place(PROJECT, HERE), Place(PROJECT, THERE)})
    stage.send(85)
    stage.services.broken.remove(Place(PROJECT, HERE))
    stage.tick(5)
    stage.services.broken.clear()
    stage.tick(10)
    assert stage.written() == ["trainer-0", "trainer-1", "ranker"]
    assert counts(stage) == [2, 1]


def test_what_is_parked_again_counts_each_time() -> None:
    """Each time is a change of its own; one that could not be saved is none."""
    stage = an_estate(IDLE_80, per_hour=4, more="on_drift: repark")
    stage.send(85)
    first = full_name("trainer-0")
    stage.tick(15)
    stage.services.deploy(first, "bob@acme.example", minimum=2)
    refused = refuse_after_a_count(stage, 1)
    stage.tick(15)
    stage.tick(15)
    assert (len(refused), counts(stage)) == (1, [2, 1])
    stage.services.deploy(first, "bob@acme.example", minimum=2)
    stage.tick(15)
    assert (counts(stage), stage.state(first)["minimum"]) == ([2, 1, 1], 0)


def test_a_run_whose_worker_dies_counts_once() -> None:
    """Whoever takes up what a dead worker left looks at it again, and asks again."""
    yard = a_limited_yard(2)
    yard.announced()
    yard.clock.sleep(24 * 3600)
    died = refuse_after_a_count(yard, 3, Crash)
    for _ in range(3):
        with pytest.raises(Crash):
            yard.hours(0.3)
    yard.hours(0.3)
    yard.drive()
    assert (len(died), left(yard), counts(yard)) == (3, 0, [1])


def test_runs_that_a_daily_limit_refuses_are_not_counted() -> None:
    """Nothing of them is changed, so that there is nothing to stop for."""
    yard = a_limited_yard(5, limits="{objects_per_day: 8}")
    for number in range(8):
        yard.announced(f"run-{number}")
    yard.hours(24)
    yard.drive()
    assert (left(yard), counts(yard), told(yard)) == (6, [1, 1], [])


def test_what_the_brake_holds_back_is_none_of_the_days_deletions() -> None:
    """When it goes in the end it is counted, once; what had begun to go is counted all the same."""
    yard = a_limited_yard(1)
    yard.announced("run-1")
    yard.announced("run-2")
    yard.hours(24)
    yard.drive()

    def today() -> set[str]:
        kept = yard.journal.ledger(rule_id(RUNS, "runs/{run}/"))
        assert kept
        return {each.run for each in kept.record.reservations.values()}

    (gone,) = {"run-1", "run-2"} - {name.split("/")[1] for name in yard.names() if "ckpt" in name}
    assert today() == {f"runs/{gone}/"}
    yard.ann().release()
    yard.hours(0.3)
    yard.drive()
    assert (left(yard), today()) == (0, {"runs/run-1/", "runs/run-2/"})


def test_what_had_begun_to_go_stays_one_of_the_days_deletions() -> None:
    """A plan that grew stale is made anew, and what the brake holds back then is its rest."""
    yard = a_limited_yard(5)
    yard.announced(objects=5)
    yard.clock.sleep(24 * 3600)
    yard.hooks.after = lambda called: yard.clock.sleep(20) if called == "delete batch" else None
    assert yard.watchdog(time_budget=timedelta(seconds=10)).resume(yard.key()).what == "unfinished"
    yard.heal()
    yard.clock.sleep(2 * 3600)
    yard.journal.save_brake(yard.journal.brake(), Brake(changes=(asks(yard, 5, entry="run-x", kind="runs"),)))
    yard.tick()
    assert told(yard) == ["The brake is on: 6 deletions within an hour would be too many"]
    kept_ledger = yard.journal.ledger(rule_id(RUNS, "runs/{run}/"))
    assert kept_ledger
    assert list(kept_ledger.record.reservations) == [yard.key()]


def test_a_brake_released_at_once_begins_no_second_plan() -> None:
    """What was refused waits, and is looked at anew then; its plan holds each object once."""
    yard = a_limited_yard(0)
    yard.portion = 2
    yard.announced(objects=3)
    yard.clock.sleep(24 * 3600)
    watchdog = yard.watchdog()
    braking = Braking(watchdog.journal, yard.clock, 0, lambda _: yard.ann().release())
    vars(watchdog)["cleaner"] = replace(watchdog.cleaner, braking=braking)
    watchdog.tick()
    assert yard.job().stage == "planning"
    assert (yard.job().portions, left(yard)) == ((), 1)
    yard.hours(0.3)
    yard.drive()
    assert (sum(portion.objects for portion in yard.job().portions), left(yard)) == (4, 0)


# what a person agreed to


def test_a_plan_that_is_larger_than_the_limit_goes_on_once_a_person_says_so() -> None:
    """Otherwise no release would ever help it."""
    stage = an_estate(IDLE_80, per_hour=1)
    stage.send(85)
    stage.ann().release()
    stage.tick(16)
    assert stage.written() == ["trainer-0", "trainer-1"]
    assert (recorded(stage).stops, recorded(stage).agreed, counts(stage)) == ((), (), [2])


def test_a_yes_outlasts_a_save_that_is_refused() -> None:
    """What was allowed once is not refused to its second try."""
    stage = an_estate(IDLE_80, per_hour=1)
    stage.send(85)
    stage.ann().release()
    refused = refuse_after_a_count(stage, 1)
    stage.tick(16)
    stage.tick(16)
    assert (len(refused), len(stage.written()), len(told(stage))) == (1, 2, 2)


def test_a_backlog_goes_on_release_by_release() -> None:
    """Each release lets through what it is about, and what the limit allows; for the rest the brake is on again, and says so."""
    yard = a_limited_yard(1)
    for number in range(4):
        yard.announced(f"run-{number}")
    yard.hours(24)
    yard.drive()
    before = left(yard)
    assert before == 3
    while recorded(yard).stops:
        yard.ann().release()
        yard.hours(0.3)
        yard.drive()
        assert left(yard) < before
        before = left(yard)
    assert before == 0
    assert told(yard).count("The brake is on: 2 deletions within an hour would be too many") >= 1


def a_brake(*asked: Change, limit: int = 4) -> Brake:
    """The record after all these asked."""
    brake = Brake()
    for each in asked:
        brake = brake.after(each, limit)
    return brake


def ask(count: int, *, minutes: float = 0, entry: str = "budget-a", part: str = "actual-1", kind: Kind = "resources") -> Change:
    """An entry asks for a change."""
    return Change(at=NOW + timedelta(minutes=minutes), kind=kind, entry=entry, parts=(part,), count=count)


def test_what_was_allowed_more_than_an_hour_ago_is_asked_for_anew() -> None:
    """A plan that was counted, and could not be recorded for so long, finds the limit used up by others; within the hour it was counted itself."""
    brake = a_brake(ask(3), ask(1, entry="budget-b", minutes=1))
    assert brake.after(ask(3, minutes=59), 4).stops == ()
    later = brake.after(ask(3, entry="budget-c", minutes=61), 4)
    assert later.after(ask(3, minutes=62), 4).stops


def test_a_yes_holds_for_what_was_seen() -> None:
    """No larger plan, no other entry, no other part of it and no second time."""
    stopped = a_brake(ask(5))
    agreed = stopped.released(stopped.stops, "ann", NOW)
    assert agreed.after(ask(5), 4).stops == ()
    for other in (ask(6), ask(5, entry="budget-b"), ask(5, part="actual-2"), ask(5, kind="runs")):
        assert agreed.after(other, 4).stops
    assert agreed.after(ask(5), 4).after(ask(5, minutes=61), 4).stops
    again = a_brake(ask(7, entry="budget-b"))
    assert agreed.but(stops=again.stops).released(again.stops, "ann", NOW).agreed == again.stops


# resources and runs apart


def test_who_can_make_up_failed_runs_cannot_stop_the_budgets() -> None:
    """Too many runs stop the deletion of runs, and nothing else."""
    yard = a_limited_yard(5, more=LADDER)
    yard.service("trainer-0")
    for number in range(8):
        yard.put(f"runs/fake-{number}/x")
        yard.fail(f"fake-{number}")
    yard.tick()
    yard.hours(24)
    yard.drive()
    assert [stop.kind for stop in recorded(yard).stops] == ["runs"]
    (letter,) = [post for post in yard.posts if post.startswith("The brake")]
    assert "no more runs are deleted. What budgets change is counted apart; this does not stop it." in letter
    yard.send(85)
    assert yard.written() == ["trainer-0"]


def test_what_a_budgets_step_does_to_objects_is_stopped_with_the_budgets() -> None:
    """It counts as one resource, and failed runs have no part in that."""
    yard = a_yard(policy())
    yard.policy = yard.policy.model_copy(update={"limits": yard.policy.limits.model_copy(update={"per_hour": 1})})
    yard.send(85)
    yard.tick()
    yard.drive()
    assert [(change.kind, change.count) for change in recorded(yard).changes] == [("resources", 1)]
    assert [stop.kind for stop in recorded(yard).stops] == ["resources"]
    yard.ann().release()
    yard.tick(16)
    yard.drive()
    assert {job.stage for job in yard.jobs().values()} == {"done"}


def test_both_kinds_may_be_stopped_at_once() -> None:
    """A button releases the stop that it stands below; without one, all of them are released."""
    yard = a_limited_yard(1, more=LADDER)
    yard.service("trainer-0")
    yard.service("trainer-1")
    for name in ("run-1", "run-2"):
        yard.announced(name)
    yard.hours(24)
    yard.send(85)
    record = recorded(yard)
    assert {stop.kind for stop in record.stops} == {"resources", "runs"}
    (button,) = [block for block in yard.message("The brake is on: 2 deletions").blocks if block["type"] == "actions"]
    yard.press("release", button["block_id"])
    assert [stop.kind for stop in recorded(yard).stops] == ["resources"]
    assert "the brake is on for resources since" in yard.press("release", button["block_id"])
    yard.journal.save_brake(yard.journal.brake(), record)
    yard.ann().release()
    assert recorded(yard).stops == ()


# its clock


def test_a_clock_that_is_ahead_drops_nothing_for_the_others() -> None:
    """Who is an hour ahead takes the last hour's changes for old; the others go on counting them, and what it changed itself."""
    brake = a_brake(ask(3), ask(1, entry="budget-ahead", minutes=90), limit=4)
    assert sum(change.count for change in brake.changes) == 4
    assert brake.after(ask(1, entry="budget-b", minutes=2), 4).stops
    assert [change.count for change in brake.after(ask(1, entry="budget-b", minutes=181), 4).changes] == [1, 1]
