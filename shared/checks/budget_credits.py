"""Budgets in which credits hide what is spent."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from shared.audit.estate import Estate
from shared.audit.finding import Finding
from shared.checks import Check


def find(estate: Estate) -> Iterator[Finding]:
    """Each budget of the policy from whose cost credits are taken off, which is the default."""
    for budget in estate.budgets or ():
        if budget.credits != "EXCLUDE_ALL_CREDITS" and estate.policy.rule_of(budget.budget_id, budget.display_name):
            yield CHECK.finding(
                budget.name,
                "low",
                f"{budget.display_name!r} counts cost after credits",
                "While a free trial or a grant pays, the budget sees next to nothing, and no step is reached until the credits are gone. "
                "Leave it so where discounts are all the credits that there are",
                mend=(f"gcloud billing budgets update {shlex.quote(budget.name)} --credit-types-treatment=exclude-all-credits",),
            )


CHECK = Check(name="budget_credits", category="budgets", lever="", needs=frozenset({"budgets"}), find=find)
