"""A handful of stories in which everything goes wrong, with real processes; `make chaos` plays thousands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos import schedule
from tests.chaos.clock import StoryClock
from tests.chaos.processes import Nursery
from tests.chaos.story import tell

SEEDS = (1, 2, 3, 29)


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    """Where the functions come from."""
    made = Nursery()
    yield made
    made.close()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_promises_hold_in_the_storm(seed: int, nursery: Nursery) -> None:
    """Protected never touched, each step once, nothing half deleted without a word, all put back, every message once."""
    verdict = tell(seed, nursery)
    assert not verdict.wrong, verdict.record


def test_a_schedule_is_made_of_its_seed_alone() -> None:
    """The same seed gives the same story, and another one another."""
    assert schedule.of(7) == schedule.of(7) != schedule.of(8)


def test_time_passes_for_everybody_and_clocks_are_set_for_the_functions(tmp_path: Path) -> None:
    """Whoever opens the same file lives in the same time; Google and Slack have the right time, whatever the functions' clocks say."""
    clock, other = StoryClock(tmp_path / "clock", fresh=True), StoryClock(tmp_path / "clock")
    clock.passes(3600)
    clock.is_set(-60)
    assert 3600 <= other.monotonic() <= clock.monotonic() < 3660
    assert -60.1 < other.time() - clock.right() < -59
    assert other.now() < clock.now()


def test_a_broken_product_is_caught() -> None:
    """Without the policy's protection the first story fails."""
    broken = Nursery("protects-nothing")
    try:
        verdict = tell(1, broken)
    finally:
        broken.close()
    assert any("which is protected, was written to" in sentence for sentence in verdict.wrong)
    assert "* all is healed" in verdict.record
