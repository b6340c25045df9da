"""How a person sees a Slack message: its blocks, and Slack's mrkdwn taken apart into runs of text, for the page and for the terminal.

https://docs.slack.dev/messaging/formatting-message-text
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from sandbox.slack_elements import elements, options

_TOKENS = re.compile(
    r"```(?P<pre>.+?)```"
    r"|`(?P<code>[^`\n]+)`"
    r"|<(?P<angle>[^<>\n]+)>"
    r"|(?<![\w*])\*(?=\S)(?P<bold>[^*\n]*?\S)\*(?![\w*])"
    r"|(?<![\w])_(?=\S)(?P<italic>[^_\n]*?\S)_(?![\w])"
    r"|(?<![\w~])~(?=\S)(?P<strike>[^~\n]*?\S)~(?![\w~])",
    re.DOTALL,
)
_ENTITIES = re.compile(r"&(amp|lt|gt);")
_PLAIN = {"amp": "&", "lt": "<", "gt": ">"}


@dataclass(frozen=True)
class Run:
    """A run of text in one style.

    Attributes:
        text: As it is shown.
        bold: In bold.
        italic: Slanted.
        strike: Struck through.
        code: In a code span or block.
        link: Where it leads, if it is a link.
    """

    text: str
    bold: bool = False
    italic: bool = False
    strike: bool = False
    code: bool = False
    link: str = ""


def runs(text: str) -> tuple[Run, ...]:
    """Take mrkdwn apart."""
    return tuple(_runs(text, Run("")))


def view(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The parts of a message in their order, as JSON: header, section, context, divider, or actions; its plain text where it has no blocks.

    What can be pressed stands among the ``elements`` of its part as text, and under ``controls`` with all that a page needs to offer it.
    """
    blocks = message.get("blocks") or [{"type": "section", "text": {"type": "mrkdwn", "text": message.get("text", "")}}]
    return [_block(block) for block in blocks]


def plain(message: Mapping[str, Any]) -> str:
    """All of a message's text, without its marks."""
    said = [run["text"] for part in view(message) for key in ("runs", "fields", "elements") for run in _flat(part.get(key, []))]
    return " ".join(said)


def _flat(given: list[Any]) -> Iterator[dict[str, Any]]:
    for each in given:
        if isinstance(each, list):
            yield from each
        else:
            yield each


def _block(block: Mapping[str, Any]) -> dict[str, Any]:
    kind = block["type"]
    if kind == "section":
        accessory = [block["accessory"]] if "accessory" in block else []
        return {
            "type": kind,
            "runs": _words(block.get("text")),
            "fields": [_words(each) for each in block.get("fields", ())],
            "elements": [_element(each) for each in accessory],
            "controls": _controls(block),
        }
    if kind == "context":
        return {"type": kind, "elements": [_words(each) for each in block["elements"]]}
    if kind == "actions":
        return {"type": kind, "elements": [_element(each) for each in block["elements"]], "controls": _controls(block)}
    return {"type": kind, "runs": _words(block.get("text"))}


def _element(element: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What is written on an element."""
    return _words(element if element["type"] == "image" else element.get("text") or element.get("placeholder"))


def _controls(block: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What can be pressed in a block."""
    return [
        {
            "type": element["type"],
            "block_id": block.get("block_id", ""),
            "action_id": element.get("action_id", ""),
            "text": "".join(run["text"] for run in _element(element)),
            "style": element.get("style", ""),
            "value": element.get("value"),
            "options": [{"value": option["value"], "text": option["text"]["text"]} for option in options(element)],
            "selected": element.get("initial_option", {}).get("value"),
            "confirm": _confirm(element.get("confirm")),
        }
        for element in elements(block)
    ]


def _confirm(given: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The dialog that asks whether somebody is sure; none if nothing asks."""
    if given is None:
        return None
    written = {key: given[key]["text"] for key in ("title", "confirm", "deny")}
    return {**written, "runs": _words(given["text"]), "style": given.get("style", "")}


def _words(text: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    if not text:
        return []
    if text.get("type") != "mrkdwn":
        return [asdict(Run(str(text.get("text", text.get("alt_text", "")))))]
    return [asdict(run) for run in runs(text["text"])]


def _runs(text: str, style: Run) -> Iterator[Run]:
    at = 0
    for match in _TOKENS.finditer(text):
        yield from _leaf(text[at : match.start()], style)
        at = match.end()
        kind, inside = str(match.lastgroup), str(match[str(match.lastgroup)])
        if kind in ("pre", "code"):
            yield from _leaf(inside, replace(style, code=True))
        elif kind == "angle":
            yield _angle(inside, style)
        else:
            yield from _runs(inside, Run(**{**asdict(style), kind: True}))
    yield from _leaf(text[at:], style)


def _leaf(text: str, style: Run) -> Iterator[Run]:
    if text:
        yield replace(style, text=_decoded(text))


def _angle(inside: str, style: Run) -> Run:
    """A link, a mention, a date or a channel."""
    target, _, label = inside.partition("|")
    shown = _decoded(label or target)
    if target.startswith(("http://", "https://")):
        return replace(style, text=shown, link=_decoded(target))
    return replace(style, text=shown if label else f"@{shown.lstrip('@#!')}", bold=True)


def _decoded(text: str) -> str:
    return _ENTITIES.sub(lambda match: _PLAIN[match[1]], text)
