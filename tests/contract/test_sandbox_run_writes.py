"""The sandbox's Cloud Run Admin API through Google's own clients: what a write takes, refuses and leaves alone."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
from google.api_core import exceptions
from google.cloud import run_v2

from sandbox.grpc_errors import RefusedError
from sandbox.run_model import WATCHDOG
from tests.contract.run_cloud import MANUAL, PARK, REGION, Cloud, open_cloud


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with open_cloud() as opened:
        yield opened


# Etags, masks and replacement


def test_every_write_changes_the_etag(cloud: Cloud) -> None:
    """The etag, the generation and the time change with each write, and the writer is named."""
    name = cloud.add(modifier="dev@example.com")
    before = cloud.get(name)
    cloud.now[0] += 5
    cloud.scale(name, "scaling.min_instance_count", min_instance_count=2)
    after = cloud.get(name)
    assert before.etag
    assert after.etag != before.etag
    assert (after.generation, after.observed_generation) == (before.generation + 1, before.generation + 1)
    assert (after.update_time - before.update_time).total_seconds() == 5
    assert (before.last_modifier, after.last_modifier, after.creator) == ("dev@example.com", WATCHDOG, "dev@example.com")


def test_a_stale_etag_is_aborted_before_the_mask_is_read(cloud: Cloud) -> None:
    """A stale etag is ABORTED, even with a wrong mask; the current one is taken."""
    name = cloud.add()
    etag = cloud.get(name).etag
    cloud.model.deploy(name, "dev@example.com")
    with pytest.raises(exceptions.Aborted, match="Conflict"):
        cloud.update(name, "no.such.path", etag=etag)
    with pytest.raises(exceptions.Aborted, match="Conflict"):
        cloud.services.delete_service(run_v2.DeleteServiceRequest(name=name, etag=etag))
    cloud.update(name, "scaling.min_instance_count", etag=cloud.get(name).etag, scaling={"min_instance_count": 1})


@pytest.mark.parametrize("path", ["scaling.minInstanceCount", "nothing", "labels.env", "template.containers.image", "*", ""])
def test_an_unknown_mask_path_is_refused(cloud: Cloud, path: str) -> None:
    """Only paths of known fields in snake case are taken; nothing is changed otherwise."""
    name = cloud.add()
    with pytest.raises(exceptions.InvalidArgument, match="update_mask"):
        cloud.update(name, path, scaling={"min_instance_count": 1})
    assert cloud.model.writes == []


def test_a_masked_update_leaves_the_rest_alone(cloud: Cloud) -> None:
    """Only masked fields are written, and no revision is made for service-level scaling."""
    name = cloud.add(labels={"env": "staging"}, service_min=2, service_max=7, revision_min=1)
    before = cloud.get(name)
    cloud.scale(name, "scaling.min_instance_count", min_instance_count=0)
    after = cloud.get(name)
    assert (after.scaling.min_instance_count, after.scaling.max_instance_count) == (0, 7)
    assert (after.labels, after.template, after.latest_ready_revision) == (before.labels, before.template, before.latest_ready_revision)


def test_a_masked_field_of_a_message_that_was_not_sent_is_cleared(cloud: Cloud) -> None:
    """A mask into a sub-message that the request leaves out writes the default."""
    name = cloud.add(service_min=2)
    cloud.update(name, "scaling.min_instance_count")
    assert cloud.get(name).scaling.min_instance_count == 0


def test_a_masked_list_and_map_are_replaced(cloud: Cloud) -> None:
    """Repeated fields and maps in a mask are replaced, not merged."""
    name = cloud.add(labels={"env": "staging", "team": "vision"}, env={"A": "1"})
    cloud.update(name, "labels", "template.containers", labels={"env": "dev"}, template={"containers": [{"image": "i", "env": []}]})
    after = cloud.get(name)
    assert dict(after.labels) == {"env": "dev"}
    assert list(after.template.containers[0].env) == []


def test_no_mask_replaces_everything_that_can_be_changed(cloud: Cloud) -> None:
    """Without a mask what is not sent is lost: labels, scaling, environment."""
    name = cloud.add(labels={"env": "staging"}, service_min=2, env={"A": "1"})
    uid = cloud.get(name).uid
    cloud.update(name, template={"containers": [{"image": "other"}]})
    after = cloud.get(name)
    assert (dict(after.labels), after.scaling.min_instance_count, list(after.template.containers[0].env)) == ({}, 0, [])
    assert (after.uid, after.name) == (uid, name)
    with pytest.raises(exceptions.InvalidArgument, match=r"template\.containers"):
        cloud.update(name)


def test_output_only_fields_cannot_be_written(cloud: Cloud) -> None:
    """Fields that only the server writes are ignored, in a mask or without one."""
    name = cloud.add()
    cloud.update(name, "uid", "latest_ready_revision", uid="mine", latest_ready_revision="mine")
    assert "mine" not in (cloud.get(name).uid, cloud.get(name).latest_ready_revision)


def test_allow_missing_creates(cloud: Cloud) -> None:
    """An update with allow_missing creates what is not there."""
    service = run_v2.Service(name=f"{REGION}/services/new", template={"containers": [{"image": "i"}]})
    cloud.services.update_service(run_v2.UpdateServiceRequest(service=service, allow_missing=True)).result(timeout=5)
    assert cloud.get(service.name).generation == 1


def test_validate_only_changes_nothing(cloud: Cloud) -> None:
    """A dry run answers with the result, refuses what would be refused, and writes nothing."""
    name = cloud.add(service_min=2)
    before = cloud.get(name)
    request = run_v2.UpdateServiceRequest(service={"name": name}, update_mask={"paths": ["scaling.min_instance_count"]}, validate_only=True)
    assert cloud.services.update_service(request).result(timeout=5).scaling.min_instance_count == 0
    cloud.services.delete_service(run_v2.DeleteServiceRequest(name=name, validate_only=True)).result(timeout=5)
    with pytest.raises(exceptions.InvalidArgument):
        cloud.services.update_service(run_v2.UpdateServiceRequest(service={"name": name}, validate_only=True))
    assert cloud.get(name) == before
    assert cloud.model.writes == []


def test_fields_from_another_version_of_the_api_are_refused(cloud: Cloud) -> None:
    """Bytes with an unknown field, at any depth, are INVALID_ARGUMENT."""
    name = cloud.add()
    unknown = b"\xf8\x7f\x01"  # field 2047
    inner = run_v2.Service.serialize(run_v2.Service(name=name)) + unknown
    outer = run_v2.GetServiceRequest.serialize(run_v2.GetServiceRequest(name=name)) + unknown
    for method, request in (("GetService", outer), ("UpdateService", b"\x0a" + bytes([len(inner)]) + inner)):
        call = cloud.channel.unary_unary(f"/google.cloud.run.v2.Services/{method}")
        with pytest.raises(grpc.RpcError) as caught:
            call(request, timeout=5)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("key", ["run.googleapis.com/minScale", "autoscaling.knative.dev/maxScale", "x.cloud.googleapis.com/y"])
@pytest.mark.parametrize("field", ["labels", "annotations", "template.labels", "template.annotations"])
def test_reserved_namespaces_are_refused(cloud: Cloud, field: str, key: str) -> None:
    """Labels and annotations in Cloud Run's own namespaces are INVALID_ARGUMENT."""
    name = cloud.add()
    value = {key: "1"}
    outer, _, inner = field.partition(".")
    with pytest.raises(exceptions.InvalidArgument, match="namespace"):
        cloud.update(name, field, **{outer: {inner: value} if inner else value})


def test_other_namespaces_are_taken(cloud: Cloud) -> None:
    """An annotation of one's own, with or without a namespace, is kept."""
    name = cloud.add()
    cloud.update(name, "annotations", annotations={"example.com/owner": "a", "note": "b"})
    assert dict(cloud.get(name).annotations) == {"example.com/owner": "a", "note": "b"}


# Creation and deletion


def test_a_new_service_gets_the_servers_defaults(cloud: Cloud) -> None:
    """A service that was created with an image only reads as Cloud Run would complete it."""
    service = run_v2.Service(template={"containers": [{"image": "i"}]})
    made = cloud.services.create_service(parent=REGION, service=service, service_id="fresh").result(timeout=5)
    template = made.template
    assert dict(template.containers[0].resources.limits) == {"cpu": "1000m", "memory": "512Mi"}
    assert template.containers[0].resources.cpu_idle
    assert (template.max_instance_request_concurrency, template.timeout.total_seconds()) == (80, 300)
    assert template.scaling.max_instance_count == 100
    assert [(entry.percent, entry.type_) for entry in made.traffic] == [(100, run_v2.TrafficTargetAllocationType(1))]
    assert made.latest_ready_revision.startswith(f"{REGION}/services/fresh/revisions/fresh-00001-")
    assert (made.scaling.scaling_mode, "manual_instance_count" in made.scaling) == (0, False)
    assert made.uri.startswith("https://fresh-")


def test_resources_without_cpu_idle_are_instance_based(cloud: Cloud) -> None:
    """Whoever sends resources without cpu_idle gets instance-based billing."""
    service = run_v2.Service(template={"containers": [{"image": "i", "resources": {"limits": {"cpu": "2"}}}]})
    made = cloud.services.create_service(parent=REGION, service=service, service_id="fresh").result(timeout=5)
    assert not made.template.containers[0].resources.cpu_idle


@pytest.mark.parametrize("own", ["", "Api", "1api", "api-", "a" * 50])
def test_a_bad_id_is_refused(cloud: Cloud, own: str) -> None:
    """An id must begin with a letter, be lowercase, not end with a hyphen, and be shorter than 50."""
    with pytest.raises(exceptions.InvalidArgument, match="service_id"):
        cloud.services.create_service(parent=REGION, service=run_v2.Service(template={"containers": [{"image": "i"}]}), service_id=own)


def test_creating_twice_is_refused(cloud: Cloud) -> None:
    """A service that is there already is ALREADY_EXISTS."""
    cloud.add()
    with pytest.raises(exceptions.AlreadyExists):
        cloud.services.create_service(parent=REGION, service=run_v2.Service(template={"containers": [{"image": "i"}]}), service_id="api")


def test_a_deleted_service_is_gone(cloud: Cloud) -> None:
    """Delete answers with the deleted service, and a read finds nothing."""
    name = cloud.add()
    assert cloud.services.delete_service(name=name).result(timeout=5).delete_time
    with pytest.raises(exceptions.NotFound):
        cloud.get(name)
    with pytest.raises(RefusedError, match="NOT_FOUND"):
        cloud.model.total(name)


# Other people


def test_a_deployment_overwrites_what_was_parked(cloud: Cloud) -> None:
    """A deployment by somebody else makes a revision, overwrites scaling and is named as the last modifier."""
    name = cloud.add(service_min=2)
    cloud.scale(name, *PARK, scaling_mode=MANUAL, manual_instance_count=0)
    cloud.model.deploy(name, "dev@example.com", mode="AUTOMATIC", service_min=4, image="v2", labels={"env": "prod"})
    after = cloud.get(name)
    assert (after.last_modifier, after.template.containers[0].image, dict(after.labels)) == ("dev@example.com", "v2", {"env": "prod"})
    assert after.latest_ready_revision.startswith(f"{name}/revisions/api-00002-")
    assert cloud.model.total(name) == 4
    assert [(write.method, write.principal) for write in cloud.model.writes] == [("UpdateService", WATCHDOG), ("deploy", "dev@example.com")]


def test_a_plain_deployment_makes_a_revision_and_keeps_the_scaling(cloud: Cloud) -> None:
    """A deployment without changes makes a new revision all the same and leaves the service parked; one without a revision does not."""
    name = cloud.add(service_min=2, revision="api-blue")
    cloud.scale(name, *PARK, scaling_mode=MANUAL, manual_instance_count=0)
    cloud.model.deploy(name, "dev@example.com")
    assert (len(list(cloud.revisions.list_revisions(parent=name))), cloud.model.total(name)) == (2, 0)
    cloud.model.deploy(name, "dev@example.com", new_revision=False, mode="MANUAL", manual_count=3)
    assert (len(list(cloud.revisions.list_revisions(parent=name))), cloud.model.total(name)) == (2, 3)


def test_seeds_cover_what_the_watchdog_must_tell_apart(cloud: Cloud) -> None:
    """GPU services are instance-based, functions carry their build and label, and a mode that was never set reads so."""
    gpu, function, bare = (
        cloud.get(cloud.add("gpu", gpu="nvidia-l4")),
        cloud.get(cloud.add("fn", function=True)),
        cloud.get(cloud.add("b", mode="")),
    )
    assert (gpu.template.node_selector.accelerator, gpu.template.containers[0].resources.cpu_idle) == ("nvidia-l4", False)
    assert gpu.template.containers[0].resources.limits["nvidia.com/gpu"] == "1"
    assert (function.build_config.function_target, function.labels["goog-managed-by"]) == ("main", "cloudfunctions")
    assert bare.scaling.scaling_mode == 0


def test_the_log_and_the_counts_hold_what_changed_something(cloud: Cloud) -> None:
    """Writes are logged with time, method, name, mask and principal; seeds, reads and refusals are not."""
    name = cloud.add()
    cloud.scale(name, "scaling.min_instance_count", min_instance_count=1)
    with pytest.raises(exceptions.InvalidArgument):
        cloud.scale(name, "scaling.min_instance_count", min_instance_count=-1)
    cloud.services.delete_service(name=name).result(timeout=5)
    assert cloud.model.writes == [
        (cloud.now[0], "UpdateService", name, ("scaling.min_instance_count",), WATCHDOG),
        (cloud.now[0], "DeleteService", name, (), WATCHDOG),
    ]
    assert cloud.model.write_counts == {name: 2}


def test_the_snapshot_is_plain_and_complete(cloud: Cloud) -> None:
    """The snapshot shows each service and worker pool as JSON values, sorted by name."""
    name = cloud.add(labels={"env": "staging"}, service_min=1, service_max=4, revision_min=2, tags={"old": 1}, gpu="nvidia-l4")
    cloud.model.add_worker_pool("p", "us-central1", "pool", manual_count=3)
    service, pool = cloud.model.snapshot()
    assert (service["resource"], service["mode"], service["min"], service["max"], service["manual_count"]) == (
        name,
        "AUTOMATIC",
        1,
        4,
        None,
    )
    assert (service["revision_min"], service["instances"], list(service["tags"])) == (2, 3, ["old"])
    assert (service["gpu"], service["cpu_idle"], service["labels"]) == ("nvidia-l4", False, {"env": "staging"})
    assert (service["etag"], service["last_modifier"]) == (cloud.get(name).etag, "terraform@acme-ml-ci.iam.gserviceaccount.com")
    assert (pool["kind"], pool["name"], pool["instances"], pool["manual_count"]) == ("worker pool", "pool", 3, 3)
