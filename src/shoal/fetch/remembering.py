"""Every few seconds, make durable what is here of a file, first as soon as there is something to lose."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from shoal.disk.part_file import PartFile
from shoal.errors import ShoalError
from shoal.fetch.plan import Plan

REMEMBERED_FIRST = 1.0  # seconds after the beginning, or when the first piece is there
NEARLY_OVER = 2.0  # seconds left; to read what came once more for its record would make the end later
REMEMBERED_EVERY = 5.0  # seconds; what a power cut costs


class Remembering:
    """One at a time, in a thread; `on_trouble` is told what the disk refused. `beforehand` keeps what belongs to it."""

    def __init__(
        self,
        part: PartFile,
        plan: Plan,
        beforehand: Callable[[], Awaitable[None]],
        on_trouble: Callable[[ShoalError], None],
    ) -> None:
        self._part = part
        self._plan = plan
        self._beforehand = beforehand
        self._on_trouble = on_trouble
        self._next_at: float | None = None
        self._task: asyncio.Task[None] | None = None

    def beat(self, group: asyncio.TaskGroup, now: float) -> None:
        if self._next_at is None:
            self._next_at = now + REMEMBERED_FIRST
        is_nearly_over = 0 < self._plan.bytes_left < self._plan.rate(now) * NEARLY_OVER
        if self._task is None and now >= self._next_at and self._part.have_bits and not is_nearly_over:
            self._next_at = now + REMEMBERED_EVERY
            self._task = group.create_task(self._remember())

    async def _remember(self) -> None:
        try:
            await self._beforehand()
            await asyncio.to_thread(self._part.remember)
        except ShoalError as error:
            self._on_trouble(error)
        finally:
            self._task = None
