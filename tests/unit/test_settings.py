"""The environment as settings, and every fault in it at once."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.errors import SettingsError
from shared.settings import DEFAULT_POLICY, PlainStorage, Settings

LEAST = {"GOOGLE_CLOUD_PROJECT": "acme-ml-watchdog", "WATCHDOG_STATE_BUCKET": "acme-ml-watchdog-state"}


def faults(environ: dict[str, str]) -> tuple[str, ...]:
    """What is wrong with an environment."""
    with pytest.raises(SettingsError) as caught:
        Settings.from_env(environ)
    assert str(caught.value) == "\n".join(caught.value.faults)
    return caught.value.faults


def test_the_least() -> None:
    """A project and a bucket are enough; Slack, the tasks topic and the emulators are off."""
    assert Settings.from_env(LEAST) == Settings(
        project="acme-ml-watchdog", state_bucket="acme-ml-watchdog-state", policy=DEFAULT_POLICY, tasks_topic=None, mode=None, slack_token=None,
        slack_signing_secret=None, slack_api_url="https://slack.com/api/", run_host=None, budgets_host=None, service="",
        time_budget=timedelta(seconds=240),
    )  # fmt: skip
    assert Settings.from_env(LEAST).secrets == ()


def test_everything() -> None:
    """Each variable goes where it belongs; others are of no interest."""
    settings = Settings.from_env(
        {
            **LEAST,
            "GOOGLE_CLOUD_PROJECT": "example.com:acme-ml",
            "WATCHDOG_POLICY": "gs://acme-ml-watchdog/policies/ml.yaml",
            "WATCHDOG_TASKS_TOPIC": "projects/acme-ml-watchdog/topics/cost-watchdog-tasks",
            "WATCHDOG_MODE": "observe",
            "WATCHDOG_TIME_BUDGET": "9m",
            "SLACK_BOT_TOKEN": "xoxb-canary-token",
            "SLACK_SIGNING_SECRET": "canary-secret",
            "SLACK_API_URL": "http://127.0.0.1:8080/api",
            "SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/T1/B1/canary",
            "CLOUD_RUN_EMULATOR_HOST": "127.0.0.1:9000",
            "BILLING_BUDGETS_EMULATOR_HOST": "localhost:9001",
            "K_SERVICE": "cost-watchdog-budget-alert",
            "PATH": "/bin",
        }
    )
    assert settings == Settings(
        project="example.com:acme-ml", state_bucket="acme-ml-watchdog-state", policy="gs://acme-ml-watchdog/policies/ml.yaml",
        tasks_topic="projects/acme-ml-watchdog/topics/cost-watchdog-tasks", mode="observe", slack_token="xoxb-canary-token",
        slack_signing_secret="canary-secret", slack_api_url="http://127.0.0.1:8080/api/", slack_webhook="https://hooks.slack.com/services/T1/B1/canary", run_host="127.0.0.1:9000", budgets_host="localhost:9001",
        plain_storage=PlainStorage(), service="cost-watchdog-budget-alert", time_budget=timedelta(minutes=9),
    )  # fmt: skip
    assert settings.secrets == ("xoxb-canary-token", "canary-secret", "https://hooks.slack.com/services/T1/B1/canary")
    assert "canary" not in repr(settings)


def test_blanks_do_not_count() -> None:
    """An empty variable is an unset one, and a newline at the end of a secret is not part of it."""
    blank = dict.fromkeys(("WATCHDOG_POLICY", "WATCHDOG_MODE", "SLACK_API_URL", "SLACK_BOT_TOKEN", "K_SERVICE"), " ")
    assert Settings.from_env({**LEAST, **blank}) == Settings.from_env(LEAST)
    assert Settings.from_env({**LEAST, "SLACK_BOT_TOKEN": "xoxb-1\n"}).slack_token == "xoxb-1"


def test_what_is_missing() -> None:
    """Both that are needed are named, with an example each."""
    assert faults({}) == (
        "GOOGLE_CLOUD_PROJECT is not set: set it to the watchdog's own project id, for example GOOGLE_CLOUD_PROJECT=acme-ml-watchdog",
        (
            "WATCHDOG_STATE_BUCKET is not set: set it to the name of the journal's bucket, without gs://, "
            "for example WATCHDOG_STATE_BUCKET=acme-ml-watchdog-state"
        ),
    )


def test_every_fault_at_once() -> None:
    """All faults come in one error, in the order of the settings, each with what was found; a secret is never shown."""
    found = faults(
        {
            "GOOGLE_CLOUD_PROJECT": "123",
            "WATCHDOG_STATE_BUCKET": "gs://state",
            "WATCHDOG_POLICY": "gs://state",
            "WATCHDOG_TASKS_TOPIC": "tasks",
            "WATCHDOG_MODE": "Enforce",
            "SLACK_BOT_TOKEN": "canary token",
            "SLACK_SIGNING_SECRET": "canäry",
            "SLACK_API_URL": "slack.com/api",
            "SLACK_WEBHOOK_URL": "hooks.slack.com/canary",
            "CLOUD_RUN_EMULATOR_HOST": "http://localhost:9000",
            "BILLING_BUDGETS_EMULATOR_HOST": "localhost",
            "WATCHDOG_TIME_BUDGET": "4 minutes",
        }
    )
    assert [fault.split()[0] for fault in found] == [
        "GOOGLE_CLOUD_PROJECT", "WATCHDOG_STATE_BUCKET", "WATCHDOG_POLICY", "WATCHDOG_TASKS_TOPIC", "WATCHDOG_MODE", "SLACK_BOT_TOKEN",
        "SLACK_SIGNING_SECRET", "SLACK_API_URL", "SLACK_WEBHOOK_URL", "CLOUD_RUN_EMULATOR_HOST", "BILLING_BUDGETS_EMULATOR_HOST", "WATCHDOG_TIME_BUDGET",
    ]  # fmt: skip
    assert found[4] == "WATCHDOG_MODE is 'Enforce' and must be observe or enforce, for example WATCHDOG_MODE=observe"
    assert found[11] == "WATCHDOG_TIME_BUDGET is '4 minutes' and must be a number and s, m, h or d, for example WATCHDOG_TIME_BUDGET=240s"
    assert not [fault for fault in found if "can" in fault and ("canary" in fault or "canäry" in fault)]


@pytest.mark.parametrize(
    ("text", "budget"),
    [("1s", timedelta(seconds=1)), ("540s", timedelta(seconds=540)), ("5m", timedelta(minutes=5)), ("1h", timedelta(hours=1))],
)
def test_time_budgets(text: str, budget: timedelta) -> None:
    """A number and a unit."""
    assert Settings.from_env({**LEAST, "WATCHDOG_TIME_BUDGET": text}).time_budget == budget


@pytest.mark.parametrize("text", ["0s", "61m", "1d", "999999d"])
def test_time_budgets_that_make_no_sense(text: str) -> None:
    """No invocation lives for no time, or for more than an hour."""
    (fault,) = faults({**LEAST, "WATCHDOG_TIME_BUDGET": text})
    assert fault == f"WATCHDOG_TIME_BUDGET is {text!r} and must lie between 1s and 1h, for example WATCHDOG_TIME_BUDGET=240s"


@pytest.mark.parametrize("policy", ["policy.yaml", "/etc/watchdog/policy.yaml", "gs://acme_ml.state/a b/ö.yaml"])
def test_policies(policy: str) -> None:
    """Any path and any object."""
    assert Settings.from_env({**LEAST, "WATCHDOG_POLICY": policy}).policy == policy


def test_settings_can_be_a_key() -> None:
    """They are a value: equal ones hash alike."""
    assert hash(Settings.from_env(LEAST)) == hash(Settings.from_env({**LEAST, "HOME": "/"}))


@pytest.mark.parametrize(
    ("environ", "place"),
    [
        ({}, None),
        ({"K_SERVICE": "f"}, PlainStorage("https://storage.googleapis.com", "metadata.google.internal")),
        ({"K_SERVICE": "f", "STORAGE_EMULATOR_HOST": "http://127.0.0.1:9023"}, PlainStorage("http://127.0.0.1:9023", "")),
        ({"STORAGE_EMULATOR_HOST": "127.0.0.1:9023"}, PlainStorage("http://127.0.0.1:9023", "")),
        ({"K_SERVICE": "f", "GOOGLE_APPLICATION_CREDENTIALS": "key.json"}, None),
        ({"K_SERVICE": "f", "GOOGLE_CLOUD_UNIVERSE_DOMAIN": "example.com"}, None),
        ({"K_SERVICE": "f", "GCE_METADATA_HOST": "127.0.0.1:1"}, None),
        ({"K_SERVICE": "f", "API_ENDPOINT_OVERRIDE": "https://storage.example.com"}, None),
        ({"K_SERVICE": "f", "HTTPS_PROXY": "http://proxy.example.com"}, None),
        ({"K_SERVICE": "f", "https_proxy": "http://proxy.example.com"}, None),
        ({"K_SERVICE": "f", "ALL_PROXY": "http://proxy.example.com"}, None),
    ],
)
def test_where_cloud_storage_can_be_asked_plainly(environ: dict[str, str], place: PlainStorage | None) -> None:
    """In Cloud Run and of an emulator; where Google's client would sign in otherwise or ask elsewhere, it is left to that."""
    assert Settings.from_env({**LEAST, **environ}).plain_storage == place
