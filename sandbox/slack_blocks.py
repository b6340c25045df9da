"""Block Kit as Slack checks it before it accepts a message: the documented limits, on plain dicts.

https://docs.slack.dev/reference/block-kit . Known here is what a message of the kind the watchdog sends can be made
of; blocks and elements beyond that (video, file, input, card, data_visualization, …) are refused as unsupported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from sandbox.slack_schema import (
    Check,
    at_least_one,
    boolean,
    by_type,
    exactly_one,
    fault,
    items,
    nullable,
    number,
    one_of,
    record,
    string,
)

MAX_BLOCKS = 50
MAX_MARKDOWN = 12_000  # of all markdown blocks of a message together
# Nobody documents the limit behind msg_blocks_too_long. People measured 13,297 characters in one block and 125 fewer for each further
# block: https://github.com/slackapi/bolt-js/issues/2509
_MAX_TOTAL = 13_422
_BLOCK_COST = 125


def check_blocks(blocks: Any) -> list[str]:
    """The faults for which Slack would refuse these blocks with ``invalid_blocks``; none if it would accept them."""
    faults = list(_MESSAGE(blocks, "/blocks"))
    if isinstance(blocks, list):
        known = [(f"/blocks/{index}", block) for index, block in enumerate(blocks) if isinstance(block, dict)]
        faults += [*_repeated_ids(known), *_across(known)]
    return faults


def too_long(blocks: list[Any]) -> bool:
    """Whether Slack would refuse the blocks with ``msg_blocks_too_long``, for all of their text together."""
    return sum(len(text) for text in _texts(blocks)) + _BLOCK_COST * len(blocks) > _MAX_TOTAL


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, field in value.items():
            if key == "text" and isinstance(field, str):
                yield field
            else:
                yield from _texts(field)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


def _ids(value: Any, key: str) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get(key), str):
            yield value[key]
        for field in value.values():
            yield from _ids(field, key)
    elif isinstance(value, list):
        for each in value:
            yield from _ids(each, key)


def _repeated_ids(blocks: list[tuple[str, dict[str, Any]]]) -> Iterator[str]:
    """A block_id is unique in its message, an action_id in its block."""
    seen = set[str]()
    for pointer, block in blocks:
        block_id = block.get("block_id")
        if isinstance(block_id, str):
            if block_id in seen:
                yield fault(f"block_id {block_id} already exists", f"{pointer}/block_id")
            seen.add(block_id)
        for action_id, count in Counter(_ids(block, "action_id")).items():
            if count > 1:
                yield fault(f"action_id {action_id} already exists", pointer)


def _across(blocks: list[tuple[str, dict[str, Any]]]) -> Iterator[str]:
    """What counts over all blocks of a message: one table, and the text of the markdown blocks."""
    tables = [pointer for pointer, block in blocks if block.get("type") == "table"]
    for pointer in tables[1:]:
        yield fault("only_one_table_allowed", pointer)
    markdown = sum(len(text) for _, block in blocks if block.get("type") == "markdown" for text in _texts(block))
    if markdown > MAX_MARKDOWN:
        yield fault(f"markdown blocks must be less than {MAX_MARKDOWN + 1} characters together", "/blocks")


def _plain(most: int) -> Check:
    return by_type({"plain_text": record({"text": string(most)}, {"emoji": boolean})})


def _texts_of(most: int) -> dict[str, Check]:
    return {
        "plain_text": record({"text": string(most)}, {"emoji": boolean}),
        "mrkdwn": record({"text": string(most)}, {"verbatim": boolean}),
    }


def _text(most: int) -> Check:
    return by_type(_texts_of(most))


def _block(required: dict[str, Check], optional: dict[str, Check] | None = None) -> Check:
    return record(required, {"block_id": string(255), **(optional or {})})


def _element(required: dict[str, Check], optional: dict[str, Check] | None = None) -> Check:
    return record(required, {"action_id": string(255), "confirm": _CONFIRM, **(optional or {})})


_CONFIRM = record(
    {"title": _plain(100), "text": _text(300), "confirm": _plain(30), "deny": _plain(30)}, {"style": one_of("primary", "danger")}
)
_OPTION = record({"text": _plain(75), "value": string(150)}, {"description": _plain(75)})
_LINK_OPTION = record({"text": _plain(75), "value": string(150)}, {"description": _plain(75), "url": string(3000)})
_RICH_OPTION = record({"text": _text(75), "value": string(150)}, {"description": _text(75)})
_GROUP = record({"label": _plain(75), "options": items(_OPTION, 100)})
_FOCUS: dict[str, Check] = {"focus_on_load": boolean, "placeholder": _plain(150)}

_IMAGE_FIELDS: dict[str, Check] = {"image_url": string(3000), "slack_file": record({}, {"id": string(255), "url": string(3000)})}
_IMAGE_ELEMENT = exactly_one(record({"alt_text": string(2000)}, _IMAGE_FIELDS), "image_url", "slack_file")

_BUTTON = _element(
    {"text": _plain(75)},
    {"value": string(2000), "url": string(3000), "style": one_of("primary", "danger"), "accessibility_label": string(75)},
)
_STATIC_SELECT = exactly_one(
    _element({}, {"options": items(_OPTION, 100), "option_groups": items(_GROUP, 100), "initial_option": _OPTION, **_FOCUS}),
    "options",
    "option_groups",
)
_INTERACTIVE = {
    "button": _BUTTON,
    "checkboxes": _element({"options": items(_RICH_OPTION, 10)}, {"initial_options": items(_RICH_OPTION, 10), "focus_on_load": boolean}),
    "datepicker": _element({}, {"initial_date": string(10), **_FOCUS}),
    "datetimepicker": _element({}, {"initial_date_time": number, "focus_on_load": boolean}),
    "overflow": _element({"options": items(_LINK_OPTION, 5)}),
    "radio_buttons": _element({"options": items(_RICH_OPTION, 10)}, {"initial_option": _RICH_OPTION, "focus_on_load": boolean}),
    "static_select": _STATIC_SELECT,
    "timepicker": _element({}, {"initial_time": string(5), "timezone": string(255), **_FOCUS}),
    "users_select": _element({}, {"initial_user": string(255), **_FOCUS}),
}
_ACCESSORY = by_type({**_INTERACTIVE, "image": _IMAGE_ELEMENT})

_CONTEXT_ELEMENT = by_type({**_texts_of(3000), "image": _IMAGE_ELEMENT})

# Rich text is checked loosely: the kinds of its parts, and that no text is empty.
_PART = {
    "text": "text",
    "link": "url",
    "emoji": "name",
    "user": "user_id",
    "usergroup": "usergroup_id",
    "channel": "channel_id",
    "team": "team_id",
    "broadcast": "range",
    "date": "format",
    "color": "value",
}
_PARTS = items(by_type({kind: record({key: string(40_000)}, closed=False) for kind, key in _PART.items()}), 10_000, 0)
_SECTION_OF_PARTS = record({"elements": _PARTS}, closed=False)
_RICH_ELEMENTS = items(
    by_type(
        {
            "rich_text_section": _SECTION_OF_PARTS,
            "rich_text_preformatted": _SECTION_OF_PARTS,
            "rich_text_quote": _SECTION_OF_PARTS,
            "rich_text_list": record(
                {"elements": items(by_type({"rich_text_section": _SECTION_OF_PARTS}), 10_000), "style": one_of("bullet", "ordered")},
                closed=False,
            ),
        }
    ),
    10_000,
)
_RICH_TEXT = _block({"elements": _RICH_ELEMENTS})

_CELL = by_type(
    {
        "raw_text": record({"text": string(10_000)}),
        "raw_number": record({"value": number, "text": string(10_000)}),
        "rich_text": record({"elements": _RICH_ELEMENTS}),
    }
)
_COLUMN = nullable(record({}, {"align": one_of("left", "center", "right"), "is_wrapped": boolean}))

_BLOCK = by_type(
    {
        "actions": _block({"elements": items(by_type(_INTERACTIVE), 25)}),
        "context": _block({"elements": items(_CONTEXT_ELEMENT, 10)}),
        "divider": _block({}),
        "header": _block({"text": _plain(150)}),
        "image": exactly_one(_block({"alt_text": string(2000)}, {**_IMAGE_FIELDS, "title": _plain(2000)}), "image_url", "slack_file"),
        "markdown": _block({"text": string(MAX_MARKDOWN)}),
        "rich_text": _RICH_TEXT,
        "section": at_least_one(
            _block({}, {"text": _text(3000), "fields": items(_text(2000), 10), "accessory": _ACCESSORY, "expand": boolean}),
            "text",
            "fields",
        ),
        "table": _block({"rows": items(items(_CELL, 20), 100)}, {"column_settings": items(_COLUMN, 20)}),
    }
)
_MESSAGE = items(_BLOCK, MAX_BLOCKS, 0)
