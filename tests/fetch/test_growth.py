from __future__ import annotations

from collections.abc import Callable

from shoal.fetch.growth import FIRST_PAUSE, FULL_WINDOW, Growth
from shoal.units import MIB


class Scene:
    """A growth that is obeyed at once, where `rate(fetchers, seconds since the last change)` comes."""

    def __init__(
        self, growth: Growth, rate: Callable[[int, float], float], bytes_left: int = 1000 * MIB
    ) -> None:
        self.growth = growth
        self.rate = rate
        self.bytes_left = bytes_left
        self.now = 1.0
        self.received = 0.0
        self.changed_at = 1.0
        self.targets = [(0.0, growth.target)]  # (seconds, target) at each change

    def play(self, until: float) -> list[int]:
        """-> the targets, in order, until so many seconds have passed."""
        while self.now < 1.0 + until:
            self.received += self.rate(self.growth.target, self.now - self.changed_at) * 0.05
            self.now += 0.05
            self.growth.look(
                self.now,
                delivering=self.growth.target,
                received=int(self.received),
                latency=0.02,
                bytes_left=self.bytes_left,
            )
            if self.growth.target != self.targets[-1][1]:
                self.targets.append((self.now - 1.0, self.growth.target))
                self.changed_at = self.now
        return [target for _, target in self.targets]


def test_it_goes_up_in_fours_while_each_step_brings_its_share() -> None:
    scene = Scene(Growth(16), lambda fetchers, _: fetchers * MIB)
    assert scene.play(2.0) == [1, 4, 16]


def test_who_is_paced_has_all_that_may_be_at_once() -> None:
    """A burst, then nothing: as of servers that send half a second's worth at once."""

    def rate(fetchers: int, since: float) -> float:
        return 40 * fetchers * MIB if scene.now % 0.5 < 0.05 else 0.0

    scene = Scene(Growth(16), rate)
    assert scene.play(10.0) == [1, 16]
    assert scene.targets[1][0] < 0.5


def test_a_pause_of_a_line_that_more_fetchers_do_not_make_faster_costs_two_seconds() -> None:
    scene = Scene(Growth(16), lambda _, __: 0.0 if 1.15 < scene.now < 1.4 else 20 * MIB)
    targets = scene.play(2.0 * FULL_WINDOW + 1.0)
    assert targets[1] == 16
    assert targets[-1] < 8


def test_what_we_held_ourselves_is_no_pause() -> None:
    growth = Growth(16)
    for beat in range(20):
        if beat:
            growth.excuse()
        growth.look(1.0 + beat / 20, delivering=1, received=MIB, latency=0.02, bytes_left=1000 * MIB)
    assert growth.target == 1


def test_where_little_is_left_it_is_measured_for_longer() -> None:
    quick, careful = (Scene(Growth(16), lambda fetchers, _: fetchers * MIB, left * MIB) for left in (1000, 2))
    quick.play(2.0)
    careful.play(2.0)
    assert quick.targets[1][0] < careful.targets[1][0]


def test_a_step_that_brings_nothing_is_taken_back_after_two_seconds() -> None:
    scene = Scene(Growth(16), lambda fetchers, _: MIB)
    assert scene.play(FULL_WINDOW + 1.0) == [1, 4, 1]
    assert scene.targets[2][0] - scene.targets[1][0] >= FULL_WINDOW


def test_of_a_step_that_brings_something_as_much_stays_as_brings_it() -> None:
    scene = Scene(Growth(16), lambda fetchers, _: min(fetchers, 6) * MIB)
    assert scene.play(4.0) == [1, 4, 16, 6]


def test_a_gain_that_is_late_is_waited_for() -> None:
    scene = Scene(Growth(4), lambda fetchers, since: fetchers * MIB if since > 1.0 else MIB)
    assert scene.play(6.0) == [1, 4]


def test_what_lay_in_buffers_is_no_measure_of_what_was_before() -> None:
    scene = Scene(Growth(4), lambda fetchers, since: 100 * MIB if since < 0.14 else fetchers * MIB)
    assert scene.play(3.5) == [1, 4]


def test_a_step_is_made_up_for_if_it_turns_out_slower_without() -> None:
    """The first second of the first fetcher was a burst, beside which four were nothing."""

    def rate(fetchers: int, since: float) -> float:
        return 20 * MIB if scene.now < 2.0 else fetchers * MIB

    scene = Scene(Growth(4), rate)
    targets = scene.play(3.2 + FULL_WINDOW + 0.3)
    assert targets[:3] == [1, 4, 1]
    assert scene.targets[3][1] == 2
    assert scene.targets[3][0] - scene.targets[2][0] < FIRST_PAUSE


def test_nothing_is_tried_that_cannot_pay_any_more() -> None:
    scene = Scene(Growth(16), lambda fetchers, _: fetchers * MIB, bytes_left=MIB * 9 // 10)
    assert scene.play(10.0) == [1]


def test_who_begins_with_the_most_tries_nothing() -> None:
    scene = Scene(Growth(4, 4), lambda fetchers, _: MIB)
    assert scene.play(30.0) == [4]


def test_connections_that_turned_out_useless_go_one_by_one() -> None:
    scene = Scene(Growth(4), lambda fetchers, _: fetchers * MIB if scene.now < 4 else 4 * MIB)
    targets = scene.play(20.0)
    assert targets[:5] == [1, 4, 3, 2, 1]


def test_a_refusal_is_not_followed_by_another_step_for_half_a_minute() -> None:
    scene = Scene(Growth(16), lambda fetchers, _: fetchers * MIB)
    scene.play(0.3)
    assert scene.growth.target == 4
    scene.growth.on_refused(2, scene.now)
    assert scene.growth.target == 2
    scene.play(25.0)
    assert scene.growth.target == 2
    assert {target for seconds, target in scene.targets if seconds > 0.3} == {2}


def test_so_many_as_are_worth_it_without_a_trial_are_there_at_once_and_stay() -> None:
    growth = Growth(16)
    growth.limit(2, 2)
    scene = Scene(growth, lambda _, __: 2 * MIB)
    assert scene.play(60.0) == [2]


def test_a_server_that_refuses_is_asked_by_fewer_all_the_same() -> None:
    growth = Growth(16)
    growth.limit(4, 2)
    growth.on_refused(1, 1.0)
    growth.limit(4, 2)
    assert growth.target == 1
