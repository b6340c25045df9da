"""The demo's estate: what an ML team runs in two regions, what its training runs have written, and the budget over all of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Literal

from google.cloud.billing import budgets_v1
from google.type import money_pb2

from sandbox import training
from sandbox.budget_rules import PACIFIC
from sandbox.cloud import BILLING_ACCOUNT, STATE_BUCKET, Sandbox
from sandbox.functions import SERVICES
from sandbox.run_seed import Shape

US, EU = "us-central1", "europe-west1"
BUDGET_ID = "de72f49d-779b-4945-a127-4d6ce8def0bb"
BUDGET_NAME = "ML Training Budget"
AMOUNT = 10_000

Role = Literal["staging", "dev", "production", "unlabelled", "protected", "function", "watchdog"]


@dataclass(frozen=True)
class Seed:
    """One service or worker pool as it has long been deployed.

    Attributes:
        role: What it is to the team.
        region: Where it runs.
        name: Its short name.
        team: Whose it is.
        shape: What it looks like, besides its labels.
        demand: How many instances its traffic needs.
        pool: Whether it is a worker pool.
    """

    role: Role
    region: str
    name: str
    team: str
    shape: Shape = field(default_factory=Shape)
    demand: int = 0
    pool: bool = False

    def resource(self, project: str) -> str:
        """The full name."""
        return f"projects/{project}/locations/{self.region}/{'workerPools' if self.pool else 'services'}/{self.name}"

    @property
    def labels(self) -> dict[str, str]:
        """The labels it carries."""
        env = {"production": "prod", "dev": "dev"}.get(self.role, "staging")
        labels = {"env": env, "team": self.team, "cost-center": "ml"}
        if self.role == "unlabelled":
            return {"team": self.team}
        return {**labels, "cost-watchdog": "protect"} if self.role == "protected" else labels


def _warm(minimum: int, maximum: int = 20, cpu: str = "2", memory: str = "4Gi") -> Shape:
    return Shape(service_min=minimum, service_max=maximum, cpu=cpu, memory=memory)


def _revision(minimum: int, service: int = 0, maximum: int = 20) -> Shape:
    return Shape(revision_min=minimum, service_min=service, service_max=maximum, cpu="2", memory="2Gi")


def _gpu(minimum: int) -> Shape:
    return Shape(service_min=minimum, service_max=4, cpu="4", memory="16Gi", gpu="nvidia-l4")


_OWN = Shape(function=True, env={"WATCHDOG_STATE_BUCKET": STATE_BUCKET}, service_min=1, service_max=3)

SEEDS: tuple[Seed, ...] = (
    Seed("staging", US, "embedder-staging", "nlp", _warm(2)),
    Seed("staging", US, "llm-gateway-staging", "platform", _warm(3)),
    Seed("staging", US, "reranker-staging", "nlp", _revision(2)),
    Seed("staging", US, "feature-store-staging", "platform", _revision(1, service=2)),
    Seed("staging", US, "prompt-eval-staging", "nlp", _warm(1)),
    Seed("staging", US, "whisper-staging", "speech", _gpu(1)),
    Seed("staging", US, "vector-search-staging", "platform", Shape(service_min=2, service_max=10, tags={"canary": 1})),
    Seed("staging", US, "batch-scorer-staging", "platform", Shape(mode="MANUAL", manual_count=3, cpu="4", memory="8Gi")),
    Seed("staging", US, "notebook-proxy-staging", "platform", Shape(service_min=1, service_max=5, cpu="2", memory="4Gi", cpu_idle=False)),
    Seed("staging", US, "annotation-ui-staging", "vision", _warm(1, 5, "1", "1Gi")),
    Seed("staging", US, "drift-monitor-staging", "platform", _warm(0, 5, "1", "1Gi")),
    Seed("staging", US, "model-registry-staging", "platform", _warm(2, 6)),
    Seed("staging", EU, "embedder-staging", "nlp", _warm(2)),
    Seed("staging", EU, "llm-gateway-staging", "platform", _warm(2)),
    Seed("staging", EU, "feature-store-staging", "platform", _revision(1, service=1)),
    Seed("staging", EU, "reranker-staging", "nlp", _revision(1)),
    Seed("staging", EU, "tokenizer-staging", "nlp", _warm(1, 10, "1", "1Gi")),
    Seed("staging", EU, "moderation-staging", "nlp", _revision(2)),
    Seed("staging", EU, "ocr-staging", "vision", _warm(2, 8)),
    Seed("staging", EU, "image-tagger-staging", "vision", _warm(1, 8, "4", "8Gi")),
    Seed("dev", US, "playground-dev", "nlp", _warm(1, 3, "1", "1Gi")),
    Seed("dev", US, "prompt-lab-dev", "nlp", _warm(1, 3, "1", "1Gi")),
    Seed("dev", EU, "search-dev", "platform", _warm(1, 3, "1", "1Gi")),
    Seed("dev", EU, "notebook-dev", "vision", _warm(2, 3)),
    Seed("production", US, "embedder-prod", "nlp", _warm(4, 60), demand=6),
    Seed("production", US, "llm-gateway-prod", "platform", _warm(4, 80), demand=9),
    Seed("production", US, "reranker-prod", "nlp", _warm(2, 40), demand=3),
    Seed("production", US, "feature-store-prod", "platform", _revision(3, maximum=40), demand=4),
    Seed("production", US, "vector-search-prod", "platform", _warm(3, 30), demand=3),
    Seed("production", US, "whisper-prod", "speech", _gpu(2), demand=2),
    Seed("production", US, "model-registry-prod", "platform", _warm(2, 10), demand=1),
    Seed("production", EU, "embedder-prod", "nlp", _warm(3, 60), demand=4),
    Seed("production", EU, "llm-gateway-prod", "platform", _warm(3, 80), demand=5),
    Seed("production", EU, "feature-store-prod", "platform", _warm(2, 40), demand=2),
    Seed("production", EU, "image-tagger-prod", "vision", _warm(2, 20), demand=3),
    Seed("unlabelled", US, "leaderboard", "platform", _warm(1, 5)),
    Seed("unlabelled", EU, "label-quality-report", "nlp", _warm(2, 5)),
    Seed("protected", US, "sales-demo-staging", "platform", _warm(1, 4, "1", "1Gi"), demand=1),
    Seed("function", EU, "ingest-events", "platform", Shape(function=True, service_min=1, service_max=10)),
    *(Seed("watchdog", US, name, "platform", _OWN) for name in SERVICES.values()),
    Seed("staging", US, "embedding-backfill-staging", "nlp", Shape(manual_count=2, cpu="4", memory="8Gi"), pool=True),
    Seed("production", EU, "event-consumer-prod", "platform", Shape(manual_count=3, cpu="2", memory="4Gi"), pool=True),
)


def month_start(now: datetime, months: int = 0) -> datetime:
    """When the month began that lies so many months after the one of `now`, as budgets count months: at midnight US Pacific, in UTC."""
    day = now.astimezone(PACIFIC)
    count = day.year * 12 + day.month - 1 + months
    return datetime(count // 12, count % 12 + 1, 1, tzinfo=PACIFIC).astimezone(UTC)


def build(sandbox: Sandbox, *, months_back: int = 1) -> None:
    """Put everything there: services, worker pools, training runs, and the budget with nothing spent in a month that is over.

    A budget's period that lies in the future is refused by the watchdog, so there has to be a month to go on to.
    """
    for seed in SEEDS:
        shape: Shape = {**seed.shape, "labels": seed.labels}
        if seed.pool:
            sandbox.run.add_worker_pool(sandbox.project, seed.region, seed.name, **shape)
        else:
            sandbox.run.add_service(sandbox.project, seed.region, seed.name, demand=seed.demand, **shape)
    training.build(sandbox.storage, datetime.now(UTC))
    measure(sandbox, datetime.now(UTC))
    forecast = budgets_v1.ThresholdRule.Basis.FORECASTED_SPEND
    rules = [budgets_v1.ThresholdRule(threshold_percent=percent) for percent in (0.5, 0.8, 1.0, 1.2)]
    rules.append(budgets_v1.ThresholdRule(threshold_percent=0.9, spend_basis=forecast))
    budget = budgets_v1.Budget(
        display_name=BUDGET_NAME,
        amount=budgets_v1.BudgetAmount(specified_amount=money_pb2.Money(units=AMOUNT, currency_code="USD")),
        threshold_rules=rules,
        notifications_rule=budgets_v1.NotificationsRule(pubsub_topic=sandbox.budget_topic, schema_version="1.0"),
    )
    sandbox.budgets.create(BILLING_ACCOUNT, budget, BUDGET_ID)
    sandbox.budgets.spend(BUDGET_ID, Decimal(0), period_start=month_start(datetime.now(UTC), -months_back))


def measure(sandbox: Sandbox, now: datetime) -> None:
    """Let Cloud Monitoring have measured it: the traffic of an hour, and what the buckets hold."""
    for seed in SEEDS:
        if seed.demand and not seed.pool:
            busy = seed.demand * 3600.0
            sandbox.monitoring.serve(
                seed.resource(sandbox.project),
                now - timedelta(hours=1),
                requests=seed.demand * 9000,
                billable_seconds=busy,
                cpu=0.55,
                memory=0.6,
            )
    for bucket in sandbox.storage.snapshot():
        sandbox.monitoring.store(sandbox.project, bucket["name"], "live-object", "STANDARD", bucket["bytes"], now - timedelta(hours=3))
