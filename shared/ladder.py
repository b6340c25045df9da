"""The ladder: which steps a budget message newly reaches, claimed once for the period by one entry, and which entries an ended period leaves to be put back."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

from shared import burn
from shared.entry import NEXT_PERIOD, Entry, Lease, StepRecord, UseRecord, ask_undo, cancel
from shared.errors import Conflict, EventRejected, JournalError
from shared.journal import BUDGET_ENTRIES, BudgetState, Journal, Kept, SeriesPoint
from shared.model import BudgetNotification
from shared.policy.policy import BudgetRule, Policy, Step, reached
from shared.ports import Clock
from shared.session import LEASE, Session

CLOCKS_DIFFER = timedelta(days=1)
PERIOD_SILENT = timedelta(days=1)

Standing = Literal["status", "stale", "older period", "busy"]


@dataclass(frozen=True, slots=True)
class Rung:
    """Where a message leaves its budget.

    Attributes:
        what: In a word.
        session: The entry that carries out the steps that were newly reached, in this worker's hands.
        busy: The key of that entry, where another worker has it.
        ended: The entries of an ended period, to be put back.
        others: The period's other entries, to be looked after; for a message that came before, only those of which something is due.
        again: Whether the message came before and said all of it then, so that nothing is written, and what is parked is not looked at because of it.
        current: Whether the message speaks of the current period, so that its headline is kept up to date.
        burn: How fast the budget is used up, as of this message; None where too little is known.
    """

    what: Standing
    session: Session | None = None
    busy: str = ""
    ended: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    again: bool = False
    current: bool = False
    burn: burn.Burn | None = None


@dataclass(frozen=True, slots=True)
class Ladder:
    """The steps of all budgets.

    Attributes:
        journal: Where they are claimed.
        policy: The policy in force.
        clock: The time.
        owner: This invocation's name in leases.
        unreadable: Told of an entry that cannot be read.
    """

    journal: Journal
    policy: Policy
    clock: Clock
    owner: str
    unreadable: Callable[[JournalError], None]

    def foreign(self, notification: BudgetNotification) -> EventRejected | None:
        """Why no step may come of the message, if so.

        Raises:
            EventRejected: Nothing at all may come of it.
        """
        if notification.period_start > self.clock.now() + CLOCKS_DIFFER:
            raise EventRejected(
                "future-period",
                f"the period of budget {notification.budget_name!r} begins at {notification.period_start:%Y-%m-%d %H:%M} UTC, which is to come",
            )
        allowed = self.policy.allowed_billing_accounts
        if allowed and notification.billing_account not in allowed:
            return EventRejected(
                "foreign-account", f"the billing account {notification.billing_account} is not in the policy's allowed_billing_accounts"
            )
        if self.policy.rule_for(notification) is None:
            return EventRejected("unknown-budget", f"the policy names no budget {notification.budget_name!r} ({notification.budget_id})")
        return None

    def meet(self, notification: BudgetNotification, rule: BudgetRule | None) -> Rung | None:
        """Claim the steps that a message newly reaches, and remember what it says.

        Args:
            notification: The message.
            rule: The policy's rule for its budget; without one, no step comes of it.

        Returns:
            Where it leaves the budget; None where nothing is known of the budget, and nothing has to be.

        Raises:
            Conflict: The budget's record was written meanwhile; the message can be met again.
            Unavailable: The state bucket does not answer.
            JournalError: What is known of this budget cannot be read.
        """
        account, budget = notification.billing_account, notification.budget_id
        kept = self.journal.budget(account, budget)
        if kept is None and rule is None:
            return None
        if kept and notification.period_start < kept.record.period_start and not _moved_back(notification, kept.record):
            self._hear(kept, notification)
            return Rung("older period")
        stale = self.clock.now() - notification.sent_at > self.policy.stale_after
        ended: tuple[str, ...] = ()
        state = self._state(kept, notification)
        if kept and notification.period_start != kept.record.period_start:
            if stale:
                self._hear(kept, notification)
                return Rung("stale")
            ended, unread = self._end_period({*kept.record.claims.values(), *kept.record.ended})
            state = state.but(ended=unread)
        elif kept and kept.record.ended and not stale:
            ended, unread = self._end_period(set(kept.record.ended))
            state = state.but(ended=unread)
        due = () if stale or rule is None else tuple(step for step in reached(rule, notification) if self.claim(step) not in state.claims)
        session = self._claimed(notification, rule, due, state) if due and rule else None
        if due and session is None:
            return Rung("busy", busy=self._key(notification, due))
        if session:
            state = state.but(claims={**state.claims, **{self.claim(step): session.entry.key for step in due}})
        again = kept is not None and state == kept.record
        try:
            if not again:
                self.journal.save_budget(account, budget, kept, state)
        except Conflict:
            if session:
                session.discard()
            raise
        if session:
            session.put(session.entry.but(claimed=True))
        others = set(state.claims.values()) - {session.entry.key if session else ""}
        if again:
            # Pub/Sub may repeat a message a hundred times; but the first delivery may have been cut short, and what it left is done now.
            others = {key for key in others if self._due(key)}
        burnt = _burn(state, rule, notification, self.clock.now()) if rule else None
        return Rung(
            "stale" if stale else "status", session, ended=ended, others=tuple(sorted(others)), again=again, current=True, burn=burnt
        )

    def claim(self, step: Step) -> str:
        """The name under which a step is claimed: a dry run claims none of what is carried out."""
        return step.key if self.policy.mode == "enforce" else f"observe/{step.key}"

    def sure_of_claim(self, session: Session) -> bool:
        """Whether the entry's steps are its own: a worker may have been killed between writing the entry and claiming its steps.

        Raises:
            Conflict: The budget's record was written meanwhile.
        """
        entry = session.entry
        notification = entry.notification
        if entry.claimed or notification is None:
            return True
        if self.journal.was_closed(entry.key):
            # A slow worker recorded it anew after it had been carried out and closed, and was killed before it could see that.
            return False
        kept = self.journal.budget(notification.billing_account, notification.budget_id)
        prefix = "" if entry.mode == "enforce" else "observe/"
        claims = {prefix + step.key: entry.key for step in entry.steps}
        state = kept.record if kept else self._state(None, notification)
        ours = state.period_start == notification.period_start and all(state.claims.get(claim, entry.key) == entry.key for claim in claims)
        if ours:
            if kept is None or not claims.items() <= state.claims.items():
                self.journal.save_budget(
                    notification.billing_account, notification.budget_id, kept, state.but(claims={**state.claims, **claims})
                )
            session.put(entry.but(claimed=True))
        return ours

    def _due(self, key: str) -> bool:
        """Whether something is to be done about an open entry now, if only to say that it cannot be read."""
        try:
            kept = self.journal.load(key)
        except JournalError:
            return True
        return kept is not None and (kept.record.due(self.clock.now()) or self.clock.now()) <= self.clock.now()

    def _claimed(self, notification: BudgetNotification, rule: BudgetRule, due: Sequence[Step], state: BudgetState) -> Session | None:
        """The entry for these steps in this worker's hands: new, or left behind by a worker that was killed; None while another works on it."""
        now = self.clock.now()
        entry = Entry(
            key=self._key(notification, due), created=now, mode=self.policy.mode, notification=notification, restore=rule.restore,
            burn=_burn(state, rule, notification, now), steps=tuple(record(step, now) for step in due), lease=Lease(owner=self.owner, until=now + LEASE),
        )  # fmt: skip
        created = self.journal.create(entry, now)
        if created:
            return Session(self.journal, self.clock, self.owner, created)
        kept = self.journal.load(entry.key)
        return Session.open(self.journal, self.clock, self.owner, kept) if kept else None

    def _end_period(self, keys: set[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Ask for what the ended period parked to be put back, where the policy says so.

        This comes before the new period is written down, so that a crash in between only makes it happen again.

        Returns:
            The entries concerned, and those that cannot be read now and have to be asked later.
        """
        now, found, unread = self.clock.now(), [], []
        for key in sorted(keys):
            try:
                kept = self.journal.load(key)
            except JournalError as error:
                self.unreadable(error)
                unread.append(key)
                continue
            if kept:
                found.append(kept)
        # The lowest rank first: what a later entry took over is left to it, and told once.
        found.sort(key=lambda kept: kept.record.rank())
        for kept in found:
            entry = kept.record
            whole = entry.restore == "next_period"
            asked = ask_undo(entry, by=NEXT_PERIOD, now=now, resources=None if whole else frozenset())
            if not whole:
                asked = cancel(asked, by=NEXT_PERIOD, now=now)
            if asked != entry and not entry.undo:
                self.journal.save(kept, asked, now)
        return tuple(kept.record.key for kept in found), tuple(unread)

    def _state(self, kept: Kept[BudgetState] | None, notification: BudgetNotification) -> BudgetState:
        point = SeriesPoint(at=notification.sent_at, cost=notification.cost, amount=notification.amount)
        if kept and notification.period_start == kept.record.period_start:
            return self._heard(kept.record.with_point(point), notification)
        state = BudgetState(period_start=notification.period_start, last_sent_at=notification.sent_at, series=(point,))
        return self._heard(state, notification)

    def _hear(self, kept: Kept[BudgetState], notification: BudgetNotification) -> None:
        """Remember that the budget still speaks, whatever it says."""
        heard = self._heard(kept.record, notification)
        if heard != kept.record:
            self.journal.save_budget(notification.billing_account, notification.budget_id, kept, heard)

    def _heard(self, state: BudgetState, notification: BudgetNotification) -> BudgetState:
        return state.heard(notification.budget_name, notification.currency, min(notification.sent_at, self.clock.now()))

    def _key(self, notification: BudgetNotification, due: Sequence[Step]) -> str:
        """The same for every delivery of a message, and for every message that newly reaches the same steps."""
        highest = max(due, key=lambda step: (step.at, step.on))
        identity = (
            notification.billing_account,
            notification.budget_id,
            notification.period_start.isoformat(),
            self.policy.mode,
            *sorted(step.key for step in due),
        )
        digest = hashlib.sha256("\n".join(identity).encode()).hexdigest()[:10]
        percent = f"{(highest.at * 100).normalize():f}"
        return f"{BUDGET_ENTRIES}{notification.period_start:%Y%m%d}-{highest.on}-{percent}-{digest}"


def record(step: Step, now: datetime) -> StepRecord:
    """A step of the policy as an entry keeps it, its wait beginning now."""
    uses = tuple(UseRecord(action=use.name, params=use.params.model_dump(mode="json")) for use in step.do)
    state: Literal["approval", "waiting", "open"] = "approval" if step.approve else "waiting" if step.wait else "open"
    return StepRecord(key=step.key, at=step.at, on=step.on, uses=uses, state=state, opens_at=now + step.wait if step.wait else None)


def _burn(state: BudgetState, rule: BudgetRule, notification: BudgetNotification, now: datetime) -> burn.Burn | None:
    """How fast the budget is used up, with the shares that are not reached yet."""
    shares = {Decimal(1), *(step.at for step in rule.steps if step.on == "actual")}
    level = notification.level("actual")
    return burn.estimate(state.series, shares=(share for share in shares if share > level), period_start=state.period_start, now=now)


def _moved_back(notification: BudgetNotification, state: BudgetState) -> bool:
    """Whether an earlier period is no late message but the budget's new period: sent a day after the last message of the later one.

    A budget sends several messages a day, so after a day of silence the later period is no more: its length was changed.
    """
    return notification.sent_at - state.last_sent_at > PERIOD_SILENT
