"""``make bench``: each figure beside a baseline that is run beside it, on the same stand-in and in the same run.

Times on a shared machine are noisy, so what counts are the ratios.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from tests.bench import auditing, billing, boot, deleting, events, load, parking

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Run all benchmarks, or those that are named."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("what", nargs="*", help="parking, deleting, auditing, events, boot, load, bill; all where none is named")
    parser.add_argument(
        "--full",
        action="store_true",
        help="park 1,000 services one by one and delete and audit a million objects too, which takes twenty minutes",
    )
    asked = parser.parse_args()
    console = Console(width=140)
    if not asked.what or "parking" in asked.what:
        parking.run(console, ROOT, full=asked.full)
    if not asked.what or "deleting" in asked.what:
        deleting.run(console, ROOT, full=asked.full)
    if not asked.what or "auditing" in asked.what:
        auditing.run(console, ROOT, full=asked.full)
    if not asked.what or "events" in asked.what:
        events.run(console, ROOT)
    if not asked.what or "boot" in asked.what:
        boot.run(console, ROOT)
    if not asked.what or "load" in asked.what:
        load.run(console, ROOT)
    if not asked.what or "bill" in asked.what:
        billing.run(console, ROOT)


if __name__ == "__main__":
    main()
