"""Stories of whole swarms on virtual time, each true for every seed (the seed is the test's parameter)."""

from __future__ import annotations

from collections import Counter

import pytest

from shoal.formats.bitfield import all_bits
from shoal.formats.layout import Layout
from shoal.swarm import uploads
from shoal.swarm.choker import RECHOKE_INTERVAL
from shoal.testing.simulation import Host, Manners, Network
from shoal.units import KIB, MIB

from .invariants import check_swarm

SEEDS = range(8)
PIECE_LENGTH = 128 * KIB
PIECE_COUNT = 48
SIZE = PIECE_COUNT * PIECE_LENGTH - 50_000  # the last piece and its last block are short
LAYOUT = Layout(PIECE_LENGTH, [SIZE])
ALL = all_bits(PIECE_COUNT)
SLACK = 0.03  # of the file: what may come twice in a healthy swarm


def network(seed: int, *, layout: Layout = LAYOUT, is_watched: bool = True) -> Network:
    """With every invariant checked every so many events, and at the end of `finish`."""
    net = Network(seed, layout)
    if is_watched:
        events = 0

        def watch() -> None:
            nonlocal events
            events += 1
            if events % 97 == 0:
                check_swarm(net.hosts[events // 97 % len(net.hosts)].swarm)

        net.watchers.append(watch)
    return net


def finish(net: Network, hosts: list[Host], *, limit: float = 300) -> float:
    """Run until all of `hosts` have everything; the seconds it took."""
    seconds = net.run(lambda: all(host.is_complete for host in hosts), limit=limit)
    assert all(host.is_complete for host in hosts), f"nothing happens any more at {net.clock.now} s"
    for host in net.hosts:
        check_swarm(host.swarm)
    return seconds


def wasted(host: Host) -> int:
    return host.wasted_bytes + sum(pipe.peer.wasted for pipe in host.pipes.values())


def assert_little_waste(hosts: list[Host], slack: float = SLACK) -> None:
    assert sum(map(wasted, hosts)) <= slack * SIZE * len(hosts)
    assert sum(host.received_bytes for host in hosts) <= (1 + slack) * SIZE * len(hosts)
    assert all(not host.faults for host in hosts)


def test_a_seed_fills_one_leecher_at_the_speed_of_the_link() -> None:
    net = network(0)
    net.add("seed", have=ALL, up=1 * MIB)
    leecher = net.add("leecher")
    net.connect_all()
    assert finish(net, [leecher]) < 1.2 * SIZE / MIB + 1
    assert_little_waste([leecher])


@pytest.mark.parametrize("latency", [0.001, 0.1, 0.4])
def test_a_long_way_does_not_slow_a_transfer_down(latency: float) -> None:
    layout = Layout(PIECE_LENGTH, [200 * PIECE_LENGTH])
    net = Network(0, layout)
    net.add("seed", have=all_bits(200), up=1 * MIB, latency=latency)
    leecher = net.add("leecher", latency=latency)
    net.connect_all()
    assert finish(net, [leecher]) < 1.1 * layout.total_size / MIB + 12 * latency + 1


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("has_fast", [True, False])
def test_three_peers_with_different_thirds_and_no_seed_complete_one_another(
    seed: int, has_fast: bool
) -> None:
    net = network(seed)
    third = sum(1 << piece for piece in range(0, PIECE_COUNT, 3))
    hosts = [net.add(f"third {n}", have=third << n & ALL, has_fast=has_fast) for n in range(3)]
    net.connect_all()
    assert finish(net, hosts) < 30
    assert_little_waste(hosts)


@pytest.mark.parametrize("seed", SEEDS)
def test_five_leechers_finish_after_the_only_seed_leaves(seed: int) -> None:
    net = network(seed)
    origin = net.add("seed", have=ALL)
    leechers = [net.add(f"leecher {n}") for n in range(5)]
    net.connect_all()

    def is_all_out() -> bool:
        together = 0
        for leecher in leechers:
            together |= leecher.swarm.pieces.have
        return together == ALL

    net.run(is_all_out, limit=120)
    origin.leave()
    assert finish(net, leechers) < 60
    assert_little_waste(leechers)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_stalled_peer_loses_its_requests_to_others_within_five_seconds(seed: int) -> None:
    net = network(seed)
    staller = net.add("staller", have=ALL)
    other = net.add("other", have=ALL, up=2 * MIB)
    leecher = net.add("leecher")
    net.connect_all()
    record = leecher.pipes[staller.key].peer
    net.run(lambda: leecher.swarm.pieces.have.bit_count() >= 5 and bool(record.owed))
    staller.manners.is_stalled = True
    owed = dict(record.owed)

    def is_taken_over() -> bool:
        pieces = leecher.swarm.pieces
        return all(pieces.have >> piece & 1 for piece in owed)

    assert net.run(is_taken_over, limit=30) < 6
    finish(net, [leecher], limit=20)
    assert other.sent_bytes > SIZE / 2


@pytest.mark.parametrize("seed", SEEDS)
def test_a_peer_that_stalled_alone_and_woke_up_is_asked_again(seed: int) -> None:
    net = network(seed)
    origin = net.add("seed", have=ALL)
    leecher = net.add("leecher")
    net.connect_all()
    net.run(lambda: leecher.swarm.pieces.have.bit_count() >= 5)
    origin.manners.is_stalled = True
    net.run(lambda: net.clock.now > 60, limit=100)
    origin.manners.is_stalled = False
    assert finish(net, [leecher], limit=100) < 60


@pytest.mark.parametrize("seed", SEEDS)
def test_a_peer_at_one_percent_speed_does_not_hold_up_the_end(seed: int) -> None:
    net = network(seed)
    net.add("slow", have=ALL, up=10 * KIB)
    net.add("fast", have=ALL, up=1 * MIB)
    leecher = net.add("leecher")
    net.connect_all()
    assert finish(net, [leecher]) < 1.3 * SIZE / MIB + 2
    assert_little_waste([leecher])


@pytest.mark.parametrize("seed", SEEDS)
def test_a_fast_peer_that_comes_late_takes_over_from_a_slow_one(seed: int) -> None:
    net = network(seed)
    slow = net.add("slow", have=ALL, up=20 * KIB)
    leecher = net.add("leecher")
    net.connect_all()
    net.run(lambda: leecher.received_bytes > 10 * 16 * KIB)
    leecher.swarm.desk.is_held = True  # only what the slow one owes is left to be asked for, as at an end
    net.connect(leecher, net.add("fast", have=ALL, up=1 * MIB))
    leecher.swarm.desk.is_held = False
    assert finish(net, [leecher]) < 1.3 * SIZE / MIB + 3
    assert slow.sent_bytes < SIZE / 4


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("has_fast", [True, False])
def test_a_peer_that_chokes_in_the_middle_costs_nothing_but_its_share(seed: int, has_fast: bool) -> None:
    net = network(seed)
    moody = net.add("moody", have=ALL, has_fast=has_fast, allows_fast=False)
    net.add("steady", have=ALL)
    leecher = net.add("leecher")
    net.connect_all()
    for share in (4, 12, 24):
        net.run(lambda share=share: leecher.swarm.pieces.have.bit_count() >= share)  # type: ignore[misc]
        uploads.choke(moody.pipes[leecher.key].peer)
    assert finish(net, [leecher]) < 1.2 * SIZE / MIB + 3
    assert_little_waste([leecher])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("liar_count", [1, 2])
def test_those_who_send_corrupt_blocks_are_named_and_nobody_else(seed: int, liar_count: int) -> None:
    net = network(seed)
    liars = [net.add(f"liar {n}", have=ALL, manners=Manners(corrupt_share=0.1)) for n in range(liar_count)]
    for n in range(4):
        net.add(f"honest {n}", have=ALL, up=300 * KIB)
    leechers = [net.add(f"leecher {n}") for n in range(2)]
    net.connect_all()
    finish(net, leechers)
    guilty = {liar.key for liar in liars}
    for leecher in leechers:
        assert leecher.banned <= guilty
        assert leecher.bad_piece_count == 0 or leecher.banned
    assert any(leecher.banned for leecher in leechers)
    assert all(not host.faults for host in net.hosts)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_liar_of_a_single_leecher_is_named(seed: int) -> None:
    net = network(seed)
    liars = [net.add(f"liar {n}", have=ALL, manners=Manners(corrupt_share=0.3)) for n in range(2)]
    net.add("honest", have=ALL, up=300 * KIB)
    leecher = net.add("leecher")
    net.connect_all()
    finish(net, [leecher])
    assert leecher.banned == {liar.key for liar in liars}


@pytest.mark.parametrize("seed", range(3))
def test_nobody_starves_where_there_are_more_leechers_than_slots(seed: int) -> None:
    net = network(seed)
    net.add("seed", have=ALL, up=2 * MIB)
    leechers = [net.add(f"leecher {n}") for n in range(24)]
    net.connect_all()
    took = finish(net, leechers)
    assert took < 6 * SIZE / (2 * MIB) + 10
    assert_little_waste(leechers, slack=0.12)  # the file is so small that most of it is an end


@pytest.mark.parametrize("seed", range(3))
def test_a_seed_alone_serves_all_its_leechers_in_turns(seed: int) -> None:
    """They know nobody but the seed, so nothing but its turns brings them on."""
    net = network(seed)
    origin = net.add("seed", have=ALL, up=2 * MIB)
    leechers = [net.add(f"leecher {n}") for n in range(20)]
    for leecher in leechers:
        net.connect(leecher, origin)
    assert finish(net, leechers, limit=400) < 20 * SIZE / (2 * MIB) * 1.3 + 30
    assert_little_waste(leechers)


@pytest.mark.parametrize("seed", SEEDS)
def test_peers_that_leave_at_random_leave_nothing_stuck(seed: int) -> None:
    net = network(seed)
    stayer = net.add("seed", have=ALL, up=400 * KIB)
    movers = [net.add(f"mover {n}", have=ALL if n % 2 else 0) for n in range(8)]
    leechers = [net.add(f"leecher {n}") for n in range(4)]
    net.connect_all()
    for mover in movers:
        net.clock.call_later(net.rng.uniform(0.2, 8), mover.leave)
    finish(net, leechers)
    assert not stayer.has_left
    assert_little_waste(leechers, slack=0.05)  # what those who left had begun is asked of others in a hurry


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("fast_every", [0, 2])
def test_a_swarm_needs_no_fast_extension(seed: int, fast_every: int) -> None:
    """None of them speaks BEP 6, or every other one."""
    net = network(seed)
    hosts = [
        net.add(f"host {n}", have=0 if n else ALL, has_fast=bool(fast_every) and n % fast_every == 0)
        for n in range(7)
    ]
    net.connect_all()
    assert finish(net, hosts) < 40
    assert_little_waste(hosts)


@pytest.mark.parametrize("seed", SEEDS)
def test_few_buffers_and_partial_peers_never_lock_up(seed: int) -> None:
    """Four pieces in flight, and peers that come, choke and go with the pieces that are begun."""
    net = network(seed)
    parts = [net.rng.getrandbits(PIECE_COUNT) | 1 << n for n in range(6)]
    hosts = [net.add(f"part {n}", have=bits, most_in_flight=4) for n, bits in enumerate(parts)]
    leecher = net.add("leecher", most_in_flight=4)
    net.connect_all()
    for n in range(20):
        moody = hosts[n % 5]
        net.clock.call_later(1 + n / 2, lambda moody=moody: choke_all(moody))  # type: ignore[misc]
    net.clock.call_later(2.3, hosts[0].leave)
    net.clock.call_later(9, lambda: net.connect(leecher, net.add("late seed", have=ALL)))
    finish(net, [leecher])


def choke_all(host: Host) -> None:
    for pipe in host.pipes.values():
        if not pipe.peer.am_choking:
            uploads.choke(pipe.peer)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_silent_holder_of_what_is_begun_does_not_block_the_others(seed: int) -> None:
    """All buffers hold pieces that only the silent one has."""
    net = network(seed)
    low = all_bits(PIECE_COUNT // 2)
    silent = net.add("silent", have=low, manners=Manners(is_stalled=True))
    leecher = net.add("leecher", most_in_flight=2)
    net.connect_all()
    net.run(lambda: len(leecher.swarm.pieces.in_flight) == 2)
    net.connect(leecher, net.add("other", have=ALL & ~low))
    net.run(lambda: leecher.swarm.pieces.have == ALL & ~low, limit=60)
    assert leecher.swarm.pieces.have == ALL & ~low
    silent.manners.is_stalled = False
    finish(net, [leecher], limit=100)


@pytest.mark.parametrize("seed", SEEDS)
def test_one_that_rejects_everything_is_asked_now_and_then_and_holds_up_nobody(seed: int) -> None:
    net = network(seed)
    rejecter = net.add("rejecter", have=ALL, latency=0.0, manners=Manners(rejects=True))
    net.add("seed", have=ALL)
    leecher = net.add("leecher", latency=0.0)
    net.connect_all()
    rejected = 0
    original = leecher.swarm.desk.on_rejected

    def count(*arguments: object) -> None:
        nonlocal rejected
        rejected += 1
        original(*arguments)  # type: ignore[arg-type]

    leecher.swarm.desk.on_rejected = count  # type: ignore[method-assign,assignment]
    took = finish(net, [leecher])
    assert took < 1.3 * SIZE / MIB + 2
    assert 0 < rejected < 20 * (took + 1)
    assert rejecter.sent_bytes == 0


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("is_alone", [True, False])
def test_one_that_lies_about_what_it_has_holds_up_nobody(seed: int, is_alone: bool) -> None:
    """It says that it has everything and forgets requests for one half; the truth may be in two halves elsewhere."""
    net = network(seed)
    low = all_bits(PIECE_COUNT // 2)
    net.add("liar", have=ALL & ~low, manners=Manners(lies_about=low))
    net.add("low half", have=low, up=400 * KIB)
    if not is_alone:
        net.add("seed", have=ALL, up=400 * KIB)
    leecher = net.add("leecher")
    net.connect_all()
    assert finish(net, [leecher]) < 60
    assert wasted(leecher) < 0.1 * SIZE


@pytest.mark.parametrize("seed", range(3))
def test_who_wants_something_loses_its_slot_at_most_once_a_round(seed: int) -> None:
    """Slots that follow interest are no harm; a slot that comes and goes under a peer's requests is."""
    net = network(seed, is_watched=False)
    net.add("seed", have=ALL, up=400 * KIB)
    leechers = [net.add(f"leecher {n}", up=100 * KIB) for n in range(12)]
    net.connect_all()
    was_choking: dict[tuple[str, object], bool] = {}
    losses: Counter[tuple[str, object]] = Counter()

    def watch() -> None:
        for host in net.hosts:
            for key, pipe in host.pipes.items():
                pair, peer = (host.name, key), pipe.peer
                if peer.am_choking and peer.peer_interested and not was_choking.get(pair, True):
                    losses[pair] += 1
                was_choking[pair] = peer.am_choking

    net.watchers.append(watch)
    took = finish(net, leechers)
    assert losses, "nobody ever lost a slot: the story is too short"
    assert max(losses.values()) <= took / RECHOKE_INTERVAL + 1
