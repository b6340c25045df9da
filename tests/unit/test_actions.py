"""What each action makes of a resource, what it says remains, and which fields are put back together."""

from __future__ import annotations

import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from shared import actions
from shared.actions import Move, blend, registry, scale_to_zero, set_lifecycle, stop_worker_pools
from shared.model import Resource
from tests.doubles import POOL_FACTS, SERVICE_FACTS, scaling
from tests.stage import full_name

SERVICES, POOLS = scale_to_zero.Services(), stop_worker_pools.WorkerPools()
GCLOUD = "gcloud run services update-traffic ranker --project=acme-ml-staging --region=us-central1"


def service(state: dict[str, Any], revisions: tuple[dict[str, Any], ...] = (), **facts: Any) -> Resource:
    """A service of one vCPU and half a GiB."""
    return Resource("service", full_name("ranker"), state=state, facts={**SERVICE_FACTS, "revisions": revisions, **facts})


def revision(minimum: int = 1, percent: int = 0, tag: str = "") -> dict[str, Any]:
    """A revision that the traffic names."""
    return {"revision": "ranker-7", "minimum": minimum, "percent": percent, "tag": tag}


def planned(resource: Resource, to: str) -> Move | str:
    """What the action answers."""
    return SERVICES.plan(resource, scale_to_zero.Params.model_validate({"select": {"services": ["*"]}, "to": to}))


def move(resource: Resource, to: str) -> Move:
    """What the action makes of a resource that it changes."""
    answer = planned(resource, to)
    assert isinstance(answer, Move)
    return answer


@pytest.mark.parametrize(
    ("before", "to", "after"),
    [
        (scaling(minimum=2, maximum=9), "idle", scaling(maximum=9)),
        (scaling(minimum=2, revision_minimum=3), "idle", scaling()),
        (scaling(revision_minimum=3), "idle", scaling()),
        (scaling(mode="manual", count=3), "idle", scaling(maximum=3)),
        (scaling(minimum=2, maximum=9), "stopped", scaling(minimum=2, maximum=9, mode="manual", count=0)),
        (scaling(), "stopped", scaling(mode="manual", count=0)),
        (scaling(mode="manual", count=3), "stopped", scaling(mode="manual", count=0)),
    ],
)
def test_a_service_goes_to_zero_from_every_mode(before: dict[str, Any], to: str, after: dict[str, Any]) -> None:
    """Idle is automatic scaling without minimum, bounded by what a manual count allowed; stopped is manual scaling with 0 instances."""
    assert move(service(before), to).wanted == after


@pytest.mark.parametrize(
    ("state", "to", "reason"),
    [
        (scaling(mode="manual", count=0), "idle", "already stopped: manual scaling with 0 instances"),
        (scaling(mode="manual", count=0), "stopped", "already stopped: manual scaling with 0 instances"),
        (scaling(maximum=9), "idle", "already idle: no instance is kept warm by its settings"),
    ],
)
def test_what_is_at_zero_already_is_left_with_a_reason(state: dict[str, Any], to: str, reason: str) -> None:
    """Nothing is written that is so already, and idle never starts what is stopped."""
    assert planned(service(state), to) == reason


@pytest.mark.parametrize(
    ("traffic", "expected"),
    [
        ([], 0),
        ([{"revision": "", "percent": 100, "tag": ""}], 0),
        ([{"revision": "ranker-7", "percent": 50, "tag": ""}, {"revision": "", "percent": 50, "tag": ""}], 0),
        ([{"revision": "ranker-7", "percent": 100, "tag": ""}], 3),
    ],
)
def test_the_revision_minimum_is_changed_only_where_the_traffic_follows(traffic: list[dict[str, Any]], expected: int) -> None:
    """A new revision without minimum helps nobody while all the traffic is pinned to an old one."""
    assert move(service(scaling(minimum=2, revision_minimum=3), traffic=traffic), "idle").wanted["revision_minimum"] == expected


def test_the_saving_counts_the_largest_minimum_and_not_the_sum() -> None:
    """Of the service's minimum and the revision's the larger one runs; each instance of 1 vCPU and 0.5 GiB costs 9.86 a month, idle."""
    assert move(service(scaling(minimum=2, revision_minimum=3)), "idle").saving == 3 * Decimal("9.86")


def test_a_manual_service_saves_all_its_instances_when_it_goes_idle() -> None:
    """All of a manual count runs, whatever the traffic."""
    assert move(service(scaling(mode="manual", count=4)), "idle").saving == 4 * Decimal("9.86")


def test_what_a_tagged_revision_keeps_running_is_not_counted_as_saved() -> None:
    """Two of the three warm instances run on through the tag."""
    tagged = service(scaling(minimum=3), (revision(2, tag="canary"),))
    assert move(tagged, "idle").saving == Decimal("9.86")
    assert move(service(scaling(mode="manual", count=1), (revision(2, tag="canary"),)), "stopped").saving == Decimal("9.86")


@pytest.mark.parametrize(
    ("seen", "to", "remains"),
    [
        (
            service(scaling(minimum=2), (revision(1, tag="canary"),)),
            "idle",
            f"revision ranker-7 keeps 1 running through its tag 'canary': remove the tag with `{GCLOUD} --remove-tags=canary`",
        ),
        (
            service(scaling(minimum=2), (revision(1, tag="canary"),)),
            "stopped",
            f"revision ranker-7 keeps 1 running through its tag 'canary': remove the tag with `{GCLOUD} --remove-tags=canary`",
        ),
        (
            service(scaling(minimum=2), (revision(2, percent=30),)),
            "idle",
            f"revision ranker-7 holds 30 % of the traffic and keeps its own minimum of 2: move the traffic with `{GCLOUD} --to-latest`",
        ),
        (
            service(scaling(minimum=2), billing="instance"),
            "idle",
            "instance-based billing: an instance that a request starts bills until it is shut down; only `to: stopped` is sure to end that",
        ),
        (
            service(scaling(minimum=2), billing="instance", gpu="nvidia-l4"),
            "idle",
            "its nvidia-l4 GPU bills as long as an instance lives; only `to: stopped` is sure to end that",
        ),
    ],
    ids=["tagged, idle", "tagged, stopped", "split", "instance-based", "gpu"],
)
def test_what_goes_on_costing_is_named_with_what_to_do(seen: Resource, to: str, remains: str) -> None:
    """A person can copy the command, and it names the service, the project and the region."""
    assert move(seen, to).remains == (remains,)


@pytest.mark.parametrize(
    "seen",
    [
        service(scaling(minimum=2), (revision(1, percent=100),)),
        service(scaling(minimum=2), (revision(1, percent=30, tag="canary"),)),
        service(scaling(minimum=2), (revision(0, tag="canary"),)),
        service(scaling(minimum=2), billing="instance", gpu="nvidia-l4"),
    ],
    ids=["pinned", "split and tagged", "tagged without minimum", "gpu"],
)
def test_stopped_leaves_nothing_running_that_has_traffic(seen: Resource) -> None:
    """Manual scaling divides its 0 instances among the revisions with traffic, so nothing of theirs remains."""
    assert move(seen, "stopped").remains == ()


def test_an_idle_service_says_what_still_costs() -> None:
    """Nothing can be changed about it, and yet it is not free."""
    answer = planned(service(scaling(), billing="instance"), "idle")
    assert isinstance(answer, str)
    assert answer.startswith("already idle: no instance is kept warm by its settings; instance-based billing: ")


def test_stopped_is_stronger_than_idle() -> None:
    """Of two steps on one service the stronger wins."""
    both = service(scaling(minimum=2))
    assert move(both, "stopped").strength > move(both, "idle").strength


def test_a_stopped_service_is_reached_whatever_became_of_its_minimum() -> None:
    """Cloud Run may unset minimum and maximum in manual mode; the mode and the count are what matters."""
    wanted = scaling(mode="manual", count=0, minimum=2, maximum=9)
    assert SERVICES.reached(scaling(mode="manual", count=0), wanted)
    assert not SERVICES.reached(scaling(mode="manual", count=1), wanted)
    assert not SERVICES.reached(scaling(minimum=2, maximum=9), wanted)


def test_an_idle_service_is_reached_while_nothing_keeps_instances_warm() -> None:
    """A minimum of somebody else's brings it back, on the service or on its revision; another maximum does not."""
    wanted = scaling(maximum=9)
    assert SERVICES.reached(scaling(maximum=9), wanted)
    assert SERVICES.reached(scaling(maximum=8), wanted)
    assert not SERVICES.reached(scaling(minimum=1, maximum=9), wanted)
    assert not SERVICES.reached(scaling(revision_minimum=1, maximum=9), wanted)
    assert not SERVICES.reached(scaling(mode="manual", count=1), wanted)


HALTED = scaling(mode="manual", count=0, minimum=2, maximum=9)


@pytest.mark.parametrize(
    ("live", "wanted", "made"),
    [
        (scaling(maximum=4), scaling(maximum=9), scaling(maximum=9)),
        (scaling(mode="manual", count=0), HALTED, scaling(mode="manual", count=0)),
        (scaling(mode="manual", count=0, maximum=4), HALTED, scaling(mode="manual", count=0, maximum=9)),
        (scaling(mode="manual", count=3), HALTED, HALTED),
        (scaling(), HALTED, HALTED),
    ],
    ids=["idle", "unset by the platform", "a maximum of somebody's", "started by somebody", "made automatic by somebody"],
)
def test_only_what_was_wanted_and_what_the_platform_unsets_can_be_the_watchdogs_own(live: Any, wanted: Any, made: Any) -> None:
    """A state that does what was wanted may hold more that is somebody else's."""
    assert SERVICES.made(live, wanted) == made


APART = (("mode", "count"), ("minimum",), ("maximum",), ("revision_minimum",))
PAIRED = (("mode", "count"), ("minimum", "maximum"), ("revision_minimum",))
WHOLE = (("mode", "minimum", "maximum", "count"), ("revision_minimum",))
STOPPED, STARTED = scaling(mode="manual", count=0), scaling(mode="manual", count=5)
OURS, BEFORE = scaling(maximum=9), scaling(minimum=2, maximum=9)


@pytest.mark.parametrize(
    ("live", "ours", "original", "groups"),
    [
        (OURS, OURS, BEFORE, APART),
        (scaling(), scaling(), scaling(minimum=2), APART),
        (scaling(maximum=3), scaling(maximum=3), scaling(minimum=5, maximum=9), PAIRED),
        (STOPPED, STOPPED, BEFORE, APART),
        (STARTED, STOPPED, BEFORE, WHOLE),
        (scaling(minimum=1), STOPPED, BEFORE, WHOLE),
        (STARTED, OURS, BEFORE, WHOLE),
    ],
    ids=["idle", "no maximum", "a minimum above a maximum", "stopped", "started by hand", "made automatic", "made manual"],
)
def test_fields_that_cloud_run_ties_together_are_put_back_together(live: Any, ours: Any, original: Any, groups: Any) -> None:
    """Minimum and maximum are apart unless they would contradict each other; where somebody changed the mode, all scaling is theirs."""
    assert SERVICES.groups(live, (ours,), original) == groups


@pytest.mark.parametrize(
    ("live", "ours", "back"),
    [
        (OURS, OURS, BEFORE),
        (scaling(maximum=4), OURS, scaling(minimum=2, maximum=4)),
        (scaling(minimum=1, maximum=9), OURS, scaling(minimum=1, maximum=9)),
        (scaling(maximum=9, revision_minimum=1), OURS, scaling(minimum=2, maximum=9, revision_minimum=1)),
        (STOPPED, STOPPED, BEFORE),
        (STARTED, STOPPED, STARTED),
        (scaling(minimum=1), STOPPED, scaling(minimum=1)),
        (scaling(mode="manual", count=0, maximum=4), STOPPED, scaling(minimum=2, maximum=4)),
        (STARTED, OURS, STARTED),
    ],
    ids=["idle", "maximum", "minimum", "revision minimum", "stopped", "started", "made automatic", "maximum while stopped", "made manual"],
)
def test_only_what_still_is_as_the_watchdog_left_it_is_put_back(live: dict[str, Any], ours: dict[str, Any], back: dict[str, Any]) -> None:
    """What somebody else set meanwhile stays, field by field; who changed the mode keeps the whole scaling."""
    assert blend(SERVICES.groups(live, (ours,), BEFORE), live=live, ours=(ours,), original=BEFORE) == back


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        (scaling(minimum=2), scaling(), "2 kept warm → none kept warm"),
        (scaling(revision_minimum=1), scaling(mode="manual", count=0), "1 kept warm → stopped"),
        (scaling(mode="manual", count=3), scaling(maximum=3), "manual, 3 running → none kept warm"),
    ],
)
def test_a_change_of_scaling_is_told_in_a_few_words(before: dict[str, Any], after: dict[str, Any], line: str) -> None:
    """The words are an operator's own."""
    assert SERVICES.line(before, after) == line


def test_a_worker_pool_stops_and_saves_all_its_instances() -> None:
    """Its instances always bill in full: 1 vCPU and 0.5 GiB are 49.93 a month."""
    pool = Resource("worker_pool", full_name("trainer", collection="workerPools"), state={"count": 3}, facts=POOL_FACTS)
    params = stop_worker_pools.Params.model_validate({"select": {"services": ["*"]}})
    assert POOLS.plan(pool, params) == Move({"count": 0}, 1, 3 * Decimal("49.93"))
    assert POOLS.line({"count": 3}, {"count": 0}) == "3 running → 0"
    assert POOLS.reached({"count": 0}, {"count": 0})
    assert not POOLS.reached({"count": 1}, {"count": 0})
    assert POOLS.groups({}, (), {}) == (("count",),)
    assert POOLS.made({"count": 1}, {"count": 0}) == {"count": 0}


def test_a_worker_pool_without_instances_is_left_with_a_reason() -> None:
    """There is nothing to stop."""
    pool = Resource("worker_pool", full_name("trainer", collection="workerPools"), state={"count": 0}, facts=POOL_FACTS)
    params = stop_worker_pools.Params.model_validate({"select": {"services": ["*"]}})
    assert POOLS.plan(pool, params) == "already stopped: 0 instances"


def test_only_the_rules_that_were_wanted_can_be_the_watchdogs_own() -> None:
    """A lifecycle rule that somebody else adds to a bucket is theirs."""
    assert set_lifecycle.Buckets().made({"old": True, "new": True, "theirs": True}, {"old": None, "new": True}) == {
        "old": True,
        "new": True,
    }


def test_the_folder_is_the_registry() -> None:
    """Each file's action stands under the file's name, with the permissions that it needs."""
    found = registry()
    assert sorted(found) == ["compress_objects", "delete_noncurrent", "notify", "scale_to_zero", "set_lifecycle", "stop_worker_pools"]
    assert not found["notify"].permissions
    assert "run.services.update" in found["scale_to_zero"].permissions


def test_a_file_whose_action_has_another_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The policy names the action and a person looks for the file, so both are one name; a file without an action is none."""
    (tmp_path / "impostor.py").write_text(
        'from shared.actions.notify import Params\nfrom shared.actions import Action\nACTION = Action("other", Params)\n'
    )
    (tmp_path / "helpers.py").write_text('"""No action."""\n')
    monkeypatch.setattr(actions, "__path__", [*actions.__path__, str(tmp_path)])
    with pytest.raises(TypeError, match=r"shared/actions/impostor\.py defines the action 'other'"):
        registry.__wrapped__()
    for name in ("impostor", "helpers"):
        sys.modules.pop(f"shared.actions.{name}", None)
