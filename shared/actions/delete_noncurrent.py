"""``delete_noncurrent``: versions that were replaced or deleted long ago go for good.

In a bucket with object versioning they are stored and billed like live objects until somebody deletes them:
https://docs.cloud.google.com/storage/docs/object-versioning
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from shared.actions import Action
from shared.actions.on_objects import PERMISSIONS, OnObjects
from shared.model import StorageObject


class Params(OnObjects):
    """What stands under ``delete_noncurrent`` in the policy; the age counts from when a version became noncurrent."""


class Noncurrent:
    """Which versions go."""

    versions = True
    operation: Literal["delete", "compress"] = "delete"

    def extent(self, params: Params) -> Sequence[tuple[str, str]]:
        """The buckets with the folder."""
        return params.extent()

    def wants(self, each: StorageObject, params: Params, now: datetime) -> bool:
        """A version that has been noncurrent for long enough."""
        return each.noncurrent_since is not None and now - each.noncurrent_since >= params.older_than


ACTION = Action(
    name="delete_noncurrent",
    params=Params,
    permissions=PERMISSIONS,
    works=Noncurrent(),
)
