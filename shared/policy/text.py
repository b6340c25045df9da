"""YAML as the policy is written in: plain values, each with the line that it stands on.

The parser's events are read one by one rather than composed into a tree by PyYAML, so that neither aliases nor deep nesting can
make a small text large. Scalars follow the core schema of YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema): ``on`` and ``yes`` and dates are text.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

import yaml

from shared.errors import SettingsError

Path = tuple[str | int, ...]
LARGEST = 2**20
"""Bytes of text that are read at most."""
DEEPEST = 32
"""Lists and mappings within each other that are read at most."""

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 60
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_YAML_TAG = "tag:yaml.org,2002:"
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_CORE: tuple[tuple[re.Pattern[str], Any], ...] = (
    (re.compile(r"|~|null|Null|NULL"), lambda _: None),
    (re.compile(r"true|True|TRUE"), lambda _: True),
    (re.compile(r"false|False|FALSE"), lambda _: False),
    # More digits than that are read as a float: Python bounds how many it takes for an int.
    (re.compile(r"[-+]?[0-9]{1,100}"), int),
    (re.compile(r"0o[0-7]{1,100}|0x[0-9a-fA-F]{1,100}"), lambda text: int(text, 0)),
    (re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), float),
    (re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"), lambda text: float(text.replace(".", ""))),
)


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is wrong with the text.

    Attributes:
        line: Counted from 1.
        path: What it is about.
        sentence: What is wrong and what to do about it.
    """

    line: int
    path: Path
    sentence: str

    def __str__(self) -> str:
        """All of it, without the file's name."""
        return f"{self.line}: {spell(self.path)}: {self.sentence}"


@dataclass(frozen=True, slots=True)
class Document:
    """A text that was read.

    Attributes:
        data: Its values; None stands where a value could not be read.
        lines: The line, counted from 1, of every key and list item.
        faults: What is wrong with the text itself.
        broken: Where values could not be read.
    """

    data: Any
    lines: Mapping[Path, int]
    faults: tuple[Fault, ...]
    broken: tuple[Path, ...]

    def fault(self, path: Path, sentence: str) -> Fault:
        """A fault on the line of the path, or of the nearest part around it that is written."""
        line = next(self.lines[path[:end]] for end in range(len(path), -1, -1) if path[:end] in self.lines)
        return Fault(line, path, sentence)

    def written(self, path: Path) -> Path:
        """The path without the parts that are not in the text, such as the names of types that a validator adds."""
        found: Path = ()
        for part in path:
            found = (*found, part) if (*found, part) in self.lines else found
        return found


def show(value: object) -> str:
    """A value as it may stand in a sentence: quoted, on one line, not too long."""
    return str(value).lower() if isinstance(value, bool) else _short.repr(value)


def spell(path: Path) -> str:
    """A path as a person writes it: ``budgets[0].steps[1].at``."""
    spelled = ""
    for part in path:
        if isinstance(part, str) and re.fullmatch(r"[\w-]{1,60}", part):
            spelled += f".{part}" if spelled else part
        else:
            spelled += f"[{show(part)}]"
    return spelled


def read(text: str) -> Document:
    """Read a text that holds one mapping.

    Raises:
        SettingsError: It cannot be read to its end, or is no mapping. What can be read around is in the document's `faults`.
    """
    return _read(text, by_hand=True)


def read_generated(text: str) -> Mapping[str, Any]:
    """Read a mapping that a program wrote: items of a list may repeat and numbers need not be finite; everything else is as strict.

    Raises:
        SettingsError: With every fault.
    """
    document = _read(text, by_hand=False)
    if document.faults:
        raise SettingsError([str(fault) for fault in document.faults])
    values: Mapping[str, Any] = document.data
    return values


def _read(text: str, *, by_hand: bool) -> Document:
    if len(text.encode("utf-8", "surrogatepass")) > LARGEST:
        raise SettingsError([f"1: the text is larger than {LARGEST >> 20} MiB; no policy is"])
    if found := _FORBIDDEN.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise SettingsError([f"{line}: not valid YAML: remove the character {show(found.group())}, which YAML forbids"])
    reader = _Reader(yaml.parse(text, Loader=LOADER), by_hand=by_hand)
    try:
        data = reader.document()
    except _Stop as stop:
        raise SettingsError([*map(str, reader.faults), str(stop)]) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # PyYAML's own parser lets some escapes and version numbers through to chr() and int().
        raise SettingsError([*map(str, reader.faults), _syntax(error, text)]) from None
    if not isinstance(data, dict):
        raise SettingsError([*map(str, reader.faults), "1: should be a mapping that begins with `version: 1`"])
    return Document(data, reader.lines, tuple(reader.faults), tuple(reader.broken))


def _line(event: Any) -> int:
    line: int = event.start_mark.line
    return line + 1


class _Stop(Exception):
    """It makes no sense to read on."""

    def __init__(self, event: Any, sentence: str) -> None:
        super().__init__(f"{_line(event)}:{event.start_mark.column + 1}: {sentence}")


def _too_deep(event: Any) -> _Stop:
    return _Stop(event, f"lists and mappings are nested more than {DEEPEST} deep; no policy is")


class _Reader:
    """Builds the values out of the parser's events."""

    def __init__(self, events: Iterator[Any], *, by_hand: bool) -> None:
        self._events = events
        self._by_hand = by_hand
        self.lines: dict[Path, int] = {(): 1}
        self.faults: list[Fault] = []
        self.broken: list[Path] = []

    def document(self) -> Any:
        next(self._events)  # the stream begins
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None
        data = self._value(next(self._events), ())
        next(self._events)  # the document ends
        if isinstance(after := next(self._events), yaml.DocumentStartEvent):
            raise _Stop(after, "a second document begins here; a policy is one document")
        return data

    def _value(self, event: Any, path: Path) -> Any:
        self.lines.setdefault(path, _line(event))
        if len(path) > DEEPEST:
            raise _too_deep(event)
        if isinstance(event, yaml.AliasEvent):
            self._refuse(path, f"*{event.anchor} would be a YAML alias, which a policy does not use; put text that begins with * in quotes")
            return None
        if event.tag is not None:
            tag = event.tag.replace(_YAML_TAG, "!!")
            self._refuse(path, f"{show(tag)} would be a YAML tag, which a policy does not use; put text that begins with ! in quotes")
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, path)
        return self._sequence(path) if isinstance(event, yaml.SequenceStartEvent) else self._mapping(path)

    def _sequence(self, path: Path) -> list[Any]:
        items: list[Any] = []
        seen: set[Any] = set()
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            here = (*path, len(items))
            value = self._value(event, here)
            items.append(value)
            if self._by_hand and isinstance(value, (str, int, float)):
                if (type(value), value) in seen:
                    self._fault(here, f"{show(value)} is in the list already; name it once")
                seen.add((type(value), value))
        return items

    def _mapping(self, path: Path) -> dict[str, Any]:
        pairs: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise _Stop(event, "a key should be text; put text that begins with {, [ or * in quotes")
            if _FORBIDDEN.search(event.value):
                raise _Stop(event, "the key holds a control character; remove it")
            here = (*path, event.value)
            if event.value in pairs:
                sentence = f"the key is there already, in line {self.lines[here]}; keep one of them"
                self.faults.append(Fault(_line(event), here, sentence))
                self._skip()
            else:
                self.lines[here] = _line(event)
                pairs[event.value] = self._value(next(self._events), here)
        return pairs

    def _scalar(self, event: Any, path: Path) -> Any:
        if _FORBIDDEN.search(event.value):
            self._refuse(path, "the text holds a control character; remove it")
            return None
        if not event.implicit[0]:
            return event.value
        value = next((convert(event.value) for pattern, convert in _CORE if pattern.fullmatch(event.value)), event.value)
        if self._by_hand and isinstance(value, float) and not isfinite(value):
            self._refuse(path, f"{show(event.value)} is no number to work with; if it is text, put it in quotes")
            return None
        return value

    def _skip(self) -> None:
        depth = 0
        while True:
            event = next(self._events)
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if not depth:
                return
            if depth > DEEPEST:  # the parser's time grows with the square of the depth
                raise _too_deep(event)

    def _fault(self, path: Path, sentence: str) -> None:
        self.faults.append(Fault(self.lines[path], path, sentence))

    def _refuse(self, path: Path, sentence: str) -> None:
        self._fault(path, sentence)
        self.broken.append(path)


_ADVICE = (
    ("mapping values are not allowed", "a ':' stands where none may; is a quote missing, or the line indented wrongly?"),
    ("could not find expected ':'", "a key needs a ':' behind it, and list items the same indentation"),
    ("unexpected end of stream", "a quote is opened and never closed"),
    ("alphabetic or numeric", "put text that begins with * or & in quotes"),
    ("',' or", "a [ or { is opened and never closed"),
    (
        "expected",
        "the indentation does not fit the lines above, or text that begins with {, [ or a quote goes on behind it; put all of it in quotes",
    ),
)


def _syntax(error: Any, text: str) -> str:
    """A syntax error with its line and column, what is most often behind it, and the parser's own words."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return f"1: not valid YAML: {' '.join(str(error).split())}"
    problem: str = error.problem
    since = f" {error.context} from line {error.context_mark.line + 1}" if error.context_mark else ""
    lines = text.splitlines()
    line = lines[mark.line] if mark.line < len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())]:
        advice = "the line is indented with a tab; use spaces"
    elif "start any token" in problem:
        advice = f"text cannot begin with {show(line[mark.column : mark.column + 1])}; put it in quotes"
    else:
        advice = next((advice for sign, advice in _ADVICE if sign in problem), "look at this line and the one above")
    return f"{mark.line + 1}:{mark.column + 1}: not valid YAML: {advice} ({problem}{since})"
