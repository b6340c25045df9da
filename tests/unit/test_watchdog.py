"""The ladder: which messages make a plan, which do not, and what the end of a period puts back."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from shared.errors import Conflict, EventRejected, JournalError, Unavailable
from shared.watchdog import TRIES
from tests.doubles import scaling
from tests.envelopes import ACCOUNT, BUDGET, PERIOD
from tests.stage import (
    HERE,
    IDLE_80,
    NEXT_PERIOD,
    NOTIFY_50,
    POOLS,
    PROJECT,
    STOPPED,
    STOPPED_100,
    THERE,
    Stage,
    a_notification,
    a_policy,
    full_name,
)

LADDER = (NOTIFY_50, IDLE_80, STOPPED_100)


@pytest.fixture
def stage() -> Stage:
    """Two staging services in two regions and one of production, under a ladder of three steps."""
    built = Stage(a_policy(*LADDER))
    built.service("ranker")
    built.service("gateway", THERE, minimum=1, maximum=9)
    built.service("pay", labels={"env": "prod"})
    return built


def series(stage: Stage) -> list[Decimal]:
    """The spends that are remembered of the budget."""
    kept = stage.journal.budget(ACCOUNT, BUDGET)
    assert kept
    return [point.cost for point in kept.record.series]


# levels


def test_below_the_first_step_a_message_is_only_remembered(stage: Stage) -> None:
    """A status is not an alarm."""
    assert stage.send(49) == ["status"]
    assert (stage.posts, stage.open(), stage.closed()) == ([], [], [])
    assert series(stage) == [Decimal(49)]


def test_a_step_that_only_notifies_says_so_and_is_done(stage: Stage) -> None:
    """One message, no write, and nothing left open."""
    assert stage.send(50) == ["closed"]
    assert len(stage.posts) == 1
    assert "passed 50 %" in stage.posts[0]
    assert (stage.written(), stage.open()) == ([], [])


def test_several_steps_at_once_make_one_plan_and_one_message(stage: Stage) -> None:
    """From 10 to 120 percent in one go: the strongest wins, each service is written once, and people are told once."""
    assert stage.send(120) == ["carried on"]
    assert sorted(stage.written()) == ["gateway", "ranker"]
    assert {stage.state(full_name("ranker"))["count"], stage.state(full_name("gateway", THERE))["count"]} == {0}
    assert [step.key for step in stage.entry().steps] == ["actual-0.5", "actual-0.8", "actual-1"]
    assert len(stage.posts) == 1
    assert stage.entry().key.startswith("budget-20261101-actual-100-")


def test_production_is_never_touched_and_named_with_its_reason(stage: Stage) -> None:
    """People see what was left alone, and why."""
    stage.send(120)
    assert stage.state(full_name("pay")) == scaling(minimum=2)
    assert [(record.resource, record.reason) for record in stage.entry().untouched] == [
        (full_name("pay"), "protected by the label env=prod")
    ]


def test_each_step_is_carried_out_once_however_often_the_status_comes(stage: Stage) -> None:
    """The threshold repeats in every message until the period ends."""
    for cost in (81, 81, 84, 90, 99):
        stage.send(cost)
        stage.clock.sleep(1800)
    assert sorted(stage.written()) == ["gateway", "ranker"]
    assert len(stage.posts) == 1


def test_a_message_that_comes_again_changes_nothing_in_the_journal(stage: Stage) -> None:
    """Pub/Sub delivers at least once, so a hundred repeats cost a hundred reads and no write, whether the step's entry is open or closed."""
    for cost in (51, 82):
        stage.send(cost)
        before = dict(stage.bucket.objects)
        assert [stage.send(cost) for _ in range(3)] == [["status"]] * 3
        assert stage.bucket.objects == before


def test_a_spend_that_falls_takes_nothing_back_and_starts_nothing_anew(stage: Stage) -> None:
    """Credits and corrections lower the cost; the next crossing of the same step is none."""
    for cost in (85, 40, 85):
        stage.send(cost)
    assert sorted(stage.written()) == ["gateway", "ranker"]
    assert len(stage.posts) == 1
    assert series(stage) == [Decimal(85), Decimal(40)]


def test_steps_that_follow_each_other_are_plans_of_their_own(stage: Stage) -> None:
    """Notified at 50, idle at 80, stopped at 100 percent, and each is told once."""
    for cost in (55, 85, 101):
        stage.send(cost)
    assert stage.written().count("ranker") == 2
    assert [text.splitlines()[0] for text in stage.posts] == [f"ML Training Budget passed {at} %" for at in (50, 80, 100)]
    assert len(stage.open()) == 2


@pytest.mark.parametrize(
    ("cost", "more", "parked"),
    [
        (70, {"actual_threshold": Decimal("0.8")}, True),
        (80, {"actual_threshold": None}, True),
        (0, {"amount": Decimal(0), "actual_threshold": None}, False),
        (90, {"amount": Decimal(0), "actual_threshold": Decimal("0.8")}, True),
        (10, {"forecast_threshold": Decimal("1.2")}, False),
    ],
    ids=["threshold only", "computed only", "amount 0", "amount 0 with a threshold", "forecast alone"],
)
def test_the_level_is_the_larger_of_what_is_computed_and_what_is_told(stage: Stage, cost: int, more: dict[str, Any], parked: bool) -> None:
    """A budget of 0 has no computed level, and a forecast is no spend."""
    stage.send(cost, **more)
    assert bool(stage.written()) is parked


def test_forecast_and_actual_are_steps_beside_each_other() -> None:
    """Both are reached by one message and make one plan; each is done once."""
    stage = Stage(a_policy("{at: 90%, on: forecast, do: [notify]}", IDLE_80))
    stage.service("ranker")
    stage.send(10, forecast_threshold=Decimal("0.9"))
    assert "is forecast to pass 90 %" in stage.posts[0]
    assert stage.written() == []
    stage.send(85, forecast_threshold=Decimal("0.9"))
    assert stage.written() == ["ranker"]
    assert len(stage.posts) == 2


def spent_each_day(stage: Stage, *days: int) -> None:
    """Days of which each spends so many percent, and is told of four times."""
    cost = Decimal(0)
    stage.clock.instant = PERIOD
    for each in days:
        for _ in range(4):
            cost += Decimal(each) / 4
            stage.clock.sleep(6 * 3600)
            stage.send(cost)


def test_how_fast_the_budget_is_used_up_is_told_and_recorded(stage: Stage) -> None:
    """With the next step and the whole of the budget, each with its date; the forecast is a step of another kind."""
    stage.policy = a_policy(*LADDER, "{at: 90%, on: forecast, do: [notify]}")
    spent_each_day(stage, *[5] * 10)
    assert "At this rate 80 % on 17 Nov, 100 % on 21 Nov (estimate: about $5.00 a day)" in stage.posts[0].splitlines()
    (entry,) = stage.closed()
    assert entry.burn
    assert [reach.share for reach in entry.burn.reaches] == [Decimal("0.8"), Decimal(1)]
    assert entry.burn.projected == Decimal("150.208333333")


def test_a_sudden_rise_is_told(stage: Stage) -> None:
    """With the step that it reaches."""
    spent_each_day(stage, *[4] * 9, 16)
    assert "Sudden rise: about $16 in the last day, about $4.00 a day before" in stage.posts[0].splitlines()


def test_a_share_that_the_message_says_is_reached_has_no_date(stage: Stage) -> None:
    """The message's own threshold may be ahead of its cost."""
    spent_each_day(stage, *[5] * 9)
    stage.send(45, actual_threshold=Decimal("0.8"))
    assert "At this rate 100 % on 21 Nov" in stage.posts[0]


def test_of_an_estimate_of_days_ago_nothing_is_told() -> None:
    """A step that waited for a yes is refused by a limit much later; the dates may have passed, and stay in the record."""
    stage = Stage(a_policy(f"{{at: 50%, approve: true, do: [{POOLS}]}}", more="limits: {targets: 0}"))
    stage.pool("batch", 2)
    spent_each_day(stage, *[5] * 10)
    stage.clock.sleep(3 * 24 * 3600)
    stage.ann().approve(stage.entry().key)
    assert ["At this rate" in post for post in stage.posts] == [True, False]
    assert "REFUSED BY A LIMIT" in stage.posts[1]
    assert stage.entry().burn


# what starts nothing


def test_a_stale_message_starts_nothing_and_is_remembered(stage: Stage) -> None:
    """Older than six hours it is a status, and no reason to act."""
    assert stage.send(85, sent_at=stage.clock.now() - timedelta(hours=6, seconds=1)) == ["stale"]
    assert stage.written() == []
    assert series(stage) == [Decimal(85)]
    assert stage.send(85, sent_at=stage.clock.now() - timedelta(hours=6)) == ["carried on"]


def test_a_stale_message_does_not_begin_a_new_period(stage: Stage) -> None:
    """Putting everything back is an action too."""
    stage.send(85)
    stage.clock.instant = NEXT_PERIOD + timedelta(days=1)
    assert stage.send(1, period_start=NEXT_PERIOD, sent_at=NEXT_PERIOD) == ["stale"]
    kept = stage.journal.budget(ACCOUNT, BUDGET)
    assert kept
    assert kept.record.period_start == PERIOD
    assert stage.state(full_name("ranker")) == scaling()


def test_a_message_of_an_older_period_is_ignored(stage: Stage) -> None:
    """It comes late and would park what the new period has just put back."""
    stage.next_period()
    assert stage.send(120) == ["older period"]
    assert stage.written() == []
    assert series(stage) == [Decimal(1)]


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("foreign-account", {"billing_account": "FFFFFF-FFFFFF-FFFFFF"}),
        ("unknown-budget", {"budget_name": "Somebody else's"}),
        ("future-period", {"period_start": NEXT_PERIOD}),
    ],
)
def test_a_message_that_is_not_meant_for_it_is_rejected_and_told_once_a_day(kind: str, more: dict[str, Any]) -> None:
    """Once for each kind; the next day it is worth telling again."""
    stage = Stage(a_policy(NOTIFY_50, budget="ML Training Budget", more=f"allowed_billing_accounts: [{ACCOUNT}]"))
    for _ in range(2):
        with pytest.raises(EventRejected) as rejection:
            stage.watchdog().respond(a_notification(99, **more))
        assert rejection.value.kind == kind
        stage.watchdog().reject(rejection.value)
    assert len(stage.posts) == 1
    stage.clock.sleep(24 * 3600)
    stage.watchdog().reject(rejection.value)
    stage.watchdog().reject(EventRejected("not-json", "the data is not JSON"))
    assert len(stage.posts) == 3
    assert stage.journal.budget(ACCOUNT, BUDGET) is None
    assert stage.open() == []


def test_a_budget_is_known_by_its_id_before_its_name() -> None:
    """Names are not unique and may be edited."""
    stage = Stage(a_policy(NOTIFY_50, budget=BUDGET))
    assert stage.send(60, budget_name="renamed yesterday") == ["closed"]


def test_two_budgets_have_ladders_of_their_own(stage: Stage) -> None:
    """The same step of another budget is another plan, and finds the service parked already."""
    stage.send(85)
    stage.send(85, budget_id="another")
    assert stage.written().count("ranker") == 1
    assert "already idle" in stage.posts[1]


# observe and enforce


def test_a_dry_run_says_what_it_would_do_and_does_nothing() -> None:
    """The same plan, stopped before the writes."""
    stage = Stage(a_policy(IDLE_80, mode="observe"))
    name = stage.service("ranker")
    assert stage.send(85) == ["closed"]
    assert stage.state(name) == scaling(minimum=2)
    assert stage.posts[0].startswith("DRY RUN: ML Training Budget passed 80 %")
    assert [target.status for target in stage.closed()[0].targets] == ["rehearsed"]


def test_a_dry_run_does_not_use_up_the_step() -> None:
    """Switched to enforce in the same period, the step is carried out as it was shown."""
    stage = Stage(a_policy(IDLE_80, mode="observe"))
    stage.service("ranker")
    stage.send(85)
    stage.send(86)
    assert len(stage.posts) == 1
    stage.policy = a_policy(IDLE_80)
    stage.send(87)
    assert stage.written() == ["ranker"]
    rehearsed, done = stage.closed()[0].targets[0], stage.entry().targets[0]
    assert rehearsed.wanted == done.wanted
    assert len(stage.posts) == 2


# the next period


def test_the_next_period_puts_everything_back_exactly(stage: Stage) -> None:
    """Whatever the spend, since a new period begins at zero; one message says so, and nothing stays open."""
    stage.policy = a_policy(IDLE_80, f"{{at: 100%, do: [{STOPPED}, {POOLS}]}}")
    stage.pool("trainer", 3)
    stage.service("manual", mode="manual", count=4)
    before = stage.states()
    stage.send(85)
    stage.send(120)
    assert stage.written() == ["manual", "ranker", "gateway", "manual", "ranker", "gateway", "trainer"]
    assert stage.next_period() == ["closed", "closed"]
    assert stage.states() == before
    assert stage.open() == []
    assert len([text for text in stage.posts if "put back" in text.splitlines()[0]]) == 1


def test_the_next_period_has_a_ladder_of_its_own(stage: Stage) -> None:
    """The same steps may be reached again, even by its first message."""
    stage.send(85)
    stage.next_period(cost=85)
    assert stage.written().count("ranker") == 3
    assert stage.state(full_name("ranker")) == scaling()
    assert stage.entry().notification
    assert [target.before for target in stage.entry().targets if target.short_name == "ranker"] == [scaling(minimum=2)]


def test_a_manual_policy_keeps_things_parked_and_calls_off_what_was_not_done() -> None:
    """`restore: manual` waits for a person; a step that still waited belongs to the ended period."""
    stage = Stage(a_policy(IDLE_80, f"{{at: 100%, wait: 30d, do: {STOPPED_100.split('do: ')[1]}", restore="manual"))
    name = stage.service("ranker")
    stage.send(120)
    assert stage.next_period() == ["carried on"]
    assert stage.state(name) == scaling()
    assert [step.state for step in stage.entry().steps] == ["planned", "cancelled"]
    assert "called off" in stage.posts[-1]
    assert [outcome.what for outcome in stage.ann().restore_entry(stage.entry().key)] == ["closed"]
    assert stage.state(name) == scaling(minimum=2)


def test_a_manual_policy_with_nothing_to_call_off_says_nothing(stage: Stage) -> None:
    """The turn of the month is no news there."""
    stage.policy = a_policy(IDLE_80, restore="manual")
    stage.send(85)
    posts = len(stage.posts)
    stage.next_period()
    assert len(stage.posts) == posts


def test_a_step_that_waits_for_approval_ends_with_its_period() -> None:
    """Nobody said yes, so it is called off, once."""
    stage = Stage(a_policy(f"{{at: 80%, approve: true, do: {IDLE_80.split('do: ')[1]}"))
    stage.service("ranker")
    stage.send(85)
    stage.next_period()
    assert stage.open() == []
    assert [step.state for step in stage.closed()[0].steps] == ["cancelled"]
    assert len(stage.posts) == 2


# the journal's refusals


def test_a_budget_whose_record_cannot_be_read_is_not_acted_upon(stage: Stage) -> None:
    """What was done already is in that record, so doing it anew would be a guess."""
    stage.bucket.objects[f"budgets/{ACCOUNT}/{BUDGET}.json"] = (b"{}", 1, {})
    with pytest.raises(JournalError):
        stage.send(85)
    assert stage.written() == []


def test_others_who_write_the_budget_all_the_time_make_it_come_again(stage: Stage) -> None:
    """After so many tries the message is handed back, and nothing was begun."""
    tried: list[str] = []

    def conflict(method: str) -> None:
        if method == "write":
            tried.append(method)
            if len(tried) % 2 == 0:
                raise Conflict("somebody else wrote it")

    stage.hooks.before = conflict
    with pytest.raises(Unavailable, match="others write to the journal all the time"):
        stage.send(85)
    stage.heal()
    assert len(tried) == 2 * TRIES
    assert (stage.written(), stage.open()) == ([], [])
    assert stage.send(85) == ["carried on"]


def test_the_watchdog_leaves_itself_alone() -> None:
    """It runs on a Cloud Run service too, which its platform names, and its project's policy may mean."""
    stage = Stage(a_policy('{at: 80%, do: [{scale_to_zero: {select: {services: ["*"]}, to: stopped}}]}'))
    stage.service("budget-alert", labels={})
    stage.watchdog(service="budget-alert").respond(a_notification(85))
    assert stage.written() == []
    assert stage.closed()[0].untouched[0].reason == "the watchdog itself"


def test_the_watchdogs_own_project_is_looked_at_where_the_policy_names_none(stage: Stage) -> None:
    """The scope may leave projects out."""
    scope = stage.policy.scope.model_copy(update={"projects": (), "regions": (HERE,)})
    stage.policy = stage.policy.model_copy(update={"scope": scope})
    stage.send(85)
    assert [target.place.project for target in stage.entry().targets] == [PROJECT]
