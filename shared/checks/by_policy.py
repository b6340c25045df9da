"""What the watchdog's policy would do about a resource, in a sentence, and how a resource is named in commands."""

from __future__ import annotations

import shlex
from datetime import datetime, timedelta
from decimal import Decimal

from shared.audit.estate import Estate
from shared.model import Resource
from shared.slack.text import percent


def steps(estate: Estate, resource: Resource) -> str:
    """Which steps of the policy reach the resource."""
    reached = estate.reach.get(resource.name, ())
    if reached:
        kind, _, at = reached[0].step.partition("-")
        spend = "forecast spend" if kind == "forecast" else "spend"
        more = f", and {len(reached) - 1} more" if len(reached) > 1 else ""
        asks = " after a yes" if reached[0].approve else ""
        return f"{reached[0].action} at {percent_of(at)} of {reached[0].budget} ({spend}){asks}{more}"
    reason = estate.untouched.get(resource.name, "")
    return f"no step of the policy would change it: {reason or 'there is none'}"


def percent_of(share: str) -> str:
    """``0.8`` as people read it."""
    return percent(Decimal(share))


def at(resource: Resource) -> str:
    """The flags that say where a Cloud Run resource is."""
    place = resource.place
    return f"--region={shlex.quote(place.region)} --project={shlex.quote(place.project)}"


def named(resource: Resource) -> str:
    """The short name, as a shell takes it."""
    return shlex.quote(resource.short_name)


def older_than(resource: Resource, age: timedelta, now: datetime) -> bool:
    """Whether the resource is known to be older than that."""
    created = str(resource.facts.get("created", ""))
    return bool(created) and now - datetime.fromisoformat(created) > age
