"""The types of single values in the policy: durations, shares, sizes, labels and names, each with its shape for editors.

Every check raises a ``ValueError`` whose sentence says what to write instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

from shared.policy.names import bucket_name
from shared.policy.text import show

_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_SIZES = {"PiB": 2**50, "TiB": 2**40, "GiB": 2**30, "MiB": 2**20, "KiB": 2**10, "B": 1}
_DURATION = r"[0-9]{1,9}(?:\.[0-9]{1,3})?[smhd]"
_SHARE = r"[0-9]{1,6}(?:\.[0-9]{1,6})?%"
_SIZE = r"[0-9]{1,19}(?:\.[0-9]{1,6})?(?:[KMGTP]i)?B"
LONGEST = timedelta(days=3650)
"""A longer duration is taken for a slip of the pen; it also keeps every sum with a date within the calendar."""


class Part(BaseModel):
    """A part of the policy: frozen, and strict about what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def duration(value: object) -> timedelta:
    """``30m`` as a timedelta; a number and s, m, h or d.

    Raises:
        ValueError: It is not a duration, negative, or longer than ten years.
    """
    if isinstance(value, timedelta):
        length = value
    elif isinstance(value, str) and re.fullmatch(f"-?{_DURATION}", value):
        length = timedelta(milliseconds=int(Decimal(value[:-1]) * _SECONDS[value[-1]] * 1000))
    else:
        raise ValueError(f"{show(value)} is not a duration; write a number and s, m, h or d, such as 30m")
    if length < timedelta(0):
        raise ValueError(f"{show(value)} is negative; a duration cannot be")
    if length > LONGEST:
        raise ValueError(f"{show(value)} is longer than ten years")
    return length


def duration_text(length: timedelta) -> str:
    """The shortest way to write a duration: ``30m``, ``36h``, ``14d``."""
    for unit, seconds in _SECONDS.items():
        if length and not length % timedelta(seconds=seconds):
            return f"{length // timedelta(seconds=seconds)}{unit}"
    return f"{length.total_seconds():.3f}".rstrip("0").rstrip(".") + "s"


def share(value: object) -> Decimal:
    """``80%`` as Decimal("0.8").

    Raises:
        ValueError: It has no percent sign, or is negative or not a number.
    """
    if isinstance(value, Decimal) and value.is_finite() and value >= 0:
        return value.normalize()
    if isinstance(value, str) and re.fullmatch(_SHARE, value):
        return (Decimal(value[:-1]) / 100).normalize()
    if isinstance(value, (int, float)) or (isinstance(value, str) and re.fullmatch(r"[0-9]+(\.[0-9]+)?", value)):
        raise ValueError(f"{show(value)} is a plain number, which could mean a fraction or percent; write 80%")
    raise ValueError(f"{show(value)} is not a share; write a number and a percent sign, such as 80%")


def share_text(value: Decimal) -> str:
    """``80%`` for Decimal("0.8")."""
    return f"{(value * 100).normalize():f}%"


def size(value: object) -> int:
    """``5TiB`` as a number of bytes; a whole number is bytes.

    Raises:
        ValueError: It is not a size, its unit counts in thousands, or it is not a whole number of bytes.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str) and re.fullmatch(_SIZE, value):
        unit = next(unit for unit in _SIZES if value.endswith(unit))
        whole, _, decimals = value.removesuffix(unit).partition(".")
        scale: int = 10 ** len(decimals)
        count, rest = divmod(int(whole + decimals) * _SIZES[unit], scale)
        if rest:
            raise ValueError(f"{show(value)} is not a whole number of bytes")
        return count
    raise ValueError(f"{show(value)} is not a size; write a number and B, KiB, MiB, GiB, TiB or PiB, such as 5TiB")


def size_text(count: int) -> str:
    """``5TiB`` for that many bytes, in the largest unit that makes it a whole number."""
    unit = next(unit for unit, size in _SIZES.items() if count % size == 0)
    return f"{count // _SIZES[unit]}{unit}"


def longer_than_nothing(length: timedelta) -> timedelta:
    """Refuse a duration of 0.

    Raises:
        ValueError: It is 0.
    """
    if not length:
        raise ValueError("should be longer than 0s")
    return length


def above_nothing(value: Decimal) -> Decimal:
    """Refuse a threshold of 0%.

    Raises:
        ValueError: It is 0.
    """
    if not value:
        raise ValueError("0% is reached before anything is spent; write a larger share")
    return value


def at_most_all(value: Decimal) -> Decimal:
    """Refuse a part that is larger than the whole.

    Raises:
        ValueError: It is above 100%.
    """
    if value > 1:
        raise ValueError(f"{share_text(value)} is more than all of them; write 100% or less")
    return value


def matching(pattern: str, sentence: str) -> Callable[[str], str]:
    """A check that the whole text matches; the sentence says what to write instead."""
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        if not compiled.fullmatch(text):
            raise ValueError(f"{show(text)} {sentence}")
        return text

    return check


def label_key(text: str) -> str:
    """Refuse what can never be a label's key: https://cloud.google.com/resource-manager/docs/labels-overview#requirements.

    Raises:
        ValueError: No resource can carry such a key.
    """
    if not text or not text[0].isalpha():
        raise ValueError(f"the label key {show(text)} can never match: keys begin with a lower-case letter")
    return label_value(text)


def label_value(text: str) -> str:
    """Refuse what can never be a label's value, since a protection by it would protect nothing.

    Raises:
        ValueError: No resource can carry such a value.
    """
    if len(text) > 63 or text != text.lower() or not all(character.isalnum() or character in "_-" for character in text):
        raise ValueError(f"the label text {show(text)} can never match: labels hold up to 63 lower-case letters, digits, - and _")
    return text


def service_glob(text: str) -> str:
    """Refuse a pattern that no short name can match: https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.services/create.

    Raises:
        ValueError: It is empty, a full name, or holds characters that no name has.
    """
    if "/" in text:
        raise ValueError(f"{show(text)} is matched against the short name; write only what stands behind the last /")
    if not re.fullmatch(r"[a-z0-9*?\[\]!-]+", text):
        raise ValueError(f"{show(text)} can never match: names are lower-case letters, digits and hyphens; * ? and [ab] are wildcards")
    return text


def one_or_more(value: Any) -> Any:
    """A single value as a list of one."""
    return value if value is None or isinstance(value, (list, tuple, dict)) else (value,)


Duration = Annotated[
    timedelta,
    BeforeValidator(duration),
    PlainSerializer(duration_text, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": f"^{_DURATION}$", "examples": ["30m", "6h", "14d"]}),
]
"""A length of time, written ``30m``."""

Share = Annotated[
    Decimal,
    BeforeValidator(share),
    PlainSerializer(share_text, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": f"^{_SHARE}$", "examples": ["80%"]}),
]
"""A part of a whole, written ``80%``, held as Decimal("0.8")."""

Bytes = Annotated[
    int,
    BeforeValidator(size),
    PlainSerializer(size_text, when_used="json"),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": f"^{_SIZE}$", "examples": ["5TiB"]}, {"type": "integer", "minimum": 0}]}),
]
"""An amount of data, written ``5TiB``, held in bytes."""

LabelKey = Annotated[str, AfterValidator(label_key)]
LabelValue = Annotated[str, AfterValidator(label_value)]
LabelValues = Annotated[
    tuple[LabelValue, ...],
    Field(min_length=1),
    BeforeValidator(one_or_more),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]
Labels = Mapping[LabelKey, LabelValues]
"""Label keys with the values that count; one value may be written without its list."""

ServiceGlob = Annotated[str, AfterValidator(service_glob)]
"""A pattern for short names; ``*``, ``?`` and ``[ab]`` are wildcards."""

BucketName = Annotated[str, AfterValidator(bucket_name)]
"""A bucket's name."""
