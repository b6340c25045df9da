"""The sandbox's Cloud Run Admin API through Google's own clients: names, lists, operations, quotas and faults."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from google.api_core import exceptions
from google.cloud import run_v2
from google.longrunning import operations_pb2

from sandbox.faults import Fault
from tests.contract.run_cloud import REGION, Cloud, open_cloud


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with open_cloud() as opened:
        yield opened


# Names, lists and pages


def test_the_wildcard_location_is_refused(cloud: Cloud) -> None:
    """The location '-' is INVALID_ARGUMENT in lists and in gets."""
    with pytest.raises(exceptions.InvalidArgument, match="wildcard"):
        cloud.services.list_services(parent="projects/p/locations/-")
    with pytest.raises(exceptions.InvalidArgument, match="wildcard"):
        cloud.services.get_service(name="projects/p/locations/-/services/api")
    with pytest.raises(exceptions.InvalidArgument, match="wildcard"):
        cloud.pools.list_worker_pools(parent="projects/p/locations/-")
    with pytest.raises(exceptions.InvalidArgument, match="wildcard"):
        cloud.revisions.list_revisions(parent="projects/p/locations/-/services/api")


@pytest.mark.parametrize("parent", ["p/us-central1", "projects/p", f"{REGION}/services/api", "projects//locations/x"])
def test_a_malformed_parent_is_refused(cloud: Cloud, parent: str) -> None:
    """A parent that is no location is INVALID_ARGUMENT."""
    with pytest.raises(exceptions.InvalidArgument):
        cloud.services.list_services(parent=parent)


def test_a_region_without_services_lists_nothing(cloud: Cloud) -> None:
    """A region that holds nothing, known or not, answers an empty list."""
    cloud.add()
    assert list(cloud.services.list_services(parent="projects/p/locations/mars-north1")) == []
    assert list(cloud.services.list_services(parent="projects/other/locations/us-central1")) == []


def test_pages_hold_what_is_asked_for(cloud: Cloud) -> None:
    """The page size is honoured, and every service comes once, sorted by name."""
    names = sorted(cloud.add(f"svc-{number}") for number in range(7))
    pager = cloud.services.list_services(run_v2.ListServicesRequest(parent=REGION, page_size=3))
    pages = [[service.name for service in page.services] for page in pager.pages]
    assert pages == [names[:3], names[3:6], names[6:]]


def test_pages_have_a_default_and_a_greatest_size(cloud: Cloud) -> None:
    """Without a size a page holds 100; never more than 500."""
    for number in range(501):
        cloud.add(f"svc-{number}")
    assert len(next(iter(cloud.services.list_services(parent=REGION).pages)).services) == 100
    pager = cloud.services.list_services(run_v2.ListServicesRequest(parent=REGION, page_size=1000))
    assert len(next(iter(pager.pages)).services) == 500


def test_deleting_while_listing_skips_nothing(cloud: Cloud) -> None:
    """Page tokens name the last item: what is deleted meanwhile moves nothing over the edge of a page."""
    names = sorted(cloud.add(f"svc-{number}") for number in range(6))
    seen = []
    for service in cloud.services.list_services(run_v2.ListServicesRequest(parent=REGION, page_size=2)):
        seen.append(service.name)
        cloud.model.remove(service.name, "someone@example.com")
    assert seen == names


@pytest.mark.parametrize("token", ["nonsense!", "////", "cHJvamVjdHMveC9sb2NhdGlvbnMveQ=="])
def test_a_foreign_page_token_is_refused(cloud: Cloud, token: str) -> None:
    """A token that this listing did not return is INVALID_ARGUMENT, and so is a negative size."""
    with pytest.raises(exceptions.InvalidArgument, match="page_token"):
        cloud.services.list_services(run_v2.ListServicesRequest(parent=REGION, page_token=token))
    with pytest.raises(exceptions.InvalidArgument, match="page_size"):
        cloud.services.list_services(run_v2.ListServicesRequest(parent=REGION, page_size=-1))


def test_an_unreachable_region_is_named_and_lacks_services(cloud: Cloud) -> None:
    """A region that is lost answers with itself in `unreachable` and without part of its services."""
    for name in ("a", "b", "c"):
        cloud.add(name)
    cloud.model.lose("p", "us-central1", ["b"])
    page = next(iter(cloud.services.list_services(parent=REGION).pages))
    assert ([service.name[-1] for service in page.services], list(page.unreachable)) == (["a", "c"], [REGION])
    cloud.model.lose("p", "us-central1")
    page = next(iter(cloud.services.list_services(parent=REGION).pages))
    assert ([service.name[-1] for service in page.services], list(page.unreachable)) == (["b"], [REGION])
    cloud.model.recover("p", "us-central1")
    page = next(iter(cloud.services.list_services(parent=REGION).pages))
    assert (len(page.services), list(page.unreachable)) == (3, [])


def test_one_region_can_fail_alone(cloud: Cloud) -> None:
    """A fault that matches one parent fails that region only."""
    cloud.model.add_service("p", "europe-west1", "api")
    cloud.model.faults.inject(Fault("ListServices", status="UNAVAILABLE", match="us-central1"))
    with pytest.raises(exceptions.ServiceUnavailable):
        cloud.services.list_services(parent=REGION, retry=None)
    assert len(list(cloud.services.list_services(parent="projects/p/locations/europe-west1"))) == 1


def test_an_unknown_service_is_not_found(cloud: Cloud) -> None:
    """Get, update and delete of a service that is not there say so by its name."""
    name = f"{REGION}/services/ghost"
    text = f'service "{name}" not found'
    with pytest.raises(exceptions.NotFound, match=text):
        cloud.get(name)
    with pytest.raises(exceptions.NotFound, match=text):
        cloud.scale(name, "scaling.min_instance_count", min_instance_count=1)
    with pytest.raises(exceptions.NotFound, match=text):
        cloud.services.delete_service(name=name)


# Operations


def test_an_operation_takes_its_time(cloud: Cloud) -> None:
    """Until the operation is done the service reads as reconciling and runs as before; then the change has taken effect."""
    cloud.model.operation_seconds = 2
    name = cloud.add(service_min=2)
    begun = cloud.begin(name)
    during = cloud.get(name)
    assert not begun.done()
    assert begun.metadata.name == name
    assert (during.reconciling, during.generation - during.observed_generation, during.terminal_condition.state.name) == (
        True,
        1,
        "CONDITION_RECONCILING",
    )
    assert cloud.model.total(name) == 2
    cloud.now[0] += 2
    assert begun.result(timeout=5).observed_generation == during.generation
    after = cloud.get(name)
    assert (after.reconciling, after.terminal_condition.state.name, cloud.model.total(name)) == (False, "CONDITION_SUCCEEDED", 0)


def test_operations_are_named_by_project_and_location(cloud: Cloud) -> None:
    """An operation is found by its name until it is asked for wrongly; metadata and response are the service."""
    name = cloud.add()
    begun = cloud.begin(name).operation
    assert begun.name.startswith(f"{REGION}/operations/")
    assert begun.metadata.type_url == begun.response.type_url == "type.googleapis.com/google.cloud.run.v2.Service"
    assert cloud.services.get_operation(operations_pb2.GetOperationRequest(name=begun.name)) == begun
    with pytest.raises(exceptions.NotFound):
        cloud.services.get_operation(operations_pb2.GetOperationRequest(name=f"{REGION}/operations/none"))
    with pytest.raises(exceptions.InvalidArgument):
        cloud.services.get_operation(operations_pb2.GetOperationRequest(name="operations/none"))


def test_an_operation_can_be_waited_for(cloud: Cloud) -> None:
    """WaitOperation answers when the operation is done, or when the time that was asked for is over."""
    cloud.model.operation_seconds = 0.02
    name = cloud.add()
    begun = cloud.begin(name).operation
    call = cloud.channel.unary_unary(
        "/google.longrunning.Operations/WaitOperation",
        request_serializer=operations_pb2.WaitOperationRequest.SerializeToString,
        response_deserializer=operations_pb2.Operation.FromString,
    )
    request = operations_pb2.WaitOperationRequest(name=begun.name)
    request.timeout.FromMilliseconds(1)
    assert not call(request, timeout=5).done
    cloud.now[0] += 1
    request.ClearField("timeout")
    assert call(request, timeout=5).done


def test_an_operation_can_fail(cloud: Cloud) -> None:
    """A failed operation raises its code; the service reads as failed, with the wish written and the old state running."""
    name = cloud.add(service_min=2)
    cloud.model.faults.inject(Fault("Operation", status="FAILED_PRECONDITION", match=name, times=1))
    with pytest.raises(exceptions.FailedPrecondition):
        cloud.scale(name, "scaling.min_instance_count", min_instance_count=0)
    after = cloud.get(name)
    assert (after.terminal_condition.state.name, after.scaling.min_instance_count, cloud.model.total(name)) == ("CONDITION_FAILED", 0, 2)
    cloud.scale(name, "scaling.min_instance_count", min_instance_count=0)
    assert (cloud.get(name).terminal_condition.state.name, cloud.model.total(name)) == ("CONDITION_SUCCEEDED", 0)


def test_an_operation_can_be_slow_and_is_overtaken_by_a_newer_write(cloud: Cloud) -> None:
    """A slow change that ends after a newer one does not undo it."""
    name = cloud.add(service_min=2)
    cloud.model.faults.inject(Fault("Operation", delay=60, times=1))
    cloud.begin(name)
    assert (cloud.get(name).reconciling, cloud.model.total(name)) == (True, 2)
    cloud.model.deploy(name, "dev@example.com", service_min=5)
    assert (cloud.get(name).reconciling, cloud.model.total(name)) == (False, 5)
    cloud.now[0] += 60
    assert cloud.model.total(name) == 5


# Quotas and faults


def test_the_write_quota_is_a_sliding_window_per_region(cloud: Cloud) -> None:
    """The 181st write within 60 s is RESOURCE_EXHAUSTED, in that region only, until the window has moved on."""
    name, other = cloud.add(), cloud.model.add_service("p", "europe-west1", "api")
    for number in range(180):
        cloud.now[0] += 0.1
        cloud.scale(name, "scaling.min_instance_count", min_instance_count=number % 3)
    with pytest.raises(exceptions.ResourceExhausted, match="Write requests"):
        cloud.scale(name, "scaling.min_instance_count", min_instance_count=1)
    cloud.scale(other, "scaling.min_instance_count", min_instance_count=1)
    assert cloud.get(name).scaling.min_instance_count == 179 % 3
    cloud.now[0] += 60.15 - 18
    cloud.scale(name, "scaling.min_instance_count", min_instance_count=1)


def test_the_read_quota_counts_gets_lists_and_polls(cloud: Cloud) -> None:
    """Reads have a window of their own, whatever they read."""
    cloud.model._quotas["Read"].limit = 2
    name = cloud.add()
    begun = cloud.begin(name).operation
    cloud.get(name)
    cloud.services.get_operation(operations_pb2.GetOperationRequest(name=begun.name))
    with pytest.raises(exceptions.ResourceExhausted, match="Read requests"):
        cloud.services.list_services(parent=REGION)


@pytest.mark.parametrize(
    ("status", "error"), [("UNAVAILABLE", exceptions.ServiceUnavailable), (429, exceptions.ResourceExhausted), (403, exceptions.Forbidden)]
)
def test_a_fault_answers_before_the_work(cloud: Cloud, status: str | int, error: type[Exception]) -> None:
    """A fault with a status, by gRPC or HTTP name, leaves the service as it was."""
    name = cloud.add(service_min=2)
    cloud.model.faults.inject(Fault("UpdateService", status=status, match="services/api", times=1))
    with pytest.raises(error):
        cloud.scale(name, "scaling.min_instance_count", min_instance_count=0)
    assert (cloud.model.total(name), cloud.model.writes) == (2, [])


def test_a_dropped_answer_comes_after_the_work(cloud: Cloud) -> None:
    """A fault that drops the answer has done the work, though the caller sees UNAVAILABLE."""
    name = cloud.add(service_min=2)
    cloud.model.faults.inject(Fault("UpdateService", drop_answer=True, times=1))
    with pytest.raises(exceptions.ServiceUnavailable):
        cloud.scale(name, "scaling.min_instance_count", min_instance_count=0)
    assert (cloud.model.total(name), cloud.model.write_counts[name]) == (0, 1)


def test_calls_are_counted_by_method(cloud: Cloud) -> None:
    """Every call counts under its own name, and each accepted write once under Operation."""
    name = cloud.add()
    cloud.get(name)
    list(cloud.services.list_services(parent=REGION))
    cloud.scale(name, "scaling.min_instance_count", min_instance_count=0)
    assert cloud.model.faults.calls == {"GetService": 1, "ListServices": 1, "UpdateService": 1, "Operation": 1}


def test_many_writers_at_once_lose_nothing(cloud: Cloud) -> None:
    """Writes from many threads to one service each take a generation of their own, and one etag wins once."""
    name = cloud.add()
    generation, etag = cloud.get(name).generation, cloud.get(name).etag

    def write(number: int) -> bool:
        try:
            cloud.update(name, "scaling.min_instance_count", etag=etag if number % 2 else "", scaling={"min_instance_count": 1})
        except exceptions.Aborted:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(write, range(40)))
    assert sum(won[1::2]) <= 1
    assert all(won[::2])
    assert cloud.get(name).generation == generation + sum(won)


def test_the_server_is_fast_enough_to_park_a_thousand(cloud: Cloud) -> None:
    """A hundred updates by one caller take well below a second's worth of the promised rate, on a busy machine too."""
    name = cloud.add()
    start = time.perf_counter()
    for _ in range(100):
        cloud.scale(name, "scaling.min_instance_count", min_instance_count=1)
    assert time.perf_counter() - start < 2
