"""A report of an audit with a bit of everything, for the tests of its forms."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from shared.audit.category import CATEGORIES
from shared.audit.finding import SEVERITIES, Finding, Saving
from shared.audit.report import (
    Blank,
    Counts,
    Done,
    Report,
    Rung,
    Simulation,
    Spend,
    Spent,
    Stage,
    Touch,
    Untouched,
    in_order,
    levers,
    verdict,
)

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
START = datetime(2026, 11, 1, 7, tzinfo=UTC)
DAY = timedelta(days=1)


def a_spend(**more: Any) -> Spend:
    """A budget in the middle of its period."""
    series = tuple(Spent(at=START + number * DAY, cost=Decimal(350 * number), amount=Decimal(10_000)) for number in range(1, 24))
    fields: dict[str, Any] = {
        "budget": "ML Training Budget", "budget_id": "b", "billing_account": "A", "currency": "USD", "cost": series[-1].cost, "amount": Decimal(10_000),
        "period_start": START, "period_end": START + 30 * DAY, "heard_at": NOW, "series": series, "per_day": Decimal(350), "projected": Decimal(10_500),
        "ladder": (
            Rung(at=Decimal("0.8"), on="actual", does=("scale_to_zero",), entry="budget-x"),
            Rung(at=Decimal(1), on="actual", does=("scale_to_zero", "stop_worker_pools"), reached_on=START + 28 * DAY),
            Rung(at=Decimal(2), on="forecast", does=("notify",)),
        ),
    }  # fmt: skip
    return Spend(**(fields | more))


def a_finding(number: int, **more: Any) -> Finding:
    """One of many."""
    resource = f"projects/acme-ml-staging/locations/us-central1/services/service-{number:04}"
    fields: dict[str, Any] = {
        "id": f"warm:{resource}", "check": "warm", "category": CATEGORIES[number % 5], "severity": SEVERITIES[number % 3], "resource": resource,
        "what": f"keeps {number} instances warm", "why": "They are billed around the clock",
        "saving": Saving(monthly=Decimal(number * 10), basis="instances x price", begins=NOW, once=Decimal(1)) if number % 2 else None, "meter": resource,
        "mend": ("gcloud run services update x --min=0", "or ask its owner"), "policy": "scale_to_zero at 80 %", "labels": {"team": "nlp"},
    }  # fmt: skip
    return Finding(**(fields | more))


def a_simulation(**more: Any) -> Simulation:
    """A plan with a bit of everything."""
    touch = Touch(
        resource=a_finding(1).resource,
        action="scale_to_zero",
        does="2 kept warm → none kept warm",
        saving=Decimal(20),
        remains="its GPU bills",
    )
    stages = (
        Stage(when="at once", steps=("actual-0.8",), touches=(touch,), untouched=(Untouched(resource="x", reason="protected"),), jobs=("delete_noncurrent in gs://b/",)),
        Stage(when="after 30m, unless called off", steps=("actual-1",), refused="9 resources would be changed"),
    )  # fmt: skip
    fields: dict[str, Any] = {
        "budget": "ML Training Budget", "share": Decimal(1), "basis": "actual", "at": NOW, "projected": False, "new_period": True, "put_back": (touch,),
        "taken": {"actual-0.5": "budget-x"}, "stages": stages, "notes": ("mode is observe",),
    }  # fmt: skip
    return Simulation(**(fields | more))


def a_report(count: int = 25, **more: Any) -> Report:
    """A report with so many findings."""
    findings = in_order(a_finding(number) for number in range(count))
    fields: dict[str, Any] = {
        "generated_at": NOW, "seconds": 12.5, "project": "acme-ml-staging", "mode": "enforce", "asked": CATEGORIES, "verdict": verdict(findings),
        "spend": (a_spend(),), "monthly_saving": Decimal(1560), "levers": levers(findings, {"warm": "instances kept warm"}), "findings": findings,
        "untouched": (Untouched(resource=a_finding(1).resource, reason="protected by the label env=prod"),),
        "done": (Done(entry="budget-x", at=NOW, what="ML Training Budget: 3 changed", open=True, undo="python -m functions restore --entry budget-x"),),
        "seen": Counts(projects=("acme-ml-staging",), regions=("us-central1",), services=41, objects=9, bytes=10**12, sampled=("b",)),
        "simulation": a_simulation(), "blanks": (Blank(what="the budgets of A", reason="permission denied", mend="gcloud billing accounts add-iam-policy-binding A"),),
    }  # fmt: skip
    return Report(**(fields | more))
