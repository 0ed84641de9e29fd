"""Two ends of a connection with TLS in it, and owners of links on them."""

from __future__ import annotations

import asyncio
import hashlib
import random
import socket
from collections.abc import Awaitable, Callable

from shoal.fetch.group.certificates import authority_certificate, member_certificate, tls_context
from shoal.fetch.group.signing import new_member_key
from shoal.net.link import RECEIVE_BUFFER, PeerLink
from shoal.net.tls import TlsSocket, secure, secure_incoming
from shoal.net.wire import Buffer
from shoal.units import KIB

PATIENCE = 60.0  # seconds; for a busy machine
NAME = "ab" * 20 + ".shoal"
AUTHORITY, MEMBER = new_member_key(), new_member_key()
DIALLING, ANSWERING = (
    tls_context(
        authority_certificate(AUTHORITY.seed),
        member_certificate(AUTHORITY.seed, MEMBER),
        MEMBER.private,
        is_server=is_server,
    )
    for is_server in (False, True)
)


def sockets(*, least_buffers: bool = False) -> tuple[socket.socket, socket.socket]:
    """Two ends of a TCP connection. With `least_buffers` the system takes some 4 KiB at a time."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
    for sock in (ours, theirs):
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as a link does
        if least_buffers:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    return ours, theirs


async def pair(ours: socket.socket, theirs: socket.socket) -> tuple[TlsSocket, TlsSocket]:
    async with asyncio.TaskGroup() as tasks:
        dialled = tasks.create_task(secure(ours, DIALLING, name=NAME, within=PATIENCE))
        answered = tasks.create_task(secure_incoming(theirs, lambda name: ANSWERING, within=PATIENCE))
    return dialled.result(), answered.result()


def play(story: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(PATIENCE):
            await story()

    asyncio.run(run())


class Owner:
    """Sends these buffers, and expects bytes of that digest."""

    def __init__(self, sock: TlsSocket, buffers: list[Buffer], expected: int) -> None:
        self.link = PeerLink(sock, memoryview(bytearray(RECEIVE_BUFFER)), self)  # type: ignore[arg-type]
        self.buffers = iter(buffers)
        self.digest = hashlib.sha256()
        self.got = 0
        self.expected = expected
        self.wake_ups = 0
        self.lost = ""
        self.is_done = asyncio.Event()
        self._note()

    def _note(self) -> None:
        if self.got >= self.expected or self.lost:
            self.is_done.set()

    def start(self) -> None:
        self.link.start()
        self.link.flush()

    def on_data(self, view: memoryview) -> None:
        self.wake_ups += 1
        self.got += len(view)
        self.digest.update(view)
        self._note()

    def on_room(self, room: int) -> None:
        while self.link.pending < room and (data := next(self.buffers, None)) is not None:
            self.link.queue(data)

    def on_lost(self, reason: str) -> None:
        self.lost = reason
        self._note()


def digest_of(buffers: list[Buffer]) -> bytes:
    return hashlib.sha256(b"".join(buffers)).digest()


def blocks(rng: random.Random, total: int) -> list[Buffer]:
    """Heads and blocks, as a seed answers."""
    block = rng.randbytes(16 * KIB)
    return [part for _ in range(total // len(block)) for part in (rng.randbytes(13), memoryview(block))]


def small_messages(rng: random.Random, total: int) -> list[Buffer]:
    return [rng.randbytes(rng.randrange(1, 40)) for _ in range(total // 20)]
