"""A server that is away for a while, as when it is started again: then it is used as it was before."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from shoal.errors import NetworkError
from shoal.fetch.growth import REFUSED_PAUSE, Growth
from shoal.fetch.patience import OUTAGE_SHOWS
from shoal.fetch.plan import Plan
from shoal.fetch.sources import Sources
from shoal.testing.hostile_origin import SLICE, HostileOrigin, Page
from shoal.testing.origin import SimulatedDownload, SimulatedOrigin
from shoal.units import KIB, MIB

from .test_download import fetch

SEEDS = range(15)
LOST = NetworkError("connection lost")


def story(
    plan: Plan, seed: int, began: float, lasts: float, most_connections: int = 1000
) -> SimulatedDownload:
    """A server with a limit for each connection that is away for so long."""
    origin = SimulatedOrigin(
        each=MIB, latency=random.Random(seed).uniform(0.005, 0.1), most_connections=most_connections,
        is_away=lambda seconds: began <= seconds < began + lasts,
    )  # fmt: skip
    told = SimulatedDownload(plan, origin, seed=seed)
    told.run()
    return told


def seconds_until(count: int, told: SimulatedDownload, back_at: float) -> float:
    """From the first connection after the outage to so many of them."""
    after = [(when, running) for when, running in told.outcome.running if when >= back_at and running]
    return next(when for when, running in after if running >= count) - after[0][0]


@pytest.mark.parametrize("seed", SEEDS)
def test_after_an_outage_all_connections_are_soon_back(seed: int) -> None:
    rng = random.Random(seed)
    most, began, lasts = rng.choice([4, 8, 16]), rng.uniform(2.0, 8.0), rng.uniform(0.2, 20.0)
    told = story(Plan(most * 20 * MIB, most_fetchers=most), seed, began, lasts)
    assert seconds_until(most, told, began + lasts) <= 1.5
    assert told.outcome.refusals <= 8, "one asks at a time"


@pytest.mark.parametrize("seed", SEEDS)
def test_an_outage_in_the_first_two_seconds_leaves_the_growth_as_it_is_at_the_beginning(seed: int) -> None:
    rng = random.Random(seed)
    began, lasts = rng.uniform(0.1, 2.0), rng.uniform(0.2, 20.0)
    told = story(Plan(320 * MIB), seed, began, lasts)
    assert seconds_until(16, told, began + lasts) <= 3.0


@pytest.mark.parametrize("seed", SEEDS)
def test_a_second_outage_costs_no_more_than_the_first(seed: int) -> None:
    rng = random.Random(seed)
    first, second = rng.uniform(2.0, 5.0), rng.uniform(12.0, 15.0)
    origin = SimulatedOrigin(
        each=MIB, is_away=lambda at: first <= at < first + 1 or second <= at < second + 1
    )
    told = SimulatedDownload(Plan(320 * MIB), origin, seed=seed)
    told.run()
    assert seconds_until(16, told, first + 1) <= 1.5
    assert seconds_until(16, told, second + 1) <= 1.5


@pytest.mark.parametrize("seed", SEEDS)
def test_who_refuses_more_is_obeyed_after_an_outage_as_before(seed: int) -> None:
    rng = random.Random(seed)
    began, lasts = rng.uniform(0.5, 8.0), rng.uniform(0.2, 20.0)
    told = story(Plan(100 * MIB), seed, began, lasts, most_connections=5)
    assert seconds_until(4, told, began + lasts) <= 2.0
    assert told.outcome.most_running == 5
    assert told.outcome.refusals <= 8 + 2 * 11, "those that are away, and twice what is tried at once"


def test_a_closed_connection_is_a_refusal_only_while_another_delivers() -> None:
    sources = Sources([("http://a.example/f", "a.example")], 1.0, random.Random(1))
    (source,) = sources
    for number in range(3):
        sources.source_for(number, 1.0)
    assert not sources.on_refused(0, 1.1, LOST), "nobody got anything yet"
    sources.leave(0)
    sources.on_bytes(1, MIB, 1.2)
    assert sources.on_refused(2, 1.3, LOST)
    sources.leave(2)
    assert not source.has_room(1.4)


def test_refusals_just_before_all_breaks_are_forgotten_and_older_ones_are_not() -> None:
    for since, is_forgotten in ((OUTAGE_SHOWS / 2, True), (2 * OUTAGE_SHOWS, False)):
        sources, growth = Sources([("http://a.example/f", "a.example")], 1.0, random.Random(1)), Growth(8, 4)
        (source,) = sources
        for number in range(4):
            sources.source_for(number, 1.0)
            sources.on_bytes(number, MIB, 1.5)
        for number in (0, 1):
            assert sources.on_refused(number, 1.6, LOST)
            sources.leave(number)
            growth.on_refused(3 - number, 1.6)
        for number in (2, 3):
            sources.on_failure(number, 1.6 + since, LOST)
            sources.leave(number)
        growth.on_outage(1.6 + since)
        assert growth.target == (4 if is_forgotten else 2)
        now = 1.6 + since + REFUSED_PAUSE / 2
        for number in range(10, 20):
            if sources.source_for(number, now) is None:
                break
            sources.on_bytes(number, KIB, now)
        assert len(source.fetchers) == (10 if is_forgotten else 2)


def test_after_an_outage_there_are_twice_as_many_each_time_all_of_them_deliver() -> None:
    sources = Sources([("http://a.example/f", "a.example")], 1.0, random.Random(1))
    sources.source_for(0, 1.0)
    sources.on_failure(0, 1.1, LOST)
    sources.leave(0)
    counts, begun = [], []
    for _ in range(4):
        while sources.source_for(len(begun) + 1, 2.0) is not None:
            begun.append(len(begun) + 1)
        counts.append(len(begun))
        for number in begun:
            sources.on_bytes(number, KIB, 2.0)
    assert counts == [1, 2, 4, 8]


def test_a_server_that_was_started_again_has_all_its_connections_again(tmp_path: Path) -> None:
    body, fast, over = random.Random(3).randbytes(6 * MIB), threading.Event(), threading.Event()

    def wait_until(is_so: Callable[[], bool]) -> None:
        while not is_so() and not over.wait(0.02):
            pass

    def play() -> None:
        """It is slow until all that matters has been seen."""
        wait_until(lambda: origin.most_running == 8)
        origin.go_away()
        wait_until(lambda: origin.turned_away >= 3 and origin.running == 0)
        origin.come_back()
        wait_until(lambda: origin.most_running == 8)
        fast.set()

    with HostileOrigin() as origin:
        origin.pages["/file.bin"] = Page(body)
        origin.on_body["/file.bin"] = lambda _: fast.wait(SLICE / (64 * KIB))
        player = threading.Thread(target=play)
        player.start()
        try:
            got = fetch(tmp_path, origin.url("/file.bin"), most_fetchers=8, first_fetchers=8)
        finally:
            over.set()
            player.join()
        assert origin.turned_away >= 3
        assert fast.is_set(), f"only {origin.most_running} since it came back"
    assert got.path.read_bytes() == body
