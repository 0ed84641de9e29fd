"""What `get`, `seed` and `share` have in common: an engine, torrents in it, and everything told about them.

`Voice` is the one place where facts become text: lines of the log, JSON on stdout, remarks on stderr.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from shoal.cli.log import EventLog
from shoal.cli.progress import Progress
from shoal.cli.screen import LIVE_EVERY, Screen, Snapshot
from shoal.cli.text import printable
from shoal.engine.engine import Engine
from shoal.engine.torrent import Torrent
from shoal.errors import UnfinishedError
from shoal.formats.metainfo import Metainfo
from shoal.net.addresses import is_wildcard, primary_address
from shoal.net.sockets import format_address

Result = TypeVar("Result")

REMARKS = {  # events that people are told of, with the words for it
    "banned": "dropped {peer} ({client}): {reason}",
    "tracker": "{message}",
    "unreadable": "piece {piece} cannot be read: {error}",
}
TOLD_AS_JSON = ("connected", "disconnected", "banned", "tracker", "unreadable", "bad piece")


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """The options every network command has."""

    bind: str | None = None
    port: int | None = None
    name: str = ""
    log_path: Path | None = None
    quiet: bool = False
    as_json: bool = False
    max_upload_rate: int | None = None  # bytes a second, as below
    max_download_rate: int | None = None


class Voice(AbstractContextManager["Voice"]):
    def __init__(self, options: NetworkOptions) -> None:
        self._options = options
        self._log = EventLog(options.log_path, name=options.name) if options.log_path else None
        self._said: set[str] = set()

    def __exit__(self, *_: object) -> None:
        if self._log is not None:
            self._log.close()

    def event(self, event: str, **fields: Any) -> None:
        """Something happened: to the log always, to people and scripts if it matters to them."""
        if self._log is not None:
            self._log.record(event, **fields)
        if self._options.as_json and event in TOLD_AS_JSON:
            self.json({"event": event, **fields})
        if event in REMARKS:
            self.remark(REMARKS[event].format(**{"client": "unknown", **fields}))

    def json(self, record: dict[str, Any]) -> None:
        print(json.dumps(record, ensure_ascii=False), flush=True)

    def remark(self, text: str) -> None:
        """A line on stderr, once for each text; part of `--quiet`'s silence."""
        if not self._options.quiet and text not in self._said:
            self._said.add(text)
            print(f"shoal: {printable(text)}", file=sys.stderr, flush=True)

    def serving(self, engine: Engine) -> None:
        """The one flushed line on stdout that says where we listen."""
        address = serving_address(engine)
        if self._log is not None:
            self._log.record("listening", address=address)
        if self._options.as_json:
            self.json({"event": "listening", "address": address})
        elif not self._options.quiet:
            print(f"listening on {address}", flush=True)


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


async def unless_stopped(work: Awaitable[Result], stop: asyncio.Event, doing: str) -> Result:
    """What `work` comes to; `UnfinishedError` as soon as a stop is asked for."""
    working, stopped = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({working, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise UnfinishedError(f"stopped while {doing}")
        return working.result()
    finally:
        working.cancel()
        stopped.cancel()
        await asyncio.gather(working, stopped, return_exceptions=True)


def snapshot(torrent: Torrent) -> Snapshot:
    down, up = torrent.rates()
    pieces = torrent.swarm.pieces
    peers = list(torrent.swarm.peers.values())
    wanted = pieces.bytes_in(pieces.all & ~pieces.unwanted)
    return Snapshot(
        name=torrent.metainfo.name,
        have=wanted - torrent.left_bytes,
        wanted=wanted,
        down_rate=down,
        up_rate=up,
        sent=torrent.ledger.sent,
        peer_count=len(peers),
        seed_count=sum(peer.has == pieces.all for peer in peers),
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
    quiet = options.quiet or options.as_json
    screen: AbstractContextManager[Screen | None] = nullcontext() if quiet else Screen(seeding=seeding)
    with screen as shown:
        while not is_over():
            done, _ = await asyncio.wait(waiting, timeout=LIVE_EVERY, return_when=asyncio.FIRST_COMPLETED)
            if done:
                return
            if shown is not None:
                shown.draw([snapshot(torrent) for torrent in torrents])
