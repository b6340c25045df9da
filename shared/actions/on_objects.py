"""What the actions on objects have in common: which buckets, which folder, from which age on, and how much at most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator, Field

from shared.policy.fields import BucketName, Bytes, Duration, Part, longer_than_nothing
from shared.policy.text import show

PERMISSIONS = frozenset(
    {
        "storage.buckets.get",
        "storage.objects.create",
        "storage.objects.delete",
        "storage.objects.get",
        "storage.objects.list",
        "storage.objects.restore",
    }
)
"""What it takes, on the bucket, to delete objects or put others in their place, and to bring them back; failed runs too."""


def folder(text: str) -> str:
    """A folder in a bucket, with its slash; empty is the whole bucket.

    Raises:
        ValueError: It does not end with a slash, so that names beside the folder would begin the same, or it has empty parts or wildcards.
    """
    if text and (not text.endswith("/") or text.startswith("/") or "//" in text):
        raise ValueError(f"{show(text)} is no folder; write it with / at its end and nowhere else at an edge, such as checkpoints/")
    if any(character in "*?[]" or not character.isprintable() for character in text):
        raise ValueError(f"{show(text)} holds characters that have no meaning in a folder; wildcards do not count here")
    return text


class ObjectLimits(Part):
    """How much one bucket may lose at once; a plan over a limit is refused whole, and reported."""

    objects: int = Field(default=1_000_000, ge=0, strict=True, description="Objects at most.")
    bytes: Bytes = Field(default=5 * 2**40, description="Data at most.")


class OnObjects(Part):
    """The parameters that all of them have.

    Attributes:
        buckets: The buckets' names.
        prefix: The folder that it keeps to; the whole bucket where absent.
        older_than: Only what is older.
        limits: How much at most.
        require_soft_delete: Whether it is done only where it can be undone.
    """

    buckets: tuple[BucketName, ...] = Field(min_length=1, description="The buckets' names.")
    prefix: Annotated[str, AfterValidator(folder)] = Field(
        default="", description="The folder that it keeps to; the whole bucket where absent."
    )
    older_than: Annotated[Duration, AfterValidator(longer_than_nothing)] = Field(description="Only what is older than this.")
    limits: ObjectLimits = Field(default_factory=ObjectLimits, description="How much at most in one bucket.")
    require_soft_delete: bool = Field(default=True, strict=True, description="Only where the bucket keeps deleted objects for a while.")

    def extent(self) -> Sequence[tuple[str, str]]:
        """Each bucket with the folder."""
        return [(bucket, self.prefix) for bucket in self.buckets]
