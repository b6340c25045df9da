"""The deletion of a run: portion by portion, batch by batch, what each answer means, and how it is spread over many instances."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from shared.errors import Denied, JournalError, Unavailable
from shared.objects.job import NAMED, part_key
from shared.objects.portions import GIVE_UP
from shared.ports import Fate
from tests.stage import Crash
from tests.yard import DAY, GIB, RUNS, Yard, a_rule, the_policy

MARKER = "runs/run-1/_FAILED"
LOG = "runs/run-1/logs/train.log"


@pytest.fixture
def yard() -> Yard:
    """A bucket with the usual policy over it."""
    return Yard(the_policy())


def due(yard: Yard, *, objects: int = 3) -> list[str]:
    """A run's deletion was announced, and its time has come; the answer is the names of its checkpoints."""
    names = yard.announced(objects=objects)
    yard.clock.sleep(DAY.total_seconds())
    return names


def go(yard: Yard, seconds: float = 240) -> str:
    """One invocation works on it."""
    return yard.watchdog(time_budget=timedelta(seconds=seconds)).resume(yard.key()).what


def slow(yard: Yard, seconds: float) -> None:
    """Every batch takes so long."""
    yard.hooks.after = lambda called: yard.clock.sleep(seconds) if called.endswith("batch") else None


def title(post: str) -> str:
    """A message's first line."""
    return post.split("\n", 1)[0]


# what is deleted is written down first


def test_nothing_is_deleted_before_it_is_written_down_and_read_back(yard: Yard) -> None:
    """Killed at any moment, every object that is gone stands in a manifest that the journal names."""
    due(yard)
    calls: list[str] = []
    yard.hooks.after = calls.append
    go(yard)
    first = calls.index("delete one")
    assert calls[:first].count("write") >= 3  # the lease, the manifest, the record of the day, the plan
    assert calls[:first].index("page") < calls[:first].index("write", calls.index("page"))
    planned = {name for names in yard.manifests() for name in names}
    assert {change.name for change in yard.objects.deleted} == planned


def test_a_plan_that_does_not_read_back_is_not_carried_out(yard: Yard) -> None:
    """Somebody else writes to the state bucket."""
    due(yard)
    real = yard.bucket.read

    def altered(name: str) -> object:
        stored = real(name)
        return type(stored)(stored.data + b" ", stored.generation) if stored and b'"working"' in stored.data else stored

    yard.bucket.read = altered  # type: ignore[method-assign, assignment]  # a bucket that alters what it is given
    with pytest.raises(JournalError, match="reads differently from what was written"):
        go(yard)
    assert yard.objects.deleted == []


def test_the_sign_goes_last(yard: Yard) -> None:
    """A run that is half deleted still says that it failed."""
    yard.portion = 2
    checkpoints = due(yard, objects=5)
    go(yard)
    assert [change.name for change in yard.objects.deleted] == [*checkpoints, MARKER]


def test_what_is_written_to_the_run_after_the_look_stays(yard: Yard) -> None:
    """Only what stands in a manifest is deleted, and that by its generation."""
    due(yard)
    yard.meanwhile("delete batch", lambda: yard.put("runs/run-1/new.bin"))
    go(yard)
    assert yard.names() == [LOG, "runs/run-1/new.bin"]


@pytest.mark.parametrize("workers", [1, 4, 32])
def test_many_objects_go_in_several_portions_and_batches(workers: int) -> None:
    """However many are on their way at once, each is deleted once and counted once."""
    yard = Yard(the_policy(), workers=workers, portion=250)
    checkpoints = due(yard, objects=1234)
    assert go(yard) == "carried on"
    assert yard.names() == [LOG]
    assert [portion.objects for portion in yard.job().portions] == [250, 250, 250, 250, 234, 1]
    assert (yard.job().changed, yard.job().changed_bytes) == (1235, 1234 * GIB)
    assert sorted(change.name for change in yard.objects.deleted) == sorted([*checkpoints, MARKER])


# what an answer means


def test_what_is_gone_already_counts_as_done(yard: Yard) -> None:
    """A repeat after a crash finds its own work done."""
    checkpoints = due(yard)
    yard.meanwhile("delete batch", lambda: yard.objects.remove(RUNS, checkpoints[0]))
    go(yard)
    assert (yard.job().stage, yard.job().changed) == ("done", 4)
    assert title(yard.posts[1]) == "Run run-1: deleted 4 objects, 3.0 GiB"


def test_an_object_that_was_written_anew_survives_and_stops_the_rest() -> None:
    """Somebody writes to the run while it is being deleted, so it is alive."""
    yard = Yard(the_policy(), portion=2)
    checkpoints = due(yard, objects=5)
    yard.meanwhile("delete batch", lambda: yard.put(checkpoints[1]))
    go(yard)
    assert yard.names() == sorted([*checkpoints[1:], LOG, MARKER])
    job = yard.job()
    assert (job.stage, job.changed, job.portions[0].left) == ("done", 1, 1)
    assert job.reason == f"{checkpoints[1]} was written to while the run was being deleted"
    assert title(yard.posts[1]) == "Run run-1: deleted 1 of 6 objects, 1.0 GiB"
    assert "WHY THE REST IS LEFT ALONE" in yard.posts[1]


def half_deleted(yard: Yard, objects: int = 250) -> list[str]:
    """A worker died after its second batch was deleted and before it could save that; the answer is the names of the checkpoints."""
    checkpoints = due(yard, objects=objects)
    yard.strike("delete batch", Crash, side="after", number=2)
    with pytest.raises(Crash):
        go(yard)
    yard.heal()
    assert (len(yard.objects.deleted), yard.job().changed) == (200, 0)
    yard.clock.sleep(120)
    return checkpoints


def test_what_a_worker_deleted_before_it_died_is_counted_where_the_rest_is_left() -> None:
    """Nobody reads that nothing was deleted of a run that is half gone."""
    yard = Yard(the_policy(), workers=1)
    half_deleted(yard)
    yard.put("runs/run-1/_SUCCESS")
    yard.tick()
    job = yard.job()
    assert (job.stage, job.changed, job.changed_bytes) == ("done", 200, 200 * GIB)
    assert title(yard.posts[-1]) == "Run run-1: deleted 200 of 251 objects, 200.0 GiB"


@pytest.mark.parametrize("rest", ["there", "gone"])
def test_what_a_worker_deleted_of_a_long_listing_is_counted(rest: str) -> None:
    """Page by page, to the end of what the plan lists."""
    yard = Yard(the_policy(), workers=1)
    checkpoints = half_deleted(yard, objects=2300)
    if rest == "gone":
        for name in (*checkpoints[1500:], LOG):
            yard.objects.remove(RUNS, name)
    yard.put("runs/run-1/_SUCCESS")
    yard.tick()
    assert yard.job().changed == (200 if rest == "there" else 1000)


def test_where_that_cannot_be_counted_it_is_said() -> None:
    """What passes is waited for; what does not is told with the number that is known."""
    yard = Yard(the_policy(), workers=1)
    half_deleted(yard)
    yard.put("runs/run-1/_SUCCESS")
    yard.always("page", lambda: Unavailable("503"))
    yard.tick()
    assert (yard.job().stage, len(yard.posts)) == ("working", 1)
    yard.always("page", lambda: Denied("storage.objects.list is missing"))
    yard.tick(2)
    assert yard.job().stage == "done"
    assert "it may be more than is counted here, since that could not be looked at: storage.objects.list is missing" in yard.posts[-1]


def test_what_a_worker_deleted_before_it_died_is_counted_where_all_of_it_is_looked_at_anew() -> None:
    """A plan that has become old is made again, and what the first one deleted stays on record."""
    yard = Yard(the_policy(), workers=1)
    half_deleted(yard)
    yard.clock.sleep(10 * DAY.total_seconds())
    yard.tick()
    assert yard.names() == [LOG]
    assert (yard.job().stage, yard.job().changed) == ("done", 251)


@pytest.mark.parametrize(("fate", "reason"), [("refused", "400"), ("refused", "no such class")])
def test_what_cannot_be_deleted_is_named_with_the_platforms_words(yard: Yard, fate: Fate, reason: str) -> None:
    """The others go all the same, and so does the sign."""
    checkpoints = due(yard)
    yard.objects.fail("delete", checkpoints[1], fate, reason=reason)
    go(yard)
    assert yard.names() == [checkpoints[1], LOG]
    assert (yard.job().stage, yard.job().changed, yard.job().portions[0].left) == ("done", 3, 1)
    assert title(yard.posts[1]) == "Run run-1: deleted 3 of 4 objects, 2.0 GiB"
    assert f"• {reason} (1): `ckpt/00001.bin`" in yard.posts[1]


def test_an_answer_without_words_is_named_by_what_it_is(yard: Yard) -> None:
    """A reason is never empty."""
    checkpoints = due(yard)
    yard.objects.fail("delete", checkpoints[1], "refused", reason="")
    go(yard)
    assert [each.reason for each in yard.job().portions[0].named] == ["refused"]


def test_no_more_are_named_than_a_person_reads(caplog: pytest.LogCaptureFixture) -> None:
    """Over all portions; the log names every one of them."""
    yard = Yard(the_policy(), portion=15)
    checkpoints = due(yard, objects=40)
    for name in checkpoints[:30]:
        yard.objects.fail("delete", name, "refused", reason="a fault")
    go(yard)
    assert sum(len(portion.named) for portion in yard.job().portions) == NAMED
    assert sum(portion.left for portion in yard.job().portions) == 30
    assert all(f"gs://acme-ml-runs/{name}: refused: a fault" in caplog.text for name in checkpoints[:30])


def test_what_is_unavailable_is_tried_again_later_without_a_word(yard: Yard) -> None:
    """Its portion is done anew, and finds the others gone."""
    checkpoints = due(yard)
    yard.objects.fail("delete", checkpoints[1], "unavailable", times=4)
    assert go(yard) == "carried on"
    job = yard.job()
    assert (job.stage, job.tries, job.reason, job.due_at) == ("working", 1, "", yard.clock.now() + timedelta(minutes=1))
    assert len(yard.posts) == 1
    yard.tick(1)
    assert (yard.job().stage, yard.job().changed, yard.job().tries) == ("done", 4, 0)
    assert yard.names() == [LOG]
    assert title(yard.posts[1]) == "Run run-1: deleted 4 objects, 3.0 GiB"
    assert "NOT DELETED" not in yard.posts[1]


def test_only_the_portion_that_failed_is_done_anew() -> None:
    """The others are settled."""
    yard = Yard(the_policy(), portion=2)
    checkpoints = due(yard, objects=5)
    yard.objects.fail("delete", checkpoints[2], "unavailable", times=4)
    go(yard)
    assert [portion.finished for portion in yard.job().portions] == [True, False, True, False]
    sent: list[str] = []
    yard.hooks.before = sent.append
    yard.tick(1)
    assert sent.count("delete one") == 3
    assert (yard.job().stage, yard.job().changed) == ("done", 6)


def test_the_portion_with_the_sign_waits_until_nothing_of_the_others_is_left() -> None:
    """Otherwise nothing would say any more that the run had failed, when the others are tried again."""
    yard = Yard(the_policy(), portion=2)
    checkpoints = due(yard, objects=5)
    yard.objects.fail("delete", checkpoints[2], "unavailable")
    go(yard)
    assert yard.names() == sorted([checkpoints[2], MARKER, LOG])
    for _ in range(GIVE_UP + 1):
        yard.tick(61)
    assert (yard.job().stage, yard.names()) == ("done", [checkpoints[2], LOG])


def test_what_stays_unavailable_is_told_and_in_the_end_left_and_named(yard: Yard) -> None:
    """After more than a day of attempts; what people were told in between is not told as the reason."""
    checkpoints = due(yard)
    yard.objects.fail("delete", checkpoints[1], "unavailable", reason="503 backend")
    go(yard)
    for _ in range(GIVE_UP + 2):
        yard.tick(61)
    assert [title(post) for post in yard.posts[1:]] == ["Run run-1: cannot go on", "Run run-1: deleted 3 of 4 objects, 2.0 GiB"]
    assert f"1 objects could not be deleted yet, such as {checkpoints[1]}: 503 backend" in yard.posts[1]
    assert "NOT DELETED (1)" in yard.posts[2]
    assert "1 could not be deleted, however often it was tried" in yard.posts[2]
    assert "WHY THE REST" not in yard.posts[2]
    assert yard.job().stage == "done"


def test_whoever_was_told_that_it_cannot_go_on_is_told_when_it_is_done(yard: Yard) -> None:
    """As if nothing had been: the reason of then is no reason now."""
    checkpoints = due(yard)
    yard.objects.fail("delete", checkpoints[1], "unavailable")
    go(yard)
    for _ in range(4):
        yard.tick(61)
    yard.objects.heal()
    yard.tick(61)
    assert [title(post) for post in yard.posts[1:]] == ["Run run-1: cannot go on", "Run run-1: deleted 4 objects, 3.0 GiB"]
    assert (yard.job().reason, yard.job().portions[0].named) == ("", ())


def test_a_batch_that_is_denied_as_a_whole_is_told_once_and_tried_again(yard: Yard) -> None:
    """A permission is missing, so that nothing could be deleted; once it is there, everything is."""
    names = due(yard)
    for name in (*names, MARKER):
        yard.objects.fail("delete", name, "denied", reason="storage.objects.delete is missing")
    go(yard)
    for _ in range(4):
        yard.tick(61)
    assert [title(post) for post in yard.posts[1:]] == ["Run run-1: cannot go on"]
    assert "storage.objects.delete is missing" in yard.posts[1]
    assert (yard.job().portions[0].settled, yard.objects.deleted) == (0, [])
    yard.objects.heal()
    yard.tick(61)
    assert title(yard.posts[2]) == "Run run-1: deleted 4 objects, 3.0 GiB"
    assert "WHY THE REST" not in yard.posts[2]


def test_the_only_object_of_a_batch_that_is_denied_is_tried_again(yard: Yard) -> None:
    """A permission may come."""
    yard.policy = the_policy(a_rule().replace("logs/**", "**/*.*"))
    yard.put("runs/run-1/a.bin")
    due(yard, objects=0)
    yard.objects.fail("delete", MARKER, "denied", reason="no")
    go(yard)
    assert (yard.job().stage, yard.job().tries) == ("working", 1)
    yard.objects.heal()
    yard.tick(2)
    assert (yard.job().stage, yard.job().changed) == ("done", 1)


@pytest.mark.parametrize("error", [Denied, Unavailable])
def test_a_batch_that_is_not_answered_at_all_is_tried_again(yard: Yard, error: type[Exception]) -> None:
    """Nothing is settled by it."""
    due(yard)

    def fail(called: str) -> None:
        if called == "delete batch":
            raise error("no answer")

    yard.hooks.before = fail
    go(yard)
    assert (yard.job().stage, yard.job().attempts + yard.job().tries) == ("working", 1)
    yard.heal()
    yard.tick(2)
    assert (yard.job().stage, yard.names()) == ("done", [LOG])


# before every portion it is asked again


def succeeded(yard: Yard) -> None:
    """Somebody finds that the run had succeeded."""
    yard.put("runs/run-1/_SUCCESS")


def unmarked(yard: Yard) -> None:
    """Somebody takes the marker away."""
    yard.objects.remove(RUNS, MARKER)


def failed_anew(yard: Yard) -> None:
    """The marker is written again."""
    yard.put(MARKER)


def rule_gone(yard: Yard) -> None:
    """The policy is changed, and the next invocation reads it."""
    yard.policy = the_policy(a_rule().replace("runs/{run}/", "other/{run}/"))


@pytest.mark.parametrize(
    ("happening", "reason"),
    [
        (succeeded, "_SUCCESS is there (`unless` in the policy)"),
        (unmarked, "_FAILED is gone, so nothing says any more that it failed"),
        (failed_anew, "_FAILED was written anew at"),
        (rule_gone, "the policy no longer has a rule for runs under"),
    ],
)
def test_what_happens_between_two_portions_saves_the_rest(happening: Callable[[Yard], None], reason: str) -> None:
    """What is gone until then is told, and can be put back."""
    yard = Yard(the_policy(), portion=2)
    due(yard, objects=5)
    slow(yard, 20)
    assert go(yard, seconds=10) == "unfinished"
    happening(yard)
    go(yard)
    assert len(yard.objects.deleted) == 2
    assert (yard.job().stage, yard.job().changed) == ("done", 2)
    assert yard.job().reason.startswith(reason)
    assert title(yard.posts[1]) == "Run run-1: deleted 2 of 6 objects, 2.0 GiB"


def _die(called: str, yard: Yard) -> None:
    """The worker dies right after the sign went, before that is on record."""
    if called == "delete batch" and MARKER not in yard.names():
        raise Crash


def test_the_sign_may_be_gone_when_the_last_portion_is_done_anew() -> None:
    """It went with the first attempt."""
    yard = Yard(the_policy(), portion=2)
    due(yard, objects=3)
    yard.hooks.after = lambda called: _die(called, yard)
    with pytest.raises(Crash):
        go(yard)
    yard.heal()
    assert MARKER not in yard.names()
    yard.tick(2)
    assert (yard.job().stage, yard.names()) == ("done", [LOG])


def test_a_run_that_succeeds_after_its_sign_is_gone_is_left_alone() -> None:
    """What else says that it lives still counts."""
    yard = Yard(the_policy(), portion=2)
    checkpoints = due(yard, objects=3)
    yard.objects.fail("delete", checkpoints[2], "unavailable", times=4)
    go(yard)
    succeeded(yard)
    yard.tick(1)
    assert yard.job().reason.startswith("_SUCCESS is there")
    assert checkpoints[2] in yard.names()


def test_a_stop_between_two_portions_stops_the_rest() -> None:
    """The mode is observe; it goes on when changes are allowed again."""
    yard = Yard(the_policy(), portion=2)
    due(yard, objects=5)
    slow(yard, 20)
    go(yard, seconds=10)
    yard.policy = the_policy(mode="observe")
    yard.hours(1)
    assert (yard.job().stage, len(yard.objects.deleted)) == ("working", 2)
    yard.policy = the_policy()
    yard.heal()
    yard.tick(15)
    assert (yard.job().stage, yard.names()) == ("done", [LOG])


# going on


@pytest.mark.parametrize(("seconds", "done"), [(5, 100), (25, 250)])
def test_a_deletion_that_takes_longer_than_an_invocation_goes_on_in_the_next(seconds: float, done: int) -> None:
    """Through the tasks topic, where the last one stopped."""
    yard = Yard(the_policy(), portion=250, seconds=seconds)
    due(yard, objects=700)
    slow(yard, 10)
    assert go(yard, seconds) == "unfinished"
    settled = sum(portion.settled for portion in yard.job().portions)
    assert settled == len(yard.objects.deleted) == done
    assert yard.drive() >= 2
    assert (yard.job().stage, yard.job().changed) == ("done", 701)
    assert len(yard.objects.deleted) == 701
    assert len(yard.posts) == 2


def test_without_a_tasks_topic_the_tick_goes_on(yard: Yard) -> None:
    """Only later."""
    yard.portion = 2
    due(yard, objects=5)
    slow(yard, 20)
    yard.tasks.down = True
    assert go(yard, seconds=10) == "unfinished"
    yard.heal()
    yard.tick(2)
    assert yard.job().stage == "done"


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("number", [1, 2, 101, 150, 300])
def test_a_worker_that_is_killed_in_the_middle_leaves_nothing_behind(side: str, number: int) -> None:
    """Whoever goes on finds what is gone gone; nothing is counted twice and nothing is forgotten."""
    yard = Yard(the_policy(), portion=200)
    due(yard, objects=399)
    struck = yard.strike("delete one", Crash, side=side, number=number)
    with pytest.raises(Crash):
        go(yard)
    assert struck
    yard.heal()
    yard.tick(2)
    assert (yard.job().stage, yard.job().changed, yard.names()) == ("done", 400, [LOG])
    assert len(yard.objects.deleted) == 400
    assert title(yard.posts[1]).startswith("Run run-1: deleted 400 objects")


def test_a_worker_that_lost_its_lease_stops(yard: Yard) -> None:
    """Somebody else has taken the entry up; nothing is told twice."""
    yard.portion = 2
    due(yard, objects=5)

    def stolen(called: str) -> None:
        if called == "delete batch":
            yard.heal()
            yard.clock.sleep(61)
            yard.watchdog().resume(yard.key())

    yard.hooks.after = stolen
    assert go(yard) == "busy"
    assert (yard.job().stage, yard.job().changed, len(yard.posts)) == ("done", 6, 2)


def test_what_a_manifest_that_is_gone_listed_is_left_and_named(yard: Yard) -> None:
    """Nothing that was not written down is deleted; the other portions are."""
    yard.portion = 2
    due(yard, objects=5)
    slow(yard, 20)
    go(yard, seconds=10)
    yard.heal()
    damaged = [name for name in yard.bucket.objects if name.startswith("manifests/")][1]
    del yard.bucket.objects[damaged]
    for _ in range(3):
        yard.tick(2)
    assert len(yard.objects.deleted) == 4
    assert len(yard.posts) == 2
    assert damaged in yard.posts[1]
    assert "is gone, so what it lists can neither be deleted nor put back" in yard.posts[1]


# versions


def test_in_a_bucket_with_versions_objects_become_noncurrent() -> None:
    """The message says that this saves nothing; where there is no soft delete the entry stays open for a week, so that it can be undone."""
    yard = Yard(the_policy(a_rule(require_soft_delete="false")))
    yard.objects.change(RUNS, versioned=True, soft_delete=timedelta(0))
    due(yard)
    go(yard)
    assert len(yard.objects.buckets[RUNS].noncurrent) == 4
    assert yard.job().undo_until == yard.clock.now() + timedelta(days=7)
    assert "Saves nothing while the noncurrent versions stay" in yard.posts[1]


def test_with_soft_delete_its_window_says_how_long_it_can_be_undone(yard: Yard) -> None:
    """From before the first deletion on, so that what went first is still kept."""
    yard.objects.change(RUNS, versioned=True, soft_delete=timedelta(days=30))
    due(yard)
    begun = yard.clock.now()
    slow(yard, 60)
    go(yard)
    assert yard.job().undo_until == begun + timedelta(days=30)


# spread over many instances


@pytest.fixture
def wide() -> Yard:
    """A run of 21 objects, due, in manifests of two: eleven portions."""
    yard = Yard(the_policy(), portion=2)
    due(yard, objects=20)
    return yard


def parts(yard: Yard) -> list[str]:
    """The keys of the parts, open and closed."""
    return sorted(key for key, job in yard.jobs().items() if job.parent)


def test_a_large_plan_is_handed_out_and_joined_again(wide: Yard) -> None:
    """Each portion is an entry of its own, which any instance may take up; the last stays with the whole, since the sign is in it."""
    assert go(wide) == "carried on"
    assert wide.objects.deleted == []
    assert parts(wide) == [part_key(wide.key(), index) for index in range(10)]
    assert wide.tasks.asked == parts(wide)
    assert wide.drive() == 11  # the last part asks for the whole to go on
    job = wide.job()
    assert (job.stage, job.changed, job.changed_bytes) == ("done", 21, 20 * GIB)
    assert [change.name for change in wide.objects.deleted][-1] == MARKER
    assert wide.names() == [LOG]
    assert [title(post) for post in wide.posts[1:]] == ["Run run-1: deleted 21 objects, 20.0 GiB"]
    assert wide.journal.keys() == [wide.key()]


def test_the_parts_may_be_worked_on_in_any_order(wide: Yard) -> None:
    """And the whole may be looked at meanwhile."""
    go(wide)
    for part in reversed(parts(wide)):
        assert go(wide) == "carried on"
        assert wide.job().stage == "working"
        assert wide.watchdog().resume(part).what == "closed"
    wide.drive()
    assert (wide.job().stage, wide.job().changed) == ("done", 21)


def test_without_the_tasks_topic_the_ticks_take_the_parts_up(wide: Yard, caplog: pytest.LogCaptureFixture) -> None:
    """It is down, so what is recorded is found by the next tick."""
    wide.tasks.down = True
    go(wide)
    assert "the tasks topic did not take it, so the next tick looks at it" in caplog.text
    wide.tick(1)
    wide.tick(1)
    assert (wide.job().stage, wide.job().changed) == ("done", 21)


def test_where_there_is_no_tasks_topic_one_instance_does_it_all() -> None:
    """In a terminal, for example."""
    yard = Yard(the_policy(), portion=2)
    due(yard, objects=20)
    yard.tasks = None  # type: ignore[assignment]  # a world without one
    assert go(yard) == "carried on"
    assert (yard.job().stage, yard.job().changed, parts(yard)) == ("done", 21, [])


def test_a_plan_of_a_few_portions_is_not_spread() -> None:
    """It would cost more than it brings."""
    yard = Yard(the_policy(), portion=3)
    due(yard, objects=20)
    go(yard)
    assert (yard.job().stage, parts(yard), len(yard.job().portions)) == ("done", [], 8)


@pytest.mark.parametrize("number", range(1, 12, 2))
def test_a_worker_that_is_killed_while_it_hands_out_is_gone_on_from(number: int) -> None:
    """What was handed out is not handed out twice."""
    yard = Yard(the_policy(), portion=2)
    due(yard, objects=20)
    struck = yard.strike("publish", Crash, number=number) if number < 11 else yard.strike("list", Crash, side="after", number=3)
    with pytest.raises(Crash):
        go(yard)
    assert struck
    yard.heal()
    for _ in range(4):
        yard.tick(2)
    assert (yard.job().stage, yard.job().changed, len(yard.objects.deleted)) == ("done", 21, 21)
    assert len(parts(yard)) == 10


def test_a_part_that_finds_somebody_writing_stops_the_whole(wide: Yard) -> None:
    """What others have begun they finish, nothing further is begun, and the whole says why."""
    go(wide)
    wide.put("runs/run-1/ckpt/00006.bin")  # in the fourth part
    wide.drive()
    job = wide.job()
    assert job.stage == "done"
    assert job.reason == "runs/run-1/ckpt/00006.bin was written to while the run was being deleted"
    assert MARKER in wide.names()
    assert title(wide.posts[1]).startswith(f"Run run-1: deleted {job.changed} of 21 objects")
    assert job.changed == len(wide.objects.deleted)
    assert wide.journal.keys() == [wide.key()]


def test_a_part_that_has_not_begun_does_not_begin_once_the_whole_is_stopping(wide: Yard) -> None:
    """It asks the whole before its portion."""
    go(wide)
    keys = parts(wide)
    wide.put("runs/run-1/ckpt/00000.bin")
    wide.watchdog().resume(keys[0])
    wide.hours(0.02)  # the whole sees that the first part stopped
    assert wide.job().stopping.endswith("was written to while the run was being deleted")
    before = len(wide.objects.deleted)
    for key in keys[1:]:
        wide.watchdog().resume(key)
    assert len(wide.objects.deleted) == before
    wide.drive()
    assert (wide.job().stage, wide.job().changed) == ("done", before)


def test_where_a_part_stopped_before_the_others_were_handed_out_they_are_not() -> None:
    """A worker was killed while it handed them out, and one of those that had been handed out found somebody writing."""
    yard = Yard(the_policy(), portion=2)
    due(yard, objects=20)
    yard.strike("publish", Crash, number=3)
    with pytest.raises(Crash):
        go(yard)
    yard.heal()
    yard.put("runs/run-1/ckpt/00000.bin")
    yard.watchdog().resume(part_key(yard.key(), 0))
    yard.tick(2)
    yard.drive()
    assert len(parts(yard)) == 3
    assert yard.job().reason.endswith("was written to while the run was being deleted")
    assert yard.job().changed == len(yard.objects.deleted)


def test_what_a_part_cannot_delete_is_named_by_the_whole(wide: Yard) -> None:
    """Nobody is told of a part by itself."""
    wide.objects.fail("delete", "runs/run-1/ckpt/00006.bin", "refused", reason="a fault")
    go(wide)
    wide.drive()
    assert [title(post) for post in wide.posts[1:]] == ["Run run-1: deleted 20 of 21 objects, 19.0 GiB"]
    assert "• a fault (1): `ckpt/00006.bin`" in wide.posts[1]


def test_a_part_that_cannot_go_on_is_told_by_the_whole(wide: Yard) -> None:
    """Once; and the whole is done when the part is."""
    for number in (6, 7):
        wide.objects.fail("delete", f"runs/run-1/ckpt/{number:05}.bin", "denied", reason="storage.objects.delete is missing")
    go(wide)
    wide.drive()
    for _ in range(3):
        wide.tick(61)
    assert [title(post) for post in wide.posts[1:]] == ["Run run-1: cannot go on"]
    assert "storage.objects.delete is missing" in wide.posts[1]
    wide.objects.heal()
    wide.tick(61)
    wide.drive()
    wide.tick(2)
    assert [title(post) for post in wide.posts[2:]] == ["Run run-1: deleted 21 objects, 20.0 GiB"]
    assert "WHY THE REST" not in wide.posts[2]


def test_what_a_part_gave_up_on_is_looked_at_once_more_by_the_whole(wide: Yard) -> None:
    """After so long everything is looked at again, and then it is left, and named."""
    wide.objects.fail("delete", "runs/run-1/ckpt/00006.bin", "unavailable", reason="503 backend")
    go(wide)
    wide.drive()
    for _ in range(2 * GIVE_UP + 6):
        wide.tick(61)
        wide.drive()
    assert title(wide.posts[-1]) == "Run run-1: deleted 20 of 21 objects, 19.0 GiB"
    assert "• 503 backend (1): `ckpt/00006.bin`" in wide.posts[-1]
    assert "WHY THE REST" not in wide.posts[-1]


def test_a_part_whose_whole_is_gone_begins_nothing(wide: Yard) -> None:
    """Somebody took the entry out of the journal."""
    go(wide)
    del wide.bucket.objects[f"entries/{parts(wide)[0].removesuffix('_part00000')}.json"]
    for key in parts(wide):
        assert wide.watchdog().resume(key).what == "closed"
    assert wide.objects.deleted == []
    assert {job.reason for job in wide.jobs().values()} == {"the rest of the plan was called off"}
