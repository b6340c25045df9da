"""One audit: look at everything, ask every check, and make one report of it. Reads only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from shared.audit.category import CATEGORIES, Category
from shared.audit.estate import Estate, Heap, JournalSeen
from shared.audit.finding import Finding
from shared.audit.gather import RECENT, Gatherer, Tell, quietly
from shared.audit.report import Blank, Counts, Done, Report, Rung, Simulation, Spend, Spent, Untouched, counted, in_order, levers, verdict
from shared.audit.sight import Sight
from shared.burn import estimate, month_end
from shared.checks import asked, registry
from shared.entry import Entry
from shared.errors import Denied
from shared.journal import BudgetState
from shared.model import BudgetNotification
from shared.objects.job import UNDOABLE
from shared.policy.policy import BudgetRule, Policy
from shared.report import jobs as report_jobs
from shared.report.burn import sentences
from shared.report.parts import restore_command

SECONDS = 45.0
"""How long buckets are listed at most; the rest of a function's minute is for what comes after."""


@dataclass(frozen=True, slots=True)
class Question:
    """What an audit is asked.

    Attributes:
        categories: What to look at.
        projects: The projects to look at; none means those of the policy.
        seconds: How long buckets are listed at most.
    """

    categories: tuple[Category, ...] = CATEGORIES
    projects: tuple[str, ...] = ()
    seconds: float = SECONDS


def audit(
    sight: Sight,
    policy: Policy,
    question: Question,
    *,
    project: str,
    service: str = "",
    simulation: Simulation | None = None,
    tell: Tell = quietly,
) -> Report:
    """Make the report. What cannot be looked at stands in it, and hides nothing else.

    Args:
        sight: The ports.
        policy: The policy in force.
        question: What is asked.
        project: The watchdog's own project.
        service: The name of the Cloud Run service it runs on; empty elsewhere.
        simulation: What a spend would cause, where that was asked too.
        tell: Told how far it is, from several threads.

    Raises:
        Denied: Nothing at all could be looked at.
    """
    clock = sight.world.clock
    begun = clock.monotonic()
    checks = list(asked(question.categories))
    gatherer = Gatherer(
        sight=sight, policy=policy, project=project, service=service, projects=question.projects or policy.scope.projects or (project,),
        # What is parked and held is part of what a plan would do.
        needs=frozenset(need for check in checks for need in check.needs) | {"journal"}, now=clock.now(), deadline=begun + question.seconds, tell=tell,
    )  # fmt: skip
    estate = gatherer.look()
    _raise_if_blind(estate)
    findings = in_order(finding for check in checks for finding in check.find(estate))
    return Report(
        generated_at=estate.now,
        seconds=round(clock.monotonic() - begun, 1),
        project=project,
        mode=policy.mode,
        asked=question.categories,
        verdict=verdict(findings),
        spend=tuple(_spend(estate)),
        monthly_saving=sum((each.saving.monthly for each in counted(findings).values() if each.saving), Decimal(0)),
        levers=levers(findings, {name: check.lever for name, check in registry().items()}),
        findings=findings,
        untouched=tuple(Untouched(resource=name, reason=reason) for name, reason in sorted(estate.untouched.items())),
        done=_done(estate),
        seen=_counts(estate),
        blanks=tuple(_blanks(estate, findings)),
        simulation=simulation,
    )


def _raise_if_blind(estate: Estate) -> None:
    """Say once that nobody may look at anything, in place of saying it of every single thing."""
    seen = (estate.resources, estate.budgets, estate.usage, estate.stocks, estate.executions, estate.journal)
    if estate.gaps and all(gap.denied for gap in estate.gaps) and not any(seen):
        first = estate.gaps[0]
        raise Denied(f"nothing could be looked at; the first was {first.what}: {first.reason}")


# the budgets, from the messages seen


def _spend(estate: Estate) -> Iterator[Spend]:
    seen = estate.journal or JournalSeen()
    for (account, budget), state in sorted(seen.budgets.items()):
        rule = estate.policy.rule_of(budget, state.name)
        yield _spent(state, rule, account, budget, estate.now)


def _spent(state: BudgetState, rule: BudgetRule | None, account: str, budget: str, now: datetime) -> Spend:
    newest = state.series[-1]
    steps = sorted(rule.steps, key=lambda step: (step.at, step.on)) if rule else ()
    shares = {Decimal(1), *(step.at for step in steps if step.on == "actual")}
    burn = estimate(state.series, shares=shares, period_start=state.period_start, now=now)
    reached = {reach.share: reach.at for reach in burn.reaches} if burn else {}
    notice = BudgetNotification(
        billing_account=account, budget_id=budget, budget_name=state.name, cost=newest.cost, amount=newest.amount, currency=state.currency,
        period_start=state.period_start, actual_threshold=None, forecast_threshold=None, message_id="", sent_at=newest.at,
    )  # fmt: skip
    return Spend(
        budget=state.name or budget,
        budget_id=budget,
        billing_account=account,
        currency=state.currency,
        cost=newest.cost,
        amount=newest.amount,
        period_start=state.period_start,
        period_end=month_end(state.period_start),
        heard_at=state.heard_at,
        series=tuple(Spent(at=point.at, cost=point.cost, amount=point.amount) for point in state.series),
        per_day=burn.per_day if burn else None,
        projected=burn.projected if burn else None,
        rise=next(sentences(burn, notice)) if burn and burn.rise else "",
        ladder=tuple(
            Rung(
                at=step.at,
                on=step.on,
                does=tuple(use.name for use in step.do),
                entry=state.claims.get(step.key) or state.claims.get(f"observe/{step.key}"),
                reached_on=reached.get(step.at) if step.on == "actual" else None,
            )
            for step in steps
        ),
    )


# what the watchdog did


def _done(estate: Estate) -> tuple[Done, ...]:
    seen = estate.journal or JournalSeen()
    known = [(entry, True) for entry in seen.entries] + [(entry, False) for entry in seen.closed]
    told = [
        Done(entry=entry.key, at=entry.created, what=_became(entry), open=is_open, undo=_undo(entry))
        for entry, is_open in known
        if (is_open or estate.now - entry.created <= RECENT) and (entry.steps or (entry.job and not entry.job.parent))
    ]
    return tuple(sorted(told, key=lambda each: (each.at, each.entry), reverse=True))


def _became(entry: Entry) -> str:
    if entry.job:
        return report_jobs.line(entry).partition("  ")[2]
    notice = entry.notification
    name = notice.budget_name if notice else "a budget"
    steps = ", ".join(f"{step.key} {step.state}" for step in entry.steps)
    counts = Counter(_STATUS[target.status] for target in entry.targets)
    outcome = ", ".join(f"{count:,} {word}" for word, count in counts.items()) or "nothing to change"
    return f"{'dry run: ' if entry.mode == 'observe' else ''}{name}: {steps}: {outcome}"


_STATUS = {
    "intended": "to be changed",
    "verified": "changed",
    "failed": "failed",
    "skipped": "skipped",
    "rehearsed": "would be changed",
    "restoring": "being put back",
    "restored": "put back",
    "left": "left to others",
}


def _undo(entry: Entry) -> str:
    undoable = entry.job.stage in UNDOABLE if entry.job else bool(entry.parked())
    return restore_command(entry) if undoable else ""


# how much was looked at


def _counts(estate: Estate) -> Counts:
    kinds = Counter(resource.kind for resource in estate.resources)
    total = sum((inventory.total for inventory in estate.inventories.values()), Heap())
    return Counts(
        projects=estate.projects,
        regions=estate.regions,
        services=kinds["service"],
        worker_pools=kinds["worker_pool"],
        executions=len(estate.executions or ()),
        buckets=kinds["bucket"],
        objects=total.objects,
        bytes=total.bytes,
        sampled=tuple(sorted(name for name, inventory in estate.inventories.items() if not inventory.whole)),
    )


def _blanks(estate: Estate, findings: Sequence[Finding]) -> Iterator[Blank]:
    mends = {finding.resource: "; ".join(finding.mend) for finding in findings if finding.check == "blanks"}
    return (Blank(what=gap.what, reason=gap.reason, mend=mends.get(gap.what, "")) for gap in estate.gaps)
