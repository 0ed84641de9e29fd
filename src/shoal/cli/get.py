"""`shoal get`: have everything a torrent holds, from everybody who has it, and share it meanwhile."""

from __future__ import annotations

import asyncio
import fnmatch
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from shoal.cli import options
from shoal.cli.session import (
    NetworkOptions,
    Voice,
    make_engine,
    open_torrent,
    show_until,
    unless_stopped,
)
from shoal.cli.signals import run_until_stopped
from shoal.cli.sources import load_source, resolve_peers
from shoal.cli.text import counted, printable
from shoal.engine.torrent import Torrent
from shoal.errors import ExitCode, NotFoundError, ShoalError, UsageError
from shoal.formats.metainfo import Metainfo
from shoal.net.sockets import format_address
from shoal.units import format_duration, format_rate, format_size

MOST_SOURCES_SHOWN = 8  # peers in the last lines; --json has them all


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
class Wishes:
    sources: tuple[str, ...]
    folder: Path
    peers: tuple[tuple[str, int], ...]
    globs: tuple[str, ...]
    seeding: Seeding
    overwrite: bool


@click.command("get")
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True)
@click.option(
    "--dir",
    "folder",
    type=options.PATH,
    metavar="DIR",
    default=".",
    help="Where to put it. Without it: here.",
)
@click.option(
    "--file",
    "globs",
    metavar="GLOB",
    multiple=True,
    help="Only the files of that name or path; may be given several times.",
)
@click.option("--no-seed", is_flag=True, help="End as soon as everything is here.")
@click.option(
    "--seed-ratio", type=click.FloatRange(min=0), metavar="R", help="Seed until R times the size was sent."
)
@click.option(
    "--seed-time", type=click.FloatRange(min=0), metavar="SECONDS", help="Seed for so long after the end."
)
@click.option(
    "--overwrite", is_flag=True, help="Replace files that are there and are not part of the torrent."
)
@options.peer_option
@options.max_upload_rate_option
@options.max_download_rate_option
@options.bind_option
@options.port_option
@options.name_option
@options.log_option
@options.json_option
@options.quiet_option
def command(
    sources: tuple[str, ...],
    folder: Path,
    globs: tuple[str, ...],
    no_seed: bool,
    seed_ratio: float | None,
    seed_time: float | None,
    overwrite: bool,
    peers: tuple[tuple[str, int], ...],
    max_upload_rate: int | None,
    max_download_rate: int | None,
    bind: str | None,
    port: int | None,
    name: str,
    log_path: Path | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Get the files of a torrent. SOURCE is a .torrent file, the http(s) URL of one, or shoal://HOST/NAME.

    What is there already is checked and kept; the same command goes on where an interrupted one was.
    Once everything is here, it asks on a terminal whether to go on seeding; without one it ends.
    """
    if no_seed and (seed_ratio is not None or seed_time is not None):
        raise UsageError("--no-seed goes with neither --seed-ratio nor --seed-time")
    network = NetworkOptions(bind, port, name, log_path, quiet, as_json, max_upload_rate, max_download_rate)
    wishes = Wishes(sources, folder, peers, globs, Seeding(no_seed, seed_ratio, seed_time), overwrite)
    course = Course(folder)
    with Voice(network) as voice:
        try:
            return run_until_stopped(lambda stop: get(wishes, network, voice, stop, course))
        except ShoalError as error:
            if as_json:
                voice.json(course.record(error))
            raise


async def get(
    wishes: Wishes, network: NetworkOptions, voice: Voice, stop: asyncio.Event, course: Course
) -> int:
    chosen = await unless_stopped(choose(wishes, network), stop, "fetching the torrent")
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
        voice.serving(engine)
        torrents = course.torrents
        await show_until(torrents, network, stop.wait(), wait_all_completed(torrents), seeding=False)
        course.on_fetched(is_complete=all(torrent.completed.is_set() for torrent in torrents))
        if course.is_complete:
            tell_complete(torrents, wishes.folder, course.seconds, network, voice)
            await seed_as_asked(torrents, wishes.seeding, network, stop)
    for torrent in torrents:
        if torrent.save_error is not None:
            raise torrent.save_error
    if network.as_json:
        voice.json(course.record())
    if not course.is_complete:
        tell_unfinished(torrents, voice)
        return ExitCode.UNFINISHED
    return ExitCode.OK


Choice = tuple[Metainfo, list[int] | None]  # a torrent, and the indices of its wanted files; None for all


async def choose(wishes: Wishes, network: NetworkOptions) -> list[Choice]:
    """What is to be fetched, each torrent once, without those of which no file is wanted. Raises `ShoalError`."""
    loaded = [await load_source(source, network.bind) for source in wishes.sources]
    metainfos = {metainfo.wire_hash: metainfo for metainfo in loaded}.values()
    chosen = [(metainfo, select_files(metainfo, wishes.globs)) for metainfo in metainfos]
    chosen = [choice for choice in chosen if choice[1] is None or choice[1]]
    if not chosen:
        raise NotFoundError(f"no file matches {' '.join(wishes.globs)}", hint="shoal inspect lists the files")
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


def result_path(torrent: Torrent, folder: Path) -> Path:
    return folder / torrent.metainfo.name


def source_records(torrents: Sequence[Torrent]) -> list[dict[str, Any]]:
    """Who gave how much, most first."""
    given: dict[str, int] = {}
    for torrent in torrents:
        for address, entry in torrent.ledger.entries.items():
            if entry.given:
                text = format_address(address)
                given[text] = given.get(text, 0) + entry.given
    ranked = sorted(given.items(), key=lambda pair: -pair[1])
    return [{"kind": "peer", "address": address, "bytes": size} for address, size in ranked]


@dataclass(slots=True)
class Course:
    """How far a `get` has come; the last line of `--json` is told from this, however it ended."""

    folder: Path
    torrents: list[Torrent] = field(default_factory=list)
    is_complete: bool = False
    seconds: float = 0.0  # until everything was here, or until the end
    started_at: float = field(default_factory=time.monotonic)

    def on_fetched(self, *, is_complete: bool) -> None:
        self.is_complete = is_complete
        self.seconds = time.monotonic() - self.started_at

    def record(self, error: ShoalError | None = None) -> dict[str, Any]:
        """The last line of `--json`."""
        single = self.torrents[0] if len(self.torrents) == 1 else None
        record = {
            "status": self._status(error),
            "path": str(result_path(single, self.folder) if single else self.folder),
            "bytes": sum(torrent.have_bytes for torrent in self.torrents),
            "seconds": round(self.seconds or time.monotonic() - self.started_at, 3),
            "sources": source_records(self.torrents),
            "verified": "pieces" if self.torrents else "none",
        }
        if error is not None:
            record |= {"error": error.message, "exit_code": int(error.exit_code)}
        return record

    def _status(self, error: ShoalError | None) -> str:
        if error is None:
            return "complete" if self.is_complete else "unfinished"
        return "unfinished" if error.exit_code == ExitCode.UNFINISHED else "failed"


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
            click.echo(f"{path} was complete already: {size}, every piece checked")
            continue
        rate = format_rate(received / seconds) if seconds > 0 else ""
        givers = source_records([torrent])
        click.echo(
            f"got {path}: {size} in {format_duration(seconds)} ({rate}) "
            f"from {counted(len(givers), 'peer')}, every piece checked"
        )
        for giver in givers[:MOST_SOURCES_SHOWN] if len(givers) > 1 else ():
            click.echo(f"  {format_size(giver['bytes']):>10}  {giver['address']}")


def tell_unfinished(torrents: Sequence[Torrent], voice: Voice) -> None:
    for torrent in torrents:
        if not torrent.completed.is_set():
            left = format_size(torrent.left_bytes)
            voice.remark(
                f"{torrent.metainfo.name}: stopped with {left} still to come; the same command goes on from here"
            )
