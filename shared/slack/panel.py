"""The buttons below a message: what a person can decide now, and who decided what. Pure.

A button's block names what it is about, ``entry:KEY`` or ``thread:NAME``, and its action_id what is to be done. The journal decides whether that
still is possible; what a message happens to show is no permission.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from shared.brake import NOTICE
from shared.entry import Entry, MessageRecord, TargetRecord
from shared.objects.job import CAN_BE_CALLED_OFF, Job
from shared.slack.conversation import Thread, digest
from shared.slack.text import moment, plain, plural, prose

APPROVE, CANCEL, RESTORE, RESTORE_ONE, HOLD, SHOW = "approve", "cancel", "restore", "restore_one", "hold", "show"
SNOOZE, WAKE, RELEASE = "snooze", "wake", "release"
CHANGES = frozenset({APPROVE, CANCEL, RESTORE, RESTORE_ONE, HOLD, SNOOZE, WAKE, RELEASE})
"""The buttons that only those may press whom the policy names."""
ENTRY, THREAD = "entry:", "thread:"
UNTIL_PERIOD_ENDS = "period"
TERMS: Mapping[str, timedelta | None] = {"4h": timedelta(hours=4), "24h": timedelta(hours=24), UNTIL_PERIOD_ENDS: None}
"""For how long something can be held or kept quiet; None is until the budget's period ends."""
MENU = 100
"""Options of a menu at most: https://docs.slack.dev/reference/block-kit/block-elements/select-menu-element"""

Blocks = tuple[dict[str, Any], ...]
_WORDS = {"4h": "for 4 hours", "24h": "for 24 hours", UNTIL_PERIOD_ENDS: "until the period ends"}


def of_entry(entry: Entry, message: MessageRecord, now: datetime) -> Blocks:
    """What stands below a message of an entry: who decided what, and, below the newest of each channel, what there is to decide."""
    if entry.key.startswith(NOTICE):
        return _of_brake(entry)
    whole = message.panel == "whole"
    newest = is_newest(entry, message)
    notes = [*_decided(entry)] if whole else []
    route = "" if whole else message.channel
    elements = [*(_for_job(entry.job, now) if entry.job else _for_plan(entry, route, whole=whole))] if newest else []
    if newest:
        elements.append(_button(SHOW, "Show the plan"))
    return (*_context(notes), *_actions(f"{ENTRY}{entry.key}", elements))


def is_newest(entry: Entry, message: MessageRecord) -> bool:
    """Whether no later message of the entry bears buttons in the same channel."""
    return [each.id for each in entry.messages if each.panel and each.channel == message.channel][-1:] == [message.id]


def of_thread(thread: Thread, targets: Sequence[TargetRecord], now: datetime, *, route: str = "") -> Blocks:
    """What stands below a headline.

    Args:
        thread: The thread.
        targets: What is parked of it, as far as this channel is told of it.
        now: The time of writing.
        route: The channel of the team whose own these are; empty where they are all that is parked.
    """
    elements = [*_restore(targets, value=route)] if targets else []
    if thread.snoozed(now):
        elements.append(_button(WAKE, "End the snooze"))
    else:
        elements.append(_menu(SNOOZE, "Snooze alerts", [(term, f"Snooze {_WORDS[term]}") for term in TERMS]))
    elements.append(_button(SHOW, "Show the plan"))
    return _actions(f"{THREAD}{thread.name}", elements)


def choice(resource: str) -> str:
    """What a menu calls a resource; names are longer than Slack allows."""
    return digest(resource)


def decides(blocks: Sequence[Mapping[str, Any]]) -> bool:
    """Whether there is anything in a panel to decide."""
    return any(element["action_id"] in CHANGES for block in blocks if block["type"] == "actions" for element in block["elements"])


def parked(entry: Entry, route: str | None) -> list[TargetRecord]:
    """What a person can have put back: of one channel, or of all of them."""
    held = (target for target in entry.parked() if target.status != "restoring")
    return [target for target in held if route is None or target.channel == route]


def _of_brake(entry: Entry) -> Blocks:
    sure = _confirm(
        "Release the brake?",
        "The plan that was held back is carried out within a quarter of an hour, and what else waits as far as the limit allows.",
        "Release",
    )
    return _actions(f"{ENTRY}{entry.key}", [_button(RELEASE, "Release the brake", style="danger", confirm=sure)])


def _for_plan(entry: Entry, route: str, *, whole: bool) -> Iterator[dict[str, Any]]:
    states = {step.state for step in entry.steps}
    if whole and states & {"approval", "refused"}:
        again = "approval" not in states
        sure = _confirm(
            "Try again?" if again else "Approve?", "What the steps select now is changed at once.", "Try again" if again else "Approve"
        )
        yield _button(APPROVE, "Try again" if again else "Approve", style="primary", confirm=sure)
    if whole and states & {"approval", "refused", "waiting"}:
        word = "Reject" if "approval" in states else "Call off"
        sure = _confirm(f"{word}?", "The steps that were not carried out yet do not come again in this period.", word)
        yield _button(CANCEL, word, style="danger", confirm=sure)
    mine = parked(entry, None if whole else route)
    if mine:
        yield from _restore(mine, value=route)
    if mine or states & {"approval", "waiting"}:
        sure = _confirm("Hold?", "What is parked is put back, and nothing of this plan is touched again until then.", "Hold")
        yield _menu(HOLD, "Hold …", [(term, f"Put back, and hold {_WORDS[term]}") for term in TERMS], confirm=sure)


def _restore(targets: Sequence[TargetRecord], *, value: str) -> Iterator[dict[str, Any]]:
    count = len(targets)
    sure = _confirm("Put back?", f"{plural(count, 'resource')} will run and cost again as before.", "Put back")
    yield _button(RESTORE, "Restore all" if count > 1 else f"Restore {plain(targets[0].short_name, 50)}", value=value, confirm=sure)
    if count > 1:
        options = [(choice(target.resource), f"{plain(target.short_name, 45)} · {plain(target.place.region, 25)}") for target in targets]
        yield _menu(RESTORE_ONE, "Restore one …", sorted(options, key=lambda each: each[1])[:MENU])


def _for_job(job: Job, now: datetime) -> Iterator[dict[str, Any]]:
    if job.stage == "refused":
        sure = _confirm("Go on all the same?", "A limit of the policy refused it. It is looked at again, and then carried out.", "Go on")
        yield _button(APPROVE, "Approve", style="primary", confirm=sure)
    if job.stage in CAN_BE_CALLED_OFF:
        word = "Reject" if job.stage == "refused" else "Call off"
        yield _button(CANCEL, word, style="danger", confirm=_confirm(f"{word}?", "Nothing is changed.", word))
    elif job.stage == "working" or (job.stage == "done" and job.begun and job.undo_until and job.undo_until > now):
        word = "Stop, and undo" if job.stage == "working" else "Undo"
        sure = _confirm(f"{word}?", "What was changed is put back, as far as the bucket still keeps it.", word)
        yield _button(RESTORE, word, style="danger" if job.stage == "working" else "", confirm=sure)


def _decided(entry: Entry) -> Iterator[str]:
    """Who decided what and when, each once."""
    job = entry.job
    said: list[tuple[str, str, datetime | None]] = []
    said += [
        ("Called off" if step.state == "cancelled" else "Approved", step.decided_by, step.decided_at)
        for step in entry.steps
        if step.decided_by and not entry.undo
    ]
    if entry.undo and not job:
        said.append(("To be put back" if entry.parked() else "Put back", entry.undo.by, entry.undo.at))
    if job and job.approved_by:
        said.append(("Approved", job.approved_by, None if job.decided_by else job.decided_at))
    if job and job.decided_by:
        said.append(("Undo asked for" if job.stage in ("undoing", "undone") else "Called off", job.decided_by, job.decided_at))
    for what, who, when in dict.fromkeys(said):
        yield f"{what} by {prose(who, 100)}{f', {moment(when)}' if when else ''}"


def _context(notes: Sequence[str]) -> Blocks:
    if not notes:
        return ()
    return ({"type": "context", "elements": [{"type": "mrkdwn", "text": "\n".join(notes), "verbatim": True}]},)


def _actions(about: str, elements: Sequence[dict[str, Any]]) -> Blocks:
    return ({"type": "actions", "block_id": about, "elements": [*elements]},) if elements else ()


def _button(name: str, words: str, *, value: str = "", style: str = "", confirm: dict[str, Any] | None = None) -> dict[str, Any]:
    button: dict[str, Any] = {"type": "button", "action_id": name, "text": _plain(words)}
    button |= {"value": value} if value else {}
    button |= {"style": style} if style else {}
    return button | ({"confirm": confirm} if confirm else {})


def _menu(name: str, words: str, options: Sequence[tuple[str, str]], confirm: dict[str, Any] | None = None) -> dict[str, Any]:
    listed = [{"text": _plain(text), "value": value} for value, text in options]
    menu: dict[str, Any] = {"type": "static_select", "action_id": name, "placeholder": _plain(words), "options": listed}
    return menu | ({"confirm": confirm} if confirm else {})


def _confirm(title: str, text: str, word: str) -> dict[str, Any]:
    return {"title": _plain(title), "text": _plain(text), "confirm": _plain(word), "deny": _plain("Leave it")}


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text}
