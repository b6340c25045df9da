"""What an audit may ask the world besides `shared.ports`: all of it reads, none of it changes anything.

Every method raises a `shared.errors.CloudError` and nothing else of a vendor's, and may be called from several threads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from shared.audit.seen import BudgetSeen, Execution, Stock, SubscriptionSeen, Usage
from shared.model import Place
from shared.ports import Permissions, World


class Metrics(Protocol):
    """What Cloud Monitoring has measured."""

    def usage(self, project: str, now: datetime) -> Mapping[str, Usage]:
        """By full name, what each Cloud Run service of the project did within `USAGE_WINDOW`; those that did nothing are not in it."""
        ...

    def stocks(self, project: str, now: datetime) -> Mapping[str, Sequence[Stock]]:
        """By bucket, how much each holds, by kind and storage class, as it was last measured; it is measured once a day."""
        ...

    def undelivered(self, project: str, now: datetime) -> Mapping[str, int]:
        """By full name, how many messages wait in each subscription of the project."""
        ...


class Executions(Protocol):
    """The executions of Cloud Run jobs."""

    def running(self, place: Place) -> Sequence[Execution]:
        """Those of a project and region that have not ended."""
        ...


class Budgets(Protocol):
    """Billing budgets, and the accounts that they belong to."""

    def account_of(self, project: str) -> str:
        """The id of the billing account that pays for the project; empty where none does."""
        ...

    def list(self, account: str) -> Sequence[BudgetSeen]:
        """All budgets of a billing account."""
        ...


class Topics(Protocol):
    """Pub/Sub topics and their subscriptions."""

    def publishers(self, topic: str) -> Sequence[str]:
        """The members of the topic's own IAM policy that may publish, such as ``serviceAccount:NAME``.

        Raises:
            Gone: There is no such topic.
        """
        ...

    def subscriptions(self, topic: str) -> Sequence[SubscriptionSeen]:
        """The topic's subscriptions, without what waits in them.

        Raises:
            Gone: There is no such topic.
        """
        ...


@dataclass(frozen=True, slots=True)
class Sight:
    """All that an audit reads, in one hand.

    Attributes:
        world: The ports of the watchdog, of which an audit only reads; its state is not asked where `deployed` is false.
        metrics: Cloud Monitoring.
        executions: Executions of jobs.
        budgets: Budgets.
        topics: Topics.
        permissions: What the caller may do.
        deployed: Whether there is a watchdog, so that its journal can be read.
        tasks_topic: The watchdog's topic for tasks; empty where there is none.
        runtime: The Python that the functions run on, ``python313``; empty where this is no function.
        account: The billing account whose budgets are meant, where that is told; else it is asked for, project by project.
    """

    world: World
    metrics: Metrics
    executions: Executions
    budgets: Budgets
    topics: Topics
    permissions: Permissions
    deployed: bool = True
    tasks_topic: str = ""
    runtime: str = ""
    account: str = ""
