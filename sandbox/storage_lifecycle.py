"""What a bucket's lifecycle configuration may hold: https://docs.cloud.google.com/storage/docs/lifecycle.

The configuration is taken or refused as a whole, as it is written.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import date
from typing import Any

from sandbox.storage_errors import ApiError, Json, invalid

MOST_RULES = 100
MOST_AFFIXES = 1000
"""Prefixes and suffixes of all of a bucket's rules together: https://docs.cloud.google.com/storage/quotas."""
_LONGEST_AFFIX = 1024

_ACTIONS = {"Delete", "SetStorageClass", "AbortIncompleteMultipartUpload"}
_OF_UPLOADS = {"age", "matchesPrefix", "matchesSuffix"}


def _count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _size(value: Any) -> bool:
    """A 64-bit number, which JSON may also carry as text."""
    return _count(value) or (isinstance(value, str) and value.isdecimal())


def _date(value: Any) -> bool:
    try:
        return isinstance(value, str) and date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False


def _names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) and 0 < len(each.encode()) <= _LONGEST_AFFIX for each in value)


_CONDITIONS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(("age", "daysSinceCustomTime", "daysSinceNoncurrentTime", "numNewerVersions"), (_count, "a whole number, 0 or more")),
    **dict.fromkeys(("createdBefore", "customTimeBefore", "noncurrentTimeBefore"), (_date, "a date such as 2026-11-24")),
    **dict.fromkeys(("matchesPrefix", "matchesSuffix"), (_names, f"a list of texts of 1 to {_LONGEST_AFFIX} bytes")),
    **dict.fromkeys(("sizeAboveBytes", "sizeBelowBytes"), (_size, "a number of bytes")),
    "isLive": (lambda value: isinstance(value, bool), "true or false"),
    "matchesPattern": (lambda value: isinstance(value, str), "text"),
    "matchesStorageClass": (lambda value: isinstance(value, list), "a list of storage classes"),
}


def check_lifecycle(lifecycle: Json, classes: Collection[str]) -> None:
    """Refuse what the service does not take.

    Args:
        lifecycle: The configuration.
        classes: The storage classes there are.

    Raises:
        ApiError: 400 that names the rule.
    """
    if unknown := lifecycle.keys() - {"rule"}:
        raise invalid(f"Unknown name \"{min(unknown)}\" at 'bucket.lifecycle'")
    rules = lifecycle.get("rule", [])
    if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
        raise invalid("Invalid value for: lifecycle.rule must be a list of rules")
    if len(rules) > MOST_RULES:
        raise invalid(f"A bucket may have at most {MOST_RULES} lifecycle rules, and not {len(rules)}.")
    for number, rule in enumerate(rules, start=1):
        fault = _fault(rule, classes)
        if fault:
            raise _refusal(number, fault)
    affixes = sum(len(rule["condition"].get(name, ())) for rule in rules for name in ("matchesPrefix", "matchesSuffix"))
    if affixes > MOST_AFFIXES:
        raise invalid(f"The lifecycle rules of a bucket may have at most {MOST_AFFIXES} prefixes and suffixes, and not {affixes}.")


def _refusal(number: int, fault: str) -> ApiError:
    return invalid(f"Lifecycle rule {number}: {fault}.")


def _fault(rule: Json, classes: Collection[str]) -> str:
    action, condition = rule.get("action"), rule.get("condition")
    if unknown := rule.keys() - {"action", "condition"}:
        return f'unknown name "{min(unknown)}"'
    if not isinstance(action, dict) or action.keys() - {"type", "storageClass"}:
        return "an action has a type and perhaps a storageClass, and nothing else"
    kind = action.get("type")
    if str(kind) not in _ACTIONS:
        return f"unknown action {kind!r}; it is one of {', '.join(sorted(_ACTIONS))}"
    if (kind == "SetStorageClass") != ("storageClass" in action) or str(action.get("storageClass", "STANDARD")) not in classes:
        return "a storage class goes with SetStorageClass, and only with it"
    if not isinstance(condition, dict) or not condition:
        return "at least one condition is required"
    if kind == "AbortIncompleteMultipartUpload" and condition.keys() - _OF_UPLOADS:
        return f"{kind} takes only the conditions {', '.join(sorted(_OF_UPLOADS))}"
    return next((fault for name, value in condition.items() if (fault := _fault_of(name, value, classes))), "")


def _fault_of(name: str, value: Any, classes: Collection[str]) -> str:
    if name not in _CONDITIONS:
        return f'unknown name "{name}" in the condition'
    fits, should = _CONDITIONS[name]
    if not fits(value):
        return f"{name} is {should}, and not {value!r}"
    if name == "matchesStorageClass" and not all(str(each) in classes for each in value):
        return f"{name} names something that is no storage class"
    return ""
