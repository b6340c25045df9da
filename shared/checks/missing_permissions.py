"""Permissions that the watchdog lacks for what the policy asks of it, as it tested itself."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from shared.actions import registry
from shared.actions.on_objects import PERMISSIONS as ON_OBJECTS
from shared.audit.estate import Estate
from shared.audit.finding import Finding
from shared.checks import Check
from shared.rights import EVERY, Rights
from shared.slack.text import stamp

OLD = 3 * EVERY
ROLE = "costWatchdog"


def find(estate: Estate) -> Iterator[Finding]:
    """What the last test found; and that there was none, or none lately."""
    if not estate.journal or not (estate.policy.budgets or estate.policy.artifacts):
        return
    rights = estate.journal.rights
    if rights is None or estate.now - rights.tested_at > OLD:
        yield CHECK.finding(
            f"projects/{estate.project}/rights",
            "low",
            f"the watchdog's permissions were last tested at {stamp(rights.tested_at)}"
            if rights
            else "the watchdog never tested its permissions",
            "Whether it may do what the policy asks of it shows only when it has to",
            mend=("the tick tests once a day; see that the function task runs",),
        )
    if rights:
        for place, permissions in sorted(rights.missing.items()):
            yield CHECK.finding(
                f"rights/{place}",
                "high",
                f"on {place} the watchdog lacks {', '.join(permissions)}",
                f"Needed for {_used(place, frozenset(permissions), estate)}: it fails, and that is told of when it is too late",
                mend=_commands(place, permissions, rights, estate),
            )
        for place, reason in sorted(rights.untested.items()):
            yield CHECK.finding(
                f"rights/{place}",
                "medium",
                f"what the watchdog may do on {place} cannot be tested: {reason.rstrip('. ')}",
                "It is probably not there, or misspelt",
            )


def _used(place: str, permissions: frozenset[str], estate: Estate) -> str:
    """What of the policy needs them there."""
    policy, (kind, _, name) = estate.policy, place.partition(" ")
    uses = [use for rule in policy.budgets for step in rule.steps for use in step.do if registry()[use.name].permissions & permissions]
    named = {use.name for use in uses if _meant(use.name, use.params, kind, name)}
    rules = [rule.runs for rule in policy.artifacts if kind == "bucket" and rule.bucket == name and permissions & ON_OBJECTS]
    return ", ".join([*sorted(named), *(f"the rule about the runs {runs}" for runs in rules)]) or "what the policy asked for then"


def _meant(action: str, params: object, kind: str, name: str) -> bool:
    works = registry()[action].works
    return name in {bucket for bucket, _ in works.extent(params)} if works and kind == "bucket" else works is None and kind == "project"


def _commands(place: str, permissions: tuple[str, ...], rights: Rights, estate: Estate) -> tuple[str, ...]:
    """What grants them. A custom role belongs to one project and can be granted there alone.

    https://cloud.google.com/iam/docs/creating-custom-roles
    """
    kind, _, name = place.partition(" ")
    home = (
        name if kind == "project" else next((each.place.project for each in estate.of_kind("bucket") if each.short_name == name), "PROJECT")
    )
    project = f"--project={shlex.quote(home)}"
    asked = ",".join(rights.tested.get(place, permissions))
    target = f"storage buckets add-iam-policy-binding {shlex.quote(f'gs://{name}')}"
    grant = target if kind == "bucket" else f"projects add-iam-policy-binding {shlex.quote(name)}"
    return (
        f"gcloud iam roles create {ROLE} {project} --permissions={asked}",
        f"gcloud iam roles update {ROLE} {project} --add-permissions={','.join(permissions)}   # in place of the first, where there is such a role",
        f"gcloud {grant} --member=serviceAccount:SERVICE_ACCOUNT --role={shlex.quote(f'projects/{home}/roles/{ROLE}')}",
    )


CHECK = Check(name="missing_permissions", category="watch", lever="", needs=frozenset({"journal", "resources"}), find=find)
