"""How far ahead a link decides: more where the system has room again at once, less where it takes long."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Sequence
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.net import link as link_module
from shoal.net.link import FLUSH_BUDGET, LEAST_AHEAD, LONG_WAIT, MOST_AHEAD, SHORT_WAIT, Buffer, PeerLink
from shoal.units import KIB

LOW_WATER = 25  # what Linux calls it


class Loop:
    """Time is set by hand, and the socket is writable when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.on_writable: Callable[[], None] | None = None

    def time(self) -> float:
        return self.now

    def add_reader(self, fd: int, callback: Callable[[], None]) -> None:
        pass

    def remove_reader(self, fd: int) -> None:
        pass

    def add_writer(self, fd: int, callback: Callable[[], None]) -> None:
        assert self.on_writable is None
        self.on_writable = callback

    def remove_writer(self, fd: int) -> None:
        assert self.on_writable is not None
        self.on_writable = None


class Socket:
    """Takes `room` bytes, and then no more until it is given more room."""

    def __init__(self) -> None:
        self.room = 0
        self.taken = 0
        self.low_waters: list[int] = []
        self.is_reset = False

    def fileno(self) -> int:
        return 7

    def setblocking(self, is_blocking: bool) -> None:
        assert not is_blocking

    def setsockopt(self, level: int, option: int, value: int) -> None:
        if self.is_reset:
            raise OSError(errno.EINVAL, "Invalid argument")
        if option == LOW_WATER:
            self.low_waters.append(value)

    def sendmsg(self, buffers: Sequence[Buffer]) -> int:
        if self.is_reset:
            raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
        if not self.room:
            raise BlockingIOError
        count = min(self.room, sum(map(len, buffers)))
        self.room -= count
        self.taken += count
        return count

    def close(self) -> None:
        pass


class Owner:
    """Has no end of blocks to send."""

    def __init__(self) -> None:
        self.link: PeerLink
        self.rooms: list[int] = []
        self.left = 1 << 40
        self.lost = ""

    def on_data(self, view: memoryview) -> None:
        raise AssertionError("nothing is read")

    def on_room(self, room: int) -> None:
        self.rooms.append(room)
        size = min(self.left, max(room - self.link.pending, 0))
        if size:
            self.left -= size
            self.link.queue_all([bytes(size)], size)

    def on_lost(self, reason: str) -> None:
        self.lost = reason


class Scene:
    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.loop, self.socket, self.owner = Loop(), Socket(), Owner()
        patch.setattr(asyncio, "get_running_loop", lambda: self.loop)
        patch.setattr(link_module, "_NOT_SENT_LOW_WATER", LOW_WATER)
        self.link = PeerLink(cast(socket.socket, self.socket), memoryview(bytearray(1)), self.owner)
        self.owner.link = self.link

    @property
    def ahead(self) -> int:
        """What the owner was last asked for, which is what the system was told, too."""
        assert self.socket.low_waters[-1] == self.link._ahead
        return self.link._ahead

    def wait(self, seconds: float, room: int = 8 * KIB) -> None:
        """The system takes so long until it has room for `room` bytes."""
        self.loop.now += seconds
        self.socket.room = room
        assert self.loop.on_writable is not None
        self.loop.on_writable()


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


def test_a_link_begins_with_little_and_tells_the_system_so(scene: Scene) -> None:
    scene.link.flush()
    assert scene.ahead == LEAST_AHEAD
    assert scene.owner.rooms == [LEAST_AHEAD]
    assert scene.link.pending == LEAST_AHEAD


def test_a_quick_link_decides_twice_as_far_ahead_each_time_up_to_a_bound(scene: Scene) -> None:
    scene.link.flush()
    seen = []
    for _ in range(8):
        scene.wait(SHORT_WAIT / 2)
        seen.append(scene.ahead)
        assert scene.link.pending >= scene.ahead - 8 * KIB
    assert seen == [min(LEAST_AHEAD << step, MOST_AHEAD) for step in range(1, 9)]
    assert seen[-1] == MOST_AHEAD


def test_a_link_that_becomes_slow_decides_later_again(scene: Scene) -> None:
    scene.link.flush()
    for _ in range(8):
        scene.wait(SHORT_WAIT / 2)
    for step in range(1, 8):
        scene.wait(LONG_WAIT * 2)
        assert scene.ahead == max(MOST_AHEAD >> step, LEAST_AHEAD)
    assert scene.ahead == LEAST_AHEAD


def test_between_the_two_nothing_changes(scene: Scene) -> None:
    scene.link.flush()
    scene.wait(SHORT_WAIT / 2)
    before = list(scene.socket.low_waters)
    for _ in range(5):
        scene.wait((SHORT_WAIT + LONG_WAIT) / 2)
    assert scene.socket.low_waters == before


def test_nothing_is_decided_on_while_enough_is_queued(scene: Scene) -> None:
    scene.link.flush()
    scene.owner.rooms.clear()
    scene.wait(SHORT_WAIT * 2, room=0)
    assert scene.owner.rooms == []


def test_with_nothing_left_to_send_the_socket_is_not_watched(scene: Scene) -> None:
    scene.owner.left = 0
    scene.link.flush()
    assert scene.loop.on_writable is None
    scene.owner.left = 4 * KIB
    scene.link.flush()
    scene.wait(SHORT_WAIT * 2)
    assert scene.socket.taken == 4 * KIB
    assert scene.loop.on_writable is None


def test_a_system_that_takes_everything_still_lets_other_links_have_their_turn(scene: Scene) -> None:
    scene.socket.room = 1 << 40
    scene.link.flush()
    assert FLUSH_BUDGET <= scene.socket.taken < FLUSH_BUDGET + MOST_AHEAD
    assert scene.loop.on_writable is not None


def test_a_connection_that_was_reset_is_lost_and_no_more(scene: Scene) -> None:
    """Some systems then take no option any more."""
    scene.link.flush()
    scene.socket.is_reset = True
    scene.wait(SHORT_WAIT / 2)
    assert scene.owner.lost == "Connection reset by peer"
    assert scene.loop.on_writable is None


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 300 * KIB)), max_size=60))
def test_whatever_the_system_does_nothing_is_lost_and_the_bounds_hold(turns: list[tuple[float, int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        scene = Scene(patch)
        scene.link.flush()
        for seconds, room in turns:
            scene.wait(seconds, room)
            assert LEAST_AHEAD <= scene.ahead <= MOST_AHEAD
            assert scene.link.pending <= MOST_AHEAD
            assert scene.link.sent == scene.socket.taken
            assert sum(map(len, scene.link._out)) == scene.link.pending
