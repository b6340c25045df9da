"""Silence: whose messages are waited for, when the alarm is raised, that it is raised once, and the letters.

``UPDATE_GOLDEN=1`` writes the golden files anew.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.blind import LOOK_EVERY, News, Silence, Voice, Watch, look
from shared.errors import EventRejected, Unavailable
from shared.policy.policy import Policy
from shared.report import blind as report
from shared.report.letter import Letter
from tests.envelopes import ACCOUNT, BUDGET
from tests.stage import NEXT_PERIOD, NOTIFY_50, Crash, Stage, a_notification, a_policy
from tests.unit.test_report import ANY_TEXT, HOSTILE, check_letter, golden

HOUR = timedelta(hours=1)
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
OTHER = "0b3c9a11-5f0e-4a63-9c39-2f5f0f2a6c11"
NAME = "ML Training Budget"
POLICY = a_policy(NOTIFY_50)


def two_rules(*names: str) -> Policy:
    """A policy with a rule for each of these names."""
    (rule,) = POLICY.budgets
    return POLICY.model_copy(update={"budgets": tuple(rule.model_copy(update={"budget": name}) for name in names)})


def voice(hours_ago: float = 0, name: str = NAME, budget: str = BUDGET, at: datetime = NOW) -> Voice:
    """A budget that was heard so long before."""
    return Voice(ACCOUNT, budget, name, at - timedelta(hours=hours_ago))


def watching(hours: float = 100, **more: object) -> Watch:
    """A tick that has looked for so long, and a short while ago for the last time."""
    return Watch(since=NOW - timedelta(hours=hours), looked_at=NOW - LOOK_EVERY).but(**more)


def told(watch: Watch) -> list[tuple[str, list[str]]]:
    """The news: of what sort, and of whom."""
    return [("sees" if news.over else "blind", [silence.name for silence in news.silences]) for news in watch.news]


# whose messages are waited for


@pytest.mark.parametrize(("hours", "alarm"), [(35.99, False), (36, True)])
def test_a_budget_is_silent_when_its_newest_message_was_sent_so_long_ago(hours: float, alarm: bool) -> None:
    """`blind_after` is 36 hours where the policy says nothing else."""
    assert told(look(watching(), POLICY, [voice(hours)], NOW)) == ([("blind", [NAME])] if alarm else [])


def test_each_budget_is_watched_by_itself() -> None:
    """One that still speaks hides no other, and the news say when it spoke."""
    (news,) = look(watching(), POLICY, [voice(40), voice(2, "Serving", OTHER)], NOW).news
    assert [silence.name for silence in news.silences] == [NAME]
    assert news.speaking == NOW - 2 * HOUR


def test_several_that_fall_silent_make_one_message() -> None:
    """The topic was cut off, and with it all budgets."""
    assert told(look(watching(), POLICY, [voice(40), voice(37, "Serving", OTHER)], NOW)) == [("blind", [NAME, "Serving"])]


def test_one_that_follows_later_is_told_beside_those_that_are_known() -> None:
    """What was told is not told again, and is named as what it is."""
    before = look(watching(), POLICY, [voice(40), voice(30, "Serving", OTHER)], NOW).but(news=())
    (news,) = look(before, POLICY, [voice(40), voice(30, "Serving", OTHER)], NOW + 6 * HOUR).news
    assert ([silence.name for silence in news.silences], news.still) == (["Serving"], (NAME,))


@pytest.mark.parametrize("names", [(NAME,), (BUDGET,), ("*",)], ids=["name", "id", "any"])
def test_a_budget_is_watched_by_whatever_rule_means_it(names: tuple[str, ...]) -> None:
    """By its display name, its id or the asterisk."""
    assert told(look(watching(), two_rules(*names), [voice(40)], NOW)) == [("blind", [NAME])]


def test_a_budget_that_the_policy_no_longer_names_is_not_watched() -> None:
    """Nobody waits for it, and taking it out makes an alarm go away without another message."""
    after = look(watching(), POLICY, [voice(40)], NOW).but(news=())
    later = look(after, two_rules("Serving"), [voice(40)], NOW + LOOK_EVERY)
    assert (told(later), later.silent, list(later.awaited)) == ([], {}, ["rule Serving"])


def test_a_budget_of_an_account_that_is_not_allowed_is_not_watched() -> None:
    """No step comes of its messages, so their absence is none either."""
    policy = POLICY.model_copy(update={"allowed_billing_accounts": ("FFFFFF-FFFFFF-FFFFFF",)})
    assert look(watching(), policy, [voice(40)], NOW).silent == {}
    allowed = POLICY.model_copy(update={"allowed_billing_accounts": (ACCOUNT,)})
    assert look(watching(), allowed, [voice(40)], NOW).silent


def test_a_rule_of_which_no_message_ever_came_is_waited_for_since_it_is_there() -> None:
    """A rule that was added, or whose name is misspelt, is told of even though other budgets speak."""
    policy = two_rules(NAME, "Serving")
    watch = look(watching(), policy, [voice(1)], NOW)
    assert watch.awaited == {"rule Serving": NOW}
    watch = look(watch.but(looked_at=NOW + 34 * HOUR), policy, [voice(1, at=NOW + 35 * HOUR)], NOW + 35 * HOUR)
    assert told(watch) == []
    (news,) = look(watch, policy, [voice(1, at=NOW + 36 * HOUR)], NOW + 36 * HOUR).news
    assert news.silences == (Silence(account="", budget="", name="Serving", since=NOW),)


def test_the_asterisk_is_waited_for_only_where_there_is_nothing_else_to_wait_for() -> None:
    """It means any budget that no other rule names, and there need be none."""
    assert look(watching(), POLICY, [], NOW).awaited == {"rule *": NOW}
    assert look(watching(), two_rules(NAME, "*"), [voice(1)], NOW).awaited == {}
    assert look(watching(), two_rules(NAME, "*"), [], NOW).awaited == {f"rule {NAME}": NOW}
    assert look(watching(), POLICY, [voice(1)], NOW).awaited == {}


def test_a_renamed_budget_leaves_its_rule_waiting() -> None:
    """Its messages mean no rule any more, so nothing is done for it, and that is told."""
    watch = look(watching(), two_rules(NAME), [voice(1, "renamed")], NOW)
    later = NOW + 36 * HOUR
    assert told(look(watch.but(looked_at=later - HOUR), two_rules(NAME), [voice(1, "renamed", at=later)], later)) == [("blind", [NAME])]


def test_a_budget_of_which_it_is_not_known_when_it_was_heard_is_waited_for_anew() -> None:
    """A record that was put back by hand may have lost it."""
    unknown = Voice(ACCOUNT, BUDGET, NAME, None)
    watch = look(watching(), POLICY, [unknown], NOW)
    assert watch.awaited == {unknown.key: NOW}
    later = NOW + 36 * HOUR
    assert told(look(watch.but(looked_at=later - HOUR), POLICY, [unknown], later)) == [("blind", [NAME])]


# when it is over


def silent(policy: Policy = POLICY, *voices: Voice) -> Watch:
    """A watch that has told of the silence."""
    return look(watching(), policy, voices or [voice(40)], NOW).but(news=())


def test_a_message_ends_the_silence_and_the_next_silence_is_another_one() -> None:
    """Told once each, with how long it was."""
    watch = look(silent(), POLICY, [voice(0, at=NOW + HOUR)], NOW + HOUR)
    (news,) = watch.news
    assert (news.over, news.silences[0].since, news.silences[0].heard_at) == (True, NOW - 40 * HOUR, NOW + HOUR)
    assert watch.silent == {}
    again = NOW + 37 * HOUR
    assert told(look(watch.but(news=(), looked_at=again - HOUR), POLICY, [voice(36, at=again)], again)) == [("blind", [NAME])]


def test_a_message_that_is_itself_too_old_ends_no_silence() -> None:
    """It shows that something was sent long ago, and not that anything still is."""
    watch = look(silent(), POLICY, [voice(39)], NOW + HOUR)
    assert (told(watch), list(watch.silent)) == ([], [voice().key])


def test_a_longer_blind_after_is_no_message() -> None:
    """The alarm stands until something is heard."""
    patient = POLICY.model_copy(update={"blind_after": timedelta(days=7)})
    watch = look(silent(), patient, [voice(40)], NOW + HOUR)
    assert (told(watch), list(watch.silent)) == ([], [voice().key])


def test_the_first_message_ends_the_waiting_of_its_rule() -> None:
    """The name is then the budget's own."""
    watch = watching(awaited={"rule *": NOW - 50 * HOUR}, silent={"rule *": NOW - 50 * HOUR})
    after = look(watch, POLICY, [voice(1), voice(2, "Serving", OTHER)], NOW)
    assert (told(after), after.silent, after.awaited) == ([("sees", [NAME])], {}, {})


def test_one_may_speak_again_while_another_falls_silent() -> None:
    """Two messages, since they are two matters; the second says that the other still is silent."""
    watch = look(silent(), POLICY, [voice(0, at=NOW + HOUR), voice(36, "Serving", OTHER)], NOW + HOUR)
    assert told(watch) == [("blind", ["Serving"]), ("sees", [NAME])]
    assert (watch.news[0].still, watch.news[1].still) == ((), ("Serving",))


def test_news_that_were_not_told_yet_are_kept() -> None:
    """A worker may have died before it told them."""
    watch = look(watching(), POLICY, [voice(40)], NOW)
    assert told(look(watch, POLICY, [voice(40)], NOW + LOOK_EVERY)) == [("blind", [NAME])]


# the tick and the clock


def test_it_begins_to_count_with_the_first_tick() -> None:
    """A watchdog that was just deployed over an old state bucket waits before it says anything."""
    first = look(None, POLICY, [voice(1000)], NOW)
    assert told(first) == []
    later = NOW + 36 * HOUR
    assert told(look(first.but(looked_at=later - HOUR), POLICY, [voice(1000)], later)) == [("blind", [NAME])]


def test_a_tick_that_was_away_for_days_begins_to_count_anew() -> None:
    """Whatever waits in the subscription is heard first; what was told before stays told."""
    away = watching(looked_at=NOW - 36 * HOUR, silent={voice(0, "Serving", OTHER).key: NOW - 90 * HOUR})
    watch = look(away, POLICY, [voice(80), voice(90, "Serving", OTHER)], NOW)
    assert (told(watch), watch.since, len(watch.silent)) == ([], NOW, 1)
    assert told(look(watching(looked_at=NOW - 35 * HOUR), POLICY, [voice(80)], NOW)) == [("blind", [NAME])]


@pytest.mark.parametrize(("minutes", "due"), [(0, False), (9, False), (10, True), (-1, True)])
def test_it_looks_every_ten_minutes_and_at_once_when_the_clock_was_set_back(minutes: int, due: bool) -> None:
    """Between the looks a tick reads one small object and nothing else."""
    watch = Watch(since=NOW, looked_at=NOW)
    assert watch.due(NOW + timedelta(minutes=minutes), POLICY.blind_after) is due
    assert watch.due(NOW + timedelta(seconds=15), timedelta(minutes=1))


def test_a_clock_that_was_set_forward_and_back_delays_nothing() -> None:
    """What it said in between is later than now, and counts as now."""
    ahead = NOW + 1000 * HOUR
    watch = look(watching(awaited={"rule *": NOW}), POLICY, [], ahead)
    assert (told(watch), watch.since) == ([], ahead)
    back = look(watch.but(awaited={"rule *": ahead}), POLICY, [], NOW)
    assert (told(back), back.since, back.awaited) == ([], NOW, {"rule *": NOW})


# the loop


@pytest.fixture
def stage() -> Stage:
    """A watchdog that ticks, of whose budget one message came."""
    built = Stage(POLICY)
    built.tick()
    built.send(10)
    return built


def wait(stage: Stage, hours: float, *, every: float = 60) -> None:
    """Time passes, with a tick now and then."""
    for _ in range(int(hours * 60 / every)):
        stage.tick(every)


def headings(stage: Stage) -> list[str]:
    """The headings of all that was posted."""
    return [text.split("\n", 1)[0] for text in stage.posts]


BLIND = f"Blind: no message of {NAME} for 36 hours"
SEES = f"Budget messages come again: {NAME}"


def test_the_alarm_is_raised_once_and_its_end_is_told_once(stage: Stage) -> None:
    """However often the tick comes."""
    wait(stage, 35)
    assert stage.posts == []
    wait(stage, 20)
    assert headings(stage) == [BLIND]
    stage.send(11)
    wait(stage, 20)
    assert headings(stage) == [BLIND, SEES]
    wait(stage, 20)
    assert headings(stage) == [BLIND, SEES, BLIND]
    assert stage.open() == []


def test_a_watchdog_that_never_heard_anything_says_so() -> None:
    """The topic was never connected; the first message ends it."""
    stage = Stage(POLICY)
    wait(stage, 40)
    assert headings(stage) == ["Blind: no message of any budget for 36 hours"]
    stage.send(10)
    wait(stage, 2)
    assert headings(stage)[1:] == [SEES]


def test_without_budgets_in_the_policy_nothing_is_waited_for() -> None:
    """It may be there for the artifacts alone."""
    stage = Stage(POLICY.model_copy(update={"budgets": ()}))
    wait(stage, 80)
    assert (stage.posts, dict(stage.bucket.objects)) == ([], {})


def test_a_dry_run_is_alarmed_all_the_same(stage: Stage) -> None:
    """Being blind is no action."""
    stage.policy = a_policy(NOTIFY_50, mode="observe")
    wait(stage, 40)
    assert headings(stage) == [BLIND]


def test_a_budget_that_speaks_is_never_told_of(stage: Stage) -> None:
    """Through the turn of a period, too."""
    for _ in range(20):
        wait(stage, 24)
        stage.send(12, period_start=NEXT_PERIOD if stage.clock.now() > NEXT_PERIOD + HOUR else a_notification().period_start)
    assert stage.posts == []


@pytest.mark.parametrize(
    ("hours", "more"),
    [(8, {}), (0, {"period_start": NEXT_PERIOD - timedelta(days=61)}), (8, {"period_start": NEXT_PERIOD})],
    ids=["stale", "older period", "stale, of the next period"],
)
def test_a_message_that_starts_nothing_is_heard_all_the_same(hours: int, more: dict[str, datetime]) -> None:
    """Any message shows that the way from Google is open; the time of its sending counts."""
    stage = Stage(POLICY)
    stage.clock.instant = NEXT_PERIOD - 10 * HOUR
    stage.tick()
    stage.send(10)
    wait(stage, 20)
    late = a_notification(10, sent_at=stage.clock.now() - hours * HOUR, **more)
    assert stage.watchdog().respond(late)[0].what in ("stale", "older period")
    wait(stage, 35 - hours)
    assert stage.posts == []
    wait(stage, 2)
    assert headings(stage) == [BLIND]


def test_what_comes_again_says_nothing_new(stage: Stage) -> None:
    """A message that is delivered again and again for days does not hide that no other one comes."""
    sent_at = stage.clock.now()
    for _ in range(40):
        stage.tick(60)
        stage.watchdog().respond(a_notification(10, sent_at=sent_at))
        stage.watchdog().respond(a_notification(9, sent_at=sent_at - HOUR, period_start=NEXT_PERIOD - timedelta(days=61)))
    assert headings(stage) == [BLIND]


def test_a_message_from_the_future_counts_as_just_sent(stage: Stage) -> None:
    """Otherwise whoever forges one could hide a silence for years."""
    stage.watchdog().respond(a_notification(10, sent_at=stage.clock.now() + timedelta(days=400)))
    wait(stage, 37)
    assert headings(stage) == [BLIND]


def test_a_foreign_message_is_not_heard() -> None:
    """The rule that is waited for is another one."""
    stage = Stage(a_policy(NOTIFY_50, budget="Serving"))
    stage.tick()
    for _ in range(40):
        with pytest.raises(EventRejected):
            stage.watchdog().respond(a_notification(10, sent_at=stage.clock.now()))
        stage.tick(60)
    assert headings(stage) == ["Blind: no message of Serving for 36 hours"]


def test_a_deleted_budget_is_forgotten_with_its_record(stage: Stage) -> None:
    """Where only the asterisk means it, deleting the object ends the matter without a message; other budgets are watched on."""
    stage.send(10, budget_id=OTHER, budget_name="Serving")
    for _ in range(40):
        stage.tick(60)
        stage.send(10, budget_id=OTHER, budget_name="Serving")
    assert headings(stage) == [BLIND]
    del stage.bucket.objects[f"budgets/{ACCOUNT}/{BUDGET}.json"]
    wait(stage, 20)
    kept = stage.journal.watch()
    assert kept
    assert (kept.record.silent, len(stage.posts)) == ({}, 1)


def test_the_log_has_an_error_with_labels(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """So that an alert can be made of it where nobody reads Slack."""
    caplog.set_level(logging.INFO)
    wait(stage, 37)
    stage.send(10)
    wait(stage, 1)
    found = [
        (record.levelname, labels["alarm"], labels["budget"])
        for record in caplog.records
        if "alarm" in (labels := vars(record).get("labels", {}))
    ]
    assert found == [("ERROR", "blind", NAME), ("INFO", "blind-over", NAME)]


def test_slack_may_be_down_and_nothing_is_lost(stage: Stage) -> None:
    """The alarm is an entry like any other message."""
    stage.messenger.down = True
    wait(stage, 38)
    stage.messenger.down = False
    wait(stage, 2)
    assert headings(stage) == [BLIND]


def test_names_of_any_script_are_read_back_from_the_listing(stage: Stage) -> None:
    """They are kept as metadata, which is ASCII."""
    name = "Бюджет 100% & “más”\n"
    stage.send(10, budget_id=OTHER, budget_name=name)
    assert [each.name for each in stage.journal.voices() if each.budget == OTHER] == [name]
    assert all(value.isascii() for _, _, metadata in stage.bucket.objects.values() for value in metadata.values())


def test_a_record_of_the_looks_that_cannot_be_read_is_told_once_and_left_alone(stage: Stage) -> None:
    """The rest of the tick goes on."""
    stage.bucket.objects["watch.json"] = (b"{}", 1, {})
    wait(stage, 40)
    assert headings(stage) == ["A journal entry cannot be read"]
    assert stage.bucket.objects["watch.json"] == (b"{}", 1, {})


def test_a_bucket_that_does_not_answer_is_asked_again_at_the_next_tick(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """One failed look is no alarm, and no reason to fail."""
    wait(stage, 35)
    stage.clock.sleep(3600)
    stage.strike("read", lambda: Unavailable("no answer", resource="watch.json"))
    stage.watchdog().tick()
    stage.heal()
    assert stage.posts == []
    assert "looked at again at the next tick" in caplog.text
    stage.tick()
    assert headings(stage) == [BLIND]


def on_the_brink(*, over: bool = False) -> Stage:
    """Right before the tick that raises the alarm, or that ends it."""
    stage = Stage(POLICY)
    stage.tick()
    stage.send(10)
    wait(stage, 35)
    if over:
        wait(stage, 2)
        stage.send(11)
    stage.clock.sleep(3600)
    return stage


@pytest.mark.parametrize("over", [False, True], ids=["blind", "sees"])
@pytest.mark.parametrize("side", ["before", "after"])
def test_a_crash_at_any_call_loses_no_alarm_and_doubles_none(side: str, over: bool) -> None:
    """Whichever call of the tick the worker dies at, before or after its work, the ticks after it tell exactly once."""
    expected = [BLIND, SEES] if over else [BLIND]
    for number in count(1):
        stage = on_the_brink(over=over)
        struck = stage.strike("*", Crash, side=side, number=number)
        with suppress(Crash):
            stage.watchdog().tick()
        stage.heal()
        for _ in range(5):
            stage.tick(2)
        assert headings(stage) == expected, (number, struck)
        assert stage.open() == []
        if not struck:
            break
    assert number > 10


@pytest.mark.parametrize("over", [False, True], ids=["blind", "sees"])
def test_two_ticks_at_once_make_one_message(over: bool) -> None:
    """Whichever call of one of them the other runs through at."""
    expected = [BLIND, SEES] if over else [BLIND]
    for number in count(1):
        stage = on_the_brink(over=over)
        calls, ran = count(1), list[str]()

        def other(method: str, stage: Stage = stage, calls: count[int] = calls, ran: list[str] = ran, number: int = number) -> None:
            if not ran and next(calls) == number:
                ran.append(method)
                stage.clock.sleep(1)
                stage.watchdog().tick()

        stage.hooks.before = other
        stage.watchdog().tick()
        stage.heal()
        for _ in range(3):
            stage.tick(2)
        assert headings(stage) == expected, (number, ran)
        if not ran:
            break
    assert number > 10


def test_a_tick_between_the_looks_costs_one_read(stage: Stage) -> None:
    """And one listing for the agenda, as before."""
    calls: list[str] = []
    stage.tick(11)
    stage.hooks.before = calls.append
    stage.tick(1)
    assert calls == ["list", "read"]
    calls.clear()
    stage.tick(10)
    assert calls == ["list", "read", "list", "write"]


# the letters


def silence(name: str = NAME, hours: float = 36, **more: object) -> Silence:
    """A budget that is silent."""
    return Silence(account=ACCOUNT, budget=BUDGET, name=name, since=NOW - timedelta(hours=hours)).but(**more)


def news(*silences: Silence, over: bool = False, **more: object) -> News:
    """News of these."""
    return News(key="notice-blind", over=over, silences=silences).but(**more)


def blind_one() -> Letter:
    """One budget while another still speaks."""
    return report.blind(news(silence(), speaking=NOW - 2 * HOUR), "acme-ml-watchdog", NOW)


def blind_all() -> Letter:
    """All of them, one for long, one never heard, and one that people know of."""
    silences = (silence(), silence("", 100), Silence(account="", budget="", name="Serving", since=NOW - 40 * HOUR))
    return report.blind(news(*silences, still=("Research",)), "acme-ml-watchdog", NOW)


def blind_never() -> Letter:
    """No message ever came."""
    return report.blind(news(Silence(account="", budget="", name="*", since=NOW - timedelta(minutes=90))), "acme-ml-watchdog", NOW)


def blind_over() -> Letter:
    """One speaks again, and another is still silent."""
    return report.sees(news(silence(hours=41, heard_at=NOW - HOUR), over=True, still=("Serving",)), NOW)


def blind_over_several() -> Letter:
    """All speak again."""
    heard = (silence(hours=41, heard_at=NOW - HOUR), silence("Serving", 40, budget=OTHER, heard_at=NOW))
    return report.sees(news(*heard, over=True), NOW)


@pytest.mark.parametrize("scene", [blind_one, blind_all, blind_never, blind_over, blind_over_several], ids=lambda scene: scene.__name__)
def test_a_letter_is_as_its_golden_file_says(scene: Callable[[], Letter]) -> None:
    """Each keeps its words, and Slack accepts it."""
    letter = scene()
    check_letter(letter)
    golden(f"letter_{scene.__name__}.json", json.dumps(letter.blocks, indent=1, ensure_ascii=False) + "\n")
    golden(f"letter_{scene.__name__}.txt", letter.text + "\n")


SILENCES = st.builds(
    silence, ANY_TEXT | st.just(HOSTILE), st.integers(0, 10**4), account=st.sampled_from(["", ACCOUNT, "A"]) | ANY_TEXT, budget=ANY_TEXT, heard_at=st.none() | st.just(NOW)
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(st.lists(SILENCES, min_size=1, max_size=40), st.lists(ANY_TEXT, max_size=40), st.booleans())
def test_every_letter_keeps_slacks_limits_and_lets_nothing_be_injected(silences: list[Silence], still: list[str], speaking: bool) -> None:
    """Whatever the budgets are called, and however many there are."""
    told = news(*silences, still=tuple(still), speaking=NOW if speaking else None)
    check_letter(report.blind(told, "acme-ml-watchdog", NOW))
    check_letter(report.sees(told, NOW))
