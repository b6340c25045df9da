"""Where runs lie and what says that one has failed, decided from names alone in almost all cases. Pure.

A run is a folder that the `runs` of a rule means: every part of its path is one part of the pattern, and its prefix ends with a slash. Whatever a
name holds, it can never make the folder of one run reach into that of another.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache
from typing import Any

from shared.errors import SettingsError
from shared.policy.artifacts import ArtifactRule, Condition
from shared.policy.names import PLACEHOLDERS, WILDCARDS
from shared.policy.signs import last_part

LIMIT = 64 * 1024
"""Bytes of a status file that are looked into at most; a larger one says nothing."""
ACROSS = "**"
_PATTERNS = 1024
"""How many compiled patterns are held; more than any policy has rules."""
_NOT_IN_A_NAME = frozenset(WILDCARDS)


@dataclass(frozen=True, slots=True)
class Suspect:
    """A run of which an object's name may say that it has failed.

    Attributes:
        rule: The rule that says so.
        prefix: The run's folder; it ends with a slash.
        condition: What the object means. Where it has a `has`, the content decides.
    """

    rule: ArtifactRule
    prefix: str
    condition: Condition


class Watch:
    """The signs of all rules, compiled, so that a name that means nothing costs as little as can be."""

    __slots__ = ("_buckets",)

    def __init__(self, rules: Iterable[ArtifactRule]) -> None:
        """Sort the signs by bucket and by the last part of their names."""
        self._buckets: dict[str, dict[str, list[tuple[str, ArtifactRule, Condition]]]] = {}
        for rule in rules:
            by_last = self._buckets.setdefault(rule.bucket, {})
            for condition in rule.failed_when:
                by_last.setdefault(last_part(condition.object), []).append((condition.object, rule, condition))

    def signs(self, bucket: str, name: str) -> tuple[Suspect, ...]:
        """What an object of this name may say; nothing, for almost all names."""
        by_last = self._buckets.get(bucket)
        found = by_last and by_last.get(last_part(name))
        if not found:
            return ()
        return tuple(
            Suspect(rule, prefix, condition)
            for sign, rule, condition in found
            if name.endswith(sign) and is_run(rule, prefix := name[: len(name) - len(sign)])
        )


def is_run(rule: ArtifactRule, prefix: str) -> bool:
    """Whether this is the whole folder of one run, with its slash at the end."""
    parts = prefix.split("/")
    pattern = _parts(rule.runs)
    return len(parts) == len(pattern) + 1 and not parts[-1] and _fits(pattern, parts)


def run_of(rule: ArtifactRule, name: str) -> str | None:
    """The folder of the run that an object lies in, or None where it lies in none."""
    pattern = _parts(rule.runs)
    parts = name.split("/", len(pattern))
    if len(parts) != len(pattern) + 1 or not _fits(pattern, parts):
        return None
    return name[: len(name) - len(parts[-1])]


def root(rule: ArtifactRule) -> str:
    """The folder that all runs of the rule lie in, as far as the pattern names it: ``runs/``; empty is the whole bucket."""
    pattern = _parts(rule.runs)
    return "".join(f"{part}/" for part in pattern[: _literal(pattern)])


def all_runs(rule: ArtifactRule, folders: Callable[[str], Iterable[str]]) -> Iterator[str]:
    """The folders of all runs of the rule, in the order of their names; nothing is asked for before it is needed.

    Args:
        rule: The rule.
        folders: The folders directly below a folder, in order, each by its whole name with a slash at the end.
    """
    pattern = _parts(rule.runs)

    def below(prefix: str, depth: int) -> Iterator[str]:
        if depth == len(pattern):
            yield prefix
            return
        for folder in folders(prefix):
            part = folder[len(prefix) : -1]
            if _fits(pattern[depth : depth + 1], (part,)):
                yield from below(folder, depth + 1)

    return below(root(rule), _literal(pattern))


def says(condition: Condition, content: bytes) -> str | None:
    """Whether the object's content means a failure, as words for people; None where it does not, or cannot be read.

    All keys of `has` have to be there, each with one of its values. A key with dots is looked for as it is, and then as a path into nested mappings.
    Values are compared as they are written: ``4`` and ``"4"`` are alike, and so are ``true`` and ``"true"``; ``1`` is not ``true``, and ``4.0`` is not ``4``.

    Args:
        condition: The sign.
        content: The object's content; with more than `LIMIT` bytes it says nothing.
    """
    if not condition.has:
        return f"{condition.object} is there"
    data = _mapping(condition.object, content) or {}
    found = {key: _written(_at(data, key)) for key in condition.has}
    if any(found[key] not in map(_written, values) for key, values in condition.has.items()):
        return None
    return f"{condition.object} says {', '.join(f'{key}: {value}' for key, value in found.items())}"


def readable(condition: Condition, content: bytes) -> bool:
    """Whether the object's content is what its name promises, so that what it does not say it does not mean."""
    return _mapping(condition.object, content) is not None


def tells(condition: Condition, content: bytes) -> bool:
    """Whether the object's content has the keys that the condition looks into, whatever they say: what has them is a run's status.

    Args:
        condition: One with a `has`.
        content: The object's content; with more than `LIMIT` bytes it tells nothing.
    """
    data = _mapping(condition.object, content) or {}
    return all(_at(data, key) is not None for key in condition.has)


def kept(rule: ArtifactRule, relative: str) -> bool:
    """Whether the policy keeps the object of this name, relative to its run; upper and lower case differ.

    ``*``, ``?`` and ``[ab]`` stay within one part of the name, and ``**`` is any number of parts.
    """
    if not rule.keep:
        return False
    names, patterns = _keep(rule.keep)
    if relative in names:
        return True
    parts = relative.split("/") if patterns else []
    return any(_covers(pattern, parts) for pattern in patterns)


@lru_cache(_PATTERNS)
def _parts(runs: str) -> tuple[str, ...]:
    return tuple(runs.split("/")[:-1])


def _literal(pattern: tuple[str, ...]) -> int:
    """How many parts stand before the first placeholder; there always is one."""
    return next(index for index, part in enumerate(pattern) if part in PLACEHOLDERS)


def _fits(pattern: tuple[str, ...], parts: Iterable[str]) -> bool:
    return all(_is_name(part) if wanted in PLACEHOLDERS else part == wanted for wanted, part in zip(pattern, parts, strict=False))


def _is_name(part: str) -> bool:
    """Whether a part of a path may stand where the pattern has a placeholder; what could ever mean more than itself may not."""
    return part not in ("", ".", "..") and part.isprintable() and _NOT_IN_A_NAME.isdisjoint(part)


def _mapping(name: str, content: bytes) -> Mapping[str, Any] | None:
    """What a status file says; None where it is too large, or is not what its name promises."""
    if len(content) > LIMIT:
        return None
    try:
        text = content.decode("utf-8-sig")
        data = json.loads(text, object_pairs_hook=_no_key_twice) if name.endswith(".json") else _yaml(text)
    except (ValueError, RecursionError, SettingsError):
        return None
    return data if isinstance(data, dict) else None


def _yaml(text: str) -> Mapping[str, Any]:
    from shared.policy.text import read_generated  # the parser is only needed by who has such a file

    return read_generated(text)


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")
    return found


def _at(data: Mapping[str, Any], key: str) -> Any:
    if key in data:
        return data[key]
    value: Any = data
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _written(value: Any) -> str | None:
    """A single value as it is written; None for whatever cannot be compared."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (str, int)) else None


@lru_cache(_PATTERNS)
def _keep(globs: tuple[str, ...]) -> tuple[frozenset[str], tuple[tuple[re.Pattern[str] | None, ...], ...]]:
    """Names that are written in full, and patterns part by part, in which None is any number of parts."""
    names = frozenset(glob for glob in globs if _NOT_IN_A_NAME.isdisjoint(glob))
    return names, tuple(
        tuple(None if part == ACROSS else re.compile(translate(part)) for part in glob.split("/")) for glob in globs if glob not in names
    )


def _covers(pattern: tuple[re.Pattern[str] | None, ...], parts: list[str]) -> bool:
    """Match from the left; where that fails, the last ``**`` takes one part more, so that the time grows with the product of the lengths at most."""
    at = part = taken = 0
    across = -1
    while part < len(parts):
        if at < len(pattern) and (expected := pattern[at]) is None:
            across, taken, at = at, part, at + 1
        elif at < len(pattern) and expected and expected.match(parts[part]):
            at, part = at + 1, part + 1
        elif across >= 0:
            taken += 1
            at, part = across + 1, taken
        else:
            return False
    return all(rest is None for rest in pattern[at:])
