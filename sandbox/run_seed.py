"""Services and worker pools in a few words: what ``add_service``, ``add_worker_pool`` and ``deploy`` of the model take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from google.cloud import run_v2

from sandbox.run_messages import SERVICE, Kind, merge
from sandbox.run_records import Record
from sandbox.run_scaling import COUNT, MAXIMUM, MINIMUM, MODE, Mode

_IMAGE = "us-docker.pkg.dev/cloudrun/container/hello"
_SCALING = {"mode": MODE, "service_min": MINIMUM, "service_max": MAXIMUM, "manual_count": COUNT}


@dataclass(frozen=True)
class Target:
    """One entry of the traffic.

    Attributes:
        percent: Its share.
        tag: Its tag, if any.
        minimum: Where given, the entry gets an older revision of its own that has this revision minimum.
        revision: The short name of an existing revision; empty is the latest.
    """

    percent: int = 0
    tag: str = ""
    minimum: int | None = None
    revision: str = ""


class Shape(TypedDict, total=False):
    """What a service looks like; what is left out keeps its value, or its default in a new one.

    `mode` is AUTOMATIC, MANUAL, or empty for a service whose mode was never set. `gpu` is an accelerator (``nvidia-l4``) and brings
    instance-based billing. `tags` adds to the traffic, per tag, an older revision with that revision minimum and no traffic.
    `revision` names the revision, as the console and gcloud can. `function` makes it a Cloud Run function.
    """

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    env: Mapping[str, str]
    image: str
    cpu: str
    memory: str
    cpu_idle: bool
    gpu: str
    function: bool
    mode: str
    service_min: int
    service_max: int
    manual_count: int
    revision_min: int
    revision_max: int
    revision: str
    traffic: Sequence[Target]
    tags: Mapping[str, int]


def paths(shape: Shape) -> tuple[str, ...]:
    """The scaling fields that a deployment of a shape writes, as a mask. A person who gives one of minimum and maximum means both."""
    named = {field for key, field in _SCALING.items() if key in shape}
    if named & {MINIMUM, MAXIMUM}:
        named |= {MINIMUM, MAXIMUM}
    return tuple(f"scaling.{name}" for name in sorted(named)) or ("template",)


def targets(shape: Shape) -> tuple[Target, ...]:
    """The traffic of a shape, empty where it leaves the traffic as it is."""
    if "traffic" not in shape and "tags" not in shape:
        return ()
    tagged = (Target(0, tag, minimum) for tag, minimum in shape.get("tags", {}).items())
    return (*(shape.get("traffic") or (Target(100),)), *tagged)


def apply(kind: Kind, message: Any, shape: Shape) -> None:
    """Put a shape into a resource's message, all but its traffic."""
    template = message.template
    template.revision = shape.get("revision", "")
    for name, target in (("labels", message.labels), ("annotations", message.annotations)):
        if name in shape:
            target.clear()
            target.update(shape["labels"] if name == "labels" else shape["annotations"])
    _container(kind, template, shape)
    if kind is SERVICE:
        _service(message, shape)
    elif "manual_count" in shape:
        message.scaling.manual_instance_count = shape["manual_count"]


def _container(kind: Kind, template: Any, shape: Shape) -> None:
    container = template.containers[0] if template.containers else template.containers.add(image=_IMAGE)
    if kind is SERVICE and not container.HasField("resources"):
        container.resources.cpu_idle = True
    container.image = shape.get("image", container.image)
    limits = container.resources.limits
    for resource, value in (("cpu", shape.get("cpu")), ("memory", shape.get("memory"))):
        if value:
            limits[resource] = value
    if "env" in shape:
        del container.env[:]
        for name, value in shape["env"].items():
            container.env.add(name=name, value=value)
    if "gpu" in shape:
        template.ClearField("node_selector")
        limits.pop("nvidia.com/gpu", None)
    if shape.get("gpu"):
        template.node_selector.accelerator = shape["gpu"]
        limits["nvidia.com/gpu"] = "1"
        container.resources.cpu_idle = False
    if "cpu_idle" in shape:
        container.resources.cpu_idle = shape["cpu_idle"]


def _service(message: Any, shape: Shape) -> None:
    scaling, own = message.scaling, message.template.scaling
    if "mode" in shape:
        scaling.scaling_mode = int(Mode[shape["mode"] or "SCALING_MODE_UNSPECIFIED"])
    scaling.min_instance_count = shape.get("service_min", scaling.min_instance_count)
    scaling.max_instance_count = shape.get("service_max", scaling.max_instance_count)
    if "manual_count" in shape:
        scaling.manual_instance_count = shape["manual_count"]
    own.min_instance_count = shape.get("revision_min", own.min_instance_count)
    own.max_instance_count = shape.get("revision_max", own.max_instance_count)
    if shape.get("function"):
        message.labels["goog-managed-by"] = "cloudfunctions"
        message.build_config.CopyFrom(run_v2.BuildConfig.pb()(function_target="main", base_image="google-24-full/python313"))


def reshape(record: Record, shape: Shape, now: float, modifier: str, *, unset_on_manual: bool, force: bool) -> None:
    """Put a shape into a record as one deployment that takes effect at once; a new record is created so.

    Raises:
        RefusedError: The shape is one that Cloud Run would not take.
    """
    mask = paths(shape) if record.revisions else ()

    def write(message: Any, *, force: bool) -> None:
        merged = merge(record.kind, record.message, message, ())
        record.commit(record.draft(merged, mask, unset_on_manual=unset_on_manual, force=force), now, modifier)

    wanted = record.kind.message()
    wanted.CopyFrom(record.message)
    apply(record.kind, wanted, shape)
    entries = []
    for target in targets(shape):
        revision = target.revision
        if target.minimum is not None:
            older = record.kind.message()
            older.CopyFrom(wanted)
            older.template.ClearField("revision")
            older.template.scaling.min_instance_count = target.minimum
            write(older, force=True)
            revision = record.message.latest_created_revision.rpartition("/")[2]
        entries.append(run_v2.TrafficTarget.pb()(percent=target.percent, tag=target.tag, revision=revision))
    if entries:
        del wanted.traffic[:]
        wanted.traffic.extend(entries)
    write(wanted, force=force)
