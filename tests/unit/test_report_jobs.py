"""Messages about work on objects: each kind against its golden file, and all of them against Slack's limits and against hostile names.

``UPDATE_GOLDEN=1`` writes the golden files anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.entry import Entry
from shared.model import BudgetNotification
from shared.objects.job import Bucket, ClassTally, Job, Portion, Remainder, Sign, Tally
from shared.report import jobs as report
from shared.report.job_parts import MANNERS
from shared.report.letter import Letter
from tests.unit.test_report import ANY_TEXT, HOSTILE, check_letter, golden, notification

GIB = 2**30
NOW = datetime(2026, 11, 24, 14, tzinfo=UTC)
KEY = "run-5b0a61c2d4-77e0f3a9b1-bert_7-1795528680000000"

SIGN = Sign(
    object="runs/bert-7/status.json", generation=1795528680000000, at=NOW - timedelta(minutes=2), words="status.json says state: FAILED"
)
LAST = Sign(
    object="runs/bert-7/checkpoints/step-900.pt", generation=1, at=NOW - timedelta(days=14), words="neither succeeded nor was written to"
)
SEEN = Bucket(name="acme-ml-artifacts", location="us-central1", soft_delete=timedelta(days=7))
VERSIONS = SEEN.but(versioned=True)
FOR_GOOD = SEEN.but(soft_delete=timedelta(0))
TALLY = Tally(classes={"STANDARD": ClassTally(objects=412, bytes=38 * GIB)}, kept=12, kept_bytes=1_300_000)
COLD = Tally(
    classes={
        "STANDARD": ClassTally(objects=372, bytes=8 * GIB),
        "COLDLINE": ClassTally(objects=40, bytes=30 * GIB, early={date(2027, 2, 19): 30 * GIB}),
    }
)
HELD = Remainder(name="runs/bert-7/legal.txt", reason="Object 'legal.txt' is under active Temporary hold and cannot be deleted")
DENIED = "403 storage.objects.delete is missing on gs://acme-ml-artifacts; grant roles/storage.objectUser to the watchdog"


def portion(number: int = 0, **changes: Any) -> Portion:
    """412 objects, all of them settled and deleted."""
    fields: dict[str, Any] = {
        "manifest": f"manifests/{KEY}/{number:05}-0a1b2c3d.jsonl.gz", "objects": 412, "bytes": 38 * GIB, "settled": 412, "changed": 412,
        "changed_bytes": 38 * GIB,
    }  # fmt: skip
    return Portion(**{**fields, **changes})


HALF = portion(
    settled=300, changed=296, changed_bytes=27 * GIB, left=3, failed=1,
    named=(HELD, HELD.but(name="runs/bert-7/eval/held.bin"), Remainder(name="runs/bert-7/model.bin", reason="another generation is there")),
)  # fmt: skip


def entry(**changes: Any) -> Entry:
    """A failed run that waits."""
    outer: dict[str, Any] = {
        "key": KEY,
        "created": NOW,
        **{name: changes.pop(name) for name in ("key", "mode", "notification") if name in changes},
    }
    fields: dict[str, Any] = {
        "action": "delete_run", "bucket": "acme-ml-artifacts", "prefix": "runs/bert-7/", "rule": "runs/{run}/", "occasion": "failed", "sign": SIGN,
        "stage": "waiting", "seen": SEEN, "tally": TALLY, "due_at": NOW + timedelta(hours=24),
    }  # fmt: skip
    return Entry(**outer, job=Job(**{**fields, **changes}))


def done(**changes: Any) -> Entry:
    """The same, carried out."""
    fields: dict[str, Any] = {"stage": "done", "due_at": None, "portions": (portion(),), "undo_until": NOW + timedelta(days=7)}
    return entry(**{**fields, **changes})


def step(action: str, **changes: Any) -> Entry:
    """An action that a step of a budget asks for."""
    fields: dict[str, Any] = {
        "action": action, "occasion": "step", "sign": None, "rule": "", "prefix": "", "params": {"buckets": ["acme-ml-artifacts"], "older_than": "30d"},
        "key": f"objects-{action}-1",
    }  # fmt: skip
    return entry(**{**fields, **changes})


def job_announced() -> Letter:
    """What most first messages are like."""
    return report.announced(entry(), NOW)


def job_announced_cold() -> Letter:
    """Most of it within its minimum duration."""
    return report.announced(entry(tally=COLD), NOW)


def job_announced_abandoned() -> Letter:
    """Nobody came back to it."""
    return report.announced(entry(occasion="abandoned", sign=LAST, due_at=NOW + timedelta(days=3)), NOW)


def job_announced_for_good() -> Letter:
    """The bucket has no soft delete, and the policy goes on all the same."""
    return report.announced(entry(seen=FOR_GOOD), NOW)


def job_announced_versions() -> Letter:
    """What is deleted stays as noncurrent versions."""
    return report.announced(entry(seen=VERSIONS.but(soft_delete=timedelta(0))), NOW)


def job_announced_noncurrent() -> Letter:
    """A step of a budget."""
    return report.announced(step("delete_noncurrent", seen=VERSIONS, notification=notification()), NOW)


def job_announced_compress() -> Letter:
    """What it saves is not known."""
    return report.announced(step("compress_objects", prefix="checkpoints/", tally=COLD), NOW)


def job_announced_unknown() -> Letter:
    """An action of another version."""
    return report.announced(step("freeze_objects", seen=VERSIONS), NOW)


def job_rehearsed() -> Letter:
    """Mode observe."""
    return report.rehearsed(entry(stage="rehearsed", mode="observe", due_at=None, tally=COLD), NOW)


def job_left() -> Letter:
    """The run lives."""
    return report.left_alone(entry(stage="left", due_at=None, reason="_SUCCESS is there (`unless` in the policy)"), NOW)


def job_left_half_done() -> Letter:
    """The run lives, and that was seen late."""
    reason = "runs/bert-7/model.bin was written to while the run was being deleted"
    return report.left_alone(done(stage="left", reason=reason, portions=(HALF,)), NOW)


def job_refused() -> Letter:
    """A limit spoke."""
    reason = "it has 2,000,000 objects to delete, and the rule's limits.objects allows 1,000,000"
    return report.refused(entry(stage="refused", due_at=None, reason=reason), NOW)


def job_finished() -> Letter:
    """All of it went as announced."""
    return report.finished(done(approved_by="alice"), NOW)


def job_finished_half() -> Letter:
    """Some objects were held, one could not be deleted, and then the run was written to."""
    reason = "runs/bert-7/model.bin was written to while the run was being deleted"
    return report.finished(done(reason=reason, portions=(HALF,)), NOW)


def job_finished_for_good() -> Letter:
    """Nothing of it is kept."""
    return report.finished(done(seen=FOR_GOOD, undo_until=None), NOW)


def job_finished_versions() -> Letter:
    """It saves nothing."""
    return report.finished(done(seen=VERSIONS), NOW)


def job_finished_noncurrent() -> Letter:
    """Versions went for good."""
    return report.finished(step("delete_noncurrent", seen=VERSIONS, **_carried_out()), NOW)


def job_finished_compress() -> Letter:
    """Compressed, in a bucket with versions."""
    return report.finished(step("compress_objects", seen=VERSIONS, **_carried_out()), NOW)


def job_finished_nothing() -> Letter:
    """All of it was held."""
    named = tuple(HELD.but(name=f"runs/bert-7/{number}") for number in range(20))
    return report.finished(done(undo_until=None, portions=(portion(changed=0, changed_bytes=0, left=412, named=named),)), NOW)


def job_stuck() -> Letter:
    """A permission is missing before anything was done."""
    return report.stuck(entry(stage="planning", reason=DENIED, attempts=1, due_at=NOW + timedelta(minutes=1)), NOW)


def job_stuck_half_done() -> Letter:
    """A permission was taken away."""
    return report.stuck(done(stage="working", reason=DENIED, attempts=5, due_at=NOW + timedelta(minutes=16), portions=(HALF,)), NOW)


def job_stuck_undoing() -> Letter:
    """It cannot be put back now."""
    reason = DENIED.replace("delete", "restore")
    portions = (portion(settled=200, back=200),)
    return report.stuck(done(stage="undoing", reason=reason, attempts=2, due_at=NOW + timedelta(minutes=2), portions=portions), NOW)


def job_called_off() -> Letter:
    """A person said no."""
    return report.called_off(entry(stage="cancelled", due_at=None, decided_by="alice"), NOW)


def job_undone() -> Letter:
    """Back, but for some."""
    named = (
        Remainder(name="runs/bert-7/a", reason="it is no longer kept"),
        Remainder(name="runs/bert-7/b", reason="another object of this name is there now"),
    )
    return report.undone(done(stage="undone", decided_by="alice", portions=(portion(back=410, lost=2, named=named),)), NOW)


def job_undone_versions() -> Letter:
    """Copied from noncurrent versions."""
    return report.undone(done(stage="undone", seen=VERSIONS.but(soft_delete=timedelta(0)), portions=(portion(back=412),)), NOW)


def job_hostile() -> Letter:
    """Names that try to be something else."""
    return report.finished(_hostile(), NOW)


def _carried_out() -> dict[str, Any]:
    return {"stage": "done", "due_at": None, "portions": (portion(),), "undo_until": NOW + timedelta(days=7)}


def _hostile() -> Entry:
    named = (
        Remainder(name=HOSTILE, reason=HOSTILE * 100),
        Remainder(name="", reason=""),
        Remainder(name="x" * 10_000, reason="`" * 10_000),
    )
    return done(
        bucket=HOSTILE, prefix=f"runs/{HOSTILE}/", sign=SIGN.but(object=HOSTILE, words=HOSTILE * 50), reason=HOSTILE * 100, approved_by=HOSTILE,
        decided_by=HOSTILE, key=f"run-{HOSTILE}", seen=SEEN.but(location=HOSTILE), portions=(portion(changed=409, left=3, named=named),),
        tally=Tally(classes={HOSTILE: ClassTally(objects=412, bytes=GIB), "STANDARD": ClassTally(objects=1, bytes=1)}),
    )  # fmt: skip


SCENES: list[Callable[[], Letter]] = [
    job_announced, job_announced_cold, job_announced_abandoned, job_announced_for_good, job_announced_versions, job_announced_noncurrent,
    job_announced_compress, job_announced_unknown, job_rehearsed, job_left, job_left_half_done, job_refused, job_finished, job_finished_half,
    job_finished_for_good, job_finished_versions, job_finished_noncurrent, job_finished_compress, job_finished_nothing, job_stuck,
    job_stuck_half_done, job_stuck_undoing, job_called_off, job_undone, job_undone_versions, job_hostile,
]  # fmt: skip


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_a_message_is_as_its_golden_file_says(scene: Callable[[], Letter]) -> None:
    """Each kind of message keeps its words, and Slack accepts it."""
    letter = scene()
    check_letter(letter)
    golden(f"letter_{scene.__name__}.json", json.dumps(letter.blocks, indent=1, ensure_ascii=False) + "\n")
    golden(f"letter_{scene.__name__}.txt", letter.text + "\n")


def job_waits() -> Entry:
    """Announced."""
    return entry(tally=COLD)


def job_is_refused() -> Entry:
    """Waits for a person, and has been looked at once."""
    return entry(stage="refused", due_at=None, reason="it has too many objects", approved_by="", seen=SEEN.but(autoclass=True), attempts=2)


def job_is_done() -> Entry:
    """Carried out in part."""
    return done(
        reason="it was written to", approved_by="alice", portions=(HALF, portion(1, settled=0, changed=0, changed_bytes=0)), parent="run-x"
    )


def job_is_working() -> Entry:
    """Its plan is written down, and nothing of it is settled yet."""
    return done(stage="working", portions=(portion(settled=0, changed=0, changed_bytes=0),))


def job_is_noticed() -> Entry:
    """Nobody has looked yet."""
    return step("compress_objects", stage="noticed", seen=None, tally=Tally(), due_at=None)


def job_is_put_back() -> Entry:
    """Being put back, in a bucket with versions."""
    named = (Remainder(name="runs/bert-7/a", reason="it is no longer kept"),)
    portions = (portion(back=410, lost=2, named=named),)
    return done(stage="undoing", decided_by="alice", seen=VERSIONS.but(soft_delete=timedelta(hours=36)), portions=portions, due_at=NOW)


def job_was_put_back() -> Entry:
    """Put back after it had been stopped."""
    return done(
        stage="undone",
        decided_by="alice",
        portions=(portion(back=412),),
        undone_at=NOW + timedelta(hours=1),
        stopping="it lives",
    )


def job_is_called_off() -> Entry:
    """Called off before anybody looked."""
    return entry(stage="cancelled", seen=FOR_GOOD, tally=Tally(), due_at=None, decided_by="alice")


@pytest.mark.parametrize(
    "scene",
    [job_waits, job_is_refused, job_is_working, job_is_done, job_is_noticed, job_is_put_back, job_was_put_back, job_is_called_off],
    ids=lambda scene: scene.__name__,
)
def test_a_job_on_a_terminal_is_as_its_golden_file_says(scene: Callable[[], Entry]) -> None:
    """The line of the list comes first here, then all that is known, with the commands that a person may want next."""
    golden(f"outcome_{scene.__name__}.txt", "\n".join([report.line(scene()), *report.job_text(scene())]) + "\n")


def test_a_terminal_is_shown_every_name_and_no_control_character() -> None:
    """None of them moves the cursor, and none is left out."""
    named = tuple(Remainder(name=f"runs/bert-7/{number}\x1b[2J", reason=HOSTILE) for number in range(100))
    shown = [
        *report.job_text(done(portions=(portion(changed=312, left=100, named=named),))),
        *report.job_text(_hostile()),
        report.line(_hostile()),
    ]
    assert all(f"    runs/bert-7/{number} [2J" in shown for number in range(100))
    assert not {char for text in shown for char in text if char < " " or char in "\u202e\u2066"}


def test_only_what_was_deleted_counts_as_saved() -> None:
    """Where a part of the run was left alone, the saving is that part smaller, and so is the charge."""
    half = portion(changed=206, changed_bytes=19 * GIB)
    letters = [report.finished(done(tally=COLD, portions=(each,)), NOW).text for each in (portion(), half)]
    assert "30.0 GiB are 3 days into Coldline's 90 and the rest is charged, about $0.32" in letters[0]
    assert "15.0 GiB are 3 days into Coldline's 90 and the rest is charged, about $0.16" in letters[1]
    assert "about $0.14 a month" in letters[1]


def test_what_the_journal_does_not_name_is_counted() -> None:
    """The reader is told where the other names are."""
    assert "412 left alone. Named in the logs alone: 392." in job_finished_nothing().text
    assert "and 17 more" in job_finished_nothing().text


def test_many_storage_classes_are_not_all_listed() -> None:
    """The largest are."""
    classes = {f"CLASS_{number}": ClassTally(objects=1, bytes=number) for number in range(1, 9)}
    assert (
        "Storage classes: 8 B Class 8, 7 B Class 7, 6 B Class 6, 5 B Class 5, 4 B Class 4, 3 B Class 3, …"
        in report.announced(entry(tally=Tally(classes=classes)), NOW).text
    )


@pytest.mark.parametrize(("seen", "charged"), [(SEEN, True), (SEEN.but(autoclass=True), False), (VERSIONS, False)])
def test_compressing_early_is_charged_and_said_to_be(seen: Bucket, charged: bool) -> None:
    """The originals go, so the same early-deletion charge applies."""
    letter = report.announced(step("compress_objects", seen=seen, tally=COLD), NOW)
    assert ("The early-deletion charge for it is about $0.31 (list price)." in letter.text) is charged


def test_without_any_soft_delete_compressing_says_nothing_of_a_window() -> None:
    """Only what holds is said."""
    letter = report.announced(step("compress_objects", seen=FOR_GOOD), NOW)
    assert "billed until" not in letter.text
    assert "CAN BE UNDONE" in letter.text
    assert "An object can be made from the compressed one again." in letter.text


def test_what_compressing_saves_is_known_afterwards() -> None:
    """What stands in its place now is what is billed."""
    done = portion(changed=412, changed_bytes=10 * 2**30, made_bytes=4 * 2**30)
    letter = report.finished(step("compress_objects", stage="done", portions=(done,)), NOW)
    assert "10.0 GiB became 4.0 GiB." in letter.text
    assert "Saves about $" in letter.text


def test_noncurrent_versions_of_a_bucket_without_soft_delete_cannot_be_undone() -> None:
    """That the bucket keeps versions does not help: they are what is deleted."""
    assert "CANNOT BE UNDONE" in report.announced(step("delete_noncurrent", seen=VERSIONS.but(soft_delete=timedelta(0))), NOW).text


def test_what_is_under_way_can_be_stopped() -> None:
    """It is too late to call it off, so the command that undoes it is named from the first object on, and where nothing comes back it is still one that stops it."""
    begun = {"stage": "working", "reason": DENIED, "portions": (portion(settled=0, changed=0, changed_bytes=0),)}
    assert f"TO STOP AND UNDO IT\n`python -m functions restore --entry {KEY}`" in report.stuck(done(**begun), NOW).text
    lost = done(**{**begun, "seen": FOR_GOOD, "undo_until": None})
    assert f"TO STOP IT\n`python -m functions restore --entry {KEY}`" in report.stuck(lost, NOW).text
    assert "CANNOT BE UNDONE" not in report.stuck(lost, NOW).text
    assert report.job_text(lost)[-1] == f"To stop: python -m functions restore --entry {KEY}"


def test_noncurrent_versions_that_went_for_good_are_not_said_to_come_back() -> None:
    """Whatever time the entry stays open for."""
    gone = step("delete_noncurrent", **{**_carried_out(), "seen": VERSIONS.but(soft_delete=timedelta(0))})
    assert "CANNOT BE UNDONE" in report.finished(gone, NOW).text
    assert not any("To undo" in text for text in report.job_text(gone))


def test_what_was_not_looked_at_yet_is_told_with_what_is_known() -> None:
    """A job that nobody could look at has no size and no bucket's settings."""
    blind = entry(stage="noticed", seen=None, tally=Tally(), due_at=None, reason=DENIED)
    for letter in (report.stuck(blind, NOW), report.announced(blind, NOW), report.called_off(blind, NOW), report.undone(blind, NOW)):
        check_letter(letter)
        assert "UNDONE" not in letter.text
        assert "SAVING" not in letter.text
    open_end = report.undone(done(stage="undone", undo_until=None, reason="stopped", portions=(portion(back=1, failed=411),)), NOW)
    assert "until the bucket's soft-delete window is over." in open_end.text
    assert "411 could not be put back, however often it was tried." in open_end.text


def test_an_entry_that_is_about_something_else_is_refused() -> None:
    """It is a mistake of the caller, and says so."""
    with pytest.raises(TypeError, match="budget-1 is not about objects"):
        report.line(Entry(key="budget-1", created=NOW))


SIZES = st.integers(0, 2**60)
COUNTS = st.integers(0, 10**9)
TIMES = st.none() | st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # hypothesis wants them naive
NAMED = st.lists(st.builds(Remainder, name=ANY_TEXT, reason=ANY_TEXT), max_size=20).map(tuple)
PORTIONS = st.builds(
    Portion, manifest=ANY_TEXT, objects=COUNTS, bytes=SIZES, settled=COUNTS, changed=COUNTS, changed_bytes=SIZES, left=COUNTS, failed=COUNTS,
    back=COUNTS, lost=COUNTS, named=NAMED,
)  # fmt: skip
CLASSES = st.builds(
    lambda objects, days, more: ClassTally(objects=objects, bytes=sum(days.values()) + more, early=days),
    COUNTS,
    st.dictionaries(st.dates(date(2026, 11, 1), date(2027, 12, 1)), SIZES, max_size=3),
    SIZES,
)
TALLIES = st.builds(
    Tally,
    kept=COUNTS,
    kept_bytes=SIZES,
    classes=st.dictionaries(st.sampled_from(["STANDARD", "NEARLINE", "ARCHIVE"]) | ANY_TEXT, CLASSES, max_size=4),
)
JOBS = st.builds(
    Job, action=st.sampled_from([*MANNERS]) | ANY_TEXT, bucket=ANY_TEXT, prefix=ANY_TEXT, rule=ANY_TEXT,
    occasion=st.sampled_from(["failed", "abandoned", "step"]),
    sign=st.none() | st.builds(Sign, object=ANY_TEXT, generation=st.integers(), at=st.just(NOW), words=ANY_TEXT),
    params=st.dictionaries(st.just("older_than"), ANY_TEXT),
    stage=st.sampled_from(["noticed", "waiting", "planning", "working", "done", "left", "refused", "cancelled", "rehearsed", "undoing", "undone"]),
    seen=st.none() | st.builds(
        Bucket, name=ANY_TEXT, location=ANY_TEXT, soft_delete=st.timedeltas(timedelta(0), timedelta(days=90)), versioned=st.booleans(), autoclass=st.booleans()
    ),
    tally=TALLIES, portions=st.lists(PORTIONS, max_size=3).map(tuple), due_at=TIMES, reason=ANY_TEXT, approved_by=ANY_TEXT, decided_by=ANY_TEXT,
    undo_until=TIMES, undone_at=TIMES, attempts=st.integers(0, 50), parent=ANY_TEXT, stopping=ANY_TEXT,
)  # fmt: skip
NOTICES: st.SearchStrategy[BudgetNotification | None] = st.none() | st.builds(
    notification, budget_name=ANY_TEXT, cost=st.decimals(0, 10**9, places=2), amount=st.just(Decimal(100))
)
ENTRIES = st.builds(Entry, key=ANY_TEXT, created=st.just(NOW), mode=st.sampled_from(["observe", "enforce"]), notification=NOTICES, job=JOBS)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(about=ENTRIES)
def test_every_message_keeps_slacks_limits_and_lets_nothing_be_injected(about: Entry) -> None:
    """Whatever a job is made of, Slack takes the message and finds no mention, no link and no hidden direction in it."""
    letters = (
        report.announced, report.rehearsed, report.left_alone, report.refused, report.finished, report.stuck, report.called_off, report.undone,
    )  # fmt: skip
    for write in letters:
        check_letter(write(about, NOW))
    for text in (report.line(about), *report.job_text(about)):
        assert not {char for char in text if char < " "}
