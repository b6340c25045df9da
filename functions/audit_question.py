"""What an audit over HTTP is asked, in the address. It loads nothing of the audit itself, so that what cannot be asked is told at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal

from flask import Request

from shared.audit.category import CATEGORIES, Category
from shared.model import Basis

Format = Literal["html", "json", "text"]
TYPES: Mapping[Format, str] = {"html": "text/html", "json": "application/json", "text": "text/plain"}
GOOD: Mapping[str, str] = {
    "format": "html, json or text; else as the Accept header asks",
    "only": f"what to look at, of {', '.join(CATEGORIES)}, with commas between",
    "project": "the project to look at, one of those in the policy's scope",
    "simulate": "a share of the budget, such as 100%: what would happen at this spend",
    "forecast": "the same for a share that is forecast and not spent yet",
    "at": "a time, such as 2026-12-01T00:00Z: what would happen then",
    "budget": "the budget that simulate, forecast and at mean, by its name or id; needed where the policy names several",
    "post": "slack: post the summary to the policy's channel, too",
}


class BadQuestionError(ValueError):
    """The address asks for something that there is not; the sentence says what."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, understood.

    Attributes:
        form: How to answer.
        categories: What to look at.
        project: The one project to look at; None where all of the policy's.
        post: Whether to post the summary.
        budget: The budget of a simulation; None where the policy's only one is meant.
        share: The share that is simulated; None where it comes from the spend so far.
        basis: Whether that is spent or forecast.
        at: The time of the simulation; None for now.
        simulates: Whether anything is simulated.
    """

    form: Format
    categories: tuple[Category, ...]
    project: str | None = None
    post: bool = False
    budget: str | None = None
    share: Decimal | None = None
    basis: Basis = "actual"
    at: datetime | None = None
    simulates: bool = False


def understood(request: Request) -> Asked:
    """What a request asks for, as far as it can be told without the policy.

    Raises:
        BadQuestionError: Something that there is not.
    """
    given = request.args
    if unknown := sorted(set(given) - set(GOOD)):
        raise BadQuestionError(f"unknown: {', '.join(unknown)}")
    if twice := sorted(name for name in given if len(given.getlist(name)) > 1):
        raise BadQuestionError(f"{', '.join(twice)}: given more than once")
    if given.get("post", "slack") != "slack":
        raise BadQuestionError(f"post={given['post']}: can only be posted to slack")
    if "simulate" in given and "forecast" in given:
        raise BadQuestionError("simulate and forecast: only one of them, since a plan is of one or the other")
    simulates = bool({"simulate", "forecast", "at", "budget"} & set(given))
    if "budget" in given and not {"simulate", "forecast", "at"} & set(given):
        raise BadQuestionError("budget: says which budget is simulated, and needs simulate, forecast or at beside it")
    share = given.get("simulate") or given.get("forecast")
    return Asked(
        form=_form(request),
        categories=_categories(given.get("only")),
        project=given.get("project"),
        post="post" in given,
        budget=given.get("budget"),
        share=None if share is None else _share(share),
        basis="forecast" if "forecast" in given else "actual",
        at=_instant(given["at"]) if "at" in given else None,
        simulates=simulates,
    )


def _form(request: Request) -> Format:
    asked = request.args.get("format")
    if asked is None:
        accepted = request.accept_mimetypes
        if not accepted or accepted.best == "*/*":
            return "text"
        best = accepted.best_match([*TYPES.values()])
        return next((form for form, kind in TYPES.items() if kind == best), "text")
    for form in TYPES:
        if asked == form:
            return form
    raise BadQuestionError(f"format={asked}: is not one of {', '.join(TYPES)}")


def _categories(only: str | None) -> tuple[Category, ...]:
    if only is None:
        return CATEGORIES
    named = {name.strip() for name in only.split(",")}
    if unknown := sorted(named - set(CATEGORIES)):
        raise BadQuestionError(f"only={only}: {', '.join(map(repr, unknown))} is not one of {', '.join(CATEGORIES)}")
    return tuple(each for each in CATEGORIES if each in named)


def _share(text: str) -> Decimal:
    from shared.policy.fields import share  # only who simulates needs what comes with it

    try:
        return share(text)
    except ValueError as error:
        raise BadQuestionError(str(error)) from error


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text.replace(" ", "+"))  # a + in an address is read as a blank
        if instant.tzinfo:
            return instant.astimezone(UTC)
    except (ValueError, OverflowError) as error:  # in UTC it may lie outside of the calendar
        raise BadQuestionError(f"at={text}: is no time; write for example 2026-12-01T00:00Z") from error
    raise BadQuestionError(f"at={text}: names no time zone; write for example 2026-12-01T00:00Z")
