"""Partial responses: the ``fields`` parameter.

Source: https://cloud.google.com/storage/docs/json_api#partial-response
"""

from __future__ import annotations

import functools
import re
from typing import Any, Final

from sandbox.storage_errors import ApiError, parameter_error
from sandbox.storage_resources import BUCKET_FIELDS, OBJECT_FIELDS

Mask = dict[str, "Mask | None"]
Shape = dict[str, "Shape | None"]

OBJECT: Final[Shape] = dict.fromkeys(OBJECT_FIELDS)
BUCKET: Final[Shape] = dict.fromkeys(BUCKET_FIELDS)
OBJECTS: Final[Shape] = {"kind": None, "nextPageToken": None, "prefixes": None, "items": OBJECT}
BUCKETS: Final[Shape] = {"kind": None, "nextPageToken": None, "unreachable": None, "items": BUCKET}
REWRITE: Final[Shape] = {**dict.fromkeys(("kind", "totalBytesRewritten", "objectSize", "done", "rewriteToken")), "resource": OBJECT}

_TOKEN = re.compile(r"[(),/]|[^(),/\s]+")


@functools.lru_cache(maxsize=256)
def _parsed(text: str) -> Mask:
    tokens = _TOKEN.findall(text)
    mask, rest = _list(tokens)
    if rest:
        raise _bad(text)
    return mask


def _bad(selection: str) -> ApiError:
    return parameter_error("fields", f"Invalid field selection {selection}")


def _list(tokens: list[str]) -> tuple[Mask, list[str]]:
    """Comma-separated paths up to the end or a closing parenthesis."""
    mask: Mask = {}
    while True:
        tokens = _path(mask, tokens)
        if not tokens or tokens[0] != ",":
            return mask, tokens
        tokens = tokens[1:]


def _path(mask: Mask, tokens: list[str]) -> list[str]:
    """One path into the mask: a name, perhaps with what is chosen below it."""
    if not tokens or tokens[0] in "(),/":
        raise _bad("".join(tokens))
    name, *rest = tokens
    if rest[:1] == ["/"]:
        below: Mask = {}
        rest = _path(below, rest[1:])
    elif rest[:1] == ["("]:
        below, rest = _list(rest[1:])
        if rest[:1] != [")"]:
            raise _bad("".join(tokens))
        rest = rest[1:]
    else:
        mask[name] = None
        return rest
    mask[name] = {**(mask.get(name) or {}), **below}
    return rest


def _check(mask: Mask, shape: Shape) -> None:
    for name, below in mask.items():
        if name == "*":
            continue
        if name not in shape:
            raise _bad(name)
        if below is not None and (inner := shape[name]) is not None:
            _check(below, inner)


def _chosen(mask: Mask, value: Any) -> Any:
    if isinstance(value, list):
        return [_chosen(mask, item) for item in value]
    if not isinstance(value, dict):
        return value
    everything = "*" in mask
    result = {}
    for key, item in value.items():
        if key in mask or everything:
            below = mask.get(key, mask.get("*"))
            result[key] = item if below is None else _chosen(below, item)
    return result


def select(fields: str, value: Any, shape: Shape) -> Any:
    """The part of an answer that `fields` chooses; `shape` holds the names that the answer may have.

    Raises:
        ApiError: 400 for a name that no such answer has, or a text that is no selection.
    """
    mask = _parsed(fields)
    _check(mask, shape)
    return _chosen(mask, value)
