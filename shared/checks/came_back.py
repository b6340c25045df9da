"""What was parked and runs again without the watchdog."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from shared.audit.estate import Estate
from shared.audit.finding import Finding
from shared.checks import Check
from shared.entry import Drift, TargetRecord
from shared.slack.text import stamp


def find(estate: Estate) -> Iterator[Finding]:
    """Each target that came back, once, however many entries hold it."""
    latest: dict[str, tuple[Drift, TargetRecord]] = {}
    for entry in estate.journal.entries if estate.journal else ():
        for target in entry.targets:
            known = latest.get(target.resource)
            if target.drift and target.status == "verified" and (known is None or known[0].seen_at < target.drift.seen_at):
                latest[target.resource] = (target.drift, target)
    for name, (drift, target) in sorted(latest.items()):
        who = drift.by or "somebody"
        yield CHECK.finding(
            name,
            "medium",
            f"was parked and came back: changed by {who}, seen {stamp(drift.seen_at)}",
            "It costs money again, though its budget's step said that it should not; a deployment or Terraform may do so each time",
            mend=(
                f"python -m functions hold {shlex.quote(target.short_name)} --until TIME   # if it is meant; or protect it for good",
                "if it is not meant: `on_drift: repark` in the policy, or with Terraform ignore_changes = [scaling, template[0].scaling]",
            ),
        )


CHECK = Check(name="came_back", category="watch", lever="", needs=frozenset({"journal"}), find=find)
