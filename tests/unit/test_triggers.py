"""What each trigger acknowledges, what it raises to have it delivered again, and what is told of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NoReturn

import pytest

from functions import triggers, wiring
from shared.errors import CloudError, Conflict, Denied, Refused, SettingsError, Unavailable
from tests.cloud_events import EMBEDDER, PAYMENTS, a_stage, budget_event, task_event
from tests.stage import Stage

DAY = 86_400.0


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    """The stage that the triggers find."""
    stage = a_stage()
    monkeypatch.setattr(wiring, "watchdog", stage.watchdog)
    return stage


def failing(method: str, error: CloudError) -> Callable[[str], None]:
    """A hook that makes every call of one method fail."""

    def strike(called: str) -> None:
        if called == method:
            raise error

    return strike


def test_a_budget_message_is_carried_out_and_acknowledged(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """Staging goes idle, what is protected stays, Slack is told once, and the log says what became of the message."""
    caplog.set_level(logging.INFO)
    triggers.budget_alert(budget_event(82))
    assert (stage.state(EMBEDDER)["minimum"], stage.state(PAYMENTS)["minimum"]) == (0, 2)
    assert len(stage.messenger.posts) == 1
    assert "done: carried on budget-20261101-actual-80-" in caplog.text


def test_a_message_that_cannot_be_read_is_acknowledged_and_reported_once_a_day(stage: Stage) -> None:
    """The second of a kind is only logged, the first of the next day is told again, and another kind is told beside it."""
    for _ in range(2):
        triggers.budget_alert(budget_event(None))
    assert [reference for _, _, reference in stage.messenger.posts] == ["notice-20261120-no-data/1"]
    triggers.budget_alert(budget_event(82, currencyCode="dollars"))
    assert len(stage.messenger.posts) == 2
    stage.clock.sleep(DAY)
    triggers.budget_alert(budget_event(None))
    assert [reference for _, _, reference in stage.messenger.posts][2:] == ["notice-20261121-no-data/1"]


def test_a_foreign_budget_changes_nothing(stage: Stage) -> None:
    """The policy does not name it, so it is told of and acknowledged."""
    triggers.budget_alert(budget_event(82, budgetDisplayName="Somebody else's"))
    assert stage.services.writes == []
    assert "Somebody else" in stage.messenger.posts[0][1]


def test_a_journal_that_cannot_be_read_is_reported_once_and_left_alone(stage: Stage) -> None:
    """What is known of the budget is damaged: nothing is changed on its word, and it is not overwritten."""
    triggers.budget_alert(budget_event(40))
    (name,) = (name for name in stage.bucket.objects if name.startswith("budgets/"))
    stage.bucket.objects[name] = (b"{", 99, {})
    for _ in range(2):
        triggers.budget_alert(budget_event(82))
    assert stage.bucket.objects[name][0] == b"{"
    assert stage.services.writes == []
    assert len(stage.messenger.posts) == 1


def test_what_may_work_later_is_raised(stage: Stage) -> None:
    """Pub/Sub delivers the message again, and then it is carried out."""
    stage.hooks.before = failing("read", Unavailable("503"))
    with pytest.raises(Unavailable):
        triggers.budget_alert(budget_event(82))
    stage.heal()
    triggers.budget_alert(budget_event(82))
    assert stage.state(EMBEDDER)["minimum"] == 0


def test_a_report_that_cannot_be_recorded_has_the_message_delivered_again(stage: Stage) -> None:
    """Otherwise nobody would be told of a malformed message that came while the bucket was away."""
    stage.hooks.before = failing("write", Unavailable("503"))
    with pytest.raises(Unavailable):
        triggers.budget_alert(budget_event(None))


def test_somebody_quicker_each_time_has_the_message_delivered_again(stage: Stage) -> None:
    """A conflict that reaches this far is no fault of the message."""
    stage.hooks.before = failing("read", Conflict("412"))
    with pytest.raises(Conflict):
        triggers.budget_alert(budget_event(None))


@pytest.mark.parametrize("error", [Denied("403; grant a role with storage.objects.create"), Refused("no such bucket")])
def test_what_will_never_work_is_acknowledged_and_logged(stage: Stage, caplog: pytest.LogCaptureFixture, error: CloudError) -> None:
    """The same message would fail for a day; a person has to act, and the next status message comes soon."""
    stage.hooks.before = failing("write", error)
    triggers.budget_alert(budget_event(82))
    assert f"not done, and not tried again with this message: {error}" in caplog.text
    assert not any(record.exc_info for record in caplog.records)


def test_a_policy_that_cannot_be_used_keeps_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits with Pub/Sub until the policy is mended."""

    def broken() -> NoReturn:
        raise SettingsError(["gs://acme-ml-watchdog/policy.yaml:3: mode: should be 'observe' or 'enforce'"])

    monkeypatch.setattr(wiring, "watchdog", broken)
    with pytest.raises(SettingsError):
        triggers.budget_alert(budget_event(82))


def test_a_tick_with_nothing_due(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """It reads the agenda and is done."""
    caplog.set_level(logging.INFO)
    triggers.task(task_event(task="tick"))
    assert "done: nothing was due" in caplog.text
    assert stage.bucket.objects == {}


def test_a_tick_carries_out_what_has_become_due(stage: Stage) -> None:
    """The step that waited stops the services that the earlier one had made idle."""
    triggers.budget_alert(budget_event(101))
    assert stage.state(EMBEDDER)["mode"] == "automatic"
    stage.clock.sleep(31 * 60)
    triggers.task(task_event(task="tick"))
    assert stage.state(EMBEDDER)["count"] == 0


def test_a_resume_carries_on_the_entry_that_it_names(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """One that is closed already, or never was, is done."""
    caplog.set_level(logging.INFO)
    triggers.budget_alert(budget_event(82))
    (key,) = stage.journal.keys()
    triggers.task(task_event(task="resume", entry=key))
    assert f"done: carried on {key}" in caplog.text
    triggers.task(task_event(task="resume", entry="budget-of-long-ago"))
    assert "done: closed budget-of-long-ago" in caplog.text


def test_an_unknown_task_is_acknowledged_and_reported(stage: Stage) -> None:
    """Whoever may publish to the topic is told of what cannot be meant."""
    triggers.task(task_event(task="dance"))
    assert [reference for _, _, reference in stage.messenger.posts] == ["notice-20261120-unknown-task/1"]
