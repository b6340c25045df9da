"""An audit as one HTML page that needs nothing from elsewhere. Pure but for its own template.

What stands in it is escaped by default, and its Content-Security-Policy allows its own style and script by their hashes, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from shared.audit import charts
from shared.audit import text as audit_text
from shared.audit.category import CATEGORIES
from shared.audit.finding import SEVERITIES, is_command
from shared.audit.report import Report, Spend
from shared.audit.text import short
from shared.slack.text import about, clean, date, money, percent, stamp

_ASSETS = Path(__file__).resolve().parent / "page_assets"
_LONGEST = 4000


def render(report: Report) -> str:
    """The page."""
    style, script = _asset("page.css"), _asset("page.js")
    ours = {"style": Markup(style), "script": Markup(script)}  # noqa: S704  # nosec B704  # the page's own files
    categories = [(category, [each for each in report.findings if each.category == category]) for category in CATEGORIES]
    return _environment().get_template("page.html").render(
        report=report, projects=", ".join(report.seen.projects) or report.project, looked_at=audit_text.looked_at(report),
        categories=[(category, findings) for category, findings in categories if findings],
        severities=[(severity, sum(each.severity == severity for each in report.findings)) for severity in SEVERITIES],
        **ours, style_hash=_hash(style), script_hash=_hash(script),
        about=about, percent=percent, date=date, stamp=stamp, short=short, is_command=is_command, share=_share, spent=_spent, spent_long=audit_text.spent,
        spend_chart=charts.spend, lever_chart=charts.levers,
    )  # fmt: skip


def _share(spend: Spend) -> str:
    return percent(spend.cost / spend.amount, "1") if spend.amount > 0 else money(spend.cost, spend.currency)


def _spent(spend: Spend) -> str:
    return f"{money(spend.cost, spend.currency)} of {money(spend.amount, spend.currency)}"


@cache
def _environment() -> Environment:
    # Every text is shown without what is invisible or turns its direction, so that a name cannot look like another.
    return Environment(
        loader=FileSystemLoader(_ASSETS), autoescape=True, undefined=StrictUndefined, trim_blocks=True, finalize=clean_text,
    )  # fmt: skip


def clean_text(value: object) -> object:
    """A text from outside as it may be shown; what is markup of our own, and what is no text, as it is."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return "\n".join(clean(line, _LONGEST) for line in value[: 2 * _LONGEST].splitlines())


@cache
def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def _hash(text: str) -> Markup:
    """The source that a Content-Security-Policy knows an inlined text by: https://www.w3.org/TR/CSP3/#match-element-to-source-list."""
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return Markup("'sha256-{}'").format(digest)
