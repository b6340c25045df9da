"""The daily limits, asked before a deletion: how much may go within a day, and how large a part of all runs, on record before anything goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from itertools import chain

from shared.errors import Conflict, Unavailable, UnsafePlan
from shared.journal import Journal
from shared.objects.job import Job, rule_id, run_id, runs_prefix
from shared.objects.ledger import DAY, Ledger, raise_if_too_many, raise_if_too_much
from shared.objects.runs import all_runs
from shared.policy.artifacts import ArtifactRule
from shared.ports import World

TRIES = 20
UNDER_WAY = frozenset({"waiting", "planning", "working"})
REHEARSAL = "rehearsal"


@dataclass(frozen=True, slots=True)
class DailyLimits:
    """What it takes to ask whether a run may go.

    Attributes:
        world: The ports.
        journal: The journal.
    """

    world: World
    journal: Journal

    def reserve(self, key: str, job: Job, rule: ArtifactRule) -> None:
        """Write the run down as one of today's, unless that would be too much; what a person approved goes all the same.

        Dry runs have a record of their own, so that they are told what would be refused.

        Raises:
            UnsafePlan: With the numbers.
            Unavailable: Others write the record all the time.
            JournalError: The record cannot be read.
        """

        def reserved(ledger: Ledger) -> tuple[Ledger, UnsafePlan | None]:
            now = self.world.clock.now()
            try:
                if not job.approved_by:
                    self._raise_if_unsafe(ledger, key, job, rule, now)
            except UnsafePlan as error:
                return ledger.refuse(key, job.prefix, now), error
            return ledger.reserve(key, job, now), None

        if refusal := self._change(key, job, reserved):
            raise refusal

    def give_back(self, key: str, job: Job) -> None:
        """Take the run off today's again, where something else than these limits stopped it.

        Raises:
            Unavailable: Others write the record all the time.
            JournalError: The record cannot be read.
        """
        self._change(key, job, lambda ledger: (ledger.give_back(key), None))

    def _change(self, key: str, job: Job, change: Callable[[Ledger], tuple[Ledger, UnsafePlan | None]]) -> UnsafePlan | None:
        rule_key = rule_id(job.bucket, job.rule)
        record_key = rule_key if key.startswith(runs_prefix(rule_key)) else f"{rule_key}-{REHEARSAL}"
        for _ in range(TRIES):
            kept = self.journal.ledger(record_key)
            changed, refusal = change(kept.record if kept else Ledger())
            try:
                self.journal.save_ledger(record_key, kept, changed)
            except Conflict:
                continue
            return refusal
        raise Unavailable("others write the record of the day's deletions all the time", resource=f"gs://{job.bucket}/{job.prefix}")

    def _raise_if_unsafe(self, ledger: Ledger, key: str, job: Job, rule: ArtifactRule, now: datetime) -> None:
        raise_if_too_much(ledger, key, job, rule.limits, now)
        gone = ledger.gone(now) | {job.prefix}
        going = {run_id(job.bucket, run) for run in (*ledger.runs(now), job.prefix)} | self._under_way(key, now)
        there = all_runs(rule, lambda prefix: self.world.objects.folders(rule.bucket, prefix))
        # What went today is still one of the runs that there were.
        raise_if_too_many(len(going), chain(gone, (run for run in there if run not in gone)), rule.limits)

    def _under_way(self, key: str, now: datetime) -> set[str]:
        """The runs of this rule that are being deleted, or are to be within a day; for a dry run, those that have just been noticed."""
        wanted = UNDER_WAY if key.startswith("run-") else {"noticed"}
        entries = self.journal.stages("-".join(key.split("-")[:2]) + "-")
        return {each.split("-")[2] for each, (stage, due) in entries.items() if stage in wanted and due - now < DAY}
