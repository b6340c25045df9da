"""The page of an audit: everything is in it, nothing from outside becomes markup, and the charts say what the tables say."""

from __future__ import annotations

import base64
import hashlib
import re
from decimal import Decimal
from xml.etree import ElementTree as ET

import pytest

from shared.audit import charts
from shared.audit.page import render
from shared.audit.report import Lever, Spent
from tests.reports import DAY, NOW, START, a_finding, a_report, a_spend

HOSTILE = "<img src=x onerror=alert(1)>\"'&</script><!--"


def test_everything_is_in_it() -> None:
    """Verdict, spend, ladder, levers, findings with their commands, what was not touched, what was done, and what was not looked at."""
    page = render(a_report())
    for text in (
        "<strong>RED</strong>", "ML Training Budget", "$8,050.00 of $10,000.00", "stop_worker_pools", "29 Nov", "instances kept warm", "keeps 24 instances warm",
        "gcloud run services update x --min=0", "or ask its owner.", "team=nlp", "less $1.00 once", "protected by the label env=prod", "restore --entry budget-x",
        "permission denied", "1 bucket only in part", "What 100 % of ML Training Budget would cause", "still costs: its GPU bills", "Refused: 9 resources would be changed.",
    ):  # fmt: skip
        assert text in page, text
    assert len(page) < 150_000


def test_an_empty_report() -> None:
    """It says that nothing was found and nothing done, and leaves out what there is not."""
    page = render(a_report(0, spend=(), monthly_saving=Decimal(0), untouched=(), done=(), blanks=(), simulation=None))
    assert "Nothing was found." in page
    assert "<strong>GREEN</strong>" in page
    assert not re.search(r'id="(spend|savings|untouched|blanks)"', page)
    assert 'class="filters"' not in page


def test_a_budget_of_nothing() -> None:
    """A budget of 0, whose period's end nobody knows and that leads nowhere, is shown all the same."""
    series = (Spent(at=START, cost=Decimal(0), amount=Decimal(0)),)
    page = render(
        a_report(
            0, spend=(a_spend(cost=Decimal(0), amount=Decimal(0), series=series, period_end=None, projected=None, per_day=None, ladder=()),)
        )
    )
    assert "$0.00 of $0.00" in page
    assert "dashed" not in page


def test_hostile_text() -> None:
    """Names, labels and sentences from outside stay text, wherever they stand; what is invisible or turns the direction is shown as such."""
    finding = a_finding(
        1,
        resource=HOSTILE,
        what=HOSTILE,
        why=HOSTILE,
        mend=(HOSTILE, f"gcloud {HOSTILE}"),
        policy=HOSTILE,
        labels={HOSTILE: HOSTILE},
        id=HOSTILE,
    )
    lever = Lever(lever=HOSTILE, category="serving", monthly=Decimal(1), findings=1)
    page = render(a_report(0, findings=(finding,), levers=(lever,), spend=(a_spend(budget=HOSTILE),), project=HOSTILE))
    assert "<img" not in page
    assert page.count("</script>") == 1
    assert page.count("<script>") == 1
    assert not re.search(r"\son\w+=", re.sub(r"&[^;]+;[^<]*", "", page))
    turned = render(a_report(0, findings=(a_finding(1, what="evil\u202eexe" + "x" * 10_000),)))
    assert "\u202e" not in turned
    assert "x" * 5_000 not in turned


def test_nothing_may_run_but_its_own() -> None:
    """The policy of the page allows its own style and script by their hashes, and nothing else."""
    page = render(a_report())
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', page)
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; ")
    assert not re.search(r'(src|href)="(?!#)', page)
    assert "style=" not in page


def test_many_findings() -> None:
    """Three thousand are no more than a few megabytes."""
    page = render(a_report(3_000))
    assert page.count("<details>") == 3_002
    assert len(page) < 6_000_000


@pytest.mark.parametrize("currency", ["USD", "EUR", "XYZ"])
def test_the_chart_of_spend(currency: str) -> None:
    """It is an image with a title and a description, drawn within its frame; steps above what is shown are left out."""
    drawn = ET.fromstring(charts.spend(a_spend(currency=currency), 1))  # noqa: S314  # it is our own
    assert (drawn.get("role"), drawn.get("aria-labelledby")) == ("img", "spend-1-title spend-1-desc")
    assert "Spend of ML Training Budget" in [each.text for each in drawn]
    assert [each.text for each in drawn if each.tag == "text"].count("80 %") == 1
    assert "200 %" not in [each.text for each in drawn]
    for line in drawn.iter("polyline"):
        for point in line.get("points", "").split():
            across, down = map(float, point.split(","))
            assert 0 <= across <= charts.WIDTH
            assert 0 <= down <= charts.HEIGHT
    assert NOW - DAY > START


def test_the_chart_of_levers() -> None:
    """The bars have the proportions of the figures; where all are nothing there is still a line of each."""
    some = [
        Lever(lever=name, category="serving", monthly=Decimal(monthly), findings=1) for name, monthly in (("a", 100), ("b", 50), ("c", 0))
    ]
    widths = [float(each.get("width", "")) for each in ET.fromstring(charts.levers(some)).iter("rect")]  # noqa: S314  # it is our own
    assert widths == [330.0, 165.0, 1.0]
    assert [float(each.get("width", "")) for each in ET.fromstring(charts.levers(some[2:])).iter("rect")] == [1.0]  # noqa: S314  # it is our own
