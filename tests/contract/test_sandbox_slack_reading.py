"""The Slack stand-in against slack_sdk's own client: channels, history and threads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from slack_sdk.errors import SlackApiError

from tests.contract.slack_space import Space, error_of, open_slack


@pytest.fixture
def space() -> Iterator[Space]:
    with open_slack() as opened:
        yield opened


def test_replies_stay_under_their_parent(space: Space) -> None:
    """A reply is in its thread and not in the channel, unless it was broadcast; a thread that does not exist is tolerated."""
    parent = space.client.chat_postMessage(channel="ml-cost", text="parent")["ts"]
    space.client.chat_postMessage(channel="ml-cost", text="quiet", thread_ts=parent)
    loud = space.client.chat_postMessage(channel="ml-cost", text="loud", thread_ts=parent, reply_broadcast=True)["ts"]
    space.client.chat_postMessage(channel="ml-cost", text="lost", thread_ts="1.000001")

    thread = space.client.conversations_replies(channel=space.channel, ts=parent)["messages"]
    assert [message["text"] for message in thread] == ["parent", "quiet", "loud"]
    assert (thread[0]["reply_count"], thread[0]["latest_reply"]) == (2, loud)
    history = space.client.conversations_history(channel=space.channel)["messages"]
    assert [message["text"] for message in history] == ["loud", "parent"]
    assert len(space.slack.messages("ml-cost")) == 4


def test_thread_that_does_not_exist_cannot_be_read(space: Space) -> None:
    """Replies of an unknown message are thread_not_found."""
    with pytest.raises(SlackApiError) as failure:
        space.client.conversations_replies(channel=space.channel, ts="1.000001")
    assert error_of(failure) == "thread_not_found"


def test_ephemeral_message_is_no_history(space: Space) -> None:
    """A message for one person's eyes is kept aside."""
    answer = space.client.chat_postEphemeral(channel="ml-cost", user="U1", text="only you")
    assert space.slack.messages("ml-cost") == []
    (message,) = space.slack.ephemerals
    assert (message["user"], message["text"], message["message_ts"]) == ("U1", "only you", answer["message_ts"])


def test_permalink_points_at_the_message_and_its_thread(space: Space) -> None:
    """A permalink holds the timestamp without its point, and a reply's names its thread."""
    parent = space.client.chat_postMessage(channel="ml-cost", text="x")["ts"]
    reply = space.client.chat_postMessage(channel="ml-cost", text="y", thread_ts=parent)["ts"]
    plain = space.client.chat_getPermalink(channel=space.channel, message_ts=parent)["permalink"]
    assert plain == f"https://sandbox.slack.com/archives/{space.channel}/p{parent.replace('.', '')}"
    assert space.client.chat_getPermalink(channel=space.channel, message_ts=reply)["permalink"].endswith(
        f"?thread_ts={parent}&cid={space.channel}"
    )
    with pytest.raises(SlackApiError) as failure:
        space.client.chat_getPermalink(channel=space.channel, message_ts="1.000001")
    assert error_of(failure) == "message_not_found"


def test_history_goes_over_pages_from_the_newest(space: Space) -> None:
    """History is newest first, in pages that the client's own iteration follows to the end."""
    for number in range(5):
        space.client.chat_postMessage(channel="ml-cost", text=str(number))
    pages = [
        ([message["text"] for message in page["messages"]], page["has_more"])
        for page in space.client.conversations_history(channel=space.channel, limit=2)
    ]
    assert pages == [(["4", "3"], True), (["2", "1"], True), (["0"], False)]


def test_replies_go_over_pages_from_the_oldest(space: Space) -> None:
    """A thread's pages begin with its parent and go on with the replies in order."""
    parent = space.client.chat_postMessage(channel="ml-cost", text="parent")["ts"]
    for number in range(3):
        space.client.chat_postMessage(channel="ml-cost", text=str(number), thread_ts=parent)
    pages = [
        [message["text"] for message in page["messages"]]
        for page in space.client.conversations_replies(channel=space.channel, ts=parent, limit=2)
    ]
    assert pages == [["parent", "0"], ["1", "2"]]


def test_history_between_two_times(space: Space) -> None:
    """Oldest and latest leave those two messages out, unless inclusive is set."""
    stamps = [space.client.chat_postMessage(channel="ml-cost", text=str(number))["ts"] for number in range(4)]

    def texts(**arguments: Any) -> list[str]:
        return [message["text"] for message in space.client.conversations_history(channel=space.channel, **arguments)["messages"]]

    assert texts(oldest=stamps[0], latest=stamps[3]) == ["2", "1"]
    assert texts(oldest=stamps[0], latest=stamps[3], inclusive=True) == ["3", "2", "1", "0"]
    assert texts(oldest="0") == ["3", "2", "1", "0"]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"oldest": "yesterday"}, "invalid_ts_oldest"),
        ({"latest": "tomorrow"}, "invalid_ts_latest"),
        ({"limit": 0}, "invalid_limit"),
        ({"limit": "many"}, "invalid_limit"),
        ({"cursor": "not mine"}, "invalid_cursor"),
    ],
)
def test_bad_question_for_history_is_refused(space: Space, arguments: dict[str, Any], error: str) -> None:
    """Times, limits and cursors that are none are refused, each with its own error."""
    with pytest.raises(SlackApiError) as failure:
        space.client.conversations_history(channel=space.channel, **arguments)
    assert error_of(failure) == error


def test_metadata_is_told_on_demand_only(space: Space) -> None:
    """History and threads hold metadata only with include_all_metadata."""
    metadata = {"event_type": "plan", "event_payload": {"entry": "e1"}}
    ts = space.client.chat_postMessage(channel="ml-cost", text="x", metadata=metadata)["ts"]
    assert "metadata" not in space.client.conversations_history(channel=space.channel)["messages"][0]
    assert space.client.conversations_history(channel=space.channel, include_all_metadata=True)["messages"][0]["metadata"] == metadata
    assert (
        space.client.conversations_replies(channel=space.channel, ts=ts, include_all_metadata=True)["messages"][0]["metadata"] == metadata
    )


def test_history_wants_a_channel_id_that_the_bot_is_in(space: Space) -> None:
    """Reading by name is channel_not_found, reading a channel from outside not_in_channel."""
    outside = space.slack.add_channel("outside", member=False)
    for channel, error in (("ml-cost", "channel_not_found"), (outside, "not_in_channel")):
        with pytest.raises(SlackApiError) as failure:
            space.client.conversations_history(channel=channel)
        assert error_of(failure) == error


def test_channels_are_listed_in_pages(space: Space) -> None:
    """Every channel is listed with what the bot may do there; archived ones are left out on demand."""
    space.slack.add_channel("#closed", archived=True)
    outside = space.slack.add_channel("outside", member=False)
    listed = [channel["name"] for page in space.client.conversations_list(limit=2) for channel in page["channels"]]
    assert listed == ["ml-cost", "closed", "outside"]
    alive = space.client.conversations_list(exclude_archived=True)["channels"]
    assert [channel["name"] for channel in alive] == ["ml-cost", "outside"]
    assert space.client.conversations_info(channel=outside)["channel"] == alive[1]
    assert (alive[1]["is_member"], alive[1]["is_archived"]) == (False, False)
