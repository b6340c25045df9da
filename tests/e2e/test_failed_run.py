"""A training run fails: from the notification to the deletion and back, through the real entry points in this process."""

from __future__ import annotations

import logging
import re
from datetime import timedelta

import pytest

from functions import __main__ as cli
from sandbox import training
from sandbox.cloud import ARTIFACTS_BUCKET, STATE_BUCKET, Sandbox
from sandbox.functions import STORAGE_EVENT
from sandbox.scene import letters
from sandbox.training import DOOMED, NEIGHBOUR, PROMOTED, Run
from tests.e2e.harness import InProcess, ShiftedClock

AFTERWARDS = timedelta(seconds=5)
"""Longer than the policy's waits here."""


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> ShiftedClock:
    """The time for the functions, which can be moved on."""
    clock = ShiftedClock()
    monkeypatch.setattr("shared.clock.SystemClock", lambda: clock)
    return clock


def live(sandbox: Sandbox) -> dict[str, int]:
    """The names and generations of the bucket's objects."""
    return {each.name: each.generation for each in sandbox.storage.contents(ARTIFACTS_BUCKET)[0]}


def deleted(sandbox: Sandbox) -> list[str]:
    """The names of the objects that were deleted, in order; what was only written anew does not count."""
    writes = sandbox.storage.writes
    return [name for _, method, bucket, name, _ in writes if (method, bucket) == ("storage.objects.delete", ARTIFACTS_BUCKET)]


def recorded(sandbox: Sandbox, run: Run, folder: str = "entries/") -> list[str]:
    """The names of the journal's entries about a run."""
    return [each.name for each in sandbox.storage.contents(STATE_BUCKET)[0] if each.name.startswith(folder) and f"-{run.id}-" in each.name]


def told(sandbox: Sandbox) -> list[str]:
    """The headings of the messages."""
    return [str(message["text"]).splitlines()[0] for message in letters(sandbox)]


def test_a_failed_run_is_announced_deleted_and_brought_back(
    in_process: InProcess, clock: ShiftedClock, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only its artifacts go, each once; what the policy keeps and what lies beside it stays; and a command brings all of it back."""
    sandbox = in_process.sandbox
    training.fail(sandbox.storage, DOOMED.folder)
    before = live(sandbox)
    assert in_process.drain() == [200]
    assert (len(recorded(sandbox, DOOMED)), told(sandbox)) == (1, [])
    in_process.tick()
    assert ["will delete 17 objects, 210.0 GiB" in heading for heading in told(sandbox)] == [True]
    in_process.tick()
    assert deleted(sandbox) == []

    clock.ahead = AFTERWARDS
    in_process.tick()
    in_process.tick()
    gone = sorted(before.keys() - live(sandbox).keys())
    assert sorted(deleted(sandbox)) == gone == sorted(name for name in before if name.startswith(f"{DOOMED.folder}artifacts/"))
    assert len(gone) == 17
    assert all(live(sandbox)[name] == generation for name, generation in before.items() if name not in gone)
    assert sum(name.startswith(NEIGHBOUR.folder) for name in live(sandbox)) == 19
    assert ["deleted 17 objects, 210.0 GiB" in heading for heading in told(sandbox)] == [False, True]

    (key,) = re.findall(r"restore --entry ([\w-]+)", letters(sandbox)[-1]["text"])
    assert cli.main(["restore", "--entry", key]) == 0
    assert key in capsys.readouterr().out
    assert live(sandbox).keys() == before.keys()
    assert "put back 17 of 17 objects" in told(sandbox)[-1]
    assert in_process.drain() == [200] * 17
    in_process.tick()
    assert (len(told(sandbox)), recorded(sandbox, DOOMED)) == (3, [])


def test_both_forms_of_the_notification_are_one(in_process: InProcess) -> None:
    """The bucket tells Eventarc's trigger and a topic of the team's own of the same write, each twice: one entry, one message."""
    sandbox = in_process.sandbox
    topic = f"projects/{sandbox.project}/topics/bucket-changes"
    sandbox.pubsub.create_topic(topic)
    sandbox.notifications.add(ARTIFACTS_BUCKET, topic, event_types=["OBJECT_FINALIZE"], prefix="mlruns/")
    training.fail(sandbox.storage, DOOMED.folder)
    (direct,) = sandbox.pubsub.messages(sandbox.artifacts_topic)[-1:]
    (through_pubsub,) = sandbox.pubsub.messages(topic)
    for _ in range(2):
        assert in_process.deliver(through_pubsub, (STORAGE_EVENT, None)) == 200
        assert in_process.deliver(direct) == 200
    assert len(recorded(sandbox, DOOMED)) == 1
    in_process.tick()
    assert len(told(sandbox)) == 1


def test_notifications_of_a_retried_run_in_any_order_say_nothing(in_process: InProcess) -> None:
    """The failure's own comes last, when the status file has long been written anew: nothing is recorded, and nobody is bothered."""
    sandbox = in_process.sandbox
    sandbox.notifications.hold()
    training.fail(sandbox.storage, DOOMED.folder)
    training.retry(sandbox.storage, DOOMED.folder)
    assert len(sandbox.notifications.release(reversed)) == 4
    assert in_process.drain() == [200] * 4
    in_process.tick()
    assert (recorded(sandbox, DOOMED), recorded(sandbox, DOOMED, "closed/"), told(sandbox)) == ([], [], [])


def test_a_promoted_run_is_left_alone_without_a_word(in_process: InProcess, clock: ShiftedClock) -> None:
    """Nobody was told that anything would happen to it, so nobody is told that nothing does; the journal knows why."""
    sandbox = in_process.sandbox
    training.fail(sandbox.storage, PROMOTED.folder)
    in_process.drain()
    in_process.tick()
    clock.ahead = AFTERWARDS
    in_process.tick()
    assert (told(sandbox), deleted(sandbox), recorded(sandbox, PROMOTED)) == ([], [], [])
    (closed,) = recorded(sandbox, PROMOTED, "closed/")
    assert b"_KEEP is there" in (sandbox.storage.get(STATE_BUCKET, closed).data or b"")


def test_writes_that_mean_nothing_cost_nothing(in_process: InProcess, caplog: pytest.LogCaptureFixture) -> None:
    """Checkpoints, logs and names that only look like a sign are answered without a call to anything, and without a line in the log."""
    sandbox = in_process.sandbox
    names = (
        f"{DOOMED.folder}artifacts/checkpoints/epoch-99.ckpt",
        f"{DOOMED.folder}artifacts/meta.yaml",
        "mlruns/1/meta.yaml",
        "mlruns/1//meta.yaml",
        "mlruns/meta.yaml",
        "meta.yaml",
        "runs/_FAILED",
        "runs/a/b/_FAILED",
        "runs/../_FAILED",
        "runs/a/_FAILED.txt",
        "mlruns/1/*/meta.yaml",
    )
    for name in names:
        sandbox.storage.put(ARTIFACTS_BUCKET, name, b"status: 4\n")
    sandbox.faults.calls.clear()
    caplog.clear()
    with caplog.at_level(logging.INFO):
        assert in_process.drain() == [200] * len(names)
    assert (sandbox.faults.calls, caplog.records) == ({}, [])


@pytest.mark.parametrize("marker", ["_FAILED", "status.json"])
def test_a_run_with_a_marker_loses_all_but_what_is_kept(in_process: InProcess, clock: ShiftedClock, marker: str) -> None:
    """By the shipped policy's other rule: a marker, or a status file, and logs and metrics stay."""
    sandbox = in_process.sandbox
    folder = "runs/bert-7/"
    for name in ("model.bin", "logs/train.log", "logs/deep/er.log", "metrics.json", "ckpt/1.bin"):
        sandbox.storage.put(ARTIFACTS_BUCKET, folder + name, size=1 << 30)
    sandbox.storage.put(ARTIFACTS_BUCKET, "runs/bert-70/model.bin", size=1 << 30)
    sandbox.storage.put(ARTIFACTS_BUCKET, folder + marker, b'{"state": "CANCELLED"}')
    in_process.drain()
    in_process.tick()
    clock.ahead = AFTERWARDS
    in_process.tick()
    left = [name for name in live(sandbox) if name.startswith("runs/bert-7")]
    assert left == ["runs/bert-7/logs/deep/er.log", "runs/bert-7/logs/train.log", "runs/bert-7/metrics.json", "runs/bert-70/model.bin"]
    assert deleted(sandbox)[-1] == folder + marker
