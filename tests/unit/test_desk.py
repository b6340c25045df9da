"""What people ask for in Slack is done once, by those who may, and answered to whoever asked."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.burn import month_end
from shared.errors import Conflict, Denied, Refused, Unavailable
from shared.slack.conversation import REMEMBERED, TOO_LATE, Delivery, Outage, thread_name
from shared.slack.desk import ANSWERABLE, GIVE_UP, SPARE
from tests.doubles import scaling
from tests.envelopes import PERIOD
from tests.stage import ANN, BEN, CHANNEL, HERE, IDLE_80, NOTIFY_50, STOPPED, Crash, Stage, a_notification, a_policy, full_name
from tests.yard import Yard, the_policy

WAIT_100 = f"{{at: 100%, wait: 30m, do: [{STOPPED}]}}"
APPROVE_120 = f"{{at: 120%, approve: true, do: [{STOPPED}]}}"
LADDER = (NOTIFY_50, IDLE_80, WAIT_100, APPROVE_120)
THREAD = f"thread:{thread_name(a_notification())}"
TRAINER, NOTEBOOK = full_name("trainer"), full_name("notebook")


@pytest.fixture
def stage() -> Stage:
    """Two services, and a ladder."""
    stage = Stage(a_policy(*LADDER))
    for name in ("trainer", "notebook"):
        stage.service(name)
    return stage


def about(stage: Stage) -> str:
    """What a button below the newest plan is about."""
    return f"entry:{max(stage.open(), key=lambda entry: (entry.created, entry.key)).key}"


def idle(stage: Stage) -> list[str]:
    """The services that keep no instance warm."""
    return [name.rsplit("/", 1)[-1] for name, state in stage.states().items() if state == scaling()]


# pressing


def test_yes_carries_the_steps_out(stage: Stage) -> None:
    """Once, whoever presses again."""
    stage.policy = a_policy(APPROVE_120)
    stage.send(125)
    assert stage.written() == []
    assert stage.press("approve", about(stage)) == "Approved. It is done as far as it goes now."
    assert sorted(stage.written()) == ["notebook", "trainer"]
    stage.press("approve", about(stage), user=BEN)
    assert len(stage.written()) == 2


def test_no_calls_them_off(stage: Stage) -> None:
    """They do not come again in this period."""
    stage.policy = a_policy(WAIT_100)
    stage.send(105)
    assert stage.press("cancel", about(stage)) == "Called off. It is done, and nothing of it is left to do."
    stage.tick(40)
    stage.send(110)
    assert stage.written() == []


def test_whoever_decides_too_late_is_told_how_it_was_decided(stage: Stage) -> None:
    """And not that it was done as they said."""
    stage.policy = a_policy(APPROVE_120)
    stage.send(125)
    where = about(stage)
    stage.press("cancel", where, user=BEN, user_name="ben")
    assert stage.press("approve", where).endswith(f"has nothing to approve any more: called off by ben (Slack {BEN})")
    stage.policy = a_policy(WAIT_100)
    stage.send(105)
    where = about(stage)
    stage.tick(31)
    assert stage.press("cancel", where).endswith("has nothing to call off any more: carried out")
    assert len(stage.written()) == 2


def test_all_or_one_is_put_back(stage: Stage) -> None:
    """From the plan's message, or from the headline."""
    stage.send(85)
    assert idle(stage) == ["trainer", "notebook"]
    option = stage.buttons(stage.headline)["restore_one"]["options"][1]["value"]
    assert stage.press("restore_one", THREAD, option).startswith("`trainer` is to be put back. ")
    assert idle(stage) == ["notebook"]
    assert stage.press("restore_one", about(stage), option) == "Nothing was done: that is not parked any more."
    assert stage.press("restore", THREAD).startswith("1 resource to be put back. ")
    assert idle(stage) == []
    assert stage.press("restore", THREAD) == "Nothing was done: nothing of it is parked any more."


def test_the_headline_puts_back_what_two_plans_parked(stage: Stage) -> None:
    """Exactly what was there before the first of them."""
    before = stage.states()
    stage.policy = a_policy(IDLE_80, f"{{at: 100%, do: [{STOPPED}]}}")
    stage.send(85)
    stage.send(105)
    assert stage.press("restore", THREAD) == "2 resources to be put back. It is done, and nothing of it is left to do."
    assert stage.states() == before


def test_what_is_being_put_back_already(stage: Stage) -> None:
    """It is offered no more, and whoever asks again is told how it stands."""
    stage.send(85)
    stage.always("update", lambda: Denied("run.services.update is missing"))
    stage.press("restore", THREAD)
    assert "PARKED NOW: 2 services" in stage.headline.text
    assert not {"restore", "restore_one"} & set(stage.buttons(stage.headline))
    assert stage.press("restore", THREAD) == "It is being put back already; what is left of it goes on by itself."


def test_a_hold_puts_back_and_keeps_it_from_being_parked(stage: Stage) -> None:
    """For the hours that were chosen; then the next step may."""
    stage.send(85)
    said = stage.press("hold", about(stage), "4h")
    assert said.startswith("Held until 2026-11-20 16:00 UTC at least: `notebook`, `trainer`. ")
    assert idle(stage) == []
    stage.policy = a_policy(IDLE_80, f"{{at: 100%, do: [{STOPPED}]}}")
    stage.send(105)
    assert len(stage.written()) == 4
    holds = stage.journal.holds().record
    assert holds.by == {TRAINER: f"ann (Slack {ANN})", NOTEBOOK: f"ann (Slack {ANN})"}


def test_a_hold_of_what_is_to_come_names_what_it_would_touch(stage: Stage) -> None:
    """Nothing is parked yet, so it is looked for."""
    stage.policy = a_policy(WAIT_100)
    stage.send(105)
    said = stage.press("hold", about(stage), "period")
    end = month_end(PERIOD)
    assert end
    assert said == f"Held until {end:%Y-%m-%d %H:%M} UTC at least: `notebook`, `trainer`."
    stage.tick(40)
    assert stage.written() == []


def test_a_hold_shortens_no_longer_one(stage: Stage) -> None:
    """Whoever held it for a week meant a week."""
    stage.send(85)
    week = stage.clock.now() + timedelta(days=7)
    stage.ann().hold(TRAINER, week)
    stage.press("hold", about(stage), "4h", user=BEN, user_name="ben")
    holds = stage.journal.holds().record
    assert holds.until == {TRAINER: week, NOTEBOOK: stage.clock.now() + timedelta(hours=4)}
    assert holds.by[TRAINER] == "ann"


def test_a_hold_with_nothing_to_hold(stage: Stage) -> None:
    """It says so."""
    stage.policy = a_policy("{at: 50%, approve: true, do: [notify]}")
    stage.send(85)
    assert stage.press("hold", about(stage), "4h") == "Nothing was done: there is nothing that it would touch now."


def test_many_names_are_counted(stage: Stage) -> None:
    """The first ten stand there."""
    for number in range(12):
        stage.service(f"a-{number:02}")
    stage.send(85)
    assert "and 4 more. " in stage.press("hold", about(stage), "24h")


@pytest.mark.parametrize("value", ["", "9000h", "<!channel>"])
def test_a_time_that_there_is_not(stage: Stage, value: str) -> None:
    """A button of another version, or of nobody's."""
    stage.send(85)
    assert stage.press("hold", about(stage), value) == "Nothing was done: that is no time which this watchdog knows."
    assert stage.press("snooze", THREAD, value) == "Nothing was done: that is no time which this watchdog knows."
    assert len(stage.written()) == 2


def test_a_period_whose_end_is_past(stage: Stage) -> None:
    """Then it is no time to wait for."""
    stage.send(85)
    stage.clock.sleep(30 * 86400)
    assert "when this budget's period ends is not known" in stage.press("snooze", THREAD, "period")


def test_the_plan_is_shown_to_anybody(stage: Stage) -> None:
    """In a block that nothing in it can end, and it changes nothing."""
    stage.policy = a_policy(*LADDER, slack=f"approvers: [{BEN}]")
    stage.send(85)
    for where in (about(stage), THREAD):
        said = stage.press("show", where)
        assert said.startswith("```\nML Training Budget\n")
        assert said.endswith("```")
        assert "trainer: 2 kept warm → none kept warm" in said
    assert len(stage.written()) == 2


def test_the_plan_of_a_run_is_shown() -> None:
    """As a terminal shows it."""
    yard = Yard(the_policy())
    yard.announced()
    assert "Run run-1 failed: " in yard.press("show", f"entry:{yard.key()}")
    assert yard.press("hold", f"entry:{yard.key()}", "4h") == "That button does not belong to this message."


def test_a_thread_without_a_plan(stage: Stage) -> None:
    """There is nothing to show."""
    stage.send(55)
    name = thread_name(a_notification())
    kept = stage.journal.thread(name)
    assert kept
    stage.journal.save_thread(kept, kept.record.but(entries=()))
    assert stage.press("show", THREAD) == "There is no plan yet."


@pytest.mark.parametrize(
    ("what", "where", "said"),
    [
        ("approve", "entry:budget-that-is-not", "Nothing was done: the journal has no entry 'budget-that-is-not'"),
        (
            "restore",
            "thread:A-B/none/20261101",
            "Nothing was done: A-B/none/20261101: there is no such thread",
        ),
        ("snooze", "thread:A-B/none/20261101", "Nothing was done: A-B/none/20261101: there is no such thread"),
        ("show", "thread:A-B/none/20261101", "Nothing was done: A-B/none/20261101: there is no such thread"),
        ("explode", "entry:x", "This watchdog does not know that button"),
        ("approve", THREAD, "That button does not belong to this message."),
        ("snooze", "entry:notice-1", "Nothing was done: the journal has no entry"),
    ],
)
def test_what_there_is_not(stage: Stage, what: str, where: str, said: str) -> None:
    """An old message, or one that was made up: a polite answer, and nothing changes."""
    stage.send(85)
    assert stage.press(what, where, "4h").startswith(said)
    assert len(stage.written()) == 2


def test_a_button_on_the_wrong_message(stage: Stage) -> None:
    """An entry has no snooze."""
    stage.send(85)
    assert stage.press("snooze", about(stage), "4h") == "That button does not belong to this message."


# who may


def test_only_those_whom_the_policy_names(stage: Stage) -> None:
    """Others get a polite answer, and nobody else hears of it."""
    stage.policy = a_policy(*LADDER, slack=f"approvers: [{BEN}]")
    stage.send(85)
    for what in ("restore", "hold", "cancel", "approve", "restore_one"):
        assert stage.press(what, about(stage), "4h") == "Nothing was done: that is for those whom `slack.approvers` names in the policy."
    assert stage.press("snooze", THREAD, "4h").startswith("Nothing was done: ")
    assert stage.command("restore all").startswith("Nothing was done: ")
    assert len(stage.written()) == 2
    assert stage.press("restore", about(stage), user=BEN, user_name="ben").startswith("It is to be put back. ")
    assert len(stage.written()) == 4


def test_user_groups_are_asked_for_their_members(stage: Stage) -> None:
    """And where that cannot be seen, nobody is taken to be one, with the scope that is missing."""
    stage.policy = a_policy(*LADDER, slack="approvers: [S0614TZR7, SUNKNOWN1]")
    stage.messenger.groups["S0614TZR7"] = frozenset({BEN})
    stage.send(85)
    said = stage.press("restore", about(stage))
    assert said == (
        "Nothing was done: that is for those whom `slack.approvers` names in the policy. "
        "Who is in `SUNKNOWN1` could not be seen; is the scope `usergroups:read` given to the app?"
    )
    assert stage.press("restore", about(stage), user=BEN).startswith("It is to be put back. ")


def test_anyone_in_the_channel_where_nobody_is_named(stage: Stage) -> None:
    """A command that changes something is typed where others see what comes of it; one that only asks, anywhere."""
    stage.send(85)
    assert "in a channel that the watchdog writes to" in stage.command("restore all", channel="C9", channel_name="random")
    assert len(stage.written()) == 2
    assert stage.command("status", channel="C9", channel_name="random").startswith("Cost Watchdog, ")
    assert stage.command("restore all").startswith("Everything is to be put back, and what was to come is called off. ")
    assert len(stage.written()) == 4


# typing


def test_help_and_what_is_not_understood(stage: Stage) -> None:
    """Help comes with the sentence that says what was wrong."""
    assert stage.command("").startswith("*/cost-watchdog* and one of these:")
    assert stage.command("frobnicate").startswith("There is no `frobnicate`.\n*/cost-watchdog* and one of these:")


def test_plan_and_audit(stage: Stage) -> None:
    """Both change nothing."""
    assert stage.command("plan 80% My Budget") == "```\n0.8 of My Budget\n```"
    assert stage.command("audit") == "GREEN: nothing to mend"


def test_restore_by_name_by_key_and_all(stage: Stage) -> None:
    """Whatever it is that somebody names."""
    stage.send(85)
    assert stage.command("restore all", channel_name="ml-cost").startswith("Everything")
    assert stage.command("restore all") == "Nothing is parked."
    stage.policy = a_policy(f"{{at: 100%, do: [{STOPPED}]}}")
    stage.send(105)
    assert stage.command("restore trainer").startswith("`trainer` is to be put back. ")
    key = about(stage).removeprefix("entry:")
    assert stage.command(f"restore {key}").startswith(f"`{key}` is to be put back. ")
    assert stage.command("restore a/b").startswith("Nothing was done: nothing called 'a/b' is parked")
    assert stage.command("restore nothing").startswith("Nothing was done: the journal has no entry 'nothing'")


def test_hold_by_name(stage: Stage) -> None:
    """With a word where nothing of that name is seen, and where it is parked already."""
    stage.send(85)
    assert stage.command("hold trainer 4h") == (
        "`trainer` is not touched until 2026-11-20 16:00 UTC. It is parked now; `/cost-watchdog restore trainer` puts it back."
    )
    assert "Nothing of this name is seen" in stage.command("hold trianer 4h")
    assert stage.command("hold trainer end") == "`trainer` is no longer held."


def test_status_says_how_everything_stands(stage: Stage) -> None:
    """What is spent, parked, to come and held."""
    assert "No budget has sent a message yet." in stage.command("status")
    stage.send(85)
    stage.send(125)
    stage.ann().hold("notebook", stage.clock.now() + timedelta(hours=1))
    said = stage.command("status")
    assert "BUDGETS (1)\n• `ML Training Budget` · `████████████` 125 % · $125.00 of $100.00" in said
    assert "PARKED (2), about $" in said
    assert f"• `trainer` · {HERE} · 2 kept warm → none kept warm" in said
    assert "TO COME, OR WAITING FOR SOMEBODY (2)" in said
    assert "at 120 %: scale to zero waits for approval" in said
    assert "HELD (1)\n• `notebook` until 2026-11-20 13:00 UTC by ann" in said


def test_status_names_runs_outages_and_what_cannot_be_read() -> None:
    """What a person would want to know first."""
    yard = Yard(the_policy())
    yard.announced()
    yard.bucket.write("entries/budget-x.json", b"{", generation=0)
    yard.messenger.channels = frozenset({"#other"})
    yard.run("run-2")
    yard.fail("run-2")
    yard.tick()
    yard.messenger.channels = frozenset()
    said = yard.command("status")
    assert "• Run run-1: waiting until " in said
    assert f"NOT DELIVERED\n`{CHANNEL}` since 2026-11-20 12:0" in said
    assert "1 entry of the journal cannot be read." in said


def test_status_does_not_name_what_is_mended(stage: Stage) -> None:
    """Messages arrive there again, and what was kept is on its way."""
    since = stage.clock.now()
    outage = Outage(since=since, reason="token_revoked", lasting=True, attempts=1, next_at=since)
    stage.journal.save_delivery(None, Delivery(outages={CHANNEL: outage.but(mended_at=since), "#other": outage}))
    said = stage.command("status")
    assert "NOT DELIVERED\n`#other` since 2026-11-20 12:00 UTC" in said
    assert CHANNEL not in said


# once, and answered


def test_a_request_is_done_once_however_often_it_is_asked_for(stage: Stage) -> None:
    """The tasks topic delivers at least once, and the tick looks too."""
    stage.send(85)
    request = stage.ask(kind="press", what="restore", about=about(stage))
    stage.desk().answer(request.key)
    stage.desk().answer(request.key)
    stage.desk().sweep()
    stage.desk().answer("request-that-is-not")
    assert len(stage.messenger.answers) == 1
    kept = stage.journal.request(request.key)
    assert kept
    assert (kept.record.state, kept.record.address) == ("answered", "")


def test_the_tick_does_what_the_topic_lost_and_forgets_what_cannot_come_again(stage: Stage) -> None:
    """A signature counts for five minutes, and is remembered for longer."""
    stage.send(85)
    request = stage.ask(kind="press", what="restore", about=about(stage))
    stage.desk().sweep()
    assert len(stage.messenger.answers) == 1
    stage.clock.sleep(REMEMBERED.total_seconds() - 1)
    stage.desk().sweep()
    assert stage.journal.request(request.key)
    stage.clock.sleep(1)
    stage.desk().sweep()
    assert stage.journal.request(request.key) is None
    stage.journal.forget_request(request.key)


def test_two_workers_at_one_request(stage: Stage) -> None:
    """One does it, and the other leaves it alone; what a killed one had begun is done again once it must be over, and finds it done."""
    stage.send(85)
    request = stage.ask(kind="press", what="restore", about=about(stage))
    stage.strike("update", Crash)
    with pytest.raises(Crash):
        stage.desk().answer(request.key)
    stage.heal()
    stage.desk().answer(request.key)
    assert stage.messenger.answers == []
    stage.clock.sleep((stage.watchdog().time_budget + SPARE).total_seconds())
    stage.desk().answer(request.key)
    assert len(stage.messenger.answers) == 1
    assert idle(stage) == []
    stage.ask(kind="command", what="status")
    stage.meanwhile("write", lambda: stage.desk().sweep())
    stage.desk().sweep()
    assert len(stage.messenger.answers) == 2


def test_what_takes_long_is_not_begun_again_by_each_tick(stage: Stage) -> None:
    """Each would take it out of the hands of the one before, and nobody would ever be answered."""
    request = stage.ask(kind="command", what="audit")
    desk, asked = stage.desk(), []

    def audit() -> str:
        asked.append("audit")
        if len(asked) < 4:
            stage.clock.sleep(90)
            other = stage.desk()
            object.__setattr__(other, "audit", audit)
            other.sweep()
        return "GREEN"

    object.__setattr__(desk, "audit", audit)
    desk.answer(request.key)
    assert (asked, [text for _, text in stage.messenger.answers]) == (["audit"], ["GREEN"])


def test_a_tick_while_somebody_is_being_told(stage: Stage) -> None:
    """They are told once."""
    request = stage.ask(kind="command", what="status")
    stage.meanwhile("answer", lambda: stage.desk().sweep())
    stage.desk().answer(request.key)
    assert len(stage.messenger.answers) == 1


def test_what_comes_too_late_is_not_done(stage: Stage) -> None:
    """Whoever pressed it an hour ago does not expect it now."""
    stage.send(85)
    request = stage.ask(kind="press", what="restore", about=about(stage))
    stage.clock.sleep(TOO_LATE.total_seconds() + 1)
    stage.desk().sweep()
    assert len(stage.written()) == 2
    assert stage.messenger.answers == []
    assert stage.messenger.whispers == [
        ("C1", ANN, "Nothing was done, since that was asked too long ago. Ask again if it is still wanted.")
    ]
    assert request.by == f"ann (Slack {ANN})"


def test_an_address_that_takes_nothing_any_more(stage: Stage) -> None:
    """Then it is said in the channel, to that person alone."""
    stage.send(85)
    stage.messenger.closed.add("https://hooks.slack.com/actions/1")
    request = stage.ask(kind="press", what="show", about=about(stage), address="https://hooks.slack.com/actions/1")
    stage.desk().answer(request.key)
    ((channel, user, text),) = stage.messenger.whispers
    assert (channel, user, text.startswith("```")) == ("C1", ANN, True)


def test_an_answer_that_slack_does_not_take_now_is_told_later(stage: Stage) -> None:
    """It was done, and is not done again; after a day nobody waits for it."""
    stage.send(85)
    request = stage.ask(kind="press", what="restore", about=about(stage))
    stage.always("answer", lambda: Unavailable("Slack does not answer", retry_after=120.0))
    stage.desk().answer(request.key)
    kept = stage.journal.request(request.key)
    assert kept
    assert (kept.record.state, kept.record.not_before) == ("done", stage.clock.now() + timedelta(seconds=120))
    stage.heal()
    stage.desk().sweep()
    assert stage.messenger.answers == []
    stage.clock.sleep(120)
    stage.desk().sweep()
    assert len(stage.messenger.answers) == 1
    assert len(stage.written()) == 4

    request = stage.ask(kind="command", what="status")
    stage.messenger.down = True
    stage.desk().answer(request.key)
    stage.messenger.down = False
    stage.clock.sleep(GIVE_UP.total_seconds() + 1)
    stage.desk().sweep()
    kept = stage.journal.request(request.key)
    assert kept
    assert (kept.record.state, stage.messenger.whispers) == ("answered", [])
    assert GIVE_UP > ANSWERABLE


def test_an_answer_that_cannot_be_told_at_all(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """It is said in the log."""
    stage.messenger.closed.add("x")
    stage.always("whisper", lambda: Denied("not_in_channel"))
    request = stage.ask(kind="command", what="status", address="x")
    stage.desk().answer(request.key)
    assert f"request {request.key} cannot be answered: not_in_channel" in caplog.text


def test_without_slack_nothing_can_be_told(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """A token that was taken away meanwhile."""
    stage.policy = a_policy(*LADDER, slack="approvers: [S0614TZR7]")
    stage.send(85)
    request = stage.ask(kind="press", what="restore", about=about(stage))
    desk = stage.desk()
    world = desk.watchdog.world
    object.__setattr__(world, "messenger", None)
    desk.answer(request.key)
    assert "Slack is not set up: set SLACK_BOT_TOKEN" in caplog.text
    assert len(stage.written()) == 2


def test_what_cannot_be_done_is_said(stage: Stage) -> None:
    """With the reason, and without anything in it that Slack would take for a mention."""
    stage.send(85)
    where = about(stage)
    desk = stage.desk()
    request = stage.ask(kind="press", what="restore", about=where)
    calls = {"write": 0}

    def strike(method: str) -> None:
        calls[method] = calls.get(method, 0) + 1
        if method == "write" and 1 < calls["write"] < 22:
            raise Conflict("somebody <!channel> else")

    stage.hooks.before = strike
    desk.answer(request.key)
    stage.heal()
    ((_, request_answer),) = stage.messenger.answers
    assert request_answer.startswith("That could not be done: ")
    assert "others write the entry all the time" in request_answer


def test_nothing_that_fails_keeps_the_others_waiting(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """A request that cannot be read, one at which the journal fails, and a fault of our own."""
    stage.bucket.write("requests/broken.json", b"{", generation=0, metadata={"due": "2026-01-01T00:00:00+00:00", "open": "yes"})
    stage.ask(kind="command", what="audit")
    desk = stage.desk()
    object.__setattr__(desk, "audit", lambda: 1 / 0)
    desk.sweep()
    assert "because of a fault in the watchdog" in caplog.text
    assert "requests/broken.json" in caplog.text
    stage.ask(kind="command", what="status")
    stage.strike("read", lambda: Unavailable("503"), number=2)
    stage.desk().sweep()
    assert "could not be answered, and is at the next tick" in caplog.text
    stage.heal()
    stage.always("list", lambda: Refused("400"))
    stage.desk().sweep()
    assert "could not be looked at" in caplog.text
