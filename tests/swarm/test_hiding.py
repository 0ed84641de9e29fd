"""A seed that hides what it has starves nobody, and neither odd peers nor hostile ones get it into disorder."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

import pytest

from shoal.formats.bitfield import all_bits, iter_bits
from shoal.formats.layout import BLOCK_LENGTH, Layout
from shoal.protocol.peer import messages as m
from shoal.swarm import uploads
from shoal.swarm.peer import Peer
from shoal.swarm.steering import PATIENCE
from shoal.swarm.swarm import Swarm
from shoal.testing.simulation import Host, Network
from shoal.units import KIB, MIB

from .invariants import check_swarm
from .seeding import ALL, BLOCKS, LAYOUT, PIECE_COUNT, ask, make_seed, meet, send_all, serve, told, two_hidden

# ---- nobody starves


def take_everything(swarm: Swarm, peer: Peer, *, wants: int = ALL, says_have: bool = True) -> float:
    """It asks for what it is told of and wants, until it has that; the seconds it took. A tenth is a round trip."""
    known, got, now = 0, peer.has, 0.0
    while wants & ~got and now < 400:
        now += 0.1
        for piece in told(peer):
            known |= 1 << piece
        wanted = known & wants & ~got
        swarm.on_message(peer, m.Interested() if wanted else m.NotInterested(), now)
        if not peer.am_choking:
            for piece in iter_bits(wanted):
                ask(swarm, peer, piece, now)
            for piece in set(send_all(swarm, peer, now)):
                got |= 1 << piece
                if says_have:
                    swarm.on_message(peer, m.Have(piece), now)
        if round(now * 10) % 5 == 0:
            swarm.tick(now)
            check_swarm(swarm)
    assert not wants & ~got, f"pieces {list(iter_bits(wants & ~got))} never came"
    return now


def test_a_hidden_peer_gets_everything() -> None:
    swarm = make_seed()
    meet(swarm, 0)
    assert take_everything(swarm, meet(swarm, 1)) < 20


def test_a_hidden_peer_that_wants_some_of_the_files_gets_them() -> None:
    swarm = make_seed()
    meet(swarm, 0)
    assert take_everything(swarm, meet(swarm, 1), wants=ALL & ~all_bits(PIECE_COUNT - 5)) < 60


def test_a_hidden_peer_that_never_says_what_it_has_gets_everything() -> None:
    swarm = make_seed()
    meet(swarm, 0)
    assert take_everything(swarm, meet(swarm, 1), says_have=False) < 60


def test_a_choke_does_not_end_it_for_a_hidden_peer_that_never_says_what_it_has() -> None:
    swarm = make_seed()
    meet(swarm, 0)
    peer = meet(swarm, 1)
    serve(swarm, peer)
    (piece,) = told(peer)
    ask(swarm, peer, piece, 0.1)
    send_all(swarm, peer, 0.1)
    uploads.choke(peer)
    swarm.steering.on_choked(peer)
    assert take_everything(swarm, peer, wants=ALL & ~(1 << piece), says_have=False) < 60


def test_a_hidden_peer_that_waits_for_a_slot_or_for_its_blocks_stays_hidden() -> None:
    swarm = make_seed()
    meet(swarm, 0)
    served, waiting = meet(swarm, 1), meet(swarm, 2)
    swarm.on_message(served, m.Interested(), 0.0)
    waiting.peer_interested = waiting.am_choking = True
    shown = told(served)
    ask(swarm, served, shown[0], 0.1)
    for step in range(40):
        now = 0.5 + step / 2
        swarm.steering.withdraw(waiting, now)
        swarm.steering.withdraw(served, now)
        swarm.steering.offer(waiting, now)
    assert served.given.shown is not None
    assert waiting.given.shown is not None


def test_a_hidden_peer_is_told_of_everything_within_a_tick_when_all_others_have_left() -> None:
    swarm = make_seed()
    other, hidden = meet(swarm, 0), meet(swarm, 1)
    swarm.tick(0.5)
    shown = told(hidden)
    swarm.leave(other, 0.6)
    swarm.tick(1.0)
    assert sorted(shown + told(hidden)) == list(range(PIECE_COUNT))
    assert hidden.given.shown is None


def test_a_hidden_peer_is_told_of_everything_when_the_others_have_become_seeds() -> None:
    swarm = make_seed()
    other, hidden = meet(swarm, 0), meet(swarm, 1)
    swarm.on_message(other, m.Bitfield(ALL, PIECE_COUNT), 0.3)
    swarm.tick(0.5)
    assert len(told(hidden)) == PIECE_COUNT


def test_a_seed_that_joins_is_parted_with_though_it_is_hidden_from() -> None:
    swarm = make_seed()
    meet(swarm, 0)
    assert meet(swarm, 1, has=ALL).close_reason == "neither side wants anything"


def test_two_seeds_that_hide_from_each_other_part() -> None:
    swarms = make_seed(seed=1), make_seed(seed=2)
    for swarm in swarms:
        meet(swarm, 0)
    sides = meet(swarms[0], 1), meet(swarms[1], 2)
    now = 0.0
    while not any(side.close_reason for side in sides) and now < 60:
        now += 0.5
        for swarm in swarms:
            swarm.tick(now)
        boxes = [side.outbox for side in sides]
        for side in sides:
            side.outbox = []
        for swarm, side, messages in zip(swarms, sides, reversed(boxes), strict=True):
            for message in messages:
                swarm.on_message(side, message, now)
    assert now < 3 * PATIENCE


def test_of_many_that_let_it_lie_one_a_tick_is_told_of_everything() -> None:
    swarm = make_seed()
    silent = [meet(swarm, number) for number in range(10)]
    hidden = [sum(peer.given.shown is not None for peer in silent)]
    for step in range(1, 30):
        swarm.tick(step / 2)
        hidden.append(sum(peer.given.shown is not None for peer in silent))
    assert hidden[0] == 9
    assert hidden[-1] == 0
    assert all(before - after <= 1 for before, after in pairwise(hidden))


def network(host_count: int, have: Sequence[int]) -> tuple[Network, list[Host]]:
    """Hosts that have `have`, or nothing; nobody knows anybody."""
    net = Network(0, LAYOUT)
    lacking = [0] * (host_count - len(have))
    return net, [
        net.add(f"host {number}", have=bits, up=MIB / 16) for number, bits in enumerate([*have, *lacking])
    ]


def test_two_seeds_that_hide_from_each_other_part_and_their_leechers_complete() -> None:
    net, hosts = network(6, have=[0, ALL, ALL])
    leechers, seeds = [hosts[0], *hosts[3:]], hosts[1:3]
    net.connect_all()  # both seeds know a leecher before they know each other
    assert seeds[1].swarm.peers[seeds[0].key].given.shown is not None
    net.run(lambda: seeds[1].key not in seeds[0].pipes, limit=3 * PATIENCE)
    assert not any(leecher.is_complete for leecher in leechers)
    net.finish(leechers, limit=200)
    for host in hosts:
        check_swarm(host.swarm)
    assert sum(seed.sent_bytes for seed in seeds) < 2 * LAYOUT.total_size


@pytest.mark.parametrize("count", [2, 5])
def test_leechers_that_know_only_the_seed_share_its_uplink_fairly(count: int) -> None:
    net, (seed, *leechers) = network(1 + count, have=[ALL])
    for leecher in leechers:
        net.connect(leecher, seed)
    took = net.finish(leechers, limit=1000)
    bound = count * LAYOUT.total_size / seed.up
    assert took < 1.1 * bound + 1
    assert min(leecher.completed_at or 0.0 for leecher in leechers) > 0.8 * bound


def test_the_seed_that_comes_back_in_the_middle_goes_on_with_what_is_not_out_yet() -> None:
    net, (seed, *leechers) = network(6, have=[ALL])
    net.connect_all()
    net.run(lambda: sum(leecher.swarm.pieces.have.bit_count() for leecher in leechers) > PIECE_COUNT)
    seed.leave()
    again = net.add("again", have=ALL, up=seed.up)
    for leecher in leechers:
        net.connect(leecher, again)
    net.finish(leechers, limit=200)
    assert seed.sent_bytes + again.sent_bytes < 1.6 * LAYOUT.total_size
    check_swarm(again.swarm)


# ---- pieces that cannot be read any more


def test_a_piece_that_was_lost_is_told_to_nobody_and_holds_up_nobody() -> None:
    swarm = make_seed()
    other, hidden = meet(swarm, 0), meet(swarm, 1, has_fast=False)
    serve(swarm, hidden)
    (lost,) = told(hidden)
    swarm.pieces.lose(1 << lost | 1 << (lost + 1) % PIECE_COUNT)
    ask(swarm, hidden, lost, 0.5)
    assert len(hidden.uploads) == 0
    (shown,) = told(hidden)
    assert swarm.pieces.have >> shown & 1
    swarm.leave(other, 10.0)
    swarm.tick(10.5)
    assert set(told(hidden)) == set(iter_bits(swarm.pieces.have)) - {shown}


def test_a_choked_hidden_peer_that_knew_of_a_lost_piece_only_is_told_of_another() -> None:
    swarm = make_seed()
    meet(swarm, 0)
    hidden = meet(swarm, 1)
    swarm.tick(0.5)
    (bait,) = told(hidden)
    swarm.pieces.lose(1 << bait)
    swarm.tick(1.0)
    assert len(told(hidden)) == 1


def test_a_piece_that_came_back_is_not_told_to_the_hidden_out_of_turn() -> None:
    swarm = make_seed()
    meet(swarm, 0)
    hidden = meet(swarm, 1)
    swarm.tick(0.5)
    told(hidden)
    source = meet(swarm, 2, has=0b11)
    swarm.on_message(source, m.Unchoke(), 0.6)
    swarm.pieces.lose(0b10)
    swarm.tick(1.0)
    for block in range(BLOCKS):
        swarm.on_block(source, 1, block * BLOCK_LENGTH, BLOCK_LENGTH)
    swarm.on_checked(1, True, [], 1.1)
    assert swarm.pieces.have == ALL
    assert told(hidden) == []


# ---- odd and hostile ones


def test_one_that_asks_for_what_it_was_not_shown_is_served_and_learns_nothing() -> None:
    swarm = make_seed()
    _, hidden, _ = two_hidden(swarm)
    told(hidden)
    shown = hidden.given.shown or 0
    piece = next(iter_bits(ALL & ~shown))
    ask(swarm, hidden, piece, 0.5)
    assert send_all(swarm, hidden, 0.5) == [piece]
    check_swarm(swarm)


def test_one_that_says_it_has_what_it_was_never_sent_is_shown_one_piece_at_a_time() -> None:
    swarm = make_seed()
    _, liar, _ = two_hidden(swarm)
    for _ in range(3 * PIECE_COUNT):
        for piece in told(liar):
            swarm.on_message(liar, m.Have(piece), 0.5)
        assert (liar.given.handed.bit_count()) <= 1
    check_swarm(swarm)
    swarm.leave(liar, 1.0)
    check_swarm(swarm)


def test_nothing_is_handed_to_one_that_has_left() -> None:
    swarm = make_seed()
    _, gone, _ = two_hidden(swarm)
    ask(swarm, gone, 5, 0.1)
    swarm.leave(gone, 0.2)
    assert not gone.uploads
    assert send_all(swarm, gone, 0.3) == []
    check_swarm(swarm)


def test_those_who_come_and_go_leave_nothing_in_the_books() -> None:
    swarm = make_seed()
    stayer = meet(swarm, 0)
    for number in range(1, 30):
        peer = meet(swarm, number, has=number)
        serve(swarm, peer, float(20 * number))
        swarm.leave(peer, 20.0 * number + 10)
    check_swarm(swarm)
    assert swarm.steering._handed.counted() == stayer.given.handed
    swarm.leave(stayer, 1000.0)
    assert swarm.steering.fresh() == ALL


def test_one_that_flips_its_interest_is_shown_no_more_than_one_that_does_not() -> None:
    swarm = make_seed()
    _, flipper, _ = two_hidden(swarm)
    shown = told(flipper)
    for step in range(100):
        swarm.on_message(flipper, m.NotInterested() if step % 2 else m.Interested(), 1 + step * 0.01)
    assert shown + told(flipper) == shown
    check_swarm(swarm)


def test_suggestions_of_everything_change_nothing_of_what_is_picked() -> None:
    swarm = Swarm(LAYOUT, now=0.0, rng=random.Random(1))
    meet(swarm, 0, has=ALL & ~0b1)
    hostile = meet(swarm, 1, has=ALL)
    for piece in range(PIECE_COUNT):
        swarm.on_message(hostile, m.Suggest(piece), 0.1)
    swarm.on_message(hostile, m.Unchoke(), 0.2)
    asked = [item for message in hostile.outbox if isinstance(message, m.Requests) for item in message.items]
    assert asked[0][0] == 0  # the rarest


def test_a_torrent_of_one_piece_goes_out_and_is_not_hidden_twice() -> None:
    swarm = Swarm(Layout(64 * KIB, [64 * KIB]), now=0.0, rng=random.Random(1), have=1)
    peers = [Peer((f"10.1.{number}.1", 1), 0.0, has_fast=True) for number in range(3)]
    for peer in peers:
        swarm.join(peer)
        swarm.on_message(peer, m.HaveNone(), 0.0)
    swarm.tick(0.5)
    assert peers[0].outbox[0] == m.HaveAll()
    assert all(m.Have(0) in peer.outbox for peer in peers[1:])
    for peer in peers:
        swarm.on_message(peer, m.Have(0), 1.0)
        assert peer.close_reason
    check_swarm(swarm)
