"""Functions whose Python is near the end of its support."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from types import MappingProxyType

from shared.audit.estate import Estate
from shared.audit.finding import Finding
from shared.checks import Check

ENDS: Mapping[str, tuple[date, date]] = MappingProxyType(
    {
        "python310": (date(2026, 10, 4), date(2027, 4, 4)),
        "python311": (date(2027, 10, 24), date(2028, 4, 24)),
        "python312": (date(2028, 10, 2), date(2029, 4, 2)),
        "python313": (date(2029, 10, 10), date(2030, 4, 10)),
        "python314": (date(2030, 10, 10), date(2031, 4, 10)),
    }
)
"""When a runtime is deprecated, and when it is decommissioned: https://cloud.google.com/functions/docs/runtime-support as of 2026-11."""
SOON = timedelta(days=180)
_OLDEST = 10
_LONG_AGO = date(2000, 1, 1)
_RUNTIME = re.compile(r"/(python3\d+)(?:[:@/]|$)")


def find(estate: Estate) -> Iterator[Finding]:
    """The watchdog's own runtime, and those of all functions that were seen."""
    seen = {
        service.name: match[1] for service in estate.of_kind("service") if (match := _RUNTIME.search(service.facts.get("base_image", "")))
    }
    if estate.runtime:
        seen[f"projects/{estate.project}/runtime"] = estate.runtime
    own = {service.name for service in estate.of_kind("service") if service.facts.get("watchdog")} | {f"projects/{estate.project}/runtime"}
    for name, runtime in sorted(seen.items()):
        deprecated, gone = (_LONG_AGO, _LONG_AGO) if _minor(runtime) < _OLDEST else ENDS.get(runtime, (None, None))
        if deprecated is None or gone is None or estate.now.date() < deprecated - SOON:
            continue
        over = estate.now.date() >= gone
        yield CHECK.finding(
            name,
            "high" if over and name in own else "medium" if name in own or over else "low",
            f"runs on {runtime}, which is decommissioned"
            if gone == _LONG_AGO
            else f"runs on {runtime}, which is deprecated {'since' if estate.now.date() >= deprecated else 'from'} {deprecated} and decommissioned on {gone}",
            "A function on a runtime that is decommissioned cannot be deployed any more, not even with a mended line",
            mend=("deploy it on python313 or later",),
        )


def _minor(runtime: str) -> int:
    """11 for ``python311``; what is no Python 3 is not judged."""
    number = runtime.removeprefix("python3")
    return int(number) if number.isdecimal() else sys.maxsize


CHECK = Check(name="runtime_support", category="watch", lever="", needs=frozenset({"resources"}), find=find)
