"""Writes to Cloud Run within its quota: 180 a minute for each project and region (https://cloud.google.com/run/quotas)."""

from __future__ import annotations

import threading
from collections import defaultdict, deque

from shared.model import Place

WRITES = 180
WINDOW = 61.0
"""Seconds; one more than the quota's minute, since the server counts arrivals and not departures."""


class Pacer:
    """Counts the writes of the last minute by place, for all threads of a process."""

    def __init__(self, writes: int = WRITES, window: float = WINDOW) -> None:
        """Begin with an empty window."""
        self._writes = writes
        self._window = window
        self._sent: defaultdict[Place, deque[float]] = defaultdict(deque)
        self._lock = threading.Lock()

    def take(self, place: Place, now: float) -> float:
        """Take leave for one write to the place: 0 when it may go now and is counted, else the seconds until it may.

        Args:
            place: A project and region.
            now: On the clock's monotonic scale.
        """
        with self._lock:
            sent = self._sent[place]
            while sent and sent[0] <= now - self._window:
                sent.popleft()
            if len(sent) >= self._writes:
                return sent[0] + self._window - now
            sent.append(now)
            return 0.0
