"""What people are told of work on objects: what will be deleted, what was, why not, and how to undo it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from types import MappingProxyType

from shared.entry import Entry
from shared.objects.job import CAN_BE_CALLED_OFF, UNDOABLE, Job, Stage
from shared.report import job_parts as own
from shared.report import parts
from shared.report.letter import Letter, letter
from shared.slack.text import Part, ahead, clean, grouped, moment, plural, prose, stamp, volume

_PATH = 200
_LINE = 1500

_STATES: Mapping[Stage, str] = MappingProxyType(
    {
        "noticed": "noticed, not looked at yet",
        "waiting": "waits",
        "planning": "is being looked at again",
        "working": "is being worked on",
        "done": "done",
        "left": "left alone",
        "refused": "refused by a limit",
        "cancelled": "called off",
        "rehearsed": "dry run, nothing was changed",
        "undoing": "is being put back",
        "undone": "put back",
    }
)


# the letters; each takes an entry whose job is set, and the time of writing


def announced(entry: Entry, now: datetime) -> Letter:
    """What will be done and when, why, and how to call it off."""
    job = own.job_of(entry)
    due, manner = job.due_at or now, own.manner_of(job)
    when, again = f"{moment(due)} ({ahead(due, now)})", "All of it is looked at again before that"
    lives = ": a run that was retried, has succeeded, was promoted or was written to is left alone" if job.sign else ""
    said = [
        *own.warning_part(job),
        *own.why_part(entry),
        Part(title=f"WILL BE {manner.done.upper()} on {when}", tail=own.as_lines(*own.extent(job), f"{again}{lives}.")),
        *own.saving_part(job, job.tally, due),
        *own.undo_to_come(job, due),
        Part(title="TO CALL IT OFF", tail=parts.command("cancel", entry)),
    ]
    return letter(f"{own.opening_of(job)}: will {manner.verb} {own.amount_of(job)}, on {when}", said, now, entry)


def rehearsed(entry: Entry, now: datetime) -> Letter:
    """What would be done if it were no dry run."""
    job = own.job_of(entry)
    manner = own.manner_of(job)
    said = [
        *parts.dry_run(entry),
        *([Part(title="WOULD BE REFUSED BY A LIMIT", tail=own.as_sentence(job.reason))] if job.reason else []),
        *own.warning_part(job),
        *own.why_part(entry),
        Part(title=f"WOULD BE {manner.done.upper()}", tail=own.as_lines(*own.extent(job))),
        *own.saving_part(job, job.tally, now, would=True),
    ]
    return letter(f"DRY RUN: {own.opening_of(job)}: would {manner.verb} {own.amount_of(job)}", said, now, entry)


def left_alone(entry: Entry, now: datetime) -> Letter:
    """That it is left alone, and why."""
    job = own.job_of(entry)
    done = own.manner_of(job).done
    said = [
        Part(title="WHY IT IS LEFT ALONE", tail=own.as_sentence(job.reason)),
        *own.so_far(job),
        *own.why_part(entry, f"WHY IT WAS TO BE {done.upper()}"),
        *own.undo_part(entry),
    ]
    late = f", with {job.changed:,} of {plural(own.planned_of(job), own.manner_of(job).noun)} {done}" if job.changed else ""
    return letter(f"{own.subject_of(job)} is left alone{late}", said, now, entry)


def refused(entry: Entry, now: datetime) -> Letter:
    """That a limit of the policy refused it, and what a person can do about that."""
    job = own.job_of(entry)
    done = own.manner_of(job).done
    said = [
        Part(title="REFUSED BY A LIMIT", tail=own.as_sentence(job.reason)),
        *own.so_far(job),
        *own.warning_part(job),
        *own.why_part(entry),
        Part(title=f"WOULD BE {done.upper()}", tail=own.as_lines(*own.extent(job))),
        Part(
            title="WHAT TO DO",
            tail=f"• It is right: {parts.command('approve', entry)}. All of it is looked at once more, and then {done} without another wait.\n"
            f"• It is not right: {parts.command('cancel', entry)}",
        ),
    ]
    return letter(f"Refused to {own.manner_of(job).verb} {own.amount_of(job)}: {own.opening_of(job)}", said, now, entry)


def finished(entry: Entry, now: datetime) -> Letter:
    """What was done, what was not and why, what that saves, and how to undo it."""
    job = own.job_of(entry)
    manner, planned = own.manner_of(job), own.planned_of(job)
    amount = f"{job.changed:,} of {plural(planned, manner.noun)}" if job.changed < planned else plural(job.changed, manner.noun)
    size = f", {volume(job.changed_bytes)}" if job.changed else ""
    approved = f"Approved by {prose(job.approved_by, 80)} although a limit had refused it." if job.approved_by else ""
    said = [
        *([Part(title="WHY THE REST IS LEFT ALONE", tail=own.as_sentence(job.reason))] if job.reason else []),
        *own.not_changed(job),
        Part(title=manner.done.upper(), tail=own.as_lines(f"{amount}{size}, in {own.place_of(job)}", own.kept_of(job), approved)),
        *own.why_part(entry),
        *(own.saving_part(job, own.changed_of(job), now, after=True) if job.changed else ()),
        *own.undo_part(entry),
    ]
    return letter(f"{own.subject_of(job)}: {manner.done} {amount}{size}", said, now, entry)


def stuck(entry: Entry, now: datetime) -> Letter:
    """That it cannot go on, why, and when it is tried again."""
    job = own.job_of(entry)
    due = job.due_at or now
    tried = f"It is tried again {ahead(due, now)} ({moment(due)}); {plural(job.attempts, 'attempt')} so far."
    said = [
        Part(title="CANNOT GO ON", tail=own.as_lines(own.as_sentence(job.reason), tried)),
        *own.so_far(job),
        *own.why_part(entry, f"WHY IT {'WAS' if job.stage == 'undoing' else 'IS TO BE'} {own.manner_of(job).done.upper()}"),
        *([Part(title="TO CALL IT OFF", tail=parts.command("cancel", entry))] if job.stage in CAN_BE_CALLED_OFF else own.undo_part(entry)),
    ]
    return letter(f"{own.subject_of(job)}: cannot {'be put back now' if job.stage == 'undoing' else 'go on'}", said, now, entry)


def called_off(entry: Entry, now: datetime) -> Letter:
    """That it was called off before anything was changed, and by whom."""
    job = own.job_of(entry)
    by = f"Called off by {prose(job.decided_by, 80)}. " if job.decided_by else ""
    stays = f" {own.amount_of(job)} stay in {own.place_of(job)}." if job.tally.objects else ""
    done = own.manner_of(job).done
    said = [Part(tail=f"{by}Nothing was {done}.{stays}"), *own.why_part(entry, f"WHY IT WAS TO BE {done.upper()}")]
    return letter(f"{own.subject_of(job)}: called off", said, now, entry)


def undone(entry: Entry, now: datetime) -> Letter:
    """What was put back, what could not be, and what that means for the bill."""
    job = own.job_of(entry)
    noun, back = own.manner_of(job).noun, own.total_of(job, "back")
    planned = back + own.total_of(job, "lost") + own.total_of(job, "failed")
    counts = {
        "cannot be put back": own.total_of(job, "lost"),
        "could not be put back, however often it was tried": own.total_of(job, "failed"),
    }
    said = [
        *([Part(tail=f"Asked for by {prose(job.decided_by, 80)}.")] if job.decided_by else []),
        *([Part(title="WHY THE REST IS LEFT AS IT IS", tail=own.as_sentence(job.reason))] if job.reason else []),
        *own.remainder_part(job, "NOT PUT BACK", planned - back, counts),
        Part(title="PUT BACK", tail=f"{plural(back, noun)}, in {own.place_of(job)}"),
        *([Part(tail=f"Each is a new generation with the same content. {own.paid_twice(job)}", small=True)] if back else []),
    ]
    return letter(f"{own.subject_of(job)}: put back {back:,} of {plural(planned, noun)}", said, now, entry)


# for a terminal


def line(entry: Entry) -> str:
    """The entry in one line of a list."""
    job = own.job_of(entry)
    amount = f", {own.amount_of(job)}" if job.tally.objects else ""
    return f"{clean(entry.key, _PATH)}  {clean(f'{own.manner_of(job).verb} {own.address_of(job)}', _LINE)}: {clean(_state(job), _LINE)}{amount}"


def job_text(entry: Entry) -> list[str]:
    """All that the journal knows of the job, with nothing left out and nothing marked up."""
    job = own.job_of(entry)
    sign = job.sign
    why = f"{sign.words} ({sign.object}, written {stamp(sign.at)})" if sign else f"the policy asks to {own.task_of(job)}"
    notes = {
        "why": why,
        "reason": job.reason,
        "stops": job.stopping,
        "approved by": job.approved_by,
        "decided by": job.decided_by,
        "part of": job.parent,
    }
    lines = [clean(f"{parts.dry(entry)}{own.opening_of(job)}: {_state(job)}", _LINE)]
    lines.append(f"  {clean(entry.key, _PATH)} · created {stamp(entry.created)} · mode {entry.mode}")
    lines.append(f"  {clean(f'{own.address_of(job)}{_features(job)}', _LINE)}")
    lines += [f"  {title}: {clean(note, _LINE)}" for title, note in notes.items() if note]
    lines += [*_tally_text(job), *_portions_text(job)]
    ending = [*_saving_text(entry), *(clean(f"{title}: {words}", 400) for title, words in _commands(entry))]
    return [*lines, "", *ending] if ending else lines


def _tally_text(job: Job) -> Iterator[str]:
    manner, tally = own.manner_of(job), job.tally
    if tally.objects:
        yield from ("", f"TO {manner.verb.upper()} ({tally.objects:,}): {volume(tally.bytes)}")
        for name, each in sorted(tally.classes.items()):
            yield f"  {clean(name, 60):<9}  {plural(each.objects, manner.noun)}, {volume(each.bytes)}"
    if tally.kept:
        yield from ("", f"NOT TOUCHED ({tally.kept:,}): {volume(tally.kept_bytes)}")


def _portions_text(job: Job) -> Iterator[str]:
    if not job.portions:
        return
    counts = {name: own.total_of(job, name) for name in ("left", "failed", "back", "lost")}
    words = ", ".join(f"{count:,} {'put back' if name == 'back' else name}" for name, count in counts.items() if count)
    yield from ("", f"{own.manner_of(job).done.upper()} ({job.changed:,} of {own.planned_of(job):,}): {volume(job.changed_bytes)}")
    if words:
        yield f"  {words}"
    for reason, names in grouped((each.reason, each.name) for each in own.remainders_of(job)):
        yield f"  {clean(reason, _LINE)} ({len(names):,})"
        yield from (f"    {clean(each, _LINE)}" for each in names)


def _saving_text(entry: Entry) -> Iterator[str]:
    job = own.job_of(entry)
    if job.stage in ("left", "cancelled", "undoing", "undone"):
        return
    at = job.due_at or entry.created
    if job.changed and job.undo_until and job.seen:
        at = job.undo_until - job.seen.soft_delete
    tally = own.changed_of(job) if job.changed else job.tally
    yield from (clean(words, _LINE) for words in own.saving_words(job, tally, at, after=bool(job.changed)))


def _features(job: Job) -> str:
    seen = job.seen
    if seen is None:
        return ""
    kept = f"soft delete for {own.length_of(seen.soft_delete)}" if seen.soft_delete else "no soft delete"
    return f" · {seen.location} · {kept}{' · keeps versions' if seen.versioned else ''}{' · Autoclass' if seen.autoclass else ''}"


def _state(job: Job) -> str:
    words = _STATES[job.stage]
    if job.stage == "done" and job.undo_until:
        words += f", can be undone until {stamp(job.undo_until)}"
    if job.undone_at:
        words += f" at {stamp(job.undone_at)}"
    if job.due_at:
        words += f" until {stamp(job.due_at)}" if job.stage == "waiting" else f", goes on at {stamp(job.due_at)}"
    return f"{words}, {plural(job.attempts + job.tries, 'attempt')}" if job.attempts + job.tries else words


def _commands(entry: Entry) -> Iterator[tuple[str, str]]:
    job = own.job_of(entry)
    if job.stage == "refused":
        yield "To approve", parts.shell("approve", entry)
    if job.stage in CAN_BE_CALLED_OFF:
        yield "To call off", parts.shell("cancel", entry)
    under_way = job.stage == "working"
    if job.stage in UNDOABLE and job.stage != "undone" and job.undo_until and own.comes_back(job):
        yield f"To {'stop and undo' if under_way else 'undo'}, until {stamp(job.undo_until)}", parts.restore_command(entry)
    elif under_way:
        yield "To stop", parts.restore_command(entry)
