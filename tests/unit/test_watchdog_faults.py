"""What is out of order around the watchdog: Slack, the journal, its neighbours. None of it hides anything else, and each is told once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared.errors import EventRejected, JournalError, Unavailable
from shared.watchdog import Watchdog
from tests.doubles import scaling
from tests.stage import HERE, IDLE_80, NOTIFY_50, STOPPED, THERE, Crash, Stage, a_notification, a_policy, full_name

RANKER, GATEWAY = full_name("ranker"), full_name("gateway", THERE)
STOPPED_100 = f"{{at: 100%, do: [{STOPPED}]}}"


def without_slack(stage: Stage) -> Watchdog:
    """A watchdog in a process that has no token."""
    watchdog = stage.watchdog()
    return replace(watchdog, world=replace(watchdog.world, messenger=None))


@pytest.fixture
def stage() -> Stage:
    """Two services in two regions, under a ladder of three steps."""
    built = Stage(a_policy(NOTIFY_50, IDLE_80, STOPPED_100))
    built.service("ranker", HERE)
    built.service("gateway", THERE)
    return built


def entries(stage: Stage) -> list[str]:
    """The names of the open entries' objects."""
    return [name for name in sorted(stage.bucket.objects) if name.startswith("entries/")]


def damaged(stage: Stage, name: str) -> bytes:
    """Cut the object short, as a hand that slips does, and return what is left of it."""
    data, generation, metadata = stage.bucket.objects[name]
    stage.bucket.objects[name] = (data[:-20], generation, metadata)
    return data[:-20]


# Slack


def test_an_outage_of_slack_delays_the_message_and_repeats_nothing(stage: Stage) -> None:
    """Parked at once; told when Slack is back, once; and the messages that come meanwhile do not write it anew."""
    stage.messenger.down = True
    stage.send(85)
    assert sorted(stage.written()) == ["gateway", "ranker"]
    for _ in range(3):
        stage.tick(10)
        stage.send(86)
    assert stage.posts == []
    stage.messenger.down = False
    stage.settle()
    assert len(stage.posts) == 1
    assert "passed 80 %" in stage.posts[0]
    assert len(stage.written()) == 2


def test_a_plan_that_is_undone_during_the_outage_is_told_from_beginning_to_end(stage: Stage) -> None:
    """Both messages wait, and arrive in their order."""
    stage.messenger.down = True
    stage.send(85)
    stage.ann().restore_all()
    assert stage.state(RANKER) == scaling(minimum=2)
    assert len(stage.open()) == 1
    stage.messenger.down = False
    stage.settle()
    assert ["passed 80 %" in stage.posts[0], "put back" in stage.posts[1], len(stage.posts)] == [True, True, 2]
    assert stage.open() == []


def test_without_slack_everything_else_goes_on(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """No token is set anywhere: the log has the message after a while, and the entry does not wait for ever."""
    without_slack(stage).respond(a_notification(55))
    assert "ML Training Budget passed 50 %" not in caplog.text
    for _ in range(4):
        stage.clock.sleep(60)
        without_slack(stage).tick()
    assert "ML Training Budget passed 50 %" in caplog.text
    assert (stage.posts, stage.open()) == ([], [])


def test_what_a_process_without_slack_has_to_say_is_said_by_one_that_has_it(stage: Stage) -> None:
    """A terminal has no token, and `storage_event` is given none: the next tick posts what they wrote, once."""
    without_slack(stage).respond(a_notification(85))
    without_slack(stage).reject(EventRejected("wrong-type", "the object's generation is 0"))
    stage.tick()
    assert sorted(text.split("\n")[0] for text in stage.posts) == [
        "A message to the watchdog was not accepted",
        "ML Training Budget passed 80 %",
    ]
    without_slack(stage).reject(EventRejected("wrong-type", "the object's generation is 0"))
    stage.settle()
    assert len(stage.posts) == 2
    assert len(stage.open()) == 1


def test_a_notice_that_was_said_is_not_said_again_for_a_worker_that_died(stage: Stage) -> None:
    """It records it anew, and dies before it sees that it was settled; whoever finds it sees that."""
    error = EventRejected("wrong-type", "the object's generation is 0")
    stage.messenger.clock = stage.clock
    stage.watchdog().reject(error)
    stage.clock.sleep(3600)
    stage.strike("read", Crash)
    with pytest.raises(Crash):
        stage.watchdog().reject(error)
    stage.heal()
    assert len(stage.open()) == 1
    stage.tick(15)
    assert (len(stage.posts), stage.open()) == (1, [])


# the journal


def test_a_damaged_entry_blocks_no_other_is_told_once_and_left_alone(stage: Stage) -> None:
    """The tick meets it every minute; people read of it once, and nobody overwrites what may be the only record of before."""
    stage.send(85)
    (name,) = entries(stage)
    left = damaged(stage, name)
    stage.send(55, budget_id="another")
    stage.send(85, budget_id="a third")
    told = len(stage.posts)
    for _ in range(4):
        stage.tick(20)
    assert [("cannot be read" in text, name in text) for text in stage.posts[told:]] == [(True, True)]
    assert stage.bucket.objects[name][0] == left
    stage.send(86)
    stage.send(86)
    stage.next_period()
    assert stage.bucket.objects[name][0] == left
    assert stage.state(RANKER) == scaling()


def test_an_entry_of_a_newer_version_is_left_for_that_version(stage: Stage) -> None:
    """A downgrade guesses at nothing, and says which version to deploy again."""
    stage.send(85)
    (name,) = entries(stage)
    data, generation, metadata = stage.bucket.objects[name]
    newer = data.replace(b'"schema_version":1', b'"schema_version":2')
    assert newer != data
    stage.bucket.objects[name] = (newer, generation, metadata)
    stage.tick(20)
    stage.tick(20)
    assert sum("newer version" in text for text in stage.posts) == 1
    assert stage.bucket.objects[name][0] == newer


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_journal_that_cannot_be_written_stops_everything(stage: Stage, number: int) -> None:
    """Without the claim, the budget's record, the count of the hour and the plan nothing is changed; the fifth write is the result. It goes on later."""
    calls: list[str] = []

    def refuse(method: str) -> None:
        if method == "write":
            calls.append(method)
            if len(calls) >= number:
                raise Unavailable("the bucket does not answer")

    stage.hooks.before = refuse
    with pytest.raises(Unavailable):
        stage.send(85)
    assert len(stage.written()) == (2 if number == 5 else 0)
    stage.heal()
    stage.send(85)
    stage.tick(1)
    stage.tick(1)
    assert sorted(stage.written()) == ["gateway", "ranker"]
    assert len(stage.posts) == 1


def test_holds_that_cannot_be_read_stop_what_they_may_forbid(stage: Stage) -> None:
    """Who is protected is not known then, so nothing is parked; it is told once, and goes on when they are mended."""
    stage.bucket.objects["holds.json"] = (b"{", 1, {})
    with pytest.raises(JournalError, match=r"holds\.json: cannot be read"):
        stage.send(85)
    for _ in range(3):
        stage.tick()
    assert stage.written() == []
    assert len(stage.posts) == 1
    del stage.bucket.objects["holds.json"]
    stage.tick()
    assert sorted(stage.written()) == ["gateway", "ranker"]


# the neighbours


def test_a_request_by_hand_in_the_middle_of_the_work_is_honoured_at_once(stage: Stage) -> None:
    """It does not wait for the lease: the worker's next save finds it, and whoever takes the entry up puts everything back."""
    stage.meanwhile("update", lambda: stage.ann().restore_all())
    assert stage.send(85) == ["busy"]
    for _ in range(3):
        stage.tick()
    assert stage.states() == {RANKER: scaling(minimum=2), GATEWAY: scaling(minimum=2)}
    assert stage.open() == []
    references = [reference for _, _, reference in stage.messenger.posts]
    assert len(references) == len(set(references))


def test_a_request_by_hand_in_the_middle_of_a_tick_is_honoured_too(stage: Stage) -> None:
    """The tick leaves the entry to whoever wrote it, goes on with the others, and finds the request at its next turn."""
    stage.strike("update", lambda: Unavailable("no answer, and a long wait", retry_after=120))
    stage.send(85)
    stage.meanwhile("update", lambda: stage.ann().restore_all())
    assert stage.tick(3) == ["busy"]
    stage.tick()
    stage.tick()
    assert stage.states() == {RANKER: scaling(minimum=2), GATEWAY: scaling(minimum=2)}
    assert stage.open() == []


def test_a_deployment_in_the_middle_of_the_work_is_what_is_put_back_later(stage: Stage) -> None:
    """Planned anew with what it is now, and parked all the same."""

    def both() -> None:
        for name in (RANKER, GATEWAY):
            stage.services.deploy(name, "bob", minimum=5)

    stage.meanwhile("update", both)
    stage.send(85)
    assert {state["minimum"] for state in stage.states().values()} == {0}
    stage.next_period()
    assert {state["minimum"] for state in stage.states().values()} == {5}


def test_what_somebody_changed_while_it_was_parked_stays_as_they_left_it(stage: Stage) -> None:
    """At the end of the period they are named, and the other service is put back."""
    stage.send(85)
    stage.services.deploy(RANKER, "bob@acme.example", minimum=7)
    stage.next_period()
    assert (stage.state(RANKER)["minimum"], stage.state(GATEWAY)["minimum"]) == (7, 2)
    assert "changed meanwhile by bob@acme.example: minimum is 7 and not 2" in stage.posts[-1]
    assert stage.open() == []


def test_a_new_service_of_the_same_step_is_not_parked_again_and_again(stage: Stage) -> None:
    """A step is carried out once in a period: what is deployed afterwards is the business of the next step, which finds it."""
    stage.send(85)
    stage.service("made", HERE)
    stage.send(90)
    stage.tick(20)
    assert "made" not in stage.written()
    stage.send(101)
    assert "made" in stage.written()


def test_a_fault_of_our_own_in_one_entry_hides_no_other(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged with its stack, and tried again at the next tick."""
    stage.send(85)
    struck = stage.strike("read", lambda: ZeroDivisionError("a fault"))
    assert stage.tick(20) == []
    assert struck == ["read"]
    assert "could not be carried on because of a fault in the watchdog; it is tried again at the next tick" in caplog.text
    assert stage.tick(20) == ["carried on"]
