"""Events as Eventarc posts them, CloudEvents in binary mode: Pub/Sub messages, and what happened to an object."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

EVENTS = Path(__file__).parent / "events"
PERIOD = datetime(2026, 11, 1, 7, tzinfo=UTC)
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
ACCOUNT = "01D4EE-079462-DFD6EC"
BUDGET = "de72f49d-779b-4945-a127-4d6ce8def0bb"


def payload(cost: object = 80.0, amount: object = 100.0, **more: Any) -> dict[str, Any]:
    """The data of a budget notification."""
    return {
        "budgetDisplayName": "ML Training Budget",
        "costAmount": cost,
        "costIntervalStart": "2026-11-01T07:00:00Z",
        "budgetAmount": amount,
        "budgetAmountType": "SPECIFIED_AMOUNT",
        "currencyCode": "USD",
    } | more


def attributes(**more: str) -> dict[str, str]:
    """The attributes of a budget notification."""
    return {"billingAccountId": ACCOUNT, "budgetId": BUDGET, "schemaVersion": "1.0"} | more


def body(data: bytes | None, labels: dict[str, str] | None, message_id: str = "1", published: datetime = NOW) -> dict[str, Any]:
    """The event's data, with each of the message's fields under both of its names, as they really arrive."""
    stamp = published.isoformat().replace("+00:00", "Z")
    message: dict[str, Any] = {"messageId": message_id, "message_id": message_id, "publishTime": stamp, "publish_time": stamp}
    if labels is not None:
        message["attributes"] = labels
    if data is not None:
        message["data"] = base64.b64encode(data).decode()
    return {"message": message, "subscription": "projects/watchdog-project/subscriptions/eventarc-europe-west1-budget-alert-sub-123"}


def headers(message_id: str = "1", published: datetime = NOW, topic: str = "budgets") -> dict[str, str]:
    """The context attributes, as headers."""
    return {
        "ce-id": message_id,
        "ce-source": f"//pubsub.googleapis.com/projects/watchdog-project/topics/{topic}",
        "ce-specversion": "1.0",
        "ce-type": "google.cloud.pubsub.topic.v1.messagePublished",
        "ce-time": published.isoformat().replace("+00:00", "Z"),
        "content-type": "application/json",
    }


def resource(name: str = "runs/run-1/_FAILED", bucket: str = "acme-ml-artifacts", **more: Any) -> dict[str, Any]:
    """An object of Cloud Storage as the notification has it; 64-bit numbers are text, as the JSON API writes them."""
    stamp = "2026-11-20T11:59:58.123Z"
    return {
        "kind": "storage#object",
        "id": f"{bucket}/{name}/1763639998123456",
        "bucket": bucket,
        "name": name,
        "generation": "1763639998123456",
        "metageneration": "1",
        "contentType": "application/octet-stream",
        "storageClass": "STANDARD",
        "size": "7",
        "timeCreated": stamp,
        "updated": stamp,
        "timeStorageClassUpdated": stamp,
        "crc32c": "AAAAAA==",
        "etag": "CMDi",
    } | more


def storage_attributes(name: str = "runs/run-1/_FAILED", bucket: str = "acme-ml-artifacts", **more: str) -> dict[str, str]:
    """The attributes of a storage notification through Pub/Sub: https://docs.cloud.google.com/storage/docs/pubsub-notifications#attributes."""
    return {
        "notificationConfig": f"projects/_/buckets/{bucket}/notificationConfigs/3",
        "eventType": "OBJECT_FINALIZE",
        "payloadFormat": "JSON_API_V1",
        "bucketId": bucket,
        "objectId": name,
        "objectGeneration": "1763639998123456",
        "eventTime": "2026-11-20T11:59:58.456789Z",
    } | more


def storage_headers(bucket: str = "acme-ml-artifacts", name: str = "runs/run-1/_FAILED", kind: str = "finalized") -> dict[str, str]:
    """The context attributes of a direct storage event, as headers."""
    return {
        "ce-id": "11",
        "ce-source": f"//storage.googleapis.com/projects/_/buckets/{bucket}",
        "ce-specversion": "1.0",
        "ce-type": f"google.cloud.storage.object.v1.{kind}",
        "ce-subject": f"objects/{name}",
        "ce-bucket": bucket,
        "ce-time": "2026-11-20T11:59:58.456789Z",
        "content-type": "application/json",
    }


def encode(value: Any) -> bytes:
    """JSON bytes; Decimals keep their digits."""
    return json.dumps(value, default=lambda each: float(each) if isinstance(each, Decimal) else str(each)).encode()
