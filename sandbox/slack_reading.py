"""The methods of Slack's Web API that only read: channels, histories, threads, permalinks.

https://docs.slack.dev/reference/methods/conversations.history and its siblings.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sandbox.slack_state import HOME, Channel, Workspace, between
from sandbox.slack_wire import Arguments, SlackError, cursor_after

_HIDDEN = ("metadata", "unfurl_links", "unfurl_media")


class Reading:
    """What a bot may read of a workspace."""

    def __init__(self, workspace: Workspace, *, metadata: bool) -> None:
        """Read a workspace, with the metadata of its messages where the bot may see it."""
        self._workspace = workspace
        self._metadata = metadata

    def methods(self) -> dict[str, Callable[[Arguments], dict[str, Any]]]:
        """The methods by their names."""
        return {
            "chat.getPermalink": self._chat_get_permalink,
            "conversations.history": self._conversations_history,
            "conversations.info": self._conversations_info,
            "conversations.list": self._conversations_list,
            "conversations.replies": self._conversations_replies,
        }

    def _chat_get_permalink(self, arguments: Arguments) -> dict[str, Any]:
        channel = self._workspace.by_id(arguments.required("channel"))
        ts = arguments.required("message_ts")
        if ts not in channel.messages:
            raise SlackError("message_not_found")
        parent = channel.messages[ts].get("thread_ts", ts)
        thread = "" if parent == ts else f"?thread_ts={parent}&cid={channel.id}"
        return {"channel": channel.id, "permalink": f"{HOME}archives/{channel.id}/p{ts.replace('.', '')}{thread}"}

    def _conversations_history(self, arguments: Arguments) -> dict[str, Any]:
        channel = self._readable(arguments)
        found = _selected(self._workspace.history(channel), arguments)
        if cursor := arguments.cursor():
            found = [message for message in found if message["ts"] < cursor]
        return _page(
            found,
            arguments.limit(100, 999),
            lambda message: str(message["ts"]),
            metadata=self._metadata and arguments.flag("include_all_metadata"),
        )

    def _conversations_replies(self, arguments: Arguments) -> dict[str, Any]:
        channel = self._readable(arguments)
        parent, *replies = self._workspace.thread(channel, arguments.required("ts"))
        found = [parent, *_selected(replies, arguments)]
        if cursor := arguments.cursor():
            found = [message for message in found if message["ts"] > cursor]
        return _page(
            found,
            arguments.limit(1000, 1000),
            lambda message: str(message["ts"]),
            metadata=self._metadata and arguments.flag("include_all_metadata"),
        )

    def _conversations_list(self, arguments: Arguments) -> dict[str, Any]:
        cursor, limit = arguments.cursor(), arguments.limit(100, 1000)
        hidden = arguments.flag("exclude_archived")
        found = [channel for channel in self._workspace.channels() if channel.id > cursor and not (hidden and channel.archived)]
        following = cursor_after(found[limit - 1].id) if len(found) > limit else ""
        return {"channels": [_channel(channel) for channel in found[:limit]], "response_metadata": {"next_cursor": following}}

    def _conversations_info(self, arguments: Arguments) -> dict[str, Any]:
        return {"channel": _channel(self._workspace.by_id(arguments.required("channel")))}

    def _readable(self, arguments: Arguments) -> Channel:
        channel = self._workspace.by_id(arguments.required("channel"))
        if not channel.member:
            raise SlackError("not_in_channel")
        return channel


def shown(message: dict[str, Any], *, metadata: bool = False) -> dict[str, Any]:
    """A message as Slack tells of it: metadata only on demand, unfurl flags never."""
    hidden = _HIDDEN[1:] if metadata else _HIDDEN
    return {key: value for key, value in message.items() if key not in hidden}


def _selected(messages: list[dict[str, Any]], arguments: Arguments) -> list[dict[str, Any]]:
    oldest, latest = arguments.ts("oldest", "invalid_ts_oldest"), arguments.ts("latest", "invalid_ts_latest")
    return between(messages, oldest, latest, inclusive=arguments.flag("inclusive"))


def _channel(channel: Channel) -> dict[str, Any]:
    return {
        "id": channel.id,
        "name": channel.name,
        "is_channel": True,
        "is_private": False,
        "is_archived": channel.archived,
        "is_member": channel.member,
    }


def _page(found: list[dict[str, Any]], limit: int, position: Callable[[dict[str, Any]], str], *, metadata: bool) -> dict[str, Any]:
    page = [shown(message, metadata=metadata) for message in found[:limit]]
    more = len(found) > limit
    return {
        "messages": page,
        "has_more": more,
        **({"response_metadata": {"next_cursor": cursor_after(position(page[-1]))}} if more else {}),
    }
