"""Where the policy's text comes from: a file, or an object in Cloud Storage."""

from __future__ import annotations

from pathlib import Path

from shared.cloud.errors import translated
from shared.cloud.gcs import call_options, connect
from shared.cloud.plain_read import read_plainly
from shared.errors import SettingsError
from shared.settings import PlainStorage, Settings

LONGEST = 1024 * 1024
"""Bytes."""


def fetch_policy_text(settings: Settings) -> tuple[str, str]:
    """The policy's text, and where it was found.

    Raises:
        SettingsError: It is not there, too long or no text.
        CloudError: Cloud Storage did not answer, or does not allow it.
    """
    source = settings.policy
    data = _download(source, settings.plain_storage) if source.startswith("gs://") else _read(source)
    if len(data) > LONGEST:
        raise _fault(source, "is longer than 1 MiB, which no policy is")
    try:
        return data.decode("utf-8-sig"), source
    except UnicodeDecodeError as error:
        raise _fault(source, f"is not UTF-8 text: {error.reason} at byte {error.start}") from error


def _read(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(LONGEST + 1)
    except OSError as error:
        raise _fault(path, f"cannot be read: {error.strerror}") from error


def _download(address: str, place: PlainStorage | None) -> bytes:
    bucket, _, name = address.removeprefix("gs://").partition("/")
    data = None if place is None else read_plainly(place, bucket, name, LONGEST + 1)
    if data is not None:
        return data
    with translated(address):
        blob = connect(bucket).get_blob(name, **call_options())
        if blob is not None:
            # Of an object that is too long enough is read to tell.
            return bytes(blob.download_as_bytes(end=LONGEST if blob.size > LONGEST else None, **call_options()))
    raise _fault(address, "does not exist")


def _fault(source: str, fault: str) -> SettingsError:
    return SettingsError([f"WATCHDOG_POLICY: {source} {fault}"])
