"""Executions of jobs that have been running for long."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

from shared import prices
from shared.audit.estate import Estate
from shared.audit.finding import Finding
from shared.audit.seen import Execution
from shared.checks import Check
from shared.model import Resource
from shared.slack.text import about, plural, stamp

LONG = timedelta(hours=24)
LONG_WITH_GPU = timedelta(hours=6)
HIGH_FROM = Decimal(100)
"""US dollars a day: an execution that costs so much is to be looked at now."""


def find(estate: Estate) -> Iterator[Finding]:
    """Each execution outside production that runs tasks for longer than a job usually does."""
    for execution in sorted(estate.executions or (), key=lambda each: each.name):
        age = estate.now - execution.created
        if not execution.running or age < (LONG_WITH_GPU if execution.gpu else LONG):
            continue
        if estate.policy.protect.covers(Resource("execution", execution.name, execution.labels)):
            continue
        day = _day(execution)
        so_far = day * Decimal(age / timedelta(days=1))
        parts = execution.name.split("/")
        place = f"--region={shlex.quote(parts[3])} --project={shlex.quote(parts[1])}"
        yield CHECK.finding(
            execution.name,
            "high" if day >= HIGH_FROM else "medium",
            f"has run {plural(execution.running, 'task')} since {stamp(execution.created)}: about {about(day)} a day, {about(so_far)} so far (estimate)",
            "A job that hangs is billed until its timeout, which may be a week; cancelling it loses what it has not written",
            mend=(f"gcloud run jobs executions cancel {shlex.quote(parts[-1])} {place}   # what it has not written is lost",),
            labels=dict(execution.labels),
        )


def _day(execution: Execution) -> Decimal:
    facts = {
        "billing": "instance", "cpu": execution.cpu, "memory_gib": execution.memory_gib, "gpu": execution.gpu, "gpu_zonal_redundancy": execution.gpu_zonal_redundancy,
    }  # fmt: skip
    return prices.warm_instance_month(facts) / prices.HOURS_A_MONTH * 24 * execution.running


CHECK = Check(name="job_executions", category="serving", lever="", needs=frozenset({"executions"}), find=find)
