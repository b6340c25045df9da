"""Cloud Storage's rules in small: checksums, holds and retention, an object's metadata, the limit on updates."""

from __future__ import annotations

import base64
import hashlib
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import google_crc32c

from sandbox.storage_errors import ApiError, forbidden, invalid
from sandbox.storage_resources import merged
from sandbox.storage_state import DEFAULT_CONTENT_TYPE, Bucket, Stored

UPDATES_IN_A_BURST = 5
_SLOTTED = frozenset({"name", "storageClass", "contentType", "metadata", "crc32c", "md5Hash"})


def checked_hashes(data: bytes, crc32c: str | None, md5: str | None) -> tuple[str, str]:
    """The CRC32C and MD5 of an object's bytes, as the API writes them, held against what the client says they are.

    Raises:
        ApiError: 400 where the bytes are not what the client says.
    """
    real_crc32c = base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()
    real_md5 = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
    for kind, said, real in (("CRC32C", crc32c, real_crc32c), ("MD5 hash", md5, real_md5)):
        if said is not None and said != real:
            raise invalid(f'Provided {kind} "{said}" doesn\'t match calculated {kind} "{real}".')
    return real_crc32c, real_md5


def apply(stored: Stored, properties: Mapping[str, Any], *, replace: bool = False) -> None:
    """Set the writable properties of an object: merged into what it has, or instead of it."""
    if replace or properties.get("contentType"):
        stored.content_type = sys.intern(properties.get("contentType") or DEFAULT_CONTENT_TYPE)
    if replace or "metadata" in properties:
        old = {} if replace or not properties.get("metadata") else stored.metadata or {}
        stored.metadata = merged(old, properties.get("metadata") or {}) or None
    extra = {key: value for key, value in properties.items() if key not in _SLOTTED}
    if replace or extra:
        before = stored.extra or {}
        kept = {key: value for key, value in before.items() if key == "retentionExpirationTime"} if replace else before
        stored.extra = merged(kept, extra) or None


def guard(bucket: Bucket, stored: Stored, now: datetime, *, archives: bool, hold_reason: str) -> None:
    """Refuse to part with an object that is held or retained.

    Where it only `archives` the object, which then is noncurrent, a hold forbids that too, but a retention does not.

    Raises:
        ApiError: 403 that says what keeps the object, and until when.
    """
    extra = stored.extra
    if extra:
        held = "Temporary" if extra.get("temporaryHold") else "Event-Based" if extra.get("eventBasedHold") else None
        if held:
            raise forbidden(
                f"Object '{bucket.name}/{stored.name}' is under active {held} hold "
                "and cannot be deleted, overwritten or archived until hold is removed.",
                hold_reason,
            )
    if archives or not (extra or "retentionPolicy" in bucket.settings):
        return
    until = bucket.retained_until(stored)
    if until is not None and until > now:
        raise forbidden(
            f"Object '{bucket.name}/{stored.name}' is subject to bucket's retention policy or object retention "
            f"and cannot be deleted or overwritten until {until.isoformat()}",
            "retentionPolicyNotMet",
        )


class UpdateLimit:
    """How often one object may be written: once a second, after a burst of five.

    Source: https://cloud.google.com/storage/docs/gcs429
    """

    def __init__(self) -> None:
        self._left: dict[tuple[str, str], tuple[float, datetime]] = {}

    def spend(self, bucket: str, name: str, now: datetime) -> None:
        """Count one update.

        Raises:
            ApiError: 429 where it comes too soon.
        """
        left, since = self._left.get((bucket, name), (float(UPDATES_IN_A_BURST), now))
        left = min(left + (now - since).total_seconds(), float(UPDATES_IN_A_BURST))
        if left < 1:
            raise ApiError(
                429,
                "rateLimitExceeded",
                f"The object {bucket}/{name} exceeded the rate limit for object mutation operations (create, update, and delete). "
                "Please reduce your request rate. See https://cloud.google.com/storage/docs/gcs429.",
                domain="usageLimits",
            )
        self._left[bucket, name] = left - 1, now
