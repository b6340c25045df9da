"""Which steps of the policy mean which resources, and why no step means the others: the planner's own answers, step by step. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from shared import plan as planning
from shared.audit.estate import Reach
from shared.entry import Entry, TargetRecord
from shared.ladder import record
from shared.model import Resource
from shared.plan import Guard
from shared.policy.policy import BudgetRule


def reach(
    rules: Iterable[BudgetRule], resources: Sequence[Resource], guard: Guard, entries: Iterable[Entry], now: datetime
) -> tuple[dict[str, tuple[Reach, ...]], dict[str, str]]:
    """By full name, the steps that would change each resource; and of those that none would change, the reason.

    What is parked already counts as reached by the step that parked it.

    Args:
        rules: The policy's budgets.
        resources: All that was seen.
        guard: Who is never touched.
        entries: The open entries of the journal.
        now: The time of the look.
    """
    found: dict[str, list[Reach]] = {}
    reasons: dict[str, str] = {}
    held = planning.held_by(entries)
    for rule in rules:
        for step in sorted(rule.steps, key=lambda each: (each.at, each.on)):
            made = planning.make([record(step, now)], resources, guard, held)
            for target in made.targets:
                each = Reach(rule.budget, step.key, target.use.action, target.saving, approve=step.approve)
                found.setdefault(target.resource, []).append(each)
            for untouched in made.untouched:
                # The most telling reason: a step that selects the resource says more about it than one that does not.
                if reasons.get(untouched.resource, "not selected") == "not selected":
                    reasons[untouched.resource] = untouched.reason
    for entry in entries:
        for target in entry.targets:
            if target.resource in held and not any(each.step == target.step for each in found.get(target.resource, ())):
                found.setdefault(target.resource, []).append(_parked(entry, target))
    return {name: tuple(steps) for name, steps in found.items()}, {name: reason for name, reason in reasons.items() if name not in found}


def _parked(entry: Entry, target: TargetRecord) -> Reach:
    budget = entry.notification.budget_name if entry.notification else ""
    return Reach(budget, target.step, target.use.action, target.saving)
