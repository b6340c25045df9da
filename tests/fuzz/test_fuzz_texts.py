"""Texts that people and programs write: policies, and the status files of runs. Each is read or refused, in bounded time and memory."""

from __future__ import annotations

import contextlib
import json
import time
import tracemalloc
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sandbox.cloud import ROOT
from shared.actions import params_by_name
from shared.errors import SettingsError
from shared.objects.runs import LIMIT, readable, says, tells
from shared.policy.artifacts import Condition
from shared.policy.policy import parse
from tests.fuzz.hostile import EXAMPLES, damaged, nearly, texts, tried, values

ACTIONS = params_by_name()
SHIPPED = (ROOT / "policy.yaml").read_bytes()
POLICIES = (yaml.safe_load(SHIPPED),)
STATUSES = (
    b'{"state": "FAILED", "nested": {"status": 4}}', b"status: 4\nnested:\n  status: [4, 5]\n", b"state: FAILED # why\n", b'\xef\xbb\xbf{"status": 4}', b"? a\n: b\n",
    '{"status": "4"}'.encode("utf-16"), b"status: !!python/object/apply:os.system ['true']\n", b"a: &a [1]\nb: *a\n",
)  # fmt: skip
CONDITIONS = tuple(
    Condition.model_validate({"object": name, "has": has}) for name in ("s.json", "s.yaml") for has in ({"status": [4, "FAILED"]}, {"nested.status": 4, "state": "FAILED"})
)  # fmt: skip
SECONDS, TIMES = 10.0, 400
"""What any text may cost at most: seconds of the processor, and bytes of memory for each of its own."""


def refused_or_read(text: str) -> None:
    """A policy comes of it, or a `SettingsError` with sentences for people."""
    try:
        parse(text, source="policy.yaml", actions=ACTIONS)
    except SettingsError as error:
        assert error.faults
        assert all("\n" not in fault and "\x1b" not in fault for fault in error.faults)


@tried(60)
@given(nearly(POLICIES).map(json.dumps))
def test_fuzz_policy_values(text: str) -> None:
    """The shipped policy with some of its values changed for anything; JSON is YAML too, and holds what a dumper of YAML refuses."""
    refused_or_read(text)


@tried(60)
@given(damaged((SHIPPED,)) | st.binary(max_size=200) | texts.map(lambda text: text.encode(errors="surrogatepass")))
def test_fuzz_policy_bytes(data: bytes) -> None:
    """The shipped policy with some of its bytes changed, and bytes that are no policy at all."""
    with contextlib.suppress(UnicodeDecodeError):  # whoever fetches a policy refuses it with a sentence of its own
        refused_or_read(data.decode("utf-8-sig"))


@tried(400)
@given(damaged(STATUSES) | st.binary(max_size=200) | values.map(json.dumps).map(str.encode), st.sampled_from(CONDITIONS))
def test_fuzz_status_files(content: bytes, condition: Condition) -> None:
    """What a status file says is words or nothing, and words can be shown and kept."""
    said = says(condition, content)
    readable(condition, content)
    tells(condition, content)
    if said is not None:
        assert len(said) < 1000
        said.encode()


def test_what_is_nearly_a_status_file_still_says_it() -> None:
    """What fuzzing rests on: the samples are read, so that what is nearly one of them gets beyond the first brace."""
    assert [says(condition, STATUSES[1]) for condition in CONDITIONS] == [None, None, "s.yaml says status: 4", None]
    refused_or_read(SHIPPED.decode())


# what is small and becomes large

WHOLE = 1 if EXAMPLES else 20
"""On the way the largest texts are a twentieth of what a policy may be; a long run has them whole."""


def bombs(whole: int) -> dict[str, str]:
    """Texts that look as if they became large, each a part of what a policy may be at most."""

    def of(count: int) -> int:
        return count // whole

    return {
        "aliases": "a: &a [x]\n" + "".join(f"b{n}: &b{n} [*a, *a, *a, *a, *a, *a, *a, *a, *a]\n" for n in range(of(2000))),
        "billion laughs": "a: &a [lol, lol, lol]\n" + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(20)),
        "merge keys": "a: &a {x: 1}\n" + "".join(f"k{n}: {{<<: *a}}\n" for n in range(of(10_000))),
        "nested flows": "[" * of(500_000),
        "nested mappings": "{a: " * of(200_000),
        "nested in a double key": "a: 1\na: " + "[" * of(100_000) + "]" * of(100_000),
        "indents": "\n".join(" " * n + "a:" for n in range(of(1000))),
        "nested lists": "- " * of(300_000),
        "unknown keys": "".join(f"key{n}: 1\n" for n in range(of(60_000))),
        "double keys": "version: 1\n" * of(60_000),
        "long key": "a" * of(1_000_000) + ": 1",
        "long scalar": "version: " + "9" * of(1_000_000),
        "long list": "version: 1\nrequired_labels: [" + "a," * of(200_000) + "]",
        "budgets": "version: 1\nbudgets:\n" + "".join(f"- budget: b{n}\n  steps: [{{at: 1%, do: [notify]}}]\n" for n in range(of(8_000))),
        "rules that overlap": "version: 1\nartifacts:\n" + "".join(f"- {{bucket: abc, runs: 'r{n}/{{run}}/', failed_when: [mlflow]}}\n" for n in range(of(4_000))),
        "wrong steps": "version: 1\nbudgets:\n- budget: x\n  steps:\n" + "".join(f"  - {{at: {n}, doo: [notify]}}\n" for n in range(of(10_000))),
        "quotes": "a: " + '"' * of(999_999),
        "colons": "a:" * of(400_000),
        "question marks": "? " * of(400_000),
        "anchors": "&a " * of(300_000),
        "comments": "#" * of(1_000_000),
        "tags": "a: " + "!" * of(900_000),
        "blanks": " " * of(1_000_000) + "a: 1",
        "tabs": "a:\n" + "\t" * of(900_000) + "b: 1",
        "escapes": 'a: "' + "\\x41" * of(200_000) + '"',
        "too long": "a: 1 #" + "x" * 2_000_000,
    }  # fmt: skip


BOMBS, PARTS = bombs(1), bombs(WHOLE)


def cost(what: Any) -> tuple[float, int]:
    """The seconds of the processor and the bytes of memory that a call takes."""
    started = time.process_time()
    what()
    seconds = time.process_time() - started
    tracemalloc.start()
    try:
        what()
        return seconds, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", BOMBS)
def test_fuzz_policy_bombs(name: str) -> None:
    """No text costs more than a few seconds and some hundred times its own size."""
    seconds, memory = cost(lambda: refused_or_read(PARTS[name]))
    assert seconds < SECONDS
    assert memory < TIMES * len(PARTS[name]) + 2**24


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("condition", [CONDITIONS[0], CONDITIONS[3]], ids=["json", "yaml"])
def test_fuzz_status_bombs(name: str, condition: Condition) -> None:
    """A status file is bounded by its size, and what fits into that costs little."""
    content = BOMBS[name].encode()[:LIMIT]
    seconds, memory = cost(lambda: says(condition, content))
    assert seconds < 2
    assert memory < TIMES * LIMIT
