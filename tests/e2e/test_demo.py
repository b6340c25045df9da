"""The demo as people run it: the story comes true, and says so when it does not."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import urllib.request

import pytest

from sandbox.cloud import ROOT


def demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the demo to its end, without a terminal."""
    command = [sys.executable, "-m", "sandbox", "demo", "--port", "0", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)


def test_the_story_comes_true_and_ends_by_itself() -> None:
    """Without a terminal it ends with status 0, has told every chapter, and names no failure."""
    told = demo()
    assert told.returncode == 0, told.stdout + told.stderr
    assert "The story came true" in told.stdout
    assert re.findall(r"^(\d+)\. ", told.stdout, re.MULTILINE) == [str(number) for number in range(1, 14)]
    assert "✗" not in told.stdout
    assert "30m, 24h are 3 s here" in re.sub(r"[\s│]+", " ", told.stdout)
    assert told.stderr == ""


def test_the_story_says_what_did_not_come_true() -> None:
    """Where Cloud Run denies every change it ends with status 1, and names what was not reached."""
    told = demo("--exit", "--fault", "UpdateService:403")
    assert told.returncode == 1, told.stdout + told.stderr
    assert "The story did not come true" in told.stdout
    assert "✗ no staging service keeps an instance" in told.stdout
    assert "FAILED" in told.stdout


def test_the_story_says_when_nothing_can_be_deleted() -> None:
    """Where Cloud Storage denies every batch it ends with status 1, the objects are there as before, and only chapters about them are to blame."""
    told = demo("--exit", "--fault", "storage.batch:403")
    assert told.returncode == 1, told.stdout + told.stderr
    said = re.sub(r"\s+", " ", told.stdout)
    assert "✗ exactly 17 objects are gone" in said
    assert "✓ no object outside of" in said
    assert "✓ no staging service keeps an instance" in said


@pytest.mark.parametrize("fault", ["UpdateService", "UpdateService:", ":503", "UpdateService:503:often", "UpdateService:UNAVAILABLE"])
def test_a_fault_that_makes_no_sense_is_not_accepted(fault: str) -> None:
    """The command line says how a fault is written."""
    told = demo("--fault", fault)
    assert told.returncode == 2
    assert "METHOD:STATUS" in told.stderr


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_sandbox_runs_until_it_is_interrupted(how: signal.Signals) -> None:
    """It prints the page's address and the variables to export, answers there, and ends quietly on Ctrl-C or when it is told to."""
    command = [sys.executable, "-m", "sandbox", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        lines: list[str] = []
        while not lines or "Ctrl-C" not in lines[-1]:
            lines.append(process.stdout.readline())
            assert lines[-1], process.stderr.read()
        said = "".join(lines)
        page = re.search(r"http://127\.0\.0\.1:\d+/", said)
        assert page
        with urllib.request.urlopen(page[0], timeout=10) as answer:  # noqa: S310  # loopback
            assert answer.status == 200
        for name in ("WATCHDOG_STATE_BUCKET", "CLOUD_RUN_EMULATOR_HOST", "STORAGE_EMULATOR_HOST", "SLACK_API_URL"):
            assert f"export {name}=" in said
        process.send_signal(how)
        assert process.wait(timeout=20) == 0
        assert process.stderr.read() == ""
