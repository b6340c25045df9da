"""What a job has to do and may not do, by its kind: the questions that are asked at every look, and the calls that change objects and put them back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Protocol

from shared.actions import Works, registry
from shared.actions.on_objects import OnObjects
from shared.errors import Unavailable
from shared.model import BucketFacts, Resource, StorageObject
from shared.objects.daily import DailyLimits
from shared.objects.job import Job, Sign
from shared.objects.ledger import AtOnce
from shared.objects.runs import LIMIT, readable, says, tells
from shared.objects.verdict import Judge, LeftAlone, RunJudge, SignGone, held_by
from shared.policy.artifacts import ArtifactRule, Condition
from shared.policy.policy import Policy
from shared.ports import BATCH, DONE, Answer, Compression, ObjectStore


class Duty(Protocol):
    """What is to be done to the objects of a job."""

    @property
    def versions(self) -> bool:
        """Whether noncurrent generations are looked at too."""
        ...

    @property
    def wait(self) -> timedelta:
        """How long people have to call it off."""
        ...

    @property
    def require_soft_delete(self) -> bool:
        """Whether it is done only where it can be undone."""
        ...

    @property
    def limits(self) -> AtOnce:
        """How much at most."""
        ...

    def check(self) -> Sign | None:
        """Ask what has to hold before every look and every portion; the answer is the sign as it stands now, for a run.

        Raises:
            LeftAlone: It no longer holds; `SignGone` where all that is missing is the sign.
            CloudError: It cannot be asked now.
        """
        ...

    def judge(self, job: Job, now: datetime) -> Judge:
        """The verdict on each object."""
        ...

    def change(self, objects: Sequence[StorageObject], go_on: Callable[[], bool]) -> Sequence[Answer]:
        """Change a batch.

        Args:
            objects: As many as `batch_of` says, at most.
            go_on: Whether there is time left, and the right to write, for what takes long.
        """
        ...

    def reserve(self, key: str, job: Job, daily: DailyLimits) -> None:
        """Ask the daily limits, on record, right before the first change.

        Raises:
            UnsafePlan: Too much would go.
        """
        ...

    def give_back(self, key: str, job: Job, daily: DailyLimits) -> None:
        """Take off the record of the daily limits what is not begun after all."""
        ...


@dataclass(frozen=True)
class RunDuty:
    """A failed or abandoned run is deleted.

    Attributes:
        job: The run.
        rule: What the policy says about it now.
        objects: The buckets.
    """

    job: Job
    rule: ArtifactRule
    objects: ObjectStore
    versions: bool = False

    @property
    def wait(self) -> timedelta:
        """As the rule says."""
        return self.rule.wait

    @property
    def require_soft_delete(self) -> bool:
        """As the rule says."""
        return self.rule.require_soft_delete

    @property
    def limits(self) -> AtOnce:
        """As the rule says."""
        return self.rule.limits

    def check(self) -> Sign | None:
        """The sign has to be there as it was, and none of the objects under ``unless``."""
        sign = self.job.sign
        if sign is None:
            raise LeftAlone("nothing says that it failed; that is a fault in the watchdog, please report it")
        for reason in self.rule.unless:
            if words := self._says(reason):
                raise LeftAlone(f"{words} (`unless` in the policy)")
        if self.job.occasion == "abandoned" and self.job.stage != "working":  # by then its status file may be deleted itself
            self._raise_if_no_run()
        found = self.objects.find(self.job.bucket, sign.object)
        shown = sign.object.removeprefix(self.job.prefix)
        if found is None:
            raise SignGone(f"{shown} is gone, so nothing says any more that it failed")
        if found.generation != sign.generation:
            raise LeftAlone(f"{shown} was written anew at {found.created:%Y-%m-%d %H:%M:%S} UTC")
        return sign.but(at=found.created)

    def _raise_if_no_run(self) -> None:
        """Where runs have status files, a folder without one is something else, such as the models that MLflow keeps beside its runs."""
        known = [condition for condition in (*self.rule.failed_when, *self.rule.unless) if condition.has]
        contents = ((condition, self._content(condition.object)) for condition in known)
        if known and not any(content is not None and tells(condition, content) for condition, content in contents):
            files = " or ".join(sorted({condition.object for condition in known}))
            raise LeftAlone(f"it has no {files} that says how a run stands, so it is not known to be one")

    def _says(self, reason: Condition) -> str | None:
        if not reason.has:
            return f"{reason.object} is there" if self.objects.find(self.job.bucket, self.job.prefix + reason.object) else None
        content = self._content(reason.object)
        if content is not None and not readable(reason, content):
            return f"{reason.object} cannot be read, so it is not known whether it says {', '.join(reason.has)}"
        return None if content is None else says(reason, content)

    def _content(self, relative: str) -> bytes | None:
        name = self.job.prefix + relative
        found = self.objects.find(self.job.bucket, name)
        return self.objects.read(self.job.bucket, name, generation=found.generation, limit=LIMIT) if found else None

    def judge(self, job: Job, now: datetime) -> Judge:
        """See `RunJudge`."""
        return RunJudge(job, self.rule, now)

    def change(self, objects: Sequence[StorageObject], go_on: Callable[[], bool]) -> Sequence[Answer]:  # noqa: ARG002  # a batch takes no long time
        """Delete the generations that were seen."""
        return self.objects.delete(self.job.bucket, objects)

    def reserve(self, key: str, job: Job, daily: DailyLimits) -> None:
        """See `DailyLimits.reserve`."""
        daily.reserve(key, job, self.rule)

    def give_back(self, key: str, job: Job, daily: DailyLimits) -> None:
        """See `DailyLimits.give_back`."""
        daily.give_back(key, job)


@dataclass(frozen=True)
class StepDuty:
    """An action of a budget's step works through the objects of a bucket.

    Attributes:
        job: The bucket and the folder.
        works: Which objects it wants, and what it does to them.
        params: As the policy had them when the step was reached.
        objects: The buckets.
    """

    job: Job
    works: Works
    params: OnObjects
    objects: ObjectStore
    wait: timedelta = timedelta(0)  # the step itself has waited

    @property
    def versions(self) -> bool:
        """As the action needs."""
        return self.works.versions

    @property
    def require_soft_delete(self) -> bool:
        """As the step says."""
        return self.params.require_soft_delete

    @property
    def limits(self) -> AtOnce:
        """As the step says."""
        return self.params.limits

    def check(self) -> None:
        """Nothing but the objects themselves can forbid it."""

    def judge(self, job: Job, now: datetime) -> Judge:
        """What the action wants, unless something keeps it."""

        def judge(each: StorageObject) -> Literal["change", "keep"]:
            inside = each.name.startswith(job.prefix) and not held_by(each, now)
            return "change" if inside and self.works.wants(each, self.params, now) else "keep"

        return judge

    def reserve(self, key: str, job: Job, daily: DailyLimits) -> None:
        """A step is reached once; its own limits are all there is."""

    def give_back(self, key: str, job: Job, daily: DailyLimits) -> None:
        """Nothing is on record."""

    def change(self, objects: Sequence[StorageObject], go_on: Callable[[], bool]) -> Sequence[Answer]:
        """Do what the action does."""
        into = compression_of(self.job)
        if into is None:
            return self.objects.delete(self.job.bucket, objects)
        return [self.objects.compress(self.job.bucket, each, into=into, go_on=go_on) for each in objects]


def duty_of(job: Job, policy: Policy, objects: ObjectStore) -> Duty:
    """What the job has to do, by the policy as it is now.

    Raises:
        LeftAlone: The policy no longer asks for it.
    """
    if job.occasion == "step":
        action = registry().get(job.action)
        if action is None or action.works is None:
            raise LeftAlone(f"this version of the watchdog does not know the action {job.action}; deploy the one that began it again")
        params = action.params.model_validate(job.params)
        if not isinstance(params, OnObjects):
            raise TypeError(f"the parameters of {job.action} do not say which objects it means")
        return StepDuty(job, action.works, params, objects)
    rule = next((rule for rule in policy.artifacts if (rule.bucket, rule.runs) == (job.bucket, job.rule)), None)
    if rule is None:
        raise LeftAlone(f"the policy no longer has a rule for runs under {job.rule} in gs://{job.bucket}")
    return RunDuty(job, rule, objects)


def compression_of(job: Job) -> Compression | None:
    """The format that a job compresses objects into; None for every other job."""
    action = registry().get(job.action)
    if action is None or action.works is None or action.works.operation != "compress":
        return None
    into: Compression = action.params.model_validate(job.params).into  # type: ignore[attr-defined]  # every action that compresses has it
    return into


def batch_of(job: Job) -> int:
    """How many objects are changed at once: what takes long goes one by one."""
    return 1 if compression_of(job) else BATCH


def undo_of(job: Job, objects: ObjectStore, go_on: Callable[[], bool]) -> Callable[[Sequence[StorageObject]], Sequence[Answer]]:
    """What undoes the changes of a job, a batch at a time; no policy is asked.

    Args:
        job: The job.
        objects: The buckets.
        go_on: Whether there is time left, and the right to write, for what takes long.
    """
    into = compression_of(job)
    noncurrent = job.action == "delete_noncurrent"
    versioned = not noncurrent or objects.facts(job.bucket).versioned

    def put_back(batch: Sequence[StorageObject]) -> list[Answer]:
        if into:
            return [objects.uncompress(job.bucket, each, into=into, go_on=go_on) for each in batch]
        if not versioned:
            reason = "the bucket keeps no versions any more, so that it could only come back as the live object"
            return [Answer("refused", f"{reason}; by hand: {_by_hand(job.bucket, each)}") for each in batch]
        if noncurrent:
            return [_noncurrent_again(objects, job.bucket, each) for each in batch]
        answers = objects.restore(job.bucket, batch)
        return [_looked_up(objects, job.bucket, each, answer) for each, answer in zip(batch, answers, strict=True)]

    return put_back


BACK = Answer("done", "it was back already")


def _looked_up(objects: ObjectStore, bucket: str, each: StorageObject, answer: Answer) -> Answer:
    """What cannot be brought back may never have been deleted, or be back already."""
    if answer.fate not in ("gone", "changed"):
        return answer
    try:
        found = objects.find(bucket, each.name)
    except Unavailable as error:
        return Answer("unavailable", str(error))
    if found is None:
        return Answer("gone", "it is no longer kept")
    if found.generation == each.generation:
        return Answer("unchanged")
    same = bool(each.crc32c) and (found.crc32c, found.size) == (each.crc32c, each.size)
    return BACK if same else Answer("changed", "another object of this name is there now")


def _noncurrent_again(objects: ObjectStore, bucket: str, each: StorageObject) -> Answer:
    """A version comes back as the live object, and becomes noncurrent again by being deleted; one that is live meanwhile is not replaced for it."""
    (answer,) = objects.restore(bucket, [each])
    if answer.fate == "changed":
        return Answer("changed", f"an object of this name is live, and would be replaced; by hand: {_by_hand(bucket, each)}")
    if answer.fate != "done":
        return answer
    live = objects.find(bucket, each.name)
    if live is None or (live.crc32c, live.size) != (each.crc32c, each.size):
        return DONE  # somebody has written it meanwhile, and that has made the version noncurrent
    (again,) = objects.delete(bucket, [live])
    return again if again.fate == "unavailable" else DONE


def _by_hand(bucket: str, each: StorageObject) -> str:
    return f"gcloud storage restore 'gs://{bucket}/{each.name}#{each.generation}'"


def protection(policy: Policy, facts: BucketFacts, project: str) -> str | None:
    """Why nothing in the bucket is to be touched, or None."""
    name = f"projects/{project}/locations/{facts.location}/buckets/{facts.name}"
    return policy.protect.covers(Resource(kind="bucket", name=name, labels=facts.labels))
