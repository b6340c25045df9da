"""The archive as it is deployed: unpacked where nothing else is, its requirements installed where nothing else is, each target served from there."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
import venv
import zipfile
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path

import jsonschema
import pytest

from sandbox import training
from sandbox.cloud import ROOT, Sandbox
from sandbox.estate import BUDGET_ID
from sandbox.functions import BUDGET_ALERT, SERVICES, Deployment, Function, Functions, tick
from sandbox.scene import letters
from sandbox.slack_people import ANN
from shared.audit.report import schema
from terraform import archive
from terraform.archive import build as archive_of
from tests.e2e.harness import wait_until

INSTALLING = 480
"""Seconds that an index may take for all the requirements."""
NOWHERE_ELSE = {"PYTHONPATH": "", "PYTHONSAFEPATH": "1", "PYTHONNOUSERSITE": "1"}
"""So that nothing of this checkout is found by the functions, but what was unpacked."""


def copy_of(root: Path, to: Path) -> Path:
    """What the archive is made of, and more, in a folder of its own."""
    for name in ("functions", "shared", "sandbox", "terraform"):
        shutil.copytree(root / name, to / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for name in ("main.py", "requirements.txt", "policy.yaml"):
        shutil.copy(root / name, to / name)
    return to


def names(data: bytes) -> set[str]:
    """What is in an archive."""
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        return set(opened.namelist())


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    """The archive in an empty folder."""
    folder = tmp_path / "workspace"
    with zipfile.ZipFile(io.BytesIO(archive.build())) as opened:
        opened.extractall(folder)
    return folder


def quietly(*command: str | Path, env: Mapping[str, str], timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run a command, and keep what it says."""
    return subprocess.run(
        [str(each) for each in command], env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=timeout, check=False
    )


@pytest.fixture
def deployed(unpacked: Path, tmp_path: Path) -> Iterator[Deployment]:
    """The same with the requirements in an empty environment, from whatever index pip is set up to use; left out where it reaches none."""
    made = tmp_path / "environment"
    venv.create(made, with_pip=True)
    pip = (str(made / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input")
    env = {**os.environ, **NOWHERE_ELSE}
    reached = quietly(*pip, "download", "--quiet", "--no-deps", "--retries=0", "--dest", tmp_path / "one", "MarkupSafe", env=env)
    if reached.returncode:
        pytest.skip("pip reaches no package index here, so the requirements of the archive cannot be installed as they are deployed")
    requirements = unpacked / "requirements.txt"
    done = quietly(*pip, "install", "--quiet", "--require-hashes", "-r", requirements, env=env, timeout=INSTALLING)
    assert done.returncode == 0, done.stderr
    assert quietly(*pip, "check", env=env).returncode == 0
    yield Deployment(unpacked, (str(made / "bin" / "functions-framework"),))
    shutil.rmtree(made)


def test_the_same_bytes_twice(tmp_path: Path) -> None:
    """Times, modes, folders, an umask, compiled files and the current directory make no difference."""
    copy = copy_of(ROOT, tmp_path / "elsewhere")
    for number, file in enumerate(sorted(copy.rglob("*.py"))):
        os.utime(file, (number, number * 86_400))
        file.chmod(0o755 if number % 2 else 0o600)
    (copy / "shared" / "__pycache__").mkdir()
    (copy / "shared" / "__pycache__" / "model.cpython-313.pyc").write_bytes(b"x")
    before = os.umask(0o077)
    try:
        done = quietly(sys.executable, copy / "terraform" / "archive.py", env={"PATH": os.environ["PATH"], "TZ": "Pacific/Auckland"})
    finally:
        os.umask(before)
    assert done.returncode == 0, done.stderr
    data = (copy / "terraform" / ".build" / "source.zip").read_bytes()
    assert data == archive.build()
    assert hashlib.sha256(data).hexdigest() in done.stdout


def test_another_content_is_another_archive(tmp_path: Path) -> None:
    """One byte of what runs makes a difference; nothing else does."""
    copy = copy_of(ROOT, tmp_path / "elsewhere")
    (copy / "policy.yaml").write_text("version: 1\n", encoding="utf-8")
    assert archive.build(copy) == archive.build()
    (copy / "shared" / "model.py").write_bytes((copy / "shared" / "model.py").read_bytes() + b"\n")
    assert archive.build(copy) != archive.build()


def test_what_is_in_it() -> None:
    """All of the product's code with its data, the requirements, and nothing else: no tests, no sandbox, no Terraform, no policy, no documents."""
    there = {
        path.relative_to(ROOT).as_posix()
        for folder in ("functions", "shared")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names(archive.build()) == there | {"main.py", "requirements.txt"}


def test_stray_files_stay_out(tmp_path: Path) -> None:
    """What an editor or a person leaves behind is not deployed."""
    copy = copy_of(ROOT, tmp_path / "elsewhere")
    for name in (".env", "functions/.secret.py", "shared/notes.txt", "shared/.idea/x.py", "key.json", "functions/service-account.json"):
        (copy / name).parent.mkdir(exist_ok=True)
        (copy / name).write_text("secret", encoding="utf-8")
    assert archive.build(copy) == archive.build()


def test_a_link_is_refused(tmp_path: Path) -> None:
    """It may lead out of the checkout."""
    copy = copy_of(ROOT, tmp_path / "elsewhere")
    (copy / "shared" / "other.py").symlink_to("/etc/hostname")
    with pytest.raises(ValueError, match=r"other\.py is a symbolic link"):
        archive.build(copy)


def test_half_a_checkout_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence names what is missing, and no archive is written."""
    monkeypatch.setattr(archive, "build", lambda: archive_of(tmp_path))
    assert archive.main(["--output", str(tmp_path / "x.zip")]) == 1
    assert f"there is no main.py below {tmp_path}" in capsys.readouterr().err
    assert not (tmp_path / "x.zip").exists()


def test_it_says_what_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each file with its size, and the digest that the object is named by."""
    output = tmp_path / "folder" / "x.zip"
    assert archive.main(["--output", str(output)]) == 0
    said = capsys.readouterr().out
    assert all(f"  {name}\n" in said for name in names(output.read_bytes()))
    assert hashlib.sha256(output.read_bytes()).hexdigest() in said


def test_without_a_policy_nothing_starts(unpacked: Path, sandbox: Sandbox, tmp_path: Path) -> None:
    """There is no example in the archive that would be taken for the policy, and the log names the setting."""
    environment = {**sandbox.environment(), **NOWHERE_ELSE, "WATCHDOG_POLICY": ""}
    function = Function(BUDGET_ALERT, environment, tmp_path, Deployment(unpacked))
    function.start()
    with pytest.raises(RuntimeError, match=r"WATCHDOG_POLICY: \S*workspace/policy\.yaml cannot be read"):
        function.wait()
    function.close()


@pytest.mark.timeout(INSTALLING + 120)
def test_each_target_answers_from_the_archive(deployed: Deployment, sandbox: Sandbox) -> None:
    """A budget message parks, a storage event is noticed, a tick announces it, an audit reports, and a signed command of Slack's is answered."""
    with Functions(sandbox, min_backoff=0.2, environment=NOWHERE_ELSE, deployment=deployed) as functions:
        sandbox.budgets.spend(BUDGET_ID, Decimal(8_200))
        assert sandbox.pubsub.drain(30)
        (parked,) = letters(sandbox)
        assert "DONE (" in parked["text"]
        training.fail(sandbox.storage, training.DOOMED.folder)
        assert sandbox.pubsub.drain(30)
        tick(sandbox)
        assert sandbox.pubsub.drain(30)
        assert "will delete 17 objects" in letters(sandbox)[-1]["text"]
        asked = urllib.request.Request(functions.by_target["audit"].url, headers={"Accept": "application/json"})  # noqa: S310  # it is on loopback
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked, timeout=60) as answer:
                jsonschema.validate(json.load(answer), schema())
        except urllib.error.HTTPError as error:
            pytest.fail("\n".join([str(error), *functions.by_target["audit"].tail(40)]))
        delivery = sandbox.slack.command("/cost-watchdog", "status", channel="ml-cost", user=ANN)
        assert delivery.status == 200
        wait_until(lambda: any("ML Training Budget" in each["text"] for each in sandbox.slack.ephemerals))
        assert {each.endpoint for each in sandbox.pubsub.deliveries} <= {function.url for function in functions.by_target.values()}
        assert all(function.alive for function in functions.by_target.values())
        assert set(functions.by_target) == set(SERVICES)
