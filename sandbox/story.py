"""The demo: a budget's month and runs that fail, told as it happens, and held against what really is there."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sandbox.cloud import Sandbox
from sandbox.estate import AMOUNT, BUDGET_ID, SEEDS, US, Seed, month_start
from sandbox.page import SOMEBODY, deploy_over
from sandbox.scene import CHANNEL, PATIENCE, Scene, actions_of
from sandbox.slack_people import ANN, BEN
from sandbox.slack_view import plain
from sandbox.story_runs import COPIES, RunStory
from sandbox.telling import Check, Snapshot, Teller

_SCALING = ("mode", "min", "max", "manual_count", "revision_min", "tags", "instances")
_GROUPS = {
    "staging": "staging services",
    "dev": "dev services",
    "production": "production services",
    "unlabelled": "nobody said what they are",
    "protected": "protected by its label",
    "function": "Cloud Run function",
    "watchdog": "the watchdog itself",
}
_SPARED = ("production", "protected", "function", "watchdog")
APPROVE = "approve"
TEAM = "vision-ml"
_DEPLOYED = "llm-gateway-staging"
_TAGGED = "vector-search-staging"


class Story:
    """One telling.

    Args:
        sandbox: Where it happens, with the estate built and the functions at work.
        teller: Who tells it.
        wait: Seconds that the policy's steps and its failed runs wait here.
        pause: Seconds between two chapters, for a person to look.
    """

    def __init__(self, sandbox: Sandbox, teller: Teller, *, wait: float, pause: float = 0.0) -> None:
        self._sandbox = sandbox
        self._teller = teller
        self._scene = Scene(sandbox, teller)
        self._runs = RunStory(self._scene, wait=wait)
        self._wait = wait
        self._pause = pause
        self._first = self._snapshot()
        self._before = self._first
        self._writes_told = 0
        self._ids: list[str] = []
        named: dict[str, list[str]] = {}
        for seed in SEEDS:
            named.setdefault("worker pools" if seed.pool else _GROUPS[seed.role], []).append(seed.resource(sandbox.project))
        self._groups = named

    def play(self) -> list[Check]:
        """Tell it, and say what came true."""
        chapters = (
            self._half,
            self._idle,
            self._forecast,
            self._warned,
            self._stopped,
            self._approval,
            self._deployment,
            self._copies,
            self._next_month,
            *self._runs.chapters,
            self._looking_back,
        )
        for chapter in chapters:
            chapter()
            self._teller.rest()
            time.sleep(self._pause)
        return self._scene.checks

    # Chapters

    def _half(self) -> None:
        self._teller.chapter("Half of the budget is spent", "The policy only wants to be told.")
        self._spend(0.5)
        self._settle(self._scene.said(1))
        self._close_chapter(
            Check("Slack was told once", *self._counted(1)),
            Check("nothing was changed", not self._writes(), f"{len(self._writes())} writes"),
        )

    def _idle(self) -> None:
        self._teller.chapter(
            "80 % is spent: staging goes idle",
            "No instance of a staging service is kept warm from here on; each still answers, after a cold start.",
        )
        self._spend(0.82)
        self._settle(self._scene.said(1))
        said = self._scene.told()
        running = self._running("staging")
        self._close_chapter(
            Check(
                "the vision team was told of its own in its own channel",
                "ocr-staging" in self._scene.told_in(TEAM) and "ocr-staging" not in said,
            ),
            Check(f"no staging service keeps an instance, but {_TAGGED} through its tag", set(running) == {_TAGGED}, _counts(running)),
            Check("the message says what still costs, and why", all(name in said for name in (_TAGGED, "whisper-staging", "canary"))),
            Check("Slack was told once", *self._counted(1)),
            self._spared(),
        )

    def _forecast(self) -> None:
        self._teller.chapter("Google forecasts 93 % for the month", "A step on the forecast; the policy only wants to be told.")
        self._spend(0.84, forecast=0.93)
        self._settle(self._scene.said(1))
        self._close_chapter(Check("Slack was told once, and nothing was changed", *self._counted(1, writes=0)))

    def _warned(self) -> None:
        self._teller.chapter(
            "The budget is used up: a warning first",
            f"At 100 % staging and dev are to be stopped altogether, after a wait in which anybody can call it off. Here it is {self._wait:g} s.",
        )
        self._spend(1.01)
        self._settle(self._scene.said(1))
        self._close_chapter(
            Check("Slack was warned once, and nothing was changed yet", *self._counted(1, writes=0)),
            Check("the warning says how to call it off", "python -m functions cancel" in self._scene.told()),
        )

    def _stopped(self) -> None:
        self._teller.chapter("The wait is over: staging and dev are stopped", "The clock's tick finds that the recorded plan is due.")
        self._settle(self._scene.said(1), self._wait + PATIENCE)
        now = self._snapshot()
        meant = [seed for seed in SEEDS if seed.role in ("staging", "dev") and not seed.pool]
        states = [now[self._name(seed)] for seed in meant]
        awake = [each["name"] for each in states if each["mode"] != "MANUAL" or each["manual_count"] != 0]
        running = {**self._running("staging"), **self._running("dev")}
        self._close_chapter(
            Check(f"all {len(meant)} staging and dev services are scaled by hand, to 0", not awake, ", ".join(awake)),
            Check(f"nothing of them runs, but {_TAGGED} through its tag", set(running) == {_TAGGED}, _counts(running)),
            Check("Slack was told once", *self._counted(1)),
            self._spared(),
        )

    def _approval(self) -> None:
        self._teller.chapter(
            "120 % is spent: somebody has to say yes",
            "The last step would stop everything that is not protected, and does nothing without approval. The policy names who may give it: ann.",
        )
        self._spend(1.21)
        self._settle(self._scene.said(1))
        asked, writes = self._scene.sent()[-1:], len(self._writes())
        refusal = self._scene.press(APPROVE, BEN, "ben")
        unmoved = len(self._writes())
        answer = self._scene.press(APPROVE, ANN, "ann")
        self._settle(self._scene.said(2))
        now = self._snapshot()
        meant = [now[self._name(seed)] for seed in SEEDS if seed.role not in _SPARED and not seed.pool]
        awake = [each["name"] for each in meant if each["mode"] != "MANUAL" or each["manual_count"] != 0]
        question = next((each for each in self._sandbox.slack.messages(CHANNEL) if asked and each["ts"] == asked[0]["ts"]), {})
        self._close_chapter(
            Check("Slack was asked once, in the channel too, and nothing was changed", len(asked) == 1 and not writes, f"{writes} writes"),
            Check(
                "ben, whom the policy does not name, is told so politely, and changes nothing",
                "slack.approvers" in refusal and unmoved == 0,
            ),
            Check("ann says yes, and is told what came of it", answer.startswith("Approved."), answer),
            Check(f"all {len(meant)} services that are not protected are scaled by hand, to 0", not awake, ", ".join(awake)),
            Check("the buttons gave way to who decided", "Approved by ann" in plain(question) and APPROVE not in actions_of(question)),
            self._spared(),
        )

    def _deployment(self) -> None:
        self._teller.chapter(
            f"{SOMEBODY} deploys {_DEPLOYED} all the same",
            "It runs again. Google's next status message, the same spend as before, is when the watchdog looks.",
        )
        deploy_over(self._sandbox, self._deployed)
        self._spend(1.21)
        self._settle(self._scene.said(1))
        said = self._scene.told()
        self._close_chapter(
            Check("the message names the service, and who changed it", _DEPLOYED in said and SOMEBODY in said),
            Check("Slack was told once, and the service was left as it is", *self._counted(1, writes=0)),
        )

    def _copies(self) -> None:
        self._teller.chapter(
            f"Pub/Sub delivers one message {COPIES} times more",
            "It promises at least once, and no order. These come all at the same moment.",
        )
        for _ in range(COPIES):
            self._sandbox.pubsub.redeliver(self._ids[-1])
        self._settle(lambda: True)
        self._close_chapter(Check("nothing happened: no write, no message", *self._counted(0, writes=0)))

    def _next_month(self) -> None:
        self._teller.chapter(
            "The next month begins: everything is put back",
            "Each service gets back what was recorded: mode, minimum, maximum, revision minimum. What somebody changed meanwhile stays.",
        )
        deployed = self._snapshot()[self._deployed]
        self._spend(0.01, period=month_start(datetime.now(UTC)))
        self._settle(self._scene.said(2))
        now, said, plans = self._snapshot(), self._scene.told(), self._scene.tellers()
        differ = [each["name"] for name, each in now.items() if name != self._deployed and _scaling(each) != _scaling(self._first[name])]
        self._close_chapter(
            Check("the headline says that nothing is parked any more", "Nothing is parked." in plain(self._scene.headline())),
            Check(f"all {len(now) - 1} others are exactly as they were at first", not differ, ", ".join(differ)),
            Check("what somebody deployed is as they left it", _scaling(now[self._deployed]) == _scaling(deployed)),
            Check("the message names it", _DEPLOYED in said and "LEFT ALONE" in said),
            # The plan of the idle step has nothing left to put back, unless the clock's tick was quicker with that of the higher one.
            Check("Slack was told once by each plan that still held something", len(plans) == len(set(plans)) in (2, 3), ", ".join(plans)),
        )

    def _looking_back(self) -> None:
        self._teller.chapter("Looking back", "Over the whole story:")
        writes = self._sandbox.run.write_counts
        touched = [seed.name for seed in SEEDS if seed.role in _SPARED and writes[self._name(seed)]]
        twice = self._scene.told_twice()
        lost = [each for each in self._sandbox.pubsub.deliveries if each.outcome in ("discarded", "dead-lettered")]
        self._close_chapter(
            Check("production, the protected, the function and the watchdog itself were never written to", not touched, ", ".join(touched)),
            self._runs.only_the_failed(),
            Check("no message came twice", not twice, ", ".join(twice)),
            Check("no delivery was lost", not lost, f"{len(lost)} lost"),
        )

    # What happens

    def _spend(self, share: float, *, forecast: float | None = None, period: datetime | None = None) -> None:
        spent = Decimal(str(share)) * AMOUNT
        expected = None if forecast is None else Decimal(str(forecast)) * AMOUNT
        sent = self._sandbox.budgets.spend(BUDGET_ID, spent, forecast=expected, period_start=period)
        if sent is None:
            raise RuntimeError("The demo's budget has no topic, so Google would tell nobody of its spend.")
        self._ids.append(sent)
        self._teller.google_says(self._sandbox.budgets.notification(BUDGET_ID)[1])

    def _settle(self, true: Callable[[], bool], within: float = PATIENCE) -> None:
        def working() -> str:
            running = sum(each["instances"] for each in self._sandbox.run.snapshot())
            return f"{running} instances running · {len(self._writes())} changed now"

        self._scene.settle(true, working, within)

    def _close_chapter(self, *checks: Check) -> None:
        """Show what came of a chapter, and begin to count anew."""
        self._teller.rest()
        after, writes = self._snapshot(), Counter(write.name for write in self._writes())
        if after != self._before or writes:
            self._teller.effect(self._groups, self._before, after, writes)
        self._scene.close(*checks)
        self._before = after
        self._writes_told = len(self._sandbox.run.writes)

    # What there is

    @property
    def _deployed(self) -> str:
        return next(self._name(seed) for seed in SEEDS if seed.name == _DEPLOYED and seed.region == US)

    def _name(self, seed: Seed) -> str:
        return seed.resource(self._sandbox.project)

    def _snapshot(self) -> Snapshot:
        return {each["resource"]: each for each in self._sandbox.run.snapshot()}

    def _running(self, role: str) -> dict[str, int]:
        """The services of a role that still run something, and how much."""
        now = self._snapshot()
        found = [now[self._name(seed)] for seed in SEEDS if seed.role == role and not seed.pool]
        return {each["name"]: each["instances"] for each in found if each["instances"]}

    def _writes(self) -> list[Any]:
        """What the watchdog wrote in this chapter."""
        run = self._sandbox.run
        return [write for write in run.writes[self._writes_told :] if write.principal == run.principal]

    def _counted(self, messages: int, *, writes: int | None = None) -> tuple[bool, str]:
        """Whether there were so many messages, and so many writes where that is asked; and how many there were."""
        sent, wrote = len(self._scene.sent()), len(self._writes())
        return sent == messages and writes in (None, wrote), f"{sent} messages, {wrote} writes"

    def _spared(self) -> Check:
        now = self._snapshot()
        names = [self._name(seed) for seed in SEEDS if seed.role in _SPARED]
        differ = [now[name]["name"] for name in names if now[name] != self._first[name]]
        return Check("production, the protected, the function and the watchdog itself run as before", not differ, ", ".join(differ))


def _scaling(each: Mapping[str, Any]) -> dict[str, Any]:
    return {key: each[key] for key in _SCALING}


def _counts(running: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in running.items()) or "nothing runs"
