"""The stand-in for Cloud Storage takes the lifecycle configurations that the service takes, and refuses the others as a whole."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.storage_errors import ApiError
from sandbox.storage_lifecycle import MOST_AFFIXES, MOST_RULES
from sandbox.storage_model import Storage
from sandbox.storage_state import Conditions

AGED = {"age": 9}
DELETE = {"type": "Delete"}


def storage(*rules: Any) -> Storage:
    """A bucket with these rules."""
    made = Storage()
    made.create_bucket("artifacts", lifecycle={"rule": [*rules]})
    return made


def rule(condition: dict[str, Any], **action: Any) -> dict[str, Any]:
    """A rule, which deletes unless it is said otherwise."""
    return {"action": action or DELETE, "condition": condition}


@pytest.mark.parametrize(
    "condition",
    [
        {"age": 0},
        {"createdBefore": "2026-11-24"},
        {"customTimeBefore": "2026-11-24"},
        {"daysSinceCustomTime": 1},
        {"daysSinceNoncurrentTime": 30},
        {"isLive": False, "numNewerVersions": 3},
        {"matchesPattern": "runs/.*"},
        {"matchesPrefix": ["raw/"], "matchesSuffix": [".tmp"]},
        {"matchesStorageClass": ["STANDARD", "NEARLINE"]},
        {"noncurrentTimeBefore": "2026-11-24"},
        {"sizeAboveBytes": "1000", "sizeBelowBytes": 2000},
    ],
)
def test_every_documented_condition_is_taken(condition: dict[str, Any]) -> None:
    """It is given back as it was written."""
    found = storage(rule(condition)).get_bucket("artifacts")["lifecycle"]
    assert found == {"rule": [rule(condition)]}


@pytest.mark.parametrize(
    "action",
    [{"type": "SetStorageClass", "storageClass": "COLDLINE"}, {"type": "AbortIncompleteMultipartUpload"}],
)
def test_every_documented_action_is_taken(action: dict[str, Any]) -> None:
    """Beside Delete."""
    assert storage(rule(AGED, **action)).get_bucket("artifacts")["lifecycle"] == {"rule": [rule(AGED, **action)]}


@pytest.mark.parametrize(
    ("faulty", "said"),
    [
        ({**rule(AGED), "when": 1}, 'unknown name "when"'),
        ({"condition": AGED}, "an action has a type"),
        (rule(AGED, type="Delete", age=9), "an action has a type"),
        (rule(AGED, type="Shred"), "unknown action 'Shred'"),
        (rule(AGED, type={"type": "Delete"}), "unknown action"),
        (rule(AGED, type="Delete", storageClass="NEARLINE"), "a storage class goes with SetStorageClass"),
        (rule(AGED, type="SetStorageClass"), "a storage class goes with SetStorageClass"),
        (rule(AGED, type="SetStorageClass", storageClass="COLD"), "a storage class goes with SetStorageClass"),
        ({"action": DELETE}, "at least one condition is required"),
        (rule({}), "at least one condition is required"),
        (
            rule({"isLive": True, "age": 9}, type="AbortIncompleteMultipartUpload"),
            "takes only the conditions age, matchesPrefix, matchesSuffix",
        ),
        (rule({"aged": 9}), 'unknown name "aged"'),
        (rule({"age": -1}), "age is a whole number, 0 or more, and not -1"),
        (rule({"age": 1.5}), "age is a whole number"),
        (rule({"age": "9"}), "age is a whole number"),
        (rule({"age": True}), "age is a whole number"),
        (rule({"numNewerVersions": None}), "numNewerVersions is a whole number"),
        (rule({"createdBefore": "24.11.2026"}), "createdBefore is a date"),
        (rule({"createdBefore": "20261124"}), "createdBefore is a date"),
        (rule({"isLive": 1}), "isLive is true or false"),
        (rule({"matchesPrefix": "raw/"}), "matchesPrefix is a list"),
        (rule({"matchesPrefix": [""]}), "matchesPrefix is a list"),
        (rule({"matchesSuffix": ["x" * 1025]}), "matchesSuffix is a list"),
        (rule({"matchesPattern": 1}), "matchesPattern is text"),
        (rule({"matchesStorageClass": "STANDARD"}), "matchesStorageClass is a list"),
        (rule({"matchesStorageClass": ["COLD"]}), "matchesStorageClass names something"),
        (rule({"sizeAboveBytes": "big"}), "sizeAboveBytes is a number of bytes"),
    ],
)
def test_a_rule_that_the_service_would_refuse_is_refused(faulty: dict[str, Any], said: str) -> None:
    """The whole configuration is, with the number of the rule, and the one that was there stays."""
    made = storage(rule(AGED))
    with pytest.raises(ApiError, match="Lifecycle rule 2: ") as refused:
        made.patch_bucket("artifacts", {"lifecycle": {"rule": [rule(AGED), faulty]}})
    assert (refused.value.status, said in refused.value.message) == (400, True), refused.value.message
    found = made.get_bucket("artifacts")
    assert (found["lifecycle"], found["metageneration"]) == ({"rule": [rule(AGED)]}, "1")


@pytest.mark.parametrize("lifecycle", [{"rules": []}, {"rule": {"a": 1}}, {"rule": ["delete"]}, {"rule": [], "version": 1}])
def test_a_configuration_of_another_form_is_refused(lifecycle: Any) -> None:
    """It holds a list of rules and nothing else."""
    with pytest.raises(ApiError) as refused:
        storage().patch_bucket("artifacts", {"lifecycle": lifecycle})
    assert refused.value.status == 400


def test_a_bucket_has_so_many_rules_at_most() -> None:
    """And so many prefixes and suffixes in all of them."""
    many = [rule({"age": age}) for age in range(MOST_RULES + 1)]
    assert len(storage(*many[:-1]).get_bucket("artifacts")["lifecycle"]["rule"]) == MOST_RULES
    with pytest.raises(ApiError, match="at most 100 lifecycle rules"):
        storage(*many)
    names = [f"raw/{number}/" for number in range(MOST_AFFIXES)]
    storage(rule({"matchesPrefix": names}))
    with pytest.raises(ApiError, match="at most 1000 prefixes and suffixes"):
        storage(rule({"matchesPrefix": names}), rule({"matchesSuffix": [".tmp"]}))


def test_an_empty_list_takes_all_rules_away() -> None:
    """As the service shows none at all then."""
    made = storage(rule(AGED))
    made.patch_bucket("artifacts", {"lifecycle": {"rule": []}})
    assert "lifecycle" not in made.get_bucket("artifacts")


def test_a_write_under_a_stale_metageneration_is_refused() -> None:
    """Whatever was changed meanwhile, rules or labels."""
    made = storage(rule(AGED))
    made.patch_bucket("artifacts", {"labels": {"team": "vision"}})
    with pytest.raises(ApiError) as refused:
        made.patch_bucket("artifacts", {"lifecycle": {"rule": []}}, Conditions(metageneration=1))
    assert refused.value.status == 412
    assert made.get_bucket("artifacts")["lifecycle"] == {"rule": [rule(AGED)]}


def test_a_location_that_is_down_leaves_a_partial_listing() -> None:
    """Its buckets are missing, and are named only to whoever takes a partial answer."""
    made = storage()
    made.create_bucket("away")
    made.unreachable.add("away")
    items, more = made.list_buckets("acme")
    assert ([each["name"] for each in items], more) == (["artifacts"], False)
