"""Who dials us: accepted, told apart by the first byte, and strangers until their handshake names a torrent.

With a security, TLS and plain handshakes share the port. The first byte is looked at and never taken, so that whoever
reads next finds all of it. Always true: a stranger has `HANDSHAKE_TIMEOUT` from its connection to the end of the last
handshake, whichever of them it dawdles at, and there are at most `MOST_STRANGERS`.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import TYPE_CHECKING, Protocol

from shoal.engine.neighbour import HANDSHAKE_TIMEOUT, Neighbour
from shoal.engine.security import FIRST_BYTE_OF_TLS, Secured, Security
from shoal.errors import ShoalError
from shoal.net.sockets import Address, peer_address

if TYPE_CHECKING:
    from shoal.engine.engine import Engine

ACCEPTS_AT_ONCE = 32  # connections a wake-up, so that a flood of them leaves time for the others
MOST_STRANGERS = 100  # who dialled us and have not shaken hands; then the one that dawdles longest goes
_NO_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Stranger(Protocol):
    """Who dialled us and belongs to no torrent yet."""

    opened_at: float

    def close(self, reason: str, *, is_fault: bool) -> None: ...


class Door:
    def __init__(self, engine: Engine, listening: list[socket.socket], security: Security | None) -> None:
        self._engine = engine
        self._loop = engine.loop
        self._listening = listening
        self._security = security
        self.strangers: dict[Stranger, None] = {}  # in the order in which they came
        self._callers: set[Caller] = set()
        self._is_accepting = False
        self.begin()

    def begin(self) -> None:
        self._is_accepting = True
        for sock in self._listening:
            self._loop.add_reader(sock.fileno(), self._accept, sock)

    def pause(self) -> None:
        self._is_accepting = False
        for sock in self._listening:
            self._loop.remove_reader(sock.fileno())

    def tick(self, now: float) -> None:
        if not self._is_accepting:
            self.begin()
        for caller in list(self._callers):
            if now - caller.opened_at > HANDSHAKE_TIMEOUT:
                caller.close("no handshake", is_fault=False)

    async def close(self) -> None:
        self.pause()
        for sock in self._listening:
            sock.close()
        handshakes = [caller.handshake for caller in self._callers if caller.handshake is not None]
        for caller in list(self._callers):
            caller.close("we are leaving", is_fault=False)
        await asyncio.gather(*handshakes, return_exceptions=True)

    def forget(self, stranger: Stranger) -> None:
        """It has gone, or its handshake is complete: it belongs to a torrent now."""
        self.strangers.pop(stranger, None)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(ACCEPTS_AT_ONCE):
            try:
                sock, _ = listening.accept()
            except OSError as error:
                if error.errno in _NO_DESCRIPTORS:
                    self.pause()  # until the next tick, or the loop would spin
                return
            try:
                sock.setblocking(False)
                address = peer_address(sock)
            except OSError:  # gone already
                sock.close()
                continue
            if self._security is None:
                self.let_in(sock, address, self._engine.now())
            else:
                self._let_show(Caller(self, sock, address, self._security))

    def let_in(
        self, sock: socket.socket, address: Address, opened_at: float, secured: Secured | None = None
    ) -> None:
        """On to the handshake of BEP 3."""
        wire = sock if secured is None else secured.sock
        try:
            neighbour = Neighbour(self._engine, wire, address, torrent=None, secured=secured)
        except OSError:  # gone already
            wire.close()
            return
        neighbour.opened_at = opened_at
        self._engine.remember(neighbour)
        self._add(neighbour)
        neighbour.start()

    def _let_show(self, caller: Caller) -> None:
        self._callers.add(caller)
        self._add(caller)
        caller.start()

    def _add(self, stranger: Stranger) -> None:
        self.strangers[stranger] = None
        if len(self.strangers) > MOST_STRANGERS:
            slowest = min(self.strangers, key=lambda stranger: stranger.opened_at)
            slowest.close("too slow to shake hands in a crowd", is_fault=False)

    def dismiss(self, caller: Caller) -> None:
        self._callers.discard(caller)
        self.strangers.pop(caller, None)

    def crash(self, error: BaseException) -> None:
        self._engine.crash(error)


class Caller:
    """One connection of which the first byte, or the end of its TLS handshake, is still to come."""

    def __init__(self, door: Door, sock: socket.socket, address: Address, security: Security) -> None:
        self._door = door
        self._sock = sock
        self._address = address
        self._security = security
        self._loop = asyncio.get_running_loop()
        self._is_closed = False
        self.opened_at = self._loop.time()
        self.handshake: asyncio.Task[Secured] | None = None

    def start(self) -> None:
        self._loop.add_reader(self._sock.fileno(), self._peek)

    def close(self, reason: str, *, is_fault: bool) -> None:
        """Nobody is told why: it belongs to nothing yet."""
        if self._is_closed:
            return
        self._is_closed = True
        self._door.dismiss(self)
        if self.handshake is not None:
            self.handshake.cancel()  # the socket is its own until it has ended
        else:
            self._loop.remove_reader(self._sock.fileno())
            self._sock.close()

    def _peek(self) -> None:
        try:
            first = self._sock.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            first = b""
        if not first:
            self.close("it has gone", is_fault=False)
            return
        self._loop.remove_reader(self._sock.fileno())
        if first[0] == FIRST_BYTE_OF_TLS:
            self.handshake = self._loop.create_task(self._shake_hands())
            self.handshake.add_done_callback(self._on_shaken)
        else:
            self._door.dismiss(self)
            self._door.let_in(self._sock, self._address, self.opened_at)

    async def _shake_hands(self) -> Secured:
        return await self._security.secure_incoming(self._sock)

    def _on_shaken(self, task: asyncio.Task[Secured]) -> None:
        self._door.dismiss(self)
        error = None if task.cancelled() else task.exception()
        if task.cancelled() or error is not None:
            self._sock.close()
            if error is not None and not isinstance(error, ShoalError | OSError):
                self._door.crash(error)
        elif self._is_closed:
            task.result().sock.close()
        else:
            self._door.let_in(self._sock, self._address, self.opened_at, task.result())
