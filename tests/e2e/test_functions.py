"""The harness itself: the functions as processes and in this process."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path

import pytest

from sandbox import training
from sandbox.cloud import STATE_BUCKET, Sandbox
from sandbox.estate import BUDGET_ID, SEEDS
from sandbox.functions import BUDGET_ALERT, SERVICES, STORAGE_EVENT, TASK, Function, Functions, run_command, tick
from sandbox.scene import letters
from tests.e2e.harness import PROXIES, InProcess


def _staging(sandbox: Sandbox) -> int:
    """How many instances of the staging services run."""
    return sum(sandbox.run.total(seed.resource(sandbox.project)) for seed in SEEDS if seed.role == "staging" and not seed.pool)


def test_a_budget_message_parks_staging_through_real_processes(sandbox: Sandbox, processes: Functions) -> None:
    """A notification that Google sends reaches the function, which sends one message and leaves only the tagged instance running."""
    sandbox.budgets.spend(BUDGET_ID, Decimal(8_200))
    assert sandbox.pubsub.drain(30)
    assert _staging(sandbox) == 1
    assert len(letters(sandbox)) == 1
    assert all(function.alive for function in processes.by_target.values())


def test_a_run_that_fails_is_announced_through_real_processes(sandbox: Sandbox, processes: Functions) -> None:
    """Eventarc's event reaches the function, which only records it; the next tick looks at the run and sends one message, and a command shows it."""
    training.fail(sandbox.storage, training.DOOMED.folder)
    assert sandbox.pubsub.drain(30)
    assert [each.endpoint for each in sandbox.pubsub.deliveries] == [processes.by_target[STORAGE_EVENT].url]
    assert not letters(sandbox)
    tick(sandbox)
    assert sandbox.pubsub.drain(30)
    (message,) = letters(sandbox)
    assert "will delete 17 objects, 210.0 GiB" in message["text"]
    listed = run_command(sandbox, "list")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert f"gs://acme-ml-artifacts/{training.DOOMED.folder}" in listed.stdout


def test_a_function_that_is_killed_answers_again_after_its_restart(sandbox: Sandbox, processes: Functions) -> None:
    """What is published while a function is dead is delivered again once it lives."""
    function = processes.by_target[TASK]
    function.kill()
    assert not function.alive
    tick(sandbox)
    assert not sandbox.pubsub.drain(0.5)
    function.restart()
    assert sandbox.pubsub.drain(30)
    assert sandbox.pubsub.deliveries[-1].status == 200


def test_a_function_that_cannot_start_says_why(sandbox: Sandbox) -> None:
    """The last lines of its log are in the error."""
    with pytest.raises(RuntimeError, match="WATCHDOG_MODE is 'perhaps'"):
        Functions(sandbox, environment={"WATCHDOG_MODE": "perhaps"})


def test_no_process_is_left_behind(sandbox: Sandbox) -> None:
    """When the functions are closed, the processes that they were and all that those began are gone."""
    with Functions(sandbox) as functions:
        groups = [function._process.pid for function in functions.by_target.values() if function._process]
        assert len(groups) == len(SERVICES)
    for group in groups:
        with pytest.raises(ProcessLookupError):
            os.killpg(group, 0)


def test_the_functions_inherit_neither_credentials_nor_proxies(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of this process's environment a function gets the search paths alone, and a home of its own."""
    for name in (*PROXIES, "GOOGLE_APPLICATION_CREDENTIALS", "WATCHDOG_MODE"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    function = Function(BUDGET_ALERT, sandbox.environment(), tmp_path)
    given = set(function._environment) - set(sandbox.environment())
    assert not given & {*PROXIES, "GOOGLE_APPLICATION_CREDENTIALS", "WATCHDOG_MODE"}
    assert function._environment["HOME"] == str(tmp_path / BUDGET_ALERT)


def test_the_same_in_this_process(in_process: InProcess) -> None:
    """Delivered by hand, the same message does the same, and the journal closes nothing that is still parked."""
    sandbox = in_process.sandbox
    sandbox.budgets.spend(BUDGET_ID, Decimal(8_200))
    assert in_process.drain() == [200]
    assert _staging(sandbox) == 1
    assert in_process.tick() == [200]
    assert len(letters(sandbox)) == 1


def test_each_test_in_this_process_has_settings_of_its_own(in_process: InProcess) -> None:
    """Nothing of an earlier sandbox is remembered: this one's state bucket is the one that is written."""
    sandbox = in_process.sandbox
    sandbox.budgets.spend(BUDGET_ID, Decimal(5_000))
    assert in_process.drain() == [200]
    (bucket,) = [each for each in sandbox.storage.snapshot() if each["name"] == STATE_BUCKET]
    assert bucket["objects"] > 0
