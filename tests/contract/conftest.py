"""The stand-ins behind servers on loopback, for tests of the adapters."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox import storage
from sandbox.faults import Faults
from sandbox.pubsub import PubSub
from sandbox.run import RunServer
from sandbox.run_model import RunModel
from sandbox.serve import GrpcServer, HttpServer
from sandbox.slack import Slack
from sandbox.storage_model import Storage
from tests.contract.stand_ins import STATE_BUCKET, TASKS_TOPIC, CloudRun, Gcs, Topics, Workspace


@pytest.fixture
def cloud_run() -> Iterator[CloudRun]:
    """Cloud Run behind a server, with quotas that no test can reach."""
    faults = Faults()
    model = RunModel(faults, operation_seconds=0, reads=1_000_000, writes=1_000_000)
    with GrpcServer(RunServer(model).handlers(), workers=8) as server:
        yield CloudRun(model, faults, server.address)


@pytest.fixture
def gcs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gcs]:
    """Cloud Storage behind a server."""
    faults, model = Faults(), Storage()
    model.create_bucket(STATE_BUCKET)
    with HttpServer(storage.app(model, faults)) as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        yield Gcs(model, faults, server.url)


@pytest.fixture
def pubsub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Topics]:
    """Pub/Sub behind a server."""
    faults = Faults()
    model = PubSub(faults)
    model.create_topic(TASKS_TOPIC)
    with GrpcServer(model.handlers(), workers=8) as server:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", server.address)
        yield Topics(model, faults, server.address)
    model.close()


@pytest.fixture
def slack() -> Iterator[Workspace]:
    """Slack behind a server."""
    faults = Faults()
    model = Slack(faults, burst=1000)
    with HttpServer(model.app()) as server:
        model.serve_at(server.url)
        yield Workspace(model, faults, f"{server.url}/api/")
