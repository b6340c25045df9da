"""All the stand-ins together: one Google Cloud and one Slack on this machine, with one set of faults."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from starlette.types import ASGIApp

from sandbox import storage
from sandbox.budgets import Budgets
from sandbox.faults import Faults
from sandbox.monitoring import Monitoring
from sandbox.projects import Projects
from sandbox.pubsub import PubSub
from sandbox.pubsub_admin import PubSubAdmin
from sandbox.run import RunServer
from sandbox.run_jobs import Jobs
from sandbox.run_model import RunModel
from sandbox.serve import GrpcServer, HttpServer
from sandbox.slack import Slack
from sandbox.slack_scopes import scopes_of
from sandbox.storage_events import Notifications
from sandbox.storage_model import Storage
from sandbox.storage_resources import SOFT_DELETE_DEFAULT

ROOT = Path(__file__).resolve().parent.parent
MANIFEST = ROOT / "slack-manifest.yaml"
PROJECT, PROJECT_NUMBER = "acme-ml-staging", "402871193547"
BILLING_ACCOUNT = "01D4EE-079462-DFD6EC"
STATE_BUCKET = "acme-ml-watchdog-state"
ARTIFACTS_BUCKET, ARTIFACTS_REGION = "acme-ml-artifacts", "us-central1"
SIGNING_SECRET = "sandbox-signing-secret"  # noqa: S105  # it opens nothing


@dataclass(frozen=True)
class Ports:
    """Which ports to listen on; 0 is any free one."""

    grpc: int = 0
    storage: int = 0
    slack: int = 0


class Sandbox:
    """A Google Cloud and a Slack, to be used as a context manager. It listens as soon as it is made.

    Args:
        project: The one project there is.
        policy: The policy that the functions read: a path or ``gs://bucket/object``.
        channels: The channels of the workspace.
        operation_seconds: How long an operation of Cloud Run takes.
        ports: Where to listen.
        faults: What goes wrong, where somebody else decides it.
        now: The time of day of all of it, in seconds since 1970.
        clock: Seconds, rising, for Slack's rate limit.

    Attributes:
        project: The one project there is.
        policy: The policy that the functions read: a path or ``gs://bucket/object``.
        faults: What goes wrong, in all of it.
        run: Cloud Run's services and worker pools.
        jobs: Cloud Run's executions of jobs.
        pubsub: Topics and their deliveries.
        topics: Who may publish to them, and what subscribes.
        monitoring: What was measured.
        projects: The projects, and what their caller may do.
        budgets: Billing budgets.
        storage: Buckets.
        notifications: What buckets tell of their changes.
        slack: The workspace.
        budget_topic: Where budgets send their notifications.
        artifacts_topic: Eventarc's own, for the trigger on the bucket of the training runs.
        tasks_topic: Where the clock and the watchdog itself send tasks.

    Raises:
        OSError: A port that was asked for is taken.
        ValueError: The app's manifest names no scopes.
    """

    def __init__(
        self,
        *,
        project: str = PROJECT,
        policy: str | Path = ROOT / "policy.yaml",
        channels: tuple[str, ...] = ("ml-cost", "vision-ml"),
        operation_seconds: float = 0.2,
        ports: Ports = Ports(),
        faults: Faults | None = None,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        def today() -> datetime:
            return datetime.fromtimestamp(now(), UTC)

        self.project = project
        self.policy = str(policy)
        self.faults = faults or Faults()
        self.run = RunModel(self.faults, operation_seconds=operation_seconds, clock=now)
        self.pubsub = PubSub(self.faults, now=today)
        self.topics = PubSubAdmin(self.faults, self.pubsub)
        self.budgets = Budgets(self.faults, self.pubsub, connected=self.topics.grant, now=today)
        self.jobs = Jobs(self.faults)
        self.monitoring = Monitoring(self.faults)
        self.projects = Projects(self.faults)
        self.projects.add(project, PROJECT_NUMBER, BILLING_ACCOUNT)
        self.storage = Storage(now=today)
        self.slack = Slack(
            self.faults, channels=channels, scopes=scopes_of(MANIFEST), signing_secret=SIGNING_SECRET, now=now, clock=clock
        )  # fmt: skip
        self.budget_topic = f"projects/{project}/topics/budget-alerts"
        self.tasks_topic = f"projects/{project}/topics/cost-watchdog-tasks"
        for topic in (self.budget_topic, self.tasks_topic):
            self.pubsub.create_topic(topic)
        self.storage.create_bucket(STATE_BUCKET, project=project, versioning={"enabled": True})
        self.storage.create_bucket(
            ARTIFACTS_BUCKET, project=project, location=ARTIFACTS_REGION, softDeletePolicy={"retentionDurationSeconds": SOFT_DELETE_DEFAULT}
        )
        self.notifications = Notifications(self.storage, self.pubsub, project)
        self.artifacts_topic = self.notifications.trigger(ARTIFACTS_BUCKET, location=ARTIFACTS_REGION)
        with ExitStack() as stack:
            stack.callback(self.pubsub.close)
            parts = (RunServer(self.run), self.jobs, self.pubsub, self.topics, self.budgets, self.monitoring, self.projects)
            handlers = [handler for part in parts for handler in part.handlers()]
            self._grpc = stack.enter_context(GrpcServer(handlers, ports.grpc))
            storage_app: ASGIApp = storage.app(self.storage, self.faults)
            self._storage = stack.enter_context(HttpServer(storage_app, ports.storage))
            self._slack = stack.enter_context(HttpServer(self.slack.app(), ports.slack))
            self.slack.serve_at(self._slack.url)
            self._stack = stack.pop_all()

    def environment(self) -> dict[str, str]:
        """The variables that point the functions here, and nowhere else."""
        return {
            "GOOGLE_CLOUD_PROJECT": self.project,
            "WATCHDOG_POLICY": self.policy,
            "WATCHDOG_STATE_BUCKET": STATE_BUCKET,
            "WATCHDOG_TASKS_TOPIC": self.tasks_topic,
            "SLACK_BOT_TOKEN": self.slack.token,
            "SLACK_SIGNING_SECRET": SIGNING_SECRET,
            "SLACK_API_URL": f"{self._slack.url}/api/",
            "STORAGE_EMULATOR_HOST": self._storage.url,
            "PUBSUB_EMULATOR_HOST": self._grpc.address,
            "CLOUD_RUN_EMULATOR_HOST": self._grpc.address,
            "BILLING_BUDGETS_EMULATOR_HOST": self._grpc.address,
            "CLOUD_BILLING_EMULATOR_HOST": self._grpc.address,
            "CLOUD_MONITORING_EMULATOR_HOST": self._grpc.address,
            "CLOUD_RESOURCE_MANAGER_EMULATOR_HOST": self._grpc.address,
        }

    def close(self) -> None:
        """Stop listening and forget everything."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
