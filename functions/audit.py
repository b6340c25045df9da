"""The audit over HTTP: what is asked for in the address, and the report in the form that the asker reads. Changes nothing."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal

from flask import Request, Response
from pydantic import TypeAdapter, ValidationError

from functions import policy_in_force, wiring
from shared.audit import slack as audit_slack
from shared.audit import text as audit_text
from shared.audit.audit import Question, audit
from shared.audit.finding import CATEGORIES, Category
from shared.audit.report import Report
from shared.audit.simulate import simulate
from shared.errors import CloudError, Gone, SettingsError
from shared.model import Basis
from shared.policy.fields import Share
from shared.policy.policy import Policy
from shared.settings import Settings

log = logging.getLogger(__name__)

Format = Literal["html", "json", "text"]
_TYPES: Mapping[Format, str] = {"html": "text/html", "json": "application/json", "text": "text/plain"}
_GOOD: Mapping[str, str] = {
    "format": "html, json or text; else as the Accept header asks",
    "only": f"what to look at, of {', '.join(CATEGORIES)}, with commas between",
    "project": "the project to look at, one of those in the policy's scope",
    "simulate": "a share of the budget, such as 100%: what would happen at this spend",
    "forecast": "the same for a share that is forecast and not spent yet",
    "at": "a time, such as 2026-12-01T00:00Z: what would happen then",
    "budget": "the budget that simulate, forecast and at mean, by its name or id; needed where the policy names several",
    "post": "slack: post the summary to the policy's channel, too",
}
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY"}


class BadQuestionError(ValueError):
    """The address asks for something that there is not; the sentence says what."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, understood.

    Attributes:
        form: How to answer.
        question: What to look at.
        post: Whether to post the summary.
        budget: The budget of a simulation; None where there is none.
        share: The share that is simulated; None where it comes from the spend so far.
        basis: Whether that is spent or forecast.
        at: The time of the simulation; None for now.
        simulates: Whether anything is simulated.
    """

    form: Format
    question: Question
    post: bool = False
    budget: str | None = None
    share: Decimal | None = None
    basis: Basis = "actual"
    at: datetime | None = None
    simulates: bool = False


def answer(request: Request) -> Response:
    """The report, or a sentence that says why there is none.

    Raises:
        SettingsError: A setting or the policy cannot be used.
    """
    if request.path != "/":
        return _said(404, f"there is nothing at {request.path}; the audit is at /")
    if request.method not in ("GET", "HEAD", "POST"):
        return _said(405, f"{request.method} is not understood; GET answers with the audit", Allow="GET, HEAD, POST")
    found = wiring.settings()
    policy = policy_in_force.policy(found)
    try:
        asked = understood(request, policy, found)
    except BadQuestionError as error:
        return _bad(str(error))
    if request.method == "HEAD":
        return _answered("", asked.form)
    try:
        return _report(asked, policy, found)
    except SettingsError as error:
        return _said(409, str(error))
    except CloudError as error:
        log.error("the audit could not be answered: %s", error)  # noqa: TRY400  # the sentence says it all
        return _said(502, str(error))


def understood(request: Request, policy: Policy, found: Settings) -> Asked:
    """What a request asks for.

    Raises:
        BadQuestionError: Something that there is not.
    """
    given = request.args
    if unknown := sorted(set(given) - set(_GOOD)):
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
        question=Question(categories=_categories(given.get("only")), projects=_projects(given.get("project"), policy, found)),
        post="post" in given,
        budget=_budget(given.get("budget"), policy) if simulates else None,
        share=None if share is None else _share(share),
        basis="forecast" if "forecast" in given else "actual",
        at=_instant(given["at"]) if "at" in given else None,
        simulates=simulates,
    )


def _report(asked: Asked, policy: Policy, found: Settings) -> Response:
    simulation = None
    if asked.simulates and asked.budget:
        try:
            simulation = simulate(wiring.watchdog(), budget=asked.budget, share=asked.share, basis=asked.basis, at=asked.at)
        except Gone as error:
            return _bad(str(error))
    report = audit(wiring.sight(found), policy, asked.question, project=found.project, service=found.service, simulation=simulation)
    log.info("audit: %s", audit_text.headline(report), extra={"labels": {"verdict": report.verdict.colour}})
    if asked.post:
        post(report, policy, found)
    return _answered(_rendered(report, asked.form), asked.form, **{"X-Cost-Watchdog-Verdict": report.verdict.colour})


def post(report: Report, policy: Policy, found: Settings) -> None:
    """Post the summary to the policy's channel.

    Raises:
        SettingsError: There is no token, or no channel.
        CloudError: Slack did not take it.
    """
    messenger = wiring.world(found).messenger
    if messenger is None or (messenger.talks_back and not policy.slack.channel):
        raise SettingsError(["the summary cannot be posted: set SLACK_BOT_TOKEN, and slack.channel in the policy; or SLACK_WEBHOOK_URL"])
    letter = audit_slack.summary(report)
    messenger.post(policy.slack.channel, letter.text, letter.blocks, reference=f"audit-{report.generated_at:%Y%m%dT%H%M%S}")


def _rendered(report: Report, form: Format) -> str:
    if form == "json":
        return json.dumps(report.model_dump(mode="json"), indent=2) + "\n"
    if form == "text":
        return audit_text.render(report)
    from shared.audit.page import render  # Jinja is only needed by who reads the page

    return render(report)


def _form(request: Request) -> Format:
    asked = request.args.get("format")
    if asked is None:
        accepted = request.accept_mimetypes
        if not accepted or accepted.best == "*/*":
            return "text"
        best = accepted.best_match([*_TYPES.values()])
        return next((form for form, kind in _TYPES.items() if kind == best), "text")
    for form in _TYPES:
        if asked == form:
            return form
    raise BadQuestionError(f"format={asked}: is not one of {', '.join(_TYPES)}")


def _categories(only: str | None) -> tuple[Category, ...]:
    if only is None:
        return CATEGORIES
    named = {name.strip() for name in only.split(",")}
    if unknown := sorted(named - set(CATEGORIES)):
        raise BadQuestionError(f"only={only}: {', '.join(map(repr, unknown))} is not one of {', '.join(CATEGORIES)}")
    return tuple(each for each in CATEGORIES if each in named)


def _projects(project: str | None, policy: Policy, found: Settings) -> tuple[str, ...]:
    if project is None:
        return ()
    known = policy.scope.projects or (found.project,)
    if project not in known:
        raise BadQuestionError(f"project={project}: is not in the policy's scope, which has {', '.join(known)}")
    return (project,)


def _budget(budget: str | None, policy: Policy) -> str:
    if budget is not None:
        return budget
    named = [rule.budget for rule in policy.budgets]
    if len(named) != 1:
        raise BadQuestionError(f"budget: say which one is simulated; the policy has {', '.join(map(repr, named)) or 'none'}")
    return named[0]


def _share(text: str) -> Decimal:
    try:
        return TypeAdapter[Decimal](Share).validate_python(text)
    except ValidationError as error:
        raise BadQuestionError(error.errors(include_url=False)[0]["msg"]) from error


def _instant(text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text.replace(" ", "+"))  # a + in an address is read as a blank
        if instant.tzinfo:
            return instant.astimezone(UTC)
    except (ValueError, OverflowError) as error:  # in UTC it may lie outside of the calendar
        raise BadQuestionError(f"at={text}: is no time; write for example 2026-12-01T00:00Z") from error
    raise BadQuestionError(f"at={text}: names no time zone; write for example 2026-12-01T00:00Z")


def _bad(sentence: str) -> Response:
    good = "\n".join(f"  {name:<9} {meaning}" for name, meaning in _GOOD.items())
    return _said(400, f"{sentence}\n\nWhat can be asked:\n{good}")


def _said(status: int, sentence: str, **headers: str) -> Response:
    return Response(f"{sentence}\n", status, {**_HEADERS, **headers}, mimetype="text/plain")


def _answered(text: str, form: Format, **headers: str) -> Response:
    return Response(text, 200, {**_HEADERS, "Vary": "Accept", **headers}, mimetype=_TYPES[form])
