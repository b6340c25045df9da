"""Alert to all parked: the watchdog beside a serial loop with the same client, with 100 ms for each call in the stand-in."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.server import REGIONS, Server

LATENCY = 0.1
SIZES = (10, 100, 1000)


def run(console: Console, root: Path, *, full: bool) -> None:
    """Measure and print."""
    table = Table(
        "services",
        "watchdog s",
        "serial loop s",
        "ratio",
        "Run API calls",
        "least",
        "state calls",
        "peak MiB",
        title="budget alert to all parked, 100 ms a call",
    )
    server = Server(root)
    try:
        for size in SIZES:
            ours = _measure(root, server, "watchdog", size)
            calls = server.ask(do="calls")
            left = server.ask(do="running")
            serial = None if size > 100 and not full else _measure(root, server, "serial", size)
            run_calls = sum(
                count
                for method, count in calls.items()
                if method in ("ListServices", "GetService", "UpdateService", "GetOperation", "GetRevision")
            )
            state_calls = sum(count for method, count in calls.items() if method.startswith("storage."))
            # One page a region, and for each service a write, one look at its operation, and one look at the service.
            least = len(REGIONS) + 3 * size
            table.add_row(
                f"{size:,}", f"{ours['seconds']:.2f}", f"{serial['seconds']:.2f}" if serial else "with --full", f"{serial['seconds'] / ours['seconds']:.1f}x" if serial else "",
                f"{run_calls:,}", f"{least:,}", f"{state_calls:,}", f"{ours['mib']:.0f}",
            )  # fmt: skip
            assert left == 0, f"{left} of {size} services still run"
    finally:
        server.close()
    console.print(table)


def _measure(root: Path, server: Server, what: str, size: int) -> dict[str, Any]:
    server.ask(do="seed", services=size, latency=LATENCY)
    answer = subprocess.run(
        [sys.executable, "-m", "tests.bench.one", what], cwd=root, env=server.environment, capture_output=True, text=True, check=False
    )
    if answer.returncode:
        raise RuntimeError(answer.stderr)
    measured: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return measured
