"""``scale_to_zero``: Cloud Run services keep no instance warm (``idle``), or run none at all (``stopped``).

The rules are those of https://cloud.google.com/run/docs/configuring/min-instances and
https://cloud.google.com/run/docs/configuring/services/manual-scaling: the largest minimum wins, revisions keep their own minimum while a
traffic tag or a share of the traffic holds them, and switching modes unsets or inherits the other mode's numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from shared import prices
from shared.actions import Action, Move, Selecting, State
from shared.model import Resource

IDLE, STOPPED = 1, 2
_SCALING = ("mode", "minimum", "maximum", "count")


class Params(Selecting):
    """What stands under ``scale_to_zero`` in the policy.

    Attributes:
        select: Which services.
        to: ``idle`` keeps none warm, and the next request starts one; ``stopped`` runs none, and callers get errors.
    """

    to: Literal["idle", "stopped"] = "idle"


class Services:
    """How Cloud Run services go to zero."""

    kind = "service"

    def plan(self, resource: Resource, params: Params) -> Move | str:
        """The scaling that reaches zero as far as it can be reached, with what remains."""
        state = resource.state
        if state["mode"] == "manual" and state["count"] == 0:
            return "already stopped: manual scaling with 0 instances"
        wanted = _stopped(state) if params.to == "stopped" else _idle(state, resource.facts)
        remains = _remains(resource, stopped=params.to == "stopped")
        if wanted == state:
            return "; ".join(("already idle: no instance is kept warm by its settings", *remains))
        gained = max(0, warm_instances(state, resource.facts) - warm_instances(wanted, resource.facts))
        saving = prices.warm_instance_month(resource.facts) * gained
        return Move(wanted, STOPPED if params.to == "stopped" else IDLE, saving, remains)

    def reached(self, state: State, wanted: State) -> bool:
        """In manual mode only the count matters, and in automatic mode what keeps instances warm; the platform and the owner may change the rest."""
        if wanted["mode"] == "manual":
            return _mode(state) == _mode(wanted)
        return all(state[name] == wanted[name] for name in ("mode", "minimum", "revision_minimum"))

    def made(self, live: State, wanted: State) -> State:
        """In manual mode the platform may unset the service's minimum and maximum, and an unset one reads 0."""
        if wanted["mode"] != "manual" or not self.reached(live, wanted):
            return wanted
        return {**wanted, **{name: 0 for name in ("minimum", "maximum") if live[name] == 0}}

    def groups(self, live: State, ours: tuple[State, ...], original: State) -> tuple[tuple[str, ...], ...]:
        """Minimum and maximum are apart while the service still is as the watchdog made it; where somebody changed the mode, all scaling is theirs.

        In manual mode the service's minimum and maximum do nothing, so whoever edits them has not brought the service back. Minimum and
        maximum stand together where one state's minimum is above another's maximum, since Cloud Run refuses such a pair.
        """
        states = (live, *ours, original)
        still_ours = live["mode"] == "manual" and any(_mode(live) == _mode(state) for state in ours)
        if any(state["mode"] == "manual" for state in states) and not still_ours:
            return (_SCALING, ("revision_minimum",))
        maxima = [state["maximum"] for state in states if state["maximum"]]
        pair = (
            (("minimum", "maximum"),)
            if maxima and max(state["minimum"] for state in states) > min(maxima)
            else (("minimum",), ("maximum",))
        )
        return (("mode", "count"), *pair, ("revision_minimum",))

    def line(self, before: State, after: State) -> str:
        """The change of scaling in a few words."""
        return f"{_words(before)} → {_words(after)}"


def _mode(state: State) -> tuple[Any, Any]:
    return state["mode"], state["count"]


def _stopped(state: State) -> dict[str, Any]:
    return {**state, "mode": "manual", "count": 0}


def _idle(state: State, facts: Mapping[str, Any]) -> dict[str, Any]:
    wanted = {**state, "minimum": 0, "count": None, "mode": "automatic"}
    if state["mode"] == "manual":
        # Automatic scaling without a maximum could run more than the owner's count ever allowed.
        wanted["maximum"] = state["count"]
    if any(not target["revision"] for target in facts["traffic"]) or not facts["traffic"]:
        # A new revision with minimum 0 only helps where the traffic follows to it.
        wanted["revision_minimum"] = 0
    return wanted


def _pinned(facts: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [revision for revision in facts.get("revisions", ()) if revision["minimum"] > 0]


def warm_instances(state: State, facts: Mapping[str, Any]) -> int:
    """How many instances of a service run without any request, by the largest minimum.

    Args:
        state: The service's state.
        facts: Its facts, with `revisions` where they were read.
    """
    if state["mode"] == "manual":
        tagged = sum(revision["minimum"] for revision in _pinned(facts) if revision["tag"] and not revision["percent"])
        return int(state["count"] or 0) + int(tagged)
    pinned = sum(revision["minimum"] for revision in _pinned(facts))
    return max(int(state["minimum"]), int(state["revision_minimum"]) + int(pinned))


def _remains(resource: Resource, *, stopped: bool) -> tuple[str, ...]:
    facts, said = resource.facts, []
    for revision in _pinned(facts):
        command = (
            f"gcloud run services update-traffic {resource.short_name} --project={resource.place.project} --region={resource.place.region}"
        )
        if revision["tag"] and not (stopped and revision["percent"]):
            said.append(
                f"revision {revision['revision']} keeps {revision['minimum']} running through its tag {revision['tag']!r}: "
                f"remove the tag with `{command} --remove-tags={revision['tag']}`"
            )
        elif not stopped:
            said.append(
                f"revision {revision['revision']} holds {revision['percent']} % of the traffic and keeps its own minimum of {revision['minimum']}: "
                f"move the traffic with `{command} --to-latest`"
            )
    if not stopped and facts["gpu"]:
        said.append(f"its {facts['gpu']} GPU bills as long as an instance lives; only `to: stopped` is sure to end that")
    elif not stopped and facts["billing"] == "instance":
        said.append(
            "instance-based billing: an instance that a request starts bills until it is shut down; only `to: stopped` is sure to end that"
        )
    return tuple(said)


def _words(state: State) -> str:
    if state["mode"] == "manual":
        return "stopped" if state["count"] == 0 else f"manual, {state['count']} running"
    warm = max(state["minimum"], state["revision_minimum"])
    return f"{warm} kept warm" if warm else "none kept warm"


ACTION = Action(
    name="scale_to_zero",
    params=Params,
    permissions=frozenset({"run.services.list", "run.services.get", "run.services.update", "run.revisions.get", "run.operations.get"}),
    changes=Services(),
)
