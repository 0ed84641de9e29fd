"""All web seeds of the torrents that an engine runs, beside their neighbours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Final

from shoal.engine.engine import Engine
from shoal.engine.torrent import Torrent
from shoal.fetch.options import FetchOptions
from shoal.fetch.web_seeds.seed import WebSeed
from shoal.formats.metainfo import Metainfo

MOST_AT_ONCE: Final = 4  # of one torrent; when one is of no use the next has its turn


@asynccontextmanager
async def web_seeding(engine: Engine, torrents: Iterable[tuple[Torrent, Metainfo]]) -> AsyncIterator[None]:
    """Inside, web seeds bring what these lack. Leave it before the engine."""
    options = FetchOptions(bind=engine.bind)
    begun: list[WebSeed] = []
    tasks = [
        engine.loop.create_task(_in_turn(torrent, metainfo, options, begun))
        for torrent, metainfo in torrents
        if metainfo.web_seeds and not torrent.swarm.pieces.is_complete
    ]
    for task in tasks:
        task.add_done_callback(lambda task: _on_over(engine, task))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for seed in begun:
            await seed.settle()


async def _in_turn(torrent: Torrent, metainfo: Metainfo, options: FetchOptions, begun: list[WebSeed]) -> None:
    places = asyncio.Semaphore(MOST_AT_ONCE)

    async def one(base: str) -> None:
        async with places:
            if not torrent.swarm.pieces.is_complete:
                seed = WebSeed(torrent, metainfo, base, options)
                begun.append(seed)
                await seed.run()

    async with asyncio.TaskGroup() as group:
        for base in metainfo.web_seeds:
            group.create_task(one(base))


def _on_over(engine: Engine, task: asyncio.Task[None]) -> None:
    """It ends with an exception for a bug only."""
    if not task.cancelled() and (error := task.exception()) is not None:
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        engine.crash(error)
