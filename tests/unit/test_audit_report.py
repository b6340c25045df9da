"""The report of an audit: the verdict, the levers, the order, and its JSON Schema."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import jsonschema
import pytest

from shared.audit.finding import Finding, Saving, severity_of
from shared.audit.report import Counts, Report, counted, in_order, levers, schema, verdict


def a_finding(resource: str, severity: str = "medium", monthly: object = None, **more: Any) -> Finding:
    """A finding; with a monthly saving where one is given."""
    saving = None if monthly is None else Saving(monthly=Decimal(str(monthly)), basis="a guess")
    fields: dict[str, Any] = {
        "id": f"c:{resource}", "check": "c", "category": "serving", "severity": severity, "resource": resource, "what": f"{resource} is wrong", "why": "so",
        "saving": saving, "meter": resource if saving else "",
    }  # fmt: skip
    return Finding(**(fields | more))


def test_verdicts() -> None:
    """One grave finding makes it RED, one that is worth mending YELLOW, and what is only good to know leaves it GREEN."""
    low, medium, high = (a_finding(name, name) for name in ("low", "medium", "high"))
    told = [verdict(findings) for findings in ((), (low,), (low, medium), (low, medium, high, high))]
    assert [(each.colour, each.reason) for each in told] == [
        ("GREEN", "nothing is worth mending now"),
        ("GREEN", "nothing is worth mending now; 1 finding good to know"),
        ("YELLOW", "1 finding worth mending; the first: medium medium is wrong"),
        ("RED", "2 findings to act upon now; the first: high high is wrong"),
    ]


@pytest.mark.parametrize(("monthly", "severity"), [(0, "low"), (19.99, "low"), (20, "medium"), (499, "medium"), (500, "high")])
def test_money_alone(monthly: float, severity: str) -> None:
    """How grave it is to spend so much for nothing."""
    assert severity_of(Decimal(str(monthly))) == severity


def test_the_order() -> None:
    """The gravest first, then the dearest, then by id."""
    some = [a_finding("d", "low"), a_finding("c", monthly=1), a_finding("b", monthly=9), a_finding("a"), a_finding("e", "high")]
    assert [each.resource for each in in_order(some)] == ["e", "b", "c", "a", "d"]


def test_the_same_money_is_added_up_once() -> None:
    """Of findings about the same meter the largest saving counts, and a finding that saves nothing not at all."""
    some = [
        a_finding("a", monthly=5, meter="m"), a_finding("b", monthly=7, meter="m"), a_finding("c", monthly=1), a_finding("d"), a_finding("e", monthly=0),
        a_finding("f", monthly=6, meter="m", check="other"),
    ]  # fmt: skip
    assert {meter: each.resource for meter, each in counted(some).items()} == {"m": "b", "c": "c"}
    assert [(each.lever, each.monthly, each.findings) for each in levers(some, {"c": "warm", "other": "cold"})] == [("warm", Decimal(8), 2)]


def test_levers_in_order() -> None:
    """The largest first."""
    some = [a_finding("a", monthly=5), a_finding("b", monthly=7, check="other", category="storage")]
    assert [(each.lever, each.category) for each in levers(some, {"c": "warm", "other": "cold"})] == [
        ("cold", "storage"),
        ("warm", "serving"),
    ]


def test_the_schema() -> None:
    """It is a schema, names its version, and refuses what the report does not have."""
    document = schema()
    jsonschema.Draft202012Validator.check_schema(document)
    report = Report(
        generated_at=datetime(2026, 11, 24, tzinfo=UTC), seconds=1, project="p", mode="observe", asked=("serving",), verdict=verdict(()), monthly_saving=Decimal(0),
        seen=Counts(projects=("p",), regions=()), findings=(a_finding("a", monthly=1),),
    )  # fmt: skip
    written = json.loads(report.model_dump_json())
    jsonschema.validate(written, document)
    for broken in ({"schema_version": 2}, {"extra": 1}, {"asked": ["everything"]}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(written | broken, document)
    del written["levers"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(written, document)
