"""Much at once: a burst of budget messages, many storage events on one instance, and a journal with thousands of entries; each beside a baseline.

One instance is one process as the platform runs it: functions-framework under gunicorn, with as many threads as the instance takes requests at once. Pub/Sub
holds back what an instance does not take, so a message of a burst is late by the time that those before it take; nothing is lost by it.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.boot import BARE
from tests.bench.events import POLICY as ARTIFACTS
from tests.bench.events import Served, post, pubsub, served
from tests.bench.pushes import push
from tests.bench.server import Server
from tests.envelopes import attributes, body, encode, headers, payload

BUDGETS, LEVELS, REPEATS = 50, 12, 5
ACTING = 10
"""Budgets that go through all their steps; the others only say how they stand. Slack takes one message a second for a channel, so each step costs a second."""
OFFERED = 1_000
"""Budget messages a second."""
AT_ONCE = {"budget_alert": 4, "storage_event": 80, "task": 4}
EVENTS, TURNS = 6_000, 5
TICKS = 9
JOURNALS = ((10, 0), (10_000, 0), (10, 10_000))
"""Open entries that wait, and closed ones."""


def run(console: Console, root: Path) -> None:
    """Measure and print."""
    bare = root / ".cache" / "bare.py"
    bare.parent.mkdir(exist_ok=True)
    bare.write_text(BARE)
    _burst(console, root, bare)
    _flood(console, root, bare)
    _journal(console, root)


# a burst of budget messages


def _burst(console: Console, root: Path, bare: Path) -> None:
    table = Table(
        "messages", "function", "a second", "p50 ms", "p99 ms", "answer p50 ms", "CPU ms each", "peak MiB", "delivered again", "calls each",
        title=f"{BUDGETS} budgets, {LEVELS} messages of each, {OFFERED:,} a second offered to one instance at {AT_ONCE['budget_alert']} at once",
    )  # fmt: skip
    found: dict[str, Any] = {}
    for name, repeats in (("each once", 1), (f"each {REPEATS} times", REPEATS)):
        server = Server(root)
        try:
            server.ask(do="teams", services=BUDGETS)
            policy = root / ".cache" / "load.yaml"
            policy.write_text(_policy())
            environment = {**server.environment, "WATCHDOG_POLICY": str(policy), "K_SERVICE": "cost-watchdog-budget-alert"}
            posts = _messages(repeats)
            for title, source, target in (("an empty function", bare, "bare"), ("budget_alert", root / "main.py", "budget_alert")):
                with served(title, source, target, {**environment, "THREADS": str(AT_ONCE["budget_alert"])}) as function:
                    server.ask(do="forget")
                    _pushed(table, f"{len(posts):,}, {name}", function, posts, server)
                    calls = server.ask(do="calls")
                    if repeats > 1:
                        server.ask(do="forget")
                        _pushed(table, f"{len(posts):,}, all once more", function, posts, server)
            found[name] = {"calls": calls, **server.ask(do="outcome")}
        finally:
            server.close()
    console.print(table)
    for name, each in found.items():
        calls = ", ".join(f"{count:,} {method}" for method, count in sorted(each["calls"].items(), key=lambda item: -item[1]))
        console.print(
            f"{name}: {each['steps']} steps carried out, {each['different']} different ones of {3 * ACTING}, {each['open']} still open; "
            f"{each['parked']} of {ACTING} services run no more\n  {calls}"
        )


def _pushed(table: Table, what: str, function: Served, posts: list[bytes], server: Server) -> None:
    before = function.used()
    answers = push(function.port, posts, at_once=AT_ONCE["budget_alert"], rate=OFFERED)
    cpu, calls = function.used() - before, sum(server.ask(do="calls").values())
    table.add_row(
        what, function.name, f"{answers.rate:,.0f}", *(f"{1000 * each:,.0f}" for each in answers.late(0.5, 0.99)), f"{1000 * answers.took(0.5):.1f}",
        f"{1000 * cpu / len(posts):.1f}", f"{function.peak():.0f}", f"{answers.again:,}", f"{calls / len(posts):.1f}",
    )  # fmt: skip


def _policy() -> str:
    rules = "".join(
        f"""
  - budget: Team {number:02}
    steps:
      - at: 50%
        do: [notify]
      - at: 80%
        do:
          - scale_to_zero: {{select: {{labels: {{team: team-{number:02}}}}}, to: idle}}
      - at: 100%
        do:
          - scale_to_zero: {{select: {{labels: {{team: team-{number:02}}}}}, to: stopped}}"""
        for number in range(BUDGETS)
    )
    return f"""
version: 1
mode: enforce
scope: {{projects: [acme-ml-staging], regions: [us-east1]}}
limits: {{per_hour: 1000}}
slack: {{channel: "#ml-cost"}}
budgets:{rules}
"""


def _messages(repeats: int) -> list[bytes]:
    """The messages of all budgets, each with its repeats, in no order."""
    now = datetime.now(UTC)
    start = now.replace(day=1, hour=8, minute=0, second=0, microsecond=0)
    posts = []
    for number in range(BUDGETS):
        for level in range(LEVELS):
            sent = now - timedelta(minutes=20 * (LEVELS - level))
            message = f"{number}-{level}"
            data = payload(
                (10 if number < ACTING else 4) * (level + 1), budgetDisplayName=f"Team {number:02}", costIntervalStart=start.isoformat()
            )
            about = attributes(budgetId=f"de72f49d-779b-4945-a127-4d6ce8de{number:04}")
            posts += [post(headers(message, sent), encode(body(encode(data), about, message, sent)))] * repeats
    Random(7).shuffle(posts)
    return posts


# storage events


def _flood(console: Console, root: Path, bare: Path) -> None:
    policy = root / ".cache" / "events.yaml"
    policy.write_text(ARTIFACTS)
    settings = {"GOOGLE_CLOUD_PROJECT": "acme-ml-watchdog", "WATCHDOG_STATE_BUCKET": "acme-ml-state", "WATCHDOG_POLICY": str(policy)}
    table = Table(
        "threads", "function", "events/s", "ratio", "p50 ms", "p99 ms", "CPU ms an event", "ratio", "peak MiB",
        title=f"storage events that match nothing, {AT_ONCE['storage_event']} at once on one instance, {TURNS} turns of {EVENTS:,}",
    )  # fmt: skip
    posts = [pubsub(number) for number in range(EVENTS)]
    for threads in (4, AT_ONCE["storage_event"]):
        with ExitStack() as stack:
            both = [
                stack.enter_context(served(name, source, target, {**settings, "THREADS": str(threads)}))
                for name, source, target in (("an empty function", bare, "bare"), ("storage_event", root / "main.py", "storage_event"))
            ]
            turns: list[list[_Turn]] = [[], []]
            for turn in range(TURNS):
                for which in (0, 1) if turn % 2 else (1, 0):
                    turns[which].append(_turn(both[which], posts))
            empty = turns[0]
            for function, mine in zip(both, turns, strict=True):
                rate, cpu = (statistics.median(each.rate for each in mine), statistics.median(each.cpu for each in mine))
                late = [statistics.median(each.took[which] for each in mine) for which in (0, 1)]
                table.add_row(
                    str(threads), function.name, f"{rate:,.0f}", f"{statistics.median(a.rate / b.rate for a, b in zip(mine, empty, strict=True)):.0%}",
                    *(f"{1000 * each:.0f}" for each in late), f"{1000 * cpu:.3f}",
                    f"{statistics.median(a.cpu / b.cpu for a, b in zip(mine, empty, strict=True)):.2f}x", f"{function.peak():.0f}",
                )  # fmt: skip
    console.print(table)


@dataclass(frozen=True, slots=True)
class _Turn:
    rate: float
    cpu: float
    took: tuple[float, float]


def _turn(function: Served, posts: list[bytes]) -> _Turn:
    before = function.used()
    answers = push(function.port, posts, at_once=AT_ONCE["storage_event"])
    assert answers.again == 0
    return _Turn(answers.rate, (function.used() - before) / len(posts), (answers.took(0.5), answers.took(0.99)))


# a journal


def _journal(console: Console, root: Path) -> None:
    table = Table(
        "open entries",
        "closed",
        "tick ms",
        "ratio",
        "CPU ms",
        "peak MiB",
        "calls",
        title=f"a tick that finds nothing due, median of {TICKS}",
    )
    first = 0.0
    for waiting, closed in JOURNALS:
        with _state(root, waiting, closed) as (server, environment), served("task", root / "main.py", "task", environment) as function:
            tick = post(headers(), encode(body(b'{"task": "tick"}', None)))
            push(function.port, [tick] * 2, at_once=1)  # the first tests the watchdog's own permissions and looks for silent budgets
            server.ask(do="forget")
            before, times = function.used(), [push(function.port, [tick], at_once=1).took(0.5) for _ in range(TICKS)]
            cpu, calls = (function.used() - before) / TICKS, server.ask(do="calls")
            median = statistics.median(times)
            first = first or median
            table.add_row(
                f"{waiting:,}", f"{closed:,}", f"{1000 * median:.0f}", f"{median / first:.1f}x", f"{1000 * cpu:.0f}", f"{function.peak():.0f}",
                ", ".join(f"{count / TICKS:g} {method}" for method, count in sorted(calls.items())),
            )  # fmt: skip
    console.print(table)


@contextmanager
def _state(root: Path, waiting: int, closed: int) -> Iterator[tuple[Server, dict[str, str]]]:
    server = Server(root)
    try:
        server.ask(do="journal", waiting=waiting, closed=closed)
        yield server, {**server.environment, "K_SERVICE": "cost-watchdog-task", "THREADS": str(AT_ONCE["task"])}
    finally:
        server.close()
