"""Cloud Run services through the Admin API v2.

https://cloud.google.com/run/docs/reference/rpc/google.cloud.run.v2
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from shared.cloud import run_calls
from shared.cloud.channel import connect
from shared.cloud.errors import translated
from shared.cloud.lazy import Lazy
from shared.cloud.run_containers import created, template_facts
from shared.errors import Gone
from shared.model import Place, Resource
from shared.ports import Seen

_log = logging.getLogger(__name__)

_API = "google.cloud.run_v2"
_FIELDS: Mapping[str, str] = {
    "scaling.scaling_mode": "mode",
    "scaling.manual_instance_count": "count",
    "scaling.min_instance_count": "minimum",
    "scaling.max_instance_count": "maximum",
    "template.scaling.min_instance_count": "revision_minimum",
}
_REVISION = "template.revision"
_MODES = {"automatic": 1, "manual": 2}  # of ServiceScaling.ScalingMode
_WRITE_TIME = 30.0
_MOST_REVISIONS = 50


class CloudRunServices:
    """Fulfils `shared.ports.Fleet` for services. All methods may be called from several threads."""

    def __init__(self, emulator: str | None = None, *, first_poll: float = run_calls.FIRST_POLL) -> None:
        """Nothing is connected before the first call.

        Args:
            emulator: ``host:port`` of a plaintext server; None is Google's own.
            first_poll: Seconds before an operation is first looked at.
        """
        self._services = Lazy(lambda: connect(_API, "ServicesClient", emulator))
        self._revisions = Lazy(lambda: connect(_API, "RevisionsClient", emulator))
        self._first_poll = first_poll

    def list(self, place: Place) -> Seen:
        """All services of a place, over all pages; each page may take `run_calls.READ_TIME`."""
        parent = f"projects/{place.project}/locations/{place.region}"
        resources, unreachable = [], set()
        with translated(parent):
            pager = self._services().list_services({"parent": parent, "page_size": run_calls.PAGE_SIZE}, **run_calls.read_options())
            for page in pager.pages:  # over the pager itself the pages' `unreachable` would be lost
                answer = type(page).pb(page)
                resources += [resource_of(service) for service in answer.services]
                unreachable.update(answer.unreachable)
        return Seen(tuple(resources), tuple(sorted(unreachable)))

    def get(self, name: str) -> Resource:
        """One service, as it is now."""
        with translated(name):
            service = self._services().get_service({"name": name}, **run_calls.read_options())
        return resource_of(type(service).pb(service))

    def detail(self, resource: Resource) -> Resource:
        """The same service with ``facts["revisions"]``: of each revision that its traffic names, its share, its tags and its own minimum.

        The latest revision is not among them, unless it is named: its minimum is ``state["revision_minimum"]``. Costs one call for each revision.
        """
        named: dict[str, dict[str, Any]] = {}
        for target in resource.facts["traffic"]:
            if target["revision"]:
                found = named.setdefault(target["revision"], {"revision": target["revision"], "percent": 0, "tag": "", "minimum": 0})
                found["percent"] += target["percent"]
                found["tag"] = ",".join(tag for tag in (found["tag"], target["tag"]) if tag)
        if len(named) > _MOST_REVISIONS:
            _log.warning("%s has %d revisions in its traffic; only the first %d are looked at", resource.name, len(named), _MOST_REVISIONS)
        revisions = [{**found, "minimum": self._minimum_of(resource, name)} for name, found in [*named.items()][:_MOST_REVISIONS]]
        return replace(resource, facts={**resource.facts, "revisions": revisions})

    def write(self, resource: Resource, wanted: Mapping[str, Any], *, timeout: float) -> None:
        """Change what differs, in one update, and wait until that is done."""
        mask = update_mask(resource.state, wanted, resource.facts)
        if not mask:
            return
        until = time.monotonic() + timeout
        service = {"name": resource.name, "etag": resource.etag, **changed_fields(mask, wanted)}
        client = self._services()
        with translated(resource.name):
            request = {"service": service, "update_mask": {"paths": mask}}
            operation = client.update_service(request, retry=None, timeout=min(timeout, _WRITE_TIME)).operation
        run_calls.follow(client, operation, resource.name, until=until, first_poll=self._first_poll)

    def _minimum_of(self, resource: Resource, revision: str) -> int:
        name = f"{resource.name}/revisions/{revision}"
        try:
            with translated(name):
                found = self._revisions().get_revision({"name": name}, **run_calls.read_options())
        except Gone:
            return 0
        return int(type(found).pb(found).scaling.min_instance_count)


def update_mask(state: Mapping[str, Any], wanted: Mapping[str, Any], facts: Mapping[str, Any]) -> tuple[str, ...]:
    """The fields that an update has to name so that one state becomes another; empty where they are the same.

    From manual to automatic scaling the service's minimum and maximum have to be given together, or they are inherited from the count
    (https://cloud.google.com/run/docs/configuring/services/manual-scaling). A new template under the explicit name of an existing revision
    is refused, so the name is cleared with it.
    """
    differs = {name for name in _FIELDS.values() if state[name] != wanted[name]}
    if wanted["mode"] == "automatic":
        differs.discard("count")
        if "mode" in differs:
            differs |= {"minimum", "maximum"}
    mask = [path for path, name in _FIELDS.items() if name in differs]
    if "revision_minimum" in differs and facts["revision"]:
        mask.append(_REVISION)
    return tuple(mask)


def changed_fields(mask: Iterable[str], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a mask with the values wanted, nested as in a service."""
    fields: dict[str, Any] = {}
    for path in mask:
        *parents, last = path.split(".")
        inner = fields
        for parent in parents:
            inner = inner.setdefault(parent, {})
        value = wanted[_FIELDS[path]] if path in _FIELDS else ""
        inner[last] = _MODES.get(value, value)
    return fields


def resource_of(service: Any) -> Resource:
    """A service as the watchdog sees it.

    Args:
        service: The protobuf message of a ``google.cloud.run.v2.Service``.
    """
    scaling, template = service.scaling, service.template
    manual = scaling.scaling_mode == _MODES["manual"]
    return Resource(
        kind="service",
        name=service.name,
        labels=dict(service.labels),
        state={
            "mode": "manual" if manual else "automatic",
            "minimum": scaling.min_instance_count,
            "maximum": scaling.max_instance_count,
            "count": scaling.manual_instance_count if manual and scaling.HasField("manual_instance_count") else None,
            "revision_minimum": template.scaling.min_instance_count,
        },
        etag=service.etag,
        facts={
            **template_facts(template),
            "billing": _billing(template),
            "revision_maximum": template.scaling.max_instance_count,
            "function": service.HasField("build_config") or service.labels.get("goog-managed-by") == "cloudfunctions",
            "latest_revision": _short(service.latest_ready_revision),
            "traffic": [{"revision": _short(target.revision), "percent": target.percent, "tag": target.tag} for target in service.traffic],
            "uri": service.uri,
            "multi_region": bool(service.multi_region_settings.regions),
            "reconciling": service.reconciling,
            "base_image": service.build_config.base_image,
            "created": created(service),
        },
        last_modifier=service.last_modifier,
    )


def _billing(template: Any) -> str:
    """``instance`` where instances bill as long as they live, ``request`` where they bill while they answer.

    With resources set, a `cpu_idle` that is not set is false: https://cloud.google.com/run/docs/configuring/billing-settings
    """
    if template.node_selector.accelerator:
        return "instance"
    first = next((container.resources for container in template.containers if container.HasField("resources")), None)
    return "request" if first is None or first.cpu_idle else "instance"


def _short(name: str) -> str:
    return name.rpartition("/")[2]
