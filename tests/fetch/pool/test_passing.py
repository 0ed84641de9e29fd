"""A helper claims no more than it can pass on: what it takes to know that, and whole pools on virtual time."""

from __future__ import annotations

import pytest

from shoal.fetch.pool.passing import FIRST_RATE, KNOWN_AFTER, LEAST_AHEAD, Passing
from shoal.formats.bitfield import all_bits
from shoal.testing.pool import SimulatedPool
from shoal.testing.pool_kinds import Kind
from shoal.units import KIB, MIB

PIECE = 256 * KIB
RATE = 2.5e6  # bytes a second, of a usual line
LENGTH = 128 * MIB


def taken_at(rate: float, have: int, seconds: float) -> tuple[Passing, float]:
    """Requesters took pieces of those that are here at this rate, for so long; and the time now."""
    passing, now, taken = Passing(PIECE, 7.0), 7.0, 0
    for _ in range(int(seconds / 0.05)):
        now += 0.05
        while (taken + 1) * PIECE <= rate * (now - 7.0):
            passing.on_taken(1 << taken, all_bits(have), now)
            taken += 1
        passing.look(all_bits(have), 4 * RATE, now)
    return passing, now


def test_nothing_is_enough_before_anything_waits() -> None:
    passing = Passing(PIECE, 7.0)
    passing.look(all_bits(LEAST_AHEAD // PIECE), 0.0, 7.0)
    assert not passing.is_enough


def test_as_long_as_it_is_not_known_what_they_take_a_fast_line_counts_as_a_usual_one() -> None:
    passing, _ = taken_at(4 * RATE, 8, KNOWN_AFTER / 2)
    assert passing.rate == FIRST_RATE


def test_who_gets_rid_of_everything_counts_for_all_that_it_brings() -> None:
    passing, _ = taken_at(4 * RATE, int(9.0 * 4 * RATE / PIECE), 9.0)
    assert passing.rate == 4 * RATE
    assert not passing.is_enough
    assert passing.seconds == 0


def test_who_brings_more_than_is_taken_counts_for_what_is_taken() -> None:
    passing, _ = taken_at(RATE, 200, 4.0)
    assert passing.is_enough
    assert RATE < passing.rate < 1.5 * RATE
    assert passing.seconds == pytest.approx((200 * PIECE - 4.0 * RATE) / RATE, rel=0.2)


def helper(rate: float, up: float) -> Kind:
    return Kind(rate, is_helper=True, lan_rate=up)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("kinds", "rate"),
    [
        pytest.param([Kind(4 * RATE), helper(16 * RATE, 2 * RATE)], 6 * RATE, id="one, of a fast line"),
        pytest.param(
            [Kind(4 * RATE), helper(4 * RATE, 0.4 * RATE)], 4.4 * RATE, id="one, of next to nothing"
        ),
        pytest.param([Kind(4 * RATE), *[helper(4 * RATE, RATE)] * 3], 7 * RATE, id="three"),
        pytest.param(
            [Kind(RATE, lan_rate=2 * RATE), *[helper(4 * RATE, 100e6)] * 2], 3 * RATE, id="who takes"
        ),
    ],
)
def test_the_origin_sends_little_twice_where_helpers_cannot_pass_on_what_they_could_fetch(
    kinds: list[Kind], rate: float, seed: int
) -> None:
    pool = SimulatedPool(kinds, length=LENGTH, seed=seed).run()
    assert pool.origin_bytes <= 1.05 * LENGTH
    assert pool.took <= 1.05 * LENGTH / rate + 1.0
