"""The demo's voice on a terminal: chapters, what came of them by effect, and Slack's messages as they arrived."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.status import Status
from rich.table import Table
from rich.text import Text

from sandbox.slack_view import view
from shared.slack.text import volume

Snapshot = Mapping[str, Mapping[str, Any]]
"""What runs, by full name, each as `RunModel.snapshot` shows it."""


@dataclass(frozen=True)
class Check:
    """One sentence of the story that has to come true.

    Attributes:
        sentence: What should be.
        true: Whether it is.
        found: What was found instead.
    """

    sentence: str
    true: bool
    found: str = ""


@dataclass(frozen=True)
class Amount:
    """How much lies in a bucket.

    Attributes:
        objects: Live objects.
        size: Their bytes.
        deleted: Soft-deleted objects.
        deleted_size: Their bytes.
    """

    objects: int = 0
    size: int = 0
    deleted: int = 0
    deleted_size: int = 0

    def plus(self, size: int, *, deleted: bool) -> Amount:
        """With one object more."""
        if deleted:
            return replace(self, deleted=self.deleted + 1, deleted_size=self.deleted_size + size)
        return replace(self, objects=self.objects + 1, size=self.size + size)


class Teller:
    """Writes to a terminal, or to whatever stands in its place."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._chapters = 0
        self._status: Status | None = None

    @property
    def interactive(self) -> bool:
        """Whether a person watches."""
        return self._console.is_terminal

    def opening(self, text: str, page: str) -> None:
        """What this is, and where the page is."""
        said = Text(text)
        said.append("\n\nLook at it in a browser: ").append(page, "bold underline")
        self._console.print(Panel(said, title="Cost Watchdog: the demo", box=box.ROUNDED, padding=(1, 2)))

    def chapter(self, title: str, text: str) -> None:
        """A new chapter."""
        self._chapters += 1
        self._console.print()
        self._console.print(Rule(Text(f"{self._chapters}. {title}", "bold"), align="left", characters="─"))
        self._console.print(Text(text))

    def google_says(self, data: Mapping[str, Any]) -> None:
        """The notification that Google sends."""
        self._console.print(Text.assemble(("Google → Pub/Sub  ", "dim"), (_notification(data), "cyan")))

    def working(self, text: str) -> None:
        """What goes on at this moment; on a terminal alone."""
        if not self.interactive:
            return
        if self._status is None:
            self._status = self._console.status(Text(text))
            self._status.start()
        self._status.update(Text(text))

    def rest(self) -> None:
        """Nothing goes on."""
        if self._status:
            self._status.stop()
            self._status = None

    def effect(self, groups: Mapping[str, Sequence[str]], before: Snapshot, after: Snapshot, writes: Mapping[str, int]) -> None:
        """What really runs, before and after, and how many of each group the watchdog changed."""
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("what runs")
        for name in ("how many", "instances before", "after", "changed now"):
            table.add_column(name, justify="right")
        for group, names in groups.items():
            table.add_row(*_row(group, names, before, after, writes))
        everything = [name for names in groups.values() for name in names]
        table.add_section()
        table.add_row(*_row("all", everything, before, after, writes), style="bold")
        self._console.print(table)

    def runs(self, before: Mapping[str, Amount], after: Mapping[str, Amount]) -> None:
        """What really is in the bucket, before and after, by group of runs."""
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("training runs")
        for name in ("objects before", "after", "size", "soft-deleted"):
            table.add_column(name, justify="right")
        for group, now in after.items():
            was = before[group].objects
            style = "green" if now.objects < was else "yellow" if now.objects > was else ""
            kept = f"{now.deleted}, {volume(now.deleted_size)}" if now.deleted else ""
            table.add_row(Text(group), str(was), Text(str(now.objects), style), volume(now.size), kept)
        self._console.print(table)

    def command(self, line: str, output: str) -> None:
        """What somebody types in a terminal, and what it answers."""
        self._console.print(Text.assemble(("$ ", "dim"), (line, "bold")))
        self._console.print(Text(_printable(output.rstrip())))

    def note(self, text: str) -> None:
        """An aside."""
        self._console.print(Text(text, "dim"))

    def slack(self, channel: str, messages: Iterable[Mapping[str, Any]]) -> None:
        """Messages as a person sees them."""
        for message in messages:
            time = datetime.fromtimestamp(float(message["ts"]), UTC)
            panel = Panel(
                Group(*(_part(part) for part in view(message))),
                title=Text(f"Slack #{channel} · Cost Watchdog · {time:%H:%M:%S}"),
                title_align="left",
                box=box.ROUNDED,
                border_style="magenta",
            )
            self._console.print(Padding(panel, (0, 0, 0, 2)))

    def checks(self, checks: Iterable[Check]) -> None:
        """What came true of a chapter, and what did not."""
        for check in checks:
            mark = ("✓ ", "green") if check.true else ("✗ ", "bold red")
            found = "" if check.true or not check.found else f": {check.found}"
            self._console.print(Text.assemble(mark, (f"{check.sentence}{found}", "" if check.true else "red")))

    def verdict(self, checks: Sequence[Check], seconds: float) -> None:
        """How it ended."""
        wrong = [check for check in checks if not check.true]
        self._console.print()
        if not wrong:
            self._console.print(
                Panel(Text(f"The story came true: {len(checks)} of {len(checks)} checks, in {seconds:.0f} s."), style="green")
            )
            return
        lines = [f"✗ {check.sentence}{f': {check.found}' if check.found else ''}" for check in wrong]
        said = Text("\n".join([f"The story did not come true: {len(wrong)} of {len(checks)} checks failed.", *lines]))
        self._console.print(Panel(said, style="red"))

    def closing(self, page: str) -> None:
        """It stays open."""
        self._console.print(Text.assemble("It stays open: ", (page, "bold underline"), ". Move the spend there. Ctrl-C ends it."))


def _row(group: str, names: Sequence[str], before: Snapshot, after: Snapshot, writes: Mapping[str, int]) -> list[RenderableType]:
    was, now = (sum(each[name]["instances"] for name in names if name in each) for each in (before, after))
    changed = sum(1 for name in names if writes.get(name))
    style = "green" if now < was else "yellow" if now > was else ""
    return [Text(group), str(len(names)), str(was), Text(str(now), style), str(changed) if changed else ""]


def _part(part: Mapping[str, Any]) -> RenderableType:
    if part["type"] == "divider":
        return Rule(style="dim")
    if part["type"] == "actions":
        return Text("  ".join(f"[{_printable(''.join(run['text'] for run in runs))}]" for runs in part["elements"]), "bold")
    said = Text(style={"header": "bold", "context": "dim"}.get(part["type"], ""))
    for runs in (part.get("runs", ()), *part.get("fields", ()), *part.get("elements", ())):
        if said:
            said.append("\n")
        for run in runs:
            said.append(_printable(run["text"]), _style(run))
    return Padding(said, (0, 0, 1 if part["type"] == "header" else 0, 0))


def _style(run: Mapping[str, Any]) -> str:
    styles = {"bold": "bold", "italic": "italic", "strike": "strike", "code": "cyan", "link": "underline"}
    return " ".join(style for key, style in styles.items() if run[key])


def _printable(text: str) -> str:
    """Without what a terminal would take for an instruction."""
    return "".join(char if char == "\n" or char.isprintable() else "\ufffd" for char in text)


def _notification(data: Mapping[str, Any]) -> str:
    said = f"{data['costAmount']:,.0f} of {data['budgetAmount']:,.0f} {data['currencyCode']} spent since {data['costIntervalStart'][:10]}"
    for key, words in (("alertThresholdExceeded", "passed"), ("forecastThresholdExceeded", "forecast to pass")):
        if key in data:
            said += f", {words} {data[key]:.0%}"
    return said
