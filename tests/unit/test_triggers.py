"""What each trigger acknowledges, what it raises to have it delivered again, and what is told of it."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from cloudevents.http import CloudEvent

from functions import triggers, wiring
from shared.errors import CloudError, Conflict, Denied, EventRejected, Refused, SettingsError, Unavailable
from shared.model import ObjectWritten
from shared.objects.runs import Suspect, Watch
from shared.policy.artifacts import ArtifactRule
from shared.watchdog import Outcome
from tests.cloud_events import EMBEDDER, FORMS, PAYMENTS, Form, a_stage, budget_event, object_event, task_event
from tests.envelopes import body, resource, storage_attributes, storage_headers
from tests.sight_double import MemorySight
from tests.stage import Stage

DAY = 86_400.0


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    """The stage that the triggers find."""
    stage = a_stage()
    monkeypatch.setattr(wiring, "watchdog", stage.watchdog)
    return stage


def failing(method: str, error: CloudError) -> Callable[[str], None]:
    """A hook that makes every call of one method fail."""

    def strike(called: str) -> None:
        if called == method:
            raise error

    return strike


def test_a_budget_message_is_carried_out_and_acknowledged(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """Staging goes idle, what is protected stays, Slack is told once, and the log says what became of the message."""
    caplog.set_level(logging.INFO)
    triggers.budget_alert(budget_event(82))
    assert (stage.state(EMBEDDER)["minimum"], stage.state(PAYMENTS)["minimum"]) == (0, 2)
    assert len(stage.messenger.posts) == 1
    assert "done: carried on budget-20261101-actual-80-" in caplog.text


def test_a_message_that_cannot_be_read_is_acknowledged_and_reported_once_a_day(stage: Stage) -> None:
    """The second of a kind is only logged, the first of the next day is told again, and another kind is told beside it."""
    for _ in range(2):
        triggers.budget_alert(budget_event(None))
    assert [reference for _, _, reference in stage.messenger.posts] == ["notice-20261120-no-data/1"]
    triggers.budget_alert(budget_event(82, currencyCode="dollars"))
    assert len(stage.messenger.posts) == 2
    stage.clock.sleep(DAY)
    triggers.budget_alert(budget_event(None))
    assert [reference for _, _, reference in stage.messenger.posts][2:] == ["notice-20261121-no-data/1"]


def test_a_foreign_budget_changes_nothing(stage: Stage) -> None:
    """The policy does not name it, so it is told of and acknowledged."""
    triggers.budget_alert(budget_event(82, budgetDisplayName="Somebody else's"))
    assert stage.services.writes == []
    assert "Somebody else" in stage.messenger.posts[0][1]


def test_a_journal_that_cannot_be_read_is_reported_once_and_left_alone(stage: Stage) -> None:
    """What is known of the budget is damaged: nothing is changed on its word, and it is not overwritten."""
    triggers.budget_alert(budget_event(40))
    (name,) = (name for name in stage.bucket.objects if name.startswith("budgets/"))
    stage.bucket.objects[name] = (b"{", 99, {})
    for _ in range(2):
        triggers.budget_alert(budget_event(82))
    assert stage.bucket.objects[name][0] == b"{"
    assert stage.services.writes == []
    assert len(stage.messenger.posts) == 1


def test_what_may_work_later_is_raised(stage: Stage) -> None:
    """Pub/Sub delivers the message again, and then it is carried out."""
    stage.hooks.before = failing("read", Unavailable("503"))
    with pytest.raises(Unavailable):
        triggers.budget_alert(budget_event(82))
    stage.heal()
    triggers.budget_alert(budget_event(82))
    assert stage.state(EMBEDDER)["minimum"] == 0


def test_a_report_that_cannot_be_recorded_has_the_message_delivered_again(stage: Stage) -> None:
    """Otherwise nobody would be told of a malformed message that came while the bucket was away."""
    stage.hooks.before = failing("write", Unavailable("503"))
    with pytest.raises(Unavailable):
        triggers.budget_alert(budget_event(None))


def test_somebody_quicker_each_time_has_the_message_delivered_again(stage: Stage) -> None:
    """A conflict that reaches this far is no fault of the message."""
    stage.hooks.before = failing("read", Conflict("412"))
    with pytest.raises(Conflict):
        triggers.budget_alert(budget_event(None))


@pytest.mark.parametrize("error", [Denied("403; grant a role with storage.objects.create"), Refused("no such bucket")])
def test_what_will_never_work_is_acknowledged_and_logged(stage: Stage, caplog: pytest.LogCaptureFixture, error: CloudError) -> None:
    """The same message would fail for a day; a person has to act, and the next status message comes soon."""
    stage.hooks.before = failing("write", error)
    triggers.budget_alert(budget_event(82))
    assert f"not done, and not tried again with this message: {error}" in caplog.text
    assert not any(record.exc_info for record in caplog.records)


def test_a_policy_that_cannot_be_used_keeps_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits with Pub/Sub until the policy is mended."""

    def broken() -> NoReturn:
        raise SettingsError(["gs://acme-ml-watchdog/policy.yaml:3: mode: should be 'observe' or 'enforce'"])

    monkeypatch.setattr(wiring, "watchdog", broken)
    with pytest.raises(SettingsError):
        triggers.budget_alert(budget_event(82))


def test_a_tick_with_nothing_due(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """It reads the agenda, remembers that it looked for budget messages, and is done."""
    caplog.set_level(logging.INFO)
    triggers.task(task_event(task="tick"))
    assert "done: nothing was due" in caplog.text
    assert set(stage.bucket.objects) == {"watch.json"}


def test_a_tick_carries_out_what_has_become_due(stage: Stage) -> None:
    """The step that waited stops the services that the earlier one had made idle."""
    triggers.budget_alert(budget_event(101))
    assert stage.state(EMBEDDER)["mode"] == "automatic"
    stage.clock.sleep(31 * 60)
    triggers.task(task_event(task="tick"))
    assert stage.state(EMBEDDER)["count"] == 0


def test_a_resume_carries_on_the_entry_that_it_names(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """One that is closed already, or never was, is done."""
    caplog.set_level(logging.INFO)
    triggers.budget_alert(budget_event(82))
    (key,) = stage.journal.keys()
    triggers.task(task_event(task="resume", entry=key))
    assert f"done: carried on {key}" in caplog.text
    triggers.task(task_event(task="resume", entry="budget-of-long-ago"))
    assert "done: closed budget-of-long-ago" in caplog.text


@pytest.fixture
def seer(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> MemorySight:
    """What an audit in this process asks."""
    seer = MemorySight()
    monkeypatch.setattr(wiring, "settings", lambda: None)
    monkeypatch.setattr(wiring, "sight", lambda _: seer.sight(stage.watchdog().world))
    return seer


def test_a_digest_is_posted_once_a_week(stage: Stage, seer: MemorySight, caplog: pytest.LogCaptureFixture) -> None:
    """With an audit; the message that comes again finds it told, and asks nothing more."""
    caplog.set_level(logging.INFO)
    triggers.budget_alert(budget_event(82))
    triggers.task(task_event(task="digest"))
    _, told, reference = stage.messenger.posts[-1]
    assert reference == "notice-digest-2026-W47/1"
    assert told.startswith("Cost digest, week 47 of 2026\nSPEND\n")
    assert "Parked now: 2 services" in told
    assert "AUDIT: RED" in told
    assert "done: closed notice-digest-2026-W47" in caplog.text
    asked = len(seer.asked)
    assert asked
    triggers.task(task_event(task="digest"))
    assert (len(stage.messenger.posts), len(seer.asked)) == (2, asked)


def test_a_digest_without_an_audit(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is sent all the same, and says so."""

    def refuse(_: object) -> NoReturn:
        raise Denied("your default credentials were not found")

    monkeypatch.setattr(wiring, "settings", lambda: None)
    monkeypatch.setattr(wiring, "sight", refuse)
    triggers.task(task_event(task="digest"))
    assert "the audit could not be made: your default credentials were not found" in stage.messenger.posts[0][1]


@pytest.mark.parametrize("error", [Unavailable("503"), Denied("403; grant a role with storage.objects.create")])
def test_a_digest_that_cannot_be_recorded_is_delivered_again(stage: Stage, seer: MemorySight, error: CloudError) -> None:
    """Whatever the reason, since the next is a week away; and then it is posted."""
    stage.hooks.before = failing("write", error)
    with pytest.raises(Unavailable):
        triggers.task(task_event(task="digest"))
    stage.heal()
    triggers.task(task_event(task="digest"))
    assert [reference for _, _, reference in stage.messenger.posts] == ["notice-digest-2026-W47/1"]
    assert seer.asked


def test_an_unknown_task_is_acknowledged_and_reported(stage: Stage) -> None:
    """Whoever may publish to the topic is told of what cannot be meant."""
    triggers.task(task_event(task="dance"))
    assert [reference for _, _, reference in stage.messenger.posts] == ["notice-20261120-unknown-task/1"]


class Notices:
    """What reaches the watchdog, in its place."""

    def __init__(self) -> None:
        self.noticed: list[tuple[ObjectWritten, Suspect]] = []
        self.rejected: list[str] = []
        self.error: Exception | None = None

    def notice(self, written: ObjectWritten, suspect: Suspect) -> Outcome:
        if self.error:
            raise self.error
        self.noticed.append((written, suspect))
        return Outcome("noticed", f"run-{len(self.noticed)}")

    def reject(self, error: EventRejected) -> None:
        self.rejected.append(error.kind)


RULE = ArtifactRule.model_validate({"bucket": "acme-ml-artifacts", "runs": "runs/{run}/", "failed_when": ["failed_marker", "mlflow"]})


@pytest.fixture
def notices(monkeypatch: pytest.MonkeyPatch) -> Notices:
    """A watchdog that only takes notice, and a policy with one rule."""
    found, watch = Notices(), Watch([RULE])
    monkeypatch.setattr(wiring, "watchdog", lambda: found)
    monkeypatch.setattr(wiring, "suspects", watch.signs)
    return found


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A watchdog that nobody may ask for."""

    def refuse() -> NoReturn:
        pytest.fail("a watchdog was made")

    monkeypatch.setattr(wiring, "watchdog", refuse)
    watch = Watch([RULE])
    monkeypatch.setattr(wiring, "suspects", watch.signs)


@pytest.mark.parametrize("form", FORMS)
def test_a_sign_is_noticed_and_acknowledged(notices: Notices, caplog: pytest.LogCaptureFixture, form: Form) -> None:
    """However the notification comes, the run and the generation that says so are the same."""
    caplog.set_level(logging.INFO)
    triggers.storage_event(object_event("runs/run-1/_FAILED", form=form))
    ((written, suspect),) = notices.noticed
    assert (written.bucket, written.name, written.generation) == ("acme-ml-artifacts", "runs/run-1/_FAILED", 1763639998123456)
    assert (suspect.rule, suspect.prefix, suspect.condition) == (RULE, "runs/run-1/", RULE.failed_when[0])
    assert "done: noticed run-1" in caplog.text


def test_an_object_that_is_a_sign_in_two_ways_is_noticed_twice(notices: Notices, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each condition is a question of its own."""
    rule = ArtifactRule.model_validate(
        {**RULE.model_dump(), "failed_when": [{"object": "s.json", "has": {"a": 1}}, {"object": "s.json", "has": {"b": 2}}]}
    )
    monkeypatch.setattr(wiring, "suspects", Watch([rule]).signs)
    triggers.storage_event(object_event("runs/run-1/s.json"))
    assert [suspect.condition for _, suspect in notices.noticed] == list(rule.failed_when)


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("name", "bucket"),
    [
        ("runs/run-1/checkpoint-17/_FAILED", "acme-ml-artifacts"),
        ("runs/run-1/model.ckpt", "acme-ml-artifacts"),
        ("runs/_FAILED", "acme-ml-artifacts"),
        ("runs/run-1/_FAILED", "somebody-elses"),
    ],
)
def test_an_object_that_is_no_sign_costs_nothing(caplog: pytest.LogCaptureFixture, name: str, bucket: str, form: Form) -> None:
    """It is acknowledged without a watchdog and without a word."""
    caplog.set_level(logging.DEBUG)
    triggers.storage_event(object_event(name, bucket, form))
    assert caplog.records == []


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize(
    "event",
    [
        CloudEvent({"type": "google.cloud.storage.object.v1.deleted", "source": "s"}, resource()),
        CloudEvent({"type": "google.cloud.storage.object.v1.metadataUpdated", "source": "s"}, resource()),
        CloudEvent(
            {"type": "google.cloud.pubsub.topic.v1.messagePublished", "source": "s"},
            body(None, storage_attributes(eventType="OBJECT_ARCHIVE")),
        ),
    ],
    ids=["deleted", "metadata", "archived"],
)
def test_an_object_that_was_not_written_is_no_fault(caplog: pytest.LogCaptureFixture, event: CloudEvent) -> None:
    """A trigger or a subscription may carry all that happens in a bucket."""
    caplog.set_level(logging.DEBUG)
    triggers.storage_event(event)
    assert caplog.records == []


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (budget_event(82), "no-event-type"),
        (CloudEvent({"type": "google.cloud.storage.object.v1.finalized", "source": "s"}, b"{"), "not-storage"),
        (CloudEvent({"type": "google.cloud.storage.object.v1.finalized", "source": "s"}, resource(generation="x")), "wrong-type"),
    ],
)
def test_a_storage_event_that_cannot_be_read_is_acknowledged_and_reported(notices: Notices, event: CloudEvent, kind: str) -> None:
    """Before its name is known as well as after it."""
    triggers.storage_event(event)
    assert (notices.rejected, notices.noticed) == ([kind], [])


@pytest.mark.parametrize("error", [Unavailable("503"), Denied("403; grant a role with storage.objects.create"), Refused("no such bucket")])
def test_a_sign_that_cannot_be_recorded_now_has_the_event_delivered_again(notices: Notices, error: CloudError) -> None:
    """Whatever the reason, since nobody tells of it a second time; and then it is noticed."""
    notices.error = error
    with pytest.raises(Unavailable):
        triggers.storage_event(object_event("runs/run-1/_FAILED"))
    notices.error = None
    triggers.storage_event(object_event("runs/run-1/_FAILED"))
    assert len(notices.noticed) == 1


IN_A_FRESH_PROCESS = """
import json, sys
from functions_framework import create_app
client = create_app("storage_event", "main.py").test_client()
from functions import wiring
wiring.world = None
for event in json.loads(sys.stdin.read()):
    answer = client.post("/", headers=event["headers"], data=json.dumps(event["body"]))
    assert answer.status_code == 200, answer.text
print(json.dumps(sorted(sys.modules)))
"""


def test_what_is_loaded_for_objects_that_are_no_sign(tmp_path: Path) -> None:
    """The whole function, in a process of its own: no adapter's library is imported, no world is made, and nothing is logged."""
    policy = tmp_path / "policy.yaml"
    policy.write_text("version: 1\nartifacts: [{bucket: acme-ml-artifacts, runs: 'runs/{run}/', failed_when: [mlflow, failed_marker]}]")
    message = {"ce-id": "1", "ce-source": "s", "ce-specversion": "1.0", "ce-type": "google.cloud.pubsub.topic.v1.messagePublished"}
    posted = [
        {"headers": storage_headers(), "body": resource("runs/run-1/model.ckpt")},
        {"headers": storage_headers(kind="deleted"), "body": resource()},
        {"headers": {**message, "content-type": "application/json"}, "body": body(b"{}", storage_attributes("runs/run-1/model.ckpt"))},
    ]
    search = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG") or name.startswith(("PYTHON", "COV"))}
    settings = {
        "GOOGLE_CLOUD_PROJECT": "acme-ml-watchdog",
        "WATCHDOG_STATE_BUCKET": "acme-ml-watchdog-state",
        "WATCHDOG_POLICY": str(policy),
    }
    answer = subprocess.run(
        [sys.executable, "-c", IN_A_FRESH_PROCESS], cwd=Path(__file__).resolve().parents[2], env=search | settings, input=json.dumps(posted),
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    (line,) = answer.stdout.splitlines()
    vendors = (
        "google.api_core",
        "google.auth",
        "google.cloud.run_v2",
        "google.cloud.storage",
        "google.pubsub",
        "google.cloud.pubsub",
        "slack_sdk",
    )
    assert [name for name in json.loads(line) if name.startswith((*vendors, "grpc", "requests", "urllib3"))] == []
    assert answer.stderr == ""
