"""Budgets that are used up, or will be before their period ends."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from shared.burn import estimate
from shared.checks import Check
from shared.estate import Estate
from shared.finding import Finding
from shared.slack_text import about, date, percent


def find(estate: Estate) -> Iterator[Finding]:
    """Each budget that ever sent a message, by the messages of its present period."""
    for (account, budget), state in sorted((estate.journal.budgets if estate.journal else {}).items()):
        newest = state.series[-1]
        if newest.amount <= 0:
            continue
        share = newest.cost / newest.amount
        burn = estimate(state.series, shares=(Decimal(1),), period_start=state.period_start, now=estate.now)
        name = f"billingAccounts/{account}/budgets/{budget}"
        taken = ", ".join(sorted(key for key in state.claims if not key.startswith("observe/"))) or "none"
        why = f"Steps of the policy carried out in this period: {taken}"
        if share >= 1:
            yield CHECK.finding(name, "high", f"{state.name!r} is used up: {percent(share, '1')} is spent", why)
        elif burn and burn.reaches:
            rate = f"about {about(burn.per_day, state.currency)} a day"
            when = date(burn.reaches[0].at)
            yield CHECK.finding(
                name, "medium", f"{state.name!r} is used up on {when} at this rate ({rate}, estimate); {percent(share, '1')} is spent", why
            )


CHECK = Check(name="overspend", category="budgets", lever="", needs=frozenset({"journal"}), find=find)
