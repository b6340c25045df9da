"""Pub/Sub topics, who may publish to them, and their subscriptions.

https://cloud.google.com/pubsub/docs/reference/rpc
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from shared.audit.seen import SubscriptionSeen
from shared.cloud.errors import translated
from shared.cloud.lazy import Lazy
from shared.cloud.run_calls import read_options

PUBLISHING = frozenset({"roles/pubsub.publisher", "roles/pubsub.editor", "roles/pubsub.admin"})
"""The roles on a topic that let their members publish: https://cloud.google.com/pubsub/docs/access-control#roles."""


class PubSubTopics:
    """Fulfils `shared.audit.sight.Topics`. All methods may be called from several threads."""

    def __init__(self) -> None:
        """Nothing is connected before the first call; which server is asked, Google's clients read from their environment."""
        self._publisher = Lazy(_publisher)
        self._subscriber = Lazy(_subscriber)

    def publishers(self, topic: str) -> Sequence[str]:
        """The members of the topic's own IAM policy that may publish."""
        with translated(topic):
            policy = self._publisher().get_iam_policy({"resource": topic}, **read_options())
        return sorted({member for binding in policy.bindings if binding.role in PUBLISHING for member in binding.members})

    def subscriptions(self, topic: str) -> Sequence[SubscriptionSeen]:
        """The topic's subscriptions, over all pages; each costs a call."""
        with translated(topic):
            names = list(self._publisher().list_topic_subscriptions({"topic": topic}, **read_options()))
        return [self._subscription(name) for name in sorted(names)]

    def _subscription(self, name: str) -> SubscriptionSeen:
        with translated(name):
            found = self._subscriber().get_subscription({"subscription": name}, **read_options())
        return subscription_of(type(found).pb(found))


def subscription_of(subscription: Any) -> SubscriptionSeen:
    """A subscription as an audit sees it.

    Args:
        subscription: The protobuf message of a ``google.pubsub.v1.Subscription``.
    """
    expiration = subscription.expiration_policy
    return SubscriptionSeen(
        name=subscription.name,
        dead_letter_topic=subscription.dead_letter_policy.dead_letter_topic,
        # A policy without a time never expires; without a policy it is 31 days: https://cloud.google.com/pubsub/docs/subscription-properties#expiration_period
        expires_after=_expiry(expiration) if subscription.HasField("expiration_policy") else timedelta(days=31),
        push_endpoint=subscription.push_config.push_endpoint,
    )


def _expiry(policy: Any) -> timedelta | None:
    return timedelta(seconds=policy.ttl.seconds) if policy.HasField("ttl") else None


def _publisher() -> Any:
    from google.cloud import pubsub_v1

    return pubsub_v1.PublisherClient()


def _subscriber() -> Any:
    from google.cloud import pubsub_v1

    return pubsub_v1.SubscriberClient()
