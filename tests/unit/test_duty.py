"""What a job has to do, by its kind and by the policy as it is now."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import pytest

from shared.actions import registry
from shared.actions.delete_noncurrent import Noncurrent
from shared.actions.notify import ACTION as NOTIFY
from shared.model import BucketFacts
from shared.objects import duty
from shared.objects.duty import duty_of, protection
from shared.objects.job import Job
from shared.objects.verdict import LeftAlone
from tests.stage import PROJECT
from tests.yard import DAY, HOUR, RUNS, Yard, a_rule, the_policy

RUN = Job(action="delete_run", bucket=RUNS, prefix="runs/run-1/", rule="runs/{run}/", occasion="failed")
STEP = Job(action="delete_noncurrent", bucket=RUNS, prefix="", params={"buckets": [RUNS], "older_than": "30d"})


def test_a_run_is_deleted_by_the_rule_as_it_is_now() -> None:
    """Its wait, its limits and whether it needs soft delete may have changed since the run was noticed."""
    yard = Yard(the_policy(a_rule(require_soft_delete="false", limits="{objects: 7}").replace("24h", "1h")))
    found = duty_of(RUN, yard.policy, yard.objects)
    assert (found.wait, found.require_soft_delete, found.limits.objects, found.versions) == (HOUR, False, 7, False)


@pytest.mark.parametrize("other", [a_rule().replace(RUNS, "acme-ml-more"), a_rule().replace("runs/{run}/", "runs/{any}/{run}/")])
def test_a_rule_of_another_bucket_or_another_folder_is_another_rule(other: str) -> None:
    """A run is not deleted by what somebody else's runs are deleted by."""
    yard = Yard(the_policy(other))
    with pytest.raises(LeftAlone, match=r"^the policy no longer has a rule for runs under runs/\{run\}/ in gs://acme-ml-runs$"):
        duty_of(RUN, yard.policy, yard.objects)


def test_a_run_without_a_sign_is_left_alone() -> None:
    """That cannot be, and if it is nothing is deleted."""
    yard = Yard(the_policy())
    with pytest.raises(LeftAlone, match="nothing says that it failed; that is a fault in the watchdog"):
        duty_of(RUN, yard.policy, yard.objects).check()


def test_a_step_does_what_the_policy_said_when_it_was_reached() -> None:
    """It has waited already, and nothing but the objects can forbid it."""
    yard = Yard(the_policy())
    found = duty_of(STEP, yard.policy, yard.objects)
    assert (found.wait, found.require_soft_delete, found.limits.objects, found.versions) == (0 * DAY, True, 1_000_000, True)
    found.check()


def test_an_action_that_does_not_say_which_objects_it_means_is_a_mistake_in_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is done with it."""
    odd = replace(NOTIFY, works=Noncurrent())
    monkeypatch.setattr(duty, "registry", lambda: MappingProxyType({**registry(), "notify": odd}))
    yard = Yard(the_policy())
    with pytest.raises(TypeError, match="the parameters of notify do not say which objects it means"):
        duty_of(STEP.but(action="notify", params={}), yard.policy, yard.objects)


@pytest.mark.parametrize("action", ["notify", "scale_to_zero", "shred"])
def test_an_action_that_works_on_no_objects_is_not_known_here(action: str) -> None:
    """Another version may know it."""
    yard = Yard(the_policy())
    with pytest.raises(LeftAlone, match=f"does not know the action {action}"):
        duty_of(STEP.but(action=action), yard.policy, yard.objects)


def test_a_bucket_is_protected_by_its_labels() -> None:
    """Like every other resource."""
    policy = the_policy()
    plain = BucketFacts(RUNS, "us-central1", 7 * DAY)
    assert protection(policy, plain, PROJECT) is None
    assert protection(policy, replace(plain, labels={"env": "prod"}), PROJECT) == "protected by the label env=prod"
