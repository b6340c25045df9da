"""The reads of an audit: everything that is needed, nothing else, and what fails hides nothing."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from shared.audit.estate import Gap, Need
from shared.audit.gather import Gatherer
from shared.audit.regions import REGIONS
from shared.audit.seen import Execution, Stock, Usage
from shared.errors import Denied, Gone, Unavailable
from shared.model import EVERYWHERE, Place, Resource
from shared.ports import Seen, World
from tests.stage import HERE, IDLE_80, NOTIFY_50, PROJECT, STOPPED_100, THERE, a_policy, full_name
from tests.survey import ACCOUNT, ALL, BUDGET, DEAD, TASKS, TOPIC, Survey
from tests.yard import RUNS


@pytest.fixture
def scene() -> Survey:
    """The policy parks staging at 80 and 100 percent."""
    return Survey(a_policy(NOTIFY_50, IDLE_80, STOPPED_100))


def test_everything_is_seen(scene: Survey) -> None:
    """What runs, what is stored, what is spent, what was measured, and what the watchdog did."""
    warm, prod = scene.service("warm"), scene.service("safe", labels={"env": "prod"})
    pool = scene.pool("trainer", 2, THERE)
    scene.put("data/x", size=7)
    scene.seer.used[PROJECT] = {warm: Usage(requests=3)}
    scene.seer.stored[PROJECT] = {RUNS: [Stock("live", "STANDARD", 7)]}
    execution = Execution("e", {}, datetime(2026, 11, 1, tzinfo=UTC), 1, 1, 1)
    scene.seer.executing[Place(PROJECT, HERE)] = [execution]
    scene.seer.waiting[PROJECT] = {f"projects/{PROJECT}/subscriptions/eventarc": 4}
    scene.seer.numbers[PROJECT] = "42"
    scene.send(60)
    seen = scene.look()
    assert seen.gaps == ()
    assert {each.name for each in seen.resources} == {warm, prod, pool, scene.bucket_name}
    assert [each.step for each in seen.reach[warm]] == ["actual-0.8", "actual-1"]
    assert seen.untouched == {prod: "protected by the label env=prod", pool: "not selected", scene.bucket_name: "not selected"}
    assert seen.usage == {warm: Usage(requests=3)}
    assert seen.stocks == {RUNS: (Stock("live", "STANDARD", 7),)}
    assert seen.inventories[RUNS].total.bytes == 7
    assert seen.executions == (execution,)
    assert (seen.budgets, seen.numbers) == ((BUDGET,), {PROJECT: "42"})
    assert [(topic.name, topic.use, topic.exists) for topic in seen.topics or ()] == [
        (TOPIC, "budgets", True), (TASKS, "tasks", True), (DEAD, "dead letters", True),
    ]  # fmt: skip
    assert [each.undelivered for topic in seen.topics or () for each in topic.subscriptions or ()] == [4]
    assert seen.journal
    assert [entry.steps[0].key for entry in seen.journal.entries] + [entry.steps[0].key for entry in seen.journal.closed] == ["actual-0.5"]
    assert [state.name for state in seen.journal.budgets.values()] == ["ML Training Budget"]
    assert (seen.projects, seen.regions) == ((PROJECT,), (HERE, THERE))


def test_what_is_not_needed_is_not_asked(scene: Survey) -> None:
    """Nothing is asked for a report about nothing; and only Monitoring for one about traffic."""
    asked: list[str] = []
    scene.hooks.before = asked.append
    assert scene.look(()).resources == ()
    assert (asked, scene.seer.asked) == ([], [])
    assert scene.look(("usage",)).usage == {}
    assert (asked, scene.seer.asked) == ([], [f"usage {PROJECT}"])
    assert [each.name for each in scene.look(("stocks",)).resources] == [scene.bucket_name]
    assert scene.look(("budgets",)).topics is None


def test_nothing_is_written(scene: Survey) -> None:
    """An audit leaves the journal, the resources and the buckets as they are."""
    scene.service("warm")
    scene.put("data/x")
    before = (dict(scene.bucket.objects), scene.states(), scene.names())
    scene.look()
    assert (dict(scene.bucket.objects), scene.states(), scene.names()) == before


@pytest.mark.parametrize(
    ("method", "need", "what", "on"),
    [
        ("usage", "usage", f"the traffic of the services of {PROJECT}", f"project {PROJECT}"),
        ("stocks", "stocks", f"the sizes of the buckets of {PROJECT}", f"project {PROJECT}"),
        ("undelivered", "topics", f"what waits in the subscriptions of {PROJECT}", f"project {PROJECT}"),
        ("publishers", "topics", f"who may publish to {TOPIC}", f"project {PROJECT}"),
        ("subscriptions", "topics", f"the subscriptions of {TOPIC} and 1 more", f"project {PROJECT}"),
        ("number_of", "budgets", f"the number of project {PROJECT}", f"project {PROJECT}"),
        ("account_of", "budgets", f"the billing account of {PROJECT}", f"project {PROJECT}"),
        ("list", "budgets", f"the budgets of {ACCOUNT}", f"billing account {ACCOUNT}"),
        ("running", "executions", f"the executions of jobs of {PROJECT}/{THERE} and 1 more", f"project {PROJECT}"),
    ],
)
def test_what_is_denied_is_a_gap(scene: Survey, method: str, need: Need, what: str, on: str) -> None:
    """Each question that fails leaves a gap that says what, why and where to grant it; all else is seen."""
    scene.service("warm")
    scene.seer.faults[method] = Denied("may not do it")
    seen = scene.look()
    assert Gap(need, what, "may not do it", denied=True, on=on) in seen.gaps
    assert {gap.need for gap in seen.gaps} == {need}
    assert len(seen.resources) == 2
    expected = {"usage": seen.usage, "stocks": seen.stocks, "account_of": seen.budgets, "list": seen.budgets, "running": seen.executions}
    assert expected.get(method) is None


def test_places_that_do_not_answer(scene: Survey) -> None:
    """A region that is down is a gap, and the other is seen; so is a place that the platform could only reach in part."""
    here, there = scene.service("here"), scene.service("there", THERE)
    scene.services.broken.add(Place(PROJECT, HERE))
    scene.buckets.broken.add(Place(PROJECT, EVERYWHERE))
    seen = scene.look(("resources",))
    assert [each.name for each in seen.resources] == [there]
    assert [(gap.what, gap.denied) for gap in seen.gaps] == [
        (f"the buckets of {PROJECT}", True), (f"the services of {PROJECT}/{HERE}", False),
    ]  # fmt: skip
    assert here not in seen.reach
    scene.services.broken.clear()
    listed = scene.services.list
    scene.services.list = lambda place: Seen(listed(place).resources, ("us-west9",))  # type: ignore[method-assign]
    gaps = [gap.reason for gap in scene.look(("resources",)).gaps if "services" in gap.what]
    assert gaps == ["the platform could not reach us-west9"]


def test_revisions_are_read_where_traffic_names_them(scene: Survey) -> None:
    """What tagged revisions keep running costs a call each, so it is asked only where there are any; where that fails, the service is seen all the same."""
    plain = scene.service("plain")
    tagged = scene.service("tagged", facts={"traffic": [{"revision": "r-1", "percent": 0, "tag": "canary"}]})
    scene.services.revisions[tagged] = [{"revision": "r-1", "percent": 0, "tag": "canary", "minimum": 1}]
    seen = {each.name: each.facts for each in scene.look(("resources",)).resources}
    assert "revisions" not in seen[plain]
    assert seen[tagged]["revisions"][0]["minimum"] == 1
    scene.services.detail = _denied  # type: ignore[method-assign]
    again = scene.look(("resources",))
    assert [gap.what for gap in again.gaps] == ["the revisions of tagged"]
    assert tagged in {each.name for each in again.resources}


def test_a_gap_is_told_once(scene: Survey) -> None:
    """What reads the same twice is one gap, and so are many places with one reason."""
    for region in (HERE, THERE):
        scene.service("tagged", region, facts={"traffic": [{"revision": "r-1", "percent": 0, "tag": "canary"}]})
    scene.services.detail = _denied  # type: ignore[method-assign]
    assert [gap.what for gap in scene.look(("resources",)).gaps] == ["the revisions of tagged"]
    scene.service("another", facts={"traffic": [{"revision": "r-1", "percent": 0, "tag": "canary"}]})
    assert [gap.what for gap in scene.look(("resources",)).gaps] == ["the revisions of another and 1 more"]


def _denied(resource: Resource) -> Resource:
    raise Denied(f"may not read the revisions of {resource.kind}s")


def test_a_bucket_that_cannot_be_listed_hides_no_other(scene: Survey) -> None:
    """Its objects are a gap."""
    scene.add_bucket("no-such-bucket")
    scene.put("x")
    seen = scene.look(("objects",))
    assert list(seen.inventories) == [RUNS]
    assert [(gap.what, gap.on) for gap in seen.gaps] == [("the objects of gs://no-such-bucket", "bucket no-such-bucket")]


def test_the_watchdogs_own_bucket_is_not_listed(scene: Survey) -> None:
    """The journal is no data of the team's."""
    scene.add_bucket("own", watchdog=True)
    assert list(scene.look(("objects",)).inventories) == [RUNS]


def test_no_bucket_takes_the_time_of_the_others(scene: Survey) -> None:
    """A bucket is listed until its share of the time is over, and the inventory says that it is not whole."""
    scene.objects.page = 1
    for name in ("another", "third"):
        scene.add_bucket(name)
        scene.objects.create(name)
        for number in range(5):
            scene.put(f"{number}", bucket=name)
    for number in range(5):
        scene.put(f"{number}")
    whole = scene.look(("objects",))
    assert all(each.whole for each in whole.inventories.values())
    scene.hooks.after = lambda method: scene.clock.sleep(10) if method == "page" else None
    late = scene.look(("objects",), seconds=25)
    assert {name: each.whole for name, each in late.inventories.items()} == {RUNS: False, "another": False, "third": False}
    assert all(each.total.objects for each in late.inventories.values())


def test_accounts(scene: Survey) -> None:
    """The account that is told beats the policy's, and that beats the one that pays for the project."""
    scene.look(("budgets",), account="AAAAAA-BBBBBB-CCCCCC")
    assert "list AAAAAA-BBBBBB-CCCCCC" in scene.seer.asked
    scene.seer.asked.clear()
    scene.policy = a_policy(NOTIFY_50, more="allowed_billing_accounts: [DDDDDD-EEEEEE-FFFFFF]")
    scene.look(("budgets",))
    assert [each for each in scene.seer.asked if each.startswith("list")] == ["list DDDDDD-EEEEEE-FFFFFF"]
    scene.policy, scene.seer.accounts = a_policy(NOTIFY_50), {}
    assert scene.look(("budgets",)).budgets is None


def test_topics_that_are_gone(scene: Survey) -> None:
    """A topic that a budget still names and that is no more is told of as such, and is no gap."""
    del scene.seer.publishing[TOPIC]
    seen = scene.look(("topics",), tasks_topic="")
    assert [(topic.name, topic.exists, topic.subscriptions) for topic in seen.topics or ()] == [(TOPIC, False, None)]
    assert seen.gaps == ()


def test_before_anything_is_deployed(scene: Survey) -> None:
    """There is no journal to ask, and that is no gap."""
    scene.hooks.before = lambda method: pytest.fail(method) if method in ("read", "write") else None
    seen = scene.look(("journal",), deployed=False)
    assert (seen.journal, seen.gaps, seen.deployed) == (None, (), False)


def test_a_journal_that_does_not_answer(scene: Survey) -> None:
    """It is a gap."""
    scene.strike("list", lambda: Unavailable("the bucket is away"))
    seen = scene.look(("journal",))
    assert seen.journal is None
    assert [(gap.need, gap.on) for gap in seen.gaps] == [("journal", "the state bucket")]


def test_a_journal_with_broken_objects(scene: Survey) -> None:
    """What cannot be read is told, and the rest is seen."""
    scene.service("warm")
    scene.send(85)
    scene.bucket.write("entries/budget-broken.json", b"{", generation=0)
    scene.bucket.write("closed/old.json", b"{", generation=0, metadata={"created": scene.clock.now().isoformat()})
    for name in ("holds.json", "watch.json", "rights.json"):
        scene.bucket.write(name, b"{", generation=0)
    (state,) = (name for name in scene.bucket.objects if name.startswith("budgets/"))
    scene.bucket.objects[state] = (b"{", *scene.bucket.objects[state][1:])
    journal = scene.look(("journal",)).journal
    assert journal
    assert len(journal.entries) == 1
    assert sorted(fault.name for fault in journal.faults) == sorted(
        ["closed/old.json", "entries/budget-broken.json", "holds.json", "watch.json", "rights.json", state]
    )


def test_entries_that_are_done(scene: Survey) -> None:
    """The closed entries of the last 30 days are read, the newest first, and only so many."""
    scene.send(60)
    scene.tick(60 * 24 * 20)
    assert [entry.steps[0].key for entry in (scene.look(("journal",)).journal or pytest.fail("no journal")).closed] == ["actual-0.5"]
    scene.tick(60 * 24 * 20)
    assert (scene.look(("journal",)).journal or pytest.fail("no journal")).closed == ()


def test_what_the_tick_found_of_its_rights(scene: Survey) -> None:
    """The journal's other records are seen too."""
    scene.send(10)
    scene.tick()
    journal = scene.look(("journal",)).journal
    assert journal
    assert journal.watch
    assert [voice.name for voice in journal.voices] == ["ML Training Budget"]


def test_regions_of_a_policy_that_names_none(scene: Survey) -> None:
    """All regions that there are are looked at."""
    scene.policy = a_policy(NOTIFY_50).model_copy(update={"scope": scene.policy.scope.model_copy(update={"regions": ()})})
    assert scene.look(("resources",)).regions == REGIONS
    assert all(re.fullmatch(r"[a-z]+-[a-z]+\d+", region) for region in REGIONS)
    assert list(REGIONS) == sorted(set(REGIONS))


def test_progress_is_told(scene: Survey) -> None:
    """Each part says how much there is and how much of it is done."""
    told: dict[str, list[tuple[int, int]]] = {}
    scene.look(tell=lambda part, done, total: told.setdefault(part, []).append((done, total)))
    assert told["services and worker pools"] == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
    assert told["objects"] == [(0, 1), (1, 1)]


def test_without_buckets(scene: Survey) -> None:
    """Where nobody can list buckets there are none."""
    world = World(scene.bucket, {"service": scene.services}, scene.objects, None, None, scene.clock, workers=1)
    made = Gatherer(scene.seer.sight(world), scene.policy, PROJECT, "", (PROJECT,), frozenset(ALL), scene.clock.now(), 0.0)
    assert made.look().inventories == {}


def test_a_person_was_quicker(scene: Survey) -> None:
    """A topic that goes away between two questions is gone."""
    scene.seer.faults[f"subscriptions {TASKS}"] = Gone("there is no such topic")
    topics = scene.look(("topics",)).topics or ()
    assert [topic.exists for topic in topics if topic.name == TASKS] == [False]


def test_what_is_parked_counts_as_reached(scene: Survey) -> None:
    """A service that a step holds now is reached by that step, though a new plan would find nothing to do."""
    warm = full_name("warm")
    scene.service("warm")
    scene.send(85)
    scene.clock.sleep(timedelta(minutes=1).total_seconds())
    assert ("actual-0.8", "scale_to_zero") in [(each.step, each.action) for each in scene.look(("resources", "journal")).reach[warm]]
    assert warm not in scene.look(("resources", "journal")).untouched
    assert [each.step for each in scene.look(("resources", "journal")).reach[warm]] == ["actual-1", "actual-0.8"]
    scene.services.deploy(warm, "ann@acme.example", minimum=3)
    assert [each.step for each in scene.look(("resources", "journal")).reach[warm]] == ["actual-0.8", "actual-1"]
