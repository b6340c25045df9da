"""What the watchdog reads out of Cloud Run's messages."""

from __future__ import annotations

from typing import Any

import pytest
from google.cloud import run_v2

from shared.cloud import run_services, run_worker_pools

PARENT = "projects/acme-ml-staging/locations/us-central1"


def facts(*containers: dict[str, Any], **service: Any) -> dict[str, Any]:
    """The facts of a service with these containers."""
    template = {"containers": containers, **service.pop("template", {})}
    message = run_v2.Service(name=f"{PARENT}/services/embedder", template=template, **service)
    return dict(run_services.resource_of(run_v2.Service.pb(message)).facts)


@pytest.mark.parametrize(
    ("quantity", "vcpu"),
    [("1", 1.0), ("2", 2.0), ("0.5", 0.5), (".08", 0.08), ("1000m", 1.0), ("80m", 0.08), ("8", 8.0), ("", 1.0), ("many", 1.0)],
)
def test_processors(quantity: str, vcpu: float) -> None:
    """In vCPU, however they are written; 1 where nobody can say."""
    assert facts({"resources": {"limits": {"cpu": quantity}}})["cpu"] == vcpu


@pytest.mark.parametrize(
    ("quantity", "gib"),
    [
        ("512Mi", 0.5),
        ("16Gi", 16.0),
        ("4G", 3.725),
        ("1Ti", 1024.0),
        ("1048576Ki", 1.0),
        ("1073741824", 1.0),
        ("1e9", 0.931),
        ("1.5Gi", 1.5),
        ("lots", 0.5),
    ],
)
def test_memory(quantity: str, gib: float) -> None:
    """In GiB, however it is written; 0.5 where nobody can say."""
    assert facts({"resources": {"limits": {"memory": quantity}}})["memory_gib"] == gib


def test_containers_add_up() -> None:
    """A sidecar costs too, and counts with the platform's defaults where it names no limits."""
    found = facts({"resources": {"limits": {"cpu": "2", "memory": "4Gi"}}}, {"image": "sidecar"})
    assert (found["cpu"], found["memory_gib"]) == (3.0, 4.5)


@pytest.mark.parametrize(
    ("containers", "template", "billing"),
    [
        ([{}], {}, "request"),
        ([{"resources": {"cpu_idle": True}}], {}, "request"),
        ([{"resources": {"cpu_idle": False}}], {}, "instance"),
        ([{"resources": {"limits": {"cpu": "1"}}}], {}, "instance"),
        ([{}, {"resources": {"limits": {"cpu": "1"}}}], {}, "instance"),
        ([{"resources": {"cpu_idle": True}}, {"resources": {"cpu_idle": False}}], {}, "request"),
        ([{"resources": {"cpu_idle": True}}], {"node_selector": {"accelerator": "nvidia-l4"}}, "instance"),
    ],
)
def test_billing(containers: list[dict[str, Any]], template: dict[str, Any], billing: str) -> None:
    """By instance where resources are given and the processor is not said to idle, and always with a GPU."""
    assert facts(*containers, template=template)["billing"] == billing


@pytest.mark.parametrize(
    ("template", "gpu", "redundant"),
    [
        ({}, "", False),
        ({"node_selector": {"accelerator": "nvidia-l4"}}, "nvidia-l4", True),
        ({"node_selector": {"accelerator": "nvidia-l4"}, "gpu_zonal_redundancy_disabled": True}, "nvidia-l4", False),
    ],
)
def test_gpu(template: dict[str, Any], gpu: str, redundant: bool) -> None:
    """The accelerator by name; zonal redundancy is on unless it is switched off."""
    found = facts({}, template=template)
    assert (found["gpu"], found["gpu_zonal_redundancy"]) == (gpu, redundant)


@pytest.mark.parametrize(
    ("service", "function"),
    [
        ({}, False),
        ({"labels": {"goog-managed-by": "cloudfunctions"}}, True),
        ({"labels": {"goog-managed-by": "somebody"}}, False),
        ({"build_config": {"function_target": "main"}}, True),
        ({"build_config": {"image_uri": "us-docker.pkg.dev/acme/embedder"}}, True),
    ],
)
def test_functions_are_known(service: dict[str, Any], function: bool) -> None:
    """By the label, or by a build configuration of any kind: a service built from source cannot be told from a function with certainty."""
    assert facts({}, **service)["function"] is function


def test_the_watchdog_knows_itself() -> None:
    """By the one setting that it cannot do without, in any container."""
    assert facts({}, {"env": [{"name": "WATCHDOG_STATE_BUCKET", "value": "state"}]})["watchdog"] is True
    assert facts({"env": [{"name": "OTHER", "value": "WATCHDOG_STATE_BUCKET"}]})["watchdog"] is False


def test_the_rest() -> None:
    """Traffic by short names, the latest revision, the address, regions and whether a change is on its way."""
    found = facts(
        {},
        template={"revision": "embedder-blue", "scaling": {"max_instance_count": 7}},
        traffic=[{"percent": 100, "type_": 1}, {"revision": "embedder-00001-abc", "tag": "old", "type_": 2}],
        latest_ready_revision=f"{PARENT}/services/embedder/revisions/embedder-00002-xyz",
        multi_region_settings={"regions": ["us-central1", "europe-west1"]},
        uri="https://embedder.example",
        reconciling=True,
    )
    assert found["traffic"] == [{"revision": "", "percent": 100, "tag": ""}, {"revision": "embedder-00001-abc", "percent": 0, "tag": "old"}]
    assert (found["revision"], found["latest_revision"], found["revision_maximum"]) == ("embedder-blue", "embedder-00002-xyz", 7)
    assert (found["multi_region"], found["uri"], found["reconciling"]) == (True, "https://embedder.example", True)


@pytest.mark.parametrize(
    ("scaling", "mode", "count"),
    [
        ({}, "automatic", None),
        ({"scaling_mode": 1, "manual_instance_count": 3}, "automatic", None),
        ({"scaling_mode": 2, "manual_instance_count": 0}, "manual", 0),
        ({"scaling_mode": 2}, "manual", None),
    ],
)
def test_scaling(scaling: dict[str, int], mode: str, count: int | None) -> None:
    """A mode that was never set is automatic; a count counts in manual mode, and 0 is another thing than unset."""
    message = run_v2.Service(name=f"{PARENT}/services/embedder", scaling=scaling)
    state = run_services.resource_of(run_v2.Service.pb(message)).state
    assert (state["mode"], state["count"]) == (mode, count)


@pytest.mark.parametrize(("scaling", "count"), [({}, 1), ({"manual_instance_count": 0}, 0), ({"manual_instance_count": 4}, 4)])
def test_worker_pool_count(scaling: dict[str, int], count: int) -> None:
    """A worker pool that never was told how many to run runs one."""
    message = run_v2.WorkerPool(name=f"{PARENT}/workerPools/trainer", scaling=scaling)
    assert run_worker_pools.resource_of(run_v2.WorkerPool.pb(message)).state == {"count": count}
