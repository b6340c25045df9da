"""The state bucket on Cloud Storage: https://cloud.google.com/storage/docs/request-preconditions."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from shared.cloud.errors import translated
from shared.cloud.gcs import OnError, call_options, connect
from shared.cloud.lazy import Lazy
from shared.errors import Conflict, Gone, Refused
from shared.model import NO_LABELS
from shared.ports import Listed, Stored

_WRITE_ID = "write"


class GcsStateBucket:
    """Fulfils `shared.ports.StateBucket`. All methods may be called from several threads."""

    def __init__(self, bucket: str, *, patience: float = 20.0) -> None:
        """Nothing is connected before the first call.

        Args:
            bucket: Its name.
            patience: Seconds for which a call that fails is tried again.
        """
        self._name = bucket
        self._patience = patience
        self._bucket = Lazy(lambda: connect(bucket))

    def read(self, name: str) -> Stored | None:
        """The object, or None where there is none; in one request, so that content and generation belong together."""
        try:
            with translated(self._full(name)):
                blob = self._bucket().blob(name)
                data = blob.download_as_bytes(**self._options())
        except Gone:
            return None
        return Stored(data, int(blob.generation))

    def write(self, name: str, data: bytes, *, generation: int, metadata: Mapping[str, str] = NO_LABELS) -> int:
        """Write the object if its generation still is the one named, and return the new generation."""
        write_id, lost = uuid.uuid4().hex, list[Exception]()
        try:
            with translated(self._full(name)):
                blob = self._bucket().blob(name)
                blob.metadata = {**metadata, _WRITE_ID: write_id}
                options = self._options(on_error=lost.append)
                blob.upload_from_string(data, content_type="application/json", if_generation_match=generation, **options)
        except Conflict:
            found = self._found(name) if lost else None
            if found is None or (found.metadata or {}).get(_WRITE_ID) != write_id:
                raise
            blob = found  # an earlier try had arrived, and only its answer was lost
        except Gone as error:
            raise self._no_bucket() from error
        return int(blob.generation)

    def delete(self, name: str, *, generation: int) -> None:
        """Delete the object if its generation still is the one named; one that is gone already is no error."""
        try:
            with translated(self._full(name)):
                self._bucket().blob(name).delete(if_generation_match=generation, **self._options())
        except Gone:
            return
        except Conflict:
            if self._found(name) is not None:
                raise

    def list(self, prefix: str) -> Iterable[Listed]:
        """All objects whose names begin with the prefix, in the order of their names."""
        fields = "items(name,metadata),nextPageToken"
        try:
            with translated(self._full(f"{prefix}*")):
                blobs = [*self._bucket().list_blobs(prefix=prefix, fields=fields, **self._options())]
        except Gone as error:
            raise self._no_bucket() from error
        return [Listed(blob.name, {key: value for key, value in (blob.metadata or {}).items() if key != _WRITE_ID}) for blob in blobs]

    def _found(self, name: str) -> Any:
        with translated(self._full(name)):
            return self._bucket().get_blob(name, **self._options())

    def _options(self, on_error: OnError | None = None) -> dict[str, Any]:
        return call_options(self._patience, on_error)

    def _full(self, name: str) -> str:
        return f"gs://{self._name}/{name}"

    def _no_bucket(self) -> Refused:
        return Refused("there is no such bucket; create it, or correct WATCHDOG_STATE_BUCKET", resource=f"gs://{self._name}")
