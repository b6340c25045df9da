"""The Block Kit checks: what slack_sdk's own models make passes, and each documented limit is found one step beyond it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from slack_sdk.models.blocks import (
    ActionsBlock,
    ButtonElement,
    ConfirmObject,
    ContextBlock,
    DividerBlock,
    HeaderBlock,
    ImageBlock,
    ImageElement,
    MarkdownBlock,
    MarkdownTextObject,
    Option,
    OverflowMenuElement,
    PlainTextObject,
    RawTextObject,
    RichTextBlock,
    RichTextListElement,
    RichTextSectionElement,
    SectionBlock,
    StaticSelectElement,
    TableBlock,
)
from slack_sdk.models.blocks.block_elements import RichTextElementParts

from sandbox.slack_blocks import check_blocks, too_long


def plain(length: int = 5) -> dict[str, Any]:
    return {"type": "plain_text", "text": "x" * length}


def mrkdwn(length: int = 5) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": "x" * length}


def section(**fields: Any) -> dict[str, Any]:
    return {"type": "section", **(fields or {"text": mrkdwn()})}


def button(number: int = 1, **fields: Any) -> dict[str, Any]:
    return {"type": "button", "text": plain(), "action_id": f"a{number}", **fields}


def actions(*elements: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"type": "actions", "elements": list(elements), **fields}


def option(text: int = 5, value: int = 5, **fields: Any) -> dict[str, Any]:
    return {"text": plain(text), "value": "v" * value, **fields}


def select(**fields: Any) -> dict[str, Any]:
    return {"type": "static_select", "action_id": "s", **(fields or {"options": [option()]})}


def confirm(**lengths: int) -> dict[str, Any]:
    return {key: plain(lengths.get(key, 3)) for key in ("title", "text", "confirm", "deny")}


def image(**fields: Any) -> dict[str, Any]:
    return {"type": "image", "alt_text": "a chart", "image_url": "https://example.com/a.png", **fields}


def table(rows: int = 1, columns: int = 1, **fields: Any) -> dict[str, Any]:
    return {"type": "table", "rows": [[{"type": "raw_text", "text": "x"}] * columns] * rows, **fields}


def row(*cells: dict[str, Any]) -> dict[str, Any]:
    return {"type": "table", "rows": [list(cells)]}


def rich(*elements: dict[str, Any]) -> dict[str, Any]:
    return {"type": "rich_text", "elements": list(elements)}


def rich_section(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"type": "rich_text_section", "elements": list(parts)}


def test_what_the_official_models_make_is_accepted() -> None:
    """One block of every known kind, made by slack_sdk, has no fault."""
    sure = ConfirmObject(title="Sure?", text="It stops.", confirm="Yes", deny="No")
    blocks = [
        HeaderBlock(text="Budget"),
        SectionBlock(text=MarkdownTextObject(text="*80 %*", verbatim=True), fields=["a", "b"]),
        SectionBlock(
            text="Undo", accessory=OverflowMenuElement(action_id="o", options=[Option(text="A", value="a"), Option(text="B", value="b")])
        ),
        DividerBlock(block_id="line"),
        ContextBlock(elements=[PlainTextObject(text="x", emoji=True), ImageElement(alt_text="i", image_url="https://example.com/i.png")]),
        ActionsBlock(
            elements=[
                ButtonElement(text="Restore", action_id="restore", value="v", style="danger", confirm=sure),
                StaticSelectElement(placeholder="Hold", action_id="hold", options=[Option(text="A day", value="1d")]),
            ]
        ),
        ImageBlock(image_url="https://example.com/i.png", alt_text="a chart", title="Spend"),
        MarkdownBlock(text="**bold**"),
        RichTextBlock(
            elements=[
                RichTextSectionElement(elements=[RichTextElementParts.Text(text="hello")]),
                RichTextListElement(style="bullet", elements=[RichTextSectionElement(elements=[RichTextElementParts.Emoji(name="x")])]),
            ]
        ),
        TableBlock(rows=[[RawTextObject(text="Service"), RawTextObject(text="Cost")]], column_settings=[None, {"align": "right"}]),
    ]
    assert check_blocks([block.to_dict() for block in blocks]) == []


@pytest.mark.parametrize(
    "block",
    [
        section(text=mrkdwn(3000)),
        section(fields=[plain(2000)] * 10),
        section(text=mrkdwn(), accessory=image()),
        {"type": "header", "text": {**plain(150), "emoji": False}, "block_id": "b" * 255},
        {"type": "context", "elements": [mrkdwn()] * 10},
        actions(*[button(number) for number in range(25)]),
        actions(button(value="v" * 2000, url="u" * 3000, text=plain(75), style="primary", accessibility_label="l" * 75)),
        actions(button(confirm=confirm(title=100, text=300, confirm=30, deny=30))),
        actions(select(options=[option(75, 150, description=plain(75))] * 100, placeholder=plain(150))),
        actions(select(option_groups=[{"label": plain(75), "options": [option()]}])),
        actions({"type": "datepicker"}, {"type": "datetimepicker"}, {"type": "timepicker"}, {"type": "users_select"}),
        actions({"type": "checkboxes", "options": [{"text": mrkdwn(), "value": "v"}]}, {"type": "radio_buttons", "options": [option()]}),
        image(title=plain(2000)),
        {"type": "image", "alt_text": "x", "slack_file": {"id": "F1"}},
        {"type": "markdown", "text": "x" * 12_000},
        table(100, 20, column_settings=[{"align": "center", "is_wrapped": True}] * 20),
        row({"type": "raw_number", "value": 1.5, "text": "1.5"}, rich(rich_section({"type": "text", "text": "x"}))),
        rich(rich_section(), rich_section({"type": "text", "text": "x", "style": {"bold": True}})),
    ],
)
def test_what_is_just_within_its_limits_is_accepted(block: dict[str, Any]) -> None:
    """A block at the very limit has no fault."""
    assert check_blocks([block]) == []


@pytest.mark.parametrize(
    ("block", "fault"),
    [
        (section(text=mrkdwn(3001)), "must be less than 3001 characters [json-pointer:/blocks/0/text/text]"),
        (section(text=mrkdwn(0)), "must be more than 0 characters [json-pointer:/blocks/0/text/text]"),
        (section(text="plain"), "must provide an object [json-pointer:/blocks/0/text]"),
        (section(text={"text": "x"}), "missing required field: type [json-pointer:/blocks/0/text]"),
        (section(text={"type": "html", "text": "x"}), "unsupported type: html [json-pointer:/blocks/0/text/type]"),
        (section(text={"type": "mrkdwn", "text": 5}), "must provide a string [json-pointer:/blocks/0/text/text]"),
        (section(text={**mrkdwn(), "emoji": True}), "invalid additional property: emoji [json-pointer:/blocks/0/text]"),
        (section(text={**mrkdwn(), "verbatim": "yes"}), "must provide a boolean [json-pointer:/blocks/0/text/verbatim]"),
        (section(fields=[plain(2001)]), "must be less than 2001 characters [json-pointer:/blocks/0/fields/0/text]"),
        (section(fields=[plain()] * 11), "no more than 10 items allowed [json-pointer:/blocks/0/fields]"),
        (section(fields=[]), "no fewer than 1 items allowed [json-pointer:/blocks/0/fields]"),
        (section(block_id="b"), "missing required field: text or fields [json-pointer:/blocks/0]"),
        (section(text=mrkdwn(), colour="red"), "invalid additional property: colour [json-pointer:/blocks/0]"),
        (section(text=mrkdwn(), block_id="b" * 256), "must be less than 256 characters [json-pointer:/blocks/0/block_id]"),
        (section(text=mrkdwn(), accessory=plain()), "unsupported type: plain_text [json-pointer:/blocks/0/accessory/type]"),
        ({"type": "header", "text": plain(151)}, "must be less than 151 characters [json-pointer:/blocks/0/text/text]"),
        ({"type": "header", "text": mrkdwn()}, "unsupported type: mrkdwn [json-pointer:/blocks/0/text/type]"),
        ({"type": "header"}, "missing required field: text [json-pointer:/blocks/0]"),
        ({"type": "divider", "text": plain()}, "invalid additional property: text [json-pointer:/blocks/0]"),
        ({"type": "context", "elements": [plain()] * 11}, "no more than 10 items allowed [json-pointer:/blocks/0/elements]"),
        ({"type": "context", "elements": []}, "no fewer than 1 items allowed [json-pointer:/blocks/0/elements]"),
        ({"type": "context", "elements": [button()]}, "unsupported type: button [json-pointer:/blocks/0/elements/0/type]"),
        ({"type": "context", "elements": "x"}, "must provide an array [json-pointer:/blocks/0/elements]"),
        (actions(*[button(number) for number in range(26)]), "no more than 25 items allowed [json-pointer:/blocks/0/elements]"),
        (actions(), "no fewer than 1 items allowed [json-pointer:/blocks/0/elements]"),
        (actions(image()), "unsupported type: image [json-pointer:/blocks/0/elements/0/type]"),
        (actions(button(text=plain(76))), "must be less than 76 characters [json-pointer:/blocks/0/elements/0/text/text]"),
        (actions(button(text=mrkdwn())), "unsupported type: mrkdwn [json-pointer:/blocks/0/elements/0/text/type]"),
        (actions(button(value="v" * 2001)), "must be less than 2001 characters [json-pointer:/blocks/0/elements/0/value]"),
        (actions(button(url="u" * 3001)), "must be less than 3001 characters [json-pointer:/blocks/0/elements/0/url]"),
        (actions(button(style="warning")), "must be one of primary, danger [json-pointer:/blocks/0/elements/0/style]"),
        (actions(button(action_id="a" * 256)), "must be less than 256 characters [json-pointer:/blocks/0/elements/0/action_id]"),
        (actions(button(1), button(1)), "action_id a1 already exists [json-pointer:/blocks/0]"),
        (
            actions(button(confirm=confirm(title=101))),
            "must be less than 101 characters [json-pointer:/blocks/0/elements/0/confirm/title/text]",
        ),
        (
            actions(button(confirm=confirm(text=301))),
            "must be less than 301 characters [json-pointer:/blocks/0/elements/0/confirm/text/text]",
        ),
        (
            actions(button(confirm=confirm(confirm=31))),
            "must be less than 31 characters [json-pointer:/blocks/0/elements/0/confirm/confirm/text]",
        ),
        (
            actions(button(confirm=confirm(deny=31))),
            "must be less than 31 characters [json-pointer:/blocks/0/elements/0/confirm/deny/text]",
        ),
        (actions(button(confirm={})), "missing required field: title [json-pointer:/blocks/0/elements/0/confirm]"),
        (actions(select(options=[option()] * 101)), "no more than 100 items allowed [json-pointer:/blocks/0/elements/0/options]"),
        (actions(select(options=[option(76)])), "must be less than 76 characters [json-pointer:/blocks/0/elements/0/options/0/text/text]"),
        (actions(select(options=[option(5, 151)])), "must be less than 151 characters [json-pointer:/blocks/0/elements/0/options/0/value]"),
        (actions(select(options=["a"])), "must provide an object [json-pointer:/blocks/0/elements/0/options/0]"),
        (actions(select(placeholder=plain())), "must have exactly one of options, option_groups [json-pointer:/blocks/0/elements/0]"),
        (
            actions(select(options=[option()], placeholder=plain(151))),
            "must be less than 151 characters [json-pointer:/blocks/0/elements/0/placeholder/text]",
        ),
        (
            actions(select(options=[option()], placeholder=mrkdwn())),
            "unsupported type: mrkdwn [json-pointer:/blocks/0/elements/0/placeholder/type]",
        ),
        (
            actions({"type": "overflow", "options": [option()] * 6}),
            "no more than 5 items allowed [json-pointer:/blocks/0/elements/0/options]",
        ),
        (
            actions({"type": "datetimepicker", "initial_date_time": "soon"}),
            "must provide a number [json-pointer:/blocks/0/elements/0/initial_date_time]",
        ),
        (
            actions({"type": "datetimepicker", "initial_date_time": True}),
            "must provide a number [json-pointer:/blocks/0/elements/0/initial_date_time]",
        ),
        (image(alt_text=""), "must be more than 0 characters [json-pointer:/blocks/0/alt_text]"),
        (image(image_url="u" * 3001), "must be less than 3001 characters [json-pointer:/blocks/0/image_url]"),
        (image(slack_file={"id": "F1"}), "must have exactly one of image_url, slack_file [json-pointer:/blocks/0]"),
        ({"type": "markdown", "text": "x" * 12_001}, "must be less than 12001 characters [json-pointer:/blocks/0/text]"),
        (table(101), "no more than 100 items allowed [json-pointer:/blocks/0/rows]"),
        (table(1, 21), "no more than 20 items allowed [json-pointer:/blocks/0/rows/0]"),
        (table(0), "no fewer than 1 items allowed [json-pointer:/blocks/0/rows]"),
        (row({"type": "raw_text", "text": ""}), "must be more than 0 characters [json-pointer:/blocks/0/rows/0/0/text]"),
        (row(mrkdwn()), "unsupported type: mrkdwn [json-pointer:/blocks/0/rows/0/0/type]"),
        (table(column_settings=[{"align": "top"}]), "must be one of left, center, right [json-pointer:/blocks/0/column_settings/0/align]"),
        (rich({"type": "paragraph"}), "unsupported type: paragraph [json-pointer:/blocks/0/elements/0/type]"),
        (rich(rich_section({"type": "text"})), "missing required field: text [json-pointer:/blocks/0/elements/0/elements/0]"),
        (
            rich(rich_section({"type": "text", "text": ""})),
            "must be more than 0 characters [json-pointer:/blocks/0/elements/0/elements/0/text]",
        ),
        ({"type": "video"}, "unsupported type: video [json-pointer:/blocks/0/type]"),
        ({"type": ["section"]}, "unsupported type: ['section'] [json-pointer:/blocks/0/type]"),
        ({"text": plain()}, "missing required field: type [json-pointer:/blocks/0]"),
        ("section", "must provide an object [json-pointer:/blocks/0]"),
    ],
)
def test_what_is_just_beyond_is_a_fault(block: Any, fault: str) -> None:
    """Each limit, broken by one, is found, with the place where it is."""
    assert fault in check_blocks([block])


def test_fifty_blocks_are_the_most() -> None:
    """A message has 50 blocks at most; none at all is no fault."""
    assert check_blocks([]) == []
    assert check_blocks([{"type": "divider"}] * 50) == []
    assert check_blocks([{"type": "divider"}] * 51) == ["no more than 50 items allowed [json-pointer:/blocks]"]
    assert check_blocks({"type": "divider"}) == ["must provide an array [json-pointer:/blocks]"]


def test_block_ids_are_unique_in_a_message_and_action_ids_in_a_block() -> None:
    """Two blocks may not share a block_id; two buttons of different blocks may share an action_id."""
    twice = [{"type": "divider", "block_id": "b"}, {"type": "divider", "block_id": "b"}]
    assert check_blocks(twice) == ["block_id b already exists [json-pointer:/blocks/1/block_id]"]
    assert check_blocks([actions(button(1)), actions(button(1))]) == []


def test_one_table_is_the_most() -> None:
    """A second table in a message is a fault."""
    assert check_blocks([table(), table()]) == ["only_one_table_allowed [json-pointer:/blocks/1]"]


def test_markdown_blocks_share_their_limit() -> None:
    """The text of all markdown blocks together has 12,000 characters at most."""
    assert check_blocks([{"type": "markdown", "text": "x" * 6000}] * 2) == []
    assert check_blocks([{"type": "markdown", "text": "x" * 6001}] * 2) == [
        "markdown blocks must be less than 12001 characters together [json-pointer:/blocks]"
    ]


@pytest.mark.parametrize(
    ("make", "fits"),
    [
        (lambda: [section(text=mrkdwn(3000))] * 4, True),
        (lambda: [section(text=mrkdwn(3000))] * 5, False),
        (lambda: [section(fields=[plain(140)]) for _ in range(50)], True),
        (lambda: [section(fields=[plain(150)]) for _ in range(50)], False),
    ],
)
def test_all_text_together_is_limited(make: Callable[[], list[Any]], fits: bool) -> None:
    """A message within every single limit may still be too long as a whole, the sooner the more blocks it has."""
    blocks = make()
    assert check_blocks(blocks) == []
    assert too_long(blocks) is not fits
