"""A bucket listed once and added up: ages, versions, checkpoints, and the runs that nobody seems to need."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from shared.audit import inventory
from shared.audit.estate import Heap, Inventory
from shared.errors import Denied
from tests.yard import DAY, GIB, RUNS, Yard, a_rule, the_policy

FINISHED = "{object: meta.yaml, has: {status: 3}}"
MLFLOW = (
    f"{{bucket: acme-ml-runs, runs: 'mlruns/{{any}}/{{run}}/', failed_when: [mlflow], unless: [_KEEP, {FINISHED}], abandoned_after: 14d}}"
)


def seen(yard: Yard, *, versions: bool = False, go_on: Callable[[], bool] = lambda: True) -> Inventory:
    """The inventory of the bucket."""
    return inventory.take(yard.objects, RUNS, yard.policy.artifacts, versions=versions, now=yard.clock.now(), go_on=go_on)


@pytest.fixture
def yard() -> Yard:
    """An empty bucket."""
    return Yard(the_policy())


def test_an_empty_bucket(yard: Yard) -> None:
    """There is nothing to say of it."""
    assert seen(yard) == Inventory(RUNS)
    assert seen(yard).total == Heap()


def test_ages_and_classes(yard: Yard) -> None:
    """Each object counts once, under the largest age that it reaches, and the old names of Standard count as Standard."""
    for number, (days, name) in enumerate([(0, "STANDARD"), (30, "REGIONAL"), (89, "STANDARD"), (90, "NEARLINE"), (400, "MULTI_REGIONAL")]):
        yard.put(f"data/{number}", size=10, ago=days * DAY, storage_class=name)
    found = seen(yard)
    assert found.live == {
        ("STANDARD", 0): Heap(1, 10), ("STANDARD", 30): Heap(2, 20), ("NEARLINE", 90): Heap(1, 10), ("STANDARD", 365): Heap(1, 10),
    }  # fmt: skip
    assert found.total == Heap(5, 50)
    assert (found.whole, found.until) == (True, "data/4")


def test_noncurrent_versions_count_apart(yard: Yard) -> None:
    """What was overwritten in a bucket with versions is not among the live objects."""
    yard.objects.change(RUNS, versioned=True)
    yard.put("data/x", size=10)
    yard.put("data/x", size=7)
    assert seen(yard, versions=True).noncurrent == {"STANDARD": Heap(1, 10)}
    assert seen(yard, versions=True).total == Heap(1, 7)
    assert seen(yard).noncurrent == {}


def test_checkpoints(yard: Yard) -> None:
    """Old objects count that are checkpoints by their names, and are not compressed by theirs."""
    for name, days in [("a.ckpt", 31), ("b.pt", 30), ("c.pt", 29), ("d.pt.zst", 31), ("e.txt", 31)]:
        yard.put(f"model/{name}", size=10, ago=days * DAY)
    assert seen(yard).checkpoints == Heap(2, 20)


def test_runs_by_their_names(yard: Yard) -> None:
    """A sign means failed; without one, the time of the last write decides; what is promoted or young is not told of. What is kept does not count."""
    yard.policy = the_policy(a_rule(abandoned_after="60d"))
    for name, days in [("fresh", 1), ("good", 100), ("left", 100), ("quiet", 40), ("dead", 1)]:
        yard.run(name, objects=2, ago=days * DAY)
    yard.put("runs/good/_SUCCESS", ago=100 * DAY)
    yard.put("runs/dead/_FAILED", b"x")
    yard.put("runs/empty/logs/only.log", b"x", ago=100 * DAY)
    yard.put("other/file", b"x", ago=100 * DAY)
    found = {run.prefix: (run.state, run.size, run.words) for run in seen(yard).runs}
    long_ago, some_time_ago = (yard.clock.now() - days * DAY for days in (100, 40))
    assert found == {
        "runs/left/": ("abandoned", Heap(2, 2 * GIB), f"neither promoted nor written to since {long_ago:%Y-%m-%d}"),
        "runs/dead/": ("failed", Heap(3, 2 * GIB + 1), "_FAILED is there"),
        "runs/quiet/": ("unpromoted", Heap(2, 2 * GIB), f"neither promoted nor written to since {some_time_ago:%Y-%m-%d}"),
    }


def test_without_unless_nothing_is_unpromoted(yard: Yard) -> None:
    """Where the rule does not say what a success is, a quiet run may well be one."""
    yard.policy = the_policy("{bucket: acme-ml-runs, runs: 'runs/{run}/', failed_when: [failed_marker]}")
    yard.run("quiet", ago=400 * DAY)
    assert seen(yard).runs == ()


def test_runs_by_their_status_files(yard: Yard) -> None:
    """What a status file says beats the age; a folder whose file is no status, or that has none, is no run."""
    yard.policy = the_policy(MLFLOW)
    said: dict[str, bytes] = {"failed": b"status: 4", "fine": b"status: 3", "running": b"status: 1", "strange": b"name: x", "none": b""}
    for name, content in said.items():
        yard.put(f"mlruns/1/{name}/model.bin", size=GIB, ago=20 * DAY)
        if content:
            yard.put(f"mlruns/1/{name}/meta.yaml", content, ago=20 * DAY)
    assert {run.prefix: (run.state, run.words) for run in seen(yard).runs} == {
        "mlruns/1/failed/": ("failed", "meta.yaml says status: 4"),
        "mlruns/1/running/": ("abandoned", f"neither promoted nor written to since {yard.clock.now() - 20 * DAY:%Y-%m-%d}"),
    }


def test_a_marker_beside_a_status(yard: Yard) -> None:
    """A sign that is there by its name says that a run failed, whatever its status does not say."""
    yard.policy = the_policy("{bucket: acme-ml-runs, runs: 'runs/{run}/', failed_when: [failed_marker, mlflow]}")
    yard.put("runs/a/meta.yaml", b"status: 1")
    yard.put("runs/a/_FAILED", b"x")
    yard.put("runs/a/w.bin", size=5)
    assert [(run.state, run.words) for run in seen(yard).runs] == [("failed", "_FAILED is there")]


def test_the_status_of_the_largest_runs_is_read(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only so many files are read; of how many runs nothing is known is told."""
    monkeypatch.setattr(inventory, "READS", 2)
    yard.policy = the_policy(MLFLOW)
    for number in range(4):
        yard.put(f"mlruns/1/run-{number}/meta.yaml", b"status: 4", ago=DAY)
        yard.put(f"mlruns/1/run-{number}/model.bin", size=number, ago=DAY)
    found = seen(yard)
    assert [run.prefix for run in found.runs] == ["mlruns/1/run-3/", "mlruns/1/run-2/"]
    assert found.unread == 2


def test_a_status_that_cannot_be_read(yard: Yard) -> None:
    """The run is counted as unread, and the others are told of."""
    yard.policy = the_policy(MLFLOW)
    for name in ("a", "b"):
        yard.put(f"mlruns/1/{name}/meta.yaml", b"status: 4")
    read = yard.objects.read

    def deny(bucket: str, name: str, **more: Any) -> bytes:
        if "/a/" in name:
            raise Denied("may not read it", resource=name)
        return read(bucket, name, **more)

    yard.objects.read = deny  # type: ignore[method-assign]
    found = seen(yard)
    assert ([run.prefix for run in found.runs], found.unread) == (["mlruns/1/b/"], 1)


def test_only_the_largest_runs_are_named(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest of each state is added up, over all rules."""
    monkeypatch.setattr(inventory, "RUNS", 1)
    other = "{bucket: acme-ml-runs, runs: 'more/{run}/', failed_when: [failed_marker]}"
    yard.policy = the_policy(a_rule(), other)
    for folder, number in itertools.product(("runs", "more"), range(3)):
        yard.put(f"{folder}/{number}/w.bin", size=number)
        yard.put(f"{folder}/{number}/_FAILED", b"")
    found = seen(yard)
    assert [run.prefix for run in found.runs] == ["runs/2/", "more/2/"]
    assert found.more_runs == {"failed": Heap(8, 2)}


def test_when_the_time_is_over(yard: Yard) -> None:
    """What was listed until then counts, and the run in which it ended is not judged; nor are status files read."""
    yard.objects.page = 4
    for name in ("a", "b"):
        yard.run(name, objects=2, ago=40 * DAY)
    found = seen(yard, go_on=lambda: False)
    assert (found.whole, found.until) == (False, "runs/b/ckpt/00000.bin")
    assert [run.prefix for run in found.runs] == ["runs/a/"]
    yard.policy = the_policy(MLFLOW)
    yard.put("mlruns/1/x/meta.yaml", b"status: 4")
    yard.put("zzz", b"")
    late = itertools.chain([True, True], itertools.repeat(False))
    assert seen(yard, go_on=lambda: next(late)).unread == 1


def test_other_buckets_rules_do_not_count(yard: Yard) -> None:
    """A rule means its own bucket alone."""
    yard.policy = the_policy("{bucket: another, runs: 'runs/{run}/', failed_when: [failed_marker]}")
    yard.put("runs/a/_FAILED", b"x")
    assert seen(yard).runs == ()


def test_a_bucket_that_cannot_be_listed(yard: Yard) -> None:
    """The error is the caller's to tell."""
    with pytest.raises(Exception, match="nowhere"):
        inventory.take(yard.objects, "nowhere", (), versions=False, now=yard.clock.now() + timedelta(0), go_on=lambda: True)
