"""The buckets that are watched, on Cloud Storage: https://cloud.google.com/storage/docs/json_api/v1/objects."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from shared.cloud.errors import translate, translated
from shared.cloud.gcs import JsonApi
from shared.cloud.object_batch import Reply, call, pack, segment, unpack
from shared.errors import Denied, Gone, Refused, Unavailable
from shared.model import BucketFacts, StorageObject
from shared.ports import DONE, Answer, Compression, Fate

if TYPE_CHECKING:
    from shared.cloud.object_compression import Compressing

PAGE = 1000
"""Objects on a page at most: https://cloud.google.com/storage/docs/json_api/v1/objects/list."""
_PIECE = 64 * 1024
_OBJECT = "name,generation,size,storageClass,timeCreated,crc32c,temporaryHold,eventBasedHold,retentionExpirationTime,timeDeleted"
_BUCKET = "location,softDeletePolicy(retentionDurationSeconds),versioning(enabled),autoclass(enabled),labels"

_UNANSWERED = Answer("unavailable", "the batch was answered, and this call of it was not")
_BY_STATUS: dict[int, Fate] = {404: "gone", 412: "changed"}
# The reasons that the documentation names; what the service answers is `forbidden`, with one of the sentences.
_KEPT_REASONS = frozenset({"objectUnderActiveHold", "retentionPolicyNotMet"})
_KEPT_SENTENCE = re.compile(r"under active \S+ hold|retention policy|object retention", re.IGNORECASE)


class GcsObjectStore:
    """Fulfils `shared.ports.ObjectStore`. All methods may be called from several threads; ten connections are kept."""

    def __init__(self, *, patience: float = 10.0, span: int | None = None) -> None:
        """Nothing is connected before the first call.

        Args:
            patience: Seconds for which a call that fails is tried again.
            span: Bytes of an object that are compressed as one part, if not as many as usual.
        """
        self._api = JsonApi(patience)
        self._patience = patience
        self._span = span

    def facts(self, bucket: str) -> BucketFacts:
        """What the bucket is like."""
        with translated(f"gs://{bucket}"):
            found = self._api.get(f"/b/{segment(bucket)}", fields=_BUCKET)
        return BucketFacts(
            name=bucket,
            location=found["location"].lower(),
            soft_delete=timedelta(seconds=int(found.get("softDeletePolicy", {}).get("retentionDurationSeconds", 0))),
            versioned=bool(found.get("versioning", {}).get("enabled")),
            autoclass=bool(found.get("autoclass", {}).get("enabled")),
            labels=found.get("labels", {}),
        )

    def pages(self, bucket: str, prefix: str, *, after: str = "", versions: bool = False) -> Iterator[Sequence[StorageObject]]:
        """All objects whose names begin with the prefix, in the order of their names, page by page."""
        fields = f"items({_OBJECT}),nextPageToken"
        for page in self._listing(bucket, prefix, fields=fields, startOffset=after or None, versions="true" if versions else None):
            objects = [_object(item) for item in page.get("items", ())]
            if after and objects and objects[0].name == after:  # the offset is a name that the listing begins with, where it exists
                objects = [each for each in objects if each.name != after]
            if objects:
                yield objects

    def folders(self, bucket: str, prefix: str) -> Iterator[str]:
        """The folders directly below the prefix, each with its slash at the end, in order."""
        for page in self._listing(bucket, prefix, fields="prefixes,nextPageToken", delimiter="/"):
            yield from page.get("prefixes", ())

    def find(self, bucket: str, name: str) -> StorageObject | None:
        """The live object of this name, or None."""
        try:
            with translated(f"gs://{bucket}/{name}"):
                return _object(self._api.get(f"{_folder(bucket)}{segment(name)}", fields=_OBJECT))
        except Gone:
            return None

    def read(self, bucket: str, name: str, *, generation: int, limit: int) -> bytes:
        """The content of one generation, in one call; of one that is too large, no more than tells so is read."""
        full = f"gs://{bucket}/{name}"

        def take(answer: Any) -> bytes:
            from requests.exceptions import ContentDecodingError

            content = bytearray()
            try:
                if int(answer.headers.get("content-length", 0)) <= limit:
                    for piece in answer.iter_content(_PIECE):  # decompressed, where it is stored so, to any size
                        content += piece
                        if len(content) > limit:
                            break
                    else:
                        return bytes(content)
            except ContentDecodingError as error:
                raise Refused("is said to be compressed and is not, so it is not read", resource=full) from error
            raise Refused(f"is larger than {limit:,} bytes, so it is not read", resource=full)

        with translated(full):
            return self._api.media(f"{_folder(bucket)}{segment(name)}", take, generation=generation)

    def delete(self, bucket: str, objects: Sequence[StorageObject]) -> Sequence[Answer]:
        """Delete these generations if they still are the live ones; one answer for each, in order."""
        replies = self._batch(bucket, [_deletion(_folder(bucket), each) for each in objects])
        return [_answer(reply, each) for reply, each in zip(replies, objects, strict=True)]

    def restore(self, bucket: str, objects: Sequence[StorageObject]) -> Sequence[Answer]:
        """Bring soft-deleted generations back where no object of the name is live; one answer for each, in order."""
        folder = _folder(bucket)
        replies = [*self._batch(bucket, [_restoration(folder, each) for each in objects])]
        # Of these nothing is soft-deleted (400 where the bucket has no soft delete at all), and a noncurrent version may be there.
        others = [number for number, reply in enumerate(replies) if reply and reply.status in (400, 404)]
        for number, reply in zip(others, self._batch(bucket, [_copy(folder, objects[number]) for number in others]), strict=True):
            replies[number] = reply
        return [_answer(reply, each) for reply, each in zip(replies, objects, strict=True)]

    def compress(self, bucket: str, each: StorageObject, *, into: Compression, go_on: Callable[[], bool]) -> Answer:
        """Put a compressed object in the place of this generation."""
        return self._compressing(bucket, each, into, go_on).compress()

    def uncompress(self, bucket: str, each: StorageObject, *, into: Compression, go_on: Callable[[], bool]) -> Answer:
        """Bring this generation back, and delete the compressed one."""
        return self._compressing(bucket, each, into, go_on).uncompress()

    def _compressing(self, bucket: str, each: StorageObject, into: Compression, go_on: Callable[[], bool]) -> Compressing:
        from shared.cloud.object_calls import ObjectCalls  # only who compresses needs any of it
        from shared.cloud.object_compression import SPAN, Compressing

        calls = ObjectCalls(self._api, bucket, self._patience)
        return Compressing(calls, each, into, go_on, self.delete, self.restore, self._span or SPAN)

    def _listing(self, bucket: str, prefix: str, **query: str | None) -> Iterator[Any]:
        token: str | None = None
        while True:
            with translated(f"gs://{bucket}/{prefix}*"):
                page = self._api.get(f"/b/{segment(bucket)}/o", prefix=prefix or None, maxResults=PAGE, pageToken=token, **query)
            yield page
            token = page.get("nextPageToken")
            if not token:
                return

    def _batch(self, bucket: str, calls: Sequence[str]) -> Sequence[Reply | None]:
        if not calls:
            return []
        token = uuid.uuid4().hex
        with translated(f"gs://{bucket}"):
            replies = unpack(*self._api.batch(*pack(calls, token)), token)
        return [replies.get(number) for number in range(len(calls))]


def _folder(bucket: str) -> str:
    return f"/b/{segment(bucket)}/o/"


def _deletion(folder: str, each: StorageObject) -> str:
    # A generation that is named is deleted for good; one that is only compared with becomes noncurrent where there are versions.
    how = "generation" if each.noncurrent_since else "ifGenerationMatch"
    return call("DELETE", f"{folder}{segment(each.name)}?{how}={each.generation}")


def _restoration(folder: str, each: StorageObject) -> str:
    return call("POST", f"{folder}{segment(each.name)}/restore?generation={each.generation}&ifGenerationMatch=0", "{}")


def _copy(folder: str, each: StorageObject) -> str:
    # A copy gets the bucket's own class where none is named, and keeps all else: https://cloud.google.com/storage/docs/changing-storage-classes
    name = segment(each.name)
    path = f"{folder}{name}/copyTo{folder}{name}?sourceGeneration={each.generation}&ifGenerationMatch=0"
    return call("POST", path, json.dumps({"storageClass": each.storage_class}))


def _object(item: Any) -> StorageObject:
    retained, noncurrent = item.get("retentionExpirationTime"), item.get("timeDeleted")
    return StorageObject(
        item["name"],
        int(item["generation"]),
        int(item["size"]),
        item["storageClass"],
        datetime.fromisoformat(item["timeCreated"]),
        item.get("crc32c", ""),  # not told where the customer holds the key
        "temporary hold" if item.get("temporaryHold") else "event-based hold" if item.get("eventBasedHold") else "",
        datetime.fromisoformat(retained) if retained else None,
        datetime.fromisoformat(noncurrent) if noncurrent else None,
    )


def _answer(reply: Reply | None, each: StorageObject) -> Answer:
    if reply is None:
        return _UNANSWERED
    if 200 <= reply.status < 300:
        return DONE
    word, sentence = reply.problem()
    if reply.status == 403 and (word in _KEPT_REASONS or _KEPT_SENTENCE.search(sentence.replace(f"/{each.name}'", ""))):
        return Answer("held", sentence)
    return _failed(reply.status, sentence)


def _failed(status: int, sentence: str) -> Answer:
    from google.api_core.exceptions import from_http_status

    error = translate(from_http_status(status, sentence or f"status {status}"))
    fate: Fate = "denied" if isinstance(error, Denied) else "unavailable" if isinstance(error, Unavailable) else "refused"
    return Answer(_BY_STATUS.get(status, fate), str(error))
