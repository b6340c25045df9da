"""Which names say that a run has failed, how far the run reaches, what a status file says, and what is kept."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from itertools import product
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from shared.objects.runs import LIMIT, Suspect, Watch, all_runs, is_run, kept, root, run_of, says
from shared.policy.artifacts import READY_MADE, ArtifactRule, Condition


def a_rule(runs: str = "runs/{run}/", *objects: str, bucket: str = "abc", **more: Any) -> ArtifactRule:
    """A rule by which these objects are signs."""
    signs = [{"object": name} for name in objects or ("_FAILED",)]
    return ArtifactRule.model_validate({"bucket": bucket, "runs": runs, "failed_when": signs, **more})


def prefixes(rule: ArtifactRule, name: str) -> list[str]:
    """The folders that an object of this name is a sign for."""
    return [suspect.prefix for suspect in Watch([rule]).signs("abc", name)]


# names


def test_a_sign_names_its_rule_its_run_and_its_condition() -> None:
    """All that is needed to act on it."""
    rule = a_rule("runs/{run}/", "_FAILED", "out/status.json")
    marker, status = rule.failed_when
    watch = Watch([rule])
    assert watch.signs("abc", "runs/run-1/_FAILED") == (Suspect(rule, "runs/run-1/", marker),)
    assert watch.signs("abc", "runs/run-1/out/status.json") == (Suspect(rule, "runs/run-1/", status),)


def test_one_object_may_be_a_sign_in_several_ways() -> None:
    """Every condition that means it is named, in the order of the policy."""
    rule = ArtifactRule.model_validate(
        {"bucket": "abc", "runs": "{run}/", "failed_when": [{"object": "s.json", "has": {"a": 1}}, {"object": "s.json", "has": {"b": 2}}]}
    )
    other = a_rule("x/{run}/", "s.json")
    assert [suspect.condition for suspect in Watch([rule, other]).signs("abc", "r/s.json")] == list(rule.failed_when)


@pytest.mark.parametrize(
    ("runs", "name", "prefix"),
    [
        ("runs/{run}/", "runs/run-10/_FAILED", "runs/run-10/"),
        ("{run}/", "run-1/_FAILED", "run-1/"),
        ("a/{run}/artifacts/", "a/r/artifacts/_FAILED", "a/r/artifacts/"),
        ("mlruns/{any}/{run}/", "mlruns/7/r/_FAILED", "mlruns/7/r/"),
        ("{run}/{any}/", "r/step/_FAILED", "r/step/"),
        ("{any}/{any}/{run}/", "a/b/c/_FAILED", "a/b/c/"),
        ("runs/{run}/", "runs/läuft gut 100%/_FAILED", "runs/läuft gut 100%/"),
        ("runs/{run}/", "runs/.hidden/_FAILED", "runs/.hidden/"),
        ("runs/{run}/", "runs/.../_FAILED", "runs/.../"),
        ("runs/{run}/", "runs/{run}/_FAILED", "runs/{run}/"),
        ("runs/{run}/", "runs/_FAILED/_FAILED", "runs/_FAILED/"),
    ],
)
def test_the_run_is_the_whole_folder(runs: str, name: str, prefix: str) -> None:
    """The prefix holds every part of the pattern and ends with a slash, so that run-1 never reaches into run-10."""
    rule = a_rule(runs)
    assert prefixes(rule, name) == [prefix]
    assert is_run(rule, prefix)
    assert run_of(rule, name) == prefix


@pytest.mark.parametrize(
    "name",
    [
        "_FAILED", "/_FAILED", "runs/_FAILED", "runs//_FAILED", "runs/./_FAILED", "runs/../_FAILED", "runs/r/x/_FAILED", "runs/r/_FAILED/", "runs/r/_FAILEDx",
        "runs/r/x_FAILED", "runs/r/_failed", "Runs/r/_FAILED", "xruns/r/_FAILED", "runs/r/_FAILED/x", "/runs/r/_FAILED", "x/runs/r/_FAILED", "runs/r//_FAILED",
        "runs/*/_FAILED", "runs/a?/_FAILED", "runs/[a]/_FAILED", "runs/a]/_FAILED", "runs/\n/_FAILED", "runs/a\x00b/_FAILED", "runs/a\x7f/_FAILED",
        "runs/a\u2028b/_FAILED", "runs/a\u202eb/_FAILED", "runs/\ud800/_FAILED", "runs/r/_FAILED\n", "", "/",
    ],
)  # fmt: skip
def test_what_is_no_sign(name: str) -> None:
    """Nested markers, empty parts, dots, wildcards, control characters, and whatever only looks alike."""
    assert prefixes(a_rule(), name) == []


def test_a_longer_name_of_a_sign_has_to_be_there_in_full() -> None:
    """The end of a folder's name is not the folder."""
    rule = a_rule("runs/{run}/", "out/status.json")
    assert prefixes(rule, "runs/r/out/status.json") == ["runs/r/"]
    for name in ("runs/r/status.json", "runs/r/layout/status.json", "runs/out/status.json", "runs/r/x/out/status.json"):
        assert prefixes(rule, name) == []


def test_other_buckets_and_rules_that_only_wait_have_no_signs() -> None:
    """A rule with nothing but `abandoned_after` is never asked about names."""
    watch = Watch(
        [a_rule(bucket="abc"), ArtifactRule.model_validate({"bucket": "def", "runs": "{run}/", "unless": ["_OK"], "abandoned_after": "1d"})]
    )
    assert watch.signs("xyz", "runs/r/_FAILED") == ()
    assert watch.signs("def", "r/_FAILED") == ()
    assert Watch([]).signs("abc", "runs/r/_FAILED") == ()


PATTERNS = ("runs/{run}/", "{run}/", "runs/{any}/{run}/", "runs/{run}/out/")
NAME = r"(?!\.{1,2}/)[^/*?\[\]\x00-\x1f]+"
ORACLES = [re.compile(f"({runs.replace('{run}', NAME).replace('{any}', NAME)})_FAILED") for runs in PATTERNS]
LONGEST = max(runs.count("/") for runs in PATTERNS)


def test_a_million_names() -> None:
    """Whatever parts a name is put together of, each pattern means exactly the names that a regular expression of its own takes."""
    parts = ("runs", "out", "run-1", "run-10", "..", "", "a*", "\n")
    watch = Watch([a_rule(runs, bucket=f"bucket-{number}") for number, runs in enumerate(PATTERNS)])
    oracles = [(f"bucket-{number}", oracle) for number, oracle in enumerate(ORACLES)]
    tried = 0
    for depth in range(7):
        for folder in product(parts, repeat=depth):
            name = "/".join((*folder, "_FAILED"))
            for bucket, oracle in oracles:
                expected = oracle.fullmatch(name) if depth <= LONGEST else None
                assert [suspect.prefix for suspect in watch.signs(bucket, name)] == ([expected[1]] if expected else []), name
                tried += 1
    assert tried > 1_000_000


pieces = st.one_of(
    st.sampled_from(["runs", "run-1", "run-10", "out", "_FAILED", "", ".", "..", "*", "{run}", "a\nb", "\x00", "\u202e", "s.json"]),
    st.text(max_size=4),
)
names = st.one_of(
    st.text(max_size=30),
    st.lists(pieces, max_size=7).map("/".join),
    st.lists(pieces, max_size=5).map(lambda parts: "/".join([*parts, "_FAILED"])),
)


@given(names, st.sampled_from(PATTERNS))
@example("runs//_FAILED", "runs/{run}/")
def test_no_name_widens_a_run(name: str, runs: str) -> None:
    """The prefix is one folder that the pattern means, the sign lies directly in it, and nothing in it can mean more than itself."""
    rule = a_rule(runs, "_FAILED", "out/s.json")
    for suspect in Watch([rule]).signs("abc", name):
        assert suspect.prefix + suspect.condition.object == name
        assert suspect.prefix.endswith("/")
        assert suspect.prefix.count("/") == runs.count("/")
        for part, wanted in zip(suspect.prefix.split("/"), runs.split("/"), strict=True):
            assert (
                part == wanted
                if wanted not in ("{run}", "{any}")
                else part.isprintable() and part not in ("", ".", "..") and not set("*?[]/") & set(part)
            )
        assert run_of(rule, name) == suspect.prefix


@given(names, names, st.sampled_from(PATTERNS))
def test_two_runs_never_share_an_object(one: str, other: str, runs: str) -> None:
    """Every object lies in one run at most, and no run's prefix begins another's."""
    rule = a_rule(runs)
    mine, theirs = run_of(rule, one), run_of(rule, other)
    assert mine is None or (one.startswith(mine) and is_run(rule, mine))
    assert mine is None or theirs is None or mine == theirs or not (mine.startswith(theirs) or theirs.startswith(mine))


@pytest.mark.parametrize(
    ("runs", "name", "run"),
    [
        ("runs/{run}/", "runs/r/a", "runs/r/"),
        ("runs/{run}/", "runs/r/a/b//c*", "runs/r/"),
        ("runs/{run}/", "runs/r/", "runs/r/"),
        ("runs/{run}/", "runs/r", None),
        ("runs/{run}/", "runs//a", None),
        ("runs/{run}/", "runs/../a", None),
        ("runs/{run}/", "other/r/a", None),
        ("mlruns/{any}/{run}/", "mlruns/7/meta.yaml", None),
        ("mlruns/{any}/{run}/", "mlruns/7/r/meta.yaml", "mlruns/7/r/"),
    ],
)
def test_the_run_that_an_object_lies_in(runs: str, name: str, run: str | None) -> None:
    """However deep it lies, and whatever its own name holds."""
    assert run_of(a_rule(runs), name) == run


@pytest.mark.parametrize("prefix", ["", "/", "runs/", "runs/r", "runs/r/x/", "runs//", "runs/../", "runs/*/", "other/r/"])
def test_what_is_no_run(prefix: str) -> None:
    """A bucket's root, half a folder, and a folder beside or below."""
    assert not is_run(a_rule(), prefix)


@pytest.mark.parametrize(
    ("runs", "expected"), [("runs/{run}/", "runs/"), ("{run}/", ""), ("a/b/{any}/c/{run}/", "a/b/"), ("{any}/{run}/", "")]
)
def test_the_folder_that_all_runs_lie_in(runs: str, expected: str) -> None:
    """As far as the pattern says it in so many words."""
    assert root(a_rule(runs)) == expected


OBJECTS = (
    "a/x/r1/f", "a/x/r2/f", "a/x/meta", "a/y/r1/out/f", "a/y/r3/f", "a/y//f", "a/../r/f", "a/*/r/f", "b/r/f", "other",
)  # fmt: skip


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ("a/{any}/{run}/", ["a/x/r1/", "a/x/r2/", "a/y/r1/", "a/y/r3/"]),
        ("{run}/", ["a/", "b/"]),
        ("a/{any}/{run}/out/", ["a/y/r1/out/"]),
        ("c/{run}/", []),
    ],
)
def test_all_runs_of_a_rule(runs: str, expected: list[str]) -> None:
    """They are found folder by folder, without those that a pattern never means."""
    rule = a_rule(runs)
    assert list(all_runs(rule, folders)) == expected
    assert all(is_run(rule, run) for run in expected)


def test_runs_are_asked_for_one_by_one() -> None:
    """Whoever only needs the first ten causes no listing of the rest."""
    asked: list[str] = []

    def listing(prefix: str) -> Iterator[str]:
        asked.append(prefix)
        yield from folders(prefix)

    found = all_runs(a_rule("a/{any}/{run}/"), listing)
    assert asked == []
    assert next(found) == "a/x/r1/"
    assert asked == ["a/", "a/x/"]


def folders(prefix: str) -> Iterable[str]:
    """What an object store says lies directly below, in order."""
    below = (name[len(prefix) :] for name in OBJECTS if name.startswith(prefix))
    return sorted({f"{prefix}{name.partition('/')[0]}/" for name in below if "/" in name})


# status files


def says_so(text: str | bytes, has: dict[str, Any] | None = None, name: str = "meta.yaml") -> str | None:
    """What a status file says about these keys."""
    condition = Condition.model_validate({"object": name, "has": {"status": [4, 5]} if has is None else has})
    return says(condition, text if isinstance(text, bytes) else text.encode())


def test_what_mlflow_writes() -> None:
    """The run's own file says so with a number; the experiment's, one folder above, says nothing of the kind."""
    (condition,) = READY_MADE["mlflow"]
    run = {
        "artifact_uri": "gs://b/mlruns/7/r/artifacts",
        "end_time": 1764000000000,
        "entry_point_name": "",
        "lifecycle_stage": "active",
        "run_id": "r",
        "tags": [],
    }
    for status, said in ((1, None), (2, None), (3, None), (4, "meta.yaml says status: 4"), (5, "meta.yaml says status: 5")):
        assert says(condition, yaml.safe_dump({**run, "status": status}).encode()) == said
    assert says(condition, yaml.safe_dump({"experiment_id": "7", "lifecycle_stage": "active"}).encode()) is None


@pytest.mark.parametrize("name", ["kubeflow", "vertex_ai"])
def test_what_an_exit_handler_writes(name: str) -> None:
    """Its state as the pipeline's service calls it, whatever else stands beside."""
    (condition,) = READY_MADE[name]
    status = {"state": "FAILED", "error": {"code": 9, "message": "NaN"}, "pipelineJobResourceName": "projects/1/locations/l/pipelineJobs/p"}
    assert says(condition, json.dumps(status).encode()) == "final_status.json says state: FAILED"
    assert says(condition, json.dumps({**status, "state": "SUCCEEDED"}).encode()) is None
    assert says(condition, json.dumps({**status, "state": "COMPLETE"}).encode()) is None


def test_a_marker_speaks_for_itself() -> None:
    """Nothing is read of it."""
    assert says(Condition(object="_FAILED"), b"\xff") == "_FAILED is there"


@pytest.mark.parametrize(
    ("has", "text", "said"),
    [
        ({"a": 4}, "a: 4", "a: 4"), ({"a": 4}, "a: '4'", "a: 4"), ({"a": "4"}, "a: 4", "a: 4"), ({"a": 4}, "a: 0x4", "a: 4"), ({"a": 4}, "a: 4.0", None), ({"a": 4}, "a: 40", None),
        ({"a": True}, "a: true", "a: true"), ({"a": True}, "a: True", "a: true"), ({"a": True}, "a: 'true'", "a: true"), ({"a": True}, "a: 1", None), ({"a": 1}, "a: true", None),
        ({"a": True}, "a: yes", None), ({"a": "on"}, "a: on", "a: on"), ({"a": False}, "a: 0", None), ({"a": False}, "a: ~", None), ({"a": "x"}, "a: ~", None),
        ({"a": "FAILED"}, "a: failed", None), ({"a": "FAILED"}, "a: [FAILED]", None), ({"a": "FAILED"}, "a: {b: FAILED}", None), ({"a": "x y"}, 'a: "x y"', "a: x y"),
        ({"a": ["x", 2]}, "a: 2", "a: 2"), ({"a": "x", "b": 1}, "{a: x, b: 1}", "a: x, b: 1"), ({"a": "x", "b": 1}, "{a: x, b: 2}", None), ({"a": "x"}, "b: x", None),
        ({"a": ""}, "a: ''", "a: "), ({"a": "None"}, "b: 1", None), ({"a": "null"}, "a: null", None),
    ],
)  # fmt: skip
def test_values_are_compared_as_they_are_written(has: dict[str, Any], text: str, said: str | None) -> None:
    """Numbers and text alike, but true is not 1; and every key has to say so."""
    assert says_so(text, has) == (said if said is None else f"meta.yaml says {said}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"status": {"state": "FAILED"}}', True),
        ('{"status.state": "FAILED"}', True),
        ('{"status.state": "DONE", "status": {"state": "FAILED"}}', False),
        ('{"status": {"state": {"x": 1}}}', False),
        ('{"status": "FAILED"}', False),
        ('{"status": [{"state": "FAILED"}]}', False),
        ("{}", False),
    ],
)
def test_a_key_with_dots_is_a_path_where_no_key_has_that_name(text: str, *, said: bool) -> None:
    """What services write is often nested."""
    assert (says_so(text, {"status.state": "FAILED"}, "s.json") is not None) is said


BOMB = "a: &a [x, x]\n" + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(20)) + "status: 4"


@pytest.mark.parametrize("name", ["meta.yaml", "meta.yml", "meta.json"])
@pytest.mark.parametrize(
    "content",
    [
        b"", b"\xff\xfe\x00", b"status: 4\xff", b"[4]", b"4", b'"status"', b"null", b"{", b"status: [", b"[" * LIMIT, b'{"a":' * 10_000, b"- " * 1000 + b"x",
        b'{"status": 4, "status": 4}', b"status: 4\nstatus: 3", b"a: &a 4\nstatus: *a", b"status: !!int 4", b"!!python/object:os.system {status: 4}",
        b"status: 4\n---\nstatus: 4", b'{"status": NaN}', b"status: .nan", b"status: 4\x00", BOMB.encode(),
        b" " * (LIMIT + 1 - 11) + b'{"status":4}',
    ],
)  # fmt: skip
def test_a_broken_file_says_nothing(name: str, content: bytes) -> None:
    """Not UTF-8, no mapping, doubled keys, aliases, tags, too deep, too large: no sign, and no exception."""
    begun = time.monotonic()
    assert says_so(content, name=name) is None
    assert time.monotonic() - begun < 5


def test_a_number_of_thousands_of_digits_in_json_says_nothing() -> None:
    """Python refuses to take the time that it would need."""
    assert says_so(b'{"status": 4, "a": ' + b"9" * 5000 + b"}", name="s.json") is None


def test_figures_that_are_not_finite_hide_no_failure() -> None:
    """A loss that is no number is why many a run fails, and Python writes it into JSON as it is."""
    assert says_so('{"status": 4, "loss": NaN, "best": -Infinity}', name="s.json") == "s.json says status: 4"
    assert says_so("status: 4\nloss: .nan\nlosses: [0.5, 0.5, .inf]") == "meta.yaml says status: 4"


def test_a_byte_order_mark_is_no_content() -> None:
    """Some editors and systems write one."""
    assert says_so(b'\xef\xbb\xbf{"status": 4}', name="s.json") == "s.json says status: 4"
    assert says_so(b"\xef\xbb\xbfstatus: 4") == "meta.yaml says status: 4"


@given(
    st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda text: text.encode(errors="replace"))),
    st.sampled_from(["s.json", "s.yaml"]),
)
def test_no_content_breaks_the_reading(content: bytes, name: str) -> None:
    """Whatever stands in a file, the answer is words or none."""
    assert says_so(content, name=name) in (None, f"{name} says status: 4", f"{name} says status: 5")


# what is kept


@pytest.mark.parametrize(
    ("glob", "kept_names", "others"),
    [
        ("metrics.json", ["metrics.json"], ["a/metrics.json", "Metrics.json", "metrics_json", "metrics.json/", "xmetrics.json"]),
        ("logs/**", ["logs/a", "logs/a/b/c", "logs/", "logs//a"], ["log/a", "a/logs/b", "logs2/a", "Logs/a"]),
        ("**/*.ckpt", ["a.ckpt", "x/a.ckpt", "x/y/a.ckpt", ".ckpt"], ["a.ckpt/x", "a.ckpt2"]),
        ("**", ["a", "a/b", ""], []),
        ("*.json", ["a.json", ".json"], ["x/a.json", "a.jsonl"]),
        ("a?c", ["abc", "a\nc"], ["ac", "a/c", "abbc"]),
        ("[ab]/[!c]", ["a/x", "b/d"], ["c/x", "a/c", "a/xy", "a//"]),
        ("[[]x", ["[x"], ["x", "[[]x"]),
        ("a/**/z", ["a/z", "a/b/z", "a/b/c/z", "a/z/z"], ["a/zz", "az", "b/a/z"]),
        ("**/a/**/b/*", ["a/b/x", "q/a/r/b/x", "a/b/b/x", "a/a/b/x"], ["a/b", "b/a/x", "a/b/x/y"]),
        ("*/**", ["a/b", "a", "a/b/c"], []),
    ],
)
def test_what_the_policy_keeps(glob: str, kept_names: list[str], others: list[str]) -> None:
    """A star stays within one part of the name, two cross the slashes; case matters, and the whole name has to match."""
    rule = a_rule(keep=[glob])
    assert [name for name in kept_names if not kept(rule, name)] == []
    assert [name for name in others if kept(rule, name)] == []


def test_any_of_the_patterns_keeps() -> None:
    """Without one nothing is kept."""
    rule = a_rule(keep=["metrics.json", "logs/**", "*.txt"])
    assert [name for name in ("metrics.json", "logs/x", "a.txt", "a.bin") if kept(rule, name)] == ["metrics.json", "logs/x", "a.txt"]
    assert not kept(a_rule(), "metrics.json")


def test_a_hostile_name_costs_no_time() -> None:
    """Matching takes as long as the name and the pattern are, and not as many ways as there are to match."""
    rule = a_rule(keep=["**/a/**/a/**/a/**/a/**/b", "*a*a*a*a*a*a*a*a*a*b"])
    begun = time.monotonic()
    assert not kept(rule, "a/" * 500 + "c")
    assert not kept(rule, "a" * 1000 + "c")
    assert time.monotonic() - begun < 1


def reference(pattern: list[str], parts: list[str]) -> bool:
    """The same by trying everything."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(reference(pattern[1:], parts[taken:]) for taken in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and reference(pattern[1:], parts[1:])


@given(
    st.lists(st.sampled_from(["a", "b", "*", "a*", "?", "**"]), min_size=1, max_size=5).map("/".join),
    st.lists(st.sampled_from(["a", "b", "ab", ""]), min_size=1, max_size=6).map("/".join),
)
def test_patterns_mean_what_trying_everything_means(glob: str, name: str) -> None:
    """The short way and the long one agree."""
    assert kept(a_rule(keep=[glob]), name) == reference(glob.split("/"), name.split("/"))
