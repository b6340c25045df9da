"""Cloud Run's scaling rules as plain values: what a change of scaling leads to, and how many instances then run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum

MINIMUM = "min_instance_count"
MAXIMUM = "max_instance_count"
MODE = "scaling_mode"
COUNT = "manual_instance_count"
FIELDS = frozenset({MINIMUM, MAXIMUM, MODE, COUNT})


_NO_LIMIT = 1_000_000


class Mode(IntEnum):
    """``ServiceScaling.ScalingMode``, with its numbers."""

    SCALING_MODE_UNSPECIFIED = 0
    AUTOMATIC = 1
    MANUAL = 2


class ScalingError(ValueError):
    """Cloud Run refuses the change; the text is a sentence for the caller."""


@dataclass(frozen=True)
class Scaling:
    """A service's own scaling.

    Attributes:
        mode: As it was written; unspecified means automatic.
        minimum: The service minimum.
        maximum: The service maximum; none is unset, which the API reads as 0. A real 0 is what is inherited from a manual count of 0:
            the API reads it as 0 too, but no instance can start.
        count: The manual instance count, or none where it is unset.
    """

    mode: Mode = Mode.SCALING_MODE_UNSPECIFIED
    minimum: int = 0
    maximum: int | None = None
    count: int | None = None

    @property
    def is_manual(self) -> bool:
        return self.mode is Mode.MANUAL


@dataclass(frozen=True)
class Route:
    """One entry of a service's traffic, or of a worker pool's instance split.

    Attributes:
        revision: The short name of the revision; empty is the latest ready one.
        percent: Its share of the traffic.
        tag: Its tag, if any.
    """

    revision: str = ""
    percent: int = 0
    tag: str = ""


@dataclass(frozen=True)
class Limits:
    """A revision's own minimum and maximum; a maximum of 0 is none."""

    minimum: int = 0
    maximum: int = 0


def change(before: Scaling, asked: Scaling, given: Collection[str], *, unset_on_manual: bool) -> Scaling:
    """What the service's scaling is after an update.

    The rules for switching between the modes come from a table that
    https://cloud.google.com/run/docs/configuring/services/manual-scaling no longer shows. Not documented, and chosen here:
    in automatic mode a manual count is ignored and reads as unset.

    Args:
        before: The scaling before the update.
        asked: The same with the fields of the update put in.
        given: The fields (`FIELDS`) that the update names, or gives a value to where it replaces all of them.
        unset_on_manual: Whether the table's last words hold: going manual unsets the service minimum and maximum, and going automatic
            without naming them inherits the manual count. Otherwise, both are kept through manual mode.

    Raises:
        ScalingError: A negative number, a minimum above the maximum, or only one of minimum and maximum on the way from manual to automatic.
    """
    for name, number in ((MINIMUM, asked.minimum), (MAXIMUM, asked.maximum), (COUNT, asked.count)):
        if number is not None and number < 0:
            raise ScalingError(f"scaling.{name}: must not be negative, is {number}.")
    after = _manual(before, asked) if asked.is_manual else _automatic(before, asked, given, unset_on_manual=unset_on_manual)
    if after.is_manual and unset_on_manual:
        return replace(after, minimum=0, maximum=None)
    if after.maximum is not None and after.minimum > after.maximum:
        raise ScalingError(f"scaling.min_instance_count: {after.minimum} is above scaling.max_instance_count, {after.maximum}.")
    return after


def _manual(before: Scaling, asked: Scaling) -> Scaling:
    if asked.count is not None:
        return asked
    inherited = before.count if before.is_manual and before.count is not None else asked.minimum
    return replace(asked, count=inherited)


def _automatic(before: Scaling, asked: Scaling, given: Collection[str], *, unset_on_manual: bool) -> Scaling:
    after = replace(asked, count=None)
    if not before.is_manual:
        return after
    named = {MINIMUM, MAXIMUM} & set(given)
    if len(named) == 1:
        raise ScalingError(
            "scaling: a change from manual to automatic scaling takes both min_instance_count and max_instance_count, or neither; "
            f"only {named.pop()} is given."
        )
    if named or not unset_on_manual:
        return after
    return replace(after, minimum=before.count or 0, maximum=before.count or 0)


def instances(scaling: Scaling, routes: Iterable[Route], limits: Mapping[str, Limits], demand: int) -> dict[str, int]:
    """How many instances of each active revision run.

    Active is a revision in the traffic split, even with 0 percent, or with a tag. See
    https://cloud.google.com/run/docs/configuring/min-instances and
    https://cloud.google.com/run/docs/configuring/services/manual-scaling.

    Args:
        scaling: The service's own scaling.
        routes: The traffic, with every revision by its name.
        limits: The revisions' own minimum and maximum.
        demand: How many instances the traffic would need, over all revisions.
    """
    percents: dict[str, int] = {}
    split: set[str] = set()
    for route in routes:
        percents[route.revision] = percents.get(route.revision, 0) + route.percent
        if route.percent or not route.tag:
            split.add(route.revision)
    if scaling.is_manual:
        counts = share(scaling.count or 0, percents)
        return {name: counts[name] if name in split else limits[name].minimum for name in percents}
    minimums, wanted = share(scaling.minimum, percents), share(demand, percents)
    maximums = {} if scaling.maximum is None else share(scaling.maximum, percents)
    counts = {}
    for name, percent in percents.items():
        most = limits[name].maximum or _NO_LIMIT
        if percent and maximums:  # a revision without traffic has no part in the service maximum
            most = min(most, max(maximums[name], 1) if scaling.maximum else 0)
        counts[name] = min(max(minimums[name], limits[name].minimum, wanted[name]), most)
    return counts


def share(total: int, percents: Mapping[str, int]) -> dict[str, int]:
    """Divide a number by traffic percent, so that the parts add up to it.

    Google documents the proportion and that some revisions get none where there are too few instances, not the rounding: here the
    largest remainders are rounded up, the first named winning a tie.
    """
    everything = sum(percents.values()) or 1
    parts = {name: total * percent // everything for name, percent in percents.items()}
    served = [name for name in percents if percents[name]]
    by_remainder = sorted(served, key=lambda name: -(total * percents[name] % everything))
    for name in by_remainder[: total - sum(parts.values())]:
        parts[name] += 1
    return parts
