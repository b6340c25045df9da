"""Plots: short rows of events, one in most stories, for what chance alone brings about too seldom."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from sandbox.cloud import ARTIFACTS_BUCKET, STATE_BUCKET
from sandbox.functions import BUDGET_ALERT, TASK
from shared.journal import BUDGET_ENTRIES
from tests.chaos.happenings import Event, Strike

RUNS = ("a", "ab", "c")
_TICK = Event("tick", {"copies": 1})


@dataclass(frozen=True)
class Plot:
    """One row of events.

    Attributes:
        events: What happens, one after the other.
        at: Where among the other events, as a share of them.
        run_wait: How long failed runs have to wait in such a story; empty where that does not matter.
    """

    events: tuple[Event, ...] = ()
    at: float = 0.0
    run_wait: str = ""

    def woven(self, events: Sequence[Event]) -> tuple[Event, ...]:
        """A story's events with these among them."""
        place = int(self.at * len(events))
        return (*events[:place], *self.events, *events[place:])


def of(seed: int, levels: Sequence[int]) -> Plot:
    """The plot of a seed's story, which may be none; it throws dice of its own.

    Args:
        seed: Which story.
        levels: Where the steps of its ladder are, in percent, from the lowest to the highest.
    """
    dice = random.Random(f"plot {seed}")
    kinds = ["overwritten", "promoted", "called off", "unclaimed" if len(levels) > 1 else "called off"]
    match dice.choice([*kinds, *kinds, "none"]):
        case "overwritten":
            return _overwritten(dice)
        case "promoted":
            return _promoted(dice)
        case "called off":
            return _called_off(dice)
        case "unclaimed":
            return _unclaimed(dice, levels)
    return Plot()


def braked(dice: random.Random) -> tuple[Event, ...]:
    """Every run fails at once, after the worker that began to delete the first of them has died: more than a small limit allows within an hour."""
    first, *others = dice.sample(RUNS, len(RUNS))
    death = Strike(_deletions_of(first), dice.randint(0, 2), "die before", 1, dice.random(), TASK)
    fail = [Event("fails", {"run": run}) for run in others]
    return (Event("fails", {"run": first}), Event("tick", {"copies": 1}, (death,)), *fail, _TICK, _passes(130), _TICK)


def _overwritten(dice: random.Random) -> Plot:
    """Somebody writes an object anew in the moment of its deletion, or promotes or holds the run then."""
    run = dice.choice(RUNS)
    strike = _ambush(dice, run, dice.choice(["retry", "retry", "retry", "promote", "hold", "write"]))
    return Plot((Event("fails", {"run": run}), Event("tick", {"copies": 1}, (strike,)), _passes(3700), _TICK), dice.random())


def _promoted(dice: random.Random) -> Plot:
    """Somebody promotes a run: before it fails, or after the worker that began to delete it has died. In between, it would be newer than the sign too."""
    run = dice.choice(RUNS)
    fails, promote = Event("fails", {"run": run}), Event("object", {"run": run, "does": "promote", "which": 0.0})
    death = Strike(_deletions_of(run), dice.randint(0, 2), dice.choice(["die before", "die after"]), 1, dice.random(), TASK)
    row = (promote, fails) if dice.random() < 0.25 else (fails, Event("tick", {"copies": 1}, (death,)), promote)
    return Plot((*row, _passes(130), _TICK, _passes(61), _TICK), dice.random(), "0s")


def _called_off(dice: random.Random) -> Plot:
    """Somebody calls a deletion off; its sign is told of again in the next period, as everything is."""
    run = dice.choice(RUNS)
    cancel = Event("cancel", {"run": run})
    return Plot((Event("fails", {"run": run}), _TICK, cancel, _passes(61), _TICK), dice.random() * 0.5, "1h")


def _unclaimed(dice: random.Random, levels: Sequence[int]) -> Plot:
    """A worker dies right after it has recorded its plan, and before its steps are on record as taken; a higher step is reached later."""
    strike = Strike(f"storage.objects.insert {STATE_BUCKET}/entries/{BUDGET_ENTRIES}*", 0, "die after", 1, dice.random(), BUDGET_ALERT)
    low = Event("spend", {"share": levels[0] + 5, "copies": 1, "ago": 0}, (strike,))
    high = Event("spend", {"share": levels[-1] + 5, "copies": 1, "ago": 0})
    return Plot((low, _passes(130), _TICK, _passes(61), _TICK, high))


def _ambush(dice: random.Random, run: str, deed: str) -> Strike:
    """Somebody who strikes when one of a run's objects is about to be deleted."""
    return Strike(_deletions_of(run), dice.randint(0, 4), "somebody", 1, dice.random(), TASK, deed)


def _deletions_of(run: str) -> str:
    return f"storage.objects.delete {ARTIFACTS_BUCKET}/runs/{run}/*"


def _passes(seconds: float) -> Event:
    return Event("passes", {"seconds": seconds})
