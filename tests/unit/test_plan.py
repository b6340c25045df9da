"""What is decided about each resource that was seen, and when a plan is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from shared import plan as planning
from shared.actions import registry
from shared.entry import Drift, Entry, StepRecord, TargetRecord, UseRecord
from shared.errors import UnsafePlan
from shared.journal import Holds
from shared.model import Resource
from shared.plan import Guard, Plan
from shared.policy.policy import Limits, Protect
from shared.policy.select import Selector
from tests.doubles import POOL_FACTS, SERVICE_FACTS, ManualClock, scaling
from tests.stage import PROJECT, full_name

NOW = ManualClock().now()
STAGING = {"labels": {"env": ["staging"]}}
ANYBODY = Selector.model_validate({"services": ["*"]})


def seen(name: str, state: dict[str, Any] | None = None, labels: dict[str, str] | None = None, **facts: Any) -> Resource:
    """A service, of staging and with two warm instances unless it is said otherwise."""
    chosen = {"env": "staging"} if labels is None else labels
    return Resource("service", full_name(name), chosen, state or scaling(minimum=2), facts={**SERVICE_FACTS, **facts}, last_modifier="bob")


def pool(name: str, count: int) -> Resource:
    """A worker pool."""
    return Resource("worker_pool", full_name(name, collection="workerPools"), {"env": "staging"}, {"count": count}, facts=POOL_FACTS)


def scale(to: str = "idle", select: dict[str, Any] | None = None) -> UseRecord:
    """One use of the action, as a policy has it."""
    return UseRecord(action="scale_to_zero", params={"select": STAGING if select is None else select, "to": to})


def step(at: str, *uses: UseRecord) -> StepRecord:
    """A step that is open."""
    return StepRecord(key=f"actual-{at}", at=Decimal(at), on="actual", uses=uses, state="open")


def guard(**more: Any) -> Guard:
    """A guard that protects production."""
    given: dict[str, Any] = {
        "protect": Protect(labels={"env": ("prod",)}),
        "holds": Holds(),
        "itself": (PROJECT, "budget-alert"),
        "now": NOW,
    }
    return Guard(**(given | more))


def held(
    name: str, before: dict[str, Any], parked: dict[str, Any], *, rank: int = 0, use: UseRecord | None = None, **more: Any
) -> TargetRecord:
    """What an earlier plan parked."""
    given: dict[str, Any] = {"status": "verified", "wanted": parked, "wrote": parked}
    return TargetRecord(
        resource=full_name(name),
        kind="service",
        use=use or scale(),
        step="actual-0.5",
        before=before,
        found=before,
        rank=rank,
        **(given | more),
    )


# the guards

HELD = Holds(until={"ranker": NOW + timedelta(hours=4, minutes=30)}, by={"ranker": "ann"})
EVERY_REASON = [
    (seen("ranker", watchdog=True), guard(), "the watchdog itself"),
    (seen("budget-alert"), guard(), "the watchdog itself"),
    (seen("ranker", labels={"env": "staging", "cost-watchdog": "protect"}), guard(), "protected by the label cost-watchdog=protect"),
    (seen("ranker", labels={"env": "prod"}), guard(), "protected by the label env=prod"),
    (seen("pay-prod"), guard(protect=Protect(services=("*-prod",))), "protected by its name, as protect.services has '*-prod'"),
    (seen("ranker"), guard(holds=HELD), "held until 2026-11-20 16:30 UTC by ann"),
    (seen("ranker", labels={"env": "dev"}), guard(), "not selected"),
    (
        seen("ranker"),
        guard(unknown=frozenset({full_name("ranker")})),
        "an entry of the journal that cannot be read may have changed it, so what to put back is not known; mend that entry first",
    ),
    (
        seen("ranker", function=True),
        guard(),
        "a Cloud Run function, or built from source like one; only a step that selects it by its literal name may touch it",
    ),
]


@pytest.mark.parametrize(("resource", "by", "reason"), EVERY_REASON, ids=[reason for _, _, reason in EVERY_REASON])
def test_each_guard_keeps_a_resource_from_the_plan_with_its_reason(resource: Resource, by: Guard, reason: str) -> None:
    """Who is not touched is named, and why."""
    plan = planning.make([step("0.8", scale())], [resource], by, {})
    assert not plan.targets
    assert [(record.resource, record.reason) for record in plan.untouched] == [(resource.name, reason)]


def test_protection_is_said_before_everything_else() -> None:
    """The watchdog before the label, the label before the hold, the hold before the selection, the selection before the function."""
    everything: dict[str, Any] = {"watchdog": True, "function": True}
    protected = {"env": "prod"}
    strict = guard(holds=HELD)
    nobody = Selector.model_validate({"services": ["nobody"]})
    assert strict.reason(seen("ranker", labels=protected, **everything), nobody) == "the watchdog itself"
    assert strict.reason(seen("ranker", labels=protected, function=True), nobody) == "protected by the label env=prod"
    assert strict.reason(seen("ranker", function=True), nobody) == "held until 2026-11-20 16:30 UTC by ann"
    assert strict.reason(seen("gateway", function=True), nobody) == "not selected"


def test_a_hold_may_name_the_full_resource() -> None:
    """Where two regions have services of one name, the full name holds one of them."""
    holds = Holds(until={full_name("ranker"): NOW + timedelta(hours=1)})
    assert guard(holds=holds).reason(seen("ranker"), ANYBODY) == "held until 2026-11-20 13:00 UTC by somebody"
    assert guard(holds=holds).reason(replace(seen("ranker"), name=full_name("ranker", "europe-west1")), ANYBODY) is None


def test_a_hold_expires() -> None:
    """At its end the service may be touched again."""
    assert guard(holds=HELD, now=NOW + timedelta(hours=4, minutes=30)).reason(seen("ranker"), ANYBODY) is None


def test_a_function_that_is_selected_by_its_literal_name_may_be_touched() -> None:
    """Only then."""
    plan = planning.make([step("0.8", scale(select={"services": ["resize"]}))], [seen("resize", function=True)], guard(), {})
    assert [target.short_name for target in plan.targets] == ["resize"]


def test_a_service_of_the_watchdogs_name_in_another_project_is_not_the_watchdog() -> None:
    """It is its project and its name together."""
    assert guard(itself=("other-project", "budget-alert")).reason(seen("budget-alert"), ANYBODY) is None


# the plan


def test_the_stronger_of_two_steps_wins_in_whichever_order_they_come() -> None:
    """Where 80 and 100 percent are reached at once, the service is stopped once and never made idle first."""
    steps = [step("0.8", scale("idle")), step("1", scale("stopped"))]
    for order in (steps, steps[::-1]):
        (target,) = planning.make(order, [seen("ranker")], guard(), {}).targets
        assert (target.step, target.wanted["mode"], target.wanted["count"]) == ("actual-1", "manual", 0)


def test_of_two_equal_changes_the_lower_step_has_it() -> None:
    """One of them must be named, and it is always the same one."""
    (target,) = planning.make([step("0.8", scale()), step("1", scale())], [seen("ranker")], guard(), {}).targets
    assert target.step == "actual-0.8"


def test_what_one_step_protects_from_selection_another_may_mean() -> None:
    """The reason that matters is told: that it is idle already, and not that another step means others."""
    steps = [step("0.8", scale(select={"services": ["gateway"]})), step("1", scale())]
    (record,) = planning.make(steps, [seen("ranker", scaling())], guard(), {}).untouched
    assert record.reason == "already idle: no instance is kept warm by its settings"


def test_each_action_looks_at_its_own_kind_alone() -> None:
    """A step may park services and worker pools together, and steps that only speak ask for nothing."""
    steps = [
        step("0.5", UseRecord(action="notify", params={})),
        step("0.8", scale(), UseRecord(action="stop_worker_pools", params={"select": STAGING})),
    ]
    plan = planning.make(steps, [seen("ranker"), pool("trainer", 2)], guard(), {})
    assert {target.short_name: target.use.action for target in plan.targets} == {"ranker": "scale_to_zero", "trainer": "stop_worker_pools"}
    assert planning.kinds(steps) == {"service", "worker_pool"}
    assert planning.kinds(steps[:1]) == set()
    assert [record.reason for record in planning.make(steps[:1], [seen("ranker")], guard(), {}).untouched] == ["not selected"]


def test_a_plan_sorts_itself_the_largest_saving_first() -> None:
    """The order is part of the plan's value, so two plans of the same things are equal."""
    resources = [seen("small", scaling(minimum=1)), seen("b"), seen("a"), seen("off", labels={}), seen("also-off", labels={})]
    plan = planning.make([step("0.8", scale())], resources, guard(), {})
    assert [target.short_name for target in plan.targets] == ["a", "b", "small"]
    assert [record.resource for record in plan.untouched] == [full_name("also-off"), full_name("off")]
    assert plan.seen == 5
    assert plan == planning.make([step("0.8", scale())], resources[::-1], guard(), {})


# what earlier plans hold


def test_the_state_to_put_back_is_handed_on_from_an_earlier_plan() -> None:
    """A second capture never overwrites the first: what the watchdog itself made is not what was there before."""
    (target,) = planning.make(
        [step("1", scale("stopped"))],
        [seen("ranker", scaling())],
        guard(),
        {full_name("ranker"): held("ranker", scaling(minimum=2), scaling())},
    ).targets
    assert target.before == scaling(minimum=2)
    assert target.found == scaling()
    assert target.rank == 1


def test_what_somebody_changed_since_is_part_of_what_is_put_back_later() -> None:
    """Their word is the newest: the maximum of theirs stays, the minimum from before the watchdog comes back."""
    earlier = held("ranker", scaling(minimum=2, maximum=9), scaling(maximum=9))
    (target,) = planning.make(
        [step("1", scale("stopped"))], [seen("ranker", scaling(maximum=4))], guard(), {full_name("ranker"): earlier}
    ).targets
    assert target.before == scaling(minimum=2, maximum=4)


def test_a_state_that_was_wanted_and_perhaps_written_is_the_watchdogs_own() -> None:
    """A worker died between its write and its record, and Cloud Run unset the minimum by itself: that is not what was there before."""
    before = scaling(minimum=2, maximum=9)
    unsure = target_of(seen("ranker", before), to="stopped", maybe=True)
    live = seen("ranker", scaling(mode="manual", count=0), labels={"env": "prod"})
    planned = planning.again(unsure, step("0.8", scale("stopped")), live, guard(), None)
    assert (planned.status, planned.before) == ("verified", before)


def test_of_several_holders_the_one_that_took_over_last_counts() -> None:
    """Whichever entry is read first."""
    low, high = held("ranker", scaling(minimum=2), scaling()), held("ranker", scaling(minimum=2), scaling(mode="manual", count=0), rank=1)
    entries = [Entry(key=key, created=NOW, targets=(target,)) for key, target in (("a", low), ("b", high))]
    assert planning.held_by(entries) == planning.held_by(entries[::-1]) == {full_name("ranker"): high}


def test_what_was_put_back_is_held_by_nobody() -> None:
    """Restored, left, skipped and rehearsed targets hand nothing on."""
    targets = tuple(held(status, scaling(), scaling(), status=status) for status in ("restored", "left", "skipped", "rehearsed"))
    assert planning.held_by([Entry(key="a", created=NOW, targets=targets)]) == {}


# planning anew


def target_of(resource: Resource, to: str = "idle", **more: Any) -> TargetRecord:
    """What a plan made of it."""
    (target,) = planning.make([step("0.8", scale(to))], [resource], guard(), {}).targets
    return target.but(**more)


def test_a_service_that_somebody_changed_meanwhile_is_planned_from_what_it_is_now() -> None:
    """Their state is what is put back later."""
    planned = planning.again(target_of(seen("ranker")), step("0.8", scale()), seen("ranker", scaling(minimum=5)), guard(), None)
    assert (planned.status, planned.before, planned.found, planned.wanted) == (
        "intended",
        scaling(minimum=5),
        scaling(minimum=5),
        scaling(),
    )
    assert planned.replans == 1


@pytest.mark.parametrize(
    ("live", "reason"),
    [
        (seen("ranker", scaling()), "already idle: no instance is kept warm by its settings"),
        (seen("ranker", labels={"env": "prod"}), "protected by the label env=prod"),
    ],
)
def test_a_service_that_needs_no_change_any_more_is_skipped(live: Resource, reason: str) -> None:
    """Somebody else made it idle, or protected it: then it is not the watchdog's, and not put back by it."""
    planned = planning.again(target_of(seen("ranker")), step("0.8", scale()), live, guard(), None)
    assert (planned.status, planned.reason) == ("skipped", reason)


def test_what_an_earlier_try_left_in_a_service_stays_on_the_list() -> None:
    """A write that was perhaps done, and a protection that came afterwards: the half that is the watchdog's own will be put back."""
    unsure = target_of(seen("ranker", scaling(minimum=2, revision_minimum=1)), maybe=True)
    live = seen("ranker", scaling(minimum=3), labels={"env": "prod"})
    planned = planning.again(unsure, step("0.8", scale()), live, guard(), None)
    assert (planned.status, planned.reason) == ("verified", "protected by the label env=prod")
    assert planned.before == scaling(minimum=3, revision_minimum=1)
    assert planned.wrote == scaling(minimum=3)


def test_what_another_plan_made_of_an_earlier_try_is_not_its_own_doing() -> None:
    """A worker died over its write, and a stronger plan took the service over: when that gives it back, this one has to know its own state again."""
    unsure = target_of(seen("ranker", scaling(minimum=2)), maybe=True)
    stopped = scaling(mode="manual", count=0)
    stronger = held("ranker", scaling(minimum=2), stopped, rank=1).but(found=scaling())
    planned = planning.again(unsure, step("0.8", scale()), seen("ranker", stopped), guard(), stronger)
    assert (planned.status, planned.before, planned.wrote) == ("verified", scaling(minimum=2), None)
    assert planning.own(planned, seen("ranker", scaling())) == (scaling(minimum=2), scaling())


def test_planning_anew_takes_over_from_whoever_holds_it_by_now() -> None:
    """Another budget's plan was quicker: the state to put back is handed on from there, and the rank says who is to put it back."""
    mine = target_of(seen("ranker"), to="stopped")
    quicker = held("ranker", scaling(minimum=2), scaling())
    planned = planning.again(mine, step("0.8", scale()), seen("ranker", scaling()), guard(), quicker)
    assert (planned.status, planned.before, planned.rank) == ("intended", scaling(minimum=2), 1)


def test_what_another_plan_writes_only_after_this_one_was_made_is_not_somebody_elses() -> None:
    """It had handed on the warm state already; the idle one that is found at the write is its own doing, and not the original."""
    waiting = held("ranker", scaling(minimum=2), scaling(), status="intended", wrote=None)
    (mine,) = planning.make([step("1", scale("stopped"))], [seen("ranker")], guard(), {full_name("ranker"): waiting}).targets
    assert (mine.before, mine.rank) == (scaling(minimum=2), 1)
    written = waiting.but(status="verified", wrote=scaling())
    planned = planning.again(mine, step("1", scale("stopped")), seen("ranker", scaling()), guard(), written)
    assert (planned.before, planned.found, planned.rank) == (scaling(minimum=2), scaling(), 1)


def test_planning_anew_after_drift_keeps_what_the_other_person_changed() -> None:
    """Parked again, with their maximum to put back and the watchdog's own zero not taken for theirs."""
    parked = target_of(seen("ranker", scaling(minimum=2, maximum=9)), status="verified", wrote=scaling(maximum=9), maybe=True)
    drifted = parked.but(drift=Drift(by="bob", state=scaling(minimum=1, maximum=4), seen_at=NOW))
    planned = planning.again(drifted, step("0.8", scale()), seen("ranker", scaling(minimum=1, maximum=4)), guard(), None)
    assert planned.before == scaling(minimum=1, maximum=4)
    assert planned.drift is None


def test_a_service_that_somebody_changed_after_a_dead_workers_write_came_back() -> None:
    """Something of the write stands in it, so it stays on the list of what is put back, and what they changed counts as told drift."""
    unsure = target_of(seen("ranker", scaling(minimum=2, maximum=9)), maybe=True, attempts=1, retry_at=NOW)
    left = planning.left_to_others(unsure, seen("ranker", scaling(maximum=4, revision_minimum=1)), None, NOW)
    assert left
    assert (left.status, left.before, left.wrote) == ("verified", scaling(minimum=2, maximum=9), scaling(maximum=9))
    assert left.drift == Drift(by="bob", state=scaling(maximum=4, revision_minimum=1), seen_at=NOW)
    assert (left.drift_told_at, left.attempts, left.retry_at) == (NOW, 0, None)


@pytest.mark.parametrize(
    ("live", "who"),
    [(seen("ranker", scaling(minimum=3)), "bob"), (replace(seen("ranker", scaling(minimum=3)), last_modifier=""), "somebody else")],
)
def test_a_service_in_which_nothing_of_a_dead_workers_write_stands_is_not_the_watchdogs(live: Resource, who: str) -> None:
    """Whether the write arrived nobody can tell; there is nothing to put back, and their change is not overwritten."""
    left = planning.left_to_others(target_of(seen("ranker"), maybe=True), live, None, NOW)
    assert left
    assert (left.status, left.wrote) == ("skipped", None)
    assert left.reason == f"changed by {who} while this was carried out, so it is left as it is (`on_drift: report`)"


@pytest.mark.parametrize(
    ("maybe", "live", "other"),
    [
        (False, scaling(minimum=3), None),
        (True, scaling(minimum=2), None),
        (True, scaling(), None),
        (True, scaling(mode="manual", count=0), held("ranker", scaling(minimum=2), scaling(mode="manual", count=0))),
    ],
    ids=["nothing was sent", "as it was found", "as it was wanted", "as another plan made it"],
)
def test_what_nobody_else_changed_after_a_write_is_planned_anew(maybe: bool, live: dict[str, Any], other: TargetRecord | None) -> None:
    """So is what was changed before anything was sent: then it is parked for the first time, from what it is now."""
    assert planning.left_to_others(target_of(seen("ranker"), maybe=maybe), seen("ranker", live), other, NOW) is None


# the limits


def many(count: int, seen_in_all: int) -> Plan:
    """A plan of so many changes."""
    target = held("ranker", scaling(minimum=2), scaling())
    return Plan(tuple(target.but(resource=full_name(f"s{number}")) for number in range(count)), (), seen_in_all)


@pytest.mark.parametrize(
    ("plan", "limits", "sentence"),
    [
        (many(4, 4), Limits(targets=3), "4 resources would be changed, and limits.targets allows 3"),
        (many(4, 10), Limits(share=Decimal("0.3")), "4 of 10 resources (40 %) would be changed, and limits.share allows 30 %"),
        (many(1, 1000), Limits(share=Decimal("0.0005")), "1 of 1000 resources (0 %) would be changed, and limits.share allows 0.05 %"),
    ],
)
def test_a_plan_over_a_limit_is_refused_with_both_numbers(plan: Plan, limits: Limits, sentence: str) -> None:
    """A person sees what was asked and what is allowed."""
    with pytest.raises(UnsafePlan) as refusal:
        planning.raise_if_unsafe(plan, limits)
    assert str(refusal.value) == sentence


@pytest.mark.parametrize(
    ("plan", "limits"),
    [(many(3, 3), Limits(targets=3)), (many(3, 10), Limits(share=Decimal("0.3"))), (many(9, 9), Limits(share=Decimal("0.1")))],
)
def test_a_plan_within_the_limits_passes(plan: Plan, limits: Limits) -> None:
    """A limit is what is still allowed, and a share of fewer than ten says nothing."""
    planning.raise_if_unsafe(plan, limits)
    assert len(plan.targets) <= limits.targets


def test_an_action_that_only_speaks_can_have_no_target() -> None:
    """A journal that says otherwise is wrong, and is not guessed at."""
    wrong = target_of(seen("ranker"), use=UseRecord(action="notify", params={}))
    with pytest.raises(TypeError, match="notify changes nothing"):
        planning.reached(wrong, seen("ranker"))
    assert registry()["notify"].changes is None
