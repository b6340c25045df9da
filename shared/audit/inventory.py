"""The objects of one bucket, listed once and added up: by age and class, by run, and what could be compressed. Reads only.

A bucket with millions of objects is listed as far as time allows, in the order of names, and the inventory says how far that was.
"""

from __future__ import annotations

import heapq
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.audit.estate import AGES, RUNS, Heap, Inventory, RunSeen, RunState
from shared.errors import CloudError
from shared.model import StorageObject
from shared.objects.runs import LIMIT, kept, run_of, says, tells
from shared.policy.artifacts import ArtifactRule, Condition
from shared.ports import ObjectStore

log = logging.getLogger(__name__)

UNPROMOTED_AFTER = timedelta(days=30)
"""A run that was neither promoted nor written to for so long is told of, whatever the rule says of abandoned ones."""
READS = 100
"""Of how many runs of one rule the status files are read at most: of the largest."""
CHECKPOINTS = (".ckpt", ".pt", ".pth", ".bin", ".safetensors", ".pkl", ".npy", ".h5")
"""What the names of checkpoints that are not compressed end with."""
OLD = timedelta(days=30)
_STANDARD = frozenset({"STANDARD", "REGIONAL", "MULTI_REGIONAL", "DURABLE_REDUCED_AVAILABILITY"})
_BANDS = tuple(reversed(AGES))


def take(
    objects: ObjectStore, bucket: str, rules: Iterable[ArtifactRule], *, versions: bool, now: datetime, go_on: Callable[[], bool]
) -> Inventory:
    """List a bucket and add it up.

    Args:
        objects: The buckets.
        bucket: Its name.
        rules: What the policy says about artifacts, in any bucket.
        versions: Whether the bucket keeps noncurrent versions; they are listed too then.
        now: The time of the look.
        go_on: Whether there is time left; asked before each page and each status file.

    Raises:
        CloudError: The bucket could not be listed at all, or not any further.
    """
    sums = _Sums(now)
    walks = [_Walk(rule, now) for rule in rules if rule.bucket == bucket]
    whole, last = True, ""
    for page in objects.pages(bucket, "", versions=versions):
        last = page[-1].name
        live = sums.add(page)
        for walk in walks:
            walk.add(live)
        if not go_on():
            # Whether more would come is not known; the run that the page ends in may not be seen whole.
            whole = False
            break
    for walk in walks:
        walk.end(whole=whole)
    found = [_seen(walk, objects, go_on) for walk in walks]
    return Inventory(
        bucket=bucket,
        whole=whole,
        until=last,
        live={key: Heap(*counts) for key, counts in sums.live.items()},
        noncurrent={key: Heap(*counts) for key, counts in sums.noncurrent.items()},
        runs=tuple(run for runs, _, _ in found for run in runs),
        more_runs=_joined([more for _, more, _ in found]),
        unread=sum(unread for _, _, unread in found),
        checkpoints=Heap(*sums.checkpoints),
    )


class _Sums:
    """Everything in the bucket, whoever's it is."""

    def __init__(self, now: datetime) -> None:
        self._edges = tuple((now - timedelta(days=days), days) for days in _BANDS)
        self._old = now - OLD
        self.live: dict[tuple[str, int], list[int]] = {}
        self.noncurrent: dict[str, list[int]] = {}
        self.checkpoints = [0, 0]

    def add(self, page: Sequence[StorageObject]) -> list[StorageObject]:
        """Add a page up; the answer is what of it is live."""
        live = []
        for each in page:
            storage_class = "STANDARD" if each.storage_class in _STANDARD else each.storage_class
            if each.noncurrent_since:
                counts = self.noncurrent.setdefault(storage_class, [0, 0])
            else:
                live.append(each)
                created = each.created
                age = next((days for edge, days in self._edges if created <= edge), 0)
                counts = self.live.setdefault((storage_class, age), [0, 0])
                if created <= self._old and each.name.endswith(CHECKPOINTS):
                    self.checkpoints[0] += 1
                    self.checkpoints[1] += each.size
            counts[0] += 1
            counts[1] += each.size
        return live


@dataclass(slots=True)
class _Run:
    """One run, as far as its names tell."""

    prefix: str
    newest: datetime
    size: list[int] = field(default_factory=lambda: [0, 0])
    classes: dict[str, list[int]] = field(default_factory=dict)
    promoted: bool = False
    sign: str = ""
    statuses: list[StorageObject] = field(default_factory=list)

    def __lt__(self, other: _Run) -> bool:
        return (self.size[1], other.prefix) < (other.size[1], self.prefix)

    @property
    def heap(self) -> Heap:
        return Heap(*self.size)


class _Walk:
    """The runs of one rule; names come in order, so a run's objects stand together."""

    def __init__(self, rule: ArtifactRule, now: datetime) -> None:
        self.rule = rule
        self.now = now
        self.named: list[tuple[RunState, _Run]] = []
        self.unclear: list[_Run] = []
        self.unclear_more = 0
        self._run: _Run | None = None
        self._promoting = {reason.object for reason in rule.unless if not reason.has}
        self._signs = {sign.object for sign in rule.failed_when if not sign.has}
        self._statuses = {each.object for each in (*rule.unless, *rule.failed_when) if each.has}

    def add(self, page: Sequence[StorageObject]) -> None:
        run = self._run
        for each in page:
            if run is None or not each.name.startswith(run.prefix):
                self._close()
                prefix = run_of(self.rule, each.name)
                run = self._run = _Run(prefix, each.created) if prefix else None
                if run is None:
                    continue
            self._take(run, each, each.name[len(run.prefix) :])

    def end(self, *, whole: bool) -> None:
        """The last run; where the listing was broken off in it, it says nothing."""
        if whole:
            self._close()
        self._run = None

    def _take(self, run: _Run, each: StorageObject, relative: str) -> None:
        run.newest = max(run.newest, each.created)
        run.promoted = run.promoted or relative in self._promoting
        if relative in self._signs:
            run.sign = run.sign or f"{relative} is there"
        if relative in self._statuses:
            run.statuses.append(each)
        if not kept(self.rule, relative):
            counts = run.classes.setdefault("STANDARD" if each.storage_class in _STANDARD else each.storage_class, [0, 0])
            for sums in (run.size, counts):
                sums[0] += 1
                sums[1] += each.size

    def _close(self) -> None:
        run, self._run = self._run, None
        if run is None or run.promoted or not run.size[0]:
            return
        if run.statuses:
            if len(self.unclear) < READS:
                heapq.heappush(self.unclear, run)
            else:
                heapq.heappushpop(self.unclear, run)
                self.unclear_more += 1
        elif run.sign:
            self.named.append(("failed", run))
        elif not self._statuses and (state := self.by_age(run)):
            # Where runs have status files, a folder without one is no run.
            self.named.append((state, run))

    def by_age(self, run: _Run) -> RunState | None:
        """What the time of its last write says of a run without a sign."""
        quiet = self.now - run.newest
        if self.rule.abandoned_after and quiet >= self.rule.abandoned_after:
            return "abandoned"
        return "unpromoted" if self.rule.unless and quiet >= UNPROMOTED_AFTER else None


def _seen(walk: _Walk, objects: ObjectStore, go_on: Callable[[], bool]) -> tuple[list[RunSeen], dict[RunState, Heap], int]:
    """The largest runs of each state, what is left out of them, and how many runs could not be told of."""
    named, unread = list(walk.named), walk.unclear_more
    for run in sorted(walk.unclear, reverse=True):
        if not go_on():
            unread += 1
            continue
        try:
            told = _by_status(walk, run, objects)
        except CloudError as error:
            log.info("gs://%s/%s: its status could not be read: %s", walk.rule.bucket, run.prefix, error)
            unread += 1
            continue
        if told:
            named.append(told)
    runs: list[RunSeen] = []
    more: dict[RunState, Heap] = {}
    by_state: dict[RunState, list[_Run]] = {}
    for state, run in named:
        by_state.setdefault(state, []).append(run)
    for state, some in sorted(by_state.items()):
        largest = sorted(some, reverse=True)
        runs += [_told(walk, state, run) for run in largest[:RUNS]]
        if rest := largest[RUNS:]:
            more[state] = sum((run.heap for run in rest), Heap())
    return runs, more, unread


def _by_status(walk: _Walk, run: _Run, objects: ObjectStore) -> tuple[RunState, _Run] | None:
    """The state of a run that has status files, by what they say."""
    contents = {
        each.name[len(run.prefix) :]: objects.read(walk.rule.bucket, each.name, generation=each.generation, limit=LIMIT)
        for each in run.statuses
    }

    def told(conditions: Iterable[Condition]) -> list[str]:
        found = (says(each, contents[each.object]) for each in conditions if each.has and each.object in contents)
        return [words for words in found if words]

    if told(walk.rule.unless):
        return None
    if failed := [*told(walk.rule.failed_when), *([run.sign] if run.sign else [])]:
        run.sign = failed[0]
        return "failed", run
    known = any(
        tells(each, contents[each.object]) for each in (*walk.rule.unless, *walk.rule.failed_when) if each.has and each.object in contents
    )
    state = walk.by_age(run) if known else None
    return (state, run) if state else None


def _told(walk: _Walk, state: RunState, run: _Run) -> RunSeen:
    words = run.sign if state == "failed" else f"neither promoted nor written to since {run.newest:%Y-%m-%d}"
    classes = {name: Heap(*counts) for name, counts in run.classes.items()}
    return RunSeen(walk.rule.runs, run.prefix, state, run.heap, classes, run.newest, words)


def _joined(parts: Iterable[dict[RunState, Heap]]) -> dict[RunState, Heap]:
    joined: dict[RunState, Heap] = {}
    for part in parts:
        for state, heap in part.items():
            joined[state] = joined.get(state, Heap()) + heap
    return joined
