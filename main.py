"""The entry points by name: the platform loads this file and serves one of them a process. No decision lives here.

Each imports what it needs and the others do not.
"""

from __future__ import annotations

import functions_framework
from flask import Request, Response

from functions import deliveries, wiring

wiring.start()


@functions_framework.http
def budget_alert(request: Request) -> Response:
    """A budget notification, through Pub/Sub."""
    from functions import triggers

    return deliveries.taken(request, triggers.budget_alert)


@functions_framework.http
def storage_event(request: Request) -> Response:
    """An object was written: the direct event of a bucket, or the same notification through Pub/Sub."""
    from functions import triggers

    return deliveries.taken(request, triggers.storage_event)


@functions_framework.http
def task(request: Request) -> Response:
    """The tick of Cloud Scheduler, or the watchdog's own word to carry an entry on, through the tasks topic."""
    from functions import triggers

    return deliveries.taken(request, triggers.task)


@functions_framework.http
def slack_action(request: Request) -> Response:
    """A button that was pressed in Slack, or a command that was typed there."""
    from functions import slack_action as slack

    return slack.answer(request)


@functions_framework.http
def audit(request: Request) -> Response:
    """The report: where the money goes, and what would happen."""
    from functions import audit as audits

    return audits.answer(request)
