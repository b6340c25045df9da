"""How fast a budget is used up: from the messages remembered of its period to a spend per day, dates and sudden rises. Pure.

All of it is an estimate. Billing data come late (typically by up to a day), in lumps, and are corrected afterwards, down as well as up:
https://docs.cloud.google.com/billing/docs/how-to/budgets. So nothing here looks at less than a whole day, and a day is what lies between one
instant and the same a day before, counted back from the newest message. What the spend was at such an instant is read off the straight line
between the messages before and after it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from statistics import median
from typing import NamedTuple, Protocol

from pydantic import AwareDatetime

DAY = timedelta(days=1)
POINTS = 3
"""With fewer messages nothing is said: one alone cannot be told from a correction, and two not from a lump."""
WINDOW = 7
"""The days that make the rate, and those that a sudden rise is held against: a week, so that weekends are in it."""
SILENT = timedelta(days=2)
"""After so long without a message nothing is said: nobody knows what was spent meanwhile."""
HORIZON = timedelta(days=360)
"""Dates further away are not given. It is less than a year, so that a day and a month name one date."""
RISE = 2
"""The last day is a sudden rise from so many times the highest of the earlier days on."""
RISE_DAYS = 3
"""With fewer earlier days to hold it against, nothing is a sudden rise."""
RISE_SHARE = Decimal("0.02")
"""The share of the budget that the last day has to be above the usual: what is less in a day would take a budget seven weeks."""

_EXACT = Context(prec=12)  # more would only be noise in the journal
_MICROSECOND = timedelta(microseconds=1)


class Point(Protocol):
    """One budget message, as it is remembered."""

    @property
    def at(self) -> datetime:
        """When it was sent."""

    @property
    def cost(self) -> Decimal:
        """The spend since the period's start, in the budget's currency."""

    @property
    def amount(self) -> Decimal:
        """The budget's amount then, in the same currency."""


@dataclass(frozen=True, slots=True)
class Reach:
    """When a share of the budget is reached, if spend goes on as it did.

    Attributes:
        share: 0.9 for 90 percent.
        at: UTC; not before the estimate was made, within the period as far as that is known, and never beyond `HORIZON`.
    """

    share: Decimal
    at: AwareDatetime


@dataclass(frozen=True, slots=True)
class Rise:
    """A last day unlike those before it.

    Attributes:
        last_day: What was spent in it, in the budget's currency, without what may only have come late from the day before.
        usual: The median of the earlier days.
    """

    last_day: Decimal
    usual: Decimal


@dataclass(frozen=True, slots=True)
class Burn:
    """An estimate of how fast a budget is used up.

    Attributes:
        per_day: In the budget's currency. The mean of up to seven days without the highest and the lowest of them; after a sudden rise, the last day.
            Below 0 where the spend falls.
        reaches: The shares asked about that are not reached yet and will be within the period, the lowest first.
        month_end: The end of the calendar month that the period begins with, see `month_end`; None where that is not known to be its end.
        projected: The spend at that time, in the budget's currency; None where that is not known. A fall is not projected.
        rise: Set where spend rose suddenly.
    """

    per_day: Decimal
    reaches: tuple[Reach, ...] = ()
    month_end: AwareDatetime | None = None
    projected: Decimal | None = None
    rise: Rise | None = None


def estimate(points: Iterable[Point], *, shares: Iterable[Decimal], period_start: datetime, now: datetime) -> Burn | None:
    """How fast a budget is used up; None where the messages do not say.

    They do not with fewer than `POINTS` of them, with less than a day between the first and the last, after `SILENT`, and on the day after the
    end of the month that the period began with: until the next message it is not known whether the period is over.

    Args:
        points: The messages of one period, in any order; one from the future, as clocks differ, counts as of now.
        shares: The shares of the budget to give dates for, 0.9 for 90 percent.
        period_start: The first instant of the period.
        now: The time of the estimate.
    """
    told = sorted(_Told(min(point.at, now), point.cost, point.amount) for point in points)
    if len(told) < POINTS or now - told[-1].at > SILENT:
        return None
    newest, end = told[-1], month_end(period_start)
    if end and now >= end:
        if newest.at < end + DAY:
            return None
        end = None  # messages go on, so it is a longer period
    days = _days(told, period_start)
    if not days:
        return None
    rise = _rise(days, newest.amount)
    per_day = rise.last_day if rise else _trimmed_mean([day.spent for day in days[:WINDOW]])
    return Burn(
        per_day=_EXACT.plus(per_day),
        reaches=_reaches(newest, per_day, shares, end, now),
        month_end=end,
        projected=_EXACT.plus(newest.cost + max(per_day, Decimal(0)) * _in_days(end - newest.at)) if end else None,
        rise=rise,
    )


def month_end(period_start: datetime) -> datetime | None:
    """The end of the calendar month that a period begins with, UTC; None where it begins at another time, as custom periods may.

    Messages do not say when a period ends. One that begins on the first of a month most often is that month; in January, April, July and October
    it may be a quarter or a year too. Months begin at midnight US Pacific, which is summer time on the first of April to November:
    https://docs.cloud.google.com/billing/docs/how-to/budgets
    """
    start = period_start.astimezone(UTC)
    midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
    if start.day != 1 or start - midnight not in (timedelta(hours=7), timedelta(hours=8)):
        return None
    year, month = divmod(start.year * 12 + start.month, 12)
    return datetime(year, month + 1, 1, 7 if 4 <= month + 1 <= 11 else 8, tzinfo=UTC)


class _Told(NamedTuple):
    at: datetime
    cost: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True)
class _Day:
    """What was spent in a day, and whether any message was sent in it."""

    spent: Decimal
    told: bool


def _days(known: Sequence[_Told], period_start: datetime) -> list[_Day]:
    """The whole days up to the newest message, the last first.

    The period begins with nothing spent. That counts as known where the first message came within a day of it; else nobody knows how the spend
    came about until then.
    """
    if period_start < known[0].at <= period_start + DAY:
        known = [_Told(period_start, Decimal(0), known[0].amount), *known]
    times = [told.at for told in known]
    edges = [times[-1] - number * DAY for number in range(WINDOW + 3)]
    edges = [edge for edge in edges if edge >= times[0]]
    counts = [bisect_right(times, edge) for edge in edges]
    spent = [_spent_until(edge, known, count) for edge, count in zip(edges, counts, strict=True)]
    return [_Day(spent[each] - spent[each + 1], told=counts[each] > counts[each + 1]) for each in range(len(edges) - 1)]


def _spent_until(instant: datetime, known: Sequence[_Told], count: int) -> Decimal:
    """The spend at an instant that `count` of the known spends are not later than."""
    before = known[count - 1]
    if count == len(known):
        return before.cost
    after = known[count]
    return before.cost + (after.cost - before.cost) * (_in_days(instant - before.at) / _in_days(after.at - before.at))


def _trimmed_mean(days: Sequence[Decimal]) -> Decimal:
    """The mean without the highest and the lowest: neither a single purchase, a credit nor a lump of late data makes the rate."""
    kept = sorted(days)[1:-1] if len(days) > 2 else days
    return sum(kept, Decimal(0)) / len(kept)


def _rise(days: Sequence[_Day], amount: Decimal) -> Rise | None:
    """Whether the last day is a sudden rise: `RISE` times the highest of the earlier days, and more than the usual by `RISE_SHARE` of the budget.

    The day before the last is none of the earlier days, since a rise that is noticed now may have begun in it. What it lacks to the usual may only
    have come late, and is deducted from the last day. Earlier days in which no message came do not count.
    """
    earlier = [day.spent for day in days[2 : WINDOW + 2] if day.told]
    if len(earlier) < RISE_DAYS or amount <= 0:
        return None
    usual = median(earlier)
    last_day = days[0].spent - max(usual - days[1].spent, Decimal(0))
    if last_day < RISE * max(earlier) or last_day - max(usual, Decimal(0)) < RISE_SHARE * amount:
        return None
    return Rise(_EXACT.plus(last_day), _EXACT.plus(usual))


def _reaches(newest: _Told, per_day: Decimal, shares: Iterable[Decimal], end: datetime | None, now: datetime) -> tuple[Reach, ...]:
    if per_day <= 0 or newest.amount <= 0:
        return ()
    found = []
    for share in sorted(set(shares)):
        left = share * newest.amount - newest.cost
        if left <= 0 or left / per_day > _in_days(HORIZON):
            continue
        at = max(now, newest.at + timedelta(seconds=int(left / per_day * 86400)))
        if (end is None or at < end) and at - now <= HORIZON:
            found.append(Reach(share, at.astimezone(UTC)))
    return tuple(found)


def _in_days(span: timedelta) -> Decimal:
    return Decimal(span // _MICROSECOND) / Decimal(DAY // _MICROSECOND)
