"""The summary of an audit for Slack. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from shared.audit import text as audit_text
from shared.audit.report import Report
from shared.audit.text import short
from shared.report.letter import Letter, letter
from shared.slack.text import Part, about, code, plural, prose

FIRST = 10
"""Findings that are named; the rest is counted."""


def summary(report: Report) -> Letter:
    """The verdict, the spend, the levers and the first findings."""
    return letter(f"Audit: {report.verdict.colour}", _parts(report), report.generated_at)


def _parts(report: Report) -> Iterator[Part]:
    yield Part(tail=prose(report.verdict.reason, 1000))
    for spend in report.spend:
        yield Part(tail=prose(audit_text.spent(spend), 500))
    if report.levers:
        lines = tuple(f"• {prose(each.lever)}: about {about(each.monthly)}, {plural(each.findings, 'finding')}" for each in report.levers)
        yield Part(
            title=f"COULD BE SAVED: about {about(report.monthly_saving)} a month (estimate at list price)", lines=lines, recorded=False
        )
    grave = [finding for finding in report.findings if finding.severity != "low"]
    if grave:
        lines = tuple(
            f"• {finding.severity}: {code(short(finding.resource))} {prose(finding.what)}"
            + (f", about {about(finding.saving.monthly)} a month" if finding.saving and finding.saving.monthly else "")
            for finding in grave[:FIRST]
        )
        rest = f"and {len(grave) - FIRST:,} more in the report" if len(grave) > FIRST else ""
        yield Part(title=f"WORTH MENDING ({len(grave):,})", lines=lines, tail=rest, recorded=False)
    if report.blanks:
        yield Part(
            title="NOT LOOKED AT", lines=tuple(f"• {prose(each.what)}: {prose(each.reason)}" for each in report.blanks), recorded=False
        )
    yield Part(tail=prose(f"Looked at {audit_text.looked_at(report)}", 500), small=True)
