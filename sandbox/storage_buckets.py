"""Buckets by Cloud Storage's rules, and what every call shares: the lock, permissions, events, the log of writes."""

from __future__ import annotations

import functools
import heapq
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Concatenate, ParamSpec, TypeVar

from sandbox.storage_errors import ApiError, Json, forbidden, invalid, not_found
from sandbox.storage_resources import bucket_name, bucket_resource, bucket_settings, merged, rfc3339, writable_bucket
from sandbox.storage_rules import UpdateLimit
from sandbox.storage_state import UNCONDITIONAL, Bucket, Conditions, Stored, generations, utc_now

Write = tuple[datetime, str, str, str, int]
EventHook = Callable[[str, Json], None]

NEWEST_IN_SNAPSHOT = 200

_S = TypeVar("_S", bound="Buckets")
_P = ParamSpec("_P")
_R = TypeVar("_R")


def locked(method: Callable[Concatenate[_S, _P], _R]) -> Callable[Concatenate[_S, _P], _R]:
    """Run a method under the lock, and tell of its events once the lock is free again."""

    @functools.wraps(method)
    def run(self: _S, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        with self._lock:
            result = method(self, *args, **kwargs)
        if self._events:
            self._announce()
        return result

    return run


class Buckets:
    """The buckets of the stand-in. Every method may be called from any thread.

    Attributes:
        now: The clock. Soft-deleted objects end and retention runs out by it.
        on_event: Called with an event type and the object's resource after a change is made, one call at a time and in
            the order of the changes. It holds a client up, so it should hand over and return.
        listening: The buckets whose changes it is called with; none is all of them.
        object_update_limit: Refuse with 429 what exceeds one update a second of the same object, after a burst of five.
        denied: Pairs of bucket and permission that the caller is refused; `testPermissions` leaves them out.
        hold_reason: The reason word of the 403 for a held object.
        unreachable: Buckets whose location is down: a listing leaves them out, and names them to whoever takes a partial answer.
        origin: Scheme and host for the links in resources; the HTTP face keeps it up to date.
        writes: Every change made: time, method, bucket, object (empty for the bucket itself), generation.
    """

    def __init__(
        self,
        *,
        now: Callable[[], datetime] = utc_now,
        on_event: EventHook | None = None,
        object_update_limit: bool = False,
    ) -> None:
        self.now = now
        self.on_event = on_event
        self.listening: set[str] | None = None
        self.object_update_limit = object_update_limit
        self.denied: set[tuple[str, str]] = set()
        self.hold_reason = "forbidden"
        self.unreachable: set[str] = set()
        self.origin = "https://storage.googleapis.com"
        self.writes: list[Write] = []
        self._buckets: dict[str, Bucket] = {}
        self._updates = UpdateLimit()
        self._events: deque[tuple[str, Json]] = deque()
        self._announcing = threading.Lock()
        self._lock = threading.RLock()

    # -- permissions ---------------------------------------------------------------------------------------------

    def deny(self, bucket: str, *permissions: str) -> None:
        """Take permissions on a bucket and its objects away from every caller."""
        self.denied.update((bucket, permission) for permission in permissions)

    def permitted(self, bucket: str, permissions: Iterable[str]) -> list[str]:
        """Those of the permissions that the caller has."""
        return [permission for permission in permissions if (bucket, permission) not in self.denied]

    def demand(self, bucket: str, permission: str) -> None:
        """Refuse a caller without the permission.

        Raises:
            ApiError: 403 that names the permission.
        """
        if (bucket, permission) in self.denied:
            noun = "bucket" if permission.startswith("storage.buckets.") else "object"
            raise forbidden(
                f"caller@example.com does not have {permission} access to the Google Cloud Storage {noun}. "
                f"Permission '{permission}' denied on resource (or it may not exist).",
            )

    # -- buckets -------------------------------------------------------------------------------------------------

    def create_bucket(self, /, name: str, *, project: str | None = None, **properties: Any) -> Json:
        """Create a bucket from this side of the wire; further properties are named as the API names them.

        Raises:
            ApiError: As `insert_bucket` says.
        """
        return self.insert_bucket({"name": name, **properties}, project)

    @locked
    def insert_bucket(self, body: Mapping[str, Any], project: str | None) -> Json:
        """Create a bucket.

        Raises:
            ApiError: 400 for what the service does not take, 409 where the name is taken.
        """
        asked = writable_bucket(body)
        name = bucket_name(asked.pop("name", None))
        if name in self._buckets:
            raise ApiError(409, "conflict", "Your previous request to create the named bucket succeeded and you already own it.")
        now = self.now()
        settings = bucket_settings(merged({}, asked), {}, now)
        bucket = Bucket(name, settings, now, now, generations.next(now), project)
        self._buckets[name] = bucket
        self.writes.append((now, "storage.buckets.insert", name, "", bucket.generation))
        return bucket_resource(bucket, self.origin)

    @locked
    def get_bucket(self, name: str, conditions: Conditions = UNCONDITIONAL) -> Json:
        """A bucket's resource.

        Raises:
            ApiError: 404, 412 or 304.
        """
        bucket = self._bucket(name)
        conditions.check(bucket.generation, bucket.metageneration)
        return bucket_resource(bucket, self.origin)

    @locked
    def list_buckets(self, project: str, prefix: str = "", after: str = "", limit: int = 1000) -> tuple[list[Json], bool]:
        """A project's buckets behind a name, in order, and whether there are more."""
        found = [
            bucket
            for name, bucket in sorted(self._buckets.items())
            if name.startswith(prefix) and name > after and bucket.project in {None, project} and name not in self.unreachable
        ]
        return [bucket_resource(bucket, self.origin) for bucket in found[:limit]], len(found) > limit

    @locked
    def patch_bucket(self, name: str, changes: Mapping[str, Any], conditions: Conditions = UNCONDITIONAL, *, replace: bool = False) -> Json:
        """Change a bucket's settings, or replace all of them.

        Raises:
            ApiError: 400, 404, 412 or 304.
        """
        bucket = self._bucket(name)
        conditions.check(bucket.generation, bucket.metageneration)
        asked = writable_bucket(changes)
        if (
            asked.pop("name", name) != name
            or str(asked.get("location", bucket.settings["location"])).upper() != bucket.settings["location"]
        ):
            raise invalid("A bucket's name and location cannot be changed.")
        now = self.now()
        kept = {"location": bucket.settings["location"]} if replace else bucket.settings
        bucket.settings = bucket_settings(merged(kept, asked), bucket.settings, now)
        bucket.metageneration += 1
        bucket.updated = now
        self.writes.append((now, "storage.buckets.patch", name, "", bucket.metageneration))
        return bucket_resource(bucket, self.origin)

    @locked
    def delete_bucket(self, name: str, conditions: Conditions = UNCONDITIONAL) -> None:
        """Delete an empty bucket; soft-deleted objects do not count.

        Raises:
            ApiError: 404, 412, 304, or 409 where it is not empty.
        """
        bucket = self._bucket(name)
        conditions.check(bucket.generation, bucket.metageneration)
        if bucket.live.count or bucket.noncurrent.count:
            raise ApiError(409, "conflict", "The bucket you tried to delete is not empty.")
        del self._buckets[name]
        self.writes.append((self.now(), "storage.buckets.delete", name, "", bucket.generation))

    # -- for the demo --------------------------------------------------------------------------------------------

    @locked
    def contents(self, name: str) -> tuple[list[Stored], list[Stored]]:
        """All live objects of a bucket in the order of their names, and all soft-deleted ones.

        Raises:
            ApiError: 404.
        """
        bucket = self._bucket(name)
        bucket.expire(self.now())
        live, deleted = (sorted(shelf, key=lambda each: (each.name, each.generation)) for shelf in (bucket.live, bucket.soft_deleted))
        return live, deleted

    @locked
    def snapshot(self) -> list[Json]:
        """What is there now: per bucket the sums, and its newest objects, at most 200 of them."""
        now = self.now()
        result = []
        for name, bucket in sorted(self._buckets.items()):
            bucket.expire(now)
            newest = heapq.nlargest(NEWEST_IN_SNAPSHOT, bucket.live, key=lambda stored: (stored.updated, stored.generation))
            result.append(
                {
                    "name": name,
                    "location": bucket.settings["location"],
                    "storage_class": bucket.settings["storageClass"],
                    "versioning": bucket.versioned,
                    "soft_delete_seconds": bucket.soft_delete_seconds,
                    "objects": bucket.live.count,
                    "bytes": bucket.live.bytes,
                    "noncurrent_objects": bucket.noncurrent.count,
                    "noncurrent_bytes": bucket.noncurrent.bytes,
                    "soft_deleted_objects": bucket.soft_deleted.count,
                    "soft_deleted_bytes": bucket.soft_deleted.bytes,
                    "newest": [
                        {"name": each.name, "size": each.size, "storage_class": each.storage_class, "updated": rfc3339(each.updated)}
                        for each in newest
                    ],
                },
            )
        return result

    def _bucket(self, name: str) -> Bucket:
        bucket = self._buckets.get(name)
        if bucket is None:
            raise not_found("The specified bucket does not exist.")
        return bucket

    def _announce(self) -> None:
        """Tell of events in the order of their changes: one thread does it for all, so that none overtakes another."""
        while self.on_event and self._events and self._announcing.acquire(blocking=False):
            try:
                while self._events:
                    self.on_event(*self._events.popleft())
            finally:
                self._announcing.release()
