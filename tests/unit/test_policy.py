"""The policy: what is taken, what is refused and in which words, and which steps a notification reaches."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import jsonschema
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, ValidationError

from shared.errors import SettingsError
from shared.model import BudgetNotification, Resource
from shared.policy import text as policy_text
from shared.policy.artifacts import READY_MADE, ArtifactLimits, ArtifactRule, Condition
from shared.policy.fields import Duration
from shared.policy.names import overlap
from shared.policy.policy import BudgetRule, Limits, Policy, Protect, Scope, SlackRules, Step, Use, parse, reached, schema
from shared.policy.select import Selector
from shared.policy.text import read, read_generated

SHIPPED = Path(__file__).parents[2] / "policy.yaml"


class Quiet(BaseModel):
    """An action with nothing to set."""

    model_config = ConfigDict(extra="forbid")


class Park(BaseModel):
    """An action with something to select."""

    model_config = ConfigDict(extra="forbid")

    select: Selector
    to: Literal["idle", "stopped"] = "idle"
    after: Duration = timedelta(0)


ACTIONS: dict[str, type[BaseModel]] = {"notify": Quiet, "scale_to_zero": Park, "stop_worker_pools": Park}


@pytest.fixture(params=["CSafeLoader", "SafeLoader"])
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Either of PyYAML's parsers; the one in C is not everywhere."""
    chosen = getattr(yaml, request.param)
    monkeypatch.setattr(policy_text, "LOADER", chosen)
    return chosen


def taken(text: str) -> Policy:
    """The policy."""
    return parse(text, source="policy.yaml", actions=ACTIONS)


def faults(text: str) -> list[str]:
    """What is wrong with the policy."""
    with pytest.raises(SettingsError) as refused:
        taken(text)
    return list(refused.value.faults)


def body(text: str) -> list[str]:
    """What is wrong with a policy whose version stands in the first line."""
    return faults("version: 1\n" + text)


def ladder(steps: str) -> str:
    """A policy with one budget's steps, which begin in line 6."""
    return f"version: 1\nscope: {{regions: [us-central1]}}\nbudgets:\n- budget: A\n  steps:\n{steps}"


def notification(cost: str = "80", amount: str = "100", **changes: Any) -> BudgetNotification:
    """A budget's status."""
    fields: dict[str, Any] = {
        "billing_account": "01D4EE-079462-DFD6EC", "budget_id": "b1", "budget_name": "ML", "cost": Decimal(cost), "amount": Decimal(amount), "currency": "USD",
        "period_start": datetime(2026, 11, 1, 8, tzinfo=UTC), "actual_threshold": None, "forecast_threshold": None, "message_id": "1",
        "sent_at": datetime(2026, 11, 20, tzinfo=UTC),
    }  # fmt: skip
    return BudgetNotification(**{**fields, **changes})


def test_the_shipped_policy_says_what_its_comments_say() -> None:
    """Every value of the shipped example arrives with its meaning."""
    text = SHIPPED.read_text(encoding="utf-8")
    policy = taken(text)
    quiet = Use("notify", Quiet())
    pools = Use("stop_worker_pools", Park(select=Selector.model_validate({"labels": {"env": "staging"}})))

    def park(to: Literal["idle", "stopped"], **select: Any) -> Use:
        return Use("scale_to_zero", Park(select=Selector.model_validate(select), to=to))

    assert policy.mode == "enforce"
    assert policy.scope == Scope(projects=("acme-ml-staging",), regions=("us-central1", "europe-west1"))
    assert policy.protect == Protect(labels={"env": ("prod",)}, services=("*-prod", "payments"))
    assert policy.limits == Limits(targets=200, share=Decimal(1))
    assert (policy.on_drift, policy.stale_after, policy.blind_after) == ("report", timedelta(hours=6), timedelta(hours=36))
    assert (policy.required_labels, policy.allowed_billing_accounts) == (("team", "cost-center"), ())
    assert policy.slack == SlackRules(channel="#ml-cost", routes={"team": {"vision": "#vision-ml"}}, approvers=("U012AB3CD",))
    assert policy.budgets == (
        BudgetRule(
            budget="ML Training Budget",
            restore="next_period",
            steps=(
                Step(at=Decimal("0.5"), do=(quiet,)),
                Step(at=Decimal("0.9"), on="forecast", do=(quiet,)),
                Step(at=Decimal("0.8"), do=(park("idle", labels={"env": "staging"}),)),
                Step(at=Decimal(1), wait=timedelta(minutes=30), do=(park("stopped", labels={"env": ["staging", "dev"]}), pools)),
                Step(at=Decimal("1.2"), approve=True, do=(park("stopped", services=["*"]),)),
            ),
        ),
    )
    assert policy.artifacts == (
        ArtifactRule(
            bucket="acme-ml-artifacts",
            runs="runs/{run}/",
            failed_when=(
                Condition(object="_FAILED"),
                Condition(object="status.json", has={"state": ("FAILED", "CANCELLED")}),
                Condition(object="meta.yaml", has={"status": (4, 5)}),
            ),
            unless=(Condition(object="_SUCCESS"), Condition(object="_KEEP")),
            keep=("logs/**", "metrics.json"),
            wait=timedelta(hours=24),
            abandoned_after=timedelta(days=14),
            require_soft_delete=True,
            limits=ArtifactLimits(objects=1_000_000, bytes=5 * 2**40),
        ),
        ArtifactRule(
            bucket="acme-ml-artifacts",
            runs="mlruns/{any}/{run}/",
            failed_when=READY_MADE["mlflow"],
            unless=(Condition(object="_KEEP"), Condition(object="meta.yaml", has={"status": (3,)})),
            keep=("meta.yaml", "metrics/**", "params/**", "tags/**"),
            wait=timedelta(hours=24),
            abandoned_after=timedelta(days=14),
        ),
    )


def test_the_version_alone_is_a_policy() -> None:
    """What is left out has the default that does least."""
    policy = taken("version: 1")
    assert policy.model_dump(exclude={"artifacts", "budgets"}) == {
        "version": 1,
        "mode": "observe",
        "scope": {"projects": (), "regions": ()},
        "protect": {"labels": {}, "services": ()},
        "limits": {"targets": 200, "share": Decimal(1), "per_hour": 400},
        "on_drift": "report",
        "stale_after": timedelta(hours=6),
        "blind_after": timedelta(hours=36),
        "required_labels": (),
        "allowed_billing_accounts": (),
        "slack": {"channel": "", "routes": {}, "approvers": ()},
    }
    assert (policy.budgets, policy.artifacts) == ((), ())


def test_all_faults_are_told_at_once_in_the_order_of_the_lines(loader: Any) -> None:
    """One error names every fault of every sort, each with its line, its place and what to do."""
    assert loader
    text = """\
version: 1
mod: enforce
mode: enforced
scope: {regions: [us-central1, us-central1]}
limits:
  targets: many
  share: 0.8
limits: {}
protect:
  labels: {env: 1}
  services: [*-prod]
budgets:
  - budget: A
    steps:
      - at: 50%
        do: [notfy]
      - at: 50.0%
        do: [notify]
      - att: 80%
        on: forecasted
        do:
          - scale_to_zero:
              select: {labls: {env: dev}}
              to: idel
  - budget: A
    steps: []
artifacts:
  - bucket: gs://x
    runs: runs/{run}
"""
    assert faults(text) == [
        "policy.yaml:2: mod: unknown key; did you mean 'mode'?",
        "policy.yaml:3: mode: should be 'observe' or 'enforce', not 'enforced'; did you mean 'enforce'?",
        "policy.yaml:4: scope.regions[1]: 'us-central1' is in the list already; name it once",
        "policy.yaml:6: limits.targets: should be a whole number, not 'many'",
        "policy.yaml:7: limits.share: 0.8 is a plain number, which could mean a fraction or percent; write 80%",
        "policy.yaml:8: limits: the key is there already, in line 5; keep one of them",
        "policy.yaml:10: protect.labels.env: should be text, not 1; put it in quotes",
        "policy.yaml:11: protect.services[0]: *-prod would be a YAML alias, which a policy does not use; put text that begins with * in quotes",
        "policy.yaml:16: budgets[0].steps[0].do[0]: unknown action 'notfy'; did you mean 'notify'?",
        "policy.yaml:17: budgets[0].steps[1]: another step is reached at the same spend, in line 15; make one of the two",
        "policy.yaml:19: budgets[0].steps[2].at: is missing",
        "policy.yaml:19: budgets[0].steps[2].att: unknown key; did you mean 'at'?",
        "policy.yaml:20: budgets[0].steps[2].on: should be 'actual' or 'forecast', not 'forecasted'; did you mean 'forecast'?",
        "policy.yaml:23: budgets[0].steps[2].do[0].scale_to_zero.select.labls: unknown key; did you mean 'labels'?",
        "policy.yaml:24: budgets[0].steps[2].do[0].scale_to_zero.to: should be 'idle' or 'stopped', not 'idel'; did you mean 'idle'?",
        "policy.yaml:25: budgets[1].budget: another rule is for this budget, in line 13; make one of the two",
        "policy.yaml:26: budgets[1].steps: is empty; write at least one",
        "policy.yaml:28: artifacts[0].bucket: 'gs://x' is not a bucket's name; write it without gs:// and without a folder, such as acme-ml-artifacts",
        "policy.yaml:28: artifacts[0]: no run would ever count as failed; write failed_when, abandoned_after, or both",
        "policy.yaml:29: artifacts[0].runs: 'runs/{run}' should end with /, since a run is a folder",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("mode: enforce", "policy.yaml:1: version: is missing"),
        ("version: 2", "policy.yaml:1: version: should be 1, the only version there is, not 2"),
        ("version: true", "policy.yaml:1: version: should be 1, the only version there is, not true"),
        ('version: "1"', "policy.yaml:1: version: should be 1, the only version there is, not '1'"),
        ("version: 1.0", "policy.yaml:1: version: should be 1, the only version there is, not 1.0"),
        ("", "policy.yaml:1: should be a mapping that begins with `version: 1`"),
        ("# only a comment", "policy.yaml:1: should be a mapping that begins with `version: 1`"),
        ("- version: 1", "policy.yaml:1: should be a mapping that begins with `version: 1`"),
        ("version", "policy.yaml:1: should be a mapping that begins with `version: 1`"),
        ("null", "policy.yaml:1: should be a mapping that begins with `version: 1`"),
    ],
)
def test_the_version_must_be_known(loader: Any, text: str, told: str) -> None:
    """A policy is a mapping, and its version is the number 1."""
    assert loader
    assert faults(text) == [told]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("slack: a: b", "2:9: not valid YAML: a ':' stands where none may; is a quote missing, or the line indented wrongly?"),
        ("scope:\n\tregions: []", "3:1: not valid YAML: the line is indented with a tab; use spaces"),
        ('slack: {channel: "#ml-cost}', "not valid YAML: a quote is opened and never closed"),
        ("scope: {regions: [a, b\nmode: observe", "not valid YAML: a [ or { is opened and never closed"),
        ("scope:\n   regions: []\n  projects: []", "4:3: not valid YAML: the indentation does not fit the lines above"),
        ("mode: @x", "2:7: not valid YAML: text cannot begin with '@'; put it in quotes"),
        ("mode\nscope: {}", "3:1: not valid YAML: a key needs a ':' behind it"),
        ("mode: &", "2:8: not valid YAML: put text that begins with * or & in quotes"),
        ("mode: !x!y z", "2:7: not valid YAML: look at this line and the one above (found undefined tag handle"),
        ("mode: {run}/x", "not valid YAML: the indentation does not fit the lines above, or text that begins with {"),
        ('mode: "\\UFFFFFFFF"', "not valid YAML"),
        ("? [a]\n: b", "2:3: a key should be text; put text that begins with {, [ or * in quotes"),
        ("{a: b}: c", "2:1: a key should be text"),
        ("---\nmode: observe", "2:1: a second document begins here; a policy is one document"),
        ('"\\0": x', "2:1: the key holds a control character; remove it"),
        ("mode: " + "[" * 40, "2:39: lists and mappings are nested more than 32 deep; no policy is"),
        ("mode: " + "[" * 100_000, "2:39: lists and mappings are nested more than 32 deep; no policy is"),
        ("mode: a\x00b", "2: not valid YAML: remove the character '\\x00', which YAML forbids"),
        ("mode: \ud800", "2: not valid YAML: remove the character '\\ud800', which YAML forbids"),
        ("# " + "x" * 2**20, "1: the text is larger than 1 MiB; no policy is"),
    ],
)
def test_what_yaml_cannot_read_is_told_with_its_line_and_what_to_do(loader: Any, text: str, told: str) -> None:
    """The fault has its line and column, and says what is most often behind it."""
    assert loader
    (said,) = body(text)
    assert said.startswith("policy.yaml:")
    assert told in said


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("mode: *x", "2: mode: *x would be a YAML alias, which a policy does not use; put text that begins with * in quotes"),
        (
            "mode: !!python/name:os.system observe",
            "2: mode: '!!python/name:os.system' would be a YAML tag, which a policy does not use; put text that begins with ! in quotes",
        ),
        (
            "protect: {services: !x [a]}",
            "2: protect.services: '!x' would be a YAML tag, which a policy does not use; put text that begins with ! in quotes",
        ),
        ("mode: .nan", "2: mode: '.nan' is no number to work with; if it is text, put it in quotes"),
        ("limits: {targets: -.INF}", "2: limits.targets: '-.INF' is no number to work with; if it is text, put it in quotes"),
        ("limits: {targets: 1e999}", "2: limits.targets: '1e999' is no number to work with; if it is text, put it in quotes"),
        ('slack: {channel: "#a\\x07"}', "2: slack.channel: the text holds a control character; remove it"),
        ("mode: observe\nmode: [observe, {a: [b]}]", "3: mode: the key is there already, in line 2; keep one of them"),
        (
            "allowed_billing_accounts: [01D4EE-079462-DFD6EC, 01D4EE-079462-DFD6EC]",
            "2: allowed_billing_accounts[1]: '01D4EE-079462-DFD6EC' is in the list already; name it once",
        ),
    ],
)
def test_faults_of_the_text_are_told_once_and_without_their_echo(loader: Any, text: str, told: str) -> None:
    """A value that cannot be read is one fault, not one more for its type."""
    assert loader
    assert body(text) == [f"policy.yaml:{told}"]


def test_what_stands_under_a_key_for_the_second_time_is_no_deeper() -> None:
    """What is skipped is bounded like what is read: a parser's time grows with the square of the depth."""
    said = body("mode: observe\nmode: " + "[" * 100_000)
    assert said[-1] == "policy.yaml:3:39: lists and mappings are nested more than 32 deep; no policy is"


def test_a_fault_of_the_text_is_told_beside_the_one_that_ends_the_reading() -> None:
    """What was found before the reading had to stop is told, too."""
    assert body("mode: .nan\nscope: @") == [
        "policy.yaml:2: mode: '.nan' is no number to work with; if it is text, put it in quotes",
        "policy.yaml:3:8: not valid YAML: text cannot begin with '@'; put it in quotes (found character that cannot start any token while scanning for the next token from line 3)",
    ]
    assert len(body("mode: .nan\n---\n{}")) == 2


def test_a_small_text_cannot_become_a_large_one() -> None:
    """Aliases are refused before they multiply."""
    bomb = "a: &a [x, x]\n" + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(20))
    said = body(bomb)
    assert sum("would be a YAML alias" in each for each in said) == 40


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"), ("off", "off"), ("yes", "yes"), ("No", "No"), ("y", "y"), ("2026-11-23", "2026-11-23"), ("2026-11-23T10:00:00Z", "2026-11-23T10:00:00Z"),
        ("1_000", "1_000"), ("1:30", "1:30"), ("<<", "<<"), ("=", "="), ("true", True), ("FALSE", False), ("~", None), ("", None), ("Null", None),
        ("007", 7), ("+12", 12), ("-3", -3), ("0o17", 15), ("0xfF", 255), ("1.5", 1.5), (".5", 0.5), ("1e3", 1000.0), ("1.", 1.0), ('"true"', "true"), ("'1'", "1"),
        ("|\n  1\n", "1\n"), ("9" * 101, float("9" * 101)), ("0b1", "0b1"), ("1e", "1e"), (".", "."),
    ],
)  # fmt: skip
def test_scalars_follow_the_core_schema(loader: Any, text: str, value: object) -> None:
    """Only true and false are booleans, dates and times are text, and what is quoted is text."""
    assert loader
    found = read(f"key: {text}").data["key"]
    assert (type(found), found) == (type(value), value)


def test_keys_are_text_whatever_they_look_like(loader: Any) -> None:
    """``on`` is a key like any other."""
    assert loader
    assert read("on: a\n1: b\ntrue: c\n~: d\n<<: e\n2026-01-01: f").data == {
        "on": "a",
        "1": "b",
        "true": "c",
        "~": "d",
        "<<": "e",
        "2026-01-01": "f",
    }


def test_a_list_may_hold_what_only_looks_the_same() -> None:
    """1, 1.0, true and "1" are four values; lists, mappings and nothing are not compared."""
    assert read('a: [1, 1.0, true, "1", ~, ~, [a], [a], {b: c}, {b: c}]').faults == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("slack:\n  channel: #ml-cost", "3: slack.channel: has no value; write one or leave the key out (text that begins with # needs quotes)"),
        ("slack:", "2: slack: has no value; write one or leave the key out (text that begins with # needs quotes)"),
        ("stale_after:", "2: stale_after: has no value; write one or leave the key out (text that begins with # needs quotes)"),
        ("slack: [a]", "2: slack: should be a mapping, such as {key: value}, not ['a']"),
        ("slack: {routes: a}", "2: slack.routes: should be a mapping, such as {key: value}, not 'a'"),
        ("slack: {channel: [a]}", "2: slack.channel: should be text, not ['a']"),
        ("slack: {channel: ml-cost}", '2: slack.channel: \'ml-cost\' is not a channel; write "#name" or its id, such as C012AB3CD'),
        ("slack: {routes: {Team: {}}}", "2: slack.routes.Team: the label text 'Team' can never match: labels hold up to 63 lower-case letters, digits, - and _"),
        ('slack: {routes: {"a b": {x: "#y"}}}', "2: slack.routes['a b']: the label text 'a b' can never match: labels hold up to 63 lower-case letters, digits, - and _"),
        ("slack: {approvers: [joe]}", "2: slack.approvers[0]: 'joe' is not the id of a Slack user or user group, such as U012AB3CD; names can be taken by others"),
        ("slack: {chanel: a, aprovers: []}", "2: slack.chanel: unknown key; did you mean 'channel'?"),
        ("limits: {targets: true}", "2: limits.targets: should be a whole number, not true"),
        ("limits: {targets: 1.5}", "2: limits.targets: should be a whole number, not 1.5"),
        ("limits: {targets: -1}", "2: limits.targets: should be greater than or equal to 0, not -1"),
        ("limits: {share: 101%}", "2: limits.share: 101% is more than all of them; write 100% or less"),
        ("limits: {zzz: 1}", "2: limits.zzz: unknown key; known here: per_hour, share, targets"),
        (f"limits: {{{'z' * 90}: 1}}", "z']: unknown key; known here: per_hour, share, targets"),
        ("stale_after: 0s", "2: stale_after: should be longer than 0s"),
        ("blind_after: -1h", "2: blind_after: '-1h' is negative; a duration cannot be"),
        ("on_drift: 1", "2: on_drift: should be 'report' or 'repark', not 1"),
        ("on_drift: xyz", "2: on_drift: should be 'report' or 'repark', not 'xyz'"),
        ("scope: {projects: acme}", "2: scope.projects: should be a list, such as [a, b], not 'acme'"),
        ("scope: {projects: [123456]}", "2: scope.projects[0]: should be text, not 123456; put it in quotes"),
        ('scope: {projects: ["123456"]}', "2: scope.projects[0]: '123456' is not a project id; write one such as acme-ml-staging, not its number or its name"),
        ('scope: {regions: ["-"]}', "2: scope.regions[0]: '-' would mean every region, which cannot be asked for at once; name each region, such as us-central1"),
        ('scope: {regions: ["us-*"]}', "2: scope.regions[0]: 'us-*' would mean every region, which cannot be asked for at once; name each region, such as us-central1"),
        ('scope: {regions: ["us-central?"]}', "2: scope.regions[0]: 'us-central?' would mean every region, which cannot be asked for at once; name each region, such as us-central1"),
        ("scope: {regions: [us-central1-a]}", "2: scope.regions[0]: 'us-central1-a' is not a region; write one such as us-central1, without a zone's letter"),
        ("allowed_billing_accounts: [billingAccounts/01D4EE-079462-DFD6EC]", "is not a billing account; write its id alone, such as 01D4EE-079462-DFD6EC"),
        ("required_labels: [Team]", "2: required_labels[0]: the label text 'Team' can never match: labels hold up to 63 lower-case letters, digits, - and _"),
        ("protect: {labels: {env: []}}", "2: protect.labels.env: is empty; write at least one"),
        ('protect: {services: ["A*"]}', "2: protect.services[0]: 'A*' can never match: names are lower-case letters, digits and hyphens; * ? and [ab] are wildcards"),
        ("budgets: [{budget: A}]", "2: budgets[0].steps: is missing"),
        ("budgets: [a, 1]", "2: budgets[0]: should be a mapping, such as {key: value}, not 'a'"),
        ('budgets: [{budget: "", steps: [{at: 1%, do: [notify]}]}]', "2: budgets[0].budget: '' is not a budget's name or id"),
    ],
)  # fmt: skip
def test_each_wrong_value_is_told_in_a_sentence(text: str, told: str) -> None:
    """The first fault of each text, word for word."""
    assert told in body(text)[0]


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ("{at: 80, do: [notify]}", ".at: 80 is a plain number, which could mean a fraction or percent; write 80%"),
        ("{at: 0%, do: [notify]}", ".at: 0% is reached before anything is spent; write a larger share"),
        ("{at: .nan, do: [notify]}", ".at: '.nan' is no number to work with; if it is text, put it in quotes"),
        ("{at: 80%}", ".do: is missing"),
        ("{at: 80%, do: []}", ".do: is empty; write at least one"),
        ("{at: 80%, do: notify}", ".do: should be a list, such as [a, b], not 'notify'"),
        ("{at: 80%, do: [notify], approve: yes}", ".approve: should be true or false, not 'yes'"),
        ("{at: 80%, do: [notify], wait: 30}", ".wait: 30 is not a duration; write a number and s, m, h or d, such as 30m"),
        ("{at: 80%, do: [explode]}", ".do[0]: unknown action 'explode'; known here: notify, scale_to_zero, stop_worker_pools"),
        ("{at: 80%, do: [scale_to_zero]}", ".do[0]: scale_to_zero needs select; write {scale_to_zero: {select: ...}}"),
        ("{at: 80%, do: [7]}", ".do[0]: should be the name of one action, or one name with its settings, such as {name: {key: value}}"),
        (
            "{at: 80%, do: [{notify: {}, scale_to_zero: {}}]}",
            ".do[0]: should be the name of one action, or one name with its settings, such as {name: {key: value}}",
        ),
        ("{at: 80%, do: [{scale_to_zer: {}}]}", ".do[0]: unknown action 'scale_to_zer'; did you mean 'scale_to_zero'?"),
        ("{at: 80%, do: [{scale_to_zero: {}}]}", ".do[0].scale_to_zero.select: is missing"),
        (
            "{at: 80%, do: [{scale_to_zero: }]}",
            ".do[0].scale_to_zero: has no value; write one or leave the key out (text that begins with # needs quotes)",
        ),
        (
            "{at: 80%, do: [{scale_to_zero: {select: {}}}]}",
            '.do[0].scale_to_zero.select: selects nothing; write labels, services, or both (services: ["*"] means all)',
        ),
        (
            "{at: 80%, do: [{scale_to_zero: {select: {services: [a]}, after: 5}}]}",
            ".do[0].scale_to_zero.after: 5 is not a duration; write a number and s, m, h or d, such as 30m",
        ),
        (
            "{at: 80%, do: [{scale_to_zero: {select: {labels: {e: [a, B]}}}}]}",
            ".do[0].scale_to_zero.select.labels.e[1]: the label text 'B' can never match: labels hold up to 63 lower-case letters, digits, - and _",
        ),
        ("{at: 80%, do: [{scale_to_zero: {select: {services: [*]}}}]}", "put text that begins with * or & in quotes"),
    ],
)
def test_each_wrong_step_is_told_in_a_sentence(step: str, told: str) -> None:
    """Faults within an action's own settings carry the right place and line, too."""
    (said,) = faults(ladder(f"  - {step}"))
    assert said.startswith("policy.yaml:6:")
    assert told in said


def test_an_action_takes_its_settings_from_the_policy() -> None:
    """Bare names, names with settings and several actions in a step all arrive validated."""
    policy = taken(
        ladder("  - at: 80%\n    do: [notify, {notify: {}}, {scale_to_zero: {select: {services: [a]}, to: stopped, after: 5m}}]")
    )
    assert policy.budgets[0].steps[0].do == (
        Use("notify", Quiet()),
        Use("notify", Quiet()),
        Use("scale_to_zero", Park(select=Selector(services=("a",)), to="stopped", after=timedelta(minutes=5))),
    )


def test_without_any_action_every_name_is_unknown() -> None:
    """A policy can be checked against an empty registry, and outside of `parse` there is none at all."""
    text = ladder("  - {at: 80%, do: [notify]}")
    with pytest.raises(SettingsError, match="unknown action 'notify'; known here: nothing"):
        parse(text, source="p", actions={})
    with pytest.raises(ValidationError, match="unknown action 'notify'"):
        Step.model_validate({"at": "80%", "do": ["notify"]})


def test_regions_are_needed_as_soon_as_something_is_done() -> None:
    """Who only notifies needs none; an unknown action is told once, and not as one that needs regions."""
    notifying = "version: 1\nbudgets:\n- budget: A\n  steps:\n  - {at: 1%, do: [notify]}"
    assert taken(notifying).scope.regions == ()
    acting = notifying.replace("[notify]", "[notify, {stop_worker_pools: {select: {services: [a]}}}]")
    said = "scope.regions: is missing; budgets[0].steps[0] uses stop_worker_pools, which needs to know where to look, such as [us-central1]"
    assert faults(acting) == [f"policy.yaml:1: {said}"]
    assert faults(acting + "\nscope:\n  projects: []\n  regions: []") == [f"policy.yaml:8: {said}"]
    assert faults(acting + "\nscope: {projects: []}") == [f"policy.yaml:6: {said}"]
    assert len(faults(acting + "\nscope: 5")) == 1
    assert len(faults(acting + "\nscope: {regions: }")) == 1
    assert len(faults(notifying.replace("notify", "notfy"))) == 1


def test_unless_takes_objects_and_what_they_say() -> None:
    """A name alone, and the same as a mapping, mean that the object is there; with `has`, what it says has to fit. The schema takes all three."""
    text = (
        "version: 1\nartifacts:\n- bucket: abc\n  runs: r/{run}/\n  abandoned_after: 1d\n  unless:\n  - _SUCCESS\n  - {object: _KEEP}\n"
        "  - {object: meta.yaml, has: {status: 3}}\n  - {object: state.json, has: {state: [DONE, EXPORTED], final: true}}\n"
    )
    (rule,) = taken(text).artifacts
    assert rule.unless == (
        Condition(object="_SUCCESS"),
        Condition(object="_KEEP"),
        Condition(object="meta.yaml", has={"status": (3,)}),
        Condition(object="state.json", has={"state": ("DONE", "EXPORTED"), "final": (True,)}),
    )
    jsonschema.validate(yaml.safe_load(text), schema({}))
    for wrong in ("{object: meta.yaml, has: {}}", "{has: {status: 3}}", "{object: meta.yaml, is: 3}"):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(yaml.safe_load(text.replace("{object: _KEEP}", wrong)), schema({}))
        assert len(faults(text.replace("{object: _KEEP}", wrong))) == 1


def test_what_can_stand_only_once_is_refused_the_second_time() -> None:
    """One rule for a budget, one step for a level, one rule for the runs of a bucket; actual and forecast are two levels."""
    step = "{at: 80%, do: [notify]}"
    said = faults(
        f"version: 1\nbudgets:\n- {{budget: A, steps: [{step}, {{at: 80%, on: forecast, do: [notify]}},\n  {{at: 80.0%, on: actual, do: [notify]}}]}}\n"
        f"- {{budget: B, steps: [{step}]}}\n- {{budget: A, steps: [{step}]}}\nartifacts:\n"
        + "- {bucket: abc, runs: 'r/{run}/', unless: [_OK], abandoned_after: 1d}\n- {bucket: abc, runs: 's/{run}/', unless: [_OK], abandoned_after: 1d}\n"
        * 2
    )
    assert said == [
        "policy.yaml:4: budgets[0].steps[2]: another step is reached at the same spend, in line 3; make one of the two",
        "policy.yaml:6: budgets[2].budget: another rule is for this budget, in line 3; make one of the two",
        "policy.yaml:10: artifacts[2]: another rule is for these runs of this bucket, in line 8; make one of the two",
        "policy.yaml:11: artifacts[3]: another rule is for these runs of this bucket, in line 9; make one of the two",
    ]


@pytest.mark.parametrize(
    "runs",
    [
        "runs/{run}/",
        "{run}/",
        "a/{run}/artifacts/",
        "mlruns/1/{run}/",
        "mlruns/{any}/{run}/",
        "{any}/{any}/{run}/",
        "{run}/{any}/x/",
        "a b/{run}/",
    ],
)
def test_runs_are_one_segment_of_a_folder(runs: str) -> None:
    """{run} may stand anywhere, as a whole segment, and {any} as often as it is wanted."""
    (rule,) = taken(f"version: 1\nartifacts: [{{bucket: abc, runs: '{runs}', failed_when: [{{object: _FAILED}}]}}]").artifacts
    assert (rule.runs, rule.wait, rule.require_soft_delete, rule.abandoned_after) == (runs, timedelta(days=1), True, None)


@pytest.mark.parametrize(
    ("runs", "told"),
    [
        ("runs/", "exactly one whole part, such as runs/{run}/"),
        ("", "exactly one whole part"),
        ("runs/{run}/{run}/", "exactly one whole part"),
        ("runs/{any}/", "exactly one whole part"),
        ("runs/x{any}/{run}/", "exactly one whole part"),
        ("runs/{run}{any}/", "exactly one whole part"),
        ("../{run}/", "has a part . or .., which stand for no folder in a bucket"),
        ("runs/./{run}/", "has a part . or .."),
        ("runs/x{run}/", "exactly one whole part"),
        ("runs/{RUN}/", "exactly one whole part"),
        ("{date}/{run}/", "exactly one whole part"),
        ("a}/{run}/", "exactly one whole part"),
        ("runs/{run}", "should end with /"),
        ("/runs/{run}/", "has an empty part"),
        ("runs//{run}/", "has an empty part"),
        ("{run}//", "has an empty part"),
        ("*/{run}/", "holds '*', which has no meaning here"),
        ("a[b]/{run}/", "holds '[', which has no meaning here"),
        ("a?/{run}/", "holds '?', which has no meaning here"),
        ("a\\n/{run}/", "holds '\\n', which has no meaning here"),
        ("a\\u202e/{run}/", "holds '\\u202e', which has no meaning here"),
    ],
)
def test_runs_that_could_mean_too_much_are_refused(runs: str, told: str) -> None:
    """Whatever could reach beyond one run's own folder is refused."""
    (said,) = body(f'artifacts: [{{bucket: abc, runs: "{runs}", unless: [_OK], abandoned_after: 1d}}]')
    assert "artifacts[0].runs: " in said
    assert told in said


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("{}", ": no run would ever count as failed; write failed_when, abandoned_after, or both"),
        ("{failed_when: []}", ": no run would ever count as failed"),
        ("{abandoned_after: 0s}", ".abandoned_after: should be longer than 0s"),
        (
            "{abandoned_after: 1d}",
            ".abandoned_after: every run would count as abandoned in the end, since nothing says that one has succeeded; write that under unless, such as _SUCCESS",
        ),
        ("{failed_when: [mlflow], unless: [], abandoned_after: 1d}", ".abandoned_after: every run would count as abandoned in the end"),
        ("{failed_when: [mlflow], unless: [{object: a.txt, has: {b: 1}}]}", ".unless[0].has: 'a.txt' cannot be looked into"),
        (
            "{failed_when: [mlflow], unless: [mlflow]}",
            ".unless[0]: 'mlflow' is a ready-made sign of failure, which protects nothing; an object of that name is {object: mlflow}",
        ),
        ("{failed_when: [mlflow], unless: [7]}", ".unless[0]: should be a mapping, such as {key: value}, not 7"),
        ("{failed_when: [{}]}", ".failed_when[0].object: is missing"),
        ("{failed_when: [{object: a/}]}", ".failed_when[0].object: 'a/' is a folder; name one object"),
        ("{failed_when: [{object: /a}]}", ".failed_when[0].object: '/a' has an empty part"),
        ('{failed_when: [{object: ""}]}', ".failed_when[0].object: '' has an empty part"),
        ('{failed_when: [{object: "a*"}]}', ".failed_when[0].object: 'a*' holds '*', which has no meaning here"),
        ("{failed_when: [{object: a.json, has: {}}]}", ".failed_when[0].has: is empty; write at least one"),
        ("{failed_when: [{object: a.json, has: }]}", ".failed_when[0].has: has no value"),
        ("{failed_when: [{object: a.json, has: {b: }}]}", ".failed_when[0].has.b: has no value"),
        (
            "{failed_when: [{object: a.json, has: {b: []}}]}",
            ".failed_when[0].has.b: should be text, a whole number, true or false, or a list of those",
        ),
        ("{failed_when: [{object: a.json, has: {b: [1.5]}}]}", ".failed_when[0].has.b: should be text, a whole number"),
        (
            "{failed_when: [{object: a.txt, has: {b: c}}]}",
            ".failed_when[0].has: 'a.txt' cannot be looked into; only objects that end with .json, .yaml, .yml can",
        ),
        ("{failed_when: [{object: 5, has: {b: c}}]}", ".failed_when[0].object: should be text, not 5; put it in quotes"),
        ('{abandoned_after: 1d, unless: ["a*"]}', ".unless[0]: 'a*' holds '*'"),
        ('{unless: [_OK], abandoned_after: 1d, keep: ["/a"]}', ".keep[0]: '/a' has an empty part"),
        (
            '{unless: [_OK], abandoned_after: 1d, keep: ["logs**"]}',
            ".keep[0]: 'logs**' has ** beside other characters; it stands for whole parts, such as logs/**",
        ),
        (
            '{unless: [_OK], abandoned_after: 1d, keep: ["a/[bc"]}',
            ".keep[0]: 'a/[bc' opens a [ and never closes it; the character itself is written [[]",
        ),
        ('{unless: [_OK], abandoned_after: 1d, keep: ["[]"]}', ".keep[0]: '[]' opens a [ and never closes it"),
        ('{abandoned_after: 1d, unless: ["../_KEEP"]}', ".unless[0]: '../_KEEP' has a part . or .., which stand for no folder in a bucket"),
        ("{failed_when: mlflow}", ".failed_when: should be a list, such as [a, b], not 'mlflow'"),
        ("{failed_when: [mlflo]}", ".failed_when[0]: unknown sign 'mlflo'; did you mean 'mlflow'?"),
        (
            "{failed_when: [mlflow, _FAILED]}",
            ".failed_when[1]: unknown sign '_FAILED'; known here: failed_marker, kubeflow, mlflow, ray_tune, vertex_ai; an object is written {object: '_FAILED'}",
        ),
        ("{failed_when: [mlflow, {objec: a, object: b}]}", ".failed_when[1].objec: unknown key; did you mean 'object'?"),
        ("{failed_when: [7]}", ".failed_when[0]: should be a mapping, such as {key: value}, not 7"),
        ("{failed_when: [~]}", ".failed_when[0]: has no value"),
        (
            "{unless: [_OK], abandoned_after: 1d, limits: {objects_per_day: 1.5}}",
            ".limits.objects_per_day: should be a whole number, not 1.5",
        ),
        ("{unless: [_OK], abandoned_after: 1d, limits: {bytes_per_day: 5TB}}", ".limits.bytes_per_day: '5TB' is not a size"),
        (
            "{unless: [_OK], abandoned_after: 1d, limits: {share: 0.5}}",
            ".limits.share: 0.5 is a plain number, which could mean a fraction or percent",
        ),
        ("{unless: [_OK], abandoned_after: 1d, limits: {share: 101%}}", ".limits.share: 101% is more than all of them; write 100% or less"),
        ("{unless: [_OK], abandoned_after: 1d, require_soft_delete: no}", ".require_soft_delete: should be true or false, not 'no'"),
        ("{unless: [_OK], abandoned_after: 1d, limits: {bytes: 5TB}}", ".limits.bytes: '5TB' is not a size; write a number and B, KiB"),
        ("{unless: [_OK], abandoned_after: 1d, limits: {objects: -1}}", ".limits.objects: should be greater than or equal to 0, not -1"),
        ("{unless: [_OK], abandoned_after: 1d, limits: {object: 1}}", ".limits.object: unknown key; did you mean 'objects'?"),
    ],
)
def test_each_wrong_artifact_rule_is_told_in_a_sentence(rule: str, told: str) -> None:
    """A rule that deletes says exactly what it means, or is refused."""
    (said,) = body(f"artifacts: [{{bucket: abc, runs: 'r/{{run}}/', {rule[1:-1]}}}]")
    assert f"artifacts[0]{told}" in said


def test_conditions_take_single_values_and_lists() -> None:
    """A value alone is a list of one, and keeps its type."""
    (rule,) = taken(
        'version: 1\nartifacts: [{bucket: abc, runs: "{run}/", failed_when: [{object: a.yml, has: {a: 1, b: [true, x], c: off}}]}]'
    ).artifacts
    assert rule.failed_when == (Condition(object="a.yml", has={"a": (1,), "b": (True, "x"), "c": ("off",)}),)
    assert [type(value) for value in rule.failed_when[0].has["b"]] == [bool, str]


def signs(text: str) -> tuple[Condition, ...]:
    """What a rule with these signs looks for."""
    return taken(f"version: 1\nartifacts: [{{bucket: abc, runs: 'r/{{run}}/', failed_when: {text}}}]").artifacts[0].failed_when


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[failed_marker]", (Condition(object="_FAILED"),)),
        ("[mlflow]", (Condition(object="meta.yaml", has={"status": (4, 5)}),)),
        ("[ray_tune]", (Condition(object="error.txt"), Condition(object="error.pkl"))),
        ("[vertex_ai]", (Condition(object="final_status.json", has={"state": ("FAILED", "CANCELLED")}),)),
        ("[kubeflow]", (Condition(object="final_status.json", has={"state": ("FAILED", "CANCELLED", "CANCELED")}),)),
        ("[{object: a}, ray_tune, {object: b}]", tuple(Condition(object=name) for name in ("a", "error.txt", "error.pkl", "b"))),
        ("[ray_tune, {object: error.pkl}, failed_marker, {object: _FAILED}]", tuple(Condition(object=name) for name in ("error.txt", "error.pkl", "_FAILED"))),
    ],
)  # fmt: skip
def test_ready_made_signs_stand_for_their_conditions(text: str, found: tuple[Condition, ...]) -> None:
    """A name is taken anywhere in the list, beside conditions in full, and what is meant twice is looked for once."""
    assert signs(text) == found
    assert not problems(f"version: 1\nartifacts: [{{bucket: abc, runs: 'r/{{run}}/', failed_when: {text}}}]")


def test_what_protects_a_run_is_an_object_or_what_it_says() -> None:
    """A name alone is the object, and a condition in full is taken as it is for a sign; an editor takes both."""
    text = "version: 1\nartifacts: [{bucket: abc, runs: 'r/{run}/', failed_when: [mlflow], unless: [_KEEP, {object: mlflow}, {object: meta.yaml, has: {status: 3}}]}]"
    assert taken(text).artifacts[0].unless == (
        Condition(object="_KEEP"),
        Condition(object="mlflow"),
        Condition(object="meta.yaml", has={"status": (3,)}),
    )
    assert not problems(text)


def test_every_ready_made_sign_can_be_named() -> None:
    """Each is a name that the policy and an editor take, and no other is."""
    for name, found in READY_MADE.items():
        assert signs(f"[{name}]") == found
    assert problems("version: 1\nartifacts: [{bucket: abc, runs: 'r/{run}/', failed_when: [mlflo]}]")


@pytest.mark.parametrize(
    ("one", "other", "overlapping"),
    [
        ("r/{run}/", "r/{run}/", True),
        ("r/{run}/", "r/{run}/artifacts/", True),
        ("{run}/", "r/{run}/", True),
        ("mlruns/{any}/{run}/", "mlruns/1/{run}/", True),
        ("mlruns/{any}/{run}/", "mlruns/{run}/", True),
        ("{any}/x/{run}/", "a/{run}/x/", True),
        ("{any}/x/{run}/", "a/y/{run}/", False),
        ("r/{run}/", "s/{run}/", False),
        ("r/{run}/a/", "r/{run}/b/", False),
        ("r/{run}/", "runs/{run}/", False),
    ],
)
def test_overlapping_runs(one: str, other: str, *, overlapping: bool) -> None:
    """Two patterns overlap where some folder could be a run of one and be, hold or lie in a run of the other."""
    assert overlap(one, other) is overlap(other, one) is overlapping
    rules = "\n".join(f"- {{bucket: abc, runs: '{runs}', failed_when: [mlflow]}}" for runs in (one, other))
    said = faults(f"version: 1\nartifacts:\n{rules}") if overlapping else []
    assert [each.split(": ")[:2] for each in said] == [["policy.yaml:4", "artifacts[1]"]] * overlapping
    assert taken(f"version: 1\nartifacts:\n{rules.replace('abc', 'def', 1)}").artifacts[1].runs == other


def test_too_many_rules_for_one_bucket() -> None:
    """Each is held against each other, so there is an end to it, which is told once."""
    rules = "\n".join(f"- {{bucket: acme, runs: 'r{number}/{{run}}/', failed_when: [mlflow]}}" for number in range(1003))
    assert faults(f"version: 1\nartifacts:\n{rules}") == [
        "policy.yaml:1003: artifacts[1000]: is one of more than 1,000 rules for the bucket 'acme'; write fewer, with {any} in them"
    ]


def test_overlapping_rules_are_told_with_both_lines() -> None:
    """Whatever is wrong with one of the two otherwise is told instead."""
    assert body(
        "artifacts:\n- {bucket: abc, runs: 'a/{run}/', failed_when: [mlflow]}\n- {bucket: abc, runs: 'mlruns/{any}/{run}/', failed_when: [mlflow]}\n"
        "- bucket: abc\n  runs: mlruns/{run}/\n  failed_when: [mlflow]\n- {bucket: abc, runs: '{run}', failed_when: [mlflow]}"
    ) == [
        "policy.yaml:5: artifacts[2]: 'mlruns/{run}/' and 'mlruns/{any}/{run}/' of the rule in line 4 may mean the same objects of this bucket; make one of the two, or keep their folders apart",
        "policy.yaml:8: artifacts[3].runs: '{run}' should end with /, since a run is a folder",
    ]


def test_the_limits_of_a_rule() -> None:
    """Each may be written, and what is absent has a default that a mistake in a rule runs into."""
    (rule,) = taken(
        "version: 1\nartifacts: [{bucket: abc, runs: 'r/{run}/', unless: [_OK], abandoned_after: 1d, limits: {objects_per_day: 7, bytes_per_day: 1KiB, share: 12.5%}}]"
    ).artifacts
    assert rule.limits == ArtifactLimits(objects_per_day=7, bytes_per_day=1024, share=Decimal("0.125"))
    assert ArtifactLimits() == ArtifactLimits(
        objects=1_000_000, bytes=5 * 2**40, objects_per_day=5_000_000, bytes_per_day=20 * 2**40, share=Decimal("0.5")
    )


@pytest.mark.parametrize(
    "text",
    ["a: {b: [1, 1, 1.5, .nan, -.inf, x, x]}", "a: &b c", "a: 'yes'\nb: ~\nc: 2026-11-24T00:00:00Z"],
)
def test_what_a_program_wrote_may_repeat_itself(loader: Any, text: str) -> None:
    """Lists of figures repeat them, and figures of a failed run are often not finite."""
    assert loader
    assert set(read_generated(text)) >= {"a"}


@pytest.mark.parametrize(
    "text", ["a: &b c\nd: *b", "a: !!python/name:os.system b", "a: 1\na: 2", "[a]", "a: [", "---\na: 1\n---\nb: 2", 'a: "\\x07"']
)
def test_what_a_program_wrote_is_otherwise_read_as_strictly(loader: Any, text: str) -> None:
    """Aliases, tags, doubled keys and whatever is no mapping are refused."""
    assert loader
    with pytest.raises(SettingsError):
        read_generated(text)


def rule(name: str, *steps: Step) -> BudgetRule:
    """A rule for the budget of this name."""
    return BudgetRule(budget=name, steps=steps or (Step(at=Decimal("0.5"), do=(Use("notify", Quiet()),)),))


def test_a_rule_is_found_by_id_then_by_name_then_by_the_star() -> None:
    """The id is the surest, since names are not unique; the star stands for all others."""
    by_id, by_name, by_star = rule("b1"), rule("ML"), rule("*")
    assert Policy(version=1, budgets=(by_star, by_name, by_id)).rule_for(notification()) is by_id
    assert Policy(version=1, budgets=(by_star, by_name)).rule_for(notification()) is by_name
    assert Policy(version=1, budgets=(by_name, by_star)).rule_for(notification(budget_name="Other")) is by_star
    assert Policy(version=1, budgets=(by_name,)).rule_for(notification(budget_name="ml")) is None


def test_every_step_up_to_the_level_is_reached_in_ascending_order() -> None:
    """The policy may list its steps in any order; forecast and actual spend count apart."""
    steps = {
        key: Step.model_validate({"at": at, "on": on, "do": (Use("notify", Quiet()),)})
        for key, at, on in [
            ("a100", "100%", "actual"),
            ("f90", "90%", "forecast"),
            ("f50", "50%", "forecast"),
            ("a50", "50.0%", "actual"),
            ("a80", "80%", "actual"),
        ]
    }
    ours = rule("ML", *steps.values())
    assert [step.key for step in ours.steps] == ["actual-1", "forecast-0.9", "forecast-0.5", "actual-0.5", "actual-0.8"]
    assert reached(ours, notification("49.99")) == ()
    assert reached(ours, notification("50")) == (steps["a50"],)
    assert reached(ours, notification("80", forecast_threshold=Decimal("0.9"))) == (steps["a50"], steps["f50"], steps["a80"], steps["f90"])
    assert reached(ours, notification("0", amount="0", actual_threshold=Decimal("0.8"))) == (steps["a50"], steps["a80"])
    assert reached(ours, notification("500")) == (steps["a50"], steps["a80"], steps["a100"])


def test_step_keys_are_plain_numbers() -> None:
    """However the share was written, the key is the same short number."""
    keys = [Step.model_validate({"at": at, "do": (Use("notify", Quiet()),)}).key for at in ("80%", "80.00%", "100%", "1000%", "0.01%")]
    assert keys == ["actual-0.8", "actual-0.8", "actual-1", "actual-10", "actual-0.0001"]


@pytest.mark.parametrize(
    ("labels", "name", "reason"),
    [
        ({"env": "prod"}, "api", "protected by the label env=prod"),
        ({"tier": "gold"}, "api", "protected by the label tier=gold"),
        ({"env": "dev"}, "api-prod", "protected by its name, as protect.services has '*-prod'"),
        ({"env": "prod", "cost-watchdog": "protect"}, "payments", "protected by the label cost-watchdog=protect"),
        ({"cost-watchdog": "off", "env": "PROD"}, "Payments", None),
        ({}, "payments", "protected by its name, as protect.services has 'payments'"),
    ],
)
def test_protection_gives_its_reason(labels: dict[str, str], name: str, reason: str | None) -> None:
    """The reason says what a person would have to change."""
    protect = Protect.model_validate({"labels": {"env": "prod", "tier": ["gold", "silver"]}, "services": ["*-prod", "payments"]})
    assert protect.covers(Resource("service", f"projects/p/locations/r/services/{name}", labels)) == reason


def test_the_label_protects_without_any_policy() -> None:
    """cost-watchdog=protect needs no line in the policy."""
    assert (
        Protect().covers(Resource("service", "projects/p/locations/r/services/a", {"cost-watchdog": "protect"}))
        == "protected by the label cost-watchdog=protect"
    )
    assert Protect().covers(Resource("service", "projects/p/locations/r/services/a")) is None


def test_a_policy_does_not_change() -> None:
    """It is a value."""
    with pytest.raises(ValidationError, match="frozen"):
        taken("version: 1").mode = "enforce"  # type: ignore[misc]


EDITOR = jsonschema.Draft202012Validator(schema(ACTIONS))


def problems(text: str) -> list[str]:
    """What an editor would mark."""
    return [error.message for error in EDITOR.iter_errors(read(text).data)]


def test_the_schema_takes_the_shipped_policy_and_refuses_a_misspelt_key_anywhere() -> None:
    """Every key of the example is known to the schema, and none of them may be misspelt."""
    text = SHIPPED.read_text(encoding="utf-8")
    jsonschema.Draft202012Validator.check_schema(schema(ACTIONS))
    assert not problems(text)
    free = {"team", "vision", "env", "state", "status", "run", "https"}
    keys = {path[-1] for path in read(text).lines if path and isinstance(path[-1], str)} - free
    assert {"at", "select", "scale_to_zero", "has", "routes"} <= keys
    for key in sorted(keys - {"version"}):
        misspelt = "\n".join(line.replace(f"{key}:", f"{key}x:", 1) for line in text.splitlines())
        assert problems(misspelt), key


def test_the_schema_describes_every_key() -> None:
    """What hovers over a key in an editor is never empty, and the default it shows is one that may be written."""
    document = schema(ACTIONS)
    ours = {name: part for name, part in document["$defs"].items() if name not in ("Quiet", "Park")}
    for name, part in {"Policy": document, **ours}.items():
        for key, value in part["properties"].items() if "properties" in part else ():
            assert value.get("description"), f"{name}.{key}"
            if "default" in value:
                jsonschema.validate(value["default"], {**value, "$defs": document["$defs"]})
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert json.loads(json.dumps(document)) == document


def test_the_schema_shows_each_default_as_a_person_writes_it() -> None:
    """Durations, shares and sizes in the notation of the policy, and nothing where there is nothing."""
    document = schema(ACTIONS)
    shown = {
        **document["$defs"]["Policy"]["properties"],
        **document["$defs"]["Limits"]["properties"],
        **document["$defs"]["ArtifactRule"]["properties"],
    }
    assert [shown[key]["default"] for key in ("stale_after", "share", "wait", "abandoned_after")] == ["6h", "100%", "1d", None]
    assert document["$defs"]["ArtifactLimits"]["properties"]["bytes"]["default"] == "5TiB"


@pytest.mark.parametrize(
    ("item", "accepted"),
    [("notify", True), ("{notify: {}}", True), ("scale_to_zero", False), ("{scale_to_zero: {select: {services: [a]}}}", True), ("{scale_to_zero: {}}", False),
     ("{scale_to_zero: {select: {}}}", False), ("{scale_to_zero: {select: {services: [a]}, to: idel}}", False), ("{notify: {}, scale_to_zero: {select: {services: [a]}}}", False),
     ("{}", False), ("explode", False)],
)  # fmt: skip
def test_the_schema_knows_the_actions(item: str, accepted: bool) -> None:
    """A bare name where the action needs no settings, one name with its settings otherwise; `parse` agrees."""
    text = ladder(f"  - {{at: 80%, do: [{item}]}}")
    assert (not problems(text)) is accepted
    if accepted:
        assert taken(text)
    else:
        assert faults(text)


def test_the_schema_works_where_every_action_needs_settings() -> None:
    """Then no bare name is accepted."""
    document = schema({"scale_to_zero": Park})
    assert not jsonschema.Draft202012Validator(document).is_valid(read(ladder("  - {at: 80%, do: [notify]}")).data)
    assert jsonschema.Draft202012Validator(document).is_valid(
        read(ladder("  - {at: 80%, do: [{scale_to_zero: {select: {services: [a]}}}]}")).data
    )


def test_actions_whose_settings_share_a_class_name_stay_apart() -> None:
    """Each action's file calls its settings Params."""
    one = type("Params", (Quiet,), {"__module__": "one"})
    two = type("Params", (Park,), {"__module__": "two"})
    document = schema({"notify": one, "scale_to_zero": two})
    do = document["$defs"]["Step"]["properties"]["do"]["items"]["anyOf"]
    references = do[1]["properties"]
    assert references["notify"] != references["scale_to_zero"]
    assert do[0]["enum"] == ["notify"]


KEYS = ["version", "mode", "scope", "projects", "regions", "protect", "labels", "services", "limits", "targets", "share", "per_hour", "on_drift", "slack", "channel", "routes",
        "budgets", "budget", "restore", "steps", "at", "on", "do", "wait", "approve", "scale_to_zero", "notify", "select", "to", "artifacts", "bucket", "runs",
        "failed_when", "object", "has", "unless", "keep", "abandoned_after", "bytes", "objects_per_day", "bytes_per_day", "x"]  # fmt: skip
WORDS = [
    "1",
    "80%",
    "30m",
    "us-central1",
    "-",
    "notify",
    "scale_to_zero",
    "actual",
    "forecast",
    "true",
    "*",
    "runs/{run}/",
    "mlruns/{any}/{run}/",
    "mlflow",
    "logs/**",
    "abc",
    "_FAILED",
    "#ml",
    "5TiB",
    "",
    "A",
    ".",
]
leaves = st.one_of(st.sampled_from(WORDS), st.text(max_size=5), st.integers(), st.floats(), st.booleans(), st.none())
anything = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(st.sampled_from(KEYS), st.text(max_size=4)), inner, max_size=6)
    ),
    max_leaves=30,
)


def survives(text: str) -> None:
    """The policy is taken, or refused with at least one fault that names the file."""
    refused: tuple[str, ...] = ()
    try:
        taken(text)
    except SettingsError as error:
        refused = error.faults or ("an error without a fault",)
    assert all(fault.startswith("policy.yaml:") and "\n" not in fault for fault in refused)
    assert "".join(refused).encode() or not refused


@given(
    st.one_of(st.text(), st.text("-:[]{}!&*?|>%@`#,'\"\\ \t\nabx0~<=.", max_size=40), st.text(st.characters(categories=None), max_size=10))
)
@example("%YAML 1." + "1" * 5000 + "\n--- {}")
@example('"\\ud800": 1')
@example("a: '\n\n\n")
def test_any_text_is_taken_or_refused(text: str) -> None:
    """Nothing but a SettingsError comes back, whatever the text and the parser."""
    with pytest.MonkeyPatch.context() as patch:
        for each in (yaml.CSafeLoader, yaml.SafeLoader):
            patch.setattr(policy_text, "LOADER", each)
            survives(text)


@given(anything)
@example(
    {
        "version": 1,
        "budgets": [
            {"budget": "A", "steps": [{"at": "1%", "do": [[], {}, {"a": 1, "b": 2}, {"notify": []}, {"scale_to_zero": {"select": 1}}]}]}
        ],
    }
)
def test_any_values_are_taken_or_refused(value: object) -> None:
    """The same for texts that YAML can read."""
    survives(json.dumps(value, ensure_ascii=False))


@given(st.dictionaries(st.sampled_from(KEYS), anything))
def test_any_mapping_is_taken_or_refused(value: dict[str, object]) -> None:
    """The same for what begins like a policy."""
    survives(json.dumps({"version": 1, **value}, ensure_ascii=False))


@given(st.data())
def test_the_shipped_policy_with_a_slip_of_the_pen_is_taken_or_refused(data: st.DataObject) -> None:
    """The same for a policy in which a few characters were changed."""
    text = SHIPPED.read_text(encoding="utf-8").partition("\nbudgets:")[2]
    at = data.draw(st.integers(0, len(text)))
    survives(
        "version: 1\nbudgets:"
        + text[:at]
        + data.draw(st.text("-:[]{}!&*?|>%'\" \t\nabx0", max_size=3))
        + text[at + data.draw(st.integers(0, 3)) :]
    )


word = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
globs = st.lists(st.from_regex(r"[a-z*?]{1,6}", fullmatch=True), min_size=1, max_size=3, unique=True)
labels = st.dictionaries(word, st.one_of(word, st.lists(word, min_size=1, max_size=3, unique=True)), min_size=1, max_size=3)
lengths = st.builds(lambda count, unit: f"{count}{unit}", st.integers(1, 3650), st.sampled_from("smhd"))
selectors = st.one_of(st.fixed_dictionaries({"labels": labels}, optional={"services": globs}), st.fixed_dictionaries({"services": globs}))
uses = st.one_of(
    st.just("notify"),
    st.fixed_dictionaries(
        {
            "scale_to_zero": st.fixed_dictionaries(
                {"select": selectors}, optional={"to": st.sampled_from(["idle", "stopped"]), "after": lengths}
            )
        }
    ),
)
step_lists = st.lists(
    st.fixed_dictionaries(
        {"at": st.integers(1, 500).map(lambda percent: f"{percent}%"), "do": st.lists(uses, min_size=1, max_size=3, unique_by=str)},
        optional={"on": st.sampled_from(["actual", "forecast"]), "wait": lengths, "approve": st.booleans()},
    ),
    min_size=1,
    max_size=5,
    unique_by=lambda step: (step["at"], step.get("on", "actual")),
)
policies = st.fixed_dictionaries(
    {
        "version": st.just(1),
        "scope": st.fixed_dictionaries(
            {"regions": st.just(["us-central1", "europe-west1"])}, optional={"projects": st.lists(word, unique=True)}
        ),
        "budgets": st.lists(
            st.fixed_dictionaries(
                {"budget": st.sampled_from(["*", "A b", "yes", "1e3"]), "steps": step_lists},
                optional={"restore": st.sampled_from(["next_period", "manual"])},
            ),
            unique_by=lambda rule: rule["budget"],
            max_size=3,
        ),
    },
    optional={
        "mode": st.sampled_from(["observe", "enforce"]),
        "protect": st.fixed_dictionaries({}, optional={"labels": labels, "services": globs}),
        "limits": st.fixed_dictionaries(
            {},
            optional={
                "targets": st.integers(0, 10**6),
                "per_hour": st.integers(0, 10**6),
                "share": st.integers(0, 100).map(lambda percent: f"{percent}%"),
            },
        ),
        "stale_after": lengths,
        "required_labels": st.lists(word, unique=True),
    },
)


@given(policies)
def test_every_valid_policy_is_taken_as_it_is(value: dict[str, Any]) -> None:
    """Whatever keeps to the rules is taken, by the editor's schema too, with every step and without a change of meaning."""
    text = json.dumps(value)
    policy = taken(text)
    assert not problems(text)
    assert [rule.budget for rule in policy.budgets] == [rule["budget"] for rule in value["budgets"]]
    for found, written in zip(policy.budgets, value["budgets"], strict=True):
        assert [step.key for step in found.steps] == [
            f"{step.get('on', 'actual')}-{Decimal(step['at'][:-1]).scaleb(-2).normalize():f}" for step in written["steps"]
        ]
        assert [[use.name for use in step.do] for step in found.steps] == [
            [use if isinstance(use, str) else next(iter(use)) for use in step["do"]] for step in written["steps"]
        ]
        for use in (use for step in found.steps for use in step.do):
            assert type(use.params).model_validate(use.params.model_dump(mode="json")) == use.params
