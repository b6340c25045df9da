"""How Cloud Storage refuses a request: the status, the reason word and the sentence.

Source: https://cloud.google.com/storage/docs/json_api/v1/status-codes
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


class ApiError(Exception):
    """A refusal as the JSON API words it.

    Attributes:
        status: The HTTP status.
        reason: The word in ``error.errors[].reason``.
        message: The sentence in ``error.message``.
        retry_after: Seconds for a ``Retry-After`` header, or none.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        *,
        domain: str = "global",
        location: tuple[str, str] | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.domain = domain
        self.location = location
        self.retry_after = retry_after

    def body(self) -> Json:
        """The JSON document that goes with the status."""
        detail: Json = {"message": self.message, "domain": self.domain, "reason": self.reason}
        if self.location:
            detail["locationType"], detail["location"] = self.location
        return {"error": {"code": self.status, "message": self.message, "errors": [detail]}}


def invalid(message: str) -> ApiError:
    """A 400 for a value that the service does not take."""
    return ApiError(400, "invalid", message)


def parameter_error(name: str, message: str) -> ApiError:
    """A 400 that names the query parameter at fault."""
    return ApiError(400, "invalidParameter", message, location=("parameter", name))


def parameter_required(name: str) -> ApiError:
    """A 400 for a query parameter that is missing."""
    return ApiError(400, "required", f"Required parameter: {name}", location=("parameter", name))


def forbidden(message: str, reason: str = "forbidden") -> ApiError:
    """A 403."""
    return ApiError(403, reason, message)


def not_found(message: str) -> ApiError:
    """A 404."""
    return ApiError(404, "notFound", message)


def no_object(bucket: str, name: str, generation: int | None = None) -> ApiError:
    """The 404 for an object, or one generation of it."""
    return not_found(f"No such object: {bucket}/{name}" + (f"#{generation}" if generation is not None else ""))
