"""Answering requests: what is queued, what is refused, and what is forgotten."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import PeerError
from shoal.formats.bitfield import all_bits, iter_bits
from shoal.formats.layout import BLOCK_LENGTH, Layout
from shoal.protocol.peer import messages as m
from shoal.protocol.peer.allowed_fast import ALLOWED_FAST_COUNT, allowed_fast_set
from shoal.swarm.peer import Peer
from shoal.swarm.pieces import Pieces
from shoal.swarm.uploads import (
    REQUEST_QUEUE,
    accept_requests,
    allow_fast,
    cancel_request,
    choke,
    refuse_pieces,
    unchoke,
)

PIECE_COUNT = 40
LAYOUT = Layout(4 * BLOCK_LENGTH, [PIECE_COUNT * 4 * BLOCK_LENGTH - 1000])
INFO_HASH = bytes(range(20))


def make_peer(*, has_fast: bool = True, is_unchoked: bool = True) -> Peer:
    peer = Peer(("10.1.2.3", 6881), 0.0, has_fast=has_fast)
    if is_unchoked:
        unchoke(peer, 0.0)
        peer.outbox.clear()
    return peer


def make_pieces(have: int = all_bits(PIECE_COUNT)) -> Pieces:
    return Pieces(LAYOUT, have=have)


def block(piece: int, number: int = 0) -> m.Request:
    return piece, number * BLOCK_LENGTH, BLOCK_LENGTH


def ask(peer: Peer, pieces: Pieces, *requests: m.Request) -> None:
    accept_requests(peer, pieces, m.Requests(requests))


def test_requests_are_kept_in_the_order_they_came_within_each_piece() -> None:
    peer = make_peer()
    ask(peer, make_pieces(), block(3), block(1, 2), block(3, 1))
    assert list(peer.uploads) == [block(3), block(3, 1), block(1, 2)]
    assert peer.outbox == []


@pytest.mark.parametrize("has_fast", [True, False])
def test_a_piece_that_is_not_here_is_refused_aloud_to_those_who_can_hear_it(has_fast: bool) -> None:
    peer = make_peer(has_fast=has_fast)
    ask(peer, make_pieces(have=0b10), block(0), block(1))
    assert list(peer.uploads) == [block(1)]
    assert peer.outbox == ([m.Reject(*block(0))] if has_fast else [])


@pytest.mark.parametrize("has_fast", [True, False])
def test_the_choked_get_nothing_but_what_they_were_allowed(has_fast: bool) -> None:
    peer = make_peer(has_fast=has_fast, is_unchoked=False)
    peer.allowed_to_them = 0b100
    ask(peer, make_pieces(), block(1), block(2))
    assert list(peer.uploads) == [block(2)]
    assert peer.outbox == ([m.Reject(*block(1))] if has_fast else [])


def test_a_queue_has_an_end() -> None:
    peer = make_peer()
    ask(peer, make_pieces(), *[block(0)] * (REQUEST_QUEUE + 3))
    assert len(peer.uploads) == REQUEST_QUEUE
    assert peer.outbox == [m.Reject(*block(0))] * 3


@pytest.mark.parametrize(
    "request_", [(0, 4 * BLOCK_LENGTH, 1), (0, 1, 4 * BLOCK_LENGTH), (39, 3 * BLOCK_LENGTH, 16384)]
)
def test_bytes_past_the_end_of_a_piece_are_refused_as_a_fault(request_: m.Request) -> None:
    with pytest.raises(PeerError, match=f"of piece {request_[0]}, which is shorter"):
        ask(make_peer(), make_pieces(), request_)


@pytest.mark.parametrize("has_fast", [True, False])
def test_a_cancelled_request_is_rejected_once(has_fast: bool) -> None:
    peer = make_peer(has_fast=has_fast)
    ask(peer, make_pieces(), block(0), block(1))
    for _ in range(2):
        cancel_request(peer, m.Cancel(*block(0)))
    assert list(peer.uploads) == [block(1)]
    assert peer.outbox == ([m.Reject(*block(0))] if has_fast else [])


@given(st.booleans(), st.integers(0, all_bits(8)), st.lists(st.integers(0, 7), max_size=30))
def test_a_choke_drops_all_but_what_is_allowed_and_keeps_the_order(
    has_fast: bool, allowed: int, asked: list[int]
) -> None:
    peer = make_peer(has_fast=has_fast)
    ask(peer, make_pieces(), *map(block, asked))
    peer.allowed_to_them = allowed
    choke(peer)
    by_piece = sorted(asked, key=asked.index)
    assert [request[0] for request in peer.uploads] == [piece for piece in by_piece if allowed >> piece & 1]
    dropped = [piece for piece in by_piece if not allowed >> piece & 1]
    assert peer.outbox == [m.Choke(), *(m.Reject(*block(piece)) for piece in dropped if has_fast)]
    assert peer.am_choking


def test_an_unreadable_piece_is_rejected_and_others_stay() -> None:
    peer = make_peer()
    ask(peer, make_pieces(), block(0), block(1), block(0, 1), block(2))
    refuse_pieces(peer, 0b1)
    assert list(peer.uploads) == [block(1), block(2)]
    assert peer.outbox == [m.Reject(*block(0)), m.Reject(*block(0, 1))]


def test_a_run_ends_at_its_limit_its_span_and_its_piece() -> None:
    peer = make_peer()
    ask(peer, make_pieces(), block(5, 0), block(5, 1), block(5, 2), block(5, 3), block(6, 0))
    assert peer.uploads.take_run(5, 0, 4 * BLOCK_LENGTH, 1) == [block(5, 0)]
    assert peer.uploads.take_run(5, 0, 3 * BLOCK_LENGTH, 100 * BLOCK_LENGTH) == [block(5, 1), block(5, 2)]
    assert peer.uploads.take_run(7, 0, 4 * BLOCK_LENGTH, 100 * BLOCK_LENGTH) == []
    assert peer.uploads.take_run(5, 0, 4 * BLOCK_LENGTH, 100 * BLOCK_LENGTH) == [block(5, 3)]
    assert list(peer.uploads) == [block(6, 0)]


def test_a_newcomer_is_allowed_the_pieces_that_its_address_names_and_we_have() -> None:
    peer, have = make_peer(is_unchoked=False), all_bits(PIECE_COUNT) // 3
    peer.has = 0b11
    allow_fast(peer, have, INFO_HASH, PIECE_COUNT)
    named = sum(1 << piece for piece in allowed_fast_set("10.1.2.3", INFO_HASH, PIECE_COUNT))
    assert peer.allowed_to_them == named & have & ~0b11
    assert peer.allowed_to_them
    assert peer.outbox == [m.AllowedFast(piece) for piece in iter_bits(peer.allowed_to_them)]
    allow_fast(peer, all_bits(PIECE_COUNT), INFO_HASH, PIECE_COUNT)
    assert len(peer.outbox) == peer.allowed_to_them.bit_count()


def test_who_has_pieces_already_or_no_fast_extension_is_allowed_none() -> None:
    rich, plain = make_peer(is_unchoked=False), make_peer(is_unchoked=False, has_fast=False)
    rich.has = all_bits(ALLOWED_FAST_COUNT)
    for peer in (rich, plain):
        allow_fast(peer, all_bits(PIECE_COUNT), INFO_HASH, PIECE_COUNT)
        assert (peer.allowed_to_them, peer.outbox) == (0, [])


def test_cancels_of_what_was_never_asked_for_are_a_fault_in_the_end() -> None:
    peer = make_peer()
    cancel = m.Cancel(*block(0))
    for _ in range(REQUEST_QUEUE):
        cancel_request(peer, cancel)
    with pytest.raises(PeerError, match="more cancels than requests"):
        cancel_request(peer, cancel)


def test_a_peer_may_take_back_everything_it_ever_asked_for() -> None:
    peer, pieces = make_peer(), make_pieces()
    for _ in range(2 * REQUEST_QUEUE):
        ask(peer, pieces, block(0))
        cancel_request(peer, m.Cancel(*block(0)))
    assert not peer.uploads
