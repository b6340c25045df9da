"""What the watchdog can do, one file per action; the folder is the registry.

A module here that defines ``ACTION`` is an action, under the file's name. To add one, add a file and name it in the policy.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from types import MappingProxyType
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict

from shared.model import Resource, StorageObject
from shared.policy.select import Selector

State = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Move:
    """What an action would make of one resource.

    Attributes:
        wanted: The whole state wanted.
        strength: Of two moves on one resource the stronger wins.
        saving: US dollars a month at list price, an estimate; counts only what is kept running without requests.
        remains: What goes on costing all the same, and what a person can do about it; one sentence each.
    """

    wanted: State
    strength: int
    saving: Decimal
    remains: tuple[str, ...] = ()


class Selecting(BaseModel):
    """The parameters of an action that means some resources and not others.

    Attributes:
        select: Which resources the step means.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    select: Selector


class Changes(Protocol):
    """How an action changes resources of one kind. All of it is pure: values in, values out."""

    kind: str
    """The kind of resource that it changes."""

    def plan(self, resource: Resource, params: Any) -> Move | str:
        """What to change about a resource that is selected and not protected, or the reason why nothing is changed."""
        ...

    def reached(self, state: State, wanted: State) -> bool:
        """Whether the live state does what was wanted, whatever else the platform made of it."""
        ...

    def made(self, live: State, wanted: State) -> State:
        """The state that may be claimed as the watchdog's own once the live one was read: what was wanted, and what the platform makes of it.

        Whatever else stands in the live state is somebody's doing, even where the wanted state counts as reached.
        """
        ...

    def groups(self, live: State, ours: tuple[State, ...], original: State) -> tuple[tuple[str, ...], ...]:
        """The fields of the state that stand or fall together when these states are blended; the arguments are those of `blend`."""
        ...

    def line(self, before: State, after: State) -> str:
        """The change in a few words for people: ``2 warm instances → 0``."""
        ...


class Works(Protocol):
    """How an action works through the objects of buckets, as entries of their own in the journal. All of it is pure."""

    versions: bool
    """Whether it looks at noncurrent generations too."""
    operation: Literal["delete", "compress"]
    """What is done to what it wants."""

    def extent(self, params: Any) -> Sequence[tuple[str, str]]:
        """The buckets, each with the folder that it keeps to; an empty folder is the whole bucket."""
        ...

    def wants(self, each: StorageObject, params: Any, now: datetime) -> bool:
        """Whether this object is to be changed."""
        ...


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that a policy step may do.

    Attributes:
        name: As the policy calls it; the file's name.
        params: What stands behind its name in the policy.
        permissions: The IAM permissions that it needs on the watched project.
        changes: How it changes resources; None where it changes none.
        works: How it works through objects; None where it does not.
        join: Makes one of the parameters of several uses that mean one resource, for an action that only adds to what is there: then the changes of
            several plans stand beside each other. None where the strongest counts alone, and one plan takes a resource over from another.
    """

    name: str
    params: type[BaseModel]
    permissions: frozenset[str] = frozenset()
    changes: Changes | None = None
    works: Works | None = None
    join: Callable[[Sequence[Any]], Any] | None = None


@cache
def registry() -> Mapping[str, Action]:
    """All actions by name.

    Raises:
        TypeError: A file's action does not carry the file's name; that is a mistake in the code.
    """
    found: dict[str, Action] = {}
    for module in pkgutil.iter_modules(__path__):
        action: Action | None = getattr(importlib.import_module(f"{__name__}.{module.name}"), "ACTION", None)
        if action is None:
            continue
        if action.name != module.name:
            raise TypeError(
                f"shared/actions/{module.name}.py defines the action {action.name!r}; name the file or the action after the other"
            )
        found[action.name] = action
    return MappingProxyType(found)


def params_by_name() -> dict[str, type[BaseModel]]:
    """What the policy needs to know of the actions: each one's name and parameters."""
    return {name: action.params for name, action in registry().items()}


def blend(groups: tuple[tuple[str, ...], ...], *, live: State, ours: tuple[State, ...], original: State) -> dict[str, Any]:
    """The state to put back: the original where the live value still is one of ours, the live value where somebody else changed it.

    States need not have the same fields. A field that is absent is like a value of its own: what was absent in the original is taken away.

    Args:
        groups: The fields that stand or fall together.
        live: What is there now.
        ours: States that the watchdog wrote, or found there before it wrote.
        original: What was there before the watchdog came.
    """
    blended = dict(live)
    for group in groups:
        if _stands(group, live, ours):
            for name in group:
                if name in original:
                    blended[name] = original[name]
                else:
                    blended.pop(name, None)
    return blended


def nobody_elses(groups: tuple[tuple[str, ...], ...], *, live: State, ours: tuple[State, ...]) -> bool:
    """Whether every part of the live state is one of ours; the arguments are those of `blend`."""
    return all(_stands(group, live, ours) for group in groups)


def _stands(group: tuple[str, ...], live: State, ours: tuple[State, ...]) -> bool:
    return any(all(_field(live, name) == _field(state, name) for name in group) for state in ours)


def _field(state: State, name: str) -> tuple[Any, ...]:
    """The value, apart from its absence: None is a value."""
    return (state[name],) if name in state else ()
