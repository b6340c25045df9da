"""The sandbox's Cloud Run behind a server on loopback, with Google's clients before it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from google.cloud import run_v2
from google.cloud.run_v2.services.revisions.transports import RevisionsGrpcTransport
from google.cloud.run_v2.services.services.transports import ServicesGrpcTransport
from google.cloud.run_v2.services.worker_pools.transports import WorkerPoolsGrpcTransport

from sandbox.run import RunServer
from sandbox.run_model import RunModel
from sandbox.serve import GrpcServer

REGION = "projects/p/locations/us-central1"
MANUAL, AUTOMATIC = run_v2.ServiceScaling.ScalingMode.MANUAL, run_v2.ServiceScaling.ScalingMode.AUTOMATIC
PARK = ("scaling.scaling_mode", "scaling.manual_instance_count")


@dataclass
class Cloud:
    """A model behind a server, and Google's clients before it."""

    model: RunModel
    services: Any
    revisions: Any
    pools: Any
    channel: Any
    now: list[float]

    def add(self, name: str = "api", **shape: Any) -> str:
        return self.model.add_service("p", "us-central1", name, **shape)

    def update(self, name: str, *paths: str, **fields: Any) -> Any:
        """Update a service and return it, or raise as the client does."""
        service = run_v2.Service(name=name, **fields)
        return self.services.update_service(run_v2.UpdateServiceRequest(service=service, update_mask={"paths": paths})).result(timeout=5)

    def scale(self, name: str, *paths: str, **scaling: Any) -> Any:
        return self.update(name, *paths, scaling=run_v2.ServiceScaling(**scaling)).scaling

    def get(self, name: str) -> Any:
        return self.services.get_service(name=name, retry=None)

    def begin(self, name: str) -> Any:
        """Begin to set a service's minimum to 0, and return the client's operation."""
        request = run_v2.UpdateServiceRequest(service={"name": name}, update_mask={"paths": ["scaling.min_instance_count"]})
        return self.services.update_service(request)


@contextmanager
def open_cloud() -> Iterator[Cloud]:
    """A cloud whose clock is `now[0]` and whose operations are done at once."""
    now = [1_790_000_000.0]
    model = RunModel(operation_seconds=0, clock=lambda: now[0])
    with GrpcServer(RunServer(model).handlers(), workers=16) as server, grpc.insecure_channel(server.address) as channel:
        yield Cloud(
            model,
            run_v2.ServicesClient(transport=ServicesGrpcTransport(channel=channel)),
            run_v2.RevisionsClient(transport=RevisionsGrpcTransport(channel=channel)),
            run_v2.WorkerPoolsClient(transport=WorkerPoolsGrpcTransport(channel=channel)),
            channel,
            now,
        )
