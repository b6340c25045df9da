"""People press and type in Slack: the real entry point, the tasks topic, and the answer where Slack waits for it. And whoever only pretends to be Slack."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions import policy_in_force, slack_action, wiring
from sandbox.cloud import STATE_BUCKET, Sandbox
from sandbox.estate import BUDGET_ID
from sandbox.faults import Fault
from sandbox.functions import Functions
from sandbox.scene import actions_of, letters
from sandbox.slack_delivery import Delivery
from sandbox.slack_people import ANN, BEN
from sandbox.slack_view import plain
from tests.e2e.harness import InProcess, wait_until

POLICY = """
version: 1
mode: enforce
scope: {regions: [us-central1, europe-west1]}
protect: {labels: {env: prod}}
slack: {channel: "#ml-cost", approvers: [U012AB3CD, S0614TZR7]}
budgets:
  - budget: ML Training Budget
    steps:
      - at: 80%
        approve: true
        do: [{scale_to_zero: {select: {labels: {env: staging}}, to: idle}}]
"""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """One step, which asks."""
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY, encoding="utf-8")
    return file


@pytest.fixture(autouse=True)
def impatient(sandbox: Sandbox) -> None:
    """What is limited to once a second is not limited."""
    for channel in sandbox.slack._workspace.channels():
        channel.bucket.rate = 1000.0


def spend(functions: InProcess, amount: int) -> None:
    """Google tells a spend, and everything that comes of it is done."""
    functions.sandbox.budgets.spend(BUDGET_ID, Decimal(amount))
    functions.drain()


def asked(sandbox: Sandbox) -> dict[str, Any]:
    """The message that asks."""
    return next(each for each in letters(sandbox) if "passed 80 %" in each["text"])


def warm(sandbox: Sandbox) -> int:
    """How many staging services keep an instance warm by their own minimum."""
    return sum(
        1 for each in sandbox.run.snapshot() if each["labels"].get("env") == "staging" and each["mode"] == "AUTOMATIC" and each["min"]
    )


def ephemerals(sandbox: Sandbox) -> list[tuple[str, str]]:
    """What was said to one person alone: to whom, and the text."""
    return [(each["user"], each["text"]) for each in sandbox.slack.ephemerals]


# what people do


def test_somebody_says_yes(in_process: InProcess) -> None:
    """The press is acknowledged at once, carried out through the tasks topic, and answered; the message says who decided."""
    sandbox = in_process.sandbox
    spend(in_process, 8200)
    before = warm(sandbox)
    delivery = sandbox.slack.press("ml-cost", asked(sandbox)["ts"], "approve")
    assert (delivery.status, delivery.answer, delivery.failure) == (200, b"", "")
    assert warm(sandbox) == before > 5
    assert in_process.drain() == [200]
    assert warm(sandbox) < before
    ((user, text),) = ephemerals(sandbox)
    assert (user, text.startswith("Approved. ")) == (ANN, True)
    assert "approve" not in actions_of(asked(sandbox))
    assert "Approved by ann (Slack U012AB3CD)" in plain(asked(sandbox))
    stored = [each.data.decode() for each in sandbox.storage.contents(STATE_BUCKET)[0] if each.name.startswith("entries/") and each.data]
    assert any('"decided_by":"ann (Slack U012AB3CD)"' in each for each in stored)


def test_somebody_who_may_not(in_process: InProcess) -> None:
    """Nobody but them hears of it."""
    sandbox = in_process.sandbox
    spend(in_process, 8200)
    before = warm(sandbox)
    sandbox.slack.add_usergroup("S0614TZR7", "ml-platform", [ANN])
    sandbox.slack.press("ml-cost", asked(sandbox)["ts"], "approve", user=BEN)
    in_process.drain()
    ((user, text),) = ephemerals(sandbox)
    assert (user, warm(sandbox)) == (BEN, before)
    assert "`slack.approvers`" in text
    assert "could not be seen" not in text
    sandbox.slack.add_usergroup("S0614TZR7", "ml-platform", [BEN])
    sandbox.slack.press("ml-cost", asked(sandbox)["ts"], "approve", user=BEN)
    in_process.drain()
    assert warm(sandbox) < before


def test_the_slash_command(in_process: InProcess) -> None:
    """It is heard at once, and answered when it is done."""
    sandbox = in_process.sandbox
    spend(in_process, 8200)
    for text, said in {
        "": "*/cost-watchdog* and one of these:",
        "status": "waits for approval",
        "plan 100%": "after a yes (actual-0.8): 19 changes",
        "hold embedder-staging 4h": "`embedder-staging` is not touched until",
        "restore all": "Everything is to be put back, and what was to come is called off.",
        "nonsense": "There is no `nonsense`.",
    }.items():
        delivery = sandbox.slack.command("/cost-watchdog", text, channel="ml-cost")
        assert json.loads(delivery.answer) == {"response_type": "ephemeral", "text": "One moment …"}
        in_process.drain()
        assert said in ephemerals(sandbox)[-1][1], ephemerals(sandbox)[-1][1]


def test_an_audit_from_slack(in_process: InProcess) -> None:
    """The summary, to whoever asked."""
    in_process.sandbox.slack.command("/cost-watchdog", "audit", channel="ml-cost", user=BEN)
    in_process.drain()
    user, text = ephemerals(in_process.sandbox)[-1]
    assert (user, text.startswith("Audit: RED")) == (BEN, True)


def test_a_plan_for_which_it_has_to_be_said_for_which_budget(in_process: InProcess, policy: Path) -> None:
    """The names are there."""
    policy.write_text(POLICY + "  - budget: other\n    steps: [{at: 50%, do: [notify]}]\n", encoding="utf-8")
    policy_in_force._read.clear()
    in_process.sandbox.slack.command("/cost-watchdog", "plan", channel="ml-cost")
    in_process.drain()
    assert ephemerals(in_process.sandbox)[-1][1] == "Say for which budget: `ML Training Budget`, `other`."


def test_the_topic_that_does_not_take_it_leaves_it_to_the_tick(in_process: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is recorded, so it is acknowledged, and done within a minute."""
    sandbox = in_process.sandbox
    spend(in_process, 8200)
    before = warm(sandbox)
    monkeypatch.setattr(wiring.world(wiring.settings()).tasks, "_patience", 0.05)
    sandbox.faults.inject(Fault("Publish", status="UNAVAILABLE"))
    assert sandbox.slack.press("ml-cost", asked(sandbox)["ts"], "approve").status == 200
    sandbox.faults.clear()
    assert in_process.drain() == []
    in_process.tick()
    assert warm(sandbox) < before


def test_without_a_tasks_topic_the_tick_alone_answers(in_process: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a minute."""
    monkeypatch.delenv("WATCHDOG_TASKS_TOPIC")
    wiring.settings.cache_clear()
    in_process.sandbox.slack.command("/cost-watchdog", "help", channel="ml-cost")
    assert in_process.drain() == []
    in_process.tick()
    assert ephemerals(in_process.sandbox)[-1][1].startswith("*/cost-watchdog*")


def test_what_cannot_be_recorded_is_not_acknowledged(in_process: InProcess) -> None:
    """The person sees that it failed, and presses again."""
    sandbox = in_process.sandbox
    spend(in_process, 8200)
    sandbox.faults.inject(Fault("storage.objects.insert", status=403))
    delivery = sandbox.slack.press("ml-cost", asked(sandbox)["ts"], "approve")
    assert (delivery.status, delivery.answer) == (503, b"it cannot be recorded now; try again")
    assert sandbox.slack.failures
    sandbox.faults.clear()
    assert sandbox.slack.press("ml-cost", asked(sandbox)["ts"], "approve").status == 200


def test_response_urls_that_were_used_up(in_process: InProcess) -> None:
    """The answer comes into the channel, to that person alone."""
    sandbox = in_process.sandbox
    spend(in_process, 8200)
    sandbox.faults.inject(Fault("response_url", status=404, times=1))
    sandbox.slack.press("ml-cost", asked(sandbox)["ts"], "show")
    in_process.drain()
    ((user, text),) = ephemerals(sandbox)
    assert (user, text.startswith("```")) == (ANN, True)
    assert sandbox.faults.calls["chat.postEphemeral"] == 1


def test_slack_is_answered_in_time_by_real_processes(processes: Functions, sandbox: Sandbox) -> None:
    """Within the three seconds, and the work is done afterwards."""
    sandbox.budgets.spend(BUDGET_ID, Decimal(8200))
    wait_until(lambda: any("passed 80 %" in each["text"] for each in letters(sandbox)))
    delivery = sandbox.slack.press("ml-cost", asked(sandbox)["ts"], "approve")
    assert (delivery.status, delivery.seconds < 3) == (200, True)
    wait_until(lambda: bool(sandbox.slack.ephemerals))
    assert ephemerals(sandbox)[0][1].startswith("Approved. ")
    assert processes.by_target["slack_action"].alive


# whoever only pretends to be Slack


def a_press(functions: InProcess) -> Delivery:
    """Something that Slack really sent, and that was taken."""
    spend(functions, 8200)
    return functions.sandbox.slack.press("ml-cost", asked(functions.sandbox)["ts"], "show")


def sent(functions: InProcess, body: bytes, headers: Mapping[str, str]) -> int:
    """The status of the answer."""
    return functions.from_slack(body, headers)[0]


def test_a_replay_is_turned_away(in_process: InProcess) -> None:
    """The signature is right, and was seen before; nothing is done twice."""
    delivery = a_press(in_process)
    in_process.drain()
    assert sent(in_process, delivery.body, delivery.headers) == 401
    in_process.drain()
    assert len(in_process.sandbox.slack.ephemerals) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"X-Slack-Signature": "v0=" + "0" * 64},
        {"X-Slack-Signature": ""},
        {"X-Slack-Signature": "v0=é"},
        {"X-Slack-Signature": "sha256=abc"},
        {"X-Slack-Request-Timestamp": ""},
        {"X-Slack-Request-Timestamp": "yesterday"},
        {"X-Slack-Request-Timestamp": "9" * 400},
        {"X-Slack-Request-Timestamp": "1"},
        {"X-Slack-Request-Timestamp": "1e9"},
        {"X-Slack-Request-Timestamp": "٣"},
    ],
    ids=str,
)
def test_headers_that_are_not_slacks(in_process: InProcess, change: dict[str, str]) -> None:
    """Forged, missing, mangled, or of a kind on which the library's verifier raises."""
    delivery = a_press(in_process)
    headers = {name: value.encode().decode("latin-1") for name, value in {**delivery.headers, **change}.items()}
    assert sent(in_process, delivery.body + b"&a=b", headers) == 401


@pytest.mark.parametrize("age", [-301, -3600, 400])
def test_what_was_signed_too_long_ago_or_too_soon(in_process: InProcess, age: int) -> None:
    """Five minutes are enough for anybody's clock."""
    body = urlencode({"command": "/cost-watchdog", "text": "status", "user_id": ANN, "channel_id": "C0000000001"}).encode()
    headers = in_process.sandbox.slack.sign(body, int(time.time()) + age)
    assert sent(in_process, body, headers) == 401
    assert sent(in_process, body, in_process.sandbox.slack.sign(body)) == 200


@pytest.mark.parametrize(
    "body", [b"", b"\xff\xff", b"payload=\xff", b"payload={}", b"x", quote("payload=[]").encode(), b"a=" + b"b" * 1_000_001]
)
def test_bodies_that_slack_would_not_send(in_process: InProcess, body: bytes) -> None:
    """Even where they are signed."""
    headers = in_process.sandbox.slack.sign(body)
    assert sent(in_process, body, headers) == 401


def test_other_methods(in_process: InProcess) -> None:
    """Nothing answers to them."""
    client = in_process.clients["slack_action"]
    assert [client.open("/", method=method).status_code for method in ("GET", "PUT", "DELETE", "HEAD")] == [401] * 4


def test_slack_asks_whether_the_certificate_is_right(in_process: InProcess) -> None:
    """It signs that as anything else, and wants nothing but a 200: https://docs.slack.dev/interactivity/implementing-slash-commands."""
    body = urlencode({"ssl_check": "1", "token": "x"}).encode()
    assert sent(in_process, body, in_process.sandbox.slack.sign(body)) == 200
    assert not [each for each in in_process.sandbox.storage.contents(STATE_BUCKET)[0] if each.name.startswith("requests/")]


def test_without_a_secret_nobody_is_slack(in_process: InProcess, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """The log says which setting is missing."""
    monkeypatch.delenv("SLACK_SIGNING_SECRET")
    wiring.settings.cache_clear()
    body = b"command=x"
    assert sent(in_process, body, in_process.sandbox.slack.sign(body)) == 401
    assert "SLACK_SIGNING_SECRET is not set" in caplog.text


def test_an_answer_goes_to_slack_alone(in_process: InProcess, caplog: pytest.LogCaptureFixture) -> None:
    """An address of anybody else's is not posted to, whoever signed it."""
    body = urlencode({
        "command": "/cost-watchdog", "text": "help", "user_id": ANN, "channel_id": "C0000000001", "response_url": "http://169.254.169.254/latest",
    }).encode()  # fmt: skip
    caplog.set_level("INFO")
    assert sent(in_process, body, in_process.sandbox.slack.sign(body)) == 200
    in_process.drain()
    assert "is no address of Slack's" in caplog.text
    assert ephemerals(in_process.sandbox)[-1][0] == ANN


_HOSTILE = st.one_of(
    st.sampled_from(["<!channel>", "<@U012AB3CD>", "&amp;", "a & b", "🔥" * 50, "x" * 10_000, "\u202eevil", "`code`", "```", "..", "/", "\x00"]), st.text(max_size=50)
)  # fmt: skip


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    action=_HOSTILE | st.sampled_from(["approve", "restore", "hold", "show", "snooze", "restore_one", "explode"]),
    about=_HOSTILE | st.sampled_from(["entry:x", "thread:A/b/20261101", "entry:", "thread:"]),
    value=_HOSTILE,
    name=_HOSTILE,
)
def test_hostile_presses(in_process: InProcess, action: str, about: str, value: str, name: str) -> None:
    """Whatever a signed press holds: 200 or 401, a polite answer or none, nothing changed, and nothing in the answer that would call anybody."""
    sandbox = in_process.sandbox
    payload = {
        "type": "block_actions", "user": {"id": ANN, "username": name}, "channel": {"id": "C0000000001", "name": name},
        "actions": [{"action_id": action, "block_id": about, "value": value}],
    }  # fmt: skip
    body = urlencode({"payload": json.dumps(payload)}).encode()
    told, writes = len(sandbox.slack.ephemerals), len(sandbox.run.writes)
    status = sent(in_process, body, sandbox.slack.sign(body))
    assert status in (200, 401)
    assert all(answer == 200 for answer in in_process.drain())
    assert len(sandbox.run.writes) == writes
    for _, text in ephemerals(sandbox)[told:]:
        assert not re.search(r"<[!@#]", text)


def test_the_limits_of_what_is_read() -> None:
    """What Slack sends is far smaller."""
    assert slack_action.LONGEST == 1_000_000
