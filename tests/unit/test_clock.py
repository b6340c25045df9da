"""The system's clock."""

from __future__ import annotations

from datetime import UTC, datetime

from shared.clock import SystemClock
from shared.ports import Clock


def test_the_clock_is_the_systems() -> None:
    """It tells the time in UTC, never goes back, and waits."""
    clock: Clock = SystemClock()
    before, started = datetime.now(UTC), clock.monotonic()
    clock.sleep(0.002)
    assert before < clock.now() <= datetime.now(UTC)
    assert clock.now().tzinfo is UTC
    assert clock.monotonic() - started >= 0.002
