"""Time as a story has it: faster than real time, and it can be moved; one file shared by the stand-ins and by every process of a function."""

from __future__ import annotations

import mmap
import struct
import time
from datetime import UTC, datetime
from pathlib import Path

SCALE = 20.0
"""Seconds of a story within one real second: a pause is shorter so, while calls keep their order and a lease still outlives what it covers."""
BEGIN = datetime(2026, 11, 20, 12, tzinfo=UTC)

_LAYOUT = struct.Struct("ddd")
_real = time.monotonic
"""Linux counts it from one instant in all processes."""


class StoryClock:
    """The clock that `path` holds; it fulfils `shared.ports.Clock`.

    Args:
        path: A file; what is in it is shared with whoever opens it too.
        fresh: Whether a story begins with it.
    """

    def __init__(self, path: Path, *, fresh: bool = False) -> None:
        if fresh:
            path.write_bytes(_LAYOUT.pack(_real(), 0.0, 0.0))
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), _LAYOUT.size)

    def monotonic(self) -> float:
        """Seconds of the story that have passed."""
        begun, passed, _ = _LAYOUT.unpack(self._shared[:])
        return float((_real() - begun) * SCALE + passed)

    def time(self) -> float:
        """The time of day as the functions' clocks have it, in seconds since 1970."""
        return float(self.right() + _LAYOUT.unpack(self._shared[:])[2])

    def right(self) -> float:
        """The time of day as it is, and as Google and Slack have it."""
        return float(BEGIN.timestamp() + self.monotonic())

    def now(self) -> datetime:
        """The time of day, UTC."""
        return datetime.fromtimestamp(self.time(), UTC)

    def sleep(self, seconds: float) -> None:
        """Wait so many seconds of the story."""
        _sleep(seconds / SCALE)

    def passes(self, seconds: float) -> None:
        """So much time goes by at once."""
        self._add(seconds, 0.0)

    def is_set(self, seconds: float) -> None:
        """The functions' clocks are set forward, or back, by so much, while no time goes by."""
        self._add(0.0, seconds)

    def _add(self, passed: float, moved: float) -> None:
        begun, before, set_before = _LAYOUT.unpack(self._shared[:])
        self._shared[:] = _LAYOUT.pack(begun, before + passed, set_before + moved)


_sleep = time.sleep
