"""The slash command: what can be typed, and what it means. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from shared.model import Basis
from shared.policy.fields import Duration, Share
from shared.slack.text import prose

Verb = Literal["help", "status", "plan", "restore", "hold", "release", "audit"]
CHANGING: frozenset[Verb] = frozenset({"restore", "hold", "release"})
"""What only those may ask for whom the policy names."""

HELP = """*/cost-watchdog* and one of these:
• `status`: what is spent, what is parked, what waits for whom
• `plan [SHARE] [forecast] [BUDGET]`: what would happen at such a spend, for example `plan 100%`; changes nothing
• `restore all`, `restore SERVICE` or `restore KEY`: put it back
• `hold SERVICE 4h`, or `24h`, or a time such as `2026-12-01T00:00Z`: leave it alone until then; `hold SERVICE end` ends that
• `release`: let it go on after it has stopped itself
• `audit`: where the money goes; takes up to a minute
• `help`: this"""
LONGEST = timedelta(days=366)


class BadCommandError(ValueError):
    """The text asks for something that there is not; the sentence says what."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command, understood.

    Attributes:
        verb: What is asked for.
        name: Of what: a resource, an entry, a budget, or ``all``.
        share: For ``plan``, the share of the budget.
        basis: Whether that is spent or forecast.
        until: For ``hold``, the end.
    """

    verb: Verb
    name: str = ""
    share: Decimal = Decimal(1)
    basis: Basis = "actual"
    until: datetime | None = None


def understood(text: str, now: datetime) -> Command:
    """What somebody typed behind the command.

    Raises:
        BadCommandError: Nothing that there is.
    """
    verb, *rest = text.split() or ["help"]
    match verb.lower():
        case "help":
            return Command("help")
        case "status":
            return _alone("status", rest)
        case "audit":
            return _alone("audit", rest)
        case "release":
            return _alone("release", rest)
        case "plan":
            return _plan(rest)
        case "restore":
            if len(rest) != 1:
                raise BadCommandError("Say what is to be put back: `restore all`, `restore SERVICE` or `restore KEY`.")
            return Command("restore", rest[0])
        case "hold":
            return _hold(rest, now)
        case _:
            raise BadCommandError(f"There is no `{_shown(verb)}`.")


def _alone(verb: Verb, rest: list[str]) -> Command:
    if rest:
        raise BadCommandError(f"`{verb}` stands alone.")
    return Command(verb)


def _plan(rest: list[str]) -> Command:
    share = Decimal(1)
    basis: Basis = "actual"
    if rest and rest[0].endswith("%"):
        try:
            share = TypeAdapter[Decimal](Share).validate_python(rest.pop(0))
        except ValidationError as error:
            raise BadCommandError(f"The share cannot be used: {_shown(error.errors(include_url=False)[0]['msg'], 200)}") from error
    if rest and rest[0].lower() == "forecast":
        rest.pop(0)
        basis = "forecast"
    return Command("plan", " ".join(rest), share=share, basis=basis)


def _hold(rest: list[str], now: datetime) -> Command:
    if len(rest) != 2:
        raise BadCommandError("Say what is to be left alone, and for how long: `hold SERVICE 4h`.")
    name, term = rest
    if term.lower() == "end":
        return Command("hold", name, until=now)
    try:
        length = TypeAdapter[timedelta](Duration).validate_python(term)
    except ValidationError:
        until = _instant(term)
    else:
        if length > LONGEST:
            raise BadCommandError("That is longer than a year; protect it with the label `cost-watchdog=protect` instead.")
        until = now + length
    if until > now + LONGEST:
        raise BadCommandError("That is more than a year ahead; protect it with the label `cost-watchdog=protect` instead.")
    return Command("hold", name, until=until)


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text)
        if instant.tzinfo:
            return instant.astimezone(UTC)
    except (ValueError, OverflowError) as error:  # in UTC it may lie outside of the calendar
        raise BadCommandError(f"`{_shown(text)}` is no time; write `4h`, `24h` or `2026-12-01T00:00Z`.") from error
    raise BadCommandError(f"`{_shown(text)}` names no time zone; write for example `2026-12-01T00:00Z`.")


def _shown(text: str, limit: int = 40) -> str:
    """Somebody's own words, made harmless."""
    return prose(text.replace("`", "'"), limit)
