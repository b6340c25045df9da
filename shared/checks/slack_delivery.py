"""Channels of Slack that take no messages, so that nobody is told anything."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from shared.audit.estate import Estate
from shared.audit.finding import Finding
from shared.checks import Check
from shared.slack.text import plural, stamp

PASSES = timedelta(hours=1)
"""An outage of Slack's own is over by then."""


def find(estate: Estate) -> Iterator[Finding]:
    """Each channel that only a person can mend, and each that has been out for long."""
    if estate.journal is None:
        return
    for channel, outage in sorted(estate.journal.delivery.outages.items()):
        if outage.mended_at or not (outage.lasting or estate.now - outage.since >= PASSES):
            continue
        waiting = sum(
            message.sent_at is None and message.channel == channel for entry in estate.journal.entries for message in entry.messages
        )
        yield CHECK.finding(
            f"slack/{channel or 'webhook'}",
            "high",
            f"Slack takes no messages for {channel or 'the webhook'} since {stamp(outage.since)}: {outage.reason.rstrip('. ')}",
            f"Nobody is told anything there. Nothing is lost: {plural(waiting, 'message')} will be delivered after the mend, in one where they are many",
            mend=("see the bot token (SLACK_BOT_TOKEN), the channel in the policy, and whether the app was invited to it",),
        )


CHECK = Check(name="slack_delivery", category="watch", lever="", needs=frozenset({"journal"}), find=find)
