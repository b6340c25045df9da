"""Worker pools outside production that run."""

from __future__ import annotations

from collections.abc import Iterator

from shared import prices
from shared.audit.estate import Estate
from shared.audit.finding import Finding, Saving, severity_of
from shared.checks import Check
from shared.checks.by_policy import at, named, steps
from shared.slack.text import about, plural


def find(estate: Estate) -> Iterator[Finding]:
    """Each worker pool that is not protected and has instances."""
    for pool in estate.of_kind("worker_pool"):
        count = int(pool.state["count"])
        if not count or estate.spared(pool):
            continue
        month = prices.warm_instance_month(pool.facts)
        yield CHECK.finding(
            pool,
            severity_of(month * count),
            f"runs {plural(count, 'instance')} around the clock",
            "A worker pool has no requests to scale by: its instances are billed until somebody sets their number to 0",
            saving=Saving(monthly=month * count, basis=f"{plural(count, 'instance')} x {about(month)} a month at {prices.LISTED}"),
            meter=f"{pool.name} instances",
            mend=(f"gcloud run worker-pools update {named(pool)} {at(pool)} --instances=0",),
            policy=steps(estate, pool),
        )


CHECK = Check(name="worker_pools", category="serving", lever="worker pools", needs=frozenset({"resources"}), find=find)
