"""What is wrong with a policy, in sentences for the person who wrote it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from shared.policy.artifacts import UNKNOWN_SIGN
from shared.policy.fields import share, share_text
from shared.policy.names import overlap, run_pattern
from shared.policy.text import Document, Fault, Path, show, spell

_LONGEST_GUESS = 60
_MOST_RULES = 1000
"""Rules for one bucket at most, since each is held against each other."""
_KINDS = {
    "string_type": "should be text",
    "int_type": "should be a whole number",
    "bool_type": "should be true or false",
    "tuple_type": "should be a list, such as [a, b]",
    "mapping_type": "should be a mapping, such as {key: value}",
    "dict_type": "should be a mapping, such as {key: value}",
    "model_type": "should be a mapping, such as {key: value}",
}


def did_you_mean(word: str, known: Collection[str]) -> str:
    """The end of a sentence about a misspelt word, empty where no known word is close."""
    close = get_close_matches(word, known, n=1) if len(word) <= _LONGEST_GUESS else []
    return f"; did you mean {close[0]!r}?" if close else ""


def suggest(word: str, known: Collection[str], otherwise: str = "") -> str:
    """The end of a sentence about a word that is not known: the one that was meant, or all there are and what else to do."""
    return did_you_mean(word, known) or f"; known here: {', '.join(sorted(known)) or 'nothing'}{otherwise}"


def told(error: ValidationError, document: Document, schema: Callable[[], Mapping[str, Any]]) -> Iterator[Fault]:
    """Pydantic's faults with their lines.

    Args:
        error: What pydantic found.
        document: The text that it was found in.
        schema: The JSON Schema that the text should follow; only asked for when a key is not known.
    """
    broken = set(document.broken)
    around = {path[:end] for path in broken for end in range(len(path))}
    for each in error.errors(include_url=False):
        path = document.written(each["loc"])
        if each["type"] == "missing":
            path = (*path, each["loc"][-1])
        echo = path in around or any(path[:end] in broken for end in range(len(path) + 1))
        # Pydantic does not count faulty items, and so calls a list short whose items have faults of their own.
        items_faulty = each["type"] == "too_short" and each["ctx"]["actual_length"] < len(each["input"])
        if not echo and not items_faulty:
            yield document.fault(path, _sentence(each, path, schema))


def _sentence(error: ErrorDetails, path: Path, schema: Callable[[], Mapping[str, Any]]) -> str:
    kind, value = error["type"], error["input"]
    if kind == "missing":
        return "is missing"
    if kind == UNKNOWN_SIGN:
        return f"unknown sign {show(value)}{suggest(value, error['ctx']['known'], f'; an object is written {{object: {show(value)}}}')}"
    if kind == "extra_forbidden":
        return f"unknown key{suggest(str(path[-1]), known_keys(schema(), path[:-1]))}"
    if value is None and path == error["loc"]:
        return "has no value; write one or leave the key out (text that begins with # needs quotes)"
    if kind == "value_error":
        return str(error["ctx"]["error"])
    if kind == "too_short" and not value:
        return "is empty; write at least one"
    should = f"{_KINDS.get(kind) or error['msg'].removeprefix('Input ')}, not {show(value)}"
    if kind == "string_type" and isinstance(value, (int, float)):
        return f"{should}; put it in quotes"
    if kind == "literal_error" and isinstance(value, str):
        return should + did_you_mean(value, re.findall("'([^']*)'", error["ctx"]["expected"]))
    return should


def known_keys(schema: Mapping[str, Any], path: Path) -> set[str]:
    """The keys that the mapping at the path may have, by the JSON Schema."""
    nodes = list(_alternatives(schema, schema))
    for part in path:
        nodes = [alternative for node in nodes for alternative in _alternatives(schema, _inside(node, part))]
    return {key for node in nodes for key in node.get("properties", ())}


def _inside(node: Mapping[str, Any], part: str | int) -> Mapping[str, Any]:
    inner: Mapping[str, Any] = node.get("items", {}) if isinstance(part, int) else node.get("properties", {}).get(part, {})
    return inner


def _alternatives(schema: Mapping[str, Any], node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield node
    inner = [schema["$defs"][node["$ref"].rpartition("/")[2]]] if "$ref" in node else []
    for each in (*inner, *node.get("anyOf", ()), *node.get("oneOf", ()), *node.get("allOf", ())):
        yield from _alternatives(schema, each)


def clashes(document: Document, actions: Mapping[str, type[BaseModel]]) -> Iterator[Fault]:
    """Faults between parts of a policy that may each be in order.

    They are looked for in the values as written and not by the models, so that they are told beside all other faults.

    Args:
        document: The policy as it was read.
        actions: The parameters of each action by name. Those that select resources look for them region by region.
    """
    named = [(("budgets", index, "budget"), rule.get("budget")) for index, rule in _each(document.data, "budgets")]
    yield from _twice(document, named, "another rule is for this budget")
    yield from _overlapping(document)
    acting: list[tuple[Path, str]] = []
    for index, rule in _each(document.data, "budgets"):
        steps = [(("budgets", index, "steps", number), step) for number, step in _each(rule, "steps")]
        yield from _twice(document, [(path, _reached_at(step)) for path, step in steps], "another step is reached at the same spend")
        acting += [
            (path, name) for path, step in steps for name in _names(step) if name in actions and "select" in actions[name].model_fields
        ]
    scope = document.data.get("scope", {})
    if acting and isinstance(scope, dict) and scope.get("regions", []) == []:
        path, name = acting[0]
        yield document.fault(
            ("scope", "regions"), f"is missing; {spell(path)} uses {name}, which needs to know where to look, such as [us-central1]"
        )


def _overlapping(document: Document) -> Iterator[Fault]:
    """Rules by which two could mean the same objects, each told with the first that it overlaps."""
    earlier: dict[str, list[tuple[Path, str]]] = {}
    for index, rule in _each(document.data, "artifacts"):
        bucket, runs, path = rule.get("bucket"), _in_order(rule.get("runs")), ("artifacts", index)
        if not isinstance(bucket, str) or not runs:
            continue
        others = earlier.setdefault(bucket, [])
        if len(others) == _MOST_RULES:
            yield document.fault(
                path, f"is one of more than {_MOST_RULES:,} rules for the bucket {show(bucket)}; write fewer, with {{any}} in them"
            )
            return
        other, theirs = next((each for each in others if overlap(each[1], runs)), (None, ""))
        if other and theirs == runs:
            yield document.fault(
                path, f"another rule is for these runs of this bucket, in line {document.lines[other]}; make one of the two"
            )
        elif other:
            yield document.fault(
                path,
                f"{show(runs)} and {show(theirs)} of the rule in line {document.lines[other]} may mean the same objects of this bucket; "
                "make one of the two, or keep their folders apart",
            )
        others.append((path, runs))


def _in_order(runs: Any) -> str:
    """The pattern, empty where it has a fault of its own, which is told anyway."""
    try:
        return run_pattern(runs) if isinstance(runs, str) else ""
    except ValueError:
        return ""


def _each(holder: Mapping[str, Any], key: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The mappings in a list that may not be one."""
    items = holder.get(key)
    return ((index, item) for index, item in enumerate(items if isinstance(items, list) else ()) if isinstance(item, dict))


def _names(step: Mapping[str, Any]) -> Iterator[str]:
    items = step.get("do")
    for item in items if isinstance(items, list) else ():
        yield from item if isinstance(item, dict) else [item] if isinstance(item, str) else ()


def _reached_at(step: Mapping[str, Any]) -> str | None:
    try:
        return f"{share_text(share(step.get('at')))} of {step.get('on', 'actual')} spend"
    except ValueError:
        return None


def _twice(document: Document, named: Iterable[tuple[Path, Any]], sentence: str) -> Iterator[Fault]:
    first: dict[Any, Path] = {}
    for path, name in named:
        if isinstance(name, (str, tuple)) and first.setdefault(name, path) != path:
            yield document.fault(path, f"{sentence}, in line {document.lines[first[name]]}; make one of the two")
