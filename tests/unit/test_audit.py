"""One audit: what was seen, what was found, and what the watchdog did, in one report and in each of its forms."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import jsonschema
import pytest

from shared import checks
from shared.audit import slack as audit_slack
from shared.audit import text as audit_text
from shared.audit.audit import Question, audit
from shared.audit.category import CATEGORIES
from shared.audit.estate import Estate
from shared.audit.finding import Finding, Saving
from shared.audit.report import Report, schema
from shared.checks import Check
from shared.errors import Denied
from tests.reports import a_simulation
from tests.stage import IDLE_80, NOTIFY_50, PROJECT, STOPPED_100, a_policy
from tests.survey import Survey
from tests.yard import DAY, a_rule

DAYS = 5


@pytest.fixture
def survey() -> Survey:
    """The policy parks staging at 80 and 100 percent, and deletes failed runs."""
    return Survey(a_policy(NOTIFY_50, IDLE_80, STOPPED_100, more=f"artifacts: [{a_rule()}]"))


def report(survey: Survey, *categories: Any, **more: Any) -> Report:
    """An audit of it, which is valid under its schema."""
    question = Question(categories or CATEGORIES, **more)
    made = audit(survey.sight(), survey.policy, question, project=PROJECT, service="audit")
    jsonschema.validate(json.loads(made.model_dump_json()), schema())
    return made


def test_an_empty_estate(survey: Survey) -> None:
    """There is a report of nothing, too, and every form of it."""
    made = report(survey)
    assert (made.project, made.mode, made.asked, made.spend, made.done, made.blanks) == (PROJECT, "enforce", CATEGORIES, (), (), ())
    assert made.seen.model_dump() | {"regions": 2} == {
        "projects": (PROJECT,), "regions": 2, "services": 0, "worker_pools": 0, "executions": 0, "buckets": 1, "objects": 0, "bytes": 0, "sampled": (),
    }  # fmt: skip
    assert audit_text.render(made).startswith(made.verdict.colour)
    assert audit_slack.summary(made).blocks


def test_spend(survey: Survey) -> None:
    """The period so far, the burn rate, and the ladder with what carried out each step and when the next is reached."""
    survey.service("warm")
    for day in range(DAYS):
        survey.send(50 + 8 * day)
        survey.clock.sleep(DAY.total_seconds())
    (spend,) = report(survey).spend
    assert (spend.budget, spend.cost, spend.amount, len(spend.series)) == ("ML Training Budget", Decimal(82), Decimal(100), DAYS)
    assert spend.per_day == Decimal(8)
    assert spend.projected
    assert [(rung.at, bool(rung.entry), rung.does) for rung in spend.ladder] == [
        (Decimal("0.5"), True, ("notify",)), (Decimal("0.8"), True, ("scale_to_zero",)), (Decimal(1), False, ("scale_to_zero",)),
    ]  # fmt: skip
    assert spend.ladder[2].reached_on
    text = audit_text.render(report(survey))
    assert "ML Training Budget: " in text
    assert "at this rate" in text
    assert "ML Training Budget: $82.00 of $100.00 (82 %)" in audit_slack.summary(report(survey)).text
    assert "WORTH MENDING" not in audit_slack.summary(report(survey).but(findings=())).text


def test_a_sudden_rise(survey: Survey) -> None:
    """It is told in a sentence."""
    for cost in (10, 11, 12, 13, 14, 44):
        survey.send(cost)
        survey.clock.sleep(DAY.total_seconds())
    (spend,) = report(survey).spend
    assert spend.rise.startswith("Sudden rise: about ")
    assert spend.rise in audit_text.render(report(survey))


def test_budgets_that_the_policy_does_not_mean(survey: Survey) -> None:
    """Their spend is told without a ladder; one that only ever sent old messages is not told of."""
    survey.send(10)
    survey.policy = a_policy(NOTIFY_50, budget="Another")
    (spend,) = report(survey).spend
    assert spend.ladder == ()


def test_what_was_done(survey: Survey) -> None:
    """Open entries whenever they were made, closed ones of the last 30 days, the newest first, with the command that puts them back."""
    survey.service("warm")
    survey.send(85)
    survey.clock.sleep(60)
    survey.announced()
    done = report(survey).done
    assert [(each.what.partition(": ")[0], each.open, bool(each.undo)) for each in done] == [
        ("delete gs://acme-ml-runs/runs/run-1/", True, False), ("ML Training Budget", True, True),
    ]  # fmt: skip
    assert done[1].what == "ML Training Budget: actual-0.5 planned, actual-0.8 planned: 1 changed"
    assert done[1].undo.startswith("python -m functions restore --entry budget-")
    survey.clock.sleep(timedelta(days=40).total_seconds())
    assert len(report(survey).done) == 2
    text = audit_text.render(report(survey))
    assert "DONE WITHIN 30 DAYS (2)" in text
    assert "undo: python -m functions restore --entry" in text


def test_a_dry_run_says_so(survey: Survey) -> None:
    """What was only rehearsed is not told as done."""
    survey.policy = a_policy(IDLE_80, mode="observe")
    survey.service("warm")
    survey.send(85)
    (done,) = report(survey).done
    assert done.what == "dry run: ML Training Budget: actual-0.8 planned: 1 would be changed"
    assert done.undo == ""


def test_what_could_not_be_looked_at(survey: Survey) -> None:
    """It stands in the report, in every form."""
    survey.seer.faults["usage"] = Denied("may not read metrics")
    made = report(survey)
    assert [(blank.what, blank.reason) for blank in made.blanks] == [(f"the traffic of the services of {PROJECT}", "may not read metrics")]
    assert "NOT LOOKED AT (1)" in audit_text.render(made)
    assert "may not read metrics" in audit_slack.summary(made).text


def test_nothing_could_be_looked_at(survey: Survey) -> None:
    """Whoever is not signed in is told so once, and not of every region."""
    survey.seer.faults["running"] = Denied("your default credentials were not found")
    with pytest.raises(
        Denied, match=r"nothing could be looked at; the first was the executions of jobs of .*: your default credentials were not found"
    ):
        audit(survey.sight(deployed=False), survey.policy, Question(("serving",), ("p",)), project="p")


def test_only_some_categories(survey: Survey) -> None:
    """Only what they need is asked for."""
    assert report(survey, "labels").asked == ("labels",)
    assert survey.seer.asked == []


def test_projects_that_are_asked_for(survey: Survey) -> None:
    """They beat the policy's."""
    assert report(survey, projects=("another-one",)).seen.projects == ("another-one",)


@pytest.fixture
def money(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that finds as much as there can be to say about two things."""

    def find(_: Estate) -> Iterator[Finding]:
        saving = Saving(monthly=Decimal(120), basis="3 instances x $40")
        yield check.finding(
            f"projects/{PROJECT}/locations/us-central1/services/warm", "medium", "keeps 3 instances warm", "They cost money", saving=saving,
            mend=("gcloud one", "gcloud two\n  --more"), policy="the step at 80 % does", labels={"team": "nlp"},
        )  # fmt: skip
        yield check.finding("gs://odd", "high", "is <odd>", "Because & so")

    check = Check("money", "serving", "warm instances", frozenset({"resources"}), find)
    registry = {"money": check}
    monkeypatch.setattr(checks, "registry", lambda: registry)
    monkeypatch.setattr("shared.audit.audit.registry", lambda: registry)


@pytest.mark.usefixtures("money")
def test_findings_in_every_form(survey: Survey) -> None:
    """The verdict, the levers, and each finding with its why, its saving, its commands and what the policy does about it."""
    survey.service("safe", labels={"env": "prod"})
    made = report(survey)
    assert made.verdict.colour == "RED"
    assert (made.monthly_saving, [lever.lever for lever in made.levers]) == (Decimal(120), ["warm instances"])
    text = audit_text.render(made)
    for line in (
        "RED: 1 finding to act upon now; the first: odd is <odd>; about $120 a month could be saved (estimate)",
        "COULD BE SAVED: about $120 a month at list price (estimate)",
        f"  MEDIUM {PROJECT}/us-central1/warm  $120 a month (estimate)",
        "         saving: 3 instances x $40",
        "         policy: the step at 80 % does",
        "         $ gcloud one",
        "         - --more",
        f"  projects/{PROJECT}/locations/us-central1/services/safe: protected by the label env=prod",
    ):
        assert line in text.splitlines(), line
    slack = audit_slack.summary(made).text
    assert "is &lt;odd&gt;" in slack
    assert "about $120 a month" in slack


@pytest.mark.usefixtures("money")
def test_long_reports_are_cut_and_say_so(survey: Survey) -> None:
    """The text names the first of long lists and counts the rest; so does Slack."""
    for number in range(30):
        survey.service(f"safe-{number:02}", labels={"env": "prod"})
    made = report(survey)
    assert "  and 11 more, in the page and the JSON" in audit_text.render(made).splitlines()
    many = made.but(findings=made.findings * 10)
    assert "and 10 more in the report" in audit_slack.summary(many).text


def test_a_simulation_as_text() -> None:
    """Stage by stage, with what is put back first, what is refused, and what was carried out already."""
    told = list(audit_text.simulated(a_simulation()))
    assert told == [
        "SIMULATED: 100 % of ML Training Budget (actual) at 2026-11-24 12:00 UTC",
        "  mode is observe",
        "  put back first, since a new period has begun",
        "    acme-ml-staging/us-central1/service-0001: 2 kept warm → none kept warm",
        "  at once (actual-0.8): 1 change, 1 not touched",
        "    acme-ml-staging/us-central1/service-0001: 2 kept warm → none kept warm",
        "  after 30m, unless called off (actual-1): refused: 9 resources would be changed",
        "    delete_noncurrent in gs://b/",
        "  actual-0.5 was carried out in this period already (budget-x)",
    ]
    bare = list(audit_text.simulated(a_simulation(put_back=(), stages=(), taken={}, notes=(), projected=True)))
    assert bare == [
        "SIMULATED: 100 % of ML Training Budget (where it leads) at 2026-11-24 12:00 UTC", "  no further step of the policy is reached",
    ]  # fmt: skip
