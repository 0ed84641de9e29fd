"""What is here and was never hashed in this run, and what a requester keeps from one run to the next: who answers for
the pieces that are here.

Always true: of what is here since an earlier run nothing is passed on before its bytes were read and are what its
record says. Pieces that the URL itself gave us, in whatever run and group or none, are signed anew. A piece that
another brought needs a record that is right in this group, else it is fetched again: nobody would answer for it.

It is done beside the download, a little at a time; others' pieces come first, for the end waits for them. What the URL
itself gave, before this run or in it, is hashed and signed only when the first member is met: until then nobody could
want it. Records are saved just before the part file is remembered: a piece whose record is lost would be fetched again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from shoal.disk.part_file import PartFile
from shoal.errors import ShoalError
from shoal.fetch.pieces import piece_span
from shoal.fetch.pool.proving import read_some
from shoal.fetch.pool.records_file import RecordsFile
from shoal.formats.bitfield import iter_bits
from shoal.units import format_size

if TYPE_CHECKING:
    from shoal.fetch.plan import Plan
    from shoal.fetch.pool.pool import Pool


class Keeping:
    """Make it before the pool: what nobody answers for is missing from the plan and the part file by then."""

    def __init__(self, part: PartFile, plan: Plan, note: Callable[[str], None]) -> None:
        self._part = part
        self._plan = plan
        self._note = note
        self._file = RecordsFile(part)
        self._records = self._file.load()
        self._unanswered = 0  # bytes that are fetched again
        own = part.first_hand_bits
        for piece in iter_bits(part.have_bits & ~own):
            if piece not in self._records:
                self._forget(piece)
        theirs = part.have_bits & ~own
        self._earlier_bits = theirs | own
        self._theirs, self._own = deque(iter_bits(theirs)), deque(iter_bits(own))
        self._looking: asyncio.Task[None] | None = None
        self._was_told = False
        self._tell_unanswered()

    def attach(self, pool: Pool) -> None:
        self._pool = pool
        pool.holdings.unproved_bits = pool.holdings.earlier_bits = self._earlier_bits

    def beat(self, group: asyncio.TaskGroup) -> None:
        """Some times a second. What it begins soon ends by itself."""
        if (self._theirs or (self._own and self.is_wanted)) and self._looking is None:
            self._looking = group.create_task(self.look())

    # ---- what our own connections brought, of which nobody has wanted the SHA-256

    @property
    def is_wanted(self) -> bool:
        """Once somebody was here, also when nobody is: what a member signed falsely has to show."""
        return self._pool.holdings.has_met or self._pool.authors.knows_all

    @property
    def holds_back(self) -> bool:
        """Whether members that are here have not been told of all yet."""
        return bool(self._own and self._pool.members)

    def on_unhashed(self, pieces: Sequence[int]) -> None:
        """These are written."""
        self._own.extend(pieces)
        self._pool.holdings.on_unhashed(pieces)
        if not self._pool.holdings.missing:
            self._pool.owner.wake()

    # ---- what is here

    async def look(self) -> None:
        """At some of it."""
        left, plan = self._theirs or self._own, self._plan
        try:
            found = await asyncio.to_thread(
                read_some, self._pool.store.read_into, left, plan.piece_length, plan.length
            )
        except ShoalError as error:
            self._pool.owner.on_failure(error)
            return
        finally:
            self._looking = None
        lost = 0
        for piece, digest in found:
            if self._pool.holdings.unproved_bits >> piece & 1 and not self._is_answered(piece, digest):
                lost |= 1 << piece
        self._pool.disown(lost)
        for piece in iter_bits(lost & ~self._part.have_bits):
            begin, end = self._span(piece)
            self._unanswered += end - begin
        self._tell_unanswered()
        self._pool.owner.wake()

    def _is_answered(self, piece: int, digest: bytes) -> bool:
        """Whether somebody answers for it; if so, it may be passed on from now on."""
        is_earlier = self._pool.holdings.earlier_bits >> piece & 1
        record = self._records.get(piece) if is_earlier else None
        if record is not None and record.digest != digest:
            return False
        if not is_earlier or self._part.first_hand_bits >> piece & 1:
            self._pool.on_pieces([(piece, digest)])
        elif record is not None:
            return self._pool.on_proved(record)
        return True

    def _forget(self, piece: int) -> None:
        begin, end = self._span(piece)
        self._plan.lose(begin, end)
        self._plan.withhold(begin, end)
        self._part.forget(begin, end)
        self._unanswered += end - begin

    def _tell_unanswered(self) -> None:
        """Once, when all was looked at that others brought."""
        if self._unanswered and not self._theirs:
            self._note(
                f"{format_size(self._unanswered)} of it are fetched again: nobody in this group answers for them"
            )
            self._unanswered = 0

    def _span(self, piece: int) -> tuple[int, int]:
        return piece_span(piece, self._plan.piece_length, self._plan.length)

    # ---- for the next run

    async def save(self) -> None:
        """Durable when it returns. One at a time; once the file has its name, nothing happens."""
        records = self._pool.holdings.records()  # here: the loop changes what they are taken from
        try:
            await asyncio.to_thread(self._file.save, records)
        except ShoalError as error:
            if not self._was_told:
                self._was_told = True
                self._note(f"after a stop, what others brought is fetched again: {error.message}")
