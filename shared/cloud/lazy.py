"""Values that are made when they are first needed: a client costs up to half a second to import, and most events need none."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
_making = threading.RLock()


class Lazy(Generic[T]):
    """Calls `make` at the first call and gives the same value from then on, to all threads.

    Where `make` raises, the next call tries again. One is made at a time, whichever it is: Google's libraries enter their messages in tables that they share
    while they are imported, and were not written for several threads that do so at once.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        """Remember how the value is made."""
        self._make = make
        self._made: tuple[T] | None = None

    def __call__(self) -> T:
        """The value."""
        if self._made is None:
            with _making:
                if self._made is None:
                    self._made = (self._make(),)
        return self._made[0]
