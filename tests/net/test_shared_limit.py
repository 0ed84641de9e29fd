"""What does not come by a link shares the links' limit: on virtual time, to the byte."""

from __future__ import annotations

import heapq
from collections.abc import Callable

import pytest

from shoal.net.shared_limit import SharedLimit
from shoal.net.throttle import Throttle
from shoal.net.turns import Share

RATE = 1_000_000
CHUNK = 16_384


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self._calls: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def call_later(self, delay: float, call: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._calls, (self.now + delay, self._count, call))

    def run(self, until: float) -> None:
        while self._calls and self._calls[0][0] <= until:
            self.now, _, call = heapq.heappop(self._calls)
            call()
        self.now = until


class Flow:
    """Who always has a chunk, and is called when it may try again."""

    def __init__(self, limit: SharedLimit) -> None:
        self.limit = limit
        self.passed = 0
        self.is_inside = False
        self.go_on()

    def go_on(self) -> None:
        assert not self.is_inside, "called while it is told that it has to wait"
        self.is_inside = True
        while self.limit.passes(CHUNK, self.go_on):
            self.passed += CHUNK
        self.is_inside = False


@pytest.mark.parametrize("count", [1, 3])
def test_transfers_stay_below_the_rate_and_reach_it(count: int) -> None:
    clock = Clock()
    limit = SharedLimit(Throttle(RATE, lambda: clock.now, clock.call_later))
    flows = [Flow(limit) for _ in range(count)]
    clock.run(5.0)
    total = sum(flow.passed for flow in flows)
    assert 0.97 * 5 * RATE <= total <= 1.03 * 5 * RATE
    assert min(flow.passed for flow in flows) > 0.8 * total / count


def test_a_link_and_transfers_share_it_evenly() -> None:
    clock = Clock()
    throttle = Throttle(RATE, lambda: clock.now, clock.call_later)
    moved = 0

    def move(most: int) -> int:
        nonlocal moved
        moved += most
        throttle.ask(link)
        return most

    link = Share(move)
    throttle.ask(link)
    flow = Flow(SharedLimit(throttle))
    clock.run(5.0)
    assert 0.97 * 5 * RATE <= moved + flow.passed <= 1.03 * 5 * RATE
    assert 0.8 < moved / flow.passed < 1.25


def test_who_is_forgotten_is_not_called() -> None:
    clock = Clock()
    limit = SharedLimit(Throttle(RATE, lambda: clock.now, clock.call_later))
    flow = Flow(limit)
    limit.forget(flow.go_on)
    passed = flow.passed
    clock.run(5.0)
    assert flow.passed == passed
