"""The links of a simulated network: rates, ways, order, and what was handed over."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.formats.bitfield import all_bits
from shoal.formats.layout import BLOCK_LENGTH, Layout
from shoal.protocol.peer.messages import BLOCK_HEAD_LENGTH, Message, Requests, Unchoke
from shoal.swarm.tactics import Tactics
from shoal.testing.simulation import (
    Host,
    Network,
)
from shoal.testing.simulation.pipe import GOOD, Block, Pipe
from shoal.testing.simulation.uplink import LEAST_AHEAD, LONGEST_STALL
from shoal.units import KIB, MIB

from .links import ALL, LAYOUT, PIECE_LENGTH, SIZE, pair
from .trace import Notes


@pytest.mark.parametrize("up", [256 * KIB, 1 * MIB, 4 * MIB])
def test_a_transfer_takes_its_size_over_the_rate(up: float) -> None:
    net = Network(0, LAYOUT)
    _, leecher = pair(net, up=up)
    assert net.finish([leecher]) == pytest.approx(SIZE / up, rel=0.02, abs=0.4)


def test_the_slower_of_uplink_and_downlink_sets_the_pace() -> None:
    net = Network(0, LAYOUT)
    net.add("seed", have=ALL, up=4 * MIB)
    leecher = net.add("leecher", down=1 * MIB)
    net.connect_all()
    assert net.finish([leecher]) == pytest.approx(SIZE / MIB, rel=0.03, abs=0.4)


def test_two_receivers_share_an_uplink_fairly() -> None:
    net = Network(0, LAYOUT)
    seed = net.add("seed", have=ALL, up=1 * MIB, tactics=Tactics(super_seeds=False))  # or one starts later
    leechers = [net.add(f"leecher {n}") for n in range(2)]
    for leecher in leechers:
        net.connect(seed, leecher)
    net.run(lambda: seed.sent_bytes >= SIZE)
    first, second = (leecher.received_bytes for leecher in leechers)
    assert first == pytest.approx(second, rel=0.05)


def test_a_receiver_that_reads_slowly_does_not_hold_up_the_others() -> None:
    net = Network(0, LAYOUT)
    seed = net.add("seed", have=ALL, up=1 * MIB)
    slow = net.add("slow", down=50 * KIB)
    fast = net.add("fast")
    for leecher in (slow, fast):
        net.connect(seed, leecher)
    assert net.finish([fast]) < SIZE / (0.95 * MIB - 50 * KIB) + 1
    assert slow.received_bytes > 0


def test_two_senders_share_a_downlink() -> None:
    net = Network(0, LAYOUT)
    for n in range(2):
        net.add(f"seed {n}", have=ALL, up=1 * MIB)
    leecher = net.add("leecher", down=1 * MIB)
    net.connect_all()
    assert net.finish([leecher]) == pytest.approx(SIZE / MIB, rel=0.05, abs=0.5)


def test_a_rate_that_changes_on_the_way_counts_from_then_on() -> None:
    net = Network(0, LAYOUT)
    seed, leecher = pair(net, up=1 * MIB)
    net.run(lambda: leecher.received_bytes >= SIZE // 2)
    seed.up = 250 * KIB
    assert net.finish([leecher]) == pytest.approx(SIZE / 2 / (250 * KIB), rel=0.05)


def test_a_message_takes_the_latency_of_both_sides() -> None:
    net = Network(0, LAYOUT)
    heard: list[float] = []
    a, b = net.add("a", latency=0.3), net.add("b", latency=0.1, have=1)
    net.connect(a, b)
    net.watchers.append(lambda: heard.append(net.clock.now) if a.pipes[b.key].peer.has else None)
    began_at = net.clock.now
    net.run(lambda: bool(heard))
    assert heard[0] - began_at == pytest.approx(0.4)


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.floats(0.01, 2.0), st.floats(0.0, 0.2))
def test_jitter_and_stalls_keep_the_order_of_a_connection(seed: int, jitter: float, loss: float) -> None:
    """Whatever is said behind a block is heard behind it: no request is answered after its reject, for one."""
    net = Network(seed, Layout(PIECE_LENGTH, [8 * PIECE_LENGTH]))
    order: list[tuple[float, float]] = []
    original = Pipe.arrival

    def arrival(pipe: Pipe, leaves_at: float) -> float:
        before = pipe.arrives_at
        order.append((before, original(pipe, leaves_at)))
        return order[-1][1]

    net.add("seed", have=all_bits(8), jitter=jitter, loss=loss)
    leecher = net.add("leecher", jitter=jitter)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pipe, "arrival", arrival)
        net.connect_all()
        net.finish([leecher])
    assert order and all(before <= after for before, after in order)
    assert leecher.is_complete and not leecher.faults


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), min_size=1), st.sampled_from([0.5, 1.0, 3.0]))
def test_what_arrives_on_a_connection_is_heard_in_that_order(
    arrivals: list[tuple[bool, int]], down: float
) -> None:
    """Blocks (as long as a second of the uplink) and words, so many seconds apart, into a slow or a fast downlink."""
    net = Network(0, Layout(BLOCK_LENGTH, [BLOCK_LENGTH]))
    size = Block((0, 0, BLOCK_LENGTH), GOOD).size
    sender = net.add("sender", up=size)
    receiver = net.add("receiver", down=down * size)
    net.connect(sender, receiver)
    pipe = receiver.pipes[sender.key]
    heard: list[object] = []
    receiver.hear = lambda _, data: heard.append(data)  # type: ignore[method-assign]
    receiver.hear_block = lambda _, block: heard.append(block)  # type: ignore[method-assign]
    told: list[object] = []
    at = 10.0
    for is_block, pause in arrivals:
        at += pause
        if is_block:
            block = Block((0, 0, BLOCK_LENGTH), GOOD)
            told.append(block)
            net.clock.call_at(at, receiver.downlink.take_block, pipe, block)
        else:
            told.append(data := b"%d" % len(told))
            net.clock.call_at(at, receiver.downlink.take_words, pipe, data)
    net.run(lambda: told[-1] in heard)
    assert [each for each in heard if each in told] == told


def test_jitter_delays_what_it_touches() -> None:
    times = []
    for jitter in (0.0, 1.0):
        net = Network(3, LAYOUT)
        _, leecher = pair(net, jitter=jitter)
        times.append(net.finish([leecher]))
    assert times[1] > times[0]


def test_a_stall_delays_and_loses_nothing() -> None:
    times = []
    for loss in (0.0, 0.02):
        net = Network(0, LAYOUT)
        net.recorder = notes = Notes()
        _, leecher = pair(net, up=1 * MIB, loss=loss)
        times.append(net.finish([leecher]))
        assert leecher.received_bytes == SIZE
        gaps = [after[0] - before[0] for before, after in pairwise(notes.blocks)]
        assert (max(gaps) > 0.1) == bool(loss)
        assert max(gaps) < LONGEST_STALL + 0.1
    assert times[0] < times[1] < 4 * times[0]


def test_control_messages_cost_their_time_on_the_uplink() -> None:
    net = Network(0, LAYOUT)
    seed, leecher = pair(net, up=100 * KIB)
    net.run(lambda: leecher.received_bytes > 0)
    pipe, waiting = seed.pipes[leecher.key], net.add("bystander")
    net.connect(seed, waiting)
    began, before = net.clock.now, leecher.received_bytes
    for _ in range(20_000):
        seed.pipes[waiting.key].peer.say(Unchoke())  # 5 bytes each: as much as a second carries
    net.run(lambda: net.clock.now >= began + 3)
    assert pipe.is_open
    assert leecher.received_bytes - before < 2.4 * 100 * KIB


# What was handed over


def test_only_so_much_is_handed_over_ahead_of_the_link() -> None:
    net = Network(0, LAYOUT)
    seed, leecher = pair(net, up=512 * KIB, latency=0.2)
    pipe = seed.pipes[leecher.key]
    ahead: list[int] = []
    net.watchers.append(lambda: ahead.append(pipe.unsent_bytes))
    net.run(lambda: leecher.received_bytes > SIZE // 2)
    assert LEAST_AHEAD <= max(ahead) <= LEAST_AHEAD + BLOCK_LENGTH + BLOCK_HEAD_LENGTH
    assert len(pipe.peer.uploads) > 0, "all that was asked for is handed over"


def test_a_block_is_charged_with_its_head() -> None:
    net = Network(0, Layout(BLOCK_LENGTH, [BLOCK_LENGTH]))
    net.add("seed", have=1, up=BLOCK_LENGTH + 13, latency=0)
    leecher = net.add("leecher", latency=0)
    net.connect_all()
    net.recorder = notes = Notes()
    asked: list[float] = []

    def note(now: float, sender: Host, receiver: Host, message: Message) -> None:
        if isinstance(message, Requests):
            asked.append(now)

    notes.on_message = note  # type: ignore[method-assign]
    net.finish([leecher])
    assert notes.blocks[0][0] - asked[-1] == pytest.approx(1.0, abs=1e-6)
