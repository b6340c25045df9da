"""What Slack sends when somebody presses a button or types a command, decoded: https://docs.slack.dev/interactivity/handling-user-interaction. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

from shared.errors import EventRejected
from shared.slack.conversation import Request
from shared.slack.panel import ENTRY, THREAD

_USER = re.compile(r"[UW][A-Z0-9]{4,40}")
_CHANNEL = re.compile(r"[CDG][A-Z0-9]{4,40}")
_ACTION = re.compile(r"[a-z_]{1,40}")
_ABOUT = re.compile(rf"(?:{ENTRY}[0-9A-Za-z._-]{{1,200}}|{THREAD}[0-9A-Za-z-]{{1,40}}/[0-9A-Za-z-]{{1,100}}/[0-9]{{8}})")
_NAME, _TEXT, _ADDRESS = 100, 500, 500


def decode(body: bytes, *, key: str, came: datetime) -> Request:
    """Decode the form that Slack posts.

    Args:
        body: The raw body, whose signature is right.
        key: What the request is to be known by.
        came: When it came.

    Raises:
        EventRejected: It is none that this app can have been sent.
    """
    try:
        form = dict(parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True, max_num_fields=50))
    except (UnicodeDecodeError, ValueError) as error:
        raise EventRejected("slack-form", f"what Slack sent is no form: {error}") from error
    if "payload" in form:
        return _press(form["payload"], key, came)
    if "command" in form:
        return _command(form, key, came)
    raise EventRejected("slack-form", "what Slack sent is neither a press nor a command")


def _press(text: str, key: str, came: datetime) -> Request:
    try:
        payload = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise EventRejected("slack-form", f"the payload is not JSON: {error}") from error
    actions = _of(payload, "actions", list)
    if _of(payload, "type", str) != "block_actions" or len(actions) != 1:
        raise EventRejected("slack-form", "the payload is not that of one button or menu")
    (action,) = actions
    user, channel = _of(payload, "user", dict), _of(payload, "channel", dict)
    option = action.get("selected_option") if isinstance(action, dict) else None
    value = option.get("value") if isinstance(option, dict) else _of(action, "value", str, "")
    return Request(
        key=key, kind="press", came=came, what=_shaped(_of(action, "action_id", str), _ACTION), about=_shaped(_of(action, "block_id", str), _ABOUT),
        value=_short(value, _TEXT), user=_shaped(_of(user, "id", str), _USER), user_name=_short(user.get("username") or user.get("name"), _NAME),
        channel=_shaped(_of(channel, "id", str), _CHANNEL), channel_name=_short(channel.get("name"), _NAME),
        address=_short(payload.get("response_url"), _ADDRESS),
    )  # fmt: skip


def _command(form: Mapping[str, str], key: str, came: datetime) -> Request:
    return Request(
        key=key, kind="command", came=came, what=_short(form.get("text"), _TEXT), user=_shaped(form.get("user_id", ""), _USER),
        user_name=_short(form.get("user_name"), _NAME), channel=_shaped(form.get("channel_id", ""), _CHANNEL),
        channel_name=_short(form.get("channel_name"), _NAME), address=_short(form.get("response_url"), _ADDRESS),
    )  # fmt: skip


def _of(value: Any, name: str, kind: type[Any], default: Any = None) -> Any:
    found = value.get(name, default) if isinstance(value, dict) else None
    if not isinstance(found, kind):
        raise EventRejected("slack-form", f"the payload has no {name} as Slack sends it")
    return found


def _shaped(text: str, shape: re.Pattern[str]) -> str:
    if not shape.fullmatch(text):
        raise EventRejected("slack-form", f"{text[:80]!r} is nothing that Slack or this app would send there")
    return text


def _short(text: Any, limit: int) -> str:
    """Text of Slack's or a person's: of any content, but of bounded length, and without what no journal could keep."""
    return text.encode(errors="replace").decode()[:limit] if isinstance(text, str) else ""
