"""Settings in, a watchdog out: what refuses to start, what is made once a process, and when the policy is read again."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from functions import logs, policy_in_force, wiring
from shared.cloud.state_bucket import GcsStateBucket
from shared.errors import SettingsError, Unavailable
from shared.settings import Settings

GS = "gs://acme-ml-watchdog/policy.yaml"
STATE = "acme-ml-watchdog-state"
ENVIRONMENT = {"GOOGLE_CLOUD_PROJECT": "acme-ml-watchdog", "WATCHDOG_STATE_BUCKET": STATE}
OPTIONAL = (
    "WATCHDOG_POLICY",
    "WATCHDOG_TASKS_TOPIC",
    "WATCHDOG_MODE",
    "WATCHDOG_TIME_BUDGET",
    "SLACK_BOT_TOKEN",
    "SLACK_WEBHOOK_URL",
    "K_SERVICE",
    "FUNCTION_TARGET",
)


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process that has read nothing yet, with the least that has to be set."""
    for name in OPTIONAL:
        monkeypatch.delenv(name, raising=False)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    _forget()
    root = logging.getLogger()
    handlers, levels = list(root.handlers), {name: logging.getLogger(name).level for name in ("", *logs._NOISY)}
    yield
    root.handlers[:] = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    _forget()


def _forget() -> None:
    wiring.settings.cache_clear()
    wiring._world.cache_clear()
    policy_in_force._read.clear()
    policy_in_force._failed.clear()


class Source:
    """Where the policy's text comes from, and a clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.texts: list[str | Exception] = []
        self.reads = 0
        self.now = 1000.0
        monkeypatch.setattr(policy_in_force, "fetch_policy_text", self._fetch)
        monkeypatch.setattr(policy_in_force, "time", SimpleNamespace(monotonic=lambda: self.now))

    def _fetch(self, settings: Settings) -> tuple[str, str]:
        self.reads += 1
        text = self.texts[0] if len(self.texts) == 1 else self.texts.pop(0)
        if isinstance(text, Exception):
            raise text
        return text, settings.policy


def test_a_start_with_the_shipped_policy(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing but the two settings is needed, and from then on the log is JSON."""
    wiring.start()
    logging.getLogger("shared").info("begun")
    assert json.loads(capsys.readouterr().out)["message"] == "begun"


def test_the_ports_are_made_once_however_many_threads_ask_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first requests of a process come side by side; they share one set of clients, also while the policy is being read."""
    made, begun, go_on = [], threading.Event(), threading.Event()

    def slow(bucket: str) -> GcsStateBucket:
        made.append(bucket)
        begun.set()
        assert go_on.wait(10)
        return GcsStateBucket(bucket)

    monkeypatch.setattr("shared.cloud.state_bucket.GcsStateBucket", slow)
    with ThreadPoolExecutor(4) as functions:
        waiting = [functions.submit(wiring.watchdog) for _ in range(4)]
        assert begun.wait(10)
        assert policy_in_force.policy(wiring.settings()).version == 1
        go_on.set()
        worlds = {id(each.result(10).world) for each in waiting}
    assert (len(worlds), len(made)) == (1, 1)


def test_settings_that_are_missing_refuse_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them are named at once."""
    for name in ENVIRONMENT:
        monkeypatch.delenv(name)
    with pytest.raises(SettingsError) as refused:
        wiring.start()
    assert [fault.split()[0] for fault in refused.value.faults] == list(ENVIRONMENT)


def test_a_policy_on_disk_with_faults_refuses_to_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every fault is named with its line."""
    file = tmp_path / "policy.yaml"
    file.write_text("version: 1\nmode: enforced\nscop: {}\n", encoding="utf-8")
    monkeypatch.setenv("WATCHDOG_POLICY", str(file))
    with pytest.raises(SettingsError) as refused:
        wiring.start()
    assert [fault.split(":")[1] for fault in refused.value.faults] == ["2", "3"]


def test_a_policy_in_a_bucket_is_read_when_it_is_first_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A start waits for no other service, and a bucket that is away for a moment does not keep the function from starting."""
    monkeypatch.setenv("WATCHDOG_POLICY", GS)
    source = Source(monkeypatch)
    source.texts = ["version: 1"]
    wiring.start()
    assert source.reads == 0
    assert wiring.watchdog().policy.mode == "observe"
    assert source.reads == 1


def test_a_policy_in_a_bucket_is_read_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within that while every invocation uses the one that was read."""
    monkeypatch.setenv("WATCHDOG_POLICY", GS)
    source = Source(monkeypatch)
    source.texts = ["version: 1", "{version: 1, mode: enforce}"]
    assert [wiring.watchdog().policy.mode for _ in range(3)] == ["observe"] * 3
    source.now += policy_in_force.POLICY_FOR
    assert [wiring.watchdog().policy.mode for _ in range(3)] == ["enforce"] * 3
    assert source.reads == 2


def test_a_policy_on_disk_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is part of the deployment and changes with it."""
    source = Source(monkeypatch)
    source.texts = ["version: 1"]
    first = wiring.watchdog().policy
    source.now += 10 * policy_in_force.POLICY_FOR
    assert wiring.watchdog().policy is first
    assert source.reads == 1


@pytest.mark.parametrize("fault", [Unavailable("503", resource=GS), SettingsError([f"{GS}:1: mode: unknown"])])
def test_a_policy_that_becomes_unusable(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fault: Exception) -> None:
    """The last one that could be used stays in force, the log names the fault, and the policy is read again after the same while."""
    monkeypatch.setenv("WATCHDOG_POLICY", GS)
    source = Source(monkeypatch)
    source.texts = ["version: 1", fault, "{version: 1, mode: enforce}"]
    modes = []
    for _ in range(3):
        modes += [wiring.watchdog().policy.mode, wiring.watchdog().policy.mode]
        source.now += policy_in_force.POLICY_FOR
    assert modes == ["observe", "observe", "observe", "observe", "enforce", "enforce"]
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [
        f"the policy cannot be used any more, so the last one that could stays in force: {fault}"
    ]
    assert source.reads == 3


def test_a_policy_that_could_never_be_read_is_read_at_the_next_need(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure is not remembered."""
    monkeypatch.setenv("WATCHDOG_POLICY", GS)
    source = Source(monkeypatch)
    source.texts = [Unavailable("503", resource=GS), SettingsError([f"{GS}:1: mode: unknown"]), "version: 1"]
    with pytest.raises(Unavailable):
        wiring.watchdog()
    with pytest.raises(SettingsError):
        wiring.watchdog()
    assert wiring.watchdog().policy.version == 1


@pytest.mark.parametrize(("mode", "expected"), [("observe", "observe"), ("enforce", "enforce"), ("", "enforce")])
def test_the_setting_beats_the_mode_of_the_policy(monkeypatch: pytest.MonkeyPatch, mode: str, expected: str) -> None:
    """One setting stops all changes; where it is not set, the policy decides."""
    monkeypatch.setenv("WATCHDOG_MODE", mode)
    source = Source(monkeypatch)
    source.texts = ["{version: 1, mode: enforce}"]
    assert wiring.watchdog().policy.mode == expected


ARTIFACTS = "version: 1\nartifacts: [{bucket: abc, runs: '%s', failed_when: [failed_marker]}]"


def test_the_names_of_signs_change_with_the_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the whole policy was needed before or not."""
    monkeypatch.setenv("WATCHDOG_POLICY", GS)
    source = Source(monkeypatch)
    source.texts = [ARTIFACTS % "a/{run}/", ARTIFACTS % "b/{run}/", "version: 1", ARTIFACTS % "b/{run}/"]
    told = []
    for _ in source.texts[:]:
        told.append([bool(wiring.suspects("abc", name)) for name in ("a/r/_FAILED", "b/r/_FAILED", "a/r/model.bin")])
        source.now += policy_in_force.POLICY_FOR
    assert told == [[True, False, False], [False, True, False], [False, False, False], [False, True, False]]
    assert source.reads == 4


@pytest.fixture
def names_alone(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is noted down whenever the whole of a policy is looked at."""
    whole: list[str] = []
    made = policy_in_force._made

    def noted(read: Any, found: Settings) -> Any:
        whole.append(read.text)
        return made(read, found)

    monkeypatch.setattr(policy_in_force, "_made", noted)
    return whole


def test_a_name_that_is_no_sign_takes_no_look_at_the_whole_policy(monkeypatch: pytest.MonkeyPatch, names_alone: list[str]) -> None:
    """The first name that may be one does, and from then on the whole policy tells."""
    source = Source(monkeypatch)
    source.texts = [ARTIFACTS % "a/{run}/"]
    monkeypatch.setenv("FUNCTION_TARGET", "storage_event")
    wiring.start()
    assert [wiring.suspects(*named) for named in (("abc", "a/r/model.bin"), ("abc", "_FAILED_"), ("other", "a/r/_FAILED"))] == [()] * 3
    assert names_alone == []
    assert wiring.suspects("abc", "elsewhere/a/r/_FAILED") == ()
    assert len(wiring.suspects("abc", "a/r/_FAILED")) == 1
    assert len(names_alone) == 1


def test_faults_elsewhere_in_the_policy_keep_back_no_name_that_means_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that may mean something waits until the policy is mended, and is then seen."""
    monkeypatch.setenv("WATCHDOG_POLICY", GS)
    source = Source(monkeypatch)
    source.texts = ["mode: enforced\n" + ARTIFACTS % "a/{run}/", ARTIFACTS % "a/{run}/"]
    assert wiring.suspects("abc", "a/r/model.bin") == ()
    with pytest.raises(SettingsError, match="enforced"):
        wiring.suspects("abc", "a/r/_FAILED")
    assert len(wiring.suspects("abc", "a/r/_FAILED")) == 1
    assert source.reads == 2


@pytest.mark.parametrize(
    "unclear", ["version: 1\nartefacts: []", "version: 1\nartifacts: [{bucket: abc, failed_whem: [mlflow]}]", "version: [1"]
)
def test_a_policy_that_does_not_tell_the_names_of_signs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, unclear: str
) -> None:
    """No event is taken for nothing by it; where there was a better one, that stays in force."""
    monkeypatch.setenv("WATCHDOG_POLICY", GS)
    source = Source(monkeypatch)
    source.texts = [unclear, ARTIFACTS % "a/{run}/", unclear]
    with pytest.raises(SettingsError):
        wiring.suspects("abc", "a/r/model.bin")
    assert wiring.suspects("abc", "a/r/model.bin") == ()
    source.now += policy_in_force.POLICY_FOR
    assert wiring.suspects("abc", "a/r/model.bin") == ()
    assert "the policy cannot be used any more" in caplog.text
    assert len(wiring.suspects("abc", "a/r/_FAILED")) == 1


def test_a_policy_that_becomes_unusable_before_the_whole_of_it_was_needed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The last one that could be used stays in force, whatever the names of signs in the new one are."""
    monkeypatch.setenv("WATCHDOG_POLICY", GS)
    source = Source(monkeypatch)
    source.texts = [ARTIFACTS % "a/{run}/", "version: 1\nartifacts: [{bucket: abc, runs: 'a/{run}', failed_when: [mlflow]}]"]
    assert wiring.suspects("abc", "a/r/model.bin") == ()
    source.now += policy_in_force.POLICY_FOR
    assert len(wiring.suspects("abc", "a/r/_FAILED")) == 1
    assert "the policy cannot be used any more" in caplog.text
    assert wiring.watchdog().policy.artifacts[0].runs == "a/{run}/"


class SlowSource:
    """Where the policy's text comes from, once somebody lets it go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, text: str | Exception) -> None:
        """From now on the policy is this text, or cannot be had."""
        self.text, self.asked = text, 0
        self.begun, self.go_on = threading.Event(), threading.Event()
        monkeypatch.setattr(policy_in_force, "fetch_policy_text", self._fetch)

    def _fetch(self, settings: Settings) -> tuple[str, str]:
        self.asked += 1
        self.begun.set()
        assert self.go_on.wait(10)
        if isinstance(self.text, Exception):
            raise self.text
        return self.text, settings.policy

    def all_at_once(self, count: int) -> list[Future[tuple[Any, ...]]]:
        """So many events begin, and then it goes on: what comes of each."""
        with ThreadPoolExecutor(count) as functions:
            waiting = [functions.submit(wiring.suspects, "abc", "a/r/_FAILED") for _ in range(count)]
            assert self.begun.wait(10)
            threading.Event().wait(0.05)  # for the others to come to where they wait
            self.go_on.set()
        return waiting


def test_nobody_waits_for_a_policy_that_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """While one reads it the others go on with the one that is there."""
    monkeypatch.setenv("WATCHDOG_POLICY", GS)
    source = Source(monkeypatch)
    source.texts = [ARTIFACTS % "a/{run}/"]
    assert wiring.watchdog().policy.version == 1
    source.now += policy_in_force.POLICY_FOR
    slow = SlowSource(monkeypatch, ARTIFACTS % "b/{run}/")
    with ThreadPoolExecutor(1) as functions:
        reading = functions.submit(wiring.suspects, "abc", "b/r/_FAILED")
        assert slow.begun.wait(10)
        assert len(wiring.suspects("abc", "a/r/_FAILED")) == 1
        slow.go_on.set()
        assert len(reading.result(10)) == 1


def test_those_who_waited_for_a_policy_that_could_not_be_read_do_not_ask_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are told what it was; whoever comes later asks anew."""
    monkeypatch.setenv("WATCHDOG_POLICY", GS)
    slow = SlowSource(monkeypatch, Unavailable("503", resource=GS))
    assert [type(each.exception(10)) for each in slow.all_at_once(4)] == [Unavailable] * 4
    assert slow.asked == 1
    with pytest.raises(Unavailable):
        wiring.suspects("abc", "x")
    assert slow.asked == 2


def test_all_that_wait_for_the_first_policy_have_it_from_one_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first events of a process come side by side."""
    monkeypatch.setenv("WATCHDOG_POLICY", GS)
    slow = SlowSource(monkeypatch, ARTIFACTS % "a/{run}/")
    assert [len(each.result(10)) for each in slow.all_at_once(4)] == [1] * 4
    assert slow.asked == 1


@pytest.mark.parametrize(("older", "usable"), [(ARTIFACTS % "a/{run}/", True), ("mode: x\n" + ARTIFACTS % "a/{run}/", False)])
def test_an_event_that_began_with_an_older_policy_ends_with_it(monkeypatch: pytest.MonkeyPatch, older: str, usable: bool) -> None:
    """The newer one that another event has read meanwhile stays in force."""
    monkeypatch.setenv("WATCHDOG_POLICY", GS)
    source, found = Source(monkeypatch), wiring.settings()
    source.texts = [older, ARTIFACTS % "b/{run}/"]
    began_with = policy_in_force._current(found)
    source.now += policy_in_force.POLICY_FOR
    assert len(wiring.suspects("abc", "b/r/_FAILED")) == 1
    if usable:
        assert policy_in_force._checked(found, began_with)[0].artifacts[0].runs == "a/{run}/"
    else:
        with pytest.raises(SettingsError):
            policy_in_force._checked(found, began_with)
    assert policy_in_force.policy(found).artifacts[0].runs == "b/{run}/"
    assert source.reads == 2


def test_storage_events_are_not_begun_with_a_policy_on_disk_that_does_not_tell_the_names_of_signs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What is wrong is said as everywhere else."""
    file = tmp_path / "policy.yaml"
    file.write_text("version: 1\nartefacts: []\n")
    monkeypatch.setenv("WATCHDOG_POLICY", str(file))
    monkeypatch.setenv("FUNCTION_TARGET", "storage_event")
    with pytest.raises(SettingsError, match="artefacts: unknown key"):
        wiring.start()


def test_the_state_bucket_cannot_be_watched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The rule is named, and what to do; every such rule is."""
    file = tmp_path / "policy.yaml"
    rules = [
        f"- {{bucket: {bucket}, runs: '{number}/{{run}}/', failed_when: [mlflow]}}" for number, bucket in enumerate(("abc", STATE, STATE))
    ]
    file.write_text("\n".join(["version: 1", "artifacts:", *rules]))
    monkeypatch.setenv("WATCHDOG_POLICY", str(file))
    with pytest.raises(SettingsError) as refused:
        wiring.start()
    assert [fault.split(" is ")[0] for fault in refused.value.faults] == [
        f"{file}: artifacts[{number}].bucket: {STATE}" for number in (1, 2)
    ]
    assert "the state bucket can't be watched" in refused.value.faults[0]
    assert "keep the runs in another bucket, or give the watchdog one of its own" in refused.value.faults[0]


def test_the_world_is_made_once_a_process() -> None:
    """Its clients and the quota are shared by all invocations; a watchdog is each one's own."""
    first, second = wiring.watchdog(), wiring.watchdog()
    assert first.world is second.world
    assert first.pacer is second.pacer
    assert first.owner != second.owner


def test_without_slack_and_a_tasks_topic() -> None:
    """Messages go to the log, and the tick alone carries on."""
    world = wiring.watchdog().world
    assert (world.messenger, world.tasks) == (None, None)
    assert set(world.fleets) == {"bucket", "service", "worker_pool"}


def test_with_a_webhook_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages are plain; with a token it is not used."""
    monkeypatch.setenv("SLACK_WEBHOOK_URL", "https://hooks.slack.com/services/T1/B1/x")
    messenger = wiring.watchdog().world.messenger
    assert messenger
    assert not messenger.talks_back


def test_with_everything_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every setting arrives where it is used, and nothing is connected yet."""
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-canary")
    monkeypatch.setenv("WATCHDOG_TASKS_TOPIC", "projects/acme-ml-watchdog/topics/cost-watchdog-tasks")
    monkeypatch.setenv("WATCHDOG_TIME_BUDGET", "90s")
    monkeypatch.setenv("K_SERVICE", "cost-watchdog-budget-alert")
    watchdog = wiring.watchdog()
    assert watchdog.world.messenger is not None
    assert watchdog.world.tasks is not None
    assert (watchdog.project, watchdog.service) == ("acme-ml-watchdog", "cost-watchdog-budget-alert")
    assert watchdog.time_budget.total_seconds() == 90
