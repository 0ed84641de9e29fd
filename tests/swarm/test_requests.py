"""Who is asked for what, how much at a time, and what is done about each way of not answering."""

from __future__ import annotations

import random

import pytest

from shoal.errors import PeerError
from shoal.formats.bitfield import all_bits
from shoal.formats.layout import BLOCK_LENGTH, Layout
from shoal.protocol.peer import messages as m
from shoal.swarm.peer import Peer
from shoal.swarm.pieces import PieceProgress
from shoal.swarm.pipeline import (
    FIRST_DEPTH,
    LEAST_DEPTH,
    MOST_REFUSALS,
    REFUSAL_PAUSE,
    SECOND_CHANCE,
    SILENCE_BEFORE_SNUB,
)
from shoal.swarm.swarm import Swarm
from shoal.swarm.tactics import Tactics

PIECE_COUNT = 12
BLOCKS = 3  # of a piece
LAYOUT = Layout(BLOCKS * BLOCK_LENGTH, [PIECE_COUNT * BLOCKS * BLOCK_LENGTH - 20_000])
ALL = all_bits(PIECE_COUNT)


def make_swarm(
    *,
    most_in_flight: int = 64,
    have: int = 0,
    layout: Layout = LAYOUT,
    seed: int = 0,
    limit: int | None = None,
    tactics: Tactics = Tactics(),  # noqa: B008  frozen
) -> Swarm:
    """`limit` is that of our downloads."""
    return Swarm(
        layout,
        now=0.0,
        rng=random.Random(seed),
        have=have,
        most_in_flight=most_in_flight,
        max_download_rate=limit,
        tactics=tactics,
    )


def join(
    swarm: Swarm,
    number: int,
    bits: int | None = None,
    *,
    now: float = 0.0,
    has_fast: bool = True,
    is_unchoking: bool = True,
) -> Peer:
    """A new peer that has said what it has (by default everything), and has unchoked us."""
    peer = Peer((f"10.0.{number}.1", 6881), now, has_fast=has_fast)
    swarm.join(peer)
    swarm.on_message(peer, m.Bitfield(swarm.pieces.all if bits is None else bits, swarm.pieces.count), now)
    if is_unchoking:
        swarm.on_message(peer, m.Unchoke(), now)
    return peer


def take_requests(peer: Peer) -> list[m.Request]:
    """What it was asked for since the last look; the rest of what it was told is dropped."""
    outbox, peer.outbox = peer.outbox, []
    return [item for message in outbox if isinstance(message, m.Requests) for item in message.items]


def receive(swarm: Swarm, peer: Peer, request: m.Request, now: float) -> PieceProgress | None:
    """A block comes alone, and is counted if the peer owed it."""
    piece, begin, length = request
    owed = peer.owed_count
    progress = swarm.on_block(peer, piece, begin, length)
    if peer.owed_count < owed:
        swarm.on_blocks(peer, 1, now)
    return progress


def send(swarm: Swarm, peer: Peer, request: m.Request, now: float) -> bool:
    """The block comes; whether it was wanted."""
    return receive(swarm, peer, request, now) is not None


# ---- asking


def test_a_peer_is_asked_up_to_its_depth_and_again_at_half_of_it() -> None:
    layout = Layout(BLOCKS * BLOCK_LENGTH, [100 * BLOCKS * BLOCK_LENGTH])
    swarm = make_swarm(layout=layout)
    peer = join(swarm, 1)
    requests = take_requests(peer)
    assert len(requests) == FIRST_DEPTH == peer.owed_count
    for request in requests[: FIRST_DEPTH // 2 - 1]:
        assert send(swarm, peer, request, 0.1)
        swarm.desk.refill(peer, 0.1)
    assert take_requests(peer) == []
    send(swarm, peer, requests[FIRST_DEPTH // 2 - 1], 0.1)
    swarm.desk.refill(peer, 0.1)
    assert len(take_requests(peer)) == peer.depth - FIRST_DEPTH // 2


def test_a_peer_is_never_asked_for_more_than_it_keeps() -> None:
    swarm = make_swarm()
    peer = join(swarm, 1, is_unchoking=False)
    peer.request_limit = 5
    swarm.on_message(peer, m.Unchoke(), 0.0)
    assert len(take_requests(peer)) == 5


def test_the_rarest_piece_is_begun_first() -> None:
    swarm = make_swarm(most_in_flight=1)
    for number in range(3):
        join(swarm, number, ALL & ~(1 << 7), is_unchoking=False)
    peer = join(swarm, 9)
    assert {request[0] for request in take_requests(peer)} == {7}


def test_a_suggested_piece_is_begun_before_a_rarer_one() -> None:
    swarm = make_swarm(most_in_flight=1)
    join(swarm, 1, ALL & ~1, is_unchoking=False)
    peer = join(swarm, 2, is_unchoking=False)
    swarm.on_message(peer, m.Suggest(5), 0.0)
    swarm.on_message(peer, m.Unchoke(), 0.0)
    assert {request[0] for request in take_requests(peer)} == {5}


def test_what_is_begun_is_finished_before_more_is_begun() -> None:
    swarm = make_swarm()
    first = join(swarm, 1)
    for request in take_requests(first)[:4]:
        send(swarm, first, request, 0.5)
    left = {piece for piece, progress in swarm.pieces.in_flight.items() if not progress.is_whole}
    swarm.leave(first, 1.0)
    second = join(swarm, 2)
    begun_first = [request[0] for request in take_requests(second)]
    assert set(begun_first[: len(left)]) <= left


def test_nothing_is_asked_for_while_the_disk_is_behind() -> None:
    swarm = make_swarm()
    swarm.desk.is_held = True
    peer = join(swarm, 1)
    assert take_requests(peer) == []
    swarm.desk.is_held = False
    swarm.tick(0.5)
    assert take_requests(peer) != []


def test_no_more_pieces_are_begun_than_there_are_buffers() -> None:
    swarm = make_swarm(most_in_flight=2)
    peers = [join(swarm, number) for number in range(4)]
    assert len(swarm.pieces.in_flight) == 2
    assert sum(peer.owed_count for peer in peers) >= 2 * BLOCKS


# ---- not answering


def silence(swarm: Swarm, start: float, seconds: float) -> float:
    now = start
    while now < start + seconds:
        now += 0.5
        swarm.tick(now)
    return now


def test_a_silent_peer_keeps_its_debt_and_others_are_asked_too() -> None:
    swarm = make_swarm(most_in_flight=4)
    silent = join(swarm, 1)
    owed = set(take_requests(silent))
    helper = join(swarm, 2, is_unchoking=False)
    now = silence(swarm, 0.0, SILENCE_BEFORE_SNUB)
    assert silent.is_snubbed
    swarm.on_message(helper, m.Unchoke(), now)
    assert owed <= set(take_requests(helper))
    request = min(owed)
    assert send(swarm, silent, request, now)
    assert not silent.is_snubbed
    assert m.Cancel(*request) in helper.outbox


def test_a_silent_peer_whose_debts_others_paid_is_asked_again_later() -> None:
    swarm = make_swarm()
    silent = join(swarm, 1)
    take_requests(silent)
    now = silence(swarm, 0.0, SILENCE_BEFORE_SNUB)
    for piece in list(swarm.pieces.in_flight):
        swarm.desk.finish(piece)
        swarm.pieces.complete(piece)
    assert silent.owed_count == 0
    assert take_requests(silent) == []
    silence(swarm, now, SECOND_CHANCE)
    assert take_requests(silent) != []


def test_a_silent_peer_that_rejects_is_there_after_all_and_asked_again_after_a_moment() -> None:
    swarm = make_swarm()
    silent = join(swarm, 1)
    owed = take_requests(silent)
    now = silence(swarm, 0.0, SILENCE_BEFORE_SNUB)
    assert silent.is_snubbed
    for request in owed:
        swarm.on_message(silent, m.Reject(*request), now)
    assert not silent.is_snubbed
    reject_all(swarm, silent, now)
    silence(swarm, now, REFUSAL_PAUSE)
    assert take_requests(silent) != []


def test_a_silent_peer_that_unchokes_anew_is_asked_anew() -> None:
    swarm = make_swarm()
    peer = join(swarm, 1)
    take_requests(peer)
    now = silence(swarm, 0.0, SILENCE_BEFORE_SNUB)
    swarm.on_message(peer, m.Choke(), now)
    swarm.on_message(peer, m.Unchoke(), now)
    assert len(take_requests(peer)) == LEAST_DEPTH == peer.owed_count


def reject_all(swarm: Swarm, peer: Peer, now: float) -> set[int]:
    """Reject whatever is asked, until nothing more is; the pieces that were asked for."""
    pieces: set[int] = set()
    while requests := take_requests(peer):
        for request in requests:
            pieces.add(request[0])
            swarm.on_message(peer, m.Reject(*request), now)
            swarm.desk.refill(peer, now)
    return pieces


def test_a_rejected_piece_is_not_asked_for_again_for_a_while_but_others_are() -> None:
    swarm = make_swarm()
    peer = join(swarm, 1)
    first, *others = take_requests(peer)
    swarm.on_message(peer, m.Reject(*first), 0.1)
    for request in others:
        if request[0] != first[0]:
            send(swarm, peer, request, 0.2)
    swarm.desk.refill(peer, 0.2)
    asked = take_requests(peer)
    assert asked
    assert first[0] not in {piece for piece, _, _ in asked}
    swarm.tick(0.3 + REFUSAL_PAUSE)
    assert peer.refused == 0


def test_a_peer_that_rejects_everything_is_left_alone_for_a_while() -> None:
    swarm = make_swarm()
    peer = join(swarm, 1)
    assert len(reject_all(swarm, peer, 0.1)) <= MOST_REFUSALS + 1
    assert peer.owed_count == 0
    swarm.tick(0.2 + REFUSAL_PAUSE)
    assert len(take_requests(peer)) == LEAST_DEPTH


def test_what_the_last_reject_frees_is_asked_of_an_idle_peer_at_once() -> None:
    swarm = make_swarm(have=ALL & ~0b1)
    peer, idle = join(swarm, 1), join(swarm, 2)
    requests = take_requests(peer)
    assert take_requests(idle) == []
    for request in requests:
        swarm.on_message(peer, m.Reject(*request), 0.1)
    assert take_requests(idle) == requests


def test_a_rejected_allowed_piece_is_not_allowed_any_more() -> None:
    swarm = make_swarm()
    peer = join(swarm, 1, is_unchoking=False)
    swarm.on_message(peer, m.AllowedFast(3), 0.0)
    requests = take_requests(peer)
    assert {request[0] for request in requests} == {3}
    for request in requests:
        swarm.on_message(peer, m.Reject(*request), 0.1)
        swarm.desk.refill(peer, 0.1)
    assert take_requests(peer) == []
    assert peer.allowed_to_us == 0


def test_pieces_in_flight_that_only_silent_peers_have_make_room_for_others() -> None:
    swarm = make_swarm(most_in_flight=2)
    silent = join(swarm, 1, 0b11)
    now = silence(swarm, 0.0, SILENCE_BEFORE_SNUB)
    assert set(swarm.pieces.in_flight) == {0, 1}
    other = join(swarm, 2, 0b1100, now=now)
    assert {request[0] for request in take_requests(other)} <= {2, 3}
    assert other.owed_count > 0
    assert swarm.desk.given_up
    assert any(isinstance(message, m.Cancel) for message in silent.outbox)


# ---- the end


def endgame(*, slow_rate: int, is_held_back: bool = False) -> tuple[Swarm, Peer, Peer]:
    """All that is left is owed by a peer that sends `slow_rate` blocks a second; one of 100 a second is idle."""
    layout = Layout(FIRST_DEPTH * BLOCK_LENGTH, [FIRST_DEPTH * BLOCK_LENGTH])
    swarm = make_swarm(layout=layout)
    slow, quick = join(swarm, 1), join(swarm, 2, is_unchoking=False)
    for peer, rate in ((slow, slow_rate), (quick, 100)):
        peer.received.add(rate * BLOCK_LENGTH, 1.0)  # in the second since it joined
        peer.last_block_at = 1.0
    if is_held_back:
        swarm.on_held_back(slow, 1.0)
    swarm.on_message(quick, m.Unchoke(), 1.0)
    return swarm, slow, quick


def test_the_last_blocks_of_a_slow_peer_are_asked_of_a_quick_one_too() -> None:
    swarm, slow, quick = endgame(slow_rate=2)
    taken = take_requests(quick)
    assert taken[-1] == (0, (FIRST_DEPTH - 1) * BLOCK_LENGTH, BLOCK_LENGTH)  # from the end of its queue
    slow.outbox.clear()
    assert send(swarm, quick, taken[-1], 1.1)
    assert slow.outbox == [m.Cancel(*taken[-1])]
    assert not send(swarm, slow, taken[-1], 1.2)
    assert slow.wasted == BLOCK_LENGTH


def test_nobody_else_is_asked_for_what_comes_soon_anyway() -> None:
    _, slow, quick = endgame(slow_rate=100)
    assert slow.owed_count == FIRST_DEPTH
    assert take_requests(quick) == []


# ---- wrong answers


@pytest.mark.parametrize(("begin", "length"), [(0, 100), (5, BLOCK_LENGTH), (0, 0)])
def test_a_block_of_another_shape_than_asked_is_a_fault(begin: int, length: int) -> None:
    swarm = make_swarm()
    peer = join(swarm, 1)
    piece = take_requests(peer)[0][0]
    with pytest.raises(PeerError, match=f"block 0 of piece {piece} came with {length} bytes at {begin}"):
        swarm.on_block(peer, piece, begin, length)


def test_a_suspect_piece_is_asked_of_one_peer_and_of_another_when_it_refuses() -> None:
    swarm = make_swarm(have=ALL & ~0b1)
    first, second = join(swarm, 1), join(swarm, 2)
    blocks = take_requests(first)
    send(swarm, first, blocks[0], 0.1)
    swarm.on_message(first, m.Choke(), 0.1)
    for request in blocks[1:]:
        swarm.on_message(first, m.Reject(*request), 0.1)
    for request in take_requests(second):
        send(swarm, second, request, 0.2)
    swarm.on_message(first, m.Unchoke(), 0.3)
    swarm.on_checked(0, False, [bytes([n]) for n in range(BLOCKS)], 0.3)
    swarm.tick(0.4)
    source = swarm.pieces.in_flight[0].exclusive_to
    holder, other = (first, second) if source == first.key else (second, first)
    assert len(take_requests(holder)) == BLOCKS
    assert take_requests(other) == []
    swarm.on_message(holder, m.Reject(0, 0, BLOCK_LENGTH), 0.5)
    swarm.tick(0.6)
    assert swarm.pieces.in_flight[0].exclusive_to == other.key
    assert len(take_requests(other)) == BLOCKS
