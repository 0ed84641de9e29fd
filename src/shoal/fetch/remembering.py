"""Every few seconds, make durable what is here of a file."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from shoal.disk.part_file import PartFile
from shoal.errors import ShoalError

REMEMBERED_EVERY = 5.0  # seconds; what a power cut costs


class Remembering:
    """One at a time, in a thread; `on_trouble` is told what the disk refused. `beforehand` keeps what belongs to it."""

    def __init__(
        self,
        part: PartFile,
        beforehand: Callable[[], Awaitable[None]],
        on_trouble: Callable[[ShoalError], None],
    ) -> None:
        self._part = part
        self._beforehand = beforehand
        self._on_trouble = on_trouble
        self._began_at: float | None = None
        self._task: asyncio.Task[None] | None = None

    def beat(self, group: asyncio.TaskGroup, now: float) -> None:
        if self._began_at is None:
            self._began_at = now
        if self._task is None and now - self._began_at >= REMEMBERED_EVERY:
            self._began_at = now
            self._task = group.create_task(self._remember())

    async def _remember(self) -> None:
        try:
            await self._beforehand()
            await asyncio.to_thread(self._part.remember)
        except ShoalError as error:
            self._on_trouble(error)
        finally:
            self._task = None
