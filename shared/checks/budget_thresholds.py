"""Budgets that do not tell when they are used up, or whose amount gives no share."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from shared.audit.estate import Estate
from shared.audit.finding import Finding
from shared.audit.seen import BudgetSeen
from shared.checks import Check


def find(estate: Estate) -> Iterator[Finding]:
    """Each budget without thresholds, without one on actual spend, or whose period is over; and amounts that are 0 or move."""
    for budget in estate.budgets or ():
        if estate.policy.rule_of(budget.budget_id, budget.display_name):
            yield from _amount(budget)
        if budget.custom_end and budget.custom_end < estate.now.date():
            yield CHECK.finding(
                budget.name,
                "medium",
                f"the custom period of {budget.display_name!r} ended on {budget.custom_end:%Y-%m-%d}, so it sends no messages any more",
                "Whatever is spent since then is watched by nobody",
                mend=("create a budget with a calendar period, which begins anew by itself",),
            )
        elif not any(basis == "actual" for _, basis in budget.thresholds):
            has = "none on actual spend" if budget.thresholds else "no thresholds at all"
            yield CHECK.finding(
                budget.name,
                "medium",
                f"{budget.display_name!r} has {has}",
                "No e-mail is ever sent about what was spent, and its messages never name a threshold; the watchdog reckons with cost over amount all the same",
                mend=(_command(budget),),
            )


def _amount(budget: BudgetSeen) -> Iterator[Finding]:
    if budget.amount is None:
        yield CHECK.finding(
            f"{budget.name}/amount",
            "low",
            f"{budget.display_name!r} allows what the last period cost",
            "Every step moves with it: after a quiet period they are reached at once, after a costly one late, and after one without cost not at all",
            mend=(f"gcloud billing budgets update {shlex.quote(budget.name)} --budget-amount=1000USD",),
        )
    elif budget.amount <= 0:
        yield CHECK.finding(
            f"{budget.name}/amount",
            "medium",
            f"{budget.display_name!r} has an amount of 0",
            "There is no share of nothing, so steps on actual spend are reached only by thresholds that its messages name",
            mend=(f"gcloud billing budgets update {shlex.quote(budget.name)} --budget-amount=1000{budget.currency}",),
        )


def _command(budget: BudgetSeen) -> str:
    rules = " ".join(f"--add-threshold-rule=percent={share}" for share in ("0.5", "0.8", "1.0"))
    return f"gcloud billing budgets update {shlex.quote(budget.name)} {rules}"


CHECK = Check(name="budget_thresholds", category="budgets", lever="", needs=frozenset({"budgets"}), find=find)
