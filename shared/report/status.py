"""How everything stands, for whoever asks in Slack. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal

from shared import prices
from shared.brake import MEANS, Stop
from shared.entry import Entry
from shared.journal import BudgetState, Holds
from shared.objects.job import CAN_BE_CALLED_OFF
from shared.report import job_parts as own
from shared.report import parts
from shared.slack.conversation import Outage
from shared.slack.text import Part, about, as_text, bar, code, money, percent, plural, prose, stamp


def status(
    budgets: Sequence[BudgetState],
    entries: Sequence[Entry],
    holds: Holds,
    outages: Sequence[tuple[str, Outage]],
    *,
    stops: Sequence[Stop],
    unread: int,
    now: datetime,
) -> str:
    """Spend, what is parked, what waits for a person, what is held, and what is wrong with the watch.

    Args:
        budgets: What is known of each budget.
        entries: The open entries.
        holds: What people protect for a time.
        outages: The channels that Slack does not take messages for.
        stops: What the brake is on for.
        unread: How many entries cannot be read.
        now: The time of asking.
    """
    said = [
        *(
            Part(
                title="THE BRAKE IS ON",
                tail=f"since {stamp(stop.at)}: {MEANS[stop.kind]} until somebody says {code('/cost-watchdog release')}",
            )
            for stop in stops
        ),
        *_spend(budgets),
        *_parked(entries),
        *_waiting(entries),
        *_held(holds, now),
        *(
            Part(title="NOT DELIVERED", tail=f"{code(channel)} since {stamp(each.since)}: {prose(each.reason)}")
            for channel, each in outages
            if not each.mended_at
        ),
        *(
            [Part(tail=f"{plural(unread, 'entry') if unread == 1 else f'{unread:,} entries'} of the journal cannot be read.")]
            if unread
            else []
        ),
    ]
    return as_text(f"Cost Watchdog, {stamp(now)}", said, more="(`python -m functions list` has them all)")


def _spend(budgets: Sequence[BudgetState]) -> Iterator[Part]:
    lines = [_spent(each) for each in sorted(budgets, key=lambda each: each.name)]
    if lines:
        yield Part(title=f"BUDGETS ({len(lines):,})", lines=tuple(lines))
    else:
        yield Part(tail="No budget has sent a message yet.")


def _spent(state: BudgetState) -> str:
    name = f"• {code(state.name or 'a budget')}"
    if not state.series:
        return f"{name} · nothing told in this period"
    last = state.series[-1]
    share = last.cost / last.amount if last.amount > 0 else None
    picture = f"`{bar(share)}` {percent(share, '1')} · " if share is not None else ""
    return (
        f"{name} · {picture}{money(last.cost, state.currency or 'USD')} of {money(last.amount, state.currency or 'USD')} · {stamp(last.at)}"
    )


def _parked(entries: Sequence[Entry]) -> Iterator[Part]:
    targets = {target.resource: target for entry in entries for target in entry.parked() if target.status in ("verified", "restoring")}
    if not targets:
        yield Part(tail="Nothing is parked.")
        return
    total = sum((target.saving for entry in entries for target in entry.parked() if target.status == "verified"), Decimal(0))
    saved = f", about {about(total)} a month less (estimate, {prices.LISTED})" if total > 0 else ""
    lines = tuple(
        f"• {code(target.short_name)} · {prose(target.place.region, 40)} · {prose(parts.line(target), 120)}" for target in targets.values()
    )
    yield Part(title=f"PARKED ({len(targets):,}){saved}", lines=lines)


def _waiting(entries: Sequence[Entry]) -> Iterator[Part]:
    lines = []
    for entry in entries:
        for step in entry.steps:
            if step.state in ("waiting", "approval", "refused"):
                what = (
                    "waits for approval"
                    if step.state == "approval"
                    else "was refused by a limit"
                    if step.state == "refused"
                    else "is to come"
                )
                when = f" at {stamp(step.opens_at)}" if step.opens_at and step.state == "waiting" else ""
                lines.append(
                    f"• {prose(parts.name(entry), 90)} {parts.at(step)}: {prose(parts.actions(step.uses), 100)} {what}{when} · {code(entry.key, 120)}"
                )
        job = entry.job
        if job and not job.parent and (job.stage in CAN_BE_CALLED_OFF or job.stage in ("working", "undoing")):
            due = f" until {stamp(job.due_at)}" if job.due_at else ""
            lines.append(f"• {prose(own.subject_of(job), 120)}: {prose(job.stage, 20)}{due} · {code(entry.key, 120)}")
    if lines:
        yield Part(title=f"TO COME, OR WAITING FOR SOMEBODY ({len(lines):,})", lines=tuple(lines))


def _held(holds: Holds, now: datetime) -> Iterator[Part]:
    current = sorted((end, name) for name, end in holds.until.items() if end > now)
    if current:
        lines = tuple(
            f"• {code(name.rsplit('/', 1)[-1])} until {stamp(end)} by {prose(holds.by.get(name, 'somebody'), 80)}" for end, name in current
        )
        yield Part(title=f"HELD ({len(current):,})", lines=lines)
