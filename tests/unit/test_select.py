"""Which resources a selector means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.model import Resource
from shared.policy.select import Selector, matching_glob, matching_label


def service(short: str, **labels: str) -> Resource:
    """A service of this short name."""
    return Resource("service", f"projects/p/locations/us-central1/services/{short}", labels)


def selector(**given: object) -> Selector:
    """A selector as the policy writes it."""
    return Selector.model_validate(given)


@pytest.mark.parametrize(
    ("written", "resource", "meant"),
    [
        ({"labels": {"env": "staging"}}, service("api", env="staging"), True),
        ({"labels": {"env": "staging"}}, service("api", env="prod"), False),
        ({"labels": {"env": "staging"}}, service("api"), False),
        ({"labels": {"env": ["staging", "dev"]}}, service("api", env="dev"), True),
        ({"labels": {"env": "dev", "team": "vision"}}, service("api", env="dev"), False),
        ({"labels": {"env": "dev", "team": "vision"}}, service("api", env="dev", team="vision", other="x"), True),
        ({"labels": {"env": ""}}, service("api"), False),
        ({"labels": {"env": ""}}, service("api", env=""), True),
        ({"services": ["api-*"]}, service("api-1"), True),
        ({"services": ["api-*"]}, service("my-api-1"), False),
        ({"services": ["api"]}, service("api-1"), False),
        ({"services": ["x", "ap?"]}, service("api"), True),
        ({"services": ["*"]}, service("api"), True),
        ({"services": ["api-*"], "labels": {"env": "dev"}}, service("api-1", env="prod"), False),
        ({"services": ["api-*"], "labels": {"env": "dev"}}, service("web", env="dev"), False),
        ({"services": ["api-*"], "labels": {"env": "dev"}}, service("api-1", env="dev"), True),
        ({"services": ["api"]}, service("API"), False),
        ({"labels": {"env": "dev"}}, service("api", env="Dev"), False),
    ],
)
def test_a_selector_means_what_its_labels_and_its_names_both_mean(written: dict[str, object], resource: Resource, meant: bool) -> None:
    """Every label must fit, one of the names must fit, and upper and lower case differ."""
    assert selector(**written).matches(resource) is meant


@pytest.mark.parametrize(("glob", "named"), [("fn", True), ("*", False), ("f?", False), ("[f]n", False), ("fn-*", False), ("other", False)])
def test_a_function_is_only_named_by_its_whole_name(glob: str, named: bool) -> None:
    """A wildcard never names anything, even where it matches."""
    assert selector(services=[glob]).names(service("fn")) is named


def test_labels_name_nothing() -> None:
    """A selection by label is no naming."""
    assert not selector(labels={"env": "dev"}).names(service("fn", env="dev"))


@pytest.mark.parametrize("written", [{}, {"labels": {}}, {"services": []}, {"labels": {}, "services": []}])
def test_an_empty_selector_is_refused(written: dict[str, object]) -> None:
    """To mean everything, a person must write so."""
    with pytest.raises(ValidationError, match="selects nothing"):
        selector(**written)


@pytest.mark.parametrize(
    "written",
    [{"label": {"env": "dev"}}, {"labels": {"env": []}}, {"services": "api"}, {"services": [""]}, {"labels": None, "services": ["a"]}],
)
def test_a_wrong_selector_is_refused(written: dict[str, object]) -> None:
    """Unknown keys, empty lists and wrong types are refused."""
    with pytest.raises(ValidationError):
        selector(**written)


def test_a_selector_does_not_change() -> None:
    """It is a value."""
    with pytest.raises(ValidationError, match="frozen"):
        selector(services=["a"]).services = ()  # type: ignore[misc]


@given(
    labels=st.dictionaries(
        st.from_regex(r"[a-z][a-z0-9_-]{0,5}", fullmatch=True),
        st.lists(st.from_regex(r"[a-z0-9_-]{0,5}", fullmatch=True), min_size=1),
        min_size=1,
    ),
    services=st.lists(st.from_regex(r"[a-z*?]{1,6}", fullmatch=True)),
)
def test_a_selector_reads_back_from_the_journal(labels: dict[str, list[str]], services: list[str]) -> None:
    """Parameters are kept as JSON: what is read again selects the same."""
    kept = selector(labels=labels, services=services)
    assert Selector.model_validate(kept.model_dump(mode="json")) == kept


def test_the_first_match_is_told() -> None:
    """The reason for a protection names the pattern or the label that matched."""
    assert matching_glob(["a", "*-prod", "*"], "x-prod") == "*-prod"
    assert matching_glob(["a"], "x-prod") is None
    assert matching_label({"team": ("a",), "env": ("prod", "live")}, {"env": "live"}) == "env=live"
    assert matching_label({"env": ("prod",)}, {"env": "dev"}) is None
