"""What can be typed behind the slash command, and that nothing else does anything."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.slack.command import BadCommandError, Command, understood

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Command("help")),
        ("  HELP ", Command("help")),
        ("status", Command("status")),
        ("audit", Command("audit")),
        ("plan", Command("plan")),
        ("plan 80%", Command("plan", share=Decimal("0.8"))),
        ("plan 90% forecast ML Training Budget", Command("plan", "ML Training Budget", share=Decimal("0.9"), basis="forecast")),
        ("plan My Budget", Command("plan", "My Budget")),
        ("restore all", Command("restore", "all")),
        ("restore trainer", Command("restore", "trainer")),
        ("hold trainer 4h", Command("hold", "trainer", until=NOW + timedelta(hours=4))),
        ("hold trainer 2026-12-01T00:00Z", Command("hold", "trainer", until=datetime(2026, 12, 1, tzinfo=UTC))),
        ("hold trainer end", Command("hold", "trainer", until=NOW)),
    ],
)
def test_what_is_understood(text: str, expected: Command) -> None:
    """Words in any case, with blanks around them."""
    assert understood(text, NOW) == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("delete everything", "There is no `delete`"),
        ("<!channel>`", "There is no `&lt;!channel&gt;'`"),
        ("status now", "stands alone"),
        ("plan banana%", "The share cannot be used"),
        ("restore", "Say what is to be put back"),
        ("restore a b", "Say what is to be put back"),
        ("hold trainer", "and for how long"),
        ("hold trainer soon", "`soon` is no time"),
        ("hold trainer 2026-12-01T00:00", "names no time zone"),
        ("hold trainer 9999-12-31T23:59:59-23:59", "is no time"),
        ("hold trainer 400d", "longer than a year"),
        ("hold trainer 2030-01-01T00:00Z", "more than a year ahead"),
    ],
)
def test_what_is_not(text: str, why: str) -> None:
    """The sentence says what is wrong with it, and nothing of it means anything in Slack."""
    with pytest.raises(BadCommandError) as failure:
        understood(text, NOW)
    assert why in str(failure.value)


@given(st.text(max_size=200))
def test_any_text_is_understood_or_refused(text: str) -> None:
    """Nothing else happens, whatever is typed; what is said back names no channel and nobody."""
    said = ""
    try:
        understood(text, NOW)
    except BadCommandError as error:
        said = str(error)
    assert "<!" not in said
    assert "<@" not in said
