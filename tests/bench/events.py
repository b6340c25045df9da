"""Storage events that match nothing: `storage_event` beside an empty function, each in a process of its own as functions-framework serves it, in turns.

What a million of them cost is reckoned with list prices of Cloud Run functions with request-based billing, tier 1, US dollars: 0.000024 for a vCPU-second,
0.0000025 for a GiB-second, 0.40 for a million requests; the time in which an instance answers at least one request is billed, rounded up to 100 ms.
Source: https://cloud.google.com/run/pricing, as published in 2026-09. Free tier, cold starts
and the delivery by Pub/Sub or Eventarc are not in it.
"""

from __future__ import annotations

import os
import re
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench.boot import BARE
from tests.envelopes import body, encode, headers, resource, storage_attributes, storage_headers

TURNS, EVENTS = 31, 400
"""Short turns and many of them: whatever else the machine does meanwhile then hits both alike."""
CONNECTIONS = 4
NAME = "runs/{0}/checkpoints/step-{0}/model-00001-of-00100.safetensors"
POLICY = """
version: 1
artifacts:
  - bucket: acme-ml-artifacts
    runs: runs/{run}/
    failed_when: [failed_marker, mlflow, {object: status.json, has: {state: [FAILED, CANCELLED]}}]
  - bucket: acme-ml-artifacts
    runs: ray_results/{any}/{run}/
    failed_when: [ray_tune]
  - bucket: acme-ml-pipelines
    runs: pipelines/{any}/{run}/
    failed_when: [vertex_ai]
"""
VCPU_SECOND, GIB_SECOND, MILLION_REQUESTS = 0.000024, 0.0000025, 0.40
MILLION = 1_000_000
ALONE, SHARED = (0.167, 0.25), (1.0, 0.5)
"""vCPU and GiB of an instance: the smallest for one event at a time, and the usual one for many at once."""
BILLED_AT_LEAST = 0.1


@dataclass
class Served:
    """One function in its process, and what was measured of it.

    Attributes:
        name: For people.
        port: Where it listens.
        pid: The process that has its workers as children.
        rates: Events per second, by turn.
        cpu: Seconds of CPU per event, by turn.
    """

    name: str
    port: int
    pid: int
    rates: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def used(self) -> float:
        """Seconds of CPU that it has used."""
        return _cpu(self.pid)

    def peak(self) -> float:
        """The most memory that one of its processes ever held, in MiB."""
        return max(_status(pid, "VmHWM") for pid in _family(self.pid)) / 1024

    def turn(self, posts: list[bytes]) -> None:
        """Send all of them and measure."""
        before, begun = self.used(), time.perf_counter()
        threads = [threading.Thread(target=_send, args=(self.port, posts[number::CONNECTIONS])) for number in range(CONNECTIONS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.rates.append(len(posts) / (time.perf_counter() - begun))
        self.cpu.append((self.used() - before) / len(posts))


def run(console: Console, root: Path) -> None:
    """Measure and print."""
    bare, policy = root / ".cache" / "bare.py", root / ".cache" / "events.yaml"
    bare.parent.mkdir(exist_ok=True)
    bare.write_text(BARE)
    policy.write_text(POLICY)
    settings = {"GOOGLE_CLOUD_PROJECT": "acme-ml-watchdog", "WATCHDOG_STATE_BUCKET": "acme-ml-state", "WATCHDOG_POLICY": str(policy)}
    forms = {"direct": [direct(number) for number in range(EVENTS)], "through Pub/Sub": [pubsub(number) for number in range(EVENTS)]}
    table = Table(
        "form", "function", "events/s", "ratio", "CPU ms an event", "ratio", title=f"events that match nothing, {TURNS} turns of {EVENTS:,}"
    )
    costs = Table("a million events cost", "vCPU-s", "GiB-s", "compute", "requests", "in all", title="list prices of Cloud Run functions")
    for form, posts in forms.items():
        with ExitStack() as stack:
            empty = stack.enter_context(served("an empty function", bare, "bare", settings))
            ours = stack.enter_context(served("storage_event", root / "main.py", "storage_event", settings))
            for each in (empty, ours):
                each.turn(posts)
                each.rates.clear()
                each.cpu.clear()
            for turn in range(TURNS):
                for each in (empty, ours) if turn % 2 else (ours, empty):
                    each.turn(posts)
        for each in (empty, ours):
            rate, cpu = (statistics.median(mine / theirs for mine, theirs in pairs) for pairs in _pairs(each, empty))
            spent = statistics.median(each.cpu)
            table.add_row(form, each.name, f"{statistics.median(each.rates):,.0f}", f"{rate:.0%}", f"{1000 * spent:.3f}", f"{cpu:.2f}x")
        if form == "direct":
            for each in (empty, ours):
                spent = statistics.median(each.cpu)
                _price(costs, f"{each.name}, one at a time, {ALONE[0]} vCPU, {ALONE[1]} GiB", ALONE, max(BILLED_AT_LEAST, spent / ALONE[0]))
                _price(costs, f"{each.name}, in a stream, {SHARED[0]:g} vCPU, {SHARED[1]} GiB, kept busy", SHARED, spent)
    console.print(table)
    console.print(costs)


def _pairs(mine: Served, other: Served) -> Iterator[Iterator[tuple[float, float]]]:
    """Turn by turn, since the machine is faster in some than in others."""
    yield zip(mine.rates, other.rates, strict=True)
    yield zip(mine.cpu, other.cpu, strict=True)


def _price(table: Table, what: str, size: tuple[float, float], seconds: float) -> None:
    vcpu_seconds, gib_seconds = size[0] * seconds * MILLION, size[1] * seconds * MILLION
    compute = vcpu_seconds * VCPU_SECOND + gib_seconds * GIB_SECOND
    table.add_row(
        what,
        f"{vcpu_seconds:,.0f}",
        f"{gib_seconds:,.0f}",
        f"${compute:.2f}",
        f"${MILLION_REQUESTS:.2f}",
        f"${compute + MILLION_REQUESTS:.2f}",
    )


@contextmanager
def served(name: str, source: Path, target: str, settings: dict[str, str]) -> Iterator[Served]:
    """One function in a process of its own, under the server that the platform runs it with."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    search = {key: value for key, value in os.environ.items() if key in ("PATH", "LANG", "HOME")}
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
    process = subprocess.Popen(command, cwd=source.parent, env={**search, **settings}, stdout=subprocess.DEVNULL)
    try:
        for _ in range(400):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                if process.poll() is not None:
                    raise RuntimeError(f"{target} did not start") from None
                time.sleep(0.05)
        yield Served(name, port, process.pid)
    finally:
        process.terminate()
        process.wait()


def direct(number: int) -> bytes:
    """The direct event of an object that means nothing."""
    return post(storage_headers(), encode(resource(NAME.format(number))))


def pubsub(number: int) -> bytes:
    """The same as the bucket's notification through Pub/Sub."""
    name = NAME.format(number)
    return post(headers(topic="artifacts"), encode(body(encode(resource(name)), storage_attributes(name))))


def post(context: dict[str, str], content: bytes) -> bytes:
    """A whole request."""
    lines = [
        "POST / HTTP/1.1",
        "host: 127.0.0.1",
        f"content-length: {len(content)}",
        *(f"{key}: {value}" for key, value in context.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + content


def _send(port: int, posts: list[bytes]) -> None:
    """One after the other over one connection, as the platform does, with as little work as can be on this side."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for post in posts:
            connection.sendall(post)
            answer = b""
            while not answer.endswith(b"\r\n\r\nOK"):
                piece = connection.recv(4096)
                if not piece:
                    raise ConnectionError(f"answered {answer!r}")
                answer += piece
            if not answer.startswith(b"HTTP/1.1 200 "):
                raise RuntimeError(answer.decode())


def _cpu(pid: int) -> float:
    """Seconds of CPU of a process and of the workers that it started, as Linux counts them."""
    ticks = 0
    for each in _family(pid):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _family(pid: int) -> tuple[str, ...]:
    return (str(pid), *Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


def _status(pid: str, what: str) -> int:
    """A figure of a process in KiB, as Linux has it."""
    found = re.search(rf"^{what}:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), flags=re.MULTILINE)
    return int(found[1]) if found else 0
