"""CloudEvents in, nouns out: the only place that knows the payloads' field names.

Budget notifications: https://docs.cloud.google.com/billing/docs/how-to/budgets-programmatic-notifications
Storage notifications: https://docs.cloud.google.com/storage/docs/pubsub-notifications and, without Pub/Sub between,
https://github.com/googleapis/google-cloudevents/blob/main/proto/google/events/cloud/storage/v1/data.proto
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

from shared.errors import EventRejected
from shared.model import BudgetNotification, ObjectWritten

_LARGEST = Decimal(10) ** 15
_FINEST = -12
_NAME_LIMIT = 256
_ENTRY = re.compile(r"[0-9A-Za-z._-]{1,200}\Z")
_BILLING_ACCOUNT = re.compile(r"[0-9A-Za-z-]{1,64}\Z")
_BUDGET_ID = re.compile(r"[0-9A-Za-z._-]{1,128}\Z")
_CURRENCY = re.compile(r"[A-Z]{3}\Z")
_DIGITS = re.compile(r"[0-9]{1,19}\Z")
_INT64 = 2**63
_MESSAGE = "google.cloud.pubsub.topic.v1.messagePublished"
_OBJECT = "google.cloud.storage.object.v1."
_FINALIZED = f"{_OBJECT}finalized"


def budget_notification(attributes: Mapping[str, Any], data: Any) -> BudgetNotification:
    """Decode a ``google.cloud.pubsub.topic.v1.messagePublished`` event that carries a budget notification.

    Args:
        attributes: The CloudEvent's context attributes; ``id`` and ``time`` are read.
        data: The CloudEvent's data as it arrived; anything at all.

    Raises:
        EventRejected: It is not a budget notification, or one that cannot be read. Nothing else is ever raised.
    """
    message, labels = _message(data), _labels(data)
    if "budgetId" not in labels:
        _reject_other_schema(labels)
    payload = json_object(_payload(message))
    account, budget = labels.get("billingAccountId"), labels["budgetId"]
    if not isinstance(account, str) or not _BILLING_ACCOUNT.match(account):
        raise EventRejected(
            "wrong-type", f"the attribute billingAccountId is {_shown(account)}; expected something like 01D4EE-079462-DFD6EC"
        )
    if not isinstance(budget, str) or not _BUDGET_ID.match(budget):
        raise EventRejected("wrong-type", f"the attribute budgetId is {_shown(budget)}; expected a uuid")
    return BudgetNotification(
        billing_account=account,
        budget_id=budget,
        budget_name=_text(payload, "budgetDisplayName"),
        cost=_required(payload, "costAmount"),
        amount=_not_negative("budgetAmount", _required(payload, "budgetAmount")),
        currency=_currency(payload),
        period_start=_instant("costIntervalStart", payload.get("costIntervalStart")),
        actual_threshold=_threshold(payload, "alertThresholdExceeded"),
        forecast_threshold=_threshold(payload, "forecastThresholdExceeded"),
        message_id=_writable(str(attributes.get("id", ""))),
        sent_at=_instant("the event's time", attributes.get("time") or message.get("publishTime") or message.get("publish_time")),
    )


def task(data: Any) -> Mapping[str, str]:
    """Decode a message of the tasks topic.

    ``{"task": "tick"}``, ``{"task": "digest"}``, ``{"task": "resume", "entry": KEY}`` or ``{"task": "slack", "request": KEY}``.

    Raises:
        EventRejected: It is none of them.
    """
    payload = json_object(_payload(_message(data)))
    name, entry, request = payload.get("task"), payload.get("entry"), payload.get("request")
    if name in ("tick", "digest"):
        return {"task": name}
    if name == "resume" and isinstance(entry, str) and _ENTRY.match(entry):
        return {"task": "resume", "entry": entry}
    if name == "slack" and isinstance(request, str) and _ENTRY.match(request):
        return {"task": "slack", "request": request}
    raise EventRejected(
        "unknown-task",
        f'the message is {_shown(payload)}; expected {{"task": "tick"}}, {{"task": "digest"}}, {{"task": "resume", "entry": KEY}} or '
        '{"task": "slack", "request": KEY}',
    )


def object_named(kind: Any, data: Any) -> tuple[str, str] | None:
    """The bucket and the name of the object that was written: all that is decoded of an event that may mean nothing.

    Args:
        kind: The CloudEvent's type as it arrived: of a storage event, or of a Pub/Sub message that carries one.
        data: The CloudEvent's data as it arrived; anything at all.

    Returns:
        None where the event is about something else than a new object or generation.

    Raises:
        EventRejected: It is no storage event, or one that cannot be read. Nothing else is ever raised.
    """
    if not isinstance(kind, str):
        raise EventRejected("not-storage", f"an event of the type {_shown(kind)} came where storage events are expected")
    if kind == _FINALIZED:
        return _named(_resource(data), "bucket", "name")
    if kind == _MESSAGE:
        labels = _labels(data)
        event = labels.get("eventType")
        if not isinstance(event, str):
            raise EventRejected("no-event-type", "the Pub/Sub message has no attribute eventType, so it is no storage notification")
        return _named(labels, "bucketId", "objectId") if event == "OBJECT_FINALIZE" else None
    if kind.startswith(_OBJECT):
        return None
    raise EventRejected("not-storage", f"an event of the type {_shown(kind)} came where storage events are expected")


def object_written(kind: str, data: Any) -> ObjectWritten:
    """Decode the whole of an event that `object_named` took a name from.

    A notification with the payload format NONE says neither the size nor the exact time: the size is then 0, as it is where JSON made of a protocol
    buffer leaves a 0 out, and the time is that of the event. So the size is a hint, and whoever reads the object bounds what is read.

    Raises:
        EventRejected: A field is missing or cannot be read. Nothing else is ever raised.
    """
    if kind == _FINALIZED:
        resource = _resource(data)
        bucket, name = _named(resource, "bucket", "name")
        generation, created = _int64(resource, "generation"), resource.get("timeCreated")
    else:
        message, labels = _message(data), _labels(data)
        resource = _parsed(_payload(message)) if message.get("data") else {}
        bucket, name = _named(labels, "bucketId", "objectId")
        generation, created = _int64(labels, "objectGeneration"), resource.get("timeCreated", labels.get("eventTime"))
    if not generation:
        raise EventRejected("wrong-type", "the object's generation is 0; no object that was written has it")
    return ObjectWritten(
        bucket=bucket,
        name=name,
        generation=generation,
        size=_int64(resource, "size", absent=0),
        created=_instant("the object's time", created),
    )


def json_object(raw: bytes) -> dict[str, Any]:
    """Parse one JSON object with exact numbers.

    Raises:
        EventRejected: It is not UTF-8, not JSON, not an object, or holds a number that is no finite number.
    """
    return _parsed(raw, parse_float=_number, parse_int=_number, parse_constant=_not_finite)


def _parsed(raw: bytes, **numbers: Any) -> dict[str, Any]:
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise EventRejected("not-utf8", f"the data is not UTF-8 text: {error.reason} at byte {error.start}") from error
    try:
        payload = json.loads(text, **numbers)
    except (ValueError, RecursionError) as error:
        raise EventRejected("not-json", f"the data is not JSON: {str(error)[:200]}") from error
    if not isinstance(payload, dict):
        raise EventRejected("not-object", f"the data is {_shown(payload)}; expected a JSON object")
    return payload


def _message(data: Any) -> dict[str, Any]:
    message = data.get("message") if isinstance(data, dict) else None
    if not isinstance(message, dict):
        raise EventRejected("not-pubsub", f"the event's data is {_shown(data)}; expected an object with a Pub/Sub message in it")
    return message


def _labels(data: Any) -> dict[str, Any]:
    labels = _message(data).get("attributes")
    return labels if isinstance(labels, dict) else {}


def _resource(data: Any) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise EventRejected("not-storage", f"the event's data is {_shown(data)}; expected an object of Cloud Storage")
    return data


def _named(fields: Mapping[str, Any], bucket_key: str, name_key: str) -> tuple[str, str]:
    bucket, name = fields.get(bucket_key), fields.get(name_key)
    if not isinstance(bucket, str) or not bucket:
        raise EventRejected("wrong-type", f"{bucket_key} is {_shown(bucket)}; expected a bucket's name")
    if not isinstance(name, str) or not name:
        raise EventRejected("wrong-type", f"{name_key} is {_shown(name)}; expected an object's name")
    return bucket, name


def _int64(fields: Mapping[str, Any], key: str, absent: int | None = None) -> int:
    """JSON has both forms: https://protobuf.dev/programming-guides/json/ writes int64 as text, and published examples have numbers."""
    value = fields.get(key, absent)
    number = int(value) if isinstance(value, str) and _DIGITS.match(value) else value
    if type(number) is not int or not 0 <= number < _INT64:
        raise EventRejected("wrong-type", f"{key} is {_shown(value)}; expected a whole number")
    return number


def _payload(message: Mapping[str, Any]) -> bytes:
    encoded = message.get("data")
    if not encoded:
        raise EventRejected("no-data", "the Pub/Sub message has attributes and no data")
    if not isinstance(encoded, str):
        raise EventRejected("wrong-type", f"the Pub/Sub message's data is {_shown(encoded)}; expected a base64 string")
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise EventRejected("not-base64", f"the Pub/Sub message's data is not base64: {error}") from error


def _reject_other_schema(labels: Mapping[str, Any]) -> NoReturn:
    if "SchemaVersion" in labels or "resourceName" in labels:
        raise EventRejected(
            "anomaly",
            f"a cost anomaly notification for {_shown(labels.get('resourceDisplayName'))} came on the budget topic; it is not acted upon",
        )
    raise EventRejected("no-budget-id", "the Pub/Sub message has no attribute budgetId, so it is no budget notification")


def _number(digits: str) -> Decimal:
    try:
        number = Decimal(digits)
    except InvalidOperation as error:
        raise EventRejected("not-finite", f"the number {digits[:40]} cannot be represented") from error
    if _too_large(number):
        raise EventRejected("not-finite", f"the number {digits[:40]} is larger than any budget")
    return _rounded(number)


def _too_large(number: Decimal) -> bool:
    # abs() would be arithmetic, which overflows for what `Decimal` reads well: 1e999999999.
    return number.copy_abs() >= _LARGEST


def _rounded(number: Decimal) -> Decimal:
    """No amount of money and no threshold is told apart beyond this, and a tiny divisor would overflow."""
    return Decimal(0) if number and number.adjusted() < _FINEST else number


def _not_finite(constant: str) -> NoReturn:
    raise EventRejected("not-finite", f"the data holds {constant}, which is no amount of money")


def _amount(payload: Mapping[str, Any], key: str) -> Decimal | None:
    value = payload.get(key)
    if isinstance(value, str):
        try:
            value = Decimal(value.strip())
        except InvalidOperation:
            raise EventRejected("wrong-type", f"{key} is {_shown(value)}; expected a number") from None
        if not value.is_finite() or _too_large(value):
            raise EventRejected("not-finite", f"{key} is {_shown(value)}; expected a finite number")
        value = _rounded(value)
    if value is not None and not isinstance(value, Decimal):
        raise EventRejected("wrong-type", f"{key} is {_shown(value)}; expected a number")
    return value


def _required(payload: Mapping[str, Any], key: str) -> Decimal:
    value = _amount(payload, key)
    if value is None:
        raise EventRejected("wrong-type", f"{key} is missing; every budget notification has it")
    return value


def _not_negative(key: str, value: Decimal) -> Decimal:
    if value < 0:
        raise EventRejected("wrong-type", f"{key} is {value}; expected 0 or more")
    return value


def _threshold(payload: Mapping[str, Any], key: str) -> Decimal | None:
    value = _amount(payload, key)
    return None if value is None else _not_negative(key, value)


def _text(payload: Mapping[str, Any], key: str) -> str:
    value = payload.get(key)
    if not isinstance(value, str):
        raise EventRejected("wrong-type", f"{key} is {_shown(value)}; expected text")
    return _writable(value)


def _writable(text: str) -> str:
    """A lone surrogate can be written in JSON and nowhere else, so it would stop the journal from being written."""
    return text.encode(errors="replace").decode()[:_NAME_LIMIT]


def _currency(payload: Mapping[str, Any]) -> str:
    value = payload.get("currencyCode")
    if not isinstance(value, str) or not _CURRENCY.match(value):
        raise EventRejected("wrong-type", f"currencyCode is {_shown(value)}; expected three capital letters")
    return value


def _instant(key: str, value: Any) -> datetime:
    try:
        instant = datetime.fromisoformat(value)
        return instant.astimezone(UTC) if instant.tzinfo else _no_zone(key, value)
    except (TypeError, ValueError, OverflowError) as error:
        raise EventRejected("wrong-type", f"{key} is {_shown(value)}; expected an instant such as 2026-11-01T07:00:00Z") from error


def _no_zone(key: str, value: str) -> NoReturn:
    raise EventRejected("wrong-type", f"{key} is {_shown(value)}, which names no time zone")


def _shown(value: Any) -> str:
    return "missing" if value is None else ascii(value)[:120]
