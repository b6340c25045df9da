"""Budgets that do not tell when they are used up."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from shared.checks import Check
from shared.estate import Estate
from shared.finding import Finding
from shared.seen import BudgetSeen


def find(estate: Estate) -> Iterator[Finding]:
    """Each budget without thresholds, without one on actual spend, or whose period is over."""
    for budget in estate.budgets or ():
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


def _command(budget: BudgetSeen) -> str:
    rules = " ".join(f"--add-threshold-rule=percent={share}" for share in ("0.5", "0.8", "1.0"))
    return f"gcloud billing budgets update {shlex.quote(budget.name)} {rules}"


CHECK = Check(name="budget_thresholds", category="budgets", lever="", needs=frozenset({"budgets"}), find=find)
