"""One thread for a budget and its period: a headline that is kept up to date, and everything else an answer to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest

from shared.entry import backoff
from shared.errors import CloudError, Conflict, Denied, Gone, Refused, Unavailable
from shared.ports import Posted
from shared.slack.conversation import Place, Thread, thread_name
from shared.slack.threads import CLAIM, Threads
from tests.doubles import MemoryMessage
from tests.stage import ANN, CHANNEL, IDLE_80, NOTIFY_50, STOPPED, STOPPED_100, Crash, Stage, a_notification, a_policy

APPROVE_120 = f"{{at: 120%, approve: true, do: [{STOPPED}]}}"
WAIT_100 = f"{{at: 100%, wait: 30m, do: [{STOPPED}]}}"
NAME = thread_name(a_notification())


@pytest.fixture
def stage() -> Stage:
    """One service, and a ladder."""
    stage = Stage(a_policy(NOTIFY_50, IDLE_80, WAIT_100, APPROVE_120))
    stage.messenger.clock = stage.clock
    stage.service("trainer")
    return stage


def answers(stage: Stage) -> list[MemoryMessage]:
    """The messages that answer another, in order."""
    return [each for each in stage.messenger.messages.values() if each.thread]


def thread(stage: Stage) -> Thread:
    """What the journal knows of the thread."""
    kept = stage.journal.thread(NAME)
    assert kept
    return kept.record


def test_the_first_step_posts_the_headline_and_all_else_answers_it(stage: Stage) -> None:
    """In the channel one message stands, whatever happens in the period."""
    stage.send(55)
    stage.send(85)
    assert stage.headline.channel == CHANNEL
    (at,) = [ts for ts, each in stage.messenger.messages.items() if each.reference.startswith("thread/")]
    assert [(each.thread, each.broadcast) for each in answers(stage)] == [(at, False), (at, False)]
    assert len(stage.messenger.messages) == 3
    assert len(thread(stage).entries) == 2


def test_a_status_that_reaches_nothing_posts_nothing_and_is_shown(stage: Stage) -> None:
    """Google sends them all day; the headline says the newest, without anybody being told."""
    assert stage.send(40) == ["status"]
    assert not stage.messenger.messages
    stage.send(55)
    stage.clock.sleep(3600)
    stage.send(61)
    assert len(stage.messenger.messages) == 2
    assert stage.headline.text.startswith("ML Training Budget: 61 % spent")
    stage.send(58, sent_at=stage.clock.now() - timedelta(minutes=5))
    assert stage.headline.text.startswith("ML Training Budget: 61 % spent")


def test_the_headline_says_what_is_parked_and_what_that_saved(stage: Stage) -> None:
    """The saving grows with the time, ends with the parking, and counts once what two plans did one after the other."""
    stage.send(85)
    assert "PARKED NOW: 1 service\n`trainer`" in stage.headline.text
    assert "Saved so far" not in stage.headline.text
    stage.clock.sleep(10 * 86400)
    stage.send(86)
    first = stage.headline.text
    assert "Saved so far: about $" in first
    stage.ann().restore_all()
    assert "Nothing is parked." in stage.headline.text
    stage.clock.sleep(10 * 86400)
    stage.send(87)
    kept = [line for line in first.split("\n") if line.startswith("Saved so far")]
    assert [line for line in stage.headline.text.split("\n") if line.startswith("Saved so far")] == kept


def test_only_what_needs_a_person_is_broadcast(stage: Stage) -> None:
    """A warning that can be called off, and a question; not what was simply done, or put back."""
    stage.send(85)
    stage.send(101)
    stage.tick(31)
    stage.send(125)
    stage.ann().restore_all()
    broadcast = [each.text.split("\n", 1)[0] for each in answers(stage) if each.broadcast]
    assert broadcast == ["ML Training Budget passed 100 %", "ML Training Budget passed 120 %"]
    assert len(answers(stage)) > 4


def test_what_failed_and_what_was_refused_is_broadcast() -> None:
    """Nobody should have to look for that."""
    stage = Stage(a_policy(IDLE_80, more="limits: {targets: 1}"))
    for name in ("a", "b"):
        stage.service(name)
    stage.send(85)
    assert [each.broadcast for each in answers(stage)] == [True]
    stage = Stage(a_policy(IDLE_80))
    stage.service("a")
    stage.strike("update", lambda: Denied("run.services.update is missing"))
    stage.send(85)
    assert [(each.broadcast, "FAILED (1)" in each.text) for each in answers(stage)] == [(True, True)]


def test_each_period_has_its_own(stage: Stage) -> None:
    """And the old headline says that everything was put back."""
    stage.send(85)
    stage.next_period(85)
    first, second = stage.messenger.headlines
    assert "Nothing is parked." in first.text
    assert "PARKED NOW" in second.text
    assert first.text.split("midnight")[0] != second.text.split("midnight")[0]


def test_many_workers_post_one_headline(stage: Stage) -> None:
    """Who finds that somebody else is about to post it waits a moment."""
    stage.journal.save_thread(
        None, Thread.of(a_notification(), None).with_place(CHANNEL, Place(claimed_by="other", claimed_at=stage.clock.now()))
    )
    stage.send(85)
    assert not stage.messenger.messages
    (message,) = stage.entry().messages
    assert (message.sent_at, message.attempts) == (None, 0)
    stage.tick(2)
    assert len(stage.messenger.headlines) == 1
    assert [each.thread for each in answers(stage)] == ["1"]


def test_a_worker_that_is_killed_with_the_headline_on_its_way(stage: Stage) -> None:
    """It is found by its reference, and no second one is posted."""
    stage.strike("post", Crash, side="after")
    with pytest.raises(Crash):
        stage.send(85)
    stage.heal()
    stage.tick(2)
    stage.tick(2)
    assert len(stage.messenger.headlines) == 1
    assert len(answers(stage)) == 1
    assert "PARKED NOW" in stage.headline.text


def test_a_headline_whose_answer_was_lost_before_a_long_outage(stage: Stage) -> None:
    """It is looked for since it was first posted, however often that was tried meanwhile."""
    stage.strike("post", lambda: Unavailable("timeout"), side="after")
    stage.send(85)
    stage.messenger.down = True
    for _ in range(30):
        stage.tick()
    stage.messenger.down = False
    stage.tick(60)
    assert len(stage.messenger.headlines) == 1
    assert len(answers(stage)) == 1


def test_a_headline_that_somebody_deleted_is_posted_anew(stage: Stage) -> None:
    """With the next message that answers it; a status alone posts nothing."""
    stage.send(55)
    del stage.messenger.messages["1"]
    stage.clock.sleep(60)
    stage.send(60)
    assert not stage.messenger.headlines
    stage.send(85)
    assert len(stage.messenger.headlines) == 1
    assert answers(stage)[-1].thread == next(ts for ts, each in stage.messenger.messages.items() if each.reference.startswith("thread/"))


def test_a_headline_that_is_deleted_while_a_message_is_on_its_way(stage: Stage) -> None:
    """The message is sent with the next tick, below a new one."""
    stage.send(55)
    stage.meanwhile("post", lambda: stage.messenger.messages.pop("1"))
    stage.send(85)
    assert not stage.messenger.headlines
    stage.tick(2)
    assert len(stage.messenger.headlines) == 1
    assert [each.text.split("\n", 1)[0] for each in answers(stage)][-1] == "ML Training Budget passed 80 %"


def test_a_headline_that_cannot_be_changed_now_is_changed_later(stage: Stage) -> None:
    """The tick sees to it, and the entry stays open for that long."""
    stage.send(55)
    stage.always("edit", lambda: Unavailable("Slack does not answer", retry_after=300.0))
    stage.send(85)
    assert "PARKED NOW" not in stage.headline.text
    assert any(entry.shown_at for entry in stage.open())
    stage.heal()
    stage.tick(6)
    assert "PARKED NOW" in stage.headline.text
    assert not any(entry.shown_at for entry in stage.open())
    assert backoff(1) < timedelta(minutes=5)


def test_a_status_that_cannot_be_shown_does_no_harm(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """It is said in the log, and the next one is shown."""
    stage.send(55)
    stage.clock.sleep(60)
    stage.messenger.down = True
    stage.send(60)
    assert "could not be brought up to date" in caplog.text
    stage.messenger.down = False
    stage.clock.sleep(60)
    stage.send(62)
    assert "62 % spent" in stage.headline.text


def test_snoozed_it_goes_on_in_the_thread_alone(stage: Stage) -> None:
    """Nothing is lost, and the headline says who snoozed it until when."""
    stage.send(85)
    said = stage.press("snooze", f"thread:{NAME}", "4h")
    assert said.startswith("Snoozed until 2026-11-20 16:00 UTC")
    assert f"by ann (Slack {ANN}): this thread has everything, the channel nothing." in stage.headline.text
    assert "wake" in stage.buttons(stage.headline)
    stage.send(101)
    assert not any(each.broadcast for each in answers(stage))
    stage.press("wake", f"thread:{NAME}")
    assert "Snoozed" not in stage.headline.text
    stage.send(125)
    assert answers(stage)[-1].broadcast


def test_a_thread_that_cannot_be_read_loses_no_message(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """The message then stands by itself."""
    stage.bucket.write(f"threads/{NAME}.json", b"{", generation=0)
    stage.send(85)
    assert [each.thread for each in stage.messenger.messages.values()] == [""]
    assert "the message stands by itself" in caplog.text


def test_an_entry_that_cannot_be_read_is_left_out_of_the_headline(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """The rest of it is shown."""
    stage.send(55)
    key = thread(stage).entries[0]
    (name,) = [each for each in stage.bucket.objects if each.endswith(f"{key}.json")]
    stage.bucket.objects[name] = (b"{", *stage.bucket.objects[name][1:])
    stage.send(85)
    assert "the headline is written without it" in caplog.text
    assert "PARKED NOW" in stage.headline.text


def test_a_webhook_has_no_threads(stage: Stage) -> None:
    """Messages stand by themselves, without buttons, and nothing is changed afterwards."""
    stage.messenger.talks_back = False
    stage.send(85)
    stage.send(86)
    (message,) = stage.messenger.messages.values()
    assert (message.thread, message.edits, stage.buttons(message)) == ("", 0, {})


def test_a_journal_that_is_away_delays_the_message(stage: Stage) -> None:
    """It is no outage of Slack's, and so is not counted as one."""
    threads = Threads(stage.watchdog().world, stage.policy, "me")
    stage.send(55)
    (entry,) = stage.closed()
    stage.strike("read", lambda: Unavailable("the bucket is away"))
    with pytest.raises(Conflict, match="not to be had now"):
        threads.place(stage.messenger, entry, NAME, CHANNEL)
    stage.heal()
    assert threads.place(stage.messenger, entry, NAME, CHANNEL) == Posted("C1", "1")
    with pytest.raises(Gone):
        threads.entries("a/b/20260101")
    with pytest.raises(Gone):
        threads.period_start("a/b/20260101")
    with pytest.raises(Gone):
        threads.change("a/b/20260101", lambda thread: thread)
    assert not threads.snoozed("a/b/20260101")
    assert timedelta(seconds=10) < CLAIM


def test_two_that_change_a_thread_at_once(stage: Stage) -> None:
    """Both changes stand; where others write it all the time, it is asked for again."""
    stage.send(55)
    threads = Threads(stage.watchdog().world, stage.policy, "me")
    stage.meanwhile(
        "write", lambda: Threads(stage.watchdog().world, stage.policy, "other").change(NAME, lambda each: each.but(snoozed_by="ben"))
    )
    threads.change(NAME, lambda each: each.with_entry("another"))
    assert ("another" in thread(stage).entries, thread(stage).snoozed_by) == (True, "ben")
    stage.always("write", lambda: Conflict("somebody else"))
    with pytest.raises(Unavailable, match="others write the thread all the time"):
        threads.change(NAME, lambda each: each.with_entry("a third"))


def test_a_headline_that_others_write_all_the_time(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """It is left to them, and the next message brings it up to date."""
    stage.send(55)
    stage.clock.sleep(60)
    threads, posts = Threads(stage.watchdog().world, stage.policy, "me"), iter(range(100))

    def strike(method: str) -> None:
        if method == "write":
            stage.headline.text = f"something else, {next(posts)}"
            raise Conflict("somebody else")

    kept = stage.journal.thread(NAME)
    assert kept
    stage.journal.save_thread(kept, kept.record.but(notice=a_notification(70, stage.clock.now())))
    stage.hooks.before = strike
    threads.refresh(NAME)
    stage.heal()
    assert "is written by others all the time" in caplog.text


def test_a_thread_belongs_to_a_budget(stage: Stage) -> None:
    """A message that belongs to none cannot answer its headline."""
    stage.send(55)
    (entry,) = stage.closed()
    with pytest.raises(TypeError, match="belongs to no budget"):
        Threads(stage.watchdog().world, stage.policy, "me").place(stage.messenger, entry.but(notification=None), "a/b/20261101", CHANNEL)


def test_a_ladder_without_a_wait_is_told_once(stage: Stage) -> None:
    """A step that is reached together with lower ones is told in one answer."""
    stage.policy = a_policy(NOTIFY_50, IDLE_80, STOPPED_100)
    stage.send(120)
    assert len(answers(stage)) == 1


def failing(stage: Stage, error: CloudError, *, channel: str = CHANNEL) -> None:
    """Slack takes no change of the headline in this channel."""
    update = stage.messenger.update

    def change(posted: Posted, text: str, blocks: Sequence[Mapping[str, Any]]) -> None:
        message = stage.messenger.messages[posted.ts]
        if message.channel == channel and message.reference.startswith("thread/"):
            raise error
        update(posted, text, blocks)

    stage.messenger.update = change  # type: ignore[method-assign]


def test_a_headline_in_one_channel_that_cannot_be_changed_keeps_none_of_another_from_it(stage: Stage) -> None:
    """A channel that was archived is tried again now and then, and the others say how it stands."""
    stage.policy = a_policy(IDLE_80, slack='routes: {team: {vision: "#vision-ml"}}')
    stage.service("detector", labels={"env": "staging", "team": "vision"})
    stage.send(85)
    failing(stage, Denied("is_archived"))
    stage.ann().restore_all()
    other = next(each for each in stage.messenger.headlines if each.channel == "#vision-ml")
    assert "Nothing is parked." in other.text
    assert stage.entry().shown_at


def test_a_headline_that_slack_refuses_to_change_keeps_no_entry_open(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """Another app may have posted it; it is said in the log once, and not tried for ever."""
    stage.send(85)
    failing(stage, Refused("cant_update_message"))
    stage.ann().restore_all()
    assert "Slack refuses the headline" in caplog.text
    assert stage.open() == []


def test_a_thread_that_cannot_be_read_keeps_no_entry_open(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """Its headline stays as it is."""
    stage.send(85)
    name = f"threads/{NAME}.json"
    stage.bucket.objects[name] = (b"{", *stage.bucket.objects[name][1:])
    stage.ann().restore_all()
    assert "its headline is left as it is" in caplog.text
    assert stage.open() == []


def test_a_snooze_that_cannot_be_shown_is_one_all_the_same(stage: Stage) -> None:
    """Whoever asked for it is not told that it could not be done."""
    stage.send(85)
    failing(stage, Unavailable("Slack does not answer"))
    assert stage.press("snooze", f"thread:{NAME}", "4h").startswith("Snoozed until 2026-11-20 16:00 UTC")
    assert thread(stage).snoozed(stage.clock.now())


def test_a_headline_whose_blocks_slack_refuses_is_posted_as_plain_text(stage: Stage) -> None:
    """Else nothing that belongs below it would ever arrive."""
    stage.strike("post", lambda: Refused("invalid_blocks"))
    stage.send(85)
    assert stage.headline.blocks == []
    assert "PARKED NOW" in stage.headline.text
    assert len(answers(stage)) == 1


def test_a_slow_worker_does_not_leave_an_old_headline_behind(stage: Stage) -> None:
    """What it wrote after somebody who knew more is put right by itself."""
    stage.send(55)
    stage.clock.sleep(60)
    stage.meanwhile("edit", lambda: stage.send(70, sent_at=stage.clock.now() + timedelta(seconds=1)))
    stage.send(60)
    assert stage.headline.text.startswith("ML Training Budget: 70 % spent")
    stage.always("write", lambda: Conflict("somebody else"))
    Threads(stage.watchdog().world, stage.policy, "me").refresh(NAME)


def test_the_headline_says_when_by_the_clock(stage: Stage) -> None:
    """It may be read long after it was written."""
    stage.send(101)
    assert "TO COME\n• at 100 %: scale to zero, at 2026-11-20 12:30 UTC" in stage.headline.text
    assert "minutes" not in stage.headline.text
