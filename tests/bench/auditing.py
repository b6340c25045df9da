"""One audit of everything: beside the same listings with the same clients one after the other, with 100 ms for each call in the stand-in."""

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
SIZES = ((200, 10, 20_000), (2000, 50, 1_000_000))
"""Services, buckets and objects."""


def run(console: Console, root: Path, *, full: bool) -> None:
    """Measure and print."""
    table = Table(
        "services", "buckets", "objects", "audit s", "one by one s", "ratio", "objects seen", "in part", "peak MiB", "text KiB",
        title="one audit of ten regions, 100 ms a call",
    )  # fmt: skip
    for services, buckets, objects in SIZES if full else SIZES[:1]:
        server = Server(root)
        try:
            server.ask(do="estate", services=services, buckets=buckets, objects=objects, latency=LATENCY)
            ours, serial = _measure(root, server, "audit"), _measure(root, server, "audit_serial")
        finally:
            server.close()
        assert ours["services"] == services
        table.add_row(
            f"{services:,}", f"{buckets:,}", f"{objects:,}", f"{ours['seconds']:.1f}", f"{serial['seconds']:.1f}", f"{serial['seconds'] / ours['seconds']:.1f}x",
            f"{ours['objects']:,}", f"{ours['sampled']:,}", f"{ours['mib']:.0f}", f"{ours['kib']:,}",
        )  # fmt: skip
    console.print(table)


def _measure(root: Path, server: Server, what: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.bench.one", what]
    answer = subprocess.run(command, cwd=root, env=server.environment, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise RuntimeError(answer.stderr)
    measured: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return measured
