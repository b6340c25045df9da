"""All objects of a run deleted: the watchdog beside what one would write by hand, and its memory beside the number of objects."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.server import Server

LATENCY = 0.1
WAYS = {
    "watchdog": "watchdog",
    "client_batch": "client.batch of 100 in a loop",
    "gcloud_aio": "gcloud-aio-storage, 50 in flight",
    "delete_blobs": "bucket.delete_blobs",
}
# As many objects as keep each way busy for some seconds: objects a second hardly depend on how many there are.
COUNTS = {
    0.0: {"watchdog": 30_000, "client_batch": 10_000, "gcloud_aio": 5_000, "delete_blobs": 2_000},
    LATENCY: {"watchdog": 30_000, "client_batch": 3_000, "gcloud_aio": 2_000, "delete_blobs": 40},
}
SIZES = (10_000, 100_000)
MILLION = 1_000_000


def run(console: Console, root: Path, *, full: bool) -> None:
    """Measure and print."""
    server = Server(root)
    try:
        for latency, counts in COUNTS.items():
            measured = {way: _measure(root, server, way, count, latency) for way, count in counts.items()}
            console.print(_beside(measured, latency))
        sizes = (*SIZES, MILLION) if full else SIZES
        console.print(_memory({size: _measure(root, server, "watchdog", size, 0.0) for size in sizes}))
    finally:
        server.close()


def _beside(measured: dict[str, dict[str, float]], latency: float) -> Table:
    table = Table(
        "way",
        "objects",
        "objects a second",
        "watchdog is faster",
        "CPU ms an object",
        "watchdog uses less",
        title=f"a run listed and deleted, {f'{1000 * latency:.0f} ms a request' if latency else 'no latency'}",
    )
    ours = measured["watchdog"]
    for way, figures in measured.items():
        other = way != "watchdog"
        table.add_row(
            WAYS[way],
            f"{figures['done']:,}",
            f"{_rate(figures):,.0f}",
            f"{_rate(ours) / _rate(figures):.1f}x" if other else "",
            f"{1000 * _cpu(figures):.3f}",
            f"{_cpu(figures) / _cpu(ours):.1f}x" if other else "",
        )
    return table


def _memory(measured: dict[int, dict[str, float]]) -> Table:
    table = Table("objects", "seconds", "CPU ms an object", "peak MiB", title="watchdog, no latency: memory is flat")
    for size, figures in measured.items():
        table.add_row(f"{size:,}", f"{figures['seconds']:.1f}", f"{1000 * _cpu(figures):.3f}", f"{figures['mib']:.0f}")
    if MILLION not in measured:
        table.add_row(f"{MILLION:,}", "with --full", "", "")
    return table


def _rate(figures: dict[str, float]) -> float:
    return figures["done"] / figures["seconds"]


def _cpu(figures: dict[str, float]) -> float:
    return figures["cpu"] / figures["done"]


def _measure(root: Path, server: Server, way: str, objects: int, latency: float) -> dict[str, Any]:
    server.ask(do="fill", objects=objects, latency=latency)
    answer = subprocess.run(
        [sys.executable, "-m", "tests.bench.deleters", way], cwd=root, env=server.environment, capture_output=True, text=True, check=False
    )
    if answer.returncode:
        raise RuntimeError(answer.stderr)
    measured: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    left = server.ask(do="objects")
    assert (measured["done"], left) == (objects, 0), f"{way} deleted {measured['done']} of {objects} objects, and {left} are left"
    return measured
