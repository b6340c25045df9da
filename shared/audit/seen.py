"""What the outside tells an audit, as values: traffic, executions, sizes, budgets, topics. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Literal

from shared.model import Basis

USAGE_WINDOW = timedelta(days=7)
"""What is told of a service's traffic is told of so long."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What one Cloud Run service did within `USAGE_WINDOW`, as Cloud Monitoring has it.

    Attributes:
        requests: Requests answered, whatever with.
        billable_seconds: Seconds of instances that were billed, added up over instances.
        cpu: 99th percentile of the share of the CPU limit that was used, 0.4 for 40 percent, of the busiest revision; None where nothing ran.
        memory: The same of the memory limit.
    """

    requests: int = 0
    billable_seconds: float = 0.0
    cpu: float | None = None
    memory: float | None = None


@dataclass(frozen=True, slots=True)
class Execution:
    """One execution of a Cloud Run job that has not ended.

    Attributes:
        name: The full name, ``projects/P/locations/R/jobs/J/executions/E``.
        labels: The labels of the execution, with those of its job.
        created: When it was started, UTC.
        running: How many of its tasks run now.
        cpu: vCPU of one task, over all containers.
        memory_gib: GiB of one task.
        gpu: The accelerator's name, empty where there is none.
        gpu_zonal_redundancy: Whether the accelerator is kept in several zones.
    """

    name: str
    labels: Mapping[str, str]
    created: datetime
    running: int
    cpu: float
    memory_gib: float
    gpu: str = ""
    gpu_zonal_redundancy: bool = False


StockKind = Literal["live", "noncurrent", "soft_deleted", "multipart"]


@dataclass(frozen=True, slots=True)
class Stock:
    """What a bucket holds of one kind and storage class, as Cloud Monitoring measured it within the last days.

    Attributes:
        kind: ``live`` objects, ``noncurrent`` versions, ``soft_deleted`` ones, or the parts of ``multipart`` uploads that were not completed.
        storage_class: ``STANDARD`` (regional and multi-regional ones too), ``NEARLINE``, ``COLDLINE`` or ``ARCHIVE``.
        bytes: How much.
    """

    kind: StockKind
    storage_class: str
    bytes: int


@dataclass(frozen=True, slots=True)
class BudgetSeen:
    """A budget as the Budget API tells it.

    Attributes:
        name: ``billingAccounts/A/budgets/ID``.
        display_name: As people know it; not unique.
        amount: What it allows in a period; None where that is what the last period cost.
        currency: ISO 4217; empty where the amount is the last period's.
        projects: ``projects/NUMBER``, those that it watches; none means all of the account.
        services: ``services/ID``, those that it watches; none means all.
        credits: ``INCLUDE_ALL_CREDITS``, ``EXCLUDE_ALL_CREDITS`` or ``INCLUDE_SPECIFIED_CREDITS``.
        labels: Whether it watches only what carries some label.
        calendar_period: ``MONTH``, ``QUARTER``, ``YEAR``; empty where the period is a custom one.
        custom_end: The last day of a custom period; None where it has none, or is no such period.
        thresholds: Each as its share, 0.9 for 90 percent, and the spend that it counts.
        topic: ``projects/P/topics/T``; empty where it is connected to none.
        project_recipients: Whether the owners of the projects get its e-mail messages.
    """

    name: str
    display_name: str
    amount: Decimal | None
    currency: str
    projects: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    credits: str = "INCLUDE_ALL_CREDITS"
    labels: bool = False
    calendar_period: str = "MONTH"
    custom_end: date | None = None
    thresholds: tuple[tuple[Decimal, Basis], ...] = ()
    topic: str = ""
    project_recipients: bool = False

    @property
    def account(self) -> str:
        """Its billing account, without ``billingAccounts/``."""
        return self.name.split("/")[1]

    @property
    def budget_id(self) -> str:
        """Its id, as budget messages name it."""
        return self.name.rsplit("/", 1)[-1]


@dataclass(frozen=True, slots=True)
class SubscriptionSeen:
    """A subscription of a topic.

    Attributes:
        name: ``projects/P/subscriptions/S``.
        dead_letter_topic: Where messages go that nobody took; empty where they go nowhere.
        expires_after: After so long without a subscriber it is deleted; None where never.
        push_endpoint: Where it delivers to; empty where it is pulled.
        undelivered: Messages that wait in it now, as Cloud Monitoring has it; None where that is not known.
    """

    name: str
    dead_letter_topic: str = ""
    expires_after: timedelta | None = None
    push_endpoint: str = ""
    undelivered: int | None = None


@dataclass(frozen=True, slots=True)
class TopicSeen:
    """A topic that a budget or the watchdog uses.

    Attributes:
        name: ``projects/P/topics/T``.
        use: What for: ``budgets``, ``tasks`` or ``dead letters``.
        exists: Whether it is there.
        publishers: The members of its own IAM policy that may publish (``roles/pubsub.publisher``, ``editor``, ``admin``); None where that is not known.
        subscriptions: Its subscriptions; None where they are not known.
    """

    name: str
    use: Literal["budgets", "tasks", "dead letters"]
    exists: bool = True
    publishers: tuple[str, ...] | None = None
    subscriptions: tuple[SubscriptionSeen, ...] | None = None
