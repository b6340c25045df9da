"""Names from outside made harmless, figures and times in words, and messages cut to Slack's limits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.slack import text as slack_text
from shared.slack.text import Part

NOW = datetime(2026, 11, 12, 8, 15, tzinfo=UTC)
ANY = st.text(st.characters(), max_size=60)


@pytest.mark.parametrize(
    ("raw", "seen"),
    [
        ("plain", "plain"),
        ("two\nlines\r\n\tand \u2028 more", "two lines and more"),
        ("\x1b[31mred\x00", "[31mred"),
        ("a\u202eb\u2066c\u200bd", "a\ufffdb\ufffdc\ufffdd"),
        ("half\ud83d", "half\ufffd"),
        ("\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f468\u200d\U0001f469\u200d\U0001f467"),
        ("x" * 100, "x" * 39 + "…"),
        ("\U0001f525" * 100, "\U0001f525" * 19 + "…"),
    ],
)
def test_what_is_invisible_breaks_the_line_or_turns_it_is_taken_out(raw: str, seen: str) -> None:
    """A name is one line that shows what it is."""
    assert slack_text.clean(raw, 40) == seen


def test_no_mention_and_no_link_can_be_injected() -> None:
    """The three characters that mean something to Slack are escaped, whole even at the cut."""
    assert slack_text.prose("<!channel> & <https://x|y>") == "&lt;!channel&gt; &amp; &lt;https://x|y&gt;"
    assert slack_text.prose("a <b", 6) == "a …"
    assert slack_text.prose("```block```") == "'''block'''"


def test_nothing_ends_a_code_span_but_its_own_end() -> None:
    """Backticks inside become apostrophes, and an empty name is said to be empty."""
    assert slack_text.code("a`b`<c>") == "`a'b'&lt;c&gt;`"
    assert slack_text.code("\n") == "`(empty)`"


@settings(deadline=None)
@given(text=ANY, limit=st.integers(1, 50))
def test_what_is_made_safe_fits_and_holds_no_markup(text: str, limit: int) -> None:
    """For any text and limit the result is no longer than the limit and has no bare angle bracket."""
    for safe in (slack_text.prose(text, limit), slack_text.code(text, limit)[1:-1]):
        assert slack_text.size(safe) <= limit
        assert not set("<>\n") & set(safe)


@pytest.mark.parametrize(
    ("amount", "currency", "words"),
    [
        ("1234567.891", "USD", "$1,234,567.89"),
        ("-5", "EUR", "-€5.00"),
        ("1234567.5", "JPY", "¥1,234,568"),
        ("1000", "KRW", "KRW 1,000"),
        ("-1000.5", "CHF", "CHF -1,000.50"),
        ("0", "GBP", "£0.00"),
        ("1E+400", "USD", "$1.00E+400"),
        ("1", "<!here>", "&lt;!here… 1.00"),
    ],
)
def test_money_has_separators_and_a_sign_or_a_code(amount: str, currency: str, words: str) -> None:
    """A sign is only used where it means one currency."""
    assert slack_text.money(Decimal(amount), currency) == words


@pytest.mark.parametrize(("dollars", "words"), [("3.456", "$3.46"), ("10", "$10"), ("19651.4", "$19,651")])
def test_an_estimate_is_no_more_exact_than_it_is(dollars: str, words: str) -> None:
    """From ten dollars on the cents are left away."""
    assert slack_text.about(Decimal(dollars)) == words
    assert slack_text.about(Decimal(dollars), "CHF") == words.replace("$", "CHF ")


@pytest.mark.parametrize(
    ("share", "places", "words"),
    [
        ("0.8", "0.01", "80 %"),
        ("0.125", "0.01", "12.5 %"),
        ("0.9999", "1", "99 %"),
        ("1", "1", "100 %"),
        ("0", "1", "0 %"),
        ("12.3", "1", "1,230 %"),
        ("1E+50", "1", "over 100,000 %"),
    ],
)
def test_a_share_never_looks_larger_than_it_is(share: str, places: str, words: str) -> None:
    """Shares are rounded down, so that 99.99 percent is not shown as reached."""
    assert slack_text.percent(Decimal(share), places) == words


@pytest.mark.parametrize(("share", "filled"), [("-1", 0), ("0", 0), ("0.82", 9), ("0.99", 11), ("1", 12), ("1.4", 12), ("1E+50", 12)])
def test_the_bar_is_full_from_100_percent_on_and_not_before(share: str, filled: int) -> None:
    """Twelve cells, rounded down."""
    assert slack_text.bar(Decimal(share)) == "█" * filled + "░" * (12 - filled)


@pytest.mark.parametrize(
    ("wait", "words"),
    [
        (timedelta(seconds=-1), "now"),
        (timedelta(seconds=1), "in 1 minute"),
        (timedelta(minutes=30), "in 30 minutes"),
        (timedelta(minutes=119, seconds=30), "in 2 hours"),
        (timedelta(hours=47), "in 47 hours"),
        (timedelta(days=6), "in 6 days"),
    ],
)
def test_a_wait_is_said_in_the_unit_that_people_would_use(wait: timedelta, words: str) -> None:
    """Minutes are rounded up: nothing happens before it was announced."""
    assert slack_text.ahead(NOW + wait, NOW) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"), (1, "1 B"), (900, "900 B"), (1000, "1.0 KiB"), (2**20 - 1, "1.0 MiB"), (1_300_000, "1.2 MiB"), (38 * 2**30, "38.0 GiB"),
        (5 * 2**40, "5.0 TiB"), (2**60, "1,024.0 PiB"),
    ],
)  # fmt: skip
def test_a_size_is_written_in_the_unit_that_keeps_it_short(count: int, words: str) -> None:
    """With one decimal, and never as more than a thousand of a smaller unit."""
    assert slack_text.volume(count) == words


def test_dates_are_written_as_people_say_them() -> None:
    """In UTC, and where there is a time of the day saying so."""
    late = datetime(2026, 11, 30, 23, 5, tzinfo=timezone(timedelta(hours=-5)))
    assert slack_text.day(late) == "1 Dec 2026"
    assert slack_text.moment(late) == "1 Dec 2026 04:05 UTC"


def test_times_are_in_utc_and_say_so() -> None:
    """A time of another zone is converted."""
    assert slack_text.stamp(NOW.astimezone(timezone(timedelta(hours=5, minutes=45)))) == "2026-11-12 08:15 UTC"


def test_a_list_is_shortened_with_a_count_and_where_to_see_the_rest() -> None:
    """Twenty lines are shown at most; a list that stands nowhere else has only its count."""
    part = Part(title="DONE", lines=tuple(f"• {number}" for number in range(1020)), tail="tail")
    assert slack_text.as_text("head", [part], more="(more)").endswith("• 19\n… and 1,000 more (more)\ntail")
    preview = Part(lines=part.lines, recorded=False)
    assert slack_text.as_text("head", [preview], more="(more)").endswith("… and 1,000 more")


def test_a_section_is_never_too_long_however_long_its_lines() -> None:
    """Lines that do not fit are counted with those that were too many."""
    part = Part(title="DONE", lines=("x" * 1000,) * 5)
    section = slack_text.as_blocks("head", [part], more="(more)")[1]["text"]["text"]
    assert section.count("x") == 2000
    assert section.endswith("… and 3 more (more)")
    assert len(section) <= slack_text.SECTION


def test_when_even_the_headings_are_too_long_the_text_is_cut_at_a_line() -> None:
    """The last resort: whole lines, and how many more there are."""
    parts = [Part(title=f"{number} {'x' * 300}") for number in range(40)]
    text = slack_text.as_text("head", parts, more="")
    assert slack_text.size(text) <= slack_text.TEXT
    assert text.endswith("… and 28 more")
    assert len(slack_text.as_blocks("head", parts, more="")) == 41


def test_the_header_shows_brackets_that_cannot_be_markup() -> None:
    """Plain text needs no escaping, and none is shown by mistake; the brackets are replaced by ones that mean nothing."""
    header = slack_text.as_blocks("R&D <!channel> " + "x" * 200, [], more="")[0]["text"]
    assert header["type"] == "plain_text"
    assert header["text"].startswith("R&D \u2039!channel\u203a x")
    assert slack_text.size(header["text"]) <= slack_text.HEADER


def test_small_parts_are_context_and_links_are_not_guessed() -> None:
    """An aside is a context block, and Slack is told to leave plain words alone."""
    small, large = slack_text.as_blocks("head", [Part(tail="a", small=True), Part(title="b")], more="")[1:]
    assert small == {"type": "context", "elements": [{"type": "mrkdwn", "text": "a", "verbatim": True}]}
    assert large == {"type": "section", "text": {"type": "mrkdwn", "text": "*b*", "verbatim": True}}
