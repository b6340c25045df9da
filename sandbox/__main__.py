"""``python -m sandbox``: a Google Cloud and a Slack on this machine. ``python -m sandbox demo``: the whole story on it."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from rich.console import Console

from sandbox import estate, training
from sandbox.cloud import ROOT, Ports, Sandbox
from sandbox.faults import Fault
from sandbox.functions import Functions
from sandbox.gallery import KINDS, PLANS, fill
from sandbox.page import Page
from sandbox.policy_copy import with_short_waits
from sandbox.serve import HOST, HttpServer
from sandbox.story import Story
from sandbox.telling import Teller

PAGE_PORT = 8900
"""The others follow: gRPC, Cloud Storage, Slack."""
_POLICY = ROOT / "policy.yaml"
_DEMO_WAIT, _DEMO_TICK = 3, 1.0
_MONTHS = 6


@dataclass(frozen=True)
class Running:
    """Everything, at work.

    Attributes:
        sandbox: The stand-ins.
        page: The page's address.
        waits: The policy's waits that are shortened here.
    """

    sandbox: Sandbox
    page: str
    waits: Sequence[str]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the sandbox or the demo.

    Returns:
        0, or 1 where the story did not come true or nothing could be started.
    """
    asked = _parser().parse_args(arguments)
    for how in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(how, _interrupt)
    try:
        return _demo(asked) if asked.command == "demo" else _serve(asked)
    except KeyboardInterrupt:
        return 0 if asked.command != "demo" else 130
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox",
        description="A Google Cloud and a Slack on this machine, with the functions at work on them and a page to look at. Nothing leaves the machine.",
    )
    parser.add_argument("--port", type=int, default=PAGE_PORT, help=f"the page's port ({PAGE_PORT}); any free one where it is taken")
    parser.add_argument("--policy", type=Path, default=_POLICY, metavar="FILE", help="the policy (policy.yaml)")
    parser.add_argument(
        "--wait", type=int, default=10, metavar="SECONDS", help="how long the policy's steps wait here (10); 0 is as long as they say"
    )
    parser.add_argument("--tick", type=float, default=2.0, metavar="SECONDS", help="how often the clock ticks (2)")
    parser.add_argument("--letters", action="store_true", help="show every message that can be sent, in channels of their own")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    demo = commands.add_parser(
        "demo", help="tell the whole story, checked by effect", description="Tell the whole story, checked by effect."
    )
    demo.add_argument("--port", type=int, default=argparse.SUPPRESS, help="the page's port")
    demo.add_argument("--exit", action="store_true", help="end after the story; without a terminal it always does")
    demo.add_argument(
        "--fault", type=_fault, action="append", default=[], metavar="METHOD:STATUS[:TIMES]",
        help="let a method fail, to see what comes of it: UpdateService:503:5, chat.postMessage:500",
    )  # fmt: skip
    return parser


@contextlib.contextmanager
def _everything(policy: Path, port: int, *, wait: int, tick: float, months_back: int, faults: Sequence[Fault] = ()) -> Iterator[Running]:
    with contextlib.ExitStack() as stack:
        waits: list[str] = []
        if wait:
            copy = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cost-watchdog-policy-")), "policy.yaml")
            waits = with_short_waits(policy, wait, copy)
            policy = copy
        page, *others = (_port(port + more) if port else 0 for more in range(4))
        sandbox = stack.enter_context(Sandbox(policy=policy, ports=Ports(*others)))
        estate.build(sandbox, months_back=months_back)
        for fault in faults:
            sandbox.faults.inject(fault)
        environment = {"WATCHDOG_MODE": "enforce"}
        functions = stack.enter_context(Functions(sandbox, tick_every=tick, environment=environment, min_backoff=1.0))
        server = stack.enter_context(HttpServer(Page(sandbox, functions).app(), page))
        yield Running(sandbox, f"{server.url}/", waits)


def _serve(asked: argparse.Namespace) -> int:
    with _everything(asked.policy, asked.port, wait=asked.wait, tick=asked.tick, months_back=_MONTHS) as running:
        print(f"The page is at {running.page}")
        if asked.letters:
            print(f"{len(fill(running.sandbox))} messages are in the channels {', '.join((PLANS, *KINDS))}.")
        if running.waits:
            print(f"The policy's waits ({', '.join(running.waits)}) are {asked.wait} s here.")
        print("To use it from another terminal, for example with `python -m functions list`:\n")
        for name, value in running.sandbox.environment().items():
            print(f"export {name}={shlex.quote(value)}")
        print("\nCtrl-C ends it.", flush=True)
        _forever()


def _demo(asked: argparse.Namespace) -> int:
    began = time.monotonic()
    teller = Teller(Console())
    stays = teller.interactive and not asked.exit
    with _everything(_POLICY, asked.port, wait=_DEMO_WAIT, tick=_DEMO_TICK, months_back=1, faults=asked.fault) as running:
        waits = ", ".join(running.waits)
        teller.opening(
            f"{len(estate.SEEDS)} Cloud Run services and worker pools in two regions, a bucket with {len(training.RUNS)} MLflow runs, a budget of "
            f"{estate.AMOUNT:,} USD and a Slack channel, all on this machine. At work on them: the functions as they are deployed, with Google's and "
            "Slack's own clients. "
            f"The policy is policy.yaml, but for its waits: {waits} are {_DEMO_WAIT} s here, and the clock ticks every second instead of every minute. "
            "The story begins last month.",
            running.page,
        )
        checks = Story(running.sandbox, teller, wait=_DEMO_WAIT, pause=1.0 if stays else 0.0).play()
        teller.verdict(checks, time.monotonic() - began)
        if stays:
            teller.closing(running.page)
            with contextlib.suppress(KeyboardInterrupt):
                _forever()
    return 0 if all(check.true for check in checks) else 1


def _forever() -> NoReturn:
    while True:
        threading.Event().wait()


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _port(wanted: int) -> int:
    """The port, or 0 for any free one where it is taken."""
    try:
        with socket.create_server((HOST, wanted)):
            return wanted
    except OSError:
        return 0


def _fault(text: str) -> Fault:
    method, _, rest = text.partition(":")
    status, _, times = rest.partition(":")
    if not method or not status.isdecimal() or not (times.isdecimal() or not times):
        raise argparse.ArgumentTypeError(f"{text!r} is not METHOD:STATUS or METHOD:STATUS:TIMES, such as UpdateService:503:5")
    return Fault(method, int(status), times=int(times) if times else None)


if __name__ == "__main__":
    sys.exit(main())
