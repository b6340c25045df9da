"""Where the headlines of budgets stand in Slack: posted once for each period and channel, and kept up to date."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import overload

from shared.burn import Burn
from shared.entry import Entry
from shared.errors import CloudError, Conflict, Gone, JournalError, Refused, Unavailable
from shared.journal import Journal
from shared.model import BudgetNotification
from shared.policy.policy import Policy
from shared.ports import Messenger, Posted, World
from shared.report.headline import headline
from shared.report.letter import Letter
from shared.slack.conversation import Place, Thread, digest, thread_name

log = logging.getLogger(__name__)

CLAIM = timedelta(seconds=60)
"""For so long a worker has to itself what it set out to post; one that takes longer was killed."""
CLOCKS_DIFFER = timedelta(minutes=5)
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Threads:
    """What it takes to keep the headlines.

    Attributes:
        world: The ports.
        policy: The policy in force.
        owner: This invocation's name in claims.
    """

    world: World
    policy: Policy
    owner: str

    @property
    def journal(self) -> Journal:
        """The journal in the state bucket."""
        return Journal(self.world.state)

    def place(self, messenger: Messenger, entry: Entry, name: str, channel: str) -> Posted:
        """Where the headline of an entry's thread stands in a channel; it is posted first where it does not.

        Raises:
            Conflict: Somebody else is posting it, or the journal does not answer; it can be asked for again in a moment.
            CloudError: Slack does not take it.
            JournalError: What is known of the thread cannot be read.
        """
        try:
            claimed, since = self._claim(entry, name, channel)
        except CloudError as error:
            raise Conflict(f"the thread is not to be had now: {error}", resource=channel) from error
        place = claimed.places[channel]
        if place.posted:
            return Posted(*place.posted)
        reference = f"thread/{name}/{channel}"
        # Claimed before, it may stand there: whoever claimed it may have been killed before it was on record.
        posted = messenger.find(channel, reference, since=since - CLOCKS_DIFFER) if since else None
        shown = ""
        if posted is None:
            written = self._written(claimed, channel, self._entries(claimed.entries, entry))
            try:
                posted = messenger.post(channel, written.text, written.blocks, reference=reference)
            except Refused as error:
                log.error("Slack refuses the headline's blocks, so it is posted as plain text: %s", error)  # noqa: TRY400  # no stack is needed
                posted = messenger.post(channel, written.text, (), reference=reference)
            shown = _shown(written)
        there = Place(claimed_at=place.claimed_at, posted=(posted.channel, posted.ts), shown=shown)
        try:
            self._save(name, lambda thread: (thread or claimed).with_place(channel, there))
        except CloudError as error:
            raise Conflict(f"where the headline stands could not be written down: {error}", resource=channel) from error
        return posted

    def _claim(self, entry: Entry, name: str, channel: str) -> tuple[Thread, datetime | None]:
        """The thread with this worker's claim on a headline that is not there yet, and since when it may stand there."""
        now, before = self.world.clock.now(), None

        def claim(thread: Thread | None) -> Thread:
            nonlocal before
            listed = (thread or _thread_of(entry)).with_entry(entry.key)
            place = listed.places.get(channel)
            if place and place.posted:
                return listed
            if place and place.claimed_by != self.owner and now - place.claimed_at < CLAIM:
                raise Unavailable("somebody else is posting the headline", resource=channel)
            before = (place.first_at or place.claimed_at) if place else None
            return listed.with_place(channel, Place(claimed_by=self.owner, claimed_at=now, first_at=before))

        return self._save(name, claim), before

    def forget(self, name: str, channel: str) -> None:
        """Somebody deleted the headline, so the next message posts it anew."""
        self._save(name, lambda thread: thread.with_place(channel, None) if thread else None)

    def hear(self, notice: BudgetNotification, burn: Burn | None) -> None:
        """Show a new spend where there is a headline already; nothing is posted, and what fails is shown with the next message."""
        messenger = self.world.messenger
        if messenger is None or not messenger.talks_back:
            return
        try:
            thread = self._save(thread_name(notice), lambda thread: thread.told(notice, burn) if thread else None)
            if thread:
                self.refresh(thread.name)
        except (CloudError, JournalError) as error:
            log.warning("the headline of budget %r could not be brought up to date: %s", notice.budget_name, error)

    def refresh(self, name: str, *, fresh: Entry | None = None) -> None:
        """Bring the headlines of a thread up to date, each where it shows something else.

        Args:
            name: The thread's.
            fresh: An entry of it as it is now, where the journal may have it as it was.

        Raises:
            CloudError: Slack or the journal does not answer.
            JournalError: The thread cannot be read.
        """
        again: frozenset[str] = frozenset()
        for _ in range(_TRIES):
            again = self._show(name, fresh, again)
            if not again:
                return
        log.warning("the headline of %s is written by others all the time; the next message brings it up to date", name)

    def _show(self, name: str, fresh: Entry | None, again: frozenset[str]) -> frozenset[str]:
        """Bring the headlines up to date, some of them again; the answer is where what was written may be older than what others wrote meanwhile."""
        kept, messenger = self.journal.thread(name), self.world.messenger
        if kept is None or messenger is None:
            return frozenset()
        thread, failed, changed = kept.record, None, set(again)
        entries = self._entries(thread.entries, fresh)
        for channel, place in kept.record.places.items():
            if place.posted is None:
                continue
            written = self._written(thread, channel, entries)
            shown = _shown(written)
            if shown == place.shown and channel not in again:
                continue
            changed.add(channel)
            try:
                messenger.update(Posted(*place.posted), written.text, written.blocks)
            except Gone:
                log.info("the headline of %s in %s was deleted; the next message posts it anew", name, channel)
                thread = thread.with_place(channel, None)
                continue
            except Refused as error:
                # Asked again it would refuse again: it stays as it is until it has something else to say.
                log.error("Slack refuses the headline of %s in %s: %s", name, channel, error)  # noqa: TRY400  # no stack is needed
            except CloudError as error:
                failed = error  # one channel that is not to be had keeps no other from being shown
                continue
            thread = thread.with_place(channel, place.but(shown=shown))
        if changed:
            try:
                self.journal.save_thread(kept, thread)
            except Conflict as conflict:
                log.info("the thread %s was written by somebody else meanwhile; looking again: %s", name, conflict)
                return frozenset(changed)
        if failed:
            raise failed
        return frozenset()

    def change(self, name: str, change: Callable[[Thread], Thread]) -> Thread:
        """Change what is known of a thread, and show it; where that cannot be shown now, the next message shows it.

        Raises:
            Gone: There is no such thread.
            Unavailable: Others write it all the time.
        """
        changed = self._save(name, lambda thread: change(thread) if thread else None)
        if changed is None:
            raise Gone("there is no such thread", resource=name)
        try:
            self.refresh(name)
        except (CloudError, JournalError) as error:
            log.warning("the headline of %s could not be brought up to date: %s", name, error)
        return changed

    def entries(self, name: str) -> list[Entry]:
        """The entries that are told of in a thread, as far as they can be read.

        Raises:
            Gone: There is no such thread.
        """
        kept = self.journal.thread(name)
        if kept is None:
            raise Gone("there is no such thread", resource=name)
        return self._entries(kept.record.entries, None)

    def period_start(self, name: str) -> datetime:
        """When the period of a thread began.

        Raises:
            Gone: There is no such thread.
        """
        kept = self.journal.thread(name)
        if kept is None:
            raise Gone("there is no such thread", resource=name)
        return kept.record.notice.period_start

    def snoozed(self, name: str) -> bool:
        """Whether nothing of a thread is to be broadcast now."""
        kept = self.journal.thread(name)
        return kept is not None and kept.record.snoozed(self.world.clock.now())

    @overload
    def _save(self, name: str, change: Callable[[Thread | None], Thread]) -> Thread: ...

    @overload
    def _save(self, name: str, change: Callable[[Thread | None], Thread | None]) -> Thread | None: ...

    def _save(self, name: str, change: Callable[[Thread | None], Thread | None]) -> Thread | None:
        """Change the record of a thread; None where there is none, and none comes of it.

        Raises:
            Unavailable: Others write it all the time.
        """
        for _ in range(_TRIES):
            kept = self.journal.thread(name)
            changed = change(kept.record if kept else None)
            if changed is None or (kept and changed == kept.record):
                return changed
            try:
                return self.journal.save_thread(kept, changed).record
            except Conflict as conflict:
                log.info("the thread %s was written by somebody else meanwhile; looking again: %s", name, conflict)
        raise Unavailable("others write the thread all the time; try again", resource=name)

    def _entries(self, keys: Iterable[str], fresh: Entry | None) -> list[Entry]:
        found = []
        for key in keys:
            if fresh and key == fresh.key:
                found.append(fresh)
                continue
            try:
                kept = self.journal.load(key)
                entry = kept.record if kept else self.journal.load_closed(key)
            except JournalError as error:  # told of where the entry itself is carried on
                log.warning("the headline is written without it: %s", error)
                continue
            found.extend([entry] if entry else [])
        return found

    def _written(self, thread: Thread, channel: str, entries: list[Entry]) -> Letter:
        teams = {*self.policy.slack.channels, *(target.channel for entry in entries for target in entry.targets)}
        whole = channel == self.policy.slack.channel or channel not in teams  # the policy may have named its own otherwise before
        return headline(thread, entries, channel=None if whole else channel, now=self.world.clock.now())


def _thread_of(entry: Entry) -> Thread:
    if entry.notification is None:
        raise TypeError(f"{entry.key} belongs to no budget")
    return Thread.of(entry.notification, entry.burn)


def _shown(written: Letter) -> str:
    return digest(written.text, str(written.blocks))
