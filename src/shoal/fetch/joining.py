"""A group to download with, loaded while the answer to the first request is on its way.

All that members need (the engine, TLS, signatures) takes as long to load as the download alone does to begin, so it
is done in a thread, when the first request has gone. Only a limit for all that comes has to be there before: one
throttle serves members and libcurl.

Always true: what fails here is said once, and the download goes on alone.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Self

from shoal.errors import ShoalError
from shoal.fetch.progress import OnNote

if TYPE_CHECKING:
    from shoal.fetch.pool.requesting import Requesting
    from shoal.fetch.pool.wish import GroupWish
    from shoal.net.shared_limit import SharedLimit


class Joining:
    """Use as an async context manager around the whole download."""

    def __init__(self, wish: GroupWish, note: OnNote, max_rate: int | None) -> None:
        """`max_rate`: bytes a second that may come, from members and from the origin together."""
        self.limit: SharedLimit | None = None  # for what comes from the origin
        self._wish = wish
        self._note = note
        self._max_rate = max_rate
        self._loading: asyncio.Task[Requesting | None] | None = None
        self._stack = AsyncExitStack()
        self._is_over = False

    async def __aenter__(self) -> Self:
        if self._max_rate is not None and (requesting := await self.requesting()) is not None:
            self.limit = requesting.make_limit()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over = True
        if self._loading is not None:
            await asyncio.wait({self._loading})  # a thread is not to be stopped
            self._loading.result()  # a bug of ours does not go unseen
        await self._stack.__aexit__(kind, error, trace)

    def begin(self) -> None:
        """The first request has gone."""
        if self._loading is None:
            self._loading = asyncio.get_running_loop().create_task(self._load())

    async def requesting(self) -> Requesting | None:
        """When it is loaded; None: the group cannot be had."""
        self.begin()
        assert self._loading is not None
        return await asyncio.shield(self._loading)

    async def _load(self) -> Requesting | None:
        try:
            requesting = await asyncio.to_thread(self._make)
        except ShoalError as error:
            self._note(f"downloads alone: group {self._wish.group.name}: {error.message}")
            return None
        return None if self._is_over else await self._stack.enter_async_context(requesting)

    def _make(self) -> Requesting:
        from shoal.fetch.pool.requesting import Requesting

        return Requesting(self._wish, self._note, self._max_rate)
