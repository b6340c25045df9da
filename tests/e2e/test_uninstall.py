"""The watchdog is taken away as docs/deployment.md says: stopped, everything put back, nothing left."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from functions import __main__ as cli
from functions import policy_in_force, wiring
from sandbox import training
from sandbox.cloud import ARTIFACTS_BUCKET, Sandbox
from sandbox.estate import BUDGET_ID
from sandbox.scene import letters
from tests.e2e.harness import InProcess, ShiftedClock

SCALING = re.compile(r"scaling|instance|min|max|mode|count")


def scaled(sandbox: Sandbox) -> dict[str, Any]:
    """By resource, what it says of its scaling."""
    return {each["name"]: {key: value for key, value in each.items() if SCALING.search(key)} for each in sandbox.run.snapshot()}


def kept(sandbox: Sandbox) -> dict[str, int]:
    """The objects of the watched bucket, each with its generation."""
    return {each.name: each.generation for each in sandbox.storage.contents(ARTIFACTS_BUCKET)[0]}


def test_everything_is_put_back_before_it_goes(
    in_process: InProcess, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Services are as they were, the deleted run is back, no entry is open, and in `observe` nothing is begun meanwhile."""
    sandbox, clock = in_process.sandbox, ShiftedClock()
    monkeypatch.setattr("shared.clock.SystemClock", lambda: clock)
    services = scaled(sandbox)
    training.fail(sandbox.storage, training.DOOMED.folder)
    objects = set(kept(sandbox))
    in_process.drain()
    for spent in (8_200, 10_200):
        sandbox.budgets.spend(BUDGET_ID, Decimal(spent))
        in_process.drain()
    in_process.tick()
    clock.ahead = timedelta(seconds=5)
    for _ in range(3):
        in_process.tick()
    assert scaled(sandbox) != services
    assert set(kept(sandbox)) < objects

    monkeypatch.setenv("WATCHDOG_MODE", "observe")
    for cached in (wiring.settings, wiring._world):
        cached.cache_clear()
    policy_in_force._read.clear()
    (deletion,) = {key for each in letters(sandbox) for key in re.findall(r"restore --entry (run-[\w-]+)", each["text"])}
    assert cli.main(["restore", "--all"]) == 0
    assert cli.main(["restore", "--entry", deletion]) == 0
    in_process.tick()
    capsys.readouterr()
    assert cli.main(["list"]) == 0
    assert capsys.readouterr().out == "nothing is parked, and nothing waits\n"
    assert scaled(sandbox) == services
    assert set(kept(sandbox)) == objects
