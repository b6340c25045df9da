"""Messages on their way to Slack: written to the entry first, sent afterwards, marked when sent; an outage only delays them.

While a channel cannot be reached nothing is sent to it but one message now and then, to find out; what was kept meanwhile is sorted out by the tick.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Literal

from shared.entry import MessageRecord, backoff
from shared.errors import CloudError, Conflict, Gone, JournalError, Refused, Unavailable
from shared.policy.policy import Policy
from shared.ports import Messenger, Posted, World
from shared.report.letter import Letter
from shared.session import Session
from shared.slack import panel
from shared.slack.conversation import digest, thread_name
from shared.slack.outages import Outages
from shared.slack.threads import Threads

log = logging.getLogger(__name__)

CLOCKS_DIFFER = timedelta(minutes=5)
SOON = timedelta(seconds=5)
OTHERS_MAY_SEND_FOR = timedelta(minutes=3)
"""How long a process without Slack leaves a message to those that have it: the function of the tick has, where any has, and a terminal or `storage_event` has not."""


def write(
    session: Session, letter: Letter, channel: str, now: datetime, *, panel: Literal["", "whole", "part"] = "", broadcast: bool = False
) -> None:
    """Put a letter into the outbox; it is sent once the entry is saved.

    Args:
        session: The entry.
        letter: What is said.
        channel: Where.
        now: The time of writing.
        panel: Which buttons it bears: none, those of the whole entry, or those for what this channel is told of.
        broadcast: Whether it needs a person, and so is shown in the channel even where it is an answer in a thread.
    """
    entry = session.entry
    message = MessageRecord(
        id=f"{entry.key}/{len(entry.messages) + 1}", channel=channel, text=letter.text, blocks=letter.blocks, created=now, panel=panel, broadcast=broadcast,
        thread=thread_name(entry.notification) if entry.notification else "",
    )  # fmt: skip
    session.fresh_messages.add(message.id)
    session.put(entry.but(messages=(*entry.messages, message)))


@dataclass(frozen=True, slots=True)
class Outbox:
    """What it takes to deliver an entry's messages.

    Attributes:
        world: The ports.
        policy: The policy in force.
        session: The entry.
    """

    world: World
    policy: Policy
    session: Session

    @property
    def threads(self) -> Threads:
        """Where the headlines stand."""
        return Threads(self.world, self.policy, self.session.owner)

    def deliver(self) -> None:
        """Send what is due, in order, and bring what was sent before up to date; what cannot be done now stays, with the time to try again."""
        said = self._send_all()
        overdue = self.session.entry.shown_at
        if said or (overdue and overdue <= self.world.clock.now()) or self._outdated():
            self._bring_up_to_date()

    # new messages

    def _send_all(self) -> bool:
        said = False
        for message in self.session.entry.messages:
            now = self.world.clock.now()
            if message.sent_at is not None or (message.not_before and message.not_before > now):
                continue
            sent = self._send(message)
            self.session.fresh_messages.discard(message.id)
            self._put(sent)
            self.session.save()
            said = said or sent.posted is not None
        return said

    def _send(self, message: MessageRecord) -> MessageRecord:
        now, messenger, labels = self.world.clock.now(), self.world.messenger, {"labels": {"message": message.id}}
        if messenger is None and now < message.created + OTHERS_MAY_SEND_FOR:
            return message.but(not_before=now + SOON)
        if messenger is None or (messenger.talks_back and not message.channel):
            log.warning("Slack is not set up, so this message goes to the log alone: %s", message.text, extra=labels)
            return _short(message).but(sent_at=now)
        outages = Outages(self.world)
        outage = outages.of(message.channel)
        if outage and (later := outages.until(outage)):
            return message.but(not_before=later)
        addressed = self._addressed(message)
        try:
            posted, shown = self._post(messenger, addressed)
        except Conflict as conflict:
            log.info("%s: %s; it is sent in a moment", message.id, conflict, extra=labels)
            return message.but(not_before=now + SOON)
        except Gone as error:
            log.info("%s: what it answers was deleted, so it is sent anew: %s", message.id, error, extra=labels)
            self._forget_parent(addressed)
            return message.but(attempts=message.attempts + 1, not_before=now)
        except Unavailable as error:
            wait = max(backoff(message.attempts + 1), timedelta(seconds=error.retry_after or 0))
            log.warning("Slack did not take the message and will be asked again in %s: %s", wait, error, extra=labels)
            outages.failed(message.channel, error, now + wait)
            return message.but(attempts=message.attempts + 1, not_before=now + wait, error=str(error))
        except Refused as error:
            wait = backoff(message.attempts + 1, first=timedelta(minutes=5))
            log.error("Slack refuses the message; it is kept and tried again in %s: %s", wait, error, extra=labels)  # noqa: TRY400  # no stack is needed
            return message.but(attempts=message.attempts + 1, not_before=now + wait, error=str(error))
        except CloudError as error:
            wait = backoff(message.attempts + 1, first=timedelta(minutes=5))
            log.error("Slack does not let the message in; it is kept and tried again in %s: %s", wait, error, extra=labels)  # noqa: TRY400  # no stack is needed
            outages.failed(message.channel, error, now + wait)
            return message.but(attempts=message.attempts + 1, not_before=now + wait, error=str(error))
        if outage:
            outages.arrived(message.channel, outage)
        # What bears buttons is written anew when they change; of anything else the journal keeps the first line alone, so that an entry does not grow.
        kept = addressed if message.panel and messenger.talks_back else _short(addressed)
        return kept.but(sent_at=self.world.clock.now(), posted=(posted.channel, posted.ts), error="", shown=shown)

    def _addressed(self, message: MessageRecord) -> MessageRecord:
        """The same to the policy's channel, where the policy does not name its own any more: a channel that is not there is mended so."""
        rules = self.policy.slack
        if not rules.channel or message.channel in rules.channels:
            return message
        return message.but(channel=rules.channel, panel="whole" if message.panel else "")

    def _post(self, messenger: Messenger, message: MessageRecord) -> tuple[Posted, str]:
        fresh = message.id in self.session.fresh_messages
        buttons = panel.of_entry(self.session.entry, message, self.world.clock.now()) if message.panel and messenger.talks_back else ()
        parent = self._parent(messenger, message)
        thread = parent.ts if parent else ""
        where = parent.channel if parent else message.channel
        if not fresh:
            posted = messenger.find(where, message.id, since=message.created - CLOCKS_DIFFER, thread=thread)
            if posted:
                return posted, ""
        broadcast = bool(thread) and message.broadcast and not self._snoozed(message)

        def post(blocks: Sequence[Mapping[str, Any]]) -> Posted:
            return messenger.post(where, message.text, blocks, reference=message.id, thread=thread, broadcast=broadcast)

        blocks = (*message.blocks, *buttons)
        if not self.session.may_write():
            self.session.save()  # whoever took the entry over meanwhile sends it
        try:
            return post(blocks), digest(str(buttons))
        except Refused as error:
            if not blocks:
                raise
            log.error(  # noqa: TRY400  # no stack is needed
                "Slack refuses the message's blocks, so it is sent as plain text: %s", error, extra={"labels": {"message": message.id}}
            )
            return post(()), digest(str(buttons))

    def _snoozed(self, message: MessageRecord) -> bool:
        try:
            return bool(message.thread) and self.threads.snoozed(message.thread)
        except CloudError as error:  # the journal's, and so no reason to take Slack to be out
            raise Conflict(f"whether it is snoozed is not known now: {error}", resource=message.thread) from error

    def _parent(self, messenger: Messenger, message: MessageRecord) -> Posted | None:
        """What the message answers: its budget's headline, or the first message of its own entry; None where it stands by itself."""
        if not messenger.talks_back:
            return None
        if message.thread:
            try:
                return self.threads.place(messenger, self.session.entry, message.thread, message.channel)
            except JournalError as error:
                log.error(  # noqa: TRY400  # no stack is needed
                    "the message stands by itself, since its thread is not known: %s", error, extra={"labels": {"message": message.id}}
                )
                return None
        earlier = (each for each in self.session.entry.messages if each.channel == message.channel and each.posted and each.posted[1])
        first = next((each.posted for each in earlier), None)
        return Posted(*first) if first else None

    def _forget_parent(self, message: MessageRecord) -> None:
        if message.thread:
            self.threads.forget(message.thread, message.channel)
        else:
            for each in self.session.entry.messages:
                if each.channel == message.channel and each.posted:
                    self._put(each.but(posted=None))

    # what was sent before

    def _outdated(self) -> bool:
        now = self.world.clock.now()
        return any(digest(str(panel.of_entry(self.session.entry, message, now))) != message.shown for message in self._with_buttons())

    def _with_buttons(self) -> list[MessageRecord]:
        talks_back = self.world.messenger is not None and self.world.messenger.talks_back
        return [message for message in self.session.entry.messages if message.panel and message.sent_at and message.posted and talks_back]

    def _bring_up_to_date(self) -> None:
        """Have buttons give way to what was decided, and the budget's headline say how it stands now."""
        entry, now = self.session.entry, self.world.clock.now()
        later = None
        works = [partial(self._redraw, message) for message in self._with_buttons()]
        works += [
            partial(self.threads.refresh, name, fresh=entry) for name in sorted({message.thread for message in entry.messages} - {""})
        ]
        for work in works:  # one channel that is not to be had keeps no other from being shown
            try:
                work()
            except JournalError as error:
                log.error("%s: its headline is left as it is: %s", entry.key, error)  # noqa: TRY400  # the sentence says it all
            except CloudError as error:
                patience = timedelta(seconds=(error.retry_after or 0) if isinstance(error, Unavailable) else 0)
                log.warning("%s: what Slack shows of it could not be brought up to date, and is at the next tick: %s", entry.key, error)
                later = max(later or now, now + max(backoff(1), patience))
        self.session.put(self.session.entry.but(shown_at=later))
        if self.session.entry != entry:
            self.session.save()

    def _redraw(self, message: MessageRecord) -> None:
        messenger, entry = self.world.messenger, self.session.entry
        buttons = panel.of_entry(entry, message, self.world.clock.now())
        shown = digest(str(buttons))
        if shown == message.shown or messenger is None or message.posted is None:
            return
        try:
            messenger.update(Posted(*message.posted), message.text, (*message.blocks, *buttons))
        except Gone:
            self._put(_short(message).but(panel=""))
            return
        except Refused as error:
            log.error("Slack refuses the message's buttons: %s", error, extra={"labels": {"message": message.id}})  # noqa: TRY400  # no stack is needed
        self._put(message.but(shown=shown) if panel.is_newest(entry, message) else _short(message).but(panel="", shown=shown))

    def _put(self, changed: MessageRecord) -> None:
        entry = self.session.entry
        self.session.put(entry.but(messages=tuple(changed if each.id == changed.id else each for each in entry.messages)))


def _short(message: MessageRecord) -> MessageRecord:
    """What is sent stands in Slack; the journal keeps its first line alone."""
    return message.but(text=message.text.split("\n", 1)[0], blocks=())
