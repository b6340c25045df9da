"""What the policy says about the artifacts of failed runs in Cloud Storage."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, WithJsonSchema, field_validator

from shared.fields import Bytes, Duration, Part, longer_than_nothing, matching, show

RUN = "{run}"
READABLE = (".json", ".yaml", ".yml")
_WILDCARDS = "*?[]"


def _path(text: str, *, forbidden: str) -> str:
    for character in text:
        if character in forbidden or not character.isprintable():
            raise ValueError(f"{show(text)} holds {show(character)}, which has no meaning here")
    if text.startswith("/") or "//" in text or not text:
        raise ValueError(f"{show(text)} has an empty part; write a path without / at the beginning and without //")
    return text


def object_name(text: str) -> str:
    """One object's name, relative to the run.

    Raises:
        ValueError: It is empty, ends with a slash, or holds wildcards or control characters.
    """
    if text.endswith("/"):
        raise ValueError(f"{show(text)} is a folder; name one object")
    return _path(text, forbidden=_WILDCARDS)


def object_glob(text: str) -> str:
    """A pattern for objects' names, relative to the run; ``**`` crosses slashes.

    Raises:
        ValueError: It is empty, has empty parts, or holds control characters.
    """
    return _path(text, forbidden="")


def run_pattern(text: str) -> str:
    """Where a bucket keeps its runs: ``runs/{run}/``.

    Raises:
        ValueError: ``{run}`` is not one whole part of it, it does not end with a slash, or it holds wildcards.
    """
    if text.split("/").count(RUN) != 1 or "{" in text.replace(RUN, "", 1) or "}" in text.replace(RUN, "", 1):
        raise ValueError(f"{show(text)} should have {RUN} as exactly one whole part, such as runs/{RUN}/")
    if not text.endswith("/"):
        raise ValueError(f"{show(text)} should end with /, since a run is a folder")
    return _path(text, forbidden=_WILDCARDS)


def _values(value: Any) -> tuple[str | int | bool, ...]:
    values = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    if not values or not all(isinstance(each, (str, int)) for each in values):
        raise ValueError("should be text, a whole number, true or false, or a list of those")
    return values


_VALUE = {"type": ["string", "integer", "boolean"]}
ObjectName = Annotated[str, AfterValidator(object_name)]
Values = Annotated[
    tuple[str | int | bool, ...],
    BeforeValidator(_values),
    WithJsonSchema({"anyOf": [_VALUE, {"type": "array", "items": _VALUE, "minItems": 1}]}),
]
Bucket = Annotated[
    str,
    AfterValidator(
        matching(
            "[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]",
            "is not a bucket's name; write it without gs:// and without a folder, such as acme-ml-artifacts",
        )
    ),
]


class Condition(Part):
    """A sign that a run has failed."""

    object: ObjectName = Field(description="The object that says so, relative to the run.")
    has: Mapping[str, Values] = Field(
        default_factory=dict,
        min_length=1,
        description="Keys of the JSON or YAML object with the values that mean a failure; where absent, the object itself is the sign.",
    )

    @field_validator("has")
    @classmethod
    def _can_be_read(cls, has: Mapping[str, Any], found: ValidationInfo) -> Mapping[str, Any]:
        name = found.data.get("object", READABLE[0])
        if not name.endswith(READABLE):
            raise ValueError(f"{show(name)} cannot be looked into; only objects that end with {', '.join(READABLE)} can")
        return has


class ArtifactLimits(Part):
    """How much may be deleted at once; a plan over a limit is refused whole, and reported."""

    objects: int = Field(default=1_000_000, ge=0, strict=True, description="Objects at most.")
    bytes: Bytes = Field(default=5 * 2**40, description="Data at most.")


class ArtifactRule(Part):
    """The runs in one bucket: which have failed, what of them is kept, and when the rest is deleted."""

    bucket: Bucket = Field(description="The bucket's name.")
    runs: Annotated[str, AfterValidator(run_pattern)] = Field(description="Where the runs are: runs/{run}/, with {run} as one whole part.")
    failed_when: tuple[Condition, ...] = Field(default=(), description="Any of these signs means that the run has failed.")
    unless: tuple[ObjectName, ...] = Field(default=(), description="With any of these objects in it, a run is not touched.")
    keep: tuple[Annotated[str, AfterValidator(object_glob)], ...] = Field(
        default=(), description="Patterns of objects that are never deleted."
    )
    wait: Duration = Field(
        default=timedelta(hours=24), description="How long after the sign the deletion comes; it can be cancelled meanwhile."
    )
    abandoned_after: Annotated[Duration, AfterValidator(longer_than_nothing)] | None = Field(
        default=None,
        validate_default=True,
        description="A run that neither succeeded nor was written to for so long counts as failed; where absent, none does.",
    )
    require_soft_delete: bool = Field(
        default=True, strict=True, description="Delete only where the bucket keeps deleted objects for a while."
    )
    limits: ArtifactLimits = Field(default_factory=ArtifactLimits, description="How much may be deleted at once.")

    @field_validator("abandoned_after")
    @classmethod
    def _finds_something(cls, length: timedelta | None, found: ValidationInfo) -> timedelta | None:
        if length is None and found.data.get("failed_when") == ():
            raise ValueError("no run would ever count as failed; write failed_when, abandoned_after, or both")
        return length
