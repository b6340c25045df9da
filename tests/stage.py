"""A small estate in memory with a watchdog over it, for the scenarios: what Google sends, what people do, what is there afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

from shared.actions import params_by_name
from shared.by_hand import ByHand
from shared.entry import Entry, TargetRecord
from shared.journal import Journal
from shared.model import NO_LABELS, BudgetNotification
from shared.policy.policy import Policy, parse
from shared.ports import World
from shared.slack.conversation import Request
from shared.slack.desk import Desk
from shared.watchdog import Watchdog
from tests.doubles import NO_OBJECTS, Hooks, ManualClock, MemoryBucket, MemoryFleet, MemoryMessage, MemoryMessenger, MemoryTasks, scaling
from tests.envelopes import ACCOUNT, BUDGET, PERIOD

PROJECT = "acme-ml-staging"
HERE, THERE = "us-central1", "europe-west1"
NEXT_PERIOD = datetime(2026, 12, 1, 8, tzinfo=UTC)
CHANNEL = "#ml-cost"
ANN, BEN = "U012AB3CD", "U0000000BEN"

IDLE = "{scale_to_zero: {select: {labels: {env: staging}}, to: idle}}"
STOPPED = "{scale_to_zero: {select: {labels: {env: staging}}, to: stopped}}"
POOLS = '{stop_worker_pools: {select: {services: ["*"]}}}'
NOTIFY_50 = "{at: 50%, do: [notify]}"
IDLE_80 = f"{{at: 80%, do: [{IDLE}]}}"
STOPPED_100 = f"{{at: 100%, do: [{STOPPED}]}}"


class Crash(BaseException):
    """The worker dies: nothing catches it, as nothing catches kill -9."""


def a_policy(
    *steps: str, mode: str = "enforce", restore: str = "next_period", budget: str = '"*"', more: str = "", slack: str = ""
) -> Policy:
    """A policy with this ladder; `more` is further lines of YAML, `slack` further keys of that part."""
    lines = [
        "version: 1",
        f"mode: {mode}",
        f"scope: {{projects: [{PROJECT}], regions: [{HERE}, {THERE}]}}",
        "protect: {labels: {env: prod}}",
        f'slack: {{channel: "{CHANNEL}"{slack and f", {slack}"}}}',
        more,
        "budgets:",
        f"  - budget: {budget}",
        f"    restore: {restore}",
        "    steps:",
        *(f"      - {step}" for step in steps),
    ]
    return parse("\n".join(lines), source="scenario", actions=params_by_name())


def a_notification(cost: object = 80, sent_at: datetime | None = None, **more: Any) -> BudgetNotification:
    """A status message of a budget of 100."""
    told: dict[str, Any] = {
        "billing_account": ACCOUNT,
        "budget_id": BUDGET,
        "budget_name": "ML Training Budget",
        "cost": Decimal(str(cost)),
        "amount": Decimal(100),
        "currency": "USD",
        "period_start": PERIOD,
        "actual_threshold": None,
        "forecast_threshold": None,
        "message_id": "1",
        "sent_at": sent_at or ManualClock().now(),
    }
    return BudgetNotification(**(told | more))


def full_name(name: str, region: str = HERE, collection: str = "services") -> str:
    """The resource's full name."""
    return f"projects/{PROJECT}/locations/{region}/{collection}/{name}"


@dataclass
class Stage:
    """The estate, and one watchdog after another over it.

    Attributes:
        policy: In force; a test may mend it.
        workers: How many threads work.
    """

    policy: Policy
    workers: int = 1
    hooks: Hooks = field(default_factory=Hooks)
    clock: ManualClock = field(default_factory=ManualClock)

    def __post_init__(self) -> None:
        """Nothing is there yet."""
        self.bucket = MemoryBucket(self.hooks)
        self.services = MemoryFleet("service", self.hooks)
        self.pools = MemoryFleet("worker_pool", self.hooks)
        self.messenger = MemoryMessenger(self.hooks)
        self.tasks = MemoryTasks(self.hooks)

    # what there is

    def service(
        self,
        name: str,
        region: str = HERE,
        *,
        labels: Mapping[str, str] | None = None,
        facts: Mapping[str, Any] = NO_LABELS,
        **state: Any,
    ) -> str:
        """Create a service, of staging with two warm instances unless it is said otherwise."""
        wanted = scaling(**({"minimum": 2} | state)) if state.get("mode") != "manual" else scaling(**state)
        return self.services.add(full_name(name, region), wanted, labels={"env": "staging"} if labels is None else labels, facts=facts)

    def pool(self, name: str, count: int, region: str = HERE) -> str:
        """Create a worker pool."""
        return self.pools.add(full_name(name, region, "workerPools"), {"count": count})

    def state(self, name: str) -> dict[str, Any]:
        """How a service is scaled now."""
        return dict(self.services.resources[name].state)

    def states(self) -> dict[str, dict[str, Any]]:
        """How everything is scaled now."""
        return {name: dict(resource.state) for fleet in (self.services, self.pools) for name, resource in fleet.resources.items()}

    def written(self) -> list[str]:
        """The short names of what was written, in order."""
        return [name.rsplit("/", 1)[-1] for fleet in (self.services, self.pools) for name, _, _ in fleet.writes]

    # what happens

    def watchdog(self, **more: Any) -> Watchdog:
        """A fresh invocation."""
        fleets = {"service": self.services, "worker_pool": self.pools}
        world = World(self.bucket, fleets, NO_OBJECTS, self.messenger, self.tasks, self.clock, workers=self.workers)
        return Watchdog(world, self.policy, project=PROJECT, **more)

    def send(self, cost: object, **more: Any) -> list[str]:
        """Google sends a status now; the answer is what became of it, in a word each."""
        return [outcome.what for outcome in self.watchdog().respond(a_notification(cost, **({"sent_at": self.clock.now()} | more)))]

    def next_period(self, cost: object = 1) -> list[str]:
        """The period ends, and the first message of the next one comes."""
        self.clock.instant = NEXT_PERIOD + timedelta(hours=2)
        return self.send(cost, period_start=NEXT_PERIOD)

    def next_period_of(self, **budget: Any) -> list[str]:
        """The same for one budget of several."""
        self.clock.instant = max(self.clock.instant, NEXT_PERIOD + timedelta(hours=2))
        return self.send(1, period_start=NEXT_PERIOD, **budget)

    def settle(self) -> None:
        """Time enough for whatever is left to be tried again."""
        for _ in range(5):
            self.tick(61)

    def tick(self, minutes: float = 1) -> list[str]:
        """Time passes, and Cloud Scheduler ticks."""
        self.clock.sleep(minutes * 60)
        return [outcome.what for outcome in self.watchdog().tick()]

    def ann(self) -> ByHand:
        """Ann at her terminal."""
        return ByHand(self.watchdog(), "ann")

    def desk(self) -> Desk:
        """Who does what people ask for in Slack."""
        return Desk(
            self.watchdog(), lambda: "GREEN: nothing to mend", lambda command: [f"{command.share} of {command.name or 'the budget'}"]
        )

    def press(self, what: str, about: str, value: str = "", **more: Any) -> str:
        """Somebody presses a button; the answer is what they are told."""
        return self._ask(kind="press", what=what, about=about, value=value, **more)

    def command(self, text: str, **more: Any) -> str:
        """Somebody types a command; the answer is what they are told."""
        return self._ask(kind="command", what=text, **more)

    def ask(self, **asked: Any) -> Request:
        """Somebody asks for something in Slack, and it is recorded."""
        number = len([name for name in self.bucket.objects if name.startswith("requests/")]) + 1
        told: dict[str, Any] = {
            "key": f"request-{number}",
            "came": self.clock.now(),
            "user": ANN,
            "user_name": "ann",
            "channel": "C1",
            "channel_name": "ml-cost",
        }
        request = Request(**(told | {"address": f"https://hooks.slack.com/actions/{number}"} | asked))
        self.journal.save_request(None, request)
        return request

    def _ask(self, **asked: Any) -> str:
        request = self.ask(**asked)
        self.desk().answer(request.key)
        (said,) = [text for address, text in self.messenger.answers if address == request.address]
        return said

    def strike(self, method: str, error: Callable[[], BaseException], *, side: str = "before", number: int = 1) -> list[str]:
        """Let the n-th call of a method (``*``: of any) from now fail, once, before or after it does its work.

        The answer is a list that names the method once it has failed.
        """
        calls, struck = count(1), list[str]()

        def strike(called: str) -> None:
            if method in (called, "*") and next(calls) == number:
                struck.append(called)
                raise error()

        setattr(self.hooks, side, strike)
        return struck

    def always(self, method: str, error: Callable[[], BaseException]) -> None:
        """Let every call of a method fail, until all is healed."""

        def strike(called: str) -> None:
            if called == method:
                raise error()

        self.hooks.before = strike

    def meanwhile(self, method: str, happening: Callable[[], object]) -> None:
        """Let something happen once, right before the next call of a method does its work."""

        def happen(called: str) -> None:
            if called == method:
                self.heal()
                happening()

        self.hooks.before = happen

    def heal(self) -> None:
        """All calls pass again."""
        self.hooks.before = self.hooks.after = lambda _: None

    # what is told and recorded

    @property
    def headline(self) -> MemoryMessage:
        """The only headline of a thread."""
        (found,) = self.messenger.headlines
        return found

    def buttons(self, message: MemoryMessage) -> dict[str, Any]:
        """What a message has to press, by name."""
        return {element["action_id"]: element for block in message.blocks if block["type"] == "actions" for element in block["elements"]}

    def message(self, beginning: str) -> MemoryMessage:
        """The newest message that begins so."""
        return [each for each in self.messenger.messages.values() if each.text.startswith(beginning)][-1]

    @property
    def posts(self) -> list[str]:
        """The texts that arrived in Slack, but for the headlines of threads."""
        return [text for _, text, _ in self.messenger.posts]

    @property
    def journal(self) -> Journal:
        """The journal, to look into."""
        return Journal(self.bucket)

    def open(self) -> list[Entry]:
        """The open entries."""
        return list(self.journal.survey("").entries)

    def entry(self) -> Entry:
        """The only open entry."""
        (entry,) = self.open()
        return entry

    def closed(self) -> list[Entry]:
        """The closed entries."""
        names = [name for name in self.bucket.objects if name.startswith("closed/")]
        return [Entry.model_validate_json(self.bucket.objects[name][0]) for name in names]

    def target(self, name: str) -> TargetRecord:
        """The record of a resource in the only entry that has one, open or closed."""
        (found,) = [target for entry in (*self.open(), *self.closed()) for target in entry.targets if target.resource == name]
        return found
