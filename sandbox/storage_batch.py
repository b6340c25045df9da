"""Batches: up to a hundred calls in one request, answered together with a status each.

Source: https://cloud.google.com/storage/docs/batch
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from sandbox.storage_errors import Json, invalid

PATH = "/batch/storage/v1"
MAX_CALLS = 100
MAX_BYTES = 10 * 1024 * 1024

_BOUNDARY = re.compile(r"""multipart/mixed\s*;.*boundary=(?:"([^"]+)"|([^;\s]+))""", re.IGNORECASE)
_CALL = re.compile(rb"(?m)^(GET|DELETE|PATCH|PUT|POST) (?:https?://[^/\s]+)?(/[^?\s]*)(?:\?(\S*))? HTTP/1\.[01]\r?$")
_CONTENT_ID = re.compile(rb"(?im)^content-id: *<?([^>\r\n]+)")
_BLANK = re.compile(rb"\r?\n\r?\n")
_ANSWER_BOUNDARY = "batch_answers"
_HEAD = f"--{_ANSWER_BOUNDARY}\r\nContent-Type: application/http\r\n"
_REASONS = {int(status): status.phrase for status in HTTPStatus}


@dataclass(frozen=True, slots=True)
class Inner:
    """One call inside a batch, its path and query as they stood on the wire."""

    verb: str
    path: str
    query: str
    body: bytes
    content_id: str | None


def unpack(content_type: str, body: bytes) -> list[Inner]:
    """The calls in a batch.

    Raises:
        ApiError: 400 where there are too many of them, too many bytes, or something else than calls.
    """
    match = _BOUNDARY.match(content_type)
    if match is None:
        raise invalid("A batch has the content type multipart/mixed, with a boundary.")
    if len(body) > MAX_BYTES:
        raise invalid(f"A batch has at most {MAX_BYTES} bytes; this one has {len(body)}.")
    parts = body.split(b"--" + (match[1] or match[2]).encode())[1:-1]
    if not 1 <= len(parts) <= MAX_CALLS:
        raise invalid(f"A batch has between 1 and {MAX_CALLS} calls; this one has {len(parts)}.")
    return [_inner(number, part) for number, part in enumerate(parts, start=1)]


def _inner(number: int, part: bytes) -> Inner:
    call = _CALL.search(part)
    if call is None or b"application/http" not in part[: call.start()]:
        raise invalid(f"Part {number} of the batch is not an HTTP request of the content type application/http.")
    verb, path, query = call.groups()
    content_id = _CONTENT_ID.search(part, 0, call.start())
    body = b""
    if verb not in {b"DELETE", b"GET"} and (blank := _BLANK.search(part, call.end())):
        body = part[blank.end() :]
    try:
        return Inner(verb.decode(), path.decode("ascii"), (query or b"").decode("ascii"), body, content_id and content_id[1].decode())
    except UnicodeDecodeError:
        raise invalid(f"Part {number} of the batch has an address that is not percent-encoded.") from None


def answer(inner: Inner, status: int, payload: Json | None, headers: str = "") -> str:
    """One part of the answer. The headers, each with its line end, stand in the inner response."""
    identity = f"Content-ID: <response-{inner.content_id}>\r\n" if inner.content_id else ""
    line = f"{_HEAD}{identity}\r\nHTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}\r\n{headers}"
    if payload is None:
        return f"{line}Content-Length: 0\r\n\r\n\r\n"
    text = json.dumps(payload)
    return f"{line}Content-Type: application/json; charset=UTF-8\r\nContent-Length: {len(text)}\r\n\r\n{text}\r\n"


def pack(answers: Sequence[str]) -> tuple[str, bytes]:
    """The answer to a batch: its content type and its body."""
    return f"multipart/mixed; boundary={_ANSWER_BOUNDARY}", ("".join(answers) + f"--{_ANSWER_BOUNDARY}--\r\n").encode()
