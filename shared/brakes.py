"""The brakes before a deletion: how much may go within a day, and how large a part of all runs, on record before anything goes."""

from __future__ import annotations

from dataclasses import dataclass

from shared.errors import Conflict, Unavailable
from shared.job import CALLED_OFF, Job, rule_id, run_id, runs_prefix
from shared.journal import Journal
from shared.ledger import Ledger, raise_if_too_many, raise_if_too_much
from shared.policy_artifacts import ArtifactRule
from shared.ports import World
from shared.runs import all_runs

TRIES = 20
UNDER_WAY = CALLED_OFF | {"working"}


@dataclass(frozen=True, slots=True)
class Brakes:
    """What it takes to ask whether a run may go.

    Attributes:
        world: The ports.
        journal: The journal.
    """

    world: World
    journal: Journal

    def reserve(self, key: str, job: Job, rule: ArtifactRule) -> None:
        """Write the run down as one of today's, unless that would be too much; what a person approved goes all the same.

        Raises:
            UnsafePlan: With the numbers.
            Unavailable: Others write the record all the time.
        """
        rule_key = rule_id(job.bucket, job.rule)
        for _ in range(TRIES):
            now = self.world.clock.now()
            kept = self.journal.ledger(rule_key)
            ledger = kept.record if kept else Ledger()
            if not job.approved_by:
                raise_if_too_much(ledger, key, job, rule.limits, now)
                going = {run_id(job.bucket, run) for run in (*ledger.runs(now), job.prefix)} | self._under_way(rule_key)
                folders = all_runs(rule, lambda prefix: self.world.objects.folders(rule.bucket, prefix))
                raise_if_too_many(len(going), folders, rule.limits)
            try:
                self.journal.save_ledger(rule_key, kept, ledger.reserve(key, job, now))
            except Conflict:
                continue
            return
        raise Unavailable("others write the record of the day's deletions all the time", resource=f"gs://{job.bucket}/{job.prefix}")

    def _under_way(self, rule_key: str) -> set[str]:
        stages = self.journal.stages(runs_prefix(rule_key))
        return {key.split("-")[2] for key, stage in stages.items() if stage in UNDER_WAY}
