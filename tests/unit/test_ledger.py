"""What one rule deleted lately, and the limits that rest on it: how much at once, how much within a day, how many of all runs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from shared.errors import UnsafePlan
from shared.objects.job import ClassTally, Job, Tally
from shared.objects.ledger import Ledger, Position, raise_if_too_large, raise_if_too_many, raise_if_too_much
from shared.policy.artifacts import ArtifactLimits

NOW = datetime(2026, 11, 24, 14, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def a_job(run: str = "run-1", objects: int = 10, size: int = 100) -> Job:
    """The deletion of a run with so many objects of so many bytes in all."""
    tally = Tally(classes={"STANDARD": ClassTally(objects=objects, bytes=size)}, kept=5, kept_bytes=1000)
    return Job(action="delete_run", bucket="acme-ml-runs", prefix=f"runs/{run}/", rule="runs/{run}/", tally=tally)


def limits(**some: Any) -> ArtifactLimits:
    """Limits, as generous as they are unless it is said otherwise."""
    return ArtifactLimits.model_validate({key: f"{value}B" if "bytes" in key else value for key, value in some.items()})


# the record


def test_an_entrys_part_of_the_day_is_on_record_once() -> None:
    """Recorded again, it counts from the last time on, and with what it has then."""
    first = Ledger().reserve("k1", a_job(), NOW)
    again = first.reserve("k1", a_job(), NOW + HOUR)
    assert again == first.but(reservations={"k1": first.reservations["k1"].but(at=NOW + HOUR)})
    both = again.reserve("k2", a_job("run-2", 7, 70), NOW + HOUR)
    assert {key: (each.at, each.run, each.objects, each.bytes) for key, each in both.reservations.items()} == {
        "k1": (NOW + HOUR, "runs/run-1/", 10, 100),
        "k2": (NOW + HOUR, "runs/run-2/", 7, 70),
    }


def test_what_is_older_than_a_day_is_forgotten() -> None:
    """So the record does not grow for ever, and an entry that is worked on for the second time a day later counts again."""
    ledger = Ledger(swept_at=NOW, position=Position(after="x")).reserve("k1", a_job(), NOW).reserve("k2", a_job("run-2"), NOW + HOUR)
    later = ledger.reserve("k3", a_job("run-3"), NOW + DAY)
    assert set(later.reservations) == {"k2", "k3"}
    assert later.reserve("k1", a_job(), NOW + DAY).reservations["k1"].at == NOW + DAY
    assert (later.swept_at, later.position) == (NOW, Position(after="x"))


def test_the_runs_of_the_day() -> None:
    """A run with two entries is one run, and yesterday's are none."""
    ledger = Ledger().reserve("k1", a_job(), NOW).reserve("k2", a_job(), NOW + HOUR).reserve("k3", a_job("run-2"), NOW + HOUR)
    assert ledger.runs(NOW + HOUR) == {"runs/run-1/", "runs/run-2/"}
    assert ledger.runs(NOW + DAY) == {"runs/run-1/", "runs/run-2/"}
    assert ledger.runs(NOW + DAY + HOUR) == frozenset()


def test_a_run_that_was_refused_counts_for_a_day_as_one_that_was_to_go() -> None:
    """So that a broken rule does not get through bit by bit, as the runs that were refused before are no longer in the way; it has not gone, though."""
    ledger = Ledger().reserve("k1", a_job(), NOW).refuse("k2", "runs/run-2/", NOW).refuse("k3", "runs/run-3/", NOW + HOUR)
    assert ledger.runs(NOW + HOUR) == {"runs/run-1/", "runs/run-2/", "runs/run-3/"}
    assert ledger.gone(NOW + HOUR) == {"runs/run-1/"}
    assert ledger.runs(NOW + DAY) == {"runs/run-3/"}
    later = ledger.refuse("k4", "runs/run-4/", NOW + DAY)
    assert set(later.refused) == {"k3", "k4"}


def test_a_run_that_was_approved_is_no_longer_one_that_was_refused() -> None:
    """It is one that went."""
    ledger = Ledger().refuse("k1", "runs/run-1/", NOW).reserve("k1", a_job(), NOW)
    assert not ledger.refused
    assert ledger.gone(NOW) == {"runs/run-1/"}


# at once


def test_a_run_as_large_as_the_limits_goes() -> None:
    """The limits are what is still allowed; what the policy keeps does not count."""
    raise_if_too_large(a_job(objects=10, size=100), limits(objects=10, bytes=100))


def test_a_run_with_more_objects_is_refused() -> None:
    """With both numbers, and the name of the limit."""
    with pytest.raises(UnsafePlan, match=r"^it has 1,234 objects to delete, and limits\.objects allows 1,000$"):
        raise_if_too_large(a_job(objects=1234), limits(objects=1000))


def test_a_run_with_more_data_is_refused() -> None:
    """In units that people read."""
    with pytest.raises(UnsafePlan, match=r"^it has 2\.0 GiB to delete, and limits\.bytes allows 1GiB$"):
        raise_if_too_large(a_job(size=2 * 2**30), ArtifactLimits.model_validate({"bytes": "1GiB"}))


# within a day


def test_what_others_deleted_within_the_day_counts() -> None:
    """To the object: as much as the limit is allowed, one more is not."""
    ledger = Ledger().reserve("k1", a_job(objects=60), NOW)
    raise_if_too_much(ledger, "k2", a_job("run-2", 40), limits(objects_per_day=100), NOW + HOUR)
    with pytest.raises(UnsafePlan, match=r"^with it 101 objects would go within a day, and the rule's limits\.objects_per_day allows 100$"):
        raise_if_too_much(ledger, "k2", a_job("run-2", 41), limits(objects_per_day=100), NOW + HOUR)


def test_so_does_how_much_it_was() -> None:
    """The same with bytes."""
    ledger = Ledger().reserve("k1", a_job(size=600), NOW)
    raise_if_too_much(ledger, "k2", a_job("run-2", size=424), limits(bytes_per_day=1024), NOW + HOUR)
    with pytest.raises(UnsafePlan, match=r"^with it 1\.0 KiB would go within a day, and the rule's limits\.bytes_per_day allows 1KiB$"):
        raise_if_too_much(ledger, "k2", a_job("run-2", size=425), limits(bytes_per_day=1024), NOW + HOUR)


def test_an_entrys_own_part_does_not_count_twice() -> None:
    """It may be on record already, since the worker was killed after that."""
    ledger = Ledger().reserve("k1", a_job(objects=60), NOW)
    raise_if_too_much(ledger, "k1", a_job(objects=60), limits(objects_per_day=100), NOW + HOUR)


def test_what_went_a_day_ago_does_not_count() -> None:
    """A day is 24 hours and no calendar day."""
    ledger = Ledger().reserve("k1", a_job(objects=60), NOW)
    raise_if_too_much(ledger, "k2", a_job("run-2", 60), limits(objects_per_day=100), NOW + DAY)
    with pytest.raises(UnsafePlan):
        raise_if_too_much(ledger, "k2", a_job("run-2", 60), limits(objects_per_day=100), NOW + DAY - HOUR)


# of all runs


def runs(count: int) -> Iterator[str]:
    """So many runs."""
    return (f"runs/run-{number}/" for number in range(count))


@pytest.mark.parametrize(
    ("going", "of", "share"), [(1, 10, "0.1"), (5, 10, "0.5"), (10, 10, "1"), (3, 10, "0.34"), (1, 9, "0.05"), (9, 9, "0.5"), (9, 9, "0")]
)
def test_a_share_that_may_go(going: int, of: int, share: str) -> None:
    """Up to the share of all runs; where there are fewer than ten runs a share says nothing."""
    raise_if_too_many(going, runs(of), ArtifactLimits(share=Decimal(share)))


@pytest.mark.parametrize(("going", "of", "share"), [(2, 10, "0.1"), (6, 10, "0.5"), (1, 10, "0"), (34, 100, "0.333"), (1, 99, "0.01")])
def test_a_share_that_may_not_go(going: int, of: int, share: str) -> None:
    """One run more than the share."""
    with pytest.raises(
        UnsafePlan, match=rf"^{going} of {of} runs would go within a day, and the rule's limits\.share allows .+%; is the rule right"
    ):
        raise_if_too_many(going, runs(of), ArtifactLimits(share=Decimal(share)))


def test_no_more_runs_are_listed_than_it_takes_to_know() -> None:
    """In a bucket with a million runs it takes two to know that one is not more than half of them."""
    all_runs = runs(1_000_000)
    raise_if_too_many(1, all_runs, ArtifactLimits(share=Decimal("0.5")))
    assert next(all_runs) == "runs/run-2/"
