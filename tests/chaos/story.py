"""One story from its beginning to its end, and what is wrong with it."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from tests.chaos import play, schedule
from tests.chaos.processes import Nursery
from tests.chaos.promises import Judge

_TAIL = 60_000
_nursery: list[Nursery] = []
"""Of a process that tells many stories: it ends with that process, since its standard input does."""


@dataclass(frozen=True)
class Verdict:
    """What came of a story.

    Attributes:
        seed: Which.
        wrong: The promises that were broken; none where all is well.
        kills: How often a process was killed.
        calls: How many calls the stand-ins were asked.
        writes: How often a service or worker pool was changed.
        deletions: How many objects the watchdog deleted.
        messages: How many messages stand in Slack.
        record: The policy, the events, all calls, and the functions' log; empty where all is well.
    """

    seed: int
    wrong: tuple[str, ...]
    kills: int
    calls: int
    writes: int
    deletions: int
    messages: int
    record: str


def tell(seed: int, nursery: Nursery, *, record: bool = False) -> Verdict:
    """Play the story of a seed.

    Args:
        seed: Which.
        nursery: Where the functions come from.
        record: Whether the record is kept although all is well.
    """
    folder = Path(tempfile.mkdtemp(prefix="cost-watchdog-chaos-"))
    told = play.begin(schedule.of(seed), folder, nursery)
    world = told.world
    try:
        judge = Judge(told)
        told.storm()
        told.heal()
        told.come_to_the_end_of_the_period()
        judge.at_the_end_of_the_period()
        if told.schedule.undo:
            told.undo()
            judge.after_the_undo()
        told.begin_the_next_period()
        judge.in_the_next_period()
        judge.throughout()
        wrong = tuple(dict.fromkeys(judge.wrong))
        log = world.targets.log.read_text(encoding="utf-8", errors="replace")[-_TAIL:]
        kept = "\n".join([told.schedule.policy, *world.storm.record, "", log]) if wrong or record else ""
        return Verdict(
            seed, wrong, world.targets.kills, sum(world.storm.calls.values()), len(world.writes), len(world.deletions), len(world.messages()), kept
        )  # fmt: skip
    finally:
        world.close()
        shutil.rmtree(folder, ignore_errors=True)


def begin_work(mutant: str) -> None:
    """Let this process tell stories, with something broken in the product where a mutant is named."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _nursery.append(Nursery(mutant))


def work_on(seed: int, *, until: float, record: bool) -> Verdict | None:
    """Tell the story of a seed, unless its time is over on the monotonic clock."""
    return tell(seed, _nursery[0], record=record) if time.monotonic() < until else None


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)
