"""What Cloud Build is told to do: https://docs.cloud.google.com/build/docs/build-config-file-schema."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CONFIG: dict[str, Any] = yaml.safe_load((ROOT / "cloudbuild.yaml").read_text(encoding="utf-8"))
STEPS: dict[str, dict[str, Any]] = {step["id"]: step for step in CONFIG["steps"]}
GIVEN = {"PROJECT_ID", "BRANCH_NAME"}
"""What Cloud Build gives to every build, or to every one that a trigger starts; empty elsewhere."""
PINNED = re.compile(r".+(@sha256:[0-9a-f]{64}|:\d+\.\d+\.\d+(-\w+)?)")


def run(step: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a step's script in a folder, with programs that only say what they were asked."""
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    for name in ("terraform", "gcloud", "make", "apt-get"):
        program = programs / name
        program.write_text(
            f'#!/bin/sh\necho "RUN {name} $*"\nls *.tfvars 2>/dev/null | sed "s/^/SEES /"\ntest "$FAILS" != {name}\n', encoding="utf-8"
        )
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    script = folder / "script"
    script.write_text(STEPS[step]["script"], encoding="utf-8")
    script.chmod(0o755)
    where = folder / STEPS[step].get("dir", ".")
    where.mkdir(exist_ok=True)
    (folder / "policy.yaml").touch()
    env = {"PATH": f"{programs}:{os.environ['PATH']}", "FAILS": "", **CONFIG["substitutions"], **variables}
    return subprocess.run([script], cwd=where, env=env, capture_output=True, text=True, timeout=30, check=False)


def asked(done: subprocess.CompletedProcess[str]) -> list[str]:
    """What the programs were asked."""
    return [line.removeprefix("RUN ") for line in done.stdout.splitlines() if line.startswith("RUN ")]


def test_every_substitution_is_declared_and_used() -> None:
    """Each that is used is declared here or given by Cloud Build, and each that is declared is used."""
    steps = "\n".join(f"{step['name']} {step['script']}" for step in CONFIG["steps"])
    used = set(re.findall(r"\$\{?(_[A-Z_]+)", f"{steps} {CONFIG['serviceAccount']}"))
    assert used == set(CONFIG["substitutions"])
    given = set(re.findall(r"\$\{?([A-Z][A-Z_]+)", f"{steps} {CONFIG['serviceAccount']}"))
    assert given == GIVEN


def test_steps_are_pinned() -> None:
    """By a digest, or by a tag that names a version in full; one version of each image."""
    names = {step["name"] for step in CONFIG["steps"]}
    assert [name for name in names if not PINNED.fullmatch(name)] == []
    assert len({name.partition(":")[0] for name in names}) == len(names)


@pytest.mark.parametrize(
    "name", ["python", "python:3.13", "python:latest", "hashicorp/terraform:1.13", "python:3-slim", "gcr.io/a/b:stable"]
)
def test_what_is_not_pinned(name: str) -> None:
    """Tags that move are told from those that do not."""
    assert not PINNED.fullmatch(name)


def test_the_order() -> None:
    """Nothing is planned that was not checked and tested, and the plan is what is applied."""
    assert list(STEPS) == ["fetch", "check", "test", "archive", "plan", "apply", "keep"]
    assert all(set(step) <= {"id", "name", "script", "dir"} for step in CONFIG["steps"])  # without waitFor they run one after the other
    assert "make check" in STEPS["check"]["script"]
    assert "make test" in STEPS["test"]["script"]


def test_the_python_is_the_one_of_the_functions() -> None:
    """What is tested is what runs."""
    source = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "terraform").glob("*.tf"))
    major, minor = re.findall(r"python:(\d+)\.(\d+)", STEPS["test"]["name"])[0]
    assert set(re.findall(r'runtime\s+=\s+"(\w+)"', source)) <= {f"python{major}{minor}"}


def test_logs_and_identity() -> None:
    """Logs go to Cloud Logging alone, as a service account of one's own needs; the one that only reads is what a build gets that names none."""
    assert CONFIG["options"]["logging"] == "CLOUD_LOGGING_ONLY"
    assert CONFIG["serviceAccount"].endswith("/${_BUILDER}@$PROJECT_ID.iam.gserviceaccount.com")
    assert CONFIG["substitutions"]["_BUILDER"] == "cost-watchdog-plan"


def test_only_main_is_applied(tmp_path: Path) -> None:
    """Neither another branch, nor a pull request from a branch that somebody called main, nor a build that was started by hand."""
    applied = run("apply", tmp_path, BRANCH_NAME="main")
    assert asked(applied) == ["terraform apply -lock-timeout=5m /workspace/.cache/plan"]
    for variables in (
        {"BRANCH_NAME": "wip"},
        {"BRANCH_NAME": "main", "_PR_NUMBER": "7"},
        {"BRANCH_NAME": ""},
        {},
        {"BRANCH_NAME": "main; terraform apply"},
    ):
        left = run("apply", tmp_path, **variables)
        assert (left.returncode, asked(left)) == (0, []), variables
        assert "only a push to main is" in left.stdout
    assert [step for step, each in STEPS.items() if "terraform apply" in each["script"]] == ["apply"]


def test_a_plan_without_a_state_is_none(tmp_path: Path) -> None:
    """With the state in the build's own folder everything would be made a second time."""
    done = run("plan", tmp_path)
    assert (done.returncode, asked(done)) == (1, [])
    assert "_STATE_BUCKET is empty" in done.stderr


def test_a_plan(tmp_path: Path) -> None:
    """Format, validity and tests come first, and where one fails there is no plan."""
    done = run("plan", tmp_path, _STATE_BUCKET="acme-terraform")
    assert [line.split()[1] for line in asked(done)] == ["fmt", "init", "validate", "test", "init", "plan"]
    assert (tmp_path / "terraform" / "backend_override.tf").read_text(encoding="utf-8") == 'terraform {\n  backend "gcs" {}\n}\n'
    assert run("plan", tmp_path, _STATE_BUCKET="acme-terraform", FAILS="terraform").returncode == 1


def test_the_values_of_the_deployment_are_planned_and_not_tested(tmp_path: Path) -> None:
    """Terraform's tests say what holds by default; with `slack = "app"` in terraform.tfvars some of them would fail, and nothing could be applied any more."""
    (tmp_path / "terraform").mkdir()
    (tmp_path / "terraform" / "terraform.tfvars").write_text('slack = "app"\n', encoding="utf-8")
    done = run("plan", tmp_path, _STATE_BUCKET="acme-terraform")
    seen = dict(re.findall(r"RUN terraform (\w+).*\n(SEES)?", done.stdout))
    assert (seen["validate"], seen["test"], seen["plan"]) == ("", "", "SEES")
    assert (tmp_path / "terraform" / "terraform.tfvars").exists()


def test_the_cache(tmp_path: Path) -> None:
    """It is fetched by the digest of the requirements; a build goes on without it, and only main writes it, once."""
    for name in ("requirements.txt", "requirements-dev.txt"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    assert "There is no cache" in run("fetch", tmp_path).stdout
    missed = run("fetch", tmp_path, _CACHE_BUCKET="acme-cache", FAILS="gcloud")
    key = (tmp_path / ".cache" / "key").read_text(encoding="utf-8").strip()
    assert (missed.returncode, asked(missed)) == (0, [f"gcloud storage cp gs://acme-cache/{key}.tar .cache/kept.tar"])
    for variables in ({"BRANCH_NAME": "wip"}, {"BRANCH_NAME": "main", "_PR_NUMBER": "7"}):
        assert asked(run("keep", tmp_path, _CACHE_BUCKET="acme-cache", **variables)) == []
    kept = run("keep", tmp_path, _CACHE_BUCKET="acme-cache", BRANCH_NAME="main")
    assert asked(kept) == [f"gcloud storage cp /tmp/kept.tar gs://acme-cache/{key}.tar"], kept.stderr
    (tmp_path / ".cache" / "kept.tar").touch()
    assert asked(run("keep", tmp_path, _CACHE_BUCKET="acme-cache", BRANCH_NAME="main")) == []
    (tmp_path / "requirements.txt").write_text("another", encoding="utf-8")
    run("fetch", tmp_path)
    assert (tmp_path / ".cache" / "key").read_text(encoding="utf-8").strip() != key
