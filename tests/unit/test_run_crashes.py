"""A worker dies before or after any single call, from the sign of a failed run to the day when it is put back: nothing is lost, doubled or forgotten."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest

from tests.stage import Crash
from tests.yard import Yard, the_policy

LOG = "runs/run-1/logs/train.log"
NEIGHBOUR = "runs/run-10/model.bin"


def a_yard(portion: int) -> Yard:
    """A run that fails, beside one whose name begins the same."""
    yard = Yard(the_policy(), portion=portion)
    yard.run(objects=5)
    yard.put(NEIGHBOUR, b"x")
    return yard


def calls(yard: Yard, story: Callable[[Yard], object]) -> int:
    """How many calls a story makes when nothing goes wrong."""
    made: list[str] = []
    yard.hooks.before = made.append
    story(yard)
    yard.heal()
    return len(made)


def struck(yard: Yard, story: Callable[[Yard], object], number: int, side: str) -> None:
    """The story, in which the worker dies at this call."""
    yard.strike("*", Crash, number=number, side=side)
    with contextlib.suppress(Crash):
        story(yard)
    yard.heal()


def deletion(yard: Yard) -> None:
    """The run fails, is announced and goes; the event and the ticks come again whatever happens."""
    yard.fail()
    yard.tick()
    yard.hours(24)
    yard.tick(2)
    yard.drive()


def mended(yard: Yard) -> None:
    """Storage delivers the event again, and time passes."""
    yard.notice("runs/run-1/_FAILED") if "runs/run-1/_FAILED" in yard.names() else None
    for _ in range(3):
        yard.tick(2)
        yard.drive()
    yard.hours(24)
    for _ in range(3):
        yard.tick(2)
        yard.drive()


@pytest.mark.parametrize("portion", [10_000, 2])
@pytest.mark.parametrize("side", ["before", "after"])
def test_a_crash_at_any_call_of_a_deletion(portion: int, side: str) -> None:
    """Whoever goes on deletes the rest: each object once, all of them on record, and people are told of both."""
    for number in range(1, calls(a_yard(portion), deletion) + 1):
        yard = a_yard(portion)
        struck(yard, deletion, number, side)
        if not any(name.startswith("runs/run-1/_FAILED") for name in yard.names()) and not yard.objects.deleted:
            yard.fail()
        mended(yard)
        told = [post.split("\n")[0] for post in yard.posts]
        gone = [(change.name, change.generation) for change in yard.objects.deleted]
        assert yard.names() == [LOG, NEIGHBOUR], (number, told)
        assert len(set(gone)) == len(gone) == 6
        assert {name for name, _ in gone} <= {name for manifest in yard.manifests() for name in manifest}
        assert (yard.job().stage, len(told)) == ("done", 2), (number, told)
        assert told[0].startswith("Run run-1 failed: will delete 6 objects")
        assert told[1].startswith("Run run-1: deleted 6 objects")


def undoing(yard: Yard) -> None:
    """A person has the run put back."""
    yard.ann().restore_entry(yard.key())


@pytest.mark.parametrize("portion", [10_000, 2])
@pytest.mark.parametrize("side", ["before", "after"])
def test_a_crash_at_any_call_of_an_undo(portion: int, side: str) -> None:
    """Asked again, or by the tick alone where the request is on record, everything comes back as it was, and is told once."""

    def deleted() -> Yard:
        yard = a_yard(portion)
        deletion(yard)
        assert yard.names() == [LOG, NEIGHBOUR]
        return yard

    before = {name: stored[1:] for name, stored in a_yard(portion).objects.contents("acme-ml-runs").items()}
    for number in range(1, calls(deleted(), undoing) + 1):
        yard = deleted()
        struck(yard, undoing, number, side)
        for _ in range(3):
            yard.tick(2)
        if yard.job().stage == "done":
            undoing(yard)
        for _ in range(3):
            yard.tick(2)
        back = {name: stored[1:] for name, stored in yard.objects.contents("acme-ml-runs").items() if name != "runs/run-1/_FAILED"}
        assert back == before, number
        assert yard.job().stage == "undone"
        assert sum("put back" in post.split("\n")[0] for post in yard.posts) == 1, number
