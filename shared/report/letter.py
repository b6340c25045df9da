"""What every message to people is made of: a heading, paragraphs, and who wrote it when. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.entry import Entry
from shared.report.parts import command
from shared.slack.text import Part, as_blocks, as_text, code, stamp


@dataclass(frozen=True)
class Letter:
    """A message to people.

    Attributes:
        text: The whole of it in short, in Slack's mrkdwn, for notifications and logs.
        blocks: The same as Block Kit.
    """

    text: str
    blocks: tuple[dict[str, Any], ...]


def unsigned(header: str, said: Iterable[Part]) -> Letter:
    """Put a message together that says the same for as long as it is so; it is kept up to date, so it names no time of writing."""
    parts = [*said]
    return Letter(as_text(header, parts, more=""), as_blocks(header, parts, more=""))


def letter(header: str, said: Iterable[Part], now: datetime, entry: Entry | None = None) -> Letter:
    """Put a message together; it is signed with the entry that it speaks of and the time."""
    written = f"written {stamp(now)}"
    more = f"({command('show', entry)} lists them all)" if entry else ""
    signed = [*said, Part(tail=f"{code(entry.key, 100)} · {written}" if entry else written, small=True)]
    return Letter(as_text(header, signed, more=more), as_blocks(header, signed, more=more))
