"""The portions of a plan, one after the other: what a manifest lists is changed or put back in batches, and counted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from shared.entry import backoff
from shared.errors import Denied, JournalError
from shared.journal import Journal
from shared.model import StorageObject
from shared.objects.batches import Batches
from shared.objects.duty import BACK, batch_of
from shared.objects.in_hand import job_of, labels, put, with_portion
from shared.objects.job import NAMED, Portion, Remainder, Stage
from shared.objects.manifest import unpack
from shared.objects.verdict import LeftAlone
from shared.ports import Answer, World
from shared.session import Session

log = logging.getLogger(__name__)

GIVE_UP = 40
"""After so many attempts, more than a day, what could not be changed is left and named."""
QUIET_ATTEMPTS = 2
"""How often in a row something may be unavailable before people are told."""
_TRIED_AGAIN = ("denied", "unavailable")


@dataclass(frozen=True, slots=True)
class Portions:
    """What it takes to work on them.

    Attributes:
        world: The ports.
        journal: Where the manifests are.
        deadline: On the clock's monotonic scale; nothing is begun after it.
    """

    world: World
    journal: Journal
    deadline: float

    def each(
        self, session: Session, operate: Callable[[Sequence[StorageObject]], Sequence[Answer]],
        tell: Callable[[Portion, StorageObject, Answer], Portion], check: Callable[[int], bool],
    ) -> bool:  # fmt: skip
        """Work on all portions that are not finished and may be begun; the answer is whether there was time for them."""
        clock = self.world.clock
        batches = Batches(clock, self.world.workers, self.deadline, session.may_write, session.glance)
        undoing = job_of(session).stage == "undoing"
        fine = ("done", "unchanged") if undoing else ("done", "gone")
        # What an earlier plan listed comes last, since most of it stands in the later one again.
        for index in sorted(range(len(job_of(session).portions)), key=lambda index: job_of(session).portions[index].superseded):
            portion = job_of(session).portions[index]
            if portion.finished or (portion.superseded and not undoing):
                continue
            if clock.monotonic() >= self.deadline:
                return False
            if not check(index):
                continue
            try:
                objects = unpack(self.journal.manifest(portion.manifest), portion.manifest, portion.objects)[portion.settled :]
            except JournalError as error:
                put(session, with_portion(job_of(session), index, _damaged(session, portion, error, undoing=undoing)))
                continue
            if not portion.begun:
                portion = portion.but(begun=True)
                put(session, with_portion(job_of(session), index, portion))
                session.save()
            alive, denied = "", 0
            for batch, answers in batches.each(objects, operate, batch_of(job_of(session))):
                denied = denied + len(batch) if all(answer.fate == "denied" for answer in answers) else 0
                if denied > 1:
                    raise Denied(answers[0].reason)
                for each, answer in zip(batch, answers, strict=True):
                    portion = tell(portion, each, answer)
                    if answer.fate in ("changed", "held") and not undoing and job_of(session).sign:
                        alive = (
                            alive or f"{each.name} was {'written to' if answer.fate == 'changed' else 'put under a hold or a retention'}"
                        )
                        batches.stop.set()
                    if answer.fate not in fine:
                        portion = _named(session, portion, each, answer)
                portion = portion.but(settled=portion.settled + len(batch))
                put(session, with_portion(job_of(session), index, portion))
            if alive:
                raise LeftAlone(f"{alive} while the run was being deleted")
            if not portion.finished:
                return False
        return True

    def recount(self, session: Session) -> None:
        """Count what is gone of a portion that a worker died over: it deleted more than its last save tells of, and nobody goes on with that.

        To be done once for a plan, before it ends; what a part has begun is counted by the whole.

        Raises:
            CloudError: The bucket cannot be listed.
            JournalError: The portion's manifest cannot be read.
        """
        job = job_of(session)
        for index, portion in enumerate(job.portions):
            if job.action != "delete_run" or job.parent or not portion.begun or portion.finished or portion.superseded:
                continue
            rest = unpack(self.journal.manifest(portion.manifest), portion.manifest, portion.objects)[portion.settled :]
            there = self._there(job.bucket, job.prefix, {each.name for each in rest})
            gone = [each for each in rest if each.name not in there]
            size = portion.changed_bytes + sum(each.size for each in gone)
            put(session, with_portion(job_of(session), index, portion.but(changed=portion.changed + len(gone), changed_bytes=size)))

    def _there(self, bucket: str, prefix: str, names: Collection[str]) -> set[str]:
        """Those of the names that are live."""
        found: set[str] = set()
        last = max(names)
        for page in self.world.objects.pages(bucket, prefix, after=min(names)[:-1]):
            found |= {each.name for each in page if each.name in names}
            if page[-1].name >= last:
                break
        return found

    def put_off(self, session: Session, done: str) -> bool:
        """Put off what failed; after a long time it is left as it is. The answer is whether it was put off."""
        job = job_of(session)
        failed = sum(portion.failed for portion in job.portions)
        if failed and job.tries >= GIVE_UP and job.parent:  # the whole does not begin it again
            put(session, job.but(portions=tuple(portion.but(left=portion.left + portion.failed, failed=0) for portion in job.portions)))
        if not failed or job.tries >= GIVE_UP:
            return False
        first = next((each for portion in job.portions for each in portion.named), Remainder(name="", reason=""))
        tries = job.tries + 1
        portions = tuple(_unsettled(portion, job.stage) if portion.failed else portion for portion in job.portions)
        reason = f"{failed:,} objects could not be {done} yet, such as {first.name}: {first.reason}" if tries > QUIET_ATTEMPTS else ""
        due = self.world.clock.now() + backoff(tries)
        put(session, job.but(portions=portions, tries=tries, attempts=0, hindrance="objects" if reason else "", reason=reason, due_at=due))
        return True


def changed(portion: Portion, each: StorageObject, answer: Answer) -> Portion:
    if answer.fate in ("done", "gone"):
        changed, changed_bytes, made_bytes = portion.changed + 1, portion.changed_bytes + each.size, portion.made_bytes + answer.made
        return portion.but(changed=changed, changed_bytes=changed_bytes, made_bytes=made_bytes)
    return portion.but(failed=portion.failed + 1) if answer.fate in _TRIED_AGAIN else portion.but(left=portion.left + 1)


def put_back(portion: Portion, _: StorageObject, answer: Answer) -> Portion:
    if answer.fate == "unchanged" or (portion.superseded and answer == BACK):
        return portion.but(untouched=portion.untouched + 1)
    if answer.fate == "done":
        return portion.but(back=portion.back + 1)
    return portion.but(failed=portion.failed + 1) if answer.fate in _TRIED_AGAIN else portion.but(lost=portion.lost + 1)


def _damaged(session: Session, portion: Portion, error: JournalError, *, undoing: bool) -> Portion:
    """What a manifest lists that cannot be read is neither changed nor put back; the other portions are."""
    log.error("%s", error, extra=labels(session))
    rest = portion.objects - portion.settled
    counted = {"lost": portion.lost + rest} if undoing else {"left": portion.left + rest}
    return portion.but(settled=portion.objects, named=(Remainder(name=portion.manifest, reason=str(error)),), **counted)


def _unsettled(portion: Portion, stage: Stage) -> Portion:
    if stage == "undoing":
        return portion.but(settled=0, back=0, untouched=0, lost=0, failed=0, named=())
    reached, size = max(portion.changed, portion.reached), max(portion.changed_bytes, portion.reached_bytes)
    return Portion(manifest=portion.manifest, objects=portion.objects, bytes=portion.bytes, begun=True, reached=reached, reached_bytes=size)


def _named(session: Session, portion: Portion, each: StorageObject, answer: Answer) -> Portion:
    job = job_of(session)
    log.warning("gs://%s/%s: %s: %s", job.bucket, each.name, answer.fate, answer.reason, extra=labels(session))
    if sum(len(other.named) for other in job.portions if other.manifest != portion.manifest) + len(portion.named) >= NAMED:
        return portion
    return portion.but(named=(*portion.named, Remainder(name=each.name, reason=answer.reason or answer.fate)))
