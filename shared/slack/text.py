"""Text that is safe and fits: names from outside made harmless, the limits of Slack's messages, and figures and times in words. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_FLOOR, Decimal
from itertools import accumulate
from typing import Any

HEADER = 150
"""Characters of a header block: https://docs.slack.dev/reference/block-kit/blocks/header-block"""
SECTION = 3000
"""Characters of a text object: https://docs.slack.dev/reference/block-kit/composition-objects/text-object"""
TEXT = 4000
"""Characters of a message's text that Slack recommends at most: https://docs.slack.dev/reference/methods/chat.postMessage"""
TOTAL = 9000
"""Characters of all blocks together. Slack documents no limit and answers ``msg_blocks_too_long`` from somewhere above 11,000 on:
https://github.com/slackapi/bolt-js/issues/2867. A message that long is not read at a glance anyway."""

_DEPTHS = (20, 10, 5, 3, 1, 0)
_SPARE = 250  # what a block's own syntax and the line that counts the rest may take
_CELLS = 12
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_ANGLES = str.maketrans({"<": "\u2039", ">": "\u203a"})
_JOINERS = "\u200c\u200d"  # Persian and emoji are written with them, and they hide nothing
_SIGNS = {"EUR": "€", "GBP": "£", "JPY": "¥", "USD": "$"}
_UNITS = {"PiB": 2**50, "TiB": 2**40, "GiB": 2**30, "MiB": 2**20, "KiB": 2**10}
# ISO 4217: currencies without a minor unit.
_WHOLE = frozenset({"BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF"})


@dataclass(frozen=True, slots=True)
class Part:
    """A paragraph of a message; all its strings are safe already.

    Attributes:
        title: Its first line, in bold.
        lines: A list that may be shortened, the most important line first.
        tail: What follows the list and is always kept.
        recorded: Whether the list stands in the journal too, so that what is left out of it here can be looked up.
        small: Whether it is shown small, as an aside.
    """

    title: str = ""
    lines: tuple[str, ...] = ()
    tail: str = ""
    recorded: bool = True
    small: bool = False


# names and sentences from outside


def size(text: str) -> int:
    """The length in UTF-16 units: whichever way Slack counts, it does not find more."""
    return len(text.encode("utf-16-le")) // 2


def clean(text: str, limit: int) -> str:
    """One line without anything that is invisible, breaks the line or turns its direction, and of at most `limit` UTF-16 units."""
    line = " ".join("".join(_visible(char) for char in text[: 4 * limit]).split())
    return _clip(list(line), limit)


def prose(text: str, limit: int = 300) -> str:
    """A sentence for mrkdwn, at most `limit` long when escaped.

    Only ``&``, ``<`` and ``>`` mean more than looks: https://docs.slack.dev/messaging/formatting-message-text
    """
    return _clip([_ESCAPES.get(char, char) for char in clean(text, limit).replace("```", "'''")], limit)


def plain(text: str, limit: int) -> str:
    """A name for plain text, where nothing is marked up.

    Whether Slack decodes entities in plain text is not documented, so there are none; a bare & is right either way.
    """
    return clean(text, limit).translate(_ANGLES)


def code(text: str, limit: int = 80) -> str:
    """A name or a command for mrkdwn, in a code span that nothing in it can end."""
    inside = clean(text, limit).replace("`", "'") or "(empty)"
    return f"`{_clip([_ESCAPES.get(char, char) for char in inside], limit)}`"


def verbatim(lines: Sequence[str], *, room: int = TEXT - 200, more: str = "") -> str:
    """Lines as they are, in a code block that nothing in them can end, as many as there is room for.

    Args:
        lines: Not yet made safe.
        room: UTF-16 units at most.
        more: How to see what is left out.
    """
    safe = [
        "".join(_ESCAPES.get(char, char) for char in "".join(_visible(char) for char in line).replace("`", "'").rstrip()) for line in lines
    ]
    return "\n".join(["```", *_fold(safe, most=len(safe), room=room, more=more), "```"])


def _visible(char: str) -> str:
    kind = unicodedata.category(char)
    if kind in ("Cc", "Zl", "Zp"):
        return " "
    # Formatting characters (bidirectional overrides, zero width, tags) and halves of surrogate pairs.
    return "\ufffd" if kind in ("Cf", "Cs") and char not in _JOINERS else char


def _clip(pieces: Sequence[str], limit: int) -> str:
    """Join the pieces, and leave whole pieces away at the end where all of them are too long."""
    totals = list(accumulate(map(size, pieces)))
    if not totals or totals[-1] <= limit:
        return "".join(pieces)
    return "".join(piece for piece, total in zip(pieces, totals, strict=True) if total < limit) + "…"


# figures and times


def money(amount: Decimal, currency: str, *, whole: bool = False) -> str:
    """An amount with thousands separators and the currency's sign, or its code where the sign would be ambiguous; rounded where `whole`."""
    figures = f"{abs(amount):.2E}" if abs(amount) >= 10**15 else f"{abs(amount):,.{0 if whole or currency in _WHOLE else 2}f}"
    sign = _SIGNS.get(currency, "")
    return f"{'-' if amount < 0 else ''}{sign}{figures}" if sign else f"{prose(currency, 12)} {'-' if amount < 0 else ''}{figures}"


def about(amount: Decimal, currency: str = "USD") -> str:
    """An estimate, no more exact than it is."""
    return money(amount, currency, whole=abs(amount) >= 10)


def percent(share: Decimal, places: str = "0.01") -> str:
    """A share as people write it, rounded down so that what is not reached does not look reached."""
    if share > 1000:
        return "over 100,000 %"
    return f"{(share * 100).quantize(Decimal(places), rounding=ROUND_FLOOR).normalize():,f} %"


def bar(share: Decimal) -> str:
    """A share as a bar, full from 100 percent on."""
    filled = min(_CELLS, max(0, int(min(share, Decimal(1)) * _CELLS)))
    return "█" * filled + "░" * (_CELLS - filled)


def plural(count: int, noun: str) -> str:
    """So many of them."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def stamp(time: datetime) -> str:
    """A time to the minute, in UTC and saying so."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def date(time: datetime) -> str:
    """A date within the year as people say it, in UTC."""
    return f"{time.astimezone(UTC).day} {time.astimezone(UTC):%b}"


def day(time: datetime) -> str:
    """A date as people say it, in UTC."""
    return f"{date(time)} {time.astimezone(UTC):%Y}"


def moment(time: datetime) -> str:
    """The same with the time of the day."""
    return f"{day(time)} {time.astimezone(UTC):%H:%M} UTC"


def volume(count: int) -> str:
    """So many bytes, in the unit that keeps the figure short."""
    for unit, unit_size in _UNITS.items():
        if round(count / unit_size, 1) >= 1:
            return f"{count / unit_size:,.1f} {unit}"
    return f"{count} B"


def ahead(time: datetime, now: datetime) -> str:
    """How long it is until then."""
    minutes = -(-int((time - now).total_seconds()) // 60)
    if minutes <= 0:
        return "now"
    if minutes < 120:
        return f"in {plural(minutes, 'minute')}"
    hours = minutes // 60
    return f"in {hours} hours" if hours < 48 else f"in {hours // 24} days"


# the message


def grouped(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """Names by what is said of them, the most frequent first."""
    groups: dict[str, list[str]] = {}
    for said, each in pairs:
        groups.setdefault(said, []).append(each)
    return sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))


def as_blocks(header: str, parts: Sequence[Part], *, more: str) -> tuple[dict[str, Any], ...]:
    """The message as Block Kit, with its lists as long as the limits allow.

    Args:
        header: The heading, not yet made safe.
        parts: The paragraphs; a few dozen at most.
        more: How to see what a shortened list leaves out.
    """
    head = {"type": "header", "text": {"type": "plain_text", "text": plain(header, HEADER) or "Cost Watchdog"}}
    built: list[dict[str, Any]] = []
    for depth in _DEPTHS:
        texts = [_words(part, depth, more, title=f"*{part.title}*" if part.title else "") for part in parts]
        built = [_block(part, text) for part, text in zip(parts, texts, strict=True)]
        if sum(size(text) + _SPARE // 2 for text in texts) <= TOTAL:
            break
    return (head, *built)


def as_text(header: str, parts: Sequence[Part], *, more: str) -> str:
    """The message as text alone, complete enough where blocks are not shown."""
    said = ""
    for depth in _DEPTHS:
        said = "\n".join([prose(header, HEADER), *(_words(part, depth, more, title=part.title) for part in parts)])
        if size(said) <= TEXT:
            return said
    return "\n".join(_fold(said.split("\n"), most=TEXT, room=TEXT - _SPARE, more=more))


def _words(part: Part, depth: int, more: str, *, title: str) -> str:
    room = SECTION - size(title) - size(part.tail) - _SPARE
    lines = _fold(part.lines, most=depth, room=room, more=more if part.recorded else "") if depth else ()
    return "\n".join(line for line in (title, *lines, part.tail) if line)


def _fold(lines: Sequence[str], *, most: int, room: int, more: str) -> list[str]:
    """As many lines as there is room for, and how many more there are."""
    shown: list[str] = []
    for line in lines[:most]:
        room -= size(line) + 1
        if room < 0:
            break
        shown.append(line)
    left = len(lines) - len(shown)
    return [*shown, f"… and {left:,} more {more}".rstrip()] if left else shown


def _block(part: Part, text: str) -> dict[str, Any]:
    # Without `verbatim` Slack makes links and mentions out of plain words.
    inside = {"type": "mrkdwn", "text": text, "verbatim": True}
    return {"type": "context", "elements": [inside]} if part.small else {"type": "section", "text": inside}
