"""The audit over HTTP: the report in the form that the asker reads. Changes nothing."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from flask import Request, Response

from functions import policy_in_force, wiring
from functions.audit_question import GOOD, TYPES, Asked, BadQuestionError, Format, understood
from shared.errors import CloudError, Gone, SettingsError
from shared.settings import Settings

if TYPE_CHECKING:
    from shared.audit.report import Report
    from shared.policy.policy import Policy

log = logging.getLogger(__name__)

_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY"}


def answer(request: Request) -> Response:
    """The report, or a sentence that says why there is none.

    Raises:
        SettingsError: A setting or the policy cannot be used.
    """
    if request.path != "/":
        return _said(404, f"there is nothing at {request.path}; the audit is at /")
    if request.method not in ("GET", "HEAD", "POST"):
        return _said(405, f"{request.method} is not understood; GET answers with the audit", Allow="GET, HEAD, POST")
    try:
        return _answer(request)
    except BadQuestionError as error:
        return _bad(str(error))


def _answer(request: Request) -> Response:
    asked = understood(request)
    found = wiring.settings()
    try:
        policy = policy_in_force.policy(found)
        projects, budget = _projects(asked, policy, found), _budget(asked, policy)
        if request.method == "HEAD":
            return _answered("", asked.form)
        return _report(asked, projects, budget, policy, found)
    except SettingsError as error:
        return _said(409, str(error))
    except CloudError as error:
        log.error("the audit could not be answered: %s", error)  # noqa: TRY400  # the sentence says it all
        return _said(502, str(error))


def _report(asked: Asked, projects: tuple[str, ...], budget: str | None, policy: Policy, found: Settings) -> Response:
    # What is asked wrongly is answered without all that an audit needs.
    from shared.audit import text as audit_text
    from shared.audit.audit import Question, audit
    from shared.audit.simulate import simulate

    simulation = None
    if budget is not None:
        try:
            simulation = simulate(wiring.watchdog(), budget=budget, share=asked.share, basis=asked.basis, at=asked.at)
        except Gone as error:
            return _bad(str(error))
    question = Question(categories=asked.categories, projects=projects)
    report = audit(wiring.sight(found), policy, question, project=found.project, service=found.service, simulation=simulation)
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
    from shared.audit import slack as audit_slack

    letter = audit_slack.summary(report)
    messenger.post(policy.slack.channel, letter.text, letter.blocks, reference=f"audit-{report.generated_at:%Y%m%dT%H%M%S}")


def _rendered(report: Report, form: Format) -> str:
    if form == "json":
        return json.dumps(report.model_dump(mode="json"), indent=2) + "\n"
    if form == "text":
        from shared.audit import text as audit_text

        return audit_text.render(report)
    from shared.audit.page import render  # Jinja is only needed by who reads the page

    return render(report)


def _projects(asked: Asked, policy: Policy, found: Settings) -> tuple[str, ...]:
    if asked.project is None:
        return ()
    known = policy.scope.projects or (found.project,)
    if asked.project not in known:
        raise BadQuestionError(f"project={asked.project}: is not in the policy's scope, which has {', '.join(known)}")
    return (asked.project,)


def _budget(asked: Asked, policy: Policy) -> str | None:
    """The budget that is simulated; None where nothing is."""
    if asked.budget is not None or not asked.simulates:
        return asked.budget
    named = [rule.budget for rule in policy.budgets]
    if len(named) != 1:
        raise BadQuestionError(f"budget: say which one is simulated; the policy has {', '.join(map(repr, named)) or 'none'}")
    return named[0]


def _bad(sentence: str) -> Response:
    good = "\n".join(f"  {name:<9} {meaning}" for name, meaning in GOOD.items())
    return _said(400, f"{sentence}\n\nWhat can be asked:\n{good}")


def _said(status: int, sentence: str, **headers: str) -> Response:
    return Response(f"{sentence}\n", status, {**_HEADERS, **headers}, mimetype="text/plain")


def _answered(text: str, form: Format, **headers: str) -> Response:
    return Response(text, 200, {**_HEADERS, "Vary": "Accept", **headers}, mimetype=TYPES[form])
