"""What somebody hostile, or something broken, may send: names, JSON, and samples that are nearly right. And how long each property is tried.

``make test`` tries each for a moment. ``make fuzz`` sets ``EXAMPLES`` and tries it for minutes.
"""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("EXAMPLES", "0"))
"""How many inputs each property is tried with; 0 for as many as are tried on the way."""
SLOWEST = 10_000
"""Milliseconds for one input: no input may cost more, and a busy machine does not come near it with those that are in order."""

NAMES = (
    "<script>window.ran=1</script>",
    "</script><script>window.ran=1</script>",
    '"><img src=x onerror="window.ran=1">',
    "' onmouseover='window.ran=1' x='",
    "--></style><svg onload=window.ran=1>",
    "javascript:window.ran=1",
    "{{7*7}}{% raw %}",
    "<!channel> <!here> <@U012AB3CD> <#C012AB3CD> <https://evil.example|click>",
    "```*bold* _it_ ~gone~ `code` > quote\n```",
    "@channel @here @everyone https://evil.example",
    'one\r\ntwo\n{"severity": "CRITICAL", "message": "forged"}',
    "\x1b[2J\x1b]0;owned\x07\x1b[31mred\x9b31m",
    "\u202egnirts\u202c \u2066x\u2069 \u200bzero\ufeff",
    "../../entries/x", "..", ".", "a//b", "/", "~root", "C:\\x",
    "\ud800", "\x00", "\U000e0041\U0001f600", "[bold red]x[/]", "%s %d %(x)s {0}",
    "a" * 3000, "\u0301" * 500,
)  # fmt: skip
"""Names by which somebody would break out of where they are shown."""
NUMBERS = (
    0, -0.0, 1e308, -1e308, 5e-324, float("nan"), float("inf"), float("-inf"), 2**63, -(2**63), 2**64, 10**40, 10**4000, "1e999999999", "-1e-999999999", "NaN", "sNaN",
    "Infinity", "1_0", "٣", "0x10", " 1 ", "1" * 5000,
)  # fmt: skip
"""Numbers, and texts that some reader takes for one."""
INSTANTS = (
    "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-23:59", "2026-11-20T12:00:00", "2026-11-20",
    "2026-W47-5T00:00Z", "1970-01-01T00:00:00Z", "2026-02-30T00:00:00Z", "20261120T120000Z", "2026-11-20T12:00:60Z", "now", "2026-11-20T12:00:00+00:00:00.000001",
)  # fmt: skip
"""Times at the edge of the calendar, and what is none."""


def tried(often: int) -> Callable[[Any], Any]:
    """The settings of a property: so many inputs on the way, and as many as `EXAMPLES` says in a long run."""
    return settings(
        max_examples=EXAMPLES or often, deadline=timedelta(milliseconds=SLOWEST), suppress_health_check=[*HealthCheck], print_blob=True
    )


texts = st.sampled_from(NAMES) | st.text(max_size=40) | st.text(st.characters(), max_size=10)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(NUMBERS) | st.sampled_from(INSTANTS) | texts
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12)
"""Anything that JSON holds, and some that it should not."""


def places(value: Any, before: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of every value within a value."""
    yield before
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from places(each, (*before, key))


@st.composite
def nearly(draw: st.DrawFn, samples: tuple[Any, ...]) -> Any:
    """One of the samples, with one to three of its parts changed, taken out, doubled or added to."""
    sample = copy.deepcopy(draw(st.sampled_from(samples)))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from([*places(sample)]))
        if not path:
            if draw(st.integers(0, 9)) == 0:
                return draw(values)
            if isinstance(sample, dict):
                sample[draw(texts)] = draw(values)
            continue
        holder = sample
        for part in path[:-1]:
            holder = holder[part]
        last = path[-1]
        how = draw(st.sampled_from(("alike", "alike", "change", "out", "nest")))
        if how == "out":
            del holder[last]
        elif how == "nest":
            holder[last] = [holder[last]]
        else:
            holder[last] = draw(values if how == "change" else alike(holder[last]))
    return sample


def alike(value: Any) -> st.SearchStrategy[Any]:
    """Something hostile of the same kind, which gets further than what is of none."""
    if isinstance(value, str):
        try:
            return st.sampled_from(INSTANTS) if datetime.fromisoformat(value) else texts
        except ValueError:
            pass
        return st.sampled_from([str(each) for each in NUMBERS]) if re.fullmatch(r"-?[0-9.]+", value) else texts
    return st.sampled_from(NUMBERS) | st.integers() if isinstance(value, (int, float)) else values


def text_of(value: Any) -> bytes:
    """The value as JSON, as a careless program writes it: NaN as such, and halves of surrogate pairs as escapes."""
    return json.dumps(value).encode()


@st.composite
def damaged(draw: st.DrawFn, samples: tuple[bytes, ...]) -> bytes:
    """One of the samples, with bytes changed, taken out, put in, or cut off."""
    data = bytearray(draw(st.sampled_from(samples)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        until = min(len(data), at + draw(st.integers(0, 12)))
        data[at:until] = draw(
            st.binary(max_size=12)
            | st.sampled_from((b"", b"{", b"[" * 50, b'"', b"\\ud800", b"\xff", b"\x00", b"NaN", b"1e999", b"&a ", b"*a "))
        )
    return bytes(data)
