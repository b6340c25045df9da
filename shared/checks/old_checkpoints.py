"""Old checkpoints that are not compressed."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from shared.audit.estate import Estate
from shared.audit.finding import Finding, Saving, severity_of
from shared.checks import Check
from shared.checks.in_buckets import buckets, partly, priced
from shared.prices_storage import at_rest
from shared.slack.text import plural, volume

SHARE = Decimal("0.1")
"""What compressing weights is reckoned to save: floating-point numbers hardly repeat. An assumption; optimizer states and sparse tensors give more."""
WORTH = Decimal(1)


def find(estate: Estate) -> Iterator[Finding]:
    """Each bucket in which compressing them would be worth it."""
    for bucket in buckets(estate):
        inventory = estate.inventories.get(bucket.short_name)
        if inventory is None:
            continue
        heap = inventory.checkpoints
        monthly = (at_rest(heap.bytes, "STANDARD", bucket.place.region) * SHARE).quantize(Decimal("0.01"))
        if monthly < WORTH:
            continue
        yield CHECK.finding(
            bucket,
            severity_of(monthly),
            f"holds {plural(heap.objects, 'checkpoint')} older than 30 days, not compressed: {volume(heap.bytes)}{partly(inventory)}",
            "Nobody resumes from them any more, and whoever reads one can decompress it. How much it saves depends on the content: try one first",
            saving=Saving(
                monthly=monthly,
                basis=f"assumed: {SHARE:%} of {volume(heap.bytes)} at {priced(bucket.place.region)} for Standard; it may be anything from nothing to half",
            ),
            meter=f"{bucket.short_name} live",
            mend=("zstd -T0 FILE   # on a copy of one, to see what it saves",),
            policy="the action compress_objects does so where a step of the policy has it, and can be undone",
        )


CHECK = Check(name="old_checkpoints", category="storage", lever="compression", needs=frozenset({"resources", "objects"}), find=find)
