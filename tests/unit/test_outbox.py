"""Messages reach Slack once, however Slack behaves, and an outage only delays them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from shared.entry import Entry, MessageRecord
from shared.errors import Refused, Unavailable
from shared.ports import Posted, World
from shared.session import Session
from shared.slack.outbox import OTHERS_MAY_SEND_FOR, SOON, Outbox
from tests.doubles import NO_OBJECTS, MemoryMessenger
from tests.stage import CHANNEL, NOTIFY_50, Crash, Stage, a_policy

BLOCKS: tuple[dict[str, Any], ...] = ({"type": "section", "text": {"type": "mrkdwn", "text": "hello"}},)


@pytest.fixture
def stage() -> Stage:
    """Slack, and a journal."""
    return Stage(a_policy(NOTIFY_50))


def letters(stage: Stage, *ids: str, channel: str = CHANNEL) -> Session:
    """An entry with these messages, in a worker's hands, which are not known to be fresh."""
    now = stage.clock.now()
    messages = tuple(MessageRecord(id=each, channel=channel, text=f"text of {each}\nand more", blocks=BLOCKS, created=now) for each in ids)
    kept = stage.journal.create(Entry(key="notice-1", created=now, messages=messages), now)
    assert kept
    session = Session.open(stage.journal, stage.clock, "me", kept)
    assert session
    return session


def world(stage: Stage) -> World:
    """The ports."""
    return stage.watchdog().world


def deliver(session: Session, ports: World) -> None:
    """Deliver what is due."""
    Outbox(ports, a_policy(NOTIFY_50), session).deliver()


def saved(stage: Stage) -> tuple[MessageRecord, ...]:
    """The messages as the journal has them."""
    kept = stage.journal.load("notice-1")
    assert kept
    return kept.record.messages


def test_messages_are_sent_in_order_and_marked_as_sent(stage: Stage) -> None:
    """The mark is saved after each, with the first line alone so that an entry does not grow; a second delivery sends nothing."""
    session = letters(stage, "a", "b")
    deliver(session, world(stage))
    assert stage.posts == ["text of a\nand more", "text of b\nand more"]
    assert [message.posted for message in saved(stage)] == [("C1", "1"), ("C1", "2")]
    assert [(message.text, message.blocks) for message in saved(stage)] == [("text of a", ()), ("text of b", ())]
    deliver(session, world(stage))
    assert len(stage.posts) == 2


@pytest.mark.parametrize(("busy", "minutes"), [(None, 1), (5.0, 1), (300.0, 5)], ids=["5xx", "429 for a moment", "429 for five minutes"])
def test_an_outage_delays_a_message_by_what_slack_asks_for(stage: Stage, busy: float | None, minutes: int) -> None:
    """Not before then is it tried again, and then it arrives once."""
    stage.messenger.down, stage.messenger.busy = busy is None, busy
    session = letters(stage, "a")
    deliver(session, world(stage))
    assert saved(stage)[0].not_before == stage.clock.now() + timedelta(minutes=minutes)
    assert saved(stage)[0].error == f"{CHANNEL}: Slack does not answer"
    stage.messenger.down, stage.messenger.busy = False, None
    stage.clock.sleep(minutes * 60 - 1)
    deliver(session, world(stage))
    assert stage.posts == []
    stage.clock.sleep(1)
    deliver(session, world(stage))
    assert stage.posts == ["text of a\nand more"]
    assert saved(stage)[0].error == ""


def test_the_wait_doubles_while_slack_is_away(stage: Stage) -> None:
    """One minute, two, four, and never more than an hour."""
    stage.messenger.down = True
    session = letters(stage, "a")
    waits = []
    for _ in range(8):
        deliver(session, world(stage))
        end = saved(stage)[0].not_before
        assert end
        waits.append((end - stage.clock.now()).total_seconds() / 60)
        stage.clock.instant = end
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


def test_a_channel_that_the_app_is_not_in_keeps_the_message_until_it_is(stage: Stage) -> None:
    """A person has to invite the app; the message waits for that, a little longer than for an outage, and holds up no other."""
    stage.messenger.channels = frozenset({"#other"})
    session = letters(stage, "a")
    deliver(session, world(stage))
    assert saved(stage)[0].not_before == stage.clock.now() + timedelta(minutes=5)
    assert "the app is not in it" in saved(stage)[0].error
    stage.messenger.channels = frozenset()
    stage.clock.sleep(300)
    deliver(session, world(stage))
    assert stage.posts == ["text of a\nand more"]


class Picky(MemoryMessenger):
    """Slack in a mood: it refuses blocks, or everything, and remembers what it was sent."""

    def __init__(self, *, even_text: bool) -> None:
        super().__init__()
        self.even_text = even_text
        self.sent: list[tuple[str, int]] = []

    def post(self, channel: str, text: str, blocks: Any, **more: Any) -> Posted:
        """Refuse what has blocks."""
        self.sent.append((text, len(blocks)))
        if blocks or self.even_text:
            raise Refused("invalid_blocks", resource=channel)
        return super().post(channel, text, blocks, **more)


def test_a_message_whose_blocks_are_refused_goes_as_plain_text(stage: Stage) -> None:
    """Something is told rather than nothing."""
    picky = Picky(even_text=False)
    deliver(letters(stage, "a"), World(stage.bucket, {}, NO_OBJECTS, picky, None, stage.clock))
    assert picky.sent == [("text of a\nand more", 1), ("text of a\nand more", 0)]
    assert saved(stage)[0].sent_at == stage.clock.now()


@pytest.mark.parametrize("blocks", [BLOCKS, ()])
def test_a_message_that_is_refused_altogether_is_kept_and_said_in_the_log(
    stage: Stage, blocks: tuple[dict[str, Any], ...], caplog: pytest.LogCaptureFixture
) -> None:
    """It is never lost, and the next one still goes out."""
    picky = Picky(even_text=True)
    session = letters(stage, "a", "b")
    session.put(session.entry.but(messages=tuple(message.but(blocks=blocks) for message in session.entry.messages)))
    deliver(session, World(stage.bucket, {}, NO_OBJECTS, picky, None, stage.clock))
    assert len(picky.sent) == 2 * (1 + len(blocks))
    assert [(message.sent_at, message.attempts) for message in saved(stage)] == [(None, 1), (None, 1)]
    assert "Slack refuses the message; it is kept" in caplog.text


@pytest.mark.parametrize("channel", [CHANNEL, ""], ids=["no token", "no channel"])
def test_without_slack_the_message_goes_to_the_log(stage: Stage, channel: str, caplog: pytest.LogCaptureFixture) -> None:
    """The log has the whole text, and the message is not kept for ever; a process without a token first gives others the time to post it."""
    ports = World(stage.bucket, {}, NO_OBJECTS, None if channel else stage.messenger, None, stage.clock)
    session = letters(stage, "a", channel=channel)
    if channel:
        deliver(session, ports)
        assert (caplog.text, saved(stage)[0].sent_at, saved(stage)[0].not_before) == ("", None, stage.clock.now() + SOON)
        stage.clock.sleep(OTHERS_MAY_SEND_FOR.total_seconds())
    deliver(session, ports)
    assert "text of a\nand more" in caplog.text
    assert (saved(stage)[0].sent_at, saved(stage)[0].posted) == (stage.clock.now(), None)
    assert stage.posts == []


@pytest.mark.parametrize("error", [Unavailable("the answer was lost"), Crash()], ids=["answer lost", "worker killed"])
def test_a_message_that_arrived_without_an_answer_is_found_by_its_reference(stage: Stage, error: BaseException) -> None:
    """It is posted once, and its place in Slack is known all the same."""
    session = letters(stage, "a")
    stage.strike("post", lambda: error, side="after")
    try:
        deliver(session, world(stage))
    except Crash:
        kept = stage.journal.load("notice-1")
        assert kept
        stage.clock.sleep(60)
        again = Session.open(stage.journal, stage.clock, "other", kept)
        assert again
        session = again
    stage.heal()
    stage.clock.sleep(60)
    deliver(session, world(stage))
    assert stage.posts == ["text of a\nand more"]
    assert saved(stage)[0].posted == ("C1", "1")


def test_a_message_that_was_just_written_is_not_looked_for(stage: Stage) -> None:
    """It cannot have been posted before, and looking costs a call; after a failure it may have been."""
    looked: list[str] = []
    stage.hooks.before = looked.append
    session = letters(stage, "a")
    session.fresh_messages.add("a")
    stage.messenger.down = True
    looked.clear()
    deliver(session, world(stage))
    assert [method for method in looked if method in ("find", "post")] == ["post"]
    stage.messenger.down = False
    stage.clock.sleep(60)
    looked.clear()
    deliver(session, world(stage))
    assert [method for method in looked if method in ("find", "post")] == ["find", "post"]


def test_a_failed_delivery_holds_up_no_other_message(stage: Stage) -> None:
    """What is wrong with one message is its own matter."""
    stage.strike("find", lambda: Refused("invalid_arguments"))
    deliver(letters(stage, "a", "b"), world(stage))
    assert stage.posts == ["text of b\nand more"]
    assert [message.sent_at is not None for message in saved(stage)] == [False, True]
