"""What the watchdog found that it may and may not do, tested with its own identity by the tick. Pure."""

from __future__ import annotations

from datetime import timedelta

from pydantic import AwareDatetime

from shared.record import Record

SCHEMA = 1
EVERY = timedelta(days=1)


class Rights(Record):
    """The outcome of one test of the permissions that the policy's actions need.

    Attributes:
        schema_version: The shape of this object.
        tested_at: When, UTC.
        service: The Cloud Run service whose identity was tested; empty on a terminal.
        missing: By where it has to be granted (``project acme-ml-staging``, ``bucket acme-ml-artifacts``), the permissions that are not there.
        tested: By the same, the permissions that were asked about.
        untested: By the same, why it could not be asked.
    """

    schema_version: int = SCHEMA
    tested_at: AwareDatetime
    service: str = ""
    missing: dict[str, tuple[str, ...]] = {}
    tested: dict[str, tuple[str, ...]] = {}
    untested: dict[str, str] = {}
