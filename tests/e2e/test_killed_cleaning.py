"""kill -9 in the middle of a deletion: what a function began in a process of its own is completed by a tick, and nothing is deleted twice."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from functions import wiring
from sandbox.cloud import ARTIFACTS_BUCKET, STATE_BUCKET, Sandbox
from sandbox.faults import Fault
from sandbox.functions import TASK, Functions, tick
from sandbox.scene import letters
from shared.session import LEASE
from tests.e2e.harness import InProcess, ShiftedClock, wait_until

OBJECTS, BATCH = 450, 100
POLICY = """
version: 1
mode: enforce
slack: {channel: "#ml-cost"}
artifacts:
  - {bucket: acme-ml-artifacts, runs: "runs/{run}/", failed_when: [failed_marker], wait: 0s}
"""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """A failed run is deleted at once."""
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY, encoding="utf-8")
    return file


@pytest.fixture
def sandbox(policy: Path) -> Iterator[Sandbox]:
    """A run with some hundred objects, and one beside it."""
    with Sandbox(policy=policy) as made:
        for number in range(OBJECTS):
            made.storage.put(ARTIFACTS_BUCKET, f"runs/bert-7/{number:03}", size=1 << 20)
        made.storage.put(ARTIFACTS_BUCKET, "runs/bert-70/000", size=1 << 20)
        yield made


def test_what_a_killed_function_began_to_delete_is_completed_once(
    sandbox: Sandbox, processes: Functions, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of five batches are done when the process dies; the tick does the rest, no object is deleted twice, all are in the manifest, Slack is told once."""
    stuck = sandbox.faults.inject(Fault("storage.batch", status=503, delay=10.0, skip=2))
    sandbox.storage.put(ARTIFACTS_BUCKET, "runs/bert-7/_FAILED")
    assert sandbox.pubsub.drain(30)
    tick(sandbox)
    wait_until(lambda: len(deleted(sandbox)) == 2 * BATCH and sandbox.faults.calls.get("storage.batch", 0) > 2)
    processes.by_target[TASK].kill()
    sandbox.faults.clear(stuck)
    assert not letters(sandbox)

    functions: InProcess = request.getfixturevalue("in_process")
    functions.tick()
    assert (len(deleted(sandbox)), letters(sandbox)) == (2 * BATCH, [])  # the dead one's lease still holds
    monkeypatch.setattr("shared.clock.SystemClock", partial(ShiftedClock, LEASE + timedelta(seconds=1)))
    wiring._world.cache_clear()
    functions.tick()
    names = deleted(sandbox)
    assert len(names) == len(set(names)) == OBJECTS + 1
    assert [each.name for each in sandbox.storage.contents(ARTIFACTS_BUCKET)[0]] == ["runs/bert-70/000"]
    stored = [each for each in sandbox.storage.contents(STATE_BUCKET)[0] if each.name.startswith("manifests/")]
    listed = [json.loads(line)["name"] for each in stored for line in gzip.decompress(each.data or b"").splitlines()]
    assert sorted(listed) == sorted(names)
    (message,) = letters(sandbox)
    assert f"deleted {OBJECTS + 1} objects" in message["text"]


def deleted(sandbox: Sandbox) -> list[str]:
    """The names of the objects that were deleted, in order."""
    writes = list(sandbox.storage.writes)
    return [name for _, method, bucket, name, _ in writes if (method, bucket) == ("storage.objects.delete", ARTIFACTS_BUCKET)]
