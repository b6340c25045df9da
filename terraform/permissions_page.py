"""Who may do what, and why: the page of it, made from what the code declares. ``make docs`` writes it.

`NEEDS` says what each function is allowed beside what the policy's actions call for; the tests play a story with all functions and hold every call against it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from shared.actions import Action, registry
from shared.actions.on_objects import PERMISSIONS as ON_OBJECTS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "permissions.md"
ARTIFACTS = "failed runs"
"""What the rules under ``artifacts`` in the policy do, beside the actions of the budgets' steps."""

Place = Literal["state bucket", "policy", "tasks topic", "watched buckets", "secrets"]

_JOURNAL = ("storage.objects.create", "storage.objects.delete", "storage.objects.get", "storage.objects.list")

NEEDS: Mapping[str, Mapping[Place, tuple[str, ...]]] = MappingProxyType({
    "budget_alert": {
        "state bucket": _JOURNAL,
        "policy": ("storage.objects.get",),
        "tasks topic": ("pubsub.topics.publish",),
        "secrets": ("SLACK_BOT_TOKEN or SLACK_WEBHOOK_URL",),
    },
    "storage_event": {
        "state bucket": _JOURNAL,
        "policy": ("storage.objects.get",),
        "watched buckets": ("storage.objects.get",),
    },
    "task": {
        "state bucket": _JOURNAL,
        "policy": ("storage.objects.get",),
        "tasks topic": ("pubsub.topics.publish",),
        "secrets": ("SLACK_BOT_TOKEN or SLACK_WEBHOOK_URL",),
    },
    "audit": {
        "state bucket": ("storage.objects.get", "storage.objects.list"),
        "policy": ("storage.objects.get",),
        "secrets": ("SLACK_BOT_TOKEN or SLACK_WEBHOOK_URL",),
    },
    "slack_action": {
        "state bucket": ("storage.objects.create", "storage.objects.get"),
        "policy": (),
        "tasks topic": ("pubsub.topics.publish",),
        "secrets": ("SLACK_SIGNING_SECRET",),
    },
})  # fmt: skip
"""By function and place. What the actions need comes on top, for those that `acting` names; for an audit, `AUDIT`."""

CALLED_BY: Mapping[str, str] = MappingProxyType({
    "budget_alert": "messages of the budget topic, and nobody else",
    "storage_event": "events of the watched buckets, and nobody else",
    "task": "messages of the tasks topic, and nobody else",
    "audit": "who has `roles/run.invoker` on it",
    "slack_action": "anybody (`allUsers`); without a right signature of Slack's the answer is 401, and nothing is read or written",
})  # fmt: skip

DOES: Mapping[str, str] = MappingProxyType({
    "budget_alert": "carries out the steps of budgets: changes what they select, and puts it back",
    "storage_event": "writes down that a run has failed, and reads a status file for that; deletes and changes nothing in a watched bucket",
    "task": "carries on what is due, deletes and brings back objects, does what people ask for in Slack, makes the digest",
    "audit": "reads, and changes nothing",
    "slack_action": "writes a request down and hands it to `task`",
})  # fmt: skip

WHY: Mapping[str, str] = MappingProxyType({
    "run.operations.get": "to wait until a change is done",
    "run.revisions.get": "a revision may keep a minimum of its own, which is told, and put to 0 on the latest one",
    "run.services.get": "to read a service before it is changed and afterwards",
    "run.services.list": "to see which services the policy selects",
    "run.services.update": "to change the scaling, and to put it back",
    "run.workerpools.get": "to read a worker pool before it is changed and afterwards",
    "run.workerpools.list": "to see which worker pools the policy selects",
    "run.workerpools.update": "to change the count, and to put it back",
    "storage.buckets.get": "labels, soft delete, versions, retention and the rules that there are already",
    "storage.buckets.list": "to see which buckets the policy's patterns mean",
    "storage.buckets.update": "to add lifecycle rules, and to take them away again",
    "storage.objects.create": "what is compressed is written beside its original; what was deleted is brought back",
    "storage.objects.delete": "to delete what is in the manifest, each generation by its number",
    "storage.objects.get": "to see whether an object still is the one that was seen, and to read status files and what is compressed",
    "storage.objects.list": "to see what there is, and to write it into the manifest",
    "storage.objects.restore": "to bring back what soft delete keeps",
})  # fmt: skip

AUDIT: Mapping[str, tuple[str, str]] = MappingProxyType({
    "roles/run.viewer": ("watched projects", "services, worker pools, jobs and their executions"),
    "roles/monitoring.viewer": ("watched projects", "requests, CPU, memory and sizes of buckets, and what waits in subscriptions"),
    "roles/storage.bucketViewer": ("watched projects", "buckets with their rules"),
    "roles/storage.objectViewer": ("watched projects", "objects by size, age and class, and the status files of runs; and the journal, on the state bucket"),
    "roles/pubsub.viewer": ("watched projects", "whether somebody listens to the budgets' topics"),
    "roles/iam.securityReviewer": ("watched projects", "whether Google may publish to them"),
    "roles/browser": ("watched projects", "the number and the billing account of a project"),
    "roles/billing.viewer": ("billing account", "budgets and their thresholds"),
})  # fmt: skip
"""By role, where and what for. They are Google's own, since these reads touch too many services for a list of single permissions to stay true."""

AGENTS: Sequence[tuple[str, str, str]] = (
    (
        "`billing-budget-alert@system.gserviceaccount.com`",
        "publishes to the budget topic (`roles/pubsub.publisher`)",
        "Google grants it itself when a budget is connected to the topic. It only stays because nothing here replaces a whole policy",
    ),
    (
        "the service agent of Cloud Storage, `service-NUMBER@gs-project-accounts.iam.gserviceaccount.com`",
        "publishes to the topic of the watched buckets (`roles/pubsub.publisher`)",
        "buckets tell of new objects through it",
    ),
    (
        "the service agent of Pub/Sub, `service-NUMBER@gcp-sa-pubsub.iam.gserviceaccount.com`",
        "publishes to the dead-letter topic, and acknowledges on the subscriptions that have one (`roles/pubsub.publisher`, `roles/pubsub.subscriber`)",
        "what nobody takes is set aside instead of being lost",
    ),
    (
        "`cw-push`, the identity that Pub/Sub's deliveries carry",
        "calls the three functions that messages trigger, and no other (`roles/run.invoker`)",
        "nobody else's messages are taken for the topics'",
    ),
    (
        "the service agent of Cloud Scheduler",
        "publishes the tick and the digest to the tasks topic",
        "it has that right in its own project by its default role",
    ),
    (
        "`cw-build`, the identity that functions are built with",
        "reads the archive, writes their images and its log (`roles/storage.objectViewer` on those buckets, `roles/artifactregistry.writer`, `roles/logging.logWriter`)",
        "so that no build runs as the default service account, which may do nearly everything",
    ),
)  # fmt: skip
"""Who beside the functions has a right: who, what, why. https://cloud.google.com/iam/docs/service-agents"""

PEOPLE: Sequence[tuple[str, str]] = (
    ("read the audit over HTTP", "`roles/run.invoker` on the function `audit`"),
    ("press buttons and type commands in Slack", "to be in `slack.approvers` of the policy, or in the channel where that is empty"),
    (
        "`python -m functions list`, `show`, `plan`",
        "`roles/storage.objectViewer` on the state bucket and on the policy's; for `plan` also `roles/run.viewer` on the watched projects",
    ),
    (
        "`python -m functions restore`, `approve`, `cancel`, `hold`",
        "`roles/storage.objectUser` on the state bucket, the custom roles below on what is put back, and `roles/iam.serviceAccountUser` on the identities of its services",
    ),
    ("change the policy", "`roles/storage.objectUser` on the policy's bucket: whoever has it decides what the watchdog does, so give it to few"),
    ("apply Terraform", "what [deployment](deployment.md#what-you-need) lists"),
)  # fmt: skip


def acting(action: Action) -> tuple[str, ...]:
    """The functions that carry an action out: what goes through the objects of buckets is left to the tick; the rest is done where it is decided."""
    if action.works:
        return ("task",)
    return ("budget_alert", "task") if action.changes else ()


def granted(function: str) -> frozenset[str]:
    """All permissions that a function may be granted for the policy's actions and its rules about runs."""
    on_objects = ON_OBJECTS if function == "task" else frozenset[str]()
    return on_objects.union(*(action.permissions for action in registry().values() if function in acting(action)))


def page() -> str:
    """The page."""
    return "\n".join([*_functions(), *_actions(), *_audit(), *_others(), *_people(), *_nobody(), ""])


def _functions() -> Iterator[str]:
    yield "# Permissions"
    yield ""
    yield "Who may do what, and why. This page is made from what the code declares (`make docs`), and a test holds it to that."
    yield ""
    yield "## The functions"
    yield ""
    yield "Each has a service account of its own, `cw-budget-alert` and so on."
    yield ""
    yield from _table(("function", "who may call it", "what it does"), ((f"`{name}`", CALLED_BY[name], DOES[name]) for name in NEEDS))
    places: tuple[Place, ...] = ("state bucket", "policy", "tasks topic", "watched buckets", "secrets")
    for place in places:
        yield ""
        yield f"### On the {place}" if place != "secrets" else "### Of the secrets"
        yield ""
        yield _ABOUT[place]
        yield ""
        yield from _table(("function", "may"), ((f"`{name}`", _list(needs[place])) for name, needs in NEEDS.items() if needs.get(place)))


_ABOUT: Mapping[Place, str] = MappingProxyType({
    "state bucket": (
        "The [journal](how-it-works.md#the-journal). `storage.objects.delete` is what Cloud Storage asks of whoever writes an object anew; every write and every "
        "deletion names the generation that it replaces, and versions are kept. A function that cannot write here changes nothing anywhere. `slack_action` is kept to the "
        "folder `requests/`."
    ),
    "policy": "The object that `WATCHDOG_POLICY` names. No function may write it.",
    "tasks topic": "To have what could not be finished carried on, and what was asked for in Slack done.",
    "watched buckets": (
        "`storage_event` reads a status file that a rule looks into. What is done to buckets and objects is below, under "
        "[what the policy's actions need](#what-the-policys-actions-need)."
    ),
    "secrets": (
        "By `roles/secretmanager.secretAccessor` on the single secret. No value is in Terraform's state. `storage_event` has none, since it is fed by whoever "
        "may write to a watched bucket."
    ),
})  # fmt: skip


def _actions() -> Iterator[str]:
    yield ""
    yield "## What the policy's actions need"
    yield ""
    yield (
        "Custom roles of exactly these permissions, on each watched project, or on the bucket where an action names its buckets. Only what the enabled actions of the "
        f"policy declare is granted; `{ARTIFACTS}` stands for the rules under `artifacts`. In `observe` the writing ones are used for nothing but putting back."
    )
    yield ""
    yield from _table(
        ("permission", "for", "of", "why"),
        (
            (f"`{each}`", ", ".join(_uses(each)), _list(_users(each)), WHY[each])
            for each in sorted(granted("task") | granted("budget_alert"))
        ),
    )
    yield ""
    yield "By action:"
    yield ""
    rows = [(name, acting(action), action.permissions) for name, action in sorted(registry().items())]
    rows.append((ARTIFACTS, ("task",), ON_OBJECTS))
    yield from _table(
        ("action", "function", "permissions"),
        (
            (f"`{name}`" if name in registry() else name, _list(who) or "none", _list(sorted(permissions)) or "none")
            for name, who, permissions in rows
        ),
    )
    yield ""
    yield "Whether they are there is [tested once a day](how-it-works.md#permissions) by the tick, with its own identity."
    yield ""
    yield (
        "Beside them, `budget_alert` and `task` have `roles/iam.serviceAccountUser` on each service account that the variable `act_as` names, and on no other: Cloud "
        "Run lets nobody update a service or a worker pool who may not act as its identity. Who may do both could also put other code into that service, so the right is "
        "given on single accounts. The daily test does not cover it."
    )


def _uses(permission: str) -> list[str]:
    uses = [f"`{name}`" for name, action in sorted(registry().items()) if permission in action.permissions]
    return [*uses, ARTIFACTS] if permission in ON_OBJECTS else uses


def _users(permission: str) -> list[str]:
    return [name for name in ("budget_alert", "task") if permission in granted(name)]


def _audit() -> Iterator[str]:
    yield ""
    yield "## What an audit may read"
    yield ""
    yield "For `audit`, and for `task` where the weekly digest should have a whole audit in it. Viewers all of them; what is missing is a finding, and not an error."
    yield ""
    yield from _table(("role", "on", "to see"), ((f"`{role}`", f"the {where}", what) for role, (where, what) in AUDIT.items()))
    yield ""
    yield "`roles/billing.viewer` is all that anything here has on the billing account. `storage_event`, `slack_action` and `budget_alert` have nothing on it."


def _others() -> Iterator[str]:
    yield ""
    yield "## Google's own, and what carries messages"
    yield ""
    yield from _table(("who", "may", "why"), AGENTS)


def _people() -> Iterator[str]:
    yield ""
    yield "## People"
    yield ""
    yield from _table(("to", "takes"), PEOPLE)


def _nobody() -> Iterator[str]:
    yield ""
    yield "## What nothing here has"
    yield ""
    yield "- A basic role (`roles/owner`, `roles/editor`, `roles/viewer`), or the default service account of Compute Engine."
    yield "- The right to write on a billing account: the budgets are made by whoever applies Terraform."
    yield "- The right to create or delete a service, a worker pool, a bucket or a project, to read a secret of somebody else's, or to change who may do what."
    yield "- The right to write the policy, or the archive that it runs from."
    yield "- A service account's key. Nothing is authoritative either: every grant is one member's, so that no other's is taken away."


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _list(names: Iterable[str]) -> str:
    return ", ".join(" or ".join(f"`{each}`" for each in name.split(" or ")) for name in names)


def main() -> int:
    """Write the page.

    Returns:
        0.
    """
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
