"""The objects of a plan, written down before any of them is changed: one JSON object a line, compressed. Pure."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from shared.errors import JournalError
from shared.model import StorageObject

_LONGEST = 8192
"""Characters of a line at most: a name has 1024 bytes, and JSON writes each of them as six characters at most."""


def pack(objects: Iterable[StorageObject]) -> bytes:
    """The manifest of these objects; the same objects give the same bytes."""
    lines = (json.dumps(_line(each), separators=(",", ":")) for each in objects)
    return gzip.compress("\n".join(lines).encode(), compresslevel=5, mtime=0)


def unpack(data: bytes, name: str, count: int) -> list[StorageObject]:
    """The objects of a manifest.

    Args:
        data: As it was written.
        name: The manifest's name, for people.
        count: How many objects were written.

    Raises:
        JournalError: It is damaged.
    """
    try:
        objects = [_object(json.loads(line)) for line in _unpacked(data, _LONGEST * (count + 1)).decode().splitlines()]
    except (OSError, EOFError, zlib.error, ValueError, LookupError, TypeError, AttributeError) as error:
        raise _damaged(name, f"{type(error).__name__}: {error}") from error
    if len(objects) != count:
        raise _damaged(name, f"it lists {len(objects):,} of {count:,} objects")
    return objects


def _unpacked(data: bytes, most: int) -> bytes:
    """What is compressed, and not more than what was written can come to, whatever somebody else put in its place."""
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        unpacked = file.read(most + 1)
    if len(unpacked) > most:
        raise ValueError("it is larger than what was written")
    return unpacked


def _damaged(name: str, why: str) -> JournalError:
    return JournalError(name, f"is damaged ({why}); put an earlier version of the object back")


def _line(each: StorageObject) -> dict[str, Any]:
    line: dict[str, Any] = {
        "name": each.name,
        "generation": each.generation,
        "size": each.size,
        "storage_class": each.storage_class,
        "created": each.created.isoformat(),
        "crc32c": each.crc32c,
    }
    if each.noncurrent_since:
        line["noncurrent_since"] = each.noncurrent_since.isoformat()
    return line


def _object(line: dict[str, Any]) -> StorageObject:
    noncurrent = line.get("noncurrent_since")
    return StorageObject(
        name=line["name"],
        generation=int(line["generation"]),
        size=int(line["size"]),
        storage_class=line["storage_class"],
        created=datetime.fromisoformat(line["created"]),
        crc32c=line["crc32c"],
        noncurrent_since=datetime.fromisoformat(noncurrent) if noncurrent else None,
    )
