"""``make terraform-check``: the format, every argument against the provider's schema, and the tests, as far as this machine can. Says aloud what it could not do.

What is checked without Terraform is in `faults`; the rest is Terraform's own, with the real provider where the registry can be reached and with `terraform.stand_in`
where not.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import hcl2

FOLDER = Path(__file__).resolve().parent
PATIENCE = 300.0
"""Seconds for which a provider may take to be downloaded, or the tests to run."""
_META = frozenset({"count", "depends_on", "for_each", "provider"})
_META_BLOCKS = frozenset({"dynamic", "lifecycle"})
_KINDS = {"resource": "resources", "data": "data"}


def schema() -> dict[str, Any]:
    """What the provider knows: of each resource the arguments with ``required``, ``optional`` or ``computed`` and the type, and the blocks in it.

    It is reduced from the npm package @cdktf/provider-google 16.12.1, which was made of provider 6.50, with what the upgrade guide of 7.0 changes:
    https://registry.terraform.io/providers/hashicorp/google/latest/docs/guides/version_7_upgrade
    """
    found: dict[str, Any] = json.loads((FOLDER / "schema.json").read_text(encoding="utf-8"))
    return found


def parsed(folder: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each file of a folder by its name, as data."""
    for file in sorted(folder.glob("*.tf")):
        with file.open(encoding="utf-8") as text:
            yield file.name, hcl2.load(text)


def faults(folder: Path, known: Mapping[str, Any]) -> list[str]:
    """What is misspelt, missing or in the wrong place in a folder of Terraform's files, each as a sentence with the file; empty where all is well.

    Raises:
        OSError: A file cannot be read.
    """
    found: list[str] = []
    for name, content in parsed(folder):
        for kind, section in _KINDS.items():
            for group in content.get(kind, ()):
                for kind_of, instances in group.items():
                    of = _bare(kind_of)
                    for instance, body in instances.items():
                        where = f"{name}: {kind} {of}.{_bare(instance)}"
                        if of in known[section]:
                            found += (f"{where}{fault}" for fault in _wrong(body, known[section][of]))
                        else:
                            found.append(f"{where}: there is no such {kind}, or schema.json does not have it yet")
        for group in content.get("provider", ()):
            found += (f"{name}: provider{fault}" for body in group.values() for fault in _wrong(body, known["provider"]))
    return found


def _bare(name: str) -> str:
    return name.strip('"')


def _is_block(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict) and "__is_block__" in value[0]


def _blocks(body: Mapping[str, Any]) -> dict[str, list[tuple[Mapping[str, Any], bool]]]:
    """The blocks in a body by their name, each with whether it is there for certain."""
    blocks: dict[str, list[tuple[Mapping[str, Any], bool]]] = {}
    for name, value in body.items():
        if name == "dynamic":
            for group in value:
                for inner, made in group.items():
                    if not inner.startswith("__"):
                        blocks.setdefault(_bare(inner), []).extend((content, False) for content in made["content"])
        elif _is_block(value) and name not in _META_BLOCKS:
            blocks.setdefault(name, []).extend((each, True) for each in value)
    return blocks


def _wrong(body: Mapping[str, Any], known: Mapping[str, Any]) -> Iterator[str]:
    attributes, blocks, given = known["attributes"], known["blocks"], _blocks(body)
    arguments = {name for name, value in body.items() if not name.startswith("__") and not _is_block(value)} - _META - _META_BLOCKS
    for name in sorted(arguments):
        if name in blocks:
            yield f": {name} is a block, and is written without ="
        elif name not in attributes:
            yield f": there is no argument {name}"
        elif attributes[name][0] == "computed":
            yield f": {name} cannot be set, since the provider computes it"
    for name, (mode, _) in attributes.items():
        if mode == "required" and name not in arguments:
            yield f": {name} is missing"
    for name, several in given.items():
        if name in attributes:
            yield f": {name} is an argument, and is written with ="
        elif name not in blocks:
            yield f": there is no block {name}"
        else:
            if blocks[name]["max"] and len([each for each, certain in several if certain]) > blocks[name]["max"]:
                yield f": the block {name} may be there once"
            for each, _ in several:
                yield from (f": in {name}{fault}" for fault in _wrong(each, blocks[name]))
    for name, block in blocks.items():
        if block["min"] and name not in given:
            yield f": the block {name} is missing"


# Terraform itself


def _terraform(folder: Path, *arguments: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    command = ["terraform", f"-chdir={folder}", *arguments]
    quiet = {"CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1", "TF_INPUT": "0"}
    return subprocess.run(  # noqa: S603  # the command is made here
        command, env={**os.environ, **quiet, **environment}, capture_output=True, text=True, check=False, timeout=PATIENCE
    )


def _copied(folder: Path) -> Path:
    """What Terraform needs, with an archive to name, so that nothing in the folder itself is touched."""
    there = folder / "terraform"
    shutil.copytree(FOLDER, there, ignore=shutil.ignore_patterns(".*", "__pycache__", "*.py", "*.tfstate*", "*.tfvars", "*_override.tf"))
    (there / ".build").mkdir()
    (there / ".build" / "source.zip").write_bytes(b"stands for the archive")
    shutil.copy(FOLDER.parent / "policy.yaml", folder)
    return there


def _tried(folder: Path) -> tuple[int, list[str]]:
    """Run the tests, with the real provider if it can be had.

    Returns:
        The exit status, and what to say.
    """
    said: list[str] = []
    with ExitStack() as stack:
        environment: dict[str, str] = {}
        try:
            begun = _terraform(folder, "init", "-backend=false", "-no-color", environment=environment)
            reason = _reason(begun.stderr) if begun.returncode else ""
        except subprocess.TimeoutExpired:
            reason = f"it took longer than {PATIENCE:.0f} s"
        if reason:
            from terraform.stand_in import served

            environment = stack.enter_context(served(schema()))
            begun = _terraform(folder, "init", "-backend=false", "-no-color", environment=environment)
            if begun.returncode:
                return 1, [f"terraform init: {begun.stderr}"]
            said.append(
                f"NOTE: the provider hashicorp/google cannot be downloaded here ({reason}). `terraform validate` and `terraform test` were run against "
                "the schema in terraform/schema.json in its place: arguments, blocks and references are checked, and the values that only the real "
                "provider knows are not."
            )
        for arguments in (("validate", "-no-color"), ("test", "-no-color")):
            run = _terraform(folder, *arguments, environment=environment)
            if run.returncode:
                return 1, [*said, f"terraform {arguments[0]}:", run.stdout, run.stderr]
            said.append(f"terraform {arguments[0]}: {_last(run.stdout)}")
    return 0, said


def _last(text: str) -> str:
    lines = [line.strip("│╷╵ ") for line in text.splitlines()]
    return next((line for line in reversed(lines) if line), "")


def _reason(text: str) -> str:
    """The first error's own words, on one line."""
    words = " ".join(line.strip("│╷╵ ") for line in text.splitlines()).split("Error: ", 1)[-1].split()
    return " ".join(words)[:300].rstrip(". ")


def main() -> int:
    """The exit status: 0 where nothing is wrong, whatever could not be tried."""
    found = faults(FOLDER, schema())
    _say([f"terraform/{fault}" for fault in found] or ["every argument and block is one of the provider's"])
    if shutil.which("terraform") is None:
        _say(
            [
                "NOTE: there is no terraform on the PATH, so neither `terraform fmt`, `validate` nor `test` was run; only the arguments were checked."
            ]
        )
        return 1 if found else 0
    form = _terraform(FOLDER, "fmt", "-check", "-recursive", "-no-color", environment={})
    if form.returncode:
        _say([f"not in the format of `terraform fmt`: {form.stdout.strip() or form.stderr.strip()}"])
    with tempfile.TemporaryDirectory() as folder:
        status, said = _tried(_copied(Path(folder)))
    _say(said)
    return 1 if found or form.returncode or status else 0


def _say(lines: Sequence[str]) -> None:
    print(*lines, sep="\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
