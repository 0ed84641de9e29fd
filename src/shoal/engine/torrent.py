"""One torrent that is running: its swarm, its files, its neighbours, kept in step.

This is the place where the parts meet, not where anything is decided: `swarm/` decides, `incoming.py` and
`outgoing.py` move bytes, `opening.py` finds out what is there already, `saving.py` remembers it, `dialling.py`
finds neighbours, `admission.py` lets them in. Facts for people and logs go to `report`, as a name and its fields.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shoal.engine.admission import Admission
from shoal.engine.checked import Checked
from shoal.engine.content import Content, PieceStore
from shoal.engine.dialling import Dialling
from shoal.engine.extension import Extension
from shoal.engine.incoming import Incoming, most_pieces_in_flight
from shoal.engine.ledger import Ledger
from shoal.engine.neighbour import Neighbour
from shoal.engine.outgoing import Outgoing
from shoal.engine.saving import NoSaving, Saving
from shoal.errors import ShoalError
from shoal.formats.layout import BLOCK_LENGTH
from shoal.net.sockets import Address, format_address
from shoal.swarm.blame import Verdict, digest_blocks
from shoal.swarm.peer import Peer
from shoal.swarm.pieces import PeerKey
from shoal.swarm.swarm import Swarm
from shoal.swarm.tactics import Tactics
from shoal.units import KIB, MIB

if TYPE_CHECKING:
    from shoal.engine.engine import Engine

MOST_QUEUED = 16 * MIB  # bytes of uploads at the links, all of them together ...
LEAST_QUEUED = 128 * KIB  # ... but for each enough to keep its socket filled

Report = Callable[..., None]


def report_nothing(event: str, **fields: Any) -> None:
    """Nobody listens."""


class Torrent:
    def __init__(
        self,
        engine: Engine,
        content: Content,
        store: PieceStore,
        saving: Saving | NoSaving,
        *,
        have: int,
        wanted: int | None,
        payload_size: int | None = None,
        too_long: tuple[Path, ...] = (),
        extensions: Sequence[Extension] = (),
        is_secured: bool = False,
        tactics: Tactics = Tactics(),  # noqa: B008  frozen
        report: Report = report_nothing,
    ) -> None:
        """`payload_size` is the content's without padding, where there is some."""
        self.engine = engine
        self.content = content
        self.info_hash = content.info_hash
        self.storage = store
        self.extensions = tuple(extensions)
        self.is_secured = is_secured
        self.report = report
        self.ledger = Ledger()
        self.too_long = too_long
        self.is_over = False
        self.neighbours: dict[Address, Neighbour] = {}
        self.failed: asyncio.Future[ShoalError] = engine.loop.create_future()  # what ended this torrent
        self.completed = asyncio.Event()
        self._payload_size = content.layout.total_size if payload_size is None else payload_size
        self._saving = saving
        self._ended = asyncio.Event()
        self._piece_checked = asyncio.Event()
        self._spoken_to: set[Neighbour] = set()  # with something to say, until the end of this loop turn
        self.swarm = self._make_swarm(have, wanted, tactics)
        self.incoming = Incoming(
            content,
            store,
            engine.workers,
            is_suspect=self.swarm.blame.is_suspect,
            on_checked=self._on_checked,
            on_caught_up=self._on_caught_up,
            on_error=self.fail,
        )
        self.outgoing = Outgoing(
            content.layout, store, engine.workers, self.swarm, on_unreadable=self._on_unreadable
        )
        self.dialling = Dialling(self)
        self.admission = Admission(self)
        if self.swarm.pieces.is_complete:
            self.completed.set()

    def _make_swarm(self, have: int, wanted: int | None, tactics: Tactics) -> Swarm:
        return Swarm(
            self.content.layout,
            info_hash=self.info_hash,
            now=self.engine.now(),
            rng=self.engine.rng,
            have=have,
            wanted=wanted,
            most_in_flight=most_pieces_in_flight(self.content.layout.piece_length),
            tactics=tactics,
            max_upload_rate=self.engine.max_upload_rate,
            max_download_rate=self.engine.max_download_rate,
        )

    # Neighbours come and go

    def join(self, neighbour: Neighbour, peer: Peer) -> None:
        self.neighbours[neighbour.address] = neighbour
        self.dialling.on_connected(neighbour)
        self.admission.note(neighbour)
        for extension in self.extensions:
            if neighbour.speaks(extension.name) and not neighbour.is_closed:
                neighbour.extensions.append(extension)
                extension.on_joining(neighbour)
        if neighbour.is_closed:
            return
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
            for extension in neighbour.extensions:
                extension.on_parted(neighbour, reason)
        self.dialling.on_parted(neighbour, is_fault=is_fault)

    def learn_listen_port(self, neighbour: Neighbour, port: int) -> None:
        """A peer that dialled us says where it can be dialled. Raises `PeerError` for a banned one."""
        listens_at = (neighbour.address[0], port)
        self.admission.check_address(listens_at)
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
        piece = checked.progress.piece
        if self.swarm.pieces.in_flight.get(piece) is not checked.progress:
            return  # it came another way meanwhile
        if checked.error is not None:
            self.fail(checked.error)
            return
        senders = dict(checked.progress.senders)
        if checked.is_good:
            self._before_have(piece)
        verdict = self.swarm.on_checked(piece, checked.is_good, checked.digests, self.engine.now())
        self._drop_given_up()
        if checked.is_good:
            layout = self.content.layout
            size = layout.piece_size(piece)
            shares = self.ledger.credit(senders, layout, piece, self.neighbours)
            self.report("piece", piece=piece, bytes=size, sources=shares)
            self._on_here(size)
        else:
            self.report("bad piece", piece=piece, senders=[format_address(key) for key in senders])
        self._ban_guilty(verdict, piece)

    def _before_have(self, piece: int) -> None:
        for extension in self.extensions:
            extension.before_have(piece)

    def _on_here(self, size: int) -> None:
        self._saving.on_piece(size)
        if self.swarm.pieces.is_complete and not self.completed.is_set():
            self.completed.set()
            self.dialling.on_completed()

    def _ban_guilty(self, verdict: Verdict[PeerKey], piece: int) -> None:
        for address in verdict.guilty:
            self.admission.ban(address, f"sent a corrupt block of piece {piece}")

    # What the owner of the content says, who may have other sources than neighbours

    def on_piece_elsewhere(self, piece: int) -> None:
        """It is here now, written and right, and not by a neighbour: whatever it was before."""
        pieces = self.swarm.pieces
        if pieces.have >> piece & 1:
            return
        self._before_have(piece)
        self.swarm.on_piece_elsewhere(piece, self.engine.now())
        self._drop_given_up()
        self._on_here(self.content.layout.piece_size(piece))
        if self.swarm.blame.is_suspect(piece):
            self._look_back(piece)

    def _look_back(self, piece: int) -> None:
        """Neighbours had sent it wrong: now that it is right, it shows who."""
        layout = self.content.layout

        def read() -> list[bytes] | None:
            data = memoryview(bytearray(layout.piece_size(piece)))
            try:
                self.storage.read_into(layout.piece_offset(piece), data)
            except ShoalError:
                return None  # so be it: a verdict is worth less than the torrent
            return digest_blocks(data, BLOCK_LENGTH)

        def judge(digests: list[bytes] | None) -> None:
            if digests is not None and self.swarm.pieces.have >> piece & 1:
                self._ban_guilty(self.swarm.blame.on_good_piece(piece, digests), piece)

        self.engine.workers.submit(read, judge)

    def lose(self, bits: int) -> None:
        """These pieces are not here after all; neighbours that ask for them are refused."""
        self.outgoing.forget(bits)
        self.swarm.lose(bits)
        if not self.swarm.pieces.is_complete:
            self.completed.clear()

    def suspend(self, bits: int) -> None:
        """Ask neighbours for none of these until `resume`, whatever becomes of them meanwhile."""
        self.swarm.suspend(bits, self.engine.now())
        self._drop_given_up()

    def resume(self, bits: int) -> None:
        self.swarm.resume(bits, self.engine.now())
        self._drop_given_up()

    def ban_member(self, member: bytes, reason: str) -> None:
        """Close and refuse every connection of this member from now on."""
        self.admission.ban_member(member, reason)

    def _drop_given_up(self) -> None:
        given_up = self.swarm.desk.given_up
        if given_up:
            for piece in given_up:
                self.incoming.drop(piece)
            given_up.clear()

    def _on_unreadable(self, piece: int, error: ShoalError) -> None:
        """The disk no longer gives a piece that we have told others about."""
        self.report("unreadable", piece=piece, error=error.message)
        self.swarm.lose(1 << piece)

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
        if self.is_over:
            return
        for neighbour in list(self.neighbours.values()):
            neighbour.on_time(now)
        self.swarm.tick(now)
        self._drop_given_up()
        for neighbour in list(self.neighbours.values()):
            if neighbour.peer is not None and neighbour.peer.close_reason:
                neighbour.speak()
        self.dialling.tick(now)
        self._saving.tick(now, self.swarm.pieces.have, self.ledger)
        for extension in self.extensions:
            extension.tick(now)

    # The end

    async def stop(self) -> None:
        """Leave the swarm, sync what is there and remember it. A second call waits for the first."""
        if self.is_over:
            await self._ended.wait()
            return
        self.is_over = True
        try:
            await self.dialling.stop()
            for neighbour in self.engine.neighbours_of(self):
                neighbour.close("we are leaving", is_fault=False)
            await self._wait_for_whole_pieces()
        finally:
            try:
                await self._saving.finish(self.swarm.pieces.have, self.ledger)
                self.storage.close()
            finally:
                self._ended.set()

    async def _wait_for_whole_pieces(self) -> None:
        """All bytes of some pieces are here and at the workers: they count, and nothing is written after the sync."""
        in_flight = self.swarm.pieces.in_flight
        while not self.failed.done() and (
            self.incoming.is_checking or any(progress.is_whole for progress in in_flight.values())
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
        return self._payload_size if pieces.has_all else pieces.bytes_in(pieces.have)

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
        received = self.ledger.elsewhere_flow.rate(now) + sum(peer.received.rate(now) for peer in peers)
        return received, sum(peer.sent.rate(now) for peer in peers)
