"""A look at the objects of a job: what it adds up, what it writes down, and how it goes on where it stopped."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import timedelta
from itertools import cycle

import pytest

from shared.actions.delete_noncurrent import Noncurrent, Params
from shared.objects.duty import Duty, RunDuty, StepDuty
from shared.objects.job import ClassTally, Job, Sign
from shared.objects.look import Look
from shared.objects.verdict import LeftAlone
from tests.yard import DAY, RUNS, Yard, a_rule, the_policy


@pytest.fixture
def yard() -> Yard:
    """A bucket with a policy over it."""
    return Yard(the_policy())


def a_run(yard: Yard, sign: str = "runs/run-1/_FAILED") -> Job:
    """The job about the run, as a look finds it."""
    found = yard.objects.find(RUNS, sign)
    assert found
    written = Sign(object=sign, generation=found.generation, at=found.created, words="")
    return Job(
        action="delete_run", bucket=RUNS, prefix="runs/run-1/", rule="runs/{run}/", occasion="failed", sign=written, stage="planning"
    )


class Looker:
    """Looks, invocation after invocation, and keeps what is written down.

    Attributes:
        stored: The names in each manifest, by the manifest's name.
        glances: How often there was a glance.
    """

    def __init__(self, yard: Yard, job: Job, duty: Duty | None = None, *, portion: int = 100) -> None:
        """Nothing has been looked at yet."""
        self.job = job
        self.stored: dict[str, list[str]] = {}
        self.glances = 0
        self._yard = yard
        self._duty = duty or RunDuty(job, yard.policy.artifacts[0], yard.objects)
        self._portion = portion

    def look(self, late: Callable[[], bool] = lambda: False, *, record: bool = True) -> bool:
        """One look; the answer is whether all was seen."""
        keep = self._keep if record else None
        look = Look(self.job, self._duty, self._yard.objects, self._yard.clock.now(), keep, "manifests/k/", self._portion)
        seen = look.go(late, self._glance)
        self.job = look.job
        return seen

    def _keep(self, name: str, data: bytes) -> None:
        assert name not in self.stored
        self.stored[name] = [json.loads(line)["name"] for line in gzip.decompress(data).decode().splitlines()]

    def _glance(self) -> None:
        self.glances += 1

    @property
    def planned(self) -> list[str]:
        """The names in all manifests, in the order of the plan."""
        return [name for portion in self.job.portions for name in self.stored[portion.manifest]]


def test_a_look_that_only_counts(yard: Yard) -> None:
    """What would go by storage class, what stays, and for how much of it the minimum duration is not over; nothing is written."""
    yard.run("run-1")
    yard.run("run-10")
    yard.put("runs/run-1/cold.bin", size=7, ago=3 * DAY, storage_class="COLDLINE")
    yard.put("runs/run-1/_FAILED")
    looker = Looker(yard, a_run(yard))
    assert looker.look(record=False)
    over = (yard.clock.now() + 87 * DAY).date()
    assert dict(looker.job.tally.classes) == {
        "STANDARD": ClassTally(objects=4, bytes=3 * 2**30),
        "COLDLINE": ClassTally(objects=1, bytes=7, early={over: 7}),
    }
    assert (looker.job.tally.kept, looker.job.tally.kept_bytes) == (1, len(b"epoch 1"))
    assert (looker.stored, looker.job.portions) == ({}, ())


def test_a_look_writes_down_what_will_go(yard: Yard) -> None:
    """All of it and nothing else, in portions of one size, the sign as the very last, since a run that is half deleted still has to say that it failed."""
    checkpoints = yard.run("run-1", objects=7)
    yard.run("run-10")
    yard.put("runs/run-1/_FAILED")
    looker = Looker(yard, a_run(yard), portion=3)
    assert looker.look()
    assert [len(names) for names in looker.stored.values()] == [3, 3, 1, 1]
    assert looker.planned == [*checkpoints, "runs/run-1/_FAILED"]
    assert sum(portion.objects for portion in looker.job.portions) == looker.job.tally.objects == 8
    assert sum(portion.bytes for portion in looker.job.portions) == looker.job.tally.bytes == 7 * 2**30


def test_manifests_are_named_in_order_and_never_alike(yard: Yard) -> None:
    """A look that begins anew overwrites nothing that an earlier one wrote."""
    yard.run("run-1", objects=4)
    yard.put("runs/run-1/_FAILED")
    first, second = Looker(yard, a_run(yard), portion=2), Looker(yard, a_run(yard), portion=2)
    assert first.look()
    assert second.look()
    names = [portion.manifest for portion in first.job.portions]
    assert names == sorted(names)
    assert [name[: len("manifests/k/00000-")] for name in names] == ["manifests/k/00000-", "manifests/k/00001-", "manifests/k/00002-"]
    assert not {*names} & {portion.manifest for portion in second.job.portions}


def test_a_sign_that_the_policy_keeps_is_not_in_the_plan(yard: Yard) -> None:
    """It is counted with what is kept."""
    yard.policy = the_policy(a_rule().replace("logs/**", "_FAILED"))
    yard.run("run-1", objects=1)
    yard.put("runs/run-1/_FAILED")
    looker = Looker(yard, a_run(yard))
    assert looker.look()
    assert looker.planned == ["runs/run-1/ckpt/00000.bin", "runs/run-1/logs/train.log"]
    assert looker.job.tally.kept == 1


def test_a_folder_with_nothing_in_it_makes_no_plan(yard: Yard) -> None:
    """Nothing is written."""
    yard.put("runs/run-1/_FAILED")
    job = a_run(yard)
    yard.objects.remove(RUNS, "runs/run-1/_FAILED")
    looker = Looker(yard, job)
    assert looker.look()
    assert (looker.job.portions, looker.job.tally.objects, looker.stored) == ((), 0, {})


def test_one_object_that_forbids_it_ends_the_look(yard: Yard) -> None:
    """However much was seen before."""
    yard.run("run-1", objects=9)
    yard.put("runs/run-1/_FAILED")
    job = a_run(yard)
    yard.clock.sleep(1)
    yard.put("runs/run-1/ckpt/00005.bin")
    looker = Looker(yard, job)
    with pytest.raises(LeftAlone, match=r"^ckpt/00005\.bin was written"):
        looker.look()
    assert looker.stored == {}


def test_a_sign_that_vanishes_during_the_look_is_not_in_the_plan(yard: Yard) -> None:
    """Whoever carries the plan out asks for it first, and then leaves the run alone."""
    yard.run("run-1", objects=1)
    yard.put("runs/run-1/_FAILED")
    looker = Looker(yard, a_run(yard))
    yard.meanwhile("find object", lambda: yard.objects.remove(RUNS, "runs/run-1/_FAILED"))
    assert looker.look()
    assert looker.planned == ["runs/run-1/ckpt/00000.bin"]


def test_a_sign_that_is_written_anew_during_the_look_saves_the_run(yard: Yard) -> None:
    """The run was retried while it was listed."""
    yard.run("run-1", objects=1)
    yard.put("runs/run-1/_FAILED")
    looker = Looker(yard, a_run(yard))
    yard.meanwhile("find object", lambda: yard.put("runs/run-1/_FAILED"))
    with pytest.raises(LeftAlone, match=r"^_FAILED was written"):
        looker.look()


@pytest.mark.parametrize("page", [1, 2, 3, 5, 100])
@pytest.mark.parametrize("portion", [1, 4, 100])
def test_a_look_that_is_interrupted_after_every_page_sees_the_same(yard: Yard, page: int, portion: int) -> None:
    """It goes on behind the last name; nothing is counted or planned twice, and nothing is passed over."""
    yard.run("run-1", objects=11)
    yard.put("runs/run-1/_FAILED")
    yard.objects.page = page
    whole, sliced = Looker(yard, a_run(yard), portion=portion), Looker(yard, a_run(yard), portion=portion)
    assert whole.look()
    for _ in range(100):
        if sliced.look(late=lambda: True):
            break
    assert sliced.planned == whole.planned
    assert sliced.job.tally == whole.job.tally
    assert all(len(names) <= portion + 1 for names in sliced.stored.values())
    assert all(portion.objects for portion in sliced.job.portions)


def test_an_interrupted_look_has_written_down_what_it_counted(yard: Yard) -> None:
    """So that the next invocation needs nothing but the job."""
    yard.run("run-1", objects=5)
    yard.put("runs/run-1/_FAILED")
    yard.objects.page = 4
    looker = Looker(yard, a_run(yard))
    assert not looker.look(late=lambda: True)
    assert looker.planned == [f"runs/run-1/ckpt/{number:05}.bin" for number in range(3)]
    assert looker.job.after == "runs/run-1/ckpt/00002.bin"
    assert looker.job.tally.objects == 4  # with the sign, which comes last


def test_there_is_a_glance_after_each_page(yard: Yard) -> None:
    """The place to renew a lease."""
    yard.run("run-1", objects=5)
    yard.put("runs/run-1/_FAILED")
    yard.objects.page = 2
    looker = Looker(yard, a_run(yard))
    assert looker.look()
    assert looker.glances == 4


@pytest.mark.parametrize("page", [1, 2, 3, 100])
def test_the_generations_of_one_name_are_taken_together(page: int) -> None:
    """A look that goes on does so behind a name, so a name whose generations stand on two pages is neither cut nor counted twice."""
    yard = Yard(the_policy())
    yard.objects.change(RUNS, versioned=True)
    for _ in range(3):
        for name in ("a", "b", "c"):
            yard.put(name, size=1)
        yard.clock.sleep(DAY.total_seconds())
    yard.objects.page = page
    params = Params.model_validate({"buckets": [RUNS], "older_than": "12h"})
    job = Job(action="delete_noncurrent", bucket=RUNS, prefix="")
    looker = Looker(yard, job, StepDuty(job, Noncurrent(), params, yard.objects), portion=1)
    late = cycle([False, False, False, True])
    for _ in range(20):
        if looker.look(late=lambda: next(late)):
            break
    assert looker.planned == ["a", "a", "b", "b", "c", "c"]
    assert (looker.job.tally.objects, looker.job.tally.kept) == (6, 3)


def test_what_is_newer_than_its_age_stays(yard: Yard) -> None:
    """The age of a version counts from when it became noncurrent."""
    yard.objects.change(RUNS, versioned=True)
    for hours in (1, 3, 1):
        yard.put("a", size=1)
        yard.clock.sleep(timedelta(hours=hours).total_seconds())
    job = Job(action="delete_noncurrent", bucket=RUNS, prefix="")
    params = Params.model_validate({"buckets": [RUNS], "older_than": "2h"})
    looker = Looker(yard, job, StepDuty(job, Noncurrent(), params, yard.objects))
    assert looker.look()
    assert (looker.planned, looker.job.tally.kept) == (["a"], 2)
