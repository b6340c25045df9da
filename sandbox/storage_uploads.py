"""The three ways in for an object's bytes: a simple upload, a multipart one, and a resumable session.

Source: https://cloud.google.com/storage/docs/uploads-downloads and .../resumable-uploads
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from sandbox.storage_calls import COMMON, CONDITIONS, Parameters, conditions, document
from sandbox.storage_errors import ApiError, Json, invalid, not_found, parameter_error
from sandbox.storage_model import Storage
from sandbox.storage_resources import object_name, writable_object
from sandbox.storage_state import DEFAULT_CONTENT_TYPE, Conditions

CHUNK = 256 * 1024
PATH = re.compile(r"(?:/resumable)?/upload/storage/v1/b/([^/]+)/o")

_PARAMETERS = COMMON | CONDITIONS | {"name", "contentEncoding", "kmsKeyName", "upload_id"}
_MISSPELT = {"ifMetaGenerationNotMatch": "ifMetagenerationNotMatch"}  # as google-cloud-storage 3.17.1 sends it with uploads
_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")
_BOUNDARY = re.compile(r"""boundary=(?:"([^"]+)"|'([^']+)'|([^;\s]+))""")


@dataclass(frozen=True, slots=True)
class Upload:
    """An object on its way in: all that is known of it but, in a resumable session, its bytes."""

    bucket: str
    name: str
    properties: Json
    conditions: Conditions
    key: str | None = None

    def store(self, storage: Storage, data: bytes, hashes: str = "") -> Json:
        """Write the object. The hashes are those of an ``x-goog-hash`` header.

        Raises:
            ApiError: As `Storage.insert` says.
        """
        said = dict(pair.strip().partition("=")[::2] for pair in hashes.split(",") if pair)
        properties = {**self.properties}
        for header, key in (("crc32c", "crc32c"), ("md5", "md5Hash")):
            if header in said:
                properties[key] = said[header]
        storage.demand(self.bucket, "storage.objects.create")
        return storage.insert(self.bucket, self.name, data, properties, self.conditions, key=self.key)


@dataclass(slots=True)
class Session:
    """A resumable session.

    Attributes:
        total: How many bytes there will be, once the client has said so.
        done: The object, once it is written.
    """

    upload: Upload
    data: bytearray = field(default_factory=bytearray)
    total: int | None = None
    done: Json | None = None
    cancelled: bool = False

    def receive(self, storage: Storage, content_range: str | None, body: bytes, hashes: str) -> Json | None:
        """Take a chunk, or a question about the state; the object where that was all, otherwise nothing yet.

        Raises:
            ApiError: 400 for a range that does not fit, 499 after a cancellation, and what refuses the object itself.
        """
        if self.cancelled:
            raise ApiError(499, "clientClosedRequest", "Client Closed Request: the upload was cancelled.")
        if self.done:
            return self.done
        if content_range is None:
            self.data[:] = body
            self.total = len(body)
        else:
            self._take(content_range, body)
        if self.total is None or len(self.data) < self.total:
            return None
        self.done = self.upload.store(storage, bytes(self.data), hashes)
        self.data.clear()
        return self.done

    def _take(self, content_range: str, body: bytes) -> None:
        match = _RANGE.fullmatch(content_range.strip())
        if match is None:
            raise invalid(f"Invalid Content-Range: {content_range!r}")
        first, last, total = match.groups()
        if total != "*":
            if self.total is not None and int(total) != self.total:
                raise invalid(f"Content-Range says {total} bytes in all, the upload was begun with {self.total}.")
            self.total = int(total)
        if first is None:
            return
        start = int(first)
        if start > len(self.data) or int(last) - start + 1 != len(body):
            raise invalid(f"Content-Range {content_range!r} does not fit: {len(self.data)} bytes are here, the chunk has {len(body)}.")
        self.data.extend(body[len(self.data) - start :])
        if (self.total is None or len(self.data) < self.total) and len(body) % CHUNK:
            raise invalid(f"A chunk that is not the last has a multiple of {CHUNK} bytes, not {len(body)}.")


class Sessions:
    """The resumable sessions that were begun, by the id in their address."""

    def __init__(self) -> None:
        self._by_id: dict[str, Session] = {}

    def begin(self, upload: Upload, total: str | None) -> str:
        """Open a session and return its id."""
        upload_id = uuid.uuid4().hex
        self._by_id[upload_id] = Session(upload, total=int(total) if total else None)
        return upload_id

    def find(self, upload_id: str) -> Session:
        """A session.

        Raises:
            ApiError: 404 where there is none.
        """
        session = self._by_id.get(upload_id)
        if session is None:
            raise not_found(f"No such upload: {upload_id[:80]}")
        return session


def begun(bucket: str, given: Parameters, metadata: Json, content_type: str | None) -> Upload:
    """An upload of which everything but the bytes is known; what the metadata say beats the parameters and headers.

    Raises:
        ApiError: 400 for an unknown parameter or property, or a name that the service does not take.
    """
    given = {_MISSPELT.get(key, key): value for key, value in given.items()}
    if unknown := given.keys() - _PARAMETERS:
        raise parameter_error(min(unknown), f'Invalid query parameter: "{min(unknown)}" is not one of storage.objects.insert.')
    properties = writable_object({"contentType": content_type or DEFAULT_CONTENT_TYPE, **metadata})
    if "contentEncoding" in given:
        properties.setdefault("contentEncoding", given["contentEncoding"])
    name = object_name(metadata.get("name") or given.get("name"))
    if given.get("name", name) != name:
        raise invalid("The name in the parameters is not the one in the metadata.")
    return Upload(bucket, name, properties, conditions(given), given.get("kmsKeyName"))


def simple(bucket: str, given: Parameters, headers: Mapping[str, str]) -> Upload:
    """A simple upload: everything stands in the parameters and headers."""
    return begun(bucket, given, {}, headers.get("content-type"))


def resumable(bucket: str, given: Parameters, headers: Mapping[str, str], body: bytes) -> Upload:
    """The start of a resumable session: the metadata alone."""
    return begun(bucket, given, document(body), headers.get("x-upload-content-type"))


def multipart(bucket: str, given: Parameters, headers: Mapping[str, str], body: bytes) -> tuple[Upload, bytes]:
    """A multipart upload: the metadata, then the bytes.

    Raises:
        ApiError: 400 where the body is not two parts.
    """
    match = _BOUNDARY.search(headers.get("content-type", ""))
    if not headers.get("content-type", "").startswith("multipart/related") or match is None:
        raise invalid("A multipart upload has the content type multipart/related, with a boundary.")
    line = b"--" + next(group for group in match.groups() if group).encode()
    end = body.rfind(line + b"--")
    parts = body[:end].split(line, 2) if end > 0 else []
    if len(parts) != 3:
        raise invalid("A multipart upload has two parts: the metadata, then the bytes.")
    metadata_head, _, metadata = parts[1].partition(b"\r\n\r\n")
    head, _, data = parts[2].partition(b"\r\n\r\n")
    if b"application/json" not in metadata_head.lower():
        raise invalid("The first part of a multipart upload is the metadata, as application/json.")
    content_type = re.search(rb"(?im)^content-type: *([^\r\n]+)", head)
    upload = begun(bucket, given, document(metadata), content_type.group(1).decode() if content_type else None)
    return upload, data.removesuffix(b"\r\n")
