"""What the caller may do: `testIamPermissions` of the Resource Manager and of Cloud Storage, which need no permission themselves.

https://cloud.google.com/iam/docs/testing-permissions
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from shared.cloud.channel import connect
from shared.cloud.errors import translated
from shared.cloud.gcs import JsonApi
from shared.cloud.lazy import Lazy
from shared.cloud.object_batch import segment
from shared.cloud.run_calls import read_options

AT_ONCE = 100
"""Permissions in one question at most: https://cloud.google.com/storage/docs/json_api/v1/buckets/testIamPermissions and .../projects.testIamPermissions."""


class CallersPermissions:
    """Fulfils `shared.ports.Permissions`. All methods may be called from several threads."""

    def __init__(self, emulator: str | None = None, *, patience: float = 10.0) -> None:
        """Nothing is connected before the first call.

        Args:
            emulator: ``host:port`` of a plaintext server of the Resource Manager; None is Google's own.
            patience: Seconds for which a question to Cloud Storage is asked again.
        """
        self._projects = Lazy(lambda: connect("google.cloud.resourcemanager_v3", "ProjectsClient", emulator))
        self._storage = JsonApi(patience)

    def number_of(self, project: str) -> str:
        """The project's number."""
        name = f"projects/{project}"
        with translated(name):
            found = self._projects().get_project({"name": name}, **read_options())
        return str(found.name).removeprefix("projects/")

    def held_on_project(self, project: str, permissions: Iterable[str]) -> frozenset[str]:
        """Those of the permissions that the caller has on the project."""
        name, held = f"projects/{project}", set[str]()
        for some in _groups(permissions):
            with translated(name):
                answer = self._projects().test_iam_permissions({"resource": name, "permissions": some}, **read_options())
            held.update(answer.permissions)
        return frozenset(held)

    def held_on_bucket(self, bucket: str, permissions: Iterable[str]) -> frozenset[str]:
        """Those of the permissions that the caller has on the bucket."""
        held = set[str]()
        for some in _groups(permissions):
            with translated(f"gs://{bucket}"):
                answer: Any = self._storage.get(f"/b/{segment(bucket)}/iam/testPermissions", permissions=some)
            held.update(answer.get("permissions", ()))
        return frozenset(held)


def _groups(permissions: Iterable[str]) -> list[list[str]]:
    named = sorted(set(permissions))
    return [named[first : first + AT_ONCE] for first in range(0, len(named), AT_ONCE)]
