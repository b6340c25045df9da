"""The parts of a message that a person can press or choose from: how they are found, and what Slack tells of them.

https://docs.slack.dev/reference/interaction-payloads/block_actions-payload
"""

from __future__ import annotations

import copy
import random
import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sandbox.slack_people import Impossible

Chosen = Mapping[tuple[str, str], Mapping[str, Any]]
"""The options that a person has chosen in a message, by the ids of block and element."""

_CHOICES = ("static_select", "radio_buttons", "overflow")
_STATEFUL = ("static_select", "radio_buttons")
_TOLD = ("action_id", "type", "text", "value", "style", "placeholder", "initial_option", "confirm")
_LETTERS = string.ascii_letters + string.digits


def with_ids(blocks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The blocks with ids made up, five random characters, where a block or an element that can be pressed has none."""
    given = [copy.deepcopy(dict(block)) for block in blocks]
    taken = {str(block.get("block_id", "")) for block in given}
    for block in given:
        block["block_id"] = block.get("block_id") or _made_up(taken)
        used = {str(element.get("action_id", "")) for element in elements(block)}
        for element in elements(block):
            element["action_id"] = element.get("action_id") or _made_up(used)
    return given


def elements(block: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What can be pressed in a block: the elements of actions, and the accessory of a section unless it is an image."""
    if block["type"] == "actions":
        yield from block["elements"]
    elif block["type"] == "section" and block.get("accessory", {}).get("type", "image") != "image":
        yield block["accessory"]


def options(element: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What can be chosen from, out of all groups."""
    groups = [element, *element.get("option_groups", ())]
    return [option for group in groups for option in group.get("options", ())]


def find(blocks: Iterable[Mapping[str, Any]], action_id: str, block_id: str, value: str | None) -> tuple[str, dict[str, Any]]:
    """An element and its block's id.

    Args:
        blocks: The message's.
        action_id: The element's.
        block_id: Its block's; empty is any.
        value: The button's; none is any.

    Raises:
        Impossible: There is none, or more than one.
    """
    there = [(str(block["block_id"]), element) for block in blocks for element in elements(block)]
    found = [
        (block, element)
        for block, element in there
        if element["action_id"] == action_id and block_id in ("", block) and value in (None, element.get("value"))
    ]
    if not found:
        has = ", ".join(f"{element['action_id']} (in {block}, value {element.get('value')!r})" for block, element in there)
        raise Impossible(f"The message has no element {action_id!r} of this block and value to press. It has: {has or 'none'}.")
    if len(found) > 1:
        raise Impossible(f"{len(found)} elements of the message are called {action_id!r}: say in which block, or with which value.")
    return found[0]


def choice(element: Mapping[str, Any], value: str | None) -> dict[str, Any] | None:
    """The option that a person chooses by its value; none where the element is a button.

    Raises:
        Impossible: The element has no such option, or can be neither pressed nor chosen from.
    """
    kind, action_id = element["type"], element["action_id"]
    if kind == "button":
        if value is not None:
            raise Impossible(f"{action_id!r} is a button: it has no options.")
        return None
    if kind not in _CHOICES:
        raise Impossible(f"{action_id!r} is a {kind}, which the sandbox cannot use; it knows button, {', '.join(_CHOICES)}.")
    for option in options(element):
        if option["value"] == value:
            return option
    has = ", ".join(repr(option["value"]) for option in options(element))
    raise Impossible(f"{action_id!r} has no option of value {value!r}. It has: {has}.")


def action(block_id: str, element: Mapping[str, Any], option: Mapping[str, Any] | None, ts: str) -> dict[str, Any]:
    """What was done, as an item of a payload's ``actions``."""
    told = {key: element[key] for key in _TOLD if key in element}
    selected = {} if option is None else {"selected_option": option}
    return copy.deepcopy({**told, "block_id": block_id, **selected, "action_ts": ts})


def state(blocks: Iterable[Mapping[str, Any]], chosen: Chosen) -> dict[str, Any]:
    """What is chosen at this moment in all elements that keep a choice, as a payload's ``state``."""
    values: dict[str, dict[str, Any]] = {}
    for block in blocks:
        for element in elements(block):
            if element["type"] in _STATEFUL:
                option = chosen.get((block["block_id"], element["action_id"])) or element.get("initial_option")
                values.setdefault(block["block_id"], {})[element["action_id"]] = {"type": element["type"], "selected_option": option}
    return {"values": copy.deepcopy(values)}


def _made_up(taken: set[str]) -> str:
    while (made := "".join(random.choices(_LETTERS, k=5))) in taken:
        pass
    taken.add(made)
    return made
