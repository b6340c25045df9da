"""What the stand-in for Cloud Storage tells of its changes: notifications to Pub/Sub, and Eventarc's triggers."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

import pytest
from cloudevents.http import from_http
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage as gcs

from sandbox import storage as face
from sandbox.faults import Fault, Faults
from sandbox.grpc_errors import RefusedError
from sandbox.pubsub import PubSub
from sandbox.serve import HttpServer
from sandbox.storage_errors import ApiError
from sandbox.storage_events import FINALIZED, KINDS, Notifications, storage_event
from sandbox.storage_model import Storage
from shared import events
from tests.contract.push_endpoint import Endpoint

PROJECT, BUCKET, OTHER, REGION = "demo", "acme-ml-artifacts", "acme-ml-datasets", "us-central1"
TOPIC = f"projects/{PROJECT}/topics/bucket-changes"
NAME = "mlruns/1/4f1c/meta.yaml"
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
QUICK: Any = {"min_backoff": 0.001, "max_backoff": 0.01}
ODD = 'runs/ü 100%/a "b" #1?.txt'


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
def storage() -> Storage:
    """Two buckets of the project, and one of another."""
    made = Storage(now=lambda: NOON)
    made.create_bucket(BUCKET, project=PROJECT, location=REGION)
    made.create_bucket(OTHER, project=PROJECT, location=REGION)
    made.create_bucket("somebody-elses", project="another", location=REGION)
    return made


@pytest.fixture
def notifications(storage: Storage, pubsub: PubSub) -> Notifications:
    return Notifications(storage, pubsub, PROJECT)


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint()


@pytest.fixture
def url(endpoint: Endpoint) -> Iterator[str]:
    with HttpServer(endpoint) as server:
        yield server.url


@pytest.fixture
def triggered(notifications: Notifications, pubsub: PubSub, url: str) -> str:
    """A trigger on the bucket whose events reach the endpoint; gives its topic."""
    topic = notifications.trigger(BUCKET, location=REGION)
    pubsub.subscribe(topic, url, form=storage_event, **QUICK)
    return topic


def refusal(found: pytest.ExceptionInfo[ApiError]) -> int:
    """The status of a refusal."""
    return int(found.value.status)


# Eventarc's trigger


def test_a_trigger_sends_a_cloud_event_in_binary_mode(storage: Storage, pubsub: PubSub, endpoint: Endpoint, triggered: str) -> None:
    """The ce- headers name the type, the bucket and the object; the body is the object's resource, with 64-bit numbers as text."""
    generation = storage.put(
        BUCKET, NAME, b"status: 4\n", contentType="text/yaml", metadata={"by": "mlflow"}, created=NOON - timedelta(hours=1)
    )
    assert pubsub.drain()
    ((headers, body),) = endpoint.received
    (message,) = pubsub.messages(triggered)
    assert {key: value for key, value in headers.items() if key.startswith("ce-") or key == "content-type"} == {
        "ce-id": message.id,
        "ce-source": f"//storage.googleapis.com/projects/_/buckets/{BUCKET}",
        "ce-specversion": "1.0",
        "ce-subject": f"objects/{NAME}",
        "ce-time": "2026-11-24T12:00:00.000000Z",
        "ce-type": "google.cloud.storage.object.v1.finalized",
        "ce-bucket": BUCKET,
        "content-type": "application/json",
    }
    expected = {
        "kind": "storage#object",
        "bucket": BUCKET,
        "name": NAME,
        "generation": str(generation),
        "metageneration": "1",
        "size": "10",
        "contentType": "text/yaml",
        "storageClass": "STANDARD",
        "timeCreated": "2026-11-24T11:00:00.000Z",
        "metadata": {"by": "mlflow"},
    }
    assert body.items() >= expected.items()


def test_a_trigger_is_read_by_the_cloudevents_library_and_the_watchdog(
    storage: Storage, pubsub: PubSub, endpoint: Endpoint, triggered: str
) -> None:
    """What arrives is the event that Google describes, and names the same object to the product's own reader."""
    assert triggered
    generation = storage.put(BUCKET, ODD, b"x")
    assert pubsub.drain()
    headers, body = endpoint.received[0]
    event = from_http(headers, json.dumps(body))
    assert (event["type"], event["bucket"]) == (FINALIZED, BUCKET)
    assert headers["ce-subject"].isascii()
    assert unquote(headers["ce-subject"]) == f"objects/{ODD}"
    assert events.object_named(event["type"], event.get_data()) == (BUCKET, ODD)
    written = events.object_written(event["type"], event.get_data())
    assert (written.name, written.generation, written.created) == (ODD, generation, NOON)


def test_a_trigger_has_one_type_and_one_bucket(storage: Storage, pubsub: PubSub, triggered: str) -> None:
    """What happens in another bucket, and what else happens in this one, sends nothing."""
    storage.put(OTHER, NAME, b"x")
    generation = storage.put(BUCKET, NAME, b"x")
    storage.patch(BUCKET, NAME, {"metadata": {"k": "v"}})
    storage.delete(BUCKET, NAME)
    storage.restore(BUCKET, NAME, generation)
    assert pubsub.drain()
    told = [json.loads(message.data) for message in pubsub.messages(triggered)]
    assert [(each["bucket"], each["name"]) for each in told] == [(BUCKET, NAME)] * 2
    assert int(told[0]["generation"]) == generation < int(told[1]["generation"])


@pytest.mark.parametrize("kind", KINDS)
def test_each_type_can_be_asked_for(
    storage: Storage, notifications: Notifications, pubsub: PubSub, endpoint: Endpoint, url: str, kind: str
) -> None:
    """Written, changed, archived and deleted objects have events of their own."""
    storage.patch_bucket(BUCKET, {"versioning": {"enabled": True}})
    pubsub.subscribe(notifications.trigger(BUCKET, location=REGION, event_type=kind), url, form=storage_event)
    generation = storage.put(BUCKET, NAME, b"x")
    storage.patch(BUCKET, NAME, {"metadata": {"k": "v"}})
    storage.delete(BUCKET, NAME)
    storage.delete(BUCKET, NAME, generation)
    assert pubsub.drain()
    assert [(headers["ce-type"], int(body["generation"])) for headers, body in endpoint.received] == [(kind, generation)]


@pytest.mark.parametrize(
    ("bucket", "location", "kind"),
    [
        ("acme-ml-*", REGION, FINALIZED),
        ("acme-ml", REGION, FINALIZED),
        ("somebody-elses", REGION, FINALIZED),
        (BUCKET, "europe-west1", FINALIZED),
        (BUCKET, REGION, "google.cloud.storage.object.v1.*"),
        (BUCKET, REGION, "OBJECT_FINALIZE"),
    ],
)
def test_a_trigger_that_could_not_work_is_refused(notifications: Notifications, bucket: str, location: str, kind: str) -> None:
    """A bucket is named in full, is one of the project, and lies where the trigger is; the type is exactly one."""
    with pytest.raises(RefusedError):
        notifications.trigger(bucket, location=location, event_type=kind)


# a bucket's notifications to Pub/Sub


def test_a_notification_has_the_documented_attributes(storage: Storage, notifications: Notifications, pubsub: PubSub) -> None:
    """They name the configuration, the type of event, the object, its generation and the time; the payload is the object's resource."""
    name = notifications.add(BUCKET, TOPIC, event_types=["OBJECT_FINALIZE"], prefix="mlruns/")
    generation = storage.put(BUCKET, NAME, b"status: 4\n")
    (message,) = pubsub.messages(TOPIC)
    assert message.attributes == {
        "notificationConfig": name,
        "eventType": "OBJECT_FINALIZE",
        "payloadFormat": "JSON_API_V1",
        "bucketId": BUCKET,
        "objectId": NAME,
        "objectGeneration": str(generation),
        "eventTime": "2026-11-24T12:00:00.000000Z",
    }
    assert json.loads(message.data) == storage.resource(BUCKET, storage.get(BUCKET, NAME))


def test_a_notification_is_pushed_as_an_event_of_pubsub(
    storage: Storage, notifications: Notifications, pubsub: PubSub, endpoint: Endpoint, url: str
) -> None:
    """Through a topic of one's own it is a message like any other, and the product's reader finds the same object in it."""
    notifications.add(BUCKET, TOPIC)
    pubsub.subscribe(TOPIC, url)
    generation = storage.put(BUCKET, ODD, b"x")
    assert pubsub.drain()
    ((headers, body),) = endpoint.received
    kind = headers["ce-type"]
    assert (kind, headers["ce-source"]) == ("google.cloud.pubsub.topic.v1.messagePublished", f"//pubsub.googleapis.com/{TOPIC}")
    assert json.loads(base64.b64decode(body["message"]["data"]))["name"] == ODD
    assert events.object_named(kind, body) == (BUCKET, ODD)
    assert events.object_written(kind, body).generation == generation


def test_a_prefix_keeps_others_out(storage: Storage, notifications: Notifications, pubsub: PubSub) -> None:
    """Only names that begin so are told; upper and lower case differ."""
    notifications.add(BUCKET, TOPIC, prefix="mlruns/1/")
    for name in ("mlruns/1/a", "mlruns/10/a", "mlruns/1", "MLRUNS/1/a", "x/mlruns/1/a"):
        storage.put(BUCKET, name, b"x")
    assert [message.attributes["objectId"] for message in pubsub.messages(TOPIC)] == ["mlruns/1/a"]


def test_without_types_every_change_is_told(storage: Storage, notifications: Notifications, pubsub: PubSub) -> None:
    """Writing, changing, archiving and deleting, in the order in which they happen."""
    storage.patch_bucket(BUCKET, {"versioning": {"enabled": True}})
    notifications.add(BUCKET, TOPIC)
    generation = storage.put(BUCKET, NAME, b"x")
    storage.patch(BUCKET, NAME, {"metadata": {"k": "v"}})
    storage.delete(BUCKET, NAME)
    storage.delete(BUCKET, NAME, generation)
    told = [message.attributes["eventType"] for message in pubsub.messages(TOPIC)]
    assert told == ["OBJECT_FINALIZE", "OBJECT_METADATA_UPDATE", "OBJECT_ARCHIVE", "OBJECT_DELETE"]


def test_the_payload_can_be_left_out(storage: Storage, notifications: Notifications, pubsub: PubSub) -> None:
    """With the format NONE a message has attributes alone."""
    notifications.add(BUCKET, TOPIC, payload_format="NONE")
    storage.put(BUCKET, NAME, b"x")
    (message,) = pubsub.messages(TOPIC)
    assert (message.data, message.attributes["payloadFormat"], message.attributes["objectId"]) == (b"", "NONE", NAME)


@pytest.mark.parametrize(
    ("bucket", "asked", "status"),
    [
        ("no-such-bucket", {}, 404),
        (BUCKET, {"topic": f"projects/{PROJECT}/topics/no-such-topic"}, 404),
        (BUCKET, {"event_types": ["OBJECT_FINALIZED"]}, 400),
        (BUCKET, {"event_types": [FINALIZED]}, 400),
        (BUCKET, {"payload_format": "JSON"}, 400),
    ],
)
def test_a_configuration_that_could_not_work_is_refused(
    notifications: Notifications, bucket: str, asked: dict[str, Any], status: int
) -> None:
    """The bucket and the topic have to be there, and types and formats are spelt as documented."""
    with pytest.raises(ApiError) as found:
        notifications.add(bucket, **({"topic": TOPIC} | asked))
    assert refusal(found) == status


def test_a_bucket_has_ten_configurations_of_one_type(notifications: Notifications) -> None:
    """The eleventh is refused, as is one for all types; another type and another bucket are not. A trigger counts as one."""
    notifications.trigger(BUCKET, location=REGION)
    for _ in range(9):
        notifications.add(BUCKET, TOPIC, event_types=["OBJECT_FINALIZE"])
    for types in (["OBJECT_FINALIZE"], []):
        with pytest.raises(ApiError) as found:
            notifications.add(BUCKET, TOPIC, event_types=types)
        assert refusal(found) == 400
    notifications.add(BUCKET, TOPIC, event_types=["OBJECT_DELETE"])
    notifications.add(OTHER, TOPIC)


# how they come


@pytest.mark.parametrize("status", [0, 404, 500, 503])
def test_an_event_comes_again_until_it_is_answered_with_success(
    storage: Storage, pubsub: PubSub, endpoint: Endpoint, triggered: str, status: int
) -> None:
    """After errors and cut connections the same event comes again, under the same id."""
    endpoint.answers = [status, status]
    storage.put(BUCKET, NAME, b"x")
    assert pubsub.drain()
    (message,) = pubsub.messages(triggered)
    assert [headers["ce-id"] for headers, _ in endpoint.received] == [message.id] * 3
    assert [(each.status, each.attempt, each.outcome) for each in pubsub.deliveries] == [
        (status or None, 1, "retried"),
        (status or None, 2, "retried"),
        (200, 3, "acknowledged"),
    ]


def test_an_event_may_come_twice(storage: Storage, pubsub: PubSub, endpoint: Endpoint, triggered: str) -> None:
    """A second delivery is the same in every byte that counts."""
    storage.put(BUCKET, NAME, b"x")
    assert pubsub.drain()
    pubsub.redeliver(pubsub.messages(triggered)[0].id)
    assert pubsub.drain()
    first, second = endpoint.received
    assert first == second


def test_an_event_may_be_late(storage: Storage, pubsub: PubSub, endpoint: Endpoint, faults: Faults, triggered: str) -> None:
    """A fault on the push of a trigger's topic holds up its events, and no one else's."""
    faults.inject(Fault("push", delay=0.05, match=triggered))
    storage.put(BUCKET, NAME, b"x")
    assert endpoint.received == []
    assert not pubsub.drain(0.01)
    assert pubsub.drain()
    assert len(endpoint.received) == 1


def test_what_is_held_back_comes_in_any_order(storage: Storage, notifications: Notifications, pubsub: PubSub, triggered: str) -> None:
    """Held-back notifications keep the time of their change, are released in the order that is asked for, and afterwards nothing is held."""
    notifications.hold()
    notifications.hold()
    one, two = storage.put(BUCKET, NAME, b"1"), storage.put(BUCKET, NAME, b"2")
    assert pubsub.messages(triggered) == []
    ids = notifications.release(reversed)
    three = storage.put(BUCKET, NAME, b"3")
    told = pubsub.messages(triggered)
    assert [int(message.attributes["objectGeneration"]) for message in told] == [two, one, three]
    assert [message.id for message in told][:2] == ids
    assert {message.attributes["eventTime"] for message in told} == {"2026-11-24T12:00:00.000000Z"}
    assert notifications.release() == []
    assert pubsub.drain()


def test_nothing_is_told_before_somebody_asks(storage: Storage, notifications: Notifications, pubsub: PubSub) -> None:
    """What was written before a configuration was made is not told, and a bucket without one costs nothing."""
    storage.put(BUCKET, NAME, b"x")
    notifications.add(BUCKET, TOPIC)
    storage.put(OTHER, NAME, b"x")
    assert pubsub.messages(TOPIC) == []
    assert storage.listening == {BUCKET}


def test_whatever_writes_is_told_once(storage: Storage, notifications: Notifications, pubsub: PubSub) -> None:
    """An upload, a copy and a batch of deletes through Google's client are told like writes from this side, and a refused write is not."""
    notifications.add(BUCKET, TOPIC)
    with HttpServer(face.app(storage)) as server:
        client = gcs.Client(PROJECT, AnonymousCredentials(), client_options={"api_endpoint": server.url})
        bucket = client.bucket(BUCKET)
        blob = bucket.blob("a")
        blob.upload_from_string("x")
        bucket.copy_blob(blob, bucket, "b")
        with client.batch(raise_exception=False):
            bucket.delete_blob("a", if_generation_match=1)
            bucket.delete_blob("b")
        client.close()
    told = [(message.attributes["eventType"], message.attributes["objectId"]) for message in pubsub.messages(TOPIC)]
    assert told == [("OBJECT_FINALIZE", "a"), ("OBJECT_FINALIZE", "b"), ("OBJECT_DELETE", "b")]


def test_writers_at_once_lose_no_notification(storage: Storage, notifications: Notifications, pubsub: PubSub) -> None:
    """Each of many threads' writes is told exactly once."""
    notifications.add(BUCKET, TOPIC, event_types=["OBJECT_FINALIZE"])

    def write(number: int) -> None:
        for step in range(50):
            storage.put(BUCKET, f"{number}/{step}", b"x")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = [message.attributes["objectId"] for message in pubsub.messages(TOPIC)]
    assert sorted(told) == sorted(f"{number}/{step}" for number in range(4) for step in range(50))
