"""The functions in this process: the real framework and the real entry points, without a process and a socket for each."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from typing import Any

import functions_framework

from functions import wiring
from sandbox.cloud import ROOT, Sandbox
from sandbox.functions import BUDGET_ALERT, TASK, tick
from sandbox.push import Message, Subscription, envelope, headers

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
LEFT_BEHIND = ("FUNCTION_TARGET", "FUNCTION_SIGNATURE_TYPE")
"""Variables that ``create_app`` sets and leaves."""


@dataclass
class InProcess:
    """Both targets behind Flask's test clients, and Pub/Sub's deliveries made by hand, one after the other.

    Attributes:
        sandbox: What they work on.
        clients: A test client for each target.
    """

    sandbox: Sandbox
    clients: dict[str, Any] = field(default_factory=dict)
    _delivered: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        for target in (BUDGET_ALERT, TASK):
            self.clients[target] = functions_framework.create_app(target, str(ROOT / "main.py"), "http").test_client()
        self._delivered.update(message.id for message in self._waiting())  # no subscription heard of them

    def post(self, target: str, body: Any, headers: dict[str, str]) -> int:
        """Post a body, which becomes JSON unless it is bytes, and give the status of the answer."""
        sent = {"data": body} if isinstance(body, bytes) else {"json": body}
        return int(self.clients[target].post("/", headers=headers, **sent).status_code)

    def deliver(self, message: Message) -> int:
        """Deliver a message as Eventarc does, and give the status of the answer."""
        target = BUDGET_ALERT if message.topic == self.sandbox.budget_topic else TASK
        subscription = Subscription(
            f"projects/{self.sandbox.project}/subscriptions/eventarc-{target}", message.topic, "http://", 600, 10, 600, None, ""
        )
        return self.post(target, envelope(message, subscription, 1), headers(message))

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
        topics = (self.sandbox.budget_topic, self.sandbox.tasks_topic)
        return [message for topic in topics for message in self.sandbox.pubsub.messages(topic) if message.id not in self._delivered]


def forget() -> None:
    """Let the next function in this process read its settings and its policy anew, and make new clients."""
    wiring.settings.cache_clear()
    wiring._world.cache_clear()
    wiring._read.clear()
    sys.modules.pop("main", None)
    for name in LEFT_BEHIND:
        os.environ.pop(name, None)
