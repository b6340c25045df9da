"""A stage with a whole ladder, and the CloudEvents that reach it as the framework hands them to the entry points."""

from __future__ import annotations

from typing import Any, Literal

from cloudevents.http import CloudEvent

from tests.envelopes import attributes, body, encode, headers, payload, resource, storage_attributes, storage_headers
from tests.stage import IDLE_80, NOTIFY_50, Stage, a_policy, full_name

EMBEDDER, RERANKER, PAYMENTS = (full_name(name) for name in ("embedder-staging", "reranker-staging", "payments"))
LADDER = (
    NOTIFY_50,
    IDLE_80,
    "{at: 100%, wait: 30m, do: [{scale_to_zero: {select: {labels: {env: staging}}, to: stopped}}]}",
    '{at: 120%, approve: true, do: [{scale_to_zero: {select: {services: ["*"]}, to: stopped}}]}',
)


def a_stage() -> Stage:
    """Two staging services and a protected one, with two warm instances each."""
    stage = Stage(a_policy(*LADDER, budget="ML Training Budget"))
    for name in ("embedder-staging", "reranker-staging"):
        stage.service(name)
    stage.service("payments", labels={"env": "prod"})
    return stage


def budget_event(cost: float | None = 82.0, **more: Any) -> CloudEvent:
    """A budget message: so much of a budget of 100 is spent; without a cost it has no data."""
    return _event(None if cost is None else encode(payload(cost, **more)), attributes())


def task_event(**task: str) -> CloudEvent:
    """A message of the tasks topic."""
    return _event(encode(task), None)


Form = Literal["direct", "pubsub", "pubsub without a payload"]
FORMS: tuple[Form, ...] = ("direct", "pubsub", "pubsub without a payload")
"""The ways in which the notice that an object was written may come."""


def object_event(name: str, bucket: str = "acme-ml-artifacts", form: Form = "direct") -> CloudEvent:
    """An object of this name was written."""
    if form == "direct":
        return CloudEvent(_context(storage_headers(bucket, "subject-that-nobody-reads")), resource(name, bucket))
    if form == "pubsub":
        return _event(encode(resource(name, bucket)), storage_attributes(name, bucket))
    return _event(None, storage_attributes(name, bucket, payloadFormat="NONE"))


def _event(data: bytes | None, labels: dict[str, str] | None) -> CloudEvent:
    return CloudEvent(_context(headers()), body(data, labels))


def _context(sent: dict[str, str]) -> dict[str, str]:
    return {name.removeprefix("ce-"): value for name, value in sent.items() if name.startswith("ce-")}
