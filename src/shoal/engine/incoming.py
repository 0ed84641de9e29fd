"""Carry the blocks of pieces in flight to the disk: one copy into the piece's buffer, then hash and write in a worker.

Always true: a piece up to 16 MiB reaches a file only after its hash was found right (`large_pieces.py` has the others).
A buffer belongs to exactly one piece from its first block until it is dropped or whole, and then to the worker; there
are as many as pieces in flight, which bounds memory.
"""

from __future__ import annotations

from collections.abc import Callable

from shoal.disk.workers import Workers
from shoal.engine.checked import Checked
from shoal.engine.content import Content, PieceStore, TorrentContent
from shoal.engine.large_pieces import LargePieces
from shoal.errors import ShoalError
from shoal.formats.layout import BLOCK_LENGTH
from shoal.swarm.blame import digest_blocks
from shoal.swarm.pieces import PieceProgress
from shoal.units import MIB

BUFFER_BYTES = 32 * MIB  # of pieces in flight, all peers together
FEWEST_IN_FLIGHT = 4  # pieces, so that four of 16 MiB can be under way
MOST_IN_FLIGHT = 1024  # pieces; more small ones only make the bookkeeping longer
LARGEST_BUFFERED = 16 * MIB  # pieces above go to disk block by block


def most_pieces_in_flight(piece_length: int) -> int:
    return max(FEWEST_IN_FLIGHT, min(MOST_IN_FLIGHT, BUFFER_BYTES // piece_length))


class Incoming:
    """`on_checked` is called on the loop for each piece that became whole."""

    def __init__(
        self,
        content: Content,
        storage: PieceStore,
        workers: Workers,
        *,
        is_suspect: Callable[[int], bool],
        on_checked: Callable[[Checked], None],
        on_caught_up: Callable[[], None],
        on_error: Callable[[ShoalError], None],
    ) -> None:
        self._content = content
        self._layout = content.layout
        self._storage = storage
        self._workers = workers
        self._is_suspect = is_suspect
        self._on_checked = on_checked
        self._buffers: dict[int, memoryview] = {}
        self._free: list[memoryview] = []
        self._checks = 0  # under way
        self._large: LargePieces | None = None
        if self._layout.piece_length > LARGEST_BUFFERED:
            if not isinstance(content, TorrentContent):
                raise ValueError(
                    "pieces above 16 MiB are for torrents with a metainfo: they are hashed part by part"
                )
            self._large = LargePieces(
                content.metainfo,
                storage,
                workers,
                is_suspect=is_suspect,
                on_checked=on_checked,
                on_caught_up=on_caught_up,
                on_error=on_error,
            )

    def store(self, progress: PieceProgress, begin: int, view: memoryview) -> None:
        """Take one wanted block. `view` is copied; when it was the piece's last the check begins."""
        if self._large is not None:
            self._large.store(progress, begin, view)
            return
        piece = progress.piece
        buffer = self._buffers.get(piece)
        if buffer is None:
            buffer = self._buffers[piece] = self._take_buffer()
        buffer[begin : begin + len(view)] = view
        if progress.received == progress.all_blocks:
            del self._buffers[piece]
            self._checks += 1
            self._workers.submit(
                lambda: self._check_and_write(progress, buffer), lambda checked: self._done(checked, buffer)
            )

    def end_wake_up(self) -> None:
        """All blocks that came together have been stored."""
        if self._large is not None:
            self._large.write_waiting()

    def drop(self, piece: int) -> None:
        """The piece was given up before it was whole."""
        if self._large is not None:
            self._large.drop(piece)
        buffer = self._buffers.pop(piece, None)
        if buffer is not None:
            self._free.append(buffer)

    @property
    def is_checking(self) -> bool:
        """Something may be written still, be it a piece that came another way meanwhile."""
        return self._checks > 0

    @property
    def is_behind(self) -> bool:
        """The disk cannot keep up; `on_caught_up` tells when it has."""
        return self._large is not None and self._large.is_behind

    def _take_buffer(self) -> memoryview:
        if self._free:
            return self._free.pop()
        return memoryview(bytearray(self._layout.piece_length))

    def _done(self, checked: Checked, buffer: memoryview) -> None:
        self._checks -= 1
        self._free.append(buffer)
        self._on_checked(checked)

    # In a worker

    def _check_and_write(self, progress: PieceProgress, buffer: memoryview) -> Checked:
        piece = progress.piece
        data = buffer[: self._layout.piece_size(piece)]
        is_good = self._content.is_good(piece, data)
        digests: tuple[bytes, ...] = ()
        if not is_good or self._is_suspect(piece):
            digests = tuple(digest_blocks(data, BLOCK_LENGTH))
        if is_good:
            try:
                self._storage.write(self._layout.piece_offset(piece), data)
            except ShoalError as error:
                return Checked(progress, False, digests, error)
        return Checked(progress, is_good, digests)
