"""How calls of Slack's Web API come in: as JSON or as a form, and as arguments that are checked one by one."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request

_TS = re.compile(r"\d{1,12}(\.\d{1,6})?")


class SlackError(Exception):
    """Slack says no, with HTTP status 200.

    Attributes:
        error: The error's code, such as ``channel_not_found``.
        details: What is wrong in detail, for ``response_metadata.messages``.
    """

    def __init__(self, error: str, details: Sequence[str] = ()) -> None:
        super().__init__(error)
        self.error = error
        self.details = list(details)


class RateLimited(Exception):
    """Too many messages for the channel.

    Attributes:
        retry_after: Whole seconds to wait.
    """

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"ratelimited, for {retry_after} s")
        self.retry_after = retry_after


class Arguments:
    """The arguments of one call, read leniently as Slack does: ``1``, ``true`` and true are all true; lists may come as JSON text."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = {key: value for key, value in values.items() if value is not None}

    def text(self, key: str) -> str:
        """An argument as text; empty if it is missing.

        Raises:
            SlackError: ``invalid_arguments``, if it is an object or a list.
        """
        value = self.values.get(key, "")
        if isinstance(value, dict | list):
            raise SlackError("invalid_arguments", [f"[ERROR] must be a string [json-pointer:/{key}]"])
        return str(value)

    def required(self, key: str) -> str:
        """An argument as text.

        Raises:
            SlackError: ``invalid_arguments``, if it is missing.
        """
        value = self.text(key)
        if not value:
            raise SlackError("invalid_arguments", [f"[ERROR] missing required field: {key}"])
        return value

    def flag(self, key: str) -> bool:
        """A boolean argument; false if it is missing."""
        return self.text(key).lower() in ("1", "true")

    def limit(self, default: int, most: int) -> int:
        """How many items are wanted.

        Raises:
            SlackError: ``invalid_limit``, if it is no positive number.
        """
        value = self.text("limit") or str(default)
        if not value.isdecimal() or int(value) < 1:
            raise SlackError("invalid_limit")
        return min(int(value), most)

    def ts(self, key: str, error: str) -> tuple[int, int] | None:
        """A message's timestamp as a pair of numbers that can be compared; none if it is missing.

        Raises:
            SlackError: `error`, if it is none.
        """
        value = self.text(key)
        if not value:
            return None
        if not _TS.fullmatch(value):
            raise SlackError(error)
        return moment(value)

    def cursor(self) -> str:
        """Where the page before ended; empty at the first page.

        Raises:
            SlackError: ``invalid_cursor``, if this server did not give it.
        """
        try:
            return base64.b64decode(self.text("cursor").encode(), validate=True).decode()
        except (binascii.Error, UnicodeError) as error:
            raise SlackError("invalid_cursor") from error

    def json(self, key: str, error: str, kind: type[Any]) -> Any:
        """A structured argument, as it is or out of its JSON text; none if it is missing or empty text.

        Raises:
            SlackError: `error`, if it is not valid JSON, or not of the kind.
        """
        value = self.values.get(key)
        if value in (None, ""):
            return None
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError as broken:
                raise SlackError(error) from broken
        if not isinstance(value, kind):
            raise SlackError(error)
        return value


def moment(ts: str) -> tuple[int, int]:
    """A timestamp as seconds and microseconds."""
    seconds, _, micros = ts.partition(".")
    return int(seconds), int(micros.ljust(6, "0"))


def cursor_after(position: str) -> str:
    """The cursor that continues behind a position."""
    return base64.b64encode(position.encode()).decode()


async def arguments_of(request: Request) -> Arguments:
    """The arguments of a call: those of the query, and those of a body that is JSON or a form.

    Raises:
        SlackError: The body's type is another, or it is not what it says it is.
    """
    values: dict[str, Any] = dict(request.query_params)
    body = await request.body()
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not body:
        return Arguments(values)
    if kind == "application/json":
        try:
            sent = json.loads(body)
        except ValueError as error:
            raise SlackError("invalid_json") from error
        if not isinstance(sent, dict):
            raise SlackError("json_not_object")
        return Arguments({**values, **sent})
    if kind == "application/x-www-form-urlencoded":
        try:
            return Arguments({**values, **dict(parse_qsl(body.decode(), keep_blank_values=True))})
        except UnicodeError as error:
            raise SlackError("invalid_form_data") from error
    raise SlackError("invalid_post_type")
