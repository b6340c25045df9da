"""The tasks topic: the same rules in memory and over the wire, and what only the wire can do to it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sandbox.faults import Fault
from shared.cloud.tasks import PubSubTasks
from shared.errors import CloudError, Denied, Refused, Unavailable
from tests.contract.stand_ins import TASKS_TOPIC, Topics
from tests.doubles import MemoryTasks


def asked(topics: Topics) -> list[str]:
    """The entries that the topic's messages ask for."""
    messages = [json.loads(message.data) for message in topics.model.messages(TASKS_TOPIC)]
    assert all(message == {"task": "resume", "entry": message["entry"]} for message in messages)
    return [message["entry"] for message in messages]


def test_each_request_is_one_message(pubsub: Topics) -> None:
    """What is asked in memory is what arrives over the wire, at once and in one call each."""
    memory, wire = MemoryTasks(), PubSubTasks(TASKS_TOPIC)
    for tasks in (memory, wire):
        for entry in ("budget-20261101-actual-100-3f9c2a71b0", "ä/€", "budget-20261101-actual-100-3f9c2a71b0"):
            tasks.resume(entry)
    assert memory.asked == asked(pubsub) == ["budget-20261101-actual-100-3f9c2a71b0", "ä/€", "budget-20261101-actual-100-3f9c2a71b0"]
    assert pubsub.faults.calls == {"Publish": 3}


def test_a_failure_stays_a_failure(pubsub: Topics) -> None:
    """Both say that the topic does not answer; the wire after its patience."""
    pubsub.faults.inject(Fault("Publish", status="UNAVAILABLE"))
    for tasks in (MemoryTasks(down=True), PubSubTasks(TASKS_TOPIC, patience=0.1)):
        with pytest.raises(Unavailable):
            tasks.resume("entry")


@pytest.mark.parametrize("fault", [{"status": "UNAVAILABLE"}, {"status": "RESOURCE_EXHAUSTED"}, {"status": "INTERNAL"}])
def test_a_failure_that_passes_is_not_noticed(pubsub: Topics, fault: dict[str, str]) -> None:
    """The call is tried again."""
    pubsub.faults.inject(Fault("Publish", times=1, **fault))  # type: ignore[arg-type]  # the table above is right
    PubSubTasks(TASKS_TOPIC, patience=5).resume("entry")
    assert asked(pubsub) == ["entry"]


def test_a_lost_answer_asks_twice(pubsub: Topics) -> None:
    """A message that arrived without an answer is sent again, which does no harm."""
    pubsub.faults.inject(Fault("Publish", drop_answer=True, times=1))
    PubSubTasks(TASKS_TOPIC, patience=5).resume("entry")
    assert asked(pubsub) == ["entry", "entry"]


def test_a_topic_that_hangs_is_not_waited_for(pubsub: Topics) -> None:
    """The call ends in bounded time."""
    pubsub.faults.inject(Fault("Publish", delay=0.5))
    with pytest.raises(Unavailable):
        PubSubTasks(TASKS_TOPIC, patience=0.05).resume("entry")


@pytest.mark.parametrize(("status", "expected"), [("PERMISSION_DENIED", Denied), ("INVALID_ARGUMENT", Refused)])
def test_a_refusal_is_told_at_once(pubsub: Topics, status: str, expected: type[CloudError]) -> None:
    """With the topic's name, after one call."""
    pubsub.faults.inject(Fault("Publish", status=status))
    with pytest.raises(expected, match=TASKS_TOPIC):
        PubSubTasks(TASKS_TOPIC).resume("entry")
    assert pubsub.faults.calls == {"Publish": 1}


def test_a_topic_that_is_not_there(pubsub: Topics) -> None:
    """The error names the setting."""
    assert pubsub.address
    with pytest.raises(Refused, match="create it, or correct WATCHDOG_TASKS_TOPIC"):
        PubSubTasks("projects/acme-ml-watchdog/topics/other").resume("entry")


def test_threads_share_a_client(pubsub: Topics) -> None:
    """Several threads may begin at once with an adapter that is not connected yet."""
    tasks = PubSubTasks(TASKS_TOPIC)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(tasks.resume, map(str, range(16))))
    assert sorted(asked(pubsub), key=int) == [str(number) for number in range(16)]


def test_no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without an emulator the default credentials are looked for at the first call, and the error says how to get some."""
    monkeypatch.delenv("PUBSUB_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(Denied, match="gcloud auth application-default login"):
        PubSubTasks(TASKS_TOPIC).resume("entry")
