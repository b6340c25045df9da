"""Writes to Cloud Run within its quota: 180 a minute for each project and region (https://cloud.google.com/run/quotas)."""

from __future__ import annotations

from collections import defaultdict, deque

from shared.model import Place

WRITES = 180
WINDOW = 61.0
"""Seconds; one more than the quota's minute, since the server counts arrivals and not departures."""


class Pacer:
    """Counts the writes of the last minute by place. For one thread."""

    def __init__(self, writes: int = WRITES, window: float = WINDOW) -> None:
        """Begin with an empty window."""
        self._writes = writes
        self._window = window
        self._sent: defaultdict[Place, deque[float]] = defaultdict(deque)

    def wait(self, place: Place, now: float) -> float:
        """Seconds until another write may go to the place; 0 when it may go now."""
        sent = self._sent[place]
        while sent and sent[0] <= now - self._window:
            sent.popleft()
        return sent[0] + self._window - now if len(sent) >= self._writes else 0.0

    def sent(self, place: Place, now: float) -> None:
        """Count one write."""
        self._sent[place].append(now)
