"""Logs as Cloud Logging reads them."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import flask
import pytest

from functions import logs

ROOT = Path(__file__).resolve().parents[2]
LOG = logging.getLogger("shared.watchdog")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Stubborn:
    """Something that cannot be shown."""

    def __str__(self) -> str:
        raise ValueError("no")

    __repr__ = __str__


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """Loggers are the process's own: leave them as they were."""
    root = logging.getLogger()
    handlers, levels = list(root.handlers), {name: logging.getLogger(name).level for name in ("", *logs._NOISY)}
    yield
    root.handlers[:] = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def entries(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The lines on stdout, each of them one JSON object."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_an_entry(capsys: pytest.CaptureFixture[str]) -> None:
    """Severity, message and time stand where Cloud Logging looks for them, and labels are text."""
    logs.configure("acme-ml-watchdog", [])
    LOG.info("%s: %d to change", "entry-1", 3, extra={"labels": {"entry": "entry-1", "service": "embedder", "count": 3}})
    (entry,) = entries(capsys)
    assert abs(datetime.fromisoformat(entry.pop("time")) - datetime.now().astimezone()) < timedelta(minutes=1)
    assert entry == {
        "severity": "INFO",
        "message": "entry-1: 3 to change",
        "logging.googleapis.com/labels": {"logger": "shared.watchdog", "entry": "entry-1", "service": "embedder", "count": "3"},
    }


@pytest.mark.parametrize(
    ("level", "severity"),
    [(logging.INFO, "INFO"), (logging.WARNING, "WARNING"), (logging.ERROR, "ERROR"), (logging.CRITICAL, "CRITICAL"), (25, "DEFAULT")],
)
def test_severities(capsys: pytest.CaptureFixture[str], level: int, severity: str) -> None:
    """Python's levels are Cloud Logging's severities; any other is the default."""
    logs.configure("acme-ml-watchdog", [])
    LOG.log(level, "x")
    assert [entry["severity"] for entry in entries(capsys)] == [severity]


def test_what_is_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    """Details are left out, and libraries are heard from WARNING on."""
    logs.configure("acme-ml-watchdog", [])
    LOG.debug("x")
    logging.getLogger("slack_sdk.web.base_client").info("x")
    logging.getLogger("google.auth").info("x")
    assert entries(capsys) == []
    logging.getLogger("urllib3.connectionpool").warning("heard")
    assert [entry["message"] for entry in entries(capsys)] == ["heard"]


def fail(text: str) -> None:
    """Raise an error."""
    raise LookupError(text)


def test_an_exception_is_part_of_the_message(capsys: pytest.CaptureFixture[str]) -> None:
    """Error Reporting finds a stack in the message, and an entry stays one line."""
    logs.configure("acme-ml-watchdog", [])
    try:
        fail("nobody\nthere")
    except LookupError:
        LOG.exception("it failed")
    LOG.exception("no exception is at hand")  # noqa: LOG004  # as it happens to be written
    LOG.info("here", stack_info=True)
    failed, none, here = entries(capsys)
    assert failed["message"].startswith("it failed\nTraceback (most recent call last):\n")
    assert failed["message"].endswith("LookupError: nobody\nthere")
    assert none["message"] == "no exception is at hand"
    assert here["message"].startswith("here\nStack (most recent call last):\n")


def test_secrets_are_masked_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    """In messages, arguments, labels and exceptions; a secret within another one too, and an empty one masks nothing."""
    logs.configure("acme-ml-watchdog", ["canary", "xoxb-canary-token", "", 'quote"d\n'])
    LOG.info("posting with %s", "xoxb-canary-token", extra={"labels": {"token": "canary", "other": 'quote"d\n'}})
    try:
        fail("Bearer xoxb-canary-token")
    except LookupError:
        LOG.exception("failed")
    out = capsys.readouterr().out
    first, second = (json.loads(line) for line in out.splitlines())
    assert first["message"] == "posting with ***"
    assert first["logging.googleapis.com/labels"] == {"logger": "shared.watchdog", "token": "***", "other": "***"}
    assert "LookupError: Bearer ***" in second["message"]
    assert "canary" not in out


@pytest.mark.parametrize(
    ("message", "arguments", "shown"),
    [
        ("%d and %d", (1,), "%d and %d (its arguments cannot be shown: TypeError)"),
        ("%s", (Stubborn(),), "%s (its arguments cannot be shown: ValueError)"),
        (Stubborn(), (), "<Stubborn> (its arguments cannot be shown: ValueError)"),
        ("odd \ud800 \u2028 \x00 €", (), "odd \ud800 \u2028 \x00 €"),
        (None, (), "None"),
    ],
)
def test_a_message_never_fails(message: object, arguments: tuple[object, ...], shown: str) -> None:
    """Arguments that do not fit, things that cannot be shown and odd characters still make a line of ASCII."""
    line = logs.JsonLines("acme", []).format(logging.LogRecord("x", logging.INFO, "", 0, message, arguments, None))
    assert json.loads(line)["message"] == shown
    assert line.isascii()
    assert "\n" not in line


@pytest.mark.parametrize(
    ("labels", "shown"),
    [
        ({Stubborn(): Stubborn(), 1: float("nan"), "none": None}, {"<Stubborn>": "<Stubborn>", "1": "nan", "none": "None"}),
        ("none", {}),
        (None, {}),
    ],
)
def test_labels_never_fail(labels: object, shown: dict[str, str]) -> None:
    """Labels are text whatever they were, and what is no mapping is no label."""
    record = logging.LogRecord("x", logging.INFO, "", 0, "message", (), None)
    record.labels = labels
    assert json.loads(logs.JsonLines("acme", []).format(record))["logging.googleapis.com/labels"] == {"logger": "x", **shown}


def test_configuring_again_replaces(capsys: pytest.CaptureFixture[str]) -> None:
    """A second call does not double the lines and takes the new settings; other handlers stay."""
    other = logging.NullHandler()
    logging.getLogger().addHandler(other)
    logs.configure("acme-ml-watchdog", ["old"])
    logs.configure("acme-ml-watchdog", ["new"])
    LOG.info("old and new")
    assert [entry["message"] for entry in entries(capsys)] == ["old and ***"]
    assert other in logging.getLogger().handlers


def test_a_line_that_cannot_be_written(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the output is closed, that is said without what the line was to say, since its arguments are not masked; and nothing fails."""
    closed = io.StringIO()
    closed.close()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", closed)
        logs.configure("acme-ml-watchdog", ["xoxb-canary"])
    LOG.info("the token is %s", "xoxb-canary")
    said = capsys.readouterr()
    assert said == ("", "a line of shared.watchdog could not be logged: <class 'ValueError'>\n")
    monkeypatch.setattr(sys, "stderr", None)
    LOG.info("nobody is there")


def test_a_terminal_gets_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Warnings go to stderr as a person reads them, in place of the JSON lines; stdout is for what a command prints."""
    logs.configure("acme-ml-watchdog", [])
    logs.configure_terminal()
    LOG.info("left out")
    LOG.warning("embedder came back")
    assert capsys.readouterr() == ("", "WARNING: embedder came back\n")


@pytest.mark.parametrize(
    ("headers", "project", "trace"),
    [
        ({"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}, "acme", f"projects/acme/traces/{TRACE}"),
        ({"X-Cloud-Trace-Context": f"{TRACE}/67667974448284343;o=1"}, "acme", f"projects/acme/traces/{TRACE}"),
        ({"X-Cloud-Trace-Context": TRACE}, "acme", f"projects/acme/traces/{TRACE}"),
        ({"traceparent": "odd", "X-Cloud-Trace-Context": f"{TRACE}/1"}, "acme", f"projects/acme/traces/{TRACE}"),
        ({"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}, "", None),
        ({"traceparent": "00-XX-00f067aa0ba902b7-01", "X-Cloud-Trace-Context": "../../etc"}, "acme", None),
        ({}, "acme", None),
    ],
)
def test_entries_of_a_request_share_its_trace(
    capsys: pytest.CaptureFixture[str], headers: dict[str, str], project: str, trace: str | None
) -> None:
    """The trace is that of the request's header, in whichever form; without a project or a header there is none."""
    logs.configure(project, [])
    with flask.Flask("main").test_request_context(headers=headers):
        LOG.info("x")
    (entry,) = entries(capsys)
    assert entry.get("logging.googleapis.com/trace") == trace


def test_no_trace_outside_of_a_request(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal there is no request, and flask may not even be imported."""
    logs.configure("acme", [])
    LOG.info("x")
    monkeypatch.delitem(sys.modules, "flask")
    LOG.info("x")
    assert [entry.get("logging.googleapis.com/trace") for entry in entries(capsys)] == [None, None]


SERVED = """
import functions_framework
app = functions_framework.create_app("slack_action", "main.py", "http")
print(app.test_client().post("/", data=b"payload=no").status_code)
"""


def test_with_execution_ids_each_line_is_written_once() -> None:
    """Cloud Functions sets LOG_EXECUTION_ID, and then functions-framework has a handler of its own, which would write each line again: unmasked, without severity."""
    given = {
        "GOOGLE_CLOUD_PROJECT": "acme-ml-watchdog",
        "WATCHDOG_STATE_BUCKET": "acme-ml-watchdog-state",
        "WATCHDOG_POLICY": "policy.yaml",
        "WATCHDOG_TASKS_TOPIC": "projects/acme-ml-watchdog/topics/cost-watchdog-tasks",
        "SLACK_SIGNING_SECRET": "0123456789abcdef0123456789abcdef",
        "LOG_EXECUTION_ID": "true",
    }
    done = subprocess.run(
        [sys.executable, "-c", SERVED], cwd=ROOT, env={**os.environ, **given}, capture_output=True, text=True, check=True, timeout=60
    )
    written = [line for line in (done.stdout + done.stderr).splitlines() if "turned away" in line]
    assert done.stdout.splitlines()[-1] == "401"
    assert [json.loads(line)["severity"] for line in written] == ["WARNING"]
