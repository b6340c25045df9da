"""Composition: what a request says, and what it may not say.

Source: https://docs.cloud.google.com/storage/docs/json_api/v1/objects/compose and .../docs/composite-objects
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.storage_errors import ApiError, Json, invalid
from sandbox.storage_state import Stored

MOST_SOURCES = 32
_KEY = re.compile(r"projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+")


@dataclass(frozen=True, slots=True)
class Source:
    """An object that becomes part of another.

    Attributes:
        generation: Which one; none is the live one.
        expected: The generation that has to be the live one.
    """

    name: str
    generation: int | None
    expected: int | None


@dataclass(frozen=True, slots=True)
class Composition:
    """What is asked for.

    Attributes:
        destination: Properties of the new object.
        deletes: Whether the sources are deleted for good, past soft delete and versions.
    """

    sources: tuple[Source, ...]
    destination: Json
    deletes: bool


def read(document: Json) -> Composition:
    """Take a request's body apart.

    Raises:
        ApiError: 400 for what the service does not take.
    """
    _known(document, {"kind", "sourceObjects", "destination", "deleteSourceObjects"}, "body")
    listed, destination = document.get("sourceObjects"), document.get("destination", {})
    deletes = document.get("deleteSourceObjects", False)
    if not isinstance(listed, list) or not 1 <= len(listed) <= MOST_SOURCES:
        raise invalid(f"The number of source components provided must be between 1 and {MOST_SOURCES}.")
    if not isinstance(destination, dict) or not isinstance(deletes, bool):
        raise invalid("Invalid value for: destination must be an object and deleteSourceObjects a boolean")
    return Composition(tuple(_source(each) for each in listed), destination, deletes)


def composed(sources: Sequence[Stored]) -> tuple[bytes, str, int]:
    """The bytes, the storage class and the number of components of what is put together.

    Raises:
        ApiError: 400 where the sources are of several classes, 501 where the stand-in has no bytes.
    """
    classes = {each.storage_class for each in sources}
    if len(classes) > 1:
        raise invalid(f"The source objects must have the same storage class; these have {', '.join(sorted(classes))}.")
    data = [each.data for each in sources if each.data is not None]
    if len(data) < len(sources):
        raise ApiError(501, "notImplemented", "This stand-in keeps only the size of a source object, not its bytes.")
    return b"".join(data), classes.pop(), sum((each.extra or {}).get("componentCount", 1) for each in sources)


def key_version(key: str) -> str:
    """The version of a key that new objects are encrypted with.

    Raises:
        ApiError: 400 where it is no key's name.
    """
    if not _KEY.fullmatch(key):
        raise invalid(f"Invalid argument: {key!r} is not the resource name of a Cloud KMS key.")
    return f"{key}/cryptoKeyVersions/1"


def _source(each: Any) -> Source:
    if not isinstance(each, dict) or not isinstance(each.get("name"), str):
        raise invalid("Required: the name of each source object")
    _known(each, {"name", "generation", "objectPreconditions"}, "sourceObjects")
    conditions = each.get("objectPreconditions") or {}
    _known(conditions, {"ifGenerationMatch"}, "objectPreconditions")
    return Source(each["name"], _number(each.get("generation")), _number(conditions.get("ifGenerationMatch")))


def _known(document: Json, names: set[str], where: str) -> None:
    if unknown := document.keys() - names:
        raise invalid(f"Invalid JSON payload received. Unknown name \"{min(unknown)}\" at '{where}': Cannot find field.")


def _number(value: object) -> int | None:
    try:
        return None if value is None else int(str(value))
    except ValueError:
        raise invalid(f"Invalid value for: a generation is a whole number, not {value!r}") from None
