"""The buttons below messages: those that fit the state, on the newest message alone, and who decided what on the others."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.slack_blocks import check_blocks
from shared.errors import Refused
from shared.slack.panel import MENU, choice, decides, of_entry
from tests.doubles import MemoryMessage
from tests.stage import ANN, HERE, IDLE_80, NOTIFY_50, STOPPED, Stage, a_policy, full_name
from tests.yard import Yard, a_rule, the_policy

WAIT_100 = f"{{at: 100%, wait: 30m, do: [{STOPPED}]}}"
APPROVE_120 = f"{{at: 120%, approve: true, do: [{STOPPED}]}}"


@pytest.fixture
def stage() -> Stage:
    """Two services, and a ladder with a wait and a question."""
    stage = Stage(a_policy(NOTIFY_50, IDLE_80, WAIT_100, APPROVE_120))
    for name in ("trainer", "notebook"):
        stage.service(name)
    return stage


def words(element: dict[str, Any]) -> str:
    """What a button or a menu says."""
    return str((element.get("text") or element["placeholder"])["text"])


def said(stage: Stage, message: MemoryMessage) -> dict[str, str]:
    """What can be pressed below a message."""
    return {name: words(element) for name, element in stage.buttons(message).items()}


def notes(message: MemoryMessage) -> str:
    """What stands below a message in small."""
    return "\n".join(element["text"] for block in message.blocks[-2:] if block["type"] == "context" for element in block["elements"])


def valid(stage: Stage) -> bool:
    """Whether Slack would take every message as it is now."""
    return all(not check_blocks(message.blocks) for message in stage.messenger.messages.values())


def test_a_step_that_only_tells_can_be_looked_at(stage: Stage) -> None:
    """There is nothing to decide."""
    stage.send(55)
    assert said(stage, stage.message("ML Training Budget passed 50 %")) == {"show": "Show the plan"}
    assert said(stage, stage.headline) == {"snooze": "Snooze alerts", "show": "Show the plan"}


def test_what_is_parked_can_be_put_back(stage: Stage) -> None:
    """All of it, or one, or for a time; each only after a second thought."""
    stage.send(85)
    message = stage.message("ML Training Budget passed 80 %")
    assert said(stage, message) == {
        "restore": "Restore all", "restore_one": "Restore one …", "hold": "Hold …", "show": "Show the plan",
    }  # fmt: skip
    buttons = stage.buttons(message)
    assert [option["text"]["text"] for option in buttons["restore_one"]["options"]] == [f"notebook · {HERE}", f"trainer · {HERE}"]
    assert buttons["restore_one"]["options"][1]["value"] == choice(full_name("trainer"))
    assert "confirm" in buttons["restore"]
    assert "confirm" in buttons["hold"]
    assert set(said(stage, stage.headline)) == {"restore", "restore_one", "snooze", "show"}
    assert valid(stage)


def test_one_alone_is_put_back_by_its_name() -> None:
    """A menu of one would be a step too many."""
    stage = Stage(a_policy(IDLE_80))
    stage.service("trainer")
    stage.send(85)
    assert set(said(stage, stage.message("ML"))) == {"restore", "hold", "show"}
    assert said(stage, stage.headline)["restore"] == "Restore trainer"


def test_a_warning_can_be_called_off_and_gives_way_when_it_was_carried_out(stage: Stage) -> None:
    """Then the newest message has the buttons."""
    stage.send(101)
    warning = stage.message("ML Training Budget passed 100 %")
    assert said(stage, warning)["cancel"] == "Call off"
    stage.tick(31)
    assert said(stage, warning) == {}
    assert notes(warning).startswith("`budget-")
    done = stage.message("ML Training Budget")
    assert {"restore", "restore_one", "hold", "show"} <= set(said(stage, done))


def test_when_somebody_decides_the_buttons_give_way_to_who_and_when(stage: Stage) -> None:
    """On the message that asked; the journal keeps the person's id."""
    stage.send(125)
    asked = stage.message("ML Training Budget passed 120 %")
    assert said(stage, asked) | {"approve": "Approve", "cancel": "Reject"} == said(stage, asked)
    (entry,) = stage.open()
    assert stage.press("approve", f"entry:{entry.key}").startswith("Approved. ")
    assert "approve" not in said(stage, asked)
    assert f"Approved by ann (Slack {ANN}), 20 Nov 2026 12:00 UTC" in notes(asked)
    (step,) = [step for step in stage.entry().steps if step.key.startswith("actual-1.2")]
    assert (step.decided_by, step.decided_at) == (f"ann (Slack {ANN})", stage.clock.now())
    assert valid(stage)


def test_a_decision_that_was_made_elsewhere_is_shown_too(stage: Stage) -> None:
    """A terminal, or the next period."""
    stage.send(125)
    asked = stage.message("ML Training Budget passed 120 %")
    (entry,) = stage.open()
    stage.ann().cancel(entry.key)
    assert "Called off by ann, 20 Nov 2026 12:00 UTC" in notes(asked)
    assert not {"approve", "cancel"} & set(stage.buttons(asked))
    assert decides(asked.blocks)


def test_what_was_put_back_says_who_asked_for_it(stage: Stage) -> None:
    """And offers nothing more."""
    stage.send(85)
    message = stage.message("ML Training Budget passed 80 %")
    (entry,) = stage.open()
    stage.press("restore", f"entry:{entry.key}")
    assert f"Put back by ann (Slack {ANN}), 20 Nov 2026 12:00 UTC" in notes(message)
    assert said(stage, message) == {"show": "Show the plan"}


def test_what_a_limit_refused_can_be_tried_again() -> None:
    """Once the policy is mended; or rejected."""
    stage = Stage(a_policy(IDLE_80, more="limits: {targets: 1}"))
    for name in ("a", "b"):
        stage.service(name)
    stage.send(85)
    assert said(stage, stage.message("Refused")) == {"approve": "Try again", "cancel": "Call off", "show": "Show the plan"}


def test_a_dry_run_has_nothing_to_press() -> None:
    """There is nothing that could be put back."""
    stage = Stage(a_policy(IDLE_80, mode="observe"))
    stage.service("a")
    stage.send(85)
    assert said(stage, stage.message("DRY RUN")) == {"show": "Show the plan"}
    assert set(said(stage, stage.headline)) == {"snooze", "show"}
    assert "Dry run: nothing was changed." in stage.headline.text


def test_a_menu_holds_no_more_than_slack_takes() -> None:
    """The rest can be put back by command, or all at once."""
    stage = Stage(a_policy(IDLE_80))
    for number in range(MENU + 20):
        stage.service(f"service-with-a-name-as-long-as-cloud-run-takes-{number:03}")
    stage.send(85)
    assert len(stage.buttons(stage.headline)["restore_one"]["options"]) == MENU
    assert valid(stage)


def test_the_journal_keeps_the_words_only_where_they_are_needed_again(stage: Stage) -> None:
    """An entry does not grow with each message."""
    stage.send(101)
    stage.tick(31)
    (entry,) = stage.open()
    first, *rest = entry.messages
    assert (first.blocks, first.panel, "\n" in first.text) == ((), "", False)
    assert rest[-1].blocks
    assert rest[-1].panel == "whole"


def test_buttons_that_slack_refuses_are_left_as_they_are(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """It is said in the log, and not tried for ever."""
    stage.send(85)
    stage.always("edit", lambda: Refused("invalid_blocks"))
    stage.ann().restore_resource("trainer")
    assert "Slack refuses the message's buttons" in caplog.text
    stage.heal()
    edits = stage.message("ML Training Budget passed 80 %").edits
    stage.tick(2)
    assert stage.message("ML Training Budget passed 80 %").edits == edits


def test_a_message_that_somebody_deleted_is_let_go(stage: Stage) -> None:
    """Nothing is posted in its place."""
    stage.send(85)
    (at,) = [ts for ts, each in stage.messenger.messages.items() if each.text.startswith("ML Training Budget passed 80 %")]
    del stage.messenger.messages[at]
    stage.ann().restore_resource("trainer")
    (entry,) = stage.open()
    assert [message.panel for message in entry.messages if message.posted == ("C1", at)] == [""]


@pytest.fixture
def yard() -> Yard:
    """A bucket full of runs."""
    return Yard(the_policy(a_rule(limits="{objects: 6}")))


def test_a_run_can_be_called_off_and_brought_back(yard: Yard) -> None:
    """For as long as either is possible; messages about one run are one thread."""
    yard.announced()
    announced = yard.message("Run run-1 failed: will delete")
    assert said(yard, announced) == {"cancel": "Call off", "show": "Show the plan"}
    yard.hours(25)
    done = yard.message("Run run-1: deleted")
    assert said(yard, announced) == {}
    assert said(yard, done) == {"restore": "Undo", "show": "Show the plan"}
    assert [each.thread for each in yard.messenger.messages.values()] == ["", "1"]
    assert yard.press("restore", f"entry:{yard.key()}").startswith("It is to be put back. ")
    assert f"Undo asked for by ann (Slack {ANN}), " in notes(yard.message("Run run-1: put back"))
    assert len(yard.names("runs/run-1/ckpt/")) == 3


def test_a_run_that_was_called_off_says_by_whom(yard: Yard) -> None:
    """And when."""
    yard.announced()
    yard.press("cancel", f"entry:{yard.key()}")
    assert f"Called off by ann (Slack {ANN}), " in notes(yard.message("Run run-1 failed: will delete"))


def test_a_run_that_a_limit_refused_can_be_approved(yard: Yard) -> None:
    """Or rejected."""
    yard.announced(objects=9)
    refused = yard.message("Refused to delete")
    assert said(yard, refused) == {"approve": "Approve", "cancel": "Reject", "show": "Show the plan"}
    assert refused.broadcast is False
    yard.press("approve", f"entry:{yard.key()}")
    assert f"Approved by ann (Slack {ANN}), " in notes(refused)
    yard.tick()
    yard.press("restore", f"entry:{yard.key()}")
    assert f"Approved by ann (Slack {ANN})\nUndo asked for by ann (Slack {ANN}), " in notes(yard.message("Run run-1: put back"))


def test_a_deletion_that_is_under_way_can_be_stopped(yard: Yard) -> None:
    """And undone as far as it went."""
    yard.announced()
    key = yard.key()
    entry = yard.its_entry()
    job = yard.job().but(stage="working")
    blocks = of_entry(entry.but(job=job), entry.messages[-1], yard.clock.now())
    assert "Stop, and undo" in str(blocks)
    assert key
    assert valid(yard)


def test_a_deletion_that_can_be_undone_no_more_offers_it_no_more(yard: Yard) -> None:
    """The button goes with the day on which the bucket forgets what was deleted."""
    yard.announced()
    yard.hours(25)
    until = yard.job().undo_until
    assert until
    yard.clock.instant = until
    yard.tick()
    assert yard.open() == []
    assert said(yard, yard.message("Run run-1: deleted")) == {"show": "Show the plan"}


def test_a_message_whose_parent_somebody_deleted_stands_by_itself(yard: Yard) -> None:
    """It is sent with the next tick."""
    yard.announced()
    yard.messenger.messages.clear()
    yard.hours(25)
    assert yard.messenger.messages == {}
    yard.tick()
    assert [each.thread for each in yard.messenger.messages.values()] == [""]
