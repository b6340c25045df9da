"""A journal whose objects were damaged or tampered with: the watchdog says so and goes on, and what is protected stays so."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from typing import Any, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions import slack_desk, triggers, wiring
from shared import report
from shared.by_hand import ByHand
from shared.errors import JournalError, WatchdogError
from shared.objects import manifest
from shared.objects.runs import Watch
from shared.report import jobs as report_jobs
from tests.cloud_events import LADDER, PAYMENTS, budget_event, object_event, task_event
from tests.fuzz.hostile import damaged, nearly, tried
from tests.stage import ANN, NEXT_PERIOD
from tests.yard import Yard, a_rule, the_policy

Objects = dict[str, tuple[bytes, int, Any]]
POLICY = the_policy(
    a_rule(abandoned_after="2d"),
    more="budgets:\n  - budget: ML Training Budget\n    steps:\n" + "\n".join(f"      - {step}" for step in LADDER),
)


def estate() -> Yard:
    """Services of staging and one that is protected, and a bucket with runs."""
    yard = Yard(POLICY)
    for name in ("embedder-staging", "reranker-staging"):
        yard.service(name)
    yard.service("payments", labels={"env": "prod"})
    yard.run("run-1")
    yard.run("run-2")
    return yard


def play(yard: Yard) -> None:
    """Something of everything gets into the journal."""
    yard.send(130)
    yard.fail("run-1")
    yard.tick()
    yard.hours(25)
    yard.fail("run-2")
    yard.ask(kind="command", what="status")
    yard.ann().hold("embedder-staging", yard.clock.now().replace(year=2027))
    yard.tick()
    yard.send(131)


@cache
def written() -> Objects:
    """What the journal then holds."""
    yard = estate()
    play(yard)
    return dict(yard.bucket.objects)


def kinds() -> list[str]:
    """The names of its objects, one after the other."""
    return sorted(written())


@st.composite
def tampered(draw: st.DrawFn) -> Objects:
    """The journal with one or two objects changed."""
    objects = dict(written())
    for name in draw(st.lists(st.sampled_from(kinds()), min_size=1, max_size=2, unique=True)):
        data, generation, metadata = objects[name]
        if name.endswith(".json") and draw(st.integers(0, 3)):
            data = json.dumps(draw(nearly((json.loads(data),)))).encode()
        else:
            data = draw(damaged((data,)))
        objects[name] = (
            data,
            generation,
            metadata
            if draw(st.booleans())
            else draw(st.dictionaries(st.sampled_from(["due", "heard", "name", "open", "stage", "created"]), st.text(max_size=8))),
        )
    return objects


@contextmanager
def in_force(yard: Yard) -> Iterator[None]:
    """The entry points find this yard."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wiring, "watchdog", yard.watchdog)
        patch.setattr(wiring, "suspects", Watch(yard.policy.artifacts).signs)
        patch.setattr(slack_desk, "desk", yard.desk)
        yield


@tried(60)
@given(tampered())
def test_fuzz_journal(objects: Objects) -> None:
    """Every message is acknowledged, every tick goes to its end, whatever a person asks for is answered, and what is protected is not touched."""
    yard = estate()
    play(yard)
    yard.bucket.objects = objects
    faults = Faults()
    with in_force(yard), faults:
        for event in (
            task_event(task="tick"),
            budget_event(131),
            task_event(task="slack", request="request-1"),
            object_event("runs/run-2/_FAILED", "acme-ml-runs"),
        ):
            event["time"] = yard.clock.now().isoformat()
            triggers_of(event)(event)
            yard.clock.sleep(120)
        yard.clock.sleep(90_000)
        triggers.task(task_event(task="tick"))
        for ask in ("status", "restore all", "hold payments 4h"):
            triggers.task(task_event(task="slack", request=yard.ask(kind="command", what=ask, user=ANN).key))
        seen(yard)
        yard.clock.instant = NEXT_PERIOD + timedelta(hours=2)
        last = budget_event(1, costIntervalStart=NEXT_PERIOD.isoformat())
        last["time"] = yard.clock.now().isoformat()
        triggers.budget_alert(last)
    assert "payments" not in yard.written()
    assert yard.states()[PAYMENTS]["minimum"] == 2
    assert faults.told == []


def triggers_of(event: Any) -> Any:
    """The entry point that an event is for."""
    data = event.get_data()
    if event["type"].startswith("google.cloud.storage"):
        return triggers.storage_event
    return triggers.budget_alert if data["message"].get("attributes") else triggers.task


def seen(yard: Yard) -> None:
    """What a person sees at a terminal: every entry that can be read can be shown."""
    by_hand = ByHand(yard.watchdog(), "ann")
    for entry in by_hand.survey().entries:
        if entry.job:
            report_jobs.line(entry)
            report_jobs.job_text(entry)
        else:
            report.outcome_text(entry)


class Faults(logging.Handler):
    """What the log says of faults in the watchdog itself, which no damage may bring about."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.told.append(f"{record.getMessage()}: {record.exc_info[1]!r}")

    def __enter__(self) -> Self:
        logging.getLogger().addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self)


@tried(150)
@given(damaged(tuple(data for name, (data, _, _) in written().items() if name.startswith("manifests/"))), st.integers(0, 5))
def test_fuzz_manifests(data: bytes, count: int) -> None:
    """A manifest is what it was, or a `JournalError`."""
    try:
        manifest.unpack(data, "manifests/x", count)
    except WatchdogError as error:
        assert isinstance(error, JournalError)


def test_the_journal_holds_something_of_everything() -> None:
    """What fuzzing rests on: entries about budgets and runs, open and closed, a budget, a thread, a request, holds, a manifest and the records of the ticks."""
    folders = {name.partition("/")[0] for name in kinds()}
    assert folders >= {"entries", "budgets", "threads", "requests", "manifests", "rules", "holds.json", "watch.json"}
