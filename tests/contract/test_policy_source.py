"""Where the policy's text comes from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.faults import Fault
from shared.cloud.policy_source import LONGEST, fetch_policy_text
from shared.errors import Denied, SettingsError
from shared.settings import DEFAULT_POLICY, PlainStorage, Settings
from tests.contract.stand_ins import STATE_BUCKET, Gcs

SETTINGS = Settings(project="acme-ml-watchdog", state_bucket=STATE_BUCKET)
ADDRESS = f"gs://{STATE_BUCKET}/policies/ml.yaml"


def fetch(policy: str | Path) -> tuple[str, str]:
    """The text and the source of a policy."""
    return fetch_policy_text(replace(SETTINGS, policy=str(policy)))


def put(gcs: Gcs, data: bytes) -> None:
    """Put a policy into Cloud Storage."""
    gcs.model.put(STATE_BUCKET, "policies/ml.yaml", data)


def test_a_file(tmp_path: Path) -> None:
    """The text and the path, without a byte order mark."""
    path = tmp_path / "policy.yaml"
    path.write_bytes(b"\xef\xbb\xbfversion: 1  # \xe2\x82\xac\n")
    assert fetch(path) == ("version: 1  # €\n", str(path))


def test_the_default_is_beside_the_entry_points() -> None:
    """policy.yaml in the folder of main.py, wherever the process was started."""
    assert Path(DEFAULT_POLICY).parent == Path(__file__).resolve().parent.parent.parent
    assert SETTINGS.policy == DEFAULT_POLICY


def test_an_object(gcs: Gcs) -> None:
    """The text and the address of an object in Cloud Storage."""
    put(gcs, b"version: 1\n")
    assert fetch(ADDRESS) == ("version: 1\n", ADDRESS)


def test_an_empty_object(gcs: Gcs) -> None:
    """An empty policy is no fault of its source."""
    put(gcs, b"")
    assert fetch(ADDRESS) == ("", ADDRESS)


def test_a_failure_that_passes_is_not_noticed(gcs: Gcs) -> None:
    """Cloud Storage is asked again."""
    put(gcs, b"version: 1\n")
    gcs.faults.inject(Fault("storage.objects.get", status=503, times=1))
    assert fetch(ADDRESS)[0] == "version: 1\n"


def test_what_is_not_there(gcs: Gcs, tmp_path: Path) -> None:
    """A file, an object or a bucket that does not exist is a fault of the setting, by its name."""
    assert gcs.url
    for policy, fault in (
        (tmp_path / "none.yaml", "cannot be read: No such file or directory"),
        (tmp_path, "cannot be read: Is a directory"),
        (ADDRESS, "does not exist"),
        ("gs://nobody-made-this-bucket/policy.yaml", "does not exist"),
    ):
        with pytest.raises(SettingsError) as caught:
            fetch(policy)
        assert caught.value.faults == (f"WATCHDOG_POLICY: {policy} {fault}",)


def test_what_may_not_be_read(gcs: Gcs) -> None:
    """The error names the address."""
    gcs.faults.inject(Fault("*", status=403))
    with pytest.raises(Denied, match=f"^{ADDRESS}: "):
        fetch(ADDRESS)


@pytest.mark.parametrize("more", [0, 1, 5_000_000])
def test_what_is_too_long(gcs: Gcs, tmp_path: Path, more: int) -> None:
    """A mebibyte is read and more is a fault, without reading all of it."""
    path = tmp_path / "policy.yaml"
    data = b"#" * (LONGEST + more)
    path.write_bytes(data)
    put(gcs, data)
    for policy in (str(path), ADDRESS):
        if not more:
            assert len(fetch(policy)[0]) == LONGEST
            continue
        with pytest.raises(SettingsError) as caught:
            fetch(policy)
        assert caught.value.faults == (f"WATCHDOG_POLICY: {policy} is longer than 1 MiB, which no policy is",)


def test_what_is_no_text(gcs: Gcs, tmp_path: Path) -> None:
    """Other bytes than UTF-8 are a fault."""
    path = tmp_path / "policy.yaml"
    path.write_bytes(b"version: \xff\n")
    put(gcs, b"version: \xff\n")
    for policy in (str(path), ADDRESS):
        with pytest.raises(SettingsError) as caught:
            fetch(policy)
        assert caught.value.faults == (f"WATCHDOG_POLICY: {policy} is not UTF-8 text: invalid start byte at byte 9",)


def test_an_object_that_is_read_without_googles_client(gcs: Gcs, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same text; and where that fails the client finds out what is the matter."""
    plainly = replace(SETTINGS, policy=ADDRESS, plain_storage=PlainStorage(gcs.url, ""))
    with pytest.raises(SettingsError, match="does not exist"):
        fetch_policy_text(plainly)
    put(gcs, b"")
    assert fetch_policy_text(plainly) == ("", ADDRESS)
    put(gcs, b"x" * (LONGEST + 1))
    with pytest.raises(SettingsError, match="longer than 1 MiB"):
        fetch_policy_text(plainly)
    put(gcs, b"version: 1\n")
    gcs.faults.inject(Fault("storage.objects.get", status=503, times=1))
    assert fetch_policy_text(plainly) == ("version: 1\n", ADDRESS)
    monkeypatch.setattr("shared.cloud.policy_source.connect", lambda _: pytest.fail("the client was asked"))
    assert fetch_policy_text(plainly) == ("version: 1\n", ADDRESS)
