"""The product broken on purpose, one promise at a time: what the chaos has to catch if it is worth anything."""

from __future__ import annotations

from collections.abc import Callable

MUTANTS: dict[str, Callable[[], None]] = {}
