"""What each trigger does: decode, call, acknowledge. Returning acknowledges the message and raising has it delivered again; nothing else counts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cloudevents.http import CloudEvent

from functions import wiring
from shared import events
from shared.errors import CloudError, Conflict, EventRejected, JournalError, Unavailable

if TYPE_CHECKING:
    from shared.watchdog import Outcome, Watchdog

log = logging.getLogger(__name__)


def budget_alert(event: CloudEvent) -> None:
    """Answer one budget notification."""
    _settle(lambda watchdog: _said(watchdog.respond(events.budget_notification(event.get_attributes(), event.get_data()))))


def task(event: CloudEvent) -> None:
    """Answer one message of the tasks topic."""
    try:
        asked = events.task(event.get_data())
    except EventRejected as error:
        rejection = error
        _settle(lambda watchdog: watchdog.reject(rejection))
        return

    def answer(watchdog: Watchdog) -> None:
        if asked["task"] == "slack":
            from functions.slack_desk import desk  # only who answers people needs it

            desk().answer(asked["request"])
        elif asked["task"] == "tick":
            _said(watchdog.tick())
            _sweep(watchdog)
        else:
            _said([watchdog.resume(_digest(watchdog) if asked["task"] == "digest" else asked["entry"])])

    _settle(answer, told_again=asked["task"] != "digest")


def storage_event(event: CloudEvent) -> None:
    """Notice a sign that a run has failed; an object that is no sign costs no more than a look at its name."""
    kind, data = event["type"], event.get_data()
    try:
        named = events.object_named(kind, data)
    except EventRejected as error:
        rejection = error
        _settle(lambda watchdog: watchdog.reject(rejection))
        return
    suspects = wiring.suspects(*named) if named else ()
    if not suspects:
        return

    def answer(watchdog: Watchdog) -> None:
        written = events.object_written(kind, data)
        outcomes = [watchdog.notice(written, suspect) for suspect in suspects]
        signs = [outcome for outcome in outcomes if outcome.what != "no sign"]
        if signs:
            _said(signs)

    _settle(answer, told_again=False)


def _sweep(watchdog: Watchdog) -> None:
    """Sort out what was kept while Slack could not be reached, and what people asked for there."""
    from functions.slack_desk import desk
    from shared.slack.backlog import Backlog

    desk().sweep()
    Backlog(watchdog).sort_out()


def _digest(watchdog: Watchdog) -> str:
    """Write the week's digest, and name its entry, which may be there already and still be to send."""
    # All that an audit needs is loaded by the one message a week that needs it.
    from shared.audit.audit import Question, audit
    from shared.audit.report import Report
    from shared.digest import Digest

    def audited() -> Report:
        sight = wiring.sight(wiring.settings())
        return audit(sight, watchdog.policy, Question(), project=watchdog.project, service=watchdog.service)

    return Digest(watchdog.world, watchdog.policy, audited, watchdog.say_once).write()


def _said(outcomes: Sequence[Outcome]) -> None:
    log.info("done: %s", ", ".join(f"{outcome.what} {outcome.entry}".rstrip() for outcome in outcomes) or "nothing was due")


def _settle(answer: Callable[[Watchdog], None], *, told_again: bool = True) -> None:
    """Do the work and decide between the two answers, by the table in `shared.errors`.

    Args:
        answer: The work.
        told_again: Whether a later message, or a tick, tells of the same. A sign that a run has failed is told of once, and the digest once a week, so
            they wait until they can be recorded, even where that needs a person.

    Raises:
        SettingsError: The policy cannot be used; the message waits until it can.
        Unavailable: Something did not answer; the message comes again.
        Conflict: Somebody else was quicker each time; the message comes again.
    """
    watchdog = wiring.watchdog()
    try:
        try:
            answer(watchdog)
        except EventRejected as error:
            watchdog.reject(error)
        except JournalError as error:
            watchdog.unreadable(error)
    except (Unavailable, Conflict):
        raise
    except CloudError as error:
        if not told_again:
            log.error("not recorded, so the event is delivered again: %s", error)  # noqa: TRY400  # the sentence says it all
            raise Unavailable(str(error)) from error
        log.error("not done, and not tried again with this message: %s", error)  # noqa: TRY400  # the sentence says it all
