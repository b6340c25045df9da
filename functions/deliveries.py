"""What is posted to the functions that messages trigger: a CloudEvent as Eventarc makes it, or a message as a push subscription of Pub/Sub sends it.

The framework reads both, but answers a message without data with 400, and Pub/Sub would deliver it again and again:
https://docs.cloud.google.com/pubsub/docs/push
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from cloudevents.exceptions import GenericException
from cloudevents.http import CloudEvent, from_http
from flask import Request, Response

_MESSAGE = "google.cloud.pubsub.topic.v1.messagePublished"
_SOURCE = "//pubsub.googleapis.com/"


def taken(request: Request, trigger: Callable[[CloudEvent], None]) -> Response:
    """Hand on what was posted, whatever it is: returning acknowledges it, and what the trigger raises has it delivered again."""
    if request.method != "POST":
        return Response("nothing but events is taken here\n", 405, {"Allow": "POST"}, mimetype="text/plain")
    trigger(_event(request))
    return Response("OK", 200, mimetype="text/plain")


def _event(request: Request) -> CloudEvent:
    data = request.get_data()
    try:
        return from_http(request.headers, data)
    except (GenericException, ValueError, TypeError, RecursionError):  # the reader looks up and decodes whatever stands in the body
        body = _json(data)
    message = body.get("message") if isinstance(body, dict) else None
    published = message.get("messageId") if isinstance(message, dict) else None
    return CloudEvent({"type": _MESSAGE, "source": _SOURCE, "id": str(published or "")}, data if body is None else body)


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):  # the trigger refuses it by its kind
        return None
