"""Cloud Run's long-running operations: begun, done when their time has come, or failed."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.longrunning import operations_pb2

from sandbox.grpc_errors import not_found
from sandbox.run_messages import Place


@dataclass(frozen=True)
class Operation:
    """One operation.

    Attributes:
        due: When it is done, by the clock.
        before: The resource while it runs: its metadata until then.
        after: The resource when it is done: its metadata then, and its response.
        code: The code that it fails with, or none.
    """

    due: float
    before: Any
    after: Any
    code: grpc.StatusCode | None = None


@dataclass
class Operations:
    """All operations, by name. Not safe between threads: the caller holds a lock."""

    clock: Callable[[], float]
    _begun: dict[str, Operation] = field(default_factory=dict)

    def begin(self, place: Place, operation: Operation) -> Any:
        """Keep an operation and answer with it."""
        name = f"{place}/operations/{uuid.uuid4()}"
        self._begun[name] = operation
        return self.read(name)

    def read(self, name: str) -> Any:
        """The ``google.longrunning.Operation`` as it stands.

        Raises:
            RefusedError: NOT_FOUND.
        """
        operation = self._find(name)
        done = operation.due <= self.clock()
        answer = operations_pb2.Operation(name=name, done=done)
        answer.metadata.Pack(operation.after if done else operation.before)
        if done and operation.code is not None:
            answer.error.code = operation.code.value[0]
            answer.error.message = f"The operation failed with {operation.code.name}."
        elif done:
            answer.response.Pack(operation.after)
        return answer

    def seconds_left(self, name: str) -> float:
        """How long an operation still takes; 0 for one that is done.

        Raises:
            RefusedError: NOT_FOUND.
        """
        return max(self._find(name).due - self.clock(), 0.0)

    def _find(self, name: str) -> Operation:
        operation = self._begun.get(name)
        if operation is None:
            raise not_found(f'operation "{name}" not found')
        return operation
