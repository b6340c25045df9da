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
from shared.audit import Question, audit
from shared.audit_report import Blank, Report, counted, in_order, levers, verdict
from shared.burn import Burn, Reach, Rise
from shared.digest import Digest, key_of
from shared.entry import Drift, Entry, Undo
from shared.errors import Denied, JournalError, Unavailable
from shared.finding import CATEGORIES, SEVERITIES, Finding, Saving
from shared.job import Bucket, ClassTally, Job, Portion, Tally
from shared.journal import BudgetState, SeriesPoint
from shared.letter import Letter
from shared.report_digest import Did, Spent, Week, digest, owner
from tests.reports import a_finding, a_report
from tests.stage import CHANNEL, IDLE_80, NEXT_PERIOD, NOTIFY_50, PROJECT, STOPPED_100, Crash, Stage, a_notification, a_policy
from tests.survey import Survey
from tests.unit.test_report import (
    ANY_TEXT,
    FAILED,
    HOSTILE,
    IDLE,
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
        budgets=(Spent(notification(budget_name="Serving", cost=Decimal(12), sent_at=NOW), Decimal(0)), spent()),
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
    blanks = tuple(Blank(what=f"{HOSTILE} {number}", reason=HOSTILE) for number in range(9))
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
