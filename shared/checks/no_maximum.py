"""Services that may grow without a limit that anybody set."""

from __future__ import annotations

from collections.abc import Iterator

from shared import prices
from shared.audit.estate import Estate
from shared.audit.finding import Finding
from shared.checks import Check
from shared.checks.by_policy import at, named
from shared.slack.text import about

SERVERS_DEFAULT = 100
"""What a revision's maximum is where none is set: https://cloud.google.com/run/docs/configuring/max-instances"""


def find(estate: Estate) -> Iterator[Finding]:
    """Each service with automatic scaling and neither a maximum of its own nor one of its revision below the default."""
    for service in estate.of_kind("service"):
        state, limit = service.state, int(service.facts["revision_maximum"])
        if state["mode"] != "automatic" or state["maximum"] or 0 < limit < SERVERS_DEFAULT or service.facts.get("watchdog"):
            continue
        hour = prices.warm_instance_month(service.facts) / prices.HOURS_A_MONTH * (limit or SERVERS_DEFAULT)
        yield CHECK.finding(
            service,
            "low",
            f"has no maximum of instances, so it may grow to {limit or SERVERS_DEFAULT}",
            f"A loop or an attack is paid for until somebody notices: about {about(hour)} an hour at {prices.LISTED}, requests not counted",
            mend=(f"gcloud run services update {named(service)} {at(service)} --max=10   # or what its traffic needs",),
        )


CHECK = Check(name="no_maximum", category="serving", lever="", needs=frozenset({"resources"}), find=find)
