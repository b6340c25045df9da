"""What people ask for from a terminal, beside what the scenarios of the watchdog show of it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.errors import Conflict, Gone, Unavailable
from tests.stage import HERE, IDLE_80, NOTIFY_50, STOPPED_100, Stage, a_policy, full_name

RANKER = full_name("ranker")


@pytest.fixture
def stage() -> Stage:
    """One service under three steps."""
    built = Stage(a_policy(NOTIFY_50, IDLE_80, STOPPED_100))
    built.service("ranker", HERE)
    return built


def test_an_entry_that_never_was(stage: Stage) -> None:
    """The error names the command that lists those that are."""
    with pytest.raises(Gone, match="the journal has no entry 'x'"):
        stage.ann().restore_entry("x")


def test_a_closed_entry_needs_nothing_more(stage: Stage) -> None:
    """It is done, and can still be shown."""
    stage.send(55)
    (entry,) = stage.closed()
    assert [outcome.what for outcome in stage.ann().restore_entry(entry.key)] == ["closed"]
    assert stage.ann().entry(entry.key) == entry


def test_a_resource_that_is_not_parked_cannot_be_restored(stage: Stage) -> None:
    """The error names the command that lists what is."""
    with pytest.raises(Gone, match="nothing called 'gateway' is parked"):
        stage.ann().restore_resource("gateway")


def test_one_resource_is_put_back_by_its_short_or_its_full_name(stage: Stage) -> None:
    """In every plan that holds it and in no other; the rest stays parked, and the same step leaves it alone from then on."""
    gateway = stage.service("gateway", HERE)
    stage.send(85)
    stage.send(85, budget_id="another")
    (outcome,) = stage.ann().restore_resource(RANKER)
    assert outcome.what == "carried on"
    assert (stage.state(RANKER)["minimum"], stage.state(gateway)["minimum"]) == (2, 0)
    assert "Asked for by ann." in stage.posts[-1]
    stage.send(90)
    stage.tick(20)
    assert (stage.state(RANKER)["minimum"], stage.state(gateway)["minimum"]) == (2, 0)
    stage.ann().restore_resource("gateway")
    assert stage.state(gateway)["minimum"] == 2
    assert stage.open() == []


def test_a_name_that_is_only_part_of_anothers_is_another(stage: Stage) -> None:
    """An entry that holds other resources alone is not asked."""
    stage.service("ranker-2", HERE, labels={"env": "prod"})
    stage.send(85)
    with pytest.raises(Gone, match="nothing called 'ranker-2' is parked"):
        stage.ann().restore_resource("ranker-2")
    assert stage.state(RANKER)["minimum"] == 0


def test_a_name_can_be_looked_for_before_it_is_held(stage: Stage) -> None:
    """Services and worker pools, by short or full name, in the policy's places; a slip of the pen protects nobody."""
    pool = stage.pool("trainer", 1)
    ann = stage.ann()
    assert [ann.sees(name) for name in ("ranker", RANKER, "trainer", pool, "rankr")] == [True, True, True, True, False]


def test_the_survey_names_what_can_be_read_and_what_cannot(stage: Stage) -> None:
    """A person sees both."""
    stage.send(85)
    stage.bucket.objects["entries/budget-broken.json"] = (b"{", 1, {})
    survey = stage.ann().survey()
    assert survey.entries == tuple(stage.open())
    assert [fault.name for fault in survey.faults] == ["entries/budget-broken.json"]


def test_a_hold_may_be_ended_and_old_ones_are_cleared_away(stage: Stage) -> None:
    """A time that has passed ends a hold; the next one forgets those that are over."""
    stage.ann().hold("gateway", stage.clock.now() + timedelta(minutes=5))
    stage.ann().hold("ranker", stage.clock.now() + timedelta(days=1))
    stage.clock.sleep(600)
    stage.ann().hold("ranker", stage.clock.now())
    assert set(stage.journal.holds().record.until) == {"ranker"}
    stage.send(85)
    assert stage.state(RANKER)["minimum"] == 0


def test_a_request_that_meets_another_write_is_made_again(stage: Stage) -> None:
    """Somebody wrote the entry at that moment; the request is put to what they wrote."""
    stage.send(85)
    stage.strike("write", lambda: Conflict("somebody was quicker"))
    assert stage.ann().restore_all()[0].what == "closed"
    assert stage.state(RANKER)["minimum"] == 2


def test_a_request_that_never_gets_through_says_so(stage: Stage) -> None:
    """After many tries a person is asked to try again."""
    stage.send(85)

    def always(called: str) -> None:
        if called == "write":
            raise Conflict("somebody was quicker")

    stage.hooks.before = always
    with pytest.raises(Unavailable, match="try again"):
        stage.ann().restore_all()
    with pytest.raises(Unavailable, match="try again"):
        stage.ann().hold("ranker", stage.clock.now())


def test_restore_all_asks_every_entry_and_names_those_it_could_not_ask(stage: Stage) -> None:
    """One that fails hides no other."""
    stage.service("gateway", "europe-west1")
    stage.send(85, budget_id="first")
    stage.services.deploy(full_name("gateway", "europe-west1"), "bob@acme.example", minimum=1)
    stage.send(85, budget_id="second")
    stage.strike("write", lambda: Unavailable("the bucket does not answer"))
    with pytest.raises(Unavailable, match="1 of 2 entries could not be asked, the others were; ask again: budget-"):
        stage.ann().restore_all()
    stage.heal()
    stage.ann().restore_all()
    stage.settle()
    assert stage.open() == []
    assert stage.state(RANKER)["minimum"] == 2
