"""Projects that no budget watches, and rules of the policy that mean none."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from shared.audit.estate import Estate
from shared.audit.finding import Finding
from shared.audit.seen import BudgetSeen
from shared.checks import Check
from shared.policy.policy import ANY_BUDGET


def find(estate: Estate) -> Iterator[Finding]:
    """Each watched project of which no budget counts all; and each budget that the policy names and that there is not.

    Where the budgets of some billing account could not be seen, the one that is missed may be among them.
    """
    if estate.budgets is None or any(gap.need == "budgets" and not gap.what.startswith("the number of") for gap in estate.gaps):
        return
    for project in estate.projects:
        yield from _unwatched(project, estate.budgets, estate)
    named = {name for budget in estate.budgets for name in (budget.display_name, budget.budget_id)}
    for rule in estate.policy.budgets:
        if rule.budget not in (ANY_BUDGET, *named):
            yield CHECK.finding(
                f"policy/budgets/{rule.budget}",
                "high",
                f"the policy means the budget {rule.budget!r}, and there is none of that name or id",
                "Its steps are never carried out: the name is misspelt, or the budget was renamed or deleted",
                mend=("correct the name in policy.yaml, or write the budget's id, which stays the same when it is renamed",),
            )


def _unwatched(project: str, budgets: tuple[BudgetSeen, ...], estate: Estate) -> Iterator[Finding]:
    number = estate.numbers.get(project)
    if number is None and any(budget.projects for budget in budgets):
        return  # the API names projects by their numbers, so any of these may mean it
    names = {f"projects/{project}", f"projects/{number}"}
    about = [budget for budget in budgets if not budget.projects or names & set(budget.projects)]
    alive = [budget for budget in about if not (budget.custom_end and budget.custom_end < estate.now.date())]
    if any(not budget.services and not budget.labels for budget in alive):
        return
    partly = ", ".join(repr(budget.display_name) for budget in alive)
    yield CHECK.finding(
        f"projects/{project}",
        "medium" if partly else "high",
        f"is watched only in part, by {partly}: certain services, or what carries a label" if partly else "is watched by no budget",
        "Nobody is told when the rest of it costs more than it should"
        if partly
        else "Nobody is told when it costs more than it should, and the watchdog has nothing to act upon",
        mend=(
            (
                "gcloud billing budgets create --billing-account=ACCOUNT --display-name='ML Training Budget' --budget-amount=1000USD "
                f"--filter-projects=projects/{shlex.quote(project)} --threshold-rule=percent=0.5 --threshold-rule=percent=0.8 --threshold-rule=percent=1.0 "
                "--notifications-rule-pubsub-topic=projects/PROJECT/topics/TOPIC"
            ),
        ),
    )


CHECK = Check(name="no_budget", category="budgets", lever="", needs=frozenset({"budgets"}), find=find)
