"""The policy in force: read, kept for a while, and checked as far as an event needs it.

The name of an object that is no sign needs nothing but the names of the signs, which are told without the policy's model: see `shared.policy.signs`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from shared.cloud.policy_source import fetch_policy_text
from shared.errors import SettingsError, WatchdogError
from shared.policy.signs import last_part, sign_names
from shared.settings import Settings

if TYPE_CHECKING:
    from shared.objects.runs import Suspect, Watch
    from shared.policy.policy import Policy

POLICY_FOR = 300.0
"""Seconds for which a policy in Cloud Storage is trusted before it is read again."""


@dataclass(frozen=True, slots=True)
class _Read:
    """A policy's text as it was read, and what was made of it so far.

    Attributes:
        text: The text.
        source: Where it was read, for people.
        at: When, by the process's own clock.
        names: The last parts of the names of signs, by bucket; None where only the whole policy tells.
        checked: The whole policy and its signs; None where nothing needed them yet.
    """

    text: str
    source: str
    at: float
    names: Mapping[str, frozenset[str]] | None
    checked: tuple[Policy, Watch] | None = None


log = logging.getLogger(__name__)
_lock = threading.Lock()
_read: dict[Settings, _Read] = {}


def require(found: Settings, *, names_alone: bool) -> None:
    """Refuse a policy that cannot be used: for any event, or for telling the names of signs alone.

    Raises:
        SettingsError: With every fault.
    """
    with _lock:
        if not names_alone or _current(found).names is None:
            _checked(found)


def policy(found: Settings) -> Policy:
    """The policy in force: read again from Cloud Storage after a while, so that it can be changed without a deployment.

    A change that makes it unusable is an ERROR in the log, and the last policy that could be used stays in force in this process.

    Raises:
        SettingsError: With every fault, where there was none before.
    """
    with _lock:
        return _checked(found)[0]


def suspects(found: Settings, bucket: str, name: str) -> tuple[Suspect, ...]:
    """What an object of this name may say by the policy in force; nothing, for almost all names.

    Raises:
        SettingsError: As `policy` does, where it takes more than the name to tell.
    """
    with _lock:
        read = _current(found)
        if read.checked is None and read.names is not None and last_part(name) not in read.names.get(bucket, ()):
            return ()
        watch = _checked(found)[1]
    return watch.signs(bucket, name)


def _current(found: Settings) -> _Read:
    read = _read.get(found)
    if read is None:
        read = _read[found] = _fetched(found)
    elif found.policy.startswith("gs://") and time.monotonic() - read.at >= POLICY_FOR:
        try:
            fresh = _fetched(found)
            # What is kept gives way to what can be used alone.
            read = replace(fresh, checked=_made(fresh, found)) if read.checked or fresh.names is None else fresh
        except WatchdogError as error:
            log.error("the policy cannot be used any more, so the last one that could stays in force: %s", error)  # noqa: TRY400  # no stack is needed
            read = replace(read, at=time.monotonic())
        _read[found] = read
    return read


def _checked(found: Settings) -> tuple[Policy, Watch]:
    read = _current(found)
    if read.checked:
        return read.checked
    try:
        checked = _made(read, found)
    except SettingsError:
        del _read[found]  # what is mended is found at the next need
        raise
    _read[found] = replace(read, checked=checked)
    return checked


def _fetched(found: Settings) -> _Read:
    text, source = fetch_policy_text(found)
    return _Read(text, source, time.monotonic(), sign_names(text))


def _made(read: _Read, found: Settings) -> tuple[Policy, Watch]:
    from shared.actions import params_by_name
    from shared.objects.runs import Watch
    from shared.policy.policy import parse

    parsed = parse(read.text, source=read.source, actions=params_by_name())
    own = [index for index, rule in enumerate(parsed.artifacts) if rule.bucket == found.state_bucket]
    if own:
        raise SettingsError([
            f"{read.source}: artifacts[{index}].bucket: {found.state_bucket} is the state bucket (WATCHDOG_STATE_BUCKET), and the state bucket can't be "
            "watched, since the journal would be taken for runs; keep the runs in another bucket, or give the watchdog one of its own"
            for index in own
        ])  # fmt: skip
    return parsed.model_copy(update={"mode": found.mode}) if found.mode else parsed, Watch(parsed.artifacts)
