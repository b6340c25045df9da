"""Push delivery as Eventarc does it: CloudEvents over HTTP, again and again until somebody answers with success."""

from __future__ import annotations

import base64
import contextlib
import heapq
import http.client
import itertools
import json
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from sandbox.faults import Faults

USER_AGENT = "APIs-Google; (+https://developers.google.com/webmasters/APIs-Google.html)"
_SUCCESS = range(200, 300)


@dataclass(frozen=True)
class Message:
    """A published message.

    Attributes:
        id: Unique in the sandbox.
        topic: The full name of its topic.
        data: Empty where there is none.
        attributes: Empty where there are none.
        published: When it was published, in UTC.
        ordering_key: Empty where there is none.
    """

    id: str
    topic: str
    data: bytes
    attributes: Mapping[str, str]
    published: datetime
    ordering_key: str = ""


@dataclass(frozen=True)
class Subscription:
    """A push subscription, as Eventarc makes one for a trigger.

    Attributes:
        name: ``projects/P/subscriptions/eventarc-…``.
        topic: The full name of its topic.
        endpoint: An ``http://`` address.
        ack_deadline: Seconds the endpoint has for its answer.
        min_backoff: Seconds before the first retry.
        max_backoff: Seconds between retries at most.
        max_attempts: Deliveries of one message at most; none is until its retention ends.
        dead_letter_topic: Where a message goes after the last of them; empty is nowhere.
        form: What is sent for a message, by the attempt: the headers, and a body that becomes JSON. None is the event of Pub/Sub itself.
    """

    name: str
    topic: str
    endpoint: str
    ack_deadline: float
    min_backoff: float
    max_backoff: float
    max_attempts: int | None
    dead_letter_topic: str
    form: Form | None = None

    def backoff(self, attempt: int) -> float:
        """Seconds to wait after the given attempt, counted from 1, has failed."""
        return float(min(self.max_backoff, self.min_backoff * 2.0 ** min(attempt - 1, 64)))

    def request(self, message: Message, attempt: int) -> tuple[dict[str, str], Any]:
        """The headers and the body that are sent for a message."""
        return self.form(message, self, attempt) if self.form else (headers(message), envelope(message, self, attempt))


Form = Callable[[Message, Subscription, int], tuple[dict[str, str], Any]]


@dataclass(frozen=True)
class Delivery:
    """One attempt to deliver, for the log.

    Attributes:
        time: When the attempt ended, in UTC.
        message_id: The message.
        endpoint: Where to.
        status: The HTTP status of the answer; none if there was no answer.
        attempt: Counted from 1.
        outcome: ``acknowledged``, ``retried``, ``discarded`` or ``dead-lettered``.
    """

    time: datetime
    message_id: str
    endpoint: str
    status: int | None
    attempt: int
    outcome: str


@dataclass(order=True)
class _Job:
    due: float
    number: int
    message: Message = field(compare=False)
    subscription: Subscription = field(compare=False)
    expires: float = field(compare=False)
    attempt: int = field(compare=False, default=1)


class Pusher:
    """A bounded pool of threads that delivers messages, and a log of what came of it.

    Attributes:
        deliveries: Every attempt, oldest first.
    """

    def __init__(
        self,
        faults: Faults,
        dead_letter: Callable[[Message, Subscription, int], None],
        *,
        workers: int,
        retention: float,
    ) -> None:
        self.deliveries: list[Delivery] = []
        self._faults = faults
        self._dead_letter = dead_letter
        self._workers = workers
        self._retention = retention
        self._changed = threading.Condition()
        self._queue: list[_Job] = []
        self._numbers = itertools.count()
        self._outstanding = 0
        self._closed = False
        self._threads: list[threading.Thread] = []
        self._connections: set[http.client.HTTPConnection] = set()

    def push(self, message: Message, subscription: Subscription) -> None:
        """Have a message delivered, beginning now."""
        now = time.monotonic()
        with self._changed:
            self._outstanding += 1
            heapq.heappush(self._queue, _Job(now, next(self._numbers), message, subscription, now + self._retention))
            if len(self._threads) < self._workers:
                thread = threading.Thread(target=self._work, name=f"push-{len(self._threads)}", daemon=True)
                self._threads.append(thread)
                thread.start()
            self._changed.notify()

    def drain(self, timeout: float) -> bool:
        """Wait until every message has been acknowledged or given up; false if that takes longer than `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._outstanding, timeout)

    def close(self) -> None:
        """Stop delivering, cutting the requests that are still waiting for an answer."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            waiting = [connection.sock for connection in self._connections if connection.sock]
        for sock in waiting:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(timeout=1)

    def _work(self) -> None:
        while (job := self._next()) is not None:
            status = self._deliver(job)
            if not self._closed:
                self._settle(job, status)

    def _next(self) -> _Job | None:
        with self._changed:
            while not self._closed:
                pause = self._queue[0].due - time.monotonic() if self._queue else None
                if pause is not None and pause <= 0:
                    return heapq.heappop(self._queue)
                self._changed.wait(pause)
        return None

    def _deliver(self, job: _Job) -> int | None:
        fault = self._faults.meet("push", f"{job.subscription.topic} {job.subscription.endpoint}")
        if fault and fault.status is not None:
            return fault.status if isinstance(fault.status, int) else 503
        status = self._post(job)
        return None if fault and fault.drop_answer else status

    def _post(self, job: _Job) -> int | None:
        target = urlsplit(job.subscription.endpoint)
        connection = http.client.HTTPConnection(target.hostname or "", target.port, timeout=job.subscription.ack_deadline)
        path = (target.path or "/") + (f"?{target.query}" if target.query else "")
        with self._changed:
            self._connections.add(connection)
        try:
            sent, body = job.subscription.request(job.message, job.attempt)
            connection.request("POST", path, json.dumps(body), sent)
            response = connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            with self._changed:
                self._connections.discard(connection)
            connection.close()
        return response.status

    def _settle(self, job: _Job, status: int | None) -> None:
        outcome = self._outcome(job, status)
        if outcome == "dead-lettered":
            self._dead_letter(job.message, job.subscription, job.attempt)
        with self._changed:
            endpoint = job.subscription.endpoint
            self.deliveries.append(Delivery(datetime.now(UTC), job.message.id, endpoint, status, job.attempt, outcome))
            if outcome == "retried":
                job.due = time.monotonic() + job.subscription.backoff(job.attempt)
                job.attempt += 1
                heapq.heappush(self._queue, job)
            else:
                self._outstanding -= 1
            self._changed.notify_all()

    def _outcome(self, job: _Job, status: int | None) -> str:
        if status in _SUCCESS:
            return "acknowledged"
        subscription = job.subscription
        if subscription.max_attempts is not None and job.attempt >= subscription.max_attempts:
            return "dead-lettered" if subscription.dead_letter_topic else "discarded"
        if time.monotonic() + subscription.backoff(job.attempt) >= job.expires:
            return "discarded"
        return "retried"


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds, as Pub/Sub writes it."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def headers(message: Message) -> dict[str, str]:
    """The headers of a message in CloudEvents binary mode.

    https://github.com/googleapis/google-cloudevents/blob/main/proto/google/events/cloud/pubsub/v1/events.proto
    """
    return {
        "ce-id": message.id,
        "ce-source": f"//pubsub.googleapis.com/{message.topic}",
        "ce-specversion": "1.0",
        "ce-time": timestamp(message.published),
        "ce-type": "google.cloud.pubsub.topic.v1.messagePublished",
        "content-type": "application/json",
        "user-agent": USER_AGENT,
    }


def envelope(message: Message, subscription: Subscription, attempt: int) -> dict[str, Any]:
    """The body of a push: both spellings of id and time, and no key for what is empty.

    The attempt is told only where there is a dead letter policy.
    https://docs.cloud.google.com/pubsub/docs/push
    """
    published = timestamp(message.published)
    inner: dict[str, Any] = {
        "messageId": message.id,
        "message_id": message.id,
        "publishTime": published,
        "publish_time": published,
    }
    if message.data:
        inner["data"] = base64.b64encode(message.data).decode()
    if message.attributes:
        inner["attributes"] = dict(message.attributes)
    if message.ordering_key:
        inner["orderingKey"] = message.ordering_key
    body: dict[str, Any] = {"message": inner, "subscription": subscription.name}
    if subscription.dead_letter_topic:
        body["deliveryAttempt"] = attempt
    return body
