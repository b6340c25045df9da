"""The brake: what all plans together change within an hour has a limit, and beyond it the watchdog stops itself until a person releases it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from functions import __main__ as cli
from functions import wiring
from shared.brake import Brake, Change, Kind, Stop
from shared.errors import Conflict, Gone, JournalError, Unavailable
from shared.model import Place
from shared.report import brake
from shared.report.letter import Letter
from tests.stage import IDLE_80, NOTIFY_50, PROJECT, STOPPED, THERE, Stage, a_policy, full_name
from tests.unit.test_report import check_letter, golden
from tests.yard import Yard, the_policy

NOW = datetime(2026, 11, 20, 14, 31, tzinfo=UTC)
STOP = Stop(
    at=NOW - timedelta(minutes=4), kind="resources", entry="budget-20261101-actual-100-0a1b2c3d4e", parts=("actual-1",), count=180, recent=260, limit=400
)  # fmt: skip
HELD = "The brake is on: 3 changes within an hour would be too many"
OTHER = {"budget_id": "0d5f8a4e-0000-4000-8000-000000000002", "budget_name": "Serving"}
STOPPED_100 = f"{{at: 100%, do: [{STOPPED}]}}"


def an_estate(*steps: str, per_hour: int = 2, more: str = "", services: int = 2) -> Stage:
    """Services of staging, and a ladder with a brake."""
    stage = Stage(a_policy(*(steps or (IDLE_80, STOPPED_100)), more=f"limits: {{per_hour: {per_hour}}}\n{more}"))
    for number in range(services):
        stage.service(f"trainer-{number}")
    return stage


@pytest.fixture
def braked() -> Stage:
    """Two services are idle, and stopping them within the same hour was too much."""
    stage = an_estate()
    stage.send(85)
    stage.send(105)
    return stage


def asks(stage: Stage, count: int, *, entry: str = "budget-other", part: str = "actual-1", kind: Kind = "resources") -> Change:
    """What an entry asks for now."""
    return Change(at=stage.clock.now(), kind=kind, entry=entry, parts=(part,), count=count)


def recorded(stage: Stage) -> Brake:
    """The record of the brake."""
    kept = stage.journal.brake()
    assert kept
    return kept.record


def told(stage: Stage) -> list[str]:
    """The first lines of what was said of the brake."""
    return [post.split("\n", 1)[0] for post in stage.posts if "brake" in post.split("\n", 1)[0]]


def test_one_change_too_many_stops_it(braked: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing of the plan that is too much is begun; people are told at once, and the log says so as an alarm."""
    assert len(braked.written()) == 2
    assert told(braked) == ["The brake is on: 4 changes within an hour would be too many"]
    braked.tick(16)
    braked.tick(16)
    assert len(braked.written()) == 2
    assert len(told(braked)) == 1
    stage = an_estate(IDLE_80, per_hour=1)
    stage.send(85)
    (line,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert vars(line)["labels"]["alarm"] == "brake"
    assert "was about to change 2 resources, and 0 were changed within the hour, of 1 that limits.per_hour allows" in line.getMessage()
    assert stage.written() == []


def test_an_hour_later_it_would_not_have_been_too_much() -> None:
    """Only what was changed within the hour counts."""
    stage = an_estate()
    stage.send(85)
    stage.clock.sleep(3600)
    stage.send(105)
    assert (len(stage.written()), told(stage)) == (4, [])


def test_it_stays_on_until_a_person_releases_it(braked: Stage) -> None:
    """However long that takes: what is due is carried out then, once, and who released it is told."""
    braked.tick(60 * 5)
    assert len(braked.written()) == 2
    braked.ann().release()
    assert told(braked)[-1] == "The brake was released by ann"
    braked.tick(16)
    assert len(braked.written()) == 4
    braked.settle()
    assert len(braked.written()) == 4
    assert (recorded(braked).stops, recorded(braked).released_by) == ((), "ann")


def test_people_are_reminded_once_a_day_while_something_waits(braked: Stage) -> None:
    """And not each time that it is looked at."""
    for _ in range(30):
        braked.tick(60)
    assert 2 <= len(told(braked)) <= 3


def test_putting_back_is_never_stopped(braked: Stage) -> None:
    """Neither by name nor all of it; the brake stays on."""
    braked.ann().restore_all()
    assert [state["minimum"] for state in braked.states().values()] == [2, 2]
    assert recorded(braked).stops


def test_all_budgets_are_counted_together() -> None:
    """Each by itself is far below the limits of a plan."""
    stage = an_estate(IDLE_80, per_hour=2)
    stage.send(85)
    stage.service("trainer-2")
    stage.send(85, **OTHER)
    assert len(stage.written()) == 2
    assert told(stage) == [HELD]


def test_a_dry_run_is_not_counted() -> None:
    """It changes nothing, however much that is."""
    stage = an_estate(IDLE_80, per_hour=0)
    stage.policy = a_policy(IDLE_80, mode="observe", more="limits: {per_hour: 0}")
    stage.send(85)
    assert stage.journal.brake() is None
    assert "brake" not in "".join(stage.posts)


def test_what_only_speaks_goes_on(braked: Stage) -> None:
    """A step that notifies changes nothing."""
    braked.policy = a_policy(NOTIFY_50, more="limits: {per_hour: 2}")
    braked.send(55, **OTHER)
    assert braked.posts[-1].startswith("Serving")


def test_what_comes_back_is_parked_again_only_within_the_limit() -> None:
    """Otherwise two who fight over a service would be the brake's best customers; after the release it is parked again."""
    stage = an_estate(IDLE_80, more="on_drift: repark")
    stage.send(85)
    first = full_name("trainer-0")
    stage.tick(15)
    stage.services.deploy(first, "bob@acme.example", minimum=2)
    stage.tick(20)
    stage.tick(20)
    assert stage.state(first)["minimum"] == 2
    assert any("not parked again as long as the brake is on" in post for post in stage.posts)
    stage.ann().release()
    stage.tick(20)
    assert stage.state(first)["minimum"] == 0


def test_a_place_that_answers_later_is_held_against_it_too() -> None:
    """What was not seen when the plan was made is planned when it is."""
    stage = an_estate(IDLE_80)
    stage.service("ranker", THERE)
    stage.services.broken.add(Place(PROJECT, THERE))
    stage.send(85)
    stage.services.broken.clear()
    stage.tick(5)
    stage.tick(20)
    assert stage.written() == ["trainer-0", "trainer-1"]
    assert told(stage) == [HELD]
    stage.ann().release()
    stage.tick(20)
    assert stage.written() == ["trainer-0", "trainer-1", "ranker"]


# runs


def test_deletions_of_runs_are_counted_and_stopped() -> None:
    """The third run of the hour waits, untouched, and goes when a person has released the brake."""
    yard = Yard(the_policy())
    yard.policy = yard.policy.model_copy(update={"limits": yard.policy.limits.model_copy(update={"per_hour": 2})})
    for name in ("run-1", "run-2", "run-3"):
        yard.announced(name)
    yard.hours(24)
    yard.drive()
    left = {name.split("/")[1] for name in yard.names() if name.endswith(".pt") or "ckpt" in name}
    assert len(left) == 1
    assert [post.split("\n", 1)[0] for post in yard.posts if post.startswith("The brake")] == [
        "The brake is on: 3 deletions within an hour would be too many"
    ]
    yard.hours(1)
    assert {name.split("/")[1] for name in yard.names() if "ckpt" in name} == left
    yard.ann().release()
    yard.hours(0.3)
    yard.drive()
    assert not {name for name in yard.names() if "ckpt" in name}


def test_what_is_being_deleted_stops_where_it_is() -> None:
    """And what was deleted can be put back, since undoing is not braked."""
    yard = Yard(the_policy())
    names = yard.announced(objects=5)
    yard.clock.sleep(24 * 3600)
    yard.hooks.after = lambda called: yard.clock.sleep(20) if called == "delete batch" else None
    assert yard.watchdog(time_budget=timedelta(seconds=10)).resume(yard.key()).what == "unfinished"
    yard.heal()
    gone = len(yard.objects.deleted)
    yard.journal.save_brake(yard.journal.brake(), Brake().after(asks(yard, 1, kind="runs"), 0))
    yard.drive()
    assert len(yard.objects.deleted) == gone
    yard.ann().restore_entry(yard.key())
    yard.drive()
    assert set(names) <= set(yard.names())


# who releases it


def test_the_button_and_the_command(braked: Stage) -> None:
    """Whoever may change anything may release it; once it is, there is nothing to release."""
    message = braked.message("The brake is on")
    (button,) = [block for block in message.blocks if block["type"] == "actions"]
    assert [element["action_id"] for element in button["elements"]] == ["release"]
    assert "THE BRAKE IS ON" in braked.command("status")
    assert braked.press("release", button["block_id"]) == f"The brake is released. {brake.GOES_ON}"
    assert braked.press("release", button["block_id"]) == "Nothing was done: the brake is not on, so there is nothing to release"
    assert "THE BRAKE IS ON" not in braked.command("status")
    braked.journal.save_brake(braked.journal.brake(), Brake().after(asks(braked, 1), 0))
    assert braked.command("release").startswith("The brake is released.")
    assert braked.command("release now").startswith("`release` stands alone.")


def test_those_whom_the_policy_does_not_name_may_not(braked: Stage) -> None:
    """A brake that anybody can release is none."""
    braked.policy = a_policy(IDLE_80, slack="approvers: [U0000000BEN]")
    assert "`slack.approvers`" in braked.command("release")
    assert recorded(braked).stops


def test_a_button_releases_the_stop_that_its_message_tells_of(braked: Stage) -> None:
    """The button of an old message is no yes to what happened since; the newest message's is."""
    (old,) = [block for block in braked.message("The brake is on").blocks if block["type"] == "actions"]
    braked.ann().release()
    journal = braked.journal
    kept = journal.brake()
    braked.tick()
    assert kept
    journal.save_brake(kept, kept.record.after(asks(braked, 10**6), 3))
    assert "of an earlier stop; the brake is on for resources since 2026-11-20" in braked.press("release", old["block_id"])
    assert recorded(braked).stops
    assert braked.command("release").startswith("The brake is released.")


def test_in_a_terminal(braked: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`list` says that it is on, `release` releases it, and where there is nothing to release the exit status says so."""
    monkeypatch.setattr(wiring, "watchdog", braked.watchdog)
    assert cli.main(["list"]) == 0
    assert "the brake is on since 2026-11-20" in capsys.readouterr().out
    assert cli.main(["release"]) == 0
    assert capsys.readouterr().out == f"the brake is released. {brake.GOES_ON}\n"
    assert cli.main(["release"]) == 1
    assert "the brake is not on" in capsys.readouterr().err


# its record


def test_two_who_ask_at_once_are_both_counted() -> None:
    """The slower one looks again."""
    stage = an_estate(IDLE_80, per_hour=3)
    braking = stage.watchdog().braking
    stage.meanwhile("write", lambda: stage.journal.save_brake(None, Brake().after(asks(stage, 2), 3)))
    assert not braking.reserve("resources", "budget-mine", ("actual-1",), 2)
    stage = an_estate(IDLE_80, per_hour=4)
    braking = stage.watchdog().braking
    stage.meanwhile("write", lambda: stage.journal.save_brake(None, Brake().after(asks(stage, 2), 4)))
    assert braking.reserve("resources", "budget-mine", ("actual-1",), 2)
    assert [change.count for change in recorded(stage).changes] == [2, 2]


def test_a_record_that_others_write_all_the_time(braked: Stage) -> None:
    """Nothing is changed, and it is tried again."""
    stage = an_estate(IDLE_80)
    stage.always("write", lambda: Conflict("somebody else was quicker"))
    with pytest.raises(Unavailable, match="others write the record of the brake all the time"):
        stage.watchdog().braking.reserve("resources", "budget-x", ("actual-1",), 1)
    braked.always("write", lambda: Conflict("somebody else was quicker"))
    with pytest.raises(Unavailable, match="others write the record of the brake all the time; try again"):
        braked.ann().release()


def test_a_record_that_cannot_be_read_stops_changes() -> None:
    """Whether the brake is on is not known then."""
    stage = an_estate(IDLE_80)
    stage.bucket.objects["brake.json"] = (b"{", 1, {})
    with pytest.raises(JournalError, match=r"brake\.json: cannot be read"):
        stage.send(85)
    assert stage.written() == []


def test_nothing_to_release() -> None:
    """Where nothing was ever changed."""
    with pytest.raises(Gone, match="the brake is not on"):
        an_estate().ann().release()


# what is said


def brake_on() -> Letter:
    """The watchdog has stopped itself."""
    return brake.on(STOP, NOW)


def brake_released() -> Letter:
    """Somebody of an odd name let it go on."""
    return brake.released(STOP, "ann <!channel> (Slack U012AB3CD)", NOW)


@pytest.mark.parametrize("scene", [brake_on, brake_released], ids=lambda scene: scene.__name__)
def test_a_letter_is_as_its_golden_files_say(scene: Callable[[], Letter]) -> None:
    """Each keeps its words, and Slack accepts it."""
    letter = scene()
    check_letter(letter)
    golden(f"letter_{scene.__name__}.json", json.dumps(letter.blocks, indent=1, ensure_ascii=False) + "\n")
    golden(f"letter_{scene.__name__}.txt", letter.text + "\n")
