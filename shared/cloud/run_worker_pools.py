"""Cloud Run worker pools through the Admin API v2.

https://cloud.google.com/run/docs/reference/rpc/google.cloud.run.v2
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from shared.cloud import run_calls
from shared.cloud.channel import connect
from shared.cloud.errors import translated
from shared.cloud.lazy import Lazy
from shared.cloud.run_containers import created, template_facts
from shared.model import Place, Resource
from shared.ports import Seen

_API = "google.cloud.run_v2"
_MASK = ("scaling.manual_instance_count",)
_WRITE_TIME = 30.0
_DEFAULT_COUNT = 1  # https://cloud.google.com/run/docs/configuring/workerpools/manual-scaling


class CloudRunWorkerPools:
    """Fulfils `shared.ports.Fleet` for worker pools. All methods may be called from several threads."""

    def __init__(self, emulator: str | None = None, *, first_poll: float = run_calls.FIRST_POLL) -> None:
        """Nothing is connected before the first call.

        Args:
            emulator: ``host:port`` of a plaintext server; None is Google's own.
            first_poll: Seconds before an operation is first looked at.
        """
        self._pools = Lazy(lambda: connect(_API, "WorkerPoolsClient", emulator))
        self._first_poll = first_poll

    def list(self, place: Place) -> Seen:
        """All worker pools of a place, over all pages; the platform tells of no unreachable locations here."""
        parent = f"projects/{place.project}/locations/{place.region}"
        resources: list[Resource] = []
        with translated(parent):
            pager = self._pools().list_worker_pools({"parent": parent, "page_size": run_calls.PAGE_SIZE}, **run_calls.read_options())
            for page in pager.pages:
                resources += [resource_of(pool) for pool in type(page).pb(page).worker_pools]
        return Seen(tuple(resources))

    def get(self, name: str) -> Resource:
        """One worker pool, as it is now."""
        with translated(name):
            pool = self._pools().get_worker_pool({"name": name}, **run_calls.read_options())
        return resource_of(type(pool).pb(pool))

    def detail(self, resource: Resource) -> Resource:
        """The same: nothing about a worker pool costs further calls."""
        return resource

    def write(self, resource: Resource, wanted: Mapping[str, Any], *, timeout: float) -> None:
        """Change the number of instances, and wait until that is done."""
        if wanted["count"] == resource.state["count"]:
            return
        until = time.monotonic() + timeout
        pool = {"name": resource.name, "etag": resource.etag, "scaling": {"manual_instance_count": wanted["count"]}}
        client = self._pools()
        with translated(resource.name):
            request = {"worker_pool": pool, "update_mask": {"paths": _MASK}}
            operation = client.update_worker_pool(request, retry=None, timeout=min(timeout, _WRITE_TIME)).operation
        run_calls.follow(client, operation, resource.name, until=until, first_poll=self._first_poll)


def resource_of(pool: Any) -> Resource:
    """A worker pool as the watchdog sees it.

    Args:
        pool: The protobuf message of a ``google.cloud.run.v2.WorkerPool``.
    """
    scaling = pool.scaling
    return Resource(
        kind="worker_pool",
        name=pool.name,
        labels=dict(pool.labels),
        state={"count": scaling.manual_instance_count if scaling.HasField("manual_instance_count") else _DEFAULT_COUNT},
        etag=pool.etag,
        facts={
            **template_facts(pool.template),
            "billing": "instance",
            "uri": "",
            "reconciling": pool.reconciling,
            "created": created(pool),
        },
        last_modifier=pool.last_modifier,
    )
