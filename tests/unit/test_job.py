"""A job's life: which stage allows what, when it is due, what is news, and by which keys it is found."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.entry import FAR, Entry
from shared.model import BucketFacts
from shared.objects.job import (
    CAN_BE_CALLED_OFF,
    ENDED,
    UNDOABLE,
    Bucket,
    ClassTally,
    Job,
    Portion,
    Remainder,
    Sign,
    Stage,
    Tally,
    afresh,
    approve,
    ask_undo,
    cancel,
    part_key,
    parts_of,
    rule_id,
    run_id,
    run_key,
    runs_prefix,
    siblings,
    step_key,
)

NOW = datetime(2026, 11, 24, 14, tzinfo=UTC)
HOUR = timedelta(hours=1)
STAGES: tuple[Stage, ...] = get_args(Stage)
SIGN = Sign(object="runs/run-1/_FAILED", generation=7, at=NOW - HOUR, words="_FAILED is there")
TALLY = Tally(classes={"STANDARD": ClassTally(objects=3, bytes=30), "COLDLINE": ClassTally(objects=1, bytes=4)}, kept=1, kept_bytes=9)
HALF = Portion(
    manifest="m/0", objects=10, bytes=100, settled=6, changed=3, changed_bytes=30, left=1, failed=2, back=1, lost=1,
    named=(Remainder(name="runs/run-1/x", reason="a hold"),),
)  # fmt: skip
WHOLE = Portion(manifest="m/1", objects=4, bytes=40, settled=4, changed=4, changed_bytes=40)


def a_job(**some: Any) -> Job:
    """A run that is to be deleted."""
    told: dict[str, Any] = {
        "action": "delete_run", "bucket": "acme-ml-runs", "prefix": "runs/run-1/", "rule": "runs/{run}/", "occasion": "failed", "sign": SIGN,
    }  # fmt: skip
    return Job(**(told | some))


# what it adds up to


def test_a_job_adds_up_its_portions_and_its_classes() -> None:
    """What was changed is the sum of the portions, what would be is the sum of the classes."""
    job = a_job(portions=(HALF, WHOLE), tally=TALLY)
    assert (job.changed, job.changed_bytes) == (7, 70)
    assert (job.tally.objects, job.tally.bytes) == (4, 34)
    assert [portion.finished for portion in job.portions] == [False, True]


@pytest.mark.parametrize(
    ("prefix", "rule", "run"),
    [
        ("runs/run-1/", "runs/{run}/", "run-1"),
        ("mlruns/7/run-1/", "mlruns/{any}/{run}/", "run-1"),
        ("run-1/artifacts/", "{run}/artifacts/", "run-1"),
        ("run-1/artifacts/", "", "artifacts"),
        ("run-1/", "a/b/{run}/", "run-1"),
        ("", "", ""),
    ],
)
def test_a_run_is_named_by_the_part_that_the_rule_says(prefix: str, rule: str, run: str) -> None:
    """Without a rule, or with one that does not fit, it is the last folder."""
    assert a_job(prefix=prefix, rule=rule).run == run


def test_what_the_journal_keeps_of_a_bucket() -> None:
    """All that the messages need later; not its labels."""
    facts = BucketFacts("acme-ml-runs", "us-central1", timedelta(days=7), versioned=True, autoclass=True, labels={"team": "ml"})
    assert Bucket.seen(facts) == Bucket(
        name="acme-ml-runs", location="us-central1", soft_delete=timedelta(days=7), versioned=True, autoclass=True
    )


# when it is due


@pytest.mark.parametrize("stage", ["noticed", "waiting", "planning", "working", "undoing"])
def test_what_is_under_way_is_due_at_once_or_when_it_says(stage: Stage) -> None:
    """Whether or not people were told of it."""
    assert a_job(stage=stage).due(NOW, FAR) == NOW
    assert a_job(stage=stage, due_at=NOW + HOUR, told=stage).due(NOW, FAR) == NOW + HOUR


@pytest.mark.parametrize("stage", sorted(ENDED))
def test_what_has_ended_is_due_until_people_are_told(stage: Stage) -> None:
    """Then it can be closed; of a part of another job nobody is told."""
    assert a_job(stage=stage).due(NOW, FAR) == NOW
    assert a_job(stage=stage, told=stage).due(NOW, FAR) is None
    assert a_job(stage=stage, parent="k").due(NOW, FAR) is None


def test_what_a_limit_refused_waits_for_a_person_once_they_are_told() -> None:
    """The tick does not read it any more."""
    assert a_job(stage="refused", reason="too large").due(NOW, FAR) == NOW
    assert a_job(stage="refused", reason="too large", told="refused", told_reason="too large").due(NOW, FAR) == FAR


def test_what_is_done_stays_open_as_long_as_it_can_be_undone() -> None:
    """And no longer; where it cannot be, it is closed once people are told."""
    done = a_job(stage="done", undo_until=NOW + HOUR)
    assert done.due(NOW, FAR) == NOW
    told = done.but(told="done")
    assert told.due(NOW, FAR) == NOW + HOUR
    assert told.due(NOW + HOUR, FAR) is None
    assert told.but(undo_until=None).due(NOW, FAR) is None
    assert done.but(parent="k").due(NOW, FAR) is None


def test_a_stage_or_a_reason_that_people_were_not_told_of_is_news() -> None:
    """Both together."""
    assert a_job().news()
    told = a_job(stage="left", reason="a hold", told="left", told_reason="a hold")
    assert not told.news()
    assert told.but(reason="a retention").news()
    assert told.but(stage="undone").news()


# what people may ask for


def test_looking_again_begins_at_the_beginning() -> None:
    """Whatever an earlier look had added up or written down."""
    job = a_job(stage="waiting", after="runs/run-1/x", tally=TALLY, portions=(HALF,), due_at=NOW, attempts=3, reason="503", told="waiting")
    assert afresh(job) == a_job(stage="planning", attempts=3, told="waiting")
    begun = a_job(stage="working", portions=(HALF.but(begun=True), WHOLE))
    assert afresh(begun).portions == (HALF.but(begun=True, superseded=True, left=0, failed=0, named=()),)


@pytest.mark.parametrize("stage", STAGES)
def test_only_what_a_limit_refused_can_be_approved(stage: Stage) -> None:
    """It is looked at once more, and goes past the limits with the name of whoever said so."""
    job = a_job(stage=stage, reason="too large", tally=TALLY)
    expected = a_job(stage="planning", approved_by="ann", decided_at=NOW) if stage == "refused" else job
    assert approve(job, by="ann", now=NOW) == expected


@pytest.mark.parametrize("stage", STAGES)
def test_only_what_changed_nothing_yet_can_be_called_off(stage: Stage) -> None:
    """What was to be deleted stays on record."""
    job = a_job(stage=stage, reason="503", due_at=NOW, tally=TALLY)
    expected = job.but(stage="cancelled", decided_by="ann", decided_at=NOW, due_at=None, reason="") if stage in CAN_BE_CALLED_OFF else job
    if stage == "working":
        expected = job.but(stopping="called off by ann", decided_by="ann", decided_at=NOW, due_at=None)
    assert cancel(job, by="ann", now=NOW) == expected
    if stage in CAN_BE_CALLED_OFF:
        begun = job.but(portions=(HALF.but(begun=True),))
        assert cancel(begun, by="ann", now=NOW) == begun.but(
            stage="done", decided_by="ann", decided_at=NOW, due_at=None, reason="called off by ann"
        )
        assert ask_undo(begun, by="ann", now=NOW).stage == "undoing"


@pytest.mark.parametrize("stage", STAGES)
def test_undoing_calls_off_what_has_not_begun(stage: Stage) -> None:
    """What has begun or is done is put back; what has ended stays as it is."""
    job = a_job(stage=stage, portions=(HALF, WHOLE), attempts=3, reason="503", due_at=NOW)
    asked = ask_undo(job, by="ann", now=NOW)
    if stage in UNDOABLE:
        assert (asked.stage, asked.decided_by, asked.attempts, asked.reason, asked.due_at) == ("undoing", "ann", 0, "", None)
    else:
        assert asked == cancel(job, by="ann", now=NOW)


def test_undoing_begins_every_portion_anew() -> None:
    """What was changed stays on record; of what was begun all is asked for, and of the rest nothing."""
    asked = ask_undo(a_job(stage="working", portions=(HALF.but(begun=True), WHOLE.but(begun=True), HALF)), by="ann", now=NOW)
    assert asked.portions == (
        Portion(manifest="m/0", objects=10, bytes=100, begun=True, changed=3, changed_bytes=30, left=1),
        Portion(manifest="m/1", objects=4, bytes=40, begun=True, changed=4, changed_bytes=40),
    )
    assert (asked.changed, [portion.finished for portion in asked.portions]) == (7, [False, False])


# by which keys it is found


def test_the_key_of_a_run_is_the_same_for_every_notice_of_a_sign() -> None:
    """However often, in whatever words and whenever the sign is told of."""
    again = a_job(sign=SIGN.but(words="another wording", at=NOW), stage="waiting", occasion="abandoned")
    assert run_key(a_job(), observe=False) == run_key(again, observe=False)


def test_a_sign_that_was_written_anew_counts_again() -> None:
    """And so does the same sign once the mode is no dry run any more."""
    keys = {run_key(a_job(), observe=False), run_key(a_job(sign=SIGN.but(generation=8)), observe=False), run_key(a_job(), observe=True)}
    assert len(keys) == 3
    assert sorted(key.split("-")[0] for key in keys) == ["rehearsal", "run", "run"]
    assert run_key(a_job(sign=None), observe=False).endswith("-0")


def test_a_runs_keys_begin_with_its_rule_and_the_run() -> None:
    """So that a listing finds all entries of a rule and all entries of a run, and nobody else's."""
    one, other = a_job(), a_job(prefix="runs/run-10/")
    key = run_key(one, observe=False)
    assert key == f"run-{rule_id('acme-ml-runs', 'runs/{run}/')}-{run_id('acme-ml-runs', 'runs/run-1/')}-run_1-7"
    assert key.startswith(runs_prefix(rule_id("acme-ml-runs", "runs/{run}/")))
    assert key.startswith(siblings(key))
    assert siblings(key) == siblings(run_key(a_job(sign=SIGN.but(generation=8)), observe=False))
    assert not run_key(other, observe=False).startswith(siblings(key))
    assert siblings(part_key(key, 3)) == siblings(key)


def test_the_same_names_in_another_bucket_are_another_rule_and_another_run() -> None:
    """Nor does one name end where the next begins."""
    assert rule_id("a", "b/{run}/") != rule_id("c", "b/{run}/")
    assert run_id("a", "b/") != run_id("ab", "/")


NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300)


@given(NAMES)
def test_a_key_is_a_harmless_name(name: str) -> None:
    """Whatever a run is called: short, of letters and digits, with four dashes, so that its parts are known."""
    key = run_key(a_job(prefix=f"runs/{name.replace('/', '-')}/"), observe=False)
    assert key.isascii()
    assert key.replace("-", "").replace("_", "").isalnum()
    assert key.count("-") == 4
    assert len(part_key(key, 99_999)) < 120


def test_the_key_of_a_steps_entry_tells_one_step_from_the_next() -> None:
    """Another budget entry, bucket, folder or parameter is another entry; the same is the same, however its parameters are ordered."""
    job = a_job(
        action="delete_noncurrent", prefix="", occasion="step", sign=None, params={"older_than": "30d", "buckets": ["acme-ml-runs"]}
    )
    key = step_key(job, "budget-1")
    assert key.startswith("delete_noncurrent-")
    assert key.endswith("-acme-ml-runs")
    assert step_key(job.but(params=dict(reversed(list(job.params.items())))), "budget-1") == key
    others = {
        step_key(job, "budget-2"),
        step_key(job.but(bucket="acme-ml-data"), "budget-1"),
        step_key(job.but(prefix="runs/"), "budget-1"),
        step_key(job.but(params={"older_than": "31d"}), "budget-1"),
    }
    assert len(others | {key}) == 5


def test_the_keys_of_parts_stand_together_in_order() -> None:
    """Behind the key of the whole, so that no other entry's key begins so."""
    assert [part_key("run-a", index) for index in (0, 12)] == ["run-a_part00000", "run-a_part00012"]
    assert parts_of("run-a") == "run-a_part"


# in the journal


def test_a_job_reads_back_as_it_was() -> None:
    """With everything in it."""
    job = a_job(
        stage="working", seen=Bucket(name="b", location="us", soft_delete=timedelta(days=7)), tally=TALLY, portions=(HALF, WHOLE),
        due_at=NOW, undo_until=NOW, undone_at=NOW, told="waiting", params={"older_than": "30d"},
    )  # fmt: skip
    entry = Entry(key="k", created=NOW, job=job)
    assert Entry.model_validate_json(entry.model_dump_json()) == entry
