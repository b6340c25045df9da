"""Cloud Run's messages as protobuf: names, masks, server defaults, and what is refused in them."""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from google.cloud import run_v2
from google.protobuf import field_mask_pb2

from sandbox.grpc_errors import RefusedError, invalid
from sandbox.run_scaling import COUNT, FIELDS, MAXIMUM, Mode, Route, Scaling

_PART = r"[^/]+"
_ID = re.compile(r"[a-z]([-a-z0-9]{0,47}[a-z0-9])?")
_RESERVED = ("run.googleapis.com", "cloud.googleapis.com", "serving.knative.dev", "autoscaling.knative.dev")
_OUTPUT = (
    "uid",
    "generation",
    "create_time",
    "update_time",
    "delete_time",
    "expire_time",
    "creator",
    "last_modifier",
    "observed_generation",
    "terminal_condition",
    "conditions",
    "latest_ready_revision",
    "latest_created_revision",
    "threat_detection_enabled",
    "satisfies_pzs",
    "reconciling",
    "etag",
)
_LATEST, _BY_NAME = 1, 2  # of TrafficTargetAllocationType and of InstanceSplitAllocationType alike
_GA, _INGRESS_ALL = 4, 1


@dataclass(frozen=True)
class Kind:
    """What differs between services and worker pools.

    Attributes:
        noun: For people.
        collection: As in resource names.
        field: The resource's field in requests.
        split: The field that divides it over its revisions.
        message: The protobuf class.
        output: The fields that only the server writes, and the name.
    """

    noun: str
    collection: str
    field: str
    split: str
    message: Any
    output: tuple[str, ...]


SERVICE = Kind("service", "services", "service", "traffic", run_v2.Service.pb(), ("name", *_OUTPUT, "traffic_statuses", "uri", "urls"))
POOL = Kind(
    "worker pool",
    "workerPools",
    "worker_pool",
    "instance_splits",
    run_v2.WorkerPool.pb(),
    ("name", *_OUTPUT, "instance_split_statuses"),
)


@dataclass(frozen=True)
class Place:
    """A project and a location."""

    project: str
    region: str

    def __str__(self) -> str:
        return f"projects/{self.project}/locations/{self.region}"


def place_of(name: str, pattern: str = "") -> Place:
    """The project and location that a resource name begins with.

    Args:
        name: The resource's name, or a parent.
        pattern: A regular expression of all that follows the location.

    Raises:
        RefusedError: INVALID_ARGUMENT: the name has another form, or ``-`` for its project or location.
    """
    match = re.fullmatch(rf"projects/({_PART})/locations/({_PART}){pattern}", name)
    if not match:
        raise invalid(f"{name!r} is not a name of the form projects/PROJECT/locations/LOCATION{pattern.replace(_PART, 'ID')}.")
    if "-" in (match[1], match[2]):
        raise invalid(f"{name!r}: the location must be a Google Cloud region and cannot be the '-' wildcard.")
    return Place(match[1], match[2])


def place_of_resource(kind: Kind, name: str) -> Place:
    """The same for the name of a service or a worker pool."""
    return place_of(name, rf"/{kind.collection}/{_PART}")


def place_of_revision(name: str) -> Place:
    """The same for the name of a service's revision."""
    return place_of(name, rf"/services/{_PART}/revisions/{_PART}")


def place_of_service(parent: str) -> Place:
    """The same for the parent of revisions, which may be ``services/-``."""
    return place_of(parent, rf"/services/{_PART}")


def place_of_operation(name: str) -> Place:
    """The same for the name of an operation."""
    return place_of(name, rf"/operations/{_PART}")


def check_id(kind: Kind, text: str) -> None:
    """Refuse what cannot be the id of a new service or worker pool."""
    if not _ID.fullmatch(text):
        raise invalid(
            f"{kind.field}_id: {text!r} must begin with a letter, hold lowercase letters, digits and hyphens, "
            "not end with a hyphen, and have fewer than 50 characters."
        )


def page(names: Iterable[str], parent: str, size: int, token: str) -> tuple[list[str], str]:
    """One page of sorted names, and the token of the next. The token holds the last name, so clients may delete while they list.

    The default of 100 and the maximum of 500 are the sandbox's own choice: Google states none for these methods.

    Raises:
        RefusedError: INVALID_ARGUMENT: a negative size, or a token that is not of this listing.
    """
    if size < 0:
        raise invalid(f"page_size: must not be negative, is {size}.")
    try:
        after = base64.urlsafe_b64decode(token).decode()
    except ValueError as error:
        raise invalid("page_token: is not one that was returned by this method.") from error
    if after and not after.startswith(parent):
        raise invalid("page_token: belongs to another listing.")
    rest = sorted(name for name in names if name > after)
    size = min(size or 100, 500)
    if len(rest) <= size:
        return rest, ""
    return rest[:size], base64.urlsafe_b64encode(rest[size - 1].encode()).decode()


def merge(kind: Kind, old: Any, new: Any, paths: Sequence[str]) -> Any:
    """The resource with an update put in: the masked fields, or everything that can be changed where there is no mask.

    Raises:
        RefusedError: INVALID_ARGUMENT: a path that is unknown, such as one in camel case or into a map or a list.
    """
    merged = kind.message()
    if paths:
        for path in paths:
            if not field_mask_pb2.FieldMask(paths=[path]).IsValidForDescriptor(kind.message.DESCRIPTOR):
                raise invalid(f"update_mask: {path!r} is no field of {kind.message.DESCRIPTOR.name}; paths are in snake case.")
            _make_parents(new, path)
        merged.CopyFrom(old)
        mask = field_mask_pb2.FieldMask(paths=paths)
        mask.MergeMessage(new, merged, replace_message_field=True, replace_repeated_field=True)
    else:
        merged.CopyFrom(new)
    for field in kind.output:
        merged.ClearField(field)
        copy_field(old, merged, field)
    return merged


def _make_parents(message: Any, path: str) -> None:
    """A path into a message that was not sent means the default value there, which `MergeMessage` would pass over."""
    for part in path.split(".")[:-1]:
        message = getattr(message, part)
        message.SetInParent()


def copy_field(source: Any, target: Any, field: str) -> None:
    """Copy one field between messages that both have it, where it is set."""
    value = getattr(source, field)
    if not hasattr(value, "MergeFrom"):
        setattr(target, field, value)
    elif source.DESCRIPTOR.fields_by_name[field].is_repeated or source.HasField(field):
        getattr(target, field).MergeFrom(value)


def asked(before: Scaling, message: Any, paths: Sequence[str]) -> tuple[Scaling, frozenset[str]]:
    """The scaling that a merged service asks for, and which of its fields the update gives."""
    scaling = message.scaling
    if paths and "scaling" not in paths:
        given = covered = frozenset(path.removeprefix("scaling.") for path in paths if path.startswith("scaling."))
    else:
        given, covered = frozenset(field.name for field, _ in scaling.ListFields()), FIELDS
    return (
        Scaling(
            mode=_mode(scaling.scaling_mode),
            minimum=scaling.min_instance_count,
            maximum=scaling.max_instance_count or None if MAXIMUM in covered else before.maximum,
            count=scaling.manual_instance_count if scaling.HasField(COUNT) else None,
        ),
        given,
    )


def _mode(number: int) -> Mode:
    try:
        return Mode(number)
    except ValueError as error:
        raise invalid(f"scaling.scaling_mode: {number} is none of {', '.join(Mode.__members__)}.") from error


def write_scaling(scaling: Scaling, message: Any) -> None:
    """Put a scaling into a service's message."""
    target = message.scaling
    target.Clear()
    target.scaling_mode = int(scaling.mode)
    target.min_instance_count = scaling.minimum
    target.max_instance_count = scaling.maximum or 0
    if scaling.count is not None:
        target.manual_instance_count = scaling.count


def fill(kind: Kind, message: Any) -> None:
    """Put in the server's defaults."""
    template = message.template
    for container in template.containers:
        if kind is SERVICE and not container.HasField("resources"):
            container.resources.cpu_idle = True
        limits = container.resources.limits
        for resource, default in (("cpu", "1000m"), ("memory", "512Mi")):
            if resource not in limits:
                limits[resource] = default
    message.launch_stage = message.launch_stage or _GA
    routes = getattr(message, kind.split)
    for target in routes:
        target.type_ = target.type_ or (_BY_NAME if target.revision else _LATEST)
    if not routes:
        routes.add(type_=_LATEST, percent=100)
    if kind is POOL:
        if not message.scaling.HasField(COUNT):
            message.scaling.manual_instance_count = 1
        return
    template.max_instance_request_concurrency = template.max_instance_request_concurrency or 80
    template.scaling.max_instance_count = template.scaling.max_instance_count or 100
    if not template.HasField("timeout"):
        template.timeout.seconds = 300
    message.ingress = message.ingress or _INGRESS_ALL


def check(kind: Kind, message: Any) -> None:
    """Refuse a resource that Cloud Run would not take.

    Raises:
        RefusedError: INVALID_ARGUMENT.
    """
    for name, pairs in (
        ("labels", message.labels),
        ("annotations", message.annotations),
        ("template.labels", message.template.labels),
        ("template.annotations", message.template.annotations),
    ):
        for key in pairs:
            prefix, slash, _ = key.partition("/")
            if slash and f".{prefix}".endswith(tuple(f".{namespace}" for namespace in _RESERVED)):
                raise invalid(f"{name}: {key!r} is in a namespace that Cloud Run keeps for itself; use the field of the API instead.")
    if not message.template.containers or not all(container.image for container in message.template.containers):
        raise invalid("template.containers: at least one container is required, each with an image.")
    if kind is POOL:
        if message.scaling.manual_instance_count < 0:
            raise invalid("scaling.manual_instance_count: must not be negative.")
        return
    own = message.template.scaling
    if own.min_instance_count < 0 or own.max_instance_count < own.min_instance_count:
        raise invalid(
            f"template.scaling: min_instance_count {own.min_instance_count} must lie between 0 and max_instance_count {own.max_instance_count}."
        )


def check_routes(kind: Kind, message: Any, revisions: Collection[str]) -> None:
    """Refuse a split that does not add up or names a revision that does not exist.

    Raises:
        RefusedError: INVALID_ARGUMENT.
    """
    targets = getattr(message, kind.split)
    if any(target.percent < 0 for target in targets) or sum(target.percent for target in targets) != 100:
        raise invalid(f"{kind.split}: the percentages must add up to 100.")
    for target in targets:
        if target.type_ == _BY_NAME and target.revision not in revisions:
            raise invalid(f"{kind.split}: revision {target.revision!r} does not exist.")
        if target.type_ == _LATEST and target.revision:
            raise invalid(f"{kind.split}: an entry for the latest revision cannot name {target.revision!r}.")
    tags = [target.tag for target in targets if target.tag] if kind is SERVICE else []
    if len(set(tags)) != len(tags):
        raise invalid("traffic: every tag can be used once only.")


def routes(kind: Kind, message: Any) -> tuple[Route, ...]:
    """The split of a service or a worker pool."""
    return tuple(Route(target.revision, target.percent, target.tag if kind is SERVICE else "") for target in getattr(message, kind.split))


def same_template(one: Any, other: Any) -> bool:
    """Whether two templates make the same revision, whatever it would be called."""
    first, second = type(one)(), type(other)()
    first.CopyFrom(one)
    second.CopyFrom(other)
    first.ClearField("revision")
    second.ClearField("revision")
    return bool(first == second)


def conflict(name: str, sent: str, current: str) -> RefusedError:
    """The answer to an etag that is no longer current."""
    return RefusedError(
        grpc.StatusCode.ABORTED,
        f"Conflict for resource {name!r}: version {sent!r} was specified but current version is {current!r}. Read it again before changing it.",
    )
