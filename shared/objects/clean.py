"""One leased entry that is about objects, carried as far as it goes: look, wait, look again, write down, change, tell; and all of it back."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.brake import Kind
from shared.braking import Braking
from shared.entry import backoff
from shared.errors import CloudError, Denied, Gone, JournalError, Refused, Unavailable, UnsafePlan
from shared.journal import Journal
from shared.model import BucketFacts, StorageObject
from shared.objects.daily import DailyLimits
from shared.objects.duty import Duty, compression_of, duty_of, protection, undo_of
from shared.objects.in_hand import job_of, labels, put, unhindered
from shared.objects.job import CAN_BE_CALLED_OFF, ENDED, Bucket, Job, Sign, Stage, afresh, parts_of, siblings
from shared.objects.ledger import raise_if_too_large
from shared.objects.look import PORTION, Look
from shared.objects.parts import LOOK_AT_PARTS, Parts
from shared.objects.portions import GIVE_UP, QUIET_ATTEMPTS, Portions, changed, put_back
from shared.objects.verdict import LeftAlone, SignGone
from shared.policy.policy import Policy
from shared.ports import Answer, World
from shared.report import jobs as report
from shared.report.letter import Letter
from shared.session import Session
from shared.slack.outbox import Outbox, write

log = logging.getLogger(__name__)

PAUSE = timedelta(minutes=15)
"""How long an entry waits before it looks again whether changes are allowed."""
CLOCKS_DIFFER = timedelta(minutes=5)
STALE = timedelta(hours=1)
"""A plan that could not be carried out for so long is made anew."""
TOO_OLD = "it was planned too long ago"
NONCURRENT_FOR = timedelta(days=7)
"""Where there is no soft delete, and noncurrent versions or compressed objects to undo it from: how long an entry stays open for that."""


@dataclass(frozen=True, slots=True)
class Cleaner:
    """What it takes to work on objects.

    Attributes:
        world: The ports.
        policy: The policy in force.
        project: The watchdog's own project.
        deadline: On the clock's monotonic scale; nothing is begun after it.
        braking: Asked before anything is changed.
        portion: Objects in one manifest.
    """

    world: World
    policy: Policy
    project: str
    deadline: float
    braking: Braking
    portion: int = PORTION

    @property
    def journal(self) -> Journal:
        """The journal in the state bucket."""
        return Journal(self.world.state)

    @property
    def _parts(self) -> Parts:
        return Parts(self.world, self.journal)

    @property
    def _portions(self) -> Portions:
        return Portions(self.world, self.journal, self.deadline)

    def forward(self, session: Session) -> bool:
        """Carry the entry on; the answer is whether all that is due was done before the deadline.

        Raises:
            Conflict: The lease was lost; what was done is found again.
            Unavailable: The state bucket does not answer.
            JournalError: A manifest is damaged, or what was written does not read back.
        """
        finished = self._go_on(session)
        if finished:
            self._tell(session)
        Outbox(self.world, self.policy, session).deliver()
        return finished

    def _go_on(self, session: Session) -> bool:
        stages: dict[Stage, Callable[[Session], bool]] = {
            "noticed": self._first_look,
            "waiting": self._wait_is_over,
            "planning": self._second_look,
            "working": self._work,
            "undoing": self._undo,
        }
        parts_may_be_done = job_of(session).stage == "working" and not job_of(session).attempts
        while (job := job_of(session)).stage in stages:
            now = self.world.clock.now()
            if job.due_at and job.due_at > now and not parts_may_be_done:
                return True
            parts_may_be_done = False
            if job.parent and (why := self._parts.stopped(job.parent) or (TOO_OLD if job.stage == "working" and _stale(job, now) else "")):
                self._leave(session, why)
                return True
            if why := self._held_back(session):
                log.warning("%s: %s, so nothing more of it is carried out", session.entry.key, why, extra=labels(session))
                put(session, self._put_off(job).but(due_at=now + PAUSE))
                return True
            try:
                if not stages[job.stage](session):
                    session.save()
                    return False
            except LeftAlone as verdict:
                self._leave(session, str(verdict))
            except UnsafePlan as error:
                log.error("%s: refused: %s", session.entry.key, error, extra=labels(session))  # noqa: TRY400  # the sentence says it all
                if job_of(session).begun:
                    self._leave(session, str(error))
                    continue
                stage: Stage = "refused" if session.entry.mode == "enforce" else "rehearsed"  # nobody can approve a dry run
                put(session, job_of(session).but(stage=stage, reason=str(error), portions=(), after="", due_at=None))
            except JournalError as error:
                if job_of(session).stage == "working":
                    # The plan does not read back as it was written, so nothing is changed on its word.
                    put(session, afresh(job_of(session)))
                    session.save()
                    raise
                self._stumble(session, error)
            except CloudError as error:
                self._stumble(session, error)
        return True

    def _held_back(self, session: Session) -> str:
        """Why nothing of it may be changed now; empty where it may, or is being put back."""
        stage = job_of(session).stage
        if session.entry.mode != "enforce" or stage == "undoing":
            return ""
        if self.policy.mode == "observe":
            return "the mode is observe now"
        return "the brake is on" if stage in ("planning", "working") and self.braking.on(_kind(job_of(session))) else ""

    def _put_off(self, job: Job) -> Job:
        """What was not begun is looked at anew afterwards; what nobody may carry out is announced anew, too, when somebody may again."""
        if job.begun or job.stage not in ("waiting", "planning"):
            return job
        return afresh(job).but(stage="noticed", told="noticed") if self.policy.mode == "observe" else afresh(job)

    def _duty(self, session: Session) -> Duty:
        return duty_of(job_of(session), self.policy, self.world.objects)

    # look, wait, look again

    def _first_look(self, session: Session) -> bool:
        if self.journal.was_closed(session.entry.key):
            raise LeftAlone("it was settled before, and recorded anew by a worker that was late")
        duty = self._duty(session)
        self._make_way(session)
        if not duty.wait and session.entry.mode == "enforce":
            put(session, afresh(job_of(session)))  # nobody has time to call it off, so one look is enough
            return True
        job, seen = self._look(session, duty, record=False)
        put(session, job)
        if not seen:
            return False
        self._raise_if_nothing(job)
        raise_if_too_large(job, duty.limits)
        observe = session.entry.mode == "observe"
        if observe:
            duty.reserve(session.entry.key, job, DailyLimits(self.world, self.journal))
        due = None if observe else self.world.clock.now() + duty.wait
        put(session, unhindered(job).but(stage="rehearsed" if observe else "waiting", due_at=due, after=""))
        return True

    def _wait_is_over(self, session: Session) -> bool:
        """Whoever was told late has as long to call it off; as long as nobody could be told, it waits."""
        job, now = job_of(session), self.world.clock.now()
        wait = self._duty(session).wait
        late = [
            message for message in session.entry.messages if message.sent_at is None or message.sent_at - message.created > CLOCKS_DIFFER
        ]
        due = max((message.sent_at + wait if message.sent_at else now + PAUSE for message in late), default=now)
        put(session, afresh(job) if due <= now else job.but(due_at=due))
        return True

    def _second_look(self, session: Session) -> bool:
        duty = self._duty(session)
        self._make_way(session)
        job, seen = self._look(session, duty, record=True)
        put(session, job)
        if not seen:
            return False
        self._raise_if_nothing(job)
        if not job.approved_by:
            raise_if_too_large(job, duty.limits)
        daily, now = DailyLimits(self.world, self.journal), self.world.clock.now()
        duty.reserve(session.entry.key, job, daily)
        if not self.braking.reserve(_kind(job), session.entry.key, ("objects",), 1):
            if not job.begun:
                duty.give_back(session.entry.key, job, daily)
            put(session, self._put_off(job).but(due_at=now + PAUSE))
            return True
        until = _undo_until(job, now, duty)
        put(session, unhindered(job).but(stage="working", after="", undo_until=until, planned_at=now, tries=job.tries, due_at=None))
        session.save(confirm=True)
        log.info("%s: %d objects to change", session.entry.key, job.tally.objects, extra=labels(session))
        return True

    def _look(self, session: Session, duty: Duty, *, record: bool) -> tuple[Job, bool]:
        job, now = job_of(session), self.world.clock.now()
        sign, facts = duty.check(), self._facts(job, duty)
        look = Look(
            job.but(sign=sign, seen=Bucket.seen(facts), channel=self.policy.slack.route(facts.labels)), duty, self.world.objects, now, self.journal.keep_manifest if record else None,
            self.journal.manifests(session.entry.key), self.portion,
        )  # fmt: skip
        seen = look.go(lambda: self.world.clock.monotonic() >= self.deadline, session.glance)
        return look.job, seen

    def _facts(self, job: Job, duty: Duty) -> BucketFacts:
        """The bucket, which has to be fit for it."""
        try:
            facts = self.world.objects.facts(job.bucket)
        except Gone as error:
            raise LeftAlone(f"there is no bucket gs://{job.bucket}") from error
        if reason := protection(self.policy, facts, self.project):
            raise LeftAlone(f"gs://{job.bucket} is {reason}")
        if duty.require_soft_delete and not facts.soft_delete:
            raise LeftAlone(
                f"gs://{job.bucket} has no soft delete, so nothing could be undone (`require_soft_delete` in the policy); "
                f"switch it on with: gcloud storage buckets update gs://{job.bucket} --soft-delete-duration=7d"
            )
        return facts

    def _raise_if_nothing(self, job: Job) -> None:
        if not job.tally.objects:
            kept = f", and {job.tally.kept:,} other objects are kept" if job.tally.kept else ""
            raise LeftAlone(f"no object of it is to be changed{kept}")

    def _make_way(self, session: Session) -> None:
        """One run may give several signs of one failure: the last of them is waited for, and the others step aside.

        A sign that was only put back with the run that it lies in, when a person undid its deletion, is none.
        """
        job, key = job_of(session), session.entry.key
        if job.sign is None:
            return
        for other in self.journal.keys(siblings(key)):
            kept = self.journal.load(other) if other != key else None
            theirs = kept.record.job if kept else None
            if theirs is None or theirs.sign is None or theirs.parent:
                continue
            _raise_if_put_back(job, other, theirs)
            if theirs.stage in ("working", "undoing"):
                raise Unavailable(f"the entry {other} is working on this run")
            later = theirs.stage in CAN_BE_CALLED_OFF and (theirs.sign.at, other) > (job.sign.at, key)
            if later and self._is_there(job.bucket, theirs.sign):
                raise LeftAlone(f"the same run gave a later sign of its failure; see {other}")
        for other in self.journal.closed_keys(siblings(key)):
            ended = self.journal.load_closed(other)
            if ended and ended.job:
                _raise_if_put_back(job, other, ended.job)

    def _is_there(self, bucket: str, sign: Sign) -> bool:
        """Whether a sign is real: anybody who may publish can make one up."""
        found = self.world.objects.find(bucket, sign.object)
        return found is not None and found.generation == sign.generation

    # change, and put back

    def _work(self, session: Session) -> bool:
        duty, now = self._duty(session), self.world.clock.now()
        if not self._parts.all_done(session):
            return True
        job = job_of(session)
        if job.stopping and job.stopping != TOO_OLD:
            raise LeftAlone(job.stopping)
        stale = _stale(job, now) and not job.parent and not (job.sign and job.portions[-1].begun)
        if stale or job.stopping == TOO_OLD:
            self._portions.recount(session)
            put(session, afresh(job_of(session).but(stopping="")))  # what was seen so long ago is no reason to delete anything now
            return True
        judge = duty.judge(job, now)

        def check(index: int) -> bool:
            job = job_of(session)
            last = not job.parent and index == len(job.portions) - 1
            if last and job.tries < GIVE_UP and any(portion.failed for portion in job.portions):
                return False  # the sign is in it, and goes when nothing else is left
            self._check(duty, job, sign_may_be_gone=last and job.portions[index].begun)
            return True

        def change(objects: Sequence[StorageObject]) -> Sequence[Answer]:
            # The policy may keep by now what it did not keep when the plan was made.
            kept = {each.name for each in objects if judge(each) == "keep"}
            changed = [each for each in objects if each.name not in kept]
            answers = iter(duty.change(changed, self._while_it_may(session)) if changed else ())
            return [Answer("refused", "the policy keeps it now") if each.name in kept else next(answers) for each in objects]

        if not self._portions.each(session, change, changed, check):
            return False
        if self._portions.put_off(session, "compressed" if compression_of(job_of(session)) else "deleted"):
            return True
        put(session, unhindered(job_of(session)).but(stage="done", due_at=None))
        return True

    def _check(self, duty: Duty, job: Job, *, sign_may_be_gone: bool) -> None:
        """The sign goes last, so until its own portion was begun it has to be there; a part goes on only as long as the whole does."""
        if job.parent and (why := self._parts.stopped(job.parent)):
            raise LeftAlone(why)
        self._facts(job, duty)
        try:
            duty.check()
        except SignGone:
            if not sign_may_be_gone:
                raise

    def _undo(self, session: Session) -> bool:
        if parts := self.journal.keys(parts_of(session.entry.key)):
            self._parts.wake(parts)
            put(session, job_of(session).but(due_at=self.world.clock.now() + LOOK_AT_PARTS))
            return True  # what still is being deleted elsewhere could not be put back

        operate = undo_of(job_of(session), self.world.objects, self._while_it_may(session))
        if not self._portions.each(session, operate, put_back, lambda _: True):
            return False
        if not self._portions.put_off(session, "put back"):
            put(session, unhindered(job_of(session)).but(stage="undone", undone_at=self.world.clock.now(), due_at=None))
        return True

    def _while_it_may(self, session: Session) -> Callable[[], bool]:
        """Whether what takes long may go on: there is time, and the lease covers a write that is sent now."""
        return lambda: self.world.clock.monotonic() < self.deadline and session.may_write()

    # what stands in the way

    def _leave(self, session: Session, reason: str) -> None:
        """Leave the rest alone; what was changed before stays on record, so that it can be undone."""
        job = job_of(session)
        level = logging.WARNING if job.told else logging.INFO
        log.log(level, "%s: left alone: %s", session.entry.key, reason, extra=labels(session))
        begun = job.stage == "working" or job.begun
        if job.stage == "working":
            reason = self._recounted(session, reason)
            job = job_of(session)
        stage: Stage = "undone" if job.stage == "undoing" else "done" if begun else "left"
        put(session, unhindered(job).but(stage=stage, reason=reason, due_at=None))

    def _recounted(self, session: Session, reason: str) -> str:
        """The reason why the rest is left, once it is known how much went before; with why that is not known, where it cannot be."""
        try:
            self._portions.recount(session)
        except Unavailable:
            raise
        except (CloudError, JournalError) as error:
            return f"{reason.rstrip('.')}; it may be more than is counted here, since that could not be looked at: {error}"
        return reason

    def _stumble(self, session: Session, error: CloudError | JournalError) -> None:
        """Try again later; people are told at once of what only they can mend."""
        job = job_of(session)
        attempts = job.attempts + 1
        log.warning("%s: cannot go on now, and is tried again: %s", session.entry.key, error, extra=labels(session))
        patience = timedelta(seconds=(error.retry_after or 0) if isinstance(error, Unavailable) else 0)
        loud = isinstance(error, (Denied, Refused, JournalError)) or attempts > QUIET_ATTEMPTS
        due = self.world.clock.now() + max(backoff(attempts), patience)
        if job.stage == "planning":
            job = afresh(job)  # a look that cannot be ended is begun anew, so that nothing is seen in part or twice
        hindrance = type(error).__name__ if loud else ""
        put(session, job.but(attempts=attempts, hindrance=hindrance, reason=str(error) if loud else "", due_at=due))
        session.save()

    # report

    def _tell(self, session: Session) -> None:
        """Write the message that is owed, in the same save that marks it as told."""
        job = job_of(session)
        if not job.news() or job.parent:
            return
        if letter := self._letter(session):
            asks = job.stage in ("waiting", "refused", "noticed", "planning", "working", "undoing")
            write(session, letter, job.channel or self.policy.slack.channel, self.world.clock.now(), panel="whole", broadcast=asks)
        elif job.stage not in ENDED:
            return  # what nobody was told of is not on record as told
        put(session, job.but(told=job.stage, told_reason=job.reason, told_hindrance=job.hindrance))
        session.save()

    def _letter(self, session: Session) -> Letter | None:
        entry, now = session.entry, self.world.clock.now()
        job = job_of(session)
        if job.stage in ("noticed", "planning", "working", "undoing"):
            same = job.told == job.stage and job.told_reason and job.told_hindrance == job.hindrance
            return report.stuck(entry, now) if job.reason and not same else None
        if job.stage in ("left", "cancelled") and job.told is None and job.occasion != "step":
            return None  # nobody was told that anything would happen
        letters: dict[Stage, Callable[..., Letter]] = {
            "waiting": report.announced,
            "rehearsed": report.rehearsed,
            "left": report.left_alone,
            "refused": report.refused,
            "cancelled": report.called_off,
            "done": report.finished,
            "undone": report.undone,
        }
        return letters[job.stage](entry, now)


def _kind(job: Job) -> Kind:
    return "resources" if job.occasion == "step" else "runs"


def _stale(job: Job, now: datetime) -> bool:
    return bool(job.planned_at) and now - (job.planned_at or now) > STALE


def _raise_if_put_back(job: Job, other: str, theirs: Job) -> None:
    if job.sign and theirs.undone_at and job.sign.at <= theirs.undone_at + CLOCKS_DIFFER:
        raise LeftAlone(f"the run was put back at {theirs.undone_at:%Y-%m-%d %H:%M} UTC, and its sign of failure with it; see {other}")


def _undo_until(job: Job, now: datetime, duty: Duty) -> datetime | None:
    """Soft delete keeps each object for its window from its own deletion on, so the first one counts."""
    window = job.seen.soft_delete if job.seen else timedelta(0)
    stays = job.seen and job.seen.versioned and not duty.versions
    if not window and (stays or compression_of(job)):
        window = NONCURRENT_FOR
    return now + window if window else None
