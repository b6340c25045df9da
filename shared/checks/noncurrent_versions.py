"""Versions that were overwritten or deleted, and are billed as before."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from shared.audit.estate import Estate
from shared.audit.finding import Finding, Saving, severity_of
from shared.checks import Check
from shared.checks.in_buckets import buckets, held, priced, rules, set_rules
from shared.prices_storage import at_rest
from shared.slack.text import volume

WORTH = Decimal(1)
_ENDED_BY = ("daysSinceNoncurrentTime", "numNewerVersions", "noncurrentTimeBefore")


def find(estate: Estate) -> Iterator[Finding]:
    """Each bucket with noncurrent versions that no lifecycle rule ever deletes."""
    for bucket in buckets(estate):
        sizes = held(estate, bucket.short_name, "noncurrent")
        monthly = sum((at_rest(size, name, bucket.place.region) for name, size in sizes.items()), Decimal(0))
        ends = any(
            rule.get("action", {}).get("type") == "Delete" and set(_ENDED_BY) & set(rule.get("condition", {})) for rule in rules(bucket)
        )
        if monthly < WORTH or ends:
            continue
        days = bucket.facts["soft_delete_days"]
        late = f"; what is deleted is billed for {days} days more by soft delete" if days else ""
        yield CHECK.finding(
            bucket,
            severity_of(monthly),
            f"keeps {volume(sum(sizes.values()))} of noncurrent versions, and no rule ever deletes them",
            "Whatever is overwritten or deleted in a bucket with versions stays, and is billed like what is live. Deleting versions takes away the way back to them",
            saving=Saving(
                monthly=monthly,
                basis=f"{volume(sum(sizes.values()))} at {priced(bucket.place.region)}; early-deletion charges of colder classes are not in it{late}",
            ),
            meter=f"{bucket.short_name} noncurrent",
            mend=(set_rules(bucket, {"action": {"type": "Delete"}, "condition": {"daysSinceNoncurrentTime": 30, "numNewerVersions": 1}}),),
            policy="the action delete_noncurrent does so where a step of the policy has it, and can be undone",
        )


CHECK = Check(
    name="noncurrent_versions",
    category="storage",
    lever="noncurrent versions",
    needs=frozenset({"resources", "objects", "stocks"}),
    find=find,
)
