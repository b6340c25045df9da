"""Budgets that are used up, or will be before their period ends."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal

from shared.audit.estate import Estate
from shared.audit.finding import Finding
from shared.burn import SILENT, estimate, month_end
from shared.checks import Check
from shared.journal import BudgetState
from shared.policy.policy import BudgetRule
from shared.slack.text import about, date, percent


def find(estate: Estate) -> Iterator[Finding]:
    """Each budget that ever sent a message, by the messages of its present period."""
    for (account, budget), state in sorted((estate.journal.budgets if estate.journal else {}).items()):
        newest = state.series[-1]
        if newest.amount <= 0 or not _lasts(state, estate.now):
            continue
        share = newest.cost / newest.amount
        burn = estimate(state.series, shares=(Decimal(1),), period_start=state.period_start, now=estate.now)
        name = f"billingAccounts/{account}/budgets/{budget}"
        taken = ", ".join(sorted(key for key in state.claims if not key.startswith("observe/"))) or "none"
        why, policy = f"Steps of the policy carried out in this period: {taken}", _to_come(estate.policy.rule_of(budget, state.name), state)
        if share >= 1:
            yield CHECK.finding(name, "high", f"{state.name!r} is used up: {percent(share, '1')} is spent", why, policy=policy)
        elif burn and burn.reaches:
            unknown = "" if burn.month_end else "; when its period ends is not known"
            rate = f"about {about(burn.per_day, state.currency)} a day, estimate{unknown}"
            yield CHECK.finding(
                name,
                "medium" if burn.month_end else "low",
                f"{state.name!r} is used up on {date(burn.reaches[0].at)} at this rate ({rate}); {percent(share, '1')} is spent",
                why,
                policy=policy,
            )


def _lasts(state: BudgetState, now: datetime) -> bool:
    """Whether the newest period seen is still the present one, as far as messages tell: a budget that was deleted leaves its last one behind."""
    end = month_end(state.period_start)
    return now - state.series[-1].at <= SILENT or (end is not None and now < end)


def _to_come(rule: BudgetRule | None, state: BudgetState) -> str:
    if rule is None:
        return "no rule of the policy means this budget"
    steps = sorted((step for step in rule.steps if step.key not in state.claims), key=lambda step: (step.on, step.at))
    words = ", ".join(
        f"{' and '.join(use.name for use in step.do)} at {percent(step.at)}{' forecast' if step.on == 'forecast' else ''}"
        f"{' after a yes' if step.approve else ''}"
        for step in steps
    )
    return f"still to come: {words}" if words else "no step is left in this period"


CHECK = Check(name="overspend", category="budgets", lever="", needs=frozenset({"journal"}), find=find)
