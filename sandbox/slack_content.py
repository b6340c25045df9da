"""What a call wants a message to say: its text, blocks and metadata, after Slack's checks."""

from __future__ import annotations

import re
from typing import Any

from sandbox.slack_blocks import check_blocks, too_long
from sandbox.slack_elements import with_ids
from sandbox.slack_wire import Arguments, SlackError

MAX_TEXT = 40_000  # longer texts are truncated: https://docs.slack.dev/reference/methods/chat.postMessage
_MAX_ATTACHMENTS = 100
_EVENT_TYPE = re.compile(r"[A-Za-z0-9_-]+")  # https://docs.slack.dev/messaging/message-metadata
_KEPT = ("username", "icon_emoji", "icon_url", "thread_ts")


def content_of(arguments: Arguments, *, limited: bool = True) -> dict[str, Any]:
    """The fields of a message that a call sets.

    Args:
        arguments: The call's.
        limited: Whether all blocks together are limited too, as they are everywhere but in webhooks.

    Raises:
        SlackError: ``no_text``, ``invalid_blocks`` and their like.
    """
    text = arguments.text("text")
    blocks = arguments.json("blocks", "invalid_blocks_format", list)
    attachments = arguments.json("attachments", "invalid_attachments", list)
    if blocks and (faults := check_blocks(blocks)):
        raise SlackError("invalid_blocks", [f"[ERROR] {fault}" for fault in faults])
    if blocks and limited and too_long(blocks):
        raise SlackError("msg_blocks_too_long")
    if attachments and len(attachments) > _MAX_ATTACHMENTS:
        raise SlackError("too_many_attachments")
    if not (text or blocks or attachments):
        raise SlackError("no_text")
    content: dict[str, Any] = {key: arguments.text(key) for key in _KEPT if arguments.text(key)}
    content |= {flag: arguments.flag(flag) for flag in ("unfurl_links", "unfurl_media") if flag in arguments.values}
    if blocks is not None:
        content["blocks"] = with_ids(blocks)
    if attachments is not None:
        content["attachments"] = attachments
    if text:
        content["text"] = text[:MAX_TEXT]
    if content.get("thread_ts") and arguments.flag("reply_broadcast"):
        content["subtype"] = "thread_broadcast"
    return content


def metadata_of(arguments: Arguments) -> tuple[dict[str, Any], dict[str, Any]]:
    """The metadata that a call sets, as a message's field, and the warning to answer with if Slack ignores it.

    Raises:
        SlackError: ``invalid_metadata_format``.
    """
    metadata = arguments.json("metadata", "invalid_metadata_format", dict)
    if not metadata:
        return {}, {}
    event_type, payload = metadata.get("event_type"), metadata.get("event_payload")
    if not isinstance(event_type, str) or not isinstance(payload, dict):
        raise SlackError("invalid_metadata_format")
    if not _EVENT_TYPE.fullmatch(event_type):
        return {}, {"warning": "invalid_metadata_schema", "response_metadata": {"warnings": ["invalid_metadata_schema"]}}
    return {"metadata": {"event_type": event_type, "event_payload": payload}}, {}
