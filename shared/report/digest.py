"""The weekly digest: what a week was like, at a glance. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal

from shared import prices
from shared.audit.finding import Finding
from shared.audit.report import Report, counted
from shared.audit.text import short
from shared.burn import SILENT, Burn
from shared.entry import Entry, TargetRecord
from shared.model import BudgetNotification
from shared.objects.job import Job
from shared.prices_storage import PER_GIB_MONTH, Saving, saving
from shared.report import job_parts as jobs
from shared.report import parts
from shared.report.burn import sentences
from shared.report.letter import Letter, letter
from shared.slack.text import Part, about, bar, code, date, day, money, plural, prose, volume

FIRST = 5
"""Findings, and owners, that are named."""
PEOPLE = 3
"""People that are named."""
BLANKS = 3
"""Things not seen that are named."""

_NAME = 90
_LINE = 400
_OWNED = frozenset({"serving", "storage", "labels"})
"""Findings of the other categories are about the watch itself and about budgets, which carry no labels."""
_OWNERS = ("owner", "team")


@dataclass(frozen=True, slots=True)
class Spent:
    """How a budget stands.

    Attributes:
        notice: Its newest message.
        rise: What was spent since a week ago, in its currency; None where the messages of its period do not reach back so far.
        burn: How fast it is used up; None where that is not known.
    """

    notice: BudgetNotification
    rise: Decimal | None = None
    burn: Burn | None = None


@dataclass(frozen=True, slots=True)
class Did:
    """How often something was done: ``Did("run", "deleted", 3)``."""

    noun: str
    word: str
    count: int


@dataclass(frozen=True, slots=True)
class Week:
    """What a digest tells of.

    Attributes:
        budgets: Every budget that is known to the journal.
        parked: What is parked now; a resource that several plans hold is there once for each.
        removed: The work on objects that changed some within the week, and was not undone.
        done: What was done within the week, each noun's words together, and what is still to come.
        people: Who decided, who did most of it first.
        waits: The open entries that wait for a person, the oldest first.
        report: An audit of now; None where it could not be made.
        failure: Why it could not.
        unread: What of the journal could not be read, a sentence each.
        required_labels: The labels that the policy asks of every resource.
    """

    budgets: tuple[Spent, ...] = ()
    parked: tuple[TargetRecord, ...] = ()
    removed: tuple[Job, ...] = ()
    done: tuple[Did, ...] = ()
    people: tuple[str, ...] = ()
    waits: tuple[Entry, ...] = ()
    report: Report | None = None
    failure: str = ""
    unread: tuple[str, ...] = ()
    required_labels: tuple[str, ...] = ()


def digest(week: Week, now: datetime) -> Letter:
    """What was spent, saved and done, what waits for a person, and what is worth mending; what there is nothing of is left out."""
    said = [*_quiet(week), *_spend(week, now), *_saved(week), *_done(week), *_waits(week), *_audit(week), *_unseen(week)]
    year, number, _ = now.astimezone(UTC).isocalendar()
    return letter(f"Cost digest, week {number} of {year}", said, now)


# the week


def _quiet(week: Week) -> Iterator[Part]:
    if week.done or week.removed or week.people:
        return
    words = f"{'As far as the journal could be read, nothing' if week.unread else 'Nothing'} was parked, put back, deleted or decided"
    words += "" if week.waits else ", and nothing waits for a decision"
    if week.report and not _worth(week.report) and not week.report.blanks:
        words += "; the audit found nothing worth mending"
    yield Part(tail=f"A quiet week. {words}.")


def _spend(week: Week, now: datetime) -> Iterator[Part]:
    if week.budgets:
        ordered = sorted(week.budgets, key=lambda each: (-each.notice.level("actual"), each.notice.budget_name))
        yield Part(title="SPEND", lines=tuple("\n".join(_spent(each, now)) for each in ordered), recorded=False)


def _spent(each: Spent, now: datetime) -> Iterator[str]:
    notice = each.notice
    picture = f"`{bar(notice.level('actual'))}` " if notice.amount > 0 else ""
    old = f" · as of {day(notice.sent_at)}" if now - notice.sent_at > SILENT else ""
    yield f"{picture}{prose(notice.budget_name, _NAME)}: {parts.spending(notice)}{_rise(each)}{old}"
    if each.burn:
        yield from sentences(each.burn, notice)


def _rise(each: Spent) -> str:
    if each.rise is None:
        return ""
    way = "up" if each.rise >= 0 else "down"
    return f" · {way} {money(abs(each.rise), each.notice.currency)} in 7 days" if each.rise else " · unchanged in 7 days"


def _saved(week: Week) -> Iterator[Part]:
    lines = (*_parked(week.parked), *_removed(week.removed))
    if lines:
        yield Part(title="SAVED", tail="\n".join(lines))


def _parked(targets: Sequence[TargetRecord]) -> Iterator[str]:
    kinds = Counter(kind for kind, _ in {(target.kind, target.resource) for target in targets})
    buckets, monthly = kinds.pop("bucket", 0), sum((target.saving for target in targets), Decimal(0))
    if kinds:
        saves = f": saves about {about(monthly)} a month (estimate, {prices.LISTED}; counts only instances kept warm)" if monthly else ""
        yield f"Parked now: {', '.join(plural(count, prose(kind.replace('_', ' '), 40)) for kind, count in sorted(kinds.items()))}{saves}"
    if buckets:
        yield f"Changed now: the lifecycle rules of {plural(buckets, 'bucket')}"


def _removed(done: Sequence[Job]) -> Iterator[str]:
    """What was done to objects, by what it is called, and what that saves from when on."""
    groups: dict[tuple[str, str], list[Job]] = {}
    for job in done:
        manner = jobs.manner_of(job)
        groups.setdefault((manner.done, manner.noun), []).append(job)
    for (verb, noun), some in sorted(groups.items()):
        amount = f"{plural(sum(job.changed for job in some), noun)}, {volume(sum(job.changed_bytes for job in some))}"
        saves = _one(some[0]) if len(some) == 1 else _several(some)
        yield f"{verb.capitalize()} in 7 days: {amount}. {prose(saves, 2 * _LINE)}".rstrip()


def _one(job: Job) -> str:
    at = job.planned_at
    return " ".join(jobs.saving_words(job, jobs.changed_of(job), at, after=True)) if at else ""


def _several(some: Sequence[Job]) -> str:
    """The estimates of several jobs added up."""
    estimates = [_estimate(job) for job in some]
    known = [each for each in estimates if each and each.begins]
    begins = sorted(each.begins for each in known if each.begins)
    unknown = sum(job.changed_bytes for job, each in zip(some, estimates, strict=True) if each not in known)
    words = []
    if begins:
        first, last = day(begins[0]), day(begins[-1])
        since = f"from {first}" if first == last else f"some of it from {first}, all of it from {last}"
        early = sum((each.early for each in known), Decimal(0))
        charge = f", less about {about(early)} once for early deletion" if early else ""
        dearer = any(job.seen and job.seen.location.lower() not in PER_GIB_MONTH for job in some)
        priced = "list price; some locations may be dearer" if dearer else "list price"
        words.append(f"Saves about {about(sum((each.monthly for each in known), Decimal(0)))} a month, {since}{charge} ({priced})")
    if unknown:
        words.append(f"What {volume(unknown)} of it saves is nothing or not known: versions stay, sizes differ, or there is no list price")
    return ". ".join(words)


def _estimate(job: Job) -> Saving | None:
    """What it saves to have done it; None where that is not known."""
    manner = jobs.manner_of(job)
    if job.seen is None or job.planned_at is None or (manner.unsure[1] and not job.made_bytes):
        return None
    whole = saving(jobs.changed_of(job), job.seen, job.planned_at, noncurrent=manner.noncurrent)
    # Of what was compressed only the difference is no longer there; all figures of an estimate are in proportion to the bytes.
    gone = Decimal(max(0, job.changed_bytes - job.made_bytes)) / max(1, job.changed_bytes)
    return replace(whole, monthly=whole.monthly * gone, early=whole.early * gone)


def _done(week: Week) -> Iterator[Part]:
    """One line for each noun: ``3 runs deleted, 1 left alone``."""
    groups: dict[str, list[Did]] = {}
    for each in week.done:
        groups.setdefault(each.noun, []).append(each)
    lines = tuple(
        f"• {plural(first.count, prose(noun, 40))} {first.word}{''.join(f', {each.count:,} {each.word}' for each in others)}"
        for noun, (first, *others) in groups.items()
    )
    named, more = week.people[:PEOPLE], len(week.people) - PEOPLE
    people = ", ".join(prose(name, _NAME) for name in named) + (f" and {more:,} more" if more > 0 else "")
    if lines or people:
        yield Part(title="DONE IN 7 DAYS", lines=lines, tail=f"Decided by {people}" if people else "", recorded=False)


# what people should do


def _waits(week: Week) -> Iterator[Part]:
    if week.waits:
        lines = tuple(f"• {code(entry.key, 200)}: {_waiting(entry)}, since {date(entry.created)}" for entry in week.waits)
        commands = "Yes: `python -m functions approve KEY` · no: `python -m functions cancel KEY` · more: `python -m functions show KEY`"
        yield Part(title=f"WAITS FOR A PERSON ({len(lines):,})", lines=lines, tail=commands, recorded=False)


def _waiting(entry: Entry) -> str:
    job = entry.job
    if job:
        return prose(f"refused to {jobs.task_of(job)}: {job.reason.rstrip('. ') or 'no reason given'}", _LINE)
    states = {"approval": "waits for a yes", "refused": "refused by a limit"}
    steps = [step for step in entry.steps if step.state in states]
    words = "; ".join(f"{parts.at(step)}, {parts.actions(step.uses)}, {states[step.state]}" for step in steps)
    return prose(f"{parts.name(entry)} {words}", _LINE)


def _audit(week: Week) -> Iterator[Part]:
    report = week.report
    if report is None:
        return
    worth = _worth(report)
    if worth:
        title = f"AUDIT: {report.verdict.colour}"
        if report.monthly_saving:
            title += f", about {about(report.monthly_saving)} a month could be saved (estimate at list price)"
        lines = tuple(_finding(each, week.required_labels) for each in worth[:FIRST])
        more = f"and {plural(len(worth) - FIRST, 'more finding')} in the audit" if len(worth) > FIRST else ""
        yield Part(title=title, lines=lines, tail=more, recorded=False)
    yield from _owners(report, week.required_labels)


def _finding(finding: Finding, labels: Iterable[str]) -> str:
    monthly = f", about {about(finding.saving.monthly)} a month" if finding.saving and finding.saving.monthly else ""
    whose = f" · {prose(owner(finding, labels), _NAME)}" if finding.category in _OWNED else ""
    return f"• {finding.severity}: {code(short(finding.resource))} {prose(finding.what)}{monthly}{whose}"


def _owners(report: Report, labels: Iterable[str]) -> Iterator[Part]:
    """Whose money it is; findings about the same money count once."""
    money = [(owner(each, labels), each.saving.monthly) for each in counted(report.findings).values() if each.saving]
    sums: dict[str, list[Decimal]] = {}
    for name, monthly in money:
        sums.setdefault(name, []).append(monthly)
    ordered = sorted(((sum(some, Decimal(0)), name, len(some)) for name, some in sums.items()), key=lambda each: (-each[0], each[1]))
    lines = tuple(f"• {prose(name, _NAME)}: {plural(count, 'finding')}, about {about(monthly)} a month" for monthly, name, count in ordered)
    if len(money) > 1:
        more = f"and {plural(len(lines) - FIRST, 'more owner')}" if len(lines) > FIRST else ""
        yield Part(title="BY OWNER", lines=lines[:FIRST], tail=more, recorded=False)


def owner(finding: Finding, labels: Iterable[str]) -> str:
    """Whose it is by its labels, not yet made safe: ``team vision``.

    Args:
        finding: About a resource.
        labels: The policy's `required_labels`, which count after ``owner`` and ``team``.
    """
    required = tuple(labels)
    for name in (*_OWNERS, *required):
        if value := finding.labels.get(name):
            return f"{name} {value}"
    asked = [name for name in _OWNERS if name in required] or required or ("team",)
    return f"nobody named: no label {asked[0]}"


def _worth(report: Report) -> list[Finding]:
    """The findings that are worth mending, as the report has them, without what the digest says elsewhere and what is about money named already."""
    dearest = {each.id for each in counted(report.findings).values()}

    def counts(each: Finding) -> bool:
        return each.id in dearest if each.saving and each.saving.monthly else each.severity != "low"

    return [each for each in report.findings if counts(each) and not _said(each)]


def _said(finding: Finding) -> bool:
    """Whether the digest says it by itself: how budgets stand, what could not be seen, and what waits for a person."""
    if finding.check == "stuck_entries":
        return finding.resource.startswith("journal/") or finding.resource.endswith("/waiting")
    return finding.check in ("blanks", "overspend")


def _unseen(week: Week) -> Iterator[Part]:
    blanks = week.report.blanks if week.report else ()
    known = [*week.unread, *(f"{each.what}: {each.reason}" for each in blanks)]
    if week.failure:
        known.insert(0, f"the audit could not be made: {week.failure}")
    if known:
        more = f"… and {len(known) - BLANKS:,} more" if len(known) > BLANKS else ""
        grant = "The audit of the digest is made by the function `task`; what it lacks is to be granted to its identity."
        grant = grant if any(each.mend for each in blanks) else ""
        lines = tuple(f"• {prose(each, _LINE)}" for each in known[:BLANKS])
        yield Part(title="NOT SEEN", lines=lines, tail="\n".join(each for each in (more, grant) if each), recorded=False)
