"""What Cloud Run's services and worker pools share on the wire: how reads are tried again, and long-running operations are followed."""

from __future__ import annotations

import time
from typing import Any

from shared.cloud.errors import translated
from shared.errors import CloudError, Unavailable

FIRST_POLL = 0.3
"""Seconds; a change of scaling alone is done within a few."""
READ_TIME = 20.0
"""Seconds for one read, or one page of a listing, with all its repeats."""
PAGE_SIZE = 500
_GROWTH, _LONGEST_PAUSE, _POLL_TIME = 1.5, 5.0, 10.0


def read_options() -> dict[str, Any]:
    """How a read is tried again: where the service is unavailable, and not for long."""
    from google.api_core import exceptions, retry

    unavailable = retry.if_exception_type(exceptions.ServiceUnavailable)
    return {
        "retry": retry.Retry(unavailable, initial=READ_TIME / 100, multiplier=2.0, maximum=READ_TIME / 4, timeout=READ_TIME),
        "timeout": READ_TIME,
    }


def follow(client: Any, operation: Any, resource: str, *, until: float, first_poll: float) -> None:
    """Wait until an operation is done.

    Args:
        client: Any client of the API.
        operation: The ``google.longrunning.Operation`` that a write answered with.
        resource: The full name of what it changes.
        until: On `time.monotonic`'s scale.
        first_poll: Seconds before the first look; later pauses are longer.

    Raises:
        Unavailable: It did not end in time, nobody can say how it ended, or it failed. What it was to change may be changed all the same.
    """
    begun, pause = time.monotonic(), first_poll
    while not operation.done:
        left = until - time.monotonic()
        if left <= 0:
            raise Unavailable(
                f"the change did not finish within {max(0.0, until - begun):.0f} s; it will be looked at again", resource=resource
            )
        time.sleep(min(pause, left))
        pause = min(pause * _GROWTH, _LONGEST_PAUSE)
        try:
            with translated(resource):
                operation = client.get_operation({"name": operation.name}, retry=None, timeout=_POLL_TIME)
        except Unavailable:
            continue  # asked again until the time is over
        except CloudError as error:
            raise Unavailable(f"the change was accepted, but whether it is done cannot be asked: {error}", resource=resource) from error
    if operation.HasField("error"):
        # Whatever the code says: the fields were written before it failed, so nobody may take it for a write that was never made.
        raise Unavailable(f"the change was accepted and then failed: {operation.error.message}", resource=resource)
