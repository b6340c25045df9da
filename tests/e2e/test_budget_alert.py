"""The entry point ``budget_alert`` under functions-framework, with every shape of message posted as Eventarc posts it.

``UPDATE_GOLDEN=1`` writes the events anew.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import functions_framework
import pytest

from functions import policy_in_force, wiring
from sandbox.cloud import ROOT, STATE_BUCKET, Sandbox
from sandbox.faults import Fault
from sandbox.functions import BUDGET_ALERT
from sandbox.scene import letters
from shared.cloud.state_bucket import GcsStateBucket
from shared.errors import SettingsError
from tests.doubles import ManualClock
from tests.e2e.harness import InProcess
from tests.envelopes import EVENTS, NOW
from tests.shapes import BY_NAME, IN_ORDER, NEXT_PERIOD, REFUSED, Shape

POLICY = """
version: 1
mode: enforce
scope: {projects: [acme-ml-staging], regions: [us-central1]}
protect: {labels: {env: prod}}
allowed_billing_accounts: [01D4EE-079462-DFD6EC]
slack: {channel: "#ml-cost"}
budgets:
  - budget: ML Training Budget
    steps:
      - {at: 50%, do: [notify]}
      - {at: 80%, do: [{scale_to_zero: {select: {labels: {env: staging}}, to: idle}}]}
      - {at: 90%, on: forecast, do: [notify]}
"""
REGION = "us-central1"
STAGING = ("embedder-staging", "reranker-staging")


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """A ladder with one step that acts."""
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY, encoding="utf-8")
    return file


@pytest.fixture
def sandbox(policy: Path) -> Iterator[Sandbox]:
    """Two staging services and one of production, with two warm instances each."""
    with Sandbox(policy=policy, operation_seconds=0) as made:
        for name in STAGING:
            made.run.add_service(made.project, REGION, name, service_min=2, labels={"env": "staging"})
        made.run.add_service(made.project, REGION, "embedder-prod", service_min=2, labels={"env": "prod"})
        yield made


@pytest.fixture(autouse=True)
def clock(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    """The time for the functions and for Slack: that of the events, until a test lets it pass. What is limited to once a second is not limited."""
    clock = ManualClock()
    monkeypatch.setattr("shared.clock.SystemClock", lambda: clock)
    monkeypatch.setattr(sandbox.slack._workspace, "_now", lambda: clock.now().timestamp())
    for channel in sandbox.slack._workspace.channels():
        channel.bucket.rate = 1000.0
    sandbox.storage.object_update_limit = False
    return clock


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client of the state bucket gives up at once instead of after some seconds."""
    monkeypatch.setattr("shared.cloud.state_bucket.GcsStateBucket", partial(GcsStateBucket, patience=0.05))


def post(functions: InProcess, shape: Shape) -> int:
    """Post an event as its file has it."""
    event = json.loads((EVENTS / f"{shape.name}.json").read_text(encoding="utf-8"))
    body = event["body"]
    return functions.post(BUDGET_ALERT, body.encode() if isinstance(body, str) else body, event["headers"])


def written(sandbox: Sandbox) -> list[tuple[str, str, tuple[str, ...]]]:
    """Every write that reached Cloud Run: the method, the service and the mask, by service."""
    return sorted((write.method, write.name.rsplit("/", 1)[-1], write.mask) for write in sandbox.run.writes)


def running(sandbox: Sandbox) -> int:
    """How many instances of staging run."""
    return sum(sandbox.run.total(f"projects/{sandbox.project}/locations/{REGION}/services/{name}") for name in STAGING)


def told(sandbox: Sandbox) -> list[str]:
    """The texts in the channel, in order."""
    return [str(message["text"]) for message in letters(sandbox)]


PARKED = [("UpdateService", name, ("scaling.min_instance_count",)) for name in STAGING]


# every shape


@pytest.mark.parametrize("shape", BY_NAME.values(), ids=BY_NAME)
def test_the_golden_events(shape: Shape) -> None:
    """Each file holds the headers and the body of one shape, and can be posted by hand."""
    path = EVENTS / f"{shape.name}.json"
    text = json.dumps(shape.event, indent=2, sort_keys=True) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), f"{path} differs; UPDATE_GOLDEN=1 writes it anew"


@pytest.mark.parametrize("shape", [*IN_ORDER, *REFUSED, BY_NAME["stale"]], ids=lambda shape: str(shape.name))
def test_every_shape(in_process: InProcess, shape: Shape) -> None:
    """It is acknowledged; staging goes idle where it should; Slack is told once or not at all; and a second delivery does nothing."""
    sandbox = in_process.sandbox
    for _ in range(2):
        assert post(in_process, shape) == 200
        assert written(sandbox) == (PARKED if shape.parks else [])
        assert running(sandbox) == (0 if shape.parks else 4)
        assert [shape.told in text for text in told(sandbox)] == ([True] if shape.told else [])


def test_one_malformed_message_a_day_and_kind_is_reported(in_process: InProcess, clock: ManualClock) -> None:
    """Whatever is wrong with them, those of one kind are told of once a day, and the next day once more."""
    sandbox = in_process.sandbox
    kinds = len({shape.told for shape in REFUSED})
    for day in (1, 2):
        for shape in REFUSED:
            assert post(in_process, shape) == 200
        assert len(told(sandbox)) == day * kinds
        clock.sleep(timedelta(days=1).total_seconds())
    assert written(sandbox) == []


# one after the other


def test_a_falling_cost_changes_nothing(in_process: InProcess) -> None:
    """A credit does not bring anything back within the period, and the step does not fire again when the cost rises once more."""
    sandbox = in_process.sandbox
    for name in ("without_thresholds", "below_every_step", "credits_beyond_the_cost", "actual_threshold"):
        assert post(in_process, BY_NAME[name]) == 200
    assert written(sandbox) == PARKED
    assert len(told(sandbox)) == 1


def test_out_of_order(in_process: InProcess) -> None:
    """The earlier message that comes late reaches no step that was not reached already."""
    sandbox = in_process.sandbox
    for name in ("both_thresholds", "forecast_threshold", "without_thresholds", "below_every_step"):
        assert post(in_process, BY_NAME[name]) == 200
    assert written(sandbox) == PARKED
    assert len(told(sandbox)) == 1


def test_in_order(in_process: InProcess) -> None:
    """What a later message newly reaches is told of by itself."""
    for name in ("below_every_step", "forecast_threshold", "without_thresholds", "both_thresholds"):
        assert post(in_process, BY_NAME[name]) == 200
    assert [text.splitlines()[0] for text in told(in_process.sandbox)] == [
        "ML Training Budget is forecast to pass 90 %",
        "ML Training Budget passed 80 %",
    ]


def test_an_older_period_after_a_newer_one(in_process: InProcess) -> None:
    """It is ignored, although it is far above every step."""
    for name in ("below_every_step", "older_period"):
        assert post(in_process, BY_NAME[name]) == 200
    assert (written(in_process.sandbox), told(in_process.sandbox)) == ([], [])


def test_the_next_period_puts_everything_back(in_process: InProcess, clock: ManualClock) -> None:
    """The first message of the new period restores what the old one parked, and a late one of the old period parks nothing again."""
    sandbox = in_process.sandbox
    assert post(in_process, BY_NAME["without_thresholds"]) == 200
    clock.instant = NEXT_PERIOD + timedelta(hours=2)
    for _ in range(2):
        assert post(in_process, BY_NAME["next_period"]) == 200
    assert running(sandbox) == 4
    assert post(in_process, BY_NAME["without_thresholds"]) == 200
    assert running(sandbox) == 4
    assert [text.splitlines()[0] for text in told(sandbox)] == ["ML Training Budget passed 80 %", "ML Training Budget: 2 put back"]


def test_a_stale_message_does_not_begin_a_period(in_process: InProcess, clock: ManualClock) -> None:
    """It tells a status and starts no action, so what is parked stays until a fresh one comes."""
    sandbox = in_process.sandbox
    assert post(in_process, BY_NAME["without_thresholds"]) == 200
    clock.instant = NEXT_PERIOD + timedelta(hours=9)
    assert post(in_process, BY_NAME["next_period"]) == 200
    assert running(sandbox) == 0


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning:functions_framework.event_conversion")
def test_a_plain_push_without_the_headers_of_an_event(in_process: InProcess) -> None:
    """A push subscription made by hand works too: the framework makes an event of it."""
    body = {**BY_NAME["without_thresholds"].body, "subscription": "projects/watchdog-project/subscriptions/by-hand"}
    assert in_process.post(BUDGET_ALERT, body, {"content-type": "application/json"}) == 200
    assert written(in_process.sandbox) == PARKED


# what goes wrong around it


@pytest.mark.usefixtures("hasty")
def test_a_state_bucket_that_is_away_has_the_message_delivered_again(in_process: InProcess) -> None:
    """Nothing is changed that could not be recorded, and the same message delivered again does all of it."""
    sandbox = in_process.sandbox
    sandbox.faults.inject(Fault("storage.objects.insert", status=503))
    for _ in range(2):
        assert post(in_process, BY_NAME["without_thresholds"]) == 500
    assert (written(sandbox), told(sandbox)) == ([], [])
    sandbox.faults.clear()
    assert post(in_process, BY_NAME["without_thresholds"]) == 200
    assert (written(sandbox), len(told(sandbox))) == (PARKED, 1)


@pytest.mark.usefixtures("hasty")
def test_a_state_bucket_that_goes_away_half_way(in_process: InProcess, clock: ManualClock) -> None:
    """Whichever write of the journal is the first to fail, the message or a tick completes it, each service is written once and Slack is told once."""
    sandbox = in_process.sandbox
    for number in range(12):
        sandbox.faults.inject(Fault("storage.objects.insert", status=503, skip=number))
        post(in_process, BY_NAME["without_thresholds"])
        sandbox.faults.clear()
        clock.sleep(61)
    assert post(in_process, BY_NAME["without_thresholds"]) == 200
    in_process.tick()
    assert (written(sandbox), len(told(sandbox))) == (PARKED, 1)


def test_a_state_bucket_that_may_not_be_written_is_acknowledged(in_process: InProcess, caplog: pytest.LogCaptureFixture) -> None:
    """A permission is missing, which no redelivery brings: the log names it, and nothing was changed."""
    in_process.sandbox.faults.inject(Fault("storage.objects.insert", status=403))
    assert post(in_process, BY_NAME["without_thresholds"]) == 200
    assert written(in_process.sandbox) == []
    (error,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert f"gs://{STATE_BUCKET}/entries/" in error


def test_slack_is_down(in_process: InProcess, clock: ManualClock) -> None:
    """The budget message is acknowledged and carried out; the message to people waits for a later tick, and is sent once."""
    sandbox = in_process.sandbox
    sandbox.slack.outage(on=True)
    assert post(in_process, BY_NAME["without_thresholds"]) == 200
    clock.sleep(60)
    assert in_process.tick() == [200]
    assert (written(sandbox), told(sandbox)) == (PARKED, [])
    sandbox.slack.outage(on=False)
    for _ in range(3):
        clock.sleep(600)
        assert in_process.tick() == [200]
    assert (written(sandbox), len(told(sandbox))) == (PARKED, 1)


@pytest.mark.parametrize("number", [0, 1], ids=["the headline", "the message"])
def test_slack_takes_the_message_and_its_answer_is_lost(in_process: InProcess, clock: ManualClock, number: int) -> None:
    """The message is found by its reference and not posted a second time."""
    sandbox = in_process.sandbox
    sandbox.faults.inject(Fault("chat.postMessage", drop_answer=True, times=1, skip=number))
    assert post(in_process, BY_NAME["without_thresholds"]) == 200
    for _ in range(3):
        clock.sleep(600)
        assert in_process.tick() == [200]
    assert len(told(sandbox)) == 1
    assert len(sandbox.slack.messages("ml-cost")) == 2


def test_cloud_run_does_not_answer(in_process: InProcess, clock: ManualClock) -> None:
    """The region is named in Slack, and looked at again by a later tick."""
    sandbox = in_process.sandbox
    sandbox.faults.inject(Fault("ListServices", status=500))
    assert post(in_process, BY_NAME["without_thresholds"]) == 200
    assert REGION in told(sandbox)[0]
    sandbox.faults.clear()
    clock.sleep(120)
    assert in_process.tick() == [200]
    assert written(sandbox) == PARKED


@pytest.mark.parametrize("target", ["budget_alert", "task"])
def test_a_policy_with_faults_refuses_to_start(in_process: InProcess, policy: Path, target: str) -> None:
    """Every fault is named with its line, before any message is taken."""
    assert in_process.sandbox.policy == str(policy)
    policy.write_text(POLICY.replace("enforce", "enforced").replace("regions", "region").replace("to: idle", "to: idel"), encoding="utf-8")
    policy_in_force._read.clear()
    with pytest.raises(SettingsError) as refused:
        functions_framework.create_app(target, str(ROOT / "main.py"))
    lines = [fault.removeprefix(f"{policy}:").split(":")[0] for fault in refused.value.faults]
    assert lines == ["3", "4", "4", "12"]


def test_a_policy_in_a_bucket_with_faults_keeps_the_message(
    in_process: InProcess, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is delivered again until the policy is mended, and then carried out."""
    sandbox.storage.create_bucket("acme-ml-watchdog-policy", project=sandbox.project)
    sandbox.storage.insert("acme-ml-watchdog-policy", "policy.yaml", b"version: 2", {})
    monkeypatch.setenv("WATCHDOG_POLICY", "gs://acme-ml-watchdog-policy/policy.yaml")
    wiring.settings.cache_clear()
    assert post(in_process, BY_NAME["without_thresholds"]) == 500
    sandbox.storage.insert("acme-ml-watchdog-policy", "policy.yaml", POLICY.encode(), {})
    assert post(in_process, BY_NAME["without_thresholds"]) == 200
    assert written(sandbox) == PARKED


# many at once


def test_ten_simultaneous_deliveries_of_one_message(in_process: InProcess) -> None:
    """One plan, one set of writes, one Slack message; all ten are acknowledged."""
    sandbox = in_process.sandbox
    sandbox.faults.latency = 0.02
    app = in_process.clients[BUDGET_ALERT].application
    event = BY_NAME["without_thresholds"].event
    statuses: list[int] = []
    gate = threading.Barrier(10)

    def deliver() -> None:
        client = app.test_client()
        gate.wait()
        statuses.append(client.post("/", json=event["body"], headers=event["headers"]).status_code)

    threads = [threading.Thread(target=deliver) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 10
    assert (written(sandbox), len(told(sandbox))) == (PARKED, 1)
    sandbox.faults.latency = 0
    assert in_process.tick() == [200]
    assert (written(sandbox), len(told(sandbox))) == (PARKED, 1)
    assert len(wiring.watchdog().journal.keys()) == 1
    assert wiring.watchdog().world.clock.now() == NOW
