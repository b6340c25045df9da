"""The fleets: the same rules in memory and over the wire, for services and worker pools."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox.run_model import PEOPLE, WATCHDOG
from shared.cloud.run_services import CloudRunServices
from shared.cloud.run_worker_pools import CloudRunWorkerPools
from shared.errors import CloudError, Conflict, Gone, Refused
from shared.model import Place, Resource
from shared.ports import Fleet, Seen
from tests.contract.stand_ins import CloudRun
from tests.doubles import MemoryFleet, scaling

PLACE = Place("acme-ml-staging", "us-central1")
ELSEWHERE = Place("acme-ml-staging", "europe-west1")
COLLECTIONS = {"service": "services", "worker_pool": "workerPools"}
SHAPES = {"minimum": "service_min", "maximum": "service_max", "count": "manual_count", "revision_minimum": "revision_min"}
LABELS = {"env": "staging", "team": "vision"}


@dataclass(frozen=True)
class Estate:
    """A fleet, and what other people do to it."""

    kind: str
    fleet: Fleet
    add: Callable[[str, Place, Mapping[str, Any]], str]
    deploy: Callable[[str, Mapping[str, Any]], None]
    delete: Callable[[str], None]


def memory(kind: str, *, unset_on_manual: bool) -> Estate:
    """The double."""
    fleet = MemoryFleet(kind, unset_on_manual=unset_on_manual, me=WATCHDOG)

    def add(name: str, place: Place, state: Mapping[str, Any]) -> str:
        full = f"projects/{place.project}/locations/{place.region}/{COLLECTIONS[kind]}/{name}"
        return fleet.add(full, state, labels=LABELS)

    return Estate(kind, fleet, add, lambda name, state: fleet.deploy(name, PEOPLE, **state), fleet.delete)


def wire(kind: str, cloud: CloudRun, *, unset_on_manual: bool) -> Estate:
    """The real client before the stand-in."""
    model = cloud.model
    model.unset_on_manual = unset_on_manual
    fleet: Fleet = CloudRunServices(cloud.address) if kind == "service" else CloudRunWorkerPools(cloud.address)

    def shape(state: Mapping[str, Any]) -> dict[str, Any]:
        return {
            **({"mode": state["mode"].upper()} if "mode" in state else {}),
            **{SHAPES[key]: state[key] for key in SHAPES if state.get(key) is not None},
        }

    def add(name: str, place: Place, state: Mapping[str, Any]) -> str:
        put = model.add_service if kind == "service" else model.add_worker_pool
        return put(place.project, place.region, name, labels=LABELS, **shape(state))

    def deploy(name: str, state: Mapping[str, Any]) -> None:
        model.deploy(name, PEOPLE, **shape(state))

    return Estate(kind, fleet, add, deploy, lambda name: model.remove(name, PEOPLE))


def estate_of(request: pytest.FixtureRequest, kind: str) -> Estate:
    """The double, or the real client before the stand-in, under one of the two rules."""
    which, unset = request.param
    return (
        wire(kind, request.getfixturevalue("cloud_run"), unset_on_manual=unset) if which == "wire" else memory(kind, unset_on_manual=unset)
    )


BOTH = pytest.mark.parametrize("estate", [("memory", True), ("wire", True)], indirect=True, ids=["memory", "wire"])
UNDER_BOTH_RULES = pytest.mark.parametrize(
    "estate",
    [(which, unset) for which in ("memory", "wire") for unset in (True, False)],
    indirect=True,
    ids=lambda param: "-".join(map(str, param)),
)


@pytest.fixture
def estate(request: pytest.FixtureRequest) -> Estate:
    """Services."""
    return estate_of(request, "service")


@pytest.fixture
def pools(request: pytest.FixtureRequest) -> Estate:
    """Worker pools."""
    return estate_of(request, "worker_pool")


def changed(estate: Estate, name: str, **wanted: Any) -> dict[str, Any]:
    """Write a state that differs in some fields from the live one, and read the result."""
    live = estate.fleet.get(name)
    estate.fleet.write(live, {**live.state, **wanted}, timeout=10)
    return dict(estate.fleet.get(name).state)


@BOTH
def test_a_place_is_listed_whole_and_alone(estate: Estate) -> None:
    """All services of the place with labels and state, in the order of their names, and none of another place."""
    second = estate.add("ranker", PLACE, scaling(mode="manual", count=3))
    first = estate.add("embedder", PLACE, scaling(minimum=2, maximum=9, revision_minimum=1))
    estate.add("other", ELSEWHERE, scaling())
    seen = estate.fleet.list(PLACE)
    assert seen.unreachable == ()
    assert [(each.name, each.labels, each.state) for each in seen.resources] == [
        (first, LABELS, scaling(minimum=2, maximum=9, revision_minimum=1)),
        (second, LABELS, scaling(mode="manual", count=3)),
    ]
    assert [each.name for each in seen.resources] == [first, second]
    assert seen.resources[0] == estate.fleet.get(first)


@BOTH
def test_an_empty_place(estate: Estate) -> None:
    """A place without services is empty and no error."""
    assert estate.fleet.list(PLACE) == Seen(())


@BOTH
def test_what_is_not_there(estate: Estate) -> None:
    """Reading or writing what was deleted says that it is gone, with its name."""
    name = estate.add("embedder", PLACE, scaling(minimum=1))
    seen = estate.fleet.get(name)
    estate.delete(name)
    with pytest.raises(Gone, match=name):
        estate.fleet.get(name)
    with pytest.raises(Gone, match=name):
        estate.fleet.write(seen, {**seen.state, "minimum": 0}, timeout=10)


@BOTH
def test_facts(estate: Estate) -> None:
    """The double and the real client know the same facts of a plain service."""
    facts = dict(estate.fleet.get(estate.add("embedder", PLACE, scaling(minimum=1))).facts)
    assert facts.pop("uri") is not None
    assert facts.pop("latest_revision") is not None
    assert facts.pop("created").endswith("Z")
    assert facts == {
        "billing": "request", "gpu": "", "gpu_zonal_redundancy": False, "cpu": 1.0, "memory_gib": 0.5, "watchdog": False, "revision": "",
        "reconciling": False, "revision_maximum": 100, "function": False, "traffic": [{"revision": "", "percent": 100, "tag": ""}], "multi_region": False, "base_image": "",
    }  # fmt: skip


@BOTH
def test_detail_of_a_plain_service(estate: Estate) -> None:
    """Where all traffic goes to the latest revision there are no others to tell of."""
    seen = estate.fleet.get(estate.add("embedder", PLACE, scaling()))
    assert estate.fleet.detail(seen).facts == {**seen.facts, "revisions": []}


@BOTH
def test_a_write_changes_what_differs(estate: Estate) -> None:
    """The state becomes the wanted one, with a new etag and the watchdog as the last modifier."""
    name = estate.add("embedder", PLACE, scaling(minimum=2, maximum=9, revision_minimum=1))
    before = estate.fleet.get(name)
    assert changed(estate, name, minimum=0, revision_minimum=0) == scaling(maximum=9)
    after = estate.fleet.get(name)
    assert after.etag != before.etag
    assert (before.last_modifier != WATCHDOG, after.last_modifier) == (True, WATCHDOG)


@BOTH
def test_the_same_state_is_not_written(estate: Estate) -> None:
    """Where nothing differs nothing is sent, not even to see whether the service still is there."""
    seen = estate.fleet.get(estate.add("embedder", PLACE, scaling(minimum=2)))
    estate.fleet.write(seen, seen.state, timeout=10)
    assert estate.fleet.get(seen.name) == seen
    estate.delete(seen.name)
    estate.fleet.write(seen, seen.state, timeout=10)


@BOTH
def test_a_stale_etag_conflicts(estate: Estate) -> None:
    """Who deployed meanwhile wins; nothing is changed."""
    name = estate.add("embedder", PLACE, scaling(minimum=2))
    seen = estate.fleet.get(name)
    estate.deploy(name, {"minimum": 3})
    with pytest.raises(Conflict, match=name):
        estate.fleet.write(seen, {**seen.state, "minimum": 0}, timeout=10)
    live = estate.fleet.get(name)
    assert (live.state, live.last_modifier) == (scaling(minimum=3), PEOPLE)


@BOTH
def test_a_minimum_above_the_maximum_is_refused(estate: Estate) -> None:
    """Cloud Run does not take it, and nothing is changed."""
    name = estate.add("embedder", PLACE, scaling(minimum=1, maximum=2))
    with pytest.raises(Refused, match=name):
        changed(estate, name, minimum=3)
    assert estate.fleet.get(name).state == scaling(minimum=1, maximum=2)


@UNDER_BOTH_RULES
def test_stopping_and_back(estate: Estate) -> None:
    """Stopped is manual with no instances, whatever becomes of minimum and maximum; both come back exactly."""
    before = scaling(minimum=2, maximum=9, revision_minimum=1)
    name = estate.add("embedder", PLACE, before)
    stopped = changed(estate, name, mode="manual", count=0)
    assert (stopped["mode"], stopped["count"], stopped["revision_minimum"]) == ("manual", 0, 1)
    assert (stopped["minimum"], stopped["maximum"]) in ((0, 0), (2, 9))
    assert changed(estate, name, **before) == before


@UNDER_BOTH_RULES
def test_stopping_and_back_without_limits(estate: Estate) -> None:
    """An unset minimum and maximum are given too when it goes back, since they would be inherited from a count of 0."""
    name = estate.add("embedder", PLACE, scaling())
    changed(estate, name, mode="manual", count=0)
    assert changed(estate, name, **scaling()) == scaling()


@UNDER_BOTH_RULES
def test_idling_a_manual_service_and_back(estate: Estate) -> None:
    """A manually scaled service goes to automatic scaling and comes back to its count, and to its limits where it has kept any."""
    name = estate.add("embedder", PLACE, scaling(mode="manual", count=4, minimum=1, maximum=5))
    before = dict(estate.fleet.get(name).state)
    assert changed(estate, name, mode="automatic", count=None, minimum=0, maximum=4) == scaling(maximum=4)
    assert changed(estate, name, **before) == before


@UNDER_BOTH_RULES
def test_stopping_a_manual_service(estate: Estate) -> None:
    """Only the count changes."""
    name = estate.add("embedder", PLACE, scaling(mode="manual", count=4))
    assert changed(estate, name, count=0) == scaling(mode="manual", count=0)
    assert changed(estate, name, count=4) == scaling(mode="manual", count=4)


POOLS = pytest.mark.parametrize("pools", [("memory", True), ("wire", True)], indirect=True, ids=["memory", "wire"])


@POOLS
def test_worker_pools(pools: Estate) -> None:
    """A worker pool is listed, stopped and started again; a stale etag conflicts and a deleted one is gone."""
    name = pools.add("trainer", PLACE, {"count": 3})
    pools.add("other", ELSEWHERE, {"count": 1})
    seen = pools.fleet.list(PLACE).resources[0]
    assert (seen.kind, seen.name, seen.labels, seen.state, seen.etag == "") == ("worker_pool", name, LABELS, {"count": 3}, False)
    assert seen == pools.fleet.get(name)
    assert pools.fleet.detail(seen) == seen
    assert changed(pools, name, count=0) == {"count": 0}
    with pytest.raises(Conflict, match=name):
        pools.fleet.write(seen, {"count": 1}, timeout=10)
    assert changed(pools, name, count=3) == {"count": 3}
    assert pools.fleet.get(name).last_modifier == WATCHDOG
    pools.delete(name)
    with pytest.raises(Gone, match=name):
        pools.fleet.get(name)
    with pytest.raises(Gone, match=name):
        pools.fleet.write(seen, {"count": 1}, timeout=10)
    pools.fleet.write(seen, seen.state, timeout=10)


@POOLS
def test_facts_of_a_worker_pool(pools: Estate) -> None:
    """The double and the real client know the same facts of a worker pool."""
    facts = dict(pools.fleet.get(pools.add("trainer", PLACE, {"count": 1})).facts)
    assert facts.pop("created").endswith("Z")
    assert facts == {
        "billing": "instance", "gpu": "", "gpu_zonal_redundancy": False, "cpu": 1.0, "memory_gib": 0.5, "watchdog": False, "revision": "", "uri": "",
        "reconciling": False,
    }  # fmt: skip


a_state = st.one_of(
    st.builds(scaling, minimum=st.integers(0, 3), maximum=st.sampled_from([0, 2, 5]), revision_minimum=st.integers(0, 2)),
    st.builds(scaling, mode=st.just("manual"), count=st.integers(0, 3), revision_minimum=st.integers(0, 2)),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    first=st.just(scaling(minimum=1)),
    steps=st.lists(st.tuples(st.sampled_from(["write", "deploy"]), a_state), max_size=6),
    unset=st.booleans(),
    data=st.data(),
)
def test_the_double_does_not_drift(
    cloud_run: CloudRun, first: dict[str, Any], steps: list[tuple[str, dict[str, Any]]], data: st.DataObject, *, unset: bool
) -> None:
    """Any sequence of writes and deployments leads to the same states and refusals in memory and over the wire."""
    both = (memory("service", unset_on_manual=unset), wire("service", cloud_run, unset_on_manual=unset))
    number = len(cloud_run.model.snapshot())
    names = [each.add(f"service-{number}", PLACE, first) for each in both]
    for what, state in steps:
        if what == "deploy" and state["maximum"] and state["minimum"] > state["maximum"]:
            continue
        keep_limits = data.draw(st.booleans())
        outcomes = [_outcome(each, name, what, state, keep_limits=keep_limits) for each, name in zip(both, names, strict=True)]
        assert outcomes[0] == outcomes[1], (what, state)


def _outcome(estate: Estate, name: str, what: str, state: dict[str, Any], *, keep_limits: bool) -> tuple[str, dict[str, Any]]:
    live: Resource = estate.fleet.get(name)
    said = ""
    if what == "deploy":
        estate.deploy(name, state)
    else:
        limits = {key: live.state[key] for key in ("minimum", "maximum")} if keep_limits else {}
        try:
            estate.fleet.write(live, {**state, **limits}, timeout=10)
        except CloudError as error:
            said = type(error).__name__
    return said, dict(estate.fleet.get(name).state)
