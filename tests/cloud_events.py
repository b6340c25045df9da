"""A stage with a whole ladder, and the CloudEvents that reach it as the framework hands them to the entry points."""

from __future__ import annotations

from typing import Any

from cloudevents.http import CloudEvent

from tests.envelopes import attributes, body, encode, headers, payload
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


def _event(data: bytes | None, labels: dict[str, str] | None) -> CloudEvent:
    context = {name.removeprefix("ce-"): value for name, value in headers().items() if name.startswith("ce-")}
    return CloudEvent(context, body(data, labels))
