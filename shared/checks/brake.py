"""That the watchdog has stopped itself, and waits for a person."""

from __future__ import annotations

from collections.abc import Iterator

from shared.audit.estate import Estate
from shared.audit.finding import Finding
from shared.brake import MEANS
from shared.checks import Check
from shared.slack.text import stamp


def find(estate: Estate) -> Iterator[Finding]:
    """One finding for each kind that the brake is on for."""
    for stop in estate.journal.brake.stops if estate.journal else ():
        yield CHECK.finding(
            f"the brake for {stop.kind}",
            "high",
            f"The watchdog has stopped itself: {MEANS[stop.kind]} since {stamp(stop.at)}",
            f"{stop.entry} was about to change {stop.count:,} {stop.kind}, {stop.recent:,} were changed within the hour before, and limits.per_hour allows {stop.limit:,}; "
            "what is due waits until a person has looked",
            mend=("python -m functions list", "python -m functions release"),
        )


CHECK = Check(name="brake", category="watch", lever="", needs=frozenset({"journal"}), find=find)
