"""A link below a limit: what it takes and gives at its turn, and when it says that it is held back."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from shoal.net.limited_link import LimitedLink, first_bytes
from shoal.net.link import Buffer
from shoal.net.throttle import Throttle
from shoal.testing.clock import VirtualClock
from shoal.units import KIB

from .sockets import PATIENCE, wait_arrived

RATE = 20 * KIB


@given(st.lists(st.binary(min_size=1, max_size=50), min_size=1, max_size=20), st.integers(1, 1200))
def test_the_first_bytes_of_buffers_are_those_of_the_whole(parts: list[bytes], most: int) -> None:
    buffers: list[Buffer] = list(parts)
    chosen = first_bytes(buffers, most)
    assert b"".join(chosen) == b"".join(parts)[:most]


class Owner:
    """Takes what comes, and has `left` bytes of blocks to send."""

    def __init__(self, left: int = 0) -> None:
        self.link: LimitedLink
        self.got = 0
        self.left = left

    def on_data(self, view: memoryview) -> None:
        self.got += len(view)

    def on_room(self, room: int) -> None:
        size = min(16 * KIB, self.left)
        if size:
            self.left -= size
            self.link.queue_all([bytes(size)], size)

    def on_lost(self, reason: str) -> None:
        raise AssertionError(reason)


class Ends:
    """A limited link on virtual time over a TCP connection to ourselves."""

    def __init__(self, owner: Owner, *, reads: bool = False, sends: bool = False) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            ours = socket.create_connection(server.getsockname())
            self.theirs, _ = server.accept()
        self.clock = VirtualClock()
        self.owner = owner
        self.link = owner.link = LimitedLink(
            ours,
            memoryview(bytearray(64 * KIB)),
            owner,
            incoming=self._throttle() if reads else None,
            outgoing=self._throttle() if sends else None,
        )
        self._ours = ours
        self._arrived = 0
        self.theirs.settimeout(PATIENCE)

    def _throttle(self) -> Throttle:
        return Throttle(RATE, self.clock, self.clock.call_later)

    def arrived(self) -> int:
        """Bytes that came out at the other end: all that the link has sent, or all there will ever be."""
        while self._arrived < self.link.sent and (data := self.theirs.recv(64 * KIB)):
            self._arrived += len(data)
        return self._arrived

    def send(self, size: int) -> None:
        """Let something come to the link, and wait until it is there."""
        self.theirs.sendall(bytes(size))
        wait_arrived(self._ours, size)

    def close(self) -> None:
        self.link.close()
        self.theirs.close()


def play(story: Callable[[], None]) -> None:
    async def run() -> None:
        story()

    asyncio.run(run())


def test_a_link_sends_only_what_may_pass_and_asks_its_owner_block_by_block() -> None:
    def story() -> None:
        ends = Ends(Owner(100 * KIB), sends=True)
        ends.link.flush()
        ends.clock.advance(1.0)
        assert RATE * 0.95 <= ends.arrived() <= RATE
        assert ends.link.queued <= 32 * KIB
        ends.close()

    play(story)


def test_a_link_reads_only_what_may_pass_and_says_that_it_is_held_back() -> None:
    def story() -> None:
        ends = Ends(Owner(), reads=True)
        assert not ends.link.is_held_back
        ends.send(30 * KIB)
        ends.link._on_readable()
        ends.clock.advance(1.0)
        assert RATE * 0.95 <= ends.owner.got <= RATE
        assert ends.link.is_held_back
        ends.clock.advance(1.0)
        assert ends.owner.got == 30 * KIB
        assert not ends.link.is_held_back
        ends.close()

    play(story)


def test_a_link_whose_messages_wait_for_the_limit_is_held_back() -> None:
    def story() -> None:
        ends = Ends(Owner(), sends=True)
        ends.link.queue(bytes(8 * KIB))
        ends.link.flush()
        assert ends.link.is_held_back
        ends.clock.advance(1.0)
        assert ends.arrived() == 8 * KIB
        assert not ends.link.is_held_back
        ends.close()

    play(story)


def test_last_words_are_sent_as_far_as_they_may_pass() -> None:
    def story() -> None:
        ends = Ends(Owner(), sends=True)
        ends.clock.advance(1.0)
        ends.link.queue(bytes(68))
        ends.link.queue(bytes(100 * KIB))
        ends.link.close()
        assert 68 <= ends.arrived() <= 4 * KIB
        ends.theirs.close()

    play(story)
