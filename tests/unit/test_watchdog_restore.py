"""Putting back: what several plans hold between them, what came back by somebody else, what a person wanted back, and what is held."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.errors import Denied, EventRejected, JournalError, Refused
from shared.model import Place
from tests.doubles import scaling
from tests.envelopes import ACCOUNT, BUDGET
from tests.stage import HERE, IDLE_80, PROJECT, STOPPED_100, THERE, Stage, a_policy, full_name
from tests.stage import STOPPED as STOPPED_USE

RANKER = full_name("ranker")
WARM, IDLE = scaling(minimum=2, maximum=9), scaling(maximum=9)
OFF = scaling(mode="manual", count=0)
TRAINING: dict[str, Any] = {"budget_id": "training"}
SERVING: dict[str, Any] = {"budget_id": "serving"}


@pytest.fixture
def stage() -> Stage:
    """One service under two steps."""
    built = Stage(a_policy(IDLE_80, STOPPED_100))
    built.service("ranker", HERE, maximum=9)
    return built


def keys(stage: Stage) -> dict[str, str]:
    """The open entries by the budget and the highest step that made them."""
    found = {}
    for entry in stage.open():
        assert entry.notification
        found[f"{entry.notification.budget_id} {entry.steps[-1].at:f}"] = entry.key
    return found


# several plans


@pytest.mark.parametrize("order", [("training 0.8", "serving 1"), ("serving 1", "training 0.8")], ids=["lower first", "higher first"])
def test_two_budgets_that_hold_one_service_give_it_back_in_either_order(stage: Stage, order: tuple[str, str]) -> None:
    """Whichever is undone first, the service ends where it was at the beginning; the one that is left keeps what it wants."""
    stage.send(85, **TRAINING)
    stage.send(101, **SERVING)
    assert stage.state(RANKER) == OFF
    entries = keys(stage)
    stage.ann().restore_entry(entries[order[0]])
    assert stage.state(RANKER) == (OFF if order[0] == "training 0.8" else IDLE)
    stage.ann().restore_entry(entries[order[1]])
    assert stage.state(RANKER) == WARM
    assert stage.open() == []


@pytest.mark.parametrize("order", [("training 0.8", "serving 1"), ("serving 1", "training 0.8")], ids=["lower first", "higher first"])
def test_what_a_person_changed_between_two_plans_stays_theirs(stage: Stage, order: tuple[str, str]) -> None:
    """The higher plan found the maximum that a person had set, and neither of the two puts another one back."""
    stage.send(85, **TRAINING)
    stage.services.deploy(RANKER, "bob@acme.example", maximum=4)
    stage.send(101, **SERVING)
    entries = keys(stage)
    stage.ann().restore_entry(entries[order[0]])
    assert stage.state(RANKER) == (OFF if order[0] == "training 0.8" else scaling(maximum=4))
    stage.ann().restore_entry(entries[order[1]])
    assert stage.state(RANKER) == scaling(minimum=2, maximum=4)


def test_a_budget_whose_period_ends_gives_back_only_what_it_asked_for(stage: Stage) -> None:
    """The other budget's step stands until its own period ends."""
    stage.send(85, **TRAINING)
    stage.send(101, **SERVING)
    stage.next_period_of(**SERVING)
    assert stage.state(RANKER) == IDLE
    stage.next_period_of(**TRAINING)
    assert stage.state(RANKER) == WARM
    assert stage.open() == []


def test_a_higher_step_that_failed_takes_nothing_over(stage: Stage) -> None:
    """The lower step's record is put back as if the higher one had never been."""
    stage.send(85)
    stage.strike("update", lambda: Refused("the minimum is above the maximum"))
    stage.send(101)
    stage.heal()
    assert stage.state(RANKER) == IDLE
    stage.next_period()
    assert stage.state(RANKER) == WARM
    stage.settle()
    assert stage.open() == []


def test_a_plan_made_while_another_is_written_does_not_take_its_zero_for_the_original(stage: Stage) -> None:
    """Planned on the warm service, written on the idle one: the idle state is the other plan's doing, and nobody's to put back."""
    stage.meanwhile("update", lambda: stage.send(85, **TRAINING))
    stage.send(101, **SERVING)
    assert stage.state(RANKER) == OFF
    stage.ann().restore_all()
    stage.settle()
    assert stage.state(RANKER) == WARM
    assert stage.open() == []


def test_restore_all_gives_a_service_back_that_two_plans_hold(stage: Stage) -> None:
    """The lower plan waits for the higher one, and both are done in one request."""
    stage.send(85)
    stage.send(101)
    assert stage.state(RANKER) == OFF
    assert {outcome.what for outcome in stage.ann().restore_all()} == {"closed"}
    assert stage.state(RANKER) == WARM
    assert stage.open() == []


def test_what_was_never_parked_is_not_told_as_put_back(stage: Stage) -> None:
    """The write was refused, and then the plan was undone: there is nothing to put back, and that is how it reads."""
    stage.strike("update", lambda: Denied("run.services.update is missing", resource=RANKER))
    stage.send(85)
    stage.heal()
    stage.ann().restore_all()
    assert "LEFT ALONE (1)\n• `ranker` · us-central1 · was never parked by this plan" in stage.posts[-1]
    assert "PUT BACK" not in stage.posts[-1]
    assert stage.written() == []


def test_what_a_person_wanted_back_is_not_parked_again_by_the_same_step(stage: Stage) -> None:
    """The step had its turn in this period; a higher step still has its own."""
    stage.send(85)
    stage.ann().restore_resource("ranker")
    stage.send(90)
    stage.tick(60)
    assert stage.state(RANKER) == WARM
    stage.send(101)
    assert stage.state(RANKER) == OFF


# what comes back by itself


def test_what_came_back_is_named_once_and_left(stage: Stage) -> None:
    """Somebody deployed over it; the message says who, and the same state is not told again."""
    stage.send(85)
    stage.services.deploy(RANKER, "bob@acme.example", minimum=3)
    stage.send(86)
    assert "came back" in stage.posts[-1]
    assert "bob@acme.example" in stage.posts[-1]
    told = len(stage.posts)
    stage.tick(20)
    stage.services.deploy(RANKER, "bob@acme.example", minimum=4)
    stage.tick(20)
    assert len(stage.posts) == told, "one resource is told of once a day"
    assert stage.state(RANKER)["minimum"] == 4


def test_what_somebody_changes_before_it_is_read_back_is_theirs() -> None:
    """A deployment between the write and the look at its result is no work of the watchdog's, so putting back leaves it."""
    stage = Stage(a_policy(STOPPED_100))
    stage.service("ranker", HERE)

    def deploy(called: str) -> None:
        if called == "update":
            stage.heal()
            stage.services.deploy(RANKER, "ben@acme.example", revision_minimum=2)

    stage.hooks.after = deploy
    stage.send(105)
    assert stage.state(RANKER)["mode"] == "manual"
    stage.ann().restore_all()
    assert (stage.state(RANKER)["mode"], stage.state(RANKER)["minimum"], stage.state(RANKER)["revision_minimum"]) == ("automatic", 2, 2)


def test_what_came_back_is_parked_again_where_the_policy_says_so_but_not_for_ever() -> None:
    """Three times; whoever brings it back more often than that means it."""
    stage = Stage(a_policy(IDLE_80, more="on_drift: repark"))
    stage.service("ranker", HERE, maximum=9)
    stage.send(85)
    for _ in range(3):
        stage.services.deploy(RANKER, "bob@acme.example", minimum=3)
        stage.tick(20)
        assert stage.state(RANKER)["minimum"] == 0
    stage.services.deploy(RANKER, "bob@acme.example", minimum=3)
    stage.tick(20)
    assert stage.state(RANKER)["minimum"] == 3
    assert sum("came back" in text for text in stage.posts) == 1


def test_what_may_not_be_parked_again_is_told_with_the_reason() -> None:
    """Somebody holds it by now: it is left, nobody reads that it is parked again, and what the watchdog wrote is put back later."""
    stage = Stage(a_policy(IDLE_80, more="on_drift: repark"))
    stage.service("ranker", HERE, maximum=9)
    stage.service("gateway", HERE)
    stage.send(85)
    stage.services.deploy(RANKER, "bob@acme.example", revision_minimum=1)
    stage.services.deploy(full_name("gateway"), "bob@acme.example", minimum=3)
    stage.ann().hold("ranker", stage.clock.now() + timedelta(hours=4))
    stage.tick(20)
    assert stage.written() == ["gateway", "ranker", "gateway"]
    again, left = stage.posts[-2:]
    assert "They are parked again (`on_drift: repark`)." in again
    assert "`gateway`" in again
    assert "`ranker`" not in again
    assert "They are left as they are, each for the reason that is named." in left
    assert "by bob@acme.example · seen 2026-11-20 12:20 UTC · held until 2026-11-20 16:00 UTC by ann" in left
    assert "on_drift: repark" not in left
    stage.tick(20)
    stage.next_period()
    assert stage.state(RANKER) == WARM | {"revision_minimum": 1}


def test_what_came_back_whole_and_is_held_is_nobodys_to_put_back() -> None:
    """Nothing of the watchdog's stands in it any more; one message says so, and not a second one."""
    stage = Stage(a_policy(IDLE_80, more="on_drift: repark"))
    stage.service("ranker", HERE, maximum=9)
    stage.send(85)
    stage.services.deploy(RANKER, "bob@acme.example", minimum=3)
    stage.ann().hold("ranker", stage.clock.now() + timedelta(hours=4))
    stage.tick(20)
    assert stage.written() == ["ranker"]
    assert len(stage.posts) == 2
    assert "held until 2026-11-20 16:00 UTC by ann" in stage.posts[-1]
    assert stage.open() == []


def test_what_was_parked_again_in_vain_is_told_a_last_time() -> None:
    """A day after it was told first; it is left then, and the message does not say that it is parked."""
    stage = Stage(a_policy(IDLE_80, more="on_drift: repark"))
    stage.service("ranker", HERE, maximum=9)
    stage.send(85)
    for _ in range(4):
        stage.services.deploy(RANKER, "bob@acme.example", minimum=3)
        stage.tick(9 * 60)
    assert stage.state(RANKER)["minimum"] == 3
    assert "not parked again, since that was in vain 3 times" in stage.posts[-1]


def test_what_was_deleted_meanwhile_is_forgotten(stage: Stage) -> None:
    """There is nothing to be put back, and that is said; nobody asked for it."""
    stage.send(85)
    stage.services.delete(RANKER)
    stage.send(86)
    assert "was deleted meanwhile" in stage.posts[-1]
    assert "Asked for by" not in stage.posts[-1]
    assert stage.open() == []


def test_a_region_that_does_not_answer_is_not_taken_for_a_deletion(stage: Stage) -> None:
    """What cannot be seen is still held."""
    stage.send(85)
    stage.services.broken.add(stage.target(RANKER).place)
    stage.tick(20)
    assert stage.target(RANKER).status == "verified"


def test_drift_that_went_away_by_itself_is_forgotten(stage: Stage) -> None:
    """Terraform was applied again with the right values."""
    stage.send(85)
    stage.services.deploy(RANKER, "bob@acme.example", minimum=3)
    stage.tick(20)
    assert stage.target(RANKER).drift
    stage.services.deploy(RANKER, "bob@acme.example", minimum=0)
    stage.tick(20)
    assert stage.target(RANKER).drift is None


# what is held, or switched off


def test_a_hold_protects_until_it_ends(stage: Stage) -> None:
    """The reason names who asked and until when; afterwards a step may touch it again."""
    stage.ann().hold("ranker", stage.clock.now() + timedelta(hours=1))
    stage.send(85)
    assert stage.state(RANKER) == WARM
    assert "held until 2026-11-20 13:00 UTC by ann" in stage.posts[-1]
    stage.tick(61)
    stage.send(101)
    assert stage.state(RANKER) == OFF


def test_holds_written_by_two_people_at_once_both_count(stage: Stage) -> None:
    """The second looks again and adds to what the first wrote."""
    until = stage.clock.now() + timedelta(hours=1)
    stage.meanwhile("write", lambda: stage.ann().hold("gateway", until))
    stage.ann().hold("ranker", until)
    assert set(stage.journal.holds().record.until) == {"ranker", "gateway"}


def test_what_was_protected_after_it_was_planned_is_not_written_to(stage: Stage) -> None:
    """The write failed, somebody held the service, and the retry asks the guard again."""
    stage.strike("update", lambda: Denied("run.services.update is missing", resource=RANKER))
    stage.send(85)
    stage.heal()
    stage.ann().hold("ranker", stage.clock.now() + timedelta(days=30))
    stage.tick(5)
    assert stage.state(RANKER) == WARM
    assert stage.written() == []
    assert stage.target(RANKER).status == "skipped"


def test_one_setting_stops_all_changes_but_not_the_way_back(stage: Stage) -> None:
    """A step that waited, and a target that failed, stay undone while the mode is observe, and go on afterwards."""
    enforcing = stage.policy
    stage.strike("update", lambda: Denied("run.services.update is missing", resource=RANKER))
    stage.send(85)
    stage.heal()
    stage.policy = enforcing.model_copy(update={"mode": "observe"})
    stage.tick(60)
    assert stage.written() == []
    stage.policy = enforcing
    stage.tick(60)
    assert stage.state(RANKER) == IDLE
    stage.policy = enforcing.model_copy(update={"mode": "observe"})
    stage.ann().restore_all()
    assert stage.state(RANKER) == WARM


def test_a_waiting_step_and_an_unseen_place_wait_while_the_mode_is_observe() -> None:
    """All that would change something is put off, and done once changes are allowed again."""
    stage = Stage(a_policy(IDLE_80, "{at: 100%, wait: 30m, do: [" + STOPPED_USE + "]}"))
    stage.service("ranker", HERE, maximum=9)
    stage.service("gateway", THERE)
    stage.services.broken.add(Place(PROJECT, THERE))
    stage.send(101)
    enforcing = stage.policy
    stage.policy = enforcing.model_copy(update={"mode": "observe"})
    stage.services.broken.clear()
    stage.tick(45)
    assert stage.written() == ["ranker"]
    stage.policy = enforcing
    stage.tick(60)
    stage.tick(60)
    assert set(stage.written()) == {"ranker", "gateway"}
    assert stage.state(RANKER) == OFF


# what the budget itself may do


def test_a_renamed_budget_still_puts_back_what_its_ended_period_parked() -> None:
    """No step may come of it any more, but what it parked is not forgotten."""
    stage = Stage(a_policy(IDLE_80, budget="ML Training Budget"))
    stage.service("ranker", HERE, maximum=9)
    stage.send(85)
    assert stage.state(RANKER) == IDLE
    with pytest.raises(EventRejected):
        stage.next_period_of(budget_name="Renamed")
    assert stage.state(RANKER) == WARM


def test_a_budget_whose_period_became_longer_is_followed_after_a_day(stage: Stage) -> None:
    """An older period is a late message at first; after a day without the newer one it is the budget's period."""
    year = datetime(2026, 1, 1, 8, tzinfo=UTC)
    stage.send(10)
    stage.clock.sleep(3600)
    assert stage.send(101, period_start=year) == ["older period"]
    stage.clock.sleep(25 * 3600)
    stage.send(101, period_start=year)
    assert stage.state(RANKER) == OFF


def test_an_entry_that_could_not_be_read_when_its_period_ended_is_put_back_later(stage: Stage) -> None:
    """It is remembered until it can be read again."""
    stage.send(85)
    (name,) = [name for name in stage.bucket.objects if name.startswith("entries/")]
    whole = stage.bucket.objects[name]
    stage.bucket.objects[name] = (b"{" + whole[0], *whole[1:])
    stage.next_period()
    stage.clock.sleep(60)
    stage.next_period(2)
    assert stage.state(RANKER) == IDLE
    stage.bucket.objects[name] = whole
    stage.next_period(3)
    assert stage.state(RANKER) == WARM


def test_an_entry_that_cannot_be_read_keeps_its_services_from_new_plans(stage: Stage) -> None:
    """Their parked state must not be taken for the original."""
    stage.send(85)
    (name,) = [name for name in stage.bucket.objects if name.startswith("entries/")]
    whole = stage.bucket.objects[name]
    stage.bucket.objects[name] = (b"{" + whole[0], *whole[1:])
    stage.send(101)
    assert stage.state(RANKER) == IDLE
    assert any("cannot be read" in text for text in stage.posts)


def test_a_worker_that_slept_through_its_lease_writes_nothing(stage: Stage) -> None:
    """Whoever took the entry up meanwhile goes on; the late write would come after a restore."""
    sleeps = iter([100.0])
    stage.hooks.after = lambda method: stage.clock.sleep(next(sleeps, 0.0)) if method == "update" else None
    stage.service("gateway", HERE)
    stage.send(85)
    assert stage.written().count("ranker") <= 1
    stage.heal()
    stage.settle()
    assert {stage.state(name)["minimum"] for name in (RANKER, full_name("gateway"))} == {0}
    stage.next_period()
    stage.settle()
    assert stage.state(RANKER) == WARM


def test_a_fault_in_our_own_code_for_one_service_hides_no_other(stage: Stage) -> None:
    """It is told as what it is, and tried again."""
    stage.service("gateway", HERE)
    stage.strike("update", lambda: ZeroDivisionError("a mistake"))
    stage.send(85)
    assert len(stage.written()) == 1
    assert "a fault in the watchdog itself" in stage.posts[-1]
    stage.heal()
    stage.tick(5)
    assert len(stage.written()) == 2
    stage.strike("update", lambda: ZeroDivisionError("a mistake"))
    stage.next_period()
    stage.heal()
    stage.settle()
    assert stage.state(RANKER) == WARM


# what is wrong with one


def test_an_entry_of_an_action_that_is_no_more_hides_no_other(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """A downgrade took the action away: its entry is left alone, which is told, and the other entries go on."""
    stage.send(85, **TRAINING)
    stage.send(85, **SERVING)
    name = next(name for name, (data, _, _) in stage.bucket.objects.items() if b"scale_to_zero" in data)
    data, generation, metadata = stage.bucket.objects[name]
    stage.bucket.objects[name] = (data.replace(b"scale_to_zero", b"scale_to_moon"), generation, metadata)
    stage.tick(20)
    assert "names an action 'scale_to_moon', which this version does not have, and is left alone" in caplog.text
    assert sum("scale_to_moon" in text for text in stage.posts) == 1
    assert stage.state(RANKER) == IDLE


def test_a_routine_message_that_meets_another_is_remembered_too(stage: Stage) -> None:
    """Both stand in the budget's series afterwards."""
    stage.send(10)
    stage.clock.sleep(60)
    stage.meanwhile("write", lambda: stage.send(12, sent_at=stage.clock.now() - timedelta(seconds=30)))
    assert stage.send(11) == ["status"]
    kept = stage.journal.budget(ACCOUNT, BUDGET)
    assert kept
    assert [str(point.cost) for point in kept.record.series] == ["10", "12", "11"]


def test_the_lower_plan_says_nothing_when_the_higher_one_has_its_services(stage: Stage) -> None:
    """It hands them over in silence; whoever has them now tells of them."""
    stage.send(85, **TRAINING)
    stage.send(101, **SERVING)
    told, lower = len(stage.posts), keys(stage)["training 0.8"]
    stage.ann().restore_entry(lower)
    assert len(stage.posts) == told
    (entry,) = stage.closed()
    assert entry.targets[0].reason == "taken over by another entry, which puts the same state back"


def test_two_plans_undone_at_the_same_moment_do_not_leave_a_service_to_each_other(stage: Stage) -> None:
    """The higher one set out to put back what the lower one still wanted then; the lower one waits, and puts back the rest."""
    stage.send(85, **TRAINING)
    stage.send(101, **SERVING)
    entries = keys(stage)
    stage.meanwhile("update", lambda: stage.ann().restore_entry(entries["training 0.8"]))
    stage.ann().restore_entry(entries["serving 1"])
    stage.settle()
    assert stage.state(RANKER) == WARM
    assert stage.open() == []


def test_a_journal_that_does_not_read_back_stops_everything(stage: Stage) -> None:
    """What cannot be put back on the journal's word is not changed at all."""

    def tamper(method: str) -> None:
        for name, (data, generation, metadata) in list(stage.bucket.objects.items()):
            if method == "write" and name.startswith("entries/budget-"):
                stage.bucket.objects[name] = (data.replace(b'"minimum":2', b'"minimum":3'), generation, metadata)

    stage.hooks.after = tamper
    with pytest.raises(JournalError, match="reads differently from what was written, so nothing was changed"):
        stage.send(85)
    assert stage.written() == []
