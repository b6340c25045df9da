"""Everything that can go wrong, and what becomes of the message that was being handled.

    WatchdogError
      x EventRejected   not ours or malformed    -> logged, reported once a day, acknowledged
      x SettingsError   a setting or the policy  -> refuses to start; every fault is listed
      x UnsafePlan      too much would change    -> reported, acknowledged
      x JournalError    an entry cannot be read  -> reported once, left alone
      x CloudError
        + Unavailable   429, 5xx, timeouts       -> raised: redelivered, what is done is not done again
        + Denied        401, 403                 -> reported with the missing permission, acknowledged
        + Conflict      409, 412, ABORTED        -> observed again
        + Gone          404                      -> already as we want it
        + Refused       400 and the rest         -> reported with the vendor's words, acknowledged

Raising is the only way to say "not done" to Pub/Sub and returning is the only way to say "done", so the one place
that decides between them is this table. Nobody tells a second time that a run has failed, so an event that does is
raised, too, where the journal denies or refuses it.
"""

from __future__ import annotations

from collections.abc import Sequence


class WatchdogError(Exception):
    """The root of all errors that this package raises on purpose."""


class EventRejected(WatchdogError):
    """A message that is malformed, or that is not meant for the watchdog.

    Attributes:
        kind: A short stable word for the sort of fault (``not-json``, ``anomaly`` …); one Slack notice a day is sent for each.
    """

    def __init__(self, kind: str, detail: str) -> None:
        """Keep the kind apart from the sentence."""
        super().__init__(detail)
        self.kind = kind


class SettingsError(WatchdogError):
    """A setting or the policy cannot be used.

    Attributes:
        faults: One sentence for each fault, in the order in which a person would mend them.
    """

    def __init__(self, faults: Sequence[str]) -> None:
        """List every fault, each on its own line."""
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


class UnsafePlan(WatchdogError):
    """A plan that would change more than the policy's limits allow; nothing of it is carried out."""


class JournalError(WatchdogError):
    """A journal object that is corrupt or was written by a newer version; it is never overwritten.

    Attributes:
        name: The object's name in the state bucket.
    """

    def __init__(self, name: str, detail: str) -> None:
        """Name the object in the sentence."""
        super().__init__(f"{name}: {detail}")
        self.name = name


class CloudError(WatchdogError):
    """An answer from outside that is not the one asked for.

    Attributes:
        resource: The full name of what was asked about, empty where the call concerns none.
    """

    def __init__(self, detail: str, *, resource: str = "") -> None:
        """Begin the sentence with the resource."""
        super().__init__(f"{resource}: {detail}" if resource else detail)
        self.resource = resource


class Unavailable(CloudError):
    """429, 5xx, a timeout, a broken connection: the same call may work later.

    Attributes:
        retry_after: Seconds to wait as the server asked, or None where it did not say.
    """

    def __init__(self, detail: str, *, resource: str = "", retry_after: float | None = None) -> None:
        """Keep the wait that the server asked for."""
        super().__init__(detail, resource=resource)
        self.retry_after = retry_after


class Denied(CloudError):
    """401 or 403: a permission is missing."""


class Conflict(CloudError):
    """409, 412 or ABORTED: somebody else changed it meanwhile."""


class Gone(CloudError):
    """404: it is not there."""


class Refused(CloudError):
    """The request was understood and not accepted; the same call will fail again."""
