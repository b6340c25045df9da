"""Training runs that failed, were abandoned, or were never promoted, and what their artifacts cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from decimal import Decimal
from types import MappingProxyType

from shared.audit.estate import Estate, Heap, Inventory, RunState
from shared.audit.finding import Finding, Saving, severity_of
from shared.checks import Check
from shared.checks.in_buckets import buckets, partly, priced
from shared.model import Resource
from shared.policy.artifacts import ArtifactRule
from shared.policy.fields import duration_text
from shared.prices_storage import at_rest
from shared.slack.text import plural, volume

NAMED = 3
"""Runs that are named in the sentence."""
_WORDS: Mapping[RunState, str] = MappingProxyType(
    {
        "failed": "failed",
        "abandoned": "abandoned (neither promoted nor written to for as long as the policy says)",
        "unpromoted": "never promoted, and not written to for 30 days",
    }
)


def find(estate: Estate) -> Iterator[Finding]:
    """For each bucket that the policy has rules about and each state, the runs in it."""
    for bucket in buckets(estate):
        inventory = estate.inventories.get(bucket.short_name)
        for state in _WORDS:
            if inventory and any(run.state == state for run in inventory.runs):
                yield _told(estate, bucket, inventory, state)


def _told(estate: Estate, bucket: Resource, inventory: Inventory, state: RunState) -> Finding:
    runs = sorted((run for run in inventory.runs if run.state == state), key=lambda run: -run.size.bytes)
    more = inventory.more_runs.get(state, Heap())
    size = sum((run.size for run in runs), Heap())
    location, days = bucket.place.region, bucket.facts["soft_delete_days"]
    monthly = sum((at_rest(heap.bytes, name, location) for run in runs for name, heap in run.classes.items()), Decimal(0))
    rule = next(rule for rule in estate.policy.artifacts if rule.bucket == bucket.short_name and rule.runs == runs[0].runs)
    names = ", ".join(f"{run.prefix} ({volume(run.size.bytes)})" for run in runs[:NAMED])
    rest = f"; {volume(more.bytes)} of smaller ones not counted" if more.objects else ""
    unread = f"; the status of {plural(inventory.unread, 'run')} was not read" if inventory.unread else ""
    saving = None
    if not bucket.facts["versioned"] and monthly:
        saving = Saving(
            monthly=monthly,
            basis=f"{volume(size.bytes)} at {priced(location)}, without what the rule keeps{rest}; early-deletion charges of colder classes are not in it",
            begins=estate.now + timedelta(days=days),
        )
    # A run that nobody promoted may be a result that somebody needs, so its money alone makes it no more than worth a look.
    severity = "low" if state == "unpromoted" or not saving else severity_of(monthly)
    return CHECK.finding(
        f"{bucket.name}/runs/{state}",
        severity,
        f"{plural(len(runs), 'run')} {_WORDS[state]}: {volume(size.bytes)}, among them {names}{rest}{unread}{partly(inventory)}",
        "Nobody reads them, and they are billed like any other object"
        + (f"; what is deleted is billed for {days} days more by soft delete" if days else ""),
        saving=saving,
        meter=f"{bucket.short_name} live",
        mend=tuple(
            f"gcloud storage ls --recursive gs://{bucket.short_name}/{run.prefix}   # look before anything is deleted" for run in runs[:1]
        ),
        policy=_policy(estate, rule, state),
        labels=dict(bucket.labels),
    )


def _policy(estate: Estate, rule: ArtifactRule, state: RunState) -> str:
    if state == "unpromoted":
        return f"the rule about {rule.runs} deletes what failed or was abandoned; set abandoned_after to have these deleted too"
    if state == "abandoned" or rule.failed_when:
        does = "would delete" if estate.policy.mode == "observe" else "deletes"
        return f"the rule about {rule.runs} {does} them after a wait of {duration_text(rule.wait)}; runs that failed before the rule was there are not noticed by it"
    return ""


CHECK = Check(
    name="failed_runs", category="storage", lever="failed and abandoned runs", needs=frozenset({"resources", "objects"}), find=find
)
