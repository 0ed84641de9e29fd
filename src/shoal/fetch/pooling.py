"""A session's part in the pool of its file: joined before its runs begin, left when they are over.

Alone, or where the file stays on this machine, there is no pool, and nothing happens here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from shoal.fetch.progress import OnNote
from shoal.units import KIB

if TYPE_CHECKING:
    from shoal.disk.part_file import PartFile
    from shoal.disk.piece_digests import PieceDigests
    from shoal.fetch.facts import Facts
    from shoal.fetch.joining import Joining
    from shoal.fetch.origins import Origins
    from shoal.fetch.plan import Plan
    from shoal.fetch.pool.pooled import Pooled
    from shoal.fetch.pool.requesting import Requesting
    from shoal.fetch.ranged import Ranged
    from shoal.fetch.sources import Source

PROBE_END = 16 * KIB  # what the first request asks for, of every member of a crowd: it shows the facts


class Pooling:
    """`joining` None: alone. `had_help`: members brought some of it."""

    def __init__(self, joining: Joining | None, note: OnNote) -> None:
        self.pooled: Pooled | None = None
        self.had_help = False
        self._joining = joining
        self._requesting: Requesting | None = None
        self._note = note

    @property
    def is_wanted(self) -> bool:
        return self._joining is not None

    @property
    def probe_end(self) -> int | None:
        """How far the first request asks; None: to the end."""
        return None if self._joining is None else PROBE_END

    async def join(
        self,
        source: Source,
        first_url: str,
        facts: Facts,
        part: PartFile,
        plan: Plan,
        origins: Origins,
        *,
        name: bytes,
        most: int,
        has_digest: bool,
        sha256: bytes | None,
        on_lost: Callable[[], None],
    ) -> Pooled | None:
        """The pool of this file, of which nobody knows before `begin`. None: it is downloaded alone."""
        if self._joining is not None:
            self._requesting = await self._joining.requesting()
        if self._requesting is not None:
            self.pooled = self._requesting.pooled(
                source, first_url, facts, part, plan, origins,
                name=name, most=most, has_digest=has_digest, sha256=sha256, on_lost=on_lost,
            )  # fmt: skip
        return self.pooled

    def begin(self, ranged: Ranged, group: asyncio.TaskGroup) -> None:
        """Before `ranged` runs."""
        if self.pooled is not None and self._requesting is not None:
            self.pooled.attach(ranged, group)
            group.create_task(self._requesting.begin(self.pooled))

    def know(self, expected: PieceDigests) -> None:
        """A Metalink's pieces: while they come where they are those of the pool, else at the end."""
        if self.pooled is not None:
            self.pooled.know(expected)

    async def remember(self) -> None:
        """Before the part file is remembered: who answers for what is in it."""
        if self.pooled is not None and self.pooled.keeping is not None:
            await self.pooled.keeping.save()

    async def settle(
        self,
        ranged: Ranged,
        group: asyncio.TaskGroup,
        source: Source,
        is_right: Callable[[], Awaitable[bool]],
    ) -> None:
        """All is here: until it `is_right`, what others brought is fetched once more."""
        while self.pooled is not None and not self.pooled.pool.is_frozen:
            pool = self.pooled.pool
            is_good = await is_right()
            pool.is_frozen = is_good and ranged.plan.is_complete  # what was lost meanwhile comes first
            if not is_good:
                self._note("the digest is wrong: what others brought is compared with the server")
                pool.doubt()
            await ranged.run(group, None, source)

    async def leave(self, *, lingers: bool = False) -> None:
        """The end, however it came; with `lingers` others first take what only we have."""
        pooled, self.pooled = self.pooled, None
        if pooled is not None and self._requesting is not None:
            self.had_help |= bool(pooled.pool.holdings.brought_bits)
            await self._requesting.end(lingers=lingers)
