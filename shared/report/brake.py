"""The letters about the brake: that it is on, and that somebody released it. Pure."""

from __future__ import annotations

from datetime import datetime

from shared.brake import Stop
from shared.report.letter import Letter, letter
from shared.slack.text import Part, clean, code, plural, stamp


def on(stop: Stop, now: datetime) -> Letter:
    """The watchdog has stopped itself: why, what that means, and how it goes on.

    Args:
        stop: The brake.
        now: The time of writing.
    """
    said = [
        Part(
            title="WHY",
            tail=f"{code(stop.entry, 120)} was about to make {plural(stop.count, 'change')}, and {stop.recent:,} had been made within the hour. "
            f"The policy allows {stop.limit:,} ({code('limits.per_hour')}).",
        ),
        Part(
            title="WHAT THAT MEANS",
            tail=f"Since {stamp(stop.at)} nothing more is stopped, parked again or deleted, for any budget or bucket. What is asked to be put back is put back. "
            "Nothing is lost: whatever was due waits in the journal.",
        ),
        Part(
            title="WHAT TO DO",
            tail=f"Look first: {code('python -m functions list')}, and {code('python -m functions show KEY')}.\n"
            f"• It is meant: {code('/cost-watchdog release')}, or {code('python -m functions release')}. What waits goes on within a quarter of an hour.\n"
            f"• It is not: {code('python -m functions restore --all')} puts everything back and calls off what was to come; then mend the policy, and release.",
        ),
        Part(tail="While it is on and something waits, you are told once a day.", small=True),
    ]
    return letter(f"The brake is on: {stop.recent + stop.count:,} changes within an hour would be too many", said, now)


def released(stop: Stop, by: str, now: datetime) -> Letter:
    """A person let it go on.

    Args:
        stop: The brake as it was.
        by: Who.
        now: The time of writing.
    """
    said = [
        Part(tail=f"It was on since {stamp(stop.at)}. What waited goes on within a quarter of an hour. The count of the hour begins anew.")
    ]
    return letter(f"The brake was released by {clean(by, 100)}", said, now)
