"""Executions of Cloud Run jobs through the Admin API v2.

https://cloud.google.com/run/docs/reference/rpc/google.cloud.run.v2#executions
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from typing import Any

from shared.audit.seen import Execution
from shared.cloud import run_calls
from shared.cloud.channel import connect
from shared.cloud.errors import translated
from shared.cloud.lazy import Lazy
from shared.cloud.run_containers import template_facts
from shared.model import Place


class CloudRunExecutions:
    """Fulfils `shared.audit.sight.Executions`. All methods may be called from several threads."""

    def __init__(self, emulator: str | None = None) -> None:
        """Nothing is connected before the first call.

        Args:
            emulator: ``host:port`` of a plaintext server; None is Google's own.
        """
        self._executions = Lazy(lambda: connect("google.cloud.run_v2", "ExecutionsClient", emulator))

    def running(self, place: Place) -> Sequence[Execution]:
        """Those of all jobs of the place that have not ended, over all pages: in which order they come is not documented, so none is left out."""
        parent = f"projects/{place.project}/locations/{place.region}/jobs/-"
        found: list[Execution] = []
        with translated(parent):
            pager = self._executions().list_executions({"parent": parent, "page_size": run_calls.PAGE_SIZE}, **run_calls.read_options())
            for page in pager.pages:
                found += [execution_of(each) for each in type(page).pb(page).executions if not each.HasField("completion_time")]
        return found


def execution_of(execution: Any) -> Execution:
    """An execution as an audit sees it.

    Args:
        execution: The protobuf message of a ``google.cloud.run.v2.Execution``.
    """
    facts = template_facts(execution.template)
    return Execution(
        name=execution.name,
        labels=dict(execution.labels),
        created=execution.create_time.ToDatetime(UTC),
        running=execution.running_count,
        cpu=facts["cpu"],
        memory_gib=facts["memory_gib"],
        gpu=facts["gpu"],
        gpu_zonal_redundancy=facts["gpu_zonal_redundancy"],
    )
