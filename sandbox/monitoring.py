"""Cloud Monitoring over gRPC: time series of a few metrics, added up as they are asked for.

https://cloud.google.com/monitoring/api/ref_v3/rpc/google.monitoring.v3
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import fmean
from types import MappingProxyType
from typing import Any, Literal

import grpc
from google.api import metric_pb2, monitored_resource_pb2
from google.cloud import monitoring_v3

from sandbox.faults import Faults
from sandbox.grpc_errors import invalid, not_found, unary

_AGGREGATION = monitoring_v3.Aggregation.pb()
_TypedValue = monitoring_v3.TypedValue.pb()
_PAGE, _LARGEST = 100_000, 100_000
_FILTER = re.compile(r'metric\.type\s*=\s*"([^"]+)"')
Labels = Mapping[str, str]
Value = float | tuple[float, ...]
"""A number, or the samples of a distribution."""


@dataclass(frozen=True)
class _Metric:
    """What a metric is: https://cloud.google.com/monitoring/api/metrics_gcp_p_z."""

    kind: Literal["GAUGE", "DELTA"]
    value: Literal["INT64", "DOUBLE", "DISTRIBUTION"]
    resource: str
    resource_labels: frozenset[str]
    labels: frozenset[str] = frozenset()


_RUN = frozenset({"project_id", "service_name", "revision_name", "location", "configuration_name"})
METRICS: Mapping[str, _Metric] = MappingProxyType(
    {
        "run.googleapis.com/request_count": _Metric(
            "DELTA", "INT64", "cloud_run_revision", _RUN, frozenset({"response_code", "response_code_class"})
        ),
        "run.googleapis.com/container/billable_instance_time": _Metric("DELTA", "DOUBLE", "cloud_run_revision", _RUN),
        "run.googleapis.com/container/cpu/utilizations": _Metric("DELTA", "DISTRIBUTION", "cloud_run_revision", _RUN),
        "run.googleapis.com/container/memory/utilizations": _Metric("DELTA", "DISTRIBUTION", "cloud_run_revision", _RUN),
        "storage.googleapis.com/storage/v2/total_bytes": _Metric(
            "GAUGE", "DOUBLE", "gcs_bucket", frozenset({"project_id", "bucket_name", "location"}), frozenset({"storage_class", "type"})
        ),
        "pubsub.googleapis.com/subscription/num_undelivered_messages": _Metric(
            "GAUGE", "INT64", "pubsub_subscription", frozenset({"project_id", "subscription_id"})
        ),
    }
)

_PERCENTILES = {f"ALIGN_PERCENTILE_{share:02}": share / 100 for share in (99, 95, 50, 5)}
_NUMBERS: Mapping[str, Callable[[list[float]], float]] = MappingProxyType(
    {"ALIGN_SUM": sum, "ALIGN_MAX": max, "ALIGN_MIN": min, "ALIGN_MEAN": fmean, "ALIGN_NEXT_OLDER": lambda values: values[-1]}
)
_REDUCERS: Mapping[str, Callable[[Iterable[float]], float]] = MappingProxyType(
    {"REDUCE_SUM": sum, "REDUCE_MAX": max, "REDUCE_MIN": min, "REDUCE_MEAN": lambda values: fmean(list(values))}
)


@dataclass(frozen=True)
class _Series:
    metric: str
    project: str
    resource: tuple[tuple[str, str], ...]
    labels: tuple[tuple[str, str], ...]


class Monitoring:
    """The points that were recorded.

    Args:
        faults: Asked under ``ListTimeSeries``, by project.
    """

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._lock = threading.Lock()
        self._points: dict[_Series, list[tuple[datetime, Value]]] = {}

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        """The gRPC service ``google.monitoring.v3.MetricService``, as far as it is asked."""
        request = monitoring_v3.ListTimeSeriesRequest.pb()
        table = {"ListTimeSeries": unary(self._faults, "ListTimeSeries", request, lambda asked: asked.name, self._list)}
        return [grpc.method_handlers_generic_handler("google.monitoring.v3.MetricService", table)]

    # what is measured

    def record(self, project: str, metric: str, resource: Labels, labels: Labels, value: Value, at: datetime) -> None:
        """Record a point of a metric that there is.

        Raises:
            ValueError: The labels are not those of the metric, or the value is not of its type.
        """
        known = METRICS[metric]
        if not set(resource) <= known.resource_labels or set(labels) - known.labels:
            raise ValueError(f"{metric} has the labels {sorted(known.resource_labels)} and {sorted(known.labels)}.")
        if isinstance(value, tuple) != (known.value == "DISTRIBUTION"):
            raise ValueError(f"{metric} has values of the type {known.value}.")
        series = _Series(metric, project, tuple(sorted({"project_id": project, **resource}.items())), tuple(sorted(labels.items())))
        with self._lock:
            self._points.setdefault(series, []).append((at, value))

    def serve(
        self,
        service: str,
        at: datetime,
        *,
        requests: int = 0,
        billable_seconds: float = 0.0,
        cpu: float | None = None,
        memory: float | None = None,
    ) -> None:
        """Let a service, by its full name, have answered requests and used its instances within the minute before."""
        _, project, _, location, _, name = service.split("/")
        resource = {"service_name": name, "location": location, "revision_name": f"{name}-00001", "configuration_name": name}
        if requests:
            code = {"response_code": "200", "response_code_class": "2xx"}
            self.record(project, "run.googleapis.com/request_count", resource, code, float(requests), at)
        if billable_seconds:
            self.record(project, "run.googleapis.com/container/billable_instance_time", resource, {}, billable_seconds, at)
        for metric, share in (("cpu", cpu), ("memory", memory)):
            if share is not None:
                self.record(project, f"run.googleapis.com/container/{metric}/utilizations", resource, {}, (share,), at)

    def store(
        self, project: str, bucket: str, kind: str, storage_class: str, size: int, at: datetime, location: str = "us-central1"
    ) -> None:
        """Let a bucket have been measured; `kind` is ``live-object``, ``noncurrent-object``, ``soft-deleted-object`` or ``multipart-upload``."""
        resource = {"bucket_name": bucket, "location": location}
        labels = {"storage_class": storage_class, "type": kind}
        self.record(project, "storage.googleapis.com/storage/v2/total_bytes", resource, labels, float(size), at)

    def wait(self, subscription: str, messages: int, at: datetime) -> None:
        """Let messages wait in a subscription, by its full name."""
        _, project, _, name = subscription.split("/")
        metric = "pubsub.googleapis.com/subscription/num_undelivered_messages"
        self.record(project, metric, {"subscription_id": name}, {}, float(messages), at)

    # how it is asked

    def _list(self, request: Any, _context: Any) -> Any:
        kind, _, project = request.name.partition("/")
        if kind != "projects" or not project or "/" in project:
            raise invalid(f"Name {request.name!r} must be projects/ID.")
        match = _FILTER.fullmatch(request.filter.strip())
        if not match:
            raise invalid(f'The filter {request.filter!r} has to be metric.type = "...", which is all that this stand-in understands.')
        if match[1] not in METRICS:
            raise not_found(f"Cannot find metric(s) that match type = {match[1]!r}.")
        known = METRICS[match[1]]
        start, end = _interval(request)
        by = _checked(request.aggregation, known)
        groups: dict[tuple[tuple[str, str], ...], list[dict[datetime, float]]] = {}
        with self._lock:
            for series, points in self._points.items():
                if series.metric == match[1] and series.project == project:
                    labels = {**{f"resource.labels.{key}": value for key, value in series.resource}}
                    labels |= {f"metric.labels.{key}": value for key, value in series.labels}
                    aligned = _aligned(points, start, end, request.aggregation)
                    if aligned:
                        groups.setdefault(tuple((key, labels.get(key, "")) for key in by), []).append(aligned)
        answer = monitoring_v3.ListTimeSeriesResponse.pb()()
        keys = sorted(groups)
        if request.page_token and not request.page_token.isdigit():
            raise invalid(f"The page token {request.page_token!r} is not one of this listing.")
        first, size = int(request.page_token or 0), min(request.page_size or _PAGE, _LARGEST)
        for key in keys[first : first + size]:
            answer.time_series.append(_series_of(match[1], known, key, _reduced(groups[key], request.aggregation), request.aggregation))
        answer.next_page_token = str(first + size) if len(keys) > first + size else ""
        return answer


def _interval(request: Any) -> tuple[datetime, datetime]:
    if not request.interval.HasField("end_time"):
        raise invalid("Field interval.endTime had an invalid value: the end of the interval is needed.")
    end = request.interval.end_time.ToDatetime(UTC)
    start = request.interval.start_time.ToDatetime(UTC) if request.interval.HasField("start_time") else end
    if start > end:
        raise invalid("Field interval.startTime had an invalid value: it is after the end of the interval.")
    return start, end


def _checked(aggregation: Any, known: _Metric) -> tuple[str, ...]:
    """The labels that stay apart, after everything has been checked that Google refuses."""
    aligner, reducer = _aligner(aggregation), _AGGREGATION.Reducer.Name(aggregation.cross_series_reducer)
    if aligner == "ALIGN_NONE":
        raise invalid("This stand-in only answers what is aligned: name a per-series aligner.")
    if aggregation.alignment_period.ToTimedelta() < timedelta(minutes=1):
        raise invalid("Field aggregation.alignmentPeriod had an invalid value: it has to be 60 s at least.")
    distribution = known.value == "DISTRIBUTION"
    fits = aligner in _PERCENTILES if distribution else aligner in _NUMBERS or (aligner == "ALIGN_DELTA" and known.kind == "DELTA")
    if not fits or (aligner == "ALIGN_NEXT_OLDER" and known.kind != "GAUGE"):
        raise invalid(
            f"Field aggregation.perSeriesAligner had an invalid value of {aligner!r}: it does not fit {known.kind} {known.value}."
        )
    if reducer not in _REDUCERS:
        raise invalid(f"The reducer {reducer!r} is not known to this stand-in.")
    for each in aggregation.group_by_fields:
        part, _, label = each.rpartition(".")
        if label not in {"resource.labels": known.resource_labels, "metric.labels": known.labels}.get(part, frozenset()):
            raise invalid(f"Field aggregation.groupByFields had an invalid value of {each!r}: the metric has no such label.")
    return tuple(aggregation.group_by_fields)


def _aligner(aggregation: Any) -> str:
    return str(_AGGREGATION.Aligner.Name(aggregation.per_series_aligner))


def _aligned(points: Iterable[tuple[datetime, Value]], start: datetime, end: datetime, aggregation: Any) -> dict[datetime, float]:
    """One number for each period that has points; periods are counted back from the end of the interval."""
    period, aligner = aggregation.alignment_period.ToTimedelta(), _aligner(aggregation)
    periods: dict[datetime, list[Value]] = {}
    for at, value in sorted(points, key=lambda each: each[0]):
        if start < at <= end:
            periods.setdefault(end - ((end - at) // period) * period, []).append(value)
    if aligner in _PERCENTILES:
        samples = {to: sorted(sample for each in values for sample in each) for to, values in periods.items()}  # type: ignore[union-attr]
        return {to: some[min(len(some) - 1, int(_PERCENTILES[aligner] * len(some)))] for to, some in samples.items()}
    align = sum if aligner == "ALIGN_DELTA" else _NUMBERS[aligner]
    return {to: float(align(values)) for to, values in periods.items()}  # type: ignore[arg-type]


def _reduced(series: Iterable[dict[datetime, float]], aggregation: Any) -> dict[datetime, float]:
    reduce = _REDUCERS[_AGGREGATION.Reducer.Name(aggregation.cross_series_reducer)]
    together: dict[datetime, list[float]] = {}
    for each in series:
        for to, value in each.items():
            together.setdefault(to, []).append(value)
    return {to: reduce(values) for to, values in together.items()}


def _series_of(metric: str, known: _Metric, key: tuple[tuple[str, str], ...], points: dict[datetime, float], aggregation: Any) -> Any:
    def labels(part: str) -> dict[str, str]:
        return {name.removeprefix(f"{part}.labels."): value for name, value in key if name.startswith(f"{part}.")}

    made = monitoring_v3.TimeSeries.pb()(
        metric=metric_pb2.Metric(type=metric, labels=labels("metric")),
        resource=monitored_resource_pb2.MonitoredResource(type=known.resource, labels=labels("resource")),
    )
    for to, value in sorted(points.items(), reverse=True):  # the newest first, as Google does
        point = made.points.add()
        point.interval.end_time.FromDatetime(to)
        point.interval.start_time.FromDatetime(to - aggregation.alignment_period.ToTimedelta() if known.kind == "DELTA" else to)
        whole = known.value == "INT64"
        point.value.CopyFrom(_TypedValue(int64_value=int(value)) if whole else _TypedValue(double_value=value))
    return made
