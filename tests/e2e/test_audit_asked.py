"""The audit as people ask for it: over HTTP under functions-framework, and from a terminal, on the sandbox with Google's own clients."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import functions_framework
import jsonschema
import pytest

from functions import __main__ as cli
from functions import audit_command, policy_in_force, wiring
from sandbox.cloud import PROJECT, ROOT, Sandbox
from sandbox.estate import BUDGET_ID
from sandbox.faults import Fault
from shared.audit.report import schema
from shared.errors import SettingsError
from tests.e2e.harness import InProcess, forget

READS = re.compile(r"(Get|List|Test)[A-Za-z]+|storage\.(objects|buckets)\.(get|list|testIamPermissions)")
WRITES = (
    "Create*", "Update*", "Delete*", "Publish", "SetIamPolicy", "storage.*.insert", "storage.*.patch", "storage.*.update", "storage.*.delete", "storage.*.compose",
    "storage.*.copy", "storage.*.rewrite", "storage.*.restore", "chat.*",
)  # fmt: skip


@pytest.fixture
def app(in_process: InProcess) -> Any:
    """The function behind Flask's test client."""
    assert in_process.clients
    return functions_framework.create_app("audit", str(ROOT / "main.py"), "http").test_client()


@pytest.fixture
def terminal(in_process: InProcess) -> Iterator[InProcess]:
    """The environment of a terminal that points at the sandbox."""
    yield in_process
    forget()


def test_every_form(app: Any) -> None:
    """The page to a browser, JSON to whoever accepts it, text to everybody else, or what is asked for; the verdict stands in a header, and nothing is cached."""
    for path, accept, kind in (
        ("/", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html"),
        ("/?format=html", "*/*", "text/html"),
        ("/", "application/json", "application/json"),
        ("/", "application/json, text/plain, */*", "application/json"),
        ("/?format=json", "text/plain", "application/json"),
        ("/?format=text", "application/json", "text/plain"),
        ("/", "*/*", "text/plain"),
        ("/", "image/png", "text/plain"),
    ):
        answer = app.get(path, headers={"Accept": accept})
        assert (answer.status_code, answer.mimetype) == (200, kind), (path, accept)
        assert answer.headers["X-Cost-Watchdog-Verdict"] in ("GREEN", "YELLOW", "RED")
        assert (answer.headers["Cache-Control"], answer.headers["X-Content-Type-Options"]) == ("no-store", "nosniff")
    assert app.get("/").text.startswith(("RED: ", "YELLOW: "))


def test_the_report_for_programs(app: Any) -> None:
    """It is valid under its schema, and says what was looked at and found."""
    report = app.get("/?format=json").json
    jsonschema.validate(report, schema())
    assert (report["seen"]["services"], report["seen"]["worker_pools"], report["seen"]["buckets"]) == (44, 2, 2)
    assert report["blanks"] == []
    names = {finding["check"] for finding in report["findings"]}
    assert {"warm_instances", "worker_pools", "missing_labels", "no_tick"} <= names
    prod = [finding for finding in report["findings"] if finding["saving"] and finding["labels"].get("env") == "prod"]
    assert prod == []


def test_only_what_is_asked(app: Any, in_process: InProcess) -> None:
    """Other things are not even looked at."""
    in_process.sandbox.faults.calls.clear()
    report = app.get(f"/?format=json&only=budgets&project={PROJECT}").json
    assert report["asked"] == ["budgets"]
    assert {finding["category"] for finding in report["findings"]} == {"budgets"}
    assert "ListServices" not in in_process.sandbox.faults.calls


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/?colour=red", "unknown: colour"),
        ("/?format=xml", "format=xml: is not one of"),
        ("/?only=serving,money", "'money' is not one of serving"),
        ("/?project=somebody-elses", "is not in the policy's scope, which has acme-ml-staging"),
        ("/?post=teams", "can only be posted to slack"),
        ("/?only=serving&only=labels", "only: given more than once"),
        ("/?simulate=100%25&forecast=90%25", "simulate and forecast: only one of them"),
        ("/?budget=ML", "needs simulate, forecast or at beside it"),
        ("/?simulate=much", "much"),
        ("/?simulate=100%25&budget=Another", "the policy names no budget 'Another'"),
        ("/?at=tomorrow", "at=tomorrow: is no time"),
        ("/?at=0001-01-01T00:00%2B23:59", "at=0001-01-01T00:00+23:59: is no time"),
        ("/?at=2026-12-01T00:00", "names no time zone"),
        ("/?at=2026-12-01T00:00Z", "say a share, such as simulate=100%"),
    ],
)
def test_bad_parameters(app: Any, path: str, sentence: str) -> None:
    """They are answered with what is wrong and the list of good ones."""
    answer = app.get(path)
    assert (answer.status_code, answer.mimetype) == (400, "text/plain")
    assert sentence in answer.text
    assert "What can be asked:" in answer.text


def test_what_a_spend_would_cause(app: Any) -> None:
    """The plan of the real planner, in every form, with who would be touched and who would not; a share may be written with a plain percent sign."""
    report = app.get("/?format=json&only=labels&simulate=100%&budget=ML Training Budget").json
    jsonschema.validate(report, schema())
    told = report["simulation"]
    assert (told["share"], told["basis"], told["new_period"]) == ("1", "actual", False)
    assert [stage["steps"] for stage in told["stages"]] == [["actual-0.5", "actual-0.8"], ["actual-1"]]
    touched = {touch["resource"].rsplit("/", 1)[-1] for stage in told["stages"] for touch in stage["touches"]}
    assert "embedder-staging" in touched
    assert not any(name.endswith("-prod") for name in touched)
    assert any("env=prod" in each["reason"] for each in told["stages"][0]["untouched"])
    assert "SIMULATED: 100 % of ML Training Budget" in app.get("/?format=text&only=labels&simulate=100%25").text
    assert (
        "What 95 % of ML Training Budget would cause"
        in app.get("/?format=html&only=labels&forecast=95%25&at=2026-12-01T00:00%2B00:00").text
    )


def test_a_policy_with_several_budgets(in_process: InProcess, app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which one is meant has to be said."""
    policy = policy_in_force.policy(wiring.settings())
    two = policy.model_copy(update={"budgets": (policy.budgets[0], policy.budgets[0].model_copy(update={"budget": "B"}))})
    monkeypatch.setattr(policy_in_force, "policy", lambda _: two)
    answer = app.get("/?simulate=100%25")
    assert (answer.status_code, "say which one is simulated" in answer.text) == (400, True)
    assert in_process.clients


def test_other_requests(app: Any) -> None:
    """There is nothing elsewhere; HEAD looks at nothing; other methods are not understood."""
    assert app.get("/secret").status_code == 404
    head = app.head("/")
    assert (head.status_code, head.data) == (200, b"")
    refused = app.delete("/")
    assert (refused.status_code, refused.headers["Allow"]) == (405, "GET, HEAD, POST")


def test_it_posts_to_slack(app: Any, in_process: InProcess) -> None:
    """Only when it is asked to."""
    app.get("/")
    assert in_process.sandbox.slack.messages("ml-cost") == []
    assert app.get("/?post=slack").status_code == 200
    (message,) = in_process.sandbox.slack.messages("ml-cost")
    assert "Audit: RED" in json.dumps(message)


def test_slack_does_not_take_it(app: Any, in_process: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer says so, and why; without a token, too."""
    in_process.sandbox.faults.inject(Fault("chat.postMessage", 503))
    answer = app.get("/?post=slack")
    assert (answer.status_code, answer.mimetype) == (502, "text/plain")
    monkeypatch.delenv("SLACK_BOT_TOKEN")
    forget()
    answer = app.get("/?post=slack")
    assert (answer.status_code, "SLACK_BOT_TOKEN" in answer.text) == (409, True)


def test_it_changes_nothing(app: Any, in_process: InProcess) -> None:
    """Every write is refused, and none is tried: the whole audit consists of reads."""
    sandbox = in_process.sandbox
    for method in WRITES:
        sandbox.faults.inject(Fault(method, 403 if "." in method else "PERMISSION_DENIED"))
    sandbox.faults.calls.clear()
    before = (sandbox.run.snapshot(), sandbox.storage.snapshot(), sandbox.budgets.snapshot())
    assert app.get("/").status_code == 200
    assert {method for method in sandbox.faults.calls if not READS.fullmatch(method)} == set()
    assert (sandbox.run.snapshot(), sandbox.storage.snapshot(), sandbox.budgets.snapshot()) == before


@pytest.mark.parametrize(
    ("method", "what", "role"),
    [
        ("ListServices", "the services of", "roles/run.viewer"),
        ("ListTimeSeries", "the traffic of the services of", "roles/monitoring.viewer"),
        ("ListBudgets", "the budgets of", "roles/billing.viewer"),
        ("ListExecutions", "the executions of jobs of", "roles/run.viewer"),
        ("GetIamPolicy", "who may publish to", "roles/iam.securityReviewer"),
        ("storage.buckets.list", "the buckets of", "roles/storage.bucketViewer"),
    ],
)
def test_missing_permissions_are_findings(app: Any, in_process: InProcess, method: str, what: str, role: str) -> None:
    """Each names the exact role to grant, and everything else is reported all the same."""
    in_process.sandbox.faults.inject(Fault(method, 403 if "." in method else "PERMISSION_DENIED"))
    report = app.get("/?format=json").json
    blanks = [finding for finding in report["findings"] if finding["check"] == "blanks" and finding["what"].startswith(what)]
    assert blanks
    assert all(role in finding["mend"][0] for finding in blanks)
    assert {blank["what"] for blank in report["blanks"]} >= {finding["resource"] for finding in blanks}
    assert len({finding["check"] for finding in report["findings"]}) > 3


def test_from_a_terminal(terminal: InProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A table, a file for programs, and an exit status for pipelines."""
    assert terminal.clients
    file = tmp_path / "audit.json"
    assert cli.main(["audit", "--json", str(file), "--html", str(tmp_path / "audit.html")]) == 2
    assert (tmp_path / "audit.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    told = capsys.readouterr().out
    assert told.startswith("RED: ")
    assert "what is wrong" in told
    assert "finding" in told
    jsonschema.validate(json.loads(file.read_text(encoding="utf-8")), schema())
    assert cli.main(["audit", "--only", "labels", "--text"]) == 0
    assert "LABELS" in capsys.readouterr().out
    assert cli.main(["audit", "--schema"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(schema()))


def test_a_simulation_from_a_terminal(terminal: InProcess, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The same plan as over HTTP; what is not said, or cannot be asked, is named."""
    assert terminal.clients
    assert cli.main(["audit", "--only", "labels", "--simulate", "100%"]) == 0
    told = capsys.readouterr().out
    assert "SIMULATED: 100 % of ML Training Budget (actual)" in told
    assert "at once (actual-0.5, actual-0.8)" in told
    assert cli.main(["audit", "--only", "labels", "--forecast", "95%", "--budget", "ML Training Budget"]) == 0
    assert cli.main(["audit", "--simulate", "100%", "--forecast", "100%"]) == 3
    assert "say --simulate or --forecast" in capsys.readouterr().err
    monkeypatch.delenv("WATCHDOG_STATE_BUCKET")
    assert cli.main(["audit", "--project", PROJECT, "--at", "2026-12-01T00:00Z"]) == 3
    assert "set WATCHDOG_STATE_BUCKET" in capsys.readouterr().err


def test_a_file_that_cannot_be_written(terminal: InProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An audit that fails ends with a status that is no colour's."""
    assert terminal.clients
    assert cli.main(["audit", "--only", "labels", "--json", str(tmp_path)]) == 3
    assert "cannot be written" in capsys.readouterr().err


def test_before_anything_is_deployed(terminal: InProcess, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With nothing but a project: no journal, no policy, and what looks like production is spared."""
    monkeypatch.delenv("WATCHDOG_STATE_BUCKET")
    monkeypatch.delenv("WATCHDOG_POLICY")
    terminal.sandbox.faults.calls.clear()
    assert cli.main(["audit", "--project", PROJECT, "--billing-account", "01D4EE-079462-DFD6EC", "--text"]) in (1, 2)
    told = capsys.readouterr().out
    assert "no watchdog acts on this project's budgets yet" in told
    assert "embedder-staging" in told
    assert "embedder-prod" not in told.split("NOT TOUCHED")[0].split("COULD BE SAVED")[1]
    assert "GetProjectBillingInfo" not in terminal.sandbox.faults.calls


def test_with_a_policy_before_anything_is_deployed(terminal: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """A policy that is named is used, and a journal where there is one."""
    assert terminal.clients
    parser = cli._parser()
    asked = parser.parse_args(["audit", "--project", PROJECT])
    found, policy = audit_command._settings(asked)
    assert (found.project, bool(found.state_bucket), len(policy.budgets)) == (PROJECT, True, 1)
    monkeypatch.delenv("WATCHDOG_STATE_BUCKET")
    assert len(audit_command._settings(asked)[1].budgets) == 1
    with pytest.raises(SettingsError, match="WATCHDOG_STATE_BUCKET is not set"):
        wiring.audit_settings(None)


def test_long_tables_are_cut(terminal: InProcess, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The rest is counted, and where it can be seen is said; so is what could not be looked at, and the spend."""
    monkeypatch.setattr(audit_command, "SHOWN", 3)
    sandbox: Sandbox = terminal.sandbox
    sandbox.faults.inject(Fault("ListTimeSeries", "PERMISSION_DENIED"))
    cli.main(["audit"])
    told = " ".join(capsys.readouterr().out.split())
    assert "findings more: --html FILE, --json FILE or --text shows them all" in told
    assert "not looked at: the traffic of the services of" in told


def test_spend_is_told(terminal: InProcess, capsys: pytest.CaptureFixture[str]) -> None:
    """After messages have come."""
    terminal.sandbox.budgets.notify(BUDGET_ID)
    terminal.drain()
    cli.main(["audit", "--only", "budgets"])
    assert "ML Training Budget: $0.00 of $10,000.00" in " ".join(capsys.readouterr().out.split())


def test_bad_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    """What can be asked is said."""
    with pytest.raises(SystemExit):
        cli.main(["audit", "--only", "money"])
    assert "'money' is not one of serving, storage, budgets, labels, watch" in capsys.readouterr().err


def test_nothing_was_found(terminal: InProcess, capsys: pytest.CaptureFixture[str]) -> None:
    """GREEN is 0, without a table."""
    terminal.sandbox.projects.add("acme-ml-empty-one", "7")
    assert cli.main(["audit", "--only", "serving", "--project", "acme-ml-empty-one"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("GREEN: nothing is worth mending now")
    assert "what is wrong" not in told
