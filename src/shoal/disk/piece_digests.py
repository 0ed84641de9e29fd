"""Digests of a file's pieces, as Metalink has them (RFC 5854): which pieces are bad, so that only they come again.

The pieces are those of the digests, whatever pieces the file is fetched in. A `PieceChecker` hashes each in a thread of
its own as soon as its owner says that all of it is here, and again when it came again.

Always true: a piece is good only by bytes that its owner said are here.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from shoal.disk.checksum import Read
from shoal.disk.parallel import TICK, ShouldStop
from shoal.errors import FormatError
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
    """Judges the pieces of one file on its way, each when `judge` is told to, in a thread of its own."""

    def __init__(
        self, read: Read, expected: PieceDigests, on_judged: Callable[[], object] = lambda: None
    ) -> None:
        """`on_judged` is called in that thread after each piece, and when reading failed."""
        self._read = read
        self._expected = expected
        self._on_judged = on_judged
        self._good = 0
        self._wrong: list[int] = []
        self._waiting: deque[int] = deque()
        self._changed = threading.Condition()
        self._is_judging = False
        self._is_closed = False
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._follow, name="shoal-piece-checker", daemon=True)
        self._thread.start()

    @property
    def good_bits(self) -> int:
        """The pieces whose digests are right."""
        return self._good

    def judge(self, piece: int) -> None:
        """All bytes of this piece are here, and stay as they are until it is judged. Never waits for the disk."""
        with self._changed:
            self._waiting.append(piece)
            self._changed.notify_all()

    def take_wrong(self) -> list[int]:
        """The pieces found wrong since the last call. Raises what reading raised."""
        with self._changed:
            if self._error is not None:
                raise self._error
            wrong, self._wrong = self._wrong, []
            return wrong

    def wait(self, should_stop: ShouldStop) -> None:
        """Until everything is judged that `judge` was called for, or reading failed."""
        with self._changed:
            while (self._waiting or self._is_judging) and self._error is None and not should_stop():
                self._changed.wait(TICK)

    def close(self) -> None:
        """End the thread, after the piece it is at."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._thread.join()

    def _follow(self) -> None:
        buffer = memoryview(bytearray(min(_CHUNK_LENGTH, self._expected.layout.piece_length)))
        try:
            while (piece := self._take()) is not None:
                self._judge(piece, buffer)
                self._on_judged()
        except Exception as error:  # noqa: BLE001  `take_wrong` raises it
            with self._changed:
                self._error = error
                self._changed.notify_all()
            self._on_judged()

    def _take(self) -> int | None:
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._waiting)
            self._is_judging = not self._is_closed
            return None if self._is_closed else self._waiting.popleft()

    def _judge(self, piece: int, buffer: memoryview) -> None:
        hashed = new_hash(self._expected.name)
        begin, end = self._expected.span(piece)
        for offset in range(begin, end, len(buffer)):
            view = buffer[: end - offset]
            self._read(offset, view)
            hashed.update(view)
        with self._changed:
            if hashed.digest() == self._expected.digests[piece]:
                self._good |= 1 << piece
            else:
                self._wrong.append(piece)
            self._is_judging = False
            self._changed.notify_all()
