"""What the watchdog costs by itself: the tick that finds nothing to do."""

from __future__ import annotations

import re
from decimal import Decimal

from sandbox.cloud import ROOT
from sandbox.estate import BUDGET_ID
from tests.e2e.harness import InProcess

TICKS = 43_830
"""A month's minutes."""


def test_a_quiet_tick(in_process: InProcess) -> None:
    """Two listings and five reads, whether or not something is parked, and no call to anything else; docs/deployment.md reckons with it."""
    calls = in_process.sandbox.faults.calls
    for spent in (1_000, 8_200):
        in_process.sandbox.budgets.spend(BUDGET_ID, Decimal(spent))
        in_process.drain()
        in_process.tick()
        calls.clear()
        in_process.tick()
        assert calls == {"storage.objects.list": 2, "storage.objects.get": 5}


def test_a_message_that_comes_again(in_process: InProcess) -> None:
    """It is met with reads of the journal alone: nothing is written, no service is looked at, and Slack is told nothing."""
    calls = in_process.sandbox.faults.calls
    in_process.sandbox.budgets.spend(BUDGET_ID, Decimal(8_200))
    in_process.drain()
    message = in_process.sandbox.pubsub.messages(in_process.sandbox.budget_topic)[-1]
    for _ in range(2):
        calls.clear()
        assert in_process.deliver(message) == 200
        assert set(calls) == {"storage.objects.get"}
        assert calls["storage.objects.get"] <= 8


def test_the_sum() -> None:
    """The columns of the table add up, and the figures of Cloud Storage are those of the quiet tick."""
    table = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8").split("## What it costs\n", 1)[1].split("\n## ", 1)[0]
    rows = [[cell.strip(" *$") for cell in row.split("|")[1:-1]] for row in re.findall(r"^\|.*\|$", table, flags=re.MULTILINE)][2:]
    *parts, whole = rows
    for column in (2, 3):
        assert sum(Decimal(row[column]) for row in parts) == Decimal(whole[column])
    assert Decimal(whole[3]) < 1
    assert [row[1] for row in parts[:2]] == [f"{2 * TICKS:,}", f"{round(5 * TICKS + 2 * TICKS / 5, -2):,.0f}"]
