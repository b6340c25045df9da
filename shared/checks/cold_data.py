"""Old data in the Standard class."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from shared.audit.estate import Estate, Heap, Inventory
from shared.audit.finding import Finding, Saving, severity_of
from shared.checks import Check
from shared.checks.in_buckets import buckets, does, old, partly, priced, rules, set_rules
from shared.model import Resource
from shared.prices_storage import MINIMUM, PER_CHANGE, PER_GIB_READ, at_rest
from shared.slack.text import about, percent, plural, volume

WORTH = Decimal(1)
"""US dollars a month: what saves less is not told of."""
_GIB = 2**30
_MOVES = (("COLDLINE", 90), ("NEARLINE", 30))
"""To which class, and from which age in days on, the coldest first; each age is at least the minimum duration of the class before it."""


def find(estate: Estate) -> Iterator[Finding]:
    """Each bucket in which old objects would cost less in a colder class, however little that needs to be read."""
    for bucket in buckets(estate):
        inventory = estate.inventories.get(bucket.short_name)
        if inventory is None or bucket.facts["autoclass"] or any(does(rule, "SetStorageClass") for rule in rules(bucket)):
            continue
        best = max((_moved(bucket, inventory, to, days) for to, days in _MOVES), key=lambda each: each[0])
        if best[0] < WORTH:
            continue
        monthly, heap, to, days = best
        once = (PER_CHANGE[to] * heap.objects).quantize(Decimal("0.01"))
        # Reading costs by the GiB: so much may be read back each month before it is dearer than before.
        still = monthly / (PER_GIB_READ[to] * heap.bytes / _GIB)
        rule = {"action": {"type": "SetStorageClass", "storageClass": to}, "condition": {"age": days, "matchesStorageClass": ["STANDARD"]}}
        yield CHECK.finding(
            bucket,
            severity_of(monthly),
            f"holds {volume(heap.bytes)} older than {days} days in the Standard class ({plural(heap.objects, 'object')}){partly(inventory)}",
            f"In {to.capitalize()} it costs less, as long as not more than {percent(still, '1')} of it is read back in a month. "
            f"There it is billed for {MINIMUM[to].days} days at least; moving by a lifecycle rule is no early deletion",
            saving=Saving(
                monthly=monthly,
                once=once,
                basis=f"{volume(heap.bytes)} from Standard to {to.capitalize()} at {priced(bucket.place.region)}, less nothing read back; "
                f"moving costs {about(once)} once",
            ),
            meter=f"{bucket.short_name} live",
            mend=(set_rules(bucket, rule),),
            policy="the action set_lifecycle does so where a step of the policy has it",
        )


def _moved(bucket: Resource, inventory: Inventory, to: str, days: int) -> tuple[Decimal, Heap, str, int]:
    heap = old(inventory, "STANDARD", days)
    location = bucket.place.region
    return at_rest(heap.bytes, "STANDARD", location) - at_rest(heap.bytes, to, location), heap, to, days


CHECK = Check(name="cold_data", category="storage", lever="storage class of old data", needs=frozenset({"resources", "objects"}), find=find)
