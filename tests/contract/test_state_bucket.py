"""The state bucket: the same rules in memory and over the wire, and what only the wire can do to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.faults import Fault
from shared.cloud.state_bucket import GcsStateBucket
from shared.errors import Conflict, Denied, Refused, Unavailable
from shared.ports import Listed, StateBucket, Stored
from tests.contract.stand_ins import STATE_BUCKET, Gcs
from tests.doubles import MemoryBucket

INSERT, GET, DELETE = "storage.objects.insert", "storage.objects.get", "storage.objects.delete"


@pytest.fixture
def wire(gcs: Gcs) -> GcsStateBucket:
    """The real client before the stand-in."""
    assert gcs.url
    return GcsStateBucket(STATE_BUCKET, patience=5)


@pytest.fixture(params=["memory", "wire"])
def bucket(request: pytest.FixtureRequest) -> StateBucket:
    """Each of the two."""
    wire: GcsStateBucket | None = request.getfixturevalue("wire") if request.param == "wire" else None
    return wire or MemoryBucket()


def test_what_is_written_is_read(bucket: StateBucket) -> None:
    """A new object is read back with the generation that its writing returned."""
    generation = bucket.write("entries/a.json", b'{"a": 1}', generation=0)
    assert bucket.read("entries/a.json") == Stored(b'{"a": 1}', generation)


def test_an_empty_object_is_an_object(bucket: StateBucket) -> None:
    """Nothing in an object is something else than no object."""
    generation = bucket.write("empty", b"", generation=0)
    assert bucket.read("empty") == Stored(b"", generation)


def test_names_and_bytes_are_arbitrary(bucket: StateBucket) -> None:
    """Names may hold any character and content any byte."""
    name, data = "entries/ä b%2F#?+.json", bytes(range(256))
    generation = bucket.write(name, data, generation=0, metadata={"due": "2026-11-23T12:00:00+00:00", "who": "Zoë"})
    assert bucket.read(name) == Stored(data, generation)
    assert [*bucket.list("entries/ä")] == [Listed(name, {"due": "2026-11-23T12:00:00+00:00", "who": "Zoë"})]


def test_no_object_is_none(bucket: StateBucket) -> None:
    """What is not there reads as None."""
    assert bucket.read("entries/none.json") is None


def test_only_the_first_creates(bucket: StateBucket) -> None:
    """Generation 0 creates an object that does not exist, and conflicts with one that does."""
    first = bucket.write("entries/a.json", b"first", generation=0)
    with pytest.raises(Conflict, match=r"entries/a\.json"):
        bucket.write("entries/a.json", b"second", generation=0)
    assert bucket.read("entries/a.json") == Stored(b"first", first)


def test_a_write_replaces_the_generation_it_names(bucket: StateBucket) -> None:
    """The current generation is replaced; a stale one conflicts; one of an object that is not there conflicts too."""
    first = bucket.write("entries/a.json", b"first", generation=0)
    second = bucket.write("entries/a.json", b"second", generation=first)
    assert second > first
    for name, generation in (("entries/a.json", first), ("entries/b.json", first)):
        with pytest.raises(Conflict):
            bucket.write(name, b"third", generation=generation)
    assert bucket.read("entries/a.json") == Stored(b"second", second)


def test_a_write_replaces_the_metadata(bucket: StateBucket) -> None:
    """Metadata belongs to one generation."""
    first = bucket.write("a", b"", generation=0, metadata={"due": "now", "old": "yes"})
    bucket.write("a", b"", generation=first, metadata={"due": "later"})
    assert [*bucket.list("")] == [Listed("a", {"due": "later"})]


def test_delete_is_for_the_generation_it_names(bucket: StateBucket) -> None:
    """A stale delete conflicts and deletes nothing; the right one deletes; another one finds nothing and is no error."""
    first = bucket.write("a", b"first", generation=0)
    second = bucket.write("a", b"second", generation=first)
    with pytest.raises(Conflict):
        bucket.delete("a", generation=first)
    assert bucket.read("a") == Stored(b"second", second)
    bucket.delete("a", generation=second)
    assert bucket.read("a") is None
    bucket.delete("a", generation=second)


def test_a_deleted_object_can_be_created_again(bucket: StateBucket) -> None:
    """After a delete generation 0 is right again, and generations go on rising."""
    first = bucket.write("a", b"", generation=0)
    bucket.delete("a", generation=first)
    assert bucket.write("a", b"", generation=0) > first


def test_a_listing_is_sorted_and_bounded_by_the_prefix(bucket: StateBucket) -> None:
    """All names that begin with the prefix, in their order, with their metadata."""
    for name in ("entries/b", "closed/a", "entries/a/c", "entries/ä", "entries/B"):
        bucket.write(name, b"x", generation=0, metadata={"due": name})
    names = ["entries/B", "entries/a/c", "entries/b", "entries/ä"]
    assert [*bucket.list("entries/")] == [Listed(name, {"due": name}) for name in names]
    assert [*bucket.list("none/")] == []


def test_a_listing_goes_over_all_pages(wire: GcsStateBucket, gcs: Gcs) -> None:
    """A thousand objects fit on a page of Cloud Storage; one more is listed all the same."""
    for number in range(1001):
        gcs.model.put(STATE_BUCKET, f"entries/{number:04d}", b"")
    assert len([*wire.list("entries/")]) == 1001
    assert gcs.faults.calls["storage.objects.list"] == 2


@pytest.mark.parametrize("fault", [{"status": 503}, {"status": 429}, {"status": 408}, {"drop_answer": True}])
def test_a_failure_that_passes_is_not_noticed(wire: GcsStateBucket, gcs: Gcs, fault: dict[str, int | bool]) -> None:
    """Each call is tried again, and a repeated write, create or delete whose first answer was lost counts as done."""

    def struck(method: str) -> None:
        gcs.faults.inject(Fault(method, times=1, **fault))  # type: ignore[arg-type]  # the table above is right

    struck(INSERT)
    first = wire.write("a", b"first", generation=0)
    struck(INSERT)
    second = wire.write("a", b"second", generation=first)
    struck(GET)
    assert wire.read("a") == Stored(b"second", second)
    struck("storage.objects.list")
    assert [*wire.list("")] == [Listed("a", {})]
    struck(DELETE)
    wire.delete("a", generation=second)
    assert wire.read("a") is None


@pytest.mark.parametrize("stored", [b"theirs", None])
def test_a_lost_answer_does_not_hide_somebody_else(wire: GcsStateBucket, gcs: Gcs, stored: bytes | None) -> None:
    """Where a write arrived, its answer was lost, and then somebody else wrote or deleted the object, it is a conflict."""

    def meanwhile(_event: str, _resource: dict[str, object]) -> None:
        gcs.model.on_event = None
        if stored is None:
            gcs.model.delete(STATE_BUCKET, "a")
        else:
            gcs.model.put(STATE_BUCKET, "a", stored)

    first = wire.write("a", b"first", generation=0)
    gcs.faults.inject(Fault(INSERT, drop_answer=True, times=1))
    gcs.model.on_event = meanwhile
    with pytest.raises(Conflict):
        wire.write("a", b"second", generation=first)
    found = wire.read("a")
    assert (found and found.data) == stored


def test_a_conflict_at_the_first_try_costs_no_second_look(wire: GcsStateBucket, gcs: Gcs) -> None:
    """Without a lost answer a conflict is one call, since ten deliveries of one message all try to create one entry."""
    wire.write("a", b"", generation=0)
    with pytest.raises(Conflict):
        wire.write("a", b"", generation=0)
    assert gcs.faults.calls == {INSERT: 2}


def test_each_call_is_one_request(wire: GcsStateBucket, gcs: Gcs) -> None:
    """Reading, writing, listing and deleting cost one request each."""
    generation = wire.write("a", b"", generation=0)
    wire.read("a")
    wire.list("")
    wire.delete("a", generation=generation)
    assert gcs.faults.calls == {INSERT: 1, GET: 1, "storage.objects.list": 1, DELETE: 1}


@pytest.mark.parametrize("method", ["read", "write", "list", "delete"])
@pytest.mark.parametrize(("status", "expected"), [(503, Unavailable), (403, Denied), (400, Refused)])
def test_a_failure_that_stays_is_told(gcs: Gcs, method: str, status: int, expected: type[Exception]) -> None:
    """Unavailable when its patience is over, Denied and Refused at once, each with the object's name."""
    gcs.faults.inject(Fault("*", status=status))
    with pytest.raises(expected, match=f"^gs://{STATE_BUCKET}/a"):
        _call(GcsStateBucket(STATE_BUCKET, patience=0.02), method)


def test_a_precondition_on_nothing_is_no_conflict(wire: GcsStateBucket, gcs: Gcs) -> None:
    """Should a delete of an object that is gone be answered with 412 and not 404, it is done all the same."""
    gcs.faults.inject(Fault(DELETE, status=412, times=1))
    wire.delete("a", generation=1)
    assert gcs.faults.calls == {DELETE: 1, GET: 1}


@pytest.mark.parametrize(("method", "expected"), [("read", None), ("delete", None), ("write", Refused), ("list", Refused)])
def test_a_bucket_that_is_not_there(gcs: Gcs, method: str, expected: type[Exception] | None) -> None:
    """Nothing is in it, and what cannot be put into it is refused with what to do."""
    assert gcs.url
    bucket = GcsStateBucket("nobody-made-this-bucket", patience=0.5)
    if expected is None:
        assert _call(bucket, method) is None
        return
    with pytest.raises(expected, match="create it, or correct WATCHDOG_STATE_BUCKET"):
        _call(bucket, method)


def test_no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without an emulator the default credentials are looked for when the bucket is first used, and the error says how to get some."""
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    bucket = GcsStateBucket(STATE_BUCKET)
    with pytest.raises(Denied, match="gcloud auth application-default login"):
        bucket.read("a")


def _call(bucket: StateBucket, method: str) -> object:
    if method == "write":
        return bucket.write("a", b"", generation=0)
    if method == "delete":
        return bucket.delete("a", generation=1)  # type: ignore[func-returns-value]  # that it is none is the point
    return bucket.read("a") if method == "read" else bucket.list("a")
