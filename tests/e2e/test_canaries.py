"""No secret leaves its place: the story, and what goes wrong in it, with secrets that are looked for afterwards in everything that was written."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import functions_framework
import pytest

from functions import __main__ as cli
from functions import logs, wiring
from sandbox.cloud import ROOT, SIGNING_SECRET, STATE_BUCKET, Sandbox
from sandbox.faults import Fault
from sandbox.functions import SLACK_ACTION, TASK
from shared.cloud.slack_webhook import SlackWebhook
from shared.errors import CloudError, SettingsError
from shared.settings import Settings
from tests.e2e.harness import InProcess, forget
from tests.e2e.test_slack_action import POLICY, asked, spend
from tests.stage import ANN

HOOK = "T0CANARY/B0CANARY/hookcanary0123456789"
SIGN = re.compile(r"v0=[0-9a-f]{64}")


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """The one by which Slack asks for a yes."""
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY, encoding="utf-8")
    return file


class Kept(logging.Handler):
    """Every record with its traceback and labels, as nobody has masked it yet, and those of libraries that the functions do not print."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{self.format(record)} {getattr(record, 'labels', '')}")


@pytest.fixture
def canaries(sandbox: Sandbox, capfd: pytest.CaptureFixture[str], in_process: InProcess) -> Iterator[list[str]]:
    """What is looked for, and more that a test adds; when the test is over, nothing that was written anywhere holds any of it."""
    assert in_process.clients
    sought, kept = [sandbox.slack.token, SIGNING_SECRET, HOOK], Kept()
    for channel in sandbox.slack._workspace.channels():
        channel.bucket.rate = 1000.0
    sandbox.storage.object_update_limit = False
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", printed)
        logs.configure(sandbox.project, wiring.settings().secrets)  # as a process does when it begins
    logging.getLogger().addHandler(kept)
    yield sought
    logging.getLogger().removeHandler(kept)
    places = {"what the process printed": "".join((printed.getvalue(), *capfd.readouterr())), "the log": "\n".join(kept.lines)}
    places["Slack"] = json.dumps([sandbox.slack.messages("ml-cost"), sandbox.slack.ephemerals], default=str)
    for each in sandbox.storage.contents(STATE_BUCKET)[0]:
        places[f"gs://{STATE_BUCKET}/{each.name}"] = f"{(each.data or b'').decode(errors='replace')} {each.metadata}"
    messages = [message for topic in (sandbox.budget_topic, sandbox.tasks_topic) for message in sandbox.pubsub.messages(topic)]
    places["Pub/Sub"] = "\n".join(f"{message.data!r} {message.attributes}" for message in messages)
    assert places["the log"]
    assert places["what the process printed"]
    assert [(place, secret) for place, text in places.items() for secret in sought if secret in text] == []
    assert [place for place, text in places.items() if SIGN.search(text)] == []


def addresses(sandbox: Sandbox) -> list[str]:
    """Where Slack waits for answers, as the requests of the journal have it now."""
    requests = [each.data for each in sandbox.storage.contents(STATE_BUCKET)[0] if each.name.startswith("requests/") and each.data]
    return [address for request in requests if (address := json.loads(request)["address"])]


def test_the_story(in_process: InProcess, canaries: list[str]) -> None:
    """A budget parks services and somebody approves, asks and restores; when they are answered, the addresses of the answers are in no object either."""
    sandbox = in_process.sandbox
    spend(in_process, 8200)
    sandbox.slack.press("ml-cost", asked(sandbox)["ts"], "approve", user=ANN)
    for text in ("status", "plan 100%", "audit", "hold embedder-staging 4h", "restore all", "nonsense"):
        sandbox.slack.command("/cost-watchdog", text, channel="ml-cost", user=ANN)
    canaries.extend(addresses(sandbox))
    assert len(canaries) == 10
    in_process.drain()
    in_process.tick()
    assert addresses(sandbox) == []


@pytest.mark.parametrize(
    ("method", "status"),
    [("chat.*", 500), ("chat.*", 401), ("chat.*", 403), ("chat.*", 404), ("response_url", 500), ("actions*", 500), ("storage.objects.insert", 403), ("storage.objects.get", 403), ("storage.*", 400), ("UpdateService", 403), ("Publish", 500)],
)  # fmt: skip
def test_what_is_refused(in_process: InProcess, canaries: list[str], method: str, status: int) -> None:
    """Whatever Slack's and Google's clients raise, with the request, its headers and its address in it."""
    sandbox = in_process.sandbox
    spend(in_process, 8200)
    sandbox.faults.inject(Fault(method, status, times=3))
    sandbox.slack.command("/cost-watchdog", "status", channel="ml-cost", user=ANN)
    canaries.extend(addresses(sandbox))
    in_process.drain()
    in_process.tick()
    sandbox.faults.clear()
    for _ in range(3):
        in_process.tick()
    for each in addresses(sandbox):  # a request that waits for its answer still has to know where it goes
        canaries.remove(each)


def test_a_wrong_signature(in_process: InProcess, canaries: list[str]) -> None:
    """A request that is turned away leaves neither its signature nor the right one."""
    for signature in ("v0=" + "0" * 64, "v0=", "ü"):
        headers = {"X-Slack-Request-Timestamp": "1", "X-Slack-Signature": signature, "Authorization": f"Bearer {canaries[0]}"}
        assert in_process.clients[SLACK_ACTION].post("/", data=b"payload=x", headers=headers).status_code == 401


@pytest.mark.parametrize("answer", [b"no_service", b"<html>", b"ok"])
def test_an_incoming_webhook(in_process: InProcess, canaries: list[str], answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its address is a secret; no error names it, whether nobody is there or Slack refuses it."""
    port = {b"no_service": "1", b"<html>": in_process.sandbox.environment()["SLACK_API_URL"].split(":")[2].split("/")[0], b"ok": "0"}[
        answer
    ]
    with pytest.raises(CloudError) as failure:
        SlackWebhook(f"http://127.0.0.1:{port}/services/{HOOK}").post("", "text", [], reference="r")
    said = "".join(str(each) for each in (failure.value, *failure.value.args))
    assert HOOK not in said
    assert HOOK in canaries
    monkeypatch.delenv("SLACK_BOT_TOKEN")
    monkeypatch.setenv("SLACK_WEBHOOK_URL", f"http://127.0.0.1:1/services/{HOOK}")
    forget()
    app = functions_framework.create_app(TASK, str(ROOT / "main.py"), "http").test_client()
    logging.getLogger("shared").warning("the watchdog begins")
    assert app.post("/", json={"message": {"data": "eyJ0YXNrIjogInRpY2sifQ==", "messageId": "1"}, "subscription": "s"}).status_code == 200
    assert cli.main(["list"]) in (0, 1)


def test_a_fault_in_the_watchdog_itself(capfd: pytest.CaptureFixture[str], in_process: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """A traceback that holds secrets is masked where it is printed, whoever logs it."""
    found = wiring.settings()
    assert in_process.clients
    stdout = io.StringIO()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stdout)
        logs.configure(found.project, found.secrets)

    def broken(*_: object) -> None:
        raise RuntimeError(f"{found.slack_token} {found.slack_signing_secret} {found!r}")

    monkeypatch.setattr("shared.watchdog.Watchdog.tick", broken)
    message = {"message": {"data": "eyJ0YXNrIjogInRpY2sifQ==", "messageId": "1"}, "subscription": "s"}
    assert in_process.clients[TASK].post("/", json=message).status_code == 500
    printed = "".join((stdout.getvalue(), *capfd.readouterr()))
    assert "RuntimeError: *** ***" in printed
    assert found.slack_token is not None
    assert found.slack_token not in printed
    assert SIGNING_SECRET not in printed


@pytest.mark.parametrize("name", ["SLACK_BOT_TOKEN", "SLACK_SIGNING_SECRET", "SLACK_WEBHOOK_URL"])
def test_settings_that_cannot_be_used(name: str) -> None:
    """The fault names the variable and not its value, and nothing shows the settings with their secrets."""
    environment = {"GOOGLE_CLOUD_PROJECT": "acme-ml-watchdog", "WATCHDOG_STATE_BUCKET": "acme-ml-watchdog-state"}
    with pytest.raises(SettingsError, match=name) as refused:
        Settings.from_env({**environment, name: f"{HOOK} with a blank"})
    assert HOOK not in str(refused.value)
    assert HOOK not in repr(Settings.from_env({**environment, name: f"https://{HOOK}"}))
