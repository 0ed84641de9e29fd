"""Many torrents running in one process: the listening sockets, the shared buffer and workers, and the clock.

async with Engine(port=None) as engine:
    torrent = await engine.add(metainfo, root)
    await torrent.completed.wait()
"""

from __future__ import annotations

import asyncio
import random
import secrets
import socket
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from shoal import __version__
from shoal.disk.workers import Workers
from shoal.engine.neighbour import Neighbour
from shoal.engine.opening import OnProgress, open_torrent
from shoal.engine.saving import Saving
from shoal.engine.torrent import Report, Torrent, report_nothing
from shoal.formats.metainfo import Metainfo
from shoal.net.link import RECEIVE_BUFFER
from shoal.net.listening import listen
from shoal.net.sockets import Address, peer_address
from shoal.protocol.peer.peer_id import make_peer_id
from shoal.swarm.known_peers import Source

TICK = 0.5  # seconds; silence, slots and dials are looked at so often
ACCEPTS_AT_ONCE = 32  # connections a wake-up, so that a flood of them leaves time for the others
MOST_STRANGERS = 100  # connections whose handshake is still to come


class Engine:
    """`bind` is the address that listening and outgoing sockets use; None means all of them."""

    def __init__(self, *, bind: str | None = None, port: int | None = None, seed: int | None = None) -> None:
        self.bind = bind
        self.peer_id = make_peer_id(secrets.token_bytes(12))
        self.client_name = f"Shoal {__version__}"
        self.rng = random.Random(seed)
        self.receive_buffer = memoryview(bytearray(RECEIVE_BUFFER))
        self.torrents: dict[bytes, Torrent] = {}
        self.port = 0
        self._wanted_port = port
        self._listening: list[socket.socket] = []
        self._neighbours: set[Neighbour] = set()
        self._ticking: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        self.loop = asyncio.get_running_loop()
        self._listening = listen(self.bind, self._wanted_port)
        self.port = self._listening[0].getsockname()[1]
        self.workers = Workers(self.loop.call_soon_threadsafe, on_crash=self._on_crash)
        for sock in self._listening:
            self.loop.add_reader(sock.fileno(), self._accept, sock)
        self._ticking = self.loop.call_later(TICK, self._tick)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ticking is not None:
            self._ticking.cancel()
        for sock in self._listening:
            self.loop.remove_reader(sock.fileno())
            sock.close()
        await asyncio.gather(*(torrent.stop() for torrent in self.torrents.values()))
        for neighbour in list(self._neighbours):
            neighbour.close("we are leaving", is_fault=False)
        await asyncio.to_thread(self.workers.close)

    def now(self) -> float:
        return self.loop.time()

    @property
    def listen_addresses(self) -> list[Address]:
        return [sock.getsockname()[:2] for sock in self._listening]

    async def add(
        self,
        metainfo: Metainfo,
        root: Path,
        *,
        wanted_files: Collection[int] | None = None,
        overwrite: bool = False,
        read_only: bool = False,
        have: int | None = None,
        peers: Iterable[Address] = (),
        trackers: tuple[tuple[str, ...], ...] | None = None,
        on_progress: OnProgress | None = None,
        should_stop: Callable[[], bool] | None = None,
        report: Report = report_nothing,
    ) -> Torrent:
        """Check what is there, then take part.

        `have` says what is there when that is known already; `trackers` replaces those of the metainfo;
        `read_only` serves and fetches nothing. Raises `ShoalError`.
        """
        opened = await asyncio.to_thread(
            open_torrent,
            metainfo,
            root,
            wanted_files=wanted_files,
            overwrite=overwrite,
            read_only=read_only,
            have=have,
            on_progress=on_progress,
            should_stop=should_stop,
        )
        saving = Saving(self, opened.storage, opened.state, opened.remembered)
        torrent = Torrent(
            self, metainfo, opened.storage, saving, have=opened.have, wanted=opened.wanted, report=report
        )
        torrent.too_long = opened.too_long
        self.torrents[torrent.info_hash] = torrent
        torrent.dialling.learn(peers, Source.HAND)
        torrent.dialling.begin_announcing(metainfo.trackers if trackers is None else trackers)
        return torrent

    def torrent_of(self, info_hash: bytes) -> Torrent | None:
        return self.torrents.get(info_hash)

    # Connections that have no torrent yet

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(ACCEPTS_AT_ONCE):
            try:
                sock, _ = listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                return  # no descriptors left, or the stranger is gone already
            try:
                address = peer_address(sock)
            except OSError:
                sock.close()
                continue
            if sum(neighbour.peer is None for neighbour in self._neighbours) >= MOST_STRANGERS:
                sock.close()
                continue
            neighbour = Neighbour(self, sock, address, torrent=None)
            self.remember(neighbour)
            neighbour.start()

    def remember(self, neighbour: Neighbour) -> None:
        self._neighbours.add(neighbour)

    def forget(self, neighbour: Neighbour) -> None:
        self._neighbours.discard(neighbour)

    def _tick(self) -> None:
        self._ticking = self.loop.call_later(TICK, self._tick)
        now = self.now()
        for torrent in list(self.torrents.values()):
            torrent.tick(now)
        for neighbour in list(self._neighbours):
            if neighbour.peer is None:
                neighbour.on_time(now)

    def _on_crash(self, error: BaseException) -> None:
        """A bug in a worker: end the program rather than wait for ever."""
        for torrent in self.torrents.values():
            torrent.crash(error)
