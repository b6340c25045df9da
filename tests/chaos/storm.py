"""What goes wrong, decided call by call: the faults of a story, and the record of every call that the stand-ins were asked."""

from __future__ import annotations

import fnmatch
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from sandbox.cloud import STATE_BUCKET
from sandbox.faults import Fault, Faults
from tests.chaos.clock import SCALE, StoryClock
from tests.chaos.happenings import Strike

_WRITES = ("storage.objects.insert", "storage.objects.patch", "storage.objects.delete")
_OVER_HTTP: tuple[int, ...] = (429, 500, 503, 408)
_OVER_GRPC: tuple[str | int, ...] = (429, 500, 503, "ABORTED", "DEADLINE_EXCEEDED")
_SLOW = 20.0
"""Seconds of the story that a slow call takes at most: a client's own time limit is thirty."""


@dataclass
class Storm(Faults):
    """The faults of a story, in place of those that are injected one by one.

    Attributes:
        clock: The story's.
        kill: Kills a target's process.
        somebody: Does what a person does, chosen by the strike, to what the call is about where that can be.
        refusing: The status with which the state bucket refuses writes, or none.
        record: Every call: when, what, to what, and what went wrong.
    """

    clock: StoryClock | None = None
    kill: Callable[[str], None] = lambda _: None
    somebody: Callable[[Strike, str], None] = lambda *_: None
    refusing: int | None = None
    record: list[str] = field(default_factory=list)
    _armed: list[Strike] = field(default_factory=list)
    _gate: threading.Condition = field(default_factory=threading.Condition)
    _going: int = 0
    _halted: bool = False

    def arm(self, strikes: tuple[Strike, ...]) -> None:
        """Let these go wrong from now on."""
        with self._lock:
            self._armed.extend(strikes)

    def heal(self) -> None:
        """Nothing goes wrong any more."""
        with self._lock:
            self._armed.clear()
            self.refusing = None

    def note(self, line: str) -> None:
        """Write something into the record of calls."""
        at = f"{self.clock.now():%d %H:%M:%S.%f}" if self.clock else ""
        self.record.append(f"{at} {line}")

    def strike(self, method: str, resource: str = "") -> Fault | None:
        """Decide what becomes of a call."""
        if method == "push":
            with self._gate:
                self._gate.wait_for(lambda: not self._halted)
                self._going += 1
            return None
        fault, act, what = self._decided(method, resource)
        self.note(f"  {method} {resource} {what}".rstrip())
        if act:
            act()
        return fault

    def answered(self) -> None:
        """A delivery has come to its end."""
        with self._gate:
            self._going -= 1
            self._gate.notify_all()

    def unheard(self, target: str) -> bool:
        """Whether the answer of a function is lost, so that what it has dealt with is delivered again."""
        fault, act, what = self._decided("push", target)
        if what:
            self.note(f"the answer of {target} {what}")
        if act:
            act()
        return fault is not None

    def between(self, work: Callable[[], None], patience: float = 20.0) -> bool:
        """Do something while no function is at work; false if there is no such moment."""
        with self._gate:
            self._halted = True
            still = self._gate.wait_for(lambda: self._going == 0, patience)
            if still:
                work()
            self._halted = False
            self._gate.notify_all()
            return still

    def _decided(self, method: str, resource: str) -> tuple[Fault | None, Callable[[], None] | None, str]:
        with self._lock:
            self.calls[method] = self.calls.get(method, 0) + 1
            if self.refusing and method in _WRITES and resource.startswith(f"{STATE_BUCKET}/"):
                return Fault(method, status=self.refusing), None, f"-> {self.refusing}"
            for index, each in enumerate(self._armed):
                if not any(fnmatch.fnmatchcase(name, each.method) for name in (method, f"{method} {resource}")):
                    continue
                if each.after:
                    self._armed[index] = replace(each, after=each.after - 1)
                    continue
                if each.times > 1 and each.trouble in ("drop", "refuse"):
                    self._armed[index] = replace(each, times=each.times - 1)
                else:
                    del self._armed[index]
                return self._outcome(method, resource, each)
        return None, None, ""

    def _outcome(self, method: str, resource: str, strike: Strike) -> tuple[Fault | None, Callable[[], None] | None, str]:
        statuses = _OVER_GRPC if method[0].isupper() else _OVER_HTTP
        status = statuses[int(strike.pick * len(statuses))]
        match strike.trouble:
            case "die before":
                return Fault(method, status=503), lambda: self.kill(strike.victim), f"<- {strike.victim} is killed before it is done"
            case "die after":
                return None, lambda: self.kill(strike.victim), f"<- {strike.victim} is killed, and it is done"
            case "drop":
                return Fault(method, drop_answer=True), None, "-> done, and the answer is lost"
            case "slow":
                seconds = strike.pick * _SLOW
                return Fault(method, delay=seconds / SCALE), None, f"-> takes {seconds:.0f} s"
            case "somebody":
                return None, lambda: self.somebody(strike, resource), "<- somebody does something meanwhile"
        return Fault(method, status=status, retry_after=1 + int(strike.pick * 30)), None, f"-> {status}"
