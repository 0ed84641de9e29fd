"""The course of `shoal demo url`: a slow server of a file, one machine that wants it, three that help.

All are processes on this machine, each member with a loopback address of its own: the server limits each address. First
the requester gets a smaller file alone, so that there is a rate to compare with; then the large one with its group.
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
import sys
import time
from pathlib import Path

from shoal.cli.demo import files
from shoal.cli.demo.play import LOCAL, tracker_url
from shoal.cli.demo.show import Show
from shoal.cli.demo.stage import Actor, Stage
from shoal.cli.demo.url_story import Result, UrlStory
from shoal.errors import ExitCode, NetworkError
from shoal.units import MIB, format_rate, format_size

SIZE = 48 * MIB  # with four addresses some six seconds: enough to be watched
ALONE_SIZE = 8 * MIB  # four seconds of one address
CLIENT_RATE = 2 * MIB  # bytes a second that the server gives one address ...
CONNECTION_RATE = 1 * MIB  # ... and one connection
NAME, ALONE_NAME = "large.bin", "small.bin"
GROUP = "demo"
SERVER = "127.0.0.1"
MEMBERS = {
    "requester A": "127.0.0.2",
    "helper B": "127.0.0.3",
    "helper C": "127.0.0.4",
    "helper D": "127.0.0.5",
}
REQUESTER, *HELPERS = MEMBERS
LOOPBACK = "127.0.0.0/8"
COPIES = 2 + len(
    HELPERS
)  # of the file in the temporary folder, at most: the server's, and what each member keeps
PATIENCE = (
    90.0  # seconds; all of it takes fifteen, and on a machine that is busy with other things twice that
)
ORIGIN = (sys.executable, "-P", "-m", "shoal.cli.demo.url_origin")


async def play_url(stop: asyncio.Event) -> int:
    from shoal.cli.demo import url_picture  # here, since it takes rich along

    refuse_one_address()
    with Stage() as stage:
        files.refuse_full_disk(stage.folder, COPIES * SIZE)
        give_up_at = time.monotonic() + PATIENCE
        with Show[UrlStory](
            stage, stop, url_picture.live, url_picture.plain_line, give_up_at=give_up_at
        ) as show:
            story, result = await _Course(show).run()
    from rich.console import Console

    Console(highlight=False).print(url_picture.final(story, result))
    return ExitCode.OK


def refuse_one_address() -> None:
    """Every member needs an address that is its own. Raises `NetworkError`."""
    for address in MEMBERS.values():
        try:
            with socket.socket() as probe:
                probe.bind((address, 0))
        except OSError as error:
            hint = f"give it to the loopback interface (macOS: sudo ifconfig lo0 alias {address})"
            raise NetworkError(f"this machine has no {address}: {error.strerror}", hint=hint) from None


class _Course:
    def __init__(self, show: Show[UrlStory]) -> None:
        self.show = show
        self.stage = show.stage

    async def run(self) -> tuple[UrlStory, Result]:
        self.show.headline = "making a file, and a group of machines"
        served = await self._make_files()
        rates = (str(CLIENT_RATE), str(CONNECTION_RATE))
        origin = self.stage.start("server", served, SERVER, *rates, program=ORIGIN)
        tracker = self.stage.start("tracker", "tracker", *LOCAL)
        announce = await tracker_url(tracker, self.show)
        await self._make_group()
        helpers = [self._start_helper(name, announce) for name in HELPERS]
        await self.show.until(lambda: all(actor.output.has_more for actor in (origin, *helpers)))
        (url,) = origin.output.read()

        rate = format_rate(CLIENT_RATE)
        self.show.headline = (
            f"{format_size(ALONE_SIZE)} alone, from a server that gives {rate} to each address"
        )
        alone = await self._get(f"{url}/{ALONE_NAME}")
        newly_sent(origin)
        self.show.headline = f"{format_size(SIZE)} with {len(HELPERS)} helpers, from the same server"
        self.show.story = UrlStory(SIZE, tuple(MEMBERS), tuple(MEMBERS.values()))
        together = await self._get(f"{url}/{NAME}", "--group", GROUP, "--tracker", announce, "--port", "0")
        sent = newly_sent(origin)
        self.show.headline = "comparing the files"
        for name in (ALONE_NAME, NAME):
            await asyncio.to_thread(self._compare, served / name)
        return self.show.story, Result(together, ALONE_SIZE, alone, sent, CLIENT_RATE)

    async def _make_files(self) -> Path:
        served = self.stage.folder / "served"
        served.mkdir()
        for name, size in ((NAME, SIZE), (ALONE_NAME, ALONE_SIZE)):
            await asyncio.to_thread(files.make_payload, served / name, size, self.show.stop.is_set)
        return served

    async def _make_group(self) -> None:
        """The requester makes its key, and the helpers join with it."""
        made = await self._done(self.stage.start(REQUESTER, "group", "new", GROUP))
        key = made[0].output.read()[0] + "\n"
        await self._done(*(self.stage.start(name, "group", "join", "-", said=key) for name in HELPERS))

    def _start_helper(self, name: str, announce: str) -> Actor:
        where = ("--tracker", announce, "--bind", MEMBERS[name], "--port", "0")
        return self.stage.start(name, "helper", "--group", GROUP, "--allow-private", LOOPBACK, *where)

    async def _get(self, url: str, *how: str | Path) -> float:
        """Seconds that the requester says it took."""
        folder = self.stage.folder_of(REQUESTER)
        told = ("--dir", folder, "--bind", MEMBERS[REQUESTER], "--json", "--log", folder / "log")
        getting = self.stage.start(REQUESTER, "get", url, *told, *how)
        self.show.machines = {0: getting}
        await self._done(getting)
        return float(getting.output.read_json()[-1]["seconds"])

    async def _done(self, *actors: Actor) -> tuple[Actor, ...]:
        for actor in actors:
            actor.end_is_expected = True
        await self.show.until(lambda: all(actor.has_ended for actor in actors))
        await self.show.until(lambda: True)  # the rest of their logs
        return actors

    def _compare(self, served: Path) -> None:
        with served.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").digest()
        copy = self.stage.folder_of(REQUESTER) / served.name
        files.verify(copy, sha256, REQUESTER, self.show.stop.is_set)


def newly_sent(origin: Actor) -> int:
    """Bytes of files that it sent in the responses that ended since this was asked last."""
    return sum(int(line["bytes"]) for line in origin.output.read_json())
