"""Helpers that add nothing are sent away, those that add something stay: on virtual time, for every seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from shoal.fetch.pool.worth import LITTLE, MOST_MISSED, MOST_TIMES, Worth
from shoal.units import KIB, MIB

SEEDS = range(20)
STEP = 0.1  # seconds
PIECE = 256 * KIB
RATE = 2.5e6  # bytes a second
JOINS_AFTER = 1.0  # seconds from being asked

Line = Callable[[float], float]  # seconds -> bytes a second


@dataclass
class Story:
    """One requester and its helpers. `shared`: bytes a second of the line by which all of them go."""

    seed: int
    lines: Sequence[float | Line]  # the requester's first
    shared: Line | None = None
    length: int = 200 * MIB
    took: float = 0.0
    sent_away: list[tuple[float, int]] = field(default_factory=list)  # when, and which helper
    called_back_at: float | None = None

    def run(self) -> Story:
        rng = random.Random(self.seed)
        worth = Worth(PIECE)
        came = [0.0] * len(self.lines)
        joined_at: dict[int, float] = {number: rng.uniform(0.8, 1.6) for number in range(1, len(self.lines))}
        now = 0.0
        while sum(came) < self.length:
            now += STEP
            asked = [0] + [number for number, at in joined_at.items() if now >= at]
            rates = {number: self._rate(number, now) * rng.uniform(0.8, 1.2) for number in asked}
            if self.shared is not None:
                share = min(1.0, self.shared(now) / sum(rates.values()))
                rates = {number: rate * share for number, rate in rates.items()}
            for number, rate in rates.items():
                came[number] += rate * STEP
            told = {_name(number): int(came[number] // PIECE) * PIECE for number in asked[1:]}
            here = int(came[0]) + sum(int(one // PIECE) * PIECE for one in came[1:])
            for helper in worth.look(here, max(0, self.length - here), told, now):
                number = int(helper)
                self.sent_away.append((now, number))
                del joined_at[number]
            for number in range(1, len(self.lines)):
                if number not in joined_at and not worth.is_away(_name(number)):
                    self.called_back_at = self.called_back_at or now
                    joined_at[number] = now + JOINS_AFTER
        self.took = now
        return self

    def _rate(self, number: int, now: float) -> float:
        line = self.lines[number]
        return line(now) if callable(line) else line


def _name(number: int) -> bytes:
    return b"%d" % number


def always(rate: float) -> Line:
    return lambda now: rate


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("lines", [[RATE] * 2, [RATE] * 8, [RATE] * 4 + [RATE / 10] * 4], ids=len)
def test_whose_lines_are_their_own_stay(seed: int, lines: list[float]) -> None:
    story = Story(seed, lines).run()
    assert not story.sent_away


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("helpers", [1, 3, 7])
def test_those_that_go_by_our_own_line_are_sent_away_and_nothing_is_lost_by_it(
    seed: int, helpers: int
) -> None:
    story = Story(seed, [2 * RATE] * (1 + helpers), shared=always(RATE)).run()
    assert {number for _, number in story.sent_away} == set(range(1, 1 + helpers))
    assert max(at for at, _ in story.sent_away) < 20
    assert story.took < 1.02 * story.length / RATE + 1


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("rate", [0.0, RATE * LITTLE / 2])
def test_one_that_brings_next_to_nothing_goes_alone(seed: int, rate: float) -> None:
    story = Story(seed, [RATE, RATE, rate, RATE]).run()
    assert {number for _, number in story.sent_away} == {2}
    assert story.sent_away[0][0] < 25


@pytest.mark.parametrize("seed", SEEDS)
def test_of_many_that_bring_a_little_each_not_so_many_are_sent_away_that_it_is_felt(seed: int) -> None:
    """Sixteen with eight thousandths each are an eighth together: a trial shows it, and then some go."""
    story = Story(seed, [RATE] + [RATE * 0.008] * 16).run()
    assert story.took < (1 + MOST_MISSED) * story.length / (RATE * 1.128) + 4


@pytest.mark.parametrize("seed", SEEDS)
def test_a_trial_that_was_wrong_is_over_soon_and_is_the_last(seed: int) -> None:
    """The line was fast in the beginning, and is a tenth as fast from then on: each helper doubles it."""

    def ours(now: float) -> float:
        return 3 * RATE if now < 0.8 else RATE / 3

    story = Story(seed, [ours, RATE], length=100 * MIB).run()
    assert len(story.sent_away) == 1
    assert story.called_back_at is not None
    assert story.called_back_at - story.sent_away[0][0] < 6
    assert story.took < story.length / (RATE * 4 / 3) + 8


@pytest.mark.parametrize("seed", SEEDS)
def test_when_it_gets_slow_those_that_were_sent_away_are_asked_again(seed: int) -> None:
    turns_at = random.Random(seed).uniform(20, 40)
    ours: Line = lambda now: RATE if now < turns_at else RATE / 5  # noqa: E731
    theirs: Line = lambda now: 0.001 * RATE if now < turns_at else RATE  # noqa: E731
    story = Story(seed, [ours, theirs, theirs]).run()
    assert story.sent_away
    assert story.called_back_at is not None
    assert turns_at < story.called_back_at < turns_at + 5


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_the_lines_do_nobody_is_sent_away_more_than_twice(seed: int) -> None:
    rng = random.Random(seed)

    def wild(number: int) -> Line:
        rates = [rng.choice([0.0, RATE / 1000, RATE / 10, RATE]) for _ in range(400)]
        return lambda now: rates[int(now / 5) % 400] + (1000.0 if number == 0 else 0.0)

    story = Story(seed, [wild(number) for number in range(5)], length=300 * MIB).run()
    for number in range(1, 5):
        assert sum(one == number for _, one in story.sent_away) <= MOST_TIMES


@pytest.mark.parametrize("seed", SEEDS)
def test_near_the_end_nobody_is_sent_away(seed: int) -> None:
    story = Story(seed, [RATE, 0.0], length=int(RATE * 12)).run()
    assert not story.sent_away
