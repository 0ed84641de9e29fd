"""A seed hands each piece out once before any goes out twice: to whom, what next, and in which order."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from shoal.formats.bitfield import all_bits
from shoal.formats.layout import BLOCK_LENGTH
from shoal.protocol.peer import messages as m
from shoal.swarm import uploads
from shoal.swarm.peer import Peer
from shoal.swarm.steering import PATIENCE, PAUSE
from shoal.swarm.swarm import Swarm
from shoal.swarm.tactics import Tactics
from shoal.units import KIB

from .invariants import check_swarm
from .seeding import ALL, LAYOUT, PIECE_COUNT, ask, make_seed, meet, send_all, serve, told, two_hidden

# ---- who is told of what


def test_the_first_to_join_is_told_of_everything_and_who_joins_later_of_nothing() -> None:
    swarm = make_seed()
    first, second, plain = meet(swarm, 0), meet(swarm, 1), meet(swarm, 2, has_fast=False)
    assert first.outbox == [m.HaveAll()]
    assert second.outbox == [m.HaveNone()]
    assert plain.outbox == []


def test_once_half_of_it_was_sent_a_newcomer_is_told_of_everything() -> None:
    swarm = make_seed()
    meet(swarm, 0, has=all_bits(PIECE_COUNT // 2))
    assert meet(swarm, 1).outbox == [m.HaveAll()]


def test_one_that_lacks_something_itself_hides_nothing() -> None:
    swarm = Swarm(LAYOUT, now=0.0, rng=random.Random(1), have=ALL - 1)
    meet(swarm, 0)
    assert meet(swarm, 1).outbox == [m.Bitfield(ALL - 1, PIECE_COUNT)]


@pytest.mark.parametrize("tactics", [Tactics.standard(), replace(Tactics(), super_seeds=False)])
def test_nothing_is_hidden_where_the_idea_is_switched_off(tactics: Tactics) -> None:
    swarm = make_seed(tactics=tactics)
    meet(swarm, 0)
    assert meet(swarm, 1).outbox == [m.HaveAll()]


def test_a_hidden_peer_that_waits_knows_of_one_piece_that_it_wants_and_that_others_have() -> None:
    swarm = make_seed()
    meet(swarm, 0, has=0b1111)
    waiting = meet(swarm, 1, has=0b0111)
    swarm.tick(0.5)
    assert told(waiting) == [3]
    swarm.tick(1.0)
    assert told(waiting) == []
    swarm.on_message(waiting, m.Have(3), 1.1)
    swarm.tick(1.5)
    assert len(told(waiting)) == 1
    check_swarm(swarm)


def test_each_peer_is_offered_pieces_of_its_own() -> None:
    swarm = make_seed()
    peers = two_hidden(swarm)
    for peer in peers:
        given = peer.given
        assert given.handed.bit_count() <= 1
    assert peers[0].given.shown is None
    offered = [peer.given.handed for peer in peers]
    assert sum(offered) == offered[0] | offered[1] | offered[2]
    check_swarm(swarm)


def test_who_was_told_everything_is_offered_by_suggest_and_a_hidden_one_by_have() -> None:
    swarm = make_seed()
    open_, hidden = meet(swarm, 0), meet(swarm, 1)
    serve(swarm, open_)
    serve(swarm, hidden)
    (suggested,) = told(open_, m.Suggest)
    (shown,) = told(hidden)
    assert suggested != shown
    assert (open_.given.offered, hidden.given.offered) == (1 << suggested, 1 << shown)


def test_who_has_no_fast_extension_is_suggested_nothing() -> None:
    swarm = make_seed()
    peer = meet(swarm, 0, has_fast=False)
    serve(swarm, peer)
    assert told(peer, m.Suggest) == []
    assert peer.given.handed == 0


def test_a_hidden_peer_is_shown_the_next_piece_when_it_asks_for_the_last() -> None:
    swarm = make_seed()
    _, hidden, _ = two_hidden(swarm)
    shown = told(hidden)
    for round_ in range(5):
        ask(swarm, hidden, shown[-1], 1.0 + round_ / 100)
        send_all(swarm, hidden, 1.0 + round_ / 100)
        shown += told(hidden)
    assert len(set(shown)) == len(shown) == 6
    check_swarm(swarm)


# ---- the order of answers


def test_a_begun_piece_is_finished_and_then_the_rarest_is_answered() -> None:
    swarm = make_seed(tactics=replace(Tactics(), super_seeds=False, suggests=False))
    meet(swarm, 0, has=0b001)
    peer = meet(swarm, 1)
    serve(swarm, peer)
    for piece in (0, 1, 2):
        ask(swarm, peer, piece, 0.1)
    first = swarm.next_upload(peer)
    assert first == (1, 0, BLOCK_LENGTH)
    swarm.take_run(peer, 1, 0, BLOCK_LENGTH, 1)
    swarm.on_message(swarm.peers["10.1.0.1", 6881], m.Have(1), 0.2)
    assert send_all(swarm, peer, 0.2) == [1, 2, 0]


def test_what_was_handed_to_one_is_answered_last_to_another() -> None:
    swarm = make_seed(tactics=replace(Tactics(), super_seeds=False, suggests=False))
    one, other = meet(swarm, 0), meet(swarm, 1)
    serve(swarm, one)
    serve(swarm, other)
    ask(swarm, one, 5, 0.1)
    send_all(swarm, one, 0.1)
    ask(swarm, other, 5, 0.2)
    ask(swarm, other, 6, 0.2)
    assert send_all(swarm, other, 0.2) == [6, 5]


def test_without_the_idea_answers_come_in_the_order_of_the_requests() -> None:
    swarm = make_seed(tactics=Tactics.standard())
    meet(swarm, 0, has=0b001)
    peer = meet(swarm, 1)
    serve(swarm, peer)
    for piece in (0, 2, 1):
        ask(swarm, peer, piece, 0.1)
    assert send_all(swarm, peer, 0.1) == [0, 2, 1]


# ---- handed, fresh


def test_a_piece_is_fresh_until_it_is_handed_and_again_when_its_peer_is_choked_or_leaves() -> None:
    swarm = make_seed()
    peers = two_hidden(swarm)
    handed = 0
    for peer in peers:
        handed |= peer.given.handed
    assert swarm.steering.fresh() == ALL & ~handed
    uploads.choke(peers[1])
    swarm.steering.on_choked(peers[1])
    assert peers[1].given.handed == 0
    swarm.leave(peers[2], 1.0)
    check_swarm(swarm)
    assert swarm.steering.fresh() & handed != 0


def test_what_a_leecher_has_is_not_fresh_and_what_only_a_seed_has_is() -> None:
    swarm = make_seed()
    leecher = meet(swarm, 0, has=0b11)
    assert swarm.steering.fresh() == ALL & ~0b11
    swarm.on_message(leecher, m.Bitfield(ALL, PIECE_COUNT), 0.1)
    assert swarm.steering.fresh() == ALL


def test_an_offer_that_is_not_taken_up_is_for_others() -> None:
    swarm = make_seed()
    peer = meet(swarm, 0)
    serve(swarm, peer)
    (piece,) = told(peer, m.Suggest)
    swarm.tick(PATIENCE)
    assert peer.given.offered == 1 << piece
    swarm.tick(PATIENCE + 0.5)
    assert peer.given.offered == peer.given.handed == 0
    assert swarm.steering.fresh() == ALL
    swarm.tick(PATIENCE + 1.0)
    assert told(peer, m.Suggest) == []  # it heeds none
    check_swarm(swarm)


def test_an_offer_that_was_asked_for_stays_handed_however_long_it_takes() -> None:
    swarm = make_seed()
    peer = meet(swarm, 0)
    serve(swarm, peer)
    (piece,) = told(peer, m.Suggest)
    ask(swarm, peer, piece, 0.1)
    for tick in range(1, 40):
        swarm.tick(tick / 2)
    assert peer.given.handed >> piece & 1


def test_patience_is_as_long_as_the_piece_before_takes() -> None:
    swarm = make_seed()
    peer = meet(swarm, 0)
    serve(swarm, peer)
    (first,) = told(peer, m.Suggest)
    ask(swarm, peer, first, 0.1)
    (second,) = told(peer, m.Suggest)
    now = 0.1
    while now < 2 * PATIENCE:  # four KiB a second: a piece takes sixteen seconds
        now += 0.5
        peer.sent.add(2 * KIB, now)
        swarm.tick(now)
    assert peer.given.offered == 1 << second
    assert not peer.given.ignores_suggestions


# ---- keepers


def make_keeper(swarm: Swarm) -> tuple[Peer, Peer]:
    """The one that takes all it is offered and passes nothing on, and one that has a few pieces of its own."""
    _, keeper, other = two_hidden(swarm)
    swarm.on_message(other, m.Bitfield(0b111, PIECE_COUNT), 0.0)
    now = 0.0
    while not keeper.given.is_keeper and now < 200:
        now += 6.0
        for piece in told(keeper):
            ask(swarm, keeper, piece, now)
            send_all(swarm, keeper, now)
            swarm.on_message(keeper, m.Have(piece), now)
        swarm.tick(now)
    assert keeper.given.is_keeper
    return keeper, other


def test_to_one_that_keeps_first_copies_the_next_come_no_sooner_than_second_ones() -> None:
    swarm = make_seed()
    keeper, other = make_keeper(swarm)
    swarm.on_message(keeper, m.Have(0), 300.0)  # from somebody else
    swarm.steering.is_uplink_full = True
    assert swarm.steering.fresh()
    given = keeper.given
    for piece in told(keeper):
        swarm.on_message(keeper, m.Have(piece), given.offered_at + PAUSE / 2)
    assert told(keeper) == []
    swarm.steering.offer(keeper, given.offered_at + 1.1 * PAUSE)
    assert len(told(keeper)) == 1
    swarm.on_message(other, m.Bitfield(keeper.has, PIECE_COUNT), 301.0)
    swarm.steering.look_for_keepers(swarm.peers.values(), 400.0, 1.0)
    assert not given.is_keeper


def test_one_whose_pieces_get_on_is_no_keeper() -> None:
    swarm = make_seed()
    _, sharer, other = two_hidden(swarm)
    for step in range(1, 40):
        now = step / 2
        for piece in told(sharer):
            ask(swarm, sharer, piece, now)
            send_all(swarm, sharer, now)
            swarm.on_message(sharer, m.Have(piece), now)
            swarm.on_message(other, m.Have(piece), now + 0.1)
        swarm.tick(now)
        assert not sharer.given.is_keeper


# ---- second copies


@pytest.mark.parametrize("is_full", [True, False])
def test_a_second_copy_waits_a_little_for_one_that_has_other_sources_while_the_uplink_is_full(
    is_full: bool,
) -> None:
    swarm = make_seed()
    first, hidden, third = two_hidden(swarm)
    shown = told(hidden)
    swarm.on_message(first, m.Bitfield(ALL - 1, PIECE_COUNT), 0.1)
    swarm.on_message(third, m.Bitfield(1, PIECE_COUNT), 0.1)
    swarm.on_message(hidden, m.Bitfield(0b11 << 20, PIECE_COUNT), 0.1)  # from somebody else
    shown += told(hidden)
    assert not swarm.steering.fresh()
    swarm.steering.is_uplink_full = is_full
    for after in (0.5, 1.1):
        now = hidden.given.offered_at + after * PAUSE
        ask(swarm, hidden, shown[-1], now)
        send_all(swarm, hidden, now)
        swarm.steering.offer(hidden, now)
        assert len(told(hidden)) == (0 if is_full and after < 1 else 1)
        if not is_full:
            return
