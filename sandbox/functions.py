"""The product's own entry points under functions-framework, a process for each, and the clock that Cloud Scheduler is."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from sandbox.cloud import ROOT, Sandbox
from sandbox.push import Form
from sandbox.serve import HOST
from sandbox.storage_events import storage_event

AUDIT, BUDGET_ALERT, SLACK_ACTION, STORAGE_EVENT, TASK = "audit", "budget_alert", "slack_action", "storage_event", "task"
SERVICES = {
    AUDIT: "cost-watchdog-audit", BUDGET_ALERT: "cost-watchdog-budget-alert", SLACK_ACTION: "cost-watchdog-slack-action",
    STORAGE_EVENT: "cost-watchdog-storage-event", TASK: "cost-watchdog-task",
}  # fmt: skip
"""The Cloud Run service that each target would be deployed as."""

_INHERITED = ("LANG", "LC_ALL", "PATH", "TMPDIR")
_INHERITED_PREFIXES = ("COVERAGE_", "PYTHON")
_TAIL_BYTES = 64_000
_POLL = 0.02
_PATIENCE = 3.0


@dataclass(frozen=True, slots=True)
class Deployment:
    """What the functions are started from.

    Attributes:
        folder: Where ``main.py`` lies.
        framework: The command that is functions-framework.
    """

    folder: Path = ROOT
    framework: tuple[str, ...] = (sys.executable, "-m", "functions_framework")


CHECKOUT = Deployment()
"""This checkout, by the interpreter that runs this."""


class Function:
    """One target in a process of its own, which keeps its port when it is started anew.

    Of this process's environment only the search paths are handed on: no credentials, no home and no proxy reach the function.

    Attributes:
        target: ``budget_alert``.
        url: Where it listens.
        log: The file that holds what it writes to stdout and stderr.
    """

    def __init__(self, target: str, environment: Mapping[str, str], folder: Path, deployment: Deployment = CHECKOUT) -> None:
        self.target = target
        self._deployment = deployment
        self.log = folder / f"{target}.log"
        self._port = _free_port()
        self.url = f"http://{HOST}:{self._port}/"
        home = folder / target
        home.mkdir(exist_ok=True)
        own = {"HOME": str(home), "K_SERVICE": SERVICES.get(target, target), "PYTHONUNBUFFERED": "1"}
        self._environment = {**_inherited(), **own, **environment}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process; it does not answer yet."""
        command = [*self._deployment.framework, "--source", "main.py", "--target", self.target]
        command += ["--host", HOST, "--port", str(self._port)]
        with self.log.open("ab") as log:
            # A session of its own: Ctrl-C is for the sandbox, which then ends the function itself.
            self._process = subprocess.Popen(
                command, cwd=self._deployment.folder, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def wait(self, timeout: float = 60.0) -> None:
        """Wait until it accepts connections, which it does once it has loaded the entry point.

        Raises:
            RuntimeError: It ended instead, or took too long, with the last lines of its log.
        """
        end = time.monotonic() + timeout
        while not self._listens():
            if not self.alive or time.monotonic() > end:
                what = "takes too long to start" if self.alive else "ended while it started"
                raise RuntimeError("\n".join([f"The function {self.target} {what}. Its log ends so:", *self.tail(20)]))
            time.sleep(_POLL)

    def kill(self) -> None:
        """End it at once, as kill -9 does, in the middle of whatever it does."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its workers with it
        process.wait()

    def restart(self) -> None:
        """Start it anew at the same address, and wait until it answers."""
        self.close()
        self.start()
        self.wait()

    def ask_to_end(self) -> None:
        """Ask it to end, and do not wait."""
        if self.alive and self._process:
            self._process.send_signal(signal.SIGTERM)  # as Cloud Run does

    def close(self) -> None:
        """End it, with a few seconds for what it is doing."""
        self.ask_to_end()
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=_PATIENCE)
        self.kill()

    def tail(self, lines: int) -> list[str]:
        """The last lines of its log."""
        if not self.log.exists():
            return []
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - _TAIL_BYTES))
            return log.read().decode(errors="replace").splitlines()[-lines:]

    def _listens(self) -> bool:
        with suppress(OSError), socket.create_connection((HOST, self._port), timeout=1):
            return self.alive
        return False


class Functions:
    """All targets, subscribed to their topics, to be used as a context manager.

    Args:
        sandbox: What they work on.
        tick_every: Seconds between two ticks of the clock; 0 leaves the clock out.
        environment: Further variables, such as WATCHDOG_MODE.
        min_backoff: Seconds before a message is delivered again after a failure; they double from there.
        deployment: What they are started from.

    Raises:
        RuntimeError: A function does not start.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        *,
        tick_every: float = 0.0,
        environment: Mapping[str, str] | None = None,
        min_backoff: float = 10.0,
        deployment: Deployment = CHECKOUT,
    ) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="cost-watchdog-"))
        variables = {**sandbox.environment(), **(environment or {})}
        self.by_target = {target: Function(target, variables, self._folder, deployment) for target in SERVICES}
        self.ticker = Ticker(sandbox, tick_every) if tick_every else None
        try:
            for function in self.by_target.values():
                function.start()
            for function in self.by_target.values():
                function.wait()
        except BaseException:
            self.close()
            raise
        for target, (topic, form) in triggers(sandbox).items():
            sandbox.pubsub.subscribe(topic, self.by_target[target].url, min_backoff=min_backoff, form=form)
        sandbox.slack.connect(self.by_target[SLACK_ACTION].url)
        if self.ticker:
            self.ticker.start()

    def close(self) -> None:
        """End them all."""
        if self.ticker:
            self.ticker.stop()
        for function in self.by_target.values():
            function.ask_to_end()
        for function in self.by_target.values():
            function.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class Ticker(threading.Thread):
    """Cloud Scheduler: a tick on the tasks topic, again and again."""

    def __init__(self, sandbox: Sandbox, seconds: float) -> None:
        super().__init__(name="ticker", daemon=True)
        self._sandbox = sandbox
        self._seconds = seconds
        self._ended = threading.Event()

    def run(self) -> None:
        """Tick until it is stopped."""
        while not self._ended.wait(self._seconds):
            tick(self._sandbox)

    def stop(self) -> None:
        """Tick no more."""
        self._ended.set()
        if self.is_alive():
            self.join(timeout=5)


def triggers(sandbox: Sandbox) -> dict[str, tuple[str, Form | None]]:
    """By target the topic that triggers it, and what Eventarc makes of its messages."""
    return {
        BUDGET_ALERT: (sandbox.budget_topic, None),
        STORAGE_EVENT: (sandbox.artifacts_topic, storage_event),
        TASK: (sandbox.tasks_topic, None),
    }


def tick(sandbox: Sandbox) -> str:
    """Publish one tick, and give its message's id."""
    return sandbox.pubsub.publish(sandbox.tasks_topic, json.dumps({"task": "tick"}).encode(), {})


def run_command(sandbox: Sandbox, *arguments: str, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
    """Run ``python -m functions`` as a person would in a terminal of their own.

    Raises:
        subprocess.TimeoutExpired: It takes too long.
    """
    with tempfile.TemporaryDirectory(prefix="cost-watchdog-home-") as home:
        environment = {**_inherited(), "HOME": home, **sandbox.environment()}
        command = [sys.executable, "-m", "functions", *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False
        )


def _inherited() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name in _INHERITED or name.startswith(_INHERITED_PREFIXES)}


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as free:
        return int(free.getsockname()[1])
