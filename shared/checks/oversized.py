"""Services that use little of the CPU or memory that they are billed for."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from shared import prices
from shared.audit.estate import Estate
from shared.audit.finding import Finding, Saving, severity_of
from shared.audit.seen import USAGE_WINDOW, Usage
from shared.checks import Check
from shared.checks.by_policy import at, named
from shared.model import Resource
from shared.slack.text import about

LITTLE = 1 / 3
"""A share of a limit below which half of it would do, with room to spare."""
WORTH = Decimal(5)
"""US dollars a month."""
_WINDOW = Decimal(int(USAGE_WINDOW.total_seconds()))
_SMALLEST_CPU, _SMALLEST_GIB = 1.0, 0.5
# The most memory that so much CPU may have: https://cloud.google.com/run/docs/configuring/services/memory-limits
_MOST_GIB = {1.0: 4.0, 2.0: 8.0, 4.0: 16.0, 6.0: 24.0, 8.0: 32.0}


def find(estate: Estate) -> Iterator[Finding]:
    """Each service without a GPU whose 99th percentile of a week stays below a third of a limit."""
    for service in estate.of_kind("service"):
        usage = (estate.usage or {}).get(service.name)
        if usage is None or usage.cpu is None or usage.memory is None or service.facts["gpu"] or service.facts.get("watchdog"):
            continue
        cpu, memory = _enough(service, usage)
        if (cpu, memory) == (service.facts["cpu"], service.facts["memory_gib"]):
            continue
        instances = Decimal(str(usage.billable_seconds)) / _WINDOW
        smaller = {**service.facts, "cpu": cpu, "memory_gib": memory}
        monthly = ((prices.warm_instance_month(service.facts) - prices.warm_instance_month(smaller)) * instances).quantize(Decimal("0.01"))
        if monthly < WORTH:
            continue
        yield CHECK.finding(
            service,
            severity_of(monthly),
            f"uses at most {usage.cpu:.0%} of {service.facts['cpu']:g} vCPU and {usage.memory:.0%} of {service.facts['memory_gib']:g} GiB (99th percentile of 7 days)",
            "CPU and memory are billed by their limits, not by what is used of them. Starting up may need more than serving: try it with a tagged revision",
            saving=Saving(
                monthly=monthly,
                basis=f"{cpu:g} vCPU and {memory:g} GiB instead, for {instances:.1f} billed instances on average, at the least rate of {prices.LISTED}: about "
                f"{about(prices.warm_instance_month(smaller))} instead of {about(prices.warm_instance_month(service.facts))} a month for one",
            ),
            meter=f"{service.name} instances",
            mend=(
                f"gcloud run services update {named(service)} {at(service)} --cpu={cpu:g} --memory={memory * 1024:.0f}Mi --tag=smaller --no-traffic",
            ),
        )


def _enough(service: Resource, usage: Usage) -> tuple[float, float]:
    """Half of what is hardly used; as much CPU stays as the memory needs."""
    cpu, memory = float(service.facts["cpu"]), float(service.facts["memory_gib"])
    if (usage.memory or 0) < LITTLE and memory / 2 >= _SMALLEST_GIB:
        memory /= 2
    if (usage.cpu or 0) < LITTLE and cpu / 2 in _MOST_GIB and cpu / 2 >= _SMALLEST_CPU and memory <= _MOST_GIB[cpu / 2]:
        cpu /= 2
    return cpu, memory


CHECK = Check(name="oversized", category="serving", lever="right-sizing", needs=frozenset({"resources", "usage"}), find=find)
