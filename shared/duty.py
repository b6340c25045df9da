"""What a job has to do and may not do, by its kind: the questions that are asked at every look, and the calls that change objects and put them back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Protocol

from shared.actions import Works, registry
from shared.actions.on_objects import OnObjects
from shared.brakes import Brakes
from shared.job import Job, Sign
from shared.ledger import AtOnce
from shared.model import BucketFacts, Resource, StorageObject
from shared.policy import Policy
from shared.policy_artifacts import ArtifactRule, Condition
from shared.ports import Answer, ObjectStore
from shared.runs import LIMIT, says, tells
from shared.verdict import Judge, LeftAlone, RunJudge, held_by


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
            LeftAlone: It no longer holds.
            CloudError: It cannot be asked now.
        """
        ...

    def judge(self, job: Job, now: datetime) -> Judge:
        """The verdict on each object."""
        ...

    def change(self, objects: Sequence[StorageObject]) -> Sequence[Answer]:
        """Change a batch."""
        ...

    def reserve(self, key: str, job: Job, brakes: Brakes) -> None:
        """Ask the brakes, on record, right before the first change.

        Raises:
            UnsafePlan: Too much would go.
        """
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
        if self.job.occasion == "abandoned":
            self._raise_if_no_run()
        found = self.objects.find(self.job.bucket, sign.object)
        shown = sign.object.removeprefix(self.job.prefix)
        if found is None:
            raise LeftAlone(f"{shown} is gone, so nothing says any more that it failed")
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
        return None if content is None else says(reason, content)

    def _content(self, relative: str) -> bytes | None:
        name = self.job.prefix + relative
        found = self.objects.find(self.job.bucket, name)
        return self.objects.read(self.job.bucket, name, generation=found.generation, limit=LIMIT) if found else None

    def judge(self, job: Job, now: datetime) -> Judge:
        """See `RunJudge`."""
        return RunJudge(job, self.rule, now)

    def change(self, objects: Sequence[StorageObject]) -> Sequence[Answer]:
        """Delete the generations that were seen."""
        return self.objects.delete(self.job.bucket, objects)

    def reserve(self, key: str, job: Job, brakes: Brakes) -> None:
        """See `Brakes.reserve`."""
        brakes.reserve(key, job, self.rule)


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

    def reserve(self, key: str, job: Job, brakes: Brakes) -> None:
        """A step is reached once; its own limits are all there is."""

    def change(self, objects: Sequence[StorageObject]) -> Sequence[Answer]:
        """Do what the action does."""
        return self.objects.delete(self.job.bucket, objects)


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


def protection(policy: Policy, facts: BucketFacts, project: str) -> str | None:
    """Why nothing in the bucket is to be touched, or None."""
    name = f"projects/{project}/locations/{facts.location}/buckets/{facts.name}"
    return policy.protect.covers(Resource(kind="bucket", name=name, labels=facts.labels))
