"""The Slack stand-in against slack_sdk's own clients: rate limits, outages and faults, and incoming webhooks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.client import RemoteDisconnected
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler, ServerErrorRetryHandler
from slack_sdk.webhook import WebhookClient

from sandbox.faults import Fault
from tests.contract.slack_space import SECTION, TOKEN, Space, error_of, open_slack, without_ids


@pytest.fixture
def space() -> Iterator[Space]:
    with open_slack() as opened:
        yield opened


def test_channel_takes_a_burst_and_then_one_a_second() -> None:
    """After the burst a message is 429 with Retry-After until a second has passed; other channels are not concerned."""
    with open_slack(burst=5, channels=("ml-cost", "other")) as space:
        for _ in range(5):
            space.client.chat_postMessage(channel="ml-cost", text="x")
        with pytest.raises(SlackApiError) as failure:
            space.client.chat_postMessage(channel="ml-cost", text="x")
        assert (error_of(failure), failure.value.response.status_code) == ("ratelimited", 429)
        assert failure.value.response.headers["retry-after"] == "1"
        space.client.chat_postMessage(channel="other", text="x")

        space.clock.seconds = 0.999
        with pytest.raises(SlackApiError):
            space.client.chat_postEphemeral(channel="ml-cost", user="U1", text="x")
        space.clock.seconds = 1.0
        space.client.chat_postMessage(channel="ml-cost", text="x")
        with pytest.raises(SlackApiError):
            space.client.chat_postMessage(channel="ml-cost", text="x")
        space.clock.seconds = 3600.0
        for _ in range(5):
            space.client.chat_postMessage(channel="ml-cost", text="x")
        assert len(space.slack.messages("ml-cost")) == 11


def test_refused_message_costs_nothing_of_the_burst() -> None:
    """A message that is refused does not count as posted."""
    with open_slack(burst=1) as space:
        with pytest.raises(SlackApiError):
            space.client.api_call("chat.postMessage", json={"channel": "ml-cost"})
        space.client.chat_postMessage(channel="ml-cost", text="x")


def test_client_waits_as_long_as_it_is_told(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK's handler for rate limits reads Retry-After, waits, and posts once."""
    waited: list[float] = []
    monkeypatch.setattr("slack_sdk.http_retry.builtin_handlers.time.sleep", waited.append)
    space.client.retry_handlers.append(RateLimitErrorRetryHandler(max_retry_count=2))
    space.faults.inject(Fault("chat.postMessage", status=429, retry_after=30, times=2))
    space.client.chat_postMessage(channel="ml-cost", text="x")
    assert [int(seconds) for seconds in waited] == [30, 30]
    assert len(space.slack.messages("ml-cost")) == 1


def test_client_gives_up_on_a_long_rate_limit(space: Space) -> None:
    """Without such a handler a 429 is an error at once, of one second unless the fault says more."""
    space.faults.inject(Fault("chat.*", status=429))
    with pytest.raises(SlackApiError) as failure:
        space.client.chat_postMessage(channel="ml-cost", text="x")
    assert failure.value.response.headers["retry-after"] == "1"
    assert space.faults.calls == {"chat.postMessage": 1}


def test_outage_answers_everything_with_503(space: Space) -> None:
    """In an outage every method and every webhook is 503, and afterwards all is well again."""
    hook = WebhookClient(space.url + space.slack.add_webhook("ml-cost"))
    space.slack.outage(on=True)
    with pytest.raises(SlackApiError) as failure:
        space.client.auth_test()
    assert failure.value.response.status_code == 503
    assert hook.send(text="x").status_code == 503
    assert space.slack.snapshot()["outage"] is True

    space.slack.outage(on=False)
    assert space.client.auth_test()["ok"]


def test_server_error_can_be_ridden_out(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK's handler for server errors tries a 503 again, whichever way the fault spells it."""
    monkeypatch.setattr("slack_sdk.http_retry.handler.time.sleep", lambda _: None)
    space.client.retry_handlers.append(ServerErrorRetryHandler(max_retry_count=2))
    space.faults.inject(Fault("chat.postMessage", status=500, times=1))
    space.faults.inject(Fault("*", status="UNAVAILABLE", times=1))
    space.client.chat_postMessage(channel="ml-cost", text="x")
    assert len(space.slack.messages("ml-cost")) == 1


def test_fault_can_be_an_error_of_slack(space: Space) -> None:
    """A fault whose status is one of Slack's errors answers with it, for the channel it names only."""
    space.faults.inject(Fault("chat.postMessage", status="fatal_error", match="other"))
    space.client.chat_postMessage(channel="ml-cost", text="x")
    with pytest.raises(SlackApiError) as failure:
        space.client.chat_postMessage(channel="#other", text="x")
    assert (error_of(failure), failure.value.response.status_code) == ("fatal_error", 200)


def test_dropped_answer_posts_all_the_same(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message whose answer is lost was posted: the SDK's default retry posts it twice, none leaves one and an error."""
    monkeypatch.setattr("slack_sdk.http_retry.handler.time.sleep", lambda _: None)
    space.faults.inject(Fault("chat.postMessage", drop_answer=True, times=1, delay=0.001))
    WebClient(base_url=f"{space.url}/api/", token=TOKEN).chat_postMessage(channel="ml-cost", text="x")
    assert len(space.slack.messages("ml-cost")) == 2

    space.faults.inject(Fault("chat.postMessage", drop_answer=True, times=1))
    with pytest.raises(RemoteDisconnected):
        WebClient(base_url=f"{space.url}/api/", token=TOKEN, retry_handlers=[]).chat_postMessage(channel="ml-cost", text="x")
    assert len(space.slack.messages("ml-cost")) == 3


def test_webhook_posts_to_its_channel(space: Space) -> None:
    """An incoming webhook answers ok and posts text and blocks, as JSON or in a form's payload."""
    path = space.slack.add_webhook("#ml-cost")
    answer = WebhookClient(space.url + path).send(text="hello", blocks=[SECTION])
    assert (answer.status_code, answer.body) == (200, "ok")
    form = urlencode({"payload": json.dumps({"text": "by form"})}).encode()
    with urlopen(space.url + path, form, timeout=5) as reply:  # noqa: S310 - loopback
        assert reply.read() == b"ok"
    assert [message["text"] for message in space.slack.messages("ml-cost")] == ["hello", "by form"]
    assert without_ids(space.slack.messages("ml-cost")[0]["blocks"]) == [SECTION]


def test_webhook_refuses_in_plain_text(space: Space) -> None:
    """A webhook tells its errors as text with a 4xx status, and does not raise in the SDK."""
    hook = WebhookClient(space.url + space.slack.add_webhook("ml-cost"))
    space.slack.add_channel("closed", archived=True)

    def answer_of(client: WebhookClient, **arguments: Any) -> tuple[int, str]:
        answer = client.send(**arguments)
        return answer.status_code, answer.body

    assert answer_of(hook) == (400, "no_text")
    assert answer_of(hook, text="x", blocks=[{"type": "nothing"}]) == (400, "invalid_blocks")
    assert answer_of(WebhookClient(f"{space.url}/services/T/B/X"), text="x") == (404, "no_service")
    assert answer_of(WebhookClient(space.url + space.slack.add_webhook("closed")), text="x") == (410, "channel_is_archived")
    space.faults.inject(Fault("incoming-webhook", status="action_prohibited", times=1))
    assert answer_of(hook, text="x") == (403, "action_prohibited")
    with pytest.raises(HTTPError, match="400"):
        urlopen(Request(hook.url, b"{", {"content-type": "application/json"}), timeout=5)  # noqa: S310 - loopback
    assert space.slack.messages("ml-cost") == []


def test_webhook_has_the_channels_rate_limit_and_can_lose_its_answer() -> None:
    """A webhook shares the rate limit of its channel, and a dropped answer posts all the same."""
    with open_slack(burst=1) as space:
        hook = WebhookClient(space.url + space.slack.add_webhook("ml-cost"), retry_handlers=[])
        space.faults.inject(Fault("incoming-webhook", drop_answer=True, times=1))
        with pytest.raises(RemoteDisconnected):
            hook.send(text="x")
        answer = hook.send(text="x")
        assert (answer.status_code, answer.body, answer.headers["retry-after"]) == (429, "rate_limited", "1")
        assert len(space.slack.messages("ml-cost")) == 1


def test_webhook_is_not_limited_in_all_of_its_text(space: Space) -> None:
    """The limit on all blocks together does not hold for webhooks."""
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3000}}] * 5
    assert WebhookClient(space.url + space.slack.add_webhook("ml-cost")).send(text="x", blocks=blocks).status_code == 200


def test_crash_ends_the_process(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash ends the process before the work is done."""
    ended: list[int] = []

    def end(code: int) -> None:
        ended.append(code)
        raise RuntimeError("the process would have ended")

    monkeypatch.setattr("sandbox.slack.os._exit", end)
    space.faults.inject(Fault("chat.postMessage", crash=True, times=1))
    with pytest.raises(SlackApiError):
        space.client.chat_postMessage(channel="ml-cost", text="x")
    assert (ended, space.slack.messages("ml-cost")) == ([137], [])
