"""Steps that are warned of, asked for or refused first: one mechanism, a recorded plan that is not due yet."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.model import Place
from tests.doubles import scaling
from tests.stage import HERE, IDLE, IDLE_80, POOLS, PROJECT, STOPPED, THERE, Stage, a_policy, full_name

WAIT_100 = f"{{at: 100%, wait: 30m, do: [{STOPPED}]}}"
APPROVE_120 = f"{{at: 120%, approve: true, do: [{STOPPED}]}}"


@pytest.fixture
def stage() -> Stage:
    """Two staging services, under a step that waits for half an hour and one that waits for a yes."""
    built = Stage(a_policy(WAIT_100, APPROVE_120))
    built.service("ranker")
    built.service("gateway", THERE)
    return built


# a wait


def test_a_step_that_waits_is_warned_of_with_what_it_would_change(stage: Stage) -> None:
    """People have half an hour, see what it means, and see how to call it off."""
    stage.send(101)
    assert stage.written() == []
    assert "would change 2 now" in stage.posts[0]
    assert f"cancel {stage.entry().key}" in stage.posts[0]
    assert "2026-11-20 12:30 UTC" in stage.posts[0]


def test_the_tick_carries_it_out_when_it_is_due_and_not_before(stage: Stage) -> None:
    """The listing says when, and the messages that come meanwhile start nothing."""
    stage.send(101)
    assert stage.tick(29) == []
    stage.send(105)
    assert stage.written() == []
    assert stage.tick(1) == ["carried on"]
    assert sorted(stage.written()) == ["gateway", "ranker"]
    assert len(stage.posts) == 2
    assert stage.tick(1) == []


def test_a_message_that_comes_when_it_is_due_does_not_wait_for_the_tick(stage: Stage) -> None:
    """Whoever comes first carries it out."""
    stage.send(101)
    stage.clock.sleep(1800)
    stage.send(102)
    assert sorted(stage.written()) == ["gateway", "ranker"]


def test_what_is_due_is_observed_afresh(stage: Stage) -> None:
    """Protected, deleted or held meanwhile: not touched. Made meanwhile: touched. Changed meanwhile: put back as it was changed."""
    for name in ("protected", "deleted", "held", "changed"):
        stage.service(name)
    stage.send(101)
    stage.services.resources[full_name("protected")].labels["cost-watchdog"] = "protect"  # type: ignore[index]  # the double keeps a dict
    stage.services.delete(full_name("deleted"))
    stage.services.deploy(full_name("changed"), "bob", minimum=7)
    stage.ann().hold("held", stage.clock.now() + timedelta(hours=1))
    stage.service("made")
    stage.tick(30)
    assert sorted(stage.written()) == ["changed", "gateway", "made", "ranker"]
    assert stage.target(full_name("changed")).before["minimum"] == 7
    reasons = {record.resource.rsplit("/", 1)[-1]: record.reason for record in stage.entry().untouched}
    assert reasons == {"protected": "protected by the label cost-watchdog=protect", "held": "held until 2026-11-20 13:00 UTC by ann"}


def test_a_wait_that_is_called_off_never_happens(stage: Stage) -> None:
    """It is told once who called it off, and the same step does not come again in this period."""
    stage.send(101)
    assert stage.ann().cancel(stage.entry().key).what == "closed"
    stage.tick(60)
    stage.send(110)
    assert stage.written() == []
    assert len(stage.posts) == 2
    assert "by ann" in stage.posts[1]


def test_a_wait_that_is_cancelled_twice_is_told_once(stage: Stage) -> None:
    """The second request finds it closed."""
    stage.send(101)
    key = stage.entry().key
    stage.ann().cancel(key)
    assert stage.ann().cancel(key).what == "closed"
    assert len(stage.posts) == 2


def test_the_lower_step_is_carried_out_at_once_and_the_higher_one_waits() -> None:
    """One plan, one message for both, and the wait takes over from what it finds."""
    stage = Stage(a_policy(IDLE_80, WAIT_100))
    name = stage.service("ranker", maximum=9)
    stage.send(101)
    assert stage.state(name) == scaling(maximum=9)
    assert "would change 1 now" in stage.posts[0]
    stage.tick(30)
    assert stage.state(name)["count"] == 0
    assert stage.target(name).before == scaling(minimum=2, maximum=9)
    stage.next_period()
    assert stage.state(name) == scaling(minimum=2, maximum=9)


def test_a_wait_in_a_dry_run_changes_nothing_when_it_is_due() -> None:
    """The dry run makes the same trip."""
    stage = Stage(a_policy(WAIT_100, mode="observe"))
    stage.service("ranker")
    stage.send(101)
    stage.tick(30)
    assert stage.written() == []
    assert [text.startswith("DRY RUN: ") for text in stage.posts] == [True, True]


# a yes


def test_a_step_that_needs_a_yes_does_nothing_without_it(stage: Stage) -> None:
    """It stays open and is not read by the tick, however long it takes."""
    stage.policy = a_policy(APPROVE_120)
    stage.send(125)
    assert "WAITS FOR APPROVAL" in stage.posts[0]
    assert stage.tick(60 * 24 * 7) == []
    assert stage.written() == []


def test_with_a_yes_it_is_carried_out_afresh(stage: Stage) -> None:
    """Once, and told once more."""
    stage.policy = a_policy(APPROVE_120)
    stage.send(125)
    stage.service("made", region=HERE)
    key = stage.entry().key
    assert stage.ann().approve(key).what == "carried on"
    assert sorted(stage.written()) == ["gateway", "made", "ranker"]
    assert stage.ann().approve(key).what == "carried on"
    assert len(stage.written()) == 3
    assert len(stage.posts) == 2
    assert stage.entry().steps[0].decided_by == "ann"


def test_a_yes_does_not_shorten_a_wait(stage: Stage) -> None:
    """The wait of the one step and the yes of the other are two things."""
    stage.send(125)
    stage.policy = a_policy(WAIT_100, APPROVE_120)
    stage.ann().approve(stage.entry().key)
    assert [step.state for step in stage.entry().steps] == ["waiting", "planned"]


# a limit


def test_a_plan_over_a_limit_is_refused_whole_and_waits_for_a_person() -> None:
    """Nothing of it is carried out, and people are told once, with both numbers."""
    stage = Stage(a_policy(IDLE_80, more="limits: {targets: 1}"))
    stage.service("ranker")
    stage.service("gateway", THERE)
    assert stage.send(85) == ["carried on"]
    stage.send(86)
    assert stage.tick(60) == []
    assert stage.written() == []
    assert len(stage.posts) == 1
    assert "2 resources would be changed, and limits.targets allows 1" in stage.posts[0]


def test_a_refused_plan_is_carried_out_once_the_policy_is_mended_and_a_person_says_yes() -> None:
    """The same policy would refuse it again; the mended one lets it pass."""
    stage = Stage(a_policy(IDLE_80, more="limits: {targets: 1}"))
    stage.service("ranker")
    stage.service("gateway", THERE)
    stage.send(85)
    key = stage.entry().key
    stage.ann().approve(key)
    assert stage.written() == []
    assert len(stage.posts) == 2
    stage.policy = a_policy(IDLE_80, more="limits: {targets: 2}")
    assert stage.ann().approve(key).what == "carried on"
    assert sorted(stage.written()) == ["gateway", "ranker"]
    assert len(stage.posts) == 3


def test_a_refused_plan_can_be_called_off() -> None:
    """Then it is closed, and does not come again in this period."""
    stage = Stage(a_policy(IDLE_80, more="limits: {targets: 0}"))
    stage.service("ranker")
    stage.send(85)
    assert stage.ann().cancel(stage.entry().key).what == "closed"
    stage.send(90)
    assert (stage.written(), stage.open(), len(stage.posts)) == ([], [], 2)


def test_a_refused_step_does_not_hide_the_step_that_waits() -> None:
    """Both are told of, and the one that waits is carried out if it keeps within the limit by then."""
    stage = Stage(a_policy(IDLE_80, WAIT_100, more="limits: {targets: 1}"))
    stage.service("ranker")
    stage.service("gateway", THERE)
    stage.send(101)
    assert [step.state for step in stage.entry().steps] == ["refused", "waiting"]
    assert len(stage.posts) == 2
    stage.services.delete(full_name("gateway", THERE))
    stage.tick(30)
    assert stage.written() == ["ranker"]


# places that are not seen


def test_a_region_that_fails_hides_no_other_and_is_looked_at_again() -> None:
    """The others are parked at once, the report names it, and what is there is parked when it answers."""
    stage = Stage(a_policy(f"{{at: 80%, do: [{IDLE}, {POOLS}]}}"))
    stage.service("ranker", HERE)
    stage.service("gateway", THERE)
    stage.pool("trainer", 2, THERE)
    stage.services.broken.add(Place(PROJECT, THERE))
    stage.send(85)
    assert stage.written() == ["ranker", "trainer"]
    assert f"{PROJECT}/{THERE} (services)" in stage.posts[0]
    stage.services.broken.clear()
    assert stage.tick(0.9) == []
    stage.tick(0.2)
    assert stage.written() == ["ranker", "gateway", "trainer"]
    assert len(stage.posts) == 2
    assert stage.entry().unseen == ()
    stage.tick(5)
    assert len(stage.posts) == 2


def test_a_region_that_stays_away_is_asked_less_and_less_until_the_period_ends() -> None:
    """From a minute to an hour between two looks; with the next period there is nothing to look for any more."""
    stage = Stage(a_policy(IDLE_80))
    stage.services.broken.update({Place(PROJECT, HERE), Place(PROJECT, THERE)})
    stage.send(85)
    waits = []
    for _ in range(9):
        earlier = stage.entry().unseen[0].retry_at
        stage.clock.instant = earlier
        stage.tick(0)
        waits.append((stage.entry().unseen[0].retry_at - earlier).total_seconds() / 60)
    assert waits == [2, 4, 8, 16, 32, 60, 60, 60, 60]
    stage.next_period()
    assert stage.open() == []


def test_what_a_region_shows_later_counts_against_the_limit_too() -> None:
    """The limit is on the plan and not on each look; what is parked stays, and nothing more is changed."""
    stage = Stage(a_policy(IDLE_80, more="limits: {targets: 1}"))
    stage.service("ranker", HERE)
    stage.service("gateway", THERE)
    stage.services.broken.add(Place(PROJECT, THERE))
    stage.send(85)
    stage.services.broken.clear()
    stage.tick(1)
    assert stage.written() == ["ranker"]
    assert "2 resources would be changed, and limits.targets allows 1" in stage.posts[1]
    assert "what was parked before stays parked" in stage.posts[1]
    stage.tick(5)
    assert len(stage.posts) == 2


def test_a_dry_run_looks_again_too() -> None:
    """It shows what would have been done, late as it may be."""
    stage = Stage(a_policy(IDLE_80, mode="observe"))
    stage.service("gateway", THERE)
    stage.services.broken.add(Place(PROJECT, THERE))
    stage.send(85)
    stage.services.broken.clear()
    stage.tick(1)
    assert stage.target(full_name("gateway", THERE)).status == "rehearsed"
    assert stage.written() == []


def test_a_region_is_not_looked_at_again_once_all_is_to_be_put_back() -> None:
    """Nothing new is parked by a plan that is being undone."""
    stage = Stage(a_policy(IDLE_80))
    stage.service("ranker", HERE)
    stage.service("gateway", THERE)
    stage.services.broken.add(Place(PROJECT, THERE))
    stage.send(85)
    stage.services.broken.clear()
    stage.clock.sleep(60)
    assert [outcome.what for outcome in stage.ann().restore_entry(stage.entry().key)] == ["closed"]
    assert stage.state(full_name("gateway", THERE)) == scaling(minimum=2)
