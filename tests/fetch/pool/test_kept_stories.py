"""Members that keep some of the file, and pass it on slowly or not at all, on virtual time, for every seed."""

from __future__ import annotations

import pytest

from shoal.testing.pool import SimulatedPool
from shoal.testing.pool_kinds import Kind
from shoal.units import MIB

SEEDS = range(6)
RATE = 2.5e6  # bytes a second from the origin, of each
LENGTH = 256 * MIB
FAST = 30e6  # bytes a second from member to member
CONNECTIONS = 7  # of each to the origin
PLAIN = 3  # members that have none of it: who wants it, and two helpers
ALONE = LENGTH / (PLAIN * RATE)  # seconds that they need at least


def beside(keeper: Kind, *, seed: int) -> SimulatedPool:
    plain = [Kind(RATE), Kind(RATE, is_helper=True), Kind(RATE, is_helper=True)]
    return SimulatedPool([*plain, keeper], seed=seed, fetchers=CONNECTIONS)


def keeper(rate: float, *, part: float = 1.0) -> Kind:
    """A helper that passes on so many bytes a second."""
    return Kind(RATE, is_helper=True, keeps=part, lan_rate=rate)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_helper_that_keeps_it_all_and_hardly_passes_it_on_costs_the_time_to_see_that(seed: int) -> None:
    pool = beside(keeper(RATE / 10), seed=seed).run()
    assert pool.took <= 1.1 * ALONE


@pytest.mark.parametrize("rate", [0.4, 1.0, 2.4])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_helper_that_keeps_it_all_and_passes_it_on_slowly_is_used_as_far_as_it_adds_rate(
    seed: int, rate: float
) -> None:
    pool = beside(keeper(rate * RATE), seed=seed).run()
    assert pool.took <= ALONE
    assert pool.took <= 1.2 * LENGTH / ((PLAIN + rate) * RATE) + 1.0


@pytest.mark.parametrize("seed", SEEDS)
def test_what_comes_from_a_helper_faster_than_all_would_fetch_it_is_left_to_that(seed: int) -> None:
    pool = beside(keeper(4 * PLAIN * RATE), seed=seed).run()
    assert pool.took <= LENGTH / (4 * PLAIN * RATE) + 1.0
    assert pool.origin_bytes <= 0.1 * LENGTH


@pytest.mark.parametrize("rate", [FAST, 2 * RATE], ids=["fast", "slow"])
@pytest.mark.parametrize("at", [0.5, 2.0, 5.0])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_helper_that_keeps_most_of_it_and_freezes_costs_two_seconds_at_most(
    seed: int, at: float, rate: float
) -> None:
    frozen = keeper(rate, part=0.7)
    frozen.freezes_at = at
    pool = beside(frozen, seed=seed)
    pool.until(lambda: pool.seconds > at, limit=at + 1.0)
    here = 0
    for member in pool.members[:PLAIN]:
        here |= member.plan.have_bits
    left = LENGTH - here.bit_count() * LENGTH / pool.everything.bit_count()
    assert left > LENGTH / 4
    pool.run()
    assert pool.took <= at + 1.03 * left / (PLAIN * RATE) + 2.0
