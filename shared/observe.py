"""What is there: the only reads of what people own, in parallel within a bound, and no place hides another."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from shared.entry import UnseenRecord, backoff
from shared.errors import CloudError
from shared.model import BY_PROJECT, EVERYWHERE, Place, Resource
from shared.ports import Seen, World

log = logging.getLogger(__name__)
GLANCE = 5.0
"""Seconds between two glances."""
In = TypeVar("In")
Out = TypeVar("Out")


@dataclass(frozen=True, slots=True)
class View:
    """What one look at several places found.

    Attributes:
        resources: All that was seen.
        unseen: The places that could not be looked at, or only in part.
    """

    resources: tuple[Resource, ...]
    unseen: tuple[UnseenRecord, ...]


def observe(
    world: World,
    kinds: Iterable[str],
    places: Sequence[Place],
    *,
    wanted: Callable[[Resource], bool],
    glance: Callable[[], None] | None = None,
) -> View:
    """Look at all places for all kinds: at whole projects for what is listed by project, at regions for everything else.

    Args:
        world: The ports.
        kinds: Kinds of resources.
        places: Projects with regions, or with `EVERYWHERE`.
        wanted: Of these the details are read too, which may cost further calls.
        glance: Called every few seconds, in the caller's thread: the place to renew a lease.
    """
    questions = [(kind, place) for kind in sorted(kinds) for place in places if (place.region == EVERYWHERE) == (kind in BY_PROJECT)]
    answers = each(world.workers, lambda question: _look(world, *question), questions, glance)
    resources: list[Resource] = []
    unseen: list[UnseenRecord] = []
    for (kind, place), (seen, fault) in zip(questions, answers, strict=True):
        resources.extend(seen.resources)
        if fault:
            unseen.append(_unseen(kind, place, fault, world.clock.now()))
    detailed = each(world.workers, lambda resource: _detail(world, resource) if wanted(resource) else resource, resources, glance)
    return View(tuple(detailed), tuple(unseen))


def each(workers: int, ask: Callable[[In], Out], questions: Sequence[In], glance: Callable[[], None] | None = None) -> list[Out]:
    """Ask all questions, so many at once, and give the answers in the questions' order."""
    glance = glance or (lambda: None)
    if workers <= 1 or len(questions) <= 1:
        answers = []
        for question in questions:
            answers.append(ask(question))
            glance()
        return answers
    with ThreadPoolExecutor(min(workers, len(questions))) as pool:
        futures = [pool.submit(ask, question) for question in questions]
        left = set(futures)
        while left:
            _, left = wait(left, timeout=GLANCE)
            glance()
        return [future.result() for future in futures]


def _look(world: World, kind: str, place: Place) -> tuple[Seen, str]:
    try:
        seen = world.fleets[kind].list(place)
    except CloudError as error:
        log.warning("%s could not be looked at for %s: %s", place, kind, error)
        return Seen(()), str(error)
    return seen, f"the platform could not reach {', '.join(seen.unreachable)}" if seen.unreachable else ""


def _detail(world: World, resource: Resource) -> Resource:
    try:
        return world.fleets[resource.kind].detail(resource)
    except CloudError as error:
        log.warning("%s: its revisions could not be read, so what they keep running is not known: %s", resource.name, error)
        return resource


def _unseen(kind: str, place: Place, reason: str, now: datetime) -> UnseenRecord:
    return UnseenRecord(project=place.project, region=place.region, kind=kind, reason=reason, retry_at=now + backoff(1))
