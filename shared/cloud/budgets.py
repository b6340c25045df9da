"""Budgets through the Budget API, and the billing accounts that pay for projects.

https://docs.cloud.google.com/billing/docs/reference/budget/rpc/google.cloud.billing.budgets.v1
https://cloud.google.com/billing/docs/reference/rpc/google.cloud.billing.v1
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from shared.audit.seen import BudgetSeen
from shared.cloud.channel import connect
from shared.cloud.errors import translated
from shared.cloud.lazy import Lazy
from shared.cloud.run_calls import read_options
from shared.model import Basis

_PAGE = 100  # the most that the API gives


class BillingBudgets:
    """Fulfils `shared.audit.sight.Budgets`. All methods may be called from several threads."""

    def __init__(self, emulator: str | None = None, billing_emulator: str | None = None) -> None:
        """Nothing is connected before the first call.

        Args:
            emulator: ``host:port`` of a plaintext server of the Budget API; None is Google's own.
            billing_emulator: The same of the Cloud Billing API.
        """
        self._budgets = Lazy(lambda: connect("google.cloud.billing.budgets_v1", "BudgetServiceClient", emulator))
        self._billing = Lazy(lambda: connect("google.cloud.billing_v1", "CloudBillingClient", billing_emulator))

    def account_of(self, project: str) -> str:
        """The id of the billing account that pays for the project; empty where none does."""
        name = f"projects/{project}"
        with translated(name):
            found = self._billing().get_project_billing_info({"name": name}, **read_options())
        return str(found.billing_account_name).removeprefix("billingAccounts/") if found.billing_enabled else ""

    def list(self, account: str) -> Sequence[BudgetSeen]:
        """All budgets of a billing account, over all pages."""
        parent = f"billingAccounts/{account}"
        with translated(parent):
            pager = self._budgets().list_budgets({"parent": parent, "page_size": _PAGE}, **read_options())
            return [budget_of(type(budget).pb(budget)) for budget in pager]


def budget_of(budget: Any) -> BudgetSeen:
    """A budget as an audit sees it.

    Args:
        budget: The protobuf message of a ``google.cloud.billing.budgets.v1.Budget``.
    """
    within, rule = budget.budget_filter, budget.notifications_rule
    fixed = budget.amount.specified_amount if budget.amount.HasField("specified_amount") else None
    custom = within.HasField("custom_period")
    end = within.custom_period.end_date if custom and within.custom_period.HasField("end_date") else None
    return BudgetSeen(
        name=budget.name,
        display_name=budget.display_name,
        amount=Decimal(fixed.units) + Decimal(fixed.nanos) / 10**9 if fixed else None,
        currency=fixed.currency_code if fixed else "",
        projects=tuple(within.projects),
        services=tuple(within.services),
        credits=_name(within, "credit_types_treatment", "INCLUDE_ALL_CREDITS"),
        labels=bool(within.labels),
        calendar_period="" if custom else _name(within, "calendar_period", "MONTH"),
        custom_end=date(end.year, end.month, end.day) if end else None,
        thresholds=tuple((Decimal(str(each.threshold_percent)), _basis(each)) for each in budget.threshold_rules),
        topic=rule.pubsub_topic,
        project_recipients=rule.enable_project_level_recipients,
    )


def _basis(rule: Any) -> Basis:
    return "forecast" if _name(rule, "spend_basis", "") == "FORECASTED_SPEND" else "actual"


def _name(message: Any, field: str, default: str) -> str:
    """The name of an enum's value; the default where none is set, or where the client does not know it."""
    number = getattr(message, field)
    value = message.DESCRIPTOR.fields_by_name[field].enum_type.values_by_number.get(number)
    return str(value.name) if number and value else default
