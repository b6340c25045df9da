"""What should change, and what not: pure, from what was seen to a plan, with the guards that may refuse it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from shared.actions import Changes, Move, State, blend, nobody_elses, registry
from shared.entry import Drift, Entry, StepRecord, TargetRecord, UntouchedRecord, UseRecord
from shared.errors import UnsafePlan
from shared.journal import Holds
from shared.model import Resource
from shared.policy.policy import Limits, Protect, SlackRules
from shared.policy.select import Selector

SHARE_APPLIES_FROM = 10
"""Below so many resources a share of them says nothing."""
EVERYONE = SlackRules()
"""Who is told where the policy names nobody."""


@dataclass(frozen=True, slots=True)
class Guard:
    """Who is never touched, whatever a step selects.

    Attributes:
        protect: The policy's word on it.
        holds: What people protect for a time.
        itself: The watchdog's own project and service name, empty where it runs on no service.
        now: For the holds.
        unknown: Resources that stand in entries of the journal that cannot be read: what was there before them is not known.
        slack: Who is told of what.
    """

    protect: Protect
    holds: Holds
    itself: tuple[str, str]
    now: datetime
    unknown: frozenset[str] = frozenset()
    slack: SlackRules = EVERYONE

    def reason(self, resource: Resource, selector: Selector) -> str | None:
        """Why the resource must not be touched, or None."""
        if resource.facts.get("watchdog") or (resource.place.project, resource.short_name) == self.itself:
            return "the watchdog itself"
        if reason := self.protect.covers(resource):
            return reason
        if reason := self.holds.reason(resource.name, self.now):
            return reason
        if not selector.matches(resource):
            return "not selected"
        if resource.name in self.unknown:
            return (
                "an entry of the journal that cannot be read may have changed it, so what to put back is not known; mend that entry first"
            )
        if resource.facts.get("function") and not selector.names(resource):
            return "a Cloud Run function, or built from source like one; only a step that selects it by its literal name may touch it"
        return None


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be changed, the largest saving first, and what is not, by name.

    Attributes:
        targets: The changes.
        untouched: The rest of what was seen, each with its reason.
        seen: How many resources were looked at.
    """

    targets: tuple[TargetRecord, ...]
    untouched: tuple[UntouchedRecord, ...]
    seen: int

    def __post_init__(self) -> None:
        """Order is part of the plan's value: two plans of the same things are equal."""
        object.__setattr__(self, "targets", tuple(sorted(self.targets, key=lambda target: (-target.saving, target.resource))))
        object.__setattr__(self, "untouched", tuple(sorted(self.untouched, key=lambda record: record.resource)))


def changes_of(use: UseRecord) -> Changes | None:
    """How the action changes resources; None where it only speaks."""
    return registry()[use.action].changes


def params_of(use: UseRecord) -> Any:
    """The action's parameters as its own model."""
    return registry()[use.action].params.model_validate(use.params)


def kinds(steps: Iterable[StepRecord]) -> set[str]:
    """The kinds of resources that the steps ask for."""
    return {changes.kind for step in steps for use in step.uses if (changes := changes_of(use))}


@dataclass(frozen=True, slots=True)
class _Asked:
    """One action of one step, ready to be put to resources."""

    step: StepRecord
    use: UseRecord
    changes: Changes
    params: Any


def make(steps: Sequence[StepRecord], resources: Iterable[Resource], guard: Guard, held: Mapping[str, TargetRecord]) -> Plan:
    """Decide about every resource that was seen.

    Args:
        steps: The steps to be carried out together; where two touch one resource the stronger change wins.
        resources: All that was seen, of all kinds that the steps ask for.
        guard: Who is never touched.
        held: What earlier plans keep parked, by resource; the state to put back is handed on from them.
    """
    asked = [_Asked(step, use, changes, params_of(use)) for step in steps for use in step.uses if (changes := changes_of(use))]
    targets: list[TargetRecord] = []
    untouched: list[UntouchedRecord] = []
    seen = 0
    for resource in resources:
        seen += 1
        decided = _decide(resource, [each for each in asked if each.changes.kind == resource.kind], guard, held.get(resource.name))
        if isinstance(decided, TargetRecord):
            targets.append(decided)
        else:
            untouched.append(UntouchedRecord(resource=resource.name, reason=decided))
    return Plan(tuple(targets), tuple(untouched), seen)


def again(target: TargetRecord, step: StepRecord, live: Resource, guard: Guard, held: TargetRecord | None) -> TargetRecord:
    """Plan one target anew, since it no longer is as it was seen: with the live state, and with the state to put back corrected by what others changed.

    Args:
        target: Its record.
        step: The step that asks for it.
        live: The resource as it is now.
        guard: Who is never touched.
        held: What another entry holds of it, if any.
    """
    changes, params = changes_for(target), params_of(target.use)
    move = guard.reason(live, params.select) or changes.plan(live, params)
    original, rank = target.before, target.rank
    ours = _ours(target, live, changes, held)
    beneath = held is not None and held.rank >= target.rank
    if held is not None and beneath:
        original, rank = held.before, held.rank + 1
    before = blend(changes.groups(live.state, ours, original), live=live.state, ours=ours, original=original)
    if isinstance(move, str):
        if target.maybe and before != live.state:
            # Something of an earlier attempt still stands in it, so it must stay on the list of what is put back. What another plan has made of it since is
            # not its own doing.
            return target.but(status="verified", before=before, wrote=None if beneath else dict(live.state), reason=move)
        return target.but(status="skipped", reason=move)
    return target.but(
        status="intended", step=step.key, before=before, found=dict(live.state), wanted=dict(move.wanted), wrote=None, saving=move.saving, rank=rank,
        remains=move.remains, replans=target.replans + 1, last_modifier=live.last_modifier, reason="", retry_at=None, drift=None,
    )  # fmt: skip


def left_to_others(target: TargetRecord, live: Resource, held: TargetRecord | None, now: datetime) -> TargetRecord | None:
    """The record of a target that somebody changed after a write whose outcome is not known; None where nobody did, so that it can be planned anew.

    Whether that write arrived shows in what they left: where something of it stands, the resource is parked and came back; else it is not ours.

    Args:
        target: Its record.
        live: The resource as it is now.
        held: What another entry holds of it, if any.
        now: The time of day.
    """
    if not target.maybe:
        return None
    changes = changes_for(target)
    ours = _ours(target, live, changes, held)
    groups = changes.groups(live.state, ours, target.before)
    if nobody_elses(groups, live=live.state, ours=ours):
        return None
    target = target.but(attempts=0, retry_at=None)
    if blend(groups, live=live.state, ours=ours, original=target.before) == live.state:
        who = live.last_modifier or "somebody else"
        return target.but(
            status="skipped", reason=f"changed by {who} while this was carried out, so it is left as it is (`on_drift: report`)"
        )
    drift = Drift(by=live.last_modifier, state=dict(live.state), seen_at=now)
    wrote = dict(changes.made(live.state, target.wanted))
    return target.but(status="verified", wrote=wrote, reason="", drift=drift, drift_told_at=now)


def own(target: TargetRecord, live: Resource) -> tuple[State, ...]:
    """The states of this resource that are the target's own doing, or were found before it; where nothing was ever sent, it made none."""
    return _made_by(target, live, changes_for(target)) if target.maybe or target.wrote is not None else (target.found,)


def _ours(target: TargetRecord, live: Resource, changes: Changes, held: TargetRecord | None) -> tuple[State, ...]:
    # What another plan made is nobody else's doing, even where it was planned before this target and written only afterwards.
    return (*(_made_by(held, live, changes) if held else ()), *own(target, live))


def _made_by(target: TargetRecord, live: Resource, changes: Changes) -> tuple[State, ...]:
    """The states that this target's plan made, or may have made, or found before it."""
    return (target.found, changes.made(live.state, target.wanted) if target.wrote is None else target.wrote)


def reached(target: TargetRecord, live: Resource) -> bool:
    """Whether the live resource still is as the watchdog wanted it."""
    return changes_for(target).reached(live.state, target.wanted)


def held_by(entries: Iterable[Entry]) -> dict[str, TargetRecord]:
    """What the entries hold, by resource; of several, the one that took it over last. What stands beside other changes is held by nobody."""
    held: dict[str, TargetRecord] = {}
    for target in (target for entry in entries for target in entry.parked()):
        if not stands_beside(target) and (target.resource not in held or target.rank > held[target.resource].rank):
            held[target.resource] = target
    return held


def stands_beside(target: TargetRecord) -> bool:
    """Whether it only adds to a resource: then each plan puts back its own part, and none takes anything over from another."""
    action = registry().get(target.use.action)
    return action is not None and action.join is not None


def raise_if_unsafe(plan: Plan, limits: Limits) -> None:
    """Refuse a plan that changes more than the policy allows.

    Raises:
        UnsafePlan: With both numbers.
    """
    count = len(plan.targets)
    if count > limits.targets:
        raise UnsafePlan(f"{count} resources would be changed, and limits.targets allows {limits.targets}")
    if plan.seen >= SHARE_APPLIES_FROM and count > limits.share * plan.seen:
        percent = (Decimal(100) * count / plan.seen).quantize(Decimal(1))
        raise UnsafePlan(
            f"{count} of {plan.seen} resources ({percent} %) would be changed, and limits.share allows {(limits.share * 100).normalize():f} %"
        )


def changes_for(target: TargetRecord) -> Changes:
    """How the target's action changes resources.

    Raises:
        TypeError: It changes none.
    """
    changes = changes_of(target.use)
    if changes is None:
        raise TypeError(f"{target.use.action} changes nothing, so {target.resource} cannot be its target")
    return changes


def _decide(resource: Resource, asked: Sequence[_Asked], guard: Guard, held: TargetRecord | None) -> TargetRecord | str:
    reasons: list[str] = []
    moves: list[tuple[_Asked, Move]] = []
    for each in asked:
        answer = guard.reason(resource, each.params.select) or each.changes.plan(resource, each.params)
        if isinstance(answer, str):
            reasons.append(answer)
        else:
            moves.append((each, answer))
    if not moves:
        said = [reason for reason in reasons if reason != "not selected"]
        return said[0] if said else "not selected"
    chosen, move = max(moves, key=lambda each: each[1].strength)
    use, joined = _joined(resource, chosen, [each for each, _ in moves])
    if isinstance(joined, str):
        return joined
    move = joined or move
    before, rank = dict(resource.state), 0
    if held is not None:
        ours, rank = _made_by(held, resource, chosen.changes), held.rank + 1
        before = blend(chosen.changes.groups(resource.state, ours, held.before), live=resource.state, ours=ours, original=held.before)
    return TargetRecord(
        resource=resource.name, kind=resource.kind, use=use, step=chosen.step.key, before=before, found=dict(resource.state), rank=rank,
        wanted=dict(move.wanted), saving=move.saving, remains=move.remains, last_modifier=resource.last_modifier, channel=guard.slack.route(resource.labels),
    )  # fmt: skip


def _joined(resource: Resource, chosen: _Asked, willing: Iterable[_Asked]) -> tuple[UseRecord, Move | str | None]:
    """One use for all of the chosen action that mean the resource, where the action can join them, with what comes of it."""
    join = registry()[chosen.use.action].join
    same = [each.params for each in willing if each.use.action == chosen.use.action]
    if join is None or len(same) == 1:
        return chosen.use, None
    params = join(same)
    return chosen.use.but(params=params.model_dump(mode="json")), chosen.changes.plan(resource, params)
