"""How Slack tells an app of an interaction: a signed POST, which the app has to acknowledge within three seconds.

https://docs.slack.dev/authentication/verifying-requests-from-slack and
https://docs.slack.dev/interactivity/handling-user-interaction#acknowledgment_response
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

PATIENCE = 3.0
"""Seconds within which an app has to answer."""
Post = Callable[[bytes, Mapping[str, str]], tuple[int, bytes]]
"""A way to the app: takes a body and its headers, and gives the status and the body of the answer."""


@dataclass(frozen=True)
class Delivery:
    """One interaction, as it was sent to the app, and what the app answered.

    Attributes:
        payload: What it tells: a ``block_actions`` payload, or the fields of a slash command.
        body: The body as it was sent and signed.
        headers: Its headers.
        status: The answer's HTTP status; none if there was no answer in time.
        answer: The answer's body.
        seconds: How long it took.
        failure: Why the person sees that it failed; empty if it did not.
    """

    payload: dict[str, Any]
    body: bytes
    headers: dict[str, str]
    status: int | None
    answer: bytes
    seconds: float
    failure: str


def signed(body: bytes, secret: str, timestamp: int) -> dict[str, str]:
    """The headers of a request with this body, signed at that time in seconds since 1970."""
    base = b"v0:%d:%b" % (timestamp, body)
    return {
        "Content-Type": "application/x-www-form-urlencoded",
        "User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
        "X-Slack-Request-Timestamp": str(timestamp),
        "X-Slack-Signature": f"v0={hmac.new(secret.encode(), base, hashlib.sha256).hexdigest()}",
    }


def over_http(url: str, patience: float) -> Post:
    """The way to an app's request URL on this machine.

    Raises:
        ValueError: It is no ``http://`` URL.
    """
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError(f"{url!r} cannot be an app's request URL here: it has to begin with http:// and name a host.")
    path = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
    return partial(_post, parts.hostname, parts.port, path, patience)


def deliver(post: Post, payload: dict[str, Any], body: bytes, headers: dict[str, str], patience: float) -> Delivery:
    """Send an interaction to the app and wait for its answer.

    Args:
        post: The way to the app.
        payload: What the body tells.
        body: To be sent.
        headers: To be sent with it.
        patience: Seconds after which an answer is too late.
    """
    status, answer, failure = None, b"", ""
    began = time.monotonic()
    try:
        status, answer = post(body, headers)
    except TimeoutError:
        failure = _late(patience)
    except (OSError, HTTPException) as error:
        failure = f"the app could not be reached ({error or type(error).__name__})"
    seconds = time.monotonic() - began
    if status is not None and seconds > patience:
        status, answer, failure = None, b"", _late(patience)
    if status is not None and not 200 <= status < 300:
        failure = f"the app answered with status {status}"
    return Delivery(payload, body, headers, status, answer, seconds, failure)


def _late(patience: float) -> str:
    return f"the app did not answer within {patience:g} s"


def _post(host: str, port: int | None, path: str, patience: float, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
    with closing(HTTPConnection(host, port, timeout=patience)) as connection:
        connection.request("POST", path, body, dict(headers))
        answer = connection.getresponse()
        return answer.status, answer.read()
