"""The Cloud Run Admin API v2 over gRPC: Services, Revisions, WorkerPools and their operations, with faults.

Faults are met under the methods' own names with the resource's name, or its parent where it is listed or created; ``Operation`` is met
once for each accepted write and decides the fate of its operation.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeAlias

import grpc
from google.cloud import run_v2
from google.longrunning import operations_pb2

from sandbox.grpc_errors import unary
from sandbox.run_messages import POOL, SERVICE, Kind
from sandbox.run_model import RunModel

_LONGEST_WAIT = 30.0

_Handlers: TypeAlias = "dict[str, grpc.RpcMethodHandler[Any, Any]]"


class RunServer:
    """The wire before a `RunModel`.

    Attributes:
        model: The state and the rules.
        faults: What goes wrong.
    """

    def __init__(self, model: RunModel) -> None:
        self.model = model
        self.faults = model.faults

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        """The generic handlers to add to a gRPC server."""
        return [
            grpc.method_handlers_generic_handler("google.cloud.run.v2.Services", self._resources(SERVICE)),
            grpc.method_handlers_generic_handler("google.cloud.run.v2.WorkerPools", self._resources(POOL)),
            grpc.method_handlers_generic_handler("google.cloud.run.v2.Revisions", self._revisions()),
            grpc.method_handlers_generic_handler("google.longrunning.Operations", self._operations()),
        ]

    def _resources(self, kind: Kind) -> _Handlers:
        noun, field = kind.message.DESCRIPTOR.name, kind.field

        def get(request: Any, _: Any) -> Any:
            return self.model.get(kind, request.name)

        def list_(request: Any, _: Any) -> Any:
            found, token, unreachable = self.model.list_resources(kind, request.parent, request.page_size, request.page_token)
            answer = getattr(run_v2, f"List{noun}sResponse").pb()(next_page_token=token)
            getattr(answer, f"{field}s").extend(found)
            if unreachable:
                answer.unreachable.extend(unreachable)
            return answer

        def create(request: Any, _: Any) -> Any:
            own = getattr(request, f"{field}_id")
            return self.model.create(kind, request.parent, own, getattr(request, field), validate_only=request.validate_only)

        def update(request: Any, _: Any) -> Any:
            return self.model.update(
                kind,
                getattr(request, field),
                request.update_mask.paths,
                validate_only=request.validate_only,
                allow_missing=request.allow_missing,
                force=kind is POOL and request.force_new_revision,
            )

        def delete(request: Any, _: Any) -> Any:
            return self.model.delete(kind, request.name, request.etag, validate_only=request.validate_only)

        return {
            f"Get{noun}": self._unary(f"Get{noun}", get, lambda request: request.name),
            f"List{noun}s": self._unary(f"List{noun}s", list_, lambda request: request.parent),
            f"Create{noun}": self._unary(
                f"Create{noun}", create, lambda request: f"{request.parent}/{kind.collection}/{getattr(request, f'{field}_id')}"
            ),
            f"Update{noun}": self._unary(f"Update{noun}", update, lambda request: getattr(request, field).name),
            f"Delete{noun}": self._unary(f"Delete{noun}", delete, lambda request: request.name),
        }

    def _revisions(self) -> _Handlers:
        def list_(request: Any, _: Any) -> Any:
            found, token = self.model.list_revisions(request.parent, request.page_size, request.page_token)
            return run_v2.ListRevisionsResponse.pb()(revisions=found, next_page_token=token)

        return {
            "GetRevision": self._unary(
                "GetRevision", lambda request, _: self.model.get_revision(request.name), lambda request: request.name
            ),
            "ListRevisions": self._unary("ListRevisions", list_, lambda request: request.parent),
        }

    def _operations(self) -> _Handlers:
        def wait(request: Any, context: Any) -> Any:
            longest = min(context.time_remaining() or _LONGEST_WAIT, _LONGEST_WAIT)
            if request.HasField("timeout"):
                longest = min(longest, request.timeout.ToTimedelta().total_seconds())
            time.sleep(min(self.model.seconds_left(request.name), longest))
            return self.model.operation(request.name)

        def get(request: Any, _: Any) -> Any:
            return self.model.operation(request.name)

        return {
            "GetOperation": unary(self.faults, "GetOperation", operations_pb2.GetOperationRequest, lambda request: request.name, get),
            "WaitOperation": unary(self.faults, "WaitOperation", operations_pb2.WaitOperationRequest, lambda request: request.name, wait),
        }

    def _unary(self, method: str, work: Callable[[Any, Any], Any], resource: Callable[[Any], str]) -> grpc.RpcMethodHandler[Any, Any]:
        return unary(self.faults, method, getattr(run_v2, f"{method}Request").pb(), resource, work)
