"""The virtual clock: everything in its order and at its time."""

from __future__ import annotations

import pytest

from shoal.testing.clock import VirtualClock


def test_it_stands_still_until_it_is_turned() -> None:
    clock = VirtualClock(5.0)
    assert clock() == clock.now == 5.0
    clock.advance(2.5)
    assert clock() == 7.5


def test_callbacks_run_at_their_time_and_in_order() -> None:
    clock = VirtualClock()
    story: list[tuple[str, float]] = []
    clock.call_at(2.0, lambda: story.append(("second", clock())))
    clock.call_at(1.0, lambda: story.append(("first", clock())))
    clock.call_later(2.0, lambda: story.append(("second too", clock())))
    clock.call_at(3.0, lambda: story.append(("too late", clock())))
    clock.advance_to(2.0)
    assert story == [("first", 1.0), ("second", 2.0), ("second too", 2.0)]
    assert clock.next_deadline() == 3.0


def test_a_callback_that_sets_up_another_is_followed() -> None:
    clock = VirtualClock()
    ticks: list[float] = []

    def tick() -> None:
        ticks.append(clock())
        clock.call_later(1.0, tick)

    tick()
    clock.advance(3.0)
    assert ticks == [0.0, 1.0, 2.0, 3.0]


def test_what_should_have_happened_already_happens_next_without_going_back() -> None:
    clock = VirtualClock(10.0)
    times: list[float] = []
    clock.call_at(1.0, lambda: times.append(clock()))
    clock.advance(0.0)
    assert times == [10.0]


def test_it_cannot_go_back() -> None:
    with pytest.raises(ValueError, match=r"stands at 3.0 and cannot go back to 1.0"):
        VirtualClock(3.0).advance_to(1.0)


def test_a_run_ends_when_its_condition_holds_or_nothing_is_left() -> None:
    clock = VirtualClock()
    for second in range(1, 6):
        clock.call_at(second, lambda: None)
    clock.run(lambda: clock() >= 3.0, limit=100.0)
    assert clock() == 3.0
    clock.run(limit=100.0)
    assert clock() == 5.0
    assert clock.next_deadline() is None


def test_a_run_that_does_not_end_is_an_error() -> None:
    clock = VirtualClock()

    def tick() -> None:
        clock.call_later(1.0, tick)

    tick()
    with pytest.raises(TimeoutError, match=r"not over at 10.0 s of virtual time"):
        clock.run(limit=10.0)
