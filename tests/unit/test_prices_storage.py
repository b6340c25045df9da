"""What a deletion saves: the rules of the price list, in figures that can be followed by hand, and in words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.model import StorageObject
from shared.objects.job import Bucket, Tally, added
from shared.prices_storage import LISTED, MINIMUM, PER_GIB_MONTH, saving

GIB = 2**30
DAY = timedelta(days=1)
NOW = datetime(2026, 11, 24, 14, tzinfo=UTC)
NOTHING = Decimal(0)
FREED = NOW + timedelta(days=7)


def bucket(**changes: Any) -> Bucket:
    """A bucket as people create them."""
    return Bucket(**{"name": "acme-ml", "location": "us-central1", "soft_delete": timedelta(days=7), **changes})


def stored(gib: float, storage_class: str = "STANDARD", *, days: float = 0) -> StorageObject:
    """An object of that many GiB that was written so many days ago."""
    return StorageObject("x", 1, int(gib * GIB), storage_class, NOW - days * DAY)


def tally(*objects: StorageObject) -> Tally:
    """What a look adds up."""
    return added(Tally(), objects, MINIMUM, NOW)


@pytest.mark.parametrize(
    ("location", "storage_class", "dollars"),
    [
        ("us-central1", "STANDARD", "20.00"),
        ("US-CENTRAL1", "NEARLINE", "10.00"),
        ("us-central1", "COLDLINE", "4.00"),
        ("us-central1", "ARCHIVE", "1.20"),
        ("us-central1", "REGIONAL", "20.00"),
        ("us", "MULTI_REGIONAL", "26.00"),
        ("us-east4", "COLDLINE", "6.00"),
        ("nam4", "STANDARD", "44.00"),
        ("northamerica-south1", "ARCHIVE", "2.70"),
    ],
)
def test_a_thousand_gib_cost_what_the_list_says(location: str, storage_class: str, dollars: str) -> None:
    """Old objects save their whole price."""
    assert saving(tally(stored(1000, storage_class, days=400)), bucket(location=location), NOW).monthly == Decimal(dollars)


def test_the_listed_region_is_the_cheapest() -> None:
    """So what a location without a price of its own is reckoned with promises nothing that does not come."""
    for rates in PER_GIB_MONTH.values():
        assert all(rates[name] >= price for name, price in PER_GIB_MONTH[LISTED].items())


def test_what_is_deleted_is_billed_until_the_soft_delete_window_ends() -> None:
    """Without a window it counts at once."""
    kept = saving(tally(stored(405)), bucket(), NOW)
    assert (kept.monthly, kept.begins, kept.early) == (Decimal("8.10"), FREED, NOTHING)
    assert kept.words == "Saves about $8.10 a month from 1 Dec 2026 (list price)"
    gone = saving(tally(stored(405)), bucket(soft_delete=timedelta(0)), NOW)
    assert gone.begins == NOW
    assert gone.words == "Saves about $8.10 a month from 24 Nov 2026 (list price)"


def test_nothing_is_saved_while_noncurrent_versions_stay() -> None:
    """In a bucket with versions a plain delete frees nothing and charges nothing; the words name what ends that."""
    versions = bucket(versioned=True)
    plain = saving(tally(stored(1000, "ARCHIVE")), versions, NOW)
    assert (plain.monthly, plain.begins, plain.early) == (NOTHING, None, NOTHING)
    assert plain.words.startswith("Saves nothing while the noncurrent versions stay")
    assert "a lifecycle rule" in plain.words
    assert "`delete_noncurrent`" in plain.words
    for_good = saving(tally(stored(1000)), versions, NOW, noncurrent=True)
    assert (for_good.monthly, for_good.begins) == (Decimal("20.00"), FREED)


def test_a_two_day_old_archive_object_saves_nothing_for_363_days() -> None:
    """It is charged for the rest of its 365 days, of which the soft-delete window is billed anyway."""
    found = saving(tally(stored(1000, "ARCHIVE", days=2)), bucket(), NOW)
    assert found.begins
    assert found.begins.date() == NOW.date() + 363 * DAY
    assert found.early == Decimal("14.04")  # 1000 GiB at $0.0012 for 356 days, 30.4 to the month
    assert found.words == (
        "Saves nothing until 22 Nov 2027, since 1.0 TiB are 2 days into Archive's 365 and the rest is charged, about $14; "
        "about $1.20 a month after that (list price)"
    )


def test_the_words_of_a_coldline_run_of_three_days() -> None:
    """They say how far into the minimum duration it is."""
    found = saving(tally(stored(40, "COLDLINE", days=3)), bucket(), NOW)
    assert found.words.startswith(
        "Saves nothing until 19 Feb 2027, since 40.0 GiB are 3 days into Coldline's 90 and the rest is charged, about $0.42;"
    )
    assert found.begins
    assert found.begins.date() == (NOW + 87 * DAY).date()


def test_nothing_is_charged_where_soft_delete_keeps_it_to_the_end_of_its_minimum() -> None:
    """The window counts towards the minimum duration."""
    found = saving(tally(stored(1000, "NEARLINE", days=24)), bucket(), NOW)
    assert (found.begins, found.early) == (FREED, NOTHING)
    longer = saving(tally(stored(1000, "ARCHIVE", days=300)), bucket(soft_delete=timedelta(days=90)), NOW)
    assert longer.early == 0


def test_autoclass_charges_nothing_early() -> None:
    """Such a bucket has no early-deletion charges."""
    found = saving(tally(stored(1000, "ARCHIVE")), bucket(autoclass=True), NOW)
    assert (found.monthly, found.begins, found.early) == (Decimal("1.20"), FREED, NOTHING)


def test_a_small_charge_only_lessens_what_is_saved() -> None:
    """Where it is made up for on the first day, the words do not speak of nothing."""
    found = saving(tally(stored(1024), stored(1, "COLDLINE", days=1)), bucket(), NOW)
    assert (
        found.words
        == "Saves about $20 a month from 1 Dec 2026, less about $0.01 once, since 1.0 GiB are 1 day into Coldline's 90 (list price)"
    )
    assert found.begins
    assert FREED < found.begins < FREED + DAY / 2


def test_objects_of_several_classes_and_ages_are_named_each() -> None:
    """The begin is the day on which what is saved has made up for all of the charges."""
    found = saving(tally(stored(100, "NEARLINE", days=1), stored(100, "COLDLINE", days=2), stored(50, "COLDLINE", days=40)), bucket(), NOW)
    assert "since 100.0 GiB are 1 day into Nearline's 30, 150.0 GiB are 2 to 40 days into Coldline's 90 and" in found.words
    assert found.begins
    assert (NOW + 29 * DAY) < found.begins < (NOW + 88 * DAY)


def test_a_location_without_a_price_is_reckoned_with_the_listed_one_and_says_so() -> None:
    """An estimate does not look more exact than it is."""
    found = saving(tally(stored(405)), bucket(location="asia-east2"), NOW)
    assert found.words == "Saves about $8.10 a month from 1 Dec 2026 (list price of us-central1; asia-east2 may be dearer)"


def test_a_class_without_a_price_is_left_out_and_named() -> None:
    """Nothing is guessed."""
    some = saving(tally(stored(405), stored(1000, "RAPID")), bucket(), NOW)
    assert some.monthly == Decimal("8.10")
    assert some.words.endswith("(list price; RAPID not counted, for want of one)")
    none = saving(tally(stored(1, "RAPID"), stored(1, "DURABLE_REDUCED_AVAILABILITY")), bucket(), NOW)
    assert (none.monthly, none.begins) == (NOTHING, None)
    assert none.words == "Saves an amount that is not known: there is no list price here for DURABLE_REDUCED_AVAILABILITY, RAPID"


def test_next_to_nothing_is_said_to_be_so() -> None:
    """No figure is rounded to a price of nothing, and empty objects save nothing."""
    tiny = saving(tally(StorageObject("x", 1, 1, "COLDLINE", NOW)), bucket(), NOW)
    assert tiny.words.count("less than $0.01") == 2
    empty = saving(tally(stored(0)), bucket(), NOW)
    assert (empty.monthly, empty.begins, empty.words) == (NOTHING, None, "Saves nothing, since there is no data in it")


OBJECTS = st.lists(
    st.builds(stored, st.floats(0, 10_000), st.sampled_from(["STANDARD", *MINIMUM, "RAPID"]), days=st.floats(0, 500)), max_size=12
)
BUCKETS = st.builds(
    bucket,
    location=st.sampled_from(["us-central1", "nam4", "asia-east2"]),
    soft_delete=st.sampled_from([0, 7, 30, 90]).map(lambda days: timedelta(days=days)),
    versioned=st.booleans(),
    autoclass=st.booleans(),
)


@given(objects=OBJECTS, where=BUCKETS, wait=st.timedeltas(timedelta(0), timedelta(days=30)), noncurrent=st.booleans())
def test_it_is_never_less_than_nothing_and_never_begins_before_the_bill_ends(
    objects: list[StorageObject], where: Bucket, wait: timedelta, noncurrent: bool
) -> None:
    """Whatever is deleted: no amount is negative, and nothing counts before the soft-delete window is over."""
    deleted_at = NOW + wait
    found = saving(tally(*objects), where, deleted_at, noncurrent=noncurrent)
    assert found.monthly >= 0
    assert found.early >= 0
    assert found.begins is None or found.begins >= deleted_at + where.soft_delete
    assert found.words.startswith("Saves ")
    assert not found.words.endswith(".")
    assert "None" not in found.words
    if where.autoclass or (where.versioned and not noncurrent):
        assert found.early == 0
    if where.versioned and not noncurrent:
        assert found.monthly == 0


@given(objects=OBJECTS, where=BUCKETS, wait=st.timedeltas(timedelta(0), timedelta(days=30)))
def test_the_sums_of_the_tally_say_what_each_object_says_by_itself(
    objects: Sequence[StorageObject], where: Bucket, wait: timedelta
) -> None:
    """The charge and the begin are those of a reckoning object by object, but for half a day, since the tally keeps days."""
    where = where.but(versioned=False, autoclass=False)
    rates = PER_GIB_MONTH.get(where.location, PER_GIB_MONTH[LISTED])
    deleted_at = NOW + wait
    freed = deleted_at + where.soft_delete
    a_day = {id(each): float(rates.get(each.storage_class, 0)) * each.size / GIB / (730 / 24) for each in objects}
    ends = {id(each): each.created + MINIMUM.get(each.storage_class, timedelta(0)) for each in objects}
    exact = sum(a_day[id(each)] * max(0.0, (ends[id(each)] - freed) / DAY) for each in objects)
    found = saving(tally(*objects), where, deleted_at)
    assert abs(float(found.early) - exact) <= sum(a_day.values()) / 2 + 0.0051
    last = max((ends[id(each)] for each in objects), default=freed)
    assert found.begins is None or found.begins <= max(freed, last) + DAY / 2
