"""What an audit looks at, by name: loaded before anything else of it, to say what can be asked."""

from __future__ import annotations

from typing import Literal

Category = Literal["serving", "storage", "budgets", "labels", "watch"]
CATEGORIES: tuple[Category, ...] = ("serving", "storage", "budgets", "labels", "watch")
