"""Slack: the part of its Web API that a bot posts with, and incoming webhooks.

A real client finds it with ``WebClient(base_url="http://127.0.0.1:PORT/api/", token=...)``.
https://docs.slack.dev/reference/methods
"""

from __future__ import annotations

import asyncio
import copy
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from sandbox.faults import Fault, Faults
from sandbox.serve import Dropped
from sandbox.slack_content import content_of, metadata_of
from sandbox.slack_state import Channel, Workspace, between
from sandbox.slack_wire import Arguments, RateLimited, SlackError, arguments_of, cursor_after

TEAM, USER, BOT = "T0000000001", "U0000000001", "B0000000001"
HOME = "https://sandbox.slack.com/"
_MAX_UPDATE = 4_000  # msg_too_long: https://docs.slack.dev/reference/methods/chat.update
_HIDDEN = ("metadata", "unfurl_links", "unfurl_media")
# https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks names these; every other error is a 400.
_WEBHOOK_STATUS = {"action_prohibited": 403, "channel_is_archived": 410, "channel_not_found": 404, "no_service": 404}
_UNREADABLE = ("invalid_form_data", "invalid_json", "invalid_post_type", "json_not_object")


class Slack:
    """A workspace with one bot.

    Not modelled: scopes, users, private channels, files, the rate limits by method beside the one by channel, and the
    block ids that Slack makes up where none are given.

    Args:
        faults: Asked under the method's name, with the channel as it was named; under ``incoming-webhook`` with the path.
        token: The bot's token.
        channels: The channels to begin with, which the bot is in.
        burst: Messages that a channel takes at once.
        rate: Messages a second that it takes after that.
        clock: Seconds, rising, for the rate limit.
    """

    def __init__(
        self,
        faults: Faults,
        *,
        token: str = "xoxb-sandbox",  # noqa: S107 - it opens nothing
        channels: Sequence[str] = ("ml-cost",),
        burst: int = 5,
        rate: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.token = token
        self.ephemerals: list[dict[str, Any]] = []
        self._faults = faults
        self._revoked = False
        self._out = False
        self._webhooks: dict[str, str] = {}
        self._workspace = Workspace(burst, rate, clock)
        for name in channels:
            self.add_channel(name)
        self._methods: dict[str, Callable[[Arguments], dict[str, Any]]] = {
            "auth.test": _auth_test,
            "chat.delete": self._chat_delete,
            "chat.getPermalink": self._chat_get_permalink,
            "chat.postEphemeral": self._chat_post_ephemeral,
            "chat.postMessage": self._chat_post_message,
            "chat.update": self._chat_update,
            "conversations.history": self._conversations_history,
            "conversations.info": self._conversations_info,
            "conversations.list": self._conversations_list,
            "conversations.replies": self._conversations_replies,
        }

    def add_channel(self, name: str, *, member: bool = True, archived: bool = False) -> str:
        """Add a channel and give its id."""
        return self._workspace.add_channel(name.removeprefix("#"), member=member, archived=archived)

    def add_webhook(self, channel: str) -> str:
        """Add an incoming webhook for a channel and give its path, ``/services/T…/B…/…``."""
        number = len(self._webhooks) + 2
        path = f"/services/{TEAM}/B{number:010d}/sandbox{number:017d}"
        self._webhooks[path] = self._workspace.find(channel).id
        return path

    def revoke(self) -> None:
        """Revoke the token."""
        self._revoked = True

    def outage(self, on: bool) -> None:
        """Answer every call with 503, or stop doing so."""
        self._out = on

    def messages(self, channel: str) -> list[dict[str, Any]]:
        """Everything in a channel with replies, metadata and unfurl flags, oldest first."""
        with self._workspace.lock:
            return copy.deepcopy(list(self._workspace.find(channel).messages.values()))

    def snapshot(self) -> dict[str, Any]:
        """The channels as JSON for a page: messages oldest first, each with its replies."""
        with self._workspace.lock:
            return {"outage": self._out, "channels": [self._view(channel) for channel in self._workspace.channels()]}

    def app(self) -> Starlette:
        """The Web API under ``/api/``, and the webhooks under ``/services/``."""
        return Starlette(
            routes=[
                Route("/api/{method}", self._call, methods=["GET", "POST"]),
                Route("/services/{path:path}", self._webhook, methods=["POST"]),
            ]
        )

    def _view(self, channel: Channel) -> dict[str, Any]:
        shown = reversed(self._workspace.history(channel))
        messages = [{**message, "replies": self._workspace.thread(channel, message["ts"])[1:]} for message in shown]
        return {"id": channel.id, "name": channel.name, "archived": channel.archived, "messages": copy.deepcopy(messages)}

    async def _call(self, request: Request) -> Response:
        method = request.path_params["method"]
        problem, arguments = None, Arguments({})
        try:
            arguments = await arguments_of(request)
        except SlackError as error:
            problem = error
        fault = self._faults.strike(method, str(arguments.values.get("channel", "")))
        await self._wait(fault)
        try:
            if (refusal := self._refusal(fault)) is not None:
                return refusal
            work = self._authorised(method, request, arguments)
            if problem:
                raise problem
            answer = {"ok": True, **work(arguments)}
        except SlackError as error:
            answer = _failure(error)
        except RateLimited as error:
            return _rate_limited(error.retry_after)
        return Dropped() if fault and fault.drop_answer else JSONResponse(answer)

    async def _webhook(self, request: Request) -> Response:
        fault = self._faults.strike("incoming-webhook", request.url.path)
        await self._wait(fault)
        try:
            if (refusal := self._refusal(fault)) is not None:
                return refusal
            self._post_by_webhook(request.url.path, await arguments_of(request))
        except SlackError as error:
            text = "invalid_payload" if error.error in _UNREADABLE else error.error
            return PlainTextResponse(text, _WEBHOOK_STATUS.get(text, 400))
        except RateLimited as error:
            return PlainTextResponse("rate_limited", 429, {"Retry-After": str(error.retry_after)})
        return Dropped() if fault and fault.drop_answer else PlainTextResponse("ok")

    async def _wait(self, fault: Fault | None) -> None:
        pause = self._faults.latency + (fault.delay if fault else 0.0)
        if pause:
            await asyncio.sleep(pause)
        if fault and fault.crash:
            os._exit(137)

    def _refusal(self, fault: Fault | None) -> Response | None:
        """What an outage or a fault answers instead of doing the work: none, if nothing.

        Raises:
            SlackError: The fault's status is one of Slack's own errors, such as ``fatal_error``.
        """
        status = 503 if self._out else fault.status if fault else None
        if status is None:
            return None
        if isinstance(status, str):
            if not status.isupper():
                raise SlackError(status)
            status = 503  # a gRPC code, from a fault that strikes every method of every service
        if status == 429:
            return _rate_limited((fault and fault.retry_after) or 1)
        return JSONResponse({"ok": False, "error": "service_unavailable" if status == 503 else "internal_error"}, status)

    def _authorised(self, method: str, request: Request, arguments: Arguments) -> Callable[[Arguments], dict[str, Any]]:
        if method not in self._methods:
            raise SlackError("unknown_method")
        token = request.headers.get("authorization", "").removeprefix("Bearer ") or arguments.text("token")
        if not token:
            raise SlackError("not_authed")
        if token != self.token:
            raise SlackError("invalid_auth")
        if self._revoked:
            raise SlackError("token_revoked")
        return self._methods[method]

    def _chat_post_message(self, arguments: Arguments) -> dict[str, Any]:
        channel = self._workspace.find(arguments.required("channel"))
        self._workspace.open(channel)
        metadata, warning = metadata_of(arguments)
        author = {"user": USER, "bot_id": BOT, "team": TEAM}
        message = self._workspace.post(channel, {**author, "text": "", **content_of(arguments), **metadata})
        return {"channel": channel.id, "ts": message["ts"], "message": message, **warning}

    def _chat_post_ephemeral(self, arguments: Arguments) -> dict[str, Any]:
        channel = self._workspace.find(arguments.required("channel"))
        user = arguments.required("user")
        self._workspace.open(channel)
        content = content_of(arguments)
        channel.bucket.take()
        self.ephemerals.append({"channel": channel.id, "user": user, **content, "message_ts": self._workspace.next_ts()})
        return {"message_ts": self.ephemerals[-1]["message_ts"]}

    def _chat_update(self, arguments: Arguments) -> dict[str, Any]:
        channel = self._workspace.by_id(arguments.required("channel"))
        ts = arguments.required("ts")
        message = self._workspace.message(channel, ts, BOT, "cant_update_message")
        self._workspace.open(channel)
        if len(arguments.text("text")) > _MAX_UPDATE:
            raise SlackError("msg_too_long")
        content = content_of(arguments)
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
        found = self._selected(self._workspace.history(channel), arguments)
        if cursor := arguments.cursor():
            found = [message for message in found if message["ts"] < cursor]
        return _page(found, arguments.limit(100, 999), lambda message: str(message["ts"]), arguments)

    def _conversations_replies(self, arguments: Arguments) -> dict[str, Any]:
        channel = self._readable(arguments)
        parent, *replies = self._workspace.thread(channel, arguments.required("ts"))
        found = [parent, *self._selected(replies, arguments)]
        if cursor := arguments.cursor():
            found = [message for message in found if message["ts"] > cursor]
        return _page(found, arguments.limit(1000, 1000), lambda message: str(message["ts"]), arguments)

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

    def _selected(self, messages: list[dict[str, Any]], arguments: Arguments) -> list[dict[str, Any]]:
        oldest, latest = arguments.ts("oldest", "invalid_ts_oldest"), arguments.ts("latest", "invalid_ts_latest")
        return between(messages, oldest, latest, inclusive=arguments.flag("inclusive"))

    def _post_by_webhook(self, path: str, arguments: Arguments) -> None:
        if path not in self._webhooks:
            raise SlackError("no_service")
        if "payload" in arguments.values:
            arguments = Arguments(arguments.json("payload", "invalid_json", dict))
        channel = self._workspace.by_id(self._webhooks[path])
        if channel.archived:
            raise SlackError("channel_is_archived")
        content = content_of(arguments, limited=False)
        self._workspace.post(channel, {"bot_id": path.split("/")[3], "team": TEAM, "text": "", **content})


def _auth_test(_arguments: Arguments) -> dict[str, Any]:
    return {"url": HOME, "team": "Sandbox", "user": "cost_watchdog", "team_id": TEAM, "user_id": USER, "bot_id": BOT}


def _channel(channel: Channel) -> dict[str, Any]:
    return {
        "id": channel.id,
        "name": channel.name,
        "is_channel": True,
        "is_private": False,
        "is_archived": channel.archived,
        "is_member": channel.member,
    }


def _page(found: list[dict[str, Any]], limit: int, position: Callable[[dict[str, Any]], str], arguments: Arguments) -> dict[str, Any]:
    """One page of messages; metadata only on demand, unfurl flags never."""
    hidden = _HIDDEN[1:] if arguments.flag("include_all_metadata") else _HIDDEN
    page = [{key: value for key, value in message.items() if key not in hidden} for message in found[:limit]]
    more = len(found) > limit
    return {
        "messages": page,
        "has_more": more,
        **({"response_metadata": {"next_cursor": cursor_after(position(page[-1]))}} if more else {}),
    }


def _failure(error: SlackError) -> dict[str, Any]:
    answer: dict[str, Any] = {"ok": False, "error": error.error}
    if error.details:
        answer["response_metadata"] = {"messages": error.details}
    if error.error == "invalid_blocks":
        answer["errors"] = [detail.removeprefix("[ERROR] ") for detail in error.details]
    return answer


def _rate_limited(seconds: int) -> Response:
    return JSONResponse({"ok": False, "error": "ratelimited"}, 429, {"Retry-After": str(seconds)})
