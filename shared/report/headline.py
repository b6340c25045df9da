"""The headline of a budget's thread: how it stands now, in one message that is kept up to date. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from shared import prices
from shared.entry import Entry, StepRecord, TargetRecord
from shared.report import parts
from shared.report.burn import sentences
from shared.report.letter import Letter, unsigned
from shared.slack.conversation import Thread
from shared.slack.panel import of_thread
from shared.slack.text import Part, about, bar, clean, code, percent, plural, prose, stamp

_MONTH = timedelta(days=365) / 12
_NAMES = 12


def headline(thread: Thread, entries: Sequence[Entry], *, channel: str | None, now: datetime) -> Letter:
    """How the budget stands, what is parked because of it, what that has saved so far, and what waits.

    Args:
        thread: The thread.
        entries: What is told of in it, as far as it can be read.
        channel: The channel of a team, which is shown what is its own; None for the channel of the policy, which is shown the whole.
        now: The time of writing.
    """
    targets = [target for entry in entries for target in entry.targets if channel is None or target.channel == channel]
    parked = _parked(targets)
    said = [*_spend(thread, now), *_parked_part(parked), *_saved(targets, now), *_waiting(entries), *_asides(thread, entries, now)]
    written = unsigned(_header(thread), said)
    return Letter(
        written.text,
        (*written.blocks, *of_thread(thread, [target for target in parked if target.status != "restoring"], now, route=channel or "")),
    )


def _header(thread: Thread) -> str:
    notice = thread.notice
    name, level = clean(notice.budget_name, 90), notice.level("actual")
    return f"{name}: {percent(level, '1')} spent" if notice.amount > 0 else name


def _spend(thread: Thread, now: datetime) -> Iterator[Part]:
    notice = thread.notice
    picture = f"`{bar(notice.level('actual'))}` " if notice.amount > 0 else ""
    fresh = thread.burn is not None and now - notice.sent_at <= timedelta(days=1)
    fast = sentences(thread.burn, notice) if thread.burn and fresh else ()
    yield Part(tail="\n".join([f"{picture}{parts.spending(notice)}", *fast]))
    yield Part(tail=parts.period(notice), small=True)


def _parked(targets: Sequence[TargetRecord]) -> list[TargetRecord]:
    """What is parked now, each resource once: the plan that took it over last speaks for it."""
    held: dict[str, TargetRecord] = {}
    for target in targets:
        if target.status in ("verified", "restoring") and target.drift is None:
            known = held.get(target.resource)
            held[target.resource] = target if known is None or target.rank >= known.rank else known
    return sorted(held.values(), key=lambda target: (-target.saving, target.resource))


def _parked_part(parked: Sequence[TargetRecord]) -> Iterator[Part]:
    if not parked:
        yield Part(tail="Nothing is parked.")
        return
    shown = ", ".join(code(target.short_name, 60) for target in parked[:_NAMES])
    more = f" and {len(parked) - _NAMES:,} more" if len(parked) > _NAMES else ""
    kinds = Counter(target.kind.replace("_", " ") for target in parked)
    counted = ", ".join(plural(count, kind) for kind, count in sorted(kinds.items()))
    yield Part(title=f"PARKED NOW: {counted}", tail=f"{shown}{more}")


def _saved(targets: Sequence[TargetRecord], now: datetime) -> Iterator[Part]:
    """What was not spent since: for each resource its saving a month for as long as it was parked."""
    saved = Decimal(0)
    for target in targets:
        end = target.back_at or (target.drift.seen_at if target.drift else now)
        if target.parked_at and target.saving and end > target.parked_at:
            saved += target.saving * Decimal((end - target.parked_at) / _MONTH)
    if saved >= 1:
        yield Part(tail=f"Saved so far: about {about(saved)} (estimate, {prices.LISTED}; counts only instances kept warm)")


def _waiting(entries: Sequence[Entry]) -> Iterator[Part]:
    pending = [step for entry in entries for step in entry.steps if step.state in ("waiting", "approval", "refused")]
    if pending:
        yield Part(
            title="TO COME",
            lines=tuple(f"• {parts.at(step)}: {prose(parts.actions(step.uses), 100)}, {_when(step)}" for step in pending),
        )


def _when(step: StepRecord) -> str:
    """By the clock: a headline is not written anew each minute."""
    if step.state == "waiting":
        return f"at {stamp(step.opens_at)}" if step.opens_at else "soon"
    return "waits for approval" if step.state == "approval" else "refused by a limit"


def _asides(thread: Thread, entries: Sequence[Entry], now: datetime) -> Iterator[Part]:
    if entries and all(entry.mode == "observe" for entry in entries):
        yield Part(tail="Dry run: nothing was changed.", small=True)
    if thread.snoozed(now) and thread.snoozed_until:
        yield Part(
            tail=f"Snoozed until {stamp(thread.snoozed_until)} by {prose(thread.snoozed_by, 100)}: this thread has everything, the channel nothing."
        )
