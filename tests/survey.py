"""A yard with all that an audit can ask besides, for the scenarios of audits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from shared.audit.estate import Estate, Need
from shared.audit.gather import Gatherer, quietly
from shared.audit.seen import BudgetSeen, SubscriptionSeen
from shared.audit.sight import Sight
from shared.errors import Denied
from shared.model import EVERYWHERE, Place, Resource
from shared.ports import Seen, World
from tests.buckets import BUCKET_FACTS
from tests.doubles import MemoryFleet
from tests.sight_double import MemorySight
from tests.stage import HERE, PROJECT
from tests.yard import RUNS, Yard

ALL: tuple[Need, ...] = ("resources", "usage", "executions", "objects", "stocks", "budgets", "topics", "journal")
ACCOUNT = "01D4EE-079462-DFD6EC"
TOPIC, TASKS, DEAD = (f"projects/{PROJECT}/topics/{name}" for name in ("budgets", "tasks", "dead"))
BUDGET = BudgetSeen(f"billingAccounts/{ACCOUNT}/budgets/b-1", "ML Training Budget", Decimal(100), "USD", topic=TOPIC)


@dataclass
class Survey(Yard):
    """A yard with all that an audit can ask besides."""

    seer: MemorySight = field(default_factory=MemorySight)

    def __post_init__(self) -> None:
        """One budget, one topic, one bucket."""
        super().__post_init__()
        self.buckets = MemoryFleet("bucket", self.hooks)
        self.bucket_name = self.add_bucket(RUNS)
        self.seer.accounts[PROJECT] = ACCOUNT
        self.seer.budgeted[ACCOUNT] = [BUDGET]
        dead = SubscriptionSeen(f"projects/{PROJECT}/subscriptions/eventarc", dead_letter_topic=DEAD)
        self.seer.publishing = {TOPIC: ["serviceAccount:google"], TASKS: [], DEAD: []}
        self.seer.subscribed = {TOPIC: [dead], TASKS: [], DEAD: []}

    def add_bucket(self, name: str, **facts: Any) -> str:
        """A bucket, as the listing of its project shows it."""
        full = f"projects/{PROJECT}/locations/{HERE}/buckets/{name}"
        self.buckets.resources[full] = Resource("bucket", full, facts={**BUCKET_FACTS, **facts})
        return full

    def sight(self, **more: Any) -> Sight:
        """All that an audit reads."""
        fleets: dict[str, Any] = {"service": self.services, "worker_pool": self.pools, "bucket": _Everywhere(self.buckets)}
        world = World(self.bucket, fleets, self.objects, self.messenger, self.tasks, self.clock, workers=4)
        return self.seer.sight(world, **({"tasks_topic": TASKS} | more))

    def look(self, needs: Iterable[Need] = ALL, *, seconds: float = 60, tell: Any = quietly, **sight: Any) -> Estate:
        """One look."""
        return Gatherer(
            self.sight(**sight), self.policy, PROJECT, "audit", self.policy.scope.projects, frozenset(needs), self.clock.now(),
            self.clock.monotonic() + seconds, tell,
        ).look()  # fmt: skip


@dataclass
class _Everywhere:
    """Buckets are listed by project, wherever they are."""

    fleet: MemoryFleet

    def __getattr__(self, name: str) -> Any:
        return getattr(self.fleet, name)

    def list(self, place: Place) -> Seen:
        assert place.region == EVERYWHERE
        if place in self.fleet.broken:
            raise Denied("may not list buckets (storage.buckets.list)", resource=str(place))
        return Seen(tuple(each for each in self.fleet.resources.values() if each.place.project == place.project))
