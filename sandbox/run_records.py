"""One Cloud Run service or worker pool: its revisions, its changes on the way, and what is really serving."""

from __future__ import annotations

import base64
import random
import uuid
import zlib
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
from google.cloud import run_v2
from google.protobuf.timestamp_pb2 import Timestamp

from sandbox.grpc_errors import RefusedError, invalid
from sandbox.run_messages import SERVICE, Kind, asked, check, check_routes, copy_field, fill, routes, same_template, write_scaling
from sandbox.run_scaling import Limits, Mode, Route, Scaling, ScalingError, change, instances

_RECONCILING, _FAILED, _SUCCEEDED = 2, 3, 4  # of Condition.State
_SUFFIX = "bcdfghjklmnpqrstvwxz"


@dataclass(frozen=True)
class Change:
    """A write that has been accepted and takes effect when it is due.

    Attributes:
        due: When, in seconds since the epoch.
        generation: The resource's generation that it made.
        scaling: The scaling from then on.
        routes: The split from then on, with the latest revision not yet named.
        revision: The short name of the latest created revision.
        code: The code that it fails with, or none.
    """

    due: float
    generation: int
    scaling: Scaling
    routes: tuple[Route, ...]
    revision: str
    code: grpc.StatusCode | None = None


@dataclass(frozen=True)
class Draft:
    """A write that has passed every check and has changed nothing yet.

    Attributes:
        message: The resource as it would read.
        scaling: Its scaling.
        revision: The new revision, or none where the template stays.
    """

    message: Any
    scaling: Scaling
    revision: Any | None


@dataclass
class Record:
    """One service or worker pool.

    Attributes:
        kind: Which of the two.
        message: What a read returns.
        scaling: The desired scaling.
        revisions: Every revision by its short name, oldest first; they never change.
        pending: The changes on their way.
        serving: The last change that took effect; none where nothing runs yet.
        demand: How many instances its traffic would need.
    """

    kind: Kind
    message: Any
    scaling: Scaling = field(default_factory=Scaling)
    revisions: dict[str, Any] = field(default_factory=dict)
    pending: list[Change] = field(default_factory=list)
    serving: Change | None = None
    demand: int = 0

    @property
    def name(self) -> str:
        return str(self.message.name)

    def draft(self, merged: Any, paths: tuple[str, ...], *, unset_on_manual: bool, force: bool = False) -> Draft:
        """Check a write and say what it would lead to. A new record's first write is its creation.

        Args:
            merged: The resource with the update put in; becomes part of the draft.
            paths: The update's mask; empty is a full replacement.
            unset_on_manual: See `run_scaling.change`.
            force: Make a new revision even of the same template.

        Raises:
            RefusedError: INVALID_ARGUMENT or ALREADY_EXISTS.
        """
        fill(self.kind, merged)
        check(self.kind, merged)
        scaling = self._scaling(merged, paths, unset_on_manual=unset_on_manual)
        named = merged.template.revision
        changed = not self.revisions or not same_template(self.message.template, merged.template)
        revision = None
        if changed or force or (named and named not in self.revisions):
            revision = self._new_revision(merged.template, named)
            merged.latest_created_revision = revision.name
        check_routes(self.kind, merged, {*self.revisions, _short(merged.latest_created_revision)})
        return Draft(merged, scaling, revision)

    def commit(self, draft: Draft, now: float, principal: str, seconds: float = 0.0, code: grpc.StatusCode | None = None) -> None:
        """Accept a write; it takes effect after some seconds, or fails with a code."""
        message = draft.message
        stamp = timestamp(now)
        if not self.revisions:
            message.uid = str(uuid.uuid4())
            message.create_time.CopyFrom(stamp)
            message.creator = principal
        message.generation = self.message.generation + 1
        message.update_time.CopyFrom(stamp)
        message.last_modifier = principal
        message.etag = _etag(message)
        if draft.revision is not None:
            draft.revision.create_time.CopyFrom(stamp)
            draft.revision.creator = principal
            self.revisions[_short(draft.revision.name)] = draft.revision
        self.message, self.scaling = message, draft.scaling
        latest = _short(message.latest_created_revision)
        self.pending.append(Change(now + seconds, message.generation, draft.scaling, routes(self.kind, message), latest, code))
        self.settle(now)

    def settle(self, now: float) -> None:
        """Let every change take effect that has become due, unless a newer one already has."""
        due = [one for one in self.pending if one.due <= now]
        self.pending = [one for one in self.pending if one.due > now]
        for done in due:
            if self.serving is None or done.generation > self.serving.generation:
                self.serving = done if done.code is None else self.serving
                finish(self.kind, self.message, done)
        if any(one.generation > self.message.observed_generation for one in self.pending):
            self.message.reconciling = True
            _ready(self.message, _RECONCILING, "The change is being carried out.")

    def instances(self) -> dict[str, int]:
        """How many instances of each active revision run, by its short name."""
        if self.serving is None:
            return {}
        latest = self.serving.revision
        active = [replace(route, revision=route.revision or latest) for route in self.serving.routes]
        return instances(self.serving.scaling, active, {name: self._limits(name) for name in self.revisions}, self.demand)

    def _limits(self, revision: str) -> Limits:
        own = self.revisions[revision].scaling
        return Limits(own.min_instance_count, own.max_instance_count)

    def _scaling(self, merged: Any, paths: tuple[str, ...], *, unset_on_manual: bool) -> Scaling:
        if self.kind is not SERVICE:
            return Scaling(Mode.MANUAL, count=merged.scaling.manual_instance_count)
        wanted, given = asked(self.scaling, merged, paths)
        try:
            scaling = change(self.scaling, wanted, given, unset_on_manual=unset_on_manual)
        except ScalingError as error:
            raise invalid(str(error)) from error
        write_scaling(scaling, merged)
        return scaling

    def _new_revision(self, template: Any, named: str) -> Any:
        own = _short(self.name)
        if named in self.revisions:
            raise RefusedError(
                grpc.StatusCode.ALREADY_EXISTS,
                f"Revision named {named!r} with different configuration already exists. "
                "Leave template.revision empty to have a name generated, or give a new one.",
            )
        if named and not named.startswith(f"{own}-"):
            raise invalid(f"template.revision: {named!r} must begin with the {self.kind.noun}'s name and a hyphen, {own}-.")
        short = named or f"{own}-{len(self.revisions) + 1:05d}-{''.join(random.choices(_SUFFIX, k=3))}"
        revision = run_v2.Revision.pb()(
            name=f"{self.name}/revisions/{short}", uid=str(uuid.uuid4()), generation=1, observed_generation=1, service=own
        )
        known = revision.DESCRIPTOR.fields_by_name
        for described, _ in template.ListFields():
            if described.name in known:
                copy_field(template, revision, described.name)
        revision.etag = _etag(revision)
        return revision


def finish(kind: Kind, message: Any, done: Change) -> None:
    """Write into a resource's message that a change has taken effect, or has failed."""
    message.reconciling = False
    if done.code is not None:
        _ready(message, _FAILED, f"The change failed with {done.code.name}.")
        return
    message.observed_generation = done.generation
    message.latest_ready_revision = f"{message.name}/revisions/{done.revision}"
    _ready(message, _SUCCEEDED, "")
    if kind is not SERVICE:
        del message.instance_split_statuses[:]
        for split in message.instance_splits:
            message.instance_split_statuses.add(type_=split.type_, revision=split.revision, percent=split.percent)
        return
    project, region, own = message.name.split("/")[1::2]
    host = f"{own}-{zlib.crc32(project.encode())}.{region}.run.app"
    message.uri = f"https://{host}"
    message.urls[:] = [message.uri]
    del message.traffic_statuses[:]
    for target in message.traffic:
        uri = f"https://{target.tag}---{host}" if target.tag else ""
        message.traffic_statuses.add(type_=target.type_, revision=target.revision, percent=target.percent, tag=target.tag, uri=uri)


def shown(record: Record) -> dict[str, Any]:
    """A service or worker pool as plain JSON, for a page."""
    message, scaling = record.message, record.scaling
    project, region, own = record.name.split("/")[1::2]
    running = record.instances()
    service = record.kind is SERVICE
    return {
        "kind": record.kind.noun,
        "resource": record.name,
        "project": project,
        "region": region,
        "name": own,
        "labels": dict(message.labels),
        "mode": "MANUAL" if scaling.is_manual else "AUTOMATIC",
        "min": scaling.minimum,
        "max": scaling.maximum or 0,
        "manual_count": scaling.count,
        "revision_min": message.template.scaling.min_instance_count if service else 0,
        "instances": sum(running.values()),
        "revisions": running,
        "tags": {target.tag: target.revision for target in message.traffic if target.tag} if service else {},
        "gpu": str(message.template.node_selector.accelerator),
        "cpu_idle": service and all(container.resources.cpu_idle for container in message.template.containers),
        "function": service and message.HasField("build_config"),
        "demand": record.demand,
        "generation": message.generation,
        "reconciling": message.reconciling,
        "last_modifier": message.last_modifier,
        "etag": message.etag,
    }


def timestamp(now: float) -> Any:
    """A protobuf timestamp of seconds since the epoch."""
    stamp = Timestamp()
    stamp.FromMicroseconds(round(now * 1_000_000))
    return stamp


def _ready(message: Any, state: int, text: str) -> None:
    condition = message.terminal_condition
    if condition.state != state:
        condition.last_transition_time.CopyFrom(message.update_time)
    condition.type_, condition.state, condition.message = "Ready", state, text


def _short(name: str) -> str:
    return name.rpartition("/")[2]


def _etag(message: Any) -> str:
    """In the shape of the real ones: quoted, a part that every write changes, and the name."""
    version = base64.b64encode(uuid.uuid4().bytes[:9]).decode()
    return f'"{version}/{base64.b64encode(message.name.encode()).decode().rstrip("=")}"'
