"""Pages of a listing: prefixes, delimiters, globs, versions, and page tokens that name the last entry.

Source: https://cloud.google.com/storage/docs/json_api/v1/objects/list
"""

from __future__ import annotations

import base64
import binascii
import functools
import heapq
import itertools
import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from sandbox.storage_errors import parameter_error
from sandbox.storage_state import Bucket, Stored

MAX_RESULTS = 1000
_WHOLE_GROUP = -1


@dataclass(frozen=True, slots=True)
class Query:
    """What a listing asks for, named as the API names it."""

    prefix: str = ""
    delimiter: str = ""
    start_offset: str = ""
    end_offset: str = ""
    match_glob: str = ""
    page_token: str = ""
    max_results: int = MAX_RESULTS
    versions: bool = False
    soft_deleted: bool = False
    trailing_delimiter: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """One page: at most `max_results` objects and prefixes together, and the token of the next page, if there is one."""

    items: list[Stored]
    prefixes: list[str]
    next_page_token: str | None


def page_token(name: str, generation: int) -> str:
    """A token that names the last entry, so that a listing goes on rightly while objects come and go."""
    return base64.urlsafe_b64encode(f"{generation}:{name}".encode()).decode()


def _last_entry(token: str) -> tuple[str, int]:
    try:
        generation, name = base64.urlsafe_b64decode(token.encode()).decode().split(":", 1)
        return name, int(generation)
    except (ValueError, binascii.Error):
        raise parameter_error("pageToken", f"Invalid page token: {token[:80]!r}") from None


def token_name(token: str) -> str:
    """The name in a page token.

    Raises:
        ApiError: 400 where it is none.
    """
    return _last_entry(token)[0]


def _after_group(group: str) -> str:
    """The smallest name that sorts behind every name that starts with the group."""
    return group[:-1] + chr(ord(group[-1]) + 1)


@functools.lru_cache(maxsize=256)
def glob_pattern(glob: str) -> re.Pattern[str]:
    """The glob as a regular expression: ``*`` and ``?`` stop at a slash, ``**`` does not, ``[...]`` and ``{a,b}`` choose.

    Source: https://cloud.google.com/storage/docs/json_api/v1/objects/list#list-objects-and-prefixes-using-glob
    """
    out: list[str] = []
    depth = 0
    for piece in re.findall(r"\*\*/|\*\*|\*|\?|\[[!^]?[^]]+\]|\\.|.", glob, re.DOTALL):
        if piece == "**/":
            out.append("(?:.*/)?")
        elif piece == "**":
            out.append(".*")
        elif piece == "*":
            out.append("[^/]*")
        elif piece == "?":
            out.append("[^/]")
        elif piece[0] == "[" and len(piece) > 1:
            negated = piece[1] in "!^"
            out.append(("[^" if negated else "[") + re.escape(piece[1 + negated : -1]).replace(r"\-", "-") + "]")
        elif piece == "{":
            depth += 1
            out.append("(?:")
        elif piece == "}" and depth:
            depth -= 1
            out.append(")")
        elif piece == "," and depth:
            out.append("|")
        else:
            out.append(re.escape(piece[-1]))
    if depth:
        raise parameter_error("matchGlob", f"Invalid glob: {glob!r} opens a brace and does not close it")
    return re.compile("".join(out), re.DOTALL)


def _names(bucket: Bucket, query: Query) -> Sequence[str]:
    if query.soft_deleted:
        return bucket.soft_deleted.names.ordered()
    live = bucket.live.names.ordered()
    if not query.versions or not bucket.noncurrent.count:
        return live
    both = heapq.merge(live, bucket.noncurrent.names.ordered())
    return [name for name, _ in itertools.groupby(both)]


def _generations(bucket: Bucket, query: Query, name: str) -> Sequence[Stored]:
    if query.soft_deleted:
        return bucket.soft_deleted.all(name)
    if query.versions:
        return [*bucket.noncurrent.all(name), *bucket.live.all(name)]
    return bucket.live.all(name)


def _start(names: Sequence[str], query: Query) -> tuple[int, int]:
    """Where the page begins: an index, and the generation behind which to go on within that name."""
    start = bisect_left(names, max(query.prefix, query.start_offset))
    if not query.page_token:
        return start, 0
    name, generation = _last_entry(query.page_token)
    if generation == _WHOLE_GROUP:
        return max(start, bisect_left(names, _after_group(name))), 0
    if query.versions or query.soft_deleted:
        at = bisect_left(names, name)
        return max(start, at), generation if at < len(names) and names[at] == name else 0
    return max(start, bisect_right(names, name)), 0


def page(bucket: Bucket, query: Query) -> Page:
    """One page of a bucket. Only names are looked at that can be on it.

    Raises:
        ApiError: 400 for a page token or a glob that is none.
    """
    names = _names(bucket, query)
    matches = glob_pattern(query.match_glob).fullmatch if query.match_glob else None
    at, behind = _start(names, query)
    limit = min(query.max_results, MAX_RESULTS)
    items: list[Stored] = []
    prefixes: list[str] = []
    last: tuple[str, int] | None = None
    while at < len(names):
        name = names[at]
        if not name.startswith(query.prefix) or (query.end_offset and name >= query.end_offset):
            break
        at += 1
        found = _generations(bucket, query, name)
        if behind:
            found, behind = [stored for stored in found if stored.generation > behind], 0
        if not found or (matches and not matches(name)):
            continue
        cut = name.find(query.delimiter, len(query.prefix)) if query.delimiter else -1
        if cut < 0:
            for stored in found:
                if len(items) + len(prefixes) == limit and last:
                    return Page(items, prefixes, page_token(*last))
                items.append(stored)
                last = name, stored.generation
            continue
        if len(items) + len(prefixes) >= limit and last:
            return Page(items, prefixes, page_token(*last))
        group = name[: cut + len(query.delimiter)]
        prefixes.append(group)
        last = group, _WHOLE_GROUP
        if query.trailing_delimiter and name == group:
            items.extend(found)
        at = bisect_left(names, _after_group(group), at)
    return Page(items, prefixes, None)
