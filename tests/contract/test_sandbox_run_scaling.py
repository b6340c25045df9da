"""The sandbox's Cloud Run: its scaling rules as values, and the instances that they lead to."""

from __future__ import annotations

import pytest

from sandbox.run_scaling import Limits, Mode, Route, Scaling, ScalingError, change, instances, share

AUTOMATIC, MANUAL = Mode.AUTOMATIC, Mode.MANUAL
BOTH = {"min_instance_count", "max_instance_count"}


def test_going_manual_unsets_minimum_and_maximum() -> None:
    """Automatic to manual with a count: the service minimum and maximum read as unset afterwards."""
    after = change(Scaling(AUTOMATIC, 2, 9), Scaling(MANUAL, 2, 9, 4), {"scaling_mode", "manual_instance_count"}, unset_on_manual=True)
    assert after == Scaling(MANUAL, 0, None, 4)


def test_going_manual_keeps_minimum_and_maximum_under_the_other_reading() -> None:
    """With `unset_on_manual` off, minimum and maximum stay as they were."""
    after = change(Scaling(AUTOMATIC, 2, 9), Scaling(MANUAL, 2, 9, 0), {"scaling_mode", "manual_instance_count"}, unset_on_manual=False)
    assert after == Scaling(MANUAL, 2, 9, 0)


@pytest.mark.parametrize("unset", [True, False])
def test_going_manual_without_a_count_inherits_the_minimum(*, unset: bool) -> None:
    """Automatic to manual without a count: the count is the service minimum."""
    after = change(Scaling(AUTOMATIC, 3, 9), Scaling(MANUAL, 3, 9), {"scaling_mode"}, unset_on_manual=unset)
    assert after.count == 3


@pytest.mark.parametrize("unset", [True, False])
@pytest.mark.parametrize("named", sorted(BOTH))
def test_going_automatic_with_one_of_minimum_and_maximum_is_refused(named: str, *, unset: bool) -> None:
    """Manual to automatic with only one of minimum and maximum is an error that names the one."""
    with pytest.raises(ScalingError, match=f"only {named} is given"):
        change(Scaling(MANUAL, count=2), Scaling(AUTOMATIC, 1, 5), {"scaling_mode", named}, unset_on_manual=unset)


@pytest.mark.parametrize("unset", [True, False])
def test_going_automatic_with_both_takes_them(*, unset: bool) -> None:
    """Manual to automatic with minimum and maximum: both hold and the count is unset."""
    after = change(Scaling(MANUAL, count=0), Scaling(AUTOMATIC, 1, None, 0), BOTH, unset_on_manual=unset)
    assert after == Scaling(AUTOMATIC, 1, None, None)


def test_going_automatic_with_neither_inherits_the_count() -> None:
    """Manual to automatic with neither: minimum and maximum are the manual count."""
    after = change(Scaling(MANUAL, count=3), Scaling(AUTOMATIC, count=3), {"scaling_mode"}, unset_on_manual=True)
    assert after == Scaling(AUTOMATIC, 3, 3, None)


def test_going_automatic_from_zero_with_neither_leaves_a_maximum_of_zero() -> None:
    """Inheriting a manual count of 0 is a maximum of 0: no traffic can start an instance."""
    after = change(Scaling(MANUAL, count=0), Scaling(AUTOMATIC, count=0), {"scaling_mode"}, unset_on_manual=True)
    assert instances(after, [Route("r1", 100)], {"r1": Limits(2, 100)}, demand=5) == {"r1": 0}


def test_going_automatic_with_neither_keeps_what_was_kept_under_the_other_reading() -> None:
    """With `unset_on_manual` off, minimum and maximum come back as they stood through manual mode."""
    after = change(Scaling(MANUAL, 2, 9, 0), Scaling(AUTOMATIC, 2, 9, 0), {"scaling_mode"}, unset_on_manual=False)
    assert after == Scaling(AUTOMATIC, 2, 9, None)


def test_a_manual_count_survives_an_update_that_does_not_name_it() -> None:
    """Manual to manual without a count keeps the count."""
    assert change(Scaling(MANUAL, count=4), Scaling(MANUAL), set(), unset_on_manual=True).count == 4


def test_a_manual_count_in_automatic_mode_is_ignored() -> None:
    """Automatic mode never reads a manual count back."""
    assert change(Scaling(), Scaling(count=4), {"manual_instance_count"}, unset_on_manual=True).count is None


@pytest.mark.parametrize("asked", [Scaling(minimum=3, maximum=2), Scaling(minimum=-1), Scaling(maximum=-1), Scaling(MANUAL, count=-1)])
def test_impossible_numbers_are_refused(asked: Scaling) -> None:
    """A minimum above the maximum and any negative number are errors."""
    with pytest.raises(ScalingError):
        change(Scaling(), asked, BOTH, unset_on_manual=True)


def test_an_unset_maximum_bounds_nothing() -> None:
    """A minimum is fine without a maximum."""
    assert change(Scaling(), Scaling(minimum=3), BOTH, unset_on_manual=True) == Scaling(minimum=3)


@pytest.mark.parametrize(
    ("total", "percents", "parts"),
    [
        (10, {"a": 50, "b": 50}, {"a": 5, "b": 5}),
        (1, {"a": 50, "b": 50}, {"a": 1, "b": 0}),
        (5, {"a": 90, "b": 10, "c": 0}, {"a": 5, "b": 0, "c": 0}),
        (7, {"a": 33, "b": 33, "c": 34}, {"a": 2, "b": 2, "c": 3}),
        (0, {"a": 100}, {"a": 0}),
        (3, {}, {}),
    ],
)
def test_shares_add_up(total: int, percents: dict[str, int], parts: dict[str, int]) -> None:
    """A number is divided by traffic and its parts add up to it; a revision without traffic gets none."""
    assert share(total, percents) == parts


@pytest.mark.parametrize(("service", "revision", "running"), [(0, 0, 0), (3, 1, 3), (1, 3, 3), (0, 2, 2), (500, 0, 100)])
def test_the_larger_minimum_wins_within_the_maximum(service: int, revision: int, running: int) -> None:
    """The effective minimum is the larger of the service's and the revision's, capped by the maximum."""
    assert instances(Scaling(minimum=service), [Route("r1", 100)], {"r1": Limits(revision, 100)}, demand=0) == {"r1": running}


def test_tagged_and_unused_revisions_keep_their_own_minimum() -> None:
    """With a service minimum of 0, revisions with a tag or with 0 percent still keep what they were made with."""
    routes = [Route("r3", 100), Route("r2", 0), Route("r1", 0, "canary")]
    limits = {"r1": Limits(1, 100), "r2": Limits(2, 100), "r3": Limits(0, 100), "r0": Limits(9, 100)}
    assert instances(Scaling(), routes, limits, demand=0) == {"r3": 0, "r2": 2, "r1": 1}


def test_the_service_minimum_goes_to_the_split_only() -> None:
    """A revision that is only tagged has no part in the service minimum."""
    routes = [Route("r2", 60), Route("r1", 40), Route("r0", 0, "old")]
    assert instances(Scaling(minimum=5), routes, {name: Limits() for name in ("r0", "r1", "r2")}, demand=0) == {"r2": 3, "r1": 2, "r0": 0}


def test_a_revision_in_several_entries_counts_once() -> None:
    """The percentages of one revision add up, and a tag beside its traffic changes nothing."""
    assert instances(Scaling(minimum=4), [Route("r1", 70), Route("r1", 30, "live")], {"r1": Limits()}, demand=0) == {"r1": 4}


def test_the_service_maximum_is_divided_and_caps() -> None:
    """A service maximum is divided by traffic, each served revision keeping room for one."""
    routes = [Route("r2", 90), Route("r1", 10)]
    limits = {"r1": Limits(3, 100), "r2": Limits(9, 100)}
    assert instances(Scaling(maximum=4), routes, limits, demand=0) == {"r2": 4, "r1": 1}


def test_demand_keeps_instances_alive_within_the_maximum() -> None:
    """Traffic keeps instances running whatever the minimum is, up to the maximum."""
    assert instances(Scaling(), [Route("r1", 100)], {"r1": Limits(0, 5)}, demand=8) == {"r1": 5}


def test_manual_mode_runs_the_count_and_ignores_revision_minimums_and_demand() -> None:
    """Manual mode divides its count by traffic; minimum, maximum and demand play no part."""
    routes = [Route("r2", 75), Route("r1", 25)]
    limits = {"r1": Limits(9, 100), "r2": Limits(9, 1)}
    assert instances(Scaling(MANUAL, count=4), routes, limits, demand=50) == {"r2": 3, "r1": 1}
    assert instances(Scaling(MANUAL, count=0), routes, limits, demand=50) == {"r2": 0, "r1": 0}


def test_manual_mode_leaves_tag_only_revisions_their_minimum() -> None:
    """In manual mode a revision that only has a tag keeps its own minimum, beside the count."""
    routes = [Route("r2", 100), Route("r1", 0, "canary")]
    assert instances(Scaling(MANUAL, count=0), routes, {"r1": Limits(2, 100), "r2": Limits(5, 100)}, demand=0) == {"r2": 0, "r1": 2}
