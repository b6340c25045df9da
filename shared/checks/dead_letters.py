"""Messages that nobody took, and subscriptions that would lose them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from shared.audit.estate import Estate
from shared.audit.finding import Finding
from shared.audit.seen import SubscriptionSeen, TopicSeen
from shared.checks import Check
from shared.slack.text import plural


def find(estate: Estate) -> Iterator[Finding]:
    """What waits among the dead letters, and what is wrong with the subscriptions of the watchdog's topics."""
    for topic in estate.topics or ():
        if topic.use == "dead letters":
            yield from _dead(topic)
        for subscription in topic.subscriptions or ():
            yield from _living(topic, subscription, estate)


def _dead(topic: TopicSeen) -> Iterator[Finding]:
    if not topic.exists or topic.subscriptions == ():
        yield CHECK.finding(
            topic.name,
            "medium",
            "the topic for dead letters is gone" if not topic.exists else "nothing subscribes to the topic for dead letters",
            "What nobody could take is lost, and nobody can see what it was",
            mend=(
                f"gcloud pubsub subscriptions create cost-watchdog-dead-letters --topic={shlex.quote(topic.name)} --expiration-period=never",
            ),
        )
    for subscription in topic.subscriptions or ():
        if subscription.undelivered:
            yield CHECK.finding(
                f"{subscription.name}/waiting",
                "high",
                f"{plural(subscription.undelivered, 'message')} waited in vain and {'lies' if subscription.undelivered == 1 else 'lie'} among the dead letters",
                "A function failed with each of them every time; what they asked for was not done",
                mend=(f"gcloud pubsub subscriptions pull {shlex.quote(subscription.name)} --limit=5   # shows them and leaves them there",),
            )


def _living(topic: TopicSeen, subscription: SubscriptionSeen, estate: Estate) -> Iterator[Finding]:
    name, project = shlex.quote(subscription.name), subscription.name.split("/")[1]
    # Who moves messages to a dead-letter topic: https://docs.cloud.google.com/pubsub/docs/handling-failures#grant_forwarding_permissions
    agent = f"serviceAccount:service-{estate.numbers.get(project, 'PROJECT_NUMBER')}@gcp-sa-pubsub.iam.gserviceaccount.com"
    if subscription.expires_after is not None:
        yield CHECK.finding(
            f"{subscription.name}/expiry",
            "low" if topic.use != "dead letters" else "medium",
            f"the subscription is deleted after {subscription.expires_after.days} days without a subscriber",
            "What is rarely needed is gone when it is needed",
            mend=(f"gcloud pubsub subscriptions update {name} --expiration-period=never",),
        )
    if topic.use != "dead letters" and not subscription.dead_letter_topic:
        yield CHECK.finding(
            f"{subscription.name}/dead-letters",
            "low",
            f"messages to {topic.name.rpartition('/')[2]} that fail again and again go nowhere",
            "They are tried for a day and then discarded, and nobody can see what they were",
            mend=(
                f"gcloud pubsub subscriptions update {name} --dead-letter-topic=TOPIC --max-delivery-attempts=20",
                f"gcloud pubsub topics add-iam-policy-binding TOPIC --member={agent} --role=roles/pubsub.publisher",
                f"gcloud pubsub subscriptions add-iam-policy-binding {name} --member={agent} --role=roles/pubsub.subscriber",
            ),
        )


CHECK = Check(name="dead_letters", category="watch", lever="", needs=frozenset({"budgets", "topics"}), find=find)
