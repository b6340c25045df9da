"""The channels that Slack does not take messages for: noticed once, tried now and then, and known to the audit."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.errors import CloudError, Conflict, JournalError, Unavailable
from shared.journal import Journal
from shared.ports import World
from shared.slack.conversation import Delivery, Outage

log = logging.getLogger(__name__)

_TRIES = 5
SORTED_OUT = timedelta(minutes=10)
"""The tick sorts out what was kept within a minute or two; after so long it does not tick, and messages go out one by one."""


@dataclass(frozen=True, slots=True)
class Outages:
    """What it takes to know of outages. Where the record of them cannot be read or written, messages are sent as if there were none.

    Attributes:
        world: The ports.
    """

    world: World

    def of(self, channel: str) -> Outage | None:
        """The outage of a channel, or None."""
        return self._known().outages.get(channel)

    def until(self, outage: Outage) -> datetime | None:
        """Until when nothing is to be sent to its channel; None where it may be tried now."""
        now = self.world.clock.now()
        if outage.mended_at:
            return outage.mended_at + SORTED_OUT if now < outage.mended_at + SORTED_OUT else None
        return outage.next_at if now < outage.next_at else None

    def failed(self, channel: str, error: CloudError, next_at: datetime) -> None:
        """A message did not arrive."""
        now = self.world.clock.now()
        known = self._known().outages.get(channel)
        since, attempts = (known.since, known.attempts) if known and not known.mended_at else (now, 0)
        outage = Outage(since=since, reason=str(error), lasting=not isinstance(error, Unavailable), attempts=attempts + 1, next_at=next_at)
        self._change(channel, outage)

    def arrived(self, channel: str, outage: Outage) -> None:
        """A message arrived in spite of the outage, so it is over, and the tick sorts out what was kept meanwhile."""
        if outage.mended_at is None:
            log.info("Slack takes messages for %s again, for the first time since %s", channel, outage.since.isoformat())
            self._change(channel, outage.but(mended_at=self.world.clock.now()))
        else:
            self.over(channel)

    def over(self, channel: str) -> None:
        """What was kept is sorted out."""
        self._change(channel, None)

    def _known(self) -> Delivery:
        try:
            kept = Journal(self.world.state).delivery()
        except (CloudError, JournalError) as error:
            log.warning("whether Slack can be reached is not known, so it is tried: %s", error)
            return Delivery()
        return kept.record if kept else Delivery()

    def _change(self, channel: str, outage: Outage | None) -> None:
        journal = Journal(self.world.state)
        for _ in range(_TRIES):
            try:
                kept = journal.delivery()
                outages = dict(kept.record.outages if kept else {})
                outages.pop(channel, None)
                if outage:
                    outages[channel] = outage
                journal.save_delivery(kept, Delivery(outages=outages))
            except Conflict:
                log.debug("somebody else wrote down how a channel is reached; looking again")
            except (CloudError, JournalError) as error:
                return log.warning("how %s is reached could not be written down: %s", channel, error)
            else:
                return None
        return log.warning("how %s is reached could not be written down, since others write all the time", channel)
