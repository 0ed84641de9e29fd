"""Who may speak of a secured torrent: decided on the way from a socket to a wire that encrypts."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Protocol

from shoal.net.wire import Wire

FIRST_BYTE_OF_TLS = 0x16  # the record type of a handshake (RFC 8446 5.1); a plain one begins with 0x13


@dataclass(frozen=True, slots=True)
class Secured:
    sock: Wire
    info_hash: bytes  # of the torrent that was agreed to speak of, and of no other
    member: bytes  # the peer's lasting public key (Ed25519, 32 bytes)


class Security(Protocol):
    """Both raise `ShoalError` or `OSError` for whom it does not let in, and may be cancelled at any time.

    The socket is connected and does not block. It is closed by the caller where nothing comes of it.
    """

    async def secure_incoming(self, sock: socket.socket, /) -> Secured: ...

    async def secure_outgoing(self, sock: socket.socket, info_hash: bytes, /) -> Secured: ...
