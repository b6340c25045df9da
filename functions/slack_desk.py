"""The desk as the functions have it: with the audit and the simulation, which are only loaded when somebody asks for them."""

from __future__ import annotations

from collections.abc import Sequence

from functions import policy_in_force, wiring
from shared.slack.command import Command
from shared.slack.desk import Desk, NotDone
from shared.slack.text import code, prose


def desk() -> Desk:
    """A desk for one invocation."""
    return Desk(wiring.watchdog(), _audit, _plan)


def _audit() -> str:
    """The summary of an audit, made now."""
    from shared.audit import slack as audit_slack
    from shared.audit.audit import Question, audit

    found = wiring.settings()
    return audit_slack.summary(
        audit(wiring.sight(found), policy_in_force.policy(found), Question(), project=found.project, service=found.service)
    ).text


def _plan(command: Command) -> Sequence[str]:
    """What would happen at a spend.

    Raises:
        NotDone: It has to be said for which budget.
        Gone: The policy means no such budget.
    """
    from shared.audit.simulate import simulate
    from shared.audit.text import simulated

    named = [rule.budget for rule in policy_in_force.policy(wiring.settings()).budgets]
    if not command.name and len(named) != 1:
        raise NotDone(f"Say for which budget: {', '.join(code(each) for each in named) or prose('the policy names none')}.")
    return [*simulated(simulate(wiring.watchdog(), budget=command.name or named[0], share=command.share, basis=command.basis))]
