"""Remember what is on the disk: data, then fsync, then the record; every few seconds and at the end.

Always true: a piece is recorded only after its bytes are durable, because the set that is recorded is taken before
the sync begins. It is recorded with the stamps its files had when the bytes were last ours to know: at the check, or
after our own latest write. Whoever changes a file later makes the next start look again. Until the end the record
claims all wanted files, so that what a kill leaves of them is known to be ours. One saving at a time; what becomes
whole meanwhile waits for the next.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from shoal.disk.check import claimed
from shoal.disk.storage import Stamp
from shoal.engine.ledger import Ledger
from shoal.errors import ShoalError
from shoal.units import MIB

if TYPE_CHECKING:
    from shoal.engine.engine import Engine
    from shoal.engine.opening import Opened

SAVE_EVERY = 5.0  # seconds
SAVE_AFTER = 64 * MIB  # or so many new bytes, whichever comes first: what a kill may cost at most


class NoSaving:
    """Of a torrent whose owner remembers what is there."""

    error: ShoalError | None = None

    def on_piece(self, size: int) -> None: ...

    def tick(self, now: float, have: int, ledger: Ledger) -> None: ...

    async def finish(self, have: int, ledger: Ledger) -> None: ...

    def on_crash(self) -> None: ...


class Saving:
    """The state of one torrent; its totals go on from those of earlier runs."""

    def __init__(self, engine: Engine, opened: Opened) -> None:
        self._engine = engine
        self._storage = opened.storage
        self._state = opened.state
        before = opened.remembered
        self._uploaded_before = before.uploaded if before else 0
        self._downloaded_before = before.downloaded if before else 0
        self._stamps: tuple[Stamp | None, ...] = opened.stamps
        self._claims = not opened.is_read_only
        is_recorded = before is not None and before.stamps == opened.stamps and opened.is_read_only
        self._saved_have = before.have_bits if before and is_recorded else None
        self._unsaved_bytes = 0
        self._saved_at = engine.now()
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
        try:
            await self._idle.wait()
            self._claims = False
            if have != self._saved_have or self._unsaved_bytes or ledger.sent:
                self._save(have, ledger)
                await self._idle.wait()
        finally:
            self._state.close()

    def on_crash(self) -> None:
        """A worker broke down, perhaps on our errand: nobody may wait for it."""
        self._is_saving = False
        self._idle.set()

    def _save(self, have: int, ledger: Ledger) -> None:
        uploaded = self._uploaded_before + ledger.sent
        downloaded = self._downloaded_before + ledger.received
        self._is_saving = True
        self._idle.clear()
        self._unsaved_bytes = 0
        claims = self._claims

        def save() -> ShoalError | None:
            try:
                if self._storage.sync():
                    self._stamps = self._storage.stamps()
                stamps = claimed(self._storage, self._stamps) if claims else self._stamps
                self._state.record(have, stamps, uploaded=uploaded, downloaded=downloaded)
            except ShoalError as error:
                return error
            return None

        def saved(error: ShoalError | None) -> None:
            self._is_saving = False
            self._saved_at = self._engine.now()
            self._saved_have = have if error is None else None
            self.error = error
            self._idle.set()

        self._engine.workers.submit(save, saved)
