"""The course of a demo: two seeds with different halves of a file, three leechers, and who gave what to whom.

Every machine is a `shoal` process like those that people run, and what is shown is what their logs say. The leechers
are there before the seeds, so that nothing is over before it is seen.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import click

from shoal.cli import options
from shoal.cli.demo import files
from shoal.cli.demo.show import Show
from shoal.cli.demo.stage import Actor, Stage
from shoal.cli.demo.story import Story
from shoal.cli.signals import run_until_stopped
from shoal.errors import ExitCode
from shoal.formats.metainfo import parse_metainfo
from shoal.units import KIB, MIB, format_size

URL_DEMO = "url"  # a file of that name is ./url
PAYLOAD_SIZE = 64 * MIB  # enough to be seen on its way, little enough for any machine
PIECE_LENGTH = 16 * KIB  # of that; the smallest there is, for the finest picture
NAME = "payload"  # whatever FILE is called: its own name may be one that cannot travel
SEEDS = ("seed A", "seed B")
LEECHERS = ("leecher C", "leecher D", "leecher E")
COPIES = 1 + len(LEECHERS)  # of the file, in the temporary folder: the two halves, and what the leechers get
SLOWEST = 20 * MIB  # bytes a second; a demo that is slower, and has used up PATIENCE, hangs
PATIENCE = 60.0  # seconds; six programs start, and the machine may be busy
LOCAL = ("--bind", "127.0.0.1", "--port", "0")
LONG_ENOUGH = "3600"  # seconds; the leechers serve on until they are told to end


@click.command("demo")
@click.argument("what", metavar="[url | FILE]", required=False)
def command(what: str | None) -> int:
    """Watch a whole swarm at work on this machine: a tracker, two seeds with a half of FILE each, three leechers.

    FILE is only read. Without it some random bytes are spread. Nothing is left behind.

    With the word url: a slow server of a file, a machine that wants it, and three that help it, all of them here.
    """
    if what == URL_DEMO:
        from shoal.cli.demo.url_play import play_url

        return run_until_stopped(play_url)
    file = None if what is None else options.PATH(what)
    return run_until_stopped(lambda stop: play(file, stop))


async def play(file: Path | None, stop: asyncio.Event) -> int:
    from shoal.cli.demo import picture  # here, since it takes rich along

    started_at = time.monotonic()
    size = PAYLOAD_SIZE if file is None else files.payload_size(file)
    with Stage() as stage:
        files.refuse_full_disk(stage.folder, size * (COPIES + (file is None)))
        give_up_at = started_at + PATIENCE + size / SLOWEST
        with Show[Story](stage, stop, picture.live, picture.plain_line, give_up_at=give_up_at) as show:
            story = await spread(file, size, show)
    tell_result(story, size, time.monotonic() - started_at)
    return ExitCode.OK


async def spread(file: Path | None, size: int, show: Show[Story]) -> Story:
    """Bring the file to all leechers, and compare what they got with it."""
    stage, should_stop = show.stage, show.stop.is_set
    show.headline = "making a torrent of it"
    tracker = stage.start("tracker", "tracker", *LOCAL)
    source = stage.folder / NAME if file is None else file
    if file is None:
        await asyncio.to_thread(files.make_payload, source, size, should_stop)
    announce = await tracker_url(tracker, show)
    finest = ("--piece-length", str(PIECE_LENGTH)) if file is None else ()
    torrent = await create_torrent(source, announce, finest, show)
    layout = parse_metainfo(torrent.read_bytes()).layout
    middle = (layout.piece_count + 1) // 2
    halves = [stage.folder_of(name) / NAME for name in SEEDS]
    sha256 = await asyncio.to_thread(
        files.lay_out_halves, source, middle * layout.piece_length, halves, should_stop
    )

    had = (range(middle), range(middle, layout.piece_count), *[()] * len(LEECHERS))
    show.story = story = Story(layout.piece_count, list(zip(SEEDS + LEECHERS, had, strict=True)))
    show.headline = f"{format_size(size)} in {layout.piece_count:,} pieces, tracker at {announce}"
    leechers = [start_leecher(stage, name, torrent) for name in LEECHERS]
    seeds_count = len(SEEDS)
    show.machines = dict(enumerate(leechers, start=seeds_count))
    await show.until(lambda: all(map(story.is_listening, show.machines)))
    show.machines.update(enumerate(start_seed(stage, name, torrent) for name in SEEDS))
    await show.until(lambda: all(map(story.has_all, range(seeds_count, len(story.machines)))))

    show.headline = "comparing the files"
    for leecher in leechers:
        leecher.end()
    await show.until(lambda: all(leecher.has_ended for leecher in leechers))
    for leecher in leechers:
        await asyncio.to_thread(files.verify, leecher.folder / NAME, sha256, leecher.name, should_stop)
    return story


async def tracker_url(tracker: Actor, show: Show[Any]) -> str:
    """Where the tracker listens, once it says so."""
    await show.until(lambda: tracker.output.has_more)
    return tracker.output.read()[0].removeprefix("tracker ")


async def create_torrent(source: Path, announce: str, how: tuple[str, ...], show: Show[Story]) -> Path:
    torrent = show.stage.folder / f"{NAME}.torrent"
    what = ("--output", torrent, "--name", NAME, "--tracker", announce, "--quiet")
    maker = show.stage.start("create", "create", source, *what, *how)
    maker.end_is_expected = True
    await show.until(lambda: maker.has_ended)
    return torrent


def start_seed(stage: Stage, name: str, torrent: Path) -> Actor:
    folder = stage.folder_of(name)
    told = ("--name", name, "--log", folder / "log", "--quiet")
    return stage.start(name, "seed", torrent, "--dir", folder, *told, *LOCAL)


def start_leecher(stage: Stage, name: str, torrent: Path) -> Actor:
    """It goes on serving until it is told to end: the others may still need it."""
    folder = stage.folder_of(name)
    told = ("--name", name, "--log", folder / "log", "--json", "--seed-time", LONG_ENOUGH)
    return stage.start(name, "get", torrent, "--dir", folder, *told, *LOCAL)


def tell_result(story: Story, size: int, seconds: float) -> None:
    from rich.console import Console

    from shoal.cli.demo import picture

    leechers = range(len(SEEDS), len(story.machines))
    Console(highlight=False).print(picture.final(story, leechers, size, seconds))
