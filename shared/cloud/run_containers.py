"""What the containers of a Cloud Run template say about its cost: processors, memory, GPU, and whether the watchdog itself is in them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

# https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
_QUANTITY = re.compile(r"(\d+(?:\.\d*)?|\.\d+)([eE][+-]?\d+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?")
_FACTORS = {"": 1.0, "m": 0.001, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}
_GIB = 2.0**30
_OURS = "WATCHDOG_STATE_BUCKET"
# Where a container names none: https://cloud.google.com/run/docs/configuring/services/memory-limits and .../services/cpu
_DEFAULTS: Mapping[str, float] = MappingProxyType({"cpu": 1.0, "memory": 2.0**29})


def template_facts(template: Any) -> dict[str, Any]:
    """Facts of a service's, a worker pool's or a job's template, as plain JSON.

    Args:
        template: The protobuf message of a ``RevisionTemplate``, ``WorkerPoolRevisionTemplate`` or ``TaskTemplate``.

    Returns:
        ``cpu`` in vCPU and ``memory_gib`` in GiB, both over all containers; ``gpu``, the accelerator's name or empty;
        ``gpu_zonal_redundancy``; ``watchdog``, whether this is the watchdog's own code; ``revision``, the explicit name of the next revision.
    """
    limits = [container.resources.limits for container in template.containers]
    gpu = template.node_selector.accelerator
    return {
        "cpu": round(_sum(limits, "cpu"), 3),
        "memory_gib": round(_sum(limits, "memory") / _GIB, 3),
        "gpu": gpu,
        "gpu_zonal_redundancy": bool(gpu) and not template.gpu_zonal_redundancy_disabled,
        "watchdog": any(variable.name == _OURS for container in template.containers for variable in container.env),
        "revision": getattr(template, "revision", ""),  # tasks of jobs have none
    }


def created(message: Any) -> str:
    """When it was created, as RFC 3339 writes it; empty where the platform does not say.

    Args:
        message: The protobuf message of a service, a worker pool or an execution.
    """
    return str(message.create_time.ToJsonString()) if message.HasField("create_time") else ""


def _sum(limits: Iterable[Mapping[str, str]], resource: str) -> float:
    return sum(_number(each.get(resource, ""), _DEFAULTS[resource]) for each in limits)


def _number(quantity: str, default: float) -> float:
    match = _QUANTITY.fullmatch(quantity)
    return float(match[1] + (match[2] or "")) * _FACTORS[match[3] or ""] if match else default
