"""A limit in virtual time: precise over every window, fair, and never idle while somebody waits."""

from __future__ import annotations

import random
from bisect import bisect_left
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.net.throttle import Throttle
from shoal.net.turns import Rank, Share
from shoal.testing.clock import VirtualClock
from shoal.units import KIB, MIB

RATES = [20 * KIB, 200 * KIB, 2 * MIB, 50 * MIB]
TOLERANCE = 0.03
WINDOW = 5.0  # seconds
LATEST = 0.01  # seconds; timers of a busy loop come late


class Flow:
    """A link with bytes to move: what is there, and a record of what it moved."""

    def __init__(self, throttle: Throttle, record: list[tuple[float, int]], clock: VirtualClock) -> None:
        self.there = 0
        self.moved = 0
        self._throttle = throttle
        self._record = record
        self._clock = clock
        self.share = Share(self._move)

    def bring(self, size: int, rank: Rank = Rank.FRESH) -> None:
        self.there += size
        self._throttle.ask(self.share, rank)

    def _move(self, most: int) -> int:
        count = min(most, self.there)
        self.there -= count
        self.moved += count
        self._record.append((self._clock.now, count))
        if self.there:
            self._throttle.ask(self.share)
        return count


class Scene:
    def __init__(self, rate: int, count: int, *, seed: int | None = None) -> None:
        self.clock = VirtualClock()
        rng = random.Random(seed)

        def call_later(delay: float, callback: object) -> None:
            late = rng.uniform(0.0, LATEST) if seed is not None else 0.0
            self.clock.call_later(delay + late, callback)  # type: ignore[arg-type]

        self.record: list[tuple[float, int]] = []
        self.throttle = Throttle(rate, self.clock, call_later)
        self.flows = [Flow(self.throttle, self.record, self.clock) for _ in range(count)]

    def windows(self, until: float) -> list[int]:
        """The bytes of each window of five seconds that begins after the first second, a tenth apart."""
        times = [at for at, _ in self.record]
        sums = [0, *accumulate(count for _, count in self.record)]
        starts = [1.0 + step / 10 for step in range(int((until - WINDOW - 1.0) * 10))]
        return [sums[bisect_left(times, at + WINDOW)] - sums[bisect_left(times, at)] for at in starts]


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("seed", [None, 1])
@pytest.mark.parametrize("count", [1, 4])
def test_every_window_of_five_seconds_is_within_three_per_cent(
    rate: int, count: int, seed: int | None
) -> None:
    scene = Scene(rate, count, seed=seed)
    for flow in scene.flows:
        flow.bring(100 * rate)
    scene.clock.advance(15.0)
    windows = scene.windows(15.0)
    assert windows
    for moved in windows:
        assert moved == pytest.approx(rate * WINDOW, rel=TOLERANCE)


@pytest.mark.parametrize("rate", [*RATES, 1000])
def test_four_that_always_have_something_get_equal_parts(rate: int) -> None:
    scene = Scene(rate, 4)
    for flow in scene.flows:
        flow.bring(100 * rate)
    scene.clock.advance(60.0)
    moved = [flow.moved for flow in scene.flows]
    assert min(moved) / max(moved) > 0.9


def test_what_one_does_not_need_is_shared_by_the_others() -> None:
    scene = Scene(100 * KIB, 3)
    modest, *greedy = scene.flows

    def bring() -> None:
        modest.bring(KIB)
        scene.clock.call_later(0.1, bring)

    bring()
    for flow in greedy:
        flow.bring(100 * MIB)
    scene.clock.advance(20.0)
    assert modest.moved == pytest.approx(200 * KIB, rel=0.02)
    for flow in greedy:
        assert flow.moved == pytest.approx(900 * KIB, rel=0.02)


@given(
    st.sampled_from([1000, 20 * KIB, 50 * MIB]),
    st.lists(
        st.tuples(st.floats(0.0, 0.5), st.integers(0, 3), st.integers(1, 64 * KIB), st.sampled_from(Rank)),
        min_size=1,
        max_size=60,
    ),
)
def test_nothing_waits_while_a_portion_may_pass_and_in_the_end_all_has_passed(
    rate: int, steps: list[tuple[float, int, int, Rank]]
) -> None:
    scene = Scene(rate, 4)
    for pause, number, size, rank in steps:
        scene.clock.advance(pause)
        scene.flows[number].bring(size, rank)
        is_somebody_waiting = any(flow.there for flow in scene.flows)
        assert not is_somebody_waiting or scene.clock.next_deadline() is not None
    brought = sum(size for _, _, size, _ in steps)
    left = sum(flow.there for flow in scene.flows)
    scene.clock.advance((left + 4 * KIB) / rate + 1.0)
    assert sum(flow.moved for flow in scene.flows) == brought
    assert scene.clock.next_deadline() is None  # with nothing to move there is no timer


def test_a_message_does_not_wait_for_the_data_of_others() -> None:
    scene = Scene(20 * KIB, 2)
    data, talker = scene.flows
    data.bring(1 * MIB)
    scene.clock.advance(10.0)
    for _ in range(100):
        talker.bring(17, Rank.TALKING)
        scene.clock.advance(0.1)
        assert talker.there == 0
    assert data.moved + talker.moved == pytest.approx(20 * KIB * 20, rel=TOLERANCE)


def test_one_that_leaves_is_not_served() -> None:
    scene = Scene(1000, 1)
    (flow,) = scene.flows
    flow.bring(10_000)
    scene.throttle.leave(flow.share)
    assert not scene.throttle.is_waiting(flow.share)
    scene.clock.advance(100.0)
    assert flow.moved == 0


def test_last_words_are_only_as_long_as_may_pass_at_once() -> None:
    scene = Scene(100_000, 1)
    scene.clock.advance(1.0)
    assert scene.throttle.spend_now(68) == 68
    assert sum(scene.throttle.spend_now(10**6) for _ in range(100)) <= 15_000
    assert scene.throttle.spend_now(68) == 0
