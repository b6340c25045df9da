"""Every shape in which something arrives on the budget topic, and what is to come of it; `tests/events` holds each as it is posted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.envelopes import NOW, attributes, body, encode, headers, payload

NEXT_PERIOD = datetime(2026, 12, 1, 8, tzinfo=UTC)


@dataclass(frozen=True)
class Shape:
    """One message, and its answer where nothing else has arrived before.

    Attributes:
        name: In a few words; the file's name.
        body: What is posted; text is posted as it is, everything else as JSON.
        parks: Whether staging goes idle.
        told: What Slack's one message says; empty where nobody is told.
        published: When Pub/Sub got it.
    """

    name: str
    body: Any
    parks: bool = False
    told: str = ""
    published: datetime = NOW

    @property
    def event(self) -> dict[str, Any]:
        """As its file has it."""
        return {"headers": headers(published=self.published), "body": self.body}


def _status(name: str, cost: object, amount: object = 100, *, told: str = "", parks: bool = False, **more: Any) -> Shape:
    """A budget notification that is in order."""
    return Shape(name, body(encode(payload(cost, amount, **more)), attributes()), parks, told)


def _anomaly() -> Any:
    """A cost anomaly, which has a schema of its own: https://docs.cloud.google.com/billing/docs/how-to/anomaly-programmatic-notifications."""
    labels = {
        "SchemaVersion": "1.0",
        "billingAccountName": "billingAccounts/01D4EE-079462-DFD6EC",
        "resourceDisplayName": "acme-ml-staging",
        "resourceName": "projects/123456789012",
        "scope": "PROJECT",
    }
    data = {
        "anomalyName": "billingAccounts/01D4EE-079462-DFD6EC/anomalies/1",
        "expectedSpendAmount": {"currencyCode": "USD", "units": "0"},
        "deviationPercentage": "Infinity",
    }
    return body(encode(data), labels)


def _refused(name: str, kind: str, data: bytes | None, labels: dict[str, str] | None = None) -> Shape:
    """A Pub/Sub message that is no budget notification to act on."""
    return Shape(name, body(data, attributes() if labels is None else labels), told=f"NOT ACCEPTED: {kind}\n")


def _with_data(encoded: object) -> Any:
    whole = body(b"{}", attributes())
    whole["message"]["data"] = encoded
    return whole


IN_ORDER = (
    _status("below_every_step", 40),
    _status("without_thresholds", 82, told="passed 80 %", parks=True),
    _status("actual_threshold", 82, alertThresholdExceeded=0.8, told="passed 80 %", parks=True),
    _status("actual_threshold_ahead_of_the_cost", 79.6, alertThresholdExceeded=0.8, told="passed 80 %", parks=True),
    _status("forecast_threshold", 30, forecastThresholdExceeded=0.9, told="is forecast to pass 90 %"),
    _status("both_thresholds", 82, alertThresholdExceeded=0.8, forecastThresholdExceeded=1.0, told="passed 80 %", parks=True),
    _status("amount_zero", 82, 0),
    _status("amount_zero_with_a_threshold", 82, 0, alertThresholdExceeded=1.0, told="passed 80 %", parks=True),
    _status("numbers_as_strings", "82", "100", told="passed 80 %", parks=True),
    _status("whole_numbers", 82, 100, told="passed 80 %", parks=True),
    _status("credits_beyond_the_cost", -12.5),
    _status("unknown_keys", 82, somethingNew={"a": [1]}, told="passed 80 %", parks=True),
)
REFUSED = (
    Shape("anomaly", _anomaly(), told="NOT ACCEPTED: anomaly\n"),
    _refused("no_attributes", "no-budget-id", encode(payload()), {}),
    _refused("no_data", "no-data", None),
    Shape("not_base64", _with_data("%%%"), told="NOT ACCEPTED: not-base64\n"),
    Shape("data_that_is_a_number", _with_data(7), told="NOT ACCEPTED: wrong-type\n"),
    _refused("not_utf8", "not-utf8", b"\xff\xfe\x00"),
    _refused("not_json", "not-json", b"{costAmount: 82}"),
    _refused("not_an_object", "not-object", b"[82, 100]"),
    _refused("cost_is_a_word", "wrong-type", encode(payload("eighty"))),
    _refused("cost_is_missing", "wrong-type", encode(payload(None))),
    _refused("amount_is_a_list", "wrong-type", encode(payload(82, [100]))),
    _refused("amount_below_zero", "wrong-type", encode(payload(82, -100))),
    _refused("threshold_is_an_object", "wrong-type", encode(payload(alertThresholdExceeded={"percent": 80}))),
    _refused("period_without_a_zone", "wrong-type", encode(payload(costIntervalStart="2026-11-01T07:00:00"))),
    _refused("account_is_a_path", "wrong-type", encode(payload()), attributes(billingAccountId="../../holds")),
    _refused("nan", "not-finite", b'{"costAmount": NaN, "budgetAmount": 100}'),
    _refused("infinity", "not-finite", b'{"costAmount": Infinity, "budgetAmount": 100}'),
    _refused("infinity_as_a_string", "not-finite", encode(payload("-Infinity"))),
    _refused("larger_than_any_budget", "not-finite", encode(payload(10**30))),
    Shape("body_is_no_json", "this is no JSON", told="NOT ACCEPTED: not-pubsub\n"),
    Shape("body_is_a_list", [body(encode(payload()), attributes())], told="NOT ACCEPTED: not-pubsub\n"),
    Shape("body_without_a_message", {"subscription": "projects/p/subscriptions/s"}, told="NOT ACCEPTED: not-pubsub\n"),
    _refused("foreign_budget", "unknown-budget", encode(payload(budgetDisplayName="Marketing")), attributes(budgetId="b2")),
    _refused("foreign_billing_account", "foreign-account", encode(payload()), attributes(billingAccountId="0A0A0A-1B1B1B-2C2C2C")),
    _refused("period_to_come", "future-period", encode(payload(costIntervalStart="2027-11-01T07:00:00Z"))),
)
IN_TIME = (
    Shape("stale", body(encode(payload(82)), attributes(), published=NOW - timedelta(hours=7)), published=NOW - timedelta(hours=7)),
    _status("older_period", 130, costIntervalStart="2026-10-01T07:00:00Z", told="passed 80 %", parks=True),
    Shape(
        "next_period",
        body(encode(payload(1, costIntervalStart="2026-12-01T08:00:00Z")), attributes(), published=NEXT_PERIOD + timedelta(hours=2)),
        published=NEXT_PERIOD + timedelta(hours=2),
    ),
)
BY_NAME = {shape.name: shape for shape in (*IN_ORDER, *REFUSED, *IN_TIME)}
