"""When helpers are asked: only where that makes a download end sooner."""

from __future__ import annotations

import pytest

from shoal.fetch.pool.asking import FULL, JOINING, SHOWN_AFTER, Asking
from shoal.units import GIB, MIB


def is_worth_it(left: int, rate: float, seconds: float) -> bool:
    """So long after the beginning, at a rate that was the same all the time."""
    return Asking(7.0).is_worth_it(left, int(rate * seconds), rate, 7.0 + seconds)


@pytest.mark.parametrize("seconds", [0.06, 0.1, 0.5, 20.0])
def test_on_a_slow_line_a_long_file_is_worth_it_from_the_first_look_on(seconds: float) -> None:
    assert is_worth_it(256 * MIB, 2.5e6, seconds)


def test_of_whom_nothing_came_yet_asks() -> None:
    assert is_worth_it(6 * MIB, 0, 0.1)


@pytest.mark.parametrize("rate", [1e6, 20e6, 90e6])
def test_what_is_over_sooner_than_a_helper_joins_is_not_worth_it(rate: float) -> None:
    assert is_worth_it(int(rate * JOINING * 1.1), rate, 2.0)
    assert not is_worth_it(int(rate * JOINING * 0.9), rate, 2.0)


def test_connections_may_begin_slowly_before_anybody_is_asked() -> None:
    assert not is_worth_it(64 * MIB, 10e6, SHOWN_AFTER / 2)
    assert is_worth_it(64 * MIB, 10e6, SHOWN_AFTER + 0.01)


def test_a_full_line_asks_nobody_however_long_the_file_is() -> None:
    assert not is_worth_it(1024 * GIB, FULL * 1.1, 1.0)
    assert is_worth_it(1024 * GIB, FULL * 0.9, 1.0)


@pytest.mark.parametrize(("rate", "is_asked"), [(0.7 * MIB, True), (0.9 * MIB, False), (MIB, False)])
def test_who_nearly_reaches_the_limit_of_the_download_alone_asks_nobody(rate: float, is_asked: bool) -> None:
    assert Asking(7.0, limit=MIB).is_worth_it(1024 * MIB, int(rate), rate, 8.0) == is_asked


def test_what_a_pause_hides_is_remembered() -> None:
    """A server that paces a connection sends at once what is for a second, and then nothing for a while."""
    assert not Asking(7.0).is_worth_it(5 * MIB, 4 * MIB, 0.0, 7.5)
    assert Asking(7.0).is_worth_it(5 * MIB, 4 * MIB, 0.0, 11.0)


def test_who_has_all_connections_that_a_group_may_have_asks_nobody() -> None:
    assert not Asking(7.0).is_worth_it(256 * MIB, MIB, 1e6, 8.0, has_all=True)


def test_after_a_wait_the_first_bytes_are_waited_for() -> None:
    asking = Asking(7.0)
    asking.wait(8.0, 16_384)
    assert not asking.is_worth_it(256 * MIB, 16_384, 0, 8.2)
    assert not asking.is_worth_it(256 * MIB, 200_000, 0, 8.25)
    assert not asking.is_worth_it(64 * MIB, 16_384 + MIB, 0, 8.25 + SHOWN_AFTER / 2)
    assert asking.is_worth_it(64 * MIB, 16_384 + MIB, 0, 8.25 + SHOWN_AFTER * 2)


def test_after_a_wait_who_gets_nothing_asks_soon() -> None:
    asking = Asking(7.0)
    asking.wait(8.0, 16_384)
    assert not asking.is_worth_it(256 * MIB, 16_384, 0, 8.0 + SHOWN_AFTER)
    assert asking.is_worth_it(256 * MIB, 16_384, 0, 8.0 + SHOWN_AFTER * 2)
