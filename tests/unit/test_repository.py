"""The repository itself: what is written about the code is what the code is."""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import pytest

from functions import __main__ as cli
from sandbox.functions import SERVICES
from shared import checks, errors
from shared.actions import params_by_name, registry
from shared.entry import Status, StepState
from shared.policy.policy import schema
from tests.chaos.mutants import MUTANTS
from tests.envelopes import EVENTS
from tests.shapes import BY_NAME

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
READ_BY_GOOGLE = {"STORAGE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST"}
SUFFIXES = {".cfg", ".in", ".json", ".md", ".py", ".toml", ".txt", ".yaml", ".yml", ""}
PARTS = ("functions", "shared", "sandbox", "terraform", "tests", "docs", ".ci")
OUTSIDE_THE_LAYERS = {"shared.clock", "shared.events", "shared.settings"}
"""They are imported by few, and import only nouns."""


def headings(document: str, level: int) -> dict[str, str]:
    """The code spans that are headings of this level, each with the text up to the next heading of any level."""
    found = re.split(r"^(#+) (.*)$", (DOCS / document).read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    sections = zip(found[::3], found[1::3], found[2::3], strict=True)
    return {title.strip("`"): text for marks, title, text in sections if len(marks) == level and title.startswith("`")}


def table(document: str, section: str) -> set[str]:
    """The code spans in the first column of the tables under a heading."""
    text = (DOCS / document).read_text(encoding="utf-8").split(f"{section}\n", 1)[1].split("\n#", 1)[0]
    return set(re.findall(r"^\| `([^`]+)` \|", text, flags=re.MULTILINE))


def modules(*folders: str) -> dict[str, ast.Module]:
    """The source of the product's modules, by path."""
    files = sorted(file for folder in folders for file in (ROOT / folder).rglob("*.py"))
    return {file.relative_to(ROOT).as_posix(): ast.parse(file.read_text(encoding="utf-8")) for file in files}


# entry points


def test_the_entry_points() -> None:
    """Every function of `main.py` is a target: it stands in the documentation, and the sandbox serves it under its name."""
    tree = ast.parse((ROOT / "main.py").read_text(encoding="utf-8"))
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert functions == set(SERVICES) == table("how-it-works.md", "## Entry points")


def test_what_is_not_imported_before_an_event_needs_it() -> None:
    """A cold start loads no vendor's client, since most events need none; and never the sandbox."""
    code = "import sys, main; print('\\n'.join(sys.modules))"
    environment = {"GOOGLE_CLOUD_PROJECT": "acme-ml-watchdog", "WATCHDOG_STATE_BUCKET": "acme-ml-watchdog-state"}
    search = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG") or name.startswith(("PYTHON", "COV"))}
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**search, **environment}, capture_output=True, text=True, check=True, timeout=60
    )
    vendors = ("google.api_core", "google.cloud.run_v2", "google.cloud.storage", "google.pubsub", "google.cloud.pubsub", "slack_sdk")
    loaded = [name for name in answer.stdout.split() if name.startswith((*vendors, "grpc", "requests", "sandbox"))]
    assert loaded == []


# documentation


def test_every_setting_is_documented() -> None:
    """Each variable that is read has its heading, and no heading is about another."""
    source = (ROOT / "shared" / "settings.py").read_text(encoding="utf-8")
    read = set(re.findall(r'\bread\.\w+\(\s*"([A-Z_]+)"', source))
    assert all(name in source for name in READ_BY_GOOGLE)
    assert set(headings("settings.md", 3)) == read | READ_BY_GOOGLE


def test_only_the_settings_read_the_environment() -> None:
    """The wiring hands it over; the client of Cloud Storage is told something through it."""
    users = {path for path, tree in modules("functions", "shared").items() if re.search(r"environ\b|getenv", ast.unparse(tree))}
    assert users == {"functions/wiring.py", "shared/settings.py", "shared/cloud/gcs.py"}


def test_every_action_is_documented_with_its_permissions() -> None:
    """Each has a section, which lists exactly the permissions that it declares and names each of its settings."""
    sections = headings("actions.md", 2)
    assert set(sections) == set(registry())
    for name, action in registry().items():
        assert re.findall(r"^- `([\w.]+)`$", sections[name], flags=re.MULTILINE) == sorted(action.permissions), name
        assert set(re.findall(r"^\| `(\w+)` \| [^|]+ \|$", sections[name], flags=re.MULTILINE)) == set(action.params.model_fields), name


def test_every_check_is_documented() -> None:
    """Each has a row with its category in the table of what the audit finds, and no row is about another."""
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", (DOCS / "audit.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert dict(rows) == {name: check.category for name, check in checks.registry().items()}


def test_every_error_is_documented() -> None:
    """Each class stands in the table, in a section or the text, and in the tree of the module's docstring."""
    classes = {name for name, each in vars(errors).items() if isinstance(each, type) and issubclass(each, errors.WatchdogError)}
    roots = {"WatchdogError", "CloudError"}
    text = (DOCS / "errors.md").read_text(encoding="utf-8")
    tree = set(re.findall(r"^ +(?:[x+] )?(\w+)(?: {2,}.*)?$", str(errors.__doc__), flags=re.MULTILINE))
    assert tree == classes
    assert table("errors.md", "# Errors") == set(headings("errors.md", 2)) == classes - roots
    assert all(f"`{name}`" in text for name in roots)


def test_every_kind_of_rejected_message_is_documented() -> None:
    """Each kind that the code names has its row, since people see it in Slack."""
    calls = (node for tree in modules("shared").values() for node in ast.walk(tree) if isinstance(node, ast.Call))
    kinds = {
        node.args[0].value
        for node in calls
        if isinstance(node.func, ast.Name) and node.func.id == "EventRejected" and isinstance(node.args[0], ast.Constant)
    }
    assert kinds == table("errors.md", "## `EventRejected`")


def commands(parser: argparse.ArgumentParser, *before: str) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """The commands of a parser that have no further commands in them."""
    inner = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not inner:
        yield " ".join(before), parser
    for action in inner:
        for name, each in action.choices.items():
            yield from commands(each, *before, name)


def test_every_command_is_documented() -> None:
    """Each has a heading that begins with it and names its options, and no heading is about another."""
    titles = {re.match(r"[a-z ]*[a-z]", title)[0]: title for title in headings("commands.md", 2)}  # type: ignore[index]
    found = dict(commands(cli._parser()))
    assert set(titles) == set(found)
    for name, parser in found.items():
        options = {option for action in parser._actions for option in action.option_strings if option not in ("-h", "--help")}
        assert set(re.findall(r"--[\w-]+", titles[name])) == options, name


def test_every_state_is_documented() -> None:
    """What `list` and `show` print is explained."""
    assert table("commands.md", "## `list`") == set(get_args(StepState))
    assert table("commands.md", "## `show KEY`") == set(get_args(Status))


def keys(document: Mapping[str, Any], model: str, *before: str) -> Iterator[tuple[str, Mapping[str, Any], bool]]:
    """Every key of the policy as `budgets.steps.at`, with its JSON Schema, and whether it is needed."""
    definition = document["$defs"][model]
    for name, value in definition["properties"].items():
        yield ".".join((*before, name)), value, name in definition.get("required", ())
        items = value.get("items", {})
        inner = (each["$ref"] for each in (value, items, *items.get("anyOf", ())) if "$ref" in each)
        for reference in inner:
            yield from keys(document, reference.rpartition("/")[2], *before, name)


def test_every_key_of_the_policy_is_documented() -> None:
    """Each has its heading with its default, or with the word that it is needed, and no heading is about another."""
    document = schema(params_by_name())
    known = [*keys(document, "Policy"), *keys(document, "Selector", "select")]
    sections = headings("policy.md", 3)
    assert set(sections) == {name for name, _, _ in known}
    for name, value, needed in known:
        assert ("Needed." in sections[name]) == needed, name
        default = value.get("default")
        if default or default is False:
            written = str(default).lower() if isinstance(default, bool) else str(default)
            assert f"`{written}`" in sections[name], name


def test_what_is_said_to_be_unused_is_unused() -> None:
    """A key of the policy that the text calls not used yet is read by nothing but the policy itself."""
    code = "\n".join(ast.unparse(tree) for path, tree in modules("functions", "shared").items() if not path.startswith("shared/policy"))
    for name, text in headings("policy.md", 3).items():
        last = name.rpartition(".")[2]
        if "Not used yet" in text and last != "artifacts":
            assert not re.search(rf"\.{last}\b", code), name


def test_the_map_of_the_code() -> None:
    """Every module has one line, and no line points nowhere."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    listed = re.findall(r"^- `([\w/]+\.py)`: \S", text, flags=re.MULTILINE)
    there = {
        path for path in modules("functions", "shared", "sandbox", "terraform") if not path.endswith("__init__.py") or says_something(path)
    }
    assert len(listed) == len(set(listed))
    assert set(listed) == there | {"main.py"}


def says_something(path: str) -> bool:
    """Whether a module has more than a docstring."""
    return len(ast.parse((ROOT / path).read_text(encoding="utf-8")).body) > 1


def test_every_threat_has_its_test() -> None:
    """What the threat model names as a test is one, each of its rows names one, and the evidence counts them rightly."""
    text = (DOCS / "security.md").read_text(encoding="utf-8")
    there = {node.name for tree in modules("tests").values() for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert set(re.findall(r"`(test_\w+)`", text)) - there == set()
    threats = text.split("## Threats\n", 1)[1].split("\n## ", 1)[0]
    rows = [line for line in threats.split("\n") if line.startswith("|") and not line.startswith(("|---", "| threat |"))]
    assert f"| {len(rows)} threats |" in (DOCS / "evidence.md").read_text(encoding="utf-8")
    assert [row for row in rows if "`test_" not in row.rsplit("|", 2)[1]] == []


def test_the_evidence_can_be_repeated() -> None:
    """Each test, target and mutant that the page of evidence names is there, and each of its rows about a promise says how it is repeated."""
    text = (DOCS / "evidence.md").read_text(encoding="utf-8")
    there = {node.name for tree in modules("tests").values() for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert set(re.findall(r"`(test_\w+)`", text)) - there == set()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= targets
    assert set(re.findall(r"^\| `([a-z-]+)`:", text, flags=re.MULTILINE)) <= set(MUTANTS)
    rows = [line for line in text.split("\n") if line.count("|") == 5 and not line.startswith(("|---", "| promise |"))]
    assert len(rows) > 20
    assert [row for row in rows if not re.search(r"`(make|python -m) [^`]+` \|$", row)] == []


def test_every_exception_from_the_security_rules_is_justified() -> None:
    """Beside each `noqa` of ruff's rules about security stands why, and no file is left out of them as a whole."""
    lines = [
        (path, line)
        for path, text in texts()
        if path.endswith(".py")
        for line in text.split("\n")
        if re.search(r"# noqa: (\w+, )*S\d", line)
    ]
    assert len(lines) > 10
    assert [(path, line) for path, line in lines if not re.search(r"noqa: [\w, ]+(  #| -) \S", line)] == []
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]["lint"]
    assert not [rule for rule in config["ignore"] if re.match(r"S\d|S$", rule)]
    assert {path for path, rules in config["per-file-ignores"].items() if any(re.match(r"S\d|S$", rule) for rule in rules)} == {
        "tests/**",
        "sandbox/**",
    }


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives the headings."""
    found: list[str] = []
    for title in re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE):
        anchor = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        found.append(f"{anchor}-{found.count(anchor)}" if anchor in found else anchor)
    return set(found)


@pytest.mark.parametrize("file", [*ROOT.glob("*.md"), *DOCS.rglob("*.md")], ids=lambda file: str(file.relative_to(ROOT)))
def test_links_lead_somewhere(file: Path) -> None:
    """Every relative link names a file that is there, and a heading in it."""
    for target in re.findall(r"\]\(((?!https?:)[^)]+)\)", file.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        linked = (file.parent / path).resolve() if path else file
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked.read_text(encoding="utf-8")), target


# the code


def test_every_module_stands_in_a_layer() -> None:
    """import-linter only enforces what it is told of; the adapters have a contract of their own."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = config["tool"]["importlinter"]["contracts"][0]["layers"]
    placed = {name for layer in layers for name in re.findall(r"[\w.]+", layer)}
    there = {
        path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for path in modules("shared")
        if says_something(path) and not path.startswith("shared/cloud/")
    }
    within = {name for name in there if name in placed or name.rpartition(".")[0] in placed}
    assert there - within == OUTSIDE_THE_LAYERS
    assert placed - {"functions"} <= there


def test_every_time_in_the_journal_has_a_zone() -> None:
    """A record's times are `AwareDatetime`: one without a zone is refused where it is read, and not where it is compared."""
    plain = [
        f"{path}: {node.name}"
        for path, tree in modules("shared").items()
        if not path.startswith("shared/audit/")  # a report is only written
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base) == "Record" for base in node.bases)
        for field in node.body
        if isinstance(field, ast.AnnAssign) and re.search(r"\bdatetime\b", ast.unparse(field.annotation))
    ]
    assert plain == []


def test_every_event_is_used() -> None:
    """Each file is a shape that the tests post, and each shape has its file."""
    assert {file.stem for file in EVENTS.iterdir()} == set(BY_NAME)


def test_every_golden_file_is_used() -> None:
    """Its name stands in a test."""
    source = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "tests").rglob("*.py"))
    unused = [
        file.name
        for file in (ROOT / "tests" / "golden").iterdir()
        if file.stem.removeprefix("letter_").removeprefix("outcome_") not in source
    ]
    assert unused == []


def texts() -> Iterator[tuple[str, str]]:
    """All that people wrote, by path; not what was compiled or generated."""
    files = [file for file in ROOT.iterdir() if file.is_file() and not file.name.startswith("requirements") and file.suffix in SUFFIXES]
    files += [file for part in PARTS for file in (ROOT / part).rglob("*") if file.is_file() and file.suffix in SUFFIXES]
    for file in sorted(files):
        if file.name not in (".coverage", Path(__file__).name) and not {"__pycache__", "golden", ".terraform"} & set(file.parts):
            yield file.relative_to(ROOT).as_posix(), file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "forbidden",
    [
        r"(?<![\w.~])/(work|home|Users)/",
        r"\b(issue|PR|pull request) #?\d+",
        r"\b(TODO|FIXME|XXX:)",
        r"pypi\.|pythonhosted|index-url=|extra-index",
    ],
    ids=["machine", "issue", "unfinished", "index"],
)
def test_what_is_written_nowhere(forbidden: str) -> None:
    """Nobody's own paths, no numbers of a tracker, nothing left undone, and no host of a package index."""
    assert [(path, found[0]) for path, text in texts() if (found := re.search(forbidden, text))] == []


def test_every_module_says_what_lives_there() -> None:
    """It begins with a docstring, and every test has one that says what should be so."""
    everything = {
        **modules("functions", "shared", "sandbox", "terraform", "tests"),
        "main.py": ast.parse((ROOT / "main.py").read_text(encoding="utf-8")),
    }
    silent = [path for path, tree in everything.items() if not ast.get_docstring(tree)]
    tests = [
        f"{path}::{node.name}"
        for path, tree in everything.items()
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and not ast.get_docstring(node)
    ]
    assert silent + tests == []


def test_the_events_can_be_posted_by_hand() -> None:
    """Each holds headers of text and a body, which is what the line in CONTRIBUTING.md takes out of it."""
    for file in EVENTS.iterdir():
        event = json.loads(file.read_text(encoding="utf-8"))
        assert set(event) == {"headers", "body"}
        assert all(isinstance(value, str) for value in event["headers"].values())
