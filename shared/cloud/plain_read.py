"""One object of Cloud Storage read over plain HTTP, where that can be done: loading Google's client takes almost as long as an instance takes to start.

Anything that is not as expected is left to the client, which knows how to sign in everywhere, what to try again, and what to say.
"""

from __future__ import annotations

import json
import logging
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import quote, urlsplit

from shared.settings import PlainStorage

log = logging.getLogger(__name__)

_TIME = 5.0
"""Seconds for one call."""
_LONGEST_ANSWER = 64 * 1024
_SIGN_IN = "/computeMetadata/v1/instance/service-accounts/default/token"


def read_plainly(place: PlainStorage, bucket: str, name: str, longest: int) -> bytes | None:
    """The first bytes of an object: https://docs.cloud.google.com/storage/docs/json_api/v1/objects/get.

    Args:
        place: Where it is asked for.
        bucket: The bucket's name.
        name: The object's name.
        longest: How many bytes at most.

    Returns:
        None where it could not be read in this way, for whatever reason.
    """
    try:
        signed_in = {"Authorization": f"Bearer {_token(place.metadata)}"} if place.metadata else {}
        path = f"/download/storage/v1/b/{quote(bucket, safe='')}/o/{quote(name, safe='')}?alt=media"
        return _get(place.server, path, {**signed_in, "Range": f"bytes=0-{longest - 1}"}, longest)
    except (OSError, HTTPException, LookupError, TypeError, ValueError) as error:
        # Its words may be those of the token.
        log.info("gs://%s/%s could not be read plainly (%s), so Google's client is asked", bucket, name, type(error).__name__)
        return None


def _token(host: str) -> str:
    return str(json.loads(_get(f"http://{host}", _SIGN_IN, {"Metadata-Flavor": "Google"}, _LONGEST_ANSWER))["access_token"])


def _get(server: str, path: str, headers: dict[str, str], longest: int) -> bytes:
    parts = urlsplit(server)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.netloc, timeout=_TIME)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        if answer.status not in (200, 206) or answer.getheader("content-encoding", "identity") != "identity":
            raise ValueError(f"{parts.netloc} answers {answer.status}, {answer.getheader('content-encoding')}")
        # A body without a length ends wherever the connection does.
        if not answer.chunked and (answer.length is None or answer.length > longest):
            raise ValueError(f"{parts.netloc} answers with {answer.length} bytes")
        body = answer.read(longest + 1) if answer.chunked else answer.read()
        if len(body) > longest:
            raise ValueError(f"{parts.netloc} answers with more than {longest} bytes")
        return body
    finally:
        connection.close()
