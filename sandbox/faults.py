"""Faults on demand: what goes wrong, in which method, and how often.

Every stand-in asks here before and after it does its work, under the name of the method as its vendor
writes it (``UpdateService``, ``chat.postMessage``, ``storage.objects.insert``, ``Publish``).
"""

from __future__ import annotations

import fnmatch
import itertools
import os
import threading
import time
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        method: The method's name, or a pattern of them (``*Service*``).
        status: The HTTP status (429, 500, 503 …) or the gRPC code's name (``UNAVAILABLE``) to answer with; none answers normally.
        match: Only where this text occurs in the resource's name; empty is any.
        delay: Seconds to wait before the work is done.
        drop_answer: The work is done, and then the connection fails.
        crash: The process ends, as by kill -9, before the work is done.
        times: How many calls are struck; none is all of them.
        skip: How many calls go by unharmed before the first is struck.
        retry_after: Seconds to name in a ``Retry-After`` header beside a 429.
    """

    method: str
    status: str | int | None = None
    match: str = ""
    delay: float = 0.0
    drop_answer: bool = False
    crash: bool = False
    times: int | None = None
    skip: int = 0
    retry_after: int | None = None


@dataclass
class Faults:
    """The faults that are in force, and a count of every call by method.

    Attributes:
        latency: Seconds that every call takes at least.
    """

    latency: float = 0.0
    calls: dict[str, int] = field(default_factory=dict)
    _faults: dict[int, Fault] = field(default_factory=dict)
    _ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def inject(self, fault: Fault) -> int:
        """Put a fault in force and return its number."""
        with self._lock:
            number = next(self._ids)
            self._faults[number] = fault
            return number

    def clear(self, number: int | None = None) -> None:
        """Take one fault, or all of them, out of force."""
        with self._lock:
            if number is None:
                self._faults.clear()
            else:
                self._faults.pop(number, None)

    def in_force(self) -> dict[int, Fault]:
        """The faults that still have strikes left, by number."""
        with self._lock:
            return dict(self._faults)

    def strike(self, method: str, resource: str = "") -> Fault | None:
        """Count a call and take the fault that hits it, if any, without acting on it.

        For servers that must not block (asyncio): await `delay` themselves, add `latency`, then answer as the fault says.
        """
        with self._lock:
            self.calls[method] = self.calls.get(method, 0) + 1
            for number, fault in self._faults.items():
                if not fnmatch.fnmatchcase(method, fault.method) or fault.match not in resource:
                    continue
                if fault.skip:
                    self._faults[number] = replace(fault, skip=fault.skip - 1)
                    continue
                if fault.times is not None:
                    if fault.times <= 1:
                        del self._faults[number]
                    else:
                        self._faults[number] = replace(fault, times=fault.times - 1)
                return fault
        return None

    def meet(self, method: str, resource: str = "") -> Fault | None:
        """The same for servers with a thread per call: waits the latency and the delay, and crashes where the fault says so."""
        fault = self.strike(method, resource)
        pause = self.latency + (fault.delay if fault else 0.0)
        if pause:
            time.sleep(pause)
        if fault and fault.crash:
            os._exit(137)
        return fault
