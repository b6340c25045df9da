"""A copy of a policy whose waits are short, so that nobody has to sit them out."""

from __future__ import annotations

import re
from pathlib import Path

_SECTION = re.compile(r"^(\w+):", re.MULTILINE)
_WAIT = re.compile(r"(\bwait:\s*)(\d+[smhd])\b")


def with_short_waits(policy: Path, seconds: int, copy: Path) -> list[str]:
    """Write the copy, which differs from the policy in nothing but the waits of its budgets' steps and its artifacts.

    Args:
        policy: The policy; one that has no faults.
        seconds: How long these wait in the copy, where they wait at all.
        copy: Where to write the copy.

    Returns:
        The waits that were shortened, each once, as the policy has them.
    """
    shortened: dict[str, None] = {}

    def shorten(found: re.Match[str]) -> str:
        shortened[found[2]] = None
        return f"{found[1]}{seconds}s"

    text = policy.read_text(encoding="utf-8")
    starts = [match.start() for match in _SECTION.finditer(text)]
    sections = [text[start:end] for start, end in zip([0, *starts], [*starts, len(text)], strict=True)]
    written = (_WAIT.sub(shorten, section) if section.startswith(("artifacts:", "budgets:")) else section for section in sections)
    copy.write_text("".join(written), encoding="utf-8")
    return list(shortened)
