"""The bill of the watchdog itself, with what the model of it takes as measured beside what is measured now."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench.bill import LARGE, SMALL, Use, bill, table
from tests.bench.events import NAME, POLICY, Served, post, pubsub, served
from tests.bench.pushes import push
from tests.bench.server import Server
from tests.envelopes import attributes, body, encode, headers, payload, resource, storage_attributes

EVENTS, REPEATS = 4_000, 40


def run(console: Console, root: Path) -> None:
    """Measure and print."""
    use = Use()
    policy = root / ".cache" / "events.yaml"
    policy.parent.mkdir(exist_ok=True)
    policy.write_text(POLICY)
    settings = {"GOOGLE_CLOUD_PROJECT": "acme-ml-watchdog", "WATCHDOG_STATE_BUCKET": "acme-ml-state", "WATCHDOG_POLICY": str(policy)}
    with served("storage_event", root / "main.py", "storage_event", settings) as function:
        event = _cpu(function, [pubsub(number) for number in range(EVENTS)])
    server = Server(root)
    try:
        with served("task", root / "main.py", "task", server.environment) as function:
            tick = _cpu(function, [post(headers(), encode(body(b'{"task": "tick"}', None)))] * REPEATS)
        with served("budget_alert", root / "main.py", "budget_alert", server.environment) as function:
            message = _cpu(function, [_message(number) for number in range(REPEATS)])
    finally:
        server.close()
    name = NAME.format(EVENTS)
    size = len(encode(resource(name))) + sum(len(key) + len(value) for key, value in storage_attributes(name).items())
    measured = Table("what", "measured", "in the model", title="what the bill rests on")
    measured.add_row("CPU of a storage event that means nothing", f"{1000 * event:.2f} ms", f"{1000 * use.event_cpu:.2f} ms")
    measured.add_row("CPU of a tick with nothing due", f"{1000 * tick:.0f} ms", f"at most {1000 * use.cpu:.0f} ms")
    measured.add_row("CPU of a budget message that reaches no step", f"{1000 * message:.0f} ms", f"at most {1000 * use.cpu:.0f} ms")
    measured.add_row("a storage notification", f"{size:,} bytes", f"{use.event_bytes:,} bytes")
    console.print(measured)
    console.print("\n".join(table(bill(SMALL), bill(LARGE))), soft_wrap=True)


def _cpu(function: Served, posts: list[bytes]) -> float:
    """Seconds of CPU for each, once the process is warm."""
    push(function.port, posts[:1], at_once=1)
    before = function.used()
    push(function.port, posts[1:], at_once=4)
    return (function.used() - before) / (len(posts) - 1)


def _message(number: int) -> bytes:
    """How a budget stands, far below its steps."""
    now = datetime.now(UTC)
    data = payload(10 + number / 10, costIntervalStart=now.replace(day=1, hour=8, minute=0, second=0, microsecond=0).isoformat())
    return post(headers(str(number), now), encode(body(encode(data), attributes(), str(number), now)))
