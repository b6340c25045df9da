"""The one loop: a trigger becomes an entry, and an entry is carried on until nothing of it is left to do."""

from __future__ import annotations

import hashlib
import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Literal

from shared import report
from shared.apply import Applier
from shared.brake import Stop, notice
from shared.braking import Braking
from shared.entry import Entry, Lease, MessageRecord
from shared.errors import CloudError, Conflict, EventRejected, Gone, JournalError, Refused, Unavailable
from shared.journal import Journal, Kept
from shared.ladder import Ladder
from shared.lookout import Lookout
from shared.model import BudgetNotification, ObjectWritten
from shared.objects.clean import Cleaner
from shared.objects.duty import duty_of
from shared.objects.job import Job, Sign, parts_of, run_key
from shared.objects.runs import LIMIT as STATUS_LIMIT
from shared.objects.runs import Suspect, says
from shared.objects.sweep import Sweeper
from shared.objects.verdict import LeftAlone
from shared.pace import Pacer
from shared.policy.policy import BudgetRule, Policy
from shared.ports import World
from shared.report import brake as report_brake
from shared.report.letter import Letter
from shared.self_test import SelfTest
from shared.session import LEASE, Session
from shared.slack.threads import Threads
from shared.work import Worker

log = logging.getLogger(__name__)

TRIES = 20
"""How often a write to the journal is tried anew when somebody else was quicker."""

What = Literal["status", "stale", "older period", "busy", "closed", "carried on", "unfinished", "noticed", "known", "no sign"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a trigger.

    Attributes:
        what: In a word.
        entry: The key of the entry concerned, if any.
    """

    what: What
    entry: str = ""


@dataclass(frozen=True)
class Watchdog:
    """One invocation's worth of the watchdog.

    Attributes:
        world: The ports.
        policy: The policy in force.
        project: The watchdog's own project.
        service: The name of the Cloud Run service it runs on; empty elsewhere.
        time_budget: After so long nothing new is begun, and the tasks topic carries on.
        pacer: The quota; to be shared by all invocations of a process.
    """

    world: World
    policy: Policy
    project: str
    service: str = ""
    time_budget: timedelta = timedelta(seconds=240)
    pacer: Pacer = field(default_factory=Pacer)

    @cached_property
    def journal(self) -> Journal:
        """The journal in the state bucket."""
        return Journal(self.world.state)

    @cached_property
    def deadline(self) -> float:
        """When nothing new is begun any more, on the clock's monotonic scale; the time begins to run when it is first needed."""
        return self.world.clock.monotonic() + self.time_budget.total_seconds()

    @cached_property
    def worker(self) -> Worker:
        """The hands for what runs."""
        return Worker(Applier(self.world, self.policy, (self.project, self.service), self.deadline, self.pacer), self.braking)

    @cached_property
    def braking(self) -> Braking:
        """Asked before anything is changed."""
        return Braking(self.journal, self.world.clock, self.policy.limits.per_hour, self._braked)

    @cached_property
    def ladder(self) -> Ladder:
        """The steps of all budgets."""
        return Ladder(self.journal, self.policy, self.world.clock, self.owner, self.unreadable)

    @property
    def threads(self) -> Threads:
        """Where the headlines of budgets stand in Slack."""
        return Threads(self.world, self.policy, self.owner)

    @cached_property
    def owner(self) -> str:
        """This invocation's name in leases."""
        return uuid.uuid4().hex

    # triggers

    def respond(self, notification: BudgetNotification) -> list[Outcome]:
        """Act on a budget message: carry out the steps that it newly reaches, and put back what an ended period parked.

        Raises:
            EventRejected: The message is foreign: of an account or a budget that the policy does not name, or of a period that has not begun. What an
                ended period of such a budget left parked is put back all the same.
            Unavailable: Something did not answer; the same message can be handled again.
            JournalError: What is known of this budget cannot be read.
        """
        foreign, rule = self.ladder.foreign(notification), self.policy.rule_for(notification)
        for _ in range(TRIES):
            try:
                outcomes = self._respond(notification, None if foreign else rule)
                if foreign:
                    raise foreign
                return outcomes
            except Conflict as conflict:
                log.info("the journal was written by somebody else meanwhile; looking again: %s", conflict)
        raise Unavailable("others write to the journal all the time; the message will be handled when it comes again")

    def _respond(self, notification: BudgetNotification, rule: BudgetRule | None) -> list[Outcome]:
        rung = self.ladder.meet(notification, rule)
        if rung is None:
            return []
        if not rung.current:
            return [Outcome(rung.what, rung.busy)]
        outcomes = self.carry_on_all(rung.ended)
        if rung.session:
            outcomes.append(self._forward_or_leave(rung.session))
        outcomes.extend(outcome for key in rung.others for outcome in self._carry_on(key, look=not rung.again))
        if rule:
            self.threads.hear(notification, rung.burn)
        return outcomes or [Outcome(rung.what)]

    def reject(self, error: EventRejected) -> None:
        """Say once a day for each kind that a message was not acted upon."""
        day = self.world.clock.now()
        log.warning("message not acted upon (%s): %s", error.kind, error, extra={"labels": {"kind": error.kind}})
        self.say_once(f"notice-{day:%Y%m%d}-{error.kind}", report.rejected(kind=error.kind, detail=str(error), now=day))

    def unreadable(self, error: JournalError) -> None:
        """Say once that an object of the journal cannot be read and is left alone."""
        log.error("%s", error)
        digest = hashlib.sha256(str(error).encode()).hexdigest()[:10]
        self.say_once(f"notice-unreadable-{digest}", report.unreadable(name=error.name, detail=str(error), now=self.world.clock.now()))

    def resume(self, key: str, *, look: bool = False) -> Outcome:
        """Carry an entry on, wherever it stopped.

        Args:
            key: The entry's key.
            look: See now whether what it parked still is.

        Raises:
            Unavailable: Something did not answer; it can be carried on again.
            JournalError: The entry cannot be read.
        """
        try:
            kept = self.journal.load(key)
            if kept is None:
                return Outcome("closed", key)
            if look and kept.record.look_at:
                kept = Kept(kept.record.but(look_at=self.world.clock.now()), kept.generation)
            session = Session.open(self.journal, self.world.clock, self.owner, kept)
            if session is None:
                return Outcome("busy", key)
            if not self.ladder.sure_of_claim(session) or self._was_said(session.entry):
                session.discard()
                return Outcome("closed", key)
            return self._forward(session)
        except Conflict as conflict:
            log.info("%s: somebody else took it up: %s", key, conflict)
            return Outcome("busy", key)

    def _was_said(self, entry: Entry) -> bool:
        """Whether it is a notice that was settled before, and recorded anew by a worker that died before it saw that."""
        return entry.notification is None and entry.job is None and self.journal.was_closed(entry.key)

    def tick(self) -> list[Outcome]:
        """Carry on whatever is due, and say what could not be carried on; nothing that fails stops the rest."""
        outcomes = []
        for key in self.journal.agenda(self.world.clock.now()):
            if self.world.clock.monotonic() >= self.deadline:
                break
            outcomes.extend(self._carry_on(key))
        Lookout(self.world, self.policy, self.project, self.say_once, self.unreadable).look()
        SelfTest(self.world, self.policy, self.project, self.service, self.unreadable).test()
        Sweeper(self.world, self.policy, self.deadline, self._abandoned, self.unreadable).sweep()
        return outcomes

    def notice(self, written: ObjectWritten, suspect: Suspect) -> Outcome:
        """Record that a run has failed, if the object says so; what comes of it is left to the next tick, which looks at the run.

        Args:
            written: The object.
            suspect: The run that it lies in, and the sign that it may be.

        Raises:
            Unavailable: Something did not answer; the same notice can be handled again.
            Denied: The object may not be read; the same notice can be handled once it may.
            EventRejected: The object cannot be read.
        """
        condition = suspect.condition
        words: str | None = f"{condition.object} is there"
        if condition.has:
            try:
                content = self.world.objects.read(written.bucket, written.name, generation=written.generation, limit=STATUS_LIMIT)
            except Gone:
                return Outcome("no sign")  # it was written anew, and that has a notice of its own
            except Refused as error:
                raise EventRejected(
                    "status-unreadable", f"whether a run has failed is not known, since its status file cannot be read: {error}"
                ) from error
            words = says(condition, content)
        if words is None:
            return Outcome("no sign")
        sign = Sign(object=written.name, generation=written.generation, at=written.created, words=words)
        return self._found(
            Job(action="delete_run", bucket=written.bucket, prefix=suspect.prefix, rule=suspect.rule.runs, occasion="failed", sign=sign)
        )

    # objects

    def _found(self, job: Job) -> Outcome:
        """Record a run that is to go, once for its sign."""
        now = self.world.clock.now()
        key = run_key(job, observe=self.policy.mode == "observe")
        if self.journal.was_closed(key):
            return Outcome("known", key)
        created = self.journal.create(Entry(key=key, created=now, mode=self.policy.mode, job=job), now)
        log.info("%s: gs://%s/%s %s", key, job.bucket, job.prefix, job.occasion, extra={"labels": {"entry": key, "bucket": job.bucket}})
        return Outcome("noticed" if created else "known", key)

    def _abandoned(self, job: Job) -> None:
        """Record a run that was found abandoned, unless a look at its status says that it is none, or has succeeded."""
        try:
            duty_of(job, self.policy, self.world.objects).check()
        except LeftAlone as verdict:
            log.debug("gs://%s/%s: %s", job.bucket, job.prefix, verdict)
            return
        self._found(job)

    @cached_property
    def cleaner(self) -> Cleaner:
        """The hands for objects."""
        return Cleaner(self.world, self.policy, self.project, self.deadline, self.braking)

    # entries

    def carry_on_all(self, keys: Sequence[str]) -> list[Outcome]:
        """Carry on several entries, and once more those that are not done: one may have waited for another that came after it."""
        outcomes = {key: outcome for key in keys for outcome in self._carry_on(key)}
        outcomes.update({key: outcome for key, first in outcomes.items() if first.what == "carried on" for outcome in self._carry_on(key)})
        return list(outcomes.values())

    def _carry_on(self, key: str, *, look: bool = False) -> list[Outcome]:
        """Carry one entry of several on; whatever is wrong with it is said, and hides no other."""
        labels = {"labels": {"entry": key}}
        try:
            return [self.resume(key, look=look)]
        except JournalError as error:
            self.unreadable(error)
        except CloudError as error:
            log.warning("%s could not be carried on and will be tried at the next tick: %s", key, error, extra=labels)
        except Exception:  # a fault in one entry, or in our own code for it, must not keep the others parked
            log.exception(
                "%s could not be carried on because of a fault in the watchdog; it is tried again at the next tick", key, extra=labels
            )
        return []

    def _forward_or_leave(self, session: Session) -> Outcome:
        """The claim stands, so a lost lease only means that somebody else goes on."""
        try:
            return self._forward(session)
        except Conflict as conflict:
            log.info("%s: somebody else took it up: %s", session.entry.key, conflict)
            return Outcome("busy", session.entry.key)

    def _forward(self, session: Session) -> Outcome:
        key = session.entry.key
        job = session.entry.job
        finished = (self.cleaner if job else self.worker).forward(session)
        if session.release():
            if job and job.parent and not self.journal.keys(parts_of(job.parent)):
                self._ask_to_go_on(job.parent)
            return Outcome("closed", key)
        if finished:
            return Outcome("carried on", key)
        self._ask_to_go_on(key)
        return Outcome("unfinished", key)

    def _ask_to_go_on(self, key: str) -> None:
        if self.world.tasks:
            try:
                self.world.tasks.resume(key)
            except CloudError as error:
                log.warning(
                    "%s: the tasks topic did not take the rest, so the next tick goes on: %s", key, error, extra={"labels": {"entry": key}}
                )

    def _braked(self, stop: Stop) -> None:
        now = self.world.clock.now()
        self.say_once(notice(stop, now), report_brake.on(stop, now), panel=True)

    def say_once(self, key: str, letter: Letter, channel: str = "", *, panel: bool = False) -> None:
        """A message that belongs to no plan, sent once for its key; to the policy's channel where none is named, with buttons where it has any."""
        now = self.world.clock.now()
        message = MessageRecord(
            id=f"{key}/1",
            channel=channel or self.policy.slack.channel,
            text=letter.text,
            blocks=letter.blocks,
            created=now,
            panel="whole" if panel else "",
        )
        created = self.journal.create(
            Entry(key=key, created=now, messages=(message,), lease=Lease(owner=self.owner, until=now + LEASE)), now
        )
        if created:
            session = Session(self.journal, self.world.clock, self.owner, created)
            session.fresh_messages.add(message.id)
            self._forward_or_leave(session)
