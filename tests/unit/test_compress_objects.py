"""`compress_objects`: which objects a step of a budget compresses, one by one, how that goes on from invocation to invocation, and how it is undone."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import get_args

import pytest

from shared.actions.compress_objects import ACTION, COMPRESSED, Compressible, Params
from shared.model import StorageObject
from shared.objects import batches as batches_module
from shared.objects.batches import LONG, ROUNDS, Batches
from shared.objects.duty import batch_of, compression_of
from shared.objects.job import Job
from shared.policy.policy import Policy
from shared.ports import BATCH, DONE, ENDINGS, GOES_ON, NO_TIME, Answer, Compression
from shared.session import LEASE, WRITE_MARGIN
from tests.doubles import ManualClock
from tests.object_double import MemoryObjects
from tests.stage import Crash, a_policy
from tests.yard import DAY, GIB, RUNS, Yard

NAMES = [f"checkpoints/{number:02}.pt" for number in range(3)]
GoOn = Callable[[], bool]


@dataclass
class Press(MemoryObjects):
    """Buckets in memory in which objects can be compressed, to a quarter.

    Attributes:
        seconds: How long each of the four parts of an object takes.
        instead: Answers that are given instead, by name, in turn.
        seen: What was asked for, in order.
        go_on: What the last call was given to ask.
    """

    seconds: float = 0
    instead: dict[str, list[Answer]] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    go_on: GoOn | None = None
    done: dict[str, int] = field(default_factory=dict)

    def compress(self, bucket: str, each: StorageObject, *, into: Compression, go_on: GoOn) -> Answer:
        """Part by part; what was done is found again."""
        self.hooks.before("compress")
        self.seen.append(each.name)
        self.go_on = go_on
        if answers := self.instead.get(each.name):
            return answers.pop(0)
        holder, name, made = self.buckets[bucket], each.name + ENDINGS[into], each.size // 4
        if each.name not in holder.live:
            return Answer("gone", "it was compressed before", made)
        begun = self.done.get(each.name, 0)
        while self.done.get(each.name, 0) < 4:
            self.clock.sleep(self.seconds)
            if not go_on():
                return GOES_ON if self.done.get(each.name, 0) > begun else NO_TIME
            self.done[each.name] = self.done.get(each.name, 0) + 1
        self.put(bucket, name, size=made)
        assert self._delete(holder, each) == DONE
        self.hooks.after("compress")
        return Answer("done", made=made)

    def uncompress(self, bucket: str, each: StorageObject, *, into: Compression, go_on: GoOn) -> Answer:
        """All of it at once."""
        self.hooks.before("uncompress")
        self.go_on = go_on
        holder, name = self.buckets[bucket], each.name + ENDINGS[into]
        if answers := self.instead.get(each.name):
            return answers.pop(0)
        if each.name in holder.live:
            return Answer("unchanged")
        if self._restore(holder, each) != DONE:
            self.put(bucket, each.name, size=each.size)
        del holder.live[name]
        self.hooks.after("uncompress")
        return DONE


@dataclass
class Depot(Yard):
    """The bucket with three old checkpoints of four GiB each."""

    def __post_init__(self) -> None:
        """They were written two months ago."""
        super().__post_init__()
        self.objects: Press = Press(self.hooks, self.clock)
        self.objects.create(RUNS)
        for name in NAMES:
            self.put(name, size=4 * GIB, ago=60 * DAY)

    def the_job(self) -> Job:
        """The only job."""
        (job,) = self.jobs().values()
        return job


def policy(more: str = "", *, mode: str = "enforce") -> Policy:
    """A ladder whose step at 80 % compresses old objects."""
    use = f"{{compress_objects: {{buckets: [{RUNS}], prefix: checkpoints/, older_than: 30d{more}}}}}"
    return a_policy(f"{{at: 80%, do: [{use}]}}", mode=mode)


@pytest.fixture
def depot() -> Depot:
    """With the usual policy."""
    return Depot(policy())


def titles(depot: Depot) -> list[str]:
    """The first lines of the messages about objects."""
    return [post.split("\n", 1)[0] for post in depot.posts[1:]]


# which objects


def an_object(depot: Depot, name: str = "checkpoints/a.pt", *, days: float = 31, size: int = 2**20 + 1, **more: object) -> StorageObject:
    """An object that would be compressed, unless it is said otherwise."""
    return replace(StorageObject(name, 1, size, "STANDARD", depot.clock.now() - days * DAY), **more)  # type: ignore[arg-type]


def wants(depot: Depot, each: StorageObject, **params: object) -> bool:
    """Whether a step with these parameters wants it."""
    given = Params.model_validate({"buckets": [RUNS], "older_than": "30d", **params})
    return Compressible().wants(each, given, depot.clock.now())


def test_what_is_old_and_large_is_compressed(depot: Depot) -> None:
    """The age counts from when it was written; exactly as old counts, and exactly as large does not."""
    assert wants(depot, an_object(depot))
    assert wants(depot, an_object(depot, days=30))
    assert not wants(depot, an_object(depot, days=29.99))
    assert not wants(depot, an_object(depot, size=2**20))
    assert not wants(depot, an_object(depot, size=2**30), larger_than="1GiB")
    assert wants(depot, an_object(depot, size=1), larger_than="0B")
    assert not wants(depot, an_object(depot, size=0), larger_than="0B")


def test_noncurrent_versions_are_not_compressed(depot: Depot) -> None:
    """There is nothing that could be put in their place."""
    assert not wants(depot, an_object(depot, noncurrent_since=depot.clock.now() - 40 * DAY))
    assert not Compressible.versions


@pytest.mark.parametrize(
    ("storage_class", "wanted"), [("STANDARD", True), ("REGIONAL", True), ("NEARLINE", True), ("COLDLINE", False), ("ARCHIVE", False)]
)
def test_what_is_dear_to_read_is_not_compressed(depot: Depot, storage_class: str, *, wanted: bool) -> None:
    """Reading it would cost more than compressing it saves in years."""
    assert wants(depot, an_object(depot, storage_class=storage_class)) == wanted


@pytest.mark.parametrize(
    "name", ["a.safetensors", "a.pt", "a.ckpt", "a.bin", "a.npz", "a", "a.zst.pt", "zst", "gz/a", "a.zst.parts", "x.parts/00000"]
)
def test_names_that_are_compressed(depot: Depot, name: str) -> None:
    """Checkpoints in whatever format, and whatever does not say that it is compressed."""
    assert wants(depot, an_object(depot, f"checkpoints/{name}"))


@pytest.mark.parametrize("ending", COMPRESSED)
def test_what_is_compressed_already_is_known_by_its_name(depot: Depot, ending: str) -> None:
    """In capitals too; what the action makes is among it."""
    assert not wants(depot, an_object(depot, f"a{ending}"))
    assert not wants(depot, an_object(depot, f"a{ending.upper()}"))
    assert set(ENDINGS.values()) < set(COMPRESSED)


def test_the_endings_are_documented() -> None:
    """All of them, and no others."""
    text = (Path(__file__).resolve().parents[2] / "docs" / "actions.md").read_text(encoding="utf-8")
    assert tuple(re.findall(r"`(\.\w+)`", text)) == COMPRESSED


@pytest.mark.parametrize("name", ["a.pt.zst.parts/00000", "x/a.gz.parts/00000-00031", "a.zst.parts/checked-00001", "folder/"])
def test_its_own_parts_are_not_compressed(depot: Depot, name: str) -> None:
    """Nor is what stands for a folder."""
    assert not wants(depot, an_object(depot, name))


def test_what_the_policy_says_of_it() -> None:
    """It compresses into zstd where nothing else is said, and goes one by one; its permissions are those of the calls that it makes."""
    params = Params.model_validate({"buckets": [RUNS], "prefix": "checkpoints/", "older_than": "30d"})
    assert (params.into, params.larger_than, Compressible().extent(params)) == ("zstd", 2**20, [(RUNS, "checkpoints/")])
    assert (ACTION.name, ACTION.changes, Compressible.operation) == ("compress_objects", None, "compress")
    verbs = {"create", "delete", "get", "list", "restore"}
    assert ACTION.permissions == {"storage.buckets.get", *(f"storage.objects.{verb}" for verb in verbs)}


@pytest.mark.parametrize(
    ("text", "fault"),
    [(", into: xz", "into"), (", larger_than: 10MB", "is not a size"), (", larger_than: -1", "larger_than"), (", level: 3", "level")],
)
def test_a_policy_that_does_not_make_sense_is_refused(text: str, fault: str) -> None:
    """With the key."""
    with pytest.raises(Exception, match=fault):
        policy(text)


@pytest.mark.parametrize("into", get_args(Compression))
def test_a_job_knows_its_format(into: Compression) -> None:
    """From its own parameters, so that it can be undone whatever the policy says by then; jobs that delete have none."""
    params = {"buckets": [RUNS], "older_than": "30d", "into": into}
    assert compression_of(Job(action="compress_objects", bucket=RUNS, prefix="", params=params)) == into
    deletion = Job(action="delete_noncurrent", bucket=RUNS, prefix="", params={"buckets": [RUNS], "older_than": "30d"})
    run = Job(action="delete_run", bucket=RUNS, prefix="runs/a/", occasion="failed")
    assert (compression_of(deletion), compression_of(run)) == (None, None)
    assert batch_of(run) == batch_of(deletion) == BATCH


# the step


@pytest.mark.parametrize("into", get_args(Compression))
def test_old_objects_are_compressed_and_nothing_else(into: Compression) -> None:
    """What is small, new, elsewhere or held stays; how much there is in their place is on record."""
    depot = Depot(policy(f", into: {into}"))
    depot.put("checkpoints/new.pt", size=GIB)
    depot.put("checkpoints/small.pt", size=100, ago=60 * DAY)
    depot.put("checkpoints/held.pt", size=GIB, ago=60 * DAY, hold="temporary hold")
    depot.put("other/a.pt", size=GIB, ago=60 * DAY)
    stay = ["checkpoints/held.pt", "checkpoints/new.pt", "checkpoints/small.pt", "other/a.pt"]
    depot.send(82)
    assert depot.objects.seen == []
    depot.tick()
    assert depot.names() == sorted([*stay, *(name + ENDINGS[into] for name in NAMES)])
    job = depot.the_job()
    assert (job.stage, job.changed, job.changed_bytes, job.made_bytes, job.tally.kept) == ("done", 3, 12 * GIB, 3 * GIB, 3)
    assert titles(depot) == [f"gs://{RUNS}/checkpoints/: compressed 3 objects, 12.0 GiB"]


def test_a_dry_run_compresses_nothing() -> None:
    """It says what would be."""
    depot = Depot(policy(mode="observe"))
    depot.send(82)
    depot.tick()
    assert (depot.names(), depot.objects.seen) == (NAMES, [])
    assert titles(depot) == [f"DRY RUN: gs://{RUNS}/checkpoints/: would compress 3 objects, 12.0 GiB"]


def test_what_takes_long_goes_on_in_the_next_invocation() -> None:
    """Where it was; nothing counts as failed, and nobody is told of anything but the end."""
    depot = Depot(policy(), seconds=20)
    depot.objects.seconds = 6
    depot.send(82)
    depot.tick()
    depot.drive()
    job = depot.the_job()
    assert (job.stage, job.changed, job.made_bytes) == ("done", 3, 3 * GIB)
    assert len(titles(depot)) == 1
    assert len(depot.objects.seen) > len(NAMES) + 2
    assert all(portion.named == () for portion in job.portions)


def test_what_never_comes_to_anything_is_put_off(depot: Depot) -> None:
    """An invocation is too short for one part of it: the others are compressed, and it is tried again with growing pauses, and told after some."""
    depot.objects.instead = {NAMES[0]: [Answer("unavailable", NO_TIME.reason)] * 100}
    depot.send(82)
    for minutes in (1, 2, 4):
        depot.tick(minutes)
    assert [name for name in depot.names() if name.endswith(".pt")] == [NAMES[0]]
    job = depot.the_job()
    assert job.stage == "working"
    assert f"1 objects could not be compressed yet, such as {NAMES[0]}: there was no time for it" in "\n".join(depot.posts)
    depot.objects.instead = {}
    depot.tick(6)
    job = depot.the_job()
    assert (job.stage, job.changed, job.made_bytes) == ("done", 3, 3 * GIB)


def test_what_cannot_be_compressed_stays_and_is_named(depot: Depot) -> None:
    """The others are not held up by it, nor by one that somebody deleted."""
    depot.objects.instead = {NAMES[0]: [Answer("refused", "compressing it would save only 2%")]}
    depot.send(82)
    depot.tick()
    job = depot.the_job()
    assert (job.stage, job.changed, job.portions[0].left) == ("done", 2, 1)
    assert [(each.name, each.reason) for each in job.portions[0].named] == [(NAMES[0], "compressing it would save only 2%")]
    assert "compressing it would save only 2%" in depot.posts[-1]


def test_a_missing_permission_is_told_at_once(depot: Depot) -> None:
    """Nothing else is begun then; with the permission it goes on."""
    denied = Answer("denied", "storage.objects.create is missing")
    depot.objects.instead = {name: [denied] for name in NAMES}
    depot.send(82)
    depot.tick()
    assert "storage.objects.create is missing" in depot.posts[-1]
    assert depot.names() == NAMES
    depot.objects.instead = {}
    depot.tick(5)
    depot.tick(5)
    assert depot.the_job().changed == 3


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_worker_that_dies_on_the_way(depot: Depot, side: str, number: int) -> None:
    """The next one finds what was done, and how much was made."""
    depot.send(82)
    depot.strike("compress", Crash, side=side, number=number)
    with pytest.raises(Crash):
        depot.tick()
    depot.heal()
    depot.tick(2)
    job = depot.the_job()
    assert (job.stage, job.changed, job.changed_bytes, job.made_bytes) == ("done", 3, 12 * GIB, 3 * GIB)
    assert len(titles(depot)) == 1


def test_it_may_go_on_while_there_is_time_and_the_lease_holds(depot: Depot) -> None:
    """A worker that has lost its lease, or has no time left, deletes no original any more; on the way back likewise."""
    asked: list[bool] = []

    def ask(_: str) -> None:
        if depot.objects.go_on:
            asked.append(depot.objects.go_on())
            depot.clock.sleep((LEASE - WRITE_MARGIN).total_seconds())
            asked.append(depot.objects.go_on())
            depot.hooks.after = lambda _: None

    depot.hooks.after = lambda called: ask(called) if called == "compress" else None
    depot.send(82)
    depot.tick()
    assert asked == [True, False]
    depot.clock.sleep(300)
    assert depot.objects.go_on
    assert not depot.objects.go_on()


# and back


def test_it_is_undone_one_by_one(depot: Depot) -> None:
    """What was never compressed counts as unchanged, and the policy is not asked for the format."""
    depot.objects.instead = {NAMES[0]: [Answer("refused", "compressing it would save only 2%")]}
    depot.send(82)
    depot.tick()
    depot.policy = a_policy("{at: 80%, do: [notify]}")
    (key,) = depot.jobs()
    depot.ann().restore_entry(key)
    job = depot.the_job()
    assert depot.names() == NAMES
    assert (job.stage, sum(portion.back for portion in job.portions)) == ("undone", 2)


def test_without_soft_delete_it_can_be_undone_for_a_while(depot: Depot) -> None:
    """The compressed object is all that it takes; where the step says that soft delete is not needed."""
    depot = Depot(policy(", require_soft_delete: false"))
    depot.objects.change(RUNS, soft_delete=timedelta(0))
    depot.send(82)
    depot.tick()
    (key,) = depot.jobs()
    assert depot.the_job().undo_until == depot.clock.now() + 7 * DAY
    depot.ann().restore_entry(key)
    assert depot.names() == NAMES


# one by one


@dataclass
class Desk:
    """Objects worked on one by one.

    Attributes:
        glances: How often there was time to renew a lease.
    """

    workers: int = 32
    deadline: float = 1000
    clock: ManualClock = field(default_factory=ManualClock)
    glances: int = 0
    glanced: threading.Event = field(default_factory=threading.Event)

    def objects(self, count: int) -> list[StorageObject]:
        """So many objects."""
        return [StorageObject(f"{number}", number, 1, "STANDARD", self.clock.now()) for number in range(count)]

    def work(self, count: int, operate: Callable[[Sequence[StorageObject]], Sequence[Answer]]) -> list[tuple[str, Answer]]:
        """Their names with their answers."""

        def glance() -> None:
            self.glances += 1
            self.glanced.set()

        batches = Batches(self.clock, self.workers, self.deadline, lambda: True, glance)
        return [(batch[0].name, answers[0]) for batch, answers in batches.each(self.objects(count), operate, 1)]


@pytest.mark.parametrize("workers", [1, 32])
def test_there_is_a_glance_while_an_object_takes_long(monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    """Even where there is but one object and one worker: the lease is renewed while it is worked on."""
    monkeypatch.setattr(batches_module, "GLANCE", 0.001)
    desk = Desk(workers)

    def operate(_: Sequence[StorageObject]) -> Sequence[Answer]:
        assert desk.glanced.wait(10)
        return [DONE]

    assert desk.work(1, operate) == [("0", DONE)]
    assert desk.glances >= 2


def test_few_are_worked_on_at_once() -> None:
    """Each takes processor time and memory."""
    desk, lock, most, now = Desk(), threading.Lock(), [0], [0]
    together = threading.Barrier(LONG, timeout=10)

    def operate(_: Sequence[StorageObject]) -> Sequence[Answer]:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        together.wait()
        with lock:
            now[0] -= 1
        return [DONE]

    assert len(desk.work(4 * LONG, operate)) == 4 * LONG
    assert most == [LONG]


def test_what_the_deadline_cut_short_is_not_settled() -> None:
    """Neither is what comes behind it; the next invocation goes on with both."""
    desk = Desk(workers=1, deadline=10)

    def operate(batch: Sequence[StorageObject]) -> Sequence[Answer]:
        desk.clock.sleep(6)
        return [DONE if batch[0].name == "0" else GOES_ON]

    assert desk.work(3, operate) == [("0", DONE)]
    assert desk.clock.monotonic() == 12


@pytest.mark.parametrize("seconds", [6, 12])
def test_what_there_was_no_time_for_is_settled_only_where_there_was_all_the_time(seconds: float) -> None:
    """Where the deadline came right after it was begun, it counts as not begun; where nothing else was done either, it counts as failed."""
    desk = Desk(workers=1, deadline=10)

    def operate(batch: Sequence[StorageObject]) -> Sequence[Answer]:
        desk.clock.sleep(seconds)
        return [NO_TIME if batch[0].name == "1" or seconds > 10 else DONE]

    assert desk.work(3, operate) == ([("0", DONE)] if seconds == 6 else [("0", NO_TIME)])


def test_what_may_not_go_on_although_there_is_time_is_tried_again() -> None:
    """The lease may be renewed meanwhile."""
    desk, answers = Desk(workers=1), [NO_TIME, GOES_ON, DONE]
    assert desk.work(1, lambda _: [answers.pop(0)]) == [("0", DONE)]
    assert desk.work(1, lambda _: [GOES_ON]) == [("0", GOES_ON)]
    assert desk.clock.monotonic() == 1 + 2 + sum(2**turn for turn in range(ROUNDS - 1))
