"""Who may publish to topics, and what subscribes to them, over gRPC: the half of Pub/Sub that an audit reads.

https://cloud.google.com/pubsub/docs/reference/rpc
"""

from __future__ import annotations

import threading
from typing import Any

import grpc
from google import pubsub_v1
from google.iam.v1 import iam_policy_pb2, policy_pb2

from sandbox.faults import Faults
from sandbox.grpc_errors import RefusedError, invalid, not_found, unary
from sandbox.pubsub import PubSub

GOOGLE = "serviceAccount:billing-budget-alert@system.gserviceaccount.com"
"""Who sends the notifications of budgets; gets the right to when a budget is connected to a topic."""
_PUBLISHER = "roles/pubsub.publisher"


class PubSubAdmin:
    """The IAM policies of topics, and their subscriptions.

    Args:
        faults: Asked under ``GetIamPolicy``, ``ListTopicSubscriptions`` and ``GetSubscription``.
        pubsub: Where the topics and subscriptions are.
    """

    def __init__(self, faults: Faults, pubsub: PubSub) -> None:
        self._faults = faults
        self._pubsub = pubsub
        self._lock = threading.Lock()
        self._publishers: dict[str, set[str]] = {}

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        """The gRPC services ``google.pubsub.v1.Subscriber`` and ``google.iam.v1.IAMPolicy``, their reading halves."""
        subscriber = {
            "GetSubscription": unary(
                self._faults,
                "GetSubscription",
                pubsub_v1.GetSubscriptionRequest.pb(),
                lambda request: request.subscription,
                self._get,
            )
        }
        policies = {
            "GetIamPolicy": unary(
                self._faults, "GetIamPolicy", iam_policy_pb2.GetIamPolicyRequest, lambda request: request.resource, self._policy
            ),
            "SetIamPolicy": unary(
                self._faults, "SetIamPolicy", iam_policy_pb2.SetIamPolicyRequest, lambda request: request.resource, _nobody_writes
            ),
        }
        return [
            grpc.method_handlers_generic_handler("google.pubsub.v1.Subscriber", subscriber),
            grpc.method_handlers_generic_handler("google.iam.v1.IAMPolicy", policies),
        ]

    def grant(self, topic: str, member: str = GOOGLE) -> None:
        """Let somebody publish to a topic."""
        with self._lock:
            self._publishers.setdefault(topic, set()).add(member)

    def revoke(self, topic: str, member: str = GOOGLE) -> None:
        """Take that right away."""
        with self._lock:
            self._publishers.get(topic, set()).discard(member)

    def _policy(self, request: Any, _context: Any) -> Any:
        if not self._pubsub.has_topic(request.resource):
            raise not_found(f"Resource not found (resource={request.resource.rpartition('/')[2]}).")
        with self._lock:
            members = sorted(self._publishers.get(request.resource, ()))
        bindings = [policy_pb2.Binding(role=_PUBLISHER, members=members)] if members else []
        return policy_pb2.Policy(version=1, bindings=bindings, etag=b"ACAB")

    def _get(self, request: Any, _context: Any) -> Any:
        if not request.subscription.startswith("projects/") or "/subscriptions/" not in request.subscription:
            raise invalid(f"{request.subscription!r} is no subscription: it has to be projects/P/subscriptions/S.")
        found = self._pubsub.subscription(request.subscription)
        if found is None:
            raise not_found(f"Resource not found (resource={request.subscription.rpartition('/')[2]}).")
        made = pubsub_v1.Subscription.pb()(name=found.name, topic=found.topic, ack_deadline_seconds=int(found.ack_deadline))
        made.push_config.push_endpoint = found.endpoint
        made.expiration_policy.SetInParent()  # Eventarc's own never expire
        if found.dead_letter_topic:
            made.dead_letter_policy.dead_letter_topic = found.dead_letter_topic
            made.dead_letter_policy.max_delivery_attempts = found.max_attempts or 5
        return made


def _nobody_writes(request: Any, _context: Any) -> Any:
    raise RefusedError(grpc.StatusCode.PERMISSION_DENIED, f"User not authorized to perform this action on {request.resource}.")
