"""Bytes on their way from transfers to the part file, by one thread, in the order they came.

Always true: a piece is said to be here only after all of its bytes are written; no more than `MOST_QUEUED` bytes and
what the connections' buffers hold wait for the disk: above that, whoever brings more is held. Where somebody wants
them, the SHA-256 of whole pieces are computed by the same thread.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from shoal.disk.part_file import PartFile
from shoal.disk.workers import Workers
from shoal.errors import ShoalError
from shoal.fetch.pieces import piece_length_for
from shoal.units import MIB

OnPieces = Callable[[Sequence[tuple[int, bytes]]], None]
WriteOwn = Callable[[int, Sequence[bytes], Sequence[int]], Sequence[int]]

MOST_QUEUED: Final = 32 * MIB  # bytes; a disk that pauses for a tenth of a second holds nobody


class Sharing(NamedTuple):
    """Where others bring pieces of the same file, and get some."""

    write_own: WriteOwn  # (offset, chunks, pieces): writes what is ours to write, and says which of `pieces` are ours
    on_pieces: OnPieces  # they are written; each with its SHA-256
    on_unhashed: Callable[[Sequence[int]], None] | None = (
        None  # they are written, and nobody wanted it; None: always
    )
    is_wanted: Callable[[], bool] = lambda: True  # the SHA-256


class Written(NamedTuple):
    begin: int
    end: int
    unhashed: list[int]
    found: list[tuple[int, bytes]]


class Keeper(Protocol):
    """Who takes the bytes: `Writing`, or whoever has another use for them."""

    @property
    def is_full(self) -> bool: ...

    def put(self, offset: int, chunks: Sequence[bytes], pieces: Sequence[int] = ()) -> None: ...

    def when_room(self, go_on: Callable[[], None]) -> None: ...


class Writing:
    """`on_trouble` is called once, with what the disk refused; nothing is written after that."""

    def __init__(
        self,
        part: PartFile,
        on_trouble: Callable[[ShoalError], None],
        sharing: Sharing | None = None,
    ) -> None:
        self.part = part
        self._write_own = self._write_all if sharing is None else sharing.write_own
        self.is_first_hand: Callable[[], bool] = lambda: False  # whether all comes from the URL itself
        self.on_span: Callable[[int, int], object] = lambda begin, end: None  # these bytes are written
        self._sharing = sharing
        self._piece_length = piece_length_for(part.length or 0)
        self.written = 0  # bytes
        self._loop = asyncio.get_running_loop()
        self._workers = Workers(self._loop.call_soon_threadsafe, 1)
        self._on_trouble = on_trouble
        self._queued = 0
        self._error: ShoalError | None = None  # set by the worker's thread, and only once
        self._was_told = False
        self._held: list[Callable[[], None]] = []
        self._drained: list[asyncio.Future[None]] = []

    @property
    def error(self) -> ShoalError | None:
        """What the disk refused, if it did; after `drain` that is final."""
        return self._error

    @property
    def is_full(self) -> bool:
        return self._queued > MOST_QUEUED

    def put(self, offset: int, chunks: Sequence[bytes], pieces: Sequence[int] = ()) -> None:
        """The bytes from `offset` on; with them `pieces` are whole."""
        count = sum(map(len, chunks))
        self._queued += count
        is_first_hand = bool(pieces) and self.is_first_hand()
        is_hashed = self._is_hashed(is_first_hand)

        def write() -> Written:
            written = Written(offset, offset + count, [], [])
            if self._error is None:
                try:
                    for piece in self._write_own(offset, chunks, pieces):
                        self.part.on_piece(piece, is_first_hand=is_first_hand)
                        if is_hashed:
                            written.found.append((piece, self._digest(piece)))
                        else:
                            written.unhashed.append(piece)
                except ShoalError as error:
                    self._error = error
            return written

        self._workers.submit(write, self._on_written)

    def _is_hashed(self, is_first_hand: bool) -> bool:
        """Now; what is not of the URL itself is never left for later, for nothing else shows that it is right."""
        sharing = self._sharing
        if sharing is None or sharing.on_unhashed is None:
            return sharing is not None
        return not is_first_hand or sharing.is_wanted()

    def _write_all(self, offset: int, chunks: Sequence[bytes], pieces: Sequence[int]) -> Sequence[int]:
        self.part.write_all(offset, chunks)
        return pieces

    def _digest(self, piece: int) -> bytes:
        """In the worker's thread. What was just written is in memory still."""
        length = min(self._piece_length, (self.part.length or 0) - piece * self._piece_length)
        view = memoryview(bytearray(length))
        self.part.read_into(piece * self._piece_length, view)
        return hashlib.sha256(view).digest()

    def when_room(self, go_on: Callable[[], None]) -> None:
        """Call it when there is room again."""
        self._held.append(go_on)

    async def drain(self) -> None:
        """Wait until all is written, or the disk has refused."""
        if self._queued:
            drained = self._loop.create_future()
            self._drained.append(drained)
            await drained

    def close(self) -> None:
        """Write what is queued, and end the thread. For that moment the loop stands still."""
        self._workers.close()

    def _on_written(self, written: Written) -> None:
        begin, end, unhashed, found = written
        if self._sharing is not None and found:
            self._sharing.on_pieces(found)
        if self._sharing is not None and self._sharing.on_unhashed is not None and unhashed:
            self._sharing.on_unhashed(unhashed)
        self._queued -= end - begin
        self.written += end - begin
        if self._error is None:
            self.on_span(begin, end)
        if self._error is not None and not self._was_told:
            self._was_told = True
            self._on_trouble(self._error)
        if not self.is_full:
            held, self._held = self._held, []
            for go_on in held:
                go_on()
        if not self._queued:
            drained, self._drained = self._drained, []
            for future in drained:
                if not future.done():
                    future.set_result(None)
