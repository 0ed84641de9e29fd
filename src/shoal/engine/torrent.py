"""One torrent that is running: its swarm, its files, its neighbours, kept in step.

This is the place where the parts meet, not where anything is decided: `swarm/` decides, `incoming.py` and
`outgoing.py` move bytes, `opening.py` finds out what is there already, `saving.py` remembers it, `dialling.py`
finds neighbours. Facts for people and logs go to `report`, as a name and its fields.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from shoal.engine.checked import Checked
from shoal.engine.dialling import Dialling
from shoal.engine.incoming import Incoming, most_pieces_in_flight
from shoal.engine.ledger import Ledger
from shoal.engine.neighbour import Neighbour
from shoal.engine.opening import Opened
from shoal.engine.outgoing import Outgoing
from shoal.engine.saving import Saving
from shoal.errors import PeerError, ShoalError
from shoal.formats.metainfo import Metainfo
from shoal.net.sockets import Address, format_address
from shoal.swarm.peer import Peer
from shoal.swarm.swarm import Swarm
from shoal.swarm.uploads import refuse_piece
from shoal.units import KIB, MIB

if TYPE_CHECKING:
    from shoal.engine.engine import Engine

MOST_CONNECTIONS = 200  # neighbours; memory is planned for so many

MOST_QUEUED = 16 * MIB  # bytes of uploads at the links, all of them together ...
LEAST_QUEUED = 128 * KIB  # ... but for each enough to keep its socket filled

Report = Callable[..., None]


def report_nothing(event: str, **fields: Any) -> None:
    """Nobody listens."""


class Torrent:
    def __init__(
        self,
        engine: Engine,
        metainfo: Metainfo,
        opened: Opened,
        saving: Saving,
        *,
        report: Report = report_nothing,
    ) -> None:
        self.engine = engine
        self.metainfo = metainfo
        self.info_hash = metainfo.wire_hash
        self.storage = opened.storage
        self.report = report
        self.ledger = Ledger()
        self.too_long = opened.too_long
        self.neighbours: dict[Address, Neighbour] = {}
        self.failed: asyncio.Future[ShoalError] = engine.loop.create_future()  # what ended this torrent
        self.completed = asyncio.Event()
        self._saving = saving
        self._piece_checked = asyncio.Event()
        self._spoken_to: set[Neighbour] = set()  # with something to say, until the end of this loop turn
        self.swarm = Swarm(
            metainfo.layout,
            info_hash=self.info_hash,
            now=engine.now(),
            rng=engine.rng,
            have=opened.have,
            wanted=opened.wanted,
            most_in_flight=most_pieces_in_flight(metainfo.piece_length),
            max_upload_rate=engine.max_upload_rate,
            max_download_rate=engine.max_download_rate,
        )
        self.incoming = Incoming(
            metainfo,
            opened.storage,
            engine.workers,
            is_suspect=self.swarm.blame.is_suspect,
            on_checked=self._on_checked,
            on_caught_up=self._on_caught_up,
            on_error=self.fail,
        )
        self.outgoing = Outgoing(
            metainfo.layout, opened.storage, engine.workers, self.swarm, on_unreadable=self._on_unreadable
        )
        self.dialling = Dialling(self)
        if self.swarm.pieces.is_complete:
            self.completed.set()

    # Neighbours come and go

    def admit(self, newcomer: Neighbour) -> None:
        """Raise `PeerError` if this connection must not be: ourselves, a double, a banned one, one too many."""
        if newcomer.peer_id == self.engine.peer_id:
            self.dialling.known.on_self(newcomer.address)
            raise PeerError("that is ourselves")
        if self.dialling.known.is_banned(newcomer.address):
            raise PeerError("this address is banned")
        if newcomer.address in self.neighbours:
            raise PeerError("this address is connected already")
        if len(self.neighbours) >= MOST_CONNECTIONS:
            raise PeerError("all places are taken")
        for other in self.neighbours.values():
            if other.peer_id == newcomer.peer_id:
                # Both sides may have dialled at once: both must keep the same one of the two connections.
                keeps_ours = self.engine.peer_id > newcomer.peer_id
                if other.is_outgoing == newcomer.is_outgoing or other.is_outgoing == keeps_ours:
                    raise PeerError("we are connected already")
                other.close("connected twice", is_fault=False)
                return

    def join(self, neighbour: Neighbour, peer: Peer) -> None:
        self.neighbours[neighbour.address] = neighbour
        self.dialling.on_connected(neighbour)
        self.swarm.join(peer)
        self.report("connected", peer=format_address(neighbour.address), client=peer.name)

    def part(self, neighbour: Neighbour, reason: str, *, is_fault: bool) -> None:
        """The neighbour's connection has ended."""
        peer = neighbour.peer
        if self.neighbours.get(neighbour.address) is neighbour and peer is not None:
            del self.neighbours[neighbour.address]
            self._spoken_to.discard(neighbour)
            self.swarm.leave(peer, self.engine.now())
            self._drop_given_up()
            self.ledger.add_sent(neighbour.address, peer.name, peer.sent.total)
            self.report(
                "disconnected", peer=format_address(neighbour.address), client=peer.name, reason=reason
            )
        self.dialling.on_parted(neighbour, is_fault=is_fault)

    def learn_listen_port(self, neighbour: Neighbour, port: int) -> None:
        """A peer that dialled us says where it can be dialled. Raises `PeerError` for a banned one."""
        listens_at = (neighbour.address[0], port)
        if self.dialling.known.is_banned(listens_at):
            raise PeerError("this address is banned")
        neighbour.listens_at = listens_at
        self.report("listens", peer=format_address(neighbour.address), address=format_address(listens_at))
        self.dialling.on_listen_port(neighbour)

    def wake(self, neighbour: Neighbour) -> None:
        """It has something to say; everybody speaks once, at the end of this turn of the loop."""
        if not self._spoken_to:
            self.engine.loop.call_soon(self._speak_all)
        self._spoken_to.add(neighbour)

    def _speak_all(self) -> None:
        speakers, self._spoken_to = self._spoken_to, set()
        for neighbour in speakers:
            neighbour.speak()

    # Data

    def after_data(self, neighbour: Neighbour, now: float) -> None:
        """A wake-up's messages are read: ask for more, send what is wanted."""
        peer = neighbour.peer
        if peer is None or neighbour.is_closed:
            return
        self.incoming.end_wake_up()
        self._hold_if_behind()
        self.swarm.desk.refill(peer, now)
        self._drop_given_up()
        if peer.outbox or peer.uploads or peer.close_reason:
            neighbour.speak()

    def _hold_if_behind(self) -> None:
        """A disk that cannot keep up, or that failed, is not given more to do."""
        self.swarm.desk.is_held = self.incoming.is_behind or self.failed.done()

    def _on_caught_up(self) -> None:
        self._hold_if_behind()
        self.swarm.refill_all(self.engine.now())
        self._drop_given_up()

    def upload(self, neighbour: Neighbour, room: int) -> None:
        """The link has room: bytes that were asked for go out."""
        peer = neighbour.peer
        assert peer is not None
        share = max(LEAST_QUEUED, MOST_QUEUED // len(self.neighbours))
        answered = self.outgoing.fill(peer, neighbour.link, min(room, share - neighbour.link.pending))
        if answered:
            now = self.engine.now()
            sizes: dict[int, int] = {}
            for piece, _, length in answered:
                sizes[piece] = sizes.get(piece, 0) + length
            size = sum(sizes.values())
            peer.sent.add(size, now)
            self.ledger.sent += size
            for piece, part in sizes.items():
                self.report("sent", peer=format_address(neighbour.address), piece=piece, bytes=part)

    def _on_checked(self, checked: Checked) -> None:
        self._piece_checked.set()
        if checked.error is not None:
            self.fail(checked.error)
            return
        piece = checked.piece
        senders = dict(self.swarm.pieces.in_flight[piece].senders)
        verdict = self.swarm.on_checked(piece, checked.is_good, checked.digests, self.engine.now())
        self._drop_given_up()
        if checked.is_good:
            size = self.metainfo.layout.piece_size(piece)
            shares = self.ledger.credit(senders, self.metainfo.layout, piece, self.neighbours)
            self.report("piece", piece=piece, bytes=size, sources=shares)
            self._saving.on_piece(size)
            if self.swarm.pieces.is_complete:
                self.completed.set()
                self.dialling.on_completed()
        else:
            self.report("bad piece", piece=piece, senders=[format_address(key) for key in senders])
        for address in verdict.guilty:
            self._ban(address, f"sent a corrupt block of piece {piece}")

    def _ban(self, address: Address, reason: str) -> None:
        if self.dialling.known.is_banned(address):
            return  # several of its pieces were on their way
        neighbour = self.neighbours.get(address)
        listens_at = neighbour.listens_at if neighbour else None
        name = neighbour.peer.name if neighbour and neighbour.peer else self.ledger.name_of(address)
        self.report("banned", peer=format_address(address), client=name, reason=reason)
        if neighbour is not None:
            neighbour.close(reason, is_fault=True)
        for banned in {address, listens_at or address}:
            self.dialling.known.ban(banned, reason)

    def _drop_given_up(self) -> None:
        given_up = self.swarm.desk.given_up
        if given_up:
            for piece in given_up:
                self.incoming.drop(piece)
            given_up.clear()

    def _on_unreadable(self, piece: int, error: ShoalError) -> None:
        """The disk no longer gives a piece that we have told others about."""
        self.report("unreadable", piece=piece, error=error.message)
        self.swarm.pieces.lose(1 << piece)
        for neighbour in list(self.neighbours.values()):
            if neighbour.peer is not None:
                refuse_piece(neighbour.peer, piece)

    def fail(self, error: ShoalError) -> None:
        """Nothing more can be done for this torrent until somebody mends what `error` says."""
        if not self.failed.done():
            self.failed.set_result(error)
        self.swarm.desk.is_held = True
        self._piece_checked.set()

    def crash(self, error: BaseException) -> None:
        """A bug of ours: whoever waits for this torrent gets the exception."""
        if not self.failed.done():
            self.failed.set_exception(error)
            self.failed.exception()  # it may be that nobody waits for this torrent: no complaint then
        self._piece_checked.set()
        self._saving.on_crash()

    # Time

    def tick(self, now: float) -> None:
        for neighbour in list(self.neighbours.values()):
            neighbour.on_time(now)
        self.swarm.tick(now)
        self._drop_given_up()
        for neighbour in list(self.neighbours.values()):
            if neighbour.peer is not None and neighbour.peer.close_reason:
                neighbour.speak()
        self.dialling.tick(now)
        self._saving.tick(now, self.swarm.pieces.have, self.ledger)

    # The end

    async def stop(self) -> None:
        """Leave the swarm, sync what is there and remember it."""
        try:
            await self.dialling.stop()
            for neighbour in list(self.neighbours.values()):
                neighbour.close("we are leaving", is_fault=False)
            await self._wait_for_whole_pieces()
        finally:
            await self._saving.finish(self.swarm.pieces.have, self.ledger)
            self.storage.close()

    async def _wait_for_whole_pieces(self) -> None:
        """All bytes of some pieces are here and at the workers: they count, and nothing is written after the sync."""
        while not self.failed.done() and any(
            progress.is_whole for progress in self.swarm.pieces.in_flight.values()
        ):
            self._piece_checked.clear()
            await self._piece_checked.wait()

    # For people

    @property
    def save_error(self) -> ShoalError | None:
        """Why what is here could not be made durable, if so."""
        return self._saving.error

    @property
    def have_bytes(self) -> int:
        """The size of what is here: of its pieces, or of the files alone once they are all here."""
        pieces = self.swarm.pieces
        return self.metainfo.payload_size if pieces.has_all else pieces.bytes_in(pieces.have)

    @property
    def left_bytes(self) -> int:
        """What is still to come of what is wanted; BEP 3's `left`."""
        return self.swarm.pieces.bytes_in(self.swarm.pieces.needed)

    @property
    def left_of_all(self) -> int:
        """What is missing of the whole torrent, wanted or not: a seed is who has none of it."""
        pieces = self.swarm.pieces
        return pieces.bytes_in(pieces.all & ~pieces.have)

    def rates(self) -> tuple[float, float]:
        """Bytes a second: (to us, from us)."""
        now = self.engine.now()
        peers = list(self.swarm.peers.values())
        return sum(peer.received.rate(now) for peer in peers), sum(peer.sent.rate(now) for peer in peers)
