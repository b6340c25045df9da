"""An entry in one worker's hands: what the lease is worth, and when what it did is saved."""

from __future__ import annotations

from typing import Any

import pytest

from shared.entry import Entry, Lease, MessageRecord, Status, TargetRecord, UseRecord
from shared.errors import Conflict
from shared.journal import Journal, Kept
from shared.session import LEASE, SAVE_EVERY, Session
from tests.doubles import ManualClock, MemoryBucket, scaling
from tests.stage import full_name

NOW = ManualClock().now()


def target(status: Status = "verified", name: str = "ranker", told: Status | None = "verified") -> TargetRecord:
    """A service that was or will be parked."""
    use = UseRecord(action="scale_to_zero", params={"select": {"services": ["*"]}})
    warm, resource = scaling(minimum=2), full_name(name)
    return TargetRecord(
        resource=resource, kind="service", use=use, step="actual-0.8", before=warm, found=warm, wanted=scaling(), status=status, told=told
    )


def created(journal: Journal, key: str = "budget-1", **more: Any) -> Kept[Entry]:
    """A stored entry with a message that waits to be sent."""
    waiting = MessageRecord(id=f"{key}/1", channel="#c", text="t", created=NOW)
    kept = journal.create(Entry(**({"key": key, "created": NOW, "messages": (waiting,)} | more)), NOW)
    assert kept
    return kept


def test_a_write_is_not_sent_that_might_arrive_after_the_lease() -> None:
    """Half a minute is left to it, since its client gives up after that."""
    clock, journal = ManualClock(), Journal(MemoryBucket())
    session = Session.open(journal, clock, "me", created(journal))
    assert session
    clock.sleep(24)
    assert session.may_write()
    clock.sleep(1)
    assert not session.may_write()
    session.save()
    assert session.may_write()


def test_a_session_without_a_lease_may_write_nothing() -> None:
    """The record must name it first."""
    clock, journal = ManualClock(), Journal(MemoryBucket())
    assert not Session(journal, clock, "me", created(journal)).may_write()


def test_an_entry_that_carried_something_out_is_not_discarded() -> None:
    """A claim or a target is somebody's record."""
    clock, bucket = ManualClock(), MemoryBucket()
    journal = Journal(bucket)
    more: list[dict[str, Any]] = [{"claimed": True}, {"targets": (target(),)}, {}]
    for number, each in enumerate(more):
        session = Session.open(journal, clock, "me", created(journal, f"budget-{number}", **each))
        assert session
        session.discard()
    assert sorted(bucket.objects) == ["entries/budget-0.json", "entries/budget-1.json"]


def test_a_lease_keeps_others_away_for_a_minute() -> None:
    """Then whoever comes takes over, and knows that what was intended, or tried again, may be done already."""
    clock, journal = ManualClock(), Journal(MemoryBucket())
    kept = created(journal, targets=(target("intended", told=None), target("failed", "embedder"), target(name="gateway")))
    first = Session.open(journal, clock, "first", kept)
    assert first
    held = journal.load("budget-1")
    assert held
    assert Session.open(journal, clock, "second", held) is None
    assert Session.open(journal, clock, "first", held) is not None
    clock.instant += LEASE
    latest = journal.load("budget-1")
    assert latest
    second = Session.open(journal, clock, "second", latest)
    assert second
    assert [each.maybe for each in second.entry.targets] == [True, True, False]
    with pytest.raises(Conflict):
        first.save()


def test_after_a_lease_that_was_given_back_nothing_is_in_doubt() -> None:
    """All that was sent is on record then."""
    clock, journal = ManualClock(), Journal(MemoryBucket())
    first = Session.open(journal, clock, "first", created(journal, targets=(target("intended"), target("failed", "embedder"))))
    assert first
    assert not first.release()
    kept = journal.load("budget-1")
    assert kept
    second = Session.open(journal, clock, "second", kept)
    assert second
    assert not any(each.maybe for each in second.entry.targets)


def test_work_in_hand_is_saved_now_and_then_and_the_lease_with_it() -> None:
    """Every ten seconds and no oftener, since Cloud Storage takes about one write a second of one object."""
    clock, bucket = ManualClock(), MemoryBucket()
    journal = Journal(bucket)
    session = Session.open(journal, clock, "me", created(journal, targets=(target("intended"),)))
    assert session
    session.result(target("verified"))
    clock.sleep(SAVE_EVERY - 1)
    session.glance()
    kept = journal.load("budget-1")
    assert kept
    assert kept.record.targets[0].status == "intended"
    clock.sleep(1)
    session.glance()
    kept = journal.load("budget-1")
    assert kept
    assert kept.record.targets[0].status == "verified"
    assert kept.record.lease == Lease(owner="me", until=clock.now() + LEASE)
