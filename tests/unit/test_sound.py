"""Objects of the journal that have the right shape and cannot be: they are refused like those that cannot be read at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from shared.errors import JournalError
from tests.cloud_events import EMBEDDER, a_stage
from tests.stage import Stage


@pytest.fixture
def stage() -> Stage:
    """Something is parked, something waits, and somebody asked for something."""
    stage = a_stage()
    stage.send(130)
    return stage


def tampered(stage: Stage, folder: str, change: Callable[[dict[str, Any]], object]) -> str:
    """Change the only object of a folder, and give its name."""
    (name,) = [name for name in stage.bucket.objects if name.startswith(folder)]
    data, generation, metadata = stage.bucket.objects[name]
    record = json.loads(data)
    change(record)
    stage.bucket.objects[name] = (json.dumps(record).encode(), generation, metadata)
    return name


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda entry: entry.update(key="budget-another"), "is the entry 'budget-another' under another name"),
        (lambda entry: entry["steps"][0]["uses"][0].update(action="delete_all"), "names an action 'delete_all', which this version does not have"),
        (lambda entry: entry["targets"][0]["use"].update(params={"to": "stopped"}), r"has parameters that scale_to_zero does not take \(Field required\)"),
        (lambda entry: entry["targets"][0]["before"].pop("maximum"), f"says of '{EMBEDDER}' what no service is like"),
        (lambda entry: entry["targets"][0]["wanted"].update(minimum="0"), f"says of '{EMBEDDER}' what no service is like"),
        (lambda entry: entry["targets"][0].update(wrote={}), "what no service is like"),
        (lambda entry: entry["targets"][0].update(resource="embedder"), "names a resource 'embedder', which is no full name"),
        (lambda entry: entry.update(created="0001-01-01T00:00:00+23:59"), "names a time at the edge of the calendar and is left alone"),
        (lambda entry: entry.update(created="2026-11-20T12:00:00"), r"cannot be read \(created: Input should have timezone info\)"),
        (lambda entry: entry["notification"].update(sent_at="2026-11-20T12:00:00"), "a time names no time zone"),
    ],
)  # fmt: skip
def test_an_entry_that_cannot_be(stage: Stage, change: Callable[[dict[str, Any]], object], said: str) -> None:
    """It is left alone with a sentence, told once, and stops no tick."""
    before = stage.written()
    name = tampered(stage, "entries/", change)
    key = name.removeprefix("entries/").removesuffix(".json")
    with pytest.raises(JournalError, match=said):
        stage.journal.load(key)
    data = stage.bucket.objects[name][0]
    for _ in range(3):
        stage.tick(20)
    assert sum(name in text for text in stage.posts) == 1
    assert (stage.bucket.objects[name][0], stage.written()) == (data, before)


def test_an_entry_is_found_under_its_name(stage: Stage) -> None:
    """What was written by the watchdog itself is sound, open or closed."""
    (entry,) = stage.open()
    assert stage.journal.load(entry.key)
    stage.ann().cancel(entry.key)
    stage.ann().restore_all()
    stage.settle()
    assert stage.journal.load_closed(entry.key)


def test_a_request_or_a_thread_under_another_name(stage: Stage) -> None:
    """A copy of what somebody else asked for is not answered under a new name, which would do it twice."""
    asked = stage.ask(kind="command", what="status")
    name = tampered(stage, "requests/", lambda request: request.update(key="request-2"))
    with pytest.raises(JournalError, match="is the request 'request-2' under another name"):
        stage.desk().answer(asked.key)
    assert stage.messenger.answers == []
    assert name in stage.bucket.objects
    thread = tampered(stage, "threads/", lambda found: found.update(name="A/b/20261101")).removeprefix("threads/").removesuffix(".json")
    with pytest.raises(JournalError, match="is the thread 'A/b/20261101' under another name"):
        stage.journal.thread(thread)
