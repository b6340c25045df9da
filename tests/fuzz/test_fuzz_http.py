"""What comes over HTTP: requests of Slack's and of whoever is not Slack, and what is asked of the audit. Each is answered, and none with a crash."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

import pytest
from flask import Flask, request
from hypothesis import given
from hypothesis import strategies as st

from functions import audit as audits
from functions import policy_in_force, slack_action, wiring
from shared.settings import Settings
from shared.slack.conversation import thread_name
from shared.slack.panel import CHANGES
from shared.slack.text import SECTION
from tests.cloud_events import a_stage
from tests.fuzz.hostile import INSTANTS, NAMES, damaged, nearly, texts, tried, values
from tests.sight_double import MemorySight
from tests.stage import ANN, Stage, a_notification
from tests.yard import Yard, the_policy

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
FOUND = Settings(project="acme-ml-watchdog", state_bucket="acme-ml-watchdog-state", slack_signing_secret=SECRET)
APP = Flask(__name__)
ADDRESS = "https://hooks.slack.com/actions/T1/2/3"
PRESS: dict[str, Any] = {
    "type": "block_actions",
    "user": {"id": ANN, "username": "ann", "team_id": "T1"},
    "channel": {"id": "C0000000001", "name": "ml-cost"},
    "response_url": ADDRESS,
    "actions": [{"action_id": "approve", "block_id": "entry:budget-1", "type": "button", "value": ""}],
}
COMMAND = {"command": "/cost-watchdog", "text": "status", "user_id": ANN, "user_name": "ann", "channel_id": "C0000000001", "channel_name": "ml-cost", "response_url": ADDRESS}  # fmt: skip
VERBS = (
    "status",
    "plan",
    "plan 100%",
    "plan 1% forecast",
    "restore",
    "restore all",
    "hold",
    "hold trainer",
    "hold x end",
    "help",
    "audit",
    "",
)

commands = st.builds(
    "{} {}".format,
    st.sampled_from(VERBS),
    st.sampled_from(INSTANTS) | texts | st.sampled_from(["4h", "999999999d", "0.001s", "9" * 9 + "%", "0%"]),
)
"""What people type, and what nobody types."""


@contextmanager
def in_force(stage: Stage) -> Iterator[Stage]:
    """The functions find this stage, and a secret to verify with."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wiring, "settings", lambda: FOUND)
        patch.setattr(policy_in_force, "policy", lambda _: stage.policy)
        patch.setattr(wiring, "world", lambda _: stage.watchdog().world)
        patch.setattr(wiring, "watchdog", stage.watchdog)
        patch.setattr(wiring, "sight", lambda _: MemorySight().sight(stage.watchdog().world))
        yield stage


def signed(body: bytes, at: float | None = None) -> dict[str, str]:
    """The headers by which a body is Slack's: https://docs.slack.dev/authentication/verifying-requests-from-slack."""
    stamp = str(int(time.time() if at is None else at))
    digest = hmac.new(SECRET.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
    return {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": f"v0={digest}", "Content-Type": "application/x-www-form-urlencoded"}


def posted(body: bytes, headers: dict[str, str]) -> int:
    """The status with which `slack_action` answers."""
    with APP.test_request_context("/", method="POST", data=body, headers=headers):
        return slack_action.answer(request).status_code


def played() -> Stage:
    """A stage on which something is parked, waits and is to be approved."""
    stage = a_stage()
    stage.send(130)
    stage.tick()
    return stage


ENTRIES = [entry.key for entry in played().open()]
ABOUT = (*(f"entry:{key}" for key in ENTRIES), f"thread:{thread_name(a_notification())}", "entry:gone", "thread:A/b/20261101")


def answered(body: bytes) -> None:
    """Post a body as Slack would; whatever was recorded is answered, and what is told fits into a message and mentions nobody."""
    stage = played()
    with in_force(stage):
        posted(body, signed(body))
    recorded = [name for name in stage.bucket.objects if name.startswith("requests/")]
    for name in recorded:
        stage.desk().answer(name.removeprefix("requests/").removesuffix(".json"))
    stage.clock.sleep(120)
    stage.desk().sweep()
    for _, text in stage.messenger.answers:
        assert len(text) < 4 * SECTION
        assert not re.search("<[!@#]|<https?:", text), text


@tried(80)
@given(
    nearly((PRESS,)),
    st.sampled_from([*CHANGES, "show", "nothing"]),
    st.sampled_from(ABOUT),
    st.sampled_from(["", "4h", "24h", "period", *NAMES[:4]]),
)
def test_fuzz_slack_presses(payload: Any, what: str, about: str, value: str) -> None:
    """A press of Slack's with anything in place of its parts."""
    answered(urlencode({"payload": json.dumps(payload)}).encode())
    whole = PRESS | {"actions": [PRESS["actions"][0] | {"action_id": what, "block_id": about, "value": value}]}
    answered(urlencode({"payload": json.dumps(whole)}).encode())


@tried(80)
@given(commands, texts, texts)
def test_fuzz_slack_commands(text: str, name: str, channel: str) -> None:
    """A command of anybody's with anything behind it."""
    form = COMMAND | {"text": text, "user_name": name, "channel_name": channel}
    answered(urlencode({key: value.encode(errors="surrogatepass") for key, value in form.items()}).encode())


@tried(150)
@given(
    damaged((urlencode(COMMAND).encode(), urlencode({"payload": json.dumps(PRESS)}).encode())) | st.binary(max_size=300),
    st.sampled_from(["v0=", "", "v0=" + "0" * 64, "v1=x", "ü", "\x00"]) | st.text(st.characters(codec="latin-1"), max_size=30),
    st.sampled_from(["0", "-1", "9" * 400, "NaN", "1e9", "", "٣", "1_0"]) | st.text(st.characters(codec="latin-1"), max_size=12),
)
def test_fuzz_slack_signatures(body: bytes, signature: str, stamp: str) -> None:
    """Whoever is not Slack is answered with 401, whatever they send for a signature and a time, and nothing is recorded."""
    stage = a_stage()
    before = dict(stage.bucket.objects)
    with in_force(stage), APP.test_request_context("/", method="POST", data=body):
        request.environ.update({"HTTP_X_SLACK_SIGNATURE": signature, "HTTP_X_SLACK_REQUEST_TIMESTAMP": stamp})
        assert slack_action.answer(request).status_code == 401
    assert stage.bucket.objects == before


@tried(80)
@given(
    damaged((urlencode(COMMAND).encode(), urlencode({"payload": json.dumps(PRESS)}).encode())) | st.binary(max_size=300),
    st.sampled_from(["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", ""]),
)
def test_fuzz_slack_bodies(body: bytes, kind: str) -> None:
    """A body with a right signature is taken, or refused with 401, whatever it is called."""
    with in_force(a_stage()):
        assert posted(body, signed(body) | {"Content-Type": kind}) in (200, 401)


PARAMETERS = ("format", "only", "project", "simulate", "forecast", "at", "budget", "post")
given_values = (
    st.sampled_from(
        (
            "html",
            "json",
            "text",
            "budgets",
            "watch,storage",
            "acme-ml-staging",
            "100%",
            "80%",
            "999999%",
            "ML Training Budget",
            "slack",
            *INSTANTS,
        )
    )
    | texts
)
asked = st.lists(st.tuples(st.sampled_from(PARAMETERS) | texts, given_values), max_size=4)


@tried(60)
@given(
    asked,
    st.sampled_from(["GET", "POST", "HEAD"]),
    st.sampled_from(["*/*", "text/html", "application/json", "x", "text/html;q=NaN", "", ";;,,q=;"]),
)
def test_fuzz_audit_parameters(parameters: list[tuple[str, str]], method: str, accept: str) -> None:
    """Whatever the address asks for, the answer is a report or a sentence, of the type that it says, and no text of the asker's is markup in it."""
    stage = played()
    query = urlencode([(name.encode(errors="surrogatepass"), value.encode(errors="surrogatepass")) for name, value in parameters])
    with in_force(stage), APP.test_request_context(f"/?{query}", method=method, headers={"Accept": accept}):
        answer = audits.answer(request)
    assert answer.status_code in (200, 400, 409), answer.get_data(as_text=True)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    if answer.status_code != 200:
        assert answer.mimetype == "text/plain"
    if answer.mimetype == "text/html":
        assert "window.ran=1<" not in answer.get_data(as_text=True)


@pytest.mark.parametrize("at", INSTANTS)
@pytest.mark.parametrize("share", ["0.000001%", "100%", "999999.999999%"])
def test_every_simulation_is_answered(at: str, share: str) -> None:
    """Of every spend and at every time that can be written, for an estate with runs and services."""
    stage = Yard(the_policy(more='budgets:\n  - {budget: "*", steps: [{at: 1%, do: [notify]}]}'))
    stage.announced()
    with in_force(stage), APP.test_request_context("/?" + urlencode({"at": at, "simulate": share, "budget": "*", "format": "html"})):
        assert audits.answer(request).status_code in (200, 400)


def test_what_is_asked_about_is_there() -> None:
    """What fuzzing rests on: something waits for a yes and something is parked, and a press about it is done."""
    stage = played()
    assert {step.state for entry in stage.open() for step in entry.steps} >= {"approval", "waiting", "planned"}
    assert len(ENTRIES) == 1
    assert stage.press("approve", ABOUT[0]).startswith("Approved.")
    assert values is not None
