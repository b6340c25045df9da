"""Messages on their way to Slack: written to the entry first, sent afterwards, marked when sent; an outage only delays them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from shared.entry import MessageRecord, backoff
from shared.errors import CloudError, Refused, Unavailable
from shared.letter import Letter
from shared.ports import Messenger, Posted, World
from shared.session import Session

log = logging.getLogger(__name__)

CLOCKS_DIFFER = timedelta(minutes=5)


def write(session: Session, letter: Letter, channel: str, now: datetime) -> None:
    """Put a letter into the outbox; it is sent once the entry is saved."""
    entry = session.entry
    message = MessageRecord(
        id=f"{entry.key}/{len(entry.messages) + 1}", channel=channel, text=letter.text, blocks=letter.blocks, created=now
    )
    session.fresh_messages.add(message.id)
    session.put(entry.but(messages=(*entry.messages, message)))


def deliver(session: Session, world: World) -> None:
    """Send what is due, in order; what cannot be sent now stays, with the time to try again."""
    now = world.clock.now()
    for message in session.entry.messages:
        if message.sent_at is not None or (message.not_before and message.not_before > now):
            continue
        sent = _send(message, world, fresh=message.id in session.fresh_messages)
        session.fresh_messages.discard(message.id)
        session.put(session.entry.but(messages=tuple(sent if each.id == sent.id else each for each in session.entry.messages)))
        session.save()


def _send(message: MessageRecord, world: World, *, fresh: bool) -> MessageRecord:
    now = world.clock.now()
    labels = {"labels": {"message": message.id}}
    if world.messenger is None or not message.channel:
        log.warning("Slack is not set up, so this message goes to the log alone: %s", message.text, extra=labels)
        return _short(message).but(sent_at=now)
    try:
        posted = None if fresh else world.messenger.find(message.channel, message.id, since=message.created - CLOCKS_DIFFER)
        posted = posted or _post(message, world.messenger)
    except Unavailable as error:
        wait = max(backoff(message.attempts + 1), timedelta(seconds=error.retry_after or 0))
        log.warning("Slack did not take the message and will be asked again in %s: %s", wait, error, extra=labels)
        return message.but(attempts=message.attempts + 1, not_before=now + wait, error=str(error))
    except CloudError as error:
        wait = backoff(message.attempts + 1, first=timedelta(minutes=5))
        log.error("Slack refuses the message; it is kept and tried again in %s: %s", wait, error, extra=labels)  # noqa: TRY400  # no stack is needed
        return message.but(attempts=message.attempts + 1, not_before=now + wait, error=str(error))
    return _short(message).but(sent_at=world.clock.now(), posted=(posted.channel, posted.ts), error="")


def _short(message: MessageRecord) -> MessageRecord:
    """What is sent stands in Slack; the journal keeps its first line alone, so that an entry does not grow with each message."""
    return message.but(text=message.text.split("\n", 1)[0], blocks=())


def _post(message: MessageRecord, messenger: Messenger) -> Posted:
    blocks: Sequence[dict[str, Any]] = message.blocks
    try:
        return messenger.post(message.channel, message.text, blocks, reference=message.id)
    except Refused as error:
        if not blocks:
            raise
        log.error("Slack refuses the message's blocks, so it is sent as plain text: %s", error, extra={"labels": {"message": message.id}})  # noqa: TRY400  # no stack is needed
        return messenger.post(message.channel, message.text, (), reference=message.id)
