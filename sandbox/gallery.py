"""Every message that the product can send, in the sandbox's Slack for a look: the golden files of the tests, by kind."""

from __future__ import annotations

import json
from pathlib import Path

from slack_sdk import WebClient

from sandbox.cloud import ROOT, Sandbox

GOLDEN = ROOT / "tests" / "golden"
KINDS = ("headline", "buttons", "job", "blind", "brake", "digest")
"""How the names of the golden files begin, each with a channel of its own; the others are about plans."""
PLANS = "plans"


def fill(sandbox: Sandbox, folder: Path = GOLDEN) -> list[str]:
    """Post all of them with Slack's own client, each below its name; gives their names.

    Args:
        sandbox: Where they are posted, in a channel for each kind.
        folder: The golden files.

    Raises:
        slack_sdk.errors.SlackApiError: Slack would not take one of them.
    """
    names = sorted(file.stem.removeprefix("letter_") for file in folder.glob("letter_*.json"))
    for kind in (PLANS, *KINDS):
        sandbox.slack.add_channel(kind, burst=2 * len(names))
    environment = sandbox.environment()
    client = WebClient(environment["SLACK_BOT_TOKEN"], base_url=environment["SLACK_API_URL"])
    for name in names:
        channel = next((kind for kind in KINDS if name.startswith(kind)), PLANS)
        text, blocks = ((folder / f"letter_{name}.{ending}").read_text(encoding="utf-8") for ending in ("txt", "json"))
        client.chat_postMessage(channel=channel, text=f"_{name.replace('_', ' ')}_")
        client.chat_postMessage(channel=channel, text=text, blocks=json.loads(blocks))
    return names
