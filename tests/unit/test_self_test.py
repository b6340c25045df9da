"""The watchdog asks once a day whether it may do what the policy asks of it."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.errors import Conflict, Denied, Unavailable
from shared.rights import Rights
from shared.self_test import SelfTest, needed
from shared.watchdog import Watchdog
from tests.sight_double import MemorySight
from tests.stage import IDLE_80, NOTIFY_50, POOLS, PROJECT, a_policy
from tests.yard import RUNS, Yard

NONCURRENT = "{at: 90%, do: [{delete_noncurrent: {buckets: [old-models], older_than: 30d}}]}"
POLICY = a_policy(
    IDLE_80,
    f"{{at: 100%, do: [{POOLS}]}}",
    NONCURRENT,
    more="artifacts: [{bucket: acme-ml-runs, runs: 'runs/{run}/', failed_when: [failed_marker]}]",
)


class Trial(Yard):
    """A yard whose watchdog can ask what it may do."""

    def __post_init__(self) -> None:
        """Nothing is lacking."""
        super().__post_init__()
        self.seer = MemorySight()
        self.unreadable: list[str] = []

    def test(self) -> Rights | None:
        """One tick's turn; the answer is what is recorded then."""
        world = replace(self.watchdog().world, permissions=self.seer)
        SelfTest(world, self.policy, PROJECT, "cost-watchdog-task", lambda error: self.unreadable.append(error.name)).test()
        kept = self.journal.rights() if not self.unreadable else None
        return kept.record if kept else None


@pytest.fixture
def trial() -> Trial:
    """Services, worker pools, old versions and failed runs are in the policy."""
    return Trial(POLICY)


def test_what_is_needed() -> None:
    """Actions on resources need their permissions on each watched project, actions on objects and rules about runs on their buckets."""
    found = needed(POLICY, "own")
    assert list(found) == ["bucket acme-ml-runs", "bucket old-models", f"project {PROJECT}"]
    assert {"run.services.update", "run.workerpools.update"} <= found[f"project {PROJECT}"]
    assert "storage.objects.restore" in found["bucket acme-ml-runs"] & found["bucket old-models"]
    assert needed(a_policy(NOTIFY_50), "own") == {}
    anywhere = a_policy(IDLE_80).model_copy(update={"scope": POLICY.scope.model_copy(update={"projects": ()})})
    assert list(needed(anywhere, "own")) == ["project own"]


def test_what_is_missing_is_recorded_and_logged(trial: Trial, caplog: pytest.LogCaptureFixture) -> None:
    """Each place says by itself what it lacks; an alert can be made of the log."""
    trial.seer.lacking = {PROJECT: frozenset({"run.services.update"}), RUNS: frozenset({"storage.objects.restore"})}
    with caplog.at_level(logging.ERROR):
        rights = trial.test()
    assert rights
    assert rights.missing == {f"project {PROJECT}": ("run.services.update",), f"bucket {RUNS}": ("storage.objects.restore",)}
    assert set(rights.tested) == set(needed(POLICY, PROJECT))
    assert (rights.service, rights.untested) == ("cost-watchdog-task", {})
    assert f"project {PROJECT}: the watchdog lacks run.services.update" in caplog.text


def test_it_is_tested_once_a_day(trial: Trial) -> None:
    """Or when the policy needs something elsewhere."""
    first = trial.test()
    trial.clock.sleep(3600)
    assert trial.test() == first
    trial.policy = a_policy(IDLE_80)
    second = trial.test()
    assert second
    assert first
    assert (second.tested_at, list(second.tested)) == (trial.clock.now(), [f"project {PROJECT}"])
    trial.clock.sleep(timedelta(days=1).total_seconds())
    third = trial.test()
    assert third
    assert third.tested_at == trial.clock.now()


def test_a_place_that_cannot_be_asked(trial: Trial) -> None:
    """It is recorded as untested, and the others are tested."""
    trial.seer.faults[f"held_on_bucket {RUNS}"] = Denied("no such bucket, or nobody may know")
    rights = trial.test()
    assert rights
    assert rights.untested == {f"bucket {RUNS}": "no such bucket, or nobody may know"}
    assert set(rights.tested) == {"bucket old-models", f"project {PROJECT}"}


@pytest.mark.parametrize("error", [Conflict("somebody else wrote it"), Unavailable("the bucket is away")])
def test_what_fails_is_left_to_the_next_tick(trial: Trial, error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing else is kept from its turn by it."""
    trial.strike("write", lambda: error)
    with caplog.at_level(logging.INFO):
        assert trial.test() is None
    assert str(error) in caplog.text
    trial.heal()
    assert trial.test()


def test_a_record_that_cannot_be_read(trial: Trial) -> None:
    """It is told, and left alone."""
    trial.bucket.write("rights.json", b"{", generation=0)
    trial.test()
    assert trial.unreadable == ["rights.json"]
    assert trial.bucket.objects["rights.json"][0] == b"{"


def test_the_tick_tests(trial: Trial) -> None:
    """A tick does it, where it can be asked."""
    world = replace(trial.watchdog().world, permissions=trial.seer)
    Watchdog(world, trial.policy, project=PROJECT, service="cost-watchdog-task").tick()
    assert trial.journal.rights()
    bare = Trial(POLICY)
    bare.tick()
    assert bare.journal.rights() is None
