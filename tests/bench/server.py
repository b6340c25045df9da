"""A stand-in in a process of its own, so that what is measured has its interpreter to itself; spoken to over standard input and output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from sandbox.cloud import PROJECT, STATE_BUCKET, Sandbox
from sandbox.run_seed import Shape
from sandbox.storage_listing import Query
from shared.entry import Entry, StepRecord

REGIONS = tuple(f"us-east{number}" for number in range(1, 11))
LABELS = {"env": "staging"}
BUCKET = "acme-ml-runs"
PREFIX = "mlruns/7/0f3c9a5e2b7d4c1a8e6f0123456789ab/"

POLICY = f"""
version: 1
mode: enforce
scope: {{projects: [{PROJECT}], regions: [{", ".join(REGIONS)}]}}
limits: {{targets: 5000}}
slack: {{channel: "#ml-cost"}}
budgets:
  - budget: "*"
    steps:
      - at: 80%
        do:
          - scale_to_zero: {{select: {{labels: {{env: staging}}}}, to: idle}}
"""


class Server:
    """The handle of such a process.

    Attributes:
        environment: What points clients at it.
    """

    def __init__(self, root: Path) -> None:
        """Start it."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.server"], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.environment: dict[str, str] = self._answer()

    def ask(self, **question: Any) -> Any:
        """Send one command and wait for its answer."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """End it."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(timeout=30)

    def _answer(self) -> Any:
        assert self._process.stdout
        return json.loads(self._process.stdout.readline())


def main() -> None:
    """Serve until standard input ends."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as policy:
        policy.write(POLICY)
        policy.flush()
        with Sandbox(policy=policy.name, operation_seconds=0.2) as sandbox:
            print(json.dumps({**sandbox.environment(), "K_SERVICE": "", "PATH": os.environ["PATH"]}), flush=True)
            seeded: list[str] = []
            for line in sys.stdin:
                question = json.loads(line)
                print(json.dumps(_done(sandbox, question, seeded)), flush=True)


def _done(sandbox: Sandbox, question: dict[str, Any], seeded: list[str]) -> Any:
    if question["do"] == "seed":
        sandbox.faults.latency = 0.0
        while seeded:
            sandbox.run.remove(seeded.pop(), "bench")
        add = sandbox.run.add_service
        seeded.extend(
            add(PROJECT, REGIONS[number % len(REGIONS)], f"service-{number:04}", labels=LABELS, service_min=1)
            for number in range(question["services"])
        )
        sandbox.faults.latency = question["latency"]
        sandbox.faults.calls.clear()
        return None
    if question["do"] == "fill":
        return _fill(sandbox, question["objects"], question["latency"])
    if question["do"] == "estate":
        return _estate(sandbox, question["services"], question["buckets"], question["objects"], question["latency"])
    if question["do"] == "objects":
        return sum(bucket["objects"] for bucket in sandbox.storage.snapshot() if bucket["name"] == BUCKET)
    if question["do"] == "calls":
        return dict(sandbox.faults.calls)
    if question["do"] == "config":
        sandbox.storage.create_bucket("acme-ml-config", project=PROJECT)
        sandbox.storage.put("acme-ml-config", "policy.yaml", POLICY.encode())
        return "gs://acme-ml-config/policy.yaml"
    if question["do"] == "forget":
        return sandbox.faults.calls.clear()
    if question["do"] == "teams":
        return _teams(sandbox, question["services"], seeded)
    if question["do"] == "journal":
        return _journal(sandbox, question["waiting"], question["closed"])
    if question["do"] == "outcome":
        return _outcome(sandbox, seeded)
    return sum(1 for name in seeded if sandbox.run.total(name))


def _fill(sandbox: Sandbox, objects: int, latency: float) -> None:
    """Make the bucket hold as many objects of one run."""
    if BUCKET not in [bucket["name"] for bucket in sandbox.storage.snapshot()]:
        sandbox.storage.create_bucket(BUCKET, softDeletePolicy={"retentionDurationSeconds": 0})
    for number in range(objects):
        name = f"{PREFIX}artifacts/checkpoints/step-{number // 100:06}/model-{number % 100:05}-of-00100.safetensors"
        sandbox.storage.put(BUCKET, name, size=1 << 20)
    sandbox.storage.writes.clear()
    sandbox.faults.latency = latency
    sandbox.faults.calls.clear()


def _estate(sandbox: Sandbox, services: int, buckets: int, objects: int, latency: float) -> None:
    """All that an audit looks at; every tenth service has a tagged revision, and every fifth bucket holds runs."""
    for number in range(services):
        shape: Shape = {"labels": LABELS, "service_min": 1, **({"tags": {"canary": 1}} if number % 10 == 0 else {})}
        sandbox.run.add_service(PROJECT, REGIONS[number % len(REGIONS)], f"audited-{number:04}", **shape)
    for number in range(buckets):
        bucket = f"acme-ml-audited-{number:02}"
        sandbox.storage.create_bucket(bucket, project=PROJECT)
        for each in range(objects // buckets):
            name = (
                f"runs/run-{each // 200:05}/ckpt/{each:06}.safetensors" if number % 5 == 0 else f"data/{each // 1000:04}/{each:08}.parquet"
            )
            sandbox.storage.put(bucket, name, size=1 << 20)
    sandbox.faults.latency = latency
    sandbox.faults.calls.clear()


def _teams(sandbox: Sandbox, services: int, seeded: list[str]) -> None:
    """A service for each team, kept warm."""
    seeded.extend(
        sandbox.run.add_service(PROJECT, REGIONS[0], f"service-{number:02}", labels={"team": f"team-{number:02}"}, service_min=1)
        for number in range(services)
    )
    sandbox.faults.calls.clear()


def _outcome(sandbox: Sandbox, seeded: list[str]) -> dict[str, int]:
    """What the watchdog made of budget messages: steps that were carried out, each once where all are different, and services that run no more."""
    names = [item["name"] for folder in ("entries", "closed") for item in _items(sandbox, f"{folder}/budget-")]
    entries = [Entry.model_validate_json(sandbox.storage.get(STATE_BUCKET, name).data or b"") for name in names]
    steps = [(entry.notification.budget_id, step.key) for entry in entries if entry.notification for step in entry.steps]
    return {
        "entries": len(entries),
        "steps": len(steps),
        "different": len(set(steps)),
        "open": sum(step.state != "planned" for entry in entries for step in entry.steps),
        "parked": sum(not sandbox.run.total(name) for name in seeded),
    }


def _items(sandbox: Sandbox, prefix: str) -> list[dict[str, Any]]:
    return list(sandbox.storage.list_objects(STATE_BUCKET, Query(prefix=prefix)).get("items", []))


def _journal(sandbox: Sandbox, waiting: int, closed: int) -> None:
    """Entries that wait for their time, and closed ones."""
    now = datetime.now(UTC)
    step = StepRecord(key="actual-80", at=Decimal("0.8"), on="actual", uses=(), state="waiting", opens_at=now + timedelta(days=7))
    for folder, count in (("entries", waiting), ("closed", closed)):
        for number in range(count):
            entry = Entry(key=f"budget-20261101-actual-80-{number:010x}", created=now, steps=(step,), claimed=True)
            stamps = {"due": (now + timedelta(days=7)).isoformat(), "created": now.isoformat()}
            sandbox.storage.put(STATE_BUCKET, f"{folder}/{entry.key}.json", entry.model_dump_json().encode(), metadata=stamps)
    sandbox.faults.calls.clear()


if __name__ == "__main__":
    main()
