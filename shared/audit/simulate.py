"""What a spend would cause, by the planner that the real thing uses. Reads only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from shared import burn
from shared import plan as planning
from shared.actions import registry
from shared.audit.report import Simulation, Stage, Touch, Untouched
from shared.entry import StepRecord, TargetRecord
from shared.errors import Gone, UnsafePlan
from shared.journal import BUDGET_ENTRIES, BudgetState
from shared.ladder import record
from shared.model import Basis, BudgetNotification, Resource
from shared.policy.fields import duration_text
from shared.policy.policy import BudgetRule, Step, reached
from shared.watchdog import Watchdog

AT_ONCE = "at once"


def simulate(watchdog: Watchdog, *, budget: str, share: Decimal | None, basis: Basis = "actual", at: datetime | None = None) -> Simulation:
    """What a message of this budget at this share would do, stage by stage.

    Args:
        watchdog: Who would do it.
        budget: The budget's id or name, or the policy's word for it.
        share: The share of the budget, 0.8 for 80 percent; None for where the spend so far leads until `at`.
        basis: Whether that share is spent or forecast.
        at: When; now where it is None.

    Raises:
        Gone: The policy means no such budget, or it cannot be told where its spend leads.
    """
    now = watchdog.world.clock.now()
    when = at or now
    rule, state = _budget(watchdog, budget)
    end = burn.month_end(state.period_start) if state else None
    new_period = end is not None and when >= end
    projected = share is None
    if share is None:
        share = _projected(state, when, now, budget, new_period=new_period)
    notification = BudgetNotification(
        billing_account="simulated", budget_id=budget, budget_name=budget, cost=share if basis == "actual" else Decimal(0), amount=Decimal(1), currency="XXX",
        period_start=when, actual_threshold=None, forecast_threshold=share if basis == "forecast" else None, message_id="simulated", sent_at=when,
    )  # fmt: skip
    claims = {} if state is None or new_period else state.claims
    steps = reached(rule, notification)
    taken = {step.key: claims[watchdog.ladder.claim(step)] for step in steps if watchdog.ladder.claim(step) in claims}
    scene = _look(watchdog, [step for step in steps if step.key not in taken], when)
    put_back = tuple(scene.put_back(state)) if state and new_period and rule.restore == "next_period" else ()
    return Simulation(
        budget=budget, share=share, basis=basis, at=when, projected=projected, new_period=new_period, put_back=put_back, taken=taken, stages=tuple(scene.stages()),
        notes=scene.notes,
    )  # fmt: skip


def _budget(watchdog: Watchdog, budget: str) -> tuple[BudgetRule, BudgetState | None]:
    """The rule that means the budget, and what is known of the one of its budgets that was heard last."""
    policy = watchdog.policy
    heard = [voice for voice in watchdog.journal.voices() if voice.heard_at]
    for voice in sorted(heard, key=lambda each: str(each.heard_at), reverse=True):
        rule = policy.rule_of(voice.budget, voice.name)
        if rule and budget in (voice.budget, voice.name, rule.budget):
            kept = watchdog.journal.budget(voice.account, voice.budget)
            return rule, kept.record if kept else None
    rule = policy.rule_of(budget, budget)
    if rule is None:
        named = ", ".join(repr(each.budget) for each in policy.budgets) or "none"
        raise Gone(f"the policy names no budget {budget!r}; it names {named}")
    return rule, None


def _projected(state: BudgetState | None, when: datetime, now: datetime, budget: str, *, new_period: bool) -> Decimal:
    estimated = burn.estimate(state.series, shares=(), period_start=state.period_start, now=now) if state else None
    if state is None or estimated is None or new_period or state.series[-1].amount <= 0:
        raise Gone(
            f"where the spend of {budget!r} leads until {when:%Y-%m-%d %H:%M} UTC cannot be told from the messages of this period; say a share, such as simulate=100%"
        )
    newest = state.series[-1]
    days = Decimal(max(timedelta(0), when - newest.at) / timedelta(days=1))
    return ((newest.cost + max(Decimal(0), estimated.per_day) * days) / newest.amount).quantize(Decimal("0.0001"))


def _look(watchdog: Watchdog, due: Sequence[Step], when: datetime) -> _Scene:
    records = [record(step, when) for step in due]
    view = watchdog.worker.look(records, watchdog.worker.places()) if planning.kinds(records) else None
    survey = watchdog.journal.survey(BUDGET_ENTRIES)
    guard = replace(watchdog.worker.apply.guard(survey.unknown), now=when)
    notes = ["mode is observe: nothing of it would be done, only told"] if watchdog.policy.mode == "observe" else []
    notes += [f"{place.project}/{place.region} ({place.kind}s) was not seen: {place.reason}" for place in (view.unseen if view else ())]
    resources = {resource.name: resource for resource in (view.resources if view else ())}
    return _Scene(watchdog, list(zip(due, records, strict=True)), resources, guard, planning.held_by(survey.entries), tuple(notes))


@dataclass
class _Scene:
    """What is there, as each stage would leave it to the next."""

    watchdog: Watchdog
    due: list[tuple[Step, StepRecord]]
    resources: dict[str, Resource]
    guard: planning.Guard
    held: dict[str, TargetRecord]
    notes: tuple[str, ...]
    _refused: list[tuple[Step, StepRecord]] = field(default_factory=list)

    def put_back(self, state: BudgetState) -> Iterator[Touch]:
        """What the end of the period puts back first; afterwards it is as it was before."""
        ended = {target.resource for key in state.claims.values() for target in self._parked(key)}
        for name in sorted(ended & self.held.keys()):
            target, live = self.held.pop(name), self.resources.get(name)
            changes = planning.changes_for(target)
            yield Touch(resource=name, action=target.use.action, does=changes.line(target.wanted, target.before), saving=Decimal(0))
            if live:
                self.resources[name] = replace(live, state=dict(target.before))

    def _parked(self, key: str) -> tuple[TargetRecord, ...]:
        kept = self.watchdog.journal.load(key)
        return kept.record.parked() if kept else ()

    def stages(self) -> Iterator[Stage]:
        """The steps in the order in which they would be carried out."""
        waits = sorted({step.wait for step, _ in self.due if not step.approve})
        for wait in waits:
            words = f"after {duration_text(wait)}, unless called off" if wait else AT_ONCE
            yield self._stage(words, [pair for pair in self.due if pair[0].wait == wait and not pair[0].approve])
        if asking := [pair for pair in self.due if pair[0].approve]:
            # Who says yes to an entry says it to all of it, to what a limit refused before too.
            yield self._stage("after a yes", [*self._refused, *asking])

    def _stage(self, when: str, due: Sequence[tuple[Step, StepRecord]]) -> Stage:
        records = [each for _, each in due]
        # With the first look the later steps are announced, too, so that all that they ask for is seen.
        kinds = planning.kinds(records if when != AT_ONCE else [each for _, each in self.due])
        seen = [resource for resource in self.resources.values() if resource.kind in kinds]
        plan = planning.make(records, seen, self.guard, self.held)
        keys = tuple(each.key for each in records)
        try:
            planning.raise_if_unsafe(plan, self.watchdog.policy.limits)
        except UnsafePlan as error:
            self._refused = [*self._refused, *due]
            return Stage(when=when, steps=keys, refused=str(error))
        if self.watchdog.policy.mode == "enforce":
            for target in plan.targets:
                self._carry_out(target)
        return Stage(
            when=when,
            steps=keys,
            touches=tuple(_touch(target) for target in plan.targets),
            untouched=tuple(Untouched(resource=each.resource, reason=each.reason) for each in plan.untouched),
            jobs=tuple(_jobs(records)),
        )

    def _carry_out(self, target: TargetRecord) -> None:
        live = self.resources[target.resource]
        made = dict(target.wanted)
        self.resources[target.resource] = replace(live, state=made)
        self.held[target.resource] = target.but(status="verified", wrote=made)


def _touch(target: TargetRecord) -> Touch:
    changes = planning.changes_for(target)
    return Touch(
        resource=target.resource,
        action=target.use.action,
        does=changes.line(target.found, target.wanted),
        saving=target.saving,
        remains="; ".join(target.remains),
    )


def _jobs(records: Sequence[StepRecord]) -> Iterator[str]:
    for use in (use for each in records for use in each.uses):
        works = registry()[use.action].works
        for bucket, prefix in works.extent(planning.params_of(use)) if works else ():
            yield f"{use.action} in gs://{bucket}/{prefix}"
