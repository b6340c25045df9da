"""The ports in memory: small real implementations of the same rules, fast enough for thousands of random stories.

The tests in `tests/contract` hold them against the real clients before the stand-ins, so that they cannot drift.

Each calls `Hooks.before` with the method's name before it does its work and `Hooks.after` afterwards, so that a test can make any call
fail, or the worker die, on either side of the work.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from shared.errors import Conflict, Denied, Gone, Refused, Unavailable
from shared.model import NO_LABELS, Place, Resource
from shared.ports import Listed, ObjectStore, Posted, Seen, Stored


def _nothing(_: str) -> None:
    """Let the call pass."""


@dataclass
class Hooks:
    """What happens around every call to a port."""

    before: Callable[[str], None] = _nothing
    after: Callable[[str], None] = _nothing


@dataclass
class ManualClock:
    """Time that passes only when somebody sleeps, or when the test says so."""

    instant: datetime = datetime(2026, 11, 20, 12, tzinfo=UTC)
    started: datetime = datetime(2026, 11, 20, 12, tzinfo=UTC)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def now(self) -> datetime:
        """The time of day."""
        return self.instant

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return (self.instant - self.started).total_seconds()

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        with self._lock:
            self.instant += timedelta(seconds=seconds)


@dataclass
class MemoryBucket:
    """The state bucket."""

    hooks: Hooks = field(default_factory=Hooks)
    objects: dict[str, tuple[bytes, int, Mapping[str, str]]] = field(default_factory=dict)
    _generation: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def read(self, name: str) -> Stored | None:
        """The object, or None."""
        self.hooks.before("read")
        kept = self.objects.get(name)
        self.hooks.after("read")
        return Stored(kept[0], kept[1]) if kept else None

    def write(self, name: str, data: bytes, *, generation: int, metadata: Mapping[str, str] = NO_LABELS) -> int:
        """Write under the precondition."""
        self.hooks.before("write")
        with self._lock:
            self._check(name, generation)
            self._generation += 1
            written = self._generation
            self.objects[name] = (data, written, dict(metadata))
        self.hooks.after("write")
        return written

    def delete(self, name: str, *, generation: int) -> None:
        """Delete under the precondition."""
        self.hooks.before("delete")
        with self._lock:
            if name in self.objects:
                self._check(name, generation)
                del self.objects[name]
        self.hooks.after("delete")

    def list(self, prefix: str) -> Iterable[Listed]:
        """All names with the prefix."""
        self.hooks.before("list")
        listed = [Listed(name, dict(metadata)) for name, (_, _, metadata) in sorted(self.objects.items()) if name.startswith(prefix)]
        self.hooks.after("list")
        return listed

    def _check(self, name: str, generation: int) -> None:
        current = self.objects[name][1] if name in self.objects else 0
        if current != generation:
            raise Conflict(f"generation {current} is not {generation}", resource=name)


class NoObjects:
    """Buckets that no test looks into."""

    def __getattr__(self, name: str) -> Any:
        """Every call is a fault in the test."""
        raise AssertionError(f"{name}: this stage has no buckets")


NO_OBJECTS = cast("ObjectStore", NoObjects())


@dataclass
class MemoryFleet:
    """Resources of one kind, with Cloud Run's rules for switching modes.

    Attributes:
        kind: ``service`` or ``worker_pool``.
        unset_on_manual: Whether going manual unsets the service's minimum and maximum, as an earlier version of the documentation says.
        writes: Every write that arrived, in order: the name, the state before and after.
        broken: Places that do not answer.
        revisions: By service, what its traffic names beside the latest revision; see `shared.ports.Fleet.detail`.
        me: The watchdog's own identity, as it stands in `Resource.last_modifier`.
    """

    kind: str = "service"
    hooks: Hooks = field(default_factory=Hooks)
    unset_on_manual: bool = True
    resources: dict[str, Resource] = field(default_factory=dict)
    writes: list[tuple[str, dict[str, Any], dict[str, Any]]] = field(default_factory=list)
    broken: set[Place] = field(default_factory=set)
    revisions: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    me: str = "watchdog@acme.iam.gserviceaccount.com"
    _version: int = 0
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def list(self, place: Place) -> Seen:
        """All resources of a place."""
        self.hooks.before("list")
        if place in self.broken:
            raise Unavailable("the region does not answer", resource=str(place))
        with self._lock:
            seen = Seen(tuple(resource for _, resource in sorted(self.resources.items()) if resource.place == place))
        self.hooks.after("list")
        return seen

    def get(self, name: str) -> Resource:
        """One resource."""
        self.hooks.before("get")
        with self._lock:
            if name not in self.resources:
                raise Gone("is not there", resource=name)
            resource = self.resources[name]
        self.hooks.after("get")
        return resource

    def detail(self, resource: Resource) -> Resource:
        """The same with what `revisions` says; a worker pool has none."""
        self.hooks.before("detail")
        if self.kind == "service":
            resource = replace(resource, facts={**resource.facts, "revisions": self.revisions.get(resource.name, [])})
        self.hooks.after("detail")
        return resource

    def write(self, resource: Resource, wanted: Mapping[str, Any], *, timeout: float) -> None:
        """Change the state, if the etag still is the live one."""
        assert timeout > 0
        if wanted == resource.state:
            return
        self.hooks.before("update")
        with self._lock:
            live = self.resources.get(resource.name)
            if live is None:
                raise Gone("is not there", resource=resource.name)
            if live.etag != resource.etag:
                raise Conflict("the etag is stale", resource=resource.name)
            before = dict(live.state)
            after = self._settled({**before, **wanted})
            if after.get("maximum") and after["minimum"] > after["maximum"]:
                raise Refused("the minimum is above the maximum", resource=resource.name)
            self._put(live, after, self.me)
            self.writes.append((resource.name, before, dict(self.resources[resource.name].state)))
        self.hooks.after("update")

    # what other people do

    def add(
        self, name: str, state: Mapping[str, Any], *, labels: Mapping[str, str] = NO_LABELS, facts: Mapping[str, Any] = NO_LABELS
    ) -> str:
        """Create a resource."""
        known = SERVICE_FACTS if self.kind == "service" else POOL_FACTS
        self._put(Resource(self.kind, name, dict(labels), facts={**known, **facts}), self._settled(dict(state)), "owner@acme.example")
        return name

    def deploy(self, name: str, modifier: str, **changes: Any) -> None:
        """Change a resource as somebody else."""
        with self._lock:
            live = self.resources[name]
            self._put(live, self._settled({**live.state, **changes}), modifier)

    def delete(self, name: str) -> None:
        """Delete a resource as somebody else."""
        with self._lock:
            self.resources.pop(name, None)

    def _settled(self, state: dict[str, Any]) -> dict[str, Any]:
        """What Cloud Run makes of a state that is written."""
        if state.get("mode") == "manual" and self.unset_on_manual:
            return {**state, "minimum": 0, "maximum": 0}
        if state.get("mode") == "automatic":
            return {**state, "count": None}
        return state

    def _put(self, resource: Resource, state: dict[str, Any], modifier: str) -> None:
        self._version += 1
        self.resources[resource.name] = replace(resource, state=state, etag=str(self._version), last_modifier=modifier)


POOL_FACTS: dict[str, Any] = {
    "billing": "instance",
    "gpu": "",
    "gpu_zonal_redundancy": False,
    "cpu": 1.0,
    "memory_gib": 0.5,
    "watchdog": False,
    "revision": "",
    "uri": "",
    "reconciling": False,
    "created": "2026-01-01T00:00:00Z",
}
SERVICE_FACTS: dict[str, Any] = {
    **POOL_FACTS,
    "billing": "request",
    "revision_maximum": 100,
    "function": False,
    "latest_revision": "",
    "traffic": [{"revision": "", "percent": 100, "tag": ""}],
    "multi_region": False,
    "base_image": "",
}


def scaling(
    *, minimum: int = 0, maximum: int = 0, mode: str = "automatic", count: int | None = None, revision_minimum: int = 0
) -> dict[str, Any]:
    """A service's state."""
    return {"mode": mode, "minimum": minimum, "maximum": maximum, "count": count, "revision_minimum": revision_minimum}


@dataclass
class MemoryMessage:
    """A message that arrived.

    Attributes:
        channel: As it was named.
        text: Its text, as it is now.
        blocks: Its blocks, as they are now.
        reference: What it is found by.
        thread: The timestamp of the message that it answers; empty where it stands by itself.
        broadcast: Whether the answer is shown in the channel, too.
        at: When it came.
        edits: How often it was changed.
    """

    channel: str
    text: str
    blocks: list[Any]
    reference: str
    thread: str
    broadcast: bool
    at: datetime
    edits: int = 0


@dataclass
class MemoryMessenger:
    """Slack.

    Attributes:
        down: Whether every call fails.
        busy: Seconds that Slack asks to wait, for as long as they are set.
        readable: Whether the app may read what it posted.
        channels: The channels there are; none is any.
        clock: By which messages grow old; without one they do not.
        talks_back: Whether it is more than a webhook.
        messages: Every message that arrived, by its timestamp.
        groups: The members of user groups.
        answers: What was answered to people: the address, and the text.
        whispers: What was said to one person: the channel, the person, and the text.
        closed: The addresses that take no answer any more.
    """

    hooks: Hooks = field(default_factory=Hooks)
    down: bool = False
    busy: float | None = None
    readable: bool = True
    channels: frozenset[str] = frozenset()
    clock: ManualClock | None = None
    talks_back: bool = True
    messages: dict[str, MemoryMessage] = field(default_factory=dict)
    groups: dict[str, frozenset[str]] = field(default_factory=dict)
    answers: list[tuple[str, str]] = field(default_factory=list)
    whispers: list[tuple[str, str, str]] = field(default_factory=list)
    closed: set[str] = field(default_factory=set)
    _last: int = 0
    _ids: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def posts(self) -> list[tuple[str, str, str]]:
        """Every message that arrived, but for the headlines of threads: its channel, text and reference."""
        return [(each.channel, each.text, each.reference) for each in self.messages.values() if not each.reference.startswith("thread/")]

    @property
    def headlines(self) -> list[MemoryMessage]:
        """The headlines of threads."""
        return [each for each in self.messages.values() if each.reference.startswith("thread/")]

    def post(
        self, channel: str, text: str, blocks: Sequence[Mapping[str, Any]], *, reference: str, thread: str = "", broadcast: bool = False
    ) -> Posted:
        """Post a message."""
        assert isinstance(blocks, Sequence)
        self.hooks.before("post")
        self._answer(channel)
        name = self._named(channel)
        if thread and thread not in self.messages:
            raise Gone("there is no such message", resource=channel)
        with self._lock:
            at = self.clock.now() if self.clock else datetime.max.replace(tzinfo=UTC)
            self._last += 1
            ts = str(self._last)
            channel_id = self._ids.setdefault(name, f"C{len(self._ids) + 1}")
            self.messages[ts] = MemoryMessage(name, text, [*blocks], reference, thread, broadcast, at)
        self.hooks.after("post")
        return Posted(channel_id, ts)

    def update(self, posted: Posted, text: str, blocks: Sequence[Mapping[str, Any]]) -> None:
        """Change a message."""
        self.hooks.before("edit")
        self._answer(posted.channel)
        message = self.messages.get(posted.ts)
        if message is None:
            raise Gone("there is no such message", resource=posted.ts)
        message.text, message.blocks, message.edits = text, [*blocks], message.edits + 1
        self.hooks.after("edit")

    def find(self, channel: str, reference: str, *, since: datetime, thread: str = "") -> Posted | None:
        """The message with this reference."""
        self.hooks.before("find")
        self._answer(channel)
        known = self.messages.items() if self.readable else ()
        name = self._name(channel)
        found = [
            ts for ts, each in known if each.reference == reference and each.at >= since and each.thread == thread and each.channel == name
        ]
        self.hooks.after("find")
        return Posted(self._ids[name], found[0]) if found else None

    def members(self, group: str) -> frozenset[str]:
        """Who is in a user group."""
        self._answer(group)
        if group not in self.groups:
            raise Refused("no_such_subteam", resource=group)
        return self.groups[group]

    def answer(self, address: str, text: str) -> None:
        """Answer a person."""
        self.hooks.before("answer")
        self._answer("the address")
        if address in self.closed:
            raise Gone("used_url", resource="the address")
        self.answers.append((address, text))
        self.hooks.after("answer")

    def whisper(self, channel: str, user: str, text: str) -> None:
        """Say something to a person."""
        self.hooks.before("whisper")
        self._answer(channel)
        self.whispers.append((channel, user, text))
        self.hooks.after("whisper")

    def _named(self, channel: str) -> str:
        channel = self._name(channel)
        if self.channels and channel not in self.channels:
            raise Denied("there is no such channel, or the app is not in it", resource=channel)
        return channel

    def _name(self, channel: str) -> str:
        """The channel as it was named when something was first posted there: its id means the same."""
        return next((name for name, each in self._ids.items() if each == channel), channel)

    def _answer(self, channel: str) -> None:
        if self.down or self.busy is not None:
            raise Unavailable("Slack does not answer", resource=channel, retry_after=self.busy)


@dataclass
class MemoryTasks:
    """The tasks topic.

    Attributes:
        down: Whether every call fails.
        asked: The entries that are to be carried on.
        requests: What people asked for that is to be answered.
    """

    hooks: Hooks = field(default_factory=Hooks)
    down: bool = False
    asked: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def resume(self, entry: str) -> None:
        """Remember the entry."""
        self._take(self.asked, entry)

    def answer(self, request: str) -> None:
        """Remember the request."""
        self._take(self.requests, request)

    def _take(self, into: list[str], what: str) -> None:
        self.hooks.before("publish")
        if self.down:
            raise Unavailable("the topic does not answer", resource="topic")
        into.append(what)
        self.hooks.after("publish")
