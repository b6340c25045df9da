"""What Cloud Monitoring has measured: https://cloud.google.com/monitoring/api/ref_v3/rpc/google.monitoring.v3.

Google adds up on its side, so that a project costs one query for each metric, however many services and buckets it has. The metrics:
https://cloud.google.com/monitoring/api/metrics_gcp_p_z.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shared.audit.seen import USAGE_WINDOW, Stock, StockKind, Usage
from shared.cloud.channel import connect
from shared.cloud.errors import translated
from shared.cloud.lazy import Lazy
from shared.cloud.run_calls import read_options

_PAGE = 10_000
_SERVICE = ("resource.labels.service_name", "resource.labels.location")
_BUCKET = ("resource.labels.bucket_name", "metric.labels.storage_class", "metric.labels.type")
_SUBSCRIPTION = ("resource.labels.subscription_id",)
_KINDS: Mapping[str, StockKind] = {
    "live-object": "live",
    "noncurrent-object": "noncurrent",
    "soft-deleted-object": "soft_deleted",
    "multipart-upload": "multipart",
}
_STANDARD = frozenset({"STANDARD", "REGIONAL", "MULTI_REGIONAL", "DURABLE_REDUCED_AVAILABILITY"})
_MEASURED = timedelta(days=3)
"""Buckets are measured once a day, and it may take hours until that is told."""
_WAITING = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class _Query:
    """One metric, as it is added up.

    Attributes:
        metric: Its type.
        span: How far back it is asked for.
        period: What one point is made of.
        aligner: How points of one series become one, a name of ``Aggregation.Aligner``.
        reducer: How series become one, a name of ``Aggregation.Reducer``.
        by: The labels that stay apart.
    """

    metric: str
    span: timedelta
    period: timedelta
    aligner: str
    reducer: str
    by: tuple[str, ...]


_REQUESTS = _Query("run.googleapis.com/request_count", USAGE_WINDOW, USAGE_WINDOW, "ALIGN_DELTA", "REDUCE_SUM", _SERVICE)
_BILLABLE = _Query("run.googleapis.com/container/billable_instance_time", USAGE_WINDOW, USAGE_WINDOW, "ALIGN_DELTA", "REDUCE_SUM", _SERVICE)
_CPU = _Query("run.googleapis.com/container/cpu/utilizations", USAGE_WINDOW, USAGE_WINDOW, "ALIGN_PERCENTILE_99", "REDUCE_MAX", _SERVICE)
_MEMORY = _Query(
    "run.googleapis.com/container/memory/utilizations", USAGE_WINDOW, USAGE_WINDOW, "ALIGN_PERCENTILE_99", "REDUCE_MAX", _SERVICE
)
_STORED = _Query("storage.googleapis.com/storage/v2/total_bytes", _MEASURED, timedelta(days=1), "ALIGN_NEXT_OLDER", "REDUCE_SUM", _BUCKET)
_UNDELIVERED = _Query(
    "pubsub.googleapis.com/subscription/num_undelivered_messages", _WAITING, _WAITING, "ALIGN_NEXT_OLDER", "REDUCE_SUM", _SUBSCRIPTION
)


class CloudMonitoring:
    """Fulfils `shared.audit.sight.Metrics`. All methods may be called from several threads."""

    def __init__(self, emulator: str | None = None) -> None:
        """Nothing is connected before the first call.

        Args:
            emulator: ``host:port`` of a plaintext server; None is Google's own.
        """
        self._metrics = Lazy(lambda: connect("google.cloud.monitoring_v3", "MetricServiceClient", emulator))

    def usage(self, project: str, now: datetime) -> Mapping[str, Usage]:
        """By full name, what each Cloud Run service of the project did; four queries."""
        answered, billable, cpu, memory = (
            {
                (series.resource.labels["location"], series.resource.labels["service_name"]): series
                for series in self._asked(project, query, now)
            }
            for query in (_REQUESTS, _BILLABLE, _CPU, _MEMORY)
        )
        return {
            f"projects/{project}/locations/{place}/services/{name}": Usage(
                requests=int(_sum(answered.get((place, name)))),
                billable_seconds=_sum(billable.get((place, name))),
                cpu=_most(cpu.get((place, name))),
                memory=_most(memory.get((place, name))),
            )
            for place, name in sorted({*answered, *billable, *cpu, *memory})
        }

    def stocks(self, project: str, now: datetime) -> Mapping[str, Sequence[Stock]]:
        """By bucket, how much each holds by kind and storage class; kinds that are not known here are left out."""
        found: dict[str, dict[tuple[StockKind, str], int]] = {}
        for series in self._asked(project, _STORED, now):
            kind = _KINDS.get(series.metric.labels["type"])
            storage_class = series.metric.labels["storage_class"]
            if kind is None or not series.points:
                continue
            parts = found.setdefault(series.resource.labels["bucket_name"], {})
            key = (kind, "STANDARD" if storage_class in _STANDARD else storage_class)
            parts[key] = parts.get(key, 0) + int(_value(_newest(series)))
        return {
            bucket: [Stock(kind, name, size) for (kind, name), size in sorted(parts.items())] for bucket, parts in sorted(found.items())
        }

    def undelivered(self, project: str, now: datetime) -> Mapping[str, int]:
        """By full name, how many messages wait in each subscription."""
        return {
            f"projects/{project}/subscriptions/{series.resource.labels['subscription_id']}": int(_value(_newest(series)))
            for series in self._asked(project, _UNDELIVERED, now)
            if series.points
        }

    def _asked(self, project: str, query: _Query, now: datetime) -> Iterator[Any]:
        """The series of a metric, over all pages."""
        request = {
            "name": f"projects/{project}",
            "filter": f'metric.type = "{query.metric}"',
            "interval": {"start_time": now - query.span, "end_time": now},
            "aggregation": {
                "alignment_period": query.period,
                "per_series_aligner": query.aligner,
                "cross_series_reducer": query.reducer,
                "group_by_fields": list(query.by),
            },
            "page_size": _PAGE,
        }
        with translated(f"projects/{project}/timeSeries"):
            pager = self._metrics().list_time_series(request, **read_options())
            found = [series for page in pager.pages for series in type(page).pb(page).time_series]
        return iter(found)


def _newest(series: Any) -> Any:
    return max(series.points, key=lambda point: (point.interval.end_time.seconds, point.interval.end_time.nanos))


def _sum(series: Any | None) -> float:
    return sum(_value(point) for point in series.points) if series else 0.0


def _most(series: Any | None) -> float | None:
    return max((_value(point) for point in series.points), default=None) if series else None


def _value(point: Any) -> float:
    return float(getattr(point.value, point.value.WhichOneof("value")))
