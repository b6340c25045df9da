"""Slack through an incoming webhook: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks."""

# ruff: noqa: ARG002 - a webhook can do nothing with most of what the port names

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Never

from shared.cloud.slack import send
from shared.errors import Refused
from shared.ports import Posted

_WHAT = "the Slack webhook"
_ONLY = "an incoming webhook only takes messages; set SLACK_BOT_TOKEN for more"


class SlackWebhook:
    """Fulfils `shared.ports.Messenger` as far as a webhook can: messages go to its one channel, each by itself, and nothing comes back."""

    talks_back = False

    def __init__(self, address: str) -> None:
        """Nothing is connected before the first call.

        Args:
            address: The webhook's, which is a secret.
        """
        self._address = address

    def post(
        self,
        channel: str,
        text: str,
        blocks: Sequence[Mapping[str, Any]],
        *,
        reference: str,
        thread: str = "",
        broadcast: bool = False,
    ) -> Posted:
        """Post a message; where it stands is not told."""
        send(self._address, {"text": text, **({"blocks": [*blocks]} if blocks else {})}, _WHAT)
        return Posted(channel, "")

    def find(self, channel: str, reference: str, *, since: datetime, thread: str = "") -> Posted | None:
        """Nothing can be looked for."""
        return None

    def update(self, posted: Posted, text: str, blocks: Sequence[Mapping[str, Any]]) -> Never:
        """Nothing can be changed."""
        raise Refused(_ONLY, resource=posted.channel)

    def members(self, group: str) -> Never:
        """Nobody is known."""
        raise Refused(_ONLY, resource=group)

    def answer(self, address: str, text: str) -> Never:
        """Nobody asks."""
        raise Refused(_ONLY, resource=address[:80])

    def whisper(self, channel: str, user: str, text: str) -> Never:
        """Nobody is known."""
        raise Refused(_ONLY, resource=f"{channel} {user}")
