"""``python -m functions audit``: the audit from a terminal, before anything is deployed or beside what is. Changes nothing."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from functions import policy_in_force, wiring
from shared.audit import text as audit_text
from shared.audit.audit import Question, audit
from shared.audit.category import CATEGORIES
from shared.audit.finding import Severity
from shared.audit.gather import Tell
from shared.audit.report import EXIT, Report, Simulation, schema
from shared.audit.simulate import simulate
from shared.errors import SettingsError
from shared.policy.policy import Policy, Protect
from shared.settings import DEFAULT_POLICY, Settings
from shared.slack.text import about, clean, plural

_COLOURS = {"GREEN": "green", "YELLOW": "yellow", "RED": "red"}
_SEVERITIES: dict[Severity, str] = {"high": "bold red", "medium": "yellow", "low": "dim"}
SECONDS = 300.0
"""How long buckets are listed at most; nobody's minute runs out on a terminal."""
FAILED = 3
"""The exit status of an audit that could not be made: none of a colour's."""
SHOWN = 40
"""Findings that stand in the table; the rest is counted, and stands in the files."""

LOOKS_LIKE_PRODUCTION = Protect(
    labels={"env": ("prod", "production"), "environment": ("prod", "production")}, services=("*-prod", "*-production", "prod-*")
)
"""What is taken for production where there is no policy yet that says it."""


def add_to(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], share: Callable[[str], Decimal], instant: Callable[[str], datetime]
) -> None:
    """Add the command to those of ``python -m functions``.

    Args:
        commands: Where it is added.
        share: Reads a share, as the other commands do.
        instant: Reads a time, likewise.
    """
    command = commands.add_parser("audit", help="look where the money goes, and what is wrong; changes nothing")
    command.add_argument("--project", metavar="ID", help="the project to look at, also where nothing is deployed yet")
    command.add_argument("--only", type=_categories, default=CATEGORIES, metavar="LIST", help=f"of {','.join(CATEGORIES)}")
    command.add_argument("--billing-account", metavar="ID", help="whose budgets are meant, where the project cannot be asked for it")
    command.add_argument("--seconds", type=float, default=SECONDS, help="how long buckets are listed at most (default: %(default)g)")
    command.add_argument("--simulate", type=share, metavar="SHARE", help="what would happen at this spend, for example 100%%")
    command.add_argument("--forecast", type=share, metavar="SHARE", help="the same for a share that is forecast")
    command.add_argument("--at", type=instant, metavar="TIME", help="what would happen then, for example 2026-12-01T00:00Z")
    command.add_argument("--budget", metavar="NAME", help="the budget that these mean, where the policy names several")
    command.add_argument("--html", type=Path, metavar="FILE", help="write the page")
    command.add_argument("--json", type=Path, metavar="FILE", help="write the report for programs")
    command.add_argument("--text", action="store_true", help="print everything as plain text in place of the table")
    command.add_argument("--schema", action="store_true", help="print the JSON Schema of the report, and do nothing else")
    command.set_defaults(run=run, failed=FAILED)


def run(asked: argparse.Namespace) -> int:
    """Make the audit.

    Returns:
        0 where it is GREEN, 1 where it is YELLOW, 2 where it is RED.

    Raises:
        SettingsError: A setting, the policy or a file cannot be used.
    """
    if asked.schema:
        sys.stdout.write(json.dumps(schema(), indent=2) + "\n")
        return 0
    found, policy = _settings(asked)
    sight = wiring.sight(found)
    if asked.billing_account:
        sight = replace(sight, account=asked.billing_account)
    question = Question(asked.only, (asked.project,) if asked.project else (), asked.seconds)
    with _progress() as tell:
        simulation = _simulation(asked, found, policy)
        report = audit(sight, policy, question, project=found.project, service=found.service, simulation=simulation, tell=tell)
    if asked.text:
        sys.stdout.write(audit_text.render(report))
    else:
        show(report, Console())
    if asked.html:
        from shared.audit.page import render  # Jinja is only needed by who wants the page

        _write(asked.html, render(report))
    if asked.json:
        _write(asked.json, json.dumps(report.model_dump(mode="json"), indent=2) + "\n")
    return EXIT[report.verdict.colour]


def _simulation(asked: argparse.Namespace, found: Settings, policy: Policy) -> Simulation | None:
    """What a spend would cause, where that was asked."""
    if not (asked.simulate or asked.forecast or asked.at):
        return None
    named = [rule.budget for rule in policy.budgets]
    if not found.state_bucket:
        raise SettingsError(["a spend can only be simulated where the journal can be asked: set WATCHDOG_STATE_BUCKET"])
    if (asked.simulate and asked.forecast) or not (asked.budget or len(named) == 1):
        raise SettingsError([f"say --simulate or --forecast, and with --budget which of {', '.join(map(repr, named)) or 'none'} is meant"])
    return simulate(
        wiring.watchdog(found),
        budget=asked.budget or named[0],
        share=asked.simulate or asked.forecast,
        basis="forecast" if asked.forecast else "actual",
        at=asked.at,
    )


def _settings(asked: argparse.Namespace) -> tuple[Settings, Policy]:
    """The settings, and the policy; where there is neither a policy nor a watchdog, one that only knows what looks like production."""
    found = wiring.audit_settings(asked.project)
    if not found.state_bucket and found.policy == DEFAULT_POLICY:
        return found, Policy(version=1, protect=LOOKS_LIKE_PRODUCTION)
    return found, policy_in_force.policy(found)


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SettingsError([f"{file}: cannot be written: {error}"]) from error


def show(report: Report, console: Console) -> None:
    """The verdict, the levers, and the findings as a table."""
    colour = _COLOURS[report.verdict.colour]
    console.print(f"[bold {colour}]{escape(audit_text.headline(report))}[/]")
    console.print(f"[dim]Looked at {escape(audit_text.looked_at(report))}[/]")
    for spend in report.spend:
        console.print(escape(audit_text.spent(spend)))
    if report.findings:
        console.print(_table(report))
    if len(report.findings) > SHOWN:
        console.print(f"and {plural(len(report.findings) - SHOWN, 'finding')} more: --html FILE, --json FILE or --text shows them all")
    if report.simulation:
        console.print(escape("\n".join(audit_text.simulated(report.simulation))))
    for blank in report.blanks[:SHOWN]:
        console.print(f"[dim]not looked at: {escape(clean(f'{blank.what}: {blank.reason}', 600))}[/]")


def _table(report: Report) -> Table:
    table = Table(title=f"{plural(len(report.findings), 'finding')}", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("", "resource", "what is wrong"):
        table.add_column(heading, overflow="fold")
    table.add_column("a month", justify="right", no_wrap=True)
    for finding in report.findings[:SHOWN]:
        saving = about(finding.saving.monthly) if finding.saving and finding.saving.monthly else ""
        table.add_row(
            f"[{_SEVERITIES[finding.severity]}]{finding.severity}[/]",
            escape(clean(audit_text.short(finding.resource), 200)),
            escape(clean(finding.what, 400)),
            saving,
        )
    return table


@contextmanager
def _progress() -> Iterator[Tell]:
    """Bars on stderr while it works, one for each part; nothing where nobody looks on."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bars: dict[str, TaskID] = {}
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:

        def tell(part: str, done: int, total: int) -> None:
            if part not in bars:
                bars[part] = progress.add_task(part, total=total)
            progress.update(bars[part], completed=done, total=total)

        yield tell


def _categories(text: str) -> tuple[str, ...]:
    named = [name.strip() for name in text.split(",")]
    if unknown := [name for name in named if name not in CATEGORIES]:
        raise argparse.ArgumentTypeError(f"{', '.join(map(repr, unknown))} is not one of {', '.join(CATEGORIES)}")
    return tuple(each for each in CATEGORIES if each in named)
