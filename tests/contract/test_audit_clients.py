"""What an audit asks, with Google's own clients before the stand-ins, and what the stand-ins refuse as Google does."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import monitoring_v3
from google.cloud.billing import budgets_v1
from google.type import date_pb2, money_pb2

from sandbox.cloud import ARTIFACTS_BUCKET, BILLING_ACCOUNT, PROJECT, PROJECT_NUMBER, Sandbox
from sandbox.faults import Fault
from sandbox.pubsub_admin import GOOGLE
from shared.audit.seen import Execution, Stock, SubscriptionSeen, Usage
from shared.cloud.budgets import BillingBudgets
from shared.cloud.channel import connect
from shared.cloud.metrics import CloudMonitoring
from shared.cloud.permissions import CallersPermissions
from shared.cloud.run_executions import CloudRunExecutions
from shared.cloud.topics import PubSubTopics
from shared.errors import Denied, Gone, Refused, Unavailable
from shared.model import Place

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
US = Place(PROJECT, "us-central1")
SERVICE = f"projects/{PROJECT}/locations/us-central1/services/embedder"


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A Google Cloud on this machine."""
    with Sandbox() as sandbox:
        for name, value in sandbox.environment().items():
            monkeypatch.setenv(name, value)
        yield sandbox


@pytest.fixture
def host(cloud: Sandbox) -> str:
    """Where its gRPC services listen."""
    return cloud.environment()["CLOUD_RUN_EMULATOR_HOST"]


# Cloud Monitoring


def test_what_services_did(cloud: Sandbox, host: str) -> None:
    """Requests and billed seconds are added up over a week, over revisions and response codes; of utilization the 99th percentile counts."""
    seen = cloud.monitoring
    seen.serve(SERVICE, NOW - HOUR, requests=7, billable_seconds=1.5, cpu=0.25, memory=0.5)
    seen.serve(SERVICE, NOW - 6 * DAY, requests=3, billable_seconds=2.5, cpu=0.75, memory=0.25)
    seen.serve(SERVICE, NOW - 8 * DAY, requests=1_000_000, cpu=1.0)
    other = SERVICE.replace("us-central1", "europe-west1")
    seen.serve(other, NOW - HOUR, billable_seconds=60.0)
    seen.serve(SERVICE.replace(PROJECT, "another-project"), NOW - HOUR, requests=5)
    assert CloudMonitoring(host).usage(PROJECT, NOW) == {SERVICE: Usage(10, 4.0, 0.75, 0.5), other: Usage(0, 60.0)}


def test_what_buckets_hold(cloud: Sandbox, host: str) -> None:
    """The newest measurement of the last days counts, by kind and class; the old names of Standard count as Standard, and kinds that are not known do not."""
    store = cloud.monitoring.store
    store(PROJECT, "a", "live-object", "STANDARD", 10, NOW - 2 * DAY)
    store(PROJECT, "a", "live-object", "STANDARD", 30, NOW - HOUR)
    store(PROJECT, "a", "live-object", "REGIONAL", 5, NOW - HOUR)
    store(PROJECT, "a", "soft-deleted-object", "NEARLINE", 7, NOW - DAY - HOUR)
    store(PROJECT, "a", "a-new-kind", "STANDARD", 7, NOW - HOUR)
    store(PROJECT, "b", "multipart-upload", "STANDARD", 3, NOW - HOUR)
    store(PROJECT, "old", "noncurrent-object", "STANDARD", 3, NOW - 9 * DAY)
    assert CloudMonitoring(host).stocks(PROJECT, NOW) == {
        "a": [Stock("live", "STANDARD", 35), Stock("soft_deleted", "NEARLINE", 7)],
        "b": [Stock("multipart", "STANDARD", 3)],
    }


def test_what_waits(cloud: Sandbox, host: str) -> None:
    """The newest count of each subscription."""
    name = f"projects/{PROJECT}/subscriptions/dead"
    cloud.monitoring.wait(name, 9, NOW - timedelta(minutes=20))
    cloud.monitoring.wait(name, 4, NOW - timedelta(minutes=2))
    assert CloudMonitoring(host).undelivered(PROJECT, NOW) == {name: 4}


def test_many_pages_of_series(cloud: Sandbox, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All pages are read."""
    monkeypatch.setattr("shared.cloud.metrics._PAGE", 2)
    for number in range(5):
        cloud.monitoring.store(PROJECT, f"bucket-{number}", "live-object", "STANDARD", 1, NOW - HOUR)
    assert len(CloudMonitoring(host).stocks(PROJECT, NOW)) == 5


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": "folders/1"}, "must be projects/ID"),
        ({"filter": ""}, "filter"),
        ({"interval": {"start_time": NOW}}, "end of the interval is needed"),
        ({"interval": {"start_time": NOW, "end_time": NOW - DAY}}, "after the end"),
        ({"aggregation": {"alignment_period": DAY, "cross_series_reducer": "REDUCE_SUM"}}, "aligner"),
        ({"aggregation": {"alignment_period": timedelta(seconds=30), "per_series_aligner": "ALIGN_DELTA"}}, "60 s"),
        ({"aggregation": {"alignment_period": DAY, "per_series_aligner": "ALIGN_PERCENTILE_99"}}, "does not fit"),
        ({"aggregation": {"alignment_period": DAY, "per_series_aligner": "ALIGN_NEXT_OLDER"}}, "does not fit"),
        (
            {"aggregation": {"alignment_period": DAY, "per_series_aligner": "ALIGN_DELTA", "cross_series_reducer": "REDUCE_COUNT"}},
            "not known",
        ),
        ({"group": ["resource.labels.colour"]}, "no such label"),
        ({"page_token": "x"}, "page token"),
    ],
)
def test_questions_that_are_refused(host: str, changes: dict[str, Any], sentence: str) -> None:
    """A question that Google would refuse is refused."""
    aggregation = {"alignment_period": DAY, "per_series_aligner": "ALIGN_DELTA", "cross_series_reducer": "REDUCE_SUM"}
    aggregation["group_by_fields"] = changes.pop("group", [])
    request: dict[str, Any] = {
        "name": f"projects/{PROJECT}", "filter": 'metric.type = "run.googleapis.com/request_count"',
        "interval": {"start_time": NOW - DAY, "end_time": NOW}, "aggregation": aggregation,
    }  # fmt: skip
    client = connect("google.cloud.monitoring_v3", "MetricServiceClient", host)
    with pytest.raises(exceptions.InvalidArgument, match=sentence):
        client.list_time_series(monitoring_v3.ListTimeSeriesRequest(request | changes))


def test_a_metric_that_there_is_not(host: str) -> None:
    """It is not found."""
    client = connect("google.cloud.monitoring_v3", "MetricServiceClient", host)
    with pytest.raises(exceptions.NotFound):
        client.list_time_series({"name": f"projects/{PROJECT}", "filter": 'metric.type = "x"', "interval": {"end_time": NOW}})


def test_points_that_cannot_be(cloud: Sandbox) -> None:
    """Labels and values have to be those of the metric."""
    for labels, value in (({"colour": "red"}, 1.0), ({}, (1.0,))):
        with pytest.raises(ValueError, match=r"run\.googleapis"):
            cloud.monitoring.record(PROJECT, "run.googleapis.com/request_count", labels, {}, value, NOW)


# budgets and billing accounts


def test_who_pays(cloud: Sandbox, host: str) -> None:
    """The billing account of a project; none where nobody pays, and no word on projects that the caller may not see."""
    budgets = BillingBudgets(host, host)
    cloud.projects.add("unpaid", "7")
    assert (budgets.account_of(PROJECT), budgets.account_of("unpaid")) == (BILLING_ACCOUNT, "")
    with pytest.raises(Denied):
        budgets.account_of("somebody-elses")


def test_budgets_of_an_account(cloud: Sandbox, host: str) -> None:
    """Everything that a check asks of a budget is told as the API has it."""
    rules = [budgets_v1.ThresholdRule(threshold_percent=0.8)]
    rules.append(budgets_v1.ThresholdRule(threshold_percent=0.9, spend_basis=budgets_v1.ThresholdRule.Basis.FORECASTED_SPEND))
    first = budgets_v1.Budget(
        display_name="ML",
        amount=budgets_v1.BudgetAmount(specified_amount=money_pb2.Money(units=100, nanos=500_000_000, currency_code="USD")),
        budget_filter=budgets_v1.Filter(projects=["projects/42"], credit_types_treatment="EXCLUDE_ALL_CREDITS", calendar_period="QUARTER"),
        threshold_rules=rules,
        notifications_rule=budgets_v1.NotificationsRule(pubsub_topic=cloud.budget_topic, schema_version="1.0"),
    )
    second = budgets_v1.Budget(display_name="Last period", amount=budgets_v1.BudgetAmount(last_period_amount=budgets_v1.LastPeriodAmount()))
    period = budgets_v1.CustomPeriod(
        start_date=date_pb2.Date(year=2026, month=11, day=1), end_date=date_pb2.Date(year=2026, month=12, day=24)
    )
    third = budgets_v1.Budget(display_name="Sprint", amount=first.amount, budget_filter=budgets_v1.Filter(custom_period=period))
    for number, budget in enumerate((first, second, third)):
        cloud.budgets.create(BILLING_ACCOUNT, budget, f"b-{number}")
    seen = {each.display_name: each for each in BillingBudgets(host, host).list(BILLING_ACCOUNT)}
    ml = seen["ML"]
    assert (ml.account, ml.budget_id, ml.amount, ml.currency) == (BILLING_ACCOUNT, "b-0", Decimal("100.5"), "USD")
    assert (ml.projects, ml.credits, ml.calendar_period, ml.topic) == (
        ("projects/42",),
        "EXCLUDE_ALL_CREDITS",
        "QUARTER",
        cloud.budget_topic,
    )
    assert ml.thresholds == ((Decimal("0.8"), "actual"), (Decimal("0.9"), "forecast"))
    last = seen["Last period"]
    assert (last.amount, last.currency, last.credits, last.calendar_period, last.topic) == (None, "", "INCLUDE_ALL_CREDITS", "MONTH", "")
    assert (seen["Sprint"].calendar_period, seen["Sprint"].custom_end) == ("", date(2026, 12, 24))


# permissions


def test_what_the_caller_may_do(cloud: Sandbox, host: str) -> None:
    """On a project and on a bucket; a question about more than a hundred permissions is put in parts."""
    permissions = CallersPermissions(host)
    cloud.projects.deny(PROJECT, "run.services.update")
    assert permissions.number_of(PROJECT) == PROJECT_NUMBER
    assert permissions.held_on_project(PROJECT, ["run.services.update", "run.services.get"]) == {"run.services.get"}
    assert permissions.held_on_bucket(ARTIFACTS_BUCKET, ["storage.objects.delete", "storage.buckets.get"]) >= {"storage.objects.delete"}
    many = [f"run.services.verb{'x' * number}" for number in range(150)]
    assert len(permissions.held_on_project(PROJECT, many)) == 150
    for wrong in ("billing.budgets.list", "storage.objects.get"):
        with pytest.raises(Refused, match="not valid"):
            permissions.held_on_project(PROJECT, [wrong])
    with pytest.raises(Denied):
        permissions.number_of("somebody-elses")
    with pytest.raises(Gone):
        permissions.held_on_bucket("no-such-bucket-here", ["storage.objects.get"])


# executions of jobs


def test_running_executions(cloud: Sandbox, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of all jobs of a place that have not ended, over all pages."""
    monkeypatch.setattr("shared.cloud.run_calls.PAGE_SIZE", 1)
    limits = {"cpu": "4", "memory": "16Gi"}
    name = cloud.jobs.add(
        PROJECT, "us-central1", "train", "train-x", created=NOW, running=3, labels={"env": "dev"}, limits=limits, gpu="nvidia-l4"
    )
    cloud.jobs.add(PROJECT, "us-central1", "other", "other-x", created=NOW - DAY)
    cloud.jobs.add(PROJECT, "us-central1", "other", "other-done", created=NOW - DAY, completed=NOW)
    cloud.jobs.add(PROJECT, "europe-west1", "other", "elsewhere", created=NOW - DAY)
    seen = CloudRunExecutions(host).running(US)
    assert [each.name.rsplit("/", 1)[-1] for each in seen] == ["other-x", "train-x"]
    assert seen[1] == Execution(name, {"env": "dev"}, NOW, 3, 4.0, 16.0, "nvidia-l4", gpu_zonal_redundancy=True)


def test_executions_that_are_refused(cloud: Sandbox, host: str) -> None:
    """No wildcard for locations; what is not there is not found."""
    client = connect("google.cloud.run_v2", "ExecutionsClient", host)
    name = cloud.jobs.add(PROJECT, "us-central1", "train", "train-x", created=NOW)
    assert client.get_execution(name=name).name == name
    assert [each.name for each in client.list_executions(parent=name.rpartition("/executions/")[0])] == [name]
    for request, error in (
        ({"parent": f"projects/{PROJECT}/locations/-/jobs/-"}, exceptions.InvalidArgument),
        ({"parent": f"projects/{PROJECT}/locations/us-central1/jobs/-", "page_size": -1}, exceptions.InvalidArgument),
        ({"parent": f"projects/{PROJECT}/locations/us-central1/jobs/-", "page_token": "x"}, exceptions.InvalidArgument),
    ):
        with pytest.raises(error):
            client.list_executions(request)
    with pytest.raises(exceptions.NotFound):
        client.get_execution(name=f"{name}-gone")


# topics


def test_topics(cloud: Sandbox) -> None:
    """Who may publish, and what subscribes, with where its messages go in the end."""
    topics = PubSubTopics()
    dead = f"projects/{PROJECT}/topics/dead"
    cloud.pubsub.create_topic(dead)
    name = cloud.pubsub.subscribe(cloud.budget_topic, "http://127.0.0.1:9/", dead_letter_topic=dead)
    assert topics.publishers(cloud.budget_topic) == []
    cloud.topics.grant(cloud.budget_topic)
    assert topics.publishers(cloud.budget_topic) == [GOOGLE]
    cloud.topics.revoke(cloud.budget_topic)
    assert topics.publishers(cloud.budget_topic) == []
    assert topics.subscriptions(cloud.budget_topic) == [SubscriptionSeen(name, dead, None, "http://127.0.0.1:9/")]
    assert topics.subscriptions(dead) == []
    plain = cloud.pubsub.subscribe(cloud.tasks_topic, "http://127.0.0.1:9/")
    assert [each.dead_letter_topic for each in topics.subscriptions(cloud.tasks_topic) if each.name == plain] == [""]
    for ask in (topics.publishers, topics.subscriptions):
        with pytest.raises(Gone):
            ask(f"projects/{PROJECT}/topics/gone")


def test_a_budget_that_is_connected_lets_google_publish(cloud: Sandbox) -> None:
    """The right comes with the connection."""
    amount = budgets_v1.BudgetAmount(specified_amount=money_pb2.Money(units=1, currency_code="USD"))
    rule = budgets_v1.NotificationsRule(pubsub_topic=cloud.budget_topic, schema_version="1.0")
    cloud.budgets.create(BILLING_ACCOUNT, budgets_v1.Budget(display_name="ML", amount=amount, notifications_rule=rule))
    assert PubSubTopics().publishers(cloud.budget_topic) == [GOOGLE]


# what fails


@pytest.mark.parametrize(
    ("method", "ask"),
    [
        ("ListTimeSeries", lambda host: CloudMonitoring(host).usage(PROJECT, NOW)),
        ("ListBudgets", lambda host: BillingBudgets(host, host).list(BILLING_ACCOUNT)),
        ("GetProjectBillingInfo", lambda host: BillingBudgets(host, host).account_of(PROJECT)),
        ("GetProject", lambda host: CallersPermissions(host).number_of(PROJECT)),
        ("TestIamPermissions", lambda host: CallersPermissions(host).held_on_project(PROJECT, ["run.services.get"])),
        ("ListExecutions", lambda host: CloudRunExecutions(host).running(US)),
        ("GetIamPolicy", lambda _: PubSubTopics().publishers(f"projects/{PROJECT}/topics/budget-alerts")),
        ("ListTopicSubscriptions", lambda _: PubSubTopics().subscriptions(f"projects/{PROJECT}/topics/budget-alerts")),
    ],
)
def test_every_failure_is_one_of_ours(cloud: Sandbox, host: str, method: str, ask: Any) -> None:
    """A missing permission is told as such, and a service that is away is asked again before it is told of."""
    cloud.faults.inject(Fault(method, status="PERMISSION_DENIED", times=1))
    with pytest.raises(Denied):
        ask(host)
    cloud.faults.inject(Fault(method, status="UNAVAILABLE", times=1))
    ask(host)
    cloud.faults.inject(Fault(method, status="INTERNAL", times=1))
    with pytest.raises(Unavailable):
        ask(host)
