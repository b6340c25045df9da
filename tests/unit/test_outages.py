"""While a channel cannot be reached it is left alone, and what was kept meanwhile is told in one message where it is much."""

from __future__ import annotations

import contextlib
import json
from datetime import timedelta

import pytest

from shared.errors import Conflict, Denied, Unavailable
from shared.report import outcome_text
from shared.report.letter import Letter
from shared.slack.backlog import MANY, Backlog
from shared.slack.conversation import Delivery, Outage
from shared.slack.outages import SORTED_OUT, Outages
from tests.stage import CHANNEL, IDLE_80, NOTIFY_50, Stage, a_policy


@pytest.fixture
def stage() -> Stage:
    """Slack, and a journal."""
    stage = Stage(a_policy(NOTIFY_50))
    stage.messenger.clock = stage.clock
    return stage


def say(stage: Stage, *keys: str) -> None:
    """Something is to be told, each by itself."""
    for key in keys:
        stage.watchdog().say_once(f"notice-{key}", Letter(f"{key} happened\nand more", ({"type": "divider"},)))


def tick(stage: Stage, minutes: float) -> None:
    """Time passes, and the tick sorts out what was kept, as the function does."""
    stage.tick(minutes)
    Backlog(stage.watchdog()).sort_out()


def outage(stage: Stage) -> Outage | None:
    """What is known of the channel's outage."""
    kept = stage.journal.delivery()
    return kept.record.outages.get(CHANNEL) if kept else None


def test_one_message_finds_out_and_the_others_wait_for_it(stage: Stage) -> None:
    """A server that is down is not asked a hundred times."""
    tried: list[str] = []
    stage.messenger.down = True
    stage.hooks.before = lambda method: tried.append(method) if method in ("post", "find") else None
    say(stage, "a", "b", "c")
    assert tried == ["post"]
    known = outage(stage)
    assert known
    assert (known.since, known.attempts, known.lasting, known.mended_at) == (stage.clock.now(), 1, False, None)
    assert known.reason == f"{CHANNEL}: Slack does not answer"
    tick(stage, 2)
    assert tried == ["post", "find"]
    known = outage(stage)
    assert known
    assert known.attempts == 2


def test_a_few_messages_are_told_one_by_one_after_the_mend(stage: Stage) -> None:
    """In the order in which they were written."""
    stage.messenger.down = True
    say(stage, "a", "b", "c")
    stage.messenger.down = False
    tick(stage, 2)
    assert stage.posts == ["a happened\nand more"]
    assert outage(stage) is None
    tick(stage, 1)
    assert stage.posts == ["a happened\nand more", "b happened\nand more", "c happened\nand more"]
    assert stage.open() == []


def test_many_messages_are_told_in_one(stage: Stage) -> None:
    """With the time of each and what it is about; nothing is lost, and nothing is told twice."""
    stage.messenger.down = True
    names = [f"thing-{number}" for number in range(MANY + 3)]
    say(stage, *names)
    stage.messenger.down = False
    tick(stage, 2)
    first, late = stage.posts
    assert first.startswith("thing-0 happened")
    assert late.startswith(
        f"Late: {MANY + 2} messages that could not be delivered\nSlack did not take messages for this channel since 2026-11-20 12:00 UTC"
    )
    assert all(f"{name} happened · `notice-{name}`" in late for name in names[1:])
    assert outage(stage) is None
    tick(stage, 1)
    tick(stage, 30)
    assert len(stage.posts) == 2
    assert stage.open() == []


def test_all_of_what_is_told_with_others_can_be_looked_up(stage: Stage) -> None:
    """As the message about many says; its first line is not all there was."""
    stage.messenger.down = True
    say(stage, *"abcdef")
    stage.messenger.down = False
    tick(stage, 2)
    tick(stage, 1)
    assert outcome_text(stage.ann().entry("notice-c")).endswith("\n\nc happened\nand more")


def test_what_needs_a_person_is_told_by_itself(stage: Stage) -> None:
    """With its buttons."""
    stage.policy = a_policy("{at: 120%, approve: true, do: [notify]}")
    stage.messenger.channels = frozenset({"#other"})
    say(stage, *"abcdef")
    stage.send(125)
    known = outage(stage)
    assert known
    assert known.lasting
    stage.messenger.channels = frozenset()
    tick(stage, 6)
    tick(stage, 1)
    told = [post.split("\n", 1)[0] for post in stage.posts]
    assert sorted(told) == ["Late: 6 messages that could not be delivered", "ML Training Budget passed 120 %"]
    assert "approve" in stage.buttons(stage.message("ML Training Budget passed 120 %"))


def test_how_a_plan_stands_is_told_by_itself(stage: Stage) -> None:
    """Else its budget's headline would say that nothing is parked, and nobody could put it back from there."""
    stage.policy = a_policy(NOTIFY_50, IDLE_80)
    stage.service("trainer")
    stage.send(55)
    stage.messenger.down = True
    stage.watchdog().say_once("a-notice", Letter("a notice\nand more", ()))
    say(stage, *"bcdef")
    stage.clock.sleep(1)
    stage.send(85)
    stage.messenger.down = False
    for _ in range(3):
        tick(stage, 1)
    assert sorted(post.split("\n", 1)[0] for post in stage.posts[1:]) == [
        "Late: 5 messages that could not be delivered", "ML Training Budget passed 80 %", "a notice",
    ]  # fmt: skip
    assert "PARKED NOW: 1 service" in stage.headline.text
    assert "restore" in stage.buttons(stage.headline)


def test_what_somebody_works_on_is_left_to_them(stage: Stage) -> None:
    """The next tick sees to it."""
    stage.messenger.down = True
    say(stage, *"abcdef")
    kept = stage.journal.load("notice-f")
    assert kept
    data = json.loads(kept.record.model_dump_json())
    data["lease"] = {"owner": "other", "until": (stage.clock.now() + timedelta(minutes=10)).isoformat()}
    stage.journal.save(kept, kept.record.model_validate(data), stage.clock.now())
    stage.messenger.down = False
    tick(stage, 2)
    assert "f happened" not in stage.posts[-1]
    tick(stage, 11)
    assert stage.posts[-1].startswith("f happened")


def test_a_clock_that_has_stopped_keeps_nothing_back_for_long(stage: Stage) -> None:
    """Where nobody sorts it out, messages go out one by one after a while."""
    stage.messenger.down = True
    say(stage, "a", "b")
    stage.messenger.down = False
    stage.tick(2)
    stage.tick(2)
    assert stage.posts == ["a happened\nand more"]
    stage.tick(SORTED_OUT.total_seconds() / 60)
    assert stage.posts == ["a happened\nand more", "b happened\nand more"]
    assert outage(stage) is None


def test_a_record_that_cannot_be_read_or_written_stops_no_message(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """It is better to try once too often."""
    stage.bucket.write("delivery.json", b"{", generation=0)
    say(stage, "a")
    assert stage.posts == ["a happened\nand more"]
    assert "whether Slack can be reached is not known" in caplog.text
    Outages(stage.watchdog().world).failed(CHANNEL, Denied("token_revoked"), stage.clock.now())
    assert f"how {CHANNEL} is reached could not be written down" in caplog.text
    Backlog(stage.watchdog()).sort_out()
    assert any(key.startswith("notice-unreadable") for key in stage.journal.closed_keys(""))


def test_what_goes_wrong_while_it_is_sorted_out_waits_for_the_next_tick(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is lost by it."""
    stage.messenger.down = True
    say(stage, *"abcdef")
    stage.bucket.write("entries/broken.json", b"{", generation=0)
    stage.messenger.down = False
    stage.tick(2)
    stage.strike("list", lambda: Unavailable("503"))
    Backlog(stage.watchdog()).sort_out()
    assert "could not be sorted out" in caplog.text
    stage.heal()
    caplog.set_level("INFO")
    for number in (3, 4, 6):
        stage.strike("write", lambda: Conflict("somebody else"), number=number)
        Backlog(stage.watchdog()).sort_out()
        stage.heal()
    for _ in range(4):
        tick(stage, 15)
    told = "\n".join(stage.posts)
    assert all(f"{each} happened" in told for each in "abcdef")


def test_one_entry_that_somebody_writes_meanwhile_has_nothing_told_twice(stage: Stage) -> None:
    """Neither its own message, nor those of the entries after it."""
    stage.messenger.down = True
    say(stage, *"abcdef")
    stage.messenger.down = False
    stage.tick(2)
    entries = iter("bcdef")

    def somebody(called: str) -> None:
        if called == "write" and any(each.startswith("Late: ") for each in stage.posts):
            stage.heal()
            for key in entries:
                kept = stage.journal.load(f"notice-{key}")
                if kept:
                    stage.journal.save(kept, kept.record, stage.clock.now())

    stage.hooks.before = somebody
    Backlog(stage.watchdog()).sort_out()
    for _ in range(3):
        tick(stage, 15)
    assert [post.split("\n", 1)[0] for post in stage.posts] == ["a happened", "Late: 5 messages that could not be delivered"]
    assert stage.open() == []


def test_what_came_after_a_message_about_many_is_told_too(stage: Stage) -> None:
    """Where it could not be written down that an outage was sorted out, it is sorted out again, and that message tells of the first alone."""
    stage.messenger.down = True
    say(stage, *"abcdef")
    stage.messenger.down = False
    stage.tick(2)
    kept = stage.journal.delivery()
    assert kept
    Backlog(stage.watchdog()).sort_out()
    stage.journal.save_delivery(stage.journal.delivery(), kept.record)
    say(stage, *"uvwxyz")
    for _ in range(3):
        tick(stage, 1)
    told = "\n".join(stage.posts)
    assert all(f"{each} happened" in told for each in "abcdefuvwxyz")


@pytest.mark.parametrize("gone", [True, False], ids=["and it is done", "all the time"])
def test_an_entry_that_others_write_while_it_is_sorted_out(stage: Stage, caplog: pytest.LogCaptureFixture, gone: bool) -> None:
    """It is left to them."""
    stage.messenger.down = True
    say(stage, *"abcdef")
    stage.messenger.down = False
    stage.tick(2)
    desk = Backlog(stage.watchdog())
    kept = stage.journal.load("notice-f")
    assert kept

    def strike(method: str) -> None:
        if method == "write":
            if gone:
                stage.bucket.objects.pop("entries/notice-f.json", None)
            raise Conflict("somebody else")

    stage.hooks.before = strike
    desk._release(kept, CHANNEL, ())
    stage.heal()
    assert ("others write it all the time" in caplog.text) is not gone


def test_two_that_write_it_down_at_once(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """Both do: each is about its own channel, and one that is mended may have no further message to say so."""
    outages = Outages(stage.watchdog().world)
    now = stage.clock.now()
    stage.meanwhile("write", lambda: outages.failed("#other", Unavailable("503"), now))
    outages.failed(CHANNEL, Unavailable("503"), now)
    known = outage(stage)
    assert known
    stage.meanwhile("write", lambda: outages.over("#other"))
    outages.arrived(CHANNEL, known)
    kept = stage.journal.delivery()
    assert kept
    assert kept.record == Delivery(outages={CHANNEL: known.but(mended_at=now)})
    stage.always("write", lambda: Conflict("somebody else"))
    outages.over(CHANNEL)
    assert "others write all the time" in caplog.text


def test_an_outage_after_a_mend_is_a_new_one(stage: Stage) -> None:
    """Its time begins anew."""
    outages = Outages(stage.watchdog().world)
    outages.failed(CHANNEL, Unavailable("503"), stage.clock.now())
    first = outages.of(CHANNEL)
    assert first
    outages.arrived(CHANNEL, first)
    stage.clock.sleep(60)
    outages.failed(CHANNEL, Unavailable("503"), stage.clock.now())
    second = outages.of(CHANNEL)
    assert second
    assert (second.since, second.attempts) == (stage.clock.now(), 1)


def test_a_channel_that_is_mended_in_the_policy_gets_what_was_kept_for_the_wrong_one(stage: Stage) -> None:
    """A misspelled name loses nothing: many are told in one there, too, and the outage is over."""
    right = stage.policy
    stage.policy = right.model_copy(update={"slack": right.slack.model_copy(update={"channel": "#ml-csot"})})
    stage.messenger.channels = frozenset({CHANNEL})
    stage.send(55)
    say(stage, *"abcde")
    assert stage.posts == []
    stage.policy = right
    tick(stage, 6)
    tick(stage, 1)
    assert [post.split("\n", 1)[0] for post in stage.posts] == [
        "ML Training Budget passed 50 %",
        "Late: 5 messages that could not be delivered",
    ]
    assert {each.channel for each in stage.messenger.messages.values()} == {CHANNEL}
    assert stage.open() == []
    kept = stage.journal.delivery()
    assert kept
    assert kept.record.outages == {}


@pytest.mark.parametrize("number", range(1, 25))
def test_a_journal_that_is_away_is_no_outage_of_slacks(number: int) -> None:
    """Whatever it is that cannot be read."""
    stage = Stage(a_policy("{at: 120%, approve: true, do: [notify]}"))
    stage.strike("read", lambda: Unavailable("the bucket is away"), number=number)
    with contextlib.suppress(Unavailable):
        stage.send(125)
    stage.heal()
    assert stage.journal.delivery() is None
