"""What runs, is not protected, and that no step of the policy would ever touch."""

from __future__ import annotations

from collections.abc import Iterator

from shared.actions.scale_to_zero import warm_instances
from shared.audit.estate import Estate
from shared.audit.finding import Finding
from shared.checks import Check
from shared.model import Resource


def find(estate: Estate) -> Iterator[Finding]:
    """Each service and worker pool that costs something around the clock and is out of every step's reach."""
    if not estate.policy.budgets:
        return
    for resource in (*estate.of_kind("service"), *estate.of_kind("worker_pool")):
        if resource.name in estate.reach or estate.spared(resource) or not _running(resource):
            continue
        reason = estate.untouched.get(resource.name, "not selected")
        yield CHECK.finding(
            resource,
            "low",
            f"is reached by no step of the policy ({reason}), and is not protected either",
            "When the budget is used up it goes on costing. If that is meant, protect it; if not, let a step select it",
            mend=("select it in a step of policy.yaml, by a label or by its name, or protect it with the label cost-watchdog=protect",),
        )


def _running(resource: Resource) -> bool:
    return bool(resource.state["count"] if resource.kind == "worker_pool" else warm_instances(resource.state, resource.facts))


CHECK = Check(name="unreached", category="serving", lever="", needs=frozenset({"resources"}), find=find)
