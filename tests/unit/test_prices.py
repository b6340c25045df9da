"""The estimates against the figures that people know from their bills."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from shared.prices import warm_instance_month


def facts(billing: str, cpu: float, memory: float, gpu: str = "", *, redundant: bool = False) -> dict[str, Any]:
    """What a service says of its containers."""
    return {"billing": billing, "cpu": cpu, "memory_gib": memory, "gpu": gpu, "gpu_zonal_redundancy": redundant}


@pytest.mark.parametrize(
    ("of", "dollars"),
    [
        (facts("request", 1, 1), "13.14"),
        (facts("instance", 1, 1), "52.56"),
        (facts("instance", 4, 16, "nvidia-l4"), "763.96"),
        (facts("instance", 4, 16, "nvidia-l4", redundant=True), "1037.80"),
        (facts("instance", 4, 16, "nvidia-h100"), "273.31"),
        (facts("request", 0.08, 0.125), "1.35"),
    ],
    ids=["idle, request-based", "instance-based", "L4", "L4 in two zones", "a GPU without a known price", "a small one"],
)
def test_a_warm_instance_costs_what_the_list_says(of: dict[str, Any], dollars: str) -> None:
    """For 730 hours at the list prices of us-central1; a GPU without a known price is left out and never guessed."""
    assert warm_instance_month(of) == Decimal(dollars)
