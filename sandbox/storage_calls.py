"""The calls of the JSON API: a verb and a target in, a status and a document out. Bytes of objects travel elsewhere.

The same calls arrive one by one and inside a batch, so nothing here knows of connections.
Unknown parameters and fields are refused, so that a misspelt one is noticed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote, unquote_plus

from sandbox import storage_compose, storage_fields
from sandbox.storage_errors import ApiError, Json, parameter_error, parameter_required
from sandbox.storage_listing import MAX_RESULTS, Query, page_token, token_name
from sandbox.storage_model import Storage
from sandbox.storage_state import UNCONDITIONAL, Conditions

Parameters = dict[str, str]
Answer = tuple[int, Json | None]

PREFIX: Final = "/storage/v1/"
COMMON: Final = frozenset({"alt", "fields", "key", "prettyPrint", "projection", "quotaUser", "uploadType", "userIp", "userProject"})
CONDITIONS: Final = frozenset({"ifGenerationMatch", "ifGenerationNotMatch", "ifMetagenerationMatch", "ifMetagenerationNotMatch"})
_BUCKET_CONDITIONS: Final = frozenset({"ifMetagenerationMatch", "ifMetagenerationNotMatch"})
_STARS: Final = (1, 3, 6, 8)
_SOURCE_CONDITIONS: Final = frozenset(f"ifSource{name[2:]}" for name in CONDITIONS)


@dataclass(frozen=True, slots=True)
class Call:
    """One request, taken apart.

    Attributes:
        kind: What is asked for.
        names: The bucket, the object, and for a copy the destination's bucket and object.
    """

    kind: Kind
    names: tuple[str, ...]
    parameters: Parameters
    body: bytes

    @property
    def resource(self) -> str:
        """``bucket/object``, ``bucket`` or nothing: what a fault can be aimed at."""
        return "/".join(self.names[:2])

    @property
    def media(self) -> bool:
        """Whether the object's bytes are asked for instead of its metadata."""
        return self.kind is OBJECT_GET and self.parameters.get("alt") == "media"

    def perform(self, storage: Storage) -> Answer:
        """Do what the call says.

        Raises:
            ApiError: As the service refuses it.
        """
        kind = self.kind
        if not self.parameters.keys() <= kind.parameters:
            unknown = min(self.parameters.keys() - kind.parameters)
            raise parameter_error(unknown, f'Invalid query parameter: "{unknown}" is not one of {kind.method}.')
        if storage.denied and self.names:
            storage.demand(self.names[0], kind.permission or kind.method)
        status, answer = kind.run(storage, self)
        if answer is not None and kind.shape and not self.media and (fields := self.parameters.get("fields")):
            answer = storage_fields.select(fields, answer, kind.shape)
        return status, answer


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """A method of the API.

    Attributes:
        method: Its name; also that of the permission, unless `permission` says otherwise.
        shape: The names that its answer may have.
    """

    method: str
    run: Callable[[Storage, Call], Answer]
    parameters: frozenset[str] = COMMON
    shape: storage_fields.Shape | None = None
    permission: str = ""


def parameters(query: str) -> Parameters:
    """A query string taken apart; only ``permissions`` may come more than once, and is then separated by commas.

    Raises:
        ApiError: 400 for anything else that comes twice.
    """
    result: Parameters = {}
    if not query:
        return result
    for pair in query.split("&"):
        key, _, value = pair.partition("=")
        if "%" in value or "+" in value:
            value = unquote_plus(value)
        if key in result:
            if key != "permissions":
                raise parameter_error(key, f'Invalid query parameter: "{key}" is given twice.')
            value = f"{result[key]},{value}"
        result[key] = value
    return result


def number(given: Mapping[str, Any], name: str) -> int | None:
    """A parameter that is a whole number, or none where it is absent.

    Raises:
        ApiError: 400 where it is something else.
    """
    text = given.get(name)
    if text is None:
        return None
    try:
        return int(text)
    except (TypeError, ValueError):
        raise parameter_error(name, f"Invalid value for {name}: {text!r} is not a whole number.") from None


def _flag(given: Parameters, name: str) -> bool:
    text = given.get(name, "false").lower()
    if text not in {"true", "false"}:
        raise parameter_error(name, f"Invalid value for {name}: {text!r} is neither true nor false.")
    return text == "true"


def conditions(given: Parameters, prefix: str = "if") -> Conditions:
    """The preconditions of a request.

    Raises:
        ApiError: 400 where one is not a number.
    """
    if not any(key.startswith("if") for key in given):
        return UNCONDITIONAL
    names = ("GenerationMatch", "GenerationNotMatch", "MetagenerationMatch", "MetagenerationNotMatch")
    return Conditions(*(number(given, prefix + name) for name in names))


def document(body: bytes) -> Json:
    """A JSON body; an absent one is an empty object.

    Raises:
        ApiError: 400 where it is not a JSON object.
    """
    if not body.strip():
        return {}
    try:
        value = json.loads(body)
    except ValueError:
        raise ApiError(400, "parseError", "Parse Error: the body is not JSON.") from None
    if not isinstance(value, dict):
        raise ApiError(400, "parseError", "Parse Error: the body is not a JSON object.")
    return value


def parse(verb: str, path: str, query: str, body: bytes) -> Call:
    """Take a request apart. The path is the one of the wire, with its percent signs.

    Raises:
        ApiError: 400 for a query that cannot be read, 501 for a method that the stand-in does not have.
    """
    segments = path.removeprefix(PREFIX).split("/") if path.startswith(PREFIX) else []
    stars = _STARS if segments[2:3] == ["o"] else _STARS[:1]
    names = tuple(unquote(segments[at]) for at in stars if at < len(segments))
    for at in stars[: len(names)]:
        segments[at] = "*"
    kind = _KINDS.get((verb, "/".join(segments)))
    if kind is None:
        raise ApiError(501, "notImplemented", f"This stand-in for Cloud Storage has no {verb} {path}.")
    return Call(kind, names, parameters(query), body)


# -- buckets ---------------------------------------------------------------------------------------------------------


def _bucket_insert(storage: Storage, call: Call) -> Answer:
    body = document(call.body)
    if "project" not in call.parameters:
        raise parameter_required("project")
    return 200, storage.insert_bucket(body, call.parameters["project"])


def _bucket_list(storage: Storage, call: Call) -> Answer:
    given = call.parameters
    if "project" not in given:
        raise parameter_required("project")
    after = token_name(given["pageToken"]) if given.get("pageToken") else ""
    limit = min(number(given, "maxResults") or MAX_RESULTS, MAX_RESULTS)
    items, more = storage.list_buckets(given["project"], given.get("prefix", ""), after, limit)
    answer: Json = {"kind": "storage#buckets", "items": items}
    if more:
        answer["nextPageToken"] = page_token(items[-1]["name"], 0)
    if storage.unreachable and _flag(given, "returnPartialSuccess"):
        answer["unreachable"] = [f"projects/_/buckets/{name}" for name in sorted(storage.unreachable)]
    return 200, answer


def _bucket_get(storage: Storage, call: Call) -> Answer:
    return 200, storage.get_bucket(call.names[0], conditions(call.parameters))


def _bucket_patch(storage: Storage, call: Call) -> Answer:
    return 200, storage.patch_bucket(call.names[0], document(call.body), conditions(call.parameters))


def _bucket_update(storage: Storage, call: Call) -> Answer:
    return 200, storage.patch_bucket(call.names[0], document(call.body), conditions(call.parameters), replace=True)


def _bucket_delete(storage: Storage, call: Call) -> Answer:
    storage.delete_bucket(call.names[0], conditions(call.parameters))
    return 204, None


def _bucket_permissions(storage: Storage, call: Call) -> Answer:
    asked = call.parameters.get("permissions", "")
    if not asked:
        raise parameter_required("permissions")
    storage.get_bucket(call.names[0])
    return 200, {"kind": "storage#testIamPermissionsResponse", "permissions": storage.permitted(call.names[0], asked.split(","))}


# -- objects ---------------------------------------------------------------------------------------------------------


def _object_get(storage: Storage, call: Call) -> Answer:
    bucket, name = call.names
    given = call.parameters
    soft_deleted = _flag(given, "softDeleted")
    stored = storage.get(bucket, name, number(given, "generation"), conditions(given), soft_deleted=soft_deleted)
    return 200, storage.resource(bucket, stored)


def _object_list(storage: Storage, call: Call) -> Answer:
    given = call.parameters
    limit = number(given, "maxResults")
    if limit is not None and limit < 1:
        raise parameter_error("maxResults", "Invalid value for maxResults: it is at least 1.")
    query = Query(
        prefix=given.get("prefix", ""),
        delimiter=given.get("delimiter", ""),
        start_offset=given.get("startOffset", ""),
        end_offset=given.get("endOffset", ""),
        match_glob=given.get("matchGlob", ""),
        page_token=given.get("pageToken", ""),
        max_results=limit or MAX_RESULTS,
        versions=_flag(given, "versions"),
        soft_deleted=_flag(given, "softDeleted"),
        trailing_delimiter=_flag(given, "includeTrailingDelimiter"),
    )
    return 200, storage.list_objects(call.names[0], query)


def _object_patch(storage: Storage, call: Call) -> Answer:
    bucket, name = call.names
    given = call.parameters
    return 200, storage.patch(bucket, name, document(call.body), number(given, "generation"), conditions(given))


def _object_update(storage: Storage, call: Call) -> Answer:
    bucket, name = call.names
    given = call.parameters
    return 200, storage.patch(bucket, name, document(call.body), number(given, "generation"), conditions(given), replace=True)


def _object_delete(storage: Storage, call: Call) -> Answer:
    bucket, name = call.names
    given = call.parameters
    storage.delete(bucket, name, number(given, "generation") if given else None, conditions(given))
    return 204, None


def _object_restore(storage: Storage, call: Call) -> Answer:
    bucket, name = call.names
    given = call.parameters
    return 200, storage.restore(bucket, name, number(given, "generation"), conditions(given))


def _object_compose(storage: Storage, call: Call) -> Answer:
    bucket, name = call.names
    storage.demand(bucket, "storage.objects.create")
    asked = storage_compose.read(document(call.body))
    return 200, storage.compose(bucket, name, asked, conditions(call.parameters), key=call.parameters.get("kmsKeyName"))


def _copied(storage: Storage, call: Call) -> Json:
    source_bucket, source, bucket, name = call.names
    given = call.parameters
    storage.demand(bucket, "storage.objects.create")
    return storage.rewrite(
        (source_bucket, source, number(given, "sourceGeneration")),
        (bucket, name),
        document(call.body),
        conditions(given, "ifSource"),
        conditions(given),
        method=call.kind.method,
    )


def _object_copy(storage: Storage, call: Call) -> Answer:
    return 200, _copied(storage, call)


def _object_rewrite(storage: Storage, call: Call) -> Answer:
    copied = _copied(storage, call)
    size = copied["size"]
    return 200, {"kind": "storage#rewriteResponse", "totalBytesRewritten": size, "objectSize": size, "done": True, "resource": copied}


def _kind(
    method: str, run: Callable[[Storage, Call], Answer], extra: frozenset[str], shape: storage_fields.Shape | None, permission: str = ""
) -> Kind:
    return Kind(f"storage.{method}", run, COMMON | extra, shape, permission and f"storage.{permission}")


_ONE = frozenset({"generation"}) | CONDITIONS
_PAGED = frozenset({"maxResults", "pageToken", "prefix"})
_LISTED = _PAGED | {"delimiter", "endOffset", "includeTrailingDelimiter", "matchGlob", "softDeleted", "startOffset", "versions"}
_COMPOSED = frozenset({"kmsKeyName", "ifGenerationMatch", "ifMetagenerationMatch"})
_COPIED = frozenset({"sourceGeneration"}) | CONDITIONS | _SOURCE_CONDITIONS

OBJECT_GET: Final = _kind("objects.get", _object_get, _ONE | {"softDeleted"}, storage_fields.OBJECT)
_KINDS: Final[dict[tuple[str, str], Kind]] = {
    ("POST", "b"): _kind("buckets.insert", _bucket_insert, frozenset({"project"}), storage_fields.BUCKET, "buckets.create"),
    ("GET", "b"): _kind("buckets.list", _bucket_list, _PAGED | {"project", "returnPartialSuccess"}, storage_fields.BUCKETS),
    ("GET", "b/*"): _kind("buckets.get", _bucket_get, _BUCKET_CONDITIONS, storage_fields.BUCKET),
    ("PATCH", "b/*"): _kind("buckets.patch", _bucket_patch, _BUCKET_CONDITIONS, storage_fields.BUCKET, "buckets.update"),
    ("PUT", "b/*"): _kind("buckets.update", _bucket_update, _BUCKET_CONDITIONS, storage_fields.BUCKET),
    ("DELETE", "b/*"): _kind("buckets.delete", _bucket_delete, _BUCKET_CONDITIONS, None),
    ("GET", "b/*/iam/testPermissions"): _kind("buckets.testIamPermissions", _bucket_permissions, frozenset({"permissions"}), None),
    ("GET", "b/*/o"): _kind("objects.list", _object_list, _LISTED, storage_fields.OBJECTS),
    ("GET", "b/*/o/*"): OBJECT_GET,
    ("PATCH", "b/*/o/*"): _kind("objects.patch", _object_patch, _ONE, storage_fields.OBJECT, "objects.update"),
    ("PUT", "b/*/o/*"): _kind("objects.update", _object_update, _ONE, storage_fields.OBJECT),
    ("DELETE", "b/*/o/*"): _kind("objects.delete", _object_delete, _ONE, None),
    ("POST", "b/*/o/*/restore"): _kind("objects.restore", _object_restore, _ONE | {"copySourceAcl"}, storage_fields.OBJECT),
    ("POST", "b/*/o/*/compose"): _kind("objects.compose", _object_compose, _COMPOSED, storage_fields.OBJECT, "objects.get"),
    ("POST", "b/*/o/*/copyTo/b/*/o/*"): _kind("objects.copy", _object_copy, _COPIED, storage_fields.OBJECT, "objects.get"),
    ("POST", "b/*/o/*/rewriteTo/b/*/o/*"): _kind("objects.rewrite", _object_rewrite, _COPIED, storage_fields.REWRITE, "objects.get"),
}
