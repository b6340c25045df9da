"""``stop_worker_pools``: Cloud Run worker pools run no instance.

A worker pool has manual scaling only, and its instances always bill in full: https://cloud.google.com/run/docs/configuring/workerpools/manual-scaling
"""

from __future__ import annotations

from shared import prices
from shared.actions import Action, Move, Selecting, State
from shared.model import Resource


class Params(Selecting):
    """What stands under ``stop_worker_pools`` in the policy.

    Attributes:
        select: Which worker pools.
    """


class WorkerPools:
    """How worker pools go to zero."""

    kind = "worker_pool"

    def plan(self, resource: Resource, params: Params) -> Move | str:  # noqa: ARG002  # what is selected is all there is to know
        """No instances, where there are any."""
        count = resource.state["count"]
        if count == 0:
            return "already stopped: 0 instances"
        return Move({"count": 0}, 1, prices.warm_instance_month(resource.facts) * count)

    def reached(self, state: State, wanted: State) -> bool:
        """The count is all there is."""
        return bool(state["count"] == wanted["count"])

    def made(self, live: State, wanted: State) -> State:  # noqa: ARG002  # the platform makes nothing else of it
        """The count is all there is."""
        return wanted

    def groups(self, live: State, ours: tuple[State, ...], original: State) -> tuple[tuple[str, ...], ...]:  # noqa: ARG002  # always the same
        """The count is all there is."""
        return (("count",),)

    def line(self, before: State, after: State) -> str:
        """The two counts."""
        return f"{before['count']} running → {after['count']}"


ACTION = Action(
    name="stop_worker_pools",
    params=Params,
    permissions=frozenset({"run.workerpools.list", "run.workerpools.get", "run.workerpools.update", "run.operations.get"}),
    changes=WorkerPools(),
)
