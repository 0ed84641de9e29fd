"""Find neighbours for one torrent: keep its known peers, dial the best of them, listen to the announcer."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from shoal.engine.neighbour import HANDSHAKE_TIMEOUT, Neighbour
from shoal.engine.security import Secured
from shoal.errors import NetworkError, ShoalError
from shoal.net.sockets import Address, connect, format_address
from shoal.swarm.known_peers import KnownPeers, Source

if TYPE_CHECKING:
    from shoal.engine.announcer import Announcer
    from shoal.engine.torrent import Torrent

WANTED_NEIGHBOURS = 50  # we dial until there are so many; others may still dial us
MOST_DIALS = 20  # at a time; routers and firewalls dislike more half-open connections
DIAL_TIMEOUT = 8.0  # seconds; a SYN is sent three times within it


class Dialling:
    def __init__(self, torrent: Torrent) -> None:
        self._torrent = torrent
        self._engine = torrent.engine
        self.known = KnownPeers()
        self._dials: set[asyncio.Task[None]] = set()
        self._opening: set[Neighbour] = set()  # dialled and connected, their handshake is still to come
        self._securing = 0  # dialled and connected, and nothing said yet but what TLS says
        self._is_over = False
        self._announcer: Announcer | None = None
        self._announcing: asyncio.Task[None] | None = None

    @property
    def is_reaching(self) -> bool:
        """Somebody who was dialled is there, and is not a neighbour yet."""
        return bool(self._opening or self._securing)

    def begin_announcing(self, tiers: Sequence[Sequence[str]], *, by_torrent: bool) -> None:
        """Ask these trackers for peers, and tell them of us; `by_torrent`: they may be a stranger's choice."""
        if not tiers:
            return
        from shoal.engine.announcer import Announcer, Totals  # they load libcurl, which many never need
        from shoal.net.guarding import TorrentGuard

        torrent = self._torrent
        self._announcer = Announcer(
            tiers,
            info_hash=torrent.info_hash,
            peer_id=self._engine.peer_id,
            port=self._engine.port,
            totals=lambda: Totals(torrent.ledger.sent, torrent.ledger.received, torrent.left_of_all),
            on_peers=lambda addresses: self.learn(addresses, Source.TRACKER),
            on_message=lambda text: torrent.report("tracker", message=text),
            bind=self._engine.bind,
            connections=self._engine.tracker_connections,
            guard=TorrentGuard() if by_torrent else None,
            clock=self._engine.now,
            rng=self._engine.rng,
        )
        self._announcing = self._engine.loop.create_task(self._announcer.run())
        self._announcing.add_done_callback(self._on_task_over)

    def on_completed(self) -> None:
        """Everything wanted has come: trackers are told."""
        if self._announcer is not None:
            self._announcer.completed()

    def learn(self, addresses: Iterable[Address], source: Source) -> None:
        """Addresses from outside; the best are dialled at once."""
        self.known.add(addresses, source, self._engine.now())
        self.tick(self._engine.now())

    def tick(self, now: float) -> None:
        """Dial those whose time has come."""
        if self._is_over:
            return
        if self._announcer is not None and not self._torrent.neighbours and self._torrent.left_bytes:
            self._announcer.wanted()
        busy = len(self._dials) + len(self._opening)
        room = min(WANTED_NEIGHBOURS - len(self._torrent.neighbours) - busy, MOST_DIALS - busy)
        if room <= 0:
            return
        swarm = self._torrent.swarm
        is_seeding = swarm.pieces.is_complete and swarm.tactics.parts_when_pointless
        for address in self.known.next_to_dial(now, room, self._engine.rng, is_seeding=is_seeding):
            task = self._engine.loop.create_task(self._dial(address))
            self._dials.add(task)
            task.add_done_callback(self._dials.discard)
            task.add_done_callback(self._on_task_over)

    def _on_task_over(self, task: asyncio.Task[None]) -> None:
        """Dialling and announcing end with an exception for a bug only, or when what they report finds no ear."""
        if not task.cancelled() and (error := task.exception()) is not None:
            while isinstance(error, BaseExceptionGroup):  # the announcer's; one is told, as of any task
                error = error.exceptions[0]
            self._engine.crash(error)

    async def _dial(self, address: Address) -> None:
        torrent, secured = self._torrent, None
        try:
            sock = await connect(address, self._engine.bind, within=DIAL_TIMEOUT)
            if torrent.is_secured:
                secured = await self._secure(sock)
        except ShoalError as error:
            self._on_unreachable(address, error.message)
            return
        wire = sock if secured is None else secured.sock
        try:
            neighbour = Neighbour(self._engine, wire, address, torrent=torrent, secured=secured)
        except OSError as error:  # gone already
            wire.close()
            self._on_unreachable(address, error.strerror or str(error))
            return
        self._opening.add(neighbour)
        self._engine.remember(neighbour)
        neighbour.start()

    async def _secure(self, sock: socket.socket) -> Secured:
        """Raises `ShoalError`; then the socket is closed."""
        security = self._engine.security
        assert security is not None, "or the torrent would not run"
        self._securing += 1
        try:
            async with asyncio.timeout(HANDSHAKE_TIMEOUT):
                return await security.secure_outgoing(sock, self._torrent.info_hash)
        except TimeoutError:
            sock.close()
            raise NetworkError("no handshake") from None
        except OSError as error:
            sock.close()
            raise NetworkError(error.strerror or str(error)) from None
        except BaseException:
            sock.close()
            raise
        finally:
            self._securing -= 1

    def _on_unreachable(self, address: Address, reason: str) -> None:
        self.known.on_failed(address, self._engine.now())
        self._torrent.report("unreachable", peer=format_address(address), reason=reason)

    def on_connected(self, neighbour: Neighbour) -> None:
        """Its handshake is complete."""
        self._opening.discard(neighbour)
        if neighbour.is_outgoing:
            self.known.on_connected(neighbour.address, neighbour.peer_id)

    def on_listen_port(self, neighbour: Neighbour) -> None:
        address = neighbour.listens_at
        if address is not None:
            self.known.add([address], Source.INCOMING, self._engine.now())
            self.known.on_connected(address, neighbour.peer_id)

    def on_parted(self, neighbour: Neighbour, *, is_fault: bool) -> None:
        now = self._engine.now()
        peer = neighbour.peer
        if neighbour in self._opening or peer is None:
            self._opening.discard(neighbour)
            if neighbour.is_outgoing:
                self.known.on_failed(neighbour.address, now)
        elif neighbour.listens_at is not None:
            if peer.has == self._torrent.swarm.pieces.all or peer.is_upload_only:
                self.known.on_seed(neighbour.listens_at)
            was_useful = not is_fault and bool(peer.received.total or peer.sent.total)
            self.known.on_closed(neighbour.listens_at, now, was_useful=was_useful)

    async def stop(self) -> None:
        """Dial no more, and tell the trackers that we leave."""
        self._is_over = True
        for task in list(self._dials):
            task.cancel()
        await asyncio.gather(*self._dials, return_exceptions=True)
        for neighbour in list(self._opening):
            neighbour.close("we are leaving", is_fault=False)
        if self._announcer is not None and self._announcing is not None:
            await self._announcer.stop()
            self._announcing.cancel()
            await asyncio.gather(self._announcing, return_exceptions=True)
