"""Slack through its Web API: https://docs.slack.dev/reference/methods."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from shared.cloud.errors import translated
from shared.cloud.lazy import Lazy
from shared.errors import Denied, Unavailable
from shared.ports import Posted

_log = logging.getLogger(__name__)

_EVENT_TYPE = "cost_watchdog"
_TIMEOUT = 10
_PATIENCE, _REPEATS = 5.0, 2
_PAGES = 5
_ID = re.compile("[CDG][A-Z0-9]{7,}")


class SlackMessenger:
    """Fulfils `shared.ports.Messenger`. Only a call that Slack put off is repeated, since any other may have posted the message."""

    def __init__(self, token: str, base_url: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        """Nothing is connected before the first call.

        Args:
            token: The bot token.
            base_url: Slack's, with a slash at the end.
            sleep: Waits some seconds.
        """
        self._client = Lazy(lambda: _connect(token, base_url))
        self._sleep = sleep
        self._ids: dict[str, str] = {}

    def post(self, channel: str, text: str, blocks: Sequence[Mapping[str, Any]], *, reference: str) -> Posted:
        """Post a message with its reference in its metadata."""
        answer = self._call(
            "chat_postMessage",
            channel,
            channel=channel,
            text=text,
            blocks=[*blocks],
            metadata={"event_type": _EVENT_TYPE, "event_payload": {"reference": reference}},
            unfurl_links=False,
            unfurl_media=False,
        )
        self._ids[channel] = answer["channel"]
        return Posted(answer["channel"], answer["ts"])

    def find(self, channel: str, reference: str, *, since: datetime) -> Posted | None:
        """The message with this reference, looked for among the newest thousand; None too where the app may not look."""
        try:
            channel_id = self._id(channel)
            if channel_id is None:
                _log.warning(
                    "Slack channel %s: there is no public channel of this name, so earlier messages cannot be looked for; name it by its id",
                    channel,
                )
                return None
            pages = self._pages(
                "conversations_history",
                channel,
                channel=channel_id,
                oldest=f"{since.timestamp():.6f}",
                inclusive=True,
                include_all_metadata=True,
            )
            for page in pages:
                for message in page["messages"]:
                    metadata = message.get("metadata") or {}
                    if metadata.get("event_type") == _EVENT_TYPE and (metadata.get("event_payload") or {}).get("reference") == reference:
                        return Posted(channel_id, message["ts"])
        except Denied as error:
            _log.warning("earlier messages cannot be looked for, so one may be posted twice: %s", error)
        return None

    def _id(self, channel: str) -> str | None:
        """A channel's id: posting takes a name, reading does not."""
        if _ID.fullmatch(channel):
            return channel
        if channel not in self._ids:
            for page in self._pages("conversations_list", channel, exclude_archived=True):
                self._ids.update({f"#{found['name']}": found["id"] for found in page["channels"]})
        return self._ids.get(channel) or self._ids.get(f"#{channel}")

    def _pages(self, method: str, about: str, **arguments: Any) -> Iterator[Mapping[str, Any]]:
        cursor = None
        for _ in range(_PAGES):
            page = self._call(method, about, limit=200, cursor=cursor, **arguments)
            yield page
            cursor = (page.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                return

    def _call(self, method: str, about: str, **arguments: Any) -> Mapping[str, Any]:
        repeats = 0
        while True:
            try:
                with translated(f"Slack channel {about}"):
                    answer: Mapping[str, Any] = getattr(self._client(), method)(**arguments).data
                return answer
            except Unavailable as error:
                if repeats == _REPEATS or not _put_off(error):
                    raise
                self._sleep(error.retry_after or 0.0)
                repeats += 1


def _put_off(error: Unavailable) -> bool:
    status = getattr(getattr(error.__cause__, "response", None), "status_code", None)
    return status == 429 and error.retry_after is not None and error.retry_after <= _PATIENCE


def _connect(token: str, base_url: str) -> Any:
    from slack_sdk import WebClient

    return WebClient(token=token, base_url=base_url, timeout=_TIMEOUT, retry_handlers=[])
