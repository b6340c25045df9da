"""Google's spend caps, where one would stop the watchdog itself."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from shared.checks import Check
from shared.estate import Estate
from shared.finding import Finding
from shared.seen import BudgetSeen

_SHARES = {(Decimal(share), "actual") for share in ("0.5", "0.8", "1.0")}


def find(estate: Estate) -> Iterator[Finding]:
    """Each budget that looks like a spend cap on the watchdog's own project.

    The client library has no field that says so, but a spend cap may only be made in one way: one project, one service, no credits, thresholds of
    exactly 50, 80 and 100 percent, and no topic: https://docs.cloud.google.com/billing/docs/how-to/budget-api-spend-cap
    """
    own = {f"projects/{estate.project}", f"projects/{estate.numbers.get(estate.project, '')}"}
    for budget in estate.budgets or ():
        if _looks_like_one(budget) and own & set(budget.projects):
            yield CHECK.finding(
                budget.name,
                "medium",
                f"{budget.display_name!r} looks like a spend cap on {estate.project}, where the watchdog itself runs",
                "When it is exceeded, Google pauses the service that it caps. Where that is Cloud Run or Cloud Run functions, the watchdog stops too, "
                "and what is parked is not put back",
                mend=("deploy the watchdog into a project of its own, without a spend cap",),
            )


def _looks_like_one(budget: BudgetSeen) -> bool:
    one = len(budget.projects) == 1 and len(budget.services) == 1 and not budget.labels
    return one and budget.credits == "EXCLUDE_ALL_CREDITS" and set(budget.thresholds) == _SHARES and not budget.topic


CHECK = Check(name="spend_cap", category="watch", lever="", needs=frozenset({"budgets"}), find=find)
