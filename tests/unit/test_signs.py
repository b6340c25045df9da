"""The names of signs, told from a policy's text without its model: never fewer than the model tells."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.actions import params_by_name
from shared.errors import SettingsError
from shared.objects.runs import Watch
from shared.policy.artifacts import ArtifactRule, Condition
from shared.policy.policy import Policy, parse
from shared.policy.signs import KEYS, READY_MADE, last_part, sign_names

RULE = "{bucket: abc, runs: 'runs/{run}/', failed_when: [%s]}"


def _policy(*rules: str) -> str:
    return f"version: 1\nartifacts: [{', '.join(rules)}]"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("version: 1", {}),
        (_policy(), {}),
        (_policy(RULE % "mlflow"), {"abc": {"meta.yaml"}}),
        (_policy(RULE % "ray_tune, failed_marker"), {"abc": {"error.txt", "error.pkl", "_FAILED"}}),
        (_policy(RULE % "{object: logs/end.json, has: {state: [A, B]}}"), {"abc": {"end.json"}}),
        (_policy(RULE % "mlflow", "{bucket: abc, runs: 'x/{run}/', failed_when: [{object: x}]}"), {"abc": {"meta.yaml", "x"}}),
        (_policy("{bucket: abc, runs: 'runs/{run}/', abandoned_after: 7d, unless: [_SUCCESS]}"), {"abc": set()}),
        ("version: 1\nmode: no\nbudgets: 7\nartifacts: [{bucket: abc, runs: no, failed_when: [mlflow], keep: 3}]", {"abc": {"meta.yaml"}}),
    ],
)
def test_the_names_by_bucket(text: str, found: Mapping[str, set[str]]) -> None:
    """Whatever else the policy says, and whether the rest of it can be used or not."""
    told = sign_names(text)
    assert told is not None
    assert {bucket: set(names) for bucket, names in told.items()} == found


@pytest.mark.parametrize(
    "text",
    [
        "", "[", "7", "version: 2", "version: true", "version: 1\nartefacts: []", "version: 1\nartifacts:", "version: 1\nartifacts: {bucket: abc}",
        "version: 1\nversion: 1", "artifacts: []", "version: 1\nartifacts: [*x]", "version: 1\n7: 8",
        _policy("mlflow"), _policy("{runs: x}"), _policy("{bucket: 7}"), _policy("{bucket: gs://abc}"), _policy("{bucket: abc, failed_whem: [mlflow]}"),
        _policy("{bucket: abc, failed_when: mlflow}"), _policy(RULE % "mlflov"), _policy(RULE % "7"), _policy(RULE % "[mlflow]"), _policy(RULE % "{object: a//b}"),
        _policy(RULE % "{object: [a]}"), _policy(RULE % "{object: a, hass: {}}"), _policy(RULE % "{has: {a: 1}}"), _policy(RULE % "{object: 'a*'}"),
    ],
)  # fmt: skip
def test_where_the_names_are_not_plain(text: str) -> None:
    """What may be a slip of the pen where signs are written is left to the model, which says what is wrong."""
    assert sign_names(text) is None
    with pytest.raises(SettingsError):
        parse(text, source="policy.yaml", actions=params_by_name())


def test_the_keys_are_those_of_the_model() -> None:
    """A key that is added to the model and not here would have each object looked at with the whole policy."""
    assert {"policy": set(Policy.model_fields), "rule": set(ArtifactRule.model_fields), "sign": set(Condition.model_fields)} == KEYS


_WORDS = st.sampled_from(["a", "b.json", "meta.yaml", "logs/b.json", "_FAILED", "error.txt", "x//y", "", "mlflov", *READY_MADE])
_SIGN = st.one_of(
    st.sampled_from(sorted(READY_MADE)),
    st.fixed_dictionaries({"object": _WORDS}),
    st.fixed_dictionaries({"object": st.just("b.json"), "has": st.just({"state": "FAILED"})}),
    _WORDS,
)
_RULE = st.fixed_dictionaries(
    {"bucket": st.sampled_from(["abc", "abd", "x"]), "runs": st.sampled_from(["runs/{run}/", "{any}/{run}/", "runs"])},
    optional={"failed_when": st.lists(_SIGN, max_size=3), "unless": st.just(["_SUCCESS"]), "keep": st.just(["*"]), "failed": st.just([])},
)
_POLICY = st.fixed_dictionaries(
    {"version": st.just(1)}, optional={"artifacts": st.lists(_RULE, max_size=3), "mode": st.sampled_from(["enforce", "x"])}
)


@settings(max_examples=300)
@given(document=_POLICY, bucket=st.sampled_from(["abc", "abd", "x"]), run=st.sampled_from(["runs/r/", "a/r/", "runs/r/s/"]), name=_WORDS)
def test_what_the_model_takes_for_a_sign_has_its_name_told(document: Mapping[str, object], bucket: str, run: str, name: str) -> None:
    """For every policy and object: a name that is not told is no sign, and a policy that can be used tells its names."""
    text = yaml.safe_dump(document)
    names = sign_names(text)
    try:
        policy = parse(text, source="policy.yaml", actions=params_by_name())
    except SettingsError:
        return
    assert names is not None
    if Watch(policy.artifacts).signs(bucket, run + name):
        assert last_part(run + name) in names[bucket]
