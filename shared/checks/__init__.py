"""What an audit looks for: one file for each check, and this folder is the registry. Checks are pure.

A check is one file with a `CHECK`. It gets all that the audit has seen and gives findings; it reads nothing itself.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from shared.audit.category import Category
from shared.audit.estate import Estate, Need
from shared.audit.finding import Finding, Severity
from shared.model import Resource


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that an audit looks for.

    Attributes:
        name: The file's name.
        category: Where it stands in the report.
        lever: What the money that it finds is spent on, as the chart of savings names it; empty where it is not about money.
        needs: What has to be seen for it.
        find: What it finds. Where something that it needs was not seen, it finds nothing about that: the gap is told by itself.
    """

    name: str
    category: Category
    lever: str
    needs: frozenset[Need]
    find: Callable[[Estate], Iterable[Finding]]

    def finding(self, resource: str | Resource, severity: Severity, what: str, why: str, **more: Any) -> Finding:
        """A finding of this check about a resource, or about what has the full name.

        Args:
            resource: What it is about; its labels are taken over.
            severity: How grave it is.
            what: What is wrong, in one sentence without a full stop.
            why: Why that costs, or why it matters.
            **more: Further fields of `Finding`.
        """
        name = resource if isinstance(resource, str) else resource.name
        labels = {} if isinstance(resource, str) else dict(resource.labels)
        fields = {"labels": labels, "meter": name if more.get("saving") else ""} | more
        return Finding(
            id=f"{self.name}:{name}",
            check=self.name,
            category=self.category,
            severity=severity,
            resource=name,
            what=what,
            why=why,
            **fields,
        )


@cache
def registry() -> Mapping[str, Check]:
    """All checks by name.

    Raises:
        TypeError: A file's check does not carry the file's name; that is a mistake in the code.
    """
    found: dict[str, Check] = {}
    for module in pkgutil.iter_modules(__path__):
        check: Check | None = getattr(importlib.import_module(f"{__name__}.{module.name}"), "CHECK", None)
        if check is None:
            continue
        if check.name != module.name:
            raise TypeError(f"shared/checks/{module.name}.py defines the check {check.name!r}; name the file or the check after the other")
        found[check.name] = check
    return MappingProxyType(found)


def asked(categories: Iterable[Category]) -> Iterator[Check]:
    """The checks of these categories, in the order of their names."""
    wanted = frozenset(categories)
    return (check for check in registry().values() if check.category in wanted)
