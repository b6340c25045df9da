"""List prices of Cloud Run, for labelled estimates.

Source: https://cloud.google.com/run/pricing, tier 1 region us-central1, US dollars, as published in 2026-09. Free tier, committed-use discounts,
credits, negotiated prices and the dearer tier 2 regions are not in them, so every figure that is made of them is an estimate.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

LISTED = "us-central1 list prices of 2026-09"
HOURS_A_MONTH = 730
_SECONDS_A_MONTH = Decimal(HOURS_A_MONTH * 3600)

# (vCPU-second, GiB-second) of an instance that is kept warm without requests.
_IDLE = {
    "request": (Decimal("0.0000025"), Decimal("0.0000025")),
    "instance": (Decimal("0.000018"), Decimal("0.000002")),
}
# GPU-second without and with zonal redundancy. Others than these have no price here, and the estimate says so by leaving them out.
_GPU = {"nvidia-l4": (Decimal("0.0001867"), Decimal("0.0002909"))}


def warm_instance_month(facts: Mapping[str, Any]) -> Decimal:
    """What one instance that is kept warm costs in a month, in US dollars at list price.

    Args:
        facts: A service's or worker pool's facts: ``billing``, ``cpu`` in vCPU, ``memory_gib``, ``gpu``, ``gpu_zonal_redundancy``.
    """
    cpu, memory = _IDLE[facts["billing"]]
    second = cpu * Decimal(str(facts["cpu"])) + memory * Decimal(str(facts["memory_gib"]))
    if facts["gpu"] in _GPU:
        plain, redundant = _GPU[facts["gpu"]]
        second += redundant if facts["gpu_zonal_redundancy"] else plain
    return (second * _SECONDS_A_MONTH).quantize(Decimal("0.01"))
