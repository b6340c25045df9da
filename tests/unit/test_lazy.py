"""What is needed is made when it is needed: values, and the vendors' libraries."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shared.cloud.lazy import Lazy

ROOT = Path(__file__).resolve().parent.parent.parent
ADAPTERS = sorted(f"shared.cloud.{path.stem}" for path in (ROOT / "shared" / "cloud").glob("[a-z]*.py"))
MAKE_ALL = """
import sys
from shared.cloud.run_services import CloudRunServices
from shared.cloud.run_worker_pools import CloudRunWorkerPools
from shared.cloud.slack import SlackMessenger
from shared.cloud.state_bucket import GcsStateBucket
from shared.cloud.tasks import PubSubTasks
from shared.settings import Settings
CloudRunServices(), CloudRunWorkerPools(), SlackMessenger("t", "u"), GcsStateBucket("b"), PubSubTasks("t")
import functions.logs
functions.logs.configure("p", [])
"""


def test_no_vendors_library_is_imported_early() -> None:
    """Every adapter can be imported and made without any client: most events need none, and each costs a cold start half a second."""
    code = f"import {', '.join(ADAPTERS)}\n{MAKE_ALL}\nprint(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    assert "shared.cloud.tasks" in loaded
    assert not {"google.api_core", "google.auth", "grpc", "requests", "urllib3", "slack_sdk", "flask", "pydantic"} & set(loaded)


def test_a_lazy_value_is_made_once() -> None:
    """Not before it is needed, and once for however many threads."""
    made: list[object] = []
    together = threading.Barrier(8)

    def make() -> object:
        made.append(object())
        return made[-1]

    value = Lazy(make)
    assert made == []

    def take(_: int) -> object:
        together.wait()
        return value()

    with ThreadPoolExecutor(8) as pool:
        taken = set(pool.map(take, range(8)))
    assert taken == {made[0]}
    assert len(made) == 1


def test_a_lazy_value_may_be_none_and_may_fail() -> None:
    """None is a value too; what failed is tried again at the next call."""
    answers: list[object] = [ValueError("not yet"), None]

    def make() -> None:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer

    value = Lazy(make)
    with pytest.raises(ValueError, match="not yet"):
        value()
    value()
    value()
    assert answers == []


def test_who_waited_while_it_was_made_has_the_same() -> None:
    """However many ask at once, it is made once."""
    made, begun, go_on = [], threading.Event(), threading.Event()

    def make() -> object:
        begun.set()
        assert go_on.wait(10)
        made.append(object())
        return made[0]

    lazy = Lazy(make)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(lazy)
        assert begun.wait(10)
        second = pool.submit(lazy)
        threading.Event().wait(0.05)
        go_on.set()
        assert first.result(10) is second.result(10) is made[0]
    assert len(made) == 1
