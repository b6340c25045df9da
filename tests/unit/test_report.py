"""Messages to people: each kind against its golden file, and all of them against Slack's limits and against hostile names.

``UPDATE_GOLDEN=1`` writes the golden files anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox.slack_blocks import check_blocks, too_long
from shared import report
from shared.burn import Burn, Reach, Rise
from shared.entry import Drift, Entry, StepRecord, StepState, TargetRecord, Undo, UnseenRecord, UntouchedRecord, UseRecord
from shared.model import BudgetNotification
from shared.report.letter import Letter
from shared.slack.text import HEADER, TEXT, size

GOLDEN = Path(__file__).parent.parent / "golden"
NOW = datetime(2026, 11, 12, 8, 15, tzinfo=UTC)
KEY = "budget-20261101-actual-80-3f9c2a71b0"
HOSTILE = (
    "<!channel> & <https://evil.example|click> `code` *bold*\n\x1b[31m\u202egnp.exe\u2066 \U0001f525\ud800 \u0645\u0631\u062d\u0628\u0627"
)

IDLE = UseRecord(action="scale_to_zero", params={"select": {"labels": {"env": ["staging"]}}, "to": "idle"})
STOP = UseRecord(action="scale_to_zero", params={"select": {"services": ["*"]}, "to": "stopped"})
POOLS = UseRecord(action="stop_worker_pools", params={"select": {"services": ["*"]}})
NOTIFY = UseRecord(action="notify", params={})


def notification(**changes: Any) -> BudgetNotification:
    """A budget at 82 percent."""
    fields: dict[str, Any] = {
        "billing_account": "01D4EE-079462-DFD6EC", "budget_id": "3f9c2a71", "budget_name": "ML Training Budget", "cost": Decimal("8213.45"),
        "amount": Decimal(10000), "currency": "USD", "period_start": datetime(2026, 11, 1, 7, tzinfo=UTC), "actual_threshold": Decimal("0.8"),
        "forecast_threshold": None, "message_id": "1", "sent_at": NOW - timedelta(minutes=1),
    }  # fmt: skip
    return BudgetNotification(**{**fields, **changes})


def state(minimum: int, mode: str = "automatic", count: int | None = None) -> dict[str, Any]:
    """A service's scaling."""
    return {"mode": mode, "minimum": minimum, "maximum": 10, "count": count, "revision_minimum": 0}


def target(name: str, *, minimum: int = 2, region: str = "us-central1", project: str = "acme-ml-staging", **changes: Any) -> TargetRecord:
    """A service that kept instances warm and is verified to keep none."""
    fields: dict[str, Any] = {
        "resource": f"projects/{project}/locations/{region}/services/{name}", "kind": "service", "use": IDLE, "step": "actual-0.8",
        "before": state(minimum), "found": state(minimum), "wanted": state(0), "wrote": state(0), "status": "verified", "saving": Decimal("19.71") * minimum,
    }  # fmt: skip
    return TargetRecord(**{**fields, **changes})


def pool(name: str, **changes: Any) -> TargetRecord:
    """A worker pool that was stopped."""
    fields: dict[str, Any] = {
        "resource": f"projects/acme-ml-staging/locations/us-central1/workerPools/{name}", "kind": "worker_pool", "use": POOLS, "step": "actual-0.8",
        "before": {"count": 3}, "found": {"count": 3}, "wanted": {"count": 0}, "wrote": {"count": 0}, "status": "verified", "saving": Decimal("157.68"),
    }  # fmt: skip
    return TargetRecord(**{**fields, **changes})


def step(at: str = "0.8", state: StepState = "planned", *uses: UseRecord, on: Any = "actual", **changes: Any) -> StepRecord:
    """A step of the ladder."""
    return StepRecord(key=f"{on}-{at}", at=Decimal(at), on=on, uses=uses or (IDLE,), state=state, **changes)


def untouched(name: str, reason: str) -> UntouchedRecord:
    """A service that was left as it is."""
    return UntouchedRecord(resource=f"projects/acme-ml-staging/locations/us-central1/services/{name}", reason=reason)


def entry(*targets: TargetRecord, **changes: Any) -> Entry:
    """A plan of one step."""
    fields: dict[str, Any] = {"key": KEY, "created": NOW, "notification": notification(), "steps": (step(),), "targets": targets}
    return Entry(**{**fields, **changes})


def told(entry: Entry, **more: Any) -> Letter:
    """The message of a plan that carries out all its targets."""
    return report.reached(entry, carried_out=entry.targets, now=NOW, **more)


MONTH_END = datetime(2026, 12, 1, 8, tzinfo=UTC)
STEADY = Burn(
    per_day=Decimal("297.75"),
    reaches=(Reach(Decimal("0.9"), NOW + timedelta(days=2, hours=15)), Reach(Decimal(1), NOW + timedelta(days=6))),
    month_end=MONTH_END,
    projected=Decimal("13868.1"),
)
FAILED: dict[str, Any] = {
    "status": "failed", "wrote": None, "attempts": 4, "retry_at": NOW + timedelta(minutes=8),
    "reason": "403 run.services.update is missing; grant roles/run.developer to the watchdog",
}  # fmt: skip
BLIND = UnseenRecord(
    project="acme-ml-staging",
    region="europe-west1",
    kind="service",
    reason="503 the service is unavailable",
    retry_at=NOW + timedelta(minutes=1),
)
LEFT_OUT = (
    *(untouched(f"api-{number}", "protected by the label env=prod") for number in range(12)),
    untouched("payments", "protected by the policy: its name matches payments"),
    untouched(
        "resizer", "a Cloud Run function, or built from source like one; only a step that selects it by its literal name may touch it"
    ),
)


def typical() -> Letter:
    """What most messages are like."""
    plan = entry(target("trainer"), target("notebook", minimum=1), pool("batch"), untouched=LEFT_OUT, burn=STEADY)
    return told(plan)


def sudden_rise() -> Letter:
    """Spend rose suddenly."""
    last_day = Decimal("1650.2")
    reaches = (Reach(Decimal("0.9"), NOW + timedelta(hours=11)), Reach(Decimal(1), NOW + timedelta(hours=26)))
    burn = Burn(last_day, reaches, MONTH_END, projected=Decimal("39450.1"), rise=Rise(last_day, usual=Decimal("210.4")))
    return told(entry(target("trainer"), burn=burn))


def enough_for_the_month() -> Letter:
    """At this rate the whole of the budget is not used up."""
    return told(entry(target("trainer"), burn=Burn(Decimal("65.5"), month_end=MONTH_END, projected=Decimal("9455.2"))))


def thousand() -> Letter:
    """A thousand services."""
    targets = [target(f"svc-{number:04}", minimum=1, region=("us-central1", "europe-west1")[number % 2]) for number in range(997)]
    failed = [target(f"broken-{number}", **FAILED) for number in range(3)]
    return told(entry(*targets, *failed, untouched=[untouched(f"other-{number}", "not selected") for number in range(4000)]))


def hostile() -> Letter:
    """Names that try to be something else."""
    name = HOSTILE.replace("/", "|")
    plan = entry(
        target(name, project=name, region=name, remains=(HOSTILE,)),
        target("x" * 10_000, **{**FAILED, "reason": HOSTILE * 300}),
        notification=notification(budget_name=HOSTILE * 20, currency="<&>"),
        untouched=[untouched("\u05e9\u05dc\u05d5\u05dd", HOSTILE), untouched("", "&" * 10_000)],
        unseen=(UnseenRecord(project=HOSTILE, region=HOSTILE, kind="service", reason=HOSTILE, retry_at=NOW),),
        steps=(step(), step("0.9", "cancelled", decided_by=HOSTILE)),
    )
    return told(plan)


def zero_budget() -> Letter:
    """A budget whose amount is the last period's, which was nothing."""
    notice = notification(amount=Decimal(0), cost=Decimal("12.5"), currency="CHF")
    return told(entry(target("trainer"), notification=notice, burn=Burn(Decimal("1.135"), month_end=MONTH_END, projected=Decimal("33.9"))))


def dry_run() -> Letter:
    """Mode observe."""
    targets = [target("trainer", status="rehearsed", wrote=None), target("notebook", status="rehearsed", wrote=None, minimum=1)]
    return told(entry(*targets, mode="observe", untouched=LEFT_OUT))


def waiting_and_approval() -> Letter:
    """Several steps at once, of which two are not carried out yet."""
    steps = (
        step(),
        step("1", "waiting", STOP, opens_at=NOW + timedelta(minutes=30)),
        step("1.2", "approval", STOP, POOLS),
        step("0.9", "planned", NOTIFY, on="forecast"),
    )
    preview = [
        target(f"dev-{number}", step="actual-1", use=STOP, status="intended", wrote=None, wanted=state(2, "manual", 0))
        for number in range(25)
    ]
    plan = entry(
        target("trainer"),
        steps=steps,
        notification=notification(cost=Decimal("12345.6"), actual_threshold=Decimal("1.2"), forecast_threshold=Decimal("0.9")),
        restore="manual",
    )
    return told(plan, preview=preview)


def partial_failure() -> Letter:
    """Something of everything went wrong, and two projects."""
    targets = [
        target("trainer"),
        target("embedder", **{**FAILED, "reason": f"{target('embedder').resource}: {FAILED['reason']}"}),
        target("ranker", project="acme-ml-dev", status="failed", wrote=None, reason="504 no answer in time", maybe=True),
        target("crawler", status="intended", wrote=None),
        target("gone", status="skipped", wrote=None, reason="was deleted meanwhile"),
    ]
    return told(entry(*targets, unseen=(BLIND, BLIND.but(project="acme-ml-dev", retry_at=NOW + timedelta(hours=1), attempts=10))))


def remains() -> Letter:
    """What zero does not reach."""
    gpu = "its nvidia-l4 GPU bills as long as an instance lives; only `to: stopped` is sure to end that"
    tag = (
        "revision canary-00007 keeps 1 running through its tag 'canary': remove the tag with `gcloud run services update-traffic canary "
        "--project=acme-ml-staging --region=us-central1 --remove-tags=canary`"
    )
    targets = [target("canary", remains=(tag,)), *(target(f"gpu-{number}", remains=(gpu,)) for number in range(5))]
    return told(entry(*targets))


def notify_only() -> Letter:
    """A step that only tells."""
    return told(entry(steps=(step("0.9", "planned", NOTIFY, on="forecast"),), notification=notification(forecast_threshold=Decimal("0.9"))))


def nothing_to_do() -> Letter:
    """A step that found everything idle."""
    return told(entry(untouched=[untouched("trainer", "already idle: no instance is kept warm by its settings")], steps=(step(told=True),)))


def refused() -> Letter:
    """A limit spoke."""
    plan = entry(steps=(step("1", "refused"),))
    return report.refused(plan, sentence="250 resources would be changed, and limits.targets allows 200", now=NOW)


def refused_in_a_place_seen_again() -> Letter:
    """A limit spoke when more was found."""
    sentence = "250 resources would be changed, and limits.targets allows 200"
    return report.refused(entry(target("trainer"), mode="observe"), sentence=sentence, now=NOW)


def restored() -> Letter:
    """Back by hand, and not all of it."""
    targets = [
        target("trainer", status="restored"),
        pool(
            "batch", status="restored", reason="Cloud Run made something else of it: count is 2 and not 3; set it by hand if that matters"
        ),
        target("notebook", status="left", reason="changed meanwhile by alice@acme.example: minimum is 4 and not 2"),
        target("embedder", status="restoring", reason="503 unavailable", attempts=1, retry_at=NOW + timedelta(minutes=1), maybe=True),
        target("crawler", status="restoring"),
    ]
    steps = (step(), step("1", "cancelled", STOP, decided_by="alice"), step("1.2", "cancelled", STOP))
    return report.restored(entry(*targets, steps=steps), targets=targets, by="alice", now=NOW)


def restored_by_itself() -> Letter:
    """Back with the new period."""
    targets = [target("trainer", status="restored")]
    return report.restored(entry(*targets), targets=targets, by="next period", now=NOW)


def called_off() -> Letter:
    """Called off before anything was done."""
    return report.restored(entry(steps=(step("1", "cancelled", STOP, decided_by="alice"),)), targets=[], by="alice", now=NOW)


def drifted() -> Letter:
    """Two came back."""
    drift = Drift(by="cloudbuild@acme.example", state=state(3), seen_at=NOW)
    targets = [target("trainer", drift=drift), target("notebook", drift=drift.but(by=""))]
    return report.drifted(entry(*targets), targets=targets, reparked=False, now=NOW)


def reparked() -> Letter:
    """One came back and is parked again, one of two projects."""
    targets = [
        target("trainer", status="intended", wrote=None, found=state(3), last_modifier="terraform@acme.example"),
        target("notebook", status="intended", wrote=None, project="acme-ml-dev"),
    ]
    return report.drifted(entry(*targets), targets=targets, reparked=True, now=NOW)


def drifted_with_reasons() -> Letter:
    """Two came back that the policy would have parked again, and something speaks against it."""
    drift = Drift(by="alice@acme.example", state=state(3), seen_at=NOW)
    targets = [
        target("trainer", drift=drift, reason="held until 2026-11-20 16:30 UTC by ann"),
        target("notebook", drift=drift, reason="not parked again, since that was in vain 3 times"),
    ]
    return report.drifted(entry(*targets), targets=targets, reparked=False, now=NOW)


def came_back_at_once() -> Letter:
    """Somebody changed one while it was being parked."""
    drift = Drift(by="alice@acme.example", state=state(1), seen_at=NOW)
    return told(entry(target("trainer", drift=drift), target("notebook")))


def followed_up() -> Letter:
    """What failed worked later."""
    return report.followed_up(entry(unseen=(BLIND,)), targets=[target("embedder"), target("ranker", **FAILED)], now=NOW)


def rejected() -> Letter:
    """A message that is none of ours."""
    return report.rejected(kind="not-json", detail="the data is not JSON: Expecting value: line 1 column 1 (char 0)", now=NOW)


def unreadable() -> Letter:
    """An entry from the future."""
    name = f"entries/{KEY}.json"
    return report.unreadable(name=name, detail=f"{name}: schema_version is 2, and this version knows 1", now=NOW)


SCENES: list[Callable[[], Letter]] = [
    typical, sudden_rise, enough_for_the_month, thousand, hostile, zero_budget, dry_run, waiting_and_approval, partial_failure, remains, notify_only, nothing_to_do, refused,
    refused_in_a_place_seen_again, restored, restored_by_itself, called_off, drifted, drifted_with_reasons, reparked, came_back_at_once, followed_up, rejected, unreadable,
]  # fmt: skip


def golden(name: str, text: str) -> None:
    """Compare with the golden file, or write it anew."""
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), f"{path} differs; UPDATE_GOLDEN=1 writes it anew"


def strings(value: Any) -> Iterator[str]:
    """All strings that stand in text objects."""
    if isinstance(value, dict):
        yield from (field for key, field in value.items() if key == "text" and isinstance(field, str))
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for each in value:
            yield from strings(each)


def check_letter(letter: Letter) -> None:
    """What holds for every message, whatever it is made of."""
    blocks = json.loads(json.dumps(letter.blocks))
    assert check_blocks(blocks) == []
    assert not too_long(blocks)
    assert 0 < size(letter.text) <= TEXT
    assert size(blocks[0]["text"]["text"]) <= HEADER
    for text in [letter.text, *strings(blocks)]:
        assert "<" not in text
        assert ">" not in text
        assert not {
            char for char in text if char in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069" or (char < " " and char != "\n")
        }
    assert all(text["verbatim"] for text in _mrkdwn(blocks))


def _mrkdwn(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if value.get("type") == "mrkdwn":
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _mrkdwn(each)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_a_message_is_as_its_golden_file_says(scene: Callable[[], Letter]) -> None:
    """Each kind of message keeps its words, and Slack accepts it."""
    letter = scene()
    check_letter(letter)
    golden(f"letter_{scene.__name__}.json", json.dumps(letter.blocks, indent=1, ensure_ascii=False) + "\n")
    golden(f"letter_{scene.__name__}.txt", letter.text + "\n")


def whole() -> str:
    """An entry with something of everything."""
    drift = Drift(by="cloudbuild@acme.example", state=state(3), seen_at=NOW)
    plan = entry(
        target("trainer", remains=("its nvidia-l4 GPU bills as long as an instance lives",)),
        target("embedder", **FAILED),
        target("notebook", drift=drift),
        pool("batch", status="restoring"),
        target("gone", status="skipped", reason="was deleted meanwhile"),
        target("odd", use=UseRecord(action="freeze", params={})),
        steps=(
            step(),
            step("1", "waiting", STOP, opens_at=NOW + timedelta(minutes=30)),
            step("1.1", "waiting", STOP),
            step("1.2", "approval", STOP, POOLS),
            step("0.9", "cancelled", NOTIFY, on="forecast", decided_by="alice"),
        ),
        burn=STEADY,
        untouched=LEFT_OUT,
        unseen=(BLIND, BLIND.but(region="us-east1", retry_at=NOW + timedelta(hours=1))),
        undo=Undo(by="alice", at=NOW),
    )
    return report.outcome_text(plan)


def bare() -> str:
    """A notice: no budget, no steps, no targets."""
    return report.outcome_text(entry(notification=None, steps=(), key="notice-20261112-not-json"))


@pytest.mark.parametrize("scene", [whole, bare], ids=lambda scene: scene.__name__)
def test_an_entry_on_a_terminal_is_as_its_golden_file_says(scene: Callable[[], str]) -> None:
    """The terminal shows the whole entry and the commands that a person may want next."""
    golden(f"outcome_{scene.__name__}.txt", scene() + "\n")


def test_a_terminal_is_shown_everything_and_no_control_character() -> None:
    """However many targets there are, each is there, and none of them moves the cursor."""
    text = report.outcome_text(
        entry(*(target(f"svc-{number}\x1b[2J") for number in range(1000)), untouched=[untouched(f"u-{n}\r", "no") for n in range(1000)])
    )
    assert all(f"svc-{number} [2J:" in text for number in range(1000))
    assert all(f"services/u-{number}\n" in f"{text}\n" for number in range(1000))
    assert "\x1b" not in text
    assert "\r" not in text


def test_the_failed_are_seen_first_however_much_was_done() -> None:
    """Among a thousand services the failed ones stand above the done ones, and the rest is counted."""
    blocks = [block["text"]["text"] for block in thousand().blocks if block["type"] == "section"]
    failed = next(index for index, text in enumerate(blocks) if text.startswith("*FAILED (3)*"))
    done = next(index for index, text in enumerate(blocks) if text.startswith("*DONE (997)"))
    assert failed < done
    assert all(f"`broken-{number}`" in blocks[failed] for number in range(3))
    assert f"… and 977 more (`python -m functions show {KEY}` lists them all)" in blocks[done]


def test_failed_services_with_endless_reasons_are_still_named() -> None:
    """When nothing else fits, the headings with their numbers do."""
    targets = [target(f"{number}-{'x' * 100}", **{**FAILED, "reason": "&" * 5000}) for number in range(500)]
    letter = told(entry(*targets, *[each.but(resource=f"{each.resource}-b", status="skipped") for each in targets]))
    check_letter(letter)
    assert "FAILED (500)" in letter.text
    assert "SKIPPED (500)" in letter.text
    assert "restore --entry" in letter.text


def test_more_steps_than_a_message_shows_are_counted() -> None:
    """A ladder of many waiting steps shows the first and counts the rest."""
    letter = told(entry(steps=[step(str(number), "waiting", STOP, opens_at=NOW) for number in range(1, 30)]))
    check_letter(letter)
    assert "… and 25 more steps to come" in letter.text


def test_an_amount_of_another_currency_and_a_level_over_100_percent() -> None:
    """The bar is full and the number says how far over it is."""
    letter = told(entry(notification=notification(cost=Decimal(1400), amount=Decimal(1000), currency="JPY")))
    assert "`████████████` 140 % · ¥1,400 of ¥1,000" in letter.text


def test_without_steps_or_budget_a_message_still_says_what_it_is_about() -> None:
    """Nothing in an entry is so empty that a message could not be written."""
    letter = told(entry(notification=None, steps=()))
    check_letter(letter)
    assert letter.blocks[0]["text"]["text"] == KEY
    forecast = told(entry(notification=notification(budget_name="\n"), steps=()))
    check_letter(forecast)
    assert forecast.blocks[0]["text"]["text"] == "Cost Watchdog"


def test_news_of_nothing_has_a_heading() -> None:
    """A message about targets of which none has come to an end says that they are news."""
    letter = report.followed_up(entry(), targets=[target("trainer", status="intended")], now=NOW)
    check_letter(letter)
    assert letter.blocks[0]["text"]["text"] == "ML Training Budget: later news"


ANY_TEXT = st.builds(lambda text, times: text * times, st.text(st.characters(), max_size=20), st.sampled_from([1, 1, 1, 30, 600]))
NAMES = ANY_TEXT.map(lambda text: text.replace("/", "|"))
STATUSES = st.sampled_from(["intended", "verified", "failed", "skipped", "rehearsed", "restoring", "restored", "left"])
KNOWN_TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # hypothesis wants them naive
TIMES = st.none() | KNOWN_TIMES
USES = st.sampled_from([IDLE, STOP, NOTIFY]) | st.builds(lambda name: UseRecord(action=name, params={}), ANY_TEXT)
SHARES = st.decimals(0, 10**6, places=3)
TARGETS = st.builds(
    lambda name, place, **changes: target(name, **place, **changes),
    NAMES,
    st.fixed_dictionaries({"region": NAMES, "project": NAMES}),
    use=USES.filter(lambda use: use != NOTIFY),
    status=STATUSES,
    reason=ANY_TEXT,
    maybe=st.booleans(),
    retry_at=TIMES,
    step=st.sampled_from(["actual-1", "actual-2"]),
    saving=st.decimals(0, 10**6, places=2),
    remains=st.lists(ANY_TEXT, max_size=2).map(tuple),
    drift=st.none() | st.builds(Drift, by=ANY_TEXT, state=st.just(state(1)), seen_at=st.just(NOW)),
    last_modifier=ANY_TEXT,
)
MANY = st.lists(TARGETS, max_size=6).flatmap(
    lambda targets: st.sampled_from([1, 40]).map(
        lambda times: [each.but(resource=f"{each.resource}{n}") for n in range(times) for each in targets]
    )
)
STEPS = st.builds(
    StepRecord, key=st.sampled_from(["actual-1", "actual-2"]), at=SHARES, on=st.sampled_from(["actual", "forecast"]), uses=st.lists(USES, max_size=3).map(tuple),
    state=st.sampled_from(["waiting", "approval", "open", "planned", "refused", "cancelled"]), opens_at=TIMES, decided_by=ANY_TEXT, told=st.booleans(),
)  # fmt: skip
SUMS = st.decimals(-(10**20), 10**20, places=4)
BURNS = st.builds(
    Burn, SUMS, st.lists(st.builds(Reach, SHARES, KNOWN_TIMES), max_size=6).map(tuple), TIMES, st.none() | SUMS, st.none() | st.builds(Rise, SUMS, SUMS)
)  # fmt: skip
ENTRIES = st.builds(
    Entry, key=ANY_TEXT, created=st.just(NOW), mode=st.sampled_from(["observe", "enforce"]), restore=st.sampled_from(["next_period", "manual"]),
    notification=st.none() | st.builds(
        notification, budget_name=ANY_TEXT, cost=st.decimals(-(10**20), 10**20, places=4), amount=st.decimals(-10, 10**20, places=2),
        currency=st.sampled_from(["USD", "JPY", "XXX", "CHF"]) | ANY_TEXT, forecast_threshold=st.none() | SHARES,
    ),
    steps=st.lists(STEPS, max_size=12).map(tuple), targets=MANY.map(tuple),
    untouched=st.lists(st.builds(untouched, NAMES, ANY_TEXT), max_size=15).map(tuple),
    unseen=st.lists(st.builds(UnseenRecord, project=ANY_TEXT, region=ANY_TEXT, kind=ANY_TEXT, reason=ANY_TEXT, retry_at=KNOWN_TIMES), max_size=15).map(tuple),
    undo=st.none() | st.builds(Undo, by=ANY_TEXT, at=st.just(NOW)), burn=st.none() | BURNS,
)  # fmt: skip


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(plan=ENTRIES, preview=MANY, word=ANY_TEXT, flag=st.booleans())
def test_every_message_keeps_slacks_limits_and_lets_nothing_be_injected(
    plan: Entry, preview: list[TargetRecord], word: str, flag: bool
) -> None:
    """Whatever an entry is made of, Slack takes the message and finds no mention, no link and no hidden direction in it."""
    letters = [
        report.reached(plan, carried_out=plan.targets, preview=preview, now=NOW),
        report.refused(plan, sentence=word, now=NOW),
        report.restored(plan, targets=plan.targets, by=word, now=NOW),
        report.drifted(plan, targets=plan.targets, reparked=flag, now=NOW),
        report.followed_up(plan, targets=plan.targets, now=NOW),
        report.rejected(kind=word, detail=word, now=NOW),
        report.unreadable(name=word, detail=word, now=NOW),
    ]
    for letter in letters:
        check_letter(letter)
    shown = report.outcome_text(plan)
    assert not {char for char in shown if char < " " and char != "\n"}
