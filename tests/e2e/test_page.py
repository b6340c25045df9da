"""The sandbox's page: what it shows, what can be done on it, and that nothing from outside becomes markup."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from http.client import HTTPConnection
from typing import Any

import pytest
from slack_sdk import WebClient

from sandbox import training
from sandbox.cloud import ARTIFACTS_BUCKET, ROOT, Sandbox
from sandbox.estate import BUDGET_ID, EU, SEEDS, US
from sandbox.functions import SERVICES, Functions
from sandbox.page import SOMEBODY, Page
from sandbox.page_state import log_line
from sandbox.serve import HttpServer

HOSTILE = "<img src=x onerror=alert(1)>\"'&"
FILES = [ROOT / "sandbox" / name for name in ("page.html", "page.css", "page.js")]


@pytest.fixture
def server(sandbox: Sandbox) -> Iterator[HttpServer]:
    """The page of a sandbox without functions."""
    with HttpServer(Page(sandbox).app()) as made:
        yield made


def ask(server: HttpServer, verb: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """One request, with the headers named as Python names them."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
    sent = {"Content-Type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(verb, path, body if isinstance(body, bytes | None) else json.dumps(body).encode(), sent)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def state(server: HttpServer) -> dict[str, Any]:
    """What the page polls."""
    status, headers, body = ask(server, "GET", "/state")
    assert (status, headers["content-type"]) == (200, "application/json")
    said: dict[str, Any] = json.loads(body)
    return said


def post(server: HttpServer, path: str, body: Any) -> tuple[int, str]:
    """Do something on the page."""
    status, _, answer = ask(server, "POST", path, body)
    return status, json.loads(answer)["text"]


def cell(shown: dict[str, Any], name: str, region: str = US) -> dict[str, Any]:
    """One service's cell."""
    (found,) = [each for each in shown["services"] if (each["name"], each["region"]) == (name, region)]
    assert isinstance(found, dict)
    return found


def test_every_service_and_pool_has_a_cell(server: HttpServer) -> None:
    """All of the estate is there, in two regions, and what is parked first comes first."""
    shown = state(server)
    assert len(shown["services"]) == 41
    assert len(shown["services"]) + len(shown["pools"]) == len(SEEDS)
    assert {each["region"] for each in shown["services"]} == {US, EU}
    assert shown["services"][0]["env"] == "staging"
    assert shown["services"][-1]["env"] == "prod"


def test_cells_say_what_runs_and_why(server: HttpServer, sandbox: Sandbox) -> None:
    """State, instances, scaling and peculiarities are told in words, by effect."""
    tagged = cell(state(server), "vector-search-staging")
    assert (tagged["state"], tagged["instances"], tagged["scaling"], tagged["badges"]) == ("warm", 3, "min 2 · max 10", ["tagged"])
    assert cell(state(server), "drift-monitor-staging")["state"] == "idle"
    assert cell(state(server), "batch-scorer-staging")["scaling"] == "manual 3"
    assert cell(state(server), "whisper-staging")["badges"] == ["GPU"]
    assert cell(state(server), "sales-demo-staging")["badges"] == ["protected"]
    assert cell(state(server), "embedder-prod")["badges"] == ["production"]
    assert all(cell(state(server), name)["badges"] == ["the watchdog"] for name in SERVICES.values())
    sandbox.run.deploy(cell(state(server), "embedder-staging")["key"], SOMEBODY, mode="MANUAL", manual_count=0)
    assert cell(state(server), "embedder-staging")["state"] == "stopped"


def test_moving_the_spend_sends_the_notification(server: HttpServer, sandbox: Sandbox) -> None:
    """What Google would send is published, with the thresholds that were passed."""
    status, said = post(server, "/spend", {"budget": BUDGET_ID, "spent": 8_200, "forecast": 9_300})
    assert (status, "8,200" in said) == (200, True)
    data = json.loads(sandbox.pubsub.messages(sandbox.budget_topic)[-1].data)
    assert (data["costAmount"], data["alertThresholdExceeded"], data["forecastThresholdExceeded"]) == (8200.0, 0.8, 0.9)
    (budget,) = state(server)["budgets"]
    assert (budget["spent"], budget["forecast"]) == (8200.0, 9300.0)


def test_the_next_month_begins_once_it_has_begun(server: HttpServer, sandbox: Sandbox) -> None:
    """The button goes on to the month that is, and no further: the watchdog refuses a period that lies in the future."""
    before = state(server)["budgets"][0]
    assert before["next_month"]
    post(server, "/spend", {"budget": BUDGET_ID, "spent": 12_000})
    status, _ = post(server, "/next-month", {"budget": BUDGET_ID})
    after = state(server)["budgets"][0]
    assert (status, after["month"], after["spent"], after["next_month"]) == (200, before["next_month"], 0, "")
    status, said = post(server, "/next-month", {"budget": BUDGET_ID})
    assert (status, "has not begun" in said) == (400, True)
    assert len(sandbox.pubsub.messages(sandbox.budget_topic)) == 3


def run_cell(shown: dict[str, Any], run: training.Run) -> dict[str, Any]:
    """One training run's cell."""
    (found,) = [each for each in shown["artifacts"]["runs"] if each["key"] == run.folder]
    assert isinstance(found, dict)
    return found


def test_every_training_run_has_a_cell(server: HttpServer) -> None:
    """All runs of the bucket are there by their own names, with their state, and how much they hold; folders beside them too."""
    artifacts = state(server)["artifacts"]
    shown = {each["name"]: each for each in artifacts["runs"]}
    assert {run.name for run in training.RUNS} <= shown.keys()
    assert {shown[run.name]["state"] for run in training.RUNS} == {"running", "finished"}
    doomed, promoted = shown[training.DOOMED.name], shown[training.PROMOTED.name]
    assert (doomed["amount"], doomed["deleted"], doomed["badges"]) == ("29 objects, 210.0 GiB", "", [])
    assert promoted["badges"] == ["promoted"]
    assert (artifacts["name"], artifacts["live"], artifacts["deleted"]) == (
        "acme-ml-artifacts",
        "312 objects, 1.1 TiB",
        "0 soft-deleted, 0 B",
    )
    evaluations = [each["state"] for each in artifacts["runs"] if each["group"] == "runs/"]
    assert evaluations == ["finished", "running"]


def test_a_run_fails_and_its_artifacts_go(server: HttpServer, sandbox: Sandbox) -> None:
    """A failed run is shown as one, and as deleted once more of it is soft-deleted than live; the bucket's sums follow."""
    status, said = post(server, "/run", {"run": training.DOOMED.folder, "what": "fail"})
    assert (status, said) == (200, "sft-8b-lr3e4 has failed, and says so.")
    assert run_cell(state(server), training.DOOMED)["state"] == "failed"
    for each in sandbox.storage.contents(ARTIFACTS_BUCKET)[0]:
        if each.name.startswith(f"{training.DOOMED.folder}artifacts/"):
            sandbox.storage.delete(ARTIFACTS_BUCKET, each.name, each.generation)
    shown = state(server)
    found = run_cell(shown, training.DOOMED)
    assert (found["state"], found["amount"]) == ("deleted", "12 objects, 1.4 KiB")
    assert found["deleted"] == shown["artifacts"]["deleted"] == "18 soft-deleted, 210.0 GiB"
    assert ["Objects", "meta.yaml, 3 in metrics/, 5 in params/, 3 in tags/"] in found["details"]


@pytest.mark.parametrize("folder", [training.DOOMED.folder, "runs/eval"])
def test_a_run_is_retried_and_promoted(server: HttpServer, sandbox: Sandbox, folder: str) -> None:
    """Runs with a status file and runs with markers alike: failed, then finished with more in it, then promoted; each tells of itself."""
    key = next(each["key"] for each in reversed(state(server)["artifacts"]["runs"]) if each["key"].startswith(folder))
    told = [message.id for message in sandbox.pubsub.messages(sandbox.artifacts_topic)]
    seen = []
    for what in ("fail", "retry", "promote"):
        assert post(server, "/run", {"run": key, "what": what})[0] == 200
        seen.append(next(each for each in state(server)["artifacts"]["runs"] if each["key"] == key))
    assert [each["state"] for each in seen] == ["failed", "finished", "finished"]
    assert seen[2]["badges"] == ["promoted"]
    news = [json.loads(message.data)["name"] for message in sandbox.pubsub.messages(sandbox.artifacts_topic) if message.id not in told]
    assert all(name.startswith(key) for name in news)
    assert news[-1] == f"{key}_KEEP"


def test_faults_come_and_go(server: HttpServer, sandbox: Sandbox) -> None:
    """A fault is in force from the click on, and gone with the other."""
    assert post(server, "/fault", {"method": "UpdateService", "status": 503, "times": 2})[0] == 200
    assert post(server, "/fault", {"method": "Publish", "status": "drop", "times": None})[0] == 200
    assert state(server)["faults"] == ["UpdateService: status 503, the next 2 calls", "Publish: the answer is lost, every call"]
    assert post(server, "/fault", {"clear": True})[0] == 200
    assert not sandbox.faults.in_force()


def test_somebody_deploys_over_a_service(server: HttpServer, sandbox: Sandbox) -> None:
    """A stopped service runs again, and says who did it; a worker pool likewise."""
    parked = cell(state(server), "embedder-staging")["key"]
    sandbox.run.deploy(parked, "cost-watchdog", mode="MANUAL", manual_count=0)
    assert post(server, "/deploy", {"resource": parked})[0] == 200
    found = cell(state(server), "embedder-staging")
    assert (found["instances"], ["Last changed by", SOMEBODY] in found["details"]) == (2, True)
    pool = state(server)["pools"][0]["key"]
    assert post(server, "/deploy", {"resource": pool})[0] == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/spend", {"budget": BUDGET_ID, "spent": -1}),
        ("/spend", {"budget": BUDGET_ID, "spent": "NaN"}),
        ("/spend", {"budget": BUDGET_ID, "spent": True}),
        ("/spend", {"budget": "nobody's", "spent": 1}),
        ("/spend", {"spent": 1}),
        ("/next-month", {"budget": "nobody's"}),
        ("/fault", {"method": "UpdateService", "status": 200, "times": 1}),
        ("/fault", {"method": "UpdateService", "status": 503, "times": 0}),
        ("/deploy", {"resource": "projects/p/locations/r/services/none"}),
        ("/run", {"run": "mlruns/1/none/", "what": "fail"}),
        ("/run", {"run": training.DOOMED.folder, "what": "burn"}),
        ("/run", {"run": training.DOOMED.folder}),
        ("/deploy", b"{"),
        ("/deploy", [1]),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_sentence(server: HttpServer, sandbox: Sandbox, path: str, body: Any) -> None:
    """Nothing happens, and the answer says why."""
    status, said = post(server, path, body)
    assert (status, bool(said)) == (400, True)
    assert not sandbox.run.writes
    assert not sandbox.faults.in_force()


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Origin": "https://evil.example"},
        {"Content_Type": "text/plain"},
    ],
)
def test_other_pages_cannot_send_anything(server: HttpServer, sandbox: Sandbox, headers: dict[str, str]) -> None:
    """A name that was bent to this address, another origin, and a form that a browser sends without asking are refused."""
    status, _, _ = ask(server, "POST", "/spend", {"budget": BUDGET_ID, "spent": 9_999}, **headers)
    assert status in (403, 415)
    assert sandbox.budgets.snapshot()[0]["spent"] == 0


def test_names_from_outside_are_data(server: HttpServer, sandbox: Sandbox) -> None:
    """A hostile label, person or message arrives in the state as it is: as text in JSON that no browser takes for a page."""
    sandbox.run.deploy(cell(state(server), "embedder-staging")["key"], HOSTILE, labels={"env": "staging", "x": HOSTILE})
    environment = sandbox.environment()
    client = WebClient(base_url=environment["SLACK_API_URL"], token=environment["SLACK_BOT_TOKEN"])
    client.chat_postMessage(channel="#ml-cost", text="&lt;img src=x onerror=alert(1)&gt; *bold*")
    shown = state(server)
    assert ["Last changed by", HOSTILE] in cell(shown, "embedder-staging")["details"]
    (message,) = shown["slack"][0]["messages"]
    assert [(run["text"], run["bold"]) for run in message["parts"][0]["runs"]] == [("<img src=x onerror=alert(1)> ", False), ("bold", True)]
    assert ask(server, "GET", "/state")[1]["x-content-type-options"] == "nosniff"


def test_a_run_without_its_status_file_cannot_fail(server: HttpServer, sandbox: Sandbox) -> None:
    """Where somebody has deleted what the page would rewrite, it says so."""
    sandbox.storage.delete(ARTIFACTS_BUCKET, f"{training.DOOMED.folder}meta.yaml")
    status, said = post(server, "/run", {"run": training.DOOMED.folder, "what": "fail"})
    assert (status, "meta.yaml" in said) == (400, True)


def test_whatever_stands_in_a_run_is_data(server: HttpServer, sandbox: Sandbox) -> None:
    """A status file that holds markup, or is none at all, is shown as it is, and breaks nothing."""
    folder = training.DOOMED.folder
    sandbox.storage.put(ARTIFACTS_BUCKET, f"{folder}meta.yaml", f"run_name: {HOSTILE}\nstatus: [4\n".encode())
    assert (run_cell(state(server), training.DOOMED)["name"], run_cell(state(server), training.DOOMED)["state"]) == (HOSTILE, "running")
    sandbox.storage.put(ARTIFACTS_BUCKET, f"{folder}meta.yaml", b"\xff\xfe")
    assert run_cell(state(server), training.DOOMED)["name"] == folder.split("/")[2]
    sandbox.storage.put(ARTIFACTS_BUCKET, f"{folder}meta.yaml", size=1 << 40)
    assert run_cell(state(server), training.DOOMED)["state"] == "running"


def test_the_page_never_makes_markup_of_text() -> None:
    """The script puts everything on the page as text; the browser is told to run no other script."""
    script = FILES[2].read_text(encoding="utf-8")
    assert not re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|srcdoc|javascript:", script)
    assert "textContent" in script
    markup = FILES[0].read_text(encoding="utf-8")
    assert not re.findall(r"<script(?! src=)|\son\w+=|style=", markup)


def test_the_page_asks_no_other_host(server: HttpServer) -> None:
    """No file names another host, and the browser is told to ask none."""
    assert not [
        found for file in FILES for found in re.findall(r"(?:https?:)?//[\w.]+", _without_comments(file.read_text(encoding="utf-8")))
    ]
    for path in ("/", "/page.css", "/page.js"):
        status, headers, body = ask(server, "GET", path)
        assert (status, bool(body)) == (200, True)
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'")
        assert "unsafe" not in policy


def test_every_control_has_a_name() -> None:
    """Selects stand in labels, sections are named by their headings, and every id that is referred to exists."""
    markup = FILES[0].read_text(encoding="utf-8")
    ids = set(re.findall(r'id="([\w-]+)"', markup))
    assert set(re.findall(r'aria-labelledby="([\w-]+)"', markup)) <= ids
    assert set(re.findall(r'byId\("([\w-]+)"\)|draw\("([\w-]+)"', FILES[2].read_text(encoding="utf-8"))) >= {("messages", "")}
    assert {one or other for one, other in re.findall(r'byId\("([\w-]+)"\)|draw\("([\w-]+)"', FILES[2].read_text(encoding="utf-8"))} <= ids
    assert len(re.findall(r"<label>[^<]*\s*<select", markup)) == markup.count("<select")
    assert markup.count("<section") == len(re.findall(r"<section [^>]*aria-labelledby=", markup))


def test_the_functions_and_the_journal_are_shown(sandbox: Sandbox, processes: Functions) -> None:
    """The logs' last lines and the state bucket's objects are there, newest first."""
    sandbox.budgets.spend(BUDGET_ID, Decimal(5_000))
    assert sandbox.pubsub.drain(30)
    with HttpServer(Page(sandbox, processes).app()) as server:
        shown = state(server)
    alert = next(each for each in shown["functions"] if each["target"] == "budget_alert")
    assert alert["alive"]
    assert alert["lines"][-1]["severity"] == "INFO"
    assert "budget-" in alert["lines"][-1]["message"]
    assert any(each["name"].startswith(("entries/budget-", "closed/budget-")) for each in shown["journal"])


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ('{"severity": "WARNING", "message": "one\\ntwo\\nthree"}', {"severity": "WARNING", "message": "one … three"}),
        ('{"message": ""}', {"severity": "DEFAULT", "message": ""}),
        ("[1]", {"severity": "DEFAULT", "message": "[1]"}),
        ("Traceback <b>", {"severity": "DEFAULT", "message": "Traceback <b>"}),
    ],
)
def test_log_lines_are_shown_whatever_they_are(line: str, shown: dict[str, str]) -> None:
    """A structured line by its message, any other as it is, and never more than a line."""
    assert log_line(line) == shown


def _without_comments(text: str) -> str:
    return re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE)
