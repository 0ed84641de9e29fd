"""`shoal share`: one command that makes others able to get a file, and prints the command for them.

It makes the torrents, runs a tracker unless one is named, serves the metainfo over HTTP and seeds; with `--publish`
a tracker's catalogue has the metainfo instead. What it prints works when pasted on another machine that can reach
this one.
"""

from __future__ import annotations

import asyncio
import shlex
import stat
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import click

from shoal.cli import options
from shoal.cli.catalogues import Catalogue, asking, parse_whole_catalogue
from shoal.cli.create import Wishes as TorrentWishes
from shoal.cli.create import find_named_payload, make_torrent
from shoal.cli.network_options import NetworkOptions, network_options
from shoal.cli.paths import is_folder, stat_of
from shoal.cli.publishing import check_may_publish, checked_token, publish, publish_token_option
from shoal.cli.session import make_engine, open_torrent, serving_address, show_until
from shoal.cli.signals import run_until_stopped
from shoal.cli.torrent_files import FOLDERS_IGNORE_CASE
from shoal.cli.voice import Voice, unless_stopped
from shoal.engine.torrent import Torrent
from shoal.errors import ExitCode, NetworkError, NotFoundError, UsageError
from shoal.formats.bitfield import all_bits
from shoal.formats.metainfo import Metainfo, parse_metainfo
from shoal.net.addresses import is_wildcard, primary_address, url_host
from shoal.tracker.decision import Policy
from shoal.tracker.server import DEFAULT_PORT, Doors, serve
from shoal.tracker.site import Site
from shoal.tracker.tracker import Tracker

TORRENT_TYPE = "application/x-bittorrent"
METAINFO_PORTS = (*range(DEFAULT_PORT, DEFAULT_PORT + 20), 0)  # the tracker's, the next ones, then any


@dataclass(frozen=True, slots=True)
class Shared:
    """One torrent to be: its payload's folder and its bytes."""

    root: Path
    data: bytes
    metainfo: Metainfo


@click.command("share")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=options.PATH)
@click.option("--each", is_flag=True, help="Make every file of a folder a torrent of its own.")
@click.option(
    "--tracker",
    type=options.TRACKER_URL,
    metavar="URL",
    help="Meet at this tracker, instead of one that runs inside this command.",
)
@click.option(
    "--publish",
    "catalogue",
    type=parse_whole_catalogue,
    metavar="URL",
    help="Meet at this tracker and publish in its catalogue, from which others get it by name: shoal://HOST/NAME.",
)
@publish_token_option
@click.option(
    "--announce-host",
    metavar="HOST",
    help="The name or address others reach this machine by. Without it: its address in the local network.",
)
@network_options
def command(
    paths: tuple[Path, ...],
    each: bool,
    tracker: str | None,
    catalogue: Catalogue | None,
    publish_token: str | None,
    announce_host: str | None,
    network: NetworkOptions,
) -> int:
    """Share files and folders: prints the command that gets them on another machine, and serves until Ctrl-C."""
    with Voice(network) as voice:
        if catalogue is None:
            return run_until_stopped(
                lambda stop: share(paths, each, tracker, announce_host, network, voice, stop)
            )
        if tracker is not None or announce_host is not None:
            raise UsageError(
                "--publish names the tracker, and goes with neither --tracker nor --announce-host"
            )
        token = checked_token(publish_token)
        return run_until_stopped(
            lambda stop: share_published(paths, each, catalogue, token, network, voice, stop)
        )


async def share(
    paths: Sequence[Path],
    each: bool,
    tracker: str | None,
    announce_host: str | None,
    network: NetworkOptions,
    voice: Voice,
    stop: asyncio.Event,
) -> int:
    """Serve the metainfo ourselves, and be the tracker unless another is named."""
    bind = network.bind
    host = announce_host or (primary_address() if is_wildcard(bind) else str(bind))
    chosen = payload_paths(paths, each)
    announced: set[bytes] = set()  # info hashes that the tracker inside serves
    async with serve_metainfo(bind, announced) as (site, port):
        base = f"http://{url_host(host)}:{port}"
        shared = await make_all(chosen, tracker or f"{base}/announce", network, stop)
        urls = put_at_paths(shared, site, base)
        if tracker is None:
            announced.update(one.metainfo.wire_hash for one in shared)
        async with seeding(shared, network, voice, stop) as torrents:
            tell_commands(commands_for(shared, urls), network)
            await show_until(torrents, network, stop.wait(), seeding=True)
    return ExitCode.OK


async def share_published(
    paths: Sequence[Path],
    each: bool,
    catalogue: Catalogue,
    token: str,
    network: NetworkOptions,
    voice: Voice,
    stop: asyncio.Event,
) -> int:
    """Leave the metainfo in a catalogue. What is published there holds no passkey of ours."""
    keyless = replace(catalogue, key="")
    chosen = payload_paths(paths, each)
    for name in sorted({path.name for path in chosen}):  # before all hashing, which may take long
        checking = check_may_publish(catalogue, name, token, network.bind)
        await unless_stopped(checking, stop, "asking the tracker")
    shared = await make_all(chosen, keyless.announce_url, network, stop)
    refuse_equal_names(shared)
    ours = [replace(one, metainfo=asking(one.metainfo, catalogue)) for one in shared]
    async with seeding(ours, network, voice, stop) as torrents:
        for one in shared:
            publishing = publish(catalogue, one.metainfo.name, one.data, token, network.bind)
            await unless_stopped(publishing, stop, "publishing")
        sources = [keyless.source(one.metainfo.name) for one in shared]
        tell_commands(commands_for(shared, sources), network)
        await show_until(torrents, network, stop.wait(), seeding=True)
    return ExitCode.OK


async def make_all(
    chosen: Sequence[Path], announce: str, network: NetworkOptions, stop: asyncio.Event
) -> list[Shared]:
    shared = [await asyncio.to_thread(make_shared, path, announce, network.quiet, stop) for path in chosen]
    return list({one.metainfo.wire_hash: one for one in shared}.values())  # the same file twice is one


@asynccontextmanager
async def seeding(
    shared: Sequence[Shared], network: NetworkOptions, voice: Voice, stop: asyncio.Event
) -> AsyncIterator[list[Torrent]]:
    async with make_engine(network) as engine:
        torrents = [
            await open_torrent(
                engine,
                one.metainfo,
                one.root,
                voice,
                stop,
                network.quiet,
                read_only=True,
                have=all_bits(one.metainfo.layout.piece_count),
                trackers=one.metainfo.trackers,
            )
            for one in shared
        ]
        voice.serving(serving_address(engine))
        yield torrents


def refuse_equal_names(shared: Sequence[Shared]) -> None:
    """Raise `UsageError` if two would be published under one name: the second would replace the first."""
    named: dict[str, Shared] = {}
    for one in shared:
        name = one.metainfo.name
        if named.setdefault(name, one) is not one:
            raise UsageError(f"two of them are named '{name}', and a catalogue has a name once")


def payload_paths(paths: Sequence[Path], each: bool) -> list[Path]:
    """What becomes a torrent: each path, or with `each` every file of the folders among them."""
    chosen: list[Path] = []
    for path in paths:
        if stat_of(path) is None:
            raise NotFoundError(f"{path}: no such file or folder")
        if each and is_folder(path):
            inside = sorted(file for file in path.rglob("*") if is_sharable(file))
            if not inside:
                raise UsageError(f"{path}: holds no file that is not empty")
            chosen += inside
        else:
            chosen.append(path.resolve())  # what a link leads to, under its own name
    return chosen


def is_sharable(file: Path) -> bool:
    """An ordinary file with something in it; links are left out, as they are of a folder."""
    found = stat_of(file)
    return found is not None and stat.S_ISREG(found.st_mode) and found.st_size > 0 and not file.is_symlink()


def make_shared(path: Path, announce: str, quiet: bool, stop: asyncio.Event) -> Shared:
    payload = find_named_payload(path, None, ())
    wishes = TorrentWishes(trackers=(announce,))
    data = make_torrent(payload, wishes, quiet=quiet, should_stop=stop.is_set)
    return Shared(path.resolve().parent, data, parse_metainfo(data, ignore_case=FOLDERS_IGNORE_CASE))


def put_at_paths(shared: Sequence[Shared], site: Site, base: str) -> list[str]:
    """Put each torrent at a path of its own; the URLs."""
    urls: list[str] = []
    for one in shared:
        path = f"/{one.metainfo.name}.torrent"
        if path in site.routes:  # two files of one name
            path = f"/{one.metainfo.wire_hash.hex()[:8]}{path}"
        site.routes[path] = (TORRENT_TYPE, one.data)
        urls.append(base + quote(path))
    return urls


@asynccontextmanager
async def serve_metainfo(bind: str | None, announced: set[bytes]) -> AsyncIterator[tuple[Site, int]]:
    """An HTTP server for the metainfo, which is a tracker for the torrents in `announced` as well; and its port."""
    tracker = Tracker(Policy(only=announced))
    site = Site(tracker)
    async with AsyncExitStack() as opened:
        for port in METAINFO_PORTS:
            doors = Doors(() if bind is None else (bind,), port, has_udp=False)
            with suppress(*(() if port == 0 else (NetworkError,))):
                serving = await opened.enter_async_context(serve(tracker, site, doors))
                break
        yield site, serving.port


def commands_for(shared: Sequence[Shared], urls: Sequence[str]) -> list[str]:
    """What to type on the other machine: one command, and one more with a folder of its own for each name again."""
    batches: list[dict[str, str]] = []  # name -> URL
    for one, url in zip(shared, urls, strict=True):
        batch = next((batch for batch in batches if one.metainfo.name not in batch), None)
        if batch is None:
            batches.append(batch := {})
        batch[one.metainfo.name] = url
    return [
        " ".join(
            ["shoal get", *([] if number == 1 else [f"--dir {number}"]), *map(shlex.quote, batch.values())]
        )
        for number, batch in enumerate(batches, 1)
    ]


def tell_commands(commands: Sequence[str], network: NetworkOptions) -> None:
    """Each command alone on its line; printed even with --quiet: they are the result."""
    if network.quiet:
        click.echo("\n".join(commands))
    else:
        lines = "\n".join(f"  {command}" for command in commands)
        click.echo(f"on the other machine:\n\n{lines}\n")
