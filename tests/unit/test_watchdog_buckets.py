"""Buckets under a budget: rules are added, told of, looked after and taken away, and what other people wrote stays as it is."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.actions import params_by_name
from shared.errors import Unavailable
from shared.policy.policy import Policy, parse
from tests.buckets import BucketStage, Rule, delete, full_name, move
from tests.stage import CHANNEL, HERE, IDLE_80, PROJECT, Crash

ARTIFACTS, ARCHIVE = full_name("acme-ml-artifacts"), full_name("acme-ml-archive", "us")
OURS, LATER, THEIRS, OTHER = delete(90, "raw/"), delete(7, "tmp/"), move("NEARLINE", 30), move("ARCHIVE", 400, "old/")
RAW_80 = "{at: 80%, do: [{set_lifecycle: {buckets: ['acme-ml-*'], prefix: raw/, delete_after: 90d}}]}"
TMP_100 = "{at: 100%, do: [{set_lifecycle: {buckets: ['acme-ml-*'], prefix: tmp/, delete_after: 7d}}]}"
BOTH_80 = IDLE_80.replace("]}", ", {set_lifecycle: {buckets: ['acme-ml-*'], prefix: raw/, delete_after: 90d}}]}")


def a_policy(*steps: str, mode: str = "enforce", regions: str = "", more: str = "") -> Policy:
    """A policy with this ladder, and no regions unless they are named."""
    lines = [
        "version: 1",
        f"mode: {mode}",
        f"scope: {{projects: [{PROJECT}], regions: [{regions}]}}",
        "protect: {labels: {env: prod}}",
        f'slack: {{channel: "{CHANNEL}"}}',
        more,
        'budgets: [{budget: "*", steps: [',
        *(f"  {step}," for step in steps),
        "]}]",
    ]
    return parse("\n".join(lines), source="scenario", actions=params_by_name())


@pytest.fixture
def stage() -> BucketStage:
    """Two buckets under two steps: one in a region, with a rule of somebody's, and one in a multi-region."""
    return estate(a_policy(RAW_80, TMP_100))


def estate(policy: Policy) -> BucketStage:
    """The same under another policy."""
    built = BucketStage(policy)
    built.buckets.add(ARTIFACTS, THEIRS)
    built.buckets.add(ARCHIVE)
    built.buckets.add(full_name("acme-ml-kept"), labels={"env": "prod"})
    built.buckets.add(full_name("acme-ml-state"), watchdog=True)
    built.buckets.add(full_name("acme-ml-artifacts", project="another"))
    return built


def every_rule(stage: BucketStage) -> dict[str, list[Rule]]:
    """The rules of all buckets that have any."""
    return {name.rpartition("/")[2]: rules for name, rules in stage.buckets.rules.items() if rules}


def test_rules_come_with_the_step_and_go_with_the_period(stage: BucketStage) -> None:
    """In every location, without regions in the policy, and nowhere else; what other people wrote meanwhile stays."""
    stage.send(85)
    assert every_rule(stage) == {"acme-ml-artifacts": [THEIRS, OURS], "acme-ml-archive": [OURS]}
    stage.buckets.put(ARTIFACTS, OURS, OTHER)
    stage.next_period()
    assert every_rule(stage) == {"acme-ml-artifacts": [OTHER]}
    assert [target.status for entry in stage.closed() for target in entry.targets] == ["restored", "restored"]
    assert stage.open() == []


def test_the_message_says_what_was_added_what_it_costs_and_what_was_left_alone(stage: BucketStage) -> None:
    """In words that whoever owns the bucket understands."""
    stage.send(85)
    (text,) = stage.posts
    assert "`acme-ml-artifacts` · us-central1 · adds 1 lifecycle rule: delete raw/ after 90 days" in text
    assert "`acme-ml-archive` · us · adds 1 lifecycle rule: delete raw/ after 90 days" in text
    assert "lifecycle rules take effect within a day" in text
    assert "is kept and billed for another 7 days by the bucket's soft delete" in text
    assert "the watchdog itself (1): `acme-ml-state`" in text
    assert "protected by the label env=prod (1): `acme-ml-kept`" in text
    assert "saves about" not in text
    stage.next_period()
    assert "takes away 1 lifecycle rule: delete raw/ after 90 days" in stage.posts[-1]


def test_a_dry_run_writes_nothing() -> None:
    """And says what it would do."""
    stage = estate(a_policy(RAW_80, mode="observe"))
    stage.send(85)
    assert stage.buckets.writes == []
    assert "WOULD DO (2): set lifecycle" in stage.posts[0]


def test_a_step_that_waits_acts_on_what_is_there_then() -> None:
    """Somebody wrote the rule in time, and another bucket is new."""
    stage = estate(a_policy(RAW_80.replace("do:", "wait: 30m, do:")))
    stage.send(85)
    assert stage.buckets.writes == []
    stage.buckets.put(ARTIFACTS, OURS)
    stage.buckets.add(full_name("acme-ml-new"))
    stage.tick(31)
    assert every_rule(stage) == {"acme-ml-artifacts": [OURS], "acme-ml-archive": [OURS], "acme-ml-new": [OURS]}
    stage.next_period()
    assert every_rule(stage) == {"acme-ml-artifacts": [OURS]}


def test_two_steps_stand_beside_each_other(stage: BucketStage) -> None:
    """Reached one after the other, each puts back its own rules and leaves the other's."""
    stage.send(85)
    stage.send(101)
    assert stage.rules(ARTIFACTS) == [THEIRS, OURS, LATER]
    lower, higher = sorted(stage.open(), key=lambda entry: entry.steps[-1].at)
    stage.ann().restore_entry(lower.key)
    assert stage.rules(ARTIFACTS) == [THEIRS, LATER]
    stage.ann().restore_entry(higher.key)
    assert every_rule(stage) == {"acme-ml-artifacts": [THEIRS]}
    assert stage.open() == []


def test_two_steps_that_are_reached_at_once_are_written_once(stage: BucketStage) -> None:
    """Their rules add up, and go together."""
    stage.send(101)
    assert stage.rules(ARTIFACTS) == [THEIRS, OURS, LATER]
    assert len(stage.buckets.writes) == 2
    stage.next_period()
    assert every_rule(stage) == {"acme-ml-artifacts": [THEIRS]}


def test_what_other_people_do_with_their_own_rules_is_no_drift(stage: BucketStage) -> None:
    """Nobody is told of it."""
    stage.send(85)
    stage.tick(1)
    stage.buckets.put(ARTIFACTS, OTHER, OURS, LATER)
    stage.tick(30)
    assert len(stage.posts) == 1


def test_a_rule_that_somebody_takes_away_is_told_once(stage: BucketStage) -> None:
    """And it stays away, unless the policy says otherwise."""
    stage.send(85)
    stage.tick(1)
    stage.buckets.put(ARTIFACTS, THEIRS)
    stage.tick(30)
    stage.tick(30)
    (told,) = stage.posts[1:]
    assert "takes away 1 lifecycle rule: delete raw/ after 90 days" in told
    assert "ignore_changes = [lifecycle_rule]" in told
    assert "scaling" not in told
    assert stage.rules(ARTIFACTS) == [THEIRS]
    stage.next_period()
    assert every_rule(stage) == {"acme-ml-artifacts": [THEIRS]}


def test_a_rule_that_somebody_takes_away_is_added_again_where_the_policy_says_so() -> None:
    """What they wrote at the same time stays."""
    stage = estate(a_policy(RAW_80, more="on_drift: repark"))
    stage.send(85)
    stage.tick(1)
    stage.buckets.put(ARTIFACTS, OTHER)
    stage.tick(30)
    assert stage.rules(ARTIFACTS) == [OTHER, OURS]
    stage.next_period()
    assert stage.rules(ARTIFACTS) == [OTHER]


def test_a_change_at_the_moment_of_the_write_is_planned_anew(stage: BucketStage) -> None:
    """Whoever wrote it keeps it."""
    stage.meanwhile("patch bucket", lambda: stage.buckets.put(ARCHIVE, OTHER))
    stage.send(85)
    assert stage.rules(ARCHIVE) == [OTHER, OURS]
    stage.next_period()
    assert stage.rules(ARCHIVE) == [OTHER]


def test_a_project_that_cannot_be_listed_is_looked_at_again(stage: BucketStage) -> None:
    """It is named as a whole."""
    stage.buckets.broken = True
    stage.send(85)
    assert f"{PROJECT}/everywhere (buckets)" in stage.posts[0]
    stage.buckets.broken = False
    stage.tick(2)
    assert stage.rules(ARTIFACTS) == [THEIRS, OURS]


@pytest.mark.parametrize("trouble", ["the project", "a location"])
def test_a_bucket_that_cannot_be_seen_is_not_taken_for_deleted(stage: BucketStage, trouble: str) -> None:
    """Its rules are taken away later all the same."""
    stage.send(85)
    stage.tick(1)
    if trouble == "the project":
        stage.buckets.broken = True
    else:
        stage.buckets.unreachable.add("acme-ml-archive")
    stage.tick(30)
    stage.buckets.broken = False
    stage.buckets.unreachable.clear()
    stage.next_period()
    assert every_rule(stage) == {"acme-ml-artifacts": [THEIRS]}


def test_a_bucket_that_was_deleted_is_left(stage: BucketStage) -> None:
    """There is nothing to put back."""
    stage.send(85)
    stage.tick(1)
    stage.buckets.delete(ARCHIVE)
    stage.tick(30)
    assert (stage.target(ARCHIVE).status, stage.target(ARCHIVE).reason) == ("left", "was deleted meanwhile")


def test_services_and_buckets_of_one_step_are_each_looked_for_where_they_are(caplog: pytest.LogCaptureFixture) -> None:
    """Services region by region, buckets by project; and no look at one is a look at the other."""
    stage = estate(a_policy(BOTH_80, regions=HERE))
    ranker = stage.service("ranker")
    stage.send(85)
    stage.tick(1)
    stage.tick(30)
    assert stage.state(ranker)["minimum"] == 0
    assert stage.rules(ARTIFACTS) == [THEIRS, OURS]
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == []
    stage.next_period()
    assert (stage.state(ranker)["minimum"], stage.rules(ARTIFACTS)) == (2, [THEIRS])


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("number", range(1, 12))
def test_a_worker_that_dies_anywhere_leaves_nothing_behind(side: str, number: int) -> None:
    """The next one goes on; each rule is added once, and taken away once."""
    stage = estate(a_policy(RAW_80))
    stage.strike("*", Crash, side=side, number=number)
    with pytest.raises(Crash):
        stage.send(85)
    stage.heal()
    stage.send(86)
    stage.tick(3)
    assert every_rule(stage) == {"acme-ml-artifacts": [THEIRS, OURS], "acme-ml-archive": [OURS]}
    stage.next_period()
    stage.settle()
    assert every_rule(stage) == {"acme-ml-artifacts": [THEIRS]}
    assert stage.open() == []


PEOPLES = (THEIRS, OTHER, move("COLDLINE", 60), delete(30, "logs/"))
happenings = st.one_of(
    st.tuples(st.sampled_from(["add", "take away"]), st.sampled_from(PEOPLES)),
    st.tuples(st.just("take away"), st.sampled_from([OURS, LATER])),
    st.tuples(st.just("spend"), st.sampled_from([10, 85, 101])),
    st.tuples(st.just("tick"), st.sampled_from([1, 20])),
    st.tuples(st.just("restore"), st.just(0)),
    st.tuples(st.just("crash"), st.integers(1, 12)),
    st.tuples(st.just("no answer"), st.sampled_from(["before", "after"])),
    st.tuples(st.just("meanwhile"), st.sampled_from(PEOPLES)),
)


@settings(max_examples=250, deadline=None)
@given(story=st.lists(happenings, max_size=12), drift=st.sampled_from(["report", "repark"]))
def test_nobody_elses_rule_is_lost_and_none_of_ours_is_left_in_any_story(story: list[tuple[str, Any]], drift: str) -> None:
    """Whatever people write, whenever a worker dies, and whoever puts things back."""
    stage = estate(a_policy(RAW_80, TMP_100, more=f"on_drift: {drift}"))
    peoples: list[Rule] = [THEIRS]

    def people_add(rule: Rule) -> None:
        if rule not in peoples:
            peoples.append(rule)
            stage.buckets.put(ARTIFACTS, *stage.rules(ARTIFACTS), rule)

    for what, how in story:
        if what == "add":
            people_add(how)
        elif what == "take away":
            peoples = [rule for rule in peoples if rule != how]
            stage.buckets.put(ARTIFACTS, *(rule for rule in stage.rules(ARTIFACTS) if rule != how))
        elif what == "spend":
            _alive(partial(stage.send, how))
        elif what == "tick":
            _alive(partial(stage.tick, how))
        elif what == "restore":
            _alive(stage.ann().restore_all)
        elif what == "crash":
            stage.strike("*", Crash, number=how)
        elif what == "no answer":
            stage.strike("patch bucket", lambda: Unavailable("no answer"), side=how)
        else:
            stage.meanwhile("patch bucket", partial(people_add, how))
        assert [rule for rule in stage.rules(ARTIFACTS) if rule not in (OURS, LATER)] == peoples
    stage.heal()
    stage.clock.sleep(120)
    stage.next_period()
    stage.settle()
    assert every_rule(stage) == ({"acme-ml-artifacts": peoples} if peoples else {})
    assert stage.open() == []


def _alive(do: Callable[[], object]) -> None:
    with contextlib.suppress(Crash):
        do()
