"""The promises, over random stories: ladders, messages, deployments by others, crashes between any two calls, faults, outages and people's requests.

Three promises are checked throughout or at the end of each story: the protected are never touched, each step parks a service at most once a period,
and everything is put back exactly. Two more come with them: each message is posted once, and nothing stays open.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from shared.actions import params_by_name
from shared.by_hand import ByHand
from shared.entry import UNSETTLED, Entry
from shared.errors import Conflict, Denied, EventRejected, Gone, Unavailable
from shared.model import BudgetNotification, Place
from shared.policy.policy import Policy, parse
from shared.ports import World
from shared.slack.backlog import Backlog
from shared.slack.conversation import Request
from shared.slack.desk import Desk
from shared.watchdog import Watchdog
from tests.doubles import NO_OBJECTS, Hooks, ManualClock, MemoryBucket, MemoryFleet, MemoryMessenger, MemoryTasks, scaling

PROJECT = "acme-ml-staging"
REGIONS = ("us-central1", "europe-west1")
BUDGETS = ("training", "serving")
PERIOD = timedelta(days=30)

SCALE = "{scale_to_zero: {select: {labels: {env: [staging, dev]}}, to: %s}}"
EVERY = '{scale_to_zero: {select: {services: ["*"]}, to: %s}}'
POOLS = '{stop_worker_pools: {select: {services: ["*"]}}}'

a_step = st.fixed_dictionaries(
    {
        "do": st.lists(
            st.sampled_from([EVERY % "idle", EVERY % "stopped", SCALE % "idle", SCALE % "stopped", POOLS, "notify"]),
            min_size=1,
            max_size=2,
            unique=True,
        ),
        "gate": st.sampled_from(["", "", "", "wait: 30m", "approve: true"]),
        "on": st.sampled_from(["actual", "actual", "forecast"]),
    }
)
a_state = st.one_of(
    st.builds(scaling, minimum=st.sampled_from([2, 1, 3, 0]), maximum=st.sampled_from([0, 5, 20]), revision_minimum=st.integers(0, 2)),
    st.builds(scaling, mode=st.just("manual"), count=st.integers(0, 4), revision_minimum=st.integers(0, 1)),
)
NEVER: dict[str, tuple[dict[str, str], dict[str, bool]]] = {
    "pay-prod": ({"env": "prod"}, {}),
    "kept": ({"env": "staging", "cost-watchdog": "protect"}, {}),
    "function": ({"env": "staging"}, {"function": True}),
    "watchdog": ({"env": "staging"}, {"watchdog": True}),
}


class Crash(BaseException):
    """The worker dies: nothing catches it, as nothing catches kill -9."""


class Story(RuleBasedStateMachine):
    """One random story of a month or two."""

    drift = "report"

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.hooks = Hooks(before=lambda name: self._strike(name, "before"), after=lambda name: self._strike(name, "after"))
        self.fuse: tuple[int, str, Callable[[], BaseException]] | None = None
        self.bucket = MemoryBucket(self.hooks)
        self.services = MemoryFleet("service", self.hooks)
        self.pools = MemoryFleet("worker_pool", self.hooks)
        self.messenger = MemoryMessenger(self.hooks)
        self.world = World(
            self.bucket,
            {"service": self.services, "worker_pool": self.pools},
            NO_OBJECTS,
            self.messenger,
            MemoryTasks(self.hooks),
            self.clock,
            workers=1,
        )
        self.expected: dict[str, dict[str, Any]] = {}
        self.touched: set[str] = set()
        self.period = dict.fromkeys(BUDGETS, self.clock.now() - timedelta(days=19))
        self.periods = Counter(BUDGETS)
        self.sent: list[BudgetNotification] = []
        self.held: set[str] = set()
        self.pressed: list[str] = []

    # the beginning

    @initialize(
        ladders=st.tuples(*[st.lists(a_step, min_size=1, max_size=3) for _ in BUDGETS]),
        states=st.lists(a_state, min_size=2, max_size=4),
        never=a_state,
        pool=st.integers(0, 3),
        unset=st.booleans(),
    )
    def begin(
        self, ladders: tuple[list[dict[str, Any]], ...], states: list[dict[str, Any]], never: dict[str, Any], pool: int, unset: bool
    ) -> None:
        """An estate and a policy."""
        self.services.unset_on_manual = unset
        for number, state in enumerate(states):
            self._add(
                f"{('embedder', 'ranker', 'gateway', 'eval')[number]}",
                REGIONS[number % 2],
                state,
                {"env": ("staging", "dev")[number % 2]},
                {},
            )
        for name, (labels, facts) in NEVER.items():
            self._add(name, REGIONS[0], never, labels, facts)
        self.pools.add(_full("worker", REGIONS[0], "workerPools"), {"count": pool}, labels={"env": "staging"})
        self.expected[_full("worker", REGIONS[0], "workerPools")] = {"count": pool}
        self.policy = _policy(ladders, self.drift)
        self.steps = Counter({budget: len(ladder) for budget, ladder in zip(BUDGETS, ladders, strict=True)})

    def _add(self, name: str, region: str, state: dict[str, Any], labels: dict[str, str], facts: dict[str, bool]) -> None:
        full = self.services.add(_full(name, region), state, labels=labels, facts=facts)
        self.expected[full] = dict(self.services.resources[full].state)

    # what happens

    @rule(
        budget=st.sampled_from(BUDGETS),
        spent=st.sampled_from([95, 75, 120, 55, 10]),
        forecast=st.sampled_from([None, 90, 120, 60]),
        age=st.sampled_from([0, 0, 0, 400]),
    )
    def message(self, budget: str, spent: int, forecast: int | None, age: int) -> None:
        """Google sends a status."""
        notification = _notification(budget, spent, forecast, self.period[budget], self.clock.now() - timedelta(minutes=age))
        self.sent.append(notification)
        self._deliver(notification)

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def again_or_late(self, data: st.DataObject) -> None:
        """A message comes a second time, or out of order, perhaps from a period that has ended."""
        self._deliver(data.draw(st.sampled_from(self.sent)))

    @rule(budget=st.sampled_from(BUDGETS))
    def next_period(self, budget: str) -> None:
        """A period ends and another begins."""
        self.clock.sleep(PERIOD.total_seconds())
        self.period[budget] += PERIOD
        self.periods[budget] += 1
        self.message(budget, 1, None, 0)

    @rule(seconds=st.sampled_from([1, 61, 600, 1900, 7200]))
    def tick(self, seconds: int) -> None:
        """Time passes, and Cloud Scheduler ticks."""
        self.clock.sleep(seconds)
        self._invoke(self._tick)

    @rule(
        calls=st.integers(1, 25), side=st.sampled_from(["before", "after"]), error=st.sampled_from([Crash, Unavailable, Conflict, Denied])
    )
    def something_will_go_wrong(self, calls: int, side: str, error: type[BaseException]) -> None:
        """Some call from now, on either side of its work: the worker dies, or the platform answers with an error."""
        if side == "after" and error in (Conflict, Denied):
            side = "before"  # these two say that nothing was done
        self.fuse = (calls, side, lambda: error("struck by the story"))

    @rule(
        data=st.data(),
        state=a_state,
        budget=st.sampled_from(BUDGETS),
        spent=st.sampled_from([75, 95, 120]),
        calls=st.integers(1, 30),
        side=st.sampled_from(["before", "after"]),
    )
    def worker_dies_and_somebody_deploys(
        self, data: st.DataObject, state: dict[str, Any], budget: str, spent: int, calls: int, side: str
    ) -> None:
        """The worst moment for both: a worker dies while it parks, and before anybody goes on somebody else changes a service."""
        self.something_will_go_wrong(calls, side, Crash)
        self.message(budget, spent, None, 0)
        self.somebody_deploys(data, state)
        self.tick(61)

    @rule(data=st.data(), state=a_state)
    def somebody_deploys(self, data: st.DataObject, state: dict[str, Any]) -> None:
        """Somebody else changes a service, parked or not."""
        name = data.draw(st.sampled_from(sorted(self.services.resources)))
        live = self.services.resources[name].state
        fields = data.draw(st.sampled_from([("minimum",), ("revision_minimum",), tuple(state)]))
        if live["mode"] == "manual" and len(fields) == 1:
            return
        changes = {key: state[key] for key in fields}
        if 0 < {**live, **changes}["maximum"] < {**live, **changes}["minimum"]:
            return  # Cloud Run refuses it
        self.services.deploy(name, "bob@acme.example", **changes)
        now = dict(self.services.resources[name].state)
        like_ours = any(now[key] == wanted[key] for wanted in self._intended(name) for key in changes)
        if live != self.expected[name] or like_ours:
            # Parked already, or made by hand into what a dead worker was about to write: nobody can tell then whose doing it is.
            self.touched.add(name)
        else:
            self.expected[name] = now

    @rule(data=st.data())
    def somebody_deletes(self, data: st.DataObject) -> None:
        """Somebody else deletes a service."""
        name = data.draw(st.sampled_from(sorted(self.services.resources)))
        if len(self.services.resources) > len(NEVER) + 1:
            self.services.delete(name)
            self.expected.pop(name)

    @rule(down=st.booleans())
    def slack(self, down: bool) -> None:
        """Slack goes down, or comes back."""
        self.messenger.down = down

    @rule(region=st.sampled_from(REGIONS), broken=st.booleans())
    def region(self, region: str, broken: bool) -> None:
        """A region stops answering, or answers again."""
        place = Place(PROJECT, region)
        (self.services.broken.add if broken else self.services.broken.discard)(place)

    @precondition(lambda self: self._open())
    @rule(data=st.data(), what=st.sampled_from(["approve", "cancel", "restore_entry", "restore_all", "restore_resource"]))
    def somebody_asks(self, data: st.DataObject, what: str) -> None:
        """A person approves, cancels, or wants something back."""
        if what == "restore_all":
            self._invoke(lambda watchdog: ByHand(watchdog, "ann").restore_all())
        elif what == "restore_resource":
            name = data.draw(st.sampled_from(sorted(self.expected)))
            self._invoke(lambda watchdog: ByHand(watchdog, "ann").restore_resource(name))
        else:
            key = data.draw(st.sampled_from(self._open()))
            self._invoke(lambda watchdog: getattr(ByHand(watchdog, "ann"), what)(key))

    @precondition(lambda self: any(each.blocks for each in self.messenger.messages.values()))
    @rule(data=st.data(), seconds=st.sampled_from([0, 0, 61, 3700]))
    def somebody_presses(self, data: st.DataObject, seconds: int) -> None:
        """Any button of any message, as it is shown; the task that it makes may come late, or twice."""
        shown = [
            (block["block_id"], element)
            for message in self.messenger.messages.values()
            for block in message.blocks
            if block["type"] == "actions"
            for element in block["elements"]
        ]
        about, element = data.draw(st.sampled_from(shown))
        value = (
            data.draw(st.sampled_from([option["value"] for option in element["options"]]))
            if "options" in element
            else element.get("value", "")
        )
        key = f"request-{len(self.pressed) + 1}"
        self.pressed.append(key)
        request = Request(
            key=key, kind="press", came=self.clock.now(), what=element["action_id"], about=about, value=value, user="U012AB3CD", channel="C1", address=key
        )  # fmt: skip
        self._invoke(lambda watchdog: watchdog.journal.save_request(None, request))
        self.clock.sleep(seconds)
        for _ in range(2):
            self._invoke(lambda watchdog: self._desk(watchdog).answer(key))

    @rule(data=st.data(), minutes=st.integers(1, 600))
    def somebody_holds(self, data: st.DataObject, minutes: int) -> None:
        """A person protects a service for a time."""
        name = data.draw(st.sampled_from(sorted(self.services.resources)))
        self._invoke(lambda watchdog: ByHand(watchdog, "ann").hold(name, self.clock.now() + timedelta(minutes=minutes)))

    # what must hold

    @invariant()
    def the_protected_are_never_touched(self) -> None:
        """No write ever reached them."""
        assert not {name for name, _, _ in self.services.writes if name.rsplit("/", 1)[-1] in NEVER}

    @invariant()
    def each_step_parks_a_service_at_most_once(self) -> None:
        """A service is parked no more often than there were steps in the periods seen, and never written what it already was."""
        steps = sum(self.steps[budget] * self.periods[budget] for budget in BUDGETS) if self.expected else 0
        parked = Counter(name for name, before, after in self.services.writes if _running(after) < _running(before))
        assert all(before != after for _, before, after in self.services.writes)
        if self.drift == "report":
            assert all(count <= steps for count in parked.values())

    @invariant()
    def each_message_is_posted_once(self) -> None:
        """Nobody is told anything twice."""
        references = Counter((each.reference, each.channel) for each in self.messenger.messages.values())
        assert not [reference for reference, count in references.items() if count > 1]

    def teardown(self) -> None:
        """All heals, the periods end, the clock ticks on: then everything is as it was, everything was told, and nothing is open."""
        if not self.expected:
            return
        self.fuse = None
        self.messenger.down = False
        self.services.broken.clear()
        self._ticks()
        for budget in BUDGETS:
            self.clock.sleep(PERIOD.total_seconds())
            self.period[budget] += PERIOD
            self._deliver(_notification(budget, 0, None, self.period[budget], self.clock.now()))
        self._ticks()
        assert not [key for key in self.bucket.objects if key.startswith("entries/")], self._open()
        for name, expected in self.expected.items():
            live = (self.pools if "workerPools" in name else self.services).resources[name].state
            if name not in self.touched:
                assert live == expected, name
        self.the_protected_are_never_touched()
        self.each_step_parks_a_service_at_most_once()
        self.each_message_is_posted_once()
        self.slack_shows_how_it_ended()

    def slack_shows_how_it_ended(self) -> None:
        """No headline says that anything is parked, no message offers what is over, and everybody who asked was answered."""
        assert all("PARKED NOW" not in each.text for each in self.messenger.headlines)
        offered = [
            (message.text.split("\n", 1)[0], element["action_id"])
            for message in self.messenger.messages.values()
            for block in message.blocks
            if block["type"] == "actions"
            for element in block["elements"]
        ]
        assert {name for _, name in offered} <= {"show", "snooze", "wake"}, offered
        assert not [key for key in self.bucket.objects if key.startswith("requests/")]

    # how

    def _ticks(self) -> None:
        for _ in range(12):
            self.clock.sleep(3700)
            self._invoke(self._tick)

    def _tick(self, watchdog: Watchdog) -> None:
        watchdog.tick()
        self._desk(watchdog).sweep()
        Backlog(watchdog).sort_out()

    def _desk(self, watchdog: Watchdog) -> Desk:
        return Desk(watchdog, lambda: "GREEN", lambda _: [])

    def _deliver(self, notification: BudgetNotification) -> None:
        self._invoke(lambda watchdog: watchdog.respond(notification))

    def _invoke(self, ask: Callable[[Watchdog], object]) -> None:
        watchdog = Watchdog(self.world, self.policy, project=PROJECT)
        with contextlib.suppress(Crash, Unavailable, Conflict, Denied, Gone):
            try:
                ask(watchdog)
            except EventRejected as error:
                watchdog.reject(error)

    def _open(self) -> list[str]:
        return [
            name.removeprefix("entries/").removesuffix(".json")
            for name in sorted(self.bucket.objects)
            if name.startswith("entries/budget-")
        ]

    def _intended(self, name: str) -> list[dict[str, Any]]:
        entries = [Entry.model_validate_json(self.bucket.objects[f"entries/{key}.json"][0]) for key in self._open()]
        return [target.wanted for entry in entries for target in entry.targets if target.resource == name and target.status in UNSETTLED]

    def _strike(self, _: str, side: str) -> None:
        if self.fuse is None:
            return
        calls, when, error = self.fuse
        if side != when:
            return
        self.fuse = (calls - 1, when, error) if calls > 1 else None
        if calls == 1:
            raise error()


class StoryWithRepark(Story):
    """The same where the policy parks again what came back."""

    drift = "repark"


@pytest.mark.parametrize("story", [Story, StoryWithRepark])
def test_the_promises_hold_in_every_story(story: type[Story]) -> None:
    """Protected never touched, each step at most once, restored exactly, told once, nothing left open."""
    run_state_machine_as_test(
        story, settings=settings(max_examples=250, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
    )


def _full(name: str, region: str, collection: str = "services") -> str:
    return f"projects/{PROJECT}/locations/{region}/{collection}/{name}"


def _running(state: dict[str, Any]) -> int:
    return int(state["count"] or 0) if state["mode"] == "manual" else 1 + max(state["minimum"], state["revision_minimum"])


def _notification(budget: str, spent: int, forecast: int | None, period: Any, sent: Any) -> BudgetNotification:
    return BudgetNotification(
        billing_account="01D4EE-079462-DFD6EC", budget_id=budget, budget_name=budget, cost=Decimal(spent), amount=Decimal(100), currency="USD", period_start=period,
        actual_threshold=None, forecast_threshold=None if forecast is None else Decimal(forecast) / 100, message_id="1", sent_at=sent,
    )  # fmt: skip


def _policy(ladders: tuple[list[dict[str, Any]], ...], drift: str) -> Policy:
    lines = [
        "version: 1",
        "mode: enforce",
        f"on_drift: {drift}",
        f"scope: {{projects: [{PROJECT}], regions: [{', '.join(REGIONS)}]}}",
        'protect: {labels: {env: prod}, services: ["*-prod"]}',
        'slack: {channel: "#ml-cost"}',
        "budgets:",
    ]
    for budget, ladder in zip(BUDGETS, ladders, strict=True):
        lines += [f"  - budget: {budget}", "    steps:"]
        for number, step in enumerate(ladder):
            lines += [f"      - at: {50 + 20 * number}%", f"        on: {step['on']}", f"        do: [{', '.join(step['do'])}]"]
            lines += [f"        {step['gate']}"] if step["gate"] else []
    return parse("\n".join(lines), source="story", actions=params_by_name())
