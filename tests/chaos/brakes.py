"""What has to be true of the brake: no change that was not counted, no more within an hour than the policy and a person allow, and none while it is on.

What the record of the brake says at each time is set beside what was done to services and objects.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from sandbox.cloud import STATE_BUCKET
from shared.brake import HOUR, NOTICE, Brake, Kind, Stop
from shared.slack import panel
from tests.chaos.play import Play
from tests.chaos.world import reference

ON_ITS_WAY = 120.0
"""Seconds that a call which a process sent before it died may take: no more than a client waits for it, on a machine that has much to do."""


@dataclass(frozen=True)
class _Deed:
    """Something that has to be counted: a service is parked, or an object of a run is deleted.

    Attributes:
        at: Seconds of the story.
        since: Since when the oldest of the deliveries that were being dealt with then was.
        what: In a word.
    """

    at: float
    since: float
    what: str


def broken(play: Play) -> Iterator[str]:
    """A sentence for each promise of the brake that was broken."""
    limit = play.schedule.per_hour
    if not limit:
        return
    kept = _kept(play)
    yield from _too_many(kept, limit)
    world = play.world
    parks = [_Deed(write.at, write.since, f"{write.name} was parked") for write in world.writes if write.ours and write.parks]
    deletions = [_Deed(each.at, each.since, f"{each.object.name} was deleted") for each in world.deletions]
    runs = {each.object.name.split("/")[1] for each in world.deletions}
    theirs = sum(
        not write.ours for write in world.writes
    )  # what somebody changed while it was parked is parked again, within the plan that was counted
    if len(parks) + len(runs) > _counted(kept) + theirs:
        yield f"{len(parks)} services were parked and {len(runs)} runs deleted, and {_counted(kept)} changes were counted"
    deeds: dict[Kind, list[_Deed]] = {"resources": parks, "runs": deletions}
    for kind, done in deeds.items():
        for begun, ended in _stops(kept, kind):
            for deed in done:
                if begun + ON_ITS_WAY < deed.since and deed.at < ended:
                    yield f"{deed.what} at {deed.at:.0f} s, and the brake was on for {kind} since {begun:.0f} s"
    if any(brake.stops for _, brake in kept) and not any(reference(message).startswith(NOTICE) for message in world.messages()):
        yield "the brake went on, and nobody was told"
    if any(brake.released_by for _, brake in kept) and not any(action == panel.RELEASE for action, _ in play.pressed):
        yield "the brake was released, and nobody had pressed the button"


def _kept(play: Play) -> list[tuple[float, Brake]]:
    """All that ever stood in the record of the brake, each with the second of the story in which it was written."""
    stored = [*play.world.brakes, *(each for each in play.world.sandbox.storage.contents(STATE_BUCKET)[0] if each.name == "brake.json")]
    zero = play.world.clock.right() - play.world.clock.monotonic()
    return [(each.created.timestamp() - zero, Brake.model_validate_json(each.data or b"{}")) for each in stored]


def _too_many(kept: list[tuple[float, Brake]], limit: int) -> Iterator[str]:
    """More than the limit within an hour, of what no person had agreed to."""
    agreed: list[Stop] = []
    for _, brake in kept:
        agreed += brake.agreed
        for newest in brake.changes:
            of_its_hour = [each for each in brake.changes if each.kind == newest.kind and timedelta(0) <= newest.at - each.at < HOUR]
            recent = sum(each.count for each in of_its_hour if not any(each.repeats(stop) for stop in agreed))
            if recent > limit:
                yield f"{recent} {newest.kind} were allowed within an hour, and {limit} may be"


def _counted(kept: list[tuple[float, Brake]]) -> int:
    """How many changes were allowed, in all; what was asked for again counts once."""
    return sum({(each.kind, each.entry, each.parts): each.count for _, brake in kept for each in brake.changes}.values())


def _stops(kept: list[tuple[float, Brake]], kind: Kind) -> list[tuple[float, float]]:
    """From when to when the brake was on for this kind."""
    stops, begun = list[tuple[float, float]](), None
    for at, brake in kept:
        if brake.stop(kind) and begun is None:
            begun = at
        elif not brake.stop(kind) and begun is not None:
            stops.append((begun, at))
            begun = None
    return [*stops, (begun, float("inf"))] if begun is not None else stops
