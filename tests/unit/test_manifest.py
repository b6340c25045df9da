"""Manifests: what is written down before it is changed reads back, and what is damaged says so."""

from __future__ import annotations

import gzip
import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import JournalError
from shared.model import StorageObject
from shared.objects.manifest import pack, unpack

NOW = datetime(2026, 11, 24, 14, tzinfo=UTC)
NAME = "manifests/run-1/00000-0123abcd.jsonl.gz"
ONE = StorageObject("runs/a/x", 7, 12, "STANDARD", NOW, "Nks/tw==")

TIMES = st.datetimes(datetime(2010, 1, 1), datetime(2040, 1, 1), timezones=st.sampled_from([UTC, timezone(timedelta(hours=-7))]))  # noqa: DTZ001  # it takes bounds without a zone
OBJECTS = st.lists(
    st.builds(
        StorageObject,
        name=st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
        generation=st.integers(1, 2**63),
        size=st.integers(0, 5 * 2**40),
        storage_class=st.sampled_from(["STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE"]),
        created=TIMES,
        crc32c=st.text("ABab01+/=", max_size=8),
        noncurrent_since=st.none() | TIMES,
    )
)


@given(OBJECTS)
def test_every_object_reads_back_in_order(objects: list[StorageObject]) -> None:
    """Whatever its name holds, line breaks of any sort among it; the same objects give the same bytes."""
    data = pack(objects)
    assert unpack(data, NAME, len(objects)) == objects
    assert pack(iter(objects)) == data


def test_a_line_says_what_putting_it_back_needs() -> None:
    """Name, generation, size, class, time and checksum; holds and retention are none of that, since nothing held is ever in a manifest."""
    held = StorageObject("runs/a/x", 7, 12, "STANDARD", NOW, "Nks/tw==", hold="temporary hold", retained_until=NOW)
    assert gzip.decompress(pack([held])) == (
        b'{"name":"runs/a/x","generation":7,"size":12,"storage_class":"STANDARD","created":"2026-11-24T14:00:00+00:00","crc32c":"Nks/tw=="}'
    )


def test_an_object_takes_a_few_bytes() -> None:
    """Names of one run repeat each other, so that ten thousand objects are a small write."""
    objects = [
        StorageObject(f"runs/a/ckpt/{number:05}.bin", 10**15 + number, 4096, "STANDARD", NOW, "Nks/tw==") for number in range(10_000)
    ]
    assert len(pack(objects)) < 10 * len(objects)


def packed(text: str) -> bytes:
    """A manifest that holds this text."""
    return gzip.compress(text.encode())


def corrupted() -> bytes:
    """A manifest with some bytes in its middle overwritten."""
    data = bytearray(pack([ONE, ONE]))
    data[12:40] = b"\xff" * 28
    return bytes(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not compressed",
        pack([ONE])[:-12],
        corrupted(),
        gzip.compress(b""),
        pack([ONE, ONE]),
        gzip.compress(b"\xff\xfe"),
        packed("{"),
        packed("[]"),
        packed('"text"'),
        packed("null"),
        packed('{"name": "runs/a/x"}'),
        packed('{"name":"x","generation":"a","size":1,"storage_class":"S","created":"2026-11-24T14:00:00+00:00","crc32c":""}'),
        packed('{"name":"x","generation":null,"size":1,"storage_class":"S","created":"2026-11-24T14:00:00+00:00","crc32c":""}'),
        packed('{"name":"x","generation":1,"size":1,"storage_class":"S","created":5,"crc32c":""}'),
        packed('{"name":"x","generation":1,"size":1,"storage_class":"S","created":"today","crc32c":""}'),
    ],
    ids=[
        "empty", "plain", "cut off", "overwritten", "no line", "a line too many", "not utf-8", "not json", "a list", "a text", "nothing", "fields missing",
        "a word for a number", "null for a number", "a number for a time", "a word for a time",
    ],
)  # fmt: skip
def test_a_damaged_manifest_is_named_with_what_to_do(data: bytes) -> None:
    """It is never taken for one that holds less: nothing is deleted or put back by it."""
    with pytest.raises(JournalError, match=r"is damaged \(.+\); put an earlier version of the object back") as caught:
        unpack(data, NAME, 1)
    assert caught.value.name == NAME


def test_a_manifest_that_unpacks_to_more_than_was_written() -> None:
    """A megabyte that somebody put in its place does not become a gigabyte in memory: it is damaged, and no more of it is unpacked than tells so."""
    bomb = gzip.compress(b"\n" * 2**28, compresslevel=9)
    tracemalloc.start()
    try:
        with pytest.raises(JournalError, match="it is larger than what was written"):
            unpack(bomb, "manifests/x", 3)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def test_the_longest_names_fit() -> None:
    """A thousand bytes that JSON writes as escapes, in every line."""
    objects = [replace(ONE, name="\U0001f600" * 255 + f"{number:04}") for number in range(50)]
    assert unpack(pack(objects), "manifests/x", 50) == objects
