"""Rates: exact totals, calm on a steady flow, quick on a change, nothing when idle."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.swarm.rate import WINDOW, RateMeter

STEPS = st.floats(0.001, 1.0)  # seconds between two adds
STARTS = st.floats(0.0, 1e6)


def flow(meter: RateMeter, start: float, seconds: float, step: float, rate: float) -> float:
    """Feed a constant flow; return the time of its last byte."""
    count = int(seconds / step)
    sent = 0
    for number in range(1, count + 1):
        due = round(rate * number * step)
        meter.add(due - sent, start + number * step)
        sent = due
    return start + count * step


@given(start=STARTS, step=STEPS, rate=st.floats(1e4, 1e9), after=st.floats(0.0, 1.0))
def test_a_constant_flow_gives_its_rate(start: float, step: float, rate: float, after: float) -> None:
    meter = RateMeter(start)
    end = flow(meter, start, 10.0, step, rate)
    assert meter.rate(end + after * step * 0.99) == pytest.approx(rate, rel=0.02)


@given(start=STARTS, step=STEPS, rate=st.floats(1e4, 1e9))
def test_a_new_flow_shows_its_rate_within_a_second(start: float, step: float, rate: float) -> None:
    meter = RateMeter(start)
    end = flow(meter, start, 1.0, step, rate)
    assert meter.rate(end) == pytest.approx(rate, rel=0.02)


@given(step=st.floats(0.001, 0.1), before=st.floats(1e4, 1e6), after=st.floats(1e4, 1e6))
def test_a_change_shows_within_a_second_and_is_complete_after_two_windows(
    step: float, before: float, after: float
) -> None:
    meter = RateMeter(0.0)
    changed_at = flow(meter, 0.0, 10.0, step, before)
    soon = flow(meter, changed_at, 1.0, step, after)
    moved = meter.rate(soon) - before
    assert abs(moved) >= 0.25 * abs(after - before) - 0.02 * before
    late = flow(meter, soon, 2 * WINDOW, step, after)
    assert meter.rate(late) == pytest.approx(after, rel=0.02, abs=0.01 * before)


@given(step=STEPS, rate=st.floats(1e4, 1e9))
def test_an_idle_flow_falls_steadily_to_nothing(step: float, rate: float) -> None:
    meter = RateMeter(0.0)
    end = flow(meter, 0.0, 10.0, step, rate)
    falling = [meter.rate(end + tenth / 10) for tenth in range(100)]
    assert falling == sorted(falling, reverse=True)
    assert falling[30] < 0.5 * rate
    assert meter.rate(end + WINDOW + 1) == 0.0


def test_after_a_pause_a_fast_flow_shows_within_a_second() -> None:
    meter = RateMeter(0.0)
    end = flow(meter, 0.0, 10.0, 0.01, 1e6)
    end = flow(meter, end + 600.0, 1.0, 0.01, 1e6)
    assert meter.rate(end) > 0.75e6


def test_a_single_byte_shows_at_once() -> None:
    meter = RateMeter(100.0)
    assert meter.rate(100.0) == 0.0
    meter.add(1000, 100.0)
    assert meter.rate(100.0) > 0.0


@given(st.lists(st.tuples(st.integers(0, 2**40), st.floats(0.0, 20.0)), max_size=50))
def test_the_total_is_exact_and_the_rate_never_negative(steps: list[tuple[int, float]]) -> None:
    meter = RateMeter(0.0)
    now = 0.0
    for count, pause in steps:
        now += pause
        meter.add(count, now)
        assert meter.rate(now) >= 0.0
    assert meter.total == sum(count for count, _ in steps)
