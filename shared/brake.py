"""The brake: how much the watchdog changed within the hour, by all plans together, and whether it has stopped itself. Pure.

Resources and runs are counted apart, and each kind stops only itself: whoever can make up failed runs cannot keep the budgets' steps from being carried out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal

from pydantic import AwareDatetime

from shared.record import Record

SCHEMA = 1
HOUR = timedelta(hours=1)
KEPT = timedelta(hours=2)
"""How long a change stays on record: one whose clock is ahead would otherwise drop for all what only it takes for old."""
NOTICE = "notice-brake-"
"""How the keys of the entries begin that tell people of it."""

Kind = Literal["resources", "runs"]
"""``resources``: what the steps of budgets change. ``runs``: the runs that are deleted."""
MEANS: Mapping[Kind, str] = {
    "resources": "nothing more is parked, and no step of a budget changes objects",
    "runs": "no more runs are deleted",
}
"""What stands still while the brake is on."""


class Change(Record):
    """What one plan asked to change.

    Attributes:
        at: When it asked.
        kind: What it changes.
        entry: The key of the entry.
        parts: What of the entry that is. Whoever asks for any of it again could not record the first plan, so that the later one counts in its place.
        count: Resources, or runs.
    """

    at: AwareDatetime
    kind: Kind
    entry: str
    parts: tuple[str, ...]
    count: int

    def repeats(self, other: Change) -> bool:
        """Whether the other is an earlier try of the same."""
        return (self.kind, self.entry) == (other.kind, other.entry) and not set(self.parts).isdisjoint(other.parts)


class Stop(Change):
    """The brake, on, and what would have been too much.

    Attributes:
        recent: What had been changed within the hour before it.
        limit: The policy's ``limits.per_hour`` then.
    """

    recent: int
    limit: int


class Brake(Record):
    """What the journal keeps of it.

    Attributes:
        schema_version: The shape of this object.
        changes: The latest ones; those of the last hour count.
        stops: What the brake is on for, each kind at most once.
        agreed: What a person released and has not been asked for again, the latest of each kind.
        released_by: Who released it last; empty where nobody ever did.
        released_at: When.
    """

    schema_version: int = SCHEMA
    changes: tuple[Change, ...] = ()
    stops: tuple[Stop, ...] = ()
    agreed: tuple[Stop, ...] = ()
    released_by: str = ""
    released_at: AwareDatetime | None = None

    def stop(self, kind: Kind) -> Stop | None:
        """Set while the brake is on for this kind."""
        return next((stop for stop in self.stops if stop.kind == kind), None)

    def after(self, asked: Change, limit: int) -> Brake:
        """The same after an entry asked for a change: it is counted, or the brake goes on; what was allowed before is not refused to a later try."""
        if self.stop(asked.kind):
            return self
        others = tuple(change for change in self.changes if asked.at - change.at < KEPT and not asked.repeats(change))
        within = [change for change in self.changes if change.kind == asked.kind and asked.at - change.at < HOUR]
        recent = sum(change.count for change in within if not asked.repeats(change))
        allowed = max((change.count for change in (*within, *self.agreed) if asked.repeats(change)), default=0)
        if recent + asked.count > limit and asked.count > allowed:
            stop = Stop(**dict(asked), recent=recent, limit=limit)
            return self.but(stops=(*self.stops, stop))
        return self.but(changes=(*others, asked), agreed=tuple(stop for stop in self.agreed if not asked.repeats(stop)))

    def released(self, stops: Sequence[Stop], by: str, now: datetime) -> Brake:
        """The same after a person let these go on.

        What they stopped goes on whatever the limit; what was changed before counts no longer, or the next plan would put the brake on again.
        """
        kinds = {stop.kind for stop in stops}
        return self.but(
            changes=tuple(change for change in self.changes if change.kind not in kinds),
            stops=tuple(stop for stop in self.stops if stop.kind not in kinds),
            agreed=(*(stop for stop in self.agreed if stop.kind not in kinds), *stops),
            released_by=by,
            released_at=now,
        )


def notice(stop: Stop, now: datetime) -> str:
    """The key of the entry that tells of it: one a day."""
    return f"{_notices(stop)}{now:%Y%m%d}"


def tells_of(key: str, stop: Stop) -> bool:
    """Whether the entry of this key tells people of this stop, and not of an earlier one."""
    return key.startswith(_notices(stop))


def _notices(stop: Stop) -> str:
    return f"{NOTICE}{stop.kind}-{stop.at:%Y%m%d%H%M%S}-"
