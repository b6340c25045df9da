"""How fast a budget is used up: what messages that come late, twice, in any order and with falling spends make of it, and what they do not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import accumulate
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.burn import DAY, HORIZON, Burn, Reach, Rise, estimate, month_end
from shared.journal import SeriesPoint
from shared.model import BudgetNotification
from shared.report.burn import sentences

START = datetime(2026, 11, 1, 7, tzinfo=UTC)
END = datetime(2026, 12, 1, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)
SHARES = tuple(Decimal(share) for share in ("0.5", "0.8", "0.9", "1", "1.2"))
AMOUNT = Decimal(10_000)


def point(at: datetime, cost: object, amount: Decimal = AMOUNT) -> SeriesPoint:
    """A message."""
    return SeriesPoint(at=at, cost=Decimal(str(cost)), amount=amount)


def days(*spent: int, start: datetime = START, amount: Decimal = AMOUNT) -> list[SeriesPoint]:
    """Six messages a day, for days of which each spends so much, evenly."""
    before = [0, *accumulate(spent)]
    told = [
        point(start + number * DAY + sixth * 4 * HOUR, before[number] + Decimal(each * sixth) / 6, amount)
        for number, each in enumerate(spent)
        for sixth in range(1, 7)
    ]
    return [point(start, 0, amount), *told]


def burn(points: Sequence[SeriesPoint], **more: Any) -> Burn | None:
    """The estimate at the newest message."""
    now = max((each.at for each in points), default=START)
    asked: dict[str, Any] = {"shares": SHARES, "period_start": START, "now": now}
    return estimate(points, **(asked | more))


def known(points: Sequence[SeriesPoint], **more: Any) -> Burn:
    """The same where there is one."""
    found = burn(points, **more)
    assert found
    return found


def dates(found: Burn) -> dict[str, datetime]:
    """The dates by their shares."""
    return {str(reach.share): reach.at for reach in found.reaches}


# the rate


def test_a_steady_spend_goes_on() -> None:
    """10 days of 300: 90 percent an hour before the month ends, since it has an hour more than 30 days; the rest would come after it."""
    found = known(days(*[300] * 10))
    assert found.per_day == 300
    assert dates(found) == {"0.5": START + 16 * DAY + 16 * HOUR, "0.8": START + 26 * DAY + 16 * HOUR, "0.9": START + 30 * DAY}
    assert found.month_end == END
    assert found.projected == Decimal("9012.5")
    assert found.rise is None


@pytest.mark.parametrize(
    "points",
    [
        [],
        [point(START + DAY, 500)],
        [point(START, 0), point(START + DAY, 500)],
        [point(START + hour * HOUR, hour * 20) for hour in (1, 2, 3, 23)],
        [point(START + 5 * DAY + hour * HOUR, hour * 20) for hour in (1, 12, 24)],
    ],
    ids=["none", "one", "two", "less than a day since the period began", "less than a day since the first"],
)
def test_of_too_few_messages_nothing_is_said(points: list[SeriesPoint]) -> None:
    """A lump of billing data is no rate."""
    assert burn(points) is None


def test_the_period_begins_with_nothing_spent() -> None:
    """Three messages are enough on the first day's evening, since the spend at its beginning is known."""
    points = [point(START + hour * HOUR, hour * 100) for hour in (20, 22, 24)]
    assert known(points).per_day == 2400


def test_what_was_spent_before_the_first_message_makes_no_rate() -> None:
    """The watchdog was set up in the middle of the month: only what it saw counts."""
    points = [point(START + 10 * DAY + each * 12 * HOUR, 6000 + each * 50) for each in range(5)]
    assert known(points).per_day == 100


def test_one_day_is_the_rate_and_two_are_averaged() -> None:
    """The fewer days there are, the less can be left out."""
    assert known(days(200)).per_day == 200
    assert known(days(200, 400)).per_day == 300


@pytest.mark.parametrize("odd", [3000, -3000, 0], ids=["a purchase", "a credit", "a day of late data"])
def test_one_odd_day_does_not_make_the_rate(odd: int) -> None:
    """The highest and the lowest of the days are left out."""
    assert known(days(100, 100, 100, odd, 100, 100, 100)).per_day == 100


def test_only_the_last_week_counts() -> None:
    """What is over is over."""
    assert known(days(*[900] * 5, *[100] * 7)).per_day == 100


def test_messages_that_stop_for_days_say_what_was_spent_meanwhile_and_not_when() -> None:
    """The days in between are taken as equal."""
    points = [*days(100, 100), point(START + 5 * DAY, 500), point(START + 6 * DAY, 600)]
    assert known(points).per_day == 100


def test_a_message_from_the_future_counts_as_of_now() -> None:
    """Clocks differ."""
    points = days(*[300] * 5)
    assert burn([*points[:-1], point(points[-1].at + 3 * DAY, 1500)], now=points[-1].at) == burn(points)


@pytest.mark.parametrize(("silent", "said"), [(48 * HOUR, True), (49 * HOUR, False)])
def test_after_two_days_of_silence_nothing_is_said(silent: timedelta, said: bool) -> None:
    """Nobody knows what was spent meanwhile."""
    points = days(*[300] * 5)
    assert (burn(points, now=points[-1].at + silent) is not None) is said


# the dates


@pytest.mark.parametrize("spent", [[100, 0, 0, 0], [500, -50, -50, -50, -50, -50]], ids=["flat", "falling"])
def test_a_spend_that_does_not_rise_has_no_dates(spent: list[int]) -> None:
    """And a fall is not projected."""
    points = days(*spent)
    found = known(points)
    assert found.per_day <= 0
    assert found.reaches == ()
    assert found.projected == points[-1].cost


def test_a_budget_of_nothing_has_no_shares() -> None:
    """The amount may be the last period's spend, which was nothing."""
    found = known(days(*[10] * 9, 500, amount=Decimal(0)))
    assert (found.reaches, found.rise) == ((), None)
    assert found.projected


def test_what_is_reached_by_now_is_reached_now() -> None:
    """The newest message is some hours old; a date that has passed would be nonsense."""
    points = days(*[990] * 5)
    now = points[-1].at + 10 * HOUR
    assert dates(known(points, now=now))["0.5"] == now


def test_a_date_after_the_month_is_none() -> None:
    """The next period begins with nothing spent."""
    assert dates(known(days(*[160] * 10))).keys() == set()
    assert dates(known(days(*[170] * 10))).keys() == {"0.5"}


def test_a_period_of_another_kind_has_an_end_that_is_not_known() -> None:
    """Dates are given for nearly a year, and nothing is projected."""
    start = datetime(2026, 11, 9, 8, tzinfo=UTC)
    found = known(days(*[28] * 10, start=start), period_start=start)
    assert (found.month_end, found.projected) == (None, None)
    assert dates(found).keys() == {"0.5", "0.8", "0.9", "1"}
    assert dates(known(days(*[10] * 10, start=start), period_start=start)) == {}


def test_messages_go_on_after_the_month() -> None:
    """It was a quarter or a year; for a day after the month that is not known, and nothing is said."""
    points = days(*[100] * 40)
    over = [each for each in points if each.at < END + 5 * HOUR]
    assert burn(over) is None
    assert burn(over, now=END + DAY + 5 * HOUR) is None
    assert known(points).month_end is None
    assert known([each for each in points if each.at < END]).month_end == END


PACIFIC = ZoneInfo("America/Los_Angeles")


@given(year=st.integers(2010, 2035), month=st.integers(1, 12))
def test_months_are_those_of_us_pacific(year: int, month: int) -> None:
    """Their ends are as the time zone's own rules have them, summer time among them."""
    first = datetime.combine(date(year, month, 1), time(0), PACIFIC)
    following = datetime.combine(date(year + month // 12, month % 12 + 1, 1), time(0), PACIFIC)
    assert month_end(first) == following.astimezone(UTC)
    assert month_end(first + DAY) is None
    assert month_end(first + HOUR * 5) is None


# sudden rises


@pytest.mark.parametrize(
    ("spent", "rise"),
    [
        ([100] * 5 + [900], (900, 100)),
        ([100] * 5 + [900, 900], (900, 100)),
        ([100] * 5 + [900, 900, 900], None),
        ([0] * 5 + [300], (300, 0)),
        ([-10] * 5 + [300], (300, -10)),
        ([100] * 4 + [900], (900, 100)),
        ([100] * 3 + [900], None),
        ([100] * 5 + [299], None),
        ([300] * 5 + [599], None),
        ([300] * 5 + [600], (600, 300)),
        ([100, 100, 500, 100, 100, 900], None),
        ([500, 100, 100, 100, 100, 100, 100, 100, 100, 900], (900, 100)),
        ([500] * 5 + [0, 1000], None),
        ([100] * 5 + [50, 900], (850, 100)),
    ],
    ids=[
        "a rise", "the second day of it", "the third", "out of nothing", "after credits", "three earlier days", "two earlier days", "little money", "not twice as much",
        "twice as much", "such a day was there", "such a day was long ago", "the day before came late", "partly late",
    ],
)  # fmt: skip
def test_a_sudden_rise(spent: list[int], rise: tuple[int, int] | None) -> None:
    """At least twice the highest of the days before yesterday, and two percent of the budget above their median."""
    found = known(days(*spent))
    assert found.rise == (Rise(Decimal(rise[0]), Decimal(rise[1])) if rise else None)


def test_after_a_sudden_rise_the_last_day_is_the_rate() -> None:
    """The mean of the week would say that there is time."""
    assert known(days(*[100] * 6, 900)).per_day == 900


def test_days_without_a_message_are_nothing_to_hold_a_rise_against() -> None:
    """What lies between two distant messages may have been such days too."""
    first, *rest = days(*[100] * 7, 900)
    seen = [each for each in rest if each.at >= START + 5 * DAY]
    assert known([first, *rest]).rise
    assert known([first, *seen]).rise is None


# whatever comes

COSTS = st.decimals(-(10**6), 10**9, places=2)
AMOUNTS = st.sampled_from([Decimal(0), Decimal(-5), Decimal("0.01"), Decimal(10_000), Decimal("1E+300")])
POINTS = st.lists(
    st.builds(
        lambda minutes, cost, amount: point(START + minutes * timedelta(minutes=1), cost, amount), st.integers(-600, 60_000), COSTS, AMOUNTS
    ),
    max_size=60,
)


@settings(max_examples=300)
@given(points=POINTS, shares=st.lists(st.decimals("0.001", 50, places=3), max_size=5), late=st.integers(0, 100))
def test_no_date_is_ever_nonsense(points: list[SeriesPoint], shares: list[Decimal], late: int) -> None:
    """Each lies ahead, within the period and within the year, in the order of the shares, which are not reached yet; and only a rise has any."""
    now = max((each.at for each in points), default=START) + late * HOUR
    found = burn(points, shares=shares, now=now)
    if found is None:
        return
    newest = max(points, key=lambda each: (each.at, each.cost))
    assert found.per_day > 0 or not found.reaches
    assert [reach.share for reach in found.reaches] == sorted({reach.share for reach in found.reaches} & set(shares))
    assert [reach.at for reach in found.reaches] == sorted(reach.at for reach in found.reaches)
    for reach in found.reaches:
        assert now <= reach.at <= min(now + HORIZON, found.month_end or now + HORIZON)
        assert newest.cost < reach.share * newest.amount
    assert (found.month_end is None) == (found.projected is None)
    assert found.month_end is None or now < found.month_end


@given(data=st.data(), points=POINTS)
def test_the_order_and_the_number_of_deliveries_change_nothing(data: st.DataObject, points: list[SeriesPoint]) -> None:
    """Messages come in any order."""
    assert burn(data.draw(st.permutations(points))) == burn(points)


@given(points=POINTS, power=st.integers(-3, 3))
def test_the_currency_makes_no_difference(points: list[SeriesPoint], power: int) -> None:
    """Spend in cents is used up on the same dates as spend in dollars."""
    found, times = burn(points), Decimal(10) ** power
    other = burn([point(each.at, each.cost * times, each.amount * times) for each in points])
    assert (other and other.reaches) == (found and found.reaches)
    assert (other and other.per_day) == (found and found.per_day * times)


SPENDS = st.lists(st.integers(0, 1000), min_size=3, max_size=20)


@given(spent=SPENDS, late=st.integers(0, 4), every=st.integers(1, 3))
def test_the_rate_lies_between_the_days(spent: list[int], late: int, every: int) -> None:
    """However many messages there are and wherever they stop, the rate is none that no day had."""
    told = days(*spent)
    points = told[: len(told) - late : every]
    found = burn(points)
    assert found is None or min(spent) <= found.per_day <= max(spent)


@given(spent=st.lists(st.integers(90, 110), min_size=2, max_size=20), odd=st.integers(0, 19))
def test_a_steady_spend_is_never_a_sudden_rise(spent: list[int], odd: int) -> None:
    """Nor is a day that catches up on one without billing data."""
    assert known(days(*spent)).rise is None
    late = odd % (len(spent) - 1)
    spent[late : late + 2] = [0, spent[late] + spent[late + 1]]
    assert known(days(*spent)).rise is None


# the sentences


def said(found: Burn, **more: Any) -> list[str]:
    """What people are told."""
    fields: dict[str, Any] = {
        "billing_account": "", "budget_id": "", "budget_name": "", "cost": Decimal(8000), "amount": AMOUNT, "currency": "USD", "period_start": START,
        "actual_threshold": None, "forecast_threshold": None, "message_id": "", "sent_at": START,
    }  # fmt: skip
    return list(sentences(found, BudgetNotification(**(fields | more))))


def reaches(*found: tuple[str, int]) -> tuple[Reach, ...]:
    """Shares with the number of the day on which they are reached."""
    return tuple(Reach(Decimal(share), START + number * DAY) for share, number in found)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"reaches": reaches(("1", 23)), "month_end": END}, "At this rate 100 % on 24 Nov (estimate: about $300 a day)"),
        (
            {"reaches": reaches(("0.9", 20), ("0.95", 21), ("1", 23), ("1.2", 25)), "month_end": END, "projected": Decimal(15_000)},
            "At this rate 90 % on 21 Nov, 100 % on 24 Nov (estimate: about $300 a day)",
        ),
        (
            {"reaches": reaches(("0.9", 20)), "month_end": END, "projected": Decimal("9700.5")},
            "At this rate 90 % on 21 Nov, about $9,700 (97 %) at the end of November (estimate: about $300 a day)",
        ),
        (
            {"reaches": reaches(("0.9", 61), ("1", 73))},
            "At this rate 90 % on 1 Jan, 100 % on 13 Jan (estimate: about $300 a day; when the period ends is not known)",
        ),
        ({}, "Spent about $300 a day (estimate; when the period ends is not known)"),
        ({"month_end": END, "projected": Decimal(-5)}, "At this rate about -$5.00 at the end of November (estimate: about $300 a day)"),
    ],
)
def test_what_is_said_of_the_rate(found: dict[str, Any], words: str) -> None:
    """The next share and the whole, each with its date; where the whole is not used up, what is spent in the end; and that it is an estimate."""
    assert said(Burn(Decimal(300), **found)) == [words]


def test_of_a_spend_that_does_not_rise_nothing_is_said() -> None:
    """A rate of nothing leads nowhere."""
    assert said(Burn(Decimal(0), month_end=END, projected=Decimal(8000))) == []


def test_a_sudden_rise_is_said_before_the_rate() -> None:
    """It is the news."""
    first, second = said(Burn(Decimal(900), reaches(("1", 23)), END, Decimal(20_000), Rise(Decimal(900), Decimal("210.4"))), currency="JPY")
    assert first == "Sudden rise: about ¥900 in the last day, about ¥210 a day before"
    assert second.startswith("At this rate 100 % on 24 Nov")
