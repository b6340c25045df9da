"""A clock that has stopped."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from shared.audit.estate import Estate
from shared.audit.finding import Finding
from shared.checks import Check
from shared.slack.text import stamp

LATE = timedelta(hours=1)
"""The tick comes every minute, and remembers its looks every ten."""


def find(estate: Estate) -> Iterator[Finding]:
    """The tick has not looked for an hour, or never did."""
    if not estate.journal or not estate.policy.budgets:
        return
    watch = estate.journal.watch
    if watch and estate.now - watch.looked_at < LATE:
        return
    yield CHECK.finding(
        f"projects/{estate.project}/tick",
        "high",
        f"the tick has not come since {stamp(watch.looked_at)}" if watch else "the tick never came",
        "Without it nothing that waits is carried out, nothing that failed is tried again, and nobody says when budgets fall silent",
        mend=('see the job of Cloud Scheduler that publishes {"task": "tick"}, the tasks topic, and the logs of the function task',),
    )


CHECK = Check(name="no_tick", category="watch", lever="", needs=frozenset({"journal"}), find=find)
