"""The sandbox, and the functions at work on it: in processes of their own, or in this one, which is faster."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import estate
from sandbox.cloud import ROOT, Sandbox
from sandbox.functions import Functions
from sandbox.policy_copy import with_short_waits
from tests.e2e.harness import PROXIES, InProcess, forget


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """The policy that the functions read: the shipped one, with waits of a second. A test module may have one of its own."""
    copy = tmp_path / "policy.yaml"
    with_short_waits(ROOT / "policy.yaml", 1, copy)
    return copy


@pytest.fixture
def sandbox(policy: Path) -> Iterator[Sandbox]:
    """The demo's estate with nothing spent in a month that is over; operations of Cloud Run are done at once."""
    with Sandbox(policy=policy, operation_seconds=0) as made:
        estate.build(made)
        yield made


@pytest.fixture
def processes(sandbox: Sandbox) -> Iterator[Functions]:
    """The functions under functions-framework, each in a process, subscribed to their topics; no clock ticks by itself."""
    with Functions(sandbox, min_backoff=0.2) as functions:
        yield functions


@pytest.fixture
def in_process(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[InProcess]:
    """The functions in this process; nothing is delivered unless the test says so."""
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
    for name, value in sandbox.environment().items():
        monkeypatch.setenv(name, value)
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    forget()
    yield InProcess(sandbox)
    forget()
    root.handlers[:] = handlers
    root.setLevel(level)
