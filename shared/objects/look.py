"""A look at the objects of a job: listed in order, judged one by one, added up, and written down where they are about to be changed."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from shared.model import StorageObject
from shared.objects.duty import Duty
from shared.objects.job import Job, Portion, Tally, added
from shared.objects.manifest import pack
from shared.objects.verdict import Judge
from shared.ports import ObjectStore
from shared.prices_storage import MINIMUM

PORTION = 10_000
"""Objects in one manifest: some megabytes in memory, and a hundred batches."""


@dataclass
class Look:
    """One look, which goes on where the last invocation stopped.

    Attributes:
        job: The job as the look finds it, its sign as it was just seen; afterwards with what the look added.
        duty: What it has to do.
        objects: The buckets.
        now: The time of the look.
        keep: Writes a manifest down under this name; None where the look only counts.
        manifests: How the names of the manifests begin.
        portion: Objects in one manifest.
    """

    job: Job
    duty: Duty
    objects: ObjectStore
    now: datetime
    keep: Callable[[str, bytes], None] | None = None
    manifests: str = ""
    portion: int = PORTION
    _wanted: list[StorageObject] = field(default_factory=list)
    _kept: list[StorageObject] = field(default_factory=list)
    _buffer: list[StorageObject] = field(default_factory=list)

    def go(self, late: Callable[[], bool], glance: Callable[[], None]) -> bool:
        """Look as far as the time allows; the answer is whether all was seen.

        Args:
            late: Whether it is time to stop.
            glance: Called after each page: the place to renew a lease.

        Raises:
            LeftAlone: What was seen forbids it.
            CloudError: The bucket does not answer.
        """
        judge = self.duty.judge(self.job, self.now)
        # The generations of one name are taken together, since a look goes on behind a name and not within it.
        group: list[StorageObject] = []
        for page in self.objects.pages(self.job.bucket, self.job.prefix, after=self.job.after, versions=self.duty.versions):
            for each in page:
                if group and group[0].name != each.name:
                    self._take(group, judge)
                    group = []
                group.append(each)
            if not self.duty.versions:  # then a name stands alone
                self._take(group, judge)
                group = []
            self._add_up()
            glance()
            if late():
                self._write_down()
                return False
        self._take(group, judge)
        self._add_up()
        self._the_sign_last(judge)
        self._write_down()
        return True

    def _take(self, group: list[StorageObject], judge: Judge) -> None:
        sign = self.job.sign
        for each in group:
            wanted = judge(each) == "change"
            (self._wanted if wanted else self._kept).append(each)
            if wanted and self.keep and not (sign and each.name == sign.object):
                self._buffer.append(each)
        if group:
            self.job = self.job.but(after=group[0].name)
        if len(self._buffer) >= self.portion:
            self._write_down()

    def _add_up(self) -> None:
        tally: Tally = added(self.job.tally, self._wanted, MINIMUM, self.now)
        self.job = self.job.but(
            tally=tally.but(kept=tally.kept + len(self._kept), kept_bytes=tally.kept_bytes + sum(each.size for each in self._kept))
        )
        self._wanted, self._kept = [], []

    def _the_sign_last(self, judge: Judge) -> None:
        """A run that is half deleted still says that it failed: the sign is in a manifest of its own, which is begun when all others are done."""
        sign = self.job.sign
        if self.keep and sign:
            found = self.objects.find(self.job.bucket, sign.object)
            if found and judge(found) == "change":
                self._write_down()
                self._buffer.append(found)

    def _write_down(self) -> None:
        if not self._buffer or not self.keep:
            return
        name = f"{self.manifests}{len(self.job.portions):05}-{uuid.uuid4().hex[:8]}.jsonl.gz"
        self.keep(name, pack(self._buffer))
        portion = Portion(manifest=name, objects=len(self._buffer), bytes=sum(each.size for each in self._buffer))
        self.job = self.job.but(portions=(*self.job.portions, portion))
        self._buffer = []
