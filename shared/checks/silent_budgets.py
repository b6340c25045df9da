"""Budgets of which no message comes any more, and rules of which none ever came."""

from __future__ import annotations

from collections.abc import Iterator

from shared.audit.estate import Estate
from shared.audit.finding import Finding
from shared.blind import look
from shared.checks import Check
from shared.policy.policy import ANY_BUDGET
from shared.slack.text import stamp


def find(estate: Estate) -> Iterator[Finding]:
    """Each budget that the tick's look would call silent now, by the same rules."""
    if not estate.journal or not estate.policy.budgets or estate.journal.watch is None:
        return
    # Only the silences count: what people were told stays as the tick has it.
    watch = estate.journal.watch.but(looked_at=estate.now, news=())
    names = {voice.key: voice.name for voice in estate.journal.voices}
    for key, since in sorted(look(watch, estate.policy, estate.journal.voices, estate.now).silent.items()):
        what = f"no message of the budget {names[key]!r}" if key in names else _never(key.removeprefix("rule "))
        yield CHECK.finding(
            f"silence/{key}",
            "high",
            f"{what} since {stamp(since)}",
            "Google sends several a day whatever the spend. While none comes nothing is parked, however much is spent",
            mend=(
                "see whether the topic exists, Google may publish to it, and the function's subscription is there: the other findings say what is wrong",
            ),
        )


def _never(rule: str) -> str:
    return "no message of any budget at all" if rule == ANY_BUDGET else f"never a message of the budget {rule!r}, waited for"


CHECK = Check(name="silent_budgets", category="watch", lever="", needs=frozenset({"journal"}), find=find)
