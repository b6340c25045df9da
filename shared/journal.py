"""The journal on the state bucket: entries, what is known of each budget, and holds. Every write names the generation that it replaces.

entries/KEY.json            open entries; the object's metadata says when to look at it again, so that a listing is the agenda
closed/KEY.json             entries with nothing left to do
budgets/ACCOUNT/ID.json     the newest period of a budget, and which entry carries out which of its steps
holds.json                  services that a person protects for a time
manifests/KEY/NAME          the objects that an entry is about to change, written before the first of them is
rules/ID.json               what one rule about artifacts deleted lately, and how far its look for abandoned runs is
watch.json                  since when budgets are silent, and what people were told of it
rights.json                 what the watchdog found that it may and may not do
threads/ACCOUNT/ID/DAY.json where the headline of a budget's period stands in Slack, and what belongs below it
requests/ID.json            what people asked for in Slack, from the moment it came until it cannot come again
delivery.json               the channels that Slack does not take messages for
brake.json                  what was changed within the hour, and whether that was too much
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Generic, TypeVar
from urllib.parse import quote, unquote

from pydantic import AwareDatetime, BaseModel, ValidationError

from shared.blind import Voice, Watch
from shared.brake import Brake
from shared.entry import SCHEMA, Entry
from shared.errors import Conflict, JournalError
from shared.objects.ledger import Ledger
from shared.ports import Listed, StateBucket
from shared.record import Record
from shared.rights import Rights
from shared.slack.conversation import Delivery, Request, Thread
from shared.sound import fault

AnyRecord = TypeVar("AnyRecord", bound=Record)
_OPEN, _CLOSED, _BUDGETS, _HOLDS = "entries/", "closed/", "budgets/", "holds.json"
_MANIFESTS, _RULES, _WATCH, _RIGHTS = "manifests/", "rules/", "watch.json", "rights.json"
_THREADS, _REQUESTS, _DELIVERY, _BRAKE = "threads/", "requests/", "delivery.json", "brake.json"
BUDGET_ENTRIES = "budget-"
"""How the keys of entries begin that may hold resources."""
_RESOURCE = re.compile(rb'"(projects/[^"]+/locations/[^"]+/[^"/]+/[^"/]+)"')
_EDGE = re.compile(rb'"(?:0\d{3}-|9999-12-)\d\d')
"""A time in a year before 1000 or in the very last month, with which nothing can be calculated; no watchdog writes one."""
_SERIES_LIMIT = 500
_LONG_AGO = datetime.fromtimestamp(0, UTC)


class SeriesPoint(Record):
    """One budget message, remembered.

    Attributes:
        at: When it was sent.
        cost: The spend it told.
        amount: The budget's amount then.
    """

    at: AwareDatetime
    cost: Decimal
    amount: Decimal


class BudgetState(Record):
    """What is known of one budget.

    Attributes:
        schema_version: The shape of this object.
        period_start: The newest period seen; messages of an older one are ignored.
        claims: In that period, which entry carries out which step; keys begin with ``observe/`` for dry runs.
        last_sent_at: When the newest message was sent.
        series: The period's messages in the order of their sending, thinned to a few hundred.
        ended: Entries of ended periods that could not be read when their period ended, and are still to be put back.
        name: The budget's display name, as the newest message of any period told it.
        currency: The budget's currency, likewise, ISO 4217.
        heard_at: When that message was sent; None where that was not recorded.
    """

    schema_version: int = SCHEMA
    period_start: AwareDatetime
    claims: dict[str, str] = {}
    last_sent_at: AwareDatetime
    series: tuple[SeriesPoint, ...] = ()
    ended: tuple[str, ...] = ()
    name: str = ""
    currency: str = ""
    heard_at: AwareDatetime | None = None

    def heard(self, name: str, currency: str, at: datetime) -> BudgetState:
        """The same after one more message of any period; one that is no newer than the newest says nothing new."""
        return self if self.heard_at and at <= self.heard_at else self.but(name=name, currency=currency, heard_at=at)

    def with_point(self, point: SeriesPoint) -> BudgetState:
        """The same with one more message; a message seen before adds nothing."""
        if point in self.series:
            return self
        series = sorted((*self.series, point), key=lambda each: each.at)
        if len(series) > _SERIES_LIMIT:
            series = [*series[:-1:2], series[-1]]
        return self.but(series=tuple(series), last_sent_at=max(self.last_sent_at, point.at))


class Holds(Record):
    """Services that a person protects for a time: until when, by name or full name.

    Attributes:
        schema_version: The shape of this object.
        until: The end of each hold.
        by: Who asked for each.
    """

    schema_version: int = SCHEMA
    until: dict[str, AwareDatetime] = {}
    by: dict[str, str] = {}

    def reason(self, resource: str, now: datetime) -> str | None:
        """Why the resource is not to be touched now, or None."""
        for name in (resource, resource.rsplit("/", 1)[-1]):
            end = self.until.get(name)
            if end is not None and end > now:
                return f"held until {end:%Y-%m-%d %H:%M} UTC by {self.by.get(name, 'somebody')}"
        return None


@dataclass(frozen=True, slots=True)
class Kept(Generic[AnyRecord]):
    """A record with the generation under which it is stored; 0 where it is not stored yet."""

    record: AnyRecord
    generation: int


@dataclass(frozen=True, slots=True)
class Survey:
    """The open entries at one look.

    Attributes:
        entries: Those that can be read.
        faults: What is wrong with each of the others.
        unknown: Every resource that is named anywhere in those others: it may be parked, and nobody knows from what.
    """

    entries: tuple[Entry, ...]
    faults: tuple[JournalError, ...]
    unknown: frozenset[str]


class Journal:
    """Reads and writes the state bucket. Raises `CloudError` where the bucket does not answer and `JournalError` where an object cannot be read."""

    def __init__(self, bucket: StateBucket) -> None:
        """Take the bucket in hand."""
        self._bucket = bucket

    # entries

    def create(self, entry: Entry, now: datetime) -> Kept[Entry] | None:
        """Record a new entry; None where one of this key exists, or existed and was closed."""
        try:
            kept = self.save(Kept(entry, 0), entry, now)
        except Conflict:
            return None
        # An entry leaves `entries/` only after its copy stands in `closed/`, so looking there afterwards cannot miss it.
        if self.was_closed(entry.key):
            self._bucket.delete(_open(entry.key), generation=kept.generation)
            return None
        return kept

    def load(self, key: str) -> Kept[Entry] | None:
        """The open entry of this key, or None."""
        return self._read(_open(key), Entry)

    def load_closed(self, key: str) -> Entry | None:
        """The closed entry of this key, or None."""
        kept = self._read(_closed(key), Entry)
        return kept.record if kept else None

    def was_closed(self, key: str) -> bool:
        """Whether an entry of this key was filed away, readable or not."""
        return self._bucket.read(_closed(key)) is not None

    def save(self, kept: Kept[Entry], entry: Entry, now: datetime) -> Kept[Entry]:
        """Replace the entry.

        Raises:
            Conflict: Somebody else wrote it meanwhile.
        """
        due = entry.due(now) or now
        if entry.lease and entry.lease.until > due:
            due = entry.lease.until
        data = entry.model_dump_json().encode()
        metadata = {"due": due.isoformat()} | ({"stage": entry.job.stage} if entry.job else {})
        generation = self._bucket.write(_open(entry.key), data, generation=kept.generation, metadata=metadata)
        return Kept(entry, generation)

    def confirm(self, kept: Kept[Entry]) -> None:
        """Read the entry back and compare, before anything is changed on its word.

        Raises:
            Conflict: Somebody else wrote it meanwhile.
            JournalError: What is stored is not what was written.
        """
        name = _open(kept.record.key)
        stored = self._bucket.read(name)
        if stored is None or stored.generation != kept.generation:
            raise Conflict("was written by somebody else right after us", resource=name)
        if stored.data != kept.record.model_dump_json().encode():
            raise JournalError(
                name, "reads differently from what was written, so nothing was changed; see who else writes to the state bucket"
            )

    def discard(self, kept: Kept[Entry]) -> None:
        """Delete an entry that never carried anything out."""
        with contextlib.suppress(Conflict):
            self._bucket.delete(_open(kept.record.key), generation=kept.generation)

    def close(self, kept: Kept[Entry]) -> None:
        """File the entry away; a crash between the two writes is mended by doing it again."""
        name = _closed(kept.record.key)
        stored = self._bucket.read(name)
        if stored is None:
            metadata = {"created": kept.record.created.isoformat()}
            self._bucket.write(name, kept.record.model_dump_json().encode(), generation=0, metadata=metadata)
        self._bucket.delete(_open(kept.record.key), generation=kept.generation)

    def keys(self, prefix: str = "") -> list[str]:
        """The keys of all open entries that begin with the prefix."""
        return [_key(listed.name) for listed in self._bucket.list(_OPEN + prefix)]

    def closed_keys(self, prefix: str) -> list[str]:
        """The keys of all closed entries that begin with the prefix."""
        return [listed.name.removeprefix(_CLOSED).removesuffix(".json") for listed in self._bucket.list(_CLOSED + prefix)]

    def closed_since(self, instant: datetime) -> list[str]:
        """The keys of the closed entries that were made since then, the newest first."""
        listed = ((_instant(each.metadata.get("created", "")), each.name) for each in self._bucket.list(_CLOSED))
        return [name.removeprefix(_CLOSED).removesuffix(".json") for at, name in sorted(listed, reverse=True) if at >= instant]

    def stages(self, prefix: str) -> dict[str, tuple[str, datetime]]:
        """The stages of the open entries about objects whose keys begin with the prefix, and when they are due; no entry is read for it."""
        listed = self._bucket.list(_OPEN + prefix)
        return {
            _key(each.name): (each.metadata["stage"], _instant(each.metadata.get("due", ""))) for each in listed if "stage" in each.metadata
        }

    def agenda(self, now: datetime) -> list[str]:
        """The keys of the open entries that are due, the longest overdue first; what says no time is due."""
        due = ((_instant(listed.metadata.get("due", "")), _key(listed.name)) for listed in self._bucket.list(_OPEN))
        return [key for at, key in sorted(due) if at <= now]

    def survey(self, prefix: str) -> Survey:
        """All open entries whose keys begin with the prefix: those that can be read, and what is known of the others."""
        entries, faults = [], []
        names: set[str] = set()
        for key in self.keys(prefix):
            try:
                kept = self.load(key)
            except JournalError as error:
                faults.append(error)
                stored = self._bucket.read(error.name)
                names.update(match.decode(errors="replace") for match in _RESOURCE.findall(stored.data if stored else b""))
                continue
            if kept:
                entries.append(kept.record)
        return Survey(tuple(entries), tuple(faults), frozenset(names))

    # objects

    def manifests(self, key: str) -> str:
        """How the names of an entry's manifests begin."""
        return f"{_MANIFESTS}{key}/"

    def keep_manifest(self, name: str, data: bytes) -> None:
        """Write a manifest; it is never written again.

        Raises:
            Conflict: There is one of this name.
        """
        self._bucket.write(name, data, generation=0)

    def manifest(self, name: str) -> bytes:
        """A manifest.

        Raises:
            JournalError: It is not there any more.
        """
        stored = self._bucket.read(name)
        if stored is None:
            raise JournalError(
                name, "is gone, so what it lists can neither be deleted nor put back; put an earlier version of the object back"
            )
        return stored.data

    def ledger(self, rule: str) -> Kept[Ledger] | None:
        """What is known of one rule about artifacts, or None."""
        return self._read(f"{_RULES}{rule}.json", Ledger)

    def save_ledger(self, rule: str, kept: Kept[Ledger] | None, ledger: Ledger) -> Kept[Ledger]:
        """Replace what is known of a rule.

        Raises:
            Conflict: Somebody else wrote it meanwhile.
        """
        data = ledger.model_dump_json().encode()
        return Kept(ledger, self._bucket.write(f"{_RULES}{rule}.json", data, generation=kept.generation if kept else 0))

    # budgets

    def budget(self, account: str, budget: str) -> Kept[BudgetState] | None:
        """What is known of a budget, or None."""
        return self._read(_budget(account, budget), BudgetState)

    def save_budget(self, account: str, budget: str, kept: Kept[BudgetState] | None, state: BudgetState) -> Kept[BudgetState]:
        """Replace what is known of a budget.

        Raises:
            Conflict: Somebody else wrote it meanwhile.
        """
        data = state.model_dump_json().encode()
        # Metadata is ASCII, so that it passes through every API of Cloud Storage.
        metadata = {"name": quote(state.name), "heard": state.heard_at.isoformat()} if state.heard_at else {}
        generation = self._bucket.write(_budget(account, budget), data, generation=kept.generation if kept else 0, metadata=metadata)
        return Kept(state, generation)

    def voices(self) -> list[Voice]:
        """Every budget of which a message ever came; no record is read for it."""
        return [_voice(listed) for listed in self._bucket.list(_BUDGETS)]

    def watch(self) -> Kept[Watch] | None:
        """What is known of the budgets' silence, or None."""
        return self._read(_WATCH, Watch)

    def save_watch(self, kept: Kept[Watch] | None, watch: Watch) -> Kept[Watch]:
        """Replace what is known of the budgets' silence.

        Raises:
            Conflict: Somebody else wrote it meanwhile.
        """
        return Kept(watch, self._bucket.write(_WATCH, watch.model_dump_json().encode(), generation=kept.generation if kept else 0))

    # Slack

    def thread(self, name: str) -> Kept[Thread] | None:
        """The thread of this name, or None."""
        return self._read(f"{_THREADS}{name}.json", Thread)

    def save_thread(self, kept: Kept[Thread] | None, thread: Thread) -> Kept[Thread]:
        """Replace what is known of a thread.

        Raises:
            Conflict: Somebody else wrote it meanwhile.
        """
        data = thread.model_dump_json().encode()
        return Kept(thread, self._bucket.write(f"{_THREADS}{thread.name}.json", data, generation=kept.generation if kept else 0))

    def request(self, key: str) -> Kept[Request] | None:
        """What somebody asked for in Slack, or None."""
        return self._read(f"{_REQUESTS}{key}.json", Request)

    def save_request(self, kept: Kept[Request] | None, request: Request) -> Kept[Request]:
        """Record a request, or what became of it.

        Raises:
            Conflict: It is recorded already, or somebody else works on it.
        """
        data, name = request.model_dump_json().encode(), f"{_REQUESTS}{request.key}.json"
        metadata = {"due": request.due.isoformat(), "open": "yes" if request.open else "no"}
        return Kept(request, self._bucket.write(name, data, generation=kept.generation if kept else 0, metadata=metadata))

    def requests(self, now: datetime) -> list[tuple[str, bool]]:
        """The keys of the requests that are due, and whether something is still to be done about each; what says no time is due."""
        listed = self._bucket.list(_REQUESTS)
        return [
            (each.name.removeprefix(_REQUESTS).removesuffix(".json"), each.metadata.get("open") == "yes")
            for each in listed
            if _instant(each.metadata.get("due", "")) <= now
        ]

    def forget_request(self, key: str) -> None:
        """Delete a request that cannot come again."""
        name = f"{_REQUESTS}{key}.json"
        stored = self._bucket.read(name)
        if stored:
            self._bucket.delete(name, generation=stored.generation)

    def delivery(self) -> Kept[Delivery] | None:
        """The channels that Slack does not take messages for, or None."""
        return self._read(_DELIVERY, Delivery)

    def save_delivery(self, kept: Kept[Delivery] | None, delivery: Delivery) -> Kept[Delivery]:
        """Replace what is known of the channels.

        Raises:
            Conflict: Somebody else wrote it meanwhile.
        """
        return Kept(delivery, self._bucket.write(_DELIVERY, delivery.model_dump_json().encode(), generation=kept.generation if kept else 0))

    # the brake

    def brake(self) -> Kept[Brake] | None:
        """What was changed within the hour, and whether the brake is on; None where nothing ever was."""
        return self._read(_BRAKE, Brake)

    def save_brake(self, kept: Kept[Brake] | None, brake: Brake) -> Kept[Brake]:
        """Replace what is known of the brake.

        Raises:
            Conflict: Somebody else wrote it meanwhile.
        """
        return Kept(brake, self._bucket.write(_BRAKE, brake.model_dump_json().encode(), generation=kept.generation if kept else 0))

    # rights

    def rights(self) -> Kept[Rights] | None:
        """What the last test of the watchdog's own permissions found, or None."""
        return self._read(_RIGHTS, Rights)

    def save_rights(self, kept: Kept[Rights] | None, rights: Rights) -> None:
        """Replace what is known of the watchdog's own permissions.

        Raises:
            Conflict: Somebody else wrote it meanwhile.
        """
        self._bucket.write(_RIGHTS, rights.model_dump_json().encode(), generation=kept.generation if kept else 0)

    # holds

    def holds(self) -> Kept[Holds]:
        """The holds, ended ones among them."""
        return self._read(_HOLDS, Holds) or Kept(Holds(), 0)

    def save_holds(self, kept: Kept[Holds], holds: Holds) -> None:
        """Replace the holds.

        Raises:
            Conflict: Somebody else wrote them meanwhile.
        """
        self._bucket.write(_HOLDS, holds.model_dump_json().encode(), generation=kept.generation)

    def _read(self, name: str, shape: type[AnyRecord]) -> Kept[AnyRecord] | None:
        stored = self._bucket.read(name)
        if stored is None:
            return None
        if _EDGE.search(stored.data):
            raise JournalError(name, "names a time at the edge of the calendar and is left alone; restore an earlier version of the object")
        if _newer(stored.data):
            raise JournalError(name, "was written by a newer version of the watchdog and is left alone; deploy that version again")
        try:
            record = shape.model_validate_json(stored.data)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "the whole"
            raise JournalError(
                name, f"cannot be read ({where}: {first['msg']}) and is left alone; restore an earlier version of the object"
            ) from error
        if wrong := _wrong(record, name):
            raise JournalError(name, f"{wrong}, and is left alone; restore an earlier version of the object")
        return Kept(record, stored.generation)


def _wrong(record: Record, name: str) -> str | None:
    """What is wrong with what was read under a name; None where nothing is."""
    if isinstance(record, Entry):
        return fault(record, name.removeprefix(_OPEN).removeprefix(_CLOSED).removesuffix(".json"))
    if isinstance(record, Request) and name != f"{_REQUESTS}{record.key}.json":
        return f"is the request {record.key!r} under another name"
    if isinstance(record, Thread) and name != f"{_THREADS}{record.name}.json":
        return f"is the thread {record.name!r} under another name"
    return None


class _Version(BaseModel):
    schema_version: int


def _newer(data: bytes) -> bool:
    try:
        return _Version.model_validate_json(data).schema_version > SCHEMA
    except ValidationError:
        return False


def _open(key: str) -> str:
    return f"{_OPEN}{key}.json"


def _closed(key: str) -> str:
    return f"{_CLOSED}{key}.json"


def _budget(account: str, budget: str) -> str:
    return f"{_BUDGETS}{account}/{budget}.json"


def _voice(listed: Listed) -> Voice:
    account, _, budget = listed.name.removeprefix(_BUDGETS).removesuffix(".json").partition("/")
    heard_at = _instant(listed.metadata.get("heard", ""))
    name = unquote(listed.metadata.get("name", ""))
    return Voice(account, budget, name, None if heard_at == _LONG_AGO else heard_at)


def _key(name: str) -> str:
    return name.removeprefix(_OPEN).removesuffix(".json")


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return _LONG_AGO
    return instant if instant.tzinfo else _LONG_AGO
