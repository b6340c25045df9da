"""One way of deleting all objects of a run, in a process of its own: the watchdog's, and what one would write instead."""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import islice
from typing import Any

from functions import wiring
from shared.actions import params_by_name
from shared.journal import Journal
from shared.model import ObjectWritten
from shared.objects.runs import Watch
from shared.policy.policy import parse
from shared.ports import BATCH
from shared.watchdog import Watchdog
from tests.bench.server import BUCKET, PREFIX

AIO_IN_FLIGHT = 50

Started = Callable[[], int]


POLICY = f"""
version: 1
mode: enforce
artifacts:
  - {{bucket: {BUCKET}, runs: "mlruns/{{any}}/{{run}}/", failed_when: [failed_marker], wait: 0s, require_soft_delete: false, limits: {{objects: 2000000}}}}
"""


def watchdog() -> Started:
    """All that the watchdog does: listed and judged, written down in manifests, recorded, deleted, and every answer read."""
    settings = wiring.settings()
    world = replace(wiring.world(settings), tasks=None, messenger=None)
    policy = parse(POLICY, source="bench", actions=params_by_name())
    _bucket().blob(f"{PREFIX}_FAILED").upload_from_string(b"")
    sign = world.objects.find(BUCKET, f"{PREFIX}_FAILED")
    assert sign
    (suspect,) = Watch(policy.artifacts).signs(BUCKET, sign.name)

    def invocation() -> Watchdog:
        return Watchdog(world, policy, project=settings.project, time_budget=timedelta(hours=1))

    def run() -> int:
        noticed = invocation().notice(ObjectWritten(BUCKET, sign.name, sign.generation, 0, sign.created), suspect)
        invocation().tick()
        entry = Journal(world.state).load_closed(noticed.entry)
        assert entry
        assert entry.job
        return entry.job.changed - 1  # the sign is no object of the run that anybody counted

    return run


def delete_blobs() -> Started:
    """Google's client: `Bucket.delete_blobs`."""
    bucket = _bucket()

    def run() -> int:
        blobs = [*bucket.list_blobs(prefix=PREFIX)]
        bucket.delete_blobs(blobs)
        return len(blobs)

    return run


def client_batch() -> Started:
    """Google's client: one batch after the other, with the failures in the answers."""
    bucket = _bucket()

    def run() -> int:
        done, blobs = 0, iter(bucket.list_blobs(prefix=PREFIX))
        while chunk := [*islice(blobs, BATCH)]:
            with bucket.client.batch(raise_exception=False) as batch:
                for blob in chunk:
                    blob.delete()
            done += sum(response.status_code == 204 for response in batch._responses)
        return done

    return run


def _bucket() -> Any:
    from google.cloud import storage

    bucket = storage.Client(project="bench").bucket(BUCKET)
    assert bucket.exists()
    return bucket


def gcloud_aio() -> Started:
    """gcloud-aio-storage: one call for each object, fifty at a time, while the listing goes on."""
    from gcloud.aio.storage import Storage

    async def run() -> int:
        async with Storage() as storage:
            names: asyncio.Queue[str | None] = asyncio.Queue(10 * AIO_IN_FLIGHT)

            async def work() -> int:
                done = 0
                while (name := await names.get()) is not None:
                    await storage.delete(BUCKET, name)  # raises where it is not deleted
                    done += 1
                return done

            async with asyncio.TaskGroup() as group:
                workers = [group.create_task(work()) for _ in range(AIO_IN_FLIGHT)]
                asked = {"prefix": PREFIX, "fields": "items(name),nextPageToken"}
                while True:
                    page = await storage.list_objects(BUCKET, params=asked)
                    for item in page.get("items", []):
                        await names.put(item["name"])
                    if "nextPageToken" not in page:
                        break
                    asked["pageToken"] = page["nextPageToken"]
                for _ in workers:
                    await names.put(None)
            return sum(worker.result() for worker in workers)

    return lambda: asyncio.run(run())


CONTESTANTS = {each.__name__: each for each in (watchdog, delete_blobs, client_batch, gcloud_aio)}


def main() -> None:
    """Measure one of them; clients are imported and connected beforehand, as in a warm function."""
    started = CONTESTANTS[sys.argv[1]]()
    begun, used = time.perf_counter(), time.process_time()
    done = started()
    seconds, cpu = time.perf_counter() - begun, time.process_time() - used
    print(json.dumps({"seconds": seconds, "cpu": cpu, "done": done, "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


if __name__ == "__main__":
    main()
