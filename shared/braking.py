"""The brake in use: every change is asked for here before it is recorded, and one too many within the hour stops them all until a person goes on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from shared.brake import Brake, Stop
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
        limit: Changes within an hour at most.
        tell: Has people told, once a day.
    """

    journal: Journal
    clock: Clock
    limit: int
    tell: Callable[[Stop], None]

    def on(self) -> bool:
        """Whether nothing may be changed now. Putting back does not ask.

        Raises:
            CloudError: The journal does not answer.
            JournalError: The record of the brake cannot be read.
        """
        kept = self.journal.brake()
        stop = kept.record.stop if kept else None
        if stop:
            self.tell(stop)
        return stop is not None

    def reserve(self, entry: str, count: int) -> bool:
        """Whether the entry may change so many resources, which counts them.

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
            after = before.after(entry, count, self.limit, self.clock.now())
            if after != before:
                try:
                    self.journal.save_brake(kept, after)
                except Conflict:
                    continue
            if after.stop is None:
                return True
            if before.stop is None:
                log.error(
                    "the brake is on: %s was about to change %d, and %d were changed within the hour, of %d that limits.per_hour allows; nothing "
                    "more is changed until a person releases it: python -m functions release",
                    entry, count, after.stop.recent, self.limit, extra={"labels": {"alarm": "brake", "entry": entry}},
                )  # fmt: skip
            self.tell(after.stop)
            return False
        raise Unavailable("others write the record of the brake all the time", resource=entry)
