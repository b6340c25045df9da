"""What the watchdog itself costs a month: a model of what it asks of Google Cloud, at list prices.

What is counted (calls, by `tests/e2e/test_own_cost.py`) or measured (CPU, bytes, by `python -m tests.bench bill`) stands in `Use`; what is assumed, since no
stand-in can say it, stands in `Assumed`. The free tiers belong to the billing account, so there are two sums: without them, and where nobody else uses them up.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

MONTH = 730.5 * 3600
"""Seconds."""
TICKS = 43_830
"""A month's minutes."""
GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Price:
    """A list price of us-central1 in US dollars, as published in November 2026.

    Attributes:
        dollars: For one unit.
        free: Units a month that a billing account does not pay for.
        source: Where it stands.
    """

    dollars: float
    free: float
    source: str


_RUN = "https://cloud.google.com/run/pricing"
_STORAGE = "https://cloud.google.com/storage/pricing"
VCPU_SECOND = Price(0.000024, 180_000, _RUN)
GIB_SECOND = Price(0.0000025, 360_000, _RUN)
REQUEST = Price(0.40 / 1e6, 2_000_000, _RUN)
CLASS_A = Price(0.005 / 1000, 5_000, _STORAGE)
CLASS_B = Price(0.0004 / 1000, 50_000, _STORAGE)
STORED_GIB = Price(0.020, 5, _STORAGE)
PUBSUB_GIB = Price(40 / 1024, 10, "https://cloud.google.com/pubsub/pricing")
LOG_GIB = Price(0.50, 50, "https://cloud.google.com/stackdriver/pricing")
JOB = Price(0.10, 3, "https://cloud.google.com/scheduler/pricing")
SECRET = Price(0.06, 6, "https://cloud.google.com/secret-manager/pricing")
IMAGE_GIB = Price(0.10, 0.5, "https://cloud.google.com/artifact-registry/pricing")


@dataclass(frozen=True, slots=True)
class Calls:
    """What one invocation asks for.

    Attributes:
        a: Writes to and listings of Cloud Storage (Class A).
        b: Reads of it (Class B).
        other: Calls that cost time alone: Cloud Run's API and Slack.
    """

    a: int
    b: int
    other: int = 0


@dataclass(frozen=True, slots=True)
class Use:
    """What was counted and measured.

    Attributes:
        tick: A tick with nothing due.
        look: What a tick or a message adds for each entry that parks something, to see whether it still is.
        message: A budget message that reaches no new step, without those looks.
        step: A step that is carried out on one service.
        policy: Reading the policy anew.
        cpu: Seconds of CPU of an invocation that is no storage event, at most.
        event_cpu: Seconds of CPU of a storage event that means nothing.
        event_bytes: The notification of an object: data and attributes, with the links that the stand-in's has not.
        line_bytes: A line of the log, as Cloud Logging keeps it.
    """

    tick: Calls = Calls(2, 5)
    look: Calls = Calls(4, 4, 2)
    message: Calls = Calls(2, 6, 1)
    step: Calls = Calls(13, 26, 8)
    policy: Calls = Calls(0, 2)
    cpu: float = 0.03
    event_cpu: float = 0.0004
    event_bytes: int = 1_300
    line_bytes: int = 400


@dataclass(frozen=True, slots=True)
class Assumed:
    """What is assumed.

    Attributes:
        storage: Seconds of a call to Cloud Storage.
        other: Seconds of any other call.
        cold: Seconds that a process takes to start; they are billed.
        messages: Budget messages a day, of each budget; Google promises "several".
        parked: The share of the month in which a budget has something parked.
        entries: Entries of a budget that park something then.
        alerts: Steps that a budget reaches a month.
        request_log: Bytes of the line that Cloud Run itself writes for each request.
        stored: GiB in the state bucket, with its old versions.
        image: GiB of the functions' images.
        signs: The share of storage events that mean something, so that the journal is written.
    """

    storage: float = 0.05
    other: float = 0.2
    cold: float = 3.0
    messages: int = 48
    parked: float = 0.5
    entries: int = 2
    alerts: int = 3
    request_log: int = 1_000
    stored: float = 0.1
    image: float = 0.6
    signs: float = 1e-5


@dataclass(frozen=True, slots=True)
class Team:
    """Who uses it.

    Attributes:
        name: For people.
        budgets: How many.
        services: Services that the steps of the budgets park.
        events: Storage events a month.
    """

    name: str
    budgets: int
    services: int
    events: int


SMALL = Team("a small team", 1, 40, 100_000)
LARGE = Team("a large team", 50, 2_000, 100_000_000)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the bill.

    Attributes:
        what: For people.
        units: How many a month.
        unit: Of what.
        listed: Dollars at the list price.
        due: Dollars beyond the free tier.
    """

    what: str
    units: float
    unit: str
    listed: float
    due: float


def bill(team: Team, use: Use = Use(), assumed: Assumed = Assumed()) -> tuple[Row, ...]:
    """The bill of a month, line by line."""
    work = list(_work(team, use, assumed))
    events = _event_seconds(team, use)
    seconds = events + sum(times * _billed(calls, use, assumed, cold) for times, calls, cold in work)
    requests = team.events + sum(times for times, _, _ in work[:2])
    a, b = (sum(times * getattr(calls, kind) for times, calls, _ in work) for kind in "ab")
    # A message is billed when it is published and when it is delivered, each time for at least 1,000 bytes.
    sent = 2 * (team.events * max(1_000, use.event_bytes) + (requests - team.events) * 1_000) / GIB
    # Storage events that are answered leave no line: terraform/functions.tf excludes those of Cloud Run, and the function writes none.
    logs = (requests - team.events) * (assumed.request_log + use.line_bytes) / GIB
    return (
        _row("Cloud Run, processor", seconds, "vCPU-seconds", VCPU_SECOND),
        _row("Cloud Run, memory", seconds / 2, "GiB-seconds", GIB_SECOND),
        _row("Cloud Run, requests", requests, "requests", REQUEST),
        _row("Cloud Storage, writes and listings (Class A)", a, "calls", CLASS_A),
        _row("Cloud Storage, reads (Class B)", b, "calls", CLASS_B),
        _row("Cloud Storage, the journal and its versions", assumed.stored, "GiB", STORED_GIB),
        _row("Pub/Sub, published and delivered", sent, "GiB", PUBSUB_GIB),
        _row("Cloud Logging, without storage events", logs, "GiB", LOG_GIB),
        _row("Cloud Scheduler", 2, "jobs", JOB),
        _row("Secret Manager", 2, "versions", SECRET),
        _row("Artifact Registry", assumed.image, "GiB", IMAGE_GIB),
    )


def total(rows: tuple[Row, ...]) -> tuple[float, float]:
    """Both sums, of what the lines show, so that the columns add up."""
    return round(sum(row.listed for row in rows), 2), round(sum(row.due for row in rows), 2)


def table(small: tuple[Row, ...], large: tuple[Row, ...]) -> list[str]:
    """Both bills as lines of Markdown."""
    lines = [
        f"| a month | {SMALL.name} | list price | beyond the free tiers | {LARGE.name} | list price | beyond the free tiers |",
        "|---|---|---|---|---|---|---|",
    ]
    for mine, theirs in zip(small, large, strict=True):
        lines.append(
            f"| {mine.what} | {_units(mine)} | {_pair(mine.listed, mine.due)} | {_units(theirs)} | {_pair(theirs.listed, theirs.due)} |"
        )
    lines.append(f"| **all** | | {_pair(*total(small), bold=True)} | | {_pair(*total(large), bold=True)} |")
    return lines


def _work(team: Team, use: Use, assumed: Assumed) -> Iterator[tuple[float, Calls, float]]:
    """What is done a month besides looking at objects' names: how often, what it asks for, and seconds of starting. The first two are requests of their own."""
    messages = team.budgets * assumed.messages * MONTH / 86_400
    entries = team.budgets * assumed.entries * assumed.parked
    # A process ends after a quarter of an hour without a request: messages of one budget find none, those of fifty keep one.
    cold = assumed.cold if messages < MONTH / 900 else 0.0
    yield TICKS, use.tick, 0.0
    yield messages, use.message, cold
    yield entries * MONTH / 900 + messages * assumed.entries * assumed.parked, use.look, 0.0
    yield team.budgets * assumed.alerts, use.step, 0.0
    yield team.services * assumed.alerts, Calls(0, 0, 4), 0.0
    yield team.events * assumed.signs, Calls(1, 2), 0.0
    yield 3 * MONTH / 300, use.policy, 0.0  # each process that is kept alive, and there are three


def _billed(calls: Calls, use: Use, assumed: Assumed, cold: float) -> float:
    """Seconds that an invocation is billed for, in steps of 100 ms."""
    return math.ceil(10 * (cold + (calls.a + calls.b) * assumed.storage + calls.other * assumed.other + use.cpu)) / 10


def _event_seconds(team: Team, use: Use) -> float:
    """Seconds in which an instance answers at least one storage event.

    Time is billed once however many requests are answered in it, in steps of 100 ms. Events that come at random at a mean rate leave the share e^-(rate * step) of
    those steps empty; where one instance is not enough for the CPU that they take, there are more.
    """
    rate = team.events / MONTH
    return MONTH * max(1 - math.exp(-rate * 0.1), rate * use.event_cpu)


def _row(what: str, units: float, unit: str, price: Price) -> Row:
    return Row(what, units, unit, round(units * price.dollars, 2), round(max(0.0, units - price.free) * price.dollars, 2))


def _units(row: Row) -> str:
    return f"{row.units:,.1f} {row.unit}" if row.unit == "GiB" else f"{float(f'{row.units:.3g}'):,.0f} {row.unit}"


def _pair(listed: float, due: float, *, bold: bool = False) -> str:
    mark = "**" if bold else ""
    return f"{mark}${listed:,.2f}{mark} | {mark}${due:,.2f}{mark}"
