"""What is promised about failed runs, over random stories: trees of objects, signs, retries, people, faults, deaths and policies that change.

A witness stands beside the bucket and judges each deletion as it happens, from what people did and when, and not from what the watchdog believes.
At the end all faults cease: then every run has come to an end that people were told of once, and nothing was forgotten.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from shared.actions import params_by_name
from shared.by_hand import ByHand
from shared.entry import Entry
from shared.errors import CloudError, Conflict, Denied, EventRejected, Unavailable
from shared.model import ObjectWritten, StorageObject
from shared.objects import duty, parts
from shared.objects.clean import Cleaner
from shared.objects.job import Job, Stage
from shared.objects.runs import Watch
from shared.policy.policy import Policy, parse
from shared.ports import Answer, World
from shared.watchdog import Watchdog
from tests.doubles import Hooks, ManualClock, MemoryBucket, MemoryMessenger, MemoryTasks
from tests.object_double import WEEK, Change, Kept, MemoryObjectBucket, MemoryObjects
from tests.stage import PROJECT, Crash

BUCKET = "acme-ml-runs"
RUNS = ("runs/a/", "runs/ab/", "exp/1/a/", "exp/2/a/")
BESIDE = ("runs/loose", "runs//odd", "other/a/_FAILED", "exp/1/loose", "runs.txt")
RELATIVE = ("ckpt/1", "ckpt/2", "ckpt/3", "ckpt/4", "deep/er/5", "logs/out", "zz.json")
SIGNS = {"_FAILED": b"", "status.json": b'{"state": "FAILED"}'}
PROMOTIONS = {"_SUCCESS": b"", "status.json": b'{"state": "DONE"}'}
RUNNING = b'{"state": "RUNNING"}'
RUN = re.compile(r"(?:runs/[^/]+|exp/[^/]+/[^/]+)/")
KEEP: dict[str, Callable[[str], bool]] = {
    "[]": lambda _: False,
    "[logs/**]": lambda name: name.startswith("logs/"),
    "['**/*.json', 'ckpt/[12]']": lambda name: name.endswith(".json") or name in ("ckpt/1", "ckpt/2"),
    "[_FAILED]": lambda name: name == "_FAILED",
}
PATTERNS = {"runs/{run}/": 2, "exp/{any}/{run}/": 3}
KINDS = {
    "announced": ": will delete ",
    "rehearsed": "DRY RUN: ",
    "left": " is left alone",
    "refused": "Refused to ",
    "cancelled": ": called off",
    "done": ": deleted ",
    "undone": ": put back ",
    "stuck": ": cannot ",
}
ENDS: dict[Stage, str] = {stage: stage for stage in ("rehearsed", "left", "refused", "cancelled", "done", "undone")}
DAY = timedelta(days=1)
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

some_terms = st.fixed_dictionaries(
    {
        "keep": st.sampled_from(list(KEEP)),
        "wait": st.sampled_from(["24h", "1h", "0s"]),
        "abandoned_after": st.sampled_from(["", "3d"]),
        "require_soft_delete": st.sampled_from(["true", "true", "false"]),
        "limits": st.sampled_from(["{}", "{}", "{}", "{objects: 3}", "{objects_per_day: 7}"]),
    }
)
a_run = st.sampled_from(RUNS)
Terms = dict[str, str]


@dataclass(frozen=True)
class Invocation:
    """One invocation of the watchdog: when it began, its policy, and its name in leases."""

    began: datetime
    policy: Policy
    owner: str


@dataclass
class Witness(MemoryObjects):
    """The bucket, and what is known of it that no listing shows.

    Attributes:
        judge: Called with what was deleted, as it was, right after it happened.
        look: Called with the folder when a listing begins.
        gone: What the watchdog deleted, with the content, by name and generation.
    """

    judge: Callable[[Kept, Change], None] = lambda _, __: None
    look: Callable[[str], None] = lambda _: None
    gone: dict[tuple[str, int], tuple[Kept, Change, datetime | None]] = field(default_factory=dict)

    def pages(self, bucket: str, prefix: str, *, after: str = "", versions: bool = False) -> Iterator[Sequence[StorageObject]]:
        """Say that it begins."""
        if not after:
            self.look(prefix)
        return super().pages(bucket, prefix, after=after, versions=versions)

    def _delete(self, holder: MemoryObjectBucket, each: StorageObject) -> Answer:
        kept, count = holder.live.get(each.name), len(self.deleted)
        answer = super()._delete(holder, each)
        if kept and len(self.deleted) > count:
            change = self.deleted[-1]
            ends = change.at + holder.facts.soft_delete if holder.facts.soft_delete else None if holder.facts.versioned else change.at
            self.gone[each.name, each.generation] = (kept, change, ends)
            self.judge(kept, change)
        return answer


@dataclass
class StateBucket(MemoryBucket):
    """The state bucket, and when the looks began: the last one of each entry, and the one that each manifest was written by."""

    looks: dict[str, datetime] = field(default_factory=dict)

    def write(self, name: str, data: bytes, **more: Any) -> int:
        """Remember which look it comes of."""
        if name.startswith("manifests/"):
            # A worker that lost its lease right when its look began may write manifests, too; nothing is deleted on their word.
            self.looks[name] = self.looks.get(name.split("/")[1], LONG_AGO)
        return super().write(name, data, **more)


class Story(RuleBasedStateMachine):
    """One random story of some weeks."""

    latency = (0.0,)

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.hooks = Hooks(before=lambda name: self._strike(name, "before"), after=lambda name: self._strike(name, "after"))
        self.fuse: tuple[int, str, Callable[[str], None]] | None = None
        self.store = Witness(self.hooks, self.clock, page=3, judge=self._judge, look=self._look_begins)
        self.state = StateBucket(self.hooks)
        self.messenger = MemoryMessenger(self.hooks, clock=self.clock)
        self.tasks = MemoryTasks(self.hooks)
        self.world = World(self.state, {}, self.store, self.messenger, self.tasks, self.clock, workers=1)
        self.invocations: list[Invocation] = []
        self.wrong: list[str] = []
        self.since: dict[tuple[str, str], datetime] = {}
        self.faulty: set[str] = set()
        self.events: list[ObjectWritten] = []
        self.jobs: dict[str, Job] = {}
        self.seconds, self.slow = 240.0, 0.0
        self.terms: dict[str, Terms] = {}
        self._told_of_restored = 0
        self._read: dict[str, tuple[int, Job | None]] = {}
        self.log = _Faults(self.wrong)
        logging.getLogger("shared").addHandler(self.log)

    # the beginning

    @initialize(
        terms=st.tuples(*[some_terms for _ in PATTERNS]),
        trees=st.tuples(*[st.lists(st.sampled_from([*RELATIVE, "status.json"]), min_size=2, max_size=8, unique=True) for _ in RUNS]),
        versioned=st.sampled_from([False, False, True]),
        soft_delete=st.sampled_from([WEEK, WEEK, 2 * WEEK, timedelta(0)]),
        slow=st.sampled_from([0.0, 0.0, 0.5, 3.0]),
        seconds=st.sampled_from([240.0, 240.0, 20.0]),
    )
    def begin(
        self, terms: tuple[Terms, ...], trees: tuple[list[str], ...], versioned: bool, soft_delete: timedelta, slow: float, seconds: float
    ) -> None:  # fmt: skip
        """A bucket with some runs, others beside them, and a policy."""
        self.terms = dict(zip(PATTERNS, terms, strict=True))
        self.policy = _policy(self.terms)
        self.store.create(BUCKET, soft_delete=soft_delete, versioned=versioned)
        self._since("bucket")
        for name in (*BESIDE, *(run + name for run, names in zip(RUNS, trees, strict=True) for name in names)):
            self._write(name, RUNNING if name.endswith("status.json") else name.encode(), heard=False)
        self.slow, self.seconds = slow, seconds

    # what people do

    @rule(run=a_run, relative=st.sampled_from(RELATIVE), content=st.binary(max_size=1))
    def somebody_writes(self, run: str, relative: str, content: bytes) -> None:
        """A run is alive."""
        self._write(run + relative, content)

    @rule(run=a_run, sign=st.sampled_from(sorted(SIGNS)), heard=st.sampled_from([True, True, True, False]))
    def a_run_fails(self, run: str, sign: str, heard: bool) -> None:
        """And says so; the notice may come late, or never."""
        self._write(run + sign, SIGNS[sign], heard=heard)

    @rule(run=a_run, sign=st.sampled_from(sorted(SIGNS)), seconds=st.sampled_from([61, 2 * 3600, 25 * 3600]))
    def a_run_fails_and_its_time_comes(self, run: str, sign: str, seconds: int) -> None:
        """Nothing comes between."""
        self._write(run + sign, SIGNS[sign])
        self.tick(61)
        self.tick(seconds)

    @rule(run=a_run, sign=st.sampled_from(sorted(PROMOTIONS)))
    def a_run_is_promoted(self, run: str, sign: str) -> None:
        """It succeeds after all, or somebody wants to keep it."""
        self._write(run + sign, PROMOTIONS[sign])

    @rule(run=a_run)
    def a_run_is_tried_again(self, run: str) -> None:
        """Its status is rewritten."""
        self._write(run + "status.json", RUNNING)

    @precondition(lambda self: self._there())
    @rule(data=st.data(), what=st.sampled_from(["remove", "remove", "hold", "unhold", "retain", "rewrite"]))
    def somebody_changes(self, data: st.DataObject, what: str) -> None:
        """Somebody deletes an object, keeps it, or writes it anew."""
        self._change(data.draw(st.sampled_from(self._there())), what)

    @precondition(lambda self: self.events)
    @rule(data=st.data())
    def a_notice_comes_late_or_again(self, data: st.DataObject) -> None:
        """Storage tells everything at least once, in any order."""
        self._deliver(data.draw(st.sampled_from(self.events)))

    @rule(days=st.sampled_from([7, 7, 7, 14, 0]), label=st.sampled_from(["dev", "dev", "dev", "prod"]))
    def the_bucket_is_changed(self, days: int, label: str) -> None:
        """Soft delete is switched, or the bucket protected."""
        self.store.change(BUCKET, soft_delete=days * DAY, labels={"env": label})
        self._since("bucket")

    @rule(change=st.sampled_from(["observe", "enforce", "enforce", "without", "with"]))
    def the_policy_is_changed(self, change: str) -> None:
        """Nothing is to be deleted any more, or again; or a rule goes, and comes back."""
        rules = self.terms if change != "without" else dict(list(self.terms.items())[1:])
        self.policy = _policy(rules, mode="observe" if change == "observe" else "enforce")

    @precondition(lambda self: self._keys())
    @rule(data=st.data(), what=st.sampled_from(["approve", "approve", "cancel", "restore_entry"]))
    def somebody_asks(self, data: st.DataObject, what: str) -> None:
        """A person approves, calls off, or wants it back."""
        self._ask_one(data, what)

    # what happens

    @rule(seconds=st.sampled_from([1, 61, 61, 600, 3700, 25 * 3600, 25 * 3600, 8 * 86400]))
    def tick(self, seconds: int) -> None:
        """Time passes, and Cloud Scheduler ticks."""
        self.clock.sleep(seconds)
        self._invoke(lambda watchdog: watchdog.tick())

    @rule(run=a_run, calls=st.integers(1, 60), side=st.sampled_from(["before", "after"]), error=st.sampled_from([Crash, Crash, Unavailable]), seconds=st.sampled_from([61, 2 * 3600, 25 * 3600]), data=st.data())  # fmt: skip
    def it_dies_while_it_deletes(
        self, run: str, calls: int, side: str, error: type[BaseException], seconds: int, data: st.DataObject
    ) -> None:
        """A run's time comes, and the worker dies at it; then somebody may do something, and others go on."""
        self._write(f"{run}_FAILED", b"")
        self.tick(61)
        self.something_will_go_wrong(calls, side, error)
        self.tick(seconds)
        what = data.draw(st.sampled_from(["nothing", "remove", "hold", "rewrite", "restore_entry", "restore_entry", "promote"]))
        if what == "restore_entry":
            self._ask_one(data, what, "working", "done")
        elif what == "promote":
            self.a_run_is_promoted(run, "_SUCCESS")
        elif what != "nothing":
            self.somebody_changes(data, what)
        self.tick(61)
        self.tick(61)

    @precondition(lambda self: self._keys("working", "done"))
    @rule(data=st.data(), calls=st.integers(1, 40), side=st.sampled_from(["before", "after"]), error=st.sampled_from([Crash, Unavailable]))
    def it_dies_while_it_puts_back(self, data: st.DataObject, calls: int, side: str, error: type[BaseException]) -> None:
        """And others go on."""
        self.something_will_go_wrong(calls, side, error)
        self._ask_one(data, "restore_entry", "working", "done")
        self.tick(61)
        self.tick(61)

    @precondition(lambda self: self.tasks.asked)
    @rule()
    def drive(self) -> None:
        """The tasks topic delivers what was asked for."""
        for key in self.tasks.asked[:4]:
            self.tasks.asked.remove(key)
            self._invoke(partial(Watchdog.resume, key=key))

    @rule(
        calls=st.integers(1, 40),
        side=st.sampled_from(["before", "after"]),
        error=st.sampled_from([Crash, Crash, Unavailable, Conflict, Denied]),
    )
    def something_will_go_wrong(self, calls: int, side: str, error: type[BaseException]) -> None:
        """Some call from now, on either side of its work: the worker dies, or there is no answer, or a refusal."""

        def strike(method: str) -> None:
            if error is Conflict and method not in ("write", "delete"):
                raise Unavailable("struck by the story")
            raise error("struck by the story")

        self.fuse = (calls, "before" if error in (Conflict, Denied) else side, strike)

    @rule(calls=st.integers(1, 40), seconds=st.sampled_from([0, 61, 130]), data=st.data())
    def something_happens_meanwhile(self, calls: int, seconds: int, data: st.DataObject) -> None:
        """In the midst of an invocation somebody writes, promotes or holds, another worker comes by, or the worker itself stands still."""
        what = data.draw(
            st.sampled_from(["another", "another", "promote", "remove", "hold", "rewrite", "write", "cancel", "restore_entry"])
        )
        run, relative = data.draw(a_run), data.draw(st.sampled_from([*RELATIVE, *SIGNS]))

        def happen(method: str) -> None:
            # Nothing can be done against a worker that stands still right before its call reaches Slack.
            self.clock.sleep(0 if method in ("find", "post") else seconds)
            name = run + relative
            if what in ("cancel", "restore_entry"):
                for key in self._keys()[:1]:
                    self._ask(what, key)
            elif what == "another":
                self._invoke(lambda watchdog: watchdog.tick())
            elif what in ("promote", "write"):
                self._write(*((f"{run}_SUCCESS", b"") if what == "promote" else (name, b"new")), heard=False)
            elif name in self._there():
                self._change(name, what)

        self.fuse = (calls, "before", happen)

    @rule(verb=st.sampled_from(["delete", "restore"]), run=a_run, relative=st.sampled_from([*RELATIVE, *SIGNS]), fate=st.sampled_from(["unavailable", "denied", "refused", "lost"]), times=st.sampled_from([1, 5, 30]))  # fmt: skip
    def an_object_of_a_batch_meets_a_fault(self, verb: Any, run: str, relative: str, fate: Any, times: int) -> None:
        """The others of the batch do not."""
        self.faulty.add(run + relative)
        if fate == "lost":
            self.store.lose(verb, run + relative)
        else:
            self.store.fail(verb, run + relative, fate, times=times)

    @rule(down=st.sampled_from(["slack", "tasks", "nothing", "nothing"]))
    def something_is_down(self, down: str) -> None:
        """Slack, or the tasks topic, or neither."""
        self.messenger.down, self.tasks.down = down == "slack", down == "tasks"

    # what must hold

    @invariant()
    def nothing_is_wrong(self) -> None:
        """The witness has seen nothing that was promised not to happen."""
        self._look()
        assert not self.wrong, self.wrong
        twice = [change for change, count in Counter((each.name, each.generation) for each in self.store.deleted).items() if count > 1]
        assert not twice

    @invariant()
    def each_message_is_posted_once(self) -> None:
        """Nobody is told anything twice."""
        assert max(Counter(reference for _, _, reference in self.messenger.posts).values(), default=1) == 1
        ends = Counter((reference.split("/")[0], kind) for reference, kind in self._told() if kind not in ("announced", "stuck", "undone"))
        assert max(ends.values(), default=1) == 1, ends

    def teardown(self) -> None:
        """All heals and time passes: every run has come to an end that was told, nothing was forgotten, and a run that fails now is deleted."""
        if self.terms:
            self._come_to_an_end()
        logging.getLogger("shared").removeHandler(self.log)

    def _come_to_an_end(self) -> None:
        self.fuse, self.slow = None, 0.0
        self.store.heal()
        self.messenger.down = self.tasks.down = False
        self.policy = _policy(self.terms)
        for seconds in (61, 61, 3700, 3700, 3700, *[25 * 3600] * 5, *[8 * 86400] * 4, *[25 * 3600] * 3):
            self.tick(seconds)
            while self.tasks.asked:
                self.drive()
        self.nothing_is_wrong()
        self.each_message_is_posted_once()
        for key, job in self.jobs.items():
            self._has_ended(key, job)

    def _has_ended(self, key: str, job: Job) -> None:
        is_open = f"entries/{key}.json" in self.state.objects
        assert not is_open or job.stage == "refused", (key, job)
        assert job.stage in (*ENDS, "done"), (key, job)
        assert job.reason or job.stage not in ("left", "refused"), (key, job)
        if job.parent:
            return
        kinds = [kind for reference, kind in self._told() if reference.startswith(f"{key}/")]
        quiet = job.stage in ("left", "cancelled") and not kinds
        assert quiet or kinds.count(ENDS[job.stage]) == 1, (key, job.stage, kinds)
        if job.stage == "done":
            unfinished = [portion for portion in job.portions if not portion.finished and not portion.superseded]
            assert not unfinished or job.reason, (key, job)
            own = job.sign and (job.sign.object, job.sign.generation) in self.store.gone
            assert not (own and "so nothing says any more that it failed" in job.reason), (key, job)
            ours = [each for each in self._planned(job, ever=True) if each in self.store.gone and self._only_of(key, each)]
            unsure = any(portion.begun and not portion.finished for portion in job.portions)
            assert unsure or len(ours) <= job.changed, (key, job, ours)
            for portion in (portion for portion in job.portions if not portion.superseded):
                alive = [each for each in self._manifest(portion.manifest) if each[1] == self._generation(each[0])]
                assert portion.changed + portion.left + portion.failed == portion.settled, (key, portion)
                assert portion.settled < portion.objects or len(alive) <= portion.left + portion.failed, (key, portion, alive)

    def _only_of(self, key: str, each: tuple[str, int]) -> bool:
        """Whether no other plan lists it too."""
        names = [name for name in self.state.objects if name.startswith("manifests/") and name.split("/")[1] != key]
        return not any(each in self._manifest(name) for name in names)

    # the witness

    def _look_begins(self, prefix: str) -> None:
        for entry in self._open():
            if entry.job and entry.job.prefix == prefix and entry.lease and entry.lease.owner == self.invocations[-1].owner:
                self.state.looks[entry.key] = self.clock.now()

    def _judge(self, kept: Kept, change: Change) -> None:
        """A deletion as it happens: one of the plans that it stands in has to allow it."""
        found = []
        for entry in self._open():
            if entry.job and not entry.job.parent and (change.name, change.generation) in self._planned(entry.job):
                faults = [*self._faults(entry, entry.job, kept, change)]
                if not faults:
                    return
                found.append(f"{entry.key}: {', '.join(faults)}")
        self.wrong.append(f"{change.name}#{change.generation} was deleted by {'; '.join(found) or 'no manifest'}")

    def _faults(self, entry: Entry, job: Job, kept: Kept, change: Change) -> Iterator[str]:
        """What speaks against the deletion, by what people did before the last look began, or before this invocation did."""
        terms, sign, here = self.terms[job.rule], job.sign, RUN.match(change.name)
        invocation, live = self.invocations[-1], self.store.buckets[BUCKET].live
        looked = self._looked(job)
        if here is None or here[0] != job.prefix or sign is None:
            yield f"lies outside of {job.prefix}"
            return
        if KEEP[terms["keep"]](change.name.removeprefix(job.prefix)):
            yield "is kept by the policy"
        if kept.shown.created > sign.at:
            yield "is newer than the sign"
        mine = {name: each.shown for name, each in live.items() if name.startswith(job.prefix)} | {change.name: kept.shown}
        for name, each in mine.items():
            if each.created > sign.at and each.created < looked:
                yield f"the run lives: {name}"
            if each.hold and self.since["hold", name] < looked:
                yield f"held: {name}"
            if each.retained_until and each.retained_until > change.at and self.since["retain", name] < looked:
                yield f"retained: {name}"
        for promotion, content in PROMOTIONS.items():
            found = live.get(job.prefix + promotion)
            if found and found.data == content and found.shown.created < invocation.began:
                yield f"promoted by {promotion}"
        found = live.get(sign.object)
        mine_too = (sign.object, sign.generation) in self.store.gone
        if (
            not mine_too
            and not (found and found.shown.generation == sign.generation)
            and self.since["write", sign.object] < invocation.began
        ):
            yield "the sign is gone or another"
        facts = self.store.buckets[BUCKET].facts
        if self.since["bucket", ""] < looked and facts.labels.get("env") == "prod":
            yield "the bucket is protected"
        if self.since["bucket", ""] < looked and not facts.soft_delete and terms["require_soft_delete"] == "true":
            yield "there is no soft delete"
        if invocation.policy.mode == "observe" or job.rule not in [each.runs for each in invocation.policy.artifacts]:
            yield "the policy does not ask for it"
        wait = next(each.wait for each in _policy(self.terms).artifacts if each.runs == job.rule)
        if change.at < entry.created + wait and not job.approved_by:
            yield "it is too early"
        if job.stage not in ("working", "undoing") or (job.stage == "undoing" and not entry.lease and not self._parts(entry.key)):
            yield f"its stage is {job.stage}"
        back = [each.undone_at for each in self._all_jobs() if each.prefix == job.prefix and each.undone_at]
        if any(self.since["write", sign.object] <= at < looked for at in back):
            yield "a person had it put back, and it has not failed since"
        if "objects: 3" in terms["limits"] and len(self._planned(job)) > 3 and not job.approved_by:
            yield "it is larger than the limit"
        if "per_day: 7" in terms["limits"] and not job.approved_by:
            others = [each for each in self._all_jobs() if each.rule == job.rule and each.portions and not each.parent]
            lately = [each for each in others if looked - DAY + timedelta(hours=1) < self._looked(each) <= looked]
            if sum(len(self._planned(each)) for each in lately) > 7:
                yield "more than the day's limit"

    def _looked(self, job: Job) -> datetime:
        return max((self.state.looks[portion.manifest] for portion in job.portions), default=LONG_AGO)

    def _all_jobs(self) -> list[Job]:
        entries = [self._entry(name) for name in sorted(self.state.objects) if name.startswith(("entries/", "closed/"))]
        return [job for job in {entry.key: entry.job for entry in entries}.values() if job]

    def _look(self) -> None:
        """Read what the journal says now; what was put back must be as it was."""
        for name, (_, generation, _) in [*self.state.objects.items()]:
            if name.startswith(("entries/", "closed/")) and self._read.get(name, (0, None))[0] != generation:
                entry = self._entry(name)
                key, before = entry.key, self.jobs.get(entry.key)
                if entry.job:
                    self.jobs[key] = entry.job
                    self._read[name] = (generation, entry.job)
                    if entry.job.stage == "undone" and (before is None or before.stage != "undone"):
                        self.wrong += self._not_as_before(key, entry.job)

    def _not_as_before(self, key: str, job: Job) -> Iterator[str]:
        now = self.clock.now()
        for name, generation in sorted(self._planned(job, ever=True)):
            kept, change, ends = self.store.gone.get((name, generation), (None, None, None))
            if not (kept and change and job.undone_at and change.at <= job.undone_at):
                continue
            live = self.store.buckets[BUCKET].live.get(name)
            touched = self.since.get(("write", name), LONG_AGO) >= change.at
            again = any(each.name == name and each.at > change.at for each in self.store.deleted)
            again = again or any(
                each.name == name and each.at >= change.at and each.generation != generation for each in self.store.restored
            )
            if touched or again or name in self.faulty or (ends and ends <= now):
                continue
            if live is None or (live.data, live.shown.crc32c, live.shown.storage_class) != (
                kept.data,
                kept.shown.crc32c,
                kept.shown.storage_class,
            ):
                yield f"{key}: {name}#{generation} was not put back: {live}"

    # how

    def _write(self, name: str, content: bytes, *, heard: bool = True) -> None:
        with contextlib.suppress(Denied):
            written = self.store.put(BUCKET, name, content)
            self._since("write", name)
            self.events.append(ObjectWritten(BUCKET, name, written.generation, written.size, written.created))
            self.clock.sleep(1)
            if heard:
                self._deliver(self.events[-1])

    def _change(self, name: str, what: str) -> None:
        with contextlib.suppress(Denied):
            if what == "remove":
                self.store.remove(BUCKET, name)
                self._since("write", name)
            elif what == "rewrite":
                self._write(name, b"anew", heard=False)
            elif what == "retain":
                self.store.retain(BUCKET, name, self.clock.now() + 2 * DAY)
                self._since("retain", name)
            else:
                self.store.hold(BUCKET, name, "temporary hold" if what == "hold" else "")
                self._since("hold", name)
        self.clock.sleep(1)

    def _since(self, what: str, name: str = "") -> None:
        self.since[what, name] = self.clock.now()

    def _deliver(self, written: ObjectWritten) -> None:
        for suspect in Watch(self.policy.artifacts).signs(written.bucket, written.name):
            self._invoke(partial(Watchdog.notice, written=written, suspect=suspect))

    def _ask_one(self, data: st.DataObject, what: str, *stages: Stage) -> None:
        if keys := self._keys(*stages):
            self._ask(what, data.draw(st.sampled_from(keys)))

    def _ask(self, what: str, key: str) -> None:
        self._invoke(lambda watchdog: getattr(ByHand(watchdog, "ann"), what)(key))

    def _invoke(self, ask: Callable[[Watchdog], object]) -> None:
        watchdog = Watchdog(self.world, self.policy, project=PROJECT, time_budget=timedelta(seconds=self.seconds))
        vars(watchdog)["cleaner"] = Cleaner(watchdog.world, self.policy, PROJECT, watchdog.deadline, watchdog.braking, portion=3)
        self.invocations.append(Invocation(self.clock.now(), self.policy, watchdog.owner))
        with contextlib.suppress(Crash, CloudError):
            try:
                ask(watchdog)
            except EventRejected as error:
                watchdog.reject(error)
        self.invocations.pop()
        restored, self._told_of_restored = self.store.restored[self._told_of_restored :], len(self.store.restored)
        for each in restored:
            found = self.store.buckets[BUCKET].live.get(each.name)
            if found and found.shown.generation == each.made:
                self.since["write", each.name] = self.since.get(("write", each.name), each.at)
                self.events.append(ObjectWritten(BUCKET, each.name, each.made, found.shown.size, found.shown.created))
                self._deliver(self.events[-1])

    def _there(self) -> list[str]:
        return [name for name in self.store.names(BUCKET) if RUN.match(name)]

    def _generation(self, name: str) -> int:
        found = self.store.buckets[BUCKET].live.get(name)
        return found.shown.generation if found else 0

    def _keys(self, *stages: Stage) -> list[str]:
        jobs = {entry.key: entry.job for entry in self._open() if entry.job and not entry.job.parent}
        return sorted(key for key, job in jobs.items() if not stages or job.stage in stages)

    def _open(self) -> list[Entry]:
        return [self._entry(name) for name in sorted(self.state.objects) if name.startswith("entries/")]

    def _parts(self, key: str) -> list[Entry]:
        return [entry for entry in self._open() if entry.job and entry.job.parent == key]

    def _entry(self, name: str) -> Entry:
        return Entry.model_validate_json(self.state.objects[name][0])

    def _planned(self, job: Job, *, ever: bool = False) -> set[tuple[str, int]]:
        """What the last plan lists, or every plan that was begun."""
        return {each for portion in job.portions if ever or not portion.superseded for each in self._manifest(portion.manifest)}

    def _manifest(self, name: str) -> list[tuple[str, int]]:
        return _listed(self.state.objects[name][0])

    def _told(self) -> list[tuple[str, str]]:
        """What each message about a run is, by its reference."""
        told = []
        for _, text, reference in self.messenger.posts:
            heading = text.split("\n")[0]
            kinds = [kind for kind, words in KINDS.items() if words in heading]
            if reference.startswith(("run-", "rehearsal-")):
                told.append((reference, kinds[0] if "DRY RUN" not in heading else "rehearsed"))
        return told

    def _strike(self, name: str, side: str) -> None:
        if side == "before" and self.slow:
            self.clock.sleep(self.slow)
        if self.fuse is None or self.fuse[1] != side or not self.invocations:
            return
        calls, when, happen = self.fuse
        self.fuse = (calls - 1, when, happen) if calls > 1 else None
        if calls == 1:
            happen(name)


class _Faults(logging.Handler):
    """What the watchdog itself takes for a fault in its code, or cannot read."""

    def __init__(self, wrong: list[str]) -> None:
        super().__init__(logging.ERROR)
        self.wrong = wrong

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        if record.exc_info or "cannot be read" in record.getMessage() or "damaged" in record.getMessage():
            self.wrong.append(f"{record.getMessage()}: {record.exc_info and record.exc_info[1]!r}")


def test_the_promises_about_runs_hold_in_every_story(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what belongs to a failed run, was seen, and is written down; all of it comes to an end that is told, and back where that is asked for."""
    monkeypatch.setattr(duty, "BATCH", 2)
    monkeypatch.setattr(parts, "SPREAD_FROM", 2)
    run_state_machine_as_test(
        Story, settings=settings(max_examples=30, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
    )


def _listed(data: bytes) -> list[tuple[str, int]]:
    lines = (json.loads(line) for line in gzip.decompress(data).decode().splitlines())
    return [(line["name"], line["generation"]) for line in lines]


def _runs(name: str) -> str:
    return next((pattern for pattern in PATTERNS if name.startswith(pattern.split("{")[0])), "")


def _policy(terms: dict[str, Terms], mode: str = "enforce") -> Policy:
    lines = ["version: 1", f"mode: {mode}", "protect: {labels: {env: prod}}", 'slack: {channel: "#ml-cost"}', "artifacts:"]
    for pattern, each in terms.items():
        lines += [
            f"  - bucket: {BUCKET}",
            f"    runs: '{pattern}'",
            "    failed_when: [failed_marker, {object: status.json, has: {state: [FAILED]}}]",
            "    unless: [_SUCCESS, {object: status.json, has: {state: DONE}}]",
            *(f"    {key}: {value}" for key, value in each.items() if value),
        ]
    return parse("\n".join(lines), source="story", actions=params_by_name())
