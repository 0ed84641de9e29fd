"""How many are served at once and for how long, by what the uplink was seen to carry."""

from __future__ import annotations

import pytest

from shoal.swarm.capacity import (
    FEWEST_SLOTS,
    LEAST_ROUND,
    LIMITED_RATE_PER_SLOT,
    MAX_SLOTS,
    MEMORY,
    SMALL_SWARM,
    STANDARD_SLOTS,
    Capacity,
)
from shoal.swarm.choker import RECHOKE_INTERVAL
from shoal.swarm.tactics import Tactics
from shoal.units import KIB, MIB

PIECE = 256 * KIB


def seen(rate: float, tactics: Tactics | None = None) -> Capacity:
    capacity = Capacity(PIECE, tactics or Tactics(), 0.0)
    capacity.note(rate, 0.0)
    return capacity


@pytest.mark.parametrize("count", range(1, SMALL_SWARM + 1))
def test_a_small_swarm_is_served_whole(count: int) -> None:
    assert seen(0.0).slots(count) >= count


def test_slots_follow_the_rate_so_that_each_gets_a_piece_in_half_a_second() -> None:
    assert seen(10 * MIB).slots(50) == 20
    assert seen(10 * MIB).slots(12) == 12
    assert seen(1.0).slots(50) == SMALL_SWARM
    assert seen(1e12).slots(10_000) == MAX_SLOTS


def test_what_the_link_once_carried_is_remembered_for_a_while() -> None:
    capacity = seen(10 * MIB)
    capacity.note(0.0, MEMORY)
    assert capacity.slots(50) == 10
    capacity.note(20 * MIB, MEMORY + 1)
    assert capacity.slots(50) == 40


def test_a_round_lasts_for_a_few_pieces_within_bounds() -> None:
    assert seen(0.0).round_seconds(8) == LEAST_ROUND
    assert seen(1e9).round_seconds(8) == LEAST_ROUND
    assert seen(2 * MIB).round_seconds(8) == 4.0
    assert seen(1.0).round_seconds(8) == RECHOKE_INTERVAL


def test_the_standard_client_has_five_slots_and_rounds_of_ten_seconds() -> None:
    capacity = seen(100 * MIB, Tactics.standard())
    assert capacity.slots(50) == STANDARD_SLOTS
    assert capacity.round_seconds(5) == RECHOKE_INTERVAL


@pytest.mark.parametrize("tactics", [Tactics(), Tactics.standard()])
def test_below_a_low_limit_few_are_served_at_once(tactics: Tactics) -> None:
    assert Capacity(PIECE, tactics, 0.0, 1000).slots(50) == FEWEST_SLOTS
    assert Capacity(PIECE, tactics, 0.0, 4 * LIMITED_RATE_PER_SLOT).slots(50) == 4
    unlimited = Capacity(PIECE, tactics, 0.0).slots(50)
    assert Capacity(PIECE, tactics, 0.0, 100 * MIB).slots(50) == unlimited
