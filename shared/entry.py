"""The journal's noun: one plan from its first record to the day when all of it is put back, and what may happen to it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from pydantic import AwareDatetime

from shared.burn import Burn
from shared.model import Basis, BudgetNotification, Place
from shared.objects import job as jobs
from shared.record import Record

SCHEMA = 1
NEXT_PERIOD = "next period"
"""Who asks for things to be put back when a budget's period has ended."""

StepState = Literal["waiting", "approval", "open", "planned", "refused", "cancelled"]
Status = Literal["intended", "verified", "failed", "skipped", "rehearsed", "restoring", "restored", "left"]

UNSETTLED: frozenset[Status] = frozenset({"intended", "failed", "restoring"})
"""Something is still to be done about the target."""
HELD: frozenset[Status] = frozenset({"intended", "verified", "failed", "restoring"})
"""The watchdog changed the target, or may have."""


class UseRecord(Record):
    """An action with its parameters, as the policy had it when the step was reached.

    Attributes:
        action: The action's name.
        params: Its parameters as plain JSON.
    """

    action: str
    params: dict[str, Any]


class StepRecord(Record):
    """One step of the ladder within an entry.

    Attributes:
        key: ``actual-0.8``.
        at: The share of the budget at which it is reached.
        on: Which spend counts.
        uses: What it does.
        state: ``waiting`` until `opens_at`, ``approval`` until a person says yes, ``open`` to be planned, ``planned``, ``refused`` by a limit
            (a person may approve it once the policy is mended), or ``cancelled``.
        opens_at: When a waiting step opens.
        decided_by: Who approved or cancelled it.
        decided_at: And when.
        told: Whether people were told of its present state.
    """

    key: str
    at: Decimal
    on: Basis
    uses: tuple[UseRecord, ...]
    state: StepState
    opens_at: AwareDatetime | None = None
    decided_by: str = ""
    decided_at: AwareDatetime | None = None
    told: bool = False


class Drift(Record):
    """A parked resource that came back without the watchdog.

    Attributes:
        by: Who changed it last.
        state: What it is now.
        seen_at: When that was noticed.
    """

    by: str
    state: dict[str, Any]
    seen_at: AwareDatetime


class TargetRecord(Record):
    """One resource that is changed, with all that is needed to put it back.

    Attributes:
        resource: The full name.
        kind: The kind of resource.
        use: The action that changes it.
        step: The key of the step that asks for it (the strongest, where several do).
        before: The state to put back. Never overwritten by a state that the watchdog itself made.
        found: The state that was there when this change was planned; differs from `before` where an earlier step had parked it already.
        wanted: The state to reach.
        wrote: The state as it was read after the change; None until that was seen.
        status: See `Status`. ``intended`` after a crash means "maybe changed".
        reason: Why it failed, was skipped, was left alone or differs.
        rank: Where several entries hold one resource, the highest rank took it over last, and keeps the state to put back.
        maybe: A write was sent whose outcome is not known.
        attempts: How many times it failed in a row.
        retry_at: Not before then.
        replans: How often it was planned anew because somebody else changed it meanwhile.
        saving: US dollars a month at list price, an estimate.
        remains: What goes on costing all the same.
        drift: Set while it stands changed by somebody else.
        last_modifier: Who had changed it last when it was planned.
        told: The status that people were last told of.
        reparks: How often it was parked again after it had come back.
        drift_told_at: When people were last told that it came back.
        undo_by: Who asked for it to be put back.
        channel: Where its owners are told of it; empty where that is the policy's channel.
        parked_at: When it was first seen to be as wanted.
        back_at: When it was put back, or left to somebody else.
    """

    resource: str
    kind: str
    use: UseRecord
    step: str
    before: dict[str, Any]
    found: dict[str, Any]
    wanted: dict[str, Any]
    wrote: dict[str, Any] | None = None
    status: Status = "intended"
    reason: str = ""
    rank: int = 0
    maybe: bool = False
    attempts: int = 0
    retry_at: AwareDatetime | None = None
    replans: int = 0
    saving: Decimal = Decimal(0)
    remains: tuple[str, ...] = ()
    drift: Drift | None = None
    last_modifier: str = ""
    told: Status | None = None
    reparks: int = 0
    drift_told_at: AwareDatetime | None = None
    undo_by: str = ""
    channel: str = ""
    parked_at: AwareDatetime | None = None
    back_at: AwareDatetime | None = None

    @property
    def place(self) -> Place:
        """Its project and region."""
        parts = self.resource.split("/")
        return Place(parts[1], parts[3])

    @property
    def short_name(self) -> str:
        """The last segment of its name."""
        return self.resource.rsplit("/", 1)[-1]


class UntouchedRecord(Record):
    """A resource that was seen and is not changed.

    Attributes:
        resource: The full name.
        reason: Why.
    """

    resource: str
    reason: str


class UnseenRecord(Record):
    """A place that could not be looked at, and is looked at again later.

    Attributes:
        project: The project.
        region: The region.
        kind: The kind of resource that was asked for.
        reason: What the platform answered.
        attempts: How often in a row.
        retry_at: When to look again.
    """

    project: str
    region: str
    kind: str
    reason: str
    attempts: int = 1
    retry_at: AwareDatetime


class MessageRecord(Record):
    """A message to people: written here first, sent afterwards, marked when sent.

    Attributes:
        id: Unique within the entry.
        channel: Where it goes.
        text: The whole of it as plain text.
        blocks: The same as Block Kit.
        created: When it was written.
        sent_at: When Slack took it; None while it waits.
        posted: The channel's id and the message's timestamp in Slack, empty where it only went to the log.
        attempts: How often sending failed.
        not_before: When to try again.
        error: What Slack last answered.
        thread: The name of the budget's thread that it is an answer in; empty where it is none.
        broadcast: Whether an answer is shown in the channel, too.
        panel: Which buttons it bears for as long as there is something to decide: none, those of the whole entry, or those for what its channel is
            told of. Its text and blocks are kept until another message bears them.
        shown: What its buttons were when they were last brought up to date.
    """

    id: str
    channel: str
    text: str
    blocks: tuple[dict[str, Any], ...] = ()
    created: AwareDatetime
    sent_at: AwareDatetime | None = None
    posted: tuple[str, str] | None = None
    attempts: int = 0
    not_before: AwareDatetime | None = None
    error: str = ""
    thread: str = ""
    broadcast: bool = False
    panel: Literal["", "whole", "part"] = ""
    shown: str = ""


class Lease(Record):
    """Who works on the entry, and until when nobody else may.

    Attributes:
        owner: An invocation's own id.
        until: When the lease ends unless it is renewed.
    """

    owner: str
    until: AwareDatetime


class Undo(Record):
    """A request to put everything back.

    Attributes:
        by: ``next period`` or a person.
        at: When it was asked.
    """

    by: str
    at: AwareDatetime


class Entry(Record):
    """One object of the journal.

    Attributes:
        schema_version: The shape of this object; a newer one is left alone.
        key: Its name, ``budget-20261101-actual-100-3f9c2a71b0``.
        created: When it was recorded first.
        mode: ``enforce``, or ``observe`` for a dry run.
        notification: The budget message that caused it; None for a notice.
        burn: How fast the budget was used up then; None where that was not known.
        restore: ``next_period`` or ``manual``.
        steps: The steps that it carries out.
        targets: What it changes.
        untouched: What was seen and is not changed, and why.
        unseen: Where nothing could be seen.
        messages: The outbox.
        lease: Who works on it now.
        undo: Set once somebody asked for everything to be put back.
        look_at: When to see whether what is parked still is.
        claimed: Whether its steps are known to stand in the budget's own record, so that no other entry carries them out.
        begun: The entries that its steps began, each about the objects of a bucket.
        job: What is done to the objects of a bucket, for an entry that is about that and has no steps.
        shown_at: When what Slack shows of it is to be brought up to date, where that could not be done at once.
    """

    schema_version: int = SCHEMA
    key: str
    created: AwareDatetime
    mode: Literal["observe", "enforce"] = "enforce"
    notification: BudgetNotification | None = None
    burn: Burn | None = None
    restore: Literal["next_period", "manual"] = "next_period"
    steps: tuple[StepRecord, ...] = ()
    targets: tuple[TargetRecord, ...] = ()
    untouched: tuple[UntouchedRecord, ...] = ()
    unseen: tuple[UnseenRecord, ...] = ()
    messages: tuple[MessageRecord, ...] = ()
    lease: Lease | None = None
    undo: Undo | None = None
    look_at: AwareDatetime | None = None
    claimed: bool = False
    begun: tuple[str, ...] = ()
    job: jobs.Job | None = None
    shown_at: AwareDatetime | None = None

    def with_targets(self, changed: Iterable[TargetRecord]) -> Entry:
        """The same entry with these targets in place of those of the same resource, new ones at the end."""
        by_name = {target.resource: target for target in self.targets}
        by_name.update({target.resource: target for target in changed})
        return self.but(targets=tuple(by_name.values()))

    def parked(self) -> tuple[TargetRecord, ...]:
        """The targets that the watchdog changed, or may have, and has not put back."""
        return tuple(target for target in self.targets if target.status in HELD)

    def rank(self) -> int:
        """The highest rank of its targets."""
        return max((target.rank for target in self.targets), default=0)

    def news(self) -> tuple[TargetRecord, ...]:
        """The targets whose present status people have not been told of; one that is still being worked on for the first time is no news."""
        return tuple(
            target
            for target in self.targets
            if target.status != target.told
            and (target.status not in UNSETTLED or target.attempts)
            and not (target.told == "failed" and target.status == "intended")
        )

    def due(self, now: datetime) -> datetime | None:
        """When somebody should look at the entry again; None when all of it is done and it can be closed.

        An entry that only waits for a person's yes is due in the far future: it stays open, but the tick does not read it.
        """
        times: list[datetime] = []
        if self.news():
            times.append(now)
        for step in self.steps:
            if not step.told:
                times.append(now)
            if step.state == "open":
                times.append(now)
            elif step.state == "waiting":
                times.append(step.opens_at or now)
            elif step.state in ("approval", "refused"):
                times.append(FAR)
        times.extend(target.retry_at or now for target in self.targets if target.status in UNSETTLED)
        times.extend(place.retry_at for place in self.unseen)
        times.extend(message.not_before or now for message in self.messages if message.sent_at is None)
        times.extend([self.shown_at] if self.shown_at else ())
        if any(target.status == "verified" for target in self.targets):
            times.append(self.look_at or now)
        if self.job and (at := self.job.due(now, FAR)):
            times.append(at)
        return min(times) if times else None


FAR = datetime.fromisoformat("9999-01-01T00:00:00+00:00")


def backoff(attempts: int, *, first: timedelta = timedelta(minutes=1), longest: timedelta = timedelta(hours=1)) -> timedelta:
    """How long to wait after so many failures in a row: doubling, bounded."""
    doublings: int = 2 ** min(max(attempts - 1, 0), 16)
    return min(longest, first * doublings)


def doubted(entry: Entry) -> Entry:
    """The entry as somebody else finds it: while a worker holds it, or once one was killed, what was to be parked may be parked already."""
    if entry.lease is None:
        return entry
    return entry.with_targets(target.but(maybe=True) for target in entry.targets if target.status in ("intended", "failed"))


def dated(target: TargetRecord, now: datetime) -> TargetRecord:
    """The target with the time at which it was parked or put back, where that was just now."""
    if target.status == "verified" and target.parked_at is None:
        return target.but(parked_at=now)
    ended = target.status in ("restored", "left") and target.parked_at and target.back_at is None
    return target.but(back_at=now) if ended else target


def ask_undo(entry: Entry, *, by: str, now: datetime, resources: frozenset[str] | None = None) -> Entry:
    """Ask for what is parked to be put back: everything, or the named resources alone.

    With everything, the steps that have not been carried out are cancelled too, and objects are put back.
    """
    targets = [
        target.but(status="restoring", attempts=0, retry_at=None, reason="", drift=None, told=None, undo_by=by)
        for target in doubted(entry).targets
        if target.status in HELD and target.status != "restoring" and (resources is None or target.resource in resources)
    ]
    changed = entry.with_targets(targets)
    if resources is not None:
        return changed
    if entry.job:
        changed = changed.but(job=jobs.ask_undo(entry.job, by=by, now=now))
    steps = tuple(_called_off(step, by, now) for step in entry.steps)
    return changed.but(steps=steps, unseen=(), undo=entry.undo or Undo(by=by, at=now))


def approve(entry: Entry, *, by: str, now: datetime) -> Entry:
    """Open the steps that wait for a yes, or that a limit refused."""
    steps = (
        step.but(state="open", decided_by=by, decided_at=now, told=False) if step.state in ("approval", "refused") else step
        for step in entry.steps
    )
    return entry.but(steps=tuple(steps), job=entry.job and jobs.approve(entry.job, by=by, now=now))


def cancel(entry: Entry, *, by: str, now: datetime) -> Entry:
    """Call off every step that has not been carried out."""
    steps = tuple(_called_off(step, by, now) for step in entry.steps)
    return entry.but(steps=steps, unseen=(), job=entry.job and jobs.cancel(entry.job, by=by, now=now))


def _called_off(step: StepRecord, by: str, now: datetime) -> StepRecord:
    if step.state in ("planned", "cancelled"):
        return step
    return step.but(state="cancelled", decided_by=by, decided_at=now, told=False)


def open_due_steps(entry: Entry, now: datetime) -> Entry:
    """Open the steps whose wait is over."""
    steps = (
        step.but(state="open") if step.state == "waiting" and (step.opens_at is None or step.opens_at <= now) else step
        for step in entry.steps
    )
    return entry.but(steps=tuple(steps))


def pause(entry: Entry, until: datetime) -> Entry:
    """Put off all that would change something; what is asked to be put back goes on."""

    def later(instant: datetime | None) -> datetime:
        return max(instant, until) if instant else until

    steps = (
        step.but(state="waiting", opens_at=later(step.opens_at))
        if step.state == "open" or (step.state == "waiting" and later(step.opens_at) == until)
        else step
        for step in entry.steps
    )
    targets = (target.but(retry_at=later(target.retry_at)) for target in entry.targets if target.status in ("intended", "failed"))
    unseen = (place.but(retry_at=later(place.retry_at)) for place in entry.unseen)
    changed = entry.with_targets(targets).but(steps=tuple(steps), unseen=tuple(unseen))
    return changed.but(look_at=later(entry.look_at)) if entry.look_at else changed
