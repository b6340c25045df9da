"""One leased entry, carried as far as it goes: observe, plan, record, apply, report. The order of these five is what the journal's rules rest on."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from shared import plan as planning
from shared import report
from shared.actions import registry
from shared.apply import Applier, step_of, taken_over
from shared.braking import Braking
from shared.entry import Drift, Entry, StepRecord, TargetRecord, UnseenRecord, backoff, open_due_steps, pause
from shared.errors import UnsafePlan
from shared.journal import BUDGET_ENTRIES
from shared.model import BY_PROJECT, EVERYWHERE, Place, Resource
from shared.objects.job import Job, step_key
from shared.observe import View, observe
from shared.report.letter import Letter
from shared.session import Session
from shared.slack.outbox import Outbox, write

log = logging.getLogger(__name__)

DRIFT_EVERY = timedelta(minutes=15)
TELL_DRIFT_EVERY = timedelta(days=1)
REPARKS = 3
"""How often one resource is parked again after it came back; whoever brings it back more often than that means it."""
PAUSE = timedelta(minutes=15)
"""How long an entry waits before it looks again whether changes are allowed."""


@dataclass(frozen=True, slots=True)
class Worker:
    """What it takes to work on entries.

    Attributes:
        apply: The hands that change resources.
        braking: Asked before anything is planned to be changed.
    """

    apply: Applier
    braking: Braking

    def forward(self, session: Session) -> bool:
        """Carry the entry on; the answer is whether all that is due was done before the deadline.

        Raises:
            Conflict: The lease was lost; what was done is found again from the live resources.
            Unavailable: The state bucket does not answer.
            JournalError: What was written does not read back.
        """
        finished = self.apply.put_back(session)
        preview: tuple[TargetRecord, ...] = ()
        if why := self._held_back(session.entry):
            labels = {"labels": {"entry": session.entry.key}}
            log.warning("%s: %s, so nothing more of it is carried out", session.entry.key, why, extra=labels)
            session.put(pause(session.entry, self.apply.world.clock.now() + PAUSE))
        else:
            session.put(open_due_steps(session.entry, self.apply.world.clock.now()))
            preview = self._plan_open_steps(session)
            self._look_at_unseen(session)
            finished = self.apply.park(session, {}) and finished
            self._look_for_drift(session)
            finished = self.apply.park(session, {}) and finished
        if finished:
            self._tell(session, preview)
        Outbox(self.apply.world, self.apply.policy, session).deliver()
        return finished

    def _held_back(self, entry: Entry) -> str:
        """Why nothing of it may be changed now; empty where it may, or where nothing is to be."""
        if entry.mode != "enforce":
            return ""
        if self.apply.policy.mode == "observe":
            return "the mode is observe now"
        opened = open_due_steps(entry, self.apply.world.clock.now())
        due = any(step.state == "open" for step in opened.steps) or any(target.status in ("intended", "failed") for target in entry.targets)
        return "the brake is on" if due and self.braking.on("resources") else ""

    def _may_change(self, entry: Entry, parts: Iterable[str], count: int) -> bool:
        """Whether the brake lets so many resources be changed; each part is named so that it is asked for once, and again only where it was not recorded."""
        return self.braking.reserve("resources", entry.key, tuple(parts), count)

    # observe, plan, record

    def places(self) -> list[Place]:
        """The projects and regions of the policy, and each project as a whole for what is listed so."""
        projects = self.apply.policy.scope.projects or (self.apply.itself[0],)
        return [Place(project, region) for project in projects for region in (*self.apply.policy.scope.regions, EVERYWHERE)]

    def look(self, steps: Iterable[StepRecord], places: Iterable[Place], session: Session | None = None) -> View:
        """All resources that the steps may mean, with the details of those that they select."""
        selectors = [planning.params_of(use).select for step in steps for use in step.uses if planning.changes_of(use)]
        return observe(
            self.apply.world, planning.kinds(steps), list(places),
            wanted=lambda resource: any(each.matches(resource) for each in selectors), glance=session.glance if session else None,
        )  # fmt: skip

    def _plan_open_steps(self, session: Session) -> tuple[TargetRecord, ...]:
        """Plan the open steps and apply the plan; the answer is what the steps that are not open yet would touch now."""
        entry, now = session.entry, self.apply.world.clock.now()
        opened = [step for step in entry.steps if step.state == "open"]
        later = [step for step in entry.steps if step.state in ("waiting", "approval") and not step.told]
        if not opened and not later:
            return ()
        view = self.look([*opened, *later], self.places(), session) if planning.kinds([*opened, *later]) else View((), ())
        others, unknown = self.apply.survey(session)
        guard, held = self.apply.guard(unknown), planning.held_by([*others, entry])
        plan = planning.make(opened, view.resources, guard, held)
        preview = planning.make(later, view.resources, guard, held).targets
        try:
            planning.raise_if_unsafe(plan, self.apply.policy.limits)
        except UnsafePlan as error:
            log.error("%s: refused: %s", entry.key, error, extra={"labels": {"entry": entry.key}})  # noqa: TRY400  # the sentence says it all
            session.put(_with_steps(entry, opened, state="refused", told=True))
            self._write(session, report.refused(session.entry, sentence=str(error), now=now), broadcast=True)
            session.save()
            return preview
        if entry.mode == "enforce" and not self._may_change(entry, (step.key for step in opened), len(plan.targets)):
            session.put(pause(entry, now + PAUSE))
            return preview
        targets = plan.targets if entry.mode == "enforce" else tuple(target.but(status="rehearsed") for target in plan.targets)
        entry = entry.but(begun=(*entry.begun, *self._begin(entry, opened)))
        if opened:
            entry = _with_steps(entry, opened, state="planned", told=False).with_targets(targets).but(untouched=plan.untouched)
        session.put(entry.but(unseen=view.unseen if opened else entry.unseen))
        session.save(confirm=True)
        seen = {resource.name: resource for resource in view.resources}
        log.info("%s: %d to change, %d not touched", entry.key, len(targets), len(plan.untouched), extra={"labels": {"entry": entry.key}})
        self.apply.park(session, seen)
        return preview

    def would_change(self, entry: Entry) -> tuple[TargetRecord, ...]:
        """What the steps that are still to come would change now; nothing is recorded."""
        later = [step for step in entry.steps if step.state in ("waiting", "approval", "refused")]
        if not planning.kinds(later):
            return ()
        survey = self.apply.journal.survey(BUDGET_ENTRIES)
        return planning.make(
            later, self.look(later, self.places()).resources, self.apply.guard(survey.unknown), planning.held_by(survey.entries)
        ).targets

    def _begin(self, entry: Entry, steps: Iterable[StepRecord]) -> tuple[str, ...]:
        """Record what the steps do to objects as entries of their own, before the steps count as carried out; the tick takes them up."""
        now, keys = self.apply.world.clock.now(), []
        for use in (use for step in steps for use in step.uses):
            works = registry()[use.action].works
            for bucket, prefix in works.extent(planning.params_of(use)) if works else ():
                job = Job(action=use.action, bucket=bucket, prefix=prefix, params=use.params)
                key = step_key(job, entry.key)
                if not self.apply.journal.was_closed(key):
                    self.apply.journal.create(Entry(key=key, created=now, mode=entry.mode, job=job), now)
                keys.append(key)
        return tuple(key for key in keys if key not in entry.begun)

    def _look_at_unseen(self, session: Session) -> None:
        """Look again at the places that did not answer, and plan what is there."""
        entry, now = session.entry, self.apply.world.clock.now()
        due = [place for place in entry.unseen if place.retry_at <= now]
        if not due:
            return
        steps = [step for step in entry.steps if step.state == "planned"]
        unseen = [place for place in entry.unseen if place not in due]
        fresh: list[Resource] = []
        for place in due:
            view = self.look(_only(steps, place.kind), [Place(place.project, place.region)], session)
            fresh.extend(view.resources)
            unseen.extend(_still_unseen(place, again) for again in view.unseen)
        known = {target.resource for target in entry.targets}
        others, unknown = self.apply.survey(session)
        plan = planning.make(steps, [each for each in fresh if each.name not in known], self.apply.guard(unknown), planning.held_by(others))
        session.put(entry.but(unseen=tuple(unseen)))
        try:
            planning.raise_if_unsafe(
                planning.Plan((*entry.targets, *plan.targets), (), len(entry.targets) + len(entry.untouched) + plan.seen),
                self.apply.policy.limits,
            )
        except UnsafePlan as error:
            self._write(session, report.refused(session.entry, sentence=str(error), now=now), broadcast=True)
            session.save()
            return
        looks = (f"{place.kind} in {place.project} {place.region}, look {place.attempts}" for place in due)
        if entry.mode == "enforce" and not self._may_change(entry, looks, len(plan.targets)):
            session.put(pause(entry, now + PAUSE))
            return
        targets = plan.targets if entry.mode == "enforce" else tuple(target.but(status="rehearsed") for target in plan.targets)
        untouched = {record.resource: record for record in (*entry.untouched, *plan.untouched)}
        session.put(session.entry.with_targets(targets).but(untouched=tuple(untouched.values())))
        session.save(confirm=True)
        self.apply.park(session, {resource.name: resource for resource in fresh})

    def _look_for_drift(self, session: Session) -> None:
        """See whether what is parked still is, and plan anew what came back where the policy says so."""
        entry, now = session.entry, self.apply.world.clock.now()
        parked = {target.resource: target for target in entry.targets if target.status == "verified"}
        if not parked or (entry.look_at and entry.look_at > now):
            return
        if entry.look_at is None:
            session.put(entry.but(look_at=now + DRIFT_EVERY))
            return
        places = sorted({_looked_for(target) for target in parked.values()}, key=str)
        view = observe(self.apply.world, {target.kind for target in parked.values()}, places, wanted=lambda _: False, glance=session.glance)
        live = {resource.name: resource for resource in view.resources}
        blind = {(unseen.kind, unseen.project, unseen.region) for unseen in view.unseen}
        if not all(target.resource in live and planning.reached(target, live[target.resource]) for target in parked.values()):
            # Only now, since it reads every open entry: what another one took over is its to look after.
            others, _ = self.apply.survey(session)
            over = taken_over(entry, others)
            parked = {name: target for name, target in parked.items() if name not in over}
        came_back = []
        for target in parked.values():
            resource = live.get(target.resource)
            if resource is None:
                if (target.kind, target.place.project, _looked_for(target).region) not in blind:
                    session.result(target.but(status="left", reason="was deleted meanwhile"))
            elif planning.reached(target, resource):
                session.result(target.but(drift=None))
            elif target.drift is None or target.drift.state != resource.state:
                came_back.append(target.but(drift=Drift(by=resource.last_modifier, state=dict(resource.state), seen_at=now)))
        session.put(session.entry.but(look_at=now + DRIFT_EVERY))
        if came_back:
            self._answer_drift(session, came_back, live)

    def _answer_drift(self, session: Session, came_back: list[TargetRecord], live: dict[str, Resource]) -> None:
        """Park again where the policy says so and nothing speaks against it; tell of each resource once a day, and of what really happens."""
        now, guard = self.apply.world.clock.now(), self.apply.guard()
        told: dict[bool, list[TargetRecord]] = {True: [], False: []}
        for target in came_back:
            extra = {"labels": {"entry": session.entry.key, "service": target.short_name}}
            log.warning("%s came back: changed by %s", target.resource, target.drift and target.drift.by, extra=extra)
            recorded = self._parked_again(session, target, live[target.resource], guard)
            if target.drift_told_at is None or now - target.drift_told_at >= TELL_DRIFT_EVERY:
                told[recorded.status == "intended"].append(target.but(reason=recorded.reason))
                recorded = recorded.but(drift_told_at=now, told="skipped" if recorded.status == "skipped" else recorded.told)
            session.result(recorded)
        for reparked, targets in told.items():
            for channel, mine in _by_channel(targets).items():
                self._write(session, report.drifted(session.entry, targets=mine, reparked=reparked, now=now), channel)
        session.save(confirm=True)

    def _parked_again(self, session: Session, target: TargetRecord, live: Resource, guard: planning.Guard) -> TargetRecord:
        """The plan to park it again, or its record with the reason why it is left; none is needed where the policy only has it told."""
        if self.apply.policy.on_drift == "report":
            return target.but(reason="")
        if target.reparks >= REPARKS:
            return target.but(reason=f"not parked again, since that was in vain {REPARKS} times")
        planned = planning.again(target, step_of(session.entry, target), live, guard, None)
        if planned.status != "intended":
            return planned
        if not self._may_change(session.entry, (f"{target.resource}, again {target.reparks}",), 1):
            return target.but(drift=None, reason="not parked again as long as the brake is on")  # it is looked at again
        return planned.but(reparks=target.reparks + 1)

    # report

    def _tell(self, session: Session, preview: tuple[TargetRecord, ...]) -> None:
        """Write the messages that are owed, in the same save that marks what they speak of as told."""
        entry = session.entry
        news = entry.news()
        put_back = [target for target in news if target.status in ("restoring", "restored", "left")]
        called_off = [step for step in entry.steps if step.state == "cancelled" and not step.told]
        reached = [step for step in entry.steps if step.state in ("planned", "waiting", "approval") and not step.told]
        done = [target for target in news if target not in put_back]
        if not (news or called_off or reached):
            return
        for channel, mine in _by_channel([*news, *(preview if reached else ())], always=bool(called_off or reached)).items():
            self._tell_channel(
                session, channel,
                put_back=[target for target in put_back if target in mine], done=[target for target in done if target in mine],
                called_off=called_off if not channel else [], reached=reached, preview=[target for target in preview if target in mine],
            )  # fmt: skip
        told = session.entry.with_targets(target.but(told=target.status) for target in news)
        session.put(_with_steps(told, (step for step in told.steps if step.state != "open"), told=True))
        session.save()

    def _tell_channel(
        self, session: Session, channel: str, *, put_back: list[TargetRecord], called_off: list[StepRecord], reached: list[StepRecord],
        done: list[TargetRecord], preview: list[TargetRecord],
    ) -> None:  # fmt: skip
        """Write what one channel is owed; that of the policy, which is named by nothing, is told of the plan as a whole."""
        entry, now = session.entry, self.apply.world.clock.now()
        failed = any(target.status == "failed" or (target.status == "restoring" and target.reason) for target in (*put_back, *done))
        if put_back or called_off:
            asked = {*(target.undo_by for target in put_back), *(step.decided_by for step in called_off)} - {""}
            by = entry.undo.by if entry.undo else ", ".join(sorted(asked))
            told = entry if not channel else entry.but(steps=())
            self._write(session, report.restored(told, targets=put_back, by=by, now=now), channel, broadcast=failed, panel=failed)
        if reached:
            asks = any(step.state in ("waiting", "approval") for step in reached)
            elsewhere = (
                Counter(target.channel for target in (*entry.news(), *preview) if target.channel != channel) if not channel else Counter()
            )
            letter = report.reached(
                entry if not channel else entry.but(untouched=(), unseen=(), begun=()),
                carried_out=done,
                preview=preview,
                elsewhere=elsewhere,
                now=now,
            )
            self._write(session, letter, channel, broadcast=asks or failed)
        elif done:
            self._write(session, report.followed_up(entry, targets=done, now=now), channel, broadcast=failed)

    def _write(self, session: Session, letter: Letter, channel: str = "", *, broadcast: bool = False, panel: bool = True) -> None:
        write(
            session, letter, channel or self.apply.policy.slack.channel, self.apply.world.clock.now(),
            panel=("part" if channel else "whole") if panel else "", broadcast=broadcast,
        )  # fmt: skip


def _by_channel(targets: Iterable[TargetRecord], *, always: bool = False) -> dict[str, list[TargetRecord]]:
    """The targets by the channel in which their owners are told of them, the policy's channel first; `always` also where none is its own."""
    found: dict[str, list[TargetRecord]] = {"": []} if always else {}
    for target in sorted(targets, key=lambda target: target.channel):
        found.setdefault(target.channel, []).append(target)
    return found


def _with_steps(entry: Entry, steps: Iterable[StepRecord], **changes: object) -> Entry:
    keys = {step.key for step in steps}
    return entry.but(steps=tuple(step.but(**changes) if step.key in keys else step for step in entry.steps))


def _looked_for(target: TargetRecord) -> Place:
    return Place(target.place.project, EVERYWHERE) if target.kind in BY_PROJECT else target.place


def _only(steps: Iterable[StepRecord], kind: str) -> list[StepRecord]:
    """The steps with only those of their actions that ask for this kind."""
    return [
        step.but(uses=tuple(use for use in step.uses if (changes := planning.changes_of(use)) and changes.kind == kind)) for step in steps
    ]


def _still_unseen(before: UnseenRecord, again: UnseenRecord) -> UnseenRecord:
    attempts = before.attempts + 1
    return again.but(attempts=attempts, retry_at=again.retry_at + backoff(attempts) - backoff(1))
