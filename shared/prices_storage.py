"""List prices of Cloud Storage, and what a deletion really saves by them and from when on, for labelled estimates. Pure.

Source: https://cloud.google.com/storage/pricing, US dollars per GiB and month at rest, as published in 2026. Prices of other locations (many are
dearer), operations, retrieval, egress, replication, the fee for Autoclass, free tier and negotiated prices are not in them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from types import MappingProxyType

from shared.objects.job import Bucket, Tally
from shared.slack.text import about, day, volume

LISTED = "us-central1"
"""What a location without a price of its own is reckoned with; it is among the cheapest."""

MINIMUM: Mapping[str, timedelta] = MappingProxyType(
    {"NEARLINE": timedelta(days=30), "COLDLINE": timedelta(days=90), "ARCHIVE": timedelta(days=365)}
)
"""How long an object of a storage class is paid for at least: https://cloud.google.com/storage/pricing#early-delete"""


def _rates(standard: str, nearline: str, coldline: str, archive: str) -> Mapping[str, Decimal]:
    at_standard = dict.fromkeys(("STANDARD", "REGIONAL", "MULTI_REGIONAL"), Decimal(standard))  # the latter two are its old names
    return MappingProxyType({**at_standard, "NEARLINE": Decimal(nearline), "COLDLINE": Decimal(coldline), "ARCHIVE": Decimal(archive)})


PER_GIB_MONTH: Mapping[str, Mapping[str, Decimal]] = MappingProxyType(
    {
        **dict.fromkeys(
            (LISTED, "us-east1", "us-east5", "us-south1", "us-west1", "europe-north1", "europe-west1"),
            _rates("0.020", "0.010", "0.004", "0.0012"),
        ),
        **dict.fromkeys(("us-east4", "us-west4", "europe-central2", "europe-north2"), _rates("0.023", "0.013", "0.006", "0.0025")),
        **dict.fromkeys(("us-west2", "us-west3"), _rates("0.023", "0.016", "0.007", "0.0025")),
        **dict.fromkeys(
            ("europe-west2", "northamerica-northeast1", "northamerica-northeast2"), _rates("0.023", "0.013", "0.007", "0.0025")
        ),
        "northamerica-south1": _rates("0.026", "0.018", "0.006", "0.0027"),
        # A dual-region is billed in both of its regions, each at the price for dual-regions.
        "nam4": _rates("0.044", "0.022", "0.0088", "0.0028"),
        "us": _rates("0.026", "0.015", "0.00875", "0.0030"),
    }
)
"""By location and storage class."""

PER_CHANGE: Mapping[str, Decimal] = MappingProxyType(
    {"NEARLINE": Decimal("0.00001"), "COLDLINE": Decimal("0.00002"), "ARCHIVE": Decimal("0.00005")}
)
"""What it costs to move one object to a class: an operation of class A of that class, in regions."""
PER_GIB_READ: Mapping[str, Decimal] = MappingProxyType(
    {"NEARLINE": Decimal("0.01"), "COLDLINE": Decimal("0.02"), "ARCHIVE": Decimal("0.05")}
)
"""What it costs to read a GiB back."""

_GIB = Decimal(2**30)
_NOTHING = Decimal("0.00")
_CENT = Decimal("0.01")
_DAY = timedelta(days=1)
_DAYS_A_MONTH = Decimal(730) / 24
# The tally keeps the end of a minimum duration to the day; in the middle of it the reckoning errs to both sides alike, by half a day at most.
_MIDDLE = time(12, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Saving:
    """What a deletion saves.

    Attributes:
        monthly: US dollars a month at list price, once it counts; 0 where nothing is saved, or where no price is known.
        begins: When it begins to count: what is deleted is no longer billed, and an early-deletion charge is made up for. None where it never does.
        early: The early-deletion charge at list price, US dollars, once.
        words: All of it for people, in one sentence that begins with "Saves" and has no full stop.
    """

    monthly: Decimal
    begins: datetime | None
    early: Decimal
    words: str


@dataclass(frozen=True, slots=True)
class _Early:
    """The objects of one storage class that are deleted within their minimum duration, and not kept by soft delete to its end."""

    name: str
    bytes: int
    byte_days: Decimal
    youngest: int
    oldest: int

    @property
    def words(self) -> str:
        days = f"{self.youngest}" if self.youngest == self.oldest else f"{self.youngest} to {self.oldest}"
        return f"{volume(self.bytes)} are {days} day{'' if days == '1' else 's'} into {self.name.capitalize()}'s {MINIMUM[self.name].days}"


def at_rest(size: int, storage_class: str, location: str) -> Decimal:
    """What so many bytes cost in a month, US dollars at list price; a location without a price of its own is reckoned as `LISTED`."""
    rates = PER_GIB_MONTH.get(location.lower(), PER_GIB_MONTH[LISTED])
    return (rates.get(storage_class, _NOTHING) * size / _GIB).quantize(_CENT)


def saving(tally: Tally, bucket: Bucket, deleted_at: datetime, *, noncurrent: bool = False) -> Saving:
    """What it saves to delete these objects.

    - What is soft-deleted is billed like what is live, until the bucket's soft-delete window ends.
    - In a bucket with versions what is deleted stays as a noncurrent version, and is billed as before.
    - What is deleted within the minimum duration of its storage class is charged for the rest of it, less the soft-delete window; not in buckets with
      Autoclass. In a bucket with versions that comes when the noncurrent version is deleted.

    Source: https://cloud.google.com/storage/pricing#early-delete and https://docs.cloud.google.com/storage/docs/soft-delete#billing

    Args:
        tally: The objects.
        bucket: Where they are.
        deleted_at: When they are deleted.
        noncurrent: Whether they are noncurrent versions already, so that nothing of them stays.
    """
    if not tally.bytes:
        return Saving(_NOTHING, None, _NOTHING, "Saves nothing, since there is no data in it")
    if bucket.versioned and not noncurrent:
        words = (
            "Saves nothing while the noncurrent versions stay: the bucket keeps versions, and bills them as before; "
            "a lifecycle rule for noncurrent versions ends that, or the action `delete_noncurrent`"
        )
        return Saving(_NOTHING, None, _NOTHING, words)
    location = bucket.location.lower()
    rates = PER_GIB_MONTH.get(location, PER_GIB_MONTH[LISTED])
    unknown = ", ".join(sorted(name for name, each in tally.classes.items() if each.bytes and name not in rates))
    monthly = sum((rates[name] * each.bytes / _GIB for name, each in tally.classes.items() if name in rates), _NOTHING)
    if not monthly:
        return Saving(_NOTHING, None, _NOTHING, f"Saves an amount that is not known: there is no list price here for {unknown}")
    freed = deleted_at + bucket.soft_delete
    early = () if bucket.autoclass else tuple(_early(tally, deleted_at, freed))
    charge = sum((rates[each.name] * each.byte_days / _GIB / _DAYS_A_MONTH for each in early), _NOTHING)
    begins = freed + timedelta(days=float(charge / monthly * _DAYS_A_MONTH))
    price = "list price" if location in PER_GIB_MONTH else f"list price of {LISTED}; {bucket.location} may be dearer"
    left_out = f"; {unknown} not counted, for want of one" if unknown else ""
    words = f"{_words(monthly, charge, freed, begins, early)} ({price}{left_out})"
    return Saving(monthly.quantize(_CENT), begins, charge.quantize(_CENT), words)


def _early(tally: Tally, deleted_at: datetime, freed: datetime) -> Iterator[_Early]:
    for name, minimum in MINIMUM.items():
        days = tally.classes[name].early if name in tally.classes else {}
        over = {day: datetime.combine(day, _MIDDLE) for day in days}
        late = {day: end - freed for day, end in over.items() if end > freed}
        if late:
            byte_days = sum((Decimal(days[day]) * Decimal(rest / _DAY) for day, rest in late.items()), _NOTHING)
            today = deleted_at.astimezone(UTC).date()
            ages = [max(0, (today - (day - minimum)).days) for day in late]
            yield _Early(name, sum(days[day] for day in late), byte_days, min(ages), max(ages))


def _words(monthly: Decimal, charge: Decimal, freed: datetime, begins: datetime, early: tuple[_Early, ...]) -> str:
    since = ", ".join(each.words for each in early)
    if not early:
        return f"Saves {_dollars(monthly)} a month from {day(begins)}"
    if day(begins) == day(freed):
        return f"Saves {_dollars(monthly)} a month from {day(begins)}, less {_dollars(charge)} once, since {since}"
    return (
        f"Saves nothing until {day(begins)}, since {since} and the rest is charged, {_dollars(charge)}; "
        f"{_dollars(monthly)} a month after that"
    )


def _dollars(amount: Decimal) -> str:
    return f"about {about(amount)}" if amount >= _CENT else "less than $0.01"
