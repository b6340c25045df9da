"""An audit as plain text, for terminals and for logs. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from shared.audit.category import CATEGORIES
from shared.audit.finding import Finding, is_command
from shared.audit.report import Report, Simulation, Spend, Stage
from shared.slack.text import about, clean, date, grouped, money, percent, plural, stamp, volume

_LINE = 1000
_NAME = 300
SHOWN = 20
"""Resources that are listed by name before the rest is counted."""


def render(report: Report) -> str:
    """The whole report."""
    return "\n".join(_lines(report)) + "\n"


def headline(report: Report) -> str:
    """The verdict and what could be saved, in one line."""
    saving = f"; about {about(report.monthly_saving)} a month could be saved (estimate)" if report.monthly_saving else ""
    return clean(f"{report.verdict.colour}: {report.verdict.reason}{saving}", _LINE)


def looked_at(report: Report) -> str:
    """What was looked at, in one line."""
    seen = report.seen
    parts = (
        (seen.services, "service"), (seen.worker_pools, "worker pool"), (seen.executions, "running execution"), (seen.buckets, "bucket"), (seen.objects, "object"),
    )  # fmt: skip
    counts = ", ".join(plural(count, noun) for count, noun in parts if count) or "nothing"
    sampled = f"; {plural(len(seen.sampled), 'bucket')} only in part" if seen.sampled else ""
    size = f" ({volume(seen.bytes)})" if seen.bytes else ""
    return f"{counts}{size} in {plural(len(seen.projects), 'project')} and {plural(len(seen.regions), 'region')}{sampled}, in {report.seconds:g} s"


def spent(spend: Spend) -> str:
    """How a budget stands, in one line."""
    share = f" ({percent(spend.cost / spend.amount, '1')})" if spend.amount > 0 else ""
    projected = (
        f"; at this rate {money(spend.projected, spend.currency, whole=True)} at the period's end (estimate)" if spend.projected else ""
    )
    told = f"{money(spend.cost, spend.currency)} of {money(spend.amount, spend.currency)}{share} since {date(spend.period_start)}"
    return clean(f"{spend.budget}: {told}{projected}{f'. {spend.rise}' if spend.rise else ''}", _LINE)


def simulated(told: Simulation) -> Iterator[str]:
    """What a spend would cause, stage by stage."""
    how = "where it leads" if told.projected else told.basis
    yield clean(f"SIMULATED: {percent(told.share)} of {told.budget} ({how}) at {stamp(told.at)}", _LINE)
    yield from (f"  {clean(note, _LINE)}" for note in told.notes)
    for title, touches in (
        ("put back first, since a new period has begun", told.put_back),
        *((_stage(stage), stage.touches) for stage in told.stages),
    ):
        if touches or not title.startswith("put back"):
            yield f"  {clean(title, _LINE)}"
        yield from (f"    {clean(f'{short(touch.resource)}: {touch.does}', _LINE)}" for touch in touches)
    for stage in told.stages:
        yield from (f"    {clean(job, _LINE)}" for job in stage.jobs)
    yield from (f"  {step} was carried out in this period already ({clean(entry, _NAME)})" for step, entry in told.taken.items())
    if not told.stages:
        yield "  no further step of the policy is reached"


def planned(told: Simulation) -> Iterator[str]:
    """The same with all that would be left as it is, and why."""
    yield from simulated(told)
    for stage in told.stages:
        for reason, names in grouped((each.reason, short(each.resource)) for each in stage.untouched):
            yield f"  NOT TOUCHED {clean(stage.when, _NAME)}: {clean(reason, _LINE)} ({len(names):,})"
            yield from (f"    {clean(name, _LINE)}" for name in names)


def _stage(stage: Stage) -> str:
    refused = (
        f": refused: {stage.refused}"
        if stage.refused
        else f": {plural(len(stage.touches), 'change')}, {len(stage.untouched):,} not touched"
    )
    return f"{stage.when} ({', '.join(stage.steps)}){refused}"


def _lines(report: Report) -> Iterator[str]:
    yield headline(report)
    yield f"Cost Watchdog audit of {clean(', '.join(report.seen.projects), _LINE)}, {stamp(report.generated_at)}, mode {report.mode}"
    yield f"Looked at {looked_at(report)}"
    if report.spend:
        yield from ("", "SPEND", *(f"  {spent(each)}" for each in report.spend))
    if report.levers:
        yield from ("", f"COULD BE SAVED: about {about(report.monthly_saving)} a month at list price (estimate)")
        width = max(len(each.lever) for each in report.levers)
        for lever in report.levers:
            yield f"  {lever.lever:<{width}}  {about(lever.monthly):>10}  {plural(lever.findings, 'finding')}"
    for category in CATEGORIES:
        some = [finding for finding in report.findings if finding.category == category]
        if some:
            yield from ("", f"{category.upper()} ({len(some):,})")
            for finding in some:
                yield from _finding(finding)
    if report.simulation:
        yield from ("", *simulated(report.simulation))
    if report.untouched:
        yield from ("", f"NOT TOUCHED BY ANY STEP ({len(report.untouched):,})")
        for each in report.untouched[:SHOWN]:
            yield f"  {clean(f'{each.resource}: {each.reason}', _LINE)}"
        yield from _rest(len(report.untouched))
    if report.done:
        yield from ("", f"DONE WITHIN 30 DAYS ({len(report.done):,})")
        for done in report.done[:SHOWN]:
            yield f"  {stamp(done.at)}  {clean(done.what, _LINE)}"
            if done.undo:
                yield f"      undo: {clean(done.undo, _LINE)}"
        yield from _rest(len(report.done))
    if report.blanks:
        yield from (
            "",
            f"NOT LOOKED AT ({len(report.blanks):,})",
            *(f"  {clean(f'{each.what}: {each.reason}', _LINE)}" for each in report.blanks),
        )


def _finding(finding: Finding) -> Iterator[str]:
    saving = f"  {about(finding.saving.monthly)} a month (estimate)" if finding.saving and finding.saving.monthly >= Decimal("0.01") else ""
    yield f"  {finding.severity.upper():<6} {clean(short(finding.resource), _NAME)}{saving}"
    yield f"         {clean(finding.what, _LINE)}. {clean(finding.why, _LINE)}"
    if finding.saving:
        yield f"         saving: {clean(finding.saving.basis, _LINE)}"
    if finding.policy:
        yield f"         policy: {clean(finding.policy, _LINE)}"
    for mend in finding.mend:
        for line in mend.splitlines():
            yield f"         {'$' if is_command(line) else '-'} {clean(line, 2 * _LINE)}"


def short(resource: str) -> str:
    """A full name as people read it: ``acme-ml-staging/us-central1/embedder``."""
    parts = resource.split("/")
    return f"{parts[1]}/{parts[3]}/{'/'.join(parts[5:])}" if len(parts) >= 6 and parts[::2][:2] == ["projects", "locations"] else resource


def _rest(count: int) -> Iterator[str]:
    if count > SHOWN:
        yield f"  and {count - SHOWN:,} more, in the page and the JSON"
