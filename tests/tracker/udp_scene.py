"""A UDP door on loopback, and somebody who talks to it datagram by datagram."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field

from shoal.net.datagrams import DatagramSocket, open_datagram_socket
from shoal.protocol.tracker.messages import AnnounceRequest
from shoal.protocol.tracker.udp import (
    ANSWER_HEAD,
    Answer,
    Connected,
    encode_announce,
    encode_connect,
    encode_scrape,
    parse_answer,
)
from shoal.testing.clock import VirtualClock
from shoal.tracker.connection_ids import ConnectionIds
from shoal.tracker.decision import Policy
from shoal.tracker.door_udp import UdpDoor
from shoal.tracker.memory_store import MemoryStore
from shoal.tracker.store import PeerStore
from shoal.tracker.tracker import Tracker

HASH = bytes(range(20))
PATIENCE = 60.0  # seconds; for a busy machine, loopback takes microseconds
OPEN: dict[str, Callable[[socket.socket], DatagramSocket]] = {
    "one by one": DatagramSocket,
    "many at a time": open_datagram_socket,
}


def announcing(port: int, **fields: object) -> AnnounceRequest:
    return AnnounceRequest(HASH, b"-XX0000-abcdefgh%04d" % (port % 10_000), port, left=1, **fields)  # type: ignore[arg-type]


def bound(host: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind((host, 0))
    return sock


@dataclass(slots=True)
class Talker:
    """One client's socket. Answers come back in the order of the questions, so silence shows without waiting."""

    sock: socket.socket
    is_v6: bool
    transaction_id: int = 0

    def send(self, datagram: bytes) -> None:
        self.sock.send(datagram)

    async def receive(self) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return await asyncio.get_running_loop().sock_recv(self.sock, 65535)

    def new_transaction(self) -> bytes:
        self.transaction_id += 1
        return self.transaction_id.to_bytes(4, "big")

    async def answer(self) -> Answer:
        """The answer to the last question."""
        datagram = await self.receive()
        assert datagram[4:ANSWER_HEAD] == self.transaction_id.to_bytes(4, "big")
        return parse_answer(datagram, is_v6=self.is_v6)

    async def connect(self) -> bytes:
        self.send(encode_connect(self.new_transaction()))
        answer = await self.answer()
        assert isinstance(answer, Connected)
        return answer.connection_id

    async def announce(self, connection_id: bytes, request: AnnounceRequest, url_data: bytes = b"") -> Answer:
        self.send(encode_announce(connection_id, self.new_transaction(), request, url_data))
        return await self.answer()

    async def scrape(self, connection_id: bytes, *info_hashes: bytes) -> Answer:
        self.send(encode_scrape(connection_id, self.new_transaction(), info_hashes))
        return await self.answer()


@dataclass(slots=True)
class Scene:
    """A tracker on virtual time behind one UDP door."""

    host: str = "127.0.0.1"
    kind: str = "many at a time"
    policy: Policy = field(default_factory=Policy)
    store: PeerStore | None = None
    clock: VirtualClock = field(default_factory=VirtualClock)
    tracker: Tracker = field(init=False)
    door: UdpDoor = field(init=False)
    port: int = field(init=False)

    def __post_init__(self) -> None:
        rng = random.Random(1)
        store = self.store or MemoryStore(self.policy.peer_lifetime, rng)
        self.tracker = Tracker(self.policy, store=store, clock=self.clock, rng=rng)

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Scene]:
        sock = OPEN[self.kind](bound(self.host))
        self.port = sock.port
        self.door = UdpDoor(self.tracker, sock, ConnectionIds(b"s" * 32), self.clock)
        try:
            yield self
        finally:
            self.door.close()

    @contextlib.contextmanager
    def talker(self) -> Iterator[Talker]:
        with bound(self.host) as sock:
            sock.connect((self.host, self.port))
            yield Talker(sock, ":" in self.host)
