"""The buckets of a project and their lifecycle rules: https://cloud.google.com/storage/docs/json_api/v1/buckets.

Buckets are listed by project, so one look at a project sees each of them once, in regions, dual-regions and multi-regions alike.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from shared.cloud.errors import translated
from shared.cloud.gcs import CALL_TIME, JsonApi, client
from shared.cloud.lazy import Lazy
from shared.cloud.object_batch import segment
from shared.errors import Conflict
from shared.model import Place, Resource, canonical
from shared.ports import Seen

_BUCKET = "name,location,metageneration,labels,lifecycle,softDeletePolicy(retentionDurationSeconds),versioning(enabled),autoclass(enabled)"
_DAY = 86_400


class GcsBuckets:
    """Fulfils `shared.ports.Fleet` for buckets. All methods may be called from several threads."""

    def __init__(self, state_bucket: str, *, patience: float = 20.0) -> None:
        """Nothing is connected before the first call.

        Args:
            state_bucket: The watchdog's own, which is marked as such.
            patience: Seconds for which a call that reads is tried again.
        """
        self._own = state_bucket
        self._api = JsonApi(patience)
        self._client = Lazy(client)

    def list(self, place: Place) -> Seen:
        """All buckets of the place's project, in whichever location; where some cannot be reached, all others and the names of those."""
        resources, unreachable = [], set[str]()
        with translated(f"projects/{place.project}/buckets"):
            for page in self._pages(place.project):
                resources += [self._resource(bucket, _name(bucket, place.project)) for bucket in page.get("items", ())]
                unreachable.update(page.get("unreachable", ()))
        return Seen(tuple(resources), tuple(sorted(unreachable)))

    def get(self, name: str) -> Resource:
        """One bucket, as it is now."""
        return self._resource(self._read(name), name)

    def detail(self, resource: Resource) -> Resource:
        """The same: nothing about a bucket costs further calls."""
        return resource

    def write(self, resource: Resource, wanted: Mapping[str, Any], *, timeout: float) -> None:
        """Add the rules that are wanted and not there, and take away those that are there and not wanted; all others stay as they are.

        A bucket's rules are written as a whole. So they are read right before, and written only if nobody has changed the bucket since it was
        seen: https://cloud.google.com/storage/docs/request-preconditions. A write that is not answered is not repeated here, since a repeat
        would be refused by that very precondition and hide that the write was done.
        """
        if wanted.keys() == resource.state.keys():
            return
        live = self._read(resource.name)
        if live["metageneration"] != resource.etag:
            raise Conflict("its settings were changed since it was seen", resource=resource.name)
        kept = [rule for rule in _rules(live) if canonical(rule) in wanted]
        bucket = self._client().bucket(resource.short_name)
        bucket.lifecycle_rules = [*kept, *(json.loads(rule) for rule in wanted if rule not in resource.state)]
        with translated(resource.name):
            bucket.patch(if_metageneration_match=int(resource.etag), timeout=min(timeout, CALL_TIME), retry=None)

    def _pages(self, project: str) -> Iterator[Mapping[str, Any]]:
        query = {"project": project, "returnPartialSuccess": "true", "fields": f"items({_BUCKET}),nextPageToken,unreachable"}
        after = ""
        while True:
            page = self._api.get("/b", **query, **({"pageToken": after} if after else {}))
            yield page
            after = page.get("nextPageToken", "")
            if not after:
                return

    def _read(self, name: str) -> Mapping[str, Any]:
        with translated(name):
            found: Mapping[str, Any] = self._api.get(f"/b/{segment(name.rpartition('/')[2])}", fields=_BUCKET)
        return found

    def _resource(self, bucket: Mapping[str, Any], name: str) -> Resource:
        soft_delete = int(bucket.get("softDeletePolicy", {}).get("retentionDurationSeconds", 0))
        return Resource(
            kind="bucket",
            name=name,
            labels=bucket.get("labels", {}),
            state={canonical(rule): True for rule in _rules(bucket)},
            etag=bucket["metageneration"],
            facts={
                "watchdog": bucket["name"] == self._own,
                "soft_delete_days": -(-soft_delete // _DAY),
                "versioned": bool(bucket.get("versioning", {}).get("enabled")),
                "autoclass": bool(bucket.get("autoclass", {}).get("enabled")),
            },
        )


def _name(bucket: Mapping[str, Any], project: str) -> str:
    return f"projects/{project}/locations/{bucket['location'].lower()}/buckets/{bucket['name']}"


def _rules(bucket: Mapping[str, Any]) -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = bucket.get("lifecycle", {}).get("rule", [])
    return rules
