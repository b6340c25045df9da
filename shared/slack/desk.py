"""What people ask for in Slack: recorded when it comes, done once, and answered to whoever asked.

A request is an object of the journal from the moment it came, so none is lost with a worker, and one that comes again is known.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared import report
from shared.burn import month_end
from shared.by_hand import ByHand
from shared.entry import Entry, backoff
from shared.errors import CloudError, Conflict, Gone, JournalError, Refused, Unavailable, WatchdogError
from shared.journal import Journal
from shared.ports import Messenger
from shared.report import jobs as report_jobs
from shared.report.brake import GOES_ON
from shared.report.status import status
from shared.slack import panel
from shared.slack.command import CHANGING, HELP, BadCommandError, Command, understood
from shared.slack.conversation import TOO_LATE, Request
from shared.slack.panel import CHANGES, ENTRY, SHOW, TERMS, THREAD, UNTIL_PERIOD_ENDS
from shared.slack.text import clean, code, plural, prose, stamp, verbatim
from shared.watchdog import Outcome, Watchdog

log = logging.getLogger(__name__)

ANSWERABLE = timedelta(minutes=30)
"""For so long Slack takes answers at the address that came with a request."""
SPARE = timedelta(minutes=1)
"""Beyond its time budget a worker has a request to itself for so long; by then the platform has ended it, whatever it was doing."""
GIVE_UP = timedelta(hours=24)
"""After so long nobody waits for an answer any more; what was asked for was done or not, as the entry's own messages say."""

_SAID = {
    "busy": "It is recorded; somebody works on it now, and it is carried on within about two minutes.",
    "carried on": "It is done as far as it goes now.",
    "closed": "It is done, and nothing of it is left to do.",
    "unfinished": "It has begun; the rest goes on by itself.",
}


class NotDone(Exception):
    """What was asked for is not done; the sentence, safe for Slack, says why."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What it takes to do what people ask for.

    Attributes:
        watchdog: Who does it.
        audit: Makes an audit, and gives its summary.
        plan: Says what would happen at a spend, line by line.
    """

    watchdog: Watchdog
    audit: Callable[[], str]
    plan: Callable[[Command], Sequence[str]]

    @property
    def journal(self) -> Journal:
        """The journal in the state bucket."""
        return self.watchdog.journal

    def sweep(self) -> None:
        """Do what is left over, and forget what cannot come again; nothing that fails stops the rest."""
        try:
            due = self.journal.requests(self._now())
        except CloudError as error:
            log.warning("what people asked for in Slack could not be looked at, and is at the next tick: %s", error)
            return
        for key, still_open in due:
            try:
                self._sweep(key, still_open=still_open)
            except Conflict as conflict:
                log.info("%s: somebody else works on it: %s", key, conflict)
            except CloudError as error:
                log.warning("request %s could not be answered, and is at the next tick: %s", key, error)
            except Exception:  # a fault in one request, or in our own code for it, must not keep the others waiting
                log.exception(
                    "request %s could not be answered because of a fault in the watchdog; it is tried again at the next tick", key
                )

    def _sweep(self, key: str, *, still_open: bool) -> None:
        try:
            if still_open:
                self.answer(key)
            else:
                self.journal.forget_request(key)
        except JournalError as error:
            self.watchdog.unreadable(error)

    def answer(self, key: str) -> None:
        """Do what was asked for, if that is still to be done, and tell the person.

        Raises:
            CloudError: The journal does not answer; the request can be answered again.
            JournalError: The request cannot be read.
        """
        kept, now = self.journal.request(key), self._now()
        if kept is None or not kept.record.open:
            return
        if kept.record.taken_at and now - kept.record.taken_at < self.watchdog.time_budget + SPARE:
            return
        kept = self.journal.save_request(kept, kept.record.but(taken_at=now))
        if kept.record.state == "new":
            said = self._done(kept.record)
            kept = self.journal.save_request(kept, kept.record.but(state="done", said=said))
        self.journal.save_request(kept, self._told(kept.record))

    def _now(self) -> datetime:
        return self.watchdog.world.clock.now()

    # doing it

    def _done(self, request: Request) -> str:
        """Do it; the answer is what is told to the person."""
        if self._now() - request.came > TOO_LATE:
            return "Nothing was done, since that was asked too long ago. Ask again if it is still wanted."
        extra = {"labels": {"request": request.key, "user": request.user, "what": clean(request.what, 80)}}
        try:
            said = self._press(request) if request.kind == "press" else self._typed(request)
        except NotDone as refusal:
            log.info("not done for %s: %s", request.by, refusal, extra=extra)
            return str(refusal)
        except Gone as error:
            log.info("not done for %s: %s", request.by, error, extra=extra)
            return f"Nothing was done: {prose(str(error), 1000)}"
        except WatchdogError as error:
            log.warning("not done for %s: %s", request.by, error, extra=extra)
            return f"That could not be done: {prose(str(error), 1000)}"
        log.info("done for %s: %s", request.by, clean(f"{request.what} {request.about} {request.value}", 300), extra=extra)
        return said

    def _press(self, request: Request) -> str:
        if request.what in CHANGES:
            self._raise_unless_allowed(request)
        if request.what not in {*CHANGES, SHOW}:
            raise NotDone("This watchdog does not know that button; perhaps another version posted the message.")
        if request.about.startswith(THREAD):
            return self._for_thread(request, request.about.removeprefix(THREAD))
        return self._for_entry(request, request.about.removeprefix(ENTRY))

    def _for_entry(self, request: Request, key: str) -> str:
        by_hand = ByHand(self.watchdog, request.by)
        entry = by_hand.entry(key)
        match request.what:
            case panel.APPROVE:
                return f"Approved. {_said([by_hand.approve(key)])}"
            case panel.CANCEL:
                return f"Called off. {_said([by_hand.cancel(key)])}"
            case panel.RESTORE if request.value:
                return self._put_back(by_hand, [entry], request.value)
            case panel.RESTORE:
                return f"It is to be put back. {_said(by_hand.restore_entry(key))}"
            case panel.RESTORE_ONE:
                return self._put_one_back(by_hand, [entry], request.value)
            case panel.HOLD:
                return self._hold(by_hand, entry, request)
            case panel.SHOW:
                return _shown([entry])
            case panel.RELEASE:
                return self._release(by_hand, key)
        raise NotDone("That button does not belong to this message.")

    def _for_thread(self, request: Request, name: str) -> str:
        by_hand, threads = ByHand(self.watchdog, request.by), self.watchdog.threads
        match request.what:
            case panel.RESTORE:
                return self._put_back(by_hand, threads.entries(name), request.value)
            case panel.RESTORE_ONE:
                return self._put_one_back(by_hand, threads.entries(name), request.value)
            case panel.SNOOZE:
                until = self._until(request, threads.period_start(name))
                threads.change(name, lambda thread: thread.but(snoozed_until=until, snoozed_by=request.by))
                return f"Snoozed until {stamp(until)}: the thread goes on, and nothing of it is shown in the channel."
            case panel.WAKE:
                threads.change(name, lambda thread: thread.but(snoozed_until=None, snoozed_by=""))
                return "The snooze has ended."
            case panel.SHOW:
                return _shown(threads.entries(name))
        raise NotDone("That button does not belong to this message.")

    def _put_back(self, by_hand: ByHand, entries: Sequence[Entry], route: str) -> str:
        resources = frozenset(target.resource for entry in entries for target in panel.parked(entry, route or None))
        if not resources:
            if any(target.status == "restoring" and route in ("", target.channel) for entry in entries for target in entry.parked()):
                raise NotDone("It is being put back already; what is left of it goes on by itself.")
            raise NotDone("Nothing was done: nothing of it is parked any more.")
        outcomes = by_hand.restore_resources(entries, resources)
        return f"{plural(len(resources), 'resource')} to be put back. {_said(outcomes)}"

    def _put_one_back(self, by_hand: ByHand, entries: Sequence[Entry], choice: str) -> str:
        meant = [target for entry in entries for target in panel.parked(entry, None) if panel.choice(target.resource) == choice]
        if not meant:
            raise NotDone("Nothing was done: that is not parked any more.")
        return f"{code(meant[0].short_name)} is to be put back. {_said(by_hand.restore_resource(meant[0].resource))}"

    def _hold(self, by_hand: ByHand, entry: Entry, request: Request) -> str:
        if entry.notification is None:
            raise NotDone("That button does not belong to this message.")
        until = self._until(request, entry.notification.period_start)
        targets = [*panel.parked(entry, None), *self.watchdog.worker.would_change(entry)]
        names = sorted({target.resource for target in targets if self._is_told_there(request, entry, target.channel)})
        if not names:
            raise NotDone("Nothing was done: there is nothing that it would touch now.")
        by_hand.hold_at_least(names, until)
        parked = frozenset(target.resource for target in panel.parked(entry, None)) & {*names}
        outcomes = by_hand.restore_resources([entry], parked) if parked else []
        shown = ", ".join(code(name.rsplit("/", 1)[-1]) for name in names[:10])
        more = f" and {len(names) - 10:,} more" if len(names) > 10 else ""
        return f"Held until {stamp(until)} at least: {shown}{more}. {_said(outcomes) if outcomes else ''}".rstrip()

    def _is_told_there(self, request: Request, entry: Entry, channel: str) -> bool:
        """Whether what is told in this channel is meant by a button of that message: a team's buttons mean what is the team's own."""
        team = next(
            (each.channel for each in entry.messages if each.panel == "part" and each.posted and each.posted[0] == request.channel), None
        )
        return team is None or channel == team

    def _until(self, request: Request, period_start: datetime) -> datetime:
        if request.value not in TERMS:
            raise NotDone("Nothing was done: that is no time which this watchdog knows.")
        term = TERMS[request.value]
        end = self._now() + term if term else month_end(period_start)
        if end is None or end <= self._now():
            raise NotDone(f"Nothing was done: when this budget's period ends is not known ({UNTIL_PERIOD_ENDS}). Choose some hours.")
        return end

    def _typed(self, request: Request) -> str:
        try:
            command = understood(request.what, self._now())
        except BadCommandError as error:
            raise NotDone(f"{error}\n{HELP}") from error
        if command.verb in CHANGING:
            self._raise_unless_allowed(request)
        by_hand = ByHand(self.watchdog, request.by)
        match command.verb:
            case "status":
                return self._status()
            case "plan":
                return verbatim(self.plan(command))
            case "audit":
                return self.audit()
            case "restore":
                return self._restore(by_hand, command.name)
            case "hold":
                return self._hold_one(by_hand, command)
            case "release":
                return self._release(by_hand)
            case _:
                return HELP

    def _restore(self, by_hand: ByHand, name: str) -> str:
        if name == "all":
            outcomes = by_hand.restore_all()
            return (
                f"Everything is to be put back, and what was to come is called off. {_said(outcomes)}" if outcomes else "Nothing is parked."
            )
        try:
            outcomes = by_hand.restore_resource(name)
        except Gone:
            if not _is_key(name):
                raise
            outcomes = by_hand.restore_entry(name)
        return f"{code(name)} is to be put back. {_said(outcomes)}"

    def _release(self, by_hand: ByHand, notice_key: str = "") -> str:
        by_hand.release(notice_key)
        return f"The brake is released. {GOES_ON}"

    def _hold_one(self, by_hand: ByHand, command: Command) -> str:
        now, until = self._now(), command.until or self._now()
        by_hand.hold(command.name, until)
        if until <= now:
            return f"{code(command.name)} is no longer held."
        unknown = "" if by_hand.sees(command.name) else " Nothing of this name is seen in the policy's projects and regions; is it right?"
        parked = any(
            command.name in (target.resource, target.short_name) for entry in by_hand.survey().entries for target in entry.parked()
        )
        still = f" It is parked now; `/cost-watchdog restore {clean(command.name, 60)}` puts it back." if parked else ""
        return f"{code(command.name)} is not touched until {stamp(until)}.{still}{unknown}"

    def _status(self) -> str:
        survey, delivery = self.journal.survey(""), self.journal.delivery()
        budgets = [kept.record for voice in self.journal.voices() if (kept := self.journal.budget(voice.account, voice.budget))]
        outages = sorted(delivery.record.outages.items()) if delivery else []
        brake = self.journal.brake()
        stops = brake.record.stops if brake else ()
        return status(
            budgets, survey.entries, self.journal.holds().record, outages, stops=stops, unread=len(survey.faults), now=self._now()
        )

    # who may

    def _raise_unless_allowed(self, request: Request) -> None:
        """Raise where the person may change nothing.

        Raises:
            NotDone: Who may is in the policy.
        """
        rules = self.watchdog.policy.slack
        if not rules.approvers:
            channels = {rules.channel, *(channel for each in rules.routes.values() for channel in each.values())}
            if request.kind == "command" and not {request.channel, f"#{request.channel_name}"} & channels:
                raise NotDone("Nothing was done: ask for that in a channel that the watchdog writes to, where others see what comes of it.")
            return
        users = {each for each in rules.approvers if not each.startswith("S")}
        if request.user in users:
            return
        unknown = []
        for group in sorted({*rules.approvers} - users):
            try:
                if request.user in self._messenger().members(group):
                    return
            except CloudError as error:
                log.warning("who is in the user group %s is not known, so nobody is taken to be: %s", group, error)
                unknown.append(group)
        said = "Nothing was done: that is for those whom `slack.approvers` names in the policy."
        if unknown:
            said += f" Who is in {', '.join(code(each) for each in unknown)} could not be seen; is the scope `usergroups:read` given to the app?"
        raise NotDone(said)

    def _messenger(self) -> Messenger:
        messenger = self.watchdog.world.messenger
        if messenger is None:
            raise Refused("Slack is not set up: set SLACK_BOT_TOKEN")
        return messenger

    # telling

    def _told(self, request: Request) -> Request:
        """Tell the person; by what address came with the request, and where that takes nothing any more, in the channel."""
        now, answered = self._now(), request.but(state="answered", address="")
        if now - request.came > GIVE_UP:
            log.warning("request %s is not answered: nobody waits for that any more", request.key)
            return answered
        try:
            messenger = self._messenger()
            if request.address and now - request.came < ANSWERABLE:
                try:
                    messenger.answer(request.address, request.said)
                except (Gone, Refused) as error:
                    log.info("request %s cannot be answered where Slack said, so it is in the channel: %s", request.key, error)
                else:
                    return answered
            messenger.whisper(request.channel, request.user, request.said)
        except Unavailable as error:
            wait = max(backoff(request.attempts + 1), timedelta(seconds=error.retry_after or 0))
            log.warning("request %s is answered in %s: %s", request.key, wait, error)
            return request.but(taken_at=None, attempts=request.attempts + 1, not_before=now + wait)
        except CloudError as error:
            log.error("request %s cannot be answered: %s", request.key, error)  # noqa: TRY400  # no stack is needed
        return answered


def _said(outcomes: Iterable[Outcome]) -> str:
    """What became of it, the least finished first."""
    found = {outcome.what for outcome in outcomes}
    return next((_SAID[what] for what in ("busy", "unfinished", "carried on", "closed") if what in found), "")


def _shown(entries: Sequence[Entry]) -> str:
    if not entries:
        raise NotDone("There is no plan yet.")
    lines = [
        line for entry in entries for line in (*(report_jobs.job_text(entry) if entry.job else report.outcome_text(entry).split("\n")), "")
    ]
    return verbatim(lines[:-1], more=f"(python -m functions show {entries[-1].key})")


def _is_key(name: str) -> bool:
    return name.replace("-", "").replace("_", "").replace(".", "").isalnum() and len(name) <= 200
