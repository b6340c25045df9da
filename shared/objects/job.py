"""Work on the objects of one bucket, as the journal keeps it: what it may touch, how far it is, and what may happen to it. Pure.

A job looks at what is there, waits, looks again, writes down every object that it is about to change, and only then changes them, portion by portion.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any, Literal

from pydantic import AwareDatetime

from shared.model import BucketFacts, StorageObject
from shared.record import Record

Stage = Literal["noticed", "waiting", "planning", "working", "done", "left", "refused", "cancelled", "rehearsed", "undoing", "undone"]
"""``noticed``: nobody has looked yet. ``waiting``: announced, until `due_at`. ``planning``: due, being looked at again. ``working``: the plan is recorded, and
is carried out. ``done``: carried out, and it can be undone until `undo_until`. ``left``: left alone, see `reason`. ``refused`` by a limit, until a person
approves. ``rehearsed``: a dry run. ``undoing``: being put back. ``undone``: as far as it could be put back, it is."""

ENDED: frozenset[Stage] = frozenset({"left", "cancelled", "rehearsed", "undone"})
"""Nothing is left to do but to tell of it."""
CAN_BE_CALLED_OFF: frozenset[Stage] = frozenset({"noticed", "waiting", "planning", "refused"})
"""Nothing was changed yet, so that it can be called off without a trace."""
UNDOABLE: frozenset[Stage] = frozenset({"working", "done", "undone"})

RUN = "{run}"
NAMED = 20
"""How many objects that were not changed are named in the journal; all of them stand in the log."""


class Sign(Record):
    """What said that a run has failed.

    Attributes:
        object: The object's whole name; for an abandoned run the last one written.
        generation: Its generation.
        at: When it was written; whatever is newer than that is life.
        words: Why that means failure, for people: ``status.json says state: FAILED``.
    """

    object: str
    generation: int
    at: AwareDatetime
    words: str


class Bucket(Record):
    """What was seen of the bucket; see `shared.model.BucketFacts`."""

    name: str
    location: str
    soft_delete: timedelta
    versioned: bool = False
    autoclass: bool = False

    @classmethod
    def seen(cls, facts: BucketFacts) -> Bucket:
        """What the journal keeps of it."""
        return cls(
            name=facts.name, location=facts.location, soft_delete=facts.soft_delete, versioned=facts.versioned, autoclass=facts.autoclass
        )


class ClassTally(Record):
    """The objects of one storage class.

    Attributes:
        objects: How many.
        bytes: How much.
        early: The bytes that were within their minimum duration at the look, by the day (UTC) on which it is over for them.
    """

    objects: int = 0
    bytes: int = 0
    early: Mapping[date, int] = {}


class Tally(Record):
    """What a look at objects added up.

    Attributes:
        classes: What the job would change, by storage class.
        kept: How many objects the policy keeps.
        kept_bytes: And how much that is.
    """

    classes: Mapping[str, ClassTally] = {}
    kept: int = 0
    kept_bytes: int = 0

    @property
    def objects(self) -> int:
        """How many objects the job would change."""
        return sum(each.objects for each in self.classes.values())

    @property
    def bytes(self) -> int:
        """How much that is."""
        return sum(each.bytes for each in self.classes.values())


class Remainder(Record):
    """An object that was to be changed and was not.

    Attributes:
        name: Its name.
        reason: Why.
    """

    name: str
    reason: str


class Portion(Record):
    """Some of the objects of the plan, in the order of their names, written down in one manifest.

    Attributes:
        manifest: The manifest's name in the state bucket.
        begun: Whether any of them may have been changed; saved before the first of them is.
        superseded: Whether a later look planned anew what was left of it.
        reached: How many of them had been changed before it was begun anew.
        reached_bytes: And how much that was.
        objects: How many it holds.
        bytes: And how much that is.
        settled: How many of them, from the first on, are settled; what a killed worker had begun beyond them is done again and found done.
        changed: How many of them were changed.
        changed_bytes: And how much that is.
        made_bytes: How much was made in their place, where they were compressed.
        left: How many were left alone.
        failed: How many could not be changed yet.
        back: How many were put back.
        untouched: How many had never been changed, as was found when they were to be put back.
        lost: How many could not be put back.
        named: The first of those that were not changed or not put back, with the reasons.
    """

    manifest: str
    objects: int
    bytes: int
    begun: bool = False
    superseded: bool = False
    reached: int = 0
    reached_bytes: int = 0
    settled: int = 0
    changed: int = 0
    changed_bytes: int = 0
    made_bytes: int = 0
    left: int = 0
    failed: int = 0
    back: int = 0
    untouched: int = 0
    lost: int = 0
    named: tuple[Remainder, ...] = ()

    @property
    def finished(self) -> bool:
        """Whether every object of it is settled."""
        return self.settled >= self.objects


class Job(Record):
    """What is done to the objects of one bucket.

    Attributes:
        action: ``delete_run``, or the name of the policy's action.
        bucket: The bucket's name.
        prefix: Where its objects are; nothing outside is ever touched. It ends with a slash; empty is the whole bucket, which no run ever is.
        rule: For a run, the pattern of the policy's rule (`runs`).
        occasion: Why: a run ``failed`` or was ``abandoned``, or a ``step`` of a budget was reached.
        sign: What said so, for a run.
        params: For an action of the policy, its parameters as plain JSON.
        stage: How far it is.
        seen: The bucket at the last look.
        tally: What the last look added up.
        after: Where that look stands: the last name that it has seen; empty at its beginning.
        portions: The plan, written down.
        due_at: Until when it waits; when it is looked at again otherwise.
        reason: Why it was left alone, refused, or cannot go on.
        approved_by: Who approved it although a limit refused it.
        decided_by: Who called it off, or asked for it to be undone.
        decided_at: When that was decided, or that it goes on although a limit refused it.
        channel: Where its owners are told of it; empty where that is the policy's channel.
        undo_until: Until when it can be undone; None where nothing changed, or where there is no end to it.
        undone_at: When it was put back.
        planned_at: When what it is to change was looked at last.
        attempts: How many times in a row it could not go on.
        tries: How many times in a row some objects could not be changed.
        hindrance: What kind of thing keeps it from going on, in a word.
        told: The stage that people were last told of.
        told_reason: The reason that they were told with it.
        told_hindrance: And what kind of hindrance that was.
        parent: For a part that is worked on by itself: the entry that it belongs to.
        stopping: Why no further portion is begun; what others still work on is waited for.
    """

    action: str
    bucket: str
    prefix: str
    rule: str = ""
    occasion: Literal["failed", "abandoned", "step"] = "step"
    sign: Sign | None = None
    params: Mapping[str, Any] = {}
    stage: Stage = "noticed"
    seen: Bucket | None = None
    tally: Tally = Tally()
    after: str = ""
    portions: tuple[Portion, ...] = ()
    due_at: AwareDatetime | None = None
    reason: str = ""
    approved_by: str = ""
    decided_by: str = ""
    decided_at: AwareDatetime | None = None
    channel: str = ""
    undo_until: AwareDatetime | None = None
    undone_at: AwareDatetime | None = None
    planned_at: AwareDatetime | None = None
    attempts: int = 0
    tries: int = 0
    hindrance: str = ""
    told: Stage | None = None
    told_reason: str = ""
    told_hindrance: str = ""
    parent: str = ""
    stopping: str = ""

    @property
    def run(self) -> str:
        """The run's own name: the part of its folder that stands where the rule has its placeholder."""
        parts, pattern = self.prefix.rstrip("/").split("/"), self.rule.split("/")
        return parts[pattern.index(RUN)] if RUN in pattern and pattern.index(RUN) < len(parts) else parts[-1]

    @property
    def changed(self) -> int:
        """How many objects were changed."""
        return sum(portion.changed for portion in self.portions)

    @property
    def changed_bytes(self) -> int:
        """And how much that is."""
        return sum(portion.changed_bytes for portion in self.portions)

    @property
    def begun(self) -> bool:
        """Whether anything may have been changed."""
        return any(portion.begun for portion in self.portions)

    @property
    def made_bytes(self) -> int:
        """How much was made in their place, where they were compressed."""
        return sum(portion.made_bytes for portion in self.portions)

    def news(self) -> bool:
        """Whether people have not been told of how it stands."""
        return (self.stage, self.reason) != (self.told, self.told_reason)

    def due(self, now: datetime, far: datetime) -> datetime | None:
        """When somebody should look at it again; None when nothing is left to do.

        Args:
            now: The time of asking.
            far: What stands for "when a person decides".
        """
        if self.stage in ENDED:
            if self.news() and not self.parent:
                return now
            # What did not come back can be asked for again, as long as it may be there.
            unfinished = self.stage == "undone" and any(portion.lost or portion.failed for portion in self.portions)
            return self.undo_until if unfinished and self.undo_until and self.undo_until > now else None
        if self.stage == "refused":
            return far if not self.news() else now
        if self.stage == "done":
            if self.news() and not self.parent:
                return now
            return self.undo_until if self.undo_until and self.undo_until > now and not self.parent else None
        return self.due_at or now


def afresh(job: Job) -> Job:
    """At the beginning of the second look; what was begun by an earlier plan stays on record, so that it can be undone."""
    begun = tuple(_superseded(portion) for portion in job.portions if portion.begun)
    return job.but(stage="planning", after="", tally=Tally(), portions=begun, due_at=None, reason="")


def _superseded(portion: Portion) -> Portion:
    changed, size = max(portion.changed, portion.reached), max(portion.changed_bytes, portion.reached_bytes)
    return portion.but(superseded=True, left=0, failed=0, named=(), changed=changed, changed_bytes=size)


def approve(job: Job, *, by: str, now: datetime) -> Job:
    """Let it go on although a limit refused it; it is looked at again all the same."""
    return afresh(job).but(approved_by=by, decided_at=now) if job.stage == "refused" else job


def cancel(job: Job, *, by: str, now: datetime) -> Job:
    """Call off what is left of it; what was changed can be put back."""
    if job.stage == "working":
        return job.but(stopping=f"called off by {by}", decided_by=by, decided_at=now, due_at=None)
    if job.stage not in CAN_BE_CALLED_OFF:
        return job
    if job.begun:
        return job.but(stage="done", decided_by=by, decided_at=now, due_at=None, reason=f"called off by {by}")
    return job.but(stage="cancelled", decided_by=by, decided_at=now, due_at=None, reason="")


def ask_undo(job: Job, *, by: str, now: datetime) -> Job:
    """Ask for what it changed to be put back; what has not begun is called off."""
    if job.stage not in UNDOABLE and not (job.stage in CAN_BE_CALLED_OFF and job.begun):
        return cancel(job, by=by, now=now)
    portions = tuple(portion.but(settled=0, back=0, untouched=0, lost=0, failed=0, named=()) for portion in job.portions if portion.begun)
    return job.but(stage="undoing", decided_by=by, decided_at=now, portions=portions, due_at=None, attempts=0, tries=0, reason="")


def rule_id(bucket: str, runs: str) -> str:
    """What tells the rules of the policy apart in the journal."""
    return _digest(bucket, runs)


def run_id(bucket: str, prefix: str) -> str:
    """What tells the runs apart in the journal."""
    return _digest(bucket, prefix)


def runs_prefix(rule: str) -> str:
    """How the keys of the entries of a rule begin; dry runs have keys of their own."""
    return f"run-{rule}-"


def run_key(job: Job, *, observe: bool) -> str:
    """The key of a run's entry: the same for every notice of the same sign.

    ``run-RULE-RUN-NAME-GENERATION``; for a dry run it begins with ``rehearsal``, so that the same sign counts again once it is none any more.
    """
    name = re.sub(r"[^0-9A-Za-z_]+", "_", job.run)[:40]
    generation = job.sign.generation if job.sign else 0
    return f"{'rehearsal' if observe else 'run'}-{rule_id(job.bucket, job.rule)}-{run_id(job.bucket, job.prefix)}-{name}-{generation}"


def step_key(job: Job, entry: str) -> str:
    """The key of the entry about objects that a step of this other entry began."""
    return f"{job.action}-{_digest(entry, job.bucket, job.prefix, json.dumps(dict(job.params), sort_keys=True))}-{job.bucket[:60]}"


def siblings(key: str) -> str:
    """How the keys of all entries of the same run begin."""
    return "-".join(key.split("-")[:3]) + "-"


def part_key(key: str, index: int) -> str:
    """The key of the entry that works on one portion of another's plan."""
    return f"{parts_of(key)}{index:05}"


def parts_of(key: str) -> str:
    """How the keys of the entries that work on portions of this one's plan begin."""
    return f"{key}_part"


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:10]


def added(tally: Tally, objects: Iterable[StorageObject], early: Mapping[str, timedelta], now: datetime) -> Tally:
    """The tally with these objects too, as what the job would change.

    Args:
        tally: Before.
        objects: What comes to it.
        early: The minimum duration of each storage class that has one.
        now: The time of the look.
    """
    sums: dict[str, list[int]] = {}
    days: dict[str, Counter[date]] = {}
    for each in objects:
        total = sums.setdefault(each.storage_class, [0, 0])
        total[0] += 1
        total[1] += each.size
        minimum = early.get(each.storage_class)
        if minimum and (end := each.created + minimum) > now:
            days.setdefault(each.storage_class, Counter())[end.date()] += each.size
    classes = dict(tally.classes)
    for name, (count, size) in sums.items():
        before = classes.get(name, ClassTally())
        both = Counter(before.early) + days.get(name, Counter())
        classes[name] = ClassTally(objects=before.objects + count, bytes=before.bytes + size, early=dict(sorted(both.items())))
    return tally.but(classes=classes)
