"""``python -m tests.advisories``: what the functions are deployed with, looked up among known vulnerabilities. Says aloud where that cannot be done.

pip-audit asks the package index for its advisories, and OSV where that has none: https://github.com/pypa/pip-audit. An advisory fails the check; advisories
that cannot be had, as where the index is a mirror without them, do not.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SERVICES = ("pypi", "osv")
PATIENCE = 120.0
"""Seconds for one of them."""


def audited(service: str) -> tuple[Mapping[str, Any] | None, str]:
    """What one source of advisories knows of the pinned requirements, or None and why it says nothing."""
    command = [
        *(sys.executable, "-m", "pip_audit", "--requirement", str(ROOT / "requirements.txt"), "--require-hashes", "--disable-pip"),
        *("--vulnerability-service", service, "--format", "json", "--progress-spinner", "off", "--timeout", "15"),
    ]
    try:
        run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return None, f"no answer within {PATIENCE:.0f} s"
    try:
        found: Mapping[str, Any] = json.loads(run.stdout)
    except ValueError:
        return None, next((line for line in reversed(run.stderr.splitlines()) if line.strip()), "no answer")[:200]
    skipped = [each["skip_reason"] for each in found["dependencies"] if "skip_reason" in each]
    # What was not found was not looked up: a mirror answers so, and that is no all-clear.
    return (None, f"{len(skipped)} of {len(found['dependencies'])} are not known there: {skipped[0]}") if skipped else (found, "")


def told(found: Mapping[str, Any]) -> Iterator[str]:
    """Each advisory in a sentence."""
    for each in found["dependencies"]:
        for advisory in each.get("vulns", ()):
            better = ", ".join(advisory["fix_versions"]) or "no version yet"
            yield f"{each['name']} {each['version']}: {advisory['id']}, mended in {better}: raise it in requirements.in, then make lock"


def main() -> int:
    """Ask one source after the other until one answers.

    Returns:
        1 where there is an advisory; 0 where there is none, or none can be had.
    """
    reasons = []
    for service in SERVICES:
        found, reason = audited(service)
        if found is not None:
            faults = [*told(found)]
            print("\n".join(faults) or f"no known vulnerability in {len(found['dependencies'])} requirements")
            return 1 if faults else 0
        reasons.append(f"{service}: {reason}")
    print(
        f"NOTE: known vulnerabilities could not be looked up here ({'; '.join(reasons)}). Run `make check` where the advisories can be reached."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
