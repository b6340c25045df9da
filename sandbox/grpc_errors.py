"""What the gRPC stand-ins share: how they refuse a call, and how faults strike one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

from sandbox.faults import Fault, Faults

# https://cloud.google.com/apis/design/errors#handling_errors: Google's own pairs of HTTP statuses and gRPC codes.
_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    412: "FAILED_PRECONDITION",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class RefusedError(Exception):
    """The stand-in answers a call with an error, as the real service would.

    Attributes:
        code: The gRPC status code.
        text: The sentence that the caller reads.
    """

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(f"{code.name}: {text}")
        self.code = code
        self.text = text


def invalid(text: str) -> RefusedError:
    """An INVALID_ARGUMENT."""
    return RefusedError(grpc.StatusCode.INVALID_ARGUMENT, text)


def not_found(text: str) -> RefusedError:
    """A NOT_FOUND."""
    return RefusedError(grpc.StatusCode.NOT_FOUND, text)


def code_of(fault: Fault) -> grpc.StatusCode:
    """The gRPC code that a fault's `status` stands for: a code's name as it is, an HTTP status as Google maps it.

    Raises:
        ValueError: The fault has no status, or one that is neither.
    """
    name = _CODES.get(fault.status, "") if isinstance(fault.status, int) else fault.status or ""
    for code in grpc.StatusCode:
        if code.name == name:
            return code
    raise ValueError(f"The fault's status {fault.status!r} is neither the name of a gRPC code nor one of {sorted(_CODES)}.")


def unary(
    faults: Faults,
    method: str,
    request_type: Any,
    resource: Callable[[Any], str],
    work: Callable[[Any, Any], Any],
) -> grpc.RpcMethodHandler[Any, Any]:
    """A handler of one method over raw protobuf messages, which faults can strike.

    Args:
        faults: Asked once per call, under the method's name.
        method: The method's name as its vendor writes it.
        request_type: The request's protobuf class (of a proto-plus class: ``Class.pb()``).
        resource: Takes the resource's name out of a request, for faults that match one.
        work: Takes the request and the gRPC context, and returns the answer's message; a `RefusedError` becomes the answer's status.
    """

    def call(request: Any, context: Any) -> Any:
        fault = faults.meet(method, resource(request))
        if fault and fault.status is not None:
            context.abort(code_of(fault), f"{method} fails here because a fault is in force.")
        try:
            _refuse_unknown_fields(request)
            answer = work(request, context)
        except RefusedError as error:
            context.abort(error.code, error.text)
        if fault and fault.drop_answer:
            context.abort(grpc.StatusCode.UNAVAILABLE, f"The connection failed after {method} was done, because a fault is in force.")
        return answer

    return grpc.unary_unary_rpc_method_handler(
        call, request_deserializer=request_type.FromString, response_serializer=lambda message: message.SerializeToString()
    )


def _refuse_unknown_fields(request: Any) -> None:
    size = request.ByteSize()
    request.DiscardUnknownFields()
    if request.ByteSize() != size:
        raise invalid(f"The {request.DESCRIPTOR.name} has fields that this version of the API does not know.")
