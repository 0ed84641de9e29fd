"""How much is claimed at a time: long runs, few seconds in all, and shares near the end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shoal.fetch.pool.portions import FALLEN_SECONDS, MOST_SECONDS, SHORTEST_RUN, Portions
from shoal.units import KIB, MIB

PIECE = 256 * KIB
portions = Portions(PIECE)
RATES = st.floats(0.0, 1e9)


def test_a_run_is_two_seconds_of_a_line_that_two_connections_share() -> None:
    assert portions.run_length(2.5 * MIB, 2) == 20


def test_without_a_rate_a_run_is_short() -> None:
    assert portions.run_length(0.0, 1) * PIECE == SHORTEST_RUN


def test_near_the_end_each_takes_its_share_by_rates() -> None:
    assert portions.run_near_the_end(3 * MIB, [1 * MIB], 1, 16) == 12
    assert portions.run_near_the_end(1 * MIB, [3 * MIB], 1, 16) == 4


def test_of_whom_nothing_is_known_the_usual_is_thought() -> None:
    assert portions.run_near_the_end(MIB, [0.0], 1, 8) == 4


@given(RATES, st.integers(0, 10_000))
def test_who_has_claimed_little_is_not_told_that_it_is_too_much(rate: float, claimed: int) -> None:
    """What may be taken now is never given back for being too much, unless the rate falls."""
    more = claimed + portions.spare_length(rate, claimed)
    if claimed * PIECE <= max(0.0, MOST_SECONDS * rate - SHORTEST_RUN) and rate >= SHORTEST_RUN:
        assert not portions.is_too_much(rate, more)


@given(st.floats(1e5, 1e9))
def test_a_rate_that_fell_to_a_third_makes_what_was_claimed_too_much(rate: float) -> None:
    claimed = int(MOST_SECONDS * rate) // PIECE
    is_long = claimed * PIECE > 2 * SHORTEST_RUN
    assert portions.is_too_much(rate / 3, claimed) == (
        is_long and rate / 3 * FALLEN_SECONDS < claimed * PIECE
    )


@given(RATES, st.lists(RATES, max_size=8), st.integers(1, 16), st.integers(0, 10_000))
def test_a_run_has_a_piece_at_least(rate: float, others: list[float], fetchers: int, free: int) -> None:
    assert portions.run_near_the_end(rate, others, fetchers, free) >= 1
    assert portions.spare_length(rate, free) >= 1
