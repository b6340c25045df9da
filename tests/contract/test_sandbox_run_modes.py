"""The sandbox's Cloud Run Admin API through Google's own clients: scaling modes, revisions, traffic and worker pools, by effect."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import run_v2

from sandbox.run_seed import Target
from tests.contract.run_cloud import AUTOMATIC, MANUAL, PARK, REGION, Cloud, open_cloud

WHOLE = ("scaling.scaling_mode", "scaling.min_instance_count", "scaling.max_instance_count")


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with open_cloud() as opened:
        yield opened


# Scaling modes, through the wire


def test_parking_and_restoring_in_one_update_is_exact(cloud: Cloud) -> None:
    """Manual 0 stops everything and unsets minimum and maximum; one update that names mode and both puts them back."""
    name = cloud.add(service_min=2, service_max=9, demand=3)
    before = cloud.get(name)
    assert cloud.model.total(name) == 3
    parked = cloud.scale(name, *PARK, scaling_mode=MANUAL, manual_instance_count=0)
    assert (parked.min_instance_count, parked.max_instance_count, parked.manual_instance_count) == (0, 0, 0)
    assert "manual_instance_count" in parked
    assert cloud.model.total(name) == 0
    cloud.scale(name, *WHOLE, scaling_mode=AUTOMATIC, min_instance_count=2, max_instance_count=9)
    after = cloud.get(name)
    assert (after.scaling, after.template, after.latest_ready_revision) == (before.scaling, before.template, before.latest_ready_revision)
    assert cloud.model.total(name) == 3


def test_parking_keeps_minimum_and_maximum_under_the_other_reading(cloud: Cloud) -> None:
    """With `unset_on_manual` off, minimum and maximum read through manual mode as before, and nothing runs all the same."""
    cloud.model.unset_on_manual = False
    name = cloud.add(service_min=2, service_max=9)
    parked = cloud.scale(name, *PARK, scaling_mode=MANUAL, manual_instance_count=0)
    assert (parked.min_instance_count, parked.max_instance_count, cloud.model.total(name)) == (2, 9, 0)
    restored = cloud.scale(name, *WHOLE, scaling_mode=AUTOMATIC, min_instance_count=2, max_instance_count=9)
    assert (restored.min_instance_count, restored.max_instance_count, "manual_instance_count" in restored) == (2, 9, False)


def test_going_manual_without_a_count_inherits_through_the_wire(cloud: Cloud) -> None:
    """The manual count that is not given is the service minimum."""
    name = cloud.add(service_min=3)
    assert cloud.scale(name, "scaling.scaling_mode", scaling_mode=MANUAL).manual_instance_count == 3
    assert cloud.model.total(name) == 3


@pytest.mark.parametrize("one", ["scaling.min_instance_count", "scaling.max_instance_count"])
def test_restoring_only_one_of_minimum_and_maximum_is_refused(cloud: Cloud, one: str) -> None:
    """Manual to automatic with one of the two in the mask is INVALID_ARGUMENT, and nothing changes."""
    name = cloud.add(mode="MANUAL", manual_count=0)
    with pytest.raises(exceptions.InvalidArgument, match="or neither"):
        cloud.scale(name, "scaling.scaling_mode", one, scaling_mode=AUTOMATIC, min_instance_count=1, max_instance_count=5)
    assert cloud.get(name).scaling.scaling_mode == MANUAL


@pytest.mark.parametrize(("count", "running"), [(4, 4), (0, 0)])
def test_restoring_the_mode_alone_inherits_the_count(cloud: Cloud, count: int, running: int) -> None:
    """Manual to automatic by the mode alone makes the count the minimum and the maximum: from 0, nothing can start."""
    name = cloud.add(mode="MANUAL", manual_count=count, demand=9)
    after = cloud.scale(name, "scaling.scaling_mode", scaling_mode=AUTOMATIC)
    assert (after.min_instance_count, after.max_instance_count, "manual_instance_count" in after) == (count, count, False)
    assert cloud.model.total(name) == running


def test_an_explicit_maximum_of_zero_is_unset(cloud: Cloud) -> None:
    """A maximum of 0 in the mask reads 0 and bounds nothing, also after an inherited one."""
    name = cloud.add(mode="MANUAL", manual_count=0, demand=9)
    cloud.scale(name, "scaling.scaling_mode", scaling_mode=AUTOMATIC)
    cloud.scale(name, "scaling.min_instance_count", min_instance_count=0)
    assert cloud.model.total(name) == 0
    cloud.scale(name, "scaling.max_instance_count", max_instance_count=0)
    assert cloud.model.total(name) == 9


def test_a_full_replacement_gives_what_it_sets(cloud: Cloud) -> None:
    """Without a mask, or with all of `scaling` in it, fields that are not zero count as given."""
    name = cloud.add(mode="MANUAL", manual_count=2)
    with pytest.raises(exceptions.InvalidArgument, match="or neither"):
        cloud.scale(name, "scaling", scaling_mode=AUTOMATIC, min_instance_count=1)
    assert cloud.scale(name, "scaling", scaling_mode=AUTOMATIC).max_instance_count == 2
    assert cloud.scale(name, "scaling", min_instance_count=1, max_instance_count=3).max_instance_count == 3
    assert cloud.scale(name, "scaling", min_instance_count=1).max_instance_count == 0


def test_impossible_scaling_is_refused(cloud: Cloud) -> None:
    """A minimum above the maximum, a negative number and an unknown mode are INVALID_ARGUMENT, on service and revision."""
    name = cloud.add(service_max=2)
    with pytest.raises(exceptions.InvalidArgument, match="above"):
        cloud.scale(name, "scaling.min_instance_count", min_instance_count=3)
    with pytest.raises(exceptions.InvalidArgument, match="negative"):
        cloud.scale(name, "scaling.min_instance_count", min_instance_count=-1)
    with pytest.raises(exceptions.InvalidArgument, match="scaling_mode"):
        cloud.scale(name, "scaling.scaling_mode", scaling_mode=7)
    with pytest.raises(exceptions.InvalidArgument, match=r"template\.scaling"):
        cloud.update(name, "template.scaling.min_instance_count", template={"scaling": {"min_instance_count": 101}})


# Revisions and traffic


def test_a_template_change_makes_a_revision(cloud: Cloud) -> None:
    """A changed template makes one new, ready revision; the old one keeps its own minimum for ever."""
    name = cloud.add(revision_min=2)
    old = cloud.get(name).latest_ready_revision
    after = cloud.update(name, "template.scaling.min_instance_count")
    assert after.latest_ready_revision == after.latest_created_revision != old
    assert after.latest_ready_revision.startswith(f"{name}/revisions/api-00002-")
    assert cloud.revisions.get_revision(name=old).scaling.min_instance_count == 2
    newest = cloud.revisions.get_revision(name=after.latest_ready_revision)
    assert (newest.scaling.min_instance_count, newest.service, newest.max_instance_request_concurrency) == (0, "api", 80)
    assert cloud.model.total(name) == 0


def test_an_unchanged_template_makes_no_revision(cloud: Cloud) -> None:
    """Writing the same template again, by mask or whole, leaves the revision."""
    name = cloud.add(revision_min=2, env={"A": "1"})
    before = cloud.get(name)
    cloud.update(name, "template.scaling.min_instance_count", template={"scaling": {"min_instance_count": 2}})
    before.etag = ""
    cloud.services.update_service(service=before).result(timeout=5)
    assert [revision.name for revision in cloud.revisions.list_revisions(parent=name)] == [before.latest_ready_revision]


def test_a_named_revision_cannot_take_another_configuration(cloud: Cloud) -> None:
    """A template that carries the name of an existing revision may not change; without the name it may."""
    name = cloud.add(revision="api-blue", revision_min=1)
    assert cloud.get(name).latest_ready_revision == f"{name}/revisions/api-blue"
    with pytest.raises(exceptions.AlreadyExists, match="with different configuration already exists"):
        cloud.update(name, "template.scaling.min_instance_count")
    assert len(list(cloud.revisions.list_revisions(parent=name))) == 1
    cloud.update(name, "template.scaling.min_instance_count", "template.revision")
    assert len(list(cloud.revisions.list_revisions(parent=name))) == 2
    with pytest.raises(exceptions.InvalidArgument, match="must begin with"):
        cloud.update(name, "template.revision", template={"revision": "green"})
    assert cloud.update(name, "template.revision", template={"revision": "api-green"}).latest_ready_revision.endswith("/api-green")


def test_revisions_are_listed_by_service_or_all(cloud: Cloud) -> None:
    """Revisions are listed for one service, or for all of a location with '-', in pages; an unknown one is not found."""
    one, other = cloud.add("a", tags={"old": 1}), cloud.add("b")
    pager = cloud.revisions.list_revisions(run_v2.ListRevisionsRequest(parent=f"{REGION}/services/-", page_size=2))
    names = [revision.name for revision in pager]
    assert [name.rpartition("/revisions/")[0] for name in names] == [one, one, other]
    assert [revision.name for revision in cloud.revisions.list_revisions(parent=other)] == names[2:]
    with pytest.raises(exceptions.NotFound):
        cloud.revisions.get_revision(name=f"{one}/revisions/none")


def test_tags_and_splits_show_in_the_traffic(cloud: Cloud) -> None:
    """A tagged and a split revision are entries of the traffic, with a URL per tag, and run what Google would run."""
    name = cloud.add(service_min=2, traffic=[Target(50), Target(50, minimum=3)], tags={"canary": 1})
    service = cloud.get(name)
    latest = service.latest_ready_revision.rpartition("/")[2]
    split, tagged = service.traffic[1].revision, service.traffic[2].revision
    assert [(entry.percent, entry.tag) for entry in service.traffic_statuses] == [(50, ""), (50, ""), (0, "canary")]
    assert service.traffic_statuses[2].uri.startswith("https://canary---api-")
    assert cloud.model.instances(name) == {latest: 1, split: 3, tagged: 1}
    cloud.scale(name, *PARK, scaling_mode=MANUAL, manual_instance_count=0)
    assert cloud.model.instances(name) == {latest: 0, split: 0, tagged: 1}
    cloud.update(name, "traffic", traffic=[{"percent": 100}])
    assert cloud.model.instances(name) == {latest: 0}


@pytest.mark.parametrize(
    "traffic",
    [
        [{"percent": 90}],
        [{"percent": 100, "revision": "api-99999-xyz"}],
        [{"percent": 150}, {"percent": -50}],
        [{"percent": 50, "tag": "a"}, {"percent": 50, "tag": "a"}],
        [{"percent": 100, "type_": 1, "revision": "api-00001-abc"}],
    ],
)
def test_an_impossible_split_is_refused(cloud: Cloud, traffic: list[dict[str, Any]]) -> None:
    """Traffic must add up, name revisions that exist, and use a tag once."""
    name = cloud.add()
    with pytest.raises(exceptions.InvalidArgument, match="traffic"):
        cloud.update(name, "traffic", traffic=traffic)


def test_traffic_that_is_pinned_leaves_a_new_revision_idle(cloud: Cloud) -> None:
    """A new revision outside the split runs nothing, whatever its minimum."""
    name = cloud.add()
    old = cloud.get(name).latest_ready_revision.rpartition("/")[2]
    cloud.update(name, "traffic", traffic=[{"percent": 100, "revision": old}])
    cloud.update(name, "template.scaling.min_instance_count", template={"scaling": {"min_instance_count": 3}})
    assert cloud.model.instances(name) == {old: 0}


# Worker pools


def test_a_worker_pool_runs_its_count_and_goes_to_zero(cloud: Cloud) -> None:
    """A worker pool runs its manual count; a count of 0, masked, stops it, without a revision, and reads as set."""
    name = cloud.model.add_worker_pool("p", "us-central1", "pool", manual_count=3, labels={"env": "dev"})
    listed = [pool.name for pool in cloud.pools.list_worker_pools(parent=REGION)]
    before = cloud.pools.get_worker_pool(name=name)
    assert (listed, cloud.model.total(name), before.scaling.manual_instance_count) == ([name], 3, 3)
    after = _scale_pool(cloud, name, 0, before.etag)
    assert ("manual_instance_count" in after.scaling, after.scaling.manual_instance_count, cloud.model.total(name)) == (True, 0, 0)
    assert (after.latest_ready_revision, dict(after.labels)) == (before.latest_ready_revision, {"env": "dev"})
    with pytest.raises(exceptions.Aborted):
        _scale_pool(cloud, name, 3, before.etag)
    with pytest.raises(exceptions.InvalidArgument, match="negative"):
        _scale_pool(cloud, name, -1)
    assert _scale_pool(cloud, name, 3).scaling.manual_instance_count == 3
    assert cloud.model.total(name) == 3


def test_a_worker_pool_is_created_with_one_instance_and_deleted(cloud: Cloud) -> None:
    """A new worker pool without a count runs one instance; a template change and a forced one make revisions; a deleted one is gone."""
    pool = run_v2.WorkerPool(template={"containers": [{"image": "i"}]})
    made = cloud.pools.create_worker_pool(parent=REGION, worker_pool=pool, worker_pool_id="pool").result(timeout=5)
    assert (made.scaling.manual_instance_count, cloud.model.total(made.name)) == (1, 1)
    cloud.model.deploy(made.name, "dev@example.com", image="v2", new_revision=False)
    request = run_v2.UpdateWorkerPoolRequest(worker_pool={"name": made.name}, update_mask={"paths": ["scaling"]}, force_new_revision=True)
    assert "pool-00003-" in cloud.pools.update_worker_pool(request).result(timeout=5).latest_ready_revision
    cloud.pools.delete_worker_pool(name=made.name).result(timeout=5)
    with pytest.raises(exceptions.NotFound, match="worker pool"):
        cloud.pools.get_worker_pool(name=made.name)


def _scale_pool(cloud: Cloud, name: str, count: int, etag: str = "") -> Any:
    pool = run_v2.WorkerPool(name=name, etag=etag, scaling={"manual_instance_count": count})
    request = run_v2.UpdateWorkerPoolRequest(worker_pool=pool, update_mask={"paths": ["scaling.manual_instance_count"]})
    return cloud.pools.update_worker_pool(request).result(timeout=5)
