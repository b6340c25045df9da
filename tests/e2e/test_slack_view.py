"""How the page and the terminal see a Slack message."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sandbox.slack_view import Run, plain, runs, view

GOLDEN = Path(__file__).parent.parent / "golden"


def words(text: str) -> dict[str, str]:
    return {"type": "plain_text", "text": text}


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain", [Run("plain")]),
        ("", []),
        (
            "*bold* and _slanted_ and ~gone~",
            [Run("bold", bold=True), Run(" and "), Run("slanted", italic=True), Run(" and "), Run("gone", strike=True)],
        ),
        ("`a *b* <c>`", [Run("a *b* <c>", code=True)]),
        ("```x\ny```", [Run("x\ny", code=True)]),
        ("*TITLE with `code`*", [Run("TITLE with ", bold=True), Run("code", bold=True, code=True)]),
        ("2 * 3 * 4 and snake_case_name", [Run("2 * 3 * 4 and snake_case_name")]),
        ("a &lt;b&gt; &amp;amp;", [Run("a <b> &amp;")]),
        ("<https://x.example/?a=1&amp;b=2|there>", [Run("there", link="https://x.example/?a=1&b=2")]),
        ("<javascript:alert(1)|there>", [Run("there", bold=True)]),
        ("<@U012AB3CD> <!channel>", [Run("@U012AB3CD", bold=True), Run(" "), Run("@channel", bold=True)]),
    ],
)
def test_mrkdwn_is_taken_apart_as_slack_shows_it(text: str, seen: list[Run]) -> None:
    """Marks become styles, entities become characters, and only web addresses become links."""
    assert list(runs(text)) == seen


def test_a_message_without_blocks_is_its_text() -> None:
    """What Slack shows where there are no blocks."""
    assert [part["type"] for part in view({"text": "hello"})] == ["section"]


def test_every_kind_of_block_is_seen() -> None:
    """Header, section with fields, context, divider and buttons keep their order and their text."""
    blocks = [
        {"type": "header", "text": {"type": "plain_text", "text": "*Head*"}},
        {
            "type": "section",
            "text": {"type": "mrkdwn", "text": "*body*"},
            "fields": [{"type": "mrkdwn", "text": "left"}, {"type": "mrkdwn", "text": "right"}],
        },
        {"type": "divider"},
        {
            "type": "context",
            "elements": [
                {"type": "mrkdwn", "text": "small"},
                {"type": "image", "image_url": "https://x.example/a.png", "alt_text": "a picture"},
            ],
        },
        {"type": "actions", "elements": [{"type": "button", "text": {"type": "plain_text", "text": "Press"}, "action_id": "a"}]},
    ]
    assert [part["type"] for part in view({"blocks": blocks})] == ["header", "section", "divider", "context", "actions"]
    assert plain({"blocks": blocks}) == "*Head* body left right small a picture Press"


def test_what_can_be_pressed_is_seen_with_all_that_it_takes() -> None:
    """Buttons and menus, in actions or beside a section, with their ids, options and the question that comes first; images are not pressed."""
    sure = {"title": words("Sure?"), "text": {"type": "mrkdwn", "text": "*Yes?*"}, "confirm": words("Yes"), "deny": words("No")}
    day = {"text": words("A day"), "value": "1d"}
    select = {"type": "static_select", "action_id": "hold", "placeholder": words("Hold"), "option_groups": [{"options": [day]}]}
    button = {"type": "button", "action_id": "go", "text": words("Go"), "value": "v", "style": "danger", "confirm": sure}
    image = {"type": "image", "image_url": "https://x.example/a.png", "alt_text": "a picture"}
    blocks = [
        {"type": "actions", "block_id": "b", "elements": [button]},
        {"type": "section", "block_id": "s", "text": words("Or"), "accessory": {**select, "initial_option": day}},
        {"type": "section", "text": words("Look"), "accessory": image},
    ]
    first, second, third = (part["controls"] for part in view({"blocks": blocks}))
    assert third == []
    (pressed,), (chosen,) = first, second
    assert (pressed["type"], pressed["block_id"], pressed["action_id"], pressed["text"]) == ("button", "b", "go", "Go")
    assert (pressed["style"], pressed["value"], pressed["options"]) == ("danger", "v", [])
    asks = pressed["confirm"]
    assert (asks["title"], asks["confirm"], asks["deny"], asks["runs"][0]["text"]) == ("Sure?", "Yes", "No", "Yes?")
    assert (chosen["type"], chosen["text"], chosen["options"]) == ("static_select", "Hold", [{"value": "1d", "text": "A day"}])
    assert (chosen["selected"], chosen["confirm"]) == ("1d", None)
    assert plain({"blocks": blocks}) == "Go Or Hold Look a picture"


@pytest.mark.parametrize("file", sorted(GOLDEN.glob("letter_*.json")), ids=lambda file: str(file.stem))
def test_all_of_the_watchdogs_letters_can_be_seen(file: Path) -> None:
    """Every letter begins with its heading, and every part of it has text."""
    parts = view({"blocks": json.loads(file.read_text(encoding="utf-8"))})
    assert parts[0]["type"] == "header"
    assert all(part.get("runs") or part.get("elements") for part in parts)
