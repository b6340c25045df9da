"""What the fixtures of `conftest` give: a stand-in's own state, its faults, and where it listens."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.faults import Faults
from sandbox.pubsub import PubSub
from sandbox.run_model import RunModel
from sandbox.slack import Slack
from sandbox.storage_model import Storage

STATE_BUCKET = "acme-ml-watchdog-state"
TASKS_TOPIC = "projects/acme-ml-watchdog/topics/cost-watchdog-tasks"


@dataclass(frozen=True)
class CloudRun:
    """Cloud Run: its rules, and where it listens. Operations are done at once."""

    model: RunModel
    faults: Faults
    address: str


@dataclass(frozen=True)
class Gcs:
    """Cloud Storage with one bucket, and where it listens; ``STORAGE_EMULATOR_HOST`` says so too."""

    model: Storage
    faults: Faults
    url: str


@dataclass(frozen=True)
class Topics:
    """Pub/Sub with one topic, and where it listens; ``PUBSUB_EMULATOR_HOST`` says so too."""

    model: PubSub
    faults: Faults
    address: str


@dataclass(frozen=True)
class Workspace:
    """Slack with the channel ml-cost, and the base URL of its Web API."""

    model: Slack
    faults: Faults
    url: str
