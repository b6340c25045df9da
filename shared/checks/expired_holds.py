"""Holds that have ended, so that what they protected is protected no longer."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from datetime import timedelta

from shared.audit.estate import Estate
from shared.audit.finding import Finding
from shared.checks import Check
from shared.slack.text import stamp

LATELY = timedelta(days=14)
"""Who held something longer ago has noticed."""


def find(estate: Estate) -> Iterator[Finding]:
    """Each hold that ended within the last two weeks."""
    holds = estate.journal.holds if estate.journal else None
    for name, end in sorted((holds.until if holds else {}).items()):
        if timedelta(0) <= estate.now - end <= LATELY:
            by = holds.by.get(name, "somebody") if holds else ""
            yield CHECK.finding(
                f"holds/{name}",
                "low",
                f"the hold on {name} by {by} ended at {stamp(end)}",
                "The next step that means it may park it",
                mend=(f"python -m functions hold {shlex.quote(name)} --until TIME   # if it is still needed",),
            )


CHECK = Check(name="expired_holds", category="watch", lever="", needs=frozenset({"journal"}), find=find)
