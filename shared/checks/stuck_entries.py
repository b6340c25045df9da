"""Entries of the journal that do not get on, wait for a person, or cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from shared.audit.estate import Estate
from shared.audit.finding import Finding
from shared.checks import Check
from shared.entry import Entry
from shared.errors import JournalError
from shared.report.parts import shell
from shared.slack.text import plural, stamp

ATTEMPTS = 5
"""After so many attempts in a row, chance is not the reason."""
LONG_WAIT = timedelta(days=1)
LATE = timedelta(hours=1)
"""A message that waits for so long does not wait for its turn."""


def find(estate: Estate) -> Iterator[Finding]:
    """Each open entry with something that failed or waits, and each that cannot be read."""
    for entry in estate.journal.entries if estate.journal else ():
        yield from _failing(entry)
        yield from _unseen(entry)
        yield from _waiting(entry, estate)
        yield from _unsent(entry, estate)
    for fault in estate.journal.faults if estate.journal else ():
        yield _unreadable(fault)


def _failing(entry: Entry) -> Iterator[Finding]:
    failed = [target for target in entry.targets if target.status in ("failed", "restoring") and target.attempts >= ATTEMPTS]
    if failed:
        reasons = "; ".join(dict.fromkeys(f"{target.short_name}: {target.reason}" for target in failed[:3]))
        yield CHECK.finding(
            f"entries/{entry.key}/failed",
            "high",
            f"{plural(len(failed), 'resource')} could not be changed or put back in {ATTEMPTS} attempts ({reasons})",
            "The ticks go on trying; what the reason names has to be mended first",
            mend=(shell("show", entry),),
        )
    if entry.job and max(entry.job.attempts, entry.job.tries) >= ATTEMPTS:
        reason = entry.job.reason.rstrip(". ")
        yield CHECK.finding(
            f"entries/{entry.key}/failed",
            "high",
            f"work on gs://{entry.job.bucket}/{entry.job.prefix} did not get on in {max(entry.job.attempts, entry.job.tries)} attempts"
            f"{f': {reason}' if reason else ''}",
            "The ticks go on trying; what the reason names has to be mended first",
            mend=(shell("show", entry),),
        )


def _unseen(entry: Entry) -> Iterator[Finding]:
    blind = [place for place in entry.unseen if place.attempts >= ATTEMPTS]
    if blind:
        places = ", ".join(f"the {place.kind.replace('_', ' ')}s of {place.project}/{place.region}" for place in blind[:3])
        yield CHECK.finding(
            f"entries/{entry.key}/unseen",
            "high",
            f"{plural(len(blind), 'place')} could not be looked at in {ATTEMPTS} attempts ({places}: {blind[0].reason.rstrip('. ')})",
            "What should be parked there still runs; the ticks go on trying",
            mend=(shell("show", entry),),
        )


def _waiting(entry: Entry, estate: Estate) -> Iterator[Finding]:
    if estate.now - entry.created < LONG_WAIT:
        return
    if any(step.state in ("approval", "refused") for step in entry.steps) or (entry.job and entry.job.stage == "refused"):
        yield CHECK.finding(
            f"entries/{entry.key}/waiting",
            "medium",
            f"waits for a person since {stamp(entry.created)}",
            "Nothing of it is carried out without a yes",
            mend=(shell("approve", entry), shell("cancel", entry)),
        )


def _unsent(entry: Entry, estate: Estate) -> Iterator[Finding]:
    out = estate.journal.delivery.outages if estate.journal else {}  # of a channel that takes nothing, `slack_delivery` speaks once
    late = [each for each in entry.messages if each.sent_at is None and each.channel not in out and estate.now - each.created >= LATE]
    if late:
        yield CHECK.finding(
            f"entries/{entry.key}/messages",
            "high",
            f"{plural(len(late), 'message')} to Slack could not be delivered: {late[0].error.rstrip('. ') or 'not tried yet'}",
            "Nobody was told. Nothing is lost: they are sent when Slack takes them again",
            mend=("see the bot token, the channel in the policy, and whether the app is in it",),
        )


def _unreadable(fault: JournalError) -> Finding:
    return CHECK.finding(
        f"journal/{fault.name}",
        "high",
        "an object of the journal cannot be read, and is left alone",
        f"What it records as parked stays parked until it can be read again: {fault}",
        mend=("put an earlier version of the object back (the state bucket keeps versions), or deploy the version that wrote it",),
    )


CHECK = Check(name="stuck_entries", category="watch", lever="", needs=frozenset({"journal"}), find=find)
