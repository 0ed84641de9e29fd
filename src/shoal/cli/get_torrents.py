"""`shoal get` for torrents: have everything they hold, from everybody who has it, and share it meanwhile."""

from __future__ import annotations

import asyncio
import fnmatch
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoal.cli.course import MOST_SOURCES_SHOWN, Course, SourceRecord, result_path, source_records
from shoal.cli.network_options import NetworkOptions
from shoal.cli.session import make_engine, open_torrent, serving_address, show_until
from shoal.cli.sources import resolve_peers
from shoal.cli.text import counted, printable
from shoal.cli.voice import Voice, unless_stopped
from shoal.engine.engine import Engine
from shoal.engine.torrent import Torrent
from shoal.errors import ExitCode, NotFoundError, UsageError
from shoal.formats.metainfo import Metainfo
from shoal.units import format_duration, format_rate, format_size


@dataclass(frozen=True, slots=True)
class Seeding:
    """What to do once everything is here. None of it: ask on a terminal, stop elsewhere."""

    none: bool = False
    ratio: float | None = None
    seconds: float | None = None

    @property
    def is_said(self) -> bool:
        return self.none or self.ratio is not None or self.seconds is not None


@dataclass(frozen=True, slots=True)
class TorrentWishes:
    folder: Path
    peers: tuple[tuple[str, int], ...]
    globs: tuple[str, ...]
    seeding: Seeding
    overwrite: bool


def torrent_wishes(folder: Path, values: Mapping[str, Any]) -> TorrentWishes:
    """What the command's options come to."""
    seeding = Seeding(values["no_seed"], values["seed_ratio"], values["seed_time"])
    return TorrentWishes(folder, values["peers"], values["globs"], seeding, values["overwrite"])


async def get_torrents(
    loaded: Sequence[Metainfo],
    wishes: TorrentWishes,
    network: NetworkOptions,
    voice: Voice,
    stop: asyncio.Event,
    course: Course,
) -> int:
    """Until everything is here, and as long after that as the person wants to seed. The exit code."""
    chosen = choose(loaded, wishes.globs)
    addresses = await unless_stopped(resolve_peers(wishes.peers), stop, "looking up the peers")
    async with make_engine(network) as engine:
        for metainfo, wanted_files in chosen:
            torrent = await open_torrent(
                engine,
                metainfo,
                wishes.folder,
                voice,
                stop,
                network.quiet or network.as_json,
                wanted_files=wanted_files,
                overwrite=wishes.overwrite,
                peers=addresses,
            )
            course.torrents.append(torrent)
        voice.serving(serving_address(engine))
        torrents = course.torrents
        async with with_web_seeds(engine, torrents, [metainfo for metainfo, _ in chosen]):
            await show_until(torrents, network, stop.wait(), wait_all_completed(torrents), seeding=False)
        course.on_fetched(is_complete=all(torrent.completed.is_set() for torrent in torrents))
        if course.is_complete:
            tell_complete(torrents, wishes.folder, course.seconds, network, voice)
            await seed_as_asked(torrents, wishes.seeding, network, stop)
    for torrent in torrents:
        if torrent.save_error is not None:
            raise torrent.save_error
    if not course.is_complete:
        tell_unfinished(torrents, voice)
        return ExitCode.UNFINISHED
    return ExitCode.OK


@asynccontextmanager
async def with_web_seeds(
    engine: Engine, torrents: Sequence[Torrent], metainfos: Sequence[Metainfo]
) -> AsyncIterator[None]:
    """Inside, the web servers that the torrents name bring what is missing, too."""
    if not any(metainfo.web_seeds for metainfo in metainfos):
        yield
        return
    from shoal.fetch.web_seeds.seeding import web_seeding  # it loads libcurl, which many never need

    async with web_seeding(engine, zip(torrents, metainfos, strict=True)):
        yield


Choice = tuple[Metainfo, list[int] | None]  # a torrent, and the indices of its wanted files; None for all


def choose(loaded: Sequence[Metainfo], globs: Sequence[str]) -> list[Choice]:
    """What is to be fetched, each torrent once, without those of which no file is wanted. Raises `ShoalError`."""
    metainfos = {metainfo.wire_hash: metainfo for metainfo in loaded}.values()
    chosen = [(metainfo, select_files(metainfo, globs)) for metainfo in metainfos]
    chosen = [choice for choice in chosen if choice[1] is None or choice[1]]
    if not chosen:
        raise NotFoundError(f"no file matches {' '.join(globs)}", hint="shoal inspect lists the files")
    refuse_collisions(chosen)
    return chosen


def refuse_collisions(chosen: Sequence[Choice]) -> None:
    """Raise `UsageError` if two torrents would write to one file."""
    writers: dict[tuple[str, ...], Metainfo] = {}
    for metainfo, wanted_files in chosen:
        for index in range(len(metainfo.files)) if wanted_files is None else wanted_files:
            if not metainfo.files[index].is_padding:
                path = metainfo.disk_path(index)
                if writers.setdefault(path, metainfo) is not metainfo:
                    raise UsageError(
                        f"two of the torrents have a file {'/'.join(path)}",
                        hint="get them one at a time, each with a --dir of its own",
                    )


def select_files(metainfo: Metainfo, globs: Sequence[str]) -> list[int] | None:
    """The indices of the files that match any glob, by whole path or by last name; None for all."""
    if not globs:
        return None
    chosen: list[int] = []
    for index, file in enumerate(metainfo.files):
        path = "/".join(file.path)
        names = (path, file.path[-1], "/".join(metainfo.disk_path(index)))
        if not file.is_padding and any(fnmatch.fnmatchcase(name, glob) for name in names for glob in globs):
            chosen.append(index)
    return chosen


async def wait_all_completed(torrents: Sequence[Torrent]) -> None:
    for torrent in torrents:
        await torrent.completed.wait()


async def seed_as_asked(
    torrents: list[Torrent], seeding: Seeding, network: NetworkOptions, stop: asyncio.Event
) -> None:
    """Go on serving as long as the person wants."""
    if stop.is_set() or seeding.none:
        return
    if not seeding.is_said:
        is_terminal = sys.stdin.isatty() and sys.stderr.isatty() and not network.quiet and not network.as_json
        if not is_terminal or not await ask_to_seed(stop):
            return
    ratio = seeding.ratio

    def is_ratio_reached() -> bool:
        return ratio is not None and all(
            torrent.ledger.sent >= ratio * torrent.have_bytes for torrent in torrents
        )

    endings = [stop.wait()] if seeding.seconds is None else [stop.wait(), asyncio.sleep(seeding.seconds)]
    await show_until(torrents, network, *endings, seeding=True, is_over=is_ratio_reached)


async def ask_to_seed(stop: asyncio.Event) -> bool:
    """Ask on the terminal, seeding meanwhile; no answer but a yes, Ctrl-C or an end of input is a no."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[str] = loop.create_future()
    print("Go on seeding, so that others get it faster? [y/N] ", end="", file=sys.stderr, flush=True)

    def on_line() -> None:
        if not answer.done():
            answer.set_result(sys.stdin.readline())

    loop.add_reader(sys.stdin.fileno(), on_line)
    stopped = asyncio.ensure_future(stop.wait())
    try:
        waiting: set[asyncio.Future[Any]] = {answer, stopped}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        loop.remove_reader(sys.stdin.fileno())
        stopped.cancel()
    return answer.done() and answer.result().strip().lower() in ("y", "yes", "j", "ja")


# What it came to


def tell_complete(
    torrents: Sequence[Torrent], folder: Path, seconds: float, network: NetworkOptions, voice: Voice
) -> None:
    if network.as_json:
        voice.json({"event": "complete", "seconds": round(seconds, 3)})
        return
    if network.quiet:
        return
    for torrent in torrents:
        received = torrent.ledger.received
        size = format_size(torrent.have_bytes)
        path = printable(str(result_path(torrent, folder)))
        if not received:
            voice.tell(f"{path} was complete already: {size}, every piece checked")
            continue
        rate = format_rate(received / seconds) if seconds > 0 else ""
        givers = source_records([torrent])
        voice.tell(
            f"got {path}: {size} in {format_duration(seconds)} ({rate}) "
            f"from {_counted_givers(givers)}, every piece checked"
        )
        for giver in givers[:MOST_SOURCES_SHOWN] if len(givers) > 1 else ():
            kind = " (web seed)" if giver["kind"] == "web seed" else ""
            voice.tell(f"  {format_size(giver['bytes']):>10}  {giver['address']}{kind}")


def _counted_givers(givers: Sequence[SourceRecord]) -> str:
    """`"2 peers and 1 web seed"`."""
    counts = {kind: sum(giver["kind"] == kind for giver in givers) for kind in ("peer", "web seed")}
    return " and ".join(counted(count, kind) for kind, count in counts.items() if count)


def tell_unfinished(torrents: Sequence[Torrent], voice: Voice) -> None:
    for torrent in torrents:
        if not torrent.completed.is_set():
            left = format_size(torrent.left_bytes)
            voice.remark(
                f"{torrent.content.name}: stopped with {left} still to come; the same command goes on from here"
            )
