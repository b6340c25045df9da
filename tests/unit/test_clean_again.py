"""A deletion that does not go straight through: Slack was down, the plan grew old, a person calls it off, the policy changes, the record is torn."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.entry import Entry
from shared.errors import Gone, Unavailable
from shared.journal import Kept
from shared.objects.clean import STALE
from shared.objects.job import part_key, rule_id
from shared.objects.ledger import Ledger
from shared.objects.portions import GIVE_UP
from shared.ports import Stored
from tests.stage import Crash
from tests.yard import DAY, RUNS, Yard, a_rule, the_policy

MARKER = "runs/run-1/_FAILED"
LOG = "runs/run-1/logs/train.log"
RECORD = rule_id(RUNS, "runs/{run}/")


@pytest.fixture
def yard() -> Yard:
    """A bucket with the usual policy over it."""
    return Yard(the_policy())


def titles(yard: Yard) -> list[str]:
    """The first lines of all messages."""
    return [post.split("\n", 1)[0] for post in yard.posts]


def half(yard: Yard, *, objects: int = 5) -> list[str]:
    """The first portion of a run is deleted, and the time of that invocation was over; the answer is the names of the checkpoints."""
    names = yard.announced(objects=objects)
    yard.clock.sleep(DAY.total_seconds())
    yard.hooks.after = lambda called: yard.clock.sleep(20) if called == "delete batch" else None
    assert yard.watchdog(time_budget=timedelta(seconds=10)).resume(yard.key()).what == "unfinished"
    yard.heal()
    yard.tasks.asked.clear()
    assert len(yard.objects.deleted) == yard.portion
    return names


# nobody could be told


def test_as_long_as_nobody_could_be_told_nothing_is_deleted(yard: Yard) -> None:
    """However long Slack is down: the wait is there for people to call it off."""
    yard.messenger.down = True
    yard.announced()
    for _ in range(3):
        yard.hours(24)
    assert (yard.objects.deleted, yard.posts, yard.job().stage) == ([], [], "waiting")


def test_whoever_was_told_late_has_as_long_as_everybody_else(yard: Yard) -> None:
    """The wait counts from when the message arrived."""
    yard.messenger.down = True
    yard.announced()
    yard.hours(20)
    yard.messenger.down = False
    yard.hours(2)
    assert len(yard.posts) == 1
    yard.hours(23)
    yard.hours(0.5)
    assert yard.objects.deleted == []
    yard.hours(1)
    assert yard.names() == [LOG]


# recorded twice


def test_an_entry_that_a_late_worker_recorded_anew_is_left_without_a_word(yard: Yard) -> None:
    """It was carried out and closed before; the closed one stays as it is."""
    yard.announced()
    yard.ann().cancel(yard.key())
    key = yard.key()
    (closed,) = yard.closed()
    assert closed.job
    anew = Entry(key=key, created=yard.clock.now(), job=closed.job.but(stage="noticed", told=None))
    yard.journal.save(Kept(anew, 0), anew, yard.clock.now())
    yard.tick()
    assert yard.journal.keys() == []
    assert yard.job().stage == "cancelled"
    assert len(yard.posts) == 2


# a record that cannot be read


def test_where_the_record_of_the_day_cannot_be_read_nothing_is_deleted(yard: Yard) -> None:
    """What went today is not known then. It is told once, and goes on when an earlier version of the record was put back."""
    yard.announced()
    name = f"rules/{RECORD}.json"
    generation = yard.bucket.write(name, b"{", generation=0)
    yard.hours(24)
    yard.hours(1)
    assert titles(yard)[1:] == ["Run run-1: cannot go on"]
    assert f"{name}: cannot be read" in yard.posts[1]
    assert (yard.objects.deleted, yard.job().stage) == ([], "planning")
    yard.bucket.write(name, Ledger().model_dump_json().encode(), generation=generation)
    yard.hours(1)
    assert yard.names() == [LOG]


def test_a_sibling_that_cannot_be_read_stops_it(yard: Yard) -> None:
    """It may be working on the same run."""
    yard.run()
    yard.fail()
    torn = f"entries/{yard.key()[:-1]}x.json"
    yard.bucket.write(torn, b"{", generation=0)
    yard.tick()
    assert "Run run-1: cannot go on" in titles(yard)
    assert yard.job().stage == "noticed"


def test_a_closed_sibling_without_a_job_says_nothing(yard: Yard) -> None:
    """Whatever it is."""
    yard.run()
    yard.fail()
    odd = Entry(key=f"{yard.key()}0", created=yard.clock.now())
    yard.journal.close(Kept(odd, 0))
    yard.tick()
    assert yard.job().stage == "waiting"


# a sign that nobody wrote


def test_a_sign_that_is_not_there_does_not_put_a_real_one_off(yard: Yard) -> None:
    """Whoever may publish could make up later signs for ever."""
    yard.announced()
    yard.clock.sleep(60)
    yard.put(MARKER.replace("_FAILED", "x"))
    real = yard.objects.buckets[RUNS].live.pop("runs/run-1/x")
    assert real
    kept = yard.journal.load(yard.key())
    assert kept
    job = kept.record.job
    assert job
    assert job.sign
    made_up = job.but(
        stage="noticed", sign=job.sign.but(generation=job.sign.generation + 1, at=yard.clock.now()), due_at=yard.clock.now() + 3 * DAY
    )
    yard.journal.create(Entry(key=f"{yard.key()}9", created=yard.clock.now(), job=made_up), yard.clock.now())
    yard.hours(24)
    assert yard.names() == [LOG]


# called off while it is carried out


def test_calling_off_a_deletion_leaves_the_rest(yard: Yard) -> None:
    """What is gone stays gone until somebody puts it back; the message says how."""
    yard.portion = 2
    names = half(yard)
    assert yard.ann().cancel(yard.key()).what == "carried on"
    assert len(yard.objects.deleted) == 2
    assert (yard.job().stage, yard.job().reason) == ("done", "called off by ann")
    assert titles(yard)[1:] == ["Run run-1: deleted 2 of 6 objects, 2.0 GiB"]
    assert f"python -m functions restore --entry {yard.key()}" in yard.posts[1]
    yard.ann().restore_entry(yard.key())
    assert yard.names() == sorted([*names, MARKER, LOG])


def test_calling_off_a_deletion_stops_its_parts() -> None:
    """Those that have not begun begin nothing; then it is told what was deleted."""
    yard = Yard(the_policy(), portion=2)
    yard.announced(objects=20)
    yard.hours(24)
    yard.watchdog().resume(part_key(yard.key(), 0))
    yard.ann().cancel(yard.key())
    yard.tick(2)
    yard.tick(2)
    assert (yard.job().stage, yard.job().changed, yard.job().reason) == ("done", 2, "called off by ann")
    assert [key for key in yard.journal.keys() if "_part" in key] == []  # noqa: SIM118  # a method of the journal
    assert titles(yard)[1:] == ["Run run-1: deleted 2 of 21 objects, 2.0 GiB"]


def test_a_part_that_has_just_begun_stops_before_its_portion() -> None:
    """It asks the whole once more, right before it deletes anything."""
    yard = Yard(the_policy(), portion=2)
    yard.announced(objects=20)
    yard.hours(24)
    whole, part = yard.key(), part_key(yard.key(), 0)
    real, asked = yard.bucket.read, 0

    def read(name: str) -> Stored | None:
        nonlocal asked
        if name == f"entries/{whole}.json":
            asked += 1
            if asked == 2:
                yard.ann().cancel(whole)
        return real(name)

    yard.bucket.read = read  # type: ignore[method-assign]  # the same, and in between somebody acts
    assert yard.watchdog().resume(part).what == "closed"
    assert (yard.objects.deleted, yard.jobs()[part].reason) == ([], "called off by ann")


def test_a_part_that_gives_up_leaves_what_it_could_not_delete() -> None:
    """So that the whole does not begin it again."""
    yard = Yard(the_policy(), portion=2)
    names = yard.announced(objects=20)
    yard.hours(24)
    part = part_key(yard.key(), 3)
    kept = yard.journal.load(part)
    assert kept
    assert kept.record.job
    yard.journal.save(kept, kept.record.but(job=kept.record.job.but(tries=GIVE_UP)), yard.clock.now())
    yard.objects.fail("delete", names[6], "unavailable")
    assert yard.watchdog().resume(part).what == "closed"
    (portion,) = yard.jobs()[part].portions
    assert (portion.changed, portion.left, portion.failed) == (1, 1, 0)


# the policy changes, people act


def test_what_the_policy_keeps_by_now_stays(yard: Yard) -> None:
    """Although it stands in the plan."""
    yard.portion = 2
    names = half(yard)
    yard.policy = the_policy(
        a_rule().replace("logs/**", "{**/00003.bin,logs/**}").replace("'{**/00003.bin,logs/**}'", "'**/00003.bin', 'logs/**'")
    )
    yard.tick(1)
    assert yard.names() == sorted([names[3], LOG])
    assert "the policy keeps it now (1): `ckpt/00003.bin`" in yard.posts[1]
    assert yard.job().changed == 5


@pytest.mark.parametrize(("fate", "words"), [("held", "was put under a hold or a retention"), ("changed", "was written to")])
def test_whoever_holds_or_writes_one_object_saves_the_rest(yard: Yard, fate: str, words: str) -> None:
    """No further batch is begun, and the sign stays."""
    yard.workers = 1
    names = yard.announced(objects=500)
    yard.objects.fail("delete", names[150], fate)  # type: ignore[arg-type]  # one of the fates
    yard.hours(24)
    assert len(yard.objects.deleted) == 199
    assert (yard.job().stage, yard.job().reason) == ("done", f"{names[150]} {words} while the run was being deleted")
    assert MARKER in yard.names()


# a plan that had to wait


def late(yard: Yard) -> None:
    """For longer than a plan keeps, the bucket does not answer."""

    def down(called: str) -> None:
        if called == "facts":
            raise Unavailable("503")

    yard.hooks.before = down
    for _ in range(8):
        yard.tick(20)
    yard.heal()


def test_a_plan_that_could_not_be_begun_for_long_is_made_anew(yard: Yard) -> None:
    """What was seen so long ago is no reason to delete anything now."""
    yard.announced()
    yard.clock.sleep(DAY.total_seconds())

    def crash(called: str) -> None:
        if called == "write" and yard.job().stage == "working":
            raise Crash

    yard.hooks.before = crash
    with pytest.raises(Crash):
        yard.watchdog().resume(yard.key())
    yard.heal()
    assert (yard.job().stage, yard.objects.deleted) == ("working", [])
    yard.clock.sleep(STALE.total_seconds() + 1)
    yard.put("runs/run-1/ckpt/new.bin")
    yard.tick(2)
    assert (yard.job().stage, yard.objects.deleted) == ("left", [])
    assert "ckpt/new.bin was written at" in yard.posts[1]


def test_what_is_left_of_a_plan_that_had_to_wait_is_planned_anew(yard: Yard) -> None:
    """What went before stays on record, in the count, and in what can be undone."""
    yard.portion = 2
    names = half(yard)
    late(yard)
    yard.put("runs/run-1/logs/more.log", ago=2 * DAY)
    yard.tick(61)
    job = yard.job()
    assert (job.stage, job.changed, [portion.superseded for portion in job.portions].count(True)) == ("done", 6, 1)
    assert titles(yard)[-1] == "Run run-1: deleted 6 objects, 5.0 GiB"
    yard.ann().restore_entry(yard.key())
    assert yard.names() == sorted([*names, MARKER, LOG, "runs/run-1/logs/more.log"])


def test_a_run_that_came_to_life_while_its_plan_had_to_wait_is_left_alone(yard: Yard) -> None:
    """It is told what is gone already."""
    yard.portion = 2
    half(yard)
    late(yard)
    yard.put("runs/run-1/ckpt/new.bin")
    yard.tick(61)
    assert len(yard.objects.deleted) == 2
    assert (yard.job().stage, yard.job().changed) == ("done", 2)
    assert yard.job().reason.startswith("ckpt/new.bin was written at")


def test_a_plan_that_is_over_a_limit_by_now_leaves_the_rest(yard: Yard) -> None:
    """Nobody is asked to approve what was begun already."""
    yard.portion = 2
    half(yard)
    late(yard)
    yard.policy = the_policy(a_rule(limits="{objects: 2}"))
    yard.tick(61)
    assert (yard.job().stage, yard.job().changed) == ("done", 2)
    assert yard.job().reason == "it has 4 objects to delete, and limits.objects allows 2"


# what is put back


def test_parts_that_wait_for_something_are_woken_when_everything_is_to_be_put_back() -> None:
    """Otherwise putting back would wait as long as they do."""
    yard = Yard(the_policy(), portion=2)
    names = yard.announced(objects=20)
    for number in (6, 7):
        yard.objects.fail("delete", names[number], "denied", reason="no permission")
    yard.hours(24)
    yard.drive()
    waiting = part_key(yard.key(), 3)
    assert yard.journal.keys() == [yard.key(), waiting]
    yard.ann().restore_entry(yard.key())
    assert yard.tasks.asked == [waiting]
    assert yard.drive() == 2
    assert yard.jobs()[waiting].reason == "the rest of the plan was called off"
    yard.tick(1)
    assert yard.names() == sorted([*names, MARKER, LOG])
    assert titles(yard)[-1] == "Run run-1: put back 18 of 18 objects"


def test_without_a_tasks_topic_the_ticks_end_the_parts() -> None:
    """Whoever asked has no topic, such as in a terminal."""
    yard = Yard(the_policy(), portion=2)
    names = yard.announced(objects=20)
    yard.hours(24)
    yard.tasks = None  # type: ignore[assignment]  # a world without one
    yard.ann().restore_entry(yard.key())
    yard.tick(1)
    yard.tick(2)
    assert yard.names() == sorted([*names, MARKER, LOG])


def test_where_the_tasks_topic_takes_nothing_the_ticks_end_the_parts(caplog: pytest.LogCaptureFixture) -> None:
    """That the parts could not be woken keeps nothing from being put back."""
    yard = Yard(the_policy(), portion=2)
    names = yard.announced(objects=20)
    yard.hours(24)
    yard.tasks.down = True
    yard.ann().restore_entry(yard.key())
    assert "the tasks topic did not take it, so the next tick looks at it" in caplog.text
    yard.tick(1)
    yard.tick(2)
    assert yard.names() == sorted([*names, MARKER, LOG])


def test_a_part_cannot_be_put_back_by_itself() -> None:
    """It belongs to a whole, which the error names."""
    yard = Yard(the_policy(), portion=2)
    yard.announced(objects=20)
    yard.hours(24)
    part = part_key(yard.key(), 3)
    with pytest.raises(Gone, match=f"^{part} is a part of {yard.key()}, which is put back, approved or called off as a whole$"):
        yard.ann().restore_entry(part)


def test_a_damaged_manifest_loses_only_what_it_lists(yard: Yard) -> None:
    """The others are put back, and it is named."""
    yard.portion = 2
    names = yard.announced(objects=5)
    yard.hours(24)
    damaged = [name for name in yard.bucket.objects if name.startswith("manifests/")][1]
    data, generation, metadata = yard.bucket.objects[damaged]
    yard.bucket.objects[damaged] = (data[:-8], generation, metadata)
    yard.ann().restore_entry(yard.key())
    assert yard.names() == sorted([*names[:2], names[4], MARKER, LOG])
    assert titles(yard)[2:] == ["Run run-1: put back 4 of 6 objects"]
    assert "is damaged" in yard.posts[2]


def test_a_sign_that_came_back_counts_for_nothing_although_its_entry_is_still_open(yard: Yard) -> None:
    """Slack is down, so that it is not told yet."""
    yard.announced()
    yard.hours(24)
    yard.messenger.down = True
    yard.ann().restore_entry(yard.key())
    yard.notice(MARKER)
    yard.tick()
    assert sorted(job.stage for job in yard.jobs().values()) == ["left", "undone"]
