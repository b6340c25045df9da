"""The brake: how much the watchdog changed within the hour, by all plans together, and whether it has stopped itself. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from pydantic import AwareDatetime

from shared.record import Record

SCHEMA = 1
HOUR = timedelta(hours=1)
NOTICE = "notice-brake-"
"""How the keys of the entries begin that tell people of it."""


class Change(Record):
    """What one plan was allowed to change.

    Attributes:
        at: When it was allowed to.
        count: Resources, or runs.
    """

    at: AwareDatetime
    count: int


class Stop(Record):
    """The brake, on.

    Attributes:
        at: Since when.
        entry: The key of the entry that would have been too much.
        count: What it was about to change.
        recent: What had been changed within the hour before it.
        limit: The policy's ``limits.per_hour`` then.
    """

    at: AwareDatetime
    entry: str
    count: int
    recent: int
    limit: int


class Brake(Record):
    """What the journal keeps of it.

    Attributes:
        schema_version: The shape of this object.
        changes: Those of the last hour.
        stop: Set while the brake is on.
        released_by: Who released it last; empty where nobody ever did.
        released_at: When.
    """

    schema_version: int = SCHEMA
    changes: tuple[Change, ...] = ()
    stop: Stop | None = None
    released_by: str = ""
    released_at: AwareDatetime | None = None

    def after(self, entry: str, count: int, limit: int, now: datetime) -> Brake:
        """The same after an entry asked for so many changes: they are counted, or the brake goes on."""
        if self.stop:
            return self
        changes = tuple(change for change in self.changes if now - change.at < HOUR)
        recent = sum(change.count for change in changes)
        if recent + count > limit:
            return self.but(changes=changes, stop=Stop(at=now, entry=entry, count=count, recent=recent, limit=limit))
        return self.but(changes=(*changes, Change(at=now, count=count)))

    def released(self, by: str, now: datetime) -> Brake:
        """The same after a person let it go on; what was changed before counts no longer, or the next plan would put it on again."""
        return self.but(changes=(), stop=None, released_by=by, released_at=now)


def notice(stop: Stop, now: datetime) -> str:
    """The key of the entry that tells of it: one a day."""
    return f"{_notices(stop)}{now:%Y%m%d}"


def tells_of(key: str, stop: Stop) -> bool:
    """Whether the entry of this key tells people of this stop, and not of an earlier one."""
    return key.startswith(_notices(stop))


def _notices(stop: Stop) -> str:
    return f"{NOTICE}{stop.at:%Y%m%d%H%M%S}-"
