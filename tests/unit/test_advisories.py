"""The look among known vulnerabilities: an advisory fails the check, and what could not be looked up is said and is no all-clear."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from tests import advisories

CLEAN = {"name": "jinja2", "version": "3.1.6", "vulns": []}
WEAK = {"name": "jinja2", "version": "2.10", "vulns": [{"id": "PYSEC-2019-217", "fix_versions": ["2.10.1"], "aliases": []}]}
SKIPPED = {"name": "jinja2", "skip_reason": "Dependency not found"}


def answering(monkeypatch: pytest.MonkeyPatch, *answers: Any) -> None:
    """Let pip-audit answer so, one call after the other; what is no list is what it says where it fails."""
    left = list(answers)

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        answer = left.pop(0)
        if answer is TimeoutError:
            raise subprocess.TimeoutExpired(command, 1)
        failed = isinstance(answer, str)
        return subprocess.CompletedProcess(command, 1, "" if failed else json.dumps({"dependencies": answer}), answer if failed else "")

    monkeypatch.setattr(subprocess, "run", run)


@pytest.mark.parametrize(
    ("answers", "status", "said"),
    [
        (([CLEAN],), 0, "no known vulnerability in 1 requirements"),
        (([CLEAN, WEAK],), 1, "jinja2 2.10: PYSEC-2019-217, mended in 2.10.1: raise it in requirements.in, then make lock"),
        (([CLEAN, SKIPPED], [CLEAN]), 0, "no known vulnerability in 1 requirements"),
        (([SKIPPED], "ConnectionError: no route\n"), 0, "NOTE: known vulnerabilities could not be looked up here (pypi: 1 of 1 are not known there: Dependency not found; osv: ConnectionError: no route)"),
        ((TimeoutError, ""), 0, "osv: no answer)"),
    ],
)  # fmt: skip
def test_what_is_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answers: tuple[Any, ...], status: int, said: str
) -> None:
    """The first source that knows every requirement decides; where none does, that is said aloud."""
    answering(monkeypatch, *answers)
    assert advisories.main() == status
    assert said in capsys.readouterr().out
