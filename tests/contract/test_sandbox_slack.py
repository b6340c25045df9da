"""The Slack stand-in against slack_sdk's own client: tokens, and messages posted, changed and deleted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.webhook import WebhookClient

from tests.contract.slack_space import SECTION, TOKEN, Space, error_of, open_slack, without_ids


@pytest.fixture
def space() -> Iterator[Space]:
    with open_slack() as opened:
        yield opened


def test_token_is_tested(space: Space) -> None:
    """auth.test tells who the bot is."""
    answer = space.client.auth_test()
    assert (answer["ok"], answer["team"], answer["user_id"], answer["bot_id"]) == (True, "Sandbox", "U0000000001", "B0000000001")


@pytest.mark.parametrize(("token", "error"), [("", "not_authed"), ("xoxb-other", "invalid_auth")])
def test_wrong_token_is_refused(space: Space, token: str, error: str) -> None:
    """A call without a token is not_authed, one with another token invalid_auth."""
    with pytest.raises(SlackApiError) as failure:
        WebClient(base_url=f"{space.url}/api/", token=token).auth_test()
    assert error_of(failure) == error


def test_token_may_stand_in_the_form(space: Space) -> None:
    """A form may carry the token as an argument."""
    with urlopen(f"{space.url}/api/auth.test", urlencode({"token": TOKEN}).encode(), timeout=5) as answer:  # noqa: S310 - loopback
        assert json.load(answer)["ok"]


def test_revoked_token_is_refused(space: Space) -> None:
    """After the token was revoked every call says so."""
    space.slack.revoke()
    with pytest.raises(SlackApiError) as failure:
        space.client.chat_postMessage(channel="#ml-cost", text="x")
    assert error_of(failure) == "token_revoked"


def test_unknown_method_is_refused(space: Space) -> None:
    """A method that does not exist is unknown_method, with HTTP status 200."""
    with pytest.raises(SlackApiError) as failure:
        space.client.api_call("chat.postMassage", params={"channel": "C"})
    assert error_of(failure) == "unknown_method"
    assert failure.value.response.status_code == 200


@pytest.mark.parametrize("reference", ["#ml-cost", "ml-cost", "C0000000001"])
def test_message_is_posted_by_name_or_id(space: Space, reference: str) -> None:
    """A channel may be named with or without #, or by its id; the answer tells the id and the timestamp."""
    answer = space.client.chat_postMessage(
        channel=reference, text="Spend is at 80 %", blocks=[SECTION], unfurl_links=False, unfurl_media=True
    )

    (message,) = space.slack.messages("ml-cost")
    assert (answer["channel"], answer["ts"]) == ("C0000000001", message["ts"])
    assert answer["message"]["text"] == message["text"] == "Spend is at 80 %"
    assert without_ids(message["blocks"]) == [SECTION]
    assert (message["unfurl_links"], message["unfurl_media"]) == (False, True)


def test_form_is_read_like_json(space: Space) -> None:
    """Blocks and metadata may come as JSON text in a form, and booleans as 1 and 0."""
    metadata = {"event_type": "plan", "event_payload": {"entry": "e1"}}
    form = {"channel": "ml-cost", "text": "x", "blocks": json.dumps([SECTION]), "metadata": json.dumps(metadata), "unfurl_links": False}
    space.client.api_call("chat.postMessage", params=form)
    (message,) = space.slack.messages("#ml-cost")
    assert (without_ids(message["blocks"]), message["metadata"], message["unfurl_links"]) == ([SECTION], metadata, False)


def test_timestamps_are_unique_and_rise(space: Space) -> None:
    """Every message has a timestamp of its own, later than the one before."""
    stamps = [space.client.chat_postMessage(channel="ml-cost", text=str(number))["ts"] for number in range(20)]
    assert sorted(set(stamps)) == stamps
    assert all(stamp.partition(".")[2].isdecimal() and len(stamp.partition(".")[2]) == 6 for stamp in stamps)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"channel": "#nowhere", "text": "x"}, "channel_not_found"),
        ({"text": "x"}, "invalid_arguments"),
        ({"channel": {"id": "C"}, "text": "x"}, "invalid_arguments"),
        ({"channel": "outside", "text": "x"}, "not_in_channel"),
        ({"channel": "closed", "text": "x"}, "is_archived"),
        ({"channel": "ml-cost"}, "no_text"),
        ({"channel": "ml-cost", "text": "", "blocks": []}, "no_text"),
        ({"channel": "ml-cost", "text": "x", "blocks": "[{"}, "invalid_blocks_format"),
        ({"channel": "ml-cost", "text": "x", "blocks": {"type": "divider"}}, "invalid_blocks_format"),
        ({"channel": "ml-cost", "text": "x", "blocks": [{"type": "divider"}] * 51}, "invalid_blocks"),
        (
            {"channel": "ml-cost", "text": "x", "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3000}}] * 5},
            "msg_blocks_too_long",
        ),
        ({"channel": "ml-cost", "text": "x", "attachments": "x"}, "invalid_attachments"),
        ({"channel": "ml-cost", "text": "x", "attachments": [{}] * 101}, "too_many_attachments"),
        ({"channel": "ml-cost", "text": "x", "metadata": "x"}, "invalid_metadata_format"),
        ({"channel": "ml-cost", "text": "x", "metadata": [1]}, "invalid_metadata_format"),
        ({"channel": "ml-cost", "text": "x", "metadata": {"event_type": "plan"}}, "invalid_metadata_format"),
        ({"channel": "ml-cost", "text": "x", "metadata": {"event_type": "plan", "event_payload": "x"}}, "invalid_metadata_format"),
    ],
)
def test_bad_message_is_refused(space: Space, arguments: dict[str, Any], error: str) -> None:
    """What Slack refuses is refused with its error, HTTP status 200, and nothing is posted."""
    space.slack.add_channel("outside", member=False)
    space.slack.add_channel("closed", archived=True)
    with pytest.raises(SlackApiError) as failure:
        space.client.api_call("chat.postMessage", json=arguments)
    assert (error_of(failure), failure.value.response.status_code) == (error, 200)
    assert space.slack.messages("ml-cost") == []


def test_invalid_blocks_are_explained(space: Space) -> None:
    """The answer to invalid blocks says which limit was broken where."""
    with pytest.raises(SlackApiError) as failure:
        space.client.chat_postMessage(
            channel="ml-cost", text="x", blocks=[{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3001}}]
        )
    fault = "must be less than 3001 characters [json-pointer:/blocks/0/text/text]"
    assert failure.value.response["errors"] == [fault]
    assert failure.value.response["response_metadata"]["messages"] == [f"[ERROR] {fault}"]


@pytest.mark.parametrize(
    ("kind", "body", "error"),
    [
        ("application/json", b"{", "invalid_json"),
        ("application/json", b"[]", "json_not_object"),
        ("application/x-www-form-urlencoded", b"\xff", "invalid_form_data"),
        ("text/plain", b"hello", "invalid_post_type"),
    ],
)
def test_unreadable_body_is_refused(space: Space, kind: str, body: bytes, error: str) -> None:
    """A body that is not what it says is refused, with HTTP status 200."""
    request = Request(f"{space.url}/api/chat.postMessage", body, {"content-type": kind, "authorization": f"Bearer {TOKEN}"})  # noqa: S310 - loopback
    with urlopen(request, timeout=5) as answer:  # noqa: S310 - loopback
        assert json.load(answer) == {"ok": False, "error": error}


def test_long_text_is_truncated(space: Space) -> None:
    """A text of more than 40,000 characters is cut there, not refused."""
    space.client.chat_postMessage(channel="ml-cost", text="x" * 40_001)
    assert len(space.slack.messages("ml-cost")[0]["text"]) == 40_000


def test_metadata_with_a_bad_event_type_is_ignored_with_a_warning(space: Space) -> None:
    """An event type with other characters than letters, digits, _ and - costs the metadata, not the message."""
    answer = space.client.chat_postMessage(channel="ml-cost", text="x", metadata={"event_type": "a.b", "event_payload": {}})
    assert answer["warning"] == "invalid_metadata_schema"
    assert "metadata" not in space.slack.messages("ml-cost")[0]


def test_message_is_updated_by_channel_id(space: Space) -> None:
    """chat.update replaces text and blocks; it wants the channel's id and refuses its name."""
    ts = space.client.chat_postMessage(channel="ml-cost", text="old", blocks=[SECTION])["ts"]
    answer = space.client.chat_update(channel=space.channel, ts=ts, text="new", blocks=[{"type": "divider"}])
    assert (answer["channel"], answer["ts"], answer["text"]) == (space.channel, ts, "new")
    (message,) = space.slack.messages(space.channel)
    assert (message["text"], without_ids(message["blocks"])) == ("new", [{"type": "divider"}])

    with pytest.raises(SlackApiError) as failure:
        space.client.chat_update(channel="ml-cost", ts=ts, text="x")
    assert error_of(failure) == "channel_not_found"


def test_update_keeps_what_it_does_not_name(space: Space) -> None:
    """Text alone takes the blocks away; blocks alone keep the text; metadata stays until an empty object takes it away."""
    metadata = {"event_type": "plan", "event_payload": {}}
    ts = space.client.chat_postMessage(channel="ml-cost", text="old", blocks=[SECTION], metadata=metadata)["ts"]

    space.client.api_call("chat.update", json={"channel": space.channel, "ts": ts, "blocks": [{"type": "divider"}]})
    message = space.slack.messages(space.channel)[0]
    assert (message["text"], without_ids(message["blocks"]), message["metadata"]) == ("old", [{"type": "divider"}], metadata)
    assert "edited" not in message

    space.client.chat_update(channel=space.channel, ts=ts, text="new", metadata={})
    message = space.slack.messages(space.channel)[0]
    assert (message["text"], without_ids(message["blocks"])) == ("new", [])
    assert "metadata" not in message
    assert message["edited"]["user"] == "U0000000001"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"ts": "1.000001", "text": "x"}, "message_not_found"),
        ({"text": "x"}, "invalid_arguments"),
        ({"ts": "TS", "text": "x" * 4001}, "msg_too_long"),
        ({"ts": "TS"}, "no_text"),
        ({"ts": "TS", "text": "x", "blocks": [{"type": "nothing"}]}, "invalid_blocks"),
        ({"ts": "WEBHOOK", "text": "x"}, "cant_update_message"),
    ],
)
def test_bad_update_is_refused(space: Space, arguments: dict[str, Any], error: str) -> None:
    """A message that is not there, not the bot's, too long, empty or badly built is not updated."""
    WebhookClient(space.url + space.slack.add_webhook("ml-cost")).send(text="by a webhook")
    stamps = {"WEBHOOK": space.slack.messages("ml-cost")[0]["ts"], "TS": space.client.chat_postMessage(channel="ml-cost", text="old")["ts"]}
    before = space.slack.messages("ml-cost")
    with pytest.raises(SlackApiError) as failure:
        space.client.api_call(
            "chat.update", json={"channel": space.channel, **{key: stamps.get(str(value), value) for key, value in arguments.items()}}
        )
    assert error_of(failure) == error
    assert space.slack.messages("ml-cost") == before


def test_message_is_deleted(space: Space) -> None:
    """A deleted message is gone, and with it the count of replies of its thread."""
    parent = space.client.chat_postMessage(channel="ml-cost", text="parent")["ts"]
    reply = space.client.chat_postMessage(channel="ml-cost", text="reply", thread_ts=parent)["ts"]
    space.client.chat_delete(channel=space.channel, ts=reply)
    assert [message["reply_count"] for message in space.slack.messages("ml-cost")] == [0]
    space.client.chat_delete(channel=space.channel, ts=parent)
    assert space.slack.messages("ml-cost") == []
    with pytest.raises(SlackApiError) as failure:
        space.client.chat_delete(channel=space.channel, ts=parent)
    assert error_of(failure) == "message_not_found"


def test_snapshot_is_json_for_a_page(space: Space) -> None:
    """The snapshot holds each channel with its messages, oldest first, and their replies."""
    parent = space.client.chat_postMessage(channel="ml-cost", text="parent", blocks=[SECTION])["ts"]
    space.client.chat_postMessage(channel="ml-cost", text="reply", thread_ts=parent)
    space.client.chat_postMessage(channel="ml-cost", text="last")

    view = json.loads(json.dumps(space.slack.snapshot()))
    (channel,) = view["channels"]
    assert (view["outage"], channel["id"], channel["name"], channel["archived"]) == (False, "C0000000001", "ml-cost", False)
    assert [(message["text"], [reply["text"] for reply in message["replies"]]) for message in channel["messages"]] == [
        ("parent", ["reply"]),
        ("last", []),
    ]
