"""Slack: threads, updates, answers, user groups and webhooks, with the real client before the stand-in; and the same rules in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from sandbox.faults import Fault, Faults
from sandbox.serve import HttpServer
from sandbox.slack import Slack
from shared.cloud.slack import SlackMessenger
from shared.cloud.slack_webhook import SlackWebhook
from shared.errors import CloudError, Denied, Gone, Refused, Unavailable
from shared.ports import Messenger, Posted
from tests.contract.stand_ins import Workspace
from tests.doubles import ManualClock, MemoryMessenger

TOKEN, CHANNEL, CHANNEL_ID = "xoxb-sandbox", "#ml-cost", "C0000000001"
LONG_AGO = datetime.now(UTC) - timedelta(hours=1)
BLOCKS = [{"type": "section", "text": {"type": "plain_text", "text": "three services parked"}}]


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


def test_an_answer_in_a_thread_is_found_there(messenger: Messenger) -> None:
    """And not in the channel, where no answer stands; the channel's id means the same as its name."""
    parent = messenger.post(CHANNEL, "headline", [], reference="thread/1")
    answer = messenger.post(parent.channel, "answer", [], reference="entry/1", thread=parent.ts)
    assert messenger.find(CHANNEL, "entry/1", since=LONG_AGO, thread=parent.ts) == answer
    assert messenger.find(parent.channel, "entry/1", since=LONG_AGO, thread=parent.ts) == answer
    assert messenger.find(CHANNEL, "entry/1", since=LONG_AGO) is None
    assert messenger.find(CHANNEL, "thread/1", since=LONG_AGO) == parent


def test_a_message_is_changed(messenger: Messenger) -> None:
    """And is found by its reference as before."""
    posted = messenger.post(CHANNEL, "before", [], reference="entry/1")
    messenger.update(posted, "after", BLOCKS)
    assert messenger.find(CHANNEL, "entry/1", since=LONG_AGO) == posted


def test_a_message_that_is_not_there_cannot_be_changed(messenger: Messenger) -> None:
    """Somebody deleted it."""
    posted = messenger.post(CHANNEL, "before", [], reference="entry/1")
    with pytest.raises(Gone):
        messenger.update(Posted(posted.channel, "1.000001"), "after", [])


def test_how_an_answer_and_a_change_look(slack: Workspace, wire: SlackMessenger) -> None:
    """Broadcast only where that is asked; a change keeps the metadata and the thread."""
    parent = wire.post(CHANNEL, "headline", BLOCKS, reference="thread/1")
    wire.post(CHANNEL, "quiet", [], reference="entry/1", thread=parent.ts)
    wire.post(CHANNEL, "loud", [], reference="entry/2", thread=parent.ts, broadcast=True)
    wire.update(parent, "headline, later", [])
    first, quiet, loud = slack.model.messages(CHANNEL)
    assert (first["text"], first["blocks"], first["reply_count"]) == ("headline, later", [], 2)
    assert first["metadata"]["event_payload"]["reference"] == "thread/1"
    assert (quiet["thread_ts"], quiet.get("subtype")) == (parent.ts, None)
    assert (loud["thread_ts"], loud["subtype"]) == (parent.ts, "thread_broadcast")


def test_a_second_between_two_messages_to_a_channel(slack: Workspace, slept: list[float]) -> None:
    """As Slack asks for; another channel is not concerned."""
    slack.model.add_channel("other")
    seconds = iter([0.0, 0.25, 0.5, 5.0])
    wire = SlackMessenger(TOKEN, slack.url, sleep=slept.append, clock=lambda: next(seconds))
    wire.post(CHANNEL, "one", [], reference="1")
    wire.post(CHANNEL, "two", [], reference="2")
    wire.post("#other", "three", [], reference="3")
    wire.post(CHANNEL, "four", [], reference="4")
    assert slept == [0.75]


def test_who_is_in_a_user_group(slack: Workspace, wire: SlackMessenger) -> None:
    """By the group's id; one that is not there is refused."""
    slack.model.add_usergroup("S0614TZR7", "ml-platform", ["U012AB3CD"])
    assert wire.members("S0614TZR7") == {"U012AB3CD"}
    with pytest.raises(Refused, match="Slack user group S9: Slack answers 'no_such_subteam'"):
        wire.members("S9")


@pytest.fixture
def limited() -> Iterator[tuple[Slack, SlackMessenger]]:
    """An app that may do nothing."""
    model = Slack(Faults(), scopes=[])
    with HttpServer(model.app()) as server:
        yield model, SlackMessenger(TOKEN, f"{server.url}/api/")


def test_a_scope_that_is_missing_is_named(limited: tuple[Slack, SlackMessenger]) -> None:
    """With what to do about it."""
    _, wire = limited
    with pytest.raises(Denied, match=r"missing_scope' \(needed: usergroups:read\); add the scope to the app and install it again"):
        wire.members("S0614TZR7")
    with pytest.raises(Denied, match="chat:write"):
        wire.post(CHANNEL, "text", [], reference="1")


def test_an_answer_to_one_person(slack: Workspace, wire: SlackMessenger) -> None:
    """At the address that came with the press, five times; and in the channel without one."""
    posted = wire.post(CHANNEL, "press me", [{"type": "actions", "elements": [{"type": "button", "action_id": "go", "text": {"type": "plain_text", "text": "Go"}}]}], reference="1")  # fmt: skip
    slack.model.connect(lambda _body, _headers: (200, b""))
    address = slack.model.press(CHANNEL, posted.ts, "go").payload["response_url"]
    for number in range(5):
        wire.answer(address, f"done {number}")
    with pytest.raises(Gone, match="the address that Slack gave for the answer: Slack answers 'used_url'") as failure:
        wire.answer(address, "done")
    assert address not in str(failure.value)
    wire.whisper(CHANNEL, "U012AB3CD", "done")
    assert [(each["user"], each["text"]) for each in slack.model.ephemerals][-2:] == [("U012AB3CD", "done 4"), ("U012AB3CD", "done")]


@pytest.mark.parametrize("address", ["http://169.254.169.254/", "https://hooks.slack.com.evil.example/", "file:///etc/passwd", ""])
def test_an_answer_to_anybody_elses_address(wire: SlackMessenger, address: str) -> None:
    """Is not sent."""
    with pytest.raises(Refused, match="is no address of Slack's"):
        wire.answer(address, "text")


@pytest.mark.parametrize(("status", "kind"), [(429, Unavailable), (500, Unavailable), (503, Unavailable)], ids=["429", "500", "503"])
def test_an_answer_that_is_not_taken_now(slack: Workspace, wire: SlackMessenger, status: int, kind: type[CloudError]) -> None:
    """It can be told later."""
    slack.faults.inject(Fault("response_url", status=status, retry_after=7))
    with pytest.raises(kind) as failure:
        wire.answer(f"{slack.url.removesuffix('api/')}actions/T0000000001/1/x", "text")
    assert status != 429 or getattr(failure.value, "retry_after", None) == 7.0


# webhooks


@pytest.fixture
def webhook(slack: Workspace) -> SlackWebhook:
    """A webhook of the channel's."""
    return SlackWebhook(slack.url.removesuffix("/api/") + slack.model.add_webhook(CHANNEL))


def test_a_webhook_takes_messages(slack: Workspace, webhook: SlackWebhook) -> None:
    """With blocks or without, each by itself, in its own channel whatever is named."""
    assert webhook.post("#elsewhere", "one", BLOCKS, reference="1", thread="5", broadcast=True) == Posted("#elsewhere", "")
    webhook.post("", "two", [], reference="2")
    assert [(each["text"], "thread_ts" in each) for each in slack.model.messages(CHANNEL)] == [("one", False), ("two", False)]
    assert webhook.find(CHANNEL, "1", since=LONG_AGO) is None
    assert not webhook.talks_back


def test_a_webhook_does_nothing_else(webhook: SlackWebhook) -> None:
    """And says what is needed for it."""
    calls: list[Callable[[], object]] = [
        lambda: webhook.update(Posted(CHANNEL, "1"), "text", []),
        lambda: webhook.members("S1"),
        lambda: webhook.answer("https://hooks.slack.com/x", "text"),
        lambda: webhook.whisper(CHANNEL, "U1", "text"),
    ]
    for call in calls:
        with pytest.raises(Refused, match="set SLACK_BOT_TOKEN for more"):
            call()


@pytest.mark.parametrize(
    ("fault", "path", "kind", "words"),
    [
        (None, "/services/T/B/gone", Denied, "no_service.*put its address into SLACK_WEBHOOK_URL"),
        (Fault("incoming-webhook", status=429, retry_after=9), "", Unavailable, "rate_limited|429"),
        (Fault("incoming-webhook", status=503), "", Unavailable, "503|service_unavailable"),
        (Fault("incoming-webhook", drop_answer=True), "", Unavailable, None),
    ],
    ids=["gone", "429", "503", "no answer"],
)
def test_what_a_webhook_does_not_take(
    slack: Workspace, webhook: SlackWebhook, fault: Fault | None, path: str, kind: type[CloudError], words: str | None
) -> None:
    """As with the app; the address, which is a secret, stands in no error."""
    if fault:
        slack.faults.inject(fault)
    if path:
        webhook = SlackWebhook(slack.url.removesuffix("/api/") + path)
    with pytest.raises(kind, match=words) as failure:
        webhook.post(CHANNEL, "text", [], reference="1")
    assert "/services/" not in str(failure.value)


def test_a_webhook_refuses_what_slack_refuses(webhook: SlackWebhook) -> None:
    """Blocks that are none."""
    with pytest.raises(Refused, match="invalid_blocks"):
        webhook.post(CHANNEL, "text", [{"type": "none"}], reference="1")
