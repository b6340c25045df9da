"""What all chapters of the demo share: waiting for something to come true, the messages in Slack, and the checks."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from sandbox.cloud import Sandbox
from sandbox.slack_view import plain
from sandbox.telling import Check, Teller

CHANNEL = "ml-cost"
PATIENCE = 12.0
_SHORT_PATIENCE = 3.0
_POLL = 0.03


class Scene:
    """The stage that the chapters follow each other on.

    Attributes:
        sandbox: Where it happens.
        teller: Who tells it.
        checks: What came true so far, and what did not.
    """

    def __init__(self, sandbox: Sandbox, teller: Teller) -> None:
        self.sandbox = sandbox
        self.teller = teller
        self.checks: list[Check] = []
        self._messages_told = 0

    def settle(self, true: Callable[[], bool], working: Callable[[], str], within: float = PATIENCE) -> None:
        """Wait until it is true and every message is answered; not long any more once the story has gone wrong.

        Args:
            true: What is waited for.
            working: What goes on meanwhile, in a few words.
            within: Seconds, as long as all has come true so far.
        """
        patient = all(check.true for check in self.checks)
        end = time.monotonic() + within - (0 if patient else PATIENCE - _SHORT_PATIENCE)
        while time.monotonic() < end and not (true() and self.sandbox.pubsub.drain(0)):
            self.teller.working(f"{working()} · {len(self.sent())} new messages in Slack")
            time.sleep(_POLL)

    def close(self, *checks: Check) -> None:
        """Show what Slack was told and what came of the chapter, and begin to count anew."""
        self.teller.rest()
        self.teller.slack(CHANNEL, self.sent())
        self.teller.checks(checks)
        self.checks.extend(checks)
        self._messages_told += len(self.sent())

    def sent(self) -> list[dict[str, Any]]:
        """The messages of this chapter, without the headlines that they answer."""
        return letters(self.sandbox)[self._messages_told :]

    def headline(self) -> dict[str, Any]:
        """The newest headline of a thread.

        Raises:
            IndexError: There is none yet.
        """
        return [each for each in self.sandbox.slack.messages(CHANNEL) if _is_headline(each)][-1]

    def message_with(self, action: str) -> dict[str, Any]:
        """The newest message that bears this button.

        Raises:
            LookupError: There is none.
        """
        bearing = [each for each in letters(self.sandbox) if action in actions_of(each)]
        if not bearing:
            raise LookupError(f"No message in Slack bears the button {action!r}.")
        return bearing[-1]

    def press(self, action: str, user: str, who: str) -> str:
        """Somebody presses a button of the newest message that bears it; the answer is what they alone are told.

        Raises:
            LookupError: There is no such button.
        """
        message, before = self.message_with(action), len(self.sandbox.slack.ephemerals)
        delivery = self.sandbox.slack.press(CHANNEL, message["ts"], action, user=user)
        end = time.monotonic() + PATIENCE
        while len(self.sandbox.slack.ephemerals) == before and time.monotonic() < end:
            time.sleep(_POLL)
        told = "\n".join(str(each.get("text", "")) for each in self.sandbox.slack.ephemerals[before:])
        label = actions_of(message)[action]
        self.teller.note(
            f"{who} presses {label!r} in Slack. Acknowledged in {delivery.seconds * 1000:.0f} ms; {who} alone reads: {told or delivery.failure}"
        )
        return told

    def tellers(self) -> list[str]:
        """The entries that they come from, one for each."""
        return [_reference(message).partition("/")[0] for message in self.sent()]

    def told_in(self, channel: str) -> str:
        """All that another channel was told, over the whole story."""
        return "\n".join(plain(message) for message in self.sandbox.slack.messages(channel))

    def told(self) -> str:
        """All that they say."""
        return "\n".join(plain(message) for message in self.sent())

    def said(self, count: int) -> Callable[[], bool]:
        """Whether there are so many of them by now."""
        return lambda: len(self.sent()) >= count

    def told_twice(self) -> list[str]:
        """What came more than once over the whole story."""
        messages = self.sandbox.slack.messages(CHANNEL)
        references = (json.dumps(message.get("metadata", {}).get("event_payload", message["ts"])) for message in messages)
        return [reference for reference, count in Counter(references).items() if count > 1]


def actions_of(message: Mapping[str, Any]) -> dict[str, str]:
    """What can be pressed on a message: the words of each button and menu, by its action."""
    elements = [element for block in message.get("blocks", ()) if block["type"] == "actions" for element in block["elements"]]
    return {element["action_id"]: (element.get("text") or element["placeholder"])["text"] for element in elements}


def letters(sandbox: Sandbox, channel: str = CHANNEL) -> list[dict[str, Any]]:
    """All messages of a channel but the headlines that they answer, oldest first."""
    return [each for each in sandbox.slack.messages(channel) if not _is_headline(each)]


def _is_headline(message: dict[str, Any]) -> bool:
    return _reference(message).startswith("thread/")


def _reference(message: Mapping[str, Any]) -> str:
    return str(message.get("metadata", {}).get("event_payload", {}).get("reference", ""))
