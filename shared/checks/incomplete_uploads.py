"""Parts of uploads that were never completed."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from shared.audit.estate import Estate
from shared.audit.finding import Finding, Saving, severity_of
from shared.checks import Check
from shared.checks.in_buckets import buckets, does, held, priced, rules, set_rules
from shared.prices_storage import at_rest
from shared.slack.text import volume

WORTH = Decimal("0.01")


def find(estate: Estate) -> Iterator[Finding]:
    """Each bucket with such parts and no rule that ends them."""
    for bucket in buckets(estate):
        sizes = held(estate, bucket.short_name, "multipart")
        monthly = sum((at_rest(size, name, bucket.place.region) for name, size in sizes.items()), Decimal(0))
        if monthly < WORTH or any(does(rule, "AbortIncompleteMultipartUpload") for rule in rules(bucket)):
            continue
        yield CHECK.finding(
            bucket,
            severity_of(monthly),
            f"holds {volume(sum(sizes.values()))} of uploads that were never completed",
            "They are billed like objects and appear in no listing, so nobody ever sees them",
            saving=Saving(
                monthly=monthly,
                basis=f"{volume(sum(sizes.values()))} at {priced(bucket.place.region)}; an upload that still goes on is in it too",
            ),
            meter=f"{bucket.short_name} multipart",
            mend=(set_rules(bucket, {"action": {"type": "AbortIncompleteMultipartUpload"}, "condition": {"age": 7}}),),
        )


CHECK = Check(
    name="incomplete_uploads", category="storage", lever="uploads never completed", needs=frozenset({"resources", "stocks"}), find=find
)
