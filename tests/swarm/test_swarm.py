"""A swarm as one peer sees it: greetings, interest, slots, and partings."""

from __future__ import annotations

import random

import pytest

from shoal.formats.bitfield import all_bits
from shoal.formats.layout import BLOCK_LENGTH, Layout
from shoal.protocol.peer import messages as m
from shoal.swarm.capacity import LEAST_ROUND, SMALL_SWARM
from shoal.swarm.choker import RECHOKE_INTERVAL
from shoal.swarm.peer import Peer
from shoal.swarm.swarm import Swarm

from .invariants import check_swarm
from .test_requests import ALL, LAYOUT, PIECE_COUNT, join, make_swarm, send, take_requests


def newcomer(swarm: Swarm, *, has_fast: bool = True) -> Peer:
    peer = Peer(("10.9.9.9", 1), 0.0, has_fast=has_fast)
    swarm.join(peer)
    return peer


@pytest.mark.parametrize(
    ("have", "has_fast", "greeting"),
    [
        (ALL, True, [m.HaveAll()]),
        (0, True, [m.HaveNone()]),
        (0b101, True, [m.Bitfield(0b101, PIECE_COUNT)]),
        (ALL, False, [m.Bitfield(ALL, PIECE_COUNT)]),
        (0, False, []),
    ],
)
def test_a_newcomer_is_told_what_we_have(have: int, has_fast: bool, greeting: list[m.Message]) -> None:
    assert newcomer(make_swarm(have=have), has_fast=has_fast).outbox == greeting


def test_interest_is_said_once_and_taken_back_when_nothing_is_wanted_any_more() -> None:
    swarm = make_swarm(have=ALL & ~0b11)
    peer = join(swarm, 1, 0b01)
    assert peer.outbox.count(m.Interested()) == 1
    swarm.on_message(peer, m.Have(1), 0.1)
    requests = take_requests(peer)
    for request in requests:
        send(swarm, peer, request, 0.2)
    for piece in (0, 1):
        if piece in swarm.pieces.in_flight and swarm.pieces.in_flight[piece].is_whole:
            swarm.on_checked(piece, True, [], 0.3)
    for request in take_requests(peer):
        send(swarm, peer, request, 0.4)
    swarm.on_checked(1, True, [], 0.5)
    assert swarm.pieces.is_complete
    assert peer.outbox.count(m.NotInterested()) == 1


def test_interest_comes_back_when_pieces_are_lost() -> None:
    swarm = make_swarm(have=ALL)
    peer = join(swarm, 1, 0b1)
    assert m.Interested() not in peer.outbox
    swarm.pieces.lose(0b1)
    swarm.tick(0.5)
    assert m.Interested() in peer.outbox
    assert {request[0] for request in take_requests(peer)} == {0}


def test_a_bitfield_adds_to_what_was_said_one_by_one() -> None:
    swarm = make_swarm()
    peer = newcomer(swarm)
    swarm.on_message(peer, m.Have(3), 0.0)
    swarm.on_message(peer, m.Bitfield(0b1, PIECE_COUNT), 0.0)
    assert peer.has == 0b1001
    check_swarm(swarm)


def test_a_finished_piece_is_told_to_everybody() -> None:
    swarm = make_swarm()
    peer, other = join(swarm, 1), join(swarm, 2, 0)
    piece = take_requests(peer)[0][0]
    for block in range(LAYOUT.block_count(piece)):
        swarm.on_block(peer, piece, block * BLOCK_LENGTH, LAYOUT.block_size(piece, block))
    swarm.on_checked(piece, True, [], 0.2)
    assert m.Have(piece) in peer.outbox
    assert m.Have(piece) in other.outbox


def test_those_who_both_have_everything_part() -> None:
    swarm = make_swarm(have=ALL)
    seed, leecher = join(swarm, 1), join(swarm, 2, ALL & ~0b1)
    assert seed.close_reason == "neither side wants anything"
    assert leecher.close_reason == ""
    swarm.on_message(leecher, m.Have(0), 1.0)
    assert leecher.close_reason == "neither side wants anything"


def test_a_liar_caught_alone_is_to_be_closed() -> None:
    swarm = make_swarm()
    peer = join(swarm, 1)
    piece = take_requests(peer)[0][0]
    for block in range(LAYOUT.block_count(piece)):
        swarm.on_block(peer, piece, block * BLOCK_LENGTH, LAYOUT.block_size(piece, block))
    verdict = swarm.on_checked(piece, False, [bytes([n]) for n in range(LAYOUT.block_count(piece))], 0.2)
    assert verdict.guilty == {peer.key}
    assert peer.close_reason == f"sent a corrupt block of piece {piece}"
    take_requests(peer)
    swarm.tick(1.0)
    assert take_requests(peer) == []


def test_the_first_to_be_interested_is_served_at_once() -> None:
    swarm = make_swarm(have=ALL)
    peer = join(swarm, 1, 0)
    swarm.on_message(peer, m.Interested(), 0.0)
    assert m.Unchoke() in peer.outbox


def test_a_peer_that_waits_can_come_and_go_and_nobody_loses_a_slot() -> None:
    swarm = make_swarm(have=ALL)
    served = [join(swarm, number, 0) for number in range(SMALL_SWARM)]
    for peer in served:
        swarm.on_message(peer, m.Interested(), 0.0)
    waiting = join(swarm, SMALL_SWARM, 0)
    swarm.on_message(waiting, m.Interested(), 0.1)
    assert waiting.am_choking
    swarm.leave(waiting, 0.2)
    assert all(not peer.am_choking for peer in served)
    swarm.on_message(served[0], m.NotInterested(), 1.5)
    last = join(swarm, SMALL_SWARM + 1, 0)
    swarm.on_message(last, m.Interested(), 1.6)
    assert not last.am_choking


def test_one_that_is_being_closed_holds_no_slot() -> None:
    swarm = make_swarm(have=ALL)
    closing = join(swarm, 0, 0)
    swarm.on_message(closing, m.Interested(), 0.0)
    assert not closing.am_choking
    closing.close_reason = "sent a corrupt block"
    others = [join(swarm, number, 0) for number in range(1, SMALL_SWARM + 1)]
    for other in others:
        swarm.on_message(other, m.Interested(), 0.1)
    swarm.tick(RECHOKE_INTERVAL + 1)
    assert closing.am_choking
    assert all(not other.am_choking for other in others)


def test_a_slot_goes_on_when_its_peer_leaves() -> None:
    swarm = make_swarm(have=ALL)
    peers = [join(swarm, number, 0) for number in range(SMALL_SWARM + 1)]
    for peer in peers:
        swarm.on_message(peer, m.Interested(), 0.0)
    (waiting,) = [peer for peer in peers if peer.am_choking]
    swarm.leave(next(peer for peer in peers if not peer.am_choking), 1.0)
    assert not waiting.am_choking


def test_to_leave_twice_is_no_harm() -> None:
    swarm = make_swarm()
    peer = join(swarm, 1)
    swarm.leave(peer, 1.0)
    swarm.leave(peer, 1.0)
    assert swarm.pieces.in_flight
    check_swarm(swarm)
    assert take_requests(join(swarm, 2, now=1.0)) != []


@pytest.mark.parametrize("info_hash", [b"", bytes(range(20))])
def test_who_has_to_wait_is_allowed_some_of_the_pieces_that_have_got_around(info_hash: bytes) -> None:
    layout = Layout(BLOCK_LENGTH, [100 * BLOCK_LENGTH])
    swarm = Swarm(layout, now=0.0, rng=random.Random(0), have=all_bits(100), info_hash=info_hash)
    for number in range(SMALL_SWARM):
        swarm.on_message(join(swarm, number, all_bits(50), is_unchoking=False), m.Interested(), 0.0)
    waiting = newcomer(swarm)
    swarm.on_message(waiting, m.HaveNone(), 0.1)
    swarm.on_message(waiting, m.Interested(), 0.1)
    swarm.tick(LEAST_ROUND)
    assert waiting.am_choking
    allowed = [message.piece for message in waiting.outbox if isinstance(message, m.AllowedFast)]
    assert all(piece < 50 for piece in allowed)
    assert bool(allowed) == bool(info_hash)
    if info_hash:
        swarm.on_message(waiting, m.Requests(((allowed[0], 0, BLOCK_LENGTH),)), 2.1)
        assert list(waiting.uploads) == [(allowed[0], 0, BLOCK_LENGTH)]


def test_a_flood_of_changing_interest_is_answered_once_and_looked_at_again_at_the_next_tick() -> None:
    swarm = make_swarm(have=ALL)
    peer = newcomer(swarm)
    for _ in range(1000):
        swarm.on_message(peer, m.Interested(), 0.1)
        swarm.on_message(peer, m.NotInterested(), 0.1)
    said = [message for message in peer.outbox if isinstance(message, m.Choke | m.Unchoke)]
    assert len(said) <= 1
    swarm.on_message(peer, m.Interested(), 0.1)
    swarm.tick(0.5)
    assert not peer.am_choking
