"""Plays a story: the storm, then healing, then the end of the budget's period; `tests.chaos.promises` judges what was seen."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sandbox.cloud import ARTIFACTS_BUCKET
from sandbox.functions import BUDGET_ALERT, SLACK_ACTION, TASK, tick
from sandbox.grpc_errors import RefusedError
from sandbox.slack_people import Impossible
from sandbox.storage_errors import ApiError
from shared.brake import NOTICE
from shared.slack import panel
from tests.chaos.happenings import Event, Strike
from tests.chaos.plots import RUNS
from tests.chaos.processes import Nursery
from tests.chaos.schedule import BUDGETS, CHANNEL, REGIONS, SERVICES, Schedule
from tests.chaos.world import PEOPLE, World, pressable
from tests.envelopes import BUDGET, attributes, encode, payload

PERIODS = (datetime(2026, 11, 1, 8, tzinfo=UTC), datetime(2026, 12, 1, 8, tzinfo=UTC))
_IDS = (BUDGET, "0f1c2a4e-3f5d-4e0a-9a34-6f4c1f3f7b52")
_STALE = 6 * 3600.0
_A_MOMENT = 0.5
"""Real seconds that an event has to be dealt with, before the next one comes all the same."""
_CALM = 30.0
"""Real seconds in which everything has to be answered once all is healed."""
_AFTER_THE_STORM = (61, 61, 3700, 61, 3700, 61, 3700, 61)
_AFTER_THE_BRAKE = (1000, 1000, 1000, 1000, 1000)
_AFTER_A_MESSAGE = (61, 1900, 61, 61)


@dataclass
class Play:
    """A story that is being played.

    Attributes:
        world: Where.
        faults: What went wrong with the story itself: messages that are answered by nothing but errors.
        spent: The highest share of each budget that Google has told of.
        not_sent: The messages of the beginning, which nobody was subscribed to.
        touched: What people did to a run, beside letting it fail once.
        failed: The runs that have failed, with the generation of the sign.
        pressed: The buttons that were pressed, each with its block, and what was asked for in commands.
        acknowledged: How many requests of people were acknowledged.
        undone: The runs for which somebody pressed "Undo" in the end.
        deleted_before_the_undo: How many objects had been deleted by then.
    """

    world: World
    faults: list[str] = field(default_factory=list)
    spent: dict[int, int] = field(default_factory=dict)
    not_sent: frozenset[str] = frozenset()
    touched: dict[str, list[str]] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    pressed: list[tuple[str, str]] = field(default_factory=list)
    acknowledged: int = 0
    undone: set[str] = field(default_factory=set)
    deleted_before_the_undo: int = 0

    @property
    def schedule(self) -> Schedule:
        """What happens."""
        return self.world.schedule

    # the storm

    def storm(self) -> None:
        """Everything goes wrong."""
        self.world.storm.somebody = self._somebody
        for event in self.schedule.events:
            self.world.storm.note(
                f"* {event.what} {dict(event.how)} {[f'{s.trouble} {s.method}+{s.after}x{s.times}' for s in event.strikes] or ''}"
            )
            self.world.storm.arm(event.strikes)
            self.happen(event)
            if not event.at_once:
                self.world.sandbox.pubsub.drain(_A_MOMENT)

    def happen(self, event: Event) -> None:
        """One event happens."""
        how, world = event.how, self.world
        match event.what:
            case "spend":
                for _ in range(how["copies"]):
                    self.spend(how["share"], ago=how["ago"], budget=how.get("budget", 0))
            case "again":
                topics = (world.sandbox.budget_topic, world.sandbox.artifacts_topic, world.sandbox.tasks_topic)
                if sent := self._told(topics):
                    world.sandbox.pubsub.redeliver(sent[int(how["which"] * len(sent))])
            case "tick":
                for _ in range(how["copies"]):
                    tick(world.sandbox)
            case "passes":
                self.passes(how["seconds"])
            case "clock":
                world.clock.is_set(how["seconds"])
            case "fails":
                self._fails(how["run"])
            case "object":
                self._object(how["run"], how["does"], how["which"], how.get("name", ""))
            case "deploy":
                self._deploy(how["name"], how["changes"])
            case "remove":
                with suppress(RefusedError):
                    world.sandbox.run.remove(world.full_name(how["name"]), PEOPLE)
            case "slack":
                world.sandbox.slack.outage(how["down"])
            case "state":
                world.storm.refusing = how["status"] if how["refuses"] else None
            case "region":
                (world.sandbox.run.lose if how["lost"] else world.sandbox.run.recover)(world.sandbox.project, how["region"])
            case "command":
                self._command(how["text"])
            case "press":
                self._press_any(how["which"], how["option"])
            case "cancel":
                self._call_off(how["run"])

    def spend(self, share: int, *, ago: float = 0.0, period: int = 0, budget: int = 0) -> None:
        """Google tells how much of a budget is spent."""
        sandbox, now = self.world.sandbox, datetime.fromtimestamp(self.world.clock.right(), UTC)
        body = encode(payload(share, costIntervalStart=PERIODS[period].isoformat(), budgetDisplayName=BUDGETS[budget]))
        if ago < _STALE:
            self.spent[budget] = max(self.spent.get(budget, 0), share)
        sandbox.pubsub.publish(sandbox.budget_topic, body, attributes(budgetId=_IDS[budget]), published=now - timedelta(seconds=ago))

    def _told(self, topics: tuple[str, ...]) -> list[str]:
        """The messages that were published to these topics since the story began."""
        pubsub = self.world.sandbox.pubsub
        return [message.id for topic in topics for message in pubsub.messages(topic) if message.id not in self.not_sent]

    def passes(self, seconds: float) -> None:
        """Time goes by, but not while a function is at work: nothing stands still for hours with a call on its way."""
        if not self.world.storm.between(lambda: self.world.clock.passes(seconds)):
            self.faults.append("a function did not come to an end within twenty real seconds")

    # what people do

    def _somebody(self, strike: Strike, resource: str) -> None:
        """Right in the middle of a call, and to what it is about where it is about something that people change."""
        pick = strike.pick
        service, item = resource.partition("/services/")[2], resource.partition(f"{ARTIFACTS_BUCKET}/runs/")[2]
        run = item.split("/")[0] if item else RUNS[int(pick * 7) % len(RUNS)]
        name = service if service in SERVICES else [*SERVICES][int(pick * 1000) % len(SERVICES)]
        deploys = [
            Event("deploy", {"name": name, "changes": changes})
            for changes in ({"service_min": 4, "service_max": 20}, {"revision_min": 2}, {})
        ]
        objects = [
            Event("object", {"run": run, "does": does, "which": pick, "name": f"runs/{item}"})
            for does in ([strike.deed] if strike.deed else ("retry", "hold", "remove", "write"))
        ]
        deeds = deploys if service in SERVICES else objects if item else [*deploys, *objects]
        self.happen(deeds[int(pick * 100) % len(deeds)])

    def _deploy(self, name: str, changes: Mapping[str, Any]) -> None:
        with suppress(RefusedError):
            self.world.sandbox.run.deploy(self.world.full_name(name), PEOPLE, **changes)

    def _fails(self, run: str) -> None:
        if f"runs/{run}/_FAILED" in self.world.objects():
            self._touch(run, "failed again")
        put = self.world.sandbox.storage.put
        with suppress(ApiError):
            self.world.people(lambda: self.failed.update({run: put(ARTIFACTS_BUCKET, f"runs/{run}/_FAILED")}))

    def _object(self, run: str, does: str, which: float, name: str = "") -> None:
        storage, there = self.world.sandbox.storage, sorted(name for name in self.world.objects() if name.startswith(f"runs/{run}/"))
        self._touch(run, does)
        if not there:
            return
        name = name if name in there else there[int(which * len(there))]

        def work() -> None:
            match does:
                case "promote":
                    storage.put(ARTIFACTS_BUCKET, f"runs/{run}/_SUCCESS")
                case "hold":
                    storage.patch(ARTIFACTS_BUCKET, name, {"temporaryHold": True})
                case "remove":
                    storage.delete(ARTIFACTS_BUCKET, name)
                case _:
                    storage.put(ARTIFACTS_BUCKET, name if does == "retry" else f"runs/{run}/ckpt/new", b"anew")

        with suppress(ApiError):
            self.world.people(work)

    def _touch(self, run: str, what: str) -> None:
        self.touched.setdefault(run, []).append(what)

    def _press_any(self, which: float, option: float) -> None:
        found = pressable(self.world.messages())
        if found:
            ts, block, element = found[int(which * len(found))]
            options = [each["value"] for each in element.get("options", [])]
            self.press(ts, block, element["action_id"], options[int(option * len(options))] if options else None)

    def _call_off(self, run: str) -> None:
        for ts, block, element in pressable(self.world.messages()):
            if element["action_id"] == panel.CANCEL and block.startswith(f"{panel.ENTRY}run-") and block.split("-")[-2] == run:
                self.press(ts, block, panel.CANCEL)

    def press(self, ts: str, block: str, action: str, option: str | None = None) -> None:
        """Somebody presses a button, as it is shown."""
        self.world.targets.begin(SLACK_ACTION)
        with suppress(Impossible):
            done = self.world.sandbox.slack.press(CHANNEL, ts, action, block_id=block, option=option)
            self.pressed.append((action, block))
            self.acknowledged += done.status == 200
            self.world.storm.note(f"pressed {action} {option or ''} of {block}: {done.status} {done.failure}")

    def _command(self, text: str) -> None:
        """Somebody types a command."""
        self.world.targets.begin(SLACK_ACTION)
        done = self.world.sandbox.slack.command("/cost-watchdog", text, channel=CHANNEL)
        self.pressed.append((text.split(maxsplit=1)[0], "command"))
        self.acknowledged += done.status == 200
        self.world.storm.note(f"typed {text}: {done.status} {done.failure}")

    # afterwards

    def heal(self) -> None:
        """All is well again, and whatever is on its way arrives."""
        world = self.world
        world.storm.note("* all is healed")
        world.storm.heal()
        world.sandbox.slack.outage(on=False)
        for region in REGIONS:
            world.sandbox.run.recover(world.sandbox.project, region)
        self._calm()
        self.ticks((*_AFTER_THE_STORM, *(_AFTER_THE_BRAKE if self.schedule.per_hour else ())))

    def come_to_the_end_of_the_period(self) -> None:
        """Google says once more what is spent, and time passes."""
        self.world.storm.note("* google says once more how it stands")
        for budget, share in sorted(self.spent.items()):
            self.spend(share, budget=budget)
        self._calm()
        self.ticks((*_AFTER_A_MESSAGE, *(_AFTER_THE_BRAKE if self.schedule.per_hour else ())))

    def release(self) -> None:
        """Somebody releases the brake, where it is on and Slack says so: below the message about this stop, and others are tried before it."""
        for kind in self.world.braked:
            buttons = [(ts, block) for ts, block, element in pressable(self.world.messages()) if element["action_id"] == panel.RELEASE]
            shown = [(ts, block) for ts, block in buttons if block.startswith(f"{panel.ENTRY}{NOTICE}{kind}-")]
            for button in reversed(shown):
                if kind in self.world.braked:
                    self.press(*button, panel.RELEASE)
                    self._calm()

    def undo(self) -> None:
        """Somebody presses "Undo" below each message of a run that was deleted."""
        self.world.storm.note("* what was deleted is undone")
        self.deleted_before_the_undo = len(self.world.deletions)
        for ts, block, element in pressable(self.world.messages()):
            if element["action_id"] == panel.RESTORE and block.startswith(f"{panel.ENTRY}run-"):
                self.press(ts, block, panel.RESTORE)
                self.undone.add(block.split("-")[-2])
        self._calm()
        self.ticks((61, 61, 3700, 61))

    def begin_the_next_period(self) -> None:
        """The month ends, and all that was ever told comes once more."""
        self.world.storm.note("* the next period begins")
        self.passes(PERIODS[1].timestamp() - self.world.clock.right() + 7200)
        told = self._told((self.world.sandbox.budget_topic, self.world.sandbox.artifacts_topic))
        for budget in self.schedule.budgets:
            self.spend(1, period=1, budget=budget)
        self._calm()
        for message in told:
            self.world.sandbox.pubsub.redeliver(message)
        self._calm()
        self.ticks((61, 61, 3700, 61), released=False)  # what is put back waits for nobody

    def ticks(self, pauses: tuple[int, ...], *, released: bool = True) -> None:
        """Time passes, and the clock ticks; somebody sees to it that the brake is released."""
        for seconds in pauses:
            self.passes(seconds)
            if released and self.schedule.per_hour:
                self.release()
            tick(self.world.sandbox)
            self._calm()

    def _calm(self) -> None:
        if not self.world.sandbox.pubsub.drain(_CALM):
            self.faults.append("with nothing wrong any more, messages are still answered with errors")


def begin(schedule: Schedule, folder: Path, nursery: Nursery) -> Play:
    """Set a story up; its world is to be closed."""
    world = World(schedule, folder, nursery)
    for target in (TASK, BUDGET_ALERT):
        world.targets.begin(target)
    return Play(world, not_sent=frozenset(message.id for message in world.sandbox.pubsub.messages(world.sandbox.artifacts_topic)))
