"""The tick's daily question whether the watchdog may do what the policy asks of it, put with its own identity.

An audit runs as somebody else, who may read and nothing more, so it cannot ask this for the functions that act.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from shared.actions import registry
from shared.actions.on_objects import PERMISSIONS as ON_OBJECTS
from shared.errors import CloudError, Conflict, JournalError
from shared.journal import Journal
from shared.policy.policy import Policy
from shared.ports import Permissions, World
from shared.rights import EVERY, Rights

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SelfTest:
    """What it takes to test the watchdog's own permissions.

    Attributes:
        world: The ports.
        policy: The policy in force.
        project: The watchdog's own project.
        service: The Cloud Run service it runs on; empty elsewhere.
        unreadable: Called where the record of the last test cannot be read.
    """

    world: World
    policy: Policy
    project: str
    service: str
    unreadable: Callable[[JournalError], None]

    def test(self) -> None:
        """Test once a day, or when something else is needed than was tested; where that fails, the next tick does it."""
        if self.world.permissions is None:
            return
        try:
            self._test(self.world.permissions)
        except Conflict as conflict:
            log.info("another tick tests the permissions: %s", conflict)
        except JournalError as error:
            self.unreadable(error)
        except CloudError as error:
            log.warning("the watchdog's own permissions could not be tested, and are at the next tick: %s", error)

    def _test(self, permissions: Permissions) -> None:
        journal, now = Journal(self.world.state), self.world.clock.now()
        kept = journal.rights()
        wanted = needed(self.policy, self.project)
        before = kept.record if kept else None
        if before and now - before.tested_at < EVERY and {*before.tested, *before.untested} == {*wanted}:
            return
        missing: dict[str, tuple[str, ...]] = {}
        tested: dict[str, tuple[str, ...]] = {}
        untested: dict[str, str] = {}
        for place, asked in wanted.items():
            kind, _, name = place.partition(" ")
            ask = permissions.held_on_bucket if kind == "bucket" else permissions.held_on_project
            try:
                held = ask(name, sorted(asked))
            except CloudError as error:
                untested[place] = str(error)
                continue
            tested[place] = tuple(sorted(asked))
            if lacking := sorted(asked - held):
                missing[place] = tuple(lacking)
                log.error(
                    "%s: the watchdog lacks %s", place, ", ".join(lacking), extra={"labels": {"alarm": "permissions", "place": place}}
                )
        journal.save_rights(kept, Rights(tested_at=now, service=self.service, missing=missing, tested=tested, untested=untested))


def needed(policy: Policy, project: str) -> dict[str, frozenset[str]]:
    """By place (``project acme-ml-staging``, ``bucket acme-ml-artifacts``), the permissions that the policy's actions and rules need there.

    Args:
        policy: The policy.
        project: The watchdog's own project, which is watched where the policy names none.
    """
    places: dict[str, frozenset[str]] = {}

    def add(place: str, permissions: frozenset[str]) -> None:
        if permissions:
            places[place] = places.get(place, frozenset()) | permissions

    for use in (use for rule in policy.budgets for step in rule.steps for use in step.do):
        action = registry()[use.name]
        if action.works:
            for bucket, _ in action.works.extent(use.params):
                add(f"bucket {bucket}", action.permissions)
        else:
            for watched in policy.scope.projects or (project,):
                add(f"project {watched}", action.permissions)
    for artifacts in policy.artifacts:
        add(f"bucket {artifacts.bucket}", ON_OBJECTS)
    return dict(sorted(places.items()))
