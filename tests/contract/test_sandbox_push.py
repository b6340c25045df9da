"""The pushes of the Pub/Sub stand-in, to an endpoint that misbehaves."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from cloudevents.http import from_http
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from sandbox.faults import Fault, Faults
from sandbox.grpc_errors import RefusedError
from sandbox.pubsub import PubSub
from sandbox.push import Message, Subscription, envelope
from sandbox.serve import HttpServer
from tests.contract.push_endpoint import Endpoint

TOPIC = "projects/demo/topics/budget-alerts"
DEAD = "projects/demo/topics/dead"
QUICK: Any = {"min_backoff": 0.001, "max_backoff": 0.01}


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def pubsub(faults: Faults) -> Iterator[PubSub]:
    stand_in = PubSub(faults)
    stand_in.create_topic(TOPIC)
    yield stand_in
    stand_in.close()


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint()


@pytest.fixture
def url(endpoint: Endpoint) -> Iterator[str]:
    with HttpServer(endpoint) as server:
        yield server.url


def test_push_is_a_cloud_event_in_binary_mode(pubsub: PubSub, endpoint: Endpoint, url: str) -> None:
    """A push carries the ce- headers of Eventarc, and a body with both spellings of id and time."""
    name = pubsub.subscribe(TOPIC, url + "/")
    message_id = pubsub.publish(TOPIC, b"hello", {"budgetId": "b1"})
    assert pubsub.drain()

    ((headers, body),) = endpoint.received
    published = body["message"]["publishTime"]
    assert {key: value for key, value in headers.items() if key.startswith("ce-") or key == "content-type"} == {
        "ce-id": message_id,
        "ce-source": "//pubsub.googleapis.com/projects/demo/topics/budget-alerts",
        "ce-specversion": "1.0",
        "ce-time": published,
        "ce-type": "google.cloud.pubsub.topic.v1.messagePublished",
        "content-type": "application/json",
    }
    assert body == {
        "message": {
            "attributes": {"budgetId": "b1"},
            "data": base64.b64encode(b"hello").decode(),
            "messageId": message_id,
            "message_id": message_id,
            "publishTime": published,
            "publish_time": published,
        },
        "subscription": name,
    }
    assert name.startswith("projects/demo/subscriptions/eventarc-")
    assert datetime.fromisoformat(published).tzinfo == UTC


def test_push_is_read_by_the_cloudevents_library(pubsub: PubSub, endpoint: Endpoint, url: str) -> None:
    """The library under functions-framework reads a push as the event that Google describes."""
    pubsub.subscribe(TOPIC, url)
    pubsub.publish(TOPIC, b"", {"kind": "attributes only"})
    assert pubsub.drain()

    headers, body = endpoint.received[0]
    event = from_http(headers, json.dumps(body))
    assert event["type"] == "google.cloud.pubsub.topic.v1.messagePublished"
    assert event.data == body
    assert "data" not in body["message"]


def test_empty_attributes_are_left_out_and_an_ordering_key_is_kept(pubsub: PubSub, endpoint: Endpoint, url: str) -> None:
    """A body has no key for what a message has not."""
    pubsub.subscribe(TOPIC, url)
    pubsub.publish(TOPIC, b"x", {}, ordering_key="k")
    assert pubsub.drain()
    (message,) = endpoint.messages()
    assert "attributes" not in message
    assert message["orderingKey"] == "k"


def test_late_message_keeps_the_time_it_was_published(pubsub: PubSub, endpoint: Endpoint, url: str) -> None:
    """A message published with a time of its own tells that time, in the header and in the body."""
    pubsub.subscribe(TOPIC, url)
    pubsub.publish(TOPIC, b"x", {}, published=datetime(2026, 10, 31, 23, 59, 59, 500_000, UTC))
    assert pubsub.drain()
    headers, body = endpoint.received[0]
    assert headers["ce-time"] == body["message"]["publish_time"] == "2026-10-31T23:59:59.500Z"


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_success_acknowledges(pubsub: PubSub, endpoint: Endpoint, url: str, status: int) -> None:
    """Any 2xx answer ends the delivery."""
    endpoint.answers = [status]
    pubsub.subscribe(TOPIC, url, **QUICK)
    pubsub.publish(TOPIC, b"x", {})
    assert pubsub.drain()
    assert [(each.status, each.attempt, each.outcome) for each in pubsub.deliveries] == [(status, 1, "acknowledged")]


@pytest.mark.parametrize("status", [0, 302, 400, 404, 429, 500, 503])
def test_anything_else_is_delivered_again(pubsub: PubSub, endpoint: Endpoint, url: str, status: int) -> None:
    """A redirect, a client's error, a server's error and a cut connection are all redelivered until one succeeds."""
    endpoint.answers = [status, status]
    pubsub.subscribe(TOPIC, url, **QUICK)
    message_id = pubsub.publish(TOPIC, b"x", {})
    assert pubsub.drain()

    log = [(each.message_id, each.endpoint, each.status, each.attempt, each.outcome) for each in pubsub.deliveries]
    assert log == [
        (message_id, url, status or None, 1, "retried"),
        (message_id, url, status or None, 2, "retried"),
        (message_id, url, 200, 3, "acknowledged"),
    ]
    assert [message["messageId"] for message in endpoint.messages()] == [message_id] * 3
    assert all("deliveryAttempt" not in body for _, body in endpoint.received)


def test_refused_connection_and_timeout_are_delivered_again(pubsub: PubSub) -> None:
    """Where nobody listens, or nobody answers within the deadline, there is no status and the delivery is tried again."""
    with HttpServer(Endpoint()) as server:
        gone = server.url
    pubsub.subscribe(TOPIC, gone, max_attempts=1)
    pubsub.publish(TOPIC, b"x", {})
    assert pubsub.drain()

    release = threading.Event()

    async def silent(scope: Scope, receive: Receive, _send: Send) -> None:
        if scope["type"] == "http":
            while (await receive())["type"] != "http.disconnect":
                pass
            release.set()

    with HttpServer(silent) as server:
        pubsub.subscribe(TOPIC, server.url, ack_deadline=0.05, max_attempts=1)
        pubsub.publish(TOPIC, b"y", {})
        assert pubsub.drain()
        assert release.wait(5)
    assert [(each.status, each.outcome) for each in pubsub.deliveries] == [(None, "discarded")] * 3


def test_backoff_doubles_between_its_bounds() -> None:
    """The pause before a retry begins at the least, doubles, and stays at the most."""
    subscription = Subscription("s", TOPIC, "http://x", 600, 10.0, 600.0, None, "")
    assert [subscription.backoff(attempt) for attempt in (1, 2, 3, 6, 7, 8, 1000)] == [10, 20, 40, 320, 600, 600, 600]


def test_message_is_discarded_when_its_retention_ends(faults: Faults, endpoint: Endpoint, url: str) -> None:
    """A message that is never acknowledged is given up once the next retry would come after its retention."""
    stand_in = PubSub(faults, retention=0.05)
    stand_in.create_topic(TOPIC)
    endpoint.answers = [500] * 1000
    stand_in.subscribe(TOPIC, url, min_backoff=0.01, max_backoff=0.01)
    stand_in.publish(TOPIC, b"x", {})
    assert stand_in.drain()
    stand_in.close()
    assert {each.outcome for each in stand_in.deliveries[:-1]} == {"retried"}
    assert stand_in.deliveries[-1].outcome == "discarded"


def test_retries_can_be_switched_off(pubsub: PubSub, endpoint: Endpoint, url: str) -> None:
    """With one attempt allowed, a failed message is gone."""
    endpoint.answers = [500]
    pubsub.subscribe(TOPIC, url, max_attempts=1)
    pubsub.publish(TOPIC, b"x", {})
    assert pubsub.drain()
    assert [each.outcome for each in pubsub.deliveries] == ["discarded"]


def test_dead_letter_policy_counts_attempts_and_forwards(pubsub: PubSub, endpoint: Endpoint, url: str) -> None:
    """With a dead letter topic each push tells its attempt, and after five failures the message goes there with Google's attributes."""
    pubsub.create_topic(DEAD)
    endpoint.answers = [500] * 5
    name = pubsub.subscribe(TOPIC, url, dead_letter_topic=DEAD, **QUICK)
    pubsub.publish(TOPIC, b"x", {"k": "v"})
    assert pubsub.drain()

    assert [body["deliveryAttempt"] for _, body in endpoint.received] == [1, 2, 3, 4, 5]
    assert pubsub.deliveries[-1].outcome == "dead-lettered"
    (dead,) = pubsub.messages(DEAD)
    assert dead.data == b"x"
    assert dead.attributes == {
        "k": "v",
        "CloudPubSubDeadLetterSourceDeliveryCount": "5",
        "CloudPubSubDeadLetterSourceSubscription": name.rsplit("/", 1)[1],
        "CloudPubSubDeadLetterSourceSubscriptionProject": "demo",
        "CloudPubSubDeadLetterSourceTopicPublishTime": endpoint.messages()[0]["publishTime"],
    }


@pytest.mark.parametrize(("attempts", "dead"), [(5, None), (0, None), (4, DEAD), (101, DEAD)])
def test_attempts_out_of_range_are_refused(pubsub: PubSub, attempts: int, dead: str | None) -> None:
    """Attempts can be limited to 1 without a dead letter topic, and to 5 to 100 with one."""
    pubsub.create_topic(DEAD)
    with pytest.raises(RefusedError, match="max_attempts"):
        pubsub.subscribe(TOPIC, "http://127.0.0.1:1", max_attempts=attempts, dead_letter_topic=dead)


def test_subscription_needs_its_topics_and_plain_http(pubsub: PubSub) -> None:
    """A subscription to an unknown topic, with an unknown dead letter topic, or to another scheme is refused."""
    with pytest.raises(RefusedError, match="does not exist"):
        pubsub.subscribe("projects/demo/topics/other", "http://127.0.0.1:1")
    with pytest.raises(RefusedError, match="does not exist"):
        pubsub.subscribe(TOPIC, "http://127.0.0.1:1", dead_letter_topic=DEAD)
    with pytest.raises(ValueError, match="http://"):
        pubsub.subscribe(TOPIC, "https://127.0.0.1:1")


def test_every_subscription_gets_the_message_on_its_own(pubsub: PubSub, endpoint: Endpoint, url: str) -> None:
    """One subscription's failure does not redeliver to the other."""
    other = Endpoint(answers=[500])
    with HttpServer(other) as server:
        pubsub.subscribe(TOPIC, url + "/one?a=b", **QUICK)
        pubsub.subscribe(TOPIC, server.url, **QUICK)
        pubsub.publish(TOPIC, b"x", {})
        assert pubsub.drain()
    assert (len(endpoint.received), len(other.received)) == (1, 2)


def test_redelivery_posts_the_same_message_again(pubsub: PubSub, endpoint: Endpoint, url: str) -> None:
    """A duplicate is the same event: same id, same time, same body."""
    pubsub.subscribe(TOPIC, url)
    message_id = pubsub.publish(TOPIC, b"x", {"k": "v"})
    pubsub.redeliver(message_id)
    assert pubsub.drain()
    first, second = endpoint.received
    assert {key: first[0][key] for key in first[0] if key.startswith("ce-")} == {
        key: second[0][key] for key in second[0] if key.startswith("ce-")
    }
    assert first[1] == second[1]
    with pytest.raises(LookupError, match="No message nothing"):
        pubsub.redeliver("nothing")


def test_push_fault_stands_for_the_endpoint(pubsub: PubSub, faults: Faults, endpoint: Endpoint, url: str) -> None:
    """A fault in push with a status never reaches the endpoint; one that drops the answer does, and both are redelivered."""
    faults.inject(Fault("push", status=503, times=1))
    faults.inject(Fault("push", status="UNAVAILABLE", times=1))
    faults.inject(Fault("push", drop_answer=True, match=url, times=1))
    pubsub.subscribe(TOPIC, url, **QUICK)
    pubsub.publish(TOPIC, b"x", {})
    assert pubsub.drain()
    assert [each.status for each in pubsub.deliveries] == [503, 503, None, 200]
    assert len(endpoint.received) == 2


def test_deliveries_run_side_by_side_within_the_pool(faults: Faults) -> None:
    """As many messages are delivered at one time as there are workers, and not one more."""
    gate = threading.Barrier(3)
    running = set[int]()
    most: list[int] = []

    def slow(_request: Request) -> Response:
        running.add(threading.get_ident())
        gate.wait(timeout=5)
        most.append(len(running))
        running.discard(threading.get_ident())
        return Response()

    stand_in = PubSub(faults, workers=3)
    stand_in.create_topic(TOPIC)
    with HttpServer(Starlette(routes=[Route("/", slow, methods=["POST"])])) as server:
        stand_in.subscribe(TOPIC, server.url)
        for _ in range(6):
            stand_in.publish(TOPIC, b"x", {})
        assert stand_in.drain()
    stand_in.close()
    assert len(stand_in.deliveries) == 6
    assert max(most) == 3


def test_drain_tells_when_it_gave_up(pubsub: PubSub, endpoint: Endpoint, url: str) -> None:
    """Draining is false while a retry is still to come, and closing ends that retry."""
    endpoint.answers = [500]
    pubsub.subscribe(TOPIC, url, min_backoff=60)
    pubsub.publish(TOPIC, b"x", {})
    assert not pubsub.drain(timeout=0.05)
    started = time.monotonic()
    pubsub.close()
    assert time.monotonic() - started < 1


def test_closing_cuts_a_delivery_that_is_waiting(pubsub: PubSub) -> None:
    """A stand-in closes at once even while an endpoint keeps it waiting."""
    arrived = threading.Event()

    async def silent(scope: Scope, receive: Receive, _send: Send) -> None:
        if scope["type"] == "http":
            arrived.set()
            while (await receive())["type"] != "http.disconnect":
                pass

    with HttpServer(silent) as server:
        pubsub.subscribe(TOPIC, server.url)
        pubsub.publish(TOPIC, b"x", {})
        assert arrived.wait(5)
        started = time.monotonic()
        pubsub.close()
        assert time.monotonic() - started < 1
    assert pubsub.deliveries == []


def test_attempt_is_told_only_with_a_dead_letter_policy() -> None:
    """The attempt stands in the body only where a dead letter topic is set."""
    message = Message("1", TOPIC, b"x", {}, datetime(2026, 11, 1, tzinfo=UTC))
    without = Subscription("s", TOPIC, "http://x", 600, 10, 600, None, "")
    with_policy = Subscription("s", TOPIC, "http://x", 600, 10, 600, 5, DEAD)
    assert "deliveryAttempt" not in envelope(message, without, 2)
    assert envelope(message, with_policy, 2)["deliveryAttempt"] == 2
