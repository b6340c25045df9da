"""What a look at objects adds up."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from shared.model import StorageObject
from shared.objects.job import ClassTally, Tally, added

NOW = datetime(2026, 11, 24, 14, tzinfo=UTC)
MINIMUM = {"NEARLINE": timedelta(days=30), "COLDLINE": timedelta(days=90)}


def stored(size: int, storage_class: str = "STANDARD", *, age: timedelta = timedelta(0)) -> StorageObject:
    """One object of this age."""
    return StorageObject(name="runs/a/x", generation=1, size=size, storage_class=storage_class, created=NOW - age)


def test_objects_are_added_up_by_storage_class() -> None:
    """Each class has its own count and size, and what was there before stays."""
    once = added(Tally(kept=3, kept_bytes=30), [stored(1), stored(2), stored(4, "COLDLINE", age=timedelta(days=91))], MINIMUM, NOW)
    twice = added(once, [stored(8, "ARCHIVE"), stored(16)], MINIMUM, NOW)
    assert twice == Tally(
        classes={
            "STANDARD": ClassTally(objects=3, bytes=19),
            "COLDLINE": ClassTally(objects=1, bytes=4),
            "ARCHIVE": ClassTally(objects=1, bytes=8),
        },
        kept=3,
        kept_bytes=30,
    )
    assert (twice.objects, twice.bytes) == (5, 31)


def test_what_is_within_its_minimum_duration_stands_under_the_day_on_which_that_is_over() -> None:
    """Sizes of one day are one sum, the days are in order, and what is over at the time of the look is in none of them."""
    first = added(Tally(), [stored(1, "COLDLINE", age=timedelta(days=3)), stored(2, "NEARLINE", age=timedelta(days=30))], MINIMUM, NOW)
    then = [stored(4, "COLDLINE", age=timedelta(days=80)), stored(8, "COLDLINE", age=timedelta(days=3, hours=13)), stored(16, "NEARLINE")]
    tally = added(first, then, MINIMUM, NOW)
    assert tally.classes["COLDLINE"].early == {date(2026, 12, 4): 4, date(2027, 2, 19): 9}
    assert list(tally.classes["COLDLINE"].early) == [date(2026, 12, 4), date(2027, 2, 19)]
    assert tally.classes["NEARLINE"] == ClassTally(objects=2, bytes=18, early={date(2026, 12, 24): 16})


def test_a_tally_reads_back_from_the_journal_as_it_was() -> None:
    """The days survive the way through JSON."""
    tally = added(Tally(), [stored(7, "COLDLINE")], MINIMUM, NOW)
    assert Tally.model_validate_json(tally.model_dump_json()) == tally
    assert '"early":{"2027-02-22":7}' in tally.model_dump_json()


OBJECTS = st.lists(
    st.builds(
        stored,
        st.integers(0, 2**50),
        st.sampled_from(["STANDARD", "NEARLINE", "COLDLINE"]),
        age=st.timedeltas(timedelta(0), timedelta(days=120)),
    ),
    max_size=20,
)


@given(objects=OBJECTS, cut=st.integers(0, 20))
def test_it_does_not_matter_in_how_many_parts_the_objects_come(objects: list[StorageObject], cut: int) -> None:
    """A look that is broken off and goes on later adds up to the same."""
    whole = added(Tally(), objects, MINIMUM, NOW)
    assert added(added(Tally(), objects[:cut], MINIMUM, NOW), objects[cut:], MINIMUM, NOW) == whole
    assert whole.bytes == sum(each.size for each in objects)
    for each in whole.classes.values():
        assert 0 <= sum(each.early.values()) <= each.bytes
