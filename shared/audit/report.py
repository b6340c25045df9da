"""The report of an audit: what every form of it is made of, and the JSON Schema of the one for programs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from pydantic import Field
from pydantic.json_schema import GenerateJsonSchema

from shared.audit.category import Category
from shared.audit.finding import SEVERITIES, Finding
from shared.model import Basis
from shared.record import Record
from shared.slack.text import plural

Colour = Literal["GREEN", "YELLOW", "RED"]
EXIT: dict[Colour, int] = {"GREEN": 0, "YELLOW": 1, "RED": 2}
"""The exit status of the command, for use in pipelines."""


class Verdict(Record):
    """The whole in a word."""

    colour: Colour = Field(description="RED: something has to be done now; YELLOW: something is worth mending; GREEN: neither.")
    reason: str = Field(description="Why, in one sentence.")


class Spent(Record):
    """One budget message, remembered."""

    at: datetime
    cost: Decimal
    amount: Decimal


class Rung(Record):
    """A step of the policy on a budget's ladder."""

    at: Decimal = Field(description="The share of the budget, 0.8 for 80 percent.")
    on: Basis
    does: tuple[str, ...] = Field(description="The names of its actions.")
    entry: str | None = Field(default=None, description="The entry of the journal that carried it out in this period; null where none has.")
    reached_on: datetime | None = Field(default=None, description="When it is reached if spend goes on as it did, an estimate.")


class Spend(Record):
    """A budget's period so far, from the messages seen."""

    budget: str = Field(description="The budget's name.")
    budget_id: str
    billing_account: str
    currency: str = Field(description="ISO 4217; empty where no message told it.")
    cost: Decimal
    amount: Decimal
    period_start: datetime
    period_end: datetime | None = Field(description="Null where messages do not let it be known.")
    heard_at: datetime | None
    series: tuple[Spent, ...]
    per_day: Decimal | None = Field(default=None, description="How much is spent in a day, an estimate.")
    projected: Decimal | None = Field(default=None, description="The cost at the period's end if spend goes on as it did, an estimate.")
    rise: str = Field(default="", description="A sudden rise, in a sentence.")
    ladder: tuple[Rung, ...] = ()


class Lever(Record):
    """What could be saved in one way."""

    lever: str
    category: Category
    monthly: Decimal = Field(
        description="US dollars a month at list price, an estimate; of findings about the same money the largest alone."
    )
    findings: int


class Untouched(Record):
    """A resource that no step of the policy would touch."""

    resource: str
    reason: str


class Done(Record):
    """An entry of the journal within the last 30 days."""

    entry: str
    at: datetime
    what: str = Field(description="What it was about and what became of it, in one sentence.")
    open: bool = Field(description="Whether something of it is left to do, or to put back.")
    undo: str = Field(default="", description="The command that puts it back; empty where there is nothing to put back.")


class Counts(Record):
    """How much was looked at."""

    projects: tuple[str, ...]
    regions: tuple[str, ...]
    services: int = 0
    worker_pools: int = 0
    executions: int = 0
    buckets: int = 0
    objects: int = 0
    bytes: int = 0
    sampled: tuple[str, ...] = Field(default=(), description="Buckets of which only a part was listed.")


class Blank(Record):
    """Something that could not be looked at."""

    what: str
    reason: str
    mend: str = Field(default="", description="What to grant, and to whom; empty where no permission is missing.")


class Touch(Record):
    """A resource that a simulated plan would change."""

    resource: str
    action: str
    does: str = Field(description="The change in a few words.")
    saving: Decimal = Field(description="US dollars a month at list price, an estimate.")
    remains: str = Field(default="", description="What goes on costing all the same.")


class Stage(Record):
    """What a simulated spend would cause at one time, in the order in which it would be done."""

    when: str = Field(description="``at once``, ``after 30 minutes, unless called off``, ``after a yes``.")
    steps: tuple[str, ...] = Field(description="The keys of the steps.")
    refused: str = Field(default="", description="Why all of it would be refused; empty where it would not.")
    touches: tuple[Touch, ...] = ()
    untouched: tuple[Untouched, ...] = ()
    jobs: tuple[str, ...] = Field(default=(), description="What would be done to objects, in a sentence each.")


class Simulation(Record):
    """What a spend would cause, from the same planner as the real thing."""

    budget: str
    share: Decimal = Field(description="The share of the budget, 0.8 for 80 percent.")
    basis: Basis
    at: datetime
    projected: bool = Field(description="Whether the share comes from the spend so far, and was not asked for.")
    new_period: bool = Field(description="Whether a new period would have begun by then.")
    put_back: tuple[Touch, ...] = Field(default=(), description="What the new period would put back first.")
    taken: dict[str, str] = Field(
        default={}, description="Steps that are reached and were carried out in this period, each with its entry."
    )
    stages: tuple[Stage, ...] = ()
    notes: tuple[str, ...] = ()


class Report(Record):
    """One audit."""

    schema_version: Literal[1] = 1
    generated_at: datetime
    seconds: float = Field(description="How long it took.")
    project: str
    mode: Literal["observe", "enforce"]
    asked: tuple[Category, ...]
    verdict: Verdict
    spend: tuple[Spend, ...] = ()
    monthly_saving: Decimal = Field(description="All levers together, US dollars a month at list price, an estimate.")
    levers: tuple[Lever, ...] = ()
    findings: tuple[Finding, ...] = ()
    untouched: tuple[Untouched, ...] = ()
    done: tuple[Done, ...] = ()
    seen: Counts
    blanks: tuple[Blank, ...] = ()
    simulation: Simulation | None = None


class _Dialect(GenerateJsonSchema):
    """Every field that is written is there, whether it has a default or not."""

    def field_is_required(self, *_: Any, **__: Any) -> bool:
        """Always."""
        return True


def schema() -> dict[str, Any]:
    """The JSON Schema of a report, draft 2020-12."""
    document = Report.model_json_schema(mode="serialization", schema_generator=_Dialect)
    return {"$schema": GenerateJsonSchema.schema_dialect, **document, "title": "Cost Watchdog audit report, version 1"}


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The gravest first, then the dearest, then by id."""
    return tuple(sorted(findings, key=lambda each: (SEVERITIES.index(each.severity), -_monthly(each), each.id)))


def counted(findings: Iterable[Finding]) -> dict[str, Finding]:
    """Of findings about the same money the one that saves most, by meter; those that save nothing are not among them."""
    best: dict[str, Finding] = {}
    for each in findings:
        if each.saving and each.saving.monthly and (each.meter not in best or _monthly(each) > _monthly(best[each.meter])):
            best[each.meter] = each
    return best


def levers(findings: Sequence[Finding], names: dict[str, str]) -> tuple[Lever, ...]:
    """What could be saved in each way, the most first.

    Args:
        findings: All findings.
        names: By check, its lever.
    """
    sums: dict[tuple[str, Category], list[Decimal]] = {}
    for each in counted(findings).values():
        sums.setdefault((names[each.check], each.category), []).append(_monthly(each))
    found = [
        Lever(lever=lever, category=category, monthly=sum(parts, Decimal(0)), findings=len(parts))
        for (lever, category), parts in sums.items()
    ]
    return tuple(sorted(found, key=lambda each: (-each.monthly, each.lever)))


def verdict(findings: Sequence[Finding]) -> Verdict:
    """RED with any grave finding, YELLOW with any that is worth mending."""
    high = [each for each in findings if each.severity == "high"]
    medium = [each for each in findings if each.severity == "medium"]
    if high:
        return Verdict(colour="RED", reason=f"{plural(len(high), 'finding')} to act upon now; the first: {_of(high[0])}")
    if medium:
        return Verdict(colour="YELLOW", reason=f"{plural(len(medium), 'finding')} worth mending; the first: {_of(medium[0])}")
    low = f"; {plural(len(findings), 'finding')} good to know" if findings else ""
    return Verdict(colour="GREEN", reason=f"nothing is worth mending now{low}")


def _of(finding: Finding) -> str:
    return f"{finding.resource.rpartition('/')[2]} {finding.what}" if finding.category in ("serving", "storage") else finding.what


def _monthly(finding: Finding) -> Decimal:
    return finding.saving.monthly if finding.saving else Decimal(0)
