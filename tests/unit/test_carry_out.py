"""Each way in which parking or restoring one resource can go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from shared import carry_out
from shared.carry_out import AFTER_ANOTHER, TOO_LATE, Job, Result
from shared.entry import TargetRecord, UseRecord
from shared.errors import CloudError, Conflict, Denied, Refused, Unavailable
from tests.doubles import MemoryFleet, scaling
from tests.stage import full_name

NAME = full_name("ranker")
WARM, IDLE = scaling(minimum=2, maximum=9), scaling(maximum=9)
STOPPED = scaling(minimum=2, maximum=9, mode="manual", count=0)


@pytest.fixture
def fleet() -> MemoryFleet:
    """One service with two warm instances."""
    made = MemoryFleet()
    made.add(NAME, WARM)
    return made


def target(name: str = NAME, **more: Any) -> TargetRecord:
    """The plan to make it idle."""
    given: dict[str, Any] = {
        "use": UseRecord(action="scale_to_zero", params={"select": {"services": ["*"]}}),
        "before": WARM,
        "found": WARM,
        "wanted": IDLE,
    }
    return TargetRecord(resource=name, kind="service", step="actual-0.8", **(given | more))


def parked(**more: Any) -> TargetRecord:
    """The same once it is done."""
    return target(**({"status": "restoring", "wrote": IDLE} | more))


def once(fleet: MemoryFleet, method: str, do: Callable[[], object], *, after: bool = False) -> None:
    """Do something at the method's next call, before or after its work."""
    side = "after" if after else "before"

    def hook(called: str) -> None:
        if called == method:
            setattr(fleet.hooks, side, lambda _: None)
            do()

    setattr(fleet.hooks, side, hook)


def fail(error: BaseException) -> Callable[[], object]:
    """Raise it."""

    def strike() -> None:
        raise error

    return strike


def park(job: Job, fleet: MemoryFleet, *, leased: bool = True) -> Result:
    """Park it under a lease."""
    return carry_out.park(job, fleet, lambda: leased)


def restore(job: Job, fleet: MemoryFleet, *, leased: bool = True) -> Result:
    """Restore it under a lease."""
    return carry_out.restore(job, fleet, lambda: leased)


# parking


def test_a_parked_service_is_read_back(fleet: MemoryFleet) -> None:
    """Only what was seen to be as it was wanted counts as verified."""
    done = park(Job(target(), fleet.get(NAME)), fleet).target
    assert (done.status, done.wrote, done.reason) == ("verified", IDLE, "")
    assert [after for _, _, after in fleet.writes] == [IDLE]


def test_what_the_platform_unsets_by_itself_is_recorded_as_written(fleet: MemoryFleet) -> None:
    """Cloud Run drops minimum and maximum in manual mode; the record has what really stands there."""
    done = park(Job(target(wanted=STOPPED)), fleet).target
    assert (done.status, done.wrote) == ("verified", scaling(mode="manual", count=0))


def test_a_service_that_was_changed_since_it_was_seen_is_not_written(fleet: MemoryFleet) -> None:
    """It has to be planned anew with what it is now."""
    fleet.deploy(NAME, "bob", minimum=5)
    result = park(Job(target()), fleet)
    assert result.moved == fleet.get(NAME)
    assert not fleet.writes


def test_a_change_that_was_made_before_the_worker_died_is_not_made_twice(fleet: MemoryFleet) -> None:
    """Intended, perhaps done, and live as it was wanted: then it was done."""
    fleet.deploy(NAME, fleet.me, minimum=0)
    done = park(Job(target(maybe=True)), fleet).target
    assert (done.status, done.wrote) == ("verified", IDLE)
    assert not fleet.writes


@pytest.mark.parametrize(
    ("wanted", "wrote"), [(IDLE, IDLE), (STOPPED, scaling(minimum=0, maximum=9, mode="manual", count=0))], ids=["idle", "stopped"]
)
def test_somebodys_change_beside_it_is_not_recorded_as_the_watchdogs(
    fleet: MemoryFleet, wanted: dict[str, Any], wrote: dict[str, Any]
) -> None:
    """A worker died after its write, and then somebody set a maximum: it was parked, and the maximum is theirs."""
    fleet.deploy(NAME, fleet.me, **wanted)
    fleet.unset_on_manual = False
    fleet.deploy(NAME, "bob", maximum=4)
    done = park(Job(target(wanted=wanted, maybe=True)), fleet).target
    assert (done.status, done.wrote) == ("verified", wrote)


def test_the_same_state_made_by_somebody_else_is_not_taken_for_the_watchdogs(fleet: MemoryFleet) -> None:
    """Where nothing was ever sent, it has to be planned anew, and then there is nothing to do."""
    fleet.deploy(NAME, "bob", minimum=0)
    assert park(Job(target()), fleet).moved == fleet.get(NAME)


def test_a_deployment_at_the_moment_of_the_write_wins(fleet: MemoryFleet) -> None:
    """The etag is stale, nothing is changed, and the plan is made anew."""
    once(fleet, "update", lambda: fleet.deploy(NAME, "bob", minimum=5))
    result = park(Job(target()), fleet)
    assert result.moved == fleet.get(NAME)
    assert fleet.get(NAME).state == WARM | {"minimum": 5}


def test_somebody_who_brings_it_back_at_once_is_noticed(fleet: MemoryFleet) -> None:
    """What is read back is not what was wanted, so it is planned anew, knowing that something was written."""
    once(fleet, "update", lambda: fleet.deploy(NAME, "bob", minimum=1), after=True)
    result = park(Job(target()), fleet)
    assert result.moved == fleet.get(NAME)
    assert result.target.maybe


@pytest.mark.parametrize("method", ["get", "update"])
def test_a_service_that_was_deleted_meanwhile_is_skipped(fleet: MemoryFleet, method: str) -> None:
    """There is nothing left to park."""
    once(fleet, method, lambda: fleet.delete(NAME))
    done = park(Job(target()), fleet).target
    assert (done.status, done.reason) == ("skipped", "was deleted meanwhile")


@pytest.mark.parametrize(
    ("error", "again", "patience"),
    [
        (Unavailable("busy", resource=NAME, retry_after=7), True, 7.0),
        (Unavailable("timed out", resource=NAME), True, 0.0),
        (Denied("run.services.update is missing", resource=NAME), False, 0.0),
        (Refused("the minimum is above the maximum", resource=NAME), False, 0.0),
    ],
)
def test_a_failed_change_says_why_and_whether_to_try_again_soon(
    fleet: MemoryFleet, error: CloudError, again: bool, patience: float
) -> None:
    """What passes by itself is tried again at once, and may have changed something; what a person must mend waits for the tick."""
    once(fleet, "update", fail(error))
    result = park(Job(target()), fleet)
    assert (result.target.status, result.target.reason, result.target.attempts) == ("failed", str(error), 1)
    assert (result.again, result.patience, result.target.maybe) == (again, patience, again)


def test_a_service_that_could_not_be_read_was_not_changed(fleet: MemoryFleet) -> None:
    """Nothing was sent, so nothing is in doubt."""
    once(fleet, "get", fail(Denied("run.services.get is missing", resource=NAME)))
    result = park(Job(target()), fleet)
    assert (result.target.status, result.target.maybe) == ("failed", False)


def test_a_conflict_followed_by_silence_is_a_failure(fleet: MemoryFleet) -> None:
    """It cannot be planned anew without being read; the next tick does that."""
    seen = fleet.get(NAME)
    fleet.deploy(NAME, "bob", minimum=5)
    once(fleet, "get", fail(Unavailable("no answer", resource=NAME)))
    result = park(Job(target(), seen), fleet)
    assert (result.target.status, result.target.reason) == ("failed", f"{NAME}: the etag is stale")


def test_a_conflict_with_a_deletion_is_skipped(fleet: MemoryFleet) -> None:
    """Deleted between the refused write and the look afterwards."""
    seen = fleet.get(NAME)
    fleet.deploy(NAME, "bob", minimum=5)
    once(fleet, "get", lambda: fleet.delete(NAME))
    done = park(Job(target(), seen), fleet).target
    assert (done.status, done.reason) == ("skipped", "was deleted meanwhile")


@pytest.mark.parametrize("maybe", [False, True])
def test_what_was_protected_since_it_was_planned_is_not_written(fleet: MemoryFleet, maybe: bool) -> None:
    """The guard is asked once more right before the write, and then it is planned anew."""
    job = Job(target(maybe=maybe), refusal=lambda live: "protected" if live.state == WARM else None)
    assert park(job, fleet).moved == fleet.get(NAME)
    assert not fleet.writes


def test_what_was_parked_before_it_was_protected_stays_on_record(fleet: MemoryFleet) -> None:
    """A worker died after its write, and then it was protected: it is the watchdog's, and will be put back."""
    fleet.deploy(NAME, fleet.me, minimum=0)
    assert park(Job(target(maybe=True), refusal=lambda _: "protected"), fleet).target.status == "verified"


def test_a_write_that_the_lease_no_longer_covers_is_not_sent(fleet: MemoryFleet) -> None:
    """Whoever holds the entry now goes on, and a late write would come between."""
    result = park(Job(target()), fleet, leased=False)
    assert (result.again, result.target.status, result.target.reason, result.target.attempts) == (True, "intended", TOO_LATE, 0)
    back = scaling(minimum=1)
    fleet.deploy(NAME, fleet.me, minimum=0)
    result = restore(Job(parked(), back=back), fleet, leased=False)
    assert (result.again, result.back, result.target.status, result.target.reason) == (True, back, "restoring", TOO_LATE)
    assert not fleet.writes


def test_an_action_that_changes_nothing_can_park_nothing(fleet: MemoryFleet) -> None:
    """A journal that says otherwise is wrong, and is not guessed at."""
    with pytest.raises(TypeError, match="notify changes nothing"):
        park(Job(target(use=UseRecord(action="notify", params={}))), fleet)


# restoring


def test_what_was_there_before_is_put_back_exactly(fleet: MemoryFleet) -> None:
    """Mode, counts and both minimums, as they were recorded."""
    park(Job(target(wanted=STOPPED)), fleet)
    done = restore(Job(parked(wanted=STOPPED, wrote=fleet.get(NAME).state)), fleet).target
    assert (done.status, done.reason) == ("restored", "")
    assert fleet.get(NAME).state == WARM


@pytest.mark.parametrize(
    ("record", "status", "reason"),
    [
        (parked(), "restored", ""),
        (parked(wrote=None, maybe=True), "restored", "it is as it was before, and perhaps was never parked"),
        (parked(wrote=None), "left", "was never parked by this plan"),
    ],
    ids=["parked", "perhaps parked", "never parked"],
)
def test_what_is_as_it_was_before_needs_no_write(fleet: MemoryFleet, record: TargetRecord, status: str, reason: str) -> None:
    """A worker that put it back died before it could say so, or it never was parked; nobody is told that it is back who never knew it gone."""
    done = restore(Job(record), fleet).target
    assert (done.status, done.reason) == (status, reason)
    assert not fleet.writes


@pytest.mark.parametrize("back", [None, IDLE], ids=["alone", "beside another plan"])
def test_what_was_never_parked_is_left_as_it_is_found(fleet: MemoryFleet, back: dict[str, Any] | None) -> None:
    """Somebody made it idle before the plan came to it, or another plan did: it is not this plan's to put back."""
    fleet.deploy(NAME, "bob", minimum=0)
    done = restore(Job(parked(wrote=None), back=back), fleet).target
    assert done.status == "left"
    assert done.reason == ("was never parked by this plan" if back else "changed meanwhile by bob: minimum is 0 and not 2")
    assert not fleet.writes


@pytest.mark.parametrize(("wrote", "wanted"), [(None, IDLE), (None, STOPPED), (IDLE, IDLE)])
def test_what_a_dead_worker_may_have_changed_is_put_back_too(
    fleet: MemoryFleet, wrote: dict[str, Any] | None, wanted: dict[str, Any]
) -> None:
    """The live state tells what was done, whether or not the record does."""
    fleet.deploy(NAME, fleet.me, **wanted)
    assert restore(Job(parked(wrote=wrote, wanted=wanted, maybe=True)), fleet).target.status == "restored"
    assert fleet.get(NAME).state == WARM


@pytest.mark.parametrize("wanted", [IDLE, STOPPED], ids=["idle", "stopped"])
def test_somebodys_maximum_is_not_taken_for_a_dead_workers(fleet: MemoryFleet, wanted: dict[str, Any]) -> None:
    """It does not bring the service back, so the service counts as parked; but only what the worker wrote is put back."""
    fleet.deploy(NAME, fleet.me, **wanted)
    fleet.unset_on_manual = False
    fleet.deploy(NAME, "bob", maximum=4)
    done = restore(Job(parked(wrote=None, wanted=wanted, maybe=True)), fleet).target
    assert fleet.get(NAME).state == WARM | {"maximum": 4}
    assert (done.status, done.reason) == ("left", "changed meanwhile by bob: maximum is 4 and not 9")


def test_what_somebody_else_changed_is_left_and_named(fleet: MemoryFleet) -> None:
    """They are named, with what is different from before."""
    fleet.deploy(NAME, "bob@acme.example", minimum=1)
    done = restore(Job(parked()), fleet).target
    assert (done.status, done.reason) == ("left", "changed meanwhile by bob@acme.example: minimum is 1 and not 2")
    assert not fleet.writes


def test_the_rest_is_put_back_beside_what_somebody_else_changed(fleet: MemoryFleet) -> None:
    """Their maximum stays, the minimum comes back, and they are named although the watchdog wrote last."""
    fleet.deploy(NAME, "bob", minimum=0, maximum=4)
    done = restore(Job(parked()), fleet).target
    assert fleet.get(NAME).state == scaling(minimum=2, maximum=4)
    assert (done.status, done.reason) == ("left", "changed meanwhile by bob: maximum is 4 and not 9")


def test_what_was_deleted_meanwhile_is_left(fleet: MemoryFleet) -> None:
    """Nothing is created anew."""
    fleet.delete(NAME)
    done = restore(Job(parked()), fleet).target
    assert (done.status, done.reason) == ("left", "was deleted meanwhile")


def test_what_the_platform_makes_of_a_restore_is_named(fleet: MemoryFleet) -> None:
    """Read back and different: a person has to see to it."""
    fleet.deploy(NAME, fleet.me, minimum=0)
    once(fleet, "update", lambda: fleet.deploy(NAME, fleet.me, maximum=100), after=True)
    done = restore(Job(parked()), fleet).target
    assert done.status == "restored"
    assert done.reason == "something else came of it: maximum is 100 and not 9; set it by hand if that matters"


def test_what_another_plan_still_wants_is_put_back_in_its_way(fleet: MemoryFleet) -> None:
    """The higher plan ends and the lower one goes on: stopped becomes idle, and not warm."""
    fleet.deploy(NAME, fleet.me, **scaling(mode="manual", count=0))
    record = parked(found=IDLE, wanted=STOPPED, wrote=scaling(mode="manual", count=0))
    done = restore(Job(record, back=IDLE), fleet).target
    assert (done.status, done.reason) == ("restored", "another entry still parks it, in its own way")
    assert fleet.get(NAME).state == IDLE


@pytest.mark.parametrize(
    "error", [Unavailable("busy", resource=NAME, retry_after=7), Denied("no permission", resource=NAME), Conflict("stale", resource=NAME)]
)
def test_a_failed_restore_keeps_its_record(fleet: MemoryFleet, error: CloudError) -> None:
    """It stays to be put back, with the state from before and what another plan wants of it."""
    fleet.deploy(NAME, fleet.me, minimum=0)
    once(fleet, "update", fail(error))
    result = restore(Job(parked(), back=scaling(minimum=1, maximum=9)), fleet)
    assert (result.target.status, result.target.before, result.target.reason) == ("restoring", WARM, str(error))
    assert result.back == scaling(minimum=1, maximum=9)
    assert result.again is not isinstance(error, Denied)
    assert result.patience == (7.0 if isinstance(error, Unavailable) else 0.0)


def test_what_another_plan_has_put_back_already_is_told_by_that_one(fleet: MemoryFleet) -> None:
    """People read once that it is back."""
    done = restore(Job(parked(reason=AFTER_ANOTHER)), fleet).target
    assert (done.status, done.told) == ("restored", "restored")
