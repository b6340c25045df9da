"""What a large object is put together of: parts in a folder beside it, which a later call finds again.

    NAME.zst.parts/00000           what came of one stretch of the original
    NAME.zst.parts/00000-00031     so many of them put together, where there are more than one call takes
    NAME.zst.parts/checked-00000   a note: so far the whole has been read back

All of them carry in their metadata which generation they were made from. What was made from another one, or cut otherwise, is deleted when it is met,
and what carries no such metadata is somebody else's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field

from shared.cloud.object_calls import ObjectCalls, Resource
from shared.cloud.object_streams import Sum, nothing
from shared.errors import Conflict, Gone, Refused, Unavailable
from shared.ports import PARTS

GENERATION = "cost-watchdog-generation"
SIZES = "cost-watchdog-sizes"
"""The sizes of the members or frames that the object consists of, where there are several."""
_SPAN = "cost-watchdog-span"
_READ = "cost-watchdog-read"


@dataclass
class Parts:
    """The parts of one object, and the object itself.

    Attributes:
        calls: The bucket.
        whole: The object's name.
        generation: The generation that it is made from.
        span: Bytes of the original in one part.
        still: Raises where there is no time left, or no right to write.
        progress: Whether anything was made that a later call will find.
    """

    calls: ObjectCalls
    whole: str
    generation: int
    span: int
    still: Callable[[], None]
    progress: bool = False
    _found: dict[str, Resource] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """Where they are."""
        return f"{self.whole}{PARTS}"

    def look(self) -> bool:
        """Find what there is; the answer is whether there is anything."""
        ours = [each for each in self.calls.below(self.folder) if GENERATION in _metadata(each)]
        self._found = {each["name"]: each for each in ours if self._fits(each)}
        for each in ours:
            if not self._fits(each):
                self.calls.delete(each)
        return bool(self._found)

    def part(self, index: int, like: Resource, content: Callable[[], Generator[bytes]]) -> Resource:
        """The part of this number; it is made where it is not there."""
        name = f"{self.folder}{index:05}"
        return self._found.get(name) or self.create({**like, "name": name, "metadata": self._mark()}, content())

    def group(self, first: int, last: int, like: Resource, make: Callable[[], Sequence[Resource]]) -> Resource:
        """The parts of these numbers as one; they are made where they are not there."""
        name = f"{self.folder}{first:05}-{last:05}"
        if found := self._found.get(name):
            return found
        parts = make()
        return self.compose({**like, "name": name, "metadata": {**self._mark(), SIZES: joined(parts)}}, parts)

    def checked(self, whole: Resource) -> tuple[int, Sum]:
        """How many parts of the whole were read back so far, and what they come to."""
        notes = sorted(name for name, each in self._found.items() if _metadata(each).get(_READ, "").startswith(f"{whole['generation']} "))
        if not notes:
            return 0, Sum()
        _, size, crc32c = _metadata(self._found[notes[-1]])[_READ].split(" ")
        return int(notes[-1][-5:]) + 1, Sum(int(size), int(crc32c))

    def check(self, index: int, whole: Resource, total: Sum) -> None:
        """Note that the part of this number was read back, as all before it."""
        read = {_READ: f"{whole['generation']} {total.size} {total.crc32c}"}
        self.create({"name": f"{self.folder}checked-{index:05}", "metadata": {**self._mark(), **read}}, nothing())

    def create(self, like: Resource, content: Generator[bytes]) -> Resource:
        """Write an object, unless it was written before."""
        self.still()
        try:
            made = self.calls.create(like, content)
        except Conflict as error:
            return self._before(like, error)
        self.progress = True
        return made

    def compose(self, like: Resource, sources: Sequence[Resource]) -> Resource:
        """Put an object together, unless it was put together before."""
        self.still()
        try:
            made = self.calls.compose(like, sources)
        except (Conflict, Gone) as error:
            return self._before(like, error)
        self.progress = True
        return made

    def tidy(self) -> None:
        """Delete all that is left of them."""
        self.look()
        for each in self._found.values():
            self.calls.delete(each)

    def _before(self, like: Resource, error: Exception) -> Resource:
        found = self.calls.find(like["name"])
        if found and made_from(found) == self.generation:
            return found
        if found and made_from(found) is None:
            raise Refused("is in the way, and it is not the watchdog's", resource=like["name"]) from error
        raise Unavailable("is not as it was left", resource=like["name"]) from error

    def _mark(self) -> Mapping[str, str]:
        return {GENERATION: str(self.generation), _SPAN: str(self.span)}

    def _fits(self, each: Resource) -> bool:
        return self._mark().items() <= _metadata(each).items()


def made_from(each: Resource) -> int | None:
    """The generation that an object was made from; None for one that the watchdog did not make."""
    text = _metadata(each).get(GENERATION, "")
    return int(text) if re.fullmatch(r"[0-9]{1,20}", text) else None


def sizes(each: Resource) -> list[int]:
    """The sizes of the members or frames that an object consists of."""
    text = _metadata(each).get(SIZES, "")
    found = [int(size) for size in text.split(",")] if re.fullmatch(r"[0-9]{1,20}(,[0-9]{1,20})*", text) else []
    whole = int(each["size"])
    return found if sum(found) == whole else [whole]


def joined(parts: Sequence[Resource]) -> str:
    """The sizes of what these consist of, in a row, as `sizes` reads them."""
    return ",".join(str(size) for part in parts for size in sizes(part))


def _metadata(each: Resource) -> Mapping[str, str]:
    metadata: Mapping[str, str] = each.get("metadata", {})
    return metadata
