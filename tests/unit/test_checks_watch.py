"""What an audit finds about the watch itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.audit.estate import Gap, JournalSeen, Need
from shared.audit.finding import is_command
from shared.audit.seen import SubscriptionSeen, TopicSeen
from shared.blind import Voice, Watch
from shared.brake import Brake, Change
from shared.checks.topic_publisher import GOOGLE
from shared.entry import Drift, Entry, MessageRecord, StepRecord, TargetRecord, UnseenRecord, UseRecord
from shared.errors import JournalError
from shared.journal import Holds
from shared.objects.job import Job
from shared.rights import Rights
from shared.slack.conversation import Delivery, Outage
from tests.estates import DAY, NOW, POLICY, a_bucket, a_service, an_estate, found, told
from tests.stage import IDLE_80, PROJECT, a_policy, full_name

HOUR = timedelta(hours=1)
WATCH = Watch(since=NOW - 9 * DAY, looked_at=NOW - HOUR / 6)
RIGHTS = Rights(tested_at=NOW - HOUR)
SOUND = JournalSeen(watch=WATCH, rights=RIGHTS, voices=(Voice("A", "b", "ML", NOW - HOUR),))
SUBSCRIPTION = SubscriptionSeen(f"projects/{PROJECT}/subscriptions/s", dead_letter_topic="dead")
TOPIC = TopicSeen(f"projects/{PROJECT}/topics/budgets", "budgets", publishers=(GOOGLE,), subscriptions=(SUBSCRIPTION,))
CHECKS = (
    "silent_budgets", "no_tick", "topic_publisher", "dead_letters", "stuck_entries", "came_back", "expired_holds", "runtime_support", "missing_permissions", "slack_delivery", "brake", "blanks",
    "not_deployed",
)  # fmt: skip


def test_nothing_is_wrong() -> None:
    """A watch that works is not spoken of; nor is anything where nothing could be seen, or where there is no watchdog but that."""
    assert {name for name in CHECKS if found(name, an_estate(journal=SOUND, topics=(TOPIC,)))} == set()
    assert {name for name in CHECKS if found(name, an_estate(topics=None))} == set()
    assert {name for name in CHECKS if found(name, an_estate(topics=None, deployed=False))} == {"not_deployed"}
    idle = POLICY.model_copy(update={"budgets": ()})
    assert {name for name in CHECKS if found(name, an_estate(policy=idle, journal=JournalSeen()))} == set()


def test_silence() -> None:
    """A budget that was not heard for `blind_after`, and a rule of which none was ever heard; whether people know of it already or not."""
    deaf = replace(SOUND, voices=(Voice("A", "b", "ML", NOW - 3 * DAY),))
    assert told("silent_budgets", an_estate(journal=deaf)) == [("b", "high", "no message of the budget 'ML' since 2026-11-21 12:00 UTC")]
    known = replace(deaf, watch=WATCH.but(silent={"budget A/b": NOW - 3 * DAY}))
    assert len(found("silent_budgets", an_estate(journal=known))) == 1
    named = a_policy("{at: 50%, do: [notify]}", budget="Never")
    awaited = replace(SOUND, watch=WATCH.but(awaited={"rule Never": NOW - 5 * DAY}))
    assert [what for _, _, what in told("silent_budgets", an_estate(journal=awaited, policy=named))] == [
        "never a message of the budget 'Never', waited for since 2026-11-19 12:00 UTC"
    ]
    anyone = replace(SOUND, voices=(), watch=WATCH.but(awaited={"rule *": NOW - 5 * DAY}))
    assert [what for _, _, what in told("silent_budgets", an_estate(journal=anyone))] == [
        "no message of any budget at all since 2026-11-19 12:00 UTC"
    ]


def test_the_tick() -> None:
    """It is late, or never came."""
    late = replace(SOUND, watch=WATCH.but(looked_at=NOW - 2 * HOUR))
    assert [what for _, _, what in told("no_tick", an_estate(journal=late))] == ["the tick has not come since 2026-11-24 10:00 UTC"]
    assert [what for _, _, what in told("no_tick", an_estate(journal=JournalSeen()))] == ["the tick never came"]


def test_who_may_publish() -> None:
    """Google may not; where that is not known, or the topic is gone or another's, nothing is said."""
    (finding,) = found("topic_publisher", an_estate(topics=(replace(TOPIC, publishers=()),)))
    assert (finding.severity, finding.mend[0].endswith(f"--member={GOOGLE} --role=roles/pubsub.publisher")) == ("medium", True)
    for other in ({"publishers": None}, {"publishers": (), "exists": False}, {"publishers": (), "use": "tasks"}):
        changed: dict[str, Any] = other
        assert found("topic_publisher", an_estate(topics=(replace(TOPIC, **changed),))) == []


def test_dead_letters() -> None:
    """What waits there, a topic for them that nobody reads, and subscriptions that would lose messages."""
    dead = TopicSeen("projects/p/topics/dead", "dead letters", subscriptions=(replace(SUBSCRIPTION, undelivered=1),))
    assert told("dead_letters", an_estate(topics=(dead,))) == [
        ("waiting", "high", "1 message waited in vain and lies among the dead letters")
    ]
    assert found("dead_letters", an_estate(topics=(replace(dead, subscriptions=(replace(SUBSCRIPTION, undelivered=0),)),))) == []
    assert [what for _, _, what in told("dead_letters", an_estate(topics=(replace(dead, subscriptions=()),)))] == [
        "nothing subscribes to the topic for dead letters"
    ]
    gone = replace(dead, exists=False, subscriptions=None)
    assert [what for _, _, what in told("dead_letters", an_estate(topics=(gone,)))] == ["the topic for dead letters is gone"]
    careless = replace(SUBSCRIPTION, dead_letter_topic="", expires_after=31 * DAY)
    assert told("dead_letters", an_estate(topics=(replace(TOPIC, subscriptions=(careless,)),))) == [
        ("expiry", "low", "the subscription is deleted after 31 days without a subscriber"),
        ("dead-letters", "low", "messages to budgets that fail again and again go nowhere"),
    ]
    (_, nowhere) = found("dead_letters", an_estate(topics=(replace(TOPIC, subscriptions=(careless,)),)))
    assert all("service-42@gcp-sa-pubsub.iam.gserviceaccount.com" in line for line in nowhere.mend[1:])
    forgotten = replace(dead, subscriptions=(replace(SUBSCRIPTION, expires_after=31 * DAY, undelivered=2),))
    assert [severity for _, severity, _ in told("dead_letters", an_estate(topics=(forgotten,)))] == ["high", "medium"]


def an_entry(**more: Any) -> Entry:
    """An entry of two days ago."""
    return Entry(key="budget-x", created=NOW - 2 * DAY, mode="enforce", **more)


def a_target(**more: Any) -> TargetRecord:
    """A service that is parked."""
    fields: dict[str, Any] = {
        "resource": full_name("warm"),
        "kind": "service",
        "use": UseRecord(action="scale_to_zero", params={}),
        "step": "actual-0.8",
    }
    return TargetRecord(**(fields | {"before": {}, "found": {}, "wanted": {}} | more))


def a_step(state: Any) -> StepRecord:
    """A step in this state."""
    return StepRecord(key="actual-0.8", at=POLICY.budgets[0].steps[0].at, on="actual", uses=(), state=state)


def stuck(*entries: Entry) -> list[tuple[str, str, str]]:
    """What is told of these entries."""
    return told("stuck_entries", an_estate(journal=replace(SOUND, entries=entries)))


def test_entries_that_fail() -> None:
    """After some attempts it is grave; a few are nothing to speak of."""
    failed = a_target(status="failed", attempts=5, reason="permission denied")
    assert stuck(an_entry(targets=(failed,))) == [
        ("failed", "high", "1 resource could not be changed or put back in 5 attempts (warm: permission denied)")
    ]
    assert stuck(an_entry(targets=(failed.but(attempts=4),))) == []
    job = Job(action="delete_run", bucket="b", prefix="runs/a/", tries=5)
    assert [what for _, _, what in stuck(an_entry(job=job))] == ["work on gs://b/runs/a/ did not get on in 5 attempts"]
    assert stuck(an_entry(job=job.but(tries=1))) == []
    denied = job.but(tries=0, attempts=6, reason="gs://b: permission denied.")
    assert [what for _, _, what in stuck(an_entry(job=denied))] == [
        "work on gs://b/runs/a/ did not get on in 6 attempts: gs://b: permission denied"
    ]


def test_places_that_cannot_be_seen() -> None:
    """What a step should park there still runs."""
    place = UnseenRecord(project="p", region="us-central1", kind="worker_pool", reason="permission denied.", attempts=5, retry_at=NOW)
    assert stuck(an_entry(unseen=(place, place.but(attempts=1)))) == [
        ("unseen", "high", "1 place could not be looked at in 5 attempts (the worker pools of p/us-central1: permission denied)")
    ]
    assert stuck(an_entry(unseen=(place.but(attempts=4),))) == []


def test_channels_that_take_no_messages() -> None:
    """What only a person can mend is grave at once, and an outage of Slack's after an hour; the messages that wait are counted once, here."""
    outage = Outage(since=NOW - timedelta(minutes=5), reason="Slack answers 'token_revoked'.", lasting=True, attempts=3, next_at=NOW)
    message = MessageRecord(id="x/1", channel="#ml-cost", text="text", created=NOW - DAY)
    entries = (an_entry(messages=(message, message.but(id="x/2", sent_at=NOW), message.but(id="x/3", channel="#other", created=NOW))),)

    def seen(**changes: object) -> list[tuple[str, str, str]]:
        delivery = Delivery(outages={"#ml-cost": outage.but(**changes)})
        journal = replace(SOUND, entries=entries, delivery=delivery)
        assert told("stuck_entries", an_estate(journal=journal)) == []
        return told("slack_delivery", an_estate(journal=journal))

    said = "Slack takes no messages for #ml-cost since 2026-11-24 11:55 UTC: Slack answers 'token_revoked'"
    assert seen() == [("#ml-cost", "high", said)]
    assert seen(lasting=False) == []
    assert len(seen(lasting=False, since=NOW - timedelta(hours=1))) == 1
    assert seen(mended_at=NOW) == []
    (finding,) = found(
        "slack_delivery", an_estate(journal=replace(SOUND, entries=entries, delivery=Delivery(outages={"#ml-cost": outage})))
    )
    assert "1 message will be delivered after the mend" in finding.why


def test_the_brake() -> None:
    """While it is on, and with how it is released."""
    brake = Brake().after(Change(at=NOW - HOUR, kind="runs", entry="run-x", parts=("objects",), count=3), 2)
    (finding,) = found("brake", an_estate(journal=replace(SOUND, brake=brake)))
    assert (finding.severity, finding.what) == (
        "high",
        "The watchdog has stopped itself: no more runs are deleted since 2026-11-24 11:00 UTC",
    )
    assert finding.why.startswith("run-x was about to change 3 runs, 0 were changed within the hour before, and limits.per_hour allows 2")
    assert finding.mend[-1] == "python -m functions release"
    assert found("brake", an_estate(journal=replace(SOUND, brake=brake.released(brake.stops, "ann", NOW)))) == []


def test_entries_that_wait_for_a_person() -> None:
    """Longer than a day."""
    assert [what for _, _, what in stuck(an_entry(steps=(a_step("approval"),)))] == ["waits for a person since 2026-11-22 12:00 UTC"]
    assert len(stuck(an_entry(job=Job(action="delete_run", bucket="b", prefix="runs/a/", stage="refused")))) == 1
    assert stuck(an_entry(steps=(a_step("approval"),)).but(created=NOW - HOUR)) == []
    assert stuck(an_entry(steps=(a_step("planned"),))) == []


def test_messages_that_were_not_delivered() -> None:
    """Slack's answer is told; what was written just now is on its way."""
    message = MessageRecord(id="1", channel="#ml", text="x", created=NOW - 2 * HOUR)
    assert [what for _, _, what in stuck(an_entry(messages=(message.but(error="token_revoked"), message.but(id="2"))))] == [
        "2 messages to Slack could not be delivered: token_revoked"
    ]
    assert [what for _, _, what in stuck(an_entry(messages=(message,)))] == ["1 message to Slack could not be delivered: not tried yet"]
    assert stuck(an_entry(messages=(message.but(sent_at=NOW), message.but(id="2", created=NOW)))) == []


def test_objects_that_cannot_be_read() -> None:
    """Each is named."""
    journal = replace(SOUND, faults=(JournalError("entries/x.json", "cannot be read"),))
    assert told("stuck_entries", an_estate(journal=journal)) == [
        ("x.json", "high", "an object of the journal cannot be read, and is left alone")
    ]


def test_what_came_back() -> None:
    """With who changed it last."""
    drift = Drift(by="ann@acme.example", state={}, seen_at=NOW - HOUR)
    entry = an_entry(targets=(a_target(status="verified", drift=drift), a_target(resource=full_name("other"), status="verified")))
    assert told("came_back", an_estate(journal=replace(SOUND, entries=(entry,)))) == [
        ("warm", "medium", "was parked and came back: changed by ann@acme.example, seen 2026-11-24 11:00 UTC")
    ]
    older = an_entry(targets=(a_target(status="verified", drift=drift.but(by="bob", seen_at=NOW - DAY)),))
    for both in ((entry, older), (older, entry)):
        (finding,) = found("came_back", an_estate(journal=replace(SOUND, entries=both)))
        assert "changed by ann@acme.example" in finding.what
    nobody = an_entry(targets=(a_target(status="verified", drift=drift.but(by="")),))
    assert "changed by somebody" in found("came_back", an_estate(journal=replace(SOUND, entries=(nobody,))))[0].what


def test_holds() -> None:
    """Those that ended lately."""
    holds = Holds(until={"a b": NOW - DAY, "later": NOW + DAY, "old": NOW - 30 * DAY}, by={"a b": "ann"})
    (finding,) = found("expired_holds", an_estate(journal=replace(SOUND, holds=holds)))
    assert (finding.what, finding.severity) == ("the hold on a b by ann ended at 2026-11-23 12:00 UTC", "low")
    assert finding.mend[0].startswith("python -m functions hold 'a b' --until")


@pytest.mark.parametrize(
    ("runtime", "days", "severity"),
    [
        ("python39", 0, "high"),
        ("nodejs20", 0, None),
        ("python310", 0, "medium"),
        ("python310", 200, "high"),
        ("python311", 0, None),
        ("python313", 0, None),
        ("python399", 0, None),
    ],
)
def test_the_watchdogs_own_runtime(runtime: str, days: int, severity: str | None) -> None:
    """It is told half a year before it is deprecated, and is grave when nothing can be deployed any more."""
    estate = an_estate(runtime=runtime, now=NOW + days * DAY)
    assert [each for _, each, _ in told("runtime_support", estate)] == ([severity] if severity else [])


def test_other_functions_runtimes() -> None:
    """They are told of, less gravely."""
    old = {"base_image": "us-central1-docker.pkg.dev/serverless-runtimes/google-22/runtimes/python310"}
    services = (a_service("theirs", facts=old), a_service("own", facts=old | {"watchdog": True}), a_service("plain"))
    assert told("runtime_support", an_estate(*services)) == [
        ("own", "medium", "runs on python310, which is deprecated since 2026-10-04 and decommissioned on 2027-04-04"),
        ("theirs", "low", "runs on python310, which is deprecated since 2026-10-04 and decommissioned on 2027-04-04"),
    ]
    assert [each for _, each, _ in told("runtime_support", an_estate(services[0], now=NOW + 200 * DAY))] == ["medium"]
    ancient = a_service("ancient", facts={"base_image": "gcr.io/runtimes/python38:3"})
    assert told("runtime_support", an_estate(ancient)) == [("ancient", "medium", "runs on python38, which is decommissioned")]
    soon = an_estate(runtime="python311", now=NOW + 300 * DAY)
    assert [what for _, _, what in told("runtime_support", soon)] == [
        "runs on python311, which is deprecated from 2027-10-24 and decommissioned on 2028-04-24"
    ]


def test_permissions_that_are_missing() -> None:
    """Each place names what it lacks and which actions need it, with the commands that grant it."""
    rights = RIGHTS.but(
        missing={f"project {PROJECT}": ("run.services.update",), "bucket b": ("storage.objects.restore",)},
        untested={"bucket c": "no such bucket"},
    )
    findings = found("missing_permissions", an_estate(journal=replace(SOUND, rights=rights)))
    assert [(each.severity, each.what) for each in findings] == [
        ("high", "on bucket b the watchdog lacks storage.objects.restore"), ("high", f"on project {PROJECT} the watchdog lacks run.services.update"),
        ("medium", "what the watchdog may do on bucket c cannot be tested: no such bucket"),
    ]  # fmt: skip
    assert findings[1].why.startswith("Needed for scale_to_zero: ")
    assert "buckets add-iam-policy-binding gs://b " in findings[0].mend[-1]
    assert f"projects add-iam-policy-binding {PROJECT} " in findings[1].mend[-1]
    assert all(is_command(line) and "\n" not in line for finding in findings for line in finding.mend)


def test_a_custom_role_is_made_where_it_is_granted() -> None:
    """Of the project that is watched, or of the bucket's; with all that was tested, since the next place of the project finds it made."""
    place = "project acme-other"
    rights = RIGHTS.but(
        missing={place: ("run.services.update",), "bucket b": ("storage.objects.restore",)},
        tested={place: ("run.services.get", "run.services.update"), "bucket b": ("storage.objects.restore",)},
    )
    bucket, project = found("missing_permissions", an_estate(a_bucket("b"), journal=replace(SOUND, rights=rights)))
    assert project.mend == (
        "gcloud iam roles create costWatchdog --project=acme-other --permissions=run.services.get,run.services.update",
        "gcloud iam roles update costWatchdog --project=acme-other --add-permissions=run.services.update   # in place of the first, where there is such a role",
        "gcloud projects add-iam-policy-binding acme-other --member=serviceAccount:SERVICE_ACCOUNT --role=projects/acme-other/roles/costWatchdog",
    )
    assert bucket.mend[-1].endswith(f"--role=projects/{PROJECT}/roles/costWatchdog")


def test_what_needs_a_permission() -> None:
    """Only what the policy says: the actions of its steps there, and its rules about artifacts."""
    noncurrent = "{at: 90%, do: [{delete_noncurrent: {buckets: [acme-b], older_than: 30d}}]}"
    artifacts = "artifacts: [{bucket: acme-c, runs: 'runs/{run}/', failed_when: [failed_marker], unless: [_SUCCESS]}]"
    policy = a_policy(IDLE_80, noncurrent, more=artifacts)
    lacking = {f"project {PROJECT}": ("run.operations.get",)} | {f"bucket acme-{name}": ("storage.objects.restore",) for name in "bcd"}
    findings = found("missing_permissions", an_estate(policy=policy, journal=replace(SOUND, rights=RIGHTS.but(missing=lacking))))
    assert [finding.why.removeprefix("Needed for ").partition(": ")[0] for finding in findings] == [
        "delete_noncurrent", "the rule about the runs runs/{run}/", "what the policy asked for then", "scale_to_zero",
    ]  # fmt: skip


def test_permissions_that_nobody_tested() -> None:
    """Never, or not lately."""
    never, old = replace(SOUND, rights=None), replace(SOUND, rights=RIGHTS.but(tested_at=NOW - 9 * DAY))
    assert [what for _, _, what in told("missing_permissions", an_estate(journal=never))] == ["the watchdog never tested its permissions"]
    assert [what for _, _, what in told("missing_permissions", an_estate(journal=old))] == [
        "the watchdog's permissions were last tested at 2026-11-15 12:00 UTC"
    ]


@pytest.mark.parametrize(
    ("need", "what", "on", "granted"),
    [
        ("resources", "the services of p", "project p", "projects add-iam-policy-binding p --member=user:YOU --role=roles/run.viewer"),
        (
            "resources",
            "the buckets of p",
            "project p",
            "projects add-iam-policy-binding p --member=user:YOU --role=roles/storage.bucketViewer",
        ),
        (
            "budgets",
            "the budgets of A",
            "billing account A",
            "billing accounts add-iam-policy-binding A --member=user:YOU --role=roles/billing.viewer",
        ),
        ("budgets", "the number of project p", "project p", "projects add-iam-policy-binding p --member=user:YOU --role=roles/browser"),
        (
            "topics",
            "who may publish to t",
            "project p",
            "projects add-iam-policy-binding p --member=user:YOU --role=roles/iam.securityReviewer",
        ),
        (
            "topics",
            "what waits in the subscriptions of p",
            "project p",
            "projects add-iam-policy-binding p --member=user:YOU --role=roles/monitoring.viewer",
        ),
        ("topics", "the subscriptions of t", "project p", "projects add-iam-policy-binding p --member=user:YOU --role=roles/pubsub.viewer"),
        (
            "objects",
            "the objects of gs://b",
            "bucket b",
            "storage buckets add-iam-policy-binding gs://b --member=user:YOU --role=roles/storage.objectViewer",
        ),
        (
            "journal",
            "the journal",
            "the state bucket",
            "storage buckets add-iam-policy-binding gs://STATE_BUCKET --member=user:YOU --role=roles/storage.objectViewer",
        ),
    ],
)
def test_what_could_not_be_looked_at(need: Need, what: str, on: str, granted: str) -> None:
    """A missing permission is worth mending, with the exact role; what only did not answer is good to know."""
    (denied,) = found("blanks", an_estate(gaps=(Gap(need, what, "permission denied", denied=True, on=on),)))
    assert (denied.severity, denied.what, denied.mend) == (
        "medium",
        f"{what} could not be looked at: permission denied",
        (f"gcloud {granted}",),
    )
    (function,) = found("blanks", an_estate(runtime="python313", gaps=(Gap(need, what, "permission denied", denied=True, on=on),)))
    assert function.mend == (f"gcloud {granted}".replace("user:YOU", "serviceAccount:AUDIT_SERVICE_ACCOUNT"),)
    (away,) = found("blanks", an_estate(gaps=(Gap(need, what, "is away", on=on),)))
    assert (away.severity, away.mend) == ("medium" if need == "journal" else "low", ())
