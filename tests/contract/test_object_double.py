"""The buckets in memory answer as the real client before the stand-in does, call by call, in written stories and in random ones."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox.serve import HttpServer
from sandbox.storage import app
from sandbox.storage_errors import ApiError
from sandbox.storage_model import Storage
from sandbox.storage_resources import rfc3339
from shared.cloud import objects as adapter
from shared.cloud.objects import GcsObjectStore
from shared.errors import CloudError
from shared.model import BucketFacts, StorageObject
from shared.ports import BATCH, Answer, ObjectStore
from tests.doubles import ManualClock
from tests.object_double import WEEK, MemoryObjects

RUNS = "acme-ml-runs"
HOLDS = {"temporary hold": "temporaryHold", "event-based hold": "eventBasedHold"}
DAY = timedelta(days=1)


@dataclass
class AtTheStandIn:
    """The same people before the stand-in."""

    model: Storage

    def create(self, name: str, *, soft_delete: timedelta = WEEK, versioned: bool = False, retention: timedelta = timedelta(0)) -> None:
        """Create a bucket."""
        more = _bucket(soft_delete=soft_delete, versioned=versioned)
        if retention:
            more["retentionPolicy"] = {"retentionPeriod": int(retention.total_seconds())}
        self.model.create_bucket(name, location="us-central1", **more)

    def put(
        self, bucket: str, name: str, data: bytes = b"", *, storage_class: str = "STANDARD", hold: str = "",
        retained_until: datetime | None = None, created: datetime | None = None, size: int | None = None,
    ) -> None:  # fmt: skip
        """Write an object."""
        held = {HOLDS[hold]: True} if hold else {}
        self.model.put(bucket, name, data, size=size, created=created, retain_until=retained_until, storageClass=storage_class, **held)

    def remove(self, bucket: str, name: str) -> None:
        """Delete an object."""
        self.model.delete(bucket, name)

    def hold(self, bucket: str, name: str, hold: str = "temporary hold") -> None:
        """Put it under a hold, or under none."""
        self.model.patch(bucket, name, {word: hold == mine for mine, word in HOLDS.items()})

    def retain(self, bucket: str, name: str, until: datetime | None) -> None:
        """Keep it until then."""
        stored = self.model.get(bucket, name)
        rest = {key: value for key, value in (stored.extra or {}).items() if key != "retentionExpirationTime"}
        stored.extra = rest | ({"retentionExpirationTime": rfc3339(until)} if until else {})

    def change(self, bucket: str, **facts: Any) -> None:
        """Change the bucket."""
        self.model.patch_bucket(bucket, _bucket(**facts))


def _bucket(**facts: Any) -> dict[str, Any]:
    """What a bucket is like, as the API writes it."""
    said: dict[str, Any] = {}
    if "soft_delete" in facts:
        said["softDeletePolicy"] = {"retentionDurationSeconds": int(facts["soft_delete"].total_seconds())}
    if "versioned" in facts:
        said["versioning"] = {"enabled": facts["versioned"]}
    return said


@dataclass
class Side:
    """A store with people before it, and what was answered; generations are numbered in the order in which they are met."""

    store: ObjectStore
    people: MemoryObjects | AtTheStandIn
    clock: ManualClock
    answers: list[object] = field(default_factory=list)
    numbers: dict[int, int] = field(default_factory=dict)

    def tell(self, call: Callable[..., object], *args: object, **named: object) -> Any:
        """Make a call and keep what came of it; None is no answer."""
        answer: object
        try:
            answer = call(*args, **named)
            answer = [*answer] if isinstance(answer, Iterator) else answer
        except ApiError as error:
            answer = "Gone" if error.status == HTTPStatus.NOT_FOUND else "Denied"
        except CloudError as error:
            answer = type(error).__name__
        self.answers.append(self._plain(answer))
        return answer

    def put(self, name: str, data: bytes = b"", *, bucket: str = RUNS, **more: Any) -> None:
        """Somebody writes an object, or may not."""
        self.tell(lambda: self.people.put(bucket, name, data, **more) and None)

    def listed(self, prefix: str = "", *, after: str = "", versions: bool = True, bucket: str = RUNS) -> list[StorageObject]:
        """A whole listing."""
        pages = self.tell(self.store.pages, bucket, prefix, after=after, versions=versions)
        return [each for page in pages for each in page] if isinstance(pages, list) else []

    def _plain(self, answer: object) -> object:
        if isinstance(answer, StorageObject):
            return replace(answer, generation=self.numbers.setdefault(answer.generation, len(self.numbers)))
        if isinstance(answer, Answer):
            return answer.fate
        if isinstance(answer, BucketFacts):
            return replace(answer, labels=dict(answer.labels))
        return [self._plain(each) for each in answer] if isinstance(answer, (list, tuple)) else answer


@pytest.fixture(scope="module")
def server() -> Iterator[Storage]:
    """The stand-in behind a server, for all tests of this module: each begins with new buckets."""
    model = Storage()
    with HttpServer(app(model)) as listening, patch.dict(os.environ, {"STORAGE_EMULATOR_HOST": listening.url}):
        yield model


@pytest.fixture(scope="module")
def client(server: Storage) -> GcsObjectStore:
    """The real client; it stays connected."""
    assert server
    return GcsObjectStore(patience=5)


def both(server: Storage, client: GcsObjectStore, page: int = 1000) -> tuple[Side, Side]:
    """The two sides, each with nothing in it."""
    server._buckets.clear()
    memory, here = ManualClock(), ManualClock()
    server.now = here.now
    double = MemoryObjects(clock=memory, page=page)
    return Side(double, double, memory), Side(client, AtTheStandIn(server), here)


Story = Callable[[Side], object]


def reading(side: Side) -> None:
    """What is there, in order, by folder, by name, with its content; and what is not there."""
    side.people.create(RUNS)
    for name in ("runs/1/a", "runs/1/", "runs/1/b/c", "runs/10/a", "runs//odd", "runs", "Z", "ä", "😀"):
        side.put(name, name.encode(), storage_class="COLDLINE")
    side.tell(side.store.facts, RUNS)
    for prefix in ("", "runs/1/", "runs/", "none/"):
        side.listed(prefix)
        side.listed(prefix, after="runs/1/a", versions=False)
        side.tell(side.store.folders, RUNS, prefix)
    for name in ("runs/1/a", "runs/1", "", "."):
        side.tell(side.store.find, RUNS, name)
    (found,) = side.listed("runs/1/a")
    for generation, limit in ((found.generation, 8), (found.generation, 7), (found.generation + 1, 8)):
        side.tell(side.store.read, RUNS, "runs/1/a", generation=generation, limit=limit)


def no_bucket(side: Side) -> None:
    """Nothing is there to be asked."""
    one = StorageObject("a", 1, 0, "STANDARD", side.clock.now())
    side.tell(side.store.facts, RUNS)
    side.tell(side.store.folders, RUNS, "")
    side.tell(side.store.find, RUNS, "a")
    side.tell(side.store.read, RUNS, "a", generation=1, limit=9)
    side.tell(side.store.delete, RUNS, [one])
    side.tell(side.store.restore, RUNS, [one])
    side.tell(side.store.delete, RUNS, [one] * (BATCH + 1))
    side.tell(side.store.delete, RUNS, [replace(one, name="..")])
    side.tell(side.store.delete, RUNS, [])
    side.listed()


def parting(side: Side, *, versioned: bool) -> None:
    """What is gone, changed, held or retained; a retention that runs out, and one of the whole bucket."""
    side.people.create(RUNS, versioned=versioned)
    side.people.create("kept", retention=3 * DAY, versioned=versioned)
    for name in ("a", "gone", "overwritten"):
        side.put(name)
    side.put("temporary", hold="temporary hold")
    side.put("event", hold="event-based hold")
    for name in ("retained", "retained too"):
        side.put(name, retained_until=side.clock.now() + DAY)
    side.put("a", bucket="kept")
    objects, kept = side.listed(), side.listed(bucket="kept")
    for name in ("gone", "temporary", "retained"):
        side.tell(side.people.remove, RUNS, name)
    for name in ("overwritten", "event", "retained"):
        side.put(name, b"new")
    for _ in range(2):
        side.tell(side.store.delete, RUNS, objects)
        side.tell(side.store.delete, "kept", kept)
        side.tell(side.people.hold, RUNS, "gone")
        side.tell(lambda: side.people.hold(RUNS, "event", "") and None)
        side.tell(side.store.restore, RUNS, objects)
        side.listed()
        side.clock.sleep(4 * DAY.total_seconds())
    side.listed(bucket="kept")


def bringing_back(side: Side, *, versioned: bool, soft_delete: timedelta) -> None:
    """Within the window and after it, once and again, over what somebody wrote, with a hold that a copy does not have."""
    side.people.create(RUNS, versioned=versioned, soft_delete=soft_delete)
    for name in ("a", "b", "c", "never deleted"):
        side.put(name, name.encode(), storage_class="NEARLINE")
    objects = side.listed()
    side.tell(side.store.delete, RUNS, objects[:3])
    side.put("b", b"new")
    for _ in range(2):
        side.tell(side.store.restore, RUNS, objects[1:])
    side.tell(side.people.hold, RUNS, "c")
    side.put("c", b"new")
    side.clock.sleep(WEEK.total_seconds())
    side.tell(side.store.restore, RUNS, objects)
    noncurrent = [each for each in side.listed() if each.noncurrent_since]
    side.tell(side.store.delete, RUNS, noncurrent)
    side.tell(side.store.delete, RUNS, noncurrent)
    side.tell(side.store.restore, RUNS, noncurrent)
    side.listed()


STORIES: dict[str, Story] = {
    "reading": reading,
    "no bucket": no_bucket,
    "parting": lambda side: parting(side, versioned=False),
    "parting with versions": lambda side: parting(side, versioned=True),
    "bringing back what is soft-deleted": lambda side: bringing_back(side, versioned=False, soft_delete=WEEK),
    "bringing back versions": lambda side: bringing_back(side, versioned=True, soft_delete=WEEK),
    "bringing back versions without soft delete": lambda side: bringing_back(side, versioned=True, soft_delete=timedelta(0)),
    "bringing back nothing": lambda side: bringing_back(side, versioned=False, soft_delete=timedelta(0)),
}


@pytest.mark.parametrize("story", STORIES)
def test_both_tell_the_same_story(server: Storage, client: GcsObjectStore, story: str) -> None:
    """Every answer is alike: objects as they are listed, fates of a batch, errors, and what people may not do."""
    memory, real = both(server, client)
    for side in (memory, real):
        STORIES[story](side)
    assert memory.answers == real.answers
    assert len(real.answers) > 4


def test_a_listing_goes_on_while_objects_come_and_go(server: Storage, client: GcsObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each page is of its own time and begins behind the last object, also between two generations of one name."""
    monkeypatch.setattr(adapter, "PAGE", 2)
    memory, real = both(server, client, page=2)
    for side in (memory, real):
        side.people.create(RUNS, versioned=True)
        for name in ("a", "b", "b", "b", "c", "d"):
            side.put(name)
        pages = side.store.pages(RUNS, "", versions=True)
        side.tell(next, pages)
        side.people.remove(RUNS, "c")
        side.put("aa")
        side.put("e")
        side.tell(iter, pages)
    assert memory.answers == real.answers


NAMES = ("r/a", "r/a/b", "r/b", "r/", "r//c", "s/a")
Step = tuple[Any, ...]
a_name = st.sampled_from(NAMES)
some = st.lists(st.integers(0, 7), min_size=1, max_size=4)
a_step: st.SearchStrategy[Step] = st.one_of(
    st.tuples(st.just("put"), a_name, st.binary(max_size=2), st.sampled_from(["", "", "", *HOLDS]), st.sampled_from([None, None, 2])),
    st.tuples(st.sampled_from(["remove", "find"]), a_name),
    st.tuples(st.just("hold"), a_name, st.sampled_from(["", *HOLDS])),
    st.tuples(st.just("retain"), a_name, st.sampled_from([None, 1, 3])),
    st.tuples(st.just("change"), st.sampled_from([{"versioned": True}, {"versioned": False}, {"soft_delete": timedelta(0)}, {"soft_delete": WEEK}])),
    st.tuples(st.just("sleep"), st.sampled_from([1, 1, 4])),
    st.tuples(st.sampled_from(["delete", "delete", "restore"]), some),
    st.tuples(st.just("list"), st.sampled_from(["", "r/", "r/a/"]), st.sampled_from(["", "r/a", "r/aa"]), st.booleans()),
    st.tuples(st.just("folders"), st.sampled_from(["", "r/"])),
)  # fmt: skip


def take(side: Side, seen: Sequence[StorageObject], step: Step) -> None:
    """One step of a random story."""
    what, *more = step
    if what == "put":
        name, data, hold, days = more
        side.put(name, data, hold=hold, retained_until=days and side.clock.now() + days * DAY)
    elif what == "retain":
        side.tell(side.people.retain, RUNS, more[0], more[1] and side.clock.now() + more[1] * DAY)
    elif what == "change":
        side.tell(side.people.change, RUNS, **more[0])
    elif what in ("remove", "hold"):
        side.tell(getattr(side.people, what), RUNS, *more)
    elif what == "sleep":
        side.clock.sleep(more[0] * DAY.total_seconds())
    elif what in ("delete", "restore"):
        side.tell(getattr(side.store, what), RUNS, [seen[number % len(seen)] for number in more[0]])
    elif what == "list":
        side.listed(more[0], after=more[1], versions=more[2])
    elif what == "folders":
        side.tell(side.store.folders, RUNS, more[0])
    elif found := side.tell(side.store.find, RUNS, more[0]):
        side.tell(side.store.read, RUNS, found.name, generation=found.generation, limit=1)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    facts=st.fixed_dictionaries({"versioned": st.booleans(), "soft_delete": st.sampled_from([WEEK, timedelta(0)])}),
    steps=st.lists(a_step, max_size=30),
)
def test_both_tell_any_story_alike(server: Storage, client: GcsObjectStore, facts: Mapping[str, Any], steps: list[Step]) -> None:
    """Whatever people and the watchdog do, in any order, both sides answer alike, and in the end the same objects are there."""
    sides = both(server, client)
    for side in sides:
        side.people.create(RUNS, **facts)
        for name in NAMES:
            side.put(name, name.encode())
        seen: dict[int, StorageObject] = {}
        for step in steps:
            seen |= {each.generation: each for each in side.listed()}
            take(side, [*seen.values()], step)
        side.listed()
    assert sides[0].answers == sides[1].answers
