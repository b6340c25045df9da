"""Every message that can be sent is taken by Slack, and can be looked at in the sandbox."""

from __future__ import annotations

from sandbox.cloud import Sandbox
from sandbox.gallery import GOLDEN, KINDS, PLANS, fill
from sandbox.slack_view import view


def test_slack_takes_every_golden_message() -> None:
    """By its own client, each below its name, in the channel of its kind; and the page can show each."""
    with Sandbox() as sandbox:
        names = fill(sandbox)
        posted = {channel: sandbox.slack.messages(channel) for channel in (PLANS, *KINDS)}
    assert len(names) == len(list(GOLDEN.glob("letter_*.json"))) > 60
    assert sum(len(messages) for messages in posted.values()) == 2 * len(names)
    assert all(messages for messages in posted.values())
    assert all(view(message) for messages in posted.values() for message in messages)
