"""What is always true of a swarm, recounted the slow way."""

from __future__ import annotations

from collections import Counter
from functools import reduce
from operator import or_

from shoal.formats.bitfield import all_bits, iter_bits
from shoal.swarm.availability import Availability, Tally
from shoal.swarm.pieces import Pieces
from shoal.swarm.swarm import Swarm


def check_swarm(swarm: Swarm) -> None:
    check_pieces(swarm.pieces)
    check_debts(swarm)
    check_availability(swarm.availability, [peer.has for peer in swarm.peers.values()], swarm.pieces.count)
    check_handed(swarm)


def check_pieces(pieces: Pieces) -> None:
    in_flight = sum(1 << piece for piece in pieces.in_flight)
    states = (pieces.missing, in_flight, pieces.have, pieces.unwanted, pieces.suspended)
    together = 0
    for bits in states:
        assert together & bits == 0, "a piece is in two states"
        together |= bits
    assert together == pieces.all, "a piece is in no state"
    assert pieces.needed == pieces.missing | in_flight | pieces.suspended
    for piece, progress in pieces.in_flight.items():
        assert progress.piece == piece
        assert progress.asked & progress.received == 0
        assert (progress.asked | progress.received) & ~progress.all_blocks == 0
        assert progress.all_blocks == all_bits(pieces.layout.block_count(piece))
        sent = 0
        for blocks in progress.senders.values():
            assert sent & blocks == 0, "a block has two senders"
            sent |= blocks
        assert sent == progress.received


def check_debts(swarm: Swarm) -> None:
    """`asked` is what peers that answer owe less what arrived; at most two of them owe the same block."""
    answering = [peer for peer in swarm.peers.values() if not peer.is_snubbed]
    for peer in swarm.peers.values():
        assert peer.owed_count == sum(blocks.bit_count() for blocks in peer.owed.values())
        assert all(peer.owed.values())
        assert all(piece in swarm.pieces.in_flight for piece in peer.owed)
    for piece, progress in swarm.pieces.in_flight.items():
        askers = Counter(block for peer in answering for block in iter_bits(peer.owed.get(piece, 0)))
        owed = sum(1 << block for block in askers)
        assert progress.asked == owed & ~progress.received
        assert all(count <= 2 for count in askers.values()), "a block is asked of three"
        if progress.exclusive_to is not None:
            assert set(progress.senders) <= {progress.exclusive_to}
            assert all(piece not in peer.owed for peer in answering if peer.key != progress.exclusive_to)


def check_availability(availability: Availability, neighbours: list[int], piece_count: int) -> None:
    counts = [sum(bits >> piece & 1 for bits in neighbours) for piece in range(piece_count)]
    assert [availability.count(piece) for piece in range(piece_count)] == counts
    assert availability.least() == min(counts, default=0)
    leechers = [bits for bits in neighbours if bits != all_bits(piece_count)]
    assert availability.spread() == reduce(or_, leechers, 0)


def check_handed(swarm: Swarm) -> None:
    """`_handed` counts what those who are here were handed and do not have; offers are among it."""
    counts = Tally()
    for peer in swarm.peers.values():
        given = peer.given
        assert given.handed & peer.has == 0
        assert given.offered & ~given.handed == 0
        counts.add(given.handed)
    handed = swarm.steering._handed
    pieces = range(swarm.pieces.count)
    assert [handed.count(piece) for piece in pieces] == [counts.count(piece) for piece in pieces]
