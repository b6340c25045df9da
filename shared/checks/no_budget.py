"""Projects that no budget watches, and rules of the policy that mean none."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from shared.checks import Check
from shared.estate import Estate
from shared.finding import Finding
from shared.policy import ANY_BUDGET


def find(estate: Estate) -> Iterator[Finding]:
    """Each watched project that is in no budget's scope; and each budget that the policy names and that there is not."""
    if estate.budgets is None:
        return
    for project in estate.projects:
        known = {f"projects/{project}", f"projects/{estate.numbers.get(project, '')}"}
        if not any(not budget.projects or known & set(budget.projects) for budget in estate.budgets):
            yield CHECK.finding(
                f"projects/{project}",
                "high",
                "is watched by no budget",
                "Nobody is told when it costs more than it should, and the watchdog has nothing to act upon",
                mend=(
                    (
                        "gcloud billing budgets create --billing-account=ACCOUNT --display-name='ML Training Budget' --budget-amount=1000USD "
                        f"--filter-projects=projects/{shlex.quote(project)} --threshold-rule=percent=0.5 --threshold-rule=percent=0.8 --threshold-rule=percent=1.0 "
                        "--notifications-rule-pubsub-topic=projects/PROJECT/topics/TOPIC"
                    ),
                ),
            )
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


CHECK = Check(name="no_budget", category="budgets", lever="", needs=frozenset({"budgets"}), find=find)
