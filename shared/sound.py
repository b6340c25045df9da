"""What an object of the journal has to be beyond its shape, so that whoever has damaged it or written it by hand brings nothing else down. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from types import NoneType
from typing import Any

from pydantic import ValidationError

from shared.actions import registry
from shared.entry import Entry, UseRecord

_SLASHES = 5
"""Of ``projects/P/locations/R/services/S``."""
_STATES: Mapping[str, Mapping[str, tuple[type, ...]]] = {
    "service": {"mode": (str,), "minimum": (int,), "maximum": (int,), "count": (int, NoneType), "revision_minimum": (int,)},
    "worker_pool": {"count": (int,)},
}
"""What a state is made of, by kind; that of a bucket holds whatever rules there are."""


def fault(entry: Entry, key: str) -> str | None:
    """What is wrong with an entry that can be read, as the rest of a sentence; None where nothing is.

    Args:
        entry: The entry.
        key: The key that it was stored under.
    """
    if entry.key != key:
        return f"is the entry {entry.key!r} under another name"
    for use in _uses(entry):
        if told := _fault_of(use):
            return told
    for target in entry.targets:
        if target.resource.count("/") != _SLASHES:
            return f"names a resource {target.resource[:80]!r}, which is no full name"
        states = [target.before, target.found, target.wanted, *([target.wrote] if target.wrote is not None else [])]
        if any(not _fits(state, target.kind) for state in states):
            return f"says of {target.resource!r} what no {target.kind} is like"
    return None


def _fits(state: Mapping[str, Any], kind: str) -> bool:
    parts = _STATES.get(kind)
    return parts is None or (state.keys() == parts.keys() and all(type(state[name]) in types for name, types in parts.items()))


def _uses(entry: Entry) -> Iterator[UseRecord]:
    """Each use once: all targets of a step have the same."""
    uses = [*(use for step in entry.steps for use in step.uses), *(target.use for target in entry.targets)]
    yield from {f"{use.action} {json.dumps(use.params, sort_keys=True)}": use for use in uses}.values()


def _fault_of(use: UseRecord) -> str | None:
    if use.action not in registry():
        return f"names an action {use.action!r}, which this version does not have"
    try:
        registry()[use.action].params.model_validate(use.params)
    except ValidationError as error:
        return f"has parameters that {use.action} does not take ({error.errors(include_url=False)[0]['msg']})"
    return None
