"""A budget's step compresses old checkpoints in a bucket behind the wire, and a person undoes it."""

from __future__ import annotations

import gzip
import random
from datetime import timedelta
from typing import get_args

import pytest
import zstandard

from sandbox.storage_listing import Query
from shared.cloud.objects import GcsObjectStore
from shared.ports import ENDINGS, Compression
from tests.contract.stand_ins import Gcs
from tests.stage import a_policy
from tests.yard import DAY, Yard

BUCKET = "acme-ml-artifacts"


def contents(gcs: Gcs) -> dict[str, bytes]:
    """All live objects."""
    items = gcs.model.list_objects(BUCKET, Query()).get("items", [])
    return {item["name"]: gcs.model.get(BUCKET, item["name"]).data or b"" for item in items}


@pytest.mark.parametrize("into", get_args(Compression))
def test_a_step_compresses_and_a_person_undoes_it(gcs: Gcs, into: Compression) -> None:
    """Small and large objects, several at once; what cannot be compressed stays, and everything is as it was afterwards."""
    use = f"{{compress_objects: {{buckets: [{BUCKET}], older_than: 30d, larger_than: 1KiB, into: {into}}}}}"
    yard = Yard(a_policy(f"{{at: 80%, do: [{use}]}}"), workers=8)
    gcs.model.create_bucket(BUCKET, project="acme-ml-staging", location="us-central1")
    gcs.model.now = yard.clock.now
    made = random.Random(1)
    before = {
        f"runs/{number}/ckpt.pt": bytes(made.choices(b"abc", k=size)) for number, size in enumerate((2000, 90_000, 5_000, 30_000, 1500))
    }
    before |= {"runs/9/noise.bin": made.randbytes(5000), "runs/9/small.json": b"{}" * 100}
    for name, data in before.items():
        gcs.model.put(BUCKET, name, data, created=yard.clock.now() - timedelta(days=60), metadata={"name": name})
    yard.objects = GcsObjectStore(patience=5, span=10_000)  # type: ignore[assignment]  # instead of the one in memory
    yard.send(82)
    yard.tick()
    after = contents(gcs)
    assert set(after) == {name + ENDINGS[into] if name.endswith(".pt") else name for name in before}
    unpack = (
        gzip.decompress if into == "gzip" else lambda data: zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read()
    )
    assert {
        name.removesuffix(ENDINGS[into]): unpack(data) if name.endswith(ENDINGS[into]) else data for name, data in after.items()
    } == before
    (job,) = yard.jobs().values()
    packed = sum(len(data) for name, data in after.items() if name.endswith(ENDINGS[into]))
    assert (job.stage, job.changed, job.made_bytes) == ("done", 5, packed)
    assert "compressing it would save only 0%" in yard.posts[-1]
    yard.clock.sleep(DAY.total_seconds())
    (key,) = yard.jobs()
    yard.ann().restore_entry(key)
    assert contents(gcs) == before
    assert {name: gcs.model.get(BUCKET, name).metadata for name in before} == {name: {"name": name} for name in before}
    assert next(iter(yard.jobs().values())).stage == "undone"
