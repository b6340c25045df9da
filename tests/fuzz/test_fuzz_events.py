"""Events from outside, whole and through the entry points: each is answered, and none is delivered for ever."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import functions_framework
import pytest
from cloudevents.http import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from functions import triggers, wiring
from sandbox.cloud import ROOT
from shared import events
from shared.errors import EventRejected
from shared.objects.runs import Watch
from tests.cloud_events import a_stage
from tests.e2e.harness import LEFT_BEHIND
from tests.envelopes import ACCOUNT, BUDGET, EVENTS, attributes, body, payload, resource, storage_attributes, storage_headers
from tests.envelopes import headers as message_headers
from tests.fuzz.hostile import INSTANTS, NAMES, NUMBERS, damaged, nearly, text_of, texts, tried, values
from tests.stage import Stage
from tests.yard import Yard, a_rule, the_policy

SAMPLES = tuple(json.loads(file.read_text(encoding="utf-8")) for file in sorted(EVENTS.iterdir()))
ENVELOPES = tuple(each["body"] for each in SAMPLES if isinstance(each["body"], dict))
PAYLOADS = (payload(82.0), payload(82, alertThresholdExceeded=0.8, forecastThresholdExceeded=1.0), payload("82", "100"))
TASKS = ({"task": "tick"}, {"task": "resume", "entry": "budget-1"}, {"task": "slack", "request": "0" * 40}, {"task": "nothing"})
OBJECTS = (resource(), resource("runs/run-1/meta.yaml", size=7, generation=9), resource("runs/run-1/status.json"))
WHOLE = (
    {"specversion": "1.0", "id": "1", "source": "s", "type": "google.cloud.pubsub.topic.v1.messagePublished", "time": "2026-11-20T12:00:00Z", "data": ENVELOPES[0]},
    {"specversion": "1.0", "id": "1", "source": "s", "type": "google.cloud.storage.object.v1.finalized", "subject": "s", "data": OBJECTS[0]},
    {"specversion": "1.0", "id": "1", "source": "s", "type": "t", "datacontenttype": "application/json", "data_base64": "e30="},
)  # fmt: skip
"""Events in one piece."""
RULES = a_rule().replace("[failed_marker]", "[mlflow, failed_marker, {object: status.json, has: {state: [FAILED]}}]")

labels = st.dictionaries(
    st.sampled_from(["budgetId", "billingAccountId", "schemaVersion", "eventType", "bucketId", "objectId", "objectGeneration"]), values
)
"""Attributes of a message; Pub/Sub lets only text through, and nothing here relies on that."""


def context(kind: Any, time: Any = "2026-11-20T12:00:00Z") -> dict[str, Any]:
    """The context attributes of an event."""
    return {"id": "1", "source": "//pubsub.googleapis.com/projects/p/topics/t", "type": kind, "time": time}


MESSAGE = "google.cloud.pubsub.topic.v1.messagePublished"
FINALIZED = "google.cloud.storage.object.v1.finalized"


@contextmanager
def in_force(stage: Stage) -> Iterator[Stage]:
    """The entry points find this stage."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wiring, "watchdog", stage.watchdog)
        patch.setattr(wiring, "suspects", Watch(stage.policy.artifacts).signs)
        yield stage


def answered(stage: Stage, trigger: Callable[[CloudEvent], None], event: CloudEvent) -> None:
    """Deliver an event. Returning is what acknowledges it, and on a world in which everything answers nothing else is right; the tick goes on after it."""
    with in_force(stage):
        trigger(event)
        stage.clock.sleep(120)
        stage.watchdog().tick()


# the decoders


@tried(400)
@given(nearly(ENVELOPES) | values, st.sampled_from(INSTANTS) | values)
def test_fuzz_envelopes(data: Any, time: Any) -> None:
    """Whatever the envelope is, every decoder gives a noun or an `EventRejected`; nothing else is raised."""
    for decode in (
        lambda: events.budget_notification({"id": "1", "time": time}, data),
        lambda: events.task(data),
        lambda: events.object_named(MESSAGE, data),
        lambda: events.object_written(MESSAGE, data),
        lambda: events.object_named(FINALIZED, data),
        lambda: events.object_written(FINALIZED, data),
    ):
        try:
            decode()
        except EventRejected as error:
            assert str(error).isprintable()
            assert len(str(error)) < 1000


@tried(400)
@given(nearly(PAYLOADS).map(text_of) | damaged(tuple(map(text_of, PAYLOADS))), labels | st.just(attributes()))
def test_fuzz_budget_data(data: bytes, given_labels: dict[str, Any]) -> None:
    """Whatever the data is, a notification can be written to the journal and shown, and its level is a number."""
    try:
        told = events.budget_notification(context(MESSAGE), body(data, given_labels))
    except EventRejected:
        return
    assert told.level("actual").is_finite()
    assert told.level("forecast").is_finite()
    told.budget_name.encode()
    assert len(f"{told.cost:f}{told.amount:f}{told.level('actual'):f}") < 200


# the entry points


@tried(150)
@given(nearly(PAYLOADS).map(text_of), st.sampled_from(INSTANTS) | texts | st.just("2026-11-20T12:00:00Z"), labels | st.just(attributes()))
def test_fuzz_budget_alert(data: bytes, time: str, given_labels: dict[str, Any]) -> None:
    """Every message on the budget topic is acknowledged, and neither it nor what it left behind stops the next tick."""
    stage = a_stage()
    answered(stage, triggers.budget_alert, CloudEvent(context(MESSAGE, time), body(data, given_labels)))
    answered(stage, triggers.budget_alert, CloudEvent(context(MESSAGE), body(text_of(payload(82)), attributes())))


@tried(150)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(INSTANTS[:4]) | st.just("2026-11-01T07:00:00Z"),
            st.sampled_from(INSTANTS),
            st.sampled_from([0, 82, 1e14, -1e14, 1e-12]),
            st.sampled_from([0, 100, 1e-12, 9e14]),
        ),
        min_size=2,
        max_size=6,
    )
)
def test_fuzz_series_of_messages(messages: list[tuple[str, str, float, float]]) -> None:
    """Several messages of one budget at the edges of the calendar and of what can be counted: each is acknowledged."""
    stage = a_stage()
    for start, time, cost, amount in messages:
        data = text_of(payload(cost, amount, costIntervalStart=start))
        answered(stage, triggers.budget_alert, CloudEvent(context(MESSAGE, time), body(data, attributes())))


@tried(150)
@given(nearly(TASKS).map(text_of) | damaged(tuple(map(text_of, TASKS))))
def test_fuzz_task(data: bytes) -> None:
    """Every message on the tasks topic is acknowledged."""
    stage = a_stage()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wiring, "settings", lambda: None)
        answered(stage, triggers.task, CloudEvent(context(MESSAGE), body(data, None)))


@tried(150)
@given(
    nearly(OBJECTS),
    labels | st.just(storage_attributes()),
    st.sampled_from([FINALIZED, MESSAGE, "google.cloud.storage.object.v1.deleted", *NAMES]) | values,
    st.binary(max_size=60),
)
def test_fuzz_storage_event(data: Any, given_labels: dict[str, Any], kind: Any, content: bytes) -> None:
    """Every event of a bucket is acknowledged, through Pub/Sub or not, whatever the object is called and holds."""
    stage = Yard(the_policy(RULES))
    stage.put("runs/run-1/meta.yaml", content)
    found = body(text_of(data), given_labels) if kind == MESSAGE else data
    answered(stage, triggers.storage_event, CloudEvent(context(kind), found))


@pytest.mark.parametrize("form", ["push", "event"])
@pytest.mark.parametrize("target", ["budget_alert", "storage_event", "task"])
@tried(60)
@given(nearly(ENVELOPES) | values | nearly(OBJECTS), st.sampled_from([message_headers(), storage_headers()]), st.sampled_from(INSTANTS))
def test_fuzz_the_framework(target: str, form: str, found: Any, sent: dict[str, str], time: str) -> None:
    """Behind the real framework whatever is posted is answered with 200, in Eventarc's form and in that of a push subscription."""
    stage = a_stage() if target != "storage_event" else Yard(the_policy(RULES))
    given_headers = {**sent, "ce-time": time} if form == "event" else {"content-type": "application/json"}
    with in_force(stage):
        answer = client(target).post("/", headers=given_headers, data=text_of(found))
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("target", ["budget_alert", "storage_event", "task"])
@tried(60)
@given(nearly(WHOLE), st.sampled_from(["application/cloudevents+json", "application/cloudevents-batch+json", "application/json"]))
def test_fuzz_events_in_one_piece(target: str, found: Any, form: str) -> None:
    """Where the attributes stand in the body, each may be of any type, and what is posted is answered with 200."""
    stage = a_stage() if target != "storage_event" else Yard(the_policy(RULES))
    with in_force(stage):
        answer = client(target).post("/", headers={"content-type": form}, data=text_of(found))
    assert answer.status_code == 200, answer.text


_clients: dict[str, Any] = {}


def client(target: str) -> Any:
    """The function behind Flask's test client, made once."""
    if target not in _clients:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(wiring, "start", lambda: None)
            for name in LEFT_BEHIND:
                patch.setenv(name, "")
            _clients[target] = functions_framework.create_app(target, str(ROOT / "main.py"), "http").test_client()
        sys.modules.pop("main", None)
    return _clients[target]


def test_the_numbers_are_told_apart() -> None:
    """What fuzzing rests on: each number that is no amount of money is refused by its kind, in the field where money stands."""
    refused = 0
    for number in NUMBERS:
        try:
            events.budget_notification(context(MESSAGE), body(text_of(payload(number)), {"budgetId": BUDGET, "billingAccountId": ACCOUNT}))
        except EventRejected as error:
            refused += error.kind in ("not-finite", "wrong-type", "not-json")
    assert refused > len(NUMBERS) / 2
