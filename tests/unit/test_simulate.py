"""What a spend would cause is what it causes: the simulation and the real run give the same plan."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared import plan as planning
from shared.audit.report import Simulation
from shared.audit.report import Stage as SimulatedStage
from shared.audit.simulate import simulate
from shared.entry import Entry
from shared.errors import Gone, Unavailable
from shared.model import Place
from tests.stage import HERE, IDLE_80, NEXT_PERIOD, NOTIFY_50, POOLS, PROJECT, STOPPED_100, Stage, a_policy, full_name
from tests.yard import DAY

BUDGET = "ML Training Budget"
ALL_STOPPED = '{scale_to_zero: {select: {services: ["*"]}, to: stopped}}'
LADDER = (
    NOTIFY_50, IDLE_80, "{at: 90%, wait: 30m, do: [{scale_to_zero: {select: {labels: {env: [staging, dev]}}, to: stopped}}]}",
    f"{{at: 95%, wait: 2h, do: [{POOLS}]}}", f"{{at: 100%, approve: true, do: [{ALL_STOPPED}]}}",
)  # fmt: skip

services = st.lists(
    st.fixed_dictionaries(
        {
            "labels": st.sampled_from([{"env": "staging"}, {"env": "dev"}, {"env": "prod"}, {}]), "minimum": st.integers(0, 3), "revision_minimum": st.integers(0, 2),
            "facts": st.sampled_from([{}, {"function": True}, {"watchdog": True}, {"billing": "instance"}]),
        }
    ),
    max_size=12,
)  # fmt: skip


def asked(stage: Stage, share: object = "1.1", **more: Any) -> Simulation:
    """The simulation of this share of the budget."""
    given_share = None if share is None else Decimal(str(share))
    return simulate(stage.watchdog(), **({"budget": BUDGET, "share": given_share} | more))


def planned(entry: Entry, keys: tuple[str, ...]) -> dict[str, Any]:
    """What an entry planned for these steps, as a simulation tells it."""
    return {
        target.resource: (
            target.use.action,
            planning.changes_for(target).line(target.found, target.wanted),
            target.saving,
            "; ".join(target.remains),
        )
        for target in entry.targets
        if target.step in keys
    }


def simulated(stage: SimulatedStage) -> dict[str, Any]:
    """The same of a simulated stage."""
    return {touch.resource: (touch.action, touch.does, touch.saving, touch.remains) for touch in stage.touches}


@settings(deadline=None, max_examples=60)
@given(services, st.integers(0, 3), st.sampled_from([0, 60, 85, 92]), st.sampled_from([50, 80, 92, 97, 110]), st.integers(0, 8))
def test_the_simulation_is_the_real_plan(shapes: list[dict[str, Any]], pools: int, earlier: int, cost: int, limit: int) -> None:
    """Stage by stage: what is changed and how, what is not and why, and what a limit refuses; whatever was carried out before."""
    stage = Stage(a_policy(*LADDER, more=f"limits: {{targets: {limit}}}"))
    for number, shape in enumerate(shapes):
        stage.service(f"service-{number}", **shape)
    for number in range(pools):
        stage.pool(f"pool-{number}", number)
    if earlier:
        stage.send(earlier)
        stage.tick(31)
    told = asked(stage, Decimal(cost) / 100)
    assert told == asked(stage, Decimal(cost) / 100)
    before = {entry.key for entry in (*stage.open(), *stage.closed())}
    stage.send(cost)
    entries = [entry for entry in (*stage.open(), *stage.closed()) if entry.key not in before]
    due = {step.key for entry in entries for step in entry.steps}
    assert due == {key for each in told.stages for key in each.steps}
    for each in told.stages:
        if each.when.startswith("after 30"):
            stage.tick(31)
        elif each.when.startswith("after 2"):
            stage.tick(120)
        elif each.when == "after a yes":
            stage.ann().approve(entries[0].key)
        (entry,) = [found for found in (*stage.open(), *stage.closed()) if found.key == entries[0].key]
        states = {step.state for step in entry.steps if step.key in each.steps}
        assert states == {"refused" if each.refused else "planned"}, each
        assert simulated(each) == planned(entry, each.steps)
        if not each.refused:
            assert {one.resource: one.reason for one in each.untouched} == {record.resource: record.reason for record in entry.untouched}


def test_it_writes_nothing() -> None:
    """The journal is only read, and so is what people own."""
    stage = Stage(a_policy(*LADDER))
    stage.service("warm")
    stage.send(60)
    stage.hooks.before = lambda method: pytest.fail(method) if method in ("write", "update", "delete", "post") else None
    assert asked(stage).stages


def test_stages_and_taken_steps() -> None:
    """In the order in which they would happen; what was carried out in this period stands by itself, with its entry."""
    stage = Stage(a_policy(*LADDER))
    stage.service("warm")
    stage.send(60)
    told = asked(stage)
    assert [(each.when, each.steps) for each in told.stages] == [
        ("at once", ("actual-0.8",)), ("after 30m, unless called off", ("actual-0.9",)), ("after 2h, unless called off", ("actual-0.95",)),
        ("after a yes", ("actual-1",)),
    ]  # fmt: skip
    assert list(told.taken) == ["actual-0.5"]
    assert [(touch.resource, touch.does) for touch in told.stages[1].touches] == [(full_name("warm"), "none kept warm → stopped")]


def test_a_forecast_and_jobs() -> None:
    """A share that is forecast reaches the steps on forecast spend; work on objects is told in a sentence."""
    stage = Stage(a_policy("{at: 90%, on: forecast, do: [{delete_noncurrent: {buckets: [old-models], older_than: 30d}}]}", mode="observe"))
    told = asked(stage, "0.95", basis="forecast")
    assert [each.jobs for each in told.stages] == [("delete_noncurrent in gs://old-models/",)]
    assert told.notes == ("mode is observe: nothing of it would be done, only told",)
    assert asked(stage, "0.95").stages == ()


def test_places_that_are_not_seen() -> None:
    """They are told of."""
    stage = Stage(a_policy(IDLE_80))
    stage.services.broken.add(Place(PROJECT, HERE))
    assert any(f"{PROJECT}/{HERE} (services) was not seen" in note for note in asked(stage).notes)


def test_where_the_spend_leads() -> None:
    """Without a share the spend so far is carried on until then; holds that have ended by then do not count."""
    stage = Stage(a_policy(NOTIFY_50, IDLE_80))
    stage.service("warm")
    for cost in (40, 45, 50, 55, 60):
        stage.send(cost)
        stage.clock.sleep(DAY.total_seconds())
    stage.ann().hold("warm", stage.clock.now() + timedelta(hours=1))
    soon, later = (asked(stage, None, at=stage.clock.now() + days * DAY) for days in (0, 4))
    assert (soon.projected, soon.share, soon.stages) == (True, Decimal("0.65"), ())
    assert (later.share, len(later.stages[0].touches)) == (Decimal("0.85"), 1)
    held = asked(stage, "0.85")
    assert held.stages[0].touches == ()


def test_what_cannot_be_told() -> None:
    """No messages, no word on the next period, no such budget: each says what to do."""
    stage = Stage(a_policy(NOTIFY_50, IDLE_80, budget=BUDGET))
    with pytest.raises(Gone, match="say a share"):
        asked(stage, None)
    stage.send(10)
    with pytest.raises(Gone, match="say a share"):
        asked(stage, None, at=NEXT_PERIOD + DAY)
    with pytest.raises(Gone, match="the policy names no budget 'another'; it names 'ML Training Budget'"):
        asked(stage, budget="another")
    empty = Stage(a_policy(NOTIFY_50).model_copy(update={"budgets": ()}))
    with pytest.raises(Gone, match="it names none"):
        asked(empty)


def test_the_next_period() -> None:
    """What the ended one parked is put back first, and its steps are due again."""
    stage = Stage(a_policy(IDLE_80, STOPPED_100))
    warm, gone = stage.service("warm"), stage.service("gone")
    stage.send(85)
    stage.services.delete(gone)
    told = asked(stage, "0.8", at=NEXT_PERIOD + DAY)
    assert (told.new_period, told.taken) == (True, {})
    assert [(touch.resource, touch.does) for touch in told.put_back] == [
        (gone, "none kept warm → 2 kept warm"),
        (warm, "none kept warm → 2 kept warm"),
    ]
    assert [touch.does for touch in told.stages[0].touches] == ["2 kept warm → none kept warm"]
    by_hand = Stage(a_policy(IDLE_80, restore="manual"))
    by_hand.service("warm")
    by_hand.send(85)
    assert asked(by_hand, "0.8", at=NEXT_PERIOD + DAY).put_back == ()


def test_a_journal_that_does_not_answer() -> None:
    """It is an error, and no plan."""
    stage = Stage(a_policy(IDLE_80))
    stage.strike("list", lambda: Unavailable("the bucket is away"))
    with pytest.raises(Unavailable):
        asked(stage)
