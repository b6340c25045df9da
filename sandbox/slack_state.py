"""Channels and their messages, as Slack keeps them."""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from sandbox.slack_wire import RateLimited, SlackError, moment

TEAM, USER, BOT, APP = "T0000000001", "U0000000001", "B0000000001", "A0000000001"
DOMAIN = "sandbox"
HOME = f"https://{DOMAIN}.slack.com/"
AUTHOR = {"user": USER, "bot_id": BOT, "team": TEAM}
"""Who the bot's messages are from."""
_MICROS = 1_000_000


@dataclass
class Bucket:
    """So many messages at once, and then so many a second.

    https://docs.slack.dev/apis/web-api/rate-limits : one message per second and channel, with short bursts.

    Attributes:
        burst: How many at once.
        rate: How many a second after that.
        clock: Seconds, rising.
    """

    burst: int
    rate: float
    clock: Callable[[], float]
    _left: float = field(init=False)
    _read: float = field(init=False)

    def __post_init__(self) -> None:
        self._left, self._read = float(self.burst), self.clock()

    def take(self) -> None:
        """Let one message pass.

        Raises:
            RateLimited: It is too early, with the seconds until it is not.
        """
        now = self.clock()
        self._left = min(float(self.burst), self._left + (now - self._read) * self.rate)
        self._read = now
        if self._left < 1:
            raise RateLimited(max(1, math.ceil((1 - self._left) / self.rate)))
        self._left -= 1


@dataclass
class Channel:
    """A channel.

    Attributes:
        id: ``C0000000001``.
        name: Without ``#``.
        member: Whether the bot is in it.
        archived: Whether it is closed for messages.
        bucket: Its rate limit.
        messages: By timestamp, oldest first.
    """

    id: str
    name: str
    member: bool
    archived: bool
    bucket: Bucket
    messages: dict[str, dict[str, Any]] = field(default_factory=dict)


class Workspace:
    """The channels of one workspace. Every method may be called from any thread.

    Args:
        burst: Messages a channel takes at once.
        rate: Messages a second it takes after that.
        clock: Seconds, rising, for the rate limit.
        now: Seconds since 1970, for timestamps.

    Attributes:
        lock: Held by whoever reads or changes a message.
        ephemerals: What was shown to one person alone, oldest first.
    """

    def __init__(self, burst: int, rate: float, clock: Callable[[], float], now: Callable[[], float] = time.time) -> None:
        self.lock = threading.RLock()
        self.ephemerals: list[dict[str, Any]] = []
        self._burst, self._rate, self._clock, self._now = burst, rate, clock, now
        self._channels: dict[str, Channel] = {}
        self._ids = itertools.count(1)
        self._last = 0

    def add_channel(self, name: str, *, member: bool, archived: bool, burst: int | None = None) -> str:
        """Add a channel, which takes so many messages at once where that is another number than elsewhere, and give its id."""
        with self.lock:
            channel = Channel(f"C{next(self._ids):010d}", name, member, archived, Bucket(burst or self._burst, self._rate, self._clock))
            self._channels[channel.id] = channel
            return channel.id

    def channels(self) -> list[Channel]:
        """Every channel, in the order they were added."""
        with self.lock:
            return list(self._channels.values())

    def by_id(self, channel_id: str) -> Channel:
        """A channel by its id alone.

        Raises:
            SlackError: ``channel_not_found``.
        """
        with self.lock:
            if channel_id not in self._channels:
                raise SlackError("channel_not_found")
            return self._channels[channel_id]

    def find(self, reference: str) -> Channel:
        """A channel by its id, or by its name with or without ``#``.

        Raises:
            SlackError: ``channel_not_found``.
        """
        with self.lock:
            named = [channel for channel in self._channels.values() if channel.name == reference.removeprefix("#")]
            return named[0] if named else self.by_id(reference)

    def next_ts(self) -> str:
        """A timestamp that no other message has, and that is later than all before."""
        with self.lock:
            self._last = max(self._last + 1, int(self._now() * _MICROS))
            return f"{self._last // _MICROS}.{self._last % _MICROS:06d}"

    def seconds(self) -> float:
        """The time of day, in seconds since 1970."""
        return self._now()

    def open(self, channel: Channel) -> None:
        """Make sure that the bot may post.

        Raises:
            SlackError: ``is_archived`` or ``not_in_channel``.
        """
        if channel.archived:
            raise SlackError("is_archived")
        if not channel.member:
            raise SlackError("not_in_channel")

    def post(self, channel: Channel, message: dict[str, Any]) -> dict[str, Any]:
        """Add a message to a channel, and to the thread that its ``thread_ts`` names; gives the message with its timestamp.

        Raises:
            RateLimited: Too many messages.
        """
        with self.lock:
            channel.bucket.take()
            message = {"type": "message", **message, "ts": self.next_ts()}
            channel.messages[message["ts"]] = message
            parent = channel.messages.get(message.get("thread_ts", ""))
            if parent is not None:
                parent |= {
                    "thread_ts": parent["ts"],
                    "reply_count": parent.get("reply_count", 0) + 1,
                    "latest_reply": message["ts"],
                }
            return dict(message)

    def post_ephemeral(self, channel: Channel, user: str, content: dict[str, Any]) -> str:
        """Show a message to one person alone, and give its timestamp.

        Raises:
            RateLimited: Too many messages.
        """
        with self.lock:
            channel.bucket.take()
            ts = self.next_ts()
            self.ephemerals.append({"channel": channel.id, "user": user, "text": "", **content, "message_ts": ts})
            return ts

    def ephemeral(self, channel: Channel, ts: str) -> dict[str, Any] | None:
        """A message that was shown to one person alone; none if there is none, or no longer."""
        there = (each for each in self.ephemerals if (each["channel"], each["message_ts"]) == (channel.id, ts))
        return next(there, None)

    def message(self, channel: Channel, ts: str, author: str, error: str) -> dict[str, Any]:
        """A message to change or delete.

        Raises:
            SlackError: ``message_not_found``, or `error` if another bot wrote it.
        """
        message = channel.messages.get(ts)
        if message is None:
            raise SlackError("message_not_found")
        if message["bot_id"] != author:
            raise SlackError(error)
        return message

    def delete(self, channel: Channel, ts: str) -> None:
        """Take a message out of its channel and its thread."""
        with self.lock:
            gone = channel.messages.pop(ts)
            parent = channel.messages.get(gone.get("thread_ts", ""))
            if parent is not None:
                parent["reply_count"] -= 1

    def history(self, channel: Channel) -> list[dict[str, Any]]:
        """What the channel shows, newest first: no replies, but for those that were broadcast."""
        with self.lock:
            shown = [message for message in channel.messages.values() if _in_channel(message)]
            return [dict(message) for message in reversed(shown)]

    def thread(self, channel: Channel, ts: str) -> list[dict[str, Any]]:
        """A message and its replies, oldest first.

        Raises:
            SlackError: ``thread_not_found``.
        """
        with self.lock:
            if ts not in channel.messages:
                raise SlackError("thread_not_found")
            return [dict(message) for message in channel.messages.values() if ts in (message["ts"], message.get("thread_ts"))]


def between(
    messages: Iterable[dict[str, Any]],
    oldest: tuple[int, int] | None,
    latest: tuple[int, int] | None,
    *,
    inclusive: bool,
) -> list[dict[str, Any]]:
    """The messages after `oldest` and before `latest`, with those two themselves if it is inclusive."""
    found = []
    for message in messages:
        at = moment(message["ts"])
        if (oldest is None or at > oldest or (inclusive and at == oldest)) and (
            latest is None or at < latest or (inclusive and at == latest)
        ):
            found.append(message)
    return found


def _in_channel(message: dict[str, Any]) -> bool:
    return message.get("thread_ts", message["ts"]) == message["ts"] or message.get("subtype") == "thread_broadcast"
