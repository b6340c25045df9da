"""Budgets that the policy means and whose messages nobody gets."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from shared.checks import Check
from shared.estate import Estate
from shared.finding import Finding


def find(estate: Estate) -> Iterator[Finding]:
    """Each budget of the policy that is connected to no topic, or to one that is gone or has no subscription."""
    topics = {topic.name: topic for topic in estate.topics or ()}
    for budget in estate.budgets or ():
        if estate.policy.rule_of(budget.budget_id, budget.display_name) is None:
            continue
        topic = topics.get(budget.topic)
        if not budget.topic:
            wrong = f"{budget.display_name!r} is connected to no topic"
        elif topic and not topic.exists:
            wrong = f"{budget.display_name!r} sends its messages to {budget.topic}, which is gone"
        elif topic and topic.subscriptions == ():
            wrong = f"{budget.display_name!r} sends its messages to {budget.topic}, to which nothing subscribes"
        else:
            continue
        yield CHECK.finding(
            budget.name,
            "high",
            wrong,
            "The watchdog never hears of this budget, so none of its steps is carried out",
            mend=(
                f"gcloud billing budgets update {shlex.quote(budget.name)} --notifications-rule-pubsub-topic=projects/PROJECT/topics/TOPIC",
                "and see that the function budget_alert has a trigger on that topic",
            ),
        )


CHECK = Check(name="budget_topic", category="budgets", lever="", needs=frozenset({"budgets", "topics"}), find=find)
