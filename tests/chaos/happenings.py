"""What can happen in a story, and what can go wrong meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Strike:
    """One thing that goes wrong.

    Attributes:
        method: Which calls it looks at, as a pattern: by the method, or by the method and what the call is about, with a space between them.
        after: How many of them go by first.
        trouble: ``die before`` and ``die after`` the call's work, ``drop`` the answer, ``refuse``, ``slow``, or ``somebody`` does something right then.
        times: How many calls in a row are dropped or refused.
        pick: A number that chooses whatever else is to be chosen.
        victim: The target that dies.
        deed: What somebody does to an object, rather than what `pick` chooses.
    """

    method: str
    after: int
    trouble: str
    times: int
    pick: float
    victim: str
    deed: str = ""


@dataclass(frozen=True)
class Event:
    """One thing that happens.

    Attributes:
        what: In a word; `tests.chaos.play` says what each word means.
        how: Its particulars.
        strikes: What goes wrong from then on.
        at_once: Whether the next event does not wait for this one to be dealt with.
    """

    what: str
    how: Mapping[str, Any] = field(default_factory=dict)
    strikes: tuple[Strike, ...] = ()
    at_once: bool = False
