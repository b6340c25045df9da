"""Topics to which Google may not send the messages of budgets."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from shared.audit.estate import Estate
from shared.audit.finding import Finding
from shared.checks import Check

GOOGLE = "serviceAccount:billing-budget-alert@system.gserviceaccount.com"
"""Who sends budget messages: https://docs.cloud.google.com/organization-policy/restrict-domains"""


def find(estate: Estate) -> Iterator[Finding]:
    """Each topic that a budget names and whose own IAM policy does not let Google publish."""
    for topic in estate.topics or ():
        if topic.use != "budgets" or not topic.exists or topic.publishers is None or GOOGLE in topic.publishers:
            continue
        yield CHECK.finding(
            topic.name,
            "medium",
            "its own IAM policy does not let Google's budgets publish to it",
            "If no policy above it does either, budget messages stop without a word; somebody may have replaced the topic's policy as a whole",
            mend=(
                f"gcloud pubsub topics add-iam-policy-binding {shlex.quote(topic.name)} --member={GOOGLE} --role=roles/pubsub.publisher",
            ),
        )


CHECK = Check(name="topic_publisher", category="watch", lever="", needs=frozenset({"topics"}), find=find)
