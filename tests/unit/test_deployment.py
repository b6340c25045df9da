"""What docs/deployment.md says of Terraform is what Terraform says."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from functions import __main__ as cli

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
TERRAFORM = {file.stem: file.read_text(encoding="utf-8") for file in sorted((ROOT / "terraform").glob("*.tf"))}
RUNBOOK = PAGE.split("## When an alert comes\n", 1)[1].split("\n## ", 1)[0]

needs_terraform = pytest.mark.skipif(not TERRAFORM, reason="there is no Terraform in this checkout to compare the page with")


@needs_terraform
def test_every_alert_has_its_runbook() -> None:
    """By the title that the alert bears, and no heading is about another."""
    alerts = TERRAFORM["alerts"]
    titles = {*re.findall(r'title\s+=\s+"([^"]+)"', alerts), *re.findall(r'display_name\s+=\s+"Cost Watchdog: ([^"$]+)"', alerts)}
    assert set(re.findall(r"^### `(.+)`$", RUNBOOK, flags=re.MULTILINE)) == titles


@needs_terraform
def test_every_variable_is_told_of() -> None:
    """Those without a default stand among the values that are needed, the others in the table, and none that there is not."""
    blocks = re.findall(r'^variable "(\w+)" \{\n(.*?)^\}', TERRAFORM["variables"], flags=re.MULTILINE | re.DOTALL)
    needed = {name for name, text in blocks if "  default " not in text}
    values = PAGE.split("### 4. Five values\n", 1)[1].split("\n### ", 1)[0]
    assert set(re.findall(r"^    (\w+) +=", values, flags=re.MULTILINE)) == needed
    rows = "\n".join(re.findall(r"^\| (`.*?) \|", values, flags=re.MULTILINE))
    assert set(re.findall(r"`(\w+)`", rows)) == {name for name, _ in blocks} - needed


@needs_terraform
def test_outputs_and_names_are_there() -> None:
    """Each output that the page asks for, and each function, topic, secret and bucket that it names."""
    outputs = set(re.findall(r'^output "(\w+)"', TERRAFORM["outputs"], flags=re.MULTILINE))
    assert {*re.findall(r"output -raw (\w+)", PAGE), "budget_topic", "budgets_to_connect"} <= outputs
    for name in set(re.findall(r"\bcost-watchdog-(budgets|tasks|objects|dead-letters)\b", PAGE)):
        assert f'"{name}"' in TERRAFORM["topics"] or f"cost-watchdog-{name}" in TERRAFORM["topics"], name
    assert "cost-watchdog-${lower(replace(" in TERRAFORM["secrets"]
    assert "-cost-watchdog-state" in TERRAFORM["state"]
    assert "-cost-watchdog-config" in TERRAFORM["source"]


def test_make_has_every_target_that_is_told_of() -> None:
    """In the page, and in what a newcomer reads."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    told = PAGE + (ROOT / "README.md").read_text(encoding="utf-8") + (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert {
        name for line in re.findall(r"^ +make ([a-z -]+)|`make ([a-z -]+)", told, flags=re.MULTILINE) for name in "".join(line).split()[:1]
    } <= targets


def test_the_commands_are_understood() -> None:
    """Each `python -m functions` of the page is one that its parser takes."""
    parser = cli._parser()
    lines = re.findall(r"python -m functions ([a-z][^`\n]*)", PAGE)
    assert len(lines) >= 6
    for line in lines:
        words = [word.strip('"') for word in re.findall(r'"[^"]*"|\S+', line)]
        parser.parse_args(words if words != ["restore"] else ["restore", "--all"])


def test_make_lists_its_targets() -> None:
    """`make help` says what each is for."""
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout  # noqa: S607  # whichever make there is
    assert {"archive", "docs", "outdated", "lock"} <= {line.partition("\t")[0] for line in listed.splitlines()}


def test_what_a_build_reads_can_be_committed() -> None:
    """The values of a deployment and the lock of the provider are not ignored; a plan, which holds them resolved, is."""
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    assert not [line for line in ignored if "tfvars" in line or "lock.hcl" in line]
    assert {"/terraform/plan", "/terraform/.build/", "/terraform/*_override.tf"} <= set(ignored)
