"""`shoal seed`: serve what is here, whole or in part."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import click

from shoal.cli import options
from shoal.cli.network_options import NetworkOptions, network_options
from shoal.cli.paths import is_folder
from shoal.cli.session import make_engine, open_torrent, serving_address, show_until
from shoal.cli.signals import run_until_stopped
from shoal.cli.sources import load_source, resolve_peers
from shoal.cli.voice import Voice, unless_stopped
from shoal.engine.torrent import Torrent
from shoal.errors import ExitCode, NotFoundError
from shoal.formats.metainfo import Metainfo


@click.command("seed")
@click.argument("torrents", metavar="TORRENT...", nargs=-1, required=True)
@click.option(
    "--dir", "folder", type=options.PATH, metavar="DIR", required=True, help="The folder that holds the data."
)
@options.peer_option
@network_options
def command(
    torrents: tuple[str, ...],
    folder: Path,
    peers: tuple[tuple[str, int], ...],
    network: NetworkOptions,
) -> int:
    """Check the data in DIR, then serve what is there until Ctrl-C; parts may be missing."""
    with Voice(network) as voice:
        return run_until_stopped(lambda stop: seed(torrents, folder, peers, network, voice, stop))


async def seed(
    sources: tuple[str, ...],
    folder: Path,
    peers: tuple[tuple[str, int], ...],
    network: NetworkOptions,
    voice: Voice,
    stop: asyncio.Event,
) -> int:
    if not await asyncio.to_thread(is_folder, folder):
        raise NotFoundError(f"{folder}: no such folder", hint="--dir names the folder that holds the data")
    addresses = await unless_stopped(resolve_peers(peers), stop, "looking up the peers")
    metainfos = await unless_stopped(load_all(sources, network), stop, "fetching the torrent")
    async with make_engine(network) as engine:
        running = [
            await open_torrent(
                engine, metainfo, folder, voice, stop, network.quiet, read_only=True, peers=addresses
            )
            for metainfo in metainfos
        ]
        voice.serving(serving_address(engine))
        for torrent in running:
            _say_what_is_there(torrent, folder, voice)
        await show_until(running, network, stop.wait(), seeding=True)
    return ExitCode.OK


async def load_all(sources: Sequence[str], network: NetworkOptions) -> list[Metainfo]:
    """The torrents named, each once."""
    loaded = [await load_source(source, network.bind) for source in sources]
    return list({metainfo.wire_hash: metainfo for metainfo in loaded}.values())


def _say_what_is_there(torrent: Torrent, folder: Path, voice: Voice) -> None:
    name = torrent.content.name
    pieces = torrent.swarm.pieces
    if not pieces.have:
        voice.remark(f"{name}: nothing of it is there; {folder} should be the folder that holds '{name}'")
    elif not pieces.has_all:
        voice.remark(f"{name}: {pieces.have.bit_count()} of {pieces.count} pieces are there")
