"""The handshake of TLS, with everybody who does not do his part."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from shoal.errors import NetworkError, PeerError
from shoal.fetch.group.certificates import member_certificate
from shoal.net.tls import TlsSocket, secure, secure_incoming

from .tls_scene import ANSWERING, AUTHORITY, DIALLING, MEMBER, NAME, PATIENCE, pair, play, sockets


@pytest.mark.parametrize(
    "said", [b"\x13BitTorrent protocol" + bytes(48), b"GET / HTTP/1.1\r\n\r\n", bytes(100)]
)
def test_who_does_not_speak_tls_is_turned_away(said: bytes) -> None:
    async def story() -> None:
        ours, theirs = sockets()
        ours.send(said)
        with pytest.raises(PeerError, match=r"not a TLS record|not a ClientHello"):
            await secure_incoming(theirs, lambda name: ANSWERING, within=PATIENCE)
        assert theirs.fileno() == -1
        ours.close()

    play(story)


@pytest.mark.parametrize("is_server", [False, True])
def test_a_peer_that_leaves_or_says_nothing_during_the_handshake_is_a_fault_of_the_network(
    is_server: bool,
) -> None:
    def begin(sock: socket.socket, within: float) -> Awaitable[TlsSocket]:
        if is_server:
            return secure_incoming(sock, lambda name: ANSWERING, within=within)
        return secure(sock, DIALLING, name=NAME, within=within)

    async def story() -> None:
        ours, theirs = sockets()
        with pytest.raises(NetworkError, match="no TLS within"):
            await begin(ours, 0.05)
        assert ours.fileno() == -1
        theirs.close()
        ours, theirs = sockets()
        theirs.close()
        with pytest.raises(NetworkError):
            await begin(ours, PATIENCE)
        assert ours.fileno() == -1

    play(story)


def test_a_handshake_that_is_cancelled_closes_its_socket() -> None:
    async def story() -> None:
        ours, theirs = sockets()
        task = asyncio.create_task(secure(ours, DIALLING, name=NAME, within=PATIENCE))
        await asyncio.get_running_loop().sock_recv(theirs, 1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        assert ours.fileno() == -1
        theirs.close()

    play(story)


def test_the_certificate_of_the_peer_is_known() -> None:
    async def story() -> None:
        ours, theirs = await pair(*sockets())
        shown = member_certificate(AUTHORITY.seed, MEMBER)
        assert ours.peer_certificate == theirs.peer_certificate
        assert ssl.DER_cert_to_PEM_cert(ours.peer_certificate).encode() == shown.public_bytes(Encoding.PEM)
        assert theirs.server_name == ours.server_name == NAME
        assert ours.getpeername() == theirs.getsockname()
        ours.close()
        theirs.close()

    play(story)
