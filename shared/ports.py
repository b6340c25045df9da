"""All that the watchdog may do to the world, as Protocols; `shared.cloud` fulfils them over the wire, the tests in memory.

Every method raises a `shared.errors.CloudError` and nothing else of a vendor's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from shared.model import NO_LABELS, Place, Resource


@dataclass(frozen=True, slots=True)
class Stored:
    """An object of the state bucket as it was read.

    Attributes:
        data: Its content.
        generation: Cloud Storage's version of it; a write that names another one is refused.
    """

    data: bytes
    generation: int


@dataclass(frozen=True, slots=True)
class Listed:
    """An object of the state bucket as a listing shows it.

    Attributes:
        name: The object's name.
        metadata: Its custom metadata.
    """

    name: str
    metadata: Mapping[str, str] = field(default_factory=dict)


class StateBucket(Protocol):
    """The journal's bucket."""

    def read(self, name: str) -> Stored | None:
        """The object, or None where there is none."""
        ...

    def write(self, name: str, data: bytes, *, generation: int, metadata: Mapping[str, str] = NO_LABELS) -> int:
        """Write the object if its generation still is the one named (0: it must not exist yet) and return the new generation.

        A repeat of a write that arrived although its answer was lost counts as the same write.

        Raises:
            Conflict: Somebody else wrote it meanwhile.
        """
        ...

    def delete(self, name: str, *, generation: int) -> None:
        """Delete the object if its generation still is the one named; one that is gone already is no error.

        Raises:
            Conflict: Somebody else wrote it meanwhile.
        """
        ...

    def list(self, prefix: str) -> Iterable[Listed]:
        """All objects whose names begin with the prefix, in the order of their names."""
        ...


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look at a place found.

    Attributes:
        resources: All that answered, over all pages.
        unreachable: The locations that the platform says it could not ask.
    """

    resources: tuple[Resource, ...]
    unreachable: tuple[str, ...] = ()


class Fleet(Protocol):
    """The resources of one kind, in all places: Cloud Run services, or worker pools."""

    def list(self, place: Place) -> Seen:
        """All resources of a place, over all pages.

        Raises:
            CloudError: The place could not be asked; others may still be.
        """
        ...

    def get(self, name: str) -> Resource:
        """One resource, as it is now.

        Raises:
            Gone: It was deleted.
        """
        ...

    def detail(self, resource: Resource) -> Resource:
        """The same resource with the facts that cost further calls: what its tagged and pinned revisions keep running."""
        ...

    def write(self, resource: Resource, wanted: Mapping[str, Any], *, timeout: float) -> None:
        """Change the resource's state from what it was seen to be to what is wanted, and wait until that is done.

        Args:
            resource: As it was seen; its etag goes with the write.
            wanted: The whole state wanted; only what differs is written.
            timeout: Seconds to follow the operation.

        Raises:
            Conflict: It is no longer as it was seen; nothing was changed.
            Unavailable: No answer, or no end in time; it may or may not be changed.
        """
        ...


@dataclass(frozen=True, slots=True)
class Posted:
    """Where a message stands in Slack.

    Attributes:
        channel: The channel's id.
        ts: The message's timestamp, its id within the channel.
    """

    channel: str
    ts: str


class Messenger(Protocol):
    """Slack."""

    def post(self, channel: str, text: str, blocks: Sequence[Mapping[str, Any]], *, reference: str) -> Posted:
        """Post a message; `reference` is kept in its metadata.

        Raises:
            Unavailable: Slack asks for patience or does not answer; the message may or may not have arrived.
            Refused: Slack does not take this message.
            Denied: The token is not valid, or the app is not in the channel.
        """
        ...

    def find(self, channel: str, reference: str, *, since: datetime) -> Posted | None:
        """The message with this reference in its metadata that was posted since then, if any can be seen."""
        ...


class Tasks(Protocol):
    """The tasks topic: the watchdog's messages to itself."""

    def resume(self, entry: str) -> None:
        """Ask for the entry to be carried on by a fresh invocation."""
        ...


class Clock(Protocol):
    """Time, so that tests need not wait for it."""

    def now(self) -> datetime:
        """The time of day, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since some instant, never going back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


@dataclass(frozen=True, slots=True)
class World:
    """All ports in one hand.

    Attributes:
        state: The journal's bucket.
        fleets: By kind of resource: ``service``, ``worker_pool``.
        messenger: Slack; None where no token is set, and then messages go to the log alone.
        tasks: The tasks topic; None where there is none, and then the tick alone carries on.
        clock: Time.
        workers: How many calls to the cloud may be in flight at once.
    """

    state: StateBucket
    fleets: Mapping[str, Fleet]
    messenger: Messenger | None
    tasks: Tasks | None
    clock: Clock
    workers: int = 32
