"""Vendors' exceptions as ours.

The tables name a vendor's classes in words, so reading them imports no vendor's library; a class counts as the nearest of its bases that is named.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from shared.errors import CloudError, Conflict, Denied, Gone, Refused, Unavailable

Kind = type[CloudError]

# https://cloud.google.com/apis/design/errors#handling_errors. What is not here: from 500 on Unavailable, everything else Refused.
_BY_STATUS: Mapping[int, Kind] = {
    401: Denied,
    403: Denied,
    404: Gone,
    408: Unavailable,
    409: Conflict,  # ABORTED and ALREADY_EXISTS
    412: Conflict,
    429: Unavailable,
    499: Unavailable,  # CANCELLED: the call was broken off, done or not
    501: Refused,  # trying again does not bring an implementation
}

# Exceptions that carry no status of their own.
_BY_CLASS: Mapping[str, Kind] = {
    "google.api_core.exceptions.GoogleAPIError": Refused,
    "google.api_core.exceptions.ResumableTransferError": Unavailable,
    "google.api_core.exceptions.RetryError": Unavailable,
    "google.api_core.exceptions.ServerError": Unavailable,
    "google.auth.exceptions.GoogleAuthError": Denied,
    "google.auth.exceptions.ResponseError": Unavailable,
    "google.auth.exceptions.TimeoutError": Unavailable,
    "google.auth.exceptions.TransportError": Unavailable,
    "google.cloud.storage.exceptions.DataCorruption": Unavailable,
    "grpc.RpcError": Unavailable,
    "requests.exceptions.RequestException": Unavailable,
    "requests.exceptions.InvalidHeader": Refused,
    "requests.exceptions.InvalidSchema": Refused,
    "requests.exceptions.InvalidURL": Refused,
    "requests.exceptions.MissingSchema": Refused,
    "urllib3.exceptions.HTTPError": Unavailable,
    "urllib3.exceptions.LocationValueError": Refused,
    "slack_sdk.errors.SlackClientError": Refused,
    "urllib.error.URLError": Unavailable,
    "http.client.HTTPException": Unavailable,
    "ssl.SSLError": Unavailable,
    "socket.gaierror": Unavailable,
    "builtins.ConnectionError": Unavailable,
    "builtins.TimeoutError": Unavailable,
    "builtins.UnicodeDecodeError": Unavailable,  # an answer that is none, as a broken proxy sends it
}

_NEW_BOT = "put the bot token of the installed app (xoxb-...) into SLACK_BOT_TOKEN"
_HOOK = "make a new incoming webhook, and put its address into SLACK_WEBHOOK_URL"
_INVITE = "invite the app to the channel with /invite, or correct the channel's name in the policy"

# https://docs.slack.dev/reference/methods/chat.postMessage#errors. What is not here is judged by the answer's HTTP status, and is Refused with a 200.
_BY_SLACK_WORD: Mapping[str, tuple[Kind, str]] = {
    "ratelimited": (Unavailable, ""),
    "rate_limited": (Unavailable, ""),
    "internal_error": (Unavailable, ""),
    "fatal_error": (Unavailable, ""),
    "request_timeout": (Unavailable, ""),
    "service_unavailable": (Unavailable, ""),
    "team_added_to_org": (Unavailable, ""),
    "not_authed": (Denied, _NEW_BOT),
    "invalid_auth": (Denied, _NEW_BOT),
    "account_inactive": (Denied, _NEW_BOT),
    "token_revoked": (Denied, _NEW_BOT),
    "token_expired": (Denied, _NEW_BOT),
    "not_allowed_token_type": (Denied, _NEW_BOT),
    "org_login_required": (Denied, _NEW_BOT),
    "two_factor_setup_required": (Denied, _NEW_BOT),
    "missing_scope": (Denied, "add the scope to the app and install it again"),
    "no_permission": (Denied, "add the scope to the app and install it again"),
    "access_denied": (Denied, "ask an owner of the workspace to allow the app"),
    "accesslimited": (Denied, "ask an owner of the workspace to allow the app"),
    "ekm_access_denied": (Denied, "ask an owner of the workspace to allow the app"),
    "team_access_not_granted": (Denied, "ask an owner of the workspace to allow the app"),
    "restricted_action": (Denied, "ask an owner of the workspace who may post to the channel"),
    "channel_not_found": (Denied, _INVITE),
    "not_in_channel": (Denied, _INVITE),
    "is_archived": (Denied, "unarchive the channel, or name another in the policy"),
    "channel_is_archived": (Denied, "unarchive the channel, or name another in the policy"),
    "message_not_found": (Gone, ""),
    "thread_not_found": (Gone, ""),
    "used_url": (Gone, ""),
    "expired_url": (Gone, ""),
    "no_service": (Denied, _HOOK),
    "no_service_id": (Denied, _HOOK),
    "no_team": (Denied, _HOOK),
    "invalid_token": (Denied, _HOOK),
    "action_prohibited": (Denied, "ask an owner of the workspace to allow the webhook"),
}

_CREDENTIALS = "sign in with `gcloud auth application-default login`, or run as a service account"
_PERMISSION = re.compile(r"(?<![\w.@-])[a-z][A-Za-z]*\.[a-z][A-Za-z]*\.(?!com\b)[a-z][A-Za-z]*(?!\.?\w)")
_LONGEST = 600


@contextlib.contextmanager
def translated(resource: str = "") -> Iterator[None]:
    """Raise a vendor's exception as one of ours, and let every other pass. Put around the vendor's call and nothing else.

    Args:
        resource: The full name of what is asked about.

    Raises:
        CloudError: What the vendor's exception stands for.
    """
    try:
        yield
    except Exception as error:
        ours = translate(error, resource)
        if ours is None:
            raise
        raise ours from error


def translate(error: BaseException, resource: str = "") -> CloudError | None:
    """What a vendor's exception stands for, or None where it is no vendor's."""
    names = _names(error)
    if "slack_sdk.errors.SlackApiError" in names:
        return _of_slack(error, resource)
    if "grpc.RpcError" in names:
        from google.api_core import exceptions

        error = exceptions.from_grpc_error(error)
        names = _names(error)
    status = _status(error, names)
    named = next((_BY_CLASS[name] for name in names if name in _BY_CLASS), None)
    kind = named if status is None else _by_status(status)
    if kind is None:
        return None
    sentence = _sentence(error)
    if kind is Unavailable:
        return Unavailable(sentence, resource=resource, retry_after=_retry_after(error))
    if kind is Denied:
        sentence = f"{sentence.rstrip('.')}; {_what_to_grant(error, status, sentence)}"
    return kind(sentence, resource=resource)


def may_pass(error: BaseException) -> bool:
    """Whether the same call may work later: a predicate for the retries of Google's clients."""
    return isinstance(translate(error), Unavailable)


def _names(error: BaseException) -> list[str]:
    return [f"{each.__module__}.{each.__qualname__}" for each in type(error).__mro__]


def _status(error: Any, names: list[str]) -> int | None:
    if "google.api_core.exceptions.GoogleAPICallError" in names:
        return None if error.code is None else int(error.code)
    if "google.cloud.storage.exceptions.InvalidResponse" in names:
        return int(error.response.status_code)
    if "google.auth.exceptions.GoogleAuthError" in names and error.retryable:
        return 503
    return None


def _by_status(status: int) -> Kind:
    return _BY_STATUS.get(status, Unavailable if status >= 500 else Refused)


def of_status(status: int, body: str, headers: Mapping[str, Any], resource: str) -> CloudError:
    """What an answer of one of Slack's webhooks stands for, which is a status and a word."""
    word = body.strip() if re.fullmatch(r"\w+", body.strip()) else f"status {status}"
    # An address that was used up answers with a status that says no more than that it is not there.
    return _slacks(word, status, headers, resource, other=Gone if status in (404, 410) else Refused)


def _of_slack(error: Any, resource: str) -> CloudError:
    answer, status = error.response, error.response.status_code
    details = (answer.get("response_metadata") or {}).get("messages")
    said = f" (needed: {answer['needed']})" if answer.get("needed") else ""
    said += f" ({_short('; '.join(map(str, details)))})" if details else ""
    return _slacks(str(answer.get("error") or f"status {status}"), status, answer.headers, resource, said)


def _slacks(word: str, status: int, headers: Mapping[str, Any], resource: str, details: str = "", other: Kind = Refused) -> CloudError:
    down = status >= 500 or status == 429 or (status == 200 and not re.fullmatch(r"\w+", word))
    kind, advice = _BY_SLACK_WORD.get(word, (Unavailable if down else other, ""))
    sentence = f"Slack answers {_short(word)!r}{details}{f'; {advice}' if advice else ''}"
    if kind is Unavailable:
        return Unavailable(sentence, resource=resource, retry_after=_seconds(_header(headers)))
    return kind(sentence, resource=resource)


def _sentence(error: BaseException) -> str:
    cause = getattr(error, "cause", None)
    if isinstance(cause, BaseException):  # a RetryError
        return f"{_sentence(cause).rstrip('.')}; tried until its time was over"
    text = _of_json(getattr(error, "response", None)) or getattr(error, "message", None) or str(error)
    return _short(str(text)) or type(error).__name__


def _of_json(response: Any) -> str:
    """The sentence in the answer of one of Google's JSON APIs, which their clients wrap in the request's whole address."""
    try:
        return str(response.json()["error"]["message"])
    except (AttributeError, ValueError, LookupError, TypeError):  # not such an answer
        return ""


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _what_to_grant(error: BaseException, status: int | None, sentence: str) -> str:
    if status != 403:
        return _CREDENTIALS
    found = _PERMISSION.search(sentence)
    permission = (getattr(error, "metadata", None) or {}).get("permission") or (found and found[0])
    if permission:
        return f"grant the watchdog's service account a role with {permission}"
    if getattr(error, "reason", None) == "SERVICE_DISABLED":
        return "enable the API in that project"
    return "see which role the watchdog's service account lacks"


def _retry_after(error: BaseException) -> float | None:
    """How long the answer asks to wait: a ``Retry-After`` header over HTTP, a ``google.rpc.RetryInfo`` over gRPC."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, BaseException):
        return _retry_after(cause)
    for detail in getattr(error, "details", ()):
        if hasattr(detail, "retry_delay"):
            return float(detail.retry_delay.ToTimedelta().total_seconds())
    return _seconds(_header(getattr(getattr(error, "response", None), "headers", {})))


def _header(headers: Mapping[str, Any]) -> str:
    return next((str(value) for name, value in headers.items() if name.lower() == "retry-after"), "")


def _seconds(text: str) -> float | None:
    """A ``Retry-After`` in seconds: a number, with a fraction too, or a date; None where it is neither."""
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
