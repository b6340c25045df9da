"""The letters about the brake: that it is on, and that somebody released it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from shared.brake import MEANS, Kind, Stop
from shared.report.letter import Letter, letter
from shared.slack.text import Part, clean, code, plural, stamp

GOES_ON = (
    "The plan that was held back goes on within a quarter of an hour, and so does what else waits, as far as `limits.per_hour` allows."
)
_ONE: Mapping[Kind, str] = {"resources": "change", "runs": "deletion"}
_REST: Mapping[Kind, str] = {
    "resources": "Runs are counted apart; this does not stop their deletion.",
    "runs": "What budgets change is counted apart; this does not stop it.",
}


def on(stop: Stop, now: datetime) -> Letter:
    """The watchdog has stopped itself: why, what that means, and how it goes on.

    Args:
        stop: What the brake is on for.
        now: The time of writing.
    """
    said = [
        Part(
            title="WHY",
            tail=f"{code(stop.entry, 120)} was about to make {plural(stop.count, _ONE[stop.kind])}, and {stop.recent:,} had been made within the hour. "
            f"The policy allows {stop.limit:,} ({code('limits.per_hour')}).",
        ),
        Part(
            title="WHAT THAT MEANS",
            tail=f"Since {stamp(stop.at)} {MEANS[stop.kind]}. {_REST[stop.kind]} What is asked to be put back is put back. "
            "Nothing is lost: whatever was due waits in the journal.",
        ),
        Part(
            title="WHAT TO DO",
            tail=f"Look first: {code('python -m functions list')}, and {code('python -m functions show KEY')}.\n"
            f"• It is meant: {code('/cost-watchdog release')}, or {code('python -m functions release')}. {GOES_ON}\n"
            f"• It is not: {code('python -m functions restore --all')} puts everything back and calls off what was to come; then mend the policy, and release.",
        ),
        Part(tail="While it is on and something waits, you are told once a day.", small=True),
    ]
    return letter(f"The brake is on: {plural(stop.recent + stop.count, _ONE[stop.kind])} within an hour would be too many", said, now)


def released(stop: Stop, by: str, now: datetime) -> Letter:
    """A person let it go on.

    Args:
        stop: What the brake was on for.
        by: Who.
        now: The time of writing.
    """
    said = [
        Part(tail=f"It was on for {stop.kind} since {stamp(stop.at)}. {GOES_ON} Their count begins anew."),
        Part(tail="Where more waits than that, the brake goes on again, and you are told.", small=True),
    ]
    return letter(f"The brake was released by {clean(by, 100)}", said, now)
