"""What an audit asks, in memory: each question can be made to fail, and every one is counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from shared.audit.seen import BudgetSeen, Execution, Stock, SubscriptionSeen, Usage
from shared.audit.sight import Sight
from shared.errors import CloudError, Gone
from shared.model import Place
from shared.ports import World

T = TypeVar("T")


@dataclass
class MemorySight:
    """All of it in one hand.

    Attributes:
        faults: By method, what it raises.
        asked: The questions, in order.
        used: By project, the traffic of its services.
        stored: By project, the sizes of its buckets.
        waiting: By project, what waits in its subscriptions.
        executing: By place, the executions.
        accounts: By project, its billing account.
        budgeted: By billing account, its budgets.
        publishing: By topic, who may publish.
        subscribed: By topic, its subscriptions.
        numbers: By project, its number.
        lacking: By project or bucket, the permissions that the caller does not have.
    """

    faults: dict[str, CloudError] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    used: dict[str, dict[str, Usage]] = field(default_factory=dict)
    stored: dict[str, dict[str, list[Stock]]] = field(default_factory=dict)
    waiting: dict[str, dict[str, int]] = field(default_factory=dict)
    executing: dict[Place, list[Execution]] = field(default_factory=dict)
    accounts: dict[str, str] = field(default_factory=dict)
    budgeted: dict[str, list[BudgetSeen]] = field(default_factory=dict)
    publishing: dict[str, list[str]] = field(default_factory=dict)
    subscribed: dict[str, list[SubscriptionSeen]] = field(default_factory=dict)
    numbers: dict[str, str] = field(default_factory=dict)
    lacking: dict[str, frozenset[str]] = field(default_factory=dict)

    def sight(self, world: World, **more: object) -> Sight:
        """As an audit takes it."""
        return Sight(world, self, _Executions(self), _Budgets(self), self, self, **more)  # type: ignore[arg-type]

    def usage(self, project: str, now: datetime) -> Mapping[str, Usage]:
        assert now.tzinfo
        return self._say("usage", project, self.used.get(project, {}))

    def stocks(self, project: str, now: datetime) -> Mapping[str, Sequence[Stock]]:
        assert now.tzinfo
        return self._say("stocks", project, self.stored.get(project, {}))

    def undelivered(self, project: str, now: datetime) -> Mapping[str, int]:
        assert now.tzinfo
        return self._say("undelivered", project, self.waiting.get(project, {}))

    def publishers(self, topic: str) -> Sequence[str]:
        return self._known("publishers", topic, self.publishing)

    def subscriptions(self, topic: str) -> Sequence[SubscriptionSeen]:
        return self._known("subscriptions", topic, self.subscribed)

    def number_of(self, project: str) -> str:
        return self._say("number_of", project, self.numbers.get(project, "123456789"))

    def held_on_project(self, project: str, permissions: Iterable[str]) -> frozenset[str]:
        return self._say("held_on_project", project, frozenset(permissions) - self.lacking.get(project, frozenset()))

    def held_on_bucket(self, bucket: str, permissions: Iterable[str]) -> frozenset[str]:
        return self._say("held_on_bucket", bucket, frozenset(permissions) - self.lacking.get(bucket, frozenset()))

    def _known(self, method: str, topic: str, known: Mapping[str, list[T]]) -> Sequence[T]:
        found = self._say(method, topic, known.get(topic))
        if found is None:
            raise Gone("there is no such topic", resource=topic)
        return found

    def _say(self, method: str, about: str, answer: T) -> T:
        self.asked.append(f"{method} {about}")
        for name in (method, f"{method} {about}"):
            if name in self.faults:
                raise self.faults[name]
        return answer


@dataclass
class _Executions:
    """Executions of jobs."""

    sight: MemorySight

    def running(self, place: Place) -> Sequence[Execution]:
        return self.sight._say("running", str(place), self.sight.executing.get(place, []))


@dataclass
class _Budgets:
    """Budgets."""

    sight: MemorySight

    def account_of(self, project: str) -> str:
        return self.sight._say("account_of", project, self.sight.accounts.get(project, ""))

    def list(self, account: str) -> Sequence[BudgetSeen]:
        return self.sight._say("list", account, self.sight.budgeted.get(account, []))
