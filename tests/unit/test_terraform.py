"""What Terraform deploys is what the code is: entry points, environment, permissions, topics, messages, log lines. And the check of its arguments finds mistakes."""

from __future__ import annotations

import ast
import base64
import json
import logging
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cloudevents.http import CloudEvent
from flask import Flask, request

from functions import deliveries
from functions.logs import JsonLines
from shared import events
from shared.actions import registry
from shared.actions.on_objects import PERMISSIONS as ON_OBJECTS
from shared.errors import Conflict, SettingsError, Unavailable
from shared.policy.fields import share
from shared.policy.policy import Policy
from shared.settings import Settings
from terraform import check

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "terraform"
PERMISSIONS: dict[str, Any] = json.loads((FOLDER / "permissions.json").read_text(encoding="utf-8"))
TEXT = {file.name: file.read_text(encoding="utf-8") for file in sorted(FOLDER.glob("*.tf"))}
ALL = "\n".join(TEXT.values())


def function_blocks() -> dict[str, str]:
    """What functions.tf says of each function, by its entry point."""
    body = TEXT["functions.tf"].split("  functions = {\n", 1)[1].split("\n  }\n", 1)[0]
    return dict(re.findall(r"^    (\w+) = \{\n(.*?)^    \}", body + "\n", flags=re.MULTILINE | re.DOTALL))


def resources() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Each resource's type, name and arguments."""
    for _, content in check.parsed(FOLDER):
        for group in content.get("resource", ()):
            for kind, instances in group.items():
                for name, body in instances.items():
                    yield kind.strip('"'), name.strip('"'), body


# the code and Terraform


def test_the_functions_are_the_entry_points() -> None:
    """Terraform deploys every function of `main.py`, each with an account, and nothing else."""
    tree = ast.parse((ROOT / "main.py").read_text(encoding="utf-8"))
    targets = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    accounts = re.search(r"accounts = toset\(\[(.*?)\]\)", TEXT["access.tf"])
    assert accounts
    assert set(function_blocks()) == targets == set(re.findall(r'"(\w+)"', accounts[1]))


def test_what_is_pushed_goes_to_functions_that_take_events() -> None:
    """The topics push to the functions that take deliveries, and the others are called over HTTP."""
    tree = ast.parse((ROOT / "main.py").read_text(encoding="utf-8"))
    takes = {node.name: "deliveries.taken" in ast.unparse(node) for node in tree.body if isinstance(node, ast.FunctionDef)}
    pushed = TEXT["topics.tf"].split("  pushed = {\n", 1)[1].split("  }\n", 1)[0]
    assert set(re.findall(r"^    (\w+) +=", pushed, flags=re.MULTILINE)) == {name for name, taken in takes.items() if taken}
    open_to_all = {name for name, block in function_blocks().items() if '"ALLOW_ALL"' in block}
    assert open_to_all == {name for name, taken in takes.items() if not taken}


def test_every_environment_name_is_a_setting() -> None:
    """What the functions are given is what the settings read, and a function that is given all of it starts."""
    given = set(re.findall(r"\b((?:WATCHDOG|SLACK|GOOGLE_CLOUD)_[A-Z_]+)\b", ALL))
    read = set(re.findall(r'read\.\w+\(\s*"([A-Z_]+)"', (ROOT / "shared" / "settings.py").read_text(encoding="utf-8")))
    assert given <= read
    assert given == {
        *("GOOGLE_CLOUD_PROJECT", "WATCHDOG_STATE_BUCKET", "WATCHDOG_POLICY", "WATCHDOG_MODE", "WATCHDOG_TASKS_TOPIC"),
        *("SLACK_BOT_TOKEN", "SLACK_SIGNING_SECRET", "SLACK_WEBHOOK_URL"),
    }
    environment = {
        "GOOGLE_CLOUD_PROJECT": "acme-ml-watchdog",
        "WATCHDOG_STATE_BUCKET": "acme-ml-watchdog-cost-watchdog-state",
        "WATCHDOG_POLICY": "gs://acme-ml-watchdog-cost-watchdog-config/policy.yaml",
        "WATCHDOG_MODE": "observe",
        "WATCHDOG_TASKS_TOPIC": "projects/acme-ml-watchdog/topics/cost-watchdog-tasks",
    }
    assert Settings.from_env(environment).mode == "observe"
    assert Settings.from_env({**environment, "WATCHDOG_MODE": ""}).mode is None


def test_the_permissions_are_those_of_the_actions() -> None:
    """Terraform's list has every action with exactly the permissions that it declares, in both directions."""
    assert {name: set(listed) for name, listed in PERMISSIONS["actions"].items()} == {
        name: set(action.permissions) for name, action in registry().items()
    }
    assert set(PERMISSIONS["artifacts"]) == ON_OBJECTS
    assert set(PERMISSIONS["in_named_buckets"]) == {name for name, action in registry().items() if action.works}
    lists = [PERMISSIONS["artifacts"], PERMISSIONS["journal"], PERMISSIONS["audit_roles"], *PERMISSIONS["actions"].values()]
    assert all(listed == sorted(set(listed)) for listed in lists)


def test_the_journals_permissions_are_those_of_the_settings() -> None:
    """What the settings say the state bucket takes is what the role holds."""
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8").split("### `WATCHDOG_STATE_BUCKET`", 1)[1].split("###", 1)[0]
    named = re.findall(r"`(?:storage\.objects)?\.(get|list|create|delete)`", text)
    assert {f"storage.objects.{name}" for name in named} == set(PERMISSIONS["journal"])
    assert set(PERMISSIONS["record_request"]) < set(PERMISSIONS["journal"])
    assert PERMISSIONS["read_object"] == ["storage.objects.get"]


def test_the_auditors_roles_are_those_of_the_documentation() -> None:
    """Whoever audits has the roles that docs/audit.md names, none of which can change anything."""
    text = (ROOT / "docs" / "audit.md").read_text(encoding="utf-8").split("## What it may read", 1)[1]
    roles = {*PERMISSIONS["audit_roles"], PERMISSIONS["audit_billing_role"], PERMISSIONS["audit_journal_role"]}
    assert roles == set(re.findall(r"`(roles/[\w.]+)`", text))
    assert all(re.fullmatch(r"roles/(browser|\w+\.\w*([vV]iewer|Reviewer))", role) for role in roles)


def test_every_grant_is_additive_and_none_is_wide() -> None:
    """No grant replaces a policy or a role's members, none is a basic role, no key is made, and everybody is let in at one place."""
    kinds = {kind for kind, _, _ in resources() if "_iam_" in kind}
    assert {kind for kind in kinds if not kind.endswith(("_iam_member", "_iam_custom_role"))} == set()
    assert not re.search(r"roles/(owner|editor|viewer|storage\.admin|run\.admin|pubsub\.admin)\b", ALL)
    everybody = [name for kind, name, body in resources() if kind.endswith("_member") and "all" in str(body.get("member", "")).lower()[:5]]
    assert everybody == ["slack"]
    assert "google_service_account_key" not in ALL
    assert "allAuthenticatedUsers" not in re.sub(r"error_message = .*", "", ALL)


def test_the_secrets_have_no_value_here() -> None:
    """A value in Terraform would stand in its state."""
    assert "google_secret_manager_secret_version" not in ALL


def test_what_is_read_is_read_while_planning() -> None:
    """Data that waits for a resource is unknown whenever that changes; grants to service agents would be taken away and made anew with each further API."""
    data = {
        f"{of} {name}": body
        for _, content in check.parsed(FOLDER)
        for group in content.get("data", ())
        for of, instances in group.items()
        for name, body in instances.items()
    }
    assert len(data) == 3
    assert [name for name, body in data.items() if "depends_on" in body] == []
    needed = {"cloudresourcemanager.googleapis.com", "storage.googleapis.com"}
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    enabled = re.search(r"gcloud services enable (.*)", page)
    assert enabled
    assert needed <= set(enabled[1].split())


def test_what_the_clock_says_is_understood() -> None:
    """The messages of Cloud Scheduler are tasks."""
    said = re.search(r"for_each = \{ (\w+) = var\.tick, (\w+) = var\.digest \}", TEXT["schedule.tf"])
    assert said
    assert "jsonencode({ task = each.key })" in TEXT["schedule.tf"]
    for name in said.groups():
        message = {"data": base64.b64encode(json.dumps({"task": name}).encode()).decode(), "messageId": "1"}
        assert events.task({"message": message})["task"] == name


def test_the_alerts_look_for_what_is_logged() -> None:
    """Each alarm's label and each phrase that an alert looks for stands in the code that logs it."""
    code = "\n".join(file.read_text(encoding="utf-8") for folder in ("functions", "shared") for file in (ROOT / folder).rglob("*.py"))
    logged = set(re.findall(r'"alarm": "([\w-]+)"', code))
    assert set(re.findall(r'labels\.alarm=\\"([\w-]+)\\"', TEXT["alerts.tf"])) == logged - {"blind-over"}
    assert 'log.info("done: %s"' in code
    assert 'extra = {"labels": {"entry": session.entry.key, "service": target.short_name' in code
    for label in re.findall(r"EXTRACT\(labels\.(\w+)\)", TEXT["alerts.tf"]):
        assert f'"{label}": ' in code


@pytest.mark.parametrize(
    ("error", "alerts"),
    [(Unavailable("503"), False), (Conflict("somebody else wrote it"), False), (SettingsError(["no policy"]), True), (KeyError("x"), True)],
)
def test_what_comes_again_by_itself_is_no_alert(error: Exception, alerts: bool) -> None:
    """An exception asks for the message to be delivered again; what is only that is told when it does not end, and a fault of ours at once."""
    again = re.search(r'^  again = "(.*)"$', TEXT["alerts.tf"], flags=re.MULTILINE)
    assert again
    record = logging.LogRecord("main", logging.ERROR, "", 0, "Exception on / [POST]", (), (type(error), error, None))
    line = json.loads(JsonLines("acme-ml-watchdog", []).format(record))
    # Python has no [:cntrl:]; in the language of Cloud Logging (RE2) these are the control characters.
    assert (re.search(again[1].replace("[:cntrl:]", "\\x00-\\x1f"), line["message"]) is None) is alerts


def test_a_fault_while_something_does_not_answer_is_an_alert() -> None:
    """Only the last line of a stack says what was raised."""
    stack = "shared.errors.Unavailable: 503\n\nDuring handling of the above exception, another exception occurred:\n\nKeyError: 'x'"
    again = re.search(r'^  again = "(.*)"$', TEXT["alerts.tf"], flags=re.MULTILINE)
    assert again
    assert not re.search(again[1].replace("[:cntrl:]", "\\x00-\\x1f"), stack)


@pytest.mark.parametrize("name", ["small", "wide"])
def test_the_policies_of_the_tests_are_policies(name: str, policy_of: Callable[[str], Policy]) -> None:
    """Terraform's tests read nothing that the watchdog would refuse."""
    policy_of((FOLDER / "tests" / "policies" / f"{name}.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def policy_of() -> Callable[[str], Policy]:
    """Parse a policy with all actions."""
    from shared.actions import params_by_name
    from shared.policy.policy import parse

    return lambda text: parse(text, source="policy", actions=params_by_name())


def test_a_share_is_a_number_and_a_percent_sign() -> None:
    """Which is how policy.tf reads it: without the sign, by a hundred."""
    written = [
        step["at"] for rule in yaml.safe_load((ROOT / "policy.yaml").read_text(encoding="utf-8"))["budgets"] for step in rule["steps"]
    ]
    assert all(float(text.strip().removesuffix("%")) / 100 == float(share(text)) for text in written)


# what a push looks like


def _pushed(message: dict[str, Any]) -> CloudEvent:
    """What is made of a push of Pub/Sub's own, without the headers that Eventarc adds."""
    body = {"message": message, "subscription": "projects/acme-ml-watchdog/subscriptions/cost-watchdog-budgets"}
    taken: list[CloudEvent] = []
    with Flask(__name__).test_request_context("/", method="POST", json=body):
        deliveries.taken(request, taken.append)
    return taken[0]


def test_a_budget_message_that_is_pushed_is_read() -> None:
    """A push subscription delivers what Eventarc would: the same type, data and attributes."""
    cost = {
        "budgetDisplayName": "ML Training Budget",
        "costAmount": 4100.0,
        "costIntervalStart": "2026-11-01T07:00:00Z",
        "budgetAmount": 5000.0,
        "budgetAmountType": "SPECIFIED_AMOUNT",
        "currencyCode": "USD",
    }
    event = _pushed(
        {
            "data": base64.b64encode(json.dumps(cost).encode()).decode(),
            "messageId": "136969346945",
            "publishTime": "2026-11-20T10:00:00.000Z",
            "attributes": {
                "billingAccountId": "01D4EE-079462-DFD6EC",
                "budgetId": "f2b0a5a3-7f0e-4f4c-9f6c-1b2a3c4d5e6f",
                "schemaVersion": "1.0",
            },
        }
    )
    notification = events.budget_notification(event.get_attributes(), event.get_data())
    assert (notification.budget_name, notification.billing_account) == ("ML Training Budget", "01D4EE-079462-DFD6EC")


def test_a_storage_notification_that_is_pushed_is_read() -> None:
    """The bucket and the name are in the attributes, as the bucket's notification has them."""
    event = _pushed(
        {
            "data": base64.b64encode(b'{"size": "3"}').decode(),
            "messageId": "1",
            "publishTime": "2026-11-20T10:00:00.000Z",
            "attributes": {
                "eventType": "OBJECT_FINALIZE",
                "bucketId": "acme-ml-artifacts",
                "objectId": "runs/run-7/_FAILED",
                "objectGeneration": "17",
                "eventTime": "2026-11-20T10:00:00.000Z",
                "payloadFormat": "JSON_API_V1",
            },
        }
    )
    assert events.object_named(event["type"], event.get_data()) == ("acme-ml-artifacts", "runs/run-7/_FAILED")
    assert events.object_written(event["type"], event.get_data()).generation == 17


# the check itself


def test_nothing_is_wrong() -> None:
    """Every argument and block is one that the provider has."""
    assert check.faults(FOLDER, check.schema()) == []


@pytest.mark.parametrize(
    ("file", "right", "wrong", "said"),
    [
        ("topics.tf", "minimum_backoff", "min_backoff", "retry_policy: there is no argument min_backoff"),
        ("functions.tf", "ingress_settings  ", "ingress_setting  ", "service_config: there is no argument ingress_setting"),
        ("topics.tf", "    push_endpoint = google_cloudfunctions2_function.all[each.key].service_config[0].uri\n", "", "push_config: push_endpoint is missing"),
        ("secrets.tf", "  replication {\n    auto {}\n  }\n", "", "slack: the block replication is missing"),
        ("state.tf", "  versioning {", "  version {", "state: there is no block version"),
        ("state.tf", "  versioning {", "  versioning = {", "versioning is a block, and is written without ="),
        ("functions.tf", 'dynamic "secret_environment_variables"', 'dynamic "secret_environment"', "service_config: there is no block secret_environment"),
        ("budgets.tf", "      threshold_percent = threshold_rules.value.at\n", "", "threshold_rules: threshold_percent is missing"),
        ("schedule.tf", "  retry_config {", "  retry_config {\n  }\n  retry_config {", "the block retry_config may be there once"),
        ("source.tf", '  name   = "source/', '  md5hash = "x"\n  name   = "source/', "md5hash cannot be set, since the provider computes it"),
        ("schedule.tf", '"google_cloud_scheduler_job"', '"google_cloud_schedule_job"', "there is no such resource"),
        ("topics.tf", 'data "google_storage_project_service_account"', 'data "google_storage_service_account"', "there is no such data"),
        ("versions.tf", "  user_project_override = true", "  user_project = true", "provider: there is no argument user_project"),
        ("state.tf", "  versioning {\n    enabled = true\n  }", "  labels {\n  }", "labels is an argument, and is written with ="),
    ],
)  # fmt: skip
def test_a_mistake_is_found(file: str, right: str, wrong: str, said: str, tmp_path: Path) -> None:
    """A misspelt argument, a missing one, a wrong block: each is one sentence that names the file and the place."""
    for each in FOLDER.glob("*.tf"):
        shutil.copy(each, tmp_path)
    text = (tmp_path / file).read_text(encoding="utf-8")
    assert right in text
    (tmp_path / file).write_text(text.replace(right, wrong, 1), encoding="utf-8")
    found = check.faults(tmp_path, check.schema())
    assert any(fault.startswith(f"{file}: ") and said in fault for fault in found), found
