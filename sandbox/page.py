"""The sandbox's page, on loopback: what is there, what Slack shows, and a few things to do about it. It asks nothing of any other host."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox import training
from sandbox.cloud import Sandbox
from sandbox.estate import month_start
from sandbox.faults import Fault
from sandbox.functions import Functions
from sandbox.grpc_errors import RefusedError
from sandbox.page_state import state
from sandbox.slack_delivery import Delivery
from sandbox.slack_people import Impossible
from sandbox.storage_errors import ApiError
from sandbox.storage_model import Storage

SOMEBODY = "alex@acme-ml.example"
_FILES = {"/": ("page.html", "text/html"), "/page.css": ("page.css", "text/css"), "/page.js": ("page.js", "text/javascript")}
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_RUN_VERBS: dict[str, tuple[Callable[[Storage, str], object], str]] = {
    "fail": (training.fail, "has failed, and says so"),
    "retry": (training.retry, "was retried, and has succeeded"),
    "promote": (training.promote, "was promoted: _KEEP is in it"),
}
_LOCAL = ("127.0.0.1", "localhost")


class _NotPossible(Exception):
    """What was asked for cannot be done; the text says why."""


class Page:
    """The page as an application.

    Only pages of its own may send it anything: requests under another host's name, or from another origin, are refused.
    """

    def __init__(self, sandbox: Sandbox, functions: Functions | None = None) -> None:
        self._sandbox = sandbox
        self._functions = functions
        self._lock = threading.Lock()
        self._verbs: dict[str, Callable[[dict[str, Any]], str]] = {
            "/spend": self._spend,
            "/next-month": self._next_month,
            "/fault": self._fault,
            "/deploy": self._deploy,
            "/run": self._run,
        }
        self._told: dict[str, Callable[[dict[str, Any]], str]] = {"/press": self._press, "/command": self._command}

    def app(self) -> Starlette:
        """The application, to be served at the root of a port."""
        return Starlette(
            routes=[
                *(Route(path, self._file, methods=["GET"]) for path in _FILES),
                Route("/state", self._state, methods=["GET"]),
                *(Route(path, self._do, methods=["POST"]) for path in (*self._verbs, *self._told)),
            ]
        )

    def _file(self, request: Request) -> Response:
        if (refusal := _foreign(request)) is not None:
            return refusal
        name, kind = _FILES[request.url.path]
        return Response(Path(__file__).with_name(name).read_bytes(), media_type=kind, headers=_HEADERS)

    def _state(self, request: Request) -> Response:
        if (refusal := _foreign(request)) is not None:
            return refusal
        return JSONResponse(state(self._sandbox, self._functions), headers=_HEADERS)

    async def _do(self, request: Request) -> Response:
        if (refusal := _foreign(request)) is not None:
            return refusal
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            return _said(415, "The body has to be JSON, and to say so in its content type.")
        try:
            asked = _object(await request.body())
            path = request.url.path
            if path in self._told:  # in a thread, since the functions may take their time, and one at a time is not how people press
                return _said(200, await run_in_threadpool(self._told[path], asked))
            with self._lock:
                return _said(200, self._verbs[path](asked))
        except (_NotPossible, Impossible, RefusedError, ApiError) as error:
            return _said(400, error.text if isinstance(error, RefusedError) else str(error))

    def _spend(self, asked: dict[str, Any]) -> str:
        """``{"budget": ID, "spent": 8000, "forecast": 9500}``: spend so much, and have Google say so. The forecast may be absent."""
        forecast = None if asked.get("forecast") is None else _amount(asked, "forecast")
        spent = _amount(asked, "spent")
        self._sandbox.budgets.spend(_text(asked, "budget"), spent, forecast=forecast)
        return f"Google sent its notification: {spent:,.0f} spent."

    def _next_month(self, asked: dict[str, Any]) -> str:
        """``{"budget": ID}``: begin the budget's next month, with nothing spent."""
        budget = next((each for each in self._sandbox.budgets.snapshot() if each["id"] == _text(asked, "budget")), None)
        if budget is None:
            raise _NotPossible(f"There is no budget {asked.get('budget')!r}.")
        following = month_start(datetime.fromisoformat(budget["period_start"]), 1)
        if following > datetime.now(UTC):
            raise _NotPossible("The next month has not begun yet, and the watchdog refuses a period that lies in the future.")
        self._sandbox.budgets.spend(budget["id"], Decimal(0), period_start=following)
        return f"{following:%B} has begun, and Google sent its first notification."

    def _fault(self, asked: dict[str, Any]) -> str:
        """``{"method": "UpdateService", "status": 503, "times": 3}``, or ``{"clear": true}``."""
        if asked.get("clear"):
            self._sandbox.faults.clear()
            return "Everything works again."
        method, status, times = _text(asked, "method"), asked.get("status"), asked.get("times")
        if times is not None and not (isinstance(times, int) and times > 0):
            raise _NotPossible("times has to be a number above 0, or null for every call.")
        if status == "drop":
            fault = Fault(method, drop_answer=True, times=times)
        elif isinstance(status, int) and 400 <= status < 600:
            fault = Fault(method, status, times=times)
        else:
            raise _NotPossible('status has to be a number from 400 to 599, or "drop" to lose the answer.')
        self._sandbox.faults.inject(fault)
        return f"{fault.method} fails from now on."

    def _deploy(self, asked: dict[str, Any]) -> str:
        """``{"resource": FULL_NAME}``: somebody deploys over it, with scaling of their own."""
        resource = _text(asked, "resource")
        deploy_over(self._sandbox, resource)
        return f"{SOMEBODY} deployed {resource.rpartition('/')[2]}."

    def _run(self, asked: dict[str, Any]) -> str:
        """``{"run": FOLDER, "what": "fail"}``, or ``retry`` or ``promote``."""
        folder, what = _text(asked, "run"), _text(asked, "what")
        run = next((each for each in training.seen(self._sandbox.storage) if each.folder == folder), None)
        if run is None:
            raise _NotPossible(f"There is no run in {folder!r}.")
        if what not in _RUN_VERBS:
            raise _NotPossible(f"what has to be one of {', '.join(_RUN_VERBS)}.")
        act, said = _RUN_VERBS[what]
        act(self._sandbox.storage, folder)
        return f"{run.name} {said}."

    def _press(self, asked: dict[str, Any]) -> str:
        """``{"channel": ID, "ts": TS, "action": ID, "block": ID, "option": VALUE, "user": ID}``: somebody presses or chooses.

        Option is for what has options.
        """
        channel, ts, action, user = (_text(asked, key) for key in ("channel", "ts", "action", "user"))
        block = _text(asked, "block") if asked.get("block") else ""
        option = _text(asked, "option") if asked.get("option") is not None else None
        delivery = self._sandbox.slack.press(channel, ts, action, user=user, block_id=block, option=option)
        return _acknowledged("This", delivery)

    def _command(self, asked: dict[str, Any]) -> str:
        """``{"channel": ID, "text": "/cost-watchdog status", "user": ID}``: somebody gives a slash command."""
        channel, user = _text(asked, "channel"), _text(asked, "user")
        command, _, text = _text(asked, "text").strip().partition(" ")
        if not command.startswith("/") or command == "/":
            raise _NotPossible("A slash command begins with a slash: /cost-watchdog status")
        return _acknowledged(command, self._sandbox.slack.command(command, text.strip(), channel=channel, user=user))


def _acknowledged(what: str, delivery: Delivery) -> str:
    if delivery.failure:
        raise _NotPossible(f"{what} did not work: {delivery.failure}.")
    return f"The app acknowledged it after {delivery.seconds:.2f} s."


def deploy_over(sandbox: Sandbox, resource: str) -> None:
    """Somebody deploys over a service or worker pool, and gives it two instances.

    Raises:
        RefusedError: There is none of this name.
    """
    if "/workerPools/" in resource:
        sandbox.run.deploy(resource, SOMEBODY, manual_count=2)
    else:
        sandbox.run.deploy(resource, SOMEBODY, mode="AUTOMATIC", service_min=2, service_max=10)


def _foreign(request: Request) -> Response | None:
    """A refusal of what another page, or a name that was bent to this address, sends."""
    host = request.headers.get("host", "")
    origin = request.headers.get("origin")
    if host.rpartition(":")[0] not in _LOCAL or (origin is not None and origin != f"http://{host}"):
        return _said(403, "The sandbox answers to its own page on this machine alone.")
    return None


def _said(status: int, text: str) -> Response:
    return JSONResponse({"text": text}, status, headers=_HEADERS)


def _object(body: bytes) -> dict[str, Any]:
    try:
        asked = json.loads(body)
    except ValueError as error:
        raise _NotPossible(f"The body is not JSON: {error}.") from error
    if not isinstance(asked, dict):
        raise _NotPossible("The body has to be a JSON object.")
    return asked


def _text(asked: dict[str, Any], key: str) -> str:
    value = asked.get(key)
    if not isinstance(value, str) or not value:
        raise _NotPossible(f"{key} has to be text.")
    return value


def _amount(asked: dict[str, Any], key: str) -> Decimal:
    value = asked.get(key)
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        amount = Decimal("NaN")
    if isinstance(value, bool) or not amount.is_finite() or amount < 0:
        raise _NotPossible(f"{key} has to be a number, 0 or more.")
    return amount
