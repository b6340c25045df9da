"""`python -m tests.chaos`: so many stories, one after the other, and a summary.

A story is made of its seed. The functions run as processes under functions-framework, forked from one that has loaded everything (`nursery`), in a time
that runs twenty times as fast and can be moved (`clock`). They work on the sandbox's stand-ins, which decide call by call what goes wrong (`storm`): a
process is killed before or after a call's work is done, an answer is lost, a call is refused or slow, somebody else gets between. Meanwhile people
deploy, delete, promote, hold, press and type, messages come twice, late or in another order, Slack or the state bucket is out for hours, regions are
lost and clocks are set (`schedule`, `play`). Then all is healed, time passes, and it is judged by effect what was promised (`promises`).

What is real is not exactly repeatable: the same seed gives the same schedule, and threads and processes meet anew each time.

What goes beyond what is promised is left out: nothing stands still for longer than a client's time limit with a call on its way, and no clock is off by
more than a few minutes.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from tests.chaos.mutants import MUTANTS
from tests.chaos.story import Verdict, begin_work, work_on

_EVERY = 50


def main(arguments: Sequence[str]) -> int:
    """Play the stories that are asked for; 1 where a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--seed", type=int, default=1, help="the first story")
    parser.add_argument("--schedules", type=int, default=20, help="how many, from that one on")
    parser.add_argument("--jobs", type=int, default=1, help="how many at the same time")
    parser.add_argument("--seconds", type=float, default=3600.0, help="no story is begun after so long")
    parser.add_argument("--mutant", default="", choices=["", *MUTANTS], help="what is broken in the product on purpose")
    parser.add_argument("--records", type=Path, help="a folder for the records of the stories that fail, rather than standard output")
    parser.add_argument("--all", action="store_true", help="print the record of every story")
    asked = parser.parse_args(arguments)
    begun, verdicts = time.monotonic(), list[Verdict]()
    one = partial(work_on, until=begun + asked.seconds, record=asked.all)
    with ProcessPoolExecutor(asked.jobs, mp_context=get_context("spawn"), initializer=begin_work, initargs=(asked.mutant,)) as pool:
        for verdict in pool.map(one, range(asked.seed, asked.seed + asked.schedules)):
            if verdict is None:
                break
            verdicts.append(verdict)
            _report(verdict, asked.records)
            if len(verdicts) % _EVERY == 0:
                print(f"{len(verdicts)} of {asked.schedules} in {time.monotonic() - begun:.0f} s", flush=True)
            if verdict.wrong and asked.mutant:
                pool.shutdown(cancel_futures=True)
                break
    failed = [verdict.seed for verdict in verdicts if verdict.wrong]
    seconds = time.monotonic() - begun
    print(
        f"{len(verdicts)} schedules in {seconds:.0f} s: {sum(each.calls for each in verdicts):,} calls, {sum(each.kills for each in verdicts):,} kills, "
        f"{sum(each.writes for each in verdicts):,} writes to services, {sum(each.deletions for each in verdicts):,} objects deleted, "
        f"{sum(each.messages for each in verdicts):,} messages; {len(failed)} failed{': ' if failed else ''}{' '.join(map(str, failed))}"
    )
    return 1 if failed else 0


def _report(verdict: Verdict, records: Path | None) -> None:
    for sentence in verdict.wrong:
        print(f"seed {verdict.seed}: {sentence}", flush=True)
    if verdict.record and records:
        records.mkdir(parents=True, exist_ok=True)
        (records / f"{verdict.seed}.txt").write_text("\n".join([*verdict.wrong, verdict.record]), encoding="utf-8")
    elif verdict.record:
        print(verdict.record, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
