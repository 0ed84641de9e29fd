"""Each piece is in exactly one state, whatever happens to it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shoal.formats.bitfield import all_bits, iter_bits
from shoal.formats.layout import BLOCK_LENGTH, Layout
from shoal.swarm.pieces import Pieces

from .invariants import check_pieces

PIECE_LENGTH = 4 * BLOCK_LENGTH


def layout(piece_count: int, *, short_by: int = 100) -> Layout:
    return Layout(PIECE_LENGTH, [piece_count * PIECE_LENGTH - short_by])


class States(RuleBasedStateMachine):
    @initialize(piece_count=st.integers(1, 40), data=st.data())
    def begin_torrent(self, piece_count: int, data: st.DataObject) -> None:
        sets = st.integers(0, all_bits(piece_count))
        self.wanted = data.draw(sets)
        self.pieces = Pieces(layout(piece_count), have=data.draw(sets), wanted=self.wanted)
        self.never_asked = 0

    @precondition(lambda self: self.pieces.missing)
    @rule(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        piece = data.draw(st.sampled_from(list(iter_bits(self.pieces.missing))))
        progress = self.pieces.begin(piece)
        assert progress.missing == progress.unasked == all_bits(self.pieces.layout.block_count(piece))
        assert not progress.is_whole

    @precondition(lambda self: self.pieces.in_flight)
    @rule(data=st.data(), is_good=st.booleans())
    def end(self, data: st.DataObject, is_good: bool) -> None:
        piece = data.draw(st.sampled_from(sorted(self.pieces.in_flight)))
        (self.pieces.complete if is_good else self.pieces.give_up)(piece)
        assert self.pieces.have >> piece & 1 == is_good

    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        bits = data.draw(st.integers(0, self.pieces.all))
        before = self.pieces.have
        self.pieces.lose(bits)
        assert self.pieces.have == before & ~bits

    @rule(data=st.data())
    def take_in(self, data: st.DataObject) -> None:
        piece = data.draw(st.integers(0, self.pieces.count - 1))
        before = self.pieces.have
        self.pieces.take_in(piece)
        assert self.pieces.have == before | 1 << piece

    @rule(data=st.data())
    def suspend(self, data: st.DataObject) -> None:
        bits = data.draw(st.integers(0, self.pieces.all))
        self.pieces.suspend(bits)
        self.never_asked |= bits

    @rule(data=st.data())
    def resume(self, data: st.DataObject) -> None:
        bits = data.draw(st.integers(0, self.pieces.all))
        self.pieces.resume(bits)
        self.never_asked &= ~bits

    @invariant()
    def one_state_each(self) -> None:
        check_pieces(self.pieces)
        assert self.pieces.is_complete == (not self.pieces.needed)
        assert self.pieces.has_all == (self.pieces.have == self.pieces.all)
        assert self.wanted & ~(self.pieces.have | self.pieces.needed) == 0
        assert self.pieces.missing & self.never_asked == 0
        assert self.pieces.suspended & ~self.never_asked == 0


TestStates = States.TestCase


@pytest.mark.parametrize("piece", [0, 1, 2], ids=["here", "in flight", "unwanted"])
def test_only_a_missing_piece_can_be_begun(piece: int) -> None:
    pieces = Pieces(layout(4), have=0b0001, wanted=0b1011)
    pieces.begin(1)
    with pytest.raises(ValueError, match=f"piece {piece} is not missing"):
        pieces.begin(piece)
    assert pieces.begin(3).piece == 3


@given(st.integers(1, 20), st.integers(0, PIECE_LENGTH - 1), st.data())
def test_bytes_count_the_short_last_piece_right(piece_count: int, short_by: int, data: st.DataObject) -> None:
    pieces = Pieces(layout(piece_count, short_by=short_by))
    bits = data.draw(st.integers(0, pieces.all))
    assert pieces.bytes_in(bits) == sum(pieces.layout.piece_size(piece) for piece in iter_bits(bits))
