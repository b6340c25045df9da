"""Names in buckets as the policy writes them: a bucket, an object of a run, a pattern of objects, a run's folder. Pure."""

from __future__ import annotations

import re

from shared.policy.text import show

RUN = "{run}"
"""In a pattern: the part that tells one run from the others."""
ANY = "{any}"
"""In a pattern: a part of any name, such as the experiment that a run belongs to."""
PLACEHOLDERS = frozenset({RUN, ANY})
READABLE = (".json", ".yaml", ".yml")
WILDCARDS = "*?[]"
_BUCKET = re.compile("[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")


def bucket_name(text: str) -> str:
    """A bucket's name: https://docs.cloud.google.com/storage/docs/buckets#naming.

    Raises:
        ValueError: No bucket has such a name.
    """
    if not _BUCKET.fullmatch(text):
        raise ValueError(f"{show(text)} is not a bucket's name; write it without gs:// and without a folder, such as acme-ml-artifacts")
    return text


def _path(text: str, *, forbidden: str) -> str:
    for character in text:
        if character in forbidden or not character.isprintable():
            raise ValueError(f"{show(text)} holds {show(character)}, which has no meaning here")
    if text.startswith("/") or "//" in text or not text:
        raise ValueError(f"{show(text)} has an empty part; write a path without / at the beginning and without //")
    if {".", ".."} & set(text.split("/")):
        raise ValueError(f"{show(text)} has a part . or .., which stand for no folder in a bucket; write the path in full")
    return text


def object_name(text: str) -> str:
    """One object's name, relative to the run.

    Raises:
        ValueError: It is empty, ends with a slash, or holds wildcards or control characters.
    """
    if text.endswith("/"):
        raise ValueError(f"{show(text)} is a folder; name one object")
    return _path(text, forbidden=WILDCARDS)


def object_glob(text: str) -> str:
    """A pattern for objects' names, relative to the run: ``*``, ``?`` and ``[ab]`` within one part, ``**`` for any number of parts.

    Raises:
        ValueError: It is empty, has empty parts, holds control characters, or leaves open what it means.
    """
    for part in text.split("/"):
        if "**" in part and part != "**":
            raise ValueError(f"{show(text)} has ** beside other characters; it stands for whole parts, such as logs/** or **/metrics.json")
        if "[" in re.sub(r"\[!?\]?+[^\]]*\]", "", part):
            raise ValueError(f"{show(text)} opens a [ and never closes it; the character itself is written [[]")
    return _path(text, forbidden="")


def run_pattern(text: str) -> str:
    """Where a bucket keeps its runs: ``runs/{run}/``, or ``mlruns/{any}/{run}/``.

    Raises:
        ValueError: ``{run}`` is not one whole part of it, it does not end with a slash, or it holds wildcards.
    """
    parts = text.split("/")
    literal = "".join(part for part in parts if part not in PLACEHOLDERS)
    if parts.count(RUN) != 1 or "{" in literal or "}" in literal:
        raise ValueError(f"{show(text)} should have {RUN} as exactly one whole part, such as runs/{RUN}/, and may have {ANY} as others")
    if not text.endswith("/"):
        raise ValueError(f"{show(text)} should end with /, since a run is a folder")
    return _path(text, forbidden=WILDCARDS)


def overlap(one: str, other: str) -> bool:
    """Whether a folder could be a run by one pattern and be, hold or lie in a run by the other."""
    pairs = zip(one.split("/")[:-1], other.split("/")[:-1], strict=False)
    return all(mine == theirs or mine in PLACEHOLDERS or theirs in PLACEHOLDERS for mine, theirs in pairs)
