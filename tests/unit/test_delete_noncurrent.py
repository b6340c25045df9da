"""`delete_noncurrent`: a step of a budget begins an entry for each bucket, which the ticks carry out, and which goes back with the step."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.actions.delete_noncurrent import ACTION, Noncurrent, Params
from shared.errors import Gone, Unavailable
from shared.model import StorageObject
from shared.objects.job import Job
from shared.policy.policy import Policy, parse
from shared.report import outcome_text
from tests.stage import Crash, a_policy
from tests.yard import DAY, HOUR, RUNS, Yard

MORE = "acme-ml-more"
USE = "{delete_noncurrent: {buckets: [acme-ml-runs, acme-ml-more], older_than: 30d%s}}"


def policy(more: str = "", *, mode: str = "enforce", step: str = "") -> Policy:
    """A ladder whose step at 80 % deletes old versions in two buckets."""
    return a_policy(f"{{at: 80%, do: [{USE % more}]{step}}}", mode=mode)


@pytest.fixture
def yard() -> Yard:
    """Two buckets with versions, in each of which `a` was written three times and `b` was deleted."""
    return a_yard(policy())


def a_yard(policy: Policy) -> Yard:
    """The same with a policy."""
    yard = Yard(policy)
    yard.objects.create(MORE, versioned=True)
    yard.objects.change(RUNS, versioned=True)
    yard.clock.instant -= 50 * DAY
    for bucket in (RUNS, MORE):
        yard.put("a", b"1", bucket=bucket)
        yard.put("b", b"2", bucket=bucket)
    yard.clock.instant += 10 * DAY
    for bucket in (RUNS, MORE):
        yard.put("a", b"3", bucket=bucket)
        yard.objects.remove(bucket, "b")
    yard.clock.instant += 40 * DAY - HOUR
    for bucket in (RUNS, MORE):
        yard.put("a", b"4", bucket=bucket)
    yard.clock.instant += HOUR
    return yard


def versions(yard: Yard, bucket: str = RUNS) -> list[str]:
    """What is noncurrent in a bucket."""
    return sorted(name for name, _ in yard.objects.buckets[bucket].noncurrent)


def titles(yard: Yard) -> list[str]:
    """The first lines of all messages."""
    return [post.split("\n", 1)[0] for post in yard.posts]


def budget_key(yard: Yard) -> str:
    """The key of the budget's entry."""
    (key,) = [entry.key for entry in (*yard.open(), *yard.closed()) if entry.notification]
    return key


# what it wants


AGES = st.timedeltas(timedelta(0), 60 * DAY)


@given(AGES, st.none() | AGES, st.timedeltas(timedelta(seconds=1), 60 * DAY))
def test_only_what_has_been_noncurrent_for_long_enough(age: timedelta, noncurrent: timedelta | None, older_than: timedelta) -> None:
    """However old the object itself is; what is live never goes."""
    now = Yard(policy()).clock.now()
    each = StorageObject("a", 1, 1, "STANDARD", now - age, noncurrent_since=None if noncurrent is None else now - noncurrent)
    params = Params.model_construct(buckets=(RUNS,), older_than=older_than)
    assert Noncurrent().wants(each, params, now) == (noncurrent is not None and noncurrent >= older_than)


def test_what_the_policy_says_of_it() -> None:
    """Its buckets with one folder each; it looks at versions, and deletes."""
    params = Params.model_validate({"buckets": [RUNS, MORE], "prefix": "checkpoints/", "older_than": "30d"})
    assert Noncurrent().extent(params) == [(RUNS, "checkpoints/"), (MORE, "checkpoints/")]
    assert (ACTION.name, ACTION.changes, Noncurrent.versions, Noncurrent.operation) == ("delete_noncurrent", None, True, "delete")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{buckets: [], older_than: 30d}", "buckets"),
        ("{buckets: [acme-ml-runs]}", "older_than"),
        ("{buckets: [acme-ml-runs], older_than: 0d}", "older_than"),
        ("{buckets: [gs://acme-ml-runs], older_than: 30d}", "buckets"),
        ("{buckets: [acme-ml-runs], older_than: 30d, prefix: checkpoints}", "is no folder; write it with / at its end"),
        ("{buckets: [acme-ml-runs], older_than: 30d, prefix: /checkpoints/}", "is no folder"),
        ("{buckets: [acme-ml-runs], older_than: 30d, prefix: a//}", "is no folder"),
        ("{buckets: [acme-ml-runs], older_than: 30d, prefix: 'a*/'}", "wildcards do not count here"),
        ('{buckets: [acme-ml-runs], older_than: 30d, prefix: "a\\tb/"}', "characters that have no meaning in a folder"),
        ("{buckets: [acme-ml-runs], older_than: 30d, limits: {objects: -1}}", "objects"),
    ],
)
def test_a_policy_that_could_mean_more_than_it_says_is_refused(text: str, fault: str) -> None:
    """With its line."""
    with pytest.raises(Exception, match=fault):
        a_policy(f"{{at: 80%, do: [{{delete_noncurrent: {text}}}]}}")


# the step


def test_a_step_begins_an_entry_for_each_bucket(yard: Yard) -> None:
    """They are recorded with it, and the next tick takes them up."""
    assert yard.send(82) == ["closed"]
    begun = yard.ann().entry(budget_key(yard)).begun
    assert len(begun) == 2
    assert f"What it does to the objects of buckets is told of by itself: `{begun[0]}`, `{begun[1]}`" in yard.posts[0]
    assert "nothing is changed" not in yard.posts[0]
    assert [yard.jobs()[key].bucket for key in begun] == [RUNS, MORE]
    assert all(job.occasion == "step" and job.stage == "noticed" for job in yard.jobs().values())
    assert yard.objects.deleted == []


def test_old_versions_go_and_nothing_else(yard: Yard) -> None:
    """What became noncurrent lately stays, and so does what is live; it is told for each bucket."""
    yard.send(82)
    assert versions(yard) == ["a", "a", "b"]
    yard.tick()
    for bucket in (RUNS, MORE):
        assert versions(yard, bucket) == ["a"]
        assert yard.objects.names(bucket) == ["a"]
    assert {(change.name, change.noncurrent) for change in yard.objects.deleted} == {("a", True), ("b", True)}
    assert sorted(titles(yard)[1:]) == [
        "gs://acme-ml-more/: deleted 2 noncurrent versions, 2 B",
        "gs://acme-ml-runs/: deleted 2 noncurrent versions, 2 B",
    ]


def test_it_keeps_to_its_folder() -> None:
    """Names beside the folder may begin alike."""
    yard = a_yard(policy(", prefix: b/"))
    yard.objects.page = 2
    yard.send(82)
    yard.tick()
    assert yard.objects.deleted == []
    assert titles(yard)[1:] == ["gs://acme-ml-runs/b/ is left alone", "gs://acme-ml-more/b/ is left alone"]


def test_a_version_that_is_held_is_kept_and_the_rest_goes(yard: Yard) -> None:
    """Versions have nothing to do with each other, other than the objects of a run."""
    holder = yard.objects.buckets[RUNS]
    for name, kept in holder.noncurrent.items():
        if kept.data == b"1":
            held = type(kept)(
                type(kept.shown)(**{**{field: getattr(kept.shown, field) for field in kept.shown.__slots__}, "hold": "temporary hold"}),
                kept.data,
            )
            holder.noncurrent[name] = held
    yard.send(82)
    yard.tick()
    assert versions(yard) == ["a", "a"]
    job = next(job for job in yard.jobs().values() if job.bucket == RUNS)
    assert (job.changed, job.tally.kept) == (1, 3)


def test_a_message_that_comes_again_begins_nothing_anew(yard: Yard) -> None:
    """The step was carried out in this period."""
    yard.send(82)
    yard.send(85)
    yard.tick()
    yard.send(90)
    assert len(yard.jobs()) == 2


def test_the_next_period_begins_it_anew_and_brings_nothing_back(yard: Yard) -> None:
    """Deletions are no state that a period ends."""
    yard.send(82)
    yard.tick()
    yard.next_period(82)
    assert len(yard.jobs()) == 4
    yard.tick()
    assert yard.objects.restored == []


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("number", range(1, 9))
def test_a_worker_that_dies_while_it_begins_them_begins_each_once(side: str, number: int) -> None:
    """Whoever carries the step on finds what was begun."""
    yard = a_yard(policy())
    struck = yard.strike("write", Crash, side=side, number=number)
    try:
        yard.send(82)
    except Crash:
        yard.heal()
        yard.clock.sleep(61)
        yard.send(82)
        yard.tick(2)
    assert struck or number > 6
    yard.heal()
    yard.tick(2)
    yard.tick(2)
    assert sorted(job.bucket for job in yard.jobs().values()) == [MORE, RUNS]
    assert len(yard.objects.deleted) == 4
    assert len(yard.ann().entry(budget_key(yard)).begun) == 2
    assert len(titles(yard)) == 3


def test_an_entry_that_was_closed_before_the_step_is_on_record_is_not_begun_again(yard: Yard) -> None:
    """A worker died right after it began them, and a tick carried them out before anybody went on with the step."""
    yard.objects.buckets[RUNS].noncurrent.clear()
    yard.objects.buckets[MORE].noncurrent.clear()
    jobs_begun = 0

    def crash(called: str) -> None:
        nonlocal jobs_begun
        jobs_begun = len([name for name in yard.bucket.objects if name.startswith("entries/delete_noncurrent")])
        if called == "write" and jobs_begun == 2:
            raise Crash

    yard.hooks.before = crash
    with pytest.raises(Crash):
        yard.send(82)
    yard.heal()
    for key in yard.journal.keys("delete_noncurrent"):
        assert yard.watchdog().resume(key).what == "closed"
    yard.tick(2)
    assert len(yard.jobs()) == 2
    assert {job.stage for job in yard.jobs().values()} == {"left"}
    assert yard.journal.keys("delete_noncurrent") == []


def test_a_dry_run_is_rehearsed_for_each_bucket() -> None:
    """Nothing is deleted, and no approval can change that."""
    yard = a_yard(policy(mode="observe"))
    yard.send(82)
    yard.tick()
    assert sorted(titles(yard)[1:]) == [
        "DRY RUN: gs://acme-ml-more/: would delete 2 noncurrent versions, 2 B",
        "DRY RUN: gs://acme-ml-runs/: would delete 2 noncurrent versions, 2 B",
    ]
    assert (yard.objects.deleted, yard.journal.keys("delete_noncurrent")) == ([], [])


def test_a_step_with_a_wait_begins_them_when_it_is_over() -> None:
    """And not before."""
    yard = a_yard(policy(step=", wait: 2h"))
    yard.send(82)
    yard.tick()
    assert yard.jobs() == {}
    yard.hours(2)
    yard.tick()
    assert {job.stage for job in yard.jobs().values()} == {"done"}


# what forbids it


def test_more_than_the_limit_is_refused_and_can_be_approved() -> None:
    """Bucket by bucket."""
    yard = a_yard(policy(", limits: {objects: 1}"))
    yard.objects.buckets[MORE].noncurrent.clear()
    yard.send(82)
    yard.tick()
    assert "Refused to delete 2 noncurrent versions, 2 B: gs://acme-ml-runs/" in titles(yard)
    (key,) = [key for key, job in yard.jobs().items() if job.stage == "refused"]
    yard.ann().approve(key)
    assert versions(yard) == ["a"]


def test_without_soft_delete_nothing_goes_unless_the_step_says_so(yard: Yard) -> None:
    """Nobody was told that anything would happen, and all the same it is told: the step was reached."""
    yard.objects.change(RUNS, soft_delete=timedelta(0))
    yard.send(82)
    yard.tick()
    assert versions(yard) == ["a", "a", "b"]
    assert "gs://acme-ml-runs/ is left alone" in titles(yard)


def test_where_the_step_says_so_it_goes_for_good() -> None:
    """A version that is deleted leaves none, so it cannot be undone, and nothing stays open for it."""
    yard = a_yard(policy(", require_soft_delete: false"))
    yard.objects.change(RUNS, soft_delete=timedelta(0))
    yard.send(82)
    yard.tick()
    (post,) = [post for post in yard.posts if post.startswith("gs://acme-ml-runs/: deleted")]
    assert "CANNOT BE UNDONE" in post
    job = next(job for job in yard.jobs().values() if job.bucket == RUNS)
    assert (job.stage, job.undo_until) == ("done", None)
    assert len(yard.journal.keys("delete_noncurrent")) == 1
    with pytest.raises(Gone, match=r"^it is too late to undo delete_noncurrent-.*-acme-ml-runs: the bucket"):
        yard.ann().restore_entry(budget_key(yard))
    assert len(yard.objects.restored) == 1  # the other bucket kept what it could


@pytest.mark.parametrize("gone", [True, False])
def test_a_bucket_that_is_gone_or_protected_is_left_alone(yard: Yard, gone: bool) -> None:
    """The other one is not."""
    if gone:
        del yard.objects.buckets[RUNS]
    else:
        yard.objects.change(RUNS, labels={"env": "prod"})
    yard.send(82)
    yard.tick()
    assert "gs://acme-ml-runs/ is left alone" in titles(yard)
    assert ("there is no bucket gs://acme-ml-runs" if gone else "is protected by the label env=prod") in "\n".join(yard.posts)
    assert versions(yard, MORE) == ["a"]


def test_a_bucket_that_does_not_answer_is_tried_again(yard: Yard) -> None:
    """Whatever the other one does."""
    yard.send(82)
    yard.strike("facts", lambda: Unavailable("503"))
    yard.tick()
    yard.tick(2)
    assert {job.stage for job in yard.jobs().values()} == {"done"}


def test_a_step_that_was_reached_is_carried_out_although_the_policy_has_changed(yard: Yard) -> None:
    """With the parameters that it had then."""
    yard.send(82)
    yard.policy = parse("version: 1\nmode: enforce\n", source="p", actions={})
    yard.tick()
    assert versions(yard) == ["a"]


def test_an_action_that_this_version_does_not_know_is_left_alone(yard: Yard) -> None:
    """An older version was deployed again."""
    yard.send(82)
    key = yard.journal.keys("delete_noncurrent")[0]
    kept = yard.journal.load(key)
    assert kept
    assert kept.record.job
    yard.journal.save(kept, kept.record.but(job=kept.record.job.but(action="shred")), yard.clock.now())
    yard.watchdog().resume(key)
    assert isinstance(yard.jobs()[key], Job)
    assert yard.jobs()[key].reason.startswith(
        "this version of the watchdog does not know the action shred; deploy the one that began it again"
    )


# undone


def test_putting_the_step_back_puts_its_versions_back(yard: Yard) -> None:
    """As noncurrent ones, where no object of the name is live; where one is, that is named and stays."""
    yard.send(82)
    yard.tick()
    outcomes = yard.ann().restore_entry(budget_key(yard))
    assert [outcome.what for outcome in outcomes] == ["closed", "carried on", "carried on"]
    for bucket in (RUNS, MORE):
        assert {name: data for name, (_, _, _, data) in yard.objects.contents(bucket).items()} == {"a": b"4"}
    assert versions(yard).count("b") == 1
    assert sorted(titles(yard)[-2:]) == [f"gs://{bucket}/: put back 1 of 2 noncurrent versions" for bucket in (MORE, RUNS)]
    assert "an object of this name is live, and would be replaced; by hand: gcloud storage restore" in yard.posts[-1]


def test_putting_the_step_back_calls_off_what_has_not_begun(yard: Yard) -> None:
    """Before the next tick takes it up."""
    yard.send(82)
    yard.ann().restore_entry(budget_key(yard))
    yard.tick()
    assert {job.stage for job in yard.jobs().values()} == {"cancelled"}
    assert versions(yard) == ["a", "a", "b"]
    assert sorted(titles(yard)[1:])[-2:] == ["gs://acme-ml-more/: called off", "gs://acme-ml-runs/: called off"]


def test_one_of_them_can_be_put_back_by_itself(yard: Yard) -> None:
    """By the key in its message."""
    yard.send(82)
    yard.tick()
    (key,) = [key for key, job in yard.jobs().items() if job.bucket == MORE]
    assert [outcome.entry for outcome in yard.ann().restore_entry(key)] == [key]
    assert yard.objects.names(MORE) == ["a"]
    assert yard.objects.names(RUNS) == ["a"]


def test_what_a_step_began_is_shown_with_it() -> None:
    """All of it in a terminal, and the first few in a message."""
    buckets = [f"acme-ml-{number}" for number in range(5)]
    yard = Yard(a_policy(f"{{at: 80%, do: [{{delete_noncurrent: {{buckets: [{', '.join(buckets)}], older_than: 30d}}}}]}}"))
    yard.send(82)
    entry = yard.ann().entry(budget_key(yard))
    assert outcome_text(entry).count("delete_noncurrent-") == 5
    assert "and 2 more" in yard.posts[0]


def test_where_versioning_was_switched_off_nothing_is_put_back(yard: Yard) -> None:
    """It could only come back as the live object; the message names the command for whoever wants that."""
    yard.send(82)
    yard.tick()
    yard.objects.change(RUNS, versioned=False)
    (key,) = [key for key, job in yard.jobs().items() if job.bucket == RUNS]
    yard.ann().restore_entry(key)
    assert yard.objects.restored == []
    assert titles(yard)[-1] == "gs://acme-ml-runs/: put back 0 of 2 noncurrent versions"
    assert "by hand: gcloud storage restore" in yard.posts[-1]


def test_a_version_that_the_bucket_no_longer_keeps_is_named(yard: Yard) -> None:
    """Somebody shortened the window."""
    yard.send(82)
    yard.tick()
    yard.objects.buckets[MORE].soft_deleted.clear()
    (key,) = [key for key, job in yard.jobs().items() if job.bucket == MORE]
    yard.ann().restore_entry(key)
    assert titles(yard)[-1] == "gs://acme-ml-more/: put back 0 of 2 noncurrent versions"
    assert yard.jobs()[key].portions[0].lost == 2


def test_an_object_that_somebody_writes_while_a_version_comes_back_stays(yard: Yard) -> None:
    """That has made the version noncurrent already."""
    yard.send(82)
    yard.tick()
    (key,) = [key for key, job in yard.jobs().items() if job.bucket == MORE]
    yard.meanwhile("find object", lambda: yard.put("b", b"new", bucket=MORE))
    yard.ann().restore_entry(key)
    assert yard.objects.contents(MORE)["b"][3] == b"new"
    assert versions(yard, MORE).count("b") == 1
