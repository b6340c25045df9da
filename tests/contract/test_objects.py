"""The watched buckets over the wire: Google's client before the stand-in, and every answer that a batch can bring."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox import storage
from sandbox.faults import Fault
from sandbox.serve import HttpServer
from shared.cloud.object_batch import Reply, call, pack, unpack
from shared.cloud.objects import GcsObjectStore
from shared.errors import CloudError, Denied, Gone, Refused, Unavailable
from shared.model import BucketFacts, StorageObject
from shared.ports import BATCH, DONE, Answer, ObjectStore
from tests.contract.stand_ins import Gcs

RUNS = "acme-ml-runs"
GET, LIST, DELETE, RESTORE, COPY = (f"storage.objects.{verb}" for verb in ("get", "list", "delete", "restore", "copy"))
OUTER = "storage.batch"
HOSTILE = (
    " blanks around ",
    "100%",
    "%2F%00",
    "--boundary",
    "?generation=1&a=b#c",
    "HTTP/1.1 204 No Content",
    "Zoë/ﬀ/😀/模型",
    "a+b",
    "back\\slash",
    "dots/../up/./here",
    "quotes'\"`",
    "slashes//in/a/row/",
    "tab\tand\x7f",
    "...",
)


@pytest.fixture
def store(gcs: Gcs) -> ObjectStore:
    """The real client before the stand-in, with one watched bucket."""
    gcs.model.create_bucket(RUNS)
    return GcsObjectStore(patience=5)


# -- what a bucket is like -------------------------------------------------------------------------------------------


def test_facts_of_a_bucket(gcs: Gcs, store: ObjectStore) -> None:
    """Location, soft delete, versions, Autoclass and labels are read in one call."""
    gcs.model.create_bucket(
        "acme-ml-kept",
        location="us-central1",
        softDeletePolicy={"retentionDurationSeconds": 1_209_600},
        versioning={"enabled": True},
        autoclass={"enabled": True},
        labels={"team": "ml"},
    )
    expected = BucketFacts("acme-ml-kept", "us-central1", timedelta(days=14), versioned=True, autoclass=True, labels={"team": "ml"})
    assert store.facts("acme-ml-kept") == expected
    assert gcs.faults.calls == {"storage.buckets.get": 1}


def test_facts_of_a_plain_bucket(gcs: Gcs, store: ObjectStore) -> None:
    """What a bucket does not say it does not have; soft delete that is off is none."""
    gcs.model.create_bucket("acme-ml-plain", softDeletePolicy={"retentionDurationSeconds": 0})
    assert store.facts("acme-ml-plain") == BucketFacts("acme-ml-plain", "us", timedelta(0))


# -- listings --------------------------------------------------------------------------------------------------------


def test_an_object_as_it_is_listed(gcs: Gcs, store: ObjectStore) -> None:
    """Generation, size, class, time, checksum, holds and retention come with the name."""
    created = datetime(2026, 11, 1, 12, 30, 0, 250_000, tzinfo=UTC)
    until = datetime(2027, 1, 1, tzinfo=UTC)
    plain = gcs.model.put(RUNS, "run/a", b"abc", storageClass="COLDLINE", created=created)
    held = gcs.model.put(RUNS, "run/b", temporaryHold=True, created=created)
    event = gcs.model.put(RUNS, "run/c", eventBasedHold=True, created=created)
    kept = gcs.model.put(RUNS, "run/d", retain_until=until, created=created)
    nothing = "AAAAAA=="
    assert _all(store, "run/") == [
        StorageObject("run/a", plain, 3, "COLDLINE", created, "Nks/tw=="),
        StorageObject("run/b", held, 0, "STANDARD", created, nothing, hold="temporary hold"),
        StorageObject("run/c", event, 0, "STANDARD", created, nothing, hold="event-based hold"),
        StorageObject("run/d", kept, 0, "STANDARD", created, nothing, retained_until=until),
    ]


def test_a_listing_comes_page_by_page(gcs: Gcs, store: ObjectStore) -> None:
    """A page holds a thousand objects, and the next one is fetched when it is asked for."""
    _put(gcs, *(f"run/{number:04}" for number in range(2001)))
    pages = store.pages(RUNS, "run/")
    assert len(next(pages)) == 1000
    assert gcs.faults.calls == {LIST: 1}
    assert [len(page) for page in pages] == [1000, 1]
    assert gcs.faults.calls == {LIST: 3}


def test_a_listing_stays_within_the_prefix(gcs: Gcs, store: ObjectStore) -> None:
    """A folder's neighbours whose names begin alike are not in it; an empty prefix is the whole bucket."""
    names = ["run-1", "run-1/a", "run-1/b/c", "run-10/a", "run-1a"]
    _put(gcs, *names)
    assert _names(store, "run-1/") == ["run-1/a", "run-1/b/c"]
    assert _names(store, "") == names
    assert _names(store, "none/") == []


def test_names_come_in_the_order_of_their_characters(gcs: Gcs, store: ObjectStore) -> None:
    """The order is that of Python's strings, also beyond the 16-bit characters, so what was seen last says where to go on."""
    names = ["Z", "a", "a b", "a/b", "z", "ä", "ﬀ", "😀"]
    _put(gcs, *reversed(names))
    assert _names(store, "") == names == sorted(names)
    for number, name in enumerate(names):
        assert _names(store, "", after=name) == names[number + 1 :]


def test_a_listing_goes_on_after_a_name(gcs: Gcs, store: ObjectStore) -> None:
    """It goes on behind the name, whether the object still is there or not, and does not leave the prefix."""
    _put(gcs, "run/a", "run/b", "run/c", "sun/a")
    assert _names(store, "run/", after="run/a") == ["run/b", "run/c"]
    assert _names(store, "run/", after="run/aa") == ["run/b", "run/c"]
    assert _names(store, "run/", after="run/c") == []
    assert _names(store, "run/", after="a") == ["run/a", "run/b", "run/c"]
    assert _names(store, "run/", after="z") == []


def test_versions_come_in_the_order_of_their_generations(gcs: Gcs, store: ObjectStore) -> None:
    """Where they are asked for, noncurrent generations stand before the live one; a listing that goes on leaves out all of a name."""
    now = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
    gcs.model.now = lambda: now
    gcs.model.create_bucket("acme-ml-versions", versioning={"enabled": True})
    generations = [gcs.model.put("acme-ml-versions", name, data) for name, data in (("a", b"1"), ("a", b"22"), ("b", b"333"), ("b", b""))]
    gcs.model.delete("acme-ml-versions", "b")
    listed = [each for page in store.pages("acme-ml-versions", "", versions=True) for each in page]
    assert [(each.name, each.generation, each.size, each.noncurrent_since) for each in listed] == [
        ("a", generations[0], 1, now),
        ("a", generations[1], 2, None),
        ("b", generations[2], 3, now),
        ("b", generations[3], 0, now),
    ]
    rest = [each for page in store.pages("acme-ml-versions", "", after="a", versions=True) for each in page]
    assert [each.generation for each in rest] == generations[2:]
    assert [each.name for page in store.pages("acme-ml-versions", "") for each in page] == ["a"]


def test_folders(gcs: Gcs, store: ObjectStore) -> None:
    """The folders directly below, once each and over all pages; objects beside them and folders further down do not count."""
    names = [f"runs/{number:04}/" for number in range(1001)]
    _put(gcs, *(f"{name}{file}" for name in names for file in ("a", "b/c")), "runs/file", "runs//odd", "other/x/y")
    assert [*store.folders(RUNS, "runs/")] == ["runs//", *names]
    assert [*store.folders(RUNS, "")] == ["other/", "runs/"]
    assert [*store.folders(RUNS, "none/")] == []


# -- one object ------------------------------------------------------------------------------------------------------


def test_find(gcs: Gcs, store: ObjectStore) -> None:
    """The live object as a listing shows it, or None."""
    for name in HOSTILE:
        gcs.model.put(RUNS, name, name.encode())
    assert [store.find(RUNS, name) for name in sorted(HOSTILE)] == _all(store, "")
    assert store.find(RUNS, "none") is None
    assert store.find("acme-ml-none", "none") is None


def test_names_that_no_object_has(gcs: Gcs, store: ObjectStore) -> None:
    """A name that would make the path that of a folder or of the bucket is refused before anything is asked."""
    gcs.faults.calls.clear()
    impossible = StorageObject("..", 1, 0, "STANDARD", datetime.now(UTC))
    for name in ("", ".", ".."):
        with pytest.raises(Refused, match="no object can be named"):
            store.find(RUNS, name)
    with pytest.raises(Refused, match="no object can be named"):
        store.delete(RUNS, [impossible])
    assert gcs.faults.calls == {}


def test_read(gcs: Gcs, store: ObjectStore) -> None:
    """The bytes of the generation that is named, in one call, up to the limit and not beyond."""
    first = gcs.model.put(RUNS, "runs/%2F/meta.yaml", b"status: 4")
    empty = gcs.model.put(RUNS, "empty", b"")
    assert store.read(RUNS, "runs/%2F/meta.yaml", generation=first, limit=9) == b"status: 4"
    assert store.read(RUNS, "empty", generation=empty, limit=0) == b""
    assert gcs.faults.calls == {GET: 2}
    with pytest.raises(Refused, match=r"^gs://acme-ml-runs/runs/%2F/meta\.yaml: is larger than 8 bytes"):
        store.read(RUNS, "runs/%2F/meta.yaml", generation=first, limit=8)
    gcs.model.put(RUNS, "runs/%2F/meta.yaml", b"status: 3")
    with pytest.raises(Gone):
        store.read(RUNS, "runs/%2F/meta.yaml", generation=first, limit=9)


def test_read_what_is_stored_compressed(gcs: Gcs, store: ObjectStore) -> None:
    """It is read as it was before it was compressed, and the limit is for that: a small object may unfold to a large one."""
    small = gcs.model.put(RUNS, "small", gzip.compress(b"status: 4"), contentEncoding="gzip")
    bomb = gcs.model.put(RUNS, "bomb", gzip.compress(bytes(10_000_000)), contentEncoding="gzip")
    plain = gcs.model.put(RUNS, "plain", b"status: 4", contentEncoding="gzip")
    assert store.read(RUNS, "small", generation=small, limit=1000) == b"status: 4"
    with pytest.raises(Refused, match="is larger than 1,000,000 bytes"):
        store.read(RUNS, "bomb", generation=bomb, limit=1_000_000)
    gcs.faults.calls.clear()
    with pytest.raises(Refused, match="said to be compressed and is not"):
        store.read(RUNS, "plain", generation=plain, limit=1000)
    assert gcs.faults.calls == {GET: 1}


# -- deleting --------------------------------------------------------------------------------------------------------


def test_a_batch_is_one_request(gcs: Gcs, store: ObjectStore) -> None:
    """A hundred objects are deleted with one request, and each has its answer; none is no request at all."""
    _put(gcs, *(f"run/{number:03}" for number in range(BATCH)))
    objects = _all(store, "run/")
    gcs.faults.calls.clear()
    assert store.delete(RUNS, objects) == [DONE] * BATCH
    assert gcs.faults.calls == {OUTER: 1, DELETE: BATCH}
    assert _all(store, "run/") == []
    assert store.delete(RUNS, []) == store.restore(RUNS, []) == []
    assert gcs.faults.calls[OUTER] == 1


def test_hostile_names(gcs: Gcs, store: ObjectStore) -> None:
    """A name is data in every character: each object is deleted and restored, and nothing else."""
    _put(gcs, *HOSTILE, "bystander")
    objects = [each for each in _all(store, "") if each.name != "bystander"]
    assert store.delete(RUNS, objects) == [DONE] * len(HOSTILE)
    assert _names(store, "") == ["bystander"]
    assert store.restore(RUNS, objects) == [DONE] * len(HOSTILE)
    assert _names(store, "") == sorted((*HOSTILE, "bystander"))


def test_each_answer_of_a_batch_is_read(gcs: Gcs, store: ObjectStore) -> None:
    """The batch as a whole is answered 200; what is gone, changed, held or retained neither hides nor stops the others."""
    gcs.model.put(RUNS, "a")
    gcs.model.put(RUNS, "gone")
    gcs.model.put(RUNS, "overwritten", b"old")
    gcs.model.put(RUNS, "temporary", temporaryHold=True)
    gcs.model.put(RUNS, "event", eventBasedHold=True)
    gcs.model.put(RUNS, "retained", retain_until=datetime(2100, 1, 1, tzinfo=UTC))
    gcs.model.put(RUNS, "z")
    objects = _all(store, "")
    gcs.model.delete(RUNS, "gone")
    gcs.model.put(RUNS, "overwritten", b"new")
    answers = dict(zip([each.name for each in objects], store.delete(RUNS, objects), strict=True))
    assert {name: answer.fate for name, answer in answers.items()} == {
        "a": "done",
        "gone": "gone",
        "overwritten": "changed",
        "temporary": "held",
        "event": "held",
        "retained": "held",
        "z": "done",
    }
    assert answers["gone"].reason == "No such object: acme-ml-runs/gone"
    assert "under active Temporary hold" in answers["temporary"].reason
    assert "cannot be deleted or overwritten until 2100-01-01" in answers["retained"].reason
    assert gcs.model.get(RUNS, "overwritten").data == b"new"


def test_all_answers_of_a_batch_may_be_failures(gcs: Gcs, store: ObjectStore) -> None:
    """A batch of which nothing worked is answered 200 all the same, and says so object by object."""
    _put(gcs, "a", "b", "c")
    objects = _all(store, "")
    assert [answer.fate for answer in store.delete(RUNS, objects)] == ["done"] * 3
    assert [answer.fate for answer in store.delete(RUNS, objects)] == ["gone"] * 3


@pytest.mark.parametrize("reason", ["objectUnderActiveHold", "retentionPolicyNotMet", "forbidden"])
def test_a_hold_is_told_by_its_reason_or_its_sentence(gcs: Gcs, store: ObjectStore, reason: str) -> None:
    """Whichever of the reasons the service gives, a held object is not taken for a missing permission."""
    gcs.model.hold_reason = reason
    gcs.model.put(RUNS, "e", temporaryHold=True)
    (answer,) = store.delete(RUNS, _all(store, ""))
    assert answer.fate == "held"


def test_a_missing_permission(gcs: Gcs, store: ObjectStore) -> None:
    """It is told with what to grant, for an object as well that is named like a hold."""
    name = "docs/retention policy, under active Temporary hold"
    gcs.model.put(RUNS, name)
    gcs.model.deny(RUNS, DELETE)
    (answer,) = store.delete(RUNS, _all(store, ""))
    assert answer.fate == "denied"
    assert answer.reason.endswith(f"grant the watchdog's service account a role with {DELETE}")


@pytest.mark.parametrize(
    ("status", "fate"),
    [
        (400, "refused"),
        (401, "denied"),
        (403, "denied"),
        (404, "gone"),
        (408, "unavailable"),
        (409, "refused"),
        (412, "changed"),
        (413, "refused"),
        (429, "unavailable"),
        (500, "unavailable"),
        (501, "refused"),
        (503, "unavailable"),
    ],
)
def test_a_failure_of_one_call(gcs: Gcs, store: ObjectStore, status: int, fate: str) -> None:
    """Each status of a call within a batch has its fate, with the platform's words, and leaves the other calls alone."""
    _put(gcs, "a", "b", "c")
    gcs.faults.inject(Fault(DELETE, status=status, match=f"{RUNS}/b"))
    answers = store.delete(RUNS, _all(store, ""))
    assert [answer.fate for answer in answers] == ["done", fate, "done"]
    assert f"Injected fault {status}" in answers[1].reason
    assert gcs.faults.calls[OUTER] == 1


def test_a_call_whose_answer_was_lost(gcs: Gcs, store: ObjectStore) -> None:
    """It is unavailable, and gone when it is asked for again."""
    _put(gcs, "a", "b")
    objects = _all(store, "")
    gcs.faults.inject(Fault(DELETE, drop_answer=True, match=f"{RUNS}/b"))
    assert [answer.fate for answer in store.delete(RUNS, objects)] == ["done", "unavailable"]
    assert [answer.fate for answer in store.delete(RUNS, objects)] == ["gone", "gone"]


@pytest.mark.parametrize("fault", [{"status": 503}, {"status": 429}, {"status": 408}, {"drop_answer": True}])
def test_a_batch_that_was_not_answered_is_sent_again(gcs: Gcs, store: ObjectStore, fault: dict[str, Any]) -> None:
    """That is safe, since each call names the generation: what the first one did is gone for the second."""
    _put(gcs, "a", "b")
    gcs.faults.inject(Fault(OUTER, times=1, **fault))
    fates = {answer.fate for answer in store.delete(RUNS, _all(store, ""))}
    assert fates == ({"gone"} if "drop_answer" in fault else {"done"})
    assert gcs.faults.calls[OUTER] == 2
    assert _all(store, "") == []


def test_a_repeated_batch_does_not_touch_what_was_written_meanwhile(gcs: Gcs, store: ObjectStore) -> None:
    """Between a batch whose answer was lost and its repeat somebody writes the object anew, and it stays."""
    gcs.model.put(RUNS, "a", b"old")
    objects = _all(store, "")

    def meanwhile(_event: str, _resource: dict[str, object]) -> None:
        gcs.model.on_event = None
        gcs.model.put(RUNS, "a", b"new")

    gcs.faults.inject(Fault(OUTER, drop_answer=True, times=1))
    gcs.model.on_event = meanwhile
    assert [answer.fate for answer in store.delete(RUNS, objects)] == ["changed"]
    assert gcs.model.get(RUNS, "a").data == b"new"


def test_more_than_a_batch_holds_is_refused(gcs: Gcs, store: ObjectStore) -> None:
    """Nothing of such a batch is done."""
    _put(gcs, *(f"{number:03}" for number in range(BATCH + 1)))
    objects = _all(store, "")
    with pytest.raises(Refused, match="between 1 and 100 calls"):
        store.delete(RUNS, objects)
    assert len(_all(store, "")) == BATCH + 1


def test_batches_from_several_threads(gcs: Gcs, store: ObjectStore) -> None:
    """Several batches may be on their way at once, from the first call on; each gets its own answers."""
    _put(gcs, *(f"run/{number:03}" for number in range(80)))
    listed = _all(store, "")
    fresh = GcsObjectStore(patience=5)
    with ThreadPoolExecutor(8) as pool:
        answers = [*pool.map(lambda start: fresh.delete(RUNS, listed[start : start + 10]), range(0, 80, 10))]
    assert answers == [[DONE] * 10] * 8


# -- answers that only the wire can bring ----------------------------------------------------------------------------

Parts = list[bytes]


@pytest.mark.parametrize("parts", [lambda parts: parts[::-1], lambda parts: [parts[2], parts[0], parts[1]]])
def test_answers_in_another_order(gcs: Gcs, monkeypatch: pytest.MonkeyPatch, parts: Callable[[Parts], Parts]) -> None:
    """The service may carry out the calls of a batch, and answer them, in any order."""
    with _tampered(gcs, monkeypatch, parts) as store:
        _put(gcs, "a", "b", "c")
        objects = _all(store, "")
        gcs.model.delete(RUNS, "b")
        assert [answer.fate for answer in store.delete(RUNS, objects)] == ["done", "gone", "done"]


@pytest.mark.parametrize(
    "parts",
    [
        lambda parts: [parts[0], parts[2]],
        lambda parts: [parts[0], parts[1].replace(b"Content-ID", b"X-Content-ID"), parts[2]],
        lambda parts: [parts[0], parts[1].replace(b"response-", b"response-x"), parts[2]],
        lambda parts: [parts[0], parts[1].replace(b"HTTP/1.1 204", b"HTTP/1.1 20"), parts[2]],
    ],
)
def test_an_answer_is_missing(gcs: Gcs, monkeypatch: pytest.MonkeyPatch, parts: Callable[[Parts], Parts]) -> None:
    """What has no answer, or one that cannot be told to be its own, may or may not be done: it is unavailable."""
    with _tampered(gcs, monkeypatch, parts) as store:
        _put(gcs, "a", "b", "c")
        answers = store.delete(RUNS, _all(store, ""))
        assert answers == [DONE, Answer("unavailable", "the batch was answered, and this call of it was not"), DONE]


@pytest.mark.parametrize("line", [b"\r\n", b"\n"])
@pytest.mark.parametrize("boundary", ["batch", '"batch of; answers"'])
def test_answers_may_be_written_in_other_ways(gcs: Gcs, monkeypatch: pytest.MonkeyPatch, line: bytes, boundary: str) -> None:
    """Boundaries in quotes, plain line ends, headers in small letters, and JSON over several lines are read all the same."""

    def rewritten(parts: Parts) -> Parts:
        return [part.replace(b"Content-ID", b"content-id").replace(b'{"error"', b'{\n "error"').replace(b"\r\n", line) for part in parts]

    with _tampered(gcs, monkeypatch, rewritten, f"multipart/mixed; charset=UTF-8; boundary={boundary}") as store:
        gcs.model.put(RUNS, "a")
        gcs.model.put(RUNS, "b", temporaryHold=True)
        assert [answer.fate for answer in store.delete(RUNS, _all(store, ""))] == ["done", "held"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<html>no</html>", "<html>no</html>"),
        (b"", "status 400"),
        (b'{"error": "no"}', '{"error": "no"}'),
        (b'{"error": {"message": "no"}}', "no"),
        (b"[]", "[]"),
    ],
)
def test_a_refusal_in_another_form(gcs: Gcs, monkeypatch: pytest.MonkeyPatch, body: bytes, reason: str) -> None:
    """The words of a refusal are kept whatever they are wrapped in."""

    def refused(parts: Parts) -> Parts:
        head = parts[0].partition(b"HTTP/1.1")[0]
        return [head + b"HTTP/1.1 400 Bad Request\r\n\r\n" + body + b"\r\n"]

    with _tampered(gcs, monkeypatch, refused) as store:
        gcs.model.put(RUNS, "a")
        assert store.delete(RUNS, _all(store, "")) == [Answer("refused", reason)]


def test_an_answer_that_is_no_batch(gcs: Gcs, monkeypatch: pytest.MonkeyPatch) -> None:
    """What something in between answers with a 200 says of no object that it is deleted."""
    with _tampered(gcs, monkeypatch, lambda parts: parts, "text/html") as store:
        gcs.model.put(RUNS, "a")
        assert [answer.fate for answer in store.delete(RUNS, _all(store, ""))] == ["unavailable"]


def test_a_listing_that_is_no_json(gcs: Gcs, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same before a listing is a failure that may pass."""
    gcs.model.create_bucket(RUNS)

    async def page(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"OK"})

    with HttpServer(page) as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        with pytest.raises(Unavailable):
            _all(GcsObjectStore(patience=0.02), "")


def test_a_batch_on_the_wire() -> None:
    """Each call is a part with its number, and a document comes with its type and length."""
    content_type, body = pack([call("DELETE", "/b/r/o/a?ifGenerationMatch=1"), call("POST", "/b/r/o/a/restore?generation=1", "{}")], "t0k")
    assert content_type == "multipart/mixed; boundary=t0k"
    assert body.decode().split("\r\n") == [
        "--t0k",
        "Content-Type: application/http",
        "Content-ID: <t0k+0>",
        "",
        "DELETE /storage/v1/b/r/o/a?ifGenerationMatch=1 HTTP/1.1",
        "",
        "",
        "--t0k",
        "Content-Type: application/http",
        "Content-ID: <t0k+1>",
        "",
        "POST /storage/v1/b/r/o/a/restore?generation=1 HTTP/1.1",
        "Content-Type: application/json",
        "Content-Length: 2",
        "",
        "{}",
        "--t0k--",
        "",
    ]
    answer = body.replace(b"<t0k", b"<response-t0k").replace(b"POST /storage", b"HTTP/1.1 200 OK\r\n\r\n")
    assert unpack(content_type, answer, "t0k") == {
        1: Reply(200, answer.decode().split("\r\n\r\n", 4)[4].split("\r\n--")[0].replace("\r", ""))
    }


# -- putting back ----------------------------------------------------------------------------------------------------


def test_restore(gcs: Gcs, store: ObjectStore) -> None:
    """A soft-deleted generation is live again with content, class and metadata; what is not there is gone."""
    gcs.model.put(RUNS, "a", b"abc", storageClass="NEARLINE", metadata={"step": "7"})
    never = StorageObject("never", 1, 0, "STANDARD", datetime.now(UTC))
    (before,) = _all(store, "")
    store.delete(RUNS, [before])
    gcs.faults.calls.clear()
    answers = store.restore(RUNS, [before, never])
    assert [answer.fate for answer in answers] == ["done", "gone"]
    assert answers[1].reason == "No such object: acme-ml-runs/never#1"
    (after,) = _all(store, "")
    assert (after.name, after.size, after.crc32c, after.storage_class) == (before.name, 3, before.crc32c, "NEARLINE")
    assert after.generation > before.generation
    assert gcs.model.get(RUNS, "a").metadata == {"step": "7"}
    assert gcs.faults.calls == {OUTER: 2, RESTORE: 2, COPY: 1, LIST: 1}


def test_restore_leaves_a_live_object_alone(gcs: Gcs, store: ObjectStore) -> None:
    """Where somebody wrote the object again, or it was never deleted, or it was restored before, it is changed."""
    gcs.model.put(RUNS, "never deleted")
    gcs.model.put(RUNS, "restored before")
    gcs.model.put(RUNS, "written", b"old")
    objects = _all(store, "")
    store.delete(RUNS, objects[1:])
    gcs.model.put(RUNS, "written", b"new")
    assert [answer.fate for answer in store.restore(RUNS, objects)] == ["changed", "done", "changed"]
    assert [answer.fate for answer in store.restore(RUNS, objects)] == ["changed", "changed", "changed"]
    assert gcs.model.get(RUNS, "written").data == b"new"


def test_restore_after_the_soft_delete_window(gcs: Gcs, store: ObjectStore) -> None:
    """When the window is over there is nothing to bring back."""
    gcs.model.put(RUNS, "a")
    objects = _all(store, "")
    store.delete(RUNS, objects)
    later = datetime.now(UTC) + timedelta(days=7, seconds=1)
    gcs.model.now = lambda: later
    assert [answer.fate for answer in store.restore(RUNS, objects)] == ["gone"]


@pytest.mark.parametrize("seconds", [0, 604_800])
def test_a_bucket_with_versions(gcs: Gcs, store: ObjectStore, seconds: int) -> None:
    """A deleted object stays as a noncurrent version, and is copied back with its class and its metadata, with and without soft delete."""
    bucket = "acme-ml-versions"
    gcs.model.create_bucket(bucket, versioning={"enabled": True}, softDeletePolicy={"retentionDurationSeconds": seconds})
    first = gcs.model.put(bucket, "a", b"abc", storageClass="COLDLINE", metadata={"step": "7"}, contentType="text/plain")
    objects = [each for page in store.pages(bucket, "") for each in page]
    assert store.delete(bucket, objects) == [DONE]
    ((noncurrent,),) = store.pages(bucket, "", versions=True)
    assert noncurrent.generation == first
    assert noncurrent.noncurrent_since
    assert store.restore(bucket, objects) == [DONE]
    back = gcs.model.get(bucket, "a")
    assert (back.data, back.storage_class, back.metadata, back.content_type) == (b"abc", "COLDLINE", {"step": "7"}, "text/plain")
    assert back.generation > first
    assert [answer.fate for answer in store.restore(bucket, objects)] == ["changed"]


def test_a_noncurrent_version_is_deleted_for_good(gcs: Gcs, store: ObjectStore) -> None:
    """Of a name with several generations exactly the noncurrent one goes, and the live one stays."""
    bucket = "acme-ml-versions"
    gcs.model.create_bucket(bucket, versioning={"enabled": True}, softDeletePolicy={"retentionDurationSeconds": 0})
    gcs.model.put(bucket, "a", b"old")
    live = gcs.model.put(bucket, "a", b"new")
    ((noncurrent, _),) = store.pages(bucket, "", versions=True)
    assert store.delete(bucket, [noncurrent]) == [DONE]
    assert [each.generation for page in store.pages(bucket, "", versions=True) for each in page] == [live]
    assert [answer.fate for answer in store.delete(bucket, [noncurrent])] == ["gone"]
    assert [answer.fate for answer in store.restore(bucket, [noncurrent])] == ["gone"]


@pytest.mark.parametrize("fault", [{"status": 503}, {"drop_answer": True}])
def test_a_repeated_restore(gcs: Gcs, store: ObjectStore, fault: dict[str, Any]) -> None:
    """A restore whose answer was lost finds its own work at the repeat: the object is live, with the checksum that it had."""
    gcs.model.put(RUNS, "a", b"abc")
    objects = _all(store, "")
    store.delete(RUNS, objects)
    gcs.faults.inject(Fault(OUTER, times=1, **fault))
    assert [answer.fate for answer in store.restore(RUNS, objects)] == ["changed" if "drop_answer" in fault else "done"]
    found = store.find(RUNS, "a")
    assert found
    assert found.crc32c == objects[0].crc32c


@pytest.mark.parametrize(("method", "status"), [(RESTORE, 403), (COPY, 429)])
def test_a_restore_that_fails(gcs: Gcs, store: ObjectStore, method: str, status: int) -> None:
    """It is told like a delete that fails, from whichever of the two calls."""
    never = StorageObject("never", 1, 0, "STANDARD", datetime.now(UTC))
    gcs.faults.inject(Fault(method, status=status))
    assert [answer.fate for answer in store.restore(RUNS, [never])] == ["denied" if status == 403 else "unavailable"]


# -- calls that fail as a whole --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["facts", "pages", "folders", "find", "read"])
@pytest.mark.parametrize("status", [429, 503])
def test_a_failure_that_passes_is_not_noticed(gcs: Gcs, store: ObjectStore, method: str, status: int) -> None:
    """Each call is tried again."""
    generation = gcs.model.put(RUNS, "a", b"abc")
    gcs.faults.inject(Fault("*", status=status, times=1))
    _call(store, method, generation)
    assert sum(gcs.faults.calls.values()) == 2


def test_a_later_page_is_tried_again(gcs: Gcs, store: ObjectStore) -> None:
    """A listing does not begin anew where a page fails."""
    _put(gcs, *(f"{number:04}" for number in range(1001)))
    gcs.faults.inject(Fault(LIST, status=503, skip=1, times=1))
    assert len(_all(store, "")) == 1001
    assert gcs.faults.calls == {LIST: 3}


@pytest.mark.parametrize("method", ["facts", "pages", "folders", "find", "read", "delete", "restore"])
@pytest.mark.parametrize(("status", "expected"), [(503, Unavailable), (403, Denied), (400, Refused)])
def test_a_failure_that_stays_is_told(gcs: Gcs, method: str, status: int, expected: type[CloudError]) -> None:
    """Unavailable when its patience is over, Denied and Refused at once, each with the bucket's name."""
    gcs.faults.inject(Fault("*", status=status))
    with pytest.raises(expected, match=f"^gs://{RUNS}"):
        _call(GcsObjectStore(patience=0.02), method)


@pytest.mark.parametrize("method", ["facts", "pages", "folders", "read"])
def test_a_bucket_that_is_not_there(gcs: Gcs, method: str) -> None:
    """It is gone, and so is what was in it."""
    assert gcs.url
    with pytest.raises(Gone):
        _call(GcsObjectStore(patience=0.5), method)


def test_no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without an emulator the default credentials are looked for at the first call, and the error says how to get some."""
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    store = GcsObjectStore()
    with pytest.raises(Denied, match="gcloud auth application-default login"):
        store.facts(RUNS)


def _call(store: ObjectStore, method: str, generation: int = 1) -> object:
    one = StorageObject("a", 1, 0, "STANDARD", datetime.now(UTC))
    calls: dict[str, Callable[[], object]] = {
        "facts": lambda: store.facts(RUNS),
        "pages": lambda: [*store.pages(RUNS, "")],
        "folders": lambda: [*store.folders(RUNS, "")],
        "find": lambda: store.find(RUNS, "a"),
        "read": lambda: store.read(RUNS, "a", generation=generation, limit=100),
        "delete": lambda: store.delete(RUNS, [one]),
        "restore": lambda: store.restore(RUNS, [one]),
    }
    return calls[method]()


def _put(gcs: Gcs, *names: str) -> None:
    for name in names:
        gcs.model.put(RUNS, name)


def _all(store: ObjectStore, prefix: str) -> list[StorageObject]:
    return [each for page in store.pages(RUNS, prefix) for each in page]


def _names(store: ObjectStore, prefix: str, after: str = "") -> Sequence[str]:
    return [each.name for page in store.pages(RUNS, prefix, after=after) for each in page]


@contextmanager
def _tampered(
    gcs: Gcs, monkeypatch: pytest.MonkeyPatch, change: Callable[[Parts], Parts], content_type: str = "multipart/mixed; boundary=answers"
) -> Iterator[ObjectStore]:
    """A server before the stand-in that passes on the parts of a batch's answer as they were changed."""
    gcs.model.create_bucket(RUNS)
    behind: ASGIApp = storage.app(gcs.model, gcs.faults)
    boundary = content_type.partition("boundary=")[2].strip('"').encode()

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/batch/storage/v1":
            await behind(scope, receive, send)
            return
        messages: list[Message] = []

        async def keep(message: Message) -> None:
            messages.append(message)

        await behind(scope, receive, keep)
        old = dict(messages[0]["headers"])[b"content-type"].partition(b"boundary=")[2]
        parts = change(messages[1]["body"].split(b"--" + old)[1:-1])
        body = b"".join(b"--" + boundary + part for part in parts) + b"--" + boundary + b"--\r\n"
        headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    with HttpServer(serve) as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        yield GcsObjectStore(patience=5)
