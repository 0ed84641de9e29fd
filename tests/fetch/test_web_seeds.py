"""Web seeds on loopback: alone, beside neighbours, wrong, incomplete, slow and silent ones; nginx is the real one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from shoal.engine.engine import Engine
from shoal.engine.torrent import Torrent
from shoal.errors import ExitCode
from shoal.fetch.web_seeds.seeding import web_seeding
from shoal.formats.metainfo import Metainfo, parse_metainfo
from shoal.swarm.known_peers import Source
from shoal.testing.build import Payload, build_torrent, make_payload, write_payload
from shoal.testing.hostile_origin import HostileOrigin, Page, first, redirect
from shoal.units import KIB, MIB

from ..conftest import Shoal
from ..engine.scene import HOST, Record, finish, play, until
from .nginx import Nginx, nginx

WHOLE = make_payload(8 * MIB)
SEVERAL = {
    "a.bin": make_payload(1_000_001, 1),
    "dir ü/b c%#?.bin": make_payload(333_333, 2),
    "empty": b"",
    "tiny": b"x",
    "big": make_payload(3_000_003, 3),
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Nginx]:
    folder = tmp_path / "nginx"
    folder.mkdir()
    with nginx(folder) as running:
        yield running


class Story:
    """A torrent that somebody gets, and who else there is."""

    def __init__(self, root: Path, payload: Payload, *web_seeds: str, **how: Any) -> None:
        self.root = root
        self.payload = payload
        self.metainfo: Metainfo = parse_metainfo(build_torrent(payload, web_seeds=web_seeds, **how))
        self.record = Record()

    @asynccontextmanager
    async def getting(self, *, peers: Any = (), **how: Any) -> AsyncIterator[Torrent]:
        async with Engine(bind=HOST, port=0, **how) as engine:
            torrent = await engine.add(self.metainfo, self.root / "got", peers=peers, report=self.record)
            async with web_seeding(engine, [(torrent, self.metainfo)]):
                yield torrent

    @asynccontextmanager
    async def a_peer(self, **how: Any) -> AsyncIterator[tuple[str, int]]:
        """Somebody who has everything, within limits."""
        folder = self.root / "seed"
        folder.mkdir()
        write_payload(folder, self.payload)
        async with Engine(bind=HOST, port=0, **how) as engine:
            await engine.add(replace(self.metainfo, web_seeds=()), folder, read_only=True)
            yield HOST, engine.port

    def check(self) -> None:
        got = self.root / "got" / "payload"
        if isinstance(self.payload, bytes):
            assert got.read_bytes() == self.payload
        else:
            assert {name: (got / name).read_bytes() for name in self.payload} == self.payload

    @property
    def said(self) -> str:
        return "\n".join(fields["message"] for fields in self.record.of("web seed"))


def pages_of(origin: HostileOrigin, payload: Payload) -> None:
    files = (
        {"": payload} if isinstance(payload, bytes) else {f"/{name}": data for name, data in payload.items()}
    )
    for name, data in files.items():
        origin.pages[f"/payload{quote(name)}"] = Page(data)


# ---- nginx


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize("ending", ["/payload", "/"])
def test_a_file_comes_from_a_web_server_alone(tmp_path: Path, server: Nginx, ending: str, loop: str) -> None:
    write_payload(server.files, WHOLE)
    story = Story(tmp_path, WHOLE, server.url + ending)

    async def play_it() -> None:
        async with story.getting() as torrent:
            await finish(torrent)
            assert list(torrent.ledger.elsewhere.values()) == [len(WHOLE)]
            assert torrent.ledger.received == len(WHOLE)

    play(play_it(), loop=loop)
    story.check()


@pytest.mark.parametrize("format_", ["v1", "hybrid"])
def test_several_files_come_by_ranges_over_their_borders_and_no_padding_is_asked_for(
    tmp_path: Path, server: Nginx, format_: str
) -> None:
    write_payload(server.files, SEVERAL)
    story = Story(tmp_path, SEVERAL, server.url, format=format_, piece_length=64 * KIB)

    async def play_it() -> None:
        async with story.getting() as torrent:
            await finish(torrent)

    play(play_it())
    story.check()
    lines = server.asked()
    assert ".pad" not in "".join(lines) and "empty" not in "".join(lines)
    assert all(" 206 " in line for line in lines)
    assert len(lines) < 20  # long rows, not piece by piece


def test_what_is_here_already_is_not_asked_for(tmp_path: Path, server: Nginx) -> None:
    write_payload(server.files, WHOLE)
    story = Story(tmp_path, WHOLE, f"{server.url}/payload")
    (tmp_path / "got").mkdir()
    (tmp_path / "got" / "payload").write_bytes(WHOLE[: 6 * MIB])

    async def play_it() -> None:
        async with Engine(bind=HOST, port=0) as engine:
            torrent = await engine.add(story.metainfo, tmp_path / "got", overwrite=True)
            async with web_seeding(engine, [(torrent, story.metainfo)]):
                await finish(torrent)
            assert torrent.ledger.received == 2 * MIB

    play(play_it())
    story.check()


def test_a_peer_and_a_web_server_bring_parts_each_and_little_comes_twice(tmp_path: Path) -> None:
    with HostileOrigin() as origin:
        story = Story(tmp_path, WHOLE, origin.url("/payload"))

        async def play_it() -> None:
            async with story.a_peer(max_upload_rate=1 * MIB) as a, story.getting(peers=[a]) as torrent:
                ledger = torrent.ledger

                def rate() -> int:
                    """Of each connection; hardly any before the peer has had its part."""
                    by_peer = ledger.received - sum(list(ledger.elsewhere.values()))
                    return 500_000 if by_peer > 2 * MIB else 100_000

                origin.pages["/payload"] = Page(WHOLE, rate=rate)
                await finish(torrent)
                (by_web,) = torrent.ledger.elsewhere.values()
                by_peer = torrent.ledger.received - by_web
                assert min(by_web, by_peer) > 1 * MIB
                assert by_web + by_peer == len(WHOLE)
                assert by_web <= torrent.ledger.elsewhere_flow.total < by_web + 1 * MIB

        play(play_it())
        story.check()


# ---- bad ones


def test_one_that_has_a_file_wrong_is_not_asked_for_it_again_and_is_named(tmp_path: Path) -> None:
    with HostileOrigin() as origin:
        pages_of(origin, SEVERAL)
        wrong = bytearray(SEVERAL["big"])
        wrong[2_000_000] ^= 1
        origin.pages["/payload/big"] = Page(bytes(wrong))
        story = Story(tmp_path, SEVERAL, origin.url("/"))

        async def play_it() -> None:
            async with story.a_peer(max_upload_rate=512 * KIB) as a, story.getting() as torrent:
                await until(lambda: "is not asked for big again" in story.said)
                torrent.dialling.learn([a], Source.HAND)
                await finish(torrent)
                assert torrent.ledger.elsewhere

        play(play_it())
        story.check()
        assert f"web seed {origin.host}:{origin.port}: is not asked for big again: piece " in story.said


def test_a_file_that_it_lacks_is_not_asked_for_again_and_the_others_are(tmp_path: Path) -> None:
    with HostileOrigin() as one, HostileOrigin("127.0.0.2") as other:
        pages_of(one, SEVERAL)
        pages_of(other, SEVERAL)
        del one.pages["/payload/a.bin"]
        del other.pages["/payload/big"]
        story = Story(tmp_path, SEVERAL, one.url("/"), other.url("/"), format="hybrid")

        async def play_it() -> None:
            async with story.getting() as torrent:
                await finish(torrent)
                assert len(torrent.ledger.elsewhere) == 2

        play(play_it())
        story.check()
        assert len(one.asked_for("/payload/a.bin")) <= 1 and len(other.asked_for("/payload/big")) <= 1


def test_one_that_has_nothing_is_given_up_after_a_few_files(tmp_path: Path) -> None:
    files = {f"{number:03}": bytes([number]) * 40_000 for number in range(100)}
    with HostileOrigin() as origin:
        story = Story(tmp_path, files, origin.url("/wrong/place"), piece_length=16 * KIB)

        async def play_it() -> None:
            async with story.a_peer(max_upload_rate=256 * KIB) as a, story.getting(peers=[a]) as torrent:
                await until(lambda: "nothing more is to be had" in story.said)
                assert not torrent.swarm.pieces.suspended

        play(play_it())
        assert len(origin.asked) <= 20
        assert story.said.count("is not asked for") == 3


@pytest.mark.parametrize(
    "page", [Page(WHOLE, stalls_after=100_000), Page(WHOLE, rate=20_000)], ids=["silent", "crawling"]
)
def test_one_that_is_silent_or_crawls_holds_up_no_neighbour(tmp_path: Path, page: Page) -> None:
    with HostileOrigin() as origin:
        origin.pages["/payload"] = page
        story = Story(tmp_path, WHOLE, origin.url("/payload"))

        async def play_it() -> None:
            async with story.a_peer() as address, story.getting(peers=[address]) as torrent:
                await finish(torrent, within=60)

        play(play_it())
        story.check()


def test_one_that_breaks_off_and_comes_again_brings_it_all(tmp_path: Path) -> None:
    with HostileOrigin() as origin:
        broken = Page(WHOLE, resets_after=1_000_000)
        origin.pages["/payload"] = first(
            broken, broken, Page(WHOLE, status=503, retry_after="1"), then=Page(WHOLE)
        )
        story = Story(tmp_path, WHOLE, origin.url("/payload"))

        async def play_it() -> None:
            async with story.getting() as torrent:
                await finish(torrent)

        play(play_it())
        story.check()


def test_one_without_ranges_is_of_no_use_and_that_is_said(tmp_path: Path) -> None:
    with HostileOrigin() as origin:
        origin.pages["/payload"] = Page(WHOLE, takes_ranges=False)
        story = Story(tmp_path, WHOLE, origin.url("/payload"))
        (tmp_path / "got").mkdir()
        (tmp_path / "got" / "payload").write_bytes(WHOLE[: 1 * MIB])

        async def play_it() -> None:
            async with Engine(bind=HOST, port=0) as engine:
                torrent = await engine.add(
                    story.metainfo, tmp_path / "got", overwrite=True, report=story.record
                )
                async with web_seeding(engine, [(torrent, story.metainfo)]):
                    await until(lambda: "answers a range with the whole file" in story.said)

        play(play_it())


def test_what_a_torrent_names_leads_to_no_metadata(tmp_path: Path) -> None:
    with HostileOrigin() as origin:
        origin.pages["/payload"] = redirect("http://169.254.169.254/latest/user-data")
        story = Story(tmp_path, WHOLE, origin.url("/payload"), "http://169.254.169.254/payload")

        async def play_it() -> None:
            async with story.getting():
                await until(lambda: story.said.count("leads to a machine's own metadata") == 2)

        play(play_it())


def test_a_limit_holds_for_web_seeds_and_neighbours_together(tmp_path: Path, server: Nginx) -> None:
    payload = make_payload(3 * MIB)
    write_payload(server.files, payload)
    story = Story(tmp_path, payload, f"{server.url}/payload")

    async def play_it() -> None:
        async with story.a_peer() as a, story.getting(max_download_rate=1 * MIB) as torrent:
            began = torrent.engine.now()
            await until(lambda: bool(torrent.ledger.elsewhere))
            torrent.dialling.learn([a], Source.HAND)
            await finish(torrent)
            assert torrent.engine.now() - began > 2.5

    play(play_it())
    story.check()


def test_a_full_disk_ends_it_with_its_own_words(small_disk: Path, tmp_path: Path, shoal: Shoal) -> None:
    with HostileOrigin() as origin:
        origin.pages["/payload"] = Page(WHOLE)
        torrent = tmp_path / "a.torrent"
        torrent.write_bytes(build_torrent(WHOLE, web_seeds=[origin.url("/payload")]))
        done = shoal("get", torrent, "--dir", small_disk, "--bind", HOST, "--port", "0", "--no-seed")
        assert done.returncode == ExitCode.DISK_FULL, done.stderr


def test_leaving_gives_everything_back_to_neighbours(tmp_path: Path) -> None:
    with HostileOrigin() as origin:
        origin.pages["/payload"] = Page(WHOLE, rate=100_000)
        story = Story(tmp_path, WHOLE, origin.url("/payload"))

        async def play_it() -> None:
            async with Engine(bind=HOST, port=0) as engine:
                torrent = await engine.add(story.metainfo, tmp_path / "got")
                async with web_seeding(engine, [(torrent, story.metainfo)]):
                    await until(lambda: bool(torrent.ledger.elsewhere))
                    assert torrent.swarm.pieces.suspended
                assert not torrent.swarm.pieces.suspended

        play(play_it())
