"""Contents without a metainfo: bytes in memory, digests that become known when somebody tells them, and who tells."""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from shoal.engine.engine import Engine
from shoal.engine.neighbour import Neighbour
from shoal.engine.torrent import Torrent
from shoal.errors import FormatError
from shoal.formats.bitfield import all_bits, iter_bits
from shoal.formats.layout import Layout
from shoal.net.sockets import Address
from shoal.swarm.known_peers import Source
from shoal.swarm.tactics import Tactics
from shoal.units import KIB

from .scene import HOST, Record

INFO_HASH = bytes(range(20))
PIECE_LENGTH = 64 * KIB
DATA = random.Random(5).randbytes(20 * PIECE_LENGTH - 5_000)
LAYOUT = Layout(PIECE_LENGTH, [len(DATA)])
ALL = all_bits(LAYOUT.piece_count)


def piece_data(piece: int) -> bytes:
    start = LAYOUT.piece_offset(piece)
    return DATA[start : start + LAYOUT.piece_size(piece)]


class Told:
    """A content of which nothing is good before its digest was told."""

    def __init__(self, info_hash: bytes = INFO_HASH) -> None:
        self.name = "a pool"
        self.info_hash = info_hash
        self.layout = LAYOUT
        self.digests: dict[int, bytes] = {}

    def is_good(self, piece: int, data: memoryview) -> bool:
        return self.digests.get(piece) == hashlib.sha256(data).digest()


class Memory:
    """A store. It refuses to be used after it was closed."""

    def __init__(self, data: bytes = bytes(len(DATA))) -> None:
        self.data = bytearray(data)
        self.is_closed = False
        self._lock = threading.Lock()

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        with self._lock:
            assert not self.is_closed
            self.data[offset : offset + len(data)] = data

    def read_into(self, offset: int, view: memoryview) -> None:
        with self._lock:
            assert not self.is_closed
            view[:] = self.data[offset : offset + len(view)]

    def read_cached_into(self, offset: int, view: memoryview) -> bool:
        return False

    def close(self) -> None:
        self.is_closed = True


class Telling:
    """An extension: piece (4 bytes) and SHA-256, for each piece before it is announced."""

    def __init__(self, name: str = "test_tell", *, says: bool = True) -> None:
        self.name = name
        self.says = says
        self.torrent: Torrent | None = None
        self.content = Told()
        self.here: dict[int, bytes] = {}  # what we tell
        self.events: list[tuple[Any, ...]] = []
        self.neighbours: list[Neighbour] = []
        self.ticks = 0

    def on_joining(self, neighbour: Neighbour) -> None:
        self.neighbours.append(neighbour)
        self.events.append(("joining", neighbour.peer.has if neighbour.peer else None))
        if self.says:
            told = b"".join(piece.to_bytes(4, "big") + digest for piece, digest in self.here.items())
            neighbour.say(self.name, told)

    def on_message(self, neighbour: Neighbour, payload: bytes) -> None:
        if len(payload) % 36:
            raise FormatError(f"a message of {len(payload)} bytes")
        pieces = set()
        for start in range(0, len(payload), 36):
            piece = int.from_bytes(payload[start : start + 4], "big")
            self.content.digests[piece] = payload[start + 4 : start + 36]
            pieces.add(piece)
        self.events.append(("message", pieces))
        assert self.torrent is not None
        self.torrent.resume(sum(1 << piece for piece in pieces))

    def on_has(self, neighbour: Neighbour, bits: int) -> None:
        self.events.append(("has", set(iter_bits(bits))))
        assert neighbour.peer is not None
        assert neighbour.peer.has & bits == bits

    def before_have(self, piece: int) -> None:
        assert self.torrent is not None
        self.events.append(("ours", piece))
        digest = hashlib.sha256(piece_data(piece)).digest()
        self.here[piece] = self.content.digests[piece] = digest
        for neighbour in self.neighbours:
            neighbour.say(self.name, piece.to_bytes(4, "big") + digest)

    def on_parted(self, neighbour: Neighbour, reason: str) -> None:
        self.neighbours.remove(neighbour)
        self.events.append(("parted", reason))

    def tick(self, now: float) -> None:
        self.ticks += 1

    def of(self, kind: str) -> list[Any]:
        return [event[1] for event in self.events if event[0] == kind]


@dataclass(slots=True)
class Member:
    """One torrent of the pool, and all that belongs to it."""

    torrent: Torrent
    store: Memory
    telling: Telling
    record: Record = field(default_factory=Record)

    @property
    def address(self) -> Address:
        return HOST, self.torrent.engine.port

    @property
    def have(self) -> int:
        return self.torrent.swarm.pieces.have

    def bring(self, pieces: Sequence[int]) -> None:
        """They come from the origin."""
        for piece in pieces:
            self.store.write(LAYOUT.piece_offset(piece), piece_data(piece))
            self.torrent.on_piece_elsewhere(piece)


async def take_part(engine: Engine, *peers: Address, have: int = 0, **how: Any) -> Member:
    """Run the pool; what is not known by its digest is asked of nobody."""
    telling = how.pop("telling", None) or Telling()
    store, record = Memory(), Record()
    for piece in iter_bits(have):
        store.write(LAYOUT.piece_offset(piece), piece_data(piece))
        telling.here[piece] = telling.content.digests[piece] = hashlib.sha256(piece_data(piece)).digest()
    torrent = await engine.run(
        telling.content,
        store,
        have=have,
        extensions=[telling],
        tactics=how.pop("tactics", Tactics.pool()),
        report=record,
        **how,
    )
    telling.torrent = torrent
    torrent.suspend(ALL & ~have)
    torrent.dialling.learn(peers, Source.HAND)
    return Member(torrent, store, telling, record)


class Stage:
    """Engines that end with the story."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack

    async def engine(self, **how: object) -> Engine:
        return await self._stack.enter_async_context(Engine(bind=HOST, port=0, **how))  # type: ignore[arg-type]

    async def member(self, *peers: Address, **how: object) -> Member:
        return await take_part(await self.engine(), *peers, **how)  # type: ignore[arg-type]
