"""What the policy says about the artifacts of failed runs in Cloud Storage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    field_validator,
)
from pydantic_core import PydanticCustomError

from shared.policy import signs
from shared.policy.fields import BucketName, Bytes, Duration, Part, Share, at_most_all, longer_than_nothing
from shared.policy.names import READABLE, object_glob, object_name, run_pattern
from shared.policy.text import show

UNKNOWN_SIGN = "unknown_sign"
"""The type of the fault that a ready-made sign is not known."""


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


READY_MADE: Mapping[str, tuple[Condition, ...]] = MappingProxyType(
    {
        name: tuple(Condition(object=each, has=has) if has else Condition(object=each) for each, has in objects.items())
        for name, objects in signs.READY_MADE.items()
    }
)
"""The signs that have names, as conditions."""


def _sign(value: Any, condition: ValidatorFunctionWrapHandler) -> tuple[Condition, ...]:
    if not isinstance(value, str):
        return (condition(value),)
    if value not in READY_MADE:
        raise PydanticCustomError(UNKNOWN_SIGN, "{value} is not known", {"value": value, "known": sorted(READY_MADE)})
    return READY_MADE[value]


def _each_once(groups: Iterable[tuple[Condition, ...]]) -> tuple[Condition, ...]:
    found: list[Condition] = []
    for group in groups:
        found += (condition for condition in group if condition not in found)
    return tuple(found)


class _OrItsName:
    """A condition in the JSON Schema: written in full, or a ready-made one's name."""

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"type": "string", "enum": sorted(READY_MADE)}, handler(schema)]}


Signs = Annotated[tuple[Annotated[Condition, WrapValidator(_sign), _OrItsName], ...], AfterValidator(_each_once)]
"""What says that a run has failed. A name in the policy stands for its conditions."""


def _or_its_object(value: Any, condition: ValidatorFunctionWrapHandler) -> Condition:
    if isinstance(value, str) and value in READY_MADE:
        raise ValueError(
            f"{show(value)} is a ready-made sign of failure, which protects nothing; an object of that name is {{object: {value}}}"
        )
    found: Condition = condition({"object": value} if isinstance(value, str) else value)
    return found


class _OrItsObject:
    """A condition in the JSON Schema: written in full, or only the object's name."""

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"type": "string"}, handler(schema)]}


Reasons = tuple[Annotated[Condition, WrapValidator(_or_its_object), _OrItsObject], ...]
"""What says that a run is not to be touched; mostly an object that is there, and sometimes what it says."""


class ArtifactLimits(Part):
    """How much may be deleted at once; a plan over a limit is refused whole, and reported."""

    objects: int = Field(default=1_000_000, ge=0, strict=True, description="Objects of one run at most.")
    bytes: Bytes = Field(default=5 * 2**40, description="Data of one run at most.")
    objects_per_day: int = Field(default=5_000_000, ge=0, strict=True, description="Objects within a day at most, of all runs of the rule.")
    bytes_per_day: Bytes = Field(default=20 * 2**40, description="Data within a day at most, of all runs of the rule.")
    share: Annotated[Share, AfterValidator(at_most_all)] = Field(
        default=Decimal("0.5"),
        description="The share of the rule's runs that may go within a day; it does not count where there are fewer than 10.",
    )


class ArtifactRule(Part):
    """The runs in one bucket: which have failed, what of them is kept, and when the rest is deleted."""

    bucket: BucketName = Field(description="The bucket's name.")
    runs: Annotated[str, AfterValidator(run_pattern)] = Field(
        description="Where the runs are: runs/{run}/, with {run} as one whole part; {any} is a part of any name."
    )
    failed_when: Signs = Field(
        default=(), description="Any of these signs, or of the ready-made ones named, means that the run has failed."
    )
    unless: Reasons = Field(
        default=(), description="With any of these objects in it, a run is not touched: names, or {object: name, has: {key: value}}."
    )
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
        if length and found.data.get("unless") == ():
            raise ValueError(
                "every run would count as abandoned in the end, since nothing says that one has succeeded; write that under unless, "
                "such as _SUCCESS or {object: meta.yaml, has: {status: 3}}"
            )
        return length
