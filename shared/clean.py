"""One leased entry that is about objects, carried as far as it goes: look, wait, look again, write down, change, tell; and all of it back."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared import report_jobs as report
from shared.batches import Batches
from shared.brakes import Brakes
from shared.duty import Duty, duty_of, protection
from shared.entry import Entry, backoff
from shared.errors import CloudError, Denied, Gone, Unavailable, UnsafePlan
from shared.job import CALLED_OFF, NAMED, Bucket, Job, Portion, Remainder, Stage, afresh, part_key, parts_of, siblings
from shared.journal import Journal
from shared.ledger import raise_if_too_large
from shared.letter import Letter
from shared.look import PORTION, Look
from shared.manifest import unpack
from shared.model import BucketFacts, StorageObject
from shared.outbox import deliver, write
from shared.policy import Policy
from shared.ports import Answer, World
from shared.session import Session
from shared.verdict import LeftAlone

log = logging.getLogger(__name__)

PAUSE = timedelta(minutes=15)
"""How long an entry waits before it looks again whether changes are allowed."""
QUIET_ATTEMPTS = 2
"""How often in a row something may be unavailable before people are told."""
GIVE_UP = 40
"""After so many attempts, more than a day, what could not be changed is left and named."""
SPREAD_FROM = 8
"""With more portions than this, a plan is shared among many instances."""
CLOCKS_DIFFER = timedelta(minutes=5)
LOOK_AT_PARTS = timedelta(minutes=1)
NONCURRENT_FOR = timedelta(days=7)
"""In a bucket with versions and no soft delete, how long an entry stays open to be undone."""


@dataclass(frozen=True, slots=True)
class Cleaner:
    """What it takes to work on objects.

    Attributes:
        world: The ports.
        policy: The policy in force.
        project: The watchdog's own project.
        deadline: On the clock's monotonic scale; nothing is begun after it.
        portion: Objects in one manifest.
    """

    world: World
    policy: Policy
    project: str
    deadline: float
    portion: int = PORTION

    @property
    def journal(self) -> Journal:
        """The journal in the state bucket."""
        return Journal(self.world.state)

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
        deliver(session, self.world)
        return finished

    def _go_on(self, session: Session) -> bool:
        stages: dict[Stage, Callable[[Session], bool]] = {
            "noticed": self._first_look,
            "waiting": self._wait_is_over,
            "planning": self._second_look,
            "working": self._work,
            "undoing": self._undo,
        }
        while (job := _job(session)).stage in stages:
            now = self.world.clock.now()
            parts_may_be_done = job.stage == "working" and not job.attempts
            if job.due_at and job.due_at > now and not parts_may_be_done:
                return True
            if session.entry.mode == "enforce" and self.policy.mode == "observe" and job.stage != "undoing":
                log.warning("%s: the mode is observe now, so nothing more of it is carried out", session.entry.key, extra=_labels(session))
                _put(session, job.but(due_at=now + PAUSE))
                return True
            try:
                if not stages[job.stage](session):
                    session.save()
                    return False
            except LeftAlone as verdict:
                self._leave(session, str(verdict))
            except UnsafePlan as error:
                log.error("%s: refused: %s", session.entry.key, error, extra=_labels(session))  # noqa: TRY400  # the sentence says it all
                _put(session, _job(session).but(stage="refused", reason=str(error), portions=(), after="", due_at=None))
            except CloudError as error:
                self._stumble(session, error)
        return True

    def _duty(self, session: Session) -> Duty:
        return duty_of(_job(session), self.policy, self.world.objects)

    # look, wait, look again

    def _first_look(self, session: Session) -> bool:
        duty = self._duty(session)
        self._make_way(session)
        if not duty.wait and session.entry.mode == "enforce":
            _put(session, afresh(_job(session)))  # nobody has time to call it off, so one look is enough
            return True
        job, seen = self._look(session, duty, record=False)
        _put(session, job)
        if not seen:
            return False
        self._raise_if_nothing(job)
        raise_if_too_large(job, duty.limits)
        observe = session.entry.mode == "observe"
        due = None if observe else self.world.clock.now() + duty.wait
        _put(session, job.but(stage="rehearsed" if observe else "waiting", due_at=due, after="", attempts=0, reason=""))
        return True

    def _wait_is_over(self, session: Session) -> bool:
        _put(session, afresh(_job(session)))
        return True

    def _second_look(self, session: Session) -> bool:
        duty = self._duty(session)
        self._make_way(session)
        job, seen = self._look(session, duty, record=True)
        _put(session, job)
        if not seen:
            return False
        self._raise_if_nothing(job)
        if not job.approved_by:
            raise_if_too_large(job, duty.limits)
        duty.reserve(session.entry.key, job, Brakes(self.world, self.journal))
        now = self.world.clock.now()
        _put(session, job.but(stage="working", after="", undo_until=_undo_until(job, now), attempts=0, reason="", due_at=None))
        session.save(confirm=True)
        log.info("%s: %d objects to change", session.entry.key, job.tally.objects, extra=_labels(session))
        return True

    def _look(self, session: Session, duty: Duty, *, record: bool) -> tuple[Job, bool]:
        job, now = _job(session), self.world.clock.now()
        sign, facts = duty.check(), self._facts(job)
        if reason := protection(self.policy, facts, self.project):
            raise LeftAlone(f"gs://{job.bucket} is {reason}")
        if duty.require_soft_delete and not facts.soft_delete:
            raise LeftAlone(
                f"gs://{job.bucket} has no soft delete, so nothing could be undone (`require_soft_delete` in the policy); "
                f"switch it on with: gcloud storage buckets update gs://{job.bucket} --soft-delete-duration=7d"
            )
        look = Look(
            job.but(sign=sign, seen=Bucket.seen(facts)), duty, self.world.objects, now, self.journal.keep_manifest if record else None,
            self.journal.manifests(session.entry.key), self.portion,
        )  # fmt: skip
        seen = look.go(lambda: self.world.clock.monotonic() >= self.deadline, session.glance)
        return look.job, seen

    def _facts(self, job: Job) -> BucketFacts:
        try:
            return self.world.objects.facts(job.bucket)
        except Gone as error:
            raise LeftAlone(f"there is no bucket gs://{job.bucket}") from error

    def _raise_if_nothing(self, job: Job) -> None:
        if not job.tally.objects:
            kept = f", and {job.tally.kept:,} other objects are kept" if job.tally.kept else ""
            raise LeftAlone(f"no object of it is to be changed{kept}")

    def _make_way(self, session: Session) -> None:
        """One run may give several signs of one failure: the last of them is waited for, and the others step aside.

        A sign that was only put back with the run that it lies in, when a person undid its deletion, is none.
        """
        job, key = _job(session), session.entry.key
        if job.sign is None:
            return
        for other in self.journal.keys(siblings(key)):
            kept = self.journal.load(other) if other != key else None
            theirs = kept.record.job if kept else None
            if theirs is None or theirs.sign is None or theirs.parent:
                continue
            if theirs.stage in ("working", "undoing"):
                raise Unavailable(f"the entry {other} is working on this run")
            if theirs.stage in CALLED_OFF and (theirs.sign.at, other) > (job.sign.at, key):
                raise LeftAlone(f"the same run gave a later sign of its failure; see {other}")
        for other in self.journal.closed_keys(siblings(key)):
            ended = self.journal.load_closed(other)
            undone_at = ended.job.undone_at if ended and ended.job else None
            if undone_at and job.sign.at <= undone_at + CLOCKS_DIFFER:
                raise LeftAlone(f"the run was put back at {undone_at:%Y-%m-%d %H:%M} UTC, and its sign of failure with it; see {other}")

    # change, and put back

    def _work(self, session: Session) -> bool:
        duty = self._duty(session)

        def check(index: int) -> None:
            job = _job(session)
            self._check(session, duty, last=not job.parent and index == len(job.portions) - 1)

        if not self._spread(session):
            return True
        if not self._portions(session, duty.change, _changed, check):
            return False
        if self._again(session, "deleted"):
            return True
        _put(session, _job(session).but(stage="done", due_at=None, attempts=0))
        return True

    def _spread(self, session: Session) -> bool:
        """Give the portions of a large plan to entries of their own, so that many instances share the work; the answer is whether all those are done.

        The last portion stays here, since the sign is in it.
        """
        job, key = _job(session), session.entry.key
        if len(job.portions) <= SPREAD_FROM or job.parent or self.world.tasks is None:
            return True
        opened, waiting = set(self.journal.keys(parts_of(key))), 0
        for index, portion in enumerate(job.portions[:-1]):
            part = part_key(key, index)
            if portion.finished or (job.stopping and portion.settled):
                continue
            closed = None if part in opened else self.journal.load_closed(part)
            if closed and closed.job:
                job = _with(job, index, closed.job.portions[0]).but(stopping=job.stopping or closed.job.reason)
            elif part in opened or self._hand_over(session, part, job.but(portions=(portion,), parent=key)):
                waiting += 1
        stuck = next((kept.record.job for part in sorted(opened) if (kept := self.journal.load(part)) and kept.record.job), None)
        reason = stuck.reason if stuck and waiting else ""
        _put(session, job.but(due_at=self.world.clock.now() + LOOK_AT_PARTS if waiting else None, reason=reason))
        if not waiting and job.stopping:
            raise LeftAlone(job.stopping)
        return not waiting

    def _hand_over(self, session: Session, part: str, job: Job) -> bool:
        """Record a part as an entry of its own, and ask for it to be carried on; a stopped plan hands nothing over."""
        if job.stopping:
            return False
        now = self.world.clock.now()
        self.journal.create(Entry(key=part, created=now, mode=session.entry.mode, job=job), now)
        if self.world.tasks:
            try:
                self.world.tasks.resume(part)
            except CloudError as error:
                log.warning("%s: the tasks topic did not take it, so the next tick begins it: %s", part, error, extra=_labels(session))
        session.glance()
        return True

    def _check(self, session: Session, duty: Duty, *, last: bool) -> None:
        """The sign goes last, so until then it has to be there; a part goes on only as long as the whole does."""
        if parent := _job(session).parent:
            kept = self.journal.load(parent)
            whole = kept.record.job if kept else None
            if whole is None or whole.stage != "working" or whole.stopping:
                raise LeftAlone(whole.stopping if whole and whole.stopping else "the rest of the plan was called off")
        try:
            duty.check()
        except LeftAlone:
            job = _job(session)
            if not (last and job.sign and self.world.objects.find(job.bucket, job.sign.object) is None):
                raise

    def _undo(self, session: Session) -> bool:
        bucket = _job(session).bucket
        if self.journal.keys(parts_of(session.entry.key)):
            _put(session, _job(session).but(due_at=self.world.clock.now() + LOOK_AT_PARTS))
            return True  # what still is being deleted elsewhere could not be put back

        def put_back(objects: Sequence[StorageObject]) -> list[Answer]:
            answers = self.world.objects.restore(bucket, objects)
            return [self._looked_up(bucket, each, answer) for each, answer in zip(objects, answers, strict=True)]

        if not self._portions(session, put_back, _put_back, lambda _: None):
            return False
        if not self._again(session, "put back"):
            _put(session, _job(session).but(stage="undone", undone_at=self.world.clock.now(), due_at=None, attempts=0, reason=""))
        return True

    def _looked_up(self, bucket: str, each: StorageObject, answer: Answer) -> Answer:
        """What cannot be brought back may never have been deleted, or be back already."""
        if answer.fate not in ("gone", "changed"):
            return answer
        try:
            found = self.world.objects.find(bucket, each.name)
        except Unavailable as error:
            return Answer("unavailable", str(error))
        if found is None:
            return Answer("gone", "it is no longer kept")
        same = found.generation == each.generation or (found.crc32c, found.size) == (each.crc32c, each.size)
        return Answer("done") if same else Answer("changed", "another object of this name is there now")

    def _portions(
        self, session: Session, operate: Callable[[Sequence[StorageObject]], Sequence[Answer]],
        tell: Callable[[Portion, StorageObject, Answer], Portion], check: Callable[[int], None],
    ) -> bool:  # fmt: skip
        """Work on all portions that are not finished; the answer is whether they are now."""
        clock = self.world.clock
        batches = Batches(clock, self.world.workers, self.deadline, session.may_write, session.glance)
        for index in range(len(_job(session).portions)):
            portion = _job(session).portions[index]
            if portion.finished:
                continue
            if clock.monotonic() >= self.deadline:
                return False
            check(index)
            objects = unpack(self.journal.manifest(portion.manifest), portion.manifest, portion.objects)[portion.settled :]
            alive = ""
            for batch, answers in batches.each(objects, operate):
                if len(batch) > 1 and all(answer.fate == "denied" for answer in answers):
                    raise Denied(answers[0].reason)
                for each, answer in zip(batch, answers, strict=True):
                    portion = tell(portion, each, answer)
                    if answer.fate == "changed":
                        alive = alive or each.name
                    if answer.fate not in ("done", "gone"):
                        portion = _named(session, portion, each, answer)
                portion = portion.but(settled=portion.settled + len(batch))
                _put(session, _with(_job(session), index, portion))
            if alive and _job(session).stage == "working":
                raise LeftAlone(f"{alive} was written to while the run was being deleted")
            if not portion.finished:
                return False
        return True

    def _again(self, session: Session, done: str) -> bool:
        """Put off what failed; after a long time it is left as it is. The answer is whether it was put off."""
        job = _job(session)
        failed = sum(portion.failed for portion in job.portions)
        if failed and job.attempts >= GIVE_UP:
            given_up = (portion.but(left=portion.left + portion.failed, failed=0) for portion in job.portions)
            _put(session, job.but(portions=tuple(given_up)))
        if not failed or job.attempts >= GIVE_UP:
            return False
        first = next((each for portion in job.portions for each in portion.named), Remainder(name="", reason=""))
        attempts = job.attempts + 1
        portions = tuple(_unsettled(portion) if portion.failed else portion for portion in job.portions)
        reason = f"{failed:,} objects could not be {done} yet, such as {first.name}: {first.reason}" if attempts > QUIET_ATTEMPTS else ""
        due = self.world.clock.now() + backoff(attempts)
        _put(session, job.but(portions=portions, attempts=attempts, reason=reason, due_at=due))
        return True

    # what stands in the way

    def _leave(self, session: Session, reason: str) -> None:
        """Leave the rest alone; what was changed before stays on record, so that it can be undone."""
        job = _job(session)
        log.warning("%s: left alone: %s", session.entry.key, reason, extra=_labels(session))
        stage: Stage = "done" if job.stage == "working" else "undone" if job.stage == "undoing" else "left"
        _put(session, job.but(stage=stage, reason=reason, due_at=None, attempts=0))

    def _stumble(self, session: Session, error: CloudError) -> None:
        """Try again later; people are told at once of what only they can mend."""
        job = _job(session)
        attempts = job.attempts + 1
        log.warning("%s: cannot go on now, and is tried again: %s", session.entry.key, error, extra=_labels(session))
        patience = timedelta(seconds=(error.retry_after or 0) if isinstance(error, Unavailable) else 0)
        loud = not isinstance(error, Unavailable) or attempts > QUIET_ATTEMPTS
        due = self.world.clock.now() + max(backoff(attempts), patience)
        _put(session, job.but(attempts=attempts, reason=str(error) if loud else "", due_at=due))
        session.save()

    # report

    def _tell(self, session: Session) -> None:
        """Write the message that is owed, in the same save that marks it as told."""
        entry, job = session.entry, _job(session)
        if job.news() and not job.parent and (letter := self._letter(session)):
            write(session, letter, self.policy.slack.channel, self.world.clock.now())
        elif not job.news():
            return
        _put(session, job.but(told=job.stage, told_reason=job.reason))
        if entry != session.entry:
            session.save()

    def _letter(self, session: Session) -> Letter | None:
        entry, now = session.entry, self.world.clock.now()
        job = _job(session)
        if job.stage in ("noticed", "planning", "working", "undoing"):
            return report.stuck(entry, now) if job.reason and not (job.told == job.stage and job.told_reason) else None
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


def _job(session: Session) -> Job:
    job = session.entry.job
    if job is None:
        raise TypeError(f"{session.entry.key} is not about objects")
    return job


def _put(session: Session, job: Job) -> None:
    session.put(session.entry.but(job=job))


def _labels(session: Session) -> dict[str, dict[str, str]]:
    return {"labels": {"entry": session.entry.key, "bucket": _job(session).bucket}}


def _undo_until(job: Job, now: datetime) -> datetime | None:
    """Soft delete keeps each object for its window from its own deletion on, so the first one counts."""
    window = job.seen.soft_delete if job.seen else timedelta(0)
    if not window and job.seen and job.seen.versioned:
        window = NONCURRENT_FOR
    return now + window if window else None


def _with(job: Job, index: int, portion: Portion) -> Job:
    return job.but(portions=(*job.portions[:index], portion, *job.portions[index + 1 :]))


def _unsettled(portion: Portion) -> Portion:
    return Portion(manifest=portion.manifest, objects=portion.objects, bytes=portion.bytes)


def _changed(portion: Portion, each: StorageObject, answer: Answer) -> Portion:
    if answer.fate in ("done", "gone"):
        return portion.but(changed=portion.changed + 1, changed_bytes=portion.changed_bytes + each.size)
    return portion.but(failed=portion.failed + 1) if answer.fate == "unavailable" else portion.but(left=portion.left + 1)


def _put_back(portion: Portion, _: StorageObject, answer: Answer) -> Portion:
    if answer.fate == "done":
        return portion.but(back=portion.back + 1)
    return portion.but(failed=portion.failed + 1) if answer.fate == "unavailable" else portion.but(lost=portion.lost + 1)


def _named(session: Session, portion: Portion, each: StorageObject, answer: Answer) -> Portion:
    job = _job(session)
    log.warning("gs://%s/%s: %s: %s", job.bucket, each.name, answer.fate, answer.reason, extra=_labels(session))
    if sum(len(other.named) for other in job.portions if other.manifest != portion.manifest) + len(portion.named) >= NAMED:
        return portion
    return portion.but(named=(*portion.named, Remainder(name=each.name, reason=answer.reason or answer.fate)))
