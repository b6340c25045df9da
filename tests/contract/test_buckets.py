"""Buckets and their lifecycle rules: the same in memory and over the wire."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from sandbox.faults import Fault
from shared.cloud.buckets import GcsBuckets
from shared.errors import Conflict, Denied, Gone, Refused, Unavailable
from shared.model import EVERYWHERE, NO_LABELS, Place
from shared.ports import Fleet
from tests.buckets import BUCKET_FACTS, MemoryBuckets, Rule, delete, full_name, move, state
from tests.contract.stand_ins import STATE_BUCKET, Gcs
from tests.stage import PROJECT

PLACE = Place(PROJECT, EVERYWHERE)
MINE, THEIRS = delete(90, "raw/"), move("NEARLINE", 30)
LATER = {"action": {"type": "Delete"}, "condition": {"isLive": False, "numNewerVersions": 3}}


@dataclass(frozen=True)
class Estate:
    """Buckets, and what other people do to them."""

    fleet: Fleet
    add: Callable[..., str]
    put: Callable[..., None]
    label: Callable[..., None]
    rules: Callable[[str], list[Rule]]
    delete: Callable[[str], None]
    lose: Callable[[str], None]


def memory() -> Estate:
    """The double."""
    fleet = MemoryBuckets()

    def lose(name: str) -> None:
        fleet.unreachable.add(name.rpartition("/")[2])

    return Estate(fleet, fleet.add, fleet.put, fleet.label, lambda name: [*fleet.rules[name]], fleet.delete, lose)


def wire(gcs: Gcs) -> Estate:
    """The real client before the stand-in."""
    model = gcs.model

    def add(name: str, *rules: Rule, labels: Mapping[str, str] = NO_LABELS) -> str:
        _, project, _, location, _, short = name.split("/")
        model.create_bucket(short, project=project, location=location, labels=dict(labels))
        put(name, *rules)
        return name

    def put(name: str, *rules: Rule) -> None:
        model.patch_bucket(_short(name), {"lifecycle": {"rule": [*rules]}})

    def label(name: str, **labels: str) -> None:
        model.patch_bucket(_short(name), {"labels": labels})

    def rules(name: str) -> list[Rule]:
        found: list[Rule] = model.get_bucket(_short(name)).get("lifecycle", {}).get("rule", [])
        return found

    def lose(name: str) -> None:
        model.unreachable.add(_short(name))

    return Estate(GcsBuckets(STATE_BUCKET, patience=0.3), add, put, label, rules, lambda name: model.delete_bucket(_short(name)), lose)


def _short(name: str) -> str:
    return name.rpartition("/")[2]


@pytest.fixture(params=["memory", "wire"])
def estate(request: pytest.FixtureRequest) -> Estate:
    """The double, or the real client before the stand-in."""
    return memory() if request.param == "memory" else wire(request.getfixturevalue("gcs"))


def test_a_project_is_listed_once_with_all_its_locations(estate: Estate) -> None:
    """Regions, dual-regions and multi-regions, in the order of the short names, with labels and rules; and no other project's."""
    names = [full_name("acme-a", "us"), full_name("acme-b", "nam4"), full_name("acme-c", "europe-west1")]
    estate.add(names[2])
    estate.add(names[0], MINE, THEIRS, labels={"team": "vision"})
    estate.add(names[1])
    estate.add(full_name("acme-d", project="somebody-else"))
    seen = estate.fleet.list(PLACE)
    mine = [each for each in seen.resources if each.short_name != STATE_BUCKET]
    assert [each.name for each in mine] == names
    assert (mine[0].kind, mine[0].labels, mine[0].state) == ("bucket", {"team": "vision"}, state(MINE, THEIRS))
    assert [each.state for each in mine[1:]] == [{}, {}]
    assert mine[0] == estate.fleet.get(names[0])
    assert seen.unreachable == ()


def test_a_location_that_is_down_is_named(estate: Estate) -> None:
    """What is there is listed, and what is missing is not taken for deleted."""
    there = estate.add(full_name("acme-a"))
    estate.lose(estate.add(full_name("acme-b")))
    seen = estate.fleet.list(PLACE)
    assert there in [each.name for each in seen.resources]
    assert "acme-b" not in [each.short_name for each in seen.resources]
    assert seen.unreachable == ("projects/_/buckets/acme-b",)


def test_what_is_known_of_a_bucket(estate: Estate) -> None:
    """The double and the real client know the same of a plain one, and nothing of it costs further calls."""
    seen = estate.fleet.get(estate.add(full_name("acme-a")))
    assert seen.facts == BUCKET_FACTS
    assert estate.fleet.detail(seen) == seen


def test_rules_are_added_beside_what_other_people_wrote(estate: Estate) -> None:
    """Theirs stay in their order and as they wrote them, even twice; the new ones come behind."""
    name = estate.add(full_name("acme-a"), THEIRS, LATER, THEIRS)
    seen = estate.fleet.get(name)
    estate.fleet.write(seen, {**dict.fromkeys(seen.state), **state(MINE)}, timeout=10)
    assert estate.rules(name) == [THEIRS, LATER, THEIRS, MINE]
    after = estate.fleet.get(name)
    assert after.state == state(THEIRS, LATER, MINE)
    assert after.etag != seen.etag


def test_rules_are_taken_away_from_among_what_other_people_wrote(estate: Estate) -> None:
    """Only those that are no longer wanted go, and the last one leaves none."""
    name = estate.add(full_name("acme-a"), THEIRS, MINE, LATER)
    estate.fleet.write(estate.fleet.get(name), state(THEIRS, LATER), timeout=10)
    assert estate.rules(name) == [THEIRS, LATER]
    estate.fleet.write(estate.fleet.get(name), {}, timeout=10)
    assert estate.rules(name) == []
    assert estate.fleet.get(name).state == {}


def test_the_same_rules_are_not_written(estate: Estate) -> None:
    """Where nothing differs nothing is sent, not even to see whether the bucket still is there."""
    seen = estate.fleet.get(estate.add(full_name("acme-a"), THEIRS))
    estate.fleet.write(seen, dict.fromkeys(seen.state), timeout=10)
    assert estate.fleet.get(seen.name) == seen
    estate.delete(seen.name)
    estate.fleet.write(seen, seen.state, timeout=10)


@pytest.mark.parametrize("change", ["rules", "labels"])
def test_whoever_changed_the_bucket_meanwhile_wins(estate: Estate, change: str) -> None:
    """A bucket's rules are written as a whole, so nothing is written over what was not seen."""
    name = estate.add(full_name("acme-a"), THEIRS)
    seen = estate.fleet.get(name)
    theirs = [THEIRS, LATER] if change == "rules" else [THEIRS]
    if change == "rules":
        estate.put(name, *theirs)
    else:
        estate.label(name, team="vision")
    with pytest.raises(Conflict, match=name):
        estate.fleet.write(seen, {**seen.state, **state(MINE)}, timeout=10)
    assert estate.rules(name) == theirs


def test_what_is_not_there(estate: Estate) -> None:
    """Reading or writing what was deleted says that it is gone, with its name."""
    name = estate.add(full_name("acme-a"))
    seen = estate.fleet.get(name)
    estate.delete(name)
    with pytest.raises(Gone, match=name):
        estate.fleet.get(name)
    with pytest.raises(Gone, match=name):
        estate.fleet.write(seen, state(MINE), timeout=10)


# the wire alone


@pytest.fixture
def buckets(gcs: Gcs) -> GcsBuckets:  # noqa: ARG001  # the server has to run
    """The real client with little patience."""
    return GcsBuckets(STATE_BUCKET, patience=0.3)


def made(gcs: Gcs, name: str = "acme-a", *rules: Rule, **properties: Any) -> str:
    """A bucket in us-central1."""
    more = {"lifecycle": {"rule": [*rules]}} if rules else {}
    gcs.model.create_bucket(name, project=PROJECT, location="us-central1", **more, **properties)
    return full_name(name)


def test_many_buckets_come_over_several_pages(gcs: Gcs, buckets: GcsBuckets) -> None:
    """A page holds a thousand at most."""
    for number in range(1001):
        gcs.model.create_bucket(f"acme-{number:04}", project=PROJECT)
    assert len(buckets.list(PLACE).resources) == 1002
    assert gcs.faults.calls["storage.buckets.list"] == 2


def test_the_state_bucket_is_marked_as_the_watchdogs_own(gcs: Gcs, buckets: GcsBuckets) -> None:
    """Whatever a step names, it is left alone."""
    made(gcs)
    marks = {each.short_name: each.facts["watchdog"] for each in buckets.list(PLACE).resources}
    assert marks == {STATE_BUCKET: True, "acme-a": False}


def test_what_a_plan_needs_to_know_of_a_bucket(gcs: Gcs, buckets: GcsBuckets) -> None:
    """For how long deleted objects are billed, whether versions are kept, and whether Autoclass rules."""
    versioned = made(gcs, "acme-a", versioning={"enabled": True}, softDeletePolicy={"retentionDurationSeconds": 0})
    rated = made(gcs, "acme-b", autoclass={"enabled": True}, softDeletePolicy={"retentionDurationSeconds": 10 * 86_400 + 1})
    assert buckets.get(versioned).facts == {**BUCKET_FACTS, "versioned": True, "soft_delete_days": 0}
    assert buckets.get(rated).facts == {**BUCKET_FACTS, "autoclass": True, "soft_delete_days": 11}


def test_a_bucket_that_moved_to_another_location_keeps_the_name_it_is_known_by(gcs: Gcs, buckets: GcsBuckets) -> None:
    """Buckets can be relocated, and what was added to them is still put back."""
    made(gcs)
    assert buckets.get(full_name("acme-a", "us-east1")).name == full_name("acme-a", "us-east1")


def test_a_change_between_the_look_and_the_write_is_refused_by_the_service(gcs: Gcs, buckets: GcsBuckets) -> None:
    """The write names the metageneration, so nothing comes between."""
    name = made(gcs, "acme-a", THEIRS)
    seen = buckets.get(name)
    gcs.faults.inject(Fault("storage.buckets.patch", status=412, times=1))
    with pytest.raises(Conflict, match=name):
        buckets.write(seen, {**seen.state, **state(MINE)}, timeout=10)


def test_a_write_that_is_not_answered_is_not_repeated(gcs: Gcs, buckets: GcsBuckets) -> None:
    """It may have been done; whoever asked looks again, and finds that it was."""
    name = made(gcs, "acme-a", THEIRS)
    seen = buckets.get(name)
    gcs.faults.inject(Fault("storage.buckets.patch", drop_answer=True, times=1))
    with pytest.raises(Unavailable):
        buckets.write(seen, {**seen.state, **state(MINE)}, timeout=10)
    assert gcs.faults.calls["storage.buckets.patch"] == 1
    assert buckets.get(name).state == state(THEIRS, MINE)


def test_too_many_updates_ask_for_patience(gcs: Gcs, buckets: GcsBuckets) -> None:
    """A bucket takes about one a second."""
    seen = buckets.get(made(gcs))
    gcs.faults.inject(Fault("storage.buckets.patch", status=429, times=1))
    with pytest.raises(Unavailable):
        buckets.write(seen, state(MINE), timeout=10)


@pytest.mark.parametrize("permission", ["storage.buckets.get", "storage.buckets.update"])
def test_a_permission_that_is_missing_is_named(gcs: Gcs, buckets: GcsBuckets, permission: str) -> None:
    """With the bucket, so that it can be granted."""
    seen = buckets.get(made(gcs))
    gcs.model.deny("acme-a", permission)
    with pytest.raises(Denied, match=permission) as denied:
        buckets.write(seen, state(MINE), timeout=10)
    assert seen.name in str(denied.value)


def test_a_project_that_cannot_be_listed_is_named(gcs: Gcs, buckets: GcsBuckets) -> None:
    """Others may still be."""
    gcs.faults.inject(Fault("storage.buckets.list", status=403))
    with pytest.raises(Denied, match=f"projects/{PROJECT}/buckets"):
        buckets.list(PLACE)


def test_a_rule_that_the_service_does_not_take_is_refused(gcs: Gcs, buckets: GcsBuckets) -> None:
    """With its own words, and nothing is changed."""
    seen = buckets.get(made(gcs, "acme-a", THEIRS))
    with pytest.raises(Refused, match="age"):
        buckets.write(seen, {**seen.state, **state(delete(-1))}, timeout=10)
    assert buckets.get(seen.name) == seen


def test_rules_of_a_kind_that_nobody_knows_yet_are_written_back(gcs: Gcs, buckets: GcsBuckets, monkeypatch: pytest.MonkeyPatch) -> None:
    """Google's own client leaves them out when it reads, and would take them away when it writes."""
    monkeypatch.setattr("sandbox.storage_lifecycle._ACTIONS", {"Delete", "Freeze"})
    strange = {"action": {"type": "Freeze"}, "condition": {"age": 9}}
    seen = buckets.get(made(gcs, "acme-a", strange))
    buckets.write(seen, {**seen.state, **state(MINE)}, timeout=10)
    assert gcs.model.get_bucket("acme-a")["lifecycle"]["rule"] == [strange, MINE]
