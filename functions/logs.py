"""Logs: for a terminal as plain lines, in the cloud as JSON lines that Cloud Logging reads.

https://cloud.google.com/logging/docs/structured-logging#structured_logging_special_fields
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from shared.slack.text import clean

_SEVERITIES = frozenset({"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"})
_WIDEST = 4000
_NOISY = ("google", "grpc", "requests", "slack_sdk", "urllib3", "werkzeug")
_TRACES = {
    "traceparent": re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-"),  # https://www.w3.org/TR/trace-context/#traceparent-header
    "X-Cloud-Trace-Context": re.compile(r"([0-9a-f]{32})(?:/|$)"),  # https://cloud.google.com/trace/docs/trace-context
}


def configure(project: str, secrets: Iterable[str]) -> None:
    """Send everything from INFO on to stdout, one JSON object a line. Calling it again replaces what an earlier call set up.

    Any other plain stream handler goes as well: with LOG_EXECUTION_ID, which Cloud Functions sets, functions-framework has one, and each line would be written
    a second time, with the secrets and without its severity.

    Args:
        project: The watchdog's own project, for the traces; empty leaves them out.
        secrets: What is replaced by ``***`` wherever it occurs.
    """
    _send(_Handler(sys.stdout), JsonLines(project, secrets), logging.INFO)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)


def configure_terminal() -> None:
    """Send warnings and errors to stderr as plain lines, so that they stand apart from what a command prints."""
    _send(_Handler(sys.stderr), _Plain("%(levelname)s: %(message)s"), logging.WARNING)


def _send(handler: _Handler, formatter: logging.Formatter, level: int) -> None:
    root = logging.getLogger()
    for earlier in [each for each in root.handlers if type(each) in (_Handler, logging.StreamHandler)]:
        root.removeHandler(earlier)
    handler.setFormatter(formatter)
    root.addHandler(handler)
    root.setLevel(level)


class _Handler(logging.StreamHandler[Any]):
    """So that it is known again."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # it is logging's own name
        """Say that a line could not be written, and not what it was: Python would print its arguments as they are, secrets among them."""
        if sys.stderr:
            sys.stderr.write(f"a line of {record.name} could not be logged: {sys.exc_info()[0]}\n")


def shown(line: str) -> str:
    """A line as a terminal may show it: what it would obey is taken out, and the indentation stays."""
    return f"{' ' * (len(line) - len(line.lstrip(' ')))}{clean(line, _WIDEST)}"


class _Plain(logging.Formatter):
    """Formats a record as lines that a terminal shows and does not obey, whatever names they hold."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(shown(line) for line in super().format(record).split("\n"))


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object. A mapping given as ``extra={"labels": {...}}`` becomes the entry's labels."""

    def __init__(self, project: str, secrets: Iterable[str]) -> None:
        """Keep what `configure` was given."""
        super().__init__()
        self._project = project
        # A secret that contains another one goes first.
        self._secrets = sorted({secret for secret in secrets if secret}, key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end; whatever the record holds, it does not fail."""
        line = {
            "severity": record.levelname if record.levelname in _SEVERITIES else "DEFAULT",
            "message": self._masked(_message(self, record)),
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
        }
        labels = getattr(record, "labels", None)
        fields: dict[str, Any] = {"logger": record.name}
        if isinstance(labels, Mapping):
            fields |= {_text(key): self._masked(_text(value)) for key, value in labels.items()}
        trace = _trace() if self._project else None
        if trace:
            line["logging.googleapis.com/trace"] = f"projects/{self._project}/traces/{trace}"
        return json.dumps({**line, "logging.googleapis.com/labels": fields})

    def _masked(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


def _message(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    try:
        text = record.getMessage()
    except Exception as error:  # noqa: BLE001  # arguments that do not fit the message, or that cannot be shown
        text = f"{_text(record.msg)} (its arguments cannot be shown: {type(error).__name__})"
    parts = [text]
    if record.exc_info and record.exc_info[0]:
        parts.append(formatter.formatException(record.exc_info))
    if record.stack_info:
        parts.append(formatter.formatStack(record.stack_info))
    return "\n".join(parts)


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001  # somebody else's __str__
        return f"<{type(value).__name__}>"


def _trace() -> str | None:
    """The trace of the request that is being answered in this thread, if any; a terminal does not even import flask."""
    flask = sys.modules.get("flask")
    if flask is None or not flask.has_request_context():
        return None
    found = (pattern.match(flask.request.headers.get(header, "")) for header, pattern in _TRACES.items())
    return next((match[1] for match in found if match), None)
