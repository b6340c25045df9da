"""What the journal keeps of the conversation in Slack: threads, what people ask for, and the channels that cannot be reached. Pure."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Literal

from pydantic import AwareDatetime

from shared.burn import Burn
from shared.model import BudgetNotification
from shared.record import Record

SCHEMA = 1
REMEMBERED = timedelta(minutes=15)
"""For so long a request is remembered after it came, so that the same one is known when it comes again. Its signature counts for five minutes."""
TOO_LATE = timedelta(hours=1)
"""What could not be begun for so long is not done any more: whoever asked for it does not expect it now."""


class Place(Record):
    """Where a thread's headline stands in one channel.

    Attributes:
        claimed_by: Who posts it, as long as it is not posted.
        claimed_at: Since when.
        first_at: When somebody first set out to post it; None where that was `claimed_at`.
        posted: The channel's id and the message's timestamp; None until it is posted.
        shown: What it said when it was last brought up to date, as a digest.
    """

    claimed_by: str = ""
    claimed_at: AwareDatetime
    first_at: AwareDatetime | None = None
    posted: tuple[str, str] | None = None
    shown: str = ""


class Thread(Record):
    """All that is said of one budget in one of its periods.

    Attributes:
        schema_version: The shape of this object.
        name: ``ACCOUNT/ID/YYYYMMDD``.
        notice: The newest message of the budget in this period.
        burn: How fast the budget was used up then; None where that was not known.
        entries: The entries that are told of in it, in the order in which they came.
        places: Its headlines, by the channel's name or id in the policy.
        snoozed_until: Until when nothing of it is broadcast to its channels.
        snoozed_by: Who asked for that.
    """

    schema_version: int = SCHEMA
    name: str
    notice: BudgetNotification
    burn: Burn | None = None
    entries: tuple[str, ...] = ()
    places: dict[str, Place] = {}
    snoozed_until: AwareDatetime | None = None
    snoozed_by: str = ""

    @classmethod
    def of(cls, notice: BudgetNotification, burn: Burn | None) -> Thread:
        """The thread that begins with this message."""
        return cls(name=thread_name(notice), notice=notice, burn=burn)

    def told(self, notice: BudgetNotification, burn: Burn | None) -> Thread:
        """The same after a message; one that is no newer says nothing new."""
        return self.but(notice=notice, burn=burn) if notice.sent_at > self.notice.sent_at else self

    def with_entry(self, key: str) -> Thread:
        """The same with one entry more."""
        return self if key in self.entries else self.but(entries=(*self.entries, key))

    def with_place(self, channel: str, place: Place | None) -> Thread:
        """The same with the headline of a channel somewhere else, or nowhere."""
        places = {name: each for name, each in self.places.items() if name != channel}
        return self.but(places={**places, channel: place} if place else places)

    def snoozed(self, now: datetime) -> bool:
        """Whether it is to be quiet now."""
        return bool(self.snoozed_until and self.snoozed_until > now)


def thread_name(notice: BudgetNotification) -> str:
    """What the thread of a budget's period is called."""
    return f"{notice.billing_account}/{notice.budget_id}/{notice.period_start:%Y%m%d}"


class Request(Record):
    """What a person asked for in Slack: a button that was pressed, or a command that was typed.

    Attributes:
        schema_version: The shape of this object.
        key: The digest of its signature, so that the same request is the same object.
        kind: ``press`` or ``command``.
        came: When it came.
        what: The button's name; for a command the whole text.
        about: What the button is about: ``entry:KEY`` or ``thread:NAME``; empty for a command.
        value: What was chosen.
        user: The id of the person.
        user_name: Their name, as Slack gives it.
        channel: The id of the channel in which they asked.
        channel_name: Its name, as Slack gives it.
        address: Where Slack waits for the answer, for half an hour; empty once it is answered.
        state: ``new``, ``done``: it was done, and `said` is still to be told, or ``answered``.
        said: What is told to the person.
        taken_at: When somebody last began to work on it; None while nobody does.
        attempts: How often the answer could not be told.
        not_before: When to try again.
    """

    schema_version: int = SCHEMA
    key: str
    kind: Literal["press", "command"]
    came: AwareDatetime
    what: str
    about: str = ""
    value: str = ""
    user: str
    user_name: str = ""
    channel: str
    channel_name: str = ""
    address: str = ""
    state: Literal["new", "done", "answered"] = "new"
    said: str = ""
    taken_at: AwareDatetime | None = None
    attempts: int = 0
    not_before: AwareDatetime | None = None

    @property
    def open(self) -> bool:
        """Whether something is still to be done about it."""
        return self.state != "answered"

    @property
    def due(self) -> datetime:
        """When the tick is to look at it: to do what is left of it, or to forget it."""
        return (self.not_before or self.came) if self.open else self.came + REMEMBERED

    @property
    def by(self) -> str:
        """The person as the journal and other people name them."""
        return f"{self.user_name} (Slack {self.user})" if self.user_name else f"Slack {self.user}"


class Outage(Record):
    """Why messages to one channel do not arrive.

    Attributes:
        since: When the first of them was refused.
        reason: What Slack answered last.
        lasting: Whether only a person can mend it: a revoked token, a channel that is not there.
        attempts: How often it was tried in a row.
        next_at: When it is tried again; until then nothing else is.
        mended_at: When a message arrived again; what is left of the outage is to sort out what was kept meanwhile.
    """

    since: AwareDatetime
    reason: str
    lasting: bool
    attempts: int
    next_at: AwareDatetime
    mended_at: AwareDatetime | None = None


class Delivery(Record):
    """The channels that Slack does not take messages for.

    Attributes:
        schema_version: The shape of this object.
        outages: By the channel's name or id in the policy.
    """

    schema_version: int = SCHEMA
    outages: dict[str, Outage] = {}


def digest(*parts: str) -> str:
    """What tells texts apart, short enough for any of Slack's fields."""
    return hashlib.sha256("\n".join(parts).encode(errors="surrogatepass")).hexdigest()[:16]
