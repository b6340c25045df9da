"""What people do in the Slack stand-in reaches its app as Slack documents it: presses, choices and slash commands, signed."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import pytest
from slack_sdk.signature import SignatureVerifier
from slack_sdk.webhook import WebhookClient
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sandbox.serve import HttpServer
from sandbox.slack_delivery import Delivery
from sandbox.slack_people import ANN, BEN, Impossible
from tests.contract.slack_space import SECTION, Space, open_slack

SECRET = "a-secret-of-the-app"
SURE = {
    "title": {"type": "plain_text", "text": "Sure?"},
    "text": {"type": "mrkdwn", "text": "It *stops*."},
    "confirm": {"type": "plain_text", "text": "Yes"},
    "deny": {"type": "plain_text", "text": "No"},
}


def words(text: str) -> dict[str, str]:
    return {"type": "plain_text", "text": text}


def button(action: str, value: str = "v", **fields: Any) -> dict[str, Any]:
    return {"type": "button", "text": words(action.title()), "action_id": action, "value": value, **fields}


def option(value: str) -> dict[str, Any]:
    return {"text": words(value.upper()), "value": value}


SELECT = {"type": "static_select", "action_id": "hold", "placeholder": words("Hold"), "options": [option("1d"), option("1w")]}
BLOCKS: list[dict[str, Any]] = [
    SECTION,
    {"type": "actions", "block_id": "verdict", "elements": [button("approve", "e1", style="primary", confirm=SURE), button("reject")]},
    {"type": "actions", "block_id": "later", "elements": [SELECT, button("reject", "other")]},
]


@dataclass
class App:
    """An app behind its request URL: answers as it is told, and keeps what it received.

    Attributes:
        answer: The status and the body of its answers.
        received: The bodies and headers of requests.
        awake: Cleared, to let it wait before it answers.
    """

    answer: tuple[int, bytes] = (200, b"")
    received: list[tuple[bytes, dict[str, str]]] = field(default_factory=list)
    awake: threading.Event = field(default_factory=threading.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            request = Request(scope, receive)
            self.received.append((await request.body(), dict(request.headers)))
            while not self.awake.is_set() and (await receive())["type"] != "http.disconnect":
                pass
            await Response(self.answer[1], self.answer[0])(scope, receive, send)


@pytest.fixture
def space() -> Iterator[Space]:
    with open_slack(signing_secret=SECRET) as opened:
        yield opened


@pytest.fixture
def app(space: Space) -> Iterator[App]:
    """An app that the workspace is connected with."""
    made = App()
    made.awake.set()
    with HttpServer(made) as server:
        space.slack.connect(f"{server.url}/slack?from=tests")
        yield made


def posted(space: Space, **arguments: Any) -> str:
    """A message with buttons, and its timestamp."""
    return str(space.client.chat_postMessage(channel="ml-cost", text="Shall I?", **{"blocks": BLOCKS, **arguments})["ts"])


def test_a_press_reaches_the_app_signed(space: Space, app: App) -> None:
    """The app gets a form with one JSON payload; slack_sdk finds its signature right, and wrong once a byte of it changed."""
    delivery = space.slack.press("ml-cost", posted(space), "approve")
    ((body, headers),) = app.received
    assert (delivery.status, delivery.failure, delivery.body) == (200, "", body)
    assert 0 < delivery.seconds < 3
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    assert json.loads(parse_qs(body.decode())["payload"][0]) == delivery.payload
    verifier = SignatureVerifier(SECRET)
    assert verifier.is_valid_request(body, headers)
    assert verifier.is_valid_request(delivery.body, delivery.headers)
    assert not verifier.is_valid_request(body + b"x", headers)
    assert not SignatureVerifier("another").is_valid_request(body, headers)


def test_the_payload_is_as_documented(space: Space, app: App) -> None:
    """Who did what to which message, where, and where to answer."""
    ts = posted(space)
    payload = space.slack.press("#ml-cost", ts, "approve", user=BEN).payload
    assert len(app.received) == 1
    assert payload["type"] == "block_actions"
    assert payload["user"] == {"id": BEN, "username": "ben", "name": "ben", "team_id": "T0000000001"}
    assert payload["team"] == {"id": "T0000000001", "domain": "sandbox"}
    assert payload["container"] == {"type": "message", "message_ts": ts, "channel_id": space.channel, "is_ephemeral": False}
    assert payload["channel"] == {"id": space.channel, "name": "ml-cost"}
    assert (payload["enterprise"], payload["is_enterprise_install"], payload["api_app_id"]) == (None, False, "A0000000001")
    assert payload["message"] == space.slack.messages("ml-cost")[0]
    assert payload["response_url"].startswith(f"{space.url}/actions/T0000000001/")
    assert payload["trigger_id"]
    assert payload["token"]
    (action,) = payload["actions"]
    assert float(action.pop("action_ts")) > float(ts)
    assert action == {
        "action_id": "approve",
        "block_id": "verdict",
        "text": words("Approve"),
        "value": "e1",
        "style": "primary",
        "confirm": SURE,
        "type": "button",
    }


def test_every_press_has_a_trigger_and_a_response_url_of_its_own(space: Space, app: App) -> None:
    """No two interactions share either."""
    ts = posted(space)
    payloads = [space.slack.press("ml-cost", ts, "approve").payload for _ in range(2)]
    assert len(app.received) == 2
    assert all(len({payload[key] for payload in payloads}) == 2 for key in ("trigger_id", "response_url"))


def test_a_choice_is_told_and_kept(space: Space, app: App) -> None:
    """Choosing an option is an action; the state tells it to every later press of the same person."""
    ts = posted(space)
    chosen = space.slack.press("ml-cost", ts, "hold", option="1w").payload
    (action,) = chosen["actions"]
    assert (action["type"], action["selected_option"], action["placeholder"]) == ("static_select", option("1w"), words("Hold"))
    assert "options" not in action
    later = [space.slack.press("ml-cost", ts, "approve", user=user).payload["state"]["values"] for user in (ANN, BEN)]
    assert later == [{"later": {"hold": {"type": "static_select", "selected_option": each}}} for each in (option("1w"), None)]
    assert len(app.received) == 3


def test_what_was_chosen_initially_is_state(space: Space, app: App) -> None:
    """An initial option counts as chosen, and options in groups and menus can be chosen too."""
    groups = [{"label": words("Soon"), "options": [option("1h")]}, {"label": words("Late"), "options": [option("1d")]}]
    menu = {"type": "overflow", "action_id": "more", "options": [option("a"), option("b")]}
    blocks = [
        {
            "type": "section",
            "block_id": "s",
            "text": words("x"),
            "accessory": {"type": "static_select", "action_id": "in", "option_groups": groups, "initial_option": option("1h")},
        },
        {"type": "section", "text": words("x"), "accessory": menu},
    ]
    ts = posted(space, blocks=blocks)
    payload = space.slack.press("ml-cost", ts, "more", option="b").payload
    assert payload["actions"][0]["selected_option"] == option("b")
    assert payload["state"]["values"] == {"s": {"in": {"type": "static_select", "selected_option": option("1h")}}}
    assert space.slack.press("ml-cost", ts, "in", option="1d").payload["actions"][0]["selected_option"] == option("1d")
    assert len(app.received) == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"action_id": "burn"}, "no element 'burn'"),
        ({"action_id": "approve", "block_id": "later"}, "no element 'approve'"),
        ({"action_id": "approve", "value": "e2"}, "no element 'approve'"),
        ({"action_id": "reject"}, "2 elements"),
        ({"action_id": "approve", "option": "1d"}, "is a button"),
        ({"action_id": "hold", "option": "1y"}, "no option of value '1y'"),
        ({"action_id": "hold"}, "no option of value None"),
        ({"action_id": "day"}, "datepicker"),
        ({"action_id": "approve", "user": "U0000000DAN"}, "U0000000DAN"),
        ({"action_id": "approve", "ts": "1.000001"}, "no message 1.000001"),
        ({"action_id": "approve", "channel": "nowhere"}, "no channel 'nowhere'"),
    ],
)
def test_what_is_not_there_cannot_be_pressed(space: Space, app: App, arguments: dict[str, Any], says: str) -> None:
    """An element, option, message, channel or person that does not exist is refused with a sentence, and nothing is sent."""
    ts = posted(space, blocks=[*BLOCKS, {"type": "actions", "elements": [{"type": "datepicker", "action_id": "day"}]}])
    with pytest.raises(Impossible, match=says):
        space.slack.press(**{"channel": "ml-cost", "ts": ts, **arguments})
    assert not app.received


def test_one_of_several_is_told_by_its_block_or_value(space: Space, app: App) -> None:
    """The same action in two blocks is two buttons."""
    ts = posted(space)
    by_block = space.slack.press("ml-cost", ts, "reject", block_id="later").payload["actions"][0]
    by_value = space.slack.press("ml-cost", ts, "reject", value="v").payload["actions"][0]
    assert (by_block["value"], by_value["block_id"]) == ("other", "verdict")
    assert len(app.received) == 2


def test_slack_makes_up_the_ids_that_are_missing(space: Space, app: App) -> None:
    """Blocks, and elements that can be pressed, get ids where they have none, anew with every update; those given stay."""
    bare: list[dict[str, Any]] = [
        {"type": "actions", "elements": [{"type": "button", "text": words("Press")}]},
        SECTION,
        {"type": "divider", "block_id": "mine"},
    ]
    ts = posted(space, blocks=bare)
    first = space.slack.messages("ml-cost")[0]["blocks"]
    assert first[2]["block_id"] == "mine"
    assert len({block["block_id"] for block in first}) == 3
    assert [len(block["block_id"]) for block in first[:2]] == [5, 5]
    assert space.slack.press("ml-cost", ts, first[0]["elements"][0]["action_id"]).status == 200
    space.client.chat_update(channel=space.channel, ts=ts, text="x", blocks=bare)
    again = space.slack.messages("ml-cost")[0]["blocks"]
    assert again[0]["block_id"] != first[0]["block_id"]
    assert len(app.received) == 1


def test_a_press_in_a_thread_tells_the_thread(space: Space, app: App) -> None:
    """The container of a reply names the thread; metadata and unfurl flags are not told."""
    parent = posted(space)
    reply = posted(space, thread_ts=parent, metadata={"event_type": "plan", "event_payload": {}}, unfurl_links=False)
    payload = space.slack.press("ml-cost", reply, "approve").payload
    assert payload["container"]["thread_ts"] == payload["message"]["thread_ts"] == parent
    assert not {"metadata", "unfurl_links"} & payload["message"].keys()
    assert len(app.received) == 1


def test_an_ephemeral_message_is_pressed_by_whom_it_is_for(space: Space, app: App) -> None:
    """Its payload says that it is ephemeral and does not hold the message; nobody else can press it."""
    ts = str(space.client.chat_postEphemeral(channel="ml-cost", user=ANN, text="x", blocks=BLOCKS)["message_ts"])
    payload = space.slack.press("ml-cost", ts, "approve").payload
    assert payload["container"]["is_ephemeral"]
    assert "message" not in payload
    with pytest.raises(Impossible, match="Only ann"):
        space.slack.press("ml-cost", ts, "approve", user=BEN)
    assert len(app.received) == 1


def test_a_message_by_a_webhook_can_be_pressed_too(space: Space, app: App) -> None:
    """Webhooks belong to the app, and so do the buttons of their messages."""
    WebhookClient(space.url + space.slack.add_webhook("ml-cost")).send(text="x", blocks=BLOCKS)
    (message,) = space.slack.messages("ml-cost")
    assert space.slack.press("ml-cost", message["ts"], "approve").payload["message"]["bot_id"] == message["bot_id"]
    assert len(app.received) == 1


def test_an_app_that_refuses_is_a_failure(space: Space, app: App) -> None:
    """A status that is no success is shown to the person who pressed."""
    app.answer = (500, b"broken")
    delivery = space.slack.press("ml-cost", posted(space), "approve", user=BEN)
    assert (delivery.status, delivery.answer) == (500, b"broken")
    (failure,) = space.slack.failures
    assert (failure.channel, failure.user, failure.text) == (
        space.channel,
        BEN,
        "“Approve” did not work: the app answered with status 500.",
    )
    assert space.slack.snapshot()["channels"][0]["failures"][0]["text"] == failure.text


def test_a_failure_in_a_thread_is_seen_there(space: Space, app: App) -> None:
    """Beside the reply that was pressed; that of a parent stands in the channel."""
    app.answer = (404, b"")
    parent = posted(space)
    for ts in (posted(space, thread_ts=parent), parent):
        space.slack.press("ml-cost", ts, "approve")
    assert [failure.thread_ts for failure in space.slack.failures] == [parent, ""]


def test_an_app_that_is_slow_is_a_failure(space: Space, app: App) -> None:
    """Without an answer in time Slack gives up and says so; the app has heard of it all the same."""
    ts = posted(space)
    space.slack.connect(space.slack._interactions._post, patience=0.05)
    app.awake.clear()
    delivery = space.slack.press("ml-cost", ts, "hold", option="1d")
    assert (delivery.status, delivery.failure) == (None, "the app did not answer within 0.05 s")
    assert space.slack.failures[0].text.startswith("“Hold” did not work")
    assert len(app.received) == 1


def test_slack_waits_three_seconds() -> None:
    """Unless it is told otherwise, as documented."""
    with open_slack() as space:
        assert space.slack._interactions.patience == 3


def test_an_app_that_is_not_there_is_a_failure(space: Space) -> None:
    """Nobody listens at the request URL."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    space.slack.connect(f"http://127.0.0.1:{port}")
    delivery = space.slack.press("ml-cost", posted(space), "approve")
    assert (delivery.status, "could not be reached" in delivery.failure) == (None, True)


def test_an_app_in_this_process_can_be_connected(space: Space) -> None:
    """A function stands for the request URL; what takes it too long is too late as well."""
    heard: list[bytes] = []

    def listen(body: bytes, _headers: Mapping[str, str]) -> tuple[int, bytes]:
        heard.append(body)
        return 204, b""

    space.slack.connect(listen, SECRET + "2")
    delivery = space.slack.press("ml-cost", posted(space), "approve")
    assert (delivery.status, heard) == (204, [delivery.body])
    assert SignatureVerifier(SECRET + "2").is_valid_request(delivery.body, delivery.headers)
    space.slack.connect(lambda _body, _headers: (200, b""), patience=1e-9)
    assert space.slack.press("ml-cost", posted(space), "approve").failure


def test_an_app_has_to_be_connected_first(space: Space) -> None:
    """Without a request URL nothing can be pressed; a URL that nothing can be posted to is refused."""
    ts = posted(space)
    with pytest.raises(Impossible, match=r"connect\(\)"):
        space.slack.press("ml-cost", ts, "approve")
    for url in ("https://example.com", "127.0.0.1:80", "http://"):
        with pytest.raises(ValueError, match="http://"):
            space.slack.connect(url)
    space.slack.connect(lambda _body, _headers: (200, b""))
    space.slack.serve_at("")
    with pytest.raises(Impossible, match=r"serve_at\(\)"):
        space.slack.press("ml-cost", ts, "approve")


def test_anything_can_be_signed(space: Space) -> None:
    """For tests of what an app does with forged or old requests."""
    body = b"payload=%7B%7D"
    assert SignatureVerifier(SECRET).is_valid_request(body, space.slack.sign(body))
    old = space.slack.sign(body, 1_700_000_000)
    assert old["X-Slack-Request-Timestamp"] == "1700000000"
    assert not SignatureVerifier(SECRET).is_valid_request(body, old)
    assert space.slack.sign(b"\xff")["X-Slack-Signature"].startswith("v0=")


def test_a_command_is_a_signed_form(space: Space, app: App) -> None:
    """All documented fields, and an answer without a body shows nothing."""
    delivery = space.slack.command("/cost-watchdog", "hold embedder & co", channel="#ml-cost", user=BEN)
    ((body, headers),) = app.received
    fields = {key: values[0] for key, values in parse_qs(body.decode()).items()}
    assert SignatureVerifier(SECRET).is_valid_request(body, headers)
    assert fields == delivery.payload
    assert fields.pop("response_url").startswith(f"{space.url}/commands/T0000000001/")
    assert fields.pop("trigger_id")
    assert fields.pop("token")
    assert fields == {
        "team_id": "T0000000001",
        "team_domain": "sandbox",
        "channel_id": space.channel,
        "channel_name": "ml-cost",
        "user_id": BEN,
        "user_name": "ben",
        "command": "/cost-watchdog",
        "text": "hold embedder & co",
        "api_app_id": "A0000000001",
        "is_enterprise_install": "false",
    }
    assert (space.slack.ephemerals, space.slack.messages("ml-cost"), space.slack.failures) == ([], [], [])


@pytest.mark.parametrize("answer", [b"All is well", b'{"text": "All is well"}', b'{"text": "All is well", "response_type": "other"}'])
def test_what_a_command_answers_is_shown_to_who_gave_it(space: Space, app: App, answer: bytes) -> None:
    """Text, or a message in JSON, is for one person's eyes unless it says otherwise."""
    app.answer = (200, answer)
    space.slack.command("/cost-watchdog", channel=space.channel)
    (message,) = space.slack.ephemerals
    assert (message["channel"], message["user"], message["text"]) == (space.channel, ANN, "All is well")
    assert space.slack.messages("ml-cost") == []


def test_a_command_may_answer_in_the_channel(space: Space, app: App) -> None:
    """response_type in_channel makes it the bot's message, with blocks."""
    app.answer = (200, json.dumps({"response_type": "in_channel", "text": "x", "blocks": BLOCKS}).encode())
    space.slack.command("/cost-watchdog", "status", channel="ml-cost")
    (message,) = space.slack.messages("ml-cost")
    assert (message["bot_id"], message["blocks"][1]["block_id"]) == ("B0000000001", "verdict")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((200, b'{"blocks": [{"type": "nothing"}]}'), "invalid_blocks"),
        ((200, b"{}"), "no_text"),
        ((401, b"no"), "status 401"),
    ],
)
def test_a_command_that_fails_is_seen_to_fail(space: Space, app: App, answer: tuple[int, bytes], why: str) -> None:
    """What Slack cannot show, and what the app refuses, is a failure for the person."""
    app.answer = answer
    delivery: Delivery = space.slack.command("/cost-watchdog", channel="ml-cost")
    (failure,) = space.slack.failures
    assert why in delivery.failure
    assert failure.text.startswith("/cost-watchdog did not work: ")
    assert space.slack.ephemerals == []
