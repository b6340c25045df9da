"""What people do in Slack that its app is told of: they press buttons, choose from menus, and give slash commands.

https://docs.slack.dev/reference/interaction-payloads/block_actions-payload and
https://docs.slack.dev/interactivity/implementing-slash-commands
"""

from __future__ import annotations

import copy
import itertools
import json
import secrets
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from sandbox.slack_delivery import PATIENCE, Delivery, Post, deliver, over_http, signed
from sandbox.slack_elements import action, choice, find, state
from sandbox.slack_people import Impossible, People, User
from sandbox.slack_reading import shown
from sandbox.slack_responses import ResponseUrls
from sandbox.slack_state import APP, DOMAIN, TEAM, Channel, Workspace
from sandbox.slack_wire import Arguments, RateLimited, SlackError

_TOKEN = "sandbox-verification-token"  # noqa: S105 - deprecated by Slack, and still sent


@dataclass(frozen=True)
class Failure:
    """What a person sees where the app failed to acknowledge an interaction.

    Attributes:
        channel: The channel's id.
        user: Who sees it.
        text: What failed, and why.
        ts: When.
        thread_ts: The thread that it was in, if any.
    """

    channel: str
    user: str
    text: str
    ts: str
    thread_ts: str = ""


class Interactions:
    """The way from the people of a workspace to its app, and back.

    Attributes:
        url: Where Slack is served, for response URLs; empty until somebody says so.
        patience: Seconds that Slack waits for an answer.
        failures: What people saw fail.
    """

    def __init__(self, workspace: Workspace, people: People, responses: ResponseUrls, secret: str) -> None:
        self.url = ""
        self.patience = PATIENCE
        self.failures: list[Failure] = []
        self._workspace, self._people, self._responses, self._secret = workspace, people, responses, secret
        self._post: Post | str = ""
        self._chosen: dict[tuple[str, str, str], dict[tuple[str, str], dict[str, Any]]] = {}
        self._triggers = itertools.count(1)

    def connect(self, to: str | Post, secret: str | None, patience: float | None) -> None:
        """Say where the app is, with which secret to sign what is sent there, and how long to wait for it.

        Raises:
            ValueError: The URL is none that can be posted to.
        """
        if isinstance(to, str):
            over_http(to, self.patience)
        self._post = to
        self._secret = secret or self._secret
        self.patience = patience or self.patience

    def sign(self, body: bytes, timestamp: int | None) -> dict[str, str]:
        """The headers of a request that Slack sends."""
        return signed(body, self._secret, int(self._workspace.seconds()) if timestamp is None else timestamp)

    def press(self, channel: str, ts: str, action_id: str, user: str, block_id: str, value: str | None, option: str | None) -> Delivery:
        """Press a button or choose an option, as `sandbox.slack.Slack.press` says."""
        person, where, post = self._people.user(user), self._find(channel), self._way()
        with self._workspace.lock:
            message = self._seen(where, ts, person)
            blocks = message.get("blocks", [])
            found, element = find(blocks, action_id, block_id, value)
            selected = choice(element, option)
            chosen = self._chosen.setdefault((where.id, ts, person.id), {})
            if selected is not None:
                chosen[found, action_id] = selected
            payload = {
                **self._payload(person, where, ts, message),
                "state": state(blocks, chosen),
                "response_url": self.url + self._responses.mint("actions", where, person.id, ts),
                "actions": [action(found, element, selected, self._workspace.next_ts())],
            }
        body = urlencode({"payload": json.dumps(payload)}).encode()
        delivery = deliver(post, payload, body, self.sign(body, None), self.patience)
        if delivery.failure:
            thread = message.get("thread_ts", ts)
            self._fail(where, person, f"{_name(element)} did not work: {delivery.failure}.", "" if thread == ts else thread)
        return delivery

    def command(self, command: str, text: str, channel: str, user: str) -> Delivery:
        """Give a slash command, as `sandbox.slack.Slack.command` says."""
        person, where, post = self._people.user(user), self._find(channel), self._way()
        payload = {
            "token": _TOKEN,
            "team_id": TEAM,
            "team_domain": DOMAIN,
            "channel_id": where.id,
            "channel_name": where.name,
            "user_id": person.id,
            "user_name": person.name,
            "command": command,
            "text": text,
            "api_app_id": APP,
            "is_enterprise_install": "false",
            "response_url": self.url + self._responses.mint("commands", where, person.id),
            "trigger_id": self._trigger(),
        }
        body = urlencode(payload).encode()
        delivery = deliver(post, payload, body, self.sign(body, None), self.patience)
        if not delivery.failure and delivery.answer.strip():
            delivery = self._show(where, person, delivery)
        if delivery.failure:
            self._fail(where, person, f"{command} did not work: {delivery.failure}.", "")
        return delivery

    def _show(self, channel: Channel, person: User, delivery: Delivery) -> Delivery:
        """Show what the app answered to a command at once."""
        try:
            said = json.loads(delivery.answer)
        except ValueError:
            said = delivery.answer.decode(errors="replace")
        try:
            self._responses.show(channel, person.id, Arguments(said if isinstance(said, dict) else {"text": str(said)}))
        except (SlackError, RateLimited) as error:
            return replace(delivery, failure=f"Slack cannot show what the app answered ({error})")
        return delivery

    def _payload(self, person: User, channel: Channel, ts: str, message: dict[str, Any]) -> dict[str, Any]:
        """All of a payload but what was done. Slack leaves out messages that only one person sees."""
        ephemeral = "message_ts" in message
        thread = {"thread_ts": message["thread_ts"]} if "thread_ts" in message else {}
        return {
            "type": "block_actions",
            "user": {"id": person.id, "username": person.name, "name": person.name, "team_id": TEAM},
            "api_app_id": APP,
            "token": _TOKEN,
            "container": {"type": "message", "message_ts": ts, "channel_id": channel.id, "is_ephemeral": ephemeral, **thread},
            "trigger_id": self._trigger(),
            "team": {"id": TEAM, "domain": DOMAIN},
            "enterprise": None,
            "is_enterprise_install": False,
            "channel": {"id": channel.id, "name": channel.name},
            **({} if ephemeral else {"message": copy.deepcopy(shown(message))}),
        }

    def _seen(self, channel: Channel, ts: str, person: User) -> dict[str, Any]:
        ephemeral = self._workspace.ephemeral(channel, ts)
        if ephemeral is not None and ephemeral["user"] != person.id:
            raise Impossible(f"Only {self._people.name(ephemeral['user'])} sees the message {ts} in #{channel.name}.")
        message = ephemeral or channel.messages.get(ts)
        if message is None:
            raise Impossible(f"There is no message {ts} in #{channel.name}.")
        return message

    def _find(self, channel: str) -> Channel:
        try:
            return self._workspace.find(channel)
        except SlackError as error:
            raise Impossible(f"There is no channel {channel!r}.") from error

    def _way(self) -> Post:
        if not self._post:
            raise Impossible("The app has no request URL yet: connect() says where it is.")
        if not self.url:
            raise Impossible("Slack cannot make response URLs yet: serve_at() says where it is served.")
        return over_http(self._post, self.patience) if isinstance(self._post, str) else self._post

    def _trigger(self) -> str:
        return f"{next(self._triggers)}.{TEAM[1:].lstrip('0')}.{secrets.token_hex(16)}"

    def _fail(self, channel: Channel, person: User, text: str, thread_ts: str) -> None:
        self.failures.append(Failure(channel.id, person.id, text, self._workspace.next_ts(), thread_ts))


def _name(element: dict[str, Any]) -> str:
    named = element.get("text") or element.get("placeholder") or {"text": element["action_id"]}
    return f"“{named['text']}”"
