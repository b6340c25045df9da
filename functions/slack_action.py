"""What Slack posts when somebody presses a button or types a command: verified, recorded, handed on, and acknowledged. Changes nothing by itself.

Slack waits three seconds, and the platform takes the processor away from a function that has answered, so the work is handed to the tasks topic:
https://docs.slack.dev/interactivity/handling-user-interaction
"""

from __future__ import annotations

import hashlib
import json
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from flask import Request as HttpRequest
from flask import Response

from functions import wiring
from shared.errors import CloudError, Conflict, EventRejected

if TYPE_CHECKING:
    from shared.slack.conversation import Request

log = logging.getLogger(__name__)

LONGEST = 1_000_000
"""Bytes; a message with all that its blocks may hold comes to a tenth of it."""
_ONE_MOMENT = {"response_type": "ephemeral", "text": "One moment …"}


def answer(request: HttpRequest) -> Response:
    """Acknowledge a request of Slack's, once it is recorded; 401 for everything else, and for what came before.

    Raises:
        SettingsError: A setting cannot be used.
    """
    try:
        body, signature = _verified(request)
        if request.form.get("ssl_check") == "1":
            return _said(200)
        from shared.journal import Journal  # what is turned away costs none of it
        from shared.slack.forms import decode

        asked = decode(body, key=_key(signature), came=datetime.now(UTC))
    except EventRejected as error:
        log.warning("a request was turned away (%s): %s", error.kind, error, extra={"labels": {"kind": error.kind}})
        return _said(401, "not a request of Slack's to this app")
    world = wiring.world(wiring.settings())
    try:
        Journal(world.state).save_request(None, asked)
    except Conflict:
        log.warning("a request was turned away (slack-replay): it came before", extra={"labels": {"kind": "slack-replay"}})
        return _said(401, "not a request of Slack's to this app")
    except CloudError as error:
        log.error("a request of %s is not taken, since it cannot be recorded: %s", asked.by, error)  # noqa: TRY400  # no stack is needed
        return _said(503, "it cannot be recorded now; try again")
    if world.tasks:
        try:
            world.tasks.answer(asked.key)
        except CloudError as error:
            log.warning("the tasks topic did not take request %s, so the next tick answers it: %s", asked.key, error)
    return _acknowledged(asked)


def _verified(request: HttpRequest) -> tuple[bytes, str]:
    """The raw body and its signature, which is right and at most five minutes old.

    https://docs.slack.dev/authentication/verifying-requests-from-slack

    Raises:
        EventRejected: It is not, or there is none.
    """
    secret = wiring.settings().slack_signing_secret
    if secret is None:
        raise EventRejected("slack-secret", "SLACK_SIGNING_SECRET is not set, so nobody's request can be told from Slack's")
    if request.content_length is None or request.content_length > LONGEST:
        raise EventRejected("slack-form", "it has no body, or one that is longer than Slack sends")
    body = request.get_data()
    timestamp, signature = request.headers.get("X-Slack-Request-Timestamp", ""), request.headers.get("X-Slack-Signature", "")
    if not timestamp or not signature:
        raise EventRejected("slack-signature", "it is not signed")
    from slack_sdk.signature import SignatureVerifier  # what is not signed at all costs no library

    try:
        # The verifier raises on what no client of Slack's would send.
        right = SignatureVerifier(secret).is_valid(body, timestamp, signature)
    except (ValueError, TypeError, OverflowError) as error:
        raise EventRejected("slack-signature", f"its signature cannot be read: {type(error).__name__}") from error
    if not right:
        raise EventRejected("slack-signature", "its signature is wrong, or more than five minutes old")
    return body, signature


def _key(signature: str) -> str:
    """Whoever sends the same again has only the same signature to send it with."""
    return hashlib.sha256(signature.encode()).hexdigest()[:40]


def _acknowledged(asked: Request) -> Response:
    """A command shows nothing by itself, so the person is told that it was heard; what comes of it follows."""
    return Response(json.dumps(_ONE_MOMENT), 200, mimetype="application/json") if asked.kind == "command" else _said(200)


def _said(status: int, sentence: str = "") -> Response:
    return Response(sentence, status, {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}, mimetype="text/plain")
