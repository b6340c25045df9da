"""Values that are made when they are first needed: a client costs up to half a second to import, and most events need none."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Lazy(Generic[T]):
    """Calls `make` at the first call and gives the same value from then on, to all threads.

    Where `make` raises, the next call tries again.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        """Remember how the value is made."""
        self._make = make
        self._lock = threading.Lock()
        self._made: tuple[T] | None = None

    def __call__(self) -> T:
        """The value."""
        with self._lock:
            if self._made is None:
                self._made = (self._make(),)
            return self._made[0]
