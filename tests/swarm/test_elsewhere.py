"""Pieces that come another way than from peers, that nobody is to be asked for, or that are not here after all."""

from __future__ import annotations

import pytest

from shoal.formats.bitfield import iter_bits
from shoal.protocol.peer import messages as m
from shoal.swarm.swarm import Swarm
from shoal.swarm.tactics import Tactics
from shoal.testing.simulation import Host, Network

from .invariants import check_swarm
from .test_requests import ALL, join, make_swarm, send, take_requests
from .test_stories import ALL as ALL_OF_STORY
from .test_stories import PIECE_COUNT as COUNT_OF_STORY
from .test_stories import SEEDS, finish, network


def cancels(swarm: Swarm, number: int) -> set[int]:
    """The pieces of which that peer was told to send nothing."""
    peer = swarm.peers[(f"10.0.{number}.1", 6881)]
    return {message.piece for message in peer.outbox if isinstance(message, m.Cancel)}


def test_a_piece_from_elsewhere_is_told_and_no_longer_asked_for() -> None:
    swarm = make_swarm(most_in_flight=2)
    sender, other = join(swarm, 1), join(swarm, 2, 0)
    begun = next(iter(swarm.pieces.in_flight))
    asked = [request for request in take_requests(sender) if request[0] == begun]
    assert send(swarm, sender, asked[0], 0.1)
    other.outbox.clear()
    swarm.on_piece_elsewhere(begun, 0.2)
    assert other.outbox == [m.Have(begun)]
    assert cancels(swarm, 1) == {begun}
    assert swarm.desk.given_up == [begun]
    assert send(swarm, sender, asked[1], 0.3) is False  # it was on its way already
    check_swarm(swarm)


def test_a_piece_that_is_being_checked_when_it_comes_from_elsewhere_keeps_its_buffer() -> None:
    swarm = make_swarm(most_in_flight=1)
    sender = join(swarm, 1)
    for request in take_requests(sender):
        send(swarm, sender, request, 0.1)
    (piece,) = swarm.pieces.in_flight
    assert swarm.pieces.in_flight[piece].is_whole
    swarm.on_piece_elsewhere(piece, 0.2)
    assert swarm.desk.given_up == []
    assert swarm.pieces.have == 1 << piece


def test_a_swarm_is_complete_when_its_last_piece_comes_from_elsewhere() -> None:
    swarm = make_swarm(have=ALL & ~1)
    peer = join(swarm, 1, is_unchoking=False)
    swarm.on_piece_elsewhere(0, 0.1)
    assert swarm.pieces.is_complete
    assert m.NotInterested() in peer.outbox
    assert peer.close_reason == "neither side wants anything"


def test_a_suspended_piece_is_given_up_asked_of_nobody_and_keeps_a_peer_interesting() -> None:
    swarm = make_swarm(most_in_flight=4)
    peer = join(swarm, 1)
    in_flight = sum(1 << piece for piece in swarm.pieces.in_flight)
    swarm.suspend(in_flight, 0.1)
    assert cancels(swarm, 1) == set(iter_bits(in_flight))
    assert sorted(swarm.desk.given_up) == list(iter_bits(in_flight))
    now = 0.1
    for _ in range(6):
        now += 0.5
        swarm.tick(now)
    assert not in_flight & sum(1 << piece for piece in swarm.pieces.in_flight)
    swarm.suspend(ALL, now)
    assert not swarm.pieces.in_flight
    assert not swarm.pieces.is_complete
    assert peer.am_interested
    take_requests(peer)
    swarm.resume(0b1, now)
    assert {request[0] for request in take_requests(peer)} == {0}
    check_swarm(swarm)


def test_a_piece_that_is_suspended_while_it_is_checked_is_given_up_and_nobody_is_judged_by_it() -> None:
    swarm = make_swarm(most_in_flight=1)
    sender = join(swarm, 1)
    for request in take_requests(sender):
        send(swarm, sender, request, 0.1)
    (piece,) = swarm.pieces.in_flight
    swarm.suspend(ALL, 0.2)
    assert not swarm.pieces.in_flight
    assert swarm.pieces.suspended >> piece & 1
    assert not swarm.desk.given_up, "its buffer is still being looked at"
    swarm.resume(ALL, 0.3)
    assert {request[0] for request in take_requests(sender)} == {piece}
    check_swarm(swarm)


def test_a_lost_piece_is_refused_to_who_asks_and_stays_suspended() -> None:
    swarm = make_swarm(have=ALL)
    peer = join(swarm, 1, 0b0)
    swarm.on_message(peer, m.Interested(), 0.0)
    assert not peer.am_choking
    swarm.on_message(peer, m.Requests(((0, 0, 16384), (1, 0, 16384))), 0.1)
    peer.outbox.clear()
    swarm.suspend(0b01, 0.2)
    swarm.lose(0b01)
    assert peer.outbox == [m.Reject(0, 0, 16384)]
    assert swarm.pieces.suspended == 0b01
    swarm.lose(0b10)
    assert swarm.pieces.missing == 0b10
    check_swarm(swarm)


def test_in_a_pool_nobody_parts_though_nobody_wants_anything() -> None:
    for tactics, reason in ((Tactics(), "neither side wants anything"), (Tactics.pool(), "")):
        swarm = make_swarm(have=ALL, tactics=tactics)
        helper, complete = join(swarm, 1, 0), join(swarm, 2)
        swarm.on_upload_only(helper)
        assert [helper.close_reason, complete.close_reason] == [reason, reason]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_crowd_without_a_seed_spreads_what_an_origin_brings(seed: int) -> None:
    """Each fetches a share of its own and leaves the others' to the swarm; one brings what it does not want."""
    net = network(seed)
    hosts = [net.add(f"requester {number}", tactics=Tactics.pool()) for number in range(4)]
    helper = net.add("helper", tactics=Tactics.pool())
    helper.swarm.pieces.suspend(ALL_OF_STORY)  # as who wants nothing: nobody is asked for anything
    net.connect_all()
    asked_of_peers = bring(net, [*hosts, helper])
    finish(net, hosts)
    assert asked_of_peers == [], "a piece was asked of a neighbour that somebody else was to bring"
    assert all(len(host.pipes) == len(net.hosts) - 1 for host in net.hosts)


def bring(net: Network, hosts: list[Host]) -> list[tuple[str, int]]:
    """Pieces come to one host after the other, suspended until then; those that were in flight all the same."""
    wrong: list[tuple[str, int]] = []
    every = 0.05

    def arrive(host: Host, piece: int) -> None:
        if piece in host.swarm.pieces.in_flight:
            wrong.append((host.name, piece))
        host.swarm.on_piece_elsewhere(piece, net.clock.now)
        host._drop_given_up()
        if host.completed_at is None and host.is_complete:
            host.completed_at = net.clock.now

    for number, host in enumerate(hosts):
        share = range(number, COUNT_OF_STORY, len(hosts))
        host.swarm.suspend(sum(1 << piece for piece in share), net.clock.now)
        for place, piece in enumerate(share):
            net.clock.call_later(every * (place + 1), arrive, host, piece)
    return wrong


@pytest.mark.parametrize("seed", SEEDS)
def test_pieces_that_are_suspended_and_resumed_at_random_all_come_in_the_end(seed: int) -> None:
    net = network(seed)
    net.add("seed", have=ALL_OF_STORY, tactics=Tactics.pool())
    leechers = [net.add(f"leecher {number}", tactics=Tactics.pool()) for number in range(3)]
    net.connect_all()

    def change(host: Host, times: int) -> None:
        swarm, now = host.swarm, net.clock.now
        bits = net.rng.getrandbits(COUNT_OF_STORY)
        swarm.resume(ALL_OF_STORY, now)
        if times:
            swarm.suspend(bits, now)
            net.clock.call_later(0.2, change, host, times - 1)
        host._drop_given_up()

    for leecher in leechers:
        net.clock.call_later(0.1, change, leecher, 20)
    assert finish(net, leechers) < 60


def test_who_was_known_to_have_everything_and_has_lost_some_is_served() -> None:
    swarm = make_swarm(have=ALL, tactics=Tactics.pool())
    peer = join(swarm, 1)
    swarm.on_message(peer, m.Interested(), 0.1)
    swarm.tick(0.5)
    assert not peer.am_choking


def test_what_peers_told_of_a_piece_can_be_forgotten_also_of_a_seed() -> None:
    swarm = make_swarm(tactics=Tactics.pool())
    seed, other = join(swarm, 1), join(swarm, 2, 0b111)
    swarm.suspend(0b1, 0.1)
    swarm.forget_has(0b1)
    assert [seed.has, other.has] == [ALL & ~0b1, 0b110]
    check_swarm(swarm)
    swarm.on_message(seed, m.Have(0), 0.2)
    assert seed.has == ALL
    check_swarm(swarm)
