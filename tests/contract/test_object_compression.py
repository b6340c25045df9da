"""Compression over the wire: what stands there afterwards, whatever is cut off, lost, damaged or done by others on the way."""

from __future__ import annotations

import gzip
import itertools
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import Any, get_args

import pytest
import zstandard
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox import storage
from sandbox.faults import Fault
from sandbox.serve import HttpServer
from sandbox.storage_listing import Query
from sandbox.storage_state import Stored
from shared.actions.compress_objects import ACTION
from shared.cloud import object_calls, object_compression
from shared.cloud.object_compression import MOST_PARTS
from shared.cloud.objects import GcsObjectStore
from shared.model import StorageObject
from shared.ports import DONE, ENDINGS, GOES_ON, NO_TIME, Answer, Compression
from tests.contract.stand_ins import Gcs

BUCKET = "acme-ml-artifacts"
NAME = "checkpoints/step-1000.pt"
SPAN = 1000
FORMATS: tuple[Compression, ...] = get_args(Compression)
SMALL, LARGE, HUGE = 900, 3500, 40 * SPAN
KEY = "projects/acme-ml-keys/locations/us/keyRings/ml/cryptoKeys/artifacts"
OURS = {"cost-watchdog-generation", "cost-watchdog-size", "cost-watchdog-crc32c", "cost-watchdog-sizes"}
UNCHANGED = Answer("unchanged")
either = pytest.mark.parametrize("into", FORMATS)


def some(size: int, seed: int = 1) -> bytes:
    """Content that compresses to a fraction."""
    return bytes(random.Random(seed).choices(b"ab", k=size))


def noise(size: int) -> bytes:
    """Content that does not compress at all."""
    return random.Random(2).randbytes(size)


def unpacked(data: bytes, into: Compression) -> bytes:
    """What a person gets who decompresses it with the usual tools."""
    if into == "gzip":
        return gzip.decompress(data)
    return zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read()


@dataclass
class Bench:
    """A bucket, and the store that compresses what is in it.

    Attributes:
        into: The format.
        asked: How often it was asked whether it may go on.
        stop_at: At which time of asking, and from then on, the answer is no.
    """

    gcs: Gcs
    into: Compression
    store: GcsObjectStore
    asked: int = 0
    stop_at: int | None = None

    def put(self, data: bytes, name: str = NAME, **properties: Any) -> StorageObject:
        """Write an object."""
        self.gcs.model.put(BUCKET, name, data, **properties)
        found = self.store.find(BUCKET, name)
        assert found
        return found

    def go_on(self) -> bool:
        """Whether there is time."""
        self.asked += 1
        return self.stop_at is None or self.asked < self.stop_at

    def stop(self) -> None:
        """There is no time any more."""
        self.stop_at = 0

    def compress(self, each: StorageObject) -> Answer:
        """Compress it."""
        return self.store.compress(BUCKET, each, into=self.into, go_on=self.go_on)

    def uncompress(self, each: StorageObject) -> Answer:
        """Undo it."""
        return self.store.uncompress(BUCKET, each, into=self.into, go_on=self.go_on)

    @property
    def name(self) -> str:
        """The compressed object's name."""
        return NAME + ENDINGS[self.into]

    def found(self, **query: Any) -> dict[tuple[str, int], Stored]:
        """What is there, by name and generation."""
        items = self.gcs.model.list_objects(BUCKET, Query(**query)).get("items", [])
        deleted = query.get("soft_deleted", False)
        keys = [(item["name"], int(item["generation"])) for item in items]
        return {(name, generation): self.gcs.model.get(BUCKET, name, generation, soft_deleted=deleted) for name, generation in keys}

    def live(self) -> dict[str, bytes]:
        """The content of all live objects by name."""
        return {name: stored.data or b"" for (name, _), stored in self.found().items()}

    def properties(self, name: str) -> dict[str, Any]:
        """An object as the API shows it, without what every object has of its own."""
        shown = self.gcs.model.resource(BUCKET, self.gcs.model.get(BUCKET, name))
        own = {
            "id",
            "generation",
            "etag",
            "selfLink",
            "mediaLink",
            "name",
            "timeCreated",
            "updated",
            "timeFinalized",
            "timeStorageClassUpdated",
        }
        return {key: value for key, value in shown.items() if key not in own}

    def writes(self, *names: str) -> list[tuple[str, str]]:
        """What was written under these names, or all of it: the method's last word and the name."""
        return [
            (method.rpartition(".")[2], name) for _, method, _, name, _ in self.gcs.model.writes if name and (not names or name in names)
        ]

    def calls(self) -> int:
        """How many calls there were."""
        return sum(self.gcs.faults.calls.values())

    def when_written(self, name: str, act: Callable[[], object]) -> None:
        """Somebody does this as soon as an object of the name was written, once."""

        def happened(event: str, resource: Mapping[str, Any]) -> None:
            if event.endswith("finalized") and resource["name"] == name:
                self.gcs.model.on_event = None
                act()

        self.gcs.model.on_event = happened

    def damage(self, change: Callable[[bytes], bytes]) -> None:
        """The content of the compressed object is another one from the moment on when it is stored."""

        def act() -> None:
            stored = self.gcs.model.get(BUCKET, self.name)
            stored.data = change(stored.data or b"")

        self.when_written(self.name, act)


@pytest.fixture
def make(gcs: Gcs) -> Callable[..., Bench]:
    """Makes the bench, for a format; further properties are the bucket's."""

    def made(into: Compression = "zstd", *, patience: float = 5, span: int = SPAN, **bucket: Any) -> Bench:
        gcs.model.create_bucket(BUCKET, **bucket)
        return Bench(gcs, into, GcsObjectStore(patience=patience, span=span))

    return made


def is_whole(bench: Bench, each: StorageObject, data: bytes) -> bool:
    """Whether nothing is lost: the original is there, or what was made of it and gives it back."""
    live = bench.live()
    return live.get(each.name) == data or (bench.name in live and unpacked(live[bench.name], bench.into) == data)


# what comes of it


@either
@pytest.mark.parametrize("size", [1, SMALL, SPAN, SPAN + 1, LARGE, HUGE])
def test_an_object_is_replaced_by_its_compressed_form(make: Callable[..., Bench], into: Compression, size: int) -> None:
    """Beside it, under its name with an ending, readable with the usual tools; nothing else is left, whatever the size."""
    bench, data = make(into), some(max(size, 200))
    each = bench.put(data)
    answer = bench.compress(each)
    live = bench.live()
    assert list(live) == [bench.name]
    assert unpacked(live[bench.name], into) == data
    assert answer == Answer("done", made=len(live[bench.name]))
    deleted = bench.found(soft_deleted=True)
    assert {key for key, stored in deleted.items() if stored.size} == {(NAME, each.generation)}


@either
@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_what_is_known_of_the_object_is_kept(make: Callable[..., Bench], into: Compression, size: int) -> None:
    """Its metadata, types, times, class and key; what it was made from stands beside them, and it is neither gzip-encoded nor held."""
    bench = make(into, storageClass="STANDARD")
    each = bench.put(
        some(size), metadata={"step": "1000"}, contentType="application/x-checkpoint", contentDisposition="attachment", contentLanguage="en",
        cacheControl="no-cache", customTime="2026-01-02T03:04:05Z", storageClass="NEARLINE",
    )  # fmt: skip
    before = bench.properties(NAME)
    assert bench.compress(each).fate == "done"
    after = bench.properties(bench.name)
    metadata = after.pop("metadata")
    assert {key: metadata.pop(key) for key in OURS & metadata.keys() - {"cost-watchdog-sizes"}} == {
        "cost-watchdog-generation": str(each.generation),
        "cost-watchdog-size": str(size),
        "cost-watchdog-crc32c": each.crc32c,
    }
    sizes = metadata.pop("cost-watchdog-sizes", after["size"])
    assert sum(map(int, sizes.split(","))) == int(after["size"])
    assert metadata == before.pop("metadata")
    own = {"size", "crc32c", "md5Hash", "componentCount"}
    assert {key: value for key, value in after.items() if key not in own} == {key: value for key, value in before.items() if key not in own}


@pytest.mark.parametrize("size", [SMALL, HUGE])
def test_a_key_of_the_customers_is_used_again(make: Callable[..., Bench], size: int) -> None:
    """The bucket's own key may be another one, so it is named, without its version, for the parts too; on the way back as well."""
    bench = make()
    bench.gcs.model.insert(BUCKET, NAME, some(size), {}, key=KEY)
    each = bench.store.find(BUCKET, NAME)
    assert each
    seen: list[object] = []
    bench.gcs.model.on_event = lambda event, resource: seen.append(resource.get("kmsKeyName")) if event.endswith("finalized") else None
    assert bench.compress(each).fate == "done"
    bench.gcs.model.on_event = None
    version = f"{KEY}/cryptoKeyVersions/1"
    notes = size // SPAN if size > SPAN else 0
    assert seen.count(None) == notes
    assert set(seen) - {None} == {version}
    later(bench, days=8)
    assert bench.uncompress(each) == DONE
    assert bench.properties(NAME)["kmsKeyName"] == version


def test_parts_are_put_together_in_rounds_and_cost_nothing_afterwards(make: Callable[..., Bench]) -> None:
    """At most 32 at once; they are deleted for good by the call that puts them together, so neither soft delete nor versions keep and bill them."""
    bench = make(versioning={"enabled": True})
    bench.compress(bench.put(some(HUGE)))
    composed = [name for method, name in bench.writes() if method == "compose"]
    folder = f"{bench.name}.parts/"
    assert composed == [f"{folder}00000-00031", f"{folder}00032-00039", bench.name]
    assert [name for method, name in bench.writes() if method == "insert" and "/checked-" not in name][1:] == [
        f"{folder}{index:05}" for index in range(40)
    ]
    assert bench.properties(bench.name)["componentCount"] == 40
    assert {name for name, _ in bench.found(versions=True)} == {NAME, bench.name}
    assert sum(stored.size for stored in bench.found(soft_deleted=True).values()) == 0


def test_in_a_bucket_with_versions_the_original_becomes_noncurrent(make: Callable[..., Bench]) -> None:
    """As with any plain deletion; it comes back as a copy of that version, and the compressed one goes for good."""
    bench = make(versioning={"enabled": True}, softDeletePolicy={"retentionDurationSeconds": 0})
    each = bench.put(some(LARGE), metadata={"step": "1"})
    assert bench.compress(each).fate == "done"
    assert [(name, stored.noncurrent_since is not None) for (name, _), stored in bench.found(versions=True).items()] == [
        (NAME, True),
        (bench.name, False),
    ]
    assert bench.compress(each).fate == "gone"
    assert bench.uncompress(each) == DONE
    assert [(name, stored.noncurrent_since is not None) for (name, _), stored in bench.found(versions=True).items()] == [
        (NAME, True),
        (NAME, False),
    ]
    assert bench.properties(NAME)["metadata"] == {"step": "1"}


@either
@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_doing_it_again_finds_it_done(make: Callable[..., Bench], into: Compression, size: int) -> None:
    """With what was made of it, and without another write."""
    bench = make(into)
    each = bench.put(some(size))
    answer, writes = bench.compress(each), bench.writes()
    assert bench.compress(each) == Answer("gone", "it was compressed before", answer.made)
    assert bench.writes() == writes


# what is left as it is


@pytest.mark.parametrize("size", [300, LARGE, 100_000])
def test_what_would_not_become_smaller_is_not_written_at_all(
    make: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Some of it is compressed for nothing first."""
    monkeypatch.setattr(object_compression, "SAMPLE", 10_000)
    bench, data = make(), noise(size)
    each = bench.put(data)
    writes = bench.writes()
    assert bench.compress(each) == Answer("refused", "compressing it would save only 0%")
    assert (bench.live(), bench.writes()) == ({NAME: data}, writes)


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_what_did_not_become_smaller_is_taken_away(make: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Where the samples promised more than the whole keeps."""
    monkeypatch.setattr(object_compression, "SAMPLE", 20)
    data = noise(size)
    spots = [0, size // 2, size - 20]
    for spot in spots:
        data = data[:spot] + bytes(20) + data[spot + 20 :]
    bench = make()
    monkeypatch.setattr(object_compression, "_raise_if_too_little", gradually(object_compression._raise_if_too_little))
    answer = bench.compress(bench.put(data))
    assert answer.fate == "refused"
    assert answer.reason.startswith("compressing it would save only ")
    assert bench.live() == {NAME: data}


def gradually(check: Callable[[int, int], None]) -> Callable[[int, int], None]:
    """The check, from its second time on: the samples are too small here to tell anything."""
    times = itertools.count()
    return lambda packed, size: check(packed, size) if next(times) else None


@pytest.mark.parametrize(
    ("bucket", "properties", "answer"),
    [
        ({}, {"temporaryHold": True}, Answer("held", "it is kept by a temporary hold")),
        ({}, {"eventBasedHold": True}, Answer("held", "it is kept by an event-based hold")),
        ({"retentionPolicy": {"retentionPeriod": "1"}}, {}, Answer("held", "the bucket or the object has a retention policy")),
        ({}, {"contentEncoding": "gzip"}, Answer("refused", "it is stored with the content encoding gzip")),
        ({}, {"crc32c": ""}, Answer("refused", "it is encrypted with a key that only its owner has, so it cannot be read")),
        ({}, {"name": "n" * 1010}, Answer("refused", "its name is too long to put an ending to it")),
        ({}, {"data": b""}, Answer("refused", "it is empty")),
        ({}, {"data": bytes(MOST_PARTS + 1), "span": 1}, Answer("refused", "it is larger than 0 GiB")),
    ],
    ids=["hold", "event-hold", "retention", "encoding", "key", "name", "empty", "size"],
)
def test_what_cannot_be_compressed_is_left_alone(
    make: Callable[..., Bench], bucket: dict[str, Any], properties: dict[str, Any], answer: Answer
) -> None:
    """Nothing is read of it and nothing is written, and the reason is said."""
    span, name, data = properties.pop("span", SPAN), properties.pop("name", NAME), properties.pop("data", some(LARGE))
    crc32c = properties.pop("crc32c", None)
    bench = make(span=span, **bucket)
    each = bench.put(data, name, created=datetime(2026, 1, 1, tzinfo=UTC), **properties)
    if crc32c is not None:
        bench.gcs.model.get(BUCKET, name).crc32c = crc32c
    writes = bench.writes()
    assert bench.compress(each) == answer
    assert (bench.live(), bench.writes()) == ({name: data}, writes)


@pytest.mark.parametrize("metadata", [{}, {"cost-watchdog-generation": "1"}, {"cost-watchdog-generation": "x"}])
def test_an_object_under_the_name_is_not_touched(make: Callable[..., Bench], metadata: dict[str, str]) -> None:
    """Whether somebody else wrote it, or it was made from another generation, whose only copy it may be."""
    bench, data = make(), some(LARGE)
    each = bench.put(data)
    bench.put(b"theirs", bench.name, metadata=metadata)
    reason = f"there is an object {bench.name} already, and it was not made from this one"
    assert bench.compress(each) == Answer("refused", reason)
    assert bench.uncompress(each) == UNCHANGED
    assert bench.live() == {NAME: data, bench.name: b"theirs"}


@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("new", [{}, {NAME: b"new"}], ids=["deleted", "written anew"])
def test_what_was_deleted_or_written_anew_before_is_not_compressed(make: Callable[..., Bench], size: int, new: dict[str, bytes]) -> None:
    """What an earlier call had begun is cleared away; a compressed object that is there already stays, since nobody knows who deleted the original."""
    bench = make()
    fates = set()
    for moment in itertools.count(2):
        each = bench.put(some(size))
        bench.asked, bench.stop_at = 0, moment
        begun, bench.stop_at = bench.compress(each), None
        if begun.fate == "done":
            break
        bench.gcs.model.delete(BUCKET, NAME)
        for name, data in new.items():
            bench.put(data, name)
        made = bench.live().get(bench.name)
        answer = bench.compress(each)
        fates.add(answer.fate)
        if made is None:
            assert answer == Answer("refused", "it was deleted or written anew before it could be compressed")
            assert bench.live() == new
        else:
            assert answer == Answer("gone", "it was compressed before", len(made))
            assert bench.live() == {**new, bench.name: made}
            bench.gcs.model.delete(BUCKET, bench.name)
    assert fates == {"refused", "gone"}


# crashes, and answers that are lost


def crash(bench: Bench, number: int, *, last_is_done: bool) -> None:
    """From this call on nothing is answered; the first of them may be carried out all the same."""
    if last_is_done:
        bench.gcs.faults.inject(Fault("*", drop_answer=True, skip=number, times=1))
    bench.gcs.faults.inject(Fault("*", status=503, skip=number))


@pytest.mark.parametrize(("into", "size"), [("gzip", SMALL), ("zstd", 2 * SPAN + 1)])
@pytest.mark.parametrize("last_is_done", [False, True])
def test_a_crash_at_any_call_and_going_on(make: Callable[..., Bench], into: Compression, size: int, *, last_is_done: bool) -> None:
    """Nothing is ever lost, the next call goes on, and what comes of it is the same; the last call may have been carried out or not."""
    bench, data = make(into, patience=0.01), some(size)
    for number in itertools.count():
        each, calls = bench.put(data), bench.calls()
        crash(bench, number, last_is_done=last_is_done)
        answer = bench.compress(each)
        bench.gcs.faults.clear()
        assert is_whole(bench, each, data)
        if bench.calls() - calls <= number:
            assert answer.fate == "done"
            assert number > 8
            break
        assert answer.fate == "unavailable"
        answer = bench.compress(each)
        live = bench.live()
        assert {name: unpacked(found, into) for name, found in live.items()} == {bench.name: data}
        assert answer in (Answer("done", made=len(live[bench.name])), Answer("gone", "it was compressed before", len(live[bench.name])))
        bench.gcs.model.delete(BUCKET, bench.name)


@pytest.mark.parametrize(("into", "size"), [("gzip", SMALL), ("zstd", 2 * SPAN + 1)])
def test_an_answer_that_is_lost_is_asked_for_again(make: Callable[..., Bench], into: Compression, size: int) -> None:
    """Whichever it is: what was done already is found done. The one call of a batch is not sent again by itself, but by the next call."""
    bench, data = make(into, patience=1), some(size)
    for number in itertools.count():
        each, calls = bench.put(data), bench.calls()
        bench.gcs.faults.inject(Fault("*", drop_answer=True, skip=number, times=1))
        answer = bench.compress(each)
        bench.gcs.faults.clear()
        if answer.fate == "unavailable":
            assert bench.writes()[-1] == ("delete", NAME)
            answer = bench.compress(each)
            assert answer.fate == "gone"
        live = bench.live()
        assert {name: unpacked(found, into) for name, found in live.items()} == {bench.name: data}
        assert answer.made == len(live[bench.name])
        bench.gcs.model.delete(BUCKET, bench.name)
        if bench.calls() - calls <= number:
            break


def test_parts_that_are_there_are_not_made_again(make: Callable[..., Bench]) -> None:
    """Whenever the time is up, the next call goes on with the part, the round or the check that it was at; each is written once."""
    bench, data = make(), some(HUGE)
    each = bench.put(data)
    answers: list[Answer] = []
    while not answers or answers[-1].fate == "unavailable":
        bench.stop_at = bench.asked + 25
        answers.append(bench.compress(each))
        assert is_whole(bench, each, data)
        assert len(answers) < 100
    assert {answer.reason for answer in answers[:-1]} == {GOES_ON.reason}
    assert answers[-1].fate == "done"
    assert len(answers) > 5
    inserted = [name for method, name in bench.writes() if method in ("insert", "compose")]
    assert len(inserted) == len(set(inserted)) == 1 + 40 + 3 + 40
    assert list(bench.live()) == [bench.name]


@pytest.mark.parametrize("size", [SMALL, 2 * SPAN + 1])
def test_it_stops_at_once_when_it_may_not_go_on(make: Callable[..., Bench], size: int) -> None:
    """Whenever that is. It says whether it came to anything, and the original is not deleted any more once the right to write is gone."""
    bench, data = make(), some(size)
    for moment in itertools.count(1):
        each, writes = bench.put(data), bench.writes()
        bench.asked, bench.stop_at = 0, moment
        answer = bench.compress(each)
        if answer.fate == "done":
            break
        assert bench.live()[NAME] == data
        assert answer == (GOES_ON if bench.writes() != [*writes] else NO_TIME)
        assert bench.asked == moment
        bench.stop_at = None
        assert bench.compress(each).fate == "done"
        bench.gcs.model.delete(BUCKET, bench.name)
    assert moment > 5


def test_it_is_not_even_begun_without_time(make: Callable[..., Bench]) -> None:
    """Neither is the way back; nothing is asked of the bucket."""
    bench = make()
    each = bench.put(some(SMALL))
    calls, bench.stop_at = bench.calls(), 0
    assert (bench.compress(each), bench.uncompress(each)) == (NO_TIME, NO_TIME)
    assert bench.calls() == calls


# what is damaged


@either
@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize(
    "damage",
    [lambda data: data[:30] + b"????" + data[34:], lambda data: data[:-3], lambda _: b"", lambda data: b"?" + data[1:]],
    ids=["changed", "cut off", "empty", "no such format"],
)
def test_what_does_not_read_back_is_taken_away(
    make: Callable[..., Bench], into: Compression, size: int, damage: Callable[[bytes], bytes]
) -> None:
    """The original stays as it is, with its generation, and nothing else does."""
    bench, data = make(into), some(size)
    each = bench.put(data)
    bench.damage(damage)
    answer = bench.compress(each)
    assert answer.fate == "refused"
    assert "read back" in answer.reason
    assert bench.live() == {NAME: data}
    assert bench.store.find(BUCKET, NAME) == each


def test_what_reads_back_as_much_more_is_taken_away(make: Callable[..., Bench]) -> None:
    """A bomb in its place is not read to its end: no more of it than the original's size."""
    bench, data = make("zstd"), some(SMALL)
    bench.damage(lambda _: zstandard.compress(bytes(2**26)))
    answer = bench.compress(bench.put(data))
    assert answer == Answer("refused", f"{bench.name} could not be decompressed when it was read back: it holds more than was compressed")
    assert bench.live() == {NAME: data}


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_what_reads_back_as_something_else_is_taken_away(make: Callable[..., Bench], size: int) -> None:
    """Even where it is a perfect file of as many bytes."""
    bench, data = make("gzip"), some(size)

    def another(content: bytes) -> bytes:
        metadata = bench.gcs.model.get(BUCKET, bench.name).metadata or {}
        members = [int(member) for member in metadata.get("cost-watchdog-sizes", str(len(content))).split(",")]
        return b"".join(gzip.compress(noise(member - 23), compresslevel=0) for member in members)  # 23 bytes around what is only stored

    bench.damage(another)
    assert bench.compress(bench.put(data)) == Answer("refused", f"{bench.name} did not hold what it was made from when it was read back")
    assert bench.live() == {NAME: data}


def test_an_upload_that_arrives_damaged_is_repeated(make: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch) -> None:
    """The platform's checksum of it is another one: that object is deleted, and the next call writes it anew."""
    bench, data = make(), some(SMALL)
    each = bench.put(data)
    insert = bench.gcs.model.insert

    def broken(bucket: str, name: str, content: bytes, *rest: Any, **more: Any) -> Any:
        monkeypatch.setattr(bench.gcs.model, "insert", insert)
        return insert(bucket, name, content[:-1] + b"?", *rest, **more)

    monkeypatch.setattr(bench.gcs.model, "insert", broken)
    assert bench.compress(each) == Answer("unavailable", f"gs://{BUCKET}/{bench.name}: what arrived is not what was sent")
    assert bench.live() == {NAME: data}
    assert bench.compress(each).fate == "done"


def test_an_upload_of_which_only_a_part_arrives_is_repeated(gcs: Gcs, monkeypatch: pytest.MonkeyPatch) -> None:
    """The platform may keep less of a chunk than it was sent, and the client does not go back; nothing is written then, and the next call succeeds."""
    monkeypatch.setattr(object_calls, "CHUNK", 256 * 1024)
    behind: ASGIApp = storage.app(gcs.model, gcs.faults)
    cut = [True]

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 308 and cut:
                cut.clear()
                message = {**message, "headers": [(b"range", b"bytes=0-262142"), (b"content-length", b"0")]}
            await send(message)

        await behind(scope, receive, sent)

    gcs.model.create_bucket(BUCKET)
    with HttpServer(serve) as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        bench = Bench(gcs, "zstd", GcsObjectStore(patience=5))
        each = bench.put(noise(400_000) + bytes(400_000))
        answer = bench.compress(each)
        assert answer.fate == "unavailable"
        assert "the upload was cut off" in answer.reason
        assert list(bench.live()) == [NAME]
        assert bench.compress(each).fate == "done"


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_download_that_breaks_off_is_repeated(gcs: Gcs, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """The sample, the original or what is read back: nothing is taken for whole that is not."""
    behind: ASGIApp = storage.app(gcs.model, gcs.faults)
    downloads = itertools.count(1)

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        breaks = scope["type"] == "http" and scope["path"].startswith("/download/") and next(downloads) == number

        async def sent(message: Message) -> None:
            if breaks and message["type"] == "http.response.body":
                await send({**message, "body": message["body"][:100], "more_body": True})
                raise ConnectionError("the line is cut")
            await send(message)

        await behind(scope, receive, sent)

    gcs.model.create_bucket(BUCKET)
    with HttpServer(serve) as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        bench = Bench(gcs, "zstd", GcsObjectStore(patience=5))
        data = some(20_000)
        each = bench.put(data)
        assert bench.compress(each).fate == "unavailable"
        assert bench.live()[NAME] == data
        assert bench.compress(each).fate == "done"
        assert unpacked(bench.live()[bench.name], "zstd") == data


# what others do meanwhile


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_the_original_is_written_anew_meanwhile(make: Callable[..., Bench], size: int) -> None:
    """What was made of the old one is taken away, and the new one is not touched."""
    bench = make()
    each = bench.put(some(size))
    bench.when_written(bench.name, lambda: bench.gcs.model.put(BUCKET, NAME, b"new"))
    assert bench.compress(each) == Answer("refused", "it was written anew while it was being compressed")
    assert bench.live() == {NAME: b"new"}


def test_the_original_is_deleted_meanwhile(make: Callable[..., Bench]) -> None:
    """That was to be done anyway."""
    bench, data = make(), some(LARGE)
    each = bench.put(data)
    bench.when_written(bench.name, lambda: bench.gcs.model.delete(BUCKET, NAME))
    assert bench.compress(each).fate == "done"
    assert unpacked(bench.live()[bench.name], "zstd") == data


def test_the_original_is_put_under_a_hold_meanwhile(make: Callable[..., Bench]) -> None:
    """Then it stays, and the compressed one does not."""
    bench, data = make(), some(LARGE)
    each = bench.put(data)
    bench.when_written(bench.name, lambda: bench.gcs.model.patch(BUCKET, NAME, {"temporaryHold": True}))
    answer = bench.compress(each)
    assert answer.fate == "held"
    assert "under active Temporary hold" in answer.reason
    assert bench.live() == {NAME: data}


@pytest.mark.parametrize(("status", "fate"), [(400, "refused"), (503, "unavailable")])
def test_the_deletion_is_not_carried_out(make: Callable[..., Bench], status: int, fate: str) -> None:
    """Where it may work later, the compressed one stays for the next call; where it never will, it does not."""
    bench, data = make(), some(SMALL)
    each = bench.put(data)
    bench.gcs.faults.inject(Fault("storage.objects.delete", status=status, match=NAME, times=1))
    assert bench.compress(each).fate == fate
    assert list(bench.live()) == ([NAME] if status == 400 else [NAME, bench.name])
    assert bench.compress(each).fate == "done"


def test_parts_of_an_older_generation_are_not_used(make: Callable[..., Bench]) -> None:
    """They are deleted when they are met; what else lies in their folder is somebody's own."""
    bench = make()
    old = bench.put(some(LARGE, seed=3))
    bench.when_written(f"{bench.name}.parts/00001", bench.stop)
    assert bench.compress(old) == GOES_ON
    bench.stop_at, data = None, some(LARGE)
    assert set(bench.live()) == {NAME, f"{bench.name}.parts/00000", f"{bench.name}.parts/00001"}
    bench.put(b"theirs", f"{bench.name}.parts/readme")
    each = bench.put(data)
    assert bench.compress(each).fate == "done"
    assert {name: unpacked(found, "zstd") for name, found in bench.live().items() if name == bench.name} == {bench.name: data}
    assert set(bench.live()) == {bench.name, f"{bench.name}.parts/readme"}


def test_parts_are_found_among_many_other_objects(make: Callable[..., Bench]) -> None:
    """However many pages it takes to list their folder."""
    bench = make()
    each = bench.put(some(LARGE))
    for number in range(1001):
        bench.gcs.model.put(BUCKET, f"{bench.name}.parts/!{number:04}")
    bench.when_written(f"{bench.name}.parts/00001", bench.stop)
    assert bench.compress(each) == GOES_ON
    bench.stop_at = None
    assert bench.compress(each).fate == "done"
    inserted = [name for method, name in bench.writes() if method == "insert"]
    assert len(inserted) == len(set(inserted))
    assert sum(len(page) for page in bench.store.pages(BUCKET, "")) == 1 + 1001


def test_an_object_in_the_place_of_a_part(make: Callable[..., Bench]) -> None:
    """It is not touched, and nothing is compressed then."""
    bench, data = make(), some(LARGE)
    each = bench.put(data)
    bench.put(b"theirs", f"{bench.name}.parts/00002")
    assert bench.compress(each) == Answer("refused", f"{bench.name}.parts/00002: is in the way, and it is not the watchdog's")
    assert bench.live() == {NAME: data, f"{bench.name}.parts/00002": b"theirs"}


def test_parts_that_somebody_deletes_are_made_again(make: Callable[..., Bench]) -> None:
    """What they were to become cannot be put together now; the next call makes them anew."""
    bench, data = make(), some(LARGE)
    each = bench.put(data)
    last = f"{bench.name}.parts/00003"
    bench.when_written(last, lambda: bench.gcs.model.delete(BUCKET, f"{bench.name}.parts/00001"))
    assert bench.compress(each) == Answer("unavailable", f"{bench.name}: is not as it was left")
    assert bench.compress(each).fate == "done"
    assert unpacked(bench.live()[bench.name], "zstd") == data


def test_notes_of_another_object_of_the_name_do_not_count(make: Callable[..., Bench]) -> None:
    """Somebody deletes the compressed object when it is half checked: the next one is checked from its beginning."""
    bench, data = make(), some(LARGE)
    each = bench.put(data)
    bench.when_written(f"{bench.name}.parts/checked-00002", lambda: bench.gcs.model.delete(BUCKET, bench.name))
    assert bench.compress(each).fate == "unavailable"
    bench.damage(lambda content: b"????" + content[4:])
    assert bench.compress(each).fate == "refused"
    assert bench.live() == {NAME: data}


def test_two_that_compress_the_same_object_do_no_harm(make: Callable[..., Bench]) -> None:
    """As when a worker lost its lease without noticing it: each finds what the other did."""
    bench = make()
    for seed in range(3):
        data = some(HUGE, seed)
        each = bench.put(data)
        answers: list[Answer] = []

        def work(bench: Bench = bench, each: StorageObject = each, answers: list[Answer] = answers) -> None:
            for _ in range(5):
                answer = bench.compress(each)
                if answer.fate != "unavailable":
                    break
            answers.append(answer)

        workers = [Thread(target=work) for _ in range(2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
        assert {answer.fate for answer in answers} <= {"done", "gone"}
        assert {name: unpacked(found, "zstd") for name, found in bench.live().items()} == {bench.name: data}
        bench.gcs.model.delete(BUCKET, bench.name)


# permissions


def test_what_is_needed_is_what_is_declared(make: Callable[..., Bench]) -> None:
    """With these permissions everything works, also the way back from the compressed object."""
    bench, data = make(), some(LARGE)
    others = {"storage.objects.update", "storage.objects.overrideUnlockedRetention", "storage.buckets.list", "storage.buckets.update"}
    bench.gcs.model.deny(BUCKET, *others)
    each = bench.put(data)
    assert bench.store.facts(BUCKET)
    assert bench.compress(each).fate == "done"
    assert bench.uncompress(each) == DONE
    each = bench.put(data)
    assert bench.compress(each).fate == "done"
    later(bench, days=8)
    assert bench.uncompress(each) == DONE
    assert bench.live() == {NAME: data}


@pytest.mark.parametrize("permission", sorted(ACTION.permissions - {"storage.buckets.get", "storage.objects.restore"}))
def test_a_permission_that_is_missing_is_named(make: Callable[..., Bench], permission: str) -> None:
    """The original stays, and once the permission is there the next call goes on."""
    bench, data = make(), some(LARGE)
    each = bench.put(data)
    bench.gcs.model.deny(BUCKET, permission)
    answer = bench.compress(each)
    assert answer.fate == "denied"
    assert permission in answer.reason
    assert bench.live()[NAME] == data
    bench.gcs.model.denied.clear()
    assert bench.compress(each).fate == "done"
    assert list(bench.live()) == [bench.name]


def test_the_permission_to_delete_alone_is_missing_at_the_end(make: Callable[..., Bench]) -> None:
    """A small object needs it nowhere else; its compressed form is found when the permission is there."""
    bench = make()
    each = bench.put(some(SMALL))
    bench.gcs.model.deny(BUCKET, "storage.objects.delete")
    assert bench.compress(each).fate == "denied"
    assert set(bench.live()) == {NAME, bench.name}
    bench.gcs.model.denied.clear()
    inserted = len(bench.writes())
    assert bench.compress(each).fate == "done"
    assert len(bench.writes()) == inserted + 1


def test_a_bucket_that_is_gone(make: Callable[..., Bench]) -> None:
    """Then the object is."""
    bench = make()
    each = bench.put(some(LARGE))
    bench.gcs.model.delete(BUCKET, NAME)
    bench.gcs.model.delete_bucket(BUCKET)
    assert bench.compress(each).fate == "refused"


# and back


def later(bench: Bench, *, days: int) -> None:
    """Time passes."""
    now = bench.gcs.model.now() + timedelta(days=days)
    bench.gcs.model.now = lambda: now


def compressed(bench: Bench, data: bytes, **properties: Any) -> StorageObject:
    """An object that was compressed."""
    each = bench.put(data, **properties)
    assert bench.compress(each).fate == "done"
    return each


@either
@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("days", [0, 8])
def test_an_object_comes_back_as_it_was(make: Callable[..., Bench], into: Compression, size: int, days: int) -> None:
    """From soft delete, or from the compressed object once the window is over; with all that was known of it, and the compressed object is gone."""
    bench, data = make(into), some(size)
    known: dict[str, Any] = {"contentType": "application/x-checkpoint", "customTime": "2026-01-02T03:04:05Z", "storageClass": "NEARLINE"}
    bench.put(data, metadata={"step": "1"}, **known)
    before = bench.properties(NAME)
    each = compressed(bench, data, metadata={"step": "1"}, **known)
    later(bench, days=days)
    assert bench.uncompress(each) == DONE
    assert bench.live() == {NAME: data}
    assert bench.properties(NAME) == before
    assert bench.uncompress(each) == DONE
    assert bench.live() == {NAME: data}


def test_an_object_without_metadata_comes_back_without(make: Callable[..., Bench]) -> None:
    """What was noted for its sake is not left on it."""
    bench = make()
    each = compressed(bench, some(SMALL))
    later(bench, days=8)
    assert bench.uncompress(each) == DONE
    assert "metadata" not in bench.properties(NAME)


def test_what_was_never_compressed_is_there_already(make: Callable[..., Bench]) -> None:
    """What was begun is cleared away."""
    bench, data = make(), some(LARGE)
    each = bench.put(data)
    assert bench.uncompress(each) == UNCHANGED
    for written in (f"{bench.name}.parts/00001", bench.name):
        bench.when_written(written, bench.stop)
        assert bench.compress(each) == GOES_ON
        bench.stop_at = None
        assert bench.uncompress(each) == UNCHANGED
        assert bench.live() == {NAME: data}
    assert bench.store.find(BUCKET, NAME) == each


def test_another_object_of_the_name_is_there(make: Callable[..., Bench]) -> None:
    """Both stay: nobody knows which one is wanted."""
    bench = make()
    each = compressed(bench, some(LARGE))
    bench.put(b"new")
    assert bench.uncompress(each) == Answer("changed", "another object of this name is there now")
    assert set(bench.live()) == {NAME, bench.name}


@pytest.mark.parametrize("theirs", [b"new", some(LARGE)], ids=["another", "the same"])
@pytest.mark.parametrize("days", [0, 8])
def test_somebody_writes_the_name_while_it_comes_back(
    make: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch, theirs: bytes, days: int
) -> None:
    """It is not written over; where it is the same, it counts as back."""
    bench = make()
    each = compressed(bench, some(LARGE))
    later(bench, days=days)
    restore = bench.store.restore

    def meanwhile(*given: Any) -> Any:
        answers = restore(*given) if days else None
        bench.gcs.model.put(BUCKET, NAME, theirs)
        return answers or restore(*given)

    monkeypatch.setattr(bench.store, "restore", meanwhile)
    same = theirs == some(LARGE)
    assert bench.uncompress(each) == (DONE if same else Answer("changed", "another object of this name is there now"))
    assert bench.live()[NAME] == theirs
    assert (bench.name in bench.live()) == (not same)


def test_nothing_is_kept_that_it_could_be_made_from(make: Callable[..., Bench]) -> None:
    """The window is over, and somebody deleted the compressed object."""
    bench = make()
    each = compressed(bench, some(SMALL))
    bench.gcs.model.delete(BUCKET, bench.name)
    later(bench, days=8)
    assert bench.uncompress(each) == Answer("gone", "it is no longer kept, and there is nothing that it could be made from")


@either
@pytest.mark.parametrize(
    "damage",
    [lambda data: b"?" + data[1:], lambda _: gzip.compress(b"other"), lambda _: zstandard.ZstdCompressor().compress(b"other")],
    ids=["no such format", "gzip", "zstd"],
)
def test_a_damaged_compressed_object_makes_nothing(make: Callable[..., Bench], into: Compression, damage: Callable[[bytes], bytes]) -> None:
    """It is kept, since it may be all there is, and nothing that was made of it is."""
    bench = make(into)
    each = compressed(bench, some(SMALL))
    later(bench, days=8)
    stored = bench.gcs.model.get(BUCKET, bench.name)
    stored.data = damage(stored.data or b"")
    stored.size = len(stored.data)
    answer = bench.uncompress(each)
    assert answer.fate == "refused"
    assert answer.reason.startswith(f"{bench.name} ")
    assert list(bench.live()) == [bench.name]


def test_a_restoration_that_is_refused_is_answered_so(make: Callable[..., Bench]) -> None:
    """The compressed object stays."""
    bench = make()
    each = compressed(bench, some(SMALL))
    bench.gcs.model.deny(BUCKET, "storage.objects.restore")
    answer = bench.uncompress(each)
    assert answer.fate == "denied"
    assert "storage.objects.restore" in answer.reason
    assert list(bench.live()) == [bench.name]


def test_somebody_deletes_whatever_comes_back(make: Callable[..., Bench]) -> None:
    """That is somebody's doing, and is tried again later."""
    bench = make()
    each = compressed(bench, some(SMALL))

    def happened(event: str, resource: Mapping[str, Any]) -> None:
        if event.endswith("finalized") and resource["name"] == NAME:
            bench.gcs.model.delete(BUCKET, NAME)

    bench.gcs.model.on_event = happened
    assert bench.uncompress(each) == Answer("unavailable", "it is written and deleted again all the time")
    assert list(bench.live()) == [bench.name]


@pytest.mark.parametrize("days", [0, 8])
@pytest.mark.parametrize("last_is_done", [False, True])
def test_a_crash_at_any_call_on_the_way_back(make: Callable[..., Bench], days: int, *, last_is_done: bool) -> None:
    """Nothing is ever lost, and doing it again finishes it."""
    bench, data = make(patience=0.01), some(2 * SPAN + 1)
    for number in itertools.count():
        each = compressed(bench, data)
        later(bench, days=days)
        calls = bench.calls()
        crash(bench, number, last_is_done=last_is_done)
        answer = bench.uncompress(each)
        bench.gcs.faults.clear()
        assert is_whole(bench, each, data)
        if bench.calls() - calls <= number:
            assert answer == DONE
            break
        assert answer.fate == "unavailable"
        assert bench.uncompress(each) == DONE
        assert bench.live() == {NAME: data}


@pytest.mark.parametrize("days", [0, 8])
def test_the_way_back_stops_when_it_may_not_go_on(make: Callable[..., Bench], days: int) -> None:
    """What it had begun to write is not there then."""
    bench, data = make(), some(LARGE)
    for moment in itertools.count(1):
        each = compressed(bench, data)
        later(bench, days=days)
        bench.asked, bench.stop_at = 0, moment
        answer = bench.uncompress(each)
        bench.stop_at = None
        assert is_whole(bench, each, data)
        if answer == DONE:
            break
        assert answer == NO_TIME
        assert bench.uncompress(each) == DONE
        bench.gcs.model.delete(BUCKET, NAME)
    assert moment > 2
