"""What was deleted, and is billed until the soft-delete window ends."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from decimal import Decimal

from shared.audit.estate import Estate
from shared.audit.finding import MEDIUM_FROM, Finding
from shared.checks import Check
from shared.checks.in_buckets import buckets, held, priced
from shared.prices_storage import at_rest
from shared.slack.text import about, plural, volume

WORTH = Decimal(5)
"""US dollars a month."""


def find(estate: Estate) -> Iterator[Finding]:
    """Each bucket in which that costs something; no saving is counted, since the window is what undoes a mistake."""
    for bucket in buckets(estate):
        sizes = held(estate, bucket.short_name, "soft_deleted")
        monthly = sum((at_rest(size, name, bucket.place.region) for name, size in sizes.items()), Decimal(0))
        if monthly < WORTH:
            continue
        days = bucket.facts["soft_delete_days"]
        name = shlex.quote(f"gs://{bucket.short_name}")
        yield CHECK.finding(
            bucket,
            "medium" if monthly >= 10 * MEDIUM_FROM else "low",
            f"pays for {volume(sum(sizes.values()))} that is deleted already: about {about(monthly)} a month at {priced(bucket.place.region)} (estimate)",
            f"Deleted objects are billed for {plural(days, 'day')} more, and can be brought back until then. Where files live for hours, the window may cost more than "
            "the data; but without it neither you nor the watchdog can undo a deletion",
            mend=(
                f"gcloud storage buckets update {name} --soft-delete-duration=7d   # the shortest there is",
                f"gcloud storage buckets update {name} --clear-soft-delete   # for scratch data alone: nothing can be brought back then",
            ),
        )


CHECK = Check(name="soft_deleted", category="storage", lever="", needs=frozenset({"resources", "stocks"}), find=find)
