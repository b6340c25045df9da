"""The Slack stand-in's response URLs against slack_sdk's WebhookClient: what they do, and that they do it five times in thirty minutes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from slack_sdk.webhook import WebhookClient

from sandbox.faults import Fault
from sandbox.slack_people import ANN
from tests.contract.slack_space import SECTION, Clock, Space, open_slack, without_ids

BUTTON: dict[str, Any] = {"type": "button", "text": {"type": "plain_text", "text": "Go"}, "action_id": "go"}
BLOCKS: list[dict[str, Any]] = [SECTION, {"type": "actions", "elements": [BUTTON]}]


@pytest.fixture
def now() -> Clock:
    """The time of day."""
    clock = Clock()
    clock.seconds = 1_790_000_000.0
    return clock


@pytest.fixture
def space(now: Clock) -> Iterator[Space]:
    with open_slack(now=now) as opened:
        opened.slack.connect(lambda _body, _headers: (200, b""))
        yield opened


def posted(space: Space, **arguments: Any) -> str:
    """A message with a button, and its timestamp."""
    return str(space.client.chat_postMessage(channel="ml-cost", text="Shall I?", blocks=BLOCKS, **arguments)["ts"])


def pressed(space: Space, ts: str) -> WebhookClient:
    """A client for the response URL of a press."""
    return WebhookClient(space.slack.press("ml-cost", ts, "go").payload["response_url"])


def test_a_response_is_for_one_person_unless_it_says_otherwise(space: Space) -> None:
    """Nothing said is ephemeral; in_channel is a message of the bot."""
    ts = posted(space)
    client = pressed(space, ts)
    answer = client.send(text="Only you", blocks=[SECTION])
    assert (answer.status_code, answer.body) == (200, '{"ok":true}')
    (message,) = space.slack.ephemerals
    assert (message["user"], message["text"], without_ids(message["blocks"])) == (ANN, "Only you", [SECTION])
    client.send(text="All of you", response_type="in_channel")
    client.send(text="You again", response_type="ephemeral", replace_original=False)
    assert [each["text"] for each in space.slack.messages("ml-cost")] == ["Shall I?", "All of you"]
    assert space.slack.messages("ml-cost")[1]["bot_id"] == "B0000000001"
    assert [each["text"] for each in space.slack.ephemerals] == ["Only you", "You again"]


def test_the_original_is_replaced_and_keeps_its_thread(space: Space) -> None:
    """Text and blocks are new and the message is marked as edited; replies stay, and so does what it replies to."""
    ts = posted(space)
    posted(space, thread_ts=ts)
    pressed(space, ts).send(text="Done", replace_original=True)
    parent, _ = space.slack.messages("ml-cost")
    assert (parent["text"], parent["blocks"], parent["edited"]["user"]) == ("Done", [], "U0000000001")
    assert (parent["thread_ts"], parent["reply_count"]) == (ts, 1)
    assert len(space.client.conversations_replies(channel=space.channel, ts=ts)["messages"]) == 2


def test_chat_update_keeps_the_thread_too(space: Space) -> None:
    """An updated parent keeps its replies; no update moves a message into another thread."""
    ts = posted(space)
    posted(space, thread_ts=ts)
    space.client.api_call("chat.update", json={"channel": space.channel, "ts": ts, "text": "Done", "thread_ts": "1.000001"})
    parent = space.slack.messages("ml-cost")[0]
    assert (parent["text"], parent["thread_ts"], parent["reply_count"]) == ("Done", ts, 1)


def test_the_original_is_deleted(space: Space) -> None:
    """After that there is nothing left to replace."""
    client = pressed(space, posted(space))
    assert client.send(delete_original=True).status_code == 200
    assert space.slack.messages("ml-cost") == []
    gone = client.send(text="x", replace_original=True)
    assert (gone.status_code, gone.body) == (404, "message_not_found")


def test_an_ephemeral_original_is_replaced_and_deleted(space: Space) -> None:
    """A response URL reaches what the Web API cannot: a message for one person's eyes."""
    ts = str(space.client.chat_postEphemeral(channel="ml-cost", user=ANN, text="x", blocks=BLOCKS)["message_ts"])
    client = pressed(space, ts)
    client.send(text="y", replace_original=True)
    (message,) = space.slack.ephemerals
    assert (message["text"], message["message_ts"], bool(message["edited"])) == ("y", ts, True)
    client.send(delete_original=True)
    assert space.slack.ephemerals == []


def test_a_response_may_go_to_a_thread(space: Space) -> None:
    """thread_ts puts it there, for one person or for all."""
    ts = posted(space)
    client = pressed(space, ts)
    client.send_dict({"text": "quiet", "thread_ts": ts})
    client.send_dict({"text": "loud", "thread_ts": ts, "response_type": "in_channel"})
    assert space.slack.ephemerals[0]["thread_ts"] == ts
    assert [each["text"] for each in space.client.conversations_replies(channel=space.channel, ts=ts)["messages"]] == ["Shall I?", "loud"]


def test_a_command_has_a_response_url_without_an_original(space: Space) -> None:
    """What would replace something is shown as any other response."""
    delivery = space.slack.command("/cost-watchdog", "status", channel="ml-cost")
    client = WebhookClient(delivery.payload["response_url"])
    answer = client.send(text="All is well", replace_original=True)
    assert (answer.status_code, answer.body) == (200, "ok")
    assert [each["text"] for each in space.slack.ephemerals] == ["All is well"]


def test_five_times_and_no_more(space: Space) -> None:
    """The sixth use is refused; what Slack refused before does not count."""
    client = pressed(space, posted(space))
    assert client.send().status_code == 400
    assert [client.send(text=str(number)).status_code for number in range(5)] == [200] * 5
    sixth = client.send(text="6")
    assert (sixth.status_code, sixth.body) == (404, "used_url")
    assert len(space.slack.ephemerals) == 5


def test_thirty_minutes_and_no_longer(space: Space, now: Clock) -> None:
    """A URL works until half an hour has passed, and not a second longer."""
    client = pressed(space, posted(space))
    now.seconds += 30 * 60
    assert client.send(text="in time").status_code == 200
    now.seconds += 1
    late = client.send(text="late")
    assert (late.status_code, late.body) == (404, "expired_url")
    assert [each["text"] for each in space.slack.ephemerals] == ["in time"]


@pytest.mark.parametrize("change", [lambda url: f"{url}x", lambda url: url[:-1], lambda url: url.replace("/actions/", "/commands/")])
def test_a_url_that_was_not_given_out_is_refused(space: Space, change: Any) -> None:
    """Mangled or made up, it is 404."""
    url = space.slack.press("ml-cost", posted(space), "go").payload["response_url"]
    assert WebhookClient(change(url)).send(text="x").status_code == 404
    assert space.slack.ephemerals == []


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{", "invalid_payload"),
        (b"[]", "invalid_payload"),
        (b"{}", "no_text"),
        (b'{"text": ""}', "no_text"),
        (b'{"blocks": [{"type": "nothing"}]}', "invalid_blocks"),
        (b'{"replace_original": true}', "no_text"),
        (b'{"text": "x", "blocks": "["}', "invalid_blocks_format"),
    ],
)
def test_what_is_no_message_is_refused(space: Space, body: bytes, says: str) -> None:
    """With 400 and a word, as an incoming webhook does; nothing changes."""
    ts = posted(space)
    url = space.slack.press("ml-cost", ts, "go").payload["response_url"]
    with pytest.raises(HTTPError) as failure:
        urlopen(Request(url, body, {"Content-Type": "application/json"}), timeout=5)  # noqa: S310 - loopback
    with failure.value:
        assert (failure.value.status, failure.value.read().decode()) == (400, says)
    assert (space.slack.ephemerals, space.slack.messages("ml-cost")[0]["text"]) == ([], "Shall I?")


def test_an_archived_channel_takes_no_response(space: Space) -> None:
    """It is 410, as for webhooks."""
    client = pressed(space, posted(space))
    space.slack._workspace.find("ml-cost").archived = True
    assert client.send(text="x").status_code == 410


def test_faults_strike_response_urls(space: Space) -> None:
    """An outage and a fault answer instead; a lost answer means that the work was done, and counts."""
    client = pressed(space, posted(space))
    space.faults.inject(Fault("response_url", 500, times=1))
    assert client.send(text="x").status_code == 500
    space.faults.inject(Fault("response_url", 429, retry_after=7, times=1))
    limited = client.send(text="x")
    assert (limited.status_code, limited.headers["Retry-After"]) == (429, "7")
    space.slack.outage(on=True)
    assert client.send(text="x").status_code == 503
    space.slack.outage(on=False)
    assert space.slack.ephemerals == []
    client.retry_handlers.clear()
    space.faults.inject(Fault("response_url", drop_answer=True, times=1))
    with pytest.raises((OSError, ValueError)):
        client.send(text="done")
    assert [each["text"] for each in space.slack.ephemerals] == ["done"]


def test_the_rate_limit_of_the_channel_holds(now: Clock) -> None:
    """Responses are messages too."""
    with open_slack(burst=2, now=now) as space:
        space.slack.connect(lambda _body, _headers: (200, b""))
        client = pressed(space, posted(space))
        assert [client.send(text="x").status_code for _ in range(2)] == [200, 429]
