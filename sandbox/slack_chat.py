"""The methods of Slack's Web API that write: messages posted, changed and deleted; and ``auth.test``.

https://docs.slack.dev/reference/methods/chat.postMessage and its siblings.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sandbox.slack_content import content_of, metadata_of
from sandbox.slack_state import AUTHOR, BOT, HOME, TEAM, USER, Workspace
from sandbox.slack_wire import Arguments, SlackError

_MAX_UPDATE = 4_000  # msg_too_long: https://docs.slack.dev/reference/methods/chat.update


class Chat:
    """What a bot may write in a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def methods(self) -> dict[str, Callable[[Arguments], dict[str, Any]]]:
        """The methods by their names."""
        return {
            "auth.test": _auth_test,
            "chat.delete": self._chat_delete,
            "chat.postEphemeral": self._chat_post_ephemeral,
            "chat.postMessage": self._chat_post_message,
            "chat.update": self._chat_update,
        }

    def _chat_post_message(self, arguments: Arguments) -> dict[str, Any]:
        channel = self._workspace.find(arguments.required("channel"))
        self._workspace.open(channel)
        metadata, warning = metadata_of(arguments)
        message = self._workspace.post(channel, {**AUTHOR, "text": "", **content_of(arguments), **metadata})
        return {"channel": channel.id, "ts": message["ts"], "message": message, **warning}

    def _chat_post_ephemeral(self, arguments: Arguments) -> dict[str, Any]:
        channel = self._workspace.find(arguments.required("channel"))
        user = arguments.required("user")
        self._workspace.open(channel)
        return {"message_ts": self._workspace.post_ephemeral(channel, user, content_of(arguments))}

    def _chat_update(self, arguments: Arguments) -> dict[str, Any]:
        channel = self._workspace.by_id(arguments.required("channel"))
        ts = arguments.required("ts")
        message = self._workspace.message(channel, ts, BOT, "cant_update_message")
        self._workspace.open(channel)
        if len(arguments.text("text")) > _MAX_UPDATE:
            raise SlackError("msg_too_long")
        content = {key: value for key, value in content_of(arguments).items() if key != "thread_ts"}  # a message stays in its thread
        metadata, warning = metadata_of(arguments)
        if "blocks" not in content and "text" in content:
            content |= {"blocks": [], "edited": {"user": USER, "ts": self._workspace.next_ts()}}
        with self._workspace.lock:
            message |= {**content, **metadata}
            if arguments.values.get("metadata") in ({}, "{}"):
                message.pop("metadata", None)
            return {"channel": channel.id, "ts": ts, "text": message["text"], "message": dict(message), **warning}

    def _chat_delete(self, arguments: Arguments) -> dict[str, Any]:
        channel = self._workspace.by_id(arguments.required("channel"))
        ts = arguments.required("ts")
        self._workspace.message(channel, ts, BOT, "cant_delete_message")
        self._workspace.delete(channel, ts)
        return {"channel": channel.id, "ts": ts}


def _auth_test(_arguments: Arguments) -> dict[str, Any]:
    return {"url": HOME, "team": "Sandbox", "user": "cost_watchdog", "team_id": TEAM, "user_id": USER, "bot_id": BOT}
