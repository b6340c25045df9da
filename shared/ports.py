"""All that the watchdog may do to the world, as Protocols; `shared.cloud` fulfils them over the wire, the tests in memory.

Every method raises a `shared.errors.CloudError` and nothing else of a vendor's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal, Protocol

from shared.model import NO_LABELS, BucketFacts, Place, Resource, StorageObject


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


Fate = Literal["done", "gone", "changed", "held", "denied", "unavailable", "refused", "unchanged"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one object of a batch.

    Attributes:
        fate: ``done``; ``gone``: there is nothing of that name and generation (404); ``changed``: another generation is there (412); ``held`` by a
            hold or a retention; ``denied``: a permission is missing; ``unavailable``: the same may work later; ``refused``: anything else;
            ``unchanged``: what was to be undone had never been done.
        reason: The platform's words, empty where it is done.
        made: Bytes of the object that is there in its place now, where one was made.
    """

    fate: Fate
    reason: str = ""
    made: int = 0


DONE = Answer("done")
GOES_ON = Answer("unavailable", "there was no time for all of it; it goes on from where it is")
"""Something of it was done, and the next call finds that."""
NO_TIME = Answer("unavailable", "there was no time for it")
"""Nothing of it was done."""
BATCH = 100
"""Calls in one batch at most: https://docs.cloud.google.com/storage/docs/batch"""


Compression = Literal["gzip", "zstd"]
ENDINGS: Mapping[Compression, str] = MappingProxyType({"gzip": ".gz", "zstd": ".zst"})
"""What the name of a compressed object ends with."""
PARTS = ".parts/"
"""What comes behind the name of a compressed object, in the names of what it is put together of: ``NAME.zst.parts/00000``."""


class ObjectStore(Protocol):
    """The buckets that are watched. All methods may be called from several threads."""

    def facts(self, bucket: str) -> BucketFacts:
        """What the bucket is like.

        Raises:
            Gone: There is no such bucket.
        """
        ...

    def pages(self, bucket: str, prefix: str, *, after: str = "", versions: bool = False) -> Iterator[Sequence[StorageObject]]:
        """All objects whose names begin with the prefix, in the order of their names, page by page; no page is empty.

        Args:
            bucket: The bucket's name.
            prefix: A whole folder, ending with a slash; empty for the whole bucket.
            after: Only what comes after this name.
            versions: Noncurrent generations too; those of one name then come in the order of their generations.
        """
        ...

    def folders(self, bucket: str, prefix: str) -> Iterator[str]:
        """The folders directly below the prefix, each with its slash at the end, in order."""
        ...

    def find(self, bucket: str, name: str) -> StorageObject | None:
        """The live object of this name, or None."""
        ...

    def read(self, bucket: str, name: str, *, generation: int, limit: int) -> bytes:
        """The content of one generation.

        Raises:
            Gone: There is no such generation.
            Refused: It is larger than `limit` bytes.
        """
        ...

    def delete(self, bucket: str, objects: Sequence[StorageObject]) -> Sequence[Answer]:
        """Delete these generations, at most `BATCH` of them, if they still are the live ones; one answer for each, in order.

        In a bucket with versions what is deleted stays as a noncurrent version. A noncurrent generation is deleted for good.

        Raises:
            CloudError: The batch as a whole was not answered; any of it may be done.
        """
        ...

    def restore(self, bucket: str, objects: Sequence[StorageObject]) -> Sequence[Answer]:
        """Bring soft-deleted generations back, at most `BATCH` of them, where no object of the name is live; one answer for each, in order.

        ``changed`` means that an object of the name is live. In a bucket with versions the noncurrent generation is copied where it still is there.

        Raises:
            CloudError: The batch as a whole was not answered; any of it may be done.
        """
        ...

    def compress(self, bucket: str, each: StorageObject, *, into: Compression, go_on: Callable[[], bool]) -> Answer:
        """Put a compressed object in the place of this generation, beside it under its name with an ending of `ENDINGS`.

        The generation is deleted, as by `delete`, only after the compressed object was read back as it is stored, and is what it should be. Whatever
        happens on the way, doing it again goes on from there. ``gone``: it was done before. ``refused``: it is not done, and everything is as it was.

        Args:
            bucket: The bucket's name.
            each: A live generation.
            into: The format.
            go_on: Whether there is time left, and the right to write; asked before each write and every few moments. `GOES_ON` or `NO_TIME` is
                answered where it says no.
        """
        ...

    def uncompress(self, bucket: str, each: StorageObject, *, into: Compression, go_on: Callable[[], bool]) -> Answer:
        """Undo `compress`: bring this generation back, made from the compressed object where it is kept no longer, and delete the compressed one.

        ``unchanged``: it was never compressed, or not to the end. ``changed``: another object of the name is live; then both stay. ``gone``: there is
        nothing that it could be made from.
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
    """Slack.

    Attributes:
        talks_back: Whether messages can be answered, changed and pressed; an incoming webhook only takes them.
    """

    talks_back: bool

    def post(
        self, channel: str, text: str, blocks: Sequence[Mapping[str, Any]], *, reference: str, thread: str = "", broadcast: bool = False
    ) -> Posted:
        """Post a message; `reference` is kept in its metadata.

        Args:
            channel: Its name or id.
            text: The whole of it in short.
            blocks: The same as Block Kit; may be empty.
            reference: What it is found by.
            thread: The timestamp of the message that it answers; empty where it stands by itself.
            broadcast: Whether an answer is shown in the channel, too.

        Raises:
            Unavailable: Slack asks for patience or does not answer; the message may or may not have arrived.
            Refused: Slack does not take this message.
            Denied: The token is not valid, or the app is not in the channel.
            Gone: The message that it answers was deleted.
        """
        ...

    def update(self, posted: Posted, text: str, blocks: Sequence[Mapping[str, Any]]) -> None:
        """Change what a message says; whatever its metadata is, it stays.

        Raises:
            Gone: The message was deleted.
            CloudError: As for a new one.
        """
        ...

    def find(self, channel: str, reference: str, *, since: datetime, thread: str = "") -> Posted | None:
        """The message with this reference in its metadata that was posted since then, in the channel or in a thread, if any can be seen."""
        ...

    def members(self, group: str) -> frozenset[str]:
        """The ids of the users in a user group.

        Raises:
            CloudError: They cannot be seen.
        """
        ...

    def answer(self, address: str, text: str) -> None:
        """Answer a person's request at the address that came with it; only that person sees it.

        Raises:
            Gone: The address has been used too often, or for too long.
            Refused: It is no address of Slack's.
            Unavailable: Slack does not answer.
        """
        ...

    def whisper(self, channel: str, user: str, text: str) -> None:
        """Say something in a channel that only this person sees.

        Raises:
            CloudError: As for a message.
        """
        ...


class Tasks(Protocol):
    """The tasks topic: the watchdog's messages to itself."""

    def resume(self, entry: str) -> None:
        """Ask for the entry to be carried on by a fresh invocation."""
        ...

    def answer(self, request: str) -> None:
        """Ask for what a person asked for in Slack to be done by a fresh invocation."""
        ...


class Permissions(Protocol):
    """What the caller itself may do; asking needs no permission."""

    def number_of(self, project: str) -> str:
        """The project's number."""
        ...

    def held_on_project(self, project: str, permissions: Iterable[str]) -> frozenset[str]:
        """Those of the permissions that the caller has on the project."""
        ...

    def held_on_bucket(self, bucket: str, permissions: Iterable[str]) -> frozenset[str]:
        """Those of the permissions that the caller has on the bucket."""
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
        objects: The buckets that are watched.
        messenger: Slack; None where no token is set, and then messages go to the log alone.
        tasks: The tasks topic; None where there is none, and then the tick alone carries on.
        clock: Time.
        permissions: What the watchdog may do; None where nobody asks.
        workers: How many calls to the cloud may be in flight at once.
    """

    state: StateBucket
    fleets: Mapping[str, Fleet]
    objects: ObjectStore
    messenger: Messenger | None
    tasks: Tasks | None
    clock: Clock
    permissions: Permissions | None = None
    workers: int = 32
