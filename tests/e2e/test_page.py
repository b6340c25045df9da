"""The sandbox's page: what it shows, what can be done on it, and that nothing from outside becomes markup."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from http.client import HTTPConnection
from typing import Any
from urllib.parse import parse_qsl

import pytest
from playwright.sync_api import sync_playwright
from slack_sdk import WebClient

from sandbox import training
from sandbox.cloud import ARTIFACTS_BUCKET, ROOT, Sandbox
from sandbox.estate import BUDGET_ID, EU, SEEDS, US
from sandbox.functions import SERVICES, Functions
from sandbox.page import SOMEBODY, Page
from sandbox.page_state import log_line
from sandbox.serve import HttpServer
from sandbox.slack_people import ANN, BEN

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
    assert len(shown["services"]) == 44
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


def words(text: str) -> dict[str, str]:
    return {"type": "plain_text", "text": text}


SURE = {"title": words("Sure?"), "text": {"type": "mrkdwn", "text": "It parks *three*."}, "confirm": words("Park"), "deny": words("No")}
OFFER: list[dict[str, Any]] = [
    {
        "type": "actions",
        "block_id": "verdict",
        "elements": [
            {"type": "button", "text": words("Approve"), "action_id": "approve", "value": "e1", "style": "primary", "confirm": SURE},
            {
                "type": "static_select",
                "placeholder": words("Hold for"),
                "action_id": "hold",
                "options": [{"text": words(HOSTILE), "value": "1d"}, {"text": words("A week"), "value": "1w"}],
            },
            {"type": "datepicker", "action_id": "day"},
        ],
    }
]


@dataclass
class App:
    """An app that answers as it is told, and keeps what it heard."""

    answer: tuple[int, bytes] = (200, b"")
    heard: list[dict[str, str]] = field(default_factory=list)

    def __call__(self, body: bytes, _headers: Mapping[str, str]) -> tuple[int, bytes]:
        self.heard.append(dict(parse_qsl(body.decode())))
        return self.answer

    def payload(self) -> dict[str, Any]:
        """The one payload that it heard."""
        (form,) = self.heard
        payload: dict[str, Any] = json.loads(form["payload"])
        return payload


@pytest.fixture
def app(sandbox: Sandbox) -> App:
    """The app that the sandbox's Slack is connected with."""
    made = App()
    sandbox.slack.connect(made)
    return made


def bot(sandbox: Sandbox) -> WebClient:
    environment = sandbox.environment()
    return WebClient(base_url=environment["SLACK_API_URL"], token=environment["SLACK_BOT_TOKEN"])


def offered(sandbox: Sandbox) -> dict[str, str]:
    """What the page would send to press something in a message that has just been posted."""
    posted = bot(sandbox).chat_postMessage(channel="#ml-cost", text="Shall I?", blocks=OFFER)
    return {"channel": str(posted["channel"]), "ts": str(posted["ts"]), "action": "approve", "block": "verdict", "user": ANN}


def test_buttons_can_be_pressed(server: HttpServer, sandbox: Sandbox, app: App) -> None:
    """A press reaches the app in the name of whoever the page says; an option with its value."""
    asked = offered(sandbox)
    status, said = post(server, "/press", {**asked, "option": None})
    assert (status, said.startswith("The app acknowledged it")) == (200, True)
    assert (app.payload()["user"]["name"], app.payload()["actions"][0]["value"]) == ("ann", "e1")
    app.heard.clear()
    assert post(server, "/press", {**asked, "action": "hold", "option": "1w", "user": BEN, "block": ""})[0] == 200
    assert (app.payload()["user"]["name"], app.payload()["actions"][0]["selected_option"]["value"]) == ("ben", "1w")


def test_commands_can_be_given(server: HttpServer, sandbox: Sandbox, app: App) -> None:
    """The first word is the command, the rest is its text; what the app says is shown to one person."""
    app.answer = (200, b"*All* is well")
    channel = state(server)["slack"][0]["id"]
    assert post(server, "/command", {"channel": channel, "text": " /cost-watchdog  hold embedder ", "user": BEN})[0] == 200
    assert [(each["command"], each["text"], each["user_id"]) for each in app.heard] == [("/cost-watchdog", "hold embedder", BEN)]
    (message,) = state(server)["slack"][0]["messages"]
    assert (message["only_for"], message["parts"][0]["runs"][0]["text"]) == ("ben", "All")
    assert sandbox.slack.messages("ml-cost") == []


def test_what_the_app_does_not_acknowledge_is_shown(server: HttpServer, sandbox: Sandbox, app: App) -> None:
    """The page says so at once, and keeps it beside the messages, for the one who pressed."""
    app.answer = (500, b"")
    status, said = post(server, "/press", offered(sandbox))
    assert (status, said) == (400, "This did not work: the app answered with status 500.")
    status, said = post(server, "/command", {"channel": "ml-cost", "text": "/cost-watchdog", "user": BEN})
    assert (status, said) == (400, "/cost-watchdog did not work: the app answered with status 500.")
    _, pressed, commanded = state(server)["slack"][0]["messages"]
    assert [(each["failed"], each["only_for"]) for each in (pressed, commanded)] == [(True, "ann"), (True, "ben")]
    assert "“Approve” did not work" in pressed["parts"][0]["runs"][0]["text"]


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("/press", {"action": "burn"}),
        ("/press", {"action": "hold"}),
        ("/press", {"action": "hold", "option": "1y"}),
        ("/press", {"action": "hold", "option": 7}),
        ("/press", {"action": "day"}),
        ("/press", {"block": ["verdict"]}),
        ("/press", {"user": "U0000000DAN"}),
        ("/press", {"user": None}),
        ("/press", {"ts": "1.000001"}),
        ("/press", {"channel": "nowhere"}),
        ("/command", {"text": "hello"}),
        ("/command", {"text": "/"}),
        ("/command", {"text": ""}),
        ("/command", {"text": "/cost-watchdog", "user": "U0000000DAN"}),
        ("/command", {"text": "/cost-watchdog", "channel": "nowhere"}),
    ],
)
def test_what_cannot_be_pressed_is_refused(server: HttpServer, sandbox: Sandbox, app: App, path: str, change: dict[str, Any]) -> None:
    """With a sentence, and the app hears nothing of it."""
    status, said = post(server, path, {**offered(sandbox), **change})
    assert (status, bool(said)) == (400, True)
    assert not app.heard


def test_nothing_can_be_pressed_without_an_app(server: HttpServer, sandbox: Sandbox) -> None:
    """Before the functions run there is nobody to hear of it."""
    status, said = post(server, "/press", offered(sandbox))
    assert (status, "request URL" in said) == (400, True)


@pytest.mark.parametrize("path", ["/press", "/command"])
@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Content_Type": "text/plain"}])
def test_other_pages_cannot_press_anything(server: HttpServer, sandbox: Sandbox, app: App, path: str, headers: dict[str, str]) -> None:
    """Buttons that stop things are no business of another page."""
    status, _, _ = ask(server, "POST", path, {**offered(sandbox), "text": "/cost-watchdog"}, **headers)
    assert status in (403, 415)
    assert not app.heard


def test_threads_are_shown_under_their_parents(server: HttpServer, sandbox: Sandbox) -> None:
    """Replies, with those that were broadcast in the channel as well; what one person sees stands where it belongs; edits are marked."""
    client = bot(sandbox)
    asked = offered(sandbox)
    channel, parent = asked["channel"], asked["ts"]
    client.chat_postMessage(channel=channel, text="quiet", thread_ts=parent)
    client.chat_postMessage(channel=channel, text="loud", thread_ts=parent, reply_broadcast=True)
    client.chat_postEphemeral(channel=channel, user=BEN, text="aside", thread_ts=parent)
    client.chat_postEphemeral(channel=channel, user="U0000000DAN", text="alone")
    client.chat_update(channel=channel, ts=parent, text="Done")
    first, loud, alone = state(server)["slack"][0]["messages"]
    said = [each["parts"][0]["runs"][0]["text"] for each in (first, *first["replies"], loud, alone)]
    assert said == ["Done", "quiet", "loud", "aside", "loud", "alone"]
    assert [each["broadcast"] for each in (*first["replies"], loud)] == [False, True, False, True]
    assert (first["edited"], loud["edited"]) == (True, False)
    assert (first["replies"][2]["only_for"], alone["only_for"]) == ("ben", "U0000000DAN")


BROWSER = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
def test_somebody_presses_in_a_real_browser(server: HttpServer, sandbox: Sandbox, app: App) -> None:
    """A dialog asks first; a denial sends nothing; a choice is sent as it is made; markup in an option stays text."""
    offered(sandbox)
    errors: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(server.url)
        page.click("text=Approve")
        assert page.inner_text("#sure").split() == ["Sure?", "It", "parks", "three.", "No", "Park"]
        page.click("#sure-deny")
        page.click("text=Approve")
        page.keyboard.press("Escape")
        assert not app.heard
        page.click("text=Approve")
        page.click("#sure-confirm")
        page.wait_for_selector("text=The app acknowledged it")
        page.select_option("#me", BEN)
        app.answer = (200, b"All is well")
        page.fill("#command input", "/cost-watchdog status")
        page.click("#command button")
        page.wait_for_selector("text=Only visible to ben")
        app.answer = (500, b"")
        page.select_option("#messages select", "1w")
        page.wait_for_selector(".failed")
        assert page.inner_text("#messages select option >> nth=1") == HOSTILE
        browser.close()
    assert errors == []
    assert [each.get("command") or json.loads(each["payload"])["actions"][0]["action_id"] for each in app.heard] == [
        "approve",
        "/cost-watchdog",
        "hold",
    ]


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
