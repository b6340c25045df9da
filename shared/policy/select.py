"""Which resources a step of the policy means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Self

from pydantic import ConfigDict, Field, model_validator

from shared.model import Resource
from shared.policy.fields import Labels, Part, ServiceGlob

WILDCARDS = frozenset("*?[")


class Selector(Part):
    """Resources by their own labels, by their short name, or by both; what both name is meant."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    labels: Labels = Field(
        default={}, description="The resource carries each of these labels, with that value or one of those in the list."
    )
    services: tuple[ServiceGlob, ...] = Field(
        default=(),
        description="The resource's short name matches one of these patterns. A function's service must be written in full, without wildcards.",
    )

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not self.labels and not self.services:
            raise ValueError('selects nothing; write labels, services, or both (services: ["*"] means all)')
        return self

    def matches(self, resource: Resource) -> bool:
        """Whether the resource is meant; upper and lower case differ."""
        by_label = all(resource.labels.get(key) in values for key, values in self.labels.items())
        by_name = not self.services or matching_glob(self.services, resource.short_name) is not None
        return by_label and by_name

    def names(self, resource: Resource) -> bool:
        """Whether a pattern is exactly the resource's short name, without any wildcard: functions are only meant in that way."""
        return resource.short_name in [glob for glob in self.services if not WILDCARDS.intersection(glob)]


def matching_glob(globs: Iterable[str], name: str) -> str | None:
    """The first pattern that matches the short name, if any."""
    return next((glob for glob in globs if fnmatchcase(name, glob)), None)


def matching_label(labels: Mapping[str, tuple[str, ...]], carried: Mapping[str, str]) -> str | None:
    """The first of these labels that is carried with one of its values, as ``key=value``, if any."""
    return next((f"{key}={carried[key]}" for key, values in labels.items() if carried.get(key) in values), None)
