"""Cloud Run's executions of jobs over gRPC, as far as an audit asks for them.

https://cloud.google.com/run/docs/reference/rpc/google.cloud.run.v2#executions
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import grpc
from google.cloud import run_v2

from sandbox.faults import Faults
from sandbox.grpc_errors import invalid, not_found, unary

_PARENT = re.compile(r"projects/[^/]+/locations/(?!-/)[^/]+/jobs/[^/]+")
_PAGE, _LARGEST = 100, 1_000


class Jobs:
    """The executions that there are.

    Args:
        faults: Asked under ``ListExecutions`` and ``GetExecution``.
    """

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._lock = threading.Lock()
        self._executions: dict[str, Any] = {}

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        """The gRPC service ``google.cloud.run.v2.Executions``, its reading half."""
        table = {
            "GetExecution": unary(self._faults, "GetExecution", run_v2.GetExecutionRequest.pb(), lambda request: request.name, self._get),
            "ListExecutions": unary(
                self._faults, "ListExecutions", run_v2.ListExecutionsRequest.pb(), lambda request: request.parent, self._list
            ),
        }
        return [grpc.method_handlers_generic_handler("google.cloud.run.v2.Executions", table)]

    def add(
        self,
        project: str,
        region: str,
        job: str,
        execution: str,
        *,
        created: datetime,
        completed: datetime | None = None,
        running: int = 1,
        labels: Mapping[str, str] | None = None,
        limits: Mapping[str, str] | None = None,
        gpu: str = "",
    ) -> str:
        """Let there be an execution; gives its name. One that is completed runs no tasks."""
        name = f"projects/{project}/locations/{region}/jobs/{job}/executions/{execution}"
        made = run_v2.Execution.pb()(name=name, job=f"projects/{project}/locations/{region}/jobs/{job}", labels=labels or {})
        made.create_time.FromDatetime(created)
        if completed:
            made.completion_time.FromDatetime(completed)
        else:
            made.running_count = running
        container = made.template.containers.add()
        container.resources.limits.update(limits or {"cpu": "1", "memory": "512Mi"})
        made.template.node_selector.accelerator = gpu
        with self._lock:
            self._executions[name] = made
        return name

    def _get(self, request: Any, _context: Any) -> Any:
        with self._lock:
            found = self._executions.get(request.name)
        if found is None:
            raise not_found(f"Resource '{request.name}' was not found.")
        return found

    def _list(self, request: Any, _context: Any) -> Any:
        if not _PARENT.fullmatch(request.parent):
            raise invalid(f"{request.parent!r} is no parent: it has to be projects/P/locations/REGION/jobs/JOB, and only JOB may be '-'.")
        if request.page_size < 0:
            raise invalid(f"The page size is {request.page_size}: it must not be below 0.")
        place, _, job = request.parent.partition("/jobs/")
        prefix = f"{place}/jobs/" if job == "-" else f"{request.parent}/"
        size = min(request.page_size or _PAGE, _LARGEST)
        with self._lock:
            names = sorted(name for name in self._executions if name.startswith(prefix))
            if request.page_token and request.page_token not in names:
                raise invalid(f"The page token {request.page_token!r} is not one of this listing.")
            rest = [name for name in names if name > request.page_token]
            found = [self._executions[name] for name in rest[:size]]
        token = rest[size - 1] if len(rest) > size else ""
        return run_v2.ListExecutionsResponse.pb()(executions=found, next_page_token=token)
