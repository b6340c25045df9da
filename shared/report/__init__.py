"""What people are told: from values of the journal to messages, as Block Kit with plain text beside it, and for a terminal. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

from shared.entry import Entry, MessageRecord, TargetRecord
from shared.report import parts
from shared.report.letter import Letter, letter
from shared.slack.conversation import Outage
from shared.slack.text import Part, clean, code, grouped, plural, prose, stamp

_LONG = 1500
NOWHERE: Mapping[str, int] = MappingProxyType({})
_FOR_SERVICES = (
    f"• Terraform: {code('lifecycle { ignore_changes = [scaling, template[0].scaling] }')} keeps the next apply from bringing them back.",
    "• A deployment: let it leave the scaling alone.",
)
_FOR_BUCKETS = (
    f"• Terraform, for a bucket: {code('lifecycle { ignore_changes = [lifecycle_rule] }')} keeps the next apply from taking rules out that it did not write.",
)


def reached(
    entry: Entry,
    *,
    carried_out: Sequence[TargetRecord],
    preview: Sequence[TargetRecord] = (),
    elsewhere: Mapping[str, int] = NOWHERE,
    now: datetime,
) -> Letter:
    """Steps were reached: what was done about it, what comes later, what waits for a person, and how to undo it.

    Args:
        entry: The plan.
        carried_out: What this message tells of.
        preview: What the steps that wait would change now.
        elsewhere: How many more are told of in other channels.
        now: The time of writing.
    """
    said = [
        *parts.spend(entry, now),
        *parts.dry_run(entry),
        *(() if elsewhere else parts.nothing_done(entry, carried_out)),
        *parts.outcomes(carried_out, now),
        *parts.begun(entry),
        *parts.to_come(entry, preview, now),
        *parts.called_off(entry),
        *parts.elsewhere(elsewhere),
        *parts.remains(carried_out),
        *parts.unseen(entry, now),
        *parts.untouched(entry),
        *parts.saving(carried_out),
        *parts.how_to_undo(entry, carried_out),
    ]
    return letter(f"{parts.dry(entry)}{parts.occasion(entry)}", said, now, entry)


def refused(entry: Entry, *, sentence: str, now: datetime) -> Letter:
    """A limit of the policy refused a plan; the sentence says which."""
    if any(step.state == "refused" for step in entry.steps):
        kept = "Nothing of it was carried out."
        advice = (
            f"If the plan is right, raise the limit in the policy or select less, then {parts.command('approve', entry)}. "
            f"If it is not, call it off: {parts.command('cancel', entry)}."
        )
    else:
        kept = "Nothing more is changed, and what was parked before stays parked."
        advice = "If the plan is right, raise the limit in the policy or select less."
    said = [
        *parts.spend(entry, now),
        *parts.dry_run(entry),
        Part(title="REFUSED BY A LIMIT", tail=f"{prose(sentence.rstrip('.'), _LONG)}. {kept}"),
        Part(title="WHAT TO DO", tail=advice),
    ]
    return letter(f"{parts.dry(entry)}Refused: {parts.occasion(entry)}", said, now, entry)


def restored(entry: Entry, *, targets: Sequence[TargetRecord], by: str, now: datetime) -> Letter:
    """What was parked is put back, or not, and what had not been carried out yet is called off.

    Args:
        entry: The plan that is undone.
        targets: What this message tells of.
        by: Who asked: ``next period``, or a person; empty where nobody did.
        now: The time of writing.
    """
    new_period = by == "next period"
    asked = "The budget's next period has begun." if new_period else f"Asked for by {prose(by, 80)}."
    said = [
        *([Part(tail=asked)] if by else []),
        *parts.outcomes(targets, now),
        *parts.called_off(entry),
    ]
    if not new_period and any(target.status == "restored" for target in targets):
        said.append(
            Part(tail="The same step leaves them alone for the rest of the budget's period; a higher step may park them again.", small=True)
        )
    counted = _counted(
        targets, {"PUT BACK": "put back", "LEFT ALONE": "left alone", "FAILED": "failed", "BEING PUT BACK": "still to put back"}
    )
    return letter(f"{parts.name(entry)}: {counted or 'called off'}", said, now, entry)


def drifted(entry: Entry, *, targets: Sequence[TargetRecord], reparked: bool, now: datetime) -> Letter:
    """Something that was parked came back without the watchdog.

    Args:
        entry: The plan that parked it.
        targets: What came back; where the policy has it parked again and it is left all the same, with the reason why.
        reparked: Whether it is parked again.
        now: The time of writing.
    """
    kinds = {target.kind for target in targets}
    advice = [
        *(_FOR_SERVICES if kinds - {"bucket"} else ()),
        *(_FOR_BUCKETS if "bucket" in kinds else ()),
        f"• They should run: {code('python -m functions hold SERVICE --until TIME')}, or the label {code('cost-watchdog=protect')}.",
    ]
    for_reasons = any(target.reason for target in targets)
    if not reparked and not for_reasons:
        advice.append("• They should stay parked: `on_drift: repark` in the policy parks them again each time.")
    said = [
        Part(
            title=f"CAME BACK ({len(targets):,})",
            lines=parts.came_back(targets),
            tail="They are parked again (`on_drift: repark`)."
            if reparked
            else f"They are left as they are{', each for the reason that is named' if for_reasons else ' (`on_drift: report`)'}.",
        ),
        Part(title="WHAT TO DO", tail="\n".join(advice)),
    ]
    return letter(f"{parts.name(entry)}: {len(targets):,} came back{' and will be parked again' if reparked else ''}", said, now, entry)


def followed_up(entry: Entry, *, targets: Sequence[TargetRecord], now: datetime) -> Letter:
    """Later news of a plan that people were told of before: what failed and now worked, or what was found in places seen again."""
    counted = _counted(targets, {"DONE": "more done", "WOULD DO": "more would be done", "CAME BACK": "came back", "FAILED": "failed"})
    said = [
        *parts.dry_run(entry),
        *parts.outcomes(targets, now),
        *parts.remains(targets),
        *parts.unseen(entry, now),
        *parts.saving(targets),
        *parts.how_to_undo(entry, targets),
    ]
    return letter(f"{parts.dry(entry)}{parts.name(entry)}: {counted or 'later news'}", said, now, entry)


def rejected(*, kind: str, detail: str, now: datetime) -> Letter:
    """A message could not be used."""
    said = [
        Part(title=f"NOT ACCEPTED: {prose(kind, 60)}", tail=prose(detail, _LONG)),
        Part(tail="It changes nothing and does not come again. Further ones of this kind are only logged for the rest of the day."),
        Part(
            title="WHAT TO DO", tail="See in the logs where it came from, and let only the services that should publish to the topic do so."
        ),
    ]
    return letter("A message to the watchdog was not accepted", said, now)


def unreadable(*, name: str, detail: str, now: datetime) -> Letter:
    """An object of the journal cannot be read."""
    said = [
        Part(title="LEFT ALONE", tail=f"{code(name, 200)}: {prose(detail.removeprefix(f'{name}: '), _LONG)}"),
        Part(tail="It is not overwritten. What it records as parked stays parked until it can be read again."),
        Part(
            title="WHAT TO DO",
            tail="• A newer version wrote it: deploy that version again.\n"
            "• It is damaged: put an earlier version of the object back, or take the states from before out of it and set them by hand.",
        ),
    ]
    return letter("A journal entry cannot be read", said, now)


def delivered_late(messages: Sequence[MessageRecord], *, outage: Outage, now: datetime) -> Letter:
    """What was said while Slack could not be reached, in one message.

    Args:
        messages: What was kept, the oldest first.
        outage: Why.
        now: The time of writing.
    """
    lines = tuple(
        f"• {stamp(each.created)} · {prose(each.text.split(chr(10), 1)[0], 160)} · {code(each.id.rsplit('/', 1)[0], 120)}"
        for each in messages
    )
    said = [
        Part(tail=f"Slack did not take messages for this channel since {stamp(outage.since)}: {prose(outage.reason, 300)}"),
        Part(title=f"SAID MEANWHILE ({len(messages):,})", lines=lines, tail=f"All of each: {code('python -m functions show KEY')}"),
    ]
    return letter(f"Late: {plural(len(messages), 'message')} that could not be delivered", said, now)


def outcome_text(entry: Entry) -> str:
    """The whole entry for a terminal: nothing is left out and nothing is marked up."""
    lines = [f"{parts.dry(entry)}{parts.name(entry)}"]
    if entry.notification:
        lines += [f"  {each}" for each in (parts.spending(entry.notification), *parts.rate(entry))]
    lines += _record(entry)
    lines += [*_steps(entry), *_targets(entry), *_others(entry)]
    if not (entry.notification or entry.job):  # it is nothing but what it says
        lines += [clean(line, 3000) for message in entry.messages for line in ("", *message.text.split("\n"))]
    ending = [*(part.tail for part in parts.saving(entry.targets)), *_commands(entry)]
    return "\n".join([*lines, "", *ending] if ending else lines)


def _counted(targets: Sequence[TargetRecord], words: dict[str, str]) -> str:
    counts = Counter(parts.heading(target) for target in targets)
    return ", ".join(f"{counts[heading]:,} {word}" for heading, word in words.items() if counts[heading])


def _record(entry: Entry) -> list[str]:
    lines = [f"  {parts.period(entry.notification)}"] if entry.notification else []
    lines.append(f"  {clean(entry.key, 200)} · created {stamp(entry.created)} · mode {entry.mode} · restore {entry.restore}")
    if entry.undo:
        lines.append(f"  to be put back: asked for by {clean(entry.undo.by, 80)} at {stamp(entry.undo.at)}")
    return lines


def _steps(entry: Entry) -> list[str]:
    lines = []
    for step in entry.steps:
        opens = f" until {stamp(step.opens_at)}" if step.state == "waiting" and step.opens_at else ""
        by = f" by {clean(step.decided_by, 80)}" if step.decided_by else ""
        lines.append(f"  {parts.at(step)}: {clean(parts.actions(step.uses), 200)}: {step.state}{opens}{by}")
    return ["", f"STEPS ({len(lines):,})", *lines] if lines else []


def _targets(entry: Entry) -> list[str]:
    lines: list[str] = []
    for target in entry.targets:
        lines.append(f"  {target.status:<9}  {clean(f'{target.place} {target.short_name}', 300)}: {clean(parts.line(target), 200)}")
        notes = [*([parts.reason(target)] if target.reason else []), *(f"still costs: {sentence}" for sentence in target.remains)]
        if target.status in ("failed", "restoring") and target.retry_at:
            notes.append(f"{plural(target.attempts, 'attempt')}, the next at {stamp(target.retry_at)}")
        if target.drift:
            notes.append(f"came back: {parts.drift(target)}")
        lines.extend(f"             {clean(note, 1000)}" for note in notes)
    return ["", f"TARGETS ({len(entry.targets):,}): {parts.statuses(entry.targets)}", *lines] if lines else []


def _others(entry: Entry) -> list[str]:
    lines: list[str] = []
    if entry.untouched:
        lines += ["", f"NOT TOUCHED ({len(entry.untouched):,})"]
        for reason, names in grouped((record.reason, record.resource) for record in entry.untouched):
            lines += [f"  {clean(reason, 1000)} ({len(names):,})", *(f"    {clean(each, 300)}" for each in names)]
    if entry.begun:
        lines += ["", f"OBJECTS, EACH BY ITSELF ({len(entry.begun):,})", *(f"  {clean(key, 200)}" for key in entry.begun)]
    if entry.unseen:
        lines += ["", f"PLACES NOT SEEN ({len(entry.unseen):,})"]
        for place in entry.unseen:
            where = clean(f"{place.project}/{place.region} ({place.kind}s): {place.reason}", 1000)
            lines.append(f"  {where}; looked at again at {stamp(place.retry_at)}")
    return lines


def _commands(entry: Entry) -> Iterator[str]:
    states = {step.state for step in entry.steps}
    if entry.parked():
        yield clean(f"To undo: {parts.undo_words(entry, parts.restore_command(entry))}", 400)
    if states & {"approval", "refused"}:
        yield clean(f"To approve: {parts.shell('approve', entry)}", 400)
    if states & {"waiting", "approval", "refused"}:
        yield clean(f"To call off: {parts.shell('cancel', entry)}", 400)
