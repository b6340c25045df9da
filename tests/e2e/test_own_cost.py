"""What the watchdog costs by itself: calls counted on the stand-ins, and held against the model of its bill."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from sandbox.estate import BUDGET_ID
from tests.bench.bill import Calls, Use
from tests.e2e.harness import InProcess, ShiftedClock

USE = Use()
CLASS_A = ("storage.objects.insert", "storage.objects.list")
"""https://cloud.google.com/storage/pricing#operations-by-class; deletions are free."""
FREE = ("storage.objects.delete",)
CLASS_B = ("storage.objects.get",)


def counted(calls: dict[str, int]) -> Calls:
    """The calls by what they cost."""
    a, b = (sum(calls.get(name, 0) for name in names) for names in (CLASS_A, CLASS_B))
    return Calls(a, b, sum(count for name, count in calls.items() if name not in (*CLASS_A, *CLASS_B, *FREE)))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ShiftedClock:
    """The functions' clock, which can be moved."""
    made = ShiftedClock()
    monkeypatch.setattr("shared.clock.SystemClock", lambda: made)
    return made


def test_a_quiet_tick(in_process: InProcess) -> None:
    """Two listings and five reads, whether or not something is parked, and no call to anything else; the bill reckons with it."""
    calls = in_process.sandbox.faults.calls
    for spent in (1_000, 8_200):
        in_process.sandbox.budgets.spend(BUDGET_ID, Decimal(spent))
        in_process.drain()
        in_process.tick()
        calls.clear()
        in_process.tick()
        assert counted(calls) == USE.tick


def test_what_the_bill_reckons_with(clock: ShiftedClock, in_process: InProcess) -> None:
    """A routine message, a step that is carried out, and a look at what it parked ask for no more than the model says."""
    calls, budgets = in_process.sandbox.faults.calls, in_process.sandbox.budgets
    in_process.tick()
    found = {}
    for what, spent in (("first", 1_000), ("message", 1_100), ("step", 8_200)):
        calls.clear()
        budgets.spend(BUDGET_ID, Decimal(spent))
        in_process.drain()
        found[what] = counted(calls)
    clock.ahead = timedelta(minutes=16)
    calls.clear()
    in_process.tick()
    tick = counted(calls)
    found["look"] = Calls(tick.a - USE.tick.a, tick.b - USE.tick.b, tick.other)
    for what, allowed in (("message", USE.message), ("look", USE.look)):
        mine = found[what]
        assert (mine.a <= allowed.a, mine.b <= allowed.b, mine.other <= allowed.other) == (True, True, True), (what, mine)
    assert (found["step"].a <= USE.step.a, found["step"].b <= USE.step.b) == (True, True), found["step"]


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
