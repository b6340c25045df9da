"""What `set_lifecycle` takes in a policy, what it makes of a bucket, and what it puts back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import carry_out
from shared import plan as planning
from shared.actions import Move, blend, params_by_name
from shared.actions.set_lifecycle import MOST_RULES, Buckets, Params, Rules, join
from shared.carry_out import Job
from shared.entry import Drift, StepRecord, TargetRecord, UseRecord
from shared.errors import SettingsError, Unavailable
from shared.journal import Holds
from shared.model import Resource, canonical
from shared.plan import Guard
from shared.policy.policy import Protect, parse
from tests.buckets import BUCKET_FACTS, MemoryBuckets, Rule, delete, full_name, move, state
from tests.stage import PROJECT

CHANGES = Buckets()
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
NAME = full_name("acme-ml-artifacts")
EVERYTHING: dict[str, Any] = {
    "buckets": ["acme-ml-artifacts"],
    "prefix": "raw/",
    "delete_after": "400d",
    "nearline_after": "30d",
    "coldline_after": "90d",
    "archive_after": "365d",
    "abort_uploads_after": "7d",
    "delete_noncurrent_after": "30d",
}
RAW: dict[str, Any] = {"buckets": ["acme-*"], "prefix": "raw/", "delete_after": "90d"}
OURS, THEIRS, OTHER = delete(90, "raw/"), move("NEARLINE", 30), delete(7, "tmp/")
LATER = {"action": {"type": "Delete"}, "condition": {"isLive": False, "numNewerVersions": 3}}
NONCURRENT = {"action": {"type": "Delete"}, "condition": {"daysSinceNoncurrentTime": 30, "matchesPrefix": ["raw/"]}}
ABORT = {"action": {"type": "AbortIncompleteMultipartUpload"}, "condition": {"age": 7, "matchesPrefix": ["raw/"]}}


def params(**given: Any) -> Params:
    """The action's parameters."""
    return Params.model_validate(given)


def bucket(*rules: Rule, name: str = NAME, labels: dict[str, str] | None = None, **facts: Any) -> Resource:
    """A bucket with these rules."""
    return Resource("bucket", name, labels or {}, state(*rules), "1", {**BUCKET_FACTS, **facts})


def moved(resource: Resource, **given: Any) -> Move:
    """What the action makes of a bucket that it changes."""
    answer = CHANGES.plan(resource, params(**(given or RAW)))
    assert isinstance(answer, Move)
    return answer


def added(move: Move) -> list[str]:
    """The rules that it adds."""
    return [rule for rule, ours in move.wanted.items() if ours]


# in the policy

NEVER = "can never match a bucket; write its name without gs:// and without a folder, such as acme-ml-artifacts; * ? and [ab] are wildcards"


def policy(action: str, *, scope: str = "") -> str:
    """A policy with one step."""
    return f"version: 1\n{scope}budgets:\n- budget: A\n  steps:\n  - at: 80%\n    do:\n    - set_lifecycle: {action}"


def faults(action: str) -> list[str]:
    """What is wrong with it."""
    with pytest.raises(SettingsError) as refused:
        parse(policy(action), source="policy.yaml", actions=params_by_name())
    return [fault.partition("set_lifecycle")[2] for fault in refused.value.faults]


def test_a_policy_may_set_every_kind_of_rule() -> None:
    """Each becomes one rule as Cloud Storage writes it, and buckets need no regions."""
    text = policy(
        "{buckets: [acme-ml-artifacts], prefix: raw/, delete_after: 400d, nearline_after: 30d, coldline_after: 90d, archive_after: 365d,"
        " abort_uploads_after: 7d, delete_noncurrent_after: 30d}"
    )
    ((use,),) = (step.do for step in parse(text, source="policy.yaml", actions=params_by_name()).budgets[0].steps)
    assert use.params == params(**EVERYTHING)
    assert [*params(**EVERYTHING).rules()] == [
        move("NEARLINE", 30, "raw/"), move("COLDLINE", 90, "raw/"), move("ARCHIVE", 365, "raw/"), delete(400, "raw/"), NONCURRENT, ABORT,
    ]  # fmt: skip


def test_a_rule_for_the_whole_bucket_has_no_prefix() -> None:
    """A prefix that matches everything need not be said."""
    assert [*params(buckets=["a"], nearline_after="30d").rules()] == [move("NEARLINE", 30)]
    assert [*params(buckets=["a"], prefix="", delete_after="24h").rules()] == [delete(1)]


def test_parameters_read_back_from_the_journal() -> None:
    """They are kept as JSON, with those for further folders."""
    given = params(**EVERYTHING, also=[{"abort_uploads_after": "7d"}])
    assert Params.model_validate(given.model_dump(mode="json")) == given


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ("{delete_after: 90d, prefix: raw/}", ".buckets: is missing"),
        ("{buckets: [], prefix: raw/, delete_after: 90d}", ".buckets: is empty; write at least one"),
        (
            "{buckets: ['gs://acme'], abort_uploads_after: 7d}",
            f".buckets[0]: 'gs://acme' {NEVER}",
        ),
        (
            "{buckets: [Acme], abort_uploads_after: 7d}",
            f".buckets[0]: 'Acme' {NEVER}",
        ),
        (
            "{buckets: [a]}",
            ": sets no rule; write at least one of nearline_after, coldline_after, archive_after, delete_after, delete_noncurrent_after, abort_uploads_after",
        ),
        (
            "{buckets: [a], delete_after: 90d}",
            ': delete_after without a prefix would delete everything in the bucket; write prefix: raw/, or prefix: "" if that is meant',
        ),
        (
            "{buckets: [a], prefix: raw, abort_uploads_after: 7d}",
            ".prefix: 'raw' is no folder; write it with / at its end and nowhere else at an edge, such as checkpoints/",
        ),
        (
            "{buckets: [a], prefix: 'raw*/', abort_uploads_after: 7d}",
            ".prefix: 'raw*/' holds characters that have no meaning in a folder; wildcards do not count here",
        ),
        (
            "{buckets: [a], nearline_after: 36h}",
            ".nearline_after: 36h is not a whole number of days, and lifecycle rules count in days; write one such as 30d",
        ),
        ("{buckets: [a], nearline_after: 0d}", ".nearline_after: should be longer than 0s"),
        ("{buckets: [a], coldline_after: 30d, nearline_after: 90d}", ": coldline_after (30d) should be longer than nearline_after (90d)"),
        ("{buckets: [a], archive_after: 90d, coldline_after: 90d}", ": archive_after (90d) should be longer than coldline_after (90d)"),
        ("{buckets: [a], prefix: raw/, delete_after: 10d, nearline_after: 30d}", ": delete_after (10d) should be longer than nearline_after (30d)"),
        ("{buckets: [a], delete_afterwards: 90d}", ".delete_afterwards: unknown key; did you mean 'delete_after'?"),
        ("{buckets: [a], abort_uploads_after: 7d, also: [{prefix: tmp/}]}", ".also[0]: sets no rule; write at least one of"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_with_what_to_write(action: str, said: str) -> None:
    """Where it stands in the policy, and in words for whoever wrote it."""
    (fault,) = faults(action)
    assert fault.startswith(said)


def test_the_name_alone_is_not_enough() -> None:
    """There is nothing that it could mean."""
    with pytest.raises(SettingsError, match="set_lifecycle needs buckets"):
        parse(policy("{}").replace("set_lifecycle: {}", "set_lifecycle"), source="policy.yaml", actions=params_by_name())


def test_a_step_that_parks_services_too_needs_regions() -> None:
    """Those are for the services."""
    text = policy("{buckets: [a], abort_uploads_after: 7d}") + "\n    - stop_worker_pools: {select: {services: ['*']}}"
    with pytest.raises(SettingsError, match=r"scope\.regions: is missing; .* uses stop_worker_pools"):
        parse(text, source="policy.yaml", actions=params_by_name())


# which buckets


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [("acme-ml-artifacts", True), ("acme-*", True), ("*", True), ("acme", False), ("acme-ml-artifact?", True), ("[ab]cme-*", True)],
)
def test_buckets_are_meant_by_their_names(pattern: str, meant: bool) -> None:
    """Literally, or by a pattern for the whole name."""
    assert params(buckets=[pattern], abort_uploads_after="7d").select.matches(bucket()) is meant


def test_a_bucket_with_dots_and_underscores_can_be_named() -> None:
    """Services cannot have such names."""
    dotted = bucket(name=full_name("data.acme_ml.example"))
    assert params(buckets=["data.acme_ml.example"], abort_uploads_after="7d").select.names(dotted)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gcf-v2-sources-123-us-central1", "Cloud Run functions keeps sources in it"),
        ("gcf-sources-123-us-central1", "Cloud Functions keeps sources in it"),
        ("run-sources-acme-us-central1", "Cloud Run keeps sources in it"),
        ("acme_cloudbuild", "Cloud Build keeps sources and logs in it"),
        ("us.artifacts.acme.appspot.com", "App Engine or Container Registry keeps its files in it"),
    ],
)
def test_what_the_platform_owns_is_left_alone_unless_it_is_named_in_full(name: str, reason: str) -> None:
    """A pattern never means it."""
    seen = bucket(name=full_name(name))
    assert CHANGES.plan(seen, params(**RAW | {"buckets": ["*"]})) == f"{reason}; only a step that names it in full may touch it"
    assert added(moved(seen, **RAW | {"buckets": [name]})) == [canonical(OURS)]


# the plan


def test_rules_are_added_beside_those_that_are_there() -> None:
    """What other people wrote is kept, and only the new ones are insisted on."""
    assert dict(moved(bucket(THEIRS, LATER)).wanted) == {canonical(THEIRS): None, canonical(LATER): None, canonical(OURS): True}


def test_a_rule_that_is_there_already_is_not_added() -> None:
    """In whichever order its parts are written; then it is somebody else's and stays when the others are taken away."""
    shuffled = {"condition": {"matchesPrefix": ["raw/"], "age": 90}, "action": {"type": "Delete"}}
    assert added(moved(bucket(shuffled), **RAW, abort_uploads_after="7d")) == [canonical(ABORT)]
    assert CHANGES.plan(bucket(shuffled), params(**RAW)) == "already has these lifecycle rules"


def test_a_bucket_takes_so_many_rules_and_no_more() -> None:
    """The hundredth is added, and what would not fit is said and not tried."""
    nearly = [delete(age, "old/") for age in range(1, MOST_RULES)]
    assert len(moved(bucket(*nearly)).wanted) == MOST_RULES
    assert CHANGES.plan(bucket(*nearly), params(**RAW, abort_uploads_after="7d")) == (
        "has 99 lifecycle rules, and with 2 more there would be more than the 100 that a bucket may have"
    )


BEGINS = "lifecycle rules take effect within a day and work in their own time, so nothing is saved before that"
SOFT = "what the rules delete is kept and billed for another 7 days by the bucket's soft delete"
COST = (
    "each object that moves costs one operation at the colder class's price, and each read of it from then on a retrieval fee; "
    "the move itself carries no early-deletion fee"
)
UNVERSIONED = "the bucket keeps no versions, so the rule about noncurrent ones finds only what is left from when it did"
AUTOCLASS = "Autoclass already moves its objects between storage classes, so no rule about those is added"


@pytest.mark.parametrize(
    ("seen", "given", "said"),
    [
        (bucket(), {"abort_uploads_after": "7d"}, (BEGINS,)),
        (bucket(), {"prefix": "raw/", "delete_after": "90d"}, (BEGINS, SOFT)),
        (bucket(soft_delete_days=0), {"prefix": "raw/", "delete_after": "90d"}, (BEGINS,)),
        (bucket(versioned=True), {"delete_noncurrent_after": "30d"}, (BEGINS, SOFT)),
        (bucket(), {"delete_noncurrent_after": "30d"}, (BEGINS, SOFT, UNVERSIONED)),
        (bucket(), {"nearline_after": "30d"}, (BEGINS, COST)),
        (bucket(), {"prefix": "raw/", "nearline_after": "10d", "delete_after": "30d"}, (BEGINS, SOFT, COST)),
        (bucket(autoclass=True), {"nearline_after": "30d", "abort_uploads_after": "7d"}, (BEGINS, AUTOCLASS)),
        (bucket(autoclass=True), {"abort_uploads_after": "7d"}, (BEGINS,)),
        (
            bucket(),
            {"prefix": "raw/", "nearline_after": "10d", "coldline_after": "20d", "delete_after": "60d"},
            (
                BEGINS,
                SOFT,
                COST,
                "what is deleted after 60 days is billed for all of Coldline's 90: leave out coldline_after, or delete later",
            ),
        ),
    ],
    ids=["uploads", "delete", "no soft delete", "versions", "no versions", "classes", "long enough", "autoclass", "no class", "too early"],
)
def test_what_it_costs_and_when_it_begins_is_said(seen: Resource, given: dict[str, Any], said: tuple[str, ...]) -> None:
    """No saving is claimed, since it would take a look at every object."""
    made = moved(seen, buckets=["*"], **given)
    assert (made.saving, made.remains) == (Decimal(0), said)


def test_autoclass_leaves_nothing_to_do_for_storage_classes() -> None:
    """A step that asks for nothing else is left with the reason."""
    seen = bucket(autoclass=True)
    assert CHANGES.plan(seen, params(buckets=["*"], nearline_after="30d")) == "Autoclass already moves its objects between storage classes"
    assert added(moved(seen, buckets=["*"], nearline_after="30d", abort_uploads_after="7d", prefix="raw/")) == [canonical(ABORT)]


# several steps


def step(at: str, **given: Any) -> StepRecord:
    """A step that is open."""
    use = UseRecord(action="set_lifecycle", params=params(**given).model_dump(mode="json"))
    return StepRecord(key=f"actual-{at}", at=Decimal(at), on="actual", uses=(use,), state="open")


GUARD = Guard(Protect(labels={"env": ("prod",)}), Holds(), (PROJECT, "budget-alert"), NOW)


def planned(steps: Sequence[StepRecord], *seen: Resource) -> planning.Plan:
    """What the steps together make of the buckets."""
    return planning.make(steps, seen, GUARD, {})


def test_the_rules_of_several_steps_add_up() -> None:
    """Where 80 and 100 percent are reached at once, none of the two is lost, and both are planned anew together."""
    steps = [step("0.8", **RAW), step("1", buckets=["*"], abort_uploads_after="7d", also=[{"prefix": "tmp/", "delete_after": "7d"}])]
    (target,) = planned(steps, bucket(THEIRS)).targets
    wanted = {canonical(THEIRS): None, **state(OURS, {"action": ABORT["action"], "condition": {"age": 7}}, OTHER)}
    assert (target.step, target.wanted) == ("actual-0.8", wanted)
    again = planning.again(target, steps[0], bucket(THEIRS, LATER), GUARD, None)
    assert again.wanted == wanted | {canonical(LATER): None}


def test_rules_that_only_fit_one_by_one_are_left_with_the_reason() -> None:
    """Two steps ask for one rule each, and there is room for one."""
    steps = [step("0.8", **RAW), step("1", buckets=["*"], abort_uploads_after="7d")]
    plan = planned(steps, bucket(*(delete(age, "old/") for age in range(1, MOST_RULES))))
    assert [record.reason for record in plan.untouched] == [
        "has 99 lifecycle rules, and with 2 more there would be more than the 100 that a bucket may have"
    ]


def test_joined_uses_keep_every_folder() -> None:
    """The first says which buckets, since all of them mean the one in question."""
    joined = join([params(**RAW), params(buckets=["*"], abort_uploads_after="7d", also=[{"prefix": "tmp/", "delete_after": "7d"}])])
    assert joined.buckets == ("acme-*",)
    assert joined.folders() == (
        Rules(prefix="raw/", delete_after=timedelta(90)), Rules(abort_uploads_after=timedelta(7)), Rules(prefix="tmp/", delete_after=timedelta(7)),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (bucket(watchdog=True), "the watchdog itself"),
        (bucket(labels={"cost-watchdog": "protect"}), "protected by the label cost-watchdog=protect"),
        (bucket(labels={"env": "prod"}), "protected by the label env=prod"),
        (bucket(name=full_name("other")), "not selected"),
    ],
)
def test_guards_hold_for_buckets_too(seen: Resource, reason: str) -> None:
    """The state bucket, what carries a label, and what no step names."""
    assert [record.reason for record in planned([step("0.8", **RAW)], seen).untouched] == [reason]


# what counts as ours


def test_whatever_other_people_do_with_their_own_rules_is_no_drift() -> None:
    """Only a rule that was added and is gone is."""
    wanted = moved(bucket(THEIRS)).wanted
    assert CHANGES.reached(state(THEIRS, OURS), wanted)
    assert CHANGES.reached(state(OURS), wanted)
    assert CHANGES.reached(state(THEIRS, LATER, OURS, OTHER), wanted)
    assert not CHANGES.reached(state(THEIRS), wanted)
    assert not CHANGES.reached(state(THEIRS, delete(91, "raw/")), wanted)


@pytest.mark.parametrize(
    ("live", "back"),
    [
        ((THEIRS, OURS), (THEIRS,)),
        ((THEIRS, OURS, LATER), (THEIRS, LATER)),
        ((OURS,), ()),
        ((THEIRS,), (THEIRS,)),
        ((delete(91, "raw/"), THEIRS), (delete(91, "raw/"), THEIRS)),
        ((), ()),
    ],
    ids=["as it was left", "they added one", "they took theirs away", "they took ours away", "they changed ours", "they took all away"],
)
def test_exactly_what_was_added_and_still_stands_is_taken_away(live: tuple[Rule, ...], back: tuple[Rule, ...]) -> None:
    """Rule by rule, whatever else happened to the bucket."""
    ours = (state(THEIRS), state(THEIRS, OURS))
    groups = CHANGES.groups(state(*live), ours, state(THEIRS))
    assert blend(groups, live=state(*live), ours=ours, original=state(THEIRS)) == state(*back)


some_rules = st.lists(st.sampled_from([OURS, THEIRS, OTHER, LATER, NONCURRENT, ABORT]), unique_by=canonical)


@given(before=some_rules, live=some_rules, asked=st.lists(st.sampled_from([OURS, OTHER, ABORT]), unique_by=canonical, min_size=1))
def test_nobody_elses_rule_ever_comes_or_goes(before: list[Rule], live: list[Rule], asked: list[Rule]) -> None:
    """Whatever stood there before and whatever stands there now, putting back takes away what was added, and nothing more."""
    new = [rule for rule in asked if rule not in before]
    ours = (state(*before), state(*before, *new))
    groups = CHANGES.groups(state(*live), ours, state(*before))
    back = blend(groups, live=state(*live), ours=ours, original=state(*before))
    assert back == state(*(rule for rule in live if rule not in new))


ABSENT_FIELDS = [
    ({"a": 1, "b": 2}, ({"a": 1, "b": 2},), {"a": 1}, {"a": 1}),
    ({"a": 1, "b": 3}, ({"a": 1, "b": 2},), {"a": 1}, {"a": 1, "b": 3}),
    ({"a": 1}, ({"a": 1, "b": 2},), {"a": 1}, {"a": 1}),
    ({"a": 1}, ({"a": 1},), {"a": 1, "b": 2}, {"a": 1, "b": 2}),
    ({"a": 1, "b": None}, ({"a": 1},), {"a": 1, "b": 2}, {"a": 1, "b": None}),
    ({"a": 1}, ({"a": 1, "b": None},), {"a": 1, "b": 2}, {"a": 1}),
    ({"a": 1, "b": 2}, ({"a": 1, "b": 2},), {"a": 1, "b": None}, {"a": 1, "b": None}),
]


@pytest.mark.parametrize(("live", "ours", "original", "back"), ABSENT_FIELDS)
def test_states_need_not_have_the_same_fields(live: Any, ours: Any, original: Any, back: Any) -> None:
    """A field that is absent is something else than one that is None, and what was absent before is taken away."""
    assert blend((("a",), ("b",)), live=live, ours=ours, original=original) == back


def test_fields_that_stand_together_come_and_go_together() -> None:
    """One of them is somebody else's: both stay."""
    live, ours, original = {"a": 1, "b": 2}, ({"a": 1},), {"c": 3}
    assert blend((("a", "b"),), live=live, ours=ours, original=original) == live
    assert blend((("a", "b", "c"),), live=live, ours=(live,), original=original) == original


# in words


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ((), (OURS,), "adds 1 lifecycle rule: delete raw/ after 90 days"),
        ((THEIRS,), (THEIRS, OURS, ABORT), "adds 2 lifecycle rules: delete raw/ after 90 days; abort uploads to raw/ after 7 days"),
        ((OURS, THEIRS), (OURS,), "takes away 1 lifecycle rule: move everything to Nearline after 30 days"),
        (
            (OURS,),
            (NONCURRENT,),
            "adds 1 lifecycle rule: delete noncurrent versions of raw/ after 30 days, and takes away 1 lifecycle rule: delete raw/ after 90 days",
        ),
        ((), (delete(1),), "adds 1 lifecycle rule: delete everything after 1 day"),
        ((), (LATER,), 'adds 1 lifecycle rule: delete everything where {"isLive": false, "numNewerVersions": 3}'),
        ((), ({"action": {"type": "Freeze"}},), "adds 1 lifecycle rule: Freeze everything"),
        ((), ({},), "adds 1 lifecycle rule: None everything"),
        (
            (),
            ({"action": {"type": "Delete"}, "condition": {"age": 9, "daysSinceNoncurrentTime": 1, "matchesPrefix": ["a/", "b/"]}},),
            "adds 1 lifecycle rule: delete noncurrent versions of a/ and b/ after 9 days and after 1 day",
        ),
        ((OURS,), (OURS,), "no other lifecycle rules"),
    ],
)  # fmt: skip
def test_a_change_is_told_in_a_few_words(before: tuple[Rule, ...], after: tuple[Rule, ...], line: str) -> None:
    """What comes and what goes, whoever wrote it."""
    assert CHANGES.line(state(*before), state(*after)) == line


# carried out


@pytest.fixture
def buckets() -> MemoryBuckets:
    """One bucket with a rule of somebody's."""
    made = MemoryBuckets()
    made.add(NAME, THEIRS)
    return made


def target(buckets: MemoryBuckets, **more: Any) -> TargetRecord:
    """The plan to add a rule."""
    (made,) = planned([step("0.8", **RAW)], buckets.get(NAME)).targets
    return made.but(**more)


def parked(buckets: MemoryBuckets) -> TargetRecord:
    """The same, carried out and to be put back."""
    done = carry_out.park(Job(target(buckets), buckets.get(NAME)), buckets, lambda: True).target
    assert (done.status, buckets.rules[NAME]) == ("verified", [THEIRS, OURS])
    return done.but(status="restoring")


def restored(record: TargetRecord, buckets: MemoryBuckets) -> TargetRecord:
    """The record after a restore."""
    return carry_out.restore(Job(record), buckets, lambda: True).target


def after(buckets: MemoryBuckets, method: str, *rules: Rule) -> None:
    """Somebody writes these rules right after the next call of a method did its work."""

    def hook(called: str) -> None:
        if called == method:
            buckets.hooks.after = lambda _: None
            buckets.put(NAME, *rules)

    buckets.hooks.after = hook


def test_what_was_added_is_taken_away_again(buckets: MemoryBuckets) -> None:
    """And the bucket is as it was."""
    done = restored(parked(buckets), buckets)
    assert (done.status, done.reason, buckets.rules[NAME]) == ("restored", "", [THEIRS])


@pytest.mark.parametrize(
    ("meanwhile", "left"),
    [
        ((THEIRS, LATER, OURS, OTHER), [THEIRS, LATER, OTHER]),
        ((OURS,), []),
        ((THEIRS,), [THEIRS]),
        ((OTHER,), [OTHER]),
    ],
    ids=["added", "took theirs away", "took ours away", "replaced all"],
)
def test_what_other_people_wrote_meanwhile_stays_and_is_no_reason_to_complain(
    buckets: MemoryBuckets, meanwhile: tuple[Rule, ...], left: list[Rule]
) -> None:
    """It is put back when nothing of ours stands any more."""
    record = parked(buckets)
    buckets.put(NAME, *meanwhile)
    done = restored(record, buckets)
    assert (done.status, done.reason, buckets.rules[NAME]) == ("restored", "", left)


def test_a_rule_that_comes_between_the_write_and_the_look_at_it_is_theirs(buckets: MemoryBuckets) -> None:
    """It is read back with ours, and is not taken away with it."""
    after(buckets, "patch bucket", THEIRS, OURS, LATER)
    done = carry_out.park(Job(target(buckets), buckets.get(NAME)), buckets, lambda: True).target
    assert (done.status, done.wrote) == ("verified", state(THEIRS, OURS))
    assert restored(done.but(status="restoring"), buckets).status == "restored"
    assert buckets.rules[NAME] == [THEIRS, LATER]


def test_a_rule_that_comes_while_the_answer_is_lost_is_theirs(buckets: MemoryBuckets) -> None:
    """What was added is found by its own rules, and the record claims no others."""
    unsure = target(buckets, maybe=True)
    buckets.put(NAME, THEIRS, OURS, LATER)
    done = carry_out.park(Job(unsure), buckets, lambda: True).target
    assert (done.status, done.wrote) == ("verified", state(THEIRS, OURS))
    assert not buckets.writes
    assert restored(done.but(status="restoring"), buckets).status == "restored"
    assert buckets.rules[NAME] == [THEIRS, LATER]


def test_a_lost_answer_says_that_it_may_be_done(buckets: MemoryBuckets) -> None:
    """The next look finds whether it was."""

    def lost(called: str) -> None:
        if called == "patch bucket":
            buckets.hooks.after = lambda _: None
            raise Unavailable("no answer", resource=NAME)

    buckets.hooks.after = lost
    first = carry_out.park(Job(target(buckets), buckets.get(NAME)), buckets, lambda: True)
    assert (first.target.status, first.target.maybe, first.again) == ("failed", True, True)
    assert carry_out.park(Job(first.target), buckets, lambda: True).target.status == "verified"
    assert [rules for _, rules in buckets.writes] == [[THEIRS, OURS]]


@pytest.mark.parametrize("change", ["rules", "labels"])
def test_whoever_changes_the_bucket_at_the_moment_of_the_write_wins(buckets: MemoryBuckets, change: str) -> None:
    """Nothing is written, and the plan is made anew with what is there."""
    record, seen = target(buckets), buckets.get(NAME)
    if change == "rules":
        buckets.put(NAME, LATER)
    else:
        buckets.label(NAME, team="vision")
    result = carry_out.park(Job(record, seen), buckets, lambda: True)
    assert result.moved
    assert not buckets.writes
    anew = planning.again(result.target, step("0.8", **RAW), result.moved, GUARD, None)
    assert carry_out.park(Job(anew, result.moved), buckets, lambda: True).target.status == "verified"
    kept = [LATER] if change == "rules" else [THEIRS]
    assert buckets.rules[NAME] == [*kept, OURS]
    assert restored(anew.but(status="restoring", maybe=True), buckets).status == "restored"
    assert buckets.rules[NAME] == kept


def test_what_cannot_be_put_back_is_said(buckets: MemoryBuckets) -> None:
    """Somebody writes the rule again at once."""
    record = parked(buckets)
    after(buckets, "patch bucket", OURS)
    done = restored(record, buckets)
    assert done.status == "restored"
    assert f"{canonical(OURS)} is True and not absent" in done.reason


def test_planning_anew_after_drift_adds_only_what_is_gone(buckets: MemoryBuckets) -> None:
    """What the other person added meanwhile is part of what stays later."""
    record = parked(buckets).but(status="verified")
    buckets.put(NAME, LATER)
    live = buckets.get(NAME)
    drifted = record.but(drift=Drift(by="", state=dict(live.state), seen_at=NOW))
    anew = planning.again(drifted, step("0.8", **RAW), live, GUARD, None)
    assert (anew.before, anew.wanted) == (state(LATER), {canonical(LATER): None, canonical(OURS): True})


def test_plans_on_one_bucket_stand_beside_each_other(buckets: MemoryBuckets) -> None:
    """None takes the other's rules over, so nothing is held."""
    record = parked(buckets)
    assert planning.stands_beside(record)
    assert not planning.stands_beside(record.but(use=UseRecord(action="scale_to_zero", params={})))
    assert not planning.stands_beside(record.but(use=UseRecord(action="of_another_version", params={})))
