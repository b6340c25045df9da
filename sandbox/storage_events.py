"""What Cloud Storage tells of its changes: a bucket's notifications to Pub/Sub, and Eventarc's triggers, which are made of them.

Pub/Sub delivers both, so they come at least once, in no promised order, again until they are answered with success, and twice where a test asks
`PubSub.redeliver` for it. What the real service says beyond that and this does not: which generation an object replaced, or was replaced by.
https://docs.cloud.google.com/storage/docs/pubsub-notifications
"""

from __future__ import annotations

import itertools
import json
import string
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import quote

from sandbox.grpc_errors import invalid, not_found
from sandbox.pubsub import PubSub
from sandbox.push import USER_AGENT, Message, Subscription
from sandbox.storage_errors import Json
from sandbox.storage_errors import invalid as bad_request
from sandbox.storage_errors import not_found as no_such
from sandbox.storage_model import EVENT, Storage

FINALIZED: Final = f"{EVENT}finalized"
KINDS: Final = {
    FINALIZED: "OBJECT_FINALIZE",
    f"{EVENT}metadataUpdated": "OBJECT_METADATA_UPDATE",
    f"{EVENT}deleted": "OBJECT_DELETE",
    f"{EVENT}archived": "OBJECT_ARCHIVE",
}
"""CloudEvents' names of what happens to an object, and Cloud Storage's own."""
MOST, MOST_OF_ONE_KIND = 100, 10
_FORMATS = ("JSON_API_V1", "NONE")
_SAFE = "".join(set(string.punctuation) - set('"%'))


@dataclass(frozen=True)
class Config:
    """One notification configuration of a bucket.

    Attributes:
        name: ``projects/_/buckets/BUCKET/notificationConfigs/NUMBER``.
        bucket: The bucket's name.
        topic: The full name of the topic.
        event_types: Which of Cloud Storage's own event types are told.
        prefix: Only objects whose names begin so; empty is all.
        payload: Whether the message holds the object's resource.
    """

    name: str
    bucket: str
    topic: str
    event_types: frozenset[str]
    prefix: str
    payload: bool

    def wants(self, event_type: str, name: str) -> bool:
        """Whether it is told of."""
        return event_type in self.event_types and name.startswith(self.prefix)


@dataclass(frozen=True)
class Notification:
    """One message on its way to a topic."""

    topic: str
    data: bytes
    attributes: dict[str, str]


class Notifications:
    """The notification configurations of all buckets.

    Args:
        storage: Whose changes are told; it has no other listener.
        pubsub: Where to.
        project: The project of the triggers.
    """

    def __init__(self, storage: Storage, pubsub: PubSub, project: str) -> None:
        self._storage = storage
        self._pubsub = pubsub
        self._project = project
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._configs: list[Config] = []
        self._held: list[Notification] | None = None
        storage.listening = set()
        storage.on_event = self._tell

    def add(
        self,
        bucket: str,
        topic: str,
        *,
        event_types: Collection[str] = (),
        prefix: str = "",
        payload_format: Literal["JSON_API_V1", "NONE"] = "JSON_API_V1",
    ) -> str:
        """Tell a topic of a bucket's changes from now on; gives the configuration's name.

        https://docs.cloud.google.com/storage/docs/json_api/v1/notifications/insert

        Args:
            bucket: A bucket that exists.
            topic: The full name of a topic that exists.
            event_types: ``OBJECT_FINALIZE``, ``OBJECT_METADATA_UPDATE``, ``OBJECT_DELETE``, ``OBJECT_ARCHIVE``; none of them is all.
            prefix: Only objects whose names begin so.
            payload_format: Whether the messages hold the object's resource, or attributes alone.

        Raises:
            ApiError: 404 where the bucket or the topic does not exist, 400 for an unknown type or format, and for a configuration too many: a bucket has at
                most 100, and 10 for one type of event.
        """
        self._storage.get_bucket(bucket)
        if not self._pubsub.has_topic(topic):
            raise no_such(f"The topic {topic} does not exist.")
        known = frozenset(KINDS.values())
        if unknown := set(event_types) - known:
            raise bad_request(f"Unknown event type: {min(unknown)}")
        if payload_format not in _FORMATS:
            raise bad_request(f"Unknown payload format: {payload_format}")
        asked = frozenset(event_types) or known
        with self._lock:
            here = [config for config in self._configs if config.bucket == bucket]
            if len(here) >= MOST or any(sum(kind in config.event_types for config in here) >= MOST_OF_ONE_KIND for kind in asked):
                raise bad_request(f"Too many notification configurations: {MOST} a bucket, {MOST_OF_ONE_KIND} for one event type.")
            name = f"projects/_/buckets/{bucket}/notificationConfigs/{next(self._numbers)}"
            self._configs.append(Config(name, bucket, topic, asked, prefix, payload_format != "NONE"))
            self._storage.listening = {config.bucket for config in self._configs}
        return name

    def trigger(self, bucket: str, *, location: str, event_type: str = FINALIZED) -> str:
        """Set up what Eventarc does for a trigger on a bucket; gives the full name of its topic.

        Whoever subscribes to it with `storage_event` as the form gets what a function with such a trigger gets.
        https://docs.cloud.google.com/eventarc/docs/run/route-trigger-cloud-storage

        Args:
            bucket: The filter ``bucket``: the exact name of a bucket in the trigger's project; there is no filter for objects' names.
            location: Where the trigger is, which has to be where the bucket is.
            event_type: The filter ``type``: exactly one.

        Raises:
            RefusedError: A filter that matches nothing, or a trigger in another place than its bucket.
            ApiError: As `add` says.
        """
        if event_type not in KINDS:
            raise invalid(f"{event_type!r} is no event type of Cloud Storage; a trigger has exactly one of {', '.join(KINDS)}.")
        found = next((each for each in self._storage.list_buckets(self._project, bucket)[0] if each["name"] == bucket), None)
        if found is None:
            raise not_found(f"The project {self._project} has no bucket {bucket!r}; the filter is exact, and takes no pattern.")
        place = found["location"].lower()
        if place != location.lower():
            raise invalid(f"The trigger is in {location}, and the bucket {bucket} is in {place}; they have to be in one place.")
        topic = f"projects/{self._project}/topics/eventarc-{location}-{bucket}-{event_type.rpartition('.')[2]}-{next(self._numbers):03d}"
        self._pubsub.create_topic(topic)
        self.add(bucket, topic, event_types=[KINDS[event_type]])
        return topic

    def hold(self) -> None:
        """Keep back what is to be told, until it is released: for notifications that come late, or in another order."""
        with self._lock:
            if self._held is None:
                self._held = []

    def release(self, order: Callable[[Sequence[Notification]], Iterable[Notification]] = list) -> list[str]:
        """Publish what was kept back, in this order, and keep nothing back any more; gives the messages' ids."""
        with self._lock:
            held, self._held = self._held or [], None
        return [self._pubsub.publish(each.topic, each.data, each.attributes) for each in order(held)]

    def _tell(self, kind: str, resource: Json) -> None:
        event_type = KINDS[kind]
        with self._lock:
            configs = [each for each in self._configs if each.bucket == resource["bucket"] and each.wants(event_type, resource["name"])]
        if not configs:
            return
        time = self._storage.now().isoformat(timespec="microseconds").replace("+00:00", "Z")
        data = json.dumps(resource, ensure_ascii=False).encode()
        for config in configs:
            self._send(Notification(config.topic, data if config.payload else b"", _attributes(config, event_type, resource, time)))

    def _send(self, notification: Notification) -> None:
        with self._lock:
            if self._held is not None:
                self._held.append(notification)
                return
        self._pubsub.publish(notification.topic, notification.data, notification.attributes)


def _attributes(config: Config, event_type: str, resource: Json, time: str) -> dict[str, str]:
    return {
        "notificationConfig": config.name,
        "eventType": event_type,
        "payloadFormat": "JSON_API_V1" if config.payload else "NONE",
        "bucketId": resource["bucket"],
        "objectId": resource["name"],
        "objectGeneration": resource["generation"],
        "eventTime": time,
    }


def storage_event(message: Message, _subscription: Subscription, _attempt: int) -> tuple[dict[str, str], Any]:
    """The request that Eventarc makes of a trigger's message: a CloudEvent in binary mode, with the object's resource as its data.

    https://github.com/googleapis/google-cloudevents/blob/main/proto/google/events/cloud/storage/v1/events.proto; how a name becomes a header:
    https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/http-protocol-binding.md#3132-http-header-values
    """
    told = message.attributes
    kind = next(kind for kind, event_type in KINDS.items() if event_type == told["eventType"])
    sent = {
        "ce-id": message.id,
        "ce-source": f"//storage.googleapis.com/projects/_/buckets/{told['bucketId']}",
        "ce-specversion": "1.0",
        "ce-subject": f"objects/{quote(told['objectId'], safe=_SAFE)}",
        "ce-time": told["eventTime"],
        "ce-type": kind,
        "ce-bucket": told["bucketId"],
        "content-type": "application/json",
        "user-agent": USER_AGENT,
    }
    return sent, json.loads(message.data)
