"""Permissions that the watchdog lacks for what the policy asks of it, as it tested itself."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from shared.actions import registry
from shared.checks import Check
from shared.estate import Estate
from shared.finding import Finding
from shared.rights import EVERY
from shared.slack_text import stamp

OLD = 3 * EVERY


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
    for place, permissions in sorted((rights.missing if rights else {}).items()):
        used = sorted(name for name, action in registry().items() if action.permissions & set(permissions))
        yield CHECK.finding(
            f"rights/{place}",
            "high",
            f"on {place} the watchdog lacks {', '.join(permissions)}",
            f"Needed for {', '.join(used)}: steps that use them fail, and are told of when it is too late",
            mend=(_command(place, permissions),),
        )
    for place, reason in sorted((rights.untested if rights else {}).items()):
        yield CHECK.finding(
            f"rights/{place}",
            "medium",
            f"what the watchdog may do on {place} cannot be tested: {reason}",
            "It is probably not there, or misspelt",
        )


def _command(place: str, permissions: tuple[str, ...]) -> str:
    kind, _, name = place.partition(" ")
    role = f"gcloud iam roles create costWatchdog --project=PROJECT --permissions={','.join(permissions)}"
    member = "--member=serviceAccount:SERVICE_ACCOUNT --role=projects/PROJECT/roles/costWatchdog"
    if kind == "bucket":
        return f"{role}\ngcloud storage buckets add-iam-policy-binding {shlex.quote(f'gs://{name}')} {member}"
    return f"{role}\ngcloud projects add-iam-policy-binding {shlex.quote(name)} {member}"


CHECK = Check(name="missing_permissions", category="watch", lever="", needs=frozenset({"journal"}), find=find)
