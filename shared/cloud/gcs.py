"""Google's client for Cloud Storage: how it is connected, how its calls are tried again, and calls that it has no method for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from shared.cloud.errors import may_pass
from shared.cloud.lazy import Lazy

OnError = Callable[[Exception], None]
T = TypeVar("T")

CALL_TIME = 10.0
"""Seconds for one call."""
BATCH_TIME = 12.0
"""Seconds for one batch: its calls are carried out on the other side before any of it is answered."""


def connect(bucket: str) -> Any:
    """A bucket's handle of Google's own client."""
    return client().bucket(bucket)


def client() -> Any:
    """Google's own client; which server it asks, and as whom, it reads from its environment."""
    from google.cloud import storage

    # Otherwise the first call has a thread fetch the bucket's own metadata for traces that nobody collects, with a permission that is not needed.
    os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
    return storage.Client(project=None)  # no call made with it needs a project


def call_options(patience: float = 20.0, on_error: OnError | None = None) -> dict[str, Any]:
    """How calls of that client are tried again, for some seconds in all."""
    from google.api_core.retry import Retry

    again = Retry(may_pass, initial=patience / 100, multiplier=2.0, maximum=patience / 4, timeout=patience, on_error=on_error)
    return {"retry": again, "timeout": CALL_TIME}


class JsonApi:
    """Calls of the JSON API as they stand on the wire: https://cloud.google.com/storage/docs/json_api.

    They go over the session of Google's client, with its credentials and to its server, and not through its methods: an object of
    the client's for each entry of a listing, with its times read, takes four times as much processor time as the entry itself, and
    an e-mail message for each call of a batch ten times. All methods may be called from several threads. They raise what the
    vendor's libraries raise.
    """

    def __init__(self, patience: float) -> None:
        """Nothing is connected before the first call.

        Args:
            patience: Seconds for which a call that fails is tried again.
        """
        self._patience = patience
        self._client = Lazy(client)
        self._session = Lazy(self._connected)

    def bucket(self, name: str) -> Any:
        """A bucket's handle of the client whose session this is, for what it does better than plain calls."""
        return self._client().bucket(name)

    def get(self, path: str, **query: str | int | Sequence[str] | None) -> Any:
        """The JSON at a path below ``/storage/v1``; a parameter that is None is left out, and one with several values is repeated."""

        def attempt() -> Any:
            with self._asked("GET", f"/storage/v1{path}", params=query, timeout=CALL_TIME) as answer:
                return answer.json()

        return self._again(attempt)

    def media(self, path: str, take: Callable[[Any], T], **query: str | int) -> T:
        """What `take` makes of the answer with an object's content; it reads it piece by piece, and anew where the connection breaks."""

        def attempt() -> T:
            asked = {"alt": "media", **query}
            with self._asked("GET", f"/download/storage/v1{path}", params=asked, timeout=CALL_TIME, stream=True) as answer:
                return take(answer)

        return self._again(attempt)

    @contextmanager
    def opened(self, path: str, first: int, size: int, **query: str | int) -> Iterator[Any]:
        """Some bytes of an object's content as they are stored, to be read as they come: a file without an end that is known.

        Args:
            path: The object's.
            first: The first byte.
            size: How many.
            query: Further parameters.
        """
        span = {"Range": f"bytes={first}-{first + size - 1}"}

        def attempt() -> Any:
            asked = {"alt": "media", **query}
            return self._asked("GET", f"/download/storage/v1{path}", params=asked, headers=span, timeout=CALL_TIME, stream=True)

        with self._again(attempt) as answer:
            yield answer.raw

    def post(self, path: str, document: Mapping[str, Any], **query: str | int | None) -> Any:
        """The JSON that a call with this one is answered with; it is sent again where it was not answered, so it has to bear that."""

        def attempt() -> Any:
            with self._asked("POST", f"/storage/v1{path}", json=document, params=query, timeout=(CALL_TIME, BATCH_TIME)) as answer:
                return answer.json()

        return self._again(attempt)

    def delete(self, path: str, **query: str | int) -> None:
        """Delete what is at a path; it is sent again where it was not answered, and may then find it gone."""

        def attempt() -> None:
            self._asked("DELETE", f"/storage/v1{path}", params=query, timeout=CALL_TIME).close()

        self._again(attempt)

    def batch(self, content_type: str, body: bytes) -> tuple[str, bytes]:
        """The content type and the body of the answer to a batch.

        It is sent again where it was not answered, so its calls have to bear that.
        """

        def attempt() -> tuple[str, bytes]:
            headers = {"Content-Type": content_type}
            with self._asked("POST", "/batch/storage/v1", data=body, headers=headers, timeout=(CALL_TIME, BATCH_TIME)) as answer:
                return answer.headers.get("content-type", ""), answer.content

        return self._again(attempt)

    def _asked(self, verb: str, path: str, *, headers: Mapping[str, str] | None = None, **options: Any) -> Any:
        from google.api_core.exceptions import from_http_response

        session, server, common = self._session()
        answer = session.request(verb, f"{server}{path}", headers={**common, **(headers or {})}, **options)
        if not answer.ok:
            with answer:
                raise from_http_response(answer)
        return answer

    def _again(self, attempt: Callable[[], T]) -> T:
        made: T = call_options(self._patience)["retry"](attempt)()
        return made

    def _connected(self) -> tuple[Any, str, Mapping[str, str]]:
        """The session of the client, the server that it asks, and the headers that each call has.

        A batch is a connection, and the only one of its own that the client shows.
        """
        connection = self._client().batch()
        return connection.http, connection.API_BASE_URL, {"User-Agent": connection.user_agent, "Accept-Encoding": "gzip"}
