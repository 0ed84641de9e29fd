"""How many neighbours have each piece, against a count one by one."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from shoal.formats.bitfield import all_bits, iter_bits
from shoal.swarm.availability import Availability

from .invariants import check_availability


class Neighbours(RuleBasedStateMachine):
    """Joins, haves and leaves in any order."""

    numbers = Bundle("numbers")

    @initialize(piece_count=st.integers(1, 70))
    def begin(self, piece_count: int) -> None:
        self.piece_count = piece_count
        self.availability = Availability(piece_count)
        self.has: dict[int, int] = {}
        self.next_number = 0

    @rule(target=numbers, data=st.data())
    def join(self, data: st.DataObject) -> int:
        bits = data.draw(
            st.sampled_from([0, all_bits(self.piece_count)]) | st.integers(0, all_bits(self.piece_count))
        )
        self.next_number += 1
        self.has[self.next_number] = bits
        self.availability.add(bits)
        return self.next_number

    @rule(number=numbers, data=st.data())
    def have(self, number: int, data: st.DataObject) -> None:
        lacking = list(iter_bits(all_bits(self.piece_count) & ~self.has[number]))
        if lacking:
            piece = data.draw(st.sampled_from(lacking))
            self.availability.add_piece(piece, self.has[number])
            self.has[number] |= 1 << piece

    @rule(number=consumes(numbers))
    def leave(self, number: int) -> None:
        self.availability.remove(self.has.pop(number))

    @invariant()
    def equals_a_recount(self) -> None:
        check_availability(self.availability, list(self.has.values()), self.piece_count)

    @rule(data=st.data())
    def the_rarest_are_rarest(self, data: st.DataObject) -> None:
        candidates = data.draw(st.integers(0, all_bits(self.piece_count)))
        counts = {
            piece: sum(bits >> piece & 1 for bits in self.has.values()) for piece in iter_bits(candidates)
        }
        least = min(counts.values(), default=0)
        expected = sum(1 << piece for piece, count in counts.items() if count == least)
        assert self.availability.rarest_of(candidates) == expected


TestNeighbours = Neighbours.TestCase


def test_one_of_the_rarest_is_any_of_them() -> None:
    availability = Availability(8)
    availability.add(0b1111_0000)
    drawn = Counter(availability.rarest(0b1100_0111, random.Random(seed)) for seed in range(300))
    assert set(drawn) == {0, 1, 2}
    assert min(drawn.values()) > 60


def test_there_is_no_rarest_of_nothing() -> None:
    assert Availability(8).rarest(0, random.Random(0)) is None


def test_a_torrent_without_pieces_has_no_rarest() -> None:
    assert Availability(0).least() == 0


@given(st.integers(1, 300))
def test_seeds_are_only_counted(seed_count: int) -> None:
    availability = Availability(100)
    for _ in range(seed_count):
        availability.add(all_bits(100))
    assert availability.least() == availability.count(99) == seed_count
    assert availability.rarest_of(0b1010) == 0b1010


def test_what_was_never_there_cannot_be_taken_away() -> None:
    availability = Availability(8)
    availability.add(0b0001)
    with pytest.raises(ValueError, match="did not have it"):
        availability.remove(0b0010)
