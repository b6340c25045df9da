"""The paragraphs that messages are made of. Every string from outside passes through `shared.slack.text` before it becomes part of one."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from shared import prices
from shared.actions import Changes, registry
from shared.entry import HELD, Entry, StepRecord, TargetRecord, UnseenRecord, UseRecord
from shared.model import BudgetNotification, Place
from shared.report.burn import sentences
from shared.slack.text import Part, about, ahead, bar, clean, code, grouped, money, percent, plural, prose, stamp

_NAMES = 3
_STEPS = 4
_OLD = timedelta(days=1)  # what was estimated before may have passed already

# In the order in which they matter to a reader, each with what follows its list.
_HEADINGS = {
    "FAILED": "Each is tried again by itself; the state from before is kept.",
    "NOT FINISHED YET": "Each is carried on by itself.",
    "BEING PUT BACK": "",
    "CAME BACK": "Each is left as it is; what the watchdog changed of it is put back later.",
    "DONE": "",
    "WOULD DO": "",
    "PUT BACK": "",
    "LEFT ALONE": "",
    "SKIPPED": "",
}
_BY_STATUS = {
    "failed": "FAILED",
    "intended": "NOT FINISHED YET",
    "left": "LEFT ALONE",
    "rehearsed": "WOULD DO",
    "restored": "PUT BACK",
    "restoring": "BEING PUT BACK",
    "skipped": "SKIPPED",
    "verified": "DONE",
}


# the occasion


def name(entry: Entry) -> str:
    """What the entry is about: its budget's name."""
    return clean(entry.notification.budget_name if entry.notification else entry.key, 90)


def dry(entry: Entry) -> str:
    """How a dry run's heading begins."""
    return "DRY RUN: " if entry.mode == "observe" else ""


def occasion(entry: Entry) -> str:
    """The highest of the steps that were just reached, as a heading that is not yet made safe."""
    steps = [step for step in entry.steps if step.state != "cancelled"]
    fresh = [step for step in steps if not step.told] or steps
    actual = [step.at for step in fresh if step.on == "actual"]
    if actual:
        return f"{name(entry)} passed {percent(max(actual))}"
    forecast = [step.at for step in fresh]
    return f"{name(entry)} is forecast to pass {percent(max(forecast))}" if forecast else name(entry)


def spending(notice: BudgetNotification) -> str:
    """What is spent of the budget, in one line."""
    level = notice.level("actual")
    spent, amount = money(notice.cost, notice.currency), money(notice.amount, notice.currency)
    if notice.amount > 0:
        line = f"{percent(level, '1')} · {spent} of {amount}"
    else:
        line = f"{spent} spent; the budget's amount is {amount}, so there is no share to show"
    return line if notice.forecast_threshold is None else f"{line} · forecast to pass {percent(notice.forecast_threshold)}"


def period(notice: BudgetNotification) -> str:
    """Since when the spend is counted, and how fresh it is.

    A budget's period begins at midnight US Pacific, where the date is the same as in UTC.
    """
    return f"Period since {notice.period_start.astimezone(UTC):%Y-%m-%d}, midnight US Pacific · budget message of {stamp(notice.sent_at)}"


def rate(entry: Entry) -> list[str]:
    """How fast the budget was used up when the plan was made."""
    return list(sentences(entry.burn, entry.notification)) if entry.burn and entry.notification else []


def spend(entry: Entry, now: datetime | None = None) -> Iterator[Part]:
    """The spend with a bar, how fast it rises, and since when.

    Args:
        entry: The plan.
        now: The time of writing; how fast it rises is not said without, nor where that was estimated long before.
    """
    notice = entry.notification
    if notice:
        picture = f"`{bar(notice.level('actual'))}` " if notice.amount > 0 else ""
        fast = rate(entry) if now and now - notice.sent_at <= _OLD else []
        yield Part(tail="\n".join([f"{picture}{spending(notice)}", *fast]))
        yield Part(tail=period(notice), small=True)


def dry_run(entry: Entry) -> Iterator[Part]:
    """That it was only a dry run, and how to end that."""
    if entry.mode == "observe":
        yield Part(
            title="DRY RUN: nothing was changed.",
            tail="To let the watchdog act, set `mode: enforce` in the policy; where `WATCHDOG_MODE` is set for the functions, it decides.",
        )


def nothing_done(entry: Entry, carried_out: Sequence[TargetRecord]) -> Iterator[Part]:
    """That nothing was changed, where that is not said by what follows."""
    planned = [step for step in entry.steps if step.state == "planned"]
    if planned and not carried_out and not entry.begun:
        speaks_only = all(_changes(use) is None for step in planned for use in step.uses)
        yield Part(
            tail="This step only tells you: nothing is changed."
            if speaks_only
            else "Nothing was changed: there was nothing that had to be."
        )


def begun(entry: Entry) -> Iterator[Part]:
    """That what the steps do to objects is told of by itself."""
    if entry.begun:
        shown = ", ".join(code(key, 200) for key in entry.begun[:_NAMES])
        more = f" and {len(entry.begun) - _NAMES:,} more" if len(entry.begun) > _NAMES else ""
        yield Part(title="OBJECTS", tail=f"What it does to the objects of buckets is told of by itself: {shown}{more}")


# what became of the targets


def heading(target: TargetRecord) -> str:
    """Under which heading a target is told of."""
    if target.status == "verified" and target.drift:
        return "CAME BACK"
    return "FAILED" if target.status == "restoring" and target.reason else _BY_STATUS[target.status]


def outcomes(targets: Sequence[TargetRecord], now: datetime) -> Iterator[Part]:
    """What became of the targets, the failed first."""
    where = _where(targets)
    ordered = sorted(targets, key=lambda target: (target.use.action, -target.saving, target.resource))
    for title, tail in _HEADINGS.items():
        mine = [target for target in ordered if heading(target) == title]
        if mine:
            lines = tuple(f"• {code(target.short_name)} · {where(target.place)} · {_fate(target, title, now)}" for target in mine)
            what = f": {prose(actions(target.use for target in mine), 100)}" if title in ("DONE", "WOULD DO") else ""
            yield Part(title=f"{title} ({len(mine):,}){what}", lines=lines, tail=tail)


def _fate(target: TargetRecord, title: str, now: datetime) -> str:
    why = prose(reason(target))
    if title == "FAILED":
        retry = f"; tried again {ahead(target.retry_at, now)}" if target.retry_at else ""
        maybe = "; it may have been changed all the same" if target.maybe and target.status == "failed" else ""
        return f"{why or 'no reason given'}{retry}{maybe}"
    if title in ("LEFT ALONE", "SKIPPED"):
        return why or "no reason given"
    if title == "CAME BACK":
        return prose(drift(target))
    return f"{prose(line(target), 120)} ({why})" if why else prose(line(target), 120)


def came_back(targets: Sequence[TargetRecord]) -> tuple[str, ...]:
    """A line for each target that came back."""
    where = _where(targets)
    return tuple(
        f"• {code(target.short_name)} · {where(target.place)} · {prose(drift(target))}{f' · {prose(reason(target))}' if target.reason else ''}"
        for target in targets
    )


def reason(target: TargetRecord) -> str:
    """The target's reason, not yet made safe, without the resource's full name that errors begin with."""
    return target.reason.removeprefix(f"{target.resource}: ")


def line(target: TargetRecord) -> str:
    """The change in words: the way back for what is put back, the way there for the rest."""
    if target.status in ("restoring", "restored", "left"):
        return _change(target.use, _parked_state(target), target.before)
    return _change(target.use, target.found, _parked_state(target))


def drift(target: TargetRecord) -> str:
    """How a target came back, by whom and when, not yet made safe."""
    if target.drift is None:
        return f"{line(target)} · had been changed by {target.last_modifier or 'somebody else'}"
    words = _change(target.use, _parked_state(target), target.drift.state)
    return f"{words} · by {target.drift.by or 'somebody else'} · seen {stamp(target.drift.seen_at)}"


def actions(uses: Iterable[UseRecord]) -> str:
    """The actions by name, with their numbers where that says more than their total; not yet made safe."""
    counts = Counter(use.action.replace("_", " ") for use in uses)
    numbered = len(counts) > 1 and max(counts.values()) > 1
    return ", ".join(f"{count:,} {each}" if numbered else each for each, count in sorted(counts.items()))


def statuses(targets: Iterable[TargetRecord]) -> str:
    """How many have which status."""
    return ", ".join(f"{count:,} {status}" for status, count in sorted(Counter(target.status for target in targets).items()))


def _parked_state(target: TargetRecord) -> Mapping[str, Any]:
    return target.wanted if target.wrote is None else target.wrote


def _change(use: UseRecord, before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    changes = _changes(use)
    return changes.line(before, after) if changes else "changed"


def _changes(use: UseRecord) -> Changes | None:
    """How the action changes resources; None where it only speaks, or where only another version of the watchdog knows it."""
    action = registry().get(use.action)
    return action.changes if action else None


def _where(targets: Iterable[TargetRecord]) -> Callable[[Place], str]:
    """How to name places: the region is enough while there is one project."""
    one = len({target.place.project for target in targets}) <= 1
    return lambda place: prose(place.region if one else str(place), 80)


# what comes later


def to_come(entry: Entry, preview: Sequence[TargetRecord], now: datetime) -> Iterator[Part]:
    """The steps that are not carried out yet, each with what it would change now and what a person can do about it."""
    pending = [step for step in entry.steps if step.state in ("waiting", "approval", "refused")]
    where = _where(preview)
    for step in pending[:_STEPS]:
        mine = [target for target in preview if target.step == step.key]
        lines = tuple(f"• {code(target.short_name)} · {where(target.place)} · {prose(line(target), 120)}" for target in mine)
        touched = f", would change {f'{len(mine):,}' if mine else 'nothing more'} now" if preview else ""
        title, tail = _pending(step, entry, now)
        yield Part(title=f"{title}: {prose(actions(step.uses), 100)}{touched}", lines=lines, tail=tail, recorded=False)
    if len(pending) > _STEPS:
        yield Part(tail=f"… and {plural(len(pending) - _STEPS, 'more step')} to come ({command('show', entry)} lists them all)")


def _pending(step: StepRecord, entry: Entry, now: datetime) -> tuple[str, str]:
    if step.state == "waiting":
        when = f", {stamp(step.opens_at)} ({ahead(step.opens_at, now)})" if step.opens_at else ""
        return f"LATER{when}, {at(step)}", f"Call it off: {command('cancel', entry)}"
    if step.state == "approval":
        return f"WAITS FOR APPROVAL, {at(step)}", f"Approve: {command('approve', entry)} · call it off: {command('cancel', entry)}"
    return f"REFUSED BY A LIMIT, {at(step)}", f"Nothing of it was changed. Mend the policy, then {command('approve', entry)}"


def at(step: StepRecord) -> str:
    """Where the step stands on the ladder."""
    return f"at {percent(step.at)}{' forecast' if step.on == 'forecast' else ''}"


def called_off(entry: Entry) -> Iterator[Part]:
    """The steps that were just called off."""
    steps = [step for step in entry.steps if step.state == "cancelled" and not step.told]
    if steps:
        lines = tuple(
            f"• {at(step)}: {prose(actions(step.uses), 100)}{f' · by {prose(step.decided_by, 80)}' if step.decided_by else ''}"
            for step in steps
        )
        yield Part(title=f"CALLED OFF ({len(steps):,})", lines=lines)


def elsewhere(counts: Mapping[str, int]) -> Iterator[Part]:
    """That others are told of the rest."""
    if counts:
        told = ", ".join(f"{count:,} in {code(channel)}" for channel, count in sorted(counts.items()))
        yield Part(tail=f"Told to their own teams: {told}", small=True)


# the rest


def remains(targets: Iterable[TargetRecord]) -> Iterator[Part]:
    """What goes on costing all the same."""
    effective = [target for target in targets if target.status in ("verified", "rehearsed")]
    groups = grouped((sentence, target.short_name) for target in effective for sentence in target.remains)
    if groups:
        yield Part(title="STILL COSTS", lines=tuple(f"• {_names(names)}: {prose(sentence, 400)}" for sentence, names in groups))


def unseen(entry: Entry, now: datetime) -> Iterator[Part]:
    """The places that could not be looked at."""
    if entry.unseen:
        lines = tuple(
            f"• {prose(f'{place.project}/{place.region} ({place.kind}s)', 120)}: {_blindness(place, now)}" for place in entry.unseen
        )
        yield Part(title=f"PLACES NOT SEEN ({len(lines):,})", lines=lines)


def _blindness(place: UnseenRecord, now: datetime) -> str:
    return f"{prose(place.reason)}; looked at again {ahead(place.retry_at, now)}"


def untouched(entry: Entry) -> Iterator[Part]:
    """What was seen and left as it is, by reason."""
    groups = grouped((record.reason, record.resource.rsplit("/", 1)[-1]) for record in entry.untouched)
    if groups:
        lines = tuple(f"• {prose(why, 200)} ({len(names):,}): {_names(names)}" for why, names in groups)
        yield Part(title=f"NOT TOUCHED ({len(entry.untouched):,})", lines=lines)


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(code(each, 60) for each in names[:_NAMES])
    return f"{shown} and {len(names) - _NAMES:,} more" if len(names) > _NAMES else shown


def saving(targets: Iterable[TargetRecord]) -> Iterator[Part]:
    """What is saved, as the estimate that it is."""
    effective = [target for target in targets if target.drift is None and target.status in ("verified", "rehearsed")]
    total = sum((target.saving for target in effective), Decimal(0))
    if total > 0:
        verb = "This would save" if effective[0].status == "rehearsed" else "This saves"
        yield Part(tail=f"{verb} about {about(total)} a month (estimate, {prices.LISTED}; counts only instances kept warm)")


# commands


def how_to_undo(entry: Entry, targets: Iterable[TargetRecord]) -> Iterator[Part]:
    """How to put back what was changed."""
    if any(target.status in HELD for target in targets):
        yield Part(title="TO UNDO", tail=undo_words(entry, code(restore_command(entry), 200)))


def undo_words(entry: Entry, words: str) -> str:
    """The command in these words, and whether it is needed."""
    if entry.restore == "next_period":
        return f"{words}; by itself when the budget's next period begins"
    return f"{words}; not by itself, since the policy says restore: manual"


def restore_command(entry: Entry) -> str:
    """What a person types to put everything back; not yet made safe."""
    return f"python -m functions restore --entry {shlex.quote(entry.key)}"


def shell(verb: str, entry: Entry) -> str:
    """What a person types about the entry; not yet made safe."""
    return f"python -m functions {verb} {shlex.quote(entry.key)}"


def command(verb: str, entry: Entry) -> str:
    """The same in a message."""
    return code(shell(verb, entry), 200)
