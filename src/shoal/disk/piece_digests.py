"""Digests of a file's pieces, as Metalink has them (RFC 5854): which pieces are bad, so that only they come again.

The pieces are those of the digests, whatever pieces the file is fetched in. A `PieceChecker` hashes each in a thread of
its own as soon as all of its bytes are here, and the rest on all cores at the end.

Always true: a piece is judged once, by bytes that its owner said are here.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from shoal.disk.checksum import Read
from shoal.disk.parallel import OnProgress, ShouldStop, Work, work_through
from shoal.errors import FormatError
from shoal.formats.bitfield import all_bits, iter_bits, without
from shoal.formats.digests import DIGEST_LENGTHS, new_hash
from shoal.formats.layout import Layout
from shoal.units import MIB

_CHUNK_LENGTH = 1 * MIB


@dataclass(frozen=True, slots=True)
class PieceDigests:
    """What the digest of each piece must be."""

    name: str  # as in `formats/digests.py`: sha-256
    layout: Layout
    digests: tuple[bytes, ...]

    @classmethod
    def of(cls, name: str, piece_length: int, length: int, digests: tuple[bytes, ...]) -> PieceDigests:
        """For a file of `length` bytes. Raises `FormatError` if they do not fit it."""
        if name not in DIGEST_LENGTHS or piece_length <= 0:
            raise FormatError(f"piece digests by {name!r} of pieces of {piece_length} bytes")
        layout = Layout(piece_length, [length])
        if len(digests) != layout.piece_count or {len(digest) for digest in digests} - {DIGEST_LENGTHS[name]}:
            raise FormatError(f"{len(digests)} {name} digests do not fit {layout.piece_count} pieces")
        return cls(name, layout, digests)

    def span(self, piece: int) -> tuple[int, int]:
        """The bytes of the file that the piece is: begin and end."""
        begin = self.layout.piece_offset(piece)
        return begin, begin + self.layout.piece_size(piece)


class PieceChecker:
    """Judges the pieces of one file on its way."""

    def __init__(self, read: Read, expected: PieceDigests, *, pieces: int | None = None) -> None:
        """All pieces, or the set `pieces`: those that were bad and came again, say."""
        self._read = read
        self._expected = expected
        self._layout = expected.layout
        self._unjudged = all_bits(self._layout.piece_count) if pieces is None else pieces
        self._bad = 0
        self._missing = [self._layout.piece_size(piece) for piece in range(self._layout.piece_count)]
        self._waiting: deque[int] = deque()
        self._changed = threading.Condition()
        self._is_closed = False
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._follow, name="shoal-piece-checker", daemon=True)
        self._thread.start()

    @property
    def bad_bits(self) -> int:
        """The pieces that are wrong, of those judged so far."""
        return self._bad

    def on_bytes(self, begin: int, end: int) -> None:
        """The bytes from `begin` up to `end` are here. Each is to be told of once. Never waits for the disk."""
        length = self._layout.piece_length
        with self._changed:
            for piece in range(begin // length, -(-end // length)):
                piece_begin, piece_end = self._expected.span(piece)
                self._missing[piece] -= min(end, piece_end) - max(begin, piece_begin)
                if not self._missing[piece] and self._unjudged >> piece & 1:
                    self._waiting.append(piece)
            self._changed.notify()

    def finish(
        self, *, on_progress: OnProgress | None = None, should_stop: ShouldStop | None = None
    ) -> int | None:
        """Judge the rest, now that all bytes are here; the bad pieces, or None if stopped.

        `on_progress` gets bytes judged in this call.
        """
        self.close()
        if self._error is not None:
            raise self._error

        def make_worker() -> Work:
            buffer = self._make_buffer()

            def judge(piece: int) -> int:
                self._judge(piece, buffer)
                return self._layout.piece_size(piece)

            return judge

        rest = iter_bits(self._unjudged)
        is_done = work_through(rest, make_worker, on_progress=on_progress, should_stop=should_stop)
        return self._bad if is_done else None

    def close(self) -> None:
        """End the thread, after the piece it is at."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()

    def _follow(self) -> None:
        buffer = self._make_buffer()
        try:
            while (piece := self._take()) is not None:
                self._judge(piece, buffer)
        except Exception as error:  # noqa: BLE001  `finish` raises it
            self._error = error

    def _take(self) -> int | None:
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._waiting)
            return None if self._is_closed else self._waiting.popleft()

    def _judge(self, piece: int, buffer: memoryview) -> None:
        hashed = new_hash(self._expected.name)
        begin, end = self._expected.span(piece)
        for offset in range(begin, end, len(buffer)):
            view = buffer[: end - offset]
            self._read(offset, view)
            hashed.update(view)
        with self._changed:
            self._unjudged = without(self._unjudged, 1 << piece)
            if hashed.digest() != self._expected.digests[piece]:
                self._bad |= 1 << piece

    def _make_buffer(self) -> memoryview:
        return memoryview(bytearray(min(_CHUNK_LENGTH, self._layout.piece_length)))
