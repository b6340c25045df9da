"""Cloud Run's Admin API quotas: so many requests in a sliding window, per project and region."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import grpc

from sandbox.grpc_errors import RefusedError
from sandbox.run_messages import Place


@dataclass
class Quota:
    """One quota.

    Attributes:
        name: ``Read`` or ``Write``, for the answer.
        limit: How many requests the window takes. A refused one does not count.
        window: Its length in seconds.
        clock: Seconds, from any start.
    """

    name: str
    limit: int
    window: float
    clock: Callable[[], float]
    _taken: dict[Place, deque[float]] = field(default_factory=dict)

    def charge(self, place: Place) -> None:
        """Count a request. Not safe between threads: the caller holds a lock.

        Raises:
            RefusedError: RESOURCE_EXHAUSTED.
        """
        now = self.clock()
        taken = self._taken.setdefault(place, deque())
        while taken and taken[0] <= now - self.window:
            taken.popleft()
        if len(taken) >= self.limit:
            raise RefusedError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"Quota exceeded for quota metric '{self.name} requests' and limit '{self.name} requests per minute per region' of "
                f"service 'run.googleapis.com' in {place}: {self.limit} in {self.window:g} s. Try again later.",
            )
        taken.append(now)
