"""What an audit could not look at, with the role that would let it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from shared.audit.estate import Estate, Gap, Need
from shared.audit.finding import Finding
from shared.checks import Check

ROLES: Mapping[Need, str] = MappingProxyType(
    {
        "resources": "roles/run.viewer",
        "usage": "roles/monitoring.viewer",
        "executions": "roles/run.viewer",
        "objects": "roles/storage.objectViewer",
        "stocks": "roles/monitoring.viewer",
        "budgets": "roles/billing.viewer",
        "topics": "roles/pubsub.viewer",
        "journal": "roles/storage.objectViewer",
    }
)
"""The least predefined role that lets an audit see it: https://cloud.google.com/iam/docs/roles-permissions"""


def find(estate: Estate) -> Iterator[Finding]:
    """Each gap; what a permission would mend is worth mending, since nobody knows what it hides."""
    for gap in estate.gaps:
        yield CHECK.finding(
            gap.what,
            "medium" if gap.denied or gap.need == "journal" else "low",
            f"{gap.what} could not be looked at: {gap.reason}",
            "What is wrong there is not in this report",
            mend=(_grant(gap, estate),) if gap.denied else (),
        )


def role_of(gap: Gap) -> str:
    """The role that the gap calls for, by what was asked and where."""
    kind = gap.on.partition(" ")[0]
    if gap.need == "budgets" and kind == "project":
        return "roles/browser"
    if gap.need == "topics" and gap.what.startswith("who may publish"):
        return "roles/iam.securityReviewer"
    if gap.need == "topics" and gap.what.startswith("what waits"):
        return "roles/monitoring.viewer"
    if gap.need == "resources" and gap.what.startswith("the buckets"):
        return "roles/storage.bucketViewer"
    return ROLES[gap.need]


def _grant(gap: Gap, estate: Estate) -> str:
    kind, _, name = gap.on.rpartition(" ")
    who = "serviceAccount:AUDIT_SERVICE_ACCOUNT" if estate.runtime else "user:YOU"  # a function asks with an identity of its own
    member = f"--member={who} --role={role_of(gap)}"
    if kind == "bucket":
        return f"gcloud storage buckets add-iam-policy-binding {shlex.quote(f'gs://{name}')} {member}"
    if kind == "billing account":
        return f"gcloud billing accounts add-iam-policy-binding {shlex.quote(name)} {member}"
    if kind == "project":
        return f"gcloud projects add-iam-policy-binding {shlex.quote(name)} {member}"
    return f"gcloud storage buckets add-iam-policy-binding gs://STATE_BUCKET {member}"


CHECK = Check(name="blanks", category="watch", lever="", needs=frozenset(), find=find)
