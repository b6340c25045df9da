"""How fast a budget is used up, in sentences. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

from shared.burn import Burn, Reach
from shared.model import BudgetNotification
from shared.slack.text import about, date, percent


def sentences(burn: Burn, notice: BudgetNotification) -> Iterator[str]:
    """A sudden rise, and what is reached when if it goes on like this; nothing where the spend does not rise.

    Args:
        burn: The estimate.
        notice: The message that it was made with.
    """
    if burn.rise:
        yield f"Sudden rise: about {_money(burn.rise.last_day, notice)} in the last day, about {_money(burn.rise.usual, notice)} a day before"
    if burn.per_day > 0:
        coming = ", ".join([*_dates(burn.reaches), *_at_the_end(burn, notice)])
        pace = f"about {_money(burn.per_day, notice)} a day"
        unknown = "" if burn.month_end else "; when the period ends is not known"
        yield f"At this rate {coming} (estimate: {pace}{unknown})" if coming else f"Spent {pace} (estimate{unknown})"


def _dates(reaches: tuple[Reach, ...]) -> Iterator[str]:
    """The next share, and the whole of the budget."""
    for index, reach in enumerate(reaches):
        if index == 0 or reach.share == 1:
            yield f"{percent(reach.share)} on {date(reach.at)}"


def _at_the_end(burn: Burn, notice: BudgetNotification) -> Iterator[str]:
    """Where it ends, unless the whole of the budget is used up before."""
    if burn.month_end and burn.projected is not None and all(reach.share != 1 for reach in burn.reaches):
        share = f" ({percent(burn.projected / notice.amount, '1')})" if notice.amount > 0 and burn.projected > 0 else ""
        yield f"about {_money(burn.projected, notice)}{share} at the end of {burn.month_end - timedelta(days=1):%B}"


def _money(amount: Decimal, notice: BudgetNotification) -> str:
    return about(amount, notice.currency)
