"""The Pub/Sub stand-in against the real publisher client."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from google import pubsub_v1
from google.api_core import exceptions
from google.cloud.pubsub_v1 import PublisherClient

from sandbox.faults import Fault, Faults
from sandbox.grpc_errors import RefusedError
from sandbox.pubsub import PubSub
from sandbox.serve import GrpcServer

TOPIC = "projects/demo/topics/budget-alerts"


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
def client(pubsub: PubSub, monkeypatch: pytest.MonkeyPatch) -> Iterator[PublisherClient]:
    with GrpcServer(pubsub.handlers()) as server:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", server.address)
        publisher = PublisherClient()
        yield publisher
        publisher.stop()
        publisher.transport.close()


def _publish_batch(client: PublisherClient, messages: list[dict[str, Any]]) -> None:
    """Publish past the client's own batching and its checks."""
    pubsub_v1.PublisherClient.publish(client, request={"topic": TOPIC, "messages": messages})


def test_published_message_is_kept_with_its_attributes(pubsub: PubSub, client: PublisherClient) -> None:
    """The real client publishes data and attributes, and gets the id that the message is kept under."""
    message_id = client.publish(TOPIC, b"hello", budgetId="b1").result(timeout=5)

    (message,) = pubsub.messages(TOPIC)
    assert (message.id, message.data, message.attributes) == (message_id, b"hello", {"budgetId": "b1"})
    assert abs((datetime.now(UTC) - message.published).total_seconds()) < 5


def test_ids_are_unique(client: PublisherClient) -> None:
    """No two messages share an id."""
    futures = [client.publish(TOPIC, b"x") for _ in range(50)]
    assert len({future.result(timeout=5) for future in futures}) == 50


def test_unknown_topic_is_not_found(client: PublisherClient) -> None:
    """Publishing to, or asking for, a topic that was never created is NOT_FOUND."""
    with pytest.raises(exceptions.NotFound, match="projects/demo/topics/other does not exist"):
        client.publish("projects/demo/topics/other", b"x").result(timeout=5)
    with pytest.raises(exceptions.NotFound):
        client.get_topic(topic="projects/demo/topics/other")


def test_topics_are_created_read_and_listed_in_pages(client: PublisherClient) -> None:
    """A created topic can be read, and a project's topics are listed by name over as many pages as it takes."""
    for name in ("zeta", "alpha", "mid"):
        client.create_topic(name=f"projects/demo/topics/{name}")
    client.create_topic(name="projects/elsewhere/topics/alpha")

    assert client.get_topic(topic="projects/demo/topics/mid").name == "projects/demo/topics/mid"
    listed = client.list_topics(request={"project": "projects/demo", "page_size": 2})
    assert [topic.name.rsplit("/", 1)[1] for topic in listed] == ["alpha", "budget-alerts", "mid", "zeta"]


def test_second_creation_is_refused(client: PublisherClient) -> None:
    """A topic that is there already is ALREADY_EXISTS."""
    with pytest.raises(exceptions.AlreadyExists):
        client.create_topic(name=TOPIC)


@pytest.mark.parametrize("name", ["budget-alerts", "projects/demo/topics/a", "projects/demo/topics/googly", "projects/demo/topics/1st"])
def test_bad_topic_name_is_refused(client: PublisherClient, name: str) -> None:
    """A topic's name has its full form, begins with a letter and not with goog, and has 3 characters at least."""
    with pytest.raises(exceptions.InvalidArgument):
        client.create_topic(name=name)


def test_empty_message_is_refused(client: PublisherClient) -> None:
    """A message with neither data nor attributes is INVALID_ARGUMENT."""
    with pytest.raises(exceptions.InvalidArgument, match="neither"):
        client.publish(TOPIC, b"").result(timeout=5)


def test_more_than_ten_megabytes_are_refused(pubsub: PubSub, client: PublisherClient) -> None:
    """A request of more than 10 MB is INVALID_ARGUMENT and leaves nothing behind."""
    with pytest.raises(exceptions.InvalidArgument, match="10000000"):
        _publish_batch(client, [{"data": b"x" * 10_000_001}])
    assert pubsub.messages(TOPIC) == []


@pytest.mark.parametrize(
    "message",
    [
        {"attributes": {f"k{number}": "" for number in range(101)}},
        {"attributes": {"k" * 257: ""}},
        {"attributes": {"k": "v" * 1025}},
        {"attributes": {"google": "v"}},
        {"attributes": {"": "v"}},
        {"data": b"x", "ordering_key": "k" * 1025},
    ],
    ids=["count", "key", "value", "goog", "empty key", "ordering key"],
)
def test_limits_of_a_message_are_kept(client: PublisherClient, message: dict[str, Any]) -> None:
    """Attributes are 100 at most, their keys 256 bytes and not goog…, their values and the ordering key 1,024 bytes."""
    with pytest.raises(exceptions.InvalidArgument):
        _publish_batch(client, [message])


def test_one_bad_message_refuses_the_batch(pubsub: PubSub, client: PublisherClient) -> None:
    """A batch is published whole or not at all."""
    with pytest.raises(exceptions.InvalidArgument):
        _publish_batch(client, [{"data": b"good"}, {"data": b""}])
    with pytest.raises(exceptions.InvalidArgument):
        _publish_batch(client, [])
    with pytest.raises(exceptions.InvalidArgument):
        _publish_batch(client, [{"data": b"x"}] * 1001)
    assert pubsub.messages(TOPIC) == []


def test_sandbox_itself_cannot_publish_what_is_refused(pubsub: PubSub) -> None:
    """The Python way to publish keeps the same rules as the wire."""
    with pytest.raises(RefusedError, match="does not exist"):
        pubsub.publish("projects/demo/topics/other", b"x", {})
    with pytest.raises(RefusedError, match="10000000"):
        pubsub.publish(TOPIC, b"x" * 10_000_001, {})


def test_injected_status_is_answered_before_the_work(pubsub: PubSub, client: PublisherClient, faults: Faults) -> None:
    """A fault with a status answers so and publishes nothing; the client's own retry then succeeds."""
    faults.inject(Fault("Publish", status="PERMISSION_DENIED", times=1))
    with pytest.raises(exceptions.PermissionDenied):
        client.publish(TOPIC, b"first").result(timeout=5)

    faults.inject(Fault("Publish", status="UNAVAILABLE", times=1))
    client.publish(TOPIC, b"second").result(timeout=5)
    assert [message.data for message in pubsub.messages(TOPIC)] == [b"second"]


def test_dropped_answer_publishes_twice(pubsub: PubSub, client: PublisherClient, faults: Faults) -> None:
    """A publish whose answer is lost was done, and the client's retry does it again: publishing is at least once too."""
    faults.inject(Fault("Publish", drop_answer=True, times=1))
    client.publish(TOPIC, b"x").result(timeout=5)
    assert [message.data for message in pubsub.messages(TOPIC)] == [b"x", b"x"]
