"""The stand-ins of one story, and what is seen of them: every write to a service with the state before and after, every deletion of an object."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.cloud import ARTIFACTS_BUCKET, STATE_BUCKET, Sandbox
from sandbox.functions import SLACK_ACTION, triggers
from sandbox.run_model import WATCHDOG
from sandbox.storage_state import Stored
from tests.chaos.clock import StoryClock
from tests.chaos.processes import Nursery, Targets
from tests.chaos.schedule import CHANNEL, REGIONS, SERVICES, Schedule
from tests.chaos.storm import Storm

State = dict[str, Any]
PEOPLE = "ben@acme.example"
NEVER: Mapping[str, Mapping[str, Any]] = {
    "billing": {"labels": {"env": "prod"}},
    "kept": {"labels": {"env": "staging", "cost-watchdog": "protect"}},
    "shop-prod": {"labels": {"env": "staging"}},
    "hook": {"labels": {"env": "staging"}, "function": True},
    "cost-watchdog-task": {"labels": {"env": "staging"}, "env": {"WATCHDOG_STATE_BUCKET": "acme-ml-watchdog-state"}},
}
"""Services that nothing may touch, each for a reason of its own."""
BESIDE = ("runs/loose", "other/a/_FAILED", "runs-old/a/1")
"""Objects that belong to no run."""


@dataclass(frozen=True)
class Write:
    """A write to a service or worker pool, as it took effect.

    Attributes:
        at: Seconds of the story.
        name: The full name.
        ours: Whether the watchdog did it.
        before: The scaling before it.
        after: The scaling after it; empty where it was deleted.
        since: Since when the oldest of the deliveries that were being dealt with then was, in seconds of the story.
    """

    at: float
    name: str
    ours: bool
    before: State
    after: State
    since: float

    @property
    def parks(self) -> bool:
        """Whether less runs after it."""
        return bool(self.after) and warm(self.after) < warm(self.before)


@dataclass(frozen=True)
class Deletion:
    """A deletion of a run's object by the watchdog.

    Attributes:
        at: Seconds of the story.
        object: What was deleted.
        beside: What was live in the bucket right before, by name.
        since: As in `Write`.
    """

    at: float
    object: Stored
    beside: Mapping[str, Stored]
    since: float


@dataclass
class World:
    """One story's stand-ins and processes, to be closed.

    Attributes:
        writes: What was done to services and worker pools, by whomever, in order.
        deletions: What the watchdog deleted.
        original: The scaling of everything in the beginning, by full name.
    """

    schedule: Schedule
    folder: Path
    nursery: Nursery
    writes: list[Write] = field(default_factory=list)
    deletions: list[Deletion] = field(default_factory=list)
    original: dict[str, State] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Set everything up; nothing has happened yet."""
        (self.folder / "policy.yaml").write_text(self.schedule.policy, encoding="utf-8")
        self.clock = StoryClock(self.folder / "clock", fresh=True)
        self.storm = Storm(clock=self.clock)
        self.sandbox = Sandbox(
            policy=self.folder / "policy.yaml", channels=(CHANNEL,), operation_seconds=self.schedule.operation_seconds, faults=self.storm,
            now=self.clock.right, clock=self.clock.monotonic,
        )  # fmt: skip
        self.targets = Targets(self.nursery, self.sandbox.environment(), self.folder)
        self.storm.kill = self.targets.kill
        self.live: dict[str, State] = {}
        self.by_people = False
        self.brakes: list[Stored] = []
        self.at_work: dict[int, float] = {}
        self.deliveries = itertools.count()
        self._build()
        self._witness()
        self._connect()

    def close(self) -> None:
        """End it all."""
        self.targets.close()
        self.sandbox.close()

    # what there is

    def full_name(self, name: str) -> str:
        """The full name of a service of the schedule."""
        return f"projects/{self.sandbox.project}/locations/{REGIONS[list(SERVICES).index(name) % 2]}/services/{name}"

    def objects(self) -> dict[str, Stored]:
        """The live objects of the bucket of runs, by name."""
        return {each.name: each for each in self.sandbox.storage.contents(ARTIFACTS_BUCKET)[0]}

    @property
    def braked(self) -> list[str]:
        """The kinds for which the brake is on."""
        kept = [each for each in self.sandbox.storage.contents(STATE_BUCKET)[0] if each.name == "brake.json"]
        return [stop["kind"] for each in kept for stop in json.loads(each.data or b"{}").get("stops", ())]

    def messages(self) -> list[dict[str, Any]]:
        """All that stands in Slack's channel."""
        return self.sandbox.slack.messages(CHANNEL)

    def _build(self) -> None:
        run, project = self.sandbox.run, self.sandbox.project
        run.unset_on_manual = self.schedule.unset_on_manual
        for number, (name, env) in enumerate(SERVICES.items()):
            run.add_service(project, REGIONS[number % 2], name, labels={"env": env}, **self.schedule.shapes[name])
        for name, shape in NEVER.items():
            run.add_service(project, REGIONS[0], name, service_min=2, **shape)
        run.add_worker_pool(project, REGIONS[0], "worker", manual_count=self.schedule.pool, labels={"env": "staging"})
        self.original = {name: self._scaling(name) for name in run._records}
        self.live = dict(self.original)
        for name, count in self.schedule.objects.items():
            for each in (*(f"ckpt/{number:02}" for number in range(count)), "logs/out"):
                self.sandbox.storage.put(ARTIFACTS_BUCKET, f"runs/{name}/{each}", f"{name} {each}".encode(), metadata={"step": each})
        for name in BESIDE:
            self.sandbox.storage.put(ARTIFACTS_BUCKET, name, b"1")

    def _scaling(self, name: str) -> State:
        record = self.sandbox.run._records.get(name)
        if record is None:
            return {}
        scaling, template = record.scaling, record.message.template
        if "/workerPools/" in name:
            return {"count": int(record.message.scaling.manual_instance_count)}
        return {
            "manual": scaling.is_manual, "count": scaling.count if scaling.is_manual else None, "minimum": scaling.minimum,
            "maximum": scaling.maximum or 0, "revision_minimum": int(template.scaling.min_instance_count),
        }  # fmt: skip

    # what is seen

    def _witness(self) -> None:
        run, storage = self.sandbox.run, self.sandbox.storage
        log, retire = run._log, storage._retire

        def logged(method: str, name: str, mask: tuple[str, ...], principal: str) -> None:
            log(method, name, mask, principal)
            before, after = self.live.get(name, {}), self._scaling(name)
            self.live[name] = after
            self.writes.append(Write(self.clock.monotonic(), name, principal == WATCHDOG, before, after, self._since()))
            self.storm.note(f"    {method} by {principal.split('@', maxsplit=1)[0]}: {name.rsplit('/', 1)[-1]} {_changes(before, after)}")

        def retired(bucket: Any, stored: Stored, now: Any, *, archives: bool) -> None:
            if bucket.name == ARTIFACTS_BUCKET and not self.by_people:
                at = self.clock.monotonic()
                self.deletions.append(Deletion(at, stored, {each.name: each for each in bucket.live}, self._since()))
                self.storm.note(f"    deleted: {stored.name}#{stored.generation}")
            if bucket.name == STATE_BUCKET and stored.name == "brake.json":
                self.brakes.append(stored)
            retire(bucket, stored, now, archives=archives)

        run._log = logged  # type: ignore[method-assign]  # a witness of what the stand-in really does
        storage._retire = retired  # type: ignore[method-assign]  # a witness of what the stand-in really does

    def _since(self) -> float:
        return min([*self.at_work.values()], default=self.clock.monotonic())

    def people(self, work: Callable[[], object]) -> None:
        """Somebody else than the watchdog does something to objects; nobody else gets between."""
        with self.sandbox.storage._lock:
            self.by_people = True
            try:
                work()
            finally:
                self.by_people = False

    def _connect(self) -> None:
        pusher = self.sandbox.pubsub._pusher
        post = pusher._post

        def posted(job: Any) -> int | None:
            target = next(target for target, (topic, _) in triggers(self.sandbox).items() if topic == job.message.topic)
            number = next(self.deliveries)
            self.at_work[number] = self.clock.monotonic()
            try:
                self.targets.begin(target)
                status = post(job)
            finally:
                del self.at_work[number]
                self.storm.answered()
            if self.storm.unheard(target):
                status = None
            self.storm.note(f"{target} answers {status} to message {job.message.id[-4:]} {job.message.data[:60]!r}, attempt {job.attempt}")
            return status

        pusher._post = posted  # type: ignore[method-assign]  # a witness of what the stand-in really does
        for target, (topic, form) in triggers(self.sandbox).items():
            self.sandbox.pubsub.subscribe(topic, self.targets.url(target), min_backoff=0.1, max_backoff=0.3, form=form)
        self.sandbox.slack.connect(self.targets.url(SLACK_ACTION))


def warm(state: State) -> int:
    """How many instances run without any request."""
    if "manual" not in state:
        return int(state.get("count") or 0)
    return int(state["count"] or 0) if state["manual"] else 1 + max(state["minimum"], state["revision_minimum"])


def said(message: Mapping[str, Any]) -> str:
    """All that a message says."""
    return f"{message.get('text', '')} {json.dumps(message.get('blocks', []), ensure_ascii=False)}"


def reference(message: Mapping[str, Any]) -> str:
    """The reference that a message carries, or nothing."""
    payload = (message.get("metadata") or {}).get("event_payload") or {}
    return str(payload.get("reference", ""))


def pressable(messages: list[dict[str, Any]]) -> list[tuple[str, str, dict[str, Any]]]:
    """All buttons and menus of these messages, each with the message's timestamp and its block."""
    return [
        (message["ts"], block["block_id"], element)
        for message, block in itertools.chain.from_iterable(((each, block) for block in each.get("blocks", [])) for each in messages)
        if block["type"] == "actions"
        for element in block["elements"]
    ]


def _changes(before: State, after: State) -> str:
    if not after:
        return "deleted"
    return ", ".join(f"{key} {before.get(key)} → {value}" for key, value in after.items() if value != before.get(key))
