"""Remember what is on the disk: data, then fsync, then the record; every few seconds and at the end.

Always true: a piece is recorded only after its bytes are durable, because the set that is recorded is taken before
the sync begins. One saving at a time; what becomes whole meanwhile waits for the next.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from shoal.disk.state import Remembered, TorrentState
from shoal.disk.storage import Storage
from shoal.engine.ledger import Ledger
from shoal.errors import ShoalError
from shoal.units import MIB

if TYPE_CHECKING:
    from shoal.engine.engine import Engine

SAVE_EVERY = 5.0  # seconds
SAVE_AFTER = 64 * MIB  # or so many new bytes, whichever comes first: what a kill may cost at most


class Saving:
    """`remembered` is what the state held before this run: its totals go on from there."""

    def __init__(
        self, engine: Engine, storage: Storage, state: TorrentState, remembered: Remembered | None
    ) -> None:
        self._engine = engine
        self._storage = storage
        self._state = state
        self._uploaded_before = remembered.uploaded if remembered else 0
        self._downloaded_before = remembered.downloaded if remembered else 0
        self._unsaved_bytes = 0
        self._saved_at = engine.now()
        self._saved_have = remembered.have_bits if remembered else -1
        self._is_saving = False
        self._idle = asyncio.Event()
        self._idle.set()
        self.error: ShoalError | None = None  # the last saving failed: the next start will check more

    def on_piece(self, size: int) -> None:
        self._unsaved_bytes += size

    def tick(self, now: float, have: int, ledger: Ledger) -> None:
        is_due = self._unsaved_bytes and now - self._saved_at >= SAVE_EVERY
        if (is_due or self._unsaved_bytes >= SAVE_AFTER) and not self._is_saving:
            self._save(have, ledger)

    async def finish(self, have: int, ledger: Ledger) -> None:
        """Save what is there now, and let go of the state."""
        await self._idle.wait()
        if have != self._saved_have or self._unsaved_bytes or ledger.sent:
            self._save(have, ledger)
            await self._idle.wait()
        self._state.close()

    def _save(self, have: int, ledger: Ledger) -> None:
        uploaded = self._uploaded_before + ledger.sent
        downloaded = self._downloaded_before + ledger.received
        self._is_saving = True
        self._idle.clear()
        self._unsaved_bytes = 0

        def save() -> ShoalError | None:
            try:
                self._storage.sync()
                self._state.record(have, self._storage.stamps(), uploaded=uploaded, downloaded=downloaded)
            except ShoalError as error:
                return error
            return None

        def saved(error: ShoalError | None) -> None:
            self._is_saving = False
            self._saved_at = self._engine.now()
            self._saved_have = have if error is None else -1
            self.error = error
            self._idle.set()

        self._engine.workers.submit(save, saved)
