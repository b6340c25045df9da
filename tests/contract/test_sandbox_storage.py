"""The stand-in for Cloud Storage over the wire, driven by Google's own client."""

from __future__ import annotations

import base64
import datetime as dt
import gzip
import io
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests
import uvicorn
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage as gcs
from google.cloud.storage.retry import DEFAULT_RETRY
from starlette.types import ASGIApp, Receive, Scope, Send

from sandbox import storage as face
from sandbox.faults import Fault, Faults
from sandbox.storage_model import Storage

WEEK = dt.timedelta(days=7)


@dataclass
class Clock:
    """A clock that moves when it is told to."""

    time: dt.datetime = dt.datetime(2026, 11, 1, 12, tzinfo=dt.UTC)

    def __call__(self) -> dt.datetime:
        return self.time

    def advance(self, step: dt.timedelta) -> None:
        self.time += step


@dataclass
class Cloud:
    """A stand-in on a port, and all that a test may do to it."""

    url: str
    storage: Storage
    faults: Faults
    clock: Clock
    client: Any
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def bucket(self, **properties: Any) -> Any:
        """A new bucket, as the client sees it."""
        self.storage.create_bucket("artifacts", **properties)
        return self.client.bucket("artifacts")

    def names(self, **query: Any) -> list[str]:
        return [blob.name for blob in self.client.list_blobs("artifacts", **query)]

    def send(self, method: str, path: str, **request: Any) -> requests.Response:
        """A request without Google's client."""
        return requests.request(method, self.url + path, timeout=10, **request)


@pytest.fixture(scope="module")
def port() -> Iterator[tuple[str, dict[str, ASGIApp]]]:
    """A server whose application each test puts in its place."""
    place: dict[str, ASGIApp] = {}

    async def current(scope: Scope, receive: Receive, send: Send) -> None:
        await place["app"](scope, receive, send)

    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(current, lifespan="off", log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}", place
    server.should_exit = True
    thread.join()
    listener.close()


@pytest.fixture
def cloud(port: tuple[str, dict[str, ASGIApp]]) -> Iterator[Cloud]:
    """An empty stand-in and a client for it."""
    url, place = port
    clock = Clock()
    events: list[tuple[str, dict[str, Any]]] = []
    storage = Storage(now=clock, on_event=lambda kind, resource: events.append((kind.rpartition(".")[2], resource)))
    faults = Faults()
    place["app"] = face.app(storage, faults)
    client = gcs.Client("acme", AnonymousCredentials(), client_options={"api_endpoint": url})
    yield Cloud(url, storage, faults, clock, client, events)
    client.close()


# -- buckets ---------------------------------------------------------------------------------------------------------


def test_a_bucket_gets_the_defaults_of_the_service(cloud: Cloud) -> None:
    """A new bucket has soft delete for seven days, Standard storage and no versioning, in upper-case location."""
    bucket = cloud.client.create_bucket("artifacts", location="us-central1")
    read = cloud.client.get_bucket("artifacts")
    assert (read.location, read.location_type, read.storage_class) == ("US-CENTRAL1", "region", "STANDARD")
    assert read.soft_delete_policy.retention_duration_seconds == 604800
    assert read.soft_delete_policy.effective_time == cloud.clock.time
    assert not read.versioning_enabled
    assert read.iam_configuration.public_access_prevention == "inherited"
    assert (read.metageneration, read.etag) == (1, bucket.etag)


def test_the_emulator_variable_is_enough(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that only knows STORAGE_EMULATOR_HOST writes, reads and batches."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", cloud.url)
    client = gcs.Client()
    bucket = client.create_bucket("artifacts")
    bucket.blob("a").upload_from_string("x")
    assert bucket.blob("a").download_as_bytes() == b"x"
    with client.batch():
        bucket.delete_blob("a")
    assert [b.name for b in client.list_buckets()] == ["artifacts"]
    assert list(client.list_blobs("artifacts")) == []
    client.close()


def test_buckets_are_listed_by_project_and_prefix_in_pages(cloud: Cloud) -> None:
    """A project's buckets come in name order over several pages, those of another project do not."""
    for name in ("ml-b", "ml-a", "ml-c", "web"):
        cloud.client.create_bucket(name)
    cloud.client.create_bucket("ml-other", project="else")
    assert [bucket.name for bucket in cloud.client.list_buckets(page_size=1)] == ["ml-a", "ml-b", "ml-c", "web"]
    assert [bucket.name for bucket in cloud.client.list_buckets(prefix="ml-", page_size=2)] == ["ml-a", "ml-b", "ml-c"]


def test_a_patch_changes_what_it_names(cloud: Cloud) -> None:
    """Labels merge, a removed label goes, lifecycle rules and versioning are kept, and the metageneration counts."""
    bucket = cloud.bucket(
        labels={"team": "ml", "env": "dev"}, lifecycle={"rule": [{"action": {"type": "Delete"}, "condition": {"age": 9}}]}
    )
    bucket.reload()
    bucket.labels = {"team": "vision"}
    bucket.versioning_enabled = True
    bucket.patch(if_metageneration_match=1)
    read = cloud.client.get_bucket("artifacts")
    assert (read.labels, read.versioning_enabled, read.metageneration) == ({"team": "vision"}, True, 2)
    assert list(read.lifecycle_rules) == [{"action": {"type": "Delete"}, "condition": {"age": 9}}]
    read.clear_lifecycle_rules()
    read.patch()
    assert list(cloud.client.get_bucket("artifacts").lifecycle_rules) == []


def test_lifecycle_rules_of_every_kind_are_taken(cloud: Cloud) -> None:
    """The client's own rule builders make configurations that the stand-in takes and gives back."""
    bucket = cloud.bucket()
    bucket.reload()
    bucket.add_lifecycle_set_storage_class_rule("NEARLINE", age=30, matches_prefix=["runs/"])
    bucket.add_lifecycle_delete_rule(number_of_newer_versions=3, is_live=False)
    bucket.add_lifecycle_abort_incomplete_multipart_upload_rule(age=7)
    bucket.update()
    kinds = [rule["action"]["type"] for rule in cloud.client.get_bucket("artifacts").lifecycle_rules]
    assert kinds == ["SetStorageClass", "Delete", "AbortIncompleteMultipartUpload"]


@pytest.mark.parametrize(
    "properties",
    [
        {"storageClass": "COLD"},
        {"softDeletePolicy": {"retentionDurationSeconds": 60}},
        {"softDeletePolicy": {"days": 7}},
        {"softDeletePolicy": {"retentionDurationSeconds": "soon"}},
        {"retentionPolicy": {"retentionPeriod": 0}},
        {"retentionPolicy": {"period": 1}},
        {"labels": {"Team": "ml"}},
        {"labels": {f"l{number}": "x" for number in range(65)}},
        {"lifecycle": {"rule": [{"action": {"type": "Shred"}, "condition": {"age": 1}}]}},
        {"lifecycle": {"rule": [{"action": {"type": "Delete"}, "condition": {}}]}},
        {"lifecycle": {"rule": [{"action": {"type": "Delete"}, "condition": {"aged": 1}}]}},
        {"lifecycle": {"rule": [{"action": {"type": "Delete"}, "condition": {"age": 1}, "when": 1}]}},
        {"lifecycle": {"rule": [{"action": {"type": "Delete", "storageClass": "NEARLINE"}, "condition": {"age": 1}}]}},
        {"lifecycle": {"rule": [{"action": {"type": "SetStorageClass"}, "condition": {"age": 1}}]}},
        {"lifecycle": {"rule": [{"action": {"type": "AbortIncompleteMultipartUpload"}, "condition": {"isLive": True}}]}},
        {"versioning": True},
        {"acl": [{"entity": "allUsers"}]},
        {"colour": "red"},
    ],
)
def test_a_bucket_that_the_service_would_refuse_is_refused(cloud: Cloud, properties: dict[str, Any]) -> None:
    """Unknown fields and values outside the documented limits answer 400 in Google's shape."""
    response = cloud.send("POST", "/storage/v1/b?project=acme", json={"name": "artifacts", **properties})
    assert response.status_code == 400
    error = response.json()["error"]
    assert (error["code"], error["errors"][0]["domain"]) == (400, "global")
    assert error["errors"][0]["message"] == error["message"]


@pytest.mark.parametrize("name", ["ab", "Upper", "goog-x", "x" * 64, "-x-", None])
def test_a_bad_bucket_name_is_refused(cloud: Cloud, name: str | None) -> None:
    """A name that breaks the naming rules answers 400."""
    assert cloud.send("POST", "/storage/v1/b?project=acme", json={"name": name}).status_code == 400


def test_bucket_preconditions_and_conflicts(cloud: Cloud) -> None:
    """A second bucket of a name and a bucket with objects are 409; a stale metageneration is 412; an unknown one 404."""
    bucket = cloud.bucket()
    bucket.blob("a").upload_from_string("x")
    with pytest.raises(exceptions.Conflict):
        cloud.client.create_bucket("artifacts")
    with pytest.raises(exceptions.Conflict, match="not empty"):
        bucket.delete()
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.patch(if_metageneration_match=7)
    with pytest.raises(exceptions.NotModified):
        cloud.client.get_bucket("artifacts", if_metageneration_not_match=1)
    bucket.delete(force=True)
    with pytest.raises(exceptions.NotFound):
        cloud.client.get_bucket("artifacts")
    assert not bucket.exists()


def test_a_soft_delete_policy_taken_away_is_the_default_again(cloud: Cloud) -> None:
    """Null puts the seven days back; 0 turns soft delete off."""
    bucket = cloud.bucket()
    bucket.reload()
    bucket.soft_delete_policy.retention_duration_seconds = 0
    bucket.patch()
    assert cloud.client.get_bucket("artifacts").soft_delete_policy.retention_duration_seconds == 0
    answer = cloud.send("PATCH", "/storage/v1/b/artifacts", json={"softDeletePolicy": None}).json()
    assert answer["softDeletePolicy"]["retentionDurationSeconds"] == "604800"


def test_permissions_are_tested_and_enforced(cloud: Cloud) -> None:
    """A denied permission is left out of testIamPermissions, and the call that needs it answers 403 and names it."""
    bucket = cloud.bucket()
    bucket.blob("a").upload_from_string("x")
    asked = ["storage.objects.list", "storage.objects.delete", "storage.objects.create"]
    assert bucket.test_iam_permissions(asked) == asked
    cloud.storage.deny("artifacts", "storage.objects.delete", "storage.objects.create", "storage.buckets.update")
    assert bucket.test_iam_permissions(asked) == ["storage.objects.list"]
    with pytest.raises(exceptions.Forbidden, match=r"storage\.objects\.delete"):
        bucket.delete_blob("a")
    with pytest.raises(exceptions.Forbidden, match=r"storage\.objects\.create"):
        bucket.blob("b").upload_from_string("x")
    with pytest.raises(exceptions.Forbidden, match=r"storage\.buckets\.update"):
        bucket.patch()
    assert cloud.names() == ["a"]


def test_an_overwrite_needs_the_permission_to_delete(cloud: Cloud) -> None:
    """Without storage.objects.delete a new object can be written and an old one cannot be replaced."""
    bucket = cloud.bucket()
    bucket.blob("old").upload_from_string("x")
    cloud.storage.deny("artifacts", "storage.objects.delete")
    bucket.blob("new").upload_from_string("x")
    with pytest.raises(exceptions.Forbidden, match=r"storage\.objects\.delete"):
        bucket.blob("old").upload_from_string("y")


# -- bytes in and out ------------------------------------------------------------------------------------------------


def test_a_multipart_upload_keeps_all_it_was_given(cloud: Cloud) -> None:
    """Bytes, checksums, content type, custom metadata, custom time and class come back as they were written."""
    blob = cloud.bucket().blob("runs/r 1/mödel.bin", chunk_size=None)
    blob.metadata = {"run": "r1"}
    blob.storage_class = "NEARLINE"
    blob.cache_control = "no-store"
    blob.custom_time = dt.datetime(2026, 1, 2, 3, tzinfo=dt.UTC)
    blob.upload_from_string(b"\r\n--bytes\r\n", content_type="application/x-model", checksum="md5")
    read = cloud.client.bucket("artifacts").get_blob("runs/r 1/mödel.bin")
    assert read.download_as_bytes(checksum="md5") == read.download_as_bytes(checksum="crc32c") == b"\r\n--bytes\r\n"
    assert (read.size, read.content_type, read.metadata, read.storage_class) == (11, "application/x-model", {"run": "r1"}, "NEARLINE")
    assert (read.cache_control, read.custom_time, read.metageneration) == ("no-store", blob.custom_time, 1)
    assert read.time_created == read.updated == cloud.clock.time
    assert read.id == f"artifacts/runs/r 1/mödel.bin/{read.generation}"


def test_a_resumable_upload_in_chunks_is_one_object(cloud: Cloud) -> None:
    """Several chunks make one object; nothing is there before the last of them."""
    data = bytes(range(256)) * 4 * 600
    blob = cloud.bucket().blob("big", chunk_size=256 * 1024)
    blob.upload_from_file(io.BytesIO(data), checksum="crc32c", if_generation_match=0)
    assert blob.download_as_bytes() == data
    assert [kind for kind, _ in cloud.events] == ["finalized"]
    assert cloud.faults.calls["storage.objects.insert"] == 1 + 3


def test_a_resumable_upload_of_unknown_length_ends_with_its_last_chunk(cloud: Cloud) -> None:
    """A writer that does not know the length ahead finishes with the chunk that names it."""
    blob = cloud.bucket().blob("log", chunk_size=256 * 1024)
    with blob.open("wb", ignore_flush=True) as writer:
        writer.write(b"a" * (256 * 1024 + 1))
    assert cloud.client.bucket("artifacts").get_blob("log").size == 256 * 1024 + 1


def session(cloud: Cloud, **headers: str) -> str:
    """Begin a resumable upload and return its address without the host."""
    path = "/upload/storage/v1/b/artifacts/o?uploadType=resumable&name=big"
    begun = cloud.send("POST", path, headers=headers)
    assert begun.status_code == 200
    return begun.headers["location"].removeprefix(cloud.url)


def test_a_resumable_session_says_how_far_it_is(cloud: Cloud) -> None:
    """A status query answers 308 with what is here; resent bytes are skipped; the finished upload answers with its object."""
    cloud.bucket()
    place = session(cloud, **{"x-upload-content-length": str(262144 + 3), "x-upload-content-type": "text/x-log"})
    empty = cloud.send("PUT", place, headers={"content-range": "bytes */*"})
    assert (empty.status_code, empty.headers.get("range")) == (308, None)
    first = cloud.send("PUT", place, data=b"a" * 262144, headers={"content-range": "bytes 0-262143/262147"})
    assert (first.status_code, first.headers["range"]) == (308, "bytes=0-262143")
    rest = cloud.send("PUT", place, data=b"aabbb", headers={"content-range": "bytes 262142-262146/262147"})
    assert (rest.status_code, rest.json()["size"], rest.json()["contentType"]) == (200, "262147", "text/x-log")
    again = cloud.send("PUT", place, headers={"content-range": "bytes */262147"})
    assert again.json()["generation"] == rest.json()["generation"]


@pytest.mark.parametrize("content_range", ["bytes 5-7/10", "bytes 0-2/11", "bytes 0-9/10", "bytes 0-2/10", "3 of 10"])
def test_a_chunk_that_does_not_fit_is_refused(cloud: Cloud, content_range: str) -> None:
    """A gap, another total, another length, a broken chunk size and nonsense answer 400."""
    cloud.bucket()
    place = session(cloud, **{"x-upload-content-length": "10"})
    assert cloud.send("PUT", place, data=b"abc", headers={"content-range": content_range}).status_code == 400


def test_a_cancelled_or_unknown_session_is_over(cloud: Cloud) -> None:
    """Cancelling answers 499, as does everything after it; an id that never was answers 404."""
    cloud.bucket()
    place = session(cloud)
    assert cloud.send("DELETE", place).status_code == 499
    assert cloud.send("PUT", place, data=b"x").status_code == 499
    assert cloud.send("PUT", "/upload/storage/v1/b/artifacts/o?upload_id=nowhere", data=b"x").status_code == 404
    assert cloud.names() == []


def test_a_resumable_upload_over_a_held_object_is_refused_at_its_end(cloud: Cloud) -> None:
    """The session starts and takes its bytes; the last request is refused."""
    cloud.bucket()
    cloud.storage.put("artifacts", "big", b"old", temporaryHold=True)
    refused = cloud.send("PUT", session(cloud), data=b"new")
    assert refused.status_code == 403
    assert cloud.client.bucket("artifacts").blob("big").download_as_bytes() == b"old"


def test_a_simple_upload_takes_name_and_type_from_the_request(cloud: Cloud) -> None:
    """The bytes are the body; name and encoding are parameters, the type is a header."""
    cloud.bucket()
    path = "/upload/storage/v1/b/artifacts/o?uploadType=media&name=a%2Fb&ifGenerationMatch=0&contentEncoding=gzip"
    answer = cloud.send("POST", path, data=b"text", headers={"content-type": "text/plain"})
    assert answer.json()["contentEncoding"] == "gzip"
    assert (answer.json()["name"], answer.json()["contentType"], answer.json()["size"]) == ("a/b", "text/plain", "4")
    assert cloud.send("POST", path, data=b"text").status_code == 412


@pytest.mark.parametrize(("field", "value"), [("crc32c", "AAAAAA=="), ("md5Hash", "1B2M2Y8AsgTpgAmY7PhCfg==")])
def test_bytes_that_are_not_what_the_client_says_are_refused(cloud: Cloud, field: str, value: str) -> None:
    """A wrong checksum in the metadata answers 400 and writes nothing."""
    blob = cloud.bucket().blob("a")
    setattr(blob, {"crc32c": "crc32c", "md5Hash": "md5_hash"}[field], value)
    with pytest.raises(exceptions.BadRequest, match="doesn't match calculated"):
        blob.upload_from_string("x", checksum=None)
    assert cloud.names() == []


def test_a_wrong_checksum_header_refuses_the_end_of_a_session(cloud: Cloud) -> None:
    """The x-goog-hash of the last request is held against the bytes."""
    cloud.bucket()
    refused = cloud.send("PUT", session(cloud), data=b"x", headers={"x-goog-hash": "crc32c=AAAAAA==,md5=zz"})
    assert refused.status_code == 400
    assert "CRC32C" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    ("query", "headers", "body"),
    [
        ("uploadType=chunky&name=a", {}, b"x"),
        ("uploadType=media", {}, b"x"),
        ("uploadType=media&name=a&nome=b", {}, b"x"),
        ("uploadType=media&name=a&predefinedAcl=publicRead", {}, b"x"),
        ("uploadType=media&name=%2E%2E", {}, b"x"),
        ("uploadType=multipart", {"content-type": "text/plain"}, b"x"),
        ("uploadType=multipart", {"content-type": "multipart/related; boundary=b"}, b"--b\r\n\r\n{}\r\n--b--"),
        ("uploadType=multipart", {"content-type": "multipart/related; boundary='b'"}, b"--b\r\n\r\n{}\r\n--b\r\n\r\nx\r\n--b--"),
        ("uploadType=resumable", {}, b'{"name": "a", "size_of": 1}'),
        ("uploadType=resumable", {}, b'{"name": "a", "metadata": {"run": 1}}'),
        ("uploadType=resumable", {}, b'{"name": "a", "customTime": "yesterday"}'),
        ("uploadType=resumable", {}, b'{"name": "a", "retention": {"mode": "Locked"}}'),
        ("uploadType=resumable&name=b", {}, b'{"name": "a"}'),
        ("uploadType=resumable", {}, b'{"name": "a", "storageClass": "COLD"}'),
        ("uploadType=resumable", {}, b"[1]"),
        ("uploadType=resumable", {}, b"{"),
    ],
)
def test_an_upload_that_cannot_be_understood_is_refused(cloud: Cloud, query: str, headers: dict[str, str], body: bytes) -> None:
    """Unknown kinds, parameters and fields, bad names and broken bodies answer 400."""
    cloud.bucket()
    assert cloud.send("POST", f"/upload/storage/v1/b/artifacts/o?{query}", headers=headers, data=body).status_code == 400


def test_gzip_is_undone_for_a_client_that_does_not_take_it(cloud: Cloud) -> None:
    """Google's client gets the plain text either way; the object itself stays compressed."""
    packed = gzip.compress(b"plain text")
    blob = cloud.bucket().blob("a")
    blob.content_encoding = "gzip"
    blob.upload_from_string(packed)
    assert blob.download_as_bytes() == b"plain text"
    assert blob.download_as_bytes(raw_download=True) == packed
    path = "/download/storage/v1/b/artifacts/o/a?alt=media"
    plain = cloud.send("GET", path, headers={"accept-encoding": "identity"})
    assert (plain.content, plain.headers.get("content-encoding")) == (b"plain text", None)
    assert plain.headers["x-goog-stored-content-encoding"] == "gzip"


def test_ranges_are_served(cloud: Cloud) -> None:
    """Part of the bytes by first and last, from a place on, or the last few; 416 behind the end."""
    blob = cloud.bucket().blob("a")
    blob.upload_from_string("0123456789")
    assert blob.download_as_bytes(start=2, end=4) == b"234"
    assert blob.download_as_bytes(start=7) == b"789"
    assert blob.download_as_bytes(start=-3) == b"789"
    with pytest.raises(exceptions.RequestRangeNotSatisfiable):
        blob.download_as_bytes(start=10)
    chunked = cloud.client.bucket("artifacts").blob("a", chunk_size=256 * 1024)
    assert chunked.download_as_bytes() == b"0123456789"


def test_a_download_of_an_old_or_missing_generation(cloud: Cloud) -> None:
    """The generation that was read is the one that is downloaded, and 404 once it is gone."""
    bucket = cloud.bucket()
    bucket.blob("a").upload_from_string("old")
    old = bucket.get_blob("a")
    bucket.blob("a").upload_from_string("new")
    with pytest.raises(exceptions.NotFound):
        old.download_as_bytes()
    assert bucket.blob("a").download_as_bytes() == b"new"


def test_an_object_of_which_only_the_size_is_kept_cannot_be_downloaded(cloud: Cloud) -> None:
    """Its size is listed and summed, its bytes answer 501 and say why."""
    cloud.bucket()
    cloud.storage.put("artifacts", "huge", size=5 * 1024**4)
    assert cloud.client.bucket("artifacts").get_blob("huge").size == 5 * 1024**4
    with pytest.raises(exceptions.MethodNotImplemented, match="only the size"):
        cloud.client.bucket("artifacts").blob("huge").download_as_bytes()


# -- metadata, copies ------------------------------------------------------------------------------------------------


def test_a_patch_of_metadata_merges_and_counts(cloud: Cloud) -> None:
    """Keys merge, null removes one, the metageneration counts, the generation stays."""
    blob = cloud.bucket().blob("a")
    blob.metadata = {"run": "r1", "old": "x"}
    blob.upload_from_string("x", content_type="text/plain")
    cloud.clock.advance(dt.timedelta(minutes=1))
    blob.metadata = {"new": "y", "old": None}
    blob.content_language = "en"
    blob.patch(if_generation_match=blob.generation, if_metageneration_match=1)
    read = cloud.client.bucket("artifacts").get_blob("a")
    assert (read.metadata, read.content_language, read.content_type) == ({"run": "r1", "new": "y"}, "en", "text/plain")
    assert (read.metageneration, read.generation) == (2, blob.generation)
    assert read.updated - read.time_created == dt.timedelta(minutes=1)
    assert [kind for kind, _ in cloud.events] == ["finalized", "metadataUpdated"]
    with pytest.raises(exceptions.PreconditionFailed):
        blob.patch(if_metageneration_match=1)


def test_an_update_replaces_the_metadata(cloud: Cloud) -> None:
    """PUT writes all properties anew: what it leaves out is gone."""
    blob = cloud.bucket().blob("a")
    blob.metadata = {"run": "r1"}
    blob.cache_control = "no-store"
    blob.upload_from_string("x", content_type="text/plain")
    blob.reload()
    blob.metadata = {"only": "this"}
    blob.update()
    assert cloud.client.bucket("artifacts").get_blob("a").metadata == {"only": "this"}
    cloud.send("PUT", "/storage/v1/b/artifacts/o/a", json={})
    bare = cloud.client.bucket("artifacts").get_blob("a")
    assert (bare.metadata, bare.cache_control, bare.content_type) == (None, None, "application/octet-stream")


@pytest.mark.parametrize(
    "changes",
    [{"storageClass": "ARCHIVE"}, {"name": "b"}, {"flavour": 1}, {"temporaryHold": "yes"}, {"customTime": None}, {"acl": []}],
)
def test_a_patch_that_the_service_would_refuse_is_refused(cloud: Cloud, changes: dict[str, Any]) -> None:
    """The class, the name, unknown fields, wrong types and a custom time taken back answer 400."""
    cloud.bucket()
    cloud.storage.put("artifacts", "a", customTime="2026-01-01T00:00:00Z")
    assert cloud.send("PATCH", "/storage/v1/b/artifacts/o/a", json=changes).status_code == 400


def test_a_rewrite_changes_the_class_and_keeps_the_rest(cloud: Cloud) -> None:
    """An object rewritten onto itself has another class, the same bytes and metadata, and a new generation."""
    bucket = cloud.bucket()
    bucket.blob("a").upload_from_string("bytes", content_type="text/plain")
    blob = bucket.get_blob("a")
    before = blob.generation
    blob.update_storage_class("ARCHIVE")
    read = bucket.get_blob("a")
    assert (read.storage_class, read.content_type, read.download_as_bytes()) == ("ARCHIVE", "text/plain", b"bytes")
    assert read.generation > before


def test_copies_do_not_inherit_holds(cloud: Cloud) -> None:
    """Both ways to copy take bytes and metadata along, and no hold; the source's generation can be named and must match."""
    bucket = cloud.bucket()
    cloud.storage.create_bucket("other")
    cloud.storage.put("artifacts", "a/b", b"x", metadata={"run": "r1"}, temporaryHold=True, cacheControl="no-store")
    source = bucket.get_blob("a/b")
    copied = bucket.copy_blob(source, cloud.client.bucket("other"), "c/d", source_generation=source.generation)
    assert (copied.metadata, copied.cache_control, copied.temporary_hold, copied.size) == ({"run": "r1"}, "no-store", None, 1)
    target = cloud.client.bucket("other").blob("e")
    token, rewritten, total = target.rewrite(source, if_source_generation_match=source.generation, if_generation_match=0)
    assert (token, rewritten, total, target.metadata) == (None, 1, 1, {"run": "r1"})
    with pytest.raises(exceptions.PreconditionFailed):
        target.rewrite(source, if_source_generation_match=1)


# -- preconditions and deletion --------------------------------------------------------------------------------------


def test_create_only_lets_one_writer_win(cloud: Cloud) -> None:
    """With if_generation_match=0 the second writer gets 412 and the first one's bytes stay."""
    bucket = cloud.bucket()
    bucket.blob("claim").upload_from_string("first", if_generation_match=0)
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("claim").upload_from_string("second", if_generation_match=0)
    assert bucket.blob("claim").download_as_bytes() == b"first"


def test_ten_writers_at_once_have_one_winner(cloud: Cloud) -> None:
    """Of simultaneous creations exactly one succeeds."""
    bucket = cloud.bucket()
    results: list[str] = []

    def claim() -> None:
        try:
            bucket.blob("claim").upload_from_string(threading.current_thread().name, if_generation_match=0)
            results.append("won")
        except exceptions.PreconditionFailed:
            results.append("lost")

    threads = [threading.Thread(target=claim) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["lost"] * 9 + ["won"]


@pytest.mark.parametrize(
    ("condition", "error"),
    [
        ({"if_generation_match": 1}, exceptions.PreconditionFailed),
        ({"if_metageneration_match": 2}, exceptions.PreconditionFailed),
        ({"if_metageneration_not_match": 1}, exceptions.NotModified),
    ],
)
def test_every_precondition_is_honoured_by_every_call(cloud: Cloud, condition: dict[str, int], error: type[Exception]) -> None:
    """Upload, patch, reload, download and delete all refuse a condition that does not hold, and change nothing."""
    bucket = cloud.bucket()
    bucket.blob("a").upload_from_string("x")
    blob = bucket.get_blob("a")
    for act in (blob.delete, blob.patch, blob.reload, blob.download_as_bytes):
        with pytest.raises(error):
            act(**condition)
    with pytest.raises(error):
        bucket.blob("a").upload_from_string("y", **condition)
    same = bucket.get_blob("a")
    assert (same.generation, same.metageneration) == (blob.generation, 1)


def test_a_condition_that_holds_lets_the_call_through(cloud: Cloud) -> None:
    """Matching generations and metagenerations pass, as do not-matches against another number."""
    bucket = cloud.bucket()
    bucket.blob("a").upload_from_string("x")
    generation = bucket.get_blob("a").generation
    bucket.blob("a").upload_from_string("y", if_generation_match=generation, if_metageneration_match=1)
    bucket.blob("a").delete(if_generation_not_match=generation, if_metageneration_not_match=9)
    assert cloud.names() == []


def test_deleting_what_is_not_there_is_not_found(cloud: Cloud) -> None:
    """A missing object, generation or bucket is 404, even under a precondition."""
    bucket = cloud.bucket()
    bucket.blob("a").upload_from_string("x")
    for name, arguments in (("b", {}), ("b", {"if_generation_match": 5}), ("a", {"generation": 5})):
        with pytest.raises(exceptions.NotFound, match=f"No such object: artifacts/{name}"):
            bucket.delete_blob(name, **arguments)
    with pytest.raises(exceptions.NotFound, match="bucket does not exist"):
        cloud.client.bucket("nowhere").delete_blob("a")


# -- listing ---------------------------------------------------------------------------------------------------------


def test_a_listing_goes_on_while_the_listed_is_deleted(cloud: Cloud) -> None:
    """Pages name the last entry, so deleting each page before asking for the next loses and repeats nothing."""
    bucket = cloud.bucket()
    for number in range(25):
        cloud.storage.put("artifacts", f"runs/{number:02}")
    seen = []
    for page in cloud.client.list_blobs("artifacts", page_size=4).pages:
        for blob in page:
            seen.append(blob.name)
            bucket.delete_blob(blob.name, generation=blob.generation)
    assert seen == [f"runs/{number:02}" for number in range(25)]


def test_fields_choose_what_comes_back(cloud: Cloud) -> None:
    """Only the named fields are answered, so a forgotten page token ends a listing early, as it does in the service."""
    cloud.bucket()
    for name in "abc":
        cloud.storage.put("artifacts", name)
    chosen = list(cloud.client.list_blobs("artifacts", fields="items(name,generation),nextPageToken", page_size=2))
    assert [(blob.name, blob.size) for blob in chosen] == [("a", None), ("b", None), ("c", None)]
    assert len(list(cloud.client.list_blobs("artifacts", fields="items/name", page_size=2))) == 2
    answer = cloud.send("GET", "/storage/v1/b/artifacts/o/a?fields=name,bucket").json()
    assert answer == {"name": "a", "bucket": "artifacts"}
    for wrong in ("items(nome)", "items(name", "name)", ",", "nothing"):
        assert cloud.send("GET", "/storage/v1/b/artifacts/o", params={"fields": wrong}).status_code == 400
    everything = cloud.send("GET", "/storage/v1/b/artifacts/o?fields=*").json()
    assert cloud.send("GET", "/storage/v1/b/artifacts/o?fields=kind/below").json() == {"kind": "storage#objects"}
    assert [item["name"] for item in everything["items"]] == ["a", "b", "c"]


def test_listing_by_client_options(cloud: Cloud) -> None:
    """Prefix, delimiter, glob, offsets and versions reach the rules behind them."""
    cloud.bucket(versioning={"enabled": True})
    for name in ("a", "runs/1/m.pt", "runs/1/log", "runs/2/m.pt", "runs/2/"):
        cloud.storage.put("artifacts", name)
    cloud.storage.put("artifacts", "a")
    assert cloud.names(prefix="runs/1/") == ["runs/1/log", "runs/1/m.pt"]
    assert cloud.names(match_glob="runs/*/m.pt") == ["runs/1/m.pt", "runs/2/m.pt"]
    assert cloud.names(start_offset="runs/1/m", end_offset="runs/2/m") == ["runs/1/m.pt", "runs/2/"]
    assert cloud.names(versions=True, prefix="a") == ["a", "a"]
    folders = cloud.client.list_blobs("artifacts", delimiter="/", prefix="runs/")
    assert ([blob.name for blob in folders], sorted(folders.prefixes)) == ([], ["runs/1/", "runs/2/"])
    trailing = cloud.client.list_blobs("artifacts", delimiter="/", prefix="runs/", include_trailing_delimiter=True)
    assert [blob.name for blob in trailing] == ["runs/2/"]


@pytest.mark.parametrize(
    "query",
    [
        "maxResults=0",
        "maxResults=ten",
        "pageToken=%3F",
        "matchGlob=%7Ba",
        "versions=maybe",
        "versions=true&softDeleted=true",
        "prefx=a",
        "prefix=a&prefix=b",
    ],
)
def test_a_listing_that_makes_no_sense_is_refused(cloud: Cloud, query: str) -> None:
    """Bad numbers, tokens, globs and flags, contradictions, unknown and repeated parameters answer 400."""
    cloud.bucket()
    assert cloud.send("GET", f"/storage/v1/b/artifacts/o?{query}").status_code == 400


# -- versions, soft delete -------------------------------------------------------------------------------------------


def test_a_versioned_bucket_keeps_what_is_deleted_without_its_generation(cloud: Cloud) -> None:
    """A plain delete makes the object noncurrent; a delete with the generation ends it, into soft delete."""
    bucket = cloud.bucket(versioning={"enabled": True})
    bucket.blob("a").upload_from_string("x")
    generation = bucket.get_blob("a").generation
    bucket.delete_blob("a", if_generation_match=generation)
    assert bucket.get_blob("a") is None
    (kept,) = cloud.client.list_blobs("artifacts", versions=True)
    assert (kept.generation, kept.time_deleted) == (generation, cloud.clock.time)
    assert bucket.get_blob("a", generation=generation).download_as_bytes() == b"x"
    bucket.delete_blob("a", generation=generation)
    assert cloud.names(versions=True) == []
    assert cloud.names(soft_deleted=True) == ["a"]
    assert [kind for kind, _ in cloud.events] == ["finalized", "archived", "deleted"]


def test_a_soft_deleted_object_is_listed_and_restored_until_its_time_is_over(cloud: Cloud) -> None:
    """It shows when it was deleted and will end, comes back as a new generation, and is gone after the window."""
    bucket = cloud.bucket()
    blob = bucket.blob("a")
    blob.metadata = {"run": "r1"}
    blob.storage_class = "COLDLINE"
    blob.upload_from_string("x", content_type="text/plain")
    generation = blob.generation
    blob.delete()
    (listed,) = cloud.client.list_blobs("artifacts", soft_deleted=True)
    assert (listed.soft_delete_time, listed.hard_delete_time) == (cloud.clock.time, cloud.clock.time + WEEK)
    assert bucket.get_blob("a", generation=generation, soft_deleted=True).size == 1
    assert bucket.get_blob("a", generation=generation) is None
    cloud.clock.advance(WEEK - dt.timedelta(seconds=1))
    restored = bucket.restore_blob("a", generation=generation, if_generation_match=0)
    assert restored.generation > generation
    assert (restored.metadata, restored.storage_class, restored.content_type) == ({"run": "r1"}, "COLDLINE", "text/plain")
    assert bucket.blob("a").download_as_bytes() == b"x"
    assert cloud.names(soft_deleted=True) == ["a"]
    cloud.clock.advance(dt.timedelta(seconds=1))
    assert cloud.names(soft_deleted=True) == []
    with pytest.raises(exceptions.NotFound):
        bucket.restore_blob("a", generation=generation)


def test_a_restore_that_cannot_be_is_refused(cloud: Cloud) -> None:
    """A live generation is 404, a live object under "create only" is 412, no generation and no soft delete are 400."""
    bucket = cloud.bucket()
    bucket.blob("a").upload_from_string("x")
    generation = bucket.get_blob("a").generation
    with pytest.raises(exceptions.NotFound):
        bucket.restore_blob("a", generation=generation)
    bucket.blob("a").upload_from_string("y")
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.restore_blob("a", generation=generation, if_generation_match=0)
    assert bucket.restore_blob("a", generation=generation).size == 1
    assert cloud.names(soft_deleted=True) == ["a", "a"]
    with pytest.raises(exceptions.BadRequest, match="generation"):
        bucket.restore_blob("a")
    cloud.storage.create_bucket("hard", softDeletePolicy={"retentionDurationSeconds": 0})
    with pytest.raises(exceptions.BadRequest, match="soft delete policy"):
        cloud.client.bucket("hard").restore_blob("a", generation=1)
    with pytest.raises(exceptions.BadRequest, match="soft delete policy"):
        list(cloud.client.list_blobs("hard", soft_deleted=True))


# -- holds and retention ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("hold", "words"), [("temporary_hold", "Temporary hold"), ("event_based_hold", "Event-Based hold")])
def test_a_held_object_can_neither_be_deleted_nor_overwritten(cloud: Cloud, hold: str, words: str) -> None:
    """403 until the hold is released, in a versioned bucket as well; a wrong generation is 412 before that."""
    bucket = cloud.bucket(versioning={"enabled": True})
    blob = bucket.blob("a")
    blob.upload_from_string("x")
    setattr(blob, hold, True)
    blob.patch()
    with pytest.raises(exceptions.Forbidden, match=f"'artifacts/a' is under active {words}"):
        bucket.delete_blob("a")
    with pytest.raises(exceptions.Forbidden, match=f"'artifacts/a' is under active {words}"):
        bucket.blob("a").upload_from_string("y")
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.delete_blob("a", if_generation_match=1)
    setattr(blob, hold, False)
    blob.patch()
    bucket.delete_blob("a")
    assert cloud.names() == []


def test_the_reason_for_a_hold_is_measured_or_documented(cloud: Cloud) -> None:
    """The service was seen to say forbidden where its documentation says objectUnderActiveHold: tests can have both."""
    cloud.bucket()
    cloud.storage.put("artifacts", "a", temporaryHold=True)
    for reason in ("forbidden", "objectUnderActiveHold"):
        cloud.storage.hold_reason = reason
        error = cloud.send("DELETE", "/storage/v1/b/artifacts/o/a").json()["error"]
        assert (error["code"], error["errors"][0]["reason"]) == (403, reason)


def test_a_bucket_retention_policy_keeps_its_objects(cloud: Cloud) -> None:
    """Until the period is over deleting and overwriting answer 403 and the listing says until when; metadata may change."""
    bucket = cloud.bucket(retentionPolicy={"retentionPeriod": "3600"})
    bucket.blob("a").upload_from_string("x")
    blob = bucket.get_blob("a")
    assert blob.retention_expiration_time == cloud.clock.time + dt.timedelta(hours=1)
    with pytest.raises(exceptions.Forbidden, match="retention policy"):
        blob.delete()
    with pytest.raises(exceptions.Forbidden, match="retention policy"):
        bucket.blob("a").upload_from_string("y")
    blob.metadata = {"k": "v"}
    blob.patch()
    cloud.clock.advance(dt.timedelta(hours=1))
    blob.delete()
    assert cloud.names() == []


def test_an_object_with_its_own_retention_is_kept(cloud: Cloud) -> None:
    """The listing says until when, a delete is 403 with its own reason, and free again afterwards."""
    cloud.bucket()
    cloud.storage.put("artifacts", "a", retain_until=cloud.clock.time + WEEK)
    (blob,) = cloud.client.list_blobs("artifacts")
    assert blob.retention_expiration_time == cloud.clock.time + WEEK
    refused = cloud.send("DELETE", f"/storage/v1/b/artifacts/o/a?generation={blob.generation}")
    assert (refused.status_code, refused.json()["error"]["errors"][0]["reason"]) == (403, "retentionPolicyNotMet")
    assert cloud.send("PUT", "/storage/v1/b/artifacts/o/a", json={}).json()["retentionExpirationTime"]
    cloud.clock.advance(WEEK)
    blob.delete()


# -- batches ---------------------------------------------------------------------------------------------------------


def test_a_batch_answers_each_call_for_itself(cloud: Cloud) -> None:
    """Successes, 404, 412 and 403 stand side by side in one answer, in the order of the calls."""
    bucket = cloud.bucket()
    for name in ("a", "b c/ü", "held"):
        cloud.storage.put("artifacts", name, temporaryHold=name == "held")
    batch = cloud.client.batch(raise_exception=False)
    with batch:
        bucket.delete_blob("missing")
        bucket.delete_blob("b c/ü")
        bucket.delete_blob("held")
        bucket.delete_blob("a", if_generation_match=1)
        patched = bucket.blob("a")
        patched.metadata = {"k": "v"}
        patched.patch()
        found = bucket.blob("a")
        found.reload()
    assert [response.status_code for response in batch._responses] == [404, 204, 403, 412, 200, 200]
    assert (patched.metadata, found.metadata, found.size) == ({"k": "v"}, {"k": "v"}, 0)
    assert batch._responses[0].json()["error"]["errors"][0]["reason"] == "notFound"
    assert cloud.names() == ["a", "held"]
    assert (cloud.faults.calls["storage.batch"], cloud.faults.calls["storage.objects.delete"]) == (1, 4)


def test_a_batch_has_at_most_a_hundred_calls(cloud: Cloud) -> None:
    """A hundred deletes pass, a hundred and one answer 400 and delete nothing."""
    bucket = cloud.bucket()
    for number in range(201):
        cloud.storage.put("artifacts", f"{number:03}")
    with cloud.client.batch():
        for number in range(100):
            bucket.delete_blob(f"{number:03}")
    assert len(cloud.names()) == 101
    batch = cloud.client.batch()
    batch.__enter__()
    for number in range(100, 201):
        bucket.delete_blob(f"{number:03}")
    with pytest.raises(exceptions.BadRequest, match="100 calls"):
        batch.__exit__(None, None, None)
    assert len(cloud.names()) == 101


def post_batch(cloud: Cloud, *parts: str, content_type: str = "multipart/mixed; boundary=b") -> requests.Response:
    body = "".join(f"--b\r\n{part}\r\n" for part in parts) + "--b--"
    return cloud.send("POST", "/batch/storage/v1", data=body.encode(), headers={"content-type": content_type})


def test_a_batch_written_by_hand(cloud: Cloud) -> None:
    """Bare paths, content ids and quoted names are understood, and the ids come back with the answers."""
    cloud.bucket()
    cloud.storage.put("artifacts", "a/b")
    head = "Content-Type: application/http\r\nContent-ID: <7>\r\n\r\n"
    answer = post_batch(cloud, head + "DELETE /storage/v1/b/artifacts/o/a%2Fb HTTP/1.1\r\n\r\n")
    assert answer.headers["content-type"].startswith("multipart/mixed; boundary=")
    assert "Content-ID: <response-7>\r\n\r\nHTTP/1.1 204 No Content\r\n" in answer.text
    assert cloud.names() == []


@pytest.mark.parametrize("line", ["GET /storage/v1/b/artifacts/o/a?alt=media HTTP/1.1", "POST /upload/storage/v1/b/artifacts/o HTTP/1.1"])
def test_a_batch_neither_uploads_nor_downloads(cloud: Cloud, line: str) -> None:
    """The inner call is refused, the batch as a whole is not."""
    cloud.bucket()
    answer = post_batch(cloud, f"Content-Type: application/http\r\n\r\n{line}\r\n\r\n")
    assert answer.status_code == 200
    assert "HTTP/1.1 400 " in answer.text or "HTTP/1.1 501 " in answer.text


@pytest.mark.parametrize(
    "part",
    [
        "Content-Type: application/http\r\n\r\nhello",
        "\r\nDELETE /storage/v1/b/a/o/b HTTP/1.1\r\n\r\n",
        "Content-Type: application/http\r\n\r\nDELETE /ü HTTP/1.1",
    ],
)
def test_a_batch_of_something_else_is_refused(cloud: Cloud, part: str) -> None:
    """What is no HTTP request, has no content type or an address that is not encoded answers 400 as a whole."""
    assert post_batch(cloud, part).status_code == 400


def test_an_empty_an_oversized_and_an_unbounded_batch_are_refused(cloud: Cloud) -> None:
    """No calls, more than ten megabytes, and no boundary answer 400."""
    assert post_batch(cloud).status_code == 400
    assert post_batch(cloud, "x" * (10 * 1024 * 1024)).status_code == 400
    assert post_batch(cloud, "x", content_type="text/plain").status_code == 400


# -- faults ----------------------------------------------------------------------------------------------------------


def test_a_fault_answers_before_the_work(cloud: Cloud) -> None:
    """A 503 for one object leaves it alone and the others unharmed; the client's own retry then succeeds."""
    bucket = cloud.bucket()
    for name in ("a", "b"):
        cloud.storage.put("artifacts", name)
    cloud.faults.inject(Fault("storage.objects.delete", 503, match="artifacts/a", times=1))
    bucket.delete_blob("b", retry=None)
    with pytest.raises(exceptions.ServiceUnavailable):
        bucket.delete_blob("a", retry=None)
    assert cloud.names() == ["a"]
    cloud.faults.inject(Fault("storage.objects.delete", 503, times=1))
    bucket.delete_blob("a", retry=DEFAULT_RETRY.with_delay(initial=0.001))
    assert cloud.names() == []


def test_too_many_requests_names_the_seconds_to_wait(cloud: Cloud) -> None:
    """A 429 has Google's reason and a Retry-After header, alone and inside a batch."""
    cloud.bucket()
    cloud.faults.inject(Fault("storage.objects.*", 429, retry_after=7))
    alone = cloud.send("GET", "/storage/v1/b/artifacts/o")
    assert (alone.status_code, alone.headers["retry-after"]) == (429, "7")
    assert alone.json()["error"]["errors"][0]["reason"] == "rateLimitExceeded"
    inner = post_batch(cloud, "Content-Type: application/http\r\n\r\nDELETE /storage/v1/b/artifacts/o/a HTTP/1.1\r\n\r\n")
    assert "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\n" in inner.text


@pytest.mark.parametrize("method", ["storage.objects.delete", "storage.batch"])
def test_a_lost_answer_comes_after_the_work(cloud: Cloud, method: str) -> None:
    """The objects are gone although the client was told 503, for an inner call or for the whole batch."""
    bucket = cloud.bucket()
    for name in ("a", "b"):
        cloud.storage.put("artifacts", name)
    cloud.faults.inject(Fault(method, drop_answer=True))
    batch = cloud.client.batch(raise_exception=False)
    try:
        with batch:
            bucket.delete_blob("a")
            bucket.delete_blob("b")
    except exceptions.ServiceUnavailable:
        assert method == "storage.batch"
    else:
        assert [response.status_code for response in batch._responses] == [503, 503]
    assert cloud.names() == []


def test_a_lost_answer_to_a_write_shows_as_a_failed_precondition_on_retry(cloud: Cloud) -> None:
    """The first attempt wrote the object, so the client's retry of "create only" gets 412."""
    bucket = cloud.bucket()
    cloud.faults.inject(Fault("storage.objects.insert", drop_answer=True, times=1))
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("a").upload_from_string("x", if_generation_match=0, retry=DEFAULT_RETRY.with_delay(initial=0.001))
    assert cloud.names() == ["a"]


def test_a_resumable_upload_survives_a_fault_in_the_middle(cloud: Cloud) -> None:
    """The client asks how far it is and goes on; the object is whole."""
    data = b"0123456789abcdef" * 16 * 1024 * 3
    blob = cloud.bucket().blob("big", chunk_size=256 * 1024)
    cloud.faults.inject(Fault("storage.objects.insert", 503, skip=2, times=1))
    blob.upload_from_file(io.BytesIO(data), retry=DEFAULT_RETRY.with_delay(initial=0.001), if_generation_match=0)
    assert blob.download_as_bytes() == data


def test_a_single_call_can_lose_its_answer(cloud: Cloud) -> None:
    """The object is gone although the answer is 503, so a retried delete finds nothing."""
    bucket = cloud.bucket()
    cloud.storage.put("artifacts", "a")
    cloud.faults.inject(Fault("storage.objects.delete", drop_answer=True, times=1))
    with pytest.raises(exceptions.NotFound):
        bucket.delete_blob("a", retry=DEFAULT_RETRY.with_delay(initial=0.001))


@pytest.mark.parametrize("skip", [0, 1])
def test_a_session_can_lose_its_answers_too(cloud: Cloud, skip: int) -> None:
    """The start and the end of a session answer 503 after their work."""
    cloud.bucket()
    cloud.faults.inject(Fault("storage.objects.insert", drop_answer=True, skip=skip))
    begun = cloud.send("POST", "/upload/storage/v1/b/artifacts/o?uploadType=resumable&name=a")
    assert begun.status_code == (503, 200)[skip]
    if skip:
        assert cloud.send("PUT", begun.headers["location"].removeprefix(cloud.url), data=b"x").status_code == 503
        assert cloud.names() == ["a"]


def test_delays_and_latency_hold_a_call_up(cloud: Cloud) -> None:
    """A call takes the latency of every call and the delay of its own fault, at least."""
    cloud.bucket()
    cloud.faults.latency = 0.01
    cloud.faults.inject(Fault("storage.objects.list", delay=0.03, times=1))
    begun = time.perf_counter()
    cloud.send("GET", "/storage/v1/b/artifacts/o")
    listed = time.perf_counter()
    cloud.send("GET", "/storage/v1/b/artifacts")
    assert listed - begun >= 0.04
    assert time.perf_counter() - listed >= 0.01


def test_a_crash_ends_the_process_before_the_work(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process ends with 137, as after kill -9."""
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    bucket = cloud.bucket()
    bucket.blob("a").upload_from_string("x")
    cloud.faults.inject(Fault("storage.objects.delete", 500, crash=True))
    with pytest.raises(exceptions.InternalServerError):
        bucket.delete_blob("a", retry=None)
    assert codes == [137]


def test_one_object_takes_about_one_update_a_second(cloud: Cloud) -> None:
    """With the limit on, a burst of five passes, the sixth answers 429, and a second later one more passes."""
    cloud.storage.object_update_limit = True
    bucket = cloud.bucket()
    for _ in range(5):
        bucket.blob("a").upload_from_string("x")
    with pytest.raises(exceptions.TooManyRequests, match="rate limit for object mutation"):
        bucket.delete_blob("a", retry=None)
    bucket.blob("b").upload_from_string("x")
    cloud.clock.advance(dt.timedelta(seconds=1))
    bucket.delete_blob("a", retry=None)
    with pytest.raises(exceptions.TooManyRequests):
        bucket.blob("a").upload_from_string("x", retry=None)


# -- the rest --------------------------------------------------------------------------------------------------------


def test_what_the_stand_in_does_not_have_says_so(cloud: Cloud) -> None:
    """A method outside its scope answers 501, never a 404 that could be taken for a missing object."""
    bucket = cloud.bucket()
    with pytest.raises(exceptions.MethodNotImplemented):
        bucket.get_iam_policy()
    assert cloud.send("GET", "/storage/v2/b").status_code == 501


def test_required_parameters_are_asked_for(cloud: Cloud) -> None:
    """Buckets are created and listed in a project, permissions are tested by name."""
    cloud.bucket()
    assert cloud.send("GET", "/storage/v1/b").status_code == 400
    assert cloud.send("POST", "/storage/v1/b", json={"name": "other"}).status_code == 400
    assert cloud.send("GET", "/storage/v1/b/artifacts/iam/testPermissions").status_code == 400
    assert cloud.send("GET", "/storage/v1/b/artifacts/o/a?softDeleted=true").status_code == 400
    assert cloud.send("DELETE", "/storage/v1/b/artifacts/o/a?generation=x").status_code == 400


def test_checksums_are_those_of_the_bytes(cloud: Cloud) -> None:
    """CRC32C and MD5 are base64 of the real values, in the resource and in the download's header."""
    cloud.bucket()
    cloud.storage.put("artifacts", "a", b"123456789")
    blob = cloud.client.bucket("artifacts").get_blob("a")
    assert base64.b64decode(blob.crc32c).hex() == "e3069283"
    assert base64.b64decode(blob.md5_hash).hex() == "25f9e794323b453885f5181f1b624d0b"
    header = cloud.send("GET", "/storage/v1/b/artifacts/o/a?alt=media").headers["x-goog-hash"]
    assert header == f"crc32c={blob.crc32c},md5={blob.md5_hash}"
