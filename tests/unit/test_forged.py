"""Messages that nobody of Google's sent: what somebody who may publish to a topic by mistake could do at worst."""

from __future__ import annotations

from datetime import timedelta

import pytest

from functions import slack_desk, triggers, wiring
from shared.objects.runs import Watch
from tests.cloud_events import EMBEDDER, FORMS, LADDER, PAYMENTS, RERANKER, Form, a_stage, budget_event, object_event, task_event
from tests.envelopes import PERIOD
from tests.stage import Stage, a_policy
from tests.yard import RUNS, Yard, the_policy

DAY = timedelta(days=1)


def test_a_forged_spend_is_bounded() -> None:
    """Any spend for any number of made-up budgets: what is protected stays, what asks for a yes waits for it, and all of it is put back as it was."""
    stage = a_stage()
    before = stage.states()
    for number in range(20):
        stage.send(10**14, budget_id=f"made-up-{number}")
    stage.tick(31)
    assert stage.states()[PAYMENTS] == before[PAYMENTS]
    assert "payments" not in stage.written()
    assert {step.state for entry in stage.open() for step in entry.steps if step.key == "actual-1.2"} == {"approval"}
    stage.ann().restore_all()
    stage.settle()
    assert stage.states() == before


def test_a_forged_spend_is_refused_by_account_and_by_limit() -> None:
    """Of an account that the policy does not have nothing comes at all, and no plan changes more than the limit."""
    for more in ("allowed_billing_accounts: [0A0A0A-1B1B1B-2C2C2C]", "limits: {targets: 1}"):
        stage = Stage(a_policy(*LADDER[:2], more=more))
        for name in ("embedder-staging", "reranker-staging"):
            stage.service(name)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(wiring, "watchdog", stage.watchdog)
            triggers.budget_alert(budget_event(10**14))
        assert stage.written() == []


def test_a_forged_spend_changes_no_more_than_the_hour_allows() -> None:
    """However many budgets are made up and whatever they are said to cost: at the limit it stops, and goes on only when a person says so."""
    stage = Stage(a_policy(*LADDER[:3], more="limits: {per_hour: 2}"))
    for name in ("embedder-staging", "reranker-staging"):
        stage.service(name)
    for number in range(20):
        stage.send(10**14, budget_id=f"made-up-{number}")
        stage.tick(2)
    assert sorted(stage.written()) == ["embedder-staging", "reranker-staging"]
    stage.tick(120)
    assert len(stage.written()) == 2
    assert any(post.startswith("The brake is on") for post in stage.posts)
    stage.ann().release()
    stage.settle()
    assert len(stage.written()) == 4


def test_a_forged_period_counts_for_a_day_at_most() -> None:
    """Somebody says that a new period has begun: what is parked is put back, and a day after their last word Google's own messages count again, for higher steps."""
    stage = a_stage()
    stage.send(82)
    stage.clock.sleep(60)
    stage.send(1, period_start=PERIOD + timedelta(days=19))
    assert {stage.state(name)["minimum"] for name in (EMBEDDER, RERANKER)} == {2}
    stage.clock.sleep(6 * 3600)
    assert stage.send(90) == ["older period"]
    stage.clock.sleep(DAY.total_seconds())
    stage.send(90)
    assert {stage.state(name)["minimum"] for name in (EMBEDDER, RERANKER)} == {2}
    stage.send(105)
    stage.tick(31)
    assert {(stage.state(name)["mode"], stage.state(name)["count"]) for name in (EMBEDDER, RERANKER)} == {("manual", 0)}


def test_a_forged_task_does_nothing_that_is_not_due() -> None:
    """Carrying on what waits, or answering what nobody asked for, changes nothing."""
    stage = a_stage()
    stage.send(130)
    waiting, before = stage.entry(), stage.written()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wiring, "watchdog", stage.watchdog)
        patch.setattr(slack_desk, "desk", stage.desk)
        for event in (
            task_event(task="tick"),
            task_event(task="resume", entry=waiting.key),
            task_event(task="slack", request="0" * 40),
            task_event(task="resume", entry="budget-none"),
        ):
            triggers.task(event)
    assert stage.written() == before
    assert {step.key: step.state for step in stage.entry().steps} == {step.key: step.state for step in waiting.steps}


@pytest.mark.parametrize("form", FORMS)
def test_a_forged_storage_event_deletes_nothing(form: Form) -> None:
    """It says that a sign of failure was written, and there is none: the run is looked at, and left alone."""
    yard = Yard(the_policy())
    yard.run("run-1")
    before = yard.names()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wiring, "watchdog", yard.watchdog)
        patch.setattr(wiring, "suspects", Watch(yard.policy.artifacts).signs)
        triggers.storage_event(object_event("runs/run-1/_FAILED", RUNS, form))
    yard.tick()
    yard.hours(25)
    assert yard.names() == before
    assert yard.objects.deleted == []
