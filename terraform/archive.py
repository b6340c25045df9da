"""The archive that the functions are deployed from: exactly what runs, the same bytes wherever and whenever it is built.

``make archive`` writes it, and Terraform names the object after its content. Everything is stored without compression, since what a compressor makes of
the same bytes depends on its version; the whole is about a megabyte. No policy is in it: where the setting that names one is forgotten, a function
should refuse to start, and not go by the example; and a policy can be changed without a deployment only where it lies outside.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ARCHIVE = ROOT / "terraform" / ".build" / "source.zip"
ALLOWED = ("main.py", "requirements.txt", "functions/**/*.py", "shared/**/*.py", "shared/audit/page_assets/page.*")
"""What may be in it, as patterns below the root; each has to match something."""

_WHEN = (1980, 1, 1, 0, 0, 0)
"""The first moment that the format knows."""
_MODE = 0o100644
_UNIX = 3


def files(root: Path) -> Iterator[str]:
    """What goes into it, by paths below the root, in order.

    Raises:
        FileNotFoundError: A pattern matches nothing.
        ValueError: Something is a link, which may lead anywhere.
    """
    found: set[str] = set()
    for pattern in ALLOWED:
        some = {
            path for path in root.glob(pattern) if not any(part.startswith((".", "__pycache__")) for part in path.relative_to(root).parts)
        }
        if not some:
            raise FileNotFoundError(f"there is no {pattern} below {root}; build the archive from a whole checkout")
        if links := sorted(str(path) for path in some if path.is_symlink()):
            raise ValueError(f"{links[0]} is a symbolic link; put the file itself there, since the archive holds no links")
        found.update(path.relative_to(root).as_posix() for path in some)
    yield from sorted(found)


def build(root: Path = ROOT) -> bytes:
    """The archive.

    Raises:
        FileNotFoundError: Something is missing.
        ValueError: Something is a link.
    """
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as archive:
        for name in files(root):
            entry = zipfile.ZipInfo(name, _WHEN)
            entry.create_system, entry.external_attr = _UNIX, _MODE << 16
            archive.writestr(entry, (root / name).read_bytes())
    return written.getvalue()


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the archive, and say what is in it.

    Returns:
        0, or 1 where it could not be built.
    """
    parser = argparse.ArgumentParser(
        prog="python terraform/archive.py", description="Build the archive that the functions are deployed from."
    )
    parser.add_argument("--output", type=Path, default=ARCHIVE, metavar="FILE", help="where to write it (terraform/.build/source.zip)")
    output: Path = parser.parse_args(arguments).output
    try:
        data = build()
    except (OSError, ValueError) as error:
        print(f"The archive cannot be built: {error}", file=sys.stderr)
        return 1
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_bytes(data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for entry in archive.infolist():
            print(f"{entry.file_size:>8}  {entry.filename}")
    print(f"{len(data):>8}  {output}\n  sha256  {hashlib.sha256(data).hexdigest()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
