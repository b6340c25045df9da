"""The HTTP face of the stand-in for Cloud Storage: what ``google-cloud-storage`` sends, on one port.

Each call asks `Faults` under the API's own name for it (``storage.objects.delete``), inside a batch as well; the batch
as a whole is ``storage.batch``, and every request of an upload is ``storage.objects.insert``. A fault's text is matched
with ``bucket/object``. Where an answer is to be lost, the work is done and the answer is a 503.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox import storage_batch, storage_uploads
from sandbox.faults import Fault, Faults
from sandbox.storage_calls import Call, Parameters, parameters, parse
from sandbox.storage_errors import ApiError, Json, parameter_error
from sandbox.storage_model import Storage
from sandbox.storage_state import Stored
from sandbox.storage_uploads import Session, Sessions, Upload

_INSERT: Final = "storage.objects.insert"
_VERBS: Final = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_RANGE: Final = re.compile(r"bytes=(?:(\d+)-(\d*)|-(\d+))")
_REASONS: Final = {
    401: "authError",
    403: "forbidden",
    404: "notFound",
    408: "requestTimeout",
    409: "conflict",
    412: "conditionNotMet",
    429: "rateLimitExceeded",
    500: "internalError",
    503: "backendError",
}


def app(storage: Storage, faults: Faults | None = None) -> Starlette:
    """The stand-in as an application, to be served at the root of a port."""
    face = _Face(storage, faults or Faults())
    return Starlette(routes=[Route("/{path:path}", face.serve, methods=_VERBS)])


def _lost() -> ApiError:
    return ApiError(503, "backendError", "The answer was lost on its way.")


def _injected(fault: Fault) -> ApiError:
    """The refusal that a fault asks for; its status is an HTTP status."""
    status = int(fault.status or 0)
    return ApiError(status, _REASONS.get(status, "backendError"), f"Injected fault {status}.", retry_after=fault.retry_after)


def _answer(status: int, payload: Json | None, headers: Mapping[str, str] | None = None) -> Response:
    if payload is None:
        return Response(status_code=status, headers=headers)
    return Response(json.dumps(payload), status, headers, "application/json; charset=UTF-8")


def _refused(error: ApiError) -> Response:
    headers = {"Retry-After": str(error.retry_after)} if error.retry_after is not None else None
    return _answer(error.status, None if error.status == 304 else error.body(), headers)


class _Face:
    """One application: the storage, its faults, and the resumable sessions that are under way."""

    def __init__(self, storage: Storage, faults: Faults) -> None:
        self._storage = storage
        self._faults = faults
        self._sessions = Sessions()

    async def serve(self, request: Request) -> Response:
        """Answer any request, a refusal as the JSON API words it."""
        self._storage.origin = f"{request.url.scheme}://{request.headers.get('host', 'localhost')}"
        path = request.scope["raw_path"].decode("ascii")
        body = await request.body()
        try:
            if path == storage_batch.PATH:
                return await self._batch(request, body)
            if upload := storage_uploads.PATH.fullmatch(path):
                return await self._upload(unquote(upload[1]), request, body)
            return await self._call(request, path.removeprefix("/download"), body)
        except ApiError as error:
            return _refused(error)

    async def _strike(self, method: str, resource: str, latency: float) -> Fault | None:
        """Take the fault that hits this call, and act on all of it that comes before the work."""
        fault = self._faults.strike(method, resource)
        pause = latency + (fault.delay if fault else 0.0)
        if pause:
            await asyncio.sleep(pause)
        if fault and fault.crash:
            os._exit(137)
        if fault and fault.status is not None:
            raise _injected(fault)
        return fault

    # -- calls and batches ---------------------------------------------------------------------------------------

    async def _call(self, request: Request, path: str, body: bytes) -> Response:
        call = parse(request.method, path, request.url.query, body)
        fault = await self._strike(call.kind.method, call.resource, self._faults.latency)
        response = self._media(call, request.headers) if call.media else _answer(*call.perform(self._storage))
        if fault and fault.drop_answer:
            raise _lost()
        return response

    async def _batch(self, request: Request, body: bytes) -> Response:
        fault = await self._strike("storage.batch", "", self._faults.latency)
        calls = storage_batch.unpack(request.headers.get("content-type", ""), body)
        content_type, content = storage_batch.pack([await self._inner(inner) for inner in calls])
        if fault and fault.drop_answer:
            raise _lost()
        return Response(content, media_type=content_type)

    async def _inner(self, inner: storage_batch.Inner) -> str:
        """One call of a batch: its refusal is its own and leaves the others alone."""
        try:
            call = parse(inner.verb, inner.path, inner.query, inner.body)
            if call.media:
                raise parameter_error("alt", "A batch cannot download.")
            fault = await self._strike(call.kind.method, call.resource, 0.0)
            status, payload = call.perform(self._storage)
            if fault and fault.drop_answer:
                raise _lost()
        except ApiError as error:
            headers = f"Retry-After: {error.retry_after}\r\n" if error.retry_after is not None else ""
            return storage_batch.answer(inner, error.status, error.body(), headers)
        return storage_batch.answer(inner, status, payload)

    # -- bytes out -----------------------------------------------------------------------------------------------

    def _media(self, call: Call, headers: Mapping[str, str]) -> Response:
        """An object's bytes, whole or in part.

        Objects stored with gzip are sent decompressed to a client that does not accept gzip.
        Source: https://cloud.google.com/storage/docs/transcoding
        """
        resource = call.perform(self._storage)[1] or {}
        bucket, name = call.names
        stored = self._storage.get(bucket, name, int(resource["generation"]))
        if stored.data is None:
            raise ApiError(501, "notImplemented", f"This stand-in keeps only the size of {bucket}/{name}, not its bytes.")
        fixed = _media_headers(stored, resource)
        if resource.get("contentEncoding") == "gzip" and "gzip" not in headers.get("accept-encoding", ""):
            del fixed["content-encoding"]
            return Response(gzip.decompress(stored.data), 200, fixed, stored.content_type)
        asked = _RANGE.fullmatch(headers.get("range", ""))
        if asked is None:
            return Response(stored.data, 200, fixed, stored.content_type)
        start, end = _span(asked, stored.size)
        if start >= stored.size:
            return Response(None, 416, {"content-range": f"bytes */{stored.size}"})
        fixed["content-range"] = f"bytes {start}-{end - 1}/{stored.size}"
        return Response(stored.data[start:end], 206, fixed, stored.content_type)

    # -- bytes in ------------------------------------------------------------------------------------------------

    async def _upload(self, bucket: str, request: Request, body: bytes) -> Response:
        given = parameters(request.url.query)
        if "upload_id" in given:
            return await self._resume(self._sessions.find(given["upload_id"]), request, body)
        how = given.get("uploadType")
        if request.method != "POST" or how not in {"media", "multipart", "resumable"}:
            raise parameter_error("uploadType", f"Invalid value for uploadType: {how!r} is not media, multipart or resumable.")
        if how == "resumable":
            return await self._begin(bucket, given, request, body)
        if how == "media":
            upload = storage_uploads.simple(bucket, given, request.headers)
        else:
            upload, body = storage_uploads.multipart(bucket, given, request.headers, body)
        fault = await self._strike_upload(upload)
        done = upload.store(self._storage, body, request.headers.get("x-goog-hash", ""))
        if fault and fault.drop_answer:
            raise _lost()
        return _answer(200, done)

    async def _strike_upload(self, upload: Upload) -> Fault | None:
        return await self._strike(_INSERT, f"{upload.bucket}/{upload.name}", self._faults.latency)

    async def _begin(self, bucket: str, given: Parameters, request: Request, body: bytes) -> Response:
        upload = storage_uploads.resumable(bucket, given, request.headers, body)
        fault = await self._strike_upload(upload)
        self._storage.demand(bucket, "storage.objects.create")
        self._storage.get_bucket(bucket)
        upload_id = self._sessions.begin(upload, request.headers.get("x-upload-content-length"))
        if fault and fault.drop_answer:
            raise _lost()
        location = f"{self._storage.origin}{request.url.path}?uploadType=resumable&upload_id={upload_id}"
        return Response(status_code=200, headers={"location": location, "x-guploader-uploadid": upload_id})

    async def _resume(self, session: Session, request: Request, body: bytes) -> Response:
        fault = await self._strike_upload(session.upload)
        if request.method == "DELETE":
            session.cancelled = True
            return Response(status_code=499)
        headers = request.headers
        done = session.receive(self._storage, headers.get("content-range"), body, headers.get("x-goog-hash", ""))
        if fault and fault.drop_answer:
            raise _lost()
        if done:
            return _answer(200, done)
        return Response(status_code=308, headers={"range": f"bytes=0-{len(session.data) - 1}"} if session.data else None)


def _span(asked: re.Match[str], size: int) -> tuple[int, int]:
    """The first byte of a range and the one behind its last."""
    if asked[3]:
        return max(size - int(asked[3]), 0), size
    return int(asked[1]), min(int(asked[2]) + 1, size) if asked[2] else size


def _media_headers(stored: Stored, resource: Json) -> dict[str, str]:
    hashes = f"crc32c={stored.crc32c}" + (f",md5={stored.md5}" if stored.md5 else "")
    headers = {
        "accept-ranges": "bytes",
        "etag": resource["etag"],
        "x-goog-generation": str(stored.generation),
        "x-goog-metageneration": str(stored.metageneration),
        "x-goog-hash": hashes,
        "x-goog-storage-class": stored.storage_class,
        "x-goog-stored-content-encoding": resource.get("contentEncoding", "identity"),
        "x-goog-stored-content-length": str(stored.size),
    }
    for key, header in (
        ("contentEncoding", "content-encoding"),
        ("contentDisposition", "content-disposition"),
        ("contentLanguage", "content-language"),
        ("cacheControl", "cache-control"),
    ):
        if key in resource:
            headers[header] = resource[key]
    return headers
