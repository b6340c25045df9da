"""Durations, shares, sizes and names as a policy writes them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from shared.policy import fields
from shared.policy.fields import Bytes, Duration, Labels, LabelValues, ServiceGlob, Share
from shared.policy.text import show


class All(BaseModel):
    """One of each."""

    length: Duration = timedelta(0)
    part: Share = Decimal(0)
    amount: Bytes = 0
    values: LabelValues = ("a",)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("0s", timedelta(0)),
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("36h", timedelta(hours=36)),
        ("14d", timedelta(days=14)),
        ("1.5h", timedelta(minutes=90)),
        ("0.001s", timedelta(milliseconds=1)),
        ("3650d", fields.LONGEST),
    ],
)
def test_a_duration_is_a_number_and_a_unit(text: str, length: timedelta) -> None:
    """A number and s, m, h or d is that length of time; 0 is one too."""
    assert fields.duration(text) == length


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("-5m", "'-5m' is negative"),
        (timedelta(seconds=-1), "is negative"),
        ("3651d", "'3651d' is longer than ten years"),
        ("999999999d", "is longer than ten years"),
        (30, "30 is not a duration; write a number and s, m, h or d, such as 30m"),
        ("30", "'30' is not a duration"),
        ("30 m", "'30 m' is not a duration"),
        ("30m\n", "is not a duration"),
        ("1w", "is not a duration"),
        ("٣m", "is not a duration"),
        (True, "true is not a duration"),
        (None, "None is not a duration"),
        ("x" * 100_000, "is not a duration"),
    ],
)
def test_what_is_no_duration_is_refused_in_a_sentence(value: object, sentence: str) -> None:
    """Negative, endless and unitless durations are refused, and the sentence shows the value."""
    with pytest.raises(ValueError, match=r"duration|longer") as refused:
        fields.duration(value)
    assert sentence in str(refused.value)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    ("text", "part"),
    [("80%", "0.8"), ("100%", "1"), ("120.0%", "1.2"), ("0%", "0"), ("12.5%", "0.125"), ("1000%", "10"), ("0.000001%", "0.00000001")],
)
def test_a_share_is_percent(text: str, part: str) -> None:
    """80% is exactly 0.8, however many zeros are written behind it."""
    assert str(fields.share(text)) == str(Decimal(part).normalize())


def test_a_share_that_is_decimal_already_stays() -> None:
    """Code may hand over the Decimal itself."""
    assert fields.share(Decimal("0.80")) == Decimal("0.8")


@pytest.mark.parametrize("value", [80, 0.8, True, "80", "0.8"])
def test_a_plain_number_is_no_share(value: object) -> None:
    """A number without a percent sign could mean two things; the sentence says what to write."""
    with pytest.raises(ValueError, match="write 80%"):
        fields.share(value)


@pytest.mark.parametrize("value", ["-5%", "%", "80 %", "80%%", "x", None, [], Decimal("NaN"), Decimal("Infinity"), Decimal(-1), "9999999%"])
def test_what_is_no_share_is_refused(value: object) -> None:
    """Negative, endless and shapeless shares are refused."""
    with pytest.raises(ValueError, match="is not a share"):
        fields.share(value)


@pytest.mark.parametrize(
    ("value", "count"),
    [
        ("5TiB", 5 * 2**40),
        ("1.5KiB", 1536),
        ("0B", 0),
        ("123456789012345678B", 123456789012345678),
        ("12B", 12),
        ("1PiB", 2**50),
        ("3GiB", 3 * 2**30),
        ("2MiB", 2**21),
        (1000, 1000),
    ],
)
def test_a_size_is_bytes(value: object, count: int) -> None:
    """Sizes are read in powers of 1024; a whole number is bytes."""
    assert fields.size(value) == count


@pytest.mark.parametrize("value", ["5TB", "5", "-1B", -1, True, 1.5, None, "5 TiB", "5tib"])
def test_what_is_no_size_is_refused(value: object) -> None:
    """A unit in thousands is ambiguous in daily use and is refused, like all that is no size."""
    with pytest.raises(ValueError, match="is not a size; write a number and B, KiB"):
        fields.size(value)


def test_a_part_of_a_byte_is_refused() -> None:
    """A size is a whole number of bytes."""
    with pytest.raises(ValueError, match="is not a whole number of bytes"):
        fields.size("0.3KiB")


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (timedelta(0), "0s"),
        (timedelta(hours=24), "1d"),
        (timedelta(hours=36), "36h"),
        (timedelta(seconds=90), "90s"),
        (timedelta(milliseconds=1500), "1.5s"),
    ],
)
def test_a_duration_is_written_short(length: timedelta, text: str) -> None:
    """The largest unit that makes it a whole number is used."""
    assert fields.duration_text(length) == text


@given(
    length=st.timedeltas(timedelta(0), fields.LONGEST).map(lambda length: timedelta(milliseconds=length // timedelta(milliseconds=1))),
    part=st.decimals(0, 9999, places=4),
    amount=st.integers(0, 2**60),
)
def test_what_is_written_as_json_reads_back_the_same(length: timedelta, part: Decimal, amount: int) -> None:
    """Parameters are kept in the journal as JSON: reading them again gives the same values."""
    kept = All(length=length, part=part, amount=amount)
    assert All.model_validate(kept.model_dump(mode="json")) == kept
    assert fields.size(fields.size_text(amount)) == amount


@given(st.one_of(st.text(), st.integers(), st.floats(), st.none(), st.booleans(), st.decimals(), st.lists(st.text())))
def test_any_value_is_taken_or_refused_in_a_sentence(value: object) -> None:
    """Whatever stands in the file, only a ValueError comes back."""
    for read in (fields.duration, fields.share, fields.size):
        said = "taken"
        try:
            read(value)
        except ValueError as refused:
            said = str(refused)
        assert said


@given(st.from_regex(r"\A[0-9]{1,12}(\.[0-9]{1,4})?(%|[smhd]|[KMGTP]?i?B|)\Z"))
def test_the_schema_takes_what_the_check_takes(text: str) -> None:
    """An editor accepts every value that the check accepts, and its pattern knows no other units."""
    schema = All.model_json_schema()
    for name in ("length", "part", "amount"):
        try:
            All.model_validate({name: text})
        except ValidationError:
            continue
        jsonschema.validate({name: text}, schema)


def test_zero_is_refused_where_it_makes_no_sense() -> None:
    """A threshold of 0%, a period of 0s and more than all of something are refused; their neighbours are not."""
    assert fields.above_nothing(Decimal("0.01")) == Decimal("0.01")
    assert fields.longer_than_nothing(timedelta(1)) == timedelta(1)
    assert fields.at_most_all(Decimal(1)) == 1
    with pytest.raises(ValueError, match="0% is reached before anything is spent"):
        fields.above_nothing(Decimal(0))
    with pytest.raises(ValueError, match="longer than 0s"):
        fields.longer_than_nothing(timedelta(0))
    with pytest.raises(ValueError, match="150% is more than all"):
        fields.at_most_all(Decimal("1.5"))


@pytest.mark.parametrize("text", ["env", "cost-center", "a_1", "équipe", "x" * 63])
def test_label_keys_that_a_resource_can_carry_are_taken(text: str) -> None:
    """Lower-case letters of any script, digits, - and _ make a key."""
    assert fields.label_key(text) == text


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (fields.label_key, ""),
        (fields.label_key, "1a"),
        (fields.label_key, "Env"),
        (fields.label_value, "Prod"),
        (fields.label_value, "*"),
        (fields.label_value, "a b"),
        (fields.label_value, "x" * 64),
        (fields.service_glob, ""),
        (fields.service_glob, "Payments"),
        (fields.service_glob, "a b"),
        (fields.service_glob, "{a,b}"),
    ],
)
def test_what_can_never_match_is_refused(check: Callable[[str], str], text: str) -> None:
    """A label or name that no resource can have would protect nothing in silence, so it is refused."""
    with pytest.raises(ValueError, match="can never match"):
        check(text)


def test_a_full_name_is_refused_where_a_short_one_is_meant() -> None:
    """Patterns meet short names; the sentence says so."""
    with pytest.raises(ValueError, match="matched against the short name"):
        fields.service_glob("projects/p/locations/r/services/s")


@pytest.mark.parametrize("text", ["*", "*-prod", "api-[ab]", "api-[!x]", "payments", "a?"])
def test_globs_of_names_are_taken(text: str) -> None:
    """The wildcards of a shell are known."""
    assert fields.service_glob(text) == text


def test_one_label_value_may_stand_without_its_list() -> None:
    """A value alone is a list of one, and an empty list is refused."""

    class Labelled(BaseModel):
        labels: Labels
        names: tuple[ServiceGlob, ...] = ()

    assert Labelled.model_validate({"labels": {"env": "dev", "team": ["a", "b"], "empty": ""}}).labels == {
        "env": ("dev",),
        "team": ("a", "b"),
        "empty": ("",),
    }
    for wrong in ([], [1], 1, None, {"a": "b"}):
        with pytest.raises(ValidationError):
            Labelled.model_validate({"labels": {"env": wrong}})


def test_values_are_shown_short_and_on_one_line() -> None:
    """A value in a sentence is quoted, without line breaks, and never long."""
    assert show("a\nb") == "'a\\nb'"
    assert show(True) == "true"
    assert len(show("x" * 1000)) < 70
