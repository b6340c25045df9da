"""That the watchdog has stopped itself, and waits for a person."""

from __future__ import annotations

from collections.abc import Iterator

from shared.audit.estate import Estate
from shared.audit.finding import Finding
from shared.checks import Check
from shared.slack.text import stamp


def find(estate: Estate) -> Iterator[Finding]:
    """One finding while the brake is on."""
    stop = estate.journal.brake.stop if estate.journal else None
    if stop:
        yield CHECK.finding(
            "the brake",
            "high",
            f"The watchdog has stopped itself: nothing is stopped or deleted since {stamp(stop.at)}",
            f"{stop.entry} was about to change {stop.count:,}, {stop.recent:,} were changed within the hour before, and limits.per_hour allows {stop.limit:,}; "
            "what is due waits until a person has looked",
            mend=("python -m functions list", "python -m functions release"),
        )


CHECK = Check(name="brake", category="watch", lever="", needs=frozenset({"journal"}), find=find)
