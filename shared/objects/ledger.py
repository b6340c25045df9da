"""What was deleted lately by one rule of the policy, and the limits that rest on it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from math import ceil
from typing import Protocol

from pydantic import AwareDatetime

from shared.errors import UnsafePlan
from shared.objects.job import Job
from shared.policy.artifacts import ArtifactLimits
from shared.policy.fields import share_text, size_text
from shared.record import Record
from shared.slack.text import volume

SCHEMA = 1
DAY = timedelta(days=1)
SHARE_APPLIES_FROM = 10
"""Below so many runs a share says nothing."""


class Reservation(Record):
    """One run's part of a day's deletions.

    Attributes:
        at: When it was begun.
        run: The run's folder.
        objects: How many objects were to go.
        bytes: And how much that was.
    """

    at: AwareDatetime
    run: str
    objects: int
    bytes: int


class Refusal(Record):
    """A run that a limit refused.

    Attributes:
        at: When.
        run: The run's folder.
    """

    at: AwareDatetime
    run: str


class Position(Record):
    """How far a look for abandoned runs is.

    Attributes:
        after: The last name that was seen.
        at: When somebody was at it last; None where it waits for the next tick.
        run: The run that it lies in; empty where it lies in none.
        newest_name: The newest object of that run so far.
        newest_generation: Its generation.
        newest_at: When it was written.
        promoted: Whether one of the names under `unless` was seen in that run.
    """

    after: str = ""
    at: AwareDatetime | None = None
    run: str = ""
    newest_name: str = ""
    newest_generation: int = 0
    newest_at: AwareDatetime | None = None
    promoted: bool = False


class Ledger(Record):
    """What is known of one rule of the policy.

    Attributes:
        schema_version: The shape of this object.
        reservations: The deletions of the last day, by entry.
        refused: What was refused within the last day, by entry.
        swept_at: When the last look for abandoned runs began.
        position: Where that look stands; None where it is over.
    """

    schema_version: int = SCHEMA
    reservations: dict[str, Reservation] = {}
    refused: dict[str, Refusal] = {}
    swept_at: AwareDatetime | None = None
    position: Position | None = None

    def reserve(self, key: str, job: Job, now: datetime) -> Ledger:
        """The same with this entry's part of the day; what is older than a day is forgotten."""
        recent = {name: each for name, each in self.reservations.items() if now - each.at < DAY}
        mine = Reservation(at=now, run=job.prefix, objects=job.tally.objects, bytes=job.tally.bytes)
        return self.but(reservations={**recent, key: mine}, refused={name: at for name, at in self.refused.items() if name != key})

    def give_back(self, key: str) -> Ledger:
        """The same without this entry's part of the day."""
        return self.but(reservations={name: each for name, each in self.reservations.items() if name != key})

    def refuse(self, key: str, run: str, now: datetime) -> Ledger:
        """The same with one more run that was refused: for a day it counts as one of those that were to go."""
        recent = {name: each for name, each in self.refused.items() if now - each.at < DAY}
        return self.but(refused={**recent, key: Refusal(at=now, run=run)})

    def runs(self, now: datetime) -> frozenset[str]:
        """The runs that went, or were to go, within the last day."""
        return self.gone(now) | {each.run for each in self.refused.values() if now - each.at < DAY}

    def gone(self, now: datetime) -> frozenset[str]:
        """The runs that went within the last day."""
        return frozenset(each.run for each in self.reservations.values() if now - each.at < DAY)


class AtOnce(Protocol):
    """How much may go at once."""

    @property
    def objects(self) -> int:
        """Objects at most."""
        ...

    @property
    def bytes(self) -> int:
        """Data at most."""
        ...


def raise_if_too_large(job: Job, limits: AtOnce) -> None:
    """Refuse a run that is larger than the policy allows.

    Raises:
        UnsafePlan: With both numbers.
    """
    if job.tally.objects > limits.objects:
        raise UnsafePlan(f"it has {job.tally.objects:,} objects to delete, and limits.objects allows {limits.objects:,}")
    if job.tally.bytes > limits.bytes:
        raise UnsafePlan(f"it has {volume(job.tally.bytes)} to delete, and limits.bytes allows {size_text(limits.bytes)}")


def raise_if_too_much(ledger: Ledger, key: str, job: Job, limits: ArtifactLimits, now: datetime) -> None:
    """Refuse a run with which more would go within a day than the policy allows.

    Raises:
        UnsafePlan: With both numbers.
    """
    others = [each for name, each in ledger.reservations.items() if name != key and now - each.at < DAY]
    objects = sum(each.objects for each in others) + job.tally.objects
    if objects > limits.objects_per_day:
        raise UnsafePlan(
            f"with it {objects:,} objects would go within a day, and the rule's limits.objects_per_day allows {limits.objects_per_day:,}"
        )
    size = sum(each.bytes for each in others) + job.tally.bytes
    if size > limits.bytes_per_day:
        raise UnsafePlan(
            f"with it {volume(size)} would go within a day, and the rule's limits.bytes_per_day allows {size_text(limits.bytes_per_day)}"
        )


def raise_if_too_many(going: int, runs: Iterable[str], limits: ArtifactLimits) -> None:
    """Refuse where too large a part of all runs would go at once: that is more often a mistake in a rule than so many failures.

    Args:
        going: How many runs go within the day, this one among them.
        runs: All runs; no more of them are asked for than it takes to know.
        limits: The rule's limits.

    Raises:
        UnsafePlan: With both numbers.
    """
    enough = ceil(going / limits.share) if limits.share else 0
    total = 0
    for total, _ in enumerate(runs, start=1):
        if enough and total >= enough:
            return
    if total >= SHARE_APPLIES_FROM:
        raise UnsafePlan(
            f"{going:,} of {total:,} runs would go within a day, and the rule's limits.share allows {share_text(limits.share)}; "
            "is the rule right, or did something break them all?"
        )
