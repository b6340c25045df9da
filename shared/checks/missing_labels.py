"""Resources without the labels that the policy asks of every resource."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from shared.audit.estate import Estate
from shared.audit.finding import Finding
from shared.checks import Check
from shared.checks.by_policy import at, named
from shared.model import Resource


def find(estate: Estate) -> Iterator[Finding]:
    """One finding for each resource, naming all labels that it lacks."""
    for resource in sorted(estate.resources, key=lambda each: each.name):
        missing = [key for key in estate.policy.required_labels if not resource.labels.get(key)]
        if missing:
            yield CHECK.finding(
                resource,
                "low",
                f"lacks the label{'s' if len(missing) > 1 else ''} {', '.join(missing)}",
                "Its cost cannot be told apart in the bill, and nobody knows whom to ask",
                mend=(_command(resource, missing),),
            )


def _command(resource: Resource, missing: list[str]) -> str:
    labels = shlex.quote(",".join(f"{key}=VALUE" for key in missing))
    if resource.kind == "bucket":
        return f"gcloud storage buckets update {shlex.quote(f'gs://{resource.short_name}')} --update-labels={labels}"
    kind = "worker-pools" if resource.kind == "worker_pool" else "services"
    return f"gcloud run {kind} update {named(resource)} {at(resource)} --update-labels={labels}"


CHECK = Check(name="missing_labels", category="labels", lever="", needs=frozenset({"resources"}), find=find)
