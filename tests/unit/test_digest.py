"""The weekly digest: its letter against golden files and hostile names, what is gathered for it, and that a week has only one.

``UPDATE_GOLDEN=1`` writes the golden files anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared import digest as gathering
from shared.audit.audit import Question, audit
from shared.audit.category import CATEGORIES
from shared.audit.finding import SEVERITIES, Finding, Saving
from shared.audit.report import Blank, Report, counted, in_order, levers, verdict
from shared.burn import Burn, Reach, Rise
from shared.digest import Digest, key_of
from shared.entry import Drift, Entry, Undo
from shared.errors import Denied, JournalError, Unavailable
from shared.journal import BudgetState, SeriesPoint
from shared.objects.job import Bucket, ClassTally, Job, Tally
from shared.report.digest import Did, Spent, Week, digest, owner
from shared.report.letter import Letter
from tests.reports import a_finding, a_report
from tests.stage import CHANNEL, IDLE_80, NEXT_PERIOD, NOTIFY_50, PROJECT, STOPPED_100, Crash, Stage, a_policy
from tests.survey import Survey
from tests.unit.test_report import (
    ANY_TEXT,
    FAILED,
    HOSTILE,
    POOLS,
    STOP,
    check_letter,
    entry,
    golden,
    notification,
    pool,
    step,
    target,
)
from tests.unit.test_report_jobs import GIB, SEEN, VERSIONS, done
from tests.yard import DAY, a_rule

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)
SINCE = NOW - timedelta(days=7)
LABELS = ("team", "cost-center")
KEY = "notice-digest-2026-W48"


# the letter


def spent(**more: Any) -> Spent:
    """A budget at 82 percent that rose within the week."""
    burn = Burn(
        per_day=Decimal(290),
        reaches=(Reach(Decimal(1), NOW + timedelta(days=5)),),
        month_end=datetime(2026, 12, 1, 8, tzinfo=UTC),
        projected=Decimal(10200),
    )
    return Spent(notification(sent_at=NOW - timedelta(hours=2), **more), Decimal("1402.5"), burn)  # fmt: skip


def removed(action: str = "delete_run", *, days: float = 1, **changes: Any) -> Job:
    """Work on objects that was done so many days ago."""
    job = done(action=action, planned_at=NOW - timedelta(days=days), **changes).job
    assert job
    return job


def finding(check: str, severity: str, number: int, monthly: int = 0, **more: Any) -> Finding:
    """One of many."""
    resource = more.pop("resource", f"projects/acme-ml-staging/locations/us-central1/services/service-{number:04}")
    saving = Saving(monthly=Decimal(monthly), basis="b") if monthly else None
    fields = {
        "id": f"{check}:{resource}",
        "check": check,
        "severity": severity,
        "resource": resource,
        "saving": saving,
        "meter": resource if monthly else "",
    }
    return a_finding(number, **({"category": "serving"} | fields | more))  # fmt: skip


FINDINGS = in_order([
    finding("missing_permissions", "high", 1, category="watch", resource="project acme-ml-staging", what="the watchdog lacks run.services.update", labels={}),
    finding("idle_billing", "high", 2, 620, what="has a GPU and answered nothing in a week", labels={"owner": "ann", "team": "nlp"}),
    finding("warm_instances", "medium", 3, 150, what="keeps 3 instances warm", labels={"team": "vision"}),
    finding("oversized", "medium", 3, 60, what="uses little of its memory", labels={"team": "vision"}),
    finding("cold_data", "medium", 4, 40, resource="projects/acme-ml-staging/locations/us/buckets/acme-ml-raw", what="2.0 TiB are older than 90 days", category="storage", labels={"cost-center": "cc-7"}),
    finding("warm_instances", "medium", 5, 30, what="keeps 1 instance warm", labels={}),
    finding("no_maximum", "medium", 6, what="may grow without a limit", labels={"team": "vision"}),
    finding("missing_labels", "low", 7, what="lacks the label team", category="labels", labels={}),
    finding("overspend", "high", 8, category="budgets", resource="billingAccounts/A/budgets/b", labels={}),
    finding("blanks", "medium", 9, category="watch", resource="the traffic", labels={}),
    finding("stuck_entries", "medium", 10, category="watch", resource="entries/K/waiting", labels={}),
    finding("stuck_entries", "high", 11, category="watch", resource="journal/entries/K.json", labels={}),
    finding("stuck_entries", "high", 12, category="watch", resource="entries/K/failed", what="2 resources could not be changed in 5 attempts", labels={}),
])  # fmt: skip


def report(findings: tuple[Finding, ...] = FINDINGS, **more: Any) -> Report:
    """An audit with these findings."""
    total = sum((each.saving.monthly for each in counted(findings).values() if each.saving), Decimal(0))
    names = dict.fromkeys((each.check for each in findings), "lever")
    fields = {"findings": findings, "verdict": verdict(findings), "monthly_saving": total, "levers": levers(findings, names), "blanks": ()}
    return a_report(0, **(fields | more))


WAITS = (
    entry(key="budget-20261101-actual-120-aa", created=NOW - timedelta(days=3), steps=(step("1", "planned"), step("1.2", "approval", STOP), step("1.5", "refused", POOLS))),
    done(key="run-5b0a61c2d4-77e0f3a9b1-bert_7-1", stage="refused", reason="a share of 60 % of all runs would go at once.", portions=()),
)  # fmt: skip


def digest_busy() -> Letter:
    """A bit of everything."""
    week = Week(
        budgets=(Spent(notification(budget_name="Serving", cost=Decimal(1200), actual_threshold=None, sent_at=NOW), Decimal(0)), spent()),
        parked=(target("embedder"), target("reranker", minimum=1), target("reranker", minimum=0, rank=1), pool("batch"), target("b", kind="bucket", resource="projects/p/locations/us/buckets/b", saving=Decimal(0))),
        removed=(removed(), removed(days=3), removed("delete_noncurrent", seen=VERSIONS), removed("compress_objects", portions=(removed().portions[0].but(made_bytes=4 * GIB),))),
        done=(Did("plan", "carried out", 2), Did("plan", "called off", 1), Did("service", "parked", 12), Did("service", "failed", 1), Did("run", "deleted", 2), Did("clean-up", "done", 2)),
        people=("ann", "bo", "cem", "dee", "eve"),
        waits=WAITS,
        report=report(),
        required_labels=LABELS,
    )  # fmt: skip
    return digest(week, NOW)


def digest_quiet() -> Letter:
    """Money was spent as usual, and nothing else happened."""
    return digest(Week(budgets=(spent(),), report=report(())), NOW)


def digest_blind() -> Letter:
    """The audit could not be made, nor some of the journal read; the budget is silent."""
    old = Spent(notification(sent_at=NOW - timedelta(days=9), cost=Decimal(0), amount=Decimal(0)))
    unread = ("entries/budget-x.json: schema_version is 2", "closed/budget-y.json: cannot be read")
    failure = "nothing could be looked at; the first was the services of acme-ml-staging/us-central1: 403 run.services.list is missing"
    return digest(Week(budgets=(old,), unread=unread, failure=failure), NOW)


def digest_hostile() -> Letter:
    """Names that try to be more than names, and too many of them."""
    bad = finding("x" * 50, "high", 1, 700, resource=HOSTILE, what=HOSTILE * 20, labels={"team": HOSTILE})
    blanks = tuple(Blank(what=f"{HOSTILE} {number}", reason=HOSTILE, mend=HOSTILE) for number in range(9))
    week = Week(
        budgets=tuple(Spent(notification(budget_name=f"{HOSTILE} {number}", currency="<&>"), Decimal(-5)) for number in range(40)),
        parked=(target("x", kind=HOSTILE),),
        removed=(removed(HOSTILE),),
        done=(Did(HOSTILE, "parked", 2),),
        people=(HOSTILE,),
        waits=(*WAITS, done(key=HOSTILE, stage="refused", bucket=HOSTILE, prefix=HOSTILE, reason="", action=HOSTILE), entry(key=HOSTILE, notification=notification(budget_name=HOSTILE), steps=(step("1", "approval"),))),
        report=report((bad, *(finding("y", "high", number, number, labels={"team": f"<{number}>"}) for number in range(2, 30))), blanks=blanks),
        required_labels=LABELS,
    )  # fmt: skip
    return digest(week, NOW)


@pytest.mark.parametrize("scene", [digest_busy, digest_quiet, digest_blind, digest_hostile], ids=lambda scene: scene.__name__)
def test_a_digest_is_as_its_golden_file_says(scene: Callable[[], Letter]) -> None:
    """Each keeps its words, and Slack accepts it."""
    letter = scene()
    check_letter(letter)
    golden(f"letter_{scene.__name__}.json", json.dumps(letter.blocks, indent=1, ensure_ascii=False) + "\n")
    golden(f"letter_{scene.__name__}.txt", letter.text + "\n")


def text(**week: Any) -> str:
    """The digest of a week that is quiet but for this."""
    return digest(Week(**week), NOW).text


def test_a_quiet_week_says_only_what_is_so() -> None:
    """That nothing waits, or that nothing is worth mending, is said where it is known."""
    assert "A quiet week. Nothing was parked, put back, deleted or decided, and nothing waits for a decision.\n" in text()
    assert "A quiet week. Nothing was parked, put back, deleted or decided.\n" in text(waits=WAITS)
    assert "the audit found" not in text(report=report())
    assert "the audit found" not in text(report=report((), blanks=(Blank(what="a", reason="b"),)))
    assert "quiet" not in text(people=("ann",))
    assert "quiet" not in text(done=(Did("run", "deleted", 1),))
    assert "quiet" not in text(removed=(removed(),))


def test_parts_that_there_is_nothing_of_are_left_out() -> None:
    """No heading stands over nothing."""
    for heading in ("SPEND", "SAVED", "DONE", "WAITS", "AUDIT", "BY OWNER", "NOT SEEN", "Decided by"):
        assert heading not in text(report=report(()))


def test_one_deletion_says_what_it_saves_in_the_words_of_its_own_letter() -> None:
    """From when on, and that nothing is saved while versions stay."""
    assert "Deleted in 7 days: 412 objects, 38.0 GiB. Saves about $0.76 a month from 30 Nov 2026 (list price)" in text(removed=(removed(),))
    assert "Saves nothing while the noncurrent versions stay" in text(removed=(removed(seen=VERSIONS),))
    assert "38.0 GiB.\n" in text(removed=(removed().but(planned_at=None),))


def test_several_deletions_are_added_up() -> None:
    """The money counts from different days on; what saves nothing, or nobody knows what, is said to be so; where prices are missing, too."""
    far = SEEN.but(location="asia-east1")
    cold = removed(
        tally=Tally(classes={"COLDLINE": ClassTally(objects=412, bytes=38 * GIB, early={NOW.date() + timedelta(days=60): 38 * GIB})})
    )
    assert "Saves about $1.52 a month, from 30 Nov 2026 (list price)" in text(removed=(removed(), removed()))
    assert "(list price; some locations may be dearer)" in text(removed=(removed(), removed(seen=far)))
    assert "once for early deletion" in text(removed=(removed(), cold))
    unknown = "What 38.0 GiB of it saves is nothing or not known: versions stay, sizes differ, or there is no list price"
    for other in (removed(seen=VERSIONS), removed(seen=None), removed().but(planned_at=None)):
        assert f"(list price). {unknown}" in text(removed=(removed(), other))
    nothing = text(removed=(removed(seen=VERSIONS), removed(seen=VERSIONS)))
    assert "Saves about" not in nothing
    assert "What 76.0 GiB of it saves is nothing" in nothing
    packed = removed("compress_objects", portions=(removed().portions[0].but(made_bytes=19 * GIB),))
    assert "Saves about $0.76 a month, from 30 Nov 2026" in text(removed=(packed, packed))
    assert unknown in text(removed=(packed, removed("compress_objects")))


def test_parked_without_a_known_saving() -> None:
    """No money is made up."""
    assert "Parked now: 1 service\n" in text(parked=(target("embedder", saving=Decimal(0)),))
    lifecycle = target("b", kind="bucket", resource="projects/p/locations/us/buckets/b", saving=Decimal(0))
    assert "SAVED\nChanged now: the lifecycle rules of 1 bucket\n" in text(parked=(lifecycle,))


@pytest.mark.parametrize(
    ("labels", "required", "whose"),
    [
        ({"team": "vision", "owner": "ann"}, LABELS, "owner ann"),
        ({"team": "vision", "cost-center": "cc-7"}, LABELS, "team vision"),
        ({"cost-center": "cc-7", "team": ""}, LABELS, "cost-center cc-7"),
        ({"env": "prod"}, LABELS, "nobody named: no label team"),
        ({}, ("squad", "owner"), "nobody named: no label owner"),
        ({}, ("squad",), "nobody named: no label squad"),
        ({}, (), "nobody named: no label team"),
    ],
)
def test_whose_it_is(labels: dict[str, str], required: tuple[str, ...], whose: str) -> None:
    """The labels say it: owner, team, then those that the policy asks for; where nobody is named, which one is missing."""
    assert owner(finding("x", "low", 1, labels=labels), required) == whose


def test_money_by_owner() -> None:
    """All findings of an owner together, those about the same money once; one finding alone has its owner beside it already."""
    some = in_order(finding("warm", "medium", number, 50, labels={"team": "vision" if number % 2 else "nlp"}) for number in range(5))
    told = text(report=report(some), required_labels=LABELS)
    assert "• team nlp: 3 findings, about $150 a month\n• team vision: 2 findings, about $100 a month" in told
    assert "BY OWNER" not in text(report=report(some[:1]))


def test_findings_without_money() -> None:
    """The title speaks of none, and those that are good to know are not named."""
    told = text(report=report(in_order([finding("no_maximum", "medium", 1), finding("missing_labels", "low", 2)])))
    assert "AUDIT: YELLOW\n• medium: `acme-ml-staging/us-central1/service-0001` keeps 1 instances warm · team nlp\nwritten" in told


JOBS = st.builds(
    lambda action, occasion, days, **changes: removed(action, days=days, occasion=occasion, **changes),
    st.sampled_from(["delete_run", "delete_noncurrent", "compress_objects"]) | ANY_TEXT, st.sampled_from(["failed", "step"]), st.integers(0, 9),
    seen=st.none() | st.builds(Bucket, name=ANY_TEXT, location=st.sampled_from(["us", "nam4"]) | ANY_TEXT, soft_delete=st.timedeltas(timedelta(0), timedelta(days=90)), versioned=st.booleans(), autoclass=st.booleans()),
)  # fmt: skip
REPORTS = st.builds(
    lambda findings, blanks: report(in_order(findings), blanks=tuple(Blank(what=each, reason=each) for each in blanks)),
    st.lists(
        st.builds(
            finding, ANY_TEXT, st.sampled_from(SEVERITIES), st.integers(0, 9), st.integers(0, 10**6), what=ANY_TEXT, resource=ANY_TEXT,
            labels=st.dictionaries(st.sampled_from(["owner", "team", "env"]), ANY_TEXT), category=st.sampled_from(CATEGORIES),
        ),
        max_size=12,
    ),
    st.lists(ANY_TEXT, max_size=6),
)  # fmt: skip
SPENT = st.builds(
    lambda name, cost, amount, currency, rise, burn: Spent(notification(budget_name=name, cost=cost, amount=amount, currency=currency), rise, burn),
    ANY_TEXT, st.decimals(-(10**15), 10**15, places=2), st.decimals(0, 10**15, places=2), st.sampled_from(["USD", "<&>"]),
    st.none() | st.decimals(-(10**15), 10**15, places=2), st.none() | st.just(Burn(Decimal(5), rise=Rise(Decimal(9), Decimal(1)))),
)  # fmt: skip
WEEKS = st.builds(
    Week, st.lists(SPENT, max_size=30).map(tuple), st.just((target("x"),)), st.lists(JOBS, max_size=6).map(tuple),
    st.lists(st.builds(Did, ANY_TEXT, st.just("parked"), st.integers(0, 10**6)), max_size=9).map(tuple), st.lists(ANY_TEXT, max_size=6).map(tuple),
    st.lists(st.builds(lambda key, reason: done(key=key, stage="refused", reason=reason), ANY_TEXT, ANY_TEXT), max_size=30).map(tuple),
    st.none() | REPORTS, ANY_TEXT, st.lists(ANY_TEXT, max_size=9).map(tuple), st.lists(ANY_TEXT, max_size=2).map(tuple),
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(week=WEEKS)
def test_every_digest_keeps_slacks_limits_and_lets_nothing_be_injected(week: Week) -> None:
    """Whatever a week is made of, Slack takes the message and finds no mention, no link and no hidden direction in it."""
    check_letter(digest(week, NOW))


# what the journal says


def words(*entries: Entry) -> list[str]:
    """What the week came to, in words."""
    return [f"{did.count} {did.noun} {did.word}" for did in gathering.done(entries, SINCE)]


LONG_AGO = NOW - timedelta(days=20)


def made(*targets: Any, **more: Any) -> Entry:
    """A plan of this week."""
    return entry(*targets, **({"created": NOW - timedelta(days=1)} | more))


@pytest.mark.parametrize(
    ("given_entry", "told"),
    [
        (made(target("a"), target("b"), pool("c")), ["1 plan carried out", "2 service parked", "1 worker pool parked"]),
        (made(target("a", status="rehearsed"), mode="observe"), ["1 plan only rehearsed", "1 service only rehearsed"]),
        (made(target("a", drift=Drift(by="x", state={}, seen_at=NOW))), ["1 plan carried out", "1 service came back by themselves"]),
        (made(target("a", **FAILED), target("b", status="left")), ["1 plan carried out", "1 service failed", "1 service left to others"]),
        (made(target("b", kind="bucket")), ["1 plan carried out", "1 bucket changed"]),
        (made(steps=(step("1", "waiting"), step("2", "approval"))), ["1 plan to come"]),
        (made(steps=(step("1", "approval"),)), []),
        (made(steps=(step("1", "cancelled"),)), ["1 plan called off"]),
        (made(steps=()), []),
        (made(target("a"), created=LONG_AGO), []),
        (made(target("a", status="restored"), target("b"), created=LONG_AGO, undo=Undo(by="ann", at=NOW)), ["1 service put back"]),
        (made(target("a", status="restored"), created=LONG_AGO, undo=Undo(by="ann", at=LONG_AGO)), []),
        (done(planned_at=NOW), ["1 run deleted"]),
        (done(planned_at=NOW, portions=()), ["1 run with nothing to delete"]),
        (done(planned_at=NOW, sign=None, occasion="step"), ["1 clean-up done"]),
        (done(stage="left"), ["1 run left alone"]),
        (done(stage="cancelled"), ["1 run called off"]),
        (done(stage="refused"), []),
        (done(stage="waiting"), ["1 run to come"]),
        (done(stage="working", attempts=2), ["1 run failed so far, tried again"]),
        (done(stage="undoing", tries=1), ["1 run failed so far, tried again"]),
        (done(parent="another"), []),
    ],
)
def test_what_an_entry_counts_as(given_entry: Entry, told: list[str]) -> None:
    """By its steps, the status of its targets, and the stage of its work; what waits for a person is told as such and not counted."""
    assert words(given_entry) == told


def test_older_work_counts_where_it_was_done_within_the_week() -> None:
    """It may have waited before, and what is to come is to come however old it is."""
    old = {"created": LONG_AGO}
    assert words(done(planned_at=NOW).but(**old)) == ["1 run deleted"]
    assert words(done(planned_at=LONG_AGO).but(**old)) == []
    assert words(done(stage="undone", undone_at=NOW).but(**old)) == ["1 run put back"]
    assert words(done(stage="waiting").but(**old)) == ["1 run to come"]
    assert words(done(stage="left").but(**old)) == []


def test_who_decided() -> None:
    """Whoever approved, called off or put back, the busiest first; a new period is nobody, and a portion's entry is its whole's."""
    entries = (
        made(steps=(step("1", decided_by="bo"), step("2", decided_by="bo"))),
        made(target("a", undo_by="ann"), undo=Undo(by="ann", at=NOW)),
        made(undo=Undo(by="next period", at=NOW)),
        done(decided_by="ann", approved_by="cem"),
        done(parent="another", decided_by="dee"),
        made(undo=Undo(by="eve", at=LONG_AGO), created=LONG_AGO),
    )
    assert gathering.people(entries, SINCE) == ["ann", "bo", "cem"]


def test_what_is_parked_now() -> None:
    """Not what failed, came back or is being put back; where a higher step took it over, that one decides and both savings count."""
    back = Drift(by="x", state={}, seen_at=NOW)
    lower = entry(target("a"), target("b"), target("c", drift=back), target("d", status="restoring"), target("e", **FAILED))
    upper = entry(target("a", rank=1, saving=Decimal(1)), target("b", rank=1, drift=back))
    for order in ((lower, upper), (upper, lower)):
        found = gathering.parked(order)
        assert {each.short_name for each in found} == {"a"}
        assert sum(each.saving for each in found) == Decimal("40.42")


# what is gathered


def a_survey(**more: Any) -> Survey:
    """The policy parks staging at 80 percent, and deletes failed runs."""
    asking = "{at: 90%, approve: true, do: [{scale_to_zero: {select: {labels: {env: staging}}, to: stopped}}]}"
    return Survey(a_policy(NOTIFY_50, IDLE_80, asking, more=f"required_labels: [team]\nartifacts: [{a_rule()}]", **more))


def gathered(survey: Stage, audited: Callable[[], Report] | None = None) -> Week:
    """The week as a digest would tell it."""
    watchdog = survey.watchdog()
    return Digest(watchdog.world, survey.policy, audited or report, watchdog.say_once)._week(survey.journal)


def days(survey: Stage, *costs: int, every: float = 1) -> None:
    """A message every so many days."""
    for cost in costs:
        survey.send(cost)
        survey.clock.sleep(every * DAY.total_seconds())


def test_budgets_are_gathered() -> None:
    """How much is spent, how fast, when it is used up, and the rise since a week ago."""
    survey = a_survey()
    survey.clock.instant = datetime(2026, 11, 2, 12, tzinfo=UTC)
    days(survey, *range(10, 30, 2))
    (found,) = gathered(survey).budgets
    assert (found.notice.budget_name, found.notice.cost, found.notice.amount) == ("ML Training Budget", Decimal(28), Decimal(100))
    assert found.rise == Decimal(12)
    assert found.burn
    assert found.burn.per_day == Decimal(2)
    survey.clock.instant = datetime(2026, 11, 20, 12, tzinfo=UTC)
    (old,) = gathered(survey).budgets
    assert (old.rise, old.burn) == (None, None)


def test_the_rise_is_said_where_a_message_of_a_week_ago_is_known() -> None:
    """Not in a period's first days, and not after a gap."""

    def rise(*ago: float) -> Decimal | None:
        series = tuple(SeriesPoint(at=NOW - timedelta(days=each), cost=Decimal(100 - int(each)), amount=Decimal(1000)) for each in ago)
        return gathering._rise(BudgetState(period_start=LONG_AGO, last_sent_at=NOW, series=series), NOW)

    assert rise(9, 7.5, 3, 0) == Decimal(7)
    assert rise(3, 0) is None
    assert rise(9, 3, 0) is None
    assert rise(9, 7.5) is None


def test_a_budget_that_there_is_no_more() -> None:
    """One that is silent is told of as long as the policy means it."""
    survey = a_survey()
    days(survey, 10, every=9)
    assert len(gathered(survey).budgets) == 1
    survey.policy = a_policy(NOTIFY_50, budget="Another")
    assert gathered(survey).budgets == ()


def test_plans_are_gathered() -> None:
    """What is parked and what it saves, what was done, and what waits for a yes."""
    survey = a_survey()
    survey.service("warm")
    survey.service("other")
    survey.send(95)
    week = gathered(survey)
    assert [did for did in week.done if did.noun == "plan"] == [Did("plan", "carried out", 1)]
    assert {target.short_name for target in week.parked} == {"warm", "other"}
    assert [each.key for each in week.waits] == [survey.entry().key]
    assert week.required_labels == ("team",)
    told = digest(week, NOW).text
    assert "Parked now: 2 services: saves about $" in told
    assert f"• `{survey.entry().key}`: ML Training Budget at 90 %, scale to zero, waits for a yes, since 20 Nov" in told
    survey.ann().approve(survey.entry().key)
    assert (gathered(survey).waits, gathered(survey).people) == ((), ("ann",))


def test_what_was_put_back_is_gathered() -> None:
    """From the closed entry of the month before, which was made earlier than the week."""
    survey = a_survey()
    survey.service("warm")
    survey.send(85)
    survey.next_period()
    survey.settle()
    assert survey.open() == []
    week = gathered(survey)
    assert week.done == (Did("service", "put back", 1),)
    assert (week.parked, week.people) == ((), ())


def test_runs_are_gathered() -> None:
    """What was deleted with its size and what that saves, and not any more once it was put back; what waits for a person, too."""
    survey = a_survey()
    survey.announced()
    assert gathered(survey).done == (Did("run", "to come", 1),)
    survey.hours(25)
    week = gathered(survey)
    assert (week.done, sum(job.changed for job in week.removed)) == ((Did("run", "deleted", 1),), 4)
    assert "Deleted in 7 days: 4 objects, 3.0 GiB. Saves about $0.06 a month from 28 Nov 2026" in digest(week, NOW).text
    survey.ann().restore_entry(survey.key())
    week = gathered(survey)
    assert (week.done, week.removed, week.people) == ((Did("run", "put back", 1),), (), ("ann",))


def test_a_refused_run_waits() -> None:
    """It is named with its key and the limit that refused it."""
    survey = a_survey()
    survey.policy = a_policy(NOTIFY_50, more=f"artifacts: [{a_rule(limits='{objects: 1}')}]")
    survey.announced()
    week = gathered(survey)
    assert [each.key for each in week.waits] == [survey.key()]
    assert f"• `{survey.key()}`: refused to delete objects in gs://acme-ml-runs/runs/run-1/: " in digest(week, NOW).text


def test_what_cannot_be_read_is_said() -> None:
    """Of the open entries, the closed ones and the budgets; what can be read is told all the same."""
    survey = a_survey()
    survey.service("warm")
    survey.send(85)
    survey.next_period()
    survey.settle()
    for name in [*survey.bucket.objects]:
        data, generation, metadata = survey.bucket.objects[name]
        if name.startswith("budgets/"):
            survey.bucket.objects[name] = (b"{", generation, metadata)
        if name.startswith("closed/"):
            survey.bucket.objects[name] = (b"{", generation, metadata)
            survey.bucket.objects["entries/other.json"] = (data[:-2], generation, metadata)
    week = gathered(survey)
    assert (len(week.unread), week.done, week.budgets) == (3, (), ())
    assert digest(week, NOW).text.count("cannot be read") == 3


def test_more_entries_than_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest are, and that there are more is said; messages alone are not read at all."""
    survey = a_survey()
    monkeypatch.setattr(gathering, "MOST_CLOSED", 1)
    for cost in (85, 1):
        survey.send(cost)
    watchdog = survey.watchdog()
    watchdog.say_once("notice-x", digest_quiet())
    survey.next_period()
    survey.send(85, period_start=NEXT_PERIOD)
    survey.clock.instant += timedelta(days=31)
    survey.send(1, period_start=NEXT_PERIOD + timedelta(days=31))
    survey.clock.instant -= timedelta(days=20)
    assert len([entry for entry in survey.closed() if entry.steps]) == 2
    assert gathered(survey).unread == ("1 older entries of the journal, since there are so many",)


@pytest.mark.parametrize("error", [Denied("nothing could be looked at"), Unavailable("503"), JournalError("entries/x.json", "is damaged")])
def test_an_audit_that_cannot_be_made(error: Exception) -> None:
    """The digest is sent all the same, and says why it has no findings."""
    survey = a_survey()
    survey.send(10)

    def fail() -> Report:
        raise error

    week = gathered(survey, fail)
    assert (week.report, week.failure) == (None, str(error))
    assert f"the audit could not be made: {error}" in digest(week, NOW).text
    assert "SPEND" in digest(week, NOW).text


def test_a_fault_in_a_check(caplog: pytest.LogCaptureFixture) -> None:
    """It keeps nobody from hearing the rest, and stands in the log with its stack."""

    def fail() -> Report:
        raise ZeroDivisionError

    week = gathered(a_survey(), fail)
    assert week.failure == "there is a fault in the watchdog, which is in the log: ZeroDivisionError()"
    assert any(record.exc_info for record in caplog.records)


def test_what_lacks_a_permission() -> None:
    """Whom to grant it is said, and only where that would help."""
    words = "The audit of the digest is made by the function `task`"
    assert words in text(report=report((), blanks=(Blank(what="a", reason="b", mend="gcloud projects add-iam-policy-binding p"),)))
    assert words not in text(report=report((), blanks=(Blank(what="a", reason="503"),)))


def test_a_real_audit() -> None:
    """Its findings are named with their owners, and what it may not see is."""
    survey = a_survey()
    survey.service("warm", labels={"env": "dev", "team": "vision"})
    survey.service("idle", labels={"env": "dev"})
    survey.seer.faults["usage"] = Denied("may not read metrics")
    week = gathered(survey, lambda: audit(survey.sight(), survey.policy, Question(), project=PROJECT, service="audit"))
    told = digest(week, NOW).text
    assert "`acme-ml-staging/us-central1/idle` keeps 2 instances warm" in told
    assert "• nobody named: no label team: 1 finding, about $" in told
    assert "• team vision: 1 finding, about $" in told
    assert f"• the traffic of the services of {PROJECT}: may not read metrics" in told
    assert "The audit of the digest is made by the function `task`" in told


# once a week


class Weekly:
    """A stage whose digest is asked for again and again."""

    def __init__(self) -> None:
        self.stage = Stage(a_policy(STOPPED_100))
        self.audits = 0

    def audited(self) -> Report:
        """Counts the audits."""
        self.audits += 1
        return report(())

    def ask(self) -> str:
        """The message comes: what became of the week's entry."""
        watchdog = self.stage.watchdog()
        return watchdog.resume(Digest(watchdog.world, watchdog.policy, self.audited, watchdog.say_once).write()).what


@pytest.fixture
def weekly() -> Weekly:
    """On a Friday."""
    return Weekly()


def references(weekly: Weekly) -> list[str]:
    """What was posted, and where to."""
    assert {channel for channel, _, _ in weekly.stage.messenger.posts} <= {CHANNEL}
    return [reference for _, _, reference in weekly.stage.messenger.posts]


def test_once_a_week(weekly: Weekly) -> None:
    """A message that comes again posts nothing and makes no audit; the next week has its own."""
    assert [weekly.ask(), weekly.ask()] == ["closed", "closed"]
    assert (references(weekly), weekly.audits) == (["notice-digest-2026-W47/1"], 1)
    weekly.stage.clock.sleep(3 * DAY.total_seconds())
    weekly.ask()
    assert (references(weekly)[1:], weekly.audits) == (["notice-digest-2026-W48/1"], 2)


def test_the_week_is_the_iso_week_in_utc() -> None:
    """A year's first days may belong to the last week of the year before, and a week begins on Monday."""
    assert key_of(datetime(2027, 1, 3, 23, 59, tzinfo=UTC)) == "notice-digest-2026-W53"
    assert key_of(datetime.fromisoformat("2027-01-04T01:00:00+02:00")) == "notice-digest-2026-W53"
    assert key_of(datetime(2027, 1, 4, tzinfo=UTC)) == "notice-digest-2027-W01"
    assert key_of(NOW) == KEY


def test_while_slack_is_down(weekly: Weekly) -> None:
    """It is kept and sent later, and is not made again meanwhile."""
    weekly.stage.messenger.down = True
    assert [weekly.ask(), weekly.ask()] == ["carried on", "carried on"]
    weekly.stage.messenger.down = False
    weekly.stage.settle()
    assert (references(weekly), weekly.audits) == (["notice-digest-2026-W47/1"], 1)


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize(("method", "number"), [("write", 1), ("post", 1), ("write", 2), ("write", 3), ("delete", 1)])
def test_killed_in_between(weekly: Weekly, method: str, number: int, side: str) -> None:
    """Whenever the worker dies, the message that comes again, or a tick, has it posted exactly once."""
    struck = weekly.stage.strike(method, Crash, side=side, number=number)
    with pytest.raises(Crash):
        weekly.ask()
    weekly.stage.heal()
    assert struck
    weekly.ask()
    weekly.stage.settle()
    weekly.ask()
    assert references(weekly) == ["notice-digest-2026-W47/1"]
    assert weekly.audits == (2 if (method, number, side) == ("write", 1, "before") else 1)


def test_two_at_once(weekly: Weekly) -> None:
    """Both make an audit, and one posts."""
    weekly.stage.meanwhile("write", weekly.ask)
    weekly.ask()
    assert (references(weekly), weekly.audits) == (["notice-digest-2026-W47/1"], 2)


def test_a_journal_that_does_not_answer(weekly: Weekly) -> None:
    """Nothing is posted, and the message comes again."""
    weekly.stage.strike("list", lambda: Unavailable("503"))
    with pytest.raises(Unavailable):
        weekly.ask()
    assert (references(weekly), weekly.audits) == ([], 0)
    assert weekly.ask() == "closed"
