"""Google's spend caps, where one would stop the watchdog itself."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from shared.audit.estate import Estate
from shared.audit.finding import Finding
from shared.audit.seen import BudgetSeen
from shared.checks import Check

CLOUD_RUN = "services/152E-C115-5142"
"""Cloud Run in the Cloud Billing Catalog: https://cloud.google.com/billing/docs/reference/rest/v1/services/list"""
_SHARES = {(Decimal(share), "actual") for share in ("0.5", "0.8", "1.0")}


def find(estate: Estate) -> Iterator[Finding]:
    """Each budget that looks like a spend cap on the watchdog's own project; grave where it caps Cloud Run, on which the watchdog runs."""
    own = {f"projects/{estate.project}", f"projects/{estate.numbers.get(estate.project, '')}"}
    for budget in estate.budgets or ():
        if looks_like_a_cap(budget) and own & set(budget.projects):
            run = budget.services == (CLOUD_RUN,)
            what = "Cloud Run in" if run else f"the service {budget.services[0].removeprefix('services/')} in"
            yield CHECK.finding(
                budget.name,
                "high" if run else "medium",
                f"{budget.display_name!r} looks like a spend cap on {what} {estate.project}, where the watchdog itself runs",
                "When it is exceeded, Google pauses the service that it caps. "
                + ("Then the watchdog stops too" if run else "Where that is Cloud Run functions, the watchdog stops too")
                + ", and what is parked is not put back",
                mend=("deploy the watchdog into a project of its own, without a spend cap",),
            )


def looks_like_a_cap(budget: BudgetSeen) -> bool:
    """Whether a budget is as a spend cap has to be.

    The client library has no field that says so, but a spend cap may only be made in one way: one project, one service, a month, no credits,
    thresholds of exactly 50, 80 and 100 percent of actual spend, e-mail to the project's owners, and no topic:
    https://docs.cloud.google.com/billing/docs/how-to/budget-api-spend-cap
    """
    one = len(budget.projects) == 1 and len(budget.services) == 1 and not budget.labels and budget.calendar_period == "MONTH"
    told = budget.project_recipients and not budget.topic and set(budget.thresholds) == _SHARES
    return one and told and budget.credits == "EXCLUDE_ALL_CREDITS"


CHECK = Check(name="spend_cap", category="watch", lever="", needs=frozenset({"budgets"}), find=find)
