"""Who may do what: the page of it, and that no function asks Google for more than it says."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import functions_framework
import pytest

from functions import wiring
from sandbox import training
from sandbox.cloud import ARTIFACTS_BUCKET, ROOT, STATE_BUCKET
from sandbox.estate import BUDGET_ID
from sandbox.faults import Faults
from sandbox.functions import AUDIT, BUDGET_ALERT, SERVICES, SLACK_ACTION, STORAGE_EVENT, TASK
from shared.actions import registry
from shared.actions.on_objects import PERMISSIONS as ON_OBJECTS
from shared.checks.blanks import ROLES
from terraform import permissions_page
from terraform.permissions_page import NEEDS, granted
from tests.e2e.harness import InProcess, ShiftedClock

PERMISSION = {
    "GetRevision": "run.revisions.get", "GetService": "run.services.get", "GetWorkerPool": "run.workerpools.get", "ListServices": "run.services.list",
    "ListWorkerPools": "run.workerpools.list", "Operation": "run.operations.get", "UpdateService": "run.services.update", "Publish": "pubsub.topics.publish",
    "UpdateWorkerPool": "run.workerpools.update", "storage.buckets.get": "storage.buckets.get", "storage.buckets.list": "storage.buckets.list",
    "storage.objects.delete": "storage.objects.delete", "storage.objects.get": "storage.objects.get", "storage.objects.insert": "storage.objects.create",
    "storage.objects.list": "storage.objects.list", "storage.objects.restore": "storage.objects.restore",
}  # fmt: skip
"""By method, what it takes to call it: https://cloud.google.com/iam/docs/permissions-reference."""
VIEWED = {
    "GetIamPolicy": "roles/iam.securityReviewer", "GetProject": "roles/browser", "GetProjectBillingInfo": "roles/browser", "GetSubscription": "roles/pubsub.viewer",
    "ListBudgets": "roles/billing.viewer", "ListExecutions": "roles/run.viewer", "ListTimeSeries": "roles/monitoring.viewer",
    "ListTopicSubscriptions": "roles/pubsub.viewer", "GetRevision": "roles/run.viewer", "ListServices": "roles/run.viewer", "ListWorkerPools": "roles/run.viewer",
    "storage.buckets.list": "roles/storage.bucketViewer", "storage.objects.get": "roles/storage.objectViewer", "storage.objects.list": "roles/storage.objectViewer",
}  # fmt: skip
"""By method of an audit, the role that allows it."""
FREE = {"TestIamPermissions", "storage.buckets.testIamPermissions", "storage.batch"}
"""What needs no permission; the calls of a batch count by themselves."""
SLACKS = ("chat.", "conversations.", "usergroups.", "response_url")

Calls = dict[str, set[tuple[str, str]]]


@pytest.fixture
def calls(in_process: InProcess, monkeypatch: pytest.MonkeyPatch) -> Calls:
    """By function, each method that it calls, and the bucket; gathered as long as the test runs. Slack's own API is left out."""
    seen: Calls = defaultdict(set)
    acting = [""]
    strike, post, from_slack = Faults.strike, in_process.post, in_process.from_slack

    def struck(self: Faults, method: str, resource: str = "") -> Any:
        bucket = next((name for name in (STATE_BUCKET, ARTIFACTS_BUCKET) if method.startswith("storage.") and name in resource), "")
        if acting[0] and not method.startswith(SLACKS):
            seen[acting[0]].add((method, bucket))
        return strike(self, method, resource)

    def by(function: str, work: Any, *arguments: Any) -> Any:
        acting[0] = function
        try:
            return work(*arguments)
        finally:
            acting[0] = ""

    monkeypatch.setattr(Faults, "strike", struck)
    monkeypatch.setattr(in_process, "post", lambda target, body, headers: by(target, post, target, body, headers))
    in_process.sandbox.slack.connect(lambda body, headers: by(SLACK_ACTION, from_slack, body, headers))
    client = functions_framework.create_app(AUDIT, str(ROOT / "main.py"), "http").test_client()
    in_process.clients[AUDIT] = client
    monkeypatch.setattr(client, "get", lambda *given, get=client.get: by(AUDIT, get, *given))
    return seen


def play(functions: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """Alerts, a failed run that is deleted and brought back, a stray event, a restore in Slack, a digest and an audit."""
    sandbox, clock = functions.sandbox, ShiftedClock()
    monkeypatch.setattr("shared.clock.SystemClock", lambda: clock)
    wiring._world.cache_clear()
    for spent in (8_200, 10_200):
        sandbox.budgets.spend(BUDGET_ID, Decimal(spent))
        functions.drain()
    training.fail(sandbox.storage, training.DOOMED.folder)
    functions.drain()
    functions.tick()
    headers = {
        "ce-id": "1",
        "ce-source": "//nobody",
        "ce-specversion": "1.0",
        "ce-type": "nobody.knows",
        "content-type": "application/json",
    }
    functions.post(STORAGE_EVENT, {}, headers)
    clock.ahead = timedelta(seconds=5)
    for _ in range(3):
        functions.tick()
    sandbox.slack.command("/cost-watchdog", "restore all", channel="ml-cost")
    functions.drain()
    sandbox.pubsub.publish(sandbox.tasks_topic, b'{"task": "digest"}', {})
    functions.drain()
    assert functions.clients[AUDIT].get("/").status_code == 200


def allowed(function: str, method: str, bucket: str) -> bool:
    """Whether the page grants a function what a call takes."""
    if method in FREE:
        return True
    permission, needs = PERMISSION.get(method, ""), NEEDS[function]
    if bucket == STATE_BUCKET:
        return permission in needs["state bucket"]
    if permission == "pubsub.topics.publish":
        return permission in needs.get("tasks topic", ())
    viewed = function in (AUDIT, TASK) and VIEWED.get(method) in permissions_page.AUDIT
    return viewed or permission in granted(function) or (bool(bucket) and permission in needs.get("watched buckets", ()))


def test_no_function_asks_for_more_than_the_page_says(in_process: InProcess, calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call that the functions make in a long story is one that the page allows, and each of them makes some."""
    play(in_process, monkeypatch)
    assert set(calls) == set(SERVICES)
    assert [(function, *call) for function, made in calls.items() for call in sorted(made) if not allowed(function, *call)] == []
    written = {function for function, made in calls.items() if any(PERMISSION.get(method, "").endswith("update") for method, _ in made)}
    assert written == {BUDGET_ALERT, TASK}
    assert ("storage.objects.delete", ARTIFACTS_BUCKET) in calls[TASK]
    assert calls[SLACK_ACTION] == {("storage.objects.insert", STATE_BUCKET), ("Publish", "")}
    assert {bucket for method, bucket in calls[STORAGE_EVENT] if method != "storage.objects.get"} == {STATE_BUCKET}


def test_the_page_is_current() -> None:
    """It says what the code declares; `make docs`, or UPDATE_GOLDEN=1, writes it anew."""
    if os.environ.get("UPDATE_GOLDEN"):
        permissions_page.main()
    assert permissions_page.PAGE.read_text(encoding="utf-8") == permissions_page.page()


def test_make_docs_writes_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same as the test compares with."""
    monkeypatch.setattr(permissions_page, "PAGE", tmp_path / "permissions.md")
    assert permissions_page.main() == 0
    assert (tmp_path / "permissions.md").read_text(encoding="utf-8") == permissions_page.page()


def test_every_permission_has_a_reason() -> None:
    """And no reason is about one that nothing needs."""
    needed = ON_OBJECTS.union(*(action.permissions for action in registry().values()))
    assert set(permissions_page.WHY) == needed == granted(TASK) | granted(BUDGET_ALERT)


def test_every_function_has_a_row() -> None:
    """Each of the entry points is called by somebody, and does something."""
    assert set(NEEDS) == set(permissions_page.CALLED_BY) == set(permissions_page.DOES) == set(SERVICES)


def test_what_an_audit_reads_is_what_the_audit_says() -> None:
    """The roles are those in the documentation of the audit, and those that it asks for where something is missing."""
    text = (ROOT / "docs" / "audit.md").read_text(encoding="utf-8").split("## What it may read\n", 1)[1]
    assert set(permissions_page.AUDIT) == set(re.findall(r"roles/[\w.]+", text))
    assert set(ROLES.values()) <= set(permissions_page.AUDIT)
