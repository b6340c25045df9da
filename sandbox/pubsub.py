"""Pub/Sub: topics, publishing over gRPC, and push subscriptions as Eventarc makes them.

A real client finds it through ``PUBSUB_EMULATOR_HOST``.
https://docs.cloud.google.com/pubsub/docs/reference/rpc/google.pubsub.v1
"""

from __future__ import annotations

import itertools
import re
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import grpc
from google import pubsub_v1

from sandbox.faults import Faults
from sandbox.grpc_errors import RefusedError, invalid, not_found, unary
from sandbox.push import Delivery, Form, Message, Pusher, Subscription, timestamp

_TOPIC = re.compile(r"projects/(?P<project>[^/]+)/topics/(?!goog)[A-Za-z][A-Za-z0-9._~+%-]{2,254}")

# https://docs.cloud.google.com/pubsub/quotas#resource_limits
_MAX_REQUEST_BYTES = 10_000_000
_MAX_MESSAGES = 1_000
_MAX_ATTRIBUTES = 100
_MAX_KEY_BYTES = 256
_MAX_VALUE_BYTES = 1_024
_DEAD_LETTER_ATTEMPTS = range(5, 101)
_PAGE = 1_000


def utc_now() -> datetime:
    """The time in UTC."""
    return datetime.now(UTC)


class PubSub:
    """Topics and their push subscriptions.

    Messages of one subscription are delivered side by side, in no promised order, each at least once. What the real
    service does beyond that and this does not: slowing down a whole subscription that fails often, and ordering keys.

    Args:
        faults: Asked under ``CreateTopic``, ``GetTopic``, ``ListTopics``, ``ListTopicSubscriptions``, ``Publish`` (by topic), and ``push`` (by topic and endpoint).
        workers: Deliveries at one time, at most.
        retention: Seconds after which a message that nobody acknowledged is discarded; Eventarc keeps it for 24 hours.
        now: The clock that stamps messages.
    """

    def __init__(
        self,
        faults: Faults,
        *,
        workers: int = 16,
        retention: float = 86_400.0,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._faults = faults
        self._now = now
        self._lock = threading.Lock()
        self._topics: dict[str, Any] = {}
        self._messages: dict[str, Message] = {}
        self._subscriptions: list[Subscription] = []
        self._ids = itertools.count(int(time.time() * 1000) * 1000)
        self._pusher = Pusher(faults, self._forward_dead_letter, workers=workers, retention=retention)

    @property
    def deliveries(self) -> list[Delivery]:
        """Every attempt to deliver so far, oldest first."""
        return list(self._pusher.deliveries)

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        """The gRPC service ``google.pubsub.v1.Publisher``."""
        methods: dict[str, tuple[Any, Callable[[Any], str], Callable[[Any, Any], Any]]] = {
            "CreateTopic": (pubsub_v1.Topic, lambda request: str(request.name), self._create_topic),
            "GetTopic": (pubsub_v1.GetTopicRequest, lambda request: str(request.topic), self._get_topic),
            "ListTopicSubscriptions": (
                pubsub_v1.ListTopicSubscriptionsRequest,
                lambda request: str(request.topic),
                self._list_topic_subscriptions,
            ),
            "ListTopics": (pubsub_v1.ListTopicsRequest, lambda request: str(request.project), self._list_topics),
            "Publish": (pubsub_v1.PublishRequest, lambda request: str(request.topic), self._publish),
        }
        table = {name: unary(self._faults, name, kind.pb(), resource, work) for name, (kind, resource, work) in methods.items()}
        return [grpc.method_handlers_generic_handler("google.pubsub.v1.Publisher", table)]

    def create_topic(self, topic: str) -> None:
        """Create a topic, unless it is there.

        Raises:
            RefusedError: The name is not ``projects/P/topics/T``, or not allowed.
        """
        _check_topic_name(topic)
        with self._lock:
            self._topics.setdefault(topic, pubsub_v1.Topic.pb()(name=topic))

    def has_topic(self, topic: str) -> bool:
        """Whether a topic exists."""
        with self._lock:
            return topic in self._topics

    def publish(
        self,
        topic: str,
        data: bytes,
        attributes: Mapping[str, str],
        *,
        ordering_key: str = "",
        published: datetime | None = None,
    ) -> str:
        """Publish a message and have it delivered to every subscription; gives its id.

        Args:
            topic: The full name of a topic that exists.
            data: May be empty where there are attributes.
            attributes: May be empty where there is data.
            ordering_key: Passed on with the message.
            published: When it was published, instead of now: for messages that come late.

        Raises:
            RefusedError: There is no such topic, or the message breaks a limit.
        """
        self._topic(topic)
        _check_message(data, attributes, ordering_key)
        return self._accept(topic, data, attributes, ordering_key, published or self._now())

    def messages(self, topic: str) -> list[Message]:
        """Everything that was published to a topic, oldest first."""
        with self._lock:
            return [message for message in self._messages.values() if message.topic == topic]

    def redeliver(self, message_id: str) -> None:
        """Deliver a message once more, as at-least-once delivery may.

        Raises:
            LookupError: There is no such message.
        """
        with self._lock:
            message = self._messages.get(message_id)
        if message is None:
            raise LookupError(f"No message {message_id} was published here.")
        self._push(message)

    def subscribe(
        self,
        topic: str,
        endpoint_url: str,
        *,
        ack_deadline: float = 600,
        min_backoff: float = 10.0,
        max_backoff: float = 600.0,
        max_attempts: int | None = None,
        dead_letter_topic: str | None = None,
        form: Form | None = None,
    ) -> str:
        """Push the topic's messages to an address from now on; gives the subscription's name.

        Args:
            topic: The full name of a topic that exists.
            endpoint_url: An ``http://`` address.
            ack_deadline: Seconds the endpoint has for its answer.
            min_backoff: Seconds before the first retry; they double from there.
            max_backoff: Seconds between retries at most.
            max_attempts: With a dead letter topic 5 to 100, and 5 if not given. Without one only 1, which is Eventarc's way to switch
                retries off (https://docs.cloud.google.com/eventarc/docs/retry-events).
            dead_letter_topic: The full name of a topic that exists.
            form: What is sent for a message, where Eventarc makes another event of it than that of Pub/Sub.

        Raises:
            RefusedError: A topic does not exist, or `max_attempts` is out of range.
            ValueError: The endpoint is not an ``http://`` address.
        """
        self._topic(topic)
        if urlsplit(endpoint_url).scheme != "http":
            raise ValueError(f"The sandbox pushes to http:// addresses only, and {endpoint_url} is none.")
        if dead_letter_topic:
            self._topic(dead_letter_topic)
            max_attempts = max_attempts or _DEAD_LETTER_ATTEMPTS.start
        allowed = _DEAD_LETTER_ATTEMPTS if dead_letter_topic else (None, 1)
        if max_attempts not in allowed:
            raise invalid(f"max_attempts is {max_attempts}: it is 5 to 100 with a dead letter topic, and 1 or unset without one.")
        with self._lock:
            number = len(self._subscriptions) + 1
            name = f"projects/{topic.split('/')[1]}/subscriptions/eventarc-us-central1-trigger-{number:08d}-sub-{number:03d}"
            self._subscriptions.append(
                Subscription(name, topic, endpoint_url, ack_deadline, min_backoff, max_backoff, max_attempts, dead_letter_topic or "", form)
            )
        return name

    def subscription(self, name: str) -> Subscription | None:
        """The subscription of this name, if there is one."""
        with self._lock:
            return next((each for each in self._subscriptions if each.name == name), None)

    def drain(self, timeout: float = 10.0) -> bool:
        """Wait until every delivery has been acknowledged or given up; false if that takes longer than `timeout` seconds."""
        return self._pusher.drain(timeout)

    def close(self) -> None:
        """Stop delivering."""
        self._pusher.close()

    def _push(self, message: Message) -> None:
        with self._lock:
            subscriptions = [subscription for subscription in self._subscriptions if subscription.topic == message.topic]
        for subscription in subscriptions:
            self._pusher.push(message, subscription)

    def _forward_dead_letter(self, message: Message, subscription: Subscription, attempts: int) -> None:
        # https://docs.cloud.google.com/pubsub/docs/handling-failures#track-delivery-attempts
        attributes = {
            **message.attributes,
            "CloudPubSubDeadLetterSourceDeliveryCount": str(attempts),
            "CloudPubSubDeadLetterSourceSubscription": subscription.name.split("/")[3],
            "CloudPubSubDeadLetterSourceSubscriptionProject": subscription.name.split("/")[1],
            "CloudPubSubDeadLetterSourceTopicPublishTime": timestamp(message.published),
        }
        self._accept(subscription.dead_letter_topic, message.data, attributes, message.ordering_key, self._now())

    def _accept(self, topic: str, data: bytes, attributes: Mapping[str, str], ordering_key: str, published: datetime) -> str:
        with self._lock:
            message = Message(str(next(self._ids)), topic, data, dict(attributes), published, ordering_key)
            self._messages[message.id] = message
        self._push(message)
        return message.id

    def _topic(self, name: str) -> Any:
        with self._lock:
            topic = self._topics.get(name)
        if topic is None:
            raise not_found(f"Topic {name} does not exist.")
        return topic

    def _create_topic(self, request: Any, _context: Any) -> Any:
        _check_topic_name(request.name)
        with self._lock:
            if request.name in self._topics:
                raise RefusedError(grpc.StatusCode.ALREADY_EXISTS, f"Topic {request.name} exists already.")
            self._topics[request.name] = request
        return request

    def _get_topic(self, request: Any, _context: Any) -> Any:
        return self._topic(request.topic)

    def _list_topics(self, request: Any, _context: Any) -> Any:
        with self._lock:
            names = sorted(name for name in self._topics if name.startswith(f"{request.project}/topics/") and name > request.page_token)
            size = min(request.page_size or _PAGE, _PAGE)
            page = [self._topics[name] for name in names[:size]]
        return pubsub_v1.ListTopicsResponse.pb()(topics=page, next_page_token=names[size - 1] if len(names) > size else "")

    def _list_topic_subscriptions(self, request: Any, _context: Any) -> Any:
        self._topic(request.topic)
        with self._lock:
            names = sorted(each.name for each in self._subscriptions if each.topic == request.topic and each.name > request.page_token)
        size = request.page_size or _PAGE
        token = names[size - 1] if len(names) > size else ""
        return pubsub_v1.ListTopicSubscriptionsResponse.pb()(subscriptions=names[:size], next_page_token=token)

    def _publish(self, request: Any, _context: Any) -> Any:
        self._topic(request.topic)
        size = request.ByteSize()
        if size > _MAX_REQUEST_BYTES:
            raise invalid(f"The request has {size} bytes; {_MAX_REQUEST_BYTES} are the most.")
        if not 1 <= len(request.messages) <= _MAX_MESSAGES:
            raise invalid(f"The request has {len(request.messages)} messages; 1 to {_MAX_MESSAGES} are allowed.")
        for message in request.messages:
            _check_message(message.data, message.attributes, message.ordering_key)
        now = self._now()
        ids = [self._accept(request.topic, each.data, each.attributes, each.ordering_key, now) for each in request.messages]
        return pubsub_v1.PublishResponse.pb()(message_ids=ids)


def _check_topic_name(name: str) -> None:
    if not _TOPIC.fullmatch(name):
        raise invalid(f"{name!r} is no topic: it has to be projects/PROJECT/topics/TOPIC, and TOPIC 3 to 255 letters, digits or -._~+%.")


def _check_message(data: bytes, attributes: Mapping[str, str], ordering_key: str) -> None:
    if not data and not attributes:
        raise invalid("A message needs data or at least one attribute, and this one has neither.")
    if len(data) > _MAX_REQUEST_BYTES:
        raise invalid(f"The message has {len(data)} bytes of data; {_MAX_REQUEST_BYTES} are the most.")
    if len(attributes) > _MAX_ATTRIBUTES:
        raise invalid(f"The message has {len(attributes)} attributes; {_MAX_ATTRIBUTES} are the most.")
    for key, value in attributes.items():
        if not 1 <= len(key.encode()) <= _MAX_KEY_BYTES or key.startswith("goog"):
            raise invalid(f"The attribute key {key!r} is not allowed: 1 to {_MAX_KEY_BYTES} bytes, and not goog at its beginning.")
        if len(value.encode()) > _MAX_VALUE_BYTES:
            raise invalid(f"The value of attribute {key!r} has more than {_MAX_VALUE_BYTES} bytes.")
    if len(ordering_key.encode()) > _MAX_VALUE_BYTES:
        raise invalid(f"The ordering key has more than {_MAX_VALUE_BYTES} bytes.")
