"""Services that bill as long as an instance lives, or have a GPU, and that nobody uses."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from shared import prices
from shared.actions.scale_to_zero import warm_instances
from shared.audit.estate import Estate
from shared.audit.finding import Finding, Saving, severity_of
from shared.audit.seen import USAGE_WINDOW
from shared.checks import Check
from shared.checks.by_policy import at, named, older_than, steps
from shared.slack.text import about, plural

_MONTH = Decimal(prices.HOURS_A_MONTH * 3600)
_WINDOW = Decimal(int(USAGE_WINDOW.total_seconds()))


def find(estate: Estate) -> Iterator[Finding]:
    """Each service older than a week that billed by instance, and answered nothing."""
    if estate.usage is None:
        return
    for service in estate.of_kind("service"):
        usage = estate.usage.get(service.name)
        if service.facts["billing"] != "instance" or service.facts.get("watchdog") or (usage and usage.requests):
            continue
        if not older_than(service, USAGE_WINDOW, estate.now):
            continue
        billed = Decimal(str(usage.billable_seconds)) if usage else Decimal(0)
        instances = billed / _WINDOW if billed else Decimal(warm_instances(service.state, service.facts))
        if not instances:
            continue
        monthly = (prices.warm_instance_month(service.facts) * instances).quantize(Decimal("0.01"))
        gpu = f" with a {service.facts['gpu']} GPU" if service.facts["gpu"] else ""
        told = (
            f"{billed / 3600:,.0f} billed instance hours in 7 days" if billed else f"{plural(int(instances), 'instance')} by its settings"
        )
        production = estate.spared(service)
        yield CHECK.finding(
            service,
            "low" if production else severity_of(monthly),
            f"bills by instance{gpu} and answered no request in 7 days" + (f"; is it still needed? ({production})" if production else ""),
            "With instance-based billing, which every GPU needs, an instance is billed as long as it lives, whether it has requests or not",
            saving=Saving(
                monthly=monthly, basis=f"{told}, at {about(prices.warm_instance_month(service.facts))} a month for one, {prices.LISTED}"
            ),
            meter=f"{service.name} instances",
            mend=(
                f"gcloud run services update {named(service)} {at(service)} --scaling=0   # stops it: callers get errors until --scaling=auto",
                *(
                    ()
                    if gpu
                    else (f"gcloud run services update {named(service)} {at(service)} --cpu-throttling   # bills requests instead",)
                ),
            ),
            policy=steps(estate, service),
        )


CHECK = Check(
    name="idle_billing",
    category="serving",
    lever="instance-based billing and GPU without traffic",
    needs=frozenset({"resources", "usage"}),
    find=find,
)
