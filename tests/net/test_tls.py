"""TLS below a `PeerLink`: nothing is lost, nothing waits for a wake-up that never comes, and nothing spins."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.net.limited_link import LimitedLink
from shoal.net.link import LEAST_AHEAD, RECEIVE_BUFFER
from shoal.net.throttle import Throttle
from shoal.net.tls import MOST_ANSWERS, RECORD_LENGTH, TlsSocket, secure, secure_incoming
from shoal.net.wire import Buffer
from shoal.testing.clock import VirtualClock
from shoal.units import KIB, MIB

from .sockets import wait_arrived, wait_readable
from .tls_scene import (
    ANSWERING,
    DIALLING,
    NAME,
    PATIENCE,
    Owner,
    blocks,
    digest_of,
    pair,
    play,
    small_messages,
    sockets,
)


async def exchange(one: list[Buffer], other: list[Buffer], **how: bool) -> tuple[Owner, Owner]:
    """Both send all they have to each other, at the same time."""
    ours, theirs = await pair(*sockets(**how))
    sizes = [sum(map(len, buffers)) for buffers in (one, other)]
    owners = Owner(ours, one, sizes[1]), Owner(theirs, other, sizes[0])
    for owner in owners:
        owner.start()
    for owner in owners:
        await owner.is_done.wait()
    for owner in owners:
        assert not owner.lost
        owner.link.close()
    assert [owner.digest.digest() for owner in owners] == [digest_of(other), digest_of(one)]
    return owners


def test_much_goes_both_ways_at_once() -> None:
    async def story() -> None:
        rng = random.Random(1)
        first, second = await exchange(blocks(rng, 64 * MIB), blocks(rng, 64 * MIB))
        for owner in (first, second):
            assert owner.wake_ups < 64 * MIB // (16 * KIB), "many records a wake-up"

    play(story)


@pytest.mark.parametrize("least_buffers", [False, True])
def test_many_small_messages_go_both_ways(least_buffers: bool) -> None:
    async def story() -> None:
        rng = random.Random(2)
        await exchange(small_messages(rng, MIB), small_messages(rng, MIB), least_buffers=least_buffers)

    play(story)


def test_blocks_pass_where_the_system_takes_little_at_a_time() -> None:
    async def story() -> None:
        rng = random.Random(3)
        await exchange(blocks(rng, 4 * MIB), small_messages(rng, 100 * KIB), least_buffers=True)

    play(story)


def test_what_is_sent_right_behind_the_handshake_wakes_the_reader() -> None:
    """It is there before anybody reads, and nothing comes after it."""

    async def story() -> None:
        ours, theirs = sockets()
        answering = asyncio.create_task(secure_incoming(theirs, lambda name: ANSWERING, within=PATIENCE))
        dialled = await secure(ours, DIALLING, name=NAME, within=PATIENCE)
        dialled.sendmsg([b"hello"])
        owner = Owner(await answering, [], expected=5)
        owner.start()
        await owner.is_done.wait()
        assert owner.got == 5
        owner.link.close()
        dialled.close()

    play(story)


SIZES = st.lists(st.integers(1, 40 * KIB), min_size=1, max_size=8)


@settings(max_examples=60)
@given(SIZES, st.lists(st.integers(1, 80 * KIB), min_size=1, max_size=8), st.integers(0, 2**32))
def test_a_view_is_filled_or_everything_was_read(sent: list[int], views: list[int], seed: int) -> None:
    """So a reader that is woken by the socket alone, or goes on after a full view, misses nothing."""

    async def story() -> None:
        ours, theirs = await pair(*sockets())
        data = random.Random(seed).randbytes(sum(sent))
        begin, got, turn = 0, b"", 0
        for size in sent:
            assert ours.sendmsg([data[begin : begin + size]]) == size
            begin += size
            is_full = False
            while is_full or len(got) < begin:
                if not is_full:
                    wait_readable(theirs._sock)
                view = memoryview(bytearray(views[turn % len(views)]))
                turn += 1
                try:
                    count = theirs.recv_into(view)
                except BlockingIOError:
                    count = 0
                got += view[:count]
                is_full = count == len(view)
            assert got == data[:begin]
        ours.close()
        theirs.close()

    play(story)


def test_what_is_read_fits_with_a_record_that_was_half_here() -> None:
    """A link reads once a wake-up: what does not fit into its view must still be in the socket."""

    async def story() -> None:
        ours, theirs = await pair(*sockets())
        for _ in range(4):
            ours._encrypt(memoryview(bytes(16 * KIB)))
        records = ours._outgoing.read()
        ours._sock.send(records[: 16 * KIB])
        view = memoryview(bytearray(2 * RECORD_LENGTH))
        wait_arrived(theirs._sock, 16 * KIB)
        with pytest.raises(BlockingIOError):
            theirs.recv_into(view)
        assert ours._sock.send(records[16 * KIB :]) == len(records) - 16 * KIB
        wait_arrived(theirs._sock, len(records) - 16 * KIB)
        got = 0
        while got < 64 * KIB:
            count = theirs.recv_into(view)
            assert 0 < count < len(view)
            got += count
        assert got == 64 * KIB
        ours.close()
        theirs.close()

    play(story)


@settings(max_examples=40)
@given(st.lists(st.integers(0, 30 * KIB), max_size=30), st.integers(0, 2**32))
def test_what_was_taken_has_left_and_nothing_is_sent_twice(sizes: list[int], seed: int) -> None:
    """The system takes as much as it likes at a time; what is offered again after that begins as before."""

    async def story() -> None:
        ours, theirs = await pair(*sockets(least_buffers=True))
        rng = random.Random(seed)
        data = rng.randbytes(sum(sizes))
        left: list[Buffer] = []
        begin = 0
        for size in sizes:
            left.append(data[begin : begin + size])
            begin += size
        got, view = bytearray(), memoryview(bytearray(64 * KIB))
        sent = 0
        while len(got) < len(data):
            try:
                count = ours.sendmsg(left[: rng.randrange(1, 5)]) if left else 0
                sent += count
                assert sent <= len(data)
                left = [data[sent:]] if sent < len(data) else []
            except BlockingIOError:
                pass
            try:
                got += view[: theirs.recv_into(view)]
            except BlockingIOError:
                await asyncio.sleep(0)
        assert got == data
        assert sent == len(data)
        ours.close()
        theirs.close()

    play(story)


def test_a_record_that_takes_many_reads_gives_others_their_turn() -> None:
    async def story() -> None:
        ours, theirs = await pair(*sockets())
        ours.sendmsg([bytes(16 * KIB)])
        wait_arrived(theirs._sock, 16 * KIB)
        with pytest.raises(BlockingIOError):
            theirs.recv_into(memoryview(bytearray(16)))
        got = 0
        while got < 16 * KIB:
            try:
                got += theirs.recv_into(memoryview(bytearray(16)))
            except BlockingIOError:
                wait_readable(theirs._sock)  # so the loop comes back
        ours.close()
        theirs.close()

    play(story)


def test_nothing_spins_while_the_peer_reads_nothing() -> None:
    async def story() -> None:
        ours, theirs = await pair(*sockets())
        calls = 0
        plain_sendmsg = TlsSocket.sendmsg

        class Counting(TlsSocket):
            def sendmsg(self, buffers: Any) -> int:
                nonlocal calls
                calls += 1
                return plain_sendmsg(self, buffers)

        ours.__class__ = Counting
        source = Owner(ours, blocks(random.Random(5), 64 * MIB), expected=1)
        source.start()
        before = -1
        while calls != before:  # until the system is full
            before = calls
            await asyncio.sleep(0.05)
        assert 0 < source.link.pending <= LEAST_AHEAD * 64
        assert calls < 10_000
        source.link.close()
        theirs.close()

    play(story)


def limited(sock: TlsSocket, owner: Any, clock: VirtualClock, rate: int, *, reads: bool) -> LimitedLink:
    throttle = Throttle(rate, clock, clock.call_later)
    return LimitedLink(
        sock,  # type: ignore[arg-type]
        memoryview(bytearray(RECEIVE_BUFFER)),
        owner,
        incoming=throttle if reads else None,
        outgoing=None if reads else throttle,
    )


@pytest.mark.parametrize("rate", [20 * KIB, 2 * MIB, 200 * MIB])
def test_a_link_with_a_limit_reads_everything_at_its_rate(rate: int) -> None:
    async def story() -> None:
        ours, theirs = await pair(*sockets())
        clock = VirtualClock()
        owner = Owner(theirs, [], expected=60 * KIB)
        owner.link = limited(theirs, owner, clock, rate, reads=True)
        assert ours.sendmsg([bytes(30 * KIB), bytes(30 * KIB)]) == 60 * KIB
        owner.start()
        while not owner.is_done.is_set():
            await asyncio.sleep(0)  # the loop tells that there is something to read
            before = owner.got
            clock.advance(0.5)
            assert owner.got - before <= rate * 0.5 + 16 * KIB
        assert owner.got == 60 * KIB
        assert clock.now >= 60 * KIB / rate * 0.7 - 0.5
        owner.link.close()
        ours.close()

    play(story)


def test_a_link_with_a_limit_sends_everything_at_its_rate() -> None:
    async def story() -> None:
        ours, theirs = await pair(*sockets())
        clock = VirtualClock()
        source = Owner(ours, blocks(random.Random(6), 64 * KIB), expected=1)
        source.link = limited(ours, source, clock, 20 * KIB, reads=False)
        source.start()
        sink = Owner(theirs, [], expected=64 * KIB + 4 * 13)
        sink.start()
        while not sink.is_done.is_set():
            before = source.link.sent
            clock.advance(0.5)
            assert source.link.sent - before <= 11 * KIB
            await asyncio.sleep(0)
        assert clock.now >= 64 / 20 * 0.9
        source.link.close()
        sink.link.close()

    play(story)


async def what_ends(owner: Owner) -> str:
    owner.start()
    await owner.is_done.wait()
    return owner.lost


def test_a_peer_that_closes_in_the_middle_of_a_record_has_closed() -> None:
    async def story() -> None:
        ours, theirs = await pair(*sockets())
        ours._encrypt(memoryview(bytes(1000)))
        ours._sock.send(ours._outgoing.read()[:500])
        ours.close()
        owner = Owner(theirs, [], expected=1)
        assert await what_ends(owner) == "the peer closed the connection"
        assert owner.got == 0, "half a record proves nothing"

    play(story)


def test_what_came_before_the_end_is_heard() -> None:
    async def story() -> None:
        ours, theirs = await pair(*sockets())
        ours.sendmsg([bytes(100 * KIB)])
        ours.close()
        owner = Owner(theirs, [], expected=MIB)
        assert await what_ends(owner) == "the peer closed the connection"
        assert owner.got == 100 * KIB

    play(story)


@pytest.mark.parametrize(
    "garbage",
    [b"\x13BitTorrent protocol", b"GET / HTTP/1.1\r\n\r\n", b"\x17\x03\x03\x00\x20" + bytes(32), bytes(100)],
)
def test_garbage_instead_of_records_ends_the_connection(garbage: bytes) -> None:
    async def story() -> None:
        ours, theirs = await pair(*sockets())
        ours._sock.send(garbage)
        owner = Owner(theirs, [], expected=1)
        assert (await what_ends(owner)).startswith("its TLS is not right: ")
        assert owner.got == 0
        ours.close()

    play(story)


def test_a_record_that_was_changed_on_its_way_is_never_heard() -> None:
    async def story() -> None:
        ours, theirs = await pair(*sockets())
        ours._encrypt(memoryview(bytes(1000)))
        record = bytearray(ours._outgoing.read())
        record[500] ^= 1
        ours._sock.send(record)
        owner = Owner(theirs, [], expected=1)
        assert (await what_ends(owner)).startswith("its TLS is not right: ")
        assert owner.got == 0
        ours.close()

    play(story)


def test_answers_of_tls_itself_that_pile_up_end_the_connection() -> None:
    async def story() -> None:
        ours, theirs = await pair(*sockets())
        theirs._outgoing.write(bytes(MOST_ANSWERS + 1))  # as keys that are asked for without end would
        ours._encrypt(memoryview(b"hello"))
        ours._sock.send(ours._outgoing.read()[:-1])  # nothing that its owner could be given
        owner = Owner(theirs, [], expected=100)
        assert await what_ends(owner) == "it asks for new keys without end"
        ours.close()

    play(story)
