"""The budgets stand-in against the real Budget API client, and the notifications it sends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import grpc
import pytest
from google.api_core import exceptions
from google.cloud.billing import budgets_v1
from google.cloud.billing.budgets_v1.services.budget_service.transports import BudgetServiceGrpcTransport

from sandbox.budgets import Budgets
from sandbox.faults import Fault, Faults
from sandbox.grpc_errors import RefusedError
from sandbox.pubsub import PubSub
from sandbox.serve import GrpcServer

ACCOUNT = "billingAccounts/01D4EE-079462-DFD6EC"
TOPIC = "projects/demo/topics/budget-alerts"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
CUSTOM = {"custom_period": {"start_date": {"year": 2026, "month": 7, "day": 4}}}


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def pubsub(faults: Faults) -> Iterator[PubSub]:
    stand_in = PubSub(faults)
    stand_in.create_topic(TOPIC)
    yield stand_in
    stand_in.close()


@pytest.fixture
def budgets(faults: Faults, pubsub: PubSub) -> Budgets:
    return Budgets(faults, pubsub, now=lambda: NOW)


@pytest.fixture
def client(budgets: Budgets) -> Iterator[budgets_v1.BudgetServiceClient]:
    with GrpcServer(budgets.handlers()) as server, grpc.insecure_channel(server.address) as channel:
        yield budgets_v1.BudgetServiceClient(transport=BudgetServiceGrpcTransport(channel=channel))


def draft(**fields: Any) -> budgets_v1.Budget:
    """A budget of 1,000 with alerts at 50, 80 and 100 percent, connected to the topic."""
    return budgets_v1.Budget(
        {
            "display_name": "ML Training Budget",
            "amount": {"specified_amount": {"units": 1000}},
            "threshold_rules": [{"threshold_percent": percent} for percent in (0.5, 0.8, 1.0)],
            "notifications_rule": {"pubsub_topic": TOPIC, "schema_version": "1.0"},
            **fields,
        }
    )


def create(client: budgets_v1.BudgetServiceClient, **fields: Any) -> budgets_v1.Budget:
    return client.create_budget(parent=ACCOUNT, budget=draft(**fields))


def test_defaults_are_filled_in(client: budgets_v1.BudgetServiceClient) -> None:
    """A new budget comes back with name, etag, currency, calendar month, all credits and current spend."""
    budget = create(client)

    assert budget.name.startswith(f"{ACCOUNT}/budgets/")
    assert budget.etag
    assert budget.amount.specified_amount.currency_code == "USD"
    assert budget.budget_filter.calendar_period == budgets_v1.CalendarPeriod.MONTH
    assert budget.budget_filter.credit_types_treatment == budgets_v1.Filter.CreditTypesTreatment.INCLUDE_ALL_CREDITS
    assert {rule.spend_basis for rule in budget.threshold_rules} == {budgets_v1.ThresholdRule.Basis.CURRENT_SPEND}
    assert client.get_budget(name=budget.name) == budget


def test_custom_period_is_not_given_a_calendar_period(client: budgets_v1.BudgetServiceClient) -> None:
    """A budget with a period of its own keeps it."""
    budget = create(client, budget_filter=CUSTOM)
    assert budget.budget_filter.custom_period.start_date.year == 2026
    assert not budget.budget_filter.calendar_period


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"display_name": "x" * 61}, "60 are the most"),
        ({"amount": {}}, "amount is missing"),
        ({"amount": {"specified_amount": {"units": 5, "currency_code": "EUR"}}}, "EUR"),
        ({"amount": {"specified_amount": {"units": -5}}}, "negative"),
        ({"threshold_rules": [{"threshold_percent": -0.5}]}, "not negative"),
        ({"threshold_rules": [{"threshold_percent": float("nan")}]}, "not negative"),
        ({"notifications_rule": {"pubsub_topic": TOPIC}}, "schema_version is missing"),
        ({"notifications_rule": {"pubsub_topic": TOPIC, "schema_version": "2.0"}}, "only 1.0"),
        ({"notifications_rule": {"monitoring_notification_channels": ["projects/p/notificationChannels/c"] * 6}}, "5 are the most"),
        ({"budget_filter": CUSTOM, "threshold_rules": [{"threshold_percent": 1, "spend_basis": "FORECASTED_SPEND"}]}, "FORECASTED_SPEND"),
        ({"budget_filter": CUSTOM, "amount": {"last_period_amount": {}}}, "last_period_amount"),
        ({"budget_filter": {"credit_types": ["PROMOTION"]}}, "credit_types"),
        ({"budget_filter": {"labels": {"a": [{"string_value": "1"}], "b": [{"string_value": "2"}]}}}, "single key"),
        ({"budget_filter": {"labels": {"a": [{"string_value": "1"}, {"string_value": "2"}]}}}, "single value"),
        ({"budget_filter": {"projects": ["ml-staging"]}}, "projects/"),
        ({"budget_filter": {"services": ["152E-C115-5142"]}}, "services/"),
        ({"budget_filter": {"subaccounts": ["X"]}}, "billingAccounts/"),
    ],
)
def test_invalid_budget_is_refused(client: budgets_v1.BudgetServiceClient, fields: dict[str, Any], reason: str) -> None:
    """What the API's documentation rules out is INVALID_ARGUMENT, on creation and on update, and changes nothing."""
    with pytest.raises(exceptions.InvalidArgument, match=reason):
        create(client, **fields)
    budget = create(client)
    changed = draft(**fields)
    changed.name = budget.name
    with pytest.raises(exceptions.InvalidArgument, match=reason):
        client.update_budget(request={"budget": changed, "update_mask": {"paths": ["threshold_rules", *fields]}})
    assert client.get_budget(name=budget.name) == budget


def test_topic_has_to_exist_first(client: budgets_v1.BudgetServiceClient) -> None:
    """A budget cannot be connected to a topic that was never created."""
    with pytest.raises(exceptions.NotFound, match="topics/other"):
        create(client, notifications_rule={"pubsub_topic": "projects/demo/topics/other", "schema_version": "1.0"})


@pytest.mark.parametrize("parent", ["01D4EE-079462-DFD6EC", "billingAccounts/", "billingAccounts/a/budgets"])
def test_bad_parent_is_refused(client: budgets_v1.BudgetServiceClient, parent: str) -> None:
    """A parent that is not a billing account is INVALID_ARGUMENT."""
    with pytest.raises(exceptions.InvalidArgument):
        client.create_budget(parent=parent, budget=draft())
    with pytest.raises(exceptions.InvalidArgument):
        client.list_budgets(parent=parent)


def test_unknown_budget_is_not_found(client: budgets_v1.BudgetServiceClient) -> None:
    """Reading, changing and deleting what is not there is NOT_FOUND."""
    name = f"{ACCOUNT}/budgets/nothing"
    with pytest.raises(exceptions.NotFound):
        client.get_budget(name=name)
    with pytest.raises(exceptions.NotFound):
        client.delete_budget(name=name)
    with pytest.raises(exceptions.NotFound):
        client.update_budget(budget=budgets_v1.Budget(name=name))


def test_deleted_budget_is_gone(client: budgets_v1.BudgetServiceClient) -> None:
    """After a deletion the budget is neither found nor listed."""
    budget = create(client)
    client.delete_budget(name=budget.name)
    with pytest.raises(exceptions.NotFound):
        client.get_budget(name=budget.name)
    assert list(client.list_budgets(parent=ACCOUNT)) == []


def test_stale_etag_is_aborted_and_an_empty_one_overwrites(client: budgets_v1.BudgetServiceClient) -> None:
    """An update with an old etag is ABORTED; one without an etag wins; each update gives a new etag."""
    first = create(client)
    first.display_name = "Second"
    second = client.update_budget(budget=first)
    assert second.etag != first.etag

    first.display_name = "Third"
    with pytest.raises(exceptions.Aborted, match="read it again"):
        client.update_budget(budget=first)
    first.etag = ""
    assert client.update_budget(budget=first).display_name == "Third"


def test_update_mask_chooses_the_fields(client: budgets_v1.BudgetServiceClient) -> None:
    """With a mask exactly its fields change, even to nothing; messages and lists are replaced, not merged."""
    budget = create(client)
    request = budgets_v1.Budget(name=budget.name, threshold_rules=[{"threshold_percent": 0.9}], display_name="ignored")
    updated = client.update_budget(
        request={"budget": request, "update_mask": {"paths": ["threshold_rules", "notifications_rule.pubsub_topic"]}}
    )

    assert [rule.threshold_percent for rule in updated.threshold_rules] == [0.9]
    assert updated.notifications_rule.pubsub_topic == ""
    assert updated.notifications_rule.schema_version == "1.0"
    assert (updated.display_name, updated.amount) == (budget.display_name, budget.amount)


def test_update_without_a_mask_changes_what_is_set(client: budgets_v1.BudgetServiceClient) -> None:
    """Without a mask only the fields with values other than the default change."""
    budget = create(client)
    updated = client.update_budget(budget=budgets_v1.Budget(name=budget.name, display_name="New name"))
    assert updated.display_name == "New name"
    assert updated.threshold_rules == budget.threshold_rules


@pytest.mark.parametrize("path", ["name", "colour", "display_name.x"])
def test_bad_update_mask_is_refused(client: budgets_v1.BudgetServiceClient, path: str) -> None:
    """A mask that names an unknown field, or the read-only name, is INVALID_ARGUMENT."""
    budget = create(client)
    with pytest.raises(exceptions.InvalidArgument, match="update mask"):
        client.update_budget(request={"budget": {"name": budget.name}, "update_mask": {"paths": [path]}})


def test_list_goes_over_pages_of_its_own_account(client: budgets_v1.BudgetServiceClient) -> None:
    """The client's pager finds every budget of the account, and none of another, whatever the page size."""
    names = {create(client).name for _ in range(5)}
    client.create_budget(parent="billingAccounts/OTHER", budget=draft())

    for size in (0, 2, 5, 1000):
        listed = list(client.list_budgets(request={"parent": ACCOUNT, "page_size": size}))
        assert len(listed) == 5
        assert {budget.name for budget in listed} == names
    with pytest.raises(exceptions.InvalidArgument, match="page size"):
        client.list_budgets(request={"parent": ACCOUNT, "page_size": -1})


def test_page_holds_a_hundred_at_most(client: budgets_v1.BudgetServiceClient, budgets: Budgets) -> None:
    """100 budgets are the default of a page, and its most."""
    for _ in range(101):
        budgets.create(ACCOUNT, draft())
    for size in (0, 500):
        first = next(client.list_budgets(request={"parent": ACCOUNT, "page_size": size}).pages)
        assert len(first.budgets) == 100
        assert first.next_page_token


def test_list_survives_deletions_on_the_way(client: budgets_v1.BudgetServiceClient) -> None:
    """Deleting what a page showed does not make the next page skip anything."""
    for _ in range(5):
        create(client)
    for budget in client.list_budgets(request={"parent": ACCOUNT, "page_size": 2}):
        client.delete_budget(name=budget.name)
    assert list(client.list_budgets(parent=ACCOUNT)) == []


def test_scope_finds_the_budgets_of_one_project(client: budgets_v1.BudgetServiceClient) -> None:
    """With a scope only the budgets that track just that project are listed; other kinds of scope are refused."""
    create(client)
    create(client, budget_filter={"projects": ["projects/1", "projects/2"]})
    wanted = create(client, budget_filter={"projects": ["projects/1"]})
    listed = client.list_budgets(request={"parent": ACCOUNT, "scope": "projects/1"})
    assert [budget.name for budget in listed] == [wanted.name]
    with pytest.raises(exceptions.InvalidArgument, match="scope"):
        client.list_budgets(request={"parent": ACCOUNT, "scope": "folders/1"})


def test_faults_strike_by_method(client: budgets_v1.BudgetServiceClient, faults: Faults) -> None:
    """A fault on one method answers with its status before the work, or drops the answer after it."""
    faults.inject(Fault("CreateBudget", status="PERMISSION_DENIED", times=1))
    with pytest.raises(exceptions.PermissionDenied):
        create(client)
    faults.inject(Fault("CreateBudget", drop_answer=True, times=1))
    with pytest.raises(exceptions.ServiceUnavailable):
        create(client)
    assert len(list(client.list_budgets(parent=ACCOUNT))) == 1


def test_second_budget_of_one_id_is_refused(budgets: Budgets) -> None:
    """A budget can be given an id for the demo, once."""
    assert budgets.create("01D4EE-079462-DFD6EC", draft(), "b1") == f"{ACCOUNT}/budgets/b1"
    with pytest.raises(RefusedError, match="exists already"):
        budgets.create(ACCOUNT, draft(), "b1")


def test_spend_sends_the_documented_notification(budgets: Budgets, pubsub: PubSub) -> None:
    """Spending publishes the schema 1.0 message with its attributes to the budget's topic."""
    budgets.create(ACCOUNT, draft(), "b1")
    message_id = budgets.spend("b1", Decimal("850.25"))

    (message,) = pubsub.messages(TOPIC)
    assert message.id == message_id
    assert message.attributes == {"billingAccountId": "01D4EE-079462-DFD6EC", "budgetId": "b1", "schemaVersion": "1.0"}
    assert json.loads(message.data) == {
        "budgetDisplayName": "ML Training Budget",
        "costAmount": 850.25,
        "costIntervalStart": "2026-11-01T07:00:00Z",
        "budgetAmount": 1000.0,
        "budgetAmountType": "SPECIFIED_AMOUNT",
        "alertThresholdExceeded": 0.8,
        "currencyCode": "USD",
    }


@pytest.mark.parametrize(
    ("spent", "threshold"), [("0", None), ("-3", None), ("499.99", None), ("500", 0.5), ("799.99", 0.5), ("800", 0.8), ("5000", 1.0)]
)
def test_only_the_highest_threshold_is_told(budgets: Budgets, spent: str, threshold: float | None) -> None:
    """The alert names the highest threshold that the cost has reached, and is absent below the lowest."""
    budgets.create(ACCOUNT, draft(), "b1")
    budgets.spend("b1", Decimal(spent))
    _, data = budgets.notification("b1")
    assert data.get("alertThresholdExceeded") == threshold
    assert "forecastThresholdExceeded" not in data


def test_forecast_has_thresholds_of_its_own(budgets: Budgets) -> None:
    """A forecast crosses only the thresholds on forecasted spend, beside those on current spend, and is kept until told anew."""
    rules = [{"threshold_percent": 0.5}, {"threshold_percent": 1.2, "spend_basis": "FORECASTED_SPEND"}]
    budgets.create(ACCOUNT, draft(threshold_rules=rules), "b1")

    budgets.spend("b1", Decimal(1300), forecast=Decimal(1100))
    assert "forecastThresholdExceeded" not in budgets.notification("b1")[1]
    budgets.spend("b1", Decimal(600), forecast=Decimal(1200))
    budgets.spend("b1", Decimal(610))
    data = budgets.notification("b1")[1]
    assert (data["alertThresholdExceeded"], data["forecastThresholdExceeded"]) == (0.5, 1.2)


def test_budget_without_a_topic_sends_nothing(budgets: Budgets, pubsub: PubSub) -> None:
    """A budget that is connected to no topic keeps its spend to itself."""
    budgets.create(ACCOUNT, draft(notifications_rule={}), "b1")
    assert budgets.spend("b1", Decimal(5)) is None
    assert pubsub.messages(TOPIC) == []


def test_status_is_repeated_on_demand(budgets: Budgets, pubsub: PubSub) -> None:
    """A notification can be sent again without any change, as Google does several times a day."""
    budgets.create(ACCOUNT, draft(), "b1")
    budgets.spend("b1", Decimal(900))
    budgets.notify("b1")
    first, second = pubsub.messages(TOPIC)
    assert first.data == second.data
    assert first.id != second.id


@pytest.mark.parametrize(
    ("now", "period", "start"),
    [
        ("2026-11-23T12:00:00Z", {}, "2026-11-01T07:00:00Z"),
        ("2026-12-01T07:59:59Z", {}, "2026-11-01T07:00:00Z"),
        ("2026-12-01T08:00:00Z", {}, "2026-12-01T08:00:00Z"),
        ("2026-11-23T12:00:00Z", {"calendar_period": "QUARTER"}, "2026-10-01T07:00:00Z"),
        ("2026-11-23T12:00:00Z", {"calendar_period": "YEAR"}, "2026-01-01T08:00:00Z"),
        ("2026-11-23T12:00:00Z", CUSTOM, "2026-07-04T07:00:00Z"),
    ],
)
def test_period_begins_at_midnight_in_california(faults: Faults, pubsub: PubSub, now: str, period: dict[str, Any], start: str) -> None:
    """A period's start is midnight US Pacific time, daylight saving time included."""
    budgets = Budgets(faults, pubsub, now=lambda: datetime.fromisoformat(now))
    budgets.create(ACCOUNT, draft(budget_filter=period), "b1")
    assert budgets.notification("b1")[1]["costIntervalStart"] == start


def test_new_period_forgets_the_forecast_and_sets_the_last_cost(budgets: Budgets) -> None:
    """In a new period the thresholds start over, and a budget of last month's cost takes the cost of the month before."""
    rules = [{"threshold_percent": 1}, {"threshold_percent": 1, "spend_basis": "FORECASTED_SPEND"}]
    budgets.create(ACCOUNT, draft(amount={"last_period_amount": {}}, threshold_rules=rules), "b1")
    budgets.spend("b1", Decimal(300), forecast=Decimal(400))
    assert budgets.notification("b1")[1]["budgetAmount"] == 0

    december = datetime(2026, 12, 1, 8, tzinfo=UTC)
    budgets.spend("b1", Decimal(20), period_start=december)
    assert budgets.notification("b1")[1] == {
        "budgetDisplayName": "ML Training Budget",
        "costAmount": 20.0,
        "costIntervalStart": "2026-12-01T08:00:00Z",
        "budgetAmount": 300.0,
        "budgetAmountType": "LAST_MONTH_COST",
        "currencyCode": "USD",
    }
    budgets.spend("b1", Decimal(310), period_start=december - timedelta(days=30))
    assert budgets.notification("b1")[1]["budgetAmount"] == 300


def test_other_periods_than_months_have_another_amount_type(budgets: Budgets) -> None:
    """A budget of the last period's cost names that type when its period is no month."""
    budgets.create(ACCOUNT, draft(amount={"last_period_amount": {}}, budget_filter={"calendar_period": "QUARTER"}), "b1")
    assert budgets.notification("b1")[1]["budgetAmountType"] == "LAST_PERIODS_COST"


def test_spend_asks_for_a_budget_and_an_aware_time(budgets: Budgets) -> None:
    """Spending on an unknown budget, or from a time without zone, is refused."""
    with pytest.raises(RefusedError, match="nothing does not exist"):
        budgets.spend("nothing", Decimal(1))
    budgets.create(ACCOUNT, draft(), "b1")
    with pytest.raises(ValueError, match="no time zone"):
        budgets.spend("b1", Decimal(1), period_start=datetime(2026, 12, 1))  # noqa: DTZ001 - that is the point


def test_snapshot_is_json_for_a_page(budgets: Budgets) -> None:
    """The snapshot holds what a person wants to see of each budget, ready for JSON."""
    name = budgets.create(ACCOUNT, draft(), "b1")
    budgets.spend(name, Decimal("1.5"), forecast=Decimal(2))
    assert json.loads(json.dumps(budgets.snapshot())) == [
        {
            "id": "b1",
            "billing_account": "01D4EE-079462-DFD6EC",
            "name": "ML Training Budget",
            "amount": 1000.0,
            "amount_type": "SPECIFIED_AMOUNT",
            "spent": 1.5,
            "forecast": 2.0,
            "period_start": "2026-11-01T07:00:00+00:00",
            "currency": "USD",
            "topic": TOPIC,
            "thresholds": [{"percent": percent, "basis": "CURRENT_SPEND"} for percent in (0.5, 0.8, 1.0)],
        }
    ]


def test_snapshot_of_an_untouched_budget_has_no_forecast(budgets: Budgets) -> None:
    """Nothing is spent and nothing is forecast at first."""
    budgets.create(ACCOUNT, draft(), "b1")
    (view,) = budgets.snapshot()
    assert (view["spent"], view["forecast"]) == (0.0, None)
