"""What `get`, `seed` and `share` have in common where torrents are concerned: an engine, torrents in it, a picture."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from shoal.cli.network_options import NetworkOptions
from shoal.cli.progress import Progress
from shoal.cli.screen import Snapshot, torrent_screen
from shoal.cli.voice import Voice
from shoal.engine.engine import Engine
from shoal.engine.torrent import Torrent
from shoal.errors import UnfinishedError
from shoal.formats.metainfo import Metainfo
from shoal.net.addresses import is_wildcard, primary_address
from shoal.net.sockets import format_address

DRAWN_EVERY = 0.5  # seconds


def serving_address(engine: Engine) -> str:
    """Where other machines most likely reach this engine."""
    host = primary_address() if is_wildcard(engine.bind) else str(engine.bind)
    return format_address((host, engine.port))


def make_engine(options: NetworkOptions) -> Engine:
    return Engine(
        bind=None if is_wildcard(options.bind) else options.bind,
        port=options.port,
        max_upload_rate=options.max_upload_rate,
        max_download_rate=options.max_download_rate,
    )


async def open_torrent(
    engine: Engine, metainfo: Metainfo, root: Path, voice: Voice, stop: asyncio.Event, quiet: bool, **how: Any
) -> Torrent:
    """Add a torrent, showing the check of what is there. Raises `UnfinishedError` when stopped meanwhile."""
    progress: Progress | None = None

    def on_progress(done: int, total: int) -> None:
        nonlocal progress
        if progress is None:
            progress = Progress(f"checking {metainfo.name}", total, quiet=quiet)
        progress.advance(done)

    label = {"torrent": metainfo.name, "info_hash": metainfo.wire_hash.hex()}
    try:
        torrent = await engine.add(
            metainfo,
            root,
            on_progress=on_progress,
            should_stop=stop.is_set,
            report=lambda event, **fields: voice.event(event, **label, **fields),
            **how,
        )
    finally:
        if progress is not None:
            progress.close()
    if stop.is_set():
        raise UnfinishedError(f"{metainfo.name}: stopped while checking what is there")
    for path in torrent.too_long:
        voice.remark(f"{path}: longer than in the torrent; the rest is left as it is")
    return torrent


def snapshot(torrent: Torrent) -> Snapshot:
    down, up = torrent.rates()
    pieces = torrent.swarm.pieces
    peers = list(torrent.swarm.peers.values())
    wanted = pieces.bytes_in(pieces.all & ~pieces.unwanted)
    return Snapshot(
        name=torrent.content.name,
        have=wanted - torrent.left_bytes,
        wanted=wanted,
        down_rate=down,
        up_rate=up,
        sent=torrent.ledger.sent,
        peer_count=len(peers),
        seed_count=sum(peer.has == pieces.all for peer in peers),
        web_seed_count=len(torrent.ledger.elsewhere),
    )


async def show_until(
    torrents: Sequence[Torrent],
    options: NetworkOptions,
    *endings: Awaitable[Any],
    seeding: bool,
    is_over: Callable[[], bool] = lambda: False,
) -> None:
    """Draw the torrents until any ending comes or `is_over()`. Raises what made a torrent fail."""
    waiting = [asyncio.ensure_future(ending) for ending in endings]
    failing = [torrent.failed for torrent in torrents]
    try:
        await _draw_until({*waiting, *failing}, torrents, options, is_over, seeding=seeding)
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    for failure in failing:
        if failure.done():
            raise failure.result()


async def _draw_until(
    waiting: set[asyncio.Future[Any]],
    torrents: Sequence[Torrent],
    options: NetworkOptions,
    is_over: Callable[[], bool],
    *,
    seeding: bool,
) -> None:
    with torrent_screen(seeding=seeding, is_silent=options.quiet or options.as_json) as screen:
        while not is_over():
            done, _ = await asyncio.wait(waiting, timeout=DRAWN_EVERY, return_when=asyncio.FIRST_COMPLETED)
            if done:
                return
            screen.draw([snapshot(torrent) for torrent in torrents])
