"""What was kept while a channel of Slack's could not be reached: told in one message where it is much, once the channel takes messages again."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass

from shared import report
from shared.entry import Entry
from shared.errors import CloudError, Conflict, JournalError
from shared.journal import Kept
from shared.slack import panel
from shared.slack.conversation import Outage, digest
from shared.slack.outages import Outages
from shared.watchdog import TRIES, Watchdog

log = logging.getLogger(__name__)

MANY = 3
"""More messages than that are told in one; what needs a person is told by itself all the same, with its buttons, and so is how a plan stands."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """What it takes to sort it out.

    Attributes:
        watchdog: Whose messages they are.
    """

    watchdog: Watchdog

    def sort_out(self) -> None:
        """Sort out what was kept for each channel that takes messages again; where that fails, the next tick does it."""
        try:
            kept = self.watchdog.journal.delivery()
            for channel, outage in (kept.record.outages if kept else {}).items():
                if outage.mended_at:
                    self._sort_out(channel, outage)
        except JournalError as error:
            self.watchdog.unreadable(error)
        except CloudError as error:
            log.warning("what was kept for Slack could not be sorted out, and is at the next tick: %s", error)

    def _sort_out(self, channel: str, outage: Outage) -> None:
        now, found = self.watchdog.world.clock.now(), self._kept(channel)
        Outages(self.watchdog.world).over(channel)
        waiting = [message for kept in found for message in kept.record.messages if message.sent_at is None and message.channel == channel]
        # A plan's newest message brings its budget's headline up to date, and bears the buttons.
        newest = {
            message.id for kept in found for message in kept.record.messages if message.thread and panel.is_newest(kept.record, message)
        }
        quiet = {message.id: message for message in waiting if not message.broadcast and message.id not in newest}
        folded = quiet if len(quiet) > MANY else {}
        if folded:
            letter = report.delivered_late(sorted(folded.values(), key=lambda each: each.created), outage=outage, now=now)
            # Named by what it tells, so that nothing else is ever taken to be told in it.
            key, journal = f"notice-late-{digest(channel, *sorted(folded))}", self.watchdog.journal
            self.watchdog.say_once(key, letter, channel)
            if not (journal.load(key) or journal.was_closed(key)):
                folded = {}  # what stands in no message yet is told by itself
        for kept in found:
            self._release(kept, channel, folded.keys())

    def _release(self, kept: Kept[Entry], channel: str, folded: Collection[str]) -> None:
        """Mark what was told with others, and let the rest go; who works on the entry meanwhile takes it up afresh, and so tells nothing twice."""
        now, found = self.watchdog.world.clock.now(), kept
        for _ in range(TRIES):
            messages = tuple(
                each
                if each.sent_at or each.channel != channel
                else each.but(sent_at=now, blocks=(), panel="", error="told with others, late")
                if each.id in folded
                else each.but(not_before=None)
                for each in found.record.messages
            )
            try:
                self.watchdog.journal.save(found, found.record.but(messages=messages), now)
                return
            except Conflict as conflict:
                log.info("%s: somebody else wrote it meanwhile; looking again: %s", kept.record.key, conflict)
            again = self.watchdog.journal.load(kept.record.key)
            if again is None:
                return
            found = again
        log.warning("%s: others write it all the time, so what was told late of it may be told once more", kept.record.key)

    def _kept(self, channel: str) -> list[Kept[Entry]]:
        """The open entries with messages to the channel that nobody works on now."""
        now, found, journal = self.watchdog.world.clock.now(), [], self.watchdog.journal
        for key in sorted(journal.keys()):  # the journal is no mapping
            try:
                kept = journal.load(key)
            except JournalError as error:
                self.watchdog.unreadable(error)
                continue
            busy = kept and kept.record.lease and kept.record.lease.until > now
            if kept and not busy and any(message.sent_at is None and message.channel == channel for message in kept.record.messages):
                found.append(kept)
        return found
