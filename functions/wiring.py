"""The one place where the ports meet their adapters: settings in, a watchdog out. Clients are made once a process, on first need.

What only some events need is imported where it is needed: most events that start a process want nothing but a look at the policy.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from functions import logs
from shared.cloud.policy_source import fetch_policy_text
from shared.errors import SettingsError, WatchdogError
from shared.settings import Settings

if TYPE_CHECKING:
    from shared.audit.sight import Sight
    from shared.objects.runs import Watch
    from shared.pace import Pacer
    from shared.policy import Policy
    from shared.ports import Messenger, World
    from shared.watchdog import Watchdog

POLICY_FOR = 300.0
"""Seconds for which a policy in Cloud Storage is trusted before it is read again."""


@dataclass(frozen=True, slots=True)
class _Read:
    policy: Policy
    watch: Watch
    at: float

    @classmethod
    def now(cls, policy: Policy) -> _Read:
        from shared.objects.runs import Watch

        return cls(policy, Watch(policy.artifacts), time.monotonic())


log = logging.getLogger(__name__)
_lock = threading.Lock()
_making = threading.Lock()
"""A lock of its own, since nobody should wait for a policy that is being read to get at the ports, or the other way round."""
_read: dict[Settings, _Read] = {}


def start() -> None:
    """Set up the log and refuse to start with settings, or a policy on disk, that cannot be used.

    Raises:
        SettingsError: With every fault.
    """
    found = settings()
    logs.configure(found.project, found.secrets)
    if not found.policy.startswith("gs://"):
        policy(found)


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


def policy(found: Settings) -> Policy:
    """The policy in force: read again from Cloud Storage after a while, so that it can be changed without a deployment.

    A change that makes it unusable is an ERROR in the log, and the last policy that could be used stays in force in this process.

    Raises:
        SettingsError: With every fault, where there was none before.
    """
    return _in_force(found).policy


def watch() -> Watch:
    """The signs that the policy in force looks for.

    Raises:
        SettingsError: As `policy` does.
    """
    return _in_force(settings()).watch


def _in_force(found: Settings) -> _Read:
    with _lock:
        read = _read.get(found)
        if read is None:
            read = _read[found] = _Read.now(_parsed(found))
        elif found.policy.startswith("gs://") and time.monotonic() - read.at >= POLICY_FOR:
            try:
                usable = _parsed(found)
            except WatchdogError as error:
                log.error("the policy cannot be used any more, so the last one that could stays in force: %s", error)  # noqa: TRY400  # no stack is needed
                usable = read.policy
            read = _read[found] = _Read.now(usable)
        return read


def _parsed(found: Settings) -> Policy:
    from shared.actions import params_by_name
    from shared.policy import parse

    text, source = fetch_policy_text(found)
    parsed = parse(text, source=source, actions=params_by_name())
    own = [index for index, rule in enumerate(parsed.artifacts) if rule.bucket == found.state_bucket]
    if own:
        raise SettingsError([
            f"{source}: artifacts[{index}].bucket: {found.state_bucket} is the state bucket (WATCHDOG_STATE_BUCKET), and the state bucket can't be "
            "watched, since the journal would be taken for runs; keep the runs in another bucket, or give the watchdog one of its own"
            for index in own
        ])  # fmt: skip
    return parsed.model_copy(update={"mode": found.mode}) if found.mode else parsed


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
    from shared.cloud.permissions import CallersPermissions
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
        permissions=CallersPermissions(found.projects_host),
    )


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

    runtime = f"python{sys.version_info.major}{sys.version_info.minor}" if found.service else ""
    from shared.cloud.permissions import CallersPermissions

    return Sight(
        world=world(found),
        metrics=CloudMonitoring(found.monitoring_host),
        executions=CloudRunExecutions(found.run_host),
        budgets=BillingBudgets(found.budgets_host, found.billing_host),
        topics=PubSubTopics(),
        permissions=CallersPermissions(found.projects_host),
        deployed=bool(found.state_bucket),
        tasks_topic=found.tasks_topic or "",
        runtime=runtime,
    )


def watchdog(found: Settings | None = None) -> Watchdog:
    """A watchdog for one invocation."""
    from shared.watchdog import Watchdog

    found = found or settings()
    return Watchdog(
        world(found), policy(found), project=found.project, service=found.service, time_budget=found.time_budget, pacer=_paced()
    )
