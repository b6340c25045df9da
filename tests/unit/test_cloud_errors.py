"""Vendors' exceptions as ours: which, in which words, and with which advice."""

from __future__ import annotations

import importlib
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.client import RemoteDisconnected
from typing import Any
from urllib.error import URLError

import grpc
import pytest
import requests
import urllib3
from google.api_core import exceptions as google
from google.auth import exceptions as auth
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from slack_sdk.errors import SlackApiError, SlackClientError, SlackRequestError
from slack_sdk.web import SlackResponse

from shared.cloud import errors
from shared.cloud.errors import may_pass, translate, translated
from shared.errors import CloudError, Conflict, Denied, Gone, Refused, Unavailable, WatchdogError

NAME = "projects/acme-ml-staging/locations/us-central1/services/embedder"
GRANT = "grant the watchdog's service account a role with"


# Google


def google_exceptions() -> Iterator[tuple[type[google.GoogleAPIError], type[CloudError]]]:
    """Every exception of google.api_core with what it should be."""
    expected: dict[type[google.GoogleAPIError], type[CloudError]] = {
        google.GoogleAPIError: Refused,
        google.GoogleAPICallError: Refused,
        google.DuplicateCredentialArgs: Refused,
        google.RetryError: Unavailable,
        google.Redirection: Refused,
        google.ClientError: Refused,
        google.BadRequest: Refused,  # FAILED_PRECONDITION too: Cloud Run means "never like this"
        google.Unauthorized: Denied,
        google.Forbidden: Denied,
        google.NotFound: Gone,
        google.Conflict: Conflict,
        google.PreconditionFailed: Conflict,
        google.TooManyRequests: Unavailable,
        google.Cancelled: Unavailable,
        google.ServerError: Unavailable,
        google.MethodNotImplemented: Refused,
        google.ResumableTransferError: Unavailable,
    }
    for each in vars(google).values():
        if isinstance(each, type) and issubclass(each, google.GoogleAPIError):
            yield each, next(expected[base] for base in each.__mro__ if base in expected)


@pytest.mark.parametrize(("vendor", "ours"), [*google_exceptions()])
def test_every_exception_of_googles_clients(vendor: type[google.GoogleAPIError], ours: type[CloudError]) -> None:
    """Each class has its kind, and keeps Google's sentence after the resource's name."""
    error = vendor("it is so", cause=None) if vendor is google.RetryError else vendor("it is so")
    found = translate(error, NAME)
    assert type(found) is ours
    assert found.resource == NAME
    assert str(found).startswith(f"{NAME}: it is so")


@pytest.mark.parametrize(
    ("status", "ours"),
    [
        (301, Refused), (400, Refused), (401, Denied), (403, Denied), (404, Gone), (405, Refused), (408, Unavailable), (409, Conflict), (410, Refused),
        (411, Refused), (412, Conflict), (413, Refused), (416, Refused), (429, Unavailable), (499, Unavailable), (500, Unavailable), (501, Refused),
        (502, Unavailable), (503, Unavailable), (504, Unavailable), (520, Unavailable),
    ],
)  # fmt: skip
def test_every_http_status(status: int, ours: type[CloudError]) -> None:
    """A status counts whether Google's clients have a class for it or not, and in the middle of an upload too."""
    assert type(translate(google.from_http_status(status, "it is so"))) is ours
    response = requests.Response()
    response.status_code = status
    assert type(translate(InvalidResponse(response, "it is so"))) is ours


GRPC = {
    "CANCELLED": Unavailable,
    "UNKNOWN": Unavailable,
    "INVALID_ARGUMENT": Refused,
    "DEADLINE_EXCEEDED": Unavailable,
    "NOT_FOUND": Gone,
    "ALREADY_EXISTS": Conflict,
    "PERMISSION_DENIED": Denied,
    "RESOURCE_EXHAUSTED": Unavailable,
    "FAILED_PRECONDITION": Refused,
    "ABORTED": Conflict,
    "OUT_OF_RANGE": Refused,
    "UNIMPLEMENTED": Refused,
    "INTERNAL": Unavailable,
    "UNAVAILABLE": Unavailable,
    "DATA_LOSS": Unavailable,
    "UNAUTHENTICATED": Denied,
}


class RawError(grpc.RpcError):
    """An error of gRPC itself, as it comes where no client of Google's is around the call."""

    def __init__(self, code: grpc.StatusCode) -> None:
        self._code = code

    def code(self) -> grpc.StatusCode:
        """The status."""
        return self._code

    def details(self) -> str:
        """The sentence."""
        return "it is so"

    def trailing_metadata(self) -> tuple[()]:
        """Nothing more."""
        return ()


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code.name != "OK"], ids=lambda code: code.name)
def test_every_grpc_status(code: grpc.StatusCode) -> None:
    """A status counts the same raw and as Google's clients raise it."""
    assert type(translate(google.from_grpc_status(code, "it is so"))) is GRPC[code.name]
    raw = translate(RawError(code), NAME)
    assert type(raw) is GRPC[code.name]
    assert str(raw).startswith(f"{NAME}: it is so")


def test_a_grpc_error_that_says_nothing() -> None:
    """An error of gRPC without a status is Refused with its own words."""
    assert repr(translate(grpc.RpcError("no channel"))) == "Refused('no channel')"


# Everything else


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (auth.DefaultCredentialsError("no credentials"), Denied),
        (auth.RefreshError("revoked"), Denied),
        (auth.RefreshError("try later", retryable=True), Unavailable),
        (auth.TransportError("no metadata server"), Unavailable),
        (auth.TimeoutError("slow metadata server"), Unavailable),
        (auth.ResponseError("odd metadata server"), Unavailable),
        (requests.ConnectionError("refused"), Unavailable),
        (requests.exceptions.ConnectTimeout("slow"), Unavailable),
        (requests.exceptions.ReadTimeout("slow"), Unavailable),
        (requests.exceptions.ChunkedEncodingError("cut"), Unavailable),
        (requests.exceptions.JSONDecodeError("no JSON", "", 0), Unavailable),
        (requests.exceptions.InvalidURL("htp://"), Refused),
        (requests.exceptions.MissingSchema("localhost"), Refused),
        (urllib3.exceptions.ProtocolError("cut"), Unavailable),
        (urllib3.exceptions.LocationParseError("::"), Refused),
        (URLError("refused"), Unavailable),
        (RemoteDisconnected("cut"), Unavailable),
        (ConnectionResetError("cut"), Unavailable),
        (TimeoutError("slow"), Unavailable),
        (ssl.SSLError("handshake"), Unavailable),
        (socket.gaierror("no such host"), Unavailable),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), Unavailable),
        (DataCorruption(None, "checksums differ"), Unavailable),
        (SlackRequestError("invalid proxy"), Refused),
        (SlackClientError("odd"), Refused),
    ],
    ids=lambda param: type(param).__name__ if isinstance(param, Exception) else "",
)
def test_every_other_exception(error: Exception, ours: type[CloudError]) -> None:
    """Broken connections may be mended, credentials are missing, and addresses do not mend themselves."""
    found = translate(error, NAME)
    assert type(found) is ours
    assert found.resource == NAME


@pytest.mark.parametrize(
    "error",
    [ValueError("ours"), KeyError("ours"), FileNotFoundError("ours"), Conflict("ours"), google.AsyncRestUnsupportedParameterError("x")],
)
def test_what_is_no_vendors_passes(error: Exception) -> None:
    """A fault of our own stays what it is."""
    assert translate(error) is None
    with pytest.raises(type(error)) as caught, translated(NAME):
        raise error
    assert caught.value is error


def test_translated_keeps_the_cause() -> None:
    """The vendor's exception stands behind ours, and what is no error passes untouched."""
    cause = google.NotFound("it is so")
    with pytest.raises(Gone) as caught, translated(NAME):
        raise cause
    assert caught.value.__cause__ is cause
    with translated(NAME):
        pass
    with pytest.raises(KeyboardInterrupt), translated(NAME):
        raise KeyboardInterrupt


def test_every_class_of_the_table_exists() -> None:
    """A name that a vendor has changed would never match again."""
    for name in errors._BY_CLASS:
        module, _, own = name.rpartition(".")
        assert issubclass(getattr(importlib.import_module(module), own), Exception), name


def test_what_may_pass() -> None:
    """Only what is Unavailable is worth another try."""
    assert may_pass(google.ServiceUnavailable("x"))
    assert not may_pass(google.NotFound("x"))
    assert not may_pass(ValueError("x"))


# Sentences


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            google.PermissionDenied("Permission 'run.services.update' denied on resource 'x' (or it may not exist)."),
            f"{NAME}: Permission 'run.services.update' denied on resource 'x' (or it may not exist); {GRANT} run.services.update",
        ),
        (
            google.Forbidden(
                "wd@acme.iam.gserviceaccount.com does not have storage.objects.get access to the Google Cloud Storage object."
            ),
            f"{NAME}: wd@acme.iam.gserviceaccount.com does not have storage.objects.get access to the Google Cloud Storage object; {GRANT} storage.objects.get",
        ),
        (google.Forbidden("No storage.objects.list."), f"{NAME}: No storage.objects.list; {GRANT} storage.objects.list"),
        (
            google.PermissionDenied("No.", error_info={"metadata": {"permission": "run.services.list"}}),
            f"{NAME}: No; {GRANT} run.services.list",
        ),
        (google.Forbidden("No."), f"{NAME}: No; see which role the watchdog's service account lacks"),
        (
            google.Forbidden("Cloud Run Admin API is disabled.", error_info={"reason": "SERVICE_DISABLED"}),
            f"{NAME}: Cloud Run Admin API is disabled; enable the API in that project",
        ),
        (
            auth.DefaultCredentialsError("No credentials were found."),
            f"{NAME}: No credentials were found; sign in with `gcloud auth application-default login`, or run as a service account",
        ),
        (
            google.RetryError("Timeout of 20.0s exceeded", google.ServiceUnavailable("The service is down.")),
            f"{NAME}: The service is down; tried until its time was over",
        ),
        (google.BadRequest("two\n  lines"), f"{NAME}: two lines"),
        (google.BadRequest("x" * 1000), f"{NAME}: {'x' * 600}..."),
        (TimeoutError(), f"{NAME}: TimeoutError"),
    ],
)
def test_sentences_for_people(error: Exception, sentence: str) -> None:
    """The vendor's words on one line, and for what is denied what to do next."""
    assert str(translate(error, NAME)) == sentence


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b'{"error": {"code": 412, "message": "The precondition failed."}}', "The precondition failed."),
        (b'{"error": "odd"}', "PUT https://storage: it failed"),
        (b"<html>", "PUT https://storage: it failed"),
    ],
)
def test_the_sentence_inside_a_json_answer(body: bytes, sentence: str) -> None:
    """Of an answer in JSON only the message counts, without the request's address; of any other the client's words do."""
    response = requests.Response()
    response.status_code = 412
    response._content = body
    assert str(translate(google.PreconditionFailed("PUT https://storage: it failed", response=response))) == sentence


# How long to wait


def answer(**headers: str) -> requests.Response:
    """An answer over HTTP."""
    response = requests.Response()
    response.status_code = 429
    response.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return response


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (google.TooManyRequests("x"), None),
        (google.TooManyRequests("x", response=answer()), None),
        (google.TooManyRequests("x", response=answer(Retry_After="7")), 7.0),
        (google.TooManyRequests("x", response=answer(retry_after="0.5")), 0.5),
        (google.TooManyRequests("x", response=answer(Retry_After="-3")), 0.0),
        (google.TooManyRequests("x", response=answer(Retry_After="soon")), None),
        (google.TooManyRequests("x", response=answer(Retry_After="nan")), None),
        (google.TooManyRequests("x", response=answer(Retry_After="Mon, 23 Nov 2020 12:00:00 GMT")), 0.0),
        (google.TooManyRequests("x", response=answer(Retry_After="Mon, 23 Nov 2020 12:00:00 -0000")), None),
        (google.ResourceExhausted("x", details=[object(), RetryInfo(retry_delay=Duration(seconds=1, nanos=500_000_000))]), 1.5),
        (google.RetryError("x", google.TooManyRequests("x", response=answer(Retry_After="7"))), 7.0),
        (TimeoutError("x"), None),
    ],
)
def test_how_long_to_wait(error: Exception, seconds: float | None) -> None:
    """As the answer says, in a header or in details; nothing where it says nothing that can be read."""
    found = translate(error)
    assert isinstance(found, Unavailable)
    assert found.retry_after == seconds


def test_a_date_to_wait_for() -> None:
    """A date in the header is so many seconds from now."""
    found = translate(
        google.TooManyRequests("x", response=answer(Retry_After=format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)))
    )
    assert isinstance(found, Unavailable)
    assert found.retry_after is not None
    assert 50 < found.retry_after <= 60


# Slack


def slack_error(data: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> SlackApiError:
    """As slack_sdk raises it."""
    response = SlackResponse(client=None, http_verb="POST", api_url="", req_args={}, data=data, headers=headers or {}, status_code=status)
    return SlackApiError("The request to the Slack API failed.", response)  # type: ignore[no-untyped-call]  # slack_sdk's own


@pytest.mark.parametrize(
    ("error", "ours", "sentence"),
    [
        (slack_error({"error": "ratelimited"}, status=429, headers={"Retry-After": "30"}), Unavailable, "Slack answers 'ratelimited'"),
        (slack_error({"error": "fatal_error"}), Unavailable, "Slack answers 'fatal_error'"),
        (slack_error({"error": "something_new"}, status=503), Unavailable, "Slack answers 'something_new'"),
        (
            slack_error({"error": "Received a response in a non-JSON format: <html>"}),
            Unavailable,
            "Slack answers 'Received a response in a non-JSON format: <html>'",
        ),
        (slack_error(None, status=502), Unavailable, "Slack answers 'status 502'"),
        (slack_error(None, status=404), Refused, "Slack answers 'status 404'"),
        (slack_error({"error": "no_text"}), Refused, "Slack answers 'no_text'"),
        (
            slack_error({"error": "invalid_blocks", "response_metadata": {"messages": ["[ERROR] too long", "[ERROR] too many"]}}),
            Refused,
            "Slack answers 'invalid_blocks' ([ERROR] too long; [ERROR] too many)",
        ),
        (
            slack_error({"error": "invalid_auth"}),
            Denied,
            "Slack answers 'invalid_auth'; put the bot token of the installed app (xoxb-...) into SLACK_BOT_TOKEN",
        ),
        (
            slack_error({"error": "missing_scope", "needed": "chat:write"}),
            Denied,
            "Slack answers 'missing_scope' (needed: chat:write); add the scope to the app and install it again",
        ),
        (
            slack_error({"error": "not_in_channel"}),
            Denied,
            "Slack answers 'not_in_channel'; invite the app to the channel with /invite, or correct the channel's name in the policy",
        ),
    ],
)
def test_slack(error: SlackApiError, ours: type[CloudError], sentence: str) -> None:
    """By Slack's own word where it is known, otherwise by the status, with what to do next."""
    found = translate(error)
    assert (type(found), str(found)) == (ours, sentence)


def test_slack_says_how_long() -> None:
    """In the header, in any case and with a fraction."""
    for text, seconds in (("30", 30.0), ("1.5", 1.5), ("later", None)):
        found = translate(slack_error({"error": "ratelimited"}, status=429, headers={"retry-after": text}))
        assert isinstance(found, Unavailable)
        assert found.retry_after == seconds


def test_every_advice_is_for_what_is_denied() -> None:
    """What is refused or unavailable needs no permission."""
    for kind, advice in errors._BY_SLACK_WORD.values():
        assert issubclass(kind, WatchdogError)
        assert bool(advice) == (kind is Denied)
