"""The functions as processes of their own, killed and born again in the middle of a story."""

from __future__ import annotations

import itertools
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from sandbox.cloud import ROOT
from sandbox.functions import SERVICES
from sandbox.serve import HOST

_PATIENCE = 20.0
_FIRST, _BLOCK, _BLOCKS = 10_000, 2_500, 8
"""Below what the system gives to whoever asks for any port, and a block for each process that tells stories: a function that is born again has to find its own still free."""
_begin = _FIRST + os.getpid() % _BLOCKS * _BLOCK
_ports = itertools.cycle(range(_begin, _begin + _BLOCK))


class Nursery:
    """The handle of `tests.chaos.nursery`, which lives through many stories; to be closed.

    Args:
        mutant: What is broken in the product on purpose, by its name in `tests.chaos.mutants`; empty is nothing.
    """

    def __init__(self, mutant: str = "") -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.nursery", mutant], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._lock = threading.Lock()
        self._answer()

    def bear(self, **asked: object) -> int:
        """Have a server born, and give its process id."""
        with self._lock:
            assert self._process.stdin
            self._process.stdin.write(json.dumps(asked) + "\n")
            self._process.stdin.flush()
            return int(self._answer()["pid"])

    def close(self) -> None:
        """End it."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(timeout=10)
        self._process.stdout.close()

    def _answer(self) -> dict[str, int]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the process that bears the functions has ended; its stderr says why")
        answer: dict[str, int] = json.loads(line)
        return answer


class Targets:
    """All targets of one story. Each is born at its first use, and again as often as it is killed."""

    def __init__(self, nursery: Nursery, environment: Mapping[str, str], folder: Path) -> None:
        self.log = folder / "functions.log"
        self.kills = 0
        self._nursery = nursery
        self._folder = folder
        self._environment = {"HOME": str(folder), "PATH": os.environ.get("PATH", ""), "GUNICORN_LOG_LEVEL": "critical", **environment}
        self._ports: dict[str, int] = {}
        self._processes: dict[str, int] = {}
        self._lock = threading.Lock()
        self._killed: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._midwife = threading.Thread(target=self._bear_again, name="midwife", daemon=True)
        self._midwife.start()

    def url(self, target: str) -> str:
        """Where a target listens, now or as soon as it is born."""
        if target not in self._ports:
            self._ports[target] = _free_port()
        return f"http://{HOST}:{self._ports[target]}/"

    def begin(self, target: str) -> None:
        """See that it lives, and wait until it listens."""
        self.url(target)
        with self._lock:
            if target in self._processes:
                return
            environment = {**self._environment, "K_SERVICE": SERVICES[target]}
            self._processes[target] = self._nursery.bear(
                target=target, port=self._ports[target], log=str(self.log), clock=str(self._folder / "clock"), environment=environment
            )  # fmt: skip
            self._wait(target, self._processes[target])

    def kill(self, target: str) -> None:
        """`kill -9`, whatever it does; it is born again in a moment."""
        pid = self._processes.pop(target, None)
        if pid is None:
            return
        self.kills += 1
        _kill(pid)
        self._killed.put(target)

    def close(self) -> None:
        """Kill them all."""
        self._killed.put("")
        self._midwife.join(timeout=_PATIENCE)
        for pid in self._processes.values():
            _kill(pid)

    def _bear_again(self) -> None:
        while target := self._killed.get():
            self.begin(target)

    def _wait(self, target: str, pid: int) -> None:
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end and self._processes.get(target) == pid:
            with suppress(OSError), socket.create_connection((HOST, self._ports[target]), timeout=1):
                return
            time.sleep(0.003)
        if self._processes.get(target) == pid:
            raise RuntimeError(f"the function {target} does not listen; see {self.log}")


def _free_port() -> int:
    while True:
        port = next(_ports)
        with suppress(OSError), socket.create_server((HOST, port)):
            return port


def _kill(pid: int) -> None:
    for kill in (os.killpg, os.kill):  # one that was just born leads no group yet
        with suppress(ProcessLookupError):
            kill(pid, signal.SIGKILL)
