"""Whole pools on virtual time. A story holds for every seed; the name of a test that fails has the seed.

The bound is the length over the sum of what links to the origin bring. `python -m tests.fetch.pool.test_pool_stories`
prints the figures of many seeds.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable

import pytest

from shoal.testing.pool import SimulatedPool
from shoal.testing.pool_kinds import Kind
from shoal.units import MIB

SEEDS = range(4)
RATE = 2.5e6  # 20 Mbit/s
LENGTH = 256 * MIB

Story = Callable[[int], tuple[SimulatedPool, float]]  # seed -> the pool, run; and its bound in seconds


def helpers(count: int) -> list[Kind]:
    return [Kind(RATE, is_helper=True) for _ in range(count)]


def equal_rates(seed: int) -> tuple[SimulatedPool, float]:
    return SimulatedPool([Kind(RATE), *helpers(7)], seed=seed).run(), LENGTH / (8 * RATE)


def rates_ten_to_one(seed: int) -> tuple[SimulatedPool, float]:
    rates = [RATE] * 4 + [RATE / 10] * 4
    random.Random(seed).shuffle(rates)
    kinds = [Kind(rate, is_helper=number > 0) for number, rate in enumerate(rates)]
    return SimulatedPool(kinds, seed=seed).run(), LENGTH / sum(rates)


def rates_that_change(seed: int) -> tuple[SimulatedPool, float]:
    turn = random.Random(seed).uniform(2.0, 8.0)

    def kind(number: int) -> Kind:
        return Kind(
            lambda seconds: RATE if (int(seconds / turn) + number) % 2 else RATE / 10, is_helper=number > 0
        )

    return SimulatedPool([kind(number) for number in range(8)], seed=seed).run(), LENGTH / (4.4 * RATE)


def with_a_helper_that(trouble: str) -> Story:
    """`trouble` is a field of `Kind`: a time, or something that it does from the beginning."""

    def story(seed: int) -> tuple[SimulatedPool, float]:
        kinds = [Kind(RATE), *helpers(7)]
        when = random.Random(seed).uniform(0.2, 13.0)
        is_at_once = trouble in ("only_claims", "floods")
        setattr(kinds[3], trouble, True if is_at_once else when)
        brought = 0.0 if is_at_once else when * RATE
        return SimulatedPool(kinds, seed=seed).run(), (LENGTH - brought) / (7 * RATE)

    return story


def crowd(seed: int) -> tuple[SimulatedPool, float]:
    rng = random.Random(seed)
    kinds = [Kind(RATE, starts_at=rng.uniform(0.0, 0.2)) for _ in range(8)]
    return SimulatedPool(kinds, seed=seed, discovery=0.3).run(), LENGTH / (8 * RATE)


def crowd_of_which_one_in_ten_is_killed(seed: int) -> tuple[SimulatedPool, float]:
    rng = random.Random(seed)
    kinds = [Kind(RATE, starts_at=rng.uniform(0.0, 0.2)) for _ in range(10)]
    kinds[3].dies_at = rng.uniform(0.5, 10.0)
    return SimulatedPool(kinds, seed=seed, discovery=0.3).run(), LENGTH / (9 * RATE)


STORIES: dict[str, Story] = {
    "1 + 7 helpers, equal": equal_rates,
    "rates 10:1": rates_ten_to_one,
    "rates that change 10:1": rates_that_change,
    **{
        f"1 of 7 helpers {what}": with_a_helper_that(trouble)
        for what, trouble in {
            "is killed": "dies_at",
            "freezes": "freezes_at",
            "crawls": "crawls_at",
            "claims and never delivers": "only_claims",
            "floods": "floods",
        }.items()
    },
    "crowd of 8": crowd,
    "crowd of 10, one killed": crowd_of_which_one_in_ten_is_killed,
}


@pytest.mark.parametrize("seed", SEEDS)
def test_one_requester_and_seven_helpers_come_within_a_twentieth_of_the_bound(seed: int) -> None:
    pool, bound = equal_rates(seed)
    assert pool.took <= 1.05 * bound
    assert pool.origin_bytes <= 1.005 * LENGTH
    assert pool.requests <= 8 * 24


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("story", [rates_ten_to_one, rates_that_change], ids=lambda story: story.__name__)
def test_whatever_the_rates_the_end_comes_within_an_eighth_of_the_bound(story: Story, seed: int) -> None:
    pool, bound = story(seed)
    assert pool.took <= 1.12 * bound
    assert pool.origin_bytes <= 1.04 * LENGTH
    assert pool.requests <= 8 * 40


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("trouble", ["dies_at", "freezes_at", "crawls_at", "only_claims", "floods"])
def test_a_bad_helper_costs_two_seconds_at_most(trouble: str, seed: int) -> None:
    pool, bound = with_a_helper_that(trouble)(seed)
    assert pool.took <= 1.03 * bound + 2.0
    assert pool.origin_bytes <= 1.02 * LENGTH


@pytest.mark.parametrize("seed", SEEDS)
def test_the_origin_sends_a_crowd_each_byte_once(seed: int) -> None:
    pool, bound = crowd(seed)
    assert pool.origin_bytes <= 1.01 * LENGTH
    assert pool.took <= 1.08 * bound


@pytest.mark.parametrize("seed", SEEDS)
def test_what_one_of_ten_fetched_before_it_was_killed_is_mostly_with_the_others(seed: int) -> None:
    pool, _ = crowd_of_which_one_in_ten_is_killed(seed)
    assert pool.origin_bytes <= 1.08 * LENGTH


@pytest.mark.parametrize("when", [1.0, 5.0, 12.0])
@pytest.mark.parametrize("trouble", ["dies_at", "freezes_at"])
def test_the_only_helper_is_not_missed_for_long(trouble: str, when: float) -> None:
    helper = Kind(RATE, is_helper=True)
    setattr(helper, trouble, when)
    pool = SimulatedPool([Kind(RATE), helper], length=64 * MIB).run()
    assert pool.took <= (pool.length - RATE * when) / RATE + 1.5


def test_who_finds_nobody_goes_on_alone_with_few_requests() -> None:
    pool = SimulatedPool([Kind(RATE)], length=64 * MIB).run()
    assert pool.took <= 1.02 * pool.length / RATE
    assert pool.requests <= 14


@pytest.mark.parametrize("is_helper", [True, False])
def test_who_comes_late_takes_its_share_from_then_on(is_helper: bool) -> None:
    pool = SimulatedPool([Kind(RATE), Kind(RATE, is_helper=is_helper, starts_at=8.0)], length=64 * MIB).run()
    assert pool.took <= 8 + (pool.length - 8 * RATE) / RATE / 2 + 0.6
    assert pool.origin_bytes <= 1.01 * pool.length


def test_a_helper_that_brings_more_than_it_can_pass_on_is_not_waited_for() -> None:
    helper = Kind(4 * RATE, is_helper=True, lan_rate=RATE / 5)
    pool = SimulatedPool([Kind(RATE), helper], length=64 * MIB).run()
    assert pool.took <= 1.1 * pool.length / (RATE + RATE / 5)


@pytest.mark.parametrize("length", [1, 70_000, 262_144, 262_145, 3 * MIB])
def test_a_small_file_comes_about_as_soon_as_to_one_machine_alone(length: int) -> None:
    pool = SimulatedPool([Kind(RATE), *helpers(3), Kind(RATE)], length=length).run()
    assert pool.took <= length / RATE + 0.3


def figures(seed_count: int) -> None:
    """Print what each story came to, as a table: mean and worst over the seeds."""
    print("| story | time / bound | seconds over | origin / length | requests a member |")
    print("|---|---|---|---|---|")
    for name, story in STORIES.items():
        rows = []
        for seed in range(seed_count):
            pool, bound = story(seed)
            requests = pool.requests / len(pool.members)
            rows.append((pool.took / bound, pool.took - bound, pool.origin_bytes / pool.length, requests))
        columns = zip(("{:.3f}", "{:.2f}", "{:.4f}", "{:.0f}"), zip(*rows, strict=True), strict=True)
        cells = [f"{form} · {form}".format(sum(values) / seed_count, max(values)) for form, values in columns]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    figures(int(sys.argv[1]) if len(sys.argv) > 1 else 24)
