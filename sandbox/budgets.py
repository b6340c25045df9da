"""Billing budgets: the Budget API over gRPC, and the notifications that Google sends as spend changes.

https://docs.cloud.google.com/billing/docs/reference/budget/rpc/google.cloud.billing.budgets.v1
https://docs.cloud.google.com/billing/docs/how-to/budgets-programmatic-notifications
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import grpc
from google.cloud.billing import budgets_v1
from google.protobuf import empty_pb2

from sandbox.budget_rules import BUDGET, amount_type, check, exceeded, money, period_start, updated, with_defaults
from sandbox.faults import Faults
from sandbox.grpc_errors import RefusedError, invalid, not_found, unary
from sandbox.pubsub import PubSub, utc_now

_PAGE = 100  # default and most: budget_service.proto, ListBudgetsRequest.page_size


@dataclass
class _Account:
    """A budget and the money spent against it.

    Attributes:
        budget: A ``google.cloud.billing.budgets.v1.Budget``.
        spent: The cost of the period so far.
        forecast: The cost expected at the period's end, if there is a forecast.
        period: When the period began; none is as the clock says.
        last_period: What the period before cost.
    """

    budget: Any
    spent: Decimal = Decimal(0)
    forecast: Decimal | None = None
    period: datetime | None = None
    last_period: Decimal = Decimal(0)


class Budgets:
    """The budgets of every billing account.

    Any account that is named ``billingAccounts/…`` exists. Nobody's permissions are checked, and no email is sent.

    Args:
        faults: Asked under ``ListBudgets``, ``GetBudget``, ``CreateBudget``, ``UpdateBudget`` and ``DeleteBudget``.
        pubsub: Where the topics of the budgets are.
        currency: The currency of the billing accounts.
        connected: Told each topic that a budget is connected to, when it is.
        now: The clock that says which period it is.
    """

    def __init__(
        self,
        faults: Faults,
        pubsub: PubSub,
        *,
        currency: str = "USD",
        connected: Callable[[str], None] = lambda _: None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._faults = faults
        self._pubsub = pubsub
        self._currency = currency
        self._connected = connected
        self._now = now
        self._lock = threading.RLock()
        self._accounts: dict[str, _Account] = {}

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        """The gRPC service ``google.cloud.billing.budgets.v1.BudgetService``."""
        methods: dict[str, tuple[Any, Callable[[Any], str], Callable[[Any, Any], Any]]] = {
            "CreateBudget": (budgets_v1.CreateBudgetRequest, lambda request: str(request.parent), self._create_budget),
            "DeleteBudget": (budgets_v1.DeleteBudgetRequest, lambda request: str(request.name), self._delete_budget),
            "GetBudget": (budgets_v1.GetBudgetRequest, lambda request: str(request.name), self._get_budget),
            "ListBudgets": (budgets_v1.ListBudgetsRequest, lambda request: str(request.parent), self._list_budgets),
            "UpdateBudget": (budgets_v1.UpdateBudgetRequest, lambda request: str(request.budget.name), self._update_budget),
        }
        table = {name: unary(self._faults, name, kind.pb(), resource, work) for name, (kind, resource, work) in methods.items()}
        return [grpc.method_handlers_generic_handler("google.cloud.billing.budgets.v1.BudgetService", table)]

    def create(self, billing_account: str, budget: budgets_v1.Budget, budget_id: str = "") -> str:
        """Create a budget and give its name.

        Args:
            billing_account: ``01D4EE-079462-DFD6EC``, with or without ``billingAccounts/``.
            budget: As `CreateBudget` takes it.
            budget_id: Instead of a new UUID.

        Raises:
            RefusedError: The budget breaks a rule of the API.
        """
        parent = f"billingAccounts/{billing_account.removeprefix('billingAccounts/')}"
        return str(self._create(parent, budgets_v1.Budget.pb(budget), budget_id).name)

    def spend(
        self,
        budget_id: str,
        amount: Decimal,
        *,
        forecast: Decimal | None = None,
        period_start: datetime | None = None,
    ) -> str | None:
        """Set what a budget's period has cost so far, and send the notification that Google would send.

        Args:
            budget_id: The id, or the full name.
            amount: The whole cost of the period, in the account's currency; it may fall.
            forecast: The cost expected at the period's end; none leaves it as it was, or unknown in a new period.
            period_start: The period that the cost belongs to from now on, as an aware time.

        Returns:
            The message's id; none where the budget has no topic.

        Raises:
            RefusedError: There is no such budget.
            ValueError: `period_start` has no time zone.
        """
        if period_start is not None and period_start.tzinfo is None:
            raise ValueError(f"The period start {period_start} has no time zone.")
        with self._lock:
            account = self._account(budget_id)
            if period_start is not None and period_start != self._period(account):
                if period_start > self._period(account):
                    account.last_period = account.spent
                account.period, account.forecast = period_start.astimezone(UTC), None
            account.spent = amount
            account.forecast = account.forecast if forecast is None else forecast
        return self.notify(budget_id)

    def notify(self, budget_id: str) -> str | None:
        """Send a budget's status once more, as Google does several times a day; gives the message's id, or none without a topic.

        Raises:
            RefusedError: There is no such budget.
        """
        with self._lock:
            topic = self._account(budget_id).budget.notifications_rule.pubsub_topic
            attributes, data = self.notification(budget_id)
        return self._pubsub.publish(topic, json.dumps(data).encode(), attributes) if topic else None

    def notification(self, budget_id: str) -> tuple[dict[str, str], dict[str, Any]]:
        """The attributes and the data of the message that Google would send now.

        Raises:
            RefusedError: There is no such budget.
        """
        with self._lock:
            account = self._account(budget_id)
            budget, amount = account.budget, self._amount(account)
            parts = budget.name.split("/")
            data: dict[str, Any] = {
                "budgetDisplayName": budget.display_name,
                "costAmount": float(account.spent),
                "costIntervalStart": f"{self._period(account):%Y-%m-%dT%H:%M:%SZ}",
                "budgetAmount": float(amount),
                "budgetAmountType": amount_type(budget),
                "currencyCode": self._currency,
            }
            crossed = {
                "alertThresholdExceeded": exceeded(budget, "CURRENT_SPEND", account.spent, amount),
                "forecastThresholdExceeded": exceeded(budget, "FORECASTED_SPEND", account.forecast, amount),
            }
        data.update({key: threshold for key, threshold in crossed.items() if threshold is not None})
        return {"billingAccountId": parts[1], "budgetId": parts[3], "schemaVersion": "1.0"}, data

    def snapshot(self) -> list[dict[str, Any]]:
        """Every budget as JSON for a page, in the order they were created."""
        with self._lock:
            return [self._view(account) for account in self._accounts.values()]

    def _view(self, account: _Account) -> dict[str, Any]:
        parts = account.budget.name.split("/")
        return {
            "id": parts[3],
            "billing_account": parts[1],
            "name": account.budget.display_name,
            "amount": float(self._amount(account)),
            "amount_type": amount_type(account.budget),
            "spent": float(account.spent),
            "forecast": None if account.forecast is None else float(account.forecast),
            "period_start": self._period(account).isoformat(),
            "currency": self._currency,
            "topic": account.budget.notifications_rule.pubsub_topic,
            "thresholds": [
                {"percent": rule.threshold_percent, "basis": budgets_v1.ThresholdRule.Basis(rule.spend_basis).name}
                for rule in account.budget.threshold_rules
            ],
        }

    def _amount(self, account: _Account) -> Decimal:
        fixed = account.budget.amount.WhichOneof("budget_amount") == "specified_amount"
        return money(account.budget.amount.specified_amount) if fixed else account.last_period

    def _period(self, account: _Account) -> datetime:
        return account.period or period_start(account.budget, self._now())

    def _account(self, budget: str) -> _Account:
        for name, account in self._accounts.items():
            if budget in (name, name.rsplit("/", 1)[1]):
                return account
        raise not_found(f"Budget {budget} does not exist.")

    def _create(self, parent: str, draft: Any, budget_id: str = "") -> Any:
        _check_parent(parent)
        budget = BUDGET()
        budget.CopyFrom(draft)
        budget.name = f"{parent}/budgets/{budget_id or uuid.uuid4()}"
        with self._lock:
            if budget.name in self._accounts:
                raise RefusedError(grpc.StatusCode.ALREADY_EXISTS, f"Budget {budget.name} exists already.")
            self._accounts[budget.name] = _Account(self._accepted(budget))
        return budget

    def _accepted(self, budget: Any) -> Any:
        """The budget with the API's defaults and a new etag, after all of its rules have been checked."""
        check(budget, self._currency)
        topic = budget.notifications_rule.pubsub_topic
        if topic and not self._pubsub.has_topic(topic):
            raise not_found(f"Topic {topic} does not exist: create it before it is connected to a budget.")
        if topic:
            self._connected(topic)
        with_defaults(budget, self._currency)
        budget.etag = uuid.uuid4().hex[:16]
        return budget

    def _create_budget(self, request: Any, _context: Any) -> Any:
        return self._create(request.parent, request.budget)

    def _get_budget(self, request: Any, _context: Any) -> Any:
        with self._lock:
            return self._named(request.name).budget

    def _delete_budget(self, request: Any, _context: Any) -> Any:
        with self._lock:
            del self._accounts[self._named(request.name).budget.name]
        return empty_pb2.Empty()

    def _update_budget(self, request: Any, _context: Any) -> Any:
        with self._lock:
            account = self._named(request.budget.name)
            if request.budget.etag not in ("", account.budget.etag):
                raise RefusedError(
                    grpc.StatusCode.ABORTED, f"Budget {request.budget.name} has changed since its etag was read: read it again and retry."
                )
            account.budget = self._accepted(updated(account.budget, request.budget, request.update_mask))
            return account.budget

    def _list_budgets(self, request: Any, _context: Any) -> Any:
        _check_parent(request.parent)
        if request.page_size < 0:
            raise invalid(f"The page size is {request.page_size}: it has to be positive.")
        if request.scope and not request.scope.startswith("projects/"):
            raise invalid(f"The scope {request.scope!r} is no project: only projects/ID is supported.")
        size = min(request.page_size or _PAGE, _PAGE)
        with self._lock:
            names = sorted(name for name in self._accounts if name.startswith(f"{request.parent}/budgets/"))
            found = [self._accounts[name].budget for name in names if name > request.page_token]
        if request.scope:
            found = [budget for budget in found if list(budget.budget_filter.projects) == [request.scope]]
        following = found[size - 1].name if len(found) > size else ""
        return budgets_v1.ListBudgetsResponse.pb()(budgets=found[:size], next_page_token=following)

    def _named(self, name: str) -> _Account:
        account = self._accounts.get(name)
        if account is None:
            raise not_found(f"Budget {name} does not exist.")
        return account


def _check_parent(parent: str) -> None:
    kind, _, account = parent.partition("/")
    if kind != "billingAccounts" or not account or "/" in account:
        raise invalid(f"{parent!r} is no billing account: it has to be billingAccounts/ID.")
