"""The paragraphs and the words that messages about objects are made of. Every string from outside passes through `shared.slack.text`. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType

from shared.entry import Entry
from shared.objects.job import Job, Remainder, Tally
from shared.policy.fields import duration_text
from shared.prices_storage import saving
from shared.report import parts
from shared.slack.text import Part, about, clean, code, day, grouped, moment, plural, prose, volume

_RUN = 40
_PATH = 200
_SENTENCE = 700
_CLASSES = 6
_NAMES = 3


@dataclass(frozen=True, slots=True)
class Manner:
    """How to speak of an action on objects.

    Attributes:
        verb: What it does.
        done: What it has done then.
        noun: What it does that to.
        noncurrent: Whether these are noncurrent versions, of which a bucket with versions keeps nothing.
        back: What is special about undoing it.
        unsure: Why it cannot be said what it saves, before it and after it; empty where the bytes that it changes are the bytes that go.
    """

    verb: str
    done: str
    noun: str = "object"
    noncurrent: bool = False
    back: str = ""
    unsure: tuple[str, str] = ("", "")


MANNERS: Mapping[str, Manner] = MappingProxyType(
    {
        "delete_run": Manner("delete", "deleted"),
        "delete_noncurrent": Manner(
            "delete",
            "deleted",
            "noncurrent version",
            noncurrent=True,
            back="A version becomes a noncurrent one again, and only where no object of its name is live.",
        ),
        "compress_objects": Manner(
            "compress",
            "compressed",
            unsure=(
                "How much it saves is not known beforehand: the size is that from before, and it depends on how well the objects compress.",
                "How much it saves is not known here: the size is that from before.",
            ),
        ),
    }
)
"""How to speak of each action on objects; one that only another version of the watchdog knows is spoken of in general words."""
_OTHER = Manner("change", "changed", unsure=("How much it saves is not known.", "How much it saves is not known."))


# the paragraphs


def warning_part(job: Job) -> Iterator[Part]:
    if job.seen and not comes_back(job):
        switch_on = f"gcloud storage buckets update gs://{job.bucket} --soft-delete-duration=7d"
        yield Part(
            title="CANNOT BE UNDONE",
            tail=f"The bucket has no soft delete and the policy says `require_soft_delete: false`: nothing of it can be brought back. "
            f"To be able to undo it, switch soft delete on before then: {code(switch_on, _PATH)}",
        )


def why_part(entry: Entry, title: str = "WHY") -> Iterator[Part]:
    job = job_of(entry)
    sign = job.sign
    yield from parts.spend(entry)
    if sign is None:
        words = f"The policy asks to {prose(task_of(job))}"
    elif job.occasion == "abandoned":
        words = f"It neither succeeded nor was written to since {moment(sign.at)}; what was written last is {code(sign.object, _PATH)}"
    else:
        words = f"{prose(sign.words)} ({code(sign.object, _PATH)}, written {moment(sign.at)})"
    yield Part(title=title, tail=words)


def extent(job: Job) -> Iterator[str]:
    yield f"{amount_of(job)}, in {place_of(job)}"
    classes = sorted(job.tally.classes.items(), key=lambda item: (-item[1].bytes, item[0]))
    if [name for name, _ in classes] not in ([], ["STANDARD"]):
        shown = ", ".join(f"{volume(each.bytes)} {prose(name.replace('_', ' ').capitalize(), 40)}" for name, each in classes[:_CLASSES])
        yield f"Storage classes: {shown}{', …' if len(classes) > _CLASSES else ''}"
    yield kept_of(job)


def kept_of(job: Job) -> str:
    amount = f"{plural(job.tally.kept, 'object')}, {volume(job.tally.kept_bytes)}"
    words = f"Kept: {amount} (`keep` in the policy)" if job.sign else f"Not touched: {amount}"
    return words if job.tally.kept else ""


def saving_part(job: Job, tally: Tally, at: datetime, *, would: bool = False, after: bool = False) -> Iterator[Part]:
    for words in saving_words(job, tally, at, after=after):
        yield Part(title="SAVING", tail=prose(words.replace("Saves", "Would save", 1) if would else words, _SENTENCE))


def saving_words(job: Job, tally: Tally, at: datetime, *, after: bool) -> Iterator[str]:
    """What it saves, not yet made safe; nothing where nobody has looked yet."""
    seen, manner = job.seen, manner_of(job)
    if seen is None or not tally.objects:
        return
    if after and job.made_bytes:
        tally = _without(tally, job.made_bytes, job.changed_bytes)
        yield f"{volume(job.changed_bytes)} became {volume(job.made_bytes)}."
    estimate = saving(tally, seen, at, noncurrent=manner.noncurrent)
    if not manner.unsure[after] or (after and job.made_bytes):
        yield estimate.words
        return
    words = [manner.unsure[after]]
    if stays(job):
        words.append("What was there before stays as noncurrent versions, and is billed as before.")
    elif seen.soft_delete:
        words.append(f"What was there before is billed until {day(at + seen.soft_delete)} (soft delete).")
    if estimate.early:
        words.append(f"The early-deletion charge for it is about {about(estimate.early)} (list price).")
    yield " ".join(words)


def undo_to_come(job: Job, due: datetime) -> Iterator[Part]:
    seen, manner = job.seen, manner_of(job)
    if seen is None or not comes_back(job):
        return
    until = f" until {moment(due + seen.soft_delete)}" if seen.soft_delete else ""
    kept = "An object can be made from the compressed one again."
    if seen.soft_delete:
        kept = f"The bucket keeps what is deleted for {length_of(seen.soft_delete)}, and bills it (soft delete)."
    if stays(job):
        kept = "The bucket keeps what is deleted as noncurrent versions."
    yield Part(title=f"CAN BE UNDONE{until}", tail=as_lines(kept, manner.back))


def undo_part(entry: Entry) -> Iterator[Part]:
    job = job_of(entry)
    under_way = job.stage == "working"
    if job.stage == "undoing" or not (job.changed or job.begun or under_way):
        return
    command = code(parts.restore_command(entry), _PATH)
    if job.undo_until and comes_back(job):
        title = "TO STOP AND UNDO IT" if under_way else "TO UNDO IT"
        yield Part(title=title, tail=as_lines(f"{command}, until {moment(job.undo_until)}", manner_of(job).back))
        return
    if under_way:
        yield Part(title="TO STOP IT", tail=command)
    if job.changed:
        yield Part(title="CANNOT BE UNDONE", tail="The bucket had no soft delete.")


def so_far(job: Job) -> Iterator[Part]:
    manner, whole = manner_of(job), plural(planned_of(job), manner_of(job).noun)
    if job.stage == "undoing":
        yield Part(tail=f"{total_of(job, 'back'):,} of {whole} are put back so far, in {place_of(job)}")
    elif job.changed or job.stage == "working":
        yield Part(tail=f"{job.changed:,} of {whole}, {volume(job.changed_bytes)}, are known to be {manner.done}, in {place_of(job)}")
    else:
        yield Part(tail=f"Nothing was {manner.done} in {place_of(job)}")


def not_changed(job: Job) -> Iterator[Part]:
    done, left, failed = manner_of(job).done, total_of(job, "left"), total_of(job, "failed")
    counts = {"left alone": left, f"could not be {done}, however often it was tried": failed}
    yield from remainder_part(job, f"NOT {done.upper()}", planned_of(job) - job.changed, counts)


def remainder_part(job: Job, title: str, total: int, counts: Mapping[str, int]) -> Iterator[Part]:
    """The objects that were not changed or not put back: by reason as far as the journal names them, and in numbers."""
    if total <= 0:
        return
    named = remainders_of(job)
    groups = grouped((each.reason, each.name.removeprefix(job.prefix)) for each in named)
    lines = tuple(f"• {prose(why) or 'no reason given'} ({len(names):,}): {some_names(names)}" for why, names in groups)
    come_to = sum(counts.values())
    numbers = [f"{count:,} {words}" for words, count in {**counts, "not reached": total - come_to}.items() if count > 0]
    unnamed = come_to - len(named)
    logged = f" Named in the logs alone: {unnamed:,}." if unnamed > 0 else ""
    yield Part(title=f"{title} ({total:,})", lines=lines, tail=f"{', '.join(numbers)}.{logged}")


def paid_twice(job: Job) -> str:
    if stays(job):
        return "The noncurrent versions that they were made from stay too, and are billed."
    ends = f", about {day(job.undo_until)}" if job.undo_until else ""
    return f"The soft-deleted ones stay too, and are billed until the bucket's soft-delete window is over{ends}."


# the words


def job_of(entry: Entry) -> Job:
    if entry.job is None:
        raise TypeError(f"{entry.key} is not about objects")
    return entry.job


def manner_of(job: Job) -> Manner:
    return MANNERS.get(job.action, _OTHER)


def address_of(job: Job) -> str:
    return f"gs://{job.bucket}/{job.prefix}"


def place_of(job: Job) -> str:
    return code(address_of(job), _PATH)


def subject_of(job: Job) -> str:
    """What it is about, for a heading."""
    return clean(address_of(job), 2 * _RUN) if job.occasion == "step" else f"Run {clean(job.run, _RUN)}"


def opening_of(job: Job) -> str:
    """The same with what happened to it."""
    return {"failed": f"{subject_of(job)} failed", "abandoned": f"{subject_of(job)} was abandoned"}.get(job.occasion, subject_of(job))


def task_of(job: Job) -> str:
    """What the policy asks for, not yet made safe."""
    manner, age = manner_of(job), job.params.get("older_than")
    return f"{manner.verb} {manner.noun}s{f' older than {age}' if age else ''} in {address_of(job)}{f' ({job.action})' if manner is _OTHER else ''}"


def amount_of(job: Job) -> str:
    return f"{plural(job.tally.objects, manner_of(job).noun)}, {volume(job.tally.bytes)}"


def planned_of(job: Job) -> int:
    """How many objects there were to change; of what was planned anew only those that were changed before."""
    return sum(portion.changed if portion.superseded else portion.objects for portion in job.portions)


def total_of(job: Job, count: str) -> int:
    return sum(int(getattr(portion, count)) for portion in job.portions)


def remainders_of(job: Job) -> list[Remainder]:
    return [each for portion in job.portions for each in portion.named]


def some_names(names: Sequence[str]) -> str:
    shown = ", ".join(code(each, 100) for each in names[:_NAMES])
    return f"{shown} and {len(names) - _NAMES:,} more" if len(names) > _NAMES else shown


def changed_of(job: Job) -> Tally:
    """The tally of what was changed: where not all was, each storage class's part of it is taken to be as large as its part of the whole."""
    whole, part = job.tally.bytes, job.changed_bytes
    if part >= whole:
        return job.tally
    classes = {
        name: each.but(bytes=each.bytes * part // whole, early={day: size * part // whole for day, size in each.early.items()})
        for name, each in job.tally.classes.items()
    }
    return job.tally.but(classes=classes)


def _without(tally: Tally, made: int, changed: int) -> Tally:
    """The tally of what is no longer there, where something smaller stands in its place."""
    share = max(0, changed - made)
    classes = {
        name: each.but(bytes=each.bytes * share // changed, early={day: size * share // changed for day, size in each.early.items()})
        for name, each in tally.classes.items()
    }
    return tally.but(classes=classes)


def comes_back(job: Job) -> bool:
    """Whether what is changed can be had again: the bucket keeps it, or it is only compressed."""
    seen = job.seen
    return job.action == "compress_objects" or stays(job) or bool(seen and seen.soft_delete)


def stays(job: Job) -> bool:
    """Whether what is changed stays as noncurrent versions."""
    return bool(job.seen and job.seen.versioned) and not manner_of(job).noncurrent


def length_of(window: timedelta) -> str:
    days, rest = divmod(window, timedelta(days=1))
    return duration_text(window) if rest else plural(days, "day")


def as_sentence(text: str) -> str:
    return f"{prose(text.rstrip('.'), _SENTENCE) or 'No reason given'}."


def as_lines(*lines: str) -> str:
    return "\n".join(each for each in lines if each)
