"""The one place where the ports meet their adapters: settings in, a watchdog out. Clients are made once a process, on first need.

What only some events need is imported where it is needed: most events that start a process want nothing but a look at the policy.
"""

from __future__ import annotations

import os
import sys
import threading
from functools import cache
from typing import TYPE_CHECKING

from functions import logs, policy_in_force
from shared.settings import Settings

if TYPE_CHECKING:
    from shared.audit.sight import Sight
    from shared.objects.runs import Suspect
    from shared.pace import Pacer
    from shared.ports import Messenger, Permissions, World
    from shared.watchdog import Watchdog

_making = threading.Lock()
"""A lock of its own, since nobody should wait for a policy that is being read to get at the ports, or the other way round."""


def start() -> None:
    """Set up the log and refuse to start with settings, or a policy on disk, that cannot be used.

    The function that storage events start is not kept waiting for the whole policy, of which hardly any of them needs more than the signs' names.

    Raises:
        SettingsError: With every fault.
    """
    found = settings()
    logs.configure(found.project, found.secrets)
    if not found.policy.startswith("gs://"):
        policy_in_force.require(found, names_alone=os.environ.get("FUNCTION_TARGET") == "storage_event")


@cache
def settings() -> Settings:
    """The environment, read once."""
    return Settings.from_env(os.environ)


def audit_settings(project: str | None) -> Settings:
    """The environment for an audit from a terminal: of this project, where one is named, and then a journal need not be there.

    Raises:
        SettingsError: With every fault.
    """
    named = {"GOOGLE_CLOUD_PROJECT": project} if project else {}
    return Settings.from_env({**os.environ, **named}, deployed=not project)


def suspects(bucket: str, name: str) -> tuple[Suspect, ...]:
    """The runs of which an object of this name may say that they have failed, by the policy in force; none, for almost all names.

    Raises:
        SettingsError: The policy cannot be used.
    """
    return policy_in_force.suspects(settings(), bucket, name)


def world(found: Settings) -> World:
    """All ports, made once a process however many threads ask at once, so that they share their clients and what these keep count of."""
    with _making:
        return _world(found)


@cache
def _world(found: Settings) -> World:
    """The ports by the adapters for the real services; none of them connects before it is used."""
    from shared.clock import SystemClock
    from shared.cloud.buckets import GcsBuckets
    from shared.cloud.objects import GcsObjectStore
    from shared.cloud.run_services import CloudRunServices
    from shared.cloud.run_worker_pools import CloudRunWorkerPools
    from shared.cloud.state_bucket import GcsStateBucket
    from shared.cloud.tasks import PubSubTasks
    from shared.ports import World

    return World(
        state=GcsStateBucket(found.state_bucket),
        fleets={
            "bucket": GcsBuckets(found.state_bucket),
            "service": CloudRunServices(found.run_host),
            "worker_pool": CloudRunWorkerPools(found.run_host),
        },
        objects=GcsObjectStore(),
        messenger=_messenger(found),
        tasks=PubSubTasks(found.tasks_topic) if found.tasks_topic else None,
        clock=SystemClock(),
        permissions=_permissions(found),
    )


@cache
def _permissions(found: Settings) -> Permissions:
    """What the caller may do, asked through one client."""
    from shared.cloud.permissions import CallersPermissions

    return CallersPermissions(found.projects_host)


@cache
def _paced() -> Pacer:
    """The quota, which all invocations of a process share."""
    from shared.pace import Pacer

    return Pacer()


def _messenger(found: Settings) -> Messenger | None:
    """Slack as it is set up: as an app, or as an incoming webhook where there is no token."""
    if found.slack_token:
        from shared.cloud.slack import SlackMessenger

        return SlackMessenger(found.slack_token, found.slack_api_url)
    if found.slack_webhook:
        from shared.cloud.slack_webhook import SlackWebhook

        return SlackWebhook(found.slack_webhook)
    return None


def sight(found: Settings) -> Sight:
    """All that an audit reads; only an audit needs any of it."""
    from shared.audit.sight import Sight
    from shared.cloud.budgets import BillingBudgets
    from shared.cloud.metrics import CloudMonitoring
    from shared.cloud.run_executions import CloudRunExecutions
    from shared.cloud.topics import PubSubTopics

    return Sight(
        world=world(found),
        metrics=CloudMonitoring(found.monitoring_host),
        executions=CloudRunExecutions(found.run_host),
        budgets=BillingBudgets(found.budgets_host, found.billing_host),
        topics=PubSubTopics(),
        permissions=_permissions(found),
        deployed=bool(found.state_bucket),
        tasks_topic=found.tasks_topic or "",
        runtime=f"python{sys.version_info.major}{sys.version_info.minor}" if found.service else "",
    )


def watchdog(found: Settings | None = None) -> Watchdog:
    """A watchdog for one invocation."""
    from shared.watchdog import Watchdog

    found = found or settings()
    return Watchdog(
        world(found),
        policy_in_force.policy(found),
        project=found.project,
        service=found.service,
        time_budget=found.time_budget,
        pacer=_paced(),
    )
