"""What the environment says: the only place that reads it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Literal, cast

from shared.errors import SettingsError

Mode = Literal["observe", "enforce"]

DEFAULT_POLICY = str(Path(__file__).resolve().parent.parent / "policy.yaml")
DEFAULT_SLACK_API_URL = "https://slack.com/api/"
DEFAULT_TIME_BUDGET = timedelta(seconds=240)
LONGEST_TIME_BUDGET = timedelta(hours=1)

# https://cloud.google.com/resource-manager/docs/creating-managing-projects#before_you_begin, with the prefix of older, domain-scoped ones.
_PROJECT = r"([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]"
# https://cloud.google.com/storage/docs/buckets#naming
_BUCKET = r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]"
_TOPIC = rf"projects/{_PROJECT}/topics/[A-Za-z][A-Za-z0-9._~+%-]{{2,254}}"
_POLICY = rf"gs://{_BUCKET}/.+|(?!gs://).+"
_HOST_AND_PORT = r"[^/\s:]+:\d{1,5}"
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


# With any of these Google's client would sign in as somebody else, ask another server, or take another way to it.
_ELSEWHERE = (
    "GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_UNIVERSE_DOMAIN", "GCE_METADATA_HOST", "GCE_METADATA_ROOT", "GCE_METADATA_IP", "API_ENDPOINT_OVERRIDE",
    "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PlainStorage:
    """Where Cloud Storage can be asked without Google's client.

    Attributes:
        server: Its address.
        metadata: The host of the metadata server that gives the service account's token:
            https://docs.cloud.google.com/run/docs/container-contract#metadata-server; empty where none is needed.
    """

    server: str = "https://storage.googleapis.com"
    metadata: str = "metadata.google.internal"

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> PlainStorage | None:
        """An emulator, or Cloud Storage from within Cloud Run; None where only the client knows."""
        emulator = environ.get("STORAGE_EMULATOR_HOST", "").strip()
        if emulator:
            return cls(emulator if "://" in emulator else f"http://{emulator}", "")
        return cls() if environ.get("K_SERVICE", "").strip() and not any(map(environ.get, _ELSEWHERE)) else None


@dataclass(frozen=True, slots=True)
class Settings:
    """The environment, checked. ``STORAGE_EMULATOR_HOST`` and ``PUBSUB_EMULATOR_HOST`` are read by Google's clients themselves.

    Attributes:
        project: The watchdog's own project (``GOOGLE_CLOUD_PROJECT``).
        state_bucket: The journal's bucket (``WATCHDOG_STATE_BUCKET``); empty only where an audit is made before there is a watchdog.
        policy: A path or ``gs://bucket/object`` (``WATCHDOG_POLICY``).
        tasks_topic: ``projects/P/topics/T`` (``WATCHDOG_TASKS_TOPIC``); None where there is none.
        mode: Overrides the policy's mode (``WATCHDOG_MODE``); None leaves it to the policy.
        slack_token: The bot token (``SLACK_BOT_TOKEN``); None where Slack is off.
        slack_signing_secret: What Slack signs its calls with (``SLACK_SIGNING_SECRET``); None where Slack's calls are refused.
        slack_api_url: With a slash at the end (``SLACK_API_URL``).
        run_host: ``host:port`` of a plaintext Cloud Run Admin API (``CLOUD_RUN_EMULATOR_HOST``); None in production.
        budgets_host: The same for the Budget API (``BILLING_BUDGETS_EMULATOR_HOST``).
        billing_host: The same for the Cloud Billing API (``CLOUD_BILLING_EMULATOR_HOST``).
        monitoring_host: The same for Cloud Monitoring (``CLOUD_MONITORING_EMULATOR_HOST``).
        projects_host: The same for the Resource Manager (``CLOUD_RESOURCE_MANAGER_EMULATOR_HOST``).
        plain_storage: Where Cloud Storage can be asked without Google's client; None where only that knows.
        service: The Cloud Run service that this process runs in (``K_SERVICE``); empty on a terminal.
        time_budget: How long one invocation may work (``WATCHDOG_TIME_BUDGET``); what is left goes on in the next.
    """

    project: str
    state_bucket: str
    policy: str = DEFAULT_POLICY
    tasks_topic: str | None = None
    mode: Mode | None = None
    slack_token: str | None = field(default=None, repr=False)
    slack_signing_secret: str | None = field(default=None, repr=False)
    slack_api_url: str = DEFAULT_SLACK_API_URL
    slack_webhook: str | None = field(default=None, repr=False)
    run_host: str | None = None
    budgets_host: str | None = None
    billing_host: str | None = None
    monitoring_host: str | None = None
    projects_host: str | None = None
    plain_storage: PlainStorage | None = None
    service: str = ""
    time_budget: timedelta = DEFAULT_TIME_BUDGET

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not stand in any log."""
        return tuple(secret for secret in (self.slack_token, self.slack_signing_secret, self.slack_webhook) if secret)

    @classmethod
    def from_env(cls, environ: Mapping[str, str], *, deployed: bool = True) -> Settings:
        """Read and check the environment; a variable that is empty counts as unset.

        Args:
            environ: The environment.
            deployed: Whether there has to be a journal; without one only an audit can be made.

        Raises:
            SettingsError: Naming every variable that is missing or cannot be used.
        """
        read = _Reader(environ)
        settings = cls(
            project=read.required("GOOGLE_CLOUD_PROJECT", _PROJECT, "the watchdog's own project id", "acme-ml-watchdog"),
            state_bucket=read.required(
                "WATCHDOG_STATE_BUCKET",
                _BUCKET,
                "the name of the journal's bucket, without gs://",
                "acme-ml-watchdog-state",
                missing=not deployed,
            ),
            policy=read.text("WATCHDOG_POLICY", _POLICY, "a path or gs://bucket/object", "gs://acme-ml-watchdog/policy.yaml")
            or DEFAULT_POLICY,
            tasks_topic=read.text(
                "WATCHDOG_TASKS_TOPIC", _TOPIC, "the full name of a topic", "projects/acme-ml-watchdog/topics/cost-watchdog-tasks"
            ),
            mode=cast("Mode | None", read.text("WATCHDOG_MODE", "observe|enforce", "observe or enforce", "observe")),
            slack_token=read.secret("SLACK_BOT_TOKEN"),
            slack_signing_secret=read.secret("SLACK_SIGNING_SECRET"),
            slack_api_url=read.url("SLACK_API_URL") or DEFAULT_SLACK_API_URL,
            slack_webhook=read.webhook("SLACK_WEBHOOK_URL"),
            run_host=read.host("CLOUD_RUN_EMULATOR_HOST"),
            budgets_host=read.host("BILLING_BUDGETS_EMULATOR_HOST"),
            billing_host=read.host("CLOUD_BILLING_EMULATOR_HOST"),
            monitoring_host=read.host("CLOUD_MONITORING_EMULATOR_HOST"),
            projects_host=read.host("CLOUD_RESOURCE_MANAGER_EMULATOR_HOST"),
            plain_storage=PlainStorage.from_env(environ),
            service=read.raw("K_SERVICE"),
            time_budget=read.duration("WATCHDOG_TIME_BUDGET") or DEFAULT_TIME_BUDGET,
        )
        if read.faults:
            raise SettingsError(read.faults)
        return settings


class _Reader:
    """Takes variables out of an environment and gathers what is wrong with them."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.faults: list[str] = []

    def raw(self, name: str) -> str:
        return self._environ.get(name, "").strip()

    def text(self, name: str, pattern: str, what: str, example: str) -> str | None:
        found = self.raw(name)
        if not found:
            return None
        if not re.fullmatch(pattern, found):
            self.faults.append(f"{name} is {found!r} and must be {what}, for example {name}={example}")
        return found

    def required(self, name: str, pattern: str, what: str, example: str, *, missing: bool = False) -> str:
        found = self.text(name, pattern, what, example)
        if found is None and not missing:
            self.faults.append(f"{name} is not set: set it to {what}, for example {name}={example}")
        return found or ""

    def host(self, name: str) -> str | None:
        return self.text(name, _HOST_AND_PORT, "host:port of a plaintext gRPC server", "127.0.0.1:8085")

    def url(self, name: str) -> str | None:
        found = self.text(name, r"https?://\S+", "an http:// or https:// address", DEFAULT_SLACK_API_URL)
        return f"{found.rstrip('/')}/" if found else None

    def webhook(self, name: str) -> str | None:
        found = self.raw(name)
        if found and not re.fullmatch(r"https?://[!-~]+", found):  # the address is a secret, so it is not shown
            self.faults.append(f"{name} is not an http:// or https:// address: copy it anew from the app's page, under Incoming Webhooks")
        return found or None

    def secret(self, name: str) -> str | None:
        found = self.raw(name)
        if found and not re.fullmatch("[!-~]+", found):
            self.faults.append(
                f"{name} holds blanks or characters that are not ASCII, which no secret of Slack's does: copy it anew from the app's page"
            )
        return found or None

    def duration(self, name: str) -> timedelta | None:
        found = self.text(name, r"\d{1,6}[smhd]", "a number and s, m, h or d", "240s")
        match = re.fullmatch(r"(\d{1,6})([smhd])", found or "")
        if not match:
            return None
        length = timedelta(**{_UNITS[match[2]]: int(match[1])})
        if not timedelta() < length <= LONGEST_TIME_BUDGET:
            self.faults.append(f"{name} is {found!r} and must lie between 1s and 1h, for example {name}=240s")
        return length
