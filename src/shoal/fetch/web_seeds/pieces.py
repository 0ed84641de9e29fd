"""Bytes of a web seed on their way into the torrent: put together to pieces, hashed, and written if they are right.

Always true: nothing is written that does not have its hash; a piece's bytes are kept until it is checked or forgotten.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from shoal.engine.torrent import Torrent
from shoal.errors import ShoalError
from shoal.units import MIB

MOST_CHECKED: Final = 32 * MIB  # bytes at the workers; above that, whoever brings more is held

OnChecked = Callable[[int, bool], None]  # a piece, and whether it is right


class PieceKeeper:
    """As the plan of one web seed says which pieces are whole; `on_checked` is called on the loop for each."""

    def __init__(self, torrent: Torrent, on_checked: OnChecked) -> None:
        self._torrent = torrent
        self._layout = torrent.content.layout
        self._on_checked = on_checked
        self._buffers: dict[int, bytearray] = {}
        self._checking: set[int] = set()
        self._queued = 0
        self._held: list[Callable[[], None]] = []
        self._drained = asyncio.Event()
        self._drained.set()

    @property
    def is_full(self) -> bool:
        return self._queued > MOST_CHECKED

    @property
    def checking(self) -> set[int]:
        """Pieces whose bytes are all here, and at a worker."""
        return self._checking

    def when_room(self, go_on: Callable[[], None]) -> None:
        self._held.append(go_on)

    def put(self, offset: int, chunks: Sequence[bytes], pieces: Sequence[int] = ()) -> None:
        count = sum(map(len, chunks))
        self._torrent.ledger.elsewhere_flow.add(count, self._torrent.engine.now())
        for chunk in chunks:
            self._copy(offset, memoryview(chunk))
            offset += len(chunk)
        for piece in pieces:
            self._check(piece)

    def forget(self, piece: int) -> None:
        """What came of it is no use."""
        self._buffers.pop(piece, None)

    async def drain(self) -> None:
        """Until all that is at the workers is checked: nothing is written any more. After a bug nobody waits."""
        failed = self._torrent.failed
        drained = asyncio.ensure_future(self._drained.wait())
        waiting: set[asyncio.Future[Any]] = {drained, failed}
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if failed.done() and failed.exception() is None:
                await drained
        finally:
            drained.cancel()

    def _copy(self, offset: int, view: memoryview) -> None:
        while view:
            piece, begin = divmod(offset, self._layout.piece_length)
            size = self._layout.piece_size(piece)
            buffer = self._buffers.get(piece)
            if buffer is None:
                buffer = self._buffers[piece] = bytearray(size)
            part = view[: size - begin]
            buffer[begin : begin + len(part)] = part
            offset += len(part)
            view = view[len(part) :]

    def _check(self, piece: int) -> None:
        data = self._buffers.pop(piece)
        content, store = self._torrent.content, self._torrent.storage
        offset, failed = self._layout.piece_offset(piece), self._torrent.failed

        def work() -> bool | ShoalError:
            if failed.done() or not content.is_good(piece, memoryview(data)):
                return False
            try:
                store.write(offset, data)
            except ShoalError as error:
                return error
            return True

        def done(result: bool | ShoalError) -> None:
            self._queued -= len(data)
            self._checking.discard(piece)
            if not self._checking:
                self._drained.set()
            if isinstance(result, ShoalError):
                self._torrent.fail(result)
            elif not failed.done():
                self._on_checked(piece, result)
            self._let_go()

        self._queued += len(data)
        self._checking.add(piece)
        self._drained.clear()
        self._torrent.engine.workers.submit(work, done)

    def _let_go(self) -> None:
        if not self.is_full:
            held, self._held = self._held, []
            for go_on in held:
                go_on()
