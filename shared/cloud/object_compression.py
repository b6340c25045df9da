"""Objects compressed where they are, and made what they were again.

The compressed object lies beside the original, under its name with an ending, and carries in its metadata what it was made from. The original is deleted
once the compressed object was read back as it is stored, decompressed, and has the original's size and CRC32C. A crash costs one part at most: what is
found says how far it is.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from shared.cloud.object_calls import CARRIED, COMPOSED, ObjectCalls, Resource
from shared.cloud.object_parts import GENERATION, SIZES, Parts, joined, made_from, sizes
from shared.cloud.object_streams import Damaged, Sum, compressed, decompressed, pieces
from shared.errors import CloudError, Conflict, Denied, Refused
from shared.model import StorageObject
from shared.ports import DONE, ENDINGS, GOES_ON, NO_TIME, PARTS, Answer, Compression

SPAN = 512 * 1024 * 1024
"""Bytes of the original in one part, and so what a crash can cost at most."""
MOST_PARTS = 512
"""The sizes of more would not fit into an object's metadata: https://docs.cloud.google.com/storage/quotas#objects."""
SAMPLE = 4 * 1024 * 1024
"""Bytes at the beginning, in the middle and at the end that are tried first."""
LEAST_SAVED = 5
"""Percent that have to be saved."""
LONGEST_NAME = 1024
"""Bytes in an object's name: https://docs.cloud.google.com/storage/docs/objects#naming."""

_SIZE, _CRC32C = "cost-watchdog-size", "cost-watchdog-crc32c"
_OURS = frozenset({GENERATION, SIZES, _SIZE, _CRC32C})
Batch = Callable[[str, Sequence[StorageObject]], Sequence[Answer]]


class _Stopped(Exception):
    """There is no time left, or the right to write is gone."""


class _Left(Exception):
    """It is not done, and the original stays."""

    def __init__(self, reason: str, *, held: bool = False) -> None:
        super().__init__(reason)
        self.answer = Answer("held" if held else "refused", reason)


@dataclass
class Compressing:
    """One object on its way to its compressed form or back.

    Attributes:
        calls: The bucket.
        each: The original.
        into: The format.
        go_on: Whether there is time left, and the right to write.
        delete: Deletes originals, as `shared.ports.ObjectStore.delete` does.
        restore: Brings them back, likewise.
        span: Bytes of the original in one part.
    """

    calls: ObjectCalls
    each: StorageObject
    into: Compression
    go_on: Callable[[], bool]
    delete: Batch
    restore: Batch
    span: int = SPAN
    name: str = field(init=False)
    parts: Parts = field(init=False)

    def __post_init__(self) -> None:
        """Nothing is asked yet."""
        self.name = self.each.name + ENDINGS[self.into]
        self.parts = Parts(self.calls, self.name, self.each.generation, self.span, self._still)

    def compress(self) -> Answer:
        """See `shared.ports.ObjectStore.compress`."""
        return self._answered(self._compress)

    def uncompress(self) -> Answer:
        """See `shared.ports.ObjectStore.uncompress`."""
        return self._answered(self._uncompress)

    def _answered(self, work: Callable[[], Answer]) -> Answer:
        try:
            self._still()
            return work()
        except _Stopped:
            return GOES_ON if self.parts.progress else NO_TIME
        except _Left as left:
            return left.answer
        except Denied as error:
            return Answer("denied", str(error))
        except Refused as error:
            return Answer("refused", str(error))
        except CloudError as error:  # what is gone or was changed meanwhile is looked at afresh
            return Answer("unavailable", str(error))

    def _still(self) -> None:
        if not self.go_on():
            raise _Stopped

    def _watched(self, content: Iterator[bytes]) -> Iterator[bytes]:
        for piece in content:
            self._still()
            yield piece

    def _tidy(self) -> None:
        """Small objects are made in one piece, and leave nothing."""
        if self.each.size > self.span:
            self.parts.tidy()

    # there

    def _compress(self) -> Answer:
        original, made = self.calls.find(self.each.name, self.each.generation), self.calls.find(self.name)
        if original is None or "timeDeleted" in original:
            self._tidy()
            if made and self._ours(made):
                return Answer("gone", "it was compressed before", int(made["size"]))
            return Answer("refused", "it was deleted or written anew before it could be compressed")
        try:
            _raise_if_kept(original)
            self._raise_if_unfit()
            self._raise_if_taken(made)
            made = made or self._make(original)
            _raise_if_too_little(int(made["size"]), self.each.size)
            self._raise_if_damaged(made, original)
            answer = self._delete_original()
        except (_Left, Refused):
            self._clear()
            raise
        if answer.fate not in ("done", "gone"):
            return answer  # the next call finds the compressed one
        self._tidy()
        return Answer("done", made=int(made["size"]))

    def _raise_if_unfit(self) -> None:
        size = self.each.size
        if not size or size > self.span * MOST_PARTS:
            raise _Left(f"it is larger than {self.span * MOST_PARTS / 2**30:.0f} GiB" if size else "it is empty")
        if len(f"{self.name}{PARTS}checked-00000".encode()) > LONGEST_NAME:
            raise _Left("its name is too long to put an ending to it")

    def _raise_if_taken(self, made: Resource | None) -> None:
        if made and not self._ours(made):
            raise _Left(f"there is an object {self.name} already, and it was not made from this one")

    def _ours(self, made: Resource) -> bool:
        return made_from(made) == self.each.generation

    def _make(self, original: Resource) -> Resource:
        size, parts = self.each.size, self.parts
        mark = {GENERATION: str(self.each.generation), _SIZE: str(size), _CRC32C: original["crc32c"]}
        like = {**_carried(original), "name": self.name, "metadata": {**original.get("metadata", {}), **mark}}
        if size <= self.span:
            self._try(original)
            return parts.create(like, self._compressed(original, 0, size))
        if not parts.look():
            self._try(original)
        numbers = range(-(-size // self.span))
        groups = [numbers[first : first + COMPOSED] for first in numbers[::COMPOSED]]
        if len(groups) > 1:
            found = [parts.group(group[0], group[-1], _bare(original), partial(self._parts, original, group)) for group in groups]
        else:
            found = self._parts(original, numbers)
        _raise_if_too_little(sum(int(part["size"]) for part in found), size)
        return parts.compose({**like, "metadata": {**like["metadata"], SIZES: joined(found)}}, found)

    def _parts(self, original: Resource, numbers: range) -> list[Resource]:
        bare = _bare(original)
        return [self.parts.part(number, bare, partial(self._compressed, original, number * self.span, self.span)) for number in numbers]

    def _try(self, original: Resource) -> None:
        """Compress some of it for nothing, since most of what cannot be compressed shows at once."""
        size = self.each.size
        spots = (0, size // 2, size - SAMPLE) if size > 3 * SAMPLE else (0,)
        sample = SAMPLE if len(spots) > 1 else size
        packed = sum(len(piece) for first in spots for piece in self._compressed(original, first, sample))
        _raise_if_too_little(packed, sample * len(spots))

    def _compressed(self, original: Resource, first: int, size: int) -> Generator[bytes]:
        with self.calls.opened(original, first, min(size, self.each.size - first)) as source:
            yield from compressed(self._watched(pieces(source)), self.into)

    def _raise_if_damaged(self, made: Resource, original: Resource) -> None:
        """Read it back as it is stored, part by part, and go on where the last call stopped."""
        members = sizes(made)
        large = len(members) > 1 and self.parts.look()
        done, total = self.parts.checked(made) if large else (0, Sum())
        for number in range(done, len(members)):
            total = self._read_back(made, sum(members[:number]), members[number], total)
            if len(members) > 1:
                self.parts.check(number, made, total)
        if (total.size, total.text) != (int(original["size"]), original["crc32c"]):
            raise _Left(f"{self.name} did not hold what it was made from when it was read back")

    def _read_back(self, made: Resource, first: int, size: int, total: Sum) -> Sum:
        try:
            with self.calls.opened(made, first, size) as source:
                for piece in self._watched(_no_more_than(self.each.size - total.size, decompressed(source, self.into))):
                    total = total.plus(piece)
        except Damaged as error:
            raise _Left(f"{self.name} could not be decompressed when it was read back: {error}") from error
        return total

    def _delete_original(self) -> Answer:
        self._still()
        (answer,) = self.delete(self.calls.bucket, [self.each])
        if answer.fate == "changed":
            raise _Left("it was written anew while it was being compressed")
        if answer.fate in ("held", "refused"):
            raise _Left(answer.reason, held=answer.fate == "held")
        return answer

    def _clear(self) -> None:
        """Leave nothing but the original."""
        made = self.calls.find(self.name)
        if made and self._ours(made):
            self.calls.delete(made)
        self._tidy()

    # and back

    def _uncompress(self) -> Answer:
        for _ in range(2):
            live, made = self.calls.find(self.each.name), self.calls.find(self.name)
            ours = made if made and self._ours(made) else None
            if live:
                return self._back(live, ours)
            (answer,) = self.restore(self.calls.bucket, [self.each])
            if answer.fate not in ("done", "gone", "changed"):
                return answer
            if answer.fate == "gone" and ours is None:
                return Answer("gone", "it is no longer kept, and there is nothing that it could be made from")
            if answer.fate == "gone" and ours:
                self._unpack(ours)
        return Answer("unavailable", "it is written and deleted again all the time")

    def _back(self, live: Resource, ours: Resource | None) -> Answer:
        unchanged = int(live["generation"]) == self.each.generation
        if not unchanged and (int(live["size"]), live.get("crc32c")) != (self.each.size, self.each.crc32c):
            return Answer("changed", "another object of this name is there now")
        self._still()
        if ours:
            self.calls.delete(ours)
        self._tidy()
        return Answer("unchanged") if unchanged else DONE

    def _unpack(self, ours: Resource) -> None:
        """Make the original anew, since the platform keeps it no longer."""
        metadata = {name: value for name, value in ours["metadata"].items() if name not in _OURS}
        like = {**_carried(ours), "name": self.each.name, **({"metadata": metadata} if metadata else {})}
        try:
            self._still()
            made = self.calls.create(like, self._unpacked(ours))
        except Conflict:
            return  # there is one by now; what it is shows when it is looked at
        except Damaged as error:
            raise _Left(f"{self.name} cannot be decompressed: {error}") from error
        if (int(made["size"]), made["crc32c"]) != (self.each.size, self.each.crc32c):
            self.calls.delete(made)
            raise _Left(f"{self.name} does not hold what was compressed")

    def _unpacked(self, ours: Resource) -> Generator[bytes]:
        with self.calls.opened(ours, 0, int(ours["size"])) as source:
            yield from self._watched(_no_more_than(self.each.size, decompressed(source, self.into)))


def _no_more_than(size: int, content: Iterator[bytes]) -> Iterator[bytes]:
    """The content, as long as it is no larger: what somebody else put there may become a thousand times its size."""
    for piece in content:
        size -= len(piece)
        if size < 0:
            raise Damaged("it holds more than was compressed")
        yield piece


def _carried(each: Resource) -> dict[str, Any]:
    return {name: each[name] for name in CARRIED if name in each}


def _bare(each: Resource) -> dict[str, Any]:
    """What a part has to have of the original: what is put together is of one class."""
    return {name: each[name] for name in ("storageClass", "kmsKeyName") if name in each}


def _raise_if_kept(original: Resource) -> None:
    held = "a temporary hold" if original.get("temporaryHold") else "an event-based hold" if original.get("eventBasedHold") else ""
    if held:
        raise _Left(f"it is kept by {held}", held=True)
    if "retentionExpirationTime" in original:  # in such a bucket what is made on the way could not be deleted
        raise _Left("the bucket or the object has a retention policy", held=True)
    if original.get("contentEncoding"):
        raise _Left(f"it is stored with the content encoding {original['contentEncoding']}")
    if not original.get("crc32c"):
        raise _Left("it is encrypted with a key that only its owner has, so it cannot be read")


def _raise_if_too_little(packed: int, size: int) -> None:
    saved = max(100 - -(-100 * packed // size), 0)
    if saved < LEAST_SAVED:
        raise _Left(f"compressing it would save only {saved}%")
