"""The weekly digest: what the journal and one audit know of the last seven days, told once a week."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from types import MappingProxyType
from typing import TypeVar

from shared.audit.report import Report
from shared.blind import Voice
from shared.burn import estimate
from shared.entry import NEXT_PERIOD, Entry, Status, TargetRecord
from shared.errors import CloudError, JournalError
from shared.journal import BudgetState, Journal
from shared.model import BudgetNotification
from shared.objects.job import Job, Stage
from shared.observe import each
from shared.policy.policy import Policy
from shared.ports import World
from shared.report.digest import Did, Spent, Week, digest
from shared.report.letter import Letter

T = TypeVar("T")
log = logging.getLogger(__name__)

WEEK = timedelta(days=7)
LOOK_BACK = timedelta(days=40)
"""Closed entries that were made earlier are not read: a month's plan is put back when the next month begins."""
MOST_CLOSED = 1000
"""Closed entries that are read at most, the newest first."""
NOTICES = "notice-"
"""How the keys of entries begin that are only a message."""
_LATE = timedelta(days=1)

_NOUNS = ("plan", "service", "worker pool", "bucket", "run", "clean-up")
_TO_COME: frozenset[Stage] = frozenset({"noticed", "waiting", "planning", "working"})
_STAGES: Mapping[Stage, str] = MappingProxyType(
    {
        "done": "done",
        "left": "left alone",
        "cancelled": "called off",
        "rehearsed": "only rehearsed",
        "undoing": "being put back",
        "undone": "put back",
        **dict.fromkeys(_TO_COME, "to come"),
    }
)
"""What became of work on objects; what was refused waits for a person, and is told of as such."""
_STATUSES: Mapping[Status, str] = MappingProxyType(
    {
        "verified": "parked",
        "restored": "put back",
        "restoring": "being put back",
        "intended": "not finished",
        "failed": "failed",
        "skipped": "skipped",
        "rehearsed": "only rehearsed",
        "left": "left to others",
    }
)
_PUT_BACK: frozenset[Status] = frozenset({"restored", "restoring"})


@dataclass(frozen=True, slots=True)
class Digest:
    """What it takes to tell of a week.

    Attributes:
        world: The ports, of which it only reads the state and the clock.
        policy: The policy in force.
        audit: Makes an audit of now; asked only where there is something to write.
        notice: Called with a key and a letter; sends one letter for a key and no second one.
    """

    world: World
    policy: Policy
    audit: Callable[[], Report]
    notice: Callable[[str, Letter], None]

    def write(self) -> str:
        """Tell of the last seven days, unless this week has its digest.

        Returns:
            The key of the week's entry, which may have been there, and may still be to send.

        Raises:
            CloudError: The journal does not answer; whether the message can be handled again depends on which one it is.
        """
        key, journal = key_of(self.world.clock.now()), Journal(self.world.state)
        if journal.keys(key) or journal.was_closed(key):
            log.info("%s: this week has its digest", key)
            return key
        week = self._week(journal)
        self.notice(key, digest(week, self.world.clock.now()))
        return key

    def _week(self, journal: Journal) -> Week:
        now, survey = self.world.clock.now(), journal.survey("")
        since, faults = now - WEEK, [str(fault) for fault in survey.faults]
        keys = [key for key in journal.closed_since(now - LOOK_BACK) if not key.startswith(NOTICES)]
        read = each(self.world.workers, lambda key: _readable(partial(journal.load_closed, key), faults), keys[:MOST_CLOSED])
        if len(keys) > MOST_CLOSED:
            faults.append(f"{len(keys) - MOST_CLOSED:,} older entries of the journal, since there are so many")
        states = [(voice, _readable(partial(journal.budget, voice.account, voice.budget), faults)) for voice in journal.voices()]
        # An entry that was closed between the two listings stands in both.
        entries = list({entry.key: entry for entry in (*survey.entries, *filter(None, read))}.values())
        report, failure = self._audited()
        return Week(
            budgets=tuple(_spent(voice, kept.record, now) for voice, kept in states if kept and self._means(voice, kept.record, since)),
            parked=parked(survey.entries),
            removed=tuple(_removed(entries, since)),
            done=tuple(done(entries, since)),
            people=tuple(people(entries, since)),
            waits=tuple(sorted(filter(_waits, survey.entries), key=lambda entry: (entry.created, entry.key))),
            report=report,
            failure=failure,
            unread=tuple(faults),
            required_labels=self.policy.required_labels,
        )

    def _audited(self) -> tuple[Report | None, str]:
        """An audit, or why there is none."""
        try:
            return self.audit(), ""
        except (CloudError, JournalError) as error:
            log.warning("the digest goes without an audit, which could not be made: %s", error)
            return None, str(error)
        except Exception as error:  # a fault in one of many checks must not keep people from hearing the rest
            log.exception("the digest goes without an audit because of a fault in the watchdog")
            return None, f"there is a fault in the watchdog, which is in the log: {error!r}"

    def _means(self, voice: Voice, state: BudgetState, since: datetime) -> bool:
        """Whether there still is such a budget: it was heard within the week, or the policy means it."""
        return state.series[-1].at >= since or self.policy.rule_of(voice.budget, state.name) is not None


def key_of(now: datetime) -> str:
    """The key of the week's digest, by the ISO week in UTC: ``notice-digest-2026-W48``."""
    return f"{NOTICES}digest-{now.astimezone(UTC):%G-W%V}"


def _readable(read: Callable[[], T | None], faults: list[str]) -> T | None:
    try:
        return read()
    except JournalError as error:
        faults.append(str(error))
        return None


# the budgets


def _spent(voice: Voice, state: BudgetState, now: datetime) -> Spent:
    newest = state.series[-1]
    notice = BudgetNotification(
        billing_account=voice.account, budget_id=voice.budget, budget_name=state.name or voice.budget, cost=newest.cost, amount=newest.amount,
        currency=state.currency, period_start=state.period_start, actual_threshold=None, forecast_threshold=None, message_id="", sent_at=newest.at,
    )  # fmt: skip
    burn = estimate(state.series, shares=(Decimal(1),), period_start=state.period_start, now=now)
    return Spent(notice, _rise(state, now), burn)


def _rise(state: BudgetState, now: datetime) -> Decimal | None:
    """What was spent since a week ago; None where no message of about then is known, or none since."""
    before = [point for point in state.series if point.at <= now - WEEK]
    newest = state.series[-1]
    if not before or newest is before[-1] or now - WEEK - before[-1].at > _LATE:
        return None
    return newest.cost - before[-1].cost


# what the journal says


def parked(entries: Iterable[Entry]) -> tuple[TargetRecord, ...]:
    """What is parked now, in each plan that holds it, and not where it came back.

    Where a higher step took a resource over, its saving is what it saved beyond the lower one's, so that of a resource all are added up.
    """
    some = [target for entry in entries for target in entry.parked()]
    top: dict[str, TargetRecord] = {}
    for target in some:
        if target.resource not in top or target.rank >= top[target.resource].rank:
            top[target.resource] = target
    return tuple(target for target in some if _stands(target) and _stands(top[target.resource]))


def _stands(target: TargetRecord) -> bool:
    return target.status == "verified" and target.drift is None


def _removed(entries: Iterable[Entry], since: datetime) -> Iterator[Job]:
    """The work that changed objects within the week; what was put back, or is being put back, is none."""
    for job in (entry.job for entry in entries if entry.job and not entry.job.parent):
        if job.changed and job.stage not in ("undoing", "undone") and job.planned_at and job.planned_at >= since:
            yield job


def done(entries: Iterable[Entry], since: datetime) -> Iterator[Did]:
    """What the entries of the week came to: those that were made since then, and of older ones what is known to have been done since then."""
    counts: Counter[tuple[str, str]] = Counter()
    for entry in entries:
        counts.update(_of_job(entry, entry.job, since) if entry.job else _of_plan(entry, since))
    for noun in _NOUNS:
        some = [Did(noun, word, count) for (known, word), count in counts.items() if known == noun]
        yield from sorted(some, key=lambda did: (-did.count, did.word))


def _of_job(entry: Entry, job: Job, since: datetime) -> Iterator[tuple[str, str]]:
    under_way = job.stage in _TO_COME or job.stage == "undoing"
    if job.parent or job.stage == "refused" or not (under_way or _within(entry, since)):
        return
    noun = "run" if job.sign else "clean-up"
    if under_way and (job.attempts or job.tries):
        yield noun, "failed so far, tried again"
    elif job.stage == "done" and job.sign:
        yield noun, "deleted" if job.changed else "with nothing to delete"
    else:
        yield noun, _STAGES[job.stage]


def _of_plan(entry: Entry, since: datetime) -> Iterator[tuple[str, str]]:
    made = entry.created >= since
    if made and entry.steps:
        yield from (("plan", word) for word in _plan(entry))
    for target in entry.targets if made or _within(entry, since) else ():
        if made or target.status in _PUT_BACK:
            yield target.kind.replace("_", " "), _fate(target)


def _plan(entry: Entry) -> Iterator[str]:
    states = {step.state for step in entry.steps}
    if "planned" in states:
        yield "carried out" if entry.mode == "enforce" else "only rehearsed"
    elif states & {"waiting", "open"}:
        yield "to come"
    elif states == {"cancelled"}:
        yield "called off"


def _fate(target: TargetRecord) -> str:
    if target.drift and target.status == "verified":
        return "came back by themselves"
    word = _STATUSES[target.status]
    return "changed" if word == "parked" and target.kind == "bucket" else word


def people(entries: Iterable[Entry], since: datetime) -> list[str]:
    """Who decided about the entries of the week, the busiest first."""
    names: Counter[str] = Counter()
    for entry in entries:
        if _within(entry, since) and not (entry.job and entry.job.parent):
            names.update({*_deciders(entry)} - {"", NEXT_PERIOD})
    return [name for name, _ in sorted(names.items(), key=lambda item: (-item[1], item[0]))]


def _deciders(entry: Entry) -> Iterator[str]:
    yield from (step.decided_by for step in entry.steps)
    yield from (target.undo_by for target in entry.targets)
    if entry.undo:
        yield entry.undo.by
    if entry.job:
        yield from (entry.job.decided_by, entry.job.approved_by)


def _within(entry: Entry, since: datetime) -> bool:
    """Whether something is known to have happened to the entry since then; of most decisions the journal keeps no time."""
    undone = entry.undo.at if entry.undo else None
    worked = (entry.job.planned_at, entry.job.undone_at) if entry.job else ()
    return any(at >= since for at in (entry.created, undone, *worked) if at)


def _waits(entry: Entry) -> bool:
    return any(step.state in ("approval", "refused") for step in entry.steps) or (entry.job is not None and entry.job.stage == "refused")
