"""The JSON of the Cloud Storage API: resources as they are answered, and what a request body may hold.

Source: https://cloud.google.com/storage/docs/json_api/v1/objects and .../v1/buckets
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from sandbox.storage_errors import Json, invalid
from sandbox.storage_lifecycle import check_lifecycle
from sandbox.storage_state import Bucket, Stored

PROJECT_NUMBER = "123456789012"
SOFT_DELETE_DEFAULT = 604_800
SOFT_DELETE_MAXIMUM = 7_776_000
STORAGE_CLASSES = {
    name: name for name in ("STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE", "MULTI_REGIONAL", "REGIONAL", "DURABLE_REDUCED_AVAILABILITY")
}


def _words(text: str) -> list[str]:
    return text.split()


_OBJECT_TEXT = ("contentType", "contentEncoding", "contentDisposition", "contentLanguage", "cacheControl", "storageClass", "customTime")
_OBJECT_TYPES: dict[str, type] = {
    **dict.fromkeys(_OBJECT_TEXT, str),
    **dict.fromkeys(("name", "crc32c", "md5Hash"), str),
    **dict.fromkeys(("temporaryHold", "eventBasedHold"), bool),
    "metadata": dict,
}
_OBJECT_OUTPUT = frozenset(
    _words(
        "kind id selfLink mediaLink bucket generation metageneration size etag timeCreated updated"
        " timeDeleted timeFinalized timeStorageClassUpdated softDeleteTime hardDeleteTime"
        " retentionExpirationTime componentCount owner kmsKeyName customerEncryption restoreToken"
    ),
)
OBJECT_FIELDS = _OBJECT_OUTPUT | _OBJECT_TYPES.keys() | {"acl", "retention", "contexts"}

_BUCKET_TYPES: dict[str, type] = {
    **dict.fromkeys(("name", "location", "storageClass", "rpo"), str),
    **dict.fromkeys(
        _words(
            "autoclass billing customPlacementConfig encryption hierarchicalNamespace iamConfiguration ipFilter"
            " labels lifecycle logging retentionPolicy softDeletePolicy versioning website"
        ),
        dict,
    ),
    "cors": list,
    "defaultEventBasedHold": bool,
}
_BUCKET_OUTPUT = frozenset(
    _words(
        "kind id selfLink projectNumber generation metageneration etag timeCreated updated locationType owner"
        " satisfiesPZS satisfiesPZI softDeleteTime hardDeleteTime"
    ),
)
BUCKET_FIELDS = _BUCKET_OUTPUT | _BUCKET_TYPES.keys() | {"acl", "defaultObjectAcl", "objectRetention"}

_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_LABEL = re.compile(r"[\w-]{0,63}")


def rfc3339(time: datetime) -> str:
    """A UTC time as the API writes it, in milliseconds."""
    return time.isoformat(timespec="milliseconds")[:-6] + "Z"


def _etag(generation: int, metageneration: int) -> str:
    return base64.b64encode(f"{generation:x}/{metageneration:x}".encode()).decode()


def object_resource(bucket: Bucket, stored: Stored, origin: str) -> Json:
    """An object as the API answers it.

    The origin is the scheme and host of ``selfLink`` and ``mediaLink``; clients download from the latter.
    """
    path = f"storage/v1/b/{bucket.name}/o/{quote(stored.name, safe='')}"
    created = rfc3339(stored.created)
    resource: Json = {
        "kind": "storage#object",
        "id": f"{bucket.name}/{stored.name}/{stored.generation}",
        "selfLink": f"{origin}/{path}",
        "mediaLink": f"{origin}/download/{path}?generation={stored.generation}&alt=media",
        "name": stored.name,
        "bucket": bucket.name,
        "generation": str(stored.generation),
        "metageneration": str(stored.metageneration),
        "contentType": stored.content_type,
        "storageClass": stored.storage_class,
        "size": str(stored.size),
        "crc32c": stored.crc32c,
        "etag": _etag(stored.generation, stored.metageneration),
        "timeCreated": created,
        "updated": created if stored.updated is stored.created else rfc3339(stored.updated),
        "timeStorageClassUpdated": created,
        "timeFinalized": created,
    }
    if stored.md5:
        resource["md5Hash"] = stored.md5
    if stored.metadata:
        resource["metadata"] = dict(stored.metadata)
    if stored.extra:
        resource.update(stored.extra)
    if bucket.settings.get("retentionPolicy") and (until := bucket.retained_until(stored)):
        resource["retentionExpirationTime"] = rfc3339(until)
    if stored.noncurrent_since:
        resource["timeDeleted"] = rfc3339(stored.noncurrent_since)
    if stored.soft_deleted_at and stored.hard_delete_at:
        resource["softDeleteTime"] = rfc3339(stored.soft_deleted_at)
        resource["hardDeleteTime"] = rfc3339(stored.hard_delete_at)
    return resource


def location_type(location: str) -> str:
    """Which kind of place a location is."""
    if location in {"US", "EU", "ASIA"}:
        return "multi-region"
    return "region" if "-" in location else "dual-region"


def bucket_resource(bucket: Bucket, origin: str) -> Json:
    """A bucket as the API answers it."""
    return {
        "kind": "storage#bucket",
        "id": bucket.name,
        "selfLink": f"{origin}/storage/v1/b/{bucket.name}",
        "name": bucket.name,
        "projectNumber": PROJECT_NUMBER,
        "generation": str(bucket.generation),
        "metageneration": str(bucket.metageneration),
        "etag": _etag(0, bucket.metageneration),
        "timeCreated": rfc3339(bucket.created),
        "updated": rfc3339(bucket.updated),
        "locationType": location_type(bucket.settings["location"]),
        **bucket.settings,
    }


def _writable(body: Mapping[str, Any], types: Mapping[str, type], output: frozenset[str], what: str) -> Json:
    """The writable part of a body; what the service only ever answers is taken and ignored, as it does itself."""
    result: Json = {}
    for key, value in body.items():
        if key in output:
            continue
        if key in {"acl", "defaultObjectAcl"}:
            raise invalid(f"Cannot use ACL API to update {what} policy when uniform bucket-level access is enabled.")
        expected = types.get(key)
        if expected is None:
            raise invalid(f"Invalid JSON payload received. Unknown name \"{key}\" at '{what}': Cannot find field.")
        if value is not None and not isinstance(value, expected):
            raise invalid(f"Invalid value for: {key} must be a {expected.__name__}")
        result[key] = value
    return result


def writable_object(body: Mapping[str, Any]) -> Json:
    """What a body says about an object.

    Raises:
        ApiError: 400 for an unknown field or a value that the service does not take.
    """
    if body.get("retention"):
        raise invalid("The bucket does not have object retention enabled.")
    known = {key: value for key, value in body.items() if key not in {"retention", "contexts"} or value}
    result = _writable(known, _OBJECT_TYPES, _OBJECT_OUTPUT, "object")
    storage_class = result.get("storageClass")
    if storage_class is not None and storage_class not in STORAGE_CLASSES:
        raise invalid(f"Invalid argument: {storage_class} is not a storage class.")
    for key, value in (result.get("metadata") or {}).items():
        if value is not None and not isinstance(value, str):
            raise invalid(f"Invalid value for: metadata.{key} must be a string")
    if result.get("customTime"):
        result["customTime"] = rfc3339_text(result["customTime"], "customTime")
    return result


def rfc3339_text(text: str, field: str) -> str:
    """The same time in the API's own spelling."""
    error = invalid(f"Invalid value for: {field} must be an RFC 3339 time, not {text!r}")
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise error from None
    if time.tzinfo is None:
        raise error
    return rfc3339(time.astimezone(UTC))


def writable_bucket(body: Mapping[str, Any]) -> Json:
    """What a body says about a bucket, each field checked for its type alone.

    Raises:
        ApiError: 400 for an unknown field or a value of the wrong type.
    """
    return _writable(
        {key: value for key, value in body.items() if key != "objectRetention" or value}, _BUCKET_TYPES, _BUCKET_OUTPUT, "bucket"
    )


def merged(old: Mapping[str, Any], changes: Mapping[str, Any]) -> Json:
    """A patch applied: null removes, an object is merged key by key, anything else replaces; empty labels remove all."""
    result = dict(old)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and not (key in {"labels", "metadata"} and not value):
            result[key] = merged(result.get(key) or {}, value)
        else:
            result[key] = value
    return result


def bucket_name(name: object) -> str:
    """A bucket's name that the service takes.

    Source: https://cloud.google.com/storage/docs/buckets#naming
    """
    if not isinstance(name, str) or not _BUCKET_NAME.fullmatch(name) or name.startswith("goog") or (len(name) > 63 and "." not in name):
        raise invalid(f"Invalid bucket name: '{name}'")
    return name


def object_name(name: object) -> str:
    """An object's name that the service takes.

    Source: https://cloud.google.com/storage/docs/objects#naming
    """
    if not isinstance(name, str) or not name:
        raise invalid("Required: the object's name")
    if name in {".", ".."} or "\n" in name or "\r" in name or name.startswith(".well-known/acme-challenge/") or len(name.encode()) > 1024:
        raise invalid(f"Invalid object name: {name[:80]!r}")
    return name


def bucket_settings(settings: Json, before: Json, now: datetime) -> Json:
    """A bucket's settings made whole: defaults filled in, values checked.

    The settings before (empty for a new bucket) let an effective time change only with what it belongs to.

    Raises:
        ApiError: 400 for a value that the service does not take.
    """
    result = {"location": "US", "storageClass": "STANDARD", **settings}
    result["location"] = result["location"].upper()
    if result["storageClass"] not in STORAGE_CLASSES:
        raise invalid(f"Invalid argument: {result['storageClass']} is not a storage class.")
    access = result.get("iamConfiguration") or {}
    result["iamConfiguration"] = {"publicAccessPrevention": "inherited", "uniformBucketLevelAccess": {"enabled": False}, **access}
    result["softDeletePolicy"] = _soft_delete(result.get("softDeletePolicy") or {}, before.get("softDeletePolicy") or {}, now)
    if retention := result.get("retentionPolicy"):
        result["retentionPolicy"] = _retention(retention, before.get("retentionPolicy") or {}, now)
    _check_labels(result.get("labels") or {})
    if "lifecycle" in result:
        check_lifecycle(result["lifecycle"], STORAGE_CLASSES)
        if not result["lifecycle"].get("rule"):
            del result["lifecycle"]
    return {key: value for key, value in result.items() if value not in (None, {}, [])}


def _seconds(value: object, field: str) -> int:
    try:
        return int(str(value))
    except ValueError:
        raise invalid(f"Invalid value for: {field} must be a number of seconds, not {value!r}") from None


def _soft_delete(policy: Json, before: Json, now: datetime) -> Json:
    if unknown := policy.keys() - {"retentionDurationSeconds", "effectiveTime"}:
        raise invalid(f"Unknown name \"{min(unknown)}\" at 'bucket.soft_delete_policy'")
    seconds = _seconds(policy.get("retentionDurationSeconds", SOFT_DELETE_DEFAULT), "softDeletePolicy.retentionDurationSeconds")
    if seconds and not SOFT_DELETE_DEFAULT <= seconds <= SOFT_DELETE_MAXIMUM:
        raise invalid("Soft delete policies must have a retention duration of 0, or between 604800 and 7776000 seconds.")
    if before.get("retentionDurationSeconds") == str(seconds):
        return before
    return {"retentionDurationSeconds": str(seconds), "effectiveTime": rfc3339(now)}


def _retention(policy: Json, before: Json, now: datetime) -> Json:
    if unknown := policy.keys() - {"retentionPeriod", "effectiveTime", "isLocked"}:
        raise invalid(f"Unknown name \"{min(unknown)}\" at 'bucket.retention_policy'")
    seconds = _seconds(policy.get("retentionPeriod"), "retentionPolicy.retentionPeriod")
    if not 1 <= seconds <= 3_155_760_000:
        raise invalid("Retention policies must have a retention period between 1 and 3155760000 seconds.")
    if before.get("retentionPeriod") == str(seconds):
        return before
    return {"retentionPeriod": str(seconds), "effectiveTime": rfc3339(now)}


def _check_labels(labels: Json) -> None:
    if len(labels) > 64:
        raise invalid("A bucket may have at most 64 labels.")
    for key, value in labels.items():
        if (
            not isinstance(value, str)
            or not key
            or not _LABEL.fullmatch(key)
            or not _LABEL.fullmatch(value)
            or key + value != (key + value).lower()
        ):
            raise invalid(f"Invalid label: {key!r}: {value!r}. Keys and values are lowercase letters, digits, _ and -, at most 63.")
