"""A failed run on its way to deletion: announced, waited for, looked at again, left alone, refused, approved, called off, rehearsed.

`test_clean_work.py` has the deletion itself, and `test_clean_undo.py` how it is undone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta

import pytest

from shared.entry import Entry
from shared.errors import CloudError, Denied, Gone, Refused, Unavailable
from shared.objects.job import rule_id
from shared.objects.ledger import Ledger
from shared.session import Session
from tests.yard import DAY, HOUR, RUNS, Yard, a_rule, the_policy

MARKER = "runs/run-1/_FAILED"
Happening = Callable[[Yard], object]


@pytest.fixture
def yard() -> Yard:
    """A bucket with the usual policy over it."""
    return Yard(the_policy())


def title(post: str) -> str:
    """A message's first line."""
    return post.split("\n", 1)[0]


def titles(yard: Yard) -> list[str]:
    """The first lines of all messages."""
    return [title(post) for post in yard.posts]


def down(yard: Yard, method: str, error: Callable[[], BaseException]) -> None:
    """Every call of a method fails, until the yard is healed."""

    def fail(called: str) -> None:
        if called == method:
            raise error()

    yard.hooks.before = fail


# the whole way


def test_a_failed_run_is_announced_waited_for_and_deleted(yard: Yard) -> None:
    """Everything of that run except what the policy keeps, and nothing of the runs beside it."""
    yard.run("run-1")
    yard.run("run-10")
    assert yard.fail("run-1") == ["noticed"]
    assert yard.posts == []
    assert yard.tick() == ["carried on"]
    assert title(yard.posts[0]) == "Run run-1 failed: will delete 4 objects, 3.0 GiB, on 21 Nov 2026 12:01 UTC (in 24 hours)"
    assert (yard.job().stage, yard.job().due_at) == ("waiting", yard.clock.now() + DAY)
    beside = yard.names("runs/run-10/")
    yard.hours(24)
    assert yard.names() == ["runs/run-1/logs/train.log", *beside]
    assert titles(yard)[1:] == ["Run run-1: deleted 4 objects, 3.0 GiB"]
    assert f"python -m functions restore --entry {yard.key()}`, until 28 Nov 2026 12:01 UTC" in yard.posts[1]
    assert {change.name for change in yard.objects.deleted} == {name for manifest in yard.manifests() for name in manifest}


def test_the_announcement_says_how_to_stop_it_and_what_it_saves(yard: Yard) -> None:
    """All that a person needs to decide."""
    yard.announced()
    for words in (
        f"python -m functions cancel {yard.key()}",
        "_FAILED is there (`runs/run-1/_FAILED`, written 20 Nov 2026 12:00 UTC)",
        "Kept: 1 object, 7 B",
        "CAN BE UNDONE until 28 Nov 2026 12:01 UTC",
        "Saves about $0.06 a month from 28 Nov 2026 (list price)",
    ):
        assert words in yard.posts[0]


def test_nothing_happens_while_it_waits(yard: Yard) -> None:
    """Neither the bucket nor Slack hears of it before the time is over."""
    yard.announced()
    called: list[str] = []
    yard.hooks.before = called.append
    assert yard.hours(23.9) == []
    assert called == ["list"]


def test_an_entry_stays_open_as_long_as_it_can_be_undone(yard: Yard) -> None:
    """Then it is filed away without another word."""
    yard.announced()
    yard.hours(24)
    yard.hours(7 * 24 - 0.1)
    assert yard.journal.keys() == [yard.key()]
    yard.hours(0.1)
    assert yard.journal.keys() == []
    assert yard.job().stage == "done"
    assert len(yard.posts) == 2


def test_without_a_wait_one_look_is_enough() -> None:
    """Nobody has time to call it off, so nothing is announced."""
    yard = Yard(the_policy(a_rule().replace("24h", "0h")))
    yard.announced()
    assert titles(yard) == ["Run run-1: deleted 4 objects, 3.0 GiB"]
    assert yard.names() == ["runs/run-1/logs/train.log"]


# left alone


def succeeded(yard: Yard) -> None:
    """Somebody found that the run had succeeded."""
    yard.put("runs/run-1/_SUCCESS", ago=2 * HOUR)


def retried(yard: Yard) -> None:
    """The run writes on."""
    yard.clock.sleep(1)
    yard.put("runs/run-1/ckpt/00000.bin")


def retried_beside_its_logs(yard: Yard) -> None:
    """The run writes what the policy keeps."""
    yard.clock.sleep(1)
    yard.put("runs/run-1/logs/second.log")


def failed_anew(yard: Yard) -> None:
    """The marker is written again."""
    yard.clock.sleep(1)
    yard.put(MARKER)


def unmarked(yard: Yard) -> None:
    """Somebody takes the marker away."""
    yard.objects.remove(RUNS, MARKER)


def held(yard: Yard) -> None:
    """Somebody puts one object under a hold."""
    yard.objects.hold(RUNS, "runs/run-1/ckpt/00001.bin")


def retained(yard: Yard) -> None:
    """One object is kept for two weeks."""
    yard.objects.retain(RUNS, "runs/run-1/ckpt/00001.bin", yard.clock.now() + 14 * DAY)


def not_soft(yard: Yard) -> None:
    """Soft delete is switched off."""
    yard.objects.change(RUNS, soft_delete=timedelta(0))


def protected(yard: Yard) -> None:
    """The bucket gets the label of production."""
    yard.objects.change(RUNS, labels={"env": "prod"})


def bucket_gone(yard: Yard) -> None:
    """Somebody deletes the bucket."""
    del yard.objects.buckets[RUNS]


def rule_gone(yard: Yard) -> None:
    """The policy is changed."""
    yard.policy = the_policy(a_rule().replace("runs/{run}/", "other/{run}/"))


def all_kept(yard: Yard) -> None:
    """The policy keeps everything."""
    yard.policy = the_policy(a_rule().replace("logs/**", "**"))


REASONS: list[tuple[Happening, str]] = [
    (succeeded, "_SUCCESS is there (`unless` in the policy)"),
    (retried, "ckpt/00000.bin was written at 2026-11-2"),
    (retried_beside_its_logs, "logs/second.log was written at 2026-11-2"),
    (failed_anew, "_FAILED was written anew at 2026-11-2"),
    (unmarked, "_FAILED is gone, so nothing says any more that it failed"),
    (held, "ckpt/00001.bin is kept by a temporary hold"),
    (retained, "ckpt/00001.bin is kept by a retention until 2026-12-0"),
    (not_soft, "gs://acme-ml-runs has no soft delete, so nothing could be undone"),
    (protected, "gs://acme-ml-runs is protected by the label env=prod"),
    (rule_gone, "the policy no longer has a rule for runs under runs/{run}/ in gs://acme-ml-runs"),
    (all_kept, "no object of it is to be changed, and 5 other objects are kept"),
]
EVERY_REASON = pytest.mark.parametrize(("happening", "reason"), [pytest.param(*each, id=each[0].__name__) for each in REASONS])
AND_NO_BUCKET = pytest.mark.parametrize(
    ("happening", "reason"), [pytest.param(*each, id=each[0].__name__) for each in [*REASONS, (bucket_gone, "")]]
)


@AND_NO_BUCKET
def test_what_is_left_alone_before_it_was_announced_is_left_quietly(
    yard: Yard, happening: Happening, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The log and the journal say why; nobody was told that anything would happen, so nobody is told that it does not."""
    caplog.set_level(logging.INFO)
    yard.run()
    yard.fail()
    happening(yard)
    yard.tick()
    assert (yard.job().stage, yard.objects.deleted, yard.posts) == ("left", [], [])
    assert yard.journal.keys() == []
    if happening is bucket_gone:
        reason = "_FAILED is gone, so nothing says any more that it failed"
    assert yard.job().reason.startswith(reason)
    assert f"{yard.key()}: left alone: {reason}" in caplog.text


@AND_NO_BUCKET
def test_what_happens_during_the_wait_saves_the_run(yard: Yard, happening: Happening, reason: str) -> None:
    """Whoever was told that it would be deleted is told that it is not, and why."""
    yard.announced()
    yard.clock.sleep(HOUR.total_seconds())
    happening(yard)
    yard.hours(23)
    assert (yard.job().stage, yard.objects.deleted, yard.manifests()) == ("left", [], [])
    assert titles(yard)[1:] == ["Run run-1 is left alone"]
    assert (reason or "_FAILED is gone") in yard.posts[1]
    assert yard.journal.keys() == []


def test_a_bucket_that_vanishes_between_two_questions_leaves_the_run_alone(yard: Yard) -> None:
    """There is nothing to look at."""
    yard.announced()
    yard.meanwhile("facts", lambda: bucket_gone(yard))
    yard.hours(24)
    assert (yard.job().stage, yard.job().reason) == ("left", "there is no bucket gs://acme-ml-runs")


def test_a_policy_may_do_without_soft_delete() -> None:
    """Then the announcement warns that it cannot be undone, and nothing stays open afterwards."""
    yard = Yard(the_policy(a_rule(require_soft_delete="false")))
    not_soft(yard)
    yard.announced()
    assert "CANNOT BE UNDONE" in yard.posts[0]
    yard.hours(24)
    assert yard.names() == ["runs/run-1/logs/train.log"]
    assert (yard.job().stage, yard.job().undo_until, yard.journal.keys()) == ("done", None, [])


def test_a_run_that_is_left_alone_counts_again_with_the_next_sign(yard: Yard) -> None:
    """The same sign does not: it has been judged."""
    yard.announced()
    retried(yard)
    yard.hours(24)
    assert yard.notice(MARKER) == ["known"]
    yard.clock.sleep(60)
    assert yard.fail() == ["noticed"]
    yard.tick()
    yard.hours(24)
    assert titles(yard)[-1] == "Run run-1: deleted 4 objects, 2.0 GiB"


STATUS = "{object: meta.yaml, has: {status: [3, FINISHED]}}"


@pytest.mark.parametrize(
    ("content", "stage"),
    [(b"status: 3\n", "left"), (b"status: FINISHED\n", "left"), (b"status: 4\n", "waiting"), (b": : :", "left"), (None, "waiting")],
    ids=["finished by number", "finished by name", "failed", "not yaml", "not there"],
)
def test_what_a_status_file_under_unless_says_saves_a_run(content: bytes | None, stage: str) -> None:
    """Only what it says: that it is there means nothing."""
    yard = Yard(the_policy(a_rule().replace("_SUCCESS", STATUS)))
    yard.run()
    if content is not None:
        yard.put("runs/run-1/meta.yaml", content)
    yard.fail()
    yard.tick()
    assert yard.job().stage == stage
    said = {b": : :": "cannot be read, so it is not known whether it says status"}.get(
        content or b"", f"says {(content or b'').decode().strip()}"
    )
    assert yard.job().reason == (f"meta.yaml {said} (`unless` in the policy)" if stage == "left" else "")


def test_a_status_file_under_unless_that_cannot_be_read_stops_the_deletion() -> None:
    """It might say that the run has succeeded, so people are told, and it is asked again later."""
    yard = Yard(the_policy(a_rule().replace("_SUCCESS", STATUS)))
    yard.run()
    yard.put("runs/run-1/meta.yaml", size=2**20)
    yard.fail()
    yard.tick()
    assert titles(yard) == ["Run run-1: cannot go on"]
    assert "is larger than 65,536 bytes" in yard.posts[0]
    yard.put("runs/run-1/meta.yaml", b"status: 4\n", ago=HOUR)
    yard.tick()
    assert yard.job().stage == "waiting"


# several signs of one failure


def test_of_two_signs_that_come_together_the_later_one_is_announced() -> None:
    """One message, one deletion, one entry to call off."""
    yard = Yard(the_policy(a_rule().replace("[failed_marker]", "[failed_marker, ray_tune]")))
    yard.run()
    yard.fail()
    yard.clock.sleep(5)
    yard.put("runs/run-1/error.txt")
    assert yard.notice("runs/run-1/error.txt") == ["noticed"]
    yard.tick()
    assert len(yard.posts) == 1
    assert "error.txt is there" in yard.posts[0]
    first, second = sorted(yard.jobs().values(), key=lambda job: job.stage)
    assert (first.stage, second.stage) == ("left", "waiting")
    assert first.reason.startswith("the same run gave a later sign of its failure; see run-")
    yard.hours(24)
    assert yard.names() == ["runs/run-1/logs/train.log"]
    assert len(yard.posts) == 2


def test_of_two_signs_of_one_instant_one_is_announced() -> None:
    """Which one does not matter."""
    yard = Yard(the_policy(a_rule().replace("[failed_marker]", "[failed_marker, ray_tune]")))
    yard.run()
    yard.fail()
    yard.put("runs/run-1/error.txt")
    yard.notice("runs/run-1/error.txt")
    yard.tick()
    assert sorted(job.stage for job in yard.jobs().values()) == ["left", "waiting"]
    assert len(yard.posts) == 1


def test_a_later_sign_during_the_wait_begins_the_wait_anew(yard: Yard) -> None:
    """The run was retried and failed again; people are told that the first deletion does not come, and when the second does."""
    yard.announced()
    yard.clock.sleep(HOUR.total_seconds())
    yard.fail()
    yard.tick()
    yard.hours(23)
    assert [title.split(",")[0] for title in titles(yard)] == [
        "Run run-1 failed: will delete 4 objects", "Run run-1 failed: will delete 4 objects", "Run run-1 is left alone",
    ]  # fmt: skip
    assert "the same run gave a later sign of its failure; see" in yard.posts[2]
    assert yard.objects.deleted == []
    yard.hours(1.1)
    assert titles(yard)[3:] == ["Run run-1: deleted 4 objects, 3.0 GiB"]


def test_signs_of_other_runs_have_nothing_to_do_with_it(yard: Yard) -> None:
    """Even if their names begin alike."""
    yard.announced("run-1")
    yard.clock.sleep(60)
    yard.announced("run-10")
    yard.hours(25)
    assert yard.names() == ["runs/run-1/logs/train.log", "runs/run-10/logs/train.log"]
    assert len(yard.posts) == 4


# refused by a limit, approved, called off


def test_a_run_larger_than_the_limits_is_refused_at_once() -> None:
    """People are told with both numbers, and it waits for one of them."""
    yard = Yard(the_policy(a_rule(limits="{objects: 3}")))
    yard.announced()
    assert titles(yard) == ["Refused to delete 4 objects, 3.0 GiB: Run run-1 failed"]
    assert "it has 4 objects to delete, and limits.objects allows 3" in yard.posts[0]
    assert yard.job().stage == "refused"
    yard.hours(24 * 30)
    assert (len(yard.posts), yard.objects.deleted) == (1, [])


def test_what_is_refused_can_be_approved() -> None:
    """All of it is looked at again, and then it goes without another wait, with the name of whoever said so."""
    yard = Yard(the_policy(a_rule(limits="{objects: 3, objects_per_day: 1, share: 0%}")))
    yard.announced()
    yard.run("run-2")
    assert yard.ann().approve(yard.key()).what == "carried on"
    assert yard.names("runs/run-1/") == ["runs/run-1/logs/train.log"]
    assert "Approved by ann although a limit had refused it." in yard.posts[1]


def test_what_is_approved_is_looked_at_again_all_the_same() -> None:
    """A run that was retried meanwhile is left alone."""
    yard = Yard(the_policy(a_rule(limits="{objects: 3}")))
    yard.announced()
    retried(yard)
    yard.ann().approve(yard.key())
    assert titles(yard)[1:] == ["Run run-1 is left alone"]
    assert yard.objects.deleted == []


def test_what_is_refused_can_be_called_off() -> None:
    """And then it is over."""
    yard = Yard(the_policy(a_rule(limits="{objects: 3}")))
    yard.announced()
    assert yard.ann().cancel(yard.key()).what == "closed"
    assert titles(yard)[1:] == ["Run run-1: called off"]
    assert "Called off by ann." in yard.posts[1]


def test_a_run_that_grew_beyond_the_limits_is_refused_at_the_second_look() -> None:
    """What was written before the sign may be seen only now."""
    yard = Yard(the_policy(a_rule(limits="{objects: 4}")))
    yard.announced()
    yard.put("runs/run-1/late.bin", ago=DAY)
    yard.hours(24)
    assert titles(yard)[1:] == ["Refused to delete 5 objects, 3.0 GiB: Run run-1 failed"]
    assert yard.objects.deleted == []
    assert yard.job().portions == ()


def test_what_waits_can_be_called_off(yard: Yard) -> None:
    """It is told who did, and nothing of it happens; the same sign does not count again."""
    yard.announced()
    assert yard.ann().cancel(yard.key()).what == "closed"
    assert titles(yard)[1:] == ["Run run-1: called off"]
    yard.hours(25)
    assert (yard.objects.deleted, len(yard.posts)) == ([], 2)
    assert yard.notice(MARKER) == ["known"]


def test_restoring_what_waits_calls_it_off(yard: Yard) -> None:
    """Nothing was deleted that could be put back."""
    yard.announced()
    assert [outcome.what for outcome in yard.ann().restore_entry(yard.key())] == ["closed"]
    assert titles(yard)[1:] == ["Run run-1: called off"]


def test_what_was_called_off_before_anybody_was_told_is_not_told(yard: Yard) -> None:
    """Whoever did it knows."""
    yard.run()
    yard.fail()
    assert yard.ann().cancel(yard.key()).what == "closed"
    assert (yard.job().stage, yard.posts) == ("cancelled", [])


def test_what_is_done_cannot_be_called_off(yard: Yard) -> None:
    """It stays as it is; `restore` puts it back."""
    yard.announced()
    yard.hours(24)
    with pytest.raises(Gone, match="has nothing to call off: it is done already; to undo it: python -m functions restore --entry"):
        yard.ann().cancel(yard.key())
    assert (yard.job().stage, len(yard.posts)) == ("done", 2)


# too much within a day, too large a share


def test_no_more_goes_within_a_day_than_the_limit() -> None:
    """What is over it is refused, and goes when a person says so."""
    yard = Yard(the_policy(a_rule(limits="{objects_per_day: 9}")))
    for run in ("run-1", "run-2", "run-3"):
        yard.announced(run)
    yard.hours(24.1)
    assert sorted(titles(yard)[3:])[:2] == [
        "Refused to delete 4 objects, 3.0 GiB: Run run-3 failed",
        "Run run-1: deleted 4 objects, 3.0 GiB",
    ]
    (refused,) = [key for key, job in yard.jobs().items() if job.stage == "refused"]
    assert "with it 12 objects would go within a day, and the rule's limits.objects_per_day allows 9" in yard.jobs()[refused].reason
    yard.ann().approve(refused)
    assert [name for name in yard.names() if "logs" not in name] == []


def test_what_went_a_day_ago_does_not_count_any_more() -> None:
    """The next day has its own part."""
    yard = Yard(the_policy(a_rule(limits="{objects_per_day: 5}")))
    yard.announced("run-1")
    yard.hours(24)
    yard.announced("run-2")
    yard.hours(24)
    assert titles(yard)[3:] == ["Run run-2: deleted 4 objects, 3.0 GiB"]


def bucket_of(yard: Yard, good: int, failed: int) -> list[str]:
    """So many runs that are well and so many that fail; the answer is the names of those that fail."""
    for number in range(good):
        yard.run(f"good-{number}", objects=1)
    names = [f"run-{number:02}" for number in range(failed)]
    for name in names:
        yard.run(name, objects=1)
        yard.fail(name)
    return names


def test_a_rule_that_breaks_everything_deletes_nothing() -> None:
    """When more than the share of all runs fail at once, that is more often a mistake in the rule."""
    yard = Yard(the_policy())
    bucket_of(yard, good=4, failed=6)
    yard.tick()
    yard.hours(24)
    assert yard.objects.deleted == []
    assert {job.stage for job in yard.jobs().values()} == {"refused"}
    assert "6 of 10 runs would go within a day, and the rule's limits.share allows 50%; is the rule right" in yard.posts[-1]


def test_as_many_runs_as_the_share_allows_go() -> None:
    """Those that went before, on the same day, are still among all runs that there were."""
    yard = Yard(the_policy(a_rule().replace("keep: ['logs/**'], ", "")))
    bucket_of(yard, good=5, failed=5)
    yard.tick()
    yard.hours(24)
    assert {job.stage for job in yard.jobs().values()} == {"done"}
    assert not [name for name in yard.names() if name.startswith("runs/run-")]


def test_runs_that_wait_count_before_they_go() -> None:
    """Otherwise the first half of a broken rule's work would be done before anybody noticed."""
    yard = Yard(the_policy())
    bucket_of(yard, good=4, failed=5)
    yard.tick()
    yard.clock.sleep(HOUR.total_seconds())
    yard.run("run-99")
    yard.fail("run-99")
    yard.tick()
    yard.hours(22.99)
    assert yard.objects.deleted == []
    assert len([job for job in yard.jobs().values() if job.stage == "refused"]) == 5


def test_runs_that_wait_for_longer_than_a_day_do_not_count_yet() -> None:
    """What counts is what would go within a day."""
    slow = a_rule().replace("24h", "96h")
    yard = Yard(the_policy(slow))
    bucket_of(yard, good=4, failed=5)
    yard.tick()
    yard.policy = the_policy(slow.replace("96h", "1h"))
    yard.run("run-99", objects=1)
    yard.fail("run-99")
    yard.tick()
    yard.hours(1.1)
    assert yard.job_of("run-99").stage == "done"


def test_what_was_refused_counts_for_a_day() -> None:
    """A broken rule does not get through bit by bit while people call off what it asks for."""
    yard = Yard(the_policy())
    bucket_of(yard, good=4, failed=6)
    yard.tick()
    yard.hours(24)
    for key in yard.jobs():
        yard.ann().cancel(key)
    yard.policy = the_policy(a_rule().replace("24h", "1h"))
    yard.run("run-99", objects=1)
    yard.fail("run-99")
    yard.tick()
    yard.hours(1.1)
    assert yard.job_of("run-99").stage == "refused"


def test_a_dry_run_says_what_would_be_refused() -> None:
    """Too many runs at once are told as such in observe mode too; nothing of that counts when it is no dry run any more."""
    yard = Yard(the_policy(mode="observe"))
    bucket_of(yard, good=4, failed=6)
    yard.tick()
    assert any("WOULD BE REFUSED BY A LIMIT\n6 of 10 runs would go within a day" in post for post in yard.posts)
    assert yard.journal.ledger(rule_id(RUNS, "runs/{run}/")) is None


def test_a_dry_run_counts_for_nothing() -> None:
    """What was only rehearsed is no part of what goes."""
    yard = Yard(the_policy(mode="observe"))
    bucket_of(yard, good=5, failed=5)
    yard.tick()
    yard.policy = the_policy()
    yard.run("run-x", objects=1)
    yard.fail("run-x")
    yard.tick()
    yard.hours(24)
    assert yard.job_of("run-x").stage == "done"


def test_two_workers_that_reserve_at_once_both_count(yard: Yard) -> None:
    """Whoever was slower reads the record again, and finds that it would be too much."""
    yard.policy = the_policy(a_rule(limits="{objects_per_day: 7}"))
    yard.announced("run-1")
    yard.announced("run-2")
    yard.clock.sleep(DAY.total_seconds())
    first, second = yard.journal.keys()
    yard.meanwhile("folders", lambda: yard.watchdog().resume(second))
    yard.watchdog().resume(first)
    assert (yard.jobs()[first].stage, yard.jobs()[second].stage) == ("refused", "done")


def test_where_others_write_the_record_all_the_time_it_is_tried_later(yard: Yard) -> None:
    """Nothing is deleted that is not on record."""
    yard.announced()
    rule = rule_id(RUNS, "runs/{run}/")

    def busy(called: str) -> None:
        if called == "folders":
            yard.journal.save_ledger(rule, yard.journal.ledger(rule), Ledger())

    yard.hooks.before = busy
    yard.hours(24)
    assert (yard.job().stage, yard.job().attempts, yard.objects.deleted) == ("planning", 1, [])
    yard.heal()
    yard.tick(2)
    assert yard.job().stage == "done"


# what stands in the way


def test_what_is_unavailable_is_tried_again_without_a_word(yard: Yard) -> None:
    """A hiccup is nobody's business."""
    yard.run()
    yard.fail()
    yard.strike("facts", lambda: Unavailable("503"))
    yard.tick()
    assert (yard.job().stage, yard.job().attempts, yard.job().due_at) == ("noticed", 1, yard.clock.now() + timedelta(minutes=1))
    yard.tick()
    assert (yard.job().stage, len(yard.posts)) == ("waiting", 1)


def test_what_stays_unavailable_is_told_once(yard: Yard) -> None:
    """After some attempts, with pauses that grow; and when it works again the usual message comes."""
    yard.announced()
    down(yard, "facts", lambda: Unavailable("503", resource="gs://acme-ml-runs"))
    yard.hours(24)
    yard.tick(1)
    assert len(yard.posts) == 1
    yard.tick(2)
    assert titles(yard)[1:] == ["Run run-1: cannot go on"]
    assert "gs://acme-ml-runs: 503" in yard.posts[1]
    for _ in range(10):
        yard.tick(61)
    assert (len(yard.posts), yard.job().attempts) == (2, 13)
    yard.heal()
    yard.tick(61)
    assert titles(yard)[2:] == ["Run run-1: deleted 4 objects, 3.0 GiB"]
    assert "WHY THE REST" not in yard.posts[2]


def test_a_pause_that_is_asked_for_is_kept(yard: Yard) -> None:
    """As long as the platform says, where that is longer."""
    yard.run()
    yard.fail()
    yard.strike("facts", lambda: Unavailable("429", retry_after=600))
    yard.tick()
    assert yard.job().due_at == yard.clock.now() + timedelta(minutes=10)


@pytest.mark.parametrize("error", [Denied, Refused])
def test_what_only_a_person_can_mend_is_told_at_once_and_once(yard: Yard, error: type[CloudError]) -> None:
    """It is tried again all the same, since somebody will mend it."""
    yard.run()
    yard.fail()
    down(yard, "page", lambda: error("storage.objects.list is missing", resource="gs://acme-ml-runs"))
    for _ in range(5):
        yard.tick(61)
    assert titles(yard) == ["Run run-1: cannot go on"]
    assert "storage.objects.list is missing" in yard.posts[0]
    yard.heal()
    yard.tick(61)
    yard.hours(24)
    assert [title.split(":")[0] for title in titles(yard)[1:]] == ["Run run-1 failed", "Run run-1"]


def test_whoever_was_told_that_it_cannot_go_on_is_told_that_it_is_left_alone(yard: Yard) -> None:
    """Although it was never announced."""
    yard.run()
    yard.fail()
    yard.strike("facts", lambda: Denied("no"))
    yard.tick()
    succeeded(yard)
    yard.tick(2)
    assert titles(yard) == ["Run run-1: cannot go on", "Run run-1 is left alone"]


def test_a_hiccup_that_nobody_was_told_of_is_not_followed_up(yard: Yard) -> None:
    """What is left alone then is left quietly."""
    yard.run()
    yard.fail()
    yard.strike("facts", lambda: Unavailable("503"))
    yard.tick()
    succeeded(yard)
    yard.tick(2)
    assert (yard.job().stage, yard.posts) == ("left", [])


def test_a_person_may_call_off_what_cannot_go_on(yard: Yard) -> None:
    """The message says how."""
    yard.run()
    yard.fail()
    yard.strike("facts", lambda: Denied("no"))
    yard.tick()
    assert f"python -m functions cancel {yard.key()}" in yard.posts[0]
    yard.ann().cancel(yard.key())
    assert titles(yard)[1:] == ["Run run-1: called off"]


# dry runs


def test_a_dry_run_is_told_once_and_changes_nothing() -> None:
    """And is filed away."""
    yard = Yard(the_policy(mode="observe"))
    yard.announced()
    assert titles(yard) == ["DRY RUN: Run run-1 failed: would delete 4 objects, 3.0 GiB"]
    yard.hours(25)
    assert (yard.job().stage, yard.journal.keys(), yard.objects.deleted, yard.manifests()) == ("rehearsed", [], [], [])
    assert yard.notice(MARKER) == ["known"]
    assert len(yard.posts) == 1


def test_what_was_rehearsed_counts_once_it_is_no_dry_run_any_more() -> None:
    """The same sign, under a key of its own."""
    yard = Yard(the_policy(mode="observe"))
    yard.announced()
    yard.policy = the_policy()
    assert yard.notice(MARKER) == ["noticed"]
    yard.tick()
    yard.hours(24)
    assert yard.names() == ["runs/run-1/logs/train.log"]


@pytest.mark.parametrize("wait", ["24h", "0h"])
def test_a_dry_run_beyond_a_limit_says_so_and_nobody_can_approve_it(wait: str) -> None:
    """It is over with that: a yes to it must not delete anything."""
    yard = Yard(the_policy(a_rule(limits="{objects: 3}").replace("24h", wait), mode="observe"))
    yard.announced()
    assert titles(yard) == ["DRY RUN: Run run-1 failed: would delete 4 objects, 3.0 GiB"]
    assert "WOULD BE REFUSED BY A LIMIT\nit has 4 objects to delete, and limits.objects allows 3." in yard.posts[0]
    with pytest.raises(Gone, match="has nothing to approve: it is rehearsed already"):
        yard.ann().approve(yard.key())
    yard.hours(25)
    assert (yard.job().stage, yard.objects.deleted) == ("rehearsed", [])


def test_a_stop_during_the_wait_stops_it(yard: Yard, caplog: pytest.LogCaptureFixture) -> None:
    """It is looked at every quarter of an hour; when changes are allowed again it is announced anew, with all of its wait."""
    yard.announced()
    yard.policy = the_policy(mode="observe")
    yard.hours(24)
    assert (yard.job().stage, yard.job().due_at) == ("noticed", yard.clock.now() + timedelta(minutes=15))
    assert "the mode is observe now, so nothing more of it is carried out" in caplog.text
    yard.hours(24)
    assert (yard.objects.deleted, len(yard.posts)) == ([], 1)
    yard.policy = the_policy()
    yard.tick(15)
    assert (yard.job().stage, len(yard.posts)) == ("waiting", 2)
    yard.hours(24)
    assert yard.job().stage == "done"


def test_what_waits_can_be_called_off_while_everything_is_stopped(yard: Yard) -> None:
    """That changes nothing."""
    yard.announced()
    yard.policy = the_policy(mode="observe")
    yard.hours(24)
    yard.ann().cancel(yard.key())
    assert titles(yard)[1:] == ["Run run-1: called off"]


# long looks


@pytest.mark.parametrize("seconds", [10, 25, 45])
def test_a_look_that_takes_longer_than_an_invocation_goes_on_in_the_next(seconds: float) -> None:
    """Through the tasks topic; what it adds up and what it plans is the same."""
    yard = Yard(the_policy(), seconds=seconds, portion=4)
    yard.objects.page = 2
    yard.hooks.after = lambda called: yard.clock.sleep(10) if called == "page" else None
    checkpoints = yard.announced(objects=9)
    first = yard.drive()
    assert titles(yard)[0].startswith("Run run-1 failed: will delete 10 objects, 9.0 GiB")
    assert yard.job().tally.kept == 1
    yard.hours(24)
    assert first + yard.drive() > 1
    assert yard.names() == ["runs/run-1/logs/train.log"]
    assert sorted(name for names in yard.manifests() for name in names) == sorted([*checkpoints, MARKER])
    assert len(yard.posts) == 2


def test_the_lease_is_renewed_while_a_long_look_goes_on(yard: Yard) -> None:
    """Nobody takes the entry up meanwhile."""
    yard.objects.page = 1
    yard.announced(objects=20)
    yard.clock.sleep(DAY.total_seconds())
    busy: list[str] = []

    def slow(called: str) -> None:
        if called == "page":
            yard.clock.sleep(8)
            busy.append(yard.watchdog().resume(yard.key()).what)

    yard.hooks.after = lambda called: slow(called) if len(busy) < 20 else None
    yard.watchdog(time_budget=HOUR).resume(yard.key())
    assert set(busy) == {"busy"}
    assert yard.job().stage == "done"


def test_what_was_seen_before_an_interruption_is_judged_by_what_is_there_later(yard: Yard) -> None:
    """An object under a hold in the second half of the look saves the first half."""
    yard = Yard(the_policy(), seconds=10)
    yard.objects.page = 2
    yard.announced(objects=5)
    yard.drive()
    yard.clock.sleep(DAY.total_seconds())
    yard.hooks.after = lambda called: yard.clock.sleep(10) if called == "page" else None
    assert yard.watchdog().resume(yard.key()).what == "unfinished"
    yard.objects.hold(RUNS, "runs/run-1/ckpt/00004.bin")
    yard.drive()
    assert (yard.job().stage, yard.objects.deleted) == ("left", [])


def test_an_entry_of_another_kind_is_no_job(yard: Yard) -> None:
    """That would be a mistake in the code, and nothing is done about it."""
    kept = yard.journal.create(Entry(key="notice-1", created=yard.clock.now()), yard.clock.now())
    assert kept
    session = Session.open(yard.journal, yard.clock, "me", kept)
    assert session
    with pytest.raises(TypeError, match="notice-1 is not about objects"):
        yard.watchdog().cleaner.forward(session)
