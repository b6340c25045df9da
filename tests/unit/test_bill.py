"""The model of what the watchdog itself costs, and the figures of the README, which are the model's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.bill import LARGE, MONTH, SMALL, Assumed, Team, Use, bill, table, total

USE = Use()
README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")


def line(team: Team, what: str, use: Use = USE) -> float:
    """The units of one line, where no event means anything."""
    (row,) = [row for row in bill(team, use, replace(Assumed(), signs=0.0)) if row.what.startswith(what)]
    return row.units


def test_the_table_of_the_readme_is_the_models() -> None:
    """Each line of it stands there, one below the other."""
    assert "\n".join(table(bill(SMALL), bill(LARGE))) in README


def test_a_small_team_pays_less_than_a_dollar() -> None:
    """So says the README, of a billing account whose free tiers nothing else uses up."""
    assert total(bill(SMALL))[1] < 1
    assert "a small team less than a dollar a month" in README


@pytest.mark.parametrize("team", [SMALL, LARGE])
def test_the_sums_are_those_of_the_lines(team: Team) -> None:
    """What is due is never more than the list price, and both columns add up to the cent."""
    rows = bill(team)
    assert all(0 <= row.due <= row.listed for row in rows)
    assert total(rows) == (round(sum(row.listed for row in rows), 2), round(sum(row.due for row in rows), 2))


def test_rare_events_are_billed_by_the_tenth_of_a_second_and_many_by_the_clock() -> None:
    """Time with any number of requests is billed once: a hundred thousand events take a tenth of a second each, and no rate takes more than the month on one instance."""
    none, few, many = (line(Team("", 0, 0, events), "Cloud Run, processor") for events in (0, 100_000, 100_000_000))
    assert few - none == pytest.approx(10_000, rel=0.01)
    assert 0.9 * MONTH < many - none <= MONTH


def test_more_than_one_instance_takes_is_billed_by_its_cpu() -> None:
    """Twice the CPU of an instance is two instances."""
    none, all_of_it = (line(Team("", 0, 0, events), "Cloud Run, processor", Use(event_cpu=2 * MONTH / 1e9)) for events in (0, 10**9))
    assert all_of_it - none == pytest.approx(2 * MONTH)


def test_a_message_is_sent_twice_and_counts_a_thousand_bytes_at_least() -> None:
    """Published and delivered, as Pub/Sub bills it."""
    small, at_least = (line(replace(SMALL, events=10**6), "Pub/Sub", Use(event_bytes=size)) for size in (10, 1_000))
    large = line(replace(SMALL, events=10**6), "Pub/Sub", Use(event_bytes=2_000))
    assert small == at_least
    assert large - at_least == pytest.approx(2 * 10**9 / 1024**3)


def test_messages_that_come_seldom_start_a_process_each() -> None:
    """Of one budget each finds none alive, and pays for the start; of fifty budgets one keeps it alive for the next."""

    def seconds(team: Team, cold: float) -> float:
        return bill(team, assumed=replace(Assumed(), cold=cold))[0].units

    assert seconds(SMALL, 3.0) > seconds(SMALL, 0.0)
    assert seconds(LARGE, 3.0) == seconds(LARGE, 0.0)
