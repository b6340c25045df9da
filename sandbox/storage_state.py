"""What Cloud Storage holds: buckets, the generations of their objects, and the conditions of a request.

Values and containers only. The rules stand in ``storage_model``, the JSON shapes in ``storage_resources``.
"""

from __future__ import annotations

import bisect
import itertools
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sandbox.storage_errors import ApiError, Json

EMPTY_CRC32C = "AAAAAA=="
DEFAULT_CONTENT_TYPE = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Conditions:
    """The preconditions of one request; the absent object has generation 0 and no metageneration.

    Source: https://cloud.google.com/storage/docs/request-preconditions
    """

    generation: int | None = None
    not_generation: int | None = None
    metageneration: int | None = None
    not_metageneration: int | None = None

    def check(self, generation: int, metageneration: int | None) -> None:
        """Compare with what is there.

        Raises:
            ApiError: 412 where a match was asked for and fails, 304 where a difference was asked for and fails.
        """
        if (self.generation is not None and self.generation != generation) or (
            self.metageneration is not None and self.metageneration != metageneration
        ):
            message = "At least one of the pre-conditions you specified did not hold."
            raise ApiError(412, "conditionNotMet", message, location=("header", "If-Match"))
        if (self.not_generation is not None and self.not_generation == generation) or (
            self.not_metageneration is not None and self.not_metageneration == metageneration
        ):
            raise ApiError(304, "notModified", "Not Modified")


UNCONDITIONAL = Conditions()


@dataclass(slots=True, eq=False)
class Stored:
    """One generation of an object. There may be millions: what is rare lives in `extra`.

    Attributes:
        data: The bytes; none for an object of which only the size was ever given.
        metadata: The user's own keys and values.
        extra: Other properties, named as the API names them.
        noncurrent_since: When it stopped being live in a bucket with versioning.
        soft_deleted_at: When it was soft-deleted.
        soft_delete_seconds: How long it stays restorable from then on.
    """

    name: str
    generation: int
    size: int
    created: datetime
    updated: datetime
    metageneration: int = 1
    storage_class: str = "STANDARD"
    content_type: str = DEFAULT_CONTENT_TYPE
    crc32c: str = EMPTY_CRC32C
    md5: str | None = None
    data: bytes | None = None
    metadata: dict[str, str] | None = None
    extra: Json | None = None
    noncurrent_since: datetime | None = None
    soft_deleted_at: datetime | None = None
    soft_delete_seconds: int = 0

    @property
    def hard_delete_at(self) -> datetime | None:
        """When a soft-deleted object ceases to exist; none for any other."""
        return self.soft_deleted_at and self.soft_deleted_at + timedelta(seconds=self.soft_delete_seconds)


class Names:
    """The names of a mapping in listing order, brought up to date only when somebody lists.

    Deletions leave their names behind for a while, since taking them out of a long list one by one is slow:
    readers skip a name that the mapping no longer has.
    """

    def __init__(self, of: Mapping[str, object]) -> None:
        self._of = of
        self._ordered: list[str] = []
        self._fresh: list[str] = []
        self._gone = 0

    def added(self, name: str) -> None:
        self._fresh.append(name)

    def removed(self) -> None:
        self._gone += 1

    def ordered(self) -> list[str]:
        """All names in the order of their UTF-8 bytes, and perhaps some that are gone."""
        if self._gone > 1024 + len(self._of) // 8:
            self._ordered = [name for name in self._ordered if name in self._of]
            self._fresh = [name for name in self._fresh if name in self._of]
            self._gone = 0
        if len(self._fresh) > 64:
            self._ordered = sorted({*self._ordered, *self._fresh})
        else:
            for name in self._fresh:
                at = bisect.bisect_left(self._ordered, name)
                if at == len(self._ordered) or self._ordered[at] != name:
                    self._ordered.insert(at, name)
        self._fresh = []
        return self._ordered


class Shelf:
    """Generations of objects by name; a name with a single generation costs no list.

    Attributes:
        count: How many generations lie here.
        bytes: Their sizes, summed.
        names: Their names in listing order.
    """

    def __init__(self) -> None:
        self._by_name: dict[str, Stored | list[Stored]] = {}
        self.count = 0
        self.bytes = 0
        self.names = Names(self._by_name)

    def add(self, stored: Stored) -> None:
        """Put one generation here."""
        present = self._by_name.get(stored.name)
        if present is None:
            self._by_name[stored.name] = stored
            self.names.added(stored.name)
        elif isinstance(present, list):
            bisect.insort(present, stored, key=lambda other: other.generation)
        else:
            self._by_name[stored.name] = sorted((present, stored), key=lambda other: other.generation)
        self.count += 1
        self.bytes += stored.size

    def remove(self, stored: Stored) -> None:
        """Take one generation away that lies here."""
        present = self._by_name[stored.name]
        if isinstance(present, list) and len(present) > 1:
            present.remove(stored)
        else:
            del self._by_name[stored.name]
            self.names.removed()
        self.count -= 1
        self.bytes -= stored.size

    def one(self, name: str) -> Stored | None:
        """The newest generation of a name."""
        present = self._by_name.get(name)
        return present[-1] if isinstance(present, list) else present

    def all(self, name: str) -> Sequence[Stored]:
        """Every generation of a name, oldest first."""
        present = self._by_name.get(name)
        if present is None:
            return ()
        return present if isinstance(present, list) else (present,)

    def find(self, name: str, generation: int) -> Stored | None:
        """One generation of a name."""
        return next((stored for stored in self.all(name) if stored.generation == generation), None)

    def __iter__(self) -> Iterator[Stored]:
        """Every generation, in no particular order."""
        return itertools.chain.from_iterable(map(self.all, self._by_name))


@dataclass(slots=True, eq=False)
class Bucket:
    """A bucket and what is in it.

    Attributes:
        settings: Its writable properties, shaped as the API shapes them.
        project: Where it was created; none belongs to every project that asks.
        expiring: Soft-deleted objects by their retention, each queue in the order of deletion.
    """

    name: str
    settings: Json
    created: datetime
    updated: datetime
    generation: int
    project: str | None = None
    metageneration: int = 1
    live: Shelf = field(default_factory=Shelf)
    noncurrent: Shelf = field(default_factory=Shelf)
    soft_deleted: Shelf = field(default_factory=Shelf)
    expiring: dict[int, deque[Stored]] = field(default_factory=dict)

    @property
    def versioned(self) -> bool:
        """Whether replaced and deleted objects stay as noncurrent versions."""
        return bool(self.settings.get("versioning", {}).get("enabled"))

    @property
    def soft_delete_seconds(self) -> int:
        """How long deleted objects stay restorable; 0 is not at all."""
        return int(self.settings["softDeletePolicy"]["retentionDurationSeconds"])

    @property
    def retention_seconds(self) -> int:
        """How long the bucket's retention policy keeps every object; 0 is no policy."""
        policy = self.settings.get("retentionPolicy")
        return int(policy["retentionPeriod"]) if policy else 0

    def find(self, name: str, generation: int | None = None) -> Stored | None:
        """The live object, or one generation of it, live or noncurrent."""
        live = self.live.one(name)
        if generation is None or (live is not None and live.generation == generation):
            return live
        return self.noncurrent.find(name, generation)

    def archive(self, stored: Stored, now: datetime) -> None:
        """Make a live object noncurrent."""
        self.live.remove(stored)
        stored.noncurrent_since = now
        self.noncurrent.add(stored)

    def discard(self, stored: Stored, now: datetime) -> None:
        """Soft-delete a live or noncurrent generation, or end it where soft delete is off."""
        self.erase(stored)
        seconds = self.soft_delete_seconds
        if seconds:
            stored.soft_deleted_at = now
            stored.soft_delete_seconds = seconds
            self.soft_deleted.add(stored)
            self.expiring.setdefault(seconds, deque()).append(stored)

    def erase(self, stored: Stored) -> None:
        """End a live or noncurrent generation at once."""
        (self.live if stored.noncurrent_since is None else self.noncurrent).remove(stored)

    def expire(self, now: datetime) -> None:
        """End the soft-deleted objects whose time is over."""
        for queue in self.expiring.values():
            while queue and (end := queue[0].hard_delete_at) is not None and end <= now:
                self.soft_deleted.remove(queue.popleft())

    def retained_until(self, stored: Stored) -> datetime | None:
        """The earliest time at which an object may be deleted or replaced, if it is kept at all."""
        own = (stored.extra or {}).get("retentionExpirationTime")
        ends = [datetime.fromisoformat(own)] if own else []
        if seconds := self.retention_seconds:
            ends.append(stored.created + timedelta(seconds=seconds))
        return max(ends, default=None)


class _Generations:
    """Generation numbers: microseconds since 1970, and never the same one twice in this process."""

    def __init__(self) -> None:
        self._last = 0
        self._lock = threading.Lock()

    def next(self, now: datetime) -> int:
        with self._lock:
            self._last = max(self._last + 1, int(now.timestamp() * 1_000_000))
            return self._last


generations = _Generations()


def utc_now() -> datetime:
    """The time of day, as every clock of the stand-in gives it."""
    return datetime.now(UTC)
