"""Budgets that the policy means and whose messages nobody gets."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from shared.audit.estate import Estate
from shared.audit.finding import Finding
from shared.audit.seen import BudgetSeen
from shared.checks import Check
from shared.checks.spend_cap import looks_like_a_cap
from shared.policy.policy import ANY_BUDGET


def find(estate: Estate) -> Iterator[Finding]:
    """Each budget of the policy that is connected to no topic, or to one that is gone or has no subscription.

    A rule for any budget is served by those that are connected; the others are good to know.
    """
    for budget in estate.budgets or ():
        rule = estate.policy.rule_of(budget.budget_id, budget.display_name)
        wrong = _wrong(budget, estate) if rule else ""
        if not rule or not wrong:
            continue
        cap = looks_like_a_cap(budget)
        if cap and rule.budget == ANY_BUDGET:
            continue  # it can be connected to nothing, and nobody named it
        served = rule.budget == ANY_BUDGET and not budget.topic and any(_served(each, estate) for each in estate.budgets or ())
        connect = (
            f"gcloud billing budgets update {shlex.quote(budget.name)} --notifications-rule-pubsub-topic=projects/PROJECT/topics/TOPIC"
        )
        yield CHECK.finding(
            budget.name,
            "low" if served else "high",
            wrong,
            "The watchdog never hears of this budget, so none of its steps is carried out",
            mend=("it looks like a spend cap, which can have no topic: name another budget in policy.yaml, beside the cap",)
            if cap
            else (connect, "and see that the function budget_alert has a trigger on that topic"),
        )


def _wrong(budget: BudgetSeen, estate: Estate) -> str:
    """What is wrong with the topic of a budget; empty where nothing is."""
    topic = next((topic for topic in estate.topics or () if topic.name == budget.topic), None)
    if not budget.topic:
        return f"{budget.display_name!r} is connected to no topic"
    if topic and not topic.exists:
        return f"{budget.display_name!r} sends its messages to {budget.topic}, which is gone"
    if topic and topic.subscriptions == ():
        return f"{budget.display_name!r} sends its messages to {budget.topic}, to which nothing subscribes"
    return ""


def _served(budget: BudgetSeen, estate: Estate) -> bool:
    """Whether the budget is one that is heard by the rule for any budget."""
    rule = estate.policy.rule_of(budget.budget_id, budget.display_name)
    return rule is not None and rule.budget == ANY_BUDGET and not _wrong(budget, estate)


CHECK = Check(name="budget_topic", category="budgets", lever="", needs=frozenset({"budgets", "topics"}), find=find)
