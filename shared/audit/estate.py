"""What an audit has seen, as values: the nouns that the checks look at. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal

from shared.audit.seen import BudgetSeen, Execution, Stock, TopicSeen, Usage
from shared.blind import Voice, Watch
from shared.brake import Brake
from shared.entry import Entry
from shared.errors import JournalError
from shared.journal import BudgetState, Holds
from shared.model import Resource
from shared.policy.policy import Policy
from shared.rights import Rights
from shared.slack.conversation import Delivery

Need = Literal["resources", "usage", "executions", "objects", "stocks", "budgets", "topics", "journal"]
"""Something that a check has to see; what no check of an audit needs is not asked for."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that could not be looked at, or only in part.

    Attributes:
        need: What it was needed for.
        what: What could not be looked at, as it stands in a sentence: ``the services of acme-ml-staging/us-central1``.
        reason: Why, in the platform's words.
        denied: Whether a permission is missing.
        on: Where that permission has to be granted: ``project acme-ml-staging`` or ``billing account 01D4EE-079462-DFD6EC``.
    """

    need: Need
    what: str
    reason: str
    denied: bool = False
    on: str = ""


@dataclass(frozen=True, slots=True)
class Heap:
    """Some objects, added up."""

    objects: int = 0
    bytes: int = 0

    def __add__(self, other: Heap) -> Heap:
        return Heap(self.objects + other.objects, self.bytes + other.bytes)


AGES = (0, 30, 90, 365)
"""In days: an object counts under the largest of these that its age reaches. 30, 90 and 365 are the minimum durations of the colder storage classes."""

RunState = Literal["failed", "abandoned", "unpromoted"]


@dataclass(frozen=True, slots=True)
class RunSeen:
    """One training run that the policy's rules about artifacts mean, and that nobody seems to need.

    Attributes:
        runs: The `runs` pattern of the rule.
        prefix: The run's folder, with a slash at the end.
        state: ``failed``: it carries a sign; ``abandoned``: neither promoted nor written to for the rule's `abandoned_after`; ``unpromoted``: neither
            promoted nor failed, and not written to for 30 days.
        size: Its objects, without what the rule keeps.
        classes: The same by storage class.
        newest: When its newest object was written, UTC.
        words: What says so, for people.
    """

    runs: str
    prefix: str
    state: RunState
    size: Heap
    classes: Mapping[str, Heap]
    newest: datetime
    words: str


@dataclass(frozen=True, slots=True)
class Inventory:
    """The objects of one bucket, listed and added up.

    Attributes:
        bucket: Its name.
        whole: Whether all of it was listed; otherwise only what comes up to `until`, in the order of names.
        until: The last name that was listed; empty where there is none.
        live: Live objects by storage class and by their age in days, one of `AGES`.
        noncurrent: Noncurrent versions by storage class.
        runs: The runs that nobody seems to need, the largest first, at most `RUNS` of each state.
        more_runs: By state, what was left out of `runs`.
        unread: Runs whose status files were not looked into, for want of time.
        checkpoints: Live objects that are checkpoints by their names, older than 30 days, and not compressed by theirs.
    """

    bucket: str
    whole: bool = True
    until: str = ""
    live: Mapping[tuple[str, int], Heap] = field(default_factory=dict)
    noncurrent: Mapping[str, Heap] = field(default_factory=dict)
    runs: tuple[RunSeen, ...] = ()
    more_runs: Mapping[RunState, Heap] = field(default_factory=dict)
    unread: int = 0
    checkpoints: Heap = Heap()

    @property
    def total(self) -> Heap:
        """All live objects that were listed."""
        return sum(self.live.values(), Heap())


RUNS = 20
"""How many runs of each state an inventory names."""


@dataclass(frozen=True, slots=True)
class JournalSeen:
    """What stands in the journal.

    Attributes:
        entries: The open entries that can be read.
        faults: What is wrong with each of the others.
        unknown: Resources that stand in those others.
        closed: Entries that were made within the last 30 days and are done, the newest first, at most 200.
        more_closed: How many of them were left out.
        holds: What people protect for a time.
        budgets: By billing account and budget id, what is known of each budget that ever sent a message.
        voices: Of the same budgets, when each was heard last.
        watch: What the tick remembers of its looks; None where it never looked.
        rights: What the tick found that it may and may not do; None where it never tried.
        delivery: The channels that Slack does not take messages for.
        brake: What was changed within the hour, and whether that was too much.
    """

    entries: tuple[Entry, ...] = ()
    faults: tuple[JournalError, ...] = ()
    unknown: frozenset[str] = frozenset()
    closed: tuple[Entry, ...] = ()
    more_closed: int = 0
    holds: Holds = field(default_factory=Holds)
    budgets: Mapping[tuple[str, str], BudgetState] = field(default_factory=dict)
    voices: tuple[Voice, ...] = ()
    watch: Watch | None = None
    rights: Rights | None = None
    delivery: Delivery = field(default_factory=Delivery)
    brake: Brake = field(default_factory=Brake)


@dataclass(frozen=True, slots=True)
class Reach:
    """A step of the policy that means a resource.

    Attributes:
        budget: The budget's name, as the policy has it.
        step: The step's key, ``actual-0.8``.
        action: What it would do.
        saving: What that would save, US dollars a month at list price.
        approve: Whether it asks first.
    """

    budget: str
    step: str
    action: str
    saving: Decimal
    approve: bool = False


@dataclass(frozen=True, slots=True)
class Estate:
    """All that one audit has seen. What was not asked for, or could not be seen, is None or empty; `gaps` says which.

    Attributes:
        now: When it was looked at, UTC.
        project: The watchdog's own project.
        numbers: Project ids and their numbers, as far as they could be asked.
        policy: The policy in force.
        projects: The projects that were looked at.
        regions: The regions that were looked at.
        runtime: The Python that the functions run on, ``python313``; empty where this is no function.
        resources: Services, worker pools and buckets, with their details.
        reach: By full name, the steps that would change the resource.
        untouched: By full name, why no step would change the resource; what some step would change is not among them.
        usage: By full name of the service; a service that is not in it did nothing. None where that is not known.
        executions: Executions of jobs that have not ended. None where that is not known.
        stocks: By name of the bucket. None where that is not known.
        inventories: By name of the bucket.
        budgets: None where none could be asked for.
        topics: None where that is not known.
        journal: None where there is no watchdog yet, or its journal does not answer.
        deployed: Whether there is a watchdog whose journal can be asked.
        gaps: What could not be looked at.
    """

    now: datetime
    project: str
    policy: Policy
    numbers: Mapping[str, str] = field(default_factory=dict)
    projects: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    runtime: str = ""
    resources: tuple[Resource, ...] = ()
    reach: Mapping[str, tuple[Reach, ...]] = field(default_factory=dict)
    untouched: Mapping[str, str] = field(default_factory=dict)
    usage: Mapping[str, Usage] | None = None
    executions: tuple[Execution, ...] | None = None
    stocks: Mapping[str, tuple[Stock, ...]] | None = None
    inventories: Mapping[str, Inventory] = field(default_factory=dict)
    budgets: tuple[BudgetSeen, ...] | None = None
    topics: tuple[TopicSeen, ...] | None = None
    journal: JournalSeen | None = None
    deployed: bool = True
    gaps: tuple[Gap, ...] = ()

    def of_kind(self, kind: str) -> tuple[Resource, ...]:
        """The resources of one kind, in the order of their names."""
        return tuple(sorted((each for each in self.resources if each.kind == kind), key=lambda each: each.name))

    def spared(self, resource: Resource) -> str | None:
        """Why the watchdog would not touch the resource by anybody's word: protected, or its own; None where it might."""
        if resource.facts.get("watchdog"):
            return "the watchdog itself"
        return self.policy.protect.covers(resource)
