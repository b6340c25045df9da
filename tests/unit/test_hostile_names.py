"""Names by which somebody would break out of where they are shown: in a terminal, in the log, in Slack, in the journal's names of objects."""

from __future__ import annotations

import json
import logging
import re
import unicodedata
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest

from functions import __main__ as cli
from functions import logs, wiring
from shared import report
from shared.audit import text as audit_text
from shared.audit.page import render
from shared.audit.report import Blank, Untouched, levers
from shared.audit.slack import summary
from shared.errors import JournalError
from shared.report import jobs as report_jobs
from tests.fuzz.hostile import NAMES
from tests.reports import a_finding, a_report, a_simulation, a_spend
from tests.stage import IDLE, Stage, a_policy
from tests.yard import Yard, the_policy

OBEYED = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\U000e0000-\U000e007f]")
"""What a terminal obeys, or what turns the direction of a text or hides in it; a line break is the caller's."""


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    """Loggers are the process's own."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def told(stage: Stage) -> str:
    """All that a message to Slack holds that is shown to people."""
    return json.dumps([[message.text, message.blocks] for message in stage.messenger.messages.values()], ensure_ascii=False)


def written(name: str) -> str:
    """The name as every API of Google's hands it over: halves of surrogate pairs cannot be sent."""
    return name.encode(errors="replace").decode()


def played(hostile: str) -> Stage:
    """A budget of this name parked a service that somebody of this name had deployed, and which carries it as a label."""
    name = written(hostile)
    stage = Stage(a_policy(f"{{at: 80%, do: [{IDLE}]}}"))
    found = stage.service("trainer", labels={"env": "staging", "team": name})
    stage.services.deploy(found, name, minimum=3)
    stage.send(85, budget_name=name[:256])
    stage.services.deploy(found, name, minimum=5)
    stage.tick(20)
    return stage


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_in_slack_no_name_mentions_links_or_breaks_out(name: str) -> None:
    """Every message is read as Slack reads it: no mention, no link, no channel, and each code span ends where it was to end."""
    stage = played(name)
    assert stage.messenger.messages
    for message in stage.messenger.messages.values():
        texts = [message.text, *(block["text"]["text"] for block in message.blocks if block.get("text", {}).get("type") == "mrkdwn")]
        for text in texts:
            assert not re.search(r"<[!@#]|<(https?|mailto|tel|slack):", text), text
            assert not OBEYED.search(text)
            assert all(line.count("`") % 2 == 0 for line in text.replace("```", "").split("\n")), text


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_on_a_terminal_no_name_is_obeyed(name: str) -> None:
    """The audit, an entry about services and one about a run: nothing in them moves the cursor, sets a title or begins a line of its own."""
    stage = played(name)
    shown = [report.outcome_text(entry) for entry in stage.open()]
    hostile = a_report(
        0, findings=(a_finding(1, resource=name, what=name, why=name, labels={"team": name}),), spend=(a_spend(budget=name),), project=name
    )
    shown.append(audit_text.render(hostile))
    assert not any(OBEYED.search(text) for text in shown)
    assert not any(line.startswith('{"severity"') for text in shown for line in text.split("\n"))
    assert not re.search(r"<[!@#]|<https?:", summary(hostile).text)


def test_on_a_terminal_no_error_is_obeyed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An error that names what somebody else called it is shown and not obeyed, and neither is what is logged."""

    def broken() -> None:
        logging.getLogger("shared.cloud").warning("%s\n  indented", NAMES[11])
        raise JournalError(f"entries/{NAMES[11]}.json", NAMES[12])

    monkeypatch.setattr(wiring, "watchdog", broken)
    assert cli.main(["list"]) == 1
    said = capsys.readouterr().err
    assert "WARNING" in said
    assert "\n  indented\n" in said
    assert not OBEYED.search(said)


class Markup(HTMLParser):
    """The tags of a page, each with the names of its attributes, and the values of those that could do something."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.active: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attrs)))
        self.active |= {
            f"{name}={value}" for name, value in attrs if name.startswith("on") or name in ("href", "src", "style", "action", "formaction")
        }


def markup(name: str) -> Markup:
    """What a page is made of in which everything that comes from outside has this name."""
    finding = a_finding(1, resource=name, what=name, why=name, policy=name, mend=(f"gcloud {name}", name), labels={name: name}, id=name)
    report = a_report(
        0, findings=(finding,), spend=(a_spend(budget=name),), project=name, simulation=a_simulation(budget=name, notes=(name,), taken={name: name}),
        untouched=(Untouched(resource=name, reason=name),), blanks=(Blank(what=name, reason=name, mend=name),), levers=levers((finding,), {"warm": name}),
    )  # fmt: skip
    parsed = Markup()
    parsed.feed(render(report))
    return parsed


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_hostile_names_become_no_markup(name: str) -> None:
    """A page has the same tags with the same attributes, whatever the names in it are, and no address, handler or style is made of one."""
    hostile, harmless = markup(name), markup("trainer")
    assert hostile.tags == harmless.tags
    assert hostile.active == harmless.active


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_in_the_log_every_record_is_one_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Of plain ASCII, whatever a message, a label or an error holds, so that nobody writes a record of their own."""
    logs.configure("acme-ml-watchdog", [])
    logging.getLogger("shared").error("%s", name, exc_info=ValueError(name), extra={"labels": {"budget": name, name: name}})
    (line,) = capsys.readouterr().out.splitlines()
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["severity"] == "ERROR"


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_in_the_journal_no_name_leaves_its_folder(name: str) -> None:
    """What a message is about never makes up an object's name: each lies in its folder, without empty parts, dots or control characters."""
    for stored in played(name).bucket.objects:
        assert all(part not in ("", ".", "..") for part in stored.split("/")), stored
        assert all(unicodedata.category(char)[0] != "C" for char in stored), stored
        assert stored.isascii()


def test_a_run_of_a_hostile_name_is_shown_and_not_obeyed() -> None:
    """A run whose objects somebody named so: what can be printed is shown, and what cannot is no run at all."""
    yard = Yard(the_policy())
    for name in map(written, NAMES):
        yard.put(f"runs/{name}/ckpt.bin")
        yard.fail(name)
    yard.tick()
    lines = [line for entry in yard.open() if entry.job for line in (report_jobs.line(entry), *report_jobs.job_text(entry))]
    assert lines
    assert not any(OBEYED.search(line) for line in lines)
    assert not re.search(r"<[!@#]|<https?:", told(yard))
