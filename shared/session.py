"""An entry in one worker's hands: its lease, its changes in memory, and when they are saved."""

from __future__ import annotations

from datetime import timedelta

from shared.entry import Entry, Lease, TargetRecord, dated, doubted
from shared.journal import Journal, Kept
from shared.ports import Clock

LEASE = timedelta(seconds=60)
WRITE_MARGIN = timedelta(seconds=35)
"""A write is given up by its client after 30 seconds, so one that is sent with this much of the lease left cannot arrive after it."""
SAVE_EVERY = 10.0
"""Seconds; Cloud Storage takes about one write a second of one object, and the lease has to be renewed well before its end."""


class Session:
    """The right to work on one entry, held by a lease in the entry itself.

    Every save raises `Conflict` when somebody else wrote the entry, which means that the lease was lost or that a person asked for something:
    whoever holds the session stops then, and the entry is taken up afresh.
    """

    def __init__(self, journal: Journal, clock: Clock, owner: str, kept: Kept[Entry]) -> None:
        """Take over an entry whose record already names this owner's lease."""
        self._journal = journal
        self._clock = clock
        self._owner = owner
        self._kept = kept
        self._entry = kept.record
        self._results: dict[str, TargetRecord] = {}
        self._saved_at = clock.monotonic()
        self._until = kept.record.lease.until if kept.record.lease else clock.now()
        self.fresh_messages: set[str] = set()
        """Messages that were written in this session, and so cannot have been posted before."""

    @classmethod
    def open(cls, journal: Journal, clock: Clock, owner: str, kept: Kept[Entry]) -> Session | None:
        """Lease a stored entry, or None while somebody else holds it.

        Raises:
            Conflict: Somebody else was quicker.
        """
        entry, now = kept.record, clock.now()
        if entry.lease and entry.lease.until > now and entry.lease.owner != owner:
            return None
        # Whoever held it before may have been killed after a write and before its record.
        leased = doubted(entry).but(lease=Lease(owner=owner, until=now + LEASE))
        return cls(journal, clock, owner, journal.save(kept, leased, now))

    @property
    def owner(self) -> str:
        """Whose hands these are."""
        return self._owner

    @property
    def entry(self) -> Entry:
        """The entry as it is in memory."""
        if self._results:
            self._entry = self._entry.with_targets(self._results.values())
            self._results.clear()
        return self._entry

    def put(self, entry: Entry) -> None:
        """Change the entry in memory."""
        self._results.clear()
        self._entry = entry

    def result(self, target: TargetRecord) -> None:
        """Change one target in memory."""
        self._results[target.resource] = dated(target, self._clock.now())

    def save(self, *, confirm: bool = False) -> None:
        """Save the entry with a renewed lease, and read it back where something will be changed on its word."""
        now = self._clock.now()
        leased = self.entry.but(lease=Lease(owner=self._owner, until=now + LEASE))
        self._kept = self._journal.save(self._kept, leased, now)
        self._entry = leased
        self._until = now + LEASE
        self._saved_at = self._clock.monotonic()
        if confirm:
            self._journal.confirm(self._kept)

    def may_write(self) -> bool:
        """Whether a write that is sent now arrives while the lease holds, whatever happens to this worker; may be asked in any thread."""
        return self._until - self._clock.now() > WRITE_MARGIN

    def glance(self) -> None:
        """Save now and then."""
        if self._clock.monotonic() - self._saved_at >= SAVE_EVERY:
            self.save()

    def discard(self) -> None:
        """Delete the entry, unless something was carried out in its name."""
        if not self.entry.claimed and not self.entry.targets:
            self._journal.discard(self._kept)

    def release(self) -> bool:
        """Give the lease back; the answer is whether the entry is closed, with nothing left to do."""
        now = self._clock.now()
        entry = self.entry.but(lease=None)
        if entry.due(now) is None:
            self._journal.close(Kept(entry, self._kept.generation))
            return True
        self._kept = self._journal.save(self._kept, entry, now)
        return False
