"""``set_lifecycle``: rules by which Cloud Storage deletes old objects, or moves them to a colder class, are added to those of a bucket.

The rules are those of https://docs.cloud.google.com/storage/docs/lifecycle. They have no names, so a rule is known by all that it says: one
that is there already is not added, and only those that were added are taken away again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import timedelta
from decimal import Decimal
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from shared.actions import Action, Move, State
from shared.actions.on_objects import folder
from shared.model import Resource, canonical
from shared.policy.fields import Duration, Part, duration_text, longer_than_nothing
from shared.policy.select import Selector
from shared.policy.text import show

MOST_RULES = 100
"""Lifecycle rules of a bucket at most: https://docs.cloud.google.com/storage/quotas."""
# Days for which an object of the class is billed at least; the time before it was moved there counts.
_MINIMUM = {"NEARLINE": 30, "COLDLINE": 90, "ARCHIVE": 365}
_IN_ORDER = ("nearline_after", "coldline_after", "archive_after", "delete_after")
_AUTOCLASS = "Autoclass already moves its objects between storage classes"
_PLATFORM = {
    "gcf-v2-*": "Cloud Run functions keeps sources in it",
    "gcf-sources-*": "Cloud Functions keeps sources in it",
    "run-sources-*": "Cloud Run keeps sources in it",
    "*_cloudbuild": "Cloud Build keeps sources and logs in it",
    "*.appspot.com": "App Engine or Container Registry keeps its files in it",
}


def _glob(text: str) -> str:
    if "/" in text or not text or any(character not in _OF_NAMES for character in text):
        raise ValueError(
            f"{show(text)} can never match a bucket; write its name without gs:// and without a folder, such as acme-ml-artifacts; "
            "* ? and [ab] are wildcards"
        )
    return text


def _prefix(text: str) -> str:
    return folder(text) if text else text


def _days(length: timedelta) -> timedelta:
    if length % timedelta(days=1):
        raise ValueError(f"{duration_text(length)} is not a whole number of days, and lifecycle rules count in days; write one such as 30d")
    return length


_OF_NAMES = frozenset("abcdefghijklmnopqrstuvwxyz0123456789._-*?[]!")
BucketGlob = Annotated[str, AfterValidator(_glob)]
Days = Annotated[Duration, AfterValidator(longer_than_nothing), AfterValidator(_days)]


class Rules(Part):
    """Rules for the objects of one folder."""

    prefix: Annotated[str, AfterValidator(_prefix)] | None = Field(
        default=None,
        description='The folder that the rules keep to, such as raw/; "" is the whole bucket, and so is none where nothing is deleted.',
    )
    nearline_after: Days | None = Field(default=None, description="Objects of this age move to Nearline.")
    coldline_after: Days | None = Field(default=None, description="Objects of this age move to Coldline.")
    archive_after: Days | None = Field(default=None, description="Objects of this age move to Archive.")
    delete_after: Days | None = Field(default=None, description="Objects of this age are deleted.")
    delete_noncurrent_after: Days | None = Field(default=None, description="Versions that have been noncurrent for so long are deleted.")
    abort_uploads_after: Days | None = Field(
        default=None, description="Multipart uploads that were not completed within this time are aborted."
    )

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        given = [(name, length) for name in _IN_ORDER if (length := getattr(self, name)) is not None]
        for (first, sooner), (second, later) in pairwise(given):
            if sooner >= later:
                raise ValueError(f"{second} ({duration_text(later)}) should be longer than {first} ({duration_text(sooner)})")
        if not given and self.delete_noncurrent_after is None and self.abort_uploads_after is None:
            raise ValueError(f"sets no rule; write at least one of {', '.join(_IN_ORDER)}, delete_noncurrent_after, abort_uploads_after")
        if self.delete_after is not None and self.prefix is None:
            raise ValueError(
                'delete_after without a prefix would delete everything in the bucket; write prefix: raw/, or prefix: "" if that is meant'
            )
        return self

    def rules(self) -> Iterator[dict[str, Any]]:
        """The rules as Cloud Storage writes them."""
        within = {"matchesPrefix": [self.prefix]} if self.prefix else {}
        for storage_class in _MINIMUM:
            if age := getattr(self, f"{storage_class.lower()}_after"):
                yield {"action": {"type": "SetStorageClass", "storageClass": storage_class}, "condition": {"age": age.days, **within}}
        if self.delete_after:
            yield {"action": {"type": "Delete"}, "condition": {"age": self.delete_after.days, **within}}
        if self.delete_noncurrent_after:
            yield {"action": {"type": "Delete"}, "condition": {"daysSinceNoncurrentTime": self.delete_noncurrent_after.days, **within}}
        if self.abort_uploads_after:
            yield {"action": {"type": "AbortIncompleteMultipartUpload"}, "condition": {"age": self.abort_uploads_after.days, **within}}

    def billed_longer(self) -> str:
        """What is said of objects that are deleted before they have been billed for as long as their class asks; empty where none are."""
        colder = [name for name in _MINIMUM if getattr(self, f"{name.lower()}_after")]
        if not colder or not self.delete_after or self.delete_after.days >= _MINIMUM[colder[-1]]:
            return ""
        return (
            f"what is deleted after {self.delete_after.days} days is billed for all of {colder[-1].capitalize()}'s {_MINIMUM[colder[-1]]}: "
            f"leave out {colder[-1].lower()}_after, or delete later"
        )


class _Named(Selector):
    """Buckets by name; a bucket's name may hold what a service's may not."""

    services: tuple[BucketGlob, ...] = ()


class Params(Rules):
    """What stands under ``set_lifecycle`` in the policy.

    Attributes:
        buckets: Which buckets.
        also: Rules for further folders of theirs.
    """

    buckets: tuple[BucketGlob, ...] = Field(min_length=1, description="Names of buckets, or patterns for them.")
    also: tuple[Rules, ...] = Field(default=(), description="The same settings for further folders of these buckets.")

    @property
    def select(self) -> Selector:
        """The buckets as every action's resources are selected."""
        return _Named(services=self.buckets)

    def folders(self) -> tuple[Rules, ...]:
        """The rules folder by folder."""
        return (Rules(**{name: getattr(self, name) for name in Rules.model_fields}), *self.also)


def join(uses: Sequence[Params]) -> Params:
    """One use that asks for the rules of all: they add up, and do not beat each other."""
    first, *others = uses
    return first.model_copy(update={"also": (*first.also, *(rules for other in others for rules in other.folders()))})


class Buckets:
    """How rules come to stand in a bucket's lifecycle configuration."""

    kind = "bucket"

    def plan(self, resource: Resource, params: Params) -> Move | str:
        """The rules that are not there yet, beside all that are."""
        owner = next((what for glob, what in _PLATFORM.items() if fnmatchcase(resource.short_name, glob)), "")
        if owner and resource.short_name not in params.buckets:
            return f"{owner}; only a step that names it in full may touch it"
        asked = {canonical(rule): rule for rules in params.folders() for rule in rules.rules()}
        missing = {
            text: rule for text, rule in asked.items() if text not in resource.state and not (resource.facts["autoclass"] and _moves(rule))
        }
        if not missing:
            return "already has these lifecycle rules" if asked.keys() <= resource.state.keys() else _AUTOCLASS
        if len(resource.state) + len(missing) > MOST_RULES:
            return f"has {len(resource.state)} lifecycle rules, and with {len(missing)} more there would be more than the {MOST_RULES} that a bucket may have"
        # What other people wrote is written back and never insisted on: they may change it at any time.
        wanted = {**dict.fromkeys(resource.state), **dict.fromkeys(missing, True)}
        return Move(wanted, 1, Decimal(0), _remains(resource, params, [*missing.values()]))

    def reached(self, state: State, wanted: State) -> bool:
        """Whether every rule that was added stands; what other people add, change and take away of their own is theirs to say."""
        return all(rule in state for rule, ours in wanted.items() if ours)

    def made(self, live: State, wanted: State) -> State:  # noqa: ARG002  # what is not wanted was added by somebody
        """The rules that were wanted, as they read once they are written."""
        return dict.fromkeys(wanted, True)

    def groups(self, live: State, ours: tuple[State, ...], original: State) -> tuple[tuple[str, ...], ...]:  # noqa: ARG002  # what is only live is theirs
        """Each rule that came or went between these states stands for itself; all others are other people's."""
        states = (*ours, original)
        return tuple(
            (rule,) for rule in dict.fromkeys(rule for state in states for rule in state) if any(rule not in state for state in states)
        )

    def line(self, before: State, after: State) -> str:
        """The rules that come and go."""
        changes = (
            (verb, [_words(json.loads(rule)) for rule in there if rule not in missing])
            for verb, there, missing in (("adds", after, before), ("takes away", before, after))
        )
        said = [
            f"{verb} {len(rules)} lifecycle rule{'s' if len(rules) > 1 else ''}: {'; '.join(rules)}" for verb, rules in changes if rules
        ]
        return ", and ".join(said) or "no other lifecycle rules"


def _remains(resource: Resource, params: Params, missing: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """What a rule costs, and when it begins to help: https://cloud.google.com/storage/pricing."""
    said = ["lifecycle rules take effect within a day and work in their own time, so nothing is saved before that"]
    deletes = [rule for rule in missing if rule["action"]["type"] == "Delete"]
    if deletes and resource.facts["soft_delete_days"]:
        said.append(
            f"what the rules delete is kept and billed for another {resource.facts['soft_delete_days']} days by the bucket's soft delete"
        )
    if not resource.facts["versioned"] and any("daysSinceNoncurrentTime" in rule["condition"] for rule in deletes):
        said.append("the bucket keeps no versions, so the rule about noncurrent ones finds only what is left from when it did")
    if any(_moves(rule) for rule in missing):
        said.append(
            "each object that moves costs one operation at the colder class's price, and each read of it from then on a retrieval fee; "
            "the move itself carries no early-deletion fee"
        )
    if not resource.facts["autoclass"]:
        said.extend(dict.fromkeys(sentence for rules in params.folders() if (sentence := rules.billed_longer())))
    elif any(_moves(rule) for rules in params.folders() for rule in rules.rules()):
        said.append(f"{_AUTOCLASS}, so no rule about those is added")
    return tuple(said)


def _moves(rule: dict[str, Any]) -> bool:
    return bool(rule["action"]["type"] == "SetStorageClass")


def _words(rule: dict[str, Any]) -> str:
    """A rule as people say it, whoever wrote it."""
    action, condition = rule.get("action", {}), dict(rule.get("condition", {}))
    kind, age, noncurrent = action.get("type"), condition.pop("age", None), condition.pop("daysSinceNoncurrentTime", None)
    where = " and ".join(condition.pop("matchesPrefix", [])) or "everything"
    what = {
        "Delete": f"delete {'noncurrent versions of ' if noncurrent is not None else ''}{where}",
        "SetStorageClass": f"move {where} to {str(action.get('storageClass', '')).capitalize()}",
        "AbortIncompleteMultipartUpload": f"abort uploads to {where}",
    }.get(kind, f"{kind} {where}")
    when = " and ".join(f"after {days} day{'' if days == 1 else 's'}" for days in (age, noncurrent) if days is not None)
    return " ".join(part for part in (what, when, f"where {json.dumps(condition, ensure_ascii=False)}" if condition else "") if part)


ACTION = Action(
    name="set_lifecycle",
    params=Params,
    permissions=frozenset({"storage.buckets.list", "storage.buckets.get", "storage.buckets.update"}),
    changes=Buckets(),
    join=join,
)
