"""The socket of one peer: bytes in to an owner, buffers out in vectors. It decides nothing.

Sockets are driven directly (`add_reader`, `sendmsg`) instead of through asyncio's transports, so that what has
left us is known to the byte: buffers can be used again, and what to send next is chosen when there is room for it,
not seconds before: about a tenth of a second's worth is queued, here and in the system.
docs/decisions/0004-raw-sockets.md says why.

Always true: all links of a loop share one receive buffer, so `on_data` must be done with its view when it returns.
After `close` the owner hears nothing more.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterable
from typing import Final, Protocol

from shoal.net.wire import Buffer, Wire
from shoal.units import KIB, MIB

RECEIVE_BUFFER: Final = 1 * MIB  # more a wake-up is fewer wake-ups; above it nothing is gained
LEAST_AHEAD: Final = 32 * KIB  # bytes decided on before they can leave: two blocks, or a link runs dry ...
MOST_AHEAD: Final = 1 * MIB  # ... and above this nothing is gained
SHORT_WAIT: Final = 0.02  # seconds; a system that has room again so soon is given more at a time ...
LONG_WAIT: Final = 0.1  # ... and one that takes this long less: a later decision is a better one
FLUSH_BUDGET: Final = 2 * MIB  # then the other links have their turn
MOST_BUFFERS: Final = 512  # for one sendmsg; the system's limit is 1024

# Without it (on Windows) the system buffers as it likes.
_NOT_SENT_LOW_WATER: Final[int | None] = getattr(socket, "TCP_NOTSENT_LOWAT", None)


class LinkOwner(Protocol):
    """Who stands behind a link."""

    def on_data(self, view: memoryview) -> None:
        """Bytes came; the view is valid until this returns."""

    def on_room(self, room: int) -> None:
        """There is room for about `room` bytes of payload: `queue` some, or nothing."""

    def on_lost(self, reason: str) -> None:
        """The connection ended, not by our `close`."""


class PeerLink:
    def __init__(self, sock: Wire, buffer: memoryview, owner: LinkOwner) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._fd = sock.fileno()
        self._buffer = buffer
        self._owner = owner
        self._out: list[Buffer] = []
        self._is_writing = False  # waiting for room in the socket
        self._is_closed = False
        self.queued = 0  # bytes ever queued
        self.sent = 0  # bytes ever taken by the system
        self._ahead = LEAST_AHEAD
        self._full_at = 0.0  # when the system took no more
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._set_ahead(LEAST_AHEAD)

    def start(self) -> None:
        self._loop.add_reader(self._fd, self._on_readable)

    @property
    def pending(self) -> int:
        """Bytes queued and not yet taken by the system."""
        return self.queued - self.sent

    @property
    def is_held_back(self) -> bool:
        """Whether bytes wait for a limit of ours."""
        return False

    def queue(self, data: Buffer) -> None:
        """Add to what goes out; `flush` sends it."""
        self._out.append(data)
        self.queued += len(data)

    def queue_all(self, buffers: Iterable[Buffer], size: int) -> None:
        """Add many, of `size` bytes together."""
        self._out += buffers
        self.queued += size

    def flush(self) -> None:
        """Send as much as the socket takes now, the rest when it can take more."""
        if self._is_writing or self._is_closed:
            return
        self._write()

    def close(self) -> None:
        """Send what fits at once, then end the connection. The owner is not told."""
        if self._is_closed:
            return
        if self._out:
            self._send_last()
        self._shut()

    def _send_last(self) -> None:
        with contextlib.suppress(OSError):  # it may be gone already
            self._sock.sendmsg(self._out[:MOST_BUFFERS])

    def _shut(self) -> None:
        self._is_closed = True
        self._loop.remove_reader(self._fd)
        if self._is_writing:
            self._loop.remove_writer(self._fd)
        self._out.clear()
        self.sent = self.queued
        self._sock.close()

    def _lose(self, reason: str) -> None:
        if not self._is_closed:
            self._shut()
            self._owner.on_lost(reason)

    def _on_readable(self) -> None:
        self._receive(self._buffer)

    def _receive(self, buffer: memoryview) -> int:
        """Read what is there, at most what `buffer` holds, and hand it to the owner; how much it was."""
        try:
            count = self._sock.recv_into(buffer)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            self._lose(error.strerror or str(error))
            return 0
        if count == 0:
            self._lose("the peer closed the connection")
            return 0
        self._owner.on_data(buffer[:count])
        return count

    def _write(self) -> None:
        budget = FLUSH_BUDGET
        while budget > 0:
            if self.pending < self._ahead:
                self._owner.on_room(self._ahead)
            if self._is_closed:
                return
            if not self._out:
                self._stop_writing()
                return
            count = self._hand_over(self._out[:MOST_BUFFERS])
            if not count:
                return
            budget -= count
        self._wait_for_room()  # even with nothing queued: the owner may have more, and is asked at the next turn

    def _hand_over(self, buffers: list[Buffer]) -> int:
        """Give the system what it takes of `buffers`, which begin what is queued. Nothing: wait, or it is lost."""
        try:
            count = self._sock.sendmsg(buffers)
        except (BlockingIOError, InterruptedError):
            self._wait_for_room()
            return 0
        except OSError as error:
            self._lose(error.strerror or str(error))
            return 0
        self.sent += count
        self._drop_sent(count)
        return count

    def _stop_writing(self) -> None:
        if self._is_writing:
            self._is_writing = False
            self._loop.remove_writer(self._fd)

    def _wait_for_room(self) -> None:
        if not self._is_writing:
            self._is_writing = True
            self._loop.add_writer(self._fd, self._on_writable)
        self._full_at = self._loop.time()

    def _on_writable(self) -> None:
        waited = self._loop.time() - self._full_at
        if waited < SHORT_WAIT and self._ahead < MOST_AHEAD:
            self._set_ahead(self._ahead * 2)
        elif waited > LONG_WAIT and self._ahead > LEAST_AHEAD:
            self._set_ahead(self._ahead // 2)
        self._write()

    def _set_ahead(self, size: int) -> None:
        """Keep about so many bytes here, and as many in the system that it has not sent."""
        self._ahead = size
        if _NOT_SENT_LOW_WATER is not None:
            with contextlib.suppress(
                OSError
            ):  # it may be reset: macOS then refuses, and the next write tells
                self._sock.setsockopt(socket.IPPROTO_TCP, _NOT_SENT_LOW_WATER, size)

    def _drop_sent(self, count: int) -> None:
        out = self._out
        for index, data in enumerate(out):
            length = len(data)
            if count < length:
                if count:
                    out[index] = memoryview(data)[count:]
                del out[:index]
                return
            count -= length
        out.clear()
