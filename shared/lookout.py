"""The tick's look at whether budget messages still come, and the alarm, raised once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from shared.blind import News, look
from shared.errors import CloudError, Conflict, JournalError
from shared.journal import Journal
from shared.policy.policy import Policy
from shared.ports import World
from shared.report import blind as report
from shared.report.letter import Letter

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Lookout:
    """What it takes to look out for budget messages.

    Attributes:
        world: The ports.
        policy: The policy in force.
        project: The watchdog's own project, for the commands that people are given.
        notice: Called with a key and a letter; sends one letter for a key and no second one.
        unreadable: Called where the record of the looks cannot be read.
    """

    world: World
    policy: Policy
    project: str
    notice: Callable[[str, Letter], None]
    unreadable: Callable[[JournalError], None]

    def look(self) -> None:
        """Look now and then; where that fails, the next tick does it, and nothing else is kept from its turn."""
        if not self.policy.budgets:
            return
        try:
            self._look()
        except Conflict as conflict:
            log.info("another tick looks out for budget messages: %s", conflict)
        except JournalError as error:
            self.unreadable(error)
        except CloudError as error:
            log.warning("whether budget messages still come could not be seen, and is looked at again at the next tick: %s", error)

    def _look(self) -> None:
        """What is decided is written before it is told, so of two ticks one tells it, and after a crash the next tick does."""
        journal, now = Journal(self.world.state), self.world.clock.now()
        kept = journal.watch()
        if kept is None or kept.record.due(now, self.policy.blind_after):
            kept = journal.save_watch(kept, look(kept.record if kept else None, self.policy, journal.voices(), now))
        if kept.record.news:
            for news in kept.record.news:
                self._tell(news)
            journal.save_watch(kept, kept.record.but(news=()))

    def _tell(self, news: News) -> None:
        for each in news.silences:
            if each.heard_at:
                labels = {"alarm": "blind-over", "budget": each.name, "budget_id": each.budget}
                log.info(
                    "budget messages of %r come again: one was sent at %s", each.name, each.heard_at.isoformat(), extra={"labels": labels}
                )
            else:
                labels = {"alarm": "blind", "budget": each.name, "budget_id": each.budget}
                log.error("blind: no budget message of %r since %s", each.name, each.since.isoformat(), extra={"labels": labels})
        now = self.world.clock.now()
        self.notice(news.key, report.sees(news, now) if news.over else report.blind(news, self.project, now))
