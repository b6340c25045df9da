"""A deletion is undone: what comes back, what does not and why, and that a sign which only came back with its run is none."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.errors import Denied, Gone, Unavailable
from shared.objects.portions import GIVE_UP
from tests.stage import Crash
from tests.yard import DAY, HOUR, RUNS, Yard, a_rule, the_policy

MARKER = "runs/run-1/_FAILED"
LOG = "runs/run-1/logs/train.log"


@pytest.fixture
def yard() -> Yard:
    """A bucket with the usual policy over it."""
    return Yard(the_policy())


def deleted(yard: Yard, *, objects: int = 3) -> list[str]:
    """A run was deleted; the answer is the names of its checkpoints."""
    names = yard.announced(objects=objects)
    yard.hours(24)
    yard.drive()
    return names


def restore(yard: Yard) -> str:
    """Ann asks for it to be put back; the answer is what became of that, in a word."""
    (outcome,) = yard.ann().restore_entry(yard.key())
    return outcome.what


def titles(yard: Yard) -> list[str]:
    """The first lines of the messages after the announcement and the deletion."""
    return [post.split("\n", 1)[0] for post in yard.posts[2:]]


# what comes back


@pytest.mark.parametrize(("objects", "portion", "workers"), [(3, 10_000, 1), (250, 10_000, 8), (7, 2, 1)])
def test_everything_comes_back_as_it_was(objects: int, portion: int, workers: int) -> None:
    """Names, sizes, classes, contents; each is a new generation. It is told, and the entry is filed away."""
    yard = Yard(the_policy(), portion=portion, workers=workers)
    yard.run("run-1", objects=objects)
    yard.put("runs/run-1/cold.bin", b"cold", storage_class="COLDLINE", ago=HOUR)
    yard.put(MARKER, b"why")
    yard.notice(MARKER)
    before = yard.objects.contents(RUNS)
    yard.tick()
    yard.hours(24)
    assert yard.names() == [LOG]
    assert restore(yard) == "closed"
    assert yard.objects.contents(RUNS) == before
    assert titles(yard) == [f"Run run-1: put back {objects + 2} of {objects + 2} objects"]
    assert "Asked for by ann." in yard.posts[2]
    assert (yard.job().stage, yard.job().undone_at, yard.journal.keys()) == ("undone", yard.clock.now(), [])


def test_what_was_put_back_is_not_put_back_twice(yard: Yard) -> None:
    """A second request finds that nothing of it is left to do."""
    deleted(yard)
    restore(yard)
    assert restore(yard) == "closed"
    assert len(yard.objects.restored) == 4


def test_an_object_that_somebody_wrote_meanwhile_stays(yard: Yard) -> None:
    """It is newer than what was deleted; it is named, and the rest comes back."""
    checkpoints = deleted(yard)
    written = yard.put(checkpoints[0], b"another")
    assert restore(yard) == "carried on"  # what did not come back can be asked for again
    assert yard.objects.find(RUNS, checkpoints[0]) == written
    assert titles(yard) == ["Run run-1: put back 3 of 4 objects"]
    assert "• another object of this name is there now (1): `ckpt/00000.bin`" in yard.posts[2]
    assert yard.job().portions[0].lost == 1


def test_an_object_that_somebody_put_back_already_counts_as_back(yard: Yard) -> None:
    """It has the same content, whatever its generation."""
    yard.run()
    yard.put("runs/run-1/config.yaml", b"lr: 1", ago=HOUR)
    yard.fail()
    yard.tick()
    yard.hours(24)
    yard.put("runs/run-1/config.yaml", b"lr: 1")
    restore(yard)
    assert titles(yard) == ["Run run-1: put back 5 of 5 objects"]
    assert "runs/run-1/config.yaml" not in {change.name for change in yard.objects.restored}


def test_what_was_never_deleted_is_not_told_as_put_back(yard: Yard) -> None:
    """It is there as it was."""
    yard.announced()
    yard.objects.fail("delete", "runs/run-1/ckpt/00001.bin", "refused", reason="a fault")
    yard.hours(24)
    restore(yard)
    assert titles(yard) == ["Run run-1: put back 3 of 3 objects"]


def test_a_deletion_that_was_stopped_halfway_is_undone_as_far_as_it_came() -> None:
    """What was written anew stays as it is."""
    yard = Yard(the_policy(), portion=2)
    checkpoints = yard.announced(objects=5)
    yard.meanwhile("delete batch", lambda: yard.put(checkpoints[1], b"alive"))
    yard.hours(24)
    assert yard.job().changed == 1
    restore(yard)
    assert yard.names() == sorted([*checkpoints, MARKER, LOG])
    assert titles(yard) == ["Run run-1: put back 1 of 2 objects"]


def test_what_the_bucket_no_longer_keeps_is_named(yard: Yard) -> None:
    """Somebody shortened the window, so that it ended before the message said so."""
    deleted(yard)
    yard.objects.buckets[RUNS].soft_deleted.clear()
    restore(yard)
    assert titles(yard) == ["Run run-1: put back 0 of 4 objects"]
    assert "it is no longer kept (4)" in yard.posts[2]
    assert sum(portion.lost for portion in yard.job().portions) == 4


def test_in_a_bucket_with_versions_the_noncurrent_ones_come_back() -> None:
    """As live objects, also where there is no soft delete."""
    yard = Yard(the_policy(a_rule(require_soft_delete="false")))
    yard.objects.change(RUNS, versioned=True, soft_delete=timedelta(0))
    yard.run()
    before = yard.names()
    yard.fail()
    yard.tick()
    yard.hours(24)
    assert yard.names() == [LOG]
    restore(yard)
    assert yard.names() == sorted([*before, MARKER])


def test_where_nothing_is_kept_nothing_can_be_undone() -> None:
    """The policy did without soft delete, so the entry is closed at once, and whoever asks is told."""
    yard = Yard(the_policy(a_rule(require_soft_delete="false")))
    yard.objects.change(RUNS, soft_delete=timedelta(0))
    deleted(yard)
    with pytest.raises(Gone, match=r"^it is too late to undo run-.*: the bucket no longer keeps what was deleted$"):
        restore(yard)


def test_after_the_window_it_is_too_late(yard: Yard) -> None:
    """The entry is closed, and whoever asks is told."""
    deleted(yard)
    yard.hours(7 * 24)
    assert yard.journal.keys() == []
    with pytest.raises(Gone, match="it is too late to undo"):
        restore(yard)
    assert (yard.objects.restored, yard.job().stage) == ([], "done")


def test_what_was_left_alone_needs_no_undoing(yard: Yard) -> None:
    """Nothing of it was deleted, so that nothing is too late either."""
    yard.announced()
    yard.put("runs/run-1/_SUCCESS")
    yard.hours(24)
    assert restore(yard) == "closed"


# what stands in the way


def test_what_is_unavailable_is_put_back_later_without_a_word(yard: Yard) -> None:
    """The rest is back already."""
    checkpoints = deleted(yard)
    yard.objects.fail("restore", checkpoints[1], "unavailable", times=4)
    assert restore(yard) == "carried on"
    assert checkpoints[1] not in yard.names()
    assert (yard.job().stage, yard.job().tries, titles(yard)) == ("undoing", 1, [])
    yard.tick(1)
    assert (yard.job().stage, yard.job().tries) == ("undone", 0)
    assert titles(yard) == ["Run run-1: put back 4 of 4 objects"]
    assert "NOT PUT BACK" not in yard.posts[2]


def test_how_much_was_deleted_stays_on_record_while_it_is_put_back(yard: Yard) -> None:
    """Also where that has to be tried again."""
    checkpoints = deleted(yard)
    yard.objects.fail("restore", checkpoints[1], "unavailable", times=4)
    restore(yard)
    yard.tick(1)
    assert (yard.job().changed, sum(portion.back for portion in yard.job().portions)) == (4, 4)


def test_what_stays_unavailable_is_told_and_in_the_end_named(yard: Yard) -> None:
    """After more than a day of attempts."""
    checkpoints = deleted(yard)
    yard.objects.fail("restore", checkpoints[1], "unavailable", reason="503 backend")
    restore(yard)
    for _ in range(GIVE_UP + 1):
        yard.tick(61)
    assert titles(yard) == ["Run run-1: cannot be put back now", "Run run-1: put back 3 of 4 objects"]
    assert f"1 objects could not be put back yet, such as {checkpoints[1]}: 503 backend" in yard.posts[2]
    assert "1 could not be put back, however often it was tried" in yard.posts[3]
    assert yard.job().stage == "undone"


def test_an_answer_that_was_lost_is_found_done(yard: Yard) -> None:
    """The object is there with the same content."""
    checkpoints = deleted(yard)
    yard.objects.lose("restore", checkpoints[1])
    assert restore(yard) == "closed"
    assert titles(yard) == ["Run run-1: put back 4 of 4 objects"]


def test_whether_an_object_is_back_is_asked_again_where_it_cannot_be_asked_now(yard: Yard) -> None:
    """It counts as not put back yet."""
    checkpoints = deleted(yard)
    yard.put(checkpoints[0], b"another")

    def fail(called: str) -> None:
        if called == "find object":
            raise Unavailable("503")

    yard.hooks.before = fail
    assert restore(yard) == "carried on"
    assert yard.job().portions[0].settled == 0
    yard.heal()
    yard.tick(1)
    assert titles(yard) == ["Run run-1: put back 3 of 4 objects"]


def test_a_missing_permission_is_told_once_and_everything_comes_back_when_it_is_there(yard: Yard) -> None:
    """The message says which."""
    names = deleted(yard)
    for name in (*names, MARKER):
        yard.objects.fail("restore", name, "denied", reason="storage.objects.restore is missing")
    restore(yard)
    for _ in range(3):
        yard.tick(61)
    assert titles(yard) == ["Run run-1: cannot be put back now"]
    assert "storage.objects.restore is missing" in yard.posts[2]
    yard.objects.heal()
    yard.tick(61)
    assert titles(yard)[1:] == ["Run run-1: put back 4 of 4 objects"]
    assert "WHY THE REST" not in yard.posts[3]


def test_where_objects_cannot_be_looked_up_it_stops_and_is_tried_again(yard: Yard) -> None:
    """What came back before that is found back."""
    checkpoints = deleted(yard)
    yard.put(checkpoints[2], b"another")
    yard.strike("find object", lambda: Denied("storage.objects.get is missing"))
    restore(yard)
    assert titles(yard) == ["Run run-1: cannot be put back now"]
    yard.tick(2)
    assert titles(yard)[1:] == ["Run run-1: put back 3 of 4 objects"]


def test_undoing_goes_on_while_everything_else_is_stopped(yard: Yard) -> None:
    """The mode is observe: that forbids changes, and not to take them back."""
    deleted(yard)
    yard.policy = the_policy(mode="observe")
    assert restore(yard) == "closed"
    assert yard.job().stage == "undone"


def test_undoing_that_takes_longer_than_an_invocation_goes_on_in_the_next() -> None:
    """Through the tasks topic."""
    yard = Yard(the_policy(), portion=250)
    names = deleted(yard, objects=700)
    yard.seconds = 5
    yard.hooks.after = lambda called: yard.clock.sleep(10) if called == "restore batch" else None
    assert restore(yard) == "unfinished"
    assert yard.drive() > 5
    assert yard.names() == sorted([*names, MARKER, LOG])
    assert titles(yard) == ["Run run-1: put back 701 of 701 objects"]
    assert len(yard.objects.restored) == 701


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("number", [1, 101, 150, 300])
def test_a_worker_that_is_killed_while_it_puts_back_leaves_nothing_behind(side: str, number: int) -> None:
    """Whoever goes on finds back what is back."""
    yard = Yard(the_policy(), portion=200)
    names = deleted(yard, objects=399)
    yard.strike("restore one", Crash, side=side, number=number)
    with pytest.raises(Crash):
        restore(yard)
    yard.heal()
    yard.tick(2)
    assert yard.names() == sorted([*names, MARKER, LOG])
    assert titles(yard) == ["Run run-1: put back 400 of 400 objects"]
    assert len(yard.objects.restored) == 400


# while it is being deleted


def test_undoing_what_is_being_deleted_stops_that_first() -> None:
    """The request is recorded at once; the worker sees it at its next save, and whoever comes next puts back."""
    yard = Yard(the_policy(), portion=100)
    names = yard.announced(objects=450)
    yard.clock.sleep(DAY.total_seconds())
    asked: list[str] = []

    def ask(called: str) -> None:
        yard.clock.sleep(6) if called == "delete batch" else None
        if called == "delete batch" and not asked:
            asked.append(restore(yard))

    yard.hooks.after = ask
    assert yard.watchdog().resume(yard.key()).what == "busy"
    assert asked == ["busy"]
    assert 0 < len(yard.objects.deleted) < 450
    yard.heal()
    yard.tick(2)
    assert yard.names() == sorted([*names, MARKER, LOG])
    assert yard.posts[1].startswith(f"Run run-1: put back {len(yard.objects.deleted):,} of {len(yard.objects.deleted):,} objects")


def test_undoing_waits_until_no_part_works_any_more() -> None:
    """What a part is about to delete could not be put back; parts that have not begun begin nothing."""
    yard = Yard(the_policy(), portion=2)
    names = yard.announced(objects=20)
    yard.hours(24)
    parts = [key for key, job in yard.jobs().items() if job.parent]
    for part in parts[:3]:
        yard.watchdog().resume(part)
    assert restore(yard) == "carried on"
    assert (yard.job().stage, yard.objects.restored) == ("undoing", [])
    for part in parts[3:]:
        assert yard.watchdog().resume(part).what == "closed"
    assert len(yard.objects.deleted) == 6
    yard.tasks.asked.clear()
    yard.tick(1)
    assert yard.names() == sorted([*names, MARKER, LOG])
    assert yard.posts[1].startswith("Run run-1: put back 6 of 6 objects")


# a sign that only came back with its run


def test_a_sign_that_came_back_with_its_run_does_not_count_again(yard: Yard) -> None:
    """Storage says that it was written, and nothing comes of it: otherwise the run would be deleted again."""
    deleted(yard)
    restore(yard)
    assert yard.notice(MARKER) == ["noticed"]
    yard.tick()
    (second,) = [job for job in yard.jobs().values() if job.stage == "left"]
    assert "and its sign of failure with it; see run-" in second.reason
    assert len(yard.posts) == 3
    assert yard.notice(MARKER) == ["known"]


def test_a_sign_that_comes_back_while_its_run_is_put_back_is_looked_at_afterwards(yard: Yard) -> None:
    """Until then it waits without a word."""
    names = deleted(yard)
    yard.objects.fail("restore", names[0], "unavailable", times=4)
    restore(yard)
    assert yard.notice(MARKER) == ["noticed"]
    yard.tick(0.5)
    assert sorted(job.stage for job in yard.jobs().values()) == ["noticed", "undoing"]
    for _ in range(4):
        yard.tick(1)
    assert sorted(job.stage for job in yard.jobs().values()) == ["left", "undone"]
    assert titles(yard) == ["Run run-1: put back 4 of 4 objects"]


def test_a_run_that_fails_again_after_it_was_put_back_counts_again(yard: Yard) -> None:
    """Its sign is new."""
    deleted(yard)
    restore(yard)
    yard.clock.sleep(600)
    assert yard.fail() == ["noticed"]
    yard.tick()
    yard.hours(24)
    assert yard.names() == [LOG]
    assert titles(yard)[-1] == "Run run-1: deleted 4 objects, 3.0 GiB"


def test_a_second_sign_that_is_told_of_late_waits_until_the_run_is_gone() -> None:
    """It went with the run, and nobody hears of it."""
    yard = Yard(the_policy(a_rule().replace("[failed_marker]", "[failed_marker, ray_tune]")))
    yard.put("runs/run-1/error.txt", ago=HOUR)
    names = yard.announced()
    yard.clock.sleep(DAY.total_seconds() + 60)
    yard.objects.fail("delete", names[0], "unavailable", times=4)
    assert yard.notice("runs/run-1/error.txt") == ["noticed"]
    yard.tick(0)
    assert sorted(job.stage for job in yard.jobs().values()) == ["noticed", "working"]
    yard.tick(1)
    yard.tick(2)
    assert sorted(job.stage for job in yard.jobs().values()) == ["done", "left"]
    assert len(yard.posts) == 2
