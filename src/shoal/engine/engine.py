"""Many torrents running in one process: the listening sockets, the shared buffer and workers, and the clock.

async with Engine(port=None) as engine:
    torrent = await engine.add(metainfo, root)
    await torrent.completed.wait()
"""

from __future__ import annotations

import asyncio
import errno
import random
import secrets
import socket
import threading
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from shoal import __version__
from shoal.disk.workers import Workers
from shoal.engine.neighbour import Neighbour
from shoal.engine.opening import OnProgress, Opened, open_torrent
from shoal.engine.saving import Saving
from shoal.engine.torrent import Report, Torrent, report_nothing
from shoal.errors import ExistsError, ShoalError
from shoal.formats.metainfo import Metainfo
from shoal.net.limited_link import LimitedLink
from shoal.net.link import RECEIVE_BUFFER, LinkOwner, PeerLink
from shoal.net.listening import listen
from shoal.net.sockets import Address, peer_address
from shoal.net.throttle import Throttle
from shoal.protocol.peer.peer_id import make_peer_id
from shoal.protocol.tracker.udp_exchange import Connections
from shoal.swarm.known_peers import Source

TICK = 0.5  # seconds; silence, slots and dials are looked at so often
ACCEPTS_AT_ONCE = 32  # connections a wake-up, so that a flood of them leaves time for the others
MOST_STRANGERS = 100  # who dialled us and have not shaken hands; then the one that dawdles longest goes
_NO_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Engine:
    """`bind` is the address that listening and outgoing sockets use; None means all of them.

    The rates are bytes a second, of all torrents and peers together; None is no limit.
    """

    def __init__(
        self,
        *,
        bind: str | None = None,
        port: int | None = None,
        seed: int | None = None,
        max_upload_rate: int | None = None,
        max_download_rate: int | None = None,
    ) -> None:
        self.bind = bind
        self.max_upload_rate = max_upload_rate
        self.max_download_rate = max_download_rate
        self.peer_id = make_peer_id(secrets.token_bytes(12))
        self.client_name = f"Shoal {__version__}"
        self.rng = random.Random(seed)
        self.receive_buffer = memoryview(bytearray(RECEIVE_BUFFER))
        self.torrents: dict[bytes, Torrent] = {}
        self.tracker_connections = Connections()
        self.port = 0
        self._wanted_port = port
        self._listening: list[socket.socket] = []
        self._neighbours: set[Neighbour] = set()
        self._strangers: dict[Neighbour, None] = {}  # who dialled us and has not shaken hands, oldest first
        self._is_accepting = False
        self._ticking: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        self.loop = asyncio.get_running_loop()
        self._outgoing, self._incoming = map(self._throttle, (self.max_upload_rate, self.max_download_rate))
        self._listening = listen(self.bind, self._wanted_port)
        self.port = self._listening[0].getsockname()[1]
        self.workers = Workers(self.loop.call_soon_threadsafe, on_crash=self.crash)
        self._handler_before = self.loop.get_exception_handler()
        self.loop.set_exception_handler(self._on_loop_error)
        self._begin_accepting()
        self._ticking = self.loop.call_later(TICK, self._tick)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ticking is not None:
            self._ticking.cancel()
        self._pause_accepting()
        for sock in self._listening:
            sock.close()
        try:
            # Each torrent ends whatever becomes of the others; the first trouble is told afterwards.
            endings = (torrent.stop() for torrent in self.torrents.values())
            ended = await asyncio.gather(*endings, return_exceptions=True)
        finally:
            for neighbour in list(self._neighbours):
                neighbour.close("we are leaving", is_fault=False)
            await asyncio.to_thread(self.workers.close)
            self.loop.set_exception_handler(self._handler_before)
        for trouble in ended:
            if trouble is not None and error is None:
                raise trouble

    def now(self) -> float:
        return self.loop.time()

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
        if metainfo.wire_hash in self.torrents:
            raise ExistsError(f"{metainfo.name}: this torrent is running already")
        opened = await _Errand(
            lambda is_given_up: open_torrent(
                metainfo,
                root,
                wanted_files=wanted_files,
                overwrite=overwrite,
                read_only=read_only,
                have=have,
                on_progress=on_progress,
                should_stop=lambda: is_given_up() or (should_stop is not None and should_stop()),
            )
        ).run()
        torrent = Torrent(self, metainfo, opened, Saving(self, opened), report=report)
        self.torrents[torrent.info_hash] = torrent
        torrent.dialling.learn(peers, Source.HAND)
        tiers = metainfo.trackers if trackers is None else trackers
        torrent.dialling.begin_announcing(tiers, by_torrent=trackers is None)
        return torrent

    def torrent_of(self, info_hash: bytes) -> Torrent | None:
        return self.torrents.get(info_hash)

    def _throttle(self, rate: int | None) -> Throttle | None:
        return None if rate is None else Throttle(rate, self.loop.time, self.loop.call_later)

    def make_link(self, sock: socket.socket, owner: LinkOwner) -> PeerLink:
        """The link of one connection, within the limits that all of them share."""
        if self._incoming is None and self._outgoing is None:
            return PeerLink(sock, self.receive_buffer, owner)
        return LimitedLink(sock, self.receive_buffer, owner, incoming=self._incoming, outgoing=self._outgoing)

    # Connections that have no torrent yet

    def _begin_accepting(self) -> None:
        self._is_accepting = True
        for sock in self._listening:
            self.loop.add_reader(sock.fileno(), self._accept, sock)

    def _pause_accepting(self) -> None:
        self._is_accepting = False
        for sock in self._listening:
            self.loop.remove_reader(sock.fileno())

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(ACCEPTS_AT_ONCE):
            try:
                sock, _ = listening.accept()
            except OSError as error:
                if error.errno in _NO_DESCRIPTORS:
                    self._pause_accepting()  # until the next tick, or the loop would spin
                return
            try:
                neighbour = Neighbour(self, sock, peer_address(sock), torrent=None)
            except OSError:  # gone already
                sock.close()
                continue
            self.remember(neighbour)
            self._strangers[neighbour] = None
            if len(self._strangers) > MOST_STRANGERS:
                next(iter(self._strangers)).close("too slow to shake hands in a crowd", is_fault=False)
            neighbour.start()

    def remember(self, neighbour: Neighbour) -> None:
        self._neighbours.add(neighbour)

    def forget(self, neighbour: Neighbour) -> None:
        self._neighbours.discard(neighbour)
        self._strangers.pop(neighbour, None)

    def on_introduced(self, neighbour: Neighbour) -> None:
        """Its handshake is complete: it belongs to a torrent now."""
        self._strangers.pop(neighbour, None)

    def _tick(self) -> None:
        self._ticking = self.loop.call_later(TICK, self._tick)
        if not self._is_accepting:
            self._begin_accepting()
        now = self.now()
        for torrent in list(self.torrents.values()):
            torrent.tick(now)
        for neighbour in list(self._neighbours):
            if neighbour.peer is None:
                neighbour.on_time(now)

    # What nobody expected

    def crash(self, error: BaseException) -> None:
        """A bug in a worker or a callback: whoever waits for a torrent gets it, rather than wait for ever."""
        for torrent in self.torrents.values():
            torrent.crash(error)

    def _on_loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A callback raised: an error of ours ends the torrents with its own words, anything else is a bug."""
        error = context.get("exception")
        if isinstance(error, ShoalError):
            for torrent in self.torrents.values():
                torrent.fail(error)
        elif isinstance(error, BaseException):
            self.crash(error)
        else:
            loop.default_exception_handler(context)


class _Errand:
    """Opening a torrent in a thread. Given up meanwhile, it lets go of what it opens."""

    def __init__(self, open_: Callable[[Callable[[], bool]], Opened]) -> None:
        self._open = open_
        self._lock = threading.Lock()
        self._opened: Opened | None = None
        self.is_given_up = False

    async def run(self) -> Opened:
        try:
            return await asyncio.to_thread(self._work)
        except asyncio.CancelledError:
            with self._lock:
                self.is_given_up = True
                if self._opened is not None:
                    self._opened.close()
            raise

    def _work(self) -> Opened:
        opened = self._open(lambda: self.is_given_up)
        with self._lock:
            self._opened = opened
            if self.is_given_up:
                opened.close()
        return opened
