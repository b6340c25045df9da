"""What was parked and runs again without the watchdog."""

from __future__ import annotations

from collections.abc import Iterator

from shared.checks import Check
from shared.estate import Estate
from shared.finding import Finding
from shared.slack_text import stamp


def find(estate: Estate) -> Iterator[Finding]:
    """Each target that came back."""
    for entry in estate.journal.entries if estate.journal else ():
        for target in entry.targets:
            if target.drift and target.status == "verified":
                who = target.drift.by or "somebody"
                yield CHECK.finding(
                    target.resource,
                    "medium",
                    f"was parked and came back: changed by {who}, seen {stamp(target.drift.seen_at)}",
                    "It costs money again, though its budget's step said that it should not; a deployment or Terraform may do so each time",
                    mend=(
                        "if it is meant: protect it, or `python -m functions hold NAME --until TIME`",
                        "if not: `on_drift: repark` in the policy, or with Terraform ignore_changes = [scaling, template[0].scaling]",
                    ),
                )


CHECK = Check(name="came_back", category="watch", lever="", needs=frozenset({"journal"}), find=find)
