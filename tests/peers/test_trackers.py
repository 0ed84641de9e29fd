"""Our announcer at a foreign tracker: over HTTP and in datagrams, on loopback."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import uvloop

from shoal.engine.announcer import Announcer, Totals
from shoal.net.http import get
from shoal.protocol.tracker.answers import parse_scrape_response
from shoal.protocol.tracker.messages import ScrapeEntry, ScrapeResponse
from shoal.protocol.tracker.query import encode_scrape_query

from .processes import free_port

pytestmark = pytest.mark.peers

START_SECONDS = 60  # foreign programs take their time on a busy machine


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(START_SECONDS):
        while not is_so():  # noqa: ASYNC110 - another process has no event for us
            await asyncio.sleep(0.02)


each_scheme = pytest.mark.parametrize("scheme", ["http", "udp"])


HASH = bytes(range(20))


@contextmanager
def readable_folder() -> Iterator[Path]:
    """A folder that opentracker can read: started by root, it becomes another user."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@asynccontextmanager
async def opentracker(folder: Path) -> AsyncIterator[str]:
    program = shutil.which("opentracker") or shutil.which("opentracker", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip("opentracker is not installed")
    port = free_port()
    whitelist, config = folder / "whitelist", folder / "config"
    whitelist.write_text(f"{HASH.hex()}\n")
    user = "tracker.user nobody\n" if os.geteuid() == 0 else ""
    config.write_text(f"listen.tcp_udp 127.0.0.1:{port}\naccess.whitelist {whitelist}\n{user}")
    for path in (whitelist, config):
        path.chmod(0o644)
    process = await asyncio.create_subprocess_exec(
        program, "-f", str(config), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await until(lambda: is_listening(port))
        yield f"http://127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def scrape(base: str) -> ScrapeResponse:
    response = await get(f"{base}/scrape?{encode_scrape_query([HASH])}")
    answer = parse_scrape_response(response.body)
    assert isinstance(answer, ScrapeResponse)
    return answer


async def until_scraped(base: str, entry: ScrapeEntry) -> None:
    async with asyncio.timeout(START_SECONDS):
        while (await scrape(base)).entries.get(HASH, ScrapeEntry()) != entry:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@each_scheme
@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_our_announcers_find_each_other_through_opentracker(
    run: Callable[[Awaitable[None]], None], scheme: str
) -> None:
    """Over IPv4: the usual build of it has no other."""
    found: list[tuple[str, int]] = []
    messages: list[str] = []

    def new_announcer(base: str, port: int, left: list[int], info_hash: bytes = HASH) -> Announcer:
        return Announcer(
            [[base.replace("http:", f"{scheme}:")]],
            info_hash=info_hash,
            peer_id=b"-XX0000-abcdefgh%04d" % port,
            port=port,
            totals=lambda: Totals(uploaded=0, downloaded=0, left=left[0]),
            on_peers=found.extend,
            on_message=messages.append,
        )

    async def story() -> None:
        with readable_folder() as folder:
            async with opentracker(folder) as base, asyncio.TaskGroup() as tasks:
                left = [7]
                seed, leecher = new_announcer(base, 1001, [0]), new_announcer(base, 1002, left)
                stranger = new_announcer(base, 1003, left, info_hash=bytes(20))
                tasks.create_task(seed.run())
                await until_scraped(base, ScrapeEntry(complete=1))
                tasks.create_task(leecher.run())
                await until_scraped(base, ScrapeEntry(complete=1, incomplete=1))
                await until(lambda: ("127.0.0.1", 1001) in found)
                left[0] = 0
                leecher.completed()
                await until_scraped(base, ScrapeEntry(complete=2, downloaded=1))
                tasks.create_task(stranger.run())
                await until(lambda: bool(messages))
                assert messages[0].startswith(f"tracker {base.removeprefix('http://')} says: ")
                for announcer in (seed, leecher, stranger):
                    await announcer.stop()
                counts = (await scrape(base)).entries.get(HASH, ScrapeEntry())
                assert (counts.complete, counts.incomplete) == (0, 0)

    run(story())
