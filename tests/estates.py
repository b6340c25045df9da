"""What an audit may have seen, in a few words, for the tests of its checks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from shared import checks
from shared.audit.estate import Estate
from shared.audit.finding import Finding
from shared.model import Resource
from shared.policy.policy import Policy
from tests.buckets import BUCKET_FACTS, Rule, state
from tests.doubles import POOL_FACTS, SERVICE_FACTS, scaling
from tests.stage import HERE, IDLE_80, PROJECT, a_policy, full_name

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
DAY = timedelta(days=1)
GIB = 2**30
TIB = 2**40
POLICY: Policy = a_policy(IDLE_80)


def an_estate(*resources: Resource, **seen: Any) -> Estate:
    """What was seen, with nothing wrong but what is said."""
    known: dict[str, Any] = {
        "now": NOW, "project": PROJECT, "policy": POLICY, "projects": (PROJECT,), "numbers": {PROJECT: "42"}, "regions": (HERE,), "resources": resources, "usage": {},
        "executions": (), "stocks": {}, "budgets": (), "topics": (),
    }  # fmt: skip
    return Estate(**(known | seen))


def a_service(
    name: str = "warm", *, labels: Mapping[str, str] | None = None, facts: Mapping[str, Any] | None = None, **more: Any
) -> Resource:
    """A service of staging; further arguments are its scaling."""
    return Resource(
        "service",
        full_name(name),
        dict(labels if labels is not None else {"env": "staging"}),
        scaling(**more),
        facts={**SERVICE_FACTS, **(facts or {})},
    )


def a_pool(name: str = "trainer", count: int = 2, **labels: str) -> Resource:
    """A worker pool."""
    return Resource("worker_pool", full_name(name, collection="workerPools"), labels, {"count": count}, facts=POOL_FACTS)


def a_bucket(name: str = "acme-ml-runs", *rules: Rule, labels: Mapping[str, str] | None = None, **facts: Any) -> Resource:
    """A bucket with these lifecycle rules."""
    full = f"projects/{PROJECT}/locations/{HERE}/buckets/{name}"
    return Resource("bucket", full, dict(labels or {}), state(*rules), facts={**BUCKET_FACTS, **facts})


def found(check: str, estate: Estate) -> list[Finding]:
    """What a check finds there; each id is there once."""
    findings = list(checks.registry()[check].find(estate))
    assert len({finding.id for finding in findings}) == len(findings)
    assert all(finding.check == check and finding.id.startswith(f"{check}:") for finding in findings)
    assert all(not finding.what.endswith(".") and finding.why for finding in findings)
    return findings


def told(check: str, estate: Estate) -> list[tuple[str, str, str]]:
    """The same as its short name, how grave it is, and what is wrong."""
    return [(finding.resource.rsplit("/", 1)[-1], finding.severity, finding.what) for finding in found(check, estate)]
