"""One measurement in a process of its own: the watchdog's answer to an alert, or an audit, or the serial loop that one would write by hand."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
import uuid
from datetime import UTC, datetime
from decimal import Decimal

REGIONS = tuple(f"us-east{number}" for number in range(1, 11))


def watchdog() -> float:
    """Answer one alert; clients are imported and connected beforehand, as in a warm function."""
    from functions import wiring
    from shared.model import BudgetNotification, Place

    world = wiring.world(wiring.settings())
    world.fleets["service"].list(Place(wiring.settings().project, REGIONS[0]))
    world.state.read("holds.json")
    notification = BudgetNotification(
        billing_account="01D4EE-079462-DFD6EC", budget_id=uuid.uuid4().hex, budget_name="Bench", cost=Decimal(85), amount=Decimal(100), currency="USD",
        period_start=datetime(2026, 11, 1, 7, tzinfo=UTC), actual_threshold=None, forecast_threshold=None, message_id="1", sent_at=datetime.now(UTC),
    )  # fmt: skip
    begun = time.perf_counter()
    wiring.watchdog().respond(notification)
    return time.perf_counter() - begun


def audit() -> tuple[float, dict[str, object]]:
    """One audit of everything, as the function makes it."""
    from functions import policy_in_force, wiring
    from shared.audit.audit import Question
    from shared.audit.audit import audit as look
    from shared.audit.text import render

    found = wiring.settings()
    begun = time.perf_counter()
    report = look(wiring.sight(found), policy_in_force.policy(found), Question(), project=found.project)
    text = render(report)
    seen = {
        "objects": report.seen.objects,
        "sampled": len(report.seen.sampled),
        "findings": len(report.findings),
        "blanks": len(report.blanks),
    }
    return time.perf_counter() - begun, {**seen, "services": report.seen.services, "kib": len(text.encode()) // 1024}


def audit_serial() -> tuple[float, dict[str, object]]:
    """The same listings with the same clients, one after the other: services by region, and every object of every bucket."""
    import grpc
    from google.cloud import run_v2, storage
    from google.cloud.run_v2.services.services.transports import ServicesGrpcTransport

    client = run_v2.ServicesClient(transport=ServicesGrpcTransport(channel=grpc.insecure_channel(os.environ["CLOUD_RUN_EMULATOR_HOST"])))
    project = os.environ["GOOGLE_CLOUD_PROJECT"]
    begun = time.perf_counter()
    services = sum(1 for region in REGIONS for _ in client.list_services(parent=f"projects/{project}/locations/{region}"))
    buckets = storage.Client(project=project)
    sizes = [blob.size for bucket in buckets.list_buckets() for blob in buckets.list_blobs(bucket)]
    return time.perf_counter() - begun, {"objects": len(sizes), "services": services}


def serial() -> float:
    """List each region, and set each service's minimum to 0, one after the other."""
    import grpc
    from google.cloud import run_v2
    from google.cloud.run_v2.services.services.transports import ServicesGrpcTransport

    client = run_v2.ServicesClient(transport=ServicesGrpcTransport(channel=grpc.insecure_channel(os.environ["CLOUD_RUN_EMULATOR_HOST"])))
    project = os.environ["GOOGLE_CLOUD_PROJECT"]
    client.list_services(parent=f"projects/{project}/locations/{REGIONS[0]}")
    begun = time.perf_counter()
    for region in REGIONS:
        for service in client.list_services(parent=f"projects/{project}/locations/{region}"):
            parked = run_v2.Service(name=service.name, etag=service.etag, scaling=run_v2.ServiceScaling(min_instance_count=0))
            client.update_service(request={"service": parked, "update_mask": {"paths": ["scaling.min_instance_count"]}}).result(timeout=60)
    return time.perf_counter() - begun


if __name__ == "__main__":
    done = {"watchdog": watchdog, "serial": serial, "audit": audit, "audit_serial": audit_serial}[sys.argv[1]]()
    seconds, more = done if isinstance(done, tuple) else (done, {})
    print(json.dumps({"seconds": seconds, "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, **more}))
