"""Storage says that an object was written: what is read, what is recorded, what is answered, and that nothing else happens."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from functions import triggers, wiring
from shared.errors import Denied, EventRejected, Refused, Unavailable
from shared.objects.job import Sign
from shared.objects.runs import Watch
from tests.cloud_events import object_event
from tests.stage import Crash
from tests.yard import RUNS, Yard, a_rule, the_policy

MARKER = "runs/run-1/_FAILED"
STATUS = "runs/run-1/status.json"
BY_STATUS = a_rule().replace("[failed_marker]", "[{object: status.json, has: {state: [FAILED, ABORTED]}}]")


@pytest.fixture
def yard() -> Yard:
    """A bucket with the usual policy over it."""
    return Yard(the_policy())


def calls(yard: Yard) -> list[str]:
    """From now on, every call that is made."""
    called: list[str] = []
    yard.hooks.before = called.append
    return called


def failing(yard: Yard, method: str, error: Callable[[], BaseException]) -> None:
    """Every call of a method fails, until the yard is healed."""

    def fail(called: str) -> None:
        if called == method:
            raise error()

    yard.hooks.before = fail


# a marker


def test_a_marker_is_recorded_and_nothing_else_is_done(yard: Yard) -> None:
    """Neither is the run listed nor Slack told: the next tick does both, so that the function needs no further permission."""
    yard.run()
    written = yard.put(MARKER)
    called = calls(yard)
    assert yard.notice(MARKER) == ["noticed"]
    assert set(called) == {"read", "write"}
    (entry,) = yard.open()
    assert entry.job
    assert (entry.mode, entry.job.stage, entry.job.bucket, entry.job.prefix) == ("enforce", "noticed", RUNS, "runs/run-1/")
    assert (entry.job.action, entry.job.rule, entry.job.occasion) == ("delete_run", "runs/{run}/", "failed")
    assert entry.job.sign == Sign(object=MARKER, generation=written.generation, at=written.created, words="_FAILED is there")
    assert entry.due(yard.clock.now()) == yard.clock.now()


def test_a_notice_that_comes_again_changes_nothing(yard: Yard) -> None:
    """Storage's notices come at least once, in any order."""
    yard.run()
    yard.fail()
    before = dict(yard.bucket.objects)
    assert yard.notice(MARKER) == ["known"]
    yard.tick()
    assert yard.notice(MARKER) == ["known"]
    yard.tick()
    assert len(yard.posts) == 1
    assert len(yard.bucket.objects) == len(before)


def test_a_notice_that_comes_after_its_entry_was_closed_changes_nothing(yard: Yard) -> None:
    """Even weeks later."""
    yard.announced()
    yard.ann().cancel(yard.key())
    called = calls(yard)
    assert yard.notice(MARKER) == ["known"]
    assert called == ["read"]
    assert yard.open() == []


def test_a_notice_that_comes_while_its_entry_is_being_closed_changes_nothing(yard: Yard) -> None:
    """It asks whether there is a closed one right before that is written, and records one that it takes back again."""
    yard.run()
    yard.fail()
    yard.put("runs/run-1/_SUCCESS")
    yard.meanwhile("write", lambda: yard.tick(0))
    assert yard.notice(MARKER) == ["known"]
    assert yard.open() == []
    assert yard.job().stage == "left"


def test_a_worker_that_dies_before_or_after_it_was_recorded_is_tried_again(yard: Yard) -> None:
    """Pub/Sub delivers the notice again, and it makes one entry."""
    yard.run()
    yard.put(MARKER)
    for side in ("before", "after"):
        yard.strike("write", Crash, side=side)
        with pytest.raises(Crash):
            yard.notice(MARKER)
        yard.heal()
    assert yard.notice(MARKER) == ["known"]
    assert len(yard.jobs()) == 1


def test_a_journal_that_does_not_answer_has_the_notice_delivered_again(yard: Yard) -> None:
    """Nothing is lost."""
    yard.put(MARKER)
    failing(yard, "write", lambda: Unavailable("503"))
    with pytest.raises(Unavailable):
        yard.notice(MARKER)


def test_what_matches_no_rule_is_answered_without_a_call(yard: Yard) -> None:
    """No suspect, no work."""
    for name in (
        "runs/run-1/ckpt/1.bin",
        "runs/_FAILED",
        "_FAILED",
        "runs/run-1/sub/_FAILED",
        "runs/run-1/_FAILED.txt",
        "other/run-1/_FAILED",
    ):
        yard.put(name)
        called = calls(yard)
        assert yard.notice(name) == []
        assert called == []
        yard.heal()


def test_the_mode_is_kept_with_what_was_noticed() -> None:
    """A dry run stays one, under a key of its own."""
    yard = Yard(the_policy(mode="observe"))
    yard.put(MARKER)
    assert yard.notice(MARKER) == ["noticed"]
    (entry,) = yard.open()
    assert entry.mode == "observe"
    assert entry.key.startswith("rehearsal-")


# a status file


@pytest.mark.parametrize(
    ("content", "outcome", "words"),
    [
        (b'{"state": "FAILED"}', "noticed", "status.json says state: FAILED"),
        (b'{"state": "ABORTED", "step": 7}', "noticed", "status.json says state: ABORTED"),
        (b'{"state": "RUNNING"}', "no sign", ""),
        (b"{}", "no sign", ""),
        (b"", "no sign", ""),
        (b"{", "no sign", ""),
        (b"[1]", "no sign", ""),
        (b"\xff", "no sign", ""),
    ],
)
def test_what_a_status_file_says_counts(content: bytes, outcome: str, words: str) -> None:
    """That it is there means nothing, and what cannot be understood says nothing."""
    yard = Yard(the_policy(BY_STATUS))
    yard.put(STATUS, content)
    called = calls(yard)
    assert yard.notice(STATUS) == [outcome]
    yard.heal()
    if words:
        sign = yard.job().sign
        assert sign
        assert sign.words == words
    else:
        assert called == ["read object"]
        assert yard.jobs() == {}


def test_each_writing_of_a_status_file_is_a_notice_of_its_own() -> None:
    """The one that says so is the sign."""
    yard = Yard(the_policy(BY_STATUS))
    outcomes = []
    for state in (b"RUNNING", b"RUNNING", b"FAILED"):
        yard.clock.sleep(60)
        written = yard.put(STATUS, b'{"state": "%s"}' % state)
        outcomes += yard.notice(STATUS)
    assert outcomes == ["no sign", "no sign", "noticed"]
    sign = yard.job().sign
    assert sign
    assert sign.generation == written.generation


def test_a_status_file_that_was_written_anew_meanwhile_says_nothing() -> None:
    """Only the generation that the notice names is read; the newer one has a notice of its own."""
    yard = Yard(the_policy(BY_STATUS))
    yard.put(STATUS, b'{"state": "FAILED"}')
    yard.meanwhile("read object", lambda: yard.put(STATUS, b'{"state": "RUNNING"}'))
    assert yard.notice(STATUS) == ["no sign"]
    assert yard.jobs() == {}


def test_a_status_file_that_cannot_be_read_is_reported_and_acknowledged() -> None:
    """The same notice would fail again and again; a person has to know that failures are not seen."""
    yard = Yard(the_policy(BY_STATUS))
    yard.put(STATUS, b'{"state": "FAILED"}')
    failing(yard, "read object", lambda: Refused("storage.objects.get is missing", resource=f"gs://{RUNS}/{STATUS}"))
    expected = (
        "whether a run has failed is not known, since its status file cannot be read: gs://acme-ml-runs/.*: storage.objects.get is missing"
    )
    with pytest.raises(EventRejected, match=expected) as caught:
        yard.notice(STATUS)
    assert caught.value.kind == "status-unreadable"
    assert yard.jobs() == {}


def test_a_status_file_that_is_too_large_is_reported() -> None:
    """No more than 64 KiB of one are read."""
    yard = Yard(the_policy(BY_STATUS))
    yard.put(STATUS, size=64 * 1024 + 1)
    with pytest.raises(EventRejected, match="is larger than 65,536 bytes"):
        yard.notice(STATUS)


def test_a_status_file_that_cannot_be_read_now_has_the_notice_delivered_again() -> None:
    """It may be readable in a moment."""
    yard = Yard(the_policy(BY_STATUS))
    yard.put(STATUS, b'{"state": "FAILED"}')
    failing(yard, "read object", lambda: Unavailable("503"))
    with pytest.raises(Unavailable):
        yard.notice(STATUS)
    yard.heal()
    assert yard.notice(STATUS) == ["noticed"]


def test_an_object_that_may_mean_several_things_is_asked_for_each() -> None:
    """Two rules may look into one file; each that it means something to makes an entry."""
    other = BY_STATUS.replace("runs/{run}/", "runs/{run}/sub/")
    yard = Yard(the_policy(BY_STATUS.replace("acme-ml-runs", "acme-ml-more"), BY_STATUS, other.replace("acme-ml-runs", "acme-ml-more-2")))
    yard.put(STATUS, b'{"state": "FAILED"}')
    assert yard.notice(STATUS) == ["noticed"]
    assert [job.bucket for job in yard.jobs().values()] == [RUNS]


def test_a_status_file_that_may_not_be_read_waits_until_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """A role that is missing for an hour loses no run that failed in it: the event is delivered again."""
    yard = Yard(the_policy(BY_STATUS))
    yard.put(STATUS, b'{"state": "FAILED"}')
    failing(yard, "read object", lambda: Denied("grant a role with storage.objects.get", resource=f"gs://{RUNS}/{STATUS}"))
    monkeypatch.setattr(wiring, "watchdog", yard.watchdog)
    monkeypatch.setattr(wiring, "suspects", Watch(yard.policy.artifacts).signs)
    with pytest.raises(Unavailable, match="grant a role"):
        triggers.storage_event(object_event(STATUS, RUNS))
    assert (yard.jobs(), yard.posts) == ({}, [])
    yard.hooks.before = lambda _: None
    assert yard.notice(STATUS) == ["noticed"]
    assert [job.prefix for job in yard.jobs().values()] == ["runs/run-1/"]


def test_what_turns_out_to_say_nothing_is_not_logged(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A status file is written often, and says that the run goes on."""
    caplog.set_level("INFO")
    yard = Yard(the_policy(BY_STATUS))
    yard.put(STATUS, b'{"state": "RUNNING"}')
    monkeypatch.setattr(wiring, "watchdog", yard.watchdog)
    monkeypatch.setattr(wiring, "suspects", Watch(yard.policy.artifacts).signs)
    triggers.storage_event(object_event(STATUS, RUNS))
    assert caplog.text == ""
    assert yard.jobs() == {}


def test_people_are_told_once_a_day_of_what_cannot_be_read() -> None:
    """However many status files there are."""
    yard = Yard(the_policy(BY_STATUS))
    for run in ("run-1", "run-2", "run-3"):
        yard.put(f"runs/{run}/status.json", size=2**20)
        with pytest.raises(EventRejected) as caught:
            yard.notice(f"runs/{run}/status.json")
        yard.watchdog().reject(caught.value)
    assert len(yard.posts) == 1
    assert "status-unreadable" in yard.posts[0]
    yard.clock.sleep(timedelta(days=1).total_seconds())
    yard.watchdog().reject(caught.value)
    assert len(yard.posts) == 2
