"""Response URLs: where an app says what came of an interaction, without a token.

https://docs.slack.dev/interactivity/handling-user-interaction#message_responses documents the fields and the limits, five uses
within 30 minutes, but not what a URL answers that is used up or too old. Here that is HTTP 404 with ``used_url`` or ``expired_url``,
and what would replace or delete a message that is gone is 404 with ``message_not_found``.
"""

from __future__ import annotations

import itertools
import secrets
from dataclasses import dataclass
from typing import Any

from sandbox.slack_content import content_of
from sandbox.slack_state import AUTHOR, TEAM, USER, Channel, Workspace
from sandbox.slack_wire import Arguments, SlackError

USES, SECONDS = 5, 30 * 60


@dataclass
class _Url:
    """Where a URL answers whom, about which message if any, since when, and how often it was used."""

    channel: Channel
    user: str
    original: str
    minted: float
    used: int = 0


class ResponseUrls:
    """The response URLs that were given out."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._urls: dict[str, _Url] = {}
        self._numbers = itertools.count(1)

    def mint(self, kind: str, channel: Channel, user: str, original: str = "") -> str:
        """Make a URL, and give its path.

        Args:
            kind: ``actions`` or ``commands``.
            channel: Where it answers.
            user: Whom it answers.
            original: The timestamp of the message that was pressed, if one was.
        """
        with self._workspace.lock:
            path = f"/{kind}/{TEAM}/{next(self._numbers)}/{secrets.token_urlsafe(18)}"
            self._urls[path] = _Url(channel, user, original, self._workspace.seconds())
            return path

    def use(self, path: str, arguments: Arguments) -> None:
        """Do what is posted to a URL. What Slack refuses is not counted as a use.

        Raises:
            SlackError: There is no such URL, it is used up or too old, or what is posted is no message.
            RateLimited: Too many messages for the channel.
        """
        with self._workspace.lock:
            if path not in self._urls:
                raise SlackError("no_service")
            url = self._urls[path]
            if self._workspace.seconds() - url.minted > SECONDS:
                raise SlackError("expired_url")
            if url.used >= USES:
                raise SlackError("used_url")
            if url.original and arguments.flag("delete_original"):
                self._delete(url)
            elif url.original and arguments.flag("replace_original"):
                self._replace(url, arguments)
            else:
                self.show(url.channel, url.user, arguments)
            url.used += 1

    def show(self, channel: Channel, user: str, arguments: Arguments) -> None:
        """Show a message: to one person, or to the channel where its ``response_type`` is ``in_channel``.

        Raises:
            SlackError: It is no message, or the channel is archived.
            RateLimited: Too many messages for the channel.
        """
        if channel.archived:
            raise SlackError("channel_is_archived")
        content = content_of(arguments)
        if arguments.text("response_type") == "in_channel":
            self._workspace.post(channel, {**AUTHOR, "text": "", **content})
        else:
            self._workspace.post_ephemeral(channel, user, content)

    def _original(self, url: _Url) -> dict[str, Any]:
        message = self._workspace.ephemeral(url.channel, url.original) or url.channel.messages.get(url.original)
        if message is None:
            raise SlackError("message_not_found")
        return message

    def _replace(self, url: _Url, arguments: Arguments) -> None:
        message = self._original(url)
        content = content_of(arguments)
        message |= {"text": content.get("text", ""), "blocks": content.get("blocks", [])}
        message["edited"] = {"user": USER, "ts": self._workspace.next_ts()}

    def _delete(self, url: _Url) -> None:
        message = self._original(url)
        if "message_ts" in message:
            self._workspace.ephemerals[:] = [each for each in self._workspace.ephemerals if each is not message]
        else:
            self._workspace.delete(url.channel, url.original)
