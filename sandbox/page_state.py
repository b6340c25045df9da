"""What the page shows, as plain JSON: every text in it is data, and none of it is markup."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sandbox import training
from sandbox.cloud import ARTIFACTS_BUCKET, STATE_BUCKET, Sandbox
from sandbox.estate import month_start
from sandbox.faults import Fault
from sandbox.functions import SERVICES, Functions
from sandbox.slack_view import view
from sandbox.slack_wire import moment
from sandbox.storage_state import Stored
from shared.slack.text import plural, volume

LOG_LINES = 40
_MESSAGES = 60
_LINE = 500
_SPARED = {"protected", "the watchdog", "function"}


def state(sandbox: Sandbox, functions: Functions | None) -> dict[str, Any]:
    """Everything at this moment: the sandbox, and the functions that work on it, if any."""
    now = datetime.now(UTC)
    running = [_resource(each) for each in sandbox.run.snapshot()]
    running.sort(key=lambda each: (_rank(each), each["name"], each["region"]))
    buckets = sandbox.storage.snapshot()
    return {
        "project": sandbox.project,
        "time": f"{now:%H:%M:%S} UTC",
        "services": [each for each in running if each["kind"] == "service"],
        "pools": [each for each in running if each["kind"] != "service"],
        "artifacts": next(_artifacts(sandbox, bucket) for bucket in buckets if bucket["name"] == ARTIFACTS_BUCKET),
        "budgets": [_budget(each, now) for each in sandbox.budgets.snapshot()],
        "buckets": [{key: bucket[key] for key in ("name", "objects", "bytes")} for bucket in buckets],
        "journal": [each for bucket in buckets if bucket["name"] == STATE_BUCKET for each in bucket["newest"]],
        **_slack(sandbox.slack.snapshot()),
        "functions": [_function(functions, target) for target in functions.by_target] if functions else [],
        "faults": [fault_words(fault) for fault in sandbox.faults.in_force().values()],
    }


def fault_words(fault: Fault) -> str:
    """A fault in a few words."""
    what = (
        "the answer is lost" if fault.drop_answer else f"status {fault.status}" if fault.status is not None else f"{fault.delay:g} s late"
    )
    times = "every call" if fault.times is None else "the next call" if fault.times == 1 else f"the next {fault.times} calls"
    return f"{fault.method}: {what}, {times}{f', where {fault.match!r} occurs' if fault.match else ''}"


def _resource(each: dict[str, Any]) -> dict[str, Any]:
    labels = each["labels"]
    badges = [
        badge
        for badge, applies in {
            "production": labels.get("env") == "prod",
            "dev": labels.get("env") == "dev",
            "protected": labels.get("cost-watchdog") == "protect",
            "the watchdog": each["name"] in SERVICES.values(),
            "function": each["function"] and each["name"] not in SERVICES.values(),
            "GPU": bool(each["gpu"]),
            "tagged": bool(each["tags"]),
            "instance-based": each["kind"] == "service" and not each["cpu_idle"] and not each["gpu"],
        }.items()
        if applies
    ]
    return {
        "key": each["resource"],
        "kind": each["kind"],
        "name": each["name"],
        "region": each["region"],
        "env": labels.get("env", ""),
        "state": _state(each),
        "instances": each["instances"],
        "scaling": _scaling(each),
        "badges": badges,
        "changing": each["reconciling"],
        "details": [[name, text] for name, text in _details(each) if text],
    }


def _rank(each: dict[str, Any]) -> int:
    """What is parked first comes first."""
    if _SPARED.intersection(each["badges"]):
        return 2
    return {"staging": 0, "dev": 1}.get(each["env"], 3)


def _state(each: dict[str, Any]) -> str:
    if each["instances"]:
        return "warm"
    return "stopped" if each["mode"] == "MANUAL" else "idle"


def _scaling(each: dict[str, Any]) -> str:
    if each["mode"] == "MANUAL":
        return f"manual {each['manual_count']}"
    revision = f" (rev. {each['revision_min']})" if each["revision_min"] else ""
    return f"min {each['min']}{revision} · max {each['max'] or 'unset'}"


def _details(each: dict[str, Any]) -> Iterable[tuple[str, str]]:
    yield "Scaling", f"{'manual' if each['mode'] == 'MANUAL' else 'automatic'}: {_scaling(each)}"
    yield "Running", ", ".join(f"{name}: {count}" for name, count in each["revisions"].items()) or "nothing"
    yield "Labels", ", ".join(f"{name}={text}" for name, text in sorted(each["labels"].items()))
    yield "Tags", ", ".join(f"{tag}: {revision or 'latest'}" for tag, revision in each["tags"].items())
    yield "GPU", each["gpu"]
    yield "Billing", "" if each["kind"] != "service" else "request-based" if each["cpu_idle"] else "instance-based"
    yield "Last changed by", each["last_modifier"]
    yield "Resource", each["resource"]


def _artifacts(sandbox: Sandbox, bucket: dict[str, Any]) -> dict[str, Any]:
    """The bucket of the training runs, and each of them."""
    return {
        "name": bucket["name"],
        "live": _amount(bucket["objects"], bucket["bytes"]),
        "deleted": f"{bucket['soft_deleted_objects']:,} soft-deleted, {volume(bucket['soft_deleted_bytes'])}",
        "runs": [_training_run(run) for run in training.seen(sandbox.storage)],
    }


def _training_run(run: training.Seen) -> dict[str, Any]:
    size, deleted_size = _size(run.live), _size(run.deleted)
    emptied = run.state == "failed" and deleted_size > size
    amount = _amount(len(run.live), size)
    tops = Counter(each.name.removeprefix(run.folder).partition("/")[0] for each in run.live)
    deleted = f"{len(run.deleted):,} soft-deleted, {volume(deleted_size)}" if run.deleted else ""
    details = {
        "State": run.state,
        "Artifacts": f"{amount}{f'; {deleted}' if deleted else ''}",
        "Objects": ", ".join(f"{count} in {name}/" if count > 1 else name for name, count in sorted(tops.items())),
        "Folder": f"gs://{ARTIFACTS_BUCKET}/{run.folder}",
    }
    return {
        "key": run.folder,
        "kind": "run",
        "name": run.name,
        "group": f"experiment {run.experiment}" if run.experiment else "runs/",
        "state": "deleted" if emptied else run.state,
        "amount": amount,
        "deleted": deleted,
        "badges": ["promoted"] if run.promoted else [],
        "details": [[name, text] for name, text in details.items() if text],
    }


def _size(objects: Iterable[Stored]) -> int:
    return sum(each.size for each in objects)


def _amount(objects: int, size: int) -> str:
    return f"{plural(objects, 'object')}, {volume(size)}"


def _budget(each: dict[str, Any], now: datetime) -> dict[str, Any]:
    period = datetime.fromisoformat(each["period_start"])
    following = month_start(period, 1)
    kept = {key: each[key] for key in ("id", "name", "amount", "spent", "forecast", "currency", "thresholds")}
    return {**kept, "month": _month(period), "next_month": _month(following) if following <= now else ""}


def _month(period: datetime) -> str:
    return f"{period:%B %Y}"  # it begins at 07:00 or 08:00 UTC, on the same day


def _slack(snapshot: dict[str, Any]) -> dict[str, Any]:
    """Who is in the workspace, and what its channels show: messages, and in their order what single persons see."""
    names = {each["id"]: each["name"] for each in snapshot["people"]}
    return {"people": snapshot["people"], "slack": [_channel(each, names) for each in snapshot["channels"]]}


def _channel(channel: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    private = [_private(each, each["message_ts"], names) for each in channel["ephemerals"]]
    private += [{**_private(each, each["ts"], names), "failed": True} for each in channel["failures"]]
    parents = {each["ts"] for each in channel["messages"]}
    messages = [_message(each, [one for one in private if one["thread"] == each["ts"]]) for each in channel["messages"]]
    messages += [each for each in private if each["thread"] not in parents]
    return {"id": channel["id"], "name": channel["name"], "messages": _sorted(messages)[-_MESSAGES:]}


def _message(message: dict[str, Any], private: list[dict[str, Any]]) -> dict[str, Any]:
    """A message and its thread."""
    replies = [_entry(each, each["ts"]) for each in message["replies"]]
    return {**_entry(message, message["ts"]), "replies": _sorted([*replies, *private])}


def _private(message: dict[str, Any], ts: str, names: dict[str, str]) -> dict[str, Any]:
    user = message["user"]
    return {**_entry(message, ts), "user": user, "only_for": names.get(user, user), "thread": message.get("thread_ts", "")}


def _entry(message: dict[str, Any], ts: str) -> dict[str, Any]:
    return {
        "ts": ts,
        "time": f"{datetime.fromtimestamp(float(ts), UTC):%H:%M:%S}",
        "parts": view(message),
        "edited": "edited" in message,
        "broadcast": message.get("subtype") == "thread_broadcast",
        "replies": [],
    }


def _sorted(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(entries, key=lambda entry: moment(entry["ts"]))


def _function(functions: Functions, target: str) -> dict[str, Any]:
    function = functions.by_target[target]
    return {"target": target, "alive": function.alive, "lines": [log_line(line) for line in function.tail(LOG_LINES)]}


def log_line(line: str) -> dict[str, str]:
    """A line of a function's log: its severity and message where it is structured, and as it is where it is not."""
    try:
        said = json.loads(line)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        said = {"message": line}
    first, *more = str(said.get("message", line)).splitlines() or [""]
    return {"severity": str(said.get("severity", "DEFAULT")), "message": f"{first} … {more[-1]}"[:_LINE] if more else first[:_LINE]}
