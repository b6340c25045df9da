"""Slack: the same rules in memory and over the wire, and what only the wire can do to it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sandbox.faults import Fault
from shared.cloud.slack import SlackMessenger
from shared.errors import CloudError, Denied, Refused, Unavailable
from shared.ports import Messenger
from tests.contract.stand_ins import Workspace
from tests.doubles import ManualClock, MemoryMessenger

TOKEN, CHANNEL, CHANNEL_ID = "xoxb-sandbox", "#ml-cost", "C0000000001"
POST, HISTORY, LIST = "chat.postMessage", "conversations.history", "conversations.list"
BLOCKS = [{"type": "section", "text": {"type": "plain_text", "text": "three services parked"}}]
LONG_AGO, SOON = datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC) + timedelta(hours=1)


@pytest.fixture
def slept() -> list[float]:
    """How long the adapter would have slept."""
    return []


@pytest.fixture
def wire(slack: Workspace, slept: list[float]) -> SlackMessenger:
    """The real client before the stand-in."""
    return SlackMessenger(TOKEN, slack.url, sleep=slept.append)


@pytest.fixture(params=["memory", "wire"])
def messenger(request: pytest.FixtureRequest) -> Messenger:
    """Each of the two."""
    wire: SlackMessenger | None = request.getfixturevalue("wire") if request.param == "wire" else None
    return wire or MemoryMessenger(channels=frozenset({CHANNEL}), clock=ManualClock(datetime.now(UTC)))


def references(slack: Workspace) -> list[Any]:
    """The references of all messages in the channel."""
    return [message["metadata"]["event_payload"]["reference"] for message in slack.model.messages(CHANNEL)]


def test_a_message_is_found_by_its_reference(messenger: Messenger) -> None:
    """What was posted is found again, with the channel's id and the message's timestamp; another reference is not."""
    messenger.post(CHANNEL, "first", [], reference="entry/1")
    posted = messenger.post(CHANNEL, "second", BLOCKS, reference="entry/2")
    messenger.post(CHANNEL, "third", [], reference="entry/3")
    assert messenger.find(CHANNEL, "entry/2", since=LONG_AGO) == posted
    assert messenger.find(CHANNEL, "entry/4", since=LONG_AGO) is None
    assert messenger.find(CHANNEL, "entry/2", since=SOON) is None


def test_a_channel_that_is_not_there(messenger: Messenger) -> None:
    """Posting is denied, and nothing is found."""
    with pytest.raises(Denied, match="#other"):
        messenger.post("#other", "text", [], reference="entry/1")
    assert messenger.find("#other", "entry/1", since=LONG_AGO) is None


@pytest.mark.parametrize("which", ["memory", "wire"])
def test_an_outage(slack: Workspace, wire: SlackMessenger, which: str) -> None:
    """Both calls say that Slack does not answer, and work again when it does; nothing was posted meanwhile."""
    memory = MemoryMessenger()

    def outage(on: bool) -> None:
        memory.down = on
        slack.model.outage(on)

    messenger: Messenger = memory if which == "memory" else wire
    outage(True)
    with pytest.raises(Unavailable):
        messenger.post(CHANNEL, "text", [], reference="entry/1")
    with pytest.raises(Unavailable):
        messenger.find(CHANNEL, "entry/1", since=LONG_AGO)
    outage(False)
    assert messenger.find(CHANNEL, "entry/1", since=LONG_AGO) is None
    posted = messenger.post(CHANNEL, "text", [], reference="entry/1")
    assert messenger.find(CHANNEL, "entry/1", since=LONG_AGO) == posted


@pytest.mark.parametrize("which", ["memory", "wire"])
def test_asked_to_wait_long(slack: Workspace, wire: SlackMessenger, which: str) -> None:
    """Where Slack asks for a long wait, the caller is told how long."""
    slack.faults.inject(Fault(POST, status=429, retry_after=30))
    messenger: Messenger = MemoryMessenger(busy=30.0) if which == "memory" else wire
    with pytest.raises(Unavailable) as caught:
        messenger.post(CHANNEL, "text", [], reference="entry/1")
    assert caught.value.retry_after == 30.0


@pytest.mark.parametrize("which", ["memory", "wire"])
def test_may_post_and_not_read(slack: Workspace, wire: SlackMessenger, which: str) -> None:
    """Without the permission to read nothing is found, and that is no error."""
    slack.faults.inject(Fault("conversations.*", status="missing_scope"))
    messenger: Messenger = MemoryMessenger(readable=False) if which == "memory" else wire
    messenger.post(CHANNEL, "text", [], reference="entry/1")
    assert messenger.find(CHANNEL, "entry/1", since=LONG_AGO) is None


# Over the wire alone


def test_what_is_posted(slack: Workspace, wire: SlackMessenger) -> None:
    """Text, blocks and metadata arrive as they are, and links are not unfurled."""
    posted = wire.post(CHANNEL, "parked <3", BLOCKS, reference="entry/1")
    assert posted.channel == CHANNEL_ID
    (message,) = slack.model.messages(CHANNEL)
    assert (message["ts"], message["text"], message["unfurl_links"], message["unfurl_media"]) == (posted.ts, "parked <3", False, False)
    assert message["blocks"][0]["text"]["text"] == "three services parked"
    assert message["metadata"] == {"event_type": "cost_watchdog", "event_payload": {"reference": "entry/1"}}
    assert slack.faults.calls == {POST: 1}


@pytest.mark.parametrize(("times", "waits"), [(1, [2.0]), (2, [2.0, 2.0])])
def test_a_short_wait_is_waited(slack: Workspace, wire: SlackMessenger, slept: list[float], times: int, waits: list[float]) -> None:
    """Where Slack asks for a few seconds they are waited, twice at most, and the message is posted once."""
    slack.faults.inject(Fault(POST, status=429, retry_after=2, times=times))
    wire.post(CHANNEL, "text", [], reference="entry/1")
    assert (slept, references(slack)) == (waits, ["entry/1"])


def test_patience_ends(slack: Workspace, wire: SlackMessenger, slept: list[float]) -> None:
    """The third time Slack asks to wait, the caller is told."""
    slack.faults.inject(Fault(POST, status=429, retry_after=2))
    with pytest.raises(Unavailable, match="ratelimited") as caught:
        wire.post(CHANNEL, "text", [], reference="entry/1")
    assert (caught.value.retry_after, slept, slack.faults.calls) == (2.0, [2.0, 2.0], {POST: 3})


@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 503}, {"status": "fatal_error"}, {"drop_answer": True}])
def test_a_post_without_an_answer_is_not_repeated(
    slack: Workspace, wire: SlackMessenger, slept: list[float], fault: dict[str, Any]
) -> None:
    """It may have arrived, and a repeat would be a second message; whether it did can be looked up."""
    slack.faults.inject(Fault(POST, **fault))
    with pytest.raises(Unavailable, match=CHANNEL):
        wire.post(CHANNEL, "text", [], reference="entry/1")
    assert (slept, slack.faults.calls) == ([], {POST: 1})
    found = wire.find(CHANNEL, "entry/1", since=LONG_AGO)
    assert (found is not None) == ("drop_answer" in fault)


def test_nobody_listens() -> None:
    """A refused connection is an outage too."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(Unavailable):
        SlackMessenger(TOKEN, f"http://127.0.0.1:{port}/api/").post(CHANNEL, "text", [], reference="entry/1")


def _revoked(slack: Workspace) -> None:
    slack.model.revoke()


def _archived(slack: Workspace) -> None:
    slack.model.add_channel("archived", archived=True)


def _not_in_channel(slack: Workspace) -> None:
    slack.model.add_channel("private", member=False)


@pytest.mark.parametrize(
    ("prepare", "channel", "blocks", "expected", "sentence"),
    [
        (_revoked, CHANNEL, [], Denied, "SLACK_BOT_TOKEN"),
        (_archived, "#archived", [], Denied, "is_archived.*unarchive the channel"),
        (_not_in_channel, "#private", [], Denied, "invite the app to the channel"),
        (_archived, CHANNEL, [{"type": "none"}], Refused, "invalid_blocks.*none"),
    ],
)
def test_what_slack_does_not_take(
    slack: Workspace, wire: SlackMessenger, prepare: Callable[[Workspace], None], channel: str, blocks: list[dict[str, Any]], expected: type[CloudError], sentence: str
) -> None:  # fmt: skip
    """Each refusal in Slack's words, with what to do, about the channel."""
    prepare(slack)
    with pytest.raises(expected, match=f"^Slack channel {channel}: .*{sentence}"):
        wire.post(channel, "text", blocks, reference="entry/1")


def test_a_new_process_finds_the_channel_by_name(slack: Workspace, wire: SlackMessenger) -> None:
    """Reading wants an id, which a process that has not posted yet looks up once; with or without the #."""
    posted = wire.post(CHANNEL, "text", [], reference="entry/1")
    other = SlackMessenger(TOKEN, slack.url)
    for channel in (CHANNEL, "ml-cost", CHANNEL_ID, CHANNEL):
        assert other.find(channel, "entry/1", since=LONG_AGO) == posted
    assert slack.faults.calls == {POST: 1, HISTORY: 4, LIST: 2}


def test_the_process_that_posted_knows_the_id(slack: Workspace, wire: SlackMessenger) -> None:
    """A channel's id is in the answer to a post, and is not looked up."""
    wire.post(CHANNEL, "text", [], reference="entry/1")
    wire.find(CHANNEL, "entry/1", since=LONG_AGO)
    assert slack.faults.calls == {POST: 1, HISTORY: 1}


def test_a_channel_among_many_is_found(slack: Workspace, wire: SlackMessenger) -> None:
    """Channels are listed over several pages."""
    for number in range(250):
        slack.model.add_channel(f"channel-{number}")
    assert wire.find("#channel-249", "entry/1", since=LONG_AGO) is None
    assert slack.faults.calls == {LIST: 2, HISTORY: 1}


def test_a_name_that_cannot_be_found(slack: Workspace, wire: SlackMessenger, caplog: pytest.LogCaptureFixture) -> None:
    """A channel that the listing does not show, such as a private one, cannot be read by its name, and the log says so."""
    assert wire.find("#private", "entry/1", since=LONG_AGO) is None
    assert "there is no public channel of this name" in caplog.text
    assert slack.faults.calls == {LIST: 1}


def test_what_may_not_be_read_is_logged(slack: Workspace, wire: SlackMessenger, caplog: pytest.LogCaptureFixture) -> None:
    """The missing scope is named in a warning."""
    slack.faults.inject(Fault(HISTORY, status="missing_scope"))
    assert wire.find(CHANNEL_ID, "entry/1", since=LONG_AGO) is None
    assert "one may be posted twice: Slack channel C0000000001: Slack answers 'missing_scope'" in caplog.text


def test_a_message_pages_back_is_found(slack: Workspace, wire: SlackMessenger) -> None:
    """Two hundred messages are a page, and five pages are looked through; what is not the watchdog's is passed over."""
    posted = wire.post(CHANNEL, "text", [], reference="entry/1")
    for number in range(250):
        wire.post(CHANNEL, "text", [], reference=f"other/{number}")
    _chat(slack)
    slack.faults.calls.clear()
    assert wire.find(CHANNEL, "entry/1", since=LONG_AGO) == posted
    assert slack.faults.calls == {HISTORY: 2}
    assert wire.find(CHANNEL, "entry/1", since=SOON) is None


def test_looking_back_is_bounded(slack: Workspace, wire: SlackMessenger) -> None:
    """A message before the newest thousand is not found."""
    wire.post(CHANNEL, "text", [], reference="entry/1")
    for _ in range(1000):
        _chat(slack)
    slack.faults.calls.clear()
    assert wire.find(CHANNEL, "entry/1", since=LONG_AGO) is None
    assert slack.faults.calls == {HISTORY: 5}


def _chat(slack: Workspace) -> None:
    """Somebody says something."""
    workspace = slack.model._workspace
    ts = workspace.next_ts()
    workspace.find(CHANNEL).messages[ts] = {"type": "message", "ts": ts, "text": "lunch?", "bot_id": "B0"}


def test_a_channel_is_the_same_by_its_name_and_by_its_id(slack: Workspace, slept: list[float]) -> None:
    """A headline and its first answer come a second apart, too."""
    messenger = SlackMessenger(TOKEN, slack.url, sleep=slept.append, clock=lambda: 100.0)
    posted = messenger.post(CHANNEL, "headline", [], reference="thread/1")
    messenger.post(posted.channel, "answer", [], reference="entry/1", thread=posted.ts)
    messenger.post(CHANNEL, "another", [], reference="entry/2")
    assert slept == [1.0, 2.0]
