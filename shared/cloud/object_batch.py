"""Batches as they stand on the wire: https://docs.cloud.google.com/storage/docs/batch. Pure.

Their bodies are put together and taken apart as text: `shared.cloud.gcs` says why.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

from shared.errors import Refused

NO_NAMES = frozenset({"", ".", ".."})
"""What no object is named, and what would make a path lead elsewhere: https://cloud.google.com/storage/docs/objects#naming"""

_BOUNDARY = re.compile(r"""multipart/\w+\s*;(?:.*;)?\s*boundary=(?:"([^"]+)"|([^;\s]+))""", re.IGNORECASE)
_NUMBER = re.compile(r"^content-id: *<?response-(\w+)\+(\d+)\b", re.IGNORECASE | re.MULTILINE)
_STATUS = re.compile(r"HTTP/\d(?:\.\d)? (\d{3})\b")


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one call of a batch.

    Attributes:
        status: The HTTP status.
        body: What came with it, in most cases JSON.
    """

    status: int
    body: str

    def problem(self) -> tuple[str, str]:
        """The platform's word and sentence for what went wrong, each empty where it gave none."""
        try:
            error = json.loads(self.body)["error"]
            return str((error.get("errors") or [{}])[0].get("reason", "")), str(error.get("message", ""))
        except (ValueError, LookupError, TypeError, AttributeError):  # not JSON, or not of that form
            return "", self.body


def segment(name: str) -> str:
    """A name as one segment of a path.

    Raises:
        Refused: No object can have it.
    """
    if name in NO_NAMES:
        raise Refused(f"no object can be named {name!r}")
    return quote(name, safe="/").replace(
        "/", "%2F"
    )  # quote has a fast way for names without anything to encode, and most have nothing but slashes


def call(verb: str, path: str, document: str = "") -> str:
    """One call of a batch; the path, with its query, is below ``/storage/v1``."""
    head = f"{verb} /storage/v1{path} HTTP/1.1\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(document)}\r\n\r\n{document}" if document else f"{head}\r\n"


def pack(calls: Iterable[str], token: str) -> tuple[str, bytes]:
    """A batch of these calls: its content type and its body.

    Args:
        calls: As `call` writes them, in ASCII.
        token: Letters and digits that occur nowhere in them.
    """
    head = f"--{token}\r\nContent-Type: application/http\r\nContent-ID: <{token}+"
    parts = [f"{head}{number}>\r\n\r\n{each}\r\n" for number, each in enumerate(calls)]
    return f"multipart/mixed; boundary={token}", f"{''.join(parts)}--{token}--\r\n".encode("ascii")


def unpack(content_type: str, body: bytes, token: str) -> dict[int, Reply]:
    """The replies in the answer to a batch, by the number of the call; they may come in any order, and some may be missing.

    Args:
        content_type: The answer's.
        body: The answer's.
        token: The one that the batch was packed with.
    """
    boundary = _BOUNDARY.match(content_type)
    if boundary is None:
        return {}
    text = "\n" + body.decode("utf-8", "replace").replace("\r\n", "\n")
    replies: dict[int, Reply] = {}
    for part in text.split(f"\n--{boundary[1] or boundary[2]}")[1:]:
        head, _, answer = part.partition("\n\n")
        number, status = _NUMBER.search(head), _STATUS.match(answer)
        if number and status and number[1] == token:
            replies[int(number[2])] = Reply(int(status[1]), answer.partition("\n\n")[2].strip())
    return replies
