"""Headlines, buttons and answers as people get them: each against its golden file, and all of them against Slack's limits and hostile names.

``UPDATE_GOLDEN=1`` writes the golden files anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from shared import report
from shared.brake import Stop
from shared.entry import Drift, Entry, MessageRecord, TargetRecord, Undo
from shared.journal import BudgetState, Holds, SeriesPoint
from shared.report import jobs as report_jobs
from shared.report.headline import headline
from shared.report.letter import Letter
from shared.report.status import status
from shared.slack import panel
from shared.slack.command import HELP
from shared.slack.conversation import Outage, Thread, thread_name
from shared.slack.text import TEXT, size, verbatim
from tests.unit import test_report_jobs as runs
from tests.unit.test_report import (
    ENTRIES,
    HOSTILE,
    IDLE,
    KEY,
    NOTIFY,
    NOW,
    STEADY,
    STOP,
    check_letter,
    entry,
    golden,
    notification,
    pool,
    state,
    step,
    target,
    told,
)

SINCE = NOW - timedelta(days=9)
ANN = "ann (Slack U012AB3CD)"


def thread(**changes: Any) -> Thread:
    """The thread of a budget at 82 percent."""
    fields: dict[str, Any] = {"name": thread_name(notification()), "notice": notification(), "burn": STEADY, "entries": (KEY,)}
    return Thread(**{**fields, **changes})


def parked(name: str, **changes: Any) -> TargetRecord:
    """A service that has been parked for nine days."""
    return target(name, parked_at=SINCE, **changes)


PLAN = entry(parked("trainer"), parked("notebook", minimum=1), pool("batch", parked_at=SINCE))


def headline_parked() -> Letter:
    """What is parked, and what that saved; what was put back earlier saved as well, and counts for its time."""
    back = parked("demo", status="restored", back_at=SINCE + timedelta(days=3))
    return headline(thread(), [PLAN.with_targets([back])], channel=None, now=NOW)


def headline_quiet() -> Letter:
    """A step that only told."""
    return headline(thread(burn=None), [entry(steps=(step("0.5", "planned", NOTIFY),))], channel=None, now=NOW)


def headline_to_come() -> Letter:
    """A step that waits for its time, one that waits for a person, and one that a limit refused."""
    steps = (step("1", "waiting", STOP, opens_at=NOW + timedelta(minutes=30)), step("1.1", "refused", STOP), step("1.2", "approval", STOP))
    return headline(thread(), [PLAN, entry(key="budget-2", steps=(*steps, step("1.3", "waiting", STOP)))], channel=None, now=NOW)


def headline_snoozed() -> Letter:
    """Until when, and by whom."""
    return headline(thread(snoozed_until=NOW + timedelta(hours=4), snoozed_by=ANN), [PLAN], channel=None, now=NOW)


def headline_of_a_team() -> Letter:
    """What is its own, in its own channel."""
    own = parked("detector", channel="#vision-ml")
    return headline(thread(), [PLAN.with_targets([own])], channel="#vision-ml", now=NOW)


def headline_dry_run() -> Letter:
    """Nothing was changed."""
    rehearsed = target("trainer", status="rehearsed", wrote=None)
    return headline(thread(), [entry(rehearsed, mode="observe")], channel=None, now=NOW)


def headline_zero_budget() -> Letter:
    """There is no share of it."""
    return headline(thread(notice=notification(amount=Decimal(0), actual_threshold=None), burn=None), [], channel=None, now=NOW)


def headline_many() -> Letter:
    """More than anybody reads, in a taken-over state, and some that came back."""
    drift = Drift(by="alex", state=state(2), seen_at=SINCE + timedelta(days=1))
    many = [parked(f"service-{number:03}") for number in range(150)]
    over = entry(*(parked(f"service-{number:03}", rank=1, use=STOP) for number in range(10)), key="budget-2")
    return headline(thread(), [entry(*many, parked("back-again", drift=drift)), over], channel=None, now=NOW)


def headline_hostile() -> Letter:
    """Names that would call somebody."""
    notice = notification(budget_name=HOSTILE * 40)
    return headline(
        thread(notice=notice, snoozed_until=NOW + timedelta(hours=1), snoozed_by=HOSTILE), [entry(parked(HOSTILE))], channel=None, now=NOW
    )


def with_buttons(plan: Entry, letter: Letter, **changes: Any) -> Letter:
    """A letter as it is posted."""
    message = MessageRecord(
        id=f"{plan.key}/1", channel="#ml-cost", text=letter.text, blocks=letter.blocks, created=NOW, **({"panel": "whole"} | changes)
    )
    return Letter(letter.text, (*letter.blocks, *panel.of_entry(plan.but(messages=(message,)), message, NOW)))


def buttons_done() -> Letter:
    """What was parked can be put back or held."""
    return with_buttons(PLAN, told(PLAN))


def buttons_warning() -> Letter:
    """What is to come can be called off."""
    plan = entry(steps=(step("1", "waiting", STOP, opens_at=NOW + timedelta(minutes=30)),))
    return with_buttons(plan, report.reached(plan, carried_out=(), preview=(target("trainer", step="actual-1"),), now=NOW))


def buttons_question() -> Letter:
    """What waits for a yes."""
    plan = entry(steps=(step("1.2", "approval", STOP),))
    return with_buttons(plan, report.reached(plan, carried_out=(), preview=(target("trainer", step="actual-1.2"),), now=NOW))


def buttons_decided() -> Letter:
    """What somebody said yes to."""
    plan = entry(target("trainer"), steps=(step("1.2", "planned", STOP, decided_by=ANN, decided_at=NOW),))
    return with_buttons(plan, told(plan))


def buttons_put_back() -> Letter:
    """What somebody had put back."""
    plan = entry(target("trainer", status="restored"), undo=Undo(by=ANN, at=NOW))
    return with_buttons(plan, report.restored(plan, targets=plan.targets, by=ANN, now=NOW))


def buttons_of_a_team() -> Letter:
    """What is its own."""
    plan = entry(target("detector", channel="#vision-ml"), target("trainer"))
    letter = report.reached(plan, carried_out=plan.targets[:1], now=NOW)
    message = MessageRecord(id=f"{plan.key}/1", channel="#vision-ml", text=letter.text, blocks=letter.blocks, created=NOW, panel="part")
    return Letter(letter.text, (*letter.blocks, *panel.of_entry(plan.but(messages=(message,)), message, NOW)))


def buttons_run_announced() -> Letter:
    """A deletion can be called off."""
    plan = runs.job_waits()
    return with_buttons(plan, report_jobs.announced(plan, runs.NOW))


def buttons_run_deleted() -> Letter:
    """And undone."""
    plan = runs.done(portions=(runs.portion(begun=True),))
    return with_buttons(plan, report_jobs.finished(plan, runs.NOW))


def buttons_run_refused() -> Letter:
    """Or approved although a limit refused it."""
    plan = runs.job_is_refused()
    return with_buttons(plan, report_jobs.refused(plan, runs.NOW))


def elsewhere() -> Letter:
    """The rest is told to its own teams."""
    return report.reached(PLAN, carried_out=PLAN.targets, elsewhere={"#vision-ml": 3, "#speech": 1}, now=NOW)


def late() -> Letter:
    """What was kept while Slack could not be reached."""
    outage = Outage(
        since=SINCE, reason="Slack channel #ml-cost: Slack answers 'token_revoked'", lasting=True, attempts=40, next_at=NOW, mended_at=NOW
    )
    messages = [
        MessageRecord(id=f"{KEY}/{number}", channel="#ml-cost", text=f"ML Training Budget passed {number} %\nand more", created=SINCE + timedelta(hours=number))
        for number in range(50, 90)
    ]  # fmt: skip
    return report.delivered_late(messages, outage=outage, now=NOW)


def late_hostile() -> Letter:
    """Names that would call somebody, late."""
    outage = Outage(since=SINCE, reason=HOSTILE, lasting=True, attempts=1, next_at=NOW)
    messages = [MessageRecord(id=f"{HOSTILE}/1", channel="#ml-cost", text=HOSTILE * 50, created=SINCE)] * 5
    return report.delivered_late(messages, outage=outage, now=NOW)


SCENES: list[Callable[[], Letter]] = [
    headline_parked, headline_quiet, headline_to_come, headline_snoozed, headline_of_a_team, headline_dry_run, headline_zero_budget, headline_many, headline_hostile,
    buttons_done, buttons_warning, buttons_question, buttons_decided, buttons_put_back, buttons_of_a_team, buttons_run_announced, buttons_run_deleted, buttons_run_refused,
    elsewhere, late, late_hostile,
]  # fmt: skip


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_a_message_is_as_its_golden_file_says(scene: Callable[[], Letter]) -> None:
    """As blocks and as text."""
    letter = scene()
    check_letter(letter)
    golden(f"letter_{scene.__name__}.json", json.dumps(letter.blocks, indent=2, ensure_ascii=False) + "\n")
    golden(f"letter_{scene.__name__}.txt", letter.text + "\n")


def test_what_was_saved_is_reckoned_for_the_time_that_it_was_parked() -> None:
    """Nine days of three resources, and three days of one that was put back; of a month of 365 days in a year's twelfth."""
    monthly = Decimal("19.71") * 2 * 9 + Decimal("19.71") * 9 + Decimal("157.68") * 9 + Decimal("19.71") * 2 * 3
    expected = monthly / (Decimal(365) / 12)
    assert f"Saved so far: about ${expected:,.0f} (estimate, us-central1 list prices" in headline_parked().text


# answers to one person


def answer_status() -> str:
    """Everything at once."""
    point = SeriesPoint(at=NOW - timedelta(hours=1), cost=Decimal("8213.45"), amount=Decimal(10000))
    budgets = [
        BudgetState(period_start=SINCE, last_sent_at=NOW, series=(point,), name="ML Training Budget", currency="USD"),
        BudgetState(period_start=SINCE, last_sent_at=NOW, name="Quiet", currency="USD"),
        BudgetState(period_start=SINCE, last_sent_at=NOW, series=(point.but(amount=Decimal(0)),), name="Nothing", currency="EUR"),
    ]
    waiting = entry(
        key="budget-2",
        steps=(
            step("1", "waiting", STOP, opens_at=NOW + timedelta(minutes=30)),
            step("1.1", "refused", STOP),
            step("1.2", "approval", STOP),
        ),
    )
    holds = Holds(until={"trainer": NOW + timedelta(hours=4), "old": SINCE}, by={"trainer": ANN})
    outage = Outage(since=SINCE, reason="Slack answers 'not_in_channel'", lasting=True, attempts=1, next_at=NOW)
    entries = [PLAN, waiting, runs.job_waits(), runs.job_is_put_back()]
    return status(
        budgets,
        entries,
        holds,
        [("#vision-ml", outage)],
        stops=[Stop(at=SINCE, kind="resources", entry=PLAN.key, parts=("actual-0.8",), count=3, recent=398, limit=400)],
        unread=2,
        now=NOW,
    )


def answer_status_quiet() -> str:
    """Nothing at all."""
    return status([], [], Holds(), [], stops=[], unread=0, now=NOW)


def answer_help() -> str:
    """What can be typed."""
    return HELP


def answer_plan() -> str:
    """A plan that somebody looks at; what is left out can be seen elsewhere."""
    plan = entry(*(target(f"service-{number:03}") for number in range(100)))
    return verbatim(report.outcome_text(plan).split("\n"), more=f"(python -m functions show {KEY})")


def answer_hostile() -> str:
    """A plan with names that would call somebody."""
    return verbatim(report.outcome_text(entry(target(HOSTILE, use=IDLE, remains=(HOSTILE,)))).split("\n"))


@pytest.mark.parametrize(
    "scene", [answer_status, answer_status_quiet, answer_help, answer_plan, answer_hostile], ids=lambda scene: scene.__name__
)
def test_an_answer_is_as_its_golden_file_says(scene: Callable[[], str]) -> None:
    """It fits, and calls nobody."""
    said = scene()
    assert size(said) <= TEXT
    assert "<" not in said
    golden(f"outcome_{scene.__name__}.txt", said + "\n")


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)
@given(plan=ENTRIES)
def test_every_headline_and_panel_keeps_slacks_limits(plan: Entry) -> None:
    """Whatever people name things."""
    plan = plan.but(key=KEY)
    if plan.notification:
        check_letter(headline(thread(notice=plan.notification, burn=plan.burn), [plan], channel=None, now=NOW))
    check_letter(with_buttons(plan, report.unreadable(name="x", detail="y", now=NOW)))
    said = status([], [plan], Holds(), [], stops=[], unread=0, now=NOW)
    assert size(said) <= TEXT
    assert "<!" not in said
