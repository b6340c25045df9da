"""kill -9 in the middle of the work: what a function began in a process of its own is completed by ticks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from functions import wiring
from sandbox.cloud import Sandbox
from sandbox.estate import US, month_start
from sandbox.faults import Fault
from sandbox.functions import BUDGET_ALERT, Functions
from sandbox.scene import letters
from shared.session import LEASE
from tests.e2e.harness import InProcess, ShiftedClock, wait_until
from tests.envelopes import attributes, encode, payload

SERVICES, DONE = 30, 12
POLICY = """
version: 1
mode: enforce
scope: {projects: [acme-ml-staging], regions: [us-central1]}
slack: {channel: "#ml-cost"}
budgets:
  - budget: ML Training Budget
    steps:
      - {at: 80%, do: [{scale_to_zero: {select: {labels: {env: staging}}, to: idle}}]}
"""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """One step."""
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY, encoding="utf-8")
    return file


@pytest.fixture
def sandbox(policy: Path) -> Iterator[Sandbox]:
    """Thirty services with a warm instance each."""
    with Sandbox(policy=policy, operation_seconds=0) as made:
        for number in range(SERVICES):
            made.run.add_service(made.project, US, f"worker-{number:02}", service_min=1, labels={"env": "staging"})
        yield made


def test_what_a_killed_function_began_is_completed_once(
    sandbox: Sandbox, processes: Functions, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twelve of thirty services are parked when the process dies; the tick parks the rest, writes none twice, and Slack is told once of all."""
    services = [f"projects/{sandbox.project}/locations/{US}/services/worker-{number:02}" for number in range(SERVICES)]
    stuck = sandbox.faults.inject(Fault("UpdateService", status="UNAVAILABLE", delay=10.0, skip=DONE))
    begun = month_start(datetime.now(UTC)).isoformat()
    sandbox.pubsub.publish(sandbox.budget_topic, encode(payload(82, costIntervalStart=begun)), attributes())
    wait_until(lambda: (sandbox.faults.calls.get("UpdateService"), len(sandbox.run.writes)) == (SERVICES, DONE))
    processes.by_target[BUDGET_ALERT].kill()
    sandbox.faults.clear(stuck)
    assert not letters(sandbox)

    functions: InProcess = request.getfixturevalue("in_process")
    functions.tick()
    assert (len(sandbox.run.writes), letters(sandbox)) == (DONE, [])  # the dead one's lease still holds
    monkeypatch.setattr("shared.clock.SystemClock", partial(ShiftedClock, LEASE + timedelta(seconds=1)))
    wiring._world.cache_clear()
    functions.tick()
    assert sorted(sandbox.run.write_counts.items()) == [(service, 1) for service in services]
    assert sum(sandbox.run.total(service) for service in services) == 0
    (message,) = letters(sandbox)
    assert f"DONE ({SERVICES})" in message["text"]
    functions.tick()
    assert len(letters(sandbox)) == 1
