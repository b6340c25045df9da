"""Whether the messages of each budget still come, and what people were told of it. Pure.

Google sends the status of every budget several times a day, whatever the spend, and says nothing when it can no longer:
https://docs.cloud.google.com/billing/docs/how-to/budgets-programmatic-notifications. So silence has to be noticed here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pydantic import AwareDatetime

from shared.policy.policy import ANY_BUDGET, Policy
from shared.record import Record

SCHEMA = 1
LOOK_EVERY = timedelta(minutes=10)
_LONG_AGO = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class Voice:
    """A budget that sends messages, or one of the policy that should.

    Attributes:
        account: Its billing account; empty where no message of it ever came.
        budget: Its id, likewise.
        name: Its name; the policy's word for it where no message of it ever came.
        heard_at: When its newest message was sent, of whichever period; None where that is not known.
    """

    account: str
    budget: str
    name: str
    heard_at: datetime | None = None

    @property
    def key(self) -> str:
        """What it is known by in the record."""
        return f"budget {self.account}/{self.budget}" if self.account else f"rule {self.name}"


class Silence(Record):
    """A budget that is silent, or was.

    Attributes:
        account: Its billing account; empty where no message of it ever came.
        budget: Its id, likewise.
        name: Its name; the policy's word for it where no message of it ever came.
        since: When its newest message was sent, or since when the first one is waited for.
        heard_at: When the message was sent that ended the silence; None while it lasts.
    """

    account: str
    budget: str
    name: str
    since: AwareDatetime
    heard_at: AwareDatetime | None = None


class News(Record):
    """What people are to be told: written here first, told afterwards, taken out when it is told.

    Attributes:
        key: The key of the notice, of which there can be only one.
        over: Whether the silence is over.
        silences: The silences concerned.
        still: The names of the other budgets that are silent, of which people know already.
        speaking: When the newest message of any budget was sent that is not silent; None where there is none.
    """

    key: str
    over: bool
    silences: tuple[Silence, ...]
    still: tuple[str, ...] = ()
    speaking: AwareDatetime | None = None


class Watch(Record):
    """What the tick remembers of its looks.

    Attributes:
        schema_version: The shape of this object.
        since: Since when the tick has been looking without having been away for long; silence is counted from then at the earliest.
        looked_at: When it looked last.
        awaited: By key, since when a first message is waited for.
        silent: The silences that people were told of: by key, since when.
        news: What they are still to be told.
    """

    schema_version: int = SCHEMA
    since: AwareDatetime
    looked_at: AwareDatetime
    awaited: dict[str, AwareDatetime] = {}
    silent: dict[str, AwareDatetime] = {}
    news: tuple[News, ...] = ()

    def due(self, now: datetime, blind_after: timedelta) -> bool:
        """Whether it is time for another look; it is at once when the clock was set back."""
        return not timedelta(0) <= now - self.looked_at < min(LOOK_EVERY, blind_after / 4)


def look(watch: Watch | None, policy: Policy, voices: Iterable[Voice], now: datetime) -> Watch:
    """What is known after another look, with the news that come of it.

    Where the tick was away for `blind_after` or longer, everything may have been, so the count begins anew: what waits in the subscription is
    heard before anybody is alarmed.

    Args:
        watch: What was known before; None at the very first look.
        policy: The policy in force.
        voices: All budgets of which a message ever came.
        now: The time of the look.
    """
    before = watch or Watch(since=now, looked_at=now)
    since = now if now - before.looked_at >= policy.blind_after else min(before.since, now)
    meant = _meant(policy, voices)
    expected = {voice.key: voice for voice in (*(voice for _, voice in meant), *_unheard(policy, meant))}
    newest = {key: voice.heard_at or min(before.awaited.get(key, now), now) for key, voice in expected.items()}
    lately = {key: voice for key, voice in _answers(meant) if voice.heard_at and now - voice.heard_at < policy.blind_after}
    ended = {key: voice for key, voice in lately.items() if key in before.silent and newest[voice.key] > before.silent[key]}
    told = {key: at for key, at in before.silent.items() if key in expected and key not in ended}
    fresh = {key: at for key, at in newest.items() if key not in told and now - max(at, since) >= policy.blind_after}
    silent = told | fresh
    news = [
        News(
            key=_key(over=over, silences=silences, now=now),
            over=over,
            silences=tuple(silences),
            still=tuple(expected[key].name for key in still),
            speaking=max((newest[voice.key] for voice in lately.values() if voice.key not in silent), default=None),
        )
        for over, silences, still in (
            (False, [_silence(expected[key], at) for key, at in fresh.items()], told),
            (True, [_silence(voice, before.silent[key], newest[voice.key]) for key, voice in ended.items()], silent),
        )
        if silences
    ]
    awaited = {key: at for key, at in newest.items() if expected[key].heard_at is None}
    return Watch(since=since, looked_at=now, awaited=awaited, silent=silent, news=(*before.news, *news))


def _meant(policy: Policy, voices: Iterable[Voice]) -> list[tuple[str, Voice]]:
    """The voices that the policy means, each with the name of its rule, the one that was heard last at the end."""
    accounts = policy.allowed_billing_accounts
    allowed = [voice for voice in voices if not accounts or voice.account in accounts]
    found = [(rule.budget, voice) for voice in allowed if (rule := policy.rule_of(voice.budget, voice.name))]
    return sorted(found, key=lambda each: each[1].heard_at or _LONG_AGO)


def _unheard(policy: Policy, meant: Sequence[tuple[str, Voice]]) -> list[Voice]:
    """The rules of which no budget was heard; ``*`` may mean none that there is, so it waits only where nothing else does."""
    named = [rule.budget for rule in policy.budgets if rule.budget != ANY_BUDGET]
    waiting = named or ([] if meant else [rule.budget for rule in policy.budgets])
    heard = {rule for rule, _ in meant}
    return [Voice("", "", name) for name in waiting if name not in heard]


def _answers(meant: Iterable[tuple[str, Voice]]) -> Iterator[tuple[str, Voice]]:
    """Whose message ends which silence: a budget its own, and that of its rule where none had been heard before."""
    for rule, voice in meant:
        yield Voice("", "", rule).key, voice
        yield voice.key, voice


def _silence(voice: Voice, since: datetime, heard_at: datetime | None = None) -> Silence:
    return Silence(account=voice.account, budget=voice.budget, name=voice.name, since=since, heard_at=heard_at)


def _key(*, over: bool, silences: Iterable[Silence], now: datetime) -> str:
    """The same for the same news of the same look."""
    digest = hashlib.sha256("\n".join(each.model_dump_json() for each in silences).encode()).hexdigest()[:10]
    return f"notice-{'sees' if over else 'blind'}-{now:%Y%m%dT%H%M%S}-{digest}"
