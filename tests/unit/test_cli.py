"""``python -m functions``: what each command prints, where, and with which status it ends."""

from __future__ import annotations

import getpass
import json
import logging
import os
import re
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from jsonschema import Draft202012Validator

from functions import __main__ as cli
from functions import triggers, wiring
from shared.errors import Denied, SettingsError, Unavailable
from shared.policy.text import read
from tests.cloud_events import EMBEDDER, PAYMENTS, RERANKER, a_stage, budget_event
from tests.stage import Crash, Stage
from tests.yard import DAY, Yard, a_rule, the_policy

ROOT = Path(__file__).resolve().parent.parent.parent
BUDGET = "ML Training Budget"


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    """The root logger is the process's own."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    """The stage that the commands find."""
    stage = a_stage()
    monkeypatch.setattr(wiring, "watchdog", stage.watchdog)
    return stage


@pytest.fixture
def parked(stage: Stage) -> Stage:
    """The same after the budget passed 80 %: both staging services are idle."""
    triggers.budget_alert(budget_event(82))
    return stage


def key_of(stage: Stage) -> str:
    """The key of the one open entry."""
    (key,) = stage.journal.keys()
    return key


# the policy


def test_check_says_that_a_policy_has_no_faults(capsys: pytest.CaptureFixture[str]) -> None:
    """The shipped example is counted out."""
    assert cli.main(["policy", "check", str(ROOT / "policy.yaml")]) == 0
    assert capsys.readouterr().out.endswith("policy.yaml: no faults: 1 budget, 5 steps, 2 artifact rules, mode enforce\n")


def test_check_lists_every_fault_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All of them at once, with a suggestion for what is misspelt, on stderr; and the status says so."""
    file = tmp_path / "policy.yaml"
    file.write_text("version: 1\nmode: enforced\nlimits: {target: 3}\nstale_after: 6\n", encoding="utf-8")
    assert cli.main(["policy", "check", str(file)]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = printed.err.splitlines()
    assert [line.removeprefix(f"{file}:").split(":")[0] for line in lines] == ["2", "3", "4"]
    assert "did you mean 'targets'?" in lines[1]


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_check_says_why_a_file_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None) -> None:
    """It is not there, or it is no text."""
    file = tmp_path / "policy.yaml"
    if content is not None:
        file.write_bytes(content)
    assert cli.main(["policy", "check", str(file)]) == 1
    assert capsys.readouterr().err.startswith(f"{file}: cannot be read: ")


def test_schema_prints_a_json_schema(capsys: pytest.CaptureFixture[str]) -> None:
    """An editor that holds a policy against it marks what is wrong, and only that."""
    assert cli.main(["policy", "schema"]) == 0
    document = json.loads(capsys.readouterr().out)
    Draft202012Validator.check_schema(document)
    policy = read((ROOT / "policy.yaml").read_text(encoding="utf-8")).data
    faults = [list(fault.path) for fault in Draft202012Validator(document).iter_errors({**policy, "mode": "enforced"})]
    assert faults == [["mode"]]


# looking


def test_plan_shows_what_would_be_done_and_changes_nothing(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is written anywhere, and no command is offered for an entry that does not exist."""
    assert cli.main(["plan", "--budget", BUDGET, "--at", "120%"]) == 0
    printed = capsys.readouterr().out
    assert f"SIMULATED: 120 % of {BUDGET} (actual)" in printed
    assert "embedder-staging" in printed
    assert "payments" in printed.split("NOT TOUCHED")[-1]
    assert "python -m functions" not in printed
    assert (stage.bucket.objects, stage.services.writes, stage.messenger.posts) == ({}, [], [])


def test_plan_on_a_forecast(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """No step of this ladder is on the forecast, so nothing would be done."""
    assert cli.main(["plan", "--budget", BUDGET, "--at", "120%", "--forecast"]) == 0
    printed = capsys.readouterr().out
    assert "120 %" in printed
    assert "(forecast)" in printed
    assert "no further step of the policy is reached" in printed
    assert stage.services.writes == []


def test_plan_of_a_budget_that_the_policy_does_not_name(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """It names those that it does."""
    assert cli.main(["plan", "--budget", "Another", "--at", "80%"]) == 1
    assert capsys.readouterr().err == f"the policy names no budget 'Another'; it names '{BUDGET}'\n"
    assert stage.bucket.objects == {}


def test_list_of_nothing(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """It says so instead of printing nothing."""
    assert cli.main(["list"]) == 0
    assert capsys.readouterr().out == "nothing is parked, and nothing waits\n"
    assert stage.bucket.objects == {}


def test_list_and_show(parked: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each open entry, and the whole of one."""
    parked.messenger.down = True
    triggers.budget_alert(budget_event(None))
    key = key_of_budget(parked)
    assert cli.main(["list"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{key}  2 parked, actual-0.5 planned, actual-0.8 planned",
        "notice-20261120-no-data  0 parked, a notice",
    ]
    assert cli.main(["show", key]) == 0
    printed = capsys.readouterr().out
    assert "embedder-staging: 2 kept warm → none kept warm" in printed
    assert f"To undo: python -m functions restore --entry {key}" in printed


def key_of_budget(stage: Stage) -> str:
    """The key of the one open entry that is no notice."""
    return next(key for key in sorted(stage.journal.keys()) if key.startswith("budget-"))


@pytest.mark.parametrize("command", ["show", "approve", "cancel"])
def test_an_entry_that_does_not_exist(stage: Stage, capsys: pytest.CaptureFixture[str], command: str) -> None:
    """The error says how to find those that do."""
    assert cli.main([command, "budget-1"]) == 1
    assert capsys.readouterr().err == "the journal has no entry 'budget-1'; `python -m functions list` names those that are open\n"
    assert stage.bucket.objects == {}


def test_an_entry_that_cannot_be_read(parked: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence names the object, and there is no stack trace."""
    key = key_of(parked)
    parked.bucket.objects[f"entries/{key}.json"] = (b"{", 99, {})
    assert cli.main(["show", key]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith(f"entries/{key}.json: cannot be read")
    assert printed.count("\n") == 1


def test_list_names_what_cannot_be_read(parked: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """It may hide services that are parked, so the list is not said to be empty, and the status is no success."""
    key = key_of(parked)
    parked.bucket.objects[f"entries/{key}.json"] = (b"{", 99, {})
    assert cli.main(["list"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"entries/{key}.json: cannot be read")


# changing


def test_restore_of_an_entry(parked: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything is as it was, and the entry is closed."""
    key = key_of(parked)
    assert cli.main(["--by", "ada", "restore", "--entry", key]) == 0
    assert (parked.state(EMBEDDER)["minimum"], parked.state(RERANKER)["minimum"]) == (2, 2)
    assert capsys.readouterr().out == f"{key}: done; nothing of it is left to do\n"
    assert "Asked for by ada" in parked.messenger.posts[-1][1]
    assert cli.main(["show", key]) == 0


def test_restore_of_a_service(parked: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """The others stay parked."""
    assert cli.main(["restore", "--service", "embedder-staging"]) == 0
    assert (parked.state(EMBEDDER)["minimum"], parked.state(RERANKER)["minimum"]) == (2, 0)
    assert "done as far as it goes now" in capsys.readouterr().out


def test_restore_of_a_service_that_is_not_parked(parked: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is put back, and the error says how to find what is parked."""
    assert cli.main(["restore", "--service", "payments"]) == 1
    assert capsys.readouterr().err == "nothing called 'payments' is parked; `python -m functions list` names what is\n"
    assert parked.state(PAYMENTS)["minimum"] == 2


def test_restore_of_everything(parked: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """Twice: the second time there is nothing."""
    assert cli.main(["restore", "--all"]) == 0
    assert (parked.state(EMBEDDER)["minimum"], parked.state(RERANKER)["minimum"]) == (2, 2)
    capsys.readouterr()
    assert cli.main(["restore", "--all"]) == 0
    assert capsys.readouterr().out == "nothing is parked\n"


def test_restore_of_everything_names_what_cannot_be_read(parked: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """What can be put back is, and nobody is told that nothing is parked."""
    key = key_of(parked)
    parked.bucket.objects["entries/budget-torn.json"] = (b"{", 99, {})
    assert cli.main(["restore", "--all"]) == 1
    printed = capsys.readouterr()
    assert printed.out == f"{key}: done; nothing of it is left to do\n"
    assert printed.err.startswith("entries/budget-torn.json: cannot be read")
    assert cli.main(["restore", "--all"]) == 1
    assert capsys.readouterr().out == ""


def test_a_restore_that_fails_is_no_success(parked: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """What went wrong stands on stderr, the output stays clean, and the next tick puts it back."""

    def strike(method: str) -> None:
        if method == "update":
            raise Denied("403; grant the watchdog's service account a role with run.services.update", resource=EMBEDDER)

    parked.hooks.before = strike
    assert cli.main(["restore", "--all"]) == 1
    printed = capsys.readouterr()
    assert "done as far as it goes now" in printed.out
    assert f"WARNING: {EMBEDDER}: restoring: {EMBEDDER}: 403; grant" in printed.err
    assert printed.err.endswith("not put back yet: 2; the state from before is kept, and the next ticks try again\n")
    parked.heal()
    parked.clock.sleep(120)
    parked.watchdog().tick()
    assert parked.state(EMBEDDER)["minimum"] == 2


def test_approve_carries_out_what_waited_for_it(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """The step that needs a yes gets it."""
    triggers.budget_alert(budget_event(125))
    key = key_of(stage)
    assert stage.state(EMBEDDER)["mode"] == "automatic"
    assert cli.main(["approve", key]) == 0
    assert stage.state(EMBEDDER)["count"] == 0
    assert capsys.readouterr().out == f"{key}: done as far as it goes now; see `python -m functions show KEY`\n"


def test_cancel_calls_off_what_waits(stage: Stage) -> None:
    """What was not carried out yet never is; what was stays."""
    triggers.budget_alert(budget_event(101))
    assert cli.main(["cancel", key_of(stage)]) == 0
    stage.clock.sleep(3600)
    stage.watchdog().tick()
    assert stage.state(EMBEDDER)["mode"] == "automatic"
    assert stage.state(EMBEDDER)["minimum"] == 0


def test_a_request_for_what_somebody_works_on(parked: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """It is recorded all the same, and the output says when it is carried out."""
    key = key_of(parked)
    parked.strike("update", Crash)
    with pytest.raises(Crash):
        cli.main(["restore", "--entry", key])
    assert cli.main(["restore", "--entry", key]) == 0
    assert "recorded; somebody works on it now" in capsys.readouterr().out
    parked.clock.sleep(120)
    parked.watchdog().tick()
    assert parked.state(EMBEDDER)["minimum"] == 2


def test_hold_protects_for_a_time(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """The step leaves the service alone and says why."""
    assert cli.main(["--by", "ada", "hold", "embedder-staging", "--until", "2026-12-01T01:00+01:00"]) == 0
    assert capsys.readouterr().out == "embedder-staging is not touched until 2026-12-01 00:00 UTC\n"
    triggers.budget_alert(budget_event(82))
    assert (stage.state(EMBEDDER)["minimum"], stage.state(RERANKER)["minimum"]) == (2, 0)
    assert "held until 2026-12-01 00:00 UTC by ada" in stage.messenger.posts[0][1]


def test_a_hold_on_a_name_that_is_not_there_says_so(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """A slip of the pen would protect nothing; the hold stands all the same, since the service may be deployed tomorrow."""
    assert cli.main(["hold", "embeder-staging", "--until", "2026-12-01T00:00Z"]) == 0
    assert "nothing called embeder-staging is seen in the policy's projects and regions" in capsys.readouterr().err
    assert stage.written() == []


def test_a_hold_ends_with_a_time_that_is_over(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """That is how a hold is given up early."""
    assert cli.main(["hold", "embedder-staging", "--until", "2026-12-01T00:00Z"]) == 0
    assert cli.main(["hold", "embedder-staging", "--until", "2026-11-01T00:00Z"]) == 0
    assert capsys.readouterr().out.splitlines()[1] == "embedder-staging is no longer held"
    triggers.budget_alert(budget_event(82))
    assert stage.state(EMBEDDER)["minimum"] == 0


# failed runs


@pytest.fixture
def yard(monkeypatch: pytest.MonkeyPatch) -> Yard:
    """A bucket with a failed run whose deletion was announced, which the commands find."""
    yard = Yard(the_policy(a_rule(limits="{objects: 9}")))
    monkeypatch.setattr(wiring, "watchdog", yard.watchdog)
    yard.announced()
    return yard


def test_list_and_show_of_a_failed_run(yard: Yard, capsys: pytest.CaptureFixture[str]) -> None:
    """In one line what will be deleted and when; and the whole of it, with what can be done about it."""
    key = yard.key()
    assert cli.main(["list"]) == 0
    assert capsys.readouterr().out == (
        f"{key}  delete gs://acme-ml-runs/runs/run-1/: waits until 2026-11-21 12:01 UTC, 4 objects, 3.0 GiB\n"
    )
    assert cli.main(["show", key]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Run run-1 failed: waits until 2026-11-21 12:01 UTC\n")
    assert "why: _FAILED is there (runs/run-1/_FAILED, written 2026-11-20 12:00 UTC)" in printed
    assert printed.endswith(f"To call off: python -m functions cancel {key}\n")


def test_list_of_a_large_deletion(yard: Yard, capsys: pytest.CaptureFixture[str]) -> None:
    """One line for the whole of it; its parts cannot be asked for by themselves."""
    yard.policy, yard.portion = the_policy(), 2
    for number in range(30):
        yard.put(f"runs/run-1/more/{number}", ago=DAY)
    yard.hours(24)
    parts = [key for key, job in yard.jobs().items() if job.parent]
    assert len(parts) > 10
    assert cli.main(["list"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{yard.key()}  delete gs://acme-ml-runs/runs/run-1/: is being worked on")
    for command in (["cancel", parts[0]], ["restore", "--entry", parts[0]]):
        assert cli.main(command) == 1
        assert f"{parts[0]} is a part of {yard.key()}, which is put back, approved or called off as a whole\n" in capsys.readouterr().err


def test_show_of_a_failed_run_that_is_closed(yard: Yard, capsys: pytest.CaptureFixture[str]) -> None:
    """The journal keeps what became of it and why; the list has it no more."""
    yard.put("runs/run-1/_SUCCESS")
    yard.hours(24)
    assert cli.main(["show", yard.key()]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Run run-1 failed: left alone\n")
    assert "reason: _SUCCESS is there (`unless` in the policy)" in printed
    assert cli.main(["list"]) == 0
    assert capsys.readouterr().out == "nothing is parked, and nothing waits\n"


def test_cancel_of_a_deletion(yard: Yard, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever did it is named to the others."""
    assert cli.main(["--by", "ada", "cancel", yard.key()]) == 0
    assert capsys.readouterr().out == f"{yard.key()}: done; nothing of it is left to do\n"
    yard.hours(24)
    assert yard.objects.deleted == []
    assert "Called off by ada." in yard.posts[-1]


def test_approve_of_a_deletion_that_a_limit_refused(yard: Yard, capsys: pytest.CaptureFixture[str]) -> None:
    """It is carried out at once."""
    yard.put("runs/run-1/_SUCCESS")
    yard.hours(24)
    yard.announced("run-2", objects=10)
    (key,) = [key for key, job in yard.jobs().items() if job.stage == "refused"]
    assert cli.main(["approve", key]) == 0
    assert capsys.readouterr().out == f"{key}: done as far as it goes now; see `python -m functions show KEY`\n"
    assert yard.names("runs/run-2/") == ["runs/run-2/logs/train.log"]


def test_restore_of_a_deleted_run(yard: Yard, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything is there again, and the output says no more than that."""
    before = yard.names()
    yard.hours(24)
    assert cli.main(["restore", "--entry", yard.key()]) == 0
    assert yard.names() == before
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == (f"{yard.key()}: done; nothing of it is left to do\n", "")


def test_a_restore_that_leaves_something_out_is_no_success(yard: Yard, capsys: pytest.CaptureFixture[str]) -> None:
    """What did not come back stands on stderr, with the reasons."""
    yard.hours(24)
    yard.put("runs/run-1/ckpt/00000.bin", b"another")
    assert cli.main(["restore", "--entry", yard.key()]) == 1
    printed = capsys.readouterr().err
    assert "another object of this name is there now (1)\n    runs/run-1/ckpt/00000.bin" in printed
    assert "3 put back" in printed


def test_a_restore_that_cannot_go_on_now_is_no_success(yard: Yard, capsys: pytest.CaptureFixture[str]) -> None:
    """It says why and when it is tried again; the ticks do that."""
    yard.hours(24)
    yard.objects.fail("restore", "runs/run-1/ckpt/00000.bin", "unavailable", times=4)
    assert cli.main(["restore", "--entry", yard.key()]) == 1
    printed = capsys.readouterr()
    assert "done as far as it goes now" in printed.out
    assert "is being put back, goes on at 2026-11-21 12:02 UTC, 1 attempt" in printed.err
    yard.tick(1)
    assert "runs/run-1/ckpt/00000.bin" in yard.names()


def test_a_restore_that_comes_too_late_says_so(yard: Yard, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is printed that could be taken for a success."""
    yard.hours(24)
    yard.hours(7 * 24)
    assert cli.main(["restore", "--entry", yard.key()]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == f"it is too late to undo {yard.key()}: the bucket no longer keeps what was deleted\n"


def test_restore_of_everything_leaves_deleted_runs_alone(yard: Yard, capsys: pytest.CaptureFixture[str]) -> None:
    """They are put back entry by entry."""
    yard.hours(24)
    assert cli.main(["restore", "--all"]) == 0
    assert capsys.readouterr().out == "nothing is parked\n"
    assert yard.objects.restored == []


# what goes wrong


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["policy"], "the following arguments are required: WHAT"),
        (["plan", "--budget", BUDGET, "--at", "80"], "'80' is a plain number, which could mean a fraction or percent; write 80%"),
        (["plan", "--budget", BUDGET, "--at", "much"], "'much' is not a share; write a number and a percent sign, such as 80%"),
        (["hold", "api", "--until", "tomorrow"], "'tomorrow' is no time; write for example 2026-12-01T00:00Z"),
        (["hold", "api", "--until", "0001-01-01T00:00+23:59"], "'0001-01-01T00:00+23:59' is no time; write for example 2026-12-01T00:00Z"),
        (["hold", "api", "--until", "2026-12-01T00:00"], "'2026-12-01T00:00' names no time zone; write for example 2026-12-01T00:00Z"),
        (["restore"], "one of the arguments --entry --service --all is required"),
        (["restore", "--all", "--service", "api"], "not allowed with argument"),
    ],
)
def test_a_command_that_is_not_understood(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    """The status is 2, and the error says what to write."""
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_settings_with_faults(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Each stands on a line of its own."""

    def broken() -> NoReturn:
        raise SettingsError(["GOOGLE_CLOUD_PROJECT is not set", "WATCHDOG_STATE_BUCKET is not set"])

    monkeypatch.setattr(wiring, "watchdog", broken)
    assert cli.main(["list"]) == 1
    assert capsys.readouterr().err == "GOOGLE_CLOUD_PROJECT is not set\nWATCHDOG_STATE_BUCKET is not set\n"


def test_a_cloud_that_does_not_answer(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence with the resource."""

    def away() -> NoReturn:
        raise Unavailable("503; tried until its time was over", resource="gs://acme-ml-watchdog/policy.yaml")

    monkeypatch.setattr(wiring, "watchdog", away)
    assert cli.main(["list"]) == 1
    assert capsys.readouterr().err == "gs://acme-ml-watchdog/policy.yaml: 503; tried until its time was over\n"


def test_ctrl_c(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """No stack trace, the status that a shell expects, and the word that what was recorded goes on."""

    def interrupted() -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(wiring, "watchdog", interrupted)
    assert cli.main(["list"]) == 130
    assert capsys.readouterr().err == "stopped; what the journal records as asked for is carried on by the functions\n"


def test_an_output_that_nobody_reads_to_its_end(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """As with `head` behind a pipe: no stack trace, now or when the process ends."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        assert cli.main(["policy", "schema"]) == 1
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("error", [KeyError("getpwuid(): uid not found: 1234"), OSError("No username set in the environment")])
def test_a_user_without_a_name(monkeypatch: pytest.MonkeyPatch, stage: Stage, error: Exception) -> None:
    """A container may run as one: Python 3.13 says so with another error than those before it."""

    def nameless() -> NoReturn:
        raise error

    monkeypatch.setattr(getpass, "getuser", nameless)
    assert cli.main(["hold", "api", "--until", "2026-12-01T00:00Z"]) == 0
    assert stage.watchdog().journal.holds().record.by == {"api": "somebody (terminal)"}


def test_logs_do_not_disturb_the_output(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """Warnings stand on stderr as plain lines, and what is only informative stays away."""
    assert cli.main(["list"]) == 0
    assert stage.bucket.objects == {}
    logging.getLogger("shared.work").info("2 to change")
    logging.getLogger("shared.work").warning("the region %s does not answer", "europe-west1")
    printed = capsys.readouterr()
    assert printed.out == "nothing is parked, and nothing waits\n"
    assert printed.err == "WARNING: the region europe-west1 does not answer\n"


def test_as_a_module(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """``python -m functions`` ends the process with the command's status."""
    monkeypatch.setattr(sys, "argv", ["functions", "policy", "check", str(ROOT / "policy.yaml")])
    monkeypatch.delitem(sys.modules, "functions.__main__")
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("functions", run_name="__main__")
    assert ended.value.code == 0
    assert re.search("no faults", capsys.readouterr().out)
