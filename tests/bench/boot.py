"""Boot to first answer of each target, beside a bare functions-framework function, run in turns."""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

from rich.console import Console
from rich.table import Table

from sandbox.slack_delivery import signed
from tests.bench.server import Server
from tests.envelopes import attributes, body, encode, headers, payload

BARE = """
import functions_framework

@functions_framework.cloud_event
def bare(event):
    pass
"""
TURNS = 7
Sent = tuple[bytes, dict[str, str]]
"""A body and its headers."""


def run(console: Console, root: Path) -> None:
    """Measure and print."""
    bare = root / ".cache" / "bare.py"
    bare.parent.mkdir(exist_ok=True)
    bare.write_text(BARE)
    # The buildpack compiles the source when the function is built, so that no start pays for it.
    subprocess.run([sys.executable, "-m", "compileall", "-q", "main.py", "functions", "shared", str(bare)], cwd=root, check=True)
    server = Server(root)
    product = root / "main.py"
    events: dict[str, tuple[Path, Callable[[], Sent]]] = {
        "bare": (bare, lambda: (b"{}", headers())),
        "budget_alert, a message that is not for it": (
            product,
            lambda: (encode({"message": {"attributes": {}, "data": "e30=", "messageId": "1"}}), headers()),
        ),
        "budget_alert, a routine status": (product, lambda: (encode(body(encode(payload(10)), attributes())), headers())),
        "task, a tick with nothing due": (product, lambda: (encode(body(b'{"task": "tick"}', None)), headers())),
        "slack_action, a command acknowledged": (product, lambda: _command(server.environment["SLACK_SIGNING_SECRET"])),
    }
    times: dict[str, list[float]] = {name: [] for name in events}
    try:
        for _ in range(TURNS):
            for name, (source, event) in events.items():
                times[name].append(_boot(source, name.split(",")[0], event, server.environment))
    finally:
        server.close()
    table = Table("target", "median ms", "least ms", "ratio of medians", title=f"boot to first answer, {TURNS} turns")
    for name, measured in times.items():
        ratio = statistics.median(measured) / statistics.median(times["bare"])
        table.add_row(name, f"{1000 * statistics.median(measured):.0f}", f"{1000 * min(measured):.0f}", f"{ratio:.2f}x")
    console.print(table)


def _command(secret: str) -> Sent:
    """A slash command, signed now; no two are the same."""
    form = {"command": "/cost-watchdog", "text": f"status {uuid.uuid4()}", "user_id": "U012AB3CD", "channel_id": "C0000000001"}
    sent = urlencode(form).encode()
    return sent, signed(sent, secret, int(time.time()))


def _boot(source: Path, target: str, event: Callable[[], Sent], environment: dict[str, str]) -> float:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "functions_framework",
        "--source",
        str(source),
        "--target",
        target,
        "--port",
        str(port),
        "--host",
        "127.0.0.1",
    ]
    begun = time.perf_counter()
    process = subprocess.Popen(
        command, env={**environment, "HOME": os.environ.get("HOME", "/")}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while True:
            sent, told = event()
            request = urllib.request.Request(f"http://127.0.0.1:{port}/", sent, told, method="POST")  # loopback
            try:
                with urllib.request.urlopen(request, timeout=30):  # noqa: S310  # loopback
                    return time.perf_counter() - begun
            except urllib.error.HTTPError as error:
                raise RuntimeError(f"{target} answered {error.code}") from error
            except OSError:
                if process.poll() is not None:
                    raise RuntimeError(f"{target} did not start") from None
                time.sleep(0.005)
    finally:
        process.terminate()
        process.wait()
