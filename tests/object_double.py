"""The watched buckets in memory, by Cloud Storage's rules; `tests/contract/test_object_double.py` holds them against the real client.

Every method calls `Hooks.before` and `Hooks.after`, as the other doubles do; a listing does so for each page, and a batch for each of its
objects too, so that a worker may die with half of it done.
"""

from __future__ import annotations

import base64
import math
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal

import google_crc32c

from shared.errors import Denied, Gone, Refused
from shared.model import NO_LABELS, BucketFacts, StorageObject
from shared.ports import BATCH, DONE, Answer, Compression, Fate
from tests.doubles import Hooks, ManualClock

Verb = Literal["delete", "restore"]
WEEK = timedelta(days=7)
NO_NAMES = frozenset({"", ".", ".."})
Generations = dict[tuple[str, int], "Kept"]


@dataclass(frozen=True, slots=True)
class Kept:
    """One generation with its content.

    Attributes:
        shown: As a listing shows it.
        data: Its bytes; None where only a size was given.
        ends: When it ceases to exist, where it is soft-deleted.
    """

    shown: StorageObject
    data: bytes | None
    ends: datetime | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What the watchdog really did to an object.

    Attributes:
        bucket: The bucket.
        name: The object's name.
        generation: Which version of it was deleted or brought back.
        noncurrent: Whether that version was noncurrent.
        made: The generation that came of it, where it was brought back.
        at: When.
    """

    bucket: str
    name: str
    generation: int
    noncurrent: bool
    at: datetime
    made: int = 0


@dataclass
class MemoryObjectBucket:
    """A bucket.

    Attributes:
        facts: What it is like; a test may change them.
        retention: How long every object is kept at least.
        live: The live objects by name.
        noncurrent: Noncurrent versions by name and generation.
        soft_deleted: What can be brought back, likewise.
    """

    facts: BucketFacts
    retention: timedelta = timedelta(0)
    live: dict[str, Kept] = field(default_factory=dict)
    noncurrent: Generations = field(default_factory=dict)
    soft_deleted: Generations = field(default_factory=dict)

    def find(self, name: str, generation: int) -> Kept | None:
        """One generation, live or noncurrent."""
        live = self.live.get(name)
        return live if live and live.shown.generation == generation else self.noncurrent.get((name, generation))

    def listed(self, *, versions: bool) -> list[Kept]:
        """What a listing shows, in order."""
        shown = [*self.live.values(), *(self.noncurrent.values() if versions else ())]
        return sorted((self.seen(kept) for kept in shown), key=_order)

    def seen(self, kept: Kept) -> Kept:
        """The same with the end of its retention."""
        ends = [kept.shown.retained_until] if kept.shown.retained_until else []
        if self.retention:
            ends.append(kept.shown.created + self.retention)
        return replace(kept, shown=replace(kept.shown, retained_until=max(ends, default=None)))

    def guard(self, kept: Kept, now: datetime, *, archives: bool) -> str:
        """What forbids to part with it: a hold always, and a retention unless it only becomes noncurrent."""
        if kept.shown.hold:
            return f"{kept.shown.name} is under active {kept.shown.hold}"
        until = self.seen(kept).shown.retained_until
        return f"{kept.shown.name} is retained until {until}" if until and until > now and not archives else ""

    def retire(self, kept: Kept, now: datetime, *, archives: bool) -> None:
        """Make it noncurrent, or delete it for good, softly where the bucket has that."""
        name = (kept.shown.name, kept.shown.generation)
        if kept.shown.noncurrent_since:
            del self.noncurrent[name]
        else:
            del self.live[kept.shown.name]
        if archives:
            self.noncurrent[name] = replace(kept, shown=replace(kept.shown, noncurrent_since=now))
        elif self.facts.soft_delete:
            self.soft_deleted[name] = replace(kept, ends=now + self.facts.soft_delete)

    def expire(self, now: datetime) -> None:
        """End what was soft-deleted long enough ago."""
        self.soft_deleted = {name: kept for name, kept in self.soft_deleted.items() if kept.ends and kept.ends > now}


@dataclass
class MemoryObjects:
    """Fulfils `shared.ports.ObjectStore`, and lets people work on the same objects.

    Attributes:
        hooks: What happens around every call.
        clock: By which objects are written and soft-deleted ones end.
        page: Objects on a page at most.
        buckets: By name.
        deleted: What the watchdog deleted, in order.
        restored: What it brought back, in order.
    """

    hooks: Hooks = field(default_factory=Hooks)
    clock: ManualClock = field(default_factory=ManualClock)
    page: int = 1000
    buckets: dict[str, MemoryObjectBucket] = field(default_factory=dict)
    deleted: list[Change] = field(default_factory=list)
    restored: list[Change] = field(default_factory=list)
    _faults: dict[tuple[Verb, str], tuple[Answer, float]] = field(default_factory=dict)
    _lost: set[tuple[Verb, str]] = field(default_factory=set)
    _generation: int = 0
    _lock: threading.RLock = field(default_factory=threading.RLock)

    # what the watchdog asks

    def facts(self, bucket: str) -> BucketFacts:
        """What the bucket is like."""
        self.hooks.before("facts")
        facts = self._bucket(bucket).facts
        self.hooks.after("facts")
        return facts

    def pages(self, bucket: str, prefix: str, *, after: str = "", versions: bool = False) -> Iterator[Sequence[StorageObject]]:
        """All objects, page by page; each is of the time when it is asked for, and goes on behind the last one."""
        behind = (after, sys.maxsize) if after else ("", 0)
        while True:
            self.hooks.before("page")
            with self._lock:
                listed = self._bucket(bucket).listed(versions=versions)
                rest = [kept.shown for kept in listed if kept.shown.name.startswith(prefix) and _order(kept) > behind]
            self.hooks.after("page")
            page = rest[: self.page]
            if page:
                behind = (page[-1].name, page[-1].generation)
                yield page
            if len(rest) <= self.page:
                return

    def folders(self, bucket: str, prefix: str) -> Iterator[str]:
        """The folders directly below the prefix."""
        self.hooks.before("folders")
        with self._lock:
            names = [name[len(prefix) :] for name in self._bucket(bucket).live if name.startswith(prefix)]
        self.hooks.after("folders")
        yield from sorted({f"{prefix}{name.partition('/')[0]}/" for name in names if "/" in name})

    def find(self, bucket: str, name: str) -> StorageObject | None:
        """The live object of this name, or None."""
        _raise_if_impossible(name)
        self.hooks.before("find object")
        with self._lock:
            holder = self.buckets.get(bucket)
            kept = holder.live.get(name) if holder else None
            found = holder.seen(kept).shown if holder and kept else None
        self.hooks.after("find object")
        return found

    def read(self, bucket: str, name: str, *, generation: int, limit: int) -> bytes:
        """The content of one generation."""
        _raise_if_impossible(name)
        self.hooks.before("read object")
        with self._lock:
            kept = self._bucket(bucket).find(name, generation)
        self.hooks.after("read object")
        if kept is None:
            raise Gone("is not there", resource=f"gs://{bucket}/{name}")
        if kept.data is None or len(kept.data) > limit:
            raise Refused(f"is larger than {limit:,} bytes, so it is not read", resource=f"gs://{bucket}/{name}")
        return kept.data

    def delete(self, bucket: str, objects: Sequence[StorageObject]) -> Sequence[Answer]:
        """Delete these generations, one answer for each."""
        return self._batch("delete", bucket, objects)

    def restore(self, bucket: str, objects: Sequence[StorageObject]) -> Sequence[Answer]:
        """Bring these generations back, one answer for each."""
        return self._batch("restore", bucket, objects)

    def compress(self, bucket: str, each: StorageObject, *, into: Compression, go_on: Callable[[], bool]) -> Answer:  # noqa: ARG002  # as the port says
        """The tests that compress do it with the real client."""
        raise AssertionError(f"gs://{bucket}/{each.name} is to be {into} here, which keeps no compressed objects")

    def uncompress(self, bucket: str, each: StorageObject, *, into: Compression, go_on: Callable[[], bool]) -> Answer:
        """Likewise."""
        return self.compress(bucket, each, into=into, go_on=go_on)

    def _batch(self, verb: Verb, bucket: str, objects: Sequence[StorageObject]) -> Sequence[Answer]:
        if not objects:
            return []
        for each in objects:
            _raise_if_impossible(each.name)
        if len(objects) > BATCH:
            raise Refused(f"a batch has between 1 and {BATCH} calls; this one has {len(objects)}", resource=f"gs://{bucket}")
        self.hooks.before(f"{verb} batch")
        answers = [self._one(verb, bucket, each) for each in objects]
        self.hooks.after(f"{verb} batch")
        return answers

    def _one(self, verb: Verb, bucket: str, each: StorageObject) -> Answer:
        self.hooks.before(f"{verb} one")
        with self._lock:
            fault, times = self._faults.get((verb, each.name), (DONE, 0))
            if times:
                self._faults[verb, each.name] = (fault, times - 1)
                return fault
            holder = self.buckets.get(bucket)
            if holder is None:
                return Answer("gone", f"there is no bucket {bucket}")
            holder.expire(self.clock.now())
            answer = self._delete(holder, each) if verb == "delete" else self._restore(holder, each)
            if (verb, each.name) in self._lost:
                self._lost.remove((verb, each.name))
                answer = Answer("unavailable", "the answer was lost")
        self.hooks.after(f"{verb} one")
        return answer

    def _delete(self, holder: MemoryObjectBucket, each: StorageObject) -> Answer:
        noncurrent = each.noncurrent_since is not None
        kept = holder.find(each.name, each.generation) if noncurrent else holder.live.get(each.name)
        if kept is None:
            return Answer("gone", f"there is no {each.name} of generation {each.generation}")
        if kept.shown.generation != each.generation:
            return Answer("changed", f"generation {kept.shown.generation} is not {each.generation}")
        archives, now = holder.facts.versioned and not noncurrent, self.clock.now()
        if reason := holder.guard(kept, now, archives=archives):
            return Answer("held", reason)
        holder.retire(kept, now, archives=archives)
        was = kept.shown.noncurrent_since is not None
        self.deleted.append(Change(holder.facts.name, each.name, each.generation, was, now))
        return DONE

    def _restore(self, holder: MemoryObjectBucket, each: StorageObject) -> Answer:
        now, softly = self.clock.now(), holder.soft_deleted.get((each.name, each.generation))
        kept = softly or holder.find(each.name, each.generation)
        if kept is None:
            return Answer("gone", f"there is no {each.name} of generation {each.generation}")
        if live := holder.live.get(each.name):
            return Answer("changed", f"generation {live.shown.generation} is live")
        old = kept.shown if softly else replace(kept.shown, hold="", retained_until=None)
        made = replace(old, generation=self._next(now), created=now, noncurrent_since=None)
        holder.live[each.name] = Kept(made, kept.data)
        was = kept.shown.noncurrent_since is not None
        self.restored.append(Change(holder.facts.name, each.name, each.generation, was, now, made.generation))
        return DONE

    # what other people do

    def create(
        self, name: str, *, soft_delete: timedelta = WEEK, versioned: bool = False, retention: timedelta = timedelta(0),
        location: str = "us-central1", autoclass: bool = False, labels: Mapping[str, str] = NO_LABELS,
    ) -> None:  # fmt: skip
        """Create a bucket."""
        facts = BucketFacts(name, location, soft_delete, versioned=versioned, autoclass=autoclass, labels=dict(labels))
        self.buckets[name] = MemoryObjectBucket(facts, retention)

    def put(
        self, bucket: str, name: str, data: bytes = b"", *, size: int | None = None, storage_class: str = "STANDARD",
        created: datetime | None = None, hold: str = "", retained_until: datetime | None = None,
    ) -> StorageObject:  # fmt: skip
        """Write an object, over whatever is live under the name.

        Args:
            bucket: The bucket's name.
            name: The object's name.
            data: Its content.
            size: Pretend that it has so many bytes, which nobody can read then.
            storage_class: Its class.
            created: When it shall have been written.
            hold: ``temporary hold`` or ``event-based hold``.
            retained_until: Until when it is kept.

        Raises:
            Denied: A hold or a retention keeps what is there.
        """
        holder, now = self._bucket(bucket), self.clock.now()
        at, checksum = created or now, base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()
        with self._lock:
            if live := holder.live.get(name):
                self._part(holder, live)
            shown = StorageObject(
                name,
                self._next(at),
                len(data) if size is None else size,
                storage_class,
                at,
                checksum,
                hold=hold,
                retained_until=retained_until,
            )
            holder.live[name] = Kept(shown, None if size is not None else data)
        return shown

    def remove(self, bucket: str, name: str) -> None:
        """Delete an object as somebody else.

        Raises:
            Denied: A hold or a retention keeps it.
        """
        with self._lock:
            holder = self._bucket(bucket)
            if name not in holder.live:
                raise Gone("is not there", resource=f"gs://{bucket}/{name}")
            self._part(holder, holder.live[name])

    def hold(self, bucket: str, name: str, hold: str = "temporary hold") -> None:
        """Put an object under a hold, or under none."""
        self._set(bucket, name, hold=hold)

    def retain(self, bucket: str, name: str, until: datetime | None) -> None:
        """Keep an object until then."""
        self._set(bucket, name, retained_until=until)

    def change(self, bucket: str, **facts: object) -> None:
        """Change what the bucket is like, as `BucketFacts` names it."""
        holder = self.buckets[bucket]
        holder.facts = replace(holder.facts, **facts)  # type: ignore[arg-type]  # the test knows their types

    def fail(self, verb: Verb, name: str, fate: Fate, *, times: float = math.inf, reason: str = "the platform's words") -> None:
        """Let an object of a batch meet this fate so many times, before anything is done about it."""
        self._faults[verb, name] = (Answer(fate, reason), times)

    def lose(self, verb: Verb, name: str) -> None:
        """Let the next answer for an object of a batch be lost after the work is done."""
        self._lost.add((verb, name))

    def heal(self) -> None:
        """No object meets a fault any more."""
        self._faults.clear()
        self._lost.clear()

    # what there is

    def names(self, bucket: str, prefix: str = "") -> list[str]:
        """The names of all live objects."""
        return sorted(name for name in self.buckets[bucket].live if name.startswith(prefix))

    def contents(self, bucket: str, prefix: str = "") -> dict[str, tuple[int, str, str, bytes | None]]:
        """All live objects: size, storage class, checksum and content, by name."""
        live = self.buckets[bucket].live
        return {
            name: (kept.shown.size, kept.shown.storage_class, kept.shown.crc32c, kept.data)
            for name, kept in sorted(live.items())
            if name.startswith(prefix)
        }

    def _bucket(self, name: str) -> MemoryObjectBucket:
        if name not in self.buckets:
            raise Gone("is not there", resource=f"gs://{name}")
        return self.buckets[name]

    def _set(self, bucket: str, name: str, **properties: object) -> None:
        with self._lock:
            live = self._bucket(bucket).live
            if name not in live:
                raise Gone("is not there", resource=f"gs://{bucket}/{name}")
            live[name] = replace(live[name], shown=replace(live[name].shown, **properties))  # type: ignore[arg-type]  # two of its own fields

    def _part(self, holder: MemoryObjectBucket, live: Kept) -> None:
        now, archives = self.clock.now(), holder.facts.versioned
        if reason := holder.guard(live, now, archives=archives):
            raise Denied(reason, resource=f"gs://{holder.facts.name}/{live.shown.name}")
        holder.retire(live, now, archives=archives)

    def _next(self, now: datetime) -> int:
        """Microseconds since 1970, and never the same one twice."""
        self._generation = max(self._generation + 1, int(now.timestamp() * 1_000_000))
        return self._generation


def _order(kept: Kept) -> tuple[str, int]:
    return kept.shown.name, kept.shown.generation


def _raise_if_impossible(name: str) -> None:
    if name in NO_NAMES:
        raise Refused(f"no object can be named {name!r}")
