"""Slack through its Web API: https://docs.slack.dev/reference/methods."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from shared.cloud.errors import of_status, translated
from shared.cloud.lazy import Lazy
from shared.errors import Denied, Refused, Unavailable
from shared.ports import Posted

_log = logging.getLogger(__name__)

_EVENT_TYPE = "cost_watchdog"
_TIMEOUT = 10
_PATIENCE, _REPEATS = 5.0, 2
_PAGES = 5
_ID = re.compile("[CDG][A-Z0-9]{7,}")
_PACE = 1.0
"""Seconds between two messages to one channel: https://docs.slack.dev/apis/web-api/rate-limits"""
_HOOKS = "https://hooks.slack.com/"
"""Where Slack waits for answers: https://docs.slack.dev/interactivity/handling-user-interaction"""


class SlackMessenger:
    """Fulfils `shared.ports.Messenger`. Only a call that Slack put off is repeated, since any other may have posted the message."""

    talks_back = True

    def __init__(
        self, token: str, base_url: str, *, sleep: Callable[[float], None] = time.sleep, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Nothing is connected before the first call.

        Args:
            token: The bot token.
            base_url: Slack's, with a slash at the end.
            sleep: Waits some seconds.
            clock: Seconds, rising.
        """
        self._client = Lazy(lambda: _connect(token, base_url))
        self._base_url = base_url
        self._sleep = sleep
        self._clock = clock
        self._ids: dict[str, str] = {}
        self._posted_at: dict[str, float] = {}
        self._pacing = threading.Lock()

    def post(
        self, channel: str, text: str, blocks: Sequence[Mapping[str, Any]], *, reference: str, thread: str = "", broadcast: bool = False
    ) -> Posted:
        """Post a message with its reference in its metadata, a second after the one before it at the earliest."""
        answers = {"thread_ts": thread, "reply_broadcast": broadcast} if thread else {}
        paced = self._ids.get(channel, channel)
        self._pace(paced)
        answer = self._call(
            "chat_postMessage",
            f"Slack channel {channel}",
            channel=channel,
            text=text,
            blocks=[*blocks],
            metadata={"event_type": _EVENT_TYPE, "event_payload": {"reference": reference}},
            unfurl_links=False,
            unfurl_media=False,
            **answers,
        )
        # Answers in a thread go to the channel's id, and are paced with what goes to its name.
        self._ids[channel] = answer["channel"]
        self._posted_at.setdefault(answer["channel"], self._posted_at[paced])
        return Posted(answer["channel"], answer["ts"])

    def update(self, posted: Posted, text: str, blocks: Sequence[Mapping[str, Any]]) -> None:
        """Change what a message says; its metadata stays, since none is named."""
        about = f"Slack message {posted.ts} in {posted.channel}"
        self._call("chat_update", about, channel=posted.channel, ts=posted.ts, text=text, blocks=[*blocks])

    def find(self, channel: str, reference: str, *, since: datetime, thread: str = "") -> Posted | None:
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
                "conversations_replies" if thread else "conversations_history",
                channel,
                channel=channel_id,
                oldest=f"{since.timestamp():.6f}",
                inclusive=True,
                include_all_metadata=True,
                **({"ts": thread} if thread else {}),
            )
            for page in pages:
                for message in page["messages"]:
                    metadata = message.get("metadata") or {}
                    if metadata.get("event_type") == _EVENT_TYPE and (metadata.get("event_payload") or {}).get("reference") == reference:
                        return Posted(channel_id, message["ts"])
        except Denied as error:
            _log.warning("earlier messages cannot be looked for, so one may be posted twice: %s", error)
        return None

    def members(self, group: str) -> frozenset[str]:
        """The ids of the users in a user group."""
        return frozenset(self._call("usergroups_users_list", f"Slack user group {group}", usergroup=group)["users"])

    def answer(self, address: str, text: str) -> None:
        """Answer at a response_url. It has to be Slack's own, or that of the server which stands for Slack."""
        if not address.startswith((_HOOKS, f"{self._base_url.removesuffix('api/')}")):
            raise Refused("is no address of Slack's, so nothing is sent there", resource=address[:80])
        send(address, {"text": text, "response_type": "ephemeral", "replace_original": False}, "the address that Slack gave for the answer")

    def whisper(self, channel: str, user: str, text: str) -> None:
        """Say something in a channel that only this person sees."""
        self._call("chat_postEphemeral", f"Slack channel {channel}", channel=channel, user=user, text=text)

    def _pace(self, channel: str) -> None:
        """Keep a second between two messages to a channel; other processes post there too, and then Slack puts one of them off."""
        with self._pacing:
            now = self._clock()
            at = max(now, self._posted_at.get(channel, now - _PACE) + _PACE)
            self._posted_at[channel] = at
        if at > now:
            self._sleep(at - now)

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
            page = self._call(method, f"Slack channel {about}", limit=200, cursor=cursor, **arguments)
            yield page
            cursor = (page.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                return

    def _call(self, method: str, about: str, **arguments: Any) -> Mapping[str, Any]:
        repeats = 0
        while True:
            try:
                with translated(about):
                    answer: Mapping[str, Any] = getattr(self._client(), method)(**arguments).data
                return answer
            except Unavailable as error:
                if repeats == _REPEATS or not _put_off(error):
                    raise
                self._sleep(error.retry_after or 0.0)
                repeats += 1


def send(address: str, body: Mapping[str, Any], what: str) -> None:
    """Post JSON to one of the addresses that Slack gives out, which answer in plain words.

    https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks

    Args:
        address: The address; it is a secret, and stands in no error.
        body: What is posted.
        what: What the address is, for errors.

    Raises:
        CloudError: What came of it, if anything but a message.
    """
    from slack_sdk.webhook import WebhookClient

    with translated(what):
        answer = WebhookClient(address, timeout=_TIMEOUT, retry_handlers=[]).send_dict(dict(body))
    if answer.status_code != 200:
        raise of_status(answer.status_code, answer.body, answer.headers, what)


def _put_off(error: Unavailable) -> bool:
    status = getattr(getattr(error.__cause__, "response", None), "status_code", None)
    return status == 429 and error.retry_after is not None and error.retry_after <= _PATIENCE


def _connect(token: str, base_url: str) -> Any:
    from slack_sdk import WebClient

    return WebClient(token=token, base_url=base_url, timeout=_TIMEOUT, retry_handlers=[])
