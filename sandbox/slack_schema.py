"""Small checks that make up a schema: each takes a value and its JSON pointer, and gives the faults it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Check = Callable[[Any, str], Iterator[str]]


def fault(message: str, pointer: str) -> str:
    """A fault in the form that Slack reports one."""
    return f"{message} [json-pointer:{pointer}]"


def anything(_value: Any, _pointer: str) -> Iterator[str]:
    """No fault, whatever the value."""
    return iter(())


def boolean(value: Any, pointer: str) -> Iterator[str]:
    """True or false."""
    if not isinstance(value, bool):
        yield fault("must provide a boolean", pointer)


def number(value: Any, pointer: str) -> Iterator[str]:
    """A number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        yield fault("must provide a number", pointer)


def string(most: int, least: int = 1) -> Check:
    """A string of so many characters."""

    def check(value: Any, pointer: str) -> Iterator[str]:
        if not isinstance(value, str):
            yield fault("must provide a string", pointer)
        elif len(value) > most:
            yield fault(f"must be less than {most + 1} characters", pointer)
        elif len(value) < least:
            yield fault(f"must be more than {least - 1} characters", pointer)

    return check


def one_of(*choices: str) -> Check:
    """One of these strings."""

    def check(value: Any, pointer: str) -> Iterator[str]:
        if value not in choices:
            yield fault(f"must be one of {', '.join(choices)}", pointer)

    return check


def items(each: Check, most: int, least: int = 1) -> Check:
    """An array of so many values, every one of which passes a check."""

    def check(value: Any, pointer: str) -> Iterator[str]:
        if not isinstance(value, list):
            yield fault("must provide an array", pointer)
            return
        if len(value) > most:
            yield fault(f"no more than {most} items allowed", pointer)
        if len(value) < least:
            yield fault(f"no fewer than {least} items allowed", pointer)
        for index, item in enumerate(value):
            yield from each(item, f"{pointer}/{index}")

    return check


def record(required: Mapping[str, Check], optional: Mapping[str, Check] | None = None, *, closed: bool = True) -> Check:
    """An object with these fields and, if it is closed, no others; ``type`` is always allowed."""
    known = {"type": anything, **required, **(optional or {})}

    def check(value: Any, pointer: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield fault("must provide an object", pointer)
            return
        for key in required:
            if key not in value:
                yield fault(f"missing required field: {key}", pointer)
        for key, field in value.items():
            if key in known:
                yield from known[key](field, f"{pointer}/{key}")
            elif closed:
                yield fault(f"invalid additional property: {key}", pointer)

    return check


def nullable(check: Check) -> Check:
    """A value that passes a check, or null."""
    return lambda value, pointer: iter(()) if value is None else check(value, pointer)


def exactly_one(check: Check, *keys: str) -> Check:
    """An object that passes a check and has one of these fields, not none and not two."""

    def checked(value: Any, pointer: str) -> Iterator[str]:
        yield from check(value, pointer)
        if isinstance(value, dict) and sum(key in value for key in keys) != 1:
            yield fault(f"must have exactly one of {', '.join(keys)}", pointer)

    return checked


def at_least_one(check: Check, *keys: str) -> Check:
    """An object that passes a check and has at least one of these fields."""

    def checked(value: Any, pointer: str) -> Iterator[str]:
        yield from check(value, pointer)
        if isinstance(value, dict) and not any(key in value for key in keys):
            yield fault(f"missing required field: {' or '.join(keys)}", pointer)

    return checked


def by_type(checks: Mapping[str, Check]) -> Check:
    """An object that passes the check its ``type`` names."""

    def check(value: Any, pointer: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield fault("must provide an object", pointer)
        elif "type" not in value:
            yield fault("missing required field: type", pointer)
        elif not isinstance(value["type"], str) or value["type"] not in checks:
            yield fault(f"unsupported type: {value['type']}", f"{pointer}/type")
        else:
            yield from checks[value["type"]](value, pointer)

    return check
