"""What an audit finds about budgets."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from shared.audit.estate import Gap, JournalSeen
from shared.audit.seen import BudgetSeen, SubscriptionSeen, TopicSeen
from shared.journal import BudgetState, SeriesPoint
from tests.estates import DAY, NOW, POLICY, an_estate, found, told
from tests.stage import IDLE_80, PROJECT, a_policy

ACCOUNT = "01D4EE-079462-DFD6EC"
TOPIC = f"projects/{PROJECT}/topics/budgets"
THRESHOLDS: Any = ((Decimal("0.8"), "actual"),)
BUDGET = BudgetSeen(
    f"billingAccounts/{ACCOUNT}/budgets/b-1", "ML", Decimal(100), "USD", credits="EXCLUDE_ALL_CREDITS", thresholds=THRESHOLDS, topic=TOPIC,
)  # fmt: skip
CAP_THRESHOLDS: Any = tuple((Decimal(share), "actual") for share in ("0.5", "0.8", "1.0"))
CAP = replace(
    BUDGET, projects=("projects/42",), services=("services/152E-C115-5142",), thresholds=CAP_THRESHOLDS, topic="", project_recipients=True,
)  # fmt: skip
SUBSCRIBED = TopicSeen(TOPIC, "budgets", subscriptions=(SubscriptionSeen(f"projects/{PROJECT}/subscriptions/s"),))


def budget(**more: Any) -> BudgetSeen:
    """A budget with nothing wrong but what is said."""
    return replace(BUDGET, **more)


def test_nothing_is_wrong() -> None:
    """A budget of the whole account with an actual threshold and a topic that is subscribed to."""
    estate = an_estate(budgets=(BUDGET,), topics=(SUBSCRIBED,))
    names = ("no_budget", "budget_thresholds", "budget_topic", "budget_credits", "budget_steps", "spend_cap")
    assert {name: told(name, estate) for name in names} == {key: [] for key in names}
    unseen = an_estate(budgets=None, topics=None)
    assert {name: told(name, unseen) for name in names} == {key: [] for key in names}


def test_no_budget() -> None:
    """A project is watched by a budget of the whole account, or by one that names it by its id or number."""
    for projects in (("projects/42",), (f"projects/{PROJECT}",), ()):
        assert found("no_budget", an_estate(budgets=(budget(projects=projects),))) == []
    (finding,) = found("no_budget", an_estate(budgets=(budget(projects=("projects/7",)),)))
    assert (finding.resource, finding.severity, finding.what) == (f"projects/{PROJECT}", "high", "is watched by no budget")
    assert f"--filter-projects=projects/{PROJECT}" in finding.mend[0]


def test_budgets_that_watch_a_part() -> None:
    """One that counts certain services or labels alone leaves the rest unwatched, and one whose period is over all of it."""
    for part in ({"services": ("services/A",)}, {"labels": True}):
        more: dict[str, Any] = part
        assert told("no_budget", an_estate(budgets=(budget(**more),))) == [
            (PROJECT, "medium", "is watched only in part, by 'ML': certain services, or what carries a label")
        ]
        assert found("no_budget", an_estate(budgets=(budget(**more), BUDGET))) == []
    over = budget(calendar_period="", custom_end=date(2026, 11, 1))
    assert [severity for _, severity, _ in told("no_budget", an_estate(budgets=(over,)))] == ["high"]


def test_budgets_that_may_be_there() -> None:
    """Where the number of a project or the budgets of an account could not be asked, what is missing may be among what was not seen."""
    elsewhere = budget(projects=("projects/42",))
    number = Gap("budgets", f"the number of project {PROJECT}", "permission denied", denied=True, on=f"project {PROJECT}")
    assert found("no_budget", an_estate(budgets=(elsewhere,), numbers={}, gaps=(number,))) == []
    assert len(found("no_budget", an_estate(budgets=(), numbers={}, gaps=(number,)))) == 1
    account = Gap("budgets", "the budgets of B", "permission denied", denied=True, on="billing account B")
    misspelt = a_policy("{at: 50%, do: [notify]}", budget="MI")
    assert found("no_budget", an_estate(budgets=(budget(projects=("projects/7",)),), policy=misspelt, gaps=(account,))) == []


def test_budgets_that_the_policy_names() -> None:
    """One that there is not is told; an id counts as a name."""
    for name in ("ML", "b-1"):
        assert found("no_budget", an_estate(budgets=(BUDGET,), policy=a_policy("{at: 50%, do: [notify]}", budget=name))) == []
    misspelt = a_policy("{at: 50%, do: [notify]}", budget="MI")
    assert [what for _, _, what in told("no_budget", an_estate(budgets=(BUDGET,), policy=misspelt))] == [
        "the policy means the budget 'MI', and there is none of that name or id"
    ]


def test_thresholds() -> None:
    """None at all, none on actual spend, or a period that is over."""
    wrong = (
        budget(name=f"{BUDGET.name}1", thresholds=()), budget(name=f"{BUDGET.name}2", thresholds=((Decimal(1), "forecast"),)),
        budget(name=f"{BUDGET.name}3", calendar_period="", custom_end=date(2026, 11, 1)), budget(calendar_period="", custom_end=date(2026, 12, 1)),
    )  # fmt: skip
    assert [what for _, _, what in told("budget_thresholds", an_estate(budgets=wrong))] == [
        "'ML' has no thresholds at all", "'ML' has none on actual spend",
        "the custom period of 'ML' ended on 2026-11-01, so it sends no messages any more",
    ]  # fmt: skip


def test_amounts() -> None:
    """Of nothing there is no share, and what moves with the last period is good to know; of a budget that the policy means."""
    wrong = (budget(amount=Decimal(0)), budget(name=f"{BUDGET.name}2", amount=None, currency=""))
    assert told("budget_thresholds", an_estate(budgets=wrong)) == [
        ("amount", "medium", "'ML' has an amount of 0"), ("amount", "low", "'ML' allows what the last period cost"),
    ]  # fmt: skip
    foreign = a_policy("{at: 50%, do: [notify]}", budget="Another")
    assert found("budget_thresholds", an_estate(budgets=wrong, policy=foreign)) == []


def test_topics() -> None:
    """Connected to none, to one that is gone, or to one that nobody listens to."""
    for topics, seen, what in (
        ((SUBSCRIBED,), budget(topic=""), "'ML' is connected to no topic"),
        ((replace(SUBSCRIBED, exists=False),), BUDGET, f"'ML' sends its messages to {TOPIC}, which is gone"),
        ((replace(SUBSCRIBED, subscriptions=()),), BUDGET, f"'ML' sends its messages to {TOPIC}, to which nothing subscribes"),
    ):
        assert told("budget_topic", an_estate(budgets=(seen,), topics=topics)) == [("b-1", "high", what)]
    assert found("budget_topic", an_estate(budgets=(BUDGET,), topics=(replace(SUBSCRIBED, subscriptions=None),))) == []
    foreign = a_policy("{at: 50%, do: [notify]}", budget="Another")
    assert found("budget_topic", an_estate(budgets=(budget(topic=""),), policy=foreign)) == []


def test_topics_of_any_budget() -> None:
    """A rule for any budget is served by one that is connected. A spend cap can be connected to nothing, so it is told of only where it is named."""
    loose = budget(name=f"{BUDGET.name}2", topic="")
    assert told("budget_topic", an_estate(budgets=(BUDGET, loose), topics=(SUBSCRIBED,))) == [
        ("b-12", "low", "'ML' is connected to no topic")
    ]
    named = a_policy("{at: 50%, do: [notify]}", budget="ML")
    assert [severity for _, severity, _ in told("budget_topic", an_estate(budgets=(BUDGET, loose), policy=named))] == ["high"]
    assert found("budget_topic", an_estate(budgets=(CAP,))) == found("budget_steps", an_estate(budgets=(CAP,))) == []
    (finding,) = found("budget_topic", an_estate(budgets=(CAP,), policy=named))
    assert (finding.severity, finding.mend) == (
        "high",
        ("it looks like a spend cap, which can have no topic: name another budget in policy.yaml, beside the cap",),
    )


def test_credits() -> None:
    """The default takes credits off; only budgets that the policy means are told of."""
    assert told("budget_credits", an_estate(budgets=(budget(credits="INCLUDE_ALL_CREDITS"),))) == [
        ("b-1", "low", "'ML' counts cost after credits")
    ]
    foreign = a_policy("{at: 50%, do: [notify]}", budget="Another")
    assert found("budget_credits", an_estate(budgets=(budget(credits="INCLUDE_ALL_CREDITS"),), policy=foreign)) == []


def test_steps() -> None:
    """A step on forecast spend that no threshold can tell of is grave; a threshold without a step is not. A higher threshold tells of a lower step, too."""
    policy = a_policy("{at: 80%, do: [notify]}", "{at: 90%, on: forecast, do: [notify]}", "{at: 120%, on: forecast, do: [notify]}")
    estate = an_estate(
        policy=policy, budgets=(budget(thresholds=((Decimal("0.5"), "actual"), (Decimal("0.8"), "actual"), (Decimal(1), "forecast"))),)
    )
    assert told("budget_steps", estate) == [
        ("forecast", "high", "'ML' has no threshold on forecast spend for the step at 120 %"),
        ("unknown", "low", "'ML' has thresholds for which the policy has no step: 50 % (actual), 100 % (forecast)"),
    ]
    deaf = an_estate(policy=policy, budgets=(BUDGET,))
    (finding,) = found("budget_steps", deaf)
    assert finding.what.endswith("for the steps at 90 %, 120 %")
    assert finding.mend[0].endswith(
        "--add-threshold-rule=percent=0.9,basis=forecasted-spend --add-threshold-rule=percent=1.2,basis=forecasted-spend"
    )
    (custom,) = found("budget_steps", an_estate(policy=policy, budgets=(budget(calendar_period=""),)))
    assert custom.mend == (
        "a budget with a custom period has no forecast: give it a calendar period, or take these steps out of policy.yaml",
    )
    quiet = a_policy("{at: 80%, do: [notify]}", "{at: 90%, do: [notify]}", "{at: 100%, do: [notify]}")
    (missing,) = found("budget_steps", an_estate(policy=quiet, budgets=(BUDGET,)))
    assert (missing.severity, missing.what) == ("low", "'ML' has no threshold for the steps at 90 %, 100 %")
    assert missing.mend[0].endswith("--add-threshold-rule=percent=0.9 --add-threshold-rule=percent=1")
    assert found("budget_steps", an_estate(policy=quiet, budgets=(budget(thresholds=()),))) == []
    foreign = a_policy("{at: 50%, do: [notify]}", budget="Another")
    assert found("budget_steps", an_estate(budgets=(BUDGET,), policy=foreign)) == []


def states(*costs: int, amount: int = 100) -> JournalSeen:
    """A budget that told these costs, a day apart, the last one now."""
    points = [
        SeriesPoint(at=NOW - (len(costs) - 1 - number) * DAY, cost=Decimal(cost), amount=Decimal(amount))
        for number, cost in enumerate(costs)
    ]
    state = BudgetState(
        period_start=datetime(2026, 11, 1, 7, tzinfo=UTC), claims={"actual-0.8": "budget-x", "observe/actual-1": "budget-y"}, last_sent_at=NOW, series=tuple(points),
        name="ML", currency="USD", heard_at=NOW,
    )  # fmt: skip
    return JournalSeen(budgets={(ACCOUNT, "b-1"): state})


def test_overspend() -> None:
    """Used up is grave; going to be used up within the period is worth a look, with the date."""
    (used,) = found("overspend", an_estate(journal=states(90, 101)))
    assert (used.severity, used.what, used.why) == (
        "high",
        "'ML' is used up: 101 % is spent",
        "Steps of the policy carried out in this period: actual-0.8",
    )
    (soon,) = found("overspend", an_estate(journal=states(60, 65, 70, 75, 80)))
    assert (soon.severity, soon.what) == ("medium", "'ML' is used up on 28 Nov at this rate (about $5.00 a day, estimate); 80 % is spent")
    assert found("overspend", an_estate(journal=states(10, 11, 12, 13, 14))) == []
    assert found("overspend", an_estate(journal=states(10, amount=0))) == []
    assert found("overspend", an_estate()) == []
    nothing = states(101)
    nothing.budgets[ACCOUNT, "b-1"].claims.clear()
    assert found("overspend", an_estate(journal=nothing))[0].why.endswith("none")


def test_the_ladder_of_a_budget_that_is_used_up() -> None:
    """What is still to come stands beside it."""
    ladder = a_policy(IDLE_80, "{at: 100%, approve: true, do: [notify]}", "{at: 90%, on: forecast, do: [notify]}")
    assert found("overspend", an_estate(policy=ladder, journal=states(101)))[0].policy == (
        "still to come: notify at 100 % after a yes, notify at 90 % forecast"
    )
    assert found("overspend", an_estate(journal=states(101)))[0].policy == "no step is left in this period"
    foreign = a_policy(IDLE_80, budget="Another")
    assert found("overspend", an_estate(policy=foreign, journal=states(101)))[0].policy == "no rule of the policy means this budget"


def test_a_period_that_is_over_or_has_no_end() -> None:
    """What a budget spent in a period long ago says nothing of now; where the end is not known, a date is only good to know."""
    assert len(found("overspend", an_estate(now=NOW + 4 * DAY, journal=states(101)))) == 1
    assert found("overspend", an_estate(now=NOW + 40 * DAY, journal=states(101))) == []
    journal = states(60, 65, 70, 75, 80)
    custom = journal.budgets[ACCOUNT, "b-1"].but(period_start=datetime(2026, 10, 15, 7, tzinfo=UTC))
    (soon,) = found("overspend", an_estate(journal=replace(journal, budgets={(ACCOUNT, "b-1"): custom})))
    assert (soon.severity, soon.what) == (
        "low",
        "'ML' is used up on 28 Nov at this rate (about $5.00 a day, estimate; when its period ends is not known); 80 % is spent",
    )


def test_a_spend_cap_on_the_watchdog() -> None:
    """What looks like one by all the rules that Google has for them, on the watchdog's own project."""
    assert told("spend_cap", an_estate(budgets=(CAP,))) == [
        ("b-1", "high", f"'ML' looks like a spend cap on Cloud Run in {PROJECT}, where the watchdog itself runs")
    ]
    other_service = told("spend_cap", an_estate(budgets=(replace(CAP, services=("services/A",)),)))
    assert other_service == [
        ("b-1", "medium", f"'ML' looks like a spend cap on the service A in {PROJECT}, where the watchdog itself runs")
    ]
    others: tuple[dict[str, Any], ...] = (
        {"projects": ("projects/7",)}, {"services": ()}, {"labels": True}, {"credits": "INCLUDE_ALL_CREDITS"}, {"thresholds": CAP.thresholds[:2]}, {"topic": TOPIC},
        {"project_recipients": False}, {"calendar_period": "QUARTER"},
    )  # fmt: skip
    for other in others:
        assert found("spend_cap", an_estate(budgets=(replace(CAP, **other),))) == []
    assert POLICY.budgets
