"""The reads of an audit: everything at once within a time, and what cannot be read is a gap and hides nothing else. Reads only."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from shared.audit.estate import Estate, Gap, Inventory, JournalSeen, Need
from shared.audit.inventory import take
from shared.audit.reach import reach
from shared.audit.regions import REGIONS
from shared.audit.seen import BudgetSeen, Execution, TopicSeen
from shared.audit.sight import Sight
from shared.brake import Brake
from shared.errors import CloudError, Denied, Gone, JournalError
from shared.journal import BudgetState, Holds, Journal
from shared.model import BY_PROJECT, EVERYWHERE, Place, Resource
from shared.observe import each
from shared.plan import Guard
from shared.policy.policy import Policy
from shared.slack.conversation import Delivery

In = TypeVar("In")
T = TypeVar("T")
Part = dict[str, Any]
"""Some fields of the estate."""

LISTERS = 8
"""Buckets that are listed at once; more would only wait for each other."""
RECENT = timedelta(days=30)
MOST_CLOSED = 200
"""Closed entries that are read at most."""
RUNNING = ("service", "worker_pool")

Tell = Callable[[str, int, int], None]
"""Told how far it is: which part, how much of it is done, and how much there is. May be called from several threads."""


def quietly(_part: str, _done: int, _total: int) -> None:
    """Tell nobody."""


@dataclass
class Gatherer:
    """One audit's worth of reads.

    Attributes:
        sight: The ports.
        policy: The policy in force.
        project: The watchdog's own project.
        service: The name of the Cloud Run service it runs on; empty elsewhere.
        projects: The projects to look at.
        needs: What has to be seen.
        now: The time of the look.
        deadline: On the clock's monotonic scale: when buckets are listed no further.
        tell: Told how far it is.
    """

    sight: Sight
    policy: Policy
    project: str
    service: str
    projects: tuple[str, ...]
    needs: frozenset[Need]
    now: datetime
    deadline: float
    tell: Tell = quietly
    _gaps: list[Gap] = field(default_factory=list, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def look(self) -> Estate:
        """See everything that is needed."""
        parts = (self._fleet, self._stores, self._spending, self._measures, self._jobs, self._records)
        with ThreadPoolExecutor(len(parts)) as pool:
            running, stored, *others = pool.map(lambda part: part(), parts)
        estate = Estate(
            now=self.now, project=self.project, policy=self.policy, projects=self.projects, regions=self._regions, runtime=self.sight.runtime,
            deployed=self.sight.deployed, resources=(*running.pop("resources", ()), *stored.pop("resources", ())),
            **{name: value for part in (running, stored, *others) for name, value in part.items()},
        )  # fmt: skip
        if self.policy.budgets and "resources" in self.needs:
            seen = estate.journal or JournalSeen()
            guard = Guard(self.policy.protect, seen.holds, (self.project, self.service), estate.now, seen.unknown)
            reached, untouched = reach(self.policy.budgets, estate.resources, guard, seen.entries, estate.now)
            estate = replace(estate, reach=reached, untouched=untouched)
        return replace(estate, gaps=tuple(_together(self._gaps)))

    @property
    def _regions(self) -> tuple[str, ...]:
        return self.policy.scope.regions or REGIONS

    @property
    def _places(self) -> list[Place]:
        return [Place(project, region) for project in self.projects for region in self._regions]

    # what runs

    def _fleet(self) -> Part:
        if "resources" not in self.needs:
            return {}
        kinds = [kind for kind in RUNNING if kind in self.sight.world.fleets]
        found = self._listed([(kind, place) for kind in kinds for place in self._places], "services and worker pools")
        return {"resources": tuple(self._each("revisions", found, self._detail))}

    def _listed(self, questions: Sequence[tuple[str, Place]], part: str) -> list[Resource]:
        def ask(question: tuple[str, Place]) -> tuple[Resource, ...]:
            kind, place = question
            what = f"the {_PLURALS[kind]} of {place.project if kind in BY_PROJECT else place}"
            seen = self._ask("resources", what, f"project {place.project}", lambda: self.sight.world.fleets[kind].list(place))
            if seen and seen.unreachable:
                self._gap(Gap("resources", what, f"the platform could not reach {', '.join(seen.unreachable)}"))
            return seen.resources if seen else ()

        return [resource for resources in self._each(part, questions, ask) for resource in resources]

    def _detail(self, resource: Resource) -> Resource:
        if not any(target["revision"] for target in resource.facts.get("traffic", ())):
            return resource
        project = f"project {resource.place.project}"
        found = self._ask(
            "resources", f"the revisions of {resource.short_name}", project, lambda: self.sight.world.fleets[resource.kind].detail(resource)
        )
        return found or resource

    # what is stored

    def _stores(self) -> Part:
        if not {"resources", "objects", "stocks"} & self.needs or "bucket" not in self.sight.world.fleets:
            return {}
        buckets = self._listed([("bucket", Place(project, EVERYWHERE)) for project in self.projects], "buckets")
        if "objects" not in self.needs:
            return {"resources": tuple(buckets)}
        watched = [bucket for bucket in buckets if not bucket.facts.get("watchdog")]
        left = [len(watched)]

        def listed(bucket: Resource) -> Inventory | None:
            clock = self.sight.world.clock
            with self._lock:
                # Every bucket gets its share of the time that is left, so that a large one does not keep the others from being seen.
                share = (self.deadline - clock.monotonic()) * min(LISTERS, left[0]) / left[0]
                left[0] -= 1
            until = min(self.deadline, clock.monotonic() + share)
            return self._ask(
                "objects", f"the objects of gs://{bucket.short_name}", f"bucket {bucket.short_name}",
                lambda: take(
                    self.sight.world.objects, bucket.short_name, self.policy.artifacts, versions=bool(bucket.facts.get("versioned")),
                    now=self.now, go_on=lambda: clock.monotonic() < until,
                ),
            )  # fmt: skip

        found = self._each("objects", watched, listed, LISTERS)
        return {"resources": tuple(buckets), "inventories": {inventory.bucket: inventory for inventory in found if inventory}}

    # what is spent

    def _spending(self) -> Part:
        if not {"budgets", "topics"} & self.needs:
            return {}
        budgets = self._budgets()
        topics = self._topics(budgets or ()) if "topics" in self.needs else None
        return {"budgets": budgets, "numbers": self._numbers(), "topics": topics}

    def _budgets(self) -> tuple[BudgetSeen, ...] | None:
        accounts = {self.sight.account} if self.sight.account else set(self.policy.allowed_billing_accounts)
        if not accounts:
            owned = (*self.projects, self.project)
            named = self._each("billing accounts", sorted(set(owned)), self._account_of)
            accounts = {account for account in named if account}
        found = [
            self._ask(
                "budgets",
                f"the budgets of {account}",
                f"billing account {account}",
                partial(self.sight.budgets.list, account),
            )
            for account in sorted(accounts)
        ]
        known = [budgets for budgets in found if budgets is not None]
        return tuple(budget for budgets in known for budget in budgets) if known else None

    def _account_of(self, project: str) -> str | None:
        return self._ask(
            "budgets", f"the billing account of {project}", f"project {project}", lambda: self.sight.budgets.account_of(project)
        )

    def _numbers(self) -> dict[str, str]:
        numbers = {
            project: self._ask(
                "budgets",
                f"the number of project {project}",
                f"project {project}",
                partial(self.sight.permissions.number_of, project),
            )
            for project in sorted({*self.projects, self.project})
        }
        return {project: number for project, number in numbers.items() if number}

    def _topics(self, budgets: Iterable[BudgetSeen]) -> tuple[TopicSeen, ...]:
        named = {budget.topic: "budgets" for budget in budgets if budget.topic}
        if self.sight.tasks_topic:
            named[self.sight.tasks_topic] = "tasks"
        seen = [self._topic(TopicSeen(name, use)) for name, use in sorted(named.items())]  # type: ignore[arg-type]
        dead = {
            subscription.dead_letter_topic for topic in seen for subscription in topic.subscriptions or () if subscription.dead_letter_topic
        }
        seen += [self._topic(TopicSeen(name, "dead letters")) for name in sorted(dead - {topic.name for topic in seen})]
        waiting: dict[str, int] = {}
        for project in sorted({subscription.name.split("/")[1] for topic in seen for subscription in topic.subscriptions or ()}):
            counts = self._ask(
                "topics", f"what waits in the subscriptions of {project}", f"project {project}",
                partial(self.sight.metrics.undelivered, project, self.now),
            )  # fmt: skip
            waiting.update(counts or {})
        return tuple(_with_counts(topic, waiting) for topic in seen)

    def _topic(self, topic: TopicSeen) -> TopicSeen:
        project = f"project {topic.name.split('/')[1]}"
        try:
            publishers = self._ask(
                "topics", f"who may publish to {topic.name}", project, lambda: self.sight.topics.publishers(topic.name), missing=True
            )
            subscriptions = self._ask(
                "topics", f"the subscriptions of {topic.name}", project, lambda: self.sight.topics.subscriptions(topic.name), missing=True
            )
        except Gone:
            return replace(topic, exists=False)
        return replace(
            topic,
            publishers=None if publishers is None else tuple(publishers),
            subscriptions=None if subscriptions is None else tuple(subscriptions),
        )

    # what was measured

    def _measures(self) -> Part:
        measured: Part = {}
        if "usage" in self.needs:
            usage = self._by_project("usage", "the traffic of the services of", lambda project: self.sight.metrics.usage(project, self.now))
            measured["usage"] = usage
        if "stocks" in self.needs:
            stocks = self._by_project("stocks", "the sizes of the buckets of", lambda project: self.sight.metrics.stocks(project, self.now))
            measured["stocks"] = None if stocks is None else {bucket: tuple(parts) for bucket, parts in stocks.items()}
        return measured

    def _by_project(self, need: Need, what: str, ask: Callable[[str], Mapping[str, T]]) -> dict[str, T] | None:
        found = self._each(
            need, self.projects, lambda project: self._ask(need, f"{what} {project}", f"project {project}", lambda: ask(project))
        )
        known = [part for part in found if part is not None]
        return {name: value for part in known for name, value in part.items()} if len(known) == len(self.projects) else None

    def _jobs(self) -> Part:
        if "executions" not in self.needs:
            return {}
        found = self._each("executions of jobs", self._places, self._running)
        known = [executions for executions in found if executions is not None]
        return {"executions": tuple(execution for executions in known for execution in executions) if known else None}

    def _running(self, place: Place) -> Sequence[Execution] | None:
        return self._ask(
            "executions", f"the executions of jobs of {place}", f"project {place.project}", lambda: self.sight.executions.running(place)
        )

    # what the watchdog did

    def _records(self) -> Part:
        if "journal" not in self.needs or not self.sight.deployed:
            return {}
        return {"journal": self._ask("journal", "the journal in the state bucket", "the state bucket", self._journal)}

    def _journal(self) -> JournalSeen:
        journal, now = Journal(self.sight.world.state), self.now
        survey = journal.survey("")
        faults = list(survey.faults)

        def readable(read: Callable[[], T], otherwise: T) -> T:
            try:
                return read()
            except JournalError as error:
                faults.append(error)
                return otherwise

        keys = journal.closed_since(now - RECENT)
        closed = self._each("the journal", keys[:MOST_CLOSED], lambda key: readable(lambda: journal.load_closed(key), None))
        voices = journal.voices()
        states: dict[tuple[str, str], BudgetState] = {}
        for voice in voices:
            kept = readable(partial(journal.budget, voice.account, voice.budget), None)
            if kept:
                states[voice.account, voice.budget] = kept.record
        holds = readable(lambda: journal.holds().record, Holds())
        watch, rights, delivery = readable(journal.watch, None), readable(journal.rights, None), readable(journal.delivery, None)
        brake = readable(journal.brake, None)
        return JournalSeen(
            entries=survey.entries, faults=tuple(faults), unknown=survey.unknown, closed=tuple(entry for entry in closed if entry),
            more_closed=max(0, len(keys) - MOST_CLOSED), holds=holds, budgets=states, voices=tuple(voices), watch=watch.record if watch else None,
            rights=rights.record if rights else None, delivery=delivery.record if delivery else Delivery(),
            brake=brake.record if brake else Brake(),
        )  # fmt: skip

    # how it is asked

    def _ask(self, need: Need, what: str, on: str, ask: Callable[[], T], *, missing: bool = False) -> T | None:
        """The answer; None where there is none, and then a gap says why.

        Args:
            need: What it is needed for.
            what: What is asked for.
            on: Where a permission would have to be granted.
            ask: The question.
            missing: Whether the caller wants to know that it is not there.
        """
        try:
            return ask()
        except CloudError as error:
            if missing and isinstance(error, Gone):
                raise
            reason = str(error).removeprefix(f"{error.resource}: ")  # what it is about is said already
            self._gap(Gap(need, what, reason, denied=isinstance(error, Denied), on=on))
            return None

    def _each(self, part: str, questions: Sequence[In], ask: Callable[[In], T], workers: int | None = None) -> list[T]:
        done = [0]
        self.tell(part, 0, len(questions))

        def counted(question: In) -> T:
            answer = ask(question)
            with self._lock:
                done[0] += 1
                self.tell(part, done[0], len(questions))
            return answer

        return each(workers or self.sight.world.workers, counted, questions)

    def _gap(self, gap: Gap) -> None:
        with self._lock:
            if gap not in self._gaps:
                self._gaps.append(gap)


_PLURALS = {"service": "services", "worker_pool": "worker pools", "bucket": "buckets"}


def _together(gaps: Iterable[Gap]) -> Iterator[Gap]:
    """The gaps in order; those of many places that have one reason are one."""
    groups: dict[tuple[object, ...], list[Gap]] = {}
    for gap in sorted(gaps, key=lambda each: (each.need, each.what)):
        groups.setdefault((gap.need, gap.what.partition(" of ")[0], gap.reason, gap.denied, gap.on), []).append(gap)
    for first, *others in groups.values():
        yield replace(first, what=f"{first.what} and {len(others)} more") if others else first


def _with_counts(topic: TopicSeen, waiting: Mapping[str, int]) -> TopicSeen:
    if topic.subscriptions is None:
        return topic
    return replace(topic, subscriptions=tuple(replace(each, undelivered=waiting.get(each.name)) for each in topic.subscriptions))
