"""The tasks topic on Pub/Sub: https://cloud.google.com/pubsub/docs/publisher."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from shared.cloud.errors import may_pass, translated
from shared.cloud.lazy import Lazy
from shared.errors import Gone, Refused


class PubSubTasks:
    """Fulfils `shared.ports.Tasks`. All methods may be called from several threads."""

    def __init__(self, topic: str, *, patience: float = 10.0) -> None:
        """Nothing is connected before the first call.

        Args:
            topic: ``projects/P/topics/T``.
            patience: Seconds for the call with all its repeats. A message that is published twice does no harm.
        """
        self._topic = topic
        self._patience = patience
        self._publisher = Lazy(_connect)

    def resume(self, entry: str) -> None:
        """Ask for the entry to be carried on, and wait until the topic has taken the message."""
        self._publish({"task": "resume", "entry": entry})

    def answer(self, request: str) -> None:
        """Ask for a request to be answered, and wait until the topic has taken the message."""
        self._publish({"task": "slack", "request": request})

    def _publish(self, task: Mapping[str, str]) -> None:
        from google.api_core.retry import Retry

        data = json.dumps(task).encode()
        again = Retry(may_pass, initial=self._patience / 100, multiplier=2.0, maximum=self._patience / 4, timeout=self._patience)
        try:
            with translated(self._topic):
                self._publisher().publish(self._topic, data, retry=again, timeout=self._patience).result(timeout=self._patience + 1.0)
        except Gone as error:
            raise Refused("there is no such topic; create it, or correct WATCHDOG_TASKS_TOPIC", resource=self._topic) from error


def _connect() -> Any:
    from google.cloud import pubsub_v1

    return pubsub_v1.PublisherClient(pubsub_v1.types.BatchSettings(max_messages=1))  # the process may be frozen once it has answered
