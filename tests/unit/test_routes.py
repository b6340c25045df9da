"""Several teams: each is told of what is its own, and the policy's channel of the rest and of the plan as a whole."""

from __future__ import annotations

from typing import Any

import pytest

from shared.policy.policy import SlackRules
from shared.slack.conversation import thread_name
from tests.doubles import MemoryMessage
from tests.stage import CHANNEL, IDLE_80, STOPPED, Stage, a_notification, a_policy
from tests.yard import RUNS, Yard, the_policy

VISION, SPEECH = "#vision-ml", "#speech"
SLACK = f'routes: {{team: {{vision: "{VISION}", speech: "{SPEECH}"}}}}'
WAIT_100 = f"{{at: 100%, wait: 30m, approve: false, do: [{STOPPED}]}}"
THREAD = f"thread:{thread_name(a_notification())}"


def a_stage(*steps: str, **more: Any) -> Stage:
    """One service of each team, and one of nobody's."""
    stage = Stage(a_policy(*steps, slack=SLACK, **more))
    for name, labels in {"detector": {"team": "vision"}, "transcriber": {"team": "speech"}, "trainer": {}}.items():
        stage.service(name, labels={"env": "staging", **labels})
    return stage


def told(stage: Stage, channel: str) -> list[MemoryMessage]:
    """What a channel was told, without its headlines."""
    return [each for each in stage.messenger.messages.values() if each.channel == channel and not each.reference.startswith("thread/")]


def test_the_first_label_that_the_policy_names_decides() -> None:
    """And where none does, it is the policy's channel, which has no name here."""
    rules = SlackRules.model_validate({"channel": "#all", "routes": {"team": {"vision": "#v"}, "env": {"dev": "#d"}}})
    assert [rules.route(labels) for labels in ({"team": "vision", "env": "dev"}, {"env": "dev"}, {"team": "other"}, {})] == [
        "#v",
        "#d",
        "",
        "",
    ]


def test_each_team_is_told_of_its_own() -> None:
    """In a thread of its own; the channel of the policy is told of the rest, and where the others are told."""
    stage = a_stage(IDLE_80)
    stage.send(85)
    for channel, name in {VISION: "detector", SPEECH: "transcriber", CHANNEL: "trainer"}.items():
        (message,) = told(stage, channel)
        assert "DONE (1)" in message.text
        assert f"• `{name}` · " in message.text
    assert f"Told to their own teams: 1 in `{SPEECH}`, 1 in `{VISION}`" in told(stage, CHANNEL)[0].text
    headlines = {each.channel: each.text for each in stage.messenger.headlines}
    assert "PARKED NOW: 1 service\n`detector`" in headlines[VISION]
    assert "PARKED NOW: 3 services" in headlines[CHANNEL]


def test_a_team_decides_about_its_own() -> None:
    """What it puts back or holds is what it was told of; the plan as a whole is decided in the policy's channel."""
    stage = a_stage(IDLE_80, WAIT_100)
    stage.send(85)
    stage.send(105)
    warning = told(stage, VISION)[-1]
    assert set(stage.buttons(warning)) == {"hold", "show"}
    assert set(stage.buttons(told(stage, CHANNEL)[-1])) == {"cancel", "hold", "show"}
    assert stage.buttons(told(stage, VISION)[0])["restore"]["value"] == VISION
    entry = next(entry for entry in stage.open() if entry.targets)
    assert stage.press("restore", f"entry:{entry.key}", VISION).startswith("1 resource to be put back. ")
    assert sorted(target.short_name for target in stage.ann().entry(entry.key).parked()) == ["trainer", "transcriber"]
    assert told(stage, VISION)[-1].text.startswith("ML Training Budget: 1 put back")
    assert len(told(stage, SPEECH)) == 2


def test_a_team_that_comes_back_is_told_of_it() -> None:
    """Drift is told where the service is told of."""
    stage = a_stage(IDLE_80)
    stage.send(85)
    name = next(name for name in stage.services.resources if name.endswith("detector"))
    stage.services.deploy(name, "cloudbuild@acme", minimum=3)
    stage.clock.sleep(3600)
    stage.send(86)
    assert told(stage, VISION)[-1].text.startswith("ML Training Budget: 1 came back")
    assert not any("came back" in each.text for each in told(stage, CHANNEL))


def test_a_decision_is_told_where_it_was_asked() -> None:
    """A team is not told that a plan was called off that it could not decide about."""
    stage = a_stage(WAIT_100)
    stage.send(105)
    (entry,) = stage.open()
    stage.ann().cancel(entry.key)
    assert "CALLED OFF (1)" in told(stage, CHANNEL)[-1].text
    assert len(told(stage, VISION)) == 1


def test_the_next_period_is_told_to_each() -> None:
    """What is its own was put back."""
    stage = a_stage(IDLE_80)
    stage.send(85)
    stage.next_period()
    assert [told(stage, channel)[-1].text.split("\n", 1)[0] for channel in (VISION, SPEECH, CHANNEL)] == [
        "ML Training Budget: 1 put back"
    ] * 3


def test_a_hold_in_a_teams_channel_means_the_teams_own() -> None:
    """What others were told of stays parked."""
    stage = a_stage(IDLE_80)
    stage.send(85)
    (entry,) = stage.open()
    (there,) = [each.posted for each in entry.messages if each.channel == VISION and each.posted]
    said = stage.press("hold", f"entry:{entry.key}", "4h", channel=there[0])
    assert said.startswith("Held until 2026-11-20 16:00 UTC at least: `detector`. ")
    assert sorted(target.short_name for target in stage.entry().parked()) == ["trainer", "transcriber"]


@pytest.fixture
def yard() -> Yard:
    """A bucket of the team vision, full of runs."""
    yard = Yard(the_policy(slack=SLACK))
    yard.objects.buckets[RUNS].facts = type(yard.objects.buckets[RUNS].facts)(
        **{
            name: getattr(yard.objects.buckets[RUNS].facts, name) for name in yard.objects.buckets[RUNS].facts.__slots__ if name != "labels"
        },
        labels={"team": "vision"},
    )
    return yard


def test_a_run_is_told_where_its_bucket_belongs(yard: Yard) -> None:
    """By the labels of the bucket."""
    yard.announced()
    assert {each.channel for each in yard.messenger.messages.values()} == {VISION}


def test_a_teams_headline_puts_back_the_teams_own() -> None:
    """The same button below the headline of the policy's channel means all that is parked."""
    stage = a_stage(IDLE_80)
    stage.send(85)
    headlines = {each.channel: each for each in stage.messenger.headlines}
    value = stage.buttons(headlines[VISION])["restore"]["value"]
    assert stage.press("restore", THREAD, value).startswith("1 resource to be put back. ")
    assert sorted(target.short_name for target in stage.entry().parked()) == ["trainer", "transcriber"]
    assert stage.press("restore", THREAD, stage.buttons(headlines[CHANNEL])["restore"].get("value", "")).startswith("2 resources ")


def test_a_route_to_the_policys_own_channel_is_none() -> None:
    """A team that is told there has no message of its own, which would take the buttons from that of the whole plan."""
    stage = Stage(a_policy(f"{{at: 100%, approve: true, do: [{STOPPED}]}}", slack=f'routes: {{team: {{vision: "{CHANNEL}"}}}}'))
    stage.service("detector", labels={"env": "staging", "team": "vision"})
    stage.send(105)
    (message,) = told(stage, CHANNEL)
    assert set(stage.buttons(message)) == {"approve", "cancel", "hold", "show"}


def test_a_policys_channel_that_is_named_otherwise_now_is_no_teams() -> None:
    """Its headline still says what is parked, where its name was changed for its id."""
    stage = a_stage(IDLE_80)
    stage.send(85)
    stage.policy = a_policy(IDLE_80, slack=SLACK).model_copy(
        update={"slack": stage.policy.slack.model_copy(update={"channel": "C0000000009"})}
    )
    stage.clock.sleep(3600)
    stage.send(86)
    headlines = {each.channel: each.text for each in stage.messenger.headlines}
    assert "PARKED NOW: 3 services" in headlines[CHANNEL]
    assert "PARKED NOW: 1 service\n" in headlines[VISION]


def test_what_was_changed_for_the_teams_alone_was_changed() -> None:
    """The policy's channel is told where, and not that nothing was."""
    stage = Stage(a_policy(IDLE_80, slack=SLACK))
    stage.service("detector", labels={"env": "staging", "team": "vision"})
    stage.send(85)
    (message,) = told(stage, CHANNEL)
    assert f"Told to their own teams: 1 in `{VISION}`" in message.text
    assert "Nothing was changed" not in message.text
