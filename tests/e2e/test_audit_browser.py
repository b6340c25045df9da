"""The page of an audit in a real browser: both schemes, phone and desktop, filters, keyboard, and an accessibility checker."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, sync_playwright

from shared.audit.page import render
from tests.fuzz.hostile import NAMES
from tests.reports import a_finding, a_report, a_spend

BROWSER = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 900}

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One browser for all tests."""
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=BROWSER, args=[*QUIET])
        yield made
        made.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The page as somebody keeps it."""
    path = tmp_path / "audit.html"
    path.write_text(render(a_report()), encoding="utf-8")
    return path


def opened(browser: Any, file: Path, size: dict[str, int], scheme: str, said: list[str]) -> Page:
    """The page, with everything that the console says and every request that it makes."""
    page: Page = browser.new_page(viewport=size, color_scheme=scheme)
    page.on("console", lambda message: said.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.on("request", lambda request: said.append(f"request: {request.url}") if request.url != file.as_uri() else None)
    page.goto(file.as_uri())
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_it_renders(browser: Any, file: Path, size: dict[str, int], scheme: str) -> None:
    """Nothing is said on the console, nothing leaves the page, nothing is wider than the screen, and the checker finds nothing serious."""
    said: list[str] = []
    page = opened(browser, file, size, scheme, said)
    page.locator("summary").first.click()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator("svg").count() == 2
    results = Axe().run(page)
    serious = [each for each in results.response["violations"] if each["impact"] in ("serious", "critical")]
    assert [(each["id"], [node["html"] for node in each["nodes"]][:3]) for each in serious] == []
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(15, 20, 25)")
    page.close()
    assert said == []


def shown(page: Page) -> list[str]:
    """The findings that can be seen, in order."""
    return [item.get_attribute("data-severity") or "" for item in page.locator(".findings li:visible").all()]


def test_filters_and_sorting(browser: Any, file: Path) -> None:
    """By mouse and by keyboard; the count is announced, and a category without findings is not shown."""
    page = opened(browser, file, DESKTOP, "light", [])
    assert len(shown(page)) == 25
    page.select_option("select[name=severity]", "high")
    assert set(shown(page)) == {"high"}
    assert page.locator(".count").inner_text() == "9 findings"
    page.select_option("select[name=category]", "labels")
    assert page.locator(".category:visible").count() == 1
    page.select_option("select[name=category]", "")
    page.select_option("select[name=severity]", "")
    page.locator("select[name=text], input[name=text]").focus()
    page.keyboard.type("keeps 24 instances")
    assert page.locator(".count").inner_text() == "1 finding"
    page.keyboard.press("Enter")
    assert page.locator(".count").inner_text() == "1 finding"
    page.fill("input[name=text]", "")
    page.select_option("select[name=order]", "saving")
    savings = [float(item.get_attribute("data-saving") or 0) for item in page.locator("[data-category=serving] li").all()]
    assert savings == sorted(savings, reverse=True)
    page.select_option("select[name=order]", "resource")
    names = [item.get_attribute("data-resource") or "" for item in page.locator("[data-category=serving] li").all()]
    assert names == sorted(names)
    page.close()


def test_the_keyboard_alone(browser: Any, file: Path) -> None:
    """The first stop skips to the findings, and a finding opens with Enter."""
    page = opened(browser, file, DESKTOP, "light", [])
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    page.locator(".findings summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator(".findings details").first.get_attribute("open") is not None
    page.close()


def test_without_scripts(browser: Any, file: Path) -> None:
    """Everything is there, and the filters, which would do nothing, are not."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(file.as_uri())
    assert page.locator(".findings li:visible").count() == 25
    assert not page.locator(".filters").is_visible()
    context.close()


def test_in_print(browser: Any, file: Path) -> None:
    """All findings are open, and the filters are gone."""
    page = opened(browser, file, DESKTOP, "light", [])
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert not page.locator(".filters").is_visible()
    assert page.locator(".findings details:not([open])").count() == 0
    page.close()


def test_hostile_names_run_nothing(browser: Any, tmp_path: Path) -> None:
    """Whatever a name holds, the page says nothing on the console and opens no dialog."""
    said: list[str] = []
    hostile = a_report(0, project="<img src=x onerror=console.log(1)>", findings=tuple(
        finding.but(resource="<script>console.log(2)</script>", what="<svg onload=console.log(3)>", labels={"a": "javascript:console.log(4)"})
        for finding in a_report(2).findings
    ))  # fmt: skip
    path = tmp_path / "audit.html"
    path.write_text(render(hostile), encoding="utf-8")
    page = opened(browser, path, DESKTOP, "light", said)
    page.locator("summary").first.click()
    page.close()
    assert said == []


def test_every_hostile_name_runs_nothing(browser: Any, tmp_path: Path) -> None:
    """All of them on one page, everywhere where a name stands: no script of theirs runs, when it opens or when it is searched, and nothing is asked for."""
    said: list[str] = []
    findings = tuple(
        a_finding(number, resource=name, what=name, why=name, policy=name, mend=(f"gcloud {name}", name), labels={"team": name}, id=f"{number} {name}")
        for number, name in enumerate(NAMES)
    )  # fmt: skip
    path = tmp_path / "audit.html"
    hostile = a_report(0, findings=findings, spend=tuple(a_spend(budget=name) for name in NAMES[:6]), project=NAMES[1])
    path.write_text(render(hostile), encoding="utf-8")
    page = opened(browser, path, DESKTOP, "light", said)
    page.fill("input[name=text]", NAMES[2])
    page.fill("input[name=text]", "")
    page.select_option("select[name=order]", "resource")
    for summary in page.locator(".findings summary").all():
        summary.click()
        summary.hover()
    assert page.evaluate("window.ran") is None
    assert page.locator("img, iframe, object, embed, [onerror], [onload], [onmouseover]").count() == 0
    assert page.locator("script").count() == 1
    page.close()
    assert said == []
