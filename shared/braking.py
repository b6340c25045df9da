"""The brake in use: every change is asked for here before it is recorded, and one too many within the hour stops all of its kind until a person goes on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from shared.brake import MEANS, Brake, Change, Kind, Stop
from shared.errors import Conflict, Unavailable
from shared.journal import Journal
from shared.ports import Clock

log = logging.getLogger(__name__)

TRIES = 20


@dataclass(frozen=True, slots=True)
class Braking:
    """What it takes to brake.

    Attributes:
        journal: Where the changes of the hour are counted.
        clock: The time.
        limit: Changes of one kind within an hour at most.
        tell: Has people told, once a day.
    """

    journal: Journal
    clock: Clock
    limit: int
    tell: Callable[[Stop], None]

    def on(self, kind: Kind) -> bool:
        """Whether nothing of this kind may be changed now. Putting back does not ask.

        Raises:
            CloudError: The journal does not answer.
            JournalError: The record of the brake cannot be read.
        """
        kept = self.journal.brake()
        stop = kept.record.stop(kind) if kept else None
        if stop:
            self.tell(stop)
        return stop is not None

    def reserve(self, kind: Kind, entry: str, parts: tuple[str, ...], count: int) -> bool:
        """Whether the entry may change so much, which counts it.

        Args:
            kind: What it changes.
            entry: Its key.
            parts: What of the entry it is; see `Change`.
            count: How much.

        Raises:
            Unavailable: Others write the record all the time.
            CloudError: The journal does not answer.
            JournalError: The record of the brake cannot be read.
        """
        if not count:
            return True
        for _ in range(TRIES):
            kept = self.journal.brake()
            before = kept.record if kept else Brake()
            after = before.after(Change(at=self.clock.now(), kind=kind, entry=entry, parts=parts, count=count), self.limit)
            if after != before:
                try:
                    self.journal.save_brake(kept, after)
                except Conflict:
                    continue
            stop = after.stop(kind)
            if stop is None:
                return True
            if before.stop(kind) is None:
                log.error(
                    "the brake is on: %s was about to change %d %s, and %d were changed within the hour, of %d that limits.per_hour allows; %s "
                    "until a person releases it: python -m functions release",
                    entry, count, kind, stop.recent, self.limit, MEANS[kind], extra={"labels": {"alarm": "brake", "entry": entry}},
                )  # fmt: skip
            self.tell(stop)
            return False
        raise Unavailable("others write the record of the brake all the time", resource=entry)
