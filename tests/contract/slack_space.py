"""The sandbox's Slack behind a server on loopback, with slack_sdk's client before it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from sandbox.faults import Faults
from sandbox.serve import HttpServer
from sandbox.slack import Slack

TOKEN = "xoxb-sandbox"
SECTION = {"type": "section", "text": {"type": "mrkdwn", "text": "hello"}}


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@dataclass(frozen=True)
class Space:
    """A workspace behind a server.

    Attributes:
        slack: The stand-in, with the channel ml-cost.
        channel: That channel's id.
        url: The server's address.
        client: A client with the right token.
        faults: The stand-in's faults.
        clock: The clock of its rate limit.
    """

    slack: Slack
    channel: str
    url: str
    client: WebClient
    faults: Faults
    clock: Clock


@contextmanager
def open_slack(burst: int = 1000, **arguments: Any) -> Iterator[Space]:
    """A workspace that takes `burst` messages at once, and what else `Slack` can be told."""
    faults, clock = Faults(), Clock()
    slack = Slack(faults, clock=clock, burst=burst, **arguments)
    with HttpServer(slack.app()) as server:
        slack.serve_at(server.url)
        client = WebClient(base_url=f"{server.url}/api/", token=TOKEN)
        yield Space(slack, "C0000000001", server.url, client, faults, clock)


def without_ids(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Blocks without the ids that Slack makes up for them."""
    return [{key: value for key, value in block.items() if key != "block_id"} for block in blocks]


def error_of(failure: pytest.ExceptionInfo[SlackApiError]) -> Any:
    """The error that Slack answered with."""
    return failure.value.response["error"]
