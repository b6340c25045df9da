"""The stand-in for Cloud Storage puts objects together as the documentation says, driven by Google's own client."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from google.api_core import exceptions
from google.cloud import storage

from tests.contract.stand_ins import Gcs

BUCKET = "acme-ml-artifacts"
KEY = "projects/acme-ml-keys/locations/us/keyRings/ml/cryptoKeys/artifacts"


@pytest.fixture
def bucket(gcs: Gcs) -> Any:
    """A bucket with soft delete and versions, as Google's client sees it."""
    gcs.model.create_bucket(BUCKET, versioning={"enabled": True})
    return storage.Client(project=None).bucket(BUCKET)


def put(bucket: Any, name: str, data: bytes = b"x", **properties: Any) -> Any:
    """Write an object with the client."""
    blob = bucket.blob(name)
    for key, value in properties.items():
        setattr(blob, key, value)
    blob.upload_from_string(data)
    return blob


def compose(gcs: Gcs, document: Any, **query: Any) -> requests.Response:
    """A request without the client."""
    return requests.post(f"{gcs.url}/storage/v1/b/{BUCKET}/o/whole/compose", json=document, params=query, timeout=10)


def shown(gcs: Gcs, name: str) -> dict[str, Any]:
    """An object as the API shows it."""
    return gcs.model.resource(BUCKET, gcs.model.get(BUCKET, name))


def test_objects_are_put_together_in_order(gcs: Gcs, bucket: Any) -> None:
    """Content, checksum, class and number of components follow from the sources; there is no MD5, and the sources stay."""
    parts = [put(bucket, name, name.encode(), storage_class="NEARLINE") for name in ("b", "a", "c")]
    whole = bucket.blob("whole")
    whole.content_type, whole.metadata, whole.storage_class = "text/plain", {"step": "1"}, "STANDARD"
    whole.compose(parts, if_generation_match=0, if_source_generation_match=[part.generation for part in parts])
    assert whole.download_as_bytes() == b"bac"
    found = shown(gcs, "whole")
    assert {key: found.get(key) for key in ("contentType", "metadata", "storageClass", "componentCount", "md5Hash", "size")} == {
        "contentType": "text/plain",
        "metadata": {"step": "1"},
        "storageClass": "NEARLINE",
        "componentCount": 3,
        "md5Hash": None,
        "size": "3",
    }
    twice = bucket.blob("twice")
    twice.compose([whole, parts[0], whole])
    assert (twice.download_as_bytes(), twice.component_count) == (b"bacbbac", 7)
    assert sorted(blob.name for blob in bucket.list_blobs()) == ["a", "b", "c", "twice", "whole"]


def test_sources_that_are_deleted_are_gone_for_good(gcs: Gcs, bucket: Any) -> None:
    """Neither versions nor soft delete keep them."""
    parts = [put(bucket, name) for name in ("a", "b")]
    bucket.blob("whole").compose([*parts, parts[0]], if_generation_match=0, delete_source_objects=True)
    assert [blob.name for blob in bucket.list_blobs(versions=True)] == ["whole"]
    assert [blob.name for blob in bucket.list_blobs(soft_deleted=True)] == []
    assert [(method, name) for _, method, _, name, _ in gcs.model.writes][-3:] == [
        ("storage.objects.compose", "whole"),
        ("storage.objects.delete", "a"),
        ("storage.objects.delete", "b"),
    ]


def test_a_key_is_taken_without_its_version(gcs: Gcs, bucket: Any) -> None:
    """It is answered with one, for what is uploaded as for what is put together."""
    blob = bucket.blob("a", kms_key_name=KEY)
    blob.upload_from_string(b"x")
    assert blob.kms_key_name == f"{KEY}/cryptoKeyVersions/1"
    document = {"sourceObjects": [{"name": "a"}]}
    assert compose(gcs, document, kmsKeyName=KEY).json()["kmsKeyName"] == f"{KEY}/cryptoKeyVersions/1"
    assert compose(gcs, document, kmsKeyName=f"{KEY}/cryptoKeyVersions/1").status_code == 400


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"sourceObjects": []},
        {"sourceObjects": [{"name": "a"}] * 33},
        {"sourceObjects": {"name": "a"}},
        {"sourceObjects": ["a"]},
        {"sourceObjects": [{"generation": "1"}]},
        {"sourceObjects": [{"name": "a", "generation": "one"}]},
        {"sourceObjects": [{"name": "a", "bucket": "b"}]},
        {"sourceObjects": [{"name": "a", "objectPreconditions": {"ifMetagenerationMatch": "1"}}]},
        {"sourceObjects": [{"name": "a"}], "destination": "b"},
        {"sourceObjects": [{"name": "a"}], "destination": {"colour": "red"}},
        {"sourceObjects": [{"name": "a"}], "deleteSourceObjects": "yes"},
        {"sourceObjects": [{"name": "a"}], "deleteSources": True},
        {"sourceObjects": [{"name": "a"}, {"name": "cold"}]},
        {"sourceObjects": [{"name": "whole"}], "deleteSourceObjects": True},
    ],
)
def test_what_the_service_does_not_take(gcs: Gcs, bucket: Any, document: dict[str, Any]) -> None:
    """It answers 400, and nothing is written or deleted."""
    put(bucket, "a")
    put(bucket, "whole")
    put(bucket, "cold", storage_class="COLDLINE")
    writes = list(gcs.model.writes)
    assert compose(gcs, document).status_code == 400
    assert gcs.model.writes == writes


def test_conditions_hold_for_the_sources_and_for_the_object_itself(gcs: Gcs, bucket: Any) -> None:
    """412 where another generation is live, 404 where a source is not there; nothing is written."""
    a = put(bucket, "a")
    writes = list(gcs.model.writes)
    whole = bucket.blob("whole")
    with pytest.raises(exceptions.PreconditionFailed):
        whole.compose([a], if_source_generation_match=[a.generation + 1])
    with pytest.raises(exceptions.PreconditionFailed):
        whole.compose([a], if_generation_match=1)
    with pytest.raises(exceptions.NotFound):
        whole.compose([a, bucket.blob("b")])
    with pytest.raises(exceptions.NotFound):
        whole.compose([bucket.blob("a", generation=7)])
    assert gcs.model.writes == writes


def test_permissions_and_holds(gcs: Gcs, bucket: Any) -> None:
    """Sources are read, the object is created, and what is deleted with it has to be deletable."""
    a = put(bucket, "a")
    whole = bucket.blob("whole")
    for permission in ("storage.objects.create", "storage.objects.get", "storage.objects.delete"):
        gcs.model.deny(BUCKET, permission)
        with pytest.raises(exceptions.Forbidden, match=permission):
            whole.compose([a], delete_source_objects=True)
        gcs.model.denied.clear()
    gcs.model.patch(BUCKET, "a", {"temporaryHold": True})
    with pytest.raises(exceptions.Forbidden, match="under active Temporary hold"):
        whole.compose([a], delete_source_objects=True)
    whole.compose([a])
    assert [blob.name for blob in bucket.list_blobs()] == ["a", "whole"]


def test_an_object_without_bytes_cannot_be_part_of_another(gcs: Gcs, bucket: Any) -> None:
    """The stand-in says so instead of inventing some."""
    del bucket
    gcs.model.put(BUCKET, "a", size=2**40)
    assert compose(gcs, {"sourceObjects": [{"name": "a"}]}).status_code == 501
