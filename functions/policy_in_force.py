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
"""Held for moments, and while a policy is checked; never while one is fetched."""
_fetching = threading.Lock()
"""Held while the first policy is fetched, which all that came meanwhile wait for."""
_read: dict[Settings, _Read] = {}
_failed: dict[Settings, tuple[int, WatchdogError]] = {}
"""How often the first policy could not be fetched, and why the last time: for those who waited meanwhile."""


def require(found: Settings, *, names_alone: bool) -> None:
    """Refuse a policy that cannot be used: for any event, or for telling the names of signs alone.

    Raises:
        SettingsError: With every fault.
    """
    read = _current(found)
    if not names_alone or read.names is None:
        _checked(found, read)


def policy(found: Settings) -> Policy:
    """The policy in force: read again from Cloud Storage after a while, so that it can be changed without a deployment.

    A change that makes it unusable is an ERROR in the log, and the last policy that could be used stays in force in this process.

    Raises:
        SettingsError: With every fault, where there was none before.
        CloudError: It could not be fetched, and there was none before.
    """
    return _checked(found, _current(found))[0]


def suspects(found: Settings, bucket: str, name: str) -> tuple[Suspect, ...]:
    """What an object of this name may say by the policy in force; nothing, for almost all names.

    Raises:
        SettingsError: As `policy` does, where it takes more than the name to tell.
        CloudError: As `policy` does.
    """
    read = _current(found)
    if read.checked is None and read.names is not None and last_part(name) not in read.names.get(bucket, ()):
        return ()
    return _checked(found, read)[1].signs(bucket, name)


def _current(found: Settings) -> _Read:
    with _lock:
        read, now = _read.get(found), time.monotonic()
        if read and (not found.policy.startswith("gs://") or now - read.at < POLICY_FOR):
            return read
        if read:
            _read[found] = replace(read, at=now)  # the others go on with it meanwhile
    return _again(found, read) if read else _first(found)


def _first(found: Settings) -> _Read:
    before = _failed.get(found)
    with _fetching:
        read, failed = _read.get(found), _failed.get(found)
        if read is None:
            if failed and failed != before:
                raise failed[1]  # a dead bucket is not asked once for each that waited
            try:
                read = _fetched(found)
            except WatchdogError as error:
                _failed[found] = (failed[0] + 1 if failed else 1, error)
                raise
            with _lock:
                _read[found] = read
    return read


def _again(found: Settings, read: _Read) -> _Read:
    try:
        fresh = _fetched(found)
        # What is kept gives way to what can be used alone.
        fresh = replace(fresh, checked=read.checked if fresh.text == read.text else _made(fresh, found))
    except WatchdogError as error:
        log.error("the policy cannot be used any more, so the last one that could stays in force: %s", error)  # noqa: TRY400  # no stack is needed
        return read
    with _lock:
        _read[found] = fresh
    return fresh


def _checked(found: Settings, read: _Read) -> tuple[Policy, Watch]:
    with _lock:
        kept = _read.get(found)
        if kept and kept.text == read.text and kept.checked:
            return kept.checked
        try:
            checked = read.checked or _made(read, found)
        except SettingsError:
            if kept and kept.text == read.text:
                del _read[found]  # what is mended is found at the next need
            raise
        if kept and kept.text == read.text:
            _read[found] = replace(kept, checked=checked)
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
