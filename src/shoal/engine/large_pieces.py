"""Pieces too large for a buffer: their blocks go to the disk as they come, and the whole piece is hashed on reading.

Always true: at most one batch of a piece is on its way to the disk, so what came first is written first, also when a
piece was given up and begun anew meanwhile. A piece counts only after all of it was read back and its hash was right.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

from shoal.disk.workers import Workers
from shoal.engine.checked import Checked
from shoal.engine.content import PieceStore
from shoal.errors import ShoalError
from shoal.formats.layout import BLOCK_LENGTH
from shoal.formats.metainfo import Metainfo
from shoal.swarm.blame import digest_blocks
from shoal.swarm.pieces import PieceProgress
from shoal.units import MIB

MOST_BACKLOG = 32 * MIB  # blocks that wait for the disk; then nothing more is asked for
READ_LENGTH = 1 * MIB  # of a piece at a time, when it is hashed


class LargePieces:
    """`on_caught_up` is called when the disk is no longer behind, `on_checked` for each piece that became whole."""

    def __init__(
        self,
        metainfo: Metainfo,
        storage: PieceStore,
        workers: Workers,
        *,
        is_suspect: Callable[[int], bool],
        on_checked: Callable[[Checked], None],
        on_caught_up: Callable[[], None],
        on_error: Callable[[ShoalError], None],
    ) -> None:
        self._metainfo = metainfo
        self._layout = metainfo.layout
        self._storage = storage
        self._workers = workers
        self._is_suspect = is_suspect
        self._on_checked = on_checked
        self._on_caught_up = on_caught_up
        self._on_error = on_error
        self._waiting: dict[int, list[tuple[int, bytes]]] = {}  # piece -> blocks by torrent offset
        self._writing: set[int] = set()  # pieces with a batch on its way
        self._whole: dict[int, PieceProgress] = {}  # to be checked once all of it is written
        self._backlog = 0  # bytes, waiting and on their way

    @property
    def is_behind(self) -> bool:
        return self._backlog > MOST_BACKLOG

    def store(self, progress: PieceProgress, begin: int, view: memoryview) -> None:
        """Take one wanted block; `write_waiting` sends it on."""
        piece = progress.piece
        self._waiting.setdefault(piece, []).append((self._layout.piece_offset(piece) + begin, bytes(view)))
        self._backlog += len(view)
        if progress.received == progress.all_blocks:
            self._whole[piece] = progress

    def drop(self, piece: int) -> None:
        """The piece was given up: what waits of it is not written."""
        self._backlog -= sum(len(data) for _, data in self._waiting.pop(piece, ()))
        self._whole.pop(piece, None)

    def write_waiting(self) -> None:
        """Send on what waits, a batch a piece."""
        for piece in [piece for piece in self._waiting if piece not in self._writing]:
            self._write(piece, self._waiting.pop(piece))

    def _write(self, piece: int, blocks: list[tuple[int, bytes]]) -> None:
        self._writing.add(piece)

        def write() -> ShoalError | None:
            try:
                for offset, data in blocks:
                    self._storage.write(offset, data)
            except ShoalError as error:
                return error
            return None

        def written(error: ShoalError | None) -> None:
            self._writing.discard(piece)
            was_behind = self.is_behind
            self._backlog -= sum(len(data) for _, data in blocks)
            if error is not None:
                self._on_error(error)
                return
            if piece in self._waiting:
                self._write(piece, self._waiting.pop(piece))
            elif (progress := self._whole.pop(piece, None)) is not None:
                self._workers.submit(lambda: self._check(progress), self._on_checked)
            if was_behind and not self.is_behind:
                self._on_caught_up()

        self._workers.submit(write, written)

    # In a worker

    def _check(self, progress: PieceProgress) -> Checked:
        piece = progress.piece
        try:
            sha1 = hashlib.sha1(usedforsecurity=False)
            for part in self._parts(piece):
                sha1.update(part)
            is_good = sha1.digest() == self._metainfo.piece_hash(piece)
            digests: list[bytes] = []
            if not is_good or self._is_suspect(piece):
                for part in self._parts(piece):
                    digests += digest_blocks(part, BLOCK_LENGTH)
        except ShoalError as error:
            return Checked(progress, False, (), error)
        return Checked(progress, is_good, tuple(digests))

    def _parts(self, piece: int) -> Iterator[memoryview]:
        """The piece as it is on the disk, a MiB at a time, always in the same memory."""
        buffer = memoryview(bytearray(READ_LENGTH))
        start, size = self._layout.piece_offset(piece), self._layout.piece_size(piece)
        for begin in range(0, size, READ_LENGTH):
            part = buffer[: size - begin]
            self._storage.read_into(start + begin, part)
            yield part
