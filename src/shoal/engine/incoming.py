"""Carry the blocks of pieces in flight to the disk: one copy into the piece's buffer, then hash and write in a worker.

Always true: a piece up to 16 MiB reaches a file only after its hash was found right. Larger ones have no buffer:
their blocks are written as they come and the whole piece is hashed on reading, before it counts. A buffer belongs
to exactly one piece from its first block until the worker is done with it; there are as many as pieces in flight,
which bounds memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from shoal.disk.storage import Storage
from shoal.disk.workers import Workers
from shoal.errors import ShoalError
from shoal.formats.layout import BLOCK_LENGTH
from shoal.formats.metainfo import Metainfo, is_piece_good
from shoal.swarm.blame import digest_blocks
from shoal.swarm.pieces import PieceProgress
from shoal.units import MIB

BUFFER_BYTES = 32 * MIB  # of pieces in flight, all peers together
FEWEST_IN_FLIGHT = 4  # pieces, so that four of 16 MiB can be under way
MOST_IN_FLIGHT = 1024  # pieces; more small ones only make the bookkeeping longer
LARGEST_BUFFERED = 16 * MIB  # pieces above go to disk block by block
LARGE_BACKLOG = 32 * MIB  # of blocks of large pieces that wait for the disk; then nothing more is asked for


@dataclass(frozen=True, slots=True)
class Checked:
    """What a worker found out about one whole piece."""

    piece: int
    is_good: bool
    digests: tuple[bytes, ...] = ()  # one a block, when asked for or when the piece is bad
    error: ShoalError | None = None  # it could not be written or read


def most_pieces_in_flight(piece_length: int) -> int:
    return max(FEWEST_IN_FLIGHT, min(MOST_IN_FLIGHT, BUFFER_BYTES // piece_length))


class Incoming:
    """`on_checked` is called on the loop for each piece that became whole, `on_relief` when the disk has caught up."""

    def __init__(
        self,
        metainfo: Metainfo,
        storage: Storage,
        workers: Workers,
        *,
        is_suspect: Callable[[int], bool],
        on_checked: Callable[[Checked], None],
        on_error: Callable[[ShoalError], None],
        on_relief: Callable[[], None],
    ) -> None:
        self._metainfo = metainfo
        self._layout = metainfo.layout
        self._storage = storage
        self._workers = workers
        self._is_suspect = is_suspect
        self._on_checked = on_checked
        self._on_error = on_error
        self._on_relief = on_relief
        self._buffers: dict[int, memoryview] = {}
        self._free: list[memoryview] = []
        self._is_large = self._layout.piece_length > LARGEST_BUFFERED
        self._waiting: dict[int, list[tuple[int, bytes]]] = {}  # large piece -> its blocks of this wake-up
        self._batches: dict[int, int] = {}  # large piece -> batches of it on their way to the disk
        self._whole: set[int] = set()  # large pieces to check once their batches are written
        self.backlog = 0  # bytes of large pieces on their way to the disk

    def store(self, progress: PieceProgress, begin: int, view: memoryview) -> None:
        """Take one wanted block. `view` is copied; when it was the piece's last the check begins."""
        piece = progress.piece
        if self._is_large:
            block = (self._layout.piece_offset(piece) + begin, bytes(view))
            self._waiting.setdefault(piece, []).append(block)
            if progress.received == progress.all_blocks:
                self._whole.add(piece)
            return
        buffer = self._buffers.get(piece)
        if buffer is None:
            buffer = self._buffers[piece] = self._take_buffer()
        buffer[begin : begin + len(view)] = view
        if progress.received == progress.all_blocks:
            self._workers.submit(lambda: self._check_and_write(piece, buffer), self._done)

    def drop(self, piece: int) -> None:
        """The piece was given up before it was whole."""
        buffer = self._buffers.pop(piece, None)
        if buffer is not None:
            self._free.append(buffer)

    @property
    def is_behind(self) -> bool:
        """The disk cannot keep up with the blocks of large pieces."""
        return self.backlog > LARGE_BACKLOG

    def _take_buffer(self) -> memoryview:
        if self._free:
            return self._free.pop()
        return memoryview(bytearray(self._layout.piece_length))

    def _done(self, checked: Checked) -> None:
        self._free.append(self._buffers.pop(checked.piece))
        self._on_checked(checked)

    # In a worker

    def _check_and_write(self, piece: int, buffer: memoryview) -> Checked:
        data = buffer[: self._layout.piece_size(piece)]
        is_good = is_piece_good(self._metainfo, piece, data)
        digests: tuple[bytes, ...] = ()
        if not is_good or self._is_suspect(piece):
            digests = tuple(digest_blocks(data, BLOCK_LENGTH))
        if is_good:
            try:
                self._storage.write(self._layout.piece_offset(piece), data)
            except ShoalError as error:
                return Checked(piece, False, digests, error)
        return Checked(piece, is_good, digests)

    def _check_large(self, piece: int) -> Checked:
        data = memoryview(bytearray(self._layout.piece_size(piece)))
        try:
            self._storage.read_into(self._layout.piece_offset(piece), data)
        except ShoalError as error:
            return Checked(piece, False, (), error)
        is_good = is_piece_good(self._metainfo, piece, data)
        digests = () if is_good and not self._is_suspect(piece) else tuple(digest_blocks(data, BLOCK_LENGTH))
        return Checked(piece, is_good, digests)

    # Large pieces

    def write_waiting(self) -> None:
        """Send the blocks of large pieces that this wake-up brought to a worker, together."""
        waiting, self._waiting = self._waiting, {}
        for piece, blocks in waiting.items():
            self._write_batch(piece, blocks)

    def _write_batch(self, piece: int, blocks: list[tuple[int, bytes]]) -> None:
        size = sum(len(data) for _, data in blocks)
        self.backlog += size
        self._batches[piece] = self._batches.get(piece, 0) + 1

        def write() -> ShoalError | None:
            try:
                for offset, data in blocks:
                    self._storage.write(offset, data)
            except ShoalError as error:
                return error
            return None

        def written(error: ShoalError | None) -> None:
            was_behind = self.is_behind
            self.backlog -= size
            if was_behind and not self.is_behind:
                self._on_relief()
            self._batches[piece] -= 1
            if error is not None:
                self._on_error(error)
            elif not self._batches[piece] and piece in self._whole:
                self._whole.discard(piece)
                self._workers.submit(lambda: self._check_large(piece), self._on_checked)

        self._workers.submit(write, written)
