"""A TCP server for many short conversations: it reads as soon as it accepts, and writes as soon as it is asked to.

It serves plain `asyncio.Protocol`s in the place of `loop.create_server`. The system hands over a connection with its
first bytes (`TCP_DEFER_ACCEPT`, Linux), so a request that is answered at once and closed costs four system calls and
is never entered into the event loop. What that brings, and what it costs: docs/decisions/0009-eager-server.md. What
the callbacks may expect is what asyncio says of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable
from typing import Any

READ_LENGTH = 64 * 1024
ACCEPTS_A_TURN = 64  # then others have their turn of the loop
DEFER_SECONDS = 5  # a connection that is silent for longer is handed over without its first bytes
# Where no descriptor is left, others must end first; to ask again at once would only spin.
FULL_PAUSE_SECONDS = 0.1
HIGH_WATER = 64 * 1024
SEND_BUFFER = (
    128 * 1024
)  # in the system, of each connection: by itself it grows to 4 MiB for one that does not read
_NO_ROOM = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class EagerServer:
    """Accepts from `listener`, which is its own from now on, until `close`."""

    def __init__(self, listener: socket.socket, make_protocol: Callable[[], asyncio.Protocol]) -> None:
        self._listener = listener
        self._make_protocol = make_protocol
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        with contextlib.suppress(OSError):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)  # accepted ones inherit it
        defer_accept = getattr(socket, "TCP_DEFER_ACCEPT", None)
        if defer_accept is not None:
            with contextlib.suppress(OSError):
                listener.setsockopt(socket.IPPROTO_TCP, defer_accept, DEFER_SECONDS)
        self._loop.add_reader(listener.fileno(), self._on_acceptable)

    def close(self) -> None:
        """Accept no more; connections that are open live on."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listener.fileno())
        self._listener.close()

    def _on_acceptable(self) -> None:
        for _ in range(ACCEPTS_A_TURN):
            try:
                sock, peer = self._listener.accept()
            except (BlockingIOError, ConnectionError):
                return
            except OSError as error:
                if error.errno not in _NO_ROOM:
                    raise
                self._loop.remove_reader(self._listener.fileno())
                self._pause = self._loop.call_later(FULL_PAUSE_SECONDS, self._resume)
                return
            sock.setblocking(False)
            EagerTransport(self._loop, sock, peer, self._make_protocol()).begin()

    def _resume(self) -> None:
        self._pause = None
        self._loop.add_reader(self._listener.fileno(), self._on_acceptable)


class EagerTransport(asyncio.Transport):
    """One connection."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sock: socket.socket, peer: Any, protocol: asyncio.Protocol
    ) -> None:
        super().__init__({"peername": peer, "socket": sock})
        self._loop = loop
        self._sock = sock
        self._protocol = protocol
        self._unsent = bytearray()
        self._high_water = HIGH_WATER
        self._is_closing = False  # no more is read, and what is unsent still goes
        self._is_lost = False
        self._ends_writing = False  # when all that is unsent has gone
        self._is_registered = False  # with the loop, as a reader
        self._is_paused = False
        self._writing_is_paused = False

    def begin(self) -> None:
        """Introduce the protocol, and give it what is there already."""
        self._protocol.connection_made(self)
        if not self._is_closing:
            self._on_readable()
        self._watch()

    # -- what a protocol asks for --------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._is_lost or not data:
            return
        if self._unsent:
            self._unsent += data
        else:
            sent = self._send(data)
            if sent == len(data) or self._is_lost:
                return
            self._unsent += memoryview(data)[sent:]
            self._loop.add_writer(self._sock.fileno(), self._on_writable)
        if len(self._unsent) > self._high_water and not self._writing_is_paused:
            self._writing_is_paused = True
            self._protocol.pause_writing()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """Tell the peer that no more comes; what it sends is still read."""
        self._ends_writing = True
        if not self._unsent:
            self._shut_down_writing()

    def close(self) -> None:
        if self._is_closing:
            return
        self._is_closing = True
        self._watch()
        if not self._unsent:
            self._lose(None)

    def abort(self) -> None:
        self._is_closing = True
        self._lose(None)

    def is_closing(self) -> bool:
        return self._is_closing

    def is_reading(self) -> bool:
        return self._is_registered

    def pause_reading(self) -> None:
        self._is_paused = True
        self._watch()

    def resume_reading(self) -> None:
        self._is_paused = False
        self._watch()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high_water = HIGH_WATER if high is None else high

    def get_write_buffer_size(self) -> int:
        return len(self._unsent)

    # -- what the loop calls -------------------------------------------------------------------------

    def _on_readable(self) -> None:
        try:
            data = self._sock.recv(READ_LENGTH)
        except BlockingIOError:
            return
        except OSError as error:
            self._is_closing = True
            self._lose(error)
            return
        if data:
            try:
                self._protocol.data_received(data)
            except Exception as error:  # noqa: BLE001 (asyncio's own transports do the same)
                self._loop.call_exception_handler({"message": "data_received failed", "exception": error})
                self._is_closing = True
                self._lose(error)
        elif not self._protocol.eof_received():
            self.close()

    def _on_writable(self) -> None:
        sent = self._send(self._unsent)
        if self._is_lost:
            return
        del self._unsent[:sent]
        if self._unsent:
            return
        self._loop.remove_writer(self._sock.fileno())
        if self._writing_is_paused:
            self._writing_is_paused = False
            self._protocol.resume_writing()
        if self._is_closing:
            self._lose(None)
        elif self._ends_writing:
            self._shut_down_writing()

    def _shut_down_writing(self) -> None:
        if not self._is_lost:
            with contextlib.suppress(OSError):  # the peer was quicker
                self._sock.shutdown(socket.SHUT_WR)

    def _send(self, data: bytes | bytearray | memoryview) -> int:
        """How much of it the system took; the connection may be lost by it."""
        try:
            return self._sock.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            self._is_closing = True
            self._lose(error)
            return 0

    def _watch(self) -> None:
        """Be registered as a reader if something is to be read, and else not."""
        wanted = not (self._is_closing or self._is_paused or self._is_lost)
        if wanted == self._is_registered:
            return
        self._is_registered = wanted
        if wanted:
            self._loop.add_reader(self._sock.fileno(), self._on_readable)
        else:
            self._loop.remove_reader(self._sock.fileno())

    def _lose(self, error: Exception | None) -> None:
        if self._is_lost:
            return
        self._is_lost = True
        self._watch()
        if self._unsent:
            self._unsent.clear()
            self._loop.remove_writer(self._sock.fileno())
        self._sock.close()
        self._loop.call_soon(self._protocol.connection_lost, error)
