"""``compress_objects``: old objects are compressed where they are, each under its name with an ending, and the originals deleted.

What that saves depends on the content: see docs/actions.md.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pydantic import Field

from shared.actions import Action
from shared.actions.on_objects import PERMISSIONS, OnObjects
from shared.model import StorageObject
from shared.policy.fields import Bytes
from shared.ports import ENDINGS, PARTS, Compression

COMPRESSED = (
    ".7z", ".avif", ".br", ".bz2", ".flac", ".gif", ".gz", ".heic", ".jpeg", ".jpg", ".lz4", ".lzma", ".m4a", ".mkv", ".mov", ".mp3",
    ".mp4", ".ogg", ".orc", ".parquet", ".png", ".rar", ".tbz2", ".tgz", ".txz", ".tzst", ".webm", ".webp", ".xz", ".zip", ".zst",
)  # fmt: skip
"""Endings of names of objects that are compressed already."""
COLD = frozenset({"COLDLINE", "ARCHIVE"})
"""Storage classes whose retrieval fee, for reading an object once and its compressed form once, is more than years of what compressing it saves:
https://cloud.google.com/storage/pricing."""
_PART = re.compile(rf"({'|'.join(map(re.escape, ENDINGS.values()))}){re.escape(PARTS)}[^/]+\Z")


class Params(OnObjects):
    """What stands under ``compress_objects`` in the policy; the age counts from when an object was written.

    Attributes:
        into: The format.
        larger_than: Only what is larger.
    """

    into: Compression = Field(default="zstd", description="The format.")
    larger_than: Bytes = Field(default=2**20, description="Only what is larger than this.")


class Compressible:
    """Which objects are compressed."""

    versions = False
    operation: Literal["delete", "compress"] = "compress"

    def extent(self, params: Params) -> Sequence[tuple[str, str]]:
        """The buckets with the folder."""
        return params.extent()

    def wants(self, each: StorageObject, params: Params, now: datetime) -> bool:
        """A live object that is old and large enough, that is not compressed already, and that can be read for little."""
        if each.noncurrent_since or now - each.created < params.older_than or each.size <= params.larger_than:
            return False
        return each.storage_class not in COLD and not _is_compressed(each.name)


def _is_compressed(name: str) -> bool:
    """Whether the name says so, or is that of a part of a compressed object, or of a folder."""
    return name.lower().endswith(COMPRESSED) or bool(_PART.search(name)) or name.endswith("/")


ACTION = Action(
    name="compress_objects",
    params=Params,
    permissions=PERMISSIONS,
    works=Compressible(),
)
