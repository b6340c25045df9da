"""Charts as SVG, drawn from values; whatever text comes in is escaped. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from markupsafe import Markup, escape

from shared.audit.report import Lever, Spend
from shared.slack.text import about, date, money, percent

WIDTH, HEIGHT = 720, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 64, 14, 26
_ROW = 28
_MONTH = timedelta(days=31)


def spend(told: Spend, number: int) -> Markup:
    """Spend through the period, the steps of the ladder, the budget, and where it leads.

    Args:
        told: The budget's period.
        number: Which chart of the page it is; ids are made of it.
    """
    end = told.period_end or max(told.period_start + _MONTH, told.series[-1].at)
    top = max([told.amount, *(point.cost for point in told.series), told.projected or Decimal(0)]) * Decimal("1.08") or Decimal(1)

    def x(at: datetime) -> float:
        share = (at - told.period_start) / (end - told.period_start)
        return round(_LEFT + min(1.0, max(0.0, share)) * (WIDTH - _LEFT - _RIGHT), 1)

    def y(cost: Decimal) -> float:
        return round(HEIGHT - _BOTTOM - float(max(Decimal(0), cost) / top) * (HEIGHT - _TOP - _BOTTOM), 1)

    newest = told.series[-1]
    line = " ".join(f"{x(point.at)},{y(point.cost)}" for point in told.series)
    said = f"{money(newest.cost, told.currency)} of {money(told.amount, told.currency)} on {date(newest.at)}"
    leads = f"; at this rate {about(told.projected, told.currency)} on {date(end)}" if told.projected is not None else ""
    parts = [
        Markup('<line class="axis" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(_LEFT, y(Decimal(0)), WIDTH - _RIGHT, y(Decimal(0))),
        *(
            _across(rung.at * told.amount, percent(rung.at), "step", y)
            for rung in told.ladder
            if rung.at != 1 and rung.at * told.amount <= top
        ),
        _across(told.amount, "100 %", "budget", y),
        Markup('<polyline class="spent" points="{}"/>').format(line),
    ]
    if told.projected is not None:
        points = f"{x(newest.at)},{y(newest.cost)} {x(end)},{y(told.projected)}"
        parts.append(Markup('<polyline class="projected" points="{}"/>').format(points))
    parts += [
        Markup('<text class="soft" x="{}" y="{}">{}</text>').format(_LEFT, HEIGHT - 8, date(told.period_start)),
        Markup('<text class="soft" x="{}" y="{}" text-anchor="end">{}</text>').format(WIDTH - _RIGHT, HEIGHT - 8, date(end)),
        Markup('<text class="soft" x="{}" y="{}" text-anchor="end">{}</text>').format(_LEFT - 6, y(told.amount) + 4, about(told.amount, told.currency)),
    ]  # fmt: skip
    return _figure(f"spend-{number}", f"Spend of {told.budget}", f"{said}{leads}", HEIGHT, parts)


def levers(some: Sequence[Lever]) -> Markup:
    """A bar for each lever, the largest first."""
    largest = max(lever.monthly for lever in some)
    said = ", ".join(f"{lever.lever} {about(lever.monthly)}" for lever in some)
    return _figure("levers", "Estimated savings a month by lever", said, _ROW * len(some) + 8, [*_bars(some, largest)])


def _bars(some: Sequence[Lever], largest: Decimal) -> Iterator[Markup]:
    for number, lever in enumerate(some):
        top = number * _ROW + 6
        width = round(float(lever.monthly / largest) * 330, 1) if largest else 0
        yield Markup('<text x="0" y="{}">{}</text>').format(top + 14, lever.lever)
        yield Markup('<rect class="bar" x="290" y="{}" width="{}" height="18" rx="3"/>').format(top, max(1.0, width))
        yield Markup('<text x="{}" y="{}">{}</text>').format(298 + width, top + 14, about(lever.monthly))


def _across(cost: Decimal, label: str, kind: str, y: Callable[[Decimal], float]) -> Markup:
    height = y(cost)
    line = Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(kind, _LEFT, height, WIDTH - _RIGHT, height)
    return line + Markup('<text class="soft" x="{}" y="{}">{}</text>').format(WIDTH - _RIGHT + 5, height + 4, label)


def _figure(name: str, title: str, said: str, height: int, parts: Sequence[Markup]) -> Markup:
    head = Markup(
        '<svg role="img" aria-labelledby="{0}-title {0}-desc" viewBox="0 0 {1} {2}"><title id="{0}-title">{3}</title><desc id="{0}-desc">{4}</desc>'
    )
    return head.format(name, WIDTH, height, title, said) + Markup("").join(map(escape, parts)) + Markup("</svg>")
