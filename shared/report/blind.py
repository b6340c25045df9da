"""The letters about budgets that are silent, and that speak again. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from datetime import datetime, timedelta

from shared.blind import News, Silence
from shared.policy.policy import ANY_BUDGET
from shared.report.letter import Letter, letter
from shared.slack.text import Part, clean, code, plural, stamp

PUBLISHER = "billing-budget-alert@system.gserviceaccount.com"
"""Who sends budget messages: https://docs.cloud.google.com/organization-policy/restrict-domains"""
_LONG = 400


def blind(news: News, project: str, now: datetime) -> Letter:
    """No message of these budgets comes any more: since when, what that means, and where to look.

    Args:
        news: The silences.
        project: The watchdog's own project, in which the topic is.
        now: The time of writing.
    """
    lines = tuple(f"• {_subject(each)} · {_last(each, now)}" for each in news.silences)
    said = [
        Part(title=f"SILENT ({len(lines):,})", lines=lines, recorded=False),
        *_still(news),
        Part(
            title="WHAT THAT MEANS",
            tail="Google sends the status of every budget several times a day, whatever the spend. Until it is heard again, nothing is parked for "
            "these budgets, and what is parked for them is not put back when their next period begins: "
            f"{code('python -m functions list')} shows it, {code('python -m functions restore --entry KEY')} puts it back.",
        ),
        Part(title="WHERE TO LOOK", tail="\n".join([_advice(news), *_places(news.silences, project)])),
        Part(title="IF IT IS MEANT TO BE SILENT", tail=_for_good(news.silences)),
        Part(tail="This is told once. You are told when messages come again.", small=True),
    ]
    return letter(f"Blind: no message of {_names(news)} for {_span(now - max(each.since for each in news.silences))}", said, now)


def sees(news: News, now: datetime) -> Letter:
    """Messages of these budgets come again."""
    lines = tuple(
        f"• {_subject(each)} · sent {stamp(each.heard_at)}, after {_span(each.heard_at - each.since)} without one"
        for each in news.silences
        if each.heard_at
    )
    said = [
        Part(title=f"HEARD AGAIN ({len(lines):,})", lines=lines, recorded=False),
        *_still(news),
        Part(tail="What the spend reached meanwhile is answered with the first message that is not older than `stale_after`."),
    ]
    return letter(f"Budget messages come again: {_names(news)}", said, now)


def _names(news: News) -> str:
    if len(news.silences) > 1:
        return plural(len(news.silences), "budget")
    name = news.silences[0].name
    return "any budget" if name == ANY_BUDGET else clean(name, 90)


def _subject(silence: Silence) -> str:
    if silence.name == ANY_BUDGET and not silence.account:
        return "any budget at all"
    return code(silence.name or silence.budget)


def _last(silence: Silence, now: datetime) -> str:
    if not silence.account:
        return f"none ever came; waited for since {stamp(silence.since)}"
    return (
        f"the newest was sent {stamp(silence.since)}, {_span(now - silence.since)} ago · {code(f'{silence.account}/{silence.budget}', 120)}"
    )


def _still(news: News) -> list[Part]:
    lines = tuple(f"• {code(name)}" for name in news.still)
    return [Part(title=f"STILL SILENT ({len(lines):,}), as told before", lines=lines, recorded=False)] if lines else []


def _advice(news: News) -> str:
    if news.speaking:
        return f"Messages of other budgets come, the newest was sent {stamp(news.speaking)}. So look at the budget itself first."
    return "No other budget is heard either. So look at what they have in common first: the topic, and who reads it."


def _places(silences: tuple[Silence, ...], project: str) -> Iterator[str]:
    """Where messages can be lost, from their sender on, each with the commands that show and mend it."""
    only = silences[0] if len(silences) == 1 and silences[0].account else None
    budget = shlex.quote(only.budget) if only else "BUDGET"
    accounts = {each.account for each in silences if each.account}
    account = shlex.quote(accounts.pop()) if len(accounts) == 1 else "ACCOUNT"
    topic = f"TOPIC --project={project}"
    show = _shell(f"gcloud billing budgets {f'describe {budget}' if only else 'list'} --billing-account={account}")
    connect = _shell(
        f"gcloud billing budgets update {budget} --billing-account={account} --notifications-rule-pubsub-topic=projects/{project}/topics/TOPIC"
    )
    yield f"• Is the budget there, and connected to the topic? {show} shows `notificationsRule.pubsubTopic`. To connect it: {connect}"
    publishers = _shell(f"gcloud pubsub topics get-iam-policy {topic}")
    grant = _shell(f"gcloud pubsub topics add-iam-policy-binding {topic} --member=serviceAccount:{PUBLISHER} --role=roles/pubsub.publisher")
    yield f"• May Google publish to the topic? {publishers} has to name `{PUBLISHER}`. To grant it: {grant}; an organization policy on domains may forbid it."
    readers = _shell(f"gcloud pubsub topics list-subscriptions {topic}")
    publish = _shell(f"gcloud pubsub topics publish {topic} --message=test")
    yield f"• Does the topic reach the watchdog? {readers} names the trigger's subscription. To try it: {publish}; this channel is then told of a message that was not accepted, once a day."
    dead = _shell(f"gcloud pubsub subscriptions describe SUBSCRIPTION --project={project}")
    errors = _shell(f"gcloud logging read severity=ERROR --project={project} --limit=20")
    yield f"• Do messages come that cannot be handled? {errors} shows why, and {dead} names the topic of their dead letters."


def _for_good(silences: tuple[Silence, ...]) -> str:
    known = [each for each in silences if each.account]
    record = f"{known[0].account}/{known[0].budget}" if len(known) == 1 else "ACCOUNT/BUDGET"
    forget = _shell(f"gcloud storage rm gs://STATE_BUCKET/budgets/{record}.json")
    return (
        "A budget that was deleted sends nothing, and neither does one whose custom period has ended. Take its rule out of the policy. Where it has "
        f'none of its own but `"*"`, delete what is known of it, once nothing is parked for it: {forget}'
    )


def _shell(command: str) -> str:
    return code(command, _LONG)


def _span(time: timedelta) -> str:
    """How long it is, in the unit that keeps the figure telling."""
    minutes = max(0, int(time.total_seconds())) // 60
    if minutes < 120:
        return plural(minutes, "minute")
    hours = minutes // 60
    return f"{hours} hours" if hours < 72 else f"{hours // 24} days"
