"""Whether neighbours that have what we want are left to bring it, or the origin is asked as well."""

from __future__ import annotations

import pytest

from shoal.fetch.pool.lagging import GOOD, LAGS_AFTER, Lagging
from shoal.units import KIB

PIECE = 256 * KIB


def seconds_of(rate: float, best_rate: float, *, is_rest: bool, after: float = 4.0) -> float | None:
    """Of a hundred pieces, when neighbours brought so many bytes a second for a while."""
    lagging = Lagging(PIECE, 7.0)
    for number in range(round(after * rate / PIECE)):
        lagging.on_piece(7.0 + number * PIECE / rate)
    return lagging.seconds(100, best_rate, 7.0 + after, is_rest=is_rest)


def test_they_have_time_to_begin() -> None:
    assert seconds_of(1e6, 100e6, is_rest=True, after=LAGS_AFTER * 0.9) is None


@pytest.mark.parametrize("best_rate", [1e6, 10e6, 50e6])
def test_as_long_as_they_bring_what_the_origin_would_it_is_not_asked_for_the_rest(best_rate: float) -> None:
    assert seconds_of(best_rate * 1.1, best_rate, is_rest=True) is None
    assert seconds_of(best_rate * 0.9, best_rate, is_rest=True) is not None


def test_while_others_are_fetched_they_are_to_be_much_faster() -> None:
    assert seconds_of(15e6, 10e6, is_rest=False) is not None
    assert seconds_of(22e6, 10e6, is_rest=False) is None


def test_the_origin_is_not_asked_just_to_find_out_how_fast_it_is() -> None:
    assert seconds_of(GOOD * 1.1, 0.0, is_rest=True) is None
    assert seconds_of(GOOD / 10, 0.0, is_rest=True) is not None


def test_who_brings_nothing_is_held_up_for_long() -> None:
    lagging = Lagging(PIECE, 7.0)
    seconds = lagging.seconds(100, 10e6, 7.0 + 2 * LAGS_AFTER, is_rest=True)
    assert seconds is not None and seconds > 1000
    assert lagging.is_doubted
    lagging.rest(12.0)
    assert not lagging.is_doubted
