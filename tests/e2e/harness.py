"""The functions in this process: the real framework and the real entry points, without a process and a socket for each."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import functions_framework

from functions import policy_in_force, wiring
from sandbox.cloud import ROOT, Sandbox
from sandbox.functions import SLACK_ACTION, tick, triggers
from sandbox.push import Form, Message, Subscription
from shared.clock import SystemClock

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
LEFT_BEHIND = ("FUNCTION_TARGET", "FUNCTION_SIGNATURE_TYPE")
"""Variables that ``create_app`` sets and leaves."""


@dataclass
class InProcess:
    """All targets behind Flask's test clients, and Pub/Sub's deliveries made by hand, one after the other.

    Attributes:
        sandbox: What they work on.
        clients: A test client for each target.
    """

    sandbox: Sandbox
    clients: dict[str, Any] = field(default_factory=dict)
    _delivered: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        for target in triggers(self.sandbox):
            self.clients[target] = functions_framework.create_app(target, str(ROOT / "main.py"), "http").test_client()
        self.clients[SLACK_ACTION] = functions_framework.create_app(SLACK_ACTION, str(ROOT / "main.py"), "http").test_client()
        self.sandbox.slack.connect(self.from_slack)
        self._delivered.update(message.id for message in self._waiting())  # no subscription heard of them

    def post(self, target: str, body: Any, headers: dict[str, str]) -> int:
        """Post a body, which becomes JSON unless it is bytes, and give the status of the answer."""
        sent = {"data": body} if isinstance(body, bytes) else {"json": body}
        return int(self.clients[target].post("/", headers=headers, **sent).status_code)

    def from_slack(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Post what Slack sends, and give the answer's status and body."""
        answer = self.clients[SLACK_ACTION].post("/", data=body, headers=dict(headers))
        return int(answer.status_code), bytes(answer.data)

    def deliver(self, message: Message, to: tuple[str, Form | None] | None = None) -> int:
        """Deliver a message as Eventarc does, and give the status of the answer.

        Args:
            message: The message.
            to: The target and the form, where the topic is none of a trigger's.
        """
        forms = {topic: (target, form) for target, (topic, form) in triggers(self.sandbox).items()}
        target, form = to or forms[message.topic]
        subscription = Subscription(
            f"projects/{self.sandbox.project}/subscriptions/eventarc-{target}", message.topic, "http://", 600, 10, 600, None, "", form
        )
        headers, body = subscription.request(message, 1)
        return self.post(target, body, headers)

    def drain(self, limit: int = 100) -> list[int]:
        """Deliver everything that was published and not delivered yet, and what is published meanwhile; gives the answers' statuses."""
        statuses: list[int] = []
        while waiting := self._waiting():
            if len(statuses) + len(waiting) > limit:
                raise AssertionError(f"the functions publish without end: more than {limit} deliveries")
            for message in waiting:
                self._delivered.add(message.id)
                statuses.append(self.deliver(message))
        return statuses

    def tick(self) -> list[int]:
        """Let the clock tick once, and deliver all that comes of it."""
        tick(self.sandbox)
        return self.drain()

    def _waiting(self) -> list[Message]:
        topics = [topic for topic, _ in triggers(self.sandbox).values()]
        return [message for topic in topics for message in self.sandbox.pubsub.messages(topic) if message.id not in self._delivered]


@dataclass
class ShiftedClock(SystemClock):
    """The system's clock, some time ahead of itself.

    Attributes:
        ahead: How far.
    """

    ahead: timedelta = timedelta(0)

    def now(self) -> datetime:
        """The time of day that much later."""
        return super().now() + self.ahead


def wait_until(true: Callable[[], bool], timeout: float = 30.0) -> None:
    """Look every few milliseconds."""
    end = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.005)


def forget() -> None:
    """Let the next function in this process read its settings and its policy anew, and make new clients."""
    wiring.settings.cache_clear()
    wiring._world.cache_clear()
    policy_in_force._read.clear()
    sys.modules.pop("main", None)
    for name in LEFT_BEHIND:
        os.environ.pop(name, None)
