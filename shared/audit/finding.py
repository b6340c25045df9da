"""What an audit says about one thing. Pure."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Literal

from pydantic import Field

from shared.audit.category import Category
from shared.record import Record

Severity = Literal["high", "medium", "low"]
SEVERITIES: tuple[Severity, ...] = ("high", "medium", "low")

HIGH_FROM = Decimal(500)
"""US dollars a month: a saving of so much makes a finding high by itself."""
MEDIUM_FROM = Decimal(20)
"""US dollars a month: a saving of so much makes a finding medium by itself."""


class Saving(Record):
    """What mending a finding would save: an estimate at list price."""

    monthly: Decimal = Field(ge=0, description="US dollars a month, once it counts.")
    basis: str = Field(description="What the estimate rests on: quantities, prices with their date, and what is not in it.")
    begins: datetime | None = Field(default=None, description="From when on it counts; null where at once, or as the basis says.")
    once: Decimal = Field(default=Decimal(0), ge=0, description="US dollars that mending costs once.")


class Finding(Record):
    """One thing that is wrong, or costs more than it has to."""

    id: str = Field(description="The same for the same finding in every audit: CHECK:RESOURCE.")
    check: str = Field(description="The check that found it; the name of its file in shared/checks.")
    category: Category
    severity: Severity = Field(description="high: act now; medium: worth mending; low: good to know.")
    resource: str = Field(description="The full name of what it is about.")
    what: str = Field(description="What is wrong, in one sentence without a full stop.")
    why: str = Field(description="Why that costs, or why it matters.")
    saving: Saving | None = Field(default=None, description="Null where nothing is saved, or where it cannot be told.")
    meter: str = Field(
        default="", description="What the money is spent on. Of findings with the same meter only the largest saving is added up."
    )
    mend: tuple[str, ...] = Field(
        default=(), description="Commands that mend it, or what to do in words; run them only after reading them."
    )
    policy: str = Field(default="", description="Whether the watchdog's policy would mend it, and when; empty where that does not apply.")
    labels: dict[str, str] = Field(default={}, description="The labels of the resource, to find out whose it is.")


def severity_of(saving: Decimal) -> Severity:
    """How grave a finding is that is about nothing but money."""
    return "high" if saving >= HIGH_FROM else "medium" if saving >= MEDIUM_FROM else "low"


def is_command(mend: str) -> bool:
    """Whether a line of what mends a finding is to be typed into a shell; else it is said in words."""
    return mend.partition(" ")[0] in ("echo", "gcloud", "python", "zstd")
