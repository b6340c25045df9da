"""Writes within the quota of each place."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from shared.model import Place
from shared.pace import WINDOW, WRITES, Pacer

HERE, THERE = Place("p", "us-central1"), Place("p", "europe-west1")


def test_a_place_takes_its_quota_and_then_asks_for_patience() -> None:
    """The 181st write of a minute waits until the first one is a minute old."""
    pacer = Pacer()
    assert [pacer.take(HERE, number / 10) for number in range(WRITES)] == [0] * WRITES
    assert pacer.take(HERE, 18.0) == WINDOW - 18.0
    assert pacer.take(HERE, WINDOW) == 0


def test_each_place_has_a_quota_of_its_own() -> None:
    """Another region is not held up, and neither is another project."""
    pacer = Pacer(writes=1)
    assert pacer.take(HERE, 0.0) == 0
    assert pacer.take(HERE, 1.0) > 0
    assert pacer.take(THERE, 1.0) == 0
    assert pacer.take(Place("other", HERE.region), 1.0) == 0


def test_the_window_slides() -> None:
    """Each write leaves it by itself, and not all of them at the turn of a minute."""
    pacer = Pacer(writes=2, window=10.0)
    assert [pacer.take(HERE, at) for at in (0.0, 4.0, 9.0, 10.0, 11.0)] == [0, 0, 1.0, 0, 3.0]


def test_what_has_to_wait_is_not_counted() -> None:
    """Asking again and again does not push the time away."""
    pacer = Pacer(writes=1, window=10.0)
    assert [pacer.take(HERE, at) for at in (0.0, 2.0, 4.0, 10.0)] == [0, 8.0, 6.0, 0]


def test_the_hands_of_all_invocations_share_one_quota() -> None:
    """Eight threads ask at once, and no more than the quota go."""
    pacer = Pacer(writes=50)
    with ThreadPoolExecutor(8) as hands:
        waits = list(hands.map(lambda _: pacer.take(HERE, 1.0), range(200)))
    assert waits.count(0) == 50
