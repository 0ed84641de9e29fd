"""The bounds agree with what was published, and with each other where they speak of the same."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.testing.bounds import Bound, Machine, Origin, fluid_bound, piece_bound

F = 1_000_000
rates = st.floats(1e3, 1e7)
links = st.tuples(rates, rates)


def published(size: int, seeds_up: float, leechers: list[tuple[float, float]]) -> float:
    """Kumar and Ross, as it is printed."""
    together = seeds_up + sum(up for up, _ in leechers)
    return max(size / seeds_up, size / min(down for _, down in leechers), len(leechers) * size / together)


@given(st.lists(rates, min_size=1, max_size=3), st.lists(links, min_size=1, max_size=12))
def test_with_everybody_there_the_fluid_bound_is_the_published_one(
    seeds: list[float], leechers: list[tuple[float, float]]
) -> None:
    machines = [Machine(up, 1.0) for up in seeds]
    machines += [Machine(up, down, missing=F) for up, down in leechers]
    assert fluid_bound(machines, [Origin(F, sum(seeds))]) == pytest.approx(published(F, sum(seeds), leechers))


@pytest.mark.parametrize(
    ("seed_up", "up", "down", "expected"),
    [
        (100.0, 100.0, 1e6, F / 100),  # equal links: the seed sends everything once
        (1e6, 100.0, 50.0, F / 50),  # the slowest downlink
        (100.0, 0.0, 1e6, 8 * F / 100),  # nobody helps: client and server
    ],
)
def test_each_of_the_three_terms_can_be_the_one_that_counts(
    seed_up: float, up: float, down: float, expected: float
) -> None:
    machines = [Machine(seed_up, 1.0), *[Machine(up, down, missing=F)] * 8]
    assert fluid_bound(machines, [Origin(F, seed_up)]) == pytest.approx(expected)


def test_a_late_comer_needs_its_own_time_from_its_coming() -> None:
    machines = [Machine(100.0, 1.0), Machine(100.0, 100.0, missing=1000, joins_at=50.0)]
    assert fluid_bound(machines, [Origin(1000, 100.0)]) == pytest.approx(60.0)


def test_uplinks_count_only_while_they_are_there() -> None:
    helper = Machine(100.0, 1.0, joins_at=2.0, leaves_at=4.0)
    machines = [Machine(100.0, 1.0), helper, Machine(0.0, 1e9, missing=1000)]
    assert fluid_bound(machines, []) == pytest.approx(8.0)


def test_what_nobody_can_send_any_more_takes_for_ever() -> None:
    assert fluid_bound([Machine(10.0, 1.0, leaves_at=5.0), Machine(0.0, 10.0, missing=100)], []) == math.inf


def test_three_thirds_need_what_each_alone_has_and_what_each_lacks() -> None:
    machines = [Machine(100.0, 400.0, missing=2000)] * 3
    origins = [Origin(1000, 100.0)] * 3
    assert fluid_bound(machines, origins) == pytest.approx(20.0)  # 6000 missing bytes through 300 a second


@given(st.lists(links, min_size=2, max_size=8), st.lists(st.floats(0, 100), min_size=8, max_size=8))
def test_nobody_is_faster_for_coming_late(leechers: list[tuple[float, float]], delays: list[float]) -> None:
    seed = Machine(1e4, 1.0)
    early = [Machine(up, down, missing=F) for up, down in leechers]
    late = [
        Machine(up, down, missing=F, joins_at=at) for (up, down), at in zip(leechers, delays, strict=False)
    ]
    origins = [Origin(F, 1e4)]
    assert fluid_bound([seed, *late], origins) >= fluid_bound([seed, *early], origins) * (1 - 1e-9)


@pytest.mark.parametrize(
    ("pieces", "leechers", "slots"),
    [
        (1, 1, 1),
        (1, 2, 2),
        (1, 3, 2),
        (1, 4, 3),
        (1, 1023, 10),
        (5, 1, 5),
        (5, 8, 8),
        (256, 8, 259),
        (9, 0, 0),
    ],
)
def test_the_piece_bound_is_m_plus_the_floor_of_log_n(pieces: int, leechers: int, slots: int) -> None:
    assert piece_bound(pieces, leechers, 0.5) == slots * 0.5


@given(st.integers(1, 500), st.integers(1, 2000))
def test_with_equal_links_the_piece_bound_is_above_the_fluid_one(pieces: int, leechers: int) -> None:
    machines = [Machine(10.0, 1.0), *[Machine(10.0, 1e9, missing=pieces)] * leechers]
    fluid = fluid_bound(machines, [Origin(pieces, 10.0)])
    bound = Bound(fluid, piece_bound(pieces, leechers, 1 / 10))
    assert bound.seconds == bound.pieces >= fluid * (1 - 1e-9)
