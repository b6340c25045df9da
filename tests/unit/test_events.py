"""What arrives on the budget topic and on the tasks topic, decoded or refused by kind."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import events
from shared.errors import EventRejected
from shared.model import BudgetNotification, ObjectWritten
from tests.envelopes import ACCOUNT, BUDGET, EVENTS, NOW, PERIOD, attributes, body, encode, payload, resource, storage_attributes

CONTEXT = {"id": "1", "time": "2026-11-20T12:00:00Z"}


def decode(data: bytes | None, labels: dict[str, str] | None = None) -> BudgetNotification:
    """Decode one message in its envelope."""
    return events.budget_notification(CONTEXT, body(data, attributes() if labels is None else labels))


def test_a_notification_without_thresholds() -> None:
    """All fields arrive, money as exact decimals, times in UTC, and absent thresholds as None."""
    assert decode(encode(payload(80.1, 100))) == BudgetNotification(
        billing_account=ACCOUNT, budget_id=BUDGET, budget_name="ML Training Budget", cost=Decimal("80.1"), amount=Decimal(100), currency="USD",
        period_start=PERIOD, actual_threshold=None, forecast_threshold=None, message_id="1", sent_at=NOW,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("more", "actual", "forecast"),
    [
        ({"alertThresholdExceeded": 0.8}, Decimal("0.8"), None),
        ({"forecastThresholdExceeded": 0.9}, None, Decimal("0.9")),
        ({"alertThresholdExceeded": 0.5, "forecastThresholdExceeded": 1}, Decimal("0.5"), Decimal(1)),
        ({"alertThresholdExceeded": "0.8"}, Decimal("0.8"), None),
    ],
)
def test_thresholds(more: dict[str, Any], actual: Decimal | None, forecast: Decimal | None) -> None:
    """One, the other or both thresholds may be named, as numbers or as text."""
    notification = decode(encode(payload(**more)))
    assert (notification.actual_threshold, notification.forecast_threshold) == (actual, forecast)


@pytest.mark.parametrize(
    ("cost", "amount", "more", "level"),
    [
        (80, 100, {}, Decimal("0.8")),
        ("80", "100", {}, Decimal("0.8")),
        (10, 100, {"alertThresholdExceeded": 0.5}, Decimal("0.5")),
        (10, 0, {}, Decimal(0)),
        (10, 0, {"alertThresholdExceeded": 1.0}, Decimal(1)),
        (-3, 100, {}, Decimal(0)),
    ],
)
def test_the_level_is_the_larger_of_what_is_computed_and_what_is_said(
    cost: object, amount: object, more: dict[str, Any], level: Decimal
) -> None:
    """Cost over amount counts beside the message's own word; a budget of 0 has only the latter, and credits do not count below 0."""
    assert decode(encode(payload(cost, amount, **more))).level("actual") == level


def test_the_forecast_level_is_what_the_message_says() -> None:
    """Nothing can be computed of a forecast."""
    assert decode(encode(payload(500, 100))).level("forecast") == 0
    assert decode(encode(payload(1, 100, forecastThresholdExceeded=1.2))).level("forecast") == Decimal("1.2")


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (None, "no-data"),
        (b"", "no-data"),
        (b"\xff\xfe", "not-utf8"),
        (b"{", "not-json"),
        (b"[" * 100_000, "not-json"),
        (b"9" * 5000, "not-finite"),
        (b"[1]", "not-object"),
        (b"null", "not-object"),
        (b'"text"', "not-object"),
        (b'{"costAmount": NaN}', "not-finite"),
        (b'{"costAmount": -Infinity}', "not-finite"),
        (b'{"costAmount": 1e999999999999999999999}', "not-finite"),
        (b'{"costAmount": 1e999999999}', "not-finite"),
        (b'{"costAmount": 1e16}', "not-finite"),
        (encode(payload(cost="NaN")), "not-finite"),
        (encode(payload(cost="1e30")), "not-finite"),
        (encode(payload(cost="-1e999999999")), "not-finite"),
        (encode(payload(cost="eighty")), "wrong-type"),
        (encode(payload(cost=None)), "wrong-type"),
        (encode(payload(cost=True)), "wrong-type"),
        (encode(payload(cost=[1])), "wrong-type"),
        (encode(payload(amount=-1)), "wrong-type"),
        (encode(payload(alertThresholdExceeded=-0.5)), "wrong-type"),
        (encode(payload(alertThresholdExceeded="Infinity")), "not-finite"),
        (encode(payload(budgetDisplayName=7)), "wrong-type"),
        (encode(payload(currencyCode="dollars")), "wrong-type"),
        (encode(payload(currencyCode=None)), "wrong-type"),
        (encode(payload(costIntervalStart=None)), "wrong-type"),
        (encode(payload(costIntervalStart="yesterday")), "wrong-type"),
        (encode(payload(costIntervalStart="2026-11-01T07:00:00")), "wrong-type"),
        (encode(payload(costIntervalStart="0001-01-01T00:00:00+23:59")), "wrong-type"),
        (encode(payload(costIntervalStart=1)), "wrong-type"),
    ],
)
def test_what_cannot_be_read_is_refused_by_kind(data: bytes | None, kind: str) -> None:
    """Every way to be malformed has its own word."""
    with pytest.raises(EventRejected) as refused:
        decode(data)
    assert refused.value.kind == kind


@pytest.mark.parametrize("data", [None, b"raw bytes", "text", 7, [], {}, {"message": None}, {"message": "text"}])
def test_what_is_no_pubsub_message_is_refused(data: Any) -> None:
    """The framework hands over bytes where the event's body is not JSON."""
    with pytest.raises(EventRejected) as refused:
        events.budget_notification(CONTEXT, data)
    assert refused.value.kind == "not-pubsub"


@pytest.mark.parametrize("encoded", ["%%%", "a", "ä"])
def test_what_is_not_base64_is_refused(encoded: str) -> None:
    """Nothing is guessed into the text."""
    with pytest.raises(EventRejected) as refused:
        events.budget_notification(CONTEXT, {"message": {"attributes": attributes(), "data": encoded}})
    assert refused.value.kind == "not-base64"


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        ({}, "no-budget-id"),
        ({"resourceName": "billingAccounts/1/anomalies/2"}, "anomaly"),
        ({"budgetId": "", "billingAccountId": ACCOUNT}, "wrong-type"),
        ({"budgetId": "../../holds", "billingAccountId": ACCOUNT}, "wrong-type"),
        ({"budgetId": BUDGET}, "wrong-type"),
        ({"budgetId": BUDGET, "billingAccountId": "a/b"}, "wrong-type"),
        ({"budgetId": BUDGET, "billingAccountId": ACCOUNT + "\n"}, "wrong-type"),
    ],
)
def test_foreign_attributes_are_refused(labels: dict[str, str], kind: str) -> None:
    """Both ids become object names, so nothing else than an id may stand in them."""
    with pytest.raises(EventRejected) as refused:
        decode(encode(payload()), labels)
    assert refused.value.kind == kind


@pytest.mark.parametrize("message", [{"attributes": "text", "data": "e30="}, {"attributes": attributes(), "data": 7}])
def test_wrong_types_in_the_message_itself(message: dict[str, Any]) -> None:
    """The envelope is not trusted either."""
    with pytest.raises(EventRejected):
        events.budget_notification(CONTEXT, {"message": message})


def test_an_anomaly_notification_is_told_apart() -> None:
    """The published shape of an anomaly message, with its infinite deviation, is known for what it is."""
    event = json.loads((EVENTS / "anomaly.json").read_text())["body"]
    with pytest.raises(EventRejected) as refused:
        events.budget_notification(CONTEXT, event)
    assert refused.value.kind == "anomaly"


def test_a_lone_surrogate_in_the_name_can_be_written_again() -> None:
    """What JSON lets in must not stop the journal later."""
    notification = decode(
        b'{"budgetDisplayName": "\\ud800 budget", ' + encode(payload())[1:].replace(b'"budgetDisplayName": "ML Training Budget", ', b"")
    )
    assert notification.budget_name.encode() == b"? budget"


def test_the_publish_time_serves_where_the_event_names_no_time() -> None:
    """A plain push converted by the framework may lack the event's own time."""
    notification = events.budget_notification({"id": "1"}, body(encode(payload()), attributes()))
    assert notification.sent_at == datetime(2026, 11, 20, 12, tzinfo=UTC)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text() | st.integers(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_nothing_but_a_refusal_is_ever_raised(value: Any) -> None:
    """Whatever JSON value stands in the data, the answer is a notification or a refusal."""
    with pytest.raises(EventRejected):
        decode(json.dumps(value).encode())


@given(st.binary())
def test_no_bytes_break_the_decoder(data: bytes) -> None:
    """The same for bytes of any kind."""
    with pytest.raises(EventRejected):
        decode(data)


@pytest.mark.parametrize("key", list(payload()))
@given(value=st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.lists(st.integers()))
def test_any_value_in_any_field(key: str, value: Any) -> None:
    """Each field may hold anything; the answer is a notification or a refusal."""
    with contextlib.suppress(EventRejected):
        decode(json.dumps(payload() | {key: value}).encode())


def test_tasks() -> None:
    """The tick, the digest and the request to carry on are understood, anything else is refused."""
    assert events.task(body(b'{"task": "tick"}', None)) == {"task": "tick"}
    assert events.task(body(b'{"task": "digest", "entry": 7}', None)) == {"task": "digest"}
    assert events.task(body(b'{"task": "resume", "entry": "K"}', None)) == {"task": "resume", "entry": "K"}
    for other in (b'{"task": "resume"}', b'{"task": "resume", "entry": 7}', b'{"task": "sing"}', b'{"task": ["digest"]}', b"{}"):
        with pytest.raises(EventRejected) as refused:
            events.task(body(other, None))
        assert refused.value.kind == "unknown-task"


FINALIZED = "google.cloud.storage.object.v1.finalized"
MESSAGE = "google.cloud.pubsub.topic.v1.messagePublished"
NAMED = ("acme-ml-artifacts", "runs/run-1/_FAILED")
GENERATION = 1763639998123456
CREATED = datetime(2026, 11, 20, 11, 59, 58, 123000, tzinfo=UTC)
NOTICED = datetime(2026, 11, 20, 11, 59, 58, 456789, tzinfo=UTC)


def through_pubsub(data: bytes | None = None, **labels: Any) -> dict[str, Any]:
    """A storage notification in its Pub/Sub message."""
    return body(data, {name: value for name, value in (storage_attributes() | labels).items() if value is not None})


@pytest.mark.parametrize(
    ("kind", "data", "size", "created"),
    [
        (FINALIZED, resource(), 7, CREATED),
        (FINALIZED, resource(size=7, generation=GENERATION, metageneration=1), 7, CREATED),
        (
            FINALIZED,
            {key: value for key, value in resource().items() if key in ("bucket", "name", "generation", "timeCreated")},
            0,
            CREATED,
        ),
        (FINALIZED, resource(timeCreated="2026-11-20T12:59:58.123+01:00", size=str(2**63 - 1)), 2**63 - 1, CREATED),
        (MESSAGE, through_pubsub(encode(resource())), 7, CREATED),
        (MESSAGE, through_pubsub(encode(resource(size=7))), 7, CREATED),
        (MESSAGE, through_pubsub(encode(resource(name="of/another", bucket="of-another", generation="1"))), 7, CREATED),
        (MESSAGE, through_pubsub(encode({})), 0, NOTICED),
        (MESSAGE, through_pubsub(payloadFormat="NONE"), 0, NOTICED),
        (MESSAGE, through_pubsub(payloadFormat=None, notificationConfig=None), 0, NOTICED),
        (MESSAGE, through_pubsub(b"", payloadFormat="NONE", overwroteGeneration="1763639990000000"), 0, NOTICED),
    ],
)
def test_an_object_that_was_written(kind: str, data: Any, size: int, created: datetime) -> None:
    """Direct or through Pub/Sub, with 64-bit numbers as text or as numbers; of Pub/Sub's attributes the object is known even without a payload."""
    assert events.object_named(kind, data) == NAMED
    assert events.object_written(kind, data) == ObjectWritten(*NAMED, generation=GENERATION, size=size, created=created)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        *((f"google.cloud.storage.object.v1.{kind}", resource()) for kind in ("deleted", "archived", "metadataUpdated", "somethingNew")),
        ("google.cloud.storage.object.v1.deleted", b"not even JSON"),
        *(
            (MESSAGE, through_pubsub(eventType=kind))
            for kind in ("OBJECT_DELETE", "OBJECT_ARCHIVE", "OBJECT_METADATA_UPDATE", "OBJECT_SOMETHING_NEW", "")
        ),
    ],
)
def test_what_else_happens_to_objects_means_nothing(kind: str, data: Any) -> None:
    """A subscription may carry every event of a bucket; those about no new object are no fault."""
    assert events.object_named(kind, data) is None


@pytest.mark.parametrize(
    ("kind", "data", "told"),
    [
        ("google.cloud.audit.log.v1.written", {}, "not-storage"),
        ("google.cloud.storage.bucket.v1.created", resource(), "not-storage"),
        ("", resource(), "not-storage"),
        (5, resource(), "not-storage"),
        (["google.cloud.storage.object.v1.finalized"], resource(), "not-storage"),
        (None, resource(), "not-storage"),
        (FINALIZED, b"{", "not-storage"),
        (FINALIZED, None, "not-storage"),
        (FINALIZED, [resource()], "not-storage"),
        (FINALIZED, {}, "wrong-type"),
        (FINALIZED, resource() | {"bucket": None}, "wrong-type"),
        (FINALIZED, resource() | {"name": 7}, "wrong-type"),
        (FINALIZED, resource(name=""), "wrong-type"),
        (MESSAGE, b"{", "not-pubsub"),
        (MESSAGE, {"message": []}, "not-pubsub"),
        (MESSAGE, body(encode(payload()), attributes()), "no-event-type"),
        (MESSAGE, body(b"{}", None), "no-event-type"),
        (MESSAGE, {"message": {"attributes": "text"}}, "no-event-type"),
        (MESSAGE, through_pubsub(eventType=7), "no-event-type"),
        (MESSAGE, through_pubsub(bucketId=None), "wrong-type"),
        (MESSAGE, through_pubsub(bucketId=""), "wrong-type"),
        (MESSAGE, through_pubsub(objectId=None), "wrong-type"),
        (MESSAGE, through_pubsub(objectId=["runs"]), "wrong-type"),
    ],
)
def test_what_is_no_storage_event_is_refused_by_kind(kind: str, data: Any, told: str) -> None:
    """A name is all that is asked for at first, and it has to be there."""
    with pytest.raises(EventRejected) as refused:
        events.object_named(kind, data)
    assert refused.value.kind == told


@pytest.mark.parametrize(
    ("kind", "data", "told"),
    [
        (FINALIZED, resource(generation=None), "wrong-type"),
        (FINALIZED, resource(generation="0"), "wrong-type"),
        (FINALIZED, resource(generation=True), "wrong-type"),
        (FINALIZED, resource(generation=1.5), "wrong-type"),
        (FINALIZED, resource(generation="-1"), "wrong-type"),
        (FINALIZED, resource(generation="1e3"), "wrong-type"),
        (FINALIZED, resource(generation="\u0661"), "wrong-type"),
        (FINALIZED, resource(generation=2**63), "wrong-type"),
        (FINALIZED, resource(generation="9" * 5000), "wrong-type"),
        (FINALIZED, resource(size=-1), "wrong-type"),
        (FINALIZED, resource(size="many"), "wrong-type"),
        (FINALIZED, resource(timeCreated=None), "wrong-type"),
        (FINALIZED, resource(timeCreated="2026-11-20T12:00:00"), "wrong-type"),
        (FINALIZED, resource(timeCreated=1763639998), "wrong-type"),
        (MESSAGE, through_pubsub(objectGeneration=None), "wrong-type"),
        (MESSAGE, through_pubsub(objectGeneration="x"), "wrong-type"),
        (MESSAGE, through_pubsub(eventTime=None), "wrong-type"),
        (MESSAGE, through_pubsub(encode(resource(size=None))), "wrong-type"),
        (MESSAGE, through_pubsub(b"\xff"), "not-utf8"),
        (MESSAGE, through_pubsub(b"{"), "not-json"),
        (MESSAGE, through_pubsub(b"[" * 100_000), "not-json"),
        (MESSAGE, through_pubsub(b'{"size": ' + b"9" * 5000 + b"}"), "not-json"),
        (MESSAGE, through_pubsub(b"[]"), "not-object"),
    ],
)
def test_a_match_that_cannot_be_read_is_refused_by_kind(kind: str, data: Any, told: str) -> None:
    """The rest is only decoded of an event whose name may mean something."""
    assert events.object_named(kind, data) == NAMED
    with pytest.raises(EventRejected) as refused:
        events.object_written(kind, data)
    assert refused.value.kind == told


def test_a_payload_that_is_not_base64() -> None:
    """It is refused, although the attributes would do."""
    whole = through_pubsub(b"{}")
    whole["message"]["data"] = "%%%"
    with pytest.raises(EventRejected) as refused:
        events.object_written(MESSAGE, whole)
    assert refused.value.kind == "not-base64"


anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.integers() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.sampled_from([FINALIZED, MESSAGE]),
    st.one_of(
        anything, st.builds(lambda more: resource() | more, st.dictionaries(st.sampled_from(sorted(resource())), anything, max_size=3))
    ),
    st.dictionaries(st.sampled_from(sorted(storage_attributes())), anything, max_size=3),
    st.one_of(st.none(), st.binary(max_size=20), anything.map(encode)),
)
def test_any_storage_event_is_taken_or_refused(kind: str, direct: Any, labels: dict[str, Any], data: bytes | None) -> None:
    """Nothing but a refusal comes back, whatever stands in the event."""
    event = direct if kind == FINALIZED else through_pubsub(data, **labels)
    with contextlib.suppress(EventRejected):
        if events.object_named(kind, event):
            assert events.object_written(kind, event).generation > 0
