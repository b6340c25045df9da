"""What the checks of storage have in common: rules of lifecycles, and how much a bucket holds."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any

from shared.audit.estate import Estate, Heap, Inventory
from shared.audit.seen import StockKind
from shared.model import Resource
from shared.prices_storage import LISTED, PER_GIB_MONTH


def buckets(estate: Estate) -> Iterator[Resource]:
    """The buckets that are not the watchdog's own."""
    return (bucket for bucket in estate.of_kind("bucket") if not bucket.facts.get("watchdog"))


def rules(bucket: Resource) -> list[dict[str, Any]]:
    """The bucket's lifecycle rules, as its resource has them."""
    return [json.loads(rule) for rule in bucket.state]


def does(rule: dict[str, Any], action: str, **condition: Any) -> bool:
    """Whether the rule has this action and its condition says at least this."""
    said = rule.get("condition", {})
    return bool(rule.get("action", {}).get("type") == action and all(said.get(key) == value for key, value in condition.items()))


def held(estate: Estate, bucket: str, kind: StockKind) -> dict[str, int]:
    """Bytes by storage class, as Cloud Monitoring measured them; what is listed where that is not known."""
    if estate.stocks is not None:
        return {stock.storage_class: stock.bytes for stock in estate.stocks.get(bucket, ()) if stock.kind == kind}
    inventory = estate.inventories.get(bucket)
    if inventory is None:
        return {}
    if kind == "noncurrent":
        return {name: heap.bytes for name, heap in inventory.noncurrent.items()}
    if kind != "live":
        return {}
    sums: dict[str, int] = {}
    for (name, _), heap in inventory.live.items():
        sums[name] = sums.get(name, 0) + heap.bytes
    return sums


def old(inventory: Inventory, storage_class: str, days: int) -> Heap:
    """The objects of a class that are so many days old or older."""
    return sum((heap for (name, age), heap in inventory.live.items() if name == storage_class and age >= days), Heap())


def partly(inventory: Inventory) -> str:
    """What has to be added where only a part was listed."""
    return "" if inventory.whole else f" in the part that was listed (up to {inventory.until})"


def priced(location: str) -> str:
    """What the prices are."""
    return f"list price of {location}" if location.lower() in PER_GIB_MONTH else f"list price of {LISTED}; {location} may be dearer"


def set_rules(bucket: Resource, *added: dict[str, Any]) -> str:
    """The command that adds rules to a bucket, which has to be given all of them."""
    written = json.dumps({"rule": [*rules(bucket), *added]})
    update = f"gcloud storage buckets update {shlex.quote(f'gs://{bucket.short_name}')} --lifecycle-file=lifecycle.json"
    return f"echo {shlex.quote(written)} > lifecycle.json\n{update}"
