"""What becomes of each object of a run, and what has the whole run left alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.model import StorageObject
from shared.objects.job import Job, Sign
from shared.objects.verdict import LeftAlone, RunJudge, SignGone, held_by
from shared.policy.artifacts import ArtifactRule

NOW = datetime(2026, 11, 24, 14, tzinfo=UTC)
FAILED_AT = NOW - timedelta(hours=24)
SECOND = timedelta(seconds=1)
PREFIX = "runs/run-1/"
SIGN = Sign(object=f"{PREFIX}_FAILED", generation=7, at=FAILED_AT, words="_FAILED is there")
RULE = ArtifactRule.model_validate(
    {
        "bucket": "acme-ml-runs",
        "runs": "runs/{run}/",
        "failed_when": ["failed_marker"],
        "unless": ["_SUCCESS", "eval/PROMOTED", {"object": "meta.yaml", "has": {"status": 3}}],
        "keep": ["logs/**", "*.json"],
    }
)


def job(**some: Any) -> Job:
    """The deletion of the run."""
    told: dict[str, Any] = {
        "action": "delete_run",
        "bucket": "acme-ml-runs",
        "prefix": PREFIX,
        "rule": "runs/{run}/",
        "occasion": "failed",
        "sign": SIGN,
    }
    return Job(**(told | some))


def an(name: str, **some: Any) -> StorageObject:
    """An object of the run, written before it failed."""
    told: dict[str, Any] = {"name": name, "generation": 1, "size": 1, "storage_class": "STANDARD", "created": FAILED_AT - SECOND}
    return StorageObject(**(told | some))


JUDGE = RunJudge(job(), RULE, NOW)


@pytest.mark.parametrize("relative", ["ckpt/1.bin", "", "ckpt/logs/x", "a/b.json", "meta.yaml", "_SUCCESS/x", "x_SUCCESS", "PROMOTED"])
def test_what_lies_in_the_run_goes(relative: str) -> None:
    """Also the object that stands for the folder itself, and a status file whose content has been asked already."""
    assert JUDGE(an(PREFIX + relative)) == "change"


@pytest.mark.parametrize("relative", ["logs", "logs/train.log", "logs/a/b", "metrics.json"])
def test_what_the_policy_keeps_is_kept(relative: str) -> None:
    """By its name relative to the run."""
    assert JUDGE(an(PREFIX + relative)) == "keep"


@pytest.mark.parametrize("relative", ["_SUCCESS", "eval/PROMOTED"])
def test_an_object_under_unless_saves_the_run(relative: str) -> None:
    """Whatever it holds, and however old it is."""
    with pytest.raises(LeftAlone, match=rf"^{relative} is there \(`unless` in the policy\)$"):
        JUDGE(an(PREFIX + relative))


@pytest.mark.parametrize(
    ("some", "words"),
    [
        ({"hold": "temporary hold"}, "a temporary hold"),
        ({"hold": "event-based hold", "retained_until": NOW + SECOND}, "an event-based hold"),
        ({"retained_until": NOW + timedelta(hours=10)}, "a retention until 2026-11-25 00:00 UTC"),
    ],
)
@pytest.mark.parametrize("relative", ["ckpt/1.bin", "logs/train.log"])
def test_whoever_holds_one_object_of_a_run_means_the_run(some: dict[str, Any], words: str, relative: str) -> None:
    """One that the policy keeps anyway, too."""
    with pytest.raises(LeftAlone, match=rf"^{relative} is kept by {words}$"):
        JUDGE(an(PREFIX + relative, **some))


def test_a_retention_that_is_over_keeps_nothing() -> None:
    """To the second."""
    assert JUDGE(an(f"{PREFIX}x", retained_until=NOW)) == "change"
    assert held_by(an("x", retained_until=NOW), NOW) == ""
    assert held_by(an("x", retained_until=NOW), NOW - SECOND) == "retention until 2026-11-24 14:00 UTC"


@pytest.mark.parametrize("relative", ["ckpt/2.bin", "logs/train.log"])
@pytest.mark.parametrize(("occasion", "since"), [("failed", "the run had failed"), ("abandoned", "the run had been found abandoned")])
def test_a_run_that_was_written_to_since_then_lives(relative: str, occasion: str, since: str) -> None:
    """Also where what was written is kept anyway."""
    judge = RunJudge(job(occasion=occasion), RULE, NOW)
    assert judge(an(f"{PREFIX}x", created=FAILED_AT)) == "change"
    with pytest.raises(LeftAlone, match=rf"^{relative} was written at 2026-11-23 14:00:01 UTC, after {since}$"):
        judge(an(PREFIX + relative, created=FAILED_AT + SECOND))


def test_the_folder_itself_has_no_name_of_its_own() -> None:
    """It is called the folder, where a person is told of it."""
    with pytest.raises(LeftAlone, match=r"^the folder itself was written at"):
        JUDGE(an(PREFIX, created=FAILED_AT + SECOND))


def test_the_sign_goes_only_as_it_was_seen() -> None:
    """Another generation of it means that the run was retried, whatever its time says."""
    assert JUDGE(an(SIGN.object, generation=7, created=FAILED_AT)) == "change"
    with pytest.raises(LeftAlone, match=r"^_FAILED was written at"):
        JUDGE(an(SIGN.object, generation=8, created=FAILED_AT))


@pytest.mark.parametrize("name", ["runs/run-10/ckpt/1.bin", "runs/run-1", "run-1/x", "models/prod.bin"])
def test_what_lies_elsewhere_stops_everything(name: str) -> None:
    """It cannot happen, and if it does nothing at all is deleted."""
    with pytest.raises(LeftAlone, match="does not lie in runs/run-1/; that is a fault in the watchdog"):
        JUDGE(an(name))


@pytest.mark.parametrize("prefix", ["", "runs/run-1"])
def test_a_folder_without_an_end_stops_everything(prefix: str) -> None:
    """Names beside it would begin alike."""
    with pytest.raises(LeftAlone, match="that is a fault in the watchdog"):
        RunJudge(job(prefix=prefix), RULE, NOW)(an("runs/run-10/x"))


def test_a_job_without_a_sign_judges_by_the_rest() -> None:
    """Nothing can be newer than nothing; that there is a sign is asked before every look."""
    assert RunJudge(job(sign=None), RULE, NOW)(an(f"{PREFIX}x", created=NOW)) == "change"


def test_a_sign_that_is_gone_is_a_reason_to_leave_a_run_alone() -> None:
    """It has a name of its own, since at the end of a deletion it is the watchdog's doing."""
    assert issubclass(SignGone, LeftAlone)


NAMES = st.sampled_from(["runs/run-1/", "runs/run-10/", "runs/run-1", "", "logs/"]).flatmap(
    lambda start: st.sampled_from(["x", "_FAILED", "_SUCCESS", "logs/a", "a.json", "eval/PROMOTED", ""]).map(lambda end: start + end)
)
TIMES = st.sampled_from([FAILED_AT - SECOND, FAILED_AT, FAILED_AT + SECOND, NOW])
ANY = st.builds(
    StorageObject,
    name=NAMES,
    generation=st.integers(6, 8),
    size=st.just(1),
    storage_class=st.just("STANDARD"),
    created=TIMES,
    hold=st.sampled_from(["", "temporary hold"]),
    retained_until=st.none() | TIMES,
)


@given(ANY)
def test_nothing_goes_that_is_outside_newer_held_promoted_or_kept(each: StorageObject) -> None:
    """Whatever comes together in one object."""
    try:
        verdict = JUDGE(each)
    except LeftAlone:
        return
    assert each.name.startswith(PREFIX)
    assert each.created <= FAILED_AT
    assert not held_by(each, NOW)
    relative = each.name.removeprefix(PREFIX)
    assert relative not in ("_SUCCESS", "eval/PROMOTED")
    assert (verdict == "keep") == (relative in ("logs/a", "a.json"))
    assert JUDGE(replace(each, size=10)) == verdict
