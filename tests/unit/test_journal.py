"""The journal's rules: who claims, when an entry is looked at again, and what is left alone."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from shared.entry import SCHEMA, Entry, Lease, MessageRecord, StepRecord, TargetRecord, UnseenRecord, UseRecord, backoff
from shared.errors import Conflict, JournalError
from shared.journal import BudgetState, Holds, Journal, Kept, SeriesPoint
from tests.doubles import ManualClock, MemoryBucket, scaling
from tests.envelopes import ACCOUNT, BUDGET, PERIOD
from tests.stage import Crash, full_name

NOW = ManualClock().now()
MINUTE = timedelta(minutes=1)


@pytest.fixture
def bucket() -> MemoryBucket:
    """The state bucket."""
    return MemoryBucket()


@pytest.fixture
def journal(bucket: MemoryBucket) -> Journal:
    """A journal on it."""
    return Journal(bucket)


def entry(key: str = "budget-1", **more: Any) -> Entry:
    """An entry that waits for a message to be sent, unless it is said otherwise."""
    waiting = MessageRecord(id=f"{key}/1", channel="#c", text="t", created=NOW)
    return Entry(**({"key": key, "created": NOW, "messages": (waiting,)} | more))


def step(state: str, **more: Any) -> StepRecord:
    """A step that people know of."""
    given: dict[str, Any] = {"key": "actual-0.8", "at": Decimal("0.8"), "on": "actual", "uses": (), "state": state, "told": True}
    return StepRecord(**(given | more))


def target(status: str = "verified", **more: Any) -> TargetRecord:
    """A parked service that people know of."""
    given: dict[str, Any] = {
        "resource": full_name("ranker"),
        "kind": "service",
        "use": UseRecord(action="scale_to_zero", params={"select": {"services": ["*"]}}),
        "step": "actual-0.8",
        "before": scaling(minimum=2),
        "found": scaling(minimum=2),
        "wanted": scaling(),
        "status": status,
        "told": status,
    }
    return TargetRecord(**(given | more))


def created(journal: Journal, made: Entry) -> Kept[Entry]:
    """The entry as it is stored."""
    kept = journal.create(made, NOW)
    assert kept
    return kept


# the claim


def test_of_two_who_record_one_plan_one_wins(journal: Journal) -> None:
    """Creating the object is the claim."""
    assert journal.create(entry(messages=()), NOW) is not None
    assert journal.create(entry(), NOW) is None
    kept = journal.load("budget-1")
    assert kept
    assert kept.record.messages == ()


def test_a_plan_that_was_closed_is_not_recorded_again(journal: Journal, bucket: MemoryBucket) -> None:
    """Whoever comes late finds it filed away, and leaves nothing open behind."""
    journal.close(created(journal, entry()))
    assert journal.create(entry(), NOW) is None
    assert sorted(bucket.objects) == ["closed/budget-1.json"]
    assert journal.load_closed("budget-1") == entry()
    assert journal.load_closed("budget-2") is None


def test_a_crash_while_closing_is_mended_by_closing_again(journal: Journal, bucket: MemoryBucket) -> None:
    """The copy is written before the original is deleted, so the entry is never nowhere."""
    kept = created(journal, entry())

    def die(method: str) -> None:
        if method == "delete":
            raise Crash

    bucket.hooks.before = die
    with pytest.raises(Crash):
        journal.close(kept)
    bucket.hooks.before = lambda _: None
    assert sorted(bucket.objects) == ["closed/budget-1.json", "entries/budget-1.json"]
    journal.close(kept)
    assert sorted(bucket.objects) == ["closed/budget-1.json"]


def test_a_save_names_the_version_that_it_replaces(journal: Journal) -> None:
    """Two who read the same entry cannot both write it."""
    kept = created(journal, entry())
    newer = journal.save(kept, entry(claimed=True), NOW)
    with pytest.raises(Conflict):
        journal.save(kept, entry(), NOW)
    assert journal.load("budget-1") == newer


def test_an_entry_reads_back_as_it_was_written(journal: Journal) -> None:
    """Numbers keep their type, 3 stays 3 and absent stays absent."""
    whole = entry(
        targets=(target(before=scaling(mode="manual", count=3)),),
        unseen=(UnseenRecord(project="p", region="r", kind="k", reason="x", retry_at=NOW),),
    )
    created(journal, whole)
    kept = journal.load("budget-1")
    assert kept
    assert kept.record == whole
    assert type(kept.record.targets[0].before["count"]) is int
    assert kept.record.targets[0].wanted["count"] is None


def test_what_reads_back_differently_stops_everything(journal: Journal, bucket: MemoryBucket) -> None:
    """Before anything is changed on its word, the entry is read back; another content is an error, another version means others."""
    kept = created(journal, entry())
    journal.confirm(kept)
    data, generation, metadata = bucket.objects.pop("entries/budget-1.json")
    with pytest.raises(Conflict, match="was written by somebody else right after us"):
        journal.confirm(kept)
    bucket.objects["entries/budget-1.json"] = (data, generation + 1, metadata)
    with pytest.raises(Conflict, match="was written by somebody else right after us"):
        journal.confirm(kept)
    bucket.objects["entries/budget-1.json"] = (b"{}", generation, metadata)
    with pytest.raises(JournalError, match=r"entries/budget-1\.json: reads differently from what was written, so nothing was changed"):
        journal.confirm(kept)


def test_an_entry_that_carried_nothing_out_can_be_dropped(journal: Journal, bucket: MemoryBucket) -> None:
    """Unless somebody else has written it meanwhile: then it is theirs."""
    kept = created(journal, entry())
    journal.save(kept, entry(), NOW)
    journal.discard(kept)
    assert list(bucket.objects) == ["entries/budget-1.json"]
    again = journal.load("budget-1")
    assert again
    journal.discard(again)
    assert not bucket.objects


# the agenda

AGENDA = [
    (entry(), NOW, "a message that waits to be sent"),
    (entry(messages=()), NOW, "nothing left to do, and not closed yet"),
    (entry(messages=(), steps=(step("waiting", opens_at=NOW + 30 * MINUTE),)), NOW + 30 * MINUTE, "a wait"),
    (entry(messages=(), steps=(step("waiting"),)), NOW, "a wait without an end"),
    (entry(messages=(), steps=(step("planned", told=False),)), NOW, "a step that people were not told of"),
    (entry(messages=(), steps=(step("open"),)), NOW, "a step to be planned"),
    (entry(messages=(), targets=(target("intended"),)), NOW, "a change to be made"),
    (entry(messages=(), targets=(target("failed", retry_at=NOW + 8 * MINUTE),)), NOW + 8 * MINUTE, "a failure to be tried again"),
    (entry(messages=(), targets=(target("restored", told="restoring"),)), NOW, "news"),
    (entry(messages=(), targets=(target(),)), NOW, "parked and not looked at yet"),
    (entry(messages=(), targets=(target(),), look_at=NOW + 15 * MINUTE), NOW + 15 * MINUTE, "parked"),
    (entry(messages=(), unseen=(UnseenRecord(project="p", region="r", kind="k", reason="x", retry_at=NOW + 4 * MINUTE),)), NOW + 4 * MINUTE, "a region not seen"),
    (entry(lease=Lease(owner="me", until=NOW + MINUTE)), NOW + MINUTE, "in somebody's hands"),
]  # fmt: skip


@pytest.mark.parametrize(("made", "due", "why"), AGENDA, ids=[why for _, _, why in AGENDA])
def test_an_entry_is_due_when_there_is_something_to_do(journal: Journal, made: Entry, due: Any, why: str) -> None:
    """The listing alone tells the tick, and not a second too early."""
    created(journal, made)
    if due > NOW:
        assert journal.agenda(due - timedelta(seconds=1)) == [], why
    assert journal.agenda(due) == ["budget-1"]


@pytest.mark.parametrize("state", ["approval", "refused"])
def test_an_entry_that_waits_for_a_yes_stays_open_and_is_not_read(journal: Journal, state: str) -> None:
    """Nothing but a person can carry it on."""
    created(journal, entry(messages=(), steps=(step(state),)))
    assert journal.agenda(NOW + timedelta(days=365 * 100)) == []
    assert journal.keys() == ["budget-1"]


def test_the_longest_overdue_comes_first(journal: Journal) -> None:
    """So nobody starves behind others that are always due."""
    for key, minutes in (("a", 3), ("b", 1), ("c", 2)):
        created(journal, entry(key, messages=(), targets=(target(),), look_at=NOW + minutes * MINUTE))
    assert journal.agenda(NOW + 3 * MINUTE) == ["b", "c", "a"]
    assert journal.agenda(NOW + 2 * MINUTE) == ["b", "c"]


@pytest.mark.parametrize(
    "metadata",
    [{}, {"due": "soon"}, {"due": "2026-12-01"}, {"due": "2999-01-01T00:00:00"}],
    ids=["none", "no time", "no zone", "no zone, later"],
)
def test_an_entry_that_says_no_time_is_due(journal: Journal, bucket: MemoryBucket, metadata: dict[str, str]) -> None:
    """Somebody may have copied the object back by hand; it is looked at rather than forgotten, and hides no other."""
    created(journal, entry("a"))
    bucket.objects["entries/b.json"] = (b"{}", 1, metadata)
    assert sorted(journal.agenda(NOW)) == ["a", "b"]


# what cannot be read


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "entries/x.json: cannot be read (the whole: "),
        (b"{", "entries/x.json: cannot be read (the whole: "),
        (b'{"schema_version": 1, "key": 5}', "entries/x.json: cannot be read (key: "),
        (entry("x").model_dump_json().replace('"key"', '"kee"').encode(), "entries/x.json: cannot be read (key: "),
        (json.dumps({"schema_version": SCHEMA + 1, "key": "x", "wings": 2}).encode(), "entries/x.json: was written by a newer version of the watchdog"),
    ],
    ids=["empty", "cut off", "wrong types", "an unknown field", "newer"],
)  # fmt: skip
def test_what_cannot_be_read_is_said_and_left_alone(journal: Journal, bucket: MemoryBucket, data: bytes, sentence: str) -> None:
    """It may hold the only record of what was there before, so nothing overwrites it."""
    bucket.objects["entries/x.json"] = (data, 7, {})
    with pytest.raises(JournalError) as error:
        journal.load("x")
    assert str(error.value).startswith(sentence)
    assert str(error.value).split(" and is left alone; ")[1]
    assert journal.survey("").entries == ()
    assert journal.create(entry("x"), NOW) is None
    assert bucket.objects["entries/x.json"] == (data, 7, {})


def test_what_an_unreadable_entry_names_is_known_all_the_same(journal: Journal, bucket: MemoryBucket) -> None:
    """Whatever it parked must not be parked anew with the parked state as the original; its names can be read in any shape."""
    whole = entry("budget-x", targets=(target(),))
    bucket.objects["entries/budget-x.json"] = (whole.model_dump_json().encode()[:-1], 7, {})
    created(journal, entry("budget-y", targets=(target(resource=full_name("gateway")),)))
    survey = journal.survey("budget-")
    assert [fault.name for fault in survey.faults] == ["entries/budget-x.json"]
    assert survey.unknown == {full_name("ranker")}
    assert [each.key for each in survey.entries] == ["budget-y"]
    assert journal.survey("notice-").faults == ()


def test_an_unreadable_entry_that_is_deleted_meanwhile_names_nothing(journal: Journal, bucket: MemoryBucket) -> None:
    """Somebody mends it at that moment."""
    bucket.objects["entries/budget-x.json"] = (b"{", 7, {})
    reads: list[str] = []

    def vanish(method: str) -> None:
        reads.append(method)
        if reads.count("read") == 2:
            bucket.objects.clear()

    bucket.hooks.before = vanish
    assert journal.survey("").unknown == frozenset()


def test_open_entries_leave_out_what_closes_meanwhile(journal: Journal, bucket: MemoryBucket) -> None:
    """Listed, and gone when it is read: that is no error."""
    kept = created(journal, entry("a"))
    created(journal, entry("b"))
    bucket.hooks.after = lambda method: journal.close(kept) if method == "list" else None
    assert [each.key for each in journal.survey("").entries] == ["b"]


# budgets and holds


def state(*points: SeriesPoint) -> BudgetState:
    """What is known of a budget."""
    return BudgetState(period_start=PERIOD, last_sent_at=NOW, series=points)


def point(minutes: int) -> SeriesPoint:
    """A message that was sent then."""
    return SeriesPoint(at=NOW + minutes * MINUTE, cost=Decimal(minutes), amount=Decimal(100))


def test_what_is_known_of_a_budget_is_replaced_by_whoever_read_it_last(journal: Journal) -> None:
    """Two at once do not overwrite each other's claims."""
    assert journal.budget(ACCOUNT, BUDGET) is None
    first = journal.save_budget(ACCOUNT, BUDGET, None, state())
    with pytest.raises(Conflict):
        journal.save_budget(ACCOUNT, BUDGET, None, state())
    assert journal.budget(ACCOUNT, BUDGET) == first
    journal.save_budget(ACCOUNT, BUDGET, first, state(point(1)))
    with pytest.raises(Conflict):
        journal.save_budget(ACCOUNT, BUDGET, first, state())


def test_the_series_is_in_the_order_of_sending_and_knows_each_message_once() -> None:
    """Messages come twice and out of order."""
    known = state().with_point(point(5)).with_point(point(3)).with_point(point(5))
    assert known.series == (point(3), point(5))
    assert known.last_sent_at == NOW + 5 * MINUTE


def test_a_long_series_is_thinned_and_keeps_its_newest_point() -> None:
    """A few hundred points draw any curve, and the newest is the one that counts."""
    known = state()
    for minutes in range(1200):
        known = known.with_point(point(minutes))
        assert len(known.series) <= 500
        assert known.series[-1] == point(minutes)
    assert known.series[0] == point(0)


def test_holds_are_replaced_as_a_whole(journal: Journal) -> None:
    """None is the beginning, and two at once do not overwrite each other."""
    kept = journal.holds()
    assert kept == Kept(Holds(), 0)
    journal.save_holds(kept, Holds(until={"ranker": NOW}))
    with pytest.raises(Conflict):
        journal.save_holds(kept, Holds())
    assert journal.holds().record.until == {"ranker": NOW}


# waits


def test_waits_double_and_are_bounded() -> None:
    """However often it failed."""
    assert [backoff(attempts).total_seconds() / 60 for attempts in (0, 1, 2, 3, 7, 8, 10_000)] == [1, 1, 2, 4, 60, 60, 60]
