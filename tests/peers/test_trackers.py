"""Foreign clients at our tracker, and our announcer at a foreign tracker: over HTTP and in datagrams, on loopback."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import uvloop

from shoal.engine.announcer import Announcer, Totals
from shoal.formats.bencode import encode
from shoal.formats.metainfo import Metainfo, parse_metainfo
from shoal.net.http import get
from shoal.protocol.tracker.answers import parse_scrape_response
from shoal.protocol.tracker.messages import ScrapeEntry, ScrapeResponse
from shoal.protocol.tracker.query import encode_scrape_query
from shoal.testing.torrents import make_torrent
from shoal.tracker.decision import Policy
from shoal.tracker.server import Doors, Serving, serve
from shoal.tracker.store import StoreCounts
from shoal.tracker.tracker import Tracker

pytestmark = pytest.mark.peers

PAYLOAD = bytes(range(256)) * 1024
START_SECONDS = 30  # foreign programs take their time on a busy machine


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(START_SECONDS):
        while not is_so():  # noqa: ASYNC110 - another process has no event for us
            await asyncio.sleep(0.02)


def torrent_file(url: str) -> tuple[bytes, Metainfo]:
    """A torrent of one file, `payload/data`, that names `url` as its tracker."""
    info_bytes = make_torrent({"data": PAYLOAD}, 32768, name="payload").info_bytes
    data = b"d8:announce" + encode(url) + b"4:info" + info_bytes + b"e"
    return data, parse_metainfo(data)


def put_payload(root: Path) -> Path:
    (root / "payload").mkdir(parents=True)
    (root / "payload" / "data").write_bytes(PAYLOAD)
    return root


each_scheme = pytest.mark.parametrize("scheme", ["http", "udp"])


@asynccontextmanager
async def our_tracker() -> AsyncIterator[tuple[Tracker, Serving]]:
    tracker = Tracker(Policy(interval=60))
    async with serve(tracker, doors=Doors(binds=("127.0.0.1",), port=0)) as serving:
        yield tracker, serving


def url_of(serving: Serving, scheme: str) -> str:
    return f"{scheme}://127.0.0.1:{serving.port}/announce"


def counts(tracker: Tracker) -> StoreCounts:
    counted = tracker.store.count(tracker.clock())
    assert isinstance(counted, StoreCounts)
    return counted


# -- libtorrent at our tracker -----------------------------------------------------------------------


@each_scheme
def test_libtorrent_peers_find_each_other_through_our_tracker(scheme: str, tmp_path: Path) -> None:
    lt = pytest.importorskip("libtorrent")

    def new_session() -> object:
        return lt.session(
            {
                "listen_interfaces": "127.0.0.1:0",
                "enable_dht": False,
                "enable_lsd": False,
                "enable_upnp": False,
                "enable_natpmp": False,
                "allow_multiple_connections_per_ip": True,
            }
        )

    def add(session: object, data: bytes, folder: Path, url: str) -> object:
        params = lt.add_torrent_params()
        params.ti = lt.torrent_info(data)
        params.save_path = str(folder)
        params.trackers = [url]
        return session.add_torrent(params)  # type: ignore[attr-defined]

    async def story() -> None:
        async with our_tracker() as (tracker, serving):
            url = url_of(serving, scheme)
            data, metainfo = torrent_file(url)
            seeds, leechers = new_session(), new_session()
            seed = add(seeds, data, put_payload(tmp_path / "seed"), url)
            await until(lambda: counts(tracker).seeds == 1)
            leecher = add(leechers, data, tmp_path / "leecher", url)
            await until(lambda: leecher.status().is_seeding)  # type: ignore[attr-defined]
            await until(lambda: counts(tracker) == StoreCounts(swarms=1, seeds=2, leechers=0))
            entries = tracker.store.scrape([metainfo.wire_hash], tracker.clock())
            assert isinstance(entries, dict)
            assert entries[metainfo.wire_hash] == ScrapeEntry(complete=2, incomplete=0, downloaded=1)
            for session, torrent in ((seeds, seed), (leechers, leecher)):
                session.remove_torrent(torrent)  # type: ignore[attr-defined]
            await until(lambda: counts(tracker) == StoreCounts(0, 0, 0))
        assert tracker.counters.refusals == 0
        assert (tmp_path / "leecher" / "payload" / "data").read_bytes() == PAYLOAD

    uvloop.run(story())


# -- aria2 at our tracker ----------------------------------------------------------------------------


@asynccontextmanager
async def aria2(torrent: Path, folder: Path, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    program = shutil.which("aria2c")
    if program is None:
        pytest.skip("aria2c is not installed")
    process = await asyncio.create_subprocess_exec(
        program, "--no-conf", "--bt-enable-lpd=false", "--file-allocation=none", "--listen-port=20000-60000",
        f"--dir={folder}", *arguments, str(torrent),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)  # for SIGTERM it would say no goodbye
        await process.wait()


@each_scheme
def test_aria2_peers_find_each_other_through_our_tracker(scheme: str, tmp_path: Path) -> None:
    """It speaks to UDP trackers over the socket of its DHT, so that has to be on; it knows no node of it."""

    def dht(name: str) -> tuple[str, ...]:
        if scheme == "http":
            return ("--enable-dht=false",)
        return ("--enable-dht=true", f"--dht-file-path={tmp_path / name}", "--dht-listen-port=20000-60000")

    async def story() -> None:
        async with our_tracker() as (tracker, serving):
            data, _ = torrent_file(url_of(serving, scheme))
            torrent = tmp_path / "payload.torrent"
            torrent.write_bytes(data)
            seed_folder = put_payload(tmp_path / "seed")
            async with aria2(
                torrent, seed_folder, "--bt-seed-unverified=true", "--seed-ratio=0.0", *dht("seed.dat")
            ):
                await until(lambda: counts(tracker).seeds == 1)
                async with aria2(torrent, tmp_path / "leecher", "--seed-time=0", *dht("dht.dat")) as leecher:
                    assert await asyncio.wait_for(leecher.wait(), START_SECONDS) == 0
                assert counts(tracker) == StoreCounts(swarms=1, seeds=1, leechers=0)
            await until(lambda: counts(tracker) == StoreCounts(0, 0, 0))
        assert tracker.counters.refusals == 0
        assert (tmp_path / "leecher" / "payload" / "data").read_bytes() == PAYLOAD

    asyncio.run(story())


# -- our announcer at opentracker --------------------------------------------------------------------

HASH = bytes(range(20))


@contextmanager
def readable_folder() -> Iterator[Path]:
    """A folder that opentracker can read: started by root, it becomes another user."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


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
