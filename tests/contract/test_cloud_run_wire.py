"""What the Cloud Run adapters send, how they follow operations, and what they make of failures."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sandbox.faults import Fault
from sandbox.run_seed import Target
from shared.cloud import run_calls
from shared.cloud.run_services import CloudRunServices
from shared.cloud.run_worker_pools import CloudRunWorkerPools
from shared.errors import CloudError, Conflict, Denied, Gone, Refused, Unavailable
from shared.model import Place, Resource
from tests.contract.stand_ins import CloudRun

PLACE = Place("acme-ml-staging", "us-central1")
MODE, COUNT = "scaling.scaling_mode", "scaling.manual_instance_count"
MINIMUM, MAXIMUM = "scaling.min_instance_count", "scaling.max_instance_count"


@pytest.fixture
def fleet(cloud_run: CloudRun) -> CloudRunServices:
    """The adapter, with short pauses."""
    return CloudRunServices(cloud_run.address, first_poll=0.001)


def add(cloud: CloudRun, name: str = "embedder", **shape: Any) -> str:
    """Put a service into the place."""
    return cloud.model.add_service(PLACE.project, PLACE.region, name, **shape)


def stop(fleet: CloudRunServices, name: str, *, timeout: float = 10) -> None:
    """Stop a service."""
    live = fleet.get(name)
    fleet.write(live, {**live.state, "mode": "manual", "count": 0}, timeout=timeout)


def masks(cloud: CloudRun) -> list[tuple[str, ...]]:
    """The masks of all updates that were made."""
    return [write.mask for write in cloud.model.writes if write.method.startswith("Update")]


# Listing


def test_all_pages_are_listed(cloud_run: CloudRun, fleet: CloudRunServices) -> None:
    """501 services come on two pages of 500, and nothing else is asked."""
    names = [add(cloud_run, f"service-{number:03d}") for number in range(501)]
    assert [resource.name for resource in fleet.list(PLACE).resources] == names
    assert cloud_run.faults.calls == {"ListServices": 2}


def test_what_cannot_be_reached_is_told(cloud_run: CloudRun, fleet: CloudRunServices) -> None:
    """The locations that the platform could not ask are named beside what answered."""
    first = add(cloud_run, "first")
    add(cloud_run, "second")
    cloud_run.model.lose(PLACE.project, PLACE.region, ["second"])
    seen = fleet.list(PLACE)
    assert ([resource.name for resource in seen.resources], seen.unreachable) == (
        [first],
        ("projects/acme-ml-staging/locations/us-central1",),
    )


def test_the_wildcard_is_refused(fleet: CloudRunServices) -> None:
    """The platform's own sentence about the location - is passed on."""
    with pytest.raises(Refused, match="cannot be the '-' wildcard"):
        fleet.list(Place("acme-ml-staging", "-"))


@pytest.mark.parametrize("method", ["ListServices", "GetService", "GetRevision"])
def test_a_read_is_tried_again(cloud_run: CloudRun, fleet: CloudRunServices, method: str) -> None:
    """A read that is unavailable once is not noticed."""
    seen = fleet.get(add(cloud_run, tags={"canary": 2}))
    cloud_run.faults.inject(Fault(method, status="UNAVAILABLE", times=1))
    assert fleet.list(PLACE).resources == (seen,)
    assert fleet.get(seen.name) == seen
    assert fleet.detail(seen).facts["revisions"][0]["minimum"] == 2


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("UNAVAILABLE", Unavailable),
        ("RESOURCE_EXHAUSTED", Unavailable),
        ("DEADLINE_EXCEEDED", Unavailable),
        ("INTERNAL", Unavailable),
        ("PERMISSION_DENIED", Denied),
        ("UNAUTHENTICATED", Denied),
        ("INVALID_ARGUMENT", Refused),
        ("FAILED_PRECONDITION", Refused),
        ("NOT_FOUND", Gone),
    ],
)
def test_a_read_that_fails(
    cloud_run: CloudRun, fleet: CloudRunServices, monkeypatch: pytest.MonkeyPatch, status: str, expected: type[CloudError]
) -> None:
    """Each status is one of our errors, about the place that was asked; what stays unavailable ends in bounded time."""
    if status == "UNAVAILABLE":
        monkeypatch.setattr(run_calls, "READ_TIME", 0.1)
    cloud_run.faults.inject(Fault("List*", status=status))
    for each in (fleet, CloudRunWorkerPools(cloud_run.address)):
        with pytest.raises(expected) as caught:
            each.list(PLACE)
        assert caught.value.resource == "projects/acme-ml-staging/locations/us-central1"


# Detail


def test_detail_of_tags_and_splits(cloud_run: CloudRun, fleet: CloudRunServices) -> None:
    """Each revision that the traffic names is told of once, with its share, its tags and its own minimum."""
    name = add(cloud_run, traffic=[Target(percent=70), Target(percent=30, minimum=3)], tags={"old": 2})
    cloud_run.model.deploy(name, "somebody", revision_min=1)
    split, tagged = (target["revision"] for target in fleet.get(name).facts["traffic"][1:])
    targets = [
        Target(70),
        Target(30, revision=split),
        Target(0, "old", revision=tagged),
        Target(0, "older", revision=tagged),
        Target(0, "blue"),
    ]
    cloud_run.model.deploy(name, "somebody", traffic=targets)
    assert fleet.detail(fleet.get(name)).facts["revisions"] == [
        {"revision": split, "percent": 30, "tag": "", "minimum": 3},
        {"revision": tagged, "percent": 0, "tag": "old,older", "minimum": 2},
    ]
    assert cloud_run.faults.calls["GetRevision"] == 2


def test_detail_of_a_plain_service_costs_nothing(cloud_run: CloudRun, fleet: CloudRunServices) -> None:
    """Where only the latest revision is named there is nothing to ask."""
    seen = fleet.get(add(cloud_run))
    fleet.detail(seen)
    assert cloud_run.faults.calls == {"GetService": 1}


def test_detail_of_a_revision_that_is_gone(cloud_run: CloudRun, fleet: CloudRunServices) -> None:
    """A revision that was deleted keeps nothing running."""
    seen = fleet.get(add(cloud_run))
    traffic = [{"revision": "embedder-00000-xxx", "percent": 0, "tag": "old"}]
    resource = Resource(seen.kind, seen.name, facts={**seen.facts, "traffic": traffic})
    assert fleet.detail(resource).facts["revisions"] == [{"revision": "embedder-00000-xxx", "percent": 0, "tag": "old", "minimum": 0}]


def test_detail_is_bounded(cloud_run: CloudRun, fleet: CloudRunServices, caplog: pytest.LogCaptureFixture) -> None:
    """Of very many revisions the first fifty are looked at, and the log says so."""
    seen = fleet.get(add(cloud_run))
    traffic = [{"revision": f"embedder-{number:05d}-xxx", "percent": 0, "tag": f"t{number}"} for number in range(51)]
    detailed = fleet.detail(Resource(seen.kind, seen.name, facts={**seen.facts, "traffic": traffic}))
    assert len(detailed.facts["revisions"]) == cloud_run.faults.calls["GetRevision"] == 50
    assert "has 51 revisions in its traffic" in caplog.text


# Writing


@pytest.mark.parametrize(
    ("shape", "wanted", "mask"),
    [
        ({"service_min": 2}, {"mode": "manual", "count": 0}, (MODE, COUNT)),
        ({"mode": "MANUAL", "manual_count": 2}, {"mode": "automatic", "count": None}, (MODE, MINIMUM, MAXIMUM)),
        ({"mode": "MANUAL", "manual_count": 2}, {"count": 0}, (COUNT,)),
        ({"service_min": 2}, {"minimum": 0}, (MINIMUM,)),
        ({"service_max": 2}, {"maximum": 0}, (MAXIMUM,)),
        ({"service_min": 2, "revision_min": 1}, {"minimum": 0, "revision_minimum": 0}, (MINIMUM, "template.scaling.min_instance_count")),
    ],
)
def test_only_what_differs_is_sent(
    cloud_run: CloudRun, fleet: CloudRunServices, shape: dict[str, Any], wanted: dict[str, Any], mask: tuple[str, ...]
) -> None:
    """One update names exactly the fields that change."""
    name = add(cloud_run, **shape)
    live = fleet.get(name)
    fleet.write(live, {**live.state, **wanted}, timeout=10)
    assert masks(cloud_run) == [mask]
    after = fleet.get(name).state
    assert {key: after[key] for key in wanted} == wanted


def test_a_named_revision_is_renamed(cloud_run: CloudRun, fleet: CloudRunServices) -> None:
    """A template with an explicit revision name takes a new minimum only under another name."""
    name = add(cloud_run, revision_min=2, revision="embedder-blue")
    live = fleet.get(name)
    assert live.facts["revision"] == "embedder-blue"
    fleet.write(live, {**live.state, "revision_minimum": 0}, timeout=10)
    after = fleet.get(name)
    assert (after.state["revision_minimum"], after.facts["revision"]) == (0, "")
    assert after.facts["latest_revision"] != live.facts["latest_revision"]
    assert cloud_run.model.total(name) == 0


def test_the_rest_of_the_service_is_left_alone(cloud_run: CloudRun, fleet: CloudRunServices) -> None:
    """Neither labels nor template nor traffic are touched, and no new revision is made for the service's own scaling."""
    name = add(cloud_run, labels={"env": "staging"}, env={"A": "1"}, service_min=3, cpu="2", memory="2Gi", tags={"old": 1})
    before = fleet.get(name)
    stop(fleet, name)
    after = fleet.get(name)
    assert (after.labels, after.facts) == (before.labels, before.facts)


@pytest.mark.parametrize("fault", [{"status": "UNAVAILABLE"}, {"drop_answer": True}])
def test_an_update_is_sent_once(cloud_run: CloudRun, fleet: CloudRunServices, fault: dict[str, Any]) -> None:
    """An update without an answer may or may not be done, so it is not repeated here."""
    name = add(cloud_run, service_min=2)
    cloud_run.faults.inject(Fault("UpdateService", **fault))
    with pytest.raises(Unavailable, match=name):
        stop(fleet, name)
    assert cloud_run.faults.calls["UpdateService"] == 1
    assert fleet.get(name).state["mode"] == ("manual" if "drop_answer" in fault else "automatic")


def test_an_update_without_an_answer_ends_in_time(cloud_run: CloudRun, fleet: CloudRunServices) -> None:
    """A server that hangs is not waited for beyond the time given."""
    name = add(cloud_run, service_min=2)
    cloud_run.faults.inject(Fault("UpdateService", delay=0.5))
    with pytest.raises(Unavailable, match=name):
        stop(fleet, name, timeout=0.05)


@pytest.mark.parametrize(
    ("status", "expected"),
    [("ABORTED", Conflict), ("PERMISSION_DENIED", Denied), ("FAILED_PRECONDITION", Refused), ("RESOURCE_EXHAUSTED", Unavailable)],
)
def test_an_update_that_is_refused(cloud_run: CloudRun, fleet: CloudRunServices, status: str, expected: type[CloudError]) -> None:
    """Each status is one of our errors, about the service."""
    name = add(cloud_run, service_min=2)
    cloud_run.faults.inject(Fault("UpdateService", status=status))
    with pytest.raises(expected) as caught:
        stop(fleet, name)
    assert caught.value.resource == name


# Operations


def test_an_operation_is_followed(cloud_run: CloudRun, fleet: CloudRunServices) -> None:
    """The write returns once the change has taken effect, and polls that are not answered are repeated."""
    cloud_run.model.operation_seconds = 0.03
    name = add(cloud_run, service_min=2)
    cloud_run.faults.inject(Fault("GetOperation", status="UNAVAILABLE", times=2))
    stop(fleet, name)
    assert cloud_run.model.total(name) == 0
    assert cloud_run.faults.calls["GetOperation"] > 2


def test_an_operation_that_takes_too_long(cloud_run: CloudRun, fleet: CloudRunServices) -> None:
    """After the time given it is no longer followed."""
    cloud_run.model.operation_seconds = 60
    name = add(cloud_run, service_min=2)
    with pytest.raises(Unavailable, match=r"did not finish within \d s; it will be looked at again"):
        stop(fleet, name, timeout=0.5)


@pytest.mark.parametrize("status", ["FAILED_PRECONDITION", "PERMISSION_DENIED", "NOT_FOUND", "INTERNAL", "ABORTED"])
def test_an_operation_that_fails(cloud_run: CloudRun, fleet: CloudRunServices, status: str) -> None:
    """Whatever the code: it was accepted, so the fields may be written, and no other error says that."""
    name = add(cloud_run, service_min=2)
    cloud_run.faults.inject(Fault("Operation", status=status))
    with pytest.raises(Unavailable, match="the change was accepted and then failed") as caught:
        stop(fleet, name)
    assert caught.value.resource == name


def test_an_operation_that_may_not_be_read(cloud_run: CloudRun, fleet: CloudRunServices) -> None:
    """Without the permission to read operations nobody knows how it ended, and the error names what is missing."""
    cloud_run.model.operation_seconds = 0.2
    name = add(cloud_run, service_min=2)
    cloud_run.faults.inject(Fault("GetOperation", status="PERMISSION_DENIED"))
    with pytest.raises(Unavailable, match=r"whether it is done cannot be asked: .* role the watchdog's service account lacks"):
        stop(fleet, name)


# Worker pools


def test_worker_pools_over_the_wire(cloud_run: CloudRun) -> None:
    """All pages are listed, only the count is sent, an operation is followed, and an update is sent once."""
    pools = CloudRunWorkerPools(cloud_run.address, first_poll=0.001)
    names = [cloud_run.model.add_worker_pool(PLACE.project, PLACE.region, f"pool-{number:03d}", manual_count=2) for number in range(501)]
    assert [resource.name for resource in pools.list(PLACE).resources] == names
    assert cloud_run.faults.calls == {"ListWorkerPools": 2}
    cloud_run.model.operation_seconds = 0.01
    live = pools.get(names[0])
    pools.write(live, {"count": 0}, timeout=10)
    assert (masks(cloud_run), cloud_run.model.total(names[0])) == ([(COUNT,)], 0)
    cloud_run.faults.inject(Fault("UpdateWorkerPool", status="UNAVAILABLE"))
    with pytest.raises(Unavailable, match=names[0]):
        pools.write(pools.get(names[0]), {"count": 1}, timeout=10)
    assert cloud_run.faults.calls["UpdateWorkerPool"] == 2


# Clients


def test_threads_share_a_client(cloud_run: CloudRun, fleet: CloudRunServices) -> None:
    """Many threads may begin at once with an adapter that is not connected yet."""
    names = [add(cloud_run, f"service-{number:03d}", service_min=1) for number in range(40)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda name: stop(fleet, name), names))
    assert {cloud_run.model.total(name) for name in names} == {0}


def test_no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without an emulator the default credentials are looked for at the first call, and the error says how to get some."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    for fleet in (CloudRunServices(), CloudRunWorkerPools()):
        with pytest.raises(Denied, match="gcloud auth application-default login"):
            fleet.list(PLACE)
