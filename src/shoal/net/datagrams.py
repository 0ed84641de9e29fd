"""A UDP socket that takes and gives datagrams many at a time.

A busy server spends most of its time in the system's calls, so on Linux one call moves up to `BATCH` datagrams
(`recvmmsg`, `sendmmsg`, which Python's own `socket` does not know; docs/decisions/0006-datagrams.md). Elsewhere
each has a call of its own. Nothing here waits.

A sender is told as its packed address, and is answered by the `reply_to` of the datagram that came from it.
"""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from shoal.net.addresses import pack_host

BATCH = 64  # datagrams a call: the price of the call is shared by then, and nobody waits long for his turn
MAX_DATAGRAM = 1536  # bytes; a longer one is cut, and so is no message of ours
BUFFER_BYTES = 4 << 20  # for what comes while we are busy: 20 ms of 100,000 a second


class Datagram(Struct, gc=False):
    """One that came: what is in it, who sent it (packed, 4 or 16 bytes), and where an answer goes (opaque)."""

    payload: bytes
    host: bytes
    reply_to: Any


class DatagramSocket:
    """One bound socket, IPv4 or IPv6. `receive` and `send` never wait."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        enlarge_buffers(sock)
        self._sock = sock
        self.is_v6 = sock.family == socket.AF_INET6

    def fileno(self) -> int:
        return self._sock.fileno()

    @property
    def port(self) -> int:
        return int(self._sock.getsockname()[1])

    def receive(self) -> list[Datagram]:
        """What has come, at most `BATCH`; fewer, when no more is there."""
        received: list[Datagram] = []
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while len(received) < BATCH:
                payload, sender = self._sock.recvfrom(MAX_DATAGRAM)
                received.append(Datagram(payload, pack_host(sender[0]), sender))
        return received

    def send(self, replies: Sequence[tuple[bytes, Any]]) -> None:
        """Send each payload to its `reply_to`; what the system has no room for is lost, as datagrams may be."""
        for payload, receiver in replies:
            with contextlib.suppress(OSError):
                self._sock.sendto(payload, receiver)

    def close(self) -> None:
        self._sock.close()


def enlarge_buffers(sock: socket.socket) -> None:
    """As large as the system lets us."""
    for name in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, name, BUFFER_BYTES)


def open_datagram_socket(sock: socket.socket) -> DatagramSocket:
    """The quickest way to use a bound socket on this system."""
    if sys.platform == "linux" and sys.maxsize > 2**32:  # the structures are those of 64-bit systems
        from shoal.net.many_datagrams import ManyDatagrams

        many = ManyDatagrams(sock)
        if many.is_allowed():
            return many
    return DatagramSocket(sock)
