"""What a budget may be, what it becomes, and which of its thresholds a cost has reached.

The rules are those of
https://github.com/googleapis/googleapis/blob/master/google/cloud/billing/budgets/v1/budget_model.proto
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from google.cloud.billing import budgets_v1
from google.protobuf import field_mask_pb2

from sandbox.grpc_errors import invalid

BUDGET: Any = budgets_v1.Budget.pb()
PACIFIC = ZoneInfo("America/Los_Angeles")  # periods begin at midnight there
_CURRENT = budgets_v1.ThresholdRule.Basis.CURRENT_SPEND
_FORECAST = budgets_v1.ThresholdRule.Basis.FORECASTED_SPEND
_SPECIFIED_CREDITS = budgets_v1.Filter.CreditTypesTreatment.INCLUDE_SPECIFIED_CREDITS
_MAX_NAME = 60
_MAX_CHANNELS = 5
_NANOS = Decimal(1_000_000_000)


def check(budget: Any, currency: str) -> None:
    """Refuse what the API refuses.

    Raises:
        RefusedError: INVALID_ARGUMENT, with the rule that is broken.
    """
    if len(budget.display_name) > _MAX_NAME:
        raise invalid(f"display_name has {len(budget.display_name)} characters; {_MAX_NAME} are the most.")
    _check_amount(budget, currency)
    for rule in budget.threshold_rules:
        if not math.isfinite(rule.threshold_percent) or rule.threshold_percent < 0:
            raise invalid(f"threshold_percent is {rule.threshold_percent}: it has to be a number that is not negative.")
    _check_filter(budget)
    _check_notifications(budget.notifications_rule)


def _check_amount(budget: Any, currency: str) -> None:
    kind = budget.amount.WhichOneof("budget_amount")
    if kind is None:
        raise invalid("amount is missing: it has to be a specified_amount or the last_period_amount.")
    if kind == "specified_amount":
        amount = budget.amount.specified_amount
        if amount.currency_code not in ("", currency):
            raise invalid(f"The amount is in {amount.currency_code}, and the billing account in {currency}.")
        if money(amount) < 0:
            raise invalid(f"The amount is {money(amount)}: it must not be negative.")


def _check_filter(budget: Any) -> None:
    where = budget.budget_filter
    if where.WhichOneof("usage_period") == "custom_period":
        if budget.amount.WhichOneof("budget_amount") == "last_period_amount":
            raise invalid("last_period_amount cannot be combined with a custom_period.")
        if any(rule.spend_basis == _FORECAST for rule in budget.threshold_rules):
            raise invalid("A threshold of FORECASTED_SPEND cannot be combined with a custom_period.")
    if where.credit_types and where.credit_types_treatment != _SPECIFIED_CREDITS:
        raise invalid("credit_types has to be empty unless credit_types_treatment is INCLUDE_SPECIFIED_CREDITS.")
    if len(where.labels) > 1 or any(len(values.values) != 1 for values in where.labels.values()):
        raise invalid("labels has to be a single key with a single value.")
    for kind, names in {"projects": where.projects, "services": where.services, "billingAccounts": where.subaccounts}.items():
        for name in names:
            if not name.startswith(f"{kind}/"):
                raise invalid(f"{name!r} in the filter has to begin with {kind}/.")


def _check_notifications(rule: Any) -> None:
    if rule.schema_version not in ("", "1.0"):
        raise invalid(f"schema_version is {rule.schema_version!r}: only 1.0 is accepted.")
    if rule.pubsub_topic and not rule.schema_version:
        raise invalid("schema_version is missing: a pubsub_topic requires it, and only 1.0 is accepted.")
    if len(rule.monitoring_notification_channels) > _MAX_CHANNELS:
        raise invalid(f"{len(rule.monitoring_notification_channels)} notification channels are too many; {_MAX_CHANNELS} are the most.")


def with_defaults(budget: Any, currency: str) -> None:
    """Fill in what the API fills in: the calendar month, all credits, current spend, the currency."""
    where = budget.budget_filter
    if where.WhichOneof("usage_period") is None or (where.WhichOneof("usage_period") == "calendar_period" and not where.calendar_period):
        where.calendar_period = budgets_v1.CalendarPeriod.MONTH
    if not where.credit_types_treatment:
        where.credit_types_treatment = budgets_v1.Filter.CreditTypesTreatment.INCLUDE_ALL_CREDITS
    for rule in budget.threshold_rules:
        rule.spend_basis = rule.spend_basis or _CURRENT
    if budget.amount.WhichOneof("budget_amount") == "specified_amount":
        budget.amount.specified_amount.currency_code = currency


def updated(stored: Any, request: Any, mask: Any) -> Any:
    """The stored budget with the fields that the mask names taken from the request; without a mask, those that are set.

    Raises:
        RefusedError: INVALID_ARGUMENT, if the mask names a field that is unknown or read-only.
    """
    paths = list(mask.paths) or [field.name for field, _ in request.ListFields() if field.name not in ("name", "etag")]
    chosen = field_mask_pb2.FieldMask(paths=[path for path in paths if path != "etag"])
    if not chosen.IsValidForDescriptor(BUDGET.DESCRIPTOR):
        raise invalid(f"The update mask {', '.join(paths)} names a field that a budget does not have.")
    if "name" in paths:
        raise invalid("The update mask names the field name, which cannot be changed.")
    source, budget = BUDGET(), BUDGET()
    source.CopyFrom(request)
    budget.CopyFrom(stored)
    for path in chosen.paths:
        message = source
        for part in path.split(".")[:-1]:  # MergeMessage passes over a field whose parent is not set
            message = getattr(message, part)
            message.SetInParent()
    chosen.MergeMessage(source, budget, replace_message_field=True, replace_repeated_field=True)
    return budget


def money(amount: Any) -> Decimal:
    """A ``google.type.Money`` as a number."""
    return Decimal(amount.units) + Decimal(amount.nanos) / _NANOS


def amount_type(budget: Any) -> str:
    """The ``budgetAmountType`` of a notification."""
    if budget.amount.WhichOneof("budget_amount") == "specified_amount":
        return "SPECIFIED_AMOUNT"
    monthly = budget.budget_filter.calendar_period == budgets_v1.CalendarPeriod.MONTH
    return "LAST_MONTH_COST" if monthly else "LAST_PERIODS_COST"


def exceeded(budget: Any, basis: str, cost: Decimal | None, amount: Decimal) -> float | None:
    """The highest threshold of a basis that the cost has reached; none if there is none, or no cost.

    Google says "exceeds"; whether a cost of exactly the threshold counts is not documented. Here it does.
    """
    if cost is None or cost <= 0:
        return None
    kind = budgets_v1.ThresholdRule.Basis[basis]
    percents = [rule.threshold_percent for rule in budget.threshold_rules if rule.spend_basis == kind]
    return max((percent for percent in percents if cost >= Decimal(str(percent)) * amount), default=None)


def period_start(budget: Any, now: datetime) -> datetime:
    """When the budget's period that `now` lies in began, in UTC: midnight US Pacific time of its first day."""
    where = budget.budget_filter
    if where.WhichOneof("usage_period") == "custom_period":
        first = where.custom_period.start_date
        day = datetime(first.year, first.month, first.day, tzinfo=PACIFIC)
    else:
        today = now.astimezone(PACIFIC)
        months = {budgets_v1.CalendarPeriod.QUARTER: 3, budgets_v1.CalendarPeriod.YEAR: 12}.get(where.calendar_period, 1)
        day = datetime(today.year, (today.month - 1) // months * months + 1, 1, tzinfo=PACIFIC)
    return day.astimezone(UTC)
