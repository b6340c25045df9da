"""Abandoned runs: found once a day by one listing of each rule's folder, in slices, whatever happens in between."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import Denied, Unavailable
from shared.objects import sweep
from shared.objects.job import rule_id
from shared.objects.ledger import Ledger, Position, Refusal
from tests.stage import Crash
from tests.yard import DAY, HOUR, RUNS, Yard, a_rule, the_policy

RULE = a_rule(abandoned_after="14d")
OLD = 20 * DAY


def a_yard(*rules: str, mode: str = "enforce", seconds: float = 240) -> Yard:
    """A bucket whose abandoned runs are looked for."""
    return Yard(the_policy(*(rules or (RULE,)), mode=mode), seconds=seconds)


def found(yard: Yard) -> list[str]:
    """The folders of the runs that were found, in order."""
    return sorted(job.prefix for job in yard.jobs().values() if job.occasion == "abandoned")


def titles(yard: Yard) -> list[str]:
    """The first lines of all messages."""
    return [post.split("\n", 1)[0] for post in yard.posts]


def listings(yard: Yard) -> list[str]:
    """From now on, every page that is listed."""
    pages: list[str] = []
    yard.hooks.before = lambda called: pages.append(called) if called == "page" else None
    return pages


# what is found


def test_a_run_that_nobody_wrote_to_is_announced_and_deleted() -> None:
    """It takes the same way as one that failed, with its own words, after the same wait."""
    yard = a_yard()
    yard.run("run-1", ago=OLD)
    yard.run("run-2")
    beside = yard.names("runs/run-2/")
    yard.tick()
    assert found(yard) == ["runs/run-1/"]
    yard.tick()
    assert titles(yard) == ["Run run-1 was abandoned: will delete 3 objects, 3.0 GiB, on 21 Nov 2026 12:02 UTC (in 24 hours)"]
    assert "It neither succeeded nor was written to since 31 Oct 2026 12:00 UTC" in yard.posts[0]
    yard.hours(24)
    assert yard.names() == ["runs/run-1/logs/train.log", *beside]
    assert titles(yard)[1:] == ["Run run-1: deleted 3 objects, 3.0 GiB"]


def test_what_was_written_last_is_its_sign() -> None:
    """Its time is when the run was heard of last; the sign's words say so."""
    yard = a_yard()
    yard.put("runs/run-1/a", ago=OLD)
    last = yard.put("runs/run-1/b", ago=OLD - DAY)
    yard.put("runs/run-1/c", ago=OLD)
    yard.tick()
    sign = yard.job().sign
    assert sign
    assert (sign.object, sign.generation, sign.at) == ("runs/run-1/b", last.generation, last.created)
    assert sign.words == "neither succeeded nor was written to since 2026-11-01 12:00 UTC"


@pytest.mark.parametrize(
    ("names", "ago", "is_found"),
    [
        (["runs/run-1/a"], 14 * DAY, True),
        (["runs/run-1/a"], 14 * DAY - HOUR, False),
        (["runs/run-1/a", "runs/run-1/_SUCCESS"], OLD, False),
        (["runs/run-1/a", "runs/run-1/sub/_SUCCESS"], OLD, True),
        (["runs/run-1/"], OLD, True),
        (["runs/run-1"], OLD, False),
        (["runs//a"], OLD, False),
        (["runs/../a"], OLD, False),
        (["other/run-1/a"], OLD, False),
        (["runs/_SUCCESS", "runs/run-1/a"], OLD, True),
    ],
    ids=[
        "just old enough", "too young", "succeeded", "a like name deeper down", "nothing but the folder", "no folder", "no name", "no folder's name",
        "elsewhere", "the like beside the runs",
    ],
)  # fmt: skip
def test_what_counts_as_abandoned(names: list[str], ago: timedelta, is_found: bool) -> None:
    """Every part of a run's folder is a name, nothing in it is young, and none of its objects stands under `unless`."""
    yard = a_yard()
    for name in names:
        yard.put(name, ago=ago)
    yard.tick(0)
    assert found(yard) == (["runs/run-1/"] if is_found else [])


def test_one_young_object_saves_a_run() -> None:
    """Wherever in the run it stands."""
    yard = a_yard()
    for number in range(3):
        yard.run(f"run-{number}", ago=OLD)
        yard.put(f"runs/run-{number}/{('a', 'ckpt/zz', 'z')[number]}", ago=DAY)
    yard.tick()
    assert found(yard) == []


def test_runs_in_folders_of_any_name() -> None:
    """What stands beside them is no run."""
    yard = a_yard(RULE.replace("runs/{run}/", "mlruns/{any}/{run}/artifacts/"))
    for name in (
        "mlruns/7/run-1/artifacts/a",
        "mlruns/8/run-1/artifacts/a",
        "mlruns/7/run-2/metrics/a",
        "mlruns/7/x",
        "models/m/1/artifacts/a",
    ):
        yard.put(name, ago=OLD)
    yard.tick()
    assert found(yard) == ["mlruns/7/run-1/artifacts/", "mlruns/8/run-1/artifacts/"]


def test_what_a_status_file_says_is_asked_by_the_look_that_follows() -> None:
    """The listing alone cannot tell; nobody is told of those that have succeeded, or that are no runs."""
    yard = a_yard(RULE.replace("[_SUCCESS]", "[{object: meta.yaml, has: {status: 3}}]"))
    yard.put("runs/good/meta.yaml", b"status: 3\n", ago=OLD)
    yard.put("runs/lost/meta.yaml", b"status: 1\n", ago=OLD)
    yard.put("runs/models/1.bin", ago=OLD)
    yard.put("runs/other/meta.yaml", b"artifact: x\n", ago=OLD)
    yard.tick()
    assert found(yard) == ["runs/lost/"]
    yard.tick()
    assert titles(yard) == ["Run lost was abandoned: will delete 1 object, 10 B, on 21 Nov 2026 12:02 UTC (in 24 hours)"]


def test_a_run_whose_status_file_goes_with_the_first_portion_is_deleted_to_the_end() -> None:
    """Once it is known to be a run, it need not show it again."""
    yard = a_yard(RULE.replace("[_SUCCESS]", "[{object: a.json, has: {state: DONE}}]"))
    yard.portion = 2
    yard.put("runs/run-1/a.json", b'{"state": "RUNNING"}', ago=OLD)
    for number in range(5):
        yard.put(f"runs/run-1/b{number}", ago=OLD)
    yard.tick()
    yard.tick()
    yard.hours(24)
    assert (yard.job().stage, yard.job().reason, yard.names()) == ("done", "", [])


def test_a_run_that_is_written_to_during_the_wait_is_left_alone() -> None:
    """It lives, and people are told so."""
    yard = a_yard()
    yard.run("run-1", ago=OLD)
    yard.tick()
    yard.tick()
    yard.put("runs/run-1/ckpt/new.bin")
    yard.hours(24)
    assert titles(yard)[1:] == ["Run run-1 is left alone"]
    assert "ckpt/new.bin was written at 2026-11-20 12:02:00 UTC, after the run had been found abandoned" in yard.posts[1]


def test_a_dry_run_rehearses_them() -> None:
    """Once for each."""
    yard = a_yard(mode="observe")
    yard.run("run-1", ago=OLD)
    yard.tick()
    yard.tick()
    yard.hours(24)
    yard.hours(24)
    assert [title.split(",")[0] for title in titles(yard)] == ["DRY RUN: Run run-1 was abandoned: would delete 3 objects"]


# once a day


def test_each_folder_is_listed_once_a_day() -> None:
    """Not with every tick."""
    yard = a_yard()
    yard.run("run-1")
    yard.tick()
    pages = listings(yard)
    yard.hours(23)
    assert pages == []
    yard.hours(1)
    assert pages == ["page"]
    assert found(yard) == []


def test_a_run_is_found_once_and_not_day_after_day() -> None:
    """Neither while its deletion waits, nor after it was called off."""
    yard = a_yard(RULE.replace("24h", "72h"))
    yard.run("run-1", ago=OLD)
    for _ in range(3):
        yard.hours(24)
    assert len(yard.posts) == 1
    yard.ann().cancel(yard.key())
    for _ in range(3):
        yard.hours(24)
    assert titles(yard)[1:] == ["Run run-1: called off"]
    assert len(yard.jobs()) == 1


def test_what_the_policy_keeps_of_a_run_is_no_run_to_delete() -> None:
    """It is found again and left, without a word."""
    yard = a_yard()
    yard.run("run-1", ago=OLD)
    for _ in range(6):
        yard.hours(24)
    assert [title.split(":")[0] for title in titles(yard)] == ["Run run-1 was abandoned", "Run run-1"]
    assert sorted(job.stage for job in yard.jobs().values()) == ["done", "left"]


# in slices


def test_a_long_listing_goes_on_at_the_next_tick() -> None:
    """From where it stood, although a run lies on both sides of the cut; and then it is over for the day."""
    yard = a_yard(seconds=5)
    for number in range(4):
        yard.run(f"run-{number}", ago=OLD)
    yard.put("runs/run-1/logs/z", ago=DAY)
    yard.objects.page = 5
    yard.hooks.after = lambda called: yard.clock.sleep(10) if called == "page" else None
    ticks = 0
    while ticks < 10:
        yard.tick(0)
        ticks += 1
        kept = yard.journal.ledger(rule_id(RUNS, "runs/{run}/"))
        assert kept
        if kept.record.position is None:
            break
    assert ticks > 3
    yard.heal()
    assert found(yard) == ["runs/run-0/", "runs/run-2/", "runs/run-3/"]


def test_the_position_is_saved_every_minute() -> None:
    """Whoever goes on after a crash lists a minute's worth again at most."""
    yard = a_yard()
    for number in range(20):
        yard.run(f"run-{number:02}", objects=1, ago=OLD)
    yard.objects.page = 2
    yard.hooks.after = lambda called: yard.clock.sleep(25) if called == "page" else None
    pages: list[str] = []

    def crash(called: str) -> None:
        if called == "page":
            pages.append(called)
            if len(pages) == 9:
                raise Crash

    yard.hooks.before = crash
    with pytest.raises(Crash):
        yard.tick()
    kept = yard.journal.ledger(rule_id(RUNS, "runs/{run}/"))
    assert kept
    assert kept.record.position
    assert kept.record.position.after == "runs/run-05/logs/train.log"
    yard.heal()
    pages.clear()
    yard.hooks.before = lambda called: pages.append(called) if called == "page" else None
    yard.tick(0)
    yard.tick(6)  # whoever died may be at it still for some minutes
    assert len(found(yard)) == 20


def test_nothing_is_listed_when_the_time_is_up() -> None:
    """What is due comes first."""
    yard = a_yard(seconds=0)
    yard.run("run-1", ago=OLD)
    pages = listings(yard)
    yard.tick()
    assert pages == []


AGES = st.sampled_from([DAY, 13 * DAY, 14 * DAY, OLD])
OBJECTS = st.dictionaries(
    st.sampled_from(
        [f"{folder}{name}" for folder in ("runs/a/", "runs/a b/", "runs/b/", "runs/", "") for name in ("", "1", "2/3", "_SUCCESS", "z")]
    ).filter(bool),
    AGES,
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(OBJECTS, st.integers(1, 4), st.booleans())
def test_the_slices_find_what_the_whole_would(objects: dict[str, timedelta], page: int, sliced: bool) -> None:
    """However the listing is cut: the runs whose youngest object is old enough, and none of whose objects is `_SUCCESS`."""
    yard = a_yard(seconds=5 if sliced else 240)
    for name, ago in objects.items():
        yard.put(name, ago=ago)
    yard.objects.page = page
    if sliced:
        yard.hooks.after = lambda called: yard.clock.sleep(5) if called == "page" else None
    for _ in range(15):
        sweep.Sweeper(
            yard.watchdog().world, yard.policy, yard.clock.monotonic() + 5, yard.watchdog()._found, yard.watchdog().unreadable
        ).sweep()
    runs = {f"runs/{name.split('/')[1]}/" for name in objects if name.startswith("runs/") and name.count("/") > 1}
    youngest = {run: min(ago for name, ago in objects.items() if name.startswith(run)) for run in runs}
    assert found(yard) == sorted(run for run in runs if youngest[run] >= 14 * DAY and f"{run}_SUCCESS" not in objects)


# several rules, and what stands in the way


def two_rules() -> Yard:
    """Two buckets, each with an abandoned run."""
    yard = a_yard(RULE, RULE.replace("acme-ml-runs", "acme-ml-more"))
    yard.objects.create("acme-ml-more")
    yard.put("runs/run-1/a", ago=OLD)
    yard.put("runs/run-2/a", bucket="acme-ml-more", ago=OLD)
    return yard


def test_every_rule_has_its_own_look() -> None:
    """In its own bucket."""
    yard = two_rules()
    yard.tick()
    assert {(job.bucket, job.prefix) for job in yard.jobs().values()} == {("acme-ml-runs", "runs/run-1/"), ("acme-ml-more", "runs/run-2/")}


def test_a_rule_that_does_not_say_when_a_run_is_abandoned_lists_nothing() -> None:
    """Its runs are noticed by their signs alone."""
    yard = a_yard(a_rule())
    yard.run("run-1", ago=OLD)
    pages = listings(yard)
    yard.tick()
    assert (pages, found(yard)) == ([], [])


@pytest.mark.parametrize("error", [Denied, Unavailable])
def test_a_bucket_that_cannot_be_listed_hides_no_other(error: type[Exception], caplog: pytest.LogCaptureFixture) -> None:
    """It is said in the log, and tried again at the next tick."""
    yard = two_rules()
    yard.strike("page", lambda: error("no"))
    yard.tick()
    assert found(yard) == ["runs/run-2/"]
    assert (
        "gs://acme-ml-runs/runs/{run}/ could not be looked through for abandoned runs, and is tried again at the next tick: no"
        in caplog.text
    )
    yard.tick()
    assert found(yard) == ["runs/run-1/", "runs/run-2/"]


def test_a_record_that_cannot_be_read_is_told_once_and_hides_no_other() -> None:
    """Nothing overwrites it."""
    yard = two_rules()
    name = f"rules/{rule_id(RUNS, 'runs/{run}/')}.json"
    yard.bucket.write(name, b"{", generation=0)
    yard.tick()
    yard.tick()
    assert found(yard) == ["runs/run-2/"]
    assert [title for title in titles(yard) if "journal" in title] == ["A journal entry cannot be read"]
    assert yard.bucket.objects[name][0] == b"{"


def test_two_ticks_at_once_do_not_find_a_run_twice() -> None:
    """Whoever comes second sees that somebody is at it."""
    yard = a_yard()
    yard.run("run-1", ago=OLD)
    yard.meanwhile("page", lambda: yard.watchdog().tick())
    yard.tick()
    assert found(yard) == ["runs/run-1/"]


def test_a_run_that_is_reserved_during_the_look_makes_it_begin_again_from_where_it_was(caplog: pytest.LogCaptureFixture) -> None:
    """Both write to one record; a day's deletions are never overwritten by a position."""
    caplog.set_level("INFO")
    yard = a_yard()
    yard.run("run-1", ago=OLD)
    key = rule_id(RUNS, "runs/{run}/")

    def reserve() -> None:
        kept = yard.journal.ledger(key)
        assert kept
        yard.journal.save_ledger(key, kept, kept.record.but(refused={"k": Refusal(at=yard.clock.now(), run="runs/run-9/")}))

    yard.meanwhile("page", reserve)
    yard.tick()
    assert "somebody else writes its record; the look for abandoned runs goes on at the next tick" in caplog.text
    assert found(yard) == ["runs/run-1/"]
    yard.hours(1)
    yard.hours(1)
    kept = yard.journal.ledger(key)
    assert kept
    assert (list(kept.record.refused), kept.record.position) == (["k"], None)


def test_a_run_is_recorded_before_the_position_moves_on() -> None:
    """A crash between the two finds it again, and knows it."""
    yard = a_yard()
    yard.run("run-1", ago=OLD)
    yard.strike("write", Crash, number=3)
    with pytest.raises(Crash):
        yard.tick()
    assert found(yard) == ["runs/run-1/"]
    yard.heal()
    yard.tick()
    yard.tick()
    assert len(yard.jobs()) == 1
    assert len(yard.posts) == 1


def test_what_was_deleted_today_stays_on_record() -> None:
    """The look writes to the same record, and leaves that part of it as it is."""
    yard = a_yard()
    yard.run("run-1", ago=OLD)
    yard.tick()
    yard.tick()
    yard.hours(24)
    kept = yard.journal.ledger(rule_id(RUNS, "runs/{run}/"))
    assert kept
    assert [each.run for each in kept.record.reservations.values()] == ["runs/run-1/"]
    assert kept.record.but(reservations={}) == Ledger(swept_at=yard.clock.now())


def test_a_run_that_holds_nothing_is_no_run() -> None:
    """That would be a mistake in the code."""
    with pytest.raises(TypeError, match="runs/run-1/ holds nothing"):
        sweep._job(the_policy(RULE).artifacts[0], Position(run="runs/run-1/"))
