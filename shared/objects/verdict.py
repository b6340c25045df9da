"""Whether a run may go, and which of its objects: what is newer, held, kept or promoted. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from shared.model import StorageObject
from shared.objects.job import Job
from shared.objects.runs import kept
from shared.policy.artifacts import ArtifactRule

Answer = Literal["change", "keep"]


class LeftAlone(Exception):  # it is a verdict and no error
    """The whole job is left alone; the sentence says why."""


class SignGone(LeftAlone):
    """What said that the run has failed is not there any more; while the last objects of a run are deleted, that may be the watchdog's own doing."""


Judge = Callable[[StorageObject], Answer]
"""What is to become of one object.

Raises:
    LeftAlone: Of this one, and so of all.
"""


@dataclass(frozen=True, slots=True)
class RunJudge:
    """The verdict on a failed or an abandoned run.

    Attributes:
        job: The run; its sign has been seen again.
        rule: What the policy says about it now.
        now: The time of the look.
    """

    job: Job
    rule: ArtifactRule
    now: datetime

    def __call__(self, each: StorageObject) -> Answer:
        """Whether the object goes.

        Raises:
            LeftAlone: It shows that the run lives, was promoted, or is not to be deleted.
        """
        if not each.name.startswith(self.job.prefix) or not self.job.prefix.endswith("/"):
            raise LeftAlone(f"{each.name} does not lie in {self.job.prefix}; that is a fault in the watchdog, please report it")
        relative = each.name.removeprefix(self.job.prefix)
        if any(relative == reason.object and not reason.has for reason in self.rule.unless):
            raise LeftAlone(f"{relative} is there (`unless` in the policy)")
        if held := held_by(each, self.now):
            raise LeftAlone(f"{relative} is kept by {'an' if held.startswith('e') else 'a'} {held}")
        sign = self.job.sign
        if sign and (each.created > sign.at or (each.name == sign.object and each.generation != sign.generation)):
            raise LeftAlone(f"{relative or 'the folder itself'} was written at {each.created:%Y-%m-%d %H:%M:%S} UTC, after {self._since()}")
        return "keep" if kept(self.rule, relative) else "change"

    def _since(self) -> str:
        return "the run had failed" if self.job.occasion == "failed" else "the run had been found abandoned"


def held_by(each: StorageObject, now: datetime) -> str:
    """What keeps the object from being deleted; empty where nothing does."""
    if each.hold:
        return each.hold
    if each.retained_until and each.retained_until > now:
        return f"retention until {each.retained_until:%Y-%m-%d %H:%M} UTC"
    return ""
