"""Boot to first answer of each target, beside a bare functions-framework function, run in turns."""

from __future__ import annotations

import os
import resource as resource_usage
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from rich.console import Console
from rich.table import Table

from sandbox.slack_delivery import signed
from tests.bench.server import Server
from tests.envelopes import attributes, body, encode, headers, payload, resource, storage_headers

BARE = """
import functions_framework

@functions_framework.cloud_event
def bare(event):
    pass
"""
TURNS = 7
Sent = tuple[bytes | None, dict[str, str]]
"""A body and its headers; without a body it is a GET."""


@dataclass(frozen=True, slots=True)
class _Start:
    """One way of starting: what is asked first, and the status of the answer."""

    name: str
    source: Path
    environment: dict[str, str]
    sent: Callable[[], Sent]
    status: int = 200
    query: str = ""

    @property
    def target(self) -> str:
        return self.name.split(",")[0]


def run(console: Console, root: Path) -> None:
    """Measure and print."""
    bare = root / ".cache" / "bare.py"
    bare.parent.mkdir(exist_ok=True)
    bare.write_text(BARE)
    # The buildpack compiles the source when the function is built, so that no start pays for it.
    subprocess.run([sys.executable, "-m", "compileall", "-q", "main.py", "functions", "shared", str(bare)], cwd=root, check=True)
    server = Server(root)
    product = root / "main.py"
    secret = server.environment["SLACK_SIGNING_SECRET"]
    stored = {**server.environment, "WATCHDOG_POLICY": server.ask(do="config")}
    settled = server.environment
    starts = (
        _Start("bare", bare, settled, _event),
        _Start("storage_event, a name that means nothing", product, settled, _object),
        _Start("storage_event, the same with the policy in a bucket", product, stored, _object),
        _Start("budget_alert, no message", product, stored, lambda: (None, {}), 405),
        _Start("budget_alert, a routine status", product, stored, lambda: (encode(body(encode(payload(10)), attributes())), headers())),
        _Start("task, no message", product, stored, lambda: (None, {}), 405),
        _Start("task, a tick with nothing due", product, stored, lambda: (encode(body(b'{"task": "tick"}', None)), headers())),
        _Start("slack_action, not signed", product, stored, lambda: (b"payload=1", {"content-type": "text/plain"}), 401),
        _Start("slack_action, a command acknowledged", product, stored, lambda: _command(secret)),
        _Start("audit, a question that it does not know", product, stored, lambda: (None, {}), 400, "?nonsense=1"),
    )
    times: dict[str, list[float]] = {start.name: [] for start in starts}
    spent: dict[str, list[float]] = {start.name: [] for start in starts}
    try:
        for _ in range(TURNS):
            for start in starts:
                used = _used()
                times[start.name].append(_boot(start))
                spent[start.name].append(_used() - used)
    finally:
        server.close()
    table = Table(
        "target",
        "median ms",
        "least ms",
        "ratio",
        "CPU ms",
        "ratio",
        title=f"boot to first answer, {TURNS} turns; ratios turn by turn, median",
    )
    for start in starts:
        table.add_row(
            start.name, f"{1000 * statistics.median(times[start.name]):.0f}", f"{1000 * min(times[start.name]):.0f}", _ratio(times, start),
            f"{1000 * statistics.median(spent[start.name]):.0f}", _ratio(spent, start),
        )  # fmt: skip
    console.print(table)


def _ratio(measured: dict[str, list[float]], start: _Start) -> str:
    """Beside the bare function in the same turn, since the machine is busier in some than in others."""
    return f"{statistics.median(mine / theirs for mine, theirs in zip(measured[start.name], measured['bare'], strict=True)):.2f}x"


def _used() -> float:
    """Seconds of CPU of all processes that were started and have ended."""
    used = resource_usage.getrusage(resource_usage.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _event() -> Sent:
    return b"{}", headers()


def _object() -> Sent:
    return encode(resource("runs/run-1/model.bin")), storage_headers(name="runs/run-1/model.bin")


def _command(secret: str) -> Sent:
    """A slash command, signed now; no two are the same."""
    form = {"command": "/cost-watchdog", "text": f"status {uuid.uuid4()}", "user_id": "U012AB3CD", "channel_id": "C0000000001"}
    sent = urlencode(form).encode()
    return sent, signed(sent, secret, int(time.time()))


def _boot(start: _Start) -> float:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "functions_framework",
        "--source",
        str(start.source),
        "--target",
        start.target,
        "--port",
        str(port),
        "--host",
        "127.0.0.1",
    ]
    begun = time.perf_counter()
    process = subprocess.Popen(
        command, env={**start.environment, "HOME": os.environ.get("HOME", "/")}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while True:
            sent, told = start.sent()
            request = urllib.request.Request(f"http://127.0.0.1:{port}/{start.query}", sent, told)  # loopback
            try:
                with urllib.request.urlopen(request, timeout=30):  # noqa: S310  # loopback
                    return time.perf_counter() - begun
            except urllib.error.HTTPError as error:
                if error.code == start.status:
                    return time.perf_counter() - begun
                raise RuntimeError(f"{start.target} answered {error.code}") from error
            except OSError:
                if process.poll() is not None:
                    raise RuntimeError(f"{start.target} did not start") from None
                time.sleep(0.005)
    finally:
        process.terminate()
        process.wait()
