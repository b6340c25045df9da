"""What a process has loaded once it has answered: the clients that its event needed, and no other."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from urllib.parse import urlencode

import pytest

from sandbox.cloud import ROOT, SIGNING_SECRET, Sandbox
from sandbox.slack_delivery import signed
from tests.envelopes import attributes, body, encode, headers, payload, resource, storage_headers

VENDORS = {
    "google.cloud.storage": "storage",
    "google.cloud.run_v2": "run",
    "google.pubsub_v1": "pubsub",
    "google.cloud.monitoring_v3": "monitoring",
    "google.cloud.billing_v1": "billing",
    "google.cloud.billing": "billing",
    "google.cloud.resourcemanager_v3": "projects",
    "slack_sdk.web.client": "slack",
}
"""By module, the client that it belongs to. Google's core loads grpc wherever it is installed, so that one tells nothing."""
OURS = {
    "pydantic": "pydantic",
    "shared.policy.policy": "policy",
    "shared.watchdog": "watchdog",
    "shared.audit.audit": "audit",
    "sandbox": "sandbox",
}
"""What takes time to load and is our own."""

CHILD = """
import json, sys
import functions_framework

target, method, path, sent, told = json.loads(sys.stdin.readline())
client = functions_framework.create_app(target, "main.py", "http").test_client()
answer = client.open(path, method=method, data=sent.encode(), headers=told)
print(json.dumps([answer.status_code, list(sys.modules)]))
"""

Event = tuple[str, bytes, dict[str, str]]
"""A method, with a path where it is not /, a body and headers."""


def loaded(target: str, event: Event, environment: Mapping[str, str]) -> tuple[int, set[str]]:
    """The status that a fresh process answers one event with, and what of interest it has loaded then."""
    method, sent, told = event
    method, _, path = method.partition(" ")
    question = json.dumps([target, method, path or "/", sent.decode(), told])
    answer = subprocess.run(
        [sys.executable, "-c", CHILD], cwd=ROOT, env=dict(environment), input=question + "\n", capture_output=True, text=True, check=True, timeout=60
    )  # fmt: skip
    status, names = json.loads(answer.stdout.splitlines()[-1])
    return status, {what for module, what in {**VENDORS, **OURS}.items() if module in names}


def command() -> Event:
    """A slash command, signed now."""
    sent = urlencode({"command": "/cost-watchdog", "text": f"status {uuid.uuid4()}", "user_id": "U012AB3CD", "channel_id": "C0000000001"})
    return "POST", sent.encode(), signed(sent.encode(), SIGNING_SECRET, int(time.time()))


def object_written(name: str) -> Event:
    """An object was written to the bucket of the runs."""
    return "POST", encode(resource(name)), storage_headers(name=name)


UNSIGNED: Event = ("POST", b"payload=%7B%7D", {"content-type": "application/x-www-form-urlencoded"})
NOTHING: Event = ("GET", b"", {})
ROUTINE: Event = ("POST", encode(body(encode(payload(10)), attributes())), headers())
TICK: Event = ("POST", encode(body(b'{"task": "tick"}', None)), headers())


@pytest.fixture
def environment(sandbox: Sandbox) -> dict[str, str]:
    """A deployment's, with the policy in a bucket."""
    sandbox.storage.create_bucket("acme-ml-watchdog-config", project=sandbox.project)
    sandbox.storage.put("acme-ml-watchdog-config", "policy.yaml", (ROOT / "policy.yaml").read_bytes())
    return {**sandbox.environment(), "WATCHDOG_POLICY": "gs://acme-ml-watchdog-config/policy.yaml", "K_SERVICE": "cost-watchdog"}


@pytest.mark.parametrize(
    ("target", "event", "status", "expected"),
    [
        ("budget_alert", NOTHING, 405, set[str]()),
        ("storage_event", NOTHING, 405, set[str]()),
        ("task", NOTHING, 405, set[str]()),
        ("slack_action", UNSIGNED, 401, set[str]()),
        ("audit", ("DELETE", b"", {}), 405, set[str]()),
        ("audit", ("GET /?nonsense=1", b"", {}), 400, set[str]()),
        ("audit", ("GET /?project=another", b"", {}), 400, {"pydantic", "policy"}),
        ("storage_event", object_written("runs/run-1/model.bin"), 200, set[str]()),
        ("budget_alert", ROUTINE, 200, {"storage", "pydantic", "policy", "watchdog"}),
        ("task", TICK, 200, {"storage", "projects", "pydantic", "policy", "watchdog"}),
    ],
)
def test_what_an_event_loads(environment: dict[str, str], target: str, event: Event, status: int, expected: set[str]) -> None:
    """What is turned away and a name that means nothing cost no client and no model of the policy, and nothing ever loads the sandbox."""
    assert loaded(target, event, environment) == (status, expected)


def test_a_command_of_slack(environment: dict[str, str]) -> None:
    """It is recorded and handed on, which takes the state bucket and Pub/Sub; of Slack's client only the check of signatures is used, which loads it whole."""
    assert loaded("slack_action", command(), environment) == (200, {"storage", "pubsub", "slack", "pydantic", "policy"})
