"""Many torrents running in one process: the listening sockets, the shared buffer and workers, and the clock.

async with Engine(port=None) as engine:
    torrent = await engine.add(metainfo, root)
    await torrent.completed.wait()
"""

from __future__ import annotations

import asyncio
import random
import secrets
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from shoal import __version__
from shoal.disk.workers import Workers
from shoal.engine import loop_errors
from shoal.engine.content import Content, PieceStore, TorrentContent
from shoal.engine.door import Door
from shoal.engine.extension import Extension
from shoal.engine.incoming import LARGEST_BUFFERED
from shoal.engine.neighbour import Neighbour
from shoal.engine.opening import OnProgress, Opened, open_torrent
from shoal.engine.saving import NoSaving, Saving
from shoal.engine.security import Security
from shoal.engine.torrent import Report, Torrent, report_nothing
from shoal.errors import ExistsError, ShoalError
from shoal.formats.metainfo import Metainfo
from shoal.net.limited_link import LimitedLink
from shoal.net.link import RECEIVE_BUFFER, LinkOwner, PeerLink
from shoal.net.listening import listen
from shoal.net.shared_limit import SharedLimit
from shoal.net.sockets import Address
from shoal.net.throttle import Throttle
from shoal.net.wire import Wire
from shoal.protocol.peer.peer_id import make_peer_id
from shoal.protocol.tracker.udp_exchange import Connections
from shoal.swarm.known_peers import Source
from shoal.swarm.tactics import Tactics

TICK = 0.5  # seconds; silence, slots and dials are looked at so often


class Engine:
    """`bind` is the address that listening and outgoing sockets use; None means all of them.

    The rates are bytes a second, of all torrents and peers together; None is no limit. `security` is for torrents
    that are secured; the others share the port with them.
    """

    def __init__(
        self,
        *,
        bind: str | None = None,
        port: int | None = None,
        seed: int | None = None,
        max_upload_rate: int | None = None,
        max_download_rate: int | None = None,
        security: Security | None = None,
    ) -> None:
        self.bind = bind
        self.max_upload_rate = max_upload_rate
        self.max_download_rate = max_download_rate
        self.security = security
        self.peer_id = make_peer_id(secrets.token_bytes(12))
        self.client_name = f"Shoal {__version__}"
        self.rng = random.Random(seed)
        self.receive_buffer = memoryview(bytearray(RECEIVE_BUFFER))
        self.torrents: dict[bytes, Torrent] = {}
        self.tracker_connections = Connections()
        self.port = 0
        self._wanted_port = port
        self._neighbours: set[Neighbour] = set()
        self._ticking: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        self.loop = asyncio.get_running_loop()
        self._outgoing, self._incoming = map(self._throttle, (self.max_upload_rate, self.max_download_rate))
        listening = listen(self.bind, self._wanted_port)
        self.port = listening[0].getsockname()[1]
        self.workers = Workers(self.loop.call_soon_threadsafe, on_crash=self.crash)
        loop_errors.listen(self.loop, self._on_loop_error)
        self._door = Door(self, listening, self.security)
        self._ticking = self.loop.call_later(TICK, self._tick)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ticking is not None:
            self._ticking.cancel()
        try:
            await self._door.close()
            # Each torrent ends whatever becomes of the others; the first trouble is told afterwards.
            endings = (torrent.stop() for torrent in self.torrents.values())
            ended = await asyncio.gather(*endings, return_exceptions=True)
        finally:
            for neighbour in list(self._neighbours):
                neighbour.close("we are leaving", is_fault=False)
            await asyncio.to_thread(self.workers.close)
            loop_errors.unlisten(self.loop, self._on_loop_error)
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
        torrent = Torrent(
            self,
            TorrentContent(metainfo),
            opened.storage,
            Saving(self, opened),
            have=opened.have,
            wanted=opened.wanted,
            payload_size=metainfo.payload_size,
            too_long=opened.too_long,
            report=report,
        )
        tiers = metainfo.trackers if trackers is None else trackers
        return self._begin(torrent, peers, tiers, by_torrent=trackers is None)

    async def run(
        self,
        content: Content,
        store: PieceStore,
        *,
        have: int = 0,
        wanted: int | None = None,
        extensions: Sequence[Extension] = (),
        is_secured: bool = False,
        tactics: Tactics = Tactics(),  # noqa: B008  frozen
        trackers: Sequence[Sequence[str]] = (),
        peers: Iterable[Address] = (),
        report: Report = report_nothing,
    ) -> Torrent:
        """Take part in the swarm of what is not a metainfo's. Its owner remembers what is there.

        `wanted` None is everything. `trackers` are tiers. The store is closed when the torrent stops, and not if
        it is refused: `ExistsError` for an info hash that is running already.
        """
        if content.info_hash in self.torrents:
            raise ExistsError(f"{content.name}: this is running already")
        if is_secured and self.security is None:
            raise ValueError("a secured torrent needs an engine with a security")
        if content.layout.piece_length > LARGEST_BUFFERED:
            raise ValueError(
                f"pieces of {content.layout.piece_length} bytes; the limit is {LARGEST_BUFFERED}"
            )
        torrent = Torrent(
            self,
            content,
            store,
            NoSaving(),
            have=have,
            wanted=wanted,
            extensions=extensions,
            is_secured=is_secured,
            tactics=tactics,
            report=report,
        )
        return self._begin(torrent, peers, trackers, by_torrent=False)

    def _begin(
        self,
        torrent: Torrent,
        peers: Iterable[Address],
        tiers: Sequence[Sequence[str]],
        *,
        by_torrent: bool,
    ) -> Torrent:
        self.torrents[torrent.info_hash] = torrent
        torrent.dialling.learn(peers, Source.HAND)
        torrent.dialling.begin_announcing(tiers, by_torrent=by_torrent)
        return torrent

    async def remove(self, torrent: Torrent) -> None:
        """Stop this one, as leaving the engine would, while the others go on. Raises what its end raises."""
        try:
            await torrent.stop()
        finally:
            if self.torrents.get(torrent.info_hash) is torrent:
                del self.torrents[torrent.info_hash]

    def torrent_of(self, info_hash: bytes) -> Torrent | None:
        return self.torrents.get(info_hash)

    def _throttle(self, rate: int | None) -> Throttle | None:
        return None if rate is None else Throttle(rate, self.loop.time, self.loop.call_later)

    def make_link(self, sock: Wire, owner: LinkOwner) -> PeerLink:
        """The link of one connection, within the limits that all of them share."""
        if self._incoming is None and self._outgoing is None:
            return PeerLink(sock, self.receive_buffer, owner)
        return LimitedLink(sock, self.receive_buffer, owner, incoming=self._incoming, outgoing=self._outgoing)

    def make_limit(self) -> SharedLimit | None:
        """For what comes in otherwise than by links: below the same rate, together with them."""
        return None if self._incoming is None else SharedLimit(self._incoming)

    def remember(self, neighbour: Neighbour) -> None:
        self._neighbours.add(neighbour)

    def forget(self, neighbour: Neighbour) -> None:
        self._neighbours.discard(neighbour)
        self._door.forget(neighbour)

    def on_introduced(self, neighbour: Neighbour) -> None:
        """Its handshake is complete: it belongs to a torrent now."""
        self._door.forget(neighbour)

    def neighbours_of(self, torrent: Torrent) -> list[Neighbour]:
        """With those that have not joined it yet."""
        return [neighbour for neighbour in self._neighbours if neighbour.torrent is torrent]

    def _tick(self) -> None:
        self._ticking = self.loop.call_later(TICK, self._tick)
        now = self.now()
        self._door.tick(now)
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

    def _on_loop_error(self, error: BaseException) -> None:
        """A callback raised: an error of ours ends the torrents with its own words, anything else is a bug."""
        if not isinstance(error, ShoalError):
            self.crash(error)
            return
        for torrent in self.torrents.values():
            torrent.fail(error)


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
