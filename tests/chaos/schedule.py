"""What happens in a story, as a pure function of its seed: the estate, the policy, and who does what when, with what goes wrong meanwhile."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sandbox.cloud import ARTIFACTS_BUCKET, PROJECT
from sandbox.functions import BUDGET_ALERT, SLACK_ACTION, STORAGE_EVENT, TASK
from tests.chaos import plots
from tests.chaos.happenings import Event, Strike
from tests.chaos.plots import RUNS

REGIONS = ("us-central1", "europe-west1")
CHANNEL = "ml-cost"
SERVICES = {"embedder": "staging", "ranker": "dev", "gateway": "staging", "eval": "dev"}
LEVELS = (50, 70, 90)
BUDGETS = ("ML Training Budget", "Inference Budget")
STAGING, BOTH = "{env: staging}", "{env: [staging, dev]}"
_DOES = (("idle", STAGING), ("idle", BOTH), ("stopped", STAGING), ("stopped", BOTH))
_METHODS = (
    "*", "*", "*", "UpdateService", "UpdateService", "GetService", "ListServices", "UpdateWorkerPool", "storage.objects.insert", "storage.objects.get", "storage.objects.list",
    "storage.objects.delete", "storage.objects.delete", "storage.objects.restore", "storage.batch", "chat.postMessage", "chat.*", "conversations.*", "Publish", "response_url", "push",
)  # fmt: skip
"""Which calls are struck; ``push`` is the answer of a function to a delivery."""
_TROUBLE = {"die before": 2, "die after": 3, "drop": 3, "refuse": 2, "slow": 1, "somebody": 3}
"""What goes wrong, and how often in proportion."""


@dataclass(frozen=True)
class Step:
    """One step of the ladder.

    Attributes:
        at: Its share of the budget in percent.
        to: ``idle`` or ``stopped`` for services, ``pools`` for worker pools, ``notify``.
        select: The labels that it selects.
        gate: ``wait: 30m``, ``approve: true``, or nothing.
        budget: Which of `BUDGETS` it belongs to.
    """

    at: int
    to: str
    select: str
    gate: str
    budget: int = 0

    def means(self, env: str) -> bool:
        """Whether it selects services of this environment."""
        return self.to in ("idle", "stopped") and env in self.select


@dataclass(frozen=True)
class Schedule:
    """A whole story.

    Attributes:
        seed: What it was made of.
        steps: The ladders of its budgets, of which there are one or two.
        run_wait: How long a failed run waits.
        shapes: How each service is scaled at the beginning, as `sandbox` takes it.
        pool: How many instances the worker pool has.
        objects: How many objects each run has.
        unset_on_manual: See `sandbox.run_scaling.change`.
        operation_seconds: How long Cloud Run's operations take.
        undo: Whether what was deleted is put back in the end.
        per_hour: After how many changes within an hour the brake goes on; 0 is as the policy has it by itself.
        events: What happens.
    """

    seed: int
    steps: tuple[Step, ...]
    run_wait: str
    shapes: Mapping[str, Mapping[str, Any]]
    pool: int
    objects: Mapping[str, int]
    unset_on_manual: bool
    operation_seconds: float
    undo: bool
    per_hour: int
    events: tuple[Event, ...]

    @property
    def budgets(self) -> list[int]:
        """Which of `BUDGETS` there are."""
        return sorted({step.budget for step in self.steps})

    @property
    def policy(self) -> str:
        """The policy, as a file."""
        lines = [
            "version: 1",
            "mode: enforce",
            f"scope: {{projects: [{PROJECT}], regions: [{', '.join(REGIONS)}]}}",
            'protect: {labels: {env: prod}, services: ["*-prod"]}',
            f'slack: {{channel: "#{CHANNEL}"}}',
            *([f"limits: {{per_hour: {self.per_hour}}}"] if self.per_hour else []),
            "budgets:",
        ]
        for budget in self.budgets:
            lines += [f"  - budget: {BUDGETS[budget]}", "    steps:", *self._ladder(budget)]
        lines += [
            "artifacts:",
            f"  - bucket: {ARTIFACTS_BUCKET}",
            "    runs: runs/{run}/",
            "    failed_when: [failed_marker]",
            "    unless: [_SUCCESS]",
            '    keep: ["logs/**"]',
            f"    wait: {self.run_wait}",
        ]
        return "\n".join([*lines, ""])

    def _ladder(self, budget: int) -> list[str]:
        lines: list[str] = []
        for step in self.steps:
            if step.budget != budget:
                continue
            action = {"notify": "notify", "pools": '{stop_worker_pools: {select: {services: ["*"]}}}'}.get(step.to)
            action = action or f"{{scale_to_zero: {{select: {{labels: {step.select}}}, to: {step.to}}}}}"
            lines += [f"      - at: {step.at}%", f"        do: [{action}]", *([f"        {step.gate}"] if step.gate else [])]
        return lines


def of(seed: int) -> Schedule:
    """The story of a seed."""
    dice, more = random.Random(seed), random.Random(f"more {seed}")
    ladder = _ladder(dice, 0)
    second = _ladder(more, 1) if more.random() < 0.25 else []
    plot = plots.of(seed, [step.at for step in ladder])
    run_wait, braked = dice.choice(["0s", "0s", "1h"]), more.random() < 0.25
    return Schedule(
        seed,
        (*ladder, *second),
        plot.run_wait or run_wait,
        {name: _shape(dice) for name in SERVICES},
        dice.randint(0, 3),
        {name: dice.randint(2, 10) for name in RUNS},
        unset_on_manual=dice.random() < 0.5,
        operation_seconds=dice.choice([0.0, 0.0, 1.0, 4.0]),
        undo=dice.random() < 0.6,
        per_hour=_largest([*ladder, *second]) if braked else 0,
        events=(
            *plot.woven([_of_either(more, event) if second else event for event in _events(dice)]),
            *(plots.braked(more) if braked else ()),
        ),
    )


def _ladder(dice: random.Random, budget: int) -> list[Step]:
    ladder = []
    for level in sorted(dice.sample(LEVELS, dice.randint(1, 3))):
        to, select = dice.choice(_DOES)
        to = dice.choices([to, "pools", "notify"], [6, 1, 1])[0]
        ladder.append(Step(level, to, select, dice.choices(["", "wait: 30m", "approve: true"], [6, 2, 1])[0], budget))
    return ladder


def _largest(steps: list[Step]) -> int:
    """How much one plan may change at most: what is more than the brake's limit by itself would never be done."""
    plans = []
    for budget in {step.budget for step in steps}:
        mine = [step for step in steps if step.budget == budget]
        services = [name for name, env in SERVICES.items() if any(step.means(env) for step in mine)]
        plans.append(len(services) + any(step.to == "pools" for step in mine))
    return max(2, *plans)


def _of_either(dice: random.Random, event: Event) -> Event:
    """The same, of either budget where it is about one."""
    return replace(event, how={**event.how, "budget": dice.randint(0, 1)}) if event.what == "spend" else event


def _shape(dice: random.Random) -> dict[str, Any]:
    if dice.random() < 0.2:
        return {"mode": "MANUAL", "manual_count": dice.randint(1, 4)}
    return {"service_min": dice.randint(1, 3), "service_max": dice.choice([5, 20]), "revision_min": dice.choice([0, 0, 1])}


def _events(dice: random.Random) -> list[Event]:
    """A storm that begins with something to do."""
    begin = [_spend(dice, low=50), _fails(dice)]
    dice.shuffle(begin)
    for number in range(dice.randint(6, 14)):
        begin.insert(min(number + 1, len(begin)), dice.choice(_MAKERS)(dice))
    return begin


def _event(dice: random.Random, what: str, victim: str, trouble: float = 0.6, /, **how: Any) -> Event:
    strikes = tuple(_strike(dice, victim) for _ in range(dice.choice([1, 1, 2, 3])) if dice.random() < trouble)
    return Event(what, how, strikes, at_once=dice.random() < 0.25)


def _strike(dice: random.Random, victim: str) -> Strike:
    method = dice.choice(_METHODS)
    after = dice.randint(0, 40) if method == "*" else dice.randint(0, 4)
    return Strike(method, after, dice.choices([*_TROUBLE], [*_TROUBLE.values()])[0], dice.choice([1, 1, 2, 4, 15]), dice.random(), victim)


def _spend(dice: random.Random, low: int = 10) -> Event:
    share = dice.choice([each for each in (10, 55, 75, 75, 95, 95, 120) if each >= low])
    copies = dice.choice([1, 1, 1, 2, 3])
    return _event(dice, "spend", BUDGET_ALERT, 0.8, share=share, copies=copies, ago=dice.choice([0, 0, 0, 0, 30, 7 * 3600]))


def _again(dice: random.Random) -> Event:
    return _event(dice, "again", BUDGET_ALERT, which=dice.random())


def _tick(dice: random.Random) -> Event:
    return _event(dice, "tick", TASK, 0.8, copies=dice.choice([1, 1, 1, 2]))


def _passes(dice: random.Random) -> Event:
    return Event("passes", {"seconds": dice.choice([20, 61, 61, 130, 1000, 1900, 3700, 3700, 8 * 3600, 25 * 3600])})


def _clock(dice: random.Random) -> Event:
    return Event("clock", {"seconds": dice.choice([-60, -5, 3, 15])})


def _fails(dice: random.Random) -> Event:
    return _event(dice, "fails", STORAGE_EVENT, run=dice.choice(RUNS))


def _object(dice: random.Random) -> Event:
    what = dice.choice(["write", "promote", "hold", "remove", "retry"])
    return _event(dice, "object", STORAGE_EVENT, 0.3, run=dice.choice(RUNS), does=what, which=dice.random())


def _deploy(dice: random.Random) -> Event:
    fields = dice.choice(
        [{}, {"service_min": dice.randint(1, 4), "service_max": 20}, {"image": f"us-docker.pkg.dev/p/i:{dice.randint(1, 9)}"}]
    )
    return _event(dice, "deploy", BUDGET_ALERT, 0.3, name=dice.choice([*SERVICES]), changes=fields)


def _remove(dice: random.Random) -> Event:
    if dice.random() < 0.6:
        return _deploy(dice)
    return _event(dice, "remove", BUDGET_ALERT, 0.3, name=dice.choice([*SERVICES]))


def _slack(dice: random.Random) -> Event:
    return Event("slack", {"down": dice.random() < 0.6})


def _state(dice: random.Random) -> Event:
    return Event("state", {"refuses": dice.random() < 0.6, "status": dice.choice([403, 429, 500, 503])})


def _region(dice: random.Random) -> Event:
    return Event("region", {"region": dice.choice(REGIONS), "lost": dice.random() < 0.6})


def _command(dice: random.Random) -> Event:
    text = dice.choice(["status", "restore all", f"hold {dice.choice([*SERVICES])} 4h", f"restore {dice.choice([*SERVICES])}"])
    return _event(dice, "command", dice.choice([SLACK_ACTION, TASK]), text=text)


def _press(dice: random.Random) -> Event:
    return _event(dice, "press", dice.choice([SLACK_ACTION, TASK]), which=dice.random(), option=dice.random())


_MAKERS = (
    _spend, _again, _tick, _tick, _tick, _passes, _passes, _fails, _object, _deploy, _remove, _slack, _state, _press, _press, _clock, _region, _command,
)  # fmt: skip
