"""That there is no watchdog yet."""

from __future__ import annotations

from collections.abc import Iterator

from shared.audit.estate import Estate
from shared.audit.finding import Finding
from shared.checks import Check


def find(estate: Estate) -> Iterator[Finding]:
    """An audit that is made before anything is deployed sees no journal."""
    if not estate.deployed:
        yield CHECK.finding(
            f"projects/{estate.project}/watchdog",
            "low",
            "no watchdog acts on this project's budgets yet",
            "Budgets only send messages; what they say is up to somebody who reads them",
            mend=("see the README: the first deployment only talks",),
        )


CHECK = Check(name="not_deployed", category="watch", lever="", needs=frozenset(), find=find)
