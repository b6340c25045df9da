"""Cloud Run in memory: services, their revisions, worker pools, operations and quotas, and how many instances really run.

Every public method is safe between threads. Methods that stand for an API method take and return raw protobuf messages and raise
`RefusedError`; what people do (`add_service`, `deploy`, `remove` ...) takes effect at once and costs no quota.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple, Unpack

import grpc

from sandbox.faults import Faults
from sandbox.grpc_errors import RefusedError, code_of, not_found
from sandbox.run_messages import (
    POOL,
    SERVICE,
    Kind,
    Place,
    check_id,
    conflict,
    merge,
    page,
    place_of,
    place_of_operation,
    place_of_resource,
    place_of_revision,
    place_of_service,
)
from sandbox.run_operations import Operation, Operations
from sandbox.run_quota import Quota
from sandbox.run_records import Change, Record, finish, shown, timestamp
from sandbox.run_seed import Shape, paths, reshape

WATCHDOG = "cost-watchdog@acme-ml-watchdog.iam.gserviceaccount.com"
PEOPLE = "terraform@acme-ml-ci.iam.gserviceaccount.com"


class Write(NamedTuple):
    """A write that changed something: when, by which method, to what, with which mask, by whom."""

    time: float
    method: str
    name: str
    mask: tuple[str, ...]
    principal: str


class RunModel:
    """The Admin API's state and rules.

    Attributes:
        faults: Asked under ``Operation`` for each accepted write: `status` makes its operation fail, `delay` makes it take longer.
        principal: Who the callers over the wire are.
        operation_seconds: How long an operation takes; 0 is done at once.
        unset_on_manual: See `run_scaling.change`.
        writes: Every write that changed something, over the wire or by people; not what was seeded.
        write_counts: How many of them there were, by resource name.
    """

    def __init__(
        self,
        faults: Faults | None = None,
        *,
        clock: Callable[[], float] = time.time,
        operation_seconds: float = 0.2,
        unset_on_manual: bool = True,
        principal: str = WATCHDOG,
        reads: int = 3000,
        writes: int = 180,
        window: float = 60.0,
    ) -> None:
        self.faults = faults or Faults()
        self.principal = principal
        self.operation_seconds = operation_seconds
        self.unset_on_manual = unset_on_manual
        self.writes: list[Write] = []
        self.write_counts: Counter[str] = Counter()
        self._clock = clock
        self._quotas = {name: Quota(name, limit, window, clock) for name, limit in (("Read", reads), ("Write", writes))}
        self._records: dict[str, Record] = {}
        self._operations = Operations(clock)
        self._lost: dict[str, frozenset[str] | None] = {}
        self._lock = threading.RLock()

    # Reads

    def get(self, kind: Kind, name: str) -> Any:
        """GetService, GetWorkerPool."""
        with self._lock:
            self._charge("Read", place_of_resource(kind, name))
            message = kind.message()
            message.CopyFrom(self._find(kind, name).message)
            return message

    def list_resources(self, kind: Kind, parent: str, size: int, token: str) -> tuple[list[Any], str, list[str]]:
        """ListServices, ListWorkerPools: the page's resources, the next page's token, and the places that could not be reached."""
        with self._lock:
            self._charge("Read", place_of(parent))
            inside = f"{parent}/{kind.collection}/"
            names = [name for name in self._records if name.startswith(inside)]
            unreachable = kind is SERVICE and parent in self._lost
            if unreachable:
                lost = self._lost[parent]
                names = [name for index, name in enumerate(sorted(names)) if (index % 2 if lost is None else name not in lost)]
            found, following = page(names, inside, size, token)
            messages = []
            for name in found:
                message = kind.message()
                message.CopyFrom(self._find(kind, name).message)
                messages.append(message)
            return messages, following, [parent] if unreachable else []

    def get_revision(self, name: str) -> Any:
        """GetRevision."""
        with self._lock:
            self._charge("Read", place_of_revision(name))
            service, _, short = name.partition("/revisions/")
            record = self._records.get(service)
            if record is None or short not in record.revisions:
                raise not_found(f'revision "{name}" not found')
            return record.revisions[short]

    def list_revisions(self, parent: str, size: int, token: str) -> tuple[list[Any], str]:
        """ListRevisions; ``-`` for the service is all services of the location."""
        with self._lock:
            self._charge("Read", place_of_service(parent))
            inside = parent.removesuffix("-") if parent.endswith("/-") else f"{parent}/"
            revisions = {
                revision.name: revision
                for record in self._records.values()
                for revision in record.revisions.values()
                if revision.name.startswith(inside)
            }
            found, following = page(revisions, inside, size, token)
            return [revisions[name] for name in found], following

    def operation(self, name: str) -> Any:
        """GetOperation."""
        with self._lock:
            self._charge("Read", place_of_operation(name))
            return self._operations.read(name)

    def seconds_left(self, name: str) -> float:
        """How long an operation still takes; 0 for one that is done."""
        with self._lock:
            return self._operations.seconds_left(name)

    # Writes over the wire

    def create(self, kind: Kind, parent: str, own: str, message: Any, *, validate_only: bool = False) -> Any:
        """CreateService, CreateWorkerPool."""
        with self._lock:
            self._charge("Write", place_of(parent))
            check_id(kind, own)
            name = f"{parent}/{kind.collection}/{own}"
            if name in self._records:
                raise RefusedError(grpc.StatusCode.ALREADY_EXISTS, f'{kind.noun} "{name}" already exists')
            return self._write(_new(kind, name), message, (), _method("Create", kind), validate_only=validate_only)

    def update(
        self,
        kind: Kind,
        message: Any,
        mask: Sequence[str],
        *,
        validate_only: bool = False,
        allow_missing: bool = False,
        force: bool = False,
    ) -> Any:
        """UpdateService, UpdateWorkerPool: an empty mask replaces everything that can be changed."""
        with self._lock:
            name = str(message.name)
            place = place_of_resource(kind, name)
            if allow_missing and name not in self._records:
                return self.create(kind, str(place), name.rpartition("/")[2], message, validate_only=validate_only)
            self._charge("Write", place)
            record = self._find(kind, name)
            if message.etag and message.etag != record.message.etag:
                raise conflict(name, message.etag, record.message.etag)
            return self._write(record, message, tuple(mask), _method("Update", kind), validate_only=validate_only, force=force)

    def delete(self, kind: Kind, name: str, etag: str = "", *, validate_only: bool = False) -> Any:
        """DeleteService, DeleteWorkerPool. What is deleted is gone at once."""
        with self._lock:
            place = place_of_resource(kind, name)
            self._charge("Write", place)
            record = self._find(kind, name)
            if etag and etag != record.message.etag:
                raise conflict(name, etag, record.message.etag)
            after = kind.message()
            after.CopyFrom(record.message)
            now = self._clock()
            if not validate_only:
                self._remove(name, _method("Delete", kind), self.principal)
                after.delete_time.CopyFrom(timestamp(now))
            seconds, code = (0.0, None) if validate_only else self._fate(name)
            return self._operations.begin(place, Operation(now + seconds, record.message, after, code))

    # What people do

    def add_service(self, project: str, region: str, name: str, *, modifier: str = PEOPLE, demand: int = 0, **shape: Unpack[Shape]) -> str:
        """Put a service there that has long been deployed; returns its full name. Its mode is AUTOMATIC where it is not given.

        Raises:
            RefusedError: The shape is one that Cloud Run would not take, or the service is there already.
        """
        shape.setdefault("mode", "AUTOMATIC")
        return self._add(SERVICE, Place(project, region), name, modifier, shape, demand)

    def add_worker_pool(self, project: str, region: str, name: str, *, modifier: str = PEOPLE, **shape: Unpack[Shape]) -> str:
        """The same for a worker pool, whose `manual_count` is 1 where it is not given."""
        return self._add(POOL, Place(project, region), name, modifier, shape, 0)

    def deploy(self, name: str, modifier: str, *, new_revision: bool = True, **changes: Unpack[Shape]) -> None:
        """Somebody deploys (gcloud, Terraform, the console): what is given overwrites what is there, whatever its etag.

        Args:
            name: The full name of the service or worker pool.
            modifier: Who does it; becomes ``last_modifier``.
            new_revision: Whether a new revision is made even where the template stays the same, as gcloud does.
            **changes: What is overwritten. Without any, only the revision is new.
        """
        with self._lock:
            record = self._find(_kind(name), name)
            reshape(record, changes, self._clock(), modifier, unset_on_manual=self.unset_on_manual, force=new_revision)
            self._log("deploy", name, paths(changes), modifier)

    def remove(self, name: str, modifier: str) -> None:
        """Somebody deletes a service or worker pool."""
        with self._lock:
            self._find(_kind(name), name)
            self._remove(name, "remove", modifier)

    def set_demand(self, name: str, instances: int) -> None:
        """How many instances the traffic of a service needs from now on."""
        with self._lock:
            self._records[name].demand = instances

    def lose(self, project: str, region: str, services: Collection[str] | None = None) -> None:
        """Let ListServices answer for a region with itself in ``unreachable`` and without some services: every second one, or these."""
        place = Place(project, region)
        with self._lock:
            self._lost[str(place)] = None if services is None else frozenset(f"{place}/services/{name}" for name in services)

    def recover(self, project: str, region: str) -> None:
        """Let ListServices answer whole again."""
        with self._lock:
            self._lost.pop(str(Place(project, region)), None)

    # What is really running

    def instances(self, name: str) -> dict[str, int]:
        """How many instances of each active revision run, by the revision's short name.

        Raises:
            RefusedError: NOT_FOUND.
        """
        with self._lock:
            return self._find(_kind(name), name).instances()

    def total(self, name: str) -> int:
        """How many instances run in all."""
        return sum(self.instances(name).values())

    def snapshot(self) -> list[dict[str, Any]]:
        """Everything that a page shows, as plain JSON, sorted by name."""
        with self._lock:
            return [shown(self._find(record.kind, name)) for name, record in sorted(self._records.items())]

    # Inside, with the lock held

    def _charge(self, quota: str, place: Place) -> None:
        self._quotas[quota].charge(place)

    def _find(self, kind: Kind, name: str) -> Record:
        record = self._records.get(name)
        if record is None:
            raise not_found(f'{kind.noun} "{name}" not found')
        record.settle(self._clock())
        return record

    def _write(self, record: Record, message: Any, mask: tuple[str, ...], method: str, *, validate_only: bool, force: bool = False) -> Any:
        place = place_of_resource(record.kind, record.name)
        before, now = record.message, self._clock()
        merged = merge(record.kind, before, message, mask)
        draft = record.draft(merged, mask, unset_on_manual=self.unset_on_manual, force=force)
        if validate_only:
            return self._operations.begin(place, Operation(now, before, merged))
        seconds, code = self._fate(record.name)
        record.commit(draft, now, self.principal, seconds, code)
        self._records[record.name] = record
        self._log(method, record.name, mask, self.principal)
        before, after = record.kind.message(), record.kind.message()
        before.CopyFrom(record.message)
        after.CopyFrom(record.message)
        latest = after.latest_created_revision.rpartition("/")[2]
        finish(record.kind, after, Change(now, after.generation, draft.scaling, (), latest, code))
        return self._operations.begin(place, Operation(now + seconds, before, after, code))

    def _fate(self, name: str) -> tuple[float, grpc.StatusCode | None]:
        fault = self.faults.strike("Operation", name)
        if fault is None:
            return self.operation_seconds, None
        return self.operation_seconds + fault.delay, None if fault.status is None else code_of(fault)

    def _add(self, kind: Kind, place: Place, own: str, modifier: str, shape: Shape, demand: int) -> str:
        with self._lock:
            check_id(kind, own)
            name = f"{place_of(str(place))}/{kind.collection}/{own}"
            if name in self._records:
                raise RefusedError(grpc.StatusCode.ALREADY_EXISTS, f'{kind.noun} "{name}" already exists')
            record = _new(kind, name)
            record.demand = demand
            reshape(record, shape, self._clock(), modifier, unset_on_manual=self.unset_on_manual, force=False)
            self._records[name] = record
            return name

    def _remove(self, name: str, method: str, principal: str) -> None:
        del self._records[name]
        self._log(method, name, (), principal)

    def _log(self, method: str, name: str, mask: tuple[str, ...], principal: str) -> None:
        self.writes.append(Write(self._clock(), method, name, mask, principal))
        self.write_counts[name] += 1


def _new(kind: Kind, name: str) -> Record:
    return Record(kind, kind.message(name=name))


def _method(verb: str, kind: Kind) -> str:
    return f"{verb}{kind.message.DESCRIPTOR.name}"


def _kind(name: str) -> Kind:
    return SERVICE if "/services/" in name else POOL
