"""One object of Cloud Storage read over plain HTTP, where that can be done: loading Google's client takes almost as long as an instance takes to start.

Anything that is not as expected is left to the client, which knows how to sign in everywhere, what to try again, and what to say.
"""

from __future__ import annotations

import json
import logging
import os
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import quote, urlsplit

log = logging.getLogger(__name__)

SERVER = "https://storage.googleapis.com"
_TIME = 5.0
"""Seconds for one call."""
_TOKEN = "/computeMetadata/v1/instance/service-accounts/default/token"  # noqa: S105  # where one is had
_ELSEWHERE = ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_UNIVERSE_DOMAIN", "HTTPS_PROXY", "https_proxy", "API_ENDPOINT_OVERRIDE")
"""With any of these set, the client would sign in as somebody else, or ask another server, or take another way."""


def read_plainly(bucket: str, name: str, longest: int) -> bytes | None:
    """The first bytes of an object, as the service account of the Cloud Run service that this runs in, or from an emulator.

    Sources: https://docs.cloud.google.com/run/docs/container-contract#metadata-server for the token, and
    https://docs.cloud.google.com/storage/docs/json_api/v1/objects/get for the object.

    Args:
        bucket: The bucket's name.
        name: The object's name.
        longest: How many bytes at most.

    Returns:
        None where it could not be read in this way, for whatever reason.
    """
    emulator = os.environ.get("STORAGE_EMULATOR_HOST")
    if not emulator and (not os.environ.get("K_SERVICE") or any(map(os.environ.get, _ELSEWHERE))):
        return None
    try:
        signed_in = {} if emulator else {"Authorization": f"Bearer {_token()}"}
        path = f"/download/storage/v1/b/{quote(bucket, safe='')}/o/{quote(name, safe='')}?alt=media"
        return _get(emulator or SERVER, path, {**signed_in, "Range": f"bytes=0-{longest - 1}"})
    except (OSError, HTTPException, LookupError, TypeError, ValueError) as error:
        log.info("%s could not be read plainly, so Google's client is asked: %s", f"gs://{bucket}/{name}", error)
        return None


def _token() -> str:
    host = os.environ.get("GCE_METADATA_HOST") or "metadata.google.internal"
    return str(json.loads(_get(f"http://{host}", _TOKEN, {"Metadata-Flavor": "Google"}))["access_token"])


def _get(server: str, path: str, headers: dict[str, str]) -> bytes:
    parts = urlsplit(server if "://" in server else f"http://{server}")
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.netloc, timeout=_TIME)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        if answer.status not in (200, 206):
            raise ValueError(f"{parts.netloc} answers {answer.status}")
        return answer.read()
    finally:
        connection.close()
