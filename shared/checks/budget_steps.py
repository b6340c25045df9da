"""Thresholds that the policy does not know, and steps that no budget sends."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from shared.audit.estate import Estate
from shared.audit.finding import Finding
from shared.audit.seen import BudgetSeen
from shared.checks import Check
from shared.checks.spend_cap import looks_like_a_cap
from shared.policy.policy import BudgetRule
from shared.slack.text import percent


def find(estate: Estate) -> Iterator[Finding]:
    """For each budget of the policy, where its thresholds and the ladder differ. A spend cap's are Google's, and it sends no messages anyway."""
    for budget in estate.budgets or ():
        rule = estate.policy.rule_of(budget.budget_id, budget.display_name)
        if rule and not looks_like_a_cap(budget):
            yield from _forecasts(budget, rule)
            yield from _actuals(budget, rule)
            yield from _unknown(budget, rule)


def _forecasts(budget: BudgetSeen, rule: BudgetRule) -> Iterator[Finding]:
    told = {share for share, basis in budget.thresholds if basis == "forecast"}
    deaf = sorted(step.at for step in rule.steps if step.on == "forecast" and not any(share >= step.at for share in told))
    if deaf:
        shares = ", ".join(percent(share) for share in deaf)
        rules = " ".join(f"--add-threshold-rule=percent={share},basis=forecasted-spend" for share in deaf)
        yield CHECK.finding(
            f"{budget.name}/steps/forecast",
            "high",
            f"{budget.display_name!r} has no threshold on forecast spend for the step{'s' if len(deaf) > 1 else ''} at {shares}",
            "A message tells the forecast only by the threshold that it exceeds, so these steps can never be reached",
            mend=(f"gcloud billing budgets update {shlex.quote(budget.name)} {rules}",)
            if budget.calendar_period
            else ("a budget with a custom period has no forecast: give it a calendar period, or take these steps out of policy.yaml",),
        )


def _actuals(budget: BudgetSeen, rule: BudgetRule) -> Iterator[Finding]:
    silent = sorted(step.at for step in rule.steps if step.on == "actual" and (step.at, "actual") not in budget.thresholds)
    if silent and any(basis == "actual" for _, basis in budget.thresholds):  # without any, `budget_thresholds` says it
        rules = " ".join(f"--add-threshold-rule=percent={share}" for share in silent)
        yield CHECK.finding(
            f"{budget.name}/steps/actual",
            "low",
            f"{budget.display_name!r} has no threshold for the step{'s' if len(silent) > 1 else ''} at {', '.join(map(percent, silent))}",
            "The watchdog reckons with cost over amount, so they are carried out all the same; only Google's e-mail does not come",
            mend=(f"gcloud billing budgets update {shlex.quote(budget.name)} {rules}",),
        )


def _unknown(budget: BudgetSeen, rule: BudgetRule) -> Iterator[Finding]:
    known = {(step.at, step.on) for step in rule.steps}
    unknown = sorted(each for each in budget.thresholds if each not in known)
    if unknown:
        shares = ", ".join(f"{percent(share)} ({basis})" for share, basis in unknown)
        yield CHECK.finding(
            f"{budget.name}/steps/unknown",
            "low",
            f"{budget.display_name!r} has thresholds for which the policy has no step: {shares}",
            "They send e-mail, and the watchdog does nothing about them",
            mend=("add steps for them to policy.yaml, if something is to happen",),
        )


CHECK = Check(name="budget_steps", category="budgets", lever="", needs=frozenset({"budgets"}), find=find)
