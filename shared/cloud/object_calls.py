"""Calls on single objects of a bucket: read in part, written as a stream, put together, deleted.

Objects are as the JSON API shows them: https://docs.cloud.google.com/storage/docs/json_api/v1/objects#resource.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.cloud.errors import translated
from shared.cloud.gcs import JsonApi, call_options
from shared.cloud.object_batch import segment
from shared.cloud.object_streams import Source, Upload
from shared.errors import Gone, Unavailable

Resource = Mapping[str, Any]

CHUNK = 4 * 1024 * 1024
"""Bytes in one request of an upload."""
COMPOSED = 32
"""Objects that are put together at once, at most: https://docs.cloud.google.com/storage/docs/composite-objects."""
CARRIED = ("contentType", "contentDisposition", "contentLanguage", "cacheControl", "customTime", "storageClass", "kmsKeyName")
"""What of an object can be handed on to another; its metadata besides."""

_STATE = ("contentEncoding", "temporaryHold", "eventBasedHold", "retentionExpirationTime", "timeDeleted", "customerEncryption")
_FIELDS = ",".join(("name", "generation", "size", "crc32c", "metadata", *CARRIED, *_STATE))
# https://docs.cloud.google.com/python/docs/reference/storage/latest/google.cloud.storage.blob.Blob; the type and the key are given otherwise.
_ATTRIBUTES = {
    "contentDisposition": "content_disposition",
    "contentLanguage": "content_language",
    "cacheControl": "cache_control",
    "customTime": "custom_time",
    "storageClass": "storage_class",
    "metadata": "metadata",
}


@dataclass(frozen=True, slots=True)
class ObjectCalls:
    """The objects of one bucket. Every method raises a `shared.errors.CloudError` and nothing else of a vendor's.

    Attributes:
        api: How calls are made.
        bucket: The bucket's name.
        patience: Seconds for which a call that fails is tried again.
    """

    api: JsonApi
    bucket: str
    patience: float

    def find(self, name: str, generation: int | None = None) -> Resource | None:
        """The live object, or one generation of it, live or noncurrent; None where there is none."""
        try:
            with translated(self._full(name)):
                found: Resource = self.api.get(self._path(name), generation=generation, fields=_FIELDS)
        except Gone:
            return None
        return found

    def below(self, prefix: str) -> list[Resource]:
        """All objects whose names begin with the prefix; none where there is no bucket."""
        found: list[Resource] = []
        token = None
        while True:
            try:
                with translated(self._full(f"{prefix}*")):
                    page = self.api.get(
                        f"/b/{segment(self.bucket)}/o", prefix=prefix, pageToken=token, fields=f"items({_FIELDS}),nextPageToken"
                    )
            except Gone:
                return found
            found += page.get("items", ())
            token = page.get("nextPageToken")
            if not token:
                return found

    @contextmanager
    def opened(self, each: Resource, first: int, size: int) -> Iterator[Source]:
        """Some bytes of this generation, as they are stored."""
        full = self._full(each["name"])
        with translated(full), self.api.opened(self._path(each["name"]), first, size, generation=int(each["generation"])) as raw:
            yield _Content(raw, full)

    def create(self, like: Resource, content: Generator[bytes]) -> Resource:
        """Write an object where there is none of the name.

        Args:
            like: Its name, its metadata, and what of `CARRIED` is to be set.
            content: Its content; where that raises, nothing is written. It is closed in any case.

        Raises:
            Conflict: There is one; it may be this one, where only the answer was lost.
        """
        full, upload = self._full(like["name"]), Upload(content)
        try:
            with translated(full), closing(content):
                blob = self.api.bucket(self.bucket).blob(like["name"], chunk_size=CHUNK, kms_key_name=_key(like))
                for name, attribute in _ATTRIBUTES.items():
                    if name in like:
                        setattr(blob, attribute, datetime.fromisoformat(like[name]) if name == "customTime" else like[name])
                # The sum is compared here: where it differs, the client would delete whatever is live under the name.
                blob.upload_from_file(
                    upload, content_type=like.get("contentType"), if_generation_match=0, checksum=None, **call_options(self.patience)
                )
        except ValueError as error:  # the client does not go on where less of a chunk arrived than was sent
            raise Unavailable(f"the upload was cut off: {error}", resource=full) from error
        made = {**like, "generation": str(blob.generation), "size": str(blob.size), "crc32c": blob.crc32c}
        if (blob.size, blob.crc32c) != (upload.sum.size, upload.sum.text):
            self.delete(made)
            raise Unavailable("what arrived is not what was sent", resource=full)
        return made

    def compose(self, like: Resource, sources: Sequence[Resource]) -> Resource:
        """Put an object together of others, which are gone then, where there is none of the name.

        All of them have one storage class, which becomes that of the new object. Deleted in this way they cost no early-deletion charge, and neither
        soft delete nor versions keep them: https://docs.cloud.google.com/storage/docs/composing-objects.

        Raises:
            Conflict: There is one; it may be this one, where only the answer was lost.
            Gone: A source is not there; they may be gone already, likewise.
        """
        document = {
            "sourceObjects": [
                {"name": each["name"], "generation": each["generation"], "objectPreconditions": {"ifGenerationMatch": each["generation"]}}
                for each in sources
            ],
            "destination": {name: value for name, value in like.items() if name not in ("name", "kmsKeyName")},
            "deleteSourceObjects": True,
        }
        with translated(self._full(like["name"])):
            made: Resource = self.api.post(
                f"{self._path(like['name'])}/compose", document, ifGenerationMatch=0, kmsKeyName=_key(like), fields=_FIELDS
            )
        return made

    def delete(self, each: Resource) -> None:
        """Delete this generation for good, so that no version of it stays; one that is gone already is no error."""
        try:
            with translated(self._full(each["name"])):
                self.api.delete(self._path(each["name"]), generation=int(each["generation"]))
        except Gone:
            return

    def _path(self, name: str) -> str:
        return f"/b/{segment(self.bucket)}/o/{segment(name)}"

    def _full(self, name: str) -> str:
        return f"gs://{self.bucket}/{name}"


@dataclass(frozen=True, slots=True)
class _Content:
    raw: Any
    full: str

    def read(self, size: int, /) -> bytes:
        with translated(self.full):
            read: bytes = self.raw.read(size)
        return read


def _key(like: Resource) -> str | None:
    """The key that it is encrypted with, without the version, which is no key of its own: https://docs.cloud.google.com/storage/docs/encryption."""
    key = like.get("kmsKeyName")
    return key.partition("/cryptoKeyVersions/")[0] if key else None
