"""The weekly digest as Cloud Scheduler asks for it: a message on the tasks topic, and what people see in Slack, on the sandbox with real clients."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from decimal import Decimal

import pytest

from sandbox.cloud import STATE_BUCKET
from sandbox.estate import BUDGET_ID
from sandbox.faults import Fault
from sandbox.slack_view import plain
from shared.cloud.state_bucket import GcsStateBucket
from tests.e2e.harness import InProcess, ShiftedClock


def ask(in_process: InProcess) -> list[int]:
    """Cloud Scheduler publishes; gives the answers' statuses."""
    sandbox = in_process.sandbox
    sandbox.pubsub.publish(sandbox.tasks_topic, json.dumps({"task": "digest"}).encode(), {})
    return in_process.drain()


def digests(in_process: InProcess) -> list[str]:
    """The digests in the channel, as people see them."""
    said = (plain(message) for message in in_process.sandbox.slack.messages("ml-cost"))
    return [text for text in said if "Cost digest" in text]


def waiting() -> list[str]:
    """The digests that the journal still has open."""
    return [each.name for each in GcsStateBucket(STATE_BUCKET).list("entries/notice-digest")]


def test_the_digest_of_a_week(in_process: InProcess) -> None:
    """How the budget stands, what is parked, and what the audit finds with its owners; asked a second time, nothing is posted and nothing is listed."""
    sandbox = in_process.sandbox
    sandbox.budgets.spend(BUDGET_ID, Decimal(8200))
    in_process.drain()
    assert ask(in_process) == [200]
    (told,) = digests(in_process)
    assert re.search(r"Cost digest, week \d+ of 20\d\d", told)
    assert "ML Training Budget: 82 % · $8,200.00 of $10,000.00" in told
    assert re.search(r"Parked now: \d+ services.*: saves about \$[\d,]+ a month \(estimate", told)
    assert re.search(r"DONE IN 7 DAYS\s+• 1 plan carried out", told)
    assert re.search(r"AUDIT: (RED|YELLOW), about \$[\d,]+ a month could be saved", told)
    assert re.search(r"• team [a-z-]+: \d+ findings, about \$[\d,]+ a month", told)
    assert "NOT SEEN" not in told
    sandbox.faults.calls.clear()
    assert ask(in_process) == [200]
    assert len(digests(in_process)) == 1
    assert "ListServices" not in sandbox.faults.calls


def test_an_audit_that_may_see_little(in_process: InProcess) -> None:
    """Where the function's identity may not look, that is said, with what the journal knows."""
    for method in ("ListServices", "ListTimeSeries", "ListBudgets"):
        in_process.sandbox.faults.inject(Fault(method, "PERMISSION_DENIED"))
    assert ask(in_process) == [200]
    (told,) = digests(in_process)
    assert "A quiet week." in told
    assert "NOT SEEN" in told
    assert "what it lacks is to be granted to its identity" in told


def test_slack_takes_it_and_its_answer_is_lost(in_process: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """A later tick finds it by its reference, and so does the message that comes again; it is not posted a second time."""
    clock = ShiftedClock()
    monkeypatch.setattr("shared.clock.SystemClock", lambda: clock)
    in_process.sandbox.faults.inject(Fault("chat.postMessage", drop_answer=True, times=1))
    assert ask(in_process) == [200]
    (entry,) = waiting()
    assert re.fullmatch(r"entries/notice-digest-20\d\d-W\d\d\.json", entry)
    clock.ahead = timedelta(minutes=10)
    assert ask(in_process) == [200]
    assert in_process.tick() == [200]
    assert (len(digests(in_process)), waiting()) == (1, [])
