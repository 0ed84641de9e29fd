"""Troubles of a simulated network, and who gets to know whom in it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.testing.simulation import (
    Host,
    Manners,
    Network,
    freeze_for,
    kill_at_random,
)
from shoal.units import KIB, MIB

from .links import ALL, LAYOUT, SIZE, pair


def test_a_frozen_host_says_and_hears_nothing_until_it_thaws() -> None:
    net = Network(0, LAYOUT)
    seed, leecher = pair(net, up=1 * MIB)
    net.run(lambda: leecher.received_bytes > SIZE // 4)
    freeze_for(net, seed, 20)
    frozen_at = net.clock.now
    net.run(lambda: net.clock.now > frozen_at + 1)
    before = leecher.received_bytes
    net.run(lambda: net.clock.now > frozen_at + 19)
    assert leecher.received_bytes == before
    assert leecher.key in seed.pipes
    net.finish([leecher], limit=60)
    assert leecher.is_complete


def test_a_frozen_receiver_reads_everything_when_it_thaws() -> None:
    net = Network(0, LAYOUT)
    seed, leecher = pair(net, up=1 * MIB)
    net.run(lambda: leecher.received_bytes > SIZE // 4)
    leecher.freeze()
    before, sent = leecher.received_bytes, seed.sent_bytes
    net.run(lambda: net.clock.now > 30)
    assert leecher.received_bytes == before
    assert seed.sent_bytes - sent <= 512 * KIB, "nothing holds the sender back"
    leecher.thaw()
    net.finish([leecher], limit=60)
    assert not leecher.faults and not seed.faults


def test_killed_hosts_are_replaced_as_neighbours() -> None:
    net = Network(0, LAYOUT)
    net.add("seed", have=ALL, up=256 * KIB)
    leechers = [net.add(f"leecher {n}", up=256 * KIB) for n in range(15)]
    net.meet(net.hosts, neighbours=5)
    killed: list[Host] = []
    kill_at_random(net, leechers[:12], share_a_minute=0.99, then=killed.append)
    net.run(lambda: len(killed) == 8)
    net.run(lambda: all(len(host.pipes) >= 4 for host in net.hosts if not host.has_left), limit=12)
    net.finish(leechers)
    assert all(host.has_left for host in killed)
    assert all(host.is_complete for host in leechers if not host.has_left)


def test_a_share_of_the_hosts_is_killed_in_a_minute() -> None:
    net = Network(0, LAYOUT)
    hosts = [net.add(f"host {n}") for n in range(400)]
    kill_at_random(net, hosts, share_a_minute=0.3)
    net.run(lambda: net.clock.now > 61)
    assert 0.22 < sum(host.has_left for host in hosts) / 400 < 0.38


def test_a_free_rider_takes_and_never_gives() -> None:
    net = Network(0, LAYOUT)
    net.add("seed", have=ALL)
    rider = net.add("rider", manners=Manners(is_free_rider=True))
    others = [net.add(f"leecher {n}") for n in range(3)]
    net.connect_all()
    net.finish([rider, *others])
    assert rider.is_complete
    assert rider.sent_bytes == 0


# Who knows whom


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(2, 12))
def test_those_who_meet_are_one_graph_with_few_neighbours_each(seed: int, count: int, most: int) -> None:
    net = Network(seed, LAYOUT)
    hosts = [net.add(f"host {n}") for n in range(count)]
    net.meet(hosts, neighbours=most)
    late = net.add("late")
    net.join(late)
    assert all(len(host.pipes) <= most for host in [*hosts, late])
    reached, edge = {late.key}, [late]
    while edge:
        for pipe in edge.pop().pipes.values():
            if pipe.other.host.key not in reached:
                reached.add(pipe.other.host.key)
                edge.append(pipe.other.host)
    assert len(reached) >= (count + 1 if late.pipes else 1)
    assert late.pipes or all(len(host.pipes) == most for host in hosts)


def test_nobody_joins_before_others_have_met() -> None:
    net = Network(0, LAYOUT)
    with pytest.raises(ValueError, match="early can join nobody"):
        net.join(net.add("early"))


def test_a_host_alone_is_not_a_crowd() -> None:
    with pytest.raises(ValueError, match="a connected graph with 1 neighbours"):
        Network(0, LAYOUT).meet([], neighbours=1)
