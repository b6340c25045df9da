"""Cloud Storage's rules: what each call does to buckets and objects, and what is refused.

Where the documentation is silent the stand-in does what others have measured of the service: a precondition is
judged before a hold (412 before 403), a failed "not match" answers 304, a restore leaves the soft-deleted generation
restorable, and a held object is refused with the reason ``forbidden``, told from a missing permission by its sentence
alone. The documentation names ``objectUnderActiveHold`` for it; `Storage.hold_reason` says which one is answered.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sandbox import storage_compose, storage_listing
from sandbox.storage_buckets import Buckets, locked
from sandbox.storage_errors import ApiError, Json, invalid, no_object, parameter_required
from sandbox.storage_resources import STORAGE_CLASSES, object_name, object_resource, rfc3339, writable_object
from sandbox.storage_rules import apply, checked_hashes, guard
from sandbox.storage_state import EMPTY_CRC32C, UNCONDITIONAL, Bucket, Conditions, Stored, generations

EVENT = "google.cloud.storage.object.v1."


class Storage(Buckets):
    """All buckets of the stand-in and their objects."""

    # -- objects: reading ----------------------------------------------------------------------------------------

    @locked
    def get(
        self,
        bucket: str,
        name: str,
        generation: int | None = None,
        conditions: Conditions = UNCONDITIONAL,
        *,
        soft_deleted: bool = False,
    ) -> Stored:
        """The live object, one generation of it, or a soft-deleted generation.

        Raises:
            ApiError: 404, 412, 304, or 400 for a soft-deleted object without its generation.
        """
        holder = self._bucket(bucket)
        stored = self._soft_deleted(holder, name, generation) if soft_deleted else self._object(holder, name, generation)
        conditions.check(stored.generation, stored.metageneration)
        return stored

    @locked
    def resource(self, bucket: str, stored: Stored) -> Json:
        """An object as the API answers it."""
        return object_resource(self._bucket(bucket), stored, self.origin)

    @locked
    def list_objects(self, bucket: str, query: storage_listing.Query) -> Json:
        """One page of a listing, as the API answers it.

        Raises:
            ApiError: 404, or 400 for a query that contradicts itself or the bucket.
        """
        holder = self._bucket(bucket)
        if query.soft_deleted:
            if query.versions:
                raise invalid("softDeleted and versions cannot both be true.")
            self._require_soft_delete(holder)
            holder.expire(self.now())
        page = storage_listing.page(holder, query)
        answer: Json = {"kind": "storage#objects"}
        if page.next_page_token:
            answer["nextPageToken"] = page.next_page_token
        if page.prefixes:
            answer["prefixes"] = page.prefixes
        if page.items:
            answer["items"] = [object_resource(holder, stored, self.origin) for stored in page.items]
        return answer

    # -- objects: writing ----------------------------------------------------------------------------------------

    @locked
    def insert(
        self,
        bucket: str,
        name: str,
        data: bytes,
        properties: Mapping[str, Any],
        conditions: Conditions = UNCONDITIONAL,
        *,
        method: str = "storage.objects.insert",
        key: str | None = None,
    ) -> Json:
        """Write an object whole, over whatever is live under the name, perhaps encrypted with a key of the customer's.

        The properties are named as the API names them; ``crc32c`` and ``md5Hash`` are compared with the bytes.

        Raises:
            ApiError: 400 (properties, checksums), 403 (hold, retention), 404 (no bucket), 412, 304 or 429.
        """
        holder = self._bucket(bucket)
        crc32c, md5 = checked_hashes(data, properties.get("crc32c"), properties.get("md5Hash"))
        now = self.now()
        stored = Stored(object_name(name), generations.next(now), len(data), now, now, crc32c=crc32c, md5=md5, data=data)
        stored.extra = {"kmsKeyName": storage_compose.key_version(key)} if key else None
        return self._store(holder, stored, writable_object(properties), conditions, method)

    @locked
    def put(
        self,
        /,
        bucket: str,
        name: str,
        data: bytes = b"",
        *,
        size: int | None = None,
        created: datetime | None = None,
        retain_until: datetime | None = None,
        **properties: Any,
    ) -> int:
        """Write an object from this side of the wire and return its generation. The same rules hold.

        With `size` it pretends to have that many bytes and keeps none, so they cannot be downloaded. `created` is when
        it shall have been written, and `retain_until` (UTC) keeps it as an object retention does. Further properties
        are named as the API names them.
        """
        crc32c, md5 = checked_hashes(data, None, None) if size is None else (EMPTY_CRC32C, None)
        at = created or self.now()
        stored = Stored(
            object_name(name),
            generations.next(at),
            len(data) if size is None else size,
            at,
            at,
            crc32c=crc32c,
            md5=md5,
            data=data if size is None else None,
        )
        if retain_until:
            stored.extra = {"retentionExpirationTime": rfc3339(retain_until.astimezone(UTC))}
        asked = writable_object(properties) if properties else properties
        self._store(self._bucket(bucket), stored, asked, UNCONDITIONAL, "storage.objects.insert")
        return stored.generation

    @locked
    def patch(
        self,
        bucket: str,
        name: str,
        changes: Mapping[str, Any],
        generation: int | None = None,
        conditions: Conditions = UNCONDITIONAL,
        *,
        replace: bool = False,
    ) -> Json:
        """Change an object's metadata, or replace it whole. Holds and retention do not forbid it.

        Raises:
            ApiError: 400, 404, 412, 304 or 429.
        """
        holder = self._bucket(bucket)
        stored = self._object(holder, name, generation)
        conditions.check(stored.generation, stored.metageneration)
        asked = writable_object(changes)
        if asked.pop("name", name) != name or asked.pop("storageClass", stored.storage_class) != stored.storage_class:
            raise invalid("An object's name and storage class cannot be patched; rewrite the object.")
        asked.pop("crc32c", None)
        asked.pop("md5Hash", None)
        before = (stored.extra or {}).get("customTime")
        if before and (asked.get("customTime", "" if replace else before) or "") < before:
            raise invalid("Custom time cannot be removed or set to an earlier time.")
        now = self.now()
        self._spend_update(bucket, name, now)
        apply(stored, asked, replace=replace)
        stored.metageneration += 1
        stored.updated = now
        self._record(holder, stored, "storage.objects.patch", "metadataUpdated", now)
        return object_resource(holder, stored, self.origin)

    @locked
    def delete(self, bucket: str, name: str, generation: int | None = None, conditions: Conditions = UNCONDITIONAL) -> None:
        """Delete the live object, or one generation for good.

        In a bucket with versioning the live object becomes noncurrent unless its generation is named.
        Whatever is deleted for good stays restorable while the bucket's soft delete policy keeps it.

        Raises:
            ApiError: 403 (hold, retention), 404, 412, 304 or 429.
        """
        holder = self._bucket(bucket)
        stored = self._object(holder, name, generation)
        conditions.check(stored.generation, stored.metageneration)
        archives = generation is None and holder.versioned
        now = self.now()
        guard(holder, stored, now, archives=archives, hold_reason=self.hold_reason)
        self._spend_update(bucket, name, now)
        self._retire(holder, stored, now, archives=archives)
        self.writes.append((now, "storage.objects.delete", bucket, name, stored.generation))

    @locked
    def restore(self, bucket: str, name: str, generation: int | None, conditions: Conditions = UNCONDITIONAL) -> Json:
        """Make a new live generation of a soft-deleted one, which stays restorable itself.

        Source: https://cloud.google.com/storage/docs/json_api/v1/objects/restore

        Raises:
            ApiError: 400 without a generation or a soft delete policy, 403, 404, 412 (judged against the live object), 304 or 429.
        """
        holder = self._bucket(bucket)
        old = self._soft_deleted(holder, name, generation)
        now = self.now()
        stored = Stored(
            name,
            generations.next(now),
            old.size,
            now,
            now,
            storage_class=old.storage_class,
            content_type=old.content_type,
            crc32c=old.crc32c,
            md5=old.md5,
            data=old.data,
            metadata=old.metadata and dict(old.metadata),
            extra=old.extra and dict(old.extra),
        )
        return self._store(holder, stored, {"storageClass": old.storage_class}, conditions, "storage.objects.restore")

    @locked
    def rewrite(
        self,
        source: tuple[str, str, int | None],
        destination: tuple[str, str],
        properties: Mapping[str, Any],
        source_conditions: Conditions = UNCONDITIONAL,
        conditions: Conditions = UNCONDITIONAL,
        *,
        method: str = "storage.objects.rewrite",
    ) -> Json:
        """Copy an object (bucket, name and generation, or none for the live one), perhaps onto itself in another class.

        The properties replace the source's metadata; a name or a storage class alone leaves the rest as it was.

        Raises:
            ApiError: 400, 403, 404, 412, 304 or 429.
        """
        old = self._object(self._bucket(source[0]), source[1], source[2])
        source_conditions.check(old.generation, old.metageneration)
        holder = self._bucket(destination[0])
        asked = writable_object(properties)
        now = self.now()
        stored = Stored(
            object_name(destination[1]), generations.next(now), old.size, now, now, crc32c=old.crc32c, md5=old.md5, data=old.data
        )
        if not asked.keys() - {"name", "storageClass"}:
            kept = {key: value for key, value in (old.extra or {}).items() if not key.endswith("Hold") and key != "retentionExpirationTime"}
            asked = {"contentType": old.content_type, "metadata": old.metadata, **kept, **asked}
        return self._store(holder, stored, asked, conditions, method)

    @locked
    def compose(
        self,
        bucket: str,
        name: str,
        asked: storage_compose.Composition,
        conditions: Conditions = UNCONDITIONAL,
        *,
        key: str | None = None,
    ) -> Json:
        """Put an object together of others of the bucket; it has their storage class, and no MD5.

        Sources that are deleted with it are gone for good: neither soft delete nor versions keep them.

        Raises:
            ApiError: 400, 403, 404, 412, 304 or 429.
        """
        holder, now = self._bucket(bucket), self.now()
        sources = []
        for each in asked.sources:
            found = self._object(holder, each.name, each.generation)
            live = holder.live.one(each.name)
            Conditions(generation=each.expected).check(live.generation if live else 0, None)
            sources.append(found)
        if asked.deletes and any(source.name == name for source in sources):
            raise invalid("An object cannot be composed of itself and deleted.")
        data, storage_class, components = storage_compose.composed(sources)
        properties = {**writable_object(asked.destination), "storageClass": storage_class}
        crc32c, _ = checked_hashes(data, properties.get("crc32c"), None)
        stored = Stored(object_name(name), generations.next(now), len(data), now, now, crc32c=crc32c, data=data)
        stored.extra = {"componentCount": components, **({"kmsKeyName": storage_compose.key_version(key)} if key else {})}
        spent = list(dict.fromkeys(sources)) if asked.deletes else []
        if spent:
            self.demand(bucket, "storage.objects.delete")
            for source in spent:
                guard(holder, source, now, archives=False, hold_reason=self.hold_reason)
        answer = self._store(holder, stored, properties, conditions, "storage.objects.compose")
        for source in spent:
            holder.erase(source)
            self._happened(holder, source, "deleted")
            self.writes.append((now, "storage.objects.delete", bucket, source.name, source.generation))
        return answer

    @staticmethod
    def _object(bucket: Bucket, name: str, generation: int | None) -> Stored:
        stored = bucket.find(name, generation)
        if stored is None:
            raise no_object(bucket.name, name, generation)
        return stored

    @staticmethod
    def _require_soft_delete(bucket: Bucket) -> None:
        if not bucket.soft_delete_seconds and not bucket.soft_deleted.count:
            raise ApiError(400, "SoftDeletePolicyRequired", f"Bucket '{bucket.name}' has no soft delete policy.")

    def _soft_deleted(self, bucket: Bucket, name: str, generation: int | None) -> Stored:
        if generation is None:
            raise parameter_required("generation")
        self._require_soft_delete(bucket)
        bucket.expire(self.now())
        stored = bucket.soft_deleted.find(name, generation)
        if stored is None:
            raise no_object(bucket.name, name, generation)
        return stored

    def _store(self, bucket: Bucket, stored: Stored, properties: Mapping[str, Any], conditions: Conditions, method: str) -> Json:
        """Make an object the live one: the one way in for everything that writes."""
        present = bucket.live.one(stored.name)
        conditions.check(present.generation if present else 0, present.metageneration if present else None)
        now = self.now()
        if present:
            self.demand(bucket.name, "storage.objects.delete")
            guard(bucket, present, now, archives=bucket.versioned, hold_reason=self.hold_reason)
        self._spend_update(bucket.name, stored.name, now)
        stored.storage_class = STORAGE_CLASSES[properties.get("storageClass") or bucket.settings["storageClass"]]
        if properties:
            apply(stored, properties)
        if bucket.settings.get("defaultEventBasedHold") and "eventBasedHold" not in (stored.extra or {}):
            stored.extra = {**(stored.extra or {}), "eventBasedHold": True}
        if present:
            self._retire(bucket, present, now, archives=bucket.versioned)
        bucket.live.add(stored)
        self._record(bucket, stored, method, "finalized", now)
        return object_resource(bucket, stored, self.origin)

    def _retire(self, bucket: Bucket, stored: Stored, now: datetime, *, archives: bool) -> None:
        """Take an object out of use: noncurrent, soft-deleted or gone."""
        if archives:
            bucket.archive(stored, now)
        else:
            bucket.discard(stored, now)
        self._happened(bucket, stored, "archived" if archives else "deleted")

    def _record(self, bucket: Bucket, stored: Stored, method: str, event: str, now: datetime) -> None:
        self.writes.append((now, method, bucket.name, stored.name, stored.generation))
        self._happened(bucket, stored, event)

    def _happened(self, bucket: Bucket, stored: Stored, event: str) -> None:
        if self.on_event and (self.listening is None or bucket.name in self.listening):
            self._events.append((EVENT + event, object_resource(bucket, stored, self.origin)))

    def _spend_update(self, bucket: str, name: str, now: datetime) -> None:
        if self.object_update_limit:
            self._updates.spend(bucket, name, now)
