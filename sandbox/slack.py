"""Slack: the part of its Web API that a bot posts with, incoming webhooks, and what people do that the bot's app is told of.

A real client finds it with ``WebClient(base_url="http://127.0.0.1:PORT/api/", token=...)``.
https://docs.slack.dev/reference/methods
"""

from __future__ import annotations

import asyncio
import copy
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from sandbox.faults import Fault, Faults
from sandbox.serve import Dropped
from sandbox.slack_chat import Chat
from sandbox.slack_content import content_of
from sandbox.slack_delivery import Delivery, Post
from sandbox.slack_interactions import Failure, Interactions
from sandbox.slack_people import ANN, Impossible, People
from sandbox.slack_reading import Reading
from sandbox.slack_responses import ResponseUrls
from sandbox.slack_scopes import COMMANDS, EVERY_SCOPE, METADATA, MissingScope, allow
from sandbox.slack_state import TEAM, Channel, Workspace
from sandbox.slack_wire import Arguments, RateLimited, SlackError, arguments_of

# https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks names the first four; for the others see slack_responses.
# Every other error is a 400.
_HOOK_STATUS = {
    "action_prohibited": 403,
    "channel_is_archived": 410,
    "channel_not_found": 404,
    "no_service": 404,
    "expired_url": 404,
    "message_not_found": 404,
    "used_url": 404,
}
_UNREADABLE = ("invalid_form_data", "invalid_json", "invalid_post_type", "json_not_object")


class Slack:
    """A workspace with one bot, and the people ann and ben.

    Not modelled: private channels, files, modals, events, and the rate limits by method beside the one by channel.

    Args:
        faults: Asked under the method's name, with the channel as it was named; under ``incoming-webhook`` and ``response_url`` with the path.
        token: The bot's token.
        channels: The channels to begin with, which the bot is in.
        burst: Messages that a channel takes at once.
        rate: Messages a second that it takes after that.
        clock: Seconds, rising, for the rate limit.
        now: Seconds since 1970, for timestamps, signatures, and the age of response URLs.
        scopes: What the bot's app may do; none is everything.
        signing_secret: What Slack signs with that it sends to the app.

    Attributes:
        token: The bot's token.
        ephemerals: What was shown to one person alone, oldest first.
        failures: What people saw fail since the app did not acknowledge it.
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
        now: Callable[[], float] = time.time,
        scopes: Iterable[str] | None = None,
        signing_secret: str = "sandbox-signing-secret",  # noqa: S107 - it opens nothing
    ) -> None:
        self.token = token
        self._faults = faults
        self._revoked = False
        self._out = False
        self._webhooks: dict[str, str] = {}
        self._scopes = EVERY_SCOPE if scopes is None else tuple(scopes)
        self._workspace = Workspace(burst, rate, clock, now)
        self._people = People()
        self._responses = ResponseUrls(self._workspace)
        self._interactions = Interactions(self._workspace, self._people, self._responses, signing_secret)
        self.ephemerals: list[dict[str, Any]] = self._workspace.ephemerals
        self.failures: list[Failure] = self._interactions.failures
        for name in channels:
            self.add_channel(name)
        self._methods: dict[str, Callable[[Arguments], dict[str, Any]]] = {
            "usergroups.users.list": self._people.usergroups_users_list,
            **Chat(self._workspace).methods(),
            **Reading(self._workspace, metadata=METADATA in self._scopes).methods(),
        }

    def add_channel(self, name: str, *, member: bool = True, archived: bool = False, burst: int | None = None) -> str:
        """Add a channel, which takes so many messages at once where that is another number than elsewhere, and give its id."""
        return self._workspace.add_channel(name.removeprefix("#"), member=member, archived=archived, burst=burst)

    def add_webhook(self, channel: str) -> str:
        """Add an incoming webhook for a channel and give its path, ``/services/T…/B…/…``."""
        number = len(self._webhooks) + 2
        path = f"/services/{TEAM}/B{number:010d}/sandbox{number:017d}"
        self._webhooks[path] = self._workspace.find(channel).id
        return path

    def add_user(self, user_id: str, name: str) -> None:
        """Add a person."""
        self._people.add_user(user_id, name)

    def add_usergroup(self, group_id: str, handle: str, users: Sequence[str]) -> None:
        """Add a user group, or say anew who is in it.

        Raises:
            Impossible: Somebody of these is not in the workspace.
        """
        self._people.add_usergroup(group_id, handle, users)

    def serve_at(self, url: str) -> None:
        """Say where `app` is served, ``http://127.0.0.1:PORT``: response URLs begin with that."""
        self._interactions.url = url

    def connect(self, to: str | Post, signing_secret: str | None = None, *, patience: float | None = None) -> None:
        """Say where the app takes interactions.

        Args:
            to: Its request URL, or a function that takes a body and headers and gives status and body, for an app in this process.
            signing_secret: What to sign with from now on; none leaves it as it is.
            patience: Seconds to wait for an answer from now on; none leaves it at Slack's three.

        Raises:
            ValueError: The URL is none that can be posted to.
        """
        self._interactions.connect(to, signing_secret, patience)

    def sign(self, body: bytes, timestamp: int | None = None) -> dict[str, str]:
        """The headers of a request that Slack sends, signed now or at a time in seconds since 1970."""
        return self._interactions.sign(body, timestamp)

    def press(
        self,
        channel: str,
        ts: str,
        action_id: str,
        *,
        user: str = ANN,
        block_id: str = "",
        value: str | None = None,
        option: str | None = None,
    ) -> Delivery:
        """Somebody presses a button of a message, or chooses an option, and the app is told.

        A dialog to confirm it is the client's affair, and is taken to be confirmed.

        Args:
            channel: The channel's id or name.
            ts: The message's timestamp; that of an ephemeral message too.
            action_id: The element's.
            user: Who does it.
            block_id: The element's block, where more than one has such an element.
            value: The button's value, where more than one button has this action.
            option: The value of the option, where the element has options.

        Raises:
            Impossible: There is no such person, message, element or option, or the app is not connected.
        """
        return self._interactions.press(channel, ts, action_id, user, block_id, value, option)

    def command(self, command: str, text: str = "", *, channel: str, user: str = ANN) -> Delivery:
        """Somebody gives a slash command, and the app is told. What it answers at once is shown.

        Args:
            command: With its slash.
            text: What follows it.
            channel: The id or name of the channel that it is given in.
            user: Who does it.

        Raises:
            Impossible: There is no such person or channel, or the app is not connected or has no commands.
        """
        if COMMANDS not in self._scopes:
            raise Impossible(f"{command} is not a valid command: the app lacks the scope {COMMANDS!r}.")
        return self._interactions.command(command, text, channel, user)

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
        """The channels as JSON for a page: messages oldest first, each with its replies, and what single persons see beside them."""
        with self._workspace.lock:
            return {
                "outage": self._out,
                "people": [asdict(user) for user in self._people.users()],
                "channels": [self._view(channel) for channel in self._workspace.channels()],
            }

    def app(self) -> Starlette:
        """The Web API under ``/api/``, the webhooks under ``/services/``, and the response URLs under ``/actions/`` and ``/commands/``."""
        return Starlette(
            routes=[
                Route("/api/{method}", self._call, methods=["GET", "POST"]),
                Route("/services/{path:path}", self._webhook, methods=["POST"]),
                Route("/actions/{path:path}", self._response, methods=["POST"]),
                Route("/commands/{path:path}", self._response, methods=["POST"]),
            ]
        )

    def _view(self, channel: Channel) -> dict[str, Any]:
        shown = reversed(self._workspace.history(channel))
        messages = [{**message, "replies": self._workspace.thread(channel, message["ts"])[1:]} for message in shown]
        return {
            "id": channel.id,
            "name": channel.name,
            "archived": channel.archived,
            "messages": copy.deepcopy(messages),
            "ephemerals": copy.deepcopy([each for each in self.ephemerals if each["channel"] == channel.id]),
            "failures": [asdict(each) for each in self.failures if each.channel == channel.id],
        }

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
        told = {"X-OAuth-Scopes": ",".join(self._scopes)} if answer["ok"] else {}
        return Dropped() if fault and fault.drop_answer else JSONResponse(answer, headers=told)

    async def _webhook(self, request: Request) -> Response:
        return await self._hook(request, "incoming-webhook", self._post_by_webhook, PlainTextResponse("ok"))

    async def _response(self, request: Request) -> Response:
        answer = JSONResponse({"ok": True}) if request.url.path.startswith("/actions/") else PlainTextResponse("ok")
        return await self._hook(request, "response_url", self._responses.use, answer)

    async def _hook(self, request: Request, name: str, work: Callable[[str, Arguments], None], done: Response) -> Response:
        """What is posted to a URL that needs no token."""
        fault = self._faults.strike(name, request.url.path)
        await self._wait(fault)
        try:
            if (refusal := self._refusal(fault)) is not None:
                return refusal
            arguments = await arguments_of(request)
            if "payload" in arguments.values:
                arguments = Arguments(arguments.json("payload", "invalid_json", dict))
            work(request.url.path, arguments)
        except SlackError as error:
            text = "invalid_payload" if error.error in _UNREADABLE else error.error
            return PlainTextResponse(text, _HOOK_STATUS.get(text, 400))
        except RateLimited as error:
            return PlainTextResponse("rate_limited", 429, {"Retry-After": str(error.retry_after)})
        return Dropped() if fault and fault.drop_answer else done

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
        allow(method, self._scopes)
        return self._methods[method]

    def _post_by_webhook(self, path: str, arguments: Arguments) -> None:
        if path not in self._webhooks:
            raise SlackError("no_service")
        channel = self._workspace.by_id(self._webhooks[path])
        if channel.archived:
            raise SlackError("channel_is_archived")
        content = content_of(arguments, limited=False)
        self._workspace.post(channel, {"bot_id": path.split("/")[3], "team": TEAM, "text": "", **content})


def _failure(error: SlackError) -> dict[str, Any]:
    answer: dict[str, Any] = {"ok": False, "error": error.error}
    if isinstance(error, MissingScope):
        answer |= {"needed": error.needed, "provided": error.provided}
    if error.details:
        answer["response_metadata"] = {"messages": error.details}
    if error.error == "invalid_blocks":
        answer["errors"] = [detail.removeprefix("[ERROR] ") for detail in error.details]
    return answer


def _rate_limited(seconds: int) -> Response:
    return JSONResponse({"ok": False, "error": "ratelimited"}, 429, {"Retry-After": str(seconds)})
