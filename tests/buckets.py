"""Buckets and their lifecycle rules in memory, and a stage with some; `tests/contract/test_buckets.py` holds them against the real client."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from shared.errors import Conflict, Gone, Unavailable
from shared.model import NO_LABELS, Place, Resource, canonical
from shared.ports import Seen
from shared.watchdog import Watchdog
from tests.doubles import Hooks
from tests.stage import PROJECT, Stage

Rule = Mapping[str, Any]
BUCKET_FACTS: dict[str, Any] = {"watchdog": False, "soft_delete_days": 7, "versioned": False, "autoclass": False}


def delete(days: int, prefix: str = "") -> Rule:
    """A rule that deletes."""
    return {"action": {"type": "Delete"}, "condition": {"age": days} | ({"matchesPrefix": [prefix]} if prefix else {})}


def move(storage_class: str, days: int, prefix: str = "") -> Rule:
    """A rule that moves to a colder class."""
    return {
        "action": {"type": "SetStorageClass", "storageClass": storage_class},
        "condition": {"age": days} | ({"matchesPrefix": [prefix]} if prefix else {}),
    }


def state(*rules: Rule) -> dict[str, Any]:
    """The state of a bucket with these rules."""
    return {canonical(rule): True for rule in rules}


def full_name(name: str, location: str = "us-central1", project: str = PROJECT) -> str:
    """The bucket's full name."""
    return f"projects/{project}/locations/{location}/buckets/{name}"


@dataclass
class MemoryBuckets:
    """The buckets of all projects.

    Attributes:
        rules: By full name, every bucket's rules as they are written.
        writes: Every write that arrived, in order: the name and the rules afterwards.
        unreachable: Names of buckets whose location is down.
        broken: Whether no project can be listed.
    """

    hooks: Hooks = field(default_factory=Hooks)
    rules: dict[str, list[Rule]] = field(default_factory=dict)
    writes: list[tuple[str, list[Rule]]] = field(default_factory=list)
    unreachable: set[str] = field(default_factory=set)
    broken: bool = False
    _resources: dict[str, Resource] = field(default_factory=dict)

    def list(self, place: Place) -> Seen:
        """All buckets of the project."""
        self.hooks.before("list buckets")
        if self.broken:
            raise Unavailable("Cloud Storage does not answer", resource=f"projects/{place.project}/buckets")
        mine = [name for name in sorted(self.rules, key=_short) if name.split("/")[1] == place.project]
        seen = [self._seen(name) for name in mine if _short(name) not in self.unreachable]
        self.hooks.after("list buckets")
        return Seen(tuple(seen), tuple(f"projects/_/buckets/{name}" for name in sorted(self.unreachable)))

    def get(self, name: str) -> Resource:
        """One bucket."""
        self.hooks.before("get bucket")
        seen = self._seen(name)
        self.hooks.after("get bucket")
        return seen

    def detail(self, resource: Resource) -> Resource:
        """The same."""
        return resource

    def write(self, resource: Resource, wanted: Mapping[str, Any], *, timeout: float) -> None:
        """Add what is wanted and take away what is not, under the precondition."""
        assert timeout > 0
        if wanted.keys() == resource.state.keys():
            return
        self.hooks.before("patch bucket")
        if self._seen(resource.name).etag != resource.etag:
            raise Conflict("its settings were changed since it was seen", resource=resource.name)
        kept = [rule for rule in self.rules[resource.name] if canonical(rule) in wanted]
        self.put(resource.name, *kept, *(json.loads(rule) for rule in wanted if rule not in resource.state))
        self.writes.append((resource.name, self.rules[resource.name]))
        self.hooks.after("patch bucket")

    # what other people do

    def add(self, name: str, *rules: Rule, labels: Mapping[str, str] = NO_LABELS, **facts: Any) -> str:
        """Create a bucket."""
        self._resources[name] = Resource("bucket", name, dict(labels), etag="0", facts={**BUCKET_FACTS, **facts})
        self.put(name, *rules)
        return name

    def put(self, name: str, *rules: Rule) -> None:
        """Replace all of a bucket's rules."""
        self.rules[name] = [*rules]
        self.label(name)

    def label(self, name: str, **labels: str) -> None:
        """Change a bucket's labels, and with them its metageneration."""
        live = self._resources[name]
        self._resources[name] = replace(live, labels={**live.labels, **labels}, etag=str(int(live.etag) + 1))

    def delete(self, name: str) -> None:
        """Delete a bucket."""
        del self.rules[name]

    def _seen(self, name: str) -> Resource:
        if name not in self.rules:
            raise Gone("is not there", resource=name)
        return replace(self._resources[name], state=state(*self.rules[name]))


def _short(name: str) -> str:
    return name.rpartition("/")[2]


@dataclass
class BucketStage(Stage):
    """The stage with buckets in it."""

    def __post_init__(self) -> None:
        """No bucket is there yet."""
        super().__post_init__()
        self.buckets = MemoryBuckets(self.hooks)

    def watchdog(self, **more: Any) -> Watchdog:
        """A fresh invocation that sees them too."""
        made = super().watchdog(**more)
        return replace(made, world=replace(made.world, fleets={**made.world.fleets, "bucket": self.buckets}))

    def rules(self, name: str) -> Sequence[Rule]:
        """The bucket's rules now."""
        return self.buckets.rules[name]
