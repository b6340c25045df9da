"""Buckets without a single lifecycle rule."""

from __future__ import annotations

from collections.abc import Iterator

from shared.audit.estate import Estate
from shared.audit.finding import Finding
from shared.checks import Check
from shared.checks.in_buckets import buckets, held, rules, set_rules
from shared.slack.text import volume

LARGE = 2**30


def find(estate: Estate) -> Iterator[Finding]:
    """Each bucket of some size in which everything stays for ever, in the class in which it was written."""
    for bucket in buckets(estate):
        size = sum(held(estate, bucket.short_name, "live").values())
        if size < LARGE or rules(bucket):
            continue
        yield CHECK.finding(
            bucket,
            "low",
            f"has no lifecycle rule, and holds {volume(size)}",
            "What nobody deletes is billed for ever; parts of uploads that were never completed do not even show in a listing",
            mend=(set_rules(bucket, {"action": {"type": "AbortIncompleteMultipartUpload"}, "condition": {"age": 7}}),),
            policy="the action set_lifecycle adds rules where a step of the policy has it",
        )


CHECK = Check(name="no_lifecycle", category="storage", lever="", needs=frozenset({"resources", "objects", "stocks"}), find=find)
