"""What one look at several places finds, and what it says of those that do not answer."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from shared.errors import Denied, Unavailable
from shared.model import Place
from shared.observe import each, observe
from shared.ports import Seen
from tests.doubles import MemoryFleet
from tests.stage import HERE, IDLE_80, PROJECT, THERE, Stage, a_policy, full_name

PLACES = [Place(PROJECT, HERE), Place(PROJECT, THERE)]


@pytest.fixture
def stage() -> Stage:
    """Two services in two regions."""
    built = Stage(a_policy(IDLE_80))
    built.service("ranker", HERE)
    built.service("gateway", THERE, labels={"env": "prod"})
    return built


def test_all_places_are_seen_and_the_details_read_of_what_is_wanted(stage: Stage) -> None:
    """Details cost further calls, so only what a step selects has them."""
    stage.services.revisions[full_name("ranker")] = [{"revision": "r", "minimum": 1, "percent": 0, "tag": "t"}]
    view = observe(stage.watchdog().world, ["service"], PLACES, wanted=lambda resource: resource.labels.get("env") == "staging")
    assert [resource.short_name for resource in view.resources] == ["ranker", "gateway"]
    assert ["revisions" in resource.facts for resource in view.resources] == [True, False]
    assert view.unseen == ()


def test_a_place_that_does_not_answer_hides_no_other(stage: Stage) -> None:
    """It is named with the platform's own words, and with the time to look again."""
    stage.services.broken.add(PLACES[0])
    view = observe(stage.watchdog().world, ["service"], PLACES, wanted=lambda _: True)
    assert [resource.short_name for resource in view.resources] == ["gateway"]
    (unseen,) = view.unseen
    assert (unseen.project, unseen.region, unseen.kind) == (PROJECT, HERE, "service")
    assert unseen.reason == f"{PROJECT}/{HERE}: the region does not answer"
    assert unseen.retry_at == stage.clock.now() + timedelta(minutes=1)


def test_what_is_seen_only_in_part_is_used_and_said(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The platform lists what it has and names what it could not reach; both count."""
    (ranker,) = stage.services.list(PLACES[0]).resources
    monkeypatch.setattr(stage.services, "list", lambda _: Seen((ranker,), (HERE, "us-central2")))
    view = observe(stage.watchdog().world, ["service"], PLACES[:1], wanted=lambda _: True)
    assert [resource.short_name for resource in view.resources] == ["ranker"]
    assert [unseen.reason for unseen in view.unseen] == ["the platform could not reach us-central1, us-central2"]


@pytest.mark.parametrize("error", [Unavailable("try later"), Denied("run.revisions.get is missing")])
def test_a_service_whose_revisions_cannot_be_read_is_still_seen(stage: Stage, error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """Parking it helps all the same; only what its revisions keep running is not known then, and the log says so."""

    def fail() -> BaseException:
        return error

    stage.strike("detail", fail)
    view = observe(stage.watchdog().world, ["service"], PLACES[:1], wanted=lambda _: True)
    assert [resource.short_name for resource in view.resources] == ["ranker"]
    assert "its revisions could not be read" in caplog.text


def test_every_kind_is_asked_for_in_every_place(stage: Stage) -> None:
    """Services and worker pools are looked at side by side."""
    stage.pool("trainer", 1, THERE)
    view = observe(stage.watchdog().world, ["worker_pool", "service"], PLACES, wanted=lambda _: False)
    assert sorted(resource.short_name for resource in view.resources) == ["gateway", "ranker", "trainer"]


def test_questions_are_asked_side_by_side_within_a_bound() -> None:
    """Four hands answer four questions at once, and the answers stand in the questions' order."""
    together = threading.Barrier(4, timeout=5)
    most: set[str] = set()

    def ask(question: int) -> int:
        together.wait()
        most.add(threading.current_thread().name)
        return question * 10

    assert each(4, ask, range(8)) == [0, 10, 20, 30, 40, 50, 60, 70]
    assert len(most) == 4


@pytest.mark.parametrize("workers", [1, 4])
def test_somebody_glances_while_the_answers_come(workers: int) -> None:
    """Looking at many regions takes a while, and the lease has to be renewed meanwhile, in the caller's own thread."""
    glances: list[str] = []
    each(workers, lambda question: question, range(3), lambda: glances.append(threading.current_thread().name))
    assert glances
    assert set(glances) == {threading.current_thread().name}


def test_one_hand_asks_in_its_own_thread() -> None:
    """Tests and single questions need no pool."""
    threads: list[str] = []
    assert each(1, lambda question: threads.append(threading.current_thread().name) or question, [1, 2]) == [1, 2]  # type: ignore[func-returns-value]
    assert each(8, lambda question: threads.append(threading.current_thread().name) or question, [3]) == [3]  # type: ignore[func-returns-value]
    assert set(threads) == {threading.current_thread().name}


def test_the_fleet_of_worker_pools_has_no_revisions() -> None:
    """Their details are what the listing says."""
    pools = MemoryFleet("worker_pool")
    name = pools.add(full_name("trainer", collection="workerPools"), {"count": 1})
    assert pools.detail(pools.get(name)) == pools.get(name)
