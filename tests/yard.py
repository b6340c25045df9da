"""A bucket full of runs with a watchdog over it, for the scenarios: what trainers write, what storage says, what is there afterwards."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from shared.actions import params_by_name
from shared.entry import Entry
from shared.model import ObjectWritten, StorageObject
from shared.objects.clean import Cleaner
from shared.objects.job import Job
from shared.objects.look import PORTION
from shared.objects.runs import Watch
from shared.policy.policy import Policy, parse
from shared.ports import World
from shared.watchdog import Watchdog
from tests.object_double import MemoryObjects
from tests.stage import CHANNEL, PROJECT, Stage

RUNS = "acme-ml-runs"
RULE = "{bucket: acme-ml-runs, runs: 'runs/{run}/', failed_when: [failed_marker], unless: [_SUCCESS], keep: ['logs/**'], wait: 24h%s}"
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
GIB = 2**30


def a_rule(**more: object) -> str:
    """The usual rule: `_FAILED` says that a run failed, `_SUCCESS` that it did not, and its logs are kept; with further keys."""
    return RULE % "".join(f", {key}: {value}" for key, value in more.items())


def the_policy(*rules: str, mode: str = "enforce", more: str = "", slack: str = "") -> Policy:
    """A policy with these rules about artifacts, or with the usual one; `more` is further lines of YAML."""
    lines = [
        "version: 1",
        f"mode: {mode}",
        f"scope: {{projects: [{PROJECT}], regions: [us-central1]}}",
        "protect: {labels: {env: prod}}",
        f'slack: {{channel: "{CHANNEL}"{slack and f", {slack}"}}}',
        "artifacts:",
        *(f"  - {rule}" for rule in rules or (a_rule(),)),
        more,
    ]
    return parse("\n".join(lines), source="scenario", actions=params_by_name())


@dataclass
class Yard(Stage):
    """The stage with a watched bucket.

    Attributes:
        portion: Objects in one manifest.
        seconds: How much time an invocation has.
    """

    portion: int = PORTION
    seconds: float = 240

    def __post_init__(self) -> None:
        """The bucket is empty."""
        super().__post_init__()
        self.messenger.clock = self.clock
        self.objects = MemoryObjects(self.hooks, self.clock)
        self.objects.create(RUNS)

    # what there is

    def put(self, name: str, data: bytes = b"", *, bucket: str = RUNS, ago: timedelta = timedelta(0), **more: Any) -> StorageObject:
        """Write an object, now or some time ago."""
        return self.objects.put(bucket, name, data, created=self.clock.now() - ago, **more)

    def run(self, name: str = "run-1", *, objects: int = 3, ago: timedelta = HOUR) -> list[str]:
        """A run with some checkpoints of a GiB each, and a log; the answer is the names of the checkpoints."""
        names = [f"runs/{name}/ckpt/{number:05}.bin" for number in range(objects)]
        for each in names:
            self.put(each, size=GIB, ago=ago)
        self.put(f"runs/{name}/logs/train.log", b"epoch 1", ago=ago)
        return names

    def names(self, prefix: str = "") -> list[str]:
        """The names of all live objects."""
        return self.objects.names(RUNS, prefix)

    # what happens

    def watchdog(self, **more: Any) -> Watchdog:
        """A fresh invocation."""
        fleets = {"service": self.services, "worker_pool": self.pools}
        world = World(self.bucket, fleets, self.objects, self.messenger, self.tasks, self.clock, workers=self.workers)
        watchdog = Watchdog(world, self.policy, project=PROJECT, **({"time_budget": timedelta(seconds=self.seconds)} | more))
        if self.portion != PORTION:
            vars(watchdog)["cleaner"] = Cleaner(world, self.policy, PROJECT, watchdog.deadline, watchdog.braking, self.portion)
        return watchdog

    def notice(self, name: str, *, bucket: str = RUNS) -> list[str]:
        """Storage says that this object was written; the answer is what became of it, in a word for each sign that it may be."""
        found = self.objects.buckets[bucket].live[name].shown
        written = ObjectWritten(bucket, name, found.generation, found.size, found.created)
        return [self.watchdog().notice(written, suspect).what for suspect in Watch(self.policy.artifacts).signs(bucket, name)]

    def fail(self, name: str = "run-1") -> list[str]:
        """A run writes its marker, and storage says so."""
        self.put(f"runs/{name}/_FAILED")
        return self.notice(f"runs/{name}/_FAILED")

    def announced(self, name: str = "run-1", *, objects: int = 3) -> list[str]:
        """A run failed, and its deletion was announced; the answer is the names of its checkpoints."""
        names = self.run(name, objects=objects)
        self.fail(name)
        self.tick()
        return names

    def hours(self, count: float) -> list[str]:
        """So many hours pass, and then a tick."""
        return self.tick(60 * count)

    def drive(self, limit: int = 50) -> int:
        """Let fresh invocations do whatever is asked for on the tasks topic; the answer is how many it took."""
        for number in range(limit):
            if not self.tasks.asked:
                return number
            self.watchdog().resume(self.tasks.asked.pop(0))
        raise AssertionError(f"after {limit} invocations there still is something to do: {self.tasks.asked}")

    # what is recorded

    def jobs(self) -> dict[str, Job]:
        """The jobs of all entries, open and closed, by key."""
        return {entry.key: entry.job for entry in (*self.closed(), *self.open()) if entry.job}

    def key(self) -> str:
        """The key of the only job that is no part of another."""
        (found,) = [key for key, job in self.jobs().items() if not job.parent]
        return found

    def job(self) -> Job:
        """That job."""
        return self.jobs()[self.key()]

    def job_of(self, run: str) -> Job:
        """The only job about this run that is no part of another."""
        (found,) = [job for job in self.jobs().values() if job.run == run and not job.parent]
        return found

    def its_entry(self) -> Entry:
        """Its entry, open or closed."""
        return self.ann().entry(self.key())

    def manifests(self) -> list[list[str]]:
        """The names in each manifest, in the order of the manifests."""
        stored = [data for name, (data, _, _) in sorted(self.bucket.objects.items()) if name.startswith("manifests/")]
        return [[json.loads(line)["name"] for line in gzip.decompress(data).decode().splitlines()] for data in stored]
