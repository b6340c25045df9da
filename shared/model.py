"""The nouns that travel between the parts: frozen, comparable, with no behaviour that reaches outside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Literal

Basis = Literal["actual", "forecast"]
NO_LABELS: Mapping[str, str] = MappingProxyType({})
EVERYWHERE = "everywhere"
"""In place of a region: all of a project, for kinds of resources that are listed by project."""
BY_PROJECT = frozenset({"bucket"})
"""Those kinds; all others are listed region by region."""


@dataclass(frozen=True, slots=True)
class BudgetNotification:
    """One budget status message, decoded.

    Attributes:
        billing_account: For example ``01D4EE-079462-DFD6EC``.
        budget_id: The budget's uuid; the display name is not unique and may be edited.
        budget_name: The display name, as a person knows it.
        cost: Spend since the period's start, in `currency`.
        amount: The budget's amount in `currency`; may be 0.
        currency: ISO 4217.
        period_start: The first instant of the budget's period, UTC.
        actual_threshold: The highest actual-spend threshold exceeded, 0.9 for 90 percent; None where the message names none.
        forecast_threshold: The same for forecast spend.
        message_id: Pub/Sub's id of the message.
        sent_at: When the message was published, UTC.
    """

    billing_account: str
    budget_id: str
    budget_name: str
    cost: Decimal
    amount: Decimal
    currency: str
    period_start: datetime
    actual_threshold: Decimal | None
    forecast_threshold: Decimal | None
    message_id: str
    sent_at: datetime

    def __post_init__(self) -> None:
        """Times without a zone cannot be compared with any other.

        Raises:
            ValueError: One of them has none.
        """
        if self.period_start.tzinfo is None or self.sent_at.tzinfo is None:
            raise ValueError("a time names no time zone")

    def level(self, basis: Basis) -> Decimal:
        """The share of the budget that is spent or forecast: the larger of what is computed and what the message says.

        A budget of 0 has no computed share; there the message's own threshold counts alone.
        """
        if basis == "forecast":
            return self.forecast_threshold or Decimal(0)
        computed = self.cost / self.amount if self.amount > 0 else Decimal(0)
        return max(computed, self.actual_threshold or Decimal(0))


@dataclass(frozen=True, slots=True)
class Place:
    """Where to look: one project and region, or the whole of a project, with `EVERYWHERE`."""

    project: str
    region: str

    def __str__(self) -> str:
        """The form that people read: ``project/region``."""
        return f"{self.project}/{self.region}"


@dataclass(frozen=True, slots=True)
class Resource:
    """A thing in the cloud as it was seen once.

    Attributes:
        kind: ``service``, ``worker_pool`` or ``bucket``.
        name: The full resource name, ``projects/P/locations/R/services/S``.
        labels: The resource's own labels.
        state: What an action may change about it, and nothing else, as plain JSON values; two observations with equal states need no change between them.
        etag: The version that a write must name.
        facts: What a plan needs to know besides (billing mode, GPU, revisions); never written back.
        last_modifier: Who changed it last, as the platform says.
    """

    kind: str
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    state: Mapping[str, Any] = field(default_factory=dict)
    etag: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    last_modifier: str = ""

    @property
    def place(self) -> Place:
        """Its project and region, read from the full name."""
        parts = self.name.split("/")
        return Place(parts[1], parts[3])

    @property
    def short_name(self) -> str:
        """The last segment of the full name."""
        return self.name.rsplit("/", 1)[-1]


@dataclass(frozen=True, slots=True)
class ObjectWritten:
    """The notice that an object was written, decoded.

    Attributes:
        bucket: The bucket's name.
        name: The object's name.
        generation: The version that was written.
        size: Bytes.
        created: When it was written, UTC.
    """

    bucket: str
    name: str
    generation: int
    size: int
    created: datetime


@dataclass(frozen=True, slots=True)
class StorageObject:
    """One generation of an object as a listing shows it.

    Attributes:
        name: The object's name.
        generation: Which version of it.
        size: Bytes.
        storage_class: ``STANDARD``, ``NEARLINE``, ``COLDLINE`` or ``ARCHIVE``.
        created: When this generation was written, UTC.
        crc32c: Its checksum as Cloud Storage writes it, base64.
        hold: Which hold keeps it, ``temporary hold`` or ``event-based hold``; empty where none does.
        retained_until: Until when a retention keeps it, UTC; None where none does.
        noncurrent_since: Since when it is noncurrent, UTC; None where it is live.
    """

    name: str
    generation: int
    size: int
    storage_class: str
    created: datetime
    crc32c: str = ""
    hold: str = ""
    retained_until: datetime | None = None
    noncurrent_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class BucketFacts:
    """What a plan needs to know of a bucket.

    Attributes:
        name: The bucket's name.
        location: Where it is, lower case: ``us-central1``, ``us``, ``nam4``.
        soft_delete: How long deleted objects can be brought back, and are billed; 0 where they are gone at once.
        versioned: Whether what is deleted or overwritten stays as a noncurrent version, and is billed.
        autoclass: Whether Cloud Storage moves objects between classes by itself, without early-deletion charges.
        labels: The bucket's labels.
    """

    name: str
    location: str
    soft_delete: timedelta
    versioned: bool = False
    autoclass: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)


def canonical(value: Mapping[str, Any]) -> str:
    """JSON as the text that is the same for equal values, to know things by that have no name."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
